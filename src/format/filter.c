/* SPDX-License-Identifier: MIT
 * filter.c: a blocked Bloom filter over hashes. */
#include "format/filter.h"

#include "base/check.h"

enum { BLOCK_BITS = 8 * FILTER_BLOCK_SIZE, PIECE = 9 };

_Static_assert(BLOCK_BITS == 1 << PIECE, "a piece of the product chooses a bit of the block");
_Static_assert(FILTER_BITS_SET *PIECE <= 64, "the product has as many pieces");

static const uint64_t SPREAD = UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio, odd */

uint64_t filter_size(uint64_t keys)
{
    return (keys * FILTER_BITS_PER_KEY + BLOCK_BITS - 1) / BLOCK_BITS * FILTER_BLOCK_SIZE;
}

/* Where the block of a hash begins. */
static uint64_t block_of(uint64_t size, uint64_t hash)
{
    return ((hash >> 32) * (size / FILTER_BLOCK_SIZE) >> 32) * FILTER_BLOCK_SIZE;
}

/* Piece `i` of the product, from the top. */
static unsigned bit_of(uint64_t product, unsigned i)
{
    return (unsigned)(product >> (64 - PIECE * (i + 1))) & (BLOCK_BITS - 1);
}

void filter_add(uint8_t *filter, uint64_t size, uint64_t hash)
{
    CHECK(filter_size_ok(size));
    uint8_t *block = filter + block_of(size, hash);
    const uint64_t product = hash * SPREAD;
    for (unsigned i = 0; i < FILTER_BITS_SET; i++) {
        unsigned bit = bit_of(product, i);
        block[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

bool filter_may_have(slice filter, uint64_t hash)
{
    CHECK(filter_size_ok(filter.size));
    const uint8_t *block = (const uint8_t *)filter.data + block_of(filter.size, hash);
    const uint64_t product = hash * SPREAD;
    unsigned have = 1;
    for (unsigned i = 0; i < FILTER_BITS_SET; i++) {
        unsigned bit = bit_of(product, i);
        have &= (unsigned)block[bit / 8] >> bit % 8;
    }
    return have & 1;
}
