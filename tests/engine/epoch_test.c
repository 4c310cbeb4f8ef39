/* SPDX-License-Identifier: MIT
 * epoch_test.c: nothing is released under a reader, and everything in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/epoch.h"
#include "os/barrier.h"

static struct epoch epoch;

/* ---- The barrier, counted and refused ---- */

static _Atomic int barriers;
static _Atomic bool refused;

bool __real_barrier_threads(void);
bool __wrap_barrier_threads(void);
bool __wrap_barrier_threads(void)
{
    atomic_fetch_add(&barriers, 1);
    return !refused && __real_barrier_threads();
}

struct thing {
    struct epoch_item item;
    _Atomic int released;
};

static void release_thing(struct epoch_item *item, void *context)
{
    struct thing *thing = (struct thing *)item;
    assert_ptr_equal(context, &epoch);
    atomic_fetch_add(&thing->released, 1);
}

static void retire(struct thing *thing)
{
    thing->item.release = release_thing;
    thing->item.context = &epoch;
    atomic_store(&thing->released, 0);
    epoch_retire(&epoch, &thing->item);
}

static int set_up(void **state)
{
    (void)state;
    epoch_init(&epoch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    epoch_release(&epoch);
    return 0;
}

static void released_by_poll_when_there_is_no_reader(void **state)
{
    (void)state;
    struct thing thing;
    retire(&thing);
    assert_int_equal(thing.released, 0);
    epoch_poll(&epoch);
    assert_int_equal(thing.released, 1);
    epoch_poll(&epoch);
    assert_int_equal(thing.released, 1);
}

static void kept_while_a_reader_from_before_is_inside(void **state)
{
    (void)state;
    struct thing thing;
    struct epoch_guard guard = epoch_enter(&epoch);
    retire(&thing);
    for (int i = 0; i < 10; i++)
        epoch_poll(&epoch);
    assert_int_equal(thing.released, 0);
    epoch_exit(guard);
    epoch_poll(&epoch);
    assert_int_equal(thing.released, 1);
}

static void reader_from_after_the_turn_does_not_hold_up(void **state)
{
    (void)state;
    struct thing thing;
    struct epoch_guard before = epoch_enter(&epoch);
    retire(&thing);
    epoch_poll(&epoch); /* turns the phase */
    struct epoch_guard after = epoch_enter(&epoch);
    epoch_exit(before);
    epoch_poll(&epoch);
    assert_int_equal(thing.released, 1);
    epoch_exit(after);
}

static void nested_reader_is_inside_until_the_outer_exit(void **state)
{
    (void)state;
    struct thing first, second;
    struct epoch_guard outer = epoch_enter(&epoch);
    retire(&first);
    epoch_poll(&epoch);
    struct epoch_guard inner = epoch_enter(&epoch);
    retire(&second);
    epoch_exit(inner);
    epoch_poll(&epoch);
    assert_int_equal(first.released, 0);
    assert_int_equal(second.released, 0);
    epoch_exit(outer);
    epoch_drain(&epoch);
    assert_int_equal(first.released, 1);
    assert_int_equal(second.released, 1);
}

static void reader_of_the_second_phase_holds_what_came_after_it(void **state)
{
    (void)state;
    struct thing first, second;
    retire(&first);
    epoch_poll(&epoch); /* the phase is 1 now */
    struct epoch_guard guard = epoch_enter(&epoch);
    retire(&second);
    for (int i = 0; i < 10; i++)
        epoch_poll(&epoch);
    assert_int_equal(first.released, 1);
    assert_int_equal(second.released, 0);
    epoch_exit(guard);
    epoch_poll(&epoch);
    assert_int_equal(second.released, 1);
}

static void drain_releases_all_that_was_retired(void **state)
{
    (void)state;
    struct thing things[3];
    struct epoch_guard guard = epoch_enter(&epoch);
    retire(&things[0]);
    epoch_poll(&epoch); /* being drained now */
    retire(&things[1]);
    retire(&things[2]);
    epoch_exit(guard);
    epoch_drain(&epoch);
    for (int i = 0; i < 3; i++)
        assert_int_equal(things[i].released, 1);
}

static void retire_again(struct epoch_item *item, void *context)
{
    struct thing *other = context;
    (void)item;
    retire(other);
    epoch_poll(&epoch);
}

static void release_function_may_retire_and_poll(void **state)
{
    (void)state;
    struct thing first, second;
    atomic_store(&second.released, 0);
    first.item.release = retire_again;
    first.item.context = &second;
    epoch_retire(&epoch, &first.item);
    while (atomic_load(&second.released) == 0)
        epoch_poll(&epoch);
    assert_int_equal(second.released, 1);
}

/* ---- The barrier ---- */

static void threads_pass_a_barrier_at_each_turn(void **state)
{
    (void)state;
    if (!barrier_init())
        return; /* then no thread owns a line: nothing depends on it */
    for (int i = 1; i <= 3; i++) {
        struct thing thing;
        atomic_store(&barriers, 0);
        retire(&thing);
        epoch_poll(&epoch);
        assert_int_equal(thing.released, 1);
        assert_int_equal(barriers, 1);
    }
}

static void nothing_is_released_while_the_barrier_is_refused(void **state)
{
    (void)state;
    struct thing first, second;
    if (!barrier_init())
        return;
    atomic_store(&refused, true);
    retire(&first);
    epoch_poll(&epoch);
    epoch_drain(&epoch);
    assert_int_equal(first.released, 0);
    atomic_store(&refused, false);
    epoch_poll(&epoch);
    assert_int_equal(first.released, 1);

    atomic_store(&refused, true);
    retire(&first);
    epoch_poll(&epoch);
    retire(&second);
    epoch_release(&epoch);
    assert_int_equal(first.released, 1);
    assert_int_equal(second.released, 1);
    atomic_store(&refused, false);
    epoch_init(&epoch);
}

/* ---- Lines for threads ---- */

enum { MANY_THREADS = EPOCH_OWNED + 40 };

static pthread_barrier_t inside, leave;

static void *stay_inside(void *context)
{
    (void)context;
    struct epoch_guard guard = epoch_enter(&epoch);
    pthread_barrier_wait(&inside);
    pthread_barrier_wait(&leave);
    epoch_count(guard, &guard.stripe->gets, 1);
    epoch_exit(guard);
    return NULL;
}

static void more_threads_than_lines_are_all_waited_for(void **state)
{
    (void)state;
    pthread_t threads[MANY_THREADS];
    struct thing thing;
    pthread_barrier_init(&inside, NULL, MANY_THREADS + 1);
    pthread_barrier_init(&leave, NULL, MANY_THREADS + 1);
    for (int i = 0; i < MANY_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stay_inside, NULL), 0);
    pthread_barrier_wait(&inside);
    retire(&thing);
    epoch_poll(&epoch);
    assert_int_equal(thing.released, 0);
    uint64_t readers = 0, gets = 0;
    for (int i = 0; i < EPOCH_STRIPES; i++)
        readers += epoch.stripes[i].readers[0] + epoch.stripes[i].readers[1];
    assert_int_equal(readers, MANY_THREADS);
    pthread_barrier_wait(&leave);
    for (int i = 0; i < MANY_THREADS; i++)
        pthread_join(threads[i], NULL);
    epoch_poll(&epoch);
    assert_int_equal(thing.released, 1);
    for (int i = 0; i < EPOCH_STRIPES; i++)
        gets += epoch.stripes[i].gets;
    assert_int_equal(gets, MANY_THREADS);
    pthread_barrier_destroy(&inside);
    pthread_barrier_destroy(&leave);
}

static void *pass_through(void *context)
{
    struct epoch_guard guard = epoch_enter(&epoch);
    *(bool *)context = guard.owned;
    epoch_exit(guard);
    return NULL;
}

static void line_of_a_thread_that_has_ended_goes_to_another(void **state)
{
    (void)state;
    if (!barrier_init())
        return;
    for (int i = 0; i < 3 * EPOCH_OWNED; i++) {
        pthread_t thread;
        bool owned = false;
        assert_int_equal(pthread_create(&thread, NULL, pass_through, &owned), 0);
        pthread_join(thread, NULL);
        assert_true(owned);
    }
}

/* ---- Threads: readers follow a pointer that a writer keeps replacing ---- */

enum { READERS = 4, REPLACEMENTS = 20000, ALIVE = 0x600d, DEAD = 0xdead };

struct node {
    struct epoch_item item;
    int value; /* not atomic: a release under a reader is a race that ThreadSanitizer sees */
};

static _Atomic(struct node *) shared;
static _Atomic int stop, dead_seen;
static _Atomic uint64_t nodes_released;

static void release_node(struct epoch_item *item, void *context)
{
    struct node *node = (struct node *)item;
    (void)context;
    node->value = DEAD;
    free(node);
    atomic_fetch_add(&nodes_released, 1);
}

static struct node *new_node(void)
{
    struct node *node = calloc(1, sizeof *node);
    node->item.release = release_node;
    node->value = ALIVE;
    return node;
}

static void *read_until_stopped(void *context)
{
    (void)context;
    while (!atomic_load(&stop)) {
        struct epoch_guard outer = epoch_enter(&epoch);
        struct node *node = atomic_load(&shared);
        struct epoch_guard inner = epoch_enter(&epoch);
        if (atomic_load(&shared)->value != ALIVE)
            atomic_store(&dead_seen, 1);
        epoch_exit(inner);
        if (node->value != ALIVE)
            atomic_store(&dead_seen, 1);
        epoch_exit(outer);
    }
    return NULL;
}

static void *replace_many(void *context)
{
    (void)context;
    for (int i = 0; i < REPLACEMENTS; i++) {
        struct node *old = atomic_exchange(&shared, new_node());
        epoch_retire(&epoch, &old->item);
        if (i % 1000 == 999)
            epoch_drain(&epoch);
        else
            epoch_poll(&epoch);
    }
    return NULL;
}

static void readers_never_meet_released_memory(void **state)
{
    (void)state;
    pthread_t readers[READERS], writers[2];
    atomic_store(&stop, 0);
    atomic_store(&dead_seen, 0);
    atomic_store(&nodes_released, 0);
    atomic_store(&shared, new_node());
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_until_stopped, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, replace_many, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&stop, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    epoch_drain(&epoch);
    assert_int_equal(dead_seen, 0);
    assert_int_equal(nodes_released, 2 * REPLACEMENTS);
    free(atomic_load(&shared));
}

int main(void)
{
#define EPOCH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EPOCH_TEST(released_by_poll_when_there_is_no_reader),
        EPOCH_TEST(kept_while_a_reader_from_before_is_inside),
        EPOCH_TEST(reader_from_after_the_turn_does_not_hold_up),
        EPOCH_TEST(nested_reader_is_inside_until_the_outer_exit),
        EPOCH_TEST(reader_of_the_second_phase_holds_what_came_after_it),
        EPOCH_TEST(drain_releases_all_that_was_retired),
        EPOCH_TEST(release_function_may_retire_and_poll),
        EPOCH_TEST(threads_pass_a_barrier_at_each_turn),
        EPOCH_TEST(nothing_is_released_while_the_barrier_is_refused),
        EPOCH_TEST(more_threads_than_lines_are_all_waited_for),
        EPOCH_TEST(line_of_a_thread_that_has_ended_goes_to_another),
        EPOCH_TEST(readers_never_meet_released_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
