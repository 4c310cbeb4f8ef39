/* SPDX-License-Identifier: MIT
 * processor.h: which processor a thread of the library's own runs on, and whom it lets go first.
 *
 * All of it is a wish: where the system does not grant it (a seccomp filter, one processor only), a
 * thread runs as any other. What a program or its administrator allows (affinity, control groups)
 * stays the limit. */
#ifndef OS_PROCESSOR_H
#define OS_PROCESSOR_H

#include <stdbool.h>

/* The number of the processor that runs the caller, or -1. Cost: some 10 ns. */
int processor_now(void);

/* The calling thread leaves processors to others that want them too, of this program or another: it
 * gets a third of what one of them gets (five steps of nice, for this thread alone), and all of it
 * while nobody wants it. Not to be taken back. Returns whether it is so. */
bool processor_let_others_first(void);

/* The calling thread moves to another processor than `number` if that is where it runs and it may
 * run elsewhere. Cost: where it is not, some 10 ns. */
void processor_keep_off(int number);

#endif
