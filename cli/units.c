/* SPDX-License-Identifier: MIT
 * units.c: numbers, sizes, durations and times as text, read and printed. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#define US_PER_MS UINT64_C(1000)
#define US_PER_S UINT64_C(1000000)
#define US_PER_MIN (60 * US_PER_S)
#define US_PER_HOUR (60 * US_PER_MIN)
#define US_PER_DAY (24 * US_PER_HOUR)
#define DURATION_MAX_US (UINT64_C(1) << 61)

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
    {NULL, 0},
};

static const struct unit duration_units[] = {
    {"", US_PER_S},    {"us", 1},          {"ms", US_PER_MS}, {"s", US_PER_S},
    {"m", US_PER_MIN}, {"h", US_PER_HOUR}, {"d", US_PER_DAY}, {NULL, 0},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Read "12" or "1.5" and the letters behind it, scaled by their unit; *end is behind the letters.
 * Integer arithmetic as long as there is no fraction, so that large numbers stay exact. */
static bool parse_scaled(const char *text, const struct unit *units, uint64_t *result,
                         const char **end)
{
    if (!is_digit(*text))
        return false;
    uint64_t whole = 0;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*text - '0'), &whole))
            return false;
    double fraction = 0, place = 0.1;
    if (*text == '.') {
        if (!is_digit(*++text))
            return false;
        for (; is_digit(*text); text++, place /= 10)
            fraction += (*text - '0') * place;
    }
    size_t letters = 0;
    while ((text[letters] >= 'a' && text[letters] <= 'z') ||
           (text[letters] >= 'A' && text[letters] <= 'Z'))
        letters++;
    for (; units->name != NULL; units++) {
        if (strlen(units->name) != letters || strncasecmp(units->name, text, letters) != 0)
            continue;
        if (fraction > 0 && units->factor == 1)
            return false;
        uint64_t part = (uint64_t)(fraction * (double)units->factor + 0.5);
        *end = text + letters;
        return !__builtin_mul_overflow(whole, units->factor, result) &&
               !__builtin_add_overflow(*result, part, result);
    }
    return false;
}

bool cli_parse_uint(const char *text, uint64_t *number)
{
    /* Counts are 1000-based: "10M" keys are ten million. */
    static const struct unit counts[] = {{"", 1},        {"k", 1000},       {"K", 1000},
                                         {"M", 1000000}, {"G", 1000000000}, {NULL, 0}};
    const char *end;
    return strchr(text, '.') == NULL && parse_scaled(text, counts, number, &end) && *end == '\0';
}

bool cli_parse_size(const char *text, uint64_t *bytes)
{
    /* "64KiB" and "64KB" are what people type; both mean 1024. */
    char copy[CLI_UNIT_SIZE];
    size_t size = strlen(text);
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size + 1);
    if (size > 3 && strcasecmp(copy + size - 2, "iB") == 0)
        copy[size - 2] = '\0';
    else if (size > 2 && !is_digit(copy[size - 2]) && strcasecmp(copy + size - 1, "B") == 0)
        copy[size - 1] = '\0';
    const char *end;
    return parse_scaled(copy, size_units, bytes, &end) && *end == '\0';
}

bool cli_parse_duration(const char *text, uint64_t *us)
{
    uint64_t total = 0;
    const char *start = text;
    do { /* "1h30m" is a sum; a part without a unit must stand alone */
        uint64_t part;
        const char *end;
        if (!parse_scaled(text, duration_units, &part, &end) ||
            __builtin_add_overflow(total, part, &total) || total > DURATION_MAX_US)
            return false;
        bool bare = is_digit(end[-1]);
        if (bare && (text != start || *end != '\0'))
            return false;
        text = end;
    } while (*text != '\0');
    *us = total;
    return true;
}

bool cli_parse_share(const char *text, double *share)
{
    if (!is_digit(*text))
        return false;
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (*end == '%') {
        number /= 100;
        end++;
    }
    if (errno != 0 || *end != '\0' || !isfinite(number) || number < 0 || number > 1)
        return false;
    *share = number;
    return true;
}

/* `count` digits at *text as a number of at most `max`; moves *text behind them. */
static bool take_digits(const char **text, int count, int max, int *number)
{
    *number = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (!is_digit(**text))
            return false;
        *number = *number * 10 + (**text - '0');
    }
    return *number <= max;
}

static bool take_char(const char **text, const char *any_of)
{
    if (**text == '\0' || strchr(any_of, **text) == NULL)
        return false;
    (*text)++;
    return true;
}

static bool take_fraction(const char **text, uint64_t *us)
{
    *us = 0;
    if (!take_char(text, "."))
        return true;
    uint64_t place = US_PER_S;
    do {
        if (!is_digit(**text) || place == 1)
            return false;
        place /= 10;
        *us += (uint64_t)(**text - '0') * place;
        (*text)++;
    } while (is_digit(**text));
    return true;
}

static bool take_offset(const char **text, int64_t *offset_s)
{
    *offset_s = 0;
    if (take_char(text, "Zz"))
        return true;
    bool east = **text == '+';
    int hours, minutes;
    if (!take_char(text, "+-") || !take_digits(text, 2, 23, &hours) || !take_char(text, ":") ||
        !take_digits(text, 2, 59, &minutes))
        return false;
    *offset_s = (hours * 60 + minutes) * (east ? 60 : -60);
    return true;
}

bool cli_parse_time(const char *text, uint64_t *us)
{
    struct tm tm = {0};
    uint64_t fraction_us;
    int64_t offset_s;
    if (!take_digits(&text, 4, 9999, &tm.tm_year) || !take_char(&text, "-") ||
        !take_digits(&text, 2, 12, &tm.tm_mon) || !take_char(&text, "-") ||
        !take_digits(&text, 2, 31, &tm.tm_mday) || !take_char(&text, "Tt ") ||
        !take_digits(&text, 2, 23, &tm.tm_hour) || !take_char(&text, ":") ||
        !take_digits(&text, 2, 59, &tm.tm_min) || !take_char(&text, ":") ||
        !take_digits(&text, 2, 60, &tm.tm_sec) || !take_fraction(&text, &fraction_us) ||
        !take_offset(&text, &offset_s) || *text != '\0')
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    const struct tm given = tm;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    int64_t seconds = timegm(&tm);
    /* timegm turns 30 February into a day of March: such a date is refused. */
    if (tm.tm_mday != given.tm_mday || tm.tm_mon != given.tm_mon)
        return false;
    seconds += given.tm_hour * 3600 + given.tm_min * 60 + given.tm_sec - offset_s;
    if (seconds < 0)
        return false;
    *us = (uint64_t)seconds * US_PER_S + fraction_us;
    return true;
}

const char *cli_size_text(char to[CLI_UNIT_SIZE], uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double number = (double)bytes;
    size_t unit = 0;
    for (; number >= 1023.95 && unit + 1 < sizeof(names) / sizeof(names[0]); unit++)
        number /= 1024;
    snprintf(to, CLI_UNIT_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", number, names[unit]);
    return to;
}

const char *cli_count_text(char to[CLI_UNIT_SIZE], uint64_t count)
{
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    char *p = to;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return to;
}

const char *cli_duration_text(char to[CLI_UNIT_SIZE], uint64_t us)
{
    if (us < US_PER_MS)
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 "us", us);
    else if (us < US_PER_S)
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 "ms", us / US_PER_MS);
    else if (us < US_PER_MIN)
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 ".%" PRIu64 "s", us / US_PER_S,
                 us % US_PER_S / (US_PER_S / 10));
    else if (us < US_PER_HOUR)
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 "m%02" PRIu64 "s", us / US_PER_MIN,
                 us % US_PER_MIN / US_PER_S);
    else if (us < US_PER_DAY)
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 "h%02" PRIu64 "m", us / US_PER_HOUR,
                 us % US_PER_HOUR / US_PER_MIN);
    else
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 "d%02" PRIu64 "h", us / US_PER_DAY,
                 us % US_PER_DAY / US_PER_HOUR);
    return to;
}

const char *cli_time_text(char to[CLI_UNIT_SIZE], uint64_t us)
{
    time_t seconds = (time_t)(us / US_PER_S);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 9999 - 1900) {
        snprintf(to, CLI_UNIT_SIZE, "9999-12-31T23:59:59.999999Z"); /* an absurd expiry */
        return to;
    }
    size_t size = strftime(to, CLI_UNIT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(to + size, CLI_UNIT_SIZE - size, ".%06" PRIu64 "Z", us % US_PER_S);
    return to;
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

uint64_t cli_now_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

uint64_t cli_monotonic_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}
