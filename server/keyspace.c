/* SPDX-License-Identifier: MIT
 * keyspace.c: what commands see of the store.
 *
 * Outside of a batch every function is one call of the store, whose conditions make it atomic.
 * Inside of one (EXEC, RENAME; the gate is ours alone, so nobody else writes) reads look into the
 * changes first, conditions are judged here, and writes only note what is to be. */
#include "keyspace.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commit.h"
#include "gate.h"
#include "metrics.h"
#include "pubsub.h"
#include "reply.h"
#include "settings.h"
#include "slowlog.h"
#include "snapshots.h"
#include "transaction.h"

struct slot { /* of one thread */
    _Alignas(64) _Atomic uint64_t changes;
    uint64_t uncommitted; /* changes of this pass */
    bitcask_batch *batch; /* of keyspace_set_many; kept for its memory */
};

struct keyspace {
    unsigned count;
    struct slot *slots;
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

static struct slot *slot_of(const struct client *client)
{
    return &client->server->keyspace->slots[client->slot];
}

/* ---- Small things --------------------------------------------------------------------------- */

bool keyspace_is_gone(const struct client *client, const bitcask_meta *meta)
{
    return meta->expires_us != 0 && meta->expires_us <= client->now_us;
}

static bool can_be_a_key(bitcask_slice key)
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

static bitcask_status fail(struct client *client, bitcask_status status, const bitcask_error *error)
{
    if (status < 0)
        keyspace_reply_error(client, status, error);
    return status;
}

static bitcask_status out_of_memory(struct client *client)
{
    reply_error(client, "OOM out of memory");
    return BITCASK_NO_MEMORY;
}

/* May this be written? Replies if not. */
static bitcask_status check_key(struct client *client, bitcask_slice key)
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

static bool wants(const struct client *client, char kind)
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

static void tell(struct client *client, char kind, const char *event, bitcask_slice key)
{
    if (wants(client, kind))
        pubsub_notify(client->server, kind, event, key);
}

static char kind_of(const char *event)
{
    static const char *const of_strings[] = {"set",         "incrby",   "append",
                                             "incrbyfloat", "setrange", "setbit"};
    for (size_t i = 0; i < sizeof of_strings / sizeof *of_strings; i++)
        if (strcmp(of_strings[i], event) == 0)
            return '$';
    return 'g';
}

static void tell_change(struct client *client, const char *event, bitcask_slice key)
{
    tell(client, kind_of(event), event, key);
}

/* A change was made: it is counted, and waits for its commit. */
static void note_change(struct client *client, uint64_t count)
{
    struct slot *slot = slot_of(client);
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
        return out_of_memory(client);
    transaction->depth++;
    return BITCASK_OK;
}

void keyspace_abandon(struct client *client)
{
    struct transaction *transaction = client->transaction;
    if (--transaction->depth == 0)
        changes_release(&transaction->changes);
}

/* In always mode it is keyspace_commit that waits for the disk. */
static bitcask_sync sync_of_writes(const struct client *client)
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
    options.sync = sync_of_writes(client);
    if (status == BITCASK_OK)
        status = bitcask_write(client->server->store, batch, &options, NULL, error);
    bitcask_batch_free(batch);
    if (status != BITCASK_OK)
        return status;
    note_change(client, changes->writes);
    for (size_t i = 0; i < changes->event_count; i++)
        tell_change(client, changes->events[i].name, changes->items[changes->events[i].change].key);
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

static const struct change *change_of(const struct client *client, bitcask_slice key)
{
    return keyspace_in_batch(client) ? changes_find(&client->transaction->changes, key) : NULL;
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* Without counting. Views of changes have no pin. */
static bitcask_status look_at_value(struct client *client, bitcask_slice key, bitcask_view *view,
                                    bitcask_error *error)
{
    *view = (bitcask_view){0};
    if (!can_be_a_key(key))
        return BITCASK_NOT_FOUND;
    const struct change *change = change_of(client, key);
    if (change != NULL) {
        view->value = change->value;
        view->meta.expires_us = change->expires_us;
        view->meta.value_size = change->value.size;
        return change->deleted ? BITCASK_NOT_FOUND : BITCASK_OK;
    }
    return bitcask_get_view(client->server->store, NULL, key, view, error);
}

static void count_look(struct client *client, bitcask_slice key, bool found)
{
    metrics_add(client->server->metrics, client->slot,
                found ? METRIC_KEYSPACE_HITS : METRIC_KEYSPACE_MISSES, 1);
    if (!found)
        tell(client, 'm', "keymiss", key);
}

bitcask_status keyspace_get(struct client *client, bitcask_slice key, bitcask_view *view)
{
    bitcask_error error = {0};
    bitcask_status status = look_at_value(client, key, view, &error);
    if (status == BITCASK_OK && keyspace_is_gone(client, &view->meta)) {
        keyspace_release(view);
        status = BITCASK_NOT_FOUND;
    }
    if (status >= 0)
        count_look(client, key, status == BITCASK_OK);
    return fail(client, status, &error);
}

bitcask_status keyspace_look(struct client *client, bitcask_slice key, bitcask_meta *meta)
{
    bitcask_error error = {0};
    *meta = (bitcask_meta){0};
    if (!can_be_a_key(key))
        return BITCASK_NOT_FOUND;
    bitcask_status status;
    if (change_of(client, key) != NULL) {
        bitcask_view view;
        status = look_at_value(client, key, &view, &error);
        *meta = view.meta;
    } else {
        status = bitcask_stat_key(client->server->store, NULL, key, meta, &error);
    }
    if (status == BITCASK_OK && keyspace_is_gone(client, meta))
        status = BITCASK_NOT_FOUND;
    return fail(client, status, &error);
}

bitcask_status keyspace_stat(struct client *client, bitcask_slice key, bitcask_meta *meta)
{
    bitcask_status status = keyspace_look(client, key, meta);
    if (status >= 0)
        count_look(client, key, status == BITCASK_OK);
    return status;
}

void keyspace_release(bitcask_view *view)
{
    if (view->pin != NULL)
        bitcask_views_release(view, 1);
    *view = (bitcask_view){0};
}

void keyspace_reply(struct client *client, bitcask_view *view)
{
    if (view->pin != NULL) {
        reply_bulk_view(client, view);
        return;
    }
    reply_bulk(client, view->value); /* of a change: it may be gone before it is sent */
    keyspace_release(view);
}

/* In a batch one by one: nobody else writes meanwhile. */
static void get_each(struct client *client, const bitcask_slice *keys, size_t count,
                     bitcask_view *views, bitcask_status *each, bitcask_error *error)
{
    for (size_t i = 0; i < count; i++)
        each[i] = look_at_value(client, keys[i], &views[i], error);
}

static bool all_can_be_keys(const bitcask_slice *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!can_be_a_key(keys[i]))
            return false;
    return true;
}

bitcask_status keyspace_get_many(struct client *client, const bitcask_slice *keys, size_t count,
                                 bitcask_view *views, bitcask_status *each)
{
    bitcask_error error = {0};
    bitcask_status first = BITCASK_OK;
    if (keyspace_in_batch(client) || !all_can_be_keys(keys, count))
        get_each(client, keys, count, views, each, &error);
    else
        (void)!bitcask_get_many(client->server->store, NULL, keys, count, views, each, &error);
    for (size_t i = 0; i < count; i++) {
        if (each[i] == BITCASK_OK && keyspace_is_gone(client, &views[i].meta)) {
            keyspace_release(&views[i]);
            each[i] = BITCASK_NOT_FOUND;
        }
        if (each[i] < 0 && first == BITCASK_OK)
            first = each[i];
        if (each[i] >= 0)
            count_look(client, keys[i], each[i] == BITCASK_OK);
    }
    if (first == BITCASK_OK)
        return BITCASK_OK;
    for (size_t i = 0; i < count; i++)
        if (each[i] == BITCASK_OK)
            keyspace_release(&views[i]);
    return fail(client, first, &error);
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void options_of(const struct client *client, const struct keyspace_write *write,
                       bitcask_write_options *options)
{
    bitcask_write_options_init(options);
    options->sync = sync_of_writes(client);
    options->flags = write->flags;
    options->expires_us = write->expires_us;
    options->if_version = write->if_version;
}

static bitcask_status note_write(struct client *client, bitcask_slice key, const char *event)
{
    struct changes *changes = &client->transaction->changes;
    if (event == NULL || !wants(client, kind_of(event)))
        return BITCASK_OK;
    return changes_event(changes, event, key) == BITCASK_OK ? BITCASK_OK : out_of_memory(client);
}

/* Is the key there now, in this batch; was it there in the store? */
static bitcask_status look_in_batch(struct client *client, bitcask_slice key, bitcask_meta *meta,
                                    bool *was_there)
{
    const struct change *change = change_of(client, key);
    bitcask_status status = keyspace_look(client, key, meta);
    *was_there = change != NULL ? change->was_there : status == BITCASK_OK;
    return status;
}

static bitcask_status set_in_batch(struct client *client, bitcask_slice key, bitcask_slice value,
                                   const struct keyspace_write *write)
{
    bitcask_meta meta;
    bool was_there;
    bitcask_status status = look_in_batch(client, key, &meta, &was_there);
    if (status < 0)
        return status;
    bool there = status == BITCASK_OK;
    if ((write->flags & BITCASK_IF_ABSENT) && there)
        return BITCASK_EXISTS;
    if ((write->flags & BITCASK_IF_PRESENT) && !there)
        return BITCASK_NOT_FOUND;
    uint64_t expires_us =
        (write->flags & BITCASK_KEEP_TTL) && there ? meta.expires_us : write->expires_us;
    struct changes *changes = &client->transaction->changes;
    if (changes_put(changes, key, value, expires_us, was_there) != BITCASK_OK)
        return out_of_memory(client);
    return note_write(client, key, write->event);
}

static void tell_new_key(struct client *client, bitcask_slice key)
{
    bitcask_meta meta;
    if (wants(client, 'n') &&
        bitcask_stat_key(client->server->store, NULL, key, &meta, NULL) == BITCASK_NOT_FOUND)
        tell(client, 'n', "new", key);
}

bitcask_status keyspace_set(struct client *client, bitcask_slice key, bitcask_slice value,
                            const struct keyspace_write *write)
{
    bitcask_status status = check_key(client, key);
    if (status != BITCASK_OK)
        return status;
    /* Without a condition, a value that has expired before it came is a delete. */
    bool gone = write->expires_us != 0 && write->expires_us <= client->now_us;
    if (gone && write->flags == 0) {
        status = keyspace_delete(client, key, "del");
        return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
    }
    if (keyspace_in_batch(client))
        return set_in_batch(client, key, value, write);
    bitcask_error error = {0};
    bitcask_write_options options;
    options_of(client, write, &options);
    tell_new_key(client, key);
    status = bitcask_put(client->server->store, key, value, &options, write->version, &error);
    if (status == BITCASK_OK) {
        note_change(client, 1);
        if (write->event != NULL)
            tell_change(client, write->event, key);
    }
    return fail(client, status, &error);
}

static bitcask_status delete_in_batch(struct client *client, bitcask_slice key, const char *event)
{
    bitcask_meta meta;
    bool was_there;
    bitcask_status status = look_in_batch(client, key, &meta, &was_there);
    if (status != BITCASK_OK)
        return status;
    if (changes_delete(&client->transaction->changes, key, was_there) != BITCASK_OK)
        return out_of_memory(client);
    return note_write(client, key, event);
}

static bitcask_status remove_key(struct client *client, bitcask_slice key,
                                 const struct keyspace_write *write)
{
    if (!can_be_a_key(key))
        return BITCASK_NOT_FOUND;
    const char *event = write->event;
    if (keyspace_in_batch(client))
        return delete_in_batch(client, key, event);
    bitcask_error error = {0};
    bitcask_write_options options;
    options_of(client, write, &options);
    options.expires_us = 0;
    bitcask_status status = bitcask_delete(client->server->store, key, &options, NULL, &error);
    if (status == BITCASK_OK) {
        note_change(client, 1);
        if (event != NULL)
            tell_change(client, event, key);
    }
    return fail(client, status, &error);
}

bitcask_status keyspace_delete(struct client *client, bitcask_slice key, const char *event)
{
    return remove_key(client, key, &(struct keyspace_write){.event = event});
}

static bitcask_status expire_in_batch(struct client *client, bitcask_slice key,
                                      const struct keyspace_write *write)
{
    bitcask_view view;
    bitcask_error error = {0};
    bool was_there;
    bitcask_meta meta;
    bitcask_status status = look_in_batch(client, key, &meta, &was_there);
    if (status != BITCASK_OK)
        return status;
    status = look_at_value(client, key, &view, &error);
    if (status != BITCASK_OK)
        return fail(client, status, &error);
    status =
        changes_put(&client->transaction->changes, key, view.value, write->expires_us, was_there);
    keyspace_release(&view);
    return status == BITCASK_OK ? note_write(client, key, write->event) : out_of_memory(client);
}

bitcask_status keyspace_expire(struct client *client, bitcask_slice key,
                               const struct keyspace_write *write)
{
    if (!can_be_a_key(key))
        return BITCASK_NOT_FOUND;
    if (keyspace_in_batch(client))
        return expire_in_batch(client, key, write);
    bitcask_error error = {0};
    bitcask_write_options options;
    options_of(client, write, &options);
    bitcask_status status =
        bitcask_expire(client->server->store, key, &options, write->version, &error);
    if (status == BITCASK_OK) {
        note_change(client, 1);
        tell_change(client, write->event, key);
    }
    return fail(client, status, &error);
}

/* ---- Many at once --------------------------------------------------------------------------- */

static bitcask_status fill_batch(bitcask_batch **batch, const bitcask_slice *words, size_t count,
                                 bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    if (*batch == NULL)
        status = bitcask_batch_new(batch, error);
    if (status != BITCASK_OK)
        return status;
    bitcask_batch_clear(*batch);
    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = bitcask_batch_put(*batch, words[2 * i], words[2 * i + 1], 0, error);
    return status;
}

static bitcask_status set_each(struct client *client, const bitcask_slice *words, size_t count)
{
    static const struct keyspace_write write = {.event = "set"};
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = set_in_batch(client, words[2 * i], words[2 * i + 1], &write);
    return status;
}

enum { BATCH_KEPT = 1 << 20 }; /* bytes of a batch whose memory is not given back */

bitcask_status keyspace_set_many(struct client *client, const bitcask_slice *words, size_t count)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = check_key(client, words[2 * i]);
    if (status != BITCASK_OK)
        return status;
    if (keyspace_in_batch(client))
        return set_each(client, words, count);
    bitcask_error error = {0};
    struct slot *slot = slot_of(client);
    bitcask_write_options options;
    options_of(client, &(struct keyspace_write){0}, &options);
    status = fill_batch(&slot->batch, words, count, &error);
    if (status == BITCASK_OK)
        status = bitcask_write(client->server->store, slot->batch, &options, NULL, &error);
    if (slot->batch != NULL && bitcask_batch_size(slot->batch) > BATCH_KEPT) {
        bitcask_batch_free(slot->batch);
        slot->batch = NULL;
    }
    if (status != BITCASK_OK)
        return fail(client, status, &error);
    note_change(client, count);
    if (wants(client, '$'))
        for (size_t i = 0; i < count; i++)
            tell(client, '$', "set", words[2 * i]);
    return BITCASK_OK;
}

/* ---- Read, change, write -------------------------------------------------------------------- */

/* One try. CONFLICT: the key has changed meanwhile. */
static bitcask_status try_update(struct client *client, bitcask_slice key,
                                 keyspace_change_fn *change, void *context)
{
    bitcask_error error = {0};
    bitcask_view view;
    bitcask_status status = look_at_value(client, key, &view, &error);
    if (status < 0)
        return fail(client, status, &error);
    bool in_store = status == BITCASK_OK;
    bool there = in_store && !keyspace_is_gone(client, &view.meta);
    bitcask_view none = {0};
    bitcask_slice result = {0};
    struct keyspace_write write = {.expires_us = there ? view.meta.expires_us : 0};
    enum keyspace_change wish = change(context, there ? &view : &none, &result, &write);
    if (!keyspace_in_batch(client)) {
        write.flags = in_store ? BITCASK_IF_VERSION : BITCASK_IF_ABSENT;
        write.if_version = view.meta.version;
    }
    status = BITCASK_OK;
    if (wish == KEYSPACE_WRITE)
        status = keyspace_set(client, key, result, &write);
    else if (wish == KEYSPACE_DELETE)
        status = remove_key(client, key, &write);
    keyspace_release(&view);
    return status > 0 ? BITCASK_CONFLICT : status;
}

bitcask_status keyspace_update(struct client *client, bitcask_slice key, keyspace_change_fn *change,
                               void *context)
{
    bitcask_status status = check_key(client, key);
    if (status != BITCASK_OK)
        return status;
    status = BITCASK_CONFLICT;
    for (int i = 0; i < KEYSPACE_TRIES && status == BITCASK_CONFLICT; i++)
        status = try_update(client, key, change, context);
    if (status != BITCASK_CONFLICT)
        return status;
    gate_become_alone(client->server->gate, client->slot);
    while (status == BITCASK_CONFLICT) /* twice at most: nobody else writes */
        status = try_update(client, key, change, context);
    gate_end_alone(client->server->gate, client->slot);
    return status;
}

/* ---- The rest ------------------------------------------------------------------------------- */

uint64_t keyspace_count(const struct client *client)
{
    uint64_t count = bitcask_count(client->server->store);
    if (keyspace_in_batch(client))
        count += (uint64_t)changes_of_count(&client->transaction->changes);
    return count;
}

/* Those that the batch has written: true if all were looked at. */
static bool each_change(struct client *client, keyspace_each_fn *each, void *context)
{
    const struct changes *changes = &client->transaction->changes;
    for (size_t i = 0; i < changes->count; i++) {
        const struct change *change = &changes->items[i];
        bitcask_meta meta = {.expires_us = change->expires_us, .value_size = change->value.size};
        if (!change->deleted && !keyspace_is_gone(client, &meta) &&
            !each(context, change->key, &meta))
            return false;
    }
    return true;
}

bool keyspace_shows(const struct client *client, bitcask_slice key, const bitcask_meta *meta)
{
    const struct change *change = change_of(client, key);
    return !keyspace_is_gone(client, meta) && (change == NULL || !change->deleted);
}

void keyspace_note_changes(struct client *client, uint64_t count)
{
    note_change(client, count);
}

bitcask_status keyspace_each(struct client *client, keyspace_each_fn *each, void *context)
{
    return keyspace_each_from(client, 0, each, context);
}

bitcask_status keyspace_each_from(struct client *client, uint64_t cursor, keyspace_each_fn *each,
                                  void *context)
{
    bitcask_error error = {0};
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bool going = !keyspace_in_batch(client) || each_change(client, each, context);
    bitcask_status status = bitcask_iterator_new(
        client->server->store, NULL, bitcask_bytes(NULL, 0), BITCASK_KEYS, &iterator, &error);
    if (status == BITCASK_OK && cursor != 0)
        bitcask_iterator_seek_cursor(iterator, cursor);
    while (going && status == BITCASK_OK) {
        status = bitcask_iterator_next(iterator, &entry, &error);
        if (status == BITCASK_CORRUPT) /* one damaged record: its key cannot be told */
            status = BITCASK_OK;
        else if (status == BITCASK_OK && !keyspace_is_gone(client, &entry.meta) &&
                 change_of(client, entry.key) == NULL)
            going = each(context, entry.key, &entry.meta);
    }
    bitcask_iterator_free(iterator);
    return status < 0 ? fail(client, status, &error) : BITCASK_OK;
}

bool keyspace_watch_holds(struct client *client)
{
    const struct transaction *transaction = client->transaction;
    for (size_t i = 0; transaction != NULL && i < transaction->watched_count; i++) {
        const struct watched_key *watched = &transaction->watched[i];
        bitcask_meta meta = {0};
        bitcask_slice key = bitcask_bytes(watched->key, watched->size);
        if (!can_be_a_key(key))
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
