/* SPDX-License-Identifier: MIT
 * plan.c: from a seed to a list of steps. */
#include <string.h>

#include "random.h"
#include "workload.h"

static const char *const STEP_NAMES[] = {
    "get",       "put",   "delete",         "expire",    "batch",  "condition",
    "iterate",   "merge", "verify",         "sync",      "reopen", "kill",
    "power cut", "wait",  "step the clock", "no memory", "view",
};

struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *dice, uint64_t bound)
{
    return random_below(&dice->state, bound);
}

static bool coin(struct dice *dice)
{
    return roll(dice, 2) == 0;
}

/* Off, or one of three rates. */
static uint32_t rate(struct dice *dice, bool on, uint32_t low)
{
    static const uint32_t factors[] = {1, 4, 16};
    uint32_t chance = low * factors[roll(dice, 3)];
    return on && coin(dice) ? chance : 0;
}

/* Each feature is there or not, so that others get their turn without it. */
static void make_disk(struct dice *dice, struct sim_config *disk)
{
    bool faults = coin(dice);
    *disk = (struct sim_config){
        .seed = random_next(&dice->state),
        .lenient = coin(dice),
        .mapped_writes = roll(dice, 4) != 0,
        .writeback = rate(dice, true, 500),
        .eviction = rate(dice, true, 500),
        .read_error = rate(dice, faults, 40),
        .write_error = rate(dice, faults, 100),
        .space_error = rate(dice, faults, 100),
        .sync_error = rate(dice, faults, 400),
        .sync_dir_error = rate(dice, faults, 200),
        .alloc_error = rate(dice, faults, 500),
    };
}

struct weights {
    uint32_t of[STEP_KINDS];
    uint32_t sum;
    bool kills, power_cuts, ttl, large;
};

static void make_weights(struct dice *dice, struct weights *weights)
{
    static const uint32_t usual[STEP_KINDS] = {
        [STEP_GET] = 4,       [STEP_PUT] = 10,      [STEP_DELETE] = 8,  [STEP_EXPIRE] = 2,
        [STEP_BATCH] = 4,     [STEP_CONDITION] = 3, [STEP_ITERATE] = 1, [STEP_MERGE] = 3,
        [STEP_VERIFY] = 1,    [STEP_SYNC] = 2,      [STEP_REOPEN] = 2,  [STEP_KILL] = 1,
        [STEP_POWER_CUT] = 1, [STEP_WAIT] = 1,      [STEP_CLOCK] = 1,   [STEP_ALLOC] = 1,
        [STEP_VIEW] = 1,
    };
    weights->kills = coin(dice);
    weights->power_cuts = roll(dice, 4) != 0;
    weights->ttl = coin(dice);
    weights->large = coin(dice);
    for (int kind = 0; kind < STEP_KINDS; kind++)
        weights->of[kind] = coin(dice) ? usual[kind] * (1 + (uint32_t)roll(dice, 4)) : 0;
    if (weights->of[STEP_PUT] == 0)
        weights->of[STEP_PUT] = 3;
    if (!weights->kills)
        weights->of[STEP_KILL] = 0;
    if (!weights->power_cuts)
        weights->of[STEP_POWER_CUT] = 0;
    if (!weights->ttl)
        weights->of[STEP_EXPIRE] = 0;
    for (int kind = 0; kind < STEP_KINDS; kind++)
        weights->sum += weights->of[kind];
}

static enum step_kind pick(struct dice *dice, const struct weights *weights)
{
    uint64_t at = roll(dice, weights->sum);
    int kind = 0;
    while (at >= weights->of[kind])
        at -= weights->of[kind++];
    return (enum step_kind)kind;
}

static uint32_t pick_size(struct dice *dice, bool large)
{
    uint64_t way = roll(dice, 40);
    if (large && way == 0)
        return 20000 + (uint32_t)roll(dice, 60000);
    if (large && way == 1 && roll(dice, 4) == 0)
        return 270000 + (uint32_t)roll(dice, 20000);
    if (large && way < 5)
        return 3500 + (uint32_t)roll(dice, 2000);
    return way < 15 ? 300 + (uint32_t)roll(dice, 500) : 24 + (uint32_t)roll(dice, 150);
}

static uint64_t pick_ttl(struct dice *dice, bool on)
{
    static const uint64_t ttls[] = {1, 50, 5000000, 120000000, 3600000000ull};
    return on && roll(dice, 3) == 0 ? ttls[roll(dice, 5)] : 0;
}

static int64_t pick_amount(struct dice *dice, enum step_kind kind)
{
    static const int64_t waits[] = {1000, 1500000, 70000000, 200000000, 7200000000ll};
    static const int64_t hour = 3600000000ll;
    static const int64_t steps[] = {-24, -1, 1, 24, 24 * 365};
    if (kind == STEP_CLOCK)
        return steps[roll(dice, 5)] * hour;
    return kind == STEP_WAIT ? waits[roll(dice, 5)] : (int64_t)roll(dice, 1000);
}

static void make_step(struct dice *dice, const struct weights *weights, const struct plan *plan,
                      struct step *step)
{
    static const unsigned conditions[] = {BITCASK_IF_ABSENT, BITCASK_IF_PRESENT, BITCASK_IF_VERSION,
                                          BITCASK_KEEP_TTL};
    uint32_t number = step->number;
    *step = (struct step){
        .number = number,
        .kind = pick(dice, weights),
        .key_count = 2 + (uint32_t)roll(dice, 6),
        .value_size = pick_size(dice, weights->large),
        .deletes = (uint32_t)roll(dice, 256) & (uint32_t)roll(dice, 256),
        .sync = (bitcask_sync)(roll(dice, 3) == 0 ? 1 + roll(dice, 3) : BITCASK_SYNC_DEFAULT),
        .flags = conditions[roll(dice, 4)],
        .ttl_us = pick_ttl(dice, weights->ttl),
        .recovery_crashes = roll(dice, 3) == 0 ? 1 + (uint32_t)roll(dice, 3) : 0,
    };
    for (size_t i = 0; i < 8; i++)
        step->keys[i] = (uint32_t)roll(dice, plan->keys);
    step->amount = pick_amount(dice, step->kind);
    bool any = weights->kills || weights->power_cuts;
    bool busy = step->kind == STEP_MERGE || step->kind == STEP_REOPEN;
    step->armed = roll(dice, busy ? 4 : 40) == 0 && any;
    step->crash = !weights->kills || (weights->power_cuts && coin(dice)) ? SIM_POWER_CUT : SIM_KILL;
    step->crash_calls = 1 + (uint32_t)roll(dice, busy ? 120 : 12);
}

void plan_make(struct plan *plan, uint64_t seed)
{
    struct dice dice = {random_mix(seed + 1)};
    struct weights weights = {0};
    memset(plan, 0, sizeof *plan);
    plan->seed = seed;
    make_disk(&dice, &plan->disk);
    make_weights(&dice, &weights);
    plan->sync = (bitcask_sync)(BITCASK_SYNC_NONE + roll(&dice, 3));
    plan->segment_max_records = coin(&dice) ? 2 + roll(&dice, 30) : 0;
    plan->sync_interval_ms = coin(&dice) ? 1 : 1000;
    plan->keys = coin(&dice) ? 4 : MODEL_KEYS;
    plan->rot = coin(&dice);
    plan->step_count = 20 + (size_t)roll(&dice, PLAN_STEPS_MAX - 20);
    for (size_t i = 0; i < plan->step_count; i++) {
        plan->steps[i].number = (uint32_t)i;
        make_step(&dice, &weights, plan, &plan->steps[i]);
    }
}

/* ---- For people ------------------------------------------------------------------------------ */

static void print_disk(const struct sim_config *disk, FILE *to)
{
    fprintf(to, "disk: %s names, %s", disk->lenient ? "journalled" : "strict",
            disk->mapped_writes ? "mapped" : "written");
    const struct {
        const char *name;
        uint32_t chance;
    } rates[] = {
        {"write back", disk->writeback},           {"evict", disk->eviction},
        {"read errors", disk->read_error},         {"write errors", disk->write_error},
        {"space errors", disk->space_error},       {"sync errors", disk->sync_error},
        {"sync_dir errors", disk->sync_dir_error}, {"no memory", disk->alloc_error},
    };
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (rates[i].chance > 0)
            fprintf(to, ", %s %u", rates[i].name, rates[i].chance);
    fprintf(to, "\n");
}

static void print_step(const struct step *step, FILE *to)
{
    fprintf(to, "%5u %s", step->number, STEP_NAMES[step->kind]);
    bool writes = step->kind == STEP_PUT || step->kind == STEP_BATCH ||
                  step->kind == STEP_CONDITION || step->kind == STEP_DELETE ||
                  step->kind == STEP_EXPIRE;
    if (writes || step->kind == STEP_GET || step->kind == STEP_VIEW)
        for (uint32_t i = 0; i < (step->kind == STEP_BATCH ? step->key_count : 1); i++)
            fprintf(to, " %s%u", step->kind == STEP_BATCH && step->deletes >> i & 1 ? "-" : "",
                    step->keys[i]);
    if (writes)
        fprintf(to, " size %u sync %d ttl %llu", step->value_size, step->sync,
                (unsigned long long)step->ttl_us);
    if (step->kind == STEP_CONDITION)
        fprintf(to, " flags %u", step->flags);
    if (step->kind == STEP_WAIT || step->kind == STEP_CLOCK || step->kind == STEP_ALLOC ||
        step->kind == STEP_MERGE)
        fprintf(to, " %lld", (long long)step->amount);
    if (step->armed)
        fprintf(to, "; %s at call %u", step->crash == SIM_KILL ? "kill" : "power cut",
                step->crash_calls);
    if (step->recovery_crashes > 0)
        fprintf(to, "; crashes in recovery: %u", step->recovery_crashes);
    fprintf(to, "\n");
}

void plan_print(const struct plan *plan, FILE *to)
{
    static const char *const syncs[] = {"default", "none", "interval", "always"};
    fprintf(to, "seed %llu: sync %s (%llu ms), max records %llu, %u keys%s\n",
            (unsigned long long)plan->seed, syncs[plan->sync],
            (unsigned long long)plan->sync_interval_ms,
            (unsigned long long)plan->segment_max_records, plan->keys,
            plan->rot ? ", rot at the end" : "");
    print_disk(&plan->disk, to);
    for (size_t i = 0; i < plan->step_count; i++)
        print_step(&plan->steps[i], to);
}
