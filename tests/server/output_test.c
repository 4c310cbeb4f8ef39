/* SPDX-License-Identifier: MIT
 * output_test.c: replies in both protocols, and values sent from where they lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client.h"
#include "output.h"
#include "reply.h"

static struct output out;
static struct client client;
static bitcask_buffer text;
static bitcask *db;

static int set_up(void **state)
{
    (void)state;
    bitcask_options options;
    bitcask_options_init(&options);
    options.in_memory = 1;
    options.background = BITCASK_BACKGROUND_NONE;
    assert_int_equal(bitcask_open("memory", &options, &db, NULL), BITCASK_OK);
    output_init(&out, NULL, SIZE_MAX);
    client = (struct client){.protocol = 2, .out = &out};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    output_release(&out);
    bitcask_buffer_free(&text);
    return bitcask_close(db, NULL);
}

static void is(const char *expected)
{
    assert_int_equal(output_take(&out, &text), BITCASK_OK);
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

/* A value of `size` bytes that lies in the store. */
static bitcask_view view_of(size_t size, char letter)
{
    char *bytes = malloc(size);
    memset(bytes, letter, size);
    bitcask_view view;
    bitcask_slice key = bitcask_bytes(&letter, 1);
    assert_int_equal(bitcask_put(db, key, bitcask_bytes(bytes, size), NULL, NULL, NULL),
                     BITCASK_OK);
    assert_int_equal(bitcask_get_view(db, NULL, key, &view, NULL), BITCASK_OK);
    free(bytes);
    return view;
}

static void replies_in_resp2(void **state)
{
    (void)state;
    reply_ok(&client);
    reply_simple(&client, "PONG");
    reply_error(&client, "ERR bad\r\n%s", "thing");
    reply_integer(&client, INT64_MIN);
    reply_integer(&client, 0);
    reply_integer(&client, INT64_MAX);
    is("+OK\r\n+PONG\r\n-ERR bad  thing\r\n:-9223372036854775808\r\n:0\r\n"
       ":9223372036854775807\r\n");
    reply_double(&client, 1.5);
    reply_bool(&client, true);
    reply_null(&client);
    reply_null_array(&client);
    reply_bulk(&client, bitcask_bytes("a\0b", 3));
    assert_int_equal(output_take(&out, &text), BITCASK_OK);
    assert_memory_equal(text.data, "$3\r\n1.5\r\n:1\r\n$-1\r\n*-1\r\n$3\r\na\0b\r\n", text.size);
    reply_bulk_format(&client, "%d of %s", 7, "x");
    reply_bulk_integer(&client, -12);
    reply_verbatim(&client, "txt", bitcask_str("hi"));
    reply_array(&client, 2);
    reply_map(&client, 2);
    reply_set(&client, 1);
    reply_push(&client, 3);
    is("$6\r\n7 of x\r\n$3\r\n-12\r\n$2\r\nhi\r\n*2\r\n*4\r\n*1\r\n*3\r\n");
    assert_int_equal(client.error_replies, 1);
}

static void replies_in_resp3(void **state)
{
    (void)state;
    client.protocol = 3;
    reply_double(&client, 1.5);
    reply_bool(&client, false);
    reply_null(&client);
    reply_null_array(&client);
    reply_verbatim(&client, "txt", bitcask_str("hi"));
    reply_map(&client, 2);
    reply_set(&client, 1);
    reply_push(&client, 3);
    is(",1.5\r\n#f\r\n_\r\n_\r\n=6\r\ntxt:hi\r\n%2\r\n~1\r\n>3\r\n");
}

static void long_formatted_texts_are_not_cut(void **state)
{
    (void)state;
    char *letters = malloc(5001);
    memset(letters, 'q', 5000);
    letters[5000] = 0;
    reply_bulk_format(&client, "<%s>", letters);
    assert_int_equal(output_take(&out, &text), BITCASK_OK);
    assert_int_equal(text.size, 5002 + strlen("$5002\r\n\r\n"));
    free(letters);
}

static void lengths_told_later_nest(void **state)
{
    (void)state;
    reply_ok(&client);
    size_t outer = reply_later(&client);
    reply_bulk_text(&client, "a");
    size_t inner = reply_later(&client);
    reply_integer(&client, 1);
    reply_integer(&client, 2);
    reply_end(&client, inner, REPLY_SET, 2);
    size_t empty = reply_later(&client);
    reply_end(&client, empty, REPLY_MAP, 0);
    reply_end(&client, outer, REPLY_ARRAY, 3);
    is("+OK\r\n*3\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n*0\r\n");
}

static void views_keep_their_place_when_a_length_is_put_in_front(void **state)
{
    (void)state;
    bitcask_view first = view_of(OUTPUT_VIEW_MIN, 'a'), second = view_of(OUTPUT_VIEW_MIN, 'b');
    reply_bulk_view(&client, &first);
    size_t mark = reply_later(&client);
    reply_bulk_view(&client, &second);
    reply_end(&client, mark, REPLY_ARRAY, 1);
    assert_int_equal(output_take(&out, &text), BITCASK_OK);
    const char *at = text.data;
    assert_memory_equal(at, "$16384\r\na", 9);
    at += 8 + OUTPUT_VIEW_MIN;
    assert_memory_equal(at - 1, "a\r\n*1\r\n$16384\r\nb", 16);
    assert_memory_equal((char *)text.data + text.size - 3, "b\r\n", 3);
}

static void a_muted_client_gets_nothing(void **state)
{
    (void)state;
    bitcask_view view = view_of(OUTPUT_VIEW_MIN, 'a');
    client.flags = CLIENT_REPLY_OFF;
    reply_ok(&client);
    reply_bulk_view(&client, &view);
    size_t mark = reply_later(&client);
    reply_integer(&client, 1);
    reply_end(&client, mark, REPLY_ARRAY, 1);
    is("");
}

/* All that the output has, sent in bites of `bite` bytes. */
static void send_in_bites(size_t bite, bitcask_buffer *sent)
{
    while (output_pending(&out) > 0) {
        struct iovec parts[OUTPUT_PARTS];
        int count = output_gather(&out, parts);
        assert_in_range(count, 1, OUTPUT_PARTS);
        size_t taken = 0;
        for (int i = 0; i < count && taken < bite; i++) {
            size_t size = parts[i].iov_len < bite - taken ? parts[i].iov_len : bite - taken;
            memcpy((char *)sent->data + sent->size + taken, parts[i].iov_base, size);
            taken += size;
        }
        sent->size += taken;
        output_sent(&out, taken);
    }
}

static void however_it_is_sent_it_is_the_same(void **state)
{
    (void)state;
    enum { VALUES = 100 };
    static const size_t bites[] = {1000, 16383, 16384, 16385, 100000, SIZE_MAX};
    bitcask_buffer sent = {.data = malloc(VALUES * (OUTPUT_VIEW_MIN + 64))};
    for (size_t b = 0; b < sizeof bites / sizeof bites[0]; b++) {
        sent.size = 0;
        for (int i = 0; i < VALUES; i++) {
            bitcask_view view = view_of(OUTPUT_VIEW_MIN, (char)('!' + i % 90));
            reply_integer(&client, i);
            reply_bulk_view(&client, &view);
        }
        send_in_bites(bites[b], &sent);
        const char *at = sent.data;
        for (int i = 0; i < VALUES; i++) {
            char expected[32];
            int length = sprintf(expected, ":%d\r\n$16384\r\n", i);
            assert_memory_equal(at, expected, length);
            at += length;
            for (size_t j = 0; j < OUTPUT_VIEW_MIN; j++)
                assert_int_equal(at[j], '!' + i % 90);
            at += OUTPUT_VIEW_MIN;
            assert_memory_equal(at, "\r\n", 2);
            at += 2;
        }
        assert_int_equal(at - (char *)sent.data, sent.size);
        assert_null(out.data); /* an empty output owns no buffer */
    }
    free(sent.data);
}

static void memory_does_not_grow_while_as_much_is_read_as_is_written(void **state)
{
    (void)state;
    char bytes[1000] = {0};
    for (int i = 0; i < 100; i++)
        output_append(&out, bytes, sizeof bytes);
    for (int i = 0; i < 10000; i++) {
        output_append(&out, bytes, sizeof bytes);
        output_sent(&out, sizeof bytes);
    }
    assert_int_equal(output_pending(&out), 100 * sizeof bytes);
    assert_true(out.capacity <= 512 << 10);
}

static void what_is_cut_was_never_said(void **state)
{
    (void)state;
    reply_ok(&client);
    size_t mark = out.size;
    bitcask_view view = view_of(OUTPUT_VIEW_MIN, 'a');
    reply_bulk_view(&client, &view);
    output_cut(&out, mark);
    is("+OK\r\n");
}

static void buffers_come_from_the_pool_and_go_back(void **state)
{
    (void)state;
    struct output_pool pool = {0};
    out.pool = &pool;
    reply_ok(&client);
    output_sent(&out, 5);
    assert_int_equal(pool.count, 1);
    reply_ok(&client);
    assert_int_equal(pool.count, 0);
    is("+OK\r\n");
    assert_int_equal(pool.count, 1);
    out.pool = NULL;
    output_pool_release(&pool);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(replies_in_resp2),
        TEST(replies_in_resp3),
        TEST(long_formatted_texts_are_not_cut),
        TEST(lengths_told_later_nest),
        TEST(views_keep_their_place_when_a_length_is_put_in_front),
        TEST(a_muted_client_gets_nothing),
        TEST(however_it_is_sent_it_is_the_same),
        TEST(memory_does_not_grow_while_as_much_is_read_as_is_written),
        TEST(what_is_cut_was_never_said),
        TEST(buffers_come_from_the_pool_and_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
