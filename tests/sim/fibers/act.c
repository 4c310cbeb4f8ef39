/* SPDX-License-Identifier: MIT
 * act.c: what the fibers of a trial do. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../random.h"
#include "base/check.h"
#include "engine/group.h"
#include "trial.h"

void fail(struct trial *trial, const char *form, ...)
{
    if (trial->what[0])
        return;
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(trial->what, sizeof trial->what, form, arguments);
    va_end(arguments);
}

bool is_over(const struct trial *trial)
{
    return trial->what[0] || sim_disk_dead(trial->disk);
}

/* ---- Keys and values ------------------------------------------------------------------------- */

bitcask_slice key_of(uint32_t key, char text[32])
{
    return bitcask_bytes(text, (size_t)snprintf(text, 32, "key%u", key));
}

static uint32_t key_number(bitcask_slice key)
{
    unsigned number = UINT32_MAX;
    char text[32] = "";
    memcpy(text, key.data, key.size < 31 ? key.size : 31);
    sscanf(text, "key%u", &number);
    return number;
}

static bitcask_slice value_of(uint32_t key, uint32_t number, char text[400])
{
    int size = snprintf(text, 400, "%u.%u.", key, number);
    int more = (int)(random_mix(number) % 300);
    memset(text + size, 'a' + (int)(number % 26), (size_t)more);
    return bitcask_bytes(text, (size_t)(size + more));
}

/* The number in a value; 0 if it is none of this key's. */
uint32_t number_of(uint32_t key, bitcask_slice value)
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
void check_status(struct trial *trial, const char *what, bitcask_status status)
{
    if (status < 0 && !sim_disk_dead(trial->disk))
        fail(trial, "%s: %s without a reason", what, bitcask_status_name(status));
}

static void write_one(struct worker *worker)
{
    static const enum event_kind kinds[] = {EVENT_PUT, EVENT_PUT, EVENT_DELETE, EVENT_PUT_ABSENT,
                                            EVENT_PUT_VERSION};
    struct trial *trial = worker->trial;
    /* The low ones oftener: the others are left for merges to move. */
    uint32_t key = (uint32_t)random_below(&worker->random, 1 + random_below(&worker->random, KEYS));
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
    uint32_t count =
        2 + (uint32_t)random_below(&worker->random, 1 + random_below(&worker->random, KEYS - 1));
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

void *act_write(void *context)
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
void *act_grow(void *context)
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

void read_stable(struct worker *worker)
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

void *act_read(void *context)
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
void *act_walk(void *context)
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
            uint32_t key = key_number(entry.key);
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

/* Every key is met at most once, as look_back sees it. */
static void walk_back(struct worker *worker, bitcask_snapshot *snapshot)
{
    struct trial *trial = worker->trial;
    unsigned times[KEYS] = {0};
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    if (bitcask_iterator_new(trial->db, &options, bitcask_str("key"), BITCASK_VALUES, &iterator,
                             NULL) != BITCASK_OK)
        return;
    while (bitcask_iterator_next(iterator, &entry, NULL) == BITCASK_OK && !is_over(trial)) {
        uint32_t key = key_number(entry.key);
        if (key >= KEYS)
            continue;
        struct event *event = history_begin(&trial->history, EVENT_READ, key);
        event->as_of = bitcask_snapshot_version(snapshot);
        end_read(trial, event, BITCASK_OK, entry.value, &entry.meta);
        if (times[key]++ > 0)
            fail(trial, "an iteration over a snapshot met key %u again [X6]", key);
    }
    bitcask_iterator_free(iterator);
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

void *act_snapshot(void *context)
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
        walk_back(worker, snapshot);
        bitcask_snapshot_free(snapshot);
    }
    return NULL;
}

/* ---- The others ------------------------------------------------------------------------------ */

void *act_merge(void *context)
{
    struct worker *worker = context;
    struct trial *trial = worker->trial;
    for (unsigned i = 0; i < 2 + worker->operations / 5 && !is_over(trial); i++) {
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

void *act_sync(void *context)
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
