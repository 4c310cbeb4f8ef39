/* SPDX-License-Identifier: MIT
 * changes.c: what a transaction has written so far. */
#include "changes.h"

#include <stdlib.h>
#include <string.h>

void changes_release(struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++)
        free(changes->items[i].bytes);
    free(changes->items);
    free(changes->slots);
    free(changes->events);
    memset(changes, 0, sizeof *changes);
}

/* ---- The table ------------------------------------------------------------------------------ */

static uint64_t hash_of(bitcask_slice key)
{
    const uint8_t *bytes = key.data;
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    return hash ^ hash >> 32;
}

/* The slot that holds `key`, or the free one where it belongs. There is always a free one. */
static size_t slot_of(const struct changes *changes, bitcask_slice key)
{
    size_t mask = changes->slot_count - 1, slot = hash_of(key) & mask;
    for (; changes->slots[slot] != 0; slot = (slot + 1) & mask) {
        const struct change *change = &changes->items[changes->slots[slot] - 1];
        if (change->key.size == key.size && memcmp(change->key.data, key.data, key.size) == 0)
            break;
    }
    return slot;
}

const struct change *changes_find(const struct changes *changes, bitcask_slice key)
{
    if (changes->count == 0)
        return NULL;
    uint32_t place = changes->slots[slot_of(changes, key)];
    return place == 0 ? NULL : &changes->items[place - 1];
}

static bool grow_slots(struct changes *changes)
{
    size_t count = changes->slot_count == 0 ? 64 : changes->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return false;
    free(changes->slots);
    changes->slots = slots;
    changes->slot_count = count;
    for (size_t i = 0; i < changes->count; i++)
        slots[slot_of(changes, changes->items[i].key)] = (uint32_t)(i + 1);
    return true;
}

static bool grow_items(struct changes *changes)
{
    if (changes->count < changes->capacity)
        return true;
    size_t capacity = changes->capacity * 2 + 16;
    struct change *items = realloc(changes->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    changes->items = items;
    changes->capacity = capacity;
    return true;
}

/* Key and value in one piece of memory. */
static bool copy_bytes(struct change *change, bitcask_slice key, bitcask_slice value)
{
    char *bytes = malloc(key.size + value.size + 1);
    if (bytes == NULL)
        return false;
    memcpy(bytes, key.data, key.size);
    if (value.size > 0)
        memcpy(bytes + key.size, value.data, value.size);
    change->bytes = bytes;
    change->key = bitcask_bytes(bytes, key.size);
    change->value = bitcask_bytes(bytes + key.size, value.size);
    return true;
}

static bitcask_status set(struct changes *changes, bitcask_slice key, bitcask_slice value,
                          uint64_t expires_us, bool deleted, bool was_there)
{
    if (changes->count * 2 >= changes->slot_count && !grow_slots(changes))
        return BITCASK_NO_MEMORY;
    struct change fresh = {.expires_us = expires_us, .deleted = deleted, .was_there = was_there};
    size_t slot = slot_of(changes, key);
    bool known = changes->slots[slot] != 0;
    if ((!known && !grow_items(changes)) || !copy_bytes(&fresh, key, value))
        return BITCASK_NO_MEMORY;
    changes->writes++;
    if (known) {
        struct change *change = &changes->items[changes->slots[slot] - 1];
        fresh.was_there = change->was_there;
        free(change->bytes);
        *change = fresh;
    } else {
        changes->items[changes->count++] = fresh;
        changes->slots[slot] = (uint32_t)changes->count;
    }
    return BITCASK_OK;
}

bitcask_status changes_put(struct changes *changes, bitcask_slice key, bitcask_slice value,
                           uint64_t expires_us, bool was_there)
{
    return set(changes, key, value, expires_us, false, was_there);
}

bitcask_status changes_delete(struct changes *changes, bitcask_slice key, bool was_there)
{
    return set(changes, key, bitcask_bytes(NULL, 0), 0, true, was_there);
}

/* ---- Its end -------------------------------------------------------------------------------- */

bitcask_status changes_event(struct changes *changes, const char *name, bitcask_slice key)
{
    if (changes->event_count == changes->event_capacity) {
        size_t capacity = changes->event_capacity * 2 + 16;
        struct change_event *events = realloc(changes->events, capacity * sizeof *events);
        if (events == NULL)
            return BITCASK_NO_MEMORY;
        changes->events = events;
        changes->event_capacity = capacity;
    }
    size_t place = changes->slots[slot_of(changes, key)];
    changes->events[changes->event_count++] = (struct change_event){name, place - 1};
    return BITCASK_OK;
}

bitcask_status changes_to_batch(const struct changes *changes, bitcask_batch *batch,
                                bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < changes->count && status == BITCASK_OK; i++) {
        const struct change *change = &changes->items[i];
        if (change->deleted)
            status = bitcask_batch_delete(batch, change->key, error);
        else
            status =
                bitcask_batch_put(batch, change->key, change->value, change->expires_us, error);
    }
    return status;
}

int64_t changes_of_count(const struct changes *changes)
{
    int64_t more = 0;
    for (size_t i = 0; i < changes->count; i++)
        more += (int)!changes->items[i].deleted - (int)changes->items[i].was_there;
    return more;
}
