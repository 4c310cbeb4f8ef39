/* SPDX-License-Identifier: MIT
 * seal.c: full segments become sealed ones. */
#include "engine/seal.h"

#include "base/planted.h"
#include "engine/background.h"
#include "engine/hint_file.h"
#include "engine/log_writer.h"
#include "engine/merge_schedule.h"
#include "engine/read_ahead.h"

/* The oldest segment that waits, of an id up to `last`; pinned. NULL if there is none. */
static struct segment *oldest_waiting(struct store *store, uint64_t last)
{
    struct segments *table = &store->segments;
    struct segment *found = NULL;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count && found == NULL && table->by_id[i]->id <= last; i++) {
        if (atomic_load(&table->by_id[i]->state) == BITCASK_SEGMENT_SEALING)
            found = table->by_id[i];
    }
    if (found != NULL)
        segment_pin(found);
    pthread_mutex_unlock(&table->mutex);
    return found;
}

static uint64_t last_id(struct segments *table)
{
    pthread_mutex_lock(&table->mutex);
    uint64_t last = table->next_id;
    pthread_mutex_unlock(&table->mutex);
    return last;
}

/* Put the SEAL record behind the end and cut the file there. Where that fails the segment does
 * without: only the rebuilding of a lost manifest is the poorer for it. */
static int write_seal(struct segment *segment, const struct segment_figures *figures, uint64_t end)
{
    struct os *os = segment->os;
    uint8_t value[META_SEAL_FIXED], bytes[RECORD_HEADER_SIZE + META_SEAL_FIXED];
    struct meta_seal seal = {
        .length = end,
        .records = figures->records,
        .tombstones = figures->tombstones,
        .version_min = figures->version_min,
        .version_max = figures->version_max,
        .expires_min = figures->expires_min,
        .expires_max = figures->expires_max,
        .rolling = figures->rolling,
    };
    struct record record = {
        .version = figures->version_max,
        .flags = RECORD_META,
        .value = slice_of(value, meta_seal_encode(value, &seal)),
    };
    uint64_t size = record_encode(bytes, &record, segment->salt, end);
    atomic_store(&segment->readable, end);
    int result = os->pwrite(os, segment->file, bytes, (size_t)size, end, 0);
    if (result == 0)
        result = os->truncate(os, segment->file, end + size);
    return result == 0 ? 0 : os->truncate(os, segment->file, end);
}

static void close_file(struct segment *segment)
{
    struct os *os = segment->os;
    if (segment->writable != NULL && segment->remapped)
        os->unmap(os, segment->writable, segment->map_size);
    segment->writable = NULL;
    if (segment->file != NULL && !PLANTED(descriptor_leaks))
        os->close(os, segment->file);
    segment->file = NULL;
}

void seal_finish(struct store *store, struct segment *segment)
{
    atomic_store(&segment->sealed_us, store->os->clock_real(store->os));
    if (atomic_exchange(&segment->state, BITCASK_SEGMENT_SEALED) == BITCASK_SEGMENT_SEALING)
        atomic_fetch_sub(&store->sealing_count, 1);
    close_file(segment);
    /* Not before: while it was filled, the page cache was to grow it in folios as large as it can,
     * which halve the price of a look-up's missing translation. */
    read_ahead_begin(segment);
}

/* Make it durable with its SEAL record; closes its file. */
static bitcask_status make_durable(struct store *store, struct segment *segment,
                                   const struct segment_figures *figures, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    pthread_mutex_lock(&store->sync_mutex);
    if (atomic_load(&segment->state) == BITCASK_SEGMENT_SEALING) { /* else it has been rescued */
        if (atomic_load(&segment->sync_failed) == 0) {
            int result = write_seal(segment, figures, atomic_load(&segment->end));
            if (result != 0)
                atomic_store(&segment->sync_failed, 1);
        }
        status = log_sync_segment(store, segment, error);
        if (status != BITCASK_OK && atomic_load(&segment->synced) >= atomic_load(&segment->end)) {
            /* Nothing is lost but the SEAL, of which no part is to stay. */
            (void)store->os->truncate(store->os, segment->file, atomic_load(&segment->end));
            atomic_store(&segment->sync_failed, 0);
            status = BITCASK_OK;
        }
        if (status == BITCASK_OK) {
            segment_set_figures(segment, figures); /* any manifest that says SEALED tells them */
            seal_finish(store, segment);
        }
    }
    pthread_mutex_unlock(&store->sync_mutex);
    return status;
}

static void keep_hint(struct store *store, struct segment *segment, const struct hint_file *file)
{
    bitcask_error error;
    if (hint_file_write(segment, file, &error) != BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_WARN, "hint_failed", F_UINT("segment", segment->id),
              F_TEXT("error", error.message));
}

static bitcask_status seal_one(struct store *store, struct segment *segment, bitcask_error *error)
{
    struct hint_file hint = {0};
    struct segment_figures figures = segment->figures;
    bitcask_status built = hint_file_build(segment, &store->secret, atomic_load(&segment->end),
                                           &hint, &figures, error);
    if (built == BITCASK_NO_MEMORY)
        return built;
    if (built == BITCASK_CORRUPT) { /* in the page cache already: keep what there is */
        figures = segment->figures; /* as it was written */
        atomic_store(&segment->damaged, 1);
        atomic_fetch_add(&store->counters.corrupt_records, 1);
        EVENT(&store->events, BITCASK_LOG_ERROR, "damaged", F_UINT("segment", segment->id));
    }
    bitcask_status status = make_durable(store, segment, &figures, error);
    if (status == BITCASK_OK && !atomic_load(&segment->sync_failed)) {
        if (built == BITCASK_OK)
            keep_hint(store, segment, &hint);
        atomic_fetch_add(&store->counters.seals, 1);
        status = store_save_manifest(store, false, error);
        EVENT(&store->events, BITCASK_LOG_INFO, "sealed", F_UINT("segment", segment->id),
              F_UINT("bytes", atomic_load(&segment->end)), F_UINT("records", figures.records));
        merge_schedule_wake(store);
    }
    hint_file_close(store->os, &hint);
    return status;
}

/* The segment that is to come next goes first: the writers may be at its door before this one is on
 * disk. What goes wrong with it they meet themselves. */
static void prepare_meanwhile(struct store *store)
{
    uint32_t prepare = WORK_PREPARE;
    if (!atomic_load(&store->stopping) && (atomic_fetch_and(&store->work, ~prepare) & prepare) != 0)
        (void)log_prepare_next(store, 0, NULL);
}

bitcask_status seal_waiting(struct store *store, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    uint64_t last = last_id(&store->segments); /* writers that never pause could keep us for ever */
    pthread_mutex_lock(&store->seal_mutex);
    struct segment *segment;
    while (status == BITCASK_OK && (segment = oldest_waiting(store, last)) != NULL) {
        prepare_meanwhile(store);
        status = seal_one(store, segment, error);
        segment_unpin(segment);
    }
    pthread_mutex_unlock(&store->seal_mutex);
    if (status == BITCASK_UNKNOWN)
        log_sync_background(store, NULL); /* meets the failure again, and rescues */
    pthread_mutex_lock(&store->work_mutex);
    pthread_cond_broadcast(&store->done_cond);
    pthread_mutex_unlock(&store->work_mutex);
    return status;
}
