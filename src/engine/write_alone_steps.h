/* SPDX-License-Identifier: MIT
 * write_alone_steps.h: the steps of a write alone, all inline: for write_alone_ways.h. */
#ifndef ENGINE_WRITE_ALONE_STEPS_H
#define ENGINE_WRITE_ALONE_STEPS_H

#include "base/check.h"
#include "base/hash_inline.h"
#include "base/planted.h"
#include "engine/background.h"
#include "engine/keydir_wide.h"
#include "engine/log_append.h"
#include "engine/write_alone.h"
#include "engine/write_queue.h"
#include "format/record_inline.h"

#define STEP static inline __attribute__((always_inline))

/* ---- In and out ---------------------------------------------------------------------------- */

/* Holding write_mutex, inside an epoch, for a merge may retire what we read. False: this thread is
 * not the owner of write_mutex. */
STEP bool alone_come_in(struct store *store, struct epoch_guard *guard)
{
    if (UNLIKELY(epoch_thread_number - 1 >= EPOCH_OWNED))
        return false;
    *guard = epoch_enter(&store->epoch);
    guard->owned = true; /* known to the compiler */
    if (LIKELY(write_mutex_enter(&store->write_mutex, *guard)))
        return true;
    epoch_exit(*guard);
    return false;
}

STEP void alone_go_out(struct epoch_guard guard)
{
    write_mutex_exit(guard);
    epoch_exit(guard);
}

/* ---- The key ------------------------------------------------------------------------------- */

/* Ask for the key's buckets. False: to look into them would not be all. */
STEP bool alone_aim(const struct keydir *keydir, uint64_t hash, struct keydir_probe *probe)
{
    keydir_probe_aim(keydir, hash, probe);
    PREFETCH((uintptr_t)probe->home);
    PREFETCH((uintptr_t)probe->other);
    return LIKELY(probe->position == UINT32_MAX); /* no stash, and no shard to be fetched */
}

/* The record that the index points to, which is asked for: header and key. A prefetch cannot fault,
 * so an integer will do for an address. */
STEP bool alone_find(struct store *store, const struct keydir_probe *probe, size_t key_size,
                     struct alone_present *present)
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
STEP bool alone_prove(struct alone_present *present, slice key)
{
    slice in = segment_readable_from(present->segment, present->place.offset);
    struct segment_record record = {.bytes = in.data};
    if (UNLIKELY(!record_parse_plain_of(in, key.size, &record.shape)) ||
        UNLIKELY(!slice_equal(segment_record_key(&record), key) && !PLANTED(alone_unproved)))
        return false;
    present->size = record.shape.size;
    return true;
}

/* A place in the index for a new key, before anything is in the log (W2). */
STEP bool alone_find_room(struct store *store, const struct keydir_probe *probe, uint32_t empty,
                          struct keydir_spot *spot, bool *reserved)
{
    struct keydir *keydir = store->keydir;
    *reserved = !keydir_direct_room(keydir, probe, empty, spot);
    if (LIKELY(!*reserved))
        return true;
    if (keydir_reserve(keydir, probe->hash, NULL) != BITCASK_OK)
        return false; /* a group says why */
    if (UNLIKELY(keydir_wants_retag(keydir)))
        background_want(store, WORK_RETAG);
    return true;
}

/* ---- The log ------------------------------------------------------------------------------- */

/* What the options ask for if it is no more than that it is done: the effective mode, NONE or
 * INTERVAL. Else ALWAYS. */
STEP bitcask_sync alone_mode(const struct store *store, const bitcask_write_options *options)
{
    if (options == NULL)
        return store->options.sync;
    if (UNLIKELY(options->struct_size != sizeof *options) ||
        UNLIKELY((options->flags | options->expires_us) != 0) ||
        UNLIKELY((unsigned)options->sync > BITCASK_SYNC_ALWAYS))
        return BITCASK_SYNC_ALWAYS;
    return LIKELY(options->sync == BITCASK_SYNC_DEFAULT) ? store->options.sync : options->sync;
}

/* Is it one that may be put? */
STEP bool alone_is_value(slice value)
{
    return LIKELY(value.size <= BITCASK_MAX_VALUE_SIZE) &&
           (LIKELY(value.data != NULL) || value.size == 0);
}

/* Does nobody stand in the way, and is there room? Then *version is the record's. */
STEP bool alone_is_simple(struct store *store, uint64_t size, bool reserve, uint64_t *version)
{
    if (UNLIKELY(write_queue_waits(store)) ||
        (UNLIKELY(undo_is_wanted(&store->undo, 1)) && !PLANTED(alone_unkept)))
        return false;
    return LIKELY(log_is_plain(store, size, reserve, version));
}

/* The record that has been encoded at the end of the log is one of it: it has its version for good.
 */
STEP struct keydir_place alone_append(struct store *store, struct segment *active, uint64_t version,
                                      uint64_t size)
{
    struct log_writer *writer = &store->writer;
    struct keydir_place place = {active->slot, (uint32_t)writer->end};
    log_give_version(writer, version);
    writer->end += size;
    atomic_store_explicit(&active->end, writer->end, memory_order_release);
    log_add(&store->counters.bytes_written, size);
    return place;
}

/* The index points to it: followers may see it (F1). And only now is a sync asked for, since one
 * that began before may have missed it. */
STEP void alone_end(struct store *store, const struct segment *active, bitcask_sync mode)
{
    published_advance(&store->published, active, store->writer.end);
    if (mode == BITCASK_SYNC_INTERVAL &&
        UNLIKELY(!(atomic_load_explicit(&store->work, memory_order_relaxed) & WORK_SYNC)))
        background_want(store, WORK_SYNC);
}

#endif
