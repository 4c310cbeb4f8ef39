/* SPDX-License-Identifier: MIT
 * random.h: the random numbers of the simulator: splitmix64. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t random_mix(uint64_t n)
{
    n = (n ^ n >> 30) * 0xBF58476D1CE4E5B9u;
    n = (n ^ n >> 27) * 0x94D049BB133111EBu;
    return n ^ n >> 31;
}

static inline uint64_t random_next(uint64_t *state)
{
    return random_mix(*state += 0x9E3779B97F4A7C15u);
}

/* 0 to bound - 1. */
static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return (random_next(state) >> 11) % bound;
}

/* True `chance` times in 100,000. */
static inline bool random_chance(uint64_t *state, uint32_t chance)
{
    return chance != 0 && random_below(state, 100000) < chance;
}

#endif
