/* SPDX-License-Identifier: MIT
 * json_in.h: reading JSON that came from outside.
 *
 * First the whole text is checked, once (json_in_is_valid: RFC 8259, UTF-8, no half surrogate
 * pairs, at most JSON_DEPTH deep). Values are then slices of that text as they stand there, so a
 * number or an object can be kept byte for byte; walking over them cannot fail. Allocates nothing
 * but the text of strings. */
#ifndef SERVER_JSON_IN_H
#define SERVER_JSON_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"
#include "text.h"

enum { JSON_DEPTH = 64 };

/* Is all of `text` one value, white space around it allowed? If so *value is set to it, without
 * that space. Cost: O(text), no recursion deeper than JSON_DEPTH. */
bool json_in_is_valid(bitcask_slice text, bitcask_slice *value);

/* What kind of value it is: '{', '[', '"', '0' (a number), 't', 'f', 'n'. */
char json_in_kind(bitcask_slice value);

/* Step through the members of an object or the elements of an array; of anything else there are
 * none. */
struct json_in_walk {
    const char *at, *end;
    bool object;
};
struct json_in_walk json_in_walk(bitcask_slice value);
bool json_in_next(struct json_in_walk *walk, bitcask_slice *name, bitcask_slice *value); /* name as
                                              it stands there, with its quotes; empty in an array */

/* The first member of that name (plain ASCII, written without escapes); false if there is none, or
 * `object` is none. */
bool json_in_find(bitcask_slice object, const char *name, bitcask_slice *value);

/* The bytes of a string, escapes resolved, added to `text`. False if it is no string. */
bool json_in_string(bitcask_slice value, struct text *text);
/* A whole number below 2^64, without sign, fraction or exponent. */
bool json_in_unsigned(bitcask_slice value, uint64_t *number);

#endif
