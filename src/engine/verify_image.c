/* SPDX-License-Identifier: MIT
 * verify_image.c: is the index snapshot on disk whole? Whether it is still good for this store is
 * for the next opening to say. */
#include "engine/index_image.h"
#include "engine/verify_report.h"
#include "format/names.h"

static bitcask_status check_shards(struct verify *verify, struct index_image *image)
{
    const struct image_header *header = &image->header;
    bitcask_status status = BITCASK_OK;
    for (uint32_t i = 0; i < header->shard_count && status == BITCASK_OK; i++) {
        struct image_shard shard;
        image_shard_decode(header, image->tables, i, &shard);
        struct verify_place place = {
            .file = NAME_IMAGE,
            .offset = image->offsets[i],
            .bytes = image_shard_bytes(header->bucket_count, shard.stash),
        };
        if (index_image_read(image, i) != BITCASK_OK)
            status = verify_report(verify, &place, "a part of the index snapshot is damaged");
        if (status == BITCASK_OK)
            status = verify_pace(verify, place.bytes, false);
    }
    return status;
}

bitcask_status verify_image(struct verify *verify, bitcask_error *error)
{
    struct index_image *image;
    const char *why = NULL;
    struct verify_place place = {.file = NAME_IMAGE};
    bitcask_status status = index_image_open(verify->store, &image, &why);
    switch (status) {
    case BITCASK_OK:
        break;
    case BITCASK_NOT_FOUND:
        return BITCASK_OK;
    case BITCASK_NO_MEMORY:
        return error_set(error, status, "out of memory for the index snapshot");
    case BITCASK_CONFLICT:
        return verify_note(verify, &place, "is of another store or history, and of no use");
    default:
        return verify_report(verify, &place, "the index snapshot is no good: %s", why);
    }
    status = check_shards(verify, image);
    verify->result.files++;
    verify->result.bytes += image->file_size;
    index_image_close(image);
    return status;
}
