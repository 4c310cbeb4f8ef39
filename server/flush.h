/* SPDX-License-Identifier: MIT
 * flush.h: deleting all keys. */
#ifndef SERVER_FLUSH_H
#define SERVER_FLUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

enum { FLUSH_STEP = 512 }; /* keys between two calls of `step` */

/* The version up to which to delete, as of now: keys written later stay, whenever the deleting
 * begins. */
bitcask_status flush_begin(bitcask *store, uint64_t *version, bitcask_error *error);

/* Delete every key that has not been written since `version`, and no other. `step` is called from
 * time to time, with what is done so far; false: stop, CANCELLED.
 * Cost: a look-up and a tombstone a key. The space comes back by merges. */
bitcask_status flush_all(bitcask *store, uint64_t version, bitcask_sync sync,
                         bool (*step)(void *context, uint64_t done), void *context, uint64_t *done,
                         bitcask_error *error);

#endif
