/* SPDX-License-Identifier: MIT
 * engine_bitcask.c: the adapter of the benchmark to this library.
 *
 * All options are the defaults, so that checksums are verified; a durable store is one with sync
 * ALWAYS. A second engine, for a column of its own, does not verify. */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

enum { GET_MANY_MAX = 64 };

struct session {
    bitcask *db;
    bitcask_buffer value;
    bitcask_batch *batch;
    bitcask_write_options write; /* the default, until make_durable */
    bitcask_view views[GET_MANY_MAX];
    bitcask_status each[GET_MANY_MAX];
};

static int open_store(const char *directory, const struct bench_tuning *tuning, int verify,
                      void **store)
{
    bitcask_options options;
    bitcask_error error;
    bitcask *db;
    bitcask_options_init(&options);
    options.verify_reads = verify;
    if (tuning->durable)
        options.sync = BITCASK_SYNC_ALWAYS;
    if (bitcask_open(directory, &options, &db, &error) != BITCASK_OK) {
        fprintf(stderr, "bitcask: %s\n", error.message);
        return BENCH_FAILED;
    }
    *store = db;
    return BENCH_OK;
}

static int open_verified(const char *directory, const struct bench_tuning *tuning, void **store)
{
    return open_store(directory, tuning, 1, store);
}

static int open_unverified(const char *directory, const struct bench_tuning *tuning, void **store)
{
    return open_store(directory, tuning, 0, store);
}

static int close_store(void *store)
{
    return bitcask_close(store, NULL) == BITCASK_OK ? BENCH_OK : BENCH_FAILED;
}

static int result_of(bitcask_status status)
{
    return status == BITCASK_OK ? BENCH_OK : status > 0 ? BENCH_MISSING : (int)status;
}

static void session_free(void *context)
{
    struct session *session = context;
    bitcask_buffer_free(&session->value);
    bitcask_batch_free(session->batch);
    free(session);
}

static void *session_new(void *store)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->db = store;
    bitcask_write_options_init(&session->write);
    if (bitcask_batch_new(&session->batch, NULL) == BITCASK_OK)
        return session;
    session->batch = NULL;
    session_free(session);
    return NULL;
}

static int put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    return result_of(bitcask_put(session->db, key, value, &session->write, NULL, NULL));
}

static int remove_key(void *context, bitcask_slice key)
{
    struct session *session = context;
    return result_of(bitcask_delete(session->db, key, &session->write, NULL, NULL));
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    bitcask_status status = bitcask_get(session->db, NULL, key, &session->value, NULL, NULL);
    *value = bitcask_bytes(session->value.data, session->value.size);
    return result_of(status);
}

static int view(void *context, bitcask_slice key, size_t *size)
{
    struct session *session = context;
    bitcask_view *view = &session->views[0];
    bitcask_status status = bitcask_get_view(session->db, NULL, key, view, NULL);
    if (status != BITCASK_OK)
        return result_of(status);
    bench_touch(view->value.data, view->value.size);
    *size = view->value.size;
    bitcask_views_release(view, 1);
    return BENCH_OK;
}

static int get_many(void *context, const bitcask_slice *keys, size_t count, size_t *found,
                    size_t *bytes)
{
    struct session *session = context;
    bitcask_status status =
        bitcask_get_many(session->db, NULL, keys, count, session->views, session->each, NULL);
    for (size_t i = 0; i < count; i++) {
        *found += session->each[i] == BITCASK_OK;
        *bytes += session->views[i].value.size;
    }
    bitcask_views_release(session->views, count);
    return status < 0 ? (int)status : BENCH_OK;
}

static int batch_put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    return result_of(bitcask_batch_put(session->batch, key, value, 0, NULL));
}

static int batch_remove(void *context, bitcask_slice key)
{
    struct session *session = context;
    return result_of(bitcask_batch_delete(session->batch, key, NULL));
}

static int batch_write(void *context)
{
    struct session *session = context;
    bitcask_status status = bitcask_write(session->db, session->batch, &session->write, NULL, NULL);
    bitcask_batch_clear(session->batch);
    return result_of(status);
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    bitcask_iterator *iterator;
    bitcask_status status = bitcask_iterator_new(session->db, NULL, bitcask_bytes(NULL, 0),
                                                 BITCASK_VALUES, &iterator, NULL);
    if (status != BITCASK_OK)
        return (int)status;
    bitcask_entry entry;
    while (!atomic_load_explicit(stop, memory_order_relaxed) &&
           (status = bitcask_iterator_next(iterator, &entry, NULL)) == BITCASK_OK) {
        ++*entries;
        *bytes += entry.key.size + entry.value.size;
    }
    bitcask_iterator_free(iterator);
    return status < 0 ? (int)status : BENCH_OK;
}

static int make_durable(void *context)
{
    struct session *session = context;
    session->write.sync = BITCASK_SYNC_ALWAYS;
    return BENCH_OK;
}

static int compact(void *store, uint64_t *bytes)
{
    bitcask_merge_options options;
    bitcask_merge_result result = {.struct_size = sizeof result};
    bitcask_error error;
    bitcask_merge_options_init(&options);
    options.all = 1;
    options.bytes_per_s = UINT64_MAX;
    if (bitcask_merge(store, &options, &result, &error) != BITCASK_OK) {
        fprintf(stderr, "bitcask: %s\n", error.message);
        return BENCH_FAILED;
    }
    *bytes = result.input_bytes + result.output_bytes;
    return BENCH_OK;
}

static uint64_t index_bytes(void *store)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(store, &stats);
    return stats.index_bytes;
}

#define FUNCTIONS                                                                                 \
    .close = close_store, .session_new = session_new, .session_free = session_free, .put = put,   \
    .remove = remove_key, .get = get, .view = view, .get_many = get_many, .batch_put = batch_put, \
    .batch_remove = batch_remove, .batch_write = batch_write, .scan = scan,                       \
    .make_durable = make_durable, .compact = compact, .index_bytes = index_bytes

const struct bench_engine bench_bitcask_engine = {
    .name = "bitcask", .open = open_verified, FUNCTIONS};

const struct bench_engine bench_unverified_engine = {
    .name = "bitcask-unverified", .open = open_unverified, FUNCTIONS};
