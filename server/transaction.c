/* SPDX-License-Identifier: MIT
 * transaction.c: queued commands and watched keys. */
#include "transaction.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

struct transaction *transaction_of(struct client *client)
{
    if (client->transaction == NULL)
        client->transaction = calloc(1, sizeof *client->transaction);
    return client->transaction;
}

void transaction_free(struct client *client)
{
    struct transaction *transaction = client->transaction;
    if (transaction == NULL)
        return;
    transaction_drop_queue(client);
    transaction_unwatch(client);
    changes_release(&transaction->changes);
    free(transaction->queue);
    free(transaction->watched);
    free(transaction);
    client->transaction = NULL;
}

/* ---- The queue ------------------------------------------------------------------------------ */

static struct queued_command *copy_call(const struct command_call *call, size_t *bytes)
{
    *bytes = sizeof(struct queued_command) + call->count * sizeof(bitcask_slice);
    size_t at = *bytes;
    for (size_t i = 0; i < call->count; i++)
        *bytes += call->words[i].size;
    struct queued_command *copy = malloc(*bytes);
    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < call->count; i++) {
        char *to = (char *)copy + at;
        if (call->words[i].size > 0)
            memcpy(to, call->words[i].data, call->words[i].size);
        copy->words[i] = bitcask_bytes(to, call->words[i].size);
        at += call->words[i].size;
    }
    copy->call = (struct command_call){call->command, copy->words, call->count};
    return copy;
}

bool transaction_queue(struct client *client, const struct command_call *call)
{
    struct transaction *transaction = transaction_of(client);
    if (transaction == NULL)
        return false;
    if (transaction->count == transaction->capacity) {
        size_t capacity = transaction->capacity * 2 + 8;
        struct queued_command **queue =
            realloc(transaction->queue, capacity * sizeof(struct queued_command *));
        if (queue == NULL)
            return false;
        transaction->queue = queue;
        transaction->capacity = capacity;
    }
    size_t bytes;
    struct queued_command *copy = copy_call(call, &bytes);
    if (copy == NULL)
        return false;
    transaction->queue[transaction->count++] = copy;
    transaction->queued_bytes += bytes;
    return true;
}

void transaction_drop_queue(struct client *client)
{
    struct transaction *transaction = client->transaction;
    client->flags &= ~(unsigned)(CLIENT_MULTI | CLIENT_DIRTY_EXEC);
    if (transaction == NULL)
        return;
    for (size_t i = 0; i < transaction->count; i++)
        free(transaction->queue[i]);
    transaction->count = 0;
    transaction->queued_bytes = 0;
}

/* ---- Watched keys --------------------------------------------------------------------------- */

bool transaction_watch(struct client *client, bitcask_slice key, uint64_t version)
{
    struct transaction *transaction = transaction_of(client);
    if (transaction == NULL)
        return false;
    if (transaction->watched_count == transaction->watched_capacity) {
        size_t capacity = transaction->watched_capacity * 2 + 8;
        struct watched_key *watched = realloc(transaction->watched, capacity * sizeof *watched);
        if (watched == NULL)
            return false;
        transaction->watched = watched;
        transaction->watched_capacity = capacity;
    }
    char *copy = malloc(key.size + 1);
    if (copy == NULL)
        return false;
    if (key.size > 0)
        memcpy(copy, key.data, key.size);
    transaction->watched[transaction->watched_count++] =
        (struct watched_key){version, key.size, copy};
    return true;
}

void transaction_unwatch(struct client *client)
{
    struct transaction *transaction = client->transaction;
    if (transaction == NULL)
        return;
    for (size_t i = 0; i < transaction->watched_count; i++)
        free(transaction->watched[i].key);
    transaction->watched_count = 0;
}
