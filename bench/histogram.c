/* SPDX-License-Identifier: MIT
 * histogram.c: percentiles of durations. */
#include "histogram.h"

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    if (from->max > into->max)
        into->max = from->max;
}

static uint64_t bucket_highest(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_SUB)
        return bucket;
    unsigned octave = bucket / HISTOGRAM_SUB - 1;
    uint64_t lowest = (uint64_t)(bucket - octave * HISTOGRAM_SUB) << octave;
    return lowest + (((uint64_t)1 << octave) - 1);
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    if (histogram->total == 0)
        return 0;
    double exact = share * (double)histogram->total;
    uint64_t wanted = (uint64_t)exact;
    wanted += (double)wanted < exact || wanted == 0;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            uint64_t highest = bucket_highest(i);
            return highest < histogram->max ? highest : histogram->max;
        }
    }
    return histogram->max;
}
