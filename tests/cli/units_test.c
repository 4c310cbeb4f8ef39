/* SPDX-License-Identifier: MIT
 * units_test.c: numbers, sizes, durations and times, read and printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "cli.h"

typedef bool parse_fn(const char *text, uint64_t *number);

struct reading {
    const char *text;
    uint64_t number;
};

static void assert_reads(parse_fn *parse, const struct reading *readings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 0;
        if (!parse(readings[i].text, &number) || number != readings[i].number)
            fail_msg("'%s' is read as %llu", readings[i].text, (unsigned long long)number);
    }
}

static void assert_refuses(parse_fn *parse, const char *const *texts, size_t count)
{
    uint64_t number;
    for (size_t i = 0; i < count; i++)
        if (parse(texts[i], &number))
            fail_msg("'%s' is taken as %llu", texts[i], (unsigned long long)number);
}

static void numbers_are_read_up_to_the_largest(void **state)
{
    (void)state;
    static const struct reading good[] = {
        {"0", 0},          {"007", 7},   {"18446744073709551615", UINT64_MAX},
        {"1k", 1000},      {"1K", 1000}, {"10M", 10000000},
        {"2G", 2000000000}};
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "1.0", "0x10", "1KB", "1T", "1.5M", "18446744073709551616"};
    assert_reads(cli_parse_uint, good, ARRAY_SIZE(good));
    assert_refuses(cli_parse_uint, bad, ARRAY_SIZE(bad));
}

static void sizes_take_binary_suffixes(void **state)
{
    (void)state;
    static const struct reading good[] = {{"0", 0},          {"312", 312},      {"312B", 312},
                                          {"64K", 65536},    {"64k", 65536},    {"64KB", 65536},
                                          {"64KiB", 65536},  {"1.5M", 1572864}, {"2G", 2ull << 30},
                                          {"1T", 1ull << 40}};
    static const char *const bad[] = {"",   "K",   "1.5", "1.K",          "-1K", "1KK",
                                      "1X", "1e3", "1 K", "99999999999T", "iB",  "B"};
    assert_reads(cli_parse_size, good, ARRAY_SIZE(good));
    assert_refuses(cli_parse_size, bad, ARRAY_SIZE(bad));
}

static void durations_are_sums_of_parts(void **state)
{
    (void)state;
    static const struct reading good[] = {{"0", 0},
                                          {"90", 90000000},
                                          {"90s", 90000000},
                                          {"1.5s", 1500000},
                                          {"250ms", 250000},
                                          {"7us", 7},
                                          {"5m", 300000000},
                                          {"1h30m", 5400000000},
                                          {"1d", 86400000000},
                                          {"2m05s", 125000000}};
    static const char *const bad[] = {"",     "s",    "-5s",   "5x",    "1h30",
                                      "30 s", "1e3s", "1h 5m", "1.5us", "999999999d"};
    assert_reads(cli_parse_duration, good, ARRAY_SIZE(good));
    assert_refuses(cli_parse_duration, bad, ARRAY_SIZE(bad));
}

static void shares_are_between_nothing_and_all(void **state)
{
    (void)state;
    double share;
    assert_true(cli_parse_share("40%", &share) && share == 0.4);
    assert_true(cli_parse_share("0.25", &share) && share == 0.25);
    assert_true(cli_parse_share("0", &share) && share == 0);
    assert_true(cli_parse_share("100%", &share) && share == 1);
    static const char *const bad[] = {"", "%", "-1%", "101%", "40", "1.1", "nan", "inf", "4%%"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(cli_parse_share(bad[i], &share));
}

static void times_are_those_of_rfc_3339(void **state)
{
    (void)state;
    static const struct reading good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01.5Z", 1500000},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T23:00:00-01:00", 0},
        {"2000-02-29T00:00:00.123456Z", 951782400123456},
        {"2001-09-09T01:46:40z", 1000000000000000},
    };
    static const char *const bad[] = {"",
                                      "2000-01-01",
                                      "2000-01-01T00:00:00",
                                      "1969-12-31T23:59:59Z",
                                      "2001-02-29T00:00:00Z",
                                      "2000-13-01T00:00:00Z",
                                      "2000-00-01T00:00:00Z",
                                      "2000-01-00T00:00:00Z",
                                      "2000-01-01T24:00:00Z",
                                      "2000-01-01T00:60:00Z",
                                      "2000-01-01T00:00:00.Z",
                                      "2000-01-01T00:00:00.1234567Z",
                                      "2000-01-01T00:00:00+1:00",
                                      "2000-01-01T00:00:00Zx"};
    assert_reads(cli_parse_time, good, ARRAY_SIZE(good));
    assert_refuses(cli_parse_time, bad, ARRAY_SIZE(bad));
}

static void a_printed_time_is_read_back(void **state)
{
    (void)state;
    static const uint64_t times[] = {0, 1, 999999, 1763695790123456, 253402300799999999};
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        char text[CLI_UNIT_SIZE];
        uint64_t us;
        assert_true(cli_parse_time(cli_time_text(text, times[i]), &us));
        assert_int_equal(us, times[i]);
    }
}

static void an_absurd_time_is_printed_as_the_last_one(void **state)
{
    (void)state;
    char text[CLI_UNIT_SIZE];
    assert_string_equal(cli_time_text(text, UINT64_MAX), "9999-12-31T23:59:59.999999Z");
}

static void figures_are_short(void **state)
{
    (void)state;
    char text[CLI_UNIT_SIZE];
    assert_string_equal(cli_size_text(text, 0), "0 B");
    assert_string_equal(cli_size_text(text, 1023), "1023 B");
    assert_string_equal(cli_size_text(text, 1024), "1.0 KiB");
    assert_string_equal(cli_size_text(text, 1572864), "1.5 MiB");
    assert_string_equal(cli_size_text(text, UINT64_MAX), "16.0 EiB");
    assert_string_equal(cli_count_text(text, 0), "0");
    assert_string_equal(cli_count_text(text, 999), "999");
    assert_string_equal(cli_count_text(text, 1234567), "1,234,567");
    assert_string_equal(cli_count_text(text, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(cli_duration_text(text, 312), "312us");
    assert_string_equal(cli_duration_text(text, 12345), "12ms");
    assert_string_equal(cli_duration_text(text, 89560000), "1m29s");
    assert_string_equal(cli_duration_text(text, 9560000), "9.5s");
    assert_string_equal(cli_duration_text(text, 3725000000), "1h02m");
    assert_string_equal(cli_duration_text(text, 100 * 3600000000ull), "4d04h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_up_to_the_largest),
        cmocka_unit_test(sizes_take_binary_suffixes),
        cmocka_unit_test(durations_are_sums_of_parts),
        cmocka_unit_test(shares_are_between_nothing_and_all),
        cmocka_unit_test(times_are_those_of_rfc_3339),
        cmocka_unit_test(a_printed_time_is_read_back),
        cmocka_unit_test(an_absurd_time_is_printed_as_the_last_one),
        cmocka_unit_test(figures_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
