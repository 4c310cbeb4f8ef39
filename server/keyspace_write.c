/* SPDX-License-Identifier: MIT
 * keyspace_write.c: writing: with conditions, in batches, by comparing versions. */
#include <string.h>

#include "client.h"
#include "gate.h"
#include "keyspace_internal.h"
#include "reply.h"
#include "transaction.h"

/* SET with an expiry makes two events. */
static bool also_expires(const struct keyspace_write *write)
{
    return write->expires_us != 0 && (write->flags & BITCASK_KEEP_TTL) == 0 &&
           write->event != NULL && strcmp(write->event, "set") == 0;
}

static void options_of(const struct client *client, const struct keyspace_write *write,
                       bitcask_write_options *options)
{
    bitcask_write_options_init(options);
    options->sync = keyspace_sync_of(client);
    options->flags = write->flags;
    options->expires_us = write->expires_us;
    options->if_version = write->if_version;
}

static bitcask_status note_write(struct client *client, bitcask_slice key, const char *event)
{
    struct changes *changes = &client->transaction->changes;
    if (event == NULL || !keyspace_wants(client, keyspace_kind_of(event)))
        return BITCASK_OK;
    return changes_event(changes, event, key) == BITCASK_OK ? BITCASK_OK
                                                            : keyspace_no_memory(client);
}

/* Is the key there now, in this batch; was it there in the store? */
static bitcask_status look_in_batch(struct client *client, bitcask_slice key, bitcask_meta *meta,
                                    bool *was_there)
{
    const struct change *change = keyspace_change_of(client, key);
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
        return keyspace_no_memory(client);
    status = note_write(client, key, write->event);
    if (status == BITCASK_OK && also_expires(write))
        status = note_write(client, key, "expire");
    return status;
}

static void tell_new_key(struct client *client, bitcask_slice key)
{
    bitcask_meta meta;
    if (keyspace_wants(client, 'n') &&
        bitcask_stat_key(client->server->store, NULL, key, &meta, NULL) == BITCASK_NOT_FOUND)
        keyspace_tell(client, 'n', "new", key);
}

bitcask_status keyspace_set(struct client *client, bitcask_slice key, bitcask_slice value,
                            const struct keyspace_write *write)
{
    bitcask_status status = keyspace_check_key(client, key);
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
        keyspace_note_changes(client, 1);
        if (write->event != NULL)
            keyspace_tell_change(client, write->event, key);
        if (also_expires(write))
            keyspace_tell_change(client, "expire", key);
    }
    return keyspace_fail(client, status, &error);
}

static bitcask_status delete_in_batch(struct client *client, bitcask_slice key, const char *event)
{
    bitcask_meta meta;
    bool was_there;
    bitcask_status status = look_in_batch(client, key, &meta, &was_there);
    if (status != BITCASK_OK)
        return status;
    if (changes_delete(&client->transaction->changes, key, was_there) != BITCASK_OK)
        return keyspace_no_memory(client);
    return note_write(client, key, event);
}

static bitcask_status remove_key(struct client *client, bitcask_slice key,
                                 const struct keyspace_write *write)
{
    if (!keyspace_can_be_a_key(key))
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
        keyspace_note_changes(client, 1);
        if (event != NULL)
            keyspace_tell_change(client, event, key);
    }
    return keyspace_fail(client, status, &error);
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
    status = keyspace_look_at_value(client, key, &view, &error);
    if (status != BITCASK_OK)
        return keyspace_fail(client, status, &error);
    status =
        changes_put(&client->transaction->changes, key, view.value, write->expires_us, was_there);
    keyspace_release(&view);
    return status == BITCASK_OK ? note_write(client, key, write->event)
                                : keyspace_no_memory(client);
}

bitcask_status keyspace_expire(struct client *client, bitcask_slice key,
                               const struct keyspace_write *write)
{
    if (!keyspace_can_be_a_key(key))
        return BITCASK_NOT_FOUND;
    if (keyspace_in_batch(client))
        return expire_in_batch(client, key, write);
    bitcask_error error = {0};
    bitcask_write_options options;
    options_of(client, write, &options);
    bitcask_status status =
        bitcask_expire(client->server->store, key, &options, write->version, &error);
    if (status == BITCASK_OK) {
        keyspace_note_changes(client, 1);
        keyspace_tell_change(client, write->event, key);
    }
    return keyspace_fail(client, status, &error);
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
        status = keyspace_check_key(client, words[2 * i]);
    if (status != BITCASK_OK)
        return status;
    if (keyspace_in_batch(client))
        return set_each(client, words, count);
    bitcask_error error = {0};
    struct keyspace_slot *slot = keyspace_slot_of(client);
    bitcask_write_options options;
    options_of(client, &(struct keyspace_write){0}, &options);
    for (size_t i = 0; i < count && keyspace_wants(client, 'n'); i++)
        tell_new_key(client, words[2 * i]);
    status = fill_batch(&slot->batch, words, count, &error);
    if (status == BITCASK_OK)
        status = bitcask_write(client->server->store, slot->batch, &options, NULL, &error);
    if (slot->batch != NULL && bitcask_batch_size(slot->batch) > BATCH_KEPT) {
        bitcask_batch_free(slot->batch);
        slot->batch = NULL;
    }
    if (status != BITCASK_OK)
        return keyspace_fail(client, status, &error);
    keyspace_note_changes(client, count);
    if (keyspace_wants(client, '$'))
        for (size_t i = 0; i < count; i++)
            keyspace_tell(client, '$', "set", words[2 * i]);
    return BITCASK_OK;
}

/* ---- Read, change, write -------------------------------------------------------------------- */

/* One try. CONFLICT: the key has changed meanwhile. */
static bitcask_status try_update(struct client *client, bitcask_slice key,
                                 keyspace_change_fn *change, void *context)
{
    bitcask_error error = {0};
    bitcask_view view;
    bitcask_status status = keyspace_look_at_value(client, key, &view, &error);
    if (status < 0)
        return keyspace_fail(client, status, &error);
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
    bitcask_status status = keyspace_check_key(client, key);
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
