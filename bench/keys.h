/* SPDX-License-Identifier: MIT
 * keys.h: keys and values of benchmarks, each a function of its number, in a few ns.
 *
 * The keys of a store of N keys are those of the numbers 0..N-1; those from N on are never there,
 * nor those of more than 8 bytes whose last one is not zero. Threads: pure functions; a
 * bench_random belongs to one thread. */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stdint.h>
#include <string.h>

/* ---- Random numbers: xorshift64* ----------------------------------------------------------- */

struct bench_random {
    uint64_t state; /* not 0 */
};

static inline void bench_random_init(struct bench_random *random, uint64_t seed)
{
    uint64_t z = seed + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    random->state = (z ^ (z >> 31)) | 1;
}

static inline uint64_t bench_random_next(struct bench_random *random)
{
    uint64_t x = random->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * 0x2545f4914f6cdd1du;
}

/* Uniform in 0..bound-1. */
static inline uint64_t bench_random_below(struct bench_random *random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)bench_random_next(random) * bound) >> 64);
}

/* ---- Orders -------------------------------------------------------------------------------- */

/* A permutation of 0..count-1 without a table: a bijection of the next power of two, applied again
 * while its result is not below count (less than twice on average). */
struct bench_permutation {
    uint64_t count, mask, multiplier;
    unsigned shift;
};

static inline void bench_permutation_init(struct bench_permutation *permutation, uint64_t count,
                                          uint64_t seed)
{
    struct bench_random random;
    bench_random_init(&random, seed);
    unsigned bits = count <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(count - 1);
    permutation->count = count;
    permutation->mask = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    permutation->multiplier = bench_random_next(&random) | 1;
    permutation->shift = (bits + 1) / 2 + (bits == 0);
}

static inline uint64_t bench_permute(const struct bench_permutation *permutation, uint64_t number)
{
    do { /* each step can be undone, so no two numbers meet */
        number = (number * permutation->multiplier + 0x632be59bd9b4e019u) & permutation->mask;
        number ^= number >> permutation->shift;
        number = (number * 0x9e3779b97f4a7c15u) & permutation->mask;
        number ^= number >> permutation->shift;
    } while (number >= permutation->count);
    return number;
}

/* ---- Keys and values ----------------------------------------------------------------------- */

enum {
    BENCH_KEY_SIZE_MIN = 4,
    BENCH_VALUE_POOL_SIZE = 1 << 20, /* values are windows into as many random bytes */
    BENCH_VALUE_STEP = 64,
};

/* Key `number` of `size` bytes: the number, big-endian, so that stores which sort their keys meet
 * them in the order of their numbers; the rest is zero (written once by the caller). */
static inline void bench_key(uint8_t *key, size_t size, uint64_t number)
{
    if (size < sizeof number)
        number <<= 8 * (sizeof number - size);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    number = __builtin_bswap64(number);
#endif
    memcpy(key, &number, size < sizeof number ? size : sizeof number);
}

/* Where in the pool the value of a key begins. */
static inline size_t bench_value_offset(uint64_t number)
{
    return (size_t)(number * BENCH_VALUE_STEP) & (BENCH_VALUE_POOL_SIZE - 1);
}

#endif
