/* SPDX-License-Identifier: MIT
 * hash.c: XXH3 with a secret, from the xxHash header. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert((int)HASH_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "XXH3 needs a longer secret");
_Static_assert(HASH_SECRET_SIZE % 8 == 0, "the secret is made of words");

void hash_secret_init(struct hash_secret *secret, const uint8_t seed[HASH_SEED_SIZE])
{
    for (unsigned i = 0; i < HASH_SECRET_SIZE / 8; i++)
        put_u64(secret->bytes + 8 * i, XXH64(seed, HASH_SEED_SIZE, i));
}

uint64_t hash_key(const struct hash_secret *secret, slice key)
{
    return XXH3_64bits_withSecret(key.data, key.size, secret->bytes, HASH_SECRET_SIZE);
}
