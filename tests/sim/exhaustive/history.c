/* SPDX-License-Identifier: MIT
 * history.c: see history.h. */
#include "history.h"

#include <string.h>

#include "base/check.h"

enum { UNKNOWN_MAX = 12 };

/* The state after the first `count` atoms; of the unknown ones those whose bit is set, by their
 * order. */
static void apply(const struct history *history, size_t count, uint32_t happened, uint64_t at_us,
                  struct sight *sight)
{
    uint64_t expires_us[KEYS] = {0};
    *sight = (struct sight){.at_us = at_us};
    for (size_t i = 0; i < count; i++) {
        const struct history_atom *atom = &history->atoms[i];
        bool applies = true;
        if (atom->unknown) {
            applies = happened & 1;
            happened >>= 1;
        }
        for (unsigned w = 0; applies && w < atom->count; w++) {
            sight->values[atom->writes[w].key] = atom->writes[w].value;
            expires_us[atom->writes[w].key] = atom->writes[w].expires_us;
        }
    }
    for (unsigned key = 0; key < KEYS; key++)
        if (expires_us[key] != 0 && expires_us[key] <= at_us)
            sight->values[key] = 0;
}

static unsigned count_unknown(const struct history *history, size_t count)
{
    unsigned unknown = 0;
    for (size_t i = 0; i < count; i++)
        unknown += history->atoms[i].unknown;
    CHECK(unknown <= UNKNOWN_MAX);
    return unknown;
}

static void adopt(struct history *history, size_t count, uint32_t happened)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool applies = true;
        if (history->atoms[i].unknown) {
            applies = happened & 1;
            happened >>= 1;
        }
        if (!applies)
            continue;
        history->atoms[kept] = history->atoms[i];
        history->atoms[kept++].unknown = false;
    }
    history->count = history->durable = kept;
}

bool history_settle(struct history *history, const struct sight *seen, size_t least)
{
    for (size_t count = history->count;; count--) {
        uint32_t outcomes = 1u << count_unknown(history, count);
        for (uint32_t happened = 0; happened < outcomes; happened++) {
            struct sight expected;
            apply(history, count, happened, seen->at_us, &expected);
            if (memcmp(expected.values, seen->values, sizeof seen->values) != 0)
                continue;
            adopt(history, count, happened);
            return true;
        }
        if (count <= least)
            return false;
    }
}

void history_state(const struct history *history, uint64_t at_us, struct sight *sight)
{
    apply(history, history->count, 0, at_us, sight);
}
