/* SPDX-License-Identifier: MIT
 * log_space.c: room at the end of the log: start, allocation, rotation, the next segment, close. */
#include "base/check.h"
#include "base/planted.h"
#include "engine/background.h"
#include "engine/hint_file.h"
#include "engine/log_ahead.h"
#include "engine/log_writer.h"
#include "engine/rescue.h"
#include "engine/reserve.h"
#include "engine/seal.h"

enum {
    STEP_MIN = 64 << 10, /* of allocation; doubles */
    STEP_MAX = 32 << 20,
    PLENTY = 16,            /* times as much is free */
    HINT_ALWAYS = 64 << 10, /* as long a segment gets a hint at every close */
    META_ROOM = 2 * RECORD_HEADER_SIZE + META_SYNC_SIZE + META_FOLLOWS_SIZE, /* FOLLOWS and SYNC */
};

static const uint64_t CEILING_STEP_US = 60 * 1000000ull;
static const uint64_t CEILING_NEAR_US = 30 * 1000000ull;

static struct segment *active_of(const struct store *store)
{
    return atomic_load_explicit(&store->writer.active, memory_order_relaxed);
}

/* Records of this segment end at or below this. */
static uint64_t limit_of(const struct segment *segment)
{
    return segment->map_size - LOG_SEAL_ROOM;
}

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
    writer->figures = segment->figures;
    atomic_store(&writer->active, segment);
}

/* ---- Version ceiling ----------------------------------------------------------------------- */

static uint64_t next_version(struct store *store)
{
    uint64_t now = store->os->clock_coarse(store->os);
    uint64_t next = atomic_load_explicit(&store->writer.last_version, memory_order_relaxed) + 1;
    return now > next ? now : next;
}

bitcask_status log_raise_ceiling(struct store *store, uint64_t version, bitcask_error *error)
{
    pthread_mutex_lock(&store->manifest_mutex);
    uint64_t old = atomic_load(&store->version_ceiling);
    bool needed = version + CEILING_NEAR_US > old;
    pthread_mutex_unlock(&store->manifest_mutex);
    if (!needed)
        return BITCASK_OK;
    bitcask_status status =
        store_save_manifest_with(store, false, version + CEILING_STEP_US, error);
    if (status != BITCASK_OK && version <= old)
        status = BITCASK_OK; /* not yet needed; the next write tries again */
    return status;
}

/* The head's: the next version by a look at the clock that does for the whole request. */
static uint64_t look_at_clock(struct store *store)
{
    struct log_writer *writer = &store->writer;
    writer->now_us = store->os->clock_coarse(store->os);
    uint64_t next = atomic_load_explicit(&writer->last_version, memory_order_relaxed) + 1;
    return writer->now_us > next ? writer->now_us : next;
}

static bitcask_status cover_versions(struct store *store, uint32_t records, bitcask_error *error)
{
    uint64_t last = look_at_clock(store) + records;
    uint64_t ceiling = atomic_load_explicit(&store->version_ceiling, memory_order_relaxed);
    if (LIKELY(last + CEILING_NEAR_US / 2 <= ceiling) || PLANTED(ceiling_not_raised))
        return BITCASK_OK;
    if (last > VERSION_MAX) /* a clock, or a record with a good checksum, of a far future */
        return error_set(error, BITCASK_LIMIT,
                         "the versions of the store are used up; dump it into a new one");
    if (last < ceiling && store->options.background == BITCASK_BACKGROUND_THREAD) {
        background_want(store, WORK_CEILING);
        return BITCASK_OK;
    }
    return log_raise_ceiling(store, last, error);
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

/* How much of a new segment is allocated at once. Allocating waits for the file system's journal,
 * which is busy while the segment before is synced, and the writers wait too; so it is all of it
 * for one that comes behind another, where the disk has plenty. */
static uint64_t first_allocation(struct store *store, uint64_t capacity)
{
    uint64_t least = capacity < STEP_MIN ? capacity : STEP_MIN;
    return active_of(store) != NULL && has_plenty(store, capacity) ? capacity : least;
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
    uint64_t ceiling = next_version(store) + CEILING_STEP_US;
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
    log_ahead_begin(store, made);
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
    if (store->writer.next == NULL || limit_of(store->writer.next) < capacity)
        status = replace_next(store, capacity + LOG_SEAL_ROOM, error);
    pthread_mutex_unlock(&store->prepare_mutex);
    return status;
}

static bool has_next(struct store *store, uint64_t capacity)
{
    pthread_mutex_lock(&store->prepare_mutex);
    struct segment *next = store->writer.next;
    bool there = next != NULL && limit_of(next) >= capacity;
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
    return store_save_manifest_with(store, false, next_version(store) + CEILING_STEP_US, error);
}

static bitcask_status log_start(struct store *store, uint64_t needed, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct segment *segment = find_reopenable(store);
    published_start(store);
    if (segment != NULL) /* before the manifest ceases to vouch for it */
        published_set(store, segment, atomic_load(&segment->end));
    if (segment != NULL && atomic_load(&segment->end) + needed > limit_of(segment)) {
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
            status = store_save_manifest_with(store, PLANTED(still_clean),
                                              next_version(store) + CEILING_STEP_US, error);
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

static bitcask_status rotate_to(struct store *store, uint64_t capacity, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct segment *active = active_of(store);
    bitcask_status status = log_prepare_next(store, capacity, error);
    if (status == BITCASK_OK)
        status = log_spill(store, 0, error);
    if (status != BITCASK_OK)
        return status;
    segment_set_figures(active, &writer->figures);
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
    if (active_of(store) == NULL && find_reopenable(store) != NULL) {
        bitcask_status status = log_start(store, 0, error);
        if (status != BITCASK_OK)
            return status;
    }
    if (active_of(store) == NULL || store->writer.end <= SEGMENT_HEADER_SIZE)
        return BITCASK_OK;
    return rotate_to(store, 0, error);
}

/* ---- Room ---------------------------------------------------------------------------------- */

/* Allocate to at least `want`, with luck a step more. */
static bitcask_status allocate_to(struct store *store, struct segment *active, uint64_t want,
                                  bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct os *os = store->os;
    uint64_t step = writer->allocated < STEP_MIN   ? STEP_MIN
                    : writer->allocated > STEP_MAX ? STEP_MAX
                                                   : writer->allocated;
    uint64_t goal = (writer->allocated + step + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
    if (goal < want)
        goal = (want + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
    if (goal > active->map_size)
        goal = active->map_size;
    goal = quota_clamp(store, writer->allocated, want, goal);
    int result = os->allocate(os, active->file, writer->allocated, goal - writer->allocated);
    if (result != 0) {
        goal = (want + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
        result = os->allocate(os, active->file, writer->allocated, goal - writer->allocated);
    }
    if (result != 0) {
        bitcask_status status = error_set_os(error, result, "allocate space for the log");
        error_at(error, active->id, writer->end);
        return status;
    }
    writer->allocated = goal;
    atomic_store_explicit(&active->readable, goal, memory_order_release);
    return BITCASK_OK;
}

static bitcask_status append_meta(struct store *store, slice value, uint64_t version, bool buffered,
                                  bitcask_error *error)
{
    struct record record = {.version = version, .flags = RECORD_META, .value = value};
    struct keydir_place place;
    return log_append(store, &record, buffered, &place, error);
}

/* What comes before the next record: in a fresh segment, which one it follows, so that recovery can
 * tell if the end of that one is missing; behind a sync, how far it went. */
static bitcask_status append_notes(struct store *store, bool buffered, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    const struct segment *active = active_of(store);
    uint8_t value[META_SYNC_SIZE];
    bitcask_status status = BITCASK_OK;
    if (UNLIKELY(writer->follows_segment != 0)) {
        slice follows = slice_of(value, meta_follows_encode(value, writer->follows_segment));
        status = append_meta(store, follows, writer->follows_version, buffered, error);
        if (status == BITCASK_OK)
            writer->follows_segment = 0;
    }
    uint64_t synced = PLANTED(watermark_ahead)
                          ? writer->end
                          : atomic_load_explicit(&active->synced, memory_order_relaxed);
    if (status == BITCASK_OK && synced > writer->noted_sync) {
        slice sync =
            slice_of(value, meta_sync_encode(value, &(struct meta_sync){active->id, synced}));
        status = append_meta(store, sync, atomic_load(&writer->last_version), buffered, error);
        if (status == BITCASK_OK)
            writer->noted_sync = synced;
    }
    return status;
}

/* Must the log go on in another segment before `size` bytes of `records` records? */
static bool must_rotate(const struct store *store, const struct segment *active, uint64_t size,
                        uint32_t records)
{
    uint64_t most = store->options.segment_max_records;
    uint64_t have = store->writer.figures.records;
    return (store->writer.end + size > limit_of(active) && !PLANTED(put_not_rotated)) ||
           (most != 0 && have > 0 && have + records > most);
}

bool log_would_rotate(const struct store *store, uint64_t size, uint32_t records)
{
    const struct segment *active = active_of(store);
    return active == NULL || must_rotate(store, active, size + META_ROOM, records);
}

/* Leave room for deletes: behind this record, or in the next segment. */
static bitcask_status keep_reserve(struct store *store, struct segment *active, uint64_t size,
                                   bitcask_error *error)
{
    uint64_t want = store->writer.end + size + LOG_DELETE_RESERVE;
    if (want <= limit_of(active))
        return want <= store->writer.allocated ? BITCASK_OK
                                               : allocate_to(store, active, want, error);
    if (has_next(store, 0))
        return BITCASK_OK;
    return log_prepare_next(store, 0, error);
}

/* By how much the store's files grow for as much in the log. */
static uint64_t growth_for(struct store *store, uint64_t needed, uint32_t records)
{
    const struct log_writer *writer = &store->writer;
    const struct segment *active = active_of(store);
    uint64_t next = 0;
    if (!atomic_load_explicit(&writer->has_next, memory_order_relaxed))
        next = STEP_MIN + OS_PAGE + reserve_growth(store); /* a page for its seal */
    if (active == NULL || must_rotate(store, active, needed, records)) {
        uint64_t want = SEGMENT_HEADER_SIZE + needed + LOG_DELETE_RESERVE;
        return next + (want > STEP_MIN ? want - STEP_MIN : 0);
    }
    uint64_t end = writer->end + needed + LOG_DELETE_RESERVE, growth = 0;
    if (end > limit_of(active)) { /* the room for deletes is in the next one */
        end -= LOG_DELETE_RESERVE;
        growth = next;
    }
    if (end > writer->allocated)
        growth += (end - writer->allocated + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
    return growth;
}

/* Up to where records go by way of the mapping with nothing to be seen to but what has_room and
 * log_is_plain look at each time. 0: nowhere. What it rests on changes here, under write_mutex, and
 * another active segment begins with 0. */
static uint64_t plain_end_of(struct store *store)
{
    const struct log_writer *writer = &store->writer;
    const struct segment *active = active_of(store);
    if (!writer->mapped_writes || active->writable == NULL || writer->follows_segment != 0 ||
        store->options.read_only || store->options.segment_max_records != 0 ||
        store->quota.put_limit != 0)
        return 0;
    uint64_t limit = limit_of(active), room = writer->allocated < limit ? writer->allocated : limit;
    uint64_t end = room > LOG_DELETE_RESERVE ? room - LOG_DELETE_RESERVE : 0;
    uint64_t populated = atomic_load_explicit(&active->populated, memory_order_relaxed);
    if (populated < end)
        end = populated;
    if (!atomic_load_explicit(&writer->has_next, memory_order_relaxed) && limit / 2 < end)
        end = limit / 2;
    end = end > META_ROOM ? end - META_ROOM : 0;
    uint64_t look = log_look_ahead(store, active);
    return end < look ? end : look;
}

static bitcask_status make_room(struct store *store, uint64_t size, uint32_t records, bool buffered,
                                bool reserve, bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    bitcask_status status = store_writable(store, error);
    uint64_t needed = size + META_ROOM;
    if (status == BITCASK_OK && needed > BITCASK_MAX_SEGMENT_SIZE - SEGMENT_HEADER_SIZE - OS_PAGE)
        status = error_set(error, BITCASK_LIMIT,
                           "%llu bytes do not fit into one segment; use smaller batches",
                           (unsigned long long)size);
    if (status == BITCASK_OK && reserve)
        status = quota_admit(store, size, growth_for(store, needed, records), error);
    if (status == BITCASK_OK && active_of(store) == NULL)
        status = log_start(store, needed, error);
    if (status == BITCASK_OK && UNLIKELY(writer->buffer_size > 0 && !buffered))
        status = log_spill(store, 0, error); /* notes that a group which failed has left */
    if (status == BITCASK_OK && UNLIKELY(must_rotate(store, active_of(store), needed, records)))
        status = rotate_to(store, needed + SEGMENT_HEADER_SIZE, error);
    if (status == BITCASK_OK)
        status = cover_versions(store, records, error);
    if (status == BITCASK_OK && reserve)
        status = reserve_hold(store, error);
    if (status != BITCASK_OK)
        return status;

    struct segment *active = active_of(store);
    if (reserve && writer->end + needed + LOG_DELETE_RESERVE > writer->allocated)
        status = keep_reserve(store, active, needed, error);
    if (status == BITCASK_OK && writer->end + needed > writer->allocated)
        status = allocate_to(store, active, writer->end + needed, error);
    if (UNLIKELY(status == BITCASK_NO_SPACE) && !reserve && has_next(store, 0)) {
        /* The disk is full, but the segment that comes next has some space of its own already. */
        status = rotate_to(store, needed + SEGMENT_HEADER_SIZE, error);
        active = active_of(store);
        if (status == BITCASK_OK && writer->end + needed > writer->allocated)
            status = allocate_to(store, active, writer->end + needed, error);
    }
    if (status == BITCASK_OK &&
        reserve) /* what was allocated may be the reserve, given up just now */
        status = reserve_hold(store, error);
    if (status != BITCASK_OK)
        return status;
    if (!buffered && active->writable != NULL && writer->mapped_writes &&
        writer->end + needed > atomic_load_explicit(&active->populated, memory_order_relaxed))
        log_populate(store, active, writer->end + needed);

    status = append_notes(store, buffered, error);
    writer->plain_end = plain_end_of(store);
    if (writer->end > limit_of(active) / 2 &&
        store->options.background == BITCASK_BACKGROUND_THREAD &&
        !atomic_load_explicit(&writer->has_next, memory_order_relaxed))
        background_want(store, WORK_PREPARE);
    return status;
}

bool log_is_plain(struct store *store, uint64_t size, bool reserve)
{
    const struct log_writer *writer = &store->writer;
    if (UNLIKELY(writer->end + size > writer->plain_end || writer->buffer_size > 0))
        return false;
    const struct segment *active = active_of(store);
    if (UNLIKELY(atomic_load_explicit(&store->write_status, memory_order_acquire) != 0) ||
        (reserve && UNLIKELY(!atomic_load_explicit(&store->reserve_held, memory_order_relaxed))) ||
        UNLIKELY(atomic_load_explicit(&active->suspect, memory_order_relaxed) != UINT64_MAX) ||
        UNLIKELY(atomic_load_explicit(&active->synced, memory_order_relaxed) > writer->noted_sync))
        return false;
    uint64_t ceiling = atomic_load_explicit(&store->version_ceiling, memory_order_relaxed);
    return LIKELY(look_at_clock(store) + 1 + CEILING_NEAR_US / 2 <= ceiling);
}

/* Is all that make_room sees to as it should be? Most of the time it is. */
static bool has_room(struct store *store, uint64_t size, uint32_t records, bool buffered)
{
    const struct log_writer *writer = &store->writer;
    const struct segment *active = active_of(store);
    if (active == NULL || store->options.read_only || store->quota.put_limit != 0 ||
        store->options.segment_max_records != 0 || writer->follows_segment != 0 ||
        atomic_load_explicit(&store->write_status, memory_order_acquire) != 0 ||
        !atomic_load_explicit(&store->reserve_held, memory_order_relaxed))
        return false;
    uint64_t end = writer->end + size + META_ROOM;
    uint64_t half = limit_of(active) / 2;
    bool near_next = end > half && !atomic_load_explicit(&writer->has_next, memory_order_relaxed);
    bool mapped = !buffered && writer->mapped_writes && active->writable != NULL;
    if (near_next || end + LOG_DELETE_RESERVE > writer->allocated ||
        end + LOG_DELETE_RESERVE > limit_of(active) ||
        (mapped && end > atomic_load_explicit(&active->populated, memory_order_relaxed)) ||
        (!buffered && writer->buffer_size > 0))
        return false;
    if (atomic_load_explicit(&active->synced, memory_order_relaxed) > writer->noted_sync ||
        PLANTED(watermark_ahead))
        return false;
    uint64_t ceiling = atomic_load_explicit(&store->version_ceiling, memory_order_relaxed);
    return look_at_clock(store) + records + CEILING_NEAR_US / 2 <= ceiling;
}

bitcask_status log_make_room(struct store *store, uint64_t size, uint32_t records, bool buffered,
                             bool reserve, bitcask_error *error)
{
    if (LIKELY(has_room(store, size, records, buffered))) {
        if (!buffered && UNLIKELY(store->writer.end + size > store->writer.plain_end))
            store->writer.plain_end = plain_end_of(store);
        return BITCASK_OK;
    }
    bitcask_status status = make_room(store, size, records, buffered, reserve, error);
    if (UNLIKELY(status == BITCASK_NO_SPACE) && !reserve && !PLANTED(reserve_kept) &&
        reserve_release_for_log(store))
        status = make_room(store, size, records, buffered, reserve, error);
    return status;
}

/* ---- Close --------------------------------------------------------------------------------- */

/* The hint of the active segment, so that reopening needs no look at the data. Where most of it has
 * one, an earlier one, and this process has added little, that would cost more than it did: what is
 * behind that hint is then read at the next opening. */
static bitcask_status build_hint(struct store *store, struct segment *active,
                                 struct hint_file *hint, bitcask_error *error)
{
    struct segment_figures figures = store->writer.figures;
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
    struct segment *active = active_of(store);
    bitcask_status status = store_writable(store, error);
    if (status == BITCASK_OK)
        status = log_sync(store, error);
    if (status == BITCASK_OK)
        status = seal_waiting(store, error);
    if (status != BITCASK_OK || (!store->writer.dirty && !has_next(store, 0)))
        return status;

    active = active_of(store);
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
