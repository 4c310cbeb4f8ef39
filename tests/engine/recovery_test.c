/* SPDX-License-Identifier: MIT
 * recovery_test.c: every state of the files that opening can meet. */
#include "support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/segment_header.h"

#define SEGMENT_1 "000000001.data"
#define HINT_1 "000000001.hint"
#define SEGMENT_2 "000000002.data"

/* ---- Clean closes --------------------------------------------------------------------------- */

static void a_closed_store_opens_as_it_was(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "city", "Utrecht");
    put(&f, "gone", "x");
    delete_key(&f, "gone");
    close_store(&f);
    open_store(&f);
    check_value(&f, "city", "Utrecht");
    check_missing(&f, "gone");
    assert_int_equal(event_number(&f, "recovered", "clean"), 1);
    assert_int_equal(event_number(&f, "recovered", "keys"), 1);
    fixture_release(&f);
}

static void an_empty_store_opens_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    close_store(&f);
    open_store(&f);
    check_missing(&f, "anything");
    fixture_release(&f);
}

static const uint32_t WRITING = 1u << OS_CALL_PWRITE | 1u << OS_CALL_ALLOCATE |
                                1u << OS_CALL_TRUNCATE | 1u << OS_CALL_SYNC | 1u << OS_CALL_RENAME |
                                1u << OS_CALL_UNLINK | 1u << OS_CALL_SYNC_DIR | 1u << OS_CALL_PREAD;

static void a_clean_store_is_opened_without_writing_or_reading_data(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "a", 0, 100, "one");
    rotate(&f);
    put_numbered(&f, "a", 50, 150, "two");
    close_store(&f);
    f.options.read_only = 1; /* what is not recovery writes the lock file otherwise */
    uint64_t before = os_mem_calls(f.os, WRITING);
    open_store(&f);
    assert_int_equal(os_mem_calls(f.os, WRITING) - before, 1); /* reads the manifest */
    check_value(&f, "a49", "one");
    check_value(&f, "a50", "two");
    fixture_release(&f);
}

/* ---- Killed and crashed --------------------------------------------------------------------- */

static void killed_without_a_sync_loses_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 500, "value");
    delete_key(&f, "k7");
    kill_9(&f);
    open_store(&f);
    assert_int_equal(count_events(&f, "cut"), 0);
    assert_int_equal(count_events(&f, "damaged"), 0);
    check_value(&f, "k499", "value");
    check_missing(&f, "k7");
    assert_int_equal(event_number(&f, "recovered", "clean"), 0);
    put(&f, "k7", "again");
    kill_9(&f);
    open_store(&f);
    check_value(&f, "k7", "again");
    check_value(&f, "k0", "value");
    fixture_release(&f);
}

static void a_power_cut_keeps_what_was_synced(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "kept", "1");
    sync_store(&f);
    put(&f, "lost", "2");
    crash(&f);
    open_store(&f);
    check_value(&f, "kept", "1");
    check_missing(&f, "lost");
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_store_opens_as_it_was),
        cmocka_unit_test(an_empty_store_opens_again),
        cmocka_unit_test(a_clean_store_is_opened_without_writing_or_reading_data),
        cmocka_unit_test(killed_without_a_sync_loses_nothing),
        cmocka_unit_test(a_power_cut_keeps_what_was_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
