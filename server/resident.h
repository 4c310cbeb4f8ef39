/* SPDX-License-Identifier: MIT
 * resident.h: pages of the store's files do not pile up in the server's resident memory.
 *
 * What is read and written of the log is mapped, and counts as the process's memory although it is
 * the page cache's: a server that has written or read all of its store once looks as large as that.
 * When those pages are more than mapped-pages-max, the server lets go of them (bitcask_trim). To
 * map them again costs some microseconds for each 64 KiB that are read later, about 30 us a MiB all
 * in all. So that this stays near one percent of one processor, a second goes by for each 400 MB
 * let go of. A store that is read everywhere all the time is therefore resident most of that time,
 * and no more some seconds later. */
#ifndef SERVER_RESIDENT_H
#define SERVER_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

enum { RESIDENT_TICK_MS = 1000, RESIDENT_BYTES_PER_US = 400 };

struct resident { /* zeroed to begin with; of one thread */
    uint64_t next_us;
};

/* Is it time to let go of `bytes` of pages? `limit` 0: never. */
bool resident_is_due(const struct resident *resident, uint64_t bytes, uint64_t limit,
                     uint64_t now_us);
/* It has been done. */
void resident_note(struct resident *resident, uint64_t bytes, uint64_t now_us);

/* Bytes of pages of files that are mapped and have been touched, of the whole process; 0 if that
 * cannot be told. */
uint64_t resident_file_bytes(void);

/* Look, and let go of them if it is time; every RESIDENT_TICK_MS. */
void resident_tick(struct resident *resident, bitcask *store, uint64_t limit, uint64_t now_us);

#endif
