/* SPDX-License-Identifier: MIT
 * segment.c: records in place, figures and pins of one segment. */
#include "engine/segment.h"

#include "base/check.h"
#include "base/planted.h"
#include "engine/segments_internal.h"

enum segment_proof segment_prove_any(const struct segment *segment, uint32_t offset, slice key,
                                     bool verify, struct segment_record *record)
{
    slice in = segment_readable_from(segment, offset);
    if (UNLIKELY(record_parse(in, &record->shape, NULL) != BITCASK_OK))
        return PROOF_UNPROVEN;
    record->bytes = in.data;
    bool same = slice_equal(segment_record_key(record), key) || PLANTED(key_by_tag);
    bool match = same && !(record->shape.flags & RECORD_META);
    if ((PLANTED(damage_not_found) ? verify && match : verify || !match) &&
        UNLIKELY(!record_checksum_ok(record->bytes, record->shape.size, segment->salt, offset)))
        return PROOF_UNPROVEN;
    return match ? PROOF_MATCH : PROOF_OTHER;
}

bitcask_status segment_read_any(const struct segment *segment, uint64_t offset,
                                struct segment_record *record, const char **why)
{
    slice in = segment_readable_from(segment, offset);
    const char *reason = "the segment ends before it";
    if (segment->map == NULL)
        reason = "the segment's file is missing";
    else if (in.size > 0 && record_parse(in, &record->shape, &reason) == BITCASK_OK) {
        record->bytes = in.data;
        if (record_checksum_ok(record->bytes, record->shape.size, segment->salt, offset))
            return BITCASK_OK;
        reason = "bad checksum";
    } else if (in.size > 0 && reason == NULL) {
        reason = "no record there";
    }
    if (why != NULL)
        *why = reason;
    return BITCASK_CORRUPT;
}

void segment_figures_add(struct segment_figures *figures, const struct record_shape *shape)
{
    bool first = figures->records == 0;
    figures->records++;
    if (shape->flags & RECORD_TOMBSTONE)
        figures->tombstones++;
    if (first || shape->version < figures->version_min)
        figures->version_min = shape->version;
    if (shape->version > figures->version_max)
        figures->version_max = shape->version;
    if (!(shape->flags & RECORD_EXPIRES))
        return;
    figures->expiring++;
    if (figures->expires_max == 0 || shape->expires_us < figures->expires_min)
        figures->expires_min = shape->expires_us;
    if (shape->expires_us > figures->expires_max)
        figures->expires_max = shape->expires_us;
}

void segment_set_figures(struct segment *segment, const struct segment_figures *figures)
{
    pthread_mutex_lock(&segment->table->mutex);
    segment->figures = *figures;
    pthread_mutex_unlock(&segment->table->mutex);
    atomic_store_explicit(&segment->records, figures->records, memory_order_relaxed);
    atomic_store_explicit(&segment->tombstones, figures->tombstones, memory_order_relaxed);
    atomic_store_explicit(&segment->version_min, figures->version_min, memory_order_relaxed);
    atomic_store_explicit(&segment->version_max, figures->version_max, memory_order_relaxed);
}

/* ---- Pins ---------------------------------------------------------------------------------- */

static void pin_times(struct segment *segment, uint32_t times)
{
    uint32_t before = atomic_fetch_add_explicit(&segment->pins, times, memory_order_relaxed);
    CHECK(before > 0);
}

static void unpin_times(struct segment *segment, uint32_t times)
{
    uint32_t before = atomic_fetch_sub_explicit(&segment->pins, times, memory_order_acq_rel);
    CHECK(before >= times);
    if (before == times)
        segments_forget(segment);
}

void segment_unpin_last(struct segment *segment)
{
    segments_forget(segment);
}

/* One more for `segment`, whose place may have to be cleared by `settle`. */
static inline void gather(struct segment_pins *pins, struct segment *segment,
                          void (*settle)(struct segment *segment, uint32_t times))
{
    unsigned at = segment->slot % SEGMENT_PINS;
    if (pins->segments[at] != segment) {
        if (pins->counts[at] > 0)
            settle(pins->segments[at], pins->counts[at]);
        pins->segments[at] = segment;
        pins->counts[at] = 0;
    }
    pins->counts[at]++;
}

static void settle_all(struct segment_pins *pins,
                       void (*settle)(struct segment *segment, uint32_t times))
{
    for (unsigned at = 0; at < SEGMENT_PINS; at++) {
        if (pins->counts[at] > 0)
            settle(pins->segments[at], pins->counts[at]);
        pins->counts[at] = 0;
        pins->segments[at] = NULL;
    }
}

void segment_pin_gather(struct segment_pins *pins, struct segment *segment)
{
    gather(pins, segment, pin_times);
}

void segment_pins_take(struct segment_pins *pins)
{
    settle_all(pins, pin_times);
}

void segment_unpin_gather(struct segment_pins *pins, struct segment *segment)
{
    gather(pins, segment, unpin_times);
}

void segment_pins_drop(struct segment_pins *pins)
{
    settle_all(pins, unpin_times);
}

void segment_describe(const struct segment *segment, struct manifest_segment *entry)
{
    uint32_t state = atomic_load(&segment->state);
    *entry = (struct manifest_segment){
        .id = segment->id,
        .state = state == BITCASK_SEGMENT_ACTIVE    ? MANIFEST_ACTIVE
                 : state == BITCASK_SEGMENT_SEALING ? MANIFEST_SEALING
                                                    : MANIFEST_SEALED,
        .merge = segment->kind == SEGMENT_MERGE,
        .damaged = atomic_load(&segment->damaged) != 0,
        .salt = segment->salt,
        .length = state == BITCASK_SEGMENT_SEALING ? 0 : atomic_load(&segment->end),
        .records = segment->figures.records,
        .tombstones = segment->figures.tombstones,
        .version_min = segment->figures.version_min,
        .version_max = segment->figures.version_max,
        .expires_min = segment->figures.expires_min,
        .expires_max = segment->figures.expires_max,
        .expiring = segment->figures.expiring,
        .rolling = segment->figures.rolling,
        .created_us = segment->created_us,
        .sealed_us = atomic_load(&segment->sealed_us),
        .synced_us = atomic_load(&segment->synced_us),
    };
}
