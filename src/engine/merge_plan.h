/* SPDX-License-Identifier: MIT
 * merge_plan.h: which segments to merge next: a pure choice from their figures.
 *
 * The scheduler, an explicit merge and the simulation in bench/ all ask this one function.
 *
 * M8. Why a plan that is carried out, and asked for again, comes to an end: a job that is taken for
 * what it wastes makes the store smaller; one that joins small segments makes them fewer, and never
 * more bytes. So a store at rest reaches a state in which nothing is planned. */
#ifndef ENGINE_MERGE_PLAN_H
#define ENGINE_MERGE_PLAN_H

#include "base/bytes.h"

/* Inputs of one job: their ids stand in the SEAL record of its last output. */
enum { MERGE_MAX_INPUTS = 1024 };

struct merge_candidate {
    uint64_t id;
    uint64_t size_bytes; /* of the records */
    uint64_t keep_bytes; /* of what a job would write again: live records, needed tombstones. 0: the
                            segment goes for free */
    uint64_t records;    /* what a job would write again at most */
    uint64_t version_min;
    bool eligible; /* sealed, undamaged, file there */
};

enum merge_join {
    MERGE_JOIN_PAIRS,    /* small segments are joined when there are at least two */
    MERGE_JOIN_DOUBLING, /* a small segment is joined only with others that are together at least as
                            large: however often this is done, a byte is joined but log2 times */
};

struct merge_wish {
    double min_dead;       /* share of bytes not kept from which a segment is worth merging */
    double min_dead_store; /* share of bytes not kept of the whole store from which the worst
                              segments are worth it, whatever they waste; 0: never */
    uint64_t other_bytes;  /* of segments that are no candidates: counted as kept */
    bool all;              /* every eligible segment */
    bool scarce;           /* the disk is nearly full: what frees most per byte written */
    enum merge_join join;
    uint64_t output_bytes;   /* at most as many kept bytes in one job: one output segment */
    uint64_t output_records; /* likewise; 0: no such limit */
    uint64_t room_bytes;     /* free disk space; a job writes no more than this */
};

/* For qsort: oldest versions first. */
int merge_candidate_order(const void *a, const void *b);

/* Choose the inputs of one job among `count` candidates, in merge_candidate_order: sets chosen[i].
 * Takes the segments with the oldest versions first, so that a tombstone meets what it deletes; a
 * segment with nothing to keep costs nothing and is always taken; when room is short, those that
 * fit. A segment with more to keep than one output holds is a job of its own.
 * Small segments (less than a quarter of an output) are joined as wish->join says.
 * If nothing is worth it by itself, but the store wastes min_dead_store: the segment with the
 * highest share, and those nearly as bad. With `scarce`: the segment with the highest share among
 * those worth it, and what goes for free; nothing else.
 * Returns how many were chosen. Cost: O(count). */
size_t merge_plan(const struct merge_candidate *candidates, size_t count,
                  const struct merge_wish *wish, bool *chosen);

/* The share of the whole store's bytes that no job would keep, 0 to 1. */
double merge_plan_dead_share(const struct merge_candidate *candidates, size_t count,
                             uint64_t other_bytes);

/* The share of dead bytes from which wish->min_dead_store may take a segment. */
double merge_plan_store_floor(const struct merge_wish *wish);

#endif
