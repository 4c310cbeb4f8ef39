/* SPDX-License-Identifier: MIT
 * write_alone_ways.h: a put and a delete alone, for one way of computing checksums.
 *
 * To be included once for each way, behind write_alone_steps.h and with these defined:
 *
 *     WAY(name)         the name of a function of this way
 *     WAY_TARGET        what the processor has, as an attribute
 *     WAY_ENCODE        record_encode for records that are short, as a part of the caller; returns
 *                       the checksum
 *     WAY_MATCHES       keydir_matches
 *     WAY_EMPTY         keydir_empty
 *     WAY_LEAVE         what is to be done behind these
 *
 * so that a write is one function, in which all instructions are of one kind. No guard.
 *
 * The order: what it takes to ask for the old record comes first, then all that does not need it,
 * and last what does. So the processor, which looks some 500 instructions ahead, asks for the next
 * call's record while it waits for this one. That is why the new record is counted in before it is
 * known whether the old one is the key's: it nearly always is. */

WAY_TARGET STEP uint32_t WAY(alone_encode)(const struct store *store, const struct segment *active,
                                           uint64_t version, uint32_t flags, slice key, slice value)
{
    struct record record = {.version = version, .flags = flags, .key = key, .value = value};
    uint64_t offset = store->writer.end;
    uint8_t *to = active->writable + offset;
    if (UNLIKELY(!record_is_short(key.size, value.size))) {
        WAY_LEAVE();
        struct record any = record; /* the other one stays in registers */
        return alone_encode_any(to, &any, active->salt, offset);
    }
    uint32_t crc = WAY_ENCODE(to, &record, active->salt, offset);
    WAY_LEAVE();
    return crc;
}

/* The key has a record, it seems. */
WAY_TARGET STEP bool WAY(alone_overwrite)(struct store *store, const struct keydir_probe *probe,
                                          slice key, slice value,
                                          const bitcask_write_options *options, uint64_t *version)
{
    struct alone_present old;
    uint64_t size = record_size(0, key.size, value.size), given;
    if (UNLIKELY(!alone_find(store, probe, key.size, &old)))
        return false;
    bitcask_sync mode = alone_mode(store, options);
    if (UNLIKELY(mode == BITCASK_SYNC_ALWAYS) || UNLIKELY(!alone_is_value(value)) ||
        UNLIKELY(!alone_is_simple(store, size, true, &given)))
        return false;
    struct segment *active = log_active(store);
    uint32_t crc = WAY(alone_encode)(store, active, given, 0, key, value);
    uint64_t before = log_count_plain(store, active, given, false, key.size, crc);
    segment_add_live_appended(active, size);
    if (UNLIKELY(!alone_prove(&old, key)))
        return alone_take_back(store, before, false, key.size, size);

    struct keydir_place place = alone_append(store, active, given, size);
    if (LIKELY(!keydir_has_movers(store->keydir))) {
        keydir_direct_replace_alone(&old.spot, place);
        segment_drop_live_alone(old.segment, old.size);
    } else {
        struct alone_present moved = old;
        alone_change_beside_movers(store, WRITE_PUT, probe->hash, key, given, place, &moved);
    }
    log_add(&store->counters.puts, 1);
    alone_end(store, active, mode);
    *version = given;
    return true;
}

WAY_TARGET STEP bool WAY(alone_insert)(struct store *store, const struct keydir_probe *probe,
                                       slice key, slice value, const bitcask_write_options *options,
                                       uint64_t *version)
{
    struct keydir_spot spot;
    uint64_t size = record_size(0, key.size, value.size), given;
    bool reserved;
    uint32_t empty = WAY_EMPTY(probe->home, probe->other);
    WAY_LEAVE();
    bitcask_sync mode = alone_mode(store, options);
    if (UNLIKELY(mode == BITCASK_SYNC_ALWAYS) || UNLIKELY(!alone_is_value(value)) ||
        UNLIKELY(!alone_is_simple(store, size, true, &given)) ||
        UNLIKELY(!alone_find_room(store, probe, empty, &spot, &reserved)))
        return false;
    struct segment *active = log_active(store);
    uint32_t crc = WAY(alone_encode)(store, active, given, 0, key, value);
    (void)log_count_plain(store, active, given, false, key.size, crc);
    segment_add_live_appended(active, size);
    struct keydir_place place = alone_append(store, active, given, size);
    if (LIKELY(!reserved)) {
        keydir_direct_insert(store->keydir, &spot, place);
    } else {
        keydir_insert(store->keydir, probe->hash, place);
        epoch_poll_many(&store->epoch, KEYDIR_RETIRED_MANY);
    }
    log_add(&store->counters.puts, 1);
    alone_end(store, active, mode);
    *version = given;
    return true;
}

/* Holding write_mutex, inside an epoch. False: nothing has been done. */
WAY_TARGET STEP bool WAY(alone_put)(struct store *store, uint64_t hash, slice key, slice value,
                                    const bitcask_write_options *options, uint64_t *version)
{
    struct keydir_probe probe;
    if (UNLIKELY(!alone_aim(store->keydir, hash, &probe)))
        return false;
    probe.matches = WAY_MATCHES(probe.home, probe.other, probe.want);
    if (probe.matches != 0)
        return WAY(alone_overwrite)(store, &probe, key, value, options, version);
    return WAY(alone_insert)(store, &probe, key, value, options, version);
}

/* Likewise. *version 0: there is nothing to delete. */
WAY_TARGET STEP bool WAY(alone_delete)(struct store *store, uint64_t hash, slice key,
                                       const bitcask_write_options *options, uint64_t *version)
{
    struct keydir *keydir = store->keydir;
    struct keydir_probe probe;
    struct alone_present old;
    uint64_t size = record_size(0, key.size, 0), given;
    if (UNLIKELY(!alone_aim(keydir, hash, &probe)))
        return false;
    PREFETCH((uintptr_t)probe.shard); /* for what it counts */
    probe.matches = WAY_MATCHES(probe.home, probe.other, probe.want);
    bool there = probe.matches != 0;
    if (there && UNLIKELY(!alone_find(store, &probe, key.size, &old)))
        return false;
    bitcask_sync mode = alone_mode(store, options);
    if (UNLIKELY(mode == BITCASK_SYNC_ALWAYS) ||
        UNLIKELY(!alone_is_simple(store, size, false, &given)))
        return false;
    if (!there) {
        *version = 0;
        WAY_LEAVE();
        return true;
    }
    struct segment *active = log_active(store);
    uint32_t crc =
        WAY(alone_encode)(store, active, given, RECORD_TOMBSTONE, key, slice_of(NULL, 0));
    uint64_t before = log_count_plain(store, active, given, true, key.size, crc);
    if (UNLIKELY(!alone_prove(&old, key)))
        return alone_take_back(store, before, true, key.size, size);

    struct keydir_place place = alone_append(store, active, given, size);
    if (LIKELY(!keydir_has_movers(keydir))) {
        keydir_direct_remove_alone(keydir, &old.spot);
        segment_drop_live_alone(old.segment, old.size);
    } else {
        struct alone_present moved = old;
        alone_change_beside_movers(store, WRITE_DELETE, hash, key, given, place, &moved);
    }
    log_add(&store->counters.deletes, 1);
    alone_end(store, active, mode);
    *version = given;
    return true;
}

/* A put or a delete of a key as it should be. True: it is done, with *version; of a delete 0 if the
 * key is not there. False: nothing has been done, it is to go by way of a group; so it is where
 * more is asked than that it is done, or something is wrong with what is given.
 *
 * The owner of write_mutex has a short way in; who is not goes by alone_put_by_mutex. */
WAY_TARGET STEP bool WAY(alone_do_put)(struct store *store, slice key, slice value,
                                       const bitcask_write_options *options, uint64_t *version)
{
    uint64_t hash = hash_key_inline(&store->secret, key);
    struct epoch_guard guard;
    if (UNLIKELY(!alone_come_in(store, &guard)))
        return alone_put_by_mutex(store, key, value, options, version);
    bool done = WAY(alone_put)(store, hash, key, value, options, version);
    alone_go_out(guard);
    if (LIKELY(done))
        background_after_write(store);
    return done;
}

WAY_TARGET STEP bool WAY(alone_do_delete)(struct store *store, slice key,
                                          const bitcask_write_options *options, uint64_t *version)
{
    uint64_t hash = hash_key_inline(&store->secret, key);
    struct epoch_guard guard;
    if (UNLIKELY(!alone_come_in(store, &guard)))
        return alone_delete_by_mutex(store, key, options, version);
    bool done = WAY(alone_delete)(store, hash, key, options, version);
    alone_go_out(guard);
    if (LIKELY(done))
        background_after_write(store);
    return done;
}
