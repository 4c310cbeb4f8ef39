/* SPDX-License-Identifier: MIT
 * merge_job.c: one merge job. */
#include "engine/merge_job.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/hint_file.h"
#include "engine/log_writer.h"
#include "engine/reap_clock.h"
#include "format/names.h"

enum {
    PROGRESS_BYTES = 1 << 20,
    PROGRESS_RECORDS = 4096,
    WRITER_BATCH = 256, /* index entries removed under one hold of write_mutex */
    LOOK_AHEAD = 16,    /* records whose index entries are fetched before they are needed */
};

/* An index entry to be moved to an output or, with to_slot 0, removed, when the manifest names the
 * outputs. Slots have 14 bits. */
struct merge_move {
    uint64_t hash;
    uint32_t from_offset, to_offset;
    uint32_t size; /* of the record, in either place */
    uint16_t from_slot, to_slot;
};
_Static_assert(sizeof(struct merge_move) == 24, "as merge_job.h promises");
_Static_assert(BITCASK_MAX_SEGMENTS <= UINT16_MAX, "a slot fits");

/* What a running job keeps. */
struct job_state {
    struct merge_job *job;
    struct store *store;
    struct merge_output output;
    uint64_t *input_ids;
    struct merge_move *moves;
    size_t move_count, move_capacity;
    uint64_t reap_before; /* wall time; what expired at or before it may go. 0: nothing may */
    uint64_t done_bytes;
    uint64_t tick_bytes, tick_records; /* since the last call of progress */
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

static bitcask_status note_move(struct job_state *state, uint64_t hash, struct keydir_place from,
                                struct keydir_place to, uint64_t size, bitcask_error *error)
{
    if (state->move_count == state->move_capacity) {
        size_t capacity = state->move_capacity * 2 + 1024;
        struct merge_move *moves = realloc(state->moves, capacity * sizeof *moves);
        if (moves == NULL)
            return error_set(error, BITCASK_NO_MEMORY, "out of memory for merging %zu records",
                             state->move_count);
        state->moves = moves;
        state->move_capacity = capacity;
    }
    state->moves[state->move_count++] = (struct merge_move){
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
static bitcask_status treat_tombstone(struct job_state *state, uint64_t hash, slice key,
                                      uint64_t version, bitcask_error *error)
{
    struct merge_tally *tally = &state->job->tally;
    if (!merge_judge_keeps(state->job->judge, hash, key, version)) {
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
    return merge_output_add(&state->output, &record, &place, error);
}

static bitcask_status copy_record(struct job_state *state, uint64_t hash, struct keydir_place from,
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
    bitcask_status status = merge_output_add(&state->output, &record, &to, error);
    if (status != BITCASK_OK)
        return status;
    state->job->tally.records_copied++;
    return note_move(state, hash, from, to, in->shape.size, error);
}

/* A record of an input that has passed its checksum. */
struct checked {
    uint64_t hash;
    struct keydir_place place;
    struct segment_record record;
};

static bitcask_status treat_record(struct job_state *state, const struct checked *checked,
                                   bitcask_error *error)
{
    const struct segment_record *in = &checked->record;
    const struct record_shape *shape = &in->shape;
    const struct keydir_place place = checked->place;
    const uint64_t hash = checked->hash;
    if (shape->flags & RECORD_META)
        return BITCASK_OK;
    if (shape->flags & RECORD_TOMBSTONE)
        return treat_tombstone(state, hash, segment_record_key(in), shape->version, error);
    if (!is_live(state->store, hash, place)) {
        state->job->tally.records_dropped++;
        return BITCASK_OK;
    }
    if (!record_is_gone(shape->flags, shape->expires_us, state->reap_before))
        return copy_record(state, hash, place, in, error);
    state->job->tally.records_dropped++;
    bitcask_status status =
        note_move(state, hash, place, (struct keydir_place){0, 0}, shape->size, error);
    if (status != BITCASK_OK || PLANTED(expired_dropped))
        return status;
    return treat_tombstone(state, hash, segment_record_key(in), shape->version, error);
}

static bitcask_status mark_damaged(struct job_state *state, struct segment *input, uint64_t offset,
                                   const char *why, bitcask_error *error)
{
    struct store *store = state->store;
    atomic_store(&input->damaged, 1);
    atomic_fetch_add(&store->counters.corrupt_records, 1);
    EVENT(&store->events, BITCASK_LOG_ERROR, "damaged", F_UINT("segment", input->id),
          F_UINT("offset", offset), F_TEXT("why", why));
    state->job->damaged = input;
    error_set(error, BITCASK_CORRUPT, "segment %llu: record at %llu: %s",
              (unsigned long long)input->id, (unsigned long long)offset, why);
    error_at(error, input->id, offset);
    return BITCASK_CORRUPT;
}

static bitcask_status tick(struct job_state *state, uint64_t bytes)
{
    struct merge_job *job = state->job;
    state->done_bytes += bytes;
    state->tick_bytes += bytes;
    if (++state->tick_records < PROGRESS_RECORDS && state->tick_bytes < PROGRESS_BYTES)
        return BITCASK_OK;
    state->tick_records = 0;
    state->tick_bytes = 0;
    uint64_t written = state->output.written_bytes + (state->output.open ? state->output.end : 0);
    if (job->progress != NULL && job->progress(job->context, state->done_bytes, written) != 0)
        return BITCASK_CANCELLED;
    return BITCASK_OK;
}

/* Check the next records, at most LOOK_AHEAD, and fetch what the index has of them. Returns how
 * many are good; *why is set if the one behind them is not. */
static size_t look_ahead(struct job_state *state, const struct segment *input, uint64_t at,
                         uint64_t end, struct checked *records, const char **why)
{
    struct store *store = state->store;
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

static bitcask_status walk_records(struct job_state *state, struct segment *input,
                                   bitcask_error *error)
{
    uint64_t end = atomic_load(&input->end);
    uint64_t at = SEGMENT_HEADER_SIZE;
    bitcask_status status = BITCASK_OK;
    while (at < end && status == BITCASK_OK) {
        struct checked records[LOOK_AHEAD];
        const char *why = NULL;
        size_t count = look_ahead(state, input, at, end, records, &why);
        for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
            status = treat_record(state, &records[i], error);
            if (status == BITCASK_OK)
                status = tick(state, records[i].record.shape.size);
            at += records[i].record.shape.size;
        }
        if (status == BITCASK_OK && why != NULL)
            status = mark_damaged(state, input, at, why, error);
    }
    return status;
}

/* ---- Burying ------------------------------------------------------------------------------- */

/* The input's hint, from disk or made anew, every page of it checked. */
static bitcask_status whole_hint(struct job_state *state, struct segment *input,
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
        hint_file_build(input, &state->store->secret, end, hint, &figures, &fault);
    if (status == BITCASK_CORRUPT)
        return mark_damaged(state, input, fault.offset, "no good record", error);
    if (status != BITCASK_OK && error != NULL)
        *error = fault;
    return status;
}

/* Are the records of the input that expire to go? */
static bool buries_expiring(const struct job_state *state, struct segment *input)
{
    pthread_mutex_lock(&input->table->mutex); /* guards figures */
    uint64_t last_us = input->figures.expires_max;
    pthread_mutex_unlock(&input->table->mutex);
    return state->job->bury == MERGE_BURY_EXPIRING ||
           (state->job->bury == MERGE_BURY_EXPIRED &&
            (last_us <= state->reap_before || PLANTED(buried_early)));
}

/* A live record that stays. */
static bitcask_status keep_record(struct job_state *state, struct segment *input,
                                  const struct hint_entry *entry, bitcask_error *error)
{
    struct segment_record record;
    const char *why = NULL;
    if (segment_read(input, entry->offset, &record, &why) != BITCASK_OK)
        return mark_damaged(state, input, entry->offset, why, error);
    struct keydir_place place = {input->slot, entry->offset};
    return copy_record(state, entry->hash, place, &record, error);
}

static bitcask_status bury_entry(struct job_state *state, struct segment *input, bool expiring,
                                 const struct hint_entry *entry, slice key, bitcask_error *error)
{
    struct merge_tally *tally = &state->job->tally;
    struct keydir_place place = {input->slot, entry->offset};
    if (entry->flags & RECORD_TOMBSTONE)
        return treat_tombstone(state, entry->hash, key, entry->version, error);
    if (!is_live(state->store, entry->hash, place)) {
        tally->records_dropped++;
        return BITCASK_OK;
    }
    bool buried =
        state->job->bury == MERGE_BURY_ALL || (expiring && (entry->flags & RECORD_EXPIRES) != 0);
    if (!buried)
        return keep_record(state, input, entry, error);
    uint64_t size = record_size(entry->flags, entry->key_size, entry->value_size);
    tally->records_dropped++;
    tally->records_buried++;
    tally->buried_bytes += size;
    bitcask_status status =
        PLANTED(buried_indexed)
            ? BITCASK_OK
            : note_move(state, entry->hash, place, (struct keydir_place){0, 0}, size, error);
    if (status == BITCASK_OK && !PLANTED(buried_bare))
        status = treat_tombstone(state, entry->hash, key, entry->version, error);
    return status;
}

/* Go through the hint of an input in place of its records. A key's older records in the same
 * segment have no entry, and need none: they go with it. */
static bitcask_status walk_hint(struct job_state *state, struct segment *input,
                                bitcask_error *error)
{
    struct hint_file file;
    bitcask_status status = whole_hint(state, input, &file, error);
    if (status != BITCASK_OK)
        return status;
    const struct hint *hint = &file.hint;
    const uint8_t *key = hint->keys;
    bool expiring = buries_expiring(state, input);
    for (uint64_t i = 0; i < hint->header.entries && status == BITCASK_OK; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        status = bury_entry(state, input, expiring, &entry, slice_of(key, entry.key_size), error);
        if (status == BITCASK_OK)
            status = tick(state, record_size(entry.flags, entry.key_size, entry.value_size));
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
static uint32_t *offsets_of_moves(const struct job_state *state, size_t first)
{
    size_t count = state->move_count - first;
    uint32_t *offsets = malloc((count + 1) * sizeof *offsets);
    if (offsets == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        offsets[i] = state->moves[first + i].from_offset;
    qsort(offsets, count, sizeof *offsets, compare_offsets);
    return offsets;
}

/* Index entries in an input beside those of the live records found, the moves from `first` on, are
 * of no record's key: a hint with good checksums has told of them. They cannot move, and the input
 * must not go. Writers take an entry out before they count it off, so only a look at the whole
 * index can tell; it is taken when the count is too high. */
static bitcask_status check_all_found(struct job_state *state, struct segment *input, size_t first,
                                      bitcask_error *error)
{
    size_t count = state->move_count - first;
    if (atomic_load(&input->live_records) <= count)
        return BITCASK_OK;
    struct keydir *keydir = state->store->keydir;
    struct keydir_places places = {0};
    uint32_t *offsets = offsets_of_moves(state, first);
    bitcask_status status = offsets != NULL ? BITCASK_OK : BITCASK_NO_MEMORY;
    uint64_t cursor = 0;
    size_t entries = 0;
    while (status == BITCASK_OK && cursor != UINT64_MAX) {
        struct epoch_guard guard = epoch_enter(&state->store->epoch);
        status = keydir_scan(keydir, cursor, &places, &cursor);
        epoch_exit(guard);
        for (size_t i = 0; i < places.count && status == BITCASK_OK; i++) {
            const struct keydir_place *place = &places.items[i];
            if (place->segment_slot != input->slot)
                continue;
            bool found =
                bsearch(&place->offset, offsets, count, sizeof *offsets, compare_offsets) != NULL;
            if (!found || ++entries > count)
                status = mark_damaged(state, input, place->offset,
                                      "the index has an entry of no record here", error);
        }
    }
    free(places.items);
    free(offsets);
    if (status == BITCASK_NO_MEMORY)
        error_set(error, status, "out of memory for a merge");
    return status;
}

static bitcask_status walk_inputs(struct job_state *state, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < state->job->input_count && status == BITCASK_OK; i++) {
        struct segment *input = state->job->inputs[i];
        struct os *os = input->os;
        void *map = (void *)(uintptr_t)input->map;
        size_t size = (size_t)atomic_load(&input->readable);
        if (state->job->bury == MERGE_COPY)
            os->advise(os, map, size, OS_ADVISE_SEQUENTIAL);
        size_t first = state->move_count;
        status = state->job->bury == MERGE_COPY ? walk_records(state, input, error)
                                                : walk_hint(state, input, error);
        if (status == BITCASK_OK)
            status = check_all_found(state, input, first, error);
        if (status != BITCASK_OK) /* it lives on: as segments.c has it */
            os->advise(os, map, size, OS_ADVISE_RANDOM);
        state->job->tally.input_bytes += atomic_load(&input->end);
    }
    return status;
}

/* ---- The manifest -------------------------------------------------------------------------- */

/* Save the manifest, clean if that is what it says now. Only the first write of an open store makes
 * it unclean, holding write_mutex. */
static bitcask_status save_manifest(struct store *store, bitcask_error *error)
{
    pthread_mutex_lock(&store->write_mutex);
    if (!store->writer.dirty) {
        bitcask_status status = store_save_manifest(store, true, error);
        pthread_mutex_unlock(&store->write_mutex);
        return status;
    }
    pthread_mutex_unlock(&store->write_mutex);
    return store_save_manifest(store, false, error);
}

static void exchange(struct segments *table, struct segment *const *out, size_t out_count,
                     struct segment *const *in, size_t in_count)
{
    for (size_t i = 0; i < out_count; i++)
        segments_withdraw(table, out[i]);
    for (size_t i = 0; i < in_count; i++)
        segments_publish(table, in[i]);
}

/* Hints are caches. On a full disk those of the inputs make room for the manifest that lets go of
 * the inputs themselves. */
static void drop_hints(struct job_state *state)
{
    struct os *os = state->store->os;
    for (size_t i = 0; i < state->job->input_count; i++) {
        char name[NAME_SIZE], path[OS_PATH_MAX];
        name_hint(name, state->job->inputs[i]->id);
        segments_path(&state->store->segments, path, name);
        if (os->unlink(os, path) == 0) {
            atomic_store(&state->job->inputs[i]->has_hint, 0);
            atomic_store(&state->job->inputs[i]->hint_bytes, 0);
        }
    }
}

/* Name the outputs instead of the inputs, durably. On failure *fate says what becomes of the
 * outputs. */
static bitcask_status publish(struct job_state *state, enum merge_output_fate *fate,
                              bitcask_error *error)
{
    struct store *store = state->store;
    const struct merge_job *job = state->job;
    const struct merge_output *output = &state->output;
    exchange(&store->segments, job->inputs, job->input_count, output->segments, output->count);
    bitcask_status status = save_manifest(store, error);
    if (status == BITCASK_NO_SPACE) {
        drop_hints(state);
        status = save_manifest(store, error);
    }
    *fate = MERGE_OUTPUT_KEEP;
    if (status == BITCASK_OK || PLANTED(inputs_dropped))
        return BITCASK_OK;

    /* The one on disk may name either. Put the old one back; else both sets of files must stay. */
    exchange(&store->segments, output->segments, output->count, job->inputs, job->input_count);
    *fate = MERGE_OUTPUT_DELETE;
    if (save_manifest(store, NULL) != BITCASK_OK) {
        *fate = MERGE_OUTPUT_FORGET;
        store_poison(store, BITCASK_IO, "the manifest could not be written by a merge; reopen");
    }
    return status;
}

/* ---- The index ----------------------------------------------------------------------------- */

/* Fetch what the index has of the moves that come soon. */
static void prefetch_moves(const struct job_state *state, size_t from)
{
    struct store *store = state->store;
    struct epoch_guard guard = epoch_enter(&store->epoch);
    for (size_t i = from; i < from + LOOK_AHEAD && i < state->move_count; i++)
        keydir_prefetch(store->keydir, state->moves[i].hash);
    epoch_exit(guard);
}

static void move_entry(struct store *store, const struct merge_move *move)
{
    struct segment *input = segments_at(&store->segments, move->from_slot);
    struct segment *output = segments_at(&store->segments, move->to_slot);
    struct keydir_place from = {move->from_slot, move->from_offset};
    struct keydir_place to = {move->to_slot, move->to_offset};
    segment_add_live(output, 1, move->size); /* first: who replaces `to` at once takes it off */
    if (keydir_move(store->keydir, move->hash, from, to))
        segment_drop_live(input, 1, move->size);
    else
        segment_drop_live(output, 1, move->size);
}

/* The version of a record that is to be taken from the index and that a snapshot still sees; 0 if
 * there is none. Inside an epoch. */
static uint64_t version_seen(struct store *store, const struct merge_move *move)
{
    const struct segment *input = segments_at(&store->segments, move->from_slot);
    struct keydir_place from = {move->from_slot, move->from_offset};
    struct segment_record record;
    if (!keydir_has(store->keydir, move->hash, from) ||
        segment_read(input, move->from_offset, &record, NULL) != BITCASK_OK)
        return 0;
    return undo_is_wanted(&store->undo, record.shape.version) ? record.shape.version : 0;
}

static size_t count_seen(struct store *store, const struct merge_move *removals, size_t count)
{
    size_t seen = 0;
    for (size_t i = 0; i < count; i++)
        seen += version_seen(store, &removals[i]) != 0;
    return seen;
}

/* Live snapshots go on seeing what is evicted under them (X4). Without memory for that they miss
 * it: there is no way back at this point. Holding write_mutex, inside an epoch. */
static struct undo_entry *keep_old_places(struct store *store, const struct merge_move *removals,
                                          size_t count)
{
    struct undo_entry *list = NULL;
    if (!undo_is_wanted(&store->undo, 1) || PLANTED(evicted_unseen))
        return NULL;
    size_t seen = count_seen(store, removals, count);
    if (seen == 0 || undo_reserve(&store->undo, seen, &list, NULL) != BITCASK_OK)
        return NULL;
    /* The removal has a version of its own, as a delete has: a snapshot taken from now on is behind
     * it, and misses the key even while an older one sees it. */
    uint64_t until = atomic_load(&store->writer.last_version) + 1;
    atomic_store(&store->writer.last_version, until);
    struct undo_entry *entry = list;
    for (size_t i = 0; i < count; i++) {
        uint64_t version = version_seen(store, &removals[i]);
        if (version == 0)
            continue;
        entry->hash = removals[i].hash;
        entry->place = (struct keydir_place){removals[i].from_slot, removals[i].from_offset};
        entry->version = version;
        entry->until = until;
        entry = entry->sibling;
    }
    undo_insert(&store->undo, list);
    return list;
}

/* Only the writer takes entries out: `removals` have no place to go to, and are no more than
 * writers can be held back for. */
static void remove_entries(struct store *store, const struct merge_move *removals, size_t count)
{
    struct epoch_guard guard = epoch_enter(&store->epoch);
    if (undo_is_wanted(&store->undo, 1))
        (void)count_seen(store, removals,
                         count); /* reads from the disk before it holds them back */
    epoch_exit(guard);
    pthread_mutex_lock(&store->write_mutex);
    guard = epoch_enter(&store->epoch);
    struct undo_entry *kept = keep_old_places(store, removals, count);
    for (size_t i = 0; i < count; i++) {
        const struct merge_move *move = &removals[i];
        struct keydir_place from = {move->from_slot, move->from_offset};
        if (keydir_remove(store->keydir, move->hash, from))
            segment_drop_live(segments_at(&store->segments, move->from_slot), 1, move->size);
    }
    epoch_exit(guard);
    if (kept != NULL)
        undo_settle(&store->undo, kept);
    pthread_mutex_unlock(&store->write_mutex);
}

/* Is any index entry left that points into an input? Cost: the whole index. */
static bool index_has_inputs(struct job_state *state)
{
    struct store *store = state->store;
    struct keydir_places places = {0};
    bool found = false;
    uint64_t cursor = 0;
    do {
        struct epoch_guard guard = epoch_enter(&store->epoch);
        found = keydir_scan(store->keydir, cursor, &places, &cursor) != BITCASK_OK;
        epoch_exit(guard);
        for (size_t i = 0; i < places.count && !found; i++)
            for (size_t j = 0; j < state->job->input_count && !found; j++)
                found = state->job->inputs[j]->slot == places.items[i].segment_slot;
    } while (!found && cursor != UINT64_MAX);
    free(places.items);
    return found;
}

/* Point the index at the outputs. */
static void move_index(struct job_state *state)
{
    struct store *store = state->store;
    struct merge_move removals[WRITER_BATCH];
    size_t removal_count = 0;
    for (size_t i = 0; i < state->move_count; i++) {
        if (i % LOOK_AHEAD == 0)
            prefetch_moves(state, i);
        if (state->moves[i].to_slot != 0)
            move_entry(store, &state->moves[i]);
        else
            removals[removal_count++] = state->moves[i];
        if (removal_count == WRITER_BATCH) {
            remove_entries(store, removals, removal_count);
            removal_count = 0;
        }
    }
    /* Also where nothing is to be removed: whoever replaced an entry of an input has by now taken
     * it off the live figures, and no writer looks at an input any more. */
    remove_entries(store, removals, removal_count);

    for (size_t i = 0; i < state->job->input_count; i++)
        if (atomic_load(&state->job->inputs[i]->live_records) != 0) {
            EVENT(&store->events, BITCASK_LOG_ERROR, "live_count_wrong",
                  F_UINT("segment", state->job->inputs[i]->id),
                  F_UINT("records", atomic_load(&state->job->inputs[i]->live_records)));
            CHECK(!index_has_inputs(state));
        }
}

/* ---- Letting go ---------------------------------------------------------------------------- */

/* Unlink a segment that nothing points at; false if its files may still be there after a crash. */
static bool retire(struct store *store, struct segment *segment)
{
    int result = segments_retire(&store->segments, segment);
    if (result != 0)
        EVENT(&store->events, BITCASK_LOG_WARN, "unlink_failed", F_UINT("segment", segment->id),
              F_UINT("errno", (uint64_t)-result));
    return result == 0;
}

static void let_go(struct job_state *state)
{
    struct store *store = state->store;
    struct merge_output *output = &state->output;
    bool gone = true;
    for (size_t i = 0; i < state->job->input_count; i++)
        gone &= retire(store, state->job->inputs[i]);

    /* An empty output was for its SEAL record, which is of no more use once the inputs are gone. */
    struct segment *first = output->count == 1 ? output->segments[0] : NULL;
    if (gone && first != NULL && atomic_load(&first->records) == 0) {
        segments_withdraw(&store->segments, first);
        if (save_manifest(store, NULL) == BITCASK_OK) {
            retire(store, first);
            output->count = 0;
        } else {
            segments_publish(&store->segments, first);
        }
    }
    merge_output_retry_hints(output);
    epoch_poll(&store->epoch);
}

void merge_tally_add(bitcask_merge_result *result, const struct merge_job *job)
{
    const struct merge_tally *tally = &job->tally;
    result->inputs += job->input_count;
    result->outputs += tally->outputs;
    result->input_bytes += tally->input_bytes;
    result->output_bytes += tally->output_bytes;
    result->records_copied += tally->records_copied;
    result->records_dropped += tally->records_dropped;
    result->tombstones_kept += tally->tombstones_kept;
    result->tombstones_dropped += tally->tombstones_dropped;
}

/* ---- The job ------------------------------------------------------------------------------- */

static bitcask_status job_begin(struct job_state *state, struct merge_job *job,
                                bitcask_error *error)
{
    *state = (struct job_state){
        .job = job,
        .store = job->store,
        .reap_before = reap_clock_begin(job->store),
        .input_ids = malloc(job->input_count * sizeof *state->input_ids),
    };
    job->tally = (struct merge_tally){0};
    job->damaged = NULL;
    if (state->input_ids == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a merge");
    for (size_t i = 0; i < job->input_count; i++) {
        CHECK(atomic_load(&job->inputs[i]->state) == BITCASK_SEGMENT_SEALED);
        state->input_ids[i] = job->inputs[i]->id;
    }
    return merge_output_init(&state->output, job->store, state->input_ids, job->input_count,
                             job->expected_bytes, error);
}

/* Write the outputs, durable and sealed. */
static bitcask_status write_outputs(struct job_state *state, bitcask_error *error)
{
    struct merge_tally *tally = &state->job->tally;
    bitcask_status status = walk_inputs(state, error);
    if (status == BITCASK_OK && !PLANTED(merged_before_sync))
        status = log_sync_background(state->store, error);
    /* If nothing is kept, and MANIFEST is lost when some inputs are unlinked and others not, only
     * the SEAL record of an output keeps what a dropped tombstone hid from coming back. */
    bool hides = tally->tombstones_dropped > 0 && state->job->input_count > 1 &&
                 !PLANTED(seal_without_inputs);
    if (status == BITCASK_OK)
        status = merge_output_finish(&state->output, hides, error);
    for (size_t i = 0; i < state->output.count && status == BITCASK_OK; i++)
        tally->output_bytes += atomic_load(&state->output.segments[i]->end);
    return status;
}

bitcask_status merge_job_run(struct merge_job *job, bitcask_error *error)
{
    struct store *store = job->store;
    uint64_t started = store->os->clock_boot(store->os);
    struct job_state state;
    enum merge_output_fate fate = MERGE_OUTPUT_DELETE;
    bitcask_status status = job_begin(&state, job, error);
    if (status == BITCASK_OK)
        status = write_outputs(&state, error);
    if (status == BITCASK_OK)
        status = publish(&state, &fate, error);
    if (status == BITCASK_OK) {
        move_index(&state);
        let_go(&state);
        job->tally.outputs = state.output.count;
        uint64_t duration = store->os->clock_boot(store->os) - started;
        atomic_fetch_add(&store->counters.merges, 1);
        atomic_fetch_add(&store->counters.merge_us, duration);
        atomic_fetch_add(&store->counters.merge_bytes_written, state.output.written_bytes);
        if (job->tally.input_bytes > job->tally.output_bytes)
            atomic_fetch_add(&store->counters.merge_bytes_reclaimed,
                             job->tally.input_bytes - job->tally.output_bytes);
        EVENT(&store->events, BITCASK_LOG_INFO, "merged", F_UINT("inputs", job->input_count),
              F_UINT("outputs", job->tally.outputs), F_UINT("bytes_before", job->tally.input_bytes),
              F_UINT("bytes_after", job->tally.output_bytes),
              F_UINT("dropped", job->tally.records_dropped + job->tally.tombstones_dropped),
              F_UINT("duration_us", duration));
    }
    reap_clock_end(store);
    merge_output_release(&state.output, fate);
    free(state.moves);
    free(state.input_ids);
    return status;
}
