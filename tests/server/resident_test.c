/* SPDX-License-Identifier: MIT
 * resident_test.c: when pages are let go of, and that they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bitcask.h"
#include "resident.h"

enum { MIB = 1 << 20, SECOND_US = 1000000, KEYS = 8000, VALUE_SIZE = 2000 };

static void nothing_is_due_within_the_limit_or_without_one(void **state)
{
    (void)state;
    const struct resident resident = {0};
    assert_false(resident_is_due(&resident, 64 * MIB, 64 * MIB, 1));
    assert_true(resident_is_due(&resident, 64 * MIB + 1, 64 * MIB, 1));
    assert_false(resident_is_due(&resident, UINT64_MAX, 0, 1));
}

static void more_bytes_are_followed_by_a_longer_rest(void **state)
{
    (void)state;
    const uint64_t second = (uint64_t)RESIDENT_BYTES_PER_US * SECOND_US;
    struct resident resident = {0};
    resident_note(&resident, second, 5 * SECOND_US);
    assert_false(resident_is_due(&resident, second, MIB, 6 * SECOND_US - 1));
    assert_true(resident_is_due(&resident, second, MIB, 6 * SECOND_US));
    resident_note(&resident, 60 * second, 6 * SECOND_US);
    assert_false(resident_is_due(&resident, second, MIB, 66 * SECOND_US - 1));
    assert_true(resident_is_due(&resident, second, MIB, 66 * SECOND_US));
}

static void put_all(bitcask *store)
{
    static char value[VALUE_SIZE];
    char key[32];
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key%d", i);
        memset(value, 'a' + i % 26, sizeof value);
        assert_int_equal(bitcask_put(store, bitcask_str(key), bitcask_bytes(value, sizeof value),
                                     NULL, NULL, NULL),
                         BITCASK_OK);
    }
}

static void a_tick_lets_go_of_what_is_beyond_the_limit(void **state)
{
    (void)state;
    char directory[] = "/tmp/bitcask-resident-XXXXXX";
    bitcask *store;
    bitcask_error error;
    struct resident resident = {0};
    assert_non_null(mkdtemp(directory));
    assert_int_equal(bitcask_open(directory, NULL, &store, &error), BITCASK_OK);
    uint64_t before = resident_file_bytes();
    put_all(store);
    uint64_t filled = resident_file_bytes();
    assert_true(filled >= before + KEYS * VALUE_SIZE);
    resident_tick(&resident, store, 0, 1);
    resident_tick(&resident, store, UINT64_MAX, 1);
    assert_true(resident_file_bytes() >= before + KEYS * VALUE_SIZE);
    assert_int_equal(resident.next_us, 0);
    resident_tick(&resident, store, 1, 1);
    assert_true(resident_file_bytes() <= filled - KEYS * VALUE_SIZE * 3 / 4);
    assert_true(resident.next_us > 1);
    assert_int_equal(bitcask_close(store, &error), BITCASK_OK);
    assert_int_equal(bitcask_destroy(directory, &error), BITCASK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_due_within_the_limit_or_without_one),
        cmocka_unit_test(more_bytes_are_followed_by_a_longer_rest),
        cmocka_unit_test(a_tick_lets_go_of_what_is_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
