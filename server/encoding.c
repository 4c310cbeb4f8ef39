/* SPDX-License-Identifier: MIT
 * encoding.c: bytes as text: UTF-8, escapes, base64. */
#include "encoding.h"

#include <stdio.h>
#include <string.h>

size_t utf8_sequence(const uint8_t *p, size_t size)
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

bool utf8_is_valid(bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size;) {
        size_t length = utf8_sequence(p + i, bytes.size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

char unescape_char(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

const char *json_escape(uint8_t c, char room[JSON_ESCAPE_SIZE])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        break;
    }
    if (c >= 0x20 && c != 0x7F)
        return NULL;
    snprintf(room, JSON_ESCAPE_SIZE, "\\u%04x", c);
    return room;
}

/* ---- base64 ---------------------------------------------------------------------------------- */

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(char *to, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t three = (uint32_t)p[i] << 16;
        three |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        three |= left > 2 ? p[i + 2] : 0;
        *to++ = DIGITS[three >> 18];
        *to++ = DIGITS[three >> 12 & 63];
        *to++ = left > 1 ? DIGITS[three >> 6 & 63] : '=';
        *to++ = left > 2 ? DIGITS[three & 63] : '=';
    }
}

static int digit_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(DIGITS, c);
    return at == NULL ? -1 : (int)(at - DIGITS);
}

bool base64_decode(bitcask_slice text, void *to, size_t *size)
{
    const char *p = text.data;
    uint8_t *out = to;
    *size = 0;
    if (text.size % 4 != 0)
        return false;
    for (size_t i = 0; i < text.size; i += 4) {
        bool last = i + 4 == text.size;
        int padding = !last || p[i + 3] != '=' ? 0 : p[i + 2] == '=' ? 2 : 1;
        uint32_t three = 0;
        for (int k = 0; k < 4; k++) {
            int value = k >= 4 - padding ? 0 : digit_value(p[i + (size_t)k]);
            if (value < 0)
                return false;
            three = three << 6 | (uint32_t)value;
        }
        /* Bits that the padding cuts off must be zero: one text for the same bytes. */
        if ((three & ((1u << (8 * padding)) - 1)) != 0)
            return false;
        for (int k = 0; k < 3 - padding; k++)
            out[(*size)++] = (uint8_t)(three >> (16 - 8 * k));
    }
    return true;
}
