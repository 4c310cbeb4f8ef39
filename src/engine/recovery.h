/* SPDX-License-Identifier: MIT
 * recovery.h: from whatever files are there to a store that can be used.
 *
 * What it does, in order (docs/ARCHITECTURE.md walks through it):
 *   1. Read MANIFEST; if it is lost or bad, rebuild it from the data files (engine/rebuild.h).
 *   2. Sync MANIFEST and the directory before anything is removed; then tidy: temporary files and
 *      hints of no segment are removed, unnamed merge outputs too; unnamed log segments go to
 *      quarantine/.
 *   3. Open and map the named segments. After an unclean stop: sync each unsealed one, drop its
 *      cached pages, scan it from the disk; cut at the first hole above the watermark, this segment
 *      and every later log record; what is cut is copied to quarantine/ and synced first. A scanned
 *      segment ends up SEALED at its logical length, or removed if it holds no record.
 *   4. Open the hints, build those that are missing or bad, load the index.
 *   5. Write the manifest, if anything changed, as a clean one; remove what it no longer names.
 * The same steps interrupted anywhere and done again give the same state.
 *
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
