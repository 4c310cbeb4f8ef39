/* SPDX-License-Identifier: MIT
 * log_writer.c: appending to the active segment. Space: log_space.c, log_rotation.c; sync:
 * log_sync.c. */
#include "engine/log_writer.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/log_append.h"

enum {
    BUFFER_FLUSH_SIZE = 1 << 20,  /* the buffer is brought into the file when it is as large */
    BUFFER_VALUE_MAX = 256 << 10, /* larger values go by a pwrite of their own */
    ZEROS_MAX = 64 << 10,         /* written ahead of synced records */
};

bitcask_status log_writer_init(struct store *store, bitcask_error *error)
{
    struct os_traits traits;
    int result = store->os->traits(store->os, store->segments.directory, &traits);
    if (result != 0)
        return error_set_os(error, result, "look at the file system");
    store->writer.mapped_writes = traits.mapped_writes;
    store->ahead.looked_us = store->os->clock_boot(store->os);
    return BITCASK_OK;
}

void log_writer_release(struct store *store)
{
    free(store->writer.buffer);
    store->writer.buffer = NULL;
}

static bool grow_buffer(struct log_writer *writer, size_t size)
{
    if (writer->buffer_capacity >= size)
        return true;
    size_t capacity = writer->buffer_capacity == 0 ? 64 << 10 : writer->buffer_capacity;
    while (capacity < size)
        capacity *= 2;
    uint8_t *buffer = realloc(writer->buffer, capacity);
    if (buffer == NULL)
        return false;
    writer->buffer = buffer;
    writer->buffer_capacity = capacity;
    return true;
}

static bitcask_status write_at(struct store *store, const void *data, size_t size, uint64_t offset,
                               int flags, bitcask_error *error)
{
    struct segment *active = log_active(store);
    if (offset + size > store->writer.dirty_end)
        store->writer.dirty_end = offset + size;
    int result = store->os->pwrite(store->os, active->file, data, size, offset, flags);
    if (result == 0)
        return BITCASK_OK;
    bitcask_status status = error_set_os(error, result, "append to the log");
    error_at(error, active->id, offset);
    return status;
}

/* Header and key of a record whose value follows elsewhere, with the checksum of the whole. */
static void encode_head(uint8_t *to, const struct record *record, uint64_t salt, uint64_t offset,
                        uint32_t *size)
{
    uint32_t header = record_encode_header(to, record);
    memcpy(to + header, record->key.data, record->key.size);
    uint8_t place[16];
    put_u64(place, salt);
    put_u64(place + 8, offset);
    uint32_t crc = checksum(0, place, sizeof place);
    crc = checksum(crc, to + 4, header - 4 + record->key.size);
    put_u32(to, checksum(crc, record->value.data, record->value.size));
    *size = header + (uint32_t)record->key.size;
}

static void append_mapped(const struct segment *active, const struct record *record,
                          uint64_t offset, uint32_t *crc)
{
    uint8_t *to = active->writable + offset;
    record_encode(to, record, active->salt, offset);
    *crc = get_u32(to);
}

/* The first write to allocated space makes the file system note that it is written to, which a sync
 * has to wait for: an inode more to be written, or a commit of the journal. So a write that waits
 * goes on with zeros, which the space reads as anyway, and those behind it find it done. Not where
 * allocation promises little: there more to write is more that can fail. Puts as many behind the
 * buffer's bytes and returns their number. */
static size_t add_zeros(struct log_writer *writer)
{
    uint64_t end = writer->buffer_offset + writer->buffer_size;
    if (end <= writer->written || !writer->mapped_writes)
        return 0;
    uint64_t goal = end + (end < ZEROS_MAX ? end : ZEROS_MAX);
    goal = (goal + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
    if (goal > writer->allocated)
        goal = writer->allocated;
    size_t zeros = goal > end ? (size_t)(goal - end) : 0;
    if (zeros == 0 || !grow_buffer(writer, writer->buffer_size + zeros))
        return 0;
    memset(writer->buffer + writer->buffer_size, 0, zeros);
    return zeros;
}

/* Bring the buffer's bytes into the file. */
static bitcask_status spill(struct store *store, int flags, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    if (writer->buffer_size == 0)
        return BITCASK_OK;
    size_t size = writer->buffer_size + (flags & OS_DSYNC ? add_zeros(writer) : 0);
    bitcask_status status =
        write_at(store, writer->buffer, size, writer->buffer_offset, flags, error);
    if (status != BITCASK_OK)
        return status;
    if (writer->written < writer->buffer_offset + size)
        writer->written = writer->buffer_offset + size;
    writer->buffer_offset += writer->buffer_size;
    writer->buffer_size = 0;
    return BITCASK_OK;
}

static bitcask_status append_buffered(struct store *store, struct segment *active,
                                      const struct record *record, uint64_t offset, uint64_t size,
                                      uint32_t *crc, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    bool apart = record->value.size > BUFFER_VALUE_MAX;
    size_t room = apart ? RECORD_HEADER_MAX + record->key.size : (size_t)size;
    if (writer->buffer_size == 0)
        writer->buffer_offset = offset;
    if (!grow_buffer(writer, writer->buffer_size + room))
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a group of writes");
    uint8_t *to = writer->buffer + writer->buffer_size;
    bitcask_status status = BITCASK_OK;
    if (!apart) {
        record_encode(to, record, active->salt, offset);
        *crc = get_u32(to);
        writer->buffer_size += (size_t)size;
        if (writer->buffer_size >= BUFFER_FLUSH_SIZE)
            status = spill(store, 0, error);
        return status;
    }
    uint32_t head;
    encode_head(to, record, active->salt, offset, &head);
    *crc = get_u32(to);
    writer->buffer_size += head;
    status = spill(store, 0, error);
    if (status == BITCASK_OK)
        status = write_at(store, record->value.data, record->value.size, offset + head, 0, error);
    if (status == BITCASK_OK) /* else log_rewind has to know where the buffer goes */
        writer->buffer_offset = offset + size;
    return status;
}

bitcask_status log_append(struct store *store, struct record *record, bool buffered,
                          struct keydir_place *place, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct segment *active = log_active(store);
    uint64_t offset = writer->end;
    uint64_t size = record_size(record->flags, record->key.size, record->value.size);
    CHECK(offset + size <= writer->allocated);

    if (record->version == 0 && !(record->flags & RECORD_META)) {
        record->version = log_next_version(writer);
        log_give_version(writer, record->version);
    }
    bitcask_status status = BITCASK_OK;
    uint32_t crc = 0;
    if (buffered || active->writable == NULL || !writer->mapped_writes)
        status = append_buffered(store, active, record, offset, size, &crc, error);
    else
        append_mapped(active, record, offset, &crc);
    if (status != BITCASK_OK)
        return status;
    writer->end = offset + size;
    log_roll(writer, crc);
    if (!(record->flags & RECORD_META))
        log_count_in(store, active, record);
    /* Whoever syncs meanwhile must not note an end inside a batch: it would vouch for a part. */
    bool whole = !(record->flags & RECORD_BATCH_MORE) || PLANTED(end_inside_batch);
    if (writer->buffer_size == 0 && whole)
        atomic_store_explicit(&active->end, writer->end, memory_order_release);
    *place = (struct keydir_place){active->slot, (uint32_t)offset};
    log_add(&store->counters.bytes_written, size);
    return BITCASK_OK;
}

bitcask_status log_spill(struct store *store, int flags, bitcask_error *error)
{
    bitcask_status status = spill(store, flags, error);
    struct segment *active = log_active(store);
    if (status == BITCASK_OK && active != NULL)
        atomic_store_explicit(&active->end, store->writer.end, memory_order_release);
    return status;
}

void log_publish(struct store *store)
{
    const struct segment *active = log_active(store);
    if (UNLIKELY(active == NULL))
        return;
    if (UNLIKELY(atomic_load_explicit(&active->suspect, memory_order_relaxed) != UINT64_MAX))
        return;
    /* F2: nothing is in this segment yet, as when all of a group was refused. The end of the one
     * before it is what tells a follower how far that goes, until it is sealed or FOLLOWS is here.
     */
    uint64_t end = atomic_load_explicit(&active->end, memory_order_relaxed);
    if (UNLIKELY(end <= SEGMENT_HEADER_SIZE) && !PLANTED(follow_empty_end))
        return;
    published_set(store, active, end);
}

void log_get_mark(struct store *store, struct log_mark *mark)
{
    struct log_writer *writer = &store->writer;
    struct segment *active = log_active(store);
    *mark = (struct log_mark){
        .segment = active,
        .end = writer->end,
        .buffer_size = writer->buffer_size,
        .figures = *log_figures(writer),
    };
}

/* Stale records behind the end could be taken for good ones after a crash, where a later append
 * happens to end just before them: zero them. */
static bitcask_status scrub(struct store *store, uint64_t from, uint64_t to, bitcask_error *error)
{
    struct segment *active = log_active(store);
    if (from >= to || PLANTED(rewind_keeps_bytes))
        return BITCASK_OK;
    if (active->writable != NULL && store->writer.mapped_writes) {
        memset(active->writable + from, 0, to - from);
        return BITCASK_OK;
    }
    static const uint8_t zeros[4096];
    for (uint64_t at = from; at < to; at += sizeof zeros) {
        size_t size = to - at < sizeof zeros ? (size_t)(to - at) : sizeof zeros;
        int result = store->os->pwrite(store->os, active->file, zeros, size, at, 0);
        if (result != 0)
            return error_set_os(error, result, "take back a failed append");
    }
    return BITCASK_OK;
}

bool log_rewind(struct store *store, const struct log_mark *mark)
{
    struct log_writer *writer = &store->writer;
    struct segment *active = log_active(store);
    CHECK(active == mark->segment);
    uint64_t written = writer->end > writer->dirty_end ? writer->end : writer->dirty_end;
    writer->end = mark->end;
    *log_figures(writer) = mark->figures;
    log_show_figures(active, &mark->figures);
    bool still_buffered = mark->buffer_size > 0 && writer->buffer_size >= mark->buffer_size &&
                          writer->buffer_offset + mark->buffer_size == mark->end;
    writer->buffer_size = still_buffered ? mark->buffer_size : 0;
    bool scrubbed = scrub(store, mark->end, written, NULL) == BITCASK_OK;
    if (!scrubbed)
        store_poison(store, BITCASK_IO, "a failed append could not be taken back; reopen");
    if (writer->buffer_size == 0)
        atomic_store_explicit(&active->end, writer->end, memory_order_release);
    return scrubbed;
}
