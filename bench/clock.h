/* SPDX-License-Identifier: MIT
 * clock.h: the benchmark's clocks. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Of the processors that `clock`, CLOCK_THREAD_CPUTIME_ID or CLOCK_PROCESS_CPUTIME_ID, has used:
 * what else runs on the machine is not in it. */
static inline uint64_t bench_used_ns(clockid_t clock)
{
    struct timespec used;
    clock_gettime(clock, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* The cheapest clock there is; how long a tick is follows from the whole run. */
static inline uint64_t bench_now_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return bench_now_ns();
#endif
}

#endif
