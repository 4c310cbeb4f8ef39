/* SPDX-License-Identifier: MIT
 * keyspace_read.c: reading single keys, several, and all of them. */
#include "client.h"
#include "keyspace_internal.h"
#include "metrics.h"
#include "reply.h"
#include "transaction.h"

bitcask_status keyspace_look_at_value(struct client *client, bitcask_slice key, bitcask_view *view,
                                      bitcask_error *error)
{
    *view = (bitcask_view){0};
    if (!keyspace_can_be_a_key(key))
        return BITCASK_NOT_FOUND;
    const struct change *change = keyspace_change_of(client, key);
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
        keyspace_tell(client, 'm', "keymiss", key);
}

bitcask_status keyspace_get(struct client *client, bitcask_slice key, bitcask_view *view)
{
    bitcask_error error = {0};
    bitcask_status status = keyspace_look_at_value(client, key, view, &error);
    if (status == BITCASK_OK && keyspace_is_gone(client, &view->meta)) {
        keyspace_release(view);
        status = BITCASK_NOT_FOUND;
    }
    if (status >= 0)
        count_look(client, key, status == BITCASK_OK);
    return keyspace_fail(client, status, &error);
}

bitcask_status keyspace_look(struct client *client, bitcask_slice key, bitcask_meta *meta)
{
    bitcask_error error = {0};
    *meta = (bitcask_meta){0};
    if (!keyspace_can_be_a_key(key))
        return BITCASK_NOT_FOUND;
    bitcask_status status;
    if (keyspace_change_of(client, key) != NULL) {
        bitcask_view view;
        status = keyspace_look_at_value(client, key, &view, &error);
        *meta = view.meta;
    } else {
        status = bitcask_stat_key(client->server->store, NULL, key, meta, &error);
    }
    if (status == BITCASK_OK && keyspace_is_gone(client, meta))
        status = BITCASK_NOT_FOUND;
    return keyspace_fail(client, status, &error);
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
        each[i] = keyspace_look_at_value(client, keys[i], &views[i], error);
}

static bool all_can_be_keys(const bitcask_slice *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!keyspace_can_be_a_key(keys[i]))
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
    return keyspace_fail(client, first, &error);
}

/* ---- All keys ------------------------------------------------------------------------------- */

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
    const struct change *change = keyspace_change_of(client, key);
    return !keyspace_is_gone(client, meta) && (change == NULL || !change->deleted);
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
                 keyspace_change_of(client, entry.key) == NULL)
            going = each(context, entry.key, &entry.meta);
    }
    bitcask_iterator_free(iterator);
    return status < 0 ? keyspace_fail(client, status, &error) : BITCASK_OK;
}
