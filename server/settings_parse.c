/* SPDX-License-Identifier: MIT
 * settings_parse.c: from the text of a setting to its value, with Redis's words for what is wrong.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "encoding.h"
#include "settings_table.h"

static bool wrong(char why[SETTING_WHY_SIZE], const char *text)
{
    snprintf(why, SETTING_WHY_SIZE, "%s", text);
    return false;
}

static char *number_text(uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, (int64_t)number);
    return strdup(text);
}

/* An integer as a whole: sign and digits, nothing else. */
static bool parse_integer(const char *text, int64_t *number)
{
    const char *digits = text + (text[0] == '-');
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
        return false;
    errno = 0;
    *number = strtoll(text, NULL, 10);
    return errno == 0;
}

static bool in_range(const struct setting *setting, int64_t number, char why[SETTING_WHY_SIZE])
{
    if (number >= setting->min && number <= setting->max)
        return true;
    snprintf(why, SETTING_WHY_SIZE,
             "argument must be between %" PRId64 " and %" PRId64 " inclusive", setting->min,
             setting->max);
    return false;
}

/* Redis's memory values: k, m, g are powers of 1000, kb, mb, gb of 1024. */
static bool parse_bytes(const char *text, int64_t *bytes)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"", 1},           {"b", 1},          {"k", 1000},
                 {"kb", 1 << 10},   {"m", 1000000},    {"mb", 1 << 20},
                 {"g", 1000000000}, {"gb", 1LL << 30}, {NULL, 0}};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 19)
        return false;
    errno = 0;
    int64_t number = strtoll(text, NULL, 10);
    for (size_t i = 0; errno == 0 && units[i].name != NULL; i++)
        if (strcasecmp(units[i].name, text + digits) == 0)
            return !__builtin_mul_overflow(number, units[i].factor, bytes);
    return false;
}

static bool parse_choice(const struct setting *setting, const char *value, uint64_t *number,
                         char **text, char why[SETTING_WHY_SIZE])
{
    const struct setting_choice *choices = setting->choices;
    for (size_t i = 0; choices[i].name != NULL; i++) {
        if (strcasecmp(choices[i].name, value) != 0)
            continue;
        size_t shown = 0; /* "interval" is shown as "everysec": the name that clients know */
        while (choices[shown].number != choices[i].number)
            shown++;
        *number = choices[i].number;
        *text = strdup(choices[shown].name);
        return true;
    }
    size_t size =
        (size_t)snprintf(why, SETTING_WHY_SIZE, "argument(s) must be one of the following: ");
    for (size_t i = 0; choices[i].name != NULL && size < SETTING_WHY_SIZE; i++)
        size += (size_t)snprintf(why + size, SETTING_WHY_SIZE - size, "%s%s", i > 0 ? ", " : "",
                                 choices[i].name);
    return false;
}

static bool parse_mode(const struct setting *setting, const char *value, uint64_t *number,
                       char **text, char why[SETTING_WHY_SIZE])
{
    size_t size = strlen(value);
    if (size == 0 || size > 4 || strspn(value, "01234567") != size)
        return wrong(why, "argument couldn't be parsed into an integer");
    *number = strtoull(value, NULL, 8);
    if (!in_range(setting, (int64_t)*number, why))
        return false;
    char shown[8];
    snprintf(shown, sizeof shown, "%" PRIo64, *number);
    *text = strdup(shown);
    return true;
}

/* ---- Letters of notifications --------------------------------------------------------------- */

enum { NOTIFY_ALL = 0x3FF }; /* g$lshzxetd: module events are among them in Redis */

static bool parse_letters(const char *value, uint64_t *number, char **text,
                          char why[SETTING_WHY_SIZE])
{
    static const char letters[] = SETTINGS_NOTIFY_LETTERS;
    uint64_t set = 0;
    for (; *value != '\0'; value++) {
        const char *letter = strchr(letters, *value);
        if (letter != NULL)
            set |= UINT64_C(1) << (letter - letters);
        else if (*value == 'A')
            set |= NOTIFY_ALL;
        else
            return wrong(why, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
    char shown[sizeof letters + 1], *end = shown;
    bool all = (set & NOTIFY_ALL) == NOTIFY_ALL;
    if (all)
        *end++ = 'A';
    for (unsigned i = 0; letters[i] != '\0'; i++)
        if ((set >> i & 1) && !(all && (NOTIFY_ALL >> i & 1)))
            *end++ = letters[i];
    *end = '\0';
    *number = set;
    *text = strdup(shown);
    return true;
}

/* ---- Limits of outputs ---------------------------------------------------------------------- */

enum { NORMAL, SLAVE, PUBSUB, CLASSES };
static const char *const class_names[CLASSES] = {"normal", "slave", "pubsub"};

struct limit {
    int64_t hard, soft, seconds;
};

static int find_class(const char *name)
{
    for (int i = 0; i < CLASSES; i++)
        if (strcasecmp(name, class_names[i]) == 0)
            return i;
    return strcasecmp(name, "replica") == 0 ? SLAVE : -1;
}

static bool read_limits(const char *value, struct limit limits[CLASSES], char why[SETTING_WHY_SIZE])
{
    enum { MAX_WORDS = 4 * CLASSES, MAX_SIZE = 400 };
    char copy[MAX_SIZE + 1];
    const char *words[MAX_WORDS];
    if (strlen(value) >= MAX_SIZE)
        return wrong(why, "Wrong number of arguments in buffer limit configuration.");
    int count = settings_split(value, copy, words, MAX_WORDS);
    if (count < 0 || count % 4 != 0)
        return wrong(why, "Wrong number of arguments in buffer limit configuration.");
    for (int i = 0; i < count; i += 4) {
        int class = find_class(words[i]);
        if (class < 0)
            return wrong(why, "Invalid client class specified in buffer limit configuration.");
        struct limit *limit = &limits[class];
        if (!parse_bytes(words[i + 1], &limit->hard) || !parse_bytes(words[i + 2], &limit->soft) ||
            !parse_integer(words[i + 3], &limit->seconds) || limit->seconds < 0)
            return wrong(why, "Error in hard, soft or soft_seconds setting in buffer limit "
                              "configuration.");
    }
    return true;
}

static bool parse_limits(const char *value, const char *old, uint64_t *number, char **text,
                         char why[SETTING_WHY_SIZE])
{
    struct limit limits[CLASSES] = {0};
    char ignored[SETTING_WHY_SIZE];
    if (old != NULL && !read_limits(old, limits, ignored))
        return wrong(why, ignored);
    if (!read_limits(value, limits, why))
        return false;
    *number = (uint64_t)limits[NORMAL].hard;
    char shown[256];
    size_t size = 0;
    for (int i = 0; i < CLASSES; i++)
        size += (size_t)snprintf(shown + size, sizeof shown - size,
                                 "%s%s %" PRId64 " %" PRId64 " %" PRId64, i > 0 ? " " : "",
                                 class_names[i], limits[i].hard, limits[i].soft, limits[i].seconds);
    *text = strdup(shown);
    return true;
}

struct output_limit setting_output_limit(const char *text, enum output_class class)
{
    struct limit limits[CLASSES] = {0};
    char ignored[SETTING_WHY_SIZE];
    if (!read_limits(text, limits, ignored))
        memset(limits, 0, sizeof limits);
    const struct limit *limit = &limits[class == OUTPUT_PUBSUB ? PUBSUB : NORMAL];
    return (struct output_limit){(uint64_t)limit->hard, (uint64_t)limit->soft,
                                 (uint64_t)limit->seconds};
}

/* ---- Any setting ---------------------------------------------------------------------------- */

bool setting_parse(const struct setting *setting, const char *value, const char *old,
                   uint64_t *number, char **text, char why[SETTING_WHY_SIZE])
{
    int64_t parsed = 0;
    *text = NULL;
    *number = 0;
    switch (setting->kind) {
    case SETTING_IS_TEXT:
        *text = strdup(value);
        break;
    case SETTING_IS_NUMBER:
        if (!parse_integer(value, &parsed))
            return wrong(why, "argument couldn't be parsed into an integer");
        if (!in_range(setting, parsed, why))
            return false;
        *number = (uint64_t)parsed;
        *text = number_text(*number);
        break;
    case SETTING_IS_BYTES:
        if (!parse_bytes(value, &parsed))
            return wrong(why, "argument must be a memory value");
        if (!in_range(setting, parsed, why))
            return false;
        *number = (uint64_t)parsed;
        *text = number_text(*number);
        break;
    case SETTING_IS_YES_NO:
        if (strcasecmp(value, "yes") != 0 && strcasecmp(value, "no") != 0)
            return wrong(why, "argument must be 'yes' or 'no'");
        *number = strcasecmp(value, "yes") == 0;
        *text = strdup(*number ? "yes" : "no");
        break;
    case SETTING_IS_CHOICE:
        if (!parse_choice(setting, value, number, text, why))
            return false;
        break;
    case SETTING_IS_MODE:
        if (!parse_mode(setting, value, number, text, why))
            return false;
        break;
    case SETTING_IS_LIMITS:
        if (!parse_limits(value, old, number, text, why))
            return false;
        break;
    case SETTING_IS_LETTERS:
        if (!parse_letters(value, number, text, why))
            return false;
        break;
    }
    return *text != NULL || wrong(why, "out of memory");
}

/* ---- Words ---------------------------------------------------------------------------------- */

/* One character of "..." behind a backslash; *from is behind what it took. */
static char unescape(const char **from)
{
    const char *p = *from;
    if (p[0] == 'x' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
        *from = p + 3;
        return (char)(hex_digit(p[1]) * 16 + hex_digit(p[2]));
    }
    *from = p + 1;
    return unescape_char(p[0]);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A quoted part that begins behind `quote`. Returns false if it does not end, or if something
 * stands right behind it. */
static bool take_quoted(const char **from, char **to, char quote)
{
    const char *p = *from;
    while (*p != quote) {
        if (*p == '\0')
            return false;
        if (quote == '"' && p[0] == '\\' && p[1] != '\0') {
            p++;
            *(*to)++ = unescape(&p);
        } else if (quote == '\'' && p[0] == '\\' && p[1] == '\'') {
            *(*to)++ = '\'';
            p += 2;
        } else {
            *(*to)++ = *p++;
        }
    }
    *from = p + 1;
    return **from == '\0' || is_space(**from);
}

int settings_split(const char *line, char *to, const char **words, int max_words)
{
    int count = 0;
    for (;;) {
        while (is_space(*line))
            line++;
        if (*line == '\0')
            return count;
        if (count == max_words)
            return -1;
        words[count++] = to;
        while (*line != '\0' && !is_space(*line)) {
            if (*line == '"' || *line == '\'') {
                char quote = *line++;
                if (!take_quoted(&line, &to, quote))
                    return -1;
            } else {
                *to++ = *line++;
            }
        }
        *to++ = '\0';
    }
}
