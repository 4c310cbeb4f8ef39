/* SPDX-License-Identifier: MIT
 * iterator.c: a walk over all live keys, some shards of the index at a time. */
#include "engine/iterator.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"

/* Shards of a batch, at most: a million keys or less, for which an iterator has 16 bytes each. */
enum { SHARDS_MAX = 512 };

/* How many records ahead of the one at hand are asked for. */
enum { PREFETCH_DISTANCE = 12 };

enum { PAGE_BITS = 12, DIGIT_BITS = 8, DIGIT_MASK = (1 << DIGIT_BITS) - 1 };

struct bitcask_iterator {
    struct store *store;
    struct bitcask_snapshot *snapshot; /* held; or NULL */
    bool values, verify;
    uint64_t batch_start;        /* hash where the batch at hand begins */
    uint64_t batch_end;          /* hash where the next one does; UINT64_MAX: there is none */
    struct keydir_places places; /* of the batch: the index's, then the overlay's; each of the two
                                    by segment and page */
    struct keydir_place *spare;  /* to sort them */
    size_t spare_capacity;
    size_t index_count;          /* of the index's */
    struct undo_versions undone; /* ascending: of the records that the overlay gives */
    uint32_t batch_shards;       /* of the index, in the next batch */
    bool watched;                /* somebody takes batches apart: they stay small, the same ones
                                    whoever walks */
    size_t position;             /* of the next place */
    struct segment **pinned;     /* the batch's segments, in the order of the places */
    size_t pinned_count, pinned_capacity;
    size_t pinned_at; /* that of the place at `position` */
    size_t prefix_size;
    uint8_t prefix[];
};

bitcask_status iterator_new(struct store *store, slice prefix, bool values,
                            const struct reader_options *options, bitcask_iterator **out,
                            bitcask_error *error)
{
    CHECK(prefix.size <= BITCASK_MAX_KEY_SIZE);
    bitcask_iterator *iterator = calloc(1, sizeof *iterator + prefix.size);
    if (iterator == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for an iterator");
    iterator->store = store;
    iterator->batch_shards = 1;
    iterator->values = values;
    iterator->verify = options->verify;
    iterator->snapshot = snapshot_hold(options->snapshot);
    iterator->prefix_size = prefix.size;
    if (prefix.size > 0)
        memcpy(iterator->prefix, prefix.data, prefix.size);
    *out = iterator;
    return BITCASK_OK;
}

struct store *iterator_store(const bitcask_iterator *iterator)
{
    return iterator->store;
}

/* Whose cursors are asked for goes on with batches of one shard. */
static void watch(bitcask_iterator *iterator)
{
    iterator->watched = true;
    iterator->batch_shards = 1;
}

uint64_t iterator_cursor(bitcask_iterator *iterator)
{
    watch(iterator);
    bool used_up = iterator->position == iterator->places.count;
    return used_up ? iterator->batch_end : iterator->batch_start;
}

uint64_t iterator_batch_cursor(bitcask_iterator *iterator)
{
    watch(iterator);
    return iterator->batch_start;
}

static void drop_batch(bitcask_iterator *iterator)
{
    for (size_t i = 0; i < iterator->pinned_count; i++)
        if (!PLANTED(pin_leaks) && !PLANTED(iterator_unpinned))
            segment_unpin(iterator->pinned[i]);
    iterator->pinned_count = 0;
    iterator->pinned_at = 0;
    iterator->places.count = 0;
    iterator->undone.count = 0;
    iterator->position = 0;
}

void iterator_seek(bitcask_iterator *iterator, uint64_t cursor)
{
    drop_batch(iterator);
    watch(iterator);
    iterator->batch_start = cursor;
    iterator->batch_end = cursor;
}

void iterator_free(bitcask_iterator *iterator)
{
    drop_batch(iterator);
    free(iterator->places.items);
    free(iterator->spare);
    free(iterator->undone.items);
    free(iterator->pinned);
    snapshot_free(iterator->snapshot);
    free(iterator);
}

/* ---- The next batch ------------------------------------------------------------------------- */

static int compare_versions(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* What places are sorted by: first the segment, of which each is pinned once, then the page. Within
 * a page the order does not matter. */
static uint64_t sort_key(struct keydir_place place)
{
    return (uint64_t)place.segment_slot << (32 - PAGE_BITS) | place.offset >> PAGE_BITS;
}

/* One pass of a radix sort, by the digit at `shift`. */
static void distribute(const struct keydir_place *from, struct keydir_place *to, size_t count,
                       unsigned shift)
{
    size_t starts[1 << DIGIT_BITS] = {0}, start = 0;
    for (size_t i = 0; i < count; i++)
        starts[sort_key(from[i]) >> shift & DIGIT_MASK]++;
    for (size_t digit = 0; digit <= DIGIT_MASK; digit++) {
        size_t here = starts[digit];
        starts[digit] = start;
        start += here;
    }
    for (size_t i = 0; i < count; i++)
        to[starts[sort_key(from[i]) >> shift & DIGIT_MASK]++] = from[i];
}

/* Sort items[0..count); `spare` has room for as many. A comparison sort costs more here than
 * reading the records does. */
static void sort_places(struct keydir_place *items, struct keydir_place *spare, size_t count)
{
    struct keydir_place *from = items, *to = spare;
    uint64_t differing = 0;
    for (size_t i = 1; i < count; i++)
        differing |= sort_key(items[0]) ^ sort_key(items[i]);
    for (unsigned shift = 0; differing >> shift != 0; shift += DIGIT_BITS) {
        if ((differing >> shift & DIGIT_MASK) == 0)
            continue;
        distribute(from, to, count, shift);
        struct keydir_place *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
}

static bool grow_spare(bitcask_iterator *iterator)
{
    size_t capacity = iterator->places.capacity;
    if (iterator->spare_capacity >= capacity)
        return true;
    struct keydir_place *spare = malloc(capacity * sizeof *spare);
    if (spare == NULL)
        return false;
    free(iterator->spare);
    iterator->spare = spare;
    iterator->spare_capacity = capacity;
    return true;
}

/* Append the places of the batch that begins at `start`: of one shard, of two, of four, ... The
 * more, the nearer to each other they lie in the log; who looks only at the beginning pays for no
 * more than that. */
static bitcask_status scan_shards(bitcask_iterator *iterator, uint64_t start, uint64_t *end)
{
    struct keydir *keydir = iterator->store->shown;
    bitcask_status status = BITCASK_OK;
    *end = start;
    for (uint32_t shards = 0;
         status == BITCASK_OK && shards < iterator->batch_shards && *end != UINT64_MAX; shards++)
        status = keydir_scan_more(keydir, *end, &iterator->places, end);
    if (status == BITCASK_OK && !iterator->watched && iterator->batch_shards < SHARDS_MAX)
        iterator->batch_shards *= 2;
    return status;
}

/* The places of the shard that holds `start`, and behind them those that the overlay has for its
 * range as of the snapshot. */
static bitcask_status find_places(bitcask_iterator *iterator, uint64_t start, uint64_t *end)
{
    struct store *store = iterator->store;
    struct keydir_places *places = &iterator->places;
    struct undo_versions *undone = &iterator->undone;
    bitcask_status status = scan_shards(iterator, start, end);
    if (status != BITCASK_OK)
        return status;
    iterator->index_count = places->count;
    if (iterator->snapshot != NULL)
        status =
            undo_collect(&store->undo, iterator->snapshot->version, start, *end, places, undone);
    if (status == BITCASK_OK && !grow_spare(iterator))
        status = BITCASK_NO_MEMORY;
    if (status != BITCASK_OK)
        return status;
    sort_places(places->items, iterator->spare, iterator->index_count);
    if (undone->count > 0) {
        sort_places(places->items + iterator->index_count, iterator->spare, undone->count);
        qsort(undone->items, undone->count, sizeof *undone->items, compare_versions);
    }
    return status;
}

static bool add_pinned(bitcask_iterator *iterator, struct segment *segment)
{
    if (iterator->pinned_count == iterator->pinned_capacity) {
        size_t capacity = iterator->pinned_capacity * 2 + 16;
        struct segment **pinned = realloc(iterator->pinned, capacity * sizeof(struct segment *));
        if (pinned == NULL)
            return false;
        iterator->pinned = pinned;
        iterator->pinned_capacity = capacity;
    }
    if (!PLANTED(iterator_unpinned))
        segment_pin(segment);
    iterator->pinned[iterator->pinned_count++] = segment;
    return true;
}

/* Pin the segments of the sorted places, each once (those of the overlay's once more). Inside the
 * epoch in which they were found: what the index points to cannot be released before it ends. */
static bool pin_segments(bitcask_iterator *iterator)
{
    const struct keydir_places *places = &iterator->places;
    for (size_t i = 0; i < places->count; i++) {
        uint32_t slot = places->items[i].segment_slot;
        if (i > 0 && slot == places->items[i - 1].segment_slot)
            continue;
        struct segment *segment = segments_at(&iterator->store->segments, slot);
        CHECK(segment != NULL);
        if (!add_pinned(iterator, segment))
            return false;
    }
    return true;
}

/* Replace the used-up batch by the next one. On failure the walk stands where it stood. */
static bitcask_status fetch_batch(bitcask_iterator *iterator, bitcask_error *error)
{
    struct store *store = iterator->store;
    uint64_t start = iterator->batch_end, end;
    drop_batch(iterator);

    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status found = find_places(iterator, start, &end);
    bool fetched = found == BITCASK_OK && pin_segments(iterator);
    epoch_exit(guard);
    epoch_poll(&store->epoch);

    if (!fetched) {
        drop_batch(iterator);
        iterator->batch_shards = 1; /* for many there may be no memory */
        if (found == BITCASK_IO)
            return keydir_fetch_failed(found, error);
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for an iterator");
    }
    iterator->batch_start = start;
    iterator->batch_end = end;
    return BITCASK_OK;
}

/* ---- One record ----------------------------------------------------------------------------- */

/* As segment_read, without its checksum. */
static bitcask_status peek(const struct segment *segment, uint32_t offset,
                           struct segment_record *record, const char **why)
{
    uint64_t readable = atomic_load_explicit(&segment->readable, memory_order_acquire);
    if (segment->map == NULL || offset >= readable || offset >= atomic_load(&segment->suspect)) {
        *why = "it cannot be read";
        return BITCASK_CORRUPT;
    }
    record->bytes = segment->map + offset;
    *why = "no record there";
    bitcask_status status =
        record_parse(slice_of(record->bytes, readable - offset), &record->shape, why);
    return status == BITCASK_OK ? BITCASK_OK : BITCASK_CORRUPT;
}

/* Ask for a record some way ahead: of this segment, or of the next one. */
static void prefetch(const bitcask_iterator *iterator, const struct segment *segment)
{
    size_t ahead = iterator->position + PREFETCH_DISTANCE;
    if (ahead >= iterator->places.count)
        return;
    struct keydir_place place = iterator->places.items[ahead];
    if (place.segment_slot != segment->slot && iterator->pinned_at + 1 < iterator->pinned_count)
        segment = iterator->pinned[iterator->pinned_at + 1];
    if (place.segment_slot == segment->slot)
        segment_prefetch(segment, place.offset);
}

/* Take the next place of the batch, and its segment. */
static struct segment *take_place(bitcask_iterator *iterator, struct keydir_place *place)
{
    const struct keydir_place *items = iterator->places.items;
    size_t at = iterator->position;
    if (at > 0 && items[at].segment_slot != items[at - 1].segment_slot)
        iterator->pinned_at++;
    struct segment *segment = iterator->pinned[iterator->pinned_at];
    CHECK(segment->slot == items[at].segment_slot);
    prefetch(iterator, segment);
    *place = items[at];
    iterator->position++;
    return segment;
}

/* Does the snapshot see the record of the place just taken? Of a key that was written while its
 * shard was looked at, both the index and the overlay may have given the old record: one of them
 * counts. A version stands for one record, wherever a merge has moved it. */
static bool is_seen(const bitcask_iterator *iterator, uint64_t version)
{
    const struct undo_versions *undone = &iterator->undone;
    if (iterator->snapshot == NULL || iterator->position > iterator->index_count)
        return true;
    if (version > iterator->snapshot->version)
        return false;
    if (PLANTED(walked_twice))
        return true;
    return undone->count == 0 || bsearch(&version, undone->items, undone->count,
                                         sizeof *undone->items, compare_versions) == NULL;
}

static bool is_wanted(const bitcask_iterator *iterator, const struct segment_record *record)
{
    if (!is_seen(iterator, record->shape.version))
        return false;
    slice key = segment_record_key(record);
    if (key.size < iterator->prefix_size ||
        memcmp(key.data, iterator->prefix, iterator->prefix_size) != 0)
        return false;
    struct os *os = iterator->store->os;
    uint64_t now_us = 0;
    if (record->shape.flags & RECORD_EXPIRES)
        now_us = iterator->snapshot != NULL ? iterator->snapshot->clock_us : os->clock_coarse(os);
    return !record_is_gone(record->shape.flags, record->shape.expires_us, now_us) ||
           PLANTED(expired_listed);
}

static bitcask_status report_damage(bitcask_iterator *iterator, const struct segment *segment,
                                    uint32_t offset, const char *why, bitcask_error *error)
{
    atomic_fetch_add_explicit(&iterator->store->counters.corrupt_records, 1, memory_order_relaxed);
    error_set(error, BITCASK_CORRUPT, "segment %llu: record at %u: %s",
              (unsigned long long)segment->id, offset, why);
    error_at(error, segment->id, offset);
    EVENT(&iterator->store->events, BITCASK_LOG_ERROR, "corrupt_record",
          F_UINT("segment", segment->id), F_UINT("offset", offset), F_TEXT("why", why));
    return BITCASK_CORRUPT;
}

bitcask_status iterator_next(bitcask_iterator *iterator, bitcask_entry *entry, bitcask_error *error)
{
    for (;;) {
        while (iterator->position == iterator->places.count) {
            if (iterator->batch_end == UINT64_MAX) {
                drop_batch(iterator);
                return BITCASK_END;
            }
            bitcask_status status = fetch_batch(iterator, error);
            if (status != BITCASK_OK)
                return status;
        }
        struct keydir_place place;
        struct segment_record record;
        const char *why = NULL;
        const struct segment *segment = take_place(iterator, &place);
        bitcask_status status = iterator->verify
                                    ? segment_read(segment, place.offset, &record, &why)
                                    : peek(segment, place.offset, &record, &why);
        if (status != BITCASK_OK)
            return report_damage(iterator, segment, place.offset, why, error);
        if (!is_wanted(iterator, &record))
            continue;
        entry->key = segment_record_key(&record);
        entry->value = iterator->values ? segment_record_value(&record) : slice_of(NULL, 0);
        entry->meta = (bitcask_meta){
            .version = record.shape.version,
            .expires_us = record.shape.expires_us,
            .value_size = record.shape.value_size,
        };
        return BITCASK_OK;
    }
}
