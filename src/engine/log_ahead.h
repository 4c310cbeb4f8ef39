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

/* Records are synced one by one from here on, each written by a call, and all before them is
 * durable: if the pages that they go to have been faulted in as large ones, have them small again.
 * A sync that writes one block of a large page takes a quarter longer, for it goes through all of
 * them. The head's. */
void log_want_small_pages(struct store *store, struct segment *active);

/* Ask the thread for more if little is left. The head's. Returns the offset at which to ask
 * again; UINT64_MAX if there is no need to. */
uint64_t log_look_ahead(struct store *store, const struct segment *active);

/* `next` comes behind a segment with large pages, and begins with them: where all of its space is
 * allocated the kernel reads far ahead of the first page that is asked for, in small ones. Holding
 * prepare_mutex; nobody else has it yet. */
void log_ahead_begin(struct store *store, struct segment *next);

/* What was asked for: the thread's. Any thread, one at a time. */
void log_populate_ahead(struct store *store);

/* End the thread, if there is one. The caller has set `stopping`; nobody writes any more. */
void log_ahead_stop(struct store *store);

#endif
