/* SPDX-License-Identifier: MIT
 * index_replay.c: what the log has done since the image of the index was made.
 *
 * Two rounds. The first applies what was written while the image was being made, [from, length): of
 * these records the image has some and not others, and the live figures count them already. The
 * second applies what came behind, and counts.
 *
 * All of it is read from hints, made where there are none: the newest record of each key. Within a
 * round they are merged by hash, so that the index is walked from one end to the other; and those
 * of one hash are applied by version, because a tombstone leaves nothing in the index that an older
 * record met later could be compared with. */
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

/* The records of a hint that stand at `from` or behind. */
struct run {
    uint64_t hash; /* of the next; what the heap is ordered by */
    const struct segment *segment;
    uint64_t from;
    const uint8_t *entry, *key; /* the next */
    uint64_t left;
};

struct replay {
    struct store *store;
    struct run *runs; /* a heap, the lowest hash first */
    size_t run_count;
    struct hint_file *built; /* hints that were made for the round */
    size_t built_count;
    struct item *batch; /* what is applied next: all records of some hashes */
    size_t batch_count, batch_capacity;
    bool counting; /* the second round */
    uint64_t applied;
};

enum { BATCH = 64 };

/* ---- Runs ------------------------------------------------------------------------------------ */

/* Pass over entries before `from`. False at the end. */
static bool settle(struct run *run)
{
    for (; run->left > 0; run->left--) {
        struct hint_entry entry;
        hint_entry_decode(run->entry, &entry);
        run->hash = entry.hash;
        if (entry.offset >= run->from)
            return true;
        run->entry += HINT_ENTRY_SIZE;
        run->key += entry.key_size;
    }
    return false;
}

static void add_run(struct replay *replay, const struct segment *segment, const struct hint *hint,
                    uint64_t from)
{
    struct run run = {
        .segment = segment,
        .from = from,
        .entry = hint->entries,
        .key = hint->keys,
        .left = hint->header.entries,
    };
    if (settle(&run))
        replay->runs[replay->run_count++] = run;
}

/* The records in [from, end), each checked, from a hint made of them; *rolling goes on over them.
 */
static bitcask_status build_run(struct replay *replay, struct segment *segment, uint64_t from,
                                uint64_t end, uint32_t *rolling, const char **why)
{
    if (from >= end) /* of most segments, after a clean close of all */
        return BITCASK_OK;
    struct segment_figures figures = {.rolling = *rolling};
    struct hint_file *hint = &replay->built[replay->built_count];
    bitcask_status status =
        hint_file_build_from(segment, &replay->store->secret, from, end, hint, &figures, NULL);
    if (status == BITCASK_CORRUPT)
        *why = "a record behind it is damaged";
    if (status != BITCASK_OK)
        return status;
    replay->built_count++;
    *rolling = figures.rolling;
    add_run(replay, segment, &hint->hint, from);
    return BITCASK_OK;
}

/* The checksums of the records in [from, end), chained to *rolling. */
static bitcask_status roll(const struct segment *segment, uint64_t from, uint64_t end,
                           uint32_t *rolling, const char **why)
{
    struct segment_record record;
    for (uint64_t at = from; at < end; at += record.shape.size) {
        if (segment_read(segment, at, &record, NULL) != BITCASK_OK ||
            record.shape.size > end - at) {
            *why = "a record behind it is damaged";
            return BITCASK_CORRUPT;
        }
        *rolling = rolling_checksum(*rolling, record.bytes);
    }
    return BITCASK_OK;
}

static uint64_t end_of(const struct replay_segment *from)
{
    return atomic_load(&from->segment->end);
}

/* What came behind the image. */
static bitcask_status collect_behind(struct replay *replay, const struct replay_segment *from,
                                     const char **why)
{
    struct segment *segment = from->segment;
    uint64_t start = from->covered ? from->image.length : SEGMENT_HEADER_SIZE;
    uint32_t rolling = from->image.rolling;
    bitcask_status status = BITCASK_OK;
    if (from->hint == NULL)
        status = build_run(replay, segment, start, end_of(from), &rolling, why);
    else
        add_run(replay, segment, &from->hint->hint, start);
    if (from->hint != NULL && !from->covered)
        return BITCASK_OK; /* it was compared when it was opened */
    if (from->hint != NULL)
        status = roll(segment, start, end_of(from), &rolling, why);
    /* The checksums of all records, chained: what the image covers is what it covered. */
    if (status == BITCASK_OK && rolling != segment->figures.rolling) {
        *why = "the records of a segment are not those it was made from";
        status = BITCASK_CORRUPT;
    }
    return status;
}

static bitcask_status collect(struct replay *replay, const struct replay_segment *from,
                              const char **why)
{
    uint32_t unused = 0;
    if (replay->counting)
        return collect_behind(replay, from, why);
    return from->covered ? build_run(replay, from->segment, from->image.replay_from,
                                     from->image.length, &unused, why)
                         : BITCASK_OK;
}

/* ---- Merging --------------------------------------------------------------------------------- */

/* Let runs[at] sink to where it belongs. */
static void sink(struct replay *replay, size_t at)
{
    struct run *runs = replay->runs, moved = runs[at];
    for (size_t child; (child = 2 * at + 1) < replay->run_count; at = child) {
        if (child + 1 < replay->run_count && runs[child + 1].hash < runs[child].hash)
            child++;
        if (moved.hash <= runs[child].hash)
            break;
        runs[at] = runs[child];
    }
    runs[at] = moved;
}

/* The next record of all. */
static struct item take_item(struct replay *replay)
{
    struct run *run = &replay->runs[0];
    struct hint_entry entry;
    hint_entry_decode(run->entry, &entry);
    struct item item = {
        .version = entry.version,
        .hash = entry.hash,
        .key = run->key,
        .size = record_size(entry.flags, entry.key_size, entry.value_size),
        .place = {run->segment->slot, entry.offset},
        .key_size = entry.key_size,
        .flags = (uint16_t)entry.flags,
    };
    run->entry += HINT_ENTRY_SIZE;
    run->key += entry.key_size;
    run->left--;
    if (!settle(run))
        *run = replay->runs[--replay->run_count];
    if (replay->run_count > 0)
        sink(replay, 0);
    return item;
}

static int version_order(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return (x->version > y->version) - (x->version < y->version);
}

static bool grow_batch(struct replay *replay)
{
    size_t capacity = replay->batch_capacity * 2 + BATCH;
    struct item *batch = realloc(replay->batch, capacity * sizeof *batch);
    if (batch == NULL)
        return false;
    replay->batch = batch;
    replay->batch_capacity = capacity;
    return true;
}

/* All records of the next hashes, those of one hash by version. */
static bool take_batch(struct replay *replay)
{
    replay->batch_count = 0;
    while (replay->batch_count < BATCH && replay->run_count > 0) {
        size_t begin = replay->batch_count;
        uint64_t hash = replay->runs[0].hash;
        while (replay->run_count > 0 && replay->runs[0].hash == hash) {
            if (replay->batch_count == replay->batch_capacity && !grow_batch(replay))
                return false;
            replay->batch[replay->batch_count++] = take_item(replay);
        }
        if (replay->batch_count - begin > 1)
            qsort(replay->batch + begin, replay->batch_count - begin, sizeof *replay->batch,
                  version_order);
    }
    return true;
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

/* The misses of a batch overlap: first all buckets are asked for, then all old records. */
static bitcask_status apply_batch(struct replay *replay, const char **why)
{
    struct store *store = replay->store;
    for (size_t i = 0; i < replay->batch_count; i++)
        keydir_prefetch(store->keydir, replay->batch[i].hash);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    for (size_t i = 0; i < replay->batch_count; i++)
        reader_prefetch(store, store->keydir, replay->batch[i].hash);
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < replay->batch_count && status == BITCASK_OK; i++)
        status = apply(replay, &replay->batch[i], why);
    epoch_exit(guard);
    replay->applied += replay->batch_count;
    return status;
}

static bitcask_status run_round(struct replay *replay, const struct replay_segment *segments,
                                size_t count, const char **why)
{
    replay->run_count = 0;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = collect(replay, &segments[i], why);
    for (size_t i = replay->run_count / 2; i-- > 0;)
        sink(replay, i);
    while (status == BITCASK_OK && replay->run_count > 0)
        status = take_batch(replay) ? apply_batch(replay, why) : BITCASK_NO_MEMORY;
    while (replay->built_count > 0)
        hint_file_close(replay->store->os, &replay->built[--replay->built_count]);
    return status;
}

bitcask_status index_replay(struct store *store, const struct replay_segment *segments,
                            size_t count, uint64_t *records, const char **why)
{
    struct replay replay = {
        .store = store,
        .runs = calloc(count + 1, sizeof *replay.runs),
        .built = calloc(count + 1, sizeof *replay.built),
    };
    bitcask_status status = BITCASK_NO_MEMORY;
    if (replay.runs != NULL && replay.built != NULL)
        status = run_round(&replay, segments, count, why);
    replay.counting = true;
    if (status == BITCASK_OK)
        status = run_round(&replay, segments, count, why);
    free(replay.runs);
    free(replay.built);
    free(replay.batch);
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
