/* SPDX-License-Identifier: MIT
 * log_append.h: what every record appended to the log gets: a version, and its place in the
 * figures of the segment. For log_writer.c and write_alone.c; the holder of write_mutex. */
#ifndef ENGINE_LOG_APPEND_H
#define ENGINE_LOG_APPEND_H

#include "base/planted.h"
#include "engine/store.h"
#include "format/hint.h"

static inline struct segment *log_active(const struct store *store)
{
    return atomic_load_explicit(&store->writer.active, memory_order_relaxed);
}

/* A ceiling of versions that is nearer than this is to be raised. */
enum { LOG_CEILING_NEAR_US = 30 * 1000000 };

/* Look at the clock, once for a request, and tell the version of its first record. */
static inline uint64_t log_look_at_clock(struct store *store)
{
    struct log_writer *writer = &store->writer;
    writer->now_us = store->os->clock_coarse(store->os);
    uint64_t next = atomic_load_explicit(&writer->last_version, memory_order_relaxed) + 1;
    return writer->now_us > next ? writer->now_us : next;
}

/* Does one record of this size go by way of the mapping, into room that log_make_room (whose
 * `reserve` this is) has made earlier, with nothing to be seen to before? Then *version is the one
 * for it, which is covered; and published_advance will do. */
static inline bool log_is_plain(struct store *store, uint64_t size, bool reserve, uint64_t *version)
{
    const struct log_writer *writer = &store->writer;
    if (UNLIKELY(writer->end + size > writer->plain_end))
        return false;
    const struct segment *active = log_active(store);
    if (UNLIKELY(atomic_load_explicit(&store->write_status, memory_order_acquire) != 0) ||
        (reserve && UNLIKELY(!atomic_load_explicit(&store->reserve_held, memory_order_relaxed))) ||
        UNLIKELY(atomic_load_explicit(&active->suspect, memory_order_relaxed) != UINT64_MAX) ||
        UNLIKELY(atomic_load_explicit(&active->synced, memory_order_relaxed) > writer->noted_sync))
        return false;
    uint64_t ceiling = atomic_load_explicit(&store->version_ceiling, memory_order_relaxed);
    *version = log_look_at_clock(store);
    return LIKELY(*version + 1 + LOG_CEILING_NEAR_US / 2 <= ceiling);
}

/* The version of the next record, given the time at which room was made for it; and give it. */
static inline uint64_t log_next_version(const struct log_writer *writer)
{
    uint64_t now = writer->now_us;
    uint64_t last = atomic_load_explicit(&writer->last_version, memory_order_relaxed);
    return now > last || PLANTED(version_from_clock) ? now : last + 1;
}

static inline void log_give_version(struct log_writer *writer, uint64_t version)
{
    CHECK(version <= VERSION_MAX);
    atomic_store_explicit(&writer->last_version, version, memory_order_relaxed);
}

/* Of a counter that only the holder of write_mutex writes: no need for a locked instruction. */
static inline void log_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void log_store(_Atomic uint64_t *figure, uint64_t value)
{
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

/* The figures of the active segment, all records in them: to be read, or to be set. */
static inline struct segment_figures *log_figures(struct log_writer *writer)
{
    if (writer->rolled_count > 0) {
        size_t size = 4 * (size_t)writer->rolled_count;
        writer->figures.rolling = checksum(writer->figures.rolling, writer->rolled, size);
        writer->rolled_count = 0;
    }
    return &writer->figures;
}

/* Let the rolling checksum run over that of a record: many at a time, for one by one they take five
 * times as many instructions. */
static inline void log_roll(struct log_writer *writer, uint32_t crc)
{
    if (UNLIKELY(writer->rolled_count == LOG_ROLLED_MAX))
        (void)log_figures(writer);
    put_u32(writer->rolled + 4 * (size_t)writer->rolled_count++, crc);
}

/* What anyone may read of the figures of the active segment. */
static inline void log_show_figures(struct segment *segment, const struct segment_figures *figures)
{
    log_store(&segment->records, figures->records);
    log_store(&segment->tombstones, figures->tombstones);
    log_store(&segment->version_min, figures->version_min);
    log_store(&segment->version_max, figures->version_max);
}

/* Count a record of a key into the figures of the active segment. */
static inline void log_count_in(struct store *store, struct segment *segment,
                                const struct record *record)
{
    struct segment_figures *figures = &store->writer.figures;
    figures->records++;
    if (record->flags & RECORD_TOMBSTONE)
        log_store(&segment->tombstones, ++figures->tombstones);
    if (UNLIKELY(figures->version_min == 0 || record->version < figures->version_min)) {
        figures->version_min = record->version;
        log_store(&segment->version_min, record->version);
    }
    if (record->version > figures->version_max) { /* rescued records come with versions of before */
        figures->version_max = record->version;
        log_store(&segment->version_max, record->version);
    }
    if (record->flags & RECORD_EXPIRES) {
        figures->expiring++;
        if (figures->expires_max == 0 || record->expires_us < figures->expires_min)
            figures->expires_min = record->expires_us;
        if (record->expires_us > figures->expires_max)
            figures->expires_max = record->expires_us;
    }
    log_add(&segment->hint_bytes, hint_bytes_of(record->key.size));
    log_store(&segment->records, figures->records);
}

/* The same, with its checksum, for one that log_is_plain has given its version, and has no expiry:
 * the segment has a record already, and none with as high a version. Returns what log_count_out, to
 * which this can be undone until the next one is counted, is to be given. */
static inline uint64_t log_count_plain(struct store *store, struct segment *segment,
                                       uint64_t version, bool removes, size_t key_size,
                                       uint32_t crc)
{
    struct segment_figures *figures = &store->writer.figures;
    uint64_t before = figures->version_max;
    log_roll(&store->writer, crc);
    figures->version_max = version;
    log_store(&segment->version_max, version);
    log_store(&segment->records, ++figures->records);
    if (removes)
        log_store(&segment->tombstones, ++figures->tombstones);
    log_add(&segment->hint_bytes, hint_bytes_of(key_size));
    return before;
}

static inline void log_count_out(struct store *store, struct segment *segment, uint64_t before,
                                 bool removes, size_t key_size)
{
    struct segment_figures *figures = &store->writer.figures;
    store->writer.rolled_count--;
    figures->version_max = before;
    figures->records--;
    figures->tombstones -= removes;
    log_add(&segment->hint_bytes, -hint_bytes_of(key_size));
    log_show_figures(segment, figures);
}

#endif
