/* SPDX-License-Identifier: MIT
 * text.c: text and JSON that grows in memory. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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

size_t text_utf8_sequence(const uint8_t *p, size_t size)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (length == 0 || length > size)
        return 0;
    uint8_t low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool text_is_utf8(bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size;) {
        size_t length = text_utf8_sequence(p + i, bytes.size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
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

static void add_escaped(struct text *text, uint8_t c)
{
    switch (c) {
    case '"':
        text_add_c(text, "\\\"");
        break;
    case '\\':
        text_add_c(text, "\\\\");
        break;
    case '\n':
        text_add_c(text, "\\n");
        break;
    case '\r':
        text_add_c(text, "\\r");
        break;
    case '\t':
        text_add_c(text, "\\t");
        break;
    default:
        text_format(text, "\\u%04x", c);
    }
}

void text_string(struct text *text, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    separate(text);
    add_char(text, '"');
    size_t plain = 0; /* start of the bytes not yet added */
    for (size_t i = 0; i < bytes.size;) {
        size_t length = text_utf8_sequence(p + i, bytes.size - i);
        if (length > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7F) {
            i += length;
            continue;
        }
        text_add(text, bitcask_bytes(p + plain, i - plain));
        if (length == 0)
            text_add_c(text, "\\ufffd");
        else
            add_escaped(text, p[i]);
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
    if (text_is_utf8(bytes)) {
        text_member(text, name);
        text_string(text, bytes);
        return;
    }
    separate(text);
    text_format(text, "\"%s_b64\":\"", name);
    text_base64(text, bytes);
    add_char(text, '"');
}

/* ---- base64, and percent-encoding ---------------------------------------------------------- */

void text_base64(struct text *text, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    if (!text_reserve(text, (bytes.size + 2) / 3 * 4))
        return;
    char *to = text->data + text->size;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t three = (uint32_t)p[i] << 16;
        three |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        three |= left > 2 ? p[i + 2] : 0;
        *to++ = BASE64[three >> 18];
        *to++ = BASE64[three >> 12 & 63];
        *to++ = left > 1 ? BASE64[three >> 6 & 63] : '=';
        *to++ = left > 2 ? BASE64[three & 63] : '=';
    }
    text->size = (size_t)(to - text->data);
}

static int digit64(char c)
{
    const char *found = c == '\0' ? NULL : strchr(BASE64, c);
    return found == NULL ? -1 : (int)(found - BASE64);
}

bool text_from_base64(struct text *text, bitcask_slice encoded)
{
    const char *p = encoded.data;
    if (encoded.size % 4 != 0)
        return false;
    for (size_t i = 0; i < encoded.size; i += 4) {
        bool last = i + 4 == encoded.size;
        int padding = !last || p[i + 3] != '=' ? 0 : p[i + 2] == '=' ? 2 : 1;
        uint32_t three = 0;
        for (int k = 0; k < 4; k++) {
            int digit = k >= 4 - padding ? 0 : digit64(p[i + (size_t)k]);
            if (digit < 0)
                return false;
            three = three << 6 | (uint32_t)digit;
        }
        /* bits behind the end must be 0, so that a value has one encoding */
        if ((padding == 1 && (three & 0xFF) != 0) || (padding == 2 && (three & 0xFFFF) != 0))
            return false;
        const char bytes[3] = {(char)(three >> 16), (char)(three >> 8), (char)three};
        text_add(text, bitcask_bytes(bytes, 3 - (size_t)padding));
    }
    return !text->failed;
}

static int digit16(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_from_percent(struct text *text, bitcask_slice encoded, bool plus_is_space)
{
    const char *p = encoded.data;
    if (!text_reserve(text, encoded.size))
        return false;
    for (size_t i = 0; i < encoded.size; i++) {
        char c = p[i];
        if (c == '%') {
            if (encoded.size - i < 3 || digit16(p[i + 1]) < 0 || digit16(p[i + 2]) < 0)
                return false;
            c = (char)(digit16(p[i + 1]) * 16 + digit16(p[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        text->data[text->size++] = c;
    }
    return true;
}
