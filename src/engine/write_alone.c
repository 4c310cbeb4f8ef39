/* SPDX-License-Identifier: MIT
 * write_alone.c: see write_alone.h. */
#include "engine/write_alone.h"

#include <string.h>

#include "base/check.h"
#include "base/hash_inline.h"
#include "base/planted.h"
#include "engine/background.h"
#include "engine/group.h"
#include "engine/keydir_direct.h"
#include "engine/log_append.h"
#include "engine/log_writer.h"
#include "engine/publish.h"
#include "engine/write_queue.h"

/* A write on its way, of which all parts are inline. */
#define STEP static inline __attribute__((always_inline))

/* Where the key's present record is, if it has one. */
struct present {
    struct keydir_spot spot;
    struct keydir_place place;
    struct segment *segment;
    uint64_t size;
};

/* ---- In and out ---------------------------------------------------------------------------- */

/* Holding write_mutex, inside an epoch, for a merge may retire what we read. */
struct inside {
    struct epoch_guard guard;
    bool owner;
};

STEP bool come_in(struct store *store, struct inside *inside)
{
    if (PLANTED_ELSEWHERE || UNLIKELY(quota_is_set(&store->quota, store->options.max_index_bytes)))
        return false;
    inside->guard = epoch_enter(&store->epoch);
    inside->owner = write_mutex_enter(&store->write_mutex, inside->guard);
    if (LIKELY(inside->owner) || write_mutex_tryenter(&store->write_mutex, inside->guard))
        return true;
    epoch_exit(inside->guard);
    return false;
}

STEP void go_out(struct store *store, const struct inside *inside)
{
    if (LIKELY(inside->owner))
        write_mutex_exit(inside->guard);
    else
        write_mutex_unlock(&store->write_mutex);
    epoch_exit(inside->guard);
}

/* What is left to do outside. */
STEP bool after(struct store *store, bool done, bitcask_sync mode)
{
    if (UNLIKELY(!done))
        return false;
    if (mode == BITCASK_SYNC_INTERVAL)
        background_want(store, WORK_SYNC);
    background_after_write(store);
    return true;
}

/* ---- Steps --------------------------------------------------------------------------------- */

/* Ask for the key's buckets, see whether all is simple, and look into them. */
STEP bool look(struct store *store, uint64_t hash, uint64_t size, bool removes,
               struct keydir_probe *probe)
{
    keydir_probe_aim(store->keydir, hash, probe);
    PREFETCH((uintptr_t)probe->home);
    PREFETCH((uintptr_t)probe->other);
    if (removes)
        PREFETCH((uintptr_t)probe->shard);         /* for what it counts */
    if (UNLIKELY(probe->position != UINT32_MAX) || /* a stash, or a shard to be fetched */
        UNLIKELY(write_queue_waits(store)) ||
        (UNLIKELY(undo_is_wanted(&store->undo, 1)) && !PLANTED(alone_unkept)) ||
        UNLIKELY(!log_is_plain(store, size, !removes)))
        return false;
    keydir_probe_look(probe);
    return true;
}

/* The record that the index points to, which is asked for: header and key. A prefetch cannot fault,
 * so an integer will do for an address. */
STEP bool find_present(struct store *store, const struct keydir_probe *probe, size_t key_size,
                       struct present *present)
{
    if (UNLIKELY(!keydir_direct_find(probe, &present->spot, &present->place)))
        return false;
    present->segment = segments_at(&store->segments, present->place.segment_slot);
    uintptr_t record = (uintptr_t)present->segment->map + present->place.offset;
    PREFETCH(record);
    PREFETCH(record + RECORD_HEADER_SIZE + key_size - 1);
    return true;
}

/* Is it the key's, alive, and readable as far as can be told without its checksum? */
STEP bool prove(struct present *present, slice key)
{
    slice in = segment_readable_from(present->segment, present->place.offset);
    struct segment_record record = {.bytes = in.data};
    if (UNLIKELY(!record_parse_plain_of(in, key.size, &record.shape)) ||
        UNLIKELY(!slice_equal(segment_record_key(&record), key) && !PLANTED(alone_unproved)))
        return false;
    present->size = record.shape.size;
    return true;
}

/* Write the record to the end of the log, where it is nothing yet. */
STEP void encode(struct store *store, const struct segment *active, const struct record *record)
{
    uint64_t end = store->writer.end;
    record_encode(active->writable + end, record, active->salt, end);
}

/* What has been encoded is not to be (L6). */
static __attribute__((noinline)) bool take_back(struct store *store, uint64_t size)
{
    memset(log_active(store)->writable + store->writer.end, 0, size);
    return false;
}

/* It is: give it its version for good, and count it in. */
STEP struct keydir_place append(struct store *store, struct segment *active,
                                const struct record *record, uint64_t size)
{
    struct log_writer *writer = &store->writer;
    struct keydir_place place = {active->slot, (uint32_t)writer->end};
    const uint8_t *bytes = active->writable + writer->end;
    log_give_version(writer, record->version);
    writer->end += size;
    writer->figures.rolling = rolling_checksum(writer->figures.rolling, bytes);
    log_count_in(store, active, record);
    atomic_store_explicit(&active->end, writer->end, memory_order_release);
    log_add(&store->counters.bytes_written, size);
    return place;
}

/* The record that the key has had is dead. */
STEP void count_dead(struct store *store, const struct segment *active, const struct present *old)
{
    if (LIKELY(old->segment == active || !keydir_has_movers(store->keydir)))
        segment_drop_live_alone(old->segment, old->size);
    else
        segment_drop_live(old->segment, 1, old->size);
}

/* A merge has moved the record that was to be replaced while we looked: look it up again. */
static __attribute__((noinline)) void change_moved(struct store *store, enum write_kind kind,
                                                   uint64_t hash, const struct record *record,
                                                   struct keydir_place place,
                                                   const struct present *old)
{
    struct write_op op = {
        .kind = kind,
        .key = record->key,
        .value = record->value,
        .version = record->version,
        .hash = hash,
        .old = old->place,
        .old_size = old->size,
        .place = place,
    };
    publish_change(store, &op);
}

/* Let followers see it (F1). */
STEP void publish_end(struct store *store, const struct segment *active)
{
    if (UNLIKELY(!published_advance(&store->published, active, store->writer.end)))
        log_publish(store);
}

/* ---- Put ----------------------------------------------------------------------------------- */

/* A place in the index for a new key, before anything is in the log (W2). */
STEP bool find_room(struct store *store, uint64_t hash, const struct keydir_probe *probe,
                    struct keydir_spot *spot, bool *reserved)
{
    struct keydir *keydir = store->keydir;
    *reserved = !keydir_direct_room(keydir, probe, spot);
    if (LIKELY(!*reserved))
        return true;
    if (keydir_reserve(keydir, hash, NULL) != BITCASK_OK)
        return false; /* a group says why */
    if (UNLIKELY(keydir_wants_retag(keydir)))
        background_want(store, WORK_RETAG);
    return true;
}

STEP bool put_inside(struct store *store, uint64_t hash, slice key, slice value, uint64_t *version)
{
    struct keydir *keydir = store->keydir;
    struct keydir_probe probe;
    struct present old;
    bool reserved = false;
    uint64_t size = record_size(0, key.size, value.size);
    if (UNLIKELY(!look(store, hash, size, false, &probe)))
        return false;
    bool replaces = probe.matches != 0;
    if (replaces ? UNLIKELY(!find_present(store, &probe, key.size, &old))
                 : UNLIKELY(!find_room(store, hash, &probe, &old.spot, &reserved)))
        return false;

    struct segment *active = log_active(store);
    struct record record = {
        .version = log_next_version(&store->writer), .key = key, .value = value};
    encode(store, active, &record);
    if (replaces && UNLIKELY(!prove(&old, key)))
        return take_back(store, size);
    *version = record.version;
    struct keydir_place place = append(store, active, &record, size);
    segment_add_live_appended(active, size);
    if (UNLIKELY(reserved))
        keydir_insert(keydir, hash, place);
    else if (!replaces)
        keydir_direct_insert(keydir, &old.spot, place);
    else if (LIKELY(keydir_direct_replace(keydir, &old.spot, place)))
        count_dead(store, active, &old);
    else
        change_moved(store, WRITE_PUT, hash, &record, place, &old);
    log_add(&store->counters.puts, 1);
    publish_end(store, active);
    if (UNLIKELY(reserved))
        epoch_poll_many(&store->epoch, KEYDIR_RETIRED_MANY);
    return true;
}

bool write_alone_put(struct store *store, slice key, slice value, bitcask_sync mode,
                     uint64_t *version)
{
    struct inside inside;
    uint64_t hash = hash_key_inline(&store->secret, key);
    if (UNLIKELY(!come_in(store, &inside)))
        return false;
    bool done = put_inside(store, hash, key, value, version);
    go_out(store, &inside);
    return after(store, done, mode);
}

/* ---- Delete -------------------------------------------------------------------------------- */

STEP bool delete_inside(struct store *store, uint64_t hash, slice key, uint64_t *version)
{
    struct keydir_probe probe;
    struct present old;
    uint64_t size = record_size(0, key.size, 0);
    if (UNLIKELY(!look(store, hash, size, true, &probe)))
        return false;
    *version = 0;
    if (probe.matches == 0)
        return true;
    if (UNLIKELY(!find_present(store, &probe, key.size, &old)))
        return false;

    struct segment *active = log_active(store);
    struct record record = {
        .version = log_next_version(&store->writer), .flags = RECORD_TOMBSTONE, .key = key};
    encode(store, active, &record);
    if (UNLIKELY(!prove(&old, key)))
        return take_back(store, size);
    *version = record.version;
    struct keydir_place place = append(store, active, &record, size);
    if (LIKELY(keydir_direct_remove(store->keydir, &old.spot)))
        count_dead(store, active, &old);
    else
        change_moved(store, WRITE_DELETE, hash, &record, place, &old);
    log_add(&store->counters.deletes, 1);
    publish_end(store, active);
    return true;
}

bool write_alone_delete(struct store *store, slice key, bitcask_sync mode, uint64_t *version)
{
    struct inside inside;
    uint64_t hash = hash_key_inline(&store->secret, key);
    if (UNLIKELY(!come_in(store, &inside)))
        return false;
    bool done = delete_inside(store, hash, key, version);
    go_out(store, &inside);
    return after(store, done, mode);
}
