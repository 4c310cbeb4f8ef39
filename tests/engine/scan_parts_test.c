/* SPDX-License-Identifier: MIT
 * scan_parts_test.c: a segment scanned in parts is what it is scanned as a whole, or the parts do
 * not fit together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "engine/scan_parts.h"

enum { IMAGE_SIZE = 64 << 10 };

static const uint64_t SALT = 0x1122334455667788;
static const uint64_t SEGMENT = 7;

/* ---- An image, with verbs ------------------------------------------------------------------- */

struct image {
    uint8_t bytes[IMAGE_SIZE];
    uint64_t end, version;
    struct scan_options options;
};

static void start(struct image *image)
{
    memset(image, 0, sizeof *image);
    image->end = SEGMENT_HEADER_SIZE;
    image->version = 1000;
    image->options = (struct scan_options){
        .salt = SALT,
        .segment_id = SEGMENT,
        .version_limit = 1000000,
        .ordered = true,
    };
}

static uint64_t append(struct image *image, const struct record *record)
{
    uint64_t offset = image->end;
    image->end += record_encode(image->bytes + offset, record, SALT, offset);
    return offset;
}

static uint64_t add(struct image *image, uint32_t flags)
{
    struct record record = {.version = ++image->version,
                            .key = bitcask_str("key"),
                            .value = bitcask_str("some value of a record"),
                            .flags = flags};
    return append(image, &record);
}

static void add_sync(struct image *image, uint64_t segment, uint64_t offset)
{
    uint8_t value[META_SYNC_SIZE];
    struct meta_sync sync = {segment, offset};
    struct record record = {.version = image->version,
                            .flags = RECORD_META,
                            .value = slice_of(value, meta_sync_encode(value, &sync))};
    append(image, &record);
}

static void add_follows(struct image *image)
{
    uint8_t value[META_FOLLOWS_SIZE];
    struct record record = {.version = image->version,
                            .flags = RECORD_META,
                            .value = slice_of(value, meta_follows_encode(value, SEGMENT - 1))};
    append(image, &record);
}

static void add_seal(struct image *image)
{
    uint8_t value[META_SEAL_FIXED];
    struct meta_seal seal = {.length = image->end};
    struct record record = {.version = image->version,
                            .flags = RECORD_META,
                            .value = slice_of(value, meta_seal_encode(value, &seal))};
    append(image, &record);
}

/* Single records, batches, syncs of this segment and of the one before. */
static void fill(struct image *image)
{
    start(image);
    add_follows(image);
    for (int i = 0; i < 60; i++) {
        add(image, i % 3 == 0 ? RECORD_BATCH_MORE : 0);
        if (i % 3 == 0)
            add(image, 0);
        if (i % 7 == 0)
            add_sync(image, SEGMENT, image->end - 100);
        if (i % 11 == 0)
            add_sync(image, SEGMENT - 1, 500 + (uint64_t)i);
    }
}

static void scan(struct image *image, uint64_t from, uint64_t end, struct scan_result *result)
{
    struct scan_options options = image->options;
    options.from = from;
    assert_int_equal(scan_segment(slice_of(image->bytes, end), &options, NULL, NULL, result),
                     BITCASK_OK);
}

static slice bytes_of(const struct image *image)
{
    return slice_of(image->bytes, IMAGE_SIZE);
}

/* In two parts, cut at or behind `from`. False: no cut was found, or they do not fit. */
static bool scan_in_two(struct image *image, uint64_t from, struct scan_result *result)
{
    struct scan_cut cut;
    if (!scan_find_cut(bytes_of(image), &image->options, from, &cut))
        return false;
    assert_true(cut.offset >= from);
    struct scan_result next;
    scan(image, 0, cut.offset, result);
    scan(image, cut.offset, IMAGE_SIZE, &next);
    bool fits = scan_join(result, &cut, &next);
    if (!fits) {
        scan_release(result);
        scan_release(&next);
    }
    return fits;
}

static void check_same(const struct scan_result *a, const struct scan_result *b)
{
    assert_int_equal(a->hole_count, 0);
    assert_int_equal(b->hole_count, 0);
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->data_end, b->data_end);
    assert_int_equal(a->watermark, b->watermark);
    assert_int_equal(a->records, b->records);
    assert_int_equal(a->last_version, b->last_version);
    assert_int_equal(a->sync_segment, b->sync_segment);
    assert_int_equal(a->sync_offset, b->sync_offset);
    assert_int_equal(a->continues, b->continues);
    assert_int_equal(a->continues_segment, b->continues_segment);
    assert_int_equal(a->continues_version, b->continues_version);
    assert_int_equal(a->has_seal, b->has_seal);
    assert_int_equal(a->seal_offset, b->seal_offset);
}

/* ---- Sound segments ------------------------------------------------------------------------- */

/* Returns in how many of all places it can be cut. */
static int cut_everywhere(struct image *image)
{
    struct scan_result whole, parts;
    int cuts = 0;
    scan(image, 0, IMAGE_SIZE, &whole);
    for (uint64_t from = SEGMENT_HEADER_SIZE + 1; from < image->end; from++) {
        if (!scan_in_two(image, from, &parts))
            continue;
        check_same(&whole, &parts);
        cuts++;
    }
    return cuts;
}

static void cut_anywhere_the_parts_are_the_whole(void **state)
{
    (void)state;
    static struct image image;
    fill(&image);
    assert_true(cut_everywhere(&image) > (int)image.end / 2);
}

static void the_seal_is_that_of_the_last_part(void **state)
{
    (void)state;
    static struct image image;
    fill(&image);
    add_seal(&image);
    assert_true(cut_everywhere(&image) > (int)image.end / 2);
}

static void what_is_vouched_for_in_the_second_part_is_no_gap_of_the_first(void **state)
{
    (void)state;
    static struct image image;
    fill(&image);
    image.options.vouched = image.end;
    assert_true(cut_everywhere(&image) > (int)image.end / 2);
}

static void no_cut_falls_inside_a_batch(void **state)
{
    (void)state;
    static struct image image;
    struct scan_cut cut;
    start(&image);
    add(&image, 0);
    uint64_t batch = add(&image, RECORD_BATCH_MORE);
    add(&image, RECORD_BATCH_MORE);
    add(&image, 0);
    uint64_t behind = add(&image, 0);
    assert_true(scan_find_cut(bytes_of(&image), &image.options, batch + 1, &cut));
    assert_int_equal(cut.offset, behind);
    assert_int_equal(cut.version, image.version);
}

/* ---- Places that are none ------------------------------------------------------------------- */

/* So that a value of many megabytes is not gone over again for each place to cut at. */
static void where_a_search_ended_is_told(void **state)
{
    (void)state;
    static struct image image;
    static const uint8_t zeros[3 << 20];
    struct scan_cut cut;
    fill(&image);
    assert_false(scan_find_cut(slice_of(zeros, sizeof zeros), &image.options, 4096, &cut));
    assert_int_equal(cut.offset, 4096 + (1 << 20));
    assert_false(
        scan_find_cut(slice_of(zeros, sizeof zeros), &image.options, sizeof zeros - 4096, &cut));
    assert_int_equal(cut.offset, sizeof zeros);
}

static void there_is_no_cut_behind_the_end(void **state)
{
    (void)state;
    static struct image image;
    struct scan_cut cut;
    fill(&image);
    assert_false(scan_find_cut(bytes_of(&image), &image.options, image.end, &cut));
    assert_false(scan_find_cut(bytes_of(&image), &image.options, IMAGE_SIZE - 3, &cut));
}

static void a_record_that_is_a_part_of_a_value_is_no_cut(void **state)
{
    (void)state;
    static struct image image;
    start(&image);
    add(&image, 0);
    uint64_t outer = image.end;
    static uint8_t value[2000];
    struct image inner = image; /* good records at their places, inside a value */
    inner.version += 10;
    inner.end = outer + RECORD_HEADER_SIZE + 3 + 100;
    uint64_t inside = inner.end;
    add(&inner, 0);
    add(&inner, 0);
    memcpy(value + 100, inner.bytes + inside, inner.end - inside);
    struct record record = {.version = ++image.version,
                            .key = bitcask_str("key"),
                            .value = slice_of(value, sizeof value)};
    append(&image, &record);
    add(&image, 0);
    struct scan_cut cut;
    struct scan_result result;
    assert_true(scan_find_cut(bytes_of(&image), &image.options, inside, &cut));
    assert_true(cut.offset < outer + sizeof value);
    assert_false(scan_in_two(&image, inside, &result));
}

static void an_older_record_left_behind_the_end_is_no_cut(void **state)
{
    (void)state;
    static struct image image;
    start(&image);
    image.version = 5000;
    uint64_t first = image.end;
    for (int i = 0; i < 10; i++)
        add(&image, 0);
    uint64_t middle = first + (image.end - first) / 2;
    image.version = 3000; /* the second half is of before */
    image.end = middle;
    for (int i = 0; i < 5; i++)
        add(&image, 0);
    struct scan_result result;
    assert_false(scan_in_two(&image, middle - 1, &result));
}

/* ---- Damage --------------------------------------------------------------------------------- */

static void a_bad_byte_anywhere_in_the_records_shows_or_is_left_out(void **state)
{
    (void)state;
    static struct image image;
    fill(&image);
    const uint64_t middle = image.end / 2;
    int refused = 0;
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < image.end; at += 5) {
        struct scan_result whole, parts;
        image.bytes[at] ^= 0x40;
        scan(&image, 0, IMAGE_SIZE, &whole);
        if (scan_in_two(&image, middle, &parts))
            check_same(&whole, &parts);
        else
            refused++;
        scan_release(&whole);
        image.bytes[at] ^= 0x40;
    }
    assert_int_equal(refused, (image.end - SEGMENT_HEADER_SIZE + 4) / 5);
}

static void a_batch_without_its_end_shows(void **state)
{
    (void)state;
    static struct image image;
    struct scan_result result;
    fill(&image);
    add(&image, RECORD_BATCH_MORE);
    assert_false(scan_in_two(&image, image.end / 2, &result));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_anywhere_the_parts_are_the_whole),
        cmocka_unit_test(the_seal_is_that_of_the_last_part),
        cmocka_unit_test(what_is_vouched_for_in_the_second_part_is_no_gap_of_the_first),
        cmocka_unit_test(no_cut_falls_inside_a_batch),
        cmocka_unit_test(where_a_search_ended_is_told),
        cmocka_unit_test(there_is_no_cut_behind_the_end),
        cmocka_unit_test(a_record_that_is_a_part_of_a_value_is_no_cut),
        cmocka_unit_test(an_older_record_left_behind_the_end_is_no_cut),
        cmocka_unit_test(a_bad_byte_anywhere_in_the_records_shows_or_is_left_out),
        cmocka_unit_test(a_batch_without_its_end_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
