/* SPDX-License-Identifier: MIT
 * registry.c: all clients, and mail between loops.
 *
 * One mutex guards the table and what is copied of the clients. It is taken when clients come, go
 * and change their names, and for mail; never for a command. Lock order: the registry's, then a
 * loop's mailbox. */
#include "registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "loop.h"
#include "output.h"
#include "pubsub.h"
#include "transaction.h"
#include "transport.h"

struct registry_entry {
    struct registry_entry *next; /* of its bucket */
    uint64_t id;
    struct client *client;
    struct loop *loop;
    struct client_info shown; /* what changes rarely; under the mutex */
    uint64_t created_us;
    _Atomic unsigned flags;
    _Atomic int protocol;
    _Atomic uint64_t last_us, in_bytes, in_free, out_bytes, out_blocks;
    _Atomic uint64_t subscriptions, patterns, queued;
    _Atomic(const struct command *) last_command;
};

struct registry {
    pthread_mutex_t mutex;
    struct registry_entry **buckets; /* by id */
    size_t bucket_count;             /* a power of two */
    _Atomic size_t count;
    _Atomic size_t monitors;
    uint64_t next_id;
};

enum { FIRST_BUCKETS = 64 };

struct registry *registry_new(void)
{
    struct registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL)
        return NULL;
    registry->buckets = calloc(FIRST_BUCKETS, sizeof *registry->buckets);
    if (registry->buckets == NULL) {
        free(registry);
        return NULL;
    }
    registry->bucket_count = FIRST_BUCKETS;
    registry->next_id = 1;
    pthread_mutex_init(&registry->mutex, NULL);
    return registry;
}

void registry_free(struct registry *registry)
{
    if (registry == NULL)
        return;
    for (size_t i = 0; i < registry->bucket_count; i++)
        for (struct registry_entry *entry = registry->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            free(entry);
        }
    pthread_mutex_destroy(&registry->mutex);
    free(registry->buckets);
    free(registry);
}

static struct registry_entry **bucket_of(struct registry *registry, uint64_t id)
{
    return &registry->buckets[id & (registry->bucket_count - 1)];
}

static struct registry_entry *find(struct registry *registry, uint64_t id)
{
    struct registry_entry *entry = *bucket_of(registry, id);
    while (entry != NULL && entry->id != id)
        entry = entry->next;
    return entry;
}

/* As many buckets as clients, more or less. Without memory for them it only gets slower. */
static void grow(struct registry *registry)
{
    size_t count = registry->bucket_count * 2;
    struct registry_entry **buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL)
        return;
    for (size_t i = 0; i < registry->bucket_count; i++)
        for (struct registry_entry *entry = registry->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->id & (count - 1)];
            buckets[entry->id & (count - 1)] = entry;
        }
    free(registry->buckets);
    registry->buckets = buckets;
    registry->bucket_count = count;
}

/* ---- What is shown --------------------------------------------------------------------------- */

void registry_note(const struct client *client)
{
    struct registry_entry *entry = client->entry;
    if (entry == NULL)
        return;
#define STORE(field, value) atomic_store_explicit(&entry->field, value, memory_order_relaxed)
    STORE(flags, client->flags);
    STORE(protocol, client->protocol);
    STORE(last_us, client->last_us);
    STORE(last_command, client->last_command);
    STORE(in_bytes, client->in_size);
    STORE(in_free, client->in_capacity - client->in_size);
    STORE(out_bytes, output_pending(client->out));
    STORE(out_blocks, client->out->view_count - client->out->view_first);
    STORE(subscriptions, pubsub_count_of(client, PUBSUB_CHANNEL));
    STORE(patterns, pubsub_count_of(client, PUBSUB_PATTERN));
    STORE(queued, transaction_queued(client->transaction));
#undef STORE
}

static void copy_texts(struct registry_entry *entry, const struct client *client)
{
    struct client_info *shown = &entry->shown;
    memcpy(shown->name, client->name, sizeof shown->name);
    memcpy(shown->address, client->address, sizeof shown->address);
    memcpy(shown->own_address, client->own_address, sizeof shown->own_address);
    memcpy(shown->library, client->library, sizeof shown->library);
    memcpy(shown->library_version, client->library_version, sizeof shown->library_version);
    snprintf(shown->user, sizeof shown->user, "%s",
             client->user == NULL ? "" : acl_user_name(client->user));
    shown->fd = client->transport == NULL ? -1 : client->transport->fd;
    shown->slot = client->slot;
    entry->loop = client->loop;
    entry->created_us = client->created_us;
}

static void update_monitors(struct registry *registry, unsigned before, unsigned after)
{
    if (!(before & CLIENT_MONITOR) && after & CLIENT_MONITOR)
        atomic_fetch_add(&registry->monitors, 1);
    else if (before & CLIENT_MONITOR && !(after & CLIENT_MONITOR))
        atomic_fetch_sub(&registry->monitors, 1);
}

void registry_update(struct registry *registry, const struct client *client)
{
    struct registry_entry *entry = client->entry;
    if (entry == NULL)
        return;
    pthread_mutex_lock(&registry->mutex);
    update_monitors(registry, entry->shown.flags, client->flags);
    entry->shown.flags = client->flags;
    copy_texts(entry, client);
    pthread_mutex_unlock(&registry->mutex);
    registry_note(client);
}

uint64_t registry_add(struct registry *registry, struct client *client)
{
    struct registry_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return 0;
    entry->client = client;
    pthread_mutex_lock(&registry->mutex);
    if (atomic_load(&registry->count) >= registry->bucket_count)
        grow(registry);
    entry->id = registry->next_id++;
    struct registry_entry **bucket = bucket_of(registry, entry->id);
    entry->next = *bucket;
    *bucket = entry;
    atomic_fetch_add(&registry->count, 1);
    client->entry = entry;
    client->id = entry->id;
    copy_texts(entry, client);
    pthread_mutex_unlock(&registry->mutex);
    registry_note(client);
    return entry->id;
}

void registry_remove(struct registry *registry, struct client *client)
{
    struct registry_entry *entry = client->entry;
    if (entry == NULL)
        return;
    pthread_mutex_lock(&registry->mutex);
    struct registry_entry **link = bucket_of(registry, entry->id);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    update_monitors(registry, entry->shown.flags, 0);
    atomic_fetch_sub(&registry->count, 1);
    pthread_mutex_unlock(&registry->mutex);
    client->entry = NULL;
    free(entry);
}

size_t registry_count(const struct registry *registry)
{
    return atomic_load_explicit(&registry->count, memory_order_relaxed);
}

struct client *registry_find(struct registry *registry, uint64_t id)
{
    pthread_mutex_lock(&registry->mutex);
    struct registry_entry *entry = find(registry, id);
    struct client *client = entry == NULL ? NULL : entry->client;
    pthread_mutex_unlock(&registry->mutex);
    return client;
}

static struct client_info info_of(struct registry_entry *entry, uint64_t now_us)
{
#define LOAD(field) atomic_load_explicit(&entry->field, memory_order_relaxed)
    struct client_info info = entry->shown;
    const struct command *last = LOAD(last_command);
    uint64_t last_us = LOAD(last_us);
    info.id = entry->id;
    snprintf(info.last_command, sizeof info.last_command, "%s", last == NULL ? "NULL" : last->name);
    info.flags = LOAD(flags);
    info.protocol = LOAD(protocol);
    info.age_s = (now_us - entry->created_us) / 1000000;
    info.idle_s = now_us > last_us ? (now_us - last_us) / 1000000 : 0;
    info.in_bytes = LOAD(in_bytes);
    info.in_free = LOAD(in_free);
    info.out_bytes = LOAD(out_bytes);
    info.out_blocks = LOAD(out_blocks);
    info.subscriptions = LOAD(subscriptions);
    info.patterns = LOAD(patterns);
    info.queued = LOAD(queued);
    return info;
#undef LOAD
}

static int compare_ids(const void *a, const void *b)
{
    const struct registry_entry *const *left = a, *const *right = b;
    return (*left)->id < (*right)->id ? -1 : (*left)->id > (*right)->id;
}

void registry_each(struct registry *registry,
                   void (*each)(void *context, const struct client_info *info), void *context)
{
    uint64_t now_us = server_monotonic_us();
    pthread_mutex_lock(&registry->mutex);
    size_t count = 0;
    struct registry_entry **all = malloc((registry_count(registry) + 1) * sizeof(void *));
    for (size_t i = 0; all != NULL && i < registry->bucket_count; i++)
        for (struct registry_entry *entry = registry->buckets[i]; entry; entry = entry->next)
            all[count++] = entry;
    if (count > 1)
        qsort(all, count, sizeof(void *), compare_ids);
    for (size_t i = 0; i < count; i++) {
        struct client_info info = info_of(all[i], now_us);
        each(context, &info);
    }
    pthread_mutex_unlock(&registry->mutex);
    free(all);
}

/* ---- Mail ------------------------------------------------------------------------------------ */

static struct mail_body *body_new(bitcask_slice resp2, bitcask_slice resp3)
{
    struct mail_body *body = malloc(sizeof *body + resp2.size + resp3.size);
    if (body == NULL)
        return NULL;
    char *bytes = (char *)(body + 1);
    atomic_init(&body->references, 1);
    if (resp2.size > 0)
        memcpy(bytes, resp2.data, resp2.size);
    if (resp3.size > 0)
        memcpy(bytes + resp2.size, resp3.data, resp3.size);
    body->resp2 = bitcask_bytes(bytes, resp2.size);
    body->resp3 = bitcask_bytes(bytes + resp2.size, resp3.size);
    return body;
}

static void body_release(struct mail_body *body)
{
    if (body != NULL && atomic_fetch_sub(&body->references, 1) == 1)
        free(body);
}

void mail_free(struct mail *mail)
{
    body_release(mail->body);
    free(mail);
}

void mail_deliver(const struct mail *mail, struct client *client)
{
    if (mail->kind == MAIL_KILL)
        client->flags |= CLIENT_CLOSE_NOW;
    if (mail->kind != MAIL_BYTES)
        return;
    bitcask_slice bytes = client->protocol == 2 ? mail->body->resp2 : mail->body->resp3;
    output_append(client->out, bytes.data, bytes.size);
}

/* Under the registry's mutex. */
static bool post_to(struct registry_entry *entry, enum mail_kind kind, struct mail_body *body)
{
    struct mail now = {.kind = kind, .client_id = entry->id, .body = body};
    if (entry->loop == NULL) {
        mail_deliver(&now, entry->client);
        return true;
    }
    struct mail *mail = malloc(sizeof *mail);
    if (mail == NULL)
        return false;
    *mail = now;
    if (body != NULL)
        atomic_fetch_add(&body->references, 1);
    loop_post(entry->loop, mail);
    return true;
}

bool registry_post(struct server *server, uint64_t client_id, enum mail_kind kind,
                   bitcask_slice resp2, bitcask_slice resp3)
{
    struct registry *registry = server->registry;
    struct mail_body *body = kind == MAIL_BYTES ? body_new(resp2, resp3) : NULL;
    if (kind == MAIL_BYTES && body == NULL)
        return false;
    pthread_mutex_lock(&registry->mutex);
    struct registry_entry *entry = find(registry, client_id);
    bool posted = entry != NULL && post_to(entry, kind, body);
    pthread_mutex_unlock(&registry->mutex);
    body_release(body);
    return posted;
}

size_t registry_post_many(struct server *server, const uint64_t *client_ids, size_t count,
                          bitcask_slice resp2, bitcask_slice resp3)
{
    struct registry *registry = server->registry;
    struct mail_body *body = body_new(resp2, resp3);
    size_t posted = 0;
    if (body == NULL)
        return 0;
    pthread_mutex_lock(&registry->mutex);
    for (size_t i = 0; i < count; i++) {
        struct registry_entry *entry = find(registry, client_ids[i]);
        posted += entry != NULL && post_to(entry, MAIL_BYTES, body);
    }
    pthread_mutex_unlock(&registry->mutex);
    body_release(body);
    return posted;
}

bool registry_has_monitors(const struct registry *registry)
{
    return atomic_load_explicit(&registry->monitors, memory_order_relaxed) != 0;
}

void registry_post_monitors(struct server *server, bitcask_slice line)
{
    struct registry *registry = server->registry;
    if (!registry_has_monitors(registry))
        return;
    struct mail_body *body = body_new(line, line);
    if (body == NULL)
        return;
    pthread_mutex_lock(&registry->mutex);
    for (size_t i = 0; i < registry->bucket_count; i++)
        for (struct registry_entry *entry = registry->buckets[i]; entry; entry = entry->next)
            if (entry->shown.flags & CLIENT_MONITOR)
                post_to(entry, MAIL_BYTES, body);
    pthread_mutex_unlock(&registry->mutex);
    body_release(body);
}
