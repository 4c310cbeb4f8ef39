/* SPDX-License-Identifier: MIT
 * campaign.c: run random histories on the simulated disk, many or one, and make a failing one
 * short.
 *
 *     sim --seconds=600            a campaign on all processors, with a line that lives
 *     sim --count=200              so many seeds, from --seed=N on
 *     sim --seed=42 [--log]        one seed again (--keep=3,5: only these steps of it)
 *     sim --replay FILE...         plans as text (script.c)
 *
 * Every plan is run twice and the traces compared. What fails is written into the directory
 * --found, as a script that tests/sim/meson.build replays with every test run; --report writes the
 * page of figures. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "shrink.h"
#include "workers.h"

enum { EXPLAINED_MAX = 3 };

struct arguments {
    uint64_t seed, count;
    double seconds;
    long jobs;
    const char *keep, *found, *report, *commit;
    bool log, print, replay;
    char command[256];
};

/* ---- A failure ------------------------------------------------------------------------------- */

static void save_script(const struct plan *plan, const char *directory, const char *what)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%" PRIu64 ".plan", directory, plan->seed);
    FILE *to = fopen(path, "w");
    if (!to) {
        fprintf(stderr, "sim: cannot write %s\n", path);
        return;
    }
    fprintf(to, "# %s\n", what);
    plan_write(plan, to);
    fclose(to);
    printf("written to %s; --replay %s --log runs it again\n", path, path);
}

/* Make it short, print it, keep it. */
static void explain(struct plan *plan, const char *found)
{
    char what[512] = "";
    if (!plan_fails(plan, what)) {
        printf("seed %" PRIu64 " does not fail again\n", plan->seed);
        return;
    }
    plan_shrink(plan, what);
    printf("\nseed %" PRIu64 ": %s\n", plan->seed, what);
    plan_write(plan, stdout);
    if (found)
        save_script(plan, found, what);
}

/* Before the first seed, not after an hour of them. */
static bool make_directory(const char *directory)
{
    if (!directory || mkdir(directory, 0777) == 0 || errno == EEXIST)
        return true;
    fprintf(stderr, "sim: cannot make %s: %s\n", directory, strerror(errno));
    return false;
}

static int run_one(struct plan *plan, const char *name, const struct arguments *arguments)
{
    struct outcome outcome;
    if (arguments->log || arguments->print) {
        setvbuf(stdout, NULL, _IOLBF, 0);
        plan_write(plan, stdout);
    }
    if (arguments->print)
        return 0;
    run_twice(plan, arguments->log ? stdout : NULL, &outcome);
    printf("%s: %s\n", name, outcome.failed ? outcome.what : "good");
    if (outcome.failed && !arguments->log && !arguments->replay)
        explain(plan, arguments->found);
    return outcome.failed;
}

/* ---- A campaign ------------------------------------------------------------------------------ */

static int run_many(const struct arguments *arguments)
{
    struct campaign *campaign = campaign_new();
    campaign->next_seed = arguments->seed;
    campaign->end_seed = arguments->count > 0 ? arguments->seed + arguments->count : UINT64_MAX;
    campaign->seconds = arguments->seconds;
    campaign->jobs = (unsigned)arguments->jobs;
    campaign_run(campaign);
    unsigned failures = campaign->failure_count;
    unsigned known = failures < FAILURES_MAX ? failures : FAILURES_MAX;
    for (unsigned i = 0; i < known; i++)
        printf("FAILED: seed %" PRIu64 ": %s\n", campaign->failures[i].seed,
               campaign->failures[i].what);
    struct plan *plan = malloc(sizeof *plan);
    CHECK(plan);
    for (unsigned i = 0; i < known && i < EXPLAINED_MAX; i++) {
        plan_make(plan, campaign->failures[i].seed);
        explain(plan, arguments->found);
    }
    free(plan);
    struct circumstances how = {arguments->commit, arguments->command, campaign->took_s,
                                campaign->jobs, failures};
    if (arguments->report && !report_page(&campaign->totals, &how, arguments->report))
        fprintf(stderr, "sim: cannot write %s\n", arguments->report);
    campaign_free(campaign);
    return failures > 0;
}

/* ---- One ------------------------------------------------------------------------------------- */

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

static int run_seed(const struct arguments *arguments)
{
    char name[40];
    struct plan *plan = malloc(sizeof *plan);
    CHECK(plan);
    plan_make(plan, arguments->seed);
    if (arguments->keep)
        keep_steps(plan, arguments->keep);
    snprintf(name, sizeof name, "seed %" PRIu64, arguments->seed);
    int result = run_one(plan, name, arguments);
    free(plan);
    return result;
}

static int replay(const struct arguments *arguments, char **paths)
{
    int result = 0;
    struct plan *plan = malloc(sizeof *plan);
    CHECK(plan);
    for (; *paths; paths++) {
        char what[300] = "cannot be opened";
        FILE *from = fopen(*paths, "r");
        bool read = from && plan_read(plan, from, what, sizeof what);
        if (from)
            fclose(from);
        if (!read)
            fprintf(stderr, "sim: %s: %s\n", *paths, what);
        result |= read ? run_one(plan, *paths, arguments) : 2;
    }
    free(plan);
    return result;
}

/* ---- The command ----------------------------------------------------------------------------- */

static void usage(void)
{
    fprintf(stderr, "usage: sim [--seed=N] [--seconds=S | --count=N] [--jobs=N]\n"
                    "           [--found=DIRECTORY] [--report=FILE --commit=NAME]\n"
                    "       sim --seed=N [--keep=STEP,...] [--log | --print]\n"
                    "       sim --replay [--log] FILE...\n");
    exit(2);
}

static void take_option(struct arguments *arguments, int option)
{
    switch (option) {
    case 's':
        arguments->seed = strtoull(optarg, NULL, 10);
        break;
    case 't':
        arguments->seconds = strtod(optarg, NULL);
        break;
    case 'c':
        arguments->count = strtoull(optarg, NULL, 10);
        break;
    case 'j':
        arguments->jobs = strtol(optarg, NULL, 10);
        break;
    case 'k':
        arguments->keep = optarg;
        break;
    case 'f':
        arguments->found = optarg;
        break;
    case 'r':
        arguments->report = optarg;
        break;
    case 'C':
        arguments->commit = optarg;
        break;
    case 'l':
        arguments->log = true;
        break;
    case 'p':
        arguments->print = true;
        break;
    case 'R':
        arguments->replay = true;
        break;
    default:
        usage();
    }
}

static struct arguments parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},   {"seconds", required_argument, NULL, 't'},
        {"count", required_argument, NULL, 'c'},  {"jobs", required_argument, NULL, 'j'},
        {"keep", required_argument, NULL, 'k'},   {"found", required_argument, NULL, 'f'},
        {"report", required_argument, NULL, 'r'}, {"commit", required_argument, NULL, 'C'},
        {"log", no_argument, NULL, 'l'},          {"print", no_argument, NULL, 'p'},
        {"replay", no_argument, NULL, 'R'},       {NULL, 0, NULL, 0},
    };
    struct arguments arguments = {
        .seed = 1, .jobs = sysconf(_SC_NPROCESSORS_ONLN), .commit = "unknown"};
    for (int i = 0; i < argc; i++) {
        size_t used = strlen(arguments.command);
        snprintf(arguments.command + used, sizeof arguments.command - used, "%s%s",
                 i > 0 ? " " : "", argv[i]);
    }
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        take_option(&arguments, option);
    if (arguments.jobs < 1 || arguments.jobs > JOBS_MAX)
        arguments.jobs = arguments.jobs < 1 ? 1 : JOBS_MAX;
    if (arguments.replay != (optind < argc))
        usage();
    return arguments;
}

int main(int argc, char **argv)
{
    struct arguments arguments = parse(argc, argv);
    if (!make_directory(arguments.found))
        return 2;
    if (arguments.replay)
        return replay(&arguments, argv + optind);
    if (arguments.count == 0 && arguments.seconds <= 0)
        return run_seed(&arguments);
    return run_many(&arguments);
}
