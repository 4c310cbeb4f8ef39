/* SPDX-License-Identifier: MIT
 * index_image.c: header and tables of the index's image. */
#include "format/index_image.h"

#include "base/check.h"
#include "base/checksum.h"
#include "format/segment_header.h"

/* Magic, format and checksum stay where they are in all versions of the format. */
enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_TABLES_CRC = 12,
    AT_STORE_ID = 16,
    AT_FORK_ID = 32,
    AT_SALT = 48,
    AT_HASH_CHECK = 56,
    AT_CREATED = 64,
    AT_ENTRIES = 72,
    AT_SHARDS_END = 80,
    AT_BUCKETS = 88,
    AT_SEGMENTS = 92,
    AT_SHARDS = 96,
    AT_RESERVED = 100,
    AT_CHECKSUM = 124,
};

static const uint8_t MAGIC[8] = {'b', 'i', 't', 'i', 'n', 'd', 'x', '\n'};

_Static_assert(AT_STORE_ID + STORE_ID_SIZE == AT_FORK_ID, "the store id fills its place");
_Static_assert(AT_FORK_ID + STORE_ID_SIZE == AT_SALT, "the fork id fills its place");
_Static_assert(AT_CHECKSUM + 4 == IMAGE_HEADER_SIZE, "the checksum comes last");

/* ---- Writing --------------------------------------------------------------------------------- */

void image_header_encode(uint8_t to[IMAGE_HEADER_SIZE], const struct image_header *header)
{
    memset(to, 0, IMAGE_HEADER_SIZE);
    memcpy(to + AT_MAGIC, MAGIC, sizeof MAGIC);
    put_u32(to + AT_FORMAT, header->format);
    put_u32(to + AT_TABLES_CRC, header->tables_crc);
    memcpy(to + AT_STORE_ID, header->store_id, STORE_ID_SIZE);
    memcpy(to + AT_FORK_ID, header->fork_id, STORE_ID_SIZE);
    put_u64(to + AT_SALT, header->salt);
    put_u64(to + AT_HASH_CHECK, header->hash_check);
    put_u64(to + AT_CREATED, header->created_us);
    put_u64(to + AT_ENTRIES, header->entries);
    put_u64(to + AT_SHARDS_END, header->shards_end);
    put_u32(to + AT_BUCKETS, header->bucket_count);
    put_u32(to + AT_SEGMENTS, header->segment_count);
    put_u32(to + AT_SHARDS, header->shard_count);
    put_u32(to + AT_CHECKSUM, checksum(0, to, AT_CHECKSUM));
}

void image_segment_encode(uint8_t to[IMAGE_SEGMENT_SIZE], const struct image_segment *segment)
{
    CHECK(segment->slot >= 1 && segment->slot <= BITCASK_MAX_SEGMENTS);
    put_u64(to, segment->id);
    put_u64(to + 8, segment->salt);
    put_u32(to + 16, segment->slot);
    put_u32(to + 20, segment->rolling);
    put_u64(to + 24, segment->replay_from);
    put_u64(to + 32, segment->length);
    put_u64(to + 40, segment->live_records);
    put_u64(to + 48, segment->live_bytes);
}

void image_shard_encode(uint8_t to[IMAGE_SHARD_SIZE], const struct image_shard *shard)
{
    put_u32(to, shard->crc);
    put_u32(to + 4, shard->entries);
    put_u32(to + 8, shard->stash);
    to[12] = shard->depth;
    to[13] = shard->tag_depth;
    put_u16(to + 14, 0);
}

uint32_t image_shard_checksum(uint64_t salt, uint32_t index, const void *bytes, size_t size)
{
    return checksum_words(salt, index, bytes, size);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Counts that an index can have, and a file that is as long as they make it. */
static bool sizes_agree(const struct image_header *header, uint64_t file_size)
{
    return header->bucket_count >= 1 && header->bucket_count <= IMAGE_BUCKETS_MAX &&
           header->segment_count <= BITCASK_MAX_SEGMENTS && header->shard_count >= 1 &&
           header->shard_count <= UINT32_C(1) << IMAGE_DEPTH_MAX &&
           header->shards_end >= IMAGE_HEADER_SIZE && header->shards_end <= file_size &&
           file_size - header->shards_end == image_tables_size(header);
}

bitcask_status image_header_decode(slice in, uint64_t file_size, struct image_header *header)
{
    const uint8_t *from = in.data;
    if (in.size < IMAGE_HEADER_SIZE || memcmp(from + AT_MAGIC, MAGIC, sizeof MAGIC) != 0 ||
        get_u32(from + AT_CHECKSUM) != checksum(0, from, AT_CHECKSUM))
        return BITCASK_CORRUPT;
    header->format = get_u32(from + AT_FORMAT);
    if (header->format > FORMAT_VERSION)
        return BITCASK_FORMAT;
    header->tables_crc = get_u32(from + AT_TABLES_CRC);
    memcpy(header->store_id, from + AT_STORE_ID, STORE_ID_SIZE);
    memcpy(header->fork_id, from + AT_FORK_ID, STORE_ID_SIZE);
    header->salt = get_u64(from + AT_SALT);
    header->hash_check = get_u64(from + AT_HASH_CHECK);
    header->created_us = get_u64(from + AT_CREATED);
    header->entries = get_u64(from + AT_ENTRIES);
    header->shards_end = get_u64(from + AT_SHARDS_END);
    header->bucket_count = get_u32(from + AT_BUCKETS);
    header->segment_count = get_u32(from + AT_SEGMENTS);
    header->shard_count = get_u32(from + AT_SHARDS);
    return header->format != 0 && sizes_agree(header, file_size) ? BITCASK_OK : BITCASK_CORRUPT;
}

void image_segment_decode(const struct image_header *header, const uint8_t *tables, uint32_t index,
                          struct image_segment *segment)
{
    CHECK(index < header->segment_count);
    const uint8_t *from = tables + (size_t)index * IMAGE_SEGMENT_SIZE;
    *segment = (struct image_segment){
        .id = get_u64(from),
        .salt = get_u64(from + 8),
        .slot = get_u32(from + 16),
        .rolling = get_u32(from + 20),
        .replay_from = get_u64(from + 24),
        .length = get_u64(from + 32),
        .live_records = get_u64(from + 40),
        .live_bytes = get_u64(from + 48),
    };
}

void image_shard_decode(const struct image_header *header, const uint8_t *tables, uint32_t index,
                        struct image_shard *shard)
{
    CHECK(index < header->shard_count);
    const uint8_t *from = tables + (size_t)header->segment_count * IMAGE_SEGMENT_SIZE +
                          (size_t)index * IMAGE_SHARD_SIZE;
    *shard = (struct image_shard){
        .crc = get_u32(from),
        .entries = get_u32(from + 4),
        .stash = get_u32(from + 8),
        .depth = from[12],
        .tag_depth = from[13],
    };
}

static const char *segments_fault(const struct image_header *header, const uint8_t *tables)
{
    uint8_t taken[(BITCASK_MAX_SEGMENTS + 8) / 8] = {0};
    uint64_t id_before = 0;
    for (uint32_t i = 0; i < header->segment_count; i++) {
        struct image_segment segment;
        image_segment_decode(header, tables, i, &segment);
        if (segment.id <= id_before || segment.id > SEGMENT_ID_MAX)
            return "its segments are out of order";
        if (segment.slot < 1 || segment.slot > BITCASK_MAX_SEGMENTS ||
            (taken[segment.slot / 8] >> segment.slot % 8 & 1) != 0)
            return "two of its segments have one slot";
        if (segment.replay_from < SEGMENT_HEADER_SIZE || segment.replay_from > segment.length ||
            segment.length > BITCASK_MAX_SEGMENT_SIZE)
            return "a segment's length is out of bounds";
        taken[segment.slot / 8] |= (uint8_t)(1u << segment.slot % 8);
        id_before = segment.id;
    }
    return NULL;
}

static const char *shards_fault(const struct image_header *header, const uint8_t *tables)
{
    const uint64_t all = UINT64_C(1) << IMAGE_DEPTH_MAX; /* hashes, in units of the least shard */
    uint64_t at = 0, bytes = IMAGE_HEADER_SIZE, entries = 0;
    uint32_t slots = header->bucket_count * (IMAGE_BUCKET_SIZE / 8);
    for (uint32_t i = 0; i < header->shard_count; i++) {
        struct image_shard shard;
        image_shard_decode(header, tables, i, &shard);
        if (shard.depth > IMAGE_DEPTH_MAX || shard.tag_depth > shard.depth ||
            shard.depth - shard.tag_depth >= IMAGE_TAG_BITS)
            return "a shard's depth is out of bounds";
        uint64_t span = all >> shard.depth;
        if (at % span != 0 || at + span > all)
            return "its shards do not lie side by side";
        if (shard.stash > shard.entries || shard.entries - shard.stash > slots)
            return "a shard has more entries than slots";
        at += span;
        bytes += image_shard_bytes(header->bucket_count, shard.stash);
        entries += shard.entries;
    }
    if (at != all || bytes != header->shards_end || entries != header->entries)
        return "its shards do not add up";
    return NULL;
}

bitcask_status image_tables_check(const struct image_header *header, slice tables, const char **why)
{
    CHECK(tables.size == image_tables_size(header));
    *why = "bad checksum of its tables";
    if (checksum(0, tables.data, tables.size) != header->tables_crc)
        return BITCASK_CORRUPT;
    *why = segments_fault(header, tables.data);
    if (*why == NULL)
        *why = shards_fault(header, tables.data);
    return *why == NULL ? BITCASK_OK : BITCASK_CORRUPT;
}
