/* SPDX-License-Identifier: MIT
 * processor_test.c: a thread lets others first, and keeps off a processor; or the system will not
 * have it, and nothing happens. The program is linked with --wrap for what it calls (meson.build).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/processor.h"

/* A system in which threads run where this says; `refuses` what changes anything. */
static struct {
    bool refuses;
    int now, nice;
    cpu_set_t allowed;
    cpu_set_t set[4]; /* what was asked for, in order */
    int set_count;
    bool moved_by_others; /* to processor 7, as soon as we have moved */
} machine;

int __wrap_sched_getcpu(void);
int __wrap_sched_getaffinity(pid_t thread, size_t size, cpu_set_t *set);
int __wrap_sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set);
int __wrap_getpriority(int which, id_t who);
int __wrap_setpriority(int which, id_t who, int nice);

int __wrap_sched_getcpu(void)
{
    return machine.now;
}

int __wrap_sched_getaffinity(pid_t thread, size_t size, cpu_set_t *set)
{
    assert_int_equal(thread, 0);
    assert_int_equal(size, sizeof *set);
    *set = machine.allowed;
    return 0;
}

int __wrap_sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set)
{
    assert_int_equal(thread, 0);
    assert_int_equal(size, sizeof *set);
    assert_true(machine.set_count < 4);
    machine.set[machine.set_count++] = *set;
    if (machine.refuses) {
        errno = EPERM;
        return -1;
    }
    machine.allowed = *set;
    if (machine.moved_by_others) {
        CPU_ZERO(&machine.allowed);
        CPU_SET(7, &machine.allowed);
    }
    return 0;
}

int __wrap_getpriority(int which, id_t who)
{
    assert_int_equal(which, PRIO_PROCESS);
    assert_int_equal(who, syscall(SYS_gettid));
    return machine.nice;
}

int __wrap_setpriority(int which, id_t who, int nice)
{
    assert_int_equal(which, PRIO_PROCESS);
    assert_int_equal(who, syscall(SYS_gettid)); /* this thread's, not the process's */
    if (machine.refuses) {
        errno = EACCES;
        return -1;
    }
    machine.nice = nice;
    return 0;
}

static void begin(int processors, int now)
{
    CPU_ZERO(&machine.allowed);
    for (int i = 0; i < processors; i++)
        CPU_SET(i, &machine.allowed);
    machine.now = now;
    machine.nice = machine.set_count = 0;
    machine.refuses = machine.moved_by_others = false;
}

static void others_go_first_by_five_steps(void **state)
{
    (void)state;
    begin(2, 0);
    machine.nice = -3;
    assert_true(processor_let_others_first());
    assert_int_equal(machine.nice, 2);
    machine.nice = 17;
    assert_true(processor_let_others_first());
    assert_int_equal(machine.nice, 19);
}

static void *be_in_no_hurry(void *nice)
{
    *(int *)nice = processor_let_others_first() ? machine.nice : -1;
    return NULL;
}

static void it_is_the_thread_that_asks(void **state)
{
    (void)state;
    pthread_t thread;
    int nice = 0;
    begin(2, 0);
    assert_int_equal(pthread_create(&thread, NULL, be_in_no_hurry, &nice), 0);
    pthread_join(thread, NULL);
    assert_int_equal(nice, 5);
}

static void who_is_refused_goes_on_as_before(void **state)
{
    (void)state;
    begin(2, 1);
    machine.refuses = true;
    assert_false(processor_let_others_first());
    assert_int_equal(machine.nice, 0);
    processor_keep_off(1);
    assert_int_equal(machine.set_count, 1);
    assert_int_equal(CPU_COUNT(&machine.allowed), 2);
}

static void a_thread_moves_and_may_go_anywhere_then(void **state)
{
    (void)state;
    begin(4, 2);
    processor_keep_off(2);
    assert_int_equal(machine.set_count, 2);
    assert_int_equal(CPU_COUNT(&machine.set[0]), 3);
    assert_false(CPU_ISSET(2, &machine.set[0]));
    assert_int_equal(CPU_COUNT(&machine.set[1]), 4);
}

static void elsewhere_it_stays(void **state)
{
    (void)state;
    begin(4, 2);
    processor_keep_off(1);
    processor_keep_off(-1);
    machine.now = CPU_SETSIZE;
    processor_keep_off(CPU_SETSIZE);
    machine.now = -1; /* it is not known */
    processor_keep_off(-1);
    assert_int_equal(machine.set_count, 0);
}

static void with_one_processor_it_stays(void **state)
{
    (void)state;
    begin(1, 0);
    processor_keep_off(0);
    assert_int_equal(machine.set_count, 0);
}

static void what_others_decide_meanwhile_holds(void **state)
{
    (void)state;
    begin(4, 2);
    machine.moved_by_others = true;
    processor_keep_off(2);
    assert_int_equal(machine.set_count, 1);
    assert_int_equal(CPU_COUNT(&machine.allowed), 1);
    assert_true(CPU_ISSET(7, &machine.allowed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_go_first_by_five_steps),
        cmocka_unit_test(it_is_the_thread_that_asks),
        cmocka_unit_test(who_is_refused_goes_on_as_before),
        cmocka_unit_test(a_thread_moves_and_may_go_anywhere_then),
        cmocka_unit_test(elsewhere_it_stays),
        cmocka_unit_test(with_one_processor_it_stays),
        cmocka_unit_test(what_others_decide_meanwhile_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
