/* SPDX-License-Identifier: MIT
 * trim.h: letting go of the pages of segments that this process has touched.
 *
 * A page of a mapping that has been read or written counts as the process's memory (RSS) until it
 * is unmapped, although it is the page cache's and the system may take it back. In a container with
 * a limit, for the killer of processes and for whoever looks, a store that has just been written
 * or read as a whole looks as large as its files. Dropping the page-table entries changes that and
 * nothing else: dirty pages stay dirty in the page cache, views stay valid, and the next touch maps
 * the page again, with its neighbours (16 pages, about a microsecond). */
#ifndef ENGINE_TRIM_H
#define ENGINE_TRIM_H

#include "engine/store.h"

/* Let go of all pages of the store's segments that are mapped; of the active one, of those below
 * its end. Any thread, no locks held. OK; NO_MEMORY. Cost: about 10 us for each MiB that was mapped
 * and, spread over later reads, 20 us to map it again. */
bitcask_status trim_pages(struct store *store, bitcask_error *error);

#endif
