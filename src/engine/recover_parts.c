/* SPDX-License-Identifier: MIT
 * recover_parts.c: unsealed segments, scanned by several threads.
 *
 * A segment's parts are found by guessing where records begin (engine/scan_parts.h). Each is
 * scanned by itself, and its records dealt out for the index (engine/load_records.h). If the
 * parts do not fit together, or there is a hole in one of them, nothing is lost but the time: the
 * segment is scanned again, as a whole, and only that decides what is kept. */
#include <stdlib.h>

#include "base/checksum.h"
#include "engine/parallel.h"
#include "engine/recovery_internal.h"

enum {
    PARTS_OF_SEGMENT = 8,          /* a full one has so many, */
    PARTS_OF_SMALL = 16,           /* or so many, if it is smaller than: */
    SMALL_SEGMENT_BYTES = 1 << 20, /* see wants_parts */
    AHEAD_BYTES = 8 << 20,         /* asked of the device before they are come to, */
    AHEAD_STEP = 512 << 10,        /* in steps: of more at once the kernel takes the beginning */
};

/* Parts to be scanned, of all segments. */
struct parts {
    const struct recovery *recovery;
    struct recovered_part **all;
    size_t count;
    unsigned threads;
};

static bool has_threads(const struct store *store)
{
    return store->options.background == BITCASK_BACKGROUND_THREAD;
}

/* With one thread the hint is made at once, since it has to be. Where segments are small it costs
 * nothing to make it later: a store in a test goes the way that a large one goes. */
static bool wants_parts(const struct store *store, const struct recovered *recovered)
{
    bool pays = (has_threads(store) && parallel_threads(0) > 1) ||
                store->options.segment_size < SMALL_SEGMENT_BYTES;
    return pays && recovered->unsealed && recovered->segment->kind == SEGMENT_LOG;
}

void recovered_release_parts(struct recovered *recovered)
{
    for (size_t i = 0; i < recovered->part_count; i++) {
        scan_release(&recovered->parts[i].scan);
        load_records_release(&recovered->parts[i].records);
    }
    free(recovered->parts);
    recovered->parts = NULL;
    recovered->part_count = 0;
}

/* ---- Cutting --------------------------------------------------------------------------------- */

/* The parts of a segment, at least one if it has a record. */
static bitcask_status cut(const struct recovery *recovery, struct recovered *recovered)
{
    const uint64_t segment_size = recovery->store->options.segment_size;
    const bool small = segment_size < SMALL_SEGMENT_BYTES;
    const uint64_t step = segment_size / (small ? PARTS_OF_SMALL : PARTS_OF_SEGMENT) + 1;
    uint64_t vouched = recovered_vouched(recovery, recovered);
    struct scan_options options = recovered_scan_options(recovery, recovered, vouched);
    slice bytes = recovered_bytes(recovered, UINT64_MAX);
    size_t most = (size_t)(bytes.size / step) + 1, count = 1;
    struct recovered_part *parts = recovered->parts = calloc(most, sizeof *parts);
    if (parts == NULL)
        return BITCASK_NO_MEMORY;
    const uint64_t end = scan_looked_at(bytes, &options).size;
    for (uint64_t at = SEGMENT_HEADER_SIZE + step; at < end && count < most; at += step) {
        struct scan_cut found;
        bool is_cut = scan_find_cut(bytes, &options, at, &found);
        at = found.offset; /* also where there is none: large values are not searched twice */
        if (!is_cut)
            continue;
        parts[count].cut = found;
        parts[count++ - 1].end = found.offset;
    }
    parts[count - 1].end = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        parts[i].of = recovered;
        load_records_init(&parts[i].records, recovery->store->os);
        parts[i].vouched = vouched;
    }
    recovered->part_count = count;
    return BITCASK_OK;
}

/* ---- Reading ahead --------------------------------------------------------------------------- */

/* Where a part's bytes end, but for zeros that are known of. */
static uint64_t end_of(const struct recovered_part *part)
{
    uint64_t end = recovered_bytes(part->of, part->end).size;
    uint64_t zeros_from = part->of->zeros_from;
    return zeros_from == 0 || end < zeros_from ? end : zeros_from;
}

/* Ask for [*asked, to) of a part, as far as that goes, in whole steps. */
static void ask(const struct recovered_part *part, uint64_t *asked, uint64_t to)
{
    const struct segment *segment = part->of->segment;
    uint64_t end = end_of(part);
    for (; *asked < to && *asked < end; *asked += AHEAD_STEP) {
        uint64_t size = end - *asked < AHEAD_STEP ? end - *asked : AHEAD_STEP;
        segment->os->advise(segment->os, (uint8_t *)(uintptr_t)segment->map + *asked, size,
                            OS_ADVISE_WILLNEED);
    }
    if (*asked < to)
        *asked = to; /* no more comes */
}

/* Of the last one all of it: its scan begins with the zeros at its end, from the end. */
static void ask_for_begin(const struct recovered_part *part)
{
    uint64_t asked = part->cut.offset / OS_PAGE * OS_PAGE;
    ask(part, &asked, part->end == UINT64_MAX ? UINT64_MAX : asked + AHEAD_BYTES);
}

/* ---- Scanning -------------------------------------------------------------------------------- */

struct collecting {
    struct recovered_part *part;
    const struct hash_secret *secret;
    uint64_t asked; /* the part up to here */
};

/* As many as there are if they are all as large as the first. */
static void expect_as(struct recovered_part *part, const struct record_shape *shape)
{
    uint64_t end = end_of(part);
    if (part->cut.offset < end)
        load_records_reserve(&part->records, (size_t)((end - part->cut.offset) / shape->size));
}

static int collect(void *context, uint64_t offset, const uint8_t *bytes,
                   const struct record_shape *shape)
{
    struct collecting *collecting = context;
    struct recovered_part *part = collecting->part;
    while (offset + AHEAD_BYTES >= collecting->asked + AHEAD_STEP)
        ask(part, &collecting->asked, collecting->asked + AHEAD_STEP);
    bool meta = (shape->flags & RECORD_META) != 0;
    slice value = slice_of(bytes + shape->header_size + shape->key_size, shape->value_size);
    if (meta && meta_kind_of(value) == META_SEAL)
        return 0;
    part->figures.rolling = rolling_checksum(part->figures.rolling, bytes);
    part->rolled++;
    if (meta)
        return 0;
    if (part->figures.records == 0)
        expect_as(part, shape);
    segment_figures_add(&part->figures, shape);
    slice key = slice_of(bytes + shape->header_size, shape->key_size);
    return !load_records_add(&part->records, hash_key(collecting->secret, key), offset, shape);
}

/* Its scan, and its records, dealt out. */
static bitcask_status scan_part(const struct recovery *recovery, struct recovered_part *part)
{
    struct recovered *recovered = part->of;
    struct collecting collecting = {
        .part = part,
        .secret = &recovery->store->secret,
        .asked = part->cut.offset / OS_PAGE * OS_PAGE + AHEAD_BYTES,
    };
    struct scan_options options = recovered_scan_options(recovery, recovered, part->vouched);
    options.from = part->cut.offset;
    bitcask_status status = scan_segment(recovered_bytes(recovered, part->end), &options, collect,
                                         &collecting, &part->scan);
    bool dealt = status == BITCASK_OK && load_records_deal(&part->records, recovered->segment);
    return dealt ? BITCASK_OK : BITCASK_NO_MEMORY;
}

/* Run in parallel. The beginning of a part has been asked for when its turn comes. */
static void scan_one(void *context, size_t index)
{
    struct parts *parts = context;
    struct recovered_part *part = parts->all[index];
    if (index < parts->threads)
        ask_for_begin(part);
    if (index + parts->threads < parts->count)
        ask_for_begin(parts->all[index + parts->threads]);
    part->status = scan_part(parts->recovery, part);
}

/* ---- Putting together ------------------------------------------------------------------------ */

static void join_figures(struct recovered_part *all, const struct recovered_part *next)
{
    struct segment_figures *a = &all->figures;
    const struct segment_figures *b = &next->figures;
    a->rolling = checksum_combine(a->rolling, b->rolling, 4 * next->rolled);
    if (b->records == 0)
        return;
    if (a->records == 0 || b->version_min < a->version_min)
        a->version_min = b->version_min;
    if (b->version_max > a->version_max)
        a->version_max = b->version_max;
    if (b->expiring > 0 && (a->expires_max == 0 || b->expires_min < a->expires_min))
        a->expires_min = b->expires_min;
    if (b->expires_max > a->expires_max)
        a->expires_max = b->expires_max;
    a->records += b->records;
    a->tombstones += b->tombstones;
    a->expiring += b->expiring;
}

/* False: the parts are no good. */
static bool join(struct recovered *recovered)
{
    struct recovered_part *first = &recovered->parts[0];
    for (size_t i = 1; i < recovered->part_count; i++) {
        struct recovered_part *next = &recovered->parts[i];
        if (!scan_join(&first->scan, &next->cut, &next->scan))
            return false;
        join_figures(first, next);
    }
    if (first->scan.hole_count > 0)
        return false;
    recovered->scan = first->scan;
    first->scan = (struct scan_result){0};
    return true;
}

static bitcask_status join_all(struct recovery *recovery)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        for (size_t p = 0; p < recovered->part_count; p++) {
            if (recovered->parts[p].status != BITCASK_OK)
                status = recovered->parts[p].status;
        }
        if (recovered->part_count > 0 && (status != BITCASK_OK || !join(recovered)))
            recovered_release_parts(recovered);
    }
    return status;
}

bitcask_status recover_parts(struct recovery *recovery, bitcask_error *error)
{
    struct parts parts = {.recovery = recovery};
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; status == BITCASK_OK && i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        if (wants_parts(recovery->store, recovered))
            status = cut(recovery, recovered);
        parts.count += recovered->part_count;
    }
    parts.all = calloc(parts.count + 1, sizeof(struct recovered_part *));
    if (parts.all == NULL)
        status = BITCASK_NO_MEMORY;
    for (size_t i = 0, to = 0; status == BITCASK_OK && i < recovery->count; i++) {
        for (size_t p = 0; p < recovery->segments[i].part_count; p++)
            parts.all[to++] = &recovery->segments[i].parts[p];
    }
    parts.threads = has_threads(recovery->store) ? parallel_threads(0) : 1;
    if (status == BITCASK_OK) {
        parallel_each(parts.threads, parts.count, scan_one, &parts);
        status = join_all(recovery);
    }
    free(parts.all);
    return status == BITCASK_OK
               ? BITCASK_OK
               : error_set(error, status, "out of memory for scanning what was not sealed");
}
