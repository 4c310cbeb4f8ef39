/* SPDX-License-Identifier: MIT
 * merge_expiry.c: how much of a segment has expired, from a sample. */
#include "engine/merge_expiry.h"

#include <stdlib.h>

bool merge_expiry_has_begun(const struct segment *segment, uint64_t time_us)
{
    pthread_mutex_lock(&segment->table->mutex); /* guards figures */
    uint64_t first = segment->figures.expires_min;
    pthread_mutex_unlock(&segment->table->mutex);
    return first != 0 && first <= time_us;
}

struct sample {
    uint64_t expires_us;
    uint64_t gain; /* bytes that are no longer kept once it has expired */
};

struct sampling {
    struct merge_judge *judge;
    size_t index;
    struct sample samples[MERGE_EXPIRY_SAMPLES]; /* of those that expire */
    size_t count;
    uint64_t live_bytes; /* of all looked at */
};

static int by_expiry(const void *a, const void *b)
{
    const struct sample *left = a, *right = b;
    return left->expires_us < right->expires_us ? -1 : left->expires_us > right->expires_us;
}

/* Would reaping it leave a tombstone, if the segment were merged alone? */
static bool leaves_tombstone(struct sampling *sampling, uint64_t hash,
                             const struct segment_record *record)
{
    struct merge_judge_segment *own = &sampling->judge->segments[sampling->index];
    bool input = own->input;
    own->input = true;
    bool needed = merge_judge_may_hold(sampling->judge, hash, segment_record_key(record),
                                       record->shape.version);
    own->input = input;
    return needed;
}

static void look_at(struct sampling *sampling, const struct hint_entry *entry)
{
    struct store *store = sampling->judge->store;
    const struct segment *segment = sampling->judge->segments[sampling->index].segment;
    struct keydir_place place = {segment->slot, entry->offset};
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bool live = keydir_has(store->keydir, entry->hash, place);
    epoch_exit(guard);
    struct segment_record record;
    if (!live || segment_read(segment, entry->offset, &record, NULL) != BITCASK_OK)
        return;
    const struct record_shape *shape = &record.shape;
    sampling->live_bytes += shape->size;
    if ((shape->flags & RECORD_EXPIRES) == 0)
        return;
    uint64_t left = leaves_tombstone(sampling, entry->hash, &record)
                        ? record_size(RECORD_TOMBSTONE, shape->key_size, 0)
                        : 0;
    sampling->samples[sampling->count++] = (struct sample){
        .expires_us = shape->expires_us,
        .gain = shape->size > left ? shape->size - left : 0,
    };
}

static void sum_up(struct sampling *sampling, struct merge_expiry *expiry)
{
    uint64_t gain = 0, sum = 0;
    for (size_t i = 0; i < sampling->count; i++)
        gain += sampling->samples[i].gain;
    if (gain == 0)
        return;
    qsort(sampling->samples, sampling->count, sizeof *sampling->samples, by_expiry);
    unsigned step = 0;
    for (size_t i = 0; i < sampling->count; i++) {
        sum += sampling->samples[i].gain;
        while (step < MERGE_EXPIRY_STEPS && sum * MERGE_EXPIRY_STEPS >= gain * (step + 1))
            expiry->steps_us[step++] = sampling->samples[i].expires_us;
    }
    expiry->gain = (double)gain / (double)sampling->live_bytes;
}

void merge_expiry_sample(struct merge_expiry *expiry, struct merge_judge *judge, size_t index)
{
    struct segment *segment = judge->segments[index].segment;
    struct sampling sampling = {.judge = judge, .index = index};
    struct hint_file hint;
    *expiry = (struct merge_expiry){.sampled = true};
    uint64_t end = atomic_load(&segment->end);
    if (atomic_load(&segment->has_hint) == 0 ||
        hint_file_open(segment, end, true, false, &hint, NULL) != BITCASK_OK)
        return;
    uint64_t entries = hint.hint.header.entries;
    uint64_t count = entries < MERGE_EXPIRY_SAMPLES ? entries : MERGE_EXPIRY_SAMPLES;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = entries * i / count * HINT_ENTRY_SIZE;
        struct hint_entry entry;
        if (!hint_check(&hint.hint, at, HINT_ENTRY_SIZE))
            continue;
        hint_entry_decode(hint.hint.entries + at, &entry);
        look_at(&sampling, &entry);
    }
    hint_file_close(segment->os, &hint);
    sum_up(&sampling, expiry);
}

uint64_t merge_expiry_gone(const struct merge_expiry *expiry, uint64_t live_bytes, uint64_t time_us)
{
    unsigned gone = 0;
    while (gone < MERGE_EXPIRY_STEPS && expiry->steps_us[gone] <= time_us)
        gone++;
    return (uint64_t)((double)live_bytes * expiry->gain * gone / MERGE_EXPIRY_STEPS);
}
