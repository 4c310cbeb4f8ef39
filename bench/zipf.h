/* SPDX-License-Identifier: MIT
 * zipf.h: numbers by Zipf's law: the k-th most frequent comes in proportion to 1 / k^0.99, as in
 * YCSB. */
#ifndef BENCH_ZIPF_H
#define BENCH_ZIPF_H

#include "keys.h"

struct bench_zipf {
    uint64_t count;
    double theta, alpha, zeta, eta, half;
};

/* Ranks below `count`. Cost: a power for each of the first ten million ranks. */
void bench_zipf_init(struct bench_zipf *zipf, uint64_t count);

/* The next rank, 0 the most frequent. Cost: a power. */
uint64_t bench_zipf_next(const struct bench_zipf *zipf, struct bench_random *random);

#endif
