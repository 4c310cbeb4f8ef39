/* SPDX-License-Identifier: MIT
 * filter.h: a blocked Bloom filter over the hashes of a hint's keys.
 * Format: docs/FORMAT.md, section 5.
 *
 * A look-up touches one block of 64 bytes, so it costs one cache miss where a search of the hint
 * costs two pages and their checksums. "No" is always true; "yes" is wrong for about one key in a
 * hundred at 10 bits a key.
 *
 * Both choices come from the 64-bit hash that the hint has. The block is the top 32 bits scaled to
 * the number of blocks: a hint is sorted by hash, so its filter is written from front to back. The
 * bits inside the block are pieces of the hash multiplied by an odd constant, 9 bits each.
 *
 * Why 6 bits a key and not the 7 that are best for a filter without blocks: blocks are filled
 * unevenly, and at 10 bits a key 5, 6 and 7 measured 1.04, 0.97 and 0.97 wrong answers in a hundred
 * (of a million keys).
 *
 * Pure functions over bytes; threads: safe. */
#ifndef FORMAT_FILTER_H
#define FORMAT_FILTER_H

#include "format/format.h"

enum { FILTER_BLOCK_SIZE = 64, FILTER_BITS_PER_KEY = 10, FILTER_BITS_SET = 6 };

/* Bytes of a filter for as many keys: whole blocks; 0 for none. */
uint64_t filter_size(uint64_t keys);

/* Is this a size that a filter can have? */
static inline bool filter_size_ok(uint64_t size)
{
    return size > 0 && size % FILTER_BLOCK_SIZE == 0 && size / FILTER_BLOCK_SIZE <= UINT32_MAX;
}

/* Note a hash in a filter of `size` bytes, which began as zeros. */
void filter_add(uint8_t *filter, uint64_t size, uint64_t hash);

/* False: the hash was not added. `filter` has a size that is OK. */
bool filter_may_have(slice filter, uint64_t hash);

#endif
