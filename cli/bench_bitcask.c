/* SPDX-License-Identifier: MIT
 * bench_bitcask.c: the adapter of the benchmark to this library. */
#include <stdlib.h>

#include "bench_bitcask.h"

struct session {
    bitcask *db;
    bitcask_buffer value;
    bitcask_batch *batch;
    bitcask_view views[BENCH_MANY];
    bitcask_status each[BENCH_MANY];
};

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
    if (bitcask_batch_new(&session->batch, NULL) == BITCASK_OK)
        return session;
    session->batch = NULL;
    session_free(session);
    return NULL;
}

static int put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    return result_of(bitcask_put(session->db, key, value, NULL, NULL, NULL));
}

static int remove_key(void *context, bitcask_slice key)
{
    struct session *session = context;
    return result_of(bitcask_delete(session->db, key, NULL, NULL, NULL));
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    bitcask_status status = bitcask_get(session->db, NULL, key, &session->value, NULL, NULL);
    *value = bitcask_bytes(session->value.data, session->value.size);
    return result_of(status);
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
    bitcask_status status = bitcask_write(session->db, session->batch, NULL, NULL, NULL);
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

const struct bench_engine bench_bitcask_engine = {
    .name = "bitcask",
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .get_many = get_many,
    .batch_put = batch_put,
    .batch_remove = batch_remove,
    .batch_write = batch_write,
    .scan = scan,
};
