/* SPDX-License-Identifier: MIT
 * merge_choice.h: the inputs of one merge job: candidates, the room on the disk, and the plan. */
#ifndef ENGINE_MERGE_CHOICE_H
#define ENGINE_MERGE_CHOICE_H

#include "engine/merge_look.h"
#include "engine/merge_plan.h"

struct merge_choice {
    struct merge_candidate *candidates; /* the caller adds them */
    size_t candidate_count;
    bool *chosen;
    struct segment **inputs;         /* by ascending id; borrowed from the look */
    size_t count;                    /* of inputs; 0: there is nothing to do */
    uint64_t keep_bytes, size_bytes; /* of the inputs */
};

/* What the disk has left. */
struct merge_room {
    uint64_t free_bytes;
    uint64_t room_bytes; /* of those, what a job may keep */
    bool scarce;         /* the disk is nearly full, or the store nearly at its limit */
    bool limited;        /* max_disk_bytes leaves less than the disk */
};

/* Make room for all segments of the look. Returns OK or NO_MEMORY. Release it in any case. */
bitcask_status merge_choice_init(struct merge_choice *choice, const struct merge_look *look,
                                 bitcask_error *error);
void merge_choice_release(struct merge_choice *choice);

/* Add a candidate of which a job would keep `keep_bytes`. */
void merge_choice_add(struct merge_choice *choice, const struct segment *segment,
                      uint64_t keep_bytes);

/* For a job in a store of so many segments. Returns OK or IO. */
bitcask_status merge_choice_room(struct store *store, size_t segments, struct merge_room *room,
                                 bitcask_error *error);

/* Plan a job among the candidates, with as much room as there is. Tells the look's judge about the
 * inputs. Returns OK; IO; NO_SPACE if only the lack of room stands between
 * the wish and a job, with a message that says how much it needs. */
bitcask_status merge_choice_make(struct merge_choice *choice, struct merge_look *look,
                                 const struct merge_wish *wish, bitcask_error *error);

#endif
