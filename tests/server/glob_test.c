/* SPDX-License-Identifier: MIT
 * glob_test.c: glob matching as redis-server has it, and in bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pubsub.h"

static const struct {
    const char *pattern, *text;
    bool matches, matches_any_case;
} cases[] = {
    {"", "", true, true},
    {"", "a", false, false},
    {"*", "", true, true},
    {"*", "anything", true, true},
    {"a*", "abc", true, true},
    {"a*c", "abc", true, true},
    {"a*c", "abcd", false, false},
    {"*b*", "abc", true, true},
    {"a**c", "ac", true, true},
    {"?", "", false, false},
    {"?", "a", true, true},
    {"a?c", "abc", true, true},
    {"h[ae]llo", "hello", true, true},
    {"h[ae]llo", "hillo", false, false},
    {"h[^e]llo", "hello", false, false},
    {"h[^e]llo", "hallo", true, true},
    {"[a-c]x", "bx", true, true},
    {"[c-a]x", "bx", true, true},
    {"[a-c]x", "dx", false, false},
    {"[a-c", "b", true, true}, /* not closed: it ends with the pattern */
    {"[]x", "x", false, false},
    {"\\*", "*", true, true},
    {"\\*", "a", false, false},
    {"[\\]]", "]", true, true},
    {"a\\", "a\\", true, true},
    {"ABC", "abc", false, true},
    {"[A-C]*", "bcd", false, true},
    {"*.[ch]", "glob.c", true, true},
    {"*a*b", "aab", true, true},
    {"*aab", "aaab", true, true},
};

static void patterns_match_as_in_redis(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bitcask_slice pattern = bitcask_str(cases[i].pattern), text = bitcask_str(cases[i].text);
        if (glob_match(pattern, text, false) != cases[i].matches)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].text);
        if (glob_match(pattern, text, true) != cases[i].matches_any_case)
            fail_msg("'%s' and '%s', any case", cases[i].pattern, cases[i].text);
    }
    assert_true(glob_match(bitcask_bytes(NULL, 0), bitcask_bytes(NULL, 0), false));
}

/* Two to the power of 30 steps for who tries every star at every place. */
static void many_stars_end_soon(void **state)
{
    (void)state;
    char pattern[128], text[4096];
    for (size_t i = 0; i + 2 <= sizeof pattern; i += 2)
        memcpy(pattern + i, "a*", 2);
    pattern[sizeof pattern - 1] = 'b';
    memset(text, 'a', sizeof text);
    assert_false(glob_match(bitcask_bytes(pattern, sizeof pattern),
                            bitcask_bytes(text, sizeof text), false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_as_in_redis),
        cmocka_unit_test(many_stars_end_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
