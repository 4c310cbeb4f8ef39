/* SPDX-License-Identifier: MIT
 * transaction.h: what MULTI and WATCH keep for a client: queued commands, watched keys, and while a
 * batch is being made its changes. Belongs to the client's thread. */
#ifndef SERVER_TRANSACTION_H
#define SERVER_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "changes.h"
#include "command.h"

struct client;

struct queued_command { /* one piece of memory: this, the words, their bytes */
    struct command_call call;
    bitcask_slice words[];
};

struct watched_key {
    uint64_t version; /* when WATCH saw it; 0: it was not there */
    size_t size;
    char *key;
};

struct transaction {
    struct queued_command **queue;
    size_t count, capacity;
    size_t queued_bytes;
    struct watched_key *watched;
    size_t watched_count, watched_capacity;
    struct changes changes;
    unsigned depth; /* keyspace_begin without its keyspace_end */
    bool executing; /* inside EXEC */
};

/* The client's, made if need be. NULL for want of memory. */
struct transaction *transaction_of(struct client *client);
void transaction_free(struct client *client);

/* Copy a command to the end of the queue. Returns false for want of memory. */
bool transaction_queue(struct client *client, const struct command_call *call);
void transaction_drop_queue(struct client *client); /* leaves MULTI */

/* A key that is watched twice stands there twice: both versions must hold. */
bool transaction_watch(struct client *client, bitcask_slice key, uint64_t version);
void transaction_unwatch(struct client *client);

static inline size_t transaction_queued(const struct transaction *transaction)
{
    return transaction == NULL ? 0 : transaction->count;
}

#endif
