/* SPDX-License-Identifier: MIT
 * jobs.h: long work beside the loops: merges, backups, verification, flushing.
 *
 * One thread per job, at most one job of a kind. Whoever starts one gets an answer at once; how it
 * goes on is told by INFO, BC.JOBS and the journal. Stopping the server cancels them all and waits
 * for them. */
#ifndef SERVER_JOBS_H
#define SERVER_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

struct jobs;
struct server;

enum job_kind { JOB_MERGE, JOB_BACKUP, JOB_VERIFY, JOB_FLUSH, JOB_KINDS };

struct jobs *jobs_new(void);       /* NULL for want of memory */
void jobs_stop(struct jobs *jobs); /* cancel and wait; before the store is closed */
void jobs_free(struct jobs *jobs);

/* Start one.
 *   directory  of BACKUP: where to; copied. Else NULL
 *   all        of MERGE: every segment
 * Returns OK; BUSY if one of its kind runs; NO_MEMORY. */
bitcask_status jobs_start(struct server *server, enum job_kind kind, const char *directory,
                          bool all, bitcask_error *error);

struct job_report {
    bool running;
    uint64_t runs;                    /* since the start, with the one that runs */
    uint64_t started_us, finished_us; /* wall clock; of the last one; 0: never, not yet */
    uint64_t done, total;             /* bytes; of FLUSH keys */
    bitcask_status status;            /* of the last one that has finished */
    char result[320];                 /* a sentence about it: what it did, or why it failed */
    char figures[320];                /* the same in figures: a JSON object */
};
void jobs_report(struct jobs *jobs, enum job_kind kind, struct job_report *report);
const char *job_name(enum job_kind kind); /* "merge" */

/* The wall clock, in seconds, of the last SAVE, BGSAVE or BC.BACKUP that succeeded; at first of the
 * start. */
uint64_t jobs_last_save_s(const struct jobs *jobs);
void jobs_saved(struct jobs *jobs);

#endif
