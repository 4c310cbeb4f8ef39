/* SPDX-License-Identifier: MIT
 * write_mutex_test.c: the mutex of the writers, which comes to belong to who takes it again and
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "engine/write_mutex.h"

enum { OFTEN = 1000 };

struct fixture {
    struct epoch epoch;
    struct write_mutex mutex;
    uint64_t count; /* guarded by the mutex */
};

static void fixture_init(struct fixture *f)
{
    epoch_init(&f->epoch);
    write_mutex_init(&f->mutex, &f->epoch);
    f->count = 0;
}

static void fixture_release(struct fixture *f)
{
    write_mutex_destroy(&f->mutex);
    epoch_release(&f->epoch);
}

/* One step as of a write alone. Returns whether it was the owner's; *done whether it was. */
static bool step(struct fixture *f, bool *done)
{
    struct epoch_guard guard = epoch_enter(&f->epoch);
    bool owner = write_mutex_enter(&f->mutex, guard);
    *done = owner || write_mutex_tryenter(&f->mutex, guard);
    if (*done)
        f->count++;
    if (owner)
        write_mutex_exit(guard);
    else if (*done)
        write_mutex_unlock(&f->mutex);
    epoch_exit(guard);
    return owner;
}

/* False where nobody can become the owner: no barrier. */
static bool become_owner(struct fixture *f)
{
    bool owner = false, done;
    for (int i = 0; i < OFTEN; i++) {
        owner = step(f, &done);
        assert_true(done);
    }
    return owner;
}

static void *lock_once(void *context)
{
    struct fixture *f = context;
    write_mutex_lock(&f->mutex);
    f->count++;
    write_mutex_unlock(&f->mutex);
    return NULL;
}

static void *try_once(void *context)
{
    struct fixture *f = context;
    assert_true(write_mutex_trylock(&f->mutex));
    f->count++;
    write_mutex_unlock(&f->mutex);
    return NULL;
}

static void run_other(struct fixture *f, void *(*other)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other, f), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void another_thread_dismisses_the_owner(void **state)
{
    (void)state;
    struct fixture f;
    bool done;
    fixture_init(&f);
    void *(*others[])(void *) = {lock_once, try_once};
    for (int i = 0; i < 2; i++) {
        if (!become_owner(&f))
            break;
        run_other(&f, others[i]);
        assert_null(atomic_load(&f.mutex.owner));
        assert_false(step(&f, &done));
        assert_true(done);
    }
    (void)become_owner(&f);
    fixture_release(&f);
}

static void the_owner_stays_so_when_it_takes_the_mutex(void **state)
{
    (void)state;
    struct fixture f;
    bool done;
    fixture_init(&f);
    if (become_owner(&f)) {
        lock_once(&f);
        try_once(&f);
        assert_true(step(&f, &done));
    }
    fixture_release(&f);
}

static void what_is_held_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    (void)become_owner(&f);
    write_mutex_lock(&f.mutex);
    assert_false(write_mutex_trylock(&f.mutex));
    write_mutex_unlock(&f.mutex);
    fixture_release(&f);
}

/* All that is counted under the mutex stays counted, whoever is the owner just then. */
enum { THREADS = 3, STEPS = 200000 };

struct counter {
    struct fixture *f;
    unsigned pause; /* steps between two that take the mutex like any other */
    uint64_t counted;
    pthread_t thread;
};

static void *count_many(void *context)
{
    struct counter *counter = context;
    struct fixture *f = counter->f;
    for (unsigned i = 1; i <= STEPS; i++) {
        bool done = true;
        if (i % counter->pause == 0)
            lock_once(f);
        else
            (void)step(f, &done);
        counter->counted += done;
    }
    return NULL;
}

static void threads_exclude_each_other(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t counted = 0;
    struct counter counters[THREADS] = {{&f, 100000, 0, 0}, {&f, 3001, 0, 0}, {&f, 997, 0, 0}};
    fixture_init(&f);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&counters[i].thread, NULL, count_many, &counters[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(counters[i].thread, NULL), 0);
        counted += counters[i].counted;
    }
    assert_int_equal(f.count, counted);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_thread_dismisses_the_owner),
        cmocka_unit_test(the_owner_stays_so_when_it_takes_the_mutex),
        cmocka_unit_test(what_is_held_is_refused),
        cmocka_unit_test(threads_exclude_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
