/* SPDX-License-Identifier: MIT
 * merge.c: which jobs to run, and when to stop.
 *
 * A run goes in phases. A phase begins by assessing every segment that may be an input: what a job
 * would have to write of it again, tombstones that are still needed included. Then jobs are planned
 * and run, each with a fresh look at the store, until no plan is left. Meanwhile what the
 * tombstones of other segments hide may have gone, so another phase follows, until one finds
 * nothing to do. With `all`, the first phase takes every segment that is there when the run starts,
 * and later ones those of its outputs that have tombstones which have become free to go. */
#include "engine/merge.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/background.h"
#include "engine/log_writer.h"
#include "engine/merge_choice.h"
#include "engine/merge_job.h"
#include "engine/merge_schedule.h"
#include "engine/reclaim.h"
#include "engine/reserve.h"
#include "engine/seal.h"

enum { PHASES_MAX = 16 }; /* a bound in case that segments turn bad as fast as they are merged */

/* What a phase found out about one segment. */
struct assessment {
    uint64_t id;
    uint64_t needed_bytes;    /* of tombstones */
    uint64_t free_tombstones; /* that could go if the segment were merged alone */
};

struct merge_run {
    struct store *store;
    const bitcask_merge_options *options;
    bool all;              /* what is being done now, see run_holding_mutex */
    bool relieves;         /* one job is enough */
    uint64_t first_new_id; /* segments from this id on were made during the run */
    unsigned phase;
    struct assessment *assessed; /* by ascending id; those that may be inputs in this phase */
    size_t assessed_count;
    uint64_t total_bytes;   /* of the inputs, those of finished jobs included */
    uint64_t done_bytes;    /* by finished jobs */
    uint64_t written_bytes; /* by finished jobs */
    uint64_t jobs;
    struct merge_pass pass;
    bitcask_merge_result result;
    bitcask_error damage; /* status CORRUPT: an input was left alone */
};

/* ---- Assessing ----------------------------------------------------------------------------- */

/* Dead enough to be merged if its tombstones count as dead. */
static bool may_be_wasteful(const struct merge_run *run, const struct segment *segment)
{
    double dead = (double)segment_dead_bytes(segment);
    return run->all || dead >= run->options->min_dead * (double)merge_look_size(segment);
}

static bitcask_status assess(struct merge_run *run, bitcask_error *error)
{
    struct merge_look look;
    bitcask_status status = merge_look_begin(&look, run->store, error);
    free(run->assessed);
    run->assessed_count = 0;
    run->assessed = calloc(look.count + 1, sizeof *run->assessed);
    if (status == BITCASK_OK && run->assessed == NULL)
        status = error_set(error, BITCASK_NO_MEMORY, "out of memory for planning a merge");
    for (size_t i = 0; i < look.count && status == BITCASK_OK; i++) {
        const struct segment *segment = look.all[i];
        bool again = run->all && run->phase > 0;
        if (!merge_look_can_be_input(segment) || again != (segment->id >= run->first_new_id))
            continue;
        struct merge_judge_tombstones tombstones = {0};
        if (atomic_load(&segment->tombstones) > 0 && may_be_wasteful(run, segment))
            merge_judge_count(&look.judge, segment->id, &tombstones);
        if (again && (segment->kind != SEGMENT_MERGE || tombstones.free == 0))
            continue;
        run->assessed[run->assessed_count++] = (struct assessment){
            .id = segment->id,
            .needed_bytes = tombstones.needed_bytes,
            .free_tombstones = tombstones.free,
        };
        if (run->all)
            run->total_bytes += merge_look_size(segment);
    }
    merge_look_end(&look);
    return status;
}

static const struct assessment *assessment_of(const struct merge_run *run, uint64_t id)
{
    size_t low = 0, high = run->assessed_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (run->assessed[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < run->assessed_count && run->assessed[low].id == id ? &run->assessed[low] : NULL;
}

/* ---- Planning ------------------------------------------------------------------------------ */

/* Choose a job's worth of inputs, or none. */
static bitcask_status choose(const struct merge_run *run, struct merge_look *look,
                             struct merge_choice *choice, bitcask_error *error)
{
    struct store *store = run->store;
    bitcask_status status = merge_choice_init(choice, look, error);
    if (status != BITCASK_OK)
        return status;
    for (size_t i = 0; i < look->count; i++) {
        const struct segment *segment = look->all[i];
        const struct assessment *assessment = assessment_of(run, segment->id);
        if (assessment != NULL && merge_look_can_be_input(segment))
            merge_choice_add(choice, segment,
                             atomic_load(&segment->live_bytes) + assessment->needed_bytes);
    }
    struct merge_wish wish = {
        .min_dead = run->options->min_dead,
        .all = run->all != 0,
        .scarce = run->relieves,
        .join = MERGE_JOIN_PAIRS,
        .output_bytes = store->options.segment_size,
    };
    return merge_choice_make(choice, look, &wish, error);
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

static int report_progress(void *context, uint64_t done_bytes, uint64_t written_bytes)
{
    struct merge_run *run = context;
    bitcask_merge_progress progress = {
        .done_bytes = run->done_bytes + done_bytes,
        .total_bytes = run->total_bytes,
        .written_bytes = run->written_bytes + written_bytes,
    };
    if (run->options->progress != NULL &&
        run->options->progress(run->options->context, &progress) != 0)
        return 1;
    return merge_pass_through(&run->pass, progress.done_bytes, progress.written_bytes,
                              progress.total_bytes)
               ? 0
               : 1;
}

static void add_tally(struct merge_run *run, const struct merge_job *job)
{
    merge_tally_add(&run->result, job);
    run->written_bytes += job->tally.output_bytes;
    run->jobs++;
}

/* Plan a job and run it. BITCASK_END: there is none left in this phase. */
static bitcask_status run_one(struct merge_run *run, bitcask_error *error)
{
    struct merge_look look;
    struct merge_choice choice = {0};
    bitcask_status status = merge_look_begin(&look, run->store, error);
    if (status == BITCASK_OK)
        status = choose(run, &look, &choice, error);
    if (status == BITCASK_OK && choice.count == 0)
        status = BITCASK_END;
    if (status == BITCASK_OK) {
        if (!run->all)
            run->total_bytes = run->done_bytes + choice.size_bytes;
        struct merge_job job = {
            .store = run->store,
            .judge = &look.judge,
            .inputs = choice.inputs,
            .input_count = choice.count,
            .expected_bytes = choice.keep_bytes,
            .progress = report_progress,
            .context = run,
        };
        status = merge_job_run(&job, error);
        if (status == BITCASK_OK) {
            add_tally(run, &job);
            run->done_bytes += choice.size_bytes;
        } else if (status == BITCASK_CORRUPT && job.damaged != NULL) {
            if (error != NULL)
                run->damage = *error;
            run->damage.status = BITCASK_CORRUPT;
            status = BITCASK_OK; /* the next plan does without it */
        }
    }
    merge_choice_release(&choice);
    merge_look_end(&look);
    return status;
}

static bitcask_status run_phases(struct merge_run *run, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (run->phase = 0; run->phase < PHASES_MAX && status == BITCASK_OK; run->phase++) {
        uint64_t before = run->jobs;
        status = assess(run, error);
        while (status == BITCASK_OK && !(run->relieves && run->jobs > 0))
            status = run_one(run, error);
        if (status != BITCASK_END)
            return status;
        status = BITCASK_OK;
        if (run->jobs == before)
            break;
    }
    return status;
}

/* ---- The run ------------------------------------------------------------------------------- */

/* With `all` the active segment takes part: close it and see to it that it is sealed. */
static bitcask_status rotate(struct store *store, bitcask_error *error)
{
    write_mutex_lock(&store->write_mutex);
    bitcask_status status = log_rotate(store, error);
    write_mutex_unlock(&store->write_mutex);
    return status == BITCASK_OK ? seal_waiting(store, error) : status;
}

/* A segment that was known to be damaged counts too where every segment was asked for. */
static void note_damage(struct merge_run *run)
{
    size_t count;
    struct segment **all = segments_pin_all(&run->store->segments, &count);
    if (all == NULL && run->damage.status == BITCASK_OK)
        error_set(&run->damage, BITCASK_NO_MEMORY, "out of memory for a merge");
    for (size_t i = 0; i < count && run->damage.status == BITCASK_OK; i++)
        if (atomic_load(&all[i]->damaged) != 0) {
            error_set(&run->damage, BITCASK_CORRUPT,
                      "segment %llu is damaged and was left alone; verify says where",
                      (unsigned long long)all[i]->id);
            error_at(&run->damage, all[i]->id, 0);
        }
    segments_unpin_all(all, count);
}

/* Run phases over the segments that are there now. */
static bitcask_status run_now(struct merge_run *run, bool all, bitcask_error *error)
{
    struct segments *table = &run->store->segments;
    pthread_mutex_lock(&table->mutex);
    run->first_new_id = table->next_id;
    pthread_mutex_unlock(&table->mutex);
    run->all = all;
    return run_phases(run, error);
}

/* First what costs nothing: segments that have expired as a whole. */
static bitcask_status drop_expired(struct merge_run *run, bitcask_error *error)
{
    struct merge_job done = {0};
    bitcask_status status = reclaim_expired(run->store, &done.tally, &done.input_count, error);
    if (done.input_count > 0)
        add_tally(run, &done);
    return status;
}

static bitcask_status run_holding_mutex(struct merge_run *run, bitcask_error *error)
{
    bool all = run->options->all != 0;
    bitcask_status status = drop_expired(run, error);
    if (status == BITCASK_OK && all)
        status = rotate(run->store, error);
    if (status == BITCASK_NO_SPACE) { /* not even for the next segment: make some */
        status = run_now(run, false, error);
        if (status == BITCASK_OK)
            status = rotate(run->store, error);
    }
    if (status == BITCASK_OK)
        status = run_now(run, all, error);
    free(run->assessed);
    run->assessed = NULL;
    if (status == BITCASK_OK && all)
        note_damage(run);
    if (status == BITCASK_OK && run->damage.status != BITCASK_OK) {
        if (error != NULL)
            *error = run->damage;
        status = run->damage.status;
    }
    return status;
}

static bitcask_status run(struct merge_run *run, bitcask_error *error)
{
    struct store *store = run->store;
    bitcask_error failure = {0};
    bitcask_status status = store_writable(store, error);
    if (status != BITCASK_OK)
        return status;
    status = merge_gate_enter(store, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t started = store->os->clock_boot(store->os);
    merge_pass_begin(&run->pass, store, false, run->options->bytes_per_s);
    status = keydir_fetch_all(store->keydir, &failure);
    if (status == BITCASK_OK)
        status = run_holding_mutex(run, &failure);
    if (status == BITCASK_NO_SPACE && reserve_release(store))
        status = run_holding_mutex(run, &failure);
    if (status == BITCASK_OK && atomic_load(&store->reserve_spent)) {
        write_mutex_lock(&store->write_mutex);
        (void)reserve_hold(store, NULL); /* else the next put tries */
        write_mutex_unlock(&store->write_mutex);
    }
    merge_gate_leave(store);
    merge_schedule_wake(store);
    background_want(store, WORK_IMAGE);

    run->result.duration_us = store->os->clock_boot(store->os) - started;
    if (status < 0) {
        EVENT(&store->events, BITCASK_LOG_WARN, "merge_failed", F_TEXT("error", failure.message));
        if (error != NULL)
            *error = failure;
    }
    return status;
}

bitcask_status merge_run(struct store *store, const bitcask_merge_options *options,
                         bitcask_merge_result *result, bitcask_error *error)
{
    struct merge_run merge = {.store = store, .options = options};
    bitcask_status status = run(&merge, error);
    if (result != NULL) {
        merge.result.struct_size = result->struct_size;
        *result = merge.result;
    }
    return status;
}

bitcask_status merge_relieve(struct store *store, double min_dead, bitcask_error *error)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.min_dead = min_dead;
    options.bytes_per_s = UINT64_MAX;
    struct merge_run merge = {.store = store, .options = &options, .relieves = true};
    return run(&merge, error);
}
