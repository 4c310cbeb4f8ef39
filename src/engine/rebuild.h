/* SPDX-License-Identifier: MIT
 * rebuild.h: make a manifest out of the data files when MANIFEST is lost or bad.
 *
 * Names, segment headers and SEAL records say enough: kind, salt, seed, store; a segment that ends
 * in a SEAL record is sealed at that length; a merge output counts only if the last output of its
 * job is there and complete, and then the inputs which that one lists do not count. A data file
 * whose header is bad is kept aside in quarantine and reported, unless its hint tells salt and
 * store. The version ceiling is the highest version found plus a day. */
#ifndef ENGINE_REBUILD_H
#define ENGINE_REBUILD_H

#include "engine/store.h"

/* Build *manifest (clean: false; unsealed segments ACTIVE with length 0, by ascending id) from the
 * data files of the directory. Superseded inputs and incomplete outputs are left out, to be tidied
 * like any unnamed file (see recovery.h; `superseded` lists the ids of inputs that must be removed
 * and never come back, malloc'd).
 * Returns OK; NO_STORE if there is no data file; FORMAT; IO; NO_MEMORY; CORRUPT if there are data
 * files but not one good header or hint among them. */
bitcask_status rebuild_manifest(struct store *store, struct manifest *manifest,
                                uint64_t **superseded, size_t *superseded_count,
                                bitcask_error *error);

#endif
