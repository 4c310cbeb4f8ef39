/* SPDX-License-Identifier: MIT
 * merge_sim_test.c: long workloads in figures (bench/merge_sim.h), merged by the real plan: what it
 * costs, what it leaves, and that it comes to rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../bench/merge_sim.h"

static struct merge_sim_result run(enum merge_sim_workload workload, double trigger)
{
    struct merge_sim_setup setup = {
        .workload = workload,
        .trigger = trigger,
        .keys = 20000,
        .segment_records = 200,
        .turnover = 8,
        .seed = 7,
    };
    struct merge_sim_result result;
    assert_true(merge_sim_run(&setup, &result));
    if (result.restless)
        fail_msg("%s at %.2f: the plan never became empty", merge_sim_names[workload], trigger);
    return result;
}

static void uniform_overwriting_at_one_half_keeps_to_its_goal(void **state)
{
    (void)state;
    struct merge_sim_result result = run(MERGE_SIM_UNIFORM, 0.5);
    assert_true(result.write_amplification <= 2.5);
    assert_true(result.space_mean <= 1.5);
    assert_true(result.space_max <= 1.5);
    assert_true(result.space_peak <= 1.55);
}

/* What a fifth of a segment, the active one, adds is not the plan's. */
static void no_workload_at_one_half_takes_more_space_than_the_store_s_trigger_allows(void **state)
{
    (void)state;
    for (unsigned workload = 0; workload < MERGE_SIM_WORKLOADS; workload++) {
        struct merge_sim_result result = run((enum merge_sim_workload)workload, 0.5);
        assert_true(result.space_max <= 1.55);
        assert_true(result.write_amplification <= 2.5);
    }
}

static void a_higher_trigger_writes_less_and_takes_more(void **state)
{
    (void)state;
    struct merge_sim_result last = run(MERGE_SIM_UNIFORM, 0.2);
    for (unsigned percent = 30; percent <= 80; percent += 10) {
        struct merge_sim_result next = run(MERGE_SIM_UNIFORM, percent / 100.0);
        assert_true(next.write_amplification < last.write_amplification);
        assert_true(next.space_mean > last.space_mean);
        last = next;
    }
}

static void what_is_only_appended_is_never_written_again(void **state)
{
    (void)state;
    struct merge_sim_result result = run(MERGE_SIM_APPEND, 0.2);
    assert_int_equal(result.jobs, 0);
    assert_true(result.write_amplification == 1);
    assert_true(result.space_max == 1);
}

static void what_expires_in_order_goes_for_free(void **state)
{
    (void)state;
    struct merge_sim_result result = run(MERGE_SIM_TTL, 0.5);
    assert_true(result.jobs > 0);
    assert_true(result.write_amplification < 1.05);
    assert_true(result.space_max < 1.1);
}

/* Half of the keys are there at any time; tombstones that hide nothing go. */
static void deletes_do_not_pile_up(void **state)
{
    (void)state;
    struct merge_sim_result result = run(MERGE_SIM_DELETES, 0.5);
    assert_true(result.space_mean <= 1.5);
    assert_true(result.write_amplification <= 2.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_overwriting_at_one_half_keeps_to_its_goal),
        cmocka_unit_test(no_workload_at_one_half_takes_more_space_than_the_store_s_trigger_allows),
        cmocka_unit_test(a_higher_trigger_writes_less_and_takes_more),
        cmocka_unit_test(what_is_only_appended_is_never_written_again),
        cmocka_unit_test(what_expires_in_order_goes_for_free),
        cmocka_unit_test(deletes_do_not_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
