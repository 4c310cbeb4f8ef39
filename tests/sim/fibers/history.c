/* SPDX-License-Identifier: MIT
 * history.c: see history.h. */
#include "history.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"

struct event *history_begin(struct history *history, enum event_kind kind, uint32_t key)
{
    CHECK(history->count < HISTORY_MAX);
    struct event *event = &history->events[history->count++];
    *event = (struct event){.kind = kind, .key = key, .begin = ++history->clock};
    return event;
}

uint32_t history_number(const struct history *history, const struct event *event)
{
    return (uint32_t)(event - history->events) + 1;
}

void history_end(struct history *history, struct event *event)
{
    event->end = ++history->clock;
}

static bool is_write(const struct event *event)
{
    return event->kind != EVENT_READ && event->done;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->end != 0 && a->end < b->begin;
}

#define WRONG(...) (snprintf(what, what_size, __VA_ARGS__), false)

/* ---- Values ---------------------------------------------------------------------------------- */

/* A read that shows a write: it is that key's, and its version. A write of unknown outcome is known
 * to have happened then. */
static bool check_value(struct history *history, const struct event *read, char *what,
                        size_t what_size)
{
    struct event *write = &history->events[read->value - 1];
    if (read->value > history->count || write->kind == EVENT_READ || write->kind == EVENT_DELETE ||
        write->key != read->key)
        return WRONG("a read of key %u showed value %u, which is not of it [X2]", read->key,
                     read->value);
    if (write->begin > read->end)
        return WRONG("a read of key %u showed value %u before it was written", read->key,
                     read->value);
    if (write->maybe && !write->done) {
        write->done = true;
        write->version = read->version;
    }
    if (!write->done)
        return WRONG("a read of key %u showed value %u, whose write failed [W6]", read->key,
                     read->value);
    if (write->version != read->version)
        return WRONG("a read of key %u showed value %u with version %" PRIu64 ", not %" PRIu64,
                     read->key, read->value, read->version, write->version);
    return true;
}

/* ---- Writes ---------------------------------------------------------------------------------- */

static const struct event *write_before(const struct history *history, const struct event *write)
{
    const struct event *found = NULL;
    for (size_t i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        if (is_write(event) && event->key == write->key && event->version < write->version &&
            (!found || event->version > found->version))
            found = event;
    }
    return found;
}

/* Deletes whose version is not known, or nothing certain at all, forgive what comes before. */
static bool is_vague(const struct history *history, uint32_t key)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->events[i].key == key && history->events[i].maybe && !history->events[i].done)
            return true;
    return false;
}

static bool check_condition(const struct history *history, const struct event *write, char *what,
                            size_t what_size)
{
    const struct event *last = write_before(history, write);
    bool there = last && last->kind != EVENT_DELETE;
    if (is_vague(history, write->key))
        return true;
    if (write->kind == EVENT_PUT_ABSENT && there)
        return WRONG("key %u was put as absent, on top of version %" PRIu64 " [W1]", write->key,
                     last->version);
    if (write->kind == EVENT_DELETE && !there)
        return WRONG("key %u was deleted with version %" PRIu64 ", and was not there [W1]",
                     write->key, write->version);
    if (write->kind == EVENT_PUT_VERSION && (!there || last->version != write->if_version))
        return WRONG("key %u was put on version %" PRIu64 ", which was %" PRIu64 " then [W1]",
                     write->key, write->if_version, there ? last->version : 0);
    return true;
}

static bool check_write(const struct history *history, const struct event *write, char *what,
                        size_t what_size)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct event *other = &history->events[i];
        if (other == write || !is_write(other))
            continue;
        if (other->version == write->version)
            return WRONG("version %" PRIu64 " was given twice [L1]", write->version);
        if (before(other, write) && other->version > write->version)
            return WRONG("version %" PRIu64 " was given after version %" PRIu64 " [W5]",
                         write->version, other->version);
    }
    return check_condition(history, write, what, what_size);
}

/* ---- Reads ----------------------------------------------------------------------------------- */

/* The newest write of the key that had ended before `event` began, or that an earlier read showed.
 */
static uint64_t least_version(const struct history *history, const struct event *event)
{
    uint64_t least = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct event *other = &history->events[i];
        if (other->key == event->key && other->done && before(other, event) &&
            other->version > least)
            least = other->version;
    }
    return least;
}

static bool check_read(const struct history *history, const struct event *read, char *what,
                       size_t what_size)
{
    uint64_t least = least_version(history, read);
    if (read->value != 0 && read->version < least)
        return WRONG("a read of key %u showed version %" PRIu64 " after version %" PRIu64 " [X3]",
                     read->key, read->version, least);
    if (read->value != 0 || least == 0 || is_vague(history, read->key))
        return true;
    for (size_t i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        if (event->kind == EVENT_DELETE && event->done && event->key == read->key &&
            event->version >= least && event->begin < read->end)
            return true;
    }
    return WRONG("a read did not find key %u, which had version %" PRIu64 " and no delete [X3]",
                 read->key, least);
}

/* Of each key what the snapshot must show is known exactly. */
static bool check_as_of(const struct history *history, const struct event *read, char *what,
                        size_t what_size)
{
    const struct event limit = {.key = read->key, .version = read->as_of + 1};
    const struct event *newest = write_before(history, &limit);
    bool there = newest && newest->kind != EVENT_DELETE;
    if (is_vague(history, read->key))
        return true;
    if (there != (read->value != 0) || (there && newest->version != read->version))
        return WRONG("a snapshot of version %" PRIu64 " showed version %" PRIu64
                     " of key %u, not %" PRIu64 " [X6]",
                     read->as_of, read->version, read->key, there ? newest->version : 0);
    return true;
}

/* Does the read show the key as before the write (-1), as after it (1), or is that not known? */
static int side_of(const struct event *read, const struct event *write)
{
    if (read->kind != EVENT_READ || !read->done || read->key != write->key || read->value == 0 ||
        !is_write(write))
        return 0;
    return read->version < write->version ? -1 : 1;
}

/* The events of a batch, and those of a look at several keys, stand next to each other: `read` and
 * `write` are the first of theirs. */
static bool check_together(const struct history *history, const struct event *read,
                           const struct event *write, char *what, size_t what_size)
{
    const struct event *end = history->events + history->count, *seen = NULL;
    int side = 0;
    for (const struct event *r = read; r < end && r->together == read->together; r++)
        for (const struct event *w = write; w < end && w->together == write->together; w++) {
            int one = side_of(r, w);
            if (one != 0 && side == -one)
                return WRONG("keys %u and %u were seen with half of a batch of version %" PRIu64
                             " [X5]",
                             seen->key, r->key, w->version);
            if (one != 0)
                seen = r, side = one;
        }
    return true;
}

static bool is_first(const struct history *history, size_t at)
{
    const struct event *event = &history->events[at];
    return event->together != 0 && (at == 0 || event[-1].together != event->together);
}

static bool check_batches(const struct history *history, char *what, size_t what_size)
{
    for (size_t r = 0; r < history->count; r++)
        for (size_t w = 0; w < history->count && is_first(history, r); w++)
            if (is_first(history, w) && history->events[r].kind == EVENT_READ &&
                history->events[w].kind != EVENT_READ &&
                !check_together(history, &history->events[r], &history->events[w], what, what_size))
                return false;
    return true;
}

bool history_check(struct history *history, uint32_t keys, char *what, size_t what_size)
{
    (void)keys;
    for (size_t i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        if (event->kind == EVENT_READ && event->done && event->value != 0 &&
            !check_value(history, event, what, what_size))
            return false;
    }
    for (size_t i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        if (!event->done)
            continue;
        bool good = event->kind != EVENT_READ ? check_write(history, event, what, what_size)
                    : event->as_of != 0       ? check_as_of(history, event, what, what_size)
                                              : check_read(history, event, what, what_size);
        if (!good)
            return false;
    }
    return check_batches(history, what, what_size);
}

/* ---- After a crash --------------------------------------------------------------------------- */

static bool is_lost(const struct history *history, const struct event *write,
                    const struct shown *shown)
{
    if (shown->version >= write->version)
        return false; /* it is there, or something newer is */
    if (shown->version != 0)
        return true;
    /* Nothing shows: it, or a newer write, must be a delete. */
    for (size_t i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        if (event->kind == EVENT_DELETE && event->key == write->key &&
            (event->done || event->maybe) && (event->maybe || event->version >= write->version))
            return false;
    }
    return true;
}

bool history_check_prefix(struct history *history, uint32_t keys, const struct shown *shown,
                          bool whole, char *what, size_t what_size)
{
    uint64_t newest = 0;
    for (uint32_t key = 0; key < keys; key++) {
        struct event read = {.kind = EVENT_READ,
                             .key = key,
                             .end = UINT64_MAX,
                             .value = shown[key].value,
                             .version = shown[key].version};
        if (read.value != 0 && !check_value(history, &read, what, what_size))
            return false;
        if (shown[key].version > newest)
            newest = shown[key].version;
    }
    for (size_t i = 0; i < history->count; i++) {
        const struct event *write = &history->events[i];
        if (!is_write(write) || !is_lost(history, write, &shown[write->key]))
            continue;
        if (write->durable || whole)
            return WRONG("version %" PRIu64 " of key %u is lost, which was %s [W4, D1]",
                         write->version, write->key, write->durable ? "durable" : "done");
        if (write->version < newest)
            return WRONG("version %" PRIu64 " of key %u is lost, but version %" PRIu64
                         " is there [R3]",
                         write->version, write->key, newest);
    }
    return true;
}
