/* SPDX-License-Identifier: MIT
 * rate.h: a token bucket: how long to wait so that no more than so many bytes go by in a second.
 *
 * Kept as a debt in time: what has been charged is paid off at the boot clock's pace, and who
 * charges waits until it is. A bucket that has been idle allows RATE_BURST_US at once, so that a
 * wait that ends late is made up for. Over any time t no more than bytes_per_s * (t +
 * RATE_BURST_US) and one charge go by. Arithmetic only: the caller has the clock, and does the
 * waiting.
 *
 * Threads: the caller's lock. */
#ifndef ENGINE_RATE_H
#define ENGINE_RATE_H

#include <stdint.h>

enum { RATE_BURST_US = 100 * 1000 };

struct rate {             /* all zero: unlimited */
    uint64_t bytes_per_s; /* 0: unlimited */
    uint64_t paid_us;     /* boot clock: when everything charged so far is paid off */
    uint64_t remainder;   /* charged, less than what a microsecond pays; bytes * 10^6 */
};

/* Change the limit at any time: what is not yet paid off is paid at the new pace. */
void rate_set(struct rate *rate, uint64_t bytes_per_s, uint64_t now_us);

/* Charge for bytes that have gone by. */
void rate_charge(struct rate *rate, uint64_t bytes, uint64_t now_us);

/* How long to wait before any more may go by; 0: not at all. */
uint64_t rate_wait_us(const struct rate *rate, uint64_t now_us);

#endif
