/* SPDX-License-Identifier: MIT
 * fibers.c: writers, readers, merges and the store's own thread, scheduled by a seed (fiber.h), on
 * the simulated disk; what they saw is checked as a history (history.h).
 *
 *     sim_fibers --count=500 [--seed=N]     so many seeds
 *     sim_fibers --seed=42                  that one again
 *
 * In half of the seeds the process is killed or the power goes at some call; then what the store
 * shows after recovery is held against the history too. Every seed is run twice, with equal traces.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "base/check.h"
#include "engine/store.h"
#include "trial.h"

/* ---- A trial --------------------------------------------------------------------------------- */

static bitcask_status open_store(struct trial *trial, bitcask_background background)
{
    bitcask_options options;
    struct store *store = NULL;
    bitcask_error error = {0};
    bitcask_options_init(&options);
    options.background = background;
    options.sync = trial->setting.sync;
    options.sync_interval_ms = trial->setting.interval_ms;
    options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    options.segment_max_records = trial->setting.segment_max_records;
    bitcask_status status = store_open(sim_disk_os(trial->disk), "store", &options, &store, &error);
    trial->db = (bitcask *)store;
    if (status != BITCASK_OK && !sim_disk_dead(trial->disk))
        fail(trial, "open: %s", error.message);
    return status;
}

static void put_stable(struct trial *trial)
{
    for (uint32_t key = 0; key < STABLE_KEYS && !is_over(trial); key++) {
        char name[32];
        bitcask_write_options options;
        bitcask_write_options_init(&options);
        options.sync = BITCASK_SYNC_ALWAYS;
        check_status(trial, "put",
                     bitcask_put(trial->db, key_of(KEYS + key, name), bitcask_str("stable"),
                                 &options, &trial->stable_versions[key], NULL));
    }
}

static void run_workers(struct trial *trial)
{
    const struct setting *setting = &trial->setting;
    const struct {
        void *(*run)(void *context);
        unsigned count;
    } kinds[] = {{act_write, setting->writers},     {act_read, setting->readers},
                 {act_merge, setting->mergers},     {act_walk, setting->walkers},
                 {act_sync, setting->syncers},      {act_grow, setting->growers},
                 {act_snapshot, setting->snapshots}};
    struct worker workers[7 * WORKERS_MAX];
    struct fiber *fibers[7 * WORKERS_MAX];
    unsigned count = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (unsigned i = 0; i < kinds[k].count; i++, count++) {
            workers[count] = (struct worker){trial, random_mix(setting->disk.seed + count),
                                             setting->operations, count};
            CHECK(fiber_start(&fibers[count], kinds[k].run, &workers[count]) == 0);
        }
    for (unsigned i = 0; i < count; i++)
        fiber_join(fibers[i]);
}

static void check_shown(struct trial *trial, bool whole)
{
    struct shown shown[KEYS] = {{0}};
    for (uint32_t key = 0; key < KEYS; key++) {
        char name[32];
        bitcask_view view = {{0}};
        bitcask_status status = bitcask_get_view(trial->db, NULL, key_of(key, name), &view, NULL);
        if (status == BITCASK_OK)
            shown[key] = (struct shown){number_of(key, view.value), view.meta.version};
        if (status < 0 || (status == BITCASK_OK && shown[key].value == 0))
            fail(trial, "after opening: key %u: %s", key, bitcask_status_name(status));
        bitcask_views_release(&view, 1);
    }
    char what[300];
    if (!trial->what[0] &&
        !history_check_prefix(&trial->history, KEYS, shown, whole, what, sizeof what))
        fail(trial, "after opening: %s", what);
}

static void end_trial(struct trial *trial)
{
    struct store *store = (struct store *)trial->db;
    bool died = sim_disk_dead(trial->disk);
    if (died) {
        store_abandon(store);
        sim_disk_restart(trial->disk);
    } else {
        bitcask_status status = store_close(store, NULL);
        died = sim_disk_dead(trial->disk);
        if (died)
            sim_disk_restart(trial->disk);
        else if (status != BITCASK_OK)
            fail(trial, "close: %s", bitcask_status_name(status));
    }
    sim_disk_arm(trial->disk, SIM_KILL, 0);
    if (sim_disk_live_bytes(trial->disk) != 0 || sim_disk_open_handles(trial->disk) != 0)
        fail(trial, "%" PRIu64 " bytes and %zu handles are left", sim_disk_live_bytes(trial->disk),
             sim_disk_open_handles(trial->disk));
    if (trial->what[0] || open_store(trial, BITCASK_BACKGROUND_NONE) != BITCASK_OK)
        return;
    check_shown(trial, !died || trial->setting.crash == SIM_KILL);
    struct worker reader = {.trial = trial, .random = 1};
    for (unsigned i = 0; i < STABLE_KEYS && trial->stable_versions[STABLE_KEYS - 1] != 0; i++)
        read_stable(&reader);
    if (store_close((struct store *)trial->db, NULL) != BITCASK_OK)
        fail(trial, "close after all");
}

static void *root(void *context)
{
    struct trial *trial = context;
    if (open_store(trial, BITCASK_BACKGROUND_THREAD) == BITCASK_OK) {
        put_stable(trial);
        if (trial->setting.crashes)
            sim_disk_arm(trial->disk, trial->setting.crash, trial->setting.crash_calls);
        run_workers(trial);
        char what[300];
        if (!trial->what[0] && !history_check(&trial->history, KEYS, what, sizeof what))
            fail(trial, "%s", what);
        end_trial(trial);
    }
    return NULL;
}

/* ---- Seeds ----------------------------------------------------------------------------------- */

static uint64_t now_us(void *context)
{
    return sim_disk_boot(((struct trial *)context)->disk);
}

static void advance_us(void *context, uint64_t us)
{
    sim_disk_advance(((struct trial *)context)->disk, us);
}

static void point(void *context)
{
    (void)context;
    fiber_point();
}

static struct setting make_setting(uint64_t seed)
{
    static const uint32_t chances[] = {0, 30, 300, 3000, 30000};
    uint64_t random = random_mix(seed + 1);
    struct setting setting = {
        .disk = {.seed = random_next(&random),
                 .lenient = random_below(&random, 2),
                 .mapped_writes = random_below(&random, 4) != 0,
                 .writeback = random_below(&random, 2) * 500},
        .schedule = {.seed = random_next(&random),
                     .chance = chances[random_below(&random, 5)],
                     .budget =
                         (uint32_t)(random_below(&random, 3) == 0 ? 1 + random_below(&random, 12)
                                                                  : 0),
                     .max_points = MAX_POINTS},
        .sync = (bitcask_sync)(1 + random_below(&random, 3)),
        .segment_max_records = random_below(&random, 3) == 0 ? 0 : 2 + random_below(&random, 12),
        .interval_ms = random_below(&random, 2) ? 1 : 100,
        .writers = 1 + (unsigned)random_below(&random, 4),
        .readers = (unsigned)random_below(&random, 4),
        .mergers = (unsigned)random_below(&random, 3),
        .walkers = (unsigned)random_below(&random, 2),
        .syncers = (unsigned)random_below(&random, 2),
        .growers = random_below(&random, 4) == 0,
        .snapshots = (unsigned)random_below(&random, 3),
        .operations = 5 + (unsigned)random_below(&random, 40),
        .crashes = random_below(&random, 2),
        .crash = (enum sim_crash)random_below(&random, SIM_CRASH_COUNT),
        .crash_calls = 1 + random_below(&random, random_below(&random, 2) ? 2000 : 200),
    };
    return setting;
}

static void print_events(const struct history *history)
{
    static const char *const names[] = {"read", "put", "delete", "put if absent", "put if version"};
    for (size_t i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        printf("%4zu %s key %u, from %" PRIu64 " to %" PRIu64 ":%s%s%s version %" PRIu64
               " value %u if %" PRIu64 "\n",
               i + 1, names[event->kind], event->key, event->begin, event->end,
               event->done ? " done" : "", event->maybe ? " maybe" : "",
               event->durable ? " durable" : "", event->version, event->value, event->if_version);
    }
}

struct verdict {
    uint64_t trace, points, switches, events, crashes;
    char what[300];
};

static void run_seed(uint64_t seed, struct verdict *verdict)
{
    struct trial *trial = calloc(1, sizeof *trial);
    CHECK(trial);
    trial->setting = make_setting(seed);
    trial->disk = sim_disk_new(&trial->setting.disk);
    struct os *os = sim_disk_os(trial->disk);
    CHECK(os->make_dir(os, "store") == 0 && os->sync_dir(os, ".") == 0);
    sim_disk_hook(trial->disk, point, NULL);
    struct fiber_schedule schedule = trial->setting.schedule;
    schedule.now_us = now_us;
    schedule.advance_us = advance_us;
    schedule.context = trial;
    struct fiber_result result = fibers_run(&schedule, root, trial);
    if (getenv("SIM_EVENTS"))
        print_events(&trial->history);
    if (result.stuck)
        fail(trial, "%s", result.stuck);
    const struct sim_counts *counts = sim_disk_counts(trial->disk);
    *verdict = (struct verdict){
        .trace = sim_disk_trace(trial->disk) ^ result.trace ^ trial->statuses,
        .points = result.points,
        .switches = result.switches,
        .events = trial->history.count,
        .crashes = counts->crashes[SIM_KILL] + counts->crashes[SIM_POWER_CUT],
    };
    memcpy(verdict->what, trial->what, sizeof verdict->what);
    if (!trial->what[0]) /* else what the store holds is lost */
        sim_disk_free(trial->disk);
    free(trial);
}

static bool run_twice(uint64_t seed, struct verdict *sum)
{
    struct verdict once, again;
    run_seed(seed, &once);
    if (!once.what[0]) {
        run_seed(seed, &again);
        if (again.what[0] || again.trace != once.trace)
            snprintf(once.what, sizeof once.what, "not deterministic: the second run %.200s",
                     again.what[0] ? again.what : "has another trace");
    }
    if (once.what[0])
        printf("seed %" PRIu64 ": %s\n", seed, once.what);
    sum->points += once.points;
    sum->switches += once.switches;
    sum->events += once.events;
    sum->crashes += once.crashes;
    return !once.what[0];
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'}, {"count", required_argument, NULL, 'c'}, {0}};
    uint64_t seed = 1, count = 1, failures = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 'c')
            count = strtoull(optarg, NULL, 10);
        else
            return fprintf(stderr, "usage: sim_fibers [--seed=N] [--count=N]\n"), 2;
    }
    struct verdict sum = {0}, warm;
    run_seed(0,
             &warm); /* what is made out once per process, the checksum's way say, costs points */
    for (uint64_t i = 0; i < count; i++) {
        alarm(120);
        failures += !run_twice(seed + i, &sum);
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " events, %" PRIu64 " switches at %" PRIu64
           " points, %" PRIu64 " crashes, %" PRIu64 " failures\n",
           count, sum.events, sum.switches, sum.points, sum.crashes, failures);
    return failures > 0;
}
