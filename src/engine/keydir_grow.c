/* SPDX-License-Identifier: MIT
 * keydir_grow.c: how the keydir grows: splits, tagging anew, the directory, stashes.
 *
 * All of it is the writer's. New shards are built in private and shown by one store per directory
 * entry; what they replace goes to the epoch. `mutex` is held from the copying to the showing, so
 * that keydir_move changes either what is copied or what has been shown. Everything is allocated
 * before, so that a failure changes nothing. */
#include <string.h>

#include "base/planted.h"
#include "engine/keydir_direct.h"
#include "engine/keydir_internal.h"

/* ---- Directory ---- */

static size_t directory_size(uint32_t depth)
{
    return sizeof(struct keydir_directory) + (sizeof(uint64_t) << depth);
}

struct keydir_directory *directory_new(struct keydir *keydir, uint32_t depth)
{
    CHECK(depth <= KEYDIR_DEPTH_MAX);
    size_t size = directory_size(depth);
    struct keydir_directory *directory = keydir->os->alloc(keydir->os, size, 64);
    if (directory == NULL)
        return NULL;
    memset(directory, 0, size);
    directory->depth = depth;
    keydir_add_bytes(keydir, size);
    return directory;
}

void directory_free(struct keydir *keydir, struct keydir_directory *directory)
{
    if (directory == NULL)
        return;
    size_t size = directory_size(directory->depth);
    keydir_sub_bytes(keydir, size);
    keydir->os->free(keydir->os, directory, size);
}

static void release_directory(struct epoch_item *item, void *context)
{
    struct os *os = context;
    struct keydir_directory *directory = (struct keydir_directory *)item; /* its first member */
    os->free(os, directory, directory_size(directory->depth));
}

static void directory_retire(struct keydir *keydir, struct keydir_directory *directory)
{
    keydir_sub_bytes(keydir, directory_size(directory->depth));
    directory->retired.release = release_directory;
    directory->retired.context = keydir->os;
    epoch_retire(keydir->epoch, &directory->retired);
}

void directory_set(struct keydir_directory *directory, uint64_t hash, struct keydir_shard *shard)
{
    uint32_t spare = directory->depth - shard->depth;
    uint64_t first = (hash >> 1 >> (63 - shard->depth)) << spare;
    uint64_t entry = (uint64_t)(uintptr_t)shard | shard->tag_depth |
                     (shard_stash(shard) != NULL ? KEYDIR_ENTRY_STASH : 0);
    for (uint64_t i = 0; i < UINT64_C(1) << spare; i++)
        atomic_store_explicit(&directory->entries[first + i], entry, memory_order_release);
}

/* ---- New shards in the place of one ---- */

static void children_free(struct keydir *keydir, struct keydir_children *children)
{
    shard_free(keydir, children->shard[0]);
    shard_free(keydir, children->shard[1]);
    directory_free(keydir, children->directory);
}

/* stash_capacity: for each child. */
static bool children_new(struct keydir *keydir, const struct keydir_shard *old, unsigned count,
                         uint32_t tag_depth, const uint32_t stash_capacity[2],
                         struct keydir_children *children)
{
    *children = (struct keydir_children){.count = count};
    uint32_t depth = old->depth + (count == 2);
    uint32_t directory_depth = directory_of(keydir)->depth;
    bool enough = true;
    for (unsigned i = 0; i < count && enough; i++) {
        children->shard[i] = shard_new(keydir, depth, tag_depth, stash_capacity[i]);
        enough = children->shard[i] != NULL;
    }
    if (enough && depth > directory_depth) {
        children->directory = directory_new(keydir, directory_depth + 1);
        enough = children->directory != NULL;
    }
    if (!enough)
        children_free(keydir, children);
    return enough;
}

static int wants_retag(const struct keydir_shard *shard)
{
    return shard_tag_bits(shard) <= KEYDIR_TAG_BITS_SHORT;
}

void keydir_publish(struct keydir *keydir, uint64_t hash, struct keydir_shard *old,
                    struct keydir_children *children)
{
    if (UNLIKELY(keydir->splitting == old))
        keydir_split_abandon(keydir);
    struct keydir_directory *directory = directory_of(keydir), *before = NULL;
    if (children->directory != NULL) {
        before = directory;
        directory = children->directory;
        for (uint64_t i = 0; i < UINT64_C(1) << directory->depth; i++)
            atomic_store_explicit(
                &directory->entries[i],
                atomic_load_explicit(&before->entries[i / 2], memory_order_relaxed),
                memory_order_relaxed);
    }
    uint64_t base = old->depth == 0 ? 0 : hash >> (64 - old->depth) << (64 - old->depth);
    int retags = -wants_retag(old);
    /* The upper half first: a scan that has met the lower half goes on at the upper one, and must
     * not find the old shard there, with the lower half in it once more. */
    for (unsigned i = children->count; i-- > 0;) {
        struct keydir_shard *child = children->shard[i];
        struct keydir_stash *stash = shard_stash(child);
        if (stash != NULL && counter_load(&stash->used) == 0) {
            atomic_store_explicit(&child->stash, NULL, memory_order_relaxed);
            stash_free(keydir, stash);
        }
        child->live = true;
        directory_set(directory, i == 0 ? base : base | UINT64_C(1) << (63 - old->depth), child);
        retags += wants_retag(child);
    }
    if (before != NULL) {
        atomic_store_explicit(&keydir->directory, directory, memory_order_release);
        directory_retire(keydir, before);
    }
    counter_add(&keydir->shards, (int)children->count - 1);
    counter_add(&keydir->short_tags, retags);
    shard_retire(keydir, old);
}

/* ---- Splitting by the bits of the tags ---- */

/* Bits set for its slots that hold alternates; without a branch, for none could be foretold. */
static uint32_t alternates_in(const _Atomic uint64_t *bucket)
{
    uint32_t found = 0;
    for (unsigned i = 0; i < KEYDIR_BUCKET_SLOTS; i++)
        found |= (uint32_t)(load_slot(&bucket[i]) >> KEYDIR_ALTERNATE_BIT & 1) << i;
    return found;
}

void shard_bring_home(struct keydir_shard *shard, uint32_t first, uint32_t end)
{
    for (uint32_t bucket = first; bucket < end; bucket++) {
        _Atomic uint64_t *from = &shard->slots[bucket * KEYDIR_BUCKET_SLOTS];
        for (uint32_t left = alternates_in(from); left != 0; left &= left - 1) {
            _Atomic uint64_t *slot = &from[__builtin_ctz(left)];
            uint64_t word = load_slot(slot);
            uint32_t home = keydir_other(word_tag(word), bucket, shard->bucket_count);
            _Atomic uint64_t *to = &shard->slots[home * KEYDIR_BUCKET_SLOTS];
            uint32_t empty = keydir_empty(to, to);
            if (empty == 0 || load_slot(&to[__builtin_ctz(empty)]) != 0)
                continue; /* a reservation may look empty */
            store_slot(&to[__builtin_ctz(empty)], word & ~KEYDIR_ALTERNATE);
            store_slot(slot, 0);
        }
    }
}

/* How many entries of its stash go to each half. */
static void count_stash_sides(const struct keydir_shard *shard, uint32_t counts[2])
{
    const struct keydir_stash *stash = shard_stash(shard);
    counts[0] = counts[1] = 0;
    for (uint32_t i = 0; stash != NULL && i < counter_load(&stash->end); i++)
        if (load_slot(&stash->entries[i].word) != 0)
            counts[hash_side(load_slot(&stash->entries[i].hash), shard->depth)]++;
}

/* Copy every slot to the same place of one of the halves; put what was in the stash in buckets. But
 * the stash of a half that must be split further stays as it is: its hashes are whole there, and
 * the tags in its buckets, if any, would only be used up. */
static void copy_halves(const struct keydir *keydir, const struct keydir_shard *old,
                        struct keydir_children *children)
{
    uint32_t used[2] = {0, 0};
    for (uint32_t i = 0; i < shard_slots(old); i++) { /* no branch: none could be foretold */
        uint64_t word = load_slot(&old->slots[i]);
        unsigned side = word_side(old, word);
        store_slot(&children->shard[side]->slots[i], word);
        used[side] += word != 0;
    }
    counter_add(&children->shard[0]->used, (int)used[0]);
    counter_add(&children->shard[1]->used, (int)used[1]);
    bool too_full[2];
    uint32_t stashed[2];
    count_stash_sides(old, stashed);
    for (unsigned side = 0; side < 2; side++) {
        shard_bring_home(children->shard[side], 0, old->bucket_count);
        too_full[side] =
            counter_load(&children->shard[side]->used) + stashed[side] > keydir->split_at;
    }
    const struct keydir_stash *stash = shard_stash(old);
    for (uint32_t i = 0; stash != NULL && i < counter_load(&stash->end); i++) {
        uint64_t word = load_slot(&stash->entries[i].word);
        uint64_t hash = load_slot(&stash->entries[i].hash);
        unsigned side = hash_side(hash, old->depth);
        struct keydir_shard *child = children->shard[side];
        if (word == 0 || PLANTED(stash_forgotten))
            continue;
        if (stash_word_is_wild(word) || too_full[side] || !shard_put(child, hash, word))
            stash_put(shard_stash(child), stash_free_entry(shard_stash(child)), hash, word);
    }
}

static bool split_by_tags(struct keydir *keydir, uint64_t hash, struct keydir_shard *old)
{
    /* With nothing in the buckets there are no tags to be used up. */
    bool fresh = counter_load(&old->used) == 0;
    uint32_t stash_capacity[2];
    struct keydir_children children;
    count_stash_sides(old, stash_capacity);
    if (!children_new(keydir, old, 2, fresh ? old->depth + 1u : old->tag_depth, stash_capacity,
                      &children))
        return false;
    pthread_mutex_lock(&keydir->mutex);
    copy_halves(keydir, old, &children);
    keydir_publish(keydir, hash, old, &children);
    pthread_mutex_unlock(&keydir->mutex);
    return true;
}

/* ---- Tagging anew from the records ---- */

/* What is known of the hash of an entry: all of it, or some high bits. */
struct known_hash {
    uint64_t hash;
    uint32_t bits; /* 64, or fewer */
};

/* The part of the hash that a slot of the shard that holds `hash` tells, by its tag and shard. */
static struct known_hash hash_of_word(const struct keydir_shard *shard, uint64_t hash,
                                      uint64_t word)
{
    uint32_t bits = shard->tag_depth + KEYDIR_TAG_BITS;
    uint64_t shard_bits =
        shard->depth == 0 ? 0 : hash >> (64 - shard->depth) << (64 - shard->depth);
    return (struct known_hash){shard_bits | word_tag(word) << (64 - bits), bits};
}

/* A hash that a reservation in bucket `home` may have been made for, and that is as good. */
static uint64_t hash_of_reservation(struct known_hash known, uint64_t word, uint32_t home,
                                    uint32_t bucket_count)
{
    uint64_t hash = known.hash | (word >> 1 & 0x7fffffff) << 16;
    return keydir_home(hash, bucket_count) == home ? hash : hash | 0xffff;
}

enum { SLOTS_AT_ONCE = 32 };

/* Ask for the hash of the record that a slot points at. A hash that contradicts what is known is
 * that of another key: not to be trusted either. */
static struct known_hash read_hash(struct keydir *keydir, const _Atomic uint64_t *slot,
                                   struct known_hash known)
{
    struct keydir_place place;
    uint64_t hash, word, again;
    bool trusted;
    do { /* a merge may move the record while it is being read */
        struct epoch_guard guard = epoch_enter(keydir->epoch);
        word = load_slot(slot);
        keydir_word_place(word, &place);
        trusted = keydir->options.hash_of(keydir->options.hash_context, place, &hash);
        epoch_exit(guard);
        again = load_slot(slot);
    } while (!trusted && again != word);
    if (trusted && (hash ^ known.hash) >> (64 - known.bits) == 0)
        return (struct known_hash){hash, 64};
    return known;
}

/* Ask the processor for the records of some slots from the first on, so that their misses overlap.
 */
static void prefetch_records(struct keydir *keydir, const struct keydir_shard *shard,
                             uint32_t first)
{
    if (keydir->options.prefetch == NULL)
        return;
    uint32_t end =
        first + SLOTS_AT_ONCE < shard_slots(shard) ? first + SLOTS_AT_ONCE : shard_slots(shard);
    struct epoch_guard guard = epoch_enter(keydir->epoch);
    for (uint32_t i = first; i < end; i++) {
        struct keydir_place place;
        if (keydir_word_place(load_slot(&shard->slots[i]), &place))
            keydir->options.prefetch(keydir->options.hash_context, place);
    }
    epoch_exit(guard);
}

/* Find out the hash of every entry: slots first, then the stash. Returns how many stay unknown. */
static uint32_t read_hashes(struct keydir *keydir, uint64_t hash, const struct keydir_shard *shard,
                            struct known_hash *hashes)
{
    uint32_t unknown = 0;
    for (uint32_t i = 0; i < shard_slots(shard); i++) {
        if (i % SLOTS_AT_ONCE == 0)
            prefetch_records(keydir, shard, i);
        uint64_t word = load_slot(&shard->slots[i]);
        if (word == 0)
            continue;
        struct known_hash known = hash_of_word(shard, hash, word);
        uint32_t home = i / KEYDIR_BUCKET_SLOTS;
        if (word & KEYDIR_ALTERNATE)
            home = keydir_other(word_tag(word), home, shard->bucket_count);
        if (word_is_reservation(word))
            hashes[i] = (struct known_hash){
                hash_of_reservation(known, word, home, shard->bucket_count), 64};
        else
            hashes[i] = read_hash(keydir, &shard->slots[i], known);
        if (hashes[i].bits == 64 && keydir_home(hashes[i].hash, shard->bucket_count) != home)
            hashes[i] = known;
        unknown += hashes[i].bits != 64;
    }
    const struct keydir_stash *stash = shard_stash(shard);
    for (uint32_t i = 0; stash != NULL && i < counter_load(&stash->end); i++) {
        const struct keydir_stash_entry *entry = &stash->entries[i];
        uint64_t word = load_slot(&entry->word);
        struct known_hash *known = &hashes[shard_slots(shard) + i];
        *known = (struct known_hash){load_slot(&entry->hash), 64};
        if (word != 0 && stash_word_is_wild(word)) {
            known->bits = (uint32_t)word_tag(word);
            *known = read_hash(keydir, &entry->word, *known);
        }
    }
    return unknown;
}

/* Put an entry into the child it belongs to. False if its bucket and stash are full. */
static bool place_anew(struct keydir_children *children, uint32_t old_depth, uint64_t word,
                       struct known_hash known)
{
    unsigned side = children->count == 2 ? hash_side(known.hash, old_depth) : 0;
    struct keydir_shard *child = children->shard[side];
    uint64_t payload = word & KEYDIR_PAYLOAD_MASK;
    if (known.bits == 64 && shard_put(child, known.hash, payload))
        return true;
    if (known.bits != 64)
        payload |= KEYDIR_ALTERNATE | (uint64_t)known.bits << KEYDIR_TAG_SHIFT;
    struct keydir_stash *stash = shard_stash(child);
    struct keydir_stash_entry *entry = stash_free_entry(stash);
    if (entry == NULL)
        return false;
    stash_put(stash, entry, known.hash, payload);
    return true;
}

/* Returns how many entries found no place. The words are read now: a merge may have changed where
 * they point since their hashes were read, but not which keys they are of. */
static uint32_t place_all_anew(const struct keydir_shard *old, const struct known_hash *hashes,
                               struct keydir_children *children)
{
    uint32_t left_over = 0, slots = shard_slots(old);
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t word = load_slot(&old->slots[i]);
        if (word != 0)
            left_over += !place_anew(children, old->depth, word, hashes[i]);
    }
    const struct keydir_stash *stash = shard_stash(old);
    for (uint32_t i = 0; stash != NULL && i < counter_load(&stash->end); i++) {
        uint64_t word = load_slot(&stash->entries[i].word);
        if (word != 0)
            left_over += !place_anew(children, old->depth, word, hashes[slots + i]);
    }
    return left_over;
}

static bool may_deepen(const struct keydir *keydir, const struct keydir_shard *shard)
{
    uint32_t depth = directory_of(keydir)->depth;
    if (shard->depth >= KEYDIR_DEPTH_MAX)
        return false;
    /* A directory far larger than the number of shards comes of hashes that are not random, and
     * doubling it would not part them. */
    return shard->depth < depth ||
           UINT64_C(2) << depth <= UINT64_C(64) * counter_load(&keydir->shards);
}

/* Replace the shard that holds `hash` by one (halves 1) or two with whole tags. One may not do
 * where the buckets fall worse than before: then it is two, or a larger stash. */
static bool tag_anew(struct keydir *keydir, uint64_t hash, struct keydir_shard *old,
                     unsigned halves)
{
    const struct keydir_stash *stash = shard_stash(old);
    uint32_t stash_end = stash ? counter_load(&stash->end) : 0;
    size_t hashes_size = ((size_t)shard_slots(old) + stash_end) * sizeof(struct known_hash);
    struct known_hash *hashes = keydir->os->alloc(keydir->os, hashes_size, 16);
    if (hashes == NULL)
        return false;
    uint32_t stash_room = stash_end + read_hashes(keydir, hash, old, hashes);
    bool done = false;
    while (!done) {
        struct keydir_children children;
        uint32_t tag_depth = old->depth + (halves == 2);
        const uint32_t stash_capacity[2] = {stash_room, stash_room};
        if (!children_new(keydir, old, halves, tag_depth, stash_capacity, &children))
            break;
        pthread_mutex_lock(&keydir->mutex);
        uint32_t left_over = place_all_anew(old, hashes, &children);
        done = left_over == 0;
        if (done)
            keydir_publish(keydir, hash, old, &children);
        pthread_mutex_unlock(&keydir->mutex);
        if (!done) {
            children_free(keydir, &children);
            if (halves == 1 && may_deepen(keydir, old))
                halves = 2;
            else
                stash_room += left_over;
        }
    }
    keydir->os->free(keydir->os, hashes, hashes_size);
    return done;
}

/* ---- When to split, when to tag anew ---- */

/* True if splitting would part some entry of the shard from `hash`, and not lose any. */
static bool split_parts(const struct keydir_shard *shard, uint64_t hash)
{
    unsigned side = hash_side(hash, shard->depth);
    const struct keydir_stash *stash = shard_stash(shard);
    bool parts = false;
    for (uint32_t i = 0; stash != NULL && i < counter_load(&stash->end); i++) {
        uint64_t word = load_slot(&stash->entries[i].word);
        if (word == 0)
            continue;
        if (stash_word_is_wild(word) && word_tag(word) <= shard->depth)
            return false; /* nobody knows to which half it belongs */
        parts |= hash_side(load_slot(&stash->entries[i].hash), shard->depth) != side;
    }
    for (uint32_t i = 0; !parts && i < shard_slots(shard); i++) {
        uint64_t word = load_slot(&shard->slots[i]);
        parts = word != 0 && word_side(shard, word) != side;
    }
    return parts;
}

bool keydir_can_split(const struct keydir *keydir, const struct keydir_shard *shard, uint64_t hash)
{
    /* In a nearly empty shard only entries forced together overflow: the stash costs less. */
    return shard_entries(shard) >= shard_slots(shard) / 8 && may_deepen(keydir, shard) &&
           split_parts(shard, hash);
}

bool keydir_split(struct keydir *keydir, uint64_t hash)
{
    struct keydir_shard *shard = writer_shard_of(keydir, hash);
    if (keydir->splitting == shard && keydir_split_finish(keydir))
        return true;
    if (!keydir_can_split(keydir, shard, hash))
        return false;
    epoch_poll(keydir->epoch); /* free what earlier splits left before asking for more */
    if (shard_tag_bits(shard) <= KEYDIR_TAG_BITS_MIN && counter_load(&shard->used) > 0)
        return tag_anew(keydir, hash, shard, 2);
    return split_by_tags(keydir, hash, shard);
}

/* A split adds a shard, and the directory may have to double. */
bool keydir_is_at_limit(const struct keydir *keydir, const struct keydir_shard *shard,
                        uint64_t growth)
{
    uint64_t max = keydir->options.max_bytes;
    if (LIKELY(max == 0) || PLANTED(index_limit_unheeded))
        return false;
    const struct keydir_directory *directory = directory_of(keydir);
    if (shard->depth == directory->depth)
        growth += directory_size(directory->depth);
    return keydir_bytes(keydir) + growth > max;
}

bool keydir_wants_retag(const struct keydir *keydir)
{
    return counter_load(&keydir->short_tags) > 0;
}

bool keydir_retag(struct keydir *keydir, uint64_t budget)
{
    uint64_t keys = 0;
    bool wrapped = false;
    while (keydir_wants_retag(keydir) && keys < budget) {
        struct keydir_shard *shard = shard_of(keydir, keydir->retag_cursor);
        if (shard_is_absent(shard)) {
            if (keydir_fetch(keydir, keydir->retag_cursor) != BITCASK_OK)
                return false;
            continue;
        }
        uint32_t depth = shard->depth;
        if (wants_retag(shard)) {
            epoch_poll(keydir->epoch);
            keys += shard_entries(shard);
            if (!tag_anew(keydir, keydir->retag_cursor, shard, 1))
                return false; /* no memory: let others have a go first */
        }
        keydir->retag_cursor = hash_behind(keydir->retag_cursor, depth);
        if (keydir->retag_cursor == UINT64_MAX) {
            keydir->retag_cursor = 0;
            if (wrapped) /* shards that were fetched meanwhile: another time */
                break;
            wrapped = true;
        }
    }
    return keydir_wants_retag(keydir);
}

/* ---- Stash ---- */

bool keydir_stash_reserve(struct keydir *keydir, uint64_t hash)
{
    struct keydir_shard *shard = shard_of(keydir, hash);
    struct keydir_stash *old = shard_stash(shard);
    if (stash_free_entry(old) != NULL)
        return true;
    struct keydir_stash *new = stash_new_larger(keydir, old);
    if (new == NULL)
        return false;
    pthread_mutex_lock(&keydir->mutex);
    stash_copy(new, old);
    atomic_store_explicit(&shard->stash, new, memory_order_release);
    directory_set(directory_of(keydir), hash, shard);
    stash_retire(keydir, old);
    pthread_mutex_unlock(&keydir->mutex);
    return true;
}
