/* SPDX-License-Identifier: MIT
 * read_ahead.c: see read_ahead.h. */
#include "engine/read_ahead.h"

#include "engine/store.h"

enum {
    LARGE_PAGE = 2 << 20,
    LARGE_APART = 4 << 20, /* of the active segment's end; a fault reads two large pages at once */
};

/* Where large pages end: for the active segment before what is written to, or read with it. */
static size_t large_end(const struct segment *segment)
{
    if (atomic_load(&segment->state) != BITCASK_SEGMENT_ACTIVE)
        return segment->map_size;
    uint64_t end = atomic_load(&segment->end);
    return end > LARGE_APART ? (size_t)((end - LARGE_APART) / LARGE_PAGE * LARGE_PAGE) : 0;
}

/* All of it is advice: where it cannot be given, pages come as they come. */
static void give(const struct segment *segment, enum segment_reads reads, bool was_large)
{
    struct os *os = segment->os;
    void *map = (void *)(uintptr_t)segment->map;
    size_t large = large_end(segment);
    if (map == NULL || segment->copied)
        return;
    if (reads == SEGMENT_READS_WIDE) {
        (void)os->advise(os, map, segment->map_size, OS_ADVISE_NORMAL);
        if (large > 0)
            (void)os->advise(os, map, large, OS_ADVISE_HUGE);
        return;
    }
    (void)os->advise(os, map, segment->map_size, OS_ADVISE_RANDOM);
    if (was_large)
        (void)os->advise(os, map, segment->map_size, OS_ADVISE_SMALL);
}

void read_ahead_begin(struct segment *segment)
{
    enum segment_reads reads = (enum segment_reads)atomic_load(&segment->table->reads);
    give(segment, reads, segment->large_pages);
    atomic_store(&segment->reads, reads);
}

void read_ahead_resume(const struct segment *segment)
{
    bool single = atomic_load(&segment->reads) == SEGMENT_READS_SINGLE;
    if (segment->map != NULL && !segment->copied)
        (void)segment->os->advise(segment->os, (void *)(uintptr_t)segment->map, segment->map_size,
                                  single ? OS_ADVISE_RANDOM : OS_ADVISE_NORMAL);
}

/* ---- The decision ---------------------------------------------------------------------------- */

static bool is_other(const struct segment *segment, enum segment_reads wanted)
{
    uint32_t reads = atomic_load(&segment->reads);
    return reads != SEGMENT_READS_LOG && reads != wanted;
}

/* Bytes of all segments; *others: some of them are not read as the table says. */
static uint64_t sum_up(struct segments *table, bool *others)
{
    enum segment_reads wanted = (enum segment_reads)atomic_load(&table->reads);
    uint64_t bytes = 0;
    *others = false;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count; i++) {
        bytes += atomic_load_explicit(&table->by_id[i]->end, memory_order_relaxed);
        *others = *others || is_other(table->by_id[i], wanted);
    }
    pthread_mutex_unlock(&table->mutex);
    return bytes;
}

static bool has_changed(uint64_t bytes, uint64_t before)
{
    uint64_t change = bytes > before ? bytes - before : before - bytes;
    return change > before / 8;
}

static bool fits(struct store *store, uint64_t bytes, uint64_t *available)
{
    if (store->os->available_memory(store->os, available) != 0)
        return false;
    uint64_t half = *available / 2;
    bool was_wide = atomic_load(&store->segments.reads) == SEGMENT_READS_WIDE;
    return bytes <= half + (was_wide ? half / 2 : 0);
}

/* Holding read_ahead.mutex. True if it is news. */
static bool decide(struct store *store, uint64_t bytes)
{
    uint64_t available = 0;
    bool wide = store->options.read_ahead == BITCASK_READ_AHEAD_ON;
    if (store->options.read_ahead == BITCASK_READ_AHEAD_AUTO)
        wide = fits(store, bytes, &available);
    store->read_ahead.bytes = bytes;
    enum segment_reads reads = wide ? SEGMENT_READS_WIDE : SEGMENT_READS_SINGLE;
    if (atomic_exchange(&store->segments.reads, reads) == reads)
        return false;
    EVENT(&store->events, BITCASK_LOG_DEBUG, "read_ahead", F_TEXT("pages", wide ? "many" : "one"),
          F_UINT("bytes", bytes), F_UINT("available", available));
    return true;
}

static void tell_all(struct store *store)
{
    enum segment_reads wanted = (enum segment_reads)atomic_load(&store->segments.reads);
    size_t count;
    struct segment **all = segments_pin_all(&store->segments, &count);
    if (all == NULL)
        return; /* the next look finds them as they are */
    for (size_t i = 0; i < count; i++) {
        if (!is_other(all[i], wanted))
            continue;
        give(all[i], wanted, true);
        atomic_store(&all[i]->reads, wanted);
    }
    segments_unpin_all(all, count);
}

void read_ahead_look(struct store *store, bool now)
{
    bool others;
    pthread_mutex_lock(&store->read_ahead.mutex);
    uint64_t bytes = sum_up(&store->segments, &others);
    bool news = false;
    if (now || has_changed(bytes, store->read_ahead.bytes))
        news = decide(store, bytes);
    if (news || others)
        tell_all(store);
    pthread_mutex_unlock(&store->read_ahead.mutex);
}
