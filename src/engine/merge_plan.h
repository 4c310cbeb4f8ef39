/* SPDX-License-Identifier: MIT
 * merge_plan.h: which segments to merge next: a pure choice from their figures. */
#ifndef ENGINE_MERGE_PLAN_H
#define ENGINE_MERGE_PLAN_H

#include "base/bytes.h"

struct merge_candidate {
    uint64_t id;
    uint64_t size_bytes; /* of the records */
    uint64_t live_bytes;
    uint64_t records, live_records, tombstones;
    uint64_t version_min;
    bool eligible; /* sealed, undamaged, file there */
};

struct merge_wish {
    double min_dead;       /* share of dead bytes from which a segment is worth merging */
    bool all;              /* every eligible segment */
    uint64_t output_bytes; /* at most as many live bytes in one job: one output segment */
    uint64_t room_bytes;   /* free disk space; a job writes no more than this */
};

/* Choose the inputs of one job among `count` candidates (any order): sets chosen[i]. Takes the
 * segments with the oldest versions first, so that a tombstone meets what it deletes; a segment
 * without live records costs nothing and is always taken; when room is short, those that fit.
 * Small segments (less than a quarter of output_bytes) are joined when there are at least two.
 * Returns how many were chosen. */
size_t merge_plan(const struct merge_candidate *candidates, size_t count,
                  const struct merge_wish *wish, bool *chosen);

#endif
