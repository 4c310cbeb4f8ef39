/* SPDX-License-Identifier: MIT
 * barrier_test.c: a barrier that the system knows, does not know, or has forgotten us for. */
#include "os/barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>

#include <cmocka.h>

/* ---- A system of our own --------------------------------------------------------------------- */

static struct {
    bool is_known, is_registered, refuses_after_all;
    int barriers;
} machine;

long __wrap_syscall(long number, int command, unsigned flags, int processor);
long __wrap_syscall(long number, int command, unsigned flags, int processor)
{
    assert_int_equal(number, SYS_membarrier);
    assert_int_equal(flags, 0);
    assert_int_equal(processor, 0);
    errno = EPERM;
    if (!machine.is_known)
        return -1;
    if (command == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) {
        machine.is_registered = true;
        return 0;
    }
    assert_int_equal(command, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    if (!machine.is_registered || machine.refuses_after_all)
        return -1;
    machine.barriers++;
    return 0;
}

static int begin(void **state)
{
    (void)state;
    machine.is_known = true;
    machine.is_registered = machine.refuses_after_all = false;
    machine.barriers = 0;
    return 0;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void who_has_registered_has_barriers(void **state)
{
    (void)state;
    if (!barrier_init())
        return; /* under ThreadSanitizer */
    assert_true(machine.is_registered);
    assert_true(barrier_threads());
    assert_int_equal(machine.barriers, 1);
}

/* A child of fork, for one. */
static void who_is_no_longer_registered_is_registered_again(void **state)
{
    (void)state;
    if (!barrier_init())
        return;
    machine.is_registered = false;
    assert_true(barrier_threads());
    assert_true(machine.is_registered);
    assert_int_equal(machine.barriers, 1);
}

static void where_there_is_no_such_call_there_is_no_barrier(void **state)
{
    (void)state;
    machine.is_known = false;
    assert_false(barrier_init());
    assert_false(barrier_threads());
}

static void a_system_that_has_come_to_refuse_is_told(void **state)
{
    (void)state;
    (void)barrier_init();
    machine.refuses_after_all = true;
    assert_false(barrier_threads());
    assert_int_equal(machine.barriers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_has_registered_has_barriers, begin),
        cmocka_unit_test_setup(who_is_no_longer_registered_is_registered_again, begin),
        cmocka_unit_test_setup(where_there_is_no_such_call_there_is_no_barrier, begin),
        cmocka_unit_test_setup(a_system_that_has_come_to_refuse_is_told, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
