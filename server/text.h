/* SPDX-License-Identifier: MIT
 * text.h: text and JSON that grows in memory.
 *
 * None of the functions fails: for want of memory the text is marked and stays as it was, and one
 * look at `failed` at the end is enough. A JSON value inside an object is preceded by its name,
 * with the comma it needs: text_member(&t, "keys"), text_unsigned(&t, 12). */
#ifndef SERVER_TEXT_H
#define SERVER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

struct text { /* start with all zero */
    char *data;
    size_t size, capacity; /* bytes; there is no NUL at the end */
    bool failed;
};

void text_release(struct text *text);
bool text_reserve(struct text *text, size_t more); /* false: marked as failed */

void text_add(struct text *text, bitcask_slice bytes);
void text_add_c(struct text *text, const char *bytes);
__attribute__((format(printf, 2, 3))) void text_format(struct text *text, const char *format, ...);

/* ---- JSON ---------------------------------------------------------------------------------- */

void text_open(struct text *text, char bracket);  /* '{' or '[', with a comma if one is needed */
void text_close(struct text *text, char bracket); /* '}' or ']' */
void text_member(struct text *text, const char *name);

void text_unsigned(struct text *text, uint64_t number);
void text_number(struct text *text, double number); /* null if it is not finite */
void text_bool(struct text *text, bool value);
void text_null(struct text *text);
void text_string(struct text *text, bitcask_slice bytes); /* what is no UTF-8 becomes U+FFFD */
void text_string_c(struct text *text, const char *bytes);
/* A member and its value. */
void text_member_unsigned(struct text *text, const char *name, uint64_t number);
void text_member_string(struct text *text, const char *name, const char *value);
void text_member_bool(struct text *text, const char *name, bool value);

void text_json(struct text *text, const char *json); /* a whole value as it is */

/* "NAME": "..." if the bytes are UTF-8, else "NAME_b64": "...", as the command prints keys and
 * values. */
void text_bytes(struct text *text, const char *name, bitcask_slice bytes);

/* ---- base64, and percent-encoding ---------------------------------------------------------- */

void text_base64(struct text *text, bitcask_slice bytes);
/* Decodes in place of nothing: adds to `text`. False if it is not canonical base64. */
bool text_from_base64(struct text *text, bitcask_slice encoded);
/* %41 -> A. False if a % is not followed by two hexadecimal digits. Zero bytes are allowed. */
bool text_from_percent(struct text *text, bitcask_slice encoded, bool plus_is_space);

#endif
