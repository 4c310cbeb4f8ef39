/* SPDX-License-Identifier: MIT
 * publish.c: make what has been appended visible to readers. */
#include "engine/publish.h"

#include "base/check.h"
#include "base/planted.h"
#include "engine/reader.h"

enum { AHEAD = 16 }; /* operations of a batch whose index entries are asked for */

/* ---- Old places that are to be kept ---------------------------------------------------------- */

static bool is_batch(uint32_t writes)
{
    return writes > 1;
}

/* An old place that the same request has written is nobody's to see. */
static bool keeps_old(const struct store *store, const struct write_op *op, uint32_t writes)
{
    if (op->old.offset == 0 || op->old.offset == PLACE_LATER || (op->record_flags & RECORD_META))
        return false;
    return is_batch(writes) || undo_is_wanted(&store->undo, op->old_version);
}

bitcask_status publish_reserve(struct store *store, struct write_request *request, uint32_t writes)
{
    size_t count = 0;
    CHECK(request->undo == NULL);
    for (size_t i = 0; i < request->op_count; i++) {
        struct write_op *op = &request->ops[i];
        op->keep_old = keeps_old(store, op, writes);
        count += op->keep_old;
    }
    if (LIKELY(count == 0))
        return BITCASK_OK;
    return undo_reserve(&store->undo, count, &request->undo, request->error);
}

void publish_unreserve(struct store *store, struct write_request *request)
{
    undo_unreserve(&store->undo, request->undo);
    request->undo = NULL;
}

/* The entries say what was, before it is no more. A version that cannot be is damage: let everybody
 * meet it. */
static void keep_old_places(struct store *store, const struct write_request *request)
{
    struct undo_entry *entry = request->undo;
    for (size_t i = 0; i < request->op_count; i++) {
        const struct write_op *op = &request->ops[i];
        if (!op->keep_old)
            continue;
        entry->hash = op->hash;
        entry->place = op->old;
        entry->version = op->old_version < op->version ? op->old_version : 0;
        entry->until = op->version;
        entry = entry->sibling;
    }
    CHECK(entry == NULL);
    undo_insert(&store->undo, request->undo);
}

/* ---- One change ------------------------------------------------------------------------------ */

/* The record at `place` is no longer the key's: count it dead. */
static void count_dead(struct store *store, struct keydir_place place, uint64_t size)
{
    segment_drop_live(segments_at(&store->segments, place.segment_slot), 1, size);
}

/* Where the index points for this key now: a merge has moved it since it was evaluated. False if
 * the moved record has become unreadable meanwhile. */
static bool find_again(struct store *store, struct write_op *op)
{
    struct reader_hit hit;
    if (reader_find(store, op->hash, op->key, false, &hit) != BITCASK_OK)
        return false;
    op->old = hit.place;
    return true;
}

/* The entry to replace cannot be told any more: add one, which look-ups will find beside it. */
static void publish_beside(struct store *store, const struct write_op *op)
{
    if (keydir_reserve(store->keydir, op->hash, NULL) == BITCASK_OK)
        keydir_insert(store->keydir, op->hash, op->place);
    else
        store_poison(store, BITCASK_NO_MEMORY, "out of memory for the index; reopen the store");
}

void publish_change(struct store *store, struct write_op *op)
{
    struct keydir *keydir = store->keydir;
    bool removes = op->kind == WRITE_DELETE;
    while (op->old.offset != 0) {
        bool changed = removes ? keydir_remove(keydir, op->hash, op->old)
                               : keydir_replace(keydir, op->hash, op->old, op->place);
        if (changed) {
            if (!PLANTED(dead_not_counted))
                count_dead(store, op->old, op->old_size);
            return;
        }
        if (PLANTED(lost_race))
            return;
        if (!find_again(store, op)) {
            if (!removes)
                publish_beside(store, op);
            return;
        }
    }
}

static void publish(struct store *store, struct write_op *op)
{
    struct keydir *keydir = store->keydir;
    uint64_t size = record_size(op->record_flags, op->key.size, op->value.size);
    if (op->kind != WRITE_DELETE) {
        segment_add_live_appended(segments_at(&store->segments, op->place.segment_slot), size);
        if (PLANTED(reserved_late) && op->old.offset == 0)
            op->reserved = keydir_reserve(keydir, op->hash, NULL) == BITCASK_OK;
        if (op->reserved) {
            keydir_insert(keydir, op->hash, op->place);
            op->reserved = false;
            return;
        }
    }
    publish_change(store, op);
}

/* ---- A request ------------------------------------------------------------------------------- */

static void count_write(struct store *store, const struct write_op *op)
{
    _Atomic uint64_t *counter =
        op->kind == WRITE_DELETE ? &store->counters.deletes : &store->counters.puts;
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* The first version of the request's records if it is a batch, else 0. */
static uint64_t first_of_batch(const struct write_request *request)
{
    uint64_t first = 0;
    uint32_t writes = 0;
    for (size_t i = 0; i < request->op_count && !is_batch(writes); i++) {
        if (request->ops[i].place.offset == 0)
            continue;
        if (writes++ == 0)
            first = request->ops[i].version;
    }
    return is_batch(writes) ? first : 0;
}

void publish_request(struct store *store, struct write_request *request)
{
    struct undo_entry *undo = request->undo;
    uint64_t batch = request->op_count > 1 ? first_of_batch(request) : 0;
    if (batch != 0 && !PLANTED(half_batch_shows))
        undo_begin_batch(&store->undo, batch);
    if (undo != NULL && !PLANTED(undone_late))
        keep_old_places(store, request);
    for (size_t i = 0; i < request->op_count; i++) {
        struct write_op *op = &request->ops[i];
        /* Evaluated a batch ago: the caches may have it yet, the processor's page table has not. */
        if (i + AHEAD < request->op_count)
            keydir_prefetch_change(store->keydir, request->ops[i + AHEAD].hash);
        if (op->place.offset == 0)
            continue;
        publish(store, op);
        count_write(store, op);
    }
    if (undo != NULL && PLANTED(undone_late))
        keep_old_places(store, request);
    if (batch != 0 && !PLANTED(half_batch_shows))
        undo_end_batch(&store->undo);
    request->undo = NULL;
    if (undo != NULL)
        undo_settle(&store->undo, undo);
}
