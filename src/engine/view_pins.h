/* SPDX-License-Identifier: MIT
 * view_pins.h: how many views hold a segment, counted without locked instructions.
 *
 * Views come and go with each look-up, and a locked instruction keeps the processor from beginning
 * with the next look-up before it. So a thread that owns a line in epochs (engine/epoch.h) has, for
 * each segment slot, a count of its own: views taken less views released, in plain stores. A view
 * may be released by another thread than took it, so a count may be below zero; all arithmetic is
 * modulo 2^32, and only the sum of a slot's counts means something. Threads without a line release
 * into counts that they share, under a mutex; to take a view, they pin its segment.
 *
 * The sum is wanted once in a segment's life, behind the grace period after which nobody finds the
 * segment in the index any more: from then on counts of its slot only fall, and all that were
 * raised are seen. So whatever order they are read in, the sum is never below what is held when the
 * last one has been read; nought means that no view is left. Before that grace period nobody asks:
 * the table's own hold keeps the segment.
 *
 * Whoever releases a view looks behind it whether the segment is leaving. That word was set before
 * the grace period, which made all threads pass a barrier (os/barrier.h). So a releaser either sees
 * it, and asks for the sum itself; or it has looked before its barrier, and so counted before
 * its barrier, and the sum has its release. Either way somebody sees the last one go. Behind its
 * release it touches nothing of the segment, which may be gone: only what is kept by slot.
 *
 * A slot that is used again finds counts whose sum is nought. A thread that ends leaves its counts
 * to the next owner of its line. Counts grow as slots with higher numbers come into use, under the
 * mutex, which who sums holds too.
 *
 * Memory: 4 bytes for each slot so far, for each line whose threads have taken views. */
#ifndef ENGINE_VIEW_PINS_H
#define ENGINE_VIEW_PINS_H

#include "engine/epoch.h"

enum {
    VIEW_SHARED = EPOCH_OWNED, /* the line of the threads that own none */
    VIEW_LINES
};

/* What is going to happen to the segment in a slot. */
enum view_end {
    VIEW_STAYS,
    VIEW_LEAVING,  /* no index entry points to it; readers may still look at it */
    VIEW_DRAINING, /* the last view takes the table's hold with it */
};

struct view_counts {
    uint32_t slots;
    _Atomic uint32_t of[];
};

struct view_pins {
    _Atomic(struct view_counts *) lines[VIEW_LINES]; /* never NULL */
    _Atomic uint8_t ends[BITCASK_MAX_SEGMENTS + 1];  /* enum view_end, by slot */
    pthread_mutex_t mutex; /* guards growth of counts, and from VIEW_DRAINING to VIEW_STAYS */
};

void view_pins_init(struct view_pins *pins);
void view_pins_release(struct view_pins *pins); /* no views are left */

/* The count of an owned line for a slot; NULL if it has none yet. For its owner. */
static inline _Atomic uint32_t *view_count(const struct view_pins *pins, unsigned line,
                                           uint32_t slot);

/* The same, made if need be. NULL for want of memory: then the segment is to be pinned. */
_Atomic uint32_t *view_count_make(struct view_pins *pins, unsigned line, uint32_t slot);

/* One view of a segment that has been found in the index, inside the same epoch. */
static inline void view_count_take(_Atomic uint32_t *count);

/* One view less. First the short way. */
enum view_drop {
    VIEW_DROPPED,
    VIEW_DROPPED_LEAVING, /* and the segment is leaving: see view_pins_is_over */
    VIEW_NOT_DROPPED, /* this thread has no count for the slot: view_pins_drop_shared, then see */
};
static inline enum view_drop view_pins_drop(struct view_pins *pins, uint32_t slot);
void view_pins_drop_shared(struct view_pins *pins, uint32_t slot);

/* True: the last view has gone, of a segment that leaves; the caller gives back the table's hold on
 * the segment in that slot. */
bool view_pins_is_over(struct view_pins *pins, uint32_t slot);

/* No index entry points to the slot's segment any more. A grace period is to follow. */
void view_pins_leave(struct view_pins *pins, uint32_t slot);

/* It is over. True: no view is left, and the caller gives back the table's hold. Else whoever
 * releases the last view will be told to. */
bool view_pins_drain(struct view_pins *pins, uint32_t slot);

/* ---- inline ---- */

static inline _Atomic uint32_t *view_count(const struct view_pins *pins, unsigned line,
                                           uint32_t slot)
{
    struct view_counts *counts = atomic_load_explicit(&pins->lines[line], memory_order_relaxed);
    return __builtin_expect(slot < counts->slots, 1) ? &counts->of[slot] : NULL;
}

static inline void view_count_take(_Atomic uint32_t *count)
{
    uint32_t before = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, before + 1, memory_order_relaxed); /* leaving the epoch shows it */
}

static inline enum view_drop view_pins_drop(struct view_pins *pins, uint32_t slot)
{
    unsigned line = epoch_thread_number - 1;
    if (__builtin_expect(line >= EPOCH_OWNED, 0))
        return VIEW_NOT_DROPPED;
    _Atomic uint32_t *count = view_count(pins, line, slot);
    if (__builtin_expect(count == NULL, 0))
        return VIEW_NOT_DROPPED;
    uint32_t before = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, before - 1, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst); /* the rest is done by who turns the phase */
    uint8_t end = atomic_load_explicit(&pins->ends[slot], memory_order_relaxed);
    return __builtin_expect(end == VIEW_STAYS, 1) ? VIEW_DROPPED : VIEW_DROPPED_LEAVING;
}

#endif
