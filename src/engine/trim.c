/* SPDX-License-Identifier: MIT
 * trim.c: letting go of the pages of segments that this process has touched. */
#include "engine/trim.h"

/* The kernel is told in parts: each holds up who wants to map or unmap something. */
enum { PART = 8 << 20 };

static uint64_t mapped_below(const struct segment *segment)
{
    /* What is copied is memory of our own: to drop it would lose it. */
    if (segment->map == NULL || segment->copied)
        return 0;
    if (atomic_load(&segment->state) == BITCASK_SEGMENT_ACTIVE)
        return atomic_load(&segment->end) / OS_PAGE * OS_PAGE;
    return segment->map_size;
}

static void trim_segment(const struct segment *segment)
{
    struct os *os = segment->os;
    uint64_t size = mapped_below(segment);
    for (uint64_t at = 0; at < size; at += PART) {
        uint64_t part = size - at < PART ? size - at : PART;
        (void)os->advise(os, (uint8_t *)(uintptr_t)segment->map + at, (size_t)part, OS_ADVISE_DROP);
    }
}

bitcask_status trim_pages(struct store *store, bitcask_error *error)
{
    size_t count;
    struct segment **all = segments_pin_all(&store->segments, &count);
    if (all == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory to look at the segments");
    for (size_t i = 0; i < count; i++)
        trim_segment(all[i]);
    segments_unpin_all(all, count);
    return BITCASK_OK;
}
