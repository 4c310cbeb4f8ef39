/* SPDX-License-Identifier: MIT
 * keydir_load.c: laying the keydir out at open and filling it shard by shard. */
#include "engine/keydir_internal.h"

void keydir_free_shards(struct keydir *keydir)
{
    struct keydir_directory *directory = directory_of(keydir);
    if (directory == NULL)
        return;
    if (keydir->splitting != NULL)
        keydir_split_abandon(keydir);
    uint64_t hash = 0;
    struct keydir_source_shard absent;
    do { /* after a load that failed, some may be missing */
        struct keydir_shard *shard = shard_of(keydir, hash);
        if (shard == NULL) {
            hash = hash_behind(hash, directory->depth);
            continue;
        }
        hash = keydir_range_behind(keydir, shard, hash, &absent);
        if (!shard_is_absent(shard))
            shard_free(keydir, shard);
    } while (hash != UINT64_MAX);
    directory_free(keydir, directory);
    keydir_detach(keydir);
}

bitcask_status keydir_load_begin(struct keydir *keydir, uint64_t keys, bitcask_error *error)
{
    CHECK(keydir_count(keydir) == 0);
    if (keys < keydir->options.expected_keys)
        keys = keydir->options.expected_keys;
    uint32_t most = keydir->options.max_buckets;
    double per_bucket = KEYDIR_BUCKET_SLOTS * KEYDIR_LOAD_OPEN;
    double buckets = (double)keys / per_bucket;
    uint32_t depth = 0;
    while (buckets > most && depth < KEYDIR_DEPTH_MAX) {
        buckets /= 2;
        depth++;
    }
    struct keydir_directory *directory = directory_new(keydir, depth);
    if (directory == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "no memory for the index");
    keydir_free_shards(keydir);
    atomic_store_explicit(&keydir->directory, directory, memory_order_release);
    atomic_store_explicit(&keydir->shards, 1u << depth, memory_order_relaxed);

    /* Not below half the maximum: a shard's header and directory entry would weigh too much when
     * the store grows. */
    uint32_t bucket_count = (uint32_t)buckets + 1;
    if (bucket_count > most)
        bucket_count = most;
    if (bucket_count < most / 2)
        bucket_count = most / 2;
    keydir_lay_out(keydir, bucket_count);
    keydir_pool_expect(keydir->pool, shard_size(bucket_count) << depth);
    return BITCASK_OK;
}

void keydir_lay_out(struct keydir *keydir, uint32_t bucket_count)
{
    keydir->bucket_count = bucket_count;
    keydir->split_at = (uint32_t)(bucket_count * KEYDIR_BUCKET_SLOTS * KEYDIR_LOAD_SPLIT);
    atomic_store_explicit(&keydir->short_tags, 0, memory_order_relaxed);
    keydir->retag_cursor = 0;
}

uint32_t keydir_load_shards(const struct keydir *keydir)
{
    return 1u << directory_of(keydir)->depth;
}

static bool put_or_stash(struct keydir *keydir, struct keydir_shard *shard, uint64_t hash,
                         uint64_t payload)
{
    if (shard_put(shard, hash, payload))
        return true;
    struct keydir_stash *old = shard_stash(shard);
    struct keydir_stash *stash = old;
    if (stash_free_entry(old) == NULL) {
        stash = stash_new_larger(keydir, old);
        if (stash == NULL)
            return false;
        stash_copy(stash, old);
        atomic_store_explicit(&shard->stash, stash, memory_order_relaxed);
        stash_free(keydir, old);
    }
    stash_put(stash, stash_free_entry(stash), hash, payload);
    return true;
}

/* What is to be split is best left in the stash, where its hashes are whole. */
static void stash_all(struct keydir_shard *shard, const struct keydir_load_entry *entries,
                      size_t count)
{
    struct keydir_stash *stash = shard_stash(shard);
    for (size_t i = 0; i < count; i++)
        stash_put(stash, &stash->entries[i], entries[i].hash, payload_of_place(entries[i].place));
}

/* First all that find room in their home buckets; only then is it known which alternates have any.
 * One by one, alternates would take the room of those that come later and be moved again. */
static bool put_all(struct keydir *keydir, struct keydir_shard *shard,
                    const struct keydir_load_entry *entries, size_t count)
{
    uint8_t filled[KEYDIR_BUCKETS_MAX] = {0};
    uint16_t late[KEYDIR_BUCKETS_MAX * KEYDIR_BUCKET_SLOTS];
    size_t late_count = 0;
    CHECK(count <= shard_slots(shard) && shard->bucket_count <= KEYDIR_BUCKETS_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = entries[i].hash;
        uint32_t home = keydir_home(hash, shard->bucket_count);
        late[late_count] = (uint16_t)i;
        late_count += filled[home] == KEYDIR_BUCKET_SLOTS;
        if (filled[home] == KEYDIR_BUCKET_SLOTS)
            continue;
        uint64_t tag = keydir_tag(hash, shard->tag_depth);
        store_slot(&shard->slots[home * KEYDIR_BUCKET_SLOTS + filled[home]++],
                   tag << KEYDIR_TAG_SHIFT | payload_of_place(entries[i].place));
    }
    counter_add(&shard->used, (int)(count - late_count));
    bool enough = true;
    for (size_t i = 0; i < late_count && enough; i++) {
        const struct keydir_load_entry *entry = &entries[late[i]];
        enough = put_or_stash(keydir, shard, entry->hash, payload_of_place(entry->place));
    }
    return enough;
}

struct keydir_shard *keydir_shard_from(struct keydir *keydir, uint32_t depth,
                                       const struct keydir_load_entry *entries, size_t count)
{
    bool too_full = count > keydir->split_at;
    struct keydir_shard *shard = shard_new(keydir, depth, depth, too_full ? (uint32_t)count : 0);
    if (shard == NULL)
        return NULL;
    if (too_full)
        stash_all(shard, entries, count);
    else if (!put_all(keydir, shard, entries, count)) {
        shard_free(keydir, shard);
        return NULL;
    }
    return shard;
}

bitcask_status keydir_load_shard(struct keydir *keydir, uint32_t shard_index,
                                 const struct keydir_load_entry *entries, size_t count,
                                 bitcask_error *error)
{
    struct keydir_directory *directory = directory_of(keydir);
    CHECK(shard_index < keydir_load_shards(keydir) && count <= UINT32_MAX / 2);
    CHECK(directory->entries[shard_index] == 0);
    for (size_t i = 0; i < count; i++)
        CHECK(entries[i].hash >> 1 >> (63 - directory->depth) == shard_index);
    struct keydir_shard *shard = keydir_shard_from(keydir, directory->depth, entries, count);
    if (shard == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "no memory for the index");
    shard->live = true;
    uint64_t first = directory->depth == 0 ? 0 : (uint64_t)shard_index << (64 - directory->depth);
    directory_set(directory, first, shard);
    atomic_fetch_add_explicit(&keydir->count, count, memory_order_relaxed);
    return BITCASK_OK;
}

/* A hash in the shard's stash, as the one that wants a place. */
static bool wants_split(const struct keydir_shard *shard, uint64_t *hash)
{
    const struct keydir_stash *stash = shard_stash(shard);
    if (stash == NULL || counter_load(&stash->used) == 0)
        return false;
    *hash = load_slot(&stash->entries[0].hash); /* nothing is removed while loading */
    return true;
}

bitcask_status keydir_load_end(struct keydir *keydir, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (uint32_t i = 0; i < keydir_load_shards(keydir) && status == BITCASK_OK; i++)
        if (directory_of(keydir)->entries[i] == 0)
            status = keydir_load_shard(keydir, i, NULL, 0, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t cursor = 0, hash;
    do {
        struct keydir_shard *shard = shard_of(keydir, cursor);
        if (wants_split(shard, &hash) && keydir_split(keydir, hash))
            continue; /* look at its lower half */
        cursor = hash_behind(cursor, shard->depth);
    } while (cursor != UINT64_MAX);
    return BITCASK_OK;
}
