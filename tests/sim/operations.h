/* SPDX-License-Identifier: MIT
 * operations.h: the table of all kinds of steps. A new kind is a name in enum step_kind, a line
 * here, and the function that does it and holds what it sees against the model. */
#ifndef SIM_OPERATIONS_H
#define SIM_OPERATIONS_H

#include "plan.h"

struct run;

/* Which numbers of a step mean something to an operation. */
enum uses {
    USES_KEY = 1,
    USES_KEYS = 2,
    USES_VALUE = 4, /* size and time to live */
    USES_SYNC = 8,
    USES_DELETES = 16,
    USES_FLAGS = 32,
    USES_AMOUNT = 64,
    BUSY = 128,   /* makes many calls: crashes come oftener and later */
    CLOSES = 256, /* ends with the store closed, or crashed; not while the device lies */
    USES_WRITE = USES_VALUE | USES_SYNC,
};

struct operation {
    const char *name;
    unsigned uses;   /* enum uses */
    uint32_t weight; /* how often it comes, when it does */
    void (*run)(struct run *run, const struct step *step);
};

extern const struct operation OPERATIONS[STEP_KINDS];

#endif
