/* SPDX-License-Identifier: MIT
 * merge_look.h: the store as one merge job sees it: its segments, pinned, and a judge among them.
 */
#ifndef ENGINE_MERGE_LOOK_H
#define ENGINE_MERGE_LOOK_H

#include "engine/merge_judge.h"

struct merge_look {
    struct store *store;
    struct segment **all; /* pinned, by ascending id */
    size_t count;
    uint64_t next_id;
    struct merge_judge judge;
};

/* Look at the store, holding merge_mutex. Whatever it returns, end it. Returns OK; NO_MEMORY; IO.
 * Holds the writers back only while it pins the segments: nothing under write_mutex waits for a
 * disk. */
bitcask_status merge_look_begin(struct merge_look *look, struct store *store, bitcask_error *error);

/* The disk space of what was retired meanwhile is free then, unless a view or an iterator holds
 * it. */
void merge_look_end(struct merge_look *look);

/* Sealed, undamaged, file there (M1). */
bool merge_look_can_be_input(const struct segment *segment);

/* Bytes of its records, live or dead. */
uint64_t merge_look_size(const struct segment *segment);

#endif
