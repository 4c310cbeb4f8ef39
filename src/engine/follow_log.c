/* SPDX-License-Identifier: MIT
 * follow_log.c: a follower reads the log. */
#include <stdlib.h>

#include "base/planted.h"
#include "engine/follow_internal.h"
#include "engine/overlay.h"
#include "engine/publish.h"
#include "engine/reader.h"

/* ---- Applying -------------------------------------------------------------------------------- */

/* A record, or all of a batch, as a request of the writer's that has been appended. */
struct batch {
    struct write_op *ops;
    size_t count, capacity;
    uint64_t end; /* offset behind it */
};

static bitcask_status batch_add(struct store *store, struct batch *batch,
                                const struct segment *segment, uint64_t offset,
                                const struct segment_record *record, bitcask_error *error)
{
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity * 2 + 16;
        struct write_op *ops = realloc(batch->ops, capacity * sizeof *ops);
        if (ops == NULL)
            return error_set(error, BITCASK_NO_MEMORY, "out of memory for a batch of the log");
        batch->ops = ops;
        batch->capacity = capacity;
    }
    const struct record_shape *shape = &record->shape;
    bool deletes = (shape->flags & RECORD_TOMBSTONE) != 0;
    batch->ops[batch->count++] = (struct write_op){
        .kind = deletes ? WRITE_DELETE : WRITE_PUT,
        .key = segment_record_key(record),
        .value = segment_record_value(record),
        .expires_us = shape->expires_us,
        .version = shape->version,
        .hash = hash_key(&store->secret, segment_record_key(record)),
        .place = {segment->slot, (uint32_t)offset},
        .record_flags = shape->flags & (RECORD_TOMBSTONE | RECORD_EXPIRES),
    };
    return BITCASK_OK;
}

/* What the index has of the key; an index slot where it has nothing. `before`: the last operation
 * of the same batch on the key, or NULL. */
static bitcask_status evaluate(struct store *store, const struct batch *batch, struct write_op *op,
                               const struct write_op *before, bitcask_error *error)
{
    struct reader_hit hit;
    if (before != NULL) {
        if (before->kind == WRITE_PUT) { /* the rest of the place when it is published */
            op->old = (struct keydir_place){(uint32_t)(before - batch->ops), PLACE_LATER};
            op->old_size = record_size(before->record_flags, before->key.size, before->value.size);
            op->old_version = before->version;
        }
    } else if (reader_find(store, op->hash, op->key, false, &hit) == BITCASK_OK) {
        op->old = hit.place;
        op->old_size = hit.record.shape.size;
        op->old_version = hit.record.shape.version;
        if (hit.record.shape.version >= op->version) {
            op->place.offset = 0; /* applied already */
            op->record_flags = RECORD_META;
            return BITCASK_OK;
        }
    }
    if (op->old.offset != 0 || op->kind == WRITE_DELETE)
        return BITCASK_OK;
    bitcask_status status = keydir_reserve(store->keydir, op->hash, error);
    op->reserved = status == BITCASK_OK;
    return status;
}

static bitcask_status evaluate_all(struct store *store, struct batch *batch,
                                   struct write_request *request)
{
    struct overlay overlay = {0};
    bitcask_status status = BITCASK_OK;
    if (batch->count > 1)
        status = overlay_init(&overlay, batch->count, request->error);
    size_t done = 0;
    for (; done < batch->count && status == BITCASK_OK; done++) {
        struct write_op *op = &batch->ops[done];
        const struct write_op *before =
            batch->count > 1 ? overlay_find(&overlay, op->hash, op->key) : NULL;
        status = evaluate(store, batch, op, before, request->error);
        if (status == BITCASK_OK && batch->count > 1)
            overlay_push(&overlay, op);
    }
    if (status == BITCASK_OK)
        status = publish_reserve(store, request, (uint32_t)batch->count);
    for (size_t i = 0; i < done && status != BITCASK_OK; i++) {
        if (batch->ops[i].reserved)
            keydir_unreserve(store->keydir, batch->ops[i].hash);
    }
    if (batch->count > 1)
        overlay_release(&overlay);
    return status;
}

/* To an index that nobody looks into yet: there is nothing to hide, and nothing to keep. */
static bitcask_status apply_unseen(struct store *store, struct batch *batch, bitcask_error *error)
{
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < batch->count && status == BITCASK_OK; i++) {
        struct write_request request = {.ops = &batch->ops[i], .op_count = 1, .error = error};
        status = evaluate(store, batch, &batch->ops[i], NULL, error);
        if (status == BITCASK_OK)
            publish_request(store, &request);
    }
    epoch_exit(guard);
    return status;
}

static bitcask_status apply(struct store *store, struct batch *batch, bitcask_error *error)
{
    if (store->keydir != store->shown)
        return apply_unseen(store, batch, error);
    struct write_request request = {
        .ops = batch->ops, .op_count = batch->count, .batch = true, .error = error};
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = evaluate_all(store, batch, &request);
    if (status == BITCASK_OK) {
        for (size_t i = 0; i < batch->count; i++) {
            struct write_op *op = &batch->ops[i];
            if (op->old.offset == PLACE_LATER)
                op->old = batch->ops[op->old.segment_slot].place;
        }
        publish_request(store, &request);
    }
    epoch_exit(guard);
    return status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The record at `offset`, all of it below `limit`. */
static bool read_record(const struct segment *segment, uint64_t offset, uint64_t limit,
                        struct segment_record *record)
{
    if (offset >= limit || record_parse(slice_of(segment->map + offset, limit - offset),
                                        &record->shape, NULL) != BITCASK_OK)
        return false;
    record->bytes = segment->map + offset;
    return record_checksum_ok(record->bytes, record->shape.size, segment->salt, offset);
}

static bool is_seal(const struct segment_record *record, uint64_t offset)
{
    struct meta_seal seal;
    return (record->shape.flags & RECORD_META) != 0 &&
           meta_seal_decode(segment_record_value(record), &seal) == BITCASK_OK &&
           seal.length == offset;
}

/* Read what begins at `at` and has not been applied: a record, or a batch. Returns END if not all
 * of it is there. An empty batch is one of nothing new. */
static bitcask_status read_batch(struct store *store, const struct segment *segment, uint64_t at,
                                 uint64_t limit, struct batch *batch, bitcask_error *error)
{
    struct segment_record record;
    batch->count = 0;
    batch->end = at;
    do {
        if (!read_record(segment, batch->end, limit, &record) || is_seal(&record, batch->end))
            return BITCASK_END;
        bool news =
            !(record.shape.flags & RECORD_META) && record.shape.version > store->follow->version;
        if (news) {
            bitcask_status status = batch_add(store, batch, segment, batch->end, &record, error);
            if (status != BITCASK_OK)
                return status;
        }
        batch->end += record.shape.size;
    } while (record.shape.flags & RECORD_BATCH_MORE && !PLANTED(follow_half_batch));
    return BITCASK_OK;
}

/* Figures of a segment that has no exact ones yet. */
static void count_in(struct segment *segment, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct write_op *op = &batch->ops[i];
        atomic_fetch_add(&segment->records, 1);
        atomic_fetch_add(&segment->tombstones, op->kind == WRITE_DELETE);
        if (atomic_load(&segment->version_min) == 0)
            atomic_store(&segment->version_min, op->version);
        atomic_store(&segment->version_max, op->version);
    }
}

/* Apply the records of a segment up to `limit`, or to where they end. */
static bitcask_status read_segment(struct store *store, struct segment *segment, uint64_t limit,
                                   bitcask_error *error)
{
    struct follow *follow = store->follow;
    struct batch batch = {0};
    bitcask_status status = BITCASK_OK;
    while (status == BITCASK_OK && atomic_load(&segment->end) < limit) {
        status = read_batch(store, segment, atomic_load(&segment->end), limit, &batch, error);
        if (status != BITCASK_OK)
            break;
        atomic_store_explicit(&segment->readable, batch.end, memory_order_release);
        uint64_t last = batch.count > 0 ? batch.ops[batch.count - 1].version : 0;
        if (batch.count > 0)
            status = apply(store, &batch, error);
        if (status != BITCASK_OK)
            break;
        count_in(segment, &batch);
        follow->applied += batch.count;
        if (last > follow->version)
            follow->version = last;
        atomic_store(&segment->end, batch.end);
    }
    free(batch.ops);
    return status == BITCASK_END ? BITCASK_OK : status;
}

/* ---- One segment ----------------------------------------------------------------------------- */

/* It has been read to the end that the manifest names. */
static void finish(struct segment *segment, const struct manifest_segment *entry)
{
    segments_take_entry(segment, entry);
    if (entry->state == MANIFEST_SEALED)
        atomic_store(&segment->state, BITCASK_SEGMENT_SEALED);
}

/* Read one that the manifest vouches for: all of it must be there. */
static bitcask_status read_vouched(struct store *store, struct segment *segment,
                                   const struct manifest_segment *entry, bitcask_error *error)
{
    struct follow *follow = store->follow;
    uint64_t end = atomic_load(&segment->end);
    if (end < entry->length) {
        uint64_t there;
        bitcask_status status = follow_fetch(segment, entry->length, &there, error);
        if (status == BITCASK_OK)
            status = read_segment(store, segment, there, error);
        if (status != BITCASK_OK)
            return status;
        end = atomic_load(&segment->end);
    }
    if (end > entry->length && !PLANTED(follow_cut_unseen))
        follow->gap = "a part of the log that was read has been cut off";
    else if (end < entry->length)
        follow->gap = "a segment cannot be read to its end";
    else
        finish(segment, entry);
    return BITCASK_OK;
}

/* Does the log go on in `next` behind a segment whose last record has this version? */
static bool goes_on(const struct segment *segment, const struct segment *next, uint64_t version)
{
    struct segment_record record;
    uint64_t before, limit;
    return next != NULL && next->map != NULL &&
           follow_fetch(next, SEGMENT_HEADER_SIZE + OS_PAGE, &limit, NULL) == BITCASK_OK &&
           read_record(next, SEGMENT_HEADER_SIZE, limit, &record) &&
           (record.shape.flags & RECORD_META) != 0 &&
           meta_follows_decode(segment_record_value(&record), &before) == BITCASK_OK &&
           before <= segment->id && record.shape.version <= version;
}

/* Find where the records of a log segment of an unclean store end. True if that is where it ended
 * when the log went on in another one: its SEAL says so, or the FOLLOWS of the next. If neither
 * does, what is behind the part that was published may have been given up (engine/rescue.h). */
static bool find_end(const struct store *store, const struct segment *segment,
                     const struct segment *next, uint64_t limit, uint64_t *end)
{
    struct segment_record record;
    uint64_t version = store->follow->version;
    *end = atomic_load(&segment->end);
    for (; read_record(segment, *end, limit, &record); *end += record.shape.size) {
        if (is_seal(&record, *end))
            return true;
        if (!(record.shape.flags & RECORD_META) && record.shape.version > version)
            version = record.shape.version;
    }
    return goes_on(segment, next, version);
}

/* Read one that nobody vouches for, as far as is published. *whole: and that is all of it. */
static bitcask_status read_published(struct store *store, struct segment *segment,
                                     const struct segment *next, bool *whole, bitcask_error *error)
{
    struct follow *follow = store->follow;
    const struct log_position *position = &follow->position;
    *whole = false;
    if (!follow_is_published(follow, segment->id))
        return BITCASK_OK;
    bool last = follow->has_position && position->segment == segment->id;
    if (last && position->end > segment->map_size) {
        follow->gap = "a segment has grown beyond the room that it was given";
        return BITCASK_OK;
    }
    bool bounded = last && !PLANTED(follow_unpublished);
    uint64_t limit;
    bitcask_status status =
        follow_fetch(segment, bounded ? position->end : segment->map_size, &limit, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t end = limit;
    *whole = !last && find_end(store, segment, next, limit, &end);
    if (!last && !*whole && follow->has_position && !PLANTED(follow_unpublished))
        return BITCASK_OK; /* the manifest will say where it ends */
    return read_segment(store, segment, end, error);
}

/* ---- The log --------------------------------------------------------------------------------- */

/* The log segments of the table, ascending, pinned. */
static struct segment **pin_log(struct store *store, size_t *count)
{
    struct segment **all = segments_pin_all(&store->segments, count);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (all[i]->kind == SEGMENT_LOG)
            all[kept++] = all[i];
        else
            segment_unpin(all[i]);
    }
    *count = kept;
    return all;
}

static bool is_read(const struct segment *segment)
{
    uint32_t state = atomic_load(&segment->state);
    return state == BITCASK_SEGMENT_SEALED || state == BITCASK_SEGMENT_MISSING;
}

bitcask_status follow_log(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    size_t count;
    struct segment **log = pin_log(store, &count);
    if (log == NULL && store->segments.count > 0)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the segments");
    struct log_position at = {0, 0};
    bitcask_status status = BITCASK_OK;
    bool whole = true;
    for (size_t i = 0; i < count && status == BITCASK_OK && whole && follow->gap == NULL; i++) {
        struct segment *segment = log[i];
        const struct manifest_segment *entry = follow_entry(follow, segment->id);
        if (!is_read(segment) && entry != NULL) {
            if (follow_is_vouched(follow, entry))
                status = read_vouched(store, segment, entry, error);
            else
                status = read_published(store, segment, i + 1 < count ? log[i + 1] : NULL, &whole,
                                        error);
            epoch_poll(&store->epoch);
        }
        at = (struct log_position){segment->id, atomic_load(&segment->end)};
    }
    segments_unpin_all(log, count);
    if (follow->gap == NULL && at.segment != 0)
        atomic_store(&store->published.word, log_position_word(at));
    return status;
}

bool follow_is_level(struct store *store)
{
    const struct follow *follow = store->follow;
    const struct log_position *position = &follow->position;
    if (follow->gap != NULL)
        return false;
    if (!follow->has_position || position->segment == 0 || follow->manifest.clean)
        return true;
    const struct manifest_segment *entry = follow_entry(follow, position->segment);
    if (entry == NULL) { /* merged away, or made since the manifest was read: then the next one that
                            is read, behind the position, names it */
        bool merged = follow->told_before == position->segment || PLANTED(follow_behind);
        return merged && position->segment < follow->manifest.next_id;
    }
    const struct segment *segment = follow_segment(store, position->segment);
    return segment != NULL && (is_read(segment) || atomic_load(&segment->end) >= position->end);
}
