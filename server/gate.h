/* SPDX-License-Identifier: MIT
 * gate.h: nobody else executes while a transaction does.
 *
 * Each thread that executes commands has a slot with a mutex of its own and holds it while it
 * executes; nobody else ever touches it, except one who wants to be alone and takes them all, in
 * order. So commands of different threads run side by side at the price of an uncontended mutex,
 * and EXEC, MSETNX, RENAME and the like are isolated without a lock in anybody's way. (A "big
 * reader lock" with the roles of readers and writers given to commands and transactions.)
 *
 * Single commands that read and write (INCR, APPEND) do not need to be alone: they compare and set.
 */
#ifndef SERVER_GATE_H
#define SERVER_GATE_H

struct gate;

/* Returns NULL for want of memory. */
struct gate *gate_new(unsigned slots);
void gate_free(struct gate *gate);

void gate_enter(struct gate *gate, unsigned slot);
void gate_leave(struct gate *gate, unsigned slot);

/* From inside a slot to being alone, and back into the slot. Others may run in between: what was
 * read before is to be read anew. */
void gate_become_alone(struct gate *gate, unsigned slot);
void gate_end_alone(struct gate *gate, unsigned slot);

#endif
