/* SPDX-License-Identifier: MIT
 * dispatch_test.c: what becomes of requests, whatever the command: order of the questions, queues,
 * pipelines, transactions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "output.h"
#include "server_fixture.h"

static struct server *server;
static struct client *a, *b;

static int set_up(void **state)
{
    (void)state;
    server = fixture_server(2);
    a = client_new(server, 0);
    b = client_new(server, 1);
    return a == NULL || b == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    client_free(a);
    client_free(b);
    fixture_server_free(server);
    return 0;
}

#define ASKS(client, words, expected) assert_string_equal(fixture_command(client, words), expected)

static void an_unknown_command_is_an_error_and_no_more(void **state)
{
    (void)state;
    ASKS(a, "nope 1 2", "-ERR unknown command 'nope', with args beginning with: '1' '2' \r\n");
    ASKS(a, "PING", "+PONG\r\n");
}

static void a_transaction_is_one_batch_and_sees_its_own_writes(void **state)
{
    (void)state;
    ASKS(a, "SET n 1", "+OK\r\n");
    ASKS(a, "MULTI", "+OK\r\n");
    ASKS(a, "INCR n", "+QUEUED\r\n");
    ASKS(a, "INCR n", "+QUEUED\r\n");
    ASKS(a, "GET n", "+QUEUED\r\n");
    ASKS(a, "DEL n", "+QUEUED\r\n");
    ASKS(a, "GET n", "+QUEUED\r\n");
    ASKS(a, "DBSIZE", "+QUEUED\r\n");
    ASKS(b, "GET n", "$1\r\n1\r\n");
    ASKS(a, "EXEC", "*6\r\n:2\r\n:3\r\n$1\r\n3\r\n:1\r\n$-1\r\n:0\r\n");
    ASKS(b, "GET n", "$-1\r\n");
}

static void an_error_while_queueing_aborts(void **state)
{
    (void)state;
    ASKS(a, "MULTI", "+OK\r\n");
    ASKS(a, "SET k v", "+QUEUED\r\n");
    ASKS(a, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
    ASKS(a, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    ASKS(a, "GET k", "$-1\r\n");
}

static void exec_does_nothing_if_a_watched_key_has_changed(void **state)
{
    (void)state;
    ASKS(a, "SET k 1", "+OK\r\n");
    ASKS(a, "WATCH k other", "+OK\r\n");
    ASKS(b, "SET k 1", "+OK\r\n"); /* the same value is a change all the same */
    ASKS(a, "MULTI", "+OK\r\n");
    ASKS(a, "SET k 2", "+QUEUED\r\n");
    ASKS(a, "EXEC", "*-1\r\n");
    ASKS(a, "GET k", "$1\r\n1\r\n");
    ASKS(a, "WATCH other", "+OK\r\n");
    ASKS(b, "SET other x", "+OK\r\n");
    ASKS(b, "DEL other", ":1\r\n"); /* not there before, not there now */
    ASKS(a, "MULTI", "+OK\r\n");
    ASKS(a, "EXEC", "*0\r\n");
}

static void runs_of_get_and_set_answer_as_if_one_by_one(void **state)
{
    (void)state;
    assert_string_equal(fixture_ask(a,
                                    "SET a 1\r\nSET b 2\r\nSET a 3\r\nGET a\r\nGET b\r\nGET c\r\n"
                                    "SET a 4 NX\r\nGET\r\nGET a\r\n"),
                        "+OK\r\n+OK\r\n+OK\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n$-1\r\n"
                        "-ERR wrong number of arguments for 'get' command\r\n$1\r\n3\r\n");
}

static void a_run_with_a_bad_key_answers_each(void **state)
{
    (void)state;
    assert_string_equal(
        fixture_ask(a, "SET a 1\r\nSET \"\" 2\r\nSET b 3\r\nGET a\r\nGET \"\"\r\nGET b\r\n"),
        "+OK\r\n-ERR the empty key is not supported: a key has at least one byte\r\n+OK\r\n"
        "$1\r\n1\r\n$-1\r\n$1\r\n3\r\n");
}

static void a_reply_beyond_the_limit_ends_the_client_and_no_more(void **state)
{
    (void)state;
    char request[64];
    for (int i = 0; i < 2000; i++) {
        snprintf(request, sizeof request, "SET key%d v", i);
        ASKS(a, request, "+OK\r\n");
    }
    a->out->limit = 4096;
    client_feed(a, "KEYS *\r\n", 8);
    assert_true(a->out->broken);
    ASKS(b, "DBSIZE", ":2000\r\n");
}

/* ---- A store that is full ------------------------------------------------------------------- */

static int set_up_full(void **state)
{
    (void)state;
    static char request[20000];
    server = fixture_server_limited(2, 1 << 20);
    a = client_new(server, 0);
    b = client_new(server, 1);
    if (a == NULL || b == NULL)
        return 1;
    const char *reply = "";
    for (int size = 10000, i = 0; size >= 1000; size /= 10) { /* no room for 9,000 bytes is left */
        reply = "+OK";
        for (; i < 1000 && reply[0] == '+'; i++) {
            memset(request, 'x', sizeof request);
            int used = snprintf(request, sizeof request,
                                "*3\r\n$3\r\nSET\r\n$4\r\nk%03d\r\n$%d\r\n", i, size);
            request[used] = 'x';
            memcpy(request + used + size, "\r\n", 3);
            reply = fixture_ask(a, request);
        }
    }
    return strncmp(reply, "-OOM ", 5) != 0;
}

/* A word of a request that no full store has room for. */
static const char *big(void)
{
    static char value[9001];
    memset(value, 'y', 9000);
    return value;
}

static void a_transaction_that_cannot_be_written_is_one_error(void **state)
{
    (void)state;
    static char request[30000];
    snprintf(request, sizeof request,
             "MULTI\r\nSET k000 small\r\nSET new1 %s\r\nSET new2 %s\r\nDEL k001\r\nGET k000\r\n",
             big(), big());
    assert_string_equal(fixture_ask(a, request),
                        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    const char *reply = fixture_command(a, "EXEC");
    assert_memory_equal(reply, "-OOM ", 5);
    assert_string_equal(strchr(reply, '\n'), "\n"); /* one line */
    ASKS(b, "EXISTS new1 new2", ":0\r\n");
    ASKS(b, "STRLEN k000", ":10000\r\n");
    ASKS(b, "EXISTS k001", ":1\r\n");
    ASKS(a, "PING", "+PONG\r\n"); /* and it is over */
    ASKS(a, "DEL k000 k001", ":2\r\n");
}

static void a_run_that_cannot_be_written_answers_each(void **state)
{
    (void)state;
    static char request[30000];
    snprintf(request, sizeof request, "SET n1 %s\r\nSET n2 %s\r\nGET n1\r\nPING\r\n", big(), big());
    const char *reply = fixture_ask(a, request);
    assert_memory_equal(reply, "-OOM ", 5);
    const char *second = strchr(reply, '\n') + 1;
    assert_memory_equal(second, "-OOM ", 5);
    assert_string_equal(strchr(second, '\n') + 1, "$-1\r\n+PONG\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unknown_command_is_an_error_and_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_transaction_is_one_batch_and_sees_its_own_writes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_error_while_queueing_aborts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exec_does_nothing_if_a_watched_key_has_changed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(runs_of_get_and_set_answer_as_if_one_by_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_run_with_a_bad_key_answers_each, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reply_beyond_the_limit_ends_the_client_and_no_more,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_transaction_that_cannot_be_written_is_one_error,
                                        set_up_full, tear_down),
        cmocka_unit_test_setup_teardown(a_run_that_cannot_be_written_answers_each, set_up_full,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
