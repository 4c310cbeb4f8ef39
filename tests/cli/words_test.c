/* SPDX-License-Identifier: MIT
 * words_test.c: lines of the shell as words, and words as they are typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "words.h"

/* The words of `text`, each in brackets: "[put][a b]". */
static const char *split(const char *text)
{
    static char shown[512];
    struct cli_words words;
    enum cli_words_end end = cli_words_split(&words, text);
    shown[0] = '\0';
    if (end == CLI_WORDS_BAD) {
        strcpy(shown, "bad");
    } else {
        for (size_t i = 0; i < words.count; i++) {
            strcat(shown, "[");
            strcat(shown, words.word[i]);
            strcat(shown, "]");
        }
        assert_null(words.word[words.count]);
    }
    cli_words_free(&words);
    return shown;
}

static enum cli_words_end end_of(const char *text)
{
    struct cli_words words;
    enum cli_words_end end = cli_words_split(&words, text);
    cli_words_free(&words);
    return end;
}

static void blanks_separate_words(void **state)
{
    (void)state;
    assert_string_equal(split("put city Utrecht"), "[put][city][Utrecht]");
    assert_string_equal(split("  put\tcity \n"), "[put][city]");
    assert_string_equal(split(""), "");
    assert_string_equal(split(" "), "");
}

static void quotes_hold_words_together(void **state)
{
    (void)state;
    assert_string_equal(split("put 'a b' \"c d\" e\\ f"), "[put][a b][c d][e f]");
    assert_string_equal(split("a''b \"\" ''"), "[ab][][]");
    assert_string_equal(split("'it'\\''s'"), "[it's]");
    assert_string_equal(split("\"a'b\" 'a\"b'"), "[a'b][a\"b]");
    assert_string_equal(split("'a\nb' \"c\nd\""), "[a\nb][c\nd]");
    assert_string_equal(split("\"$HOME `x`\""), "[$HOME `x`]");
}

static void backslashes_stand_for_bytes(void **state)
{
    (void)state;
    assert_string_equal(split("a\\nb \"\\t\" \\x41\\x7e \"\\x0A\""), "[a\nb][\t][A~][\n]");
    assert_string_equal(split("\\\\ \\# \\'"), "[\\][#][']");
    assert_string_equal(split("'\\n\\x41'"), "[\\n\\x41]");
    assert_string_equal(split("a\\\nb"), "[ab]");
    assert_string_equal(split("\\xc3\\xa9"), "[\xc3\xa9]");
}

static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    assert_string_equal(split("\\x4"), "bad");
    assert_string_equal(split("\\xg0"), "bad");
    assert_string_equal(split("a\\x00b"), "bad");
    assert_string_equal(split("\"\\x\""), "bad");
}

static void comments_begin_where_a_word_could(void **state)
{
    (void)state;
    assert_string_equal(split("get a # the first | one"), "[get][a]");
    assert_string_equal(split("get a#b"), "[get][a#b]");
    assert_string_equal(split("# all of it"), "");
    assert_string_equal(split("get '#'"), "[get][#]");
}

static void operators_of_other_shells_are_refused_unless_quoted(void **state)
{
    (void)state;
    const char *const lines[] = {"keys | head", "a;b", "a && b", "keys >f", "put k <f", "a<<B<<C"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_string_equal(split(lines[i]), "bad");
    assert_string_equal(split("'|' \";\" \\& \\<\\<"), "[|][;][&][<<]");
}

static void open_quotes_want_more_lines(void **state)
{
    (void)state;
    assert_int_equal(end_of("put k 'a"), CLI_WORDS_SINGLE);
    assert_int_equal(end_of("put k \"a"), CLI_WORDS_DOUBLE);
    assert_int_equal(end_of("put k \"a\\"), CLI_WORDS_DOUBLE);
    assert_int_equal(end_of("put k \\"), CLI_WORDS_BACKSLASH);
    assert_int_equal(end_of("put k 'a'"), CLI_WORDS_WHOLE);
}

static void the_word_behind_here_is_kept_apart_with_its_place(void **state)
{
    (void)state;
    struct cli_words words;
    assert_int_equal(cli_words_split(&words, "put k <<'E F' --ttl 5m"), CLI_WORDS_WHOLE);
    assert_int_equal(words.count, 4);
    assert_string_equal(words.here, "E F");
    assert_int_equal(words.here_place, 2);
    cli_words_free(&words);
    assert_int_equal(cli_words_split(&words, "put k<< EOF"), CLI_WORDS_WHOLE);
    assert_int_equal(words.count, 2);
    assert_string_equal(words.here, "EOF");
    cli_words_free(&words);
    assert_string_equal(split("put k <<"), "bad");
}

static void the_end_tells_whether_a_word_is_open(void **state)
{
    (void)state;
    struct cli_words words;
    assert_int_equal(cli_words_split(&words, "get a"), CLI_WORDS_WHOLE);
    assert_true(words.in_word);
    cli_words_free(&words);
    assert_int_equal(cli_words_split(&words, "get a "), CLI_WORDS_WHOLE);
    assert_false(words.in_word);
    cli_words_free(&words);
}

/* Every byte in every way of quoting is read back as it was, or not written. */
static void quoted_words_read_back(void **state)
{
    (void)state;
    const char *const open[] = {
        [CLI_WORDS_WHOLE] = "", [CLI_WORDS_SINGLE] = "'", [CLI_WORDS_DOUBLE] = "\""};
    for (int end = CLI_WORDS_WHOLE; end <= CLI_WORDS_DOUBLE; end++) {
        for (int byte = 1; byte < 256; byte++) {
            char word[3] = {'k', (char)byte, '\0'}, quoted[32], line[64];
            bool can = cli_words_quote(quoted, sizeof(quoted), (enum cli_words_end)end, word);
            bool control = byte < 0x20 || byte == 0x7F;
            assert_int_equal(can, end != CLI_WORDS_SINGLE || (byte != '\'' && !control));
            if (!can)
                continue;
            snprintf(line, sizeof(line), "%s%s%s", open[end], quoted, open[end]);
            struct cli_words words;
            assert_int_equal(cli_words_split(&words, line), CLI_WORDS_WHOLE);
            assert_int_equal(words.count, 1);
            assert_string_equal(words.word[0], word);
            cli_words_free(&words);
        }
    }
}

static void a_word_that_does_not_fit_is_not_written(void **state)
{
    (void)state;
    char small[4];
    assert_true(cli_words_quote(small, sizeof(small), CLI_WORDS_WHOLE, "abc"));
    assert_false(cli_words_quote(small, sizeof(small), CLI_WORDS_WHOLE, "abcd"));
    assert_false(cli_words_quote(small, sizeof(small), CLI_WORDS_WHOLE, "a b c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks_separate_words),
        cmocka_unit_test(quotes_hold_words_together),
        cmocka_unit_test(backslashes_stand_for_bytes),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(comments_begin_where_a_word_could),
        cmocka_unit_test(operators_of_other_shells_are_refused_unless_quoted),
        cmocka_unit_test(open_quotes_want_more_lines),
        cmocka_unit_test(the_word_behind_here_is_kept_apart_with_its_place),
        cmocka_unit_test(the_end_tells_whether_a_word_is_open),
        cmocka_unit_test(quoted_words_read_back),
        cmocka_unit_test(a_word_that_does_not_fit_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
