/* SPDX-License-Identifier: MIT
 * merge_plan.c: which segments to merge next. */
#include "engine/merge_plan.h"

int merge_candidate_order(const void *a, const void *b)
{
    const struct merge_candidate *left = a, *right = b;
    if (left->version_min != right->version_min)
        return left->version_min < right->version_min ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

static bool is_small(const struct merge_candidate *candidate, const struct merge_wish *wish)
{
    return candidate->size_bytes < wish->output_bytes / 4;
}

/* Worth merging for what it wastes, whatever its neighbours are. */
static bool is_wasteful(const struct merge_candidate *candidate, const struct merge_wish *wish)
{
    if (wish->all || candidate->keep_bytes == 0)
        return true;
    if (candidate->keep_bytes >= candidate->size_bytes)
        return false;
    uint64_t dead = candidate->size_bytes - candidate->keep_bytes;
    return (double)dead >= wish->min_dead * (double)candidate->size_bytes;
}

/* Choose with or without small segments that are only worth joining. *vain: a single segment would
 * be written again, and for nothing. */
static size_t choose(const struct merge_candidate *candidates, size_t count,
                     const struct merge_wish *wish, bool join_small, bool *chosen, bool *vain)
{
    uint64_t kept = 0;
    size_t taken = 0, writing = 0;
    bool full = false, wasteful = false;
    for (size_t i = 0; i < count; i++) {
        const struct merge_candidate *candidate = &candidates[i];
        uint64_t keep = candidate->keep_bytes;
        bool wanted = candidate->eligible &&
                      (is_wasteful(candidate, wish) || (join_small && is_small(candidate, wish)));
        bool fits =
            keep == 0 || (!full && keep <= wish->room_bytes && kept <= wish->room_bytes - keep);
        chosen[i] = false;
        if (!wanted || !fits || taken == MERGE_MAX_INPUTS)
            continue;
        /* More than one output's worth only if it is the first, and then nothing else. */
        if (keep > 0 && kept > 0 &&
            (keep > wish->output_bytes || kept > wish->output_bytes - keep)) {
            full = true;
            continue;
        }
        chosen[i] = true;
        kept += keep;
        taken++;
        writing += keep > 0;
        wasteful |= keep > 0 && is_wasteful(candidate, wish);
    }
    *vain = writing == 1 && !wasteful;
    return taken;
}

size_t merge_plan(const struct merge_candidate *candidates, size_t count,
                  const struct merge_wish *wish, bool *chosen)
{
    bool vain;
    size_t taken = choose(candidates, count, wish, true, chosen, &vain);
    return vain ? choose(candidates, count, wish, false, chosen, &vain) : taken;
}
