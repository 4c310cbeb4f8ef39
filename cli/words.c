/* SPDX-License-Identifier: MIT
 * words.c: a line of the shell as words. */
#include "words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/encoding.h"

struct splitter {
    struct cli_words *words;
    const char *p;    /* the text still to be read */
    char *to;         /* into words->bytes, which has room for all of it */
    char *begin;      /* of the word at hand, or NULL */
    bool begins_here; /* the word at hand stands behind << */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void begin_word(struct splitter *s)
{
    if (s->begin == NULL)
        s->begin = s->to;
}

static void end_word(struct splitter *s)
{
    struct cli_words *words = s->words;
    if (s->begin == NULL)
        return;
    *s->to++ = '\0';
    if (s->begins_here)
        words->here = s->begin;
    else
        words->word[words->count++] = s->begin;
    s->begin = NULL;
    s->begins_here = false;
}

static enum cli_words_end bad(struct splitter *s, const char *problem)
{
    snprintf(s->words->problem, sizeof(s->words->problem), "%s", problem);
    return CLI_WORDS_BAD;
}

/* Behind a backslash; the byte that it stands for. */
static enum cli_words_end take_escape(struct splitter *s)
{
    char c = *s->p;
    if (c == '\0')
        return CLI_WORDS_BACKSLASH;
    s->p++;
    if (c == '\n') /* the line goes on */
        return CLI_WORDS_WHOLE;
    begin_word(s);
    if (c == 'x') {
        int high = hex_digit(s->p[0]), low = high < 0 ? -1 : hex_digit(s->p[1]);
        if (low < 0)
            return bad(s, "\\x wants two hexadecimal digits: \\x0a");
        if (high == 0 && low == 0)
            return bad(s, "a word cannot hold a NUL byte (put --file can)");
        *s->to++ = (char)(high * 16 + low);
        s->p += 2;
        return CLI_WORDS_WHOLE;
    }
    *s->to++ = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    return CLI_WORDS_WHOLE;
}

static enum cli_words_end take_single(struct splitter *s)
{
    begin_word(s);
    while (*s->p != '\'') {
        if (*s->p == '\0')
            return CLI_WORDS_SINGLE;
        *s->to++ = *s->p++;
    }
    s->p++;
    return CLI_WORDS_WHOLE;
}

static enum cli_words_end take_double(struct splitter *s)
{
    begin_word(s);
    while (*s->p != '"') {
        char c = *s->p;
        if (c == '\0')
            return CLI_WORDS_DOUBLE;
        s->p++;
        if (c != '\\') {
            *s->to++ = c;
            continue;
        }
        enum cli_words_end end = take_escape(s);
        if (end != CLI_WORDS_WHOLE)
            return end == CLI_WORDS_BACKSLASH ? CLI_WORDS_DOUBLE : end;
    }
    s->p++;
    return CLI_WORDS_WHOLE;
}

static enum cli_words_end take_operator(struct splitter *s)
{
    char problem[80];
    if (s->p[0] == '<' && s->p[1] == '<' && s->words->here == NULL && !s->begins_here) {
        end_word(s);
        s->p += 2;
        s->words->here_place = s->words->count;
        s->begins_here = true;
        while (*s->p == ' ' || *s->p == '\t')
            s->p++;
        return CLI_WORDS_WHOLE;
    }
    snprintf(problem, sizeof(problem), "%c means nothing in this shell: quote it", *s->p);
    return bad(s, problem);
}

static enum cli_words_end take_next(struct splitter *s)
{
    char c = *s->p;
    if (is_blank(c)) {
        end_word(s);
        s->p++;
        return CLI_WORDS_WHOLE;
    }
    if (c == '#' && s->begin == NULL) {
        s->p += strcspn(s->p, "\n");
        return CLI_WORDS_WHOLE;
    }
    if (strchr(";|&<>", c) != NULL)
        return take_operator(s);
    s->p++;
    switch (c) {
    case '\'':
        return take_single(s);
    case '"':
        return take_double(s);
    case '\\':
        return take_escape(s);
    default:
        begin_word(s);
        *s->to++ = c;
        return CLI_WORDS_WHOLE;
    }
}

enum cli_words_end cli_words_split(struct cli_words *words, const char *text)
{
    size_t size = strlen(text);
    *words = (struct cli_words){0};
    /* A word takes a byte and a blank at least; what is written never outgrows what is read. */
    words->bytes = malloc(size + 2);
    words->word = calloc(size / 2 + 2, sizeof(*words->word));
    if (words->bytes == NULL || words->word == NULL)
        return CLI_WORDS_NO_MEMORY;
    struct splitter s = {.words = words, .p = text, .to = words->bytes};
    enum cli_words_end end = CLI_WORDS_WHOLE;
    while (end == CLI_WORDS_WHOLE && *s.p != '\0')
        end = take_next(&s);
    words->in_word = s.begin != NULL;
    if (end == CLI_WORDS_BAD)
        return end;
    end_word(&s);
    if (end == CLI_WORDS_WHOLE && s.begins_here)
        return bad(&s, "<< wants a word, which ends the text: put KEY <<EOF");
    return end;
}

void cli_words_free(struct cli_words *words)
{
    free(words->bytes);
    free(words->word);
    *words = (struct cli_words){0};
}

/* One byte of a word as it is written in quotes of that kind; NULL: there is no way. */
static const char *write_byte(char to[8], enum cli_words_end end, unsigned char c)
{
    bool control = c < 0x20 || c == 0x7F;
    const char *special = end == CLI_WORDS_DOUBLE ? "\"\\" : " \"'\\#;|&<>";
    if (end == CLI_WORDS_SINGLE) {
        if (c == '\'' || control)
            return NULL;
        snprintf(to, 8, "%c", c);
    } else if (control) {
        snprintf(to, 8, "\\x%02x", c);
    } else if (strchr(special, c) != NULL) {
        snprintf(to, 8, "\\%c", c);
    } else {
        snprintf(to, 8, "%c", c);
    }
    return to;
}

bool cli_words_quote(char *to, size_t size, enum cli_words_end end, const char *word)
{
    size_t used = 0;
    for (; *word != '\0'; word++) {
        char byte[8];
        if (write_byte(byte, end, (unsigned char)*word) == NULL)
            return false;
        size_t length = strlen(byte);
        if (used + length + 1 > size)
            return false;
        memcpy(to + used, byte, length);
        used += length;
    }
    if (used + 1 > size)
        return false;
    to[used] = '\0';
    return true;
}
