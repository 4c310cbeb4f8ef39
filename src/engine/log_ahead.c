/* SPDX-License-Identifier: MIT
 * log_ahead.c: see log_ahead.h. */
#include "engine/log_ahead.h"

#include "engine/log_append.h"
#include "engine/read_ahead.h"
#include "os/wait.h"

enum {
    HUGE_PAGE = 2 << 20,
    STEP_MIN = 16 << 10, /* the head's: grow with the segment */
    STEP_MAX = 512 << 10,
    AHEAD_MIN = 1 << 20, /* the thread's: half of what is written, no more than the second */
    AHEAD_MAX = 4 << 20,
    LOOK_EVERY = 256 << 10,
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

void log_want_small_pages(struct store *store, struct segment *active)
{
    if (!active->large_pages || active->writable == NULL || active->remapped)
        return;
    active->large_pages = false;
    uint64_t end = atomic_load_explicit(&active->end, memory_order_relaxed);
    uint64_t from = end / HUGE_PAGE * HUGE_PAGE, to = populated_of(active);
    uint8_t *map = active->writable;
    (void)store->os->advise(store->os, map + HUGE_PAGE, active->map_size - HUGE_PAGE,
                            OS_ADVISE_SMALL);
    if (to <= end)
        return;
    (void)store->os->advise(store->os, map + from, to - from, OS_ADVISE_EVICT);
    store->writer.plain_end = 0;
    atomic_store_explicit(&active->populated, end / OS_PAGE * OS_PAGE, memory_order_relaxed);
}

/* ---- The thread ---------------------------------------------------------------------------- */

static void *run(void *context)
{
    struct store *store = context;
    struct log_ahead *ahead = &store->ahead;
    pthread_mutex_lock(&store->work_mutex);
    while (!store->stopping) {
        if (!atomic_exchange(&ahead->wanted, false)) {
            wait_for(&ahead->cond, &store->work_mutex, UINT64_MAX);
            continue;
        }
        pthread_mutex_unlock(&store->work_mutex);
        log_populate_ahead(store);
        pthread_mutex_lock(&store->work_mutex);
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

uint64_t log_look_ahead(struct store *store, const struct segment *active)
{
    uint64_t end = store->writer.end;
    if (!store->thread_running || active->remapped)
        return UINT64_MAX;
    if (ahead_of(end) >= AHEAD_MIN && populated_of(active) < end + ahead_of(end) / 2)
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

/* What is behind the first large page of the mapping may come in large pages. */
static void choose_pages(struct store *store, struct segment *segment)
{
    bool large = wants_large_pages(store, segment);
    if (segment->large_pages == large || segment->map_size < 2 * HUGE_PAGE)
        return;
    segment->large_pages = large;
    atomic_store(&store->ahead.large, large);
    store->os->advise(store->os, writable_map(segment) + HUGE_PAGE, segment->map_size - HUGE_PAGE,
                      large ? OS_ADVISE_HUGE : OS_ADVISE_SMALL);
    if (atomic_load(&segment->reads) != SEGMENT_READS_LOG) /* it has been sealed meanwhile */
        read_ahead_begin(segment);
}

void log_ahead_begin(struct store *store, struct segment *next)
{
    if (!atomic_load(&store->ahead.large) || next->map_size < 2 * HUGE_PAGE)
        return;
    next->large_pages = true;
    store->os->advise(store->os, writable_map(next), next->map_size, OS_ADVISE_HUGE);
}

/* Step by step, so that what is there counts at once. Holding a pin. */
static void populate_pinned(struct store *store, struct segment *segment)
{
    choose_pages(store, segment);
    for (;;) {
        uint64_t end = atomic_load_explicit(&segment->end, memory_order_relaxed);
        uint64_t step = store->ahead.slow ? SLOW_STEP : HUGE_PAGE;
        uint64_t from = populated_of(segment), to = (from + step) / step * step;
        uint64_t far = store->ahead.slow ? 2 * SLOW_STEP : ahead_of(end);
        uint64_t readable = atomic_load_explicit(&segment->readable, memory_order_acquire);
        if (to > readable)
            to = readable / OS_PAGE * OS_PAGE;
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
