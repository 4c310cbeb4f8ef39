/* SPDX-License-Identifier: MIT
 * fix.h: give files that were changed good checksums again, so that what lies behind them is
 * reached. Each goes as far as the sizes in the file allow. */
#ifndef FUZZ_FIX_H
#define FUZZ_FIX_H

#include "format/hint.h"
#include "format/index_image.h"
#include "format/record.h"
#include "format/segment_header.h"
#include "fuzz/fuzz.h"

/* Header and records, with the salt that stands in the header. */
static inline void fix_segment(uint8_t *file, size_t size)
{
    struct segment_header header;
    struct record_shape shape;
    if (size < SEGMENT_HEADER_SIZE)
        return;
    put_u32(file + 124, checksum(0, file, 124));
    if (segment_header_decode(slice_of(file, size), &header) != BITCASK_OK)
        return;
    for (size_t at = SEGMENT_HEADER_SIZE; at < size;) {
        if (record_parse(slice_of(file + at, size - at), &shape, NULL) != BITCASK_OK)
            return;
        record_seal(file + at, shape.size, header.salt, at);
        at += (size_t)shape.size;
    }
}

/* Header, page table and trailer */
static inline void fix_hint(uint8_t *file, size_t size)
{
    if (size < HINT_HEADER_SIZE + HINT_TRAILER_SIZE)
        return;
    put_u32(file + 124, checksum(0, file, 124));
    const uint64_t room = size - HINT_HEADER_SIZE - HINT_TRAILER_SIZE;
    const uint64_t entries = get_u64(file + 56), keys_size = get_u64(file + 64);
    if (entries > room / HINT_ENTRY_SIZE || keys_size > room - entries * HINT_ENTRY_SIZE)
        return;
    const size_t area = (size_t)(entries * HINT_ENTRY_SIZE + keys_size);
    const size_t table_size = (area + HINT_PAGE - 1) / HINT_PAGE * 4;
    if (table_size > room - area)
        return;
    uint8_t *table = file + HINT_HEADER_SIZE + area;
    for (size_t from = 0; from < area; from += HINT_PAGE) {
        size_t page = area - from < HINT_PAGE ? area - from : HINT_PAGE;
        put_u32(table + from / HINT_PAGE * 4, checksum(0, file + HINT_HEADER_SIZE + from, page));
    }
    uint8_t *trailer = file + size - HINT_TRAILER_SIZE;
    put_u32(trailer,
            checksum(checksum(0, file, HINT_HEADER_SIZE), table, (size_t)(trailer - table)));
}

/* Header and tables. */
static inline void fix_index_image(uint8_t *file, size_t size)
{
    if (size < IMAGE_HEADER_SIZE)
        return;
    uint64_t at = get_u64(file + 80);
    if (at <= size)
        put_u32(file + 12, checksum(0, file + at, size - (size_t)at));
    put_u32(file + 124, checksum(0, file, 124));
}

/* The member that ends the text. */
static inline void fix_manifest(uint8_t *file, size_t size)
{
    enum { TAIL_SIZE = 22 };
    char tail[TAIL_SIZE + 1];
    if (size < TAIL_SIZE)
        return;
    size_t before = size - TAIL_SIZE;
    snprintf(tail, sizeof tail, "\"crc32\": \"%08x\"\n}\n", checksum(0, file, before));
    memcpy(file + before, tail, TAIL_SIZE);
}

#endif
