/* SPDX-License-Identifier: MIT
 * barrier.h: a memory barrier that one thread makes all others of the process pass.
 *
 * For pairs of sides of which one runs all the time and the other seldom (engine/epoch): the
 * frequent side then needs no barrier instruction of its own, only the compiler kept from changing
 * the order. Linux: membarrier(2), since 4.14. */
#ifndef OS_BARRIER_H
#define OS_BARRIER_H

#include <stdbool.h>

/* Where it cannot be had: no store stays in a processor, unseen by others, for as long as this. */
enum { BARRIER_INSTEAD_US = 10000 };

/* Can this process do it? False as well under ThreadSanitizer, which does not know of it. To be
 * called before barrier_threads, and again in a process made by fork. Cheap, any thread. */
bool barrier_init(void);

/* On true, every thread of the process has passed a full barrier since the call. False if the
 * system has come to refuse it. Cost: some microseconds. */
bool barrier_threads(void);

#endif
