/* SPDX-License-Identifier: MIT
 * resident.c: pages of the store's files do not pile up in the server's resident memory. */
#include "resident.h"

#include <stdio.h>
#include <unistd.h>

bool resident_is_due(const struct resident *resident, uint64_t bytes, uint64_t limit,
                     uint64_t now_us)
{
    return limit != 0 && bytes > limit && now_us >= resident->next_us;
}

void resident_note(struct resident *resident, uint64_t bytes, uint64_t now_us)
{
    resident->next_us = now_us + bytes / RESIDENT_BYTES_PER_US;
}

uint64_t resident_file_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %*u %llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void resident_tick(struct resident *resident, bitcask *store, uint64_t limit, uint64_t now_us)
{
    uint64_t bytes = limit == 0 ? 0 : resident_file_bytes();
    if (!resident_is_due(resident, bytes, limit, now_us))
        return;
    (void)!bitcask_trim(store, NULL); /* without memory for it: another time */
    resident_note(resident, bytes, now_us);
}
