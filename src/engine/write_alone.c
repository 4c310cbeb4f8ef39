/* SPDX-License-Identifier: MIT
 * write_alone.c: see write_alone.h. */
#include "engine/write_alone.h"

#include <string.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/background.h"
#include "engine/keydir_direct.h"
#include "engine/log_append.h"
#include "engine/log_writer.h"
#include "engine/publish.h"
#include "engine/write_queue.h"

/* A tombstone waits in memory until its key is proved: else a delete of a key that is not there
 * would have to be taken out of the log again. */
enum { TOMBSTONE_KEY_MAX = 256 };

/* Where the key's present record is, if it has one. */
struct present {
    struct keydir_place place;
    struct segment *segment;
    uint64_t size;
};

/* What a group has to be made for: conditions, expiry. */
static bool is_plain(const struct write_op *op)
{
    if (UNLIKELY(op->flags != 0 || op->expires_us != 0))
        return false;
    return op->kind == WRITE_PUT || (op->kind == WRITE_DELETE && op->key.size <= TOMBSTONE_KEY_MAX);
}

/* Ask for its header and its key. A prefetch cannot fault, so an integer will do for an address. */
static void fetch_ahead(const struct present *present, slice key)
{
    uintptr_t record = (uintptr_t)present->segment->map + present->place.offset;
    PREFETCH(record);
    PREFETCH(record + RECORD_HEADER_SIZE + key.size - 1);
}

/* Is it the key's, alive, and readable as far as can be told without its checksum? */
static bool prove(struct present *present, slice key)
{
    slice in = segment_readable_from(present->segment, present->place.offset);
    struct segment_record record = {.bytes = in.data};
    if (UNLIKELY(!record_parse_plain(in, &record.shape)) ||
        UNLIKELY(!slice_equal(segment_record_key(&record), key) && !PLANTED(alone_unproved)))
        return false;
    present->size = record.shape.size;
    return true;
}

/* The record is in the log: give it a version for good, and count it in. */
static struct keydir_place finish_append(struct store *store, struct segment *active,
                                         const struct record *record, const uint8_t *bytes,
                                         uint64_t size)
{
    struct log_writer *writer = &store->writer;
    struct keydir_place place = {active->slot, (uint32_t)writer->end};
    writer->end += size;
    writer->figures.rolling = rolling_checksum(writer->figures.rolling, bytes);
    log_count_in(store, active, record);
    atomic_store_explicit(&active->end, writer->end, memory_order_release);
    log_add(&store->counters.bytes_written, size);
    return place;
}

/* The record that the key has had is dead. */
static void count_dead(struct segment *active, const struct present *old)
{
    if (old->segment == active)
        segment_drop_live_active(old->segment, old->size);
    else
        segment_drop_live(old->segment, 1, old->size);
}

/* A merge has moved the record that was to be replaced while we looked: look it up again. */
static void change_moved(struct store *store, struct write_op *op, const struct present *old)
{
    op->old = old->place;
    op->old_size = old->size;
    publish_change(store, op);
}

/* ---- Put ----------------------------------------------------------------------------------- */

/* A place in the index for a new key, before anything is in the log (W2). */
static bool find_room(struct store *store, const struct write_op *op,
                      const struct keydir_probe *probe, struct keydir_spot *spot, bool *reserved)
{
    struct keydir *keydir = store->keydir;
    *reserved = !keydir_direct_room(keydir, probe, spot);
    if (LIKELY(!*reserved))
        return true;
    if (keydir_reserve(keydir, op->hash, NULL) != BITCASK_OK)
        return false; /* a group says why */
    if (UNLIKELY(keydir_wants_retag(keydir)))
        background_want(store, WORK_RETAG);
    return true;
}

static bool put_one(struct store *store, struct write_op *op, struct keydir_probe *probe,
                    uint64_t size)
{
    struct log_writer *writer = &store->writer;
    struct keydir *keydir = store->keydir;
    struct segment *active = log_active(store);
    struct keydir_spot spot;
    struct present old;
    bool replaces = probe->matches != 0, reserved = false;
    if (replaces) {
        if (UNLIKELY(!keydir_direct_find(probe, &spot, &old.place)))
            return false;
        old.segment = segments_at(&store->segments, old.place.segment_slot);
        fetch_ahead(&old, op->key);
    } else if (UNLIKELY(!find_room(store, op, probe, &spot, &reserved))) {
        return false;
    }

    struct record record = {
        .version = log_next_version(writer), .key = op->key, .value = op->value};
    uint8_t *to = active->writable + writer->end;
    record_encode(to, &record, active->salt, writer->end);
    if (replaces && UNLIKELY(!prove(&old, op->key))) {
        memset(to, 0, size); /* L6 */
        return false;
    }
    log_give_version(writer, record.version);
    op->version = record.version;
    op->place = finish_append(store, active, &record, to, size);
    segment_add_live_appended(active, size);
    if (reserved)
        keydir_insert(keydir, op->hash, op->place);
    else if (!replaces)
        keydir_direct_insert(keydir, &spot, op->place);
    else if (LIKELY(keydir_direct_replace(&spot, op->place)))
        count_dead(active, &old);
    else
        change_moved(store, op, &old);
    log_add(&store->counters.puts, 1);
    if (UNLIKELY(reserved))
        epoch_poll_many(&store->epoch, KEYDIR_RETIRED_MANY);
    return true;
}

/* ---- Delete -------------------------------------------------------------------------------- */

static bool delete_one(struct store *store, struct write_op *op, struct keydir_probe *probe,
                       uint64_t size, bitcask_status *status)
{
    struct log_writer *writer = &store->writer;
    struct segment *active = log_active(store);
    struct keydir_spot spot;
    struct present old;
    if (probe->matches == 0) {
        *status = BITCASK_NOT_FOUND;
        return true;
    }
    if (UNLIKELY(!keydir_direct_find(probe, &spot, &old.place)))
        return false;
    old.segment = segments_at(&store->segments, old.place.segment_slot);
    fetch_ahead(&old, op->key);

    uint8_t bytes[RECORD_HEADER_SIZE + TOMBSTONE_KEY_MAX];
    struct record record = {
        .version = log_next_version(writer), .flags = RECORD_TOMBSTONE, .key = op->key};
    record_encode(bytes, &record, active->salt, writer->end);
    if (UNLIKELY(!prove(&old, op->key)))
        return false;
    log_give_version(writer, record.version);
    op->version = record.version;
    memcpy(active->writable + writer->end, bytes, size);
    op->place = finish_append(store, active, &record, bytes, size);
    if (LIKELY(keydir_direct_remove(store->keydir, &spot)))
        count_dead(active, &old);
    else
        change_moved(store, op, &old);
    log_add(&store->counters.deletes, 1);
    return true;
}

/* ---- Both ---------------------------------------------------------------------------------- */

/* Holding write_mutex, inside an epoch. */
static bool write_now(struct store *store, struct write_op *op, bitcask_status *status)
{
    struct keydir_probe probe;
    keydir_probe_aim(store->keydir, op->hash, &probe);
    PREFETCH((uintptr_t)probe.home);
    PREFETCH((uintptr_t)probe.other);

    bool removes = op->kind == WRITE_DELETE;
    uint64_t size = record_size(0, op->key.size, removes ? 0 : op->value.size);
    if (UNLIKELY(probe.position != UINT32_MAX) || /* a stash, or a shard to be fetched */
        UNLIKELY(write_queue_waits(store)) ||
        (UNLIKELY(undo_is_wanted(&store->undo, 1)) && !PLANTED(alone_unkept)) ||
        UNLIKELY(!log_is_plain(store, size, !removes)))
        return false;
    keydir_probe_look(&probe);
    *status = BITCASK_OK;
    bool done =
        removes ? delete_one(store, op, &probe, size, status) : put_one(store, op, &probe, size);
    if (LIKELY(done) && LIKELY(*status == BITCASK_OK) &&
        UNLIKELY(!published_advance(&store->published, log_active(store), store->writer.end)))
        log_publish(store);
    return done;
}

bool write_alone(struct store *store, struct write_op *op, bitcask_status *status)
{
    if (UNLIKELY(!is_plain(op)) || PLANTED_ELSEWHERE ||
        UNLIKELY(quota_is_set(&store->quota, store->options.max_index_bytes)))
        return false;
    op->hash = hash_key(&store->secret, op->key);
    if (UNLIKELY(pthread_mutex_trylock(&store->write_mutex) != 0))
        return false;
    struct epoch_guard guard = epoch_enter(&store->epoch); /* merge may retire what we read */
    bool done = write_now(store, op, status);
    epoch_exit(guard);
    pthread_mutex_unlock(&store->write_mutex);
    return done;
}
