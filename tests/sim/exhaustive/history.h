/* SPDX-License-Identifier: MIT
 * history.h: what a short script has written, and which states of a store it explains.
 *
 * Simpler than the simulator's model, on purpose, so that the two have no mistake in common: a
 * history has at most HISTORY_MAX atoms, and all outcomes are tried. */
#ifndef EXHAUSTIVE_HISTORY_H
#define EXHAUSTIVE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KEYS = 8, /* named a to h */
    HISTORY_MAX = 32,
    ATOM_WRITES_MAX = 8,
};

struct history_write {
    unsigned key;
    uint32_t value; /* its number; 0: deleted */
    uint64_t expires_us;
};

/* A write, or a batch. */
struct history_atom {
    struct history_write writes[ATOM_WRITES_MAX];
    unsigned count;
    bool unknown; /* it happened as a whole or not at all, nobody knows */
};

struct history {
    struct history_atom atoms[HISTORY_MAX];
    size_t count;
    size_t durable; /* so many atoms survive anything */
};

/* The value of each key, 0 if it is not there, and the wall clock at which it was looked at. */
struct sight {
    uint32_t values[KEYS];
    uint64_t at_us;
};

/* Is there a prefix of the history, of at least `least` atoms, each unknown one in it left out or
 * not, that leads to what was seen? Then that is the history from now on, and durable. */
bool history_settle(struct history *history, const struct sight *sight, size_t least);

/* What the whole history leads to, unknown atoms left out. */
void history_state(const struct history *history, uint64_t at_us, struct sight *sight);

#endif
