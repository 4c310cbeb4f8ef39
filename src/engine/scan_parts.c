/* SPDX-License-Identifier: MIT
 * scan_parts.c: where a segment may be cut for scanning, and the parts put together. */
#include "engine/scan_parts.h"

enum { SEARCH_BYTES = 1 << 20 };

/* Is it a good record of a key, by all that can be told of it alone? */
static bool is_record(slice bytes, const struct scan_options *options, uint64_t offset,
                      struct record_shape *shape, uint64_t *work)
{
    const uint8_t *record = (const uint8_t *)bytes.data + offset;
    ++*work;
    if (record_parse(slice_of(record, bytes.size - offset), shape, NULL) != BITCASK_OK ||
        (shape->flags & RECORD_META) || shape->version == 0 ||
        shape->version > options->version_limit || shape->size > SEARCH_BYTES)
        return false;
    *work += shape->size;
    return record_checksum_ok(record, shape->size, options->salt, offset);
}

bool scan_find_cut(slice bytes, const struct scan_options *options, uint64_t from,
                   struct scan_cut *cut)
{
    struct record_shape shape;
    uint64_t work = 0; /* bytes gone over, for each checksum again */
    bool behind_one = false, in_batch = false;
    uint64_t offset = from;
    while (offset < bytes.size && work < SEARCH_BYTES) {
        if (!is_record(bytes, options, offset, &shape, &work)) {
            behind_one = false;
            offset++;
            continue;
        }
        if (behind_one && !in_batch) {
            *cut = (struct scan_cut){.offset = offset, .version = shape.version};
            return true;
        }
        behind_one = true;
        in_batch = (shape.flags & RECORD_BATCH_MORE) != 0;
        offset += shape.size;
    }
    *cut = (struct scan_cut){.offset = offset};
    return false;
}

bool scan_join(struct scan_result *all, const struct scan_cut *cut, struct scan_result *next)
{
    if (all->hole_count > 0 || next->hole_count > 0 || all->end != cut->offset ||
        all->last_version >= cut->version)
        return false;
    all->end = next->end;
    all->data_end = next->data_end;
    if (next->watermark > all->watermark)
        all->watermark = next->watermark;
    all->records += next->records;
    all->last_version = next->last_version;
    if (next->sync_segment > all->sync_segment ||
        (next->sync_segment == all->sync_segment && next->sync_offset > all->sync_offset)) {
        all->sync_segment = next->sync_segment;
        all->sync_offset = next->sync_offset;
    }
    all->has_seal = next->has_seal;
    all->seal_offset = next->seal_offset;
    scan_release(next);
    return true;
}
