/* SPDX-License-Identifier: MIT
 * recover_hints.c: a hint for every segment, and the index from them. */
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/load.h"
#include "engine/parallel.h"
#include "engine/read_ahead.h"
#include "engine/recovery_internal.h"
#include "engine/rehint.h"

/* ---- Scanning for a hint --------------------------------------------------------------------- */

slice recovered_bytes(const struct recovered *recovered, uint64_t length)
{
    const struct segment *segment = recovered->segment;
    uint64_t readable = atomic_load(&segment->readable);
    if (length > BITCASK_MAX_SEGMENT_SIZE)
        length = BITCASK_MAX_SEGMENT_SIZE; /* offsets have 32 bits */
    return slice_of(segment->map, readable < length ? readable : length);
}

static int collect_record(void *context, uint64_t offset, const uint8_t *bytes,
                          const struct record_shape *shape)
{
    return hint_builder_add(context, shape, bytes, offset) != BITCASK_OK;
}

/* A damaged record may have its damage in its version. In a log segment that lies between those
 * before and behind it: then the key's newer writes, elsewhere, are not taken for older. */
static uint64_t version_of_damaged(const struct segment *segment, const struct scan_hole *hole,
                                   uint64_t claimed)
{
    uint64_t most = hole->behind != 0 ? hole->behind - 1 : segment->figures.version_max;
    if (segment->kind != SEGMENT_LOG || most == 0 || PLANTED(damaged_version))
        return claimed;
    if (claimed > hole->before && claimed <= most)
        return claimed;
    return hole->before != 0 && hole->before < most ? hole->before + 1 : most;
}

/* Damaged records still say whose they are, where their sizes lead from one end of the hole just to
 * the other: then a look-up of the key meets the damage, and not an older value. */
static bitcask_status collect_damaged(struct recovered *recovered, slice bytes,
                                      const struct scan_hole *hole, uint64_t version_limit)
{
    const uint8_t *from = bytes.data;
    struct record_shape shape;
    for (uint64_t at = hole->offset; at < hole->end; at += shape.size) {
        if (record_parse(slice_of(from + at, hole->end - at), &shape, NULL) != BITCASK_OK)
            return BITCASK_OK;
    }
    for (uint64_t at = hole->offset; at < hole->end; at += shape.size) {
        bitcask_status status = record_parse(slice_of(from + at, hole->end - at), &shape, NULL);
        CHECK(status == BITCASK_OK);
        if (shape.flags & RECORD_META || shape.version == 0 || shape.version > version_limit)
            continue;
        shape.version = version_of_damaged(recovered->segment, hole, shape.version);
        status = hint_builder_add_damaged(&recovered->builder, &shape, from + at, at);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

struct scan_options recovered_scan_options(const struct recovery *recovery,
                                           const struct recovered *recovered, uint64_t vouched)
{
    const struct segment *segment = recovered->segment;
    return (struct scan_options){
        .salt = segment->salt,
        .segment_id = segment->id,
        .version_limit = recovery->rebuilt ? VERSION_MAX : recovery->manifest.version_ceiling,
        .vouched = vouched,
        .zeros_from = recovered->zeros_from,
        .ordered = segment->kind == SEGMENT_LOG,
    };
}

bitcask_status recovered_scan(const struct recovery *recovery, struct recovered *recovered,
                              uint64_t length, uint64_t vouched, bitcask_error *error)
{
    struct store *store = recovery->store;
    struct segment *segment = recovered->segment;
    struct scan_options options = recovered_scan_options(recovery, recovered, vouched);
    slice bytes = recovered_bytes(recovered, length);
    struct os *os = segment->os;
    void *map = (void *)(uintptr_t)segment->map;
    size_t looked_at = scan_looked_at(bytes, &options).size;
    if (looked_at > 0) { /* page by page it would wait for the device at each one */
        os->advise(os, map, looked_at, OS_ADVISE_SEQUENTIAL);
        os->advise(os, map, looked_at, OS_ADVISE_WILLNEED);
    }
    hint_builder_init(&recovered->builder, os, &store->secret);
    bitcask_status status =
        scan_segment(bytes, &options, collect_record, &recovered->builder, &recovered->scan);
    if (bytes.size > 0)
        read_ahead_resume(segment);
    for (size_t i = 0; status == BITCASK_OK && i < recovered->scan.hole_count; i++) {
        if (recovered->scan.holes[i].offset < recovered->scan.watermark)
            status =
                collect_damaged(recovered, bytes, &recovered->scan.holes[i], options.version_limit);
    }
    if (status != BITCASK_OK)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for scanning segment %llu",
                         (unsigned long long)segment->id);
    return BITCASK_OK;
}

bitcask_status recovered_finish(struct recovered *recovered, uint64_t length, bitcask_error *error)
{
    struct segment *segment = recovered->segment;
    bool by_parts = recovered->parts != NULL;
    struct segment_figures figures =
        by_parts ? recovered->parts[0].figures : recovered->builder.figures;
    bitcask_status status = BITCASK_OK;
    if (!by_parts) {
        status = hint_builder_finish(&recovered->builder, segment, length, &recovered->hint, error);
        hint_builder_release(&recovered->builder);
    }
    if (status != BITCASK_OK)
        return status;
    segment_set_figures(segment, &figures);
    recovered->fresh = true;
    return BITCASK_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* The hint on disk is of an earlier close: make one of the records behind it. */
static bitcask_status add_tail(const struct recovery *recovery, struct recovered *recovered,
                               uint64_t length)
{
    struct segment *segment = recovered->segment;
    const struct hint_header *header = &recovered->hint.hint.header;
    struct segment_figures figures = {.rolling = header->rolling};
    if (atomic_load(&segment->state) != BITCASK_SEGMENT_ACTIVE)
        return BITCASK_CORRUPT;
    bitcask_status status = hint_file_build_from(segment, &recovery->store->secret, header->length,
                                                 length, &recovered->tail, &figures, NULL);
    if (status == BITCASK_OK && figures.rolling != segment->figures.rolling) {
        hint_file_close(segment->os, &recovered->tail);
        status = BITCASK_CORRUPT;
    }
    if (status == BITCASK_OK)
        atomic_store(&segment->hint_length, header->length);
    return status;
}

/* A hint that is good and covers the whole segment, if need be together with that of its tail. */
static bitcask_status open_hint(const struct recovery *recovery, struct recovered *recovered)
{
    struct segment *segment = recovered->segment;
    bool missing = segment->map == NULL;
    uint64_t length = atomic_load(&segment->end);
    if (missing && length == 0) /* an unsealed one: nobody knows how long it was */
        length = BITCASK_MAX_SEGMENT_SIZE;
    bitcask_status status =
        hint_file_open(segment, length, true, true, &recovered->hint, &recovered->hint_fault);
    if (status == BITCASK_OK && !missing && recovered->hint.hint.header.length != length &&
        !PLANTED(short_hint_taken)) {
        recovered->hint_fault = "covers less than the segment has";
        status = add_tail(recovery, recovered, length);
        if (status != BITCASK_OK)
            hint_file_close(segment->os, &recovered->hint);
        return status;
    }
    if (status == BITCASK_OK) {
        atomic_store(&segment->has_hint, 1);
        atomic_store(&segment->hint_length, length);
    }
    return status;
}

/* Of a segment whose records are in the index without it: is there one, by its first and last page?
 * And how much does it cover, where the log may go on? */
static bool has_hint(struct recovered *recovered)
{
    struct segment *segment = recovered->segment;
    struct hint_file hint;
    uint64_t end = atomic_load(&segment->end);
    if (hint_file_open(segment, end, true, false, &hint, NULL) != BITCASK_OK)
        return false;
    uint64_t length = hint.hint.header.length;
    hint_file_close(segment->os, &hint);
    atomic_store(&segment->hint_length, length);
    atomic_store(&segment->has_hint, length == end);
    return length == end;
}

/* With an image of the index, a hint is needed of sealed segments only; and where the image tells
 * of all records, it need not be looked through. */
static bool can_do_without(const struct recovery *recovery, struct recovered *recovered)
{
    if (recovery->image == NULL)
        return false;
    if (atomic_load(&recovered->segment->state) == BITCASK_SEGMENT_ACTIVE) {
        (void)has_hint(recovered);
        return true;
    }
    return recovered->covered && recovered->image.length == atomic_load(&recovered->segment->end) &&
           has_hint(recovered);
}

/* Run in parallel, once for each segment. */
static void open_or_scan(void *context, size_t index)
{
    struct recovery *recovery = context;
    struct recovered *recovered = &recovery->segments[index];
    struct segment *segment = recovered->segment;
    if (recovered->dropped || recovered->hint.memory != NULL || recovered->parts != NULL ||
        can_do_without(recovery, recovered))
        return;
    recovered->status = open_hint(recovery, recovered);
    if (recovered->status != BITCASK_CORRUPT)
        return;
    recovered->scanned = true;
    recovered->status = BITCASK_OK;
    uint64_t length = atomic_load(&segment->end);
    if (segment->map != NULL)
        recovered->status = recovered_scan(recovery, recovered, length, length, &recovered->error);
}

static bool same_figures(const struct segment_figures *a, const struct segment_figures *b)
{
    return a->records == b->records && a->tombstones == b->tombstones &&
           a->version_min == b->version_min && a->version_max == b->version_max &&
           a->expires_min == b->expires_min && a->expires_max == b->expires_max &&
           a->rolling == b->rolling;
}

/* What the scan of a sealed segment has found. */
static bitcask_status take_scan(struct recovery *recovery, struct recovered *recovered,
                                bitcask_error *error)
{
    struct segment *segment = recovered->segment;
    for (size_t i = 0; i < recovered->scan.hole_count; i++) {
        const struct scan_hole *hole = &recovered->scan.holes[i];
        if (hole->end > hole->offset)
            recovery_damage(recovery, segment, hole->offset, hole->end - hole->offset, hole->why);
    }
    struct segment_figures before = segment->figures;
    bitcask_status status = recovered_finish(recovered, atomic_load(&segment->end), error);
    if (status == BITCASK_OK && !same_figures(&before, &segment->figures))
        recovery->changed = true;
    return status;
}

bitcask_status recover_hints(struct recovery *recovery, bitcask_error *error)
{
    struct store *store = recovery->store;
    bool threads = store->options.background == BITCASK_BACKGROUND_THREAD;
    parallel_each(threads ? parallel_threads(0) : 1, recovery->count, open_or_scan, recovery);
    for (size_t i = 0; i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        bitcask_status status = recovered->status;
        if (status != BITCASK_OK) {
            if (error != NULL)
                *error = recovered->error;
            if (error != NULL && error->status == BITCASK_OK)
                error_set(error, status, "out of memory for hints");
            return status;
        }
        bool scanned = recovered->scanned && recovered->segment->map != NULL;
        recovered->scanned = false;
        if (scanned)
            status = take_scan(recovery, recovered, error);
        if (status != BITCASK_OK)
            return status;
        if (scanned)
            EVENT(&store->events, BITCASK_LOG_INFO, "hint_rebuilt",
                  F_UINT("segment", recovered->segment->id), F_TEXT("why", recovered->hint_fault));
    }
    return BITCASK_OK;
}

/* With a thread of the store's, it makes the hints anew once the store is open: not those of
 * damaged segments, in which the records do not follow each other. */
static bool goes_later(const struct store *store, const struct recovered *recovered)
{
    return store->options.background == BITCASK_BACKGROUND_THREAD &&
           atomic_load(&recovered->segment->damaged) == 0;
}

static bitcask_status write_fresh(const struct recovery *recovery, struct recovered *recovered,
                                  bitcask_error *error)
{
    struct segment *segment = recovered->segment;
    if (recovered->parts == NULL)
        return hint_file_write(segment, &recovered->hint, error);
    return rehint_segment(recovery->store, segment, error);
}

void recover_write_hints(struct recovery *recovery)
{
    struct store *store = recovery->store;
    for (size_t i = 0; i < recovery->count && recovery->may_write; i++) {
        struct recovered *recovered = &recovery->segments[i];
        bitcask_error failure = {0};
        if (!recovered->fresh || recovered->dropped)
            continue;
        if (goes_later(store, recovered))
            atomic_store(&store->hints_missing, true);
        else if (write_fresh(recovery, recovered, &failure) != BITCASK_OK)
            EVENT(&recovery->store->events, BITCASK_LOG_WARN, "hint_failed",
                  F_UINT("segment", recovered->segment->id), F_TEXT("error", failure.message));
    }
}

/* ---- The index ------------------------------------------------------------------------------- */

bitcask_status recover_index(struct recovery *recovery, bitcask_error *error)
{
    struct store *store = recovery->store;
    size_t count = 0, most = 1;
    for (size_t i = 0; i < recovery->count; i++)
        most += 2 + recovery->segments[i].part_count;
    struct load_input *inputs = calloc(most, sizeof *inputs);
    if (inputs == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the index");
    for (size_t i = 0; i < recovery->count; i++) {
        const struct recovered *recovered = &recovery->segments[i];
        if (recovered->hint.memory != NULL && !recovered->dropped)
            inputs[count++] = (struct load_input){recovered->segment, recovered->hint, NULL};
        if (recovered->tail.memory != NULL && !recovered->dropped)
            inputs[count++] = (struct load_input){recovered->segment, recovered->tail, NULL};
        for (size_t p = 0; p < recovered->part_count && !recovered->dropped; p++) {
            inputs[count++] = (struct load_input){.segment = recovered->segment,
                                                  .records = &recovered->parts[p].records};
        }
    }
    uint64_t last_version;
    bool threads = store->options.background == BITCASK_BACKGROUND_THREAD;
    bitcask_status status =
        load_keydir(store, inputs, count, threads ? 0 : 1, &last_version, error);
    if (last_version > recovery->last_version)
        recovery->last_version = last_version;
    free(inputs);
    return status;
}
