/* SPDX-License-Identifier: MIT
 * json_test.c: JSON strings, UTF-8 and base64 as the command prints them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "cli.h"

typedef void print_fn(FILE *out, bitcask_slice bytes);

static void assert_prints(print_fn *print, bitcask_slice bytes, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    print(out, bytes);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void text_is_escaped_as_json_wants_it(void **state)
{
    (void)state;
    assert_prints(cli_print_json_string, bitcask_str(""), "\"\"");
    assert_prints(cli_print_json_string, bitcask_str("a\"b\\c"), "\"a\\\"b\\\\c\"");
    assert_prints(cli_print_json_string, bitcask_str("\n\t\r\x01\x7f"),
                  "\"\\n\\t\\r\\u0001\\u007f\"");
    assert_prints(cli_print_json_string, bitcask_bytes("\0", 1), "\"\\u0000\"");
    assert_prints(cli_print_json_string, bitcask_str("h\xc3\xa9 \xf0\x9f\x8c\x8d"),
                  "\"h\xc3\xa9 \xf0\x9f\x8c\x8d\"");
}

static void bytes_that_are_no_utf8_become_the_replacement_character(void **state)
{
    (void)state;
    assert_prints(cli_print_json_string,
                  bitcask_str("a\xff"
                              "b"),
                  "\"a\\ufffd"
                  "b\"");
}

static void utf8_is_told_from_other_bytes(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "plain",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x9f\xbf",
                                      "\xe0\xa0",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(cli_is_utf8(bitcask_str(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(cli_is_utf8(bitcask_str(bad[i])));
}

static void base64_is_that_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        char bytes[16];
        size_t size;
        assert_prints(cli_print_base64, bitcask_str(pairs[i][0]), pairs[i][1]);
        assert_true(cli_decode_base64(bitcask_str(pairs[i][1]), bytes, &size));
        assert_int_equal(size, strlen(pairs[i][0]));
        assert_memory_equal(bytes, pairs[i][0], size);
    }
}

static void malformed_base64_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z", "Zg=", "Zg", "Zg=a", "=g==", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9\x80"};
    char bytes[16];
    size_t size;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(cli_decode_base64(bitcask_str(bad[i]), bytes, &size));
}

static void tsv_escapes_what_would_break_a_line(void **state)
{
    (void)state;
    assert_prints(cli_print_tsv, bitcask_str("a\tb\nc\rd\\e"), "a\\tb\\nc\\rd\\\\e");
    assert_prints(cli_print_tsv, bitcask_str("\n\n"), "\\n\\n");
}

static void an_object_names_bytes_by_what_they_are(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    struct cli_json json;
    cli_json_begin(&json, out);
    cli_json_bytes(&json, "key", bitcask_str("k"));
    cli_json_bytes(&json, "value", bitcask_bytes("\xff", 1));
    cli_json_uint(&json, "n", UINT64_MAX);
    cli_json_bool(&json, "yes", true);
    cli_json_time(&json, "never", 0);
    cli_json_time(&json, "then", 1);
    cli_json_end(&json);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "{\"key\":\"k\",\"value_b64\":\"/w==\",\"n\":18446744073709551615,"
                              "\"yes\":true,\"never\":null,"
                              "\"then\":\"1970-01-01T00:00:00.000001Z\"}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped_as_json_wants_it),
        cmocka_unit_test(bytes_that_are_no_utf8_become_the_replacement_character),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(base64_is_that_of_rfc_4648),
        cmocka_unit_test(malformed_base64_is_refused),
        cmocka_unit_test(tsv_escapes_what_would_break_a_line),
        cmocka_unit_test(an_object_names_bytes_by_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
