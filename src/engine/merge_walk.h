/* SPDX-License-Identifier: MIT
 * merge_walk.h: the first half of a merge job: go through the inputs, copy what stays to the
 * outputs, and note what the index is to learn of it.
 *
 * Every record met is live, if the index has exactly its place (M1), or dead; what is live stays,
 * unless it has expired or the job buries it; tombstones, and expired records in their stead, are
 * the judge's affair. Nothing changes but the outputs and the list of moves, which nobody else
 * sees: a walk that fails is forgotten. engine/merge_job.h has the invariants. */
#ifndef ENGINE_MERGE_WALK_H
#define ENGINE_MERGE_WALK_H

#include "engine/merge_job.h"

/* An index entry to be moved to an output or, with to_slot 0, removed, when the manifest names the
 * outputs. Slots have 14 bits. */
struct merge_move {
    uint64_t hash;
    uint32_t from_offset, to_offset;
    uint32_t size; /* of the record, in either place */
    uint16_t from_slot, to_slot;
};
_Static_assert(sizeof(struct merge_move) == 24, "as merge_job.h promises");
_Static_assert(BITCASK_MAX_SEGMENTS <= UINT16_MAX, "a slot fits");

struct merge_walk {
    struct merge_job *job; /* its tally is kept, and `damaged` set */
    struct store *store;
    struct merge_output *output; /* where to copy to */
    uint64_t reap_before; /* wall time; what expired at or before it may go. 0: nothing may */

    struct merge_move *moves; /* in the order of the inputs; free() */
    size_t move_count, move_capacity;
    uint64_t done_bytes;
    uint64_t tick_bytes, tick_records; /* since the last call of progress */
};

/* Go through all inputs of the job. Returns OK; CANCELLED; CORRUPT, with the input marked; what
 * merge_output_add returns; NO_MEMORY. */
bitcask_status merge_walk_inputs(struct merge_walk *walk, bitcask_error *error);

#endif
