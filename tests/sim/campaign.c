/* SPDX-License-Identifier: MIT
 * campaign.c: run random histories on the simulated disk, many or one, and make a failing one
 * short.
 *
 *     sim --seconds=600            a campaign on all processors, with a line that lives
 *     sim --count=200              so many seeds, from --seed=N on
 *     sim --seed=42 [--log]        one seed again (--keep=3,5: only these steps of it)
 *
 * Every seed is run twice and the traces compared. Workers are processes: one that dies or hangs is
 * a failure of the seed that it was at. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "run.h"

enum {
    JOBS_MAX = 64,
    FAILURES_MAX = 32,
    SHRUNK_MAX = 3,
    HANG_S = 120,
    SHRINK_TRIES = 600,
    SAME_FAILURE = 10 /* bytes of its message */
};

struct failure {
    uint64_t seed;
    char what[512];
};

struct totals {
    _Atomic uint64_t runs, operations, recoveries, calls, kills, power_cuts, errors, sync_errors,
        alloc_errors, sectors_damaged, sectors_lost, names_lost, writebacks, evictions, rot;
};

struct shared {
    _Atomic uint64_t next_seed;
    _Atomic bool stop;
    _Atomic uint64_t at[JOBS_MAX]; /* the seed that each worker is at */
    struct totals totals;
    _Atomic unsigned failure_count;
    struct failure failures[FAILURES_MAX];
};

static const char *program;

/* ---- One seed -------------------------------------------------------------------------------- */

static void run_twice(const struct plan *plan, FILE *log, struct outcome *outcome)
{
    struct outcome again;
    plan_run(plan, log, outcome);
    if (outcome->failed)
        return;
    plan_run(plan, NULL, &again);
    if (again.failed || again.trace != outcome->trace) {
        outcome->failed = true;
        snprintf(outcome->what, sizeof outcome->what, "not deterministic: the second run %.400s",
                 again.failed ? again.what : "has another trace");
    }
}

static void add_totals(struct totals *totals, const struct outcome *outcome)
{
    const struct sim_counts *counts = &outcome->counts;
    totals->runs++;
    totals->operations += outcome->operations;
    totals->recoveries += outcome->recoveries;
    totals->calls += counts->calls;
    totals->kills += counts->crashes[SIM_KILL];
    totals->power_cuts += counts->crashes[SIM_POWER_CUT];
    totals->errors += counts->errors + counts->sync_dir_errors;
    totals->sync_errors += counts->sync_errors;
    totals->alloc_errors += counts->alloc_errors;
    totals->sectors_damaged += counts->sectors_damaged;
    totals->sectors_lost += counts->sectors_old;
    totals->names_lost += counts->names_lost;
    totals->writebacks += counts->writebacks;
    totals->evictions += counts->evictions;
    for (int i = 0; i < SIM_ROT_COUNT; i++)
        totals->rot += counts->rot[i];
}

static void note_failure(struct shared *shared, uint64_t seed, const char *what)
{
    unsigned at = atomic_fetch_add(&shared->failure_count, 1);
    if (at >= FAILURES_MAX)
        return;
    shared->failures[at].seed = seed;
    snprintf(shared->failures[at].what, sizeof shared->failures[at].what, "%s", what);
}

static void work(struct shared *shared, unsigned job, uint64_t end_seed)
{
    struct plan *plan = malloc(sizeof *plan);
    CHECK(plan);
    while (!shared->stop) {
        uint64_t seed = atomic_fetch_add(&shared->next_seed, 1);
        if (seed >= end_seed)
            break;
        shared->at[job] = seed;
        alarm(HANG_S);
        struct outcome outcome;
        plan_make(plan, seed);
        run_twice(plan, NULL, &outcome);
        add_totals(&shared->totals, &outcome);
        if (outcome.failed)
            note_failure(shared, seed, outcome.what);
    }
    alarm(0);
    free(plan);
}

/* ---- Shrinking ------------------------------------------------------------------------------- */

/* In a process of its own. False if all was well. */
static bool still_fails(const struct plan *plan, char what[512])
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct outcome outcome;
        alarm(HANG_S);
        CHECK(freopen("/dev/null", "w", stderr));
        run_twice(plan, NULL, &outcome);
        if (outcome.failed)
            CHECK(write(ends[1], outcome.what, sizeof outcome.what) == sizeof outcome.what);
        _exit(outcome.failed);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], what, 512);
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        snprintf(what, 512, "died of signal %d", WTERMSIG(status));
    else if (got <= 0)
        snprintf(what, 512, "exit status %d", WEXITSTATUS(status));
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void cut_steps(const struct plan *plan, size_t from, size_t count, struct plan *shorter)
{
    *shorter = *plan;
    shorter->step_count -= count;
    memmove(&shorter->steps[from], &plan->steps[from + count],
            (plan->step_count - from - count) * sizeof plan->steps[0]);
}

/* Leave out as many steps as possible, in ever smaller runs of them. */
static void shrink(struct plan *plan, char what[512])
{
    struct plan *shorter = malloc(sizeof *shorter);
    CHECK(shorter);
    char why[512];
    unsigned tries = 0;
    for (size_t size = plan->step_count / 2 + 1; size > 0; size /= 2) {
        for (size_t from = 0; from + size <= plan->step_count && tries++ < SHRINK_TRIES;) {
            cut_steps(plan, plan->step_count - from - size, size, shorter);
            if (still_fails(shorter, why) && memcmp(why, what, SAME_FAILURE) == 0) {
                *plan = *shorter;
                memcpy(what, why, sizeof why);
            } else {
                from += size;
            }
        }
    }
    free(shorter);
}

static void explain(uint64_t seed, const struct plan *given)
{
    struct plan *plan = malloc(sizeof *plan);
    CHECK(plan);
    char what[512] = "";
    if (given)
        *plan = *given;
    else
        plan_make(plan, seed);
    if (!still_fails(plan, what)) {
        printf("seed %" PRIu64 " does not fail again\n", seed);
        free(plan);
        return;
    }
    shrink(plan, what);
    printf("\nseed %" PRIu64 ": %s\n", seed, what);
    plan_write(plan, stdout);
    printf("replay: %s --log --seed=%" PRIu64 " --keep=", program, seed);
    for (size_t i = 0; i < plan->step_count; i++)
        printf("%s%u", i > 0 ? "," : "", plan->steps[i].number);
    printf("%s\n", plan->step_count == 0 ? "none" : "");
    free(plan);
}

/* ---- A campaign ------------------------------------------------------------------------------ */

static void print_totals(const struct shared *shared, double seconds, const char *end)
{
    const struct totals *t = &shared->totals;
    printf("%.0f s: %" PRIu64 " runs, %" PRIu64 " operations, %" PRIu64 " calls, %" PRIu64
           " recoveries, %" PRIu64 " kills, %" PRIu64 " power cuts, %" PRIu64 " errors, %" PRIu64
           " failed syncs, %u failures%s",
           seconds, t->runs, t->operations, t->calls, t->recoveries, t->kills, t->power_cuts,
           t->errors, t->sync_errors, shared->failure_count, end);
    fflush(stdout);
}

static void print_rest(const struct shared *shared)
{
    const struct totals *t = &shared->totals;
    printf("    sectors: %" PRIu64 " lost, %" PRIu64 " damaged by power cuts, %" PRIu64
           " written back early, %" PRIu64 " evicted; names lost: %" PRIu64
           "; allocations failed: %" PRIu64 "; rot: %" PRIu64 "\n",
           t->sectors_lost, t->sectors_damaged, t->writebacks, t->evictions, t->names_lost,
           t->alloc_errors, t->rot);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static pid_t start_worker(struct shared *shared, unsigned job, uint64_t end_seed)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        work(shared, job, end_seed);
        exit(0);
    }
    return child;
}

/* Wait for the workers; one that has died is a failure, and another takes its place. */
static void watch(struct shared *shared, pid_t workers[], unsigned jobs, uint64_t end_seed,
                  double seconds)
{
    double start = now_s(), told = start;
    bool live = isatty(STDOUT_FILENO);
    unsigned left = jobs;
    while (left > 0) {
        for (unsigned job = 0; job < jobs; job++) {
            int status;
            if (workers[job] <= 0 || waitpid(workers[job], &status, WNOHANG) != workers[job])
                continue;
            workers[job] = 0;
            left--;
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                continue;
            char what[64];
            snprintf(what, sizeof what, WIFSIGNALED(status) ? "died of signal %d" : "exit %d",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            note_failure(shared, shared->at[job], what);
            if (!shared->stop) {
                workers[job] = start_worker(shared, job, end_seed);
                left++;
            }
        }
        double now = now_s();
        if ((seconds > 0 && now - start >= seconds) || shared->failure_count >= FAILURES_MAX)
            shared->stop = true;
        if (now - told >= (live ? 1 : 30)) {
            told = now;
            print_totals(shared, now - start, live ? "\r" : "\n");
        }
        usleep(20000);
    }
    print_totals(shared, now_s() - start, "\n");
    print_rest(shared);
}

static int campaign(uint64_t seed, uint64_t count, double seconds, unsigned jobs)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    shared->next_seed = seed;
    uint64_t end_seed = count > 0 ? seed + count : UINT64_MAX;
    pid_t workers[JOBS_MAX];
    for (unsigned job = 0; job < jobs; job++)
        workers[job] = start_worker(shared, job, end_seed);
    watch(shared, workers, jobs, end_seed, seconds);
    unsigned failures = shared->failure_count;
    for (unsigned i = 0; i < failures && i < FAILURES_MAX; i++)
        printf("FAILED: seed %" PRIu64 ": %s\n", shared->failures[i].seed,
               shared->failures[i].what);
    for (unsigned i = 0; i < failures && i < SHRUNK_MAX; i++)
        explain(shared->failures[i].seed, NULL);
    munmap(shared, sizeof *shared);
    return failures > 0;
}

/* ---- The command ----------------------------------------------------------------------------- */

static void keep_steps(struct plan *plan, const char *list)
{
    bool kept[PLAN_STEPS_MAX] = {false};
    for (const char *at = list; *at >= '0' && *at <= '9';) {
        char *end;
        unsigned long number = strtoul(at, &end, 10);
        if (number < PLAN_STEPS_MAX)
            kept[number] = true;
        at = *end == ',' ? end + 1 : end;
    }
    size_t count = 0;
    for (size_t i = 0; i < plan->step_count; i++)
        if (kept[plan->steps[i].number])
            plan->steps[count++] = plan->steps[i];
    plan->step_count = count;
}

static int replay(uint64_t seed, const char *keep, bool log)
{
    struct plan *plan = malloc(sizeof *plan);
    struct outcome outcome;
    CHECK(plan);
    plan_make(plan, seed);
    if (keep)
        keep_steps(plan, keep);
    if (log) {
        plan_write(plan, stdout);
        setvbuf(stdout, NULL, _IOLBF, 0);
    }
    run_twice(plan, log ? stdout : NULL, &outcome);
    printf("seed %" PRIu64 ": %s\n", seed, outcome.failed ? outcome.what : "good");
    if (outcome.failed && !log)
        explain(seed, plan);
    free(plan);
    return outcome.failed;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'},
        {"count", required_argument, NULL, 'c'},
        {"jobs", required_argument, NULL, 'j'},
        {"keep", required_argument, NULL, 'k'},
        {"log", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    uint64_t seed = 1, count = 0;
    double seconds = 0;
    long jobs = sysconf(_SC_NPROCESSORS_ONLN);
    const char *keep = NULL;
    bool log = false;
    program = argv[0];
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 's':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 't':
            seconds = strtod(optarg, NULL);
            break;
        case 'c':
            count = strtoull(optarg, NULL, 10);
            break;
        case 'j':
            jobs = strtol(optarg, NULL, 10);
            break;
        case 'k':
            keep = optarg;
            break;
        case 'l':
            log = true;
            break;
        default:
            fprintf(stderr, "usage: sim [--seed=N] [--seconds=S | --count=N] [--jobs=N]\n"
                            "       sim --seed=N [--keep=STEP,...] [--log]\n");
            return 2;
        }
    }
    if (count == 0 && seconds <= 0)
        return replay(seed, keep, log);
    return campaign(seed, count, seconds,
                    jobs < 1          ? 1
                    : jobs > JOBS_MAX ? JOBS_MAX
                                      : (unsigned)jobs);
}
