/* SPDX-License-Identifier: MIT
 * log_ahead.h: pages of the active segment, faulted in before records are written to them.
 *
 * A store into a page that is not there yet costs a fault, and the kernel clears the page first: as
 * much again as the rest of a put. So pages are asked for in steps. From 2 MiB on a thread does so
 * ahead of the writers, in pages of 2 MiB where the file system has them and syncs are rare: then
 * one fault and one entry of the TLB do for 512 small pages, which readers of the segment have of
 * it too, and a sync takes back the right to write them by one interruption of the other processors
 * instead of 512. What it has not done in time the head does itself.
 *
 * The thread is one of its own, since the store's may be busy with a seal for as long as it takes
 * to fill a segment; it is begun when it is first wanted, so a store that is not written to, or
 * hardly, has none. */
#ifndef ENGINE_LOG_AHEAD_H
#define ENGINE_LOG_AHEAD_H

#include "engine/store.h"

/* Fault in to `want` at least, which is allocated. The head's; the segment is written through its
 * mapping. */
void log_populate(struct store *store, struct segment *active, uint64_t want);

/* Ask the thread for more if little is left. The head's. Returns the offset at which to ask
 * again; UINT64_MAX if there is no need to. */
uint64_t log_look_ahead(struct store *store, struct segment *active);

/* What was asked for: the thread's. Any thread, one at a time. */
void log_populate_ahead(struct store *store);

/* End the thread, if there is one. The caller has set `stopping`; nobody writes any more. */
void log_ahead_stop(struct store *store);

#endif
