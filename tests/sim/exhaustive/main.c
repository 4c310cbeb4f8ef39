/* SPDX-License-Identifier: MIT
 * main.c: everything, in a fixed order, instead of random samples.
 *
 *     exhaustive [PART...]        these parts; all of them if none is named
 *     exhaustive --stride=97                       every 97th case
 *     exhaustive --case=NAME --log                 that one again, telling each call
 *
 *   scripts    a crash before every call of short scripts, in each sync mode, with and without a
 *              sync that fails in one of three manners, times twenty outcomes of a power cut
 *   sequences  every sequence of up to three operations, a crash before every call
 *   recoveries a crash before every call of a few scripts, and of the recovery a power cut before
 *              every call
 *   sectors    every fault of every sector of every file of a sample store */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "work.h"

static const struct {
    const char *name;
    void (*run)(struct work *work);
} PARTS[] = {
    {"scripts", crash_scripts},
    {"sequences", crash_sequences},
    {"recoveries", crash_recoveries},
    {"sectors", damage_sectors},
};
enum { PART_COUNT = sizeof PARTS / sizeof PARTS[0] };

/* ---- Cases ----------------------------------------------------------------------------------- */

bool work_takes(struct work *work, const char *name)
{
    uint64_t number = work->next++;
    bool takes =
        work->only ? strcmp(work->only, name) == 0
                   : number % work->stride == 0 && number / work->stride % work->jobs == work->job;
    if (takes) {
        atomic_fetch_add(&work->tally->cases, 1);
        snprintf(work->tally->at[work->job], NAME_MAX_SIZE, "%s", name);
    }
    return takes;
}

bool work_skips(const struct work *work, const char *begin)
{
    return work->only && strncmp(work->only, begin, strlen(begin)) != 0;
}

void work_failed(struct work *work, const char *name, const char *what)
{
    unsigned at = atomic_fetch_add(&work->tally->failure_count, 1);
    if (at >= FAILURES_MAX)
        return;
    snprintf(work->tally->failures[at].name, NAME_MAX_SIZE, "%s", name);
    snprintf(work->tally->failures[at].what, sizeof work->tally->failures[at].what, "%s", what);
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_jobs(struct work *work, void (*run)(struct work *work))
{
    pid_t children[JOBS_MAX];
    fflush(stdout);
    for (uint64_t job = 0; job < work->jobs; job++) {
        children[job] = fork();
        CHECK(children[job] >= 0);
        if (children[job] == 0) {
            work->job = job;
            run(work);
            _exit(0);
        }
    }
    for (uint64_t job = 0; job < work->jobs; job++) {
        int status;
        CHECK(waitpid(children[job], &status, 0) == children[job]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            work_failed(work, work->tally->at[job],
                        WIFSIGNALED(status) ? "the process died of a signal" : "the process ended");
    }
}

static void print_failures(const struct tally *tally, const char *program)
{
    unsigned count = tally->failure_count;
    for (unsigned i = 0; i < count && i < FAILURES_MAX; i++)
        printf("FAILED: %s: %s\n", tally->failures[i].name, tally->failures[i].what);
    if (count > 0)
        printf("%u failures; again: %s --case=%s --log\n", count, program, tally->failures[0].name);
}

static bool run_part(unsigned part, struct work *work, const char *program)
{
    struct tally *tally =
        mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(tally != MAP_FAILED);
    work->tally = tally;
    work->next = 0;
    double began = now_s();
    if (work->only)
        PARTS[part].run(work);
    else
        run_jobs(work, PARTS[part].run);
    printf("%s: %" PRIu64 " cases, %" PRIu64 " crashes, %" PRIu64 " calls, %.0f s\n",
           PARTS[part].name, tally->cases, tally->crashes, tally->calls, now_s() - began);
    if (PARTS[part].run == damage_sectors)
        sectors_print(tally);
    print_failures(tally, program);
    bool good = tally->failure_count == 0 && tally->cases > 0;
    munmap(tally, sizeof *tally);
    return good;
}

static bool is_wanted(unsigned part, const char *only, char **names)
{
    size_t size = strlen(PARTS[part].name);
    if (only)
        return strncmp(only, PARTS[part].name, size) == 0 && only[size] == ':';
    if (!*names)
        return true;
    for (; *names; names++)
        if (strcmp(*names, PARTS[part].name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"stride", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'j'},
        {"case", required_argument, NULL, 'c'},
        {"log", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    long jobs = sysconf(_SC_NPROCESSORS_ONLN);
    struct work work = {.stride = 1};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's') {
            work.stride = strtoull(optarg, NULL, 10);
        } else if (option == 'j') {
            jobs = strtol(optarg, NULL, 10);
        } else if (option == 'c') {
            work.only = optarg;
        } else if (option == 'l') {
            work.log = stdout;
            setvbuf(stdout, NULL, _IOLBF, 0);
        } else {
            fprintf(
                stderr,
                "usage: exhaustive [--stride=N] [--jobs=N] [scripts|sequences|recoveries|sectors]\n"
                "       exhaustive --case=NAME [--log]\n");
            return 2;
        }
    }
    work.jobs = work.only || jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : (uint64_t)jobs;
    if (work.stride == 0)
        work.stride = 1;
    bool good = true, any = false;
    for (unsigned part = 0; part < PART_COUNT; part++) {
        if (!is_wanted(part, work.only, argv + optind))
            continue;
        any = true;
        good &= run_part(part, &work, argv[0]);
    }
    if (!any)
        fprintf(stderr, "exhaustive: no such part or case\n");
    return any && good ? 0 : 1;
}
