/* SPDX-License-Identifier: MIT
 * keyspace.h: what commands see of the store.
 *
 * Keys and values as Redis has them, on bitcask.h: reading, setting with conditions and expiry,
 * reading and writing in one step by comparing versions, deleting. Inside EXEC reads see what the
 * transaction has written, and its writes become one batch: all or nothing, also after a crash.
 * Every change is counted as dirty, told to keyspace notifications and to those who watch the key;
 * misses, hits and expiries to the statistics.
 *
 * Limits of the store that Redis has not: the empty key is refused, a key has at most 65,535 bytes.
 *
 * In `always` mode a write here does not wait for the disk; keyspace_commit does, once per pass of
 * a loop, before any reply of that pass leaves. Should the sync fail, the clients that wrote get an
 * error in place of their replies and are closed: whether their writes are durable is not known. */
#ifndef SERVER_KEYSPACE_H
#define SERVER_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

struct client;
struct server;

enum { KEYSPACE_TRIES = 1000 }; /* of compare-and-set, before the gate is taken alone */

/* What the commands of `slots` threads share: counts of changes, a batch for each thread. Returns
 * NULL for want of memory. */
struct keyspace *keyspace_new(unsigned slots);
void keyspace_free(struct keyspace *keyspace);
uint64_t keyspace_changes(const struct keyspace *keyspace); /* since the start */

/* What a client has to forget when it goes, with its queued commands and watched keys. */
void keyspace_forget(struct client *client);

/* The value of `key`, in place; release it with keyspace_release or hand it to reply_bulk_view.
 * Returns OK; NOT_FOUND; or an error, and then the error has been replied. */
bitcask_status keyspace_get(struct client *client, bitcask_slice key, bitcask_view *view);
void keyspace_release(bitcask_view *view);
bitcask_status keyspace_stat(struct client *client, bitcask_slice key, bitcask_meta *meta);

struct keyspace_write {
    unsigned flags;      /* BITCASK_IF_ABSENT, IF_PRESENT, IF_VERSION, KEEP_TTL */
    uint64_t expires_us; /* 0: never */
    uint64_t if_version;
    const char *event; /* for notifications: "set", "incrby"; static */
};
bitcask_status keyspace_set(struct client *client, bitcask_slice key, bitcask_slice value,
                            const struct keyspace_write *write);
bitcask_status keyspace_delete(struct client *client, bitcask_slice key, const char *event);
bitcask_status keyspace_expire(struct client *client, bitcask_slice key, uint64_t expires_us,
                               const char *event);

/* Read, change, write: `change` is called with the value (NULL data: the key is not there) and says
 * what is to be written; again if the key has changed meanwhile. It must not reply before the last
 * call: it returns DONE to write `*result`, LEAVE to write nothing. */
enum keyspace_change { KEYSPACE_WRITE, KEYSPACE_LEAVE };
typedef enum keyspace_change keyspace_change_fn(void *context, const bitcask_view *old,
                                                bitcask_slice *result,
                                                struct keyspace_write *write);
bitcask_status keyspace_update(struct client *client, bitcask_slice key, keyspace_change_fn *change,
                               void *context);

/* Several writes as one batch (MSET, RENAME, runs of SET): begin, keyspace_set and keyspace_delete,
 * end. Returns what the batch's write returned. EXEC is the same around whole commands. */
void keyspace_begin(struct client *client);
bitcask_status keyspace_end(struct client *client);
void keyspace_abandon(struct client *client);

/* Is every watched key as it was when WATCH saw it? (versions; keyspace keeps them) */
bool keyspace_watch_holds(struct client *client);

/* On close: its queued commands and watched keys go. */
void keyspace_forget(struct client *client);

/* End of a pass: make durable what the clients of this thread have written, if the mode is
 * `always`. Cheap if nothing was written. */
bitcask_status keyspace_commit(struct server *server, unsigned slot, bitcask_error *error);

#endif
