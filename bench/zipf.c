/* SPDX-License-Identifier: MIT
 * zipf.c: numbers by Zipf's law, by the method of Gray and others, "Quickly generating
 * billion-record synthetic databases" (SIGMOD 1994). */
#include "zipf.h"

#include <math.h>

static const double THETA = 0.99;
enum { SUMMED = 10000000 };

/* The sum of 1 / k^THETA for k = 1..count; what is behind the first ten million is an integral,
 * whose error there is below a millionth. */
static double zeta(uint64_t count)
{
    double sum = 0;
    uint64_t summed = count < SUMMED ? count : SUMMED;
    for (uint64_t k = 1; k <= summed; k++)
        sum += pow((double)k, -THETA);
    if (count > summed)
        sum += (pow((double)count + 0.5, 1 - THETA) - pow((double)summed + 0.5, 1 - THETA)) /
               (1 - THETA);
    return sum;
}

void bench_zipf_init(struct bench_zipf *zipf, uint64_t count)
{
    double n = (double)count;
    *zipf = (struct bench_zipf){
        .count = count, .theta = THETA, .alpha = 1 / (1 - THETA), .zeta = zeta(count)};
    zipf->half = 1 + pow(0.5, THETA);
    zipf->eta = count > 2 ? (1 - pow(2 / n, 1 - THETA)) / (1 - zipf->half / zipf->zeta) : 1;
}

uint64_t bench_zipf_next(const struct bench_zipf *zipf, struct bench_random *random)
{
    double u = (double)(bench_random_next(random) >> 11) * 0x1p-53;
    double uz = u * zipf->zeta;
    uint64_t rank;
    if (uz < 1)
        rank = 0;
    else if (uz < zipf->half)
        rank = 1;
    else
        rank = (uint64_t)((double)zipf->count * pow(zipf->eta * u - zipf->eta + 1, zipf->alpha));
    return rank < zipf->count ? rank : zipf->count - 1;
}
