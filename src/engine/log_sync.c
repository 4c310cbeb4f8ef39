/* SPDX-License-Identifier: MIT
 * log_sync.c: making the log durable, in its order, one sync at a time. Invariants D1, D2, D5. */
#include "base/check.h"
#include "base/planted.h"
#include "engine/log_pages.h"
#include "engine/log_writer.h"
#include "engine/rescue.h"

enum { SYNCED_ALONE_MANY = 8 }; /* groups: then more of them will come */

static bool is_unsynced_log(const struct segment *segment)
{
    uint32_t state = atomic_load(&segment->state);
    return segment->kind == SEGMENT_LOG &&
           (state == BITCASK_SEGMENT_ACTIVE || state == BITCASK_SEGMENT_SEALING) &&
           atomic_load(&segment->synced) < atomic_load(&segment->end);
}

/* The id of the last log segment that has something to sync, or 0. */
static uint64_t last_unsynced(struct store *store)
{
    struct segments *table = &store->segments;
    uint64_t id = 0;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = table->count; i-- > 0 && id == 0;) {
        if (is_unsynced_log(table->by_id[i]))
            id = table->by_id[i]->id;
    }
    pthread_mutex_unlock(&table->mutex);
    return id;
}

/* The first log segment with an id above `after`, up to `last`, that has something to sync; pinned.
 */
static struct segment *next_unsynced(struct store *store, uint64_t after, uint64_t last)
{
    struct segments *table = &store->segments;
    struct segment *found = NULL;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count && found == NULL; i++) {
        struct segment *segment = table->by_id[i];
        if (segment->id > after && segment->id <= last && is_unsynced_log(segment))
            found = segment;
    }
    if (found != NULL)
        segment_pin(found);
    pthread_mutex_unlock(&table->mutex);
    return found;
}

bitcask_status log_sync_segment(struct store *store, struct segment *segment, bitcask_error *error)
{
    uint64_t target = atomic_load_explicit(&segment->end, memory_order_acquire);
    int result = 0;
    if (atomic_load(&segment->sync_failed) == 0) {
        atomic_fetch_add(&store->counters.syncs, 1);
        log_pages_before_sync(store, segment);
        sync_mark_begin(&store->sync_mark, segment->id);
        result = store->os->sync(store->os, segment->file);
        sync_mark_end(&store->sync_mark, result);
        if (result != 0 && PLANTED(sync_retried))
            result = store->os->sync(store->os, segment->file);
        if (result == 0 || PLANTED(sync_ignored)) {
            atomic_store(&segment->synced, target);
            atomic_store(&segment->synced_us, store->os->clock_real(store->os));
            return BITCASK_OK;
        }
        atomic_store(&segment->sync_failed, 1);
        atomic_fetch_add(&store->counters.sync_failures, 1);
        EVENT(&store->events, BITCASK_LOG_ERROR, "sync_failed", F_UINT("segment", segment->id),
              F_UINT("errno", (uint64_t)-result));
    }
    if (result != 0)
        error_set_os(error, result, "sync segment %llu", (unsigned long long)segment->id);
    else
        error_set(error, BITCASK_UNKNOWN, "an earlier sync of segment %llu failed",
                  (unsigned long long)segment->id);
    if (error != NULL)
        error->status = BITCASK_UNKNOWN;
    error_at(error, segment->id, atomic_load(&segment->synced));
    return BITCASK_UNKNOWN;
}

/* Sync everything unsynced behind segment `after`, in order, holding sync_mutex. On failure *failed
 * is that segment, pinned.
 * It ends with the segment that is the last one now: only that one may grow meanwhile, so all below
 * it are durable to their ends. A segment that the writers go on to during its sync has to wait for
 * the next one, or it would become durable before the end of this one (D1). */
static bitcask_status sync_all(struct store *store, uint64_t after, struct segment **failed,
                               bitcask_error *error)
{
    uint64_t last = last_unsynced(store);
    for (;;) {
        struct segment *segment = next_unsynced(store, after, last);
        if (segment == NULL)
            return BITCASK_OK;
        after = segment->id;
        if (PLANTED(sync_last_only) && segment->id != last) {
            segment_unpin(segment);
            continue;
        }
        bitcask_status status = log_sync_segment(store, segment, error);
        if (status != BITCASK_OK) {
            *failed = segment;
            return status;
        }
        segment_unpin(segment);
    }
}

bitcask_status log_sync_after(struct store *store, uint64_t after, bitcask_error *error)
{
    struct segment *failed = NULL;
    bitcask_status status = sync_all(store, after, &failed, error);
    if (failed != NULL)
        segment_unpin(failed);
    return status;
}

/* Holding write_mutex. */
static bitcask_status sync_or_rescue(struct store *store, uint64_t unpublished_version,
                                     bitcask_error *error)
{
    struct segment *failed = NULL;
    pthread_mutex_lock(&store->sync_mutex);
    bitcask_status status = sync_all(store, 0, &failed, error);
    if (status != BITCASK_OK) {
        rescue_log(store, failed, unpublished_version, NULL);
        segment_unpin(failed);
    }
    pthread_mutex_unlock(&store->sync_mutex);
    store->writer.last_sync_us = store->os->clock_boot(store->os);
    return status;
}

bitcask_status log_sync(struct store *store, bitcask_error *error)
{
    bitcask_status status = log_spill(store, 0, error);
    return status != BITCASK_OK ? status : sync_or_rescue(store, UINT64_MAX, error);
}

bitcask_status log_sync_background(struct store *store, bitcask_error *error)
{
    struct segment *failed = NULL;
    pthread_mutex_lock(&store->sync_mutex);
    bitcask_status status = sync_all(store, 0, &failed, error);
    pthread_mutex_unlock(&store->sync_mutex);
    if (status == BITCASK_OK)
        return status;
    segment_unpin(failed);
    /* sync_failed stands, so whoever syncs meanwhile fails too; the first to hold write_mutex
     * rescues, and then there is nothing left to fail here. */
    write_mutex_lock(&store->write_mutex);
    bitcask_status again = sync_or_rescue(store, UINT64_MAX, NULL);
    write_mutex_unlock(&store->write_mutex);
    (void)again;
    return status;
}

/* One device write for the whole group, where all before it is durable already. */
static bitcask_status write_through(struct store *store, struct segment *active,
                                    uint64_t unpublished_version, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    pthread_mutex_lock(&store->sync_mutex);
    if (atomic_load(&active->sync_failed) != 0) {
        pthread_mutex_unlock(&store->sync_mutex);
        return BITCASK_END;
    }
    atomic_fetch_add(&store->counters.syncs, 1);
    sync_mark_begin(&store->sync_mark, active->id);
    bitcask_status status = log_spill(store, OS_DSYNC, error);
    sync_mark_end(&store->sync_mark, status == BITCASK_OK ? 0 : -1);
    if (status == BITCASK_OK) {
        atomic_store(&active->synced, writer->end);
        atomic_store(&active->synced_us, store->os->clock_coarse(store->os));
        if (++writer->synced_alone >= SYNCED_ALONE_MANY)
            log_pages_want_small(store, active);
    } else {
        atomic_store(&active->sync_failed, 1);
        atomic_fetch_add(&store->counters.sync_failures, 1);
        EVENT(&store->events, BITCASK_LOG_ERROR, "sync_failed", F_UINT("segment", active->id));
        writer->buffer_size = 0;
        rescue_log(store, active, unpublished_version, NULL);
        if (error != NULL)
            error->status = BITCASK_UNKNOWN;
        status = BITCASK_UNKNOWN;
    }
    pthread_mutex_unlock(&store->sync_mutex);
    return status;
}

bitcask_status log_flush(struct store *store, bool durable, uint64_t unpublished_version,
                         bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct segment *active = atomic_load_explicit(&writer->active, memory_order_relaxed);
    if (!durable)
        return log_spill(store, 0, error);
    if (active != NULL && writer->buffer_size > 0 && atomic_load(&store->sealing_count) == 0 &&
        (atomic_load(&active->synced) == writer->buffer_offset || PLANTED(write_through_always))) {
        bitcask_status status = write_through(store, active, unpublished_version, error);
        if (status != BITCASK_END)
            return status;
    }
    writer->synced_alone = 0;
    bitcask_status status = log_spill(store, 0, error);
    if (PLANTED(published_early))
        log_publish(store);
    return status != BITCASK_OK ? status : sync_or_rescue(store, unpublished_version, error);
}
