/* SPDX-License-Identifier: MIT
 * rescue.h: what to do when a sync of the log has failed.
 *
 * A failed sync is never tried again: the kernel may have thrown the dirty pages away, and a second
 * one would say "success" without having written them. What lies between the last synced offset and
 * the end is suspect, and still in the page cache: it is copied at once to a new segment, record by
 * record, and synced there; then the manifest ends the failed segment at its last synced offset and
 * the index entries move. If that fails too, the store refuses writes until it is reopened, and
 * reads of the suspect part return an error. */
#ifndef ENGINE_RESCUE_H
#define ENGINE_RESCUE_H

#include "engine/store.h"

/* Holding write_mutex and sync_mutex; `failed` is the first log segment whose sync failed, all log
 * segments behind it are suspect too. Records with `unpublished_version` or a higher one are not
 * visible yet and are given up (UINT64_MAX: all is published).
 * Returns OK if everything visible is durable in a new place; otherwise the store is poisoned. */
bitcask_status rescue_log(struct store *store, struct segment *failed, uint64_t unpublished_version,
                          bitcask_error *error);

/* D8: what a failed sync has left behind the ends of segments must not be taken for records should
 * the manifest be lost: cut it off. Only when the store is closed, since views may look at it;
 * after a crash recovery does it. */
void rescue_cut_tails(struct store *store);

#endif
