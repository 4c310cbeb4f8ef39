/* SPDX-License-Identifier: MIT
 * rebuild.h: make a manifest out of the data files when MANIFEST is lost or bad.
 *
 * A segment that ends in a SEAL record is sealed at that length; one whose hint covers just its
 * file, too. Any other is ACTIVE with length 0: recovery scans it.
 * All segments count but the inputs of finished merges, which the SEAL record of a merge's last
 * output lists. A merge is finished if all its outputs are there; or if some of its outputs or
 * inputs are gone, since inputs are removed, and outputs merged again, only after it. The outputs
 * of an unfinished one count as well: they hold copies of records that are still there, with their
 * versions, so they change nothing, and if the rest of the store is damaged they may be all that
 * is left. */
#ifndef ENGINE_REBUILD_H
#define ENGINE_REBUILD_H

#include "engine/inventory.h"
#include "engine/store.h"

/* Build *manifest (clean: false) from the data files in `inventory`; store->segments has no seed
 * and store id yet. Fork id is new; ids of files that are not of this store are told as events.
 *   superseded  the inputs of finished merges that are still there: to be removed
 * Returns OK; NO_STORE if there is no data file; FORMAT; IO; NO_MEMORY; CORRUPT if there are data
 * files but not one good header among them. */
bitcask_status rebuild_manifest(struct store *store, const struct inventory *inventory,
                                struct manifest *manifest, struct id_list *superseded,
                                bitcask_error *error);

#endif
