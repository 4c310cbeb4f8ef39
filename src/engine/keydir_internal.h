/* SPDX-License-Identifier: MIT
 * keydir_internal.h: what the files of the keydir share: slots, shards, stashes.
 *
 *     keydir.c        the operations
 *     keydir_shard.c  one shard and its stash
 *     keydir_pool.c   memory of the shards
 *     keydir_grow.c   splits, tagging anew, the directory
 *     keydir_steps.c  splits in small steps
 *     keydir_load.c   laying out and filling at open
 *     keydir_fetch.c  shards of an image, fetched when they are needed
 *
 * A shard is either private (not yet in the directory: one thread, no lock) or live. The functions
 * of keydir_shard.c work on both; for a live one the caller is the writer and brackets what moves
 * entries with keydir_change_begin and _end. */
#ifndef ENGINE_KEYDIR_INTERNAL_H
#define ENGINE_KEYDIR_INTERNAL_H

#include "engine/keydir.h"
#include "engine/keydir_pool.h"

/* Above this load a shard splits even though it may have room. In 2000 shards of 256 buckets filled
 * with random hashes the first insert that found no room came, by the moves it was allowed:
 *     moves   earliest   median
 *     1       0.70       0.92
 *     2       0.94       0.98
 *     3       0.97       0.996
 * Nearer to the end, searches get long and few entries are at home. */
#define KEYDIR_LOAD_SPLIT 0.97
#define KEYDIR_LOAD_OPEN 0.90 /* what keydir_load_begin lays out for */

enum {
    KEYDIR_BUCKETS_MAX = 256,
    KEYDIR_DEPTH_MAX = 31,
    KEYDIR_CHAIN_MAX = 4,       /* slots: three moves */
    KEYDIR_TAG_BITS_MIN = 10,   /* a split that would leave fewer tags anew first */
    KEYDIR_TAG_BITS_SHORT = 11, /* keydir_retag takes shards with as few */
    KEYDIR_RETIRED_MANY = 8,    /* shards that have been split wait until there are as many */
};

/* ---- Slots ---- */

#define KEYDIR_ALTERNATE (UINT64_C(1) << KEYDIR_ALTERNATE_BIT)
#define KEYDIR_PAYLOAD_MASK (KEYDIR_ALTERNATE - 1) /* segment slot and offset */

static inline uint64_t payload_of_place(struct keydir_place place)
{
    CHECK(place.segment_slot >= 1 && place.segment_slot <= 0x3fff);
    return (uint64_t)place.segment_slot << 32 | place.offset;
}

static inline uint64_t payload_of_reservation(uint64_t hash)
{
    return (hash >> 16 & 0x7fffffff) << 1 | 1; /* never 0, so never an empty slot */
}

static inline bool word_is_reservation(uint64_t word)
{
    return word != 0 && (word >> 32 & 0x3fff) == 0;
}

static inline uint64_t word_tag(uint64_t word)
{
    return word >> KEYDIR_TAG_SHIFT;
}

static inline uint64_t load_slot(const _Atomic uint64_t *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

static inline void store_slot(_Atomic uint64_t *slot, uint64_t word)
{
    atomic_store_explicit(slot, word, memory_order_release);
}

/* The first slot of a bucket that holds just this word (0: an empty one), or NULL. Which one it is
 * cannot be foretold, so no branch asks. For who changes the shard: a slot that others change
 * meanwhile may be missed or be another's by now, as their compare-and-swap will tell. */
static inline _Atomic uint64_t *bucket_find(const _Atomic uint64_t *bucket, uint64_t word)
{
    unsigned found = 0;
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
    const __m128i *pairs = (const __m128i *)(uintptr_t)bucket;
    __m128i same[KEYDIR_BUCKET_SLOTS / 2], want = _mm_set1_epi64x((long long)word);
    for (int i = 0; i < KEYDIR_BUCKET_SLOTS / 2; i++) {
        same[i] = _mm_cmpeq_epi32(pairs[i], want);
        same[i] = _mm_and_si128(same[i], _mm_shuffle_epi32(same[i], _MM_SHUFFLE(2, 3, 0, 1)));
    }
    __m128i all = _mm_packs_epi16(_mm_packs_epi32(same[0], same[1]), /* two bytes a slot */
                                  _mm_packs_epi32(same[2], same[3]));
    found = (unsigned)_mm_movemask_epi8(all);
    unsigned i = (unsigned)__builtin_ctz(found | 1U << 2 * KEYDIR_BUCKET_SLOTS) / 2;
#else
    for (int i = 0; i < KEYDIR_BUCKET_SLOTS; i++)
        found |= (unsigned)(load_slot(&bucket[i]) == word) << i;
    unsigned i = (unsigned)__builtin_ctz(found | 1U << KEYDIR_BUCKET_SLOTS);
#endif
    return found != 0 ? (_Atomic uint64_t *)(uintptr_t)&bucket[i] : NULL;
}

/* ---- Shards ---- */

/* An entry whose hash is not known, because its record could not be read when its shard was tagged
 * anew, has KEYDIR_ALTERNATE set in its word, the number of known high bits of its hash in the
 * tag's place, and these bits in `hash`. Every probe of the shard meets it. */
struct keydir_stash_entry {
    _Atomic uint64_t word; /* 0: free */
    _Atomic uint64_t hash; /* set before word, read after it */
};

struct keydir_stash {
    struct epoch_item retired;
    uint32_t capacity;
    _Atomic uint32_t end;  /* entries from here on have never been used */
    _Atomic uint32_t used; /* reservations included */
    struct keydir_stash_entry entries[];
};

/* Does it stand for shards that have not been fetched yet? */
static inline bool shard_is_absent(const struct keydir_shard *shard)
{
    return shard->absent_from != NULL;
}

static inline uint32_t shard_slots(const struct keydir_shard *shard)
{
    return shard->bucket_count * KEYDIR_BUCKET_SLOTS;
}

static inline struct keydir_stash *shard_stash(const struct keydir_shard *shard)
{
    return atomic_load_explicit(&shard->stash, memory_order_acquire);
}

static inline uint32_t counter_load(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Of a counter that one thread writes: no need for a locked instruction. */
static inline void counter_add(_Atomic uint32_t *counter, int n)
{
    atomic_store_explicit(counter, counter_load(counter) + (uint32_t)n, memory_order_relaxed);
}

/* Entries, reservations excluded; the writer's. */
static inline void keydir_add_count(struct keydir *keydir, int64_t n)
{
    uint64_t count = atomic_load_explicit(&keydir->count, memory_order_relaxed);
    atomic_store_explicit(&keydir->count, count + (uint64_t)n, memory_order_relaxed);
}

static inline uint32_t shard_entries(const struct keydir_shard *shard)
{
    struct keydir_stash *stash = shard_stash(shard);
    return counter_load(&shard->used) + (stash ? counter_load(&stash->used) : 0);
}

static inline uint32_t shard_tag_bits(const struct keydir_shard *shard)
{
    return KEYDIR_TAG_BITS - (shard->depth - shard->tag_depth);
}

static inline unsigned hash_side(uint64_t hash, uint32_t depth)
{
    return hash >> (63 - depth) & 1;
}

/* Which half of the shard a slot belongs to: the highest bit of the tag still in use. */
static inline unsigned word_side(const struct keydir_shard *shard, uint64_t word)
{
    return word >> (63 - (shard->depth - shard->tag_depth)) & 1;
}

static inline bool stash_word_is_wild(uint64_t word)
{
    return (word & KEYDIR_ALTERNATE) != 0;
}

/* Zeroed and private; with a stash if stash_capacity is not 0. NULL if there is no memory. */
size_t shard_size(uint32_t bucket_count); /* bytes */
struct keydir_shard *shard_new(struct keydir *keydir, uint32_t depth, uint32_t tag_depth,
                               uint32_t stash_capacity);
/* The same, without a stash, its slots not cleared. */
struct keydir_shard *shard_new_raw(struct keydir *keydir, uint32_t depth, uint32_t tag_depth);
void shard_free(struct keydir *keydir, struct keydir_shard *shard); /* private; NULL allowed */
/* Free after a grace period what readers may still look at. */
void shard_retire(struct keydir *keydir, struct keydir_shard *shard);
void stash_retire(struct keydir *keydir, struct keydir_stash *stash);
struct keydir_stash *stash_new(struct keydir *keydir, uint32_t capacity);
void stash_free(struct keydir *keydir, struct keydir_stash *stash);
/* Empty and private, with more room than `old` (or NULL) has; NULL if there is no memory. */
struct keydir_stash *stash_new_larger(struct keydir *keydir, const struct keydir_stash *old);
void stash_copy(struct keydir_stash *to, const struct keydir_stash *from); /* from may be NULL */

/* A place for one more entry: the first slot of the chain, after what each slot holds has moved on
 * to the next one, of which the last is free. In a live shard entries move from home to alternate
 * only, in a private one both ways. */
struct keydir_room {
    uint32_t chain[KEYDIR_CHAIN_MAX];
    uint32_t length;    /* 1: nothing moves */
    uint64_t alternate; /* KEYDIR_ALTERNATE if the first lies in the alternate bucket, else 0 */
};
bool shard_find_room(const struct keydir_shard *shard, uint64_t hash, struct keydir_room *room);
void shard_fill_room(struct keydir_shard *shard, const struct keydir_room *room, uint64_t hash,
                     uint64_t payload);
/* Both for a private shard. False if there is no room. */
bool shard_put(struct keydir_shard *shard, uint64_t hash, uint64_t payload);

/* In a private shard, where room has come up in their home buckets, alternates from the buckets
 * `first` to `end` - 1 go back: only from home can they make room for others again. */
void shard_bring_home(struct keydir_shard *shard, uint32_t first, uint32_t end);

/* The stash has room if stash_free_entry is not NULL. */
struct keydir_stash_entry *stash_free_entry(struct keydir_stash *stash);
void stash_put(struct keydir_stash *stash, struct keydir_stash_entry *entry, uint64_t hash,
               uint64_t word);

/* ---- Growth ---- */

struct keydir_directory *directory_new(struct keydir *keydir, uint32_t depth);
void directory_free(struct keydir *keydir, struct keydir_directory *directory);

/* Let the entries for the hashes that `shard`, which holds `hash`, is for point at it. */
void directory_set(struct keydir_directory *directory, uint64_t hash, struct keydir_shard *shard);

static inline struct keydir_directory *directory_of(const struct keydir *keydir)
{
    return atomic_load_explicit(&keydir->directory, memory_order_acquire);
}

static inline struct keydir_shard *shard_of(const struct keydir *keydir, uint64_t hash)
{
    return keydir_entry_shard(keydir_entry(keydir, hash));
}

/* The shard of a hash whose key has been looked up: it is not absent any more. */
static inline struct keydir_shard *writer_shard_of(const struct keydir *keydir, uint64_t hash)
{
    struct keydir_shard *shard = shard_of(keydir, hash);
    CHECK(!shard_is_absent(shard));
    return shard;
}

/* The first hash behind the shard at `depth` that holds `hash`; UINT64_MAX behind the last. */
static inline uint64_t hash_behind(uint64_t hash, uint32_t depth)
{
    if (depth == 0)
        return UINT64_MAX;
    uint64_t next = ((hash >> (64 - depth)) + 1) << (64 - depth);
    return next != 0 ? next : UINT64_MAX;
}

/* Would a split of the shard that takes `growth` bytes of shards pass max_bytes? */
bool keydir_is_at_limit(const struct keydir *keydir, const struct keydir_shard *shard,
                        uint64_t growth);

/* One shard of the same depth as an old one, or its two halves; private. */
struct keydir_children {
    struct keydir_shard *shard[2];
    unsigned count;
    struct keydir_directory *directory; /* a larger one, or NULL */
};

/* Show the children instead of `old`, which holds `hash`, and retire it. Mutex held. */
void keydir_publish(struct keydir *keydir, uint64_t hash, struct keydir_shard *old,
                    struct keydir_children *children);

/* Would a split of the shard that holds `hash` be of use? */
bool keydir_can_split(const struct keydir *keydir, const struct keydir_shard *shard, uint64_t hash);

/* Split the shard that holds `hash`, tagging it anew where its tag is used up. False if nothing has
 * changed: no entry in it would be parted from `hash`, it is too empty to be worth it, or there is
 * no memory. Epoch: callers need not be in one. */
bool keydir_split(struct keydir *keydir, uint64_t hash);

/* ---- Splits in steps (keydir_steps.c) ---- */

/* The shard that holds `hash` has reached split_at. True if it need not be split at once: it is
 * being split, maybe from now on, or another one is and there is still room. */
bool keydir_split_later(struct keydir *keydir, struct keydir_shard *shard, uint64_t hash);

/* While keydir->splitting is not NULL: the next step; or all that are left, false if that came to
 * nothing; or let it be. After the last two it is NULL. */
void keydir_split_step(struct keydir *keydir);
bool keydir_split_finish(struct keydir *keydir);
void keydir_split_abandon(struct keydir *keydir);
void keydir_steps_free(struct keydir *keydir); /* what is kept from one split to the next */

/* ---- Loading and fetching ---- */

/* Set what all shards share, when the directory has been laid out anew. */
void keydir_lay_out(struct keydir *keydir, uint32_t bucket_count);

/* A private shard with these entries; NULL if there is no memory. */
struct keydir_shard *keydir_shard_from(struct keydir *keydir, uint32_t depth,
                                       const struct keydir_load_entry *entries, size_t count);

/* The rest of keydir_probe_stash where the probe has met an absent shard. */
bool keydir_probe_absent(struct keydir_probe *probe, struct keydir_place *place);

/* hash_behind for a shard that may be absent: then *absent tells of it. Holding fetch_mutex. */
uint64_t keydir_range_behind(struct keydir *keydir, const struct keydir_shard *shard, uint64_t hash,
                             struct keydir_source_shard *absent);

/* Free the source and what stands for absent shards; no readers. */
void keydir_detach(struct keydir *keydir);

/* ---- Changes of structure ---- */

/* Lock out keydir_move, and tell scans of the shard to start again. */
void keydir_change_begin(struct keydir *keydir, struct keydir_shard *shard);
void keydir_change_end(struct keydir *keydir, struct keydir_shard *shard);

/* Give a live shard's stash room for one more. False if there is no memory. */
bool keydir_stash_reserve(struct keydir *keydir, uint64_t hash);

/* All shards and the directory, without a grace period. */
void keydir_free_shards(struct keydir *keydir);

static inline void keydir_add_bytes(struct keydir *keydir, size_t bytes)
{
    atomic_fetch_add_explicit(&keydir->bytes, bytes, memory_order_relaxed);
}

static inline void keydir_sub_bytes(struct keydir *keydir, size_t bytes)
{
    atomic_fetch_sub_explicit(&keydir->bytes, bytes, memory_order_relaxed);
}

#endif
