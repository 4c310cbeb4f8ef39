/* SPDX-License-Identifier: MIT
 * epoch.h: when may memory that readers might still look at be freed?
 *
 * Readers wrap each look in epoch_enter and epoch_exit. Who takes something out of sight (an old
 * shard, a merged segment) hands it to epoch_retire; its function runs once every reader that
 * could have seen it has left. Readers never wait: a thread counts itself in on a cache line, in
 * one of two phases. A grace period turns the phase and is over when the old phase's counters are
 * all zero. A reader that counted itself in and then finds the phase turned counts itself out and
 * starts again, so one turn is enough (Dekker's argument, see epoch.c).
 *
 * The first 64 threads of a process that are alive at a time own a line each, in every epoch, and
 * count with plain stores: whoever turns the phase makes all threads pass a barrier (os/barrier.h)
 * before it looks at the counters. A locked instruction would not only cost its own 6 ns; it keeps
 * the processor from beginning with the next look-up before it. Further threads share lines and use
 * locked instructions, as all do where there is no such barrier.
 *
 * An epoch is for the length of one call. Views and iterators, which live long, hold pins on their
 * segments instead (engine/segment.h).
 *
 * Threads: all functions from any thread. Cost: enter and exit together 2 ns; for threads
 * that share a line 12 ns. */
#ifndef ENGINE_EPOCH_H
#define ENGINE_EPOCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"
#include "os/os.h"

enum { EPOCH_OWNED = 64, EPOCH_SHARED = 32, EPOCH_STRIPES = EPOCH_OWNED + EPOCH_SHARED };

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
    _Atomic uint64_t writing; /* engine/write_mutex.h; of its owner */
};

struct epoch {
    struct epoch_stripe stripes[EPOCH_STRIPES];
    _Alignas(64) _Atomic uint32_t phase;               /* 0 or 1 */
    _Alignas(64) _Atomic(struct epoch_item *) waiting; /* retired since the last turn */
    _Atomic uint64_t pending;    /* retired and not yet released, for epoch_poll */
    pthread_mutex_t mutex;       /* guards turning the phase, and: */
    struct epoch_item *draining; /* retired before the last turn */
    bool fenced;                 /* all threads have passed a barrier since then */
};

void epoch_init(struct epoch *epoch);

/* Everything retired is released first. No thread is inside, or about to be. */
void epoch_release(struct epoch *epoch);

/* Count in; give the result to epoch_exit, in the same thread. May nest. */
struct epoch_guard {
    struct epoch_stripe *stripe;
    uint32_t phase;
    bool owned; /* by this thread: no other one writes to it */
};
static inline struct epoch_guard epoch_enter(struct epoch *epoch);
static inline void epoch_exit(struct epoch_guard guard);

/* Add to one of the statistics in the guard's stripe. */
static inline void epoch_count(struct epoch_guard guard, _Atomic uint64_t *counter, uint64_t n);

/* Run item->release(item, item->context) after a grace period: in some later epoch_poll,
 * epoch_drain or epoch_release, by whatever thread calls it. Never waits. The release function may
 * retire and poll, but not drain. */
void epoch_retire(struct epoch *epoch, struct epoch_item *item);

/* Release what can be released now. Never waits for readers; cheap when nothing is retired. */
void epoch_poll(struct epoch *epoch);

/* The same if at least `least` items wait: the barrier of a grace period interrupts the processors
 * of all threads, which takes some microseconds, however much is freed after it. */
static inline void epoch_poll_many(struct epoch *epoch, uint64_t least)
{
    if (atomic_load_explicit(&epoch->pending, memory_order_relaxed) >= least)
        epoch_poll(epoch);
}

/* Wait until all that is retired so far has been released. Not within enter and exit. Should the
 * system have begun to refuse barriers (a sandbox), nothing is released any more before
 * epoch_release, and this returns. */
void epoch_drain(struct epoch *epoch);

/* ---- inline ---- */

/* This thread's line, +1: up to EPOCH_OWNED its own. 0: not yet given. The model, because a library
 * that is loaded late would else call a function for each look at it. */
extern _Thread_local unsigned epoch_thread_number __attribute__((tls_model("initial-exec")));
unsigned epoch_number_thread(void); /* give it */
struct epoch_guard epoch_enter_shared(struct epoch *epoch, unsigned number);

/* NULL if it has none of its own. */
static inline struct epoch_stripe *epoch_line_of_thread(struct epoch *epoch)
{
    unsigned number = epoch_thread_number;
    return number - 1 < EPOCH_OWNED ? &epoch->stripes[number - 1] : NULL;
}

static inline void epoch_add(_Atomic uint64_t *counter, uint64_t n, memory_order order)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + n, order);
}

static inline struct epoch_guard epoch_enter(struct epoch *epoch)
{
    unsigned number = epoch_thread_number;
    if (__builtin_expect(number - 1 >= EPOCH_OWNED, 0)) {
        number = number != 0 ? number : epoch_number_thread();
        if (number > EPOCH_OWNED)
            return epoch_enter_shared(epoch, number);
    }
    struct epoch_guard guard = {&epoch->stripes[number - 1], 0, true};
    for (;;) {
        guard.phase = atomic_load_explicit(&epoch->phase, memory_order_relaxed);
        epoch_add(&guard.stripe->readers[guard.phase], 1, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst); /* the rest is done by who turns the phase */
        uint32_t phase = atomic_load_explicit(&epoch->phase, memory_order_acquire);
        if (__builtin_expect(phase == guard.phase, 1))
            return guard;
        epoch_add(&guard.stripe->readers[guard.phase], UINT64_MAX, memory_order_relaxed);
    }
}

static inline void epoch_exit(struct epoch_guard guard)
{
    _Atomic uint64_t *readers = &guard.stripe->readers[guard.phase];
    if (__builtin_expect(guard.owned, 1))
        epoch_add(readers, UINT64_MAX, memory_order_release); /* less one */
    else
        atomic_fetch_sub_explicit(readers, 1, memory_order_release);
}

static inline void epoch_count(struct epoch_guard guard, _Atomic uint64_t *counter, uint64_t n)
{
    if (__builtin_expect(guard.owned, 1))
        epoch_add(counter, n, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
