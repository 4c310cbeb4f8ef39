/* SPDX-License-Identifier: MIT
 * merge_plan.h: which segments to merge next: a pure choice from their figures. */
#ifndef ENGINE_MERGE_PLAN_H
#define ENGINE_MERGE_PLAN_H

#include "base/bytes.h"

/* Inputs of one job: their ids stand in the SEAL record of its last output. */
enum { MERGE_MAX_INPUTS = 1024 };

struct merge_candidate {
    uint64_t id;
    uint64_t size_bytes; /* of the records */
    uint64_t keep_bytes; /* of what a job would write again: live records, needed tombstones */
    uint64_t version_min;
    bool eligible; /* sealed, undamaged, file there */
};

struct merge_wish {
    double min_dead;       /* share of bytes not kept from which a segment is worth merging */
    bool all;              /* every eligible segment */
    uint64_t output_bytes; /* at most as many kept bytes in one job: one output segment */
    uint64_t room_bytes;   /* free disk space; a job writes no more than this */
};

/* For qsort: oldest versions first. */
int merge_candidate_order(const void *a, const void *b);

/* Choose the inputs of one job among `count` candidates, in merge_candidate_order: sets chosen[i].
 * Takes the segments with the oldest versions first, so that a tombstone meets what it deletes; a
 * segment with nothing to keep costs nothing and is always taken; when room is short, those that
 * fit. A segment with more to keep than one output holds is a job of its own.
 * Small segments (less than a quarter of output_bytes) are joined when there are at least two.
 * Returns how many were chosen. Cost: O(count). */
size_t merge_plan(const struct merge_candidate *candidates, size_t count,
                  const struct merge_wish *wish, bool *chosen);

#endif
