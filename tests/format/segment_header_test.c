/* SPDX-License-Identifier: MIT
 * segment_header_test.c: which 128 bytes begin a segment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/samples.h"

/* The sample's header, to be damaged. */
static void encode(uint8_t bytes[SEGMENT_HEADER_SIZE])
{
    struct segment_header header = sample_header();
    segment_header_encode(bytes, &header);
}

static bitcask_status decode(const uint8_t *bytes, size_t size)
{
    struct segment_header header;
    return segment_header_decode(slice_of(bytes, size), &header);
}

static void fix_checksum(uint8_t bytes[SEGMENT_HEADER_SIZE])
{
    put_u32(bytes + 124, checksum_portable(0, bytes, 124));
}

static void header_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header header = sample_header(), found;
    header.kind = SEGMENT_MERGE;
    header.segment_id = SEGMENT_ID_MAX;
    header.salt = UINT64_MAX;
    segment_header_encode(bytes, &header);
    assert_int_equal(segment_header_decode(slice_of(bytes, sizeof bytes), &found), BITCASK_OK);
    assert_int_equal(found.format, 1);
    assert_int_equal(found.kind, SEGMENT_MERGE);
    assert_memory_equal(found.store_id, header.store_id, STORE_ID_SIZE);
    assert_int_equal(found.segment_id, SEGMENT_ID_MAX);
    assert_int_equal(found.salt, UINT64_MAX);
    assert_memory_equal(found.seed, header.seed, SEED_SIZE);
    assert_int_equal(found.created_us, SAMPLE_TIME);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    encode(bytes);
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal(decode(bytes, size), BITCASK_CORRUPT);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    encode(bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(decode(bytes, sizeof bytes), BITCASK_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* TRAPS 18. */
static void trap_18_all_zero_is_refused(void **state)
{
    (void)state;
    static const uint8_t zeros[SEGMENT_HEADER_SIZE];
    assert_int_equal(decode(zeros, sizeof zeros), BITCASK_CORRUPT);
}

static void newer_format_is_told_from_damage(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header header;
    encode(bytes);
    memset(bytes + 12, 0xff, 112); /* nothing else need be as this version has it */
    put_u32(bytes + 8, FORMAT_VERSION + 1);
    assert_int_equal(decode(bytes, sizeof bytes), BITCASK_CORRUPT);
    fix_checksum(bytes);
    assert_int_equal(segment_header_decode(slice_of(bytes, sizeof bytes), &header), BITCASK_FORMAT);
    assert_int_equal(header.format, FORMAT_VERSION + 1);
}

/* Write `value` at `at`, make the checksum good, and expect a refusal. */
static void assert_refused(size_t at, uint64_t value, size_t size)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE], little[8];
    encode(bytes);
    put_u64(little, value);
    memcpy(bytes + at, little, size);
    fix_checksum(bytes);
    assert_int_equal(decode(bytes, sizeof bytes), BITCASK_CORRUPT);
}

static void fields_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_refused(0, 'B', 1);                 /* magic */
    assert_refused(8, 0, 4);                   /* format */
    assert_refused(12, 0, 4);                  /* kind */
    assert_refused(12, SEGMENT_MERGE + 1, 4);  /* kind */
    assert_refused(32, 0, 8);                  /* segment id */
    assert_refused(32, SEGMENT_ID_MAX + 1, 8); /* segment id */
    for (size_t at = 88; at < 124; at++)
        assert_refused(at, 1, 1); /* reserved */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_comes_back),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(trap_18_all_zero_is_refused),
        cmocka_unit_test(newer_format_is_told_from_damage),
        cmocka_unit_test(fields_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
