/* SPDX-License-Identifier: MIT
 * hash.h: the hash of a key: XXH3, 64 bits, with a secret made from the store's seed.
 *
 * The secret form, because a seeded XXH3 can be made to collide by who chooses the keys. Expansion
 * and test vectors: docs/FORMAT.md, "Hash". Threads: pure functions. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

enum { HASH_SEED_SIZE = 32, HASH_SECRET_SIZE = 192 };

struct hash_secret {
    uint8_t bytes[HASH_SECRET_SIZE];
};

/* Word i (little-endian, i = 0..23) of the secret is XXH64(seed, 32 bytes, seed = i). */
void hash_secret_init(struct hash_secret *secret, const uint8_t seed[HASH_SEED_SIZE]);

/* Cost: about 5 ns for 16 bytes. */
uint64_t hash_key(const struct hash_secret *secret, slice key);

#endif
