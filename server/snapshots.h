/* SPDX-License-Identifier: MIT
 * snapshots.h: views of the store as of one moment, by name: BC.SNAPSHOT.
 *
 * They cost memory for every key that changes while they are there, and hold back the disk space of
 * old records (bitcask_snapshot_new): so there are few, and they end with the server. Any thread.
 */
#ifndef SERVER_SNAPSHOTS_H
#define SERVER_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

enum { SNAPSHOTS_MAX = 16, SNAPSHOT_NAME_MAX = 64 };

struct snapshots;

struct snapshots *snapshots_new(void);
void snapshots_free(struct snapshots *snapshots); /* all of them, before the store is closed */

/* Returns OK; EXISTS; LIMIT; INVALID name; NO_MEMORY. */
bitcask_status snapshots_create(struct snapshots *snapshots, bitcask *store, bitcask_slice name,
                                bitcask_error *error);
bool snapshots_drop(struct snapshots *snapshots, bitcask_slice name);

/* The value of `key` as it was. Returns OK; NOT_FOUND; END if there is no such snapshot; errors.
 * The view is to be released. */
bitcask_status snapshots_get(struct snapshots *snapshots, bitcask *store, bitcask_slice name,
                             bitcask_slice key, bitcask_view *view, bitcask_error *error);

/* Under the lock. */
void snapshots_each(struct snapshots *snapshots,
                    void (*each)(void *context, const char *name, uint64_t version,
                                 uint64_t created_us),
                    void *context);

#endif
