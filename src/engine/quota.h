/* SPDX-License-Identifier: MIT
 * quota.h: the limits that the options set to disk space and to the index, and what is done there.
 *
 * max_disk_bytes. What counts: data and hint files as they are allocated, in whole pages, the hints
 * that unsealed segments are going to have, and the reserve. Not the manifest, some hundred bytes a
 * segment, nor files that are unlinked and still held by views. A put stops one segment below the
 * limit (with a limit segments are an eighth of it at most), so that a merge always has room for an
 * output, and deletes for their tombstones: deletes are never refused, they are the way out.
 *
 * max_index_bytes. The index does not grow beyond it: a new key is refused where a shard would have
 * to split. Keys that are there can be overwritten and deleted; what goes makes room for others.
 *
 * What a put does that would pass a limit: it steps back from the write queue, makes room holding
 * no lock that a reader or another writer wants, and tries again as long as that helps:
 *     1. segments that have expired go (engine/reclaim.h)
 *     2. one merge job, for the disk: the segment that wastes most, if 40% of it is dead
 *     3. eviction, if the options allow it: one segment, by its hint
 *     4. one merge job, if 5% is dead: better than to refuse the put
 *     5. the active segment is closed, so that it can be merged or evicted too, and 2 to 4 again
 * If nothing helps it fails with LIMIT and a message that says which limit, and what to do.
 *
 * With a background thread a put seldom has to: from nine tenths of what puts may use on 1 and 3
 * are done ahead (3 unless a quarter of the store is waste, which is the scheduler's to merge), and
 * from 98% on the scheduler takes what frees most per byte written (engine/merge_policy.h).
 *
 * Locks: `mutex` is taken before merge_mutex and any other of engine/store.h. */
#ifndef ENGINE_QUOTA_H
#define ENGINE_QUOTA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

struct store;
struct segment;

/* The least that makes sense of either limit. */
#define QUOTA_DISK_MIN (1ull << 20)
#define QUOTA_INDEX_MIN (64ull << 10)

enum quota_kind { QUOTA_NONE, QUOTA_DISK, QUOTA_INDEX };

struct quota {
    uint64_t put_limit;      /* bytes on disk; 0: none. Does not change */
    pthread_mutex_t mutex;   /* one at a time makes room */
    _Atomic uint64_t rounds; /* that made some */
    _Atomic bool told;       /* quota_reached has been told, and nothing freed since */
    uint64_t futile;         /* by mutex: what was wasted when no merge helped, see quota.c */
    /* The head's. */
    enum quota_kind exceeded; /* what has just been refused */
    bool stale;               /* the file has grown, or another one is written to: count anew */
    uint64_t left;            /* when last counted */
    uint64_t hint_counted;    /* of that: the active segment's hint so far */
};

/* From the options, which it may change: segments are an eighth of the limit at most. */
void quota_init(struct store *store);

static inline bool quota_is_set(const struct quota *quota, uint64_t max_index_bytes)
{
    return quota->put_limit != 0 || max_index_bytes != 0;
}

/* What counts against max_disk_bytes. Any thread. Cost: a step per segment. */
uint64_t quota_used(struct store *store);

/* What merges may write below the limit; UINT64_MAX without one. Any thread. */
uint64_t quota_room(struct store *store);

/* Is less than 2% left of what puts may use? Any thread. */
bool quota_is_scarce(struct store *store);

/* ---- The head, holding write_mutex --------------------------------------------------------- */

/* May the log take `growth` bytes more of the disk for a put of `size`? Returns OK, or LIMIT; then
 * `exceeded` is set if making room may help. Cost: nothing unless growth is above 0. */
bitcask_status quota_admit(struct store *store, uint64_t size, uint64_t growth,
                           bitcask_error *error);

/* How far allocating ahead to `goal` may go, `want` in any case. */
uint64_t quota_clamp(struct store *store, uint64_t allocated, uint64_t want, uint64_t goal);

/* ---- Making room, holding no lock ---------------------------------------------------------- */

/* After a refusal, when `rounds` was as given: true if it is worth trying again. */
bool quota_make_room(struct store *store, enum quota_kind kind, uint64_t rounds);

/* What can be done before a put is refused; a put is not kept waiting for it. */
void quota_reclaim_ahead(struct store *store);

/* A put has been refused for good: say so, once until something is freed. */
void quota_tell(struct store *store, enum quota_kind kind);

#endif
