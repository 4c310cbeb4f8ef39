/* SPDX-License-Identifier: MIT
 * histogram.h: a histogram of durations with buckets of at most 3% width, for percentiles.
 *
 * Values below 32 have a bucket each; every further power of two is cut into 32. Recording is a
 * shift and an increment (about 2 ns). Threads: one histogram each, added up afterwards. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 5,
    HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};

struct histogram { /* start with all zero */
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total, max;
};

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_SUB)
        return (unsigned)value;
    unsigned octave = 63 - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(value);
    return octave * HISTOGRAM_SUB + (unsigned)(value >> octave);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[histogram_bucket(value)]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that a share of all values (0 to 1) does not exceed: the highest of its bucket, but
 * not above the maximum. 0 if there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
