/* SPDX-License-Identifier: MIT
 * keydir.c: the operations of the keydir; the look-up itself is inline in keydir.h.
 *
 * Lock order: `mutex` is innermost. It guards the directory and the structure of every shard
 * against keydir_move; the writer, being the only one to change them, reads both without it. */
#include "engine/keydir.h"

#include <stdlib.h>
#include <string.h>

#include "base/planted.h"
#include "engine/keydir_internal.h"

enum { SCAN_TRIES = 8 };

/* ---- Life ---- */

bitcask_status keydir_new(struct os *os, struct epoch *epoch, const struct keydir_options *options,
                          struct keydir **keydir, bitcask_error *error)
{
    CHECK(options->hash_of != NULL && options->max_buckets <= KEYDIR_BUCKETS_MAX);
    *keydir = NULL;
    struct keydir *new = os->alloc(os, sizeof *new, 64);
    if (new == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "no memory for the index");
    memset(new, 0, sizeof *new);
    new->os = os;
    new->epoch = epoch;
    new->options = *options;
    if (new->options.max_buckets == 0)
        new->options.max_buckets = KEYDIR_BUCKETS_MAX;
    new->pool = keydir_pool_new(os, KEYDIR_PLAIN_MAX);
    if (new->pool == NULL) {
        os->free(os, new, sizeof *new);
        return error_set(error, BITCASK_NO_MEMORY, "no memory for the index");
    }
    CHECK(pthread_mutex_init(&new->mutex, NULL) == 0);
    CHECK(pthread_mutex_init(&new->fetch_mutex, NULL) == 0);

    /* Without an estimate, one full-sized shard: small ones would cost more as the store grows. */
    double one_shard = KEYDIR_LOAD_OPEN * KEYDIR_BUCKET_SLOTS * new->options.max_buckets;
    uint64_t keys = options->expected_keys ? options->expected_keys : (uint64_t)one_shard;
    bitcask_status status = keydir_load_begin(new, keys, error);
    if (status == BITCASK_OK)
        status = keydir_load_end(new, error);
    if (status != BITCASK_OK) {
        keydir_free(new);
        return status;
    }
    *keydir = new;
    return BITCASK_OK;
}

void keydir_free(struct keydir *keydir)
{
    if (keydir == NULL)
        return;
    keydir_free_shards(keydir);
    keydir_steps_free(keydir);
    keydir_pool_drop(keydir->pool);
    pthread_mutex_destroy(&keydir->mutex);
    pthread_mutex_destroy(&keydir->fetch_mutex);
    struct os *os = keydir->os;
    os->free(os, keydir, sizeof *keydir);
}

bool keydir_has(const struct keydir *keydir, uint64_t hash, struct keydir_place place)
{
    struct keydir_probe probe;
    struct keydir_place found;
    keydir_probe_start(keydir, hash, &probe);
    while (keydir_probe_next(&probe, &found)) {
        if (found.segment_slot == place.segment_slot && found.offset == place.offset)
            return true;
    }
    CHECK(probe.status == BITCASK_OK); /* "no" would let a merge drop a live record */
    return false;
}

uint64_t keydir_count(const struct keydir *keydir)
{
    return atomic_load_explicit(&keydir->count, memory_order_relaxed);
}

uint64_t keydir_bytes(const struct keydir *keydir)
{
    return atomic_load_explicit(&keydir->bytes, memory_order_relaxed);
}

/* ---- Readers ---- */

bool keydir_probe_stash(struct keydir_probe *probe, struct keydir_place *place)
{
    if (UNLIKELY(shard_is_absent(probe->shard)))
        return keydir_probe_absent(probe, place);
    const struct keydir_stash *stash = shard_stash(probe->shard);
    uint32_t end = stash ? atomic_load_explicit(&stash->end, memory_order_acquire) : 0;
    while (probe->position < end) {
        const struct keydir_stash_entry *entry = &stash->entries[probe->position++];
        uint64_t word = load_slot(&entry->word);
        uint64_t hash = load_slot(&entry->hash);
        if ((hash == probe->hash || stash_word_is_wild(word)) && keydir_word_place(word, place))
            return true;
    }
    return false;
}

/* Behind the first `before` ones. */
static void copy_places(const struct keydir_shard *shard, const struct keydir_stash *stash,
                        struct keydir_places *places, size_t before)
{
    struct keydir_place *to = places->items + before;
    for (uint32_t i = 0; i < shard_slots(shard); i++)
        to += keydir_word_place(load_slot(&shard->slots[i]), to);
    uint32_t end = stash ? atomic_load_explicit(&stash->end, memory_order_acquire) : 0;
    for (uint32_t i = 0; i < end; i++)
        to += keydir_word_place(load_slot(&stash->entries[i].word), to);
    places->count = (size_t)(to - places->items);
}

static bool grow_places(struct keydir_places *places, size_t most)
{
    if (places->capacity >= most)
        return true;
    size_t capacity = places->count == 0 ? most : most + most / 2;
    struct keydir_place *items = realloc(places->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    places->items = items;
    places->capacity = capacity;
    return true;
}

bitcask_status keydir_scan(struct keydir *keydir, uint64_t cursor, struct keydir_places *places,
                           uint64_t *next)
{
    places->count = 0;
    return keydir_scan_more(keydir, cursor, places, next);
}

bitcask_status keydir_scan_more(struct keydir *keydir, uint64_t cursor,
                                struct keydir_places *places, uint64_t *next)
{
    size_t had = places->count;
    /* If the shard is split meanwhile, it stays as it was in the instant of the split. */
    struct keydir_shard *shard = shard_of(keydir, cursor);
    if (UNLIKELY(shard_is_absent(shard))) {
        bitcask_status fetched = keydir_fetch(keydir, cursor);
        if (fetched != BITCASK_OK)
            return fetched;
        shard = shard_of(keydir, cursor);
    }
    *next = hash_behind(cursor, shard->depth);
    for (int try = 0;; try++) {
        bool locked = try >= SCAN_TRIES;
        if (locked)
            pthread_mutex_lock(&keydir->mutex);
        uint32_t before = atomic_load_explicit(&shard->sequence, memory_order_acquire);
        const struct keydir_stash *stash = shard_stash(shard);
        /* One more than there can be: copy_places writes before it knows whether to keep. */
        size_t most = had + shard_slots(shard) + (stash ? stash->capacity : 0) + 1;
        bitcask_status status = grow_places(places, most) ? BITCASK_OK : BITCASK_NO_MEMORY;
        if (status == BITCASK_OK)
            copy_places(shard, stash, places, had);
        uint32_t after = atomic_load_explicit(&shard->sequence, memory_order_relaxed);
        if (locked)
            pthread_mutex_unlock(&keydir->mutex);
        if (status != BITCASK_OK || locked || PLANTED(scan_unsequenced) ||
            (before == after && before % 2 == 0))
            return status;
    }
}

/* ---- The writer ---- */

void keydir_change_begin(struct keydir *keydir, struct keydir_shard *shard)
{
    pthread_mutex_lock(&keydir->mutex);
    counter_add(&shard->sequence, 1); /* released by the store to a slot that follows */
}

void keydir_change_end(struct keydir *keydir, struct keydir_shard *shard)
{
    atomic_store_explicit(&shard->sequence, counter_load(&shard->sequence) + 1,
                          memory_order_release);
    shard->removed = false;
    pthread_mutex_unlock(&keydir->mutex);
}

static bool reserve_in_buckets(struct keydir *keydir, struct keydir_shard *shard, uint64_t hash)
{
    struct keydir_room room;
    if (!shard_find_room(shard, hash, &room))
        return false;
    if (room.length > 1)
        keydir_change_begin(keydir, shard);
    shard_fill_room(shard, &room, hash, payload_of_reservation(hash));
    if (room.length > 1)
        keydir_change_end(keydir, shard);
    return true;
}

bitcask_status keydir_reserve(struct keydir *keydir, uint64_t hash, bitcask_error *error)
{
    if (UNLIKELY(keydir->splitting != NULL))
        keydir_split_step(keydir);
    for (;;) {
        struct keydir_shard *shard = writer_shard_of(keydir, hash);
        bool full =
            shard_entries(shard) >= keydir->split_at && !keydir_split_later(keydir, shard, hash);
        if (!full && reserve_in_buckets(keydir, shard, hash))
            return BITCASK_OK;
        if (UNLIKELY(keydir_is_at_limit(keydir, shard, shard_size(shard->bucket_count)))) {
            if (keydir->splitting != NULL) { /* it holds what it will give back */
                (void)keydir_split_finish(keydir);
                continue;
            }
            return reserve_in_buckets(keydir, shard, hash)
                       ? BITCASK_OK
                       : error_set(error, BITCASK_LIMIT,
                                   "the index has %llu of max-index-bytes %llu: delete something, "
                                   "or raise the limit",
                                   (unsigned long long)keydir_bytes(keydir),
                                   (unsigned long long)keydir->options.max_bytes);
        }
        if (keydir_split(keydir, hash))
            continue;
        if (full && reserve_in_buckets(keydir, shard, hash))
            return BITCASK_OK;
        if (!keydir_stash_reserve(keydir, hash))
            return error_set(error, BITCASK_NO_MEMORY, "no memory for the index");
        struct keydir_stash *stash = shard_stash(shard);
        stash_put(stash, stash_free_entry(stash), hash, payload_of_reservation(hash));
        return BITCASK_OK;
    }
}

/* The slot in the buckets of `hash` that holds just this payload, or NULL. *word: what it holds. */
static _Atomic uint64_t *find_in_buckets(struct keydir_shard *shard, uint64_t hash,
                                         uint64_t payload, uint64_t *word)
{
    uint64_t tag = keydir_tag(hash, shard->tag_depth);
    uint32_t home = keydir_home(hash, shard->bucket_count);
    *word = tag << KEYDIR_TAG_SHIFT | payload;
    _Atomic uint64_t *slot = bucket_find(&shard->slots[home * KEYDIR_BUCKET_SLOTS], *word);
    if (slot != NULL)
        return slot;
    uint32_t other = keydir_other(tag, home, shard->bucket_count);
    *word |= KEYDIR_ALTERNATE;
    return bucket_find(&shard->slots[other * KEYDIR_BUCKET_SLOTS], *word);
}

/* Reservations that agree in all that a slot keeps of them (the home bucket and the top 48 bits)
 * are as good as each other. */
static bool same_reservation(const struct keydir_shard *shard, uint64_t a, uint64_t b)
{
    return (a ^ b) >> 16 == 0 &&
           keydir_home(a, shard->bucket_count) == keydir_home(b, shard->bucket_count);
}

static struct keydir_stash_entry *find_reservation_in_stash(struct keydir_shard *shard,
                                                            uint64_t hash)
{
    struct keydir_stash *stash = shard_stash(shard);
    uint32_t end = stash ? counter_load(&stash->end) : 0;
    for (uint32_t i = 0; i < end; i++)
        if (word_is_reservation(load_slot(&stash->entries[i].word)) &&
            same_reservation(shard, load_slot(&stash->entries[i].hash), hash))
            return &stash->entries[i];
    return NULL;
}

void keydir_insert(struct keydir *keydir, uint64_t hash, struct keydir_place place)
{
    struct keydir_shard *shard = writer_shard_of(keydir, hash);
    uint64_t word, payload = payload_of_place(place);
    struct keydir_stash_entry *entry = NULL;
    _Atomic uint64_t *slot = find_in_buckets(shard, hash, payload_of_reservation(hash), &word);
    if (slot != NULL) {
        payload |= word & ~KEYDIR_PAYLOAD_MASK;
    } else {
        entry = find_reservation_in_stash(shard, hash);
        CHECK(entry != NULL); /* there was no keydir_reserve */
        atomic_store_explicit(&entry->hash, hash, memory_order_release);
        slot = &entry->word;
    }
    /* A scan that has met a removed key must not meet it again where it is inserted anew. */
    bool after_removal = shard->removed;
    if (after_removal)
        keydir_change_begin(keydir, shard);
    store_slot(slot, payload);
    if (after_removal)
        keydir_change_end(keydir, shard);
    keydir_add_count(keydir, 1);
}

void keydir_unreserve(struct keydir *keydir, uint64_t hash)
{
    struct keydir_shard *shard = writer_shard_of(keydir, hash);
    uint64_t word;
    _Atomic uint64_t *slot = find_in_buckets(shard, hash, payload_of_reservation(hash), &word);
    if (slot != NULL) {
        store_slot(slot, 0);
        counter_add(&shard->used, -1);
        return;
    }
    struct keydir_stash_entry *entry = find_reservation_in_stash(shard, hash);
    CHECK(entry != NULL);
    store_slot(&entry->word, 0);
    counter_add(&shard_stash(shard)->used, -1);
}

/* The entry of the stash that points at this place, for this hash or for one not known. */
static _Atomic uint64_t *find_in_stash(struct keydir_shard *shard, uint64_t hash, uint64_t payload,
                                       uint64_t *word)
{
    struct keydir_stash *stash = shard_stash(shard);
    uint32_t end = stash ? atomic_load_explicit(&stash->end, memory_order_acquire) : 0;
    for (uint32_t i = 0; i < end; i++) {
        struct keydir_stash_entry *entry = &stash->entries[i];
        *word = load_slot(&entry->word);
        if ((*word & KEYDIR_PAYLOAD_MASK) == payload &&
            (stash_word_is_wild(*word) || load_slot(&entry->hash) == hash))
            return &entry->word;
    }
    return NULL;
}

/* Change the entry with this hash and payload to another payload, or to nothing (0). *stashed: it
 * lies in the stash. */
static bool change(struct keydir_shard *shard, uint64_t hash, uint64_t from, uint64_t to,
                   bool *stashed)
{
    uint64_t word;
    _Atomic uint64_t *slot = find_in_buckets(shard, hash, from, &word);
    *stashed = slot == NULL;
    if (slot == NULL)
        slot = find_in_stash(shard, hash, from, &word);
    if (slot == NULL)
        return false;
    uint64_t new = to != 0 ? (word & ~KEYDIR_PAYLOAD_MASK) | to : 0;
    return atomic_compare_exchange_strong_explicit(slot, &word, new, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

bool keydir_replace(struct keydir *keydir, uint64_t hash, struct keydir_place from,
                    struct keydir_place to)
{
    bool stashed;
    return change(writer_shard_of(keydir, hash), hash, payload_of_place(from), payload_of_place(to),
                  &stashed);
}

bool keydir_remove(struct keydir *keydir, uint64_t hash, struct keydir_place from)
{
    struct keydir_shard *shard = writer_shard_of(keydir, hash);
    bool stashed;
    if (!change(shard, hash, payload_of_place(from), 0, &stashed))
        return false;
    counter_add(stashed ? &shard_stash(shard)->used : &shard->used, -1);
    shard->removed = true;
    keydir_add_count(keydir, -1);
    return true;
}

/* ---- Merge ---- */

bool keydir_move(struct keydir *keydir, uint64_t hash, struct keydir_place from,
                 struct keydir_place to)
{
    bool stashed;
    CHECK(keydir_has_movers(keydir));
    if (!PLANTED(move_unlocked))
        pthread_mutex_lock(&keydir->mutex);
    bool changed = change(writer_shard_of(keydir, hash), hash, payload_of_place(from),
                          payload_of_place(to), &stashed);
    if (!PLANTED(move_unlocked))
        pthread_mutex_unlock(&keydir->mutex);
    return changed;
}

/* ---- Shape ---- */

static void add_shape(const struct keydir_shard *shard, struct keydir_shape *shape, uint64_t *used)
{
    const struct keydir_stash *stash = shard_stash(shard);
    shape->stashed += stash ? counter_load(&stash->used) : 0;
    *used += shard_entries(shard);
    if (shard_tag_bits(shard) < shape->tag_bits_min)
        shape->tag_bits_min = shard_tag_bits(shard);
}

static void add_absent_shape(const struct keydir_source_shard *absent, struct keydir_shape *shape,
                             uint64_t *used)
{
    uint32_t tag_bits = KEYDIR_TAG_BITS - (absent->depth - absent->tag_depth);
    shape->absent++;
    shape->stashed += absent->stash;
    *used += absent->entries;
    if (tag_bits < shape->tag_bits_min)
        shape->tag_bits_min = tag_bits;
}

void keydir_get_shape(const struct keydir *constant, struct keydir_shape *shape)
{
    struct keydir *keydir = (struct keydir *)(uintptr_t)constant; /* for its locks */
    pthread_mutex_lock(&keydir->fetch_mutex);
    pthread_mutex_lock(&keydir->mutex);
    *shape = (struct keydir_shape){
        .buckets_per_shard = keydir->bucket_count,
        .directory_depth = directory_of(keydir)->depth,
        .tag_bits_min = KEYDIR_TAG_BITS,
    };
    uint64_t used = 0, hash = 0;
    do {
        const struct keydir_shard *shard = shard_of(keydir, hash);
        struct keydir_source_shard absent;
        hash = keydir_range_behind(keydir, shard, hash, &absent);
        shape->shards++;
        if (shard_is_absent(shard))
            add_absent_shape(&absent, shape, &used);
        else
            add_shape(shard, shape, &used);
    } while (hash != UINT64_MAX);
    pthread_mutex_unlock(&keydir->mutex);
    pthread_mutex_unlock(&keydir->fetch_mutex);
    uint64_t slots = (uint64_t)shape->shards * shape->buckets_per_shard * KEYDIR_BUCKET_SLOTS;
    shape->load = (double)used / (double)slots;
}
