/* SPDX-License-Identifier: MIT
 * log_pages.h: small or large pages for the active segment, and what a sync does with them.
 *
 * Before the kernel writes a page that is mapped, it takes back the right to store into it, so that
 * the next store is noticed. For each small page it does so by itself: it interrupts all processors
 * that run threads of this process, ten microseconds each, holding the lock of the page table. A
 * writer that meets a fault meanwhile in the same table waits until it gets that lock: for pages
 * that are parts of one large page of the cache not before all of them are done, 5 ms for 2 MiB.
 *
 * - Where much is written and syncs are rare, pages are large (2 MiB, mapped as such): one fault
 * and one entry of the TLB do for 512 small ones, which readers of the segment have of it too, and
 *   one interruption.
 * - Else they are small, in the page cache too (OS_ADVISE_RANDOM; with read_ahead_kb of some MiB
 * the kernel would make large ones that are mapped in small ones). Before a sync, those that have
 * been written to are unmapped all at once, so that it finds nothing to take back. What they hold
 * is in the page cache: whoever touches one maps it again, sixteen at a time, in about a
 * microsecond. */
#ifndef ENGINE_LOG_PAGES_H
#define ENGINE_LOG_PAGES_H

#include "engine/store.h"

enum { LOG_LARGE_PAGE = 2 << 20 };

/* `next` has just been made. Behind a segment with large pages it begins with them, since what the
 * kernel reads ahead of the first page that is asked for would be small ones. Nobody else has it
 * yet. */
void log_pages_begin(struct store *store, struct segment *next);

/* Pages that are not there yet are to be large, or small. One thread at a time, holding a pin. */
void log_pages_choose(struct store *store, struct segment *segment, bool large);

/* What has been read ahead in large pages while they were wanted, and not used yet, goes. The
 * head's; cheap if there is no such thing. */
void log_pages_settle(struct store *store, struct segment *active);

/* Records are synced one by one from here on, each written by a call, and all before them is
 * durable: if the pages that they go to have been faulted in as large ones, have them small again.
 * A sync that writes one block of a large page takes a quarter longer, for it goes through all of
 * them. The head's. */
void log_pages_want_small(struct store *store, struct segment *active);

/* A sync of the segment is to come: unmap the small pages that it will write, if they are many.
 * Holding sync_mutex. */
void log_pages_before_sync(struct store *store, struct segment *segment);

#endif
