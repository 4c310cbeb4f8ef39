/* SPDX-License-Identifier: MIT
 * merge_next.c: the scheduler's next job. */
#include "engine/merge_next.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/merge_choice.h"
#include "engine/merge_job.h"
#include "engine/merge_policy.h"
#include "engine/reap_clock.h"
#include "engine/reclaim.h"

/* Expiry is sampled anew when the share of dead bytes has risen by this much since. */
static const double SAMPLE_AGAIN = 0.05;

void merge_ledger_release(struct merge_ledger *ledger)
{
    free(ledger->notes);
    *ledger = (struct merge_ledger){0};
}

static const struct merge_note *note_of(const struct merge_ledger *ledger, uint64_t id)
{
    size_t low = 0, high = ledger->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ledger->notes[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ledger->count && ledger->notes[low].id == id ? &ledger->notes[low] : NULL;
}

/* One note for each segment of the look, in its order; those of segments that are gone go. */
static bool follow_segments(struct merge_ledger *ledger, const struct merge_look *look)
{
    struct merge_note *notes = calloc(look->count + 1, sizeof *notes);
    if (notes == NULL)
        return false;
    for (size_t i = 0; i < look->count; i++) {
        const struct merge_note *old = note_of(ledger, look->all[i]->id);
        notes[i] = old != NULL ? *old : (struct merge_note){.id = look->all[i]->id};
    }
    free(ledger->notes);
    ledger->notes = notes;
    ledger->count = look->count;
    return true;
}

/* ---- What a job would keep ------------------------------------------------------------------ */

static double dead_share(const struct segment *segment)
{
    uint64_t size = merge_look_size(segment);
    return size == 0 ? 0 : (double)segment_dead_bytes(segment) / (double)size;
}

/* What a look at the store goes by. */
struct view {
    struct store *store;
    const struct merge_ledger *ledger;
    uint64_t reap_before;
    uint64_t jobs, reclaimed_bytes; /* until now */
    bool thorough;
};

static struct view view_of(struct store *store, const struct merge_ledger *ledger, bool thorough)
{
    return (struct view){
        .store = store,
        .ledger = ledger,
        .reap_before = reap_clock_expired(store),
        .jobs = atomic_load(&store->counters.merges),
        .reclaimed_bytes = atomic_load(&store->counters.merge_bytes_reclaimed),
        .thorough = thorough,
    };
}

/* Is it known which of the segment's tombstones are needed, or would that most likely come out the
 * same again? */
static bool is_judged(const struct view *view, const struct merge_note *note)
{
    if (!note->judged || note->at_jobs == view->jobs)
        return note->judged;
    return !view->thorough && view->reclaimed_bytes - note->at_bytes < note->needed_bytes;
}

/* As far as the ledger knows; what it does not know counts as dead. */
static uint64_t keep_bytes(const struct view *view, const struct segment *segment)
{
    const struct merge_note *note = note_of(view->ledger, segment->id);
    uint64_t live = atomic_load(&segment->live_bytes);
    if (note == NULL)
        return live;
    uint64_t gone = merge_expiry_gone(&note->expiry, live, view->reap_before);
    return live - gone + (is_judged(view, note) ? note->needed_bytes : 0);
}

static struct merge_wish wish_of(const struct store *store)
{
    return merge_policy_wish(store->options.merge_trigger, store->options.segment_size,
                             store->options.segment_max_records);
}

static void make_scarce(struct merge_wish *wish)
{
    wish->scarce = true;
    if (wish->min_dead > MERGE_SCARCE_MIN_DEAD)
        wish->min_dead = MERGE_SCARCE_MIN_DEAD;
}

/* Add every segment that may be an input to the choice; the others' bytes to wish->other_bytes. */
static void list_candidates(const struct view *view, const struct merge_look *look,
                            struct merge_choice *choice, struct merge_wish *wish)
{
    for (size_t i = 0; i < look->count; i++) {
        const struct segment *segment = look->all[i];
        if (merge_look_can_be_input(segment))
            merge_choice_add(choice, segment, keep_bytes(view, segment));
        else
            wish->other_bytes += merge_look_size(segment);
    }
}

bool merge_next_is_likely(struct store *store, const struct merge_ledger *ledger, bool thorough)
{
    struct merge_look look = {.store = store}; /* without its judge */
    look.all = segments_pin_all(&store->segments, &look.count);
    struct view view = view_of(store, ledger, thorough);
    struct merge_wish wish = wish_of(store);
    struct merge_choice choice = {0};
    struct merge_room room;
    bool likely = false;
    if (merge_choice_room(store, look.count, &room, NULL) == BITCASK_OK && room.scarce)
        make_scarce(&wish);
    if (merge_choice_init(&choice, &look, NULL) == BITCASK_OK) {
        list_candidates(&view, &look, &choice, &wish);
        qsort(choice.candidates, choice.candidate_count, sizeof *choice.candidates,
              merge_candidate_order);
        likely = merge_plan(choice.candidates, choice.candidate_count, &wish, choice.chosen) > 0;
    }
    for (size_t i = 0; i < look.count && !likely; i++) {
        const struct merge_note *note = note_of(ledger, look.all[i]->id);
        likely = (note == NULL || !note->expiry.sampled) && view.reap_before != 0 &&
                 merge_look_can_be_input(look.all[i]) &&
                 merge_expiry_has_begun(look.all[i], view.reap_before);
    }
    merge_choice_release(&choice);
    segments_unpin_all(look.all, look.count);
    return likely;
}

/* ---- Finding out ---------------------------------------------------------------------------- */

static void judge_tombstones(const struct view *view, struct merge_note *note,
                             struct merge_judge *judge)
{
    struct merge_judge_tombstones tombstones;
    if (is_judged(view, note))
        return;
    merge_judge_count(judge, note->id, &tombstones);
    note->judged = true;
    note->needed_bytes = tombstones.needed_bytes;
    note->at_bytes = view->reclaimed_bytes;
    note->at_jobs = view->jobs;
}

static void sample_expiry(const struct view *view, struct merge_note *note, struct merge_look *look,
                          size_t index)
{
    const struct segment *segment = look->all[index];
    double share = dead_share(segment);
    if (view->reap_before == 0 || !merge_expiry_has_begun(segment, view->reap_before) ||
        (note->expiry.sampled && share < note->dead_share + SAMPLE_AGAIN))
        return;
    merge_expiry_sample(&note->expiry, &look->judge, index);
    note->dead_share = share;
}

/* Bring the ledger up to date for every segment for which it matters. */
static bitcask_status find_out(const struct view *view, struct merge_ledger *ledger,
                               struct merge_look *look, const struct merge_wish *wish,
                               bitcask_error *error)
{
    if (!follow_segments(ledger, look))
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for planning a merge");
    /* Below this nothing is chosen, even if all of the store's tombstones could go. */
    double least = merge_plan_store_floor(wish);
    if (wish->min_dead < least)
        least = wish->min_dead;
    for (size_t i = 0; i < look->count; i++) {
        struct segment *segment = look->all[i];
        struct merge_note *note = &ledger->notes[i];
        if (!merge_look_can_be_input(segment))
            continue;
        sample_expiry(view, note, look, i);
        if (atomic_load(&segment->tombstones) > 0 && dead_share(segment) >= least)
            judge_tombstones(view, note, &look->judge);
    }
    return BITCASK_OK;
}

/* ---- The job -------------------------------------------------------------------------------- */

struct passage {
    struct merge_pass pass;
    uint64_t total_bytes;
};

static int report(void *context, uint64_t done_bytes, uint64_t written_bytes)
{
    struct passage *passage = context;
    return merge_pass_through(&passage->pass, done_bytes, written_bytes, passage->total_bytes) ? 0
                                                                                               : 1;
}

static bitcask_status run_job(struct store *store, struct merge_look *look,
                              const struct merge_choice *choice, bool unhindered,
                              bitcask_merge_result *result, bitcask_error *error)
{
    struct passage passage = {.total_bytes = choice->size_bytes};
    merge_pass_begin(&passage.pass, store, true, 0);
    passage.pass.unhindered = unhindered;
    struct merge_job job = {
        .store = store,
        .judge = &look->judge,
        .inputs = choice->inputs,
        .input_count = choice->count,
        .expected_bytes = choice->keep_bytes,
        .progress = report,
        .context = &passage,
    };
    bitcask_status status = merge_pass_through(&passage.pass, 0, 0, passage.total_bytes)
                                ? merge_job_run(&job, error)
                                : BITCASK_CANCELLED;
    if (status == BITCASK_OK)
        merge_tally_add(result, &job);
    return status;
}

/* The budget holds while the store is within its trigger and the disk has room: else to fall behind
 * would cost more than the merge does. */
static bool is_behind(const struct merge_choice *choice, const struct merge_wish *wish)
{
    double dead =
        merge_plan_dead_share(choice->candidates, choice->candidate_count, wish->other_bytes);
    return wish->scarce || dead >= wish->min_dead_store;
}

bitcask_status merge_next_run(struct store *store, struct merge_ledger *ledger, bool thorough,
                              bitcask_merge_result *result, bitcask_error *error)
{
    struct merge_look look;
    struct merge_choice choice = {0};
    struct merge_wish wish = wish_of(store);
    struct merge_room room;
    struct view view = view_of(store, ledger, thorough);
    *result = (bitcask_merge_result){0};
    struct merge_job expired = {0};
    bitcask_status status = reclaim_expired(store, &expired.tally, &expired.input_count, error);
    if (status != BITCASK_OK || expired.input_count > 0) {
        merge_tally_add(result, &expired);
        return status;
    }
    status = merge_look_begin(&look, store, error);
    if (status == BITCASK_OK)
        status = merge_choice_room(store, look.count, &room, error);
    if (status == BITCASK_OK && room.scarce)
        make_scarce(&wish);
    if (status == BITCASK_OK)
        status = find_out(&view, ledger, &look, &wish, error);
    if (status == BITCASK_OK)
        status = merge_choice_init(&choice, &look, error);
    if (status == BITCASK_OK) {
        list_candidates(&view, &look, &choice, &wish);
        status = merge_choice_make(&choice, &look, &wish, error);
    }
    if (status == BITCASK_OK && choice.count == 0)
        status = BITCASK_END;
    if (status == BITCASK_OK)
        status = run_job(store, &look, &choice, is_behind(&choice, &wish), result, error);
    merge_choice_release(&choice);
    merge_look_end(&look);
    return status;
}
