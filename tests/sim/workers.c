/* SPDX-License-Identifier: MIT
 * workers.c: see workers.h. */
#include "workers.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "shrink.h"

struct campaign *campaign_new(void)
{
    struct campaign *campaign =
        mmap(NULL, sizeof *campaign, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(campaign != MAP_FAILED);
    return campaign;
}

void campaign_free(struct campaign *campaign)
{
    munmap(campaign, sizeof *campaign);
}

static void note_failure(struct campaign *campaign, uint64_t seed, const char *what)
{
    unsigned at = atomic_fetch_add(&campaign->failure_count, 1);
    if (at >= FAILURES_MAX)
        return;
    campaign->failures[at].seed = seed;
    snprintf(campaign->failures[at].what, sizeof campaign->failures[at].what, "%s", what);
}

static void work(struct campaign *campaign, unsigned job)
{
    struct plan *plan = malloc(sizeof *plan);
    CHECK(plan);
    while (!campaign->stop) {
        uint64_t seed = atomic_fetch_add(&campaign->next_seed, 1);
        if (seed >= campaign->end_seed)
            break;
        campaign->at[job] = seed;
        alarm(HANG_S);
        struct outcome outcome;
        plan_make(plan, seed);
        run_twice(plan, NULL, &outcome);
        totals_add(&campaign->totals, &outcome);
        if (outcome.failed)
            note_failure(campaign, seed, outcome.what);
    }
    alarm(0);
    free(plan);
}

static pid_t start_worker(struct campaign *campaign, unsigned job)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        work(campaign, job);
        exit(0);
    }
    return child;
}

/* Has it ended, and for good? One that died is a failure, and another takes its place. */
static bool has_ended(struct campaign *campaign, unsigned job, pid_t *worker)
{
    int status;
    if (*worker == 0 || waitpid(*worker, &status, WNOHANG) != *worker)
        return false;
    *worker = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    char what[64];
    snprintf(what, sizeof what, WIFSIGNALED(status) ? "died of signal %d" : "exit %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    note_failure(campaign, campaign->at[job], what);
    if (campaign->stop)
        return true;
    *worker = start_worker(campaign, job);
    return false;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void campaign_run(struct campaign *campaign)
{
    pid_t workers[JOBS_MAX];
    for (unsigned job = 0; job < campaign->jobs; job++)
        workers[job] = start_worker(campaign, job);
    double start = now_s(), told = start;
    bool live = isatty(STDOUT_FILENO);
    for (unsigned left = campaign->jobs; left > 0; usleep(20000)) {
        for (unsigned job = 0; job < campaign->jobs; job++)
            left -= has_ended(campaign, job, &workers[job]);
        double now = now_s();
        if ((campaign->seconds > 0 && now - start >= campaign->seconds) ||
            campaign->failure_count >= FAILURES_MAX)
            campaign->stop = true;
        if (now - told >= (live ? 1 : 30)) {
            told = now;
            report_line(&campaign->totals, now - start, campaign->failure_count,
                        live ? "\r" : "\n");
        }
    }
    campaign->took_s = now_s() - start;
    report_line(&campaign->totals, campaign->took_s, campaign->failure_count, "\n");
}
