/* SPDX-License-Identifier: MIT
 * index_replay.c: what the log has done since the image of the index was made.
 *
 * Two rounds. The first applies what was written while the image was being made, [from, length): of
 * these records the image has some and not others, and the live figures count them already. The
 * second applies what came behind, and counts. Within a round by version, because a tombstone
 * leaves nothing in the index that an older record met later could be compared with; the log is in
 * that order but for what a rescue or a merge has copied. */
#include <stdlib.h>

#include "base/check.h"
#include "engine/hint_file.h"
#include "engine/index_image.h"
#include "engine/reader.h"

/* A record to be applied. */
struct item {
    uint64_t version, hash;
    const uint8_t *key;
    uint64_t size; /* of the record */
    struct keydir_place place;
    uint16_t key_size, flags;
};

struct replay {
    struct store *store;
    struct item *items;
    size_t count, capacity;
    bool sorted;
    bool counting; /* the second round */
    uint64_t applied;
};

/* ---- Collecting ------------------------------------------------------------------------------ */

static bool add_item(struct replay *replay, const struct item *item)
{
    if (replay->count == replay->capacity) {
        size_t capacity = replay->capacity * 2 + 1024;
        struct item *items = realloc(replay->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        replay->items = items;
        replay->capacity = capacity;
    }
    if (replay->count > 0 && item->version < replay->items[replay->count - 1].version)
        replay->sorted = false;
    replay->items[replay->count++] = *item;
    return true;
}

/* The records in [from, end), each checked; *rolling goes on over them. */
static bitcask_status collect_records(struct replay *replay, const struct segment *segment,
                                      uint64_t from, uint64_t end, uint32_t *rolling,
                                      const char **why)
{
    uint64_t at = from;
    while (at < end) {
        struct segment_record record;
        *why = NULL;
        bitcask_status status = segment_read(segment, at, &record, why);
        if (status != BITCASK_OK || record.shape.size > end - at) {
            *why = "a record behind it is damaged";
            return BITCASK_CORRUPT;
        }
        *rolling = rolling_checksum(*rolling, record.bytes);
        slice key = segment_record_key(&record);
        struct item item = {
            .version = record.shape.version,
            .key = key.data,
            .size = record.shape.size,
            .place = {segment->slot, (uint32_t)at},
            .key_size = (uint16_t)key.size,
            .flags = (uint16_t)record.shape.flags,
        };
        at += record.shape.size;
        if (record.shape.flags & RECORD_META)
            continue;
        item.hash = hash_key(&replay->store->secret, key);
        if (!add_item(replay, &item))
            return BITCASK_NO_MEMORY;
    }
    return BITCASK_OK;
}

/* A segment that came behind the image, by its hint: the newest record of each of its keys. */
static bitcask_status collect_hint(struct replay *replay, const struct segment *segment,
                                   const struct hint *hint)
{
    const uint8_t *from = hint->entries, *key = hint->keys;
    for (uint64_t i = 0; i < hint->header.entries; i++, from += HINT_ENTRY_SIZE) {
        struct hint_entry entry;
        hint_entry_decode(from, &entry);
        struct item item = {
            .version = entry.version,
            .hash = entry.hash,
            .key = key,
            .size = record_size(entry.flags, entry.key_size, entry.value_size),
            .place = {segment->slot, entry.offset},
            .key_size = entry.key_size,
            .flags = (uint16_t)entry.flags,
        };
        key += entry.key_size;
        if (!add_item(replay, &item))
            return BITCASK_NO_MEMORY;
    }
    return BITCASK_OK;
}

static uint64_t end_of(const struct replay_segment *from)
{
    return atomic_load(&from->segment->end);
}

/* The records of one round. */
static bitcask_status collect(struct replay *replay, const struct replay_segment *from,
                              const char **why)
{
    const struct segment *segment = from->segment;
    uint32_t rolling = from->image.rolling;
    uint32_t unused = 0;
    if (!replay->counting)
        return from->covered ? collect_records(replay, segment, from->image.replay_from,
                                               from->image.length, &unused, why)
                             : BITCASK_OK;
    if (!from->covered && from->hint != NULL)
        return collect_hint(replay, segment, &from->hint->hint);
    uint64_t start = from->covered ? from->image.length : SEGMENT_HEADER_SIZE;
    bitcask_status status = collect_records(replay, segment, start, end_of(from), &rolling, why);
    /* The checksums of all records, chained: what the image covers is what it covered. */
    if (status == BITCASK_OK && rolling != segment->figures.rolling) {
        *why = "the records of a segment are not those it was made from";
        status = BITCASK_CORRUPT;
    }
    return status;
}

static int item_order(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->version < y->version ? -1 : x->version > y->version;
}

/* ---- Applying -------------------------------------------------------------------------------- */

static void drop_live(struct replay *replay, const struct reader_hit *old)
{
    if (replay->counting)
        segment_drop_live(old->segment, 1, old->record.shape.size);
}

static void add_live(struct replay *replay, const struct item *item)
{
    if (replay->counting)
        segment_add_live(segments_at(&replay->store->segments, item->place.segment_slot), 1,
                         item->size);
}

/* The key is in the index, with an older record. */
static bitcask_status supersede(struct replay *replay, const struct item *item,
                                const struct reader_hit *old)
{
    struct keydir *keydir = replay->store->keydir;
    bool changed = item->flags & RECORD_TOMBSTONE
                       ? keydir_remove(keydir, item->hash, old->place)
                       : keydir_replace(keydir, item->hash, old->place, item->place);
    CHECK(changed); /* nobody else is there */
    drop_live(replay, old);
    if (!(item->flags & RECORD_TOMBSTONE))
        add_live(replay, item);
    return BITCASK_OK;
}

static bitcask_status insert(struct replay *replay, const struct item *item)
{
    struct keydir *keydir = replay->store->keydir;
    if (item->flags & RECORD_TOMBSTONE)
        return BITCASK_OK;
    if (keydir_reserve(keydir, item->hash, NULL) != BITCASK_OK)
        return BITCASK_NO_MEMORY;
    keydir_insert(keydir, item->hash, item->place);
    add_live(replay, item);
    return BITCASK_OK;
}

/* Of two records with one version, copies of each other, the one in the newer segment counts, as it
 * does where hints are merged (engine/load.c). */
static bool is_newer(const struct replay *replay, const struct item *item,
                     const struct reader_hit *old)
{
    if (item->version != old->record.shape.version)
        return item->version > old->record.shape.version;
    return segments_at(&replay->store->segments, item->place.segment_slot)->id > old->segment->id;
}

static bitcask_status apply(struct replay *replay, const struct item *item, const char **why)
{
    struct reader_hit old;
    slice key = slice_of(item->key, item->key_size);
    bitcask_status status = reader_find(replay->store, item->hash, key, false, &old);
    if (status == BITCASK_NOT_FOUND)
        return insert(replay, item);
    if (status == BITCASK_NO_MEMORY)
        return status;
    if (status != BITCASK_OK) {
        *why = "it is damaged, or a record that it points at is";
        return BITCASK_CORRUPT;
    }
    bool there = old.place.segment_slot == item->place.segment_slot &&
                 old.place.offset == item->place.offset;
    return !there && is_newer(replay, item, &old) ? supersede(replay, item, &old) : BITCASK_OK;
}

static bitcask_status run_round(struct replay *replay, const struct replay_segment *segments,
                                size_t count, const char **why)
{
    struct store *store = replay->store;
    replay->count = 0;
    replay->sorted = true;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = collect(replay, &segments[i], why);
    if (status == BITCASK_OK && !replay->sorted)
        qsort(replay->items, replay->count, sizeof *replay->items, item_order);
    for (size_t i = 0; i < replay->count && status == BITCASK_OK; i++) {
        struct epoch_guard guard = epoch_enter(&store->epoch);
        status = apply(replay, &replay->items[i], why);
        epoch_exit(guard);
    }
    replay->applied += replay->count;
    return status;
}

bitcask_status index_replay(struct store *store, const struct replay_segment *segments,
                            size_t count, uint64_t *records, const char **why)
{
    struct replay replay = {.store = store};
    bitcask_status status = run_round(&replay, segments, count, why);
    replay.counting = true;
    if (status == BITCASK_OK)
        status = run_round(&replay, segments, count, why);
    free(replay.items);
    *records = replay.applied;
    epoch_poll(&store->epoch); /* what splits have left */
    uint64_t live = 0;
    for (size_t i = 0; i < count; i++)
        live += atomic_load(&segments[i].segment->live_records);
    if (status == BITCASK_OK && live != keydir_count(store->keydir)) {
        *why = "its figures do not add up";
        status = BITCASK_CORRUPT;
    }
    return status;
}
