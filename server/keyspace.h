/* SPDX-License-Identifier: MIT
 * keyspace.h: what commands see of the store.
 *
 * Keys and values as Redis has them, on bitcask.h: reading, setting with conditions and expiry,
 * reading and writing in one step by comparing versions, deleting. Inside EXEC reads see what the
 * transaction has written, and its writes become one batch: all or nothing, also after a crash.
 * Every change is counted as dirty and told to keyspace notifications; hits and misses go to the
 * statistics.
 *
 * Limits of the store that Redis has not: the empty key cannot be written, nor one of more than
 * 65,535 bytes; reading one finds nothing.
 *
 * In `always` mode a write here does not wait for the disk; keyspace_commit does, once per pass of
 * a loop, before any reply of that pass leaves. Should the sync fail, the clients that wrote get an
 * error in place of their replies and are closed: whether their writes are durable is not known.
 *
 * Where a status is an error (negative), the error has been replied. */
#ifndef SERVER_KEYSPACE_H
#define SERVER_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

struct client;
struct server;
struct snapshots;

enum { KEYSPACE_TRIES = 1000 }; /* of compare-and-set, before the gate is taken alone */

/* What the commands of `slots` threads share: counts of changes, a batch for each thread. Returns
 * NULL for want of memory. */
struct keyspace *keyspace_new(unsigned slots);
void keyspace_free(struct keyspace *keyspace);
struct snapshots *keyspace_snapshots(struct keyspace *keyspace); /* BC.SNAPSHOT */
uint64_t keyspace_changes(const struct keyspace *keyspace);      /* since the start */

/* What a client has to forget when it goes, with its queued commands and watched keys. */
void keyspace_forget(struct client *client);

/* ---- Reading ------------------------------------------------------------------------------- */

/* The value of `key`, in place; release it with keyspace_release or hand it to keyspace_reply.
 * Valid until the next write of this client. Returns OK; NOT_FOUND; or an error. Counts a hit or a
 * miss. */
bitcask_status keyspace_get(struct client *client, bitcask_slice key, bitcask_view *view);
bitcask_status keyspace_stat(struct client *client, bitcask_slice key, bitcask_meta *meta);
void keyspace_release(bitcask_view *view);

/* The same for the sake of a write: counts nothing. */
bitcask_status keyspace_look(struct client *client, bitcask_slice key, bitcask_meta *meta);

/* Several at once, as of one moment: views[i] is to be released (or replied) where each[i] is OK.
 */
bitcask_status keyspace_get_many(struct client *client, const bitcask_slice *keys, size_t count,
                                 bitcask_view *views, bitcask_status *each);

/* Reply a value, from where it lies if it is big. Takes the view over. */
void keyspace_reply(struct client *client, bitcask_view *view);

/* Reply what went wrong. */
void keyspace_reply_error(struct client *client, bitcask_status status, const bitcask_error *error);

/* ---- Writing ------------------------------------------------------------------------------- */

struct keyspace_write {
    unsigned flags;      /* BITCASK_IF_ABSENT, IF_PRESENT, IF_VERSION, KEEP_TTL */
    uint64_t expires_us; /* 0: never */
    uint64_t if_version;
    const char *event; /* for notifications: "set", "incrby"; static */
    uint64_t *version; /* NULL, or set to what was written; not inside of a batch */
};

/* Return OK; EXISTS, NOT_FOUND or CONFLICT where a condition failed; or an error. */
bitcask_status keyspace_set(struct client *client, bitcask_slice key, bitcask_slice value,
                            const struct keyspace_write *write);
bitcask_status keyspace_delete(struct client *client, bitcask_slice key, const char *event);
/* A new expiry; of `write` flags may have IF_VERSION. */
bitcask_status keyspace_expire(struct client *client, bitcask_slice key,
                               const struct keyspace_write *write);

/* Set `count` keys at once: `words` are key, value, key, value, ... */
bitcask_status keyspace_set_many(struct client *client, const bitcask_slice *words, size_t count);

/* Read, change, write: `change` is called with the value (NULL data: the key is not there) and says
 * what is to be written; again if the key has changed meanwhile. It must not reply before the last
 * call: it returns WRITE to write `*result`, LEAVE to write nothing, DELETE. `write` comes with the
 * key's expiry, which stays unless it is changed. */
enum keyspace_change { KEYSPACE_WRITE, KEYSPACE_LEAVE, KEYSPACE_DELETE };
typedef enum keyspace_change keyspace_change_fn(void *context, const bitcask_view *old,
                                                bitcask_slice *result,
                                                struct keyspace_write *write);
bitcask_status keyspace_update(struct client *client, bitcask_slice key, keyspace_change_fn *change,
                               void *context);

/* Several writes as one batch (RENAME): begin, keyspace_set and keyspace_delete, end. EXEC is the
 * same around whole commands. Whoever begins is alone (gate.h). They nest: the outermost counts.
 *   keyspace_end  returns what the batch's write returned, with nothing replied
 *   abandon       forgets the writes of the outermost */
bitcask_status keyspace_begin(struct client *client);
bitcask_status keyspace_end(struct client *client, bitcask_error *error);
void keyspace_abandon(struct client *client);
bool keyspace_in_batch(const struct client *client);

/* ---- The rest ------------------------------------------------------------------------------ */

/* The number of keys; inside EXEC with what it has added and taken away. */
uint64_t keyspace_count(const struct client *client);

/* Look at all keys, in EXEC those that it sees; stops when `each` returns false. Returns OK or an
 * error. */
typedef bool keyspace_each_fn(void *context, bitcask_slice key, const bitcask_meta *meta);
bitcask_status keyspace_each(struct client *client, keyspace_each_fn *each, void *context);
/* From a place of the walk on (bitcask_iterator_cursor); 0: all. */
bitcask_status keyspace_each_from(struct client *client, uint64_t cursor, keyspace_each_fn *each,
                                  void *context);
/* Can a command that walks the store itself show this key? Not if the batch has deleted it. */
bool keyspace_shows(const struct client *client, bitcask_slice key, const bitcask_meta *meta);

/* Changes that were made: they are counted, and wait for their commit. Commands need this only
 * where they write to the store themselves (FLUSHALL). */
void keyspace_note_changes(struct client *client, uint64_t count);

/* Is every watched key as it was when WATCH saw it? By versions: no write goes unseen. */
bool keyspace_watch_holds(struct client *client);

/* Has the key's time passed, by the client's clock? The store's may be some milliseconds behind. */
bool keyspace_is_gone(const struct client *client, const bitcask_meta *meta);

/* End of a pass: make durable what the clients of this thread have written, if the mode is
 * `always`. Cheap if nothing was written. */
bitcask_status keyspace_commit(struct server *server, unsigned slot, bitcask_error *error);

#endif
