/* SPDX-License-Identifier: MIT
 * keydir_direct.h: the writer's short way: change the slot that a probe has just looked at.
 *
 * The functions of keydir.h find the slot of an entry again each time. A write that nobody stands
 * in the way of has probed its key a moment ago, and its buckets are at hand. All of these may
 * decline, and have changed nothing then: the caller goes the long way.
 *
 * The writer, who has reserved nothing; between probe and change it has made no other one. Where a
 * merge may have moved the entry meanwhile (keydir_has_movers) the changes are compare-and-swaps
 * like all others; else there are plain stores, which cannot fail (`_alone`). */
#ifndef ENGINE_KEYDIR_DIRECT_H
#define ENGINE_KEYDIR_DIRECT_H

#include "engine/keydir_internal.h"

/* A slot and what is in it; of a free one, 0 and what an entry there has in common. */
struct keydir_spot {
    struct keydir_shard *shard;
    _Atomic uint64_t *slot;
    uint64_t word;
};

/* The writer changes what readers only look at. */
static inline struct keydir_shard *keydir_direct_shard(const struct keydir_probe *probe)
{
    return (struct keydir_shard *)(uintptr_t)probe->shard;
}

static inline _Atomic uint64_t *keydir_direct_slot(const struct keydir_probe *probe, unsigned i)
{
    const _Atomic uint64_t *bucket = i < KEYDIR_BUCKET_SLOTS ? probe->home : probe->other;
    return (_Atomic uint64_t *)(uintptr_t)&bucket[i % KEYDIR_BUCKET_SLOTS];
}

/* The first match of a fresh probe that has one. False if it has gone. */
static inline bool keydir_direct_find(const struct keydir_probe *probe, struct keydir_spot *spot,
                                      struct keydir_place *place)
{
    unsigned i = (unsigned)__builtin_ctz(probe->matches);
    spot->shard = keydir_direct_shard(probe);
    spot->slot = keydir_direct_slot(probe, i);
    spot->word = load_slot(spot->slot);
    return spot->word >> KEYDIR_ALTERNATE_BIT == (probe->want | (i >= KEYDIR_BUCKET_SLOTS)) &&
           keydir_word_place(spot->word, place);
}

static inline bool keydir_direct_change(struct keydir_spot *spot, uint64_t word)
{
    return atomic_compare_exchange_strong_explicit(spot->slot, &spot->word, word,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

static inline uint64_t keydir_direct_word(const struct keydir_spot *spot, struct keydir_place to)
{
    return (spot->word & ~KEYDIR_PAYLOAD_MASK) | payload_of_place(to);
}

static inline void keydir_direct_count_removed(struct keydir *keydir, struct keydir_spot *spot)
{
    counter_add(&spot->shard->used, -1);
    spot->shard->removed = true;
    keydir_add_count(keydir, -1);
}

/* Point the entry elsewhere; `_alone`: where nobody moves entries. */
static inline bool keydir_direct_replace(struct keydir_spot *spot, struct keydir_place to)
{
    return keydir_direct_change(spot, keydir_direct_word(spot, to));
}

static inline void keydir_direct_replace_alone(struct keydir_spot *spot, struct keydir_place to)
{
    store_slot(spot->slot, keydir_direct_word(spot, to));
}

/* Take it out; `_alone` as above. */
static inline bool keydir_direct_remove(struct keydir *keydir, struct keydir_spot *spot)
{
    if (!keydir_direct_change(spot, 0))
        return false;
    keydir_direct_count_removed(keydir, spot);
    return true;
}

static inline void keydir_direct_remove_alone(struct keydir *keydir, struct keydir_spot *spot)
{
    store_slot(spot->slot, 0);
    keydir_direct_count_removed(keydir, spot);
}

/* Bits set for slots that look empty, numbered as in keydir_matches. */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
static inline __m128i keydir_empty_four(const _Atomic uint64_t *slots)
{
    const __m128 *pairs = (const __m128 *)(uintptr_t)slots;
    __m128 tops = _mm_shuffle_ps(pairs[0], pairs[1], _MM_SHUFFLE(3, 1, 3, 1));
    return _mm_cmpeq_epi32(_mm_castps_si128(tops), _mm_setzero_si128());
}

static inline uint32_t keydir_empty(const _Atomic uint64_t *home, const _Atomic uint64_t *other)
{
    __m128i a = keydir_empty_four(home), b = keydir_empty_four(home + 4);
    __m128i c = keydir_empty_four(other), d = keydir_empty_four(other + 4);
    __m128i all = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
    return (uint32_t)_mm_movemask_epi8(all);
}
#else
static inline uint32_t keydir_empty(const _Atomic uint64_t *home, const _Atomic uint64_t *other)
{
    uint32_t empty = 0;
    for (unsigned i = 0; i < KEYDIR_BUCKET_SLOTS; i++) {
        empty |= (uint32_t)(load_slot(&home[i]) == 0) << i;
        empty |= (uint32_t)(load_slot(&other[i]) == 0) << (KEYDIR_BUCKET_SLOTS + i);
    }
    return empty;
}
#endif

/* A free slot for a key whose probe has no match; `empty`: keydir_empty of its buckets. False if
 * there is none, if the shard is to be split or another one is, or if scans have to be told of the
 * insertion (keydir_insert). */
static inline bool keydir_direct_room(const struct keydir *keydir, const struct keydir_probe *probe,
                                      uint32_t empty, struct keydir_spot *spot)
{
    struct keydir_shard *shard = keydir_direct_shard(probe);
    if (UNLIKELY(empty == 0 || shard->removed || keydir->splitting != NULL ||
                 counter_load(&shard->used) >= keydir->split_at))
        return false;
    unsigned i = (unsigned)__builtin_ctz(empty);
    spot->shard = shard;
    spot->slot = keydir_direct_slot(probe, i);
    spot->word = (probe->want | (i >= KEYDIR_BUCKET_SLOTS)) << KEYDIR_ALTERNATE_BIT;
    return load_slot(spot->slot) == 0;
}

/* Let an entry be there. Cannot fail. */
static inline void keydir_direct_insert(struct keydir *keydir, const struct keydir_spot *spot,
                                        struct keydir_place place)
{
    store_slot(spot->slot, spot->word | payload_of_place(place));
    counter_add(&spot->shard->used, 1);
    keydir_add_count(keydir, 1);
}

#endif
