/* SPDX-License-Identifier: MIT
 * keydir_fixture.h: a keydir whose keys are numbers, for tests. Header only.
 *
 * Key k has the hash hashes[k], which the test chooses; a record of it stands at offset k of any
 * segment slot, so that a place tells its key and the slot tells its version. place[k] is where
 * the model has it, {0, 0} if it is not there. */
#ifndef SUPPORT_KEYDIR_FIXTURE_H
#define SUPPORT_KEYDIR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/keydir.h"
#include "engine/keydir_pool.h"

struct fixture {
    struct os os; /* memory only */
    _Atomic int64_t live_bytes;
    _Atomic uint64_t allocations;
    uint64_t fail_from, fail_count; /* allocations fail_from.. (1: the first) fail */
    struct epoch epoch;
    struct keydir *keydir;
    uint32_t key_count;
    uint64_t *hashes;
    struct keydir_place *places;
    bool *untrusted; /* records that hash_of refuses */
    uint64_t live;
    struct keydir_places scanned;
    bool slabs; /* fixture_into_slabs */
};

static inline void *fixture_alloc(struct os *os, size_t size, size_t alignment)
{
    struct fixture *f = os->context;
    uint64_t n = atomic_fetch_add(&f->allocations, 1) + 1;
    void *memory;
    if (n >= f->fail_from && n - f->fail_from < f->fail_count)
        return NULL;
    if (posix_memalign(&memory, alignment < 16 ? 16 : alignment, size) != 0)
        return NULL;
    memset(memory, 0xa5, size);
    atomic_fetch_add(&f->live_bytes, (int64_t)size);
    return memory;
}

static inline void fixture_free(struct os *os, void *memory, size_t size)
{
    struct fixture *f = os->context;
    atomic_fetch_sub(&f->live_bytes, (int64_t)size);
    free(memory);
}

static inline int fixture_advise(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    (void)os, (void)memory, (void)size, (void)advice;
    return 0;
}

static inline bool fixture_hash_of(void *context, struct keydir_place place, uint64_t *hash)
{
    struct fixture *f = context;
    if (place.offset >= f->key_count || f->untrusted[place.offset])
        return false;
    *hash = f->hashes[place.offset];
    return true;
}

/* splitmix64: a hash of a number, and a generator. */
static inline uint64_t mix64(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline uint64_t random64(uint64_t *state)
{
    return mix64((*state)++);
}

static inline void fixture_options(struct fixture *f, uint32_t max_buckets,
                                   struct keydir_options *options)
{
    *options = (struct keydir_options){
        .hash_of = fixture_hash_of, .hash_context = f, .max_buckets = max_buckets};
}

/* The hash of key k is mix64(k) & mask: a mask makes collisions. */
static inline struct fixture *fixture_new(uint32_t key_count, uint64_t mask, uint32_t max_buckets)
{
    struct fixture *f = aligned_alloc(_Alignof(struct fixture), sizeof *f);
    assert_non_null(f);
    memset(f, 0, sizeof *f);
    f->os = (struct os){
        .context = f, .alloc = fixture_alloc, .free = fixture_free, .advise = fixture_advise};
    epoch_init(&f->epoch);
    f->key_count = key_count;
    f->hashes = calloc(key_count, sizeof *f->hashes);
    f->places = calloc(key_count, sizeof *f->places);
    f->untrusted = calloc(key_count, sizeof *f->untrusted);
    for (uint32_t k = 0; k < key_count; k++)
        f->hashes[k] = mix64(k) & mask;
    struct keydir_options options;
    fixture_options(f, max_buckets, &options);
    assert_int_equal(keydir_new(&f->os, &f->epoch, &options, &f->keydir, NULL), BITCASK_OK);
    return f;
}

/* Shards from now on are in slabs, as those of a large index. */
static inline void fixture_into_slabs(struct fixture *f)
{
    keydir_pool_expect(f->keydir->pool, SIZE_MAX);
    f->slabs = true;
}

/* Nothing may be left behind. */
static inline void fixture_free_all(struct fixture *f)
{
    keydir_free(f->keydir);
    epoch_release(&f->epoch);
    assert_int_equal(f->live_bytes, 0);
    free(f->hashes);
    free(f->places);
    free(f->untrusted);
    free(f->scanned.items);
    free(f);
}

static inline struct keydir_place place_of(uint32_t key, uint32_t version)
{
    return (struct keydir_place){version % 16383 + 1, key};
}

static inline bool place_equal(struct keydir_place a, struct keydir_place b)
{
    return a.segment_slot == b.segment_slot && a.offset == b.offset;
}

static inline bool is_live(const struct fixture *f, uint32_t key)
{
    return f->places[key].segment_slot != 0;
}

static inline void insert_key(struct fixture *f, uint32_t key)
{
    assert_int_equal(keydir_reserve(f->keydir, f->hashes[key], NULL), BITCASK_OK);
    f->places[key] = place_of(key, 0);
    keydir_insert(f->keydir, f->hashes[key], f->places[key]);
    f->live++;
}

static inline void insert_keys(struct fixture *f, uint32_t from, uint32_t to)
{
    for (uint32_t k = from; k < to; k++)
        insert_key(f, k);
}

static inline void remove_key(struct fixture *f, uint32_t key)
{
    assert_true(keydir_remove(f->keydir, f->hashes[key], f->places[key]));
    f->places[key] = (struct keydir_place){0, 0};
    f->live--;
}

static inline void replace_key(struct fixture *f, uint32_t key, bool merge)
{
    struct keydir_place to = place_of(key, f->places[key].segment_slot);
    if (merge)
        keydir_movers_begin(f->keydir);
    assert_true(
        (merge ? keydir_move : keydir_replace)(f->keydir, f->hashes[key], f->places[key], to));
    if (merge)
        keydir_movers_end(f->keydir);
    f->places[key] = to;
}

/* How often a probe gives a place of this key; the last one goes to *found. */
static inline unsigned probe_key(const struct keydir *keydir, uint64_t hash, uint32_t key,
                                 struct keydir_place *found)
{
    struct keydir_probe probe;
    struct keydir_place place;
    unsigned times = 0;
    keydir_probe_start(keydir, hash, &probe);
    while (keydir_probe_next(&probe, &place)) {
        if (place.offset != key)
            continue;
        times++;
        *found = place;
    }
    return times;
}

static inline void check_probes(struct fixture *f)
{
    for (uint32_t k = 0; k < f->key_count; k++) {
        struct keydir_place found = {0, 0};
        unsigned times = probe_key(f->keydir, f->hashes[k], k, &found);
        if (times != is_live(f, k) || (times == 1 && !place_equal(found, f->places[k])))
            fail_msg("key %u: found %u times, slot %u; expected slot %u", k, times,
                     times ? found.segment_slot : 0, f->places[k].segment_slot);
    }
}

static inline void check_scan(struct fixture *f)
{
    uint8_t *seen = calloc(f->key_count, 1);
    uint64_t cursor = 0, count = 0;
    do {
        assert_int_equal(keydir_scan(f->keydir, cursor, &f->scanned, &cursor), BITCASK_OK);
        for (size_t i = 0; i < f->scanned.count; i++) {
            struct keydir_place place = f->scanned.items[i];
            assert_true(place.offset < f->key_count);
            assert_true(place_equal(place, f->places[place.offset]));
            assert_int_equal(seen[place.offset]++, 0);
            count++;
        }
    } while (cursor != UINT64_MAX);
    assert_int_equal(count, f->live);
    free(seen);
}

/* The keydir is what the model says, by every way of looking. */
static inline void check_all(struct fixture *f)
{
    assert_int_equal(keydir_count(f->keydir), f->live);
    check_probes(f);
    check_scan(f);
}

/* With nothing in grace, the keydir owns up to all it has allocated but its own struct, the pool
 * and what the pool has ready. */
static inline void check_bytes(struct fixture *f)
{
    epoch_drain(&f->epoch);
    if (f->slabs) {
        assert_true((uint64_t)f->live_bytes >= KEYDIR_SLAB_SIZE);
        return;
    }
    assert_int_equal(keydir_bytes(f->keydir) + sizeof(struct keydir) + sizeof(struct keydir_pool) +
                         f->keydir->pool->small_free,
                     f->live_bytes);
}

static inline struct keydir_shape shape_of(struct fixture *f)
{
    struct keydir_shape shape;
    keydir_get_shape(f->keydir, &shape);
    return shape;
}

#endif
