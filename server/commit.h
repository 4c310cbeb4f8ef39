/* SPDX-License-Identifier: MIT
 * commit.h: in `always` mode, one sync for the writes of all loops that wait for one.
 *
 * A sync takes as long for one write as for a thousand, so what counts is how many replies each one
 * lets go. Two things make groups large. A loop that has writes to commit first looks for more
 * requests, for a moment (commit_patience_us), as long as fewer clients have written than the last
 * time. And loops that come to commit together share one sync: the first to come leads, waits a
 * moment for as many as shared the last one, and syncs for all who have come. */
#ifndef SERVER_COMMIT_H
#define SERVER_COMMIT_H

#include <stdint.h>

#include "bitcask.h"

struct commit;
struct server;

struct commit *commit_new(void); /* NULL for want of memory */
void commit_free(struct commit *commit);

/* Make durable what the calling thread has written, not holding its gate's slot. Returns as
 * bitcask_sync_now. */
bitcask_status commit_wait(struct server *server, bitcask_error *error);

/* How long it is worth waiting for one more write: a part of what a sync takes. */
uint64_t commit_patience_us(const struct commit *commit);

#endif
