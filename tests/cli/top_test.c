/* SPDX-License-Identifier: MIT
 * top_test.c: the page of `bitcask top`, from what a server says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "top.h"

static const char status_before[] =
    "{\"version\":\"0.1.0\",\"directory\":\"./data\",\"pid\":7,\"port\":6380,\"threads\":2,"
    "\"started_us\":1000000,\"now_us\":61000000,\"commands\":1000,\"keyspace_hits\":10,"
    "\"keyspace_misses\":0,\"connections\":3,\"max_connections\":10000,\"merge_state\":\"idle\","
    "\"latency_ns\":{\"p50\":840,\"p99\":12345},\"store\":{\"keys\":1000,\"index_bytes\":9600}}";
static const char status_now[] =
    "{\"version\":\"0.1.0\",\"directory\":\"./data\",\"pid\":7,\"port\":6380,\"threads\":2,"
    "\"started_us\":1000000,\"now_us\":63000000,\"commands\":25000,\"keyspace_hits\":40,"
    "\"keyspace_misses\":10,\"connections\":3,\"max_connections\":10000,"
    "\"merge_state\":\"running\",\"latency_ns\":{\"p50\":840,\"p99\":12345},"
    "\"jobs\":{\"backup\":{\"running\":true,\"done\":1,\"total\":4},"
    "\"verify\":{\"failed\":true,\"result\":\"bad\"}},"
    "\"store\":{\"keys\":1000,\"index_bytes\":9600,\"merge_done_bytes\":1,"
    "\"merge_total_bytes\":2}}";

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

/* The page as one text; checks what holds of every page. */
static char *page_of(const struct top_sample *now, const struct top_sample *before, size_t width,
                     size_t height)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    top_print(out, now, before, width, height);
    assert_int_equal(fclose(out), 0);
    if (text == NULL) /* gcc does not know that fclose has set it */
        abort();
    size_t lines = 0, column = 0;
    for (size_t i = 0; i < size; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        lines += text[i] == '\n';
        assert_true(column <= width);
        assert_true(text[i] == '\n' || (text[i] >= ' ' && text[i] < 0x7F));
    }
    assert_true(lines <= height);
    return text;
}

static void expect_line(const char *page, const char *expected)
{
    if (page == NULL || strstr(page, expected) == NULL)
        fail_msg("not on the page: %s\n%s", expected, page != NULL ? page : "");
}

static void rates_are_between_two_samples(void **state)
{
    (void)state;
    struct top_sample before = {.time_us = 1000000, .status = parse(status_before)};
    struct top_sample now = {.time_us = 3000000, .status = parse(status_now)};
    char *page = page_of(&now, &before, 120, 40);
    expect_line(page, "bitcask 0.1.0   ./data   pid 7   port 6380   2 threads   up 1m02s\n");
    expect_line(page, "commands   12,000/s   hits 75%   errors 0/s   clients 3 of 10,000\n");
    expect_line(page, "p50 840ns   p90 0ns   p99 12.3us");
    expect_line(page, "index 9.4 KiB (9.6 bytes a key)");
    expect_line(page, "merge      50% of 2 B");
    expect_line(page, "job        backup: 25%\n");
    expect_line(page, "job        verify: bad\n");
    free(page);
    page = page_of(&now, NULL, 120, 40);
    expect_line(page, "commands   0/s");
    free(page);
    top_sample_release(&before);
    top_sample_release(&now);
}

static void segments_are_bars_of_live_and_dead(void **state)
{
    (void)state;
    struct top_sample now = {.status = parse(status_now),
                             .segments =
                                 parse("{\"segments\":["
                                       "{\"id\":1,\"state\":\"sealed\",\"live\":50,\"dead\":50},"
                                       "{\"id\":2,\"state\":\"active\",\"live\":25,\"dead\":0},"
                                       "{\"id\":3,\"state\":\"sealed\",\"live\":0,\"dead\":50,"
                                       "\"merging\":true}]}")};
    char *page = page_of(&now, NULL, 58, 40); /* bars of twenty */
    expect_line(page, "SEGMENTS (3; # live, - dead)\n"
                      "       3 merging       50 B   0% live ----------\n"
                      "       2 active        25 B 100% live #####\n"
                      "       1 sealed       100 B  50% live ##########----------\n");
    free(page);
    top_sample_release(&now);
}

static void what_the_server_says_cannot_move_the_cursor(void **state)
{
    (void)state;
    struct top_sample now = {
        .status = parse(status_now),
        .slow = parse("{\"requests\":[{\"us\":1500,\"time_s\":3661,\"address\":\"\\u001b[2J\","
                      "\"words\":[\"GET\",\"a\\nb\",\"\\u00e4\",7]}]}"),
        .log = parse("{\"lines\":[{\"event\":{\"time\":\"2026-11-21T03:29:50.123456Z\","
                     "\"level\":\"warn\",\"event\":\"odd\",\"n\":7,\"t\":\"\\u009b1m\"}}]}")};
    char *page = page_of(&now, NULL, 120, 40);
    expect_line(page, "  01:01:01      1ms \\x1b[2J GET a\\x0ab \\xc3\\xa4 \n");
    expect_line(page, "  03:29:50 warn  odd n=7 t=\\xc2\\x9b1m\n");
    free(page);
    top_sample_release(&now);
}

static void any_size_of_page_and_any_json_will_do(void **state)
{
    (void)state;
    static const char *const texts[] = {
        status_now,
        "{}",
        "{\"segments\":7,\"requests\":\"x\",\"lines\":{}}",
        "{\"segments\":[1,\"x\",{},[]],\"requests\":[{},3],\"lines\":[{},{\"event\":3}],"
        "\"jobs\":[],\"store\":[]}",
        "{\"segments\":[{\"live\":1e300,\"dead\":-5,\"id\":-1}],\"commands\":1e300}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct top_sample now = {1, parse(texts[i]), parse(texts[i]), parse(texts[i]),
                                 parse(texts[i])};
        for (size_t width = 1; width < 90; width += 8)
            for (size_t height = 0; height < 40; height += 3)
                free(page_of(&now, &now, width, height));
        top_sample_release(&now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_between_two_samples),
        cmocka_unit_test(segments_are_bars_of_live_and_dead),
        cmocka_unit_test(what_the_server_says_cannot_move_the_cursor),
        cmocka_unit_test(any_size_of_page_and_any_json_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
