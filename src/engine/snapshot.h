/* SPDX-License-Identifier: MIT
 * snapshot.h: the store as of one version, however long it is held.
 *
 * A snapshot is a version, a wall clock, and the undo entries that it needs (engine/undo.h). It is
 * taken while write_mutex is held, so all records up to its version are published and all later
 * ones see to it. It holds back the segments that its entries point into, each from the moment when
 * the first of its records was superseded, and nothing else; nobody waits for it.
 *
 *   X6  A look-up as of a snapshot gives the record with the highest version not above the
 *       snapshot's, and judges its expiry by the snapshot's clock: the same answer each time.
 *   X7  No merge reaps an expired record that a snapshot sees as alive, be it taken before the
 * merge or while it goes on.
 *
 * Threads: all functions from any thread. */
#ifndef ENGINE_SNAPSHOT_H
#define ENGINE_SNAPSHOT_H

#include "engine/undo.h"

struct store;

/* Guarded by undo->mutex, but for what does not change and what is atomic. */
struct bitcask_snapshot {
    struct store *store;
    uint64_t version;         /* the highest that it sees */
    uint64_t clock_us;        /* wall time, for expiry */
    uint64_t taken_us;        /* boot clock */
    _Atomic uint32_t holders; /* the caller and its iterators */
    _Atomic bool abandoned;   /* its store has been closed */
    bool dying;               /* being freed: owns what it has, and gets nothing more */
    struct bitcask_snapshot *newer, *older;
    struct undo_entry *entries; /* chained by `sibling` */
};

/* Take a snapshot into the caller's storage, and let it go. Taking waits for the group of writes at
 * hand. Cost of letting go: about 100 ns an entry, in short holds of the mutex. */
void snapshot_take(struct store *store, struct bitcask_snapshot *snapshot);
void snapshot_drop(struct bitcask_snapshot *snapshot);

/* The same on the heap, with one holder. Returns OK or NO_MEMORY. */
bitcask_status snapshot_new(struct store *store, struct bitcask_snapshot **snapshot,
                            bitcask_error *error);
struct bitcask_snapshot *snapshot_hold(struct bitcask_snapshot *snapshot);
void snapshot_free(struct bitcask_snapshot *snapshot); /* by the last holder; NULL allowed */

/* The latest expiry that a merge may reap, not above `before`: every live snapshot sees what
 * expired up to then as gone. From reap_begin to reap_end that holds of snapshots taken meanwhile
 * too: their clocks start no earlier, though the wall clock be set back. One job at a time. */
uint64_t snapshots_reap_before(struct undo *undo, uint64_t before);
uint64_t snapshots_reap_begin(struct undo *undo, uint64_t before);
void snapshots_reap_end(struct undo *undo);

struct snapshots_figures {
    uint64_t count;
    uint64_t oldest_us; /* age; 0 if there is none */
};
struct snapshots_figures snapshots_look(struct store *store);

/* ---- For undo.c, holding the mutex ----------------------------------------------------------- */

/* This one, or the first older one, that is not being freed; NULL if there is none. */
static inline struct bitcask_snapshot *snapshot_live(struct bitcask_snapshot *snapshot)
{
    while (snapshot != NULL && snapshot->dying)
        snapshot = snapshot->older;
    return snapshot;
}

static inline void snapshot_own(struct bitcask_snapshot *snapshot, struct undo_entry *entry)
{
    entry->sibling = snapshot->entries;
    snapshot->entries = entry;
}

/* The store is closed: freeing one later on frees its memory only. */
void snapshots_abandon(struct undo *undo);

#endif
