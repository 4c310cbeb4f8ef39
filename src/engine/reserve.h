/* SPDX-License-Identifier: MIT
 * reserve.h: a little disk space kept aside, so that a full disk can be got out of.
 *
 * `bitcask.reserve` is a file of allocated zeros. Puts are accepted only while it is held. When the
 * disk is full it is given up for what frees space or loses none: the manifest, deletes, a merge,
 * the rescue of a failed sync. It is made again when there is room, at the latest by the next put.
 * Until then nothing is sealed or made ahead in the background: hints and fresh segments would take
 * the very blocks that were given up. Deletes leave a last part of it alone, for the manifest that
 * lets go of what is dead: else the merge that they were made for could not begin. Its content
 * means nothing; its loss does no harm. */
#ifndef ENGINE_RESERVE_H
#define ENGINE_RESERVE_H

#include "engine/store.h"

/* Sizes in bytes. */
enum {
    RESERVE_LOG = 48 << 10,  /* for deletes */
    RESERVE_LAST = 16 << 10, /* for the manifest; as much again... */
    RESERVE_SEGMENTS = 32,   /* ... for each so many segments that it tells of */
    RESERVE_MIN = RESERVE_LOG + RESERVE_LAST,
};

/* Hold the reserve: OK; NO_SPACE (then what was there stays, or as much as there is room for); IO.
 * Holding write_mutex, not manifest_mutex; or alone. Cost: nothing if it is held. */
bitcask_status reserve_hold(struct store *store, bitcask_error *error);

/* The manifest has grown: is the reserve still large enough for it? If not, the next put makes it
 * larger. Holding manifest_mutex. */
void reserve_follow_manifest(struct store *store);

/* By how many bytes it grows when there is one segment more. */
uint64_t reserve_growth(struct store *store);

/* Give it up. True if there was something to give. Any thread. */
bool reserve_release(struct store *store);

/* Give up what is for the log. True if there was something to give. Holding write_mutex. */
bool reserve_release_for_log(struct store *store);

/* Keep the last part aside again, if there is room for it and nothing is. Holding manifest_mutex,
 * which guards the making of the file. */
void reserve_keep_last(struct store *store);

#endif
