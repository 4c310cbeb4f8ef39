/* SPDX-License-Identifier: MIT
 * cmd_help.c: help, version. */
#include "cli.h"

static int run_help(struct cli *cli, const struct cli_args *args)
{
    const struct cli_command *only = NULL;
    if (args->operand_count > 0 && (only = cli_find_command(args->operands[0])) == NULL)
        return cli_fail_usage(cli, "unknown command '%s' (see bitcask help)", args->operands[0]);
    if (cli->json)
        cli_describe(only);
    else
        cli_print_help(only);
    return CLI_DONE;
}

const struct cli_command cli_command_help = {
    .name = "help",
    .summary = "explain the program or a command",
    .usage = "[COMMAND]",
    .details =
        "With --json all that is known of commands and options, one object a line: what the\n"
        "manual page and the completions are made from.\n",
    .examples = "bitcask help put\n"
                "bitcask put --help\n",
    .operands_max = 1,
    .run = run_help,
};

static int run_version(struct cli *cli, const struct cli_args *args)
{
    (void)args;
    if (!cli->json) {
        printf("bitcask %s (store format %d)\n", bitcask_version(), BITCASK_FORMAT_VERSION);
        return CLI_DONE;
    }
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "version", bitcask_version());
    cli_json_uint(&json, "format", BITCASK_FORMAT_VERSION);
    cli_json_end(&json);
    return CLI_DONE;
}

const struct cli_command cli_command_version = {
    .name = "version",
    .summary = "print the version",
    .examples = "bitcask version\n"
                "bitcask --version\n",
    .run = run_version,
};
