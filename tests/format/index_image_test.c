/* SPDX-License-Identifier: MIT
 * index_image_test.c: which headers and tables an image of the index has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "format/index_image.h"
#include "format/segment_header.h"

enum { SEGMENTS = 2, SHARDS = 3, BUCKETS = 4, SLOTS = BUCKETS * IMAGE_BUCKET_SIZE / 8 };

/* An image, to be made wrong in one place. */
struct image {
    struct image_header header;
    struct image_segment segments[SEGMENTS];
    struct image_shard shards[SHARDS];
};

static struct image sample(void)
{
    struct image image = {
        .header = {.format = 1,
                   .salt = 7,
                   .hash_check = 8,
                   .created_us = 9,
                   .bucket_count = BUCKETS,
                   .segment_count = SEGMENTS,
                   .shard_count = SHARDS},
        .segments = {{.id = 3, .slot = 2, .replay_from = 128, .length = 4096},
                     {.id = 5, .slot = 1, .replay_from = 512, .length = 512}},
        .shards = {{.entries = SLOTS, .depth = 1, .tag_depth = 1},
                   {.entries = 3, .stash = 2, .depth = 2, .tag_depth = 0},
                   {.depth = 2, .tag_depth = 2}},
    };
    image.header.shards_end = IMAGE_HEADER_SIZE;
    for (int i = 0; i < SHARDS; i++) {
        image.header.entries += image.shards[i].entries;
        image.header.shards_end += image_shard_bytes(BUCKETS, image.shards[i].stash);
    }
    return image;
}

static uint64_t file_size(const struct image *image)
{
    return image->header.shards_end + image_tables_size(&image->header);
}

static bitcask_status decode_header(const struct image *image, struct image_header *found)
{
    uint8_t bytes[IMAGE_HEADER_SIZE];
    image_header_encode(bytes, &image->header);
    return image_header_decode(slice_of(bytes, sizeof bytes), file_size(image), found);
}

static void encode_tables(const struct image *image, uint8_t *to)
{
    for (int i = 0; i < SEGMENTS; i++, to += IMAGE_SEGMENT_SIZE)
        image_segment_encode(to, &image->segments[i]);
    for (int i = 0; i < SHARDS; i++, to += IMAGE_SHARD_SIZE)
        image_shard_encode(to, &image->shards[i]);
}

/* What is wrong with the tables; NULL if nothing is. */
static const char *fault_of_bytes(struct image_header header, const uint8_t *bytes)
{
    const char *why;
    header.tables_crc = checksum(0, bytes, image_tables_size(&header));
    bitcask_status status =
        image_tables_check(&header, slice_of(bytes, image_tables_size(&header)), &why);
    assert_int_equal(status, why == NULL ? BITCASK_OK : BITCASK_CORRUPT);
    return why;
}

static const char *fault_of(const struct image *image)
{
    uint8_t bytes[SEGMENTS * IMAGE_SEGMENT_SIZE + SHARDS * IMAGE_SHARD_SIZE];
    encode_tables(image, bytes);
    return fault_of_bytes(image->header, bytes);
}

/* The fault of the sample with one field set otherwise. */
#define FAULT_WITH(field, value)                        \
    ({                                                  \
        struct image wrong_ = sample();                 \
        wrong_.field = (__typeof__(wrong_.field))value; \
        fault_of(&wrong_);                              \
    })

/* ---- The header ------------------------------------------------------------------------------ */

static void header_comes_back(void **state)
{
    (void)state;
    struct image image = sample();
    struct image_header found;
    memset(image.header.store_id, 0x11, STORE_ID_SIZE);
    memset(image.header.fork_id, 0x22, STORE_ID_SIZE);
    image.header.tables_crc = 0x12345678;
    assert_int_equal(decode_header(&image, &found), BITCASK_OK);
    assert_memory_equal(found.store_id, image.header.store_id, STORE_ID_SIZE);
    assert_memory_equal(found.fork_id, image.header.fork_id, STORE_ID_SIZE);
    assert_int_equal(found.tables_crc, 0x12345678);
    assert_int_equal(found.salt, 7);
    assert_int_equal(found.hash_check, 8);
    assert_int_equal(found.created_us, 9);
    assert_int_equal(found.entries, image.header.entries);
    assert_int_equal(found.shards_end, image.header.shards_end);
    assert_int_equal(found.bucket_count, BUCKETS);
    assert_int_equal(found.segment_count, SEGMENTS);
    assert_int_equal(found.shard_count, SHARDS);
}

static void every_flipped_bit_and_every_truncation_of_a_header_is_refused(void **state)
{
    (void)state;
    struct image image = sample();
    struct image_header found;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    image_header_encode(bytes, &image.header);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(
            image_header_decode(slice_of(bytes, sizeof bytes), file_size(&image), &found),
            BITCASK_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal(image_header_decode(slice_of(bytes, size), file_size(&image), &found),
                         BITCASK_CORRUPT);
}

static void a_newer_format_is_told_from_damage(void **state)
{
    (void)state;
    struct image image = sample();
    struct image_header found;
    image.header.format = 2;
    assert_int_equal(decode_header(&image, &found), BITCASK_FORMAT);
    image.header.format = 0;
    assert_int_equal(decode_header(&image, &found), BITCASK_CORRUPT);
}

static void counts_that_no_index_has_are_refused(void **state)
{
    (void)state;
    struct image_header found;
    for (int field = 0; field < 5; field++) {
        struct image image = sample();
        struct image_header *header = &image.header;
        switch (field) {
        case 0:
            header->bucket_count = 0;
            break;
        case 1:
            header->bucket_count = IMAGE_BUCKETS_MAX + 1;
            break;
        case 2:
            header->segment_count = BITCASK_MAX_SEGMENTS + 1;
            break;
        case 3:
            header->shard_count = 0;
            break;
        default:
            header->shard_count = UINT32_MAX;
        }
        assert_int_equal(decode_header(&image, &found), BITCASK_CORRUPT);
    }
}

static void a_file_of_another_size_than_its_tables_make_it_is_refused(void **state)
{
    (void)state;
    struct image image = sample();
    struct image_header found;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    uint64_t size = file_size(&image);
    image_header_encode(bytes, &image.header);
    const uint64_t wrong[] = {0, image.header.shards_end - 1, size - 1, size + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(image_header_decode(slice_of(bytes, sizeof bytes), wrong[i], &found),
                         BITCASK_CORRUPT);
    image.header.shards_end = IMAGE_HEADER_SIZE - 1;
    assert_int_equal(decode_header(&image, &found), BITCASK_CORRUPT);
}

/* ---- The tables ------------------------------------------------------------------------------ */

static void tables_come_back(void **state)
{
    (void)state;
    struct image image = sample();
    uint8_t bytes[SEGMENTS * IMAGE_SEGMENT_SIZE + SHARDS * IMAGE_SHARD_SIZE];
    image.segments[1].salt = 21;
    image.segments[1].rolling = 22;
    image.segments[1].live_records = 23;
    image.segments[1].live_bytes = 24;
    image.shards[1].crc = 25;
    encode_tables(&image, bytes);
    assert_null(fault_of_bytes(image.header, bytes));
    struct image_segment segment;
    image_segment_decode(&image.header, bytes, 1, &segment);
    assert_memory_equal(&segment, &image.segments[1], sizeof segment);
    struct image_shard shard;
    image_shard_decode(&image.header, bytes, 1, &shard);
    assert_int_equal(shard.crc, 25);
    assert_int_equal(shard.entries, 3);
    assert_int_equal(shard.stash, 2);
    assert_int_equal(shard.depth, 2);
    assert_int_equal(shard.tag_depth, 0);
}

static void every_flipped_bit_of_the_tables_is_refused(void **state)
{
    (void)state;
    struct image image = sample();
    uint8_t bytes[SEGMENTS * IMAGE_SEGMENT_SIZE + SHARDS * IMAGE_SHARD_SIZE];
    const char *why;
    encode_tables(&image, bytes);
    image.header.tables_crc = checksum(0, bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(image_tables_check(&image.header, slice_of(bytes, sizeof bytes), &why),
                         BITCASK_CORRUPT);
        assert_string_equal(why, "bad checksum of its tables");
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void segments_out_of_order_are_refused(void **state)
{
    (void)state;
    const char *fault = "its segments are out of order";
    assert_string_equal(FAULT_WITH(segments[0].id, 0), fault);
    assert_string_equal(FAULT_WITH(segments[1].id, 3), fault);
    assert_string_equal(FAULT_WITH(segments[1].id, 2), fault);
    assert_string_equal(FAULT_WITH(segments[1].id, SEGMENT_ID_MAX + 1), fault);
    assert_null(FAULT_WITH(segments[1].id, SEGMENT_ID_MAX));
}

static void slots_that_are_taken_or_none_are_refused(void **state)
{
    (void)state;
    const char *fault = "two of its segments have one slot";
    assert_string_equal(FAULT_WITH(segments[1].slot, 2), fault);
    assert_null(FAULT_WITH(segments[1].slot, BITCASK_MAX_SEGMENTS));
    /* The encoder refuses these. */
    struct image image = sample();
    uint8_t bytes[SEGMENTS * IMAGE_SEGMENT_SIZE + SHARDS * IMAGE_SHARD_SIZE];
    encode_tables(&image, bytes);
    put_u32(bytes + 16, 0);
    assert_string_equal(fault_of_bytes(image.header, bytes), fault);
    put_u32(bytes + 16, BITCASK_MAX_SEGMENTS + 1);
    assert_string_equal(fault_of_bytes(image.header, bytes), fault);
}

static void lengths_out_of_bounds_are_refused(void **state)
{
    (void)state;
    const char *fault = "a segment's length is out of bounds";
    assert_string_equal(FAULT_WITH(segments[0].replay_from, SEGMENT_HEADER_SIZE - 1), fault);
    assert_string_equal(FAULT_WITH(segments[0].replay_from, 4097), fault);
    assert_string_equal(FAULT_WITH(segments[0].length, BITCASK_MAX_SEGMENT_SIZE + 1), fault);
    assert_null(FAULT_WITH(segments[0].length, BITCASK_MAX_SEGMENT_SIZE));
}

static void depths_out_of_bounds_are_refused(void **state)
{
    (void)state;
    const char *fault = "a shard's depth is out of bounds";
    assert_string_equal(FAULT_WITH(shards[0].depth, IMAGE_DEPTH_MAX + 1), fault);
    assert_string_equal(FAULT_WITH(shards[0].tag_depth, 2), fault);
    assert_string_equal(FAULT_WITH(shards[0].depth, IMAGE_TAG_BITS + 1), fault);
}

static void shards_that_do_not_lie_side_by_side_are_refused(void **state)
{
    (void)state;
    const char *fault = "its shards do not lie side by side";
    assert_string_equal(FAULT_WITH(shards[1].depth, 1), fault); /* leaves nothing to the last */
    struct image image = sample();
    image.shards[2].tag_depth = 1;
    image.shards[2].depth = 1; /* from 3/4 on, no half begins */
    assert_string_equal(fault_of(&image), fault);
}

static void more_entries_than_slots_are_refused(void **state)
{
    (void)state;
    const char *fault = "a shard has more entries than slots";
    assert_string_equal(FAULT_WITH(shards[1].stash, 4), fault);
    assert_string_equal(FAULT_WITH(shards[0].entries, SLOTS + 1), fault);
}

static void shards_that_do_not_add_up_are_refused(void **state)
{
    (void)state;
    const char *fault = "its shards do not add up";
    assert_string_equal(FAULT_WITH(shards[2].depth, 3),
                        fault); /* a part of the hashes is missing */
    assert_string_equal(FAULT_WITH(shards[1].stash, 1), fault);
    assert_string_equal(FAULT_WITH(header.entries, 1), fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_comes_back),
        cmocka_unit_test(every_flipped_bit_and_every_truncation_of_a_header_is_refused),
        cmocka_unit_test(a_newer_format_is_told_from_damage),
        cmocka_unit_test(counts_that_no_index_has_are_refused),
        cmocka_unit_test(a_file_of_another_size_than_its_tables_make_it_is_refused),
        cmocka_unit_test(tables_come_back),
        cmocka_unit_test(every_flipped_bit_of_the_tables_is_refused),
        cmocka_unit_test(segments_out_of_order_are_refused),
        cmocka_unit_test(slots_that_are_taken_or_none_are_refused),
        cmocka_unit_test(lengths_out_of_bounds_are_refused),
        cmocka_unit_test(depths_out_of_bounds_are_refused),
        cmocka_unit_test(shards_that_do_not_lie_side_by_side_are_refused),
        cmocka_unit_test(more_entries_than_slots_are_refused),
        cmocka_unit_test(shards_that_do_not_add_up_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
