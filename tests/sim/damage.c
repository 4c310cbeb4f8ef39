/* SPDX-License-Identifier: MIT
 * damage.c: the end of some runs: sectors rot, or the device has lied for some steps.
 *
 * What is asked: a key is as it was, or CORRUPT, or its loss (it is gone, or an older value shows)
 * is told: by a warning at opening, or by verify. Never a value that the key has not had.
 *
 * A lost write that nothing behind it vouches for cannot be told from a write that was never made:
 * the end of the log, above the last watermark, after a crash (docs/DURABILITY.md). Such a key may
 * be as it was at any moment since model.vouched. So it is with what takes a failed append back. */
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "run.h"

struct damage_report {
    const char *where;
    size_t floor;  /* a key may be as after so many atoms, or later, untold */
    bool *good;    /* by key */
    unsigned lost; /* keys, of which somebody must tell */
    unsigned corrupt, untold;
};

/* Could the key have looked so after some number of atoms from `floor` on? */
static bool fits_since(struct model *model, size_t floor, uint32_t key,
                       const struct model_seen *seen)
{
    size_t all = model->atom_count;
    bool fits = false;
    for (size_t count = floor; count <= all && !fits; count++) {
        model->atom_count = count;
        fits = model_fits(model_now(model, key), seen);
    }
    model->atom_count = all;
    for (size_t i = floor; i < all && !fits; i++) /* what ended in UNKNOWN may show too */
        for (size_t w = 0; model->atoms[i].unknown && w < model->atoms[i].count; w++) {
            const struct model_write *write = &model->writes[model->atoms[i].first + w];
            fits |= write->key == key && model_fits(write, seen);
        }
    return fits;
}

static void look_at_damage(struct run *run, struct damage_report *report)
{
    struct model *model = &run->at->model;
    report->lost = report->corrupt = report->untold = 0;
    for (uint32_t key = 0; key < run->plan->keys; key++) {
        struct model_seen seen;
        bitcask_status status = look(run, key, &seen);
        report->good[key] = false;
        report->corrupt += status == BITCASK_CORRUPT;
        if (status == BITCASK_CORRUPT)
            continue;
        if (status < 0)
            fail(run, "%s: key %u: %s", report->where, key, run->error.message);
        if (seen.present && !model_knows(model, key, seen.value) &&
            !model_has_failed(model, key, seen.value, 0))
            fail(run, "%s: key %u is value %u, which it never had", report->where, key, seen.value);
        report->good[key] = model_fits(model_now(model, key), &seen);
        if (report->good[key])
            continue;
        if (fits_since(model, report->floor, key, &seen) ||
            (seen.present && model_has_failed(model, key, seen.value, report->floor)))
            report->untold++;
        else
            report->lost++;
    }
}

static bool is_empty(struct run *run)
{
    uint64_t now = sim_disk_now(run->disk);
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        const struct model_write *write = model_now(&run->at->model, key);
        if (write && !write->vague && !write->evictable && model_lives(write, now, now) == 1)
            return false;
    }
    return true;
}

static void write_anew(struct run *run)
{
    for (uint32_t key = 0; key < run->plan->keys; key++) {
        struct step step = {.kind = STEP_PUT,
                            .number = PLAN_STEPS_MAX + key,
                            .keys = {key},
                            .key_count = 1,
                            .value_size = 100};
        op_write(run, &step);
    }
}

/* Where an image of the index and a hint are both damaged, a part of the index cannot be had, and
 * says so; opening again goes by the data. */
static void open_for_the_index(struct run *run, const char *where)
{
    struct model_seen seen;
    uint64_t warnings = run->at->warnings;
    for (uint32_t key = 0; key < run->plan->keys; key++) {
        if (look(run, key, &seen) != BITCASK_IO)
            continue;
        store_abandon(run->at->store);
        if (try_open(run) != BITCASK_OK)
            fail(run, "%s: open again: %s", where, run->error.message);
        run->at->warnings += warnings + 1;
        return;
    }
}

/* Look, verify, merge, look, write everything anew, reopen: it must all work. */
static void live_with_damage(struct run *run, const char *where, size_t floor, bool unreadable)
{
    bool good[MODEL_KEYS] = {false}, still[MODEL_KEYS] = {false};
    struct damage_report report = {.where = where, .floor = floor, .good = good};
    open_for_the_index(run, where);
    uint64_t warnings = run->at->warnings;
    look_at_damage(run, &report);
    bitcask_status status = bitcask_verify(run->at->db, NULL, NULL, &run->error);
    bool told = warnings > 0 || status == BITCASK_CORRUPT;
    if (report.lost > 0 && !told)
        fail(run, "%s: %u keys are lost, and nobody tells [R2]", where, report.lost);
    run->outcome->keys_corrupt += report.corrupt;
    run->outcome->keys_told += told ? report.lost + report.untold : 0;
    run->outcome->keys_untold += told ? 0 : report.untold;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    status = bitcask_merge(run->at->db, &options, NULL, &run->error);
    if (status != BITCASK_OK && status != BITCASK_CORRUPT && !unreadable)
        fail(run, "%s: merge: %s", where, run->error.message);
    struct damage_report after = {.where = where, .floor = floor, .good = still};
    look_at_damage(run, &after);
    for (uint32_t key = 0; key < run->plan->keys; key++)
        if (good[key] && !still[key])
            fail(run, "%s: key %u was good before a merge [M1, M3]", where, key);
    write_anew(run);
    check_all(run, "after damage");
    status = store_close(run->at->store, &run->error);
    run->at->store = NULL;
    run->at->db = NULL;
    if (status != BITCASK_OK)
        fail(run, "%s: close: %s", where, run->error.message);
    open_for_certain(run);
    check_all(run, "reopened after damage");
    store_abandon(run->at->store);
    run->at->store = NULL;
}

/* ---- Rot ------------------------------------------------------------------------------------- */

/* The version ceiling goes with the manifest. What is left knows of versions: records and hints. */
static void forget_ceiling(struct model *model)
{
    uint64_t highest = 0;
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        const struct model_write *write = model_now(model, key);
        if (write && write->value != 0 && !write->vague && !write->evictable &&
            write->version > highest)
            highest = write->version;
    }
    model->max_version = highest;
}

void damage_by_rot(struct run *run)
{
    run->at = &run->sides[0];
    sim_disk_reseed(run->disk, PLAN_STEPS_MAX);
    uint64_t random = random_mix(run->plan->seed ^ PLAN_STEPS_MAX);
    unsigned times = 1 + (unsigned)(random_next(&random) % 3 == 0);
    char where[300] = "rot in", one[128];
    bool unreadable = false;
    for (unsigned i = 0; i < times; i++) {
        enum sim_rot kind = (enum sim_rot)(random_next(&random) % SIM_ROT_COUNT);
        unreadable |= kind == SIM_UNREADABLE;
        run->at->stale |= kind == SIM_STALE;
        sim_disk_rot(run->disk, run->at->directory, kind, one, sizeof one);
        if (strstr(one, "MANIFEST") != NULL)
            forget_ceiling(&run->at->model);
        snprintf(where + strlen(where), sizeof where - strlen(where), " %s(%d)", one, kind);
    }
    tell(run, "%s", where);
    begin_step(run);
    bitcask_status status = try_open(run);
    if (status == BITCASK_IO && unreadable)
        return;
    /* Without the manifest, and with no good header in a data file, there is nothing to go by. */
    if (status == BITCASK_CORRUPT && (is_empty(run) || (times > 1 && strstr(where, "MANIFEST"))))
        return;
    if (status != BITCASK_OK)
        fail(run, "%s: open: %s", where, run->error.message);
    live_with_damage(run, where, run->at->model.atom_count, unreadable);
}

/* ---- A device that lies ---------------------------------------------------------------------- */

static uint64_t lies_of(struct run *run)
{
    const struct sim_counts *counts = sim_disk_counts(run->disk);
    return counts->lost_writes + counts->misdirected_writes;
}

/* How the lying ends: a clean close, or not. Returns what it is called. */
static const char *end_lies(struct run *run)
{
    uint64_t random = random_mix(run->plan->seed ^ PLAN_STEPS_MAX);
    struct side *side = &run->sides[0];
    run->at = side;
    begin_step(run);
    switch (random_next(&random) % 3) {
    case 0:
        close_store(run);
        side->model.vouched = side->model.atom_count;
        sim_disk_lie(run->disk, false);
        sim_disk_crash(run->disk, SIM_KILL);
        abandon_all(run);
        return "a close, lies before";
    case 1:
        sim_disk_lie(run->disk, false);
        sim_disk_crash(run->disk, SIM_KILL);
        abandon_all(run);
        return "a kill, lies before";
    default:
        sim_disk_lie(run->disk, false);
        sim_disk_crash(run->disk, SIM_POWER_CUT);
        abandon_all(run);
        return "a power cut, lies before";
    }
}

void damage_by_lies(struct run *run, size_t first)
{
    uint64_t before = lies_of(run);
    sim_disk_set_eviction(run->disk, 0); /* nobody is to see it yet */
    sim_disk_lie(run->disk, true);
    run->lying = true;
    for (size_t i = first; i < run->plan->step_count; i++) {
        const struct step *step = &run->plan->steps[i];
        if (!(OPERATIONS[step->kind].uses & CLOSES) && step->crash_calls == 0)
            run_step(run, step);
    }
    run->lying = false;
    sim_disk_fail_alloc(run->disk, 0);
    sim_disk_set_capacity(run->disk, 0);
    const char *where = end_lies(run);
    run->at->stale = true; /* if the last manifest is lost, its version ceiling is */
    sim_disk_evict(run->disk);
    tell(run, "%s: %llu sectors", where, (unsigned long long)(lies_of(run) - before));
    begin_step(run);
    bitcask_status status = try_open(run);
    if (status == BITCASK_CORRUPT)
        return; /* told */
    if (status != BITCASK_OK)
        fail(run, "%s: open: %s", where, run->error.message);
    live_with_damage(run, where, run->at->model.vouched, false);
}
