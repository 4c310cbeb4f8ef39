/* SPDX-License-Identifier: MIT
 * scan.c: the walk over a segment's records, and over what is not one. */
#include "engine/scan.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"

enum { WORK_FACTOR = 16, CANDIDATE_COST = 64 };

struct scan {
    const struct scan_options *options;
    struct scan_result *result;
    slice bytes;
    uint64_t offset;        /* of the next record */
    uint64_t batch;         /* where the batch at hand began; 0: in none */
    uint64_t batch_records; /* good records below it */
    uint64_t batch_version; /* the highest version below it */
    uint64_t work_left;     /* bytes */
    bool ends_in_seal;
};

static const uint8_t *at(const struct scan *scan, uint64_t offset)
{
    return (const uint8_t *)scan->bytes.data + offset;
}

/* Behind the last byte that is not zero. */
static uint64_t find_data_end(slice bytes)
{
    const uint8_t *from = bytes.data;
    uint64_t end = bytes.size;
    while (end >= 8 && get_u64(from + end - 8) == 0)
        end -= 8;
    while (end > 0 && from[end - 1] == 0)
        end--;
    return end;
}

/* Could a record of the log stand here, by its version? */
static bool version_fits(const struct scan *scan, const struct record_shape *shape)
{
    return (shape->flags & RECORD_META) != 0 || !scan->options->ordered ||
           shape->version > scan->result->last_version;
}

/* The record at scan->offset, or BITCASK_CORRUPT, or BITCASK_END for zeros. */
static bitcask_status read_record(const struct scan *scan, struct record_shape *shape,
                                  const char **why)
{
    const uint8_t *record = at(scan, scan->offset);
    bitcask_status status =
        record_parse(slice_of(record, scan->bytes.size - scan->offset), shape, why);
    if (status != BITCASK_OK)
        return status;
    if (!record_checksum_ok(record, shape->size, scan->options->salt, scan->offset) &&
        !PLANTED(checksum_skipped)) {
        *why = "bad checksum";
        return BITCASK_CORRUPT;
    }
    if (!version_fits(scan, shape)) {
        *why = "version out of order";
        return BITCASK_CORRUPT;
    }
    return BITCASK_OK;
}

/* ---- Good records ---------------------------------------------------------------------------- */

static void note_sync(struct scan *scan, slice value)
{
    struct scan_result *result = scan->result;
    struct meta_sync sync;
    if (meta_sync_decode(value, &sync) != BITCASK_OK)
        return;
    if (sync.segment == scan->options->segment_id) {
        if (sync.offset <= scan->offset && sync.offset > result->watermark)
            result->watermark = sync.offset;
    } else if (sync.segment < scan->options->segment_id &&
               (sync.segment > result->sync_segment ||
                (sync.segment == result->sync_segment && sync.offset > result->sync_offset))) {
        result->sync_segment = sync.segment;
        result->sync_offset = sync.offset;
    }
}

static void note_follows(struct scan *scan, slice value, uint64_t version)
{
    struct scan_result *result = scan->result;
    if (scan->offset == SEGMENT_HEADER_SIZE &&
        meta_follows_decode(value, &result->continues_segment) == BITCASK_OK) {
        result->continues = true;
        result->continues_version = version;
    }
}

static void note_meta(struct scan *scan, const uint8_t *record, const struct record_shape *shape)
{
    slice value = slice_of(record + shape->header_size + shape->key_size, shape->value_size);
    struct meta_seal seal;
    scan->ends_in_seal = false;
    if (meta_kind_of(value) == META_SYNC)
        note_sync(scan, value);
    else if (meta_kind_of(value) == META_FOLLOWS)
        note_follows(scan, value, shape->version);
    else if (meta_seal_decode(value, &seal) == BITCASK_OK && seal.length == scan->offset) {
        scan->ends_in_seal = true;
        scan->result->seal_offset = scan->offset;
    }
}

static void note_key_record(struct scan *scan, const struct record_shape *shape)
{
    struct scan_result *result = scan->result;
    scan->ends_in_seal = false;
    if (!(shape->flags & RECORD_BATCH_MORE)) {
        scan->batch = 0;
    } else if (scan->batch == 0) {
        scan->batch = scan->offset;
        scan->batch_records = result->records;
        scan->batch_version = result->last_version;
    }
    for (size_t i = result->hole_count; i-- > 0 && result->holes[i].behind == 0;)
        result->holes[i].behind = shape->version;
    result->records++;
    if (shape->version > result->last_version)
        result->last_version = shape->version;
}

static void note_record(struct scan *scan, const struct record_shape *shape)
{
    if (shape->flags & RECORD_META)
        note_meta(scan, at(scan, scan->offset), shape);
    else
        note_key_record(scan, shape);
    scan->offset += shape->size;
    if (!scan->ends_in_seal)
        scan->result->end = scan->offset;
    if (scan->offset > scan->result->data_end)
        scan->result->data_end = scan->offset;
}

/* ---- Holes ----------------------------------------------------------------------------------- */

/* What can be told of a candidate without its checksum, cheapest first. */
static bool is_candidate(const struct scan *scan, uint64_t offset, struct record_shape *shape)
{
    const uint8_t *record = at(scan, offset);
    if ((get_u16(record + 14) & ~RECORD_FLAGS_KNOWN) != 0 || record[11] >= 0x80)
        return false;
    uint64_t version = get_u64(record + 4);
    if (version > scan->options->version_limit)
        return false;
    bool meta = (record[14] & RECORD_META) != 0;
    if (!meta &&
        (version == 0 || (scan->options->ordered && version <= scan->result->last_version)))
        return false;
    if (record_parse(slice_of(record, scan->bytes.size - offset), shape, NULL) != BITCASK_OK)
        return false;
    return !meta || meta_kind_of(slice_of(record + shape->header_size, shape->value_size)) != 0;
}

/* The offset of the first good record at or behind `from`, or the end of the data. */
static uint64_t find_record(struct scan *scan, uint64_t from)
{
    const uint64_t data_end = scan->result->data_end;
    struct record_shape shape;
    for (uint64_t o = from; o < data_end && scan->bytes.size - o >= RECORD_HEADER_SIZE; o++) {
        if (!is_candidate(scan, o, &shape))
            continue;
        if (record_checksum_ok(at(scan, o), shape.size, scan->options->salt, o))
            return o;
        uint64_t cost = shape.size + CANDIDATE_COST;
        if (cost > scan->work_left) {
            scan->result->gave_up = true;
            return data_end;
        }
        scan->work_left -= cost;
    }
    return data_end;
}

static bool add_hole(struct scan *scan, uint64_t end, const char *why)
{
    struct scan_result *result = scan->result;
    if (result->hole_count == result->hole_capacity) {
        size_t capacity = result->hole_capacity == 0 ? 8 : result->hole_capacity * 2;
        struct scan_hole *holes = realloc(result->holes, capacity * sizeof *holes);
        if (holes == NULL)
            return false;
        result->holes = holes;
        result->hole_capacity = capacity;
    }
    bool in_batch = scan->batch != 0 && !PLANTED(batch_cut_inside);
    result->holes[result->hole_count++] = (struct scan_hole){
        .offset = scan->offset,
        .end = end,
        .cut = in_batch ? scan->batch : scan->offset,
        .cut_records = in_batch ? scan->batch_records : result->records,
        .cut_version = in_batch ? scan->batch_version : result->last_version,
        .before = result->last_version,
        .why = why,
    };
    scan->batch = 0;
    scan->offset = end;
    return true;
}

/* Nothing but zeros is left: right for the end of a log, unless they stand where data was durable,
 * or the last batch has no end. */
static bool finish(struct scan *scan)
{
    struct scan_result *result = scan->result;
    uint64_t vouched = scan->options->vouched;
    if (vouched > scan->bytes.size)
        vouched = scan->bytes.size;
    bool added = true;
    bool sealed = scan->ends_in_seal && scan->offset >= result->data_end;
    if (!sealed && scan->offset < vouched)
        added = add_hole(scan, vouched, "zeros where records were");
    else if (scan->batch != 0 && !PLANTED(torn_batch_kept))
        added = add_hole(scan, scan->offset, "a batch without its end");
    result->has_seal = sealed;
    return added;
}

bitcask_status scan_segment(slice bytes, const struct scan_options *options, scan_record_fn each,
                            void *context, struct scan_result *result)
{
    const uint64_t from = options->from != 0 ? options->from : SEGMENT_HEADER_SIZE;
    *result = (struct scan_result){
        .end = from,
        .data_end = from,
        .watermark = options->vouched,
    };
    if (bytes.size <= from)
        return BITCASK_OK;
    uint64_t data_end = find_data_end(scan_looked_at(bytes, options));
    if (data_end > result->data_end)
        result->data_end = data_end;
    struct scan scan = {
        .options = options,
        .result = result,
        .bytes = bytes,
        .offset = from,
        .work_left = options->work_limit != 0 ? options->work_limit : WORK_FACTOR * bytes.size,
    };
    while (scan.offset < result->data_end) {
        struct record_shape shape;
        const char *why = NULL;
        bitcask_status status = read_record(&scan, &shape, &why);
        if (status == BITCASK_OK) {
            uint64_t offset = scan.offset;
            note_record(&scan, &shape);
            if (each != NULL && each(context, offset, at(&scan, offset), &shape) != 0)
                return BITCASK_CANCELLED;
            continue;
        }
        uint64_t next = find_record(&scan, scan.offset + 1);
        if (!add_hole(&scan, next, status == BITCASK_END ? "zeros between records" : why))
            return BITCASK_NO_MEMORY;
    }
    return finish(&scan) ? BITCASK_OK : BITCASK_NO_MEMORY;
}

void scan_release(struct scan_result *result)
{
    free(result->holes);
    result->holes = NULL;
    result->hole_count = result->hole_capacity = 0;
}
