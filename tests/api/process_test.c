/* SPDX-License-Identifier: MIT
 * process_test.c: other processes, forked children, several stores and several threads. */
#include "support/api_fixture.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Forked children ------------------------------------------------------------------------- */

/* Run `body` in a child; what it returns is the child's exit status. */
static int in_child(int (*body)(void *context), void *context)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(body(context)); /* no exit handlers: the test program's are the parent's */
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

struct inherited {
    struct fixture *f;
    bitcask_iterator *iterator;
    bitcask_batch *batch;
    bitcask_snapshot *snapshot;
};

/* 0, or the number of the first call that did not say FORKED. */
static int every_call_says_forked(void *context)
{
    struct inherited *inherited = context;
    bitcask *db = inherited->f->db;
    bitcask_slice key = bitcask_str("k");
    bitcask_buffer buffer = {0};
    bitcask_view view;
    bitcask_status each;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_snapshot *snapshot;
    bitcask_snapshot_free(inherited->snapshot); /* not to wait for a lock of the parent's */
    const bitcask_status said[] = {
        bitcask_put(db, key, key, NULL, NULL, &error),
        bitcask_get(db, NULL, key, &buffer, NULL, &error),
        bitcask_delete(db, key, NULL, NULL, &error),
        bitcask_expire(db, key, NULL, NULL, &error),
        bitcask_write(db, inherited->batch, NULL, NULL, &error),
        bitcask_sync_now(db, &error),
        bitcask_stat_key(db, NULL, key, NULL, &error),
        bitcask_get_view(db, NULL, key, &view, &error),
        bitcask_get_many(db, NULL, &key, 1, &view, &each, &error),
        bitcask_iterator_new(db, NULL, key, 0, &iterator, &error),
        bitcask_iterator_next(inherited->iterator, &entry, &error),
        bitcask_snapshot_new(db, &snapshot, &error),
        bitcask_merge(db, NULL, NULL, &error),
        bitcask_verify(db, NULL, NULL, &error),
        bitcask_stats_json(db, &buffer, &error),
        bitcask_close(db, &error),
    };
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        if (said[i] != BITCASK_FORKED)
            return (int)i + 1;
    }
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(db, &stats);
    bool empty = stats.keys == 0 && bitcask_get_segments(db, NULL, 0, 0) == 0;
    return empty && strstr(error.message, "fork") != NULL ? 0 : 100;
}

static void assert_child_is_told(struct fixture f)
{
    struct inherited inherited = {.f = &f};
    fixture_open(&f);
    put(&f, "k", "v");
    assert_done(bitcask_iterator_new(f.db, NULL, str(""), 0, &inherited.iterator, &error));
    assert_done(bitcask_batch_new(&inherited.batch, &error));
    assert_done(bitcask_snapshot_new(f.db, &inherited.snapshot, &error));
    assert_int_equal(in_child(every_call_says_forked, &inherited), 0);
    assert_int_equal(stats_of(&f).snapshots, 1);
    bitcask_snapshot_free(inherited.snapshot);
    bitcask_iterator_free(inherited.iterator);
    bitcask_batch_free(inherited.batch);
    put(&f, "k", "the parent goes on");
    assert_value(&f, "k", "the parent goes on");
    fixture_end(&f);
}

static void a_forked_child_is_told_so_by_every_call(void **state)
{
    (void)state;
    assert_child_is_told(fixture_new_on_disk());
    assert_child_is_told(fixture_new());
}

static int opens_a_store_of_its_own(void *context)
{
    struct fixture *f = context;
    bitcask *db;
    bitcask_buffer value = {0};
    bool works = bitcask_open(f->directory, &f->options, &db, &error) == BITCASK_OK &&
                 bitcask_put(db, bitcask_str("k"), bitcask_str("v"), NULL, NULL, &error) == 0 &&
                 bitcask_get(db, NULL, bitcask_str("k"), &value, NULL, &error) == 0 &&
                 bitcask_close(db, &error) == 0;
    bitcask_buffer_free(&value);
    return works ? 0 : 1;
}

static void a_forked_child_may_open_another_store(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory(), other = fixture_new_on_disk();
    assert_int_equal(in_child(opens_a_store_of_its_own, &other), 0);
    fixture_open(&other);
    assert_value(&other, "k", "v");
    fixture_end(&other);
    fixture_end(&f);
}

/* ---- The lock -------------------------------------------------------------------------------- */

static int is_refused_with_the_pid(void *context)
{
    struct fixture *f = context;
    char wanted[64];
    bitcask *db;
    snprintf(wanted, sizeof wanted, "process %d", (int)getppid());
    if (bitcask_open(f->directory, &f->options, &db, &error) != BITCASK_LOCKED)
        return 1;
    if (strstr(error.message, wanted) == NULL || strstr(error.message, f->directory) == NULL)
        return 2;
    snprintf(wanted, sizeof wanted, "pid %d", (int)getppid());
    if (bitcask_destroy(f->directory, &error) != BITCASK_LOCKED)
        return 3;
    return strstr(error.message, wanted) == NULL ? 4 : 0;
}

static void a_second_process_is_refused_with_the_pid_of_the_first(void **state)
{
    (void)state;
    struct fixture f = fixture_new_on_disk();
    fixture_open(&f);
    assert_int_equal(in_child(is_refused_with_the_pid, &f), 0);
    fixture_end(&f);
}

static void a_second_handle_of_this_process_is_refused(void **state)
{
    (void)state;
    struct fixture f = fixture_new_on_disk();
    bitcask *db;
    fixture_open(&f);
    assert_status(LOCKED, bitcask_open(f.directory, &f.options, &db, &error));
    assert_null(db);
    fixture_close(&f);
    fixture_open(&f);
    fixture_end(&f);
}

static int dies_with_the_store_open(void *context)
{
    struct fixture *f = context;
    return bitcask_open(f->directory, &f->options, &f->db, &error) != BITCASK_OK ||
           bitcask_put(f->db, bitcask_str("k"), bitcask_str("v"), NULL, NULL, &error) != 0;
}

static void the_lock_dies_with_its_process(void **state)
{
    (void)state;
    struct fixture f = fixture_new_on_disk();
    assert_int_equal(in_child(dies_with_the_store_open, &f), 0);
    fixture_open(&f);
    assert_value(&f, "k", "v");
    assert_false(stats_of(&f).clean_open);
    fixture_end(&f);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void options_of_opening_are_kept(void **state)
{
    (void)state;
    struct fixture f = fixture_new_on_disk();
    bitcask *db;
    f.options.create = 0;
    assert_status(NO_STORE, bitcask_open(f.directory, &f.options, &db, &error));
    f.options.create = 1;
    fixture_open(&f);
    put(&f, "k", "v");
    fixture_close(&f);

    f.options.error_if_exists = 1;
    assert_status(STORE_EXISTS, bitcask_open(f.directory, &f.options, &db, &error));
    f.options.error_if_exists = 0;
    f.options.read_only = 1;
    fixture_open(&f);
    assert_value(&f, "k", "v");
    assert_true(stats_of(&f).clean_open && stats_of(&f).read_only);
    assert_status(READ_ONLY, bitcask_put(f.db, str("k"), str("w"), NULL, NULL, &error));
    assert_status(READ_ONLY, delete_key(&f, "k"));
    fixture_end(&f);
    assert_status(NO_STORE, bitcask_destroy(f.directory, &error));
}

static void stores_of_one_process_are_apart(void **state)
{
    (void)state;
    enum { STORES = 4 };
    struct fixture stores[STORES];
    char value[32];
    for (int i = 0; i < STORES; i++) {
        stores[i] = i % 2 == 0 ? fixture_new() : fixture_new_on_disk();
        stores[i].options.background = BITCASK_BACKGROUND_THREAD;
        fixture_open(&stores[i]);
        snprintf(value, sizeof value, "value %d", i);
        put(&stores[i], "k", value);
    }
    for (int i = 0; i < STORES; i++) {
        snprintf(value, sizeof value, "value %d", i);
        assert_value(&stores[i], "k", value);
        assert_int_equal(stats_of(&stores[i]).puts, 1);
        fixture_end(&stores[i]);
    }
}

/* ---- Threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, PUTS = 2000, COUNTERS = 8 };

static char get_failed[] = "get failed", put_failed[] = "put failed";

/* Add one to each counter, PUTS / COUNTERS times, by compare and set. */
static void *increment(void *argument)
{
    struct fixture *f = argument;
    bitcask_buffer value = {0};
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = BITCASK_IF_VERSION;
    for (int done = 0; done < PUTS;) {
        char key[32];
        bitcask_meta meta;
        snprintf(key, sizeof key, "counter%d", done % COUNTERS);
        bitcask_error mine;
        uint64_t number = 0;
        if (bitcask_get(f->db, NULL, bitcask_str(key), &value, &meta, &mine) != BITCASK_OK)
            return get_failed;
        memcpy(&number, value.data, sizeof number);
        number++;
        options.if_version = meta.version;
        bitcask_status status = bitcask_put(
            f->db, bitcask_str(key), bitcask_bytes(&number, sizeof number), &options, NULL, &mine);
        if (status != BITCASK_OK && status != BITCASK_CONFLICT)
            return put_failed;
        done += status == BITCASK_OK;
    }
    bitcask_buffer_free(&value);
    return NULL;
}

static void no_compare_and_set_of_many_threads_is_lost(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    uint64_t number = 0;
    char key[32];
    for (int i = 0; i < COUNTERS; i++) {
        snprintf(key, sizeof key, "counter%d", i);
        assert_done(
            bitcask_put(f.db, str(key), bitcask_bytes(&number, sizeof number), NULL, NULL, &error));
    }
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, increment, &f), 0);
    for (int i = 0; i < THREADS; i++) {
        void *fault;
        assert_int_equal(pthread_join(threads[i], &fault), 0);
        if (fault != NULL)
            fail_msg("%s", (const char *)fault);
    }
    bitcask_buffer value = {0};
    for (int i = 0; i < COUNTERS; i++) {
        snprintf(key, sizeof key, "counter%d", i);
        assert_done(bitcask_get(f.db, NULL, str(key), &value, NULL, &error));
        memcpy(&number, value.data, sizeof number);
        assert_int_equal(number, THREADS * PUTS / COUNTERS);
    }
    bitcask_buffer_free(&value);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forked_child_is_told_so_by_every_call),
        cmocka_unit_test(a_forked_child_may_open_another_store),
        cmocka_unit_test(a_second_process_is_refused_with_the_pid_of_the_first),
        cmocka_unit_test(a_second_handle_of_this_process_is_refused),
        cmocka_unit_test(the_lock_dies_with_its_process),
        cmocka_unit_test(options_of_opening_are_kept),
        cmocka_unit_test(stores_of_one_process_are_apart),
        cmocka_unit_test(no_compare_and_set_of_many_threads_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
