/* SPDX-License-Identifier: MIT
 * pace_test.c: work at a chosen rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/pace.h"

static void without_a_rate_nothing_waits(void **state)
{
    (void)state;
    struct pace pace = {0};
    assert_int_equal(pace_spend(&pace, UINT64_MAX, 1000), 0);
    assert_int_equal(pace_chunk(&pace), PACE_CHUNK_MAX);
}

static void bytes_take_their_time(void **state)
{
    (void)state;
    const uint64_t now = 10000000;
    struct pace pace = {.rate = {.bytes_per_s = 1000}};
    assert_int_equal(pace_spend(&pace, 500, now), 500000 - RATE_BURST_US);
    assert_int_equal(pace_spend(&pace, 500, now), 1000000 - RATE_BURST_US);
}

static void a_slow_rate_overflows_nothing(void **state)
{
    (void)state;
    struct pace pace = {.rate = {.bytes_per_s = 1}};
    assert_true(pace_spend(&pace, UINT64_MAX, 0) > 0);
    assert_int_equal(pace_chunk(&pace), PACE_CHUNK_MIN);
}

static void a_fast_rate_goes_by_large_chunks(void **state)
{
    (void)state;
    struct pace pace = {.rate = {.bytes_per_s = UINT64_C(1) << 40}};
    assert_int_equal(pace_chunk(&pace), PACE_CHUNK_MAX);
    pace.rate.bytes_per_s = 5 << 20;
    assert_int_equal(pace_chunk(&pace), (5 << 20) / 10);
}

static int stop_at_once(void *context)
{
    ++*(int *)context;
    return 1;
}

static void who_waits_can_be_stopped(void **state)
{
    (void)state;
    int asked = 0;
    assert_false(pace_wait(UINT64_MAX, stop_at_once, &asked));
    assert_int_equal(asked, 1);
    assert_true(pace_wait(0, stop_at_once, &asked));
    assert_true(pace_wait(1, NULL, NULL)); /* or not, if there is nobody to ask */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_rate_nothing_waits),
        cmocka_unit_test(bytes_take_their_time),
        cmocka_unit_test(a_slow_rate_overflows_nothing),
        cmocka_unit_test(a_fast_rate_goes_by_large_chunks),
        cmocka_unit_test(who_waits_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
