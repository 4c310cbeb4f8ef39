/* SPDX-License-Identifier: MIT
 * write_mutex.c: see write_mutex.h. */
#include "engine/write_mutex.h"

#include <sched.h>

#include "base/check.h"
#include "os/barrier.h"
#include "os/wait.h"

enum {
    TIMES = 128,   /* in a row make an owner: to dismiss it costs as much as some dozens */
    SPINS = 64,    /* before a thread that waits lets others run, */
    YIELDS = 1000, /* and before it sleeps in between */
    SLEEP_US = 50,
};

void write_mutex_init(struct write_mutex *mutex, struct epoch *epoch)
{
    mutex->last = NULL;
    mutex->times = 0;
    mutex->unfenced = false;
    mutex->epoch = epoch;
    atomic_init(&mutex->owner, NULL);
    pthread_mutex_init(&mutex->mutex, NULL);
}

void write_mutex_destroy(struct write_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->mutex);
}

/* What the owner does inside is over soon, unless it is not running. */
static void wait_until_out(const struct epoch_stripe *line)
{
    for (unsigned i = 0; atomic_load_explicit(&line->writing, memory_order_acquire) != 0; i++) {
        if (i > YIELDS)
            wait_sleep(SLEEP_US);
        else if (i > SPINS)
            sched_yield();
    }
}

/* Holding the mutex underneath: let nobody else come in by the short way. */
static void dismiss(struct write_mutex *mutex)
{
    struct epoch_stripe *owner = atomic_load_explicit(&mutex->owner, memory_order_relaxed);
    if (owner == NULL || owner == epoch_line_of_thread(mutex->epoch))
        return;
    atomic_store(&mutex->owner, NULL);
    if (UNLIKELY(!barrier_threads())) {
        /* By a sandbox that has come up since the first time. */
        mutex->unfenced = true;
        wait_sleep(BARRIER_INSTEAD_US);
    }
    wait_until_out(owner);
}

void write_mutex_lock(struct write_mutex *mutex)
{
    pthread_mutex_lock(&mutex->mutex);
    dismiss(mutex);
    mutex->last = NULL;
}

bool write_mutex_trylock(struct write_mutex *mutex)
{
    if (pthread_mutex_trylock(&mutex->mutex) != 0)
        return false;
    dismiss(mutex);
    mutex->last = NULL;
    return true;
}

bool write_mutex_tryenter(struct write_mutex *mutex, struct epoch_guard guard)
{
    if (pthread_mutex_trylock(&mutex->mutex) != 0)
        return false;
    dismiss(mutex);
    if (mutex->last != guard.stripe) {
        mutex->last = guard.stripe;
        mutex->times = 0;
    } else if (++mutex->times >= TIMES && guard.owned && !mutex->unfenced) {
        atomic_store_explicit(&mutex->owner, guard.stripe, memory_order_relaxed);
    }
    return true;
}

void write_mutex_unlock(struct write_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->mutex);
}
