/* SPDX-License-Identifier: MIT
 * cli.h: what the commands of the `bitcask` program share.
 *
 * A command is one `struct cli_command`: its name, its help, its options and a function. main.c
 * holds the table of all of them; args.c parses the command line by that table, checks every
 * option's value and the number of operands, and calls the function:
 *
 *     enum { OPT_TTL, OPT_FILE };
 *     static const struct cli_option options[] = {
 *         [OPT_TTL] = {"ttl", 0, CLI_DURATION, "DURATION", "expire after DURATION (90s, 5m, 1h)"},
 *         [OPT_FILE] = {"file", 'f', CLI_TEXT, "FILE", "read the value from FILE"},
 *         {0},
 *     };
 *     static int run_put(struct cli *cli, const struct cli_args *args)
 *     {
 *         bitcask *db = NULL;
 *         int exit_code = cli_open_store(cli, CLI_CREATE, &db);
 *         if (exit_code != CLI_DONE)
 *             return exit_code;
 *         if (args->options[OPT_TTL].set) ... args->options[OPT_TTL].number ...
 *         bitcask_status status = bitcask_put(db, bitcask_str(args->operands[0]), ..., &error);
 *         if (status != BITCASK_OK)
 *             exit_code = cli_fail(cli, status, &error);
 *         return cli_close_store(cli, db, exit_code);
 *     }
 *     const struct cli_command cli_command_put = {.name = "put", ..., .run = run_put};
 *
 * Results go to stdout with stdio (main flushes it and reports a failed write), errors and progress
 * to stderr. Nothing here is safe to call from several threads unless it says so. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "bitcask.h"

/* ---- The context --------------------------------------------------------------------------- */

enum cli_exit {
    CLI_DONE = 0,
    CLI_NOT_FOUND = 1, /* no such key, or a condition (--if-absent, an answer "no") was not met */
    CLI_USAGE = 2,
    CLI_STORE = 3, /* store errors, and everything else that the system refuses */
    CLI_CORRUPT = 4,
};

enum cli_log_format { CLI_LOG_TEXT, CLI_LOG_LOGFMT, CLI_LOG_JSON };

struct cli_session; /* session.h */

struct cli {
    struct cli_session *session; /* of the shell that runs the command, or NULL */
    const char *directory;       /* -d, else BITCASK_DIR, else ./data */
    bitcask_options options; /* with the store options of the command line; see cli_open_store */
    bool directory_given;    /* -d was */
    bool sync_given;         /* --sync was */
    bool background_given;   /* --background was */
    bool log_level_given;    /* --log-level was */
    bool json;               /* --json: one JSON object per line on stdout */
    bool quiet;              /* --quiet: no progress, no remarks */
    bool color;              /* stdout is a terminal, and neither NO_COLOR nor --json is set */
    bool stdin_tty, stdout_tty, stderr_tty;
    enum cli_log_format log_format;
    _Atomic bool progress_line; /* a progress bar stands on the terminal's last line */
};

/* ---- Commands and their options ------------------------------------------------------------ */

enum cli_kind {
    CLI_FLAG,     /* takes no value */
    CLI_TEXT,     /* any text; the only kind whose value may be empty */
    CLI_UINT,     /* .number */
    CLI_SIZE,     /* .number in bytes; suffixes K, M, G, T (1024-based) */
    CLI_DURATION, /* .number in microseconds; us, ms, s, m, h, d; a bare number is in seconds */
    CLI_SHARE,    /* .share, 0 to 1: "40%" or "0.4" */
};

struct cli_option {
    const char *name; /* "ttl": long name without dashes */
    char letter;      /* 'o' for -o; 0: none. -d, -h and -q are taken */
    enum cli_kind kind;
    const char *value; /* how the help calls the value: "DURATION" */
    const char *help;  /* lower case, no full stop */
};

struct cli_value {
    bool set;
    const char *text; /* as given; NULL for a flag */
    uint64_t number;
    double share;
};

enum { CLI_OPTIONS_MAX = 32, CLI_ANY = 1 << 30 };

struct cli_args {
    struct cli_value options[CLI_OPTIONS_MAX]; /* in the order of the command's options */
    char **operands;                           /* what is left behind the command's name */
    size_t operand_count;
};

struct cli_command {
    const char *name;
    const char *alias;   /* or NULL */
    const char *summary; /* one line, lower case, no full stop */
    const char *usage;   /* operands: "KEY (VALUE | - | --file FILE)"; NULL: none */
    const char *details; /* some lines of text for --help, each ended by a newline; or NULL */
    /* Lines, each ended by a newline, that run as they stand in a shell, in this order, beside the
     * store ./data that tests/cli/cli_test.py makes, and succeed: "bitcask put city Utrecht\n". */
    const char *examples;
    const struct cli_option *options;  /* ended by one without a name; NULL: none */
    size_t operands_min, operands_max; /* CLI_ANY: no limit */
    int (*run)(struct cli *cli, const struct cli_args *args); /* returns an enum cli_exit */
    bool closes_store;  /* a shell has to close the store for it */
    bool other_options; /* options that are neither its own nor global are given to it as they
                           stand, as operands: "--name" and "value", or "--name=value" */
};

/* All commands, ended by NULL. */
extern const struct cli_command *const cli_commands[];

extern const struct cli_command cli_command_put, cli_command_get, cli_command_delete,
    cli_command_exists, cli_command_ttl, cli_command_expire, cli_command_persist, cli_command_mget,
    cli_command_keys, cli_command_scan, cli_command_count, cli_command_clear, cli_command_destroy,
    cli_command_stats, cli_command_merge, cli_command_verify, cli_command_dump,
    cli_command_dump_keydir, cli_command_backup, cli_command_repair, cli_command_salvage,
    cli_command_watch, cli_command_top, cli_command_shell, cli_command_help, cli_command_version;
extern const struct cli_command cli_command_import, cli_command_export, cli_command_bench,
    cli_command_serve;

/* The command of that name or alias, or NULL. */
const struct cli_command *cli_find_command(const char *name);

/* Parse the command line by the table. Sets up `cli` and `args`; *command is the command to run.
 * Returns CLI_DONE, or CLI_USAGE after a line on stderr. (--help and --version come back as the
 * commands help and version.) */
int cli_parse(struct cli *cli, int argc, char **argv, const struct cli_command **command,
              struct cli_args *args);

/* The options of all commands, ended by one without a name. */
extern const struct cli_option cli_global_options[];

/* Of the store's options: is it one of the command line's (all but "create": the commands decide
 * about that), and does it stand there as --NAME and --no-NAME? */
bool cli_option_is_offered(const bitcask_option_info *info);
bool cli_option_is_switch(const bitcask_option_info *info);

/* The help of one command, or of the program if `command` is NULL. */
void cli_print_help(const struct cli_command *command);

/* The same for programs, one JSON object a line: the command with its usage, details and examples
 * ("command"), and each of its options ("option", "of" that command). If `command` is NULL: all of
 * them, the options "of" "all" and "of" the "store", the exit codes ("exit") and the variables of
 * the environment ("variable"). scripts/tables.py reads it. */
void cli_describe(const struct cli_command *command);

/* ---- Errors: one line on stderr ------------------------------------------------------------ */

/* "bitcask: MESSAGE" (a JSON object with --json). All return an exit code, so that a command can
 * say `return cli_fail(...)`.
 *   cli_fail        by status: NOT_FOUND, EXISTS, CONFLICT 1; INVALID 2; CORRUPT 4; errors 3.
 *                   `error` may be NULL: then the status' own sentence is printed
 *   cli_fail_key    the same, naming the key; silent about outcomes with --quiet
 *   cli_fail_usage  2, with a pointer to --help
 *   cli_fail_errno  3: "MESSAGE: " and strerror(errno)
 *   cli_fail_text   any exit code */
int cli_fail(struct cli *cli, bitcask_status status, const bitcask_error *error);
int cli_fail_key(struct cli *cli, bitcask_status status, const bitcask_error *error,
                 bitcask_slice key);
__attribute__((format(printf, 2, 3))) int cli_fail_usage(struct cli *cli, const char *format, ...);
__attribute__((format(printf, 2, 3))) int cli_fail_errno(struct cli *cli, const char *format, ...);
__attribute__((format(printf, 3, 4))) int cli_fail_text(struct cli *cli, int exit_code,
                                                        const char *format, ...);

/* "no store at DIRECTORY (use -d or BITCASK_DIR)", 3. */
int cli_fail_no_store(struct cli *cli, const char *directory);

/* A remark on stderr ("12 keys imported"); nothing with --quiet. */
__attribute__((format(printf, 2, 3))) void cli_remark(struct cli *cli, const char *format, ...);

enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_RED };

/* The escape sequence of a style on stdout; "" where there is to be no colour. */
const char *cli_style(struct cli *cli, enum cli_style style);

/* Ask "QUESTION? [y/N] " on the terminal. Returns CLI_DONE to go on (at once if `yes`);
 * CLI_NOT_FOUND if the answer is no; CLI_USAGE if there is no terminal to ask on. */
__attribute__((format(printf, 3, 4))) int cli_confirm(struct cli *cli, bool yes, const char *format,
                                                      ...);

/* ---- The store ----------------------------------------------------------------------------- */

enum cli_mode {
    CLI_READ,   /* read_only, never makes a store; beside a process that writes it, a follower */
    CLI_ALONE,  /* read_only, and nobody writes meanwhile */
    CLI_FOLLOW, /* a follower in any case */
    CLI_CHANGE, /* writes, never makes a store; sync always */
    CLI_CREATE, /* writes, makes the store if there is none; sync always */
    CLI_BULK,   /* the same for many writes: sync interval, background thread */
};

/* Open cli->directory. Sync mode and background come from `mode` unless the command line says
 * otherwise; all but CLI_BULK run without a background thread. Log events go to stderr, from warn
 * on unless --log-level is given.
 * Returns CLI_DONE and sets *db, or reports the error and returns its exit code. */
int cli_open_store(struct cli *cli, enum cli_mode mode, bitcask **db);

/* The same for another directory (bench). */
int cli_open_store_at(struct cli *cli, const char *directory, enum cli_mode mode, bitcask **db);

/* Close; returns `exit_code`, or if that is CLI_DONE the exit code of a close that failed. */
int cli_close_store(struct cli *cli, bitcask *db, int exit_code);

/* The callback behind log events; its context is the struct cli. Threads: safe. */
void cli_log(void *context, const bitcask_log_event *event);

/* ---- Interruption -------------------------------------------------------------------------- */

/* From now on Ctrl-C is something that a long command asks about, as often as it tells of its
 * progress; a second one ends the program. For a shell on a terminal, before each command;
 * elsewhere Ctrl-C ends the program at once. */
void cli_catch_interrupts(void);
bool cli_interrupted(void);

/* read(2), again after other signals; Ctrl-C, pressed before or meanwhile, ends it with EINTR. */
ssize_t cli_read(int fd, void *to, size_t size);

/* "interrupted", 1. */
int cli_fail_interrupted(struct cli *cli);

/* ---- Progress ------------------------------------------------------------------------------ */

/* On a terminal's stderr a bar with share, rate and remaining time, redrawn at most ten times a
 * second; else a plain line every few seconds; nothing with --quiet. Cheap enough to update for
 * each item. One thread. */
struct cli_progress {
    struct cli *cli;
    const char *what;
    const char *unit;
    uint64_t total, done;
    uint64_t started_us, shown_us;
    bool shown; /* anything at all */
};

/*   what   "importing"; static
 *   unit   "B" for bytes (printed as sizes), else a plural: "keys", "files"
 *   total  0: not known */
void cli_progress_start(struct cli_progress *progress, struct cli *cli, const char *what,
                        const char *unit, uint64_t total);
void cli_progress_update(struct cli_progress *progress, uint64_t done);
/* Take the bar off the terminal (leaving nothing, or the last plain line if any was printed).
 * Call it before other output; calling it again does nothing. */
void cli_progress_finish(struct cli_progress *progress);

/* ---- Units --------------------------------------------------------------------------------- */

enum { CLI_UNIT_SIZE = 48 }; /* room for any of the texts below */

/* False for anything malformed, negative, or too large (durations: 2^61 us). Counts may end in k, M
 * or G, which are 1000-based; sizes take K, M, G, ..., which are 1024-based. */
bool cli_parse_uint(const char *text, uint64_t *number);
bool cli_parse_size(const char *text, uint64_t *bytes);
bool cli_parse_duration(const char *text, uint64_t *us);
bool cli_parse_share(const char *text, double *share);
/* "2026-11-21T03:29:50.123456Z": RFC 3339, any offset, up to six digits of fraction, no earlier
 * than 1970. */
bool cli_parse_time(const char *text, uint64_t *us);

/* Print into `to` and return it. */
const char *cli_size_text(char to[CLI_UNIT_SIZE], uint64_t bytes);  /* "1.5 MiB", "312 B" */
const char *cli_count_text(char to[CLI_UNIT_SIZE], uint64_t count); /* "1,234,567" */
const char *cli_duration_text(char to[CLI_UNIT_SIZE], uint64_t us); /* "1h02m", "89.5s", "12ms" */
const char *cli_time_text(char to[CLI_UNIT_SIZE], uint64_t us);     /* RFC 3339, UTC, six digits */

/* Now, since 1970, and on the monotonic clock. */
uint64_t cli_now_us(void);
uint64_t cli_monotonic_us(void);

/* ---- Bytes as text ------------------------------------------------------------------------- */

/* Raw on stdout, but on a terminal as cli_print_escaped does it. */
void cli_print_bytes(struct cli *cli, bitcask_slice bytes);

/* With control bytes, backslashes and what is not UTF-8 as \n, \t, \\, \xNN. */
void cli_print_escaped(FILE *out, bitcask_slice bytes);

/* Backslash escapes \\ \t \n \r, all else raw: one field of TSV. */
void cli_print_tsv(FILE *out, bitcask_slice bytes);

/* "..." with everything escaped that JSON wants escaped. The bytes must be UTF-8. */
void cli_print_json_string(FILE *out, bitcask_slice text);

void cli_print_base64(FILE *out, bitcask_slice bytes);

/* One JSON object on one line, written member by member. */
struct cli_json {
    FILE *out;
    bool comma;
};

void cli_json_begin(struct cli_json *json, FILE *out);
void cli_json_end(struct cli_json *json); /* "}" and a newline */
void cli_json_uint(struct cli_json *json, const char *name, uint64_t number);
void cli_json_number(struct cli_json *json, const char *name, double number);
void cli_json_bool(struct cli_json *json, const char *name, bool value);
void cli_json_null(struct cli_json *json, const char *name);
void cli_json_text(struct cli_json *json, const char *name, const char *text); /* any bytes; what
                                                           is not UTF-8 becomes U+FFFD */
/* "NAME":"..." if the bytes are UTF-8, else "NAME_b64":"BASE64". */
void cli_json_bytes(struct cli_json *json, const char *name, bitcask_slice bytes);
/* As RFC 3339 text; null for 0. */
void cli_json_time(struct cli_json *json, const char *name, uint64_t us);

#endif
