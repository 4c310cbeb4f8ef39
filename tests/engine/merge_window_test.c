/* SPDX-License-Identifier: MIT
 * merge_window_test.c: hours of the day, over midnight too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/merge_window.h"

static const uint64_t HOUR = 3600ull * 1000000, DAY = 24 * 3600ull * 1000000;

static struct merge_window window(const char *text)
{
    struct merge_window window;
    assert_true(merge_window_parse(text, &window));
    return window;
}

static void without_hours_it_is_always_open(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "0-24", "00-24"};
    for (unsigned i = 0; i < 3; i++) {
        struct merge_window always = window(texts[i]);
        for (uint64_t hour = 0; hour < 48; hour++)
            assert_int_equal(merge_window_wait_us(&always, hour * HOUR), 0);
    }
}

static void it_opens_and_closes_on_the_hour(void **state)
{
    (void)state;
    struct merge_window morning = window("2-6");
    assert_int_equal(merge_window_wait_us(&morning, 0), 2 * HOUR);
    assert_int_equal(merge_window_wait_us(&morning, 2 * HOUR - 1), 1);
    assert_int_equal(merge_window_wait_us(&morning, 2 * HOUR), 0);
    assert_int_equal(merge_window_wait_us(&morning, 6 * HOUR - 1), 0);
    assert_int_equal(merge_window_wait_us(&morning, 6 * HOUR), 20 * HOUR);
    assert_int_equal(merge_window_wait_us(&morning, 1000 * DAY + 3 * HOUR), 0);
}

static void it_may_go_over_midnight(void **state)
{
    (void)state;
    struct merge_window night = window("22-06");
    assert_int_equal(merge_window_wait_us(&night, 21 * HOUR), HOUR);
    assert_int_equal(merge_window_wait_us(&night, 22 * HOUR), 0);
    assert_int_equal(merge_window_wait_us(&night, DAY - 1), 0);
    assert_int_equal(merge_window_wait_us(&night, DAY), 0);
    assert_int_equal(merge_window_wait_us(&night, 5 * HOUR), 0);
    assert_int_equal(merge_window_wait_us(&night, 6 * HOUR), 16 * HOUR);
}

static void it_may_end_at_midnight(void **state)
{
    (void)state;
    struct merge_window evening = window("22-24");
    assert_int_equal(merge_window_wait_us(&evening, 23 * HOUR), 0);
    assert_int_equal(merge_window_wait_us(&evening, 0), 22 * HOUR);
}

static void what_is_no_window_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"22",     "22-", "-6",    "22-25", "5-5",   "24-0",
                                        "22-06 ", "a-b", "222-6", "-",     "2 - 6", "22-06-07"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct merge_window window;
        if (merge_window_parse(texts[i], &window))
            fail_msg("'%s' was taken", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_hours_it_is_always_open),
        cmocka_unit_test(it_opens_and_closes_on_the_hour),
        cmocka_unit_test(it_may_go_over_midnight),
        cmocka_unit_test(it_may_end_at_midnight),
        cmocka_unit_test(what_is_no_window_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
