/* SPDX-License-Identifier: MIT
 * pubsub.c: channels and patterns.
 *
 * One mutex guards the tables and every client's list. Lock order: pubsub's, then the registry's
 * and a loop's mailbox. A channel is there as long as somebody listens to it. */
#include "pubsub.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "metrics.h"
#include "registry.h"
#include "reply.h"
#include "settings.h"

enum { KINDS = 3, FIRST_BUCKETS = 64 };

struct channel {
    struct channel *next; /* of its bucket */
    uint64_t *ids;        /* of the clients that listen */
    size_t count, capacity;
    uint64_t hash;
    size_t size;
    char name[];
};

struct table {
    struct channel **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
};

struct pubsub {
    pthread_mutex_t mutex;
    struct table tables[KINDS];
    _Atomic size_t listening; /* subscriptions, all together */
};

struct subscriptions { /* of a client */
    struct channel **lists[KINDS];
    size_t counts[KINDS], capacities[KINDS];
};

struct pubsub *pubsub_new(void)
{
    struct pubsub *pubsub = calloc(1, sizeof *pubsub);
    if (pubsub != NULL)
        pthread_mutex_init(&pubsub->mutex, NULL);
    return pubsub;
}

void pubsub_free(struct pubsub *pubsub)
{
    if (pubsub == NULL)
        return;
    for (int i = 0; i < KINDS; i++) {
        struct table *table = &pubsub->tables[i];
        for (size_t j = 0; j < table->bucket_count; j++)
            for (struct channel *channel = table->buckets[j], *next; channel; channel = next) {
                next = channel->next;
                free(channel->ids);
                free(channel);
            }
        free(table->buckets);
    }
    pthread_mutex_destroy(&pubsub->mutex);
    free(pubsub);
}

/* ---- The tables ----------------------------------------------------------------------------- */

static uint64_t hash_of(bitcask_slice name)
{
    const uint8_t *bytes = name.data;
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    return hash ^ hash >> 32;
}

static struct channel *find(const struct table *table, bitcask_slice name)
{
    if (table->bucket_count == 0)
        return NULL;
    uint64_t hash = hash_of(name);
    struct channel *channel = table->buckets[hash & (table->bucket_count - 1)];
    while (channel != NULL && !(channel->hash == hash && channel->size == name.size &&
                                memcmp(channel->name, name.data, name.size) == 0))
        channel = channel->next;
    return channel;
}

static bool grow(struct table *table)
{
    size_t count = table->bucket_count == 0 ? FIRST_BUCKETS : table->bucket_count * 2;
    struct channel **buckets = calloc(count, sizeof(struct channel *));
    if (buckets == NULL)
        return table->bucket_count > 0;
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct channel *channel = table->buckets[i], *next; channel; channel = next) {
            next = channel->next;
            channel->next = buckets[channel->hash & (count - 1)];
            buckets[channel->hash & (count - 1)] = channel;
        }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
    return true;
}

static struct channel *find_or_make(struct table *table, bitcask_slice name)
{
    struct channel *channel = find(table, name);
    if (channel != NULL || (table->count >= table->bucket_count && !grow(table)))
        return channel;
    channel = calloc(1, sizeof *channel + name.size);
    if (channel == NULL)
        return NULL;
    channel->hash = hash_of(name);
    channel->size = name.size;
    if (name.size > 0)
        memcpy(channel->name, name.data, name.size);
    struct channel **bucket = &table->buckets[channel->hash & (table->bucket_count - 1)];
    channel->next = *bucket;
    *bucket = channel;
    table->count++;
    return channel;
}

static void drop_if_empty(struct table *table, struct channel *channel)
{
    if (channel->count > 0)
        return;
    struct channel **link = &table->buckets[channel->hash & (table->bucket_count - 1)];
    while (*link != channel)
        link = &(*link)->next;
    *link = channel->next;
    table->count--;
    free(channel->ids);
    free(channel);
}

/* ---- Who listens to what -------------------------------------------------------------------- */

static size_t place_of(const struct subscriptions *own, enum pubsub_kind kind,
                       const struct channel *channel)
{
    size_t i = 0;
    while (i < own->counts[kind] && own->lists[kind][i] != channel)
        i++;
    return i;
}

static bool room_for_one(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    void *grown = realloc(*items, (*capacity * 2 + 4) * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = *capacity * 2 + 4;
    return true;
}

static bool listens(const struct client *client, const struct channel *channel)
{
    for (size_t i = 0; i < channel->count; i++)
        if (channel->ids[i] == client->id)
            return true;
    return false;
}

/* Returns false for want of memory. */
static bool add(struct client *client, enum pubsub_kind kind, bitcask_slice name)
{
    struct pubsub *pubsub = client->server->pubsub;
    struct table *table = &pubsub->tables[kind];
    struct subscriptions *own = client->subscriptions;
    if (own == NULL)
        own = client->subscriptions = calloc(1, sizeof *own);
    struct channel *channel = own == NULL ? NULL : find_or_make(table, name);
    if (channel == NULL)
        return false;
    if (listens(client, channel))
        return true;
    if (!room_for_one((void **)&own->lists[kind], own->counts[kind], &own->capacities[kind],
                      sizeof(struct channel *)) ||
        !room_for_one((void **)&channel->ids, channel->count, &channel->capacity,
                      sizeof *channel->ids)) {
        drop_if_empty(table, channel);
        return false;
    }
    own->lists[kind][own->counts[kind]++] = channel;
    channel->ids[channel->count++] = client->id;
    atomic_fetch_add(&pubsub->listening, 1);
    return true;
}

static void remove_at(struct client *client, enum pubsub_kind kind, size_t place)
{
    struct pubsub *pubsub = client->server->pubsub;
    struct subscriptions *own = client->subscriptions;
    struct channel *channel = own->lists[kind][place];
    own->lists[kind][place] = own->lists[kind][--own->counts[kind]];
    for (size_t i = 0; i < channel->count; i++)
        if (channel->ids[i] == client->id)
            channel->ids[i] = channel->ids[--channel->count];
    drop_if_empty(&pubsub->tables[kind], channel);
    atomic_fetch_sub(&pubsub->listening, 1);
}

/* One that listens to nothing any more is no subscriber. */
static void drop_if_idle(struct client *client)
{
    struct subscriptions *own = client->subscriptions;
    if (own == NULL || own->counts[0] + own->counts[1] + own->counts[2] > 0)
        return;
    for (int i = 0; i < KINDS; i++)
        free(own->lists[i]);
    free(own);
    client->subscriptions = NULL;
}

void pubsub_forget(struct client *client)
{
    struct pubsub *pubsub = client->server->pubsub;
    if (client->subscriptions == NULL)
        return;
    pthread_mutex_lock(&pubsub->mutex);
    for (int kind = 0; kind < KINDS; kind++)
        while (client->subscriptions->counts[kind] > 0)
            remove_at(client, (enum pubsub_kind)kind, client->subscriptions->counts[kind] - 1);
    drop_if_idle(client);
    pthread_mutex_unlock(&pubsub->mutex);
}

size_t pubsub_count_of(const struct client *client, enum pubsub_kind kind)
{
    const struct subscriptions *own = client->subscriptions;
    return own == NULL ? 0 : own->counts[kind];
}

/* ---- Subscribing ---------------------------------------------------------------------------- */

/* "subscribe", the name or null, and how many there are now. */
static void reply_about(struct client *client, const char *what, enum pubsub_kind kind,
                        const bitcask_slice *name)
{
    reply_push(client, 3);
    reply_bulk_text(client, what);
    if (name != NULL)
        reply_bulk(client, *name);
    else
        reply_null(client);
    size_t count = pubsub_count_of(client, kind);
    if (kind != PUBSUB_SHARD) /* channels and patterns are counted together */
        count = pubsub_count_of(client, PUBSUB_CHANNEL) + pubsub_count_of(client, PUBSUB_PATTERN);
    reply_integer(client, (int64_t)count);
}

void pubsub_subscribe(struct client *client, enum pubsub_kind kind, bitcask_slice name)
{
    static const char *const words[] = {"subscribe", "psubscribe", "ssubscribe"};
    struct pubsub *pubsub = client->server->pubsub;
    pthread_mutex_lock(&pubsub->mutex);
    bool added = add(client, kind, name);
    drop_if_idle(client);
    pthread_mutex_unlock(&pubsub->mutex);
    if (added)
        reply_about(client, words[kind], kind, &name);
    else
        reply_error(client, "OOM out of memory");
}

static const char *const leaving[] = {"unsubscribe", "punsubscribe", "sunsubscribe"};

void pubsub_unsubscribe(struct client *client, enum pubsub_kind kind, bitcask_slice name)
{
    struct pubsub *pubsub = client->server->pubsub;
    struct subscriptions *own = client->subscriptions;
    pthread_mutex_lock(&pubsub->mutex);
    const struct channel *channel = own == NULL ? NULL : find(&pubsub->tables[kind], name);
    size_t place = channel == NULL ? 0 : place_of(own, kind, channel);
    if (channel != NULL && place < own->counts[kind])
        remove_at(client, kind, place);
    drop_if_idle(client);
    pthread_mutex_unlock(&pubsub->mutex);
    reply_about(client, leaving[kind], kind, &name);
}

void pubsub_unsubscribe_all(struct client *client, enum pubsub_kind kind)
{
    struct pubsub *pubsub = client->server->pubsub;
    struct subscriptions *own = client->subscriptions;
    if (own == NULL || own->counts[kind] == 0) {
        reply_about(client, leaving[kind], kind, NULL);
        return;
    }
    size_t left = own->counts[kind];
    while (left-- > 0) {
        /* The name goes with its last listener: a copy is told. */
        pthread_mutex_lock(&pubsub->mutex);
        const struct channel *channel = own->lists[kind][left];
        bitcask_slice name = bitcask_bytes(NULL, channel->size);
        char *copy = malloc(channel->size + 1);
        if (copy != NULL)
            name.data = memcpy(copy, channel->name, channel->size);
        remove_at(client, kind, left);
        drop_if_idle(client);
        pthread_mutex_unlock(&pubsub->mutex);
        reply_about(client, leaving[kind], kind, copy != NULL ? &name : NULL);
        free(copy);
    }
}

/* ---- Publishing ----------------------------------------------------------------------------- */

/* A message as it is sent: an array, or in RESP3 a push, of bulk strings. */
struct encoded {
    char *bytes;
    size_t size;
};

static size_t print_bulk(char *to, bitcask_slice word)
{
    size_t size = (size_t)sprintf(to, "$%zu\r\n", word.size);
    if (word.size > 0)
        memcpy(to + size, word.data, word.size);
    memcpy(to + size + word.size, "\r\n", 2);
    return size + word.size + 2;
}

static bool encode(struct encoded *message, const bitcask_slice *words, size_t count)
{
    size_t size = 32;
    for (size_t i = 0; i < count; i++)
        size += words[i].size + 32;
    message->bytes = malloc(size);
    if (message->bytes == NULL)
        return false;
    message->size = (size_t)sprintf(message->bytes, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        message->size += print_bulk(message->bytes + message->size, words[i]);
    return true;
}

/* To all who listen there. The protocols differ in the first byte only. */
static size_t send_words(struct server *server, const struct channel *channel,
                         const bitcask_slice *words, size_t count)
{
    struct encoded resp2, resp3;
    if (!encode(&resp2, words, count))
        return 0;
    size_t sent = 0;
    if (encode(&resp3, words, count)) {
        resp3.bytes[0] = '>';
        sent = registry_post_many(server, channel->ids, channel->count,
                                  bitcask_bytes(resp2.bytes, resp2.size),
                                  bitcask_bytes(resp3.bytes, resp3.size));
        free(resp3.bytes);
    }
    free(resp2.bytes);
    return sent;
}

static size_t send_to_patterns(struct server *server, bitcask_slice name, bitcask_slice message)
{
    const struct table *table = &server->pubsub->tables[PUBSUB_PATTERN];
    size_t sent = 0;
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (const struct channel *channel = table->buckets[i]; channel; channel = channel->next) {
            bitcask_slice pattern = bitcask_bytes(channel->name, channel->size);
            bitcask_slice words[] = {bitcask_str("pmessage"), pattern, name, message};
            if (glob_match(pattern, name, false))
                sent += send_words(server, channel, words, 4);
        }
    }
    return sent;
}

size_t pubsub_publish(struct server *server, enum pubsub_kind kind, bitcask_slice name,
                      bitcask_slice message)
{
    struct pubsub *pubsub = server->pubsub;
    if (atomic_load_explicit(&pubsub->listening, memory_order_acquire) == 0)
        return 0;
    size_t sent = 0;
    bool is_shard = kind == PUBSUB_SHARD;
    pthread_mutex_lock(&pubsub->mutex);
    const struct channel *channel = find(&pubsub->tables[kind], name);
    bitcask_slice words[] = {bitcask_str(is_shard ? "smessage" : "message"), name, message};
    if (channel != NULL)
        sent += send_words(server, channel, words, 3);
    if (!is_shard)
        sent += send_to_patterns(server, name, message);
    pthread_mutex_unlock(&pubsub->mutex);
    return sent;
}

/* ---- Keyspace notifications ----------------------------------------------------------------- */

static bool has_letter(uint64_t kinds, char letter)
{
    static const char letters[] = SETTINGS_NOTIFY_LETTERS;
    const char *at = strchr(letters, letter);
    return at != NULL && (kinds >> (at - letters) & 1) != 0;
}

static void notify(struct server *server, const char *prefix, bitcask_slice name,
                   bitcask_slice message)
{
    size_t prefix_size = strlen(prefix);
    char *channel = malloc(prefix_size + name.size);
    if (channel == NULL)
        return;
    memcpy(channel, prefix, prefix_size);
    memcpy(channel + prefix_size, name.data, name.size);
    pubsub_publish(server, PUBSUB_CHANNEL, bitcask_bytes(channel, prefix_size + name.size),
                   message);
    free(channel);
}

void pubsub_notify(struct server *server, char kind, const char *event, bitcask_slice key)
{
    uint64_t kinds = setting_number(server->settings, SETTING_NOTIFY_KEYSPACE_EVENTS);
    if (!has_letter(kinds, kind) || atomic_load(&server->pubsub->listening) == 0)
        return;
    if (has_letter(kinds, 'K'))
        notify(server, "__keyspace@0__:", key, bitcask_str(event));
    if (has_letter(kinds, 'E'))
        notify(server, "__keyevent@0__:", bitcask_str(event), key);
}

/* ---- Looking -------------------------------------------------------------------------------- */

size_t pubsub_listeners(struct pubsub *pubsub, enum pubsub_kind kind, bitcask_slice name)
{
    pthread_mutex_lock(&pubsub->mutex);
    const struct channel *channel = find(&pubsub->tables[kind], name);
    size_t count = channel == NULL ? 0 : channel->count;
    pthread_mutex_unlock(&pubsub->mutex);
    return count;
}

static size_t count_names(struct pubsub *pubsub, enum pubsub_kind kind)
{
    pthread_mutex_lock(&pubsub->mutex);
    size_t count = pubsub->tables[kind].count;
    pthread_mutex_unlock(&pubsub->mutex);
    return count;
}

size_t pubsub_patterns(struct pubsub *pubsub)
{
    return count_names(pubsub, PUBSUB_PATTERN);
}

size_t pubsub_channels(struct pubsub *pubsub)
{
    return count_names(pubsub, PUBSUB_CHANNEL);
}

void pubsub_each(struct pubsub *pubsub, enum pubsub_kind kind,
                 void (*each)(void *context, bitcask_slice name), void *context)
{
    pthread_mutex_lock(&pubsub->mutex);
    const struct table *table = &pubsub->tables[kind];
    for (size_t i = 0; i < table->bucket_count; i++)
        for (const struct channel *channel = table->buckets[i]; channel; channel = channel->next)
            each(context, bitcask_bytes(channel->name, channel->size));
    pthread_mutex_unlock(&pubsub->mutex);
}
