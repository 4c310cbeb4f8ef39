/* SPDX-License-Identifier: MIT
 * stress_test.c: many threads on one store, and several stores at once. Run under ThreadSanitizer
 * as well.
 *
 * Each writer owns some keys and writes rising serials to them. `begun` is raised before a write
 * and `done` behind it, so a reader that looks before and after a read knows the bounds of what it
 * may see: not older than what was done before, not newer than what was begun after. */
#include "engine/background.h"
#include "support/write_fixture.h"

#include <pthread.h>

enum { WRITERS = 3, READERS = 2, OWN_KEYS = 40, KEYS = WRITERS * OWN_KEYS, ROUNDS = 60 };

struct oracle {
    atomic_uint begun, done; /* even: a value, odd: deleted */
};

struct stress {
    bitcask *db;
    struct oracle keys[KEYS];
    atomic_bool stop;
    atomic_uint failures;
    char failure[200];
};

struct worker {
    struct stress *stress;
    int number;
    pthread_t thread;
};

static void complain(struct stress *stress, const char *what, int key, bitcask_status status)
{
    if (atomic_fetch_add(&stress->failures, 1) == 0)
        snprintf(stress->failure, sizeof stress->failure, "%s: key %d: %s", what, key,
                 bitcask_status_name(status));
    atomic_store(&stress->stop, true);
}

static size_t make_value(char *value, int key, unsigned serial)
{
    size_t size = 32 + serial * 37 % 3000;
    int head = snprintf(value, 32, "%d:%u:", key, serial);
    memset(value + head, 'a' + (int)(serial % 26), size - (size_t)head);
    return size;
}

/* The serial that a value tells, checked byte by byte; 0 if it is not one of the key's. */
static unsigned serial_of(bitcask_slice value, int key)
{
    char text[33] = {0}, expected[4096];
    memcpy(text, value.data, value.size < 32 ? value.size : 32);
    int of = -1;
    unsigned serial = 0;
    if (sscanf(text, "%d:%u:", &of, &serial) != 2 || of != key)
        return 0;
    size_t size = make_value(expected, key, serial);
    return size == value.size && memcmp(expected, value.data, size) == 0 ? serial : 0;
}

static void *write_keys(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    char key[16], value[4096];
    bitcask_error error;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    for (unsigned round = 1; round <= ROUNDS && !atomic_load(&stress->stop); round++) {
        for (int i = 0; i < OWN_KEYS; i++) {
            int number = worker->number * OWN_KEYS + i;
            struct oracle *oracle = &stress->keys[number];
            unsigned serial = atomic_load(&oracle->done) + 1;
            snprintf(key, sizeof key, "key%d", number);
            atomic_store(&oracle->begun, serial);
            bitcask_status status;
            options.sync =
                (round + (unsigned)i) % 50 == 0 ? BITCASK_SYNC_ALWAYS : BITCASK_SYNC_NONE;
            if (serial % 2 == 1) { /* odd: there is nothing after it */
                status = bitcask_delete(stress->db, bitcask_str(key), &options, NULL, &error);
                if (serial == 1 && status == BITCASK_NOT_FOUND)
                    status = BITCASK_OK;
            } else {
                size_t size = make_value(value, number, serial);
                status = bitcask_put(stress->db, bitcask_str(key), bitcask_bytes(value, size),
                                     &options, NULL, &error);
            }
            if (status != BITCASK_OK)
                complain(stress, "write", number, status);
            atomic_store(&oracle->done, serial);
        }
    }
    return NULL;
}

/* What was read lies between what was done before and what was begun by now. */
static void check_read(struct stress *stress, int number, unsigned before, bitcask_status status,
                       bitcask_slice value)
{
    unsigned after = atomic_load(&stress->keys[number].begun);
    if (status == BITCASK_OK) {
        unsigned serial = serial_of(value, number);
        if (serial == 0 || serial < before || serial > after)
            complain(stress, "a wrong or stale value", number, status);
    } else if (status == BITCASK_NOT_FOUND) {
        /* Some odd serial (or 0, never written) in [before, after] must allow it. */
        if (before % 2 == 0 && before == after && before != 0)
            complain(stress, "a live key is missing", number, status);
    } else {
        complain(stress, "read", number, status);
    }
}

static void *read_keys(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    bitcask_buffer buffer = {0};
    bitcask_view held = {0};
    bitcask_error error;
    char key[16], copy[4096];
    size_t copied = 0;
    for (unsigned i = (unsigned)worker->number; !atomic_load(&stress->stop); i += 7) {
        int number = (int)(i % KEYS);
        snprintf(key, sizeof key, "key%d", number);
        unsigned before = atomic_load(&stress->keys[number].done);
        bitcask_status status =
            bitcask_get(stress->db, NULL, bitcask_str(key), &buffer, NULL, &error);
        check_read(stress, number, before, status,
                   status == BITCASK_OK ? bitcask_bytes(buffer.data, buffer.size)
                                        : bitcask_bytes(NULL, 0));
        if (i % 64 < 7) { /* a view held across merges stays what it was */
            if (held.pin != NULL && memcmp(held.value.data, copy, copied) != 0)
                complain(stress, "a view changed", number, BITCASK_OK);
            bitcask_views_release(&held, 1);
            if (bitcask_get_view(stress->db, NULL, bitcask_str(key), &held, &error) == BITCASK_OK) {
                copied = held.value.size;
                memcpy(copy, held.value.data, copied);
            }
        }
    }
    bitcask_views_release(&held, 1);
    bitcask_buffer_free(&buffer);
    return NULL;
}

static void *iterate(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    bitcask_error error;
    while (!atomic_load(&stress->stop)) {
        unsigned before[KEYS], seen[KEYS] = {0};
        for (int i = 0; i < KEYS; i++)
            before[i] = atomic_load(&stress->keys[i].done);
        bitcask_iterator *iterator;
        bitcask_entry entry;
        bitcask_status status = bitcask_iterator_new(stress->db, NULL, bitcask_str(""),
                                                     BITCASK_VALUES, &iterator, &error);
        while (status == BITCASK_OK &&
               (status = bitcask_iterator_next(iterator, &entry, &error)) == BITCASK_OK) {
            int number = -1;
            char key[16] = {0};
            memcpy(key, entry.key.data, entry.key.size < 15 ? entry.key.size : 15);
            if (sscanf(key, "key%d", &number) != 1 || number < 0 || number >= KEYS)
                complain(stress, "a strange key", number, status);
            else if (seen[number]++ > 0)
                complain(stress, "a key shows twice", number, status);
            else
                check_read(stress, number, before[number], status, entry.value);
        }
        if (status != BITCASK_END)
            complain(stress, "iteration", -1, status);
        bitcask_iterator_free(iterator);
        for (int i = 0; i < KEYS; i++) { /* live throughout: seen */
            if (seen[i] == 0 && before[i] != 0 && before[i] % 2 == 0 &&
                atomic_load(&stress->keys[i].begun) == before[i])
                complain(stress, "a live key does not show", i, BITCASK_NOT_FOUND);
        }
    }
    return NULL;
}

static void *merge_often(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    bitcask_error error;
    for (int i = 0; !atomic_load(&stress->stop); i++) {
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.all = i % 2;
        bitcask_status status = bitcask_merge(stress->db, &options, NULL, &error);
        if (status != BITCASK_OK)
            complain(stress, "merge", -1, status);
        if (i % 3 == 0 && bitcask_sync_now(stress->db, &error) != BITCASK_OK)
            complain(stress, "sync", -1, error.status);
    }
    return NULL;
}

static void start(struct worker *worker, struct stress *stress, int number, void *(*run)(void *))
{
    *worker = (struct worker){.stress = stress, .number = number};
    assert_int_equal(pthread_create(&worker->thread, NULL, run, worker), 0);
}

static void check_final(struct fixture *f, struct stress *stress)
{
    for (int i = 0; i < KEYS; i++) {
        char key[16], value[4096];
        snprintf(key, sizeof key, "key%d", i);
        unsigned serial = atomic_load(&stress->keys[i].done);
        bitcask_buffer found = {0};
        bitcask_status status = read_key(f, key, &found);
        if (serial % 2 == 1) {
            assert_int_equal(status, BITCASK_NOT_FOUND);
        } else {
            size_t size = make_value(value, i, serial);
            assert_int_equal(status, BITCASK_OK);
            assert_int_equal(found.size, size);
            assert_memory_equal(found.data, value, size);
        }
        bitcask_buffer_free(&found);
    }
}

static void begin(struct fixture *f, struct stress *stress, bool by_pwrite)
{
    fixture_init(f);
    f->options.log = NULL;
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.sync_interval_ms = 1;
    open_store(f);
    if (by_pwrite)
        f->store->writer.mapped_writes = false;
    memset(stress, 0, sizeof *stress);
    stress->db = f->db;
}

static void finish(struct fixture *f, struct stress *stress)
{
    if (atomic_load(&stress->failures) > 0)
        fail_msg("%u failures, the first: %s", atomic_load(&stress->failures), stress->failure);
    check_final(f, stress);
    assert_sound(f);
    background_stop(f->store); /* it may be about to bury what was retired: what is left is ours */
    for (int i = 0; i < 10; i++) /* with no reader left, what was retired goes */
        epoch_poll(&f->store->epoch);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    close_store(f);
    open_store(f);
    check_final(f, stress);
    assert_sound(f);
    fixture_release(f);
}

static void run_stress(bool by_pwrite)
{
    static struct fixture f;
    static struct stress stress;
    begin(&f, &stress, by_pwrite);
    struct worker writers[WRITERS], readers[READERS], iterator, merger;
    for (int i = 0; i < WRITERS; i++)
        start(&writers[i], &stress, i, write_keys);
    for (int i = 0; i < READERS; i++)
        start(&readers[i], &stress, i, read_keys);
    start(&iterator, &stress, 0, iterate);
    start(&merger, &stress, 0, merge_often);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    atomic_store(&stress.stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    pthread_join(iterator.thread, NULL);
    pthread_join(merger.thread, NULL);
    finish(&f, &stress);
}

static void writers_readers_iterators_and_merges_agree(void **state)
{
    (void)state;
    run_stress(false);
}

static void the_same_where_everything_goes_by_pwrite(void **state)
{
    (void)state;
    run_stress(true);
}

static void several_stores_in_one_process_do_not_meet(void **state)
{
    (void)state;
    enum { STORES = 3 };
    static struct fixture f[STORES];
    static struct stress stress[STORES];
    struct worker writers[STORES][2], mergers[STORES];
    for (int i = 0; i < STORES; i++) {
        begin(&f[i], &stress[i], i == 1);
        for (int k = 0; k < 2; k++)
            start(&writers[i][k], &stress[i], k, write_keys);
        start(&mergers[i], &stress[i], 0, merge_often);
    }
    for (int i = 0; i < STORES; i++) {
        for (int k = 0; k < 2; k++)
            pthread_join(writers[i][k].thread, NULL);
        atomic_store(&stress[i].stop, true);
        pthread_join(mergers[i].thread, NULL);
        for (int key = 2 * OWN_KEYS; key < KEYS; key++)
            atomic_store(&stress[i].keys[key].done, 1); /* nobody wrote those */
        finish(&f[i], &stress[i]);
    }
}

/* Scenario 9 with real threads: of those that add one with a compare-and-set, none is lost. */
static void *count_up(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    bitcask_error error;
    for (int i = 0; i < 150;) {
        bitcask_view view;
        if (bitcask_get_view(stress->db, NULL, bitcask_str("counter"), &view, &error) !=
            BITCASK_OK) {
            complain(stress, "read", -1, error.status);
            return NULL;
        }
        uint64_t number;
        memcpy(&number, view.value.data, sizeof number);
        number++;
        bitcask_write_options options;
        bitcask_write_options_init(&options);
        options.flags = BITCASK_IF_VERSION;
        options.if_version = view.meta.version;
        bitcask_views_release(&view, 1);
        bitcask_status status =
            bitcask_put(stress->db, bitcask_str("counter"), bitcask_bytes(&number, sizeof number),
                        &options, NULL, &error);
        if (status == BITCASK_OK)
            i++;
        else if (status != BITCASK_CONFLICT)
            complain(stress, "compare and set", -1, status);
        if (atomic_load(&stress->stop))
            return NULL;
    }
    return NULL;
}

static void no_compare_and_set_is_lost(void **state)
{
    (void)state;
    static struct fixture f;
    static struct stress stress;
    begin(&f, &stress, false);
    uint64_t number = 0;
    assert_status(&f, OK,
                  bitcask_put(f.db, bitcask_str("counter"), bitcask_bytes(&number, sizeof number),
                              NULL, NULL, &f.error));
    struct worker workers[4], merger;
    start(&merger, &stress, 0, merge_often);
    for (int i = 0; i < 4; i++)
        start(&workers[i], &stress, i, count_up);
    for (int i = 0; i < 4; i++)
        pthread_join(workers[i].thread, NULL);
    atomic_store(&stress.stop, true);
    pthread_join(merger.thread, NULL);
    assert_int_equal(atomic_load(&stress.failures), 0);
    bitcask_buffer found = {0};
    assert_int_equal(read_key(&f, "counter", &found), BITCASK_OK);
    memcpy(&number, found.data, sizeof number);
    assert_int_equal(number, 4 * 150);
    bitcask_buffer_free(&found);
    assert_sound(&f);
    fixture_release(&f);
}

/* The background thread meets failing syncs while writers go on: what was acknowledged with
 * `always` survives a crash. */
static void failing_syncs_under_writers_lose_nothing_durable(void **state)
{
    (void)state;
    static struct fixture f;
    static struct stress stress;
    begin(&f, &stress, false);
    struct worker writers[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        start(&writers[i], &stress, i, write_keys);
    for (int i = 0; i < 5; i++) {
        bitcask_error error;
        (void)!bitcask_sync_now(f.db, &error);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    assert_int_equal(atomic_load(&stress.failures), 0);
    os_mem_fail(f.os, SYNC_CALLS, 1, 1, -EIO);
    for (int i = 0; i < WRITERS; i++) /* what is written is the same again */
        start(&writers[i], &stress, i, write_keys);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    os_mem_fail(f.os, 0, 0, 1, -EIO);
    /* At most the writes whose own sync failed were refused. */
    bitcask_error error;
    if (bitcask_sync_now(f.db, &error) == BITCASK_OK) {
        char *all = dump_store(&f);
        crash(&f);
        f.options.background = BITCASK_BACKGROUND_NONE;
        open_store(&f);
        char *again = dump_store(&f);
        assert_string_equal(all, again);
        free(all);
        free(again);
        assert_sound(&f);
    }
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_readers_iterators_and_merges_agree),
        cmocka_unit_test(the_same_where_everything_goes_by_pwrite),
        cmocka_unit_test(several_stores_in_one_process_do_not_meet),
        cmocka_unit_test(no_compare_and_set_is_lost),
        cmocka_unit_test(failing_syncs_under_writers_lose_nothing_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
