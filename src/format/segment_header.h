/* SPDX-License-Identifier: MIT
 * segment_header.h: the first 128 bytes of a segment file. Format: docs/FORMAT.md, section 2.
 * Pure functions; threads: safe. */
#ifndef FORMAT_SEGMENT_HEADER_H
#define FORMAT_SEGMENT_HEADER_H

#include "format/format.h"

enum { SEGMENT_HEADER_SIZE = 128 };

enum segment_kind { SEGMENT_LOG = 1, SEGMENT_MERGE = 2 };

struct segment_header {
    uint32_t format;
    enum segment_kind kind;
    uint8_t store_id[STORE_ID_SIZE];
    uint64_t segment_id;
    uint64_t salt;
    uint8_t seed[SEED_SIZE];
    uint64_t created_us;
};

void segment_header_encode(uint8_t to[SEGMENT_HEADER_SIZE], const struct segment_header *header);

/* Returns OK; CORRUPT for a wrong magic, checksum, kind or id; FORMAT for a valid header of a newer
 * format (header->format is set then, the rest is not). */
bitcask_status segment_header_decode(slice in, struct segment_header *header);

#endif
