/* SPDX-License-Identifier: MIT
 * cmd_pubsub.c: messages: SUBSCRIBE PUBLISH PUBSUB and their family; MONITOR. */
#include "client.h"
#include "cmd.h"
#include "metrics.h"
#include "pubsub.h"
#include "registry.h"
#include "reply.h"
#include "words.h"

static void subscribe(struct client *client, const struct command_call *call, enum pubsub_kind kind)
{
    for (size_t i = 1; i < call->count; i++)
        pubsub_subscribe(client, kind, call->words[i]);
}

static void unsubscribe(struct client *client, const struct command_call *call,
                        enum pubsub_kind kind)
{
    if (call->count == 1)
        pubsub_unsubscribe_all(client, kind);
    for (size_t i = 1; i < call->count; i++)
        pubsub_unsubscribe(client, kind, call->words[i]);
}

void cmd_subscribe(struct client *client, const struct command_call *call)
{
    subscribe(client, call, PUBSUB_CHANNEL);
}

void cmd_psubscribe(struct client *client, const struct command_call *call)
{
    subscribe(client, call, PUBSUB_PATTERN);
}

void cmd_ssubscribe(struct client *client, const struct command_call *call)
{
    subscribe(client, call, PUBSUB_SHARD);
}

void cmd_unsubscribe(struct client *client, const struct command_call *call)
{
    unsubscribe(client, call, PUBSUB_CHANNEL);
}

void cmd_punsubscribe(struct client *client, const struct command_call *call)
{
    unsubscribe(client, call, PUBSUB_PATTERN);
}

void cmd_sunsubscribe(struct client *client, const struct command_call *call)
{
    unsubscribe(client, call, PUBSUB_SHARD);
}

/* ---- PUBLISH -------------------------------------------------------------------------------- */

static void publish(struct client *client, const struct command_call *call, enum pubsub_kind kind)
{
    metrics_add(client->server->metrics, client->slot, METRIC_PUBLISHED, 1);
    reply_integer(client,
                  (int64_t)pubsub_publish(client->server, kind, call->words[1], call->words[2]));
}

void cmd_publish(struct client *client, const struct command_call *call)
{
    publish(client, call, PUBSUB_CHANNEL);
}

void cmd_spublish(struct client *client, const struct command_call *call)
{
    publish(client, call, PUBSUB_SHARD);
}

/* ---- PUBSUB --------------------------------------------------------------------------------- */

struct channel_list {
    struct client *client;
    const bitcask_slice *pattern; /* NULL: all */
    size_t count;
};

static void reply_channel(void *context, bitcask_slice name)
{
    struct channel_list *list = context;
    if (list->pattern != NULL && !glob_match(*list->pattern, name, false))
        return;
    reply_bulk(list->client, name);
    list->count++;
}

static void list_channels(struct client *client, const struct command_call *call,
                          enum pubsub_kind kind)
{
    if (call->count > 3) {
        reply_subcommand_error(client, call->words);
        return;
    }
    struct channel_list list = {client, call->count == 3 ? &call->words[2] : NULL, 0};
    size_t mark = reply_later(client);
    pubsub_each(client->server->pubsub, kind, reply_channel, &list);
    reply_end(client, mark, REPLY_ARRAY, list.count);
}

static void count_listeners(struct client *client, const struct command_call *call,
                            enum pubsub_kind kind)
{
    reply_array(client, 2 * (call->count - 2));
    for (size_t i = 2; i < call->count; i++) {
        reply_bulk(client, call->words[i]);
        reply_integer(client,
                      (int64_t)pubsub_listeners(client->server->pubsub, kind, call->words[i]));
    }
}

void cmd_pubsub_channels(struct client *client, const struct command_call *call)
{
    list_channels(client, call, PUBSUB_CHANNEL);
}

void cmd_pubsub_shardchannels(struct client *client, const struct command_call *call)
{
    list_channels(client, call, PUBSUB_SHARD);
}

void cmd_pubsub_numsub(struct client *client, const struct command_call *call)
{
    count_listeners(client, call, PUBSUB_CHANNEL);
}

void cmd_pubsub_shardnumsub(struct client *client, const struct command_call *call)
{
    count_listeners(client, call, PUBSUB_SHARD);
}

void cmd_pubsub_numpat(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_integer(client, (int64_t)pubsub_patterns(client->server->pubsub));
}

void cmd_pubsub_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {"CHANNELS [<pattern>]",
                                        "    The channels that have listeners.",
                                        "NUMPAT",
                                        "    How many patterns have listeners.",
                                        "NUMSUB [<channel> ...]",
                                        "    How many listen to each of the channels.",
                                        "SHARDCHANNELS [<pattern>]",
                                        "    The shard channels that have listeners.",
                                        "SHARDNUMSUB [<shardchannel> ...]",
                                        "    How many listen to each of the shard channels.",
                                        NULL};
    reply_help(client, call->words[0], lines);
}

/* ---- MONITOR -------------------------------------------------------------------------------- */

void cmd_monitor(struct client *client, const struct command_call *call)
{
    (void)call;
    client->flags |= CLIENT_MONITOR;
    registry_update(client->server->registry, client);
    reply_ok(client);
}
