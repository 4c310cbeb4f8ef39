/* SPDX-License-Identifier: MIT
 * repair_rewrite.c: a segment without what is bad in it. */
#include "engine/merge_output.h"
#include "engine/quarantine.h"
#include "engine/repair_internal.h"

/* ---- Copying --------------------------------------------------------------------------------- */

struct copy {
    struct merge_output output;
    bitcask_status status;
    bitcask_error *error;
};

static int copy_record(void *context, uint64_t offset, const uint8_t *bytes,
                       const struct record_shape *shape)
{
    struct copy *copy = context;
    (void)offset;
    if (shape->flags & RECORD_META)
        return 0;
    struct record record = record_at(bytes, shape);
    record.flags &= ~(uint32_t)RECORD_BATCH_MORE; /* it stands alone there */
    struct keydir_place place;
    copy->status = merge_output_add(&copy->output, &record, &place, copy->error);
    return copy->status != BITCASK_OK;
}

static bitcask_status copy_deletions(struct copy *copy, const struct repair_segment *item)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < item->deletion_count && status == BITCASK_OK; i++) {
        struct record record = {
            .version = item->deletions[i].version,
            .flags = RECORD_TOMBSTONE,
            .key = item->deletions[i].key,
        };
        struct keydir_place place;
        status = merge_output_add(&copy->output, &record, &place, copy->error);
    }
    return status;
}

/* All good records, dead ones and deletions too, with their versions: what of them counts is for
 * the index to say. G1. */
static bitcask_status write_outputs(struct copy *copy, const struct repair_segment *item)
{
    struct scan_result scan = {0};
    bitcask_status status = repair_scan(item, copy_record, copy, &scan);
    scan_release(&scan);
    if (status == BITCASK_CANCELLED)
        status = copy->status;
    else if (status != BITCASK_OK)
        error_set(copy->error, status, "out of memory for a repair");
    if (status == BITCASK_OK)
        status = copy_deletions(copy, item);
    return status == BITCASK_OK ? merge_output_finish(&copy->output, false, copy->error) : status;
}

/* ---- Replacing ------------------------------------------------------------------------------- */

/* From here on the new segments count. G2: the originals are in quarantine already. */
static bitcask_status publish(struct repair *repair, struct repair_segment *item, struct copy *copy,
                              enum merge_output_fate *fate)
{
    struct store *store = repair->store;
    segments_withdraw(&store->segments, item->segment);
    for (size_t i = 0; i < copy->output.count; i++)
        segments_publish(&store->segments, copy->output.segments[i]);
    *fate = MERGE_OUTPUT_KEEP;
    bitcask_status status = store_save_manifest(store, true, copy->error);
    if (status != BITCASK_OK) { /* the one on disk may name either: all files stay */
        for (size_t i = 0; i < copy->output.count; i++)
            segments_withdraw(&store->segments, copy->output.segments[i]);
        segments_publish(&store->segments, item->segment);
        *fate = MERGE_OUTPUT_FORGET;
    }
    return status;
}

bitcask_status repair_rewrite(struct repair *repair, struct repair_segment *item,
                              bitcask_error *error)
{
    struct store *store = repair->store;
    struct copy copy = {.error = error};
    enum merge_output_fate fate = MERGE_OUTPUT_DELETE;
    uint64_t id = item->segment->id;
    bitcask_status status = merge_output_init(&copy.output, store, &id, 1, item->end, error);
    if (status != BITCASK_OK)
        return status;
    status = write_outputs(&copy, item);
    if (status == BITCASK_OK)
        status = quarantine_segment(store, id, &repair->result.quarantined_files, error);
    if (status == BITCASK_OK)
        status = publish(repair, item, &copy, &fate);
    if (status == BITCASK_OK) {
        EVENT(&store->events, BITCASK_LOG_WARN, "repaired", F_UINT("segment", id),
              F_UINT("outputs", copy.output.count), F_UINT("records", item->scan.records));
        if (segments_retire(&store->segments, item->segment) != 0)
            EVENT(&store->events, BITCASK_LOG_WARN, "unlink_failed", F_UINT("segment", id),
                  F_UINT("errno", 0));
    }
    merge_output_release(&copy.output, fate);
    return status;
}
