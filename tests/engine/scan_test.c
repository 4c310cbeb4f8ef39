/* SPDX-License-Identifier: MIT
 * scan_test.c: what a scan makes of every kind of damage, on segment images built by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/scan.h"

enum { IMAGE_SIZE = 64 << 10, RECORDS_MAX = 256 };

static const uint64_t SALT = 0x1122334455667788;
static const uint64_t SEGMENT = 7;

/* ---- An image, with verbs ------------------------------------------------------------------- */

struct image {
    uint8_t bytes[IMAGE_SIZE];
    uint64_t size; /* that the scan is given */
    uint64_t end;
    uint64_t offsets[RECORDS_MAX]; /* of the records written */
    size_t count;
    uint64_t version;
    struct scan_options options;
    struct scan_result result;
    uint64_t seen[RECORDS_MAX]; /* offsets that the scan gave */
    size_t seen_count;
};

static void start(struct image *image)
{
    memset(image, 0, sizeof *image);
    memset(image->bytes, 0xee, SEGMENT_HEADER_SIZE); /* a scan does not look at the header */
    image->size = IMAGE_SIZE;
    image->end = SEGMENT_HEADER_SIZE;
    image->version = 1000;
    image->options = (struct scan_options){
        .salt = SALT,
        .segment_id = SEGMENT,
        .version_limit = 1000000,
        .ordered = true,
    };
}

static uint64_t append(struct image *image, struct record *record)
{
    uint64_t offset = image->end;
    if (record->version == 0)
        record->version = ++image->version;
    image->offsets[image->count++] = offset;
    image->end += record_encode(image->bytes + offset, record, SALT, offset);
    return offset;
}

static uint64_t add_value(struct image *image, const void *value, size_t size)
{
    struct record record = {.key = bitcask_str("key"), .value = slice_of(value, size)};
    return append(image, &record);
}

static uint64_t add(struct image *image)
{
    return add_value(image, "some value of a record", 22);
}

static uint64_t add_more(struct image *image) /* and the batch goes on */
{
    struct record record = {.key = bitcask_str("batch"),
                            .value = bitcask_str("one of several"),
                            .flags = RECORD_BATCH_MORE};
    return append(image, &record);
}

static uint64_t add_sync(struct image *image, uint64_t segment, uint64_t offset)
{
    uint8_t value[META_SYNC_SIZE];
    struct meta_sync sync = {segment, offset};
    struct record record = {.version = image->version,
                            .flags = RECORD_META,
                            .value = slice_of(value, meta_sync_encode(value, &sync))};
    return append(image, &record);
}

static uint64_t add_follows(struct image *image, uint64_t segment)
{
    uint8_t value[META_FOLLOWS_SIZE];
    struct record record = {.version = image->version,
                            .flags = RECORD_META,
                            .value = slice_of(value, meta_follows_encode(value, segment))};
    return append(image, &record);
}

static uint64_t add_seal(struct image *image, uint64_t length)
{
    uint8_t value[META_SEAL_FIXED];
    struct meta_seal seal = {.length = length, .records = 1};
    struct record record = {.version = image->version,
                            .flags = RECORD_META,
                            .value = slice_of(value, meta_seal_encode(value, &seal))};
    return append(image, &record);
}

static int note(void *context, uint64_t offset, const uint8_t *bytes,
                const struct record_shape *shape)
{
    struct image *image = context;
    assert_ptr_equal(bytes, image->bytes + offset);
    assert_true(shape->size >= RECORD_HEADER_SIZE);
    image->seen[image->seen_count++] = offset;
    return 0;
}

static void scan(struct image *image)
{
    scan_release(&image->result);
    image->seen_count = 0;
    assert_int_equal(scan_segment(slice_of(image->bytes, image->size), &image->options, note, image,
                                  &image->result),
                     BITCASK_OK);
}

static void check_hole(const struct image *image, size_t index, uint64_t offset, uint64_t end,
                       uint64_t cut)
{
    assert_true(index < image->result.hole_count);
    assert_int_equal(image->result.holes[index].offset, offset);
    assert_int_equal(image->result.holes[index].end, end);
    assert_int_equal(image->result.holes[index].cut, cut);
    assert_non_null(image->result.holes[index].why);
}

static void check_sound(const struct image *image, size_t records, uint64_t end)
{
    assert_int_equal(image->result.hole_count, 0);
    assert_int_equal(image->seen_count, records);
    assert_int_equal(image->result.end, end);
}

static void finish(struct image *image)
{
    scan_release(&image->result);
    free(image);
}

static struct image *new_image(void)
{
    struct image *image = malloc(sizeof *image);
    assert_non_null(image);
    start(image);
    return image;
}

/* ---- Sound segments ------------------------------------------------------------------------- */

static void an_empty_segment_has_no_record_and_no_hole(void **state)
{
    (void)state;
    struct image *image = new_image();
    scan(image);
    check_sound(image, 0, SEGMENT_HEADER_SIZE);
    assert_int_equal(image->result.data_end, SEGMENT_HEADER_SIZE);
    finish(image);
}

static void a_file_shorter_than_its_header_has_no_record(void **state)
{
    (void)state;
    struct image *image = new_image();
    for (image->size = 0; image->size <= SEGMENT_HEADER_SIZE; image->size++) {
        scan(image);
        check_sound(image, 0, SEGMENT_HEADER_SIZE);
    }
    finish(image);
}

static void zeros_behind_the_records_are_no_hole(void **state)
{
    (void)state;
    struct image *image = new_image();
    for (int i = 0; i < 10; i++)
        add(image);
    scan(image);
    check_sound(image, 10, image->end);
    assert_int_equal(image->result.data_end, image->end);
    assert_int_equal(image->result.records, 10);
    assert_int_equal(image->result.last_version, image->version);
    finish(image);
}

static void a_value_that_ends_in_zeros_is_whole(void **state)
{
    (void)state;
    struct image *image = new_image();
    static const uint8_t zeros[500];
    add_value(image, zeros, sizeof zeros);
    scan(image);
    check_sound(image, 1, image->end);
    assert_int_equal(image->result.data_end, image->end);
    finish(image);
}

static void of_zeros_that_are_known_nothing_is_looked_at(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t last = add_value(image, "\0\0\0\0", 4); /* may begin in a value */
    for (uint64_t from = last + RECORD_HEADER_SIZE + 3; from <= image->end; from++) {
        image->options.zeros_from = from;
        scan(image);
        check_sound(image, 2, image->end);
    }
    image->bytes[image->end + 100] = 1; /* told otherwise, it takes no notice */
    scan(image);
    check_sound(image, 2, image->end);
    image->options.vouched = image->end + 200; /* but of what was durable there */
    scan(image);
    check_hole(image, 0, image->end, image->end + 200, image->end);
    finish(image);
}

static void a_record_that_fills_the_file_is_whole(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    image->size = image->end;
    scan(image);
    check_sound(image, 1, image->end);
    finish(image);
}

static void a_seal_at_the_end_is_seen_and_not_counted(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t end = image->end;
    add_seal(image, end);
    scan(image);
    assert_true(image->result.has_seal);
    assert_int_equal(image->result.seal_offset, end);
    assert_int_equal(image->result.end, end);
    assert_int_equal(image->result.data_end, image->end);
    assert_int_equal(image->result.hole_count, 0);
    finish(image);
}

static void a_seal_of_another_length_or_in_the_middle_is_none(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    add_seal(image, 999);
    scan(image);
    assert_false(image->result.has_seal);
    finish(image);

    image = new_image();
    add(image);
    add_seal(image, image->end);
    add(image);
    scan(image);
    assert_false(image->result.has_seal);
    check_sound(image, 3, image->end);
    finish(image);
}

static int stop(void *context, uint64_t offset, const uint8_t *bytes,
                const struct record_shape *shape)
{
    (void)context, (void)offset, (void)bytes, (void)shape;
    return 1;
}

static void a_callback_stops_the_scan(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    assert_int_equal(scan_segment(slice_of(image->bytes, image->size), &image->options, stop, NULL,
                                  &image->result),
                     BITCASK_CANCELLED);
    finish(image);
}

/* ---- Torn records --------------------------------------------------------------------------- */

/* A killed memcpy: the first `kept` bytes of the last record are there. */
static void tear_last(struct image *image, uint64_t kept)
{
    uint64_t last = image->offsets[image->count - 1];
    memset(image->bytes + last + kept, 0, image->end - last - kept);
}

static void a_torn_record_is_a_hole_at_its_start_wherever_it_is_torn(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t last = add(image);
    uint64_t size = image->end - last;
    uint8_t whole[128];
    memcpy(whole, image->bytes + last, size);
    for (uint64_t kept = 0; kept < size; kept++) {
        memcpy(image->bytes + last, whole, size);
        tear_last(image, kept);
        scan(image);
        assert_int_equal(image->result.end, last);
        assert_int_equal(image->seen_count, 1);
        bool zeros = image->result.data_end == last; /* what is kept may be zeros itself */
        if (zeros)
            assert_int_equal(image->result.hole_count, 0);
        else
            check_hole(image, 0, last, image->result.data_end, last);
    }
    finish(image);
}

static void a_segment_cut_at_any_byte_keeps_the_whole_records(void **state)
{
    (void)state;
    struct image *image = new_image();
    for (int i = 0; i < 5; i++)
        add(image);
    for (image->size = 0; image->size <= image->end; image->size++) {
        scan(image);
        uint64_t end = SEGMENT_HEADER_SIZE;
        size_t whole = 0;
        for (size_t i = 1; i <= image->count; i++) {
            uint64_t record_end = i < image->count ? image->offsets[i] : image->end;
            if (record_end <= image->size) {
                end = record_end;
                whole = i;
            }
        }
        assert_int_equal(image->seen_count, whole);
        assert_int_equal(image->result.end, end);
        assert_true(image->result.hole_count <= 1);
    }
    finish(image);
}

/* ---- Damage in the middle ------------------------------------------------------------------- */

static void each_byte_flipped_loses_just_that_record(void **state)
{
    (void)state;
    struct image *image = new_image();
    for (int i = 0; i < 3; i++)
        add(image);
    for (uint64_t at = image->offsets[1]; at < image->offsets[2]; at++) {
        image->bytes[at] ^= 0x5a;
        scan(image);
        assert_int_equal(image->seen_count, 2);
        assert_int_equal(image->seen[1], image->offsets[2]);
        assert_int_equal(image->result.hole_count, 1);
        check_hole(image, 0, image->offsets[1], image->offsets[2], image->offsets[1]);
        assert_int_equal(image->result.holes[0].cut_records, 1);
        image->bytes[at] ^= 0x5a;
    }
    finish(image);
}

static void a_hole_of_zeros_before_good_records_is_one(void **state)
{
    (void)state;
    struct image *image = new_image();
    for (int i = 0; i < 8; i++)
        add(image);
    memset(image->bytes + image->offsets[2], 0, image->offsets[6] - image->offsets[2]);
    scan(image);
    assert_int_equal(image->seen_count, 4);
    assert_int_equal(image->result.hole_count, 1);
    check_hole(image, 0, image->offsets[2], image->offsets[6], image->offsets[2]);
    finish(image);
}

static void garbage_behind_the_records_is_a_hole(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    for (int i = 0; i < 3000; i++)
        image->bytes[image->end + (uint64_t)i] = (uint8_t)(i * 7919 >> 3 | 1);
    scan(image);
    assert_int_equal(image->seen_count, 1);
    assert_int_equal(image->result.hole_count, 1);
    check_hole(image, 0, image->end, image->end + 3000, image->end);
    finish(image);
}

static void a_damaged_size_that_leads_to_another_record_loses_none_between(void **state)
{
    (void)state;
    struct image *image = new_image();
    for (int i = 0; i < 4; i++)
        add(image);
    /* The value size of record 1 now spans record 2 just to record 3. */
    uint64_t second = image->offsets[1];
    uint32_t value_size = get_u32(image->bytes + second + 16);
    put_u32(image->bytes + second + 16,
            value_size + (uint32_t)(image->offsets[3] - image->offsets[2]));
    scan(image);
    assert_int_equal(image->seen_count, 3);
    check_hole(image, 0, second, image->offsets[2], second);
    finish(image);
}

static void a_record_inside_a_value_is_not_taken_for_one(void **state)
{
    (void)state;
    struct image *image = new_image();
    uint8_t inner[256];
    struct record record = {.version = 5000, .key = bitcask_str("k"), .value = bitcask_str("v")};
    /* Framed for offset 128, and for 0; it will stand at neither. */
    uint64_t size = record_encode(inner, &record, SALT, 128);
    size += record_encode(inner + size, &record, SALT, 0);
    add(image);
    uint64_t outer = add_value(image, inner, size);
    uint64_t after = add(image);
    image->bytes[outer + 21] ^= 1; /* its key: the search walks through the value */
    scan(image);
    assert_int_equal(image->seen_count, 2);
    check_hole(image, 0, outer, after, outer);
    finish(image);
}

static void a_record_of_another_offset_is_garbage(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    memcpy(image->bytes + image->end, image->bytes + image->offsets[0], 45);
    scan(image);
    assert_int_equal(image->seen_count, 1);
    assert_int_equal(image->result.hole_count, 1);
    finish(image);
}

static void a_stale_record_just_behind_the_end_is_not_taken(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    add(image);
    struct record stale = {.version = 900, .key = bitcask_str("old"), .value = bitcask_str("x")};
    uint64_t at = append(image, &stale);
    scan(image);
    assert_int_equal(image->seen_count, 2);
    assert_int_equal(image->result.end, at);
    check_hole(image, 0, at, image->end, at);
    image->options.ordered = false; /* the output of a merge has them in any order */
    scan(image);
    check_sound(image, 3, image->end);
    finish(image);
}

static void a_version_above_the_limit_is_no_candidate_behind_a_hole(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t bad = add(image);
    struct record record = {.version = 5000000, .key = bitcask_str("k")};
    append(image, &record);
    image->bytes[bad] ^= 1;
    scan(image);
    assert_int_equal(image->seen_count, 1);
    image->options.version_limit = VERSION_MAX;
    scan(image);
    assert_int_equal(image->seen_count, 2);
    finish(image);
}

static void the_search_behind_a_hole_gives_up_at_its_limit(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t bad = add_value(image, "x", 1);
    /* Headers that look right and are not. */
    for (int i = 0; i < 50; i++) {
        struct record record = {
            .version = 2000, .key = bitcask_str("k"), .value = bitcask_str("v")};
        append(image, &record);
        image->bytes[image->offsets[image->count - 1]] ^= 0xff;
    }
    image->version = 3000;
    add(image);
    image->bytes[bad] ^= 1;
    image->options.work_limit = 1000;
    scan(image);
    assert_true(image->result.gave_up);
    assert_int_equal(image->seen_count, 1);
    check_hole(image, 0, bad, image->end, bad);
    image->options.work_limit = 0;
    scan(image);
    assert_false(image->result.gave_up);
    assert_int_equal(image->seen_count, 2);
    finish(image);
}

/* ---- What is vouched for -------------------------------------------------------------------- */

static void zeros_below_what_is_vouched_for_are_a_hole(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    add(image);
    image->options.vouched = image->end;
    uint64_t second = image->offsets[1];
    memset(image->bytes + second, 0, image->end - second);
    scan(image);
    assert_int_equal(image->seen_count, 1);
    check_hole(image, 0, second, image->end, second);
    finish(image);
}

static void a_sync_record_raises_the_watermark(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t synced = image->end;
    add(image);
    add_sync(image, SEGMENT, synced);
    add(image);
    scan(image);
    check_sound(image, 4, image->end);
    assert_int_equal(image->result.watermark, synced);
    finish(image);
}

static void a_sync_record_behind_a_hole_counts(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t bad = add(image);
    uint64_t synced = image->end;
    add_sync(image, SEGMENT, synced);
    image->bytes[bad + 25] ^= 1;
    scan(image);
    assert_int_equal(image->result.watermark, synced);
    check_hole(image, 0, bad, synced, bad);
    finish(image);
}

static void a_sync_record_cannot_vouch_for_what_comes_behind_it(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    add_sync(image, SEGMENT, 60000);
    add_sync(image, SEGMENT + 1, 500);
    scan(image);
    assert_int_equal(image->result.watermark, 0);
    finish(image);
}

static void the_furthest_sync_of_an_earlier_segment_is_told(void **state)
{
    (void)state;
    struct image *image = new_image();
    image->version = 777;
    add_sync(image, 5, 4000);
    add_sync(image, 6, 100);
    add_sync(image, 6, 300);
    add_sync(image, 6, 200);
    scan(image);
    assert_int_equal(image->result.sync_segment, 6);
    assert_int_equal(image->result.sync_offset, 300);
    assert_int_equal(image->result.watermark, 0);
    assert_false(image->result.continues);
    finish(image);
}

static void a_follows_record_tells_where_the_log_stood(void **state)
{
    (void)state;
    struct image *image = new_image();
    image->version = 777;
    add_follows(image, 5);
    add(image);
    scan(image);
    assert_true(image->result.continues);
    assert_int_equal(image->result.continues_segment, 5);
    assert_int_equal(image->result.continues_version, 777);
    finish(image);
}

static void a_follows_record_that_is_not_the_first_says_nothing(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    add_follows(image, 5);
    scan(image);
    assert_false(image->result.continues);
    finish(image);
}

/* ---- Batches -------------------------------------------------------------------------------- */

static void a_whole_batch_is_kept(void **state)
{
    (void)state;
    struct image *image = new_image();
    add_more(image);
    add_more(image);
    add(image);
    scan(image);
    check_sound(image, 3, image->end);
    finish(image);
}

static void a_batch_without_its_end_is_cut_at_its_start(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t batch = add_more(image);
    add_more(image);
    scan(image);
    assert_int_equal(image->result.hole_count, 1);
    check_hole(image, 0, image->end, image->end, batch);
    assert_int_equal(image->result.holes[0].cut_records, 1);
    assert_int_equal(image->result.holes[0].cut_version, 1001);
    finish(image);
}

static void a_hole_inside_a_batch_cuts_at_the_batch(void **state)
{
    (void)state;
    struct image *image = new_image();
    add(image);
    uint64_t batch = add_more(image);
    uint64_t bad = add_more(image);
    uint64_t after = add(image);
    image->bytes[bad] ^= 1;
    scan(image);
    check_hole(image, 0, bad, after, batch);
    finish(image);
}

static void a_hole_just_behind_a_batch_cuts_behind_it(void **state)
{
    (void)state;
    struct image *image = new_image();
    add_more(image);
    add(image);
    uint64_t bad = add(image);
    image->bytes[bad] ^= 1;
    scan(image);
    check_hole(image, 0, bad, image->end, bad);
    finish(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_segment_has_no_record_and_no_hole),
        cmocka_unit_test(a_file_shorter_than_its_header_has_no_record),
        cmocka_unit_test(zeros_behind_the_records_are_no_hole),
        cmocka_unit_test(a_value_that_ends_in_zeros_is_whole),
        cmocka_unit_test(of_zeros_that_are_known_nothing_is_looked_at),
        cmocka_unit_test(a_record_that_fills_the_file_is_whole),
        cmocka_unit_test(a_seal_at_the_end_is_seen_and_not_counted),
        cmocka_unit_test(a_seal_of_another_length_or_in_the_middle_is_none),
        cmocka_unit_test(a_callback_stops_the_scan),
        cmocka_unit_test(a_torn_record_is_a_hole_at_its_start_wherever_it_is_torn),
        cmocka_unit_test(a_segment_cut_at_any_byte_keeps_the_whole_records),
        cmocka_unit_test(each_byte_flipped_loses_just_that_record),
        cmocka_unit_test(a_hole_of_zeros_before_good_records_is_one),
        cmocka_unit_test(garbage_behind_the_records_is_a_hole),
        cmocka_unit_test(a_damaged_size_that_leads_to_another_record_loses_none_between),
        cmocka_unit_test(a_record_inside_a_value_is_not_taken_for_one),
        cmocka_unit_test(a_record_of_another_offset_is_garbage),
        cmocka_unit_test(a_stale_record_just_behind_the_end_is_not_taken),
        cmocka_unit_test(a_version_above_the_limit_is_no_candidate_behind_a_hole),
        cmocka_unit_test(the_search_behind_a_hole_gives_up_at_its_limit),
        cmocka_unit_test(zeros_below_what_is_vouched_for_are_a_hole),
        cmocka_unit_test(a_sync_record_raises_the_watermark),
        cmocka_unit_test(a_sync_record_behind_a_hole_counts),
        cmocka_unit_test(a_sync_record_cannot_vouch_for_what_comes_behind_it),
        cmocka_unit_test(the_furthest_sync_of_an_earlier_segment_is_told),
        cmocka_unit_test(a_follows_record_tells_where_the_log_stood),
        cmocka_unit_test(a_follows_record_that_is_not_the_first_says_nothing),
        cmocka_unit_test(a_whole_batch_is_kept),
        cmocka_unit_test(a_batch_without_its_end_is_cut_at_its_start),
        cmocka_unit_test(a_hole_inside_a_batch_cuts_at_the_batch),
        cmocka_unit_test(a_hole_just_behind_a_batch_cuts_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
