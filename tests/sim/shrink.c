/* SPDX-License-Identifier: MIT
 * shrink.c: see shrink.h. */
#include "shrink.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

enum { SHRINK_TRIES = 600, SAME_FAILURE = 10 /* bytes of its message */ };

void run_twice(const struct plan *plan, FILE *log, struct outcome *outcome)
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

bool plan_fails(const struct plan *plan, char what[512])
{
    int ends[2];
    fflush(stdout);
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

/* Take the shorter one if it fails likewise. */
static bool take(struct plan *plan, const struct plan *shorter, char what[512])
{
    char why[512];
    if (!plan_fails(shorter, why) || memcmp(why, what, SAME_FAILURE) != 0)
        return false;
    *plan = *shorter;
    memcpy(what, why, sizeof why);
    return true;
}

static void cut_steps(const struct plan *plan, size_t from, size_t count, struct plan *shorter)
{
    *shorter = *plan;
    shorter->step_count -= count;
    memmove(&shorter->steps[from], &plan->steps[from + count],
            (plan->step_count - from - count) * sizeof plan->steps[0]);
}

/* In ever smaller runs of them. */
static void shrink_steps(struct plan *plan, struct plan *shorter, char what[512])
{
    unsigned tries = 0;
    for (size_t size = plan->step_count / 2 + 1; size > 0; size /= 2) {
        for (size_t from = 0; from + size <= plan->step_count && tries++ < SHRINK_TRIES;) {
            cut_steps(plan, plan->step_count - from - size, size, shorter);
            if (!take(plan, shorter, what))
                from += size;
        }
    }
}

/* Without the faults that are not needed, and the crashes. */
static void shrink_faults(struct plan *plan, struct plan *shorter, char what[512])
{
    size_t rates[] = {
        offsetof(struct plan, disk.writeback),   offsetof(struct plan, disk.eviction),
        offsetof(struct plan, disk.read_error),  offsetof(struct plan, disk.write_error),
        offsetof(struct plan, disk.space_error), offsetof(struct plan, disk.sync_error),
        offsetof(struct plan, disk.alloc_error), offsetof(struct plan, disk.sync_dir_error),
    };
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        *shorter = *plan;
        uint32_t *rate = (uint32_t *)((char *)shorter + rates[i]);
        if (*rate == 0)
            continue;
        *rate = 0;
        take(plan, shorter, what);
    }
    for (size_t i = 0; i < plan->step_count; i++) {
        *shorter = *plan;
        shorter->steps[i].recovery_crashes = 0;
        shorter->steps[i].crash_calls = 0;
        if (memcmp(shorter, plan, sizeof *plan) != 0)
            take(plan, shorter, what);
    }
}

void plan_shrink(struct plan *plan, char what[512])
{
    struct plan *shorter = malloc(sizeof *shorter);
    CHECK(shorter);
    shrink_steps(plan, shorter, what);
    shrink_faults(plan, shorter, what);
    free(shorter);
}
