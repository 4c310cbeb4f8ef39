/* SPDX-License-Identifier: MIT
 * run.c: carry out a plan: opening, crashes, recoveries, steps. */
#include "run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "random.h"

void fail(struct run *run, const char *form, ...)
{
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(run->outcome->what, sizeof run->outcome->what, form, arguments);
    va_end(arguments);
    run->outcome->failed = true;
    longjmp(run->out, 1);
}

void tell(struct run *run, const char *form, ...)
{
    if (!run->log)
        return;
    va_list arguments;
    va_start(arguments, form);
    fprintf(run->log, "    ");
    vfprintf(run->log, form, arguments);
    fprintf(run->log, "\n");
    va_end(arguments);
}

/* ---- Reasons --------------------------------------------------------------------------------- */

bool is_read_only(struct run *run)
{
    return run->at->store && atomic_load(&run->at->store->write_status) != 0;
}

static uint64_t errors_in(const struct sim_counts *counts)
{
    return counts->errors + counts->full + counts->sync_errors + counts->sync_dir_errors +
           counts->alloc_errors;
}

uint64_t errors_of(struct run *run)
{
    return errors_in(sim_disk_counts(run->disk));
}

bool is_explained(struct run *run)
{
    return errors_of(run) > errors_in(&run->before) || is_read_only(run);
}

bool log_sync_failed(struct run *run)
{
    return sim_disk_counts(run->disk)->log_sync_errors > run->before.log_sync_errors;
}

void note_suspect(struct run *run)
{
    if (!is_read_only(run) || !is_explained(run))
        return;
    run->at->suspect = true;
    run->at->may_lose |= log_sync_failed(run);
}

void begin_step(struct run *run)
{
    run->before = *sim_disk_counts(run->disk);
    memset(&run->error, 0, sizeof run->error);
}

void expect_reason(struct run *run, const char *what, bitcask_status status)
{
    bool full = status == BITCASK_NO_SPACE && sim_disk_is_limited(run->disk);
    if (status < 0 && !sim_disk_dead(run->disk) && !is_explained(run) && !full)
        fail(run, "%s: %s without a reason: %s", what, bitcask_status_name(status),
             run->error.message);
}

/* ---- What is durable ------------------------------------------------------------------------- */

void advance_durable(struct run *run, size_t atoms)
{
    struct side *side = run->at;
    const struct sim_counts *counts = sim_disk_counts(run->disk);
    uint64_t lies = counts->lost_writes + counts->misdirected_writes;
    if (atoms <= side->model.durable)
        return;
    /* What was durable before has a SYNC record behind it now, or the manifest tells its length. */
    if (lies == side->lies)
        side->model.vouched = side->model.durable;
    side->model.durable = atoms;
    side->lies = lies;
}

/* Does the store take all of its log for durable? It is held to it. */
static bool says_it_is_synced(struct store *store)
{
    struct segments *table = &store->segments;
    bool synced = true;
    for (size_t i = 0; i < table->count; i++) {
        struct segment *segment = table->by_id[i];
        uint32_t state = atomic_load(&segment->state);
        if (segment->kind == SEGMENT_LOG &&
            (state == BITCASK_SEGMENT_ACTIVE || state == BITCASK_SEGMENT_SEALING))
            synced &= atomic_load(&segment->synced) >= atomic_load(&segment->end);
    }
    return synced;
}

/* A write in `interval` mode is durable when the first write that comes a whole interval later has
 * returned, whoever has synced it (D7). */
static void check_interval(struct run *run)
{
    struct side *side = run->at;
    uint64_t now = sim_disk_boot(run->disk);
    if (errors_of(run) > errors_in(&run->before) || is_read_only(run))
        side->excused_us = now;
    if (says_it_is_synced(side->store) && !is_read_only(run))
        advance_durable(run, side->model.atom_count);
    uint64_t interval_us = side->store->options.sync_interval_ms * 1000;
    for (size_t i = side->model.durable; run->wrote && i < side->model.atom_count; i++) {
        const struct model_atom *atom = &side->model.atoms[i];
        uint64_t since = atom->at_us > side->excused_us ? atom->at_us : side->excused_us;
        if (atom->interval && !atom->unknown && now - since > interval_us + 100)
            fail(run, "a write of the interval is not durable after %" PRIu64 " us [D7]",
                 now - since);
    }
}

/* ---- Opening and ends ------------------------------------------------------------------------ */

static void take_event(void *context, const bitcask_log_event *event)
{
    struct run *run = context;
    run->at->warnings += event->level >= BITCASK_LOG_WARN;
    if (!run->log)
        return;
    fprintf(run->log, "        (%s", event->name);
    for (size_t i = 0; i < event->field_count; i++) {
        const bitcask_log_field *field = &event->fields[i];
        if (field->kind == BITCASK_FIELD_UINT)
            fprintf(run->log, " %s=%" PRIu64, field->name, field->number);
        else
            fprintf(run->log, " %s='%.*s'", field->name, (int)field->bytes.size,
                    (const char *)field->bytes.data);
    }
    fprintf(run->log, ")\n");
}

/* Whatever expired a minute ago may go for good, in a merge or with a whole segment, while the
 * clock goes on as it did at the opening. */
static void allow_reaping(struct run *run)
{
    static const uint64_t margin_us = 60 * 1000000ull;
    uint64_t now = sim_disk_now(run->disk);
    if (run->at->clock_steps_us == 0 && now > margin_us)
        model_reap(&run->at->model, now - margin_us);
}

bitcask_status try_open(struct run *run)
{
    struct side *side = run->at;
    bitcask_options options;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.sync = (bitcask_sync)side->sync;
    options.sync_interval_ms = run->plan->sync_interval_ms;
    options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    options.segment_max_records = side->segment_max_records;
    options.index_snapshot = side->index != INDEX_NEVER;
    if (side->index == INDEX_ALWAYS)
        options.index_snapshot_bytes = 1;
    options.log = take_event;
    options.log_context = run;
    side->warnings = 0;
    side->opened_errors = errors_of(run);
    side->clock_steps_us = 0;
    allow_reaping(run);
    side->excused_us = sim_disk_boot(run->disk);
    side->suspect = false;
    bitcask_status status =
        store_open(sim_disk_os(run->disk), side->directory, &options, &side->store, &run->error);
    side->db = (bitcask *)side->store;
    sim_disk_note(run->disk, (uint64_t)(int64_t)status);
    tell(run, "open %s: %s %s", side->directory, bitcask_status_name(status),
         status == BITCASK_OK ? "" : run->error.message);
    return status;
}

void open_for_certain(struct run *run)
{
    sim_disk_faults(run->disk, false);
    begin_step(run);
    bitcask_status status = try_open(run);
    if (status != BITCASK_OK)
        fail(run, "open: %s: %s", bitcask_status_name(status), run->error.message);
}

void abandon_all(struct run *run)
{
    struct side *at = run->at;
    for (uint32_t i = 0; i < run->plan->stores; i++) {
        run->at = &run->sides[i];
        release_holds(run);
        if (run->at->store)
            store_abandon(run->at->store);
        run->at->store = NULL;
        run->at->db = NULL;
    }
    run->at = at;
    check_leaks(run, "after a crash");
    sim_disk_restart(run->disk);
}

/* The process or the machine has ended. */
static void note_crash(struct run *run, uint32_t crash)
{
    /* A failed sync that the crash left no time to make good loses as much as a power cut. */
    run->at->may_lose |= log_sync_failed(run);
    for (uint32_t i = 0; i < run->plan->stores && crash == SIM_POWER_CUT; i++)
        run->sides[i].may_lose = true;
    abandon_all(run);
}

enum { TRIES = 6 };

/* One try; it may crash, and fail as long as there is a reason. In the end nothing fails any more.
 */
static bool opens(struct run *run, const struct step *step, unsigned attempt)
{
    sim_disk_faults(run->disk, attempt < TRIES / 2);
    if (attempt >= TRIES / 2)
        sim_disk_set_capacity(run->disk, 0);
    if (step && attempt < step->recovery_crashes)
        sim_disk_arm(run->disk, (enum sim_crash)step->crash,
                     1 + random_mix(step->number * 8 + attempt) % 100);
    begin_step(run);
    bitcask_status status = try_open(run);
    sim_disk_arm(run->disk, SIM_KILL, 0);
    run->at->may_lose |= log_sync_failed(run);
    if (sim_disk_dead(run->disk)) {
        note_crash(run, step->crash);
        return false;
    }
    if (status == BITCASK_OK && (!is_read_only(run) || attempt < TRIES))
        return true;
    if (status != BITCASK_OK)
        check_leaks(run, "after an opening that failed");
    if (!is_explained(run) || attempt > 2 * TRIES)
        fail(run, "open: %s without a reason: %s", bitcask_status_name(status), run->error.message);
    return false;
}

void recover(struct run *run, const struct step *step)
{
    struct side *at = run->at;
    run->outcome->recoveries++;
    unsigned attempt = 0;
    for (uint32_t i = 0; i < run->plan->stores;) {
        run->at = &run->sides[i];
        if (run->at->store) {
            i++;
        } else if (opens(run, step, attempt++)) {
            resolve(run);
        } else {
            i = 0; /* those that were open may have gone too */
        }
    }
    sim_disk_faults(run->disk, true);
    run->at = at;
}

void close_store(struct run *run)
{
    struct side *side = run->at;
    release_holds(run);
    bool was_read_only = is_read_only(run);
    bitcask_status status = store_close(side->store, &run->error);
    side->store = NULL;
    side->db = NULL;
    tell(run, "close: %s %s", bitcask_status_name(status),
         status == BITCASK_OK ? "" : run->error.message);
    check_leaks(run, "after closing");
    if (sim_disk_dead(run->disk))
        return;
    if (status == BITCASK_OK)
        advance_durable(run, side->model.atom_count);
    else if (!was_read_only)
        expect_reason(run, "close", status);
    side->may_lose |= status != BITCASK_OK && log_sync_failed(run);
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static void end_step(struct run *run, const struct step *step)
{
    if (sim_disk_dead(run->disk)) {
        note_crash(run, step->kind == STEP_KILL        ? SIM_KILL
                        : step->kind == STEP_POWER_CUT ? SIM_POWER_CUT
                                                       : step->crash);
        recover(run, step);
    } else if (!run->at->store) {
        recover(run, step);
    } else {
        check_interval(run);
        if (!is_read_only(run) || run->lying) /* an opening would see what the lies have done */
            return;
        note_suspect(run);
        if (step->number % 4 == 0) {
            begin_step(run);
            close_store(run);
            recover(run, step);
        }
    }
}

void run_step(struct run *run, const struct step *step)
{
    if (run->log)
        fprintf(run->log, "%u: %s\n", step->number, OPERATIONS[step->kind].name);
    run->at = &run->sides[step->store];
    run->wrote = false;
    sim_disk_reseed(run->disk, step->number);
    begin_step(run);
    allow_reaping(run);
    if (step->crash_calls > 0)
        sim_disk_arm(run->disk, (enum sim_crash)step->crash, step->crash_calls);
    OPERATIONS[step->kind].run(run, step);
    sim_disk_arm(run->disk, SIM_KILL, 0);
    run->outcome->operations++;
    run->outcome->of_kind[step->kind]++;
    end_step(run, step);
}

/* ---- The end --------------------------------------------------------------------------------- */

/* Close, open, and all is as it was; twice, without a fault. */
static void finish(struct run *run)
{
    begin_step(run);
    for (int i = 0; i < 2; i++) {
        close_store(run);
        open_for_certain(run);
        resolve(run);
    }
    check_all(run, "at the end [R5]");
    check_backup(run);
    op_iterate(run, NULL);
    bitcask_status status = bitcask_verify(run->at->db, NULL, NULL, &run->error);
    if (status != BITCASK_OK)
        fail(run, "verify at the end: %s", run->error.message);
}

static void close_at_the_end(struct run *run)
{
    bitcask_status status = store_close(run->at->store, &run->error);
    run->at->store = NULL;
    run->at->db = NULL;
    if (status != BITCASK_OK)
        fail(run, "close at the end: %s", run->error.message);
    check_leaks(run, "at the end");
}

static void for_each_side(struct run *run, void (*each)(struct run *run))
{
    for (uint32_t i = 0; i < run->plan->stores; i++) {
        run->at = &run->sides[i];
        each(run);
    }
}

static void run_steps(struct run *run)
{
    const struct plan *plan = run->plan;
    struct os *os = sim_disk_os(run->disk);
    for (uint32_t i = 0; i < plan->stores; i++)
        CHECK(os->make_dir(os, run->sides[i].directory) == 0);
    CHECK(os->sync_dir(os, ".") == 0);
    recover(run, NULL);
    size_t i = 0;
    for (; i < plan->step_count; i++) {
        if (plan->damage == DAMAGE_LIES && plan->steps[i].number >= plan->lies_from)
            break;
        run_step(run, &plan->steps[i]);
        if (i % 16 == 0)
            check_all(run, "now and then");
    }
    sim_disk_fail_alloc(run->disk, 0);
    sim_disk_faults(run->disk, false);
    sim_disk_set_capacity(run->disk, 0);
    for_each_side(run, finish);
    if (plan->damage == DAMAGE_LIES) {
        damage_by_lies(run, i);
    } else {
        for_each_side(run, close_at_the_end);
        if (plan->damage == DAMAGE_ROT)
            damage_by_rot(run);
    }
}

static void release(struct run *run)
{
    for (uint32_t i = 0; i < run->plan->stores; i++)
        model_free(&run->sides[i].model);
    sim_disk_free(run->disk);
    bitcask_buffer_free(&run->buffer);
    free(run->value);
    free(run);
}

void plan_run(const struct plan *plan, FILE *log, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    struct run *run = calloc(1, sizeof *run);
    CHECK(run);
    run->plan = plan;
    run->log = log;
    run->outcome = outcome;
    run->value = malloc(VALUE_SIZE_MAX);
    CHECK(run->value);
    run->disk = sim_disk_new(&plan->disk);
    sim_disk_log(run->disk, log);
    for (uint32_t i = 0; i < plan->stores; i++) {
        snprintf(run->sides[i].backup_directory, sizeof run->sides[i].backup_directory, "backup%u",
                 i);
        snprintf(run->sides[i].directory, sizeof run->sides[i].directory, "store%u", i);
        run->sides[i].sync = plan->sync;
        run->sides[i].segment_max_records = plan->segment_max_records;
        run->sides[i].index = plan->index;
    }
    run->at = &run->sides[0];
    if (setjmp(run->out) == 0) {
        run_steps(run);
        outcome->trace = sim_disk_trace(run->disk);
    }
    outcome->simulated_us = sim_disk_boot(run->disk);
    outcome->counts = *sim_disk_counts(run->disk);
    if (!outcome->failed) /* else what the store holds is lost */
        release(run);
}
