/* SPDX-License-Identifier: MIT
 * keyspace_internal.h: what keyspace.c, keyspace_read.c and keyspace_write.c share.
 *
 * Outside of a batch every function is one call of the store, whose conditions make it atomic.
 * Inside of one (EXEC, RENAME; the gate is ours alone, so nobody else writes) reads look into the
 * changes first, conditions are judged here, and writes only note what is to be. */
#ifndef SERVER_KEYSPACE_INTERNAL_H
#define SERVER_KEYSPACE_INTERNAL_H

#include <stdatomic.h>

#include "keyspace.h"

struct change;

struct keyspace_slot { /* of one thread */
    _Alignas(64) _Atomic uint64_t changes;
    uint64_t uncommitted; /* changes of this pass */
    bitcask_batch *batch; /* of keyspace_set_many; kept for its memory */
};

struct keyspace_slot *keyspace_slot_of(const struct client *client);

bool keyspace_can_be_a_key(bitcask_slice key);
/* May this be written? Replies if not. */
bitcask_status keyspace_check_key(struct client *client, bitcask_slice key);

/* Reply the error if it is one; returns the status. */
bitcask_status keyspace_fail(struct client *client, bitcask_status status,
                             const bitcask_error *error);
bitcask_status keyspace_no_memory(struct client *client);

/* In always mode it is keyspace_commit that waits for the disk. */
bitcask_sync keyspace_sync_of(const struct client *client);

/* What the batch at hand has made of the key; NULL: nothing, or there is no batch. */
const struct change *keyspace_change_of(const struct client *client, bitcask_slice key);

/* As keyspace_get, with nothing counted, replied, or judged by the client's clock. Views of changes
 * have no pin. */
bitcask_status keyspace_look_at_value(struct client *client, bitcask_slice key, bitcask_view *view,
                                      bitcask_error *error);

/* Does anybody want to hear of events of this kind (a letter of notify-keyspace-events)? */
bool keyspace_wants(const struct client *client, char kind);
void keyspace_tell(struct client *client, char kind, const char *event, bitcask_slice key);
void keyspace_tell_change(struct client *client, const char *event, bitcask_slice key);
char keyspace_kind_of(const char *event);

#endif
