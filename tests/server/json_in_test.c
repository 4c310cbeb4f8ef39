/* SPDX-License-Identifier: MIT
 * json_in_test.c: reading JSON that came from outside; and writing it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_in.h"
#include "text.h"

static bitcask_slice str(const char *text)
{
    return bitcask_str(text);
}

/* In memory of just its size, so that a read beyond it is seen. */
static bool is_valid(const char *text, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    bitcask_slice value;
    bool valid = json_in_is_valid(bitcask_bytes(copy, size), &value);
    free(copy);
    return valid;
}

static void what_is_json_is_taken(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "1.5e+10",
        "1E-2",
        "true",
        "false",
        "null",
        "\"\"",
        "\"\\u00e4\\ud83d\\ude00\"",
        "[]",
        "{}",
        " [1 , 2 ] ",
        "{\"a\":{\"b\":[null]}}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\xc3\xa4\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!is_valid(texts[i], strlen(texts[i])))
            fail_msg("not taken: %s", texts[i]);
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "-",
        "tru",
        "nulll",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{a:1}",
        "{1:1}",
        "{\"a\":}",
        "{\"a\":1,}",
        "1 2",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\x01\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "NaN",
        "Infinity",
        "'a'",
        "/**/1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (is_valid(texts[i], strlen(texts[i])))
            fail_msg("taken: %s", texts[i]);
}

static void a_text_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"key\": [1.5e3, \"\\ud83d\\ude00\xc3\xa4\", true], \"b\": null}";
    assert_true(is_valid(text, sizeof text - 1));
    for (size_t size = 0; size < sizeof text - 1; size++)
        assert_false(is_valid(text, size));
}

static void depth_is_limited(void **state)
{
    (void)state;
    static char text[200001];
    for (size_t depth = JSON_DEPTH - 1; depth <= JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(is_valid(text, 2 * depth), depth <= JSON_DEPTH);
    }
    memset(text, '[', sizeof text);
    assert_false(is_valid(text, sizeof text));
}

static void members_and_elements_are_walked(void **state)
{
    (void)state;
    bitcask_slice value, name, member;
    assert_true(
        json_in_is_valid(str(" {\"a\": 1, \"b\": [true, {\"c\": \"x\"}], \"a\": 2} "), &value));
    struct json_in_walk walk = json_in_walk(value);
    int count = 0;
    while (json_in_next(&walk, &name, &member))
        count++;
    assert_int_equal(count, 3);
    assert_true(json_in_find(value, "a", &member));
    assert_true(member.size == 1 && *(const char *)member.data == '1');
    assert_true(json_in_find(value, "b", &member));
    assert_int_equal(json_in_kind(member), '[');
    walk = json_in_walk(member);
    assert_true(json_in_next(&walk, &name, &member));
    assert_int_equal(json_in_kind(member), 't');
    assert_true(json_in_next(&walk, &name, &member));
    assert_int_equal(json_in_kind(member), '{');
    assert_false(json_in_next(&walk, &name, &member));
    assert_false(json_in_find(value, "c", &member));
    assert_false(json_in_find(str("[1]"), "a", &member));
    walk = json_in_walk(str("17"));
    assert_false(json_in_next(&walk, &name, &member));
}

static void strings_are_resolved(void **state)
{
    (void)state;
    struct text text = {0};
    assert_true(json_in_string(str("\"a\\u0000\\n\\ud83d\\ude00\\u20ac\""), &text));
    assert_int_equal(text.size, 3 + 4 + 3);
    assert_memory_equal(text.data, "a\0\n\xf0\x9f\x98\x80\xe2\x82\xac", text.size);
    assert_false(json_in_string(str("17"), &text));
    text_release(&text);
}

static void numbers_are_whole_and_fit(void **state)
{
    (void)state;
    uint64_t number;
    assert_true(json_in_unsigned(str("18446744073709551615"), &number));
    assert_true(number == UINT64_MAX);
    assert_true(json_in_unsigned(str("0"), &number) && number == 0);
    static const char *const bad[] = {
        "18446744073709551616", "-1", "1.0", "1e3", "01", "", "\"1\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(json_in_unsigned(str(bad[i]), &number));
}

/* ---- Writing -----------------------------------------------------------------------------------
 */

static void assert_text(struct text *text, const char *expected)
{
    assert_int_equal(text->size, strlen(expected));
    assert_memory_equal(text->data, expected, text->size);
    text_release(text);
}

static void commas_stand_where_they_must(void **state)
{
    (void)state;
    struct text text = {0};
    text_open(&text, '{');
    text_member(&text, "a");
    text_open(&text, '[');
    text_unsigned(&text, 1);
    text_open(&text, '{');
    text_close(&text, '}');
    text_number(&text, 0.5);
    text_number(&text, 1.0 / 0.0);
    text_close(&text, ']');
    text_member(&text, "b");
    text_bool(&text, false);
    text_bytes(&text, "k", str("x,"));
    text_bytes(&text, "v", bitcask_bytes("\xff\xfe", 2));
    text_member(&text, "n");
    text_null(&text);
    text_close(&text, '}');
    assert_text(&text,
                "{\"a\":[1,{},0.5,null],\"b\":false,\"k\":\"x,\",\"v_b64\":\"//4=\",\"n\":null}");
}

static void strings_are_escaped_and_always_utf8(void **state)
{
    (void)state;
    struct text text = {0};
    text_string(&text, bitcask_bytes("\"\\\n\r\t\0\x1f\x7f\xc3\xa4\xff<", 12));
    assert_text(&text, "\"\\\"\\\\\\n\\r\\t\\u0000\\u001f\\u007f\xc3\xa4\\ufffd<\"");
}

static void base64_goes_both_ways_and_is_strict(void **state)
{
    (void)state;
    for (size_t size = 0; size < 70; size++) {
        unsigned char bytes[70];
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)(i * 37 + size);
        struct text encoded = {0}, decoded = {0};
        text_base64(&encoded, bitcask_bytes(bytes, size));
        assert_true(text_from_base64(&decoded, bitcask_bytes(encoded.data, encoded.size)));
        assert_int_equal(decoded.size, size);
        if (size > 0)
            assert_memory_equal(decoded.data, bytes, size);
        text_release(&encoded);
        text_release(&decoded);
    }
    struct text decoded = {0};
    assert_false(text_from_base64(&decoded, str("AA=A")));
    text_release(&decoded);
}

static void percents_are_two_digits_each(void **state)
{
    (void)state;
    struct text text = {0};
    assert_true(text_from_percent(&text, str("a%00%2F%c3%A4+b"), false));
    assert_int_equal(text.size, 7);
    assert_memory_equal(text.data, "a\0/\xc3\xa4+b", 7);
    text.size = 0;
    assert_true(text_from_percent(&text, str("+%2B"), true));
    assert_memory_equal(text.data, " +", 2);
    text_release(&text);
    static const char *const bad[] = {"%", "%4", "%4g", "a%", "%%41", "% 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(text_from_percent(&text, str(bad[i]), false));
        text_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_taken),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(a_text_cut_anywhere_is_refused),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(members_and_elements_are_walked),
        cmocka_unit_test(strings_are_resolved),
        cmocka_unit_test(numbers_are_whole_and_fit),
        cmocka_unit_test(commas_stand_where_they_must),
        cmocka_unit_test(strings_are_escaped_and_always_utf8),
        cmocka_unit_test(base64_goes_both_ways_and_is_strict),
        cmocka_unit_test(percents_are_two_digits_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
