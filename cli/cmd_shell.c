/* SPDX-License-Identifier: MIT
 * cmd_shell.c: shell: the commands of the command line, on a store that stays open. */
#include <errno.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shell.h"

struct shell {
    struct cli *cli;
    struct cli_session session;
    struct shell_input input;
    bool keep_going, timing, leave;
    int exit_code; /* of a script: that of the first line that failed */
};

/* ---- One line ------------------------------------------------------------------------------ */

/* What a command says has to be out before the next one, and a command that could not say it has
 * failed. */
static int flush_output(struct cli *cli, int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    int failed = cli_fail_errno(cli, "cannot write the output");
    clearerr(stdout);
    return exit_code == CLI_DONE ? failed : exit_code;
}

static int run_command(struct shell *shell, size_t count, char **words)
{
    struct cli line;
    memcpy(&line, shell->cli, sizeof(line));
    line.session = &shell->session;
    line.stdin_tty = isatty(STDIN_FILENO) == 1;
    const struct cli_command *command;
    struct cli_args args;
    int exit_code = cli_parse(&line, (int)count, words, &command, &args);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (command == &cli_command_shell)
        return cli_fail_usage(&line, "this is a shell already");
    if (command->closes_store)
        exit_code = cli_session_close(&shell->session);
    if (exit_code == CLI_DONE)
        exit_code = command->run(&line, &args);
    return flush_output(&line, exit_code);
}

/* With `here` as the standard input. */
static int run_with_input(struct shell *shell, size_t count, char **words, const char *here,
                          size_t size)
{
    struct cli *cli = shell->cli;
    int before = dup(STDIN_FILENO), file = memfd_create("here", MFD_CLOEXEC);
    int exit_code = CLI_DONE;
    bool ready = before >= 0 && file >= 0;
    for (size_t done = 0; ready && done < size;) {
        ssize_t written = write(file, here + done, size - done);
        ready = written > 0;
        done += ready ? (size_t)written : 0;
    }
    ready = ready && lseek(file, 0, SEEK_SET) == 0 && dup2(file, STDIN_FILENO) >= 0;
    if (!ready)
        exit_code = cli_fail_errno(cli, "cannot keep the text behind <<");
    else
        exit_code = run_command(shell, count, words);
    if (ready && dup2(before, STDIN_FILENO) < 0)
        exit_code = cli_fail_errno(cli, "cannot go back to the input of before");
    __fpurge(stdin);
    clearerr(stdin);
    if (before >= 0)
        close(before);
    if (file >= 0)
        close(file);
    return exit_code;
}

/* ---- The shell's own commands -------------------------------------------------------------- */

const char *const shell_words[] = {"exit", "quit", "timing", NULL};

static int print_shell_help(struct cli *cli)
{
    printf("The store is %s. The commands are those of the command line:\n\n", cli->directory);
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++)
        if (*c != &cli_command_shell)
            printf("  %-14s %s\n", (*c)->name, (*c)->summary);
    puts("\nand the shell's own:\n\n"
         "  timing on|off  print how long each command takes\n"
         "  exit, quit     leave (or Ctrl-D)\n"
         "\n"
         "help COMMAND explains a command. Words are quoted as in a POSIX shell: 'a b', \"a b\",\n"
         "a\\ b, \\x0a for a byte. A quote may span lines; `put KEY <<EOF` takes the lines up to\n"
         "EOF. Tab completes commands, options and keys. Ctrl-C takes a line back, or stops a\n"
         "long command.");
    return CLI_DONE;
}

static int set_timing(struct shell *shell, size_t count, char **words)
{
    if (count == 2 && (strcmp(words[1], "on") == 0 || strcmp(words[1], "off") == 0)) {
        shell->timing = strcmp(words[1], "on") == 0;
        return CLI_DONE;
    }
    if (count > 1)
        return cli_fail_usage(shell->cli, "timing takes on or off");
    printf("timing is %s\n", shell->timing ? "on" : "off");
    return CLI_DONE;
}

/* True if words[0] is one of them; *exit_code is then set. */
static bool run_own(struct shell *shell, size_t count, char **words, int *exit_code)
{
    if (strcmp(words[0], "exit") == 0 || strcmp(words[0], "quit") == 0) {
        shell->leave = true;
        *exit_code =
            count == 1 ? CLI_DONE : cli_fail_usage(shell->cli, "%s takes nothing", words[0]);
    } else if (strcmp(words[0], "timing") == 0) {
        *exit_code = set_timing(shell, count, words);
    } else if (strcmp(words[0], "help") == 0 && count == 1 && !shell->cli->json) {
        *exit_code = print_shell_help(shell->cli);
    } else {
        return false;
    }
    return true;
}

/* ---- Whole commands ------------------------------------------------------------------------ */

struct text {
    char *data;
    size_t size;
};

static bool append_line(struct text *text, const char *line)
{
    size_t size = strlen(line);
    char *grown = realloc(text->data, text->size + size + 2);
    if (grown == NULL)
        return false;
    memcpy(grown + text->size, line, size);
    memcpy(grown + text->size + size, "\n", 2);
    text->data = grown;
    text->size += size + 1;
    return true;
}

/* The lines up to the one that is `end`. */
static int read_here(struct shell *shell, const char *end, struct text *here)
{
    for (;;) {
        const char *line = shell_input_line(&shell->input, "> ");
        if (line == NULL && shell->input.interrupted)
            return CLI_NOT_FOUND;
        if (line == NULL)
            return cli_fail_usage(shell->cli, "line %llu: the text behind << ends without %s",
                                  (unsigned long long)shell->input.number, end);
        if (strcmp(line, end) == 0)
            return CLI_DONE;
        if (!append_line(here, line))
            return cli_fail(shell->cli, BITCASK_NO_MEMORY, NULL);
    }
}

static int fail_line(struct shell *shell, const char *problem)
{
    return shell->input.terminal ? cli_fail_usage(shell->cli, "%s", problem)
                                 : cli_fail_usage(shell->cli, "line %llu: %s",
                                                  (unsigned long long)shell->input.number, problem);
}

/* Read lines until they make a whole command: *text has them, without the newline behind the last.
 * CLI_DONE with no text at the end of the input. */
static int read_command(struct shell *shell, struct cli_words *words, struct text *text)
{
    const char *prompt = "bitcask> ";
    for (;;) {
        errno = 0;
        const char *line = shell_input_line(&shell->input, prompt);
        if (line == NULL && shell->input.interrupted)
            return CLI_NOT_FOUND;
        if (line == NULL && errno == EILSEQ)
            return fail_line(shell, "a NUL byte: this is no text");
        if (line == NULL && text->size > 0)
            return fail_line(shell, "the input ends inside a quote");
        if (line == NULL) {
            shell->leave = true;
            return CLI_DONE;
        }
        if (!append_line(text, line))
            return cli_fail(shell->cli, BITCASK_NO_MEMORY, NULL);
        text->data[text->size - 1] = '\0'; /* for the split: the newline only between lines */
        enum cli_words_end end = cli_words_split(words, text->data);
        if (end == CLI_WORDS_WHOLE)
            return CLI_DONE;
        char problem[sizeof(words->problem)];
        memcpy(problem, words->problem, sizeof(problem));
        cli_words_free(words);
        if (end == CLI_WORDS_BAD)
            return fail_line(shell, problem);
        if (end == CLI_WORDS_NO_MEMORY)
            return cli_fail(shell->cli, BITCASK_NO_MEMORY, NULL);
        text->data[text->size - 1] = '\n';
        prompt = end == CLI_WORDS_SINGLE   ? "      '> "
                 : end == CLI_WORDS_DOUBLE ? "      \"> "
                                           : "       > ";
    }
}

/* `put KEY <<EOF` is `put KEY - <<EOF`. */
static void put_dash(struct cli_words *words, char **list, size_t *count)
{
    static char dash[] = "-";
    for (size_t i = 0; i < *count; i++)
        if (strcmp(list[i], dash) == 0)
            return;
    size_t place = words->here_place + 1; /* list[0] is the program's name */
    memmove(list + place + 1, list + place, (*count - place) * sizeof(*list));
    list[place] = dash;
    ++*count;
}

static int run_words(struct shell *shell, struct cli_words *words, const struct text *here)
{
    static char program[] = "bitcask";
    int exit_code;
    if (words->count == 0 || run_own(shell, words->count, words->word, &exit_code))
        return words->count == 0 ? CLI_DONE : exit_code;
    /* What is copied from a manual begins with the program's name: it may. */
    bool named = words->count > 1 && strcmp(words->word[0], program) == 0;
    char **list = calloc(words->count + 3, sizeof(*list));
    if (list == NULL)
        return cli_fail(shell->cli, BITCASK_NO_MEMORY, NULL);
    size_t count = words->count + 1;
    list[0] = program;
    memcpy(list + 1, words->word, words->count * sizeof(*list));
    if (words->here != NULL)
        put_dash(words, list, &count);
    size_t skip = named ? 1 : 0;
    exit_code = words->here == NULL
                    ? run_command(shell, count - skip, list + skip)
                    : run_with_input(shell, count - skip, list + skip, here->data, here->size);
    free(list);
    return exit_code;
}

/* Read one command and run it. */
static int run_next(struct shell *shell)
{
    struct cli_words words = {0};
    struct text text = {0}, here = {0};
    if (shell->input.terminal)
        cli_catch_interrupts(); /* from here on, so that none falls between line and command */
    int exit_code = read_command(shell, &words, &text);
    if (exit_code == CLI_DONE && words.count > 0)
        shell_input_remember(&shell->input, text.data);
    if (exit_code == CLI_DONE && words.here != NULL)
        exit_code = read_here(shell, words.here, &here);
    if (exit_code == CLI_DONE && !shell->leave && words.count > 0) {
        uint64_t began_us = cli_monotonic_us();
        exit_code = run_words(shell, &words, &here);
        uint64_t took_us = cli_monotonic_us() - began_us;
        char time[CLI_UNIT_SIZE];
        if (shell->timing)
            fprintf(stderr, "time: %s\n", cli_duration_text(time, took_us));
    }
    cli_words_free(&words);
    free(text.data);
    free(here.data);
    return exit_code;
}

/* ---- The command --------------------------------------------------------------------------- */

enum { SHELL_KEEP_GOING, SHELL_NO_HISTORY };

static const struct cli_option shell_options[] = {
    [SHELL_KEEP_GOING] = {"keep-going", 'k', CLI_FLAG, NULL,
                          "a script goes on behind a line that fails"},
    [SHELL_NO_HISTORY] = {"no-history", 0, CLI_FLAG, NULL, "keep no history of what is typed"},
    {0},
};

static void run_all(struct shell *shell)
{
    while (!shell->leave) {
        int exit_code = run_next(shell);
        if (exit_code == CLI_DONE || shell->input.terminal)
            continue;
        if (shell->exit_code == CLI_DONE)
            shell->exit_code = exit_code;
        shell->leave |= !shell->keep_going;
    }
}

static int run_shell(struct cli *cli, const struct cli_args *args)
{
    struct shell shell = {.cli = cli, .session = {.cli = cli}};
    shell.keep_going = args->options[SHELL_KEEP_GOING].set;
    int exit_code =
        shell_input_open(&shell.input, &shell.session, !args->options[SHELL_NO_HISTORY].set);
    if (exit_code == CLI_DONE) {
        if (shell.input.terminal)
            cli_remark(cli, "bitcask %s, store %s; help explains, Ctrl-D leaves", bitcask_version(),
                       cli->directory);
        run_all(&shell);
        exit_code = shell.exit_code;
    }
    shell_input_close(&shell.input);
    int closed = cli_session_close(&shell.session);
    return exit_code == CLI_DONE ? closed : exit_code;
}

const struct cli_command cli_command_shell = {
    .name = "shell",
    .summary = "run many commands on a store that stays open",
    .details =
        "On a terminal lines are edited, remembered ($XDG_STATE_HOME/bitcask/history) and\n"
        "completed: commands, options, files, keys. Else the standard input is a script: it\n"
        "ends at the first line that fails, with that line's exit code.\n"
        "\n"
        "The commands are those of the command line, with their options; --json, --sync and\n"
        "other options of the shell hold for all of them. help lists the shell's own.\n"
        "\n"
        "Words are quoted as in a POSIX shell, with 'single' and \"double\" quotes, which may\n"
        "span lines, and backslashes; \\n, \\t, \\r and \\xHH stand for bytes. There are no\n"
        "variables and no pipes. put KEY <<EOF takes the lines up to EOF as the value. In a\n"
        "script get prints a value without a newline behind it, as ever; mget and --json end\n"
        "lines.\n"
        "\n"
        "The store is open for reading until a command writes, then for writing, with the lock\n"
        "that goes with it; --read-only keeps it open for others.\n",
    .examples = "printf 'put a 1\\nput b 2\\nget a\\n' | bitcask shell\n"
                "bitcask shell --keep-going </dev/null\n",
    .options = shell_options,
    .run = run_shell,
};
