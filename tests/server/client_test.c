/* SPDX-License-Identifier: MIT
 * client_test.c: what becomes of a client's bytes; with stand-ins for the commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "network_stubs.h"
#include "output.h"

static struct server *server;
static struct client *client;
static bitcask_buffer text;

static int set_up(void **state)
{
    (void)state;
    server = stub_server();
    client = client_new(server, 0);
    return client == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    client_free(client);
    stub_server_free(server);
    bitcask_buffer_free(&text);
    return 0;
}

static void feed(const char *bytes)
{
    client_feed(client, bytes, strlen(bytes));
}

static void replies_are(const char *expected)
{
    assert_int_equal(output_take(client->out, &text), BITCASK_OK);
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static void requests_are_executed_as_they_become_whole(void **state)
{
    (void)state;
    feed("*2\r\n$4\r\nECHO\r\n$2\r\nh");
    replies_are("");
    feed("i\r\nECHO a\r\nEC");
    replies_are("$2\r\nhi\r\n$1\r\na\r\n");
    feed("HO b\r\n");
    replies_are("$1\r\nb\r\n");
    assert_null(client->in);
}

static void a_pipeline_is_given_as_one(void **state)
{
    (void)state;
    char bytes[300 * 22 + 1], expected[300 * 8 + 1];
    for (int i = 0; i < 300; i++) {
        memcpy(bytes + i * 22, "*2\r\n$4\r\nECHO\r\n$2\r\nab\r\n", 23);
        memcpy(expected + i * 8, "$2\r\nab\r\n", 9);
    }
    feed(bytes);
    replies_are(expected);
    assert_int_equal(stubs.dispatched, 300);
    assert_int_equal(stubs.pipelines, 3); /* of 128, 128 and 44 */
}

static void a_request_longer_than_the_pipeline_runs_by_itself(void **state)
{
    (void)state;
    static char bytes[40000];
    size_t size = (size_t)sprintf(bytes, "ECHO a\r\n*3001\r\n$5\r\nCOUNT\r\n");
    for (int i = 0; i < 3000; i++)
        size += (size_t)sprintf(bytes + size, "$1\r\nx\r\n");
    sprintf(bytes + size, "ECHO b\r\n");
    feed(bytes);
    replies_are("$1\r\na\r\n:3000\r\n$1\r\nb\r\n");
}

static void behind_quit_nothing_is_executed(void **state)
{
    (void)state;
    feed("ECHO a\r\nQUIT\r\nECHO b\r\n");
    replies_are("$1\r\na\r\n+OK\r\n");
    assert_true(client->flags & CLIENT_CLOSE_AFTER_REPLY);
    feed("ECHO c\r\n");
    replies_are("");
}

static void bad_bytes_are_answered_behind_the_replies_before_them(void **state)
{
    (void)state;
    feed("ECHO a\r\n*1\r\n:1\r\nECHO b\r\n");
    replies_are("$1\r\na\r\n-ERR Protocol error: expected '$', got ':'\r\n");
    assert_true(client->flags & CLIENT_CLOSE_AFTER_REPLY);
    assert_int_equal(stubs.protocol_errors, 1);
}

static void a_browser_is_hung_up_on(void **state)
{
    (void)state;
    const char *const lines[] = {"POST / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "Host: x\r\n",
                                 "OPTIONS /a HTTP/1.0\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct client *browser = client_new(server, 0);
        client_feed(browser, lines[i], strlen(lines[i]));
        client_feed(browser, "ECHO a\r\n", 8);
        assert_true(browser->flags & CLIENT_CLOSE_NOW);
        assert_int_equal(output_pending(browser->out), 0);
        client_free(browser);
    }
    assert_int_equal(stubs.dispatched, 0);
}

static void before_authentication_requests_are_small(void **state)
{
    (void)state;
    client_free(client);
    stubs.open = false;
    client = client_new(server, 0);
    assert_null(client->user);
    feed("*1\r\n$16385\r\n");
    replies_are("-ERR Protocol error: unauthenticated bulk length\r\n");
}

static void limits_follow_what_the_request_before_has_done(void **state)
{
    (void)state;
    client_free(client);
    stubs.open = false;
    client = client_new(server, 0);
    feed("AUTH x\r\n*12\r\n$5\r\nCOUNT\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"
         "$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n");
    replies_are("+OK\r\n:11\r\n");
}

static void who_does_not_read_is_not_served(void **state)
{
    (void)state;
    char bytes[64 * 300 + 1];
    size_t size = 0;
    for (int i = 0; i < 300; i++)
        size += (size_t)sprintf(bytes + size, "*2\r\n$4\r\nPUSH\r\n$6\r\n100000\r\n");
    size_t done = client_execute(client, bytes, size);
    assert_true(done < size);
    assert_true(client->of_loop.held);
    /* 128 more requests are under way, at most, when the limit is passed */
    assert_true(output_memory(client->out) < CLIENT_OUTPUT_PAUSE + 130 * 100100);
    while (done < size) { /* it reads: the rest is served */
        assert_int_equal(output_take(client->out, &text), BITCASK_OK);
        done += client_execute(client, bytes + done, size - done);
    }
    assert_int_equal(stubs.dispatched, 300);
    assert_false(client->of_loop.held);
}

static void an_output_beyond_its_limit_is_broken(void **state)
{
    (void)state;
    client->out->limit = 150000;
    feed("PUSH 100000\r\nPUSH 100000\r\nECHO a\r\n");
    assert_true(client->out->broken);
    assert_true(output_memory(client->out) <= 150000);
}

static void a_failed_commit_takes_the_replies_back(void **state)
{
    (void)state;
    stubs.commit_fails = true;
    feed("ECHO a\r\n");
    replies_are("$1\r\na\r\n"); /* it wrote nothing */
    feed("ECHO b\r\nWRITE\r\nECHO c\r\n");
    replies_are("-ERR the write may not be durable: sync: input/output error\r\n");
    assert_true(client->flags & CLIENT_CLOSE_AFTER_REPLY);
}

static void a_write_is_committed_once_per_pass(void **state)
{
    (void)state;
    feed("WRITE\r\nWRITE\r\nWRITE\r\n");
    replies_are("+OK\r\n+OK\r\n+OK\r\n");
    assert_int_equal(stubs.commits, 1);
}

static void paused_writes_wait(void **state)
{
    (void)state;
    atomic_store(&server->pause_until_us, UINT64_MAX);
    feed("*2\r\n$4\r\nECHO\r\n$1\r\na\r\n*1\r\n$5\r\nWRITE\r\n*2\r\n$4\r\nECHO\r\n$1\r\nb\r\n");
    replies_are("$1\r\na\r\n");
    assert_true(client->of_loop.held);
    atomic_store(&server->pause_until_us, 0);
    feed("");
    replies_are("+OK\r\n$1\r\nb\r\n");
    assert_false(client->of_loop.held);
}

static void a_pause_of_all_holds_lines_with_quotes_too(void **state)
{
    (void)state;
    atomic_store(&server->pause_until_us, UINT64_MAX);
    atomic_store(&server->pause_all, true);
    feed("ECHO \"a \\x41\"\r\n");
    replies_are("");
    atomic_store(&server->pause_until_us, 0);
    feed("");
    replies_are("$3\r\na A\r\n");
}

static void a_pause_of_writes_lets_other_lines_through(void **state)
{
    (void)state;
    atomic_store(&server->pause_until_us, UINT64_MAX);
    feed("ECHO \"a \\x41\"\r\nECHO");
    replies_are("$3\r\na A\r\n");
    feed(" b\r\nWRITE\r\nECHO \"\\x43\"\r\n");
    replies_are("$1\r\nb\r\n");
    assert_true(client->of_loop.held);
    atomic_store(&server->pause_until_us, 0);
    feed("");
    replies_are("+OK\r\n$1\r\nC\r\n");
}

static void a_large_value_gets_memory_as_it_comes(void **state)
{
    (void)state;
    feed("*2\r\n$4\r\nECHO\r\n$1000000\r\n");
    assert_true(client->in_capacity < 100000);
    char *bytes = malloc(1000002);
    memset(bytes, 'v', 1000000);
    memcpy(bytes + 1000000, "\r\n", 2);
    for (size_t at = 0; at < 1000002; at += 1002)
        client_feed(client, bytes + at, 1000002 - at < 1002 ? 1000002 - at : 1002);
    assert_int_equal(output_take(client->out, &text), BITCASK_OK);
    assert_int_equal(text.size, 1000000 + strlen("$1000000\r\n\r\n"));
    free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(requests_are_executed_as_they_become_whole),
        TEST(a_pipeline_is_given_as_one),
        TEST(a_request_longer_than_the_pipeline_runs_by_itself),
        TEST(behind_quit_nothing_is_executed),
        TEST(bad_bytes_are_answered_behind_the_replies_before_them),
        TEST(a_browser_is_hung_up_on),
        TEST(before_authentication_requests_are_small),
        TEST(limits_follow_what_the_request_before_has_done),
        TEST(who_does_not_read_is_not_served),
        TEST(an_output_beyond_its_limit_is_broken),
        TEST(a_failed_commit_takes_the_replies_back),
        TEST(a_write_is_committed_once_per_pass),
        TEST(paused_writes_wait),
        TEST(a_pause_of_all_holds_lines_with_quotes_too),
        TEST(a_pause_of_writes_lets_other_lines_through),
        TEST(a_large_value_gets_memory_as_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
