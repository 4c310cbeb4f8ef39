/* SPDX-License-Identifier: MIT
 * recovery.h: from whatever files are there to a store that can be used.
 *
 * What it does, in order (docs/ARCHITECTURE.md walks through it):
 *   1. Read MANIFEST; if it is lost or bad, make it anew from the data files (engine/rebuild.h).
 *   2. Open and map the named segments. After an unclean stop: sync each unsealed one, drop its
 *      cached pages, scan it from the disk; find the end of the log (engine/log_tail.h); what is
 *      cut off is copied to quarantine/ and synced first. A scanned segment ends up SEALED at its
 *      logical length, or dropped if it holds no record.
 *   3. Open the hints, scan what has no good one, load the index. Write the hints that are new.
 *   4. Write the manifest, if anything changed, as a clean one.
 *   5. Only now, with a durable manifest (written, or synced together with the directory): cut the
 *      files, remove dropped segments, temporary files, hints of no segment, unnamed merge outputs
 *      and what a merge has replaced; move other unnamed log segments to quarantine/.
 * The same steps interrupted anywhere and done again give the same state.
 *
 * A clean store whose hints are good is opened without a look at its data, and nothing is written.
 * Read-only: nothing is written; the same state is made in memory. A full disk while recovering:
 * the store opens read-only and says so. */
#ifndef ENGINE_RECOVERY_H
#define ENGINE_RECOVERY_H

#include "engine/store.h"

/* `store` has os, options, events, epoch, lock and an initialised, empty segments table; directory
 * exists. On OK: segments, keydir, secret, fork_id, version_ceiling, writer.last_version,
 * opened_clean, counters are set; writer.active is NULL. A cleanly closed segment that can be
 * appended to again stays in state ACTIVE with its end set (at most one).
 * Returns NO_STORE if there is no file of a store at all (the caller may create one), FORMAT, IO,
 * NO_MEMORY. */
bitcask_status recovery_run(struct store *store, bitcask_error *error);

#endif
