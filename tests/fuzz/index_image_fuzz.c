/* SPDX-License-Identifier: MIT
 * index_image_fuzz.c: any bytes as an index snapshot.
 *
 * Whatever stands in it, after the check of the tables every shard lies between header and tables,
 * and the shards lie side by side over all hashes. */
#include <stdlib.h>

#include "format/index_image.h"
#include "fuzz/fix.h"

static void use_tables(const struct image_header *header, const uint8_t *tables)
{
    uint64_t at = IMAGE_HEADER_SIZE, entries = 0, hashes = 0, id = 0;
    for (uint32_t i = 0; i < header->shard_count; i++) {
        struct image_shard shard;
        image_shard_decode(header, tables, i, &shard);
        at += image_shard_bytes(header->bucket_count, shard.stash);
        REQUIRE(at <= header->shards_end && shard.depth <= IMAGE_DEPTH_MAX);
        entries += shard.entries;
        hashes += UINT64_C(1) << (IMAGE_DEPTH_MAX - shard.depth);
    }
    REQUIRE(at == header->shards_end && entries == header->entries);
    REQUIRE(hashes == UINT64_C(1) << IMAGE_DEPTH_MAX);
    for (uint32_t i = 0; i < header->segment_count; i++) {
        struct image_segment segment;
        image_segment_decode(header, tables, i, &segment);
        REQUIRE(segment.id > id && segment.slot >= 1 && segment.slot <= BITCASK_MAX_SEGMENTS);
        REQUIRE(segment.replay_from <= segment.length);
        id = segment.id;
    }
}

static void try_file(const uint8_t *file, size_t size)
{
    struct image_header header;
    const char *why = NULL;
    if (image_header_decode(slice_of(file, size), size, &header) != BITCASK_OK)
        return;
    REQUIRE(header.shards_end + image_tables_size(&header) == size);
    const uint8_t *tables = file + header.shards_end;
    slice both = slice_of(tables, size - (size_t)header.shards_end);
    if (image_tables_check(&header, both, &why) == BITCASK_OK)
        use_tables(&header, tables);
    else
        REQUIRE(why != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_file(data, size);
    uint8_t *copy = fuzz_copy(data, size);
    if (size >= IMAGE_HEADER_SIZE) {
        fix_index_image(copy, size);
        try_file(copy, size);
    }
    free(copy);
    return 0;
}
