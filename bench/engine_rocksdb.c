/* SPDX-License-Identifier: MIT
 * engine_rocksdb.c: the adapter of the benchmark to RocksDB.
 *
 * As its wiki advises for point lookups on data that fits memory: optimize_for_point_lookup (hash
 * index within blocks, Bloom filter of ten bits) with a block cache for the whole store, write
 * buffers of 64 MiB, as many background jobs as processors, no compression. Values are pinned, not
 * copied, by views. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "engine.h"

struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    bool durable;
};

struct session {
    struct store *store;
    rocksdb_readoptions_t *reading;
    rocksdb_writeoptions_t *writing;
    rocksdb_writebatch_t *batch;
    char *value;
    size_t capacity;
};

static int failed(const char *what, char *error)
{
    fprintf(stderr, "rocksdb: %s: %s\n", what, error);
    rocksdb_free(error);
    return BENCH_FAILED;
}

static int rocks_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = calloc(1, sizeof *store);
    char *error = NULL;
    uint64_t data_mib = (tuning->keys * (tuning->value_size + 48) >> 20) + 64;
    store->durable = tuning->durable;
    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, 1);
    rocksdb_options_increase_parallelism(store->options, (int)sysconf(_SC_NPROCESSORS_ONLN));
    rocksdb_options_optimize_for_point_lookup(store->options, data_mib);
    rocksdb_options_set_write_buffer_size(store->options, (size_t)64 << 20);
    rocksdb_options_set_max_write_buffer_number(store->options, 4);
    rocksdb_options_set_compression(store->options, rocksdb_no_compression);
    store->db = rocksdb_open(store->options, directory, &error);
    *to = store;
    return error == NULL ? BENCH_OK : failed("open", error);
}

static int rocks_close(void *from)
{
    struct store *store = from;
    rocksdb_close(store->db);
    rocksdb_options_destroy(store->options);
    free(store);
    return BENCH_OK;
}

static void *session_new(void *store)
{
    struct session *session = calloc(1, sizeof *session);
    session->store = store;
    session->reading = rocksdb_readoptions_create();
    session->writing = rocksdb_writeoptions_create();
    session->batch = rocksdb_writebatch_create();
    rocksdb_writeoptions_set_sync(session->writing, session->store->durable);
    return session;
}

static void session_free(void *context)
{
    struct session *session = context;
    rocksdb_readoptions_destroy(session->reading);
    rocksdb_writeoptions_destroy(session->writing);
    rocksdb_writebatch_destroy(session->batch);
    free(session->value);
    free(session);
}

static int put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    char *error = NULL;
    rocksdb_put(session->store->db, session->writing, key.data, key.size, value.data, value.size,
                &error);
    return error == NULL ? BENCH_OK : failed("put", error);
}

static int remove_key(void *context, bitcask_slice key)
{
    struct session *session = context;
    char *error = NULL;
    rocksdb_delete(session->store->db, session->writing, key.data, key.size, &error);
    return error == NULL ? BENCH_OK : failed("delete", error);
}

/* Pinned, then copied: one copy less than rocksdb_get makes. */
static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    char *error = NULL;
    size_t size = 0;
    rocksdb_pinnableslice_t *pinned =
        rocksdb_get_pinned(session->store->db, session->reading, key.data, key.size, &error);
    if (error != NULL)
        return failed("get", error);
    if (pinned == NULL)
        return BENCH_MISSING;
    const char *bytes = rocksdb_pinnableslice_value(pinned, &size);
    if (size > session->capacity) {
        free(session->value);
        session->value = malloc(size);
        session->capacity = size;
    }
    memcpy(session->value, bytes, size);
    rocksdb_pinnableslice_destroy(pinned);
    *value = bitcask_bytes(session->value, size);
    return BENCH_OK;
}

static int view(void *context, bitcask_slice key, size_t *size)
{
    struct session *session = context;
    char *error = NULL;
    rocksdb_pinnableslice_t *pinned =
        rocksdb_get_pinned(session->store->db, session->reading, key.data, key.size, &error);
    if (error != NULL)
        return failed("get", error);
    if (pinned == NULL)
        return BENCH_MISSING;
    const char *bytes = rocksdb_pinnableslice_value(pinned, size);
    bench_touch(bytes, *size);
    rocksdb_pinnableslice_destroy(pinned);
    return BENCH_OK;
}

static int batch_put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    rocksdb_writebatch_put(session->batch, key.data, key.size, value.data, value.size);
    return BENCH_OK;
}

static int batch_remove(void *context, bitcask_slice key)
{
    struct session *session = context;
    rocksdb_writebatch_delete(session->batch, key.data, key.size);
    return BENCH_OK;
}

static int batch_write(void *context)
{
    struct session *session = context;
    char *error = NULL;
    rocksdb_write(session->store->db, session->writing, session->batch, &error);
    rocksdb_writebatch_clear(session->batch);
    return error == NULL ? BENCH_OK : failed("write", error);
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    char *error = NULL;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(session->store->db, session->reading);
    for (rocksdb_iter_seek_to_first(iterator);
         rocksdb_iter_valid(iterator) && !atomic_load_explicit(stop, memory_order_relaxed);
         rocksdb_iter_next(iterator)) {
        size_t key_size, value_size;
        (void)rocksdb_iter_key(iterator, &key_size);
        (void)rocksdb_iter_value(iterator, &value_size);
        ++*entries;
        *bytes += key_size + value_size;
    }
    rocksdb_iter_get_error(iterator, &error);
    rocksdb_iter_destroy(iterator);
    return error == NULL ? BENCH_OK : failed("iterate", error);
}

static int make_durable(void *context)
{
    struct session *session = context;
    rocksdb_writeoptions_set_sync(session->writing, 1);
    return BENCH_OK;
}

static int compact(void *from, uint64_t *bytes)
{
    struct store *store = from;
    (void)bytes;
    rocksdb_compact_range(store->db, NULL, 0, NULL, 0);
    return BENCH_OK;
}

const struct bench_engine bench_rocksdb_engine = {
    .name = "rocksdb",
    .open = rocks_open,
    .close = rocks_close,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .view = view,
    .batch_put = batch_put,
    .batch_remove = batch_remove,
    .batch_write = batch_write,
    .scan = scan,
    .make_durable = make_durable,
    .compact = compact,
};
