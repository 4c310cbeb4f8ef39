/* SPDX-License-Identifier: MIT
 * metrics_test.c: counts and latencies of several threads, their sums, quantiles and resets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "metrics.h"

static void sums_are_over_all_threads(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(3, 2);
    for (unsigned slot = 0; slot < 3; slot++)
        metrics_add(metrics, slot, METRIC_BYTES_IN, 10 + slot);
    assert_int_equal(metrics_sum(metrics, METRIC_BYTES_IN), 33);
    assert_int_equal(metrics_sum(metrics, METRIC_BYTES_OUT), 0);
    metrics_command(metrics, 0, 1, 100, METRICS_OK);
    metrics_command(metrics, 2, 1, 300, METRICS_FAILED);
    metrics_command(metrics, 2, 1, 0, METRICS_REJECTED);
    struct metrics_calls calls = metrics_of_command(metrics, 1);
    assert_int_equal(calls.calls, 2);
    assert_int_equal(calls.failed, 1);
    assert_int_equal(calls.rejected, 1);
    assert_int_equal(calls.ns, 400);
    assert_int_equal(metrics_of_command(metrics, 0).calls, 0);
    assert_int_equal(metrics_sum(metrics, METRIC_COMMANDS), 2);
    metrics_free(metrics);
}

static void buckets_cover_all_values_and_are_narrow(void **state)
{
    (void)state;
    uint64_t below = 0;
    for (unsigned bucket = 1; bucket < 1023; bucket++) {
        uint64_t low = metrics_bucket_limit_ns(bucket - 1) + 1;
        uint64_t high = metrics_bucket_limit_ns(bucket);
        assert_true(high >= low && low > below);
        assert_true((high - low) * 32 <= low); /* 1/32 of its values wide */
        below = low;
    }
    assert_true(metrics_bucket_limit_ns(1023) == UINT64_MAX);
}

static void each_value_falls_into_the_bucket_of_its_limits(void **state)
{
    (void)state;
    static const uint64_t values[] = {0,    1,      31,        32,         33,
                                      63,   64,     1000,      4095,       4096,
                                      4097, 123456, 999999999, 5000000000, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct metrics *metrics = metrics_new(1, 1);
        struct metrics_histogram histogram;
        metrics_command(metrics, 0, 0, values[i], METRICS_OK);
        metrics_latency(metrics, 0, &histogram);
        unsigned bucket = 0;
        while (histogram.buckets[bucket] == 0)
            bucket++;
        assert_true(values[i] <= metrics_bucket_limit_ns(bucket));
        assert_true(bucket == 0 || values[i] > metrics_bucket_limit_ns(bucket - 1));
        assert_true(histogram.max_ns == values[i]);
        assert_true(metrics_quantile_ns(&histogram, 0.5) == values[i]);
        metrics_free(metrics);
    }
}

static void quantiles_are_within_four_percent(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(2, 1);
    struct metrics_histogram histogram;
    for (uint64_t us = 1; us <= 1000; us++)
        metrics_command(metrics, us % 2, 0, us * 1000, METRICS_OK);
    metrics_latency(metrics, METRICS_ALL_COMMANDS, &histogram);
    assert_int_equal(histogram.count, 1000);
    assert_int_equal(histogram.max_ns, 1000000);
    static const double quantiles[] = {0.1, 0.5, 0.9, 0.99, 1.0};
    for (size_t i = 0; i < 5; i++) {
        double exact = quantiles[i] * 1e6;
        double told = (double)metrics_quantile_ns(&histogram, quantiles[i]);
        assert_true(told >= exact * 0.999 && told <= exact * 1.04);
    }
    memset(&histogram, 0, sizeof histogram);
    assert_int_equal(metrics_quantile_ns(&histogram, 0.5), 0);
    metrics_free(metrics);
}

static void a_reset_begins_anew(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(2, 2);
    struct metrics_histogram histogram;
    for (int round = 1; round <= 3; round++) {
        metrics_add(metrics, 1, METRIC_ERRORS, 5);
        metrics_command(metrics, 0, 1, 1000000, METRICS_OK);
        metrics_command(metrics, 1, 1, 2000, METRICS_FAILED);
        assert_int_equal(metrics_sum(metrics, METRIC_ERRORS), 5);
        assert_int_equal(metrics_of_command(metrics, 1).calls, 2);
        assert_int_equal(metrics_of_command(metrics, 1).failed, 1);
        metrics_latency(metrics, 1, &histogram);
        assert_int_equal(histogram.count, 2);
        assert_int_equal(histogram.sum_ns, 1002000);
        metrics_reset(metrics);
        assert_int_equal(metrics_sum(metrics, METRIC_ERRORS), 0);
        assert_int_equal(metrics_sum(metrics, METRIC_COMMANDS), 0);
        assert_int_equal(metrics_of_command(metrics, 1).calls, 0);
        metrics_latency(metrics, METRICS_ALL_COMMANDS, &histogram);
        assert_int_equal(histogram.count, 0);
        assert_int_equal(histogram.max_ns, 0);
    }
    metrics_free(metrics);
}

static void errors_are_counted_by_their_first_word(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(2, 1);
    metrics_error(metrics, 0, "ERR syntax error");
    metrics_error(metrics, 1, "ERR no such key");
    metrics_error(metrics, 1, "NOAUTH Authentication required.");
    metrics_error(metrics, 1, "STRANGE");
    unsigned codes = 0;
    uint64_t all = 0;
    for (; metrics_error_name(codes) != NULL; codes++) {
        uint64_t count = metrics_errors(metrics, codes);
        if (strcmp(metrics_error_name(codes), "ERR") == 0)
            assert_int_equal(count, 2);
        all += count;
    }
    assert_int_equal(all, 4);
    assert_int_equal(metrics_errors(metrics, codes - 1), 1); /* OTHER */
    metrics_reset(metrics);
    assert_int_equal(metrics_errors(metrics, 0), 0);
    metrics_free(metrics);
}

static struct metrics *shared;
static atomic_bool stop;
enum { CALLS = 20000 };

static void *count_calls(void *context)
{
    unsigned slot = *(unsigned *)context;
    for (int i = 0; i < CALLS; i++) {
        metrics_command(shared, slot, 0, 1000, METRICS_OK);
        metrics_error(shared, slot, "ERR x");
    }
    return NULL;
}

static void *reset_often(void *context)
{
    (void)context;
    while (!stop)
        metrics_reset(shared);
    return NULL;
}

static void resets_beside_counts_leave_nothing_below_zero(void **state)
{
    (void)state;
    pthread_t threads[4];
    unsigned slots[2] = {0, 1};
    struct metrics_histogram histogram;
    shared = metrics_new(2, 1);
    stop = false;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_calls, &slots[i]), 0);
        assert_int_equal(pthread_create(&threads[2 + i], NULL, reset_often, NULL), 0);
    }
    for (int i = 0; i < 2000; i++) {
        assert_in_range(metrics_sum(shared, METRIC_COMMANDS), 0, 2 * CALLS);
        assert_in_range(metrics_of_command(shared, 0).calls, 0, 2 * CALLS);
        assert_in_range(metrics_errors(shared, 0), 0, 2 * CALLS);
        metrics_latency(shared, 0, &histogram);
        assert_in_range(histogram.count, 0, 2 * CALLS);
    }
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    stop = true;
    assert_int_equal(pthread_join(threads[2], NULL), 0);
    assert_int_equal(pthread_join(threads[3], NULL), 0);
    metrics_free(shared);
}

static void the_rate_is_that_since_the_last_look(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new(1, 1);
    assert_int_equal(metrics_rate(metrics, 1000000), 0);
    for (int i = 0; i < 500; i++)
        metrics_command(metrics, 0, 0, 1, METRICS_OK);
    assert_int_equal(metrics_rate(metrics, 1050000), 0); /* too soon */
    assert_int_equal(metrics_rate(metrics, 1500000), 1000);
    assert_int_equal(metrics_rate(metrics, 2500000), 0);
    metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_over_all_threads),
        cmocka_unit_test(buckets_cover_all_values_and_are_narrow),
        cmocka_unit_test(each_value_falls_into_the_bucket_of_its_limits),
        cmocka_unit_test(quantiles_are_within_four_percent),
        cmocka_unit_test(a_reset_begins_anew),
        cmocka_unit_test(errors_are_counted_by_their_first_word),
        cmocka_unit_test(resets_beside_counts_leave_nothing_below_zero),
        cmocka_unit_test(the_rate_is_that_since_the_last_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
