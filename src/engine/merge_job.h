/* SPDX-License-Identifier: MIT
 * merge_job.h: one merge job: rewrite what is live of some segments, and let go of them.
 *
 * Invariants, in the order in which the job comes to rely on them:
 *   M1  A record of an input is dropped as dead only if it was published and then superseded: the
 *       inputs were chosen while the caller held write_mutex, so nothing in them is unpublished.
 *   M2  What superseded it is durable: the log is synced behind the last judgement.
 *   M3  The last output's SEAL record, which outdoes the inputs if MANIFEST is lost, is written
 *       behind all that.
 *   M4  The inputs are unlinked only when a manifest without them is durable, and when no index
 *       entry points at them any more.
 *   M5  An index entry is moved only from the very place that was copied: who wrote the key
 *       meanwhile wins.
 *
 * Memory: 24 bytes for each record copied, one 1-MiB buffer, and what hints take to build. */
#ifndef ENGINE_MERGE_JOB_H
#define ENGINE_MERGE_JOB_H

#include "engine/merge_judge.h"
#include "engine/merge_output.h"

struct merge_tally {
    uint64_t outputs;
    uint64_t input_bytes, output_bytes; /* up to the ends of the records */
    uint64_t records_copied, records_dropped;
    uint64_t tombstones_kept, tombstones_dropped;
    uint64_t records_buried,
        buried_bytes; /* of records_dropped: was live, and taken from the index */
};

/* What else is to go, beside what is dead. All but COPY go by the hints of the inputs and read only
 * the records that stay. */
enum merge_bury {
    MERGE_COPY,          /* nothing; expired records go as they are met */
    MERGE_BURY_EXPIRED,  /* every record that expires, in inputs in which all of those have expired
                            (by the rule of engine/reap_clock.h, else they stay) */
    MERGE_BURY_EXPIRING, /* every record that expires */
    MERGE_BURY_ALL,
};

struct merge_job {
    struct store *store;
    struct merge_judge *judge;     /* knows the inputs */
    struct segment *const *inputs; /* by ascending id; pinned by the caller */
    size_t input_count;
    uint64_t expected_bytes; /* of the outputs; a guess */
    enum merge_bury bury;
    /* Called now and then; nonzero cancels. */
    int (*progress)(void *context, uint64_t done_bytes, uint64_t written_bytes);
    void *context;

    struct merge_tally tally;      /* set on OK */
    const struct segment *damaged; /* set on CORRUPT: the input to leave alone */
};

/* Run the job. Returns OK; CANCELLED; CORRUPT if an input turns out to be damaged (it is marked,
 * and a job without it can be tried); NO_SPACE, IO, NO_MEMORY, UNKNOWN. Unless it returns OK
 * nothing has changed, or, if two manifests in a row could not be written, the store is poisoned.
 */
bitcask_status merge_job_run(struct merge_job *job, bitcask_error *error);

/* Add the figures of a job that is done to a result. */
void merge_tally_add(bitcask_merge_result *result, const struct merge_job *job);

#endif
