/* SPDX-License-Identifier: MIT
 * epoch.c: grace periods; the readers' side is inline in epoch.h.
 *
 * Why one turn of the phase is enough. Items are taken from `waiting` and then the phase is turned,
 * so whoever reads the new phase sees them unlinked. A reader that may see them has counted itself
 * in and found the old phase afterwards; the scan of the old phase's counters comes after the turn.
 * All four are sequentially consistent, so the scan meets its count until it leaves. A reader that
 * was held up between reading the phase and counting itself in either finds the phase turned and
 * starts again, or finds it turned twice: then it has read the newest phase and sees no old item.
 */
#include "engine/epoch.h"

#include <sched.h>

#include "base/check.h"
#include "base/planted.h"

_Thread_local unsigned epoch_thread_number;

unsigned epoch_number_thread(void)
{
    static _Atomic unsigned last; /* numbers spread threads over stripes, nothing depends on them */
    epoch_thread_number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return epoch_thread_number;
}

void epoch_init(struct epoch *epoch)
{
    for (unsigned i = 0; i < EPOCH_STRIPES; i++) {
        struct epoch_stripe *stripe = &epoch->stripes[i];
        atomic_init(&stripe->readers[0], 0);
        atomic_init(&stripe->readers[1], 0);
        atomic_init(&stripe->gets, 0);
        atomic_init(&stripe->misses, 0);
    }
    atomic_init(&epoch->phase, 0);
    atomic_init(&epoch->waiting, NULL);
    atomic_init(&epoch->pending, 0);
    epoch->draining = NULL;
    CHECK(pthread_mutex_init(&epoch->mutex, NULL) == 0);
}

void epoch_retire(struct epoch *epoch, struct epoch_item *item)
{
    CHECK(item->release != NULL);
    atomic_fetch_add(&epoch->pending, 1);
    /* Only ever taken as a whole, so the classic trouble of lock-free stacks cannot arise. */
    item->next = atomic_load_explicit(&epoch->waiting, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&epoch->waiting, &item->next, item)) {
    }
}

/* Take what waits to be drained and turn the phase. False if nothing waits. Mutex held. */
static bool turn(struct epoch *epoch)
{
    CHECK(epoch->draining == NULL);
    epoch->draining = atomic_exchange(&epoch->waiting, NULL);
    if (epoch->draining == NULL)
        return false;
    atomic_store(&epoch->phase, atomic_load(&epoch->phase) ^ 1);
    return true;
}

/* True if no reader of the phase before this one is left. Mutex held. */
static bool readers_gone(struct epoch *epoch)
{
    uint32_t old = atomic_load(&epoch->phase) ^ 1;
    for (unsigned i = 0; i < EPOCH_STRIPES; i++)
        if (atomic_load(&epoch->stripes[i].readers[old]) != 0 && !PLANTED(grace_unmeasured))
            return false;
    return true;
}

static void release_drained(struct epoch *epoch)
{
    struct epoch_item *item = epoch->draining;
    epoch->draining = NULL;
    while (item != NULL) {
        struct epoch_item *next = item->next; /* the item is gone once it is released */
        item->release(item, item->context);
        atomic_fetch_sub(&epoch->pending, 1);
        item = next;
    }
}

void epoch_poll(struct epoch *epoch)
{
    if (atomic_load_explicit(&epoch->pending, memory_order_relaxed) == 0)
        return;
    if (pthread_mutex_trylock(&epoch->mutex) != 0)
        return; /* somebody is at it */
    for (int round = 0; round < 2; round++) {
        if (epoch->draining == NULL && !turn(epoch))
            break;
        if (!readers_gone(epoch))
            break;
        release_drained(epoch);
    }
    pthread_mutex_unlock(&epoch->mutex);
}

void epoch_drain(struct epoch *epoch)
{
    pthread_mutex_lock(&epoch->mutex);
    /* The first round may be needed for what was being drained already, the second for the rest. */
    for (int round = 0; round < 2; round++) {
        if (epoch->draining == NULL && !turn(epoch))
            break;
        while (!readers_gone(epoch))
            sched_yield();
        release_drained(epoch);
    }
    pthread_mutex_unlock(&epoch->mutex);
}

void epoch_release(struct epoch *epoch)
{
    while (atomic_load(&epoch->pending) != 0) /* release functions may have retired more */
        epoch_drain(epoch);
    pthread_mutex_destroy(&epoch->mutex);
}
