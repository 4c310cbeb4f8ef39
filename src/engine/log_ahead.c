/* SPDX-License-Identifier: MIT
 * log_ahead.c: see log_ahead.h. */
#include "engine/log_ahead.h"

#include "engine/log_append.h"
#include "engine/log_pages.h"
#include "os/processor.h"
#include "os/wait.h"

enum {
    STEP_MIN = 16 << 10, /* the head's: grow with the segment */
    STEP_MAX = 512 << 10,
    AHEAD_MIN = 1 << 20, /* the thread's: half of what is written, no more than the second */
    AHEAD_MAX = 4 << 20,
    AHEAD_LEAST = 256 << 10, /* with less the thread is asked even if it looks by itself */
    LOOK_EVERY = 256 << 10,
    LOOK_US = 1000,
    SLOW_LOOK_US = 5000,
    STAY_US = 100000,      /* without as much in that time it sleeps until it is asked */
    SYNCS_APART = 1 << 20, /* bytes, at least, for large pages */
    SLOW_PER_S = 32 << 20, /* bytes: below it little is done at a time */
    SLOW_STEP = 256 << 10,
};

static uint64_t populated_of(const struct segment *segment)
{
    return atomic_load_explicit(&segment->populated, memory_order_relaxed);
}

/* Two may have done so at once: the further one counts. */
static void note(struct segment *segment, uint64_t to)
{
    uint64_t before = populated_of(segment);
    while (before < to &&
           !atomic_compare_exchange_weak_explicit(&segment->populated, &before, to,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void log_populate(struct store *store, struct segment *active, uint64_t want)
{
    uint64_t from = populated_of(active), step = from / 4;
    step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
    uint64_t to = from + step;
    if (to < want)
        to = (want + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
    if (to > store->writer.allocated)
        to = store->writer.allocated / OS_PAGE * OS_PAGE;
    if (to <= from)
        return;
    store->os->advise(store->os, active->writable + from, to - from, OS_ADVISE_POPULATE);
    note(active, to);
}

/* ---- The thread ---------------------------------------------------------------------------- */

/* Is so much being written that the thread looks again without being asked? To wake it costs a
 * writer ten microseconds. */
static bool stays_awake(struct store *store)
{
    struct log_ahead *ahead = &store->ahead;
    struct epoch_guard guard = epoch_enter(&store->epoch);
    const struct segment *active = atomic_load(&store->writer.active);
    uint64_t end = active != NULL ? atomic_load_explicit(&active->end, memory_order_relaxed) : 0;
    epoch_exit(guard);
    uint64_t now_us = store->os->clock_boot(store->os);
    uint64_t bytes = end < ahead->moved_end ? end : end - ahead->moved_end;
    if (bytes >= LOOK_EVERY) {
        ahead->moved_end = end;
        ahead->moved_us = now_us;
    }
    return now_us - ahead->moved_us < STAY_US;
}

static void *run(void *context)
{
    struct store *store = context;
    struct log_ahead *ahead = &store->ahead;
    bool stays = false;
    pthread_mutex_lock(&store->work_mutex);
    while (!store->stopping) {
        if (!atomic_exchange(&ahead->wanted, false) && !stays) {
            wait_for(&ahead->cond, &store->work_mutex, UINT64_MAX);
            continue;
        }
        pthread_mutex_unlock(&store->work_mutex);
        /* The kernel clears a large page in one go, some milliseconds where its host has to find
         * the memory first: not on the processor of who is to be kept from waiting. */
        processor_keep_off(atomic_load_explicit(&ahead->head, memory_order_relaxed));
        log_populate_ahead(store);
        stays = stays_awake(store);
        atomic_store(&ahead->looking, stays);
        pthread_mutex_lock(&store->work_mutex);
        if (stays && !store->stopping && !atomic_load(&ahead->wanted))
            wait_for(&ahead->cond, &store->work_mutex, ahead->slow ? SLOW_LOOK_US : LOOK_US);
    }
    pthread_mutex_unlock(&store->work_mutex);
    return NULL;
}

/* Where the thread cannot be had, the head goes on by itself. */
static void want_more(struct store *store)
{
    struct log_ahead *ahead = &store->ahead;
    if (atomic_load_explicit(&ahead->wanted, memory_order_relaxed))
        return;
    if (!ahead->running) {
        if (ahead->failed)
            return;
        ahead->failed = wait_start_thread(&ahead->thread, run, store) != 0;
        ahead->running = !ahead->failed;
    }
    pthread_mutex_lock(&store->work_mutex);
    atomic_store(&ahead->wanted, true);
    pthread_cond_signal(&ahead->cond);
    pthread_mutex_unlock(&store->work_mutex);
}

void log_ahead_stop(struct store *store)
{
    struct log_ahead *ahead = &store->ahead;
    if (!ahead->running)
        return;
    pthread_mutex_lock(&store->work_mutex);
    pthread_cond_signal(&ahead->cond);
    pthread_mutex_unlock(&store->work_mutex);
    pthread_join(ahead->thread, NULL);
    ahead->running = false;
}

/* ---- When and how much --------------------------------------------------------------------- */

static uint64_t ahead_of(uint64_t end)
{
    return end / 2 < AHEAD_MAX ? end / 2 : AHEAD_MAX;
}

uint64_t log_look_ahead(struct store *store, struct segment *active)
{
    uint64_t end = store->writer.end;
    log_pages_settle(store, active);
    if (!store->thread_running || active->remapped)
        return UINT64_MAX;
    atomic_store_explicit(&store->ahead.head, processor_now(), memory_order_relaxed);
    bool looking = atomic_load_explicit(&store->ahead.looking, memory_order_relaxed);
    uint64_t least = looking ? AHEAD_LEAST : ahead_of(end) / 2;
    if (ahead_of(end) >= AHEAD_MIN && populated_of(active) < end + least)
        want_more(store);
    return end + LOOK_EVERY;
}

/* `writable` is whoever seals the segment's to take away; it is the same unless `remapped`. */
static uint8_t *writable_map(const struct segment *segment)
{
    return (uint8_t *)(uintptr_t)segment->map;
}

/* A sync writes all of a page, however little of it has changed: where several come for what goes
 * into one large page, each of them would write it all. And the kernel clears a large page in one
 * go, as long as it takes: whoever shares the processor waits, for which only much writing makes
 * up. */
static bool wants_large_pages(struct store *store, const struct segment *segment)
{
    struct log_ahead *ahead = &store->ahead;
    uint64_t end = atomic_load_explicit(&segment->end, memory_order_relaxed);
    uint64_t syncs = atomic_load_explicit(&store->counters.syncs, memory_order_relaxed);
    uint64_t bytes = end < ahead->end ? end : end - ahead->end;
    if (bytes < LOOK_EVERY) /* too little to tell */
        return segment->large_pages;
    uint64_t now_us = store->os->clock_boot(store->os);
    uint64_t more = syncs - ahead->syncs;
    ahead->slow = bytes * 1000000 / SLOW_PER_S < now_us - ahead->looked_us;
    ahead->looked_us = now_us;
    ahead->end = end;
    ahead->syncs = syncs;
    return !ahead->slow && more * SYNCS_APART <= bytes;
}

/* Step by step, so that what is there counts at once. Holding a pin. */
static void populate_pinned(struct store *store, struct segment *segment)
{
    log_pages_choose(store, segment, wants_large_pages(store, segment));
    for (;;) {
        uint64_t end = atomic_load_explicit(&segment->end, memory_order_relaxed);
        uint64_t step = store->ahead.slow ? SLOW_STEP : LOG_LARGE_PAGE;
        uint64_t from = populated_of(segment), to = (from + step) / step * step;
        uint64_t far = store->ahead.slow ? 3 * SLOW_STEP : ahead_of(end);
        uint64_t readable = atomic_load_explicit(&segment->readable, memory_order_acquire);
        if (to > readable)
            to = readable / OS_PAGE * OS_PAGE;
        uint64_t unsettled = atomic_load_explicit(&segment->unsettled, memory_order_relaxed);
        if (unsettled != 0 && to > unsettled)
            to = unsettled;
        if (to <= from || from >= end + far || atomic_load(&store->stopping))
            return;
        if (store->os->advise(store->os, writable_map(segment) + from, to - from,
                              OS_ADVISE_POPULATE) != 0)
            return;
        note(segment, to);
    }
}

void log_populate_ahead(struct store *store)
{
    struct epoch_guard guard = epoch_enter(&store->epoch);
    struct segment *active = atomic_load(&store->writer.active);
    if (active != NULL)
        segment_pin(active);
    epoch_exit(guard);
    if (active == NULL)
        return;
    /* Should it be sealed meanwhile: what is behind its end then is not there to be faulted in. */
    if (store->writer.mapped_writes && !active->remapped)
        populate_pinned(store, active);
    segment_unpin(active);
}
