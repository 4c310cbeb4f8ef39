/* SPDX-License-Identifier: MIT
 * found_test.c: what the simulated disk has found, each as a short test of its own. */
#include "support/write_fixture.h"

#include <errno.h>

/* The disk ends at the call that `context` counts down to. */
static int stop_at(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return (*left)-- == 1;
}

/* A segment that is durable needs no rescue when its SEAL cannot be written: it was left waiting
 * for its seal for ever, and closing said UNKNOWN. */
static void a_durable_segment_that_cannot_be_sealed_does_not_stop_the_log(void **state)
{
    (void)state;
    uint32_t kinds = 1u << OS_CALL_SYNC | 1u << OS_CALL_PWRITE | 1u << OS_CALL_TRUNCATE;
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "a", "1");
        os_mem_fail(f.os, kinds, nth, 1, -EIO);
        (void)!merge_all(&f);
        os_mem_fail(f.os, 0, 0, 0, 0);
        put(&f, "b", "2");
        rotate(&f);
        put(&f, "c", "3");
        close_store(&f);
        open_store(&f);
        check_value(&f, "a", "1");
        check_value(&f, "b", "2");
        check_value(&f, "c", "3");
        fixture_release(&f);
    }
}

/* The FOLLOWS record of the group that failed stayed in the buffer; what was mapped behind it and
 * what was buffered after that then got the same place. */
static void a_write_that_failed_leaves_nothing_that_shifts_later_ones(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_max_records = 3;
    open_store(&f);
    for (int i = 0; i < 3; i++)
        put(&f, "a", "1");
    /* Two writes make the next segment, the third is that of the group. */
    os_mem_fail(f.os, 1u << OS_CALL_PWRITE, 3, 1, -ENOSPC);
    assert_status(&f, NO_SPACE, put_sync(&f, "b", "2", BITCASK_SYNC_ALWAYS));
    put(&f, "c", "3");
    put_durably(&f, "d", "4");
    check_value(&f, "c", "3");
    check_value(&f, "d", "4");
    crash(&f);
    open_store(&f);
    check_value(&f, "c", "3");
    check_value(&f, "d", "4");
    check_missing(&f, "b");
    fixture_release(&f);
}

/* The same with a value so large that it is written apart: the FOLLOWS record was dropped, and a
 * hole stayed in its place, at which recovery cut the log. */
static void a_large_write_that_failed_leaves_no_hole(void **state)
{
    (void)state;
    enum { SIZE = 300 << 10 };
    char *value = malloc(SIZE + 1);
    assert_non_null(value);
    memset(value, 'v', SIZE);
    value[SIZE] = '\0';
    for (uint64_t nth = 1; nth < 10; nth++) {
        struct fixture f;
        fixture_init(&f);
        f.options.segment_max_records = 3;
        open_store(&f);
        for (int i = 0; i < 3; i++)
            put(&f, "a", "1");
        os_mem_fail(f.os, 1u << OS_CALL_PWRITE, nth, 1, -ENOSPC);
        (void)!put_sync(&f, "b", value, BITCASK_SYNC_ALWAYS);
        os_mem_fail(f.os, 0, 0, 0, 0);
        put(&f, "c", "3");
        kill_9(&f);
        open_store(&f);
        check_value(&f, "c", "3");
        assert_sound(&f);
        fixture_release(&f);
    }
    free(value);
}

/* Half of a SEAL stood behind a segment when the process was killed. It was taken for a hole of the
 * log, and the completed writes of the next segment went. */
static void half_a_seal_is_no_hole_of_the_log(void **state)
{
    (void)state;
    int halves = 0;
    for (uint64_t nth = 1; nth < 10; nth++) {
        struct fixture f;
        fixture_init(&f);
        f.options.segment_max_records = 3;
        open_store(&f);
        for (int i = 0; i < 3; i++)
            put(&f, "a", "1");
        uint64_t left = 1;
        os_mem_fail(f.os, 1u << OS_CALL_PWRITE, nth, 1, -EIO);
        os_mem_hook(f.os, 1u << OS_CALL_TRUNCATE, stop_at, &left);
        bitcask_status status = put_sync(&f, "b", "2", BITCASK_SYNC_NONE);
        os_mem_fail(f.os, 0, 0, 0, 0);
        os_mem_hook(f.os, 0, NULL, NULL);
        kill_9(&f);
        open_store(&f);
        check_value(&f, "a", "1");
        if (status == BITCASK_OK)
            check_value(&f, "b", "2");
        halves += status == BITCASK_OK && count_events(&f, "cut") > 0;
        fixture_release(&f);
    }
    assert_true(halves > 0);
}

/* A sync has failed and nothing could be rescued: the lost end of the log is in the cache only. An
 * error of the first look at a segment made recovery leave out the sync and the dropping of its
 * pages, and then serve what the next power cut took away. */
static void what_is_served_is_durable_whatever_call_of_recovery_fails(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "a", "old");
        put(&f, "a", "new");
        os_mem_fail(f.os, 1u << OS_CALL_SYNC, 1, UINT64_MAX, -EIO);
        assert_status(&f, UNKNOWN, bitcask_sync_now(f.db, &f.error));
        os_mem_fail(f.os, 0, 0, 0, 0);
        kill_9(&f);
        os_mem_fail(f.os, 1u << OS_CALL_OPEN, nth, 1, -EIO);
        if (try_open(&f) != BITCASK_OK)
            open_store(&f);
        os_mem_fail(f.os, 0, 0, 0, 0);
        check_value(&f, "a", "old");
        crash(&f);
        open_store(&f);
        check_value(&f, "a", "old");
        fixture_release(&f);
    }
}

/* Records were rescued one by one, and those that the index had left stayed behind: half of a batch
 * could be there after a crash. */
static void a_rescue_cut_short_leaves_no_half_of_a_batch(void **state)
{
    (void)state;
    enum { SIZE = 700 << 10 }; /* the rescue brings them into the file one by one */
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "x", "1");
        char *value = calloc(1, SIZE);
        assert_non_null(value);
        struct write_op ops[] = {op_put("a", "1", 0), op_put("b", "1", 0), op_put("c", "1", 0)};
        for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
            ops[i].value = bitcask_bytes(value, SIZE);
        assert_status(&f, OK, write_batch(&f, ops, ARRAY_SIZE(ops)));
        os_mem_fail(f.os, 1u << OS_CALL_SYNC, 1, 1, -EIO);
        uint64_t left = nth;
        os_mem_hook(f.os, 1u << OS_CALL_PWRITE | 1u << OS_CALL_SYNC, stop_at, &left);
        (void)!bitcask_sync_now(f.db, &f.error);
        os_mem_hook(f.os, 0, NULL, NULL);
        os_mem_fail(f.os, 0, 0, 0, 0);
        kill_9(&f);
        open_store(&f);
        int there = status_of(&f, "a") == BITCASK_OK;
        assert_int_equal(status_of(&f, "b") == BITCASK_OK, there);
        assert_int_equal(status_of(&f, "c") == BITCASK_OK, there);
        check_value(&f, "x", "1");
        free(value);
        fixture_release(&f);
    }
}

/* The hint of a close counted for what was appended later, when the next one could not be
 * written: verify found a store damaged that was not. */
static void a_hint_of_before_is_stale_not_damaged(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_max_records = 2;
    open_store(&f);
    put(&f, "a", "1");
    close_store(&f);
    open_store(&f);
    put(&f, "b", "2");
    os_mem_fail(f.os, 1u << OS_CALL_RENAME, 2, 1, -EIO); /* the manifest's, the hint's */
    put(&f, "c", "3");
    os_mem_fail(f.os, 0, 0, 0, 0);
    assert_int_equal(count_events(&f, "hint_failed"), 1);
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    fixture_release(&f);
}

/* A segment that was prepared before there was an active one, as a full disk that has room again
 * has it done, was taken for the one that the last close left behind: it was active and the next
 * one at a time, a merge took it away, and the next write went to freed memory. */
static void a_prepared_segment_is_not_one_to_be_opened_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    background_want(f.store, WORK_PREPARE);
    background_inline(f.store);
    assert_non_null(f.store->writer.next);
    uint64_t prepared = f.store->writer.next->id;
    assert_status(&f, OK, merge_all(&f));
    put(&f, "a", "1");
    assert_int_equal(active_segment(&f)->id, prepared);
    assert_status(&f, OK, merge_all(&f));
    put(&f, "a", "2");
    assert_true(active_segment(&f)->id > prepared);
    check_value(&f, "a", "2");
    close_store(&f);
    open_store(&f);
    check_value(&f, "a", "2");
    assert_sound(&f);
    fixture_release(&f);
}

/* The same, and a merge saved the manifest as clean in between: the first write went into a store
 * that its manifest called closed, and what had been synced was removed as never begun after a
 * power cut. */
static void a_store_that_starts_in_a_prepared_segment_is_not_clean(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "a", "1");
    kill_9(&f);
    open_store(&f);
    background_want(f.store, WORK_PREPARE);
    background_inline(f.store);
    assert_non_null(f.store->writer.next);
    assert_status(&f, OK, merge_all(&f));
    put_durably(&f, "a", "2");
    crash(&f);
    open_store(&f);
    check_value(&f, "a", "2");
    assert_sound(&f);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_served_is_durable_whatever_call_of_recovery_fails),
        cmocka_unit_test(a_rescue_cut_short_leaves_no_half_of_a_batch),
        cmocka_unit_test(a_hint_of_before_is_stale_not_damaged),
        cmocka_unit_test(a_durable_segment_that_cannot_be_sealed_does_not_stop_the_log),
        cmocka_unit_test(a_write_that_failed_leaves_nothing_that_shifts_later_ones),
        cmocka_unit_test(half_a_seal_is_no_hole_of_the_log),
        cmocka_unit_test(a_large_write_that_failed_leaves_no_hole),
        cmocka_unit_test(a_prepared_segment_is_not_one_to_be_opened_again),
        cmocka_unit_test(a_store_that_starts_in_a_prepared_segment_is_not_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
