/* SPDX-License-Identifier: MIT
 * read_ahead.h: how much of a segment comes into memory when a page is touched that is not there.
 *
 * SINGLE: that page, 4 KiB. WIDE: 2 MiB or more around it, in pages of that size where the system
 * has them (MADV_HUGEPAGE: since Linux 5.18 a fault reads two of them, whatever read_ahead_kb of
 * the device is; else as much as that says).
 *
 * If the data fits into memory, WIDE is right by far: a thousand gets have read what would take a
 * hundred thousand page by page, and a record in a large page is found with fewer misses of the
 * TLB. If it does not fit, WIDE is ruinous: each get would read 4 MiB and push as much out. So all
 * segments are WIDE or none is. By option, or (AUTO) WIDE as long as all segments together take no
 * more than half of the memory that there is for pages of files (os->available_memory: machine and
 * control groups, pages that are in memory already counted as available), and SINGLE again from
 * three quarters on: so it does not swing to and fro. Unknown memory is SINGLE.
 *
 * Looked at when a store is opened, when its data has grown or shrunk by an eighth since, when a
 * follower has refreshed, and once a minute by the merge thread, as others may have taken memory. A
 * store that is open for reading only has no thread: it keeps what it was opened with.
 *
 * The active segment is the log's affair while it is filled (engine/log_ahead.h); if it was there
 * when the store was opened, the part behind which it will be written to is left out of large
 * pages, since a sync writes all of a page. */
#ifndef ENGINE_READ_AHEAD_H
#define ENGINE_READ_AHEAD_H

#include "engine/segment.h"

struct store;

/* How it should be from now on for a segment that is read: opened, or sealed. As the table of its
 * segments has it. Any thread. */
void read_ahead_begin(struct segment *segment);

/* Give the same advice again, after a walk that gave another. */
void read_ahead_resume(const struct segment *segment);

/* Decide whether the store's data fits, and tell all segments if that is news. Looks at memory only
 * if `now`, or if the data has changed by an eighth since it last did. Any thread; takes
 * read_ahead.mutex and segments.mutex. Failure leaves it as it is. Cost: a walk over the segments;
 * if memory is looked at some 100 us; if it is news some microseconds for each segment. */
void read_ahead_look(struct store *store, bool now);

#endif
