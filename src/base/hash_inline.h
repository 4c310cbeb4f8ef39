/* SPDX-License-Identifier: MIT
 * hash_inline.h: hash_key for callers to have inline: the path of a look-up. */
#ifndef BASE_HASH_INLINE_H
#define BASE_HASH_INLINE_H

#include "base/check.h"
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* hash_key; keys of 9 to 16 bytes without a call. */
static inline uint64_t hash_key_inline(const struct hash_secret *secret, slice key)
{
    if (LIKELY(key.size >= 9 && key.size <= 16)) /* so the compiler leaves out all the rest of it */
        return XXH3_len_0to16_64b(key.data, key.size, secret->bytes, 0);
    return hash_key(secret, key);
}

#endif
