/* SPDX-License-Identifier: MIT
 * output.c: errors, remarks and questions. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

enum { MESSAGE_SIZE = 1024, KEY_SHOWN_MAX = 80 };

/* A message is one line whatever is in it. */
static void one_line(char *text)
{
    for (; *text != '\0'; text++)
        if (iscntrl((unsigned char)*text))
            *text = ' ';
}

static int report(struct cli *cli, int exit_code, const char *name, char *message)
{
    if (cli->progress_line)
        fputs("\r\033[K", stderr);
    one_line(message);
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stderr);
        cli_json_text(&json, "error", name);
        cli_json_uint(&json, "exit", (uint64_t)exit_code);
        cli_json_text(&json, "message", message);
        cli_json_end(&json);
    } else {
        fprintf(stderr, "bitcask: %s\n", message);
    }
    return exit_code;
}

static int exit_code_of(bitcask_status status)
{
    switch (status) {
    case BITCASK_OK:
    case BITCASK_END:
        return CLI_DONE;
    case BITCASK_NOT_FOUND:
    case BITCASK_EXISTS:
    case BITCASK_CONFLICT:
    case BITCASK_CANCELLED:
        return CLI_NOT_FOUND;
    case BITCASK_INVALID:
        return CLI_USAGE;
    case BITCASK_CORRUPT:
        return CLI_CORRUPT;
    default:
        return CLI_STORE;
    }
}

/* The error's own message if it has one; outcomes have none. */
static const char *sentence(bitcask_status status, const bitcask_error *error)
{
    return status < 0 && error != NULL && error->message[0] != '\0' ? error->message
                                                                    : bitcask_status_text(status);
}

int cli_fail(struct cli *cli, bitcask_status status, const bitcask_error *error)
{
    char message[MESSAGE_SIZE];
    snprintf(message, sizeof(message), "%s", sentence(status, error));
    return report(cli, exit_code_of(status), bitcask_status_name(status), message);
}

int cli_fail_key(struct cli *cli, bitcask_status status, const bitcask_error *error,
                 bitcask_slice key)
{
    if (status >= 0 && cli->quiet)
        return exit_code_of(status);
    char message[MESSAGE_SIZE];
    FILE *out = fmemopen(message, sizeof(message), "w");
    if (out == NULL)
        return cli_fail(cli, status, error);
    fprintf(out, "%s: ", sentence(status, error));
    cli_print_escaped(out,
                      bitcask_bytes(key.data, key.size < KEY_SHOWN_MAX ? key.size : KEY_SHOWN_MAX));
    fputs(key.size > KEY_SHOWN_MAX ? "..." : "", out);
    fclose(out);
    message[MESSAGE_SIZE - 1] = '\0';
    return report(cli, exit_code_of(status), bitcask_status_name(status), message);
}

__attribute__((format(printf, 5, 0))) static int report_v(struct cli *cli, int exit_code,
                                                          const char *name, const char *suffix,
                                                          const char *format, va_list list)
{
    char message[MESSAGE_SIZE];
    int used = vsnprintf(message, sizeof(message), format, list);
    if (used >= 0 && (size_t)used < sizeof(message))
        snprintf(message + used, sizeof(message) - (size_t)used, "%s", suffix);
    return report(cli, exit_code, name, message);
}

int cli_fail_usage(struct cli *cli, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int exit_code = report_v(cli, CLI_USAGE, "USAGE", "", format, list);
    va_end(list);
    return exit_code;
}

int cli_fail_errno(struct cli *cli, const char *format, ...)
{
    char suffix[160];
    snprintf(suffix, sizeof(suffix), ": %s", strerror(errno));
    va_list list;
    va_start(list, format);
    int exit_code = report_v(cli, CLI_STORE, "IO", suffix, format, list);
    va_end(list);
    return exit_code;
}

int cli_fail_text(struct cli *cli, int exit_code, const char *format, ...)
{
    static const char *const names[] = {"OK", "NOT_FOUND", "USAGE", "STORE", "CORRUPT"};
    bool known = exit_code >= 0 && exit_code <= CLI_CORRUPT;
    va_list list;
    va_start(list, format);
    report_v(cli, exit_code, known ? names[exit_code] : "STORE", "", format, list);
    va_end(list);
    return exit_code;
}

int cli_fail_no_store(struct cli *cli, const char *directory)
{
    char message[MESSAGE_SIZE];
    snprintf(message, sizeof(message), "no store at %s (use -d or BITCASK_DIR)", directory);
    return report(cli, CLI_STORE, "NO_STORE", message);
}

int cli_fail_interrupted(struct cli *cli)
{
    return cli_fail_text(cli, CLI_NOT_FOUND, "interrupted");
}

void cli_remark(struct cli *cli, const char *format, ...)
{
    if (cli->quiet)
        return;
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    putc('\n', stderr);
}

const char *cli_style(struct cli *cli, enum cli_style style)
{
    static const char *const escapes[] = {
        [CLI_PLAIN] = "\033[0m", [CLI_BOLD] = "\033[1m", [CLI_RED] = "\033[31m"};
    return cli->color ? escapes[style] : "";
}

int cli_confirm(struct cli *cli, bool yes, const char *format, ...)
{
    if (yes)
        return CLI_DONE;
    char question[MESSAGE_SIZE], answer[16] = "";
    va_list list;
    va_start(list, format);
    vsnprintf(question, sizeof(question), format, list);
    va_end(list);
    if (!cli->stdin_tty || !cli->stderr_tty)
        return cli_fail_usage(cli, "will not %s without asking: use --yes", question);
    fprintf(stderr, "%s? [y/N] ", question);
    fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) == NULL)
        answer[0] = '\0';
    answer[strcspn(answer, "\n")] = '\0';
    if (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0)
        return CLI_DONE;
    cli_remark(cli, "nothing done");
    return CLI_NOT_FOUND;
}
