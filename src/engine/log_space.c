/* SPDX-License-Identifier: MIT
 * log_space.c: room at the end of the log: allocation, and all that must hold before a record. */
#include "base/check.h"
#include "base/planted.h"
#include "engine/background.h"
#include "engine/log_ahead.h"
#include "engine/log_append.h"
#include "engine/log_rotation.h"
#include "engine/log_writer.h"
#include "engine/reserve.h"

enum {
    STEP_MAX = 32 << 20,                                                     /* of allocation */
    META_ROOM = 2 * RECORD_HEADER_SIZE + META_SYNC_SIZE + META_FOLLOWS_SIZE, /* FOLLOWS and SYNC */
};

static const uint64_t CEILING_STEP_US = 60 * 1000000ull;

/* ---- Version ceiling ----------------------------------------------------------------------- */

static uint64_t next_version(struct store *store)
{
    uint64_t now = store->os->clock_coarse(store->os);
    uint64_t next = atomic_load_explicit(&store->writer.last_version, memory_order_relaxed) + 1;
    return now > next ? now : next;
}

uint64_t log_new_ceiling(struct store *store)
{
    return next_version(store) + CEILING_STEP_US;
}

bitcask_status log_raise_ceiling(struct store *store, uint64_t version, bitcask_error *error)
{
    pthread_mutex_lock(&store->manifest_mutex);
    uint64_t old = atomic_load(&store->version_ceiling);
    bool needed = version + LOG_CEILING_NEAR_US > old;
    pthread_mutex_unlock(&store->manifest_mutex);
    if (!needed)
        return BITCASK_OK;
    bitcask_status status =
        store_save_manifest_with(store, false, version + CEILING_STEP_US, error);
    if (status != BITCASK_OK && version <= old)
        status = BITCASK_OK; /* not yet needed; the next write tries again */
    return status;
}

static bitcask_status cover_versions(struct store *store, uint32_t records, bitcask_error *error)
{
    uint64_t last = log_look_at_clock(store) + records;
    uint64_t ceiling = atomic_load_explicit(&store->version_ceiling, memory_order_relaxed);
    if (LIKELY(last + LOG_CEILING_NEAR_US / 2 <= ceiling) || PLANTED(ceiling_not_raised))
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

/* ---- Room ---------------------------------------------------------------------------------- */

/* Allocate to at least `want`, with luck a step more. */
static bitcask_status allocate_to(struct store *store, struct segment *active, uint64_t want,
                                  bitcask_error *error)
{
    struct log_writer *writer = &store->writer;
    struct os *os = store->os;
    uint64_t step = writer->allocated < LOG_STEP_MIN ? LOG_STEP_MIN
                    : writer->allocated > STEP_MAX   ? STEP_MAX
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
    const struct segment *active = log_active(store);
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
    return (store->writer.end + size > log_limit_of(active) && !PLANTED(put_not_rotated)) ||
           (most != 0 && have > 0 && have + records > most);
}

bool log_would_rotate(const struct store *store, uint64_t size, uint32_t records)
{
    const struct segment *active = log_active(store);
    return active == NULL || must_rotate(store, active, size + META_ROOM, records);
}

/* Leave room for deletes: behind this record, or in the next segment. */
static bitcask_status keep_reserve(struct store *store, struct segment *active, uint64_t size,
                                   bitcask_error *error)
{
    uint64_t want = store->writer.end + size + LOG_DELETE_RESERVE;
    if (want <= log_limit_of(active))
        return want <= store->writer.allocated ? BITCASK_OK
                                               : allocate_to(store, active, want, error);
    if (log_has_next(store, 0))
        return BITCASK_OK;
    return log_prepare_next(store, 0, error);
}

/* By how much the store's files grow for as much in the log. */
static uint64_t growth_for(struct store *store, uint64_t needed, uint32_t records)
{
    const struct log_writer *writer = &store->writer;
    const struct segment *active = log_active(store);
    uint64_t next = 0;
    if (!atomic_load_explicit(&writer->has_next, memory_order_relaxed))
        next = LOG_STEP_MIN + OS_PAGE + reserve_growth(store); /* a page for its seal */
    if (active == NULL || must_rotate(store, active, needed, records)) {
        uint64_t want = SEGMENT_HEADER_SIZE + needed + LOG_DELETE_RESERVE;
        return next + (want > LOG_STEP_MIN ? want - LOG_STEP_MIN : 0);
    }
    uint64_t end = writer->end + needed + LOG_DELETE_RESERVE, growth = 0;
    if (end > log_limit_of(active)) { /* the room for deletes is in the next one */
        end -= LOG_DELETE_RESERVE;
        growth = next;
    }
    if (end > writer->allocated)
        growth += (end - writer->allocated + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
    return growth;
}

/* Up to where records go by way of the mapping with nothing to be seen to but what has_room and
 * log_is_plain look at each time, and are shown to followers by published_advance. 0: nowhere. What
 * it rests on changes here, under write_mutex, and another active segment begins with 0. */
static uint64_t plain_end_of(struct store *store)
{
    const struct log_writer *writer = &store->writer;
    struct segment *active = log_active(store);
    if (!writer->mapped_writes || active->writable == NULL || writer->follows_segment != 0 ||
        store->options.read_only || store->options.segment_max_records != 0 ||
        quota_is_set(&store->quota, store->options.max_index_bytes) || writer->buffer_size > 0 ||
        writer->figures.version_min == 0 || !published_is_mapped(&store->published, active))
        return 0;
    uint64_t limit = log_limit_of(active),
             room = writer->allocated < limit ? writer->allocated : limit;
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
    if (status == BITCASK_OK && log_active(store) == NULL)
        status = log_start(store, needed, error);
    if (status == BITCASK_OK && UNLIKELY(writer->buffer_size > 0 && !buffered))
        status = log_spill(store, 0, error); /* notes that a group which failed has left */
    if (status == BITCASK_OK && UNLIKELY(must_rotate(store, log_active(store), needed, records)))
        status = log_rotate_to(store, needed + SEGMENT_HEADER_SIZE, error);
    if (status == BITCASK_OK)
        status = cover_versions(store, records, error);
    if (status == BITCASK_OK && reserve)
        status = reserve_hold(store, error);
    if (status != BITCASK_OK)
        return status;

    struct segment *active = log_active(store);
    if (reserve && writer->end + needed + LOG_DELETE_RESERVE > writer->allocated)
        status = keep_reserve(store, active, needed, error);
    if (status == BITCASK_OK && writer->end + needed > writer->allocated)
        status = allocate_to(store, active, writer->end + needed, error);
    if (UNLIKELY(status == BITCASK_NO_SPACE) && !reserve && log_has_next(store, 0)) {
        /* The disk is full, but the segment that comes next has some space of its own already. */
        status = log_rotate_to(store, needed + SEGMENT_HEADER_SIZE, error);
        active = log_active(store);
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
    if (writer->end > log_limit_of(active) / 2 &&
        store->options.background == BITCASK_BACKGROUND_THREAD &&
        !atomic_load_explicit(&writer->has_next, memory_order_relaxed))
        background_want(store, WORK_PREPARE);
    return status;
}

/* Is all that make_room sees to as it should be? Most of the time it is. */
static bool has_room(struct store *store, uint64_t size, uint32_t records, bool buffered)
{
    const struct log_writer *writer = &store->writer;
    const struct segment *active = log_active(store);
    if (active == NULL || store->options.read_only || store->quota.put_limit != 0 ||
        store->options.segment_max_records != 0 || writer->follows_segment != 0 ||
        atomic_load_explicit(&store->write_status, memory_order_acquire) != 0 ||
        !atomic_load_explicit(&store->reserve_held, memory_order_relaxed))
        return false;
    uint64_t end = writer->end + size + META_ROOM;
    uint64_t half = log_limit_of(active) / 2;
    bool near_next = end > half && !atomic_load_explicit(&writer->has_next, memory_order_relaxed);
    bool mapped = !buffered && writer->mapped_writes && active->writable != NULL;
    if (near_next || end + LOG_DELETE_RESERVE > writer->allocated ||
        end + LOG_DELETE_RESERVE > log_limit_of(active) ||
        (mapped && end > atomic_load_explicit(&active->populated, memory_order_relaxed)) ||
        (!buffered && writer->buffer_size > 0))
        return false;
    if (atomic_load_explicit(&active->synced, memory_order_relaxed) > writer->noted_sync ||
        PLANTED(watermark_ahead))
        return false;
    uint64_t ceiling = atomic_load_explicit(&store->version_ceiling, memory_order_relaxed);
    return log_look_at_clock(store) + records + LOG_CEILING_NEAR_US / 2 <= ceiling;
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
