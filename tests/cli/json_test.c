/* SPDX-License-Identifier: MIT
 * json_test.c: JSON and base64 as the command prints them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "cli.h"
#include "server/encoding.h"

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

static void base64_is_printed_whole_whatever_its_length(void **state)
{
    (void)state;
    static char bytes[10000], expected[16000];
    assert_prints(cli_print_base64, bitcask_str(""), "");
    assert_prints(cli_print_base64, bitcask_str("foob"), "Zm9vYg==");
    for (size_t size = 3070; size <= 10000; size += 6930 / 2) {
        memset(bytes, 'x', size);
        base64_encode(expected, bitcask_bytes(bytes, size));
        expected[base64_size(size)] = '\0';
        assert_prints(cli_print_base64, bitcask_bytes(bytes, size), expected);
    }
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
        cmocka_unit_test(base64_is_printed_whole_whatever_its_length),
        cmocka_unit_test(tsv_escapes_what_would_break_a_line),
        cmocka_unit_test(an_object_names_bytes_by_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
