/* SPDX-License-Identifier: MIT
 * engine_leveldb.c: the adapter of the benchmark to LevelDB.
 *
 * As its documentation advises where there is memory: a large write buffer, a block cache for the
 * whole store, a Bloom filter of ten bits a key, no compression (the values have none to give). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leveldb/c.h>

#include "engine.h"

struct store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    bool durable;
};

struct session {
    struct store *store;
    leveldb_readoptions_t *reading;
    leveldb_writeoptions_t *writing;
    leveldb_writebatch_t *batch;
    char *value; /* of the last get */
};

static int failed(const char *what, char *error)
{
    fprintf(stderr, "leveldb: %s: %s\n", what, error);
    leveldb_free(error);
    return BENCH_FAILED;
}

static int level_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = calloc(1, sizeof *store);
    char *error = NULL;
    size_t data = tuning->keys * (tuning->value_size + 32);
    store->durable = tuning->durable;
    store->options = leveldb_options_create();
    store->cache = leveldb_cache_create_lru(data + ((size_t)64 << 20));
    store->filter = leveldb_filterpolicy_create_bloom(10);
    leveldb_options_set_create_if_missing(store->options, 1);
    leveldb_options_set_write_buffer_size(store->options, (size_t)64 << 20);
    leveldb_options_set_max_open_files(store->options, 1000);
    leveldb_options_set_cache(store->options, store->cache);
    leveldb_options_set_filter_policy(store->options, store->filter);
    leveldb_options_set_compression(store->options, leveldb_no_compression);
    store->db = leveldb_open(store->options, directory, &error);
    *to = store;
    return error == NULL ? BENCH_OK : failed("open", error);
}

static int level_close(void *from)
{
    struct store *store = from;
    leveldb_close(store->db);
    leveldb_options_destroy(store->options);
    leveldb_cache_destroy(store->cache);
    leveldb_filterpolicy_destroy(store->filter);
    free(store);
    return BENCH_OK;
}

static void *session_new(void *store)
{
    struct session *session = calloc(1, sizeof *session);
    session->store = store;
    session->reading = leveldb_readoptions_create();
    session->writing = leveldb_writeoptions_create();
    session->batch = leveldb_writebatch_create();
    leveldb_writeoptions_set_sync(session->writing, session->store->durable);
    return session;
}

static void session_free(void *context)
{
    struct session *session = context;
    leveldb_readoptions_destroy(session->reading);
    leveldb_writeoptions_destroy(session->writing);
    leveldb_writebatch_destroy(session->batch);
    if (session->value != NULL)
        leveldb_free(session->value);
    free(session);
}

static int put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    char *error = NULL;
    leveldb_put(session->store->db, session->writing, key.data, key.size, value.data, value.size,
                &error);
    return error == NULL ? BENCH_OK : failed("put", error);
}

static int remove_key(void *context, bitcask_slice key)
{
    struct session *session = context;
    char *error = NULL;
    leveldb_delete(session->store->db, session->writing, key.data, key.size, &error);
    return error == NULL ? BENCH_OK : failed("delete", error);
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    char *error = NULL;
    size_t size = 0;
    if (session->value != NULL)
        leveldb_free(session->value);
    session->value =
        leveldb_get(session->store->db, session->reading, key.data, key.size, &size, &error);
    if (error != NULL)
        return failed("get", error);
    *value = bitcask_bytes(session->value, size);
    return session->value != NULL ? BENCH_OK : BENCH_MISSING;
}

static int batch_put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    leveldb_writebatch_put(session->batch, key.data, key.size, value.data, value.size);
    return BENCH_OK;
}

static int batch_remove(void *context, bitcask_slice key)
{
    struct session *session = context;
    leveldb_writebatch_delete(session->batch, key.data, key.size);
    return BENCH_OK;
}

static int batch_write(void *context)
{
    struct session *session = context;
    char *error = NULL;
    leveldb_write(session->store->db, session->writing, session->batch, &error);
    leveldb_writebatch_clear(session->batch);
    return error == NULL ? BENCH_OK : failed("write", error);
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    char *error = NULL;
    leveldb_iterator_t *iterator = leveldb_create_iterator(session->store->db, session->reading);
    for (leveldb_iter_seek_to_first(iterator);
         leveldb_iter_valid(iterator) && !atomic_load_explicit(stop, memory_order_relaxed);
         leveldb_iter_next(iterator)) {
        size_t key_size, value_size;
        (void)leveldb_iter_key(iterator, &key_size);
        (void)leveldb_iter_value(iterator, &value_size);
        ++*entries;
        *bytes += key_size + value_size;
    }
    leveldb_iter_get_error(iterator, &error);
    leveldb_iter_destroy(iterator);
    return error == NULL ? BENCH_OK : failed("iterate", error);
}

static int make_durable(void *context)
{
    struct session *session = context;
    leveldb_writeoptions_set_sync(session->writing, 1);
    return BENCH_OK;
}

static int compact(void *from, uint64_t *bytes)
{
    struct store *store = from;
    (void)bytes;
    leveldb_compact_range(store->db, NULL, 0, NULL, 0);
    return BENCH_OK;
}

const struct bench_engine bench_leveldb_engine = {
    .name = "leveldb",
    .open = level_open,
    .close = level_close,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .batch_put = batch_put,
    .batch_remove = batch_remove,
    .batch_write = batch_write,
    .scan = scan,
    .make_durable = make_durable,
    .compact = compact,
};
