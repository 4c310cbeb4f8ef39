/* SPDX-License-Identifier: MIT
 * index_image_write.c: making an image of the index while others read and write it. */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/index_image.h"
#include "engine/log_append.h"
#include "engine/log_writer.h"

enum {
    BUFFER_SIZE = 1 << 20,
    PART_SIZE = 8 << 20, /* written and synced, then the caller is asked whether to go on */
    IMAGE_LOG_SHARE = 4, /* at close: when the log has grown by a quarter of the image... */
    RUNNING_FACTOR = 16, /* ...and while open by as many times that */
};

/* ---- When ------------------------------------------------------------------------------------ */

static uint64_t log_bytes(struct store *store)
{
    struct segments *table = &store->segments;
    uint64_t bytes = 0;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count; i++)
        bytes += atomic_load(&table->by_id[i]->end);
    pthread_mutex_unlock(&table->mutex);
    return bytes;
}

static bool image_is_good(const struct store *store)
{
    const struct index_state *index = &store->index;
    return atomic_load(&index->image_bytes) != 0 &&
           atomic_load(&index->removals) == atomic_load(&store->segments.removals);
}

static uint64_t work_done(const struct store *store)
{
    const struct store_counters *counters = &store->counters;
    return atomic_load(&counters->bytes_written) + atomic_load(&counters->merge_bytes_written);
}

bool index_image_is_due(struct store *store, bool closing)
{
    const struct store_options *options = &store->options;
    if (!options->index_snapshot || options->read_only || store->keydir == NULL)
        return false;
    uint64_t covered = image_is_good(store) ? atomic_load(&store->index.covered_bytes) : 0;
    uint64_t bytes = log_bytes(store);
    uint64_t growth = bytes > covered ? bytes - covered : 0;
    uint64_t wanted = keydir_bytes(store->keydir) / IMAGE_LOG_SHARE;
    if (wanted < options->index_snapshot_bytes)
        wanted = options->index_snapshot_bytes;
    if (closing)
        return growth >= wanted;
    /* Merges may follow each other and each end the use of an image: so by what has been written */
    uint64_t work = work_done(store) - atomic_load(&store->index.work_done);
    return growth / RUNNING_FACTOR >= wanted && work / RUNNING_FACTOR >= wanted;
}

/* ---- What is written ------------------------------------------------------------------------- */

/* Where a segment ended before the first shard was copied. */
struct mark {
    uint64_t id, end;
};

struct writing {
    struct store *store;
    bool (*go_on)(struct store *store);
    struct os_file *file;
    struct image_header header;
    struct mark *marks; /* by ascending id */
    size_t mark_count;
    struct segment **all; /* pinned, at the end */
    size_t all_count;
    struct image_segment *segments;
    struct image_shard *shards;
    size_t shard_capacity;
    uint8_t *buffer;
    size_t buffered;
    uint64_t written, synced; /* bytes of the file */
    uint64_t covered;         /* bytes of the log */
    uint64_t sync_failures;   /* before */
};

static bitcask_status no_memory(bitcask_error *error)
{
    return error_set(error, BITCASK_NO_MEMORY, "out of memory for the index snapshot");
}

static bitcask_status spill(struct writing *writing, bitcask_error *error)
{
    struct os *os = writing->store->os;
    int result =
        os->pwrite(os, writing->file, writing->buffer, writing->buffered, writing->written, 0);
    if (result != 0)
        return error_set_os(error, result, "write the index snapshot");
    writing->written += writing->buffered;
    writing->buffered = 0;
    return BITCASK_OK;
}

static bitcask_status append(struct writing *writing, const void *data, size_t size,
                             bitcask_error *error)
{
    const uint8_t *from = data;
    while (size > 0) {
        size_t room = BUFFER_SIZE - writing->buffered;
        size_t now = size < room ? size : room;
        memcpy(writing->buffer + writing->buffered, from, now);
        writing->buffered += now;
        from += now;
        size -= now;
        if (writing->buffered == BUFFER_SIZE) {
            bitcask_status status = spill(writing, error);
            if (status != BITCASK_OK)
                return status;
        }
    }
    return BITCASK_OK;
}

/* ---- Positions ------------------------------------------------------------------------------- */

/* A segment whose records may be missing or damaged has entries that nobody can check. */
static bool is_sound(const struct segment *segment)
{
    return segment->map != NULL && atomic_load(&segment->damaged) == 0 &&
           atomic_load(&segment->sync_failed) == 0;
}

/* All that was appended has been published, and the figures are those of it: between two groups. */
static bool is_between_groups(struct store *store)
{
    const struct log_writer *writer = &store->writer;
    const struct segment *active = atomic_load(&writer->active);
    return writer->buffer_size == 0 && (active == NULL || atomic_load(&active->end) == writer->end);
}

static bitcask_status refuse_state(bitcask_error *error)
{
    return error_set(error, BITCASK_LIMIT, "the store is in no state for an index snapshot");
}

static bitcask_status note_marks(struct writing *writing, bitcask_error *error)
{
    struct store *store = writing->store;
    struct segments *table = &store->segments;
    bitcask_status status = BITCASK_OK;
    write_mutex_lock(&store->write_mutex);
    pthread_mutex_lock(&table->mutex);
    writing->marks = malloc((table->count + 1) * sizeof *writing->marks);
    if (writing->marks == NULL)
        status = no_memory(error);
    else if (!is_between_groups(store))
        status = refuse_state(error);
    for (size_t i = 0; i < table->count && status == BITCASK_OK; i++) {
        const struct segment *segment = table->by_id[i];
        if (!is_sound(segment))
            status = refuse_state(error);
        writing->marks[writing->mark_count++] =
            (struct mark){segment->id, atomic_load(&segment->end)};
    }
    pthread_mutex_unlock(&table->mutex);
    write_mutex_unlock(&store->write_mutex);
    return status;
}

static uint64_t marked_end(const struct writing *writing, uint64_t id)
{
    for (size_t i = 0; i < writing->mark_count; i++) {
        if (writing->marks[i].id == id)
            return writing->marks[i].end;
    }
    return SEGMENT_HEADER_SIZE; /* made since */
}

static void describe(struct writing *writing, const struct segment *segment)
{
    struct store *store = writing->store;
    bool active = segment == atomic_load(&store->writer.active);
    uint64_t end = atomic_load(&segment->end);
    writing->segments[writing->header.segment_count++] = (struct image_segment){
        .id = segment->id,
        .salt = segment->salt,
        .slot = segment->slot,
        .rolling = active ? log_figures(&store->writer)->rolling : segment->figures.rolling,
        .replay_from = marked_end(writing, segment->id),
        .length = end,
        .live_records = atomic_load(&segment->live_records),
        .live_bytes = atomic_load(&segment->live_bytes),
    };
    writing->covered += end;
}

/* The end of what the image tells of, with the live figures there. Nobody takes a segment away: we
 * hold merge_mutex. */
static bitcask_status note_segments(struct writing *writing, bitcask_error *error)
{
    struct store *store = writing->store;
    bitcask_status status = BITCASK_OK;
    write_mutex_lock(&store->write_mutex);
    writing->all = segments_pin_all(&store->segments, &writing->all_count);
    writing->segments = calloc(writing->all_count + 1, sizeof *writing->segments);
    if (writing->all == NULL || writing->segments == NULL)
        status = no_memory(error);
    else if (!is_between_groups(store))
        status = refuse_state(error);
    memcpy(writing->header.fork_id, store->fork_id, STORE_ID_SIZE);
    pthread_mutex_lock(&store->segments.mutex); /* guards figures */
    for (size_t i = 0; i < writing->all_count && status == BITCASK_OK; i++) {
        const struct segment *segment = writing->all[i];
        if (!is_sound(segment))
            status = refuse_state(error);
        else if (atomic_load(&segment->end) > SEGMENT_HEADER_SIZE)
            describe(writing, segment);
    }
    pthread_mutex_unlock(&store->segments.mutex);
    write_mutex_unlock(&store->write_mutex);
    return status;
}

/* Make the log durable as far as the image tells of it. After a failed sync records have been
 * copied elsewhere and places have changed. */
static bitcask_status sync_log(struct writing *writing, bitcask_error *error)
{
    struct store *store = writing->store;
    bitcask_status status = log_sync_background(store, error);
    if (status != BITCASK_OK)
        return status;
    if (atomic_load(&store->counters.sync_failures) != writing->sync_failures)
        return refuse_state(error);
    uint32_t next = 0;
    for (size_t i = 0; i < writing->all_count && next < writing->header.segment_count; i++) {
        const struct segment *segment = writing->all[i];
        if (segment->id != writing->segments[next].id)
            continue;
        if (atomic_load(&segment->synced) < writing->segments[next].length)
            return refuse_state(error);
        next++;
    }
    return BITCASK_OK;
}

/* ---- Shards ---------------------------------------------------------------------------------- */

static bool keep_shard(struct writing *writing, const struct image_shard *shard)
{
    struct image_header *header = &writing->header;
    if (header->shard_count == writing->shard_capacity) {
        size_t capacity = writing->shard_capacity * 2 + 256;
        struct image_shard *shards = realloc(writing->shards, capacity * sizeof *shards);
        if (shards == NULL)
            return false;
        writing->shards = shards;
        writing->shard_capacity = capacity;
    }
    writing->shards[header->shard_count++] = *shard;
    return true;
}

/* The words of the copy, little-endian, in place. */
static size_t encode_words(struct keydir_copy *copy, uint32_t bucket_count)
{
    size_t words = bucket_count * (size_t)KEYDIR_BUCKET_SLOTS + 2 * (size_t)copy->stash;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = copy->words[i];
        put_u64(&copy->words[i], word);
    }
    return 8 * words;
}

static bitcask_status write_shard(struct writing *writing, struct keydir_copy *copy,
                                  bitcask_error *error)
{
    struct image_header *header = &writing->header;
    size_t size = encode_words(copy, header->bucket_count);
    struct image_shard shard = {
        .crc = image_shard_checksum(header->salt, header->shard_count, copy->words, size),
        .entries = copy->entries,
        .stash = copy->stash,
        .depth = (uint8_t)copy->depth,
        .tag_depth = (uint8_t)copy->tag_depth,
    };
    if (!keep_shard(writing, &shard))
        return no_memory(error);
    header->entries += shard.entries;
    return append(writing, copy->words, size, error);
}

/* Sync what there is, so that the last sync is short, and let the caller do something else. */
static bitcask_status end_part(struct writing *writing, bitcask_error *error)
{
    struct store *store = writing->store;
    if (writing->written - writing->synced < PART_SIZE)
        return BITCASK_OK;
    int result = store->os->sync(store->os, writing->file);
    if (result != 0)
        return error_set_os(error, result, "sync the index snapshot");
    writing->synced = writing->written;
    if (writing->go_on != NULL && !writing->go_on(store))
        return error_set(error, BITCASK_CANCELLED, "the store is being closed");
    return BITCASK_OK;
}

static bitcask_status write_shards(struct writing *writing, bitcask_error *error)
{
    struct keydir *keydir = writing->store->keydir;
    struct keydir_copy copy = {0};
    uint64_t cursor = 0;
    bitcask_status status = BITCASK_OK;
    do {
        status = keydir_copy_shard(keydir, cursor, &copy, &cursor);
        if (status != BITCASK_OK)
            status = keydir_fetch_failed(status, error);
        else
            status = write_shard(writing, &copy, error);
        if (status == BITCASK_OK)
            status = end_part(writing, error);
    } while (status == BITCASK_OK && cursor != UINT64_MAX);
    free(copy.words);
    return status;
}

static bitcask_status write_tables(struct writing *writing, bitcask_error *error)
{
    struct image_header *header = &writing->header;
    header->shards_end = writing->written + writing->buffered;
    size_t size = (size_t)image_tables_size(header);
    uint8_t *tables = malloc(size);
    if (tables == NULL)
        return no_memory(error);
    uint8_t *to = tables;
    for (uint32_t i = 0; i < header->segment_count; i++, to += IMAGE_SEGMENT_SIZE)
        image_segment_encode(to, &writing->segments[i]);
    for (uint32_t i = 0; i < header->shard_count; i++, to += IMAGE_SHARD_SIZE)
        image_shard_encode(to, &writing->shards[i]);
    header->tables_crc = checksum(0, tables, size);
    bitcask_status status = append(writing, tables, size, error);
    if (status == BITCASK_OK)
        status = spill(writing, error);
    free(tables);
    return status;
}

/* ---- The file -------------------------------------------------------------------------------- */

static bitcask_status make_file(struct writing *writing, const char *path, bitcask_error *error)
{
    struct os *os = writing->store->os;
    int result = os->unlink(os, path);
    if (result == 0 || result == -ENOENT)
        result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, &writing->file);
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "make the index snapshot");
}

/* The header last: a file without it is no image. */
static bitcask_status finish_file(struct writing *writing, const char *temporary,
                                  bitcask_error *error)
{
    struct store *store = writing->store;
    struct os *os = store->os;
    char path[OS_PATH_MAX];
    uint8_t bytes[IMAGE_HEADER_SIZE];
    image_header_encode(bytes, &writing->header);
    int result = os->pwrite(os, writing->file, bytes, sizeof bytes, 0, 0);
    if (result == 0)
        result = os->sync(os, writing->file);
    int closed = os->close(os, writing->file);
    writing->file = NULL;
    if (result == 0)
        result = closed;
    segments_path(&store->segments, path, NAME_IMAGE);
    if (result == 0)
        result = os->rename(os, temporary, path);
    if (result == 0)
        result = os->sync_dir(os, store->segments.directory);
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "write the index snapshot");
}

static bitcask_status begin(struct writing *writing, const char *temporary, bitcask_error *error)
{
    struct store *store = writing->store;
    struct image_header *header = &writing->header;
    header->format = FORMAT_VERSION;
    header->bucket_count = store->keydir->bucket_count;
    header->created_us = store->os->clock_real(store->os);
    header->hash_check = hash_key(&store->secret, slice_of("", 0));
    memcpy(header->store_id, store->segments.store_id, STORE_ID_SIZE);
    writing->sync_failures = atomic_load(&store->counters.sync_failures);
    writing->written = IMAGE_HEADER_SIZE;
    writing->buffer = malloc(BUFFER_SIZE);
    if (writing->buffer == NULL)
        return no_memory(error);
    int result = store->os->random(store->os, &header->salt, sizeof header->salt);
    if (result != 0)
        return error_set_os(error, result, "get random bytes");
    bitcask_status status = note_marks(writing, error);
    return status == BITCASK_OK ? make_file(writing, temporary, error) : status;
}

static void end(struct writing *writing, const char *temporary, bitcask_status status)
{
    struct os *os = writing->store->os;
    if (writing->file != NULL)
        os->close(os, writing->file);
    if (status != BITCASK_OK)
        (void)os->unlink(os, temporary);
    if (writing->all != NULL)
        segments_unpin_all(writing->all, writing->all_count);
    free(writing->marks);
    free(writing->segments);
    free(writing->shards);
    free(writing->buffer);
}

/* Remember what is on disk now. */
static void keep_state(const struct writing *writing)
{
    struct store *store = writing->store;
    struct index_state *index = &store->index;
    atomic_store(&index->image_bytes, writing->written);
    atomic_store(&index->image_time_us, writing->header.created_us);
    atomic_store(&index->covered_bytes, writing->covered);
    atomic_store(&index->removals, atomic_load(&store->segments.removals));
    atomic_fetch_add(&index->images_written, 1);
}

bitcask_status index_image_write(struct store *store, bool (*go_on)(struct store *store),
                                 bitcask_error *error)
{
    struct writing writing = {.store = store, .go_on = go_on};
    char temporary[OS_PATH_MAX];
    segments_path(&store->segments, temporary, NAME_IMAGE_TMP);
    uint64_t started = store->os->clock_boot(store->os);
    atomic_store(&store->index.writing, true);
    if (pthread_mutex_trylock(&store->merge_mutex) != 0) {
        atomic_store(&store->index.writing, false);
        return error_set(error, BITCASK_CANCELLED, "a merge is running");
    }
    atomic_store(&store->index.work_done, work_done(store));
    bitcask_status status = begin(&writing, temporary, error);
    if (status == BITCASK_OK)
        status = write_shards(&writing, error);
    if (status == BITCASK_OK)
        status = note_segments(&writing, error);
    if (status == BITCASK_OK)
        status = sync_log(&writing, error);
    if (status == BITCASK_OK)
        status = write_tables(&writing, error);
    if (status == BITCASK_OK)
        status = finish_file(&writing, temporary, error);
    if (status == BITCASK_OK)
        keep_state(&writing);
    end(&writing, temporary, status);
    pthread_mutex_unlock(&store->merge_mutex);
    atomic_store(&store->index.writing, false);
    if (status == BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_INFO, "index_snapshot",
              F_UINT("keys", writing.header.entries), F_UINT("bytes", writing.written),
              F_UINT("duration_us", store->os->clock_boot(store->os) - started));
    return status;
}
