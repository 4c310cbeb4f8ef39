/* SPDX-License-Identifier: MIT
 * workload_test.c: each workload does to a store what its name says, however many threads share it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "keys.h"
#include "paced.h"
#include "workload.h"

enum { KEYS = 5000, VALUE_SIZE = 100 };

/* An engine that is a table of which keys are there, and counts what it is asked. */
static struct {
    pthread_mutex_t mutex;
    bool there[KEYS];
    uint64_t puts, removes, gets, hits, batches;
    uint64_t strangers; /* keys beyond the table, or with something behind their number */
    uint64_t last;
    bool in_order;
} table = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t number_of(bitcask_slice key)
{
    uint64_t number;
    memcpy(&number, key.data, sizeof number);
    number = __builtin_bswap64(number);
    for (size_t i = 8; i < key.size; i++)
        if (((const uint8_t *)key.data)[i] != 0)
            return UINT64_MAX;
    return number;
}

static void note(uint64_t number)
{
    table.in_order = table.in_order && number > table.last;
    table.last = number;
    table.strangers += number >= KEYS;
}

static int table_put(void *session, bitcask_slice key, bitcask_slice value)
{
    (void)session;
    uint64_t number = number_of(key);
    pthread_mutex_lock(&table.mutex);
    note(number);
    if (number < KEYS)
        table.there[number] = value.size == VALUE_SIZE;
    table.puts++;
    pthread_mutex_unlock(&table.mutex);
    return BENCH_OK;
}

static int table_remove(void *session, bitcask_slice key)
{
    (void)session;
    uint64_t number = number_of(key);
    pthread_mutex_lock(&table.mutex);
    bool found = number < KEYS && table.there[number];
    if (found)
        table.there[number] = false;
    table.removes++;
    pthread_mutex_unlock(&table.mutex);
    return found ? BENCH_OK : BENCH_MISSING;
}

static int table_get(void *session, bitcask_slice key, bitcask_slice *value)
{
    static const uint8_t bytes[VALUE_SIZE];
    (void)session;
    uint64_t number = number_of(key);
    pthread_mutex_lock(&table.mutex);
    note(number);
    bool found = number < KEYS && table.there[number];
    table.gets++;
    table.hits += found;
    pthread_mutex_unlock(&table.mutex);
    *value = bitcask_bytes(bytes, sizeof bytes);
    return found ? BENCH_OK : BENCH_MISSING;
}

static int table_batch_write(void *session)
{
    (void)session;
    pthread_mutex_lock(&table.mutex);
    table.batches++;
    pthread_mutex_unlock(&table.mutex);
    return BENCH_OK;
}

static void *table_session_new(void *store)
{
    (void)store;
    return malloc(1);
}

static const struct bench_engine engine = {
    .name = "table",
    .session_new = table_session_new,
    .session_free = free,
    .put = table_put,
    .remove = table_remove,
    .get = table_get,
    .batch_put = table_put,
    .batch_remove = table_remove,
    .batch_write = table_batch_write,
};

static uint8_t values[BENCH_VALUE_POOL_SIZE + VALUE_SIZE];
static atomic_bool never;

static struct bench_setup setup_of(unsigned threads, uint64_t batch)
{
    return (struct bench_setup){.engine = &engine,
                                .keys = KEYS,
                                .key_size = 16,
                                .value_size = VALUE_SIZE,
                                .batch = batch,
                                .threads = threads,
                                .seed = 1,
                                .values = values,
                                .stop = &never};
}

static void empty_table(bool there)
{
    memset(table.there, there, sizeof table.there);
    table.puts = table.removes = table.gets = table.hits = table.batches = 0;
    table.strangers = 0;
    table.last = 0;
    table.in_order = true;
}

static struct bench_result run(enum bench_workload workload, unsigned threads, uint64_t batch)
{
    struct bench_setup setup = setup_of(threads, batch);
    struct bench_result result;
    assert_true(bench_run(&setup, workload, &result));
    assert_int_equal(result.status, 0);
    assert_int_equal(result.unexpected, 0);
    assert_int_equal(result.operations, KEYS);
    assert_true(result.seconds > 0);
    return result;
}

static void fill_puts_every_key_once(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 3; threads++)
        for (uint64_t batch = 1; batch <= 700; batch += 233) {
            empty_table(false);
            run(BENCH_FILL, threads, batch);
            assert_int_equal(table.puts, KEYS);
            assert_int_equal(table.strangers, 0);
            assert_true(!table.in_order);
            for (size_t i = 0; i < KEYS; i++)
                assert_true(table.there[i]);
            assert_true(batch > 1 ? table.batches >= KEYS / batch : table.batches == 0);
        }
}

static void fill_seq_puts_keys_in_order(void **state)
{
    (void)state;
    empty_table(false);
    table.last = UINT64_MAX; /* the first is 0 */
    table.in_order = true;
    struct bench_setup setup = setup_of(1, 1);
    struct bench_result result;
    assert_true(bench_run(&setup, BENCH_FILL_SEQ, &result));
    assert_int_equal(table.last, KEYS - 1);
    assert_int_equal(table.puts, KEYS);
}

static void reads_find_what_is_there(void **state)
{
    (void)state;
    static const enum bench_workload reads[] = {BENCH_READ, BENCH_READ_SEQ, BENCH_READ_ZIPF,
                                                BENCH_READ_MANY};
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        empty_table(true);
        struct bench_result result = run(reads[i], 2, 1);
        assert_int_equal(table.gets, KEYS);
        assert_int_equal(table.hits, KEYS);
        assert_int_equal(result.bytes, KEYS * (16 + VALUE_SIZE));
    }
}

static void missing_keys_are_never_there(void **state)
{
    (void)state;
    empty_table(true);
    run(BENCH_MISSING_KEYS, 2, 1);
    assert_int_equal(table.gets, KEYS);
    assert_int_equal(table.hits, 0);
}

static void keys_not_found_are_unexpected(void **state)
{
    (void)state;
    struct bench_setup setup = setup_of(1, 1);
    struct bench_result result;
    empty_table(false);
    assert_true(bench_run(&setup, BENCH_READ, &result));
    assert_int_equal(result.unexpected, KEYS);
    assert_true(bench_run(&setup, BENCH_DELETE, &result));
    assert_int_equal(result.unexpected, KEYS);
}

static void delete_removes_every_key_once(void **state)
{
    (void)state;
    for (uint64_t batch = 1; batch <= 100; batch += 99) {
        empty_table(true);
        run(BENCH_DELETE, 2, batch);
        assert_int_equal(table.removes, KEYS);
        for (size_t i = 0; i < KEYS; i++)
            assert_true(!table.there[i]);
    }
}

static void view_is_refused_by_an_engine_without(void **state)
{
    (void)state;
    struct bench_setup setup = setup_of(1, 1);
    struct bench_result result;
    assert_false(bench_run(&setup, BENCH_VIEW, &result));
}

static void a_set_stop_ends_a_run_at_once(void **state)
{
    (void)state;
    atomic_bool stop = true;
    struct bench_setup setup = setup_of(2, 1);
    struct bench_result result;
    setup.stop = &stop;
    assert_true(bench_run(&setup, BENCH_READ, &result));
    assert_int_equal(result.operations, 0);
}

static void paced_puts_and_gets_by_turns(void **state)
{
    (void)state;
    struct bench_setup setup = setup_of(1, 1);
    struct paced_setup paced = {.bench = &setup, .rate = 1000000, .seconds = 0.01};
    struct paced_result *result = malloc(sizeof *result);
    assert_non_null(result);
    empty_table(true);
    assert_true(paced_run(&paced, result));
    assert_int_equal(result->operations, 10000);
    assert_int_equal(table.puts, 5000);
    assert_int_equal(table.gets, 5000);
    assert_int_equal(result->puts_ns.total, 5000);
    assert_int_equal(result->gets_ns.total, 5000);
    assert_int_equal(result->unexpected, 0);
    assert_true(result->seconds >= 0.0099); /* the last is not before it is due */
    free(result);
}

/* An engine whose first get takes 20 ms: the others, due meanwhile, have waited for it. */
static int slow_get(void *session, bitcask_slice key, bitcask_slice *value)
{
    if (table.gets == 0) {
        struct timespec pause = {.tv_nsec = 20000000};
        while (nanosleep(&pause, &pause) != 0)
            ;
    }
    return table_get(session, key, value);
}

static void paced_counts_the_wait_for_a_slow_call(void **state)
{
    (void)state;
    struct bench_engine slow = engine;
    slow.get = slow_get;
    struct bench_setup setup = setup_of(1, 1);
    setup.engine = &slow;
    struct paced_setup paced = {.bench = &setup, .rate = 10000, .seconds = 0.02};
    struct paced_result *result = malloc(sizeof *result);
    assert_non_null(result);
    empty_table(true);
    assert_true(paced_run(&paced, result));
    assert_int_equal(result->operations, 200);
    /* Half of the puts were due in the first half of those 20 ms, so that they waited for 10. */
    assert_true(histogram_quantile(&result->puts_ns, 0.5) >= 9000000);
    free(result);
}

static void a_slow_call_is_in_the_maximum_though_it_is_not_clocked_by_itself(void **state)
{
    (void)state;
    struct bench_engine slow = engine;
    slow.get = slow_get; /* the first, and the 64th is the first to be clocked */
    struct bench_setup setup = setup_of(1, 1);
    struct bench_result result;
    setup.engine = &slow;
    empty_table(true);
    assert_true(bench_run(&setup, BENCH_READ, &result));
    assert_true(result.max_ns >= 19000000);
    setup.operations = 10; /* none is clocked by itself */
    empty_table(true);
    assert_true(bench_run(&setup, BENCH_READ, &result));
    assert_int_equal(result.operations, 10);
    assert_true(result.max_ns >= 19000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fill_puts_every_key_once),
        cmocka_unit_test(fill_seq_puts_keys_in_order),
        cmocka_unit_test(reads_find_what_is_there),
        cmocka_unit_test(missing_keys_are_never_there),
        cmocka_unit_test(keys_not_found_are_unexpected),
        cmocka_unit_test(delete_removes_every_key_once),
        cmocka_unit_test(view_is_refused_by_an_engine_without),
        cmocka_unit_test(a_set_stop_ends_a_run_at_once),
        cmocka_unit_test(paced_puts_and_gets_by_turns),
        cmocka_unit_test(paced_counts_the_wait_for_a_slow_call),
        cmocka_unit_test(a_slow_call_is_in_the_maximum_though_it_is_not_clocked_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
