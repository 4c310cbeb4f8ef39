/* SPDX-License-Identifier: MIT
 * record_copy.h: the value of a large record, copied and verified in one walk.
 *
 * To verify first and copy then is to have memory wait: while bytes are copied that the caches have
 * by now, nothing is on its way from memory. So it goes in blocks: each is summed up, then copied,
 * and while it is copied the next one is asked for. */
#ifndef FORMAT_RECORD_COPY_H
#define FORMAT_RECORD_COPY_H

#include "format/record.h"

enum { RECORD_COPY_MIN = 32 << 10 }; /* bytes of a value: below, a copy after the sum is as fast */

/* Copy the last `value_size` bytes of a record of `size` bytes to `to`, and return whether its
 * checksum is right; if it is not, what has been copied is good for nothing.
 * Threads: safe. Cost: as memcpy from memory. */
bool record_copy_value(uint8_t *to, const uint8_t *record, uint64_t size, size_t value_size,
                       uint64_t salt, uint64_t offset);

#endif
