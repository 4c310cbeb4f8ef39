/* SPDX-License-Identifier: MIT
 * follow.h: a store that is read while another process writes it.
 *
 * A follower takes no lock and changes no byte. It has an index of its own, loaded from the hints
 * like any other's, and brings it up to date when it is asked to:
 *   the log      records behind what it has read, up to what the writer has published
 *                (engine/published.h), applied in their order through the same code that publishes
 *                a group of writes: batches show at once, snapshots keep what they saw
 *   merges       the manifest names other segments: entries that point into those that have gone
 *                are moved to the copies, by the hints of the outputs; what is left without a copy
 *                has expired
 *   a gap        a log segment went before it was read to its end, or what was read is no longer
 *                part of the log: the index is loaded anew beside the old one and takes its place
 * Readers in the follower's process go on meanwhile, as beside any writer.
 *
 *   F1  see engine/published.h
 *   F2  After a refresh that succeeds, the follower answers as the writer did at some moment since
 *       the refresh began.
 *   F3  A refresh that fails leaves an index that answers as the writer did at some earlier moment,
 *       or, as far as it got, record by record; the next one goes on from there.
 *   F4  Every log record is applied once, in the order of versions; none is passed over: where one
 *       is gone (the manifest's log_floor is above what was read), the index is loaded anew.
 *
 *   F5  A follower maps sealed segments only: their files never change. What it has seen of any
 *       other one it has copied, so nothing that the writer, or a recovery, does to the file can
 *       change or take away what a reader holds.
 *
 *   F6  Readers are not taken back: while an index is loaded anew they look into the old one.
 *
 * What keeps F4 true of the entries that a merge moves: all records that went with its inputs have
 * versions up to the floor, and all up to there have been applied, so an output has nothing new.
 *
 * Threads: follow_refresh from any thread, one at a time (write_mutex). */
#ifndef ENGINE_FOLLOW_H
#define ENGINE_FOLLOW_H

#include "engine/store.h"

/* Load what is there. `store` as for recovery_run, without a lock. Returns OK; NO_STORE; CORRUPT if
 * the manifest is damaged; FORMAT; IO; NO_MEMORY. */
bitcask_status follow_open(struct store *store, bitcask_error *error);

/* Catch up. *changes (nullable): log records applied, and one for an index loaded anew.
 * Returns OK; DIVERGED if another store stands there now; NO_STORE if none does; BUSY if the index
 * would have to be loaded anew and snapshots are held; CORRUPT; IO; NO_MEMORY. */
bitcask_status follow_refresh(struct store *store, uint64_t *changes, bitcask_error *error);

void follow_release(struct store *store);

struct follow_figures {
    uint64_t refreshes, reloads, records; /* since open */
    uint64_t lag_bytes; /* of the log, published and not read yet; a moment's guess */
};
struct follow_figures follow_look(struct store *store);

/* Counted up whenever the index is loaded anew: what was true of the log may not be any more. */
uint64_t follow_generation(const struct store *store);

#endif
