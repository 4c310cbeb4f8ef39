/* SPDX-License-Identifier: MIT
 * merge_walk.c: what of a merge job's inputs stays, goes, or is buried. */
#include "engine/merge_walk.h"

#include <stdlib.h>

#include "base/planted.h"
#include "engine/hint_file.h"
#include "engine/read_ahead.h"

enum {
    PROGRESS_BYTES = 1 << 20,
    PROGRESS_RECORDS = 4096,
    LOOK_AHEAD = 16, /* records whose index entries are fetched before they are needed */
};

/* ---- Judging and copying ------------------------------------------------------------------- */

/* Does the index have exactly this place for the hash? */
static bool is_live(struct store *store, uint64_t hash, struct keydir_place place)
{
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bool live = keydir_has(store->keydir, hash, place);
    epoch_exit(guard);
    return live;
}

static bitcask_status note_move(struct merge_walk *walk, uint64_t hash, struct keydir_place from,
                                struct keydir_place to, uint64_t size, bitcask_error *error)
{
    if (walk->move_count == walk->move_capacity) {
        size_t capacity = walk->move_capacity * 2 + 1024;
        struct merge_move *moves = realloc(walk->moves, capacity * sizeof *moves);
        if (moves == NULL)
            return error_set(error, BITCASK_NO_MEMORY, "out of memory for merging %zu records",
                             walk->move_count);
        walk->moves = moves;
        walk->move_capacity = capacity;
    }
    walk->moves[walk->move_count++] = (struct merge_move){
        .hash = hash,
        .from_offset = from.offset,
        .to_offset = to.offset,
        .size = (uint32_t)size,
        .from_slot = (uint16_t)from.segment_slot,
        .to_slot = (uint16_t)to.segment_slot,
    };
    return BITCASK_OK;
}

/* Keep or drop a tombstone, or an expired record in its stead. */
static bitcask_status treat_tombstone(struct merge_walk *walk, uint64_t hash, slice key,
                                      uint64_t version, bitcask_error *error)
{
    struct merge_tally *tally = &walk->job->tally;
    if (!merge_judge_keeps(walk->job->judge, hash, key, version)) {
        tally->tombstones_dropped++;
        return BITCASK_OK;
    }
    tally->tombstones_kept++;
    struct record record = {
        .version = version,
        .flags = RECORD_TOMBSTONE,
        .key = key,
    };
    struct keydir_place place;
    return merge_output_add(walk->output, &record, &place, error);
}

static bitcask_status copy_record(struct merge_walk *walk, uint64_t hash, struct keydir_place from,
                                  const struct segment_record *in, bitcask_error *error)
{
    struct record record = {
        .version = in->shape.version,
        .expires_us = in->shape.expires_us,
        .flags = in->shape.flags & ~(PLANTED(batch_flag_copied) ? 0 : (uint32_t)RECORD_BATCH_MORE),
        .key = segment_record_key(in),
        .value = segment_record_value(in),
    };
    struct keydir_place to;
    bitcask_status status = merge_output_add(walk->output, &record, &to, error);
    if (status != BITCASK_OK)
        return status;
    walk->job->tally.records_copied++;
    return note_move(walk, hash, from, to, in->shape.size, error);
}

/* A record of an input that has passed its checksum. */
struct checked {
    uint64_t hash;
    struct keydir_place place;
    struct segment_record record;
};

static bitcask_status treat_record(struct merge_walk *walk, const struct checked *checked,
                                   bitcask_error *error)
{
    const struct segment_record *in = &checked->record;
    const struct record_shape *shape = &in->shape;
    const struct keydir_place place = checked->place;
    const uint64_t hash = checked->hash;
    if (shape->flags & RECORD_META)
        return BITCASK_OK;
    if (shape->flags & RECORD_TOMBSTONE)
        return treat_tombstone(walk, hash, segment_record_key(in), shape->version, error);
    if (!is_live(walk->store, hash, place)) {
        walk->job->tally.records_dropped++;
        return BITCASK_OK;
    }
    if (!record_is_gone(shape->flags, shape->expires_us, walk->reap_before))
        return copy_record(walk, hash, place, in, error);
    walk->job->tally.records_dropped++;
    bitcask_status status =
        note_move(walk, hash, place, (struct keydir_place){0, 0}, shape->size, error);
    if (status != BITCASK_OK || PLANTED(expired_dropped))
        return status;
    return treat_tombstone(walk, hash, segment_record_key(in), shape->version, error);
}

static bitcask_status mark_damaged(struct merge_walk *walk, struct segment *input, uint64_t offset,
                                   const char *why, bitcask_error *error)
{
    struct store *store = walk->store;
    atomic_store(&input->damaged, 1);
    atomic_fetch_add(&store->counters.corrupt_records, 1);
    EVENT(&store->events, BITCASK_LOG_ERROR, "damaged", F_UINT("segment", input->id),
          F_UINT("offset", offset), F_TEXT("why", why));
    walk->job->damaged = input;
    error_set(error, BITCASK_CORRUPT, "segment %llu: record at %llu: %s",
              (unsigned long long)input->id, (unsigned long long)offset, why);
    error_at(error, input->id, offset);
    return BITCASK_CORRUPT;
}

static bitcask_status tick(struct merge_walk *walk, uint64_t bytes)
{
    struct merge_job *job = walk->job;
    walk->done_bytes += bytes;
    walk->tick_bytes += bytes;
    if (++walk->tick_records < PROGRESS_RECORDS && walk->tick_bytes < PROGRESS_BYTES)
        return BITCASK_OK;
    walk->tick_records = 0;
    walk->tick_bytes = 0;
    uint64_t written = walk->output->written_bytes + (walk->output->open ? walk->output->end : 0);
    if (job->progress != NULL && job->progress(job->context, walk->done_bytes, written) != 0)
        return BITCASK_CANCELLED;
    return BITCASK_OK;
}

/* Check the next records, at most LOOK_AHEAD, and fetch what the index has of them. Returns how
 * many are good; *why is set if the one behind them is not. */
static size_t look_ahead(struct merge_walk *walk, const struct segment *input, uint64_t at,
                         uint64_t end, struct checked *records, const char **why)
{
    struct store *store = walk->store;
    struct epoch_guard guard = epoch_enter(&store->epoch);
    size_t count = 0;
    while (count < LOOK_AHEAD && at < end) {
        struct checked *next = &records[count];
        if (segment_read(input, at, &next->record, PLANTED(merge_unchecked) ? NULL : why) !=
                BITCASK_OK &&
            !PLANTED(merge_unchecked)) {
            *why = *why != NULL ? *why : "no record there";
            break;
        }
        if (next->record.shape.size > end - at) {
            *why = "runs past the segment's end";
            break;
        }
        next->place = (struct keydir_place){input->slot, (uint32_t)at};
        next->hash = hash_key(&store->secret, segment_record_key(&next->record));
        keydir_prefetch(store->keydir, next->hash);
        at += next->record.shape.size;
        count++;
    }
    epoch_exit(guard);
    return count;
}

static bitcask_status walk_records(struct merge_walk *walk, struct segment *input,
                                   bitcask_error *error)
{
    uint64_t end = atomic_load(&input->end);
    uint64_t at = SEGMENT_HEADER_SIZE;
    bitcask_status status = BITCASK_OK;
    while (at < end && status == BITCASK_OK) {
        struct checked records[LOOK_AHEAD];
        const char *why = NULL;
        size_t count = look_ahead(walk, input, at, end, records, &why);
        for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
            status = treat_record(walk, &records[i], error);
            if (status == BITCASK_OK)
                status = tick(walk, records[i].record.shape.size);
            at += records[i].record.shape.size;
        }
        if (status == BITCASK_OK && why != NULL)
            status = mark_damaged(walk, input, at, why, error);
    }
    return status;
}

/* ---- Burying ------------------------------------------------------------------------------- */

/* The input's hint, from disk or made anew, every page of it checked. */
static bitcask_status whole_hint(struct merge_walk *walk, struct segment *input,
                                 struct hint_file *hint, bitcask_error *error)
{
    uint64_t end = atomic_load(&input->end);
    if (atomic_load(&input->has_hint) != 0 &&
        hint_file_open(input, end, true, true, hint, NULL) == BITCASK_OK) {
        if (hint->hint.header.length == end)
            return BITCASK_OK;
        hint_file_close(input->os, hint);
    }
    struct segment_figures figures;
    bitcask_error fault = {0};
    bitcask_status status =
        hint_file_build(input, &walk->store->secret, end, hint, &figures, &fault);
    if (status == BITCASK_CORRUPT)
        return mark_damaged(walk, input, fault.offset, "no good record", error);
    if (status != BITCASK_OK && error != NULL)
        *error = fault;
    return status;
}

/* Are the records of the input that expire to go? */
static bool buries_expiring(const struct merge_walk *walk, struct segment *input)
{
    pthread_mutex_lock(&input->table->mutex); /* guards figures */
    uint64_t last_us = input->figures.expires_max;
    pthread_mutex_unlock(&input->table->mutex);
    return walk->job->bury == MERGE_BURY_EXPIRING ||
           (walk->job->bury == MERGE_BURY_EXPIRED &&
            (last_us <= walk->reap_before || PLANTED(buried_early)));
}

/* A live record that stays. */
static bitcask_status keep_record(struct merge_walk *walk, struct segment *input,
                                  const struct hint_entry *entry, bitcask_error *error)
{
    struct segment_record record;
    const char *why = NULL;
    if (segment_read(input, entry->offset, &record, &why) != BITCASK_OK)
        return mark_damaged(walk, input, entry->offset, why, error);
    struct keydir_place place = {input->slot, entry->offset};
    return copy_record(walk, entry->hash, place, &record, error);
}

static bitcask_status bury_entry(struct merge_walk *walk, struct segment *input, bool expiring,
                                 const struct hint_entry *entry, slice key, bitcask_error *error)
{
    struct merge_tally *tally = &walk->job->tally;
    struct keydir_place place = {input->slot, entry->offset};
    if (entry->flags & RECORD_TOMBSTONE)
        return treat_tombstone(walk, entry->hash, key, entry->version, error);
    if (!is_live(walk->store, entry->hash, place)) {
        tally->records_dropped++;
        return BITCASK_OK;
    }
    bool buried =
        walk->job->bury == MERGE_BURY_ALL || (expiring && (entry->flags & RECORD_EXPIRES) != 0);
    if (!buried)
        return keep_record(walk, input, entry, error);
    uint64_t size = record_size(entry->flags, entry->key_size, entry->value_size);
    tally->records_dropped++;
    tally->records_buried++;
    tally->buried_bytes += size;
    bitcask_status status =
        PLANTED(buried_indexed)
            ? BITCASK_OK
            : note_move(walk, entry->hash, place, (struct keydir_place){0, 0}, size, error);
    if (status == BITCASK_OK && !PLANTED(buried_bare))
        status = treat_tombstone(walk, entry->hash, key, entry->version, error);
    return status;
}

/* Go through the hint of an input in place of its records. A key's older records in the same
 * segment have no entry, and need none: they go with it. */
static bitcask_status walk_hint(struct merge_walk *walk, struct segment *input,
                                bitcask_error *error)
{
    struct hint_file file;
    bitcask_status status = whole_hint(walk, input, &file, error);
    if (status != BITCASK_OK)
        return status;
    const struct hint *hint = &file.hint;
    const uint8_t *key = hint->keys;
    bool expiring = buries_expiring(walk, input);
    for (uint64_t i = 0; i < hint->header.entries && status == BITCASK_OK; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        status = bury_entry(walk, input, expiring, &entry, slice_of(key, entry.key_size), error);
        if (status == BITCASK_OK)
            status = tick(walk, record_size(entry.flags, entry.key_size, entry.value_size));
        key += entry.key_size;
    }
    hint_file_close(input->os, &file);
    return status;
}

/* ---- All inputs ---------------------------------------------------------------------------- */

static int compare_offsets(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* Where the moves from `first` on lie, ascending; malloc'd, or NULL. */
static uint32_t *offsets_of_moves(const struct merge_walk *walk, size_t first)
{
    size_t count = walk->move_count - first;
    uint32_t *offsets = malloc((count + 1) * sizeof *offsets);
    if (offsets == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        offsets[i] = walk->moves[first + i].from_offset;
    qsort(offsets, count, sizeof *offsets, compare_offsets);
    return offsets;
}

/* Index entries in an input beside those of the live records found, the moves from `first` on, are
 * of no record's key: a hint with good checksums has told of them. They cannot move, and the input
 * must not go. Writers take an entry out before they count it off, so only a look at the whole
 * index can tell; it is taken when the count is too high. */
static bitcask_status check_all_found(struct merge_walk *walk, struct segment *input, size_t first,
                                      bitcask_error *error)
{
    size_t count = walk->move_count - first;
    if (atomic_load(&input->live_records) <= count)
        return BITCASK_OK;
    struct keydir *keydir = walk->store->keydir;
    struct keydir_places places = {0};
    uint32_t *offsets = offsets_of_moves(walk, first);
    bitcask_status status = offsets != NULL ? BITCASK_OK : BITCASK_NO_MEMORY;
    uint64_t cursor = 0;
    size_t entries = 0;
    while (status == BITCASK_OK && cursor != UINT64_MAX) {
        struct epoch_guard guard = epoch_enter(&walk->store->epoch);
        status = keydir_scan(keydir, cursor, &places, &cursor);
        epoch_exit(guard);
        for (size_t i = 0; i < places.count && status == BITCASK_OK; i++) {
            const struct keydir_place *place = &places.items[i];
            if (place->segment_slot != input->slot)
                continue;
            bool found =
                bsearch(&place->offset, offsets, count, sizeof *offsets, compare_offsets) != NULL;
            if (!found || ++entries > count)
                status = mark_damaged(walk, input, place->offset,
                                      "the index has an entry of no record here", error);
        }
    }
    free(places.items);
    free(offsets);
    if (status == BITCASK_NO_MEMORY)
        error_set(error, status, "out of memory for a merge");
    return status;
}

bitcask_status merge_walk_inputs(struct merge_walk *walk, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < walk->job->input_count && status == BITCASK_OK; i++) {
        struct segment *input = walk->job->inputs[i];
        struct os *os = input->os;
        void *map = (void *)(uintptr_t)input->map;
        size_t size = (size_t)atomic_load(&input->readable);
        if (walk->job->bury == MERGE_COPY)
            os->advise(os, map, size, OS_ADVISE_SEQUENTIAL);
        size_t first = walk->move_count;
        status = walk->job->bury == MERGE_COPY ? walk_records(walk, input, error)
                                               : walk_hint(walk, input, error);
        if (status == BITCASK_OK)
            status = check_all_found(walk, input, first, error);
        if (status != BITCASK_OK) /* it lives on */
            read_ahead_resume(input);
        walk->job->tally.input_bytes += atomic_load(&input->end);
    }
    return status;
}
