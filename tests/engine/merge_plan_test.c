/* SPDX-License-Identifier: MIT
 * merge_plan_test.c: tables of segments, and which of them a job takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/merge_plan.h"

enum { OUTPUT = 1000 };

static struct merge_wish wish(void)
{
    return (struct merge_wish){.min_dead = 0.4, .output_bytes = OUTPUT, .room_bytes = UINT64_MAX};
}

static struct merge_candidate segment(uint64_t id, uint64_t size, uint64_t keep)
{
    return (struct merge_candidate){
        .id = id, .size_bytes = size, .keep_bytes = keep, .version_min = id * 10, .eligible = true};
}

/* The plan must be these ids; a 0 ends the list. */
static void assert_plan(const struct merge_candidate *candidates, size_t count,
                        const struct merge_wish *want, const uint64_t *ids)
{
    bool chosen[16];
    size_t expected = 0;
    size_t taken = merge_plan(candidates, count, want, chosen);
    for (size_t i = 0; i < count; i++) {
        bool wanted = expected < 16 && ids[expected] == candidates[i].id;
        expected += wanted;
        if (chosen[i] != wanted)
            fail_msg("segment %llu: chosen %d", (unsigned long long)candidates[i].id, chosen[i]);
    }
    assert_int_equal(ids[expected], 0);
    assert_int_equal(taken, expected);
}

#define PLAN(candidates, wish_, ...)                                          \
    assert_plan(candidates, sizeof(candidates) / sizeof *(candidates), wish_, \
                (const uint64_t[16]){__VA_ARGS__})

static void nothing_of_no_segments(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    assert_int_equal(merge_plan(NULL, 0, &want, NULL), 0);
}

static void takes_what_has_its_share_of_dead_bytes(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    struct merge_candidate candidates[] = {
        segment(1, 500, 300), /* 0.4: just enough */
        segment(2, 500, 301), /* a little less */
        segment(3, 500, 0),
    };
    PLAN(candidates, &want, 1, 3, 0);
}

static void leaves_what_is_not_eligible(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    struct merge_candidate candidates[] = {segment(1, 500, 0), segment(2, 500, 100)};
    candidates[0].eligible = false;
    PLAN(candidates, &want, 2, 0);
    candidates[1].eligible = false;
    want.all = true;
    PLAN(candidates, &want, 0);
}

static void a_live_segment_is_left_alone(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.min_dead = 0;
    struct merge_candidate candidates[] = {segment(1, 500, 500), segment(2, 500, 500)};
    PLAN(candidates, &want, 0);
}

static void all_takes_live_segments_too(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.all = true;
    struct merge_candidate candidates[] = {segment(1, 500, 500), segment(2, 300, 300)};
    PLAN(candidates, &want, 1, 2, 0);
}

static void oldest_first_until_one_output_is_full(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.all = true;
    struct merge_candidate candidates[] = {
        segment(1, 600, 600), segment(2, 600, 500), /* does not fit: full from here on */
        segment(3, 600, 100),                       /* would fit, but is newer than 2 */
        segment(4, 600, 0),                         /* costs nothing */
    };
    PLAN(candidates, &want, 1, 4, 0);
}

static void exactly_one_output_is_filled(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.all = true;
    struct merge_candidate candidates[] = {segment(1, 600, 600), segment(2, 600, 400)};
    PLAN(candidates, &want, 1, 2, 0);
}

static void more_than_one_output_of_live_bytes_is_a_job_of_its_own(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.all = true;
    struct merge_candidate candidates[] = {segment(1, 5000, 2500), segment(2, 300, 100)};
    PLAN(candidates, &want, 1, 0);
    struct merge_candidate swapped[] = {segment(1, 300, 100), segment(2, 5000, 2500)};
    PLAN(swapped, &want, 1, 0);
}

static void short_of_room_takes_those_that_fit(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.room_bytes = 150;
    struct merge_candidate candidates[] = {
        segment(1, 600, 200), segment(2, 600, 100), segment(3, 600, 60),
        segment(4, 600, 50),  segment(5, 600, 0),
    };
    PLAN(candidates, &want, 2, 4, 5, 0);
}

static void without_any_room_takes_what_keeps_nothing(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.all = true;
    want.room_bytes = 0;
    struct merge_candidate candidates[] = {segment(1, 600, 1), segment(2, 600, 0)};
    PLAN(candidates, &want, 2, 0);
}

static void joins_small_segments(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    struct merge_candidate candidates[] = {segment(1, 249, 249),
                                           segment(2, 250, 250), /* a quarter: not small */
                                           segment(3, 100, 100)};
    PLAN(candidates, &want, 1, 3, 0);
}

static void a_lone_small_segment_is_not_written_again(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    struct merge_candidate candidates[] = {segment(1, 100, 100), segment(2, 900, 900)};
    PLAN(candidates, &want, 0);
    struct merge_candidate with_empty[] = {segment(1, 100, 100), segment(2, 100, 0)};
    PLAN(with_empty, &want, 2, 0);
}

static void a_small_segment_does_not_keep_a_wasteful_one_from_its_turn(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.min_dead = 0.1;
    struct merge_candidate candidates[] = {segment(1, 200, 200), segment(2, 1000, 900),
                                           segment(3, 200, 200)};
    /* 1 and 3 are joined; 2 does not fit beside 1 and comes next */
    bool chosen[3];
    assert_int_equal(merge_plan(candidates, 3, &want, chosen), 1);
    assert_true(chosen[1]);
}

static void takes_no_more_inputs_than_a_seal_record_lists(void **state)
{
    (void)state;
    static struct merge_candidate candidates[MERGE_MAX_INPUTS + 10];
    static bool chosen[MERGE_MAX_INPUTS + 10];
    struct merge_wish want = wish();
    for (size_t i = 0; i < MERGE_MAX_INPUTS + 10; i++)
        candidates[i] = segment(i + 1, 100, 0);
    size_t taken = merge_plan(candidates, MERGE_MAX_INPUTS + 10, &want, chosen);
    assert_int_equal(taken, MERGE_MAX_INPUTS);
    assert_true(chosen[MERGE_MAX_INPUTS - 1]);
    assert_false(chosen[MERGE_MAX_INPUTS]);
}

static void sums_near_the_top_do_not_overflow(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.all = true;
    want.output_bytes = UINT64_MAX;
    struct merge_candidate candidates[] = {
        segment(1, UINT64_MAX, UINT64_MAX - 10),
        segment(2, UINT64_MAX, 11),
    };
    PLAN(candidates, &want, 1, 0);
}

static void order_is_by_lowest_version_then_id(void **state)
{
    (void)state;
    struct merge_candidate a = segment(7, 1, 1), b = segment(3, 1, 1);
    assert_true(merge_candidate_order(&b, &a) < 0);
    b.version_min = a.version_min;
    assert_true(merge_candidate_order(&b, &a) < 0);
    b.version_min = a.version_min + 1;
    assert_true(merge_candidate_order(&b, &a) > 0);
    assert_int_equal(merge_candidate_order(&a, &a), 0);
}

/* ---- The whole store, a nearly full disk, small segments ---------------------------------------
 */

static void a_store_that_wastes_takes_its_worst_segments(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.min_dead = 0.5;
    want.min_dead_store = 0.33;
    struct merge_candidate candidates[] = {
        segment(1, 900, 600), /* a third is dead: less than 7/8 of the worst */
        segment(2, 900, 490), /* the worst */
        segment(3, 900, 500), /* nearly as bad */
    };
    PLAN(candidates, &want, 2, 3, 0);
    want.other_bytes = 1000; /* live ones: the store as a whole is in order */
    PLAN(candidates, &want, 0);
}

static void the_store_s_trigger_does_not_take_what_wastes_little(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.min_dead = 0.5;
    want.min_dead_store = 0.1;
    struct merge_candidate candidates[] = {segment(1, 900, 856), segment(2, 900, 855)};
    PLAN(candidates, &want, 0); /* less than half of 0.1 */
}

static void nearly_full_takes_what_frees_most_per_byte_written(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.scarce = true;
    struct merge_candidate candidates[] = {segment(1, 500, 250), segment(2, 500, 100),
                                           segment(3, 900, 90), segment(4, 500, 0)};
    PLAN(candidates, &want, 3, 4, 0);
}

static void nearly_full_takes_the_best_that_there_is_room_for(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.scarce = true;
    want.room_bytes = 95;
    struct merge_candidate candidates[] = {segment(1, 500, 100), segment(2, 900, 96),
                                           segment(3, 200, 95)};
    PLAN(candidates, &want, 3, 0);
    want.room_bytes = 94;
    PLAN(candidates, &want, 0);
}

static void nearly_full_does_not_join(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.scarce = true;
    struct merge_candidate candidates[] = {segment(1, 100, 100), segment(2, 100, 100)};
    PLAN(candidates, &want, 0);
}

static void doubling_leaves_a_large_one_until_the_others_are_as_large(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.join = MERGE_JOIN_DOUBLING;
    struct merge_candidate one_less[] = {segment(1, 100, 100), segment(2, 50, 50),
                                         segment(3, 49, 49)};
    PLAN(one_less, &want, 0);
    struct merge_candidate equal[] = {segment(1, 100, 100), segment(2, 50, 50), segment(3, 50, 50)};
    PLAN(equal, &want, 1, 2, 3, 0);
    struct merge_candidate two_of_four[] = {segment(1, 200, 200), segment(2, 100, 100),
                                            segment(3, 10, 10), segment(4, 10, 10)};
    PLAN(two_of_four, &want, 3, 4, 0);
}

/* However many segments of one record come, each record is written but log2 times. */
static void doubling_writes_a_byte_but_log2_times(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.join = MERGE_JOIN_DOUBLING;
    want.output_bytes = 1 << 20;
    static struct merge_candidate candidates[1024];
    static bool chosen[1024];
    size_t count = 0;
    uint64_t written = 0, ids = 0;
    for (unsigned arrived = 0; arrived < 1000; arrived++) {
        candidates[count++] = segment(++ids, 100, 100);
        while (merge_plan(candidates, count, &want, chosen) > 0) {
            uint64_t kept = 0;
            size_t left = 0;
            for (size_t i = 0; i < count; i++) {
                if (chosen[i])
                    kept += candidates[i].keep_bytes;
                else
                    candidates[left++] = candidates[i];
            }
            written += kept;
            count = left;
            candidates[count++] = segment(++ids, kept, kept);
        }
        assert_true(count <= 11);
    }
    assert_true(written <= 1000 * 100 * 10);
}

/* 100 records each is what an output holds: to join two would give two. */
static void segments_full_of_records_are_not_small(void **state)
{
    (void)state;
    struct merge_wish want = wish();
    want.output_records = 100;
    struct merge_candidate candidates[] = {segment(1, 100, 100), segment(2, 100, 100)};
    candidates[0].records = candidates[1].records = 100;
    PLAN(candidates, &want, 0);
    candidates[0].records = candidates[1].records = 24;
    PLAN(candidates, &want, 1, 2, 0);
}

static void the_dead_share_counts_everything(void **state)
{
    (void)state;
    struct merge_candidate candidates[] = {segment(1, 100, 50), segment(2, 100, 120)};
    assert_true(merge_plan_dead_share(candidates, 2, 0) == 0.25);
    assert_true(merge_plan_dead_share(candidates, 2, 200) == 0.125);
    assert_true(merge_plan_dead_share(NULL, 0, 0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_no_segments),
        cmocka_unit_test(takes_what_has_its_share_of_dead_bytes),
        cmocka_unit_test(leaves_what_is_not_eligible),
        cmocka_unit_test(a_live_segment_is_left_alone),
        cmocka_unit_test(all_takes_live_segments_too),
        cmocka_unit_test(oldest_first_until_one_output_is_full),
        cmocka_unit_test(exactly_one_output_is_filled),
        cmocka_unit_test(more_than_one_output_of_live_bytes_is_a_job_of_its_own),
        cmocka_unit_test(short_of_room_takes_those_that_fit),
        cmocka_unit_test(without_any_room_takes_what_keeps_nothing),
        cmocka_unit_test(joins_small_segments),
        cmocka_unit_test(a_lone_small_segment_is_not_written_again),
        cmocka_unit_test(a_small_segment_does_not_keep_a_wasteful_one_from_its_turn),
        cmocka_unit_test(takes_no_more_inputs_than_a_seal_record_lists),
        cmocka_unit_test(sums_near_the_top_do_not_overflow),
        cmocka_unit_test(order_is_by_lowest_version_then_id),
        cmocka_unit_test(a_store_that_wastes_takes_its_worst_segments),
        cmocka_unit_test(the_store_s_trigger_does_not_take_what_wastes_little),
        cmocka_unit_test(nearly_full_takes_what_frees_most_per_byte_written),
        cmocka_unit_test(nearly_full_takes_the_best_that_there_is_room_for),
        cmocka_unit_test(nearly_full_does_not_join),
        cmocka_unit_test(doubling_leaves_a_large_one_until_the_others_are_as_large),
        cmocka_unit_test(doubling_writes_a_byte_but_log2_times),
        cmocka_unit_test(segments_full_of_records_are_not_small),
        cmocka_unit_test(the_dead_share_counts_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
