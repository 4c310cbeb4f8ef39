/* SPDX-License-Identifier: MIT
 * write_alone.h: a put or delete that nobody stands in the way of.
 *
 * Most writes come when no other one is on its way, want no condition judged and no sync waited
 * for, and fit into room that is there already. For them the steps of a group (engine/group.h) come
 * down to: look the key up, encode the record where it goes while its predecessor's bytes are on
 * their way from memory, see whether that is the same key's, show the new one. Nothing can fail
 * between the first byte written and the end. Whatever is not as simple goes by way of a group, as
 * if nothing had been tried.
 *
 * What such a write waits for is its bucket and then the old record. What comes behind these is
 * kept short and without locked instructions, so that the processor begins with the next write
 * meanwhile (engine/write_mutex.h, keydir_has_movers).
 *
 * Invariants as for a group: W1 (the queue is empty, and write_mutex held), W2 (the index has a
 * place before the record is in the log), W5, L1, L6, F1. */
#ifndef ENGINE_WRITE_ALONE_H
#define ENGINE_WRITE_ALONE_H

#include "engine/store.h"

/* Put, without an expiry; `mode` is NONE or INTERVAL. True: it is done, with *version. False:
 * nothing has been done, go by way of a group. */
bool write_alone_put(struct store *store, slice key, slice value, bitcask_sync mode,
                     uint64_t *version);

/* Delete likewise. *version 0: the key is not there. */
bool write_alone_delete(struct store *store, slice key, bitcask_sync mode, uint64_t *version);

#endif
