/* SPDX-License-Identifier: MIT
 * epoch.h: when may memory that readers might still look at be freed?
 *
 * Readers wrap each look in epoch_enter and epoch_exit. Who takes something out of sight (an old
 * shard, a merged segment) hands it to epoch_retire; its function runs once every reader that
 * could have seen it has left. Readers never wait, and never register: a thread counts itself in on
 * one of 64 cache lines, picked by a thread-local number, in one of two phases. A grace period
 * turns the phase and is over when the old phase's counters are all zero. A reader that counted
 * itself in and then finds the phase turned counts itself out and starts again, so one turn is
 * enough (Dekker's argument; both sides sequentially consistent).
 *
 * An epoch is for the length of one call. Views and iterators, which live long, hold pins on their
 * segments instead (engine/segment.h).
 *
 * Threads: all functions from any thread. Cost: enter and exit together about 10 ns. */
#ifndef ENGINE_EPOCH_H
#define ENGINE_EPOCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"
#include "os/os.h"

enum { EPOCH_STRIPES = 64 };

/* Embedded in what is retired. */
struct epoch_item {
    struct epoch_item *next;
    void (*release)(struct epoch_item *item, void *context);
    void *context;
};

struct epoch_stripe { /* one thread's line, mostly: its read statistics share it */
    _Alignas(64) _Atomic uint64_t readers[2];
    _Atomic uint64_t gets;
    _Atomic uint64_t misses;
};

struct epoch {
    struct epoch_stripe stripes[EPOCH_STRIPES];
    _Alignas(64) _Atomic uint32_t phase;               /* 0 or 1 */
    _Alignas(64) _Atomic(struct epoch_item *) waiting; /* retired since the last turn */
    _Atomic uint64_t pending;    /* retired and not yet released, for epoch_poll */
    pthread_mutex_t mutex;       /* guards turning the phase, and: */
    struct epoch_item *draining; /* retired before the last turn */
};

void epoch_init(struct epoch *epoch);

/* Everything retired is released first (waits for readers). */
void epoch_release(struct epoch *epoch);

/* Count in; give the result to epoch_exit, in the same thread. May nest. */
struct epoch_guard {
    struct epoch_stripe *stripe;
    uint32_t phase;
};
static inline struct epoch_guard epoch_enter(struct epoch *epoch);
static inline void epoch_exit(struct epoch_guard guard);

/* Run item->release(item, item->context) after a grace period: in some later epoch_poll,
 * epoch_drain or epoch_release, by whatever thread calls it. Never waits. The release function may
 * retire and poll, but not drain. */
void epoch_retire(struct epoch *epoch, struct epoch_item *item);

/* Release what can be released now. Never waits for readers; cheap when nothing is retired. */
void epoch_poll(struct epoch *epoch);

/* Wait until all that is retired so far has been released. Not within enter and exit. */
void epoch_drain(struct epoch *epoch);

/* ---- inline ---- */

unsigned epoch_number_thread(void); /* give this thread a number, counted up from 1 */
extern _Thread_local unsigned epoch_thread_number; /* 0: not yet given */

static inline struct epoch_stripe *epoch_stripe_of_thread(struct epoch *epoch)
{
    unsigned number = epoch_thread_number;
    if (__builtin_expect(number == 0, 0))
        number = epoch_number_thread();
    return &epoch->stripes[number % EPOCH_STRIPES];
}

static inline struct epoch_guard epoch_enter(struct epoch *epoch)
{
    struct epoch_guard guard = {epoch_stripe_of_thread(epoch), 0};
    for (;;) {
        guard.phase = atomic_load_explicit(&epoch->phase, memory_order_relaxed);
        atomic_fetch_add(&guard.stripe->readers[guard.phase], 1);
        if (__builtin_expect(atomic_load(&epoch->phase) == guard.phase, 1))
            return guard;
        atomic_fetch_sub(&guard.stripe->readers[guard.phase], 1);
    }
}

static inline void epoch_exit(struct epoch_guard guard)
{
    atomic_fetch_sub_explicit(&guard.stripe->readers[guard.phase], 1, memory_order_release);
}

#endif
