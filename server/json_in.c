/* SPDX-License-Identifier: MIT
 * json_in.c: reading JSON that came from outside. */
#include <string.h>

#include "encoding.h"
#include "json_in.h"

struct reader {
    const char *at, *end;
};

static bool skip_value(struct reader *in, unsigned depth);

static void skip_space(struct reader *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

static bool take(struct reader *in, char c)
{
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

static bool take_word(struct reader *in, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(in->end - in->at) < size || memcmp(in->at, word, size) != 0)
        return false;
    in->at += size;
    return true;
}

static bool take_digits(struct reader *in)
{
    const char *start = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    return in->at > start;
}

static bool skip_number(struct reader *in)
{
    take(in, '-');
    if (!take(in, '0') && !take_digits(in))
        return false;
    if (take(in, '.') && !take_digits(in))
        return false;
    if (take(in, 'e') || take(in, 'E')) {
        if (!take(in, '+'))
            take(in, '-');
        return take_digits(in);
    }
    return true;
}

/* The four digits of \uXXXX. */
static bool take_unit(struct reader *in, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = in->at < in->end ? hex_digit(*in->at) : -1;
        if (digit < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)digit;
        in->at++;
    }
    return true;
}

/* What follows a backslash, as a code point. */
static bool take_escape(struct reader *in, uint32_t *code)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end)
        return false;
    char c = *in->at++;
    if (c != 'u') {
        const char *found = c == '\0' ? NULL : strchr(names, c);
        if (found == NULL)
            return false;
        *code = (unsigned char)meanings[found - names];
        return true;
    }
    uint32_t low;
    if (!take_unit(in, code) || (*code >= 0xDC00 && *code < 0xE000))
        return false;
    if (*code < 0xD800 || *code >= 0xE000)
        return true;
    if (!take_word(in, "\\u") || !take_unit(in, &low) || low < 0xDC00 || low >= 0xE000)
        return false;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static void add_utf8(struct text *text, uint32_t code)
{
    char bytes[4];
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3F));
    bytes[0] = (char)(lead[size] | code);
    text_add(text, bitcask_bytes(bytes, size));
}

/* A string; its bytes go to `text`, if that is not NULL. */
static bool read_string(struct reader *in, struct text *text)
{
    if (!take(in, '"'))
        return false;
    while (in->at < in->end) {
        const char *start = in->at;
        unsigned char c = (unsigned char)*in->at;
        if (take(in, '"'))
            return true;
        if (c < 0x20)
            return false;
        if (c == '\\') {
            uint32_t code;
            in->at++;
            if (!take_escape(in, &code))
                return false;
            if (text != NULL)
                add_utf8(text, code);
            continue;
        }
        size_t size = utf8_sequence((const uint8_t *)start, (size_t)(in->end - start));
        if (size == 0)
            return false;
        in->at += size;
        if (text != NULL)
            text_add(text, bitcask_bytes(start, size));
    }
    return false;
}

static bool skip_container(struct reader *in, char close, unsigned depth)
{
    skip_space(in);
    if (take(in, close))
        return true;
    for (;;) {
        skip_space(in);
        if (close == '}') {
            if (!read_string(in, NULL))
                return false;
            skip_space(in);
            if (!take(in, ':'))
                return false;
        }
        if (!skip_value(in, depth))
            return false;
        skip_space(in);
        if (take(in, close))
            return true;
        if (!take(in, ','))
            return false;
    }
}

static bool skip_value(struct reader *in, unsigned depth)
{
    skip_space(in);
    if (in->at == in->end)
        return false;
    switch (*in->at) {
    case '{':
    case '[': {
        char close = *in->at == '{' ? '}' : ']';
        in->at++;
        return depth < JSON_DEPTH && skip_container(in, close, depth + 1);
    }
    case '"':
        return read_string(in, NULL);
    case 't':
        return take_word(in, "true");
    case 'f':
        return take_word(in, "false");
    case 'n':
        return take_word(in, "null");
    default:
        return skip_number(in);
    }
}

bool json_in_is_valid(bitcask_slice text, bitcask_slice *value)
{
    if (text.size == 0)
        return false;
    struct reader in = {text.data, (const char *)text.data + text.size};
    skip_space(&in);
    const char *start = in.at;
    if (!skip_value(&in, 0))
        return false;
    *value = bitcask_bytes(start, (size_t)(in.at - start));
    skip_space(&in);
    return in.at == in.end;
}

char json_in_kind(bitcask_slice value)
{
    char c = value.size == 0 ? 'n' : *(const char *)value.data;
    return c == '-' || (c >= '0' && c <= '9') ? '0' : c;
}

struct json_in_walk json_in_walk(bitcask_slice value)
{
    struct json_in_walk walk = {value.data, value.data, false};
    char kind = json_in_kind(value);
    if (kind == '{' || kind == '[') {
        walk.at++;
        walk.end = (const char *)value.data + value.size - 1;
        walk.object = kind == '{';
    }
    return walk;
}

bool json_in_next(struct json_in_walk *walk, bitcask_slice *name, bitcask_slice *value)
{
    struct reader in = {walk->at, walk->end};
    skip_space(&in);
    take(&in, ',');
    skip_space(&in);
    if (in.at == in.end)
        return false;
    *name = (bitcask_slice){0};
    if (walk->object) {
        const char *start = in.at;
        if (!read_string(&in, NULL))
            return false;
        *name = bitcask_bytes(start, (size_t)(in.at - start));
        skip_space(&in);
        take(&in, ':');
        skip_space(&in);
    }
    const char *start = in.at;
    if (!skip_value(&in, 0))
        return false;
    *value = bitcask_bytes(start, (size_t)(in.at - start));
    walk->at = in.at;
    return true;
}

bool json_in_find(bitcask_slice object, const char *name, bitcask_slice *value)
{
    bitcask_slice found;
    size_t size = strlen(name);
    if (json_in_kind(object) != '{')
        return false;
    for (struct json_in_walk walk = json_in_walk(object); json_in_next(&walk, &found, value);)
        if (found.size == size + 2 && memcmp((const char *)found.data + 1, name, size) == 0)
            return true;
    return false;
}

bool json_in_string(bitcask_slice value, struct text *text)
{
    struct reader in = {value.data, (const char *)value.data + value.size};
    return value.size > 0 && read_string(&in, text);
}

bool json_in_unsigned(bitcask_slice value, uint64_t *number)
{
    const char *p = value.data;
    if (value.size == 0 || (value.size > 1 && p[0] == '0'))
        return false;
    *number = 0;
    for (size_t i = 0; i < value.size; i++) {
        unsigned digit = (unsigned)(p[i] - '0');
        if (p[i] < '0' || p[i] > '9' || *number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return true;
}
