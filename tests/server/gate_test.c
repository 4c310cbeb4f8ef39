/* SPDX-License-Identifier: MIT
 * gate_test.c: who is alone is alone, and nobody waits for ever. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gate.h"

enum { THREADS = 4, ROUNDS = 2000, ALONE_EVERY = 7 };

static struct gate *gate;
static atomic_int inside;
static atomic_int violations;
static long counted; /* by those who are alone */
static atomic_bool enough;

static void be_alone(unsigned slot)
{
    gate_become_alone(gate, slot);
    if (atomic_load(&inside) != 0)
        atomic_fetch_add(&violations, 1);
    counted++;
    gate_end_alone(gate, slot);
}

static void *work(void *context)
{
    unsigned slot = (unsigned)(uintptr_t)context;
    for (int i = 0; i < ROUNDS; i++) {
        gate_enter(gate, slot);
        if (i % ALONE_EVERY == 0) {
            be_alone(slot);
        } else {
            atomic_fetch_add(&inside, 1);
            atomic_fetch_sub(&inside, 1);
        }
        gate_leave(gate, slot);
    }
    return NULL;
}

static void nobody_is_inside_beside_one_who_is_alone(void **state)
{
    (void)state;
    gate = gate_new(THREADS);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(violations, 0);
    assert_int_equal(counted, THREADS * ((ROUNDS + ALONE_EVERY - 1) / ALONE_EVERY));
    gate_free(gate);
}

/* Enters and leaves without a pause until another one has been alone. */
static void *hurry(void *context)
{
    unsigned slot = (unsigned)(uintptr_t)context;
    while (!atomic_load(&enough)) {
        gate_enter(gate, slot);
        gate_leave(gate, slot);
    }
    return NULL;
}

static void a_hurried_thread_does_not_keep_another_from_being_alone(void **state)
{
    (void)state;
    gate = gate_new(3);
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, hurry, (void *)i);
    gate_enter(gate, 2);
    for (int i = 0; i < 100; i++) {
        gate_become_alone(gate, 2);
        gate_end_alone(gate, 2);
    }
    gate_leave(gate, 2);
    atomic_store(&enough, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    gate_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_inside_beside_one_who_is_alone),
        cmocka_unit_test(a_hurried_thread_does_not_keep_another_from_being_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
