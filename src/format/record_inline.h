/* SPDX-License-Identifier: MIT
 * record_inline.h: record_encode for the short records that most are, for callers to have inline.
 *
 * Copied and summed up in one pass, from where the bytes come: to read what has just been stored
 * would be to wait until it has reached the cache, and with it all that was stored before: the
 * record in front, on lines that are still on their way from memory.
 *
 * As checksum_inline.h: record_encode_short where checksum_way_in_use is CHECKSUM_CLMUL or more, in
 * a function with CHECKSUM_TARGET; record_encode_short_wide where it is CHECKSUM_WIDE, in one with
 * CHECKSUM_WIDE_TARGET, after which the caller is to call _mm256_zeroupper. */
#ifndef FORMAT_RECORD_INLINE_H
#define FORMAT_RECORD_INLINE_H

#include "base/checksum_inline.h"
#include "format/record.h"

#if CHECKSUM_INLINE

enum { RECORD_AT_VERSION = 4, RECORD_AT_KEY_SIZE = 12 };

/* Larger values are better copied by memcpy, and summed up in four lanes. */
enum {
    RECORD_SHORT_KEY_MIN = 8,
    RECORD_SHORT_VALUE_MIN = 16,
    RECORD_SHORT_VALUE_MAX = 256,
};

/* Is it for the functions below? Its flags have no EXPIRES. */
static inline bool record_is_short(size_t key_size, size_t value_size)
{
    return LIKELY(key_size >= RECORD_SHORT_KEY_MIN) &&
           (value_size == 0 || LIKELY(value_size - RECORD_SHORT_VALUE_MIN <=
                                      RECORD_SHORT_VALUE_MAX - RECORD_SHORT_VALUE_MIN));
}

/* 16 bytes as two numbers: the caller may have written them as such a moment ago, and a load that
 * no single store before it covers waits until all of these have reached the cache. */
CHECKSUM_FUNCTION __m128i record_load_two(const uint8_t *from)
{
    uint64_t second = get_u64(from + 8);
    __asm__("" : "+r"(second)); /* so that the compiler does not make one of them */
    return checksum_pair((int64_t)get_u64(from), (int64_t)second);
}

CHECKSUM_FUNCTION void record_store_16(uint8_t *to, __m128i x)
{
    _mm_storeu_si128((__m128i *)(void *)to, x);
}

/* Of 8 to 15 bytes, the last in the last place; what is before the first does not matter. */
CHECKSUM_FUNCTION __m128i record_load_last(const uint8_t *from, size_t size)
{
    return checksum_pair((int64_t)(get_u64(from) << 1 << (127 - 8 * size)),
                         (int64_t)get_u64(from + size - 8));
}

/* Copy the key, and fold it into `x`. */
CHECKSUM_FUNCTION __m128i record_encode_key(uint8_t *to, slice key, __m128i x)
{
    const __m128i by = checksum_pair(CHECKSUM_FOLD_16);
    const uint8_t *from = key.data;
    size_t left = key.size;
    for (; left >= 16; left -= 16, from += 16, to += 16) {
        __m128i next = record_load_two(from);
        record_store_16(to, next);
        x = checksum_fold(x, by, next);
    }
    if (LIKELY(left == 0))
        return x;
    if (key.size >= 16) {
        __m128i last = record_load_two(from + left - 16);
        record_store_16(to + left - 16, last);
        return checksum_fold_tail(x, last, left);
    }
    put_u64(to, get_u64(from));
    put_u64(to + left - 8, get_u64(from + left - 8));
    return checksum_fold_tail(x, record_load_last(from, left), left);
}

/* The same for a value of 16 bytes or more. */
CHECKSUM_FUNCTION __m128i record_encode_value(uint8_t *to, slice value, __m128i x)
{
    const __m128i by = checksum_pair(CHECKSUM_FOLD_16);
    const uint8_t *from = value.data;
    size_t left = value.size;
    for (; left >= 16; left -= 16, from += 16, to += 16) {
        __m128i next = checksum_load(from);
        record_store_16(to, next);
        x = checksum_fold(x, by, next);
    }
    if (left == 0)
        return x;
    __m128i last = checksum_load(from + left - 16);
    record_store_16(to + left - 16, last);
    return checksum_fold_tail(x, last, left);
}

/* Header and key; what the checksum has come to behind them. */
CHECKSUM_FUNCTION __m128i record_encode_head(uint8_t *to, const struct record *record,
                                             uint64_t salt, uint64_t offset)
{
    const __m128i by = checksum_pair(CHECKSUM_FOLD_16);
    uint64_t sizes =
        record->key.size | (uint64_t)record->flags << 16 | (uint64_t)record->value.size << 32;
    __m128i header = checksum_pair((int64_t)record->version, (int64_t)sizes);
    record_store_16(to + RECORD_AT_VERSION, header);
    __m128i x = checksum_pair((int64_t)(salt ^ 0xffffffff), (int64_t)offset);
    x = checksum_fold(x, by, header);
    to += RECORD_HEADER_SIZE;
    if (UNLIKELY(record->key.size != 16))
        return record_encode_key(to, record->key, x);
    __m128i key = record_load_two(record->key.data);
    record_store_16(to, key);
    return checksum_fold(x, by, key);
}

/* Write a record that is short at `to`. Returns its checksum. */
CHECKSUM_FUNCTION uint32_t record_encode_short(uint8_t *to, const struct record *record,
                                               uint64_t salt, uint64_t offset)
{
    __m128i x = record_encode_head(to, record, salt, offset);
    if (record->value.size > 0)
        x = record_encode_value(to + RECORD_HEADER_SIZE + record->key.size, record->value, x);
    uint32_t crc = checksum_reduce(x);
    put_u32(to, crc);
    return crc;
}

CHECKSUM_WIDE_FUNCTION uint32_t record_encode_short_wide(uint8_t *to, const struct record *record,
                                                         uint64_t salt, uint64_t offset)
{
    __m128i x = record_encode_head(to, record, salt, offset);
    if (record->value.size > 0)
        x = checksum_lane_wide(x, record->value.data, record->value.size, true,
                               to + RECORD_HEADER_SIZE + record->key.size);
    uint32_t crc = checksum_reduce(x);
    put_u32(to, crc);
    return crc;
}

#endif
#endif
