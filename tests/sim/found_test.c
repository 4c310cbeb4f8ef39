/* SPDX-License-Identifier: MIT
 * found_test.c: what the simulated disk has found, each as a short test of its own. */
#include "support/write_fixture.h"

#include <errno.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_durable_segment_that_cannot_be_sealed_does_not_stop_the_log),
        cmocka_unit_test(a_write_that_failed_leaves_nothing_that_shifts_later_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
