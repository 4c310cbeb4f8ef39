/* SPDX-License-Identifier: MIT
 * tombstones.c: how soon deletes are reclaimed, and how much work their exactness costs.
 *
 * Rounds of random puts and deletes, and after each one pass of bitcask_merge. A tombstone may go
 * when no segment outside the job can hold an older version of its key; that is asked by version
 * range first, then by the filter of that segment's hint, and only then by a search of the hint. At
 * the end everything is deleted, and the passes go on until nothing changes. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bitcask.h"

enum { KEY_SIZE = 16, VALUE_SIZE = 100, LAST_PASSES_MAX = 10 };

struct bench {
    bitcask *db;
    uint64_t keys, random;
};

static void check(bitcask_status status, const bitcask_error *error)
{
    if (status < 0) {
        fprintf(stderr, "tombstones: %s\n", error->message);
        exit(1);
    }
}

static uint64_t next_random(struct bench *bench)
{
    bench->random = bench->random * 6364136223846793005u + 1442695040888963407u;
    return bench->random >> 33;
}

static bitcask_slice key_of(char key[KEY_SIZE + 1], uint64_t number)
{
    snprintf(key, KEY_SIZE + 1, "%016" PRIx64, number * 0x9e3779b97f4a7c15u);
    return bitcask_bytes(key, KEY_SIZE);
}

static void put(struct bench *bench, uint64_t number)
{
    static const char value[VALUE_SIZE];
    char key[KEY_SIZE + 1];
    bitcask_error error;
    check(bitcask_put(bench->db, key_of(key, number), bitcask_bytes(value, sizeof value), NULL,
                      NULL, &error),
          &error);
}

static void drop(struct bench *bench, uint64_t number)
{
    char key[KEY_SIZE + 1];
    bitcask_error error;
    check(bitcask_delete(bench->db, key_of(key, number), NULL, NULL, &error), &error);
}

/* Half as many writes as there are keys, two puts to each delete. */
static void write_round(struct bench *bench)
{
    for (uint64_t i = 0; i < bench->keys / 2; i++) {
        uint64_t number = next_random(bench) % bench->keys;
        if (i % 3 == 2)
            drop(bench, number);
        else
            put(bench, number);
    }
}

static uint64_t count_tombstones(struct bench *bench)
{
    static bitcask_segment_info infos[4096];
    size_t count =
        bitcask_get_segments(bench->db, infos, sizeof infos / sizeof infos[0], sizeof infos[0]);
    uint64_t tombstones = 0;
    for (size_t i = 0; i < count && i < sizeof infos / sizeof infos[0]; i++)
        tombstones += infos[i].tombstones;
    return tombstones;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* Merge what is worth it, the active segment too if `all`, and print what came of the tombstones.
 * False if nothing was left to do. */
static bool merge_pass(struct bench *bench, const char *name, bool all)
{
    bitcask_error error;
    bitcask_merge_options options;
    bitcask_merge_result result = {.struct_size = sizeof result};
    bitcask_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    bitcask_merge_options_init(&options);
    options.all = all;
    uint64_t there = count_tombstones(bench);
    bitcask_get_stats(bench->db, &before);
    check(bitcask_merge(bench->db, &options, &result, &error), &error);
    bitcask_get_stats(bench->db, &after);
    uint64_t left = count_tombstones(bench);
    uint64_t asked = after.filter_lookups - before.filter_lookups;
    uint64_t spared = after.filter_spared - before.filter_spared;
    printf("%-10s %9" PRIu64 " %9" PRIu64 " %6.1f%% %10" PRIu64 " %10" PRIu64 " %6.1f%% %9" PRIu64
           " %7.0f\n",
           name, there, there - left, share(there - left, there), asked, spared,
           share(spared, asked), after.segments, (double)result.duration_us / 1000);
    return result.inputs > 0;
}

int main(int argc, char **argv)
{
    struct bench bench = {.random = 1};
    char directory[] = "tombstones-XXXXXX";
    bitcask_error error;
    bitcask_options options;
    bench.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 6;
    if (bench.keys == 0 || mkdtemp(directory) == NULL) {
        fprintf(stderr, "usage: tombstones [KEYS [ROUNDS]]\n");
        return 2;
    }
    bitcask_options_init(&options);
    options.merge = 0;
    options.segment_size = 8 << 20;
    check(bitcask_open(directory, &options, &bench.db, &error), &error);
    for (uint64_t i = 0; i < bench.keys; i++)
        put(&bench, i);
    printf("%-10s %9s %9s %7s %10s %10s %7s %9s %7s\n", "pass", "there", "gone", "", "asked",
           "spared", "", "segments", "ms");
    for (unsigned round = 1; round <= rounds; round++) {
        char name[16];
        snprintf(name, sizeof name, "round %u", round);
        write_round(&bench);
        merge_pass(&bench, name, false);
    }
    merge_pass(&bench, "all", true);
    for (uint64_t i = 0; i < bench.keys; i++)
        drop(&bench, i);
    for (unsigned i = 0; i < LAST_PASSES_MAX && merge_pass(&bench, "deleted", false); i++)
        ;
    merge_pass(&bench, "and all", true); /* what is left is in the active segment */
    check(bitcask_close(bench.db, &error), &error);
    check(bitcask_destroy(directory, &error), &error);
    return 0;
}
