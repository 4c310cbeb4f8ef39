/* SPDX-License-Identifier: MIT
 * resp_test.c: requests out of bytes, good and bad, in one piece and in many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resp.h"

static const struct resp_limits open_limits = {
    .max_words = 1 << 20, .max_bulk = 512 << 20, .max_inline = 64 << 10};
static const struct resp_limits closed_limits = {
    .max_words = 10, .max_bulk = 16 << 10, .max_inline = 64 << 10, .unauthenticated = true};

/* What the bytes say, as text: "[GET|key] [] [x]" and at the end "..." if more is to come, or the
 * error. Each prefix of the bytes is given in a buffer of its own, `step` bytes longer each time.
 */
static char *parse(const struct resp_limits *limits, const char *bytes, size_t size, size_t step)
{
    static char text[1 << 16];
    size_t used = 0, at = 0;
    struct resp_parser parser;
    resp_init(&parser);
    text[0] = 0;
    bool more = false;
    for (size_t have = 0; have < size;) {
        have = size - have < step ? size : have + step;
        for (more = false; !more && at < have;) {
            char *copy = malloc(have - at);
            memcpy(copy, bytes + at, have - at);
            enum resp_result result = resp_parse(&parser, limits, copy, have - at);
            if (result == RESP_MORE) {
                more = true;
            } else if (result == RESP_BAD) {
                snprintf(text + used, sizeof text - used, "%s", parser.error);
                free(copy);
                resp_release(&parser);
                return text;
            } else {
                used += (size_t)snprintf(text + used, sizeof text - used, "[");
                for (size_t i = 0; result == RESP_REQUEST && i < parser.word_count; i++)
                    used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s",
                                             i == 0 ? "" : "|", (int)parser.words[i].size,
                                             (const char *)parser.words[i].data);
                used += (size_t)snprintf(text + used, sizeof text - used, "] ");
                at += parser.consumed;
            }
            free(copy);
        }
    }
    if (more)
        snprintf(text + used, sizeof text - used, "...");
    resp_release(&parser);
    return text;
}

/* In one piece and byte by byte it is the same. */
static void says(const char *bytes, const char *expected)
{
    assert_string_equal(parse(&open_limits, bytes, strlen(bytes), SIZE_MAX / 2), expected);
    assert_string_equal(parse(&open_limits, bytes, strlen(bytes), 1), expected);
    assert_string_equal(parse(&open_limits, bytes, strlen(bytes), 3), expected);
}

static void an_array_of_bulk_strings_is_a_request(void **state)
{
    (void)state;
    says("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "[GET|key] ");
    says("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n", "[SET||\r\n] ");
    says("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n", "[PING] [QUIT] ");
    says("*1\r\n$4\r\nPI", "...");
    says("*2\r\n$1\r\na\r\n", "...");
    says("*", "...");
}

static void an_empty_array_or_line_asks_for_nothing(void **state)
{
    (void)state;
    says("*0\r\n*1\r\n$1\r\na\r\n", "[] [a] ");
    says("*-1\r\n", "[] ");
    says("*-9223372036854775807\r\n", "[] ");
    says("\r\n\n  \r\nPING\r\n", "[] [] [] [PING] ");
}

static void a_line_is_cut_into_words(void **state)
{
    (void)state;
    says("GET key\r\n", "[GET|key] ");
    says("  GET \t key  \n", "[GET|key] ");
    says("SET k \"a b\\n\\x41\\\"\"\r\n", "[SET|k|a b\nA\"] ");
    says("SET k 'a \\x b\\'c'\r\n", "[SET|k|a \\x b'c] ");
    says("SET k \"\"\r\n", "[SET|k|] ");
    says("SET ab\"cd\" x\r\n", "[SET|abcd|x] ");
    says("SET k \"\\xzz\\q\"\r\n", "[SET|k|xzzq] ");
}

static void an_open_quote_is_an_error(void **state)
{
    (void)state;
    const char *error = "Protocol error: unbalanced quotes in request";
    says("SET k \"a\r\n", error);
    says("SET k 'a\r\n", error);
    says("SET k \"a\"b\r\n", error);
    says("SET k 'a'b\r\n", error);
}

static void lengths_are_checked_before_they_are_believed(void **state)
{
    (void)state;
    const char *count = "Protocol error: invalid multibulk length";
    const char *length = "Protocol error: invalid bulk length";
    says("*1048577\r\n", count);
    says("*2147483648\r\n", count);
    says("*99999999999999999999\r\n", count);
    says("*9223372036854775808\r\n", count);
    says("*01\r\n", count);
    says("*+1\r\n", count);
    says("*-0\r\n", count);
    says("*\r\n", count);
    says("* 1\r\n", count);
    says("*1x\r\n", count);
    says("*1\rx", count);
    says("*1\r\n$-1\r\n", length);
    says("*1\r\n$536870913\r\n", length);
    says("*1\r\n$18446744073709551617\r\n", length);
    says("*1\r\n$03\r\n", length);
    says("*1\r\n$\r\n", length);
    says("*1\r\n$1\rx", length);
    says("*1\r\n$536870912\r\n", "...");
    says("*1048576\r\n", "...");
}

static void other_types_than_bulk_strings_are_refused(void **state)
{
    (void)state;
    says("*1\r\n:1\r\n", "Protocol error: expected '$', got ':'");
    says("*1\r\n\r\n", "Protocol error: expected '$', got '\r'");
    says("*1\r\n*1\r\n$1\r\na\r\n", "Protocol error: expected '$', got '*'");
    says("*1\r\n$1\r\nabc\r\n", "Protocol error: expected CRLF behind a bulk string");
    says("*1\r\n$1\r\na\n*", "Protocol error: expected CRLF behind a bulk string");
}

static void a_line_without_end_is_refused(void **state)
{
    (void)state;
    enum { SIZE = (64 << 10) + 2 };
    char *bytes = malloc(SIZE + 1);
    memset(bytes, 'a', SIZE);
    bytes[SIZE] = 0;
    assert_string_equal(parse(&open_limits, bytes, SIZE, 1000),
                        "Protocol error: too big inline request");
    bytes[0] = '*';
    assert_string_equal(parse(&open_limits, bytes, SIZE, 1000),
                        "Protocol error: too big mbulk count string");
    memcpy(bytes, "*1\r\n$", 5);
    bytes[SIZE - 1] = '1';
    char *longer = malloc(SIZE + 64);
    memset(longer, '1', SIZE + 64);
    memcpy(longer, "*1\r\n$", 5);
    assert_string_equal(parse(&open_limits, longer, SIZE + 64, 1000),
                        "Protocol error: too big bulk count string");
    free(longer);
    free(bytes);
}

static void bare_newlines_end_no_length(void **state)
{
    (void)state;
    says("*1\n$4\nPING\n", "...");
}

static void before_authentication_limits_are_small(void **state)
{
    (void)state;
    const char *ten = "*10\r\n", *eleven = "*11\r\n";
    const char *fits = "*1\r\n$16384\r\n", *too_long = "*1\r\n$16385\r\n";
    assert_string_equal(parse(&closed_limits, ten, strlen(ten), 1), "...");
    assert_string_equal(parse(&closed_limits, eleven, strlen(eleven), 1),
                        "Protocol error: unauthenticated multibulk length");
    assert_string_equal(parse(&closed_limits, fits, strlen(fits), 1), "...");
    assert_string_equal(parse(&closed_limits, too_long, strlen(too_long), 1),
                        "Protocol error: unauthenticated bulk length");
    const char *words = "a b c d e f g h i j k\r\n";
    assert_string_equal(parse(&closed_limits, words, strlen(words), 1),
                        "Protocol error: too many words in request");
}

static void an_announced_word_tells_how_much_is_wanted(void **state)
{
    (void)state;
    struct resp_parser parser;
    char bytes[] = "*1\r\n$1000\r\nabc";
    resp_init(&parser);
    assert_int_equal(resp_parse(&parser, &open_limits, bytes, sizeof bytes - 1), RESP_MORE);
    assert_int_equal(parser.wanted, strlen("*1\r\n$1000\r\n") + 1002);
    resp_release(&parser);
}

static void a_request_of_many_words_is_read_whole(void **state)
{
    (void)state;
    enum { WORDS = 5000 };
    char *bytes = malloc(WORDS * 16 + 16);
    size_t size = (size_t)sprintf(bytes, "*%d\r\n", WORDS);
    for (int i = 0; i < WORDS; i++)
        size += (size_t)sprintf(bytes + size, "$4\r\n%04d\r\n", i);
    struct resp_parser parser;
    resp_init(&parser);
    assert_int_equal(resp_parse(&parser, &open_limits, bytes, size), RESP_REQUEST);
    assert_int_equal(parser.word_count, WORDS);
    assert_memory_equal(parser.words[WORDS - 1].data, "4999", 4);
    /* and its memory goes with the next one */
    char next[] = "*1\r\n$1\r\na\r\n";
    assert_int_equal(resp_parse(&parser, &open_limits, next, sizeof next - 1), RESP_REQUEST);
    assert_true(parser.word_capacity < 100);
    resp_release(&parser);
    free(bytes);
}

static void a_glance_finds_the_second_word(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *key; /* NULL: none */
    } cases[] = {
        {"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "key"},
        {"*3\r\n$3\r\nSET\r\n$3\r\nkey", "key"},
        {"*3\r\n$3\r\nSET\r\n$4\r\nkey", NULL},
        {"*1\r\n$4\r\nPING\r\n", NULL},
        {"*2\r\n$3\r\nGE", NULL},
        {"*2\r\n$3\r\nGET\r\n", NULL},
        {"*2\r\n$3\r\nGET\r\n$999999999\r\nk", NULL},
        {"*2\r\n$999999999\r\nGET\r\n$1\r\nk", NULL},
        {"GET key\r\n", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].bytes);
        char *exact = malloc(size == 0 ? 1 : size); /* for the sanitizer: nothing behind it */
        memcpy(exact, cases[i].bytes, size);
        bitcask_slice key;
        bool found = resp_peek_key(exact, size, &key);
        assert_int_equal(found, cases[i].key != NULL);
        if (found)
            assert_memory_equal(key.data, cases[i].key, key.size);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_of_bulk_strings_is_a_request),
        cmocka_unit_test(an_empty_array_or_line_asks_for_nothing),
        cmocka_unit_test(a_line_is_cut_into_words),
        cmocka_unit_test(an_open_quote_is_an_error),
        cmocka_unit_test(lengths_are_checked_before_they_are_believed),
        cmocka_unit_test(other_types_than_bulk_strings_are_refused),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(bare_newlines_end_no_length),
        cmocka_unit_test(before_authentication_limits_are_small),
        cmocka_unit_test(an_announced_word_tells_how_much_is_wanted),
        cmocka_unit_test(a_request_of_many_words_is_read_whole),
        cmocka_unit_test(a_glance_finds_the_second_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
