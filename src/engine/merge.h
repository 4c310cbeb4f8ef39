/* SPDX-License-Identifier: MIT
 * merge.h: reclaim dead space while readers and writers go on.
 *
 * One job: choose inputs (merge_plan) -> walk their records, copy the live ones to outputs, each
 * checked against its checksum on the way -> sync every log segment that is not yet synced, since a
 * judgement "dead" must not rest on a record that can still vanish -> sync outputs, write their
 * hints -> one manifest names the outputs instead of the inputs -> move each copied record's index
 * entry from its exact old place to its new one -> retire the inputs.
 *
 * A record is live if the index points at it. A tombstone, and an expired record, which is one,
 * goes only when no segment outside the job may hold an older version of its key: by version range,
 * else by that segment's hint; a segment that is active, sealing, retired but not yet unlinked, or
 * without a verified hint may hold it unless its lowest version is higher. Else it stays, an
 * expired record as a bare tombstone of the same version. Every tombstone is judged, the stale too.
 *
 * A failed or cancelled job removes its outputs and has changed nothing. */
#ifndef ENGINE_MERGE_H
#define ENGINE_MERGE_H

#include "engine/store.h"

/* As bitcask_merge: runs jobs until none is left that is worth it, or all segments have been
 * through one. */
bitcask_status merge_run(struct store *store, const bitcask_merge_options *options,
                         bitcask_merge_result *result, bitcask_error *error);

/* One job for a put that has met a limit: the segment that frees most per byte written, if a share
 * `min_dead` of it is dead, and what goes for free; without a budget, since somebody waits. BUSY if
 * another call merges. The store is smaller then or not: OK says nothing about it. */
bitcask_status merge_relieve(struct store *store, double min_dead, bitcask_error *error);

#endif
