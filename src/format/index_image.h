/* SPDX-License-Identifier: MIT
 * index_image.h: the index of a store at one position of its log, as a file.
 * Format: docs/FORMAT.md, section 9.
 *
 *     header | shard 0 | shard 1 | ... | segment table | shard table
 *
 * The header and the tables have checksums of their own, and so has every shard: a reader checks
 * header and tables when it opens the file and each shard when it first needs it. A shard is its
 * slots as they are in memory (engine/keydir.h), then the entries of its stash.
 * Pure functions; threads: safe. */
#ifndef FORMAT_INDEX_IMAGE_H
#define FORMAT_INDEX_IMAGE_H

#include "format/format.h"

enum {
    IMAGE_HEADER_SIZE = 128,
    IMAGE_SEGMENT_SIZE = 56,
    IMAGE_SHARD_SIZE = 16,
    IMAGE_BUCKET_SIZE = 64,
    IMAGE_STASH_ENTRY_SIZE = 16,
    IMAGE_BUCKETS_MAX = 256,
    IMAGE_DEPTH_MAX = 31,
    IMAGE_TAG_BITS = 17,
};

struct image_header {
    uint32_t format;
    uint32_t tables_crc;
    uint8_t store_id[STORE_ID_SIZE];
    uint8_t fork_id[STORE_ID_SIZE];
    uint64_t salt;       /* random; bound into the checksum of every shard */
    uint64_t hash_check; /* the hash of the empty key: says that the seed is the store's */
    uint64_t created_us;
    uint64_t entries;    /* of all shards */
    uint64_t shards_end; /* where the tables begin */
    uint32_t bucket_count, segment_count, shard_count;
};

/* What the image knows of one segment. */
struct image_segment {
    uint64_t id, salt;
    uint32_t slot;        /* the number by which the slots of the shards name it; 1..16383 */
    uint32_t rolling;     /* rolling checksum of the records below `length` */
    uint64_t replay_from; /* what was written here or behind while the image was made */
    uint64_t length;      /* no slot of the image points at or behind it */
    uint64_t live_records, live_bytes; /* at `length` of all segments */
};

/* One shard: the hashes of a range, in the order of the ranges. */
struct image_shard {
    uint32_t crc;
    uint32_t entries; /* slots and stash */
    uint32_t stash;   /* of these, in the stash */
    uint8_t depth;    /* it has 1 / 2^depth of all hashes */
    uint8_t tag_depth;
};

static inline uint64_t image_shard_bytes(uint32_t bucket_count, uint32_t stash)
{
    return (uint64_t)bucket_count * IMAGE_BUCKET_SIZE + (uint64_t)stash * IMAGE_STASH_ENTRY_SIZE;
}

static inline uint64_t image_tables_size(const struct image_header *header)
{
    return (uint64_t)header->segment_count * IMAGE_SEGMENT_SIZE +
           (uint64_t)header->shard_count * IMAGE_SHARD_SIZE;
}

void image_header_encode(uint8_t to[IMAGE_HEADER_SIZE], const struct image_header *header);
void image_segment_encode(uint8_t to[IMAGE_SEGMENT_SIZE], const struct image_segment *segment);
void image_shard_encode(uint8_t to[IMAGE_SHARD_SIZE], const struct image_shard *shard);

/* The checksum of shard `index` of the image with this salt. */
uint32_t image_shard_checksum(uint64_t salt, uint32_t index, const void *bytes, size_t size);

/* Read the header of a file of `file_size` bytes. Returns OK; CORRUPT for a wrong magic or
 * checksum, counts out of bounds, or sizes that do not add up to the file's; FORMAT for a good one
 * of a newer format. */
bitcask_status image_header_decode(slice in, uint64_t file_size, struct image_header *header);

/* Check the tables (image_tables_size bytes): checksum, segments by ascending id with slots all
 * different, shards that lie one behind the other over all hashes and whose sizes add up to the
 * file's. OK or CORRUPT with *why, a static phrase. Cost: O(tables). */
bitcask_status image_tables_check(const struct image_header *header, slice tables,
                                  const char **why);

/* Entry `index` of checked tables. */
void image_segment_decode(const struct image_header *header, const uint8_t *tables, uint32_t index,
                          struct image_segment *segment);
void image_shard_decode(const struct image_header *header, const uint8_t *tables, uint32_t index,
                        struct image_shard *shard);

#endif
