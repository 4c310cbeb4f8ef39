/* SPDX-License-Identifier: MIT
 * merge_schedule.h: merges in the background: when, and what for.
 *
 * A thread of its own, so that sealing and syncing never wait for a merge. It looks at the store
 * when a segment has been sealed, when somebody has merged, and every MERGE_TICK_US; a look is a
 * step per segment, and only if the figures promise something is a job planned and run, one after
 * the other until no job is left. It waits for: the delay after open, the window of hours (a job
 * that has begun is finished), a pause, the budget (engine/merge_gate.h). After a failure, or when
 * it was cancelled, it rests for a tick. A job does not outlive the store: close gives it up.
 *
 * Threads: `store->gate.mutex` guards it; the ledger belongs to who steps. */
#ifndef ENGINE_MERGE_SCHEDULE_H
#define ENGINE_MERGE_SCHEDULE_H

#include "engine/store.h"

enum { MERGE_TICK_US = 60 * 1000000 };

/* Start the thread if the options want it. Returns OK; NO_MEMORY; IO. */
bitcask_status merge_schedule_start(struct store *store, bitcask_error *error);

/* Give up the job that runs, and end the thread. */
void merge_schedule_stop(struct store *store);

/* Something has happened that may make a merge worth while. Cheap; any thread, any lock held. */
void merge_schedule_wake(struct store *store);

/* What bitcask_stats tells. */
struct merge_schedule_report {
    bitcask_merge_state state;
    uint64_t done_bytes, total_bytes; /* of the merge that runs */
    uint64_t next_us;                 /* wall time of the next look; 0: not known */
    uint64_t waited_us;               /* for the budget or paused, in all */
    uint64_t bytes_per_s;             /* the budget; 0: none */
    bitcask_status last_error;        /* of the last job; OK: it went well */
};
void merge_schedule_describe(struct store *store, struct merge_schedule_report *report);

/* For tests, which have no thread: a schedule that is stepped by hand, and one step: look, and run
 * at most one job. Returns how long to wait before the next step unless woken, UINT64_MAX: until
 * then. */
bitcask_status merge_schedule_new(struct store *store, bitcask_error *error);
uint64_t merge_schedule_step(struct store *store);

#endif
