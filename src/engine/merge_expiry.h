/* SPDX-License-Identifier: MIT
 * merge_expiry.h: how much of a segment has expired, from a sample of its records.
 *
 * The index counts an expired record as live until a merge reaps it, and no figure tells how many
 * there are: so the scheduler looks at up to MERGE_EXPIRY_SAMPLES live records of a segment, spread
 * evenly over its hint, that is at random over its keys. The figure is an estimate, good to some
 * percent; a job that follows from it makes the segment smaller in any case. */
#ifndef ENGINE_MERGE_EXPIRY_H
#define ENGINE_MERGE_EXPIRY_H

#include "engine/merge_judge.h"

enum { MERGE_EXPIRY_SAMPLES = 128, MERGE_EXPIRY_STEPS = 16 };

struct merge_expiry {
    bool sampled;
    double gain; /* of the live bytes: what goes once all that expire have expired */
    uint64_t steps_us[MERGE_EXPIRY_STEPS]; /* by when each sixteenth of that has; ascending */
};

/* Has any record of the segment expired at wall time `time_us`? */
bool merge_expiry_has_begun(const struct segment *segment, uint64_t time_us);

/* Take a sample of segment `index` of the judge's, which is not damaged. A tombstone that a reaped
 * record would leave is taken off what is gained. Without a good hint nothing is gained.
 * Cost: so many reads at random, and for each a look into the hints of older segments. */
void merge_expiry_sample(struct merge_expiry *expiry, struct merge_judge *judge, size_t index);

/* Of `live_bytes`, what a job would not keep at wall time `time_us`. */
uint64_t merge_expiry_gone(const struct merge_expiry *expiry, uint64_t live_bytes,
                           uint64_t time_us);

#endif
