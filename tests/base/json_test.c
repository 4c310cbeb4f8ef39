/* SPDX-License-Identifier: MIT
 * json_test.c: what the JSON reader takes and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/json.h"

/* Skip the whole text; NULL if it is good, else what was wrong. */
static const char *fault_of(const char *text)
{
    struct json_reader json;
    json_read_open(&json, bitcask_str(text));
    json_read_skip(&json);
    json_read_close(&json);
    return json.why;
}

static void good_texts_are_taken(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        " [ ] ",
        "0",
        "-0",
        "12",
        "-1.5e+10",
        "1E5",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\\\"\\n\\u00fF\"",
        "{\"a\": 1, \"b\": [1, {\"c\": null}]}",
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
        "\r\n\t{ \"x\" : [ true , false ] } \n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *fault = fault_of(texts[i]);
        if (fault != NULL)
            fail_msg("%s: %s", texts[i], fault);
    }
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "{1:2}",
        "01",
        "-",
        "-01",
        "1.",
        "1.e5",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x10",
        "tru",
        "truex",
        "nul",
        "nan",
        "'a'",
        "\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12",
        "\"\\",
        "\"\x10\"",
        "\"\\u00\0200\"",
        "\"a\nb\"",
        "1 2",
        "{} {}",
        "/**/1",
        "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (fault_of(texts[i]) == NULL)
            fail_msg("taken: %s", texts[i]);
    }
}

static void deep_nesting_is_refused_without_recursion(void **state)
{
    (void)state;
    static char text[100001];
    memset(text, '[', sizeof text - 1);
    assert_string_equal(fault_of(text), "nested too deep");
    for (size_t i = 0; i + 5 < sizeof text; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    assert_string_equal(fault_of(text), "nested too deep");
}

static uint64_t number_of(const char *text, const char **fault)
{
    struct json_reader json;
    json_read_open(&json, bitcask_str(text));
    uint64_t number = json_read_u64(&json);
    json_read_close(&json);
    *fault = json.why;
    return number;
}

static void numbers_are_bounded(void **state)
{
    (void)state;
    const char *fault;
    assert_true(number_of("0", &fault) == 0 && fault == NULL);
    assert_true(number_of("18446744073709551615", &fault) == UINT64_MAX && fault == NULL);
    assert_true(number_of("18446744073709551616", &fault) == 0);
    assert_string_equal(fault, "number too large");
    number_of("99999999999999999999999999", &fault);
    assert_string_equal(fault, "number too large");
    number_of("1.5", &fault);
    assert_string_equal(fault, "expected an integer");
    number_of("00", &fault);
    assert_string_equal(fault, "number with a leading zero");
    number_of("-1", &fault);
    assert_string_equal(fault, "expected a number");
    number_of("\"1\"", &fault);
    assert_string_equal(fault, "expected a number");
}

static void hexadecimal_digits_have_one_spelling(void **state)
{
    (void)state;
    uint8_t bytes[2] = {0};
    struct json_reader json;
    json_read_open(&json, bitcask_str("\"0aff\""));
    json_read_hex(&json, bytes, 2);
    assert_true(json_read_close(&json));
    assert_int_equal(bytes[0], 0x0a);
    assert_int_equal(bytes[1], 0xff);
    static const char *const bad[] = {"\"0AFF\"", "\"0af\"", "\"0aff0\"", "\"0agg\"", "\"\"", "0"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_read_open(&json, bitcask_str(bad[i]));
        json_read_hex(&json, bytes, 2);
        assert_false(json_read_close(&json));
    }
}

static void members_come_in_their_order(void **state)
{
    (void)state;
    struct json_reader json;
    slice name;
    json_read_open(&json, bitcask_str("{\"a\": [1, 2], \"b\": true, \"c\": \"x\"}"));
    json_read_object(&json);
    assert_true(json_read_member(&json, &name) && slice_equal(name, bitcask_str("a")));
    json_read_array(&json);
    assert_true(json_read_element(&json));
    assert_int_equal(json_read_u64(&json), 1);
    assert_true(json_read_element(&json));
    assert_int_equal(json_read_u64(&json), 2);
    assert_false(json_read_element(&json));
    assert_true(json_read_member(&json, &name) && slice_equal(name, bitcask_str("b")));
    assert_true(json_read_bool(&json));
    assert_true(json_read_member(&json, &name) && slice_equal(name, bitcask_str("c")));
    assert_true(slice_equal(json_read_string(&json), bitcask_str("x")));
    assert_false(json_read_member(&json, &name));
    assert_true(json_read_close(&json));
}

static void first_fault_sticks(void **state)
{
    (void)state;
    struct json_reader json;
    slice name;
    json_read_open(&json, bitcask_str("{\"a\": x, \"b\": 1}"));
    json_read_object(&json);
    assert_true(json_read_member(&json, &name));
    assert_int_equal(json_read_u64(&json), 0);
    assert_string_equal(json.why, "expected a number");
    const char *at = json.at;
    json_read_fail(&json, "something else");
    json_read_skip(&json);
    json_read_object(&json);
    json_read_array(&json);
    assert_false(json_read_bool(&json));
    assert_int_equal(json_read_string(&json).size, 0);
    assert_false(json_read_member(&json, &name));
    assert_false(json_read_element(&json));
    assert_false(json_read_close(&json));
    assert_string_equal(json.why, "expected a number");
    assert_ptr_equal(json.at, at);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1.5e3, \"\\u1234\", {\"b\": null}], \"c\": false}";
    for (size_t size = 0; size < sizeof text - 1; size++) {
        char *exact = malloc(size > 0 ? size : 1);
        assert_non_null(exact);
        memcpy(exact, text, size);
        struct json_reader json;
        json_read_open(&json, slice_of(exact, size));
        json_read_skip(&json);
        assert_false(json_read_close(&json));
        free(exact);
    }
    assert_null(fault_of(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_taken),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(deep_nesting_is_refused_without_recursion),
        cmocka_unit_test(numbers_are_bounded),
        cmocka_unit_test(hexadecimal_digits_have_one_spelling),
        cmocka_unit_test(members_come_in_their_order),
        cmocka_unit_test(first_fault_sticks),
        cmocka_unit_test(every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
