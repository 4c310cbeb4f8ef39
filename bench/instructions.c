/* SPDX-License-Identifier: MIT
 * instructions.c: a number of operations of one kind, for counting instructions under callgrind.
 *
 *     instructions OPERATION DIRECTORY KEYS
 *
 * instructions.py runs it under callgrind, with OPERATION `nothing` too, which opens
 * the store and reads it once: the difference is the operations'. The store has no thread of its
 * own and never syncs, and `make`, which runs without callgrind, has made it, so that two counts of
 * one store are the same. It ends without closing: a close would count. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bitcask.h"
#include "keys.h"

enum { KEY_SIZE = 16, VALUE_SIZE = 100, MANY = 64, BATCH = 1000 };

static bitcask *db;
static uint64_t keys;
static uint8_t values[BENCH_VALUE_POOL_SIZE + VALUE_SIZE];
static struct bench_permutation order;

static void expect(bitcask_status status, bitcask_status expected, const char *what)
{
    if (status == expected)
        return;
    fprintf(stderr, "instructions: %s: %s\n", what, bitcask_status_text(status));
    _exit(1);
}

static bitcask_slice key_at(uint8_t to[KEY_SIZE], uint64_t i)
{
    memset(to, 0, KEY_SIZE);
    bench_key(to, KEY_SIZE, bench_permute(&order, i));
    return bitcask_bytes(to, KEY_SIZE);
}

static bitcask_slice value_at(uint64_t i)
{
    return bitcask_bytes(values + bench_value_offset(i), VALUE_SIZE);
}

static void open_store(const char *directory, int snapshot)
{
    bitcask_options options;
    bitcask_error error;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.sync = BITCASK_SYNC_NONE;
    options.index_snapshot = snapshot;
    if (bitcask_open(directory, &options, &db, &error) == BITCASK_OK)
        return;
    fprintf(stderr, "instructions: %s\n", error.message);
    _exit(1);
}

static void put(void)
{
    uint8_t key[KEY_SIZE];
    for (uint64_t i = 0; i < keys; i++)
        expect(bitcask_put(db, key_at(key, i), value_at(i), NULL, NULL, NULL), BITCASK_OK, "put");
}

static void batch(void)
{
    uint8_t key[KEY_SIZE];
    bitcask_batch *puts;
    expect(bitcask_batch_new(&puts, NULL), BITCASK_OK, "batch");
    for (uint64_t i = 0; i < keys; i++) {
        expect(bitcask_batch_put(puts, key_at(key, i), value_at(i), 0, NULL), BITCASK_OK, "batch");
        if ((i + 1) % BATCH != 0 && i + 1 < keys)
            continue;
        expect(bitcask_write(db, puts, NULL, NULL, NULL), BITCASK_OK, "write");
        bitcask_batch_clear(puts);
    }
}

static void get(void)
{
    uint8_t key[KEY_SIZE];
    bitcask_buffer value = {0};
    for (uint64_t i = 0; i < keys; i++)
        expect(bitcask_get(db, NULL, key_at(key, i), &value, NULL, NULL), BITCASK_OK, "get");
}

static void missing(void)
{
    uint8_t key[KEY_SIZE];
    bitcask_buffer value = {0};
    for (uint64_t i = 0; i < keys; i++) {
        (void)key_at(key, i);
        key[KEY_SIZE - 1] = 1;
        expect(bitcask_get(db, NULL, bitcask_bytes(key, KEY_SIZE), &value, NULL, NULL),
               BITCASK_NOT_FOUND, "missing");
    }
}

static void view(void)
{
    uint8_t key[KEY_SIZE];
    bitcask_view value;
    for (uint64_t i = 0; i < keys; i++) {
        expect(bitcask_get_view(db, NULL, key_at(key, i), &value, NULL), BITCASK_OK, "view");
        bitcask_views_release(&value, 1);
    }
}

static void get_many(void)
{
    uint8_t bytes[MANY][KEY_SIZE];
    bitcask_slice wanted[MANY];
    bitcask_view views[MANY];
    bitcask_status each[MANY];
    for (uint64_t i = 0; i + MANY <= keys; i += MANY) {
        for (size_t k = 0; k < MANY; k++)
            wanted[k] = key_at(bytes[k], i + k);
        expect(bitcask_get_many(db, NULL, wanted, MANY, views, each, NULL), BITCASK_OK, "get_many");
        bitcask_views_release(views, MANY);
    }
}

static void delete_all(void)
{
    uint8_t key[KEY_SIZE];
    for (uint64_t i = 0; i < keys; i++)
        expect(bitcask_delete(db, key_at(key, i), NULL, NULL, NULL), BITCASK_OK, "delete");
}

static void scan(void)
{
    bitcask_iterator *iterator;
    bitcask_entry entry;
    expect(bitcask_iterator_new(db, NULL, bitcask_bytes(NULL, 0), BITCASK_VALUES, &iterator, NULL),
           BITCASK_OK, "iterator");
    for (uint64_t i = 0; i < keys; i++)
        expect(bitcask_iterator_next(iterator, &entry, NULL), BITCASK_OK, "next");
}

static void nothing(void)
{
}

/* What is done once, the first time, is no part of an operation: all keys are read before. */
static void warm(void)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(db, &stats);
    if (stats.keys > 0)
        get();
}

/* Makes the store: a fill and a close, with hints and without an image of the index. */
static void make(void)
{
    put();
    expect(bitcask_close(db, NULL), BITCASK_OK, "close");
}

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    {"make", make},         {"open", nothing},    {"nothing", nothing}, {"put", put},
    {"batch", batch},       {"overwrite", put},   {"get", get},         {"view", view},
    {"get_many", get_many}, {"missing", missing}, {"scan", scan},       {"delete", delete_all},
};

int main(int count, char **words)
{
    size_t i = 0;
    if (count != 4) {
        fprintf(stderr, "usage: instructions OPERATION DIRECTORY KEYS\n");
        return 2;
    }
    while (i < sizeof operations / sizeof operations[0] &&
           strcmp(operations[i].name, words[1]) != 0)
        i++;
    if (i == sizeof operations / sizeof operations[0]) {
        fprintf(stderr, "instructions: unknown operation '%s'\n", words[1]);
        return 2;
    }
    keys = strtoull(words[3], NULL, 10);
    bench_permutation_init(&order, keys, 1);
    for (size_t k = 0; k < sizeof values; k++)
        values[k] = (uint8_t)(k * 31);
    open_store(words[2], 0);
    if (strcmp(words[1], "open") != 0)
        warm();
    operations[i].run();
    fflush(stdout);
    _exit(0);
}
