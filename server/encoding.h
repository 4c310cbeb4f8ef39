/* SPDX-License-Identifier: MIT
 * encoding.h: bytes as text: UTF-8, hexadecimal digits, escapes, base64. Pure functions, of the
 * server and the command. */
#ifndef SERVER_ENCODING_H
#define SERVER_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

/* The length of the UTF-8 sequence at the start of `size` bytes, at least one, as table 3-7 of the
 * Unicode standard has it (no overlong forms, no surrogates); 0 if it is none, or cut short. */
size_t utf8_sequence(const uint8_t *bytes, size_t size);
bool utf8_is_valid(bitcask_slice bytes);

/* 0 to 15; -1 if it is no hexadecimal digit. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* What Redis means by a backslash and this character: one of n, r, t, b, a, or itself. */
char unescape_char(char c);

enum { JSON_ESCAPE_SIZE = 7 };

/* How an ASCII character stands in a JSON string: NULL if as itself, else an escape, which may be
 * written to `room`. DEL is escaped too, for terminals. */
const char *json_escape(uint8_t c, char room[JSON_ESCAPE_SIZE]);

/* Standard base64 with padding. Encode: `to` has room for base64_size(bytes.size) characters.
 * Decode: `to` has room for size / 4 * 3 bytes; false if `text` is not the one encoding of some
 * bytes. */
static inline size_t base64_size(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}
void base64_encode(char *to, bitcask_slice bytes);
bool base64_decode(bitcask_slice text, void *to, size_t *size);

#endif
