/* SPDX-License-Identifier: MIT
 * error_test.c: errors say what, where and why, and never more than fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/error.h"

static void set_fills_all_fields(void **state)
{
    (void)state;
    bitcask_error error;
    memset(&error, 255, sizeof error);
    assert_int_equal(error_set(&error, BITCASK_CORRUPT, "record at %d", 4096), BITCASK_CORRUPT);
    assert_int_equal(error.status, BITCASK_CORRUPT);
    assert_int_equal(error.sys_errno, 0);
    assert_int_equal(error.segment, 0);
    assert_int_equal(error.offset, 0);
    assert_string_equal(error.message, "record at 4096");
}

static void clauses_go_in_front(void **state)
{
    (void)state;
    bitcask_error error;
    error_set(&error, BITCASK_CORRUPT, "bad checksum");
    error_at(&error, 7, 4096);
    error_prefix(&error, "record at %d", 4096);
    error_prefix(&error, "segment %d", 7);
    error_prefix(&error, "open '%s'", "./data");
    assert_string_equal(error.message, "open './data': segment 7: record at 4096: bad checksum");
    assert_int_equal(error.segment, 7);
    assert_int_equal(error.offset, 4096);
    assert_int_equal(error.status, BITCASK_CORRUPT);
}

static void failed_system_calls_become_statuses(void **state)
{
    (void)state;
    bitcask_error error;
    assert_int_equal(error_set_os(&error, -ENOSPC, "write"), BITCASK_NO_SPACE);
    assert_int_equal(error_set_os(&error, -EDQUOT, "write"), BITCASK_NO_SPACE);
    assert_int_equal(error_set_os(&error, -ENOMEM, "map"), BITCASK_NO_MEMORY);
    assert_int_equal(error_set_os(&error, -EIO, "sync '%s'", "x"), BITCASK_IO);
    assert_int_equal(error.status, BITCASK_IO);
    assert_int_equal(error.sys_errno, EIO);
    assert_string_equal(error.message, "sync 'x': Input/output error");
}

static void no_error_wanted(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, BITCASK_LIMIT, "x"), BITCASK_LIMIT);
    assert_int_equal(error_set_os(NULL, -ENOSPC, "x"), BITCASK_NO_SPACE);
    error_at(NULL, 1, 2);
    error_prefix(NULL, "x");
}

static void long_messages_are_cut_at_the_end(void **state)
{
    (void)state;
    char name[300];
    bitcask_error error;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    error_set(&error, BITCASK_IO, "%s", name);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    error_set_os(&error, -EIO, "%s", name);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    error_prefix(&error, "segment 7");
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_memory_equal(error.message, "segment 7: nnn", 14);
    error_prefix(&error, "%s", name);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

static void statuses_have_names_and_sentences(void **state)
{
    (void)state;
    assert_string_equal(bitcask_status_name(BITCASK_OK), "OK");
    assert_string_equal(bitcask_status_name(BITCASK_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(bitcask_status_text(BITCASK_NOT_FOUND), "no such key");
    assert_string_equal(bitcask_status_name(BITCASK_BUSY), "BUSY");
    assert_string_equal(bitcask_status_name((bitcask_status)77), "UNKNOWN_STATUS");
    assert_string_equal(bitcask_status_text((bitcask_status)-99), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_all_fields),
        cmocka_unit_test(clauses_go_in_front),
        cmocka_unit_test(failed_system_calls_become_statuses),
        cmocka_unit_test(no_error_wanted),
        cmocka_unit_test(long_messages_are_cut_at_the_end),
        cmocka_unit_test(statuses_have_names_and_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
