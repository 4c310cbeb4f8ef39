/* SPDX-License-Identifier: MIT
 * published.h: how far the log of a store is visible: what its writer tells those that follow it.
 * Format: docs/FORMAT.md, section 10.
 *
 * 64 bytes of a file that its writer maps and its followers read, never synced. The position is one
 * word, stored whole, and again complemented, so that neither a follower that reads in the middle
 * of a change nor what a power cut has left is taken for one. Pure functions; threads: safe. */
#ifndef FORMAT_PUBLISHED_H
#define FORMAT_PUBLISHED_H

#include "format/format.h"

enum {
    PUBLISHED_SIZE = 64,
    PUBLISHED_AT_CAPACITY = 32,
    PUBLISHED_AT_POSITION = 40,
    PUBLISHED_AT_COMPLEMENT = 48,
    PUBLISHED_POSITION_SIZE = 16, /* the word and its complement */
    PUBLISHED_AT_SYNC = 56,
};

/* The word at PUBLISHED_AT_SYNC: which segment of the log is being synced. */
enum {
    PUBLISHED_SYNC_UNKNOWN = 0,
    PUBLISHED_SYNC_NONE = 1, /* and all syncs before have succeeded */
};

static inline uint64_t published_sync_of(uint64_t segment_id)
{
    return segment_id << 1;
}

/* The id; 0 if the word is not of that kind. */
static inline uint64_t published_sync_segment(uint64_t word)
{
    return word & 1 ? 0 : word >> 1;
}

/* A place in the log: everything below `end` in segment `segment`, and all of the log segments with
 * smaller ids. 0, 0: nothing but what the manifest vouches for. */
struct log_position {
    uint64_t segment; /* id, at most SEGMENT_ID_MAX */
    uint64_t end;     /* offset, below 2^33 */
};

static inline uint64_t log_position_word(struct log_position position)
{
    return position.segment << 33 | position.end;
}

static inline struct log_position log_position_of(uint64_t word)
{
    return (struct log_position){word >> 33, word & ((UINT64_C(1) << 33) - 1)};
}

void published_encode(uint8_t to[PUBLISHED_SIZE], const uint8_t store_id[STORE_ID_SIZE],
                      uint64_t capacity, struct log_position position);

/* The fixed part, of which all but the capacity (a number to be guessed by: how large the segment
 * of the position may become) must be this store's. `in`: at least PUBLISHED_AT_POSITION bytes. */
bool published_check(slice in, const uint8_t store_id[STORE_ID_SIZE], uint64_t *capacity);

/* The word of the position and its complement. False if they do not fit together. */
bool published_decode_position(const uint8_t in[PUBLISHED_POSITION_SIZE],
                               struct log_position *position);

#endif
