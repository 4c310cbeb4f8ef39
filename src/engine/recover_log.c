/* SPDX-License-Identifier: MIT
 * recover_log.c: find the end of the log after an unclean stop, and close it there. */
#include <stdlib.h>

#include "base/planted.h"
#include "engine/quarantine.h"
#include "engine/recovery_internal.h"

/* What a hint on disk vouches for: it was written when so much was durable. */
static uint64_t vouched_by_hint(struct segment *segment)
{
    struct hint_file hint;
    uint64_t size = atomic_load(&segment->readable);
    if (hint_file_open(segment, size, false, false, &hint, NULL) != BITCASK_OK)
        return 0;
    uint64_t length = hint.hint.header.length;
    hint_file_close(segment->os, &hint);
    return length;
}

uint64_t recovered_vouched(const struct recovery *recovery, const struct recovered *recovered)
{
    uint64_t vouched = vouched_by_hint(recovered->segment);
    uint64_t durable = recovery->manifest.segments[recovered - recovery->segments].durable;
    return durable > vouched ? durable : vouched;
}

static bitcask_status scan_unsealed(struct recovery *recovery, bitcask_error *error)
{
    bitcask_status status = recover_parts(recovery, error);
    for (size_t i = 0; status == BITCASK_OK && i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        if (!recovered->unsealed)
            continue;
        if (recovered->parts == NULL)
            status = recovered_scan(recovery, recovered, UINT64_MAX,
                                    recovered_vouched(recovery, recovered), error);
        if (status != BITCASK_OK)
            return status;
        if (recovered->scan.last_version > recovery->last_version)
            recovery->last_version = recovered->scan.last_version;
    }
    return status;
}

/* Copy what is cut off to where it is kept, and say so. */
static bitcask_status keep_cut(struct recovery *recovery, struct recovered *recovered,
                               const struct log_tail_segment *tail, bitcask_error *error)
{
    struct store *store = recovery->store;
    struct segment *segment = recovered->segment;
    uint64_t data_end = recovered->scan.data_end;
    if (tail->cut == NULL || data_end <= tail->end)
        return BITCASK_OK;
    EVENT(&store->events, BITCASK_LOG_WARN, "cut", F_UINT("segment", segment->id),
          F_UINT("offset", tail->end), F_UINT("bytes", data_end - tail->end),
          F_UINT("records", tail->cut_records), F_TEXT("why", tail->cut));
    if (!recovery->may_write || PLANTED(cut_not_kept))
        return BITCASK_OK;
    bitcask_error failure = {0};
    bitcask_status status =
        quarantine_copy(store, segment->id, tail->end,
                        slice_of(segment->map + tail->end, data_end - tail->end), &failure);
    if (status == BITCASK_OK)
        return BITCASK_OK;
    status = recovery_cannot_write(recovery, status, &failure);
    if (status != BITCASK_OK && error != NULL)
        *error = failure;
    return status;
}

/* Sealed at its logical length: it is never appended to again. */
static void close_segment(struct recovery *recovery, struct recovered *recovered, uint64_t end)
{
    struct segment *segment = recovered->segment;
    uint64_t now = segment->os->clock_real(segment->os);
    const struct scan_result *scan = &recovered->scan;
    bool sealed = scan->has_seal && scan->seal_offset == end;
    uint64_t file_end = sealed ? scan->data_end : end;
    if (file_end < atomic_load(&segment->readable))
        recovered->file_end = file_end;
    atomic_store(&segment->end, end);
    atomic_store(&segment->synced, end);
    atomic_store(&segment->synced_us, now);
    atomic_store(&segment->sealed_us, now);
    atomic_store(&segment->state,
                 PLANTED(appended_behind_cut) ? BITCASK_SEGMENT_ACTIVE : BITCASK_SEGMENT_SEALED);
    recovered->unsealed = false;
    recovery->changed = true;
}

static bitcask_status end_segment(struct recovery *recovery, struct recovered *recovered,
                                  const struct log_tail_segment *tail, bitcask_error *error)
{
    struct segment *segment = recovered->segment;
    bitcask_status status = keep_cut(recovery, recovered, tail, error);
    /* The figures of what is left; and the keys of what is damaged, now that it is known to be. */
    if (status == BITCASK_OK && (tail->cut != NULL || recovered->scan.hole_count > 0)) {
        scan_release(&recovered->scan);
        recovered_release_parts(recovered);
        if (recovered->builder.os != NULL)
            hint_builder_release(&recovered->builder);
        status = recovered_scan(recovery, recovered, tail->end, tail->end, error);
    }
    if (status != BITCASK_OK)
        return status;
    bool damaged = false;
    for (size_t i = 0; i < recovered->scan.hole_count; i++) {
        const struct scan_hole *hole = &recovered->scan.holes[i];
        damaged |= hole->end > hole->offset;
        if (hole->end > hole->offset)
            recovery_damage(recovery, segment, hole->offset, hole->end - hole->offset, hole->why);
    }
    close_segment(recovery, recovered, tail->end);
    uint64_t found =
        recovered->parts != NULL ? recovered->parts[0].figures.records : recovered->builder.count;
    if (found == 0 && !damaged) {
        recovered->dropped = true;
        return BITCASK_OK;
    }
    return recovered_finish(recovered, tail->end, error);
}

/* Behind the last record and the last hole. */
static uint64_t end_of_all(const struct recovered *recovered)
{
    const struct scan_result *scan = &recovered->scan;
    uint64_t hole_end = scan->hole_count > 0 ? scan->holes[scan->hole_count - 1].end : 0;
    return hole_end > scan->end ? hole_end : scan->end;
}

bitcask_status recover_log(struct recovery *recovery, bitcask_error *error)
{
    bitcask_status status = scan_unsealed(recovery, error);
    if (status != BITCASK_OK)
        return status;
    struct log_tail_segment *tails = calloc(recovery->count + 1, sizeof *tails);
    if (tails == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for recovery");
    size_t count = 0;
    for (size_t i = 0; i < recovery->count; i++) {
        const struct recovered *recovered = &recovery->segments[i];
        const struct segment *segment = recovered->segment;
        if (segment->kind == SEGMENT_LOG && (recovered->unsealed || segment->map != NULL))
            tails[count++] = (struct log_tail_segment){
                .id = segment->id,
                .scan = recovered->unsealed ? &recovered->scan : NULL,
            };
    }
    log_tail_decide(tails, count);
    size_t t = 0;
    for (size_t i = 0; status == BITCASK_OK && i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        if (!recovered->unsealed)
            continue;
        /* The output of a merge is no part of the log: all of it counts. */
        struct log_tail_segment whole = {.watermark = UINT64_MAX, .end = end_of_all(recovered)};
        const struct log_tail_segment *tail = &whole;
        if (recovered->segment->kind == SEGMENT_LOG) {
            while (tails[t].id != recovered->segment->id)
                t++;
            tail = &tails[t];
        }
        status = end_segment(recovery, recovered, tail, error);
    }
    free(tails);
    return status;
}
