/* SPDX-License-Identifier: MIT
 * parts_bench.c: where the nanoseconds of a get and of a put go.
 *
 *     make bench-parts                   or: bench-parts DIRECTORY, an empty one, for the store
 *
 * Each part by itself, with all it touches in the first caches; what a load costs that nothing
 * overlaps, from memory as large as the index and the log; and the whole calls, of a thousand keys
 * again and again, which is what they execute, and of a million in random order. Medians. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/checksum.h"
#include "base/hash_inline.h"
#include "bitcask.h"
#include "engine/epoch.h"
#include "engine/keydir.h"
#include "format/record.h"
#include "keys.h"

enum {
    KEY_SIZE = 16,
    VALUE_SIZE = 100,
    RECORD_SIZE = RECORD_HEADER_SIZE + KEY_SIZE + VALUE_SIZE,
    HOT = 1024,
    KEYS = 1000000,
    TIMES = 2000000,
    ROUNDS = 5,
    LINE = 64,
};

static volatile uint64_t sink;
static uint8_t keys[HOT][KEY_SIZE], values[BENCH_VALUE_POOL_SIZE + VALUE_SIZE];
static struct bench_permutation order, other_order;
static bitcask *db;

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench-parts: %s failed\n", what);
    exit(1);
}

static slice hot_key(uint64_t i)
{
    return slice_of(keys[i % HOT], KEY_SIZE);
}

/* ---- Parts --------------------------------------------------------------------------------- */

static struct hash_secret secret;
static struct epoch epoch;
static struct keydir *keydir;
static uint64_t hashes[HOT];
static uint8_t records[HOT / 8][RECORD_SIZE], out[VALUE_SIZE];

static void nothing(uint64_t i)
{
    sink = i;
}

static void hash(uint64_t i)
{
    sink = hash_key_inline(&secret, hot_key(i));
}

static void in_and_out(uint64_t i)
{
    (void)i;
    epoch_exit(epoch_enter(&epoch));
}

static void look(uint64_t i)
{
    uint64_t word = 0;
    bool stash;
    keydir_peek(keydir, hashes[i % HOT], &word, &stash);
    sink = word;
}

static void check(uint64_t i)
{
    sink = checksum_words(1, i, records[i % (HOT / 8)] + 4, RECORD_SIZE - 4);
}

static void copy(uint64_t i)
{
    memcpy(out, records[i % (HOT / 8)], VALUE_SIZE);
    sink = out[0];
}

static void encode(uint64_t i)
{
    struct record record = {
        .version = i, .key = hot_key(i), .value = slice_of(values + i % HOT, VALUE_SIZE)};
    record_encode(records[i % (HOT / 8)], &record, 1, i);
}

static void ask_clock(uint64_t i)
{
    (void)i;
    sink = os_posix()->clock_coarse(os_posix());
}

/* ---- Loads --------------------------------------------------------------------------------- */

static uint64_t *chain; /* in each line the number of the line that comes next */
static uint64_t chain_at;

static void follow(uint64_t i)
{
    (void)i;
    chain_at = chain[chain_at * (LINE / sizeof *chain)];
}

/* One circle through all lines in random order (Sattolo). */
static void make_chain(size_t size)
{
    size_t lines = size / LINE, step = LINE / sizeof *chain;
    free(chain);
    chain = aligned_alloc(LINE, size);
    must(chain != NULL, "memory");
    for (size_t i = 0; i < lines; i++)
        chain[i * step] = i;
    uint64_t random = 1;
    for (size_t i = lines - 1; i > 0; i--) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t j = (size_t)((random >> 33) % i);
        uint64_t kept = chain[i * step];
        chain[i * step] = chain[j * step];
        chain[j * step] = kept;
    }
    chain_at = 0;
}

/* ---- Calls --------------------------------------------------------------------------------- */

static bitcask_slice key_at(uint8_t to[KEY_SIZE], uint64_t i)
{
    bench_key(to, KEY_SIZE, bench_permute(&order, i));
    return bitcask_bytes(to, KEY_SIZE);
}

static bitcask_slice value_at(uint64_t i)
{
    return bitcask_bytes(values + bench_value_offset(i), VALUE_SIZE);
}

static void put_key(uint64_t i)
{
    uint8_t key[KEY_SIZE] = {0};
    must(bitcask_put(db, key_at(key, i), value_at(i), NULL, NULL, NULL) == BITCASK_OK, "put");
}

static void get_key(uint64_t i)
{
    static bitcask_buffer value;
    uint8_t key[KEY_SIZE] = {0};
    must(bitcask_get(db, NULL, key_at(key, i), &value, NULL, NULL) == BITCASK_OK, "get");
    sink = value.size;
}

static void name_key(uint64_t i)
{
    uint8_t key[KEY_SIZE] = {0};
    sink = key_at(key, i).size + value_at(i).size;
}

static void put_hot(uint64_t i)
{
    put_key(i % HOT);
}

static void get_hot(uint64_t i)
{
    get_key(i % HOT);
}

static void put_random(uint64_t i)
{
    put_key(bench_permute(&other_order, i % KEYS));
}

static void get_random(uint64_t i)
{
    get_key(bench_permute(&other_order, i % KEYS));
}

static void name_random(uint64_t i)
{
    name_key(bench_permute(&other_order, i % KEYS));
}

/* ---- All ----------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double loop_ns; /* of the loop itself */

static double time_of(void (*part)(uint64_t i), uint64_t times)
{
    double figures[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double began = now_ns();
        for (uint64_t i = 0; i < times; i++)
            part(i);
        figures[round] = (now_ns() - began) / (double)times;
    }
    qsort(figures, ROUNDS, sizeof figures[0], by_size);
    return figures[ROUNDS / 2];
}

static void tell(const char *what, double ns)
{
    printf("%-58s %6.1f ns\n", what, ns - loop_ns);
}

static bool never_asked(void *context, struct keydir_place place, uint64_t *hash_of_record)
{
    (void)context, (void)place, (void)hash_of_record;
    return false;
}

static void make_index(void)
{
    struct keydir_options options = {.expected_keys = HOT};
    options.hash_of = never_asked;
    static const uint8_t seed[HASH_SEED_SIZE] = {1};
    hash_secret_init(&secret, seed);
    epoch_init(&epoch);
    must(keydir_new(os_posix(), &epoch, &options, &keydir, NULL) == BITCASK_OK, "index");
    for (uint64_t i = 0; i < HOT; i++) {
        bench_key(keys[i], KEY_SIZE, i);
        hashes[i] = hash_key(&secret, hot_key(i));
        must(keydir_reserve(keydir, hashes[i], NULL) == BITCASK_OK, "index");
        keydir_insert(keydir, hashes[i], (struct keydir_place){1, (uint32_t)i + 1});
    }
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage: bench-parts DIRECTORY;");
    bitcask_error error;
    bench_permutation_init(&order, KEYS, 1);
    bench_permutation_init(&other_order, KEYS, 2);
    for (size_t i = 0; i < sizeof values; i++)
        values[i] = (uint8_t)(i * 37 >> 2);
    make_index();
    loop_ns = time_of(nothing, TIMES);
    tell("hash of a key of 16 bytes", time_of(hash, TIMES));
    tell("in and out of an epoch", time_of(in_and_out, TIMES));
    tell("two buckets of the index looked through", time_of(look, TIMES));
    tell("checksum of a record, 132 bytes", time_of(check, TIMES));
    tell("memcpy of a value, 100 bytes", time_of(copy, TIMES));
    tell("a record encoded: copied and summed up", time_of(encode, TIMES));
    tell("the coarse clock", time_of(ask_clock, TIMES));
    const size_t sizes[] = {12 << 20, 136 << 20};
    for (size_t i = 0; i < 2; i++) {
        make_chain(sizes[i]);
        char what[64];
        snprintf(what, sizeof what, "a load that waits, of %zu MiB", sizes[i] >> 20);
        tell(what, time_of(follow, TIMES));
    }
    if (bitcask_open(argv[1], NULL, &db, &error) != BITCASK_OK) {
        fprintf(stderr, "bench-parts: %s\n", error.message);
        return 1;
    }
    for (uint64_t i = 0; i < KEYS; i++)
        put_key(i);
    loop_ns = time_of(name_key, TIMES);
    tell("get of one of a thousand keys", time_of(get_hot, TIMES));
    tell("put of one of a thousand keys", time_of(put_hot, KEYS / 10));
    loop_ns = time_of(name_random, TIMES);
    tell("get of one of a million keys", time_of(get_random, KEYS));
    tell("put of one of a million keys", time_of(put_random, KEYS));
    return bitcask_close(db, &error) == BITCASK_OK ? 0 : 1;
}
