/* SPDX-License-Identifier: MIT
 * network_stubs.c: stand-ins for what the network calls, so that it can be tested by itself. */
#include "network_stubs.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "gate.h"
#include "keyspace.h"
#include "metrics.h"
#include "pubsub.h"
#include "registry.h"
#include "reply.h"
#include "settings.h"

/* Programs that do not have these sources have no use for them either. */
#pragma weak gate_new
#pragma weak gate_free
#pragma weak reply_bulk
#pragma weak reply_integer
#pragma weak reply_error
#pragma weak reply_ok

struct stubs stubs;

struct acl_user {
    int nothing;
};
static struct acl_user somebody;

struct server *stub_server(void)
{
    stubs = (struct stubs){.open = true, .max_bulk = 1 << 20};
    struct server *server = calloc(1, sizeof *server);
    server->gate = gate_new(1);
    server->acl = (struct acl *)&somebody;
    return server;
}

void stub_server_free(struct server *server)
{
    gate_free(server->gate);
    free(server);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static bool is(bitcask_slice word, const char *name)
{
    return word.size == strlen(name) && strncasecmp(word.data, name, word.size) == 0;
}

void dispatch(struct client *client, const bitcask_slice *words, size_t count)
{
    stubs.dispatched++;
    if (client->flags & (CLIENT_CLOSE_AFTER_REPLY | CLIENT_CLOSE_NOW))
        return;
    if (is(words[0], "ECHO") && count == 2) {
        reply_bulk(client, words[1]);
    } else if (is(words[0], "COUNT")) {
        reply_integer(client, (int64_t)count - 1);
    } else if (is(words[0], "PUSH") && count == 2) {
        size_t size = strtoul(words[1].data, NULL, 10);
        char *bytes = malloc(size);
        memset(bytes, 'x', size);
        reply_bulk(client, bitcask_bytes(bytes, size));
        free(bytes);
    } else if (is(words[0], "AUTH")) {
        client->user = &somebody;
        reply_ok(client);
    } else if (is(words[0], "QUIT")) {
        client->flags |= CLIENT_CLOSE_AFTER_REPLY;
        reply_ok(client);
    } else if (is(words[0], "WRITE")) {
        client->flags |= CLIENT_WROTE;
        reply_ok(client);
    } else {
        reply_error(client, "ERR unknown command '%.*s'", (int)words[0].size,
                    (const char *)words[0].data);
    }
}

void dispatch_pipeline(struct client *client, const bitcask_slice *words, const size_t *counts,
                       size_t requests)
{
    stubs.pipelines++;
    for (size_t i = 0; i < requests; words += counts[i++])
        dispatch(client, words, counts[i]);
}

const struct command *command_resolve(const bitcask_slice *words, size_t count)
{
    static const struct command writes = {.name = "write", .flags = COMMAND_WRITE};
    return count > 0 && is(words[0], "WRITE") ? &writes : NULL;
}

/* ---- The rest -------------------------------------------------------------------------------- */

bitcask_status keyspace_commit(struct server *server, unsigned slot, bitcask_error *error)
{
    (void)server;
    (void)slot;
    stubs.commits++;
    if (!stubs.commit_fails)
        return BITCASK_OK;
    strcpy(error->message, "sync: input/output error");
    return BITCASK_UNKNOWN;
}

void keyspace_forget(struct client *client)
{
    client->transaction = NULL;
}

void pubsub_forget(struct client *client)
{
    client->subscriptions = NULL;
}

void metrics_error(struct metrics *metrics, unsigned slot, const char *text)
{
    (void)metrics;
    (void)slot;
    (void)text;
}

void metrics_add(struct metrics *metrics, unsigned slot, enum metric metric, uint64_t count)
{
    (void)metrics;
    (void)slot;
    if (metric == METRIC_PROTOCOL_ERRORS)
        stubs.protocol_errors += count;
}

uint64_t setting_number(const struct settings *settings, enum setting_id id)
{
    (void)settings;
    return id == SETTING_PROTO_MAX_BULK_LEN ? stubs.max_bulk : 0;
}

bool acl_default_is_open(struct acl *acl)
{
    (void)acl;
    return stubs.open;
}

struct acl_user *acl_user_find(struct acl *acl, bitcask_slice name)
{
    (void)acl;
    (void)name;
    return &somebody;
}

void acl_user_release(struct acl_user *user)
{
    (void)user;
}

uint64_t registry_add(struct registry *registry, struct client *client)
{
    (void)registry;
    (void)client;
    return 1;
}

void registry_remove(struct registry *registry, struct client *client)
{
    (void)registry;
    (void)client;
}
