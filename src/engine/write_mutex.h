/* SPDX-License-Identifier: MIT
 * write_mutex.h: the mutex of the writers, which costs a writer who is alone no locked instruction.
 *
 * A locked instruction waits until all that was stored before it has reached the cache, and keeps
 * the processor from beginning with the next call meanwhile. So the mutex belongs to the thread
 * that has taken it many times in a row with nobody in between: its *owner*, who comes in by
 * write_mutex_enter, two plain stores on its own line. Whoever else wants it takes the mutex
 * underneath, dismisses the owner, makes all threads pass a barrier (os/barrier.h) and waits until
 * the owner is out. From then on it is a mutex like any other, until somebody has taken it as
 * often again.
 *
 * Why two are never inside. The owner marks its line and then looks whether it still is the owner;
 * who takes over writes that it is not, and then looks at the mark. If the owner passes the barrier
 * behind its mark, the mark is seen; if before, it finds itself dismissed, and has only marked its
 * own line. Each thread has a line (engine/epoch.h), so a mark says nothing of another one. Only
 * who holds the mutex underneath makes an owner, and only of itself. The model is
 * tests/models/write_mutex.pml.
 *
 * Where there is no such barrier, and for threads without a line of their own, nobody becomes the
 * owner. Order among locks: engine/store.h. */
#ifndef ENGINE_WRITE_MUTEX_H
#define ENGINE_WRITE_MUTEX_H

#include <pthread.h>

#include "base/check.h"
#include "engine/epoch.h"

struct write_mutex {
    pthread_mutex_t mutex;     /* guards: */
    struct epoch_stripe *last; /* the line of who tried it and got it last; NULL: somebody else */
    uint32_t times;            /* in a row */
    bool unfenced;             /* the barrier has been refused: no owner any more */
    struct epoch *epoch;
    _Alignas(64) _Atomic(struct epoch_stripe *) owner; /* NULL: none */
};

void write_mutex_init(struct write_mutex *mutex, struct epoch *epoch);
void write_mutex_destroy(struct write_mutex *mutex);

/* As of a pthread_mutex_t. */
void write_mutex_lock(struct write_mutex *mutex);
bool write_mutex_trylock(struct write_mutex *mutex);
void write_mutex_unlock(struct write_mutex *mutex);

/* Inside an epoch: the short way of the owner. False: this thread is not. It is for what is over
 * soon, for others spin meanwhile; it ends with write_mutex_exit. */
static inline bool write_mutex_enter(struct write_mutex *mutex, struct epoch_guard guard)
{
    struct epoch_stripe *line = guard.stripe;
    if (atomic_load_explicit(&mutex->owner, memory_order_relaxed) != line)
        return false;
    atomic_store_explicit(&line->writing, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* the rest is done by who takes over */
    if (LIKELY(atomic_load_explicit(&mutex->owner, memory_order_acquire) == line))
        return true;
    atomic_store_explicit(&line->writing, 0, memory_order_release);
    return false;
}

static inline void write_mutex_exit(struct epoch_guard guard)
{
    atomic_store_explicit(&guard.stripe->writing, 0, memory_order_release);
}

/* Inside an epoch: write_mutex_trylock for who would come again; it may become the owner. */
bool write_mutex_tryenter(struct write_mutex *mutex, struct epoch_guard guard);

#endif
