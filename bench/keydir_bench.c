/* SPDX-License-Identifier: MIT
 * keydir_bench.c: memory and time of the index alone.
 *
 *     gcc -std=gnu11 -O2 -D_GNU_SOURCE -Iinclude -Isrc bench/keydir_bench.c src/engine/epoch.c \
 *         src/engine/keydir*.c src/base/check.c src/base/error.c src/base/status.c \
 *         src/os/os_posix.c -lpthread -o keydir_bench
 *     ./keydir_bench [KEYS]                  default 20000000
 *
 * Key number i has a mixed hash and the place {1 + i / 2^32, i}; no record is read, so a hit costs
 * the index only. Times are of one thread, keys in random order. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/keydir.h"

enum { TIMED_MAX = 4000000 };

static uint64_t mix64(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static struct keydir_place place_of(uint64_t key)
{
    return (struct keydir_place){1 + (uint32_t)(key >> 32), (uint32_t)key};
}

static bool hash_of(void *context, struct keydir_place place, uint64_t *hash)
{
    (void)context;
    *hash = mix64((uint64_t)((place.segment_slot - 1) & 0xfff) << 32 | place.offset);
    return true;
}

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static struct epoch epoch;

static struct keydir *new_keydir(void)
{
    struct keydir_options options = {.hash_of = hash_of};
    struct keydir *keydir;
    CHECK(keydir_new(os_posix(), &epoch, &options, &keydir, NULL) == BITCASK_OK);
    return keydir;
}

static void print_shape(const struct keydir *keydir, uint64_t keys)
{
    struct keydir_shape shape;
    keydir_get_shape(keydir, &shape);
    printf("%10lu keys  %6.2f bytes/key  load %.3f  %u shards of %u buckets, directory 2^%u, "
           "tags >= %u bits, %lu stashed\n",
           (unsigned long)keys, (double)keydir_bytes(keydir) / (double)keys, shape.load,
           shape.shards, shape.buckets_per_shard, shape.directory_depth, shape.tag_bits_min,
           (unsigned long)shape.stashed);
}

/* ---- Growth ---- */

static void grow(struct keydir *keydir, uint64_t keys)
{
    double sum = 0, spent = 0, next_step = 1000;
    uint64_t samples = 0, sample_every = keys / 10000 + 1;
    for (uint64_t i = 0; i < keys;) {
        uint64_t stop = i + sample_every < keys ? i + sample_every : keys;
        double start = now_ns();
        for (; i < stop; i++) {
            uint64_t hash = mix64(i);
            CHECK(keydir_reserve(keydir, hash, NULL) == BITCASK_OK);
            keydir_insert(keydir, hash, place_of(i));
        }
        spent += now_ns() - start;
        if (i >= 10000) { /* below, the one shard that an empty keydir has */
            sum += (double)keydir_bytes(keydir) / (double)i;
            samples++;
        }
        if ((double)i >= next_step) {
            print_shape(keydir, i);
            while (next_step <= (double)i)
                next_step *= 2;
        }
    }
    print_shape(keydir, keys);
    if (samples > 0)
        printf("average over growth from 10 thousand: %.2f bytes/key\n", sum / (double)samples);
    printf("insert         %6.1f ns\n", spent / (double)keys);
}

/* ---- Look-ups ---- */

static void time_hits(struct keydir *keydir, uint64_t keys, uint64_t count)
{
    uint64_t candidates = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = mix64(i + 1) % keys;
        struct epoch_guard guard = epoch_enter(&epoch);
        struct keydir_probe probe;
        struct keydir_place place = {0, 0};
        keydir_probe_start(keydir, mix64(key), &probe);
        bool found;
        do {
            found = keydir_probe_next(&probe, &place);
            candidates++;
        } while (found && place.offset != (uint32_t)key);
        CHECK(found);
        epoch_exit(guard);
    }
    printf("hit            %6.1f ns  (epoch included; %.4f candidates)\n",
           (now_ns() - start) / (double)count, (double)candidates / (double)count);
}

static void time_misses(struct keydir *keydir, uint64_t keys, uint64_t count)
{
    uint64_t candidates = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        struct epoch_guard guard = epoch_enter(&epoch);
        struct keydir_probe probe;
        struct keydir_place place;
        keydir_probe_start(keydir, mix64(keys + i), &probe);
        while (keydir_probe_next(&probe, &place))
            candidates++;
        epoch_exit(guard);
    }
    printf("miss           %6.1f ns  (epoch included; %.4f candidates)\n",
           (now_ns() - start) / (double)count, (double)candidates / (double)count);
}

static void time_groups(struct keydir *keydir, uint64_t keys, uint64_t count)
{
    enum { GROUP = 64 };
    uint64_t hashes[GROUP];
    double start = now_ns();
    for (uint64_t i = 0; i < count / GROUP; i++) {
        struct epoch_guard guard = epoch_enter(&epoch);
        for (unsigned j = 0; j < GROUP; j++) {
            hashes[j] = mix64(mix64(i * GROUP + j) % keys);
            keydir_prefetch(keydir, hashes[j]);
        }
        for (unsigned j = 0; j < GROUP; j++) {
            struct keydir_probe probe;
            struct keydir_place place;
            keydir_probe_start(keydir, hashes[j], &probe);
            CHECK(keydir_probe_next(&probe, &place));
        }
        epoch_exit(guard);
    }
    printf("hit, 64 at once%6.1f ns\n", (now_ns() - start) / (double)count);
}

/* ---- Changes ---- */

static void time_changes(struct keydir *keydir, uint64_t keys, uint64_t count)
{
    double start = now_ns();
    for (uint64_t i = 0; i < count; i++) { /* there and back, so that hash_of goes on working */
        uint64_t key = mix64(i + 1) % keys;
        struct keydir_place here = place_of(key), there = {here.segment_slot + 0x1000, here.offset};
        uint64_t hash = mix64(key);
        CHECK(keydir_replace(keydir, hash, here, there));
        CHECK(keydir_move(keydir, hash, there, here));
    }
    printf("replace + move %6.1f ns  (the second finds its line in the cache)\n",
           (now_ns() - start) / (double)count);
    uint64_t bytes = keydir_bytes(keydir);
    start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = mix64(i + 7) % keys;
        uint64_t hash = mix64(key);
        CHECK(keydir_remove(keydir, hash, place_of(key)));
        CHECK(keydir_reserve(keydir, hash, NULL) == BITCASK_OK);
        keydir_insert(keydir, hash, place_of(key));
    }
    printf("remove + insert%6.1f ns  (%+ld bytes)\n", (now_ns() - start) / (double)count,
           (long)(keydir_bytes(keydir) - bytes));
}

static void time_scan(struct keydir *keydir)
{
    struct keydir_places places = {0};
    uint64_t cursor = 0, seen = 0;
    double start = now_ns();
    do {
        struct epoch_guard guard = epoch_enter(&epoch);
        CHECK(keydir_scan(keydir, cursor, &places, &cursor) == BITCASK_OK);
        epoch_exit(guard);
        seen += places.count;
    } while (cursor != UINT64_MAX);
    printf("scan           %6.1f ns a key\n", (now_ns() - start) / (double)seen);
    CHECK(seen == keydir_count(keydir));
    free(places.items);
}

/* ---- Loading ---- */

static int compare_entries(const void *a, const void *b)
{
    const struct keydir_load_entry *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void load(struct keydir *keydir, uint64_t keys)
{
    struct keydir_load_entry *entries = malloc(keys * sizeof *entries);
    CHECK(entries != NULL);
    for (uint64_t i = 0; i < keys; i++)
        entries[i] = (struct keydir_load_entry){mix64(i), place_of(i)};
    qsort(entries, keys, sizeof *entries, compare_entries);
    double start = now_ns();
    CHECK(keydir_load_begin(keydir, keys, NULL) == BITCASK_OK);
    uint32_t shards = keydir_load_shards(keydir);
    uint64_t from = 0;
    for (uint32_t i = 0; i < shards; i++) {
        uint64_t to = from;
        while (to < keys && (shards == 1 || entries[to].hash >> (64 - __builtin_ctz(shards)) == i))
            to++;
        CHECK(keydir_load_shard(keydir, i, entries + from, to - from, NULL) == BITCASK_OK);
        from = to;
    }
    CHECK(keydir_load_end(keydir, NULL) == BITCASK_OK);
    printf("load           %6.1f ns a key, one thread\n", (now_ns() - start) / (double)keys);
    free(entries);
    print_shape(keydir, keys);
}

static void time_all(struct keydir *keydir, uint64_t keys)
{
    uint64_t count = keys < TIMED_MAX ? keys : TIMED_MAX;
    time_hits(keydir, keys, count);
    time_groups(keydir, keys, count);
    time_misses(keydir, keys, count);
    time_scan(keydir);
    time_changes(keydir, keys, count);
}

int main(int argc, char **argv)
{
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000000;
    if (keys == 0 || keys > UINT32_MAX) {
        fprintf(stderr, "usage: keydir_bench [KEYS], 1 to 4294967295\n");
        return 2;
    }
    epoch_init(&epoch);
    struct keydir *keydir = new_keydir();
    grow(keydir, keys);
    time_all(keydir, keys);
    keydir_free(keydir);
    keydir = new_keydir();
    load(keydir, keys);
    time_all(keydir, keys);
    keydir_free(keydir);
    epoch_release(&epoch);
    return 0;
}
