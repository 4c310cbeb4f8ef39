/* SPDX-License-Identifier: MIT
 * keyspace.c: what commands see of the store: batches, notifications, commits. Reading is in
 * keyspace_read.c, writing in keyspace_write.c. */
#include "keyspace.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commit.h"
#include "keyspace_internal.h"
#include "metrics.h"
#include "pubsub.h"
#include "reply.h"
#include "settings.h"
#include "slowlog.h"
#include "snapshots.h"
#include "transaction.h"

struct keyspace {
    unsigned count;
    struct keyspace_slot *slots;
    struct snapshots *snapshots;
};

struct keyspace *keyspace_new(unsigned slots)
{
    struct keyspace *keyspace = calloc(1, sizeof *keyspace);
    if (keyspace == NULL)
        return NULL;
    keyspace->slots = aligned_alloc(64, slots * sizeof *keyspace->slots);
    keyspace->snapshots = snapshots_new();
    if (keyspace->slots == NULL || keyspace->snapshots == NULL) {
        keyspace_free(keyspace);
        return NULL;
    }
    memset(keyspace->slots, 0, slots * sizeof *keyspace->slots);
    keyspace->count = slots;
    return keyspace;
}

struct snapshots *keyspace_snapshots(struct keyspace *keyspace)
{
    return keyspace->snapshots;
}

void keyspace_free(struct keyspace *keyspace)
{
    if (keyspace == NULL)
        return;
    for (unsigned i = 0; i < keyspace->count; i++)
        bitcask_batch_free(keyspace->slots[i].batch);
    snapshots_free(keyspace->snapshots);
    free(keyspace->slots);
    free(keyspace);
}

uint64_t keyspace_changes(const struct keyspace *keyspace)
{
    uint64_t changes = 0;
    for (unsigned i = 0; i < keyspace->count; i++)
        changes += atomic_load_explicit(&keyspace->slots[i].changes, memory_order_relaxed);
    return changes;
}

void keyspace_forget(struct client *client)
{
    transaction_free(client);
}

struct keyspace_slot *keyspace_slot_of(const struct client *client)
{
    return &client->server->keyspace->slots[client->slot];
}

/* ---- Small things --------------------------------------------------------------------------- */

bool keyspace_is_gone(const struct client *client, const bitcask_meta *meta)
{
    return meta->expires_us != 0 && meta->expires_us <= client->now_us;
}

bool keyspace_can_be_a_key(bitcask_slice key)
{
    return key.size >= 1 && key.size <= BITCASK_MAX_KEY_SIZE;
}

void keyspace_reply_error(struct client *client, bitcask_status status, const bitcask_error *error)
{
    const char *code = "ERR";
    if (status == BITCASK_LIMIT || status == BITCASK_NO_MEMORY)
        code = "OOM";
    else if (status == BITCASK_NO_SPACE || status == BITCASK_READ_ONLY)
        code = "MISCONF";
    const char *text = error->message[0] != '\0' ? error->message : bitcask_status_text(status);
    reply_error(client, "%s %s", code, text);
}

bitcask_status keyspace_fail(struct client *client, bitcask_status status,
                             const bitcask_error *error)
{
    if (status < 0)
        keyspace_reply_error(client, status, error);
    return status;
}

bitcask_status keyspace_no_memory(struct client *client)
{
    reply_error(client, "OOM out of memory");
    return BITCASK_NO_MEMORY;
}

bitcask_status keyspace_check_key(struct client *client, bitcask_slice key)
{
    if (key.size == 0)
        reply_error(client, "ERR the empty key is not supported: a key has at least one byte");
    else if (key.size > BITCASK_MAX_KEY_SIZE)
        reply_error(client, "ERR the key is too long: %zu bytes of at most %u", key.size,
                    BITCASK_MAX_KEY_SIZE);
    else
        return BITCASK_OK;
    return BITCASK_INVALID;
}

/* ---- Notifications -------------------------------------------------------------------------- */

bool keyspace_wants(const struct client *client, char kind)
{
    const struct settings *settings = client->server->settings;
    uint64_t kinds =
        settings == NULL ? 0 : setting_number(settings, SETTING_NOTIFY_KEYSPACE_EVENTS);
    if (kinds == 0)
        return false;
    static const char letters[] = SETTINGS_NOTIFY_LETTERS;
    const char *letter = strchr(letters, kind);
    return letter != NULL && (kinds >> (letter - letters) & 1) != 0;
}

void keyspace_tell(struct client *client, char kind, const char *event, bitcask_slice key)
{
    if (keyspace_wants(client, kind))
        pubsub_notify(client->server, kind, event, key);
}

char keyspace_kind_of(const char *event)
{
    static const char *const of_strings[] = {"set",         "incrby",   "append",
                                             "incrbyfloat", "setrange", "setbit"};
    for (size_t i = 0; i < sizeof of_strings / sizeof *of_strings; i++)
        if (strcmp(of_strings[i], event) == 0)
            return '$';
    return 'g';
}

void keyspace_tell_change(struct client *client, const char *event, bitcask_slice key)
{
    keyspace_tell(client, keyspace_kind_of(event), event, key);
}

void keyspace_note_changes(struct client *client, uint64_t count)
{
    struct keyspace_slot *slot = keyspace_slot_of(client);
    uint64_t changes = atomic_load_explicit(&slot->changes, memory_order_relaxed);
    atomic_store_explicit(&slot->changes, changes + count, memory_order_relaxed);
    slot->uncommitted += count;
    client->flags |= CLIENT_WROTE;
}

/* ---- Batches -------------------------------------------------------------------------------- */

bool keyspace_in_batch(const struct client *client)
{
    return client->transaction != NULL && client->transaction->depth > 0;
}

bitcask_status keyspace_begin(struct client *client)
{
    struct transaction *transaction = transaction_of(client);
    if (transaction == NULL)
        return keyspace_no_memory(client);
    transaction->depth++;
    return BITCASK_OK;
}

void keyspace_abandon(struct client *client)
{
    struct transaction *transaction = client->transaction;
    if (--transaction->depth == 0)
        changes_release(&transaction->changes);
}

bitcask_sync keyspace_sync_of(const struct client *client)
{
    const struct settings *settings = client->server->settings;
    uint64_t mode =
        settings == NULL ? BITCASK_SYNC_DEFAULT : setting_number(settings, SETTING_APPENDFSYNC);
    return mode == BITCASK_SYNC_NONE ? BITCASK_SYNC_NONE : BITCASK_SYNC_INTERVAL;
}

static bitcask_status write_changes(struct client *client, const struct changes *changes,
                                    bitcask_error *error)
{
    bitcask_batch *batch;
    bitcask_status status = bitcask_batch_new(&batch, error);
    if (status != BITCASK_OK)
        return status;
    status = changes_to_batch(changes, batch, error);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = keyspace_sync_of(client);
    if (status == BITCASK_OK)
        status = bitcask_write(client->server->store, batch, &options, NULL, error);
    bitcask_batch_free(batch);
    if (status != BITCASK_OK)
        return status;
    keyspace_note_changes(client, changes->writes);
    for (size_t i = 0; i < changes->event_count; i++)
        keyspace_tell_change(client, changes->events[i].name,
                             changes->items[changes->events[i].change].key);
    return BITCASK_OK;
}

bitcask_status keyspace_end(struct client *client, bitcask_error *error)
{
    struct transaction *transaction = client->transaction;
    bitcask_status status = BITCASK_OK;
    if (transaction->depth == 1 && transaction->changes.count > 0)
        status = write_changes(client, &transaction->changes, error);
    keyspace_abandon(client);
    return status;
}

const struct change *keyspace_change_of(const struct client *client, bitcask_slice key)
{
    return keyspace_in_batch(client) ? changes_find(&client->transaction->changes, key) : NULL;
}

/* ---- Transactions, commits ---------------------------------------------------------------------
 */

bool keyspace_watch_holds(struct client *client)
{
    const struct transaction *transaction = client->transaction;
    for (size_t i = 0; transaction != NULL && i < transaction->watched_count; i++) {
        const struct watched_key *watched = &transaction->watched[i];
        bitcask_meta meta = {0};
        bitcask_slice key = bitcask_bytes(watched->key, watched->size);
        if (!keyspace_can_be_a_key(key))
            continue;
        bitcask_status status = bitcask_stat_key(client->server->store, NULL, key, &meta, NULL);
        uint64_t version =
            status == BITCASK_OK && !keyspace_is_gone(client, &meta) ? meta.version : 0;
        if (status < 0 || version != watched->version)
            return false;
    }
    return true;
}

bitcask_status keyspace_commit(struct server *server, unsigned slot, bitcask_error *error)
{
    uint64_t writes = server->keyspace->slots[slot].uncommitted;
    if (writes == 0)
        return BITCASK_OK;
    server->keyspace->slots[slot].uncommitted = 0;
    metrics_add(server->metrics, slot, METRIC_COMMIT_WRITES, writes);
    if (server->settings == NULL ||
        setting_number(server->settings, SETTING_APPENDFSYNC) != BITCASK_SYNC_ALWAYS)
        return BITCASK_OK;
    metrics_add(server->metrics, slot, METRIC_COMMITS, 1);
    uint64_t began_us = server_monotonic_us();
    bitcask_status status = server->commit == NULL ? bitcask_sync_now(server->store, error)
                                                   : commit_wait(server, error);
    uint64_t ms = (server_monotonic_us() - began_us) / 1000;
    uint64_t threshold = setting_number(server->settings, SETTING_LATENCY_MONITOR_THRESHOLD);
    if (threshold > 0 && ms >= threshold)
        latency_note(server->slowlog, "fsync", ms, server_wall_us() / 1000000);
    return status;
}
