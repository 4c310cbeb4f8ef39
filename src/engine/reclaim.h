/* SPDX-License-Identifier: MIT
 * reclaim.h: letting go of whole segments without reading them.
 *
 * A merge reads every record of its inputs. Where all that is live in a segment is to go anyway,
 * because it has expired or is evicted, its hint says enough: the hash, place and version of each
 * key. The job (engine/merge_job.h, MERGE_BURY_...) walks the hint, takes the index entries that
 * point into the segment out, and unlinks it; the data is not touched. A key that an older version
 * of may lie elsewhere leaves a tombstone, so that nothing comes back, in a small output.
 *
 * The file goes at once; the index costs one conditional removal per key. Two other ways were
 * considered. A scan of the index for the segment's slot costs as much as the whole index. Leaving
 * the entries to be found dead by whoever meets them would put a test on every read, keep the
 * segment's slot number from being used again, and take from the index the records that it is
 * tagged anew from. The hint is in the order of the hashes, so the removals walk the index from
 * front to back: about 30 ns a key, and a key has been written for a hundred.
 *
 * Invariants: M1 to M6 as for any merge, and
 *   M7  A key that is evicted, or expired and reaped, stays away: nothing that could answer for it
 *       is left in any file when the manifest is durable, and readers miss it only from then on. */
#ifndef ENGINE_RECLAIM_H
#define ENGINE_RECLAIM_H

#include "engine/merge_job.h"

/* Drop every sealed segment all of whose records are tombstones or have expired (by the manifest's
 * figures and engine/reap_clock.h). Holding merge_mutex. Adds to `tally`, if it is not NULL, what
 * the jobs have done, and to *inputs how many segments went.
 * Returns OK, also if there was nothing to do; NO_SPACE, IO, NO_MEMORY, UNKNOWN.
 * Cost: a look at each segment's figures; for a segment that goes, its hint and one manifest. */
bitcask_status reclaim_expired(struct store *store, struct merge_tally *tally, size_t *inputs,
                               bitcask_error *error);

/* The same, unless a merge is running, for the background: behind every seal, so that a store in
 * which everything expires stays as small as what has not. */
bitcask_status reclaim_expired_soon(struct store *store, bitcask_error *error);

/* Evict the keys of one segment, the next by store->options.eviction (which is not NONE): the one
 * with the oldest version, or, of those with records that expire, the one whose last does so
 * soonest; then only those records go, and the others are written again. Holding merge_mutex.
 * Returns OK; NOT_FOUND if no sealed segment has a key to give; NO_SPACE, IO, NO_MEMORY, UNKNOWN.
 */
bitcask_status reclaim_evict(struct store *store, bitcask_error *error);

#endif
