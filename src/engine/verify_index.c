/* SPDX-License-Identifier: MIT
 * verify_index.c: does each entry of the index point at a record of its key? */
#include <stdlib.h>

#include "engine/reader.h"
#include "engine/verify_report.h"
#include "format/names.h"

/* What is wrong with the entry for `place`, or NULL. Inside an epoch. *record is set if there is a
 * good one. */
static const char *entry_fault(struct store *store, struct keydir_place place,
                               struct segment_record *record, slice *key)
{
    const struct segment *segment = segments_at(&store->segments, place.segment_slot);
    if (segment == NULL)
        return "an index entry points at a segment that is not there";
    if (atomic_load(&segment->state) == BITCASK_SEGMENT_MISSING || atomic_load(&segment->damaged))
        return NULL; /* has been told */
    if (place.offset >= atomic_load(&segment->end) ||
        segment_read(segment, place.offset, record, NULL) != BITCASK_OK)
        return "an index entry points at no record";
    *key = segment_record_key(record);
    if (record->shape.flags & (RECORD_META | RECORD_TOMBSTONE))
        return "an index entry points at a record that is no key's value";

    struct keydir_probe probe;
    struct keydir_place found;
    keydir_probe_start(store->keydir, hash_key(&store->secret, *key), &probe);
    while (keydir_probe_next(&probe, &found))
        if (found.segment_slot == place.segment_slot && found.offset == place.offset)
            return NULL;
    return "an index entry points at a record of another key";
}

static bool contains(const struct keydir_places *places, struct keydir_place place)
{
    for (size_t i = 0; i < places->count; i++)
        if (places->items[i].segment_slot == place.segment_slot &&
            places->items[i].offset == place.offset)
            return true;
    return false;
}

/* Look again with the writers held off: what is still there and still wrong is a finding. */
static bitcask_status confirm(struct verify *verify, uint64_t cursor, struct keydir_place place)
{
    struct store *store = verify->store;
    struct keydir_places places = {0};
    struct segment_record record;
    slice key = {0};
    uint64_t next;
    const char *fault = NULL;
    char name[NAME_SIZE] = "";
    struct verify_place where = {.file = name, .offset = place.offset};

    struct segment *segment = NULL;
    pthread_mutex_lock(&store->write_mutex);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = keydir_scan(store->keydir, cursor, &places, &next);
    if (status == BITCASK_OK && contains(&places, place))
        fault = entry_fault(store, place, &record, &key);
    if (fault != NULL && (segment = segments_at(&store->segments, place.segment_slot)) != NULL) {
        segment_pin(segment); /* where.key borrows from it */
        name_data(name, segment->id);
        where.segment = segment->id;
        where.bytes = key.size > 0 ? record.shape.size : 0;
        where.key = key;
    }
    epoch_exit(guard);
    pthread_mutex_unlock(&store->write_mutex);
    if (fault != NULL)
        status = verify_report(verify, &where, "%s", fault);
    if (segment != NULL)
        segment_unpin(segment);
    free(places.items);
    return status;
}

static bitcask_status check_shard(struct verify *verify, uint64_t cursor,
                                  const struct keydir_places *places)
{
    struct store *store = verify->store;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < places->count && status == BITCASK_OK; i++) {
        struct segment_record record;
        slice key = {0};
        struct epoch_guard guard = epoch_enter(&store->epoch);
        const char *fault = entry_fault(store, places->items[i], &record, &key);
        epoch_exit(guard);
        if (fault != NULL)
            status = confirm(verify, cursor, places->items[i]);
    }
    return status;
}

/* As many entries as the segments count live records? */
static bitcask_status check_count(struct verify *verify)
{
    struct store *store = verify->store;
    struct segments *table = &store->segments;
    uint64_t live = 0;
    pthread_mutex_lock(&store->write_mutex);
    uint64_t entries = keydir_count(store->keydir);
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count; i++)
        live += atomic_load(&table->by_id[i]->live_records);
    pthread_mutex_unlock(&table->mutex);
    pthread_mutex_unlock(&store->write_mutex);
    struct verify_place place = {.file = ""};
    if (live == entries)
        return BITCASK_OK;
    return verify_report(verify, &place,
                         "the index has %llu entries, the segments %llu live records",
                         (unsigned long long)entries, (unsigned long long)live);
}

bitcask_status verify_index(struct verify *verify, bitcask_error *error)
{
    struct store *store = verify->store;
    struct keydir_places places = {0};
    uint64_t cursor = 0, next = 0;
    bitcask_status status = BITCASK_OK;
    while (status == BITCASK_OK && next != UINT64_MAX) {
        struct epoch_guard guard = epoch_enter(&store->epoch);
        status = keydir_scan(store->keydir, cursor, &places, &next);
        epoch_exit(guard);
        if (status == BITCASK_OK)
            status = check_shard(verify, cursor, &places);
        cursor = next;
    }
    free(places.items);
    if (status == BITCASK_NO_MEMORY)
        return error_set(error, status, "out of memory for verifying the index");
    return status == BITCASK_OK ? check_count(verify) : status;
}
