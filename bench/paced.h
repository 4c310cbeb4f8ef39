/* SPDX-License-Identifier: MIT
 * paced.h: latency at a fixed rate.
 *
 * Each operation has a time at which it is due, whatever became of those before it, and its latency
 * counts from then: one that makes others wait is seen in all of them (no coordinated omission). */
#ifndef BENCH_PACED_H
#define BENCH_PACED_H

#include "histogram.h"
#include "workload.h"

struct paced_setup {
    const struct bench_setup *bench; /* its engine, store, keys, sizes, seed and values */
    uint64_t rate;                   /* operations per second, overwrites and gets by turns */
    double seconds;
    const atomic_bool *stop; /* set: end early; NULL: never */
};

/* Calls that took longer than PACED_SLOW_NS from begin to end, by what the kernel says of the
 * thread meanwhile. */
enum { PACED_SLOW_NS = 200000 };
struct paced_slow {
    uint64_t calls;
    uint64_t preempted; /* another thread was given the processor */
    uint64_t waited;    /* it gave the processor up: a lock, a device */
    uint64_t faulted;   /* neither, but it met page faults */
    uint64_t other;     /* none of these: work of its own, or the machine itself stood still */
};

struct paced_result {
    struct histogram puts_ns, gets_ns; /* from when it was due to its end */
    struct histogram calls_ns;         /* from begin to end, of puts */
    struct paced_slow slow_puts;
    uint64_t operations, unexpected;
    double seconds;
    int status;
};

/* Runs in this thread; spins until each operation is due. False: out of memory. */
bool paced_run(const struct paced_setup *setup, struct paced_result *result);

#endif
