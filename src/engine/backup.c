/* SPDX-License-Identifier: MIT
 * backup.c: the course of a backup; SOURCE at one moment. */
#include <stdlib.h>

#include "engine/backup_internal.h"
#include "engine/log_writer.h"
#include "engine/manifest_file.h"
#include "format/names.h"

/* ---- The look ------------------------------------------------------------------------------ */

/* Holding seal_mutex, write_mutex and prepare_mutex: nothing is half appended, half sealed or half
 * made. */
static void list_segments(struct backup *backup, struct segment **all, size_t count)
{
    struct segments *table = &backup->store->segments;
    struct manifest *after = &backup->after;
    pthread_mutex_lock(&table->mutex);
    after->next_id = table->next_id;
    for (size_t i = 0; i < count; i++) {
        struct segment *segment = all[i];
        uint32_t state = atomic_load(&segment->state);
        bool sealed = state == BITCASK_SEGMENT_SEALED || state == BITCASK_SEGMENT_MISSING;
        uint64_t end = atomic_load(&segment->end);
        if (!sealed && atomic_load(&segment->records) == 0) {
            segment_unpin(segment); /* prepared, or just begun */
            continue;
        }
        struct manifest_segment *entry = &after->segments[after->segment_count];
        segment_describe(segment, entry);
        entry->state = MANIFEST_SEALED;
        entry->length = end;
        if (entry->sealed_us == 0)
            entry->sealed_us = segment->os->clock_real(segment->os);
        backup->items[after->segment_count++] =
            (struct backup_item){.segment = segment, .sealed = sealed};
        backup->total_bytes += entry->length;
    }
    pthread_mutex_unlock(&table->mutex);
    after->version_ceiling = atomic_load(&backup->store->writer.last_version);
}

static bitcask_status look(struct backup *backup, bitcask_error *error)
{
    struct store *store = backup->store;
    struct manifest *after = &backup->after;
    pthread_mutex_lock(&store->seal_mutex);
    write_mutex_lock(&store->write_mutex);
    pthread_mutex_lock(&store->prepare_mutex);
    size_t count;
    struct segment **all = segments_pin_all(&store->segments, &count);
    after->segments = calloc(count + 1, sizeof *after->segments);
    backup->items = calloc(count + 1, sizeof *backup->items);
    bool room = all != NULL && after->segments != NULL && backup->items != NULL;
    if (room)
        list_segments(backup, all, count);
    pthread_mutex_unlock(&store->prepare_mutex);
    write_mutex_unlock(&store->write_mutex);
    pthread_mutex_unlock(&store->seal_mutex);
    if (room)
        free(all); /* the pins are the items' */
    else
        segments_unpin_all(all, count);
    return room ? BITCASK_OK : error_set(error, BITCASK_NO_MEMORY, "out of memory for a backup");
}

/* Make what the look has listed durable in the store, and the name of its manifest, which says
 * which store it is: a store without records need not have synced that yet. B1. */
static bitcask_status sync_source(struct backup *backup, bitcask_error *error)
{
    if (backup->store->options.read_only)
        return BITCASK_OK;
    struct os *os = backup->store->os;
    int result = os->sync_dir(os, backup->store->segments.directory);
    if (result != 0)
        return error_set_os(error, result, "sync the directory of the store");
    bitcask_status status = log_sync_background(backup->store, error);
    for (size_t i = 0; i < backup->after.segment_count && status == BITCASK_OK; i++) {
        if (!backup->items[i].sealed && atomic_load(&backup->items[i].segment->sync_failed) != 0)
            status = error_set(error, BITCASK_UNKNOWN,
                               "a sync of the store failed meanwhile; run the backup again");
    }
    return status;
}

/* Which of the sealed segments does the manifest on disk call sealed, at this length? */
static bitcask_status find_fixed(struct backup *backup, bitcask_error *error)
{
    struct store *store = backup->store;
    struct manifest named;
    pthread_mutex_lock(&store->manifest_mutex);
    bitcask_status status = manifest_file_read(&store->segments, &named, NULL, error);
    pthread_mutex_unlock(&store->manifest_mutex);
    if (status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT)
        return BITCASK_OK; /* nothing is linked */
    if (status != BITCASK_OK)
        return status;
    size_t at = 0;
    for (size_t i = 0; i < backup->after.segment_count; i++) {
        const struct manifest_segment *entry = &backup->after.segments[i];
        while (at < named.segment_count && named.segments[at].id < entry->id)
            at++;
        const struct manifest_segment *other =
            at < named.segment_count ? &named.segments[at] : NULL;
        backup->items[i].fixed = other != NULL && other->id == entry->id &&
                                 other->state == MANIFEST_SEALED && other->length == entry->length;
    }
    manifest_release(&named);
    return BITCASK_OK;
}

/* ---- The course ---------------------------------------------------------------------------- */

bitcask_status backup_progress(struct backup *backup, uint64_t bytes)
{
    backup->done_bytes += bytes;
    bitcask_backup_progress progress = {
        .done_bytes = backup->done_bytes,
        .total_bytes = backup->total_bytes,
        .copied_bytes = backup->result.copied_bytes,
    };
    const bitcask_backup_options *options = backup->options;
    bool stop = options->progress != NULL && options->progress(options->context, &progress) != 0;
    return stop ? BITCASK_CANCELLED : BITCASK_OK;
}

/* Links first: a segment that a merge removes meanwhile is only to be had by copying. */
static bitcask_status bring_segments(struct backup *backup, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < backup->after.segment_count && status == BITCASK_OK; i++) {
            if (backup->items[i].done)
                continue;
            status = backup_segment(backup, i, pass == 0, error);
            if (status == BITCASK_OK && backup->items[i].done)
                status = backup_progress(backup, 0);
        }
    }
    return status;
}

static bitcask_status begin(struct backup *backup, bitcask_error *error)
{
    const struct store *store = backup->store;
    struct manifest *after = &backup->after;
    *after = (struct manifest){.format = FORMAT_VERSION, .clean = true, .backup = true};
    memcpy(after->store_id, store->segments.store_id, STORE_ID_SIZE);
    memcpy(after->seed, store->segments.seed, SEED_SIZE);
    memcpy(after->fork_id, store->fork_id, STORE_ID_SIZE);
    backup->buffer = malloc(PACE_CHUNK_MAX);
    if (backup->buffer == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a backup");
    return BITCASK_OK;
}

static void release(struct backup *backup)
{
    for (size_t i = 0; backup->items != NULL && i < backup->after.segment_count; i++) {
        hint_file_close(backup->store->os, &backup->items[i].hint);
        segment_unpin(backup->items[i].segment);
    }
    free(backup->items);
    free(backup->buffer);
    manifest_release(&backup->after);
    backup_dest_close(backup);
}

static void tell(struct backup *backup, uint64_t started_us)
{
    struct store *store = backup->store;
    bitcask_backup_result *result = &backup->result;
    result->segments = backup->after.segment_count;
    result->last_version = backup->after.version_ceiling;
    result->duration_us = store->os->clock_boot(store->os) - started_us;
    for (size_t i = 0; i < backup->after.segment_count; i++)
        result->damaged_segments +=
            backup->after.segments[i].damaged || backup->items[i].segment->map == NULL;
    EVENT(&store->events, BITCASK_LOG_INFO, "backed_up", F_UINT("segments", result->segments),
          F_UINT("linked", result->linked), F_UINT("reused", result->reused),
          F_UINT("copied", result->copied), F_UINT("bytes", result->copied_bytes),
          F_UINT("duration_us", result->duration_us));
}

bitcask_status backup_run(struct store *store, struct os *to, const char *destination,
                          const bitcask_backup_options *options, bitcask_backup_result *result,
                          bitcask_error *error)
{
    struct backup backup = {
        .store = store,
        .options = options,
        .dest = {.os = to},
        .pace = {.rate = {.bytes_per_s = options->bytes_per_s}},
    };
    uint64_t started_us = store->os->clock_boot(store->os);
    bitcask_status status = begin(&backup, error);
    if (status == BITCASK_OK)
        status = backup_dest_open(&backup, destination, error);
    if (status == BITCASK_OK)
        status = look(&backup, error);
    if (status == BITCASK_OK)
        status = sync_source(&backup, error);
    if (status == BITCASK_OK)
        status = find_fixed(&backup, error);
    if (status == BITCASK_OK)
        status = bring_segments(&backup, error);
    if (status == BITCASK_OK)
        status = backup_dest_finish(&backup, error);
    if (status == BITCASK_OK)
        backup_late_hints(&backup);
    if (status == BITCASK_OK)
        tell(&backup, started_us);
    else if (status < 0)
        error_prefix(error, "back up to '%s'", destination);
    release(&backup);
    if (result != NULL) {
        backup.result.struct_size = result->struct_size;
        *result = backup.result;
    }
    return status;
}
