/* SPDX-License-Identifier: MIT
 * undo.h: old places of keys, for readers that are to see the store as it was.
 *
 * The index knows the newest record of each key only. While somebody may still ask for the one
 * before it, the undo overlay has an entry {hash, place, version, until}: up to version `until` the
 * record at `place`, of version `version`, was the key's. There are two who ask:
 *   snapshots  as of version V, as long as they live (engine/snapshot.h)
 *   readers    as of just before a batch that is being published. The batch's first version is the
 *              `floor`: what has it or a higher one is not to be seen yet. When all slots are
 *              changed the floor is cleared, and the batch shows at once.
 * So a reader looks at the index first. A record whose version is not above the one it asks for is
 * its answer; else the entry of this hash with version <= V < until, proved on its record, is; and
 * if there is none either, the key was not there: absence needs no entry.
 *
 *   X4  An entry is linked in, its segment pinned, before the index changes; and it stays until no
 *       live snapshot and no batch being published needs it.
 *   X5  The records of a batch are seen by all readers at once: when the floor is cleared.
 *
 * An entry that is linked in belongs first to the request that made it, then (undo_settle) to the
 * newest live snapshot V with version <= V, and when that is freed to the next older one that needs
 * it; when none does, it goes. So freeing a snapshot costs the entries that it has.
 *
 * Guards: `mutex` all changes of the table and the lists; readers walk the table inside an epoch,
 * without a lock. Locks: `mutex` is a leaf, nothing else is taken inside.
 *
 * Memory: 64 bytes an entry and 8 to 32 of the table, from os->alloc, reserved before the record
 * that supersedes is appended (W2). The table is hashed with linear probing, its slots are pointers
 * that never move: when it fills up it is copied, and the old one goes through the epoch. Buckets
 * are by the top bits of the hash, so that the entries of a range of hashes lie together. */
#ifndef ENGINE_UNDO_H
#define ENGINE_UNDO_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/segments.h"

struct bitcask_snapshot;

struct undo_entry {
    uint64_t hash;
    struct keydir_place place;  /* of the old record; its segment is pinned while linked in */
    uint64_t version;           /* of the old record */
    uint64_t until;             /* of the record that superseded it */
    struct undo_entry *sibling; /* in the list of its owner */
    struct epoch_item retirement;
};
_Static_assert(sizeof(struct undo_entry) == 64, "as promised above and in docs/OPERATIONS.md");

struct undo_table {
    struct epoch_item retirement;
    struct undo *undo;
    unsigned bits;                        /* 1 << bits slots */
    size_t used;                          /* not empty: entries and places of removed ones */
    _Atomic(struct undo_entry *) slots[]; /* NULL: empty */
};

struct undo {
    /* What readers look at; changes only with batches and with the table's size. */
    _Alignas(64) _Atomic uint64_t floor; /* UINT64_MAX: no batch is being published */
    _Atomic uint64_t batches;            /* published; raised before the floor is cleared */
    _Atomic(struct undo_table *) table;  /* NULL: no entries */

    _Alignas(64) _Atomic uint64_t newest; /* version of the newest live snapshot, or 0 */
    _Atomic uint64_t entries;             /* linked in */
    _Atomic uint64_t bytes;               /* of entries and table, those in grace excluded */
    struct os *os;
    struct epoch *epoch;
    struct segments *segments;

    pthread_mutex_t mutex;                    /* guards the table's content, and: */
    size_t reserved;                          /* entries that may come without asking */
    struct bitcask_snapshot *newest_snapshot; /* chained by `older`; dying ones included */
    size_t snapshots;                         /* live ones */
    uint64_t reaping; /* what expired up to here may be going just now; 0: nothing is */
};

void undo_init(struct undo *undo, struct os *os, struct epoch *epoch, struct segments *segments);

/* Let go of everything; what is left to the epoch holds pins on segments. No readers, no writer. */
void undo_release(struct undo *undo);

/* ---- The writer, holding write_mutex -------------------------------------------------------- */

/* Does a live snapshot see a record of this version that is a key's newest? */
static inline bool undo_is_wanted(const struct undo *undo, uint64_t version)
{
    return version <= atomic_load_explicit(&undo->newest, memory_order_relaxed);
}

/* Take memory for `count` entries: *list, chained by `sibling`. OK or NO_MEMORY (nothing has
 * changed then). */
bitcask_status undo_reserve(struct undo *undo, size_t count, struct undo_entry **list,
                            bitcask_error *error);
void undo_unreserve(struct undo *undo, struct undo_entry *list); /* NULL allowed */

/* Hide what has this version or a higher one, until undo_end_batch. Before the first entry of the
 * batch is linked in. */
void undo_begin_batch(struct undo *undo, uint64_t first_version);
void undo_end_batch(struct undo *undo);

/* Link in the reserved entries of the list, filled in, before the index changes. Inside an epoch in
 * which each place was the index's. The list stays the caller's, for undo_settle. */
void undo_insert(struct undo *undo, struct undo_entry *list);

/* The index is changed: each entry of the list goes to the snapshot that needs it, or goes. */
void undo_settle(struct undo *undo, struct undo_entry *list);

/* ---- Readers, inside an epoch --------------------------------------------------------------- */

static inline uint64_t undo_floor(const struct undo *undo)
{
    return atomic_load_explicit(&undo->floor, memory_order_acquire);
}

static inline uint64_t undo_batches(const struct undo *undo)
{
    return atomic_load_explicit(&undo->batches, memory_order_acquire);
}

/* Walk the places that a key with this hash may have had as of `version`. After a look at the
 * index. */
struct undo_probe {
    const struct undo_table *table;
    uint64_t hash, version;
    size_t at;
};
void undo_probe_start(const struct undo *undo, uint64_t hash, uint64_t version,
                      struct undo_probe *probe);
bool undo_probe_next(struct undo_probe *probe, struct keydir_place *place);

/* Append the places, and the versions of their records, that keys with hashes from `from` to before
 * `to` (UINT64_MAX: to the end) had as of `version` and do not have any more. After a look at the
 * index. Returns OK or NO_MEMORY. */
struct undo_versions {
    uint64_t *items; /* free it */
    size_t count, capacity;
};
bitcask_status undo_collect(const struct undo *undo, uint64_t version, uint64_t from, uint64_t to,
                            struct keydir_places *places, struct undo_versions *versions);

/* ---- For snapshot.c, holding the mutex ------------------------------------------------------- */

/* Take an entry out and put it on the list of those that go; then, without the mutex, let go. */
void undo_unlink(struct undo *undo, struct undo_entry *entry, struct undo_entry **gone);
void undo_let_go(struct undo *undo, struct undo_entry *gone); /* NULL allowed */

#endif
