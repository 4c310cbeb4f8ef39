/* SPDX-License-Identifier: MIT
 * plan.c: from a seed to a list of steps. */
#include <string.h>

#include "model.h"
#include "operations.h"
#include "random.h"

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
    disk->sync_forgets = disk->seed % 4 == 0; /* without a roll: what the others are stays */
}

struct weights {
    uint32_t of[STEP_KINDS];
    uint32_t sum;
    bool kills, power_cuts, ttl, large;
};

static void make_weights(struct dice *dice, struct weights *weights)
{
    weights->kills = coin(dice);
    weights->power_cuts = roll(dice, 4) != 0;
    weights->ttl = coin(dice);
    weights->large = coin(dice);
    for (int kind = 0; kind < STEP_KINDS; kind++) {
        uint32_t weight = OPERATIONS[kind].weight;
        weights->of[kind] = weight != 0 && coin(dice) ? weight * (1 + (uint32_t)roll(dice, 4)) : 0;
    }
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
    static const int64_t room[] = {0, 0, 100, 5000, 70000, 200000, 400000};
    if (kind == STEP_CAPACITY)
        return room[roll(dice, 7)];
    if (kind == STEP_CLOCK)
        return steps[roll(dice, 5)] * hour;
    return kind == STEP_WAIT ? waits[roll(dice, 5)] : (int64_t)roll(dice, 1000);
}

static void make_crash(struct dice *dice, const struct weights *weights, bool busy,
                       struct step *step)
{
    bool any = weights->kills || weights->power_cuts;
    bool kill = weights->kills && !(weights->power_cuts && coin(dice));
    if (roll(dice, 3) == 0 && any)
        step->recovery_crashes = 1 + (uint32_t)roll(dice, 3);
    if (roll(dice, busy ? 4 : 40) == 0 && any)
        step->crash_calls = 1 + (uint32_t)roll(dice, busy ? 120 : 12);
    if (step->recovery_crashes > 0 || step->crash_calls > 0)
        step->crash = kill ? SIM_KILL : SIM_POWER_CUT;
}

static void make_step(struct dice *dice, const struct weights *weights, const struct plan *plan,
                      uint32_t number, struct step *step)
{
    static const unsigned conditions[] = {BITCASK_IF_ABSENT, BITCASK_IF_PRESENT, BITCASK_IF_VERSION,
                                          BITCASK_KEEP_TTL};
    enum step_kind kind = pick(dice, weights);
    unsigned uses = OPERATIONS[kind].uses;
    *step = (struct step){.number = number, .kind = kind};
    step->store = (uint32_t)roll(dice, plan->stores);
    uint32_t keys = uses & USES_KEYS ? 2 + (uint32_t)roll(dice, 6) : 1;
    step->key_count = uses & (USES_KEY | USES_KEYS) ? keys : 0;
    for (uint32_t i = 0; i < step->key_count; i++)
        step->keys[i] = (uint32_t)roll(dice, plan->keys);
    if (uses & USES_VALUE) {
        step->value_size = pick_size(dice, weights->large);
        step->ttl_us = pick_ttl(dice, weights->ttl);
    }
    if (uses & USES_SYNC && roll(dice, 3) == 0)
        step->sync = 1 + (uint32_t)roll(dice, 3);
    if (uses & USES_DELETES)
        step->deletes = (uint32_t)roll(dice, 1u << keys) & (uint32_t)roll(dice, 1u << keys);
    if (uses & USES_FLAGS)
        step->flags = conditions[roll(dice, 4)];
    if (uses & USES_AMOUNT)
        step->amount = pick_amount(dice, kind);
    make_crash(dice, weights, uses & BUSY, step);
}

/* The device lies during the last steps: one sector of some, or many. */
static void make_liar(struct dice *dice, struct plan *plan)
{
    static const uint32_t rates[] = {300, 2000, 20000};
    plan->lies_from = (uint32_t)(plan->step_count - roll(dice, plan->step_count / 2));
    plan->disk.lost_write = coin(dice) ? rates[roll(dice, 3)] : 0;
    plan->disk.misdirected_write =
        plan->disk.lost_write == 0 || coin(dice) ? rates[roll(dice, 3)] : 0;
}

/* In a quarter of the plans half of the merges are evictions. With dice of their own, so that the
 * other plans are what they were before there was any; not while the device lies, since what is
 * away then is held to have been told. */
static void make_evictions(struct plan *plan)
{
    struct dice dice = {random_mix(plan->seed ^ 0xcac4e)};
    if (roll(&dice, 4) != 0)
        return;
    for (size_t i = 0; i < plan->step_count; i++) {
        struct step *step = &plan->steps[i];
        if (step->kind == STEP_MERGE && coin(&dice) &&
            (plan->damage != DAMAGE_LIES || step->number < plan->lies_from))
            step->kind = STEP_EVICT;
    }
}

/* In half of the plans there are followers, in the place of some of the reads: with dice of their
 * own, as evictions, and not while the device lies. */
static void make_followers(struct plan *plan)
{
    struct dice dice = {random_mix(plan->seed ^ 0xf0110)};
    if (coin(&dice))
        return;
    for (size_t i = 0; i < plan->step_count; i++) {
        struct step *step = &plan->steps[i];
        bool reads = step->kind == STEP_GET || step->kind == STEP_ITERATE ||
                     step->kind == STEP_MANY || step->kind == STEP_VIEW;
        if (!reads || coin(&dice) ||
            (plan->damage == DAMAGE_LIES && step->number >= plan->lies_from))
            continue;
        *step = (struct step){
            .kind = STEP_FOLLOW,
            .number = step->number,
            .store = step->store,
            .amount = (int64_t)roll(&dice, 1000),
            .crash = step->crash,
            .crash_calls = step->crash_calls,
            .recovery_crashes = step->recovery_crashes,
        };
    }
}

void plan_make(struct plan *plan, uint64_t seed)
{
    struct dice dice = {random_mix(seed + 1)};
    struct weights weights = {0};
    memset(plan, 0, sizeof *plan);
    plan->seed = seed;
    make_disk(&dice, &plan->disk);
    make_weights(&dice, &weights);
    plan->sync = BITCASK_SYNC_NONE + (uint32_t)roll(&dice, 3);
    plan->segment_max_records = coin(&dice) ? 2 + roll(&dice, 30) : 0;
    plan->sync_interval_ms = coin(&dice) ? 1 : 1000;
    plan->keys = coin(&dice) ? 4 : MODEL_KEYS;
    plan->stores = roll(&dice, 4) == 0 ? 2 : 1;
    plan->index = (uint32_t)roll(&dice, INDEX_KINDS);
    plan->damage = (uint32_t)roll(&dice, DAMAGE_KINDS);
    plan->step_count = 20 + (size_t)roll(&dice, PLAN_STEPS_MAX - 20);
    if (plan->damage == DAMAGE_LIES)
        make_liar(&dice, plan);
    for (size_t i = 0; i < plan->step_count; i++)
        make_step(&dice, &weights, plan, (uint32_t)i, &plan->steps[i]);
    make_evictions(plan);
    make_followers(plan);
}
