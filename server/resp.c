/* SPDX-License-Identifier: MIT
 * resp.c: the Redis protocol's requests, out of bytes as they come. */
#include "resp.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"

enum {
    FIRST_WORDS = 8,          /* room made at first */
    KEPT_WORDS = 1024,        /* more room than that is given back after the request */
    LENGTH_DIGITS = 20,       /* of the longest number that fits an int64_t, with its sign */
    COUNT_LINE_MAX = 1 << 16, /* bytes to look for the end of a line with a length */
};

void resp_init(struct resp_parser *parser)
{
    *parser = (struct resp_parser){.bulk_left = -1};
}

void resp_release(struct resp_parser *parser)
{
    free(parser->words);
    resp_init(parser);
}

/* The next request begins. */
static void restart(struct resp_parser *parser)
{
    parser->scanned = 0;
    parser->wanted = 0;
    parser->words_left = 0;
    parser->bulk_left = -1;
}

static enum resp_result bad(struct resp_parser *parser, const char *error)
{
    parser->error = error;
    return RESP_BAD;
}

static bool add_word(struct resp_parser *parser, size_t offset, size_t size)
{
    if (parser->word_count == parser->word_capacity) {
        size_t capacity = parser->word_capacity == 0 ? FIRST_WORDS : parser->word_capacity * 2;
        bitcask_slice *words = realloc(parser->words, capacity * sizeof *words);
        if (words == NULL)
            return false;
        parser->words = words;
        parser->word_capacity = capacity;
    }
    parser->words[parser->word_count++] =
        (bitcask_slice){.data = (const void *)(uintptr_t)offset, .size = size};
    return true;
}

static enum resp_result finish(struct resp_parser *parser, const char *data, size_t consumed)
{
    restart(parser);
    parser->consumed = consumed;
    for (size_t i = 0; i < parser->word_count; i++)
        parser->words[i].data = data + (uintptr_t)parser->words[i].data;
    return parser->word_count == 0 ? RESP_EMPTY : RESP_REQUEST;
}

static void begin(struct resp_parser *parser)
{
    parser->word_count = 0;
    if (parser->word_capacity > KEPT_WORDS) {
        free(parser->words);
        parser->words = NULL;
        parser->word_capacity = 0;
    }
}

/* ---- Arrays of bulk strings ------------------------------------------------------------------ */

/* A number as redis-server takes one: no plus, no leading zeros, no "-0". */
static bool parse_length(const char *text, size_t size, int64_t *number)
{
    bool negative = size > 0 && text[0] == '-';
    size_t first = negative ? 1 : 0;
    if (size == first || size > LENGTH_DIGITS)
        return false;
    if (text[first] == '0') {
        *number = 0;
        return size == 1;
    }
    int64_t value = 0;
    for (size_t i = first; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value))
            return false;
    }
    *number = negative ? -value : value;
    return true;
}

/* The length of nearly every line: some digits and CR LF, all there. Anything else is looked at by
 * the slow way. */
static inline bool quick_length(const char *data, size_t size, size_t at, int64_t *length,
                                size_t *next)
{
    enum { DIGITS = 9 };
    size_t i = at + 1, end = size - at > DIGITS + 2 ? at + DIGITS + 1 : size;
    int64_t value = 0;
    unsigned digit;
    if (i < end && data[i] == '0')
        return false;
    while (i < end && (digit = (unsigned char)data[i] - (unsigned)'0') < 10) {
        value = value * 10 + digit;
        i++;
    }
    if (i == at + 1 || i + 2 > size || data[i] != '\r' || data[i + 1] != '\n')
        return false;
    *length = value;
    *next = i + 2;
    return true;
}

/* The line with a length at `at`, without its first character: its digits' count, and in *next what
 * is behind its CR LF. -1: it has not come as a whole. -2: it is longer than anything sensible. */
static int find_length(const char *data, size_t size, size_t at, size_t *next)
{
    size_t left = size - at;
    const char *end = memchr(data + at, '\r', left < COUNT_LINE_MAX ? left : COUNT_LINE_MAX);
    if (end == NULL)
        return left > COUNT_LINE_MAX ? -2 : -1;
    if (end + 1 == data + size)
        return -1;
    *next = (size_t)(end - data) + 2;
    return (int)((size_t)(end - data) - at - 1);
}

static enum resp_result parse_count(struct resp_parser *parser, const struct resp_limits *limits,
                                    const char *data, size_t size)
{
    size_t next;
    int64_t count;
    if (!quick_length(data, size, 0, &count, &next)) {
        int digits = find_length(data, size, 0, &next);
        if (digits == -1)
            return RESP_MORE;
        if (digits == -2)
            return bad(parser, "Protocol error: too big mbulk count string");
        if (data[next - 1] != '\n' || !parse_length(data + 1, (size_t)digits, &count))
            return bad(parser, "Protocol error: invalid multibulk length");
    }
    if (count > 0 && (uint64_t)count > limits->max_words)
        return bad(parser, limits->unauthenticated && count <= INT_MAX
                               ? "Protocol error: unauthenticated multibulk length"
                               : "Protocol error: invalid multibulk length");
    parser->scanned = next;
    parser->words_left = count;
    return RESP_REQUEST;
}

static enum resp_result parse_bulk_length(struct resp_parser *parser,
                                          const struct resp_limits *limits, const char *data,
                                          size_t size)
{
    size_t at = parser->scanned, next;
    int64_t length;
    if (at == size)
        return RESP_MORE;
    if (data[at] != '$') {
        snprintf(parser->error_text, sizeof parser->error_text,
                 "Protocol error: expected '$', got '%c'", data[at]);
        return bad(parser, parser->error_text);
    }
    if (!quick_length(data, size, at, &length, &next)) {
        int digits = find_length(data, size, at, &next);
        if (digits == -1)
            return RESP_MORE;
        if (digits == -2)
            return bad(parser, "Protocol error: too big bulk count string");
        if (data[next - 1] != '\n' || !parse_length(data + at + 1, (size_t)digits, &length) ||
            length < 0)
            return bad(parser, "Protocol error: invalid bulk length");
    }
    if ((uint64_t)length > limits->max_bulk)
        return bad(parser, limits->unauthenticated ? "Protocol error: unauthenticated bulk length"
                                                   : "Protocol error: invalid bulk length");
    parser->scanned = next;
    parser->bulk_left = length;
    return RESP_REQUEST;
}

static enum resp_result parse_array(struct resp_parser *parser, const struct resp_limits *limits,
                                    const char *data, size_t size)
{
    if (parser->words_left == 0) {
        enum resp_result result = parse_count(parser, limits, data, size);
        if (result != RESP_REQUEST)
            return result;
        begin(parser);
        if (parser->words_left <= 0)
            return finish(parser, data, parser->scanned);
    }
    while (parser->words_left > 0) {
        if (parser->bulk_left < 0) {
            enum resp_result result = parse_bulk_length(parser, limits, data, size);
            if (result != RESP_REQUEST)
                return result;
        }
        size_t at = parser->scanned, length = (size_t)parser->bulk_left;
        if (size - at < length + 2) {
            parser->wanted = at + length + 2;
            return RESP_MORE;
        }
        if (data[at + length] != '\r' || data[at + length + 1] != '\n')
            return bad(parser, "Protocol error: expected CRLF behind a bulk string");
        if (!add_word(parser, at, length))
            return bad(parser, "Protocol error: out of memory");
        parser->scanned = at + length + 2;
        parser->bulk_left = -1;
        parser->words_left--;
    }
    return finish(parser, data, parser->scanned);
}

/* ---- Lines of words -------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The word at data[*at]; what it says is written over it, beginning at data[*to]. False: a quote is
 * not closed, or is followed by something other than a blank. */
static bool unquote_word(char *data, size_t end, size_t *at, size_t *to)
{
    size_t i = *at, out = *to;
    char quote = 0;
    for (; i < end && (quote != 0 || !is_blank(data[i])); i++) {
        char c = data[i];
        if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else if (quote != 0 && c == quote) {
            if (i + 1 < end && !is_blank(data[i + 1]))
                return false;
            quote = 0;
            i++;
            break;
        } else if (quote == '"' && c == '\\' && i + 3 < end && data[i + 1] == 'x' &&
                   hex_digit(data[i + 2]) >= 0 && hex_digit(data[i + 3]) >= 0) {
            data[out++] = (char)(hex_digit(data[i + 2]) * 16 + hex_digit(data[i + 3]));
            i += 3;
        } else if (quote == '"' && c == '\\' && i + 1 < end) {
            data[out++] = unescape_char(data[++i]);
        } else if (quote == '\'' && c == '\\' && i + 1 < end && data[i + 1] == '\'') {
            data[out++] = data[++i];
        } else {
            data[out++] = c;
        }
    }
    *at = i;
    *to = out;
    return quote == 0;
}

static enum resp_result parse_line(struct resp_parser *parser, const struct resp_limits *limits,
                                   char *data, size_t size)
{
    const char *newline = memchr(data + parser->scanned, '\n', size - parser->scanned);
    size_t length = newline == NULL ? size : (size_t)(newline - data);
    if (length > limits->max_inline)
        return bad(parser, "Protocol error: too big inline request");
    if (newline == NULL) {
        parser->scanned = size;
        return RESP_MORE;
    }
    begin(parser);
    size_t end = length > 0 && data[length - 1] == '\r' ? length - 1 : length;
    for (size_t at = 0;;) {
        while (at < end && is_blank(data[at]))
            at++;
        if (at == end)
            break;
        size_t from = at, to = at;
        if (!unquote_word(data, end, &at, &to))
            return bad(parser, "Protocol error: unbalanced quotes in request");
        if (parser->word_count == limits->max_words || !add_word(parser, from, to - from))
            return bad(parser, "Protocol error: too many words in request");
    }
    return finish(parser, data, length + 1);
}

enum resp_result resp_parse(struct resp_parser *parser, const struct resp_limits *limits,
                            char *data, size_t size)
{
    if (size == 0)
        return RESP_MORE;
    parser->is_inline = data[0] != '*';
    return parser->is_inline ? parse_line(parser, limits, data, size)
                             : parse_array(parser, limits, data, size);
}

bool resp_peek_key(const char *data, size_t size, bitcask_slice *key)
{
    int64_t length;
    size_t at;
    if (size == 0 || data[0] != '*' || !quick_length(data, size, 0, &length, &at) || length < 2)
        return false;
    for (int word = 0; word < 2; word++) {
        if (at >= size || data[at] != '$' || !quick_length(data, size, at, &length, &at) ||
            (uint64_t)length > size - at)
            return false;
        *key = bitcask_bytes(data + at, (size_t)length);
        at += (size_t)length + 2;
    }
    return true;
}
