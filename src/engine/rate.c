/* SPDX-License-Identifier: MIT
 * rate.c: a token bucket as a debt in time. */
#include "engine/rate.h"

static const uint64_t SECOND_US = 1000000;

/* The longest debt, a year: beyond it sums could overflow, and nobody can tell. */
static const uint64_t DEBT_MAX_US = 365ull * 24 * 3600 * 1000000;

static uint64_t min_u128(unsigned __int128 a, uint64_t b)
{
    return a < b ? (uint64_t)a : b;
}

void rate_set(struct rate *rate, uint64_t bytes_per_s, uint64_t now_us)
{
    uint64_t old = rate->bytes_per_s;
    if (bytes_per_s == old)
        return;
    uint64_t left = rate_wait_us(rate, now_us);
    rate->bytes_per_s = bytes_per_s;
    rate->remainder = 0;
    rate->paid_us = now_us;
    if (bytes_per_s != 0)
        rate->paid_us += min_u128((unsigned __int128)left * old / bytes_per_s, DEBT_MAX_US);
}

void rate_charge(struct rate *rate, uint64_t bytes, uint64_t now_us)
{
    if (rate->bytes_per_s == 0)
        return;
    uint64_t earliest = now_us > RATE_BURST_US ? now_us - RATE_BURST_US : 0;
    if (rate->paid_us < earliest)
        rate->paid_us = earliest;
    unsigned __int128 due = (unsigned __int128)bytes * SECOND_US + rate->remainder;
    rate->remainder = (uint64_t)(due % rate->bytes_per_s);
    rate->paid_us += min_u128(due / rate->bytes_per_s, DEBT_MAX_US);
}

uint64_t rate_wait_us(const struct rate *rate, uint64_t now_us)
{
    if (rate->bytes_per_s == 0 || rate->paid_us <= now_us)
        return 0;
    return rate->paid_us - now_us;
}
