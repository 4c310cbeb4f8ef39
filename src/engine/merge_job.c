/* SPDX-License-Identifier: MIT
 * merge_job.c: one merge job: its outputs are written (merge_walk.c), take the place of the inputs
 * in the manifest and in the index, and the inputs go. */
#include "engine/merge_job.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/log_writer.h"
#include "engine/merge_walk.h"
#include "engine/reap_clock.h"
#include "format/names.h"

enum {
    WRITER_BATCH = 256, /* index entries removed under one hold of write_mutex */
    LOOK_AHEAD = 16,    /* moves whose index entries are fetched before they are needed */
};

/* What a running job keeps. */
struct job_state {
    struct merge_job *job;
    struct store *store;
    struct merge_output output;
    struct merge_walk walk;
    struct undo_entry *spare; /* reserved for what live snapshots see of what goes */
    uint64_t *input_ids;
};

/* ---- The manifest -------------------------------------------------------------------------- */

/* Save the manifest, clean if that is what it says now. Only the first write of an open store makes
 * it unclean, holding write_mutex. */
static bitcask_status save_manifest(struct store *store, bitcask_error *error)
{
    write_mutex_lock(&store->write_mutex);
    if (!store->writer.dirty) {
        bitcask_status status = store_save_manifest(store, true, error);
        write_mutex_unlock(&store->write_mutex);
        return status;
    }
    write_mutex_unlock(&store->write_mutex);
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
    for (size_t i = from; i < from + LOOK_AHEAD && i < state->walk.move_count; i++)
        keydir_prefetch(store->keydir, state->walk.moves[i].hash);
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

/* Live snapshots go on seeing what is evicted under them (X4): the memory for that is taken while
 * the job can still be given up. */
static bitcask_status reserve_old_places(struct job_state *state, bitcask_error *error)
{
    struct undo *undo = &state->store->undo;
    uint64_t count = state->job->tally.records_buried;
    if (count == 0 || !undo_is_wanted(undo, 1) || PLANTED(evicted_unseen))
        return BITCASK_OK;
    return undo_reserve(undo, count, &state->spare, error);
}

/* `count` reserved entries. For a snapshot that was taken since then there may be none; without
 * memory that one misses what goes: there is no way back any more. */
static struct undo_entry *take_reserved(struct job_state *state, size_t count)
{
    struct undo_entry *list = state->spare, *last = list;
    for (size_t i = 1; i < count && last != NULL; i++)
        last = last->sibling;
    if (last == NULL)
        return undo_reserve(&state->store->undo, count, &list, NULL) == BITCASK_OK ? list : NULL;
    state->spare = last->sibling;
    last->sibling = NULL;
    return list;
}

/* The places that are about to go, and that live snapshots see; NULL if there are none. Holding
 * write_mutex, inside an epoch. */
static struct undo_entry *keep_old_places(struct job_state *state,
                                          const struct merge_move *removals, size_t count)
{
    struct store *store = state->store;
    if (!undo_is_wanted(&store->undo, 1) || PLANTED(evicted_unseen))
        return NULL;
    size_t seen = count_seen(store, removals, count);
    struct undo_entry *list = seen == 0 ? NULL : take_reserved(state, seen);
    if (list == NULL)
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
static void remove_entries(struct job_state *state, const struct merge_move *removals, size_t count)
{
    struct store *store = state->store;
    struct epoch_guard guard = epoch_enter(&store->epoch);
    if (undo_is_wanted(&store->undo, 1))
        (void)count_seen(store, removals,
                         count); /* reads from the disk before it holds them back */
    epoch_exit(guard);
    write_mutex_lock(&store->write_mutex);
    guard = epoch_enter(&store->epoch);
    struct undo_entry *kept = keep_old_places(state, removals, count);
    for (size_t i = 0; i < count; i++) {
        const struct merge_move *move = &removals[i];
        struct keydir_place from = {move->from_slot, move->from_offset};
        if (keydir_remove(store->keydir, move->hash, from))
            segment_drop_live(segments_at(&store->segments, move->from_slot), 1, move->size);
    }
    epoch_exit(guard);
    if (kept != NULL)
        undo_settle(&store->undo, kept);
    write_mutex_unlock(&store->write_mutex);
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

/* From here on, or no longer, the writer has to reckon with entries that move under it. */
static void begin_moves(struct store *store)
{
    write_mutex_lock(&store->write_mutex);
    keydir_movers_begin(store->keydir);
    write_mutex_unlock(&store->write_mutex);
}

static void end_moves(struct store *store)
{
    write_mutex_lock(&store->write_mutex);
    keydir_movers_end(store->keydir);
    write_mutex_unlock(&store->write_mutex);
}

/* Point the index at the outputs. */
static void move_index(struct job_state *state)
{
    struct store *store = state->store;
    struct merge_move removals[WRITER_BATCH];
    size_t removal_count = 0;
    begin_moves(store);
    for (size_t i = 0; i < state->walk.move_count; i++) {
        if (i % LOOK_AHEAD == 0)
            prefetch_moves(state, i);
        if (state->walk.moves[i].to_slot != 0)
            move_entry(store, &state->walk.moves[i]);
        else
            removals[removal_count++] = state->walk.moves[i];
        if (removal_count == WRITER_BATCH) {
            remove_entries(state, removals, removal_count);
            removal_count = 0;
        }
    }
    end_moves(store);
    /* Also where nothing is to be removed: whoever replaced an entry of an input has by now taken
     * it off the live figures, and no writer looks at an input any more. */
    remove_entries(state, removals, removal_count);

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

/* For bitcask_get_segments. */
static void show_inputs(const struct merge_job *job, uint32_t merging)
{
    for (size_t i = 0; i < job->input_count; i++)
        atomic_store(&job->inputs[i]->merging, merging);
}

static bitcask_status job_begin(struct job_state *state, struct merge_job *job,
                                bitcask_error *error)
{
    *state = (struct job_state){
        .job = job,
        .store = job->store,
        .input_ids = malloc(job->input_count * sizeof *state->input_ids),
    };
    state->walk = (struct merge_walk){
        .job = job,
        .store = job->store,
        .output = &state->output,
        .reap_before = reap_clock_begin(job->store),
    };
    job->tally = (struct merge_tally){0};
    job->damaged = NULL;
    if (state->input_ids == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a merge");
    for (size_t i = 0; i < job->input_count; i++) {
        CHECK(atomic_load(&job->inputs[i]->state) == BITCASK_SEGMENT_SEALED);
        state->input_ids[i] = job->inputs[i]->id;
    }
    show_inputs(job, 1);
    return merge_output_init(&state->output, job->store, state->input_ids, job->input_count,
                             job->expected_bytes, error);
}

/* Write the outputs, durable and sealed. */
static bitcask_status write_outputs(struct job_state *state, bitcask_error *error)
{
    struct merge_tally *tally = &state->job->tally;
    bitcask_status status = merge_walk_inputs(&state->walk, error);
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

/* The inputs of a job that has succeeded are gone. */
static void job_end(struct job_state *state, enum merge_output_fate fate, bool succeeded)
{
    if (!succeeded)
        show_inputs(state->job, 0);
    reap_clock_end(state->store);
    undo_unreserve(&state->store->undo, state->spare);
    merge_output_release(&state->output, fate);
    free(state->walk.moves);
    free(state->input_ids);
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
        status = reserve_old_places(&state, error);
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
    job_end(&state, fate, status == BITCASK_OK);
    return status;
}
