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
 * Invariants as for a group: W1 (the queue is empty, and write_mutex held), W2 (the index has a
 * place before the record is in the log), W5, L1, L6, F1. */
#ifndef ENGINE_WRITE_ALONE_H
#define ENGINE_WRITE_ALONE_H

#include "engine/group.h"

/* Write `op`, kind, flags, key, value and expiry being set, in a mode that does not wait for a
 * sync. True: it is done, *status OK (op->version is set) or NOT_FOUND. False: nothing has been
 * done, go by way of a group. */
bool write_alone(struct store *store, struct write_op *op, bitcask_status *status);

#endif
