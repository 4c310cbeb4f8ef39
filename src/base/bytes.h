/* SPDX-License-Identifier: MIT
 * bytes.h: slices and little-endian integers. Header only.
 * Threads: pure functions. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bitcask.h"

typedef bitcask_slice slice; /* borrows; see bitcask.h */

static inline slice slice_of(const void *data, size_t size)
{
    return bitcask_bytes(data, size);
}

static inline uint16_t get_u16(const void *from)
{
    const uint8_t *p = from;
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_u32(const void *from)
{
    const uint8_t *p = from;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get_u64(const void *from)
{
    const uint8_t *p = from;
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

/* One store each where the processor's order is that of the files: left to itself, GCC 12 takes
 * fifteen instructions for a number that stands beside others. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline void put_u16(void *to, uint16_t n)
{
    memcpy(to, &n, sizeof n);
}

static inline void put_u32(void *to, uint32_t n)
{
    memcpy(to, &n, sizeof n);
}

static inline void put_u64(void *to, uint64_t n)
{
    memcpy(to, &n, sizeof n);
}
#else
static inline void put_u16(void *to, uint16_t n)
{
    uint8_t *p = to;
    p[0] = (uint8_t)n;
    p[1] = (uint8_t)(n >> 8);
}

static inline void put_u32(void *to, uint32_t n)
{
    uint8_t *p = to;
    p[0] = (uint8_t)n;
    p[1] = (uint8_t)(n >> 8);
    p[2] = (uint8_t)(n >> 16);
    p[3] = (uint8_t)(n >> 24);
}

static inline void put_u64(void *to, uint64_t n)
{
    put_u32(to, (uint32_t)n);
    put_u32((uint8_t *)to + 4, (uint32_t)(n >> 32));
}
#endif

/* Short keys are compared here: for them the call of memcmp costs more than what it does. */
static inline bool slice_equal(slice a, slice b)
{
    if (a.size != b.size)
        return false;
    const uint8_t *p = a.data, *q = b.data;
    if (a.size - 8 <= 8)
        return ((get_u64(p) ^ get_u64(q)) | (get_u64(p + a.size - 8) ^ get_u64(q + a.size - 8))) ==
               0;
    return a.size == 0 || memcmp(p, q, a.size) == 0;
}

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
