/* SPDX-License-Identifier: MIT
 * rescue.c: copy the suspect tail of the log away from a segment whose sync has failed. */
#include "engine/rescue.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/hint_file.h"
#include "engine/log_writer.h"
#include "engine/seal.h"

struct moved_record {
    uint64_t hash;
    struct keydir_place from, to;
    uint64_t size;
};

struct rescue {
    struct store *store;
    uint64_t unpublished_version;
    struct segment **suspects; /* pinned, by ascending id */
    size_t suspect_count;
    struct moved_record *moved;
    size_t moved_count, moved_capacity;
    uint64_t records;
};

/* The log segments from the failed one on that are not sealed. One without records that is not the
 * active one is the one prepared to be next. */
static bitcask_status find_suspects(struct rescue *rescue, const struct segment *failed)
{
    size_t count;
    struct segment **all = segments_pin_all(&rescue->store->segments, &count);
    if (all == NULL)
        return BITCASK_NO_MEMORY;
    rescue->suspects = all;
    for (size_t i = 0; i < count; i++) {
        struct segment *segment = all[i];
        uint32_t state = atomic_load(&segment->state);
        bool used = atomic_load(&segment->end) > SEGMENT_HEADER_SIZE ||
                    segment == atomic_load(&rescue->store->writer.active);
        bool suspect = segment->kind == SEGMENT_LOG && segment->id >= failed->id && used &&
                       (state == BITCASK_SEGMENT_ACTIVE || state == BITCASK_SEGMENT_SEALING);
        if (suspect)
            all[rescue->suspect_count++] = segment;
        else
            segment_unpin(segment);
    }
    return BITCASK_OK;
}

static bool note_moved(struct rescue *rescue, const struct moved_record *moved)
{
    if (rescue->moved_count == rescue->moved_capacity) {
        size_t capacity = rescue->moved_capacity * 2 + 256;
        struct moved_record *grown = realloc(rescue->moved, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        rescue->moved = grown;
        rescue->moved_capacity = capacity;
    }
    rescue->moved[rescue->moved_count++] = *moved;
    return true;
}

/* Append one record as it is, of a batch for which there is room. Those that the index has left are
 * copied too: without them, a part of a batch or an older value would show if a crash left only the
 * first of the copies. */
static bitcask_status copy_record(struct rescue *rescue, const struct segment_record *old,
                                  struct keydir_place from)
{
    struct store *store = rescue->store;
    slice key = segment_record_key(old);
    struct moved_record moved = {hash_key(&store->secret, key), from, {0, 0}, old->shape.size};
    struct record record = {
        .version = old->shape.version,
        .expires_us = old->shape.expires_us,
        .flags = old->shape.flags,
        .key = key,
        .value = segment_record_value(old),
    };
    bitcask_status status = log_append(store, &record, true, &moved.to, NULL);
    if (status == BITCASK_OK && keydir_has(store->keydir, moved.hash, from) &&
        !note_moved(rescue, &moved))
        status = BITCASK_NO_MEMORY;
    rescue->records++;
    return status;
}

/* A record, or all of a batch, from `at` to `end`. */
struct whole {
    uint64_t at, end;
    uint32_t records;
    bool unpublished;
};

/* Measure what begins at whole->at. */
static bitcask_status find_whole(const struct rescue *rescue, const struct segment *segment,
                                 struct whole *whole)
{
    struct segment_record record;
    whole->end = whole->at;
    whole->records = 0;
    do {
        if (segment_read(segment, whole->end, &record, NULL) != BITCASK_OK)
            return BITCASK_CORRUPT;
        whole->end += record.shape.size;
        whole->records++;
    } while (record.shape.flags & RECORD_BATCH_MORE);
    whole->unpublished = record.shape.version >= rescue->unpublished_version;
    return BITCASK_OK;
}

static bitcask_status copy_whole(struct rescue *rescue, struct segment *segment,
                                 const struct whole *whole)
{
    struct segment_record record;
    bitcask_status status =
        log_make_room(rescue->store, whole->end - whole->at, whole->records, true, false, NULL);
    for (uint64_t at = whole->at; at < whole->end && status == BITCASK_OK;
         at += record.shape.size) {
        if (segment_read(segment, at, &record, NULL) != BITCASK_OK)
            return BITCASK_CORRUPT;
        struct keydir_place from = {segment->slot, (uint32_t)at};
        if (!(record.shape.flags & RECORD_META))
            status = copy_record(rescue, &record, from);
    }
    return status;
}

static bitcask_status copy_tail(struct rescue *rescue, struct segment *segment)
{
    uint64_t end = atomic_load(&segment->end);
    for (struct whole whole = {.at = atomic_load(&segment->synced)}; whole.at < end;
         whole.at = whole.end) {
        bitcask_status status = find_whole(rescue, segment, &whole);
        if (status == BITCASK_OK && !whole.unpublished)
            status = copy_whole(rescue, segment, &whole);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

/* A fresh segment to go on in, and the suspect tails copied there, durably. */
static bitcask_status copy_all(struct rescue *rescue)
{
    struct store *store = rescue->store;
    bitcask_status status = log_switch(store, NULL);
    for (size_t i = 0; i < rescue->suspect_count && status == BITCASK_OK; i++)
        status = copy_tail(rescue, rescue->suspects[i]);
    if (status == BITCASK_OK)
        status = log_spill(store, 0, NULL);
    uint64_t last = rescue->suspects[rescue->suspect_count - 1]->id;
    if (status == BITCASK_OK && !PLANTED(rescue_unsynced))
        status = log_sync_after(store, last, NULL);
    return status;
}

/* The suspects end where they are known to be durable, and the manifest says so. */
static bitcask_status end_suspects(struct rescue *rescue)
{
    struct store *store = rescue->store;
    for (size_t i = 0; i < rescue->suspect_count; i++) {
        struct segment *segment = rescue->suspects[i];
        struct hint_file hint;
        struct segment_figures figures;
        bitcask_status status = hint_file_build(
            segment, &store->secret, atomic_load(&segment->synced), &hint, &figures, NULL);
        if (status != BITCASK_OK)
            return status;
        segment_set_figures(segment, &figures);
        hint_file_write(segment, &hint, NULL); /* a cache */
        hint_file_close(store->os, &hint);
        atomic_store(&segment->end, atomic_load(&segment->synced));
        segment->tail_left = true;
        seal_finish(store, segment);
    }
    return store_save_manifest(store, false, NULL);
}

static void move_entries(struct rescue *rescue)
{
    struct store *store = rescue->store;
    for (size_t i = 0; i < rescue->moved_count; i++) {
        const struct moved_record *moved = &rescue->moved[i];
        bool replaced = keydir_replace(store->keydir, moved->hash, moved->from, moved->to);
        CHECK(replaced); /* we are the writer, and no merge takes an unsealed segment */
        segment_drop_live(segments_at(&store->segments, moved->from.segment_slot), 1, moved->size);
        segment_add_live(segments_at(&store->segments, moved->to.segment_slot), 1, moved->size);
    }
}

static void make_suspect(struct segment *segment)
{
    if (!PLANTED(suspect_served))
        atomic_store(&segment->suspect, atomic_load(&segment->synced));
}

static void give_up(struct rescue *rescue, struct segment *failed)
{
    make_suspect(failed); /* even if there was no memory to find the others */
    for (size_t i = 0; i < rescue->suspect_count; i++)
        make_suspect(rescue->suspects[i]);
    store_poison(rescue->store, BITCASK_UNKNOWN,
                 "a sync of the log failed and its tail could not be saved elsewhere; reopen");
}

bitcask_status rescue_log(struct store *store, struct segment *failed, uint64_t unpublished_version,
                          bitcask_error *error)
{
    struct rescue rescue = {.store = store, .unpublished_version = unpublished_version};
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = find_suspects(&rescue, failed);
    if (status == BITCASK_OK)
        status = store_writable(store, error);
    if (status == BITCASK_OK && rescue.suspect_count > 0)
        status = copy_all(&rescue);
    if (status == BITCASK_OK && rescue.suspect_count > 0)
        status = end_suspects(&rescue);
    if (status == BITCASK_OK)
        move_entries(&rescue);
    else
        give_up(&rescue, failed);
    epoch_exit(guard);
    EVENT(&store->events, BITCASK_LOG_ERROR, status == BITCASK_OK ? "rescued" : "rescue_failed",
          F_UINT("segment", failed->id), F_UINT("records", rescue.records));
    segments_unpin_all(rescue.suspects, rescue.suspect_count);
    free(rescue.moved);
    if (status != BITCASK_OK)
        error_set(error, status, "save the tail of segment %llu", (unsigned long long)failed->id);
    return status;
}

/* ---- What is left behind -----------------------------------------------------------------------
 */

void rescue_cut_tails(struct store *store)
{
    size_t count;
    struct segment **all = segments_pin_all(&store->segments, &count);
    for (size_t i = 0; i < count; i++)
        if (all[i]->tail_left && !PLANTED(failed_tail_left))
            segments_cut_file(all[i], atomic_load(&all[i]->end));
    segments_unpin_all(all, count);
}
