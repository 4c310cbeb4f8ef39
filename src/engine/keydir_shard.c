/* SPDX-License-Identifier: MIT
 * keydir_shard.c: one shard of the keydir and its stash. */
#include <string.h>

#include "engine/keydir_internal.h"

_Static_assert(sizeof(struct keydir_shard) == 64, "the header of a shard is one line");
_Static_assert(offsetof(struct keydir_shard, slots) == 64, "buckets are cache lines");

/* ---- Memory ---- */

size_t shard_size(uint32_t bucket_count)
{
    return sizeof(struct keydir_shard) + (size_t)bucket_count * 64;
}

static size_t stash_size(uint32_t capacity)
{
    return sizeof(struct keydir_stash) + (size_t)capacity * sizeof(struct keydir_stash_entry);
}

struct keydir_stash *stash_new(struct keydir *keydir, uint32_t capacity)
{
    size_t size = stash_size(capacity);
    struct keydir_stash *stash = keydir->os->alloc(keydir->os, size, 16);
    if (stash == NULL)
        return NULL;
    memset(stash, 0, size);
    stash->capacity = capacity;
    keydir_add_bytes(keydir, size);
    return stash;
}

void stash_free(struct keydir *keydir, struct keydir_stash *stash)
{
    if (stash == NULL)
        return;
    size_t size = stash_size(stash->capacity);
    keydir_sub_bytes(keydir, size);
    keydir->os->free(keydir->os, stash, size);
}

static void release_stash(struct epoch_item *item, void *context)
{
    struct os *os = context;
    struct keydir_stash *stash = (struct keydir_stash *)item; /* its first member */
    os->free(os, stash, stash_size(stash->capacity));
}

void stash_retire(struct keydir *keydir, struct keydir_stash *stash)
{
    if (stash == NULL)
        return;
    keydir_sub_bytes(keydir, stash_size(stash->capacity));
    stash->retired.release = release_stash;
    stash->retired.context = keydir->os;
    epoch_retire(keydir->epoch, &stash->retired);
}

struct keydir_shard *shard_new_raw(struct keydir *keydir, uint32_t depth, uint32_t tag_depth)
{
    CHECK(tag_depth <= depth && depth <= KEYDIR_DEPTH_MAX);
    size_t size = shard_size(keydir->bucket_count);
    struct keydir_slab *slab;
    struct keydir_shard *shard = keydir_pool_take(keydir->pool, size, &slab);
    if (shard == NULL)
        return NULL;
    memset(shard, 0, sizeof *shard);
    shard->slab = slab;
    shard->bucket_count = keydir->bucket_count;
    shard->depth = (uint8_t)depth;
    shard->tag_depth = (uint8_t)tag_depth;
    keydir_add_bytes(keydir, size);
    return shard;
}

struct keydir_shard *shard_new(struct keydir *keydir, uint32_t depth, uint32_t tag_depth,
                               uint32_t stash_capacity)
{
    struct keydir_shard *shard = shard_new_raw(keydir, depth, tag_depth);
    if (shard == NULL)
        return NULL;
    memset(shard->slots, 0, shard_slots(shard) * sizeof(uint64_t));
    if (stash_capacity > 0) {
        struct keydir_stash *stash = stash_new(keydir, stash_capacity);
        if (stash == NULL) {
            shard_free(keydir, shard);
            return NULL;
        }
        atomic_store_explicit(&shard->stash, stash, memory_order_relaxed);
    }
    return shard;
}

void shard_free(struct keydir *keydir, struct keydir_shard *shard)
{
    if (shard == NULL)
        return;
    stash_free(keydir, shard_stash(shard));
    size_t size = shard_size(shard->bucket_count);
    keydir_sub_bytes(keydir, size);
    keydir_pool_give(keydir->pool, shard, size, shard->slab);
}

static void release_shard(struct epoch_item *item, void *context)
{
    struct keydir_shard *shard = (struct keydir_shard *)item; /* its first member */
    keydir_pool_give(context, shard, shard_size(shard->bucket_count), shard->slab);
}

void shard_retire(struct keydir *keydir, struct keydir_shard *shard)
{
    stash_retire(keydir, shard_stash(shard));
    keydir_sub_bytes(keydir, shard_size(shard->bucket_count));
    shard->retired.release = release_shard;
    shard->retired.context = keydir->pool;
    epoch_retire(keydir->epoch, &shard->retired);
}

/* ---- Buckets ---- */

static const _Atomic uint64_t *bucket_at(const struct keydir_shard *shard, uint32_t bucket)
{
    return &shard->slots[bucket * KEYDIR_BUCKET_SLOTS];
}

static uint32_t slot_number(const struct keydir_shard *shard, const _Atomic uint64_t *slot)
{
    return (uint32_t)(slot - shard->slots);
}

/* A chain of three moves never meets a slot twice: the second time would be the last, and its entry
 * would go to a bucket already found full. */
_Static_assert(KEYDIR_CHAIN_MAX <= 4, "longer chains must look out for repeated slots");

/* Find a chain of up to `moves` moves that frees a slot of `bucket`: each slot of the chain holds
 * an entry that may go to the bucket of the next one, and the last is free. False if there is none.
 */
static bool find_chain(const struct keydir_shard *shard, uint32_t bucket, unsigned moves,
                       struct keydir_room *room)
{
    CHECK(room->length < KEYDIR_CHAIN_MAX - 1);
    const _Atomic uint64_t *slots = bucket_at(shard, bucket);
    for (uint32_t i = 0; i < KEYDIR_BUCKET_SLOTS; i++) {
        uint64_t word = load_slot(&slots[i]);
        if ((word & KEYDIR_ALTERNATE) != 0 && shard->live)
            continue; /* readers would miss it on its way back */
        uint32_t other = keydir_other(word_tag(word), bucket, shard->bucket_count);
        if (other == bucket)
            continue; /* it has but this one */
        room->chain[room->length++] = bucket * KEYDIR_BUCKET_SLOTS + i;
        const _Atomic uint64_t *free = bucket_find(bucket_at(shard, other), 0);
        if (free != NULL) {
            room->chain[room->length++] = slot_number(shard, free);
            return true;
        }
        if (moves > 1 && find_chain(shard, other, moves - 1, room))
            return true;
        room->length--;
    }
    return false;
}

bool shard_find_room(const struct keydir_shard *shard, uint64_t hash, struct keydir_room *room)
{
    uint32_t home = keydir_home(hash, shard->bucket_count);
    uint32_t other = keydir_other(keydir_tag(hash, shard->tag_depth), home, shard->bucket_count);
    uint32_t buckets[2] = {home, other};
    unsigned choices = other != home ? 2 : 1;

    for (unsigned i = 0; i < choices; i++) {
        const _Atomic uint64_t *free = bucket_find(bucket_at(shard, buckets[i]), 0);
        if (free != NULL) {
            room->chain[0] = slot_number(shard, free);
            room->length = 1;
            room->alternate = i == 1 ? KEYDIR_ALTERNATE : 0;
            return true;
        }
    }
    /* All short chains before any long one: each step looks at eight times as many buckets. */
    for (unsigned moves = 1; moves < KEYDIR_CHAIN_MAX; moves++) {
        for (unsigned i = 0; i < choices; i++) {
            room->length = 0;
            room->alternate = i == 1 ? KEYDIR_ALTERNATE : 0;
            if (find_chain(shard, buckets[i], moves, room))
                return true;
        }
    }
    return false;
}

void shard_fill_room(struct keydir_shard *shard, const struct keydir_room *room, uint64_t hash,
                     uint64_t payload)
{
    /* From the end, so that each entry is there before it is gone here: readers look here first. */
    for (unsigned i = room->length - 1; i > 0; i--)
        store_slot(&shard->slots[room->chain[i]],
                   load_slot(&shard->slots[room->chain[i - 1]]) ^ KEYDIR_ALTERNATE);
    uint64_t tag = keydir_tag(hash, shard->tag_depth);
    store_slot(&shard->slots[room->chain[0]], tag << KEYDIR_TAG_SHIFT | room->alternate | payload);
    counter_add(&shard->used, 1);
}

bool shard_put(struct keydir_shard *shard, uint64_t hash, uint64_t payload)
{
    struct keydir_room room;
    if (!shard_find_room(shard, hash, &room))
        return false;
    shard_fill_room(shard, &room, hash, payload);
    return true;
}

/* ---- Stash ---- */

struct keydir_stash_entry *stash_free_entry(struct keydir_stash *stash)
{
    if (stash == NULL)
        return NULL;
    uint32_t end = counter_load(&stash->end);
    if (counter_load(&stash->used) < end) /* there is a hole */
        for (uint32_t i = 0; i < end; i++)
            if (load_slot(&stash->entries[i].word) == 0)
                return &stash->entries[i];
    return end < stash->capacity ? &stash->entries[end] : NULL;
}

struct keydir_stash *stash_new_larger(struct keydir *keydir, const struct keydir_stash *old)
{
    CHECK(old == NULL || old->capacity <= UINT32_MAX / 2);
    return stash_new(keydir, old != NULL ? old->capacity * 2 : 4);
}

void stash_copy(struct keydir_stash *to, const struct keydir_stash *from)
{
    for (uint32_t i = 0; from != NULL && i < counter_load(&from->end); i++) {
        uint64_t word = load_slot(&from->entries[i].word);
        if (word != 0)
            stash_put(to, stash_free_entry(to), load_slot(&from->entries[i].hash), word);
    }
}

void stash_put(struct keydir_stash *stash, struct keydir_stash_entry *entry, uint64_t hash,
               uint64_t word)
{
    CHECK(entry != NULL && load_slot(&entry->word) == 0);
    atomic_store_explicit(&entry->hash, hash, memory_order_release);
    store_slot(&entry->word, word);
    counter_add(&stash->used, 1);
    uint32_t index = (uint32_t)(entry - stash->entries);
    if (index == counter_load(&stash->end))
        atomic_store_explicit(&stash->end, index + 1, memory_order_release);
}
