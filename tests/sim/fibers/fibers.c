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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "../sim_disk.h"
#include "base/check.h"
#include "engine/group.h"
#include "history.h"

enum {
    KEYS = 6,
    STABLE_KEYS = 3, /* written before the others begin, and never again */
    WORKERS_MAX = 8,
    MAX_POINTS = 20 * 1000 * 1000,
};

struct setting {
    struct sim_config disk;
    struct fiber_schedule schedule;
    bitcask_sync sync;
    uint64_t segment_max_records, interval_ms;
    unsigned writers, readers, mergers, walkers, syncers, growers, snapshots;
    unsigned operations; /* of each writer and reader */
    bool crashes;
    enum sim_crash crash;
    uint64_t crash_calls;
};

struct trial {
    struct setting setting;
    struct sim_disk *disk;
    bitcask *db;
    struct history history;
    uint64_t stable_versions[STABLE_KEYS];
    uint32_t groups;   /* of events that belong together */
    uint64_t statuses; /* a sum, for the trace */
    char what[300];    /* empty: good */
};

struct worker {
    struct trial *trial;
    uint64_t random;
    unsigned operations;
    uint32_t number;
};

__attribute__((format(printf, 2, 3))) static void fail(struct trial *trial, const char *form, ...)
{
    if (trial->what[0])
        return;
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(trial->what, sizeof trial->what, form, arguments);
    va_end(arguments);
}

static bool is_over(const struct trial *trial)
{
    return trial->what[0] || sim_disk_dead(trial->disk);
}

/* ---- Keys and values ------------------------------------------------------------------------- */

static bitcask_slice key_of(uint32_t key, char text[32])
{
    return bitcask_bytes(text, (size_t)snprintf(text, 32, "key%u", key));
}

static bitcask_slice value_of(uint32_t key, uint32_t number, char text[400])
{
    int size = snprintf(text, 400, "%u.%u.", key, number);
    int more = (int)(random_mix(number) % 300);
    memset(text + size, 'a' + (int)(number % 26), (size_t)more);
    return bitcask_bytes(text, (size_t)(size + more));
}

/* The number in a value; 0 if it is none of this key's. */
static uint32_t number_of(uint32_t key, bitcask_slice value)
{
    unsigned of, number;
    char head[40] = "", text[400];
    memcpy(head, value.data, value.size < sizeof head - 1 ? value.size : sizeof head - 1);
    if (sscanf(head, "%u.%u.", &of, &number) != 2 || of != key)
        return 0;
    bitcask_slice same = value_of(key, number, text);
    return same.size == value.size && memcmp(same.data, value.data, same.size) == 0 ? number : 0;
}

/* ---- Writers --------------------------------------------------------------------------------- */

static void end_write(struct trial *trial, struct event *event, bitcask_status status,
                      uint64_t version, bool durable)
{
    trial->statuses = random_mix(trial->statuses ^ version) + (uint64_t)(int64_t)status;
    history_end(&trial->history, event);
    event->maybe = sim_disk_dead(trial->disk) || status == BITCASK_UNKNOWN;
    event->done = !event->maybe && status == BITCASK_OK;
    event->version = event->done ? version : 0;
    event->durable = event->done && durable;
}

/* Which outcomes there are without a fault. NOT_FOUND, EXISTS and CONFLICT are like reads, and
 * checked by what the others see. */
static void check_status(struct trial *trial, const char *what, bitcask_status status)
{
    if (status < 0 && !sim_disk_dead(trial->disk))
        fail(trial, "%s: %s without a reason", what, bitcask_status_name(status));
}

static void write_one(struct worker *worker)
{
    static const enum event_kind kinds[] = {EVENT_PUT, EVENT_PUT, EVENT_DELETE, EVENT_PUT_ABSENT,
                                            EVENT_PUT_VERSION};
    struct trial *trial = worker->trial;
    uint32_t key = (uint32_t)random_below(&worker->random, KEYS);
    enum event_kind kind = kinds[random_below(&worker->random, 5)];
    char name[32], bytes[400];
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = (bitcask_sync)random_below(&worker->random, 4);
    bool durable =
        options.sync == BITCASK_SYNC_ALWAYS ||
        (options.sync == BITCASK_SYNC_DEFAULT && trial->setting.sync == BITCASK_SYNC_ALWAYS);
    bitcask_slice wanted = key_of(key, name);
    if (kind == EVENT_PUT_VERSION) {
        bitcask_meta meta;
        if (bitcask_stat_key(trial->db, NULL, wanted, &meta, NULL) != BITCASK_OK)
            return;
        options.flags = BITCASK_IF_VERSION;
        options.if_version = meta.version;
    } else if (kind == EVENT_PUT_ABSENT) {
        options.flags = BITCASK_IF_ABSENT;
    }
    uint64_t version = 0;
    struct event *event = history_begin(&trial->history, kind, key);
    event->if_version = options.if_version;
    bitcask_slice value = value_of(key, history_number(&trial->history, event), bytes);
    bitcask_status status = kind == EVENT_DELETE
                                ? bitcask_delete(trial->db, wanted, &options, &version, NULL)
                                : bitcask_put(trial->db, wanted, value, &options, &version, NULL);
    end_write(trial, event, status, version, durable);
    check_status(trial, "write", status);
}

/* Writes of neighbouring keys. By the engine's own function, which tells the version of each. */
static void write_batch(struct worker *worker)
{
    struct trial *trial = worker->trial;
    uint32_t count = 2 + (uint32_t)random_below(&worker->random, KEYS - 1);
    struct event *events[KEYS];
    struct write_op ops[KEYS] = {{0}};
    char names[KEYS][32], bytes[KEYS][400];
    uint32_t group = ++trial->groups;
    for (uint32_t key = 0; key < count; key++) {
        bool deletes = random_below(&worker->random, 4) == 0;
        events[key] = history_begin(&trial->history, deletes ? EVENT_DELETE : EVENT_PUT, key);
        events[key]->together = group;
        uint32_t number = history_number(&trial->history, events[key]);
        ops[key].kind = deletes ? WRITE_DELETE : WRITE_PUT;
        ops[key].key = key_of(key, names[key]);
        if (!deletes)
            ops[key].value = value_of(key, number, bytes[key]);
    }
    struct write_request request = {
        .ops = ops,
        .op_count = count,
        .batch = true,
        .durable = trial->setting.sync == BITCASK_SYNC_ALWAYS,
        .interval = trial->setting.sync == BITCASK_SYNC_INTERVAL,
    };
    bitcask_status status = group_write((struct store *)trial->db, &request);
    for (uint32_t key = 0; key < count; key++) {
        bool wrote = ops[key].version != 0; /* a delete of what is not there does not */
        end_write(trial, events[key], status == BITCASK_OK && !wrote ? BITCASK_NOT_FOUND : status,
                  ops[key].version, request.durable);
    }
    check_status(trial, "batch", status);
}

static void *write_some(void *context)
{
    struct worker *worker = context;
    for (unsigned i = 0; i < worker->operations && !is_over(worker->trial); i++) {
        if (random_below(&worker->random, 5) == 0)
            write_batch(worker);
        else
            write_one(worker);
    }
    return NULL;
}

/* New keys, so that the index grows. */
static void *grow(void *context)
{
    struct worker *worker = context;
    struct trial *trial = worker->trial;
    for (unsigned i = 0; i < 40 * worker->operations && !is_over(trial); i++) {
        char name[32];
        int size = snprintf(name, sizeof name, "more%u.%u", worker->number, i);
        check_status(trial, "put of a new key",
                     bitcask_put(trial->db, bitcask_bytes(name, (size_t)size), bitcask_str(""),
                                 NULL, NULL, NULL));
    }
    return NULL;
}

/* ---- Readers --------------------------------------------------------------------------------- */

static void end_read(struct trial *trial, struct event *event, bitcask_status status,
                     bitcask_slice value, const bitcask_meta *meta)
{
    history_end(&trial->history, event);
    trial->statuses = random_mix(trial->statuses ^ (uint64_t)(int64_t)status);
    if (sim_disk_dead(trial->disk))
        return;
    event->done = status == BITCASK_OK || status == BITCASK_NOT_FOUND;
    if (!event->done)
        fail(trial, "a read of key %u gave %s", event->key, bitcask_status_name(status));
    if (status != BITCASK_OK)
        return;
    event->version = meta->version;
    event->value = number_of(event->key, value);
    if (event->value == 0)
        fail(trial, "key %u has a value that was never written [X2]", event->key);
}

static void read_one(struct worker *worker)
{
    struct trial *trial = worker->trial;
    char name[32];
    uint32_t key = (uint32_t)random_below(&worker->random, KEYS);
    bitcask_view view = {{0}};
    struct event *event = history_begin(&trial->history, EVENT_READ, key);
    bitcask_status status = bitcask_get_view(trial->db, NULL, key_of(key, name), &view, NULL);
    end_read(trial, event, status, view.value, &view.meta);
    if (random_below(&worker->random, 4) == 0)
        fiber_yield(); /* the view must outlive whatever happens now */
    if (status == BITCASK_OK && event->value != 0 && number_of(key, view.value) != event->value)
        fail(trial, "the bytes of a view of key %u have changed [X1]", key);
    bitcask_views_release(&view, 1);
}

static void read_many(struct worker *worker)
{
    struct trial *trial = worker->trial;
    char names[KEYS][32];
    bitcask_slice slices[KEYS];
    bitcask_view views[KEYS] = {{{0}}};
    bitcask_status each[KEYS];
    struct event *events[KEYS];
    uint32_t group = ++trial->groups;
    for (uint32_t key = 0; key < KEYS; key++) {
        slices[key] = key_of(key, names[key]);
        events[key] = history_begin(&trial->history, EVENT_READ, key);
        events[key]->together = group;
    }
    bitcask_status status = bitcask_get_many(trial->db, NULL, slices, KEYS, views, each, NULL);
    check_status(trial, "get of many", status);
    for (uint32_t key = 0; key < KEYS; key++)
        end_read(trial, events[key], each[key], views[key].value, &views[key].meta);
    bitcask_views_release(views, KEYS);
}

static void read_stable(struct worker *worker)
{
    struct trial *trial = worker->trial;
    char name[32];
    bitcask_meta meta;
    uint32_t key = (uint32_t)random_below(&worker->random, STABLE_KEYS);
    bitcask_status status =
        bitcask_stat_key(trial->db, NULL, key_of(KEYS + key, name), &meta, NULL);
    if (!sim_disk_dead(trial->disk) &&
        (status != BITCASK_OK || meta.version != trial->stable_versions[key]))
        fail(trial, "stable key %u: %s [X3, M4]", key, bitcask_status_name(status));
}

static void *read_some(void *context)
{
    struct worker *worker = context;
    for (unsigned i = 0; i < worker->operations && !is_over(worker->trial); i++) {
        switch (random_below(&worker->random, 4)) {
        case 0:
            read_many(worker);
            break;
        case 1:
            read_stable(worker);
            break;
        default:
            read_one(worker);
        }
    }
    return NULL;
}

/* Iterate: keys that nobody touches are seen exactly once. */
static void *walk(void *context)
{
    struct worker *worker = context;
    struct trial *trial = worker->trial;
    for (unsigned i = 0; i < 3 && !is_over(trial); i++) {
        unsigned seen[STABLE_KEYS] = {0};
        bitcask_iterator *iterator;
        bitcask_entry entry;
        if (bitcask_iterator_new(trial->db, NULL, bitcask_str("key"), BITCASK_VALUES, &iterator,
                                 NULL) != BITCASK_OK)
            continue;
        bitcask_status status;
        while ((status = bitcask_iterator_next(iterator, &entry, NULL)) == BITCASK_OK) {
            unsigned key = 0;
            char name[32] = "";
            memcpy(name, entry.key.data, entry.key.size < 31 ? entry.key.size : 31);
            sscanf(name, "key%u", &key);
            if (key >= KEYS && key < KEYS + STABLE_KEYS)
                seen[key - KEYS]++;
        }
        bitcask_iterator_free(iterator);
        for (unsigned k = 0; k < STABLE_KEYS && !sim_disk_dead(trial->disk); k++)
            if (seen[k] != 1 || status != BITCASK_END)
                fail(trial, "an iteration saw stable key %u %u times [X3]", k, seen[k]);
    }
    return NULL;
}

/* Read each key as of a snapshot, while the others go on. */
static void look_back(struct worker *worker, bitcask_snapshot *snapshot)
{
    struct trial *trial = worker->trial;
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    for (uint32_t key = 0; key < KEYS && !is_over(trial); key++) {
        char name[32];
        bitcask_view view = {{0}};
        struct event *event = history_begin(&trial->history, EVENT_READ, key);
        event->as_of = bitcask_snapshot_version(snapshot);
        bitcask_status status =
            bitcask_get_view(trial->db, &options, key_of(key, name), &view, NULL);
        end_read(trial, event, status, view.value, &view.meta);
        bitcask_views_release(&view, 1);
    }
}

static void *take_snapshots(void *context)
{
    struct worker *worker = context;
    struct trial *trial = worker->trial;
    for (unsigned i = 0; i < 6 && !is_over(trial); i++) {
        uint64_t least = 0;
        for (size_t k = 0; k < trial->history.count; k++)
            if (trial->history.events[k].version > least)
                least = trial->history.events[k].version;
        bitcask_snapshot *snapshot;
        bitcask_status status = bitcask_snapshot_new(trial->db, &snapshot, NULL);
        check_status(trial, "snapshot", status);
        if (status != BITCASK_OK)
            continue;
        if (bitcask_snapshot_version(snapshot) < least && !sim_disk_dead(trial->disk))
            fail(trial, "a snapshot is of version %" PRIu64 ", after version %" PRIu64 " [X6]",
                 bitcask_snapshot_version(snapshot), least);
        for (unsigned k = 0; k < 3; k++)
            look_back(worker, snapshot);
        bitcask_snapshot_free(snapshot);
    }
    return NULL;
}

/* ---- The others ------------------------------------------------------------------------------ */

static void *merge(void *context)
{
    struct worker *worker = context;
    struct trial *trial = worker->trial;
    for (unsigned i = 0; i < 3 && !is_over(trial); i++) {
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.all = random_below(&worker->random, 2) == 0;
        options.min_dead = 0.1;
        bitcask_status status = bitcask_merge(trial->db, &options, NULL, NULL);
        if (status != BITCASK_BUSY)
            check_status(trial, "merge", status);
    }
    return NULL;
}

static void *sync_some(void *context)
{
    struct worker *worker = context;
    struct trial *trial = worker->trial;
    for (unsigned i = 0; i < 4 && !is_over(trial); i++) {
        size_t count = trial->history.count;
        uint64_t begin = ++trial->history.clock;
        bitcask_status status = bitcask_sync_now(trial->db, NULL);
        check_status(trial, "sync", status);
        for (size_t k = 0; k < count && status == BITCASK_OK && !sim_disk_dead(trial->disk); k++) {
            struct event *event = &trial->history.events[k];
            event->durable |= event->done && event->end < begin && event->kind != EVENT_READ;
        }
    }
    return NULL;
}

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
    } kinds[] = {{write_some, setting->writers},      {read_some, setting->readers},
                 {merge, setting->mergers},           {walk, setting->walkers},
                 {sync_some, setting->syncers},       {grow, setting->growers},
                 {take_snapshots, setting->snapshots}};
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
