/* SPDX-License-Identifier: MIT
 * write_alone.c: see write_alone.h. What a write alone comes to seldom; the rest is inline. */
#include "engine/write_alone.h"

#include <string.h>

#include "engine/publish.h"
#include "engine/write_alone_steps.h"

#define WAY(name) name##_plainly
#define WAY_TARGET
#define WAY_ENCODE alone_encode_any
#define WAY_MATCHES keydir_matches
#define WAY_EMPTY keydir_empty
#define WAY_LEAVE() ((void)0)
#include "engine/write_alone_ways.h"

uint32_t alone_encode_any(uint8_t *to, const struct record *record, uint64_t salt, uint64_t offset)
{
    (void)record_encode(to, record, salt, offset);
    return get_u32(to);
}

bool alone_take_back(struct store *store, uint64_t before, bool removes, size_t key_size,
                     uint64_t size)
{
    struct segment *active = log_active(store);
    if (!PLANTED(alone_counted))
        log_count_out(store, active, before, removes, key_size);
    if (!removes)
        segment_drop_live_alone(active, size);
    memset(active->writable + store->writer.end, 0, size);
    return false;
}

void alone_change_beside_movers(struct store *store, enum write_kind kind, uint64_t hash, slice key,
                                uint64_t version, struct keydir_place place,
                                struct alone_present *old)
{
    bool changed = kind == WRITE_PUT ? keydir_direct_replace(&old->spot, place)
                                     : keydir_direct_remove(store->keydir, &old->spot);
    if (changed) {
        segment_drop_live(old->segment, 1, old->size);
        return;
    }
    struct write_op op = {
        .kind = kind,
        .key = key,
        .version = version,
        .hash = hash,
        .old = old->place,
        .old_size = old->size,
        .place = place,
    };
    publish_change(store, &op); /* looks it up again */
}

bool alone_put_by_mutex(struct store *store, slice key, slice value,
                        const bitcask_write_options *options, uint64_t *version)
{
    uint64_t hash = hash_key_inline(&store->secret, key);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bool done = false;
    if (write_mutex_tryenter(&store->write_mutex, guard)) {
        done = alone_put_plainly(store, hash, key, value, options, version);
        write_mutex_unlock(&store->write_mutex);
    }
    epoch_exit(guard);
    if (done)
        background_after_write(store);
    return done;
}

bool alone_delete_by_mutex(struct store *store, slice key, const bitcask_write_options *options,
                           uint64_t *version)
{
    uint64_t hash = hash_key_inline(&store->secret, key);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bool done = false;
    if (write_mutex_tryenter(&store->write_mutex, guard)) {
        done = alone_delete_plainly(store, hash, key, options, version);
        write_mutex_unlock(&store->write_mutex);
    }
    epoch_exit(guard);
    if (done)
        background_after_write(store);
    return done;
}
