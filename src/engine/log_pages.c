/* SPDX-License-Identifier: MIT
 * log_pages.c: see log_pages.h. */
#include "engine/log_pages.h"

#include "engine/read_ahead.h"

enum {
    UNMAP_MIN = 256 << 10, /* bytes to sync: with less, unmapping is not worth the faults */
    READ_AHEAD = 16 << 20, /* the kernel has read no further ahead than that */
};

static uint64_t round_up(uint64_t offset, uint64_t page)
{
    return (offset + page - 1) / page * page;
}

/* `map` is `writable` too, unless that is a second mapping; and it stays as long as it is pinned.
 */
static void advise_from(struct store *store, struct segment *segment, uint64_t from,
                        enum os_advice advice)
{
    uint8_t *map = (uint8_t *)(uintptr_t)segment->map;
    if (from < segment->map_size)
        (void)store->os->advise(store->os, map + from, segment->map_size - from, advice);
}

void log_pages_begin(struct store *store, struct segment *next)
{
    bool large = atomic_load(&store->ahead.large) && next->map_size >= 2 * LOG_LARGE_PAGE;
    next->large_pages = large;
    atomic_store(&next->small_to, large ? 0 : UINT64_MAX);
    advise_from(store, next, 0, large ? OS_ADVISE_HUGE : OS_ADVISE_RANDOM);
}

void log_pages_choose(struct store *store, struct segment *segment, bool large)
{
    if (segment->large_pages == large || segment->map_size < 2 * LOG_LARGE_PAGE)
        return;
    uint64_t populated = atomic_load_explicit(&segment->populated, memory_order_relaxed);
    uint64_t from = round_up(populated, LOG_LARGE_PAGE);
    segment->large_pages = large;
    atomic_store(&store->ahead.large, large);
    advise_from(store, segment, from, large ? OS_ADVISE_NORMAL : OS_ADVISE_RANDOM);
    advise_from(store, segment, from, large ? OS_ADVISE_HUGE : OS_ADVISE_SMALL);
    if (large) {
        atomic_store(&segment->small_to, from);
    } else {
        atomic_store(&segment->small_from, from);
        atomic_store(&segment->small_to, UINT64_MAX);
        atomic_store(&segment->unsettled, from);
    }
    if (atomic_load(&segment->reads) != SEGMENT_READS_LOG) /* it has been sealed meanwhile */
        read_ahead_begin(segment);
}

void log_pages_settle(struct store *store, struct segment *active)
{
    uint64_t from = atomic_load_explicit(&active->unsettled, memory_order_relaxed);
    if (LIKELY(from == 0))
        return;
    (void)store->os->drop_cache(store->os, active->file, from, READ_AHEAD);
    (void)atomic_compare_exchange_strong(&active->unsettled, &from, 0);
}

void log_pages_want_small(struct store *store, struct segment *active)
{
    if (!active->large_pages || active->writable == NULL || active->remapped)
        return;
    active->large_pages = false;
    uint64_t end = atomic_load_explicit(&active->end, memory_order_relaxed);
    uint64_t from = end / LOG_LARGE_PAGE * LOG_LARGE_PAGE;
    uint64_t to = atomic_load_explicit(&active->populated, memory_order_relaxed);
    advise_from(store, active, LOG_LARGE_PAGE, OS_ADVISE_SMALL);
    if (to <= end)
        return;
    (void)store->os->advise(store->os, active->writable + from, to - from, OS_ADVISE_EVICT);
    store->writer.plain_end = 0;
    atomic_store_explicit(&active->populated, end / OS_PAGE * OS_PAGE, memory_order_relaxed);
}

void log_pages_before_sync(struct store *store, struct segment *segment)
{
    if (segment->writable == NULL || !store->writer.mapped_writes)
        return;
    uint64_t from = atomic_load(&segment->synced) / OS_PAGE * OS_PAGE;
    uint64_t to =
        round_up(atomic_load_explicit(&segment->populated, memory_order_relaxed), OS_PAGE);
    uint64_t small_from = atomic_load(&segment->small_from);
    uint64_t small_to = atomic_load(&segment->small_to);
    from = from > small_from ? from : small_from;
    to = to < small_to ? to : small_to;
    if (to > segment->map_size)
        to = segment->map_size;
    if (atomic_load_explicit(&segment->end, memory_order_relaxed) < from + UNMAP_MIN || to <= from)
        return;
    (void)store->os->advise(store->os, segment->writable + from, to - from, OS_ADVISE_DROP);
}
