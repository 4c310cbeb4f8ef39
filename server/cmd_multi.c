/* SPDX-License-Identifier: MIT
 * cmd_multi.c: transactions: MULTI EXEC DISCARD WATCH UNWATCH.
 *
 * EXEC runs alone (gate.h), and what its commands write becomes one batch of the store. So nobody
 * sees a part of it, and no crash leaves one. A command that fails leaves the others as they are,
 * as in redis-server; only if the batch itself cannot be written is there one error for all of it.
 */
#include "client.h"
#include "cmd.h"
#include "dispatch.h"
#include "keyspace.h"
#include "output.h"
#include "reply.h"
#include "transaction.h"

enum { WATCHED_MAX = 1000000 };

void cmd_multi(struct client *client, const struct command_call *call)
{
    (void)call;
    if (client->flags & CLIENT_MULTI) {
        reply_error(client, "ERR MULTI calls can not be nested");
    } else if (transaction_of(client) == NULL) {
        reply_error(client, "OOM out of memory");
    } else {
        client->flags |= CLIENT_MULTI;
        reply_ok(client);
    }
}

/* The end of a transaction, whatever became of it. */
static void leave(struct client *client)
{
    transaction_drop_queue(client);
    transaction_unwatch(client);
}

void cmd_discard(struct client *client, const struct command_call *call)
{
    (void)call;
    if ((client->flags & CLIENT_MULTI) == 0) {
        reply_error(client, "ERR DISCARD without MULTI");
        return;
    }
    leave(client);
    reply_ok(client);
}

/* Run what is queued. A user's rights may have changed since it was queued. */
static void run_queue(struct client *client, const struct transaction *transaction)
{
    reply_array(client, transaction->count);
    for (size_t i = 0; i < transaction->count; i++) {
        const struct command_call *call = &transaction->queue[i]->call;
        if (dispatch_is_allowed(client, call))
            dispatch_run(client, call);
    }
}

static void execute(struct client *client)
{
    struct transaction *transaction = client->transaction;
    bitcask_error error = {0};
    size_t mark = reply_later(client);
    if (keyspace_begin(client) != BITCASK_OK)
        return;
    client->flags &= ~(unsigned)CLIENT_MULTI;
    transaction->executing = true;
    run_queue(client, transaction);
    transaction->executing = false;
    bitcask_status status = keyspace_end(client, &error);
    if (status >= 0)
        return;
    output_cut(client->out, mark);
    keyspace_reply_error(client, status, &error);
}

void cmd_exec(struct client *client, const struct command_call *call)
{
    (void)call;
    if ((client->flags & CLIENT_MULTI) == 0) {
        reply_error(client, "ERR EXEC without MULTI");
        return;
    }
    if (client->flags & CLIENT_DIRTY_EXEC)
        reply_error(client, "EXECABORT Transaction discarded because of previous errors.");
    else if (!keyspace_watch_holds(client))
        reply_null_array(client);
    else
        execute(client);
    leave(client);
}

void cmd_watch(struct client *client, const struct command_call *call)
{
    if (client->flags & CLIENT_MULTI) {
        reply_error(client, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    const struct transaction *transaction = client->transaction;
    if (transaction != NULL && transaction->watched_count + call->count > WATCHED_MAX) {
        reply_error(client, "ERR too many watched keys: at most %d", WATCHED_MAX);
        return;
    }
    for (size_t i = 1; i < call->count; i++) {
        bitcask_meta meta;
        bitcask_status status = keyspace_look(client, call->words[i], &meta);
        if (status < 0)
            return;
        if (!transaction_watch(client, call->words[i], status == BITCASK_OK ? meta.version : 0)) {
            reply_error(client, "OOM out of memory");
            return;
        }
    }
    reply_ok(client);
}

void cmd_unwatch(struct client *client, const struct command_call *call)
{
    (void)call;
    /* Inside EXEC the watched keys have done their part. */
    transaction_unwatch(client);
    reply_ok(client);
}
