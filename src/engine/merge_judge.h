/* SPDX-License-Identifier: MIT
 * merge_judge.h: may another segment hold an older version of this key?
 *
 * A tombstone of version t hides every older record of its key. It can go once nothing is left to
 * hide outside the job. The answer is exact where it can be, and errs on the side of "may hold":
 *
 *     the other segment                                     may hold an older version
 *     an input of the same job                              no: it goes with the tombstone
 *     has no records, or none of version t or below         no
 *     ACTIVE or SEALING, MISSING, damaged                   yes
 *     SEALED without a hint that is good and covers it all  yes
 *     its hint's filter does not have the key's hash        no
 *     its hint does not have the key                        no
 *     the hint's newest is of a version above t             no: that one hides the rest itself
 *     the hint's newest is a tombstone                      no: likewise
 *     otherwise                                             yes
 *
 * Besides, a tombstone that is younger than the option tombstone_min_age_ms stays: followers that
 * have an older version of the key are to meet it.
 *
 * Segments made after the judge hold newer versions only. A data file that the manifest does not
 * name (an input that could not be unlinked, and would count again if MANIFEST were lost) may hold
 * anything. */
#ifndef ENGINE_MERGE_JUDGE_H
#define ENGINE_MERGE_JUDGE_H

#include "engine/hint_file.h"
#include "engine/store.h"

struct merge_judge_segment {
    struct segment *segment; /* pinned by the caller */
    uint32_t state;          /* when the judge was made */
    uint64_t version_min;    /* likewise; 0: no records */
    bool input;
    bool opened, good; /* its hint */
    struct hint_file hint;
};

struct merge_judge {
    struct store *store;
    struct merge_judge_segment *segments; /* by ascending id */
    size_t count;
    struct merge_judge_segment **by_version; /* lowest versions first, once `ordered` */
    bool ordered;
    uint64_t old_version; /* tombstones above it are too young to go */
    bool strays;          /* there are data files that nobody names */
};

/* Judge among `all`, by ascending id, which the caller has pinned while it held write_mutex, so
 * that no record was between its append and its figures. The pins must outlast the judge. Returns
 * OK or NO_MEMORY. */
bitcask_status merge_judge_init(struct merge_judge *judge, struct store *store,
                                struct segment *const *all, size_t count, bitcask_error *error);
void merge_judge_release(struct merge_judge *judge);

/* Look for data files with an id below `next_id` (the table's when the judge was made) that are
 * none of the judge's segments. Returns OK or IO. */
bitcask_status merge_judge_find_strays(struct merge_judge *judge, uint64_t next_id,
                                       bitcask_error *error);

/* Count a segment among the inputs of the job. */
void merge_judge_add_input(struct merge_judge *judge, uint64_t id);

/* May a segment that is no input hold a version of `key` below or at `version`?
 * Cost: for each segment that reaches as low, a look into its filter, a cache line; where that says
 * yes, into its hint, two pages or three. */
bool merge_judge_may_hold(struct merge_judge *judge, uint64_t hash, slice key, uint64_t version);

/* Must a tombstone of `version` stay: because it hides something, or because it is younger than
 * tombstone_min_age_ms? */
bool merge_judge_keeps(struct merge_judge *judge, uint64_t hash, slice key, uint64_t version);

/* How many of the tombstones in the hint of segment `id` are needed if it alone is merged, and the
 * bytes they take; all of them if its hint is no good. */
struct merge_judge_tombstones {
    uint64_t needed, needed_bytes, free;
};
void merge_judge_count(struct merge_judge *judge, uint64_t id,
                       struct merge_judge_tombstones *tombstones);

#endif
