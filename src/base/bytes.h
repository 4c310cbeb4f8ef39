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

static inline bool slice_equal(slice a, slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
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

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
