/* SPDX-License-Identifier: MIT
 * encoding_test.c: UTF-8, hexadecimal digits, escapes and base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "encoding.h"

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
        assert_true(utf8_is_valid(bitcask_str(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(utf8_is_valid(bitcask_str(bad[i])));
}

static void hexadecimal_digits_are_of_either_case(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *at = c == 0 ? NULL : strchr(digits, c);
        assert_int_equal(hex_digit((char)c), at == NULL ? -1 : (at - digits) % 16);
    }
}

static void escapes_are_those_of_json_and_of_redis(void **state)
{
    (void)state;
    char room[JSON_ESCAPE_SIZE];
    assert_null(json_escape('a', room));
    assert_null(json_escape('/', room));
    assert_string_equal(json_escape('"', room), "\\\"");
    assert_string_equal(json_escape('\n', room), "\\n");
    assert_string_equal(json_escape(0, room), "\\u0000");
    assert_string_equal(json_escape(0x7F, room), "\\u007f");
    assert_int_equal(unescape_char('n'), '\n');
    assert_int_equal(unescape_char('a'), '\a');
    assert_int_equal(unescape_char('"'), '"');
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
        char bytes[16], text[16] = "";
        size_t size;
        base64_encode(text, bitcask_str(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(base64_size(strlen(pairs[i][0])), strlen(pairs[i][1]));
        assert_true(base64_decode(bitcask_str(pairs[i][1]), bytes, &size));
        assert_int_equal(size, strlen(pairs[i][0]));
        assert_memory_equal(bytes, pairs[i][0], size);
    }
}

static void malformed_base64_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z",    "Zg=",  "Zg",       "Zg=a", "=g==",    "Z===",
                                      "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9\x80", "AAA",
                                      "====", "AA=A", "AAB=",     "A\n=="};
    char bytes[16];
    size_t size;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(base64_decode(bitcask_str(bad[i]), bytes, &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(hexadecimal_digits_are_of_either_case),
        cmocka_unit_test(escapes_are_those_of_json_and_of_redis),
        cmocka_unit_test(base64_is_that_of_rfc_4648),
        cmocka_unit_test(malformed_base64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
