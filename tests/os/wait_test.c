/* SPDX-License-Identifier: MIT
 * wait_test.c: words to sleep on. */
#include "os/wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SLEEPERS = 5 };

static _Atomic uint32_t word, other_word, awake;

static void who_comes_too_late_does_not_sleep(void **state)
{
    (void)state;
    atomic_store(&word, 2);
    wait_while(&word, 1); /* else the test hangs */
    assert_int_equal(atomic_load(&word), 2);
}

static void *sleep_until_it_changes(void *context)
{
    (void)context;
    while (atomic_load(&word) == 7)
        wait_while(&word, 7);
    atomic_fetch_add(&awake, 1);
    return NULL;
}

static void one_call_wakes_all_that_sleep_on_the_word(void **state)
{
    (void)state;
    pthread_t threads[SLEEPERS];
    atomic_store(&word, 7);
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(wait_start_thread(&threads[i], sleep_until_it_changes, NULL), 0);
    wait_wake(&word); /* for nothing: they look, and sleep again */
    wait_wake(&other_word);
    assert_int_equal(atomic_load(&awake), 0);
    atomic_store(&word, 8);
    wait_wake(&word);
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&awake), SLEEPERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_too_late_does_not_sleep),
        cmocka_unit_test(one_call_wakes_all_that_sleep_on_the_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
