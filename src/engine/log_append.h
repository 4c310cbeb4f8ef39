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

#endif
