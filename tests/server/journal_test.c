/* SPDX-License-Identifier: MIT
 * journal_test.c: lines of the server's log, in its three formats. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal.h"

struct fixture {
    char file[64], other[80];
    struct journal *journal;
    char text[8192];
};

static int setup(void **state)
{
    struct fixture *fix = calloc(1, sizeof *fix);
    snprintf(fix->file, sizeof fix->file, "/tmp/journal_test.XXXXXX");
    int fd = mkstemp(fix->file);
    snprintf(fix->other, sizeof fix->other, "%s.1", fix->file);
    *state = fix;
    return fd < 0 || close(fd) != 0;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;
    journal_close(fix->journal);
    unlink(fix->file);
    unlink(fix->other);
    free(fix);
    return 0;
}

static void open_as(struct fixture *fix, enum journal_format format)
{
    fix->journal = journal_open(fix->file, format, BITCASK_LOG_INFO, NULL);
    assert_non_null(fix->journal);
}

static const char *text_of(struct fixture *fix, const char *file)
{
    FILE *in = fopen(file, "r");
    assert_non_null(in);
    fix->text[fread(fix->text, 1, sizeof fix->text - 1, in)] = '\0';
    fclose(in);
    return fix->text;
}

/* The line behind its time. */
static void expect_line(struct fixture *fix, const char *before, const char *behind)
{
    const char *text = text_of(fix, fix->file);
    assert_memory_equal(text, before, strlen(before));
    const char *z = strchr(text, 'Z');
    assert_non_null(z);
    assert_string_equal(z + 1, behind);
}

static void line_as_text(void **state)
{
    struct fixture *fix = *state;
    open_as(fix, JOURNAL_TEXT);
    journal_note(fix->journal, BITCASK_LOG_WARN, "odd", "a", "b c", "n", "1", "e", "", NULL);
    expect_line(fix, "20", " warn  odd a=\"b c\" n=1 e=\"\"\n");
}

static void line_as_logfmt(void **state)
{
    struct fixture *fix = *state;
    open_as(fix, JOURNAL_LOGFMT);
    journal_note(fix->journal, BITCASK_LOG_INFO, "ready", "q", "say \"x\"\n", NULL);
    expect_line(fix, "time=20", " level=info event=ready q=\"say \\\"x\\\"\\u000a\"\n");
}

static void line_as_json(void **state)
{
    struct fixture *fix = *state;
    open_as(fix, JOURNAL_JSON);
    const bitcask_log_field fields[] = {
        {.name = "bytes", .kind = BITCASK_FIELD_UINT, .number = 7},
        {.name = "key", .kind = BITCASK_FIELD_BYTES, .bytes = bitcask_bytes("\xff\xc3\xa4", 3)},
    };
    const bitcask_log_event event = {BITCASK_LOG_ERROR, 1, "cut", fields, 2};
    journal_store_event(fix->journal, &event);
    expect_line(fix, "{\"time\":\"1970-01-01T00:00:00.000001",
                "\",\"level\":\"error\",\"event\":\"cut\",\"bytes\":7,\"key\":\"\\ufffd\xc3\xa4\"}"
                "\n");
}

static void levels_below_are_not_written(void **state)
{
    struct fixture *fix = *state;
    open_as(fix, JOURNAL_TEXT);
    journal_note(fix->journal, BITCASK_LOG_DEBUG, "quiet", NULL);
    assert_string_equal(text_of(fix, fix->file), "");
    journal_set_level(fix->journal, BITCASK_LOG_DEBUG);
    journal_note(fix->journal, BITCASK_LOG_DEBUG, "loud", NULL);
    assert_non_null(strstr(text_of(fix, fix->file), "loud"));
}

static void long_line_is_cut_and_still_json(void **state)
{
    struct fixture *fix = *state;
    open_as(fix, JOURNAL_JSON);
    char value[5000];
    for (size_t size = 1800; size < 2100; size++) { /* every place the cut can fall on */
        memset(value, '"', sizeof value);
        value[size] = '\0';
        assert_int_equal(truncate(fix->file, 0), 0);
        journal_note(fix->journal, BITCASK_LOG_INFO, "long", "before", value + size / 2, "value",
                     value + size / 2, "after", "x", NULL);
        const char *text = text_of(fix, fix->file);
        size_t length = strlen(text);
        assert_true(length <= 2048);
        assert_string_equal(text + length - 3, "\"}\n");
    }
}

static void reopened_after_a_rename(void **state)
{
    struct fixture *fix = *state;
    open_as(fix, JOURNAL_TEXT);
    journal_note(fix->journal, BITCASK_LOG_INFO, "first", NULL);
    assert_int_equal(rename(fix->file, fix->other), 0);
    journal_note(fix->journal, BITCASK_LOG_INFO, "second", NULL);
    assert_true(journal_reopen(fix->journal, NULL));
    journal_note(fix->journal, BITCASK_LOG_INFO, "third", NULL);
    assert_non_null(strstr(text_of(fix, fix->other), "second"));
    assert_null(strstr(text_of(fix, fix->file), "second"));
    assert_non_null(strstr(text_of(fix, fix->file), "third"));
}

static void file_that_cannot_be_opened(void **state)
{
    (void)state;
    bitcask_error error;
    assert_null(journal_open("/nowhere/log", JOURNAL_TEXT, BITCASK_LOG_INFO, &error));
    assert_string_equal(error.message, "logfile /nowhere/log: No such file or directory");
}

static void keep_number(void *context, uint64_t number, const char *json)
{
    uint64_t *numbers = context; /* how many, the first, the last */
    assert_int_equal(json[0], '{');
    if (numbers[0]++ == 0)
        numbers[1] = number;
    numbers[2] = number;
}

static void newest_lines_are_kept(void **state)
{
    struct fixture *fix = *state;
    open_as(fix, JOURNAL_TEXT);
    for (int i = 0; i < 300; i++)
        journal_note(fix->journal, BITCASK_LOG_INFO, "line", NULL);
    uint64_t numbers[3] = {0}, some[3] = {0}, none[3] = {0};
    assert_int_equal(journal_recent(fix->journal, 0, keep_number, numbers), 300);
    assert_int_equal(numbers[0], 256);
    assert_int_equal(numbers[1], 45);
    assert_int_equal(numbers[2], 300);
    journal_recent(fix->journal, 297, keep_number, some);
    assert_int_equal(some[0], 3);
    assert_int_equal(journal_recent(fix->journal, 300, keep_number, none), 300);
    assert_int_equal(none[0], 0);
}

/* As on standard output in a pipe whose reader has stopped. */
static void a_pipe_that_nobody_reads_keeps_nobody_waiting(void **state)
{
    enum { LINES = 5000 };
    struct fixture *fix = *state;
    assert_int_equal(mkfifo(fix->other, 0600), 0);
    int reader = open(fix->other, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    fix->journal = journal_open(fix->other, JOURNAL_LOGFMT, BITCASK_LOG_INFO, NULL);
    assert_non_null(fix->journal);
    for (int i = 0; i < LINES; i++)
        journal_note(fix->journal, BITCASK_LOG_INFO, "unread", NULL);
    size_t lines = 0;
    for (ssize_t got; (got = read(reader, fix->text, sizeof fix->text)) > 0;)
        for (ssize_t i = 0; i < got; i++)
            lines += fix->text[i] == '\n';
    assert_in_range(lines, 1, LINES - 1);
    journal_note(fix->journal, BITCASK_LOG_INFO, "read", NULL);
    ssize_t got = read(reader, fix->text, sizeof fix->text - 1);
    assert_true(got > 0);
    fix->text[got] = '\0';
    char expected[80];
    snprintf(expected, sizeof expected, "level=warn event=log_lines_lost lines=%zu\n",
             LINES - lines);
    assert_non_null(strstr(fix->text, expected));
    assert_non_null(strstr(fix->text, "event=read\n"));
    close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(line_as_logfmt, setup, teardown),
        cmocka_unit_test_setup_teardown(line_as_json, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_below_are_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(long_line_is_cut_and_still_json, setup, teardown),
        cmocka_unit_test_setup_teardown(reopened_after_a_rename, setup, teardown),
        cmocka_unit_test(file_that_cannot_be_opened),
        cmocka_unit_test_setup_teardown(newest_lines_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pipe_that_nobody_reads_keeps_nobody_waiting, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
