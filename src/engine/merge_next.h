/* SPDX-License-Identifier: MIT
 * merge_next.h: the scheduler's next job: from the figures of the segments to a job that is done.
 *
 * What a job would keep of a segment takes work to find out: tombstones are judged one by one, what
 * has expired is sampled. The ledger keeps what has been found out. A tombstone that is needed
 * stays needed until merges have removed what it hides: so a segment's are judged again only when
 * as many bytes have gone elsewhere as they take, or when a thorough look is asked for. So
 * tombstones that cannot go yet neither are written again for ever nor cost a look each time. */
#ifndef ENGINE_MERGE_NEXT_H
#define ENGINE_MERGE_NEXT_H

#include "engine/merge_expiry.h"
#include "engine/merge_gate.h"

struct merge_note { /* what has been found out about one segment */
    uint64_t id;
    bool judged;           /* its tombstones have been */
    uint64_t needed_bytes; /* that they take */
    uint64_t at_bytes;     /* reclaimed by merges until then */
    uint64_t at_jobs;      /* done until then */
    double dead_share;     /* when its expiry was sampled */
    struct merge_expiry expiry;
};

struct merge_ledger {
    struct merge_note *notes; /* by ascending id */
    size_t count;
};

void merge_ledger_release(struct merge_ledger *ledger);

/* Do the figures look as if there were something to do? `thorough`: what has been judged before the
 * last job might come out otherwise now. Takes no lock but that of the table.
 * Cost: a step per segment. */
bool merge_next_is_likely(struct store *store, const struct merge_ledger *ledger, bool thorough);

/* Plan a job and run it, holding merge_mutex. `thorough`: judge anew what has been judged before
 * the last job. *result has its figures (struct_size apart). Returns OK; END if there is nothing to
 * do; else as merge_job_run, NO_SPACE too if there is no room for any job. */
bitcask_status merge_next_run(struct store *store, struct merge_ledger *ledger, bool thorough,
                              bitcask_merge_result *result, bitcask_error *error);

#endif
