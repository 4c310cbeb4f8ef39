/* SPDX-License-Identifier: MIT
 * merge_plan.c: which segments to merge next. */
#include "engine/merge_plan.h"

/* Of the store's trigger: a segment that wastes less is not worth it even then. And what "nearly as
 * bad" as the worst means. */
static const double STORE_FLOOR = 0.5, NEARLY = 0.875;

int merge_candidate_order(const void *a, const void *b)
{
    const struct merge_candidate *left = a, *right = b;
    if (left->version_min != right->version_min)
        return left->version_min < right->version_min ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* ---- Figures of a segment ------------------------------------------------------------------- */

static uint64_t dead_bytes(const struct merge_candidate *candidate)
{
    return candidate->keep_bytes < candidate->size_bytes
               ? candidate->size_bytes - candidate->keep_bytes
               : 0;
}

static double dead_share(const struct merge_candidate *candidate)
{
    return candidate->size_bytes == 0
               ? 0
               : (double)dead_bytes(candidate) / (double)candidate->size_bytes;
}

static bool is_small(const struct merge_candidate *candidate, const struct merge_wish *wish)
{
    return candidate->size_bytes < wish->output_bytes / 4 &&
           (wish->output_records == 0 || candidate->records < wish->output_records / 4);
}

/* Worth merging for what it wastes, whatever its neighbours are. */
static bool is_wasteful(const struct merge_candidate *candidate, const struct merge_wish *wish)
{
    if (wish->all || candidate->keep_bytes == 0)
        return true;
    return dead_bytes(candidate) > 0 &&
           (double)dead_bytes(candidate) >= wish->min_dead * (double)candidate->size_bytes;
}

double merge_plan_dead_share(const struct merge_candidate *candidates, size_t count,
                             uint64_t other_bytes)
{
    double dead = 0, all = (double)other_bytes;
    for (size_t i = 0; i < count; i++) {
        dead += (double)dead_bytes(&candidates[i]);
        all += (double)candidates[i].size_bytes;
    }
    return all > 0 ? dead / all : 0;
}

double merge_plan_store_floor(const struct merge_wish *wish)
{
    return STORE_FLOOR * wish->min_dead_store;
}

/* ---- A job's worth -------------------------------------------------------------------------- */

/* What has been chosen so far. */
struct job {
    const struct merge_wish *wish;
    size_t taken, writing; /* segments; those of them with something to keep */
    uint64_t kept_bytes, kept_records;
    bool full;
};

static bool fits_output(const struct job *job, const struct merge_candidate *candidate)
{
    const struct merge_wish *wish = job->wish;
    uint64_t keep = candidate->keep_bytes;
    if (keep > wish->output_bytes || job->kept_bytes > wish->output_bytes - keep)
        return false;
    return wish->output_records == 0 ||
           (candidate->records <= wish->output_records &&
            job->kept_records <= wish->output_records - candidate->records);
}

/* Take it if there is room for it. More than one output's worth only if it is the first, and then
 * nothing else. */
static bool job_take(struct job *job, const struct merge_candidate *candidate)
{
    uint64_t keep = candidate->keep_bytes, room = job->wish->room_bytes;
    if (job->taken == MERGE_MAX_INPUTS)
        return false;
    if (keep > 0) {
        if (job->full || keep > room || job->kept_bytes > room - keep)
            return false;
        if (job->writing > 0 && !fits_output(job, candidate)) {
            job->full = true;
            return false;
        }
        job->kept_bytes += keep;
        job->kept_records += candidate->records;
        job->writing++;
    }
    job->taken++;
    return true;
}

/* ---- Choosing ------------------------------------------------------------------------------- */

/* Small segments with more to keep than this are not to be joined: the largest goes as long as the
 * others together are not as large. */
static uint64_t join_limit(const struct merge_candidate *candidates, size_t count,
                           const struct merge_wish *wish)
{
    uint64_t limit = UINT64_MAX;
    while (wish->join == MERGE_JOIN_DOUBLING &&
           limit > 0) { /* each round at least halves the sum */
        uint64_t sum = 0, largest = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t keep = candidates[i].keep_bytes;
            if (!candidates[i].eligible || !is_small(&candidates[i], wish) || keep > limit)
                continue;
            sum += keep;
            largest = keep > largest ? keep : largest;
        }
        if (sum - largest >= largest)
            return limit;
        limit = largest - 1;
    }
    return limit;
}

/* Choose what is worth it by itself and, with join_up_to above 0, what is worth joining. *vain: a
 * single segment would be written again, and for nothing. */
static size_t choose(const struct merge_candidate *candidates, size_t count,
                     const struct merge_wish *wish, uint64_t join_up_to, bool *chosen, bool *vain)
{
    struct job job = {.wish = wish};
    bool wasteful = false;
    for (size_t i = 0; i < count; i++) {
        const struct merge_candidate *candidate = &candidates[i];
        bool worth = is_wasteful(candidate, wish);
        bool wanted = worth || (is_small(candidate, wish) && candidate->keep_bytes <= join_up_to);
        chosen[i] = candidate->eligible && wanted && job_take(&job, candidate);
        wasteful |= chosen[i] && candidate->keep_bytes > 0 && worth;
    }
    *vain = job.writing == 1 && !wasteful;
    return job.taken;
}

/* Choose what goes for free, and of the others the one with the highest share if that reaches
 * `floor`: with `near` below 1 also those that have that part of its share. */
static size_t choose_worst(const struct merge_candidate *candidates, size_t count,
                           const struct merge_wish *wish, double floor, double near, bool *chosen)
{
    double highest = 0;
    for (size_t i = 0; i < count; i++) {
        const struct merge_candidate *candidate = &candidates[i];
        double share = dead_share(candidate);
        if (candidate->eligible && candidate->keep_bytes > 0 && share > highest &&
            candidate->keep_bytes <= wish->room_bytes)
            highest = share;
    }
    struct job job = {.wish = wish};
    for (size_t i = 0; i < count; i++) {
        const struct merge_candidate *candidate = &candidates[i];
        double share = dead_share(candidate);
        bool bad = highest > 0 && highest >= floor && share >= floor && share >= near * highest &&
                   (near < 1 || job.writing == 0);
        bool wanted = candidate->keep_bytes == 0 || bad;
        chosen[i] = candidate->eligible && wanted && job_take(&job, candidate);
    }
    return job.taken;
}

size_t merge_plan(const struct merge_candidate *candidates, size_t count,
                  const struct merge_wish *wish, bool *chosen)
{
    if (wish->scarce && !wish->all)
        return choose_worst(candidates, count, wish, wish->min_dead, 1, chosen);
    bool vain;
    uint64_t join_up_to = join_limit(candidates, count, wish);
    size_t taken = choose(candidates, count, wish, join_up_to, chosen, &vain);
    if (vain)
        taken = choose(candidates, count, wish, 0, chosen, &vain);
    if (taken == 0 && wish->min_dead_store > 0 &&
        merge_plan_dead_share(candidates, count, wish->other_bytes) >= wish->min_dead_store)
        taken = choose_worst(candidates, count, wish, merge_plan_store_floor(wish), NEARLY, chosen);
    return taken;
}
