/* SPDX-License-Identifier: MIT
 * feed_position.c: a position of a change feed as text:
 *
 *     b1-IDENTITY-SEGMENT-OFFSET-VERSION-CRC
 *
 * all in hexadecimal, IDENTITY of 16 digits, CRC of 8 over all before its hyphen. To whoever keeps
 * one it is opaque; the checksum tells a mistyped one from one of another store. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/checksum.h"
#include "engine/feed.h"

enum { BODY_MAX = 3 + 16 + 1 + 8 + 1 + 9 + 1 + 16 };
_Static_assert(BODY_MAX + 1 + 8 + 1 <= BITCASK_POSITION_SIZE, "the longest one has room");

static int print_body(const struct feed_position *position, char *text, size_t size)
{
    return snprintf(text, size, "b1-%016" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64,
                    position->identity, position->segment, position->offset, position->version);
}

void feed_position_print(const struct feed_position *position, char text[BITCASK_POSITION_SIZE])
{
    int size = print_body(position, text, BITCASK_POSITION_SIZE);
    CHECK(size > 0 && size <= BODY_MAX);
    snprintf(text + size, BITCASK_POSITION_SIZE - (size_t)size, "-%08" PRIx32,
             checksum(0, text, (size_t)size));
}

/* A number in lower-case hexadecimal digits, and the hyphen behind it. */
static const char *read_hex(const char *text, uint64_t *number)
{
    *number = 0;
    int digits = 0;
    for (;; text++, digits++) {
        unsigned digit = *text >= '0' && *text <= '9'   ? (unsigned)(*text - '0')
                         : *text >= 'a' && *text <= 'f' ? (unsigned)(*text - 'a') + 10
                                                        : 16;
        if (digit == 16)
            return digits > 0 && *text == '-' ? text + 1 : NULL;
        if (digits == 16)
            return NULL;
        *number = *number << 4 | digit;
    }
}

bool feed_position_parse(const char *text, struct feed_position *position)
{
    char canonical[BITCASK_POSITION_SIZE];
    uint64_t *const numbers[] = {&position->identity, &position->segment, &position->offset,
                                 &position->version};
    if (strlen(text) >= BITCASK_POSITION_SIZE || strncmp(text, "b1-", 3) != 0)
        return false;
    const char *at = text + 3;
    for (size_t i = 0; i < ARRAY_SIZE(numbers) && at != NULL; i++)
        at = read_hex(at, numbers[i]);
    if (at == NULL || position->segment > SEGMENT_ID_MAX || position->offset >> 33 != 0 ||
        position->version > VERSION_MAX)
        return false;
    feed_position_print(position, canonical);
    return strcmp(canonical, text) == 0;
}
