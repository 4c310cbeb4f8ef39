/* SPDX-License-Identifier: MIT
 * log_tail_test.c: where the log is cut, from made-up scans of its segments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "engine/log_tail.h"

enum { SEGMENTS = 3, HOLES = 4 };

/* Segments 1, 2, 3, each with ten records up to offset 1000 and versions up to 10, 20, 30. */
struct log {
    struct scan_result scans[SEGMENTS];
    struct scan_hole holes[SEGMENTS][HOLES];
    struct log_tail_segment segments[SEGMENTS];
};

static void start(struct log *log)
{
    memset(log, 0, sizeof *log);
    for (size_t i = 0; i < SEGMENTS; i++) {
        log->scans[i] = (struct scan_result){
            .end = 1000,
            .data_end = 1000,
            .records = 10,
            .last_version = 10 * (i + 1),
            .holes = log->holes[i],
        };
        log->segments[i] = (struct log_tail_segment){.id = i + 1, .scan = &log->scans[i]};
    }
}

/* A hole in segment `id`, behind 5 records; the batch it is in began at `cut`. */
static void add_hole(struct log *log, uint64_t id, uint64_t offset, uint64_t end, uint64_t cut)
{
    struct scan_result *scan = &log->scans[id - 1];
    log->holes[id - 1][scan->hole_count++] = (struct scan_hole){
        .offset = offset,
        .end = end,
        .cut = cut,
        .cut_records = 5,
        .cut_version = scan->last_version - 5,
        .why = "bad checksum",
    };
    if (end == scan->data_end)
        scan->end = offset;
}

static void seal(struct log *log, uint64_t id)
{
    log->segments[id - 1].scan = NULL;
}

/* The first record of segment `id` says that the log before it ended in `before` at `version`. */
static void continue_from(struct log *log, uint64_t id, uint64_t before, uint64_t version)
{
    struct scan_result *scan = &log->scans[id - 1];
    scan->continues = true;
    scan->continues_segment = before;
    scan->continues_version = version;
}

static void decide(struct log *log)
{
    log_tail_decide(log->segments, SEGMENTS);
}

static void check_whole(const struct log *log, uint64_t id)
{
    assert_null(log->segments[id - 1].cut);
    assert_int_equal(log->segments[id - 1].end, 1000);
    assert_int_equal(log->segments[id - 1].cut_records, 0);
}

static void check_cut(const struct log *log, uint64_t id, uint64_t end, uint64_t records)
{
    assert_non_null(log->segments[id - 1].cut);
    assert_int_equal(log->segments[id - 1].end, end);
    assert_int_equal(log->segments[id - 1].cut_records, records);
}

static void segments_without_holes_are_whole(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    decide(&log);
    for (uint64_t id = 1; id <= SEGMENTS; id++)
        check_whole(&log, id);
}

static void a_hole_cuts_its_segment_and_all_later_ones(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 2, 500, 600, 500);
    decide(&log);
    check_whole(&log, 1);
    check_cut(&log, 2, 500, 5);
    check_cut(&log, 3, SEGMENT_HEADER_SIZE, 10);
}

static void a_hole_in_a_batch_cuts_at_the_batch(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 3, 500, 600, 400);
    decide(&log);
    check_cut(&log, 3, 400, 5);
}

static void a_hole_below_the_watermark_is_damage(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 2, 500, 600, 500);
    log.scans[1].watermark = 600;
    decide(&log);
    check_whole(&log, 2);
    check_whole(&log, 3);
}

static void the_first_hole_above_the_watermark_is_the_end(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 2, 300, 400, 300);
    add_hole(&log, 2, 700, 800, 700);
    log.scans[1].watermark = 700;
    decide(&log);
    check_cut(&log, 2, 700, 5);
    check_cut(&log, 3, SEGMENT_HEADER_SIZE, 10);
}

static void a_hole_across_the_watermark_cuts_there(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 3, 500, 1000, 500);
    log.scans[2].watermark = 800;
    decide(&log);
    check_cut(&log, 3, 800, 5);
}

static void a_sync_of_a_later_segment_vouches_for_all_before_it(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 1, 500, 600, 500);
    add_hole(&log, 2, 900, 1000, 900); /* damage at the end: the length covers it */
    log.scans[2].watermark = 200;
    decide(&log);
    check_whole(&log, 1);
    check_whole(&log, 2);
    check_whole(&log, 3);
    assert_true(log.segments[0].watermark == UINT64_MAX);
}

static void a_sync_record_in_a_later_segment_vouches_to_its_offset(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 1, 100, 200, 100);
    add_hole(&log, 2, 300, 400, 300);
    add_hole(&log, 2, 600, 700, 600);
    log.scans[2].sync_segment = 2;
    log.scans[2].sync_offset = 500;
    decide(&log);
    check_whole(&log, 1);
    check_cut(&log, 2, 600, 5);
}

static void a_sealed_later_segment_vouches_for_all_before_it(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 1, 500, 600, 500);
    seal(&log, 2);
    decide(&log);
    check_whole(&log, 1);
    check_whole(&log, 3);
}

static void a_sealed_earlier_segment_vouches_for_nothing(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    seal(&log, 1);
    add_hole(&log, 2, 500, 600, 500);
    decide(&log);
    check_cut(&log, 2, 500, 5);
}

/* A power cut has taken the tail of segment 2, which reads as zeros, but not segment 3. */
static void a_missing_tail_before_a_later_segment_cuts_that_one(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    log.scans[1].last_version = 17;
    continue_from(&log, 3, 2, 20);
    decide(&log);
    check_whole(&log, 2);
    check_cut(&log, 3, SEGMENT_HEADER_SIZE, 10);
}

static void a_segment_that_follows_without_a_gap_is_kept(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    continue_from(&log, 2, 1, 10);
    continue_from(&log, 3, 2, 20);
    decide(&log);
    check_whole(&log, 3);
}

static void a_gap_in_what_was_durable_is_damage(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    log.scans[1].last_version = 17;
    continue_from(&log, 3, 2, 20);
    log.scans[2].watermark = 300; /* something of segment 3 was synced: so was all of 2 */
    decide(&log);
    check_whole(&log, 3);
}

static void a_segment_that_was_merged_away_leaves_no_gap(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    continue_from(&log, 1, 77, 9999);
    decide(&log);
    check_whole(&log, 1);
}

static void a_batch_without_its_end_is_cut_at_its_start(void **state)
{
    (void)state;
    struct log log;
    start(&log);
    add_hole(&log, 3, 1000, 1000, 800);
    decide(&log);
    check_cut(&log, 3, 800, 5);
}

/* A SEAL that a kill has cut short: the next segment says that no record is missing before it. */
static void what_stands_behind_a_followed_segment_is_no_damage(void **state)
{
    (void)state;
    for (int synced = 0; synced < 2; synced++) {
        struct log log;
        start(&log);
        log.scans[1].data_end = 1054;
        add_hole(&log, 2, 1000, 1054, 1000);
        log.holes[1][0].cut_version = 20;
        log.holes[1][0].cut_records = 10;
        log.scans[1].end = 1000;
        continue_from(&log, 3, 2, 20);
        if (synced)
            log.scans[2].watermark = 300; /* so all of segment 2 is known to be durable */
        decide(&log);
        check_cut(&log, 2, 1000, 0);
        check_whole(&log, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_without_holes_are_whole),
        cmocka_unit_test(a_hole_cuts_its_segment_and_all_later_ones),
        cmocka_unit_test(a_hole_in_a_batch_cuts_at_the_batch),
        cmocka_unit_test(a_hole_below_the_watermark_is_damage),
        cmocka_unit_test(the_first_hole_above_the_watermark_is_the_end),
        cmocka_unit_test(a_hole_across_the_watermark_cuts_there),
        cmocka_unit_test(a_sync_of_a_later_segment_vouches_for_all_before_it),
        cmocka_unit_test(a_sync_record_in_a_later_segment_vouches_to_its_offset),
        cmocka_unit_test(a_sealed_later_segment_vouches_for_all_before_it),
        cmocka_unit_test(a_sealed_earlier_segment_vouches_for_nothing),
        cmocka_unit_test(a_missing_tail_before_a_later_segment_cuts_that_one),
        cmocka_unit_test(a_segment_that_follows_without_a_gap_is_kept),
        cmocka_unit_test(a_gap_in_what_was_durable_is_damage),
        cmocka_unit_test(a_segment_that_was_merged_away_leaves_no_gap),
        cmocka_unit_test(a_batch_without_its_end_is_cut_at_its_start),
        cmocka_unit_test(what_stands_behind_a_followed_segment_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
