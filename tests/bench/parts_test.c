/* SPDX-License-Identifier: MIT
 * parts_test.c: the histogram, the orders, keys and draws of the benchmark. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "histogram.h"
#include "keys.h"
#include "zipf.h"

static void histogram_bucket_grows_with_its_values(void **state)
{
    (void)state;
    unsigned last = 0;
    for (unsigned bit = 0; bit < 64; bit++)
        for (int step = -1; step <= 1; step++) {
            uint64_t value = ((uint64_t)1 << bit) + (uint64_t)step;
            if (bit < 2)
                continue;
            assert_true(histogram_bucket(value) >= last);
            last = histogram_bucket(value);
        }
    assert_true(histogram_bucket(UINT64_MAX) == HISTOGRAM_BUCKETS - 1);
}

static void histogram_quantiles_are_within_one_bucket(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    assert_non_null(histogram);
    for (uint64_t value = 1; value <= 100000; value++)
        histogram_add(histogram, value);
    static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double exact = shares[i] * 100000;
        double got = (double)histogram_quantile(histogram, shares[i]);
        assert_true(got >= exact && got <= exact * (1 + 1.0 / HISTOGRAM_SUB));
    }
    assert_int_equal(histogram_quantile(histogram, 1.0), 100000);
    assert_int_equal(histogram_quantile(histogram, 0), 1);
    free(histogram);
}

static void histogram_merge_is_as_adding_to_one(void **state)
{
    (void)state;
    struct histogram *parts = calloc(3, sizeof *parts);
    struct bench_random random;
    assert_non_null(parts);
    bench_random_init(&random, 7);
    for (int i = 0; i < 10000; i++) {
        uint64_t value = bench_random_next(&random) >> (i % 60);
        histogram_add(&parts[i % 2], value);
        histogram_add(&parts[2], value);
    }
    histogram_merge(&parts[0], &parts[1]);
    assert_memory_equal(&parts[0], &parts[2], sizeof *parts);
    free(parts);
}

static void histogram_without_values_has_quantile_0(void **state)
{
    (void)state;
    static const struct histogram empty;
    assert_int_equal(histogram_quantile(&empty, 0.99), 0);
}

static void permutation_meets_each_number_once(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 1000, 65536, 100003};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct bench_permutation permutation;
            uint8_t *seen = calloc(counts[c], 1);
            assert_non_null(seen);
            bench_permutation_init(&permutation, counts[c], seed);
            for (uint64_t i = 0; i < counts[c]; i++) {
                uint64_t number = bench_permute(&permutation, i);
                assert_true(number < counts[c]);
                assert_int_equal(seen[number]++, 0);
            }
            free(seen);
        }
}

static void keys_of_different_numbers_differ(void **state)
{
    (void)state;
    for (size_t size = BENCH_KEY_SIZE_MIN; size <= 20; size++) {
        uint8_t a[20] = {0}, b[20] = {0};
        bench_key(a, size, 1000);
        bench_key(b, size, 1001);
        assert_memory_not_equal(a, b, size);
    }
}

static void keys_sort_as_their_numbers(void **state)
{
    (void)state;
    for (size_t size = BENCH_KEY_SIZE_MIN; size <= 20; size++) {
        uint8_t less[20] = {0}, more[20] = {0};
        bench_key(less, size, 0x01ff);
        bench_key(more, size, 0x0200);
        assert_true(memcmp(less, more, size) < 0);
    }
}

/* The first rank's share is 1 / zeta, the tenth's a tenth of it to the power of 0.99. */
static void zipf_ranks_come_in_their_shares(void **state)
{
    (void)state;
    enum { COUNT = 1000, DRAWS = 2000000 };
    struct bench_zipf zipf;
    struct bench_random random;
    static uint64_t seen[COUNT];
    double sum = 0;
    for (int k = 1; k <= COUNT; k++)
        sum += pow(k, -0.99);
    bench_zipf_init(&zipf, COUNT);
    bench_random_init(&random, 3);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = bench_zipf_next(&zipf, &random);
        assert_true(rank < COUNT);
        seen[rank]++;
    }
    static const int ranks[] = {0, 1, 9, 99};
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++) {
        double expected = DRAWS * pow(ranks[i] + 1, -0.99) / sum;
        assert_true(fabs((double)seen[ranks[i]] - expected) < 0.15 * expected);
    }
}

static void zipf_of_few_ranks_stays_below_their_count(void **state)
{
    (void)state;
    struct bench_random random;
    bench_random_init(&random, 5);
    for (uint64_t count = 1; count <= 4; count++) {
        struct bench_zipf zipf;
        bench_zipf_init(&zipf, count);
        for (int i = 0; i < 1000; i++)
            assert_true(bench_zipf_next(&zipf, &random) < count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_bucket_grows_with_its_values),
        cmocka_unit_test(histogram_quantiles_are_within_one_bucket),
        cmocka_unit_test(histogram_merge_is_as_adding_to_one),
        cmocka_unit_test(histogram_without_values_has_quantile_0),
        cmocka_unit_test(permutation_meets_each_number_once),
        cmocka_unit_test(keys_of_different_numbers_differ),
        cmocka_unit_test(keys_sort_as_their_numbers),
        cmocka_unit_test(zipf_ranks_come_in_their_shares),
        cmocka_unit_test(zipf_of_few_ranks_stays_below_their_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
