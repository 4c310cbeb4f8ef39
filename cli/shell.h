/* SPDX-License-Identifier: MIT
 * shell.h: the parts of `bitcask shell`: where lines come from, and what they may be completed to.
 *
 *     cmd_shell.c       reads, runs, and the shell's own commands
 *     shell_input.c     lines: typed (with libedit, if built with it) or of a script; history
 *     shell_complete.c  commands, options, their values, files, keys
 *     words.c           quoting
 *     session.c         the open store */
#ifndef CLI_SHELL_H
#define CLI_SHELL_H

#include <limits.h>

#include "session.h"
#include "words.h"

/* ---- Lines --------------------------------------------------------------------------------- */

struct shell_input {
    struct cli_session *session;
    bool terminal;       /* a person types: prompts, editing, history */
    FILE *script;        /* where lines come from otherwise */
    uint64_t number;     /* of the last line read, from 1 */
    bool interrupted;    /* the last read ended by Ctrl-C */
    const char *prompt;  /* of the line being read */
    void *editor;        /* EditLine *, or NULL */
    void *history;       /* History *, or NULL */
    char *history_file;  /* or NULL: none is kept */
    char *edited, *last; /* memory of the line, the entry added last to the history */
};

/* Read from the terminal if standard input and output are one, else from the standard input, whose
 * descriptor is taken away from the commands. Without `keep_history` no file is read or written;
 * else it is $XDG_STATE_HOME/bitcask/history, with mode 0600.
 * Returns CLI_DONE, or reports an error. */
int shell_input_open(struct shell_input *input, struct cli_session *session, bool keep_history);
void shell_input_close(struct shell_input *input);

/* The next line without its newline, valid until the next call; NULL at the end, after an error
 * (errno), or if Ctrl-C took the line back (then input->interrupted is set). */
const char *shell_input_line(struct shell_input *input, const char *prompt);

/* Remember a whole command, of one line or several. */
void shell_input_remember(struct shell_input *input, const char *text);

/* ---- Completion ---------------------------------------------------------------------------- */

enum { SHELL_OFFERS_MAX = 200 };

struct shell_offers {
    char *word[SHELL_OFFERS_MAX]; /* sorted, each once; they begin with the word at the cursor */
    size_t count;
    bool more;                /* there are more, or it took too long to look for them */
    enum cli_words_end quote; /* in which the cursor stands */
    size_t typed;             /* bytes of the word at the cursor */
};

/* What the last word of `text`, the line up to the cursor, may be completed to. Keys are looked for
 * for a fifth of a second. */
void shell_complete(struct cli_session *session, const char *text, struct shell_offers *offers);
void shell_offers_free(struct shell_offers *offers);

/* The size of what all offers begin with. */
size_t shell_offers_common(const struct shell_offers *offers);

/* The shell's own commands, ended by NULL: "exit", "timing", ... */
extern const char *const shell_words[];

#endif
