/* SPDX-License-Identifier: MIT
 * keydir.h: the index in memory, from the hash of a key to the places of records that may be its.
 *
 * No key is kept. A slot holds 17 bits of the hash (the tag), and who looks a key up proves it on
 * the record that the slot points to; the keydir itself never reads a record, except to tag anew.
 *
 *     slot    = tag:17 | alternate:1 | segment slot:14 | offset:32, one atomic word; 0 is empty
 *     bucket  = 8 slots, one cache line
 *     shard   = nb buckets, nb <= 256, the same in all shards of one keydir, not a power of two
 *     directory = pointers to shards by the top bits of the hash (extendible hashing); shards of
 *               different depth share it; the 6 low bits of an entry, free by alignment, hold the
 *               shard's tag depth and whether it has a stash, so that a look-up that finds its key
 *               touches the directory, one or two buckets, and nothing else
 *
 * Bits of a hash: the top `depth` ones choose the shard; the 17 below tag_depth (the depth at which
 * the shard's tags were made) are the tag; the low 24, scaled to nb, the home bucket. A key lives
 * in its home bucket or in the alternate one, (f(low 6 bits of the tag) - home) mod nb, which is
 * its own inverse. Insertion: home, else alternate, else move an entry that is at home in one of
 * the two to its own alternate (copied there, then cleared here: readers look at home first, so
 * they never miss it), at most three in a row, else the shard splits; entries that no split can
 * part go to the shard's stash with their full hash.
 *
 * A split takes the next bit of the hash, which is the highest bit of the tag still in use, and
 * copies every slot to the same bucket of one of two new shards: in small steps, one with each
 * reservation (keydir_steps.c), at one blow where that cannot be. When fewer than 10 tag bits would
 * be left, the shard is tagged anew from its records first (once per 128-fold growth).
 *
 * Who may do what
 * ---------------
 *   writer    one thread at a time, the head of the store's write queue: reserve, insert, remove,
 *             replace, retag, load. Only the writer changes the structure (moves, splits). It need
 *             not be inside an epoch, and old shards stay until it is not.
 *   merge     any thread: keydir_move, from one exact place to another.
 *   readers   any thread, inside an epoch: probe, scan. They only load.
 * Slots change by compare-and-swap. `mutex` is held for changes of structure and by keydir_move,
 * so that no moved place is lost in a shard being split. Old shards and directories go through the
 * epoch. No lock is taken inside `mutex`.
 *
 * A keydir may begin as an image of itself in a file (keydir_attach): then a look-up in a shard
 * that has not been looked at yet fetches it, under a lock, and goes on.
 *
 * A reserved slot has segment slot 0 and, in the place of the offset, bits 46..16 of its hash: with
 * the tag and the shard it lies in these give all but the low 16 bits, so a shard can be tagged
 * anew while it holds reservations.
 *
 * Memory: 8 bytes a slot at a load between 0.48 and 0.97; about 12 bytes a key averaged over
 * growth, 9.0 after keydir_load. */
#ifndef ENGINE_KEYDIR_H
#define ENGINE_KEYDIR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/error.h"
#include "engine/epoch.h"
#include "os/os.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct keydir;

/* Where a record is. */
struct keydir_place {
    uint32_t segment_slot; /* 1..16383 */
    uint32_t offset;
};

/* Compute the hash of the key of the record at `place`, for tagging anew. False if the record
 * cannot be trusted: its entry then goes to the stash as one that any look-up in its shard meets.
 */
typedef bool (*keydir_hash_fn)(void *context, struct keydir_place place, uint64_t *hash);

struct keydir_options {
    uint64_t expected_keys; /* size for as many from the start */
    keydir_hash_fn hash_of; /* called by the writer, inside an epoch */
    /* Or NULL: ask the processor for the record at `place`, whose hash will be wanted soon. */
    void (*prefetch)(void *context, struct keydir_place place);
    void *hash_context;   /* of both */
    uint32_t max_buckets; /* per shard, at most 256, for tests; 0: 256 */
    uint64_t max_bytes;   /* keydir_reserve does not grow beyond; 0: no limit */
};

bitcask_status keydir_new(struct os *os, struct epoch *epoch, const struct keydir_options *options,
                          struct keydir **keydir, bitcask_error *error);
void keydir_free(struct keydir *keydir); /* no readers left */

uint64_t keydir_count(const struct keydir *keydir); /* entries; exact for the writer */
uint64_t keydir_bytes(const struct keydir *keydir); /* memory held, old shards in grace excluded */

/* ---- Readers: inside an epoch -------------------------------------------------------------- */

/* Walk the candidates for a hash:
 *     struct keydir_probe probe;
 *     struct keydir_place place;
 *     keydir_probe_start(keydir, hash, &probe);
 *     while (keydir_probe_next(&probe, &place)) { ...does the record at place have the key?... }
 * Each place whose tag fits is given once; a place of another key with the same tag too, and rarely
 * a place that has just been replaced, or the same one again because it is being moved. The key's
 * own newest place, if it has had one throughout, is always among them. */
struct keydir_probe {
    const struct keydir_shard *shard;
    const _Atomic uint64_t *home, *other; /* its buckets; may be the same */
    uint64_t hash;
    uint64_t want;         /* tag of a match, and the alternate bit, 0 */
    uint32_t matches;      /* bit set: slots still to be given, those of home first */
    uint32_t position;     /* in the stash; UINT32_MAX if there is none to look at */
    bitcask_status status; /* not OK: its shard could not be fetched, so there may be more */
};
static inline void keydir_probe_start(const struct keydir *keydir, uint64_t hash,
                                      struct keydir_probe *probe);
static inline bool keydir_probe_next(struct keydir_probe *probe, struct keydir_place *place);

/* Is there an entry of this hash with exactly this place? The shard must not be absent: its key has
 * been looked up, or keydir_fetch_all has been called. */
bool keydir_has(const struct keydir *keydir, uint64_t hash, struct keydir_place place);

/* Ask the processor for the buckets of a hash; for look-ups in groups. */
static inline void keydir_prefetch(const struct keydir *keydir, uint64_t hash);

/* The same for an entry that is to be changed: what the shard counts, too. */
static inline void keydir_prefetch_change(const struct keydir *keydir, uint64_t hash);

/* A candidate for a hash that is in one of its buckets, as a hint. */
static inline bool keydir_first(const struct keydir *keydir, uint64_t hash,
                                struct keydir_place *place);

/* The short way of a look-up (engine/reader_fast.h): does any slot of a hash's buckets have its
 * tag? Then *word is the first of these, or a word without a place if that one has just changed.
 * *stash: there may be more in the shard's stash. */
static inline bool keydir_peek(const struct keydir *keydir, uint64_t hash, uint64_t *word,
                               bool *stash);

/* Copy every place in the shard that holds `cursor` (a hash; 0 to begin with), so that an entry is
 * seen exactly once however it is moved about, and a key that is removed and inserted meanwhile at
 * most once.
 *   places   grown with realloc as need be: start with {0}, free places->items
 *   next     set to the first hash behind that shard, or UINT64_MAX behind the last one
 * Returns OK or NO_MEMORY, or how fetching the shard failed. Locks only if the shard has changed
 * under it eight times, or to fetch it. */
struct keydir_places {
    struct keydir_place *items;
    size_t count, capacity;
};
bitcask_status keydir_scan(struct keydir *keydir, uint64_t cursor, struct keydir_places *places,
                           uint64_t *next);

/* The same, behind the places that are there. */
bitcask_status keydir_scan_more(struct keydir *keydir, uint64_t cursor,
                                struct keydir_places *places, uint64_t *next);

/* ---- The writer ---------------------------------------------------------------------------- */

/* Take a place for a key that is not there: moves, splits and allocates as need be, and leaves a
 * reserved slot that no reader sees, so that the keydir_insert to follow cannot fail.
 * Returns OK; NO_MEMORY; LIMIT if it would have to grow beyond max_bytes (nothing has changed
 * then). */
bitcask_status keydir_reserve(struct keydir *keydir, uint64_t hash, bitcask_error *error);

/* Turn a reserved slot of this hash into an entry. Other reservations may lie in between. */
void keydir_insert(struct keydir *keydir, uint64_t hash, struct keydir_place place);

/* Give a reserved slot back. */
void keydir_unreserve(struct keydir *keydir, uint64_t hash);

/* Point the entry with this hash and exactly this place elsewhere; or take it out. False if there
 * is no such entry (a merge has moved it: look it up again). */
bool keydir_replace(struct keydir *keydir, uint64_t hash, struct keydir_place from,
                    struct keydir_place to);
bool keydir_remove(struct keydir *keydir, uint64_t hash, struct keydir_place from);

/* Tag anew, from their records, some shards with few tag bits left (11 or fewer), about `budget`
 * keys. Returns true if there is more to do. The writer does this itself where it must (10 bits).
 * Cost: one random read per key. */
bool keydir_retag(struct keydir *keydir, uint64_t budget);

/* True if keydir_retag has work; any thread. */
bool keydir_wants_retag(const struct keydir *keydir);

/* ---- Merge --------------------------------------------------------------------------------- */

/* keydir_replace for a thread that is not the writer, between keydir_movers_begin and _end; these
 * two as the writer. Where nobody moves entries the writer changes them, and what goes with them,
 * by plain stores. */
static inline void keydir_movers_begin(struct keydir *keydir);
static inline void keydir_movers_end(struct keydir *keydir);
bool keydir_move(struct keydir *keydir, uint64_t hash, struct keydir_place from,
                 struct keydir_place to);

/* ---- Loading at open ----------------------------------------------------------------------- */

/* Lay out an empty keydir for `keys` entries at a load of 0.9. Afterwards keydir_load_shards gives
 * the number of shards S (a power of two): shard i takes the hashes with i in their top log2(S)
 * bits. Readers and writer stay away until keydir_load_end. */
bitcask_status keydir_load_begin(struct keydir *keydir, uint64_t keys, bitcask_error *error);
uint32_t keydir_load_shards(const struct keydir *keydir);

struct keydir_load_entry {
    uint64_t hash;
    struct keydir_place place;
};

/* Fill shard `shard` with all its entries at once. Different shards may be filled by different
 * threads at the same time. Any number of entries is right (what has no room waits in the stash);
 * it is fast when the estimate was. */
bitcask_status keydir_load_shard(struct keydir *keydir, uint32_t shard,
                                 const struct keydir_load_entry *entries, size_t count,
                                 bitcask_error *error);

/* Split what is too full. */
bitcask_status keydir_load_end(struct keydir *keydir, bitcask_error *error);

/* ---- Shards that are fetched when they are needed (keydir_fetch.c) -------------------------- */

/* An image of the index somewhere, engine/index_image.h: shards side by side over all hashes. All
 * three functions are called with a lock held, one at a time, by whatever thread comes first.
 *   fetch    give the words of a shard: bucket_count * 8 slots, then word and hash of each stash
 *            entry. OK, NO_MEMORY, or anything else if the image is no good there
 *   rebuild  (or NULL) find the entries with hashes from `first` to `last` in another way;
 *            malloc'd. OK or an error
 *   release  (or NULL) the source is no longer needed */
struct keydir_source_shard {
    uint64_t first;          /* hash */
    uint32_t entries, stash; /* all; in the stash */
    uint8_t depth, tag_depth;
    bool fetched; /* the keydir's */
};

struct keydir_source {
    void *context;
    bitcask_status (*fetch)(void *context, uint32_t shard, uint64_t *words);
    bitcask_status (*rebuild)(void *context, uint64_t first, uint64_t last,
                              struct keydir_load_entry **entries, size_t *count);
    void (*ahead)(void *context, uint32_t shard); /* or NULL: it and those behind it will be fetched
                                                     in turn. Not beside a fetch */
    void (*release)(void *context);
    struct keydir_source_shard *shards; /* malloc'd */
    uint32_t shard_count, bucket_count;
    uint32_t cursor; /* the keydir's: all before it have been fetched */
};

/* Let a new and empty keydir have the entries of `source`, which it takes over (and clears) on OK.
 * No shard is read yet: each is fetched when it is first looked at. OK, NO_MEMORY or CORRUPT. */
bitcask_status keydir_attach(struct keydir *keydir, struct keydir_source *source,
                             bitcask_error *error);

/* Fetch the shard of a hash, some more shards, or all. Any thread; not holding keydir->mutex. OK,
 * NO_MEMORY or IO, for keydir_fetch_failed to put in words. */
bitcask_status keydir_fetch(struct keydir *keydir, uint64_t hash);
bitcask_status keydir_fetch_some(struct keydir *keydir, uint32_t shards);
bitcask_status keydir_fetch_all(struct keydir *keydir, bitcask_error *error);
bitcask_status keydir_fetch_failed(bitcask_status status, bitcask_error *error);
static inline bool keydir_has_absent(const struct keydir *keydir);

/* A shard as it is at one moment: what a source's `fetch` gives back. Grown with realloc: start
 * with {0}, free copy->words. */
struct keydir_copy {
    uint64_t *words;
    size_t capacity;
    uint32_t entries, stash, depth, tag_depth;
};

/* Copy the shard that holds `cursor`; *next as keydir_scan. Any thread. Reservations are left out;
 * of a key removed and inserted again meanwhile there is one entry at most. OK or NO_MEMORY, or how
 * fetching the shard failed. Holds up the writer's changes of structure for some microseconds. */
bitcask_status keydir_copy_shard(struct keydir *keydir, uint64_t cursor, struct keydir_copy *copy,
                                 uint64_t *next);

/* For tests and dump-keydir. */
struct keydir_shape {
    uint32_t buckets_per_shard, shards, directory_depth;
    uint32_t absent;       /* of the shards: not fetched yet */
    uint32_t tag_bits_min; /* over the shards */
    uint64_t stashed;
    double load; /* entries per slot */
};
void keydir_get_shape(const struct keydir *keydir, struct keydir_shape *shape);

/* ---- inline, and what that needs to know --------------------------------------------------- */

enum {
    KEYDIR_BUCKET_SLOTS = 8,
    KEYDIR_TAG_BITS = 17,
    KEYDIR_ALTERNATE_BIT = 46,   /* of a slot: it lies in its alternate bucket */
    KEYDIR_TAG_SHIFT = 47,       /* of a slot */
    KEYDIR_ENTRY_TAG_DEPTH = 31, /* of a directory entry, a mask */
    KEYDIR_ENTRY_STASH = 32,     /* of a directory entry: the shard has a stash */
};

struct keydir_stash;

struct keydir_shard {
    struct epoch_item retired;
    _Atomic(struct keydir_stash *) stash; /* or NULL */
    _Atomic uint32_t sequence;            /* odd while slots are being moved */
    _Atomic uint32_t used;                /* slots in use, reservations included; the writer's */
    uint32_t bucket_count;
    uint8_t depth, tag_depth;
    bool live;                             /* readers may look at it */
    bool removed;                          /* since the sequence last moved; the writer's */
    struct keydir *absent_from;            /* not NULL: this stands for shards not fetched yet */
    struct keydir_slab *slab;              /* its memory's; NULL: a block of its own */
    _Alignas(64) _Atomic uint64_t slots[]; /* bucket_count * KEYDIR_BUCKET_SLOTS */
};

struct keydir_directory {
    struct epoch_item retired;
    uint32_t depth;
    _Atomic uint64_t entries[]; /* 1 << depth: address of a shard | STASH | its tag depth */
};

/* A split under way (keydir_steps.c); the writer's. */
struct keydir_steps {
    uint64_t hash;                /* one that the shard holds */
    uint32_t next;                /* step */
    uint32_t used[2];             /* slots of the halves */
    struct keydir_shard *half[2]; /* private; or NULL */
    uint64_t *copied;             /* slots of the shard as they were when they were copied */
};

struct keydir {
    _Atomic(struct keydir_directory *) directory;
    uint32_t bucket_count;          /* of every shard; changed only by keydir_load_begin */
    uint32_t split_at;              /* entries at which a shard splits */
    struct keydir_shard *splitting; /* in steps, or NULL; the writer's */
    struct os *os;
    struct epoch *epoch;
    _Atomic uint32_t movers;  /* threads that move entries beside the writer; the writer's */
    struct keydir_pool *pool; /* memory of the shards */
    struct keydir_options options;
    _Alignas(64) pthread_mutex_t mutex;
    _Atomic uint64_t count; /* entries, reservations excluded */
    _Atomic uint64_t bytes;
    _Atomic uint32_t shards;
    _Atomic uint32_t short_tags; /* shards for keydir_retag */
    uint64_t retag_cursor;       /* the writer's: the hash where keydir_retag goes on */
    struct keydir_steps steps;   /* of `splitting` */
    pthread_mutex_t fetch_mutex; /* taken before `mutex`; guards: */
    struct keydir_source source;
    uint64_t *fetch_words;
    struct keydir_shard *absent;   /* stands for what has not been fetched; or NULL */
    _Atomic uint32_t absent_count; /* shards that have not been fetched */
};

static inline bool keydir_has_absent(const struct keydir *keydir)
{
    return atomic_load_explicit(&keydir->absent_count, memory_order_acquire) != 0;
}

static inline bool keydir_has_movers(const struct keydir *keydir)
{
    return atomic_load_explicit(&keydir->movers, memory_order_relaxed) != 0;
}

static inline void keydir_movers_begin(struct keydir *keydir)
{
    atomic_fetch_add_explicit(&keydir->movers, 1, memory_order_relaxed);
}

static inline void keydir_movers_end(struct keydir *keydir)
{
    CHECK(atomic_fetch_sub_explicit(&keydir->movers, 1, memory_order_relaxed) > 0);
}

static inline uint64_t keydir_tag(uint64_t hash, uint32_t tag_depth)
{
    return hash >> (64 - KEYDIR_TAG_BITS - tag_depth) & ((1u << KEYDIR_TAG_BITS) - 1);
}

static inline uint32_t keydir_home(uint64_t hash, uint32_t bucket_count)
{
    return (uint32_t)((hash & 0xffffff) * bucket_count >> 24);
}

/* From the home bucket of an entry with this tag to its alternate, or back. */
static inline uint32_t keydir_other(uint64_t tag, uint32_t bucket, uint32_t bucket_count)
{
    uint32_t mix = (uint32_t)(tag & 63) * 0x9E3779B1u >> 16; /* golden ratio: spreads evenly */
    uint32_t sum = mix * bucket_count >> 16;
    return sum >= bucket ? sum - bucket : sum + bucket_count - bucket;
}

static inline uint64_t keydir_entry(const struct keydir *keydir, uint64_t hash)
{
    const struct keydir_directory *directory =
        atomic_load_explicit(&keydir->directory, memory_order_acquire);
    uint64_t index = hash >> 1 >> (63 - directory->depth); /* depth 0: a shift by 64 in two steps */
    return atomic_load_explicit(&directory->entries[index], memory_order_acquire);
}

static inline struct keydir_shard *keydir_entry_shard(uint64_t entry)
{
    return (struct keydir_shard *)(uintptr_t)(entry & ~UINT64_C(63));
}

/* A bit for each slot that answers: of the home bucket with the tag, in bits 0..7, and of the other
 * bucket with the tag and the alternate bit, in bits 8..15. Both at once, for two misses of the
 * cache that overlap cost less than a mispredicted branch between them. Home is loaded first: an
 * entry on its way is copied to the alternate before it goes from home.
 *
 * A slot's tag lies in its upper four bytes, which no store tears, so four slots are compared in
 * one register; ThreadSanitizer is given loads that it knows. */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
static inline __m128i keydir_match_four(const _Atomic uint64_t *slots, __m128i want)
{
    const __m128 *pairs = (const __m128 *)(uintptr_t)slots;
    __m128 tops = _mm_shuffle_ps(pairs[0], pairs[1], _MM_SHUFFLE(3, 1, 3, 1));
    __m128i tags = _mm_srli_epi32(_mm_castps_si128(tops), KEYDIR_ALTERNATE_BIT - 32);
    return _mm_cmpeq_epi32(tags, want);
}

static inline uint32_t keydir_matches(const _Atomic uint64_t *home, const _Atomic uint64_t *other,
                                      uint64_t want)
{
    __m128i at_home = _mm_set1_epi32((int)want), at_other = _mm_set1_epi32((int)(want | 1));
    __m128i a = keydir_match_four(home, at_home), b = keydir_match_four(home + 4, at_home);
    __asm__ volatile("" ::: "memory"); /* home first */
    __m128i c = keydir_match_four(other, at_other), d = keydir_match_four(other + 4, at_other);
    __asm__ volatile("" ::: "memory"); /* and what they point to later */
    __m128i all = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
    return (uint32_t)_mm_movemask_epi8(all);
}
#else
static inline uint32_t keydir_matches(const _Atomic uint64_t *home, const _Atomic uint64_t *other,
                                      uint64_t want)
{
    uint32_t matches = 0;
    for (unsigned i = 0; i < KEYDIR_BUCKET_SLOTS; i++) {
        uint64_t word = atomic_load_explicit(&home[i], memory_order_acquire);
        matches |= (uint32_t)(word >> KEYDIR_ALTERNATE_BIT == want) << i;
    }
    for (unsigned i = 0; i < KEYDIR_BUCKET_SLOTS; i++) {
        uint64_t word = atomic_load_explicit(&other[i], memory_order_acquire);
        matches |= (uint32_t)(word >> KEYDIR_ALTERNATE_BIT == (want | 1))
                   << (KEYDIR_BUCKET_SLOTS + i);
    }
    return matches;
}
#endif

/* False for an empty and for a reserved slot. */
static inline bool keydir_word_place(uint64_t word, struct keydir_place *place)
{
    place->segment_slot = (uint32_t)(word >> 32) & 0x3fff;
    place->offset = (uint32_t)word;
    return place->segment_slot != 0;
}

bool keydir_probe_stash(struct keydir_probe *probe, struct keydir_place *place);

/* keydir_probe_start in two steps: where its buckets are, then what is in them. In between, the
 * shard must not be split: for the writer. */
static inline void keydir_probe_aim(const struct keydir *keydir, uint64_t hash,
                                    struct keydir_probe *probe)
{
    uint64_t entry = keydir_entry(keydir, hash);
    const struct keydir_shard *shard = keydir_entry_shard(entry);
    uint32_t bucket_count = keydir->bucket_count;
    uint64_t tag = keydir_tag(hash, entry & KEYDIR_ENTRY_TAG_DEPTH);
    uint32_t home = keydir_home(hash, bucket_count);
    uint32_t other = keydir_other(tag, home, bucket_count);

    probe->shard = shard;
    probe->home = &shard->slots[home * KEYDIR_BUCKET_SLOTS];
    probe->other = &shard->slots[other * KEYDIR_BUCKET_SLOTS];
    probe->hash = hash;
    probe->want = tag << 1;
    probe->position = entry & KEYDIR_ENTRY_STASH ? 0 : UINT32_MAX;
    probe->status = BITCASK_OK;
}

static inline void keydir_probe_look(struct keydir_probe *probe)
{
    probe->matches = keydir_matches(probe->home, probe->other, probe->want);
}

static inline void keydir_probe_start(const struct keydir *keydir, uint64_t hash,
                                      struct keydir_probe *probe)
{
    keydir_probe_aim(keydir, hash, probe);
    keydir_probe_look(probe);
}

/* What was in a slot a moment ago has gone: to its other bucket maybe, of which we have looked at
 * what it was like before. */
static inline void keydir_probe_again(struct keydir_probe *probe)
{
    probe->matches = keydir_matches(probe->home, probe->other, probe->want);
}

static inline bool keydir_probe_next(struct keydir_probe *probe, struct keydir_place *place)
{
    while (probe->matches != 0) {
        unsigned i = (unsigned)__builtin_ctz(probe->matches), at_other = i / KEYDIR_BUCKET_SLOTS;
        const _Atomic uint64_t *bucket = at_other ? probe->other : probe->home;
        uint64_t word =
            atomic_load_explicit(&bucket[i % KEYDIR_BUCKET_SLOTS], memory_order_acquire);
        probe->matches &= probe->matches - 1;
        if (UNLIKELY(word >> KEYDIR_ALTERNATE_BIT != (probe->want | at_other)))
            keydir_probe_again(probe);
        else if (LIKELY(keydir_word_place(word, place)))
            return true;
    }
    return UNLIKELY(probe->position != UINT32_MAX) && keydir_probe_stash(probe, place);
}

static inline bool keydir_peek(const struct keydir *keydir, uint64_t hash, uint64_t *word,
                               bool *stash)
{
    struct keydir_probe probe;
    keydir_probe_start(keydir, hash, &probe);
    *stash = probe.position != UINT32_MAX;
    if (probe.matches == 0)
        return false;
    unsigned i = (unsigned)__builtin_ctz(probe.matches), at_other = i / KEYDIR_BUCKET_SLOTS;
    const _Atomic uint64_t *bucket = at_other ? probe.other : probe.home;
    *word = atomic_load_explicit(&bucket[i % KEYDIR_BUCKET_SLOTS], memory_order_acquire);
    if (UNLIKELY(*word >> KEYDIR_ALTERNATE_BIT != (probe.want | at_other)))
        *word = 0;
    return true;
}

static inline bool keydir_first(const struct keydir *keydir, uint64_t hash,
                                struct keydir_place *place)
{
    struct keydir_probe probe;
    keydir_probe_start(keydir, hash, &probe);
    probe.position = UINT32_MAX; /* not the stash, nor what has not been fetched */
    return keydir_probe_next(&probe, place);
}

static inline void keydir_prefetch(const struct keydir *keydir, uint64_t hash)
{
    uint64_t entry = keydir_entry(keydir, hash);
    const struct keydir_shard *shard = keydir_entry_shard(entry);
    uint64_t tag = keydir_tag(hash, entry & KEYDIR_ENTRY_TAG_DEPTH);
    uint32_t home = keydir_home(hash, keydir->bucket_count);
    uint32_t other = keydir_other(tag, home, keydir->bucket_count);
    PREFETCH((uintptr_t)&shard->slots[home * KEYDIR_BUCKET_SLOTS]);
    PREFETCH((uintptr_t)&shard->slots[other * KEYDIR_BUCKET_SLOTS]);
}

static inline void keydir_prefetch_change(const struct keydir *keydir, uint64_t hash)
{
    PREFETCH((uintptr_t)keydir_entry_shard(keydir_entry(keydir, hash)));
    keydir_prefetch(keydir, hash);
}

#endif
