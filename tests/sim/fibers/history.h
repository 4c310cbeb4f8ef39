/* SPDX-License-Identifier: MIT
 * history.h: what was asked and answered, and whether it could have happened one after the other.
 *
 * Each key is a register. Every write has a version, and versions are the order of the writes; a
 * value tells which write it is. So the check needs no search:
 *
 *   1 of two writes of a key, the one that ended before the other began has the lower version (W5);
 *   2 a conditional write fits the write before it, by version (W1);
 *   3 a read shows a write that had begun before the read ended, and no older one than any that had
 *     ended before the read began; a read that shows nothing stands where a delete does (X2, X3);
 *   4 of two reads, the one that ended before the other began shows no newer write.
 *
 *   5 a look at several keys shows each batch as a whole or not at all (X5);
 *   6 a look at a snapshot shows of each key the newest write up to its version (X6).
 *
 * An operation whose outcome is not known (a crash came, or a sync failed) may have happened at any
 * time after its beginning, or not. */
#ifndef FIBERS_HISTORY_H
#define FIBERS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_MAX = 4096 };

enum event_kind { EVENT_READ, EVENT_PUT, EVENT_DELETE, EVENT_PUT_ABSENT, EVENT_PUT_VERSION };

struct event {
    enum event_kind kind;
    uint32_t key;
    uint64_t begin, end; /* logical time; end 0: not yet */
    bool done;           /* it was answered: it happened, or showed something */
    bool maybe;          /* a write of unknown outcome */
    bool durable;        /* a write that a power cut must not take */
    uint64_t version;    /* given by a write; 0 for a read of nothing */
    uint32_t value;      /* of a read: the event that wrote it, from 1 */
    uint64_t if_version; /* of a PUT_VERSION */
    uint32_t together;   /* of a batch, or of a look at several keys: the same number; or 0 */
    uint64_t as_of;      /* of a look at a snapshot: its version; 0: at what there is now */
};

struct history {
    struct event events[HISTORY_MAX];
    size_t count;
    uint64_t clock;
};

struct event *history_begin(struct history *history, enum event_kind kind, uint32_t key);
/* The number by which values name it. */
uint32_t history_number(const struct history *history, const struct event *event);
void history_end(struct history *history, struct event *event);

/* False if it could not have happened; `what` says why. */
bool history_check(struct history *history, uint32_t keys, char *what, size_t what_size);

/* After a crash the store shows (value, version) of each key; 0 for nothing. It must be a prefix of
 * the writes by version, no shorter than what is durable; all that was done if `whole`. */
struct shown {
    uint32_t value;
    uint64_t version;
};
bool history_check_prefix(struct history *history, uint32_t keys, const struct shown *shown,
                          bool whole, char *what, size_t what_size);

#endif
