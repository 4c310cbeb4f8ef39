/* SPDX-License-Identifier: MIT
 * workload.h: a random history on a simulated disk, and how it went.
 *
 * A seed makes a plan: which faults and which operations there are at all (each seed leaves out
 * about half of both), the options of the store, and a list of steps. Each step has all its numbers
 * in itself, so steps can be left out: that is how a failing plan is made short. */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "bitcask.h"
#include "model.h"
#include "sim_disk.h"

enum step_kind {
    STEP_GET,
    STEP_PUT,
    STEP_DELETE,
    STEP_EXPIRE,
    STEP_BATCH,
    STEP_CONDITION,
    STEP_ITERATE,
    STEP_MERGE,
    STEP_VERIFY,
    STEP_SYNC,
    STEP_REOPEN,
    STEP_KILL,
    STEP_POWER_CUT,
    STEP_WAIT,
    STEP_CLOCK,
    STEP_ALLOC,
    STEP_VIEW,
    STEP_KINDS,
};

struct step {
    enum step_kind kind;
    uint32_t number; /* in the whole plan: what the disk does during it follows from this */
    uint32_t keys[8];
    uint32_t key_count;
    uint32_t value_size;
    uint32_t deletes; /* of a batch: bit i: delete keys[i] */
    bitcask_sync sync;
    unsigned flags;
    uint64_t ttl_us; /* 0: none; 1: already past */
    int64_t amount;
    bool armed; /* the process or the machine ends during it */
    enum sim_crash crash;
    uint32_t crash_calls;
    uint32_t recovery_crashes; /* so often during the recovery behind it too */
};

enum { PLAN_STEPS_MAX = 400 };

struct plan {
    uint64_t seed;
    struct sim_config disk;
    bitcask_sync sync;
    uint64_t segment_max_records;
    uint64_t sync_interval_ms;
    uint32_t keys;
    bool rot; /* at the end */
    struct step steps[PLAN_STEPS_MAX];
    size_t step_count;
};

struct outcome {
    bool failed;
    char what[512];
    uint64_t trace;
    uint64_t operations, recoveries;
    struct sim_counts counts;
};

void plan_make(struct plan *plan, uint64_t seed);
void plan_print(const struct plan *plan, FILE *to);

/* log: where to tell what happens, or NULL. After a failure some memory is lost. */
void plan_run(const struct plan *plan, FILE *log, struct outcome *outcome);

#endif
