/* SPDX-License-Identifier: MIT
 * verify_index.c: does each entry of the index point at a record of its key? */
#include <stdlib.h>

#include "engine/reader.h"
#include "engine/verify_report.h"
#include "format/names.h"

/* A run of hashes, and the places that the index has for them, in order. */
struct shard {
    uint64_t first, next; /* next UINT64_MAX: to the end */
    struct keydir_places places;
};

static int place_order(const void *a, const void *b)
{
    const struct keydir_place *x = a, *y = b;
    if (x->segment_slot != y->segment_slot)
        return x->segment_slot < y->segment_slot ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bitcask_status read_shard(struct store *store, uint64_t first, struct shard *shard)
{
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = keydir_scan(store->keydir, first, &shard->places, &shard->next);
    epoch_exit(guard);
    shard->first = first;
    if (status == BITCASK_OK && shard->places.count > 0)
        qsort(shard->places.items, shard->places.count, sizeof *shard->places.items, place_order);
    return status;
}

/* What is wrong with the i-th entry, or NULL. Inside an epoch. *key is set if a record is there. */
static const char *entry_fault(struct store *store, const struct shard *shard, size_t i,
                               struct segment_record *record, slice *key)
{
    struct keydir_place place = shard->places.items[i];
    const struct segment *segment = segments_at(&store->segments, place.segment_slot);
    if (i > 0 && place_order(&shard->places.items[i - 1], &place) == 0)
        return "two index entries point at one record";
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

    uint64_t hash = hash_key(&store->secret, *key);
    bool found = hash >= shard->first && (hash < shard->next || shard->next == UINT64_MAX) &&
                 keydir_has(store->keydir, hash, place);
    return found ? NULL : "an index entry points at a record of another key";
}

/* The first entry for `place`, or the second if there are two; count if there is none. */
static size_t find_place(const struct shard *shard, struct keydir_place place)
{
    const struct keydir_places *places = &shard->places;
    for (size_t i = 0; i < places->count; i++) {
        if (place_order(&places->items[i], &place) != 0)
            continue;
        bool twice = i + 1 < places->count && place_order(&places->items[i + 1], &place) == 0;
        return twice ? i + 1 : i;
    }
    return places->count;
}

/* Look again with the writers held off: what is still there and still wrong is a finding. */
static bitcask_status confirm(struct verify *verify, uint64_t first, struct keydir_place place)
{
    struct store *store = verify->store;
    struct shard shard = {0};
    struct segment *segment = NULL;
    struct segment_record record;
    slice key = {0};
    const char *fault = NULL;
    char name[NAME_SIZE] = "";
    struct verify_place where = {.file = name, .offset = place.offset};

    write_mutex_lock(&store->write_mutex);
    bitcask_status status = read_shard(store, first, &shard);
    size_t i = status == BITCASK_OK ? find_place(&shard, place) : 0;
    struct epoch_guard guard = epoch_enter(&store->epoch);
    if (status == BITCASK_OK && i < shard.places.count)
        fault = entry_fault(store, &shard, i, &record, &key);
    if (fault != NULL && (segment = segments_at(&store->segments, place.segment_slot)) != NULL) {
        segment_pin(segment); /* where.key borrows from it */
        name_data(name, segment->id);
        where.segment = segment->id;
        where.bytes = key.size > 0 ? record.shape.size : 0;
        where.key = key;
    }
    epoch_exit(guard);
    write_mutex_unlock(&store->write_mutex);
    if (fault != NULL)
        status = verify_report(verify, &where, "%s", fault);
    if (segment != NULL)
        segment_unpin(segment);
    free(shard.places.items);
    return status;
}

/* *bytes grows by those of the records that were read. */
static bitcask_status check_shard(struct verify *verify, const struct shard *shard, uint64_t *bytes)
{
    struct store *store = verify->store;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < shard->places.count && status == BITCASK_OK; i++) {
        struct segment_record record;
        slice key = {0};
        struct epoch_guard guard = epoch_enter(&store->epoch);
        const char *fault = entry_fault(store, shard, i, &record, &key);
        epoch_exit(guard);
        *bytes += key.size > 0 ? record.shape.size : 0;
        if (fault != NULL)
            status = confirm(verify, shard->first, shard->places.items[i]);
    }
    return status;
}

/* As many entries as the segments count live records? */
static bitcask_status check_count(struct verify *verify)
{
    struct store *store = verify->store;
    struct segments *table = &store->segments;
    uint64_t live = 0;
    merge_gate_enter_quietly(store); /* a merge counts before it moves */
    write_mutex_lock(&store->write_mutex);
    uint64_t entries = keydir_count(store->keydir);
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count; i++)
        live += atomic_load(&table->by_id[i]->live_records);
    pthread_mutex_unlock(&table->mutex);
    write_mutex_unlock(&store->write_mutex);
    merge_gate_leave(store);
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
    struct shard shard = {0};
    bitcask_status status = keydir_fetch_all(verify->store->keydir, error);
    if (status != BITCASK_OK)
        return status;
    while (status == BITCASK_OK && shard.next != UINT64_MAX) {
        uint64_t bytes = 0;
        merge_gate_enter_quietly(store);
        status = read_shard(store, shard.next, &shard);
        if (status == BITCASK_OK)
            status = check_shard(verify, &shard, &bytes);
        merge_gate_leave(store);
        if (status == BITCASK_OK)
            status = verify_pace(verify, bytes, false);
    }
    free(shard.places.items);
    if (status == BITCASK_NO_MEMORY)
        return error_set(error, status, "out of memory for verifying the index");
    return status == BITCASK_OK ? check_count(verify) : status;
}
