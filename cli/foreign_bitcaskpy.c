/* SPDX-License-Identifier: MIT
 * foreign_bitcaskpy.c: records of bitcaskpy, segment_N.log.
 *
 *     0  8  time, a binary64 in seconds since 1970     all numbers big-endian
 *     8  4  key size
 *    12  4  value size
 *    16  1  1: a tombstone; else 0
 *    17     key, value
 *
 * The sizes count characters, not bytes: that many are decoded from the UTF-8. There is no
 * checksum; what a header can be checked by is its last byte, its time and the text behind it. */
#include <math.h>
#include <string.h>

#include "cli.h"
#include "foreign.h"
#include "server/encoding.h"

enum { HEADER_SIZE = 17 };

/* False if it is no time since 1970 that a clock would show. */
static bool decode_time(const uint8_t *p, uint64_t *time_us)
{
    uint64_t bits = foreign_be64(p);
    double seconds;
    memcpy(&seconds, &bits, sizeof seconds);
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e11)
        return false;
    *time_us = (uint64_t)(seconds * 1e6);
    return true;
}

enum text_result { TEXT_WHOLE, TEXT_SHORT, TEXT_BAD };

/* Walk over `characters` characters from *at on. SHORT if the bytes end before. */
static enum text_result walk_text(bitcask_slice bytes, uint64_t characters, size_t *at)
{
    const uint8_t *p = bytes.data;
    for (; characters > 0; characters--) {
        if (*at == bytes.size)
            return TEXT_SHORT;
        size_t size = utf8_sequence(p + *at, bytes.size - *at);
        if (size == 0)
            return bytes.size - *at < 4 ? TEXT_SHORT : TEXT_BAD;
        *at += size;
    }
    return TEXT_WHOLE;
}

/* Not enough bytes for as many characters: there may be more of them in the file. */
static enum foreign_result lengthen(const struct foreign_input *input,
                                    struct foreign_record *record)
{
    uint64_t have = input->bytes.size;
    if (have == input->left)
        return foreign_torn(record, "the file ends inside a record, or its text is not UTF-8");
    if (have > FOREIGN_RECORD_MAX)
        return foreign_torn(record, "a record larger than a value of 1 GiB");
    return foreign_more(record, 2 * have < input->left ? 2 * have : input->left);
}

enum foreign_result foreign_bitcaskpy_decode(struct foreign_decoder *decoder,
                                             const struct foreign_input *input,
                                             struct foreign_record *record)
{
    (void)decoder;
    const uint8_t *p = input->bytes.data;
    enum foreign_result result = foreign_need(input, HEADER_SIZE, record);
    if (result != FOREIGN_RECORD)
        return result;
    if (foreign_is_zero(input->bytes, HEADER_SIZE))
        return foreign_torn(record, "zeros instead of a record");
    if (p[16] > 1 || !decode_time(p, &record->time_us))
        return foreign_torn(record, "not the header of a record");
    uint64_t key_size = foreign_be32(p + 8), value_size = foreign_be32(p + 12);
    result = foreign_need(input, HEADER_SIZE + key_size + value_size, record);
    if (result != FOREIGN_RECORD) /* a character has at least a byte */
        return result == FOREIGN_DAMAGED ? foreign_torn(record, record->why) : result;
    size_t at = HEADER_SIZE;
    enum text_result text = walk_text(input->bytes, key_size, &at);
    size_t key_end = at;
    if (text == TEXT_WHOLE)
        text = walk_text(input->bytes, value_size, &at);
    if (text != TEXT_WHOLE)
        return text == TEXT_SHORT ? lengthen(input, record)
                                  : foreign_torn(record, "a key or value that is not UTF-8");
    record->key = bitcask_bytes(p + HEADER_SIZE, key_end - HEADER_SIZE);
    record->value = bitcask_bytes(p + key_end, p[16] == 1 ? 0 : at - key_end);
    record->deleted = p[16] == 1;
    record->size = at;
    return FOREIGN_RECORD;
}
