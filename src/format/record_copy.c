/* SPDX-License-Identifier: MIT
 * record_copy.c: see record_copy.h. */
#include "format/record_copy.h"

#include "base/checksum.h"

enum {
    BLOCK = 16 << 10, /* stays in the first cache between sum and copy */
    STEP = 256,
    LINE = 64,
};

/* Copy a block, asking for the one behind it. */
static void copy_block(uint8_t *to, const uint8_t *from)
{
    for (size_t at = 0; at < BLOCK; at += STEP) {
        for (size_t line = 0; line < STEP; line += LINE)
            __builtin_prefetch(from + BLOCK + at + line, 0, 2);
        memcpy(to + at, from + at, STEP);
    }
}

bool record_copy_value(uint8_t *to, const uint8_t *record, uint64_t size, size_t value_size,
                       uint64_t salt, uint64_t offset)
{
    const uint8_t *from = record + size - value_size;
    uint32_t sum = checksum_words(salt, offset, record + 4, (size_t)(from - record) - 4);
    for (; value_size >= 2 * BLOCK; value_size -= BLOCK, from += BLOCK, to += BLOCK) {
        sum = checksum(sum, from, BLOCK);
        copy_block(to, from);
    }
    sum = checksum(sum, from, value_size);
    memcpy(to, from, value_size);
    return sum == get_u32(record);
}
