/* SPDX-License-Identifier: MIT
 * colliding_keys.h: keys with one and the same hash, for a store whose secret is known.
 *
 * XXH3 takes long keys in lanes of 8 bytes: to the accumulator it adds the lane, and the product of
 * the two halves of (lane ^ secret). With the secret's own bytes in its lower half a lane has no
 * product, and lanes count by their sum only. So what is taken from one lane's upper half can be
 * given to another's. (That is why the secret is secret.) */
#ifndef SUPPORT_COLLIDING_KEYS_H
#define SUPPORT_COLLIDING_KEYS_H

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

enum { COLLIDING_KEY_SIZE = 512 };

/* Key number `i`; all have the same hash. */
static inline slice colliding_key(uint8_t key[COLLIDING_KEY_SIZE], const struct hash_secret *secret,
                                  unsigned i)
{
    memset(key, 'k', COLLIDING_KEY_SIZE);
    memcpy(key, secret->bytes, 4); /* lane 0 of the first 64 bytes */
    put_u32(key + 4, 1000 + i);
    memcpy(key + 64, secret->bytes + 8, 4); /* lane 0 of the second 64 bytes */
    put_u32(key + 68, 1000000 - i);
    return slice_of(key, COLLIDING_KEY_SIZE);
}

#endif
