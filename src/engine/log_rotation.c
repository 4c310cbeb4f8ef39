/* SPDX-License-Identifier: MIT
 * log_rotation.c: see log_rotation.h. */
#include "engine/log_rotation.h"

#include "base/planted.h"
#include "engine/background.h"
#include "engine/hint_file.h"
#include "engine/log_append.h"
#include "engine/log_pages.h"
#include "engine/log_writer.h"
#include "engine/rescue.h"
#include "engine/reserve.h"
#include "engine/seal.h"

enum {
    PLENTY = 16,            /* times as much is free */
    HINT_ALWAYS = 64 << 10, /* as long a segment gets a hint at every close */
};

static void adopt_active(struct store *store, struct segment *segment, uint64_t allocated)
{
    struct log_writer *writer = &store->writer;
    writer->end = atomic_load(&segment->end);
    writer->allocated = allocated;
    atomic_store(&segment->populated, writer->end / OS_PAGE * OS_PAGE);
    writer->plain_end = 0;
    writer->written = 0;
    writer->synced_alone = 0;
    writer->noted_sync = writer->end;
    writer->follows_segment = 0;
    writer->dirty_end = 0;
    *log_figures(writer) = segment->figures;
    atomic_store(&writer->active, segment);
}

/* ---- Start and next segment ---------------------------------------------------------------- */

/* Is there so much room on the disk that a segment ahead takes nothing away from anybody? */
static bool has_plenty(struct store *store, uint64_t capacity)
{
    uint64_t free_bytes = 0;
    return store->options.max_disk_bytes == 0 &&
           store->os->free_space(store->os, store->segments.directory, &free_bytes) == 0 &&
           free_bytes / PLENTY >= capacity;
}

/* How much of a new segment is allocated at once. Allocating waits for the file system, which is
 * busy while the segment before is synced, and the writers wait too; so it is all of it for one
 * that comes behind another, where the disk has plenty. */
static uint64_t first_allocation(struct store *store, uint64_t capacity)
{
    uint64_t least = capacity < LOG_STEP_MIN ? capacity : LOG_STEP_MIN;
    return log_active(store) != NULL && has_plenty(store, capacity) ? capacity : least;
}

/* The file of a new segment, not yet named in the manifest. */
static bitcask_status create_segment(struct store *store, uint64_t capacity,
                                     struct segment **segment, bitcask_error *error)
{
    if (capacity < store->options.segment_size)
        capacity = store->options.segment_size;
    return segments_create(&store->segments, SEGMENT_LOG, capacity,
                           first_allocation(store, capacity), segment, error);
}

/* Let the manifest name it, and no longer `instead_of`, if there is one. On failure it is thrown
 * away; what the manifest on disk says of `instead_of` is not known then. */
static bitcask_status name_segment(struct store *store, struct segment *segment,
                                   struct segment *instead_of, bitcask_error *error)
{
    struct segments *table = &store->segments;
    segments_publish(table, segment);
    if (instead_of != NULL)
        segments_withdraw(table, instead_of);
    uint64_t ceiling = log_new_ceiling(store);
    bitcask_status status = PLANTED(unnamed_segment)
                                ? BITCASK_OK
                                : store_save_manifest_with(store, false, ceiling, error);
    if (status != BITCASK_OK) { /* the one on disk may name it: leave the empty file */
        segments_withdraw(table, segment);
        segments_discard(table, segment, false);
    }
    return status;
}

/* Holding prepare_mutex. A prepared segment that is too small gives way to a larger one: its file
 * goes once no manifest names it (D6). */
static bitcask_status replace_next(struct store *store, uint64_t capacity, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct segment *made, *old = writer->next;
    bitcask_status status = create_segment(store, capacity, &made, error);
    if (status != BITCASK_OK)
        return status;
    log_pages_begin(store, made);
    writer->next = NULL;
    atomic_store(&writer->has_next, false);
    status = name_segment(store, made, old, error);
    if (status == BITCASK_OK) {
        writer->next = made;
        atomic_store(&writer->has_next, true);
        if (old != NULL)
            segments_retire(&store->segments, old);
    } else if (old != NULL) {
        segments_discard(&store->segments, old, false);
    }
    return status;
}

bitcask_status log_prepare_next(struct store *store, uint64_t capacity, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    pthread_mutex_lock(&store->prepare_mutex);
    if (store->writer.next == NULL || log_limit_of(store->writer.next) < capacity)
        status = replace_next(store, capacity + LOG_SEAL_ROOM, error);
    pthread_mutex_unlock(&store->prepare_mutex);
    return status;
}

bool log_has_next(struct store *store, uint64_t capacity)
{
    pthread_mutex_lock(&store->prepare_mutex);
    struct segment *next = store->writer.next;
    bool there = next != NULL && log_limit_of(next) >= capacity;
    pthread_mutex_unlock(&store->prepare_mutex);
    return there;
}

/* The cleanly closed segment that recovery left ACTIVE, if it can be appended to. The prepared one
 * is ACTIVE too, and not meant: it is taken by take_next alone. */
static struct segment *find_reopenable(struct store *store)
{
    struct segments *table = &store->segments;
    struct segment *found = NULL;
    pthread_mutex_lock(&store->prepare_mutex);
    pthread_mutex_lock(&table->mutex);
    for (size_t i = table->count; i-- > 0 && found == NULL;) {
        struct segment *segment = table->by_id[i];
        if (atomic_load(&segment->state) == BITCASK_SEGMENT_ACTIVE && segment->map != NULL &&
            segment != store->writer.next)
            found = segment;
    }
    pthread_mutex_unlock(&table->mutex);
    pthread_mutex_unlock(&store->prepare_mutex);
    return found;
}

/* Undo reopen_segment, which did not get to its end or was of no use. */
static void close_for_writing(struct store *store, struct segment *segment)
{
    struct os *os = store->os;
    if (segment->remapped)
        os->unmap(os, segment->writable, segment->map_size);
    segment->writable = NULL;
    segment->remapped = false;
    if (segment->file != NULL)
        os->close(os, segment->file);
    segment->file = NULL;
}

/* Open the file of a cleanly closed segment for appending. */
static bitcask_status reopen_segment(struct store *store, struct segment *segment,
                                     bitcask_error *error)
{
    struct os *os = store->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, segment->id);
    segments_path(&store->segments, path, name);
    int result = os->open(os, path, OS_READ | OS_WRITE, &segment->file);
    if (result == 0 && !PLANTED(appended_behind_cut)) /* only zeros may stand behind the end */
        result = os->truncate(os, segment->file, atomic_load(&segment->end));
    if (result == 0 && store->writer.mapped_writes) {
        void *memory = NULL;
        result = os->map(os, segment->file, segment->map_size, true, &memory);
        if (result == 0) {
            segment->writable = memory;
            segment->remapped = true;
        }
    }
    if (result == 0)
        return BITCASK_OK;
    close_for_writing(store, segment);
    return error_set_os(error, result, "open segment %s for writing", name);
}

/* Go on in the next segment. */
static void take_next(struct store *store)
{
    struct log_writer *writer = &store->writer;
    pthread_mutex_lock(&store->prepare_mutex);
    struct segment *next = writer->next;
    writer->next = NULL;
    atomic_store(&writer->has_next, false);
    pthread_mutex_unlock(&store->prepare_mutex);
    writer->buffer_size = 0;
    adopt_active(store, next, atomic_load(&next->readable));
}

/* A merge may have saved the manifest as clean after `next` was named in it: nothing had been
 * written then. Holding write_mutex, so that none does so from here on (merge_job.c). */
static bitcask_status make_unclean(struct store *store, bitcask_error *error)
{
    pthread_mutex_lock(&store->manifest_mutex);
    bool clean = store->manifest_clean;
    pthread_mutex_unlock(&store->manifest_mutex);
    if (!clean)
        return BITCASK_OK;
    return store_save_manifest_with(store, false, log_new_ceiling(store), error);
}

bitcask_status log_start(struct store *store, uint64_t needed, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct segment *segment = find_reopenable(store);
    published_start(store);
    if (segment != NULL) /* before the manifest ceases to vouch for it */
        published_set(store, segment, atomic_load(&segment->end));
    if (segment != NULL && atomic_load(&segment->end) + needed > log_limit_of(segment)) {
        /* D9. Too full for this record: it is durable, so it only wants its seal. Until it has that
         * a manifest tells nothing of its end, and must not vouch for it: not even if all that
         * comes behind this fails, and a merge saves the manifest as it was. */
        bitcask_status status = reopen_segment(store, segment, error);
        if (status != BITCASK_OK)
            return status;
        if (!PLANTED(sealing_clean)) {
            status = make_unclean(store, error);
            if (status != BITCASK_OK) {
                close_for_writing(store, segment);
                return status;
            }
            writer->dirty = true;
        }
        atomic_store(&segment->state, BITCASK_SEGMENT_SEALING);
        atomic_fetch_add(&store->sealing_count, 1);
        background_want(store, WORK_SEAL);
        if (segment->figures.version_max != 0) { /* kept if what comes now fails */
            writer->follows_segment = segment->id;
            writer->follows_version = segment->figures.version_max;
        }
        segment = NULL;
    }
    bitcask_status status;
    if (segment != NULL) {
        status = reopen_segment(store, segment, error);
        if (status == BITCASK_OK)
            status = store_save_manifest_with(store, PLANTED(still_clean), log_new_ceiling(store),
                                              error);
        if (status == BITCASK_OK) {
            adopt_active(store, segment, atomic_load(&segment->end));
            atomic_store(&segment->has_hint,
                         PLANTED(old_hint_believed)); /* of the closed segment */
        } else
            close_for_writing(store, segment);
    } else {
        /* By way of `next`: there may be one, or one in the making, with a lower id (L1). */
        status = log_prepare_next(store, needed + SEGMENT_HEADER_SIZE, error);
        if (status == BITCASK_OK)
            status = make_unclean(store, error);
        if (status == BITCASK_OK) {
            uint64_t follows = writer->follows_segment;
            take_next(store);
            writer->follows_segment = follows;
        }
    }
    if (status == BITCASK_OK)
        writer->dirty = true;
    return status;
}

/* ---- Rotation ------------------------------------------------------------------------------ */

bitcask_status log_switch(struct store *store, bitcask_error *error)
{
    bitcask_status status = log_prepare_next(store, 0, error);
    if (status == BITCASK_OK)
        take_next(store);
    return status;
}

bitcask_status log_rotate_to(struct store *store, uint64_t capacity, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct segment *active = log_active(store);
    bitcask_status status = log_prepare_next(store, capacity, error);
    if (status == BITCASK_OK)
        status = log_spill(store, 0, error);
    if (status != BITCASK_OK)
        return status;
    segment_set_figures(active, log_figures(writer));
    EVENT(&store->events, BITCASK_LOG_INFO, "rotated", F_UINT("segment", active->id),
          F_UINT("bytes", writer->end));
    uint64_t follows_segment = active->id, follows_version = writer->figures.version_max;
    if (writer->follows_segment != 0) { /* no record was written here: the chain goes on past it */
        follows_segment = writer->follows_segment;
        follows_version = writer->follows_version;
    }
    take_next(store);
    writer->follows_segment = follows_segment;
    writer->follows_version = follows_version;
    atomic_store(&active->state, BITCASK_SEGMENT_SEALING);
    atomic_fetch_add(&store->sealing_count, 1);
    atomic_fetch_add(&store->counters.rotations, 1);
    /* The thread will be busy with this seal for as long as it may take to fill the next one. A
     * merge on a nearly full disk, however, needs each page that is left. */
    bool ahead = store->options.background == BITCASK_BACKGROUND_THREAD &&
                 has_plenty(store, store->options.segment_size);
    background_want(store, ahead ? WORK_SEAL | WORK_PREPARE : WORK_SEAL);
    return BITCASK_OK;
}

bitcask_status log_rotate(struct store *store, bitcask_error *error)
{
    if (log_active(store) == NULL && find_reopenable(store) != NULL) {
        bitcask_status status = log_start(store, 0, error);
        if (status != BITCASK_OK)
            return status;
    }
    if (log_active(store) == NULL || store->writer.end <= SEGMENT_HEADER_SIZE)
        return BITCASK_OK;
    return log_rotate_to(store, 0, error);
}

/* ---- Close --------------------------------------------------------------------------------- */

/* The hint of the active segment, so that reopening needs no look at the data. Where most of it has
 * one, an earlier one, and this process has added little, that would cost more than it did: what is
 * behind that hint is then read at the next opening. */
static bitcask_status build_hint(struct store *store, struct segment *active,
                                 struct hint_file *hint, bitcask_error *error)
{
    struct segment_figures figures = *log_figures(&store->writer);
    uint64_t covered = atomic_load(&active->hint_length), end = atomic_load(&active->end);
    segment_set_figures(active, &figures);
    if (end > HINT_ALWAYS && end - covered < covered / 2)
        return BITCASK_OK;
    bitcask_status status =
        hint_file_build(active, &store->secret, atomic_load(&active->end), hint, &figures, error);
    if (status == BITCASK_OK)
        segment_set_figures(active, &figures);
    return status;
}

/* After the manifest: of a nearly full disk the manifest gets what is left. */
static void write_hint(struct store *store, struct segment *active, struct hint_file *hint)
{
    bitcask_error failure = {0};
    if (hint_file_write(active, hint, &failure) != BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_WARN, "hint_failed", F_UINT("segment", active->id),
              F_TEXT("error", failure.message));
}

/* Give the prepared segment back. Its file goes once no manifest names it. */
static struct segment *withdraw_next(struct store *store)
{
    pthread_mutex_lock(&store->prepare_mutex);
    struct segment *next = store->writer.next;
    store->writer.next = NULL;
    atomic_store(&store->writer.has_next, false);
    pthread_mutex_unlock(&store->prepare_mutex);
    if (next != NULL)
        segments_withdraw(&store->segments, next);
    return next;
}

bitcask_status log_close(struct store *store, bitcask_error *error)
{
    struct segment *active = log_active(store);
    bitcask_status status = store_writable(store, error);
    if (status == BITCASK_OK)
        status = log_sync(store, error);
    if (status == BITCASK_OK)
        status = seal_waiting(store, error);
    if (status != BITCASK_OK || (!store->writer.dirty && !log_has_next(store, 0)))
        return status;

    active = log_active(store);
    struct segment *next = withdraw_next(store);
    struct hint_file hint = {0};
    bool empty = active != NULL && atomic_load(&active->end) <= SEGMENT_HEADER_SIZE;
    if (empty)
        segments_withdraw(&store->segments, active);
    else if (active != NULL) {
        int result = store->os->truncate(store->os, active->file, atomic_load(&active->end));
        if (result == 0)
            result = store->os->sync(store->os, active->file);
        if (result != 0)
            status =
                error_set_os(error, result, "close segment %llu", (unsigned long long)active->id);
        if (status == BITCASK_OK)
            status = build_hint(store, active, &hint, error);
    }
    rescue_cut_tails(store);
    if (status == BITCASK_OK)
        status = store_save_manifest_with(store, true, store->writer.last_version, error);
    if (next != NULL)
        segments_discard(&store->segments, next, status == BITCASK_OK);
    if (status == BITCASK_OK) /* without room it does without */
        (void)!reserve_hold(store, NULL);
    if (status == BITCASK_OK && hint.memory != NULL)
        write_hint(store, active, &hint);
    hint_file_close(store->os, &hint);
    if (empty) {
        atomic_store(&store->writer.active, NULL);
        segments_discard(&store->segments, active, status == BITCASK_OK);
    }
    return status;
}
