/* SPDX-License-Identifier: MIT
 * linear_threads_test.c: what real threads asked and were answered could have happened one after
 * the other. Run under ThreadSanitizer as well.
 *
 * The history and its check are those of the simulator's fibers (sim/fibers/history.h): there the
 * seed decides who runs when, here the machine does. Taking the times costs a mutex before and
 * behind each operation, not around it. Invariants W1, W5, X2, X3, X5, X6. */
#include "sim/fibers/history.h"
#include "support/write_fixture.h"

#include <pthread.h>

enum { KEYS = 8, WRITERS = 2, READERS = 2, OPERATIONS = 150, ROUNDS = 8 };

struct trial {
    struct fixture f;
    pthread_mutex_t mutex; /* guards history, groups, what */
    struct history history;
    uint32_t groups;
    char what[200];   /* the first failure; empty: none */
    atomic_bool stop; /* the merges */
};

struct worker {
    struct trial *trial;
    uint64_t random;
    pthread_t thread;
};

static uint32_t below(struct worker *worker, uint32_t limit)
{
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(worker->random >> 33) % limit;
}

/* ---- The history ---------------------------------------------------------------------------- */

/* Some events that begin together, of keys from `first` on; the kind of each is set later. */
static void begin_events(struct trial *trial, struct event *events[], uint32_t first,
                         uint32_t count)
{
    pthread_mutex_lock(&trial->mutex);
    uint32_t group = count > 1 ? ++trial->groups : 0;
    for (uint32_t i = 0; i < count; i++) {
        events[i] = history_begin(&trial->history, EVENT_READ, first + i);
        events[i]->together = group;
    }
    pthread_mutex_unlock(&trial->mutex);
}

static struct event *begin_event(struct trial *trial, enum event_kind kind, uint32_t key)
{
    struct event *event;
    begin_events(trial, &event, key, 1);
    event->kind = kind;
    return event;
}

static void end_event(struct trial *trial, struct event *event)
{
    pthread_mutex_lock(&trial->mutex);
    history_end(&trial->history, event);
    pthread_mutex_unlock(&trial->mutex);
}

static void complain(struct trial *trial, const char *what, bitcask_status status)
{
    pthread_mutex_lock(&trial->mutex);
    if (!trial->what[0])
        snprintf(trial->what, sizeof trial->what, "%s: %s", what, bitcask_status_name(status));
    pthread_mutex_unlock(&trial->mutex);
}

static bitcask_slice key_of(uint32_t key, char text[16])
{
    return bitcask_bytes(text, (size_t)snprintf(text, 16, "key%u", key));
}

static bitcask_slice value_of(uint32_t number, char text[400])
{
    int size = snprintf(text, 400, "%u.", number), more = (int)(number * 37 % 300);
    memset(text + size, 'a' + (int)(number % 26), (size_t)more);
    return bitcask_bytes(text, (size_t)(size + more));
}

/* 0 if no write gives this. */
static uint32_t number_of(bitcask_slice value)
{
    char head[16] = "", text[400];
    memcpy(head, value.data, value.size < 15 ? value.size : 15);
    uint32_t number = (uint32_t)strtoul(head, NULL, 10);
    bitcask_slice same = value_of(number, text);
    return same.size == value.size && memcmp(same.data, value.data, same.size) == 0 ? number : 0;
}

/* ---- Writers -------------------------------------------------------------------------------- */

static void end_write(struct trial *trial, struct event *event, bitcask_status status,
                      uint64_t version)
{
    event->done = status == BITCASK_OK && version != 0; /* a delete of nothing writes nothing */
    event->version = event->done ? version : 0;
    end_event(trial, event);
    if (status < 0)
        complain(trial, "a write", status);
}

static void write_one(struct worker *worker)
{
    static const enum event_kind kinds[] = {EVENT_PUT, EVENT_DELETE, EVENT_PUT_ABSENT,
                                            EVENT_PUT_VERSION};
    struct trial *trial = worker->trial;
    enum event_kind kind = kinds[below(worker, 4)];
    uint32_t key = below(worker, KEYS);
    char name[16], bytes[400];
    bitcask_slice wanted = key_of(key, name);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    if (kind == EVENT_PUT_ABSENT)
        options.flags = BITCASK_IF_ABSENT;
    if (kind == EVENT_PUT_VERSION) {
        bitcask_meta meta;
        if (bitcask_stat_key(trial->f.db, NULL, wanted, &meta, NULL) != BITCASK_OK)
            return;
        options.flags = BITCASK_IF_VERSION;
        options.if_version = meta.version;
    }
    uint64_t version = 0;
    struct event *event = begin_event(trial, kind, key);
    event->if_version = options.if_version;
    bitcask_slice value = value_of(history_number(&trial->history, event), bytes);
    bitcask_status status = kind == EVENT_DELETE
                                ? bitcask_delete(trial->f.db, wanted, &options, &version, NULL)
                                : bitcask_put(trial->f.db, wanted, value, &options, &version, NULL);
    end_write(trial, event, status, version);
}

/* By the engine's own function, which tells the version of each. */
static void write_some_at_once(struct worker *worker)
{
    struct trial *trial = worker->trial;
    uint32_t first = below(worker, KEYS - 2);
    struct event *events[3];
    struct write_op ops[3] = {{0}};
    char names[3][16], bytes[3][400];
    begin_events(trial, events, first, 3);
    for (uint32_t i = 0; i < 3; i++) {
        bool deletes = below(worker, 4) == 0;
        events[i]->kind = deletes ? EVENT_DELETE : EVENT_PUT;
        ops[i].kind = deletes ? WRITE_DELETE : WRITE_PUT;
        ops[i].key = key_of(first + i, names[i]);
        if (!deletes)
            ops[i].value = value_of(history_number(&trial->history, events[i]), bytes[i]);
    }
    struct write_request request = {.ops = ops, .op_count = 3, .batch = true};
    bitcask_status status = group_write(trial->f.store, &request);
    for (uint32_t i = 0; i < 3; i++)
        end_write(trial, events[i], status, ops[i].version);
}

static void *write_some(void *context)
{
    struct worker *worker = context;
    for (int i = 0; i < OPERATIONS; i++) {
        if (below(worker, 5) == 0)
            write_some_at_once(worker);
        else
            write_one(worker);
    }
    return NULL;
}

/* ---- Readers -------------------------------------------------------------------------------- */

static void end_read(struct trial *trial, struct event *event, bitcask_status status,
                     const bitcask_view *view)
{
    if (status != BITCASK_OK && status != BITCASK_NOT_FOUND)
        complain(trial, "a read", status);
    event->done = true;
    if (status == BITCASK_OK) {
        event->version = view->meta.version;
        event->value = number_of(view->value);
        if (event->value == 0)
            complain(trial, "a value that nobody wrote", status);
    }
    end_event(trial, event);
}

static void read_one(struct worker *worker, const bitcask_read_options *options, uint32_t key,
                     uint64_t as_of)
{
    struct trial *trial = worker->trial;
    char name[16];
    bitcask_view view = {{0}};
    struct event *event = begin_event(trial, EVENT_READ, key);
    event->as_of = as_of;
    bitcask_status status = bitcask_get_view(trial->f.db, options, key_of(key, name), &view, NULL);
    end_read(trial, event, status, &view);
    bitcask_views_release(&view, 1);
}

static void read_many(struct worker *worker)
{
    struct trial *trial = worker->trial;
    struct event *events[KEYS];
    bitcask_slice keys[KEYS];
    bitcask_view views[KEYS] = {{{0}}};
    bitcask_status statuses[KEYS];
    char names[KEYS][16];
    begin_events(trial, events, 0, KEYS);
    for (uint32_t key = 0; key < KEYS; key++)
        keys[key] = key_of(key, names[key]);
    bitcask_status status = bitcask_get_many(trial->f.db, NULL, keys, KEYS, views, statuses, NULL);
    if (status != BITCASK_OK)
        complain(trial, "a read of many", status);
    for (uint32_t key = 0; key < KEYS; key++)
        end_read(trial, events[key], statuses[key], &views[key]);
    bitcask_views_release(views, KEYS);
}

static void read_snapshot(struct worker *worker)
{
    struct trial *trial = worker->trial;
    bitcask_snapshot *snapshot;
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    bitcask_status status = bitcask_snapshot_new(trial->f.db, &snapshot, NULL);
    if (status != BITCASK_OK) {
        complain(trial, "a snapshot", status);
        return;
    }
    options.snapshot = snapshot;
    for (uint32_t key = 0; key < KEYS; key++)
        read_one(worker, &options, key, bitcask_snapshot_version(snapshot));
    bitcask_snapshot_free(snapshot);
}

static void *read_some(void *context)
{
    struct worker *worker = context;
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t way = below(worker, 24);
        if (way == 0)
            read_snapshot(worker);
        else if (way < 3)
            read_many(worker);
        else
            read_one(worker, NULL, below(worker, KEYS), 0);
    }
    return NULL;
}

static void *merge_some(void *context)
{
    struct worker *worker = context;
    struct trial *trial = worker->trial;
    do {
        bitcask_status status = bitcask_merge(trial->f.db, NULL, NULL, NULL);
        if (status < 0)
            complain(trial, "a merge", status);
    } while (!atomic_load(&trial->stop));
    return NULL;
}

/* ---- Trials --------------------------------------------------------------------------------- */

static void start(struct worker *worker, struct trial *trial, uint64_t seed, void *life(void *))
{
    *worker = (struct worker){.trial = trial, .random = seed};
    assert_int_equal(pthread_create(&worker->thread, NULL, life, worker), 0);
}

static void run_trial(struct trial *trial, uint64_t seed, bool by_pwrite)
{
    struct worker writers[WRITERS], readers[READERS], merger;
    char what[200];
    fixture_init(&trial->f);
    trial->f.options.log = NULL;
    trial->f.options.background = BITCASK_BACKGROUND_THREAD;
    trial->f.options.segment_max_records = 40; /* so that there is something to merge */
    open_store(&trial->f);
    if (by_pwrite)
        trial->f.store->writer.mapped_writes = false;
    for (int i = 0; i < WRITERS; i++)
        start(&writers[i], trial, seed * 16 + (uint64_t)i, write_some);
    for (int i = 0; i < READERS; i++)
        start(&readers[i], trial, seed * 16 + 8 + (uint64_t)i, read_some);
    start(&merger, trial, 0, merge_some);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    atomic_store(&trial->stop, true);
    pthread_join(merger.thread, NULL);
    if (trial->what[0])
        fail_msg("seed %d: %s", (int)seed, trial->what);
    if (!history_check(&trial->history, KEYS, what, sizeof what))
        fail_msg("seed %d: %s", (int)seed, what);
    fixture_release(&trial->f);
}

static void run_trials(bool by_pwrite)
{
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct trial *trial = calloc(1, sizeof *trial);
        assert_non_null(trial);
        pthread_mutex_init(&trial->mutex, NULL);
        run_trial(trial, seed, by_pwrite);
        pthread_mutex_destroy(&trial->mutex);
        free(trial);
    }
}

static void what_threads_saw_could_have_happened_one_after_the_other(void **state)
{
    (void)state;
    run_trials(false);
}

static void the_same_where_records_are_written_by_calls(void **state)
{
    (void)state;
    run_trials(true);
}

/* The check itself: a stale read must not pass. */
static void what_could_not_have_happened_is_noticed(void **state)
{
    (void)state;
    static struct history history;
    char what[200];
    struct event *write[2], *read;
    for (int i = 0; i < 2; i++) {
        write[i] = history_begin(&history, EVENT_PUT, 0);
        write[i]->done = true;
        write[i]->version = 10 + (uint64_t)i;
        history_end(&history, write[i]);
    }
    read = history_begin(&history, EVENT_READ, 0);
    read->done = true;
    read->version = 11;
    read->value = history_number(&history, write[1]);
    history_end(&history, read);
    assert_true(history_check(&history, 1, what, sizeof what));
    read->version = 10;
    read->value = history_number(&history, write[0]);
    assert_false(history_check(&history, 1, what, sizeof what));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_threads_saw_could_have_happened_one_after_the_other),
        cmocka_unit_test(the_same_where_records_are_written_by_calls),
        cmocka_unit_test(what_could_not_have_happened_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
