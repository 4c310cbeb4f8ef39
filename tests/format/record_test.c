/* SPDX-License-Identifier: MIT
 * record_test.c: what is a record, and that nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "support/samples.h"

enum { AT = 4096 }; /* where the records of this file stand in their segment */

/* One record in memory of just its size, to be damaged. */
struct fixture {
    uint8_t *bytes;
    uint64_t size;
};

static struct fixture encode(const struct record *record)
{
    struct fixture made;
    made.size = record_size(record->flags, record->key.size, record->value.size);
    made.bytes = malloc(made.size);
    assert_non_null(made.bytes);
    assert_int_equal(record_encode(made.bytes, record, SAMPLE_SALT, AT), made.size);
    return made;
}

/* A record with all there is: key, value, expiry. */
static struct fixture encode_full(void)
{
    struct record record = sample_put("key", "value", SAMPLE_TIME);
    record.flags = RECORD_EXPIRES;
    record.expires_us = SAMPLE_TIME + 1;
    return encode(&record);
}

static bitcask_status decode(const void *bytes, uint64_t size, const char **why)
{
    struct record record;
    struct record_shape shape;
    return record_decode(slice_of(bytes, size), SAMPLE_SALT, AT, &record, &shape, why);
}

/* Give the fixture a good checksum again, and expect this fault. Frees it. */
static void assert_refused(struct fixture made, const char *expected)
{
    const char *why = NULL;
    record_seal(made.bytes, made.size, SAMPLE_SALT, AT);
    assert_int_equal(decode(made.bytes, made.size, &why), BITCASK_CORRUPT);
    assert_string_equal(why, expected);
    free(made.bytes);
}

static void assert_round_trip(const struct record *record)
{
    struct fixture made = encode(record);
    struct record found;
    struct record_shape shape;
    assert_int_equal(
        record_decode(slice_of(made.bytes, made.size), SAMPLE_SALT, AT, &found, &shape, NULL),
        BITCASK_OK);
    assert_int_equal(found.version, record->version);
    assert_int_equal(found.expires_us, record->expires_us);
    assert_int_equal(found.flags, record->flags);
    assert_true(slice_equal(found.key, record->key));
    assert_true(slice_equal(found.value, record->value));
    assert_int_equal(shape.size, made.size);
    assert_int_equal(shape.key_size, record->key.size);
    assert_int_equal(shape.value_size, record->value.size);
    free(made.bytes);
}

/* ---- Round trips and limits ------------------------------------------------------------------ */

static void every_kind_comes_back(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, RECORD_EXPIRES, RECORD_BATCH_MORE,
                                     RECORD_EXPIRES | RECORD_BATCH_MORE};
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        struct record record = sample_put("key", i % 2 == 0 ? "value" : "", SAMPLE_TIME);
        record.flags = flags[i];
        record.expires_us = (flags[i] & RECORD_EXPIRES) != 0 ? UINT64_MAX : 0;
        assert_round_trip(&record);
    }
    struct record tombstone = sample_put("key", "", 1);
    tombstone.flags = RECORD_TOMBSTONE;
    assert_round_trip(&tombstone);
    tombstone.flags |= RECORD_BATCH_MORE;
    assert_round_trip(&tombstone);
}

/* Memory of just its size, so that a byte beyond it is noticed. */
static slice some_bytes(size_t size, unsigned seed)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(seed + i * 37);
    return slice_of(bytes, size);
}

static void assert_encoded_from_parts(size_t key_size, size_t value_size)
{
    struct record record = {
        .version = SAMPLE_TIME + key_size * 1000 + value_size,
        .flags = value_size == 0 ? RECORD_TOMBSTONE : RECORD_BATCH_MORE,
        .key = some_bytes(key_size, 1),
        .value = some_bytes(value_size, 100),
    };
    struct fixture made = encode(&record);
    uint8_t *expected = malloc(made.size);
    assert_non_null(expected);
    uint32_t header = record_encode_header(expected, &record);
    memcpy(expected + header, record.key.data, key_size);
    memcpy(expected + header + key_size, record.value.data, value_size);
    uint8_t place[16];
    put_u64(place, SAMPLE_SALT);
    put_u64(place + 8, AT);
    put_u32(expected, checksum_portable(checksum_portable(0, place, sizeof place), expected + 4,
                                        made.size - 4));
    assert_memory_equal(made.bytes, expected, made.size);
    free(expected);
    free(made.bytes);
    free((void *)(uintptr_t)record.key.data);
    free((void *)(uintptr_t)record.value.data);
}

/* Copied and summed up in one pass, which differs by what is left of key and value behind whole
 * registers: the same bytes as one after the other. */
static void all_short_sizes_are_encoded_alike(void **state)
{
    (void)state;
    const enum checksum_way ways[] = {CHECKSUM_PORTABLE, CHECKSUM_CLMUL, CHECKSUM_WIDE};
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        checksum_use(ways[i]);
        for (size_t key_size = 1; key_size <= 50; key_size++)
            for (size_t value_size = 0; value_size <= 300; value_size += value_size < 70 ? 1 : 13)
                assert_encoded_from_parts(key_size, value_size);
    }
}

/* Past the caches in pieces, from whatever begin to whatever end. */
static void large_values_are_encoded_alike(void **state)
{
    (void)state;
    const size_t sizes[] = {65535, 65536, 65537, 65551, 73727, 73728, 73745, 200003};
    for (size_t key_size = 1; key_size <= 17; key_size++)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
            assert_encoded_from_parts(key_size, sizes[i]);
    slice value = some_bytes(70001, 3);
    struct record record = {.version = SAMPLE_TIME,
                            .flags = RECORD_EXPIRES,
                            .key = bitcask_str("key"),
                            .value = value,
                            .expires_us = SAMPLE_TIME + 1};
    assert_round_trip(&record);
    free((void *)(uintptr_t)value.data);
}

static void limits_come_back(void **state)
{
    (void)state;
    static char key[BITCASK_MAX_KEY_SIZE];
    struct record record = {.version = VERSION_MAX, .key = slice_of(key, sizeof key)};
    assert_round_trip(&record);
    record.key.size = 1;
    record.version = 0;
    assert_round_trip(&record);
}

/* TRAPS 20: every size around multiples of a page. */
static void trap_20_sizes_around_pages_come_back(void **state)
{
    (void)state;
    static char value[3 * 4096 + 2];
    memset(value, 'v', sizeof value);
    for (size_t page = 1; page <= 3; page++) {
        for (size_t size = page * 4096 - 30; size <= page * 4096 + 1; size++) {
            struct record record = sample_put("k", "", SAMPLE_TIME);
            record.value = slice_of(value, size);
            assert_round_trip(&record);
        }
    }
}

/* TRAPS 25: a tombstone is a flag; no value is one. */
static void trap_25_value_that_looks_like_a_tombstone_is_a_value(void **state)
{
    (void)state;
    struct record record = sample_put("k", "bitcask_tombstone", SAMPLE_TIME);
    assert_round_trip(&record);
    assert_false(record_is_gone(record.flags, 0, UINT64_MAX));
}

static void parts_make_the_whole(void **state)
{
    (void)state;
    struct fixture whole = encode_full();
    struct record record = sample_put("key", "value", SAMPLE_TIME);
    record.flags = RECORD_EXPIRES;
    record.expires_us = SAMPLE_TIME + 1;
    uint8_t parts[64];
    assert_int_equal(record_encode_header(parts, &record), RECORD_HEADER_MAX);
    memcpy(parts + RECORD_HEADER_MAX, "keyvalue", 8);
    record_seal(parts, whole.size, SAMPLE_SALT, AT);
    assert_memory_equal(parts, whole.bytes, whole.size);
    free(whole.bytes);
}

static void gone_is_deleted_or_expired(void **state)
{
    (void)state;
    assert_false(record_is_gone(0, 0, UINT64_MAX));
    assert_true(record_is_gone(RECORD_TOMBSTONE, 0, 0));
    assert_false(record_is_gone(RECORD_EXPIRES, 100, 99));
    assert_true(record_is_gone(RECORD_EXPIRES, 100, 100));
    assert_true(record_is_gone(RECORD_EXPIRES, 0, 0));
    assert_false(record_is_gone(RECORD_EXPIRES, UINT64_MAX, UINT64_MAX - 1));
}

/* ---- The end of the log ---------------------------------------------------------------------- */

/* TRAPS 18: an unwritten tail is the end, however long. */
static void trap_18_zero_tail_is_the_end(void **state)
{
    (void)state;
    static const uint8_t zeros[100] = {0};
    struct record_shape shape;
    for (size_t size = 0; size <= sizeof zeros; size++)
        assert_int_equal(record_parse(slice_of(zeros, size), &shape, NULL), BITCASK_END);
}

/* TRAPS 18, 30: a tail that is not zero is never taken for the end. */
static void trap_30_torn_record_is_not_the_end(void **state)
{
    (void)state;
    for (size_t at = 0; at < RECORD_HEADER_SIZE; at++) {
        for (size_t size = at + 1; size <= 24; size++) {
            uint8_t tail[24] = {0};
            tail[at] = 1;
            assert_int_equal(decode(tail, size, NULL), BITCASK_CORRUPT);
        }
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    for (uint64_t size = 1; size < made.size; size++) {
        uint8_t *exact = malloc(size);
        assert_non_null(exact);
        memcpy(exact, made.bytes, size);
        const char *why = NULL;
        assert_int_equal(decode(exact, size, &why), BITCASK_CORRUPT);
        assert_string_equal(why, size < RECORD_HEADER_SIZE ? "ends inside the header"
                                                           : "ends beyond the segment");
        free(exact);
    }
    free(made.bytes);
}

/* What a power cut leaves of a record: any part of it zero. */
static void every_zeroed_tail_is_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    for (uint64_t from = 1; from < made.size; from++) {
        uint8_t torn[64] = {0};
        memcpy(torn, made.bytes, from);
        assert_int_equal(decode(torn, made.size, NULL), BITCASK_CORRUPT);
    }
    free(made.bytes);
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    struct sample_segment segment = sample_segment();
    for (size_t i = 0; i < SAMPLE_RECORDS; i++) {
        size_t at = segment.offsets[i], size = segment.offsets[i + 1] - at;
        for (size_t bit = 0; bit < 8 * size; bit++) {
            struct record record;
            struct record_shape shape;
            segment.bytes[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(record_decode(slice_of(segment.bytes + at, segment.size - at),
                                           SAMPLE_SALT, at, &record, &shape, NULL),
                             BITCASK_CORRUPT);
            segment.bytes[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* TRAPS 17: the checksum decides before anything else is believed. */
static void trap_17_bad_checksum_is_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    const char *why = NULL;
    put_u32(made.bytes, get_u32(made.bytes) + 1);
    assert_int_equal(decode(made.bytes, made.size, &why), BITCASK_CORRUPT);
    assert_string_equal(why, "bad checksum");
    free(made.bytes);
}

static void another_place_is_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    slice in = slice_of(made.bytes, made.size);
    struct record record;
    struct record_shape shape;
    assert_int_equal(record_decode(in, SAMPLE_SALT + 1, AT, &record, &shape, NULL),
                     BITCASK_CORRUPT);
    assert_int_equal(record_decode(in, SAMPLE_SALT, AT + 1, &record, &shape, NULL),
                     BITCASK_CORRUPT);
    assert_int_equal(
        record_decode(in, SAMPLE_SALT, AT + (UINT64_C(1) << 32), &record, &shape, NULL),
        BITCASK_CORRUPT);
    free(made.bytes);
}

static void record_inside_a_value_is_refused(void **state)
{
    (void)state;
    struct fixture inner = encode_full();
    struct record record = sample_put("k", "", SAMPLE_TIME);
    record.value = slice_of(inner.bytes, inner.size);
    struct fixture outer = encode(&record);
    uint64_t at = RECORD_HEADER_SIZE + 1;
    struct record found;
    struct record_shape shape;
    assert_int_equal(record_decode(slice_of(outer.bytes + at, outer.size - at), SAMPLE_SALT,
                                   AT + at, &found, &shape, NULL),
                     BITCASK_CORRUPT);
    free(inner.bytes);
    free(outer.bytes);
}

/* ---- One field wrong, the checksum good ------------------------------------------------------ */

static void unknown_flags_are_refused(void **state)
{
    (void)state;
    for (unsigned bit = 4; bit < 16; bit++) {
        struct fixture made = encode_full();
        put_u16(made.bytes + 14, (uint16_t)(RECORD_EXPIRES | 1u << bit));
        assert_refused(made, bit < 6 ? "unknown codec" : "unknown flags");
    }
}

static void version_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    put_u64(made.bytes + 4, VERSION_MAX + 1);
    assert_refused(made, "version out of range");
}

static void empty_key_is_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    put_u16(made.bytes + 12, 0);
    assert_refused(made, "empty key");
}

static void value_size_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {BITCASK_MAX_VALUE_SIZE + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct fixture made = encode_full();
        put_u32(made.bytes + 16, sizes[i]);
        assert_refused(made, "value size over the limit");
    }
}

/* Hostile sizes whose sum would overflow 32 bits, or just not fit. */
static void sizes_beyond_what_remains_are_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    put_u32(made.bytes + 16, BITCASK_MAX_VALUE_SIZE);
    assert_refused(made, "ends beyond the segment");
    made = encode_full();
    put_u32(made.bytes + 16, 6);
    assert_refused(made, "ends beyond the segment");
    made = encode_full();
    put_u16(made.bytes + 12, UINT16_MAX);
    assert_refused(made, "ends beyond the segment");
}

static void tombstone_with_value_or_expiry_is_refused(void **state)
{
    (void)state;
    struct fixture made = encode_full();
    put_u16(made.bytes + 14, RECORD_TOMBSTONE);
    assert_refused(made, "tombstone with a value");
    made = encode_full();
    put_u16(made.bytes + 14, RECORD_TOMBSTONE | RECORD_EXPIRES);
    assert_refused(made, "flags that exclude each other");
}

static void meta_with_key_or_other_flags_is_refused(void **state)
{
    (void)state;
    static const uint16_t flags[] = {RECORD_TOMBSTONE, RECORD_EXPIRES, RECORD_BATCH_MORE};
    struct fixture made = encode_full();
    put_u16(made.bytes + 14, RECORD_META);
    assert_refused(made, "meta record with a key");
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        made = encode_full();
        put_u16(made.bytes + 14, RECORD_META | flags[i]);
        assert_refused(made, "flags that exclude each other");
    }
}

/* ---- META values ----------------------------------------------------------------------------- */

static void sync_comes_back(void **state)
{
    (void)state;
    uint8_t value[META_SYNC_SIZE];
    struct meta_sync sync = {SEGMENT_ID_MAX, UINT64_MAX}, found;
    assert_int_equal(meta_sync_encode(value, &sync), META_SYNC_SIZE);
    assert_int_equal(meta_kind_of(slice_of(value, sizeof value)), META_SYNC);
    assert_int_equal(meta_sync_decode(slice_of(value, sizeof value), &found), BITCASK_OK);
    assert_int_equal(found.segment, sync.segment);
    assert_int_equal(found.offset, sync.offset);
}

static void sync_of_another_shape_is_refused(void **state)
{
    (void)state;
    uint8_t value[META_SYNC_SIZE + 1];
    struct meta_sync sync = {1, 2}, found;
    meta_sync_encode(value, &sync);
    for (size_t size = 0; size <= sizeof value; size++)
        assert_int_equal(meta_sync_decode(slice_of(value, size), &found),
                         size == META_SYNC_SIZE ? BITCASK_OK : BITCASK_CORRUPT);
    value[4] = 1;
    assert_int_equal(meta_sync_decode(slice_of(value, META_SYNC_SIZE), &found), BITCASK_CORRUPT);
    value[4] = 0;
    put_u32(value, META_SEAL);
    assert_int_equal(meta_sync_decode(slice_of(value, META_SYNC_SIZE), &found), BITCASK_CORRUPT);
    put_u32(value, META_FOLLOWS + 1);
    assert_int_equal(meta_kind_of(slice_of(value, META_SYNC_SIZE)), 0);
}

static void follows_comes_back(void **state)
{
    (void)state;
    uint8_t value[META_FOLLOWS_SIZE];
    uint64_t found;
    assert_int_equal(meta_follows_encode(value, SEGMENT_ID_MAX), META_FOLLOWS_SIZE);
    assert_int_equal(meta_kind_of(slice_of(value, sizeof value)), META_FOLLOWS);
    assert_int_equal(meta_follows_decode(slice_of(value, sizeof value), &found), BITCASK_OK);
    assert_int_equal(found, SEGMENT_ID_MAX);
}

static void follows_of_another_shape_is_refused(void **state)
{
    (void)state;
    uint8_t value[META_FOLLOWS_SIZE + 1] = {0};
    uint64_t found;
    meta_follows_encode(value, 1);
    for (size_t size = 0; size <= sizeof value; size++)
        assert_int_equal(meta_follows_decode(slice_of(value, size), &found),
                         size == META_FOLLOWS_SIZE ? BITCASK_OK : BITCASK_CORRUPT);
    value[4] = 1;
    assert_int_equal(meta_follows_decode(slice_of(value, META_FOLLOWS_SIZE), &found),
                     BITCASK_CORRUPT);
}

enum { INPUTS = 3 };

static struct meta_seal make_seal(uint8_t inputs[8 * INPUTS])
{
    for (uint8_t i = 0; i < INPUTS; i++)
        put_u64(inputs + 8 * i, 100 + i);
    return (struct meta_seal){
        .length = 1,
        .records = 2,
        .tombstones = 3,
        .version_min = 4,
        .version_max = 5,
        .expires_min = 6,
        .expires_max = 7,
        .job = 8,
        .outputs = 9,
        .rolling = 10,
        .input_count = INPUTS,
        .inputs = inputs,
    };
}

static void seal_comes_back(void **state)
{
    (void)state;
    uint8_t inputs[8 * INPUTS], value[META_SEAL_FIXED + sizeof inputs], again[sizeof value];
    struct meta_seal seal = make_seal(inputs), found;
    assert_int_equal(meta_seal_encode(value, &seal), sizeof value);
    assert_int_equal(meta_seal_decode(slice_of(value, sizeof value), &found), BITCASK_OK);
    assert_int_equal(found.length, 1);
    assert_int_equal(found.expires_max, 7);
    assert_int_equal(found.input_count, INPUTS);
    assert_memory_equal(found.inputs, inputs, sizeof inputs);
    assert_int_equal(meta_seal_encode(again, &found), sizeof again);
    assert_memory_equal(again, value, sizeof value);
}

static void seal_of_another_shape_is_refused(void **state)
{
    (void)state;
    uint8_t inputs[8 * INPUTS], value[META_SEAL_FIXED + sizeof inputs + 8] = {0};
    struct meta_seal seal = make_seal(inputs), found;
    size_t good = meta_seal_encode(value, &seal);
    for (size_t size = 0; size <= sizeof value; size++)
        assert_int_equal(meta_seal_decode(slice_of(value, size), &found),
                         size == good ? BITCASK_OK : BITCASK_CORRUPT);
    static const uint32_t counts[] = {INPUTS - 1, INPUTS + 1, META_SEAL_INPUTS_MAX + 1,
                                      INPUTS + (UINT32_C(1) << 29), UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        put_u32(value + 80, counts[i]);
        assert_int_equal(meta_seal_decode(slice_of(value, good), &found), BITCASK_CORRUPT);
    }
    put_u32(value + 80, INPUTS);
    value[84] = 1;
    assert_int_equal(meta_seal_decode(slice_of(value, good), &found), BITCASK_CORRUPT);
}

static void seal_with_most_inputs_comes_back(void **state)
{
    (void)state;
    static uint8_t inputs[8 * META_SEAL_INPUTS_MAX], value[META_SEAL_FIXED + sizeof inputs];
    struct meta_seal seal = {.input_count = META_SEAL_INPUTS_MAX, .inputs = inputs}, found;
    assert_int_equal(meta_seal_encode(value, &seal), sizeof value);
    assert_int_equal(meta_seal_decode(slice_of(value, sizeof value), &found), BITCASK_OK);
    assert_int_equal(found.input_count, META_SEAL_INPUTS_MAX);
}

static void rolling_checksum_is_over_the_checksums(void **state)
{
    (void)state;
    struct sample_segment segment = sample_segment();
    uint8_t fields[4 * (SAMPLE_RECORDS - 1)];
    for (size_t i = 0; i < SAMPLE_RECORDS - 1; i++)
        memcpy(fields + 4 * i, segment.bytes + segment.offsets[i], 4);
    assert_int_equal(checksum_portable(0, fields, sizeof fields), segment.rolling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(all_short_sizes_are_encoded_alike),
        cmocka_unit_test(large_values_are_encoded_alike),
        cmocka_unit_test(limits_come_back),
        cmocka_unit_test(trap_20_sizes_around_pages_come_back),
        cmocka_unit_test(trap_25_value_that_looks_like_a_tombstone_is_a_value),
        cmocka_unit_test(parts_make_the_whole),
        cmocka_unit_test(gone_is_deleted_or_expired),
        cmocka_unit_test(trap_18_zero_tail_is_the_end),
        cmocka_unit_test(trap_30_torn_record_is_not_the_end),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_zeroed_tail_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(trap_17_bad_checksum_is_refused),
        cmocka_unit_test(another_place_is_refused),
        cmocka_unit_test(record_inside_a_value_is_refused),
        cmocka_unit_test(unknown_flags_are_refused),
        cmocka_unit_test(version_beyond_the_limit_is_refused),
        cmocka_unit_test(empty_key_is_refused),
        cmocka_unit_test(value_size_beyond_the_limit_is_refused),
        cmocka_unit_test(sizes_beyond_what_remains_are_refused),
        cmocka_unit_test(tombstone_with_value_or_expiry_is_refused),
        cmocka_unit_test(meta_with_key_or_other_flags_is_refused),
        cmocka_unit_test(sync_comes_back),
        cmocka_unit_test(sync_of_another_shape_is_refused),
        cmocka_unit_test(follows_comes_back),
        cmocka_unit_test(follows_of_another_shape_is_refused),
        cmocka_unit_test(seal_comes_back),
        cmocka_unit_test(seal_of_another_shape_is_refused),
        cmocka_unit_test(seal_with_most_inputs_comes_back),
        cmocka_unit_test(rolling_checksum_is_over_the_checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
