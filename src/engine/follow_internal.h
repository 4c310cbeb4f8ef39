/* SPDX-License-Identifier: MIT
 * follow_internal.h: what the parts of following share.
 *
 *     follow.c         the order of things: what has changed, and what is to be done about it
 *     follow_load.c    the index from hints, at open and after a gap
 *     follow_log.c     records of the log, up to what is published
 *     follow_copy.c    segments that are not sealed: copies in memory
 *     follow_merge.c   segments that come and go with the manifest */
#ifndef ENGINE_FOLLOW_INTERNAL_H
#define ENGINE_FOLLOW_INTERNAL_H

#include "engine/follow.h"

/* Guarded by write_mutex, but for what is atomic. In the follower's table of segments, `end` of a
 * log segment is how far it has been read; one that has been read to its end is SEALED, any other
 * ACTIVE (or SEALING: full). */
struct follow {
    char *text; /* of the manifest at hand; malloc'd */
    size_t text_size;
    struct manifest manifest;
    bool has_manifest;
    uint64_t version; /* of the last record applied: all up to here are */
    bool has_position;
    struct log_position position; /* published, as read behind the manifest */
    uint64_t capacity;            /* of its segment */
    uint64_t told_before;      /* its segment as of the look before: read ahead of the manifest */
    struct segment **departed; /* named no longer, entries may still point there; a pin each */
    size_t departed_count, departed_capacity;
    struct retired_keydir *old; /* what readers look into until the refresh is done; or NULL */
    struct segment **held;      /* its segments, withdrawn */
    size_t held_count;
    bool adopted; /* the manifest at hand, with a position in this segment: */
    uint64_t adopted_at;
    const char *gap; /* why the index must be loaded anew; NULL: it need not */
    uint64_t applied;
    _Atomic uint64_t refreshes, reloads, records, generation;
};

/* ---- follow.c ---- */

/* What the manifest says of a segment, or NULL. */
const struct manifest_segment *follow_entry(const struct follow *follow, uint64_t id);

/* The segment of this id in the table, or NULL: only the holder of write_mutex takes one out. */
struct segment *follow_segment(struct store *store, uint64_t id);

/* Is its content vouched for by the manifest, up to entry->length? */
bool follow_is_vouched(const struct follow *follow, const struct manifest_segment *entry);

/* Should a log segment that the manifest does not vouch for be read? */
bool follow_is_published(const struct follow *follow, uint64_t id);

/* ---- follow_load.c ---- */

/* Open the file of a segment that the manifest names, as one of which nothing has been read, unless
 * the manifest vouches for it and `whole`. What is not sealed is copied into memory (F5). In no
 * list yet. OK also if there is no file (MISSING). */
bitcask_status follow_open_segment(struct store *store, const struct manifest_segment *entry,
                                   bool whole, struct segment **segment, bitcask_error *error);

/* Load index and segments as the manifest at hand says, and put them in the place of those there
 * are. END: a file has gone meanwhile, so the manifest must have changed. */
bitcask_status follow_load(struct store *store, bitcask_error *error);

/* What has been loaded is up to date, or will not be for now: let readers look into it. Until then
 * they see what was, or they would be taken back to where the hints end. */
void follow_show(struct store *store);

/* ---- follow_log.c ---- */

/* Apply what is published and has not been applied. Sets follow->gap if the log is not the one that
 * was read. */
bitcask_status follow_log(struct store *store, bitcask_error *error);

/* Has all been read up to follow->position? */
bool follow_is_level(struct store *store);

/* ---- follow_copy.c ---- */

/* Have the bytes of a segment at hand from its `end` up to `to`, or as many as its file has.
 * *limit: where they end. Returns OK; IO. */
bitcask_status follow_fetch(const struct segment *segment, uint64_t to, uint64_t *limit,
                            bitcask_error *error);

/* Segments that have been read to their end and are sealed now are mapped, and the entries of the
 * index move from the copies to the mappings. Sets follow->gap where that fails half-way. */
bitcask_status follow_exchange(struct store *store, bitcask_error *error);

/* ---- follow_merge.c ---- */

/* Room for all of the table to depart. */
bool follow_make_room(struct store *store);

/* Move the entries that point into departed segments to `count` others, by the hints of these. */
bitcask_status follow_move_entries(struct store *store, struct segment *const *to, size_t count,
                                   bitcask_error *error);

/* Take in what the manifest names and the table does not have, let what it names no longer depart.
 * END as follow_load; sets follow->gap if it cannot be done in this way. */
bitcask_status follow_adopt(struct store *store, bitcask_error *error);

/* The log has been read to where it was when the manifest was written: entries that still point
 * into departed segments are of expired records that a merge has dropped. */
bitcask_status follow_sweep(struct store *store, bitcask_error *error);

#endif
