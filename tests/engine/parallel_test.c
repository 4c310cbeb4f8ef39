/* SPDX-License-Identifier: MIT
 * parallel_test.c: each thing is done once, however many threads there are or can be had. */
#include "engine/parallel.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- A system of our own --------------------------------------------------------------------- */

static long processors; /* 0: what there are */
static int threads_left;

long __real_sysconf(int name);
long __wrap_sysconf(int name);
long __wrap_sysconf(int name)
{
    return name == _SC_NPROCESSORS_ONLN && processors != 0 ? processors : __real_sysconf(name);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument)
{
    return threads_left-- > 0 ? __real_pthread_create(thread, attributes, run, argument) : EAGAIN;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void as_many_threads_as_processors_within_bounds(void **state)
{
    (void)state;
    processors = 3;
    assert_int_equal(parallel_threads(0), 3);
    processors = 500;
    assert_int_equal(parallel_threads(0), PARALLEL_THREADS_MAX);
    processors = -1; /* not to be told */
    assert_int_equal(parallel_threads(0), 1);
    assert_int_equal(parallel_threads(2), 2);
    assert_int_equal(parallel_threads(PARALLEL_THREADS_MAX + 1), PARALLEL_THREADS_MAX);
    processors = 0;
}

enum { THINGS = 1000 };

static _Atomic int done[THINGS];
static _Atomic int interrupted; /* by a signal other than of what the thread has done itself */
static pthread_t caller;

static void do_thing(void *context, size_t index)
{
    sigset_t blocked;
    assert_ptr_equal(context, &done);
    atomic_fetch_add(&done[index], 1);
    if (pthread_equal(pthread_self(), caller))
        return;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    atomic_fetch_add(&interrupted, sigismember(&blocked, SIGTERM) != 1);
    atomic_fetch_add(&interrupted, sigismember(&blocked, SIGBUS) != 0);
}

static void check_all_done_once(unsigned threads, size_t count)
{
    memset(done, 0, sizeof done);
    parallel_each(threads, count, do_thing, &done);
    for (size_t i = 0; i < THINGS; i++)
        assert_int_equal(atomic_load(&done[i]), i < count);
    assert_int_equal(atomic_load(&interrupted), 0);
}

static void each_thing_is_done_once(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 2, PARALLEL_THREADS_MAX, 1000};
    caller = pthread_self();
    for (int had = 0; had < 3; had++) {
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            static const size_t things[] = {0, 2, THINGS};
            for (size_t k = 0; k < sizeof things / sizeof things[0]; k++) {
                threads_left = had;
                check_all_done_once(counts[i], things[k]);
            }
        }
    }
    threads_left = 1 << 20;
    check_all_done_once(1000, THINGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_threads_as_processors_within_bounds),
        cmocka_unit_test(each_thing_is_done_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
