/* SPDX-License-Identifier: MIT
 * main.c: the `bitcask` command: its table of commands, its signals, its exit. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

const struct cli_command *const cli_commands[] = {
    &cli_command_put,
    &cli_command_get,
    &cli_command_delete,
    &cli_command_exists,
    &cli_command_ttl,
    &cli_command_expire,
    &cli_command_persist,
    &cli_command_mget,
    &cli_command_keys,
    &cli_command_scan,
    &cli_command_count,
    &cli_command_import,
    &cli_command_export,
    &cli_command_stats,
    &cli_command_merge,
    &cli_command_verify,
    &cli_command_backup,
    &cli_command_repair,
    &cli_command_salvage,
    &cli_command_dump,
    &cli_command_dump_keydir,
    &cli_command_serve,
    &cli_command_bench,
    &cli_command_clear,
    &cli_command_destroy,
    &cli_command_watch,
    &cli_command_top,
    &cli_command_shell,
    &cli_command_help,
    &cli_command_version,
    NULL,
};

/* A page of a mapped segment that the device cannot deliver arrives as this signal. */
static void on_sigbus(int signal_number)
{
    static const char message[] =
        "bitcask: input/output error while reading the store (a failing disk, or a file cut short "
        "by another program; see the system's log)\n";
    (void)signal_number;
    ssize_t written = write(STDERR_FILENO, message, sizeof(message) - 1);
    (void)written;
    _exit(CLI_STORE);
}

static void set_signals(void)
{
    signal(SIGBUS, on_sigbus);
    signal(SIGXFSZ, SIG_IGN); /* an error of the write instead */
    signal(SIGPIPE, SIG_DFL); /* `bitcask keys | head` ends as other tools do */
}

/* A store's file must not be opened as descriptor 1 or 2: what is printed would land in it. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(CLI_STORE);
}

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

static int finish_output(struct cli *cli, int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    int failed = cli_fail_errno(cli, "cannot write the output");
    return exit_code == CLI_DONE ? failed : exit_code;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    set_signals();
    struct cli cli = {.directory = environment("BITCASK_DIR", "./data"),
                      .stdin_tty = isatty(STDIN_FILENO) == 1,
                      .stdout_tty = isatty(STDOUT_FILENO) == 1,
                      .stderr_tty = isatty(STDERR_FILENO) == 1};
    cli.color = cli.stdout_tty && environment("NO_COLOR", NULL) == NULL;
    bitcask_options_init(&cli.options);

    const struct cli_command *command;
    struct cli_args args;
    int exit_code = cli_parse(&cli, argc, argv, &command, &args);
    if (exit_code == CLI_DONE)
        exit_code = command->run(&cli, &args);
    return finish_output(&cli, exit_code);
}
