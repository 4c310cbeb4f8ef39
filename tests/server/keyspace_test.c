/* SPDX-License-Identifier: MIT
 * keyspace_test.c: what commands see of the store: many writers, expiry, batches, all keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "flush.h"
#include "gate.h"
#include "keyspace.h"
#include "metrics.h"
#include "output.h"
#include "server_fixture.h"

enum { THREADS = 4, ROUNDS = 500 };

static struct server *server;
static struct client *clients[THREADS];

static int set_up(void **state)
{
    (void)state;
    server = fixture_server(THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        if ((clients[i] = client_new(server, i)) == NULL)
            return 1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        client_free(clients[i]);
    fixture_server_free(server);
    return 0;
}

#define ASKS(words, expected) assert_string_equal(fixture_command(clients[0], words), expected)

/* ---- Many writers ---------------------------------------------------------------------------- */

/* Each thread its own client; replies are dropped. */
static void run_each(void *(*run)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, clients[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void feed(struct client *client, const char *request)
{
    client_feed(client, request, strlen(request));
    output_cut(client->out, 0);
}

static void *count_up(void *context)
{
    for (int i = 0; i < ROUNDS; i++)
        feed(context, "INCR n\r\nAPPEND text x\r\n");
    return NULL;
}

static void no_increment_and_no_appended_byte_is_lost(void **state)
{
    (void)state;
    char expected[32];
    run_each(count_up);
    snprintf(expected, sizeof expected, ":%d\r\n", THREADS * ROUNDS + 1);
    ASKS("INCR n", expected);
    snprintf(expected, sizeof expected, ":%d\r\n", THREADS * ROUNDS);
    ASKS("STRLEN text", expected);
}

static void *transfer(void *context)
{
    for (int i = 0; i < ROUNDS; i++)
        feed(context, "MULTI\r\nDECR left\r\nINCR right\r\nEXEC\r\n");
    return NULL;
}

static atomic_bool done;
static atomic_int halves;

/* Sees the two of one moment only. */
static void *look(void *context)
{
    struct client *client = context;
    while (!done) {
        bitcask_slice keys[] = {bitcask_str("left"), bitcask_str("right")};
        bitcask_view views[2];
        bitcask_status each[2];
        gate_enter(server->gate, client->slot);
        if (keyspace_get_many(client, keys, 2, views, each) == BITCASK_OK &&
            each[0] == BITCASK_OK && each[1] == BITCASK_OK) {
            char left[32], right[32];
            snprintf(left, sizeof left, "%.*s", (int)views[0].value.size,
                     (const char *)views[0].value.data);
            snprintf(right, sizeof right, "%.*s", (int)views[1].value.size,
                     (const char *)views[1].value.data);
            halves += atoi(left) + atoi(right) != 0;
        }
        gate_leave(server->gate, client->slot);
        keyspace_release(&views[0]);
        keyspace_release(&views[1]);
    }
    return NULL;
}

static void nobody_sees_half_of_a_transaction(void **state)
{
    (void)state;
    pthread_t reader, writers[THREADS - 1];
    ASKS("MSET left 0 right 0", "+OK\r\n");
    done = false;
    halves = 0;
    assert_int_equal(pthread_create(&reader, NULL, look, clients[THREADS - 1]), 0);
    for (int i = 0; i < THREADS - 1; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, transfer, clients[i]), 0);
    for (int i = 0; i < THREADS - 1; i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    done = true;
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(halves, 0);
    char expected[32];
    snprintf(expected, sizeof expected, "$4\r\n%d\r\n", (THREADS - 1) * ROUNDS);
    ASKS("GET right", expected);
}

static atomic_int winners;

static void *set_if_none(void *context)
{
    struct client *client = context;
    char request[64];
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(request, sizeof request, "MSETNX a%d 1 b%d 1\r\n", i, i);
        client_feed(client, request, strlen(request));
        if (client->out->size >= 4 && memcmp(client->out->data, ":1\r\n", 4) == 0)
            winners++;
        output_cut(client->out, 0);
    }
    return NULL;
}

static void one_of_several_msetnx_wins(void **state)
{
    (void)state;
    winners = 0;
    run_each(set_if_none);
    assert_int_equal(winners, ROUNDS);
}

/* One who writes between every look at the key and every try to change it, for a while. */
struct rival {
    int calls, until;
    char text[32];
};

static enum keyspace_change change_against(void *context, const bitcask_view *old,
                                           bitcask_slice *result, struct keyspace_write *write)
{
    struct rival *rival = context;
    bitcask_slice key = bitcask_str("contended");
    if (++rival->calls <= rival->until) {
        bitcask_status status =
            bitcask_put(server->store, key, bitcask_str("rival"), NULL, NULL, NULL);
        assert_int_equal(status, BITCASK_OK);
    }
    int size = snprintf(rival->text, sizeof rival->text, "%.*s+", (int)old->value.size,
                        (const char *)old->value.data);
    *result = bitcask_bytes(rival->text, (size_t)size);
    write->event = "set";
    return KEYSPACE_WRITE;
}

static void who_always_loses_goes_alone_in_the_end(void **state)
{
    (void)state;
    ASKS("SET contended first", "+OK\r\n");
    struct rival rival = {.until = KEYSPACE_TRIES + 5};
    gate_enter(server->gate, 0);
    bitcask_status status =
        keyspace_update(clients[0], bitcask_str("contended"), change_against, &rival);
    gate_leave(server->gate, 0);
    assert_int_equal(status, BITCASK_OK);
    assert_int_equal(rival.calls, KEYSPACE_TRIES + 6);
    ASKS("GET contended", "$6\r\nrival+\r\n");
}

/* ---- Expiry ---------------------------------------------------------------------------------- */

static void a_key_is_gone_by_the_clients_clock(void **state)
{
    (void)state;
    bitcask_meta meta;
    struct client *client = clients[0];
    ASKS("SET k v EX 1000", "+OK\r\n");
    bitcask_slice key = bitcask_str("k");
    assert_int_equal(keyspace_stat(client, key, &meta), BITCASK_OK);
    assert_true(meta.expires_us > client->now_us + 999 * UINT64_C(1000000));
    assert_true(meta.expires_us % 1000 == 0);
    client->now_us = meta.expires_us - 1;
    assert_int_equal(keyspace_stat(client, key, &meta), BITCASK_OK);
    client->now_us = meta.expires_us;
    assert_int_equal(keyspace_stat(client, key, &meta), BITCASK_NOT_FOUND);
}

static void what_has_expired_before_it_came_deletes(void **state)
{
    (void)state;
    ASKS("SET k v", "+OK\r\n");
    ASKS("SET k w PXAT 1", "+OK\r\n");
    ASKS("DBSIZE", ":0\r\n");
    ASKS("GET k", "$-1\r\n");
}

static void counting_keeps_the_expiry_and_set_drops_it(void **state)
{
    (void)state;
    ASKS("SET n 1 PXAT 4102444800000", "+OK\r\n");
    ASKS("INCR n", ":2\r\n");
    ASKS("APPEND n 0", ":2\r\n");
    ASKS("SETRANGE n 0 3", ":2\r\n");
    ASKS("PEXPIRETIME n", ":4102444800000\r\n");
    ASKS("SET n 1", "+OK\r\n");
    ASKS("PEXPIRETIME n", ":-1\r\n");
}

/* ---- All keys -------------------------------------------------------------------------------- */

enum { KEYS = 6000 };

static void fill(const char *prefix, int count)
{
    char request[64];
    for (int i = 0; i < count; i++) {
        snprintf(request, sizeof request, "SET %s%d v\r\n", prefix, i);
        feed(clients[0], request);
    }
}

/* Take the keys out of a SCAN's reply; gives its cursor. */
static unsigned long long take_keys(const char *reply, uint8_t *seen)
{
    unsigned long long cursor = 0;
    int length, count;
    assert_int_equal(sscanf(reply, "*2\r\n$%d\r\n%llu\r\n*%d\r\n", &length, &cursor, &count), 3);
    const char *at = strstr(reply, "\r\n*") + 3;
    for (int i = 0; i < count; i++) {
        at = strchr(strchr(at, '$'), '\n') + 1;
        if (memcmp(at, "stable", 6) == 0)
            seen[atoi(at + 6)] = 1;
        at = strchr(at, '\r') + 2;
    }
    return cursor;
}

static void scan_gives_what_is_there_throughout(const char *options)
{
    static uint8_t seen[KEYS];
    char request[128];
    unsigned long long cursor = 0;
    int calls = 0;
    memset(seen, 0, sizeof seen);
    do {
        snprintf(request, sizeof request, "SCAN %llu %s\r\n", cursor, options);
        cursor = take_keys(fixture_ask(clients[0], request), seen);
        /* Others come, change and go, and the store's table grows. */
        for (int i = 0; i < 20; i++) {
            snprintf(request, sizeof request, "SET other%d v\r\nSET stable%d w\r\nDEL other%d\r\n",
                     calls * 20 + i, (calls * 20 + i) % KEYS, calls * 20 + i - 30);
            feed(clients[1], request);
        }
        calls++;
    } while (cursor != 0);
    for (int i = 0; i < KEYS; i++)
        if (!seen[i])
            fail_msg("stable%d was not seen with '%s'", i, options);
    assert_true(calls > 1);
}

static void scan_keeps_its_guarantee_with_any_count(void **state)
{
    (void)state;
    fill("stable", KEYS);
    scan_gives_what_is_there_throughout("");
    scan_gives_what_is_there_throughout("COUNT 50");
    scan_gives_what_is_there_throughout("COUNT 777 MATCH stable*");
    scan_gives_what_is_there_throughout("COUNT 5000 TYPE string");
}

static void a_small_count_gives_few(void **state)
{
    (void)state;
    static uint8_t seen[KEYS];
    fill("stable", KEYS);
    memset(seen, 0, sizeof seen);
    assert_true(take_keys(fixture_command(clients[0], "SCAN 0 COUNT 10"), seen) != 0);
    int given = 0;
    for (int i = 0; i < KEYS; i++)
        given += seen[i];
    assert_in_range(given, 10, 60); /* a class of the hash is given as a whole */
}

static bool never_stop(void *context, uint64_t flushed)
{
    (void)context;
    (void)flushed;
    return true;
}

static void a_flush_spares_what_came_after_its_beginning(void **state)
{
    (void)state;
    uint64_t version, flushed;
    bitcask_error error;
    fill("old", 1000);
    assert_int_equal(flush_begin(server->store, &version, &error), BITCASK_OK);
    fill("new", 10);
    feed(clients[0], "SET old7 again\r\n");
    assert_int_equal(
        flush_all(server->store, version, BITCASK_SYNC_NONE, never_stop, NULL, &flushed, &error),
        BITCASK_OK);
    assert_int_equal(flushed, 999);
    ASKS("DBSIZE", ":11\r\n");
    ASKS("GET old7", "$5\r\nagain\r\n");
    ASKS("FLUSHALL", "+OK\r\n");
    ASKS("DBSIZE", ":0\r\n");
}

static void random_keys_are_those_that_are_there(void **state)
{
    (void)state;
    ASKS("RANDOMKEY", "$-1\r\n");
    ASKS("MSET a 1 b 2 c 3", "+OK\r\n");
    int seen[3] = {0};
    for (int i = 0; i < 1000 && (seen[0] == 0 || seen[1] == 0 || seen[2] == 0); i++) {
        const char *reply = fixture_command(clients[0], "RANDOMKEY");
        assert_true(reply[4] >= 'a' && reply[4] <= 'c' && reply[5] == '\r');
        seen[reply[4] - 'a']++;
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
}

/* ---- Limits, statistics ---------------------------------------------------------------------- */

static void keys_that_the_store_has_not_are_refused_on_writing(void **state)
{
    (void)state;
    char *request = malloc(80000);
    snprintf(request, 100, "*3\r\n$3\r\nSET\r\n$65536\r\n");
    size_t size = strlen(request);
    memset(request + size, 'k', 65536);
    strcpy(request + size + 65536, "\r\n$1\r\nv\r\n");
    assert_string_equal(fixture_ask(clients[0], request),
                        "-ERR the key is too long: 65536 bytes of at most 65535\r\n");
    free(request);
    ASKS("GET \"\"", "$-1\r\n");
    ASKS("DEL \"\"", ":0\r\n");
    ASKS("MSET a 1 \"\" 2", "-ERR the empty key is not supported: a key has at least one byte\r\n");
    ASKS("EXISTS a", ":0\r\n");
}

static void hits_misses_and_changes_are_counted(void **state)
{
    (void)state;
    ASKS("SET a 1", "+OK\r\n");
    ASKS("MGET a b", "*2\r\n$1\r\n1\r\n$-1\r\n");
    ASKS("STRLEN c", ":0\r\n");
    ASKS("INCR a", ":2\r\n");
    ASKS("DEL a b", ":1\r\n");
    assert_int_equal(metrics_sum(server->metrics, METRIC_KEYSPACE_HITS), 1);
    assert_int_equal(metrics_sum(server->metrics, METRIC_KEYSPACE_MISSES), 2);
    assert_int_equal(keyspace_changes(server->keyspace), 3);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(no_increment_and_no_appended_byte_is_lost),
        CASE(nobody_sees_half_of_a_transaction),
        CASE(one_of_several_msetnx_wins),
        CASE(who_always_loses_goes_alone_in_the_end),
        CASE(a_key_is_gone_by_the_clients_clock),
        CASE(what_has_expired_before_it_came_deletes),
        CASE(counting_keeps_the_expiry_and_set_drops_it),
        CASE(scan_keeps_its_guarantee_with_any_count),
        CASE(a_small_count_gives_few),
        CASE(a_flush_spares_what_came_after_its_beginning),
        CASE(random_keys_are_those_that_are_there),
        CASE(keys_that_the_store_has_not_are_refused_on_writing),
        CASE(hits_misses_and_changes_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
