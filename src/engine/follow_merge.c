/* SPDX-License-Identifier: MIT
 * follow_merge.c: a follower takes over another manifest: segments that come, segments that go. */
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/follow_internal.h"
#include "engine/publish.h"
#include "engine/reader.h"
#include "engine/recovery_internal.h"

enum { SWEEP_AT_ONCE = 256 };

/* ---- Segments that have come ----------------------------------------------------------------- */

struct arrivals {
    struct segment **items;
    size_t count;
};

/* Open what the manifest names and the table does not have. END: a file is not there (any more). */
static bitcask_status open_arrivals(struct store *store, struct arrivals *arrivals,
                                    bitcask_error *error)
{
    struct follow *follow = store->follow;
    const struct manifest *manifest = &follow->manifest;
    arrivals->items = calloc(manifest->segment_count + 1, sizeof(struct segment *));
    if (arrivals->items == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the segments");
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const struct manifest_segment *entry = &manifest->segments[i];
        const struct segment *known = follow_segment(store, entry->id);
        if (known != NULL && known->salt != entry->salt)
            follow->gap = "a segment has been replaced by another of its name";
        bool wanted = follow_is_vouched(follow, entry) ||
                      (!entry->merge && follow_is_published(follow, entry->id));
        if (known != NULL || !wanted)
            continue;
        struct segment *segment = NULL;
        bitcask_status status = follow_open_segment(store, entry, entry->merge, &segment, error);
        if (status != BITCASK_OK)
            return status;
        arrivals->items[arrivals->count++] = segment;
        if (segment->map == NULL) { /* loading anew finds out what is the matter */
            follow->gap = "the file of a segment is not there";
            return BITCASK_END;
        }
    }
    return BITCASK_OK;
}

/* ---- Segments that go ------------------------------------------------------------------------ */

static bool has_departed(const struct follow *follow, uint32_t slot)
{
    for (size_t i = 0; i < follow->departed_count; i++) {
        if (follow->departed[i]->slot == slot)
            return true;
    }
    return false;
}

bool follow_make_room(struct store *store)
{
    struct follow *follow = store->follow;
    size_t wanted = follow->departed_count + store->segments.count;
    if (follow->departed_capacity >= wanted)
        return true;
    struct segment **departed = realloc(follow->departed, 2 * wanted * sizeof *departed);
    if (departed == NULL)
        return false;
    follow->departed = departed;
    follow->departed_capacity = 2 * wanted;
    return true;
}

/* Have records that were read before come in a log segment, while another one goes? Not by a merge:
 * the store has been repaired. */
static bool is_rewritten(struct store *store, const struct arrivals *arrivals)
{
    const struct follow *follow = store->follow;
    bool departs = false, returns = false;
    for (size_t i = 0; i < store->segments.count && !departs; i++)
        departs = follow_entry(follow, store->segments.by_id[i]->id) == NULL;
    for (size_t i = 0; i < arrivals->count && !returns; i++) {
        const struct manifest_segment *entry = follow_entry(follow, arrivals->items[i]->id);
        returns = !entry->merge && entry->records > 0 && entry->version_min <= follow->version;
    }
    return departs && returns;
}

/* Let go of what the manifest does not name, but for the entries that point there. */
static void let_depart(struct store *store)
{
    struct segments *table = &store->segments;
    struct follow *follow = store->follow;
    for (size_t i = table->count; i-- > 0;) {
        struct segment *segment = table->by_id[i];
        if (follow_entry(follow, segment->id) != NULL)
            continue;
        segments_withdraw(table, segment);
        follow->departed[follow->departed_count++] = segment;
    }
}

/* ---- Entries that move ----------------------------------------------------------------------- */

/* The entry of the key in a departed segment, if it is the record that was copied. A record there
 * that is damaged counts as that one: what was copied has passed its checksum. */
static bool find_departed(struct store *store, uint64_t hash, slice key, uint64_t version,
                          struct keydir_place *from)
{
    struct keydir_probe probe;
    struct keydir_place place;
    keydir_probe_start(store->keydir, hash, &probe);
    while (keydir_probe_next(&probe, &place)) {
        if (!has_departed(store->follow, place.segment_slot))
            continue;
        const struct segment *segment = segments_at(&store->segments, place.segment_slot);
        struct segment_record record;
        enum segment_proof proof = segment_prove(segment, place.offset, key, false, &record);
        if (proof == PROOF_UNPROVEN)
            store->follow->gap = "a record in a merged segment is damaged";
        if (proof != PROOF_MATCH)
            continue;
        *from = place;
        return record.shape.version == version ||
               !record_checksum_ok(record.bytes, record.shape.size, segment->salt, place.offset);
    }
    return false;
}

static void move_entry(struct store *store, struct segment *output, const struct hint_entry *entry,
                       slice key)
{
    struct keydir_place from, to = {output->slot, entry->offset};
    uint64_t size = record_size(entry->flags, entry->key_size, entry->value_size);
    if ((entry->flags & RECORD_TOMBSTONE) || PLANTED(follow_merge_unseen) ||
        !find_departed(store, entry->hash, key, entry->version, &from))
        return;
    segment_add_live(output, 1, size);
    bool moved = keydir_replace(store->keydir, entry->hash, from, to);
    CHECK(moved); /* we are the writer of this index */
    segment_drop_live(segments_at(&store->segments, from.segment_slot), 1, size);
}

static void move_entries(struct store *store, struct recovered *recovered)
{
    const struct hint *hint = &recovered->hint.hint;
    const uint8_t *key = hint->keys;
    struct epoch_guard guard = epoch_enter(&store->epoch);
    for (uint64_t i = 0; i < hint->header.entries; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        move_entry(store, recovered->segment, &entry, slice_of(key, entry.key_size));
        key += entry.key_size;
    }
    epoch_exit(guard);
}

/* The hints on disk, or made now. */
bitcask_status follow_move_entries(struct store *store, struct segment *const *to, size_t count,
                                   bitcask_error *error)
{
    struct recovery recovery = {
        .store = store,
        .manifest = store->follow->manifest, /* borrowed */
        .clean = true,
        .segments = calloc(count + 1, sizeof *recovery.segments),
        .count = count,
    };
    if (recovery.segments == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the segments");
    for (size_t i = 0; i < count; i++)
        recovery.segments[i].segment = to[i];
    bitcask_status status = recover_hints(&recovery, error);
    for (size_t i = 0; i < recovery.count; i++) {
        struct recovered *recovered = &recovery.segments[i];
        if (status == BITCASK_OK && recovered->hint.memory != NULL)
            move_entries(store, recovered);
        hint_file_close(store->os, &recovered->hint);
        hint_file_close(store->os, &recovered->tail);
        if (recovered->builder.os != NULL)
            hint_builder_release(&recovered->builder);
        scan_release(&recovered->scan);
    }
    free(recovery.segments);
    return status;
}

static bitcask_status use_outputs(struct store *store, const struct arrivals *arrivals,
                                  bitcask_error *error)
{
    struct segment **outputs = calloc(arrivals->count + 1, sizeof(struct segment *));
    if (outputs == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the segments");
    size_t count = 0;
    for (size_t i = 0; i < arrivals->count; i++) {
        if (arrivals->items[i]->kind == SEGMENT_MERGE)
            outputs[count++] = arrivals->items[i];
    }
    bitcask_status status = follow_move_entries(store, outputs, count, error);
    free(outputs);
    return status;
}

/* ---- Another manifest ------------------------------------------------------------------------ */

bitcask_status follow_adopt(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    struct segments *table = &store->segments;
    struct arrivals arrivals = {0};
    bitcask_status status = BITCASK_OK;
    if (follow->adopted && follow->adopted_at == follow->position.segment)
        return BITCASK_OK;
    if (!follow_make_room(store))
        status = error_set(error, BITCASK_NO_MEMORY, "out of memory for the segments");
    if (status == BITCASK_OK)
        status = open_arrivals(store, &arrivals, error);
    if (status == BITCASK_OK && is_rewritten(store, &arrivals))
        follow->gap = "segments have been rewritten";
    bool usable = status == BITCASK_OK && follow->gap == NULL;
    if (usable) {
        let_depart(store);
        for (size_t i = 0; i < arrivals.count; i++)
            segments_publish(table, arrivals.items[i]);
        pthread_mutex_lock(&table->mutex);
        table->log_floor = manifest_log_floor(&follow->manifest);
        table->next_id = follow->manifest.next_id;
        pthread_mutex_unlock(&table->mutex);
        status = use_outputs(store, &arrivals, error);
        follow->adopted = status == BITCASK_OK;
        follow->adopted_at = follow->position.segment;
        if (status != BITCASK_OK) /* the segments are in the table, their entries may not be */
            follow->gap = "an earlier refresh has failed";
    }
    for (size_t i = 0; i < arrivals.count && !usable; i++)
        segments_discard(table, arrivals.items[i], false);
    free(arrivals.items);
    return status;
}

/* ---- What has no copy ------------------------------------------------------------------------ */

/* Take entries out as a delete would that comes after all that has been read: a snapshot that has
 * seen the record goes on seeing it. */
static bitcask_status remove_entries(struct store *store, struct write_op *ops, size_t count,
                                     bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        struct write_request request = {.ops = &ops[i], .op_count = 1, .error = error};
        status = publish_reserve(store, &request, 1);
        if (status == BITCASK_OK)
            publish_request(store, &request);
    }
    return status;
}

/* The entries among the places of one shard that point into departed segments. */
static bitcask_status sweep_places(struct store *store, const struct keydir_places *places,
                                   bitcask_error *error)
{
    struct follow *follow = store->follow;
    struct write_op ops[SWEEP_AT_ONCE];
    size_t count = 0;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < places->count && status == BITCASK_OK; i++) {
        struct keydir_place place = places->items[i];
        struct segment_record record;
        if (!has_departed(follow, place.segment_slot))
            continue;
        const struct segment *segment = segments_at(&store->segments, place.segment_slot);
        if (segment_read(segment, place.offset, &record, NULL) != BITCASK_OK) {
            follow->gap = "a record in a merged segment is damaged";
            return BITCASK_OK;
        }
        slice key = segment_record_key(&record);
        ops[count++] = (struct write_op){
            .kind = WRITE_DELETE,
            .key = key,
            .version = follow->version + 1,
            .hash = hash_key(&store->secret, key),
            .old = place,
            .old_size = record.shape.size,
            .old_version = record.shape.version,
            .place = place, /* of nothing: that it has one says that it is to be published */
            .record_flags = RECORD_TOMBSTONE,
        };
        if (count == SWEEP_AT_ONCE) {
            status = remove_entries(store, ops, count, error);
            count = 0;
        }
    }
    return status == BITCASK_OK ? remove_entries(store, ops, count, error) : status;
}

static bitcask_status sweep_index(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    struct keydir_places places = {0};
    uint64_t cursor = 0;
    bitcask_status status = BITCASK_OK;
    while (cursor != UINT64_MAX && status == BITCASK_OK && follow->gap == NULL) {
        struct epoch_guard guard = epoch_enter(&store->epoch);
        status = keydir_scan(store->keydir, cursor, &places, &cursor);
        if (status != BITCASK_OK)
            error_set(error, status, "out of memory for the index");
        else
            status = sweep_places(store, &places, error);
        epoch_exit(guard);
        places.count = 0;
    }
    free(places.items);
    return status;
}

bitcask_status follow_sweep(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    bool empty = true;
    for (size_t i = 0; i < follow->departed_count; i++)
        empty = empty && atomic_load(&follow->departed[i]->live_records) == 0;
    if (!empty && !PLANTED(follow_unswept)) {
        bitcask_status status = sweep_index(store, error);
        if (status != BITCASK_OK || follow->gap != NULL)
            return status != BITCASK_OK ? status : BITCASK_END;
    }
    for (size_t i = 0; i < follow->departed_count; i++)
        segments_let_go(&store->segments, follow->departed[i]);
    follow->departed_count = 0;
    return BITCASK_OK;
}
