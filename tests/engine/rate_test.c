/* SPDX-License-Identifier: MIT
 * rate_test.c: a token bucket on a clock that only the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/rate.h"

static const uint64_t START = 1000000000, SECOND = 1000000;

static struct rate bucket(uint64_t bytes_per_s)
{
    struct rate rate = {0};
    rate_set(&rate, bytes_per_s, START);
    return rate;
}

/* Charge and wait, as a merge does. Returns the time then. */
static uint64_t pass(struct rate *rate, uint64_t bytes, uint64_t now)
{
    rate_charge(rate, bytes, now);
    return now + rate_wait_us(rate, now);
}

static void no_limit_never_waits(void **state)
{
    (void)state;
    struct rate rate = {0};
    rate_charge(&rate, UINT64_MAX, START);
    assert_int_equal(rate_wait_us(&rate, START), 0);
}

static void bytes_take_their_time_to_the_microsecond(void **state)
{
    (void)state;
    struct rate rate = bucket(3);
    uint64_t now = START;
    for (unsigned i = 0; i < 300; i++) /* a byte a third of a second: no third gets lost */
        now = pass(&rate, 1, now);
    assert_int_equal(now, START + 100 * SECOND);
}

static void sizes_of_charges_do_not_matter(void **state)
{
    (void)state;
    struct rate one = bucket(1 << 20), many = bucket(1 << 20);
    uint64_t now = START;
    for (unsigned i = 0; i < 1000; i++)
        now = pass(&many, 12345, now);
    assert_int_equal(now, pass(&one, 12345 * 1000, START));
}

static void idling_saves_up_no_more_than_the_burst(void **state)
{
    (void)state;
    struct rate rate = bucket(1000);
    uint64_t now = pass(&rate, 1000, START);
    now += 3600 * SECOND;
    assert_int_equal(pass(&rate, 100, now), now); /* a tenth of a second's worth */
    assert_int_equal(pass(&rate, 1000, now), now + SECOND);
}

static void waking_late_is_made_up_for(void **state)
{
    (void)state;
    struct rate rate = bucket(1000);
    uint64_t now = START;
    for (unsigned i = 0; i < 100; i++)
        now = pass(&rate, 1000, now) + 50000; /* each wait lasts 50 ms too long */
    assert_int_equal(now, START + 100 * SECOND + 50000);
}

static void a_new_limit_holds_for_what_is_owed(void **state)
{
    (void)state;
    struct rate rate = bucket(1000);
    rate_charge(&rate, 10000, START);
    assert_int_equal(rate_wait_us(&rate, START), 10 * SECOND);
    rate_set(&rate, 5000, START + 5 * SECOND); /* 5000 bytes are owed */
    assert_int_equal(rate_wait_us(&rate, START + 5 * SECOND), SECOND);
    rate_set(&rate, 0, START + 5 * SECOND);
    assert_int_equal(rate_wait_us(&rate, START + 5 * SECOND), 0);
    rate_set(&rate, 7, START + 6 * SECOND); /* nothing is owed from before */
    assert_int_equal(rate_wait_us(&rate, START + 6 * SECOND), 0);
}

static void absurd_charges_do_not_overflow(void **state)
{
    (void)state;
    struct rate rate = bucket(1);
    rate_charge(&rate, UINT64_MAX, START);
    rate_charge(&rate, UINT64_MAX, START);
    assert_true(rate_wait_us(&rate, START) >= 365ull * 24 * 3600 * SECOND);
    rate_set(&rate, UINT64_MAX, START);
    assert_true(rate_wait_us(&rate, START) <= SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit_never_waits),
        cmocka_unit_test(bytes_take_their_time_to_the_microsecond),
        cmocka_unit_test(sizes_of_charges_do_not_matter),
        cmocka_unit_test(idling_saves_up_no_more_than_the_burst),
        cmocka_unit_test(waking_late_is_made_up_for),
        cmocka_unit_test(a_new_limit_holds_for_what_is_owed),
        cmocka_unit_test(absurd_charges_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
