/* SPDX-License-Identifier: MIT
 * write_queue.h: who serves whom among the threads that write at the same time.
 *
 * Requests are pushed on a stack. Who pushes on an empty one leads: it takes write_mutex and serves
 * all that are on the stack by then. The others wait until they have been served, a little while
 * spinning, then asleep, all of a group on one word, so that one system call wakes them however
 * many they are. So while one group waits for the device, the next one gathers behind a single
 * leader, on another word, and nobody who has been served is kept waiting by it. A thread whose
 * write need not be durable, and that finds write_mutex free, goes ahead of a leader that has not
 * woken up yet and serves the stack in its stead.
 *
 * Threads that write durably again and again would form two groups in turn: those who were served
 * a moment ago come back just after the next group has gone to the device. So its leader waits for
 * them, up to half as long as a sync takes: then there is one group, and half as many syncs. If
 * they do not come back it waits less often. */
#ifndef ENGINE_WRITE_QUEUE_H
#define ENGINE_WRITE_QUEUE_H

#include "engine/group.h"

/* Put the request on the queue. True if it was empty: the caller leads then, and must take
 * write_mutex and, unless the request has been served by then, the queue. Else it may wait. */
bool write_queue_push(struct store *store, struct write_request *request);

/* Is there anybody on it? */
static inline bool write_queue_waits(struct store *store)
{
    return atomic_load_explicit(&store->queue, memory_order_relaxed) != NULL;
}

/* Wait a little for those whom the last group has served. Holding write_mutex, as the leader of a
 * group that waits for the device. */
void write_queue_gather(struct store *store);

/* Such a group of `requests` has been served in `us` microseconds. Holding write_mutex. */
void write_queue_note(struct store *store, uint32_t requests, uint64_t us);

/* All that wait, oldest first, chained by `next`. Holding write_mutex. */
struct write_request *write_queue_take(struct store *store);

/* Wait until the request has been served. */
void write_queue_wait(struct store *store, struct write_request *request);

/* The request has been served; holding write_mutex. It may be gone on return. Returns whom to wake:
 * a set of words, to be united with others, for write_queue_wake; 0: its thread is awake. */
unsigned write_queue_finish(struct write_request *request);

/* Wake those who sleep on these words. */
void write_queue_wake(struct store *store, unsigned words);

#endif
