/* SPDX-License-Identifier: MIT
 * views_bench.c: what snapshots and batches cost.
 *
 *     make bench-views                       or build/bench/bench-views [KEYS]; default 500000
 *
 * A store on the memory os with no thread of its own; 16-byte keys, 100-byte values, keys in a
 * scattered order. Times are of the thread's own processor clock, so that other load on the machine
 * counts little; memory and entries are the statistics'. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "bitcask.h"

enum { VALUE_SIZE = 100, BATCH = 10, EMPTY_ROUNDS = 100000 };

static bitcask *db;
static uint64_t keys = 500000;

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static bitcask_slice key_at(char text[24], uint64_t i)
{
    uint64_t scattered = i * UINT64_C(0x9E3779B1) % keys;
    snprintf(text, 24, "%016llu", (unsigned long long)scattered);
    return bitcask_bytes(text, 16);
}

static bitcask_stats stats_now(void)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(db, &stats);
    return stats;
}

/* ns a put; all keys once. */
static double put_all(char fill)
{
    char text[24], value[VALUE_SIZE];
    memset(value, fill, sizeof value);
    double start = now_ns();
    for (uint64_t i = 0; i < keys; i++)
        CHECK(bitcask_put(db, key_at(text, i), bitcask_bytes(value, sizeof value), NULL, NULL,
                          NULL) == BITCASK_OK);
    return (now_ns() - start) / (double)keys;
}

static double write_batches(char fill)
{
    char text[24], value[VALUE_SIZE];
    bitcask_batch *batch;
    memset(value, fill, sizeof value);
    CHECK(bitcask_batch_new(&batch, NULL) == BITCASK_OK);
    double start = now_ns();
    for (uint64_t i = 0; i + BATCH <= keys; i += BATCH) {
        bitcask_batch_clear(batch);
        for (uint64_t k = i; k < i + BATCH; k++)
            CHECK(bitcask_batch_put(batch, key_at(text, k), bitcask_bytes(value, sizeof value), 0,
                                    NULL) == BITCASK_OK);
        CHECK(bitcask_write(db, batch, NULL, NULL, NULL) == BITCASK_OK);
    }
    double spent = now_ns() - start;
    bitcask_batch_free(batch);
    return spent / (double)(keys / BATCH * BATCH);
}

static double get_all(bitcask_snapshot *snapshot)
{
    char text[24];
    bitcask_buffer value = {0};
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    double start = now_ns();
    for (uint64_t i = 0; i < keys; i++)
        CHECK(bitcask_get(db, &options, key_at(text, i), &value, NULL, NULL) == BITCASK_OK);
    double spent = now_ns() - start;
    bitcask_buffer_free(&value);
    return spent / (double)keys;
}

static double walk(bitcask_snapshot *snapshot)
{
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    double start = now_ns();
    uint64_t seen = 0;
    CHECK(bitcask_iterator_new(db, &options, bitcask_str(""), BITCASK_VALUES, &iterator, NULL) ==
          BITCASK_OK);
    while (bitcask_iterator_next(iterator, &entry, NULL) == BITCASK_OK)
        seen++;
    CHECK(seen == keys);
    bitcask_iterator_free(iterator);
    return (now_ns() - start) / (double)keys;
}

static bitcask_snapshot *take(void)
{
    bitcask_snapshot *snapshot;
    CHECK(bitcask_snapshot_new(db, &snapshot, NULL) == BITCASK_OK);
    return snapshot;
}

static void measure(void)
{
    put_all('a');
    double start = now_ns();
    for (int i = 0; i < EMPTY_ROUNDS; i++)
        bitcask_snapshot_free(take());
    printf("take a snapshot and free it, nothing written   %6.0f ns\n",
           (now_ns() - start) / EMPTY_ROUNDS);
    printf("overwrite, no snapshot                         %6.0f ns\n", put_all('b'));
    bitcask_snapshot *snapshot = take();
    printf("get, as of now                                 %6.0f ns\n", get_all(NULL));
    printf("get, as of a snapshot, nothing written since   %6.0f ns\n", get_all(snapshot));
    printf("overwrite, the first since a snapshot          %6.0f ns\n", put_all('c'));
    bitcask_stats stats = stats_now();
    CHECK(stats.undo_entries == keys);
    printf("overwrite, the second since it                 %6.0f ns\n", put_all('d'));
    printf("get, as of a snapshot, all overwritten since   %6.0f ns\n", get_all(snapshot));
    printf("walk, as of now                                %6.0f ns a key\n", walk(NULL));
    printf("walk, as of a snapshot, all overwritten since  %6.0f ns a key\n", walk(snapshot));
    start = now_ns();
    bitcask_snapshot_free(snapshot);
    printf("free a snapshot                                %6.0f ns an entry\n",
           (now_ns() - start) / (double)keys);
    printf("overwrite, no snapshot, again                  %6.0f ns\n", put_all('e'));
    printf("overwrite in batches of %d, no snapshot        %6.0f ns a key\n", BATCH,
           write_batches('f'));
    printf("memory of the overlay                          %6.1f bytes an entry\n",
           (double)stats.undo_bytes / (double)stats.undo_entries);
}

int main(int argc, char **argv)
{
    bitcask_options options;
    bitcask_error error;
    if (argc > 1)
        keys = strtoull(argv[1], NULL, 10);
    bitcask_options_init(&options);
    options.in_memory = 1;
    options.background = BITCASK_BACKGROUND_NONE;
    options.sync = BITCASK_SYNC_NONE;
    options.segment_size = UINT64_C(1) << 30; /* nothing is sealed meanwhile */
    if (keys == 0 || keys % 0x9E3779B1 == 0 ||
        bitcask_open("memory", &options, &db, &error) != BITCASK_OK)
        return 1;
    measure();
    return bitcask_close(db, &error) == BITCASK_OK ? 0 : 1;
}
