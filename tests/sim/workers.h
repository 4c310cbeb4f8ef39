/* SPDX-License-Identifier: MIT
 * workers.h: a campaign: seed after seed, on several processes. */
#ifndef SIM_WORKERS_H
#define SIM_WORKERS_H

#include "report.h"

enum { JOBS_MAX = 64, FAILURES_MAX = 32 };

struct failure {
    uint64_t seed;
    char what[512];
};

struct campaign {
    /* What is wanted. */
    uint64_t end_seed; /* not included */
    double seconds;    /* 0: until the end */
    unsigned jobs;
    /* Shared by the workers. */
    _Atomic uint64_t next_seed;
    _Atomic bool stop;
    _Atomic uint64_t at[JOBS_MAX]; /* the seed that each worker is at */
    struct totals totals;
    _Atomic unsigned failure_count;
    struct failure failures[FAILURES_MAX];
    double took_s;
};

/* In memory that child processes share; zero. */
struct campaign *campaign_new(void);
void campaign_free(struct campaign *campaign);

/* Run it, telling how it goes. A worker that dies or hangs is a failure of the seed it was at. */
void campaign_run(struct campaign *campaign);

#endif
