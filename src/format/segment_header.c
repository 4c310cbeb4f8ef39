/* SPDX-License-Identifier: MIT
 * segment_header.c: the first 128 bytes of a segment file. */
#include "format/segment_header.h"

#include "base/check.h"
#include "base/checksum.h"

/* Magic, format and checksum stay where they are in all versions of the format. */
enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_KIND = 12,
    AT_STORE_ID = 16,
    AT_SEGMENT_ID = 32,
    AT_SALT = 40,
    AT_SEED = 48,
    AT_CREATED = 80,
    AT_RESERVED = 88,
    AT_CHECKSUM = 124,
};

static const uint8_t MAGIC[8] = {'b', 'i', 't', 'c', 'a', 's', 'k', '\n'};

_Static_assert(AT_STORE_ID + STORE_ID_SIZE == AT_SEGMENT_ID, "the store id fills its place");
_Static_assert(AT_SEED + SEED_SIZE == AT_CREATED, "the seed fills its place");
_Static_assert(AT_CHECKSUM + 4 == SEGMENT_HEADER_SIZE, "the checksum comes last");

void segment_header_encode(uint8_t to[SEGMENT_HEADER_SIZE], const struct segment_header *header)
{
    CHECK(header->segment_id >= 1 && header->segment_id <= SEGMENT_ID_MAX);
    CHECK(header->kind == SEGMENT_LOG || header->kind == SEGMENT_MERGE);
    memset(to, 0, SEGMENT_HEADER_SIZE);
    memcpy(to + AT_MAGIC, MAGIC, sizeof MAGIC);
    put_u32(to + AT_FORMAT, header->format);
    put_u32(to + AT_KIND, header->kind);
    memcpy(to + AT_STORE_ID, header->store_id, STORE_ID_SIZE);
    put_u64(to + AT_SEGMENT_ID, header->segment_id);
    put_u64(to + AT_SALT, header->salt);
    memcpy(to + AT_SEED, header->seed, SEED_SIZE);
    put_u64(to + AT_CREATED, header->created_us);
    put_u32(to + AT_CHECKSUM, checksum(0, to, AT_CHECKSUM));
}

static bool all_zero(const uint8_t *from, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum |= from[i];
    return sum == 0;
}

bitcask_status segment_header_decode(slice in, struct segment_header *header)
{
    const uint8_t *from = in.data;
    if (in.size < SEGMENT_HEADER_SIZE || memcmp(from + AT_MAGIC, MAGIC, sizeof MAGIC) != 0 ||
        get_u32(from + AT_CHECKSUM) != checksum(0, from, AT_CHECKSUM))
        return BITCASK_CORRUPT;
    header->format = get_u32(from + AT_FORMAT);
    if (header->format > FORMAT_VERSION)
        return BITCASK_FORMAT;
    uint32_t kind = get_u32(from + AT_KIND);
    header->segment_id = get_u64(from + AT_SEGMENT_ID);
    if (header->format == 0 || (kind != SEGMENT_LOG && kind != SEGMENT_MERGE) ||
        header->segment_id == 0 || header->segment_id > SEGMENT_ID_MAX ||
        !all_zero(from + AT_RESERVED, AT_CHECKSUM - AT_RESERVED))
        return BITCASK_CORRUPT;
    header->kind = (enum segment_kind)kind;
    memcpy(header->store_id, from + AT_STORE_ID, STORE_ID_SIZE);
    header->salt = get_u64(from + AT_SALT);
    memcpy(header->seed, from + AT_SEED, SEED_SIZE);
    header->created_us = get_u64(from + AT_CREATED);
    return BITCASK_OK;
}
