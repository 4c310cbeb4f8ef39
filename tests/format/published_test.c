/* SPDX-License-Identifier: MIT
 * published_test.c: the bytes that say how far the log is visible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/published.h"

static const uint8_t STORE[STORE_ID_SIZE] = {1, 2, 3};
static const struct log_position POSITION = {SEGMENT_ID_MAX, (UINT64_C(1) << 32) + 5};

static bool read_back(const uint8_t bytes[PUBLISHED_SIZE], struct log_position *position)
{
    uint64_t capacity;
    return published_check(slice_of(bytes, PUBLISHED_SIZE), STORE, &capacity) &&
           published_decode_position(bytes + PUBLISHED_AT_POSITION, position);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    uint8_t bytes[PUBLISHED_SIZE];
    struct log_position position;
    uint64_t capacity;
    published_encode(bytes, STORE, 12345, POSITION);
    assert_true(read_back(bytes, &position));
    assert_true(published_check(slice_of(bytes, PUBLISHED_AT_POSITION), STORE, &capacity));
    assert_int_equal(position.segment, POSITION.segment);
    assert_int_equal(position.end, POSITION.end);
    assert_int_equal(capacity, 12345);
}

/* The capacity is a hint, and what follows the complement is nothing. */
static void any_other_byte_that_changes_is_noticed(void **state)
{
    (void)state;
    for (int at = 0; at < PUBLISHED_AT_COMPLEMENT + 8; at++) {
        if (at >= PUBLISHED_AT_CAPACITY && at < PUBLISHED_AT_POSITION)
            continue;
        uint8_t bytes[PUBLISHED_SIZE];
        struct log_position position;
        published_encode(bytes, STORE, 1, POSITION);
        bytes[at] ^= 0x10;
        assert_false(read_back(bytes, &position));
    }
}

static void zeros_and_a_short_file_are_nothing(void **state)
{
    (void)state;
    uint8_t bytes[PUBLISHED_SIZE] = {0};
    struct log_position position;
    uint64_t capacity;
    assert_false(read_back(bytes, &position));
    assert_false(published_decode_position(bytes, &position));
    published_encode(bytes, STORE, 1, POSITION);
    assert_false(published_check(slice_of(bytes, PUBLISHED_AT_POSITION - 1), STORE, &capacity));
}

static void a_segment_that_cannot_be_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[PUBLISHED_POSITION_SIZE];
    struct log_position position;
    uint64_t word = (SEGMENT_ID_MAX + 1) << 33;
    put_u64(bytes, word);
    put_u64(bytes + 8, ~word);
    assert_false(published_decode_position(bytes, &position));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(any_other_byte_that_changes_is_noticed),
        cmocka_unit_test(zeros_and_a_short_file_are_nothing),
        cmocka_unit_test(a_segment_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
