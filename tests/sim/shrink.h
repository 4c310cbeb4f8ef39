/* SPDX-License-Identifier: MIT
 * shrink.h: a plan run on its own, and a failing one made short. */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "run.h"

enum { HANG_S = 120 };

/* Run it twice; the traces must agree. log: of the first run, or NULL. */
void run_twice(const struct plan *plan, FILE *log, struct outcome *outcome);

/* Run it in a process of its own, which may die or hang. True if it fails: `what` says how. */
bool plan_fails(const struct plan *plan, char what[512]);

/* Leave out as many steps and faults as possible while it fails in the same way. */
void plan_shrink(struct plan *plan, char what[512]);

#endif
