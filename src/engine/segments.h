/* SPDX-License-Identifier: MIT
 * segments.h: the table of a store's segments, by slot (what the index says) and by id.
 *
 * Readers resolve a slot with one load. Adding, removing and walking are under `mutex`; who walks
 * pins what it wants to keep. Slots are numbered 1..16383, so that an index word is never 0.
 *
 * Creating: files are made before they are named in the manifest and named before their first
 * record; ids are taken from next_id, which the manifest reserves first. */
#ifndef ENGINE_SEGMENTS_H
#define ENGINE_SEGMENTS_H

#include <pthread.h>

#include "engine/segment.h"
#include "engine/view_pins.h"

struct segments {
    struct os *os;
    struct epoch *epoch;
    char directory[OS_PATH_MAX - OS_NAME_MAX];
    uint8_t store_id[STORE_ID_SIZE];
    uint8_t seed[SEED_SIZE];

    pthread_mutex_t bury_mutex; /* held while burying */
    pthread_mutex_t mutex;      /* guards all below but the loads of `slots` */
    _Atomic(struct segment *) slots[BITCASK_MAX_SEGMENTS + 1];
    uint32_t next_slot;     /* where to look for a free one */
    struct segment **by_id; /* not retired, ascending */
    size_t count, capacity;
    size_t slots_taken;
    uint64_t next_id;
    uint64_t log_floor;    /* no log record above this version has been in a segment that is gone */
    uint64_t segment_size; /* an ACTIVE segment is mapped for as much, so that it can grow */
    _Atomic uint64_t retired_count, retired_bytes; /* retired and still held */
    _Atomic(struct segment *) dead;                /* held by nobody, to be buried: a stack */
    void (*digger)(void *context);                 /* or NULL */
    void *digger_context;
    _Atomic uint32_t reads;    /* enum segment_reads: what segments that are read are to be given */
    _Atomic uint64_t removals; /* segments with records that were retired, ever */
    struct view_pins views;
};

bitcask_status segments_init(struct segments *table, struct os *os, struct epoch *epoch,
                             const char *directory, bitcask_error *error);
void segments_release(struct segments *table); /* frees the segments left; no readers */

/* Unmapping the last of a large segment frees its pages: 256 MiB take tens of milliseconds. So if
 * somebody is there for that (set before the store is in use), whoever lets go of a segment last
 * only puts it on a list and tells him; segments_bury then does the work. The slot stays taken
 * until then. */
void segments_set_digger(struct segments *table, void (*tell)(void *context), void *context);
void segments_bury(struct segments *table);

/* Bury retired segments that nobody holds: only then is their disk space free. Waits a moment for
 * calls under way that might see one. Cost: nothing if none is retired. */
void segments_settle(struct segments *table);

/* Directory and name in one path. */
void segments_path(const struct segments *table, char path[OS_PATH_MAX], const char *name);

/* The segment in a slot. Inside an epoch or with a pin on it. */
static inline struct segment *segments_at(struct segments *table, uint32_t slot)
{
    return atomic_load_explicit(&table->slots[slot], memory_order_acquire);
}

/* What a view keeps of its pin: the segment, with a bit set if it is pinned as for good
 * (segment_pin), and not counted by the thread (engine/view_pins.h). */
enum { SEGMENTS_VIEW_PINNED = 1 };

static inline void *segments_view_counted(struct segment *segment)
{
    return segment;
}

static inline void *segments_view_pinned(struct segment *segment)
{
    return (void *)((uintptr_t)segment | SEGMENTS_VIEW_PINNED);
}

/* The segment, if the view has pinned it; else NULL. */
static inline struct segment *segments_pinned_by(const void *pin)
{
    uintptr_t bits = (uintptr_t)pin;
    return bits & SEGMENTS_VIEW_PINNED ? (struct segment *)(bits - SEGMENTS_VIEW_PINNED) : NULL;
}

/* Release a view's pin. Any thread. */
static inline void segments_drop_view(void *pin);

/* How many there are, without retired ones. */
size_t segments_count(struct segments *table);

/* Take the next id. */
uint64_t segments_take_id(struct segments *table);

/* Make the file of a new segment: header written and synced, directory synced, mapped writable for
 * `capacity` bytes, of which the first `allocate` are allocated. Its id is taken. It is in the
 * table's slots but not in by_id until segments_publish.
 * Returns OK; LIMIT if there are 16383 segments already; NO_SPACE; IO; NO_MEMORY. */
bitcask_status segments_create(struct segments *table, enum segment_kind kind, uint64_t capacity,
                               uint64_t allocate, struct segment **segment, bitcask_error *error);

/* Open the file of a segment that exists, for reading, as `entry` describes it (state, salt,
 * length, figures, times), and map it. A file that is not there or cannot be opened gives a segment
 * in state MISSING, and OK. readable is the smaller of the file's size and `map_size` (0: the
 * file's size). An ACTIVE one is mapped for at least segment_size bytes. In the table's slots, not
 * in by_id. */
bitcask_status segments_open(struct segments *table, const struct manifest_segment *entry,
                             uint64_t map_size, struct segment **segment, bitcask_error *error);

/* The same for one that may still change, or be cut: its bytes up to entry->length are read into
 * memory, which has room for `capacity` bytes or the file's size, and the file stays open. */
bitcask_status segments_open_copy(struct segments *table, const struct manifest_segment *entry,
                                  uint64_t capacity, struct segment **segment,
                                  bitcask_error *error);

/* Let `to` stand in by_id for `from`, another handle of the same segment. */
void segments_exchange(struct segments *table, const struct segment *from, struct segment *to);

/* Take over what the manifest tells of a segment that is read up to the entry's length. */
void segments_take_entry(struct segment *segment, const struct manifest_segment *entry);

/* Put into by_id: what the manifest will name. NO_MEMORY is found out by segments_create/open. */
void segments_publish(struct segments *table, struct segment *segment);

/* Take out of by_id (the manifest no longer names it), unlink its files, and release it when no
 * reader can see it any more. The caller has made sure that no index entry points to it, and that
 * the manifest without it is durable. Returns 0 or -errno of the unlink; it is retired anyway. */
int segments_retire(struct segments *table, struct segment *segment);

/* The same without a look at the files, for one that has been withdrawn: only the handle goes. */
void segments_let_go(struct segments *table, struct segment *segment);

/* Take off, durably, what stands behind `end` in the file of a segment that is not written to. A
 * failure costs no more than space, for the manifest's length rules, as long as there is one. */
void segments_cut_file(struct segment *segment, uint64_t end);

/* Only take it out of by_id, or put it back: for a manifest that is about to be written. What a log
 * segment has held counts as gone from the log for good, in `log_floor`. */
void segments_withdraw(struct segments *table, struct segment *segment);

/* Throw away one that was made or opened but never published: unlinks its file if `unlink`. */
void segments_discard(struct segments *table, struct segment *segment, bool unlink);

/* All segments in by_id, pinned, in a malloc'd array; unpin each and free it. NULL and *count 0 if
 * there is no memory: never to be taken for a store without segments. */
struct segment **segments_pin_all(struct segments *table, size_t *count);
void segments_unpin_all(struct segment **all, size_t count);

/* ---- inline ---- */

void segments_drop_pinned_view(struct segment *segment);
void segments_drop_view_shared(struct segments *table, uint32_t slot);
void segments_end_views(struct segments *table, uint32_t slot);

static inline void segments_drop_view(void *pin)
{
    if (UNLIKELY((uintptr_t)pin & SEGMENTS_VIEW_PINNED)) {
        segments_drop_pinned_view(segments_pinned_by(pin));
        return;
    }
    struct segment *segment = pin;
    struct segments *table = segment->table; /* the segment may be gone behind the next line */
    uint32_t slot = segment->slot;
    enum view_drop drop = view_pins_drop(&table->views, slot);
    if (UNLIKELY(drop == VIEW_NOT_DROPPED))
        segments_drop_view_shared(table, slot);
    else if (UNLIKELY(drop == VIEW_DROPPED_LEAVING))
        segments_end_views(table, slot);
}

#endif
