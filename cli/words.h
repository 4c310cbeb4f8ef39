/* SPDX-License-Identifier: MIT
 * words.h: a line of the shell as words, quoted as in a POSIX shell.
 *
 *     plain          words are separated by blanks; # begins a comment where a word could begin
 *     'single'       all as it is, newlines too
 *     "double"       all but backslashes, newlines too; there are no variables
 *     \c             c itself; \n, \t, \r and \xHH are the bytes that they are printed for; a
 *                    backslash before the end of the line goes away with it
 *     <<WORD         the lines up to WORD are the standard input: see cli_words.here
 *
 * Outside quotes ; | & < > mean nothing here and are refused, as most who type them expect more of
 * them. Pure: no I/O. */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <stdbool.h>
#include <stddef.h>

enum cli_words_end {
    CLI_WORDS_WHOLE,
    CLI_WORDS_SINGLE,    /* inside '...': more lines are to come */
    CLI_WORDS_DOUBLE,    /* inside "..." */
    CLI_WORDS_BACKSLASH, /* behind a backslash at the end of the text */
    CLI_WORDS_BAD,       /* see .problem */
    CLI_WORDS_NO_MEMORY,
};

struct cli_words {
    char **word; /* `count` of them, and a NULL */
    size_t count;
    char *here;        /* the word behind <<, or NULL */
    size_t here_place; /* the << stood before word[here_place] */
    bool in_word;      /* the text ends inside the last word; false: behind a blank */
    char problem[80];  /* of CLI_WORDS_BAD */
    /* private */
    char *bytes;
};

/* Split `text`. Whatever is returned, `words` is to be freed; unless it is NO_MEMORY or BAD, it has
 * the words so far, the last one as far as the text has it. A word never holds a NUL byte. */
enum cli_words_end cli_words_split(struct cli_words *words, const char *text);

void cli_words_free(struct cli_words *words);

/* Write `word` so that it reads back inside quotes that are open as `end` says, at most `size`
 * bytes with the NUL. False if it does not fit, or cannot be written there ('...' has no way to
 * write a quote). */
bool cli_words_quote(char *to, size_t size, enum cli_words_end end, const char *word);

#endif
