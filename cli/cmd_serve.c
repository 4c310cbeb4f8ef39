/* SPDX-License-Identifier: MIT
 * cmd_serve.c: `bitcask serve`: the store for every language at once, see server/server.h. */
#include <string.h>

#include "cli.h"
#include "server/serve.h"

enum { SERVE_CONFIG, SERVE_BIND, SERVE_PORT, SERVE_HTTP_PORT, SERVE_PRINT_CONFIG };

static const struct cli_option serve_options[] = {
    [SERVE_CONFIG] = {"config", 0, CLI_TEXT, "FILE", "settings from a file as bitcask.conf"},
    [SERVE_BIND] = {"bind", 0, CLI_TEXT, "ADDRESSES",
                    "where to listen: \"127.0.0.1 -::1\" (the default), \"*\" for everywhere"},
    [SERVE_PORT] = {"port", 0, CLI_TEXT, "PORT", "of the Redis protocol; 0: none (6380)"},
    [SERVE_HTTP_PORT] = {"http-port", 0, CLI_TEXT, "PORT",
                         "of dashboard, metrics and REST; 0: none (6381)"},
    [SERVE_PRINT_CONFIG] = {"print-config", 0, CLI_FLAG, NULL,
                            "print a bitcask.conf with all settings and their defaults"},
    {0},
};

/* Secrets in a command line are read by everybody who can list processes. */
static bool is_secret(const char *name)
{
    return strcmp(name, "requirepass") == 0;
}

static int set_one(struct cli *cli, struct settings *settings, const char *name, const char *value)
{
    bitcask_error error = {0};
    if (is_secret(name))
        return cli_fail_usage(cli,
                              "option --%s: a command line is no place for a secret: put it into a "
                              "file for --config",
                              name);
    if (strcmp(name, "log-level") == 0)
        name = "loglevel";
    if (!settings_set(settings, name, value, &error))
        return cli_fail_usage(cli, "option --%s: %s", name, error.message);
    return CLI_DONE;
}

/* "--appendfsync always", "--maxclients=100": every setting is an option. */
static int set_others(struct cli *cli, struct settings *settings, const struct cli_args *args)
{
    for (size_t i = 0; i < args->operand_count; i++) {
        char *word = args->operands[i];
        if (strncmp(word, "--", 2) != 0)
            return cli_fail_usage(cli, "'%s' is too much: bitcask serve [OPTIONS]", word);
        char *name = word + 2, *value = strchr(name, '=');
        if (value != NULL)
            *value++ = '\0';
        else if (i + 1 < args->operand_count)
            value = args->operands[++i];
        else
            return cli_fail_usage(cli, "option %s needs a value", word);
        int exit_code = set_one(cli, settings, name, value);
        if (exit_code != CLI_DONE)
            return exit_code;
    }
    return CLI_DONE;
}

/* Defaults, environment, file, command line: what comes later counts. */
static int make_settings(struct cli *cli, const struct cli_args *args, struct settings *settings)
{
    static const char *const formats[] = {
        [CLI_LOG_TEXT] = "text", [CLI_LOG_LOGFMT] = "logfmt", [CLI_LOG_JSON] = "json"};
    const struct cli_value *given = args->options;
    bitcask_error error = {0};
    int exit_code = set_one(cli, settings, "dir", cli->directory);
    if (exit_code == CLI_DONE && given[SERVE_CONFIG].set &&
        !settings_read_file(settings, given[SERVE_CONFIG].text, &error))
        return cli_fail_usage(cli, "%s: %s", given[SERVE_CONFIG].text, error.message);
    if (exit_code == CLI_DONE && cli->directory_given)
        exit_code = set_one(cli, settings, "dir", cli->directory);
    if (exit_code == CLI_DONE && cli->log_format != CLI_LOG_TEXT)
        exit_code = set_one(cli, settings, "log-format", formats[cli->log_format]);
    for (size_t i = SERVE_BIND; exit_code == CLI_DONE && i <= SERVE_HTTP_PORT; i++)
        if (given[i].set)
            exit_code = set_one(cli, settings, serve_options[i].name, given[i].text);
    return exit_code == CLI_DONE ? set_others(cli, settings, args) : exit_code;
}

static int run_serve(struct cli *cli, const struct cli_args *args)
{
    if (args->options[SERVE_PRINT_CONFIG].set) {
        settings_print_file(stdout);
        return CLI_DONE;
    }
    struct settings *settings = settings_new();
    bitcask_error error = {0};
    if (settings == NULL)
        return cli_fail_text(cli, CLI_STORE, "out of memory");
    int exit_code = make_settings(cli, args, settings);
    if (exit_code == CLI_DONE &&
        serve(settings, cli->quiet ? NULL : stdout, cli->json, &error) != BITCASK_OK)
        exit_code = cli_fail(cli, error.status, &error);
    settings_free(settings);
    return exit_code;
}

const struct cli_command cli_command_serve = {
    .name = "serve",
    .summary = "serve the store over the network: Redis protocol, HTTP, a dashboard",
    .details =
        "Speaks the Redis protocol (RESP2 and RESP3) on port 6380, so redis-cli and the client\n"
        "libraries of all languages work as they are, and HTTP on port 6381: a page to look at,\n"
        "/metrics, /healthz and a REST interface. On this machine only, unless told otherwise.\n"
        "Every setting of bitcask.conf is an option too: --appendfsync always, --maxclients 100.\n"
        "The last line printed says how to reach the server. TERM and INT end it cleanly, HUP\n"
        "opens its log anew.\n",
    .examples = "bitcask serve --print-config > bitcask.conf\n",
    .options = serve_options,
    .operands_max = CLI_ANY,
    .other_options = true,
    .run = run_serve,
    .closes_store = true,
};
