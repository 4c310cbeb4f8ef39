/* SPDX-License-Identifier: MIT
 * merge_output.c: the segments that a merge job writes. */
#include "engine/merge_output.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/hint_file.h"
#include "engine/merge_plan.h"
#include "engine/read_ahead.h"

enum {
    BUFFER_SIZE = 1 << 20,
    DIRECT_SIZE = 256 << 10, /* as much at once goes by a pwrite of its own */
    /* An output is synced in steps: what a device has to write when the log is synced meanwhile
     * does not grow with the segment. */
    SYNC_STEP = 8 << 20,
};

static uint64_t seal_record_size(size_t input_count)
{
    return record_size(RECORD_META, 0, META_SEAL_FIXED + 8 * (uint64_t)input_count);
}

static struct segment *current(const struct merge_output *output)
{
    CHECK(output->open);
    return output->segments[output->count - 1];
}

bitcask_status merge_output_init(struct merge_output *output, struct store *store,
                                 const uint64_t *inputs, size_t input_count,
                                 uint64_t expected_bytes, bitcask_error *error)
{
    CHECK(input_count <= MERGE_MAX_INPUTS);
    *output = (struct merge_output){
        .store = store,
        .inputs = inputs,
        .input_count = input_count,
        .expected_bytes = expected_bytes,
        .buffer = malloc(BUFFER_SIZE),
    };
    if (output->buffer == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for writing a merge");
    return BITCASK_OK;
}

/* ---- Bytes --------------------------------------------------------------------------------- */

static bitcask_status write_at(struct merge_output *output, const void *data, size_t size,
                               uint64_t offset, bitcask_error *error)
{
    struct segment *segment = current(output);
    int result = segment->os->pwrite(segment->os, segment->file, data, size, offset, 0);
    output->unsynced += size;
    if (result == 0 && output->unsynced >= SYNC_STEP) {
        result = segment->os->sync(segment->os, segment->file);
        output->unsynced = 0;
    }
    if (result == 0)
        return BITCASK_OK;
    bitcask_status status =
        error_set_os(error, result, "write merge output %llu", (unsigned long long)segment->id);
    error_at(error, segment->id, offset);
    return status;
}

static bitcask_status flush(struct merge_output *output, bitcask_error *error)
{
    if (output->buffered == 0)
        return BITCASK_OK;
    bitcask_status status =
        write_at(output, output->buffer, output->buffered, output->buffer_offset, error);
    output->buffer_offset += output->buffered;
    output->buffered = 0;
    return status;
}

static bitcask_status emit(struct merge_output *output, const void *data, size_t size,
                           bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    if (size > BUFFER_SIZE - output->buffered || size >= DIRECT_SIZE)
        status = flush(output, error);
    if (status != BITCASK_OK)
        return status;
    if (size < DIRECT_SIZE) {
        if (size > 0)
            memcpy(output->buffer + output->buffered, data, size);
        output->buffered += size;
        return BITCASK_OK;
    }
    status = write_at(output, data, size, output->buffer_offset, error);
    output->buffer_offset += size;
    return status;
}

/* Frame a record for the place where the open output goes on, and write it there. */
static bitcask_status emit_record(struct merge_output *output, const struct record *record,
                                  bitcask_error *error)
{
    uint8_t header[RECORD_HEADER_MAX], place[16];
    uint32_t header_size = record_encode_header(header, record);
    put_u64(place, current(output)->salt);
    put_u64(place + 8, output->end);
    uint32_t crc = checksum(0, place, sizeof place);
    crc = checksum(crc, header + 4, header_size - 4);
    crc = checksum(crc, record->key.data, record->key.size);
    put_u32(header, checksum(crc, record->value.data, record->value.size));

    bitcask_status status = emit(output, header, header_size, error);
    if (status == BITCASK_OK)
        status = emit(output, record->key.data, record->key.size, error);
    if (status == BITCASK_OK)
        status = emit(output, record->value.data, record->value.size, error);
    output->end += record_size(record->flags, record->key.size, record->value.size);
    return status;
}

/* ---- Opening and sealing ------------------------------------------------------------------- */

/* Open an output with room for a first record of `size` bytes. */
static bitcask_status open_next(struct merge_output *output, uint64_t size, bitcask_error *error)
{
    struct store *store = output->store;
    if (output->count == output->capacity) {
        size_t capacity = output->capacity * 2 + 4;
        struct segment **segments = realloc(output->segments, capacity * sizeof *segments);
        if (segments == NULL)
            return error_set(error, BITCASK_NO_MEMORY, "out of memory for merge outputs");
        output->segments = segments;
        output->capacity = capacity;
    }
    uint64_t seal = seal_record_size(output->input_count);
    uint64_t capacity = store->options.segment_size;
    if (capacity < SEGMENT_HEADER_SIZE + size + seal)
        capacity = SEGMENT_HEADER_SIZE + size + seal;
    uint64_t expected = output->expected_bytes > size ? output->expected_bytes : size;
    uint64_t allocate = SEGMENT_HEADER_SIZE + expected + seal;
    struct segment *segment;
    bitcask_status status =
        segments_create(&store->segments, SEGMENT_MERGE, capacity,
                        allocate < capacity ? allocate : capacity, &segment, error);
    if (status != BITCASK_OK)
        return status;
    output->segments[output->count++] = segment;
    output->open = true;
    output->limit = capacity - seal;
    output->end = SEGMENT_HEADER_SIZE;
    output->records = 0;
    output->unsynced = 0;
    output->buffer_offset = SEGMENT_HEADER_SIZE;
    return BITCASK_OK;
}

/* The SEAL record behind the open output's records; sets *size to the file's. */
static bitcask_status write_seal(struct merge_output *output, const struct segment_figures *figures,
                                 bool last, uint64_t *size, bitcask_error *error)
{
    struct meta_seal seal = {
        .length = output->end,
        .records = figures->records,
        .tombstones = figures->tombstones,
        .version_min = figures->version_min,
        .version_max = figures->version_max,
        .expires_min = figures->expires_min,
        .expires_max = figures->expires_max,
        .job = output->segments[0]->id,
        .outputs = last ? (uint32_t)output->count : 0,
        .rolling = figures->rolling,
        .input_count = last ? (uint32_t)output->input_count : 0,
    };
    size_t inputs_size = 8 * (size_t)seal.input_count;
    uint8_t *bytes = malloc(inputs_size + META_SEAL_FIXED + inputs_size);
    if (bytes == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a seal record");
    for (size_t i = 0; i < seal.input_count; i++)
        put_u64(bytes + 8 * i, output->inputs[i]);
    seal.inputs = bytes;
    uint8_t *value = bytes + inputs_size;
    struct record record = {
        .version = figures->version_max,
        .flags = RECORD_META,
        .value = slice_of(value, meta_seal_encode(value, &seal)),
    };
    bitcask_status status = emit_record(output, &record, error);
    if (status == BITCASK_OK)
        status = flush(output, error);
    *size = output->end;
    free(bytes);
    return status;
}

/* Cut the file to `size`, make it durable and close it: from here on it never changes. */
static bitcask_status make_durable(struct segment *segment, uint64_t size, bitcask_error *error)
{
    struct os *os = segment->os;
    atomic_store(&segment->readable, size);
    int result = os->truncate(os, segment->file, size);
    if (result == 0 && !PLANTED(output_unsynced))
        result = os->sync(os, segment->file);
    if (result != 0)
        return error_set_os(error, result, "seal merge output %llu",
                            (unsigned long long)segment->id);
    os->close(os, segment->file);
    segment->file = NULL;
    segment->writable = NULL; /* the same mapping as `map` */
    uint64_t now = os->clock_real(os);
    atomic_store(&segment->sealed_us, now);
    atomic_store(&segment->synced_us, now);
    atomic_store(&segment->state, BITCASK_SEGMENT_SEALED);
    read_ahead_begin(segment);
    return BITCASK_OK;
}

static bitcask_status write_hint(struct merge_output *output, struct segment *segment,
                                 const struct hint_file *hint, bitcask_error *error)
{
    bitcask_error failure = {0};
    bitcask_status status = hint_file_write(segment, hint, &failure);
    if (status == BITCASK_NO_SPACE) {
        EVENT(&output->store->events, BITCASK_LOG_WARN, "hint_failed",
              F_UINT("segment", segment->id), F_TEXT("error", failure.message));
        return BITCASK_OK;
    }
    if (status != BITCASK_OK && error != NULL)
        *error = failure;
    return status;
}

static bitcask_status seal_current(struct merge_output *output, bool last, bitcask_error *error)
{
    struct segment *segment = current(output);
    bitcask_status status = flush(output, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t length = output->end;
    atomic_store(&segment->end, length);
    atomic_store(&segment->synced, length);
    atomic_store(&segment->readable, length);

    /* Building the hint reads back and checks every record that was written. */
    struct hint_file hint;
    struct segment_figures figures;
    status = hint_file_build(segment, &output->store->secret, length, &hint, &figures, error);
    if (status != BITCASK_OK)
        return status;
    segment_set_figures(segment, &figures);
    uint64_t size = 0;
    status = write_seal(output, &figures, last, &size, error);
    if (status == BITCASK_OK)
        status = make_durable(segment, size, error);
    if (status == BITCASK_OK)
        status = write_hint(output, segment, &hint, error);
    hint_file_close(output->store->os, &hint);
    if (status == BITCASK_OK) {
        output->open = false;
        output->written_bytes += size;
    }
    return status;
}

/* ---- What the job calls -------------------------------------------------------------------- */

bitcask_status merge_output_add(struct merge_output *output, const struct record *record,
                                struct keydir_place *place, bitcask_error *error)
{
    uint64_t size = record_size(record->flags, record->key.size, record->value.size);
    uint64_t most = output->store->options.segment_max_records;
    bitcask_status status = BITCASK_OK;
    if (output->open &&
        (output->end + size > output->limit || (most != 0 && output->records >= most)))
        status = seal_current(output, false, error);
    if (status == BITCASK_OK && !output->open)
        status = open_next(output, size, error);
    if (status != BITCASK_OK)
        return status;
    *place = (struct keydir_place){current(output)->slot, (uint32_t)output->end};
    output->records++;
    output->expected_bytes -= size < output->expected_bytes ? size : output->expected_bytes;
    return emit_record(output, record, error);
}

bitcask_status merge_output_finish(struct merge_output *output, bool even_empty,
                                   bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    if (output->count == 0 && even_empty) {
        output->expected_bytes = 0;
        status = open_next(output, 0, error);
    }
    if (status == BITCASK_OK && output->open)
        status = seal_current(output, true, error);
    return status;
}

void merge_output_retry_hints(struct merge_output *output)
{
    struct store *store = output->store;
    for (size_t i = 0; i < output->count; i++) {
        struct segment *segment = output->segments[i];
        struct hint_file hint;
        struct segment_figures figures;
        if (atomic_load(&segment->has_hint) != 0 ||
            hint_file_build(segment, &store->secret, atomic_load(&segment->end), &hint, &figures,
                            NULL) != BITCASK_OK)
            continue;
        bitcask_status status = write_hint(output, segment, &hint, NULL);
        (void)status; /* still none: the segment is scanned when the store is opened */
        hint_file_close(store->os, &hint);
    }
}

void merge_output_release(struct merge_output *output, enum merge_output_fate fate)
{
    if (fate != MERGE_OUTPUT_KEEP)
        for (size_t i = 0; i < output->count; i++)
            segments_discard(&output->store->segments, output->segments[i],
                             fate == MERGE_OUTPUT_DELETE);
    free(output->segments);
    free(output->buffer);
    *output = (struct merge_output){0};
}
