/* SPDX-License-Identifier: MIT
 * epoch.c: grace periods; the readers' side is inline in epoch.h.
 *
 * Why one turn of the phase is enough. Items are taken from `waiting` and then the phase is turned,
 * so whoever reads the new phase sees them unlinked. A reader that may see them has counted itself
 * in and found the old phase afterwards; the scan of the old phase's counters comes after the turn.
 * If the four are in one order for all threads, the scan meets its count until it leaves. Threads
 * that share a line see to it with sequentially consistent instructions. For an owner of a line the
 * barrier between turn and scan does: if the owner passes it behind its count, the scan sees the
 * count; if before, the owner sees the phase turned and starts again. A reader that was held up
 * between reading the phase and counting itself in either finds the phase turned and starts again,
 * or finds it turned twice: then it has read the newest phase and sees no old item.
 *
 * Lines belong to threads, not to epochs, and go to another thread when one ends: its counts are
 * zero then, and `taken` hands over what it last wrote. */
#include "engine/epoch.h"

#include <sched.h>

#include "base/check.h"
#include "base/planted.h"
#include "os/barrier.h"

_Thread_local unsigned epoch_thread_number __attribute__((tls_model("initial-exec")));

/* ---- Lines for threads ----------------------------------------------------------------------- */

static _Atomic uint64_t taken; /* bit i: line i has an owner */
static pthread_key_t ending;   /* its destructor gives the line of a thread that ends back */
static bool has_ending;
static pthread_once_t numbering = PTHREAD_ONCE_INIT;

_Static_assert(EPOCH_OWNED == 64, "one bit each");

static void give_back(void *line)
{
    unsigned number = (unsigned)(uintptr_t)line;
    epoch_thread_number = 0;
    atomic_fetch_and_explicit(&taken, ~(UINT64_C(1) << (number - 1)), memory_order_release);
}

static void begin_numbering(void)
{
    has_ending = barrier_init() && pthread_key_create(&ending, give_back) == 0;
}

/* The library may be unloaded before the threads that used it end. */
__attribute__((destructor)) static void end_numbering(void)
{
    if (has_ending)
        pthread_key_delete(ending);
}

/* A line of its own, +1, or 0. */
static unsigned take_line(void)
{
    uint64_t lines = atomic_load_explicit(&taken, memory_order_relaxed);
    while (has_ending && lines != UINT64_MAX) {
        unsigned number = (unsigned)__builtin_ctzll(~lines) + 1;
        uint64_t with = lines | UINT64_C(1) << (number - 1);
        if (!atomic_compare_exchange_weak_explicit(&taken, &lines, with, memory_order_acquire,
                                                   memory_order_relaxed))
            continue;
        if (pthread_setspecific(ending, (void *)(uintptr_t)number) == 0)
            return number;
        atomic_fetch_and_explicit(&taken, ~(UINT64_C(1) << (number - 1)), memory_order_release);
        return 0;
    }
    return 0;
}

unsigned epoch_number_thread(void)
{
    static _Atomic unsigned last; /* spreads threads over shared lines, nothing depends on it */
    CHECK(pthread_once(&numbering, begin_numbering) == 0);
    unsigned number = take_line();
    if (number == 0)
        number = EPOCH_OWNED + 1 +
                 atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) % EPOCH_SHARED;
    epoch_thread_number = number;
    return number;
}

struct epoch_guard epoch_enter_shared(struct epoch *epoch, unsigned number)
{
    struct epoch_guard guard = {&epoch->stripes[number - 1], 0, false};
    for (;;) {
        guard.phase = atomic_load_explicit(&epoch->phase, memory_order_relaxed);
        atomic_fetch_add(&guard.stripe->readers[guard.phase], 1);
        if (__builtin_expect(atomic_load(&epoch->phase) == guard.phase, 1))
            return guard;
        atomic_fetch_sub(&guard.stripe->readers[guard.phase], 1);
    }
}

/* ---- Grace periods --------------------------------------------------------------------------- */

void epoch_init(struct epoch *epoch)
{
    for (unsigned i = 0; i < EPOCH_STRIPES; i++) {
        struct epoch_stripe *stripe = &epoch->stripes[i];
        atomic_init(&stripe->readers[0], 0);
        atomic_init(&stripe->readers[1], 0);
        atomic_init(&stripe->gets, 0);
        atomic_init(&stripe->misses, 0);
        atomic_init(&stripe->writing, 0);
    }
    atomic_init(&epoch->phase, 0);
    atomic_init(&epoch->waiting, NULL);
    atomic_init(&epoch->pending, 0);
    epoch->draining = NULL;
    epoch->fenced = false;
    (void)barrier_init(); /* in a child of fork too */
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
    epoch->fenced = false;
    return true;
}

/* Let all threads pass a barrier after the turn, unless they have. False if that is refused. Mutex
 * held. */
static bool fence(struct epoch *epoch)
{
    if (!epoch->fenced)
        epoch->fenced = !has_ending || PLANTED(grace_unfenced) || barrier_threads();
    return epoch->fenced;
}

/* True if no reader of the phase before this one is left. Mutex held. */
static bool readers_gone(struct epoch *epoch)
{
    if (!fence(epoch))
        return false;
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
        while (!readers_gone(epoch) && epoch->fenced)
            sched_yield();
        if (!epoch->fenced)
            break;
        release_drained(epoch);
    }
    pthread_mutex_unlock(&epoch->mutex);
}

void epoch_release(struct epoch *epoch)
{
    while (atomic_load(&epoch->pending) != 0) { /* release functions may have retired more */
        epoch_drain(epoch);
        pthread_mutex_lock(&epoch->mutex);
        epoch->fenced =
            true; /* nobody is inside any more: a barrier that is refused is not missed */
        pthread_mutex_unlock(&epoch->mutex);
    }
    pthread_mutex_destroy(&epoch->mutex);
}
