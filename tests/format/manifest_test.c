/* SPDX-License-Identifier: MIT
 * manifest_test.c: a manifest is taken whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "support/samples.h"

enum { TAIL_SIZE = 22 }; /* "crc32": "xxxxxxxx" and the end */

static char *encode_sample(size_t *size)
{
    struct manifest_segment segments[SAMPLE_SEGMENTS];
    struct manifest manifest = sample_manifest(segments);
    char *text;
    assert_int_equal(manifest_encode(&manifest, &text, size), BITCASK_OK);
    return text;
}

static bitcask_status decode(const char *text, size_t size, const char **why)
{
    struct manifest manifest;
    bitcask_status status = manifest_decode(slice_of(text, size), &manifest, why);
    if (status == BITCASK_OK)
        manifest_release(&manifest);
    return status;
}

/* Make the checksum of a text that ends in a tail good again. */
static void fix_checksum(char *text, size_t size)
{
    size_t before = size - TAIL_SIZE;
    char tail[TAIL_SIZE + 1];
    snprintf(tail, sizeof tail, "\"crc32\": \"%08x\"\n}\n", checksum_portable(0, text, before));
    memcpy(text + before, tail, TAIL_SIZE);
}

/* The sample with the first `from` in it replaced, and a good checksum. The caller frees. */
static char *edit(const char *from, const char *to, size_t *size)
{
    char *text = encode_sample(size);
    char *edited = calloc(1, *size + strlen(to));
    assert_non_null(edited);
    text[*size - 1] = 0; /* for strstr; the last line feed is put back below */
    char *at = strstr(text, from);
    if (at == NULL)
        fail_msg("the sample has no %s", from);
    size_t before = (size_t)(at - text);
    size_t behind = *size - before - strlen(from);
    memcpy(edited, text, before);
    memcpy(edited + before, to, strlen(to));
    memcpy(edited + before + strlen(to), at + strlen(from), behind);
    *size = before + strlen(to) + behind;
    fix_checksum(edited, *size);
    free(text);
    return edited;
}

static void assert_edit(const char *from, const char *to, const char *expected)
{
    size_t size;
    const char *why = NULL;
    char *text = edit(from, to, &size);
    bitcask_status status = decode(text, size, &why);
    if (expected == NULL) {
        if (status != BITCASK_OK)
            fail_msg("%s -> %s: %s", from, to, why);
    } else {
        assert_int_equal(status, BITCASK_CORRUPT);
        assert_string_equal(why, expected);
    }
    free(text);
}

/* ---- Good ones ------------------------------------------------------------------------------- */

static void manifest_comes_back(void **state)
{
    (void)state;
    size_t size;
    char *text = encode_sample(&size);
    struct manifest found;
    assert_int_equal(manifest_decode(slice_of(text, size), &found, NULL), BITCASK_OK);
    assert_int_equal(found.format, 1);
    assert_memory_equal(found.store_id, SAMPLE_STORE_ID, STORE_ID_SIZE);
    assert_int_equal(found.fork_id[15], 0xf0);
    assert_memory_equal(found.seed, SAMPLE_SEED, SEED_SIZE);
    assert_int_equal(found.next_id, 12);
    assert_int_equal(found.version_ceiling, SAMPLE_TIME + 60000000);
    assert_false(found.clean);
    assert_int_equal(found.segment_count, SAMPLE_SEGMENTS);
    const struct manifest_segment *first = &found.segments[0];
    assert_int_equal(first->id, 7);
    assert_int_equal(first->state, MANIFEST_SEALED);
    assert_false(first->merge);
    assert_false(first->damaged);
    assert_int_equal(first->salt, SAMPLE_SALT);
    assert_int_equal(first->length, 311);
    assert_int_equal(first->rolling, sample_segment().rolling);
    assert_int_equal(first->records, 5);
    assert_int_equal(first->tombstones, 1);
    assert_int_equal(first->version_min, SAMPLE_TIME + 1);
    assert_int_equal(first->version_max, SAMPLE_TIME + 5);
    assert_int_equal(first->expires_min, SAMPLE_TIME + 3600000000);
    assert_int_equal(first->expires_max, SAMPLE_TIME + 3600000000);
    assert_int_equal(first->created_us, SAMPLE_TIME);
    assert_int_equal(first->sealed_us, SAMPLE_TIME + 1000000);
    assert_int_equal(first->synced_us, SAMPLE_TIME + 1000000);
    assert_true(found.segments[1].merge);
    assert_int_equal(found.segments[1].state, MANIFEST_SEALING);
    assert_true(found.segments[2].damaged);
    assert_int_equal(found.segments[2].state, MANIFEST_ACTIVE);
    manifest_release(&found);
    free(text);
}

static void manifest_without_segments_comes_back(void **state)
{
    (void)state;
    struct manifest manifest = {.format = 1, .next_id = 1, .clean = true}, found;
    char *text;
    size_t size;
    assert_int_equal(manifest_encode(&manifest, &text, &size), BITCASK_OK);
    assert_int_equal(manifest_decode(slice_of(text, size), &found, NULL), BITCASK_OK);
    assert_int_equal(found.segment_count, 0);
    assert_true(found.clean);
    manifest_release(&found);
    free(text);
}

/* A manifest of `count` segments whose numbers are as large as they can be. */
static bitcask_status round_trip_of(size_t count)
{
    struct manifest_segment *segments = calloc(count, sizeof *segments);
    assert_non_null(segments);
    for (size_t i = 0; i < count; i++)
        segments[i] = (struct manifest_segment){
            .id = SEGMENT_ID_MAX - count + 1 + i,
            .salt = UINT64_MAX,
            .length = BITCASK_MAX_SEGMENT_SIZE,
            .records = UINT64_MAX,
            .tombstones = UINT64_MAX,
            .version_max = VERSION_MAX,
            .expires_max = UINT64_MAX,
            .rolling = UINT32_MAX,
            .created_us = UINT64_MAX,
        };
    struct manifest manifest = {.format = 1,
                                .next_id = SEGMENT_ID_MAX + 1,
                                .version_ceiling = VERSION_MAX,
                                .segments = segments,
                                .segment_count = count};
    char *text;
    size_t size;
    struct manifest found;
    assert_int_equal(manifest_encode(&manifest, &text, &size), BITCASK_OK);
    bitcask_status status = manifest_decode(slice_of(text, size), &found, NULL);
    if (status == BITCASK_OK) {
        assert_int_equal(found.segment_count, count);
        assert_int_equal(found.segments[count - 1].id, SEGMENT_ID_MAX);
        assert_true(found.segments[0].records == UINT64_MAX);
        manifest_release(&found);
    }
    free(text);
    free(segments);
    return status;
}

static void limits_come_back_and_one_more_is_refused(void **state)
{
    (void)state;
    assert_int_equal(round_trip_of(BITCASK_MAX_SEGMENTS), BITCASK_OK);
    assert_int_equal(round_trip_of(BITCASK_MAX_SEGMENTS + 1), BITCASK_CORRUPT);
}

static void unknown_members_are_skipped(void **state)
{
    (void)state;
    assert_edit("\"next_id\"", "\"later\": {\"a\": [1.5, null]}, \"next_id\"", NULL);
    assert_edit("\"salt\"", "\"later\": [\"salt\", -1], \"salt\"", NULL);
    assert_edit("\"segments\"", "\"segments2\": [], \"segments\"", NULL);
}

/* Spaces and the order of members are of no account, but for the two ends. */
static void other_layout_is_taken(void **state)
{
    (void)state;
    assert_edit("  \"next_id\": 12,\n  \"clean\": false,", "\"clean\":false\t,\r\n\"next_id\":12,",
                NULL);
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static void every_truncation_is_refused(void **state)
{
    (void)state;
    size_t size;
    char *text = encode_sample(&size);
    for (size_t left = 0; left < size; left++) {
        char *exact = malloc(left > 0 ? left : 1);
        assert_non_null(exact);
        memcpy(exact, text, left);
        assert_int_equal(decode(exact, left, NULL), BITCASK_CORRUPT);
        free(exact);
    }
    free(text);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    size_t size;
    char *text = encode_sample(&size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(decode(text, size, NULL), BITCASK_CORRUPT);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    }
    free(text);
}

/* What a crash in the middle of a write leaves: a part, then zeros. */
static void every_zeroed_tail_is_refused(void **state)
{
    (void)state;
    size_t size;
    char *text = encode_sample(&size);
    while (size-- > 0) {
        text[size] = 0;
        assert_int_equal(decode(text, size + 1, NULL), BITCASK_CORRUPT);
    }
    free(text);
}

static void newer_format_is_told_from_damage(void **state)
{
    (void)state;
    size_t size;
    struct manifest manifest;
    char *text = edit("\"format\": 1,", "\"format\": 2, \"?\": ]", &size);
    assert_int_equal(manifest_decode(slice_of(text, size), &manifest, NULL), BITCASK_FORMAT);
    assert_int_equal(manifest.format, 2);
    text[40] ^= 1;
    assert_int_equal(decode(text, size, NULL), BITCASK_CORRUPT);
    free(text);
    assert_edit("\"format\": 1,", "\"format\": 0,", "format number out of range");
    assert_edit("\"format\": 1,", "\"format\": 4294967297,", "format number out of range");
    assert_edit("\"format\": 1,", "\"format\": \"1\",", "format number out of range");
    assert_edit("\"format\"", " \"format\"", "no format number where it should be");
}

/* ---- Hostile: the checksum good, the text wrong ---------------------------------------------- */

static void malformed_text_is_refused(void **state)
{
    (void)state;
    assert_edit("\"next_id\": 12", "\"next_id\": 012", "number with a leading zero");
    assert_edit("\"next_id\": 12", "\"next_id\": -12", "expected a number");
    assert_edit("\"next_id\": 12", "\"next_id\": 12.0", "expected an integer");
    assert_edit("\"next_id\": 12", "\"next_id\": 18446744073709551628", "number too large");
    assert_edit("\"clean\": false", "\"clean\": 0", "expected true or false");
    assert_edit("\"segments\": [", "\"segments\": {", "expected an array");
    assert_edit("{\"id\": 9", "[\"id\": 9", "expected an object");
    assert_edit("\"id\": 9,", "\"id\": 9", "expected a comma or an end");
    assert_edit("  ],\n", "  ]],\n", "expected a comma or an end");
    assert_edit("  ],\n", "  ]},\n", "a member is missing");
}

static void strings_out_of_shape_are_refused(void **state)
{
    (void)state;
    assert_edit("a0a1a2", "A0A1A2", "not a hexadecimal digit");
    assert_edit("a0a1a2", "a0a1", "wrong number of hexadecimal digits");
    assert_edit("0123456789abcdef\"", "0123456789abcdef0\"", "wrong number of hexadecimal digits");
    assert_edit("\"0123456789abcdef\"", "81985529216486895", "expected a string");
    assert_edit("\"sealed\"", "\"Sealed\"", "unknown state or kind");
    assert_edit("\"merge\"", "\"../merge\"", "unknown state or kind");
}

static void members_twice_or_missing_are_refused(void **state)
{
    (void)state;
    assert_edit("\"clean\"", "\"format\": 1, \"clean\"", "a member twice");
    assert_edit("\"clean\"", "\"next_id\": 12, \"clean\"", "a member twice");
    assert_edit("\"clean\"", "\"segments\": [], \"clean\"", "a member twice");
    assert_edit("\"clean\"", "\"crc32\": \"\", \"clean\"", "a member twice");
    assert_edit("\"salt\"", "\"id\": 7, \"salt\"", "a member twice");
    assert_edit("\"clean\"", "\"clear\"", "a member is missing");
    assert_edit("\"segments\"", "\"Segments\"", "a member is missing");
    assert_edit("\"rolling\"", "\"Rolling\"", "segment without one of its members");
}

static void ids_out_of_order_or_range_are_refused(void **state)
{
    (void)state;
    static const char out[] = "segment id out of order or range";
    assert_edit("\"id\": 7,", "\"id\": 0,", out);
    assert_edit("\"id\": 9,", "\"id\": 7,", out);
    assert_edit("\"id\": 9,", "\"id\": 6,", out);
    assert_edit("\"id\": 10,", "\"id\": 1000000000,", out);
    assert_edit("\"next_id\": 12", "\"next_id\": 11", NULL);
    assert_edit("\"next_id\": 12", "\"next_id\": 10", "next id out of range");
    assert_edit("\"next_id\": 12", "\"next_id\": 0", "next id out of range");
    assert_edit("\"next_id\": 12", "\"next_id\": 1000000001", "next id out of range");
}

static void figures_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_edit("\"length\": 311", "\"length\": 4294967296", NULL);
    assert_edit("\"length\": 311", "\"length\": 18446744073709551615",
                "segment length out of range");
    assert_edit("\"records\": 5", "\"records\": 0", "more tombstones than records");
    assert_edit("\"version_min\": 1700000000000001", "\"version_min\": 1700000000000006",
                "version or expiry range out of order");
    assert_edit("\"version_max\": 1700000000000005", "\"version_max\": 9223372036854775808",
                "version or expiry range out of order");
    assert_edit("\"expires_max\": 1700003600000000", "\"expires_max\": 1",
                "version or expiry range out of order");
    assert_edit("\"version_ceiling\": 1700000060000000", "\"version_ceiling\": 9223372036854775808",
                "version ceiling out of range");
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    static char deep[10000];
    snprintf(deep, sizeof deep, "\"x\": ");
    memset(deep + 5, '[', sizeof deep - 6);
    assert_edit("\"clean\"", deep, "nested too deep");
}

static void only_a_backup_says_that_it_is_one(void **state)
{
    (void)state;
    for (int backup = 0; backup < 2; backup++) {
        struct manifest manifest = {.format = 1, .next_id = 1, .backup = backup}, found;
        char *text;
        size_t size;
        assert_int_equal(manifest_encode(&manifest, &text, &size), BITCASK_OK);
        assert_int_equal(memmem(text, size, "\"backup\"", 8) != NULL, backup);
        assert_int_equal(manifest_decode(slice_of(text, size), &found, NULL), BITCASK_OK);
        assert_int_equal(found.backup, backup);
        manifest_release(&found);
        free(text);
    }
}

static void the_log_floor_is_optional(void **state)
{
    (void)state;
    struct manifest manifest = {.format = 1, .next_id = 2, .version_ceiling = 9}, found;
    for (uint64_t floor = 0; floor < 8; floor += 7) {
        manifest.log_floor = floor;
        char *text;
        size_t size;
        assert_int_equal(manifest_encode(&manifest, &text, &size), BITCASK_OK);
        assert_int_equal(memmem(text, size, "log_floor", 9) != NULL, floor != 0);
        assert_int_equal(manifest_decode(slice_of(text, size), &found, NULL), BITCASK_OK);
        assert_int_equal(found.log_floor, floor);
        assert_int_equal(manifest_log_floor(&found), floor);
        manifest_release(&found);
        free(text);
    }
}

/* One of before there was such a thing: what its merges have taken from the log is not known. */
static void without_a_log_floor_merge_outputs_count_for_all(void **state)
{
    (void)state;
    struct manifest_segment segments[] = {{.id = 3, .version_max = 7}, {.id = 4, .merge = true}};
    struct manifest manifest = {.version_ceiling = 9, .segments = segments, .segment_count = 1};
    assert_int_equal(manifest_log_floor(&manifest), 0);
    manifest.segment_count = 2;
    assert_int_equal(manifest_log_floor(&manifest), 9);
    manifest.log_floor = 5;
    assert_int_equal(manifest_log_floor(&manifest), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_comes_back),
        cmocka_unit_test(manifest_without_segments_comes_back),
        cmocka_unit_test(only_a_backup_says_that_it_is_one),
        cmocka_unit_test(limits_come_back_and_one_more_is_refused),
        cmocka_unit_test(unknown_members_are_skipped),
        cmocka_unit_test(other_layout_is_taken),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_zeroed_tail_is_refused),
        cmocka_unit_test(newer_format_is_told_from_damage),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(strings_out_of_shape_are_refused),
        cmocka_unit_test(members_twice_or_missing_are_refused),
        cmocka_unit_test(ids_out_of_order_or_range_are_refused),
        cmocka_unit_test(figures_out_of_range_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(the_log_floor_is_optional),
        cmocka_unit_test(without_a_log_floor_merge_outputs_count_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
