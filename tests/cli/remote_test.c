/* SPDX-License-Identifier: MIT
 * remote_test.c: the command's end of the connection to a server, whatever stands at the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "remote.h"

struct fixture {
    char directory[64], path[96];
    int listener;
    pthread_t thread;
    const char *said; /* what the server says to whatever it is asked */
    size_t size, step;
};

static int setup(void **state)
{
    struct fixture *fix = calloc(1, sizeof *fix);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(fix->directory, sizeof fix->directory, "/tmp/remote_test.XXXXXX");
    if (mkdtemp(fix->directory) == NULL)
        return -1;
    snprintf(fix->path, sizeof fix->path, "%s/bitcask.sock", fix->directory);
    memcpy(address.sun_path, fix->path, strlen(fix->path) + 1);
    fix->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    *state = fix;
    return bind(fix->listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
           listen(fix->listener, 1) != 0;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;
    close(fix->listener);
    unlink(fix->path);
    int result = rmdir(fix->directory);
    free(fix);
    return result;
}

static void *run_server(void *context)
{
    struct fixture *fix = context;
    char request[4096];
    int fd = accept(fix->listener, NULL, NULL);
    if (fd >= 0 && recv(fd, request, sizeof request, 0) > 0) {
        for (size_t done = 0; done < fix->size;) {
            size_t part = fix->size - done < fix->step ? fix->size - done : fix->step;
            ssize_t sent = send(fd, fix->said + done, part, MSG_NOSIGNAL);
            if (sent <= 0)
                break;
            done += (size_t)sent;
        }
        /* The other end closes first, unless it waits for more. */
        shutdown(fd, SHUT_WR);
        while (recv(fd, request, sizeof request, 0) > 0)
            continue;
    }
    close(fd);
    return NULL;
}

/* Ask, get `said` for an answer, `step` bytes at a time; call `look` with it. */
static bitcask_status ask(struct fixture *fix, const char *said, size_t size, size_t step,
                          void (*look)(const struct remote_reply *reply), bitcask_error *error)
{
    const struct remote_reply *reply = NULL;
    fix->said = said;
    fix->size = size;
    fix->step = step;
    assert_int_equal(pthread_create(&fix->thread, NULL, run_server, fix), 0);
    struct remote *remote = remote_open(fix->directory, error);
    assert_non_null(remote);
    bitcask_status status = remote_ask(remote, &reply, error, "GET", "a", NULL);
    if (status == BITCASK_OK && look != NULL)
        look(reply);
    remote_close(remote);
    pthread_join(fix->thread, NULL);
    return status;
}

static void look_at_all_kinds(const struct remote_reply *reply)
{
    assert_int_equal(reply[0].kind, REMOTE_LIST);
    assert_int_equal(reply[0].count, 5);
    assert_int_equal(reply[1].kind, REMOTE_BYTES);
    assert_int_equal(reply[1].bytes.size, 5);
    assert_memory_equal(reply[1].bytes.data, "a\r\nb\0", 5);
    assert_int_equal(reply[2].kind, REMOTE_NUMBER);
    assert_int_equal(reply[2].number, -7);
    assert_int_equal(reply[3].kind, REMOTE_NULL);
    assert_int_equal(reply[4].kind, REMOTE_LIST);
    assert_int_equal(reply[5].kind, REMOTE_TEXT);
    assert_memory_equal(reply[5].bytes.data, "OK", 2);
    assert_int_equal(reply[6].bytes.size, 0);
}

static void reply_in_pieces_of_any_size(void **state)
{
    static const char said[] = "*5\r\n$5\r\na\r\nb\0\r\n:-7\r\n$-1\r\n*1\r\n+OK\r\n$0\r\n\r\n";
    bitcask_error error;
    for (size_t step = 1; step < sizeof said; step++)
        assert_int_equal(ask(*state, said, sizeof said - 1, step, look_at_all_kinds, &error),
                         BITCASK_OK);
}

static void every_truncation_is_an_error(void **state)
{
    static const char said[] = "*2\r\n$3\r\nabc\r\n:12\r\n";
    bitcask_error error;
    for (size_t size = 0; size < sizeof said - 1; size++) {
        assert_int_equal(ask(*state, said, size, size + 1, NULL, &error), BITCASK_IO);
        assert_non_null(strstr(error.message, "closed the connection"));
    }
}

static void odd_replies_are_refused(void **state)
{
    static const char *const odd[] = {
        "\r\n",
        "?\r\n",
        "\n",
        "+OK\n",
        "$-2\r\n",
        "$1073741825\r\n",
        "$99999999999999999999\r\n",
        "$x\r\n",
        "$\r\n",
        "$-\r\n",
        "*-2\r\n",
        "*99999999\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        ":\r\n",
        ":1x\r\n",
        "_\r\n",
        "HTTP/1.1 400\r\n",
    };
    bitcask_error error;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        if (ask(*state, odd[i], strlen(odd[i]), 100, NULL, &error) != BITCASK_IO)
            fail_msg("was taken: %s", odd[i]);
}

static void endless_line_is_refused(void **state)
{
    enum { SIZE = 1 << 20 };
    char *said = malloc(SIZE);
    bitcask_error error;
    memset(said, 'x', SIZE);
    said[0] = '+';
    assert_int_equal(ask(*state, said, SIZE, 4096, NULL, &error), BITCASK_IO);
    free(said);
}

static void errors_become_statuses(void **state)
{
    static const struct {
        const char *said;
        bitcask_status status;
        const char *message;
    } cases[] = {
        {"-CONFLICT it has another\r\n", BITCASK_CONFLICT, "it has another"},
        {"-EXISTS there\r\n", BITCASK_EXISTS, "there"},
        {"-NOT_FOUND no\r\n", BITCASK_NOT_FOUND, "no"},
        {"-ERR syntax error\r\n", BITCASK_IO, "syntax error"},
        {"-NOPERM no\r\n", BITCASK_IO, "NOPERM no"},
        {"-MISCONF full\r\n", BITCASK_READ_ONLY, "full"},
        {"-\r\n", BITCASK_IO, ""},
        {"-ERR\r\n", BITCASK_IO, "ERR"},
    };
    bitcask_error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ask(*state, cases[i].said, strlen(cases[i].said), 100, NULL, &error),
                         cases[i].status);
        assert_string_equal(error.message, cases[i].message);
    }
}

static void without_a_socket_there_is_no_server(void **state)
{
    bitcask_error error;
    (void)state;
    assert_null(remote_open("/nowhere", &error));
    assert_null(remote_open("/tmp", &error));
    assert_non_null(strstr(error.message, "bitcask.sock: No such file"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reply_in_pieces_of_any_size), TEST(every_truncation_is_an_error),
        TEST(odd_replies_are_refused),     TEST(endless_line_is_refused),
        TEST(errors_become_statuses),      cmocka_unit_test(without_a_socket_there_is_no_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
