/* SPDX-License-Identifier: MIT
 * text.c: text and JSON that grows in memory. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#include "encoding.h"

void text_release(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

bool text_reserve(struct text *text, size_t more)
{
    if (text->failed)
        return false;
    if (more <= text->capacity - text->size)
        return true;
    if (more > SIZE_MAX / 4 || text->size > SIZE_MAX / 4) {
        text->failed = true;
        return false;
    }
    size_t capacity = text->capacity < 256 ? 256 : text->capacity;
    while (capacity < text->size + more)
        capacity += capacity / 2;
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_add(struct text *text, bitcask_slice bytes)
{
    if (bytes.size == 0 || !text_reserve(text, bytes.size))
        return;
    memcpy(text->data + text->size, bytes.data, bytes.size);
    text->size += bytes.size;
}

void text_add_c(struct text *text, const char *bytes)
{
    text_add(text, bitcask_str(bytes));
}

static void add_char(struct text *text, char c)
{
    text_add(text, bitcask_bytes(&c, 1));
}

void text_format(struct text *text, const char *format, ...)
{
    char small[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text->failed = true;
        return;
    }
    if ((size_t)length < sizeof small) {
        text_add(text, bitcask_bytes(small, (size_t)length));
        return;
    }
    if (!text_reserve(text, (size_t)length + 1))
        return;
    va_start(arguments, format);
    vsnprintf(text->data + text->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->size += (size_t)length;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* A comma is needed behind a value: behind all that is not an opening bracket, a colon, a comma. */
static void separate(struct text *text)
{
    if (text->size == 0)
        return;
    char last = text->data[text->size - 1];
    if (last != '{' && last != '[' && last != ':' && last != ',')
        add_char(text, ',');
}

void text_open(struct text *text, char bracket)
{
    separate(text);
    add_char(text, bracket);
}

void text_close(struct text *text, char bracket)
{
    add_char(text, bracket);
}

void text_member(struct text *text, const char *name)
{
    text_string_c(text, name);
    add_char(text, ':');
}

void text_json(struct text *text, const char *json)
{
    separate(text);
    text_add_c(text, json);
}

void text_unsigned(struct text *text, uint64_t number)
{
    separate(text);
    text_format(text, "%" PRIu64, number);
}

void text_number(struct text *text, double number)
{
    separate(text);
    if (isfinite(number))
        text_format(text, "%.10g", number);
    else
        text_add_c(text, "null");
}

void text_bool(struct text *text, bool value)
{
    text_json(text, value ? "true" : "false");
}

void text_null(struct text *text)
{
    text_json(text, "null");
}

void text_string(struct text *text, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    separate(text);
    add_char(text, '"');
    size_t plain = 0; /* start of the bytes not yet added */
    for (size_t i = 0; i < bytes.size;) {
        char room[JSON_ESCAPE_SIZE];
        size_t length = utf8_sequence(p + i, bytes.size - i);
        const char *escape = length == 0 ? "\\ufffd" : length == 1 ? json_escape(p[i], room) : NULL;
        if (escape == NULL) {
            i += length;
            continue;
        }
        text_add(text, bitcask_bytes(p + plain, i - plain));
        text_add_c(text, escape);
        plain = ++i;
    }
    if (bytes.size > plain)
        text_add(text, bitcask_bytes(p + plain, bytes.size - plain));
    add_char(text, '"');
}

void text_string_c(struct text *text, const char *bytes)
{
    text_string(text, bitcask_str(bytes));
}

void text_bytes(struct text *text, const char *name, bitcask_slice bytes)
{
    if (utf8_is_valid(bytes)) {
        text_member(text, name);
        text_string(text, bytes);
        return;
    }
    separate(text);
    text_format(text, "\"%s_b64\":\"", name);
    text_base64(text, bytes);
    add_char(text, '"');
}

void text_member_unsigned(struct text *text, const char *name, uint64_t number)
{
    text_member(text, name);
    text_unsigned(text, number);
}

void text_member_string(struct text *text, const char *name, const char *value)
{
    text_member(text, name);
    text_string_c(text, value);
}

void text_member_bool(struct text *text, const char *name, bool value)
{
    text_member(text, name);
    text_bool(text, value);
}

/* ---- base64, and percent-encoding ---------------------------------------------------------- */

void text_base64(struct text *text, bitcask_slice bytes)
{
    size_t size = base64_size(bytes.size);
    if (size == 0 || !text_reserve(text, size))
        return;
    base64_encode(text->data + text->size, bytes);
    text->size += size;
}

bool text_from_base64(struct text *text, bitcask_slice encoded)
{
    size_t size = 0;
    if (encoded.size < 4) /* no room is needed, and may not be there */
        return encoded.size == 0;
    if (!text_reserve(text, encoded.size / 4 * 3) ||
        !base64_decode(encoded, text->data + text->size, &size))
        return false;
    text->size += size;
    return true;
}

bool text_from_percent(struct text *text, bitcask_slice encoded, bool plus_is_space)
{
    const char *p = encoded.data;
    if (!text_reserve(text, encoded.size))
        return false;
    for (size_t i = 0; i < encoded.size; i++) {
        char c = p[i];
        if (c == '%') {
            if (encoded.size - i < 3 || hex_digit(p[i + 1]) < 0 || hex_digit(p[i + 2]) < 0)
                return false;
            c = (char)(hex_digit(p[i + 1]) * 16 + hex_digit(p[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        text->data[text->size++] = c;
    }
    return true;
}
