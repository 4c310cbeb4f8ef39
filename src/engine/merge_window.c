/* SPDX-License-Identifier: MIT
 * merge_window.c: hours of the day. */
#include "engine/merge_window.h"

static const uint64_t HOUR_US = 3600ull * 1000000;

/* One or two digits, up to 24. */
static bool parse_hour(const char **text, uint8_t *hour)
{
    const char *at = *text;
    unsigned value = 0, digits = 0;
    for (; *at >= '0' && *at <= '9' && digits < 2; at++, digits++)
        value = value * 10 + (unsigned)(*at - '0');
    *text = at;
    *hour = (uint8_t)value;
    return digits > 0 && value <= 24;
}

bool merge_window_parse(const char *text, struct merge_window *window)
{
    struct merge_window read;
    *window = (struct merge_window){0, 0};
    if (*text == 0)
        return true;
    if (!parse_hour(&text, &read.from_hour) || *text != '-')
        return false;
    text++;
    if (!parse_hour(&text, &read.to_hour) || *text != 0)
        return false;
    if (read.from_hour == 0 && read.to_hour == 24)
        return true;
    if (read.from_hour % 24 == read.to_hour % 24)
        return false;
    *window = read;
    return true;
}

uint64_t merge_window_wait_us(const struct merge_window *window, uint64_t local_us)
{
    uint64_t from = window->from_hour % 24 * HOUR_US, to = window->to_hour % 24 * HOUR_US;
    uint64_t day = 24 * HOUR_US, now = local_us % day;
    if (from == to)
        return 0;
    uint64_t length = (to + day - from) % day, since = (now + day - from) % day;
    return since < length ? 0 : day - since;
}
