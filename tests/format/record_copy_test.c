/* SPDX-License-Identifier: MIT
 * record_copy_test.c: a value is copied whole, and what is not the record's is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "format/record_copy.h"

enum { KEY_SIZE = 5, MOST = 200000, SALT = 77, OFFSET = 4096 };

static uint8_t value[MOST], copy[MOST + 1];

/* A record with a value of `size` bytes, in memory of just its size; to be freed. */
static uint8_t *make_record(size_t size, uint64_t *record_size)
{
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(i * 31 + i / 251);
    struct record record = {
        .version = 3,
        .key = {(const uint8_t *)"abcde", KEY_SIZE},
        .value = {value, size},
    };
    uint8_t *bytes = malloc(RECORD_HEADER_MAX + KEY_SIZE + size);
    assert_non_null(bytes);
    *record_size = record_encode(bytes, &record, SALT, OFFSET);
    uint8_t *exact = malloc((size_t)*record_size); /* so that to read behind it is seen */
    assert_non_null(exact);
    memcpy(exact, bytes, (size_t)*record_size);
    free(bytes);
    return exact;
}

static const size_t sizes[] = {0,     1,     255,   16383, 16384, 16385,  32767, 32768,
                               32769, 49151, 49152, 65536, 99999, 100000, MOST};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void a_value_of_any_size_is_copied_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        uint64_t record_size;
        uint8_t *record = make_record(sizes[i], &record_size);
        copy[sizes[i]] = 0xee;
        assert_true(record_copy_value(copy, record, record_size, sizes[i], SALT, OFFSET));
        assert_memory_equal(copy, value, sizes[i]);
        assert_int_equal(copy[sizes[i]], 0xee);
        free(record);
    }
}

static void a_bit_that_is_not_the_records_is_noticed(void **state)
{
    (void)state;
    uint64_t record_size;
    for (size_t i = 0; i < SIZES; i++) {
        uint8_t *record = make_record(sizes[i], &record_size);
        for (uint64_t at = 0; at < record_size; at += 1 + at / 3) {
            record[at] ^= 4;
            assert_false(record_copy_value(copy, record, record_size, sizes[i], SALT, OFFSET));
            record[at] ^= 4;
        }
        record[record_size - 1] ^= 128;
        assert_false(record_copy_value(copy, record, record_size, sizes[i], SALT, OFFSET));
        free(record);
    }
}

static void elsewhere_it_is_another_record(void **state)
{
    (void)state;
    uint64_t record_size;
    uint8_t *record = make_record(MOST, &record_size);
    assert_false(record_copy_value(copy, record, record_size, MOST, SALT + 1, OFFSET));
    assert_false(record_copy_value(copy, record, record_size, MOST, SALT, OFFSET + 8));
    free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_of_any_size_is_copied_whole),
        cmocka_unit_test(a_bit_that_is_not_the_records_is_noticed),
        cmocka_unit_test(elsewhere_it_is_another_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
