/* SPDX-License-Identifier: MIT
 * op_store.c: operations on the store, the disk and the clock; and the table of all. */
#include <inttypes.h>

#include "engine/reclaim.h"
#include "run.h"

static void op_merge(struct run *run, const struct step *step)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = step->amount % 2 == 0;
    options.min_dead = (double)(step->amount % 10) / 20;
    bitcask_merge_result result = {.struct_size = sizeof result};
    bitcask_status status = bitcask_merge(run->at->db, &options, &result, &run->error);
    tell(run, "merge: %s, %" PRIu64 " to %" PRIu64 " %s", bitcask_status_name(status),
         result.inputs, result.outputs, status < 0 ? run->error.message : "");
    expect_reason(run, "merge [M5]", status);
    check_all(run, "after a merge [M3, M4]");
}

/* What is away must stay away; a snapshot that is held goes on seeing it. */
static void op_evict(struct run *run, const struct step *step)
{
    struct store *store = run->at->store;
    if (is_read_only(run))
        return;
    store->options.eviction = step->amount % 2 == 0 ? BITCASK_EVICT_OLDEST : BITCASK_EVICT_EXPIRING;
    model_evict(&run->at->model);
    merge_gate_enter_quietly(store);
    bitcask_status status = reclaim_evict(store, &run->error);
    merge_gate_leave(store);
    tell(run, "evict: %s %s", bitcask_status_name(status), status < 0 ? run->error.message : "");
    expect_reason(run, "evict [M7]", status);
    for (uint32_t key = 0; key < MODEL_KEYS && !sim_disk_dead(run->disk); key++) {
        struct model_seen seen;
        if (look(run, key, &seen) < 0 || sim_disk_dead(run->disk))
            continue;
        if (!model_fits(model_now(&run->at->model, key), &seen))
            misfit(run, "after an eviction [M7]", key, &seen);
        if (status >= 0) /* else a manifest that may be there or not decides when it is opened */
            model_settle(&run->at->model, key, &seen);
    }
    check_all(run, "after an eviction [M7]");
}

static void op_sync(struct run *run, const struct step *step)
{
    (void)step;
    bitcask_status status = bitcask_sync_now(run->at->db, &run->error);
    tell(run, "sync: %s %s", bitcask_status_name(status), status < 0 ? run->error.message : "");
    expect_reason(run, "sync", status);
    if (status == BITCASK_OK && !sim_disk_dead(run->disk))
        advance_durable(run, run->at->model.atom_count);
}

static void op_reopen(struct run *run, const struct step *step)
{
    (void)step;
    close_store(run);
}

/* The same with other options from now on. */
static void op_options(struct run *run, const struct step *step)
{
    struct side *side = run->at;
    side->sync = step->sync == BITCASK_SYNC_DEFAULT ? run->plan->sync : step->sync;
    side->segment_max_records = step->amount % 4 == 0 ? 0 : 1 + (uint64_t)step->amount % 25;
    side->index = (uint32_t)step->amount / 25 % INDEX_KINDS;
    sim_disk_set_mapped_writes(run->disk, step->flags != BITCASK_KEEP_TTL);
    close_store(run);
}

static void op_kill(struct run *run, const struct step *step)
{
    (void)step;
    sim_disk_crash(run->disk, SIM_KILL);
}

static void op_power_cut(struct run *run, const struct step *step)
{
    (void)step;
    sim_disk_crash(run->disk, SIM_POWER_CUT);
}

static void op_wait(struct run *run, const struct step *step)
{
    sim_disk_advance(run->disk, (uint64_t)step->amount);
}

static void op_clock(struct run *run, const struct step *step)
{
    sim_disk_step_clock(run->disk, step->amount);
    for (uint32_t i = 0; i < run->plan->stores; i++)
        run->sides[i].clock_steps_us += step->amount;
}

static void op_no_memory(struct run *run, const struct step *step)
{
    sim_disk_fail_alloc(run->disk, 1 + (uint64_t)step->amount % 20);
}

/* The disk has so much room left from now on; 0: as much as anyone wants. */
static void op_capacity(struct run *run, const struct step *step)
{
    uint64_t room = (uint64_t)step->amount;
    sim_disk_set_capacity(run->disk, room == 0 ? 0 : sim_disk_used(run->disk) + room);
}

const struct operation OPERATIONS[STEP_KINDS] = {
    [STEP_GET] = {"get", USES_KEY, 4, op_get},
    [STEP_PUT] = {"put", USES_KEY | USES_WRITE, 10, op_write},
    [STEP_DELETE] = {"delete", USES_KEY | USES_SYNC, 8, op_write},
    [STEP_EXPIRE] = {"expire", USES_KEY | USES_WRITE, 2, op_write},
    [STEP_BATCH] = {"batch", USES_KEYS | USES_WRITE | USES_DELETES, 4, op_batch},
    [STEP_CONDITION] = {"condition", USES_KEY | USES_WRITE | USES_FLAGS | USES_AMOUNT, 3, op_write},
    [STEP_ITERATE] = {"iterate", 0, 1, op_iterate},
    [STEP_MERGE] = {"merge", USES_AMOUNT | BUSY, 3, op_merge},
    [STEP_VERIFY] = {"verify", 0, 1, op_verify},
    [STEP_SYNC] = {"sync", 0, 2, op_sync},
    [STEP_REOPEN] = {"reopen", BUSY | CLOSES, 2, op_reopen},
    [STEP_KILL] = {"kill", CLOSES, 1, op_kill},
    [STEP_POWER_CUT] = {"power_cut", CLOSES, 1, op_power_cut},
    [STEP_WAIT] = {"wait", USES_AMOUNT, 1, op_wait},
    [STEP_CLOCK] = {"clock", USES_AMOUNT, 1, op_clock},
    [STEP_ALLOC] = {"no_memory", USES_AMOUNT, 1, op_no_memory},
    [STEP_VIEW] = {"view", USES_KEY, 1, op_view},
    [STEP_MANY] = {"get_many", USES_KEYS, 1, op_many},
    [STEP_OPTIONS] = {"options", USES_SYNC | USES_FLAGS | USES_AMOUNT | BUSY | CLOSES, 1,
                      op_options},
    [STEP_SNAPSHOT] = {"snapshot", USES_AMOUNT, 2, op_snapshot},
    [STEP_BACKUP] = {"backup", USES_AMOUNT | BUSY, 1, op_backup},
    [STEP_EVICT] = {"evict", USES_AMOUNT | BUSY, 0, op_evict},    /* plan.c says when */
    [STEP_FOLLOW] = {"follow", USES_AMOUNT | BUSY, 0, op_follow}, /* the same */
    [STEP_CAPACITY] = {"capacity", USES_AMOUNT, 1, op_capacity},
};
