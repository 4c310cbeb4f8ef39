/* SPDX-License-Identifier: MIT
 * foreign_json.c: finding the end of a JSON value, and the text of a JSON string. */
#include <jansson.h>
#include <string.h>

#include "cli.h"
#include "foreign.h"
#include "formats.h"
#include "server/encoding.h"

enum { DEPTH_MAX = 1024 }; /* as deep as Python goes */

struct scanner {
    const char *at, *end;
    uint8_t is_object[DEPTH_MAX / 8]; /* a bit for each bracket that is open */
    size_t depth;
};

static void skip_space(struct scanner *scanner)
{
    while (scanner->at < scanner->end && strchr(" \t\r\n", *scanner->at) != NULL &&
           *scanner->at != '\0')
        scanner->at++;
}

static bool at_char(const struct scanner *scanner, char c)
{
    return scanner->at < scanner->end && *scanner->at == c;
}

static bool take_char(struct scanner *scanner, char c)
{
    bool there = at_char(scanner, c);
    scanner->at += there;
    return there;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Behind the backslash. */
static bool take_escape(struct scanner *scanner)
{
    if (scanner->at == scanner->end || *scanner->at == '\0' ||
        strchr("\"\\/bfnrtu", *scanner->at) == NULL)
        return false;
    if (*scanner->at++ != 'u')
        return true;
    if (scanner->end - scanner->at < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (!is_hex(*scanner->at++))
            return false;
    return true;
}

static bool take_string(struct scanner *scanner)
{
    if (!take_char(scanner, '"'))
        return false;
    while (scanner->at < scanner->end) {
        unsigned char c = (unsigned char)*scanner->at;
        if (take_char(scanner, '"'))
            return true;
        size_t size = c < 0x20 ? 0
                               : utf8_sequence((const uint8_t *)scanner->at,
                                               (size_t)(scanner->end - scanner->at));
        if (size == 0)
            return false;
        scanner->at += size;
        if (c == '\\' && !take_escape(scanner))
            return false;
    }
    return false;
}

static bool take_digits(struct scanner *scanner)
{
    const char *start = scanner->at;
    while (scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9')
        scanner->at++;
    return scanner->at > start;
}

static bool take_word(struct scanner *scanner, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(scanner->end - scanner->at) < size || memcmp(scanner->at, word, size) != 0)
        return false;
    scanner->at += size;
    return true;
}

static bool take_number(struct scanner *scanner)
{
    take_char(scanner, '-');
    if (take_word(scanner, "Infinity"))
        return true;
    bool zero = at_char(scanner, '0');
    const char *start = scanner->at;
    if (!take_digits(scanner) || (zero && scanner->at > start + 1))
        return false;
    if (take_char(scanner, '.') && !take_digits(scanner))
        return false;
    if (!take_char(scanner, 'e') && !take_char(scanner, 'E'))
        return true;
    if (!take_char(scanner, '+'))
        take_char(scanner, '-');
    return take_digits(scanner);
}

static bool take_scalar(struct scanner *scanner)
{
    return at_char(scanner, '"') ? take_string(scanner)
                                 : take_word(scanner, "null") || take_word(scanner, "true") ||
                                       take_word(scanner, "false") || take_word(scanner, "NaN") ||
                                       take_number(scanner);
}

/* ---- Nesting ------------------------------------------------------------------------------- */

static bool in_object(const struct scanner *scanner)
{
    size_t top = scanner->depth - 1;
    return scanner->is_object[top / 8] >> (top % 8) & 1;
}

/* A member's name and its colon, if it is an object that is open. */
static bool take_name(struct scanner *scanner)
{
    if (scanner->depth == 0 || !in_object(scanner))
        return true;
    skip_space(scanner);
    if (!take_string(scanner))
        return false;
    skip_space(scanner);
    return take_char(scanner, ':');
}

static bool open_bracket(struct scanner *scanner, bool object)
{
    if (scanner->depth == DEPTH_MAX)
        return false;
    size_t top = scanner->depth++;
    uint8_t bit = (uint8_t)(1u << (top % 8));
    scanner->is_object[top / 8] =
        (uint8_t)(object ? scanner->is_object[top / 8] | bit : scanner->is_object[top / 8] & ~bit);
    return true;
}

/* Behind a value: close what ends here. *done if that was the outermost; else a comma is taken. */
static bool leave_value(struct scanner *scanner, bool *done)
{
    while (scanner->depth > 0) {
        skip_space(scanner);
        if (take_char(scanner, ','))
            return true;
        if (!take_char(scanner, in_object(scanner) ? '}' : ']'))
            return false;
        scanner->depth--;
    }
    *done = true;
    return true;
}

/* One value, or the start of one with others in it. */
static bool take_value(struct scanner *scanner, bool *done)
{
    if (!take_name(scanner))
        return false;
    skip_space(scanner);
    bool object = at_char(scanner, '{');
    if (!object && !at_char(scanner, '['))
        return take_scalar(scanner) && leave_value(scanner, done);
    scanner->at++;
    if (!open_bracket(scanner, object))
        return false;
    skip_space(scanner);
    if (!at_char(scanner, object ? '}' : ']'))
        return true;
    return leave_value(scanner, done);
}

size_t foreign_json_scan(bitcask_slice text, bitcask_slice *value)
{
    const char *start = text.data;
    if (text.size == 0)
        return 0;
    struct scanner scanner = {.at = start, .end = start + text.size};
    skip_space(&scanner);
    const char *begin = scanner.at;
    for (bool done = false; !done;)
        if (!take_value(&scanner, &done))
            return 0;
    *value = bitcask_bytes(begin, (size_t)(scanner.at - begin));
    return (size_t)(scanner.at - start);
}

enum foreign_result foreign_json_text(bitcask_slice string, bitcask_buffer *room,
                                      bitcask_slice *text)
{
    const char *p = string.data;
    if (memchr(p, '\\', string.size) == NULL) {
        *text = bitcask_bytes(p + 1, string.size - 2);
        return FOREIGN_RECORD;
    }
    json_error_t error;
    json_t *tree = json_loadb(string.data, string.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (tree == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? FOREIGN_NO_MEMORY
                                                                   : FOREIGN_DAMAGED;
    enum foreign_result result = FOREIGN_RECORD;
    size_t size = json_string_length(tree);
    room->size = 0;
    if (!json_is_string(tree)) {
        result = FOREIGN_DAMAGED;
    } else if (!buffer_reserve(room, size)) {
        result = FOREIGN_NO_MEMORY;
    } else {
        if (size > 0)
            memcpy(room->data, json_string_value(tree), size);
        room->size = size;
        *text = bitcask_bytes(room->data, size);
    }
    json_decref(tree);
    return result;
}
