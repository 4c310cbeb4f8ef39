/* SPDX-License-Identifier: MIT
 * plan.h: what is done in a run of the simulator, from a seed or from a script.
 *
 * A seed makes a plan: which faults and which operations there are at all (each seed leaves out
 * about half of both), the options of the stores, and a list of steps. Each step has all its
 * numbers in itself, so steps can be left out: that is how a failing plan is made short.
 *
 * A script is a plan as text, one line a step. It says everything, so that what it does stays the
 * same when plan.c comes to make other plans of the same seed: tests/sim/found has those of
 * failures. Fields that are 0 are left out. */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include <stdio.h>

#include "bitcask.h"
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
    STEP_MANY,
    STEP_OPTIONS,
    STEP_CAPACITY,
    STEP_SNAPSHOT,
    STEP_BACKUP,
    STEP_EVICT,
    STEP_FOLLOW,
    STEP_KINDS,
};

enum { STEP_KEYS_MAX = 8, PLAN_STEPS_MAX = 400, STORES_MAX = 2, VALUE_SIZE_MAX = 300000 };

struct step {
    enum step_kind kind;
    uint32_t number; /* in the whole plan: what the disk does during it follows from this */
    uint32_t store;  /* which of them */
    uint32_t keys[STEP_KEYS_MAX];
    uint32_t key_count;
    uint32_t value_size;
    uint32_t deletes; /* of a batch: bit i: delete keys[i] */
    uint32_t sync;    /* bitcask_sync */
    uint32_t flags;
    uint64_t ttl_us; /* 0: none; 1: already past */
    int64_t amount;
    uint32_t crash;            /* enum sim_crash: how the process or the machine ends, if it does */
    uint32_t crash_calls;      /* during so many calls of it; 0: not during it */
    uint32_t recovery_crashes; /* so often during the recovery behind it too */
};

enum damage {
    DAMAGE_NONE,
    DAMAGE_ROT,  /* the store is closed, and sectors of its files change */
    DAMAGE_LIES, /* the device loses and misdirects writes from the step `lies_from` on */
    DAMAGE_KINDS,
};

/* Images of the index: when there is much to gain, at every chance, never. */
enum index { INDEX_USUAL, INDEX_ALWAYS, INDEX_NEVER, INDEX_KINDS };

struct plan {
    uint64_t seed;
    struct sim_config disk;
    uint32_t sync; /* of the stores, at first: bitcask_sync */
    uint64_t segment_max_records;
    uint64_t sync_interval_ms;
    uint32_t keys, stores;
    uint32_t index;  /* enum index: of the stores, at first */
    uint32_t damage; /* enum damage, at the end */
    uint32_t lies_from;
    struct step steps[PLAN_STEPS_MAX];
    size_t step_count;
};

void plan_make(struct plan *plan, uint64_t seed);

/* As a script, and back. plan_read returns false, and says in `what` which line is wrong. */
void plan_write(const struct plan *plan, FILE *to);
bool plan_read(struct plan *plan, FILE *from, char *what, size_t what_size);

#endif
