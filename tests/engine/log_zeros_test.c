/* SPDX-License-Identifier: MIT
 * log_zeros_test.c: what is written behind synced records, so that those to come find space that
 * has been written to. */
#include "support/write_fixture.h"

enum { RECORD_MAX = 256, PUTS = 3000 };

static int (*real_pwrite)(struct os *os, struct os_file *file, const void *data, size_t size,
                          uint64_t offset, int flags);
static struct {
    int writes, with_zeros; /* synced ones; those of them that are longer than their records */
    uint64_t end;           /* of the last one */
    size_t size;
} seen;

static int look_at_write(struct os *os, struct os_file *file, const void *data, size_t size,
                         uint64_t offset, int flags)
{
    if (flags & OS_DSYNC) {
        seen.writes++;
        seen.with_zeros += size > RECORD_MAX;
        seen.end = offset + size;
        seen.size = size;
    }
    return real_pwrite(os, file, data, size, offset, flags);
}

static void begin(struct fixture *f)
{
    memset(&seen, 0, sizeof seen);
    fixture_init(f);
    f->options.sync = BITCASK_SYNC_ALWAYS;
    open_store(f);
    real_pwrite = f->os->pwrite;
    f->os->pwrite = look_at_write;
}

static void a_synced_write_goes_on_with_zeros_to_the_end_of_a_page(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    put(&f, "first", "1"); /* behind a segment's header, which was synced with the file */
    put(&f, "second", "2");
    assert_true(seen.with_zeros > 0);
    assert_int_equal(f.store->writer.written % OS_PAGE, 0);
    assert_true(f.store->writer.written > f.store->writer.end);
    int before = seen.with_zeros;
    put(&f, "third", "3"); /* there already */
    assert_int_equal(seen.with_zeros, before);
    assert_int_equal(seen.end, f.store->writer.end);
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

/* Few: the larger the segment, the more of them at once. None where nothing is allocated. */
static void zeros_are_written_now_and_then_and_never_beyond_what_is_allocated(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (int i = 0; i < PUTS; i++) {
        put(&f, "key", "value");
        assert_true(seen.end <= f.store->writer.allocated);
    }
    assert_true(seen.writes > PUTS * 9 / 10); /* else it is another way, behind a rotation */
    assert_in_range(seen.with_zeros, 4, PUTS / 20);
    assert_true(stats_of(&f).rotations > 0); /* some of them at the end of a segment */
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void after_a_power_cut_nothing_is_cut_off(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (int i = 0; i < 60; i++) {
        put(&f, "key", i % 2 == 0 ? "even" : "odd");
        if (i % 3 != 0)
            continue;
        crash(&f);
        open_store(&f);
        f.os->pwrite = look_at_write;
        check_value(&f, "key", i % 2 == 0 ? "even" : "odd");
        assert_int_equal(stats_of(&f).quarantined_bytes, 0);
    }
    assert_true(seen.with_zeros > 0);
    assert_sound(&f);
    fixture_release(&f);
}

/* Copy-on-write: space is found anew whatever was written there, and more to write is more that
 * can fail. */
static void where_allocation_promises_little_there_are_none(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    f.store->writer.mapped_writes = false;
    for (int i = 0; i < 100; i++)
        put(&f, "key", "value");
    assert_true(seen.writes >= 99);
    assert_int_equal(seen.with_zeros, 0);
    fixture_release(&f);
}

static void a_write_that_waits_for_no_sync_has_none(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    put(&f, "key", "value");
    uint64_t written = f.store->writer.written;
    int before = seen.writes;
    for (int i = 0; i < 100; i++)
        assert_status(&f, OK, put_sync(&f, "key", "value", BITCASK_SYNC_NONE));
    assert_int_equal(seen.writes, before);
    assert_int_equal(f.store->writer.written, written);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_synced_write_goes_on_with_zeros_to_the_end_of_a_page),
        cmocka_unit_test(zeros_are_written_now_and_then_and_never_beyond_what_is_allocated),
        cmocka_unit_test(after_a_power_cut_nothing_is_cut_off),
        cmocka_unit_test(where_allocation_promises_little_there_are_none),
        cmocka_unit_test(a_write_that_waits_for_no_sync_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
