/* SPDX-License-Identifier: MIT
 * backup.h: a consistent copy of an open store in another directory.
 *
 * Terms. SOURCE: the open store, written to and merged meanwhile. DEST: the directory of the
 * backup. A look: the list of segments of one moment, pinned, with the length of each; between two
 * groups of writers, so at the end of a batch. What a look lists never changes below its length.
 *
 * Sealed segments are linked (one inode, two names), or copied where links are not to be had:
 * another file system, another seam, or at the caller's request. The others are copied up to their
 * length and are sealed segments of DEST, without a SEAL record.
 *
 * Invariants (docs/DURABILITY.md):
 *   B1  What DEST holds was durable in SOURCE, and is a prefix of the order of its writes.
 *   B2  DEST's manifest is replaced last, when everything that it names is durable. Until then DEST
 *       is the backup of before, or, marked by bitcask.backup, no store. Nothing that the manifest
 *       on disk names is removed.
 *   B3  Only what SOURCE's durable manifest calls sealed is linked: nobody ever changes it (L5).
 *   B4  A backup that has been opened for writing is never the base of an increment. */
#ifndef ENGINE_BACKUP_H
#define ENGINE_BACKUP_H

#include "engine/store.h"

/* As bitcask_backup; `to` is the seam of DEST: store->os, or another one, and then nothing is
 * linked. Takes no lock of the store for longer than a look at its segments. */
bitcask_status backup_run(struct store *store, struct os *to, const char *destination,
                          const bitcask_backup_options *options, bitcask_backup_result *result,
                          bitcask_error *error);

#endif
