/* SPDX-License-Identifier: MIT
 * json.h: a small strict reader of JSON, for untrusted bytes. It allocates nothing.
 *
 * The caller walks the text in its order and says what it expects:
 *
 *     json_read_open(&json, text);
 *     json_read_object(&json);
 *     for (slice name; json_read_member(&json, &name);) {
 *         if (slice_equal(name, bitcask_str("id")))
 *             id = json_read_u64(&json);
 *         else
 *             json_read_skip(&json);
 *     }
 *     if (!json_read_close(&json))
 *         ...                     // json.why says what was wrong, json.at where
 *
 * The first fault sticks: after it every call returns false, 0 or an empty slice, and moves
 * nothing, so that one look at the end is enough. Strings are handed out as they stand in the text,
 * escapes checked but not resolved: a string without a backslash is what it says.
 * The names keep clear of jansson's, which the command is linked with.
 * Threads: a reader belongs to one at a time. Cost: O(text). */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"

enum { JSON_DEPTH_MAX = 16 };

struct json_reader {
    const char *at; /* the next byte */
    const char *end;
    const char *why; /* the fault, a static phrase; NULL if there was none */
    unsigned depth;
    bool started[JSON_DEPTH_MAX]; /* whether the object or array of that depth has had a member */
};

void json_read_open(struct json_reader *json, slice text);

/* True if all of the text was read, nothing is open any more, and there was no fault. */
bool json_read_close(struct json_reader *json);

/* Enter an object; then step to its next member: true with its name (borrows; the value is next to
 * be read), false at its end. */
void json_read_object(struct json_reader *json);
bool json_read_member(struct json_reader *json, slice *name);

/* The same for arrays: true if there is another element, next to be read. */
void json_read_array(struct json_reader *json);
bool json_read_element(struct json_reader *json);

/* Read a value. A number must be a plain integer below 2^64 without sign, fraction, exponent or
 * leading zero. */
uint64_t json_read_u64(struct json_reader *json);
bool json_read_bool(struct json_reader *json);
slice json_read_string(struct json_reader *json);

/* Read a string of just 2 * size lower-case hexadecimal digits into the `size` bytes at `to`. */
void json_read_hex(struct json_reader *json, uint8_t *to, size_t size);

/* Skip a value of any kind, nested up to JSON_DEPTH_MAX deep in all. */
void json_read_skip(struct json_reader *json);

/* Note a fault of the caller's, unless there was one before. */
void json_read_fail(struct json_reader *json, const char *why);

#endif
