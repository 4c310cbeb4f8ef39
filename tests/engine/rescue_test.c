/* SPDX-License-Identifier: MIT
 * rescue_test.c: a sync fails, wherever it comes from. Invariants D2, D4, D5; scenario 20.
 *
 * The memory os fails as ext4, xfs and btrfs do: what the failed sync should have written stays
 * visible, is lost, and a second sync of it answers "success". */
#include "support/write_fixture.h"

#include <pthread.h>

static void fail_syncs(struct fixture *f, uint64_t nth, uint64_t repeat)
{
    os_mem_fail(f->os, SYNC_CALLS, nth, repeat, -EIO);
}

static void heal(struct fixture *f)
{
    os_mem_fail(f->os, 0, 0, 1, -EIO);
}

static void what_was_visible_is_saved_when_a_sync_fails(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "durable", "1");
    put(&f, "visible", "2");
    put(&f, "gone", "3");
    delete_key(&f, "gone");
    fail_syncs(&f, 1, 1);
    assert_status(&f, UNKNOWN, bitcask_sync_now(f.db, &f.error));
    assert_int_equal(count_events(&f, "rescued"), 1);
    check_value(&f, "visible", "2");
    put_durably(&f, "later", "4"); /* the store goes on */
    assert_sound(&f);
    crash(&f);
    open_store(&f);
    check_value(&f, "durable", "1");
    check_value(&f, "visible", "2");
    check_value(&f, "later", "4");
    check_missing(&f, "gone");
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

/* An always put whose own sync fails: UNKNOWN, not visible, and nothing before it is lost. */
static void run_failed_always_put(bool by_dsync, uint64_t repeat)
{
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "durable", "1");
    put_durably(&f, "k", "old");
    if (!by_dsync)
        put(&f, "visible", "2");
    os_mem_fail(f.os, by_dsync ? 1u << OS_CALL_PWRITE : SYNC_CALLS, 1, repeat, -EIO);
    assert_status(&f, UNKNOWN, put_sync(&f, "k", "new", BITCASK_SYNC_ALWAYS));
    heal(&f);
    check_value(&f, "k", "old");
    check_value(&f, "durable", "1");
    bool goes_on = put_sync(&f, "later", "4", BITCASK_SYNC_ALWAYS) == BITCASK_OK;
    assert_int_equal(goes_on, repeat == 1);
    if (!by_dsync && goes_on)
        check_value(&f, "visible", "2");
    if (!by_dsync && !goes_on) /* suspect: not served as if it were safe */
        check_corrupt(&f, "visible");
    crash(&f);
    open_store(&f);
    check_value(&f, "durable", "1");
    check_value(&f, "k", "old");
    if (goes_on) {
        check_value(&f, "later", "4");
        if (!by_dsync)
            check_value(&f, "visible", "2");
    }
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

static void an_always_put_whose_sync_fails_is_unknown_and_not_visible(void **state)
{
    (void)state;
    run_failed_always_put(false, 1);
    run_failed_always_put(true, 1);
}

static void
if_the_rescue_fails_too_writes_are_refused_and_the_suspect_part_is_an_error(void **state)
{
    (void)state;
    run_failed_always_put(false, UINT64_MAX);
    run_failed_always_put(true, UINT64_MAX);
}

/* Every write before was acknowledged with `always`; then any call fails, once or for ever. */
static void acknowledged_always_writes_survive_whichever_call_of_a_rescue_fails(void **state)
{
    (void)state;
    for (int forever = 0; forever < 2; forever++) {
        bool came = true;
        for (uint64_t nth = 1; came; nth++) {
            struct fixture f;
            fixture_init(&f);
            f.options.segment_max_records = 4;
            open_store(&f);
            put_durably(&f, "a", "1");
            put_durably(&f, "b", "2");
            put(&f, "c", "3");
            fail_syncs(&f, 1, 1);
            /* the sync fails first, then the nth call of what follows */
            bitcask_status first = bitcask_sync_now(f.db, &f.error);
            (void)first;
            uint64_t before = os_mem_calls(f.os, DISK_CALLS);
            os_mem_fail(f.os, DISK_CALLS, nth, forever ? UINT64_MAX : 1, -EIO);
            bool written[8];
            for (int i = 0; i < 8; i++) {
                char key[16];
                snprintf(key, sizeof key, "k%d", i);
                written[i] = put_sync(&f, key, "v", BITCASK_SYNC_ALWAYS) == BITCASK_OK;
                assert_int_equal(reads_as(&f, key, "v"), written[i]);
            }
            came = os_mem_calls(f.os, DISK_CALLS) - before >= nth;
            heal(&f);
            crash(&f);
            open_store(&f);
            check_value(&f, "a", "1");
            check_value(&f, "b", "2");
            for (int i = 0; i < 8; i++) {
                char key[16];
                snprintf(key, sizeof key, "k%d", i);
                if (written[i])
                    check_value(&f, key, "v");
            }
            assert_sound(&f);
            fixture_release(&f);
        }
    }
}

/* The same where the failing call is inside the rescue itself. */
static void a_rescue_that_fails_at_any_call_loses_nothing_durable(void **state)
{
    (void)state;
    bool came = true;
    for (uint64_t nth = 1; came; nth++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "a", "1");
        put(&f, "visible", "2");
        fail_syncs(&f, 1, 1);
        /* Fail the nth call behind the sync by failing all from the sync on but nth - 1: the sync
         * is the first call of a flush, so count from it. */
        uint64_t before = os_mem_calls(f.os, DISK_CALLS);
        os_mem_fail(f.os, DISK_CALLS, nth, UINT64_MAX, -EIO);
        bitcask_status status = bitcask_sync_now(f.db, &f.error);
        came = os_mem_calls(f.os, DISK_CALLS) - before >= nth;
        heal(&f);
        check_value(&f, "a", "1");
        bitcask_status visible = status_of(&f, "visible");
        assert_true(visible == BITCASK_OK || visible == BITCASK_CORRUPT);
        crash(&f);
        open_store(&f);
        check_value(&f, "a", "1");
        if (status == BITCASK_OK)
            check_value(&f, "visible", "2");
        assert_sound(&f);
        fixture_release(&f);
    }
}

static void writes_in_interval_mode_are_synced_within_the_interval(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.sync = BITCASK_SYNC_INTERVAL;
    f.options.sync_interval_ms = 1000;
    open_store(&f);
    put(&f, "a", "1");
    put_batch(&f, "batch", 3);
    os_mem_advance_clock(f.os, 2000000);
    put_batch(&f, "more", 3); /* the sync is due behind it */
    crash(&f);
    open_store(&f);
    check_value(&f, "a", "1");
    check_value(&f, "batch2", "batch2");
    check_value(&f, "more2", "more2");
    fixture_release(&f);
}

static void a_failed_interval_sync_is_rescued(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.sync = BITCASK_SYNC_INTERVAL;
    f.options.sync_interval_ms = 1000;
    open_store(&f);
    put(&f, "a", "1");
    os_mem_advance_clock(f.os, 2000000);
    fail_syncs(&f, 1, 1);
    put(&f, "b", "2"); /* the sync is due behind it */
    heal(&f);
    assert_int_equal(count_events(&f, "rescued"), 1);
    check_value(&f, "a", "1");
    crash(&f);
    open_store(&f);
    check_value(&f, "a", "1");
    check_value(&f, "b", "2");
    assert_sound(&f);
    fixture_release(&f);
}

static void a_failed_sync_of_the_sealer_is_rescued(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 20, "v");
    assert_status(&f, OK, log_prepare_next(f.store, 0, &f.error));
    write_mutex_lock(&f.store->write_mutex);
    assert_status(&f, OK, log_rotate(f.store, &f.error));
    write_mutex_unlock(&f.store->write_mutex);
    fail_syncs(&f, 1, 1);
    assert_status(&f, UNKNOWN, seal_waiting(f.store, &f.error));
    heal(&f);
    assert_int_equal(count_events(&f, "rescued"), 1);
    assert_int_equal(atomic_load(&f.store->sealing_count), 0);
    put(&f, "after", "x");
    char *all = dump_store(&f);
    sync_store(&f);
    crash(&f);
    open_store(&f);
    char *again = dump_store(&f);
    assert_string_equal(again, all);
    free(all);
    free(again);
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

static void a_failed_sync_in_close_keeps_what_was_acknowledged(void **state)
{
    (void)state;
    bool came = true;
    for (uint64_t nth = 1; came; nth++) {
        for (int forever = 0; forever < 2; forever++) {
            struct fixture f;
            fixture_init(&f);
            open_store(&f);
            put_durably(&f, "durable", "1");
            put(&f, "visible", "2");
            uint64_t before = os_mem_calls(f.os, SYNC_CALLS);
            fail_syncs(&f, nth, forever ? UINT64_MAX : 1);
            struct store *store = f.store;
            f.store = NULL;
            f.db = NULL;
            bitcask_status status = store_close(store, &f.error);
            came = os_mem_calls(f.os, SYNC_CALLS) - before >= nth;
            heal(&f);
            os_mem_crash(f.os);
            open_store(&f);
            check_value(&f, "durable", "1");
            if (status == BITCASK_OK)
                check_value(&f, "visible", "2");
            assert_sound(&f);
            fixture_release(&f);
        }
    }
}

/* Scenario 20: the pages that the failed sync marked clean are evicted; what is read then is what
 * is on the disk, so nothing may depend on them. */
static void nothing_depends_on_the_pages_of_a_failed_sync(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "durable", "1");
    put_numbered(&f, "k", 0, 50, "v");
    fail_syncs(&f, 1, 1);
    assert_status(&f, UNKNOWN, bitcask_sync_now(f.db, &f.error));
    heal(&f);
    /* After a kill nothing maps the file, and recovery drops its pages. */
    kill_9(&f);
    open_store(&f);
    check_value(&f, "durable", "1");
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        check_value(&f, key, "v");
    }
    assert_sound(&f);
    fixture_release(&f);
}

/* The device has written what the failed sync says it has not. */
static void make_durable(struct fixture *f, const char *name)
{
    size_t size;
    unsigned char *bytes = read_whole(f, name, &size);
    write_whole(f, name, bytes, size);
    free(bytes);
}

/* What the failed sync has written all the same stands behind the end of its segment. The manifest
 * knows; without it nobody does. */
static void what_a_failed_sync_left_does_not_come_back_with_the_loss_of_the_manifest(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "k", "old");
        put(&f, "visible", "2");
        fail_syncs(&f, 1, 1);
        assert_status(&f, UNKNOWN, put_sync(&f, "k", "new", BITCASK_SYNC_ALWAYS));
        put_durably(&f, "later", "1");
        make_durable(&f, "000000001.data");
        if (killed) {
            kill_9(&f);
            open_store(&f);
        }
        check_value(&f, "k", "old");
        close_store(&f);
        size_t count;
        char **names = list_files(&f, NULL, &count);
        for (size_t i = 0; i < count; i++)
            if (strstr(names[i], ".hint") != NULL)
                delete_file(&f, names[i]);
        free_list(names, count);
        delete_file(&f, "MANIFEST");
        open_store(&f);
        assert_int_equal(count_events(&f, "damaged"), 0);
        check_value(&f, "k", "old");
        check_value(&f, "later", "1");
        assert_sound(&f);
        fixture_release(&f);
    }
}

/* Writes are refused already, for another reason: the tail cannot be saved, so it is suspect. */
static void a_sync_that_fails_while_writes_are_refused_makes_the_tail_suspect(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "durable", "1");
    put(&f, "visible", "2");
    store_poison(f.store, BITCASK_IO, "a test says so");
    fail_syncs(&f, 1, 1);
    assert_status(&f, UNKNOWN, log_sync_background(f.store, &f.error));
    heal(&f);
    check_value(&f, "durable", "1");
    check_corrupt(&f, "visible");
    fixture_release(&f);
}

/* Two suspect segments: the failed one and one behind it. */
static void all_segments_behind_the_failed_one_are_saved_too(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_max_records = 10;
    open_store(&f);
    f.store->options.background = BITCASK_BACKGROUND_THREAD; /* nothing is sealed meanwhile */
    put_numbered(&f, "k", 0, 35, "v");
    delete_key(&f, "k3");
    delete_key(&f, "k33");
    fail_syncs(&f, 1, 1);
    assert_status(&f, UNKNOWN, bitcask_sync_now(f.db, &f.error));
    heal(&f);
    f.store->options.background = BITCASK_BACKGROUND_NONE;
    assert_int_equal(stats_of(&f).keys, 33);
    char *all = dump_store(&f);
    crash(&f);
    open_store(&f);
    char *again = dump_store(&f);
    assert_string_equal(again, all);
    free(all);
    free(again);
    check_missing(&f, "k3");
    check_missing(&f, "k33");
    assert_same_after_reopening(&f);
    assert_status(&f, OK, merge_all(&f));
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

/* A tombstone that only the suspect tail has is saved, or its key would come back. */
static void a_delete_is_saved_with_its_tombstone(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "k", "old");
    delete_key(&f, "k");
    fail_syncs(&f, 1, 1);
    assert_status(&f, UNKNOWN, bitcask_sync_now(f.db, &f.error));
    heal(&f);
    check_missing(&f, "k");
    crash(&f);
    open_store(&f);
    check_missing(&f, "k");
    assert_sound(&f);
    fixture_release(&f);
}

/* D5: two syncs of one file never overlap, or one of them would not hear of the error. */
struct overlap {
    atomic_int running, most;
    struct fixture *f;
};

static int count_running(void *context, enum os_mem_call call)
{
    (void)call;
    struct overlap *overlap = context;
    int now = atomic_fetch_add(&overlap->running, 1) + 1;
    if (now > atomic_load(&overlap->most))
        atomic_store(&overlap->most, now);
    for (int i = 0; i < 20; i++)
        sched_yield();
    atomic_fetch_sub(&overlap->running, 1);
    return 0;
}

static void *sync_often(void *context)
{
    struct overlap *overlap = context;
    bitcask_error error;
    for (int i = 0; i < 100; i++) {
        bitcask_write_options options;
        bitcask_write_options_init(&options);
        options.sync = i % 2 == 0 ? BITCASK_SYNC_ALWAYS : BITCASK_SYNC_NONE;
        if (bitcask_put(overlap->f->db, bitcask_str("k"), bitcask_str("v"), &options, NULL,
                        &error) != BITCASK_OK ||
            log_sync_background(overlap->f->store, &error) != BITCASK_OK)
            return NULL;
    }
    return overlap;
}

static void two_syncs_of_the_log_never_overlap(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.log = NULL; /* the fixture's takes no threads */
    f.options.segment_size = 1 << 20;
    open_store(&f);
    put(&f, "k", "v");
    struct overlap overlap = {.f = &f};
    os_mem_hook(f.os, SYNC_CALLS, count_running, &overlap);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sync_often, &overlap), 0);
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    os_mem_hook(f.os, 0, NULL, NULL);
    assert_int_equal(atomic_load(&overlap.most), 1);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_visible_is_saved_when_a_sync_fails),
        cmocka_unit_test(an_always_put_whose_sync_fails_is_unknown_and_not_visible),
        cmocka_unit_test(
            if_the_rescue_fails_too_writes_are_refused_and_the_suspect_part_is_an_error),
        cmocka_unit_test(acknowledged_always_writes_survive_whichever_call_of_a_rescue_fails),
        cmocka_unit_test(a_rescue_that_fails_at_any_call_loses_nothing_durable),
        cmocka_unit_test(writes_in_interval_mode_are_synced_within_the_interval),
        cmocka_unit_test(a_failed_interval_sync_is_rescued),
        cmocka_unit_test(a_failed_sync_of_the_sealer_is_rescued),
        cmocka_unit_test(a_failed_sync_in_close_keeps_what_was_acknowledged),
        cmocka_unit_test(nothing_depends_on_the_pages_of_a_failed_sync),
        cmocka_unit_test(what_a_failed_sync_left_does_not_come_back_with_the_loss_of_the_manifest),
        cmocka_unit_test(a_sync_that_fails_while_writes_are_refused_makes_the_tail_suspect),
        cmocka_unit_test(all_segments_behind_the_failed_one_are_saved_too),
        cmocka_unit_test(a_delete_is_saved_with_its_tombstone),
        cmocka_unit_test(two_syncs_of_the_log_never_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
