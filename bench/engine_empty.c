/* SPDX-License-Identifier: MIT
 * engine_empty.c: an engine without a store: what the benchmark itself costs. */
#include <stdlib.h>

#include "engine.h"

static int empty_open(const char *directory, const struct bench_tuning *tuning, void **store)
{
    (void)directory, (void)tuning;
    *store = NULL;
    return BENCH_OK;
}

static int empty_close(void *store)
{
    (void)store;
    return BENCH_OK;
}

static void *empty_session_new(void *store)
{
    (void)store;
    return malloc(1);
}

static int empty_put(void *session, bitcask_slice key, bitcask_slice value)
{
    (void)session, (void)key, (void)value;
    return BENCH_OK;
}

static int empty_remove(void *session, bitcask_slice key)
{
    (void)session, (void)key;
    return BENCH_OK;
}

static int empty_get(void *session, bitcask_slice key, bitcask_slice *value)
{
    (void)session, (void)key;
    *value = bitcask_bytes(NULL, 0);
    return BENCH_OK;
}

static int empty_view(void *session, bitcask_slice key, size_t *size)
{
    (void)session, (void)key;
    *size = 0;
    return BENCH_OK;
}

static int empty_get_many(void *session, const bitcask_slice *keys, size_t count, size_t *found,
                          size_t *bytes)
{
    (void)session, (void)keys;
    *found = count;
    *bytes = 0;
    return BENCH_OK;
}

static int empty_batch_write(void *session)
{
    (void)session;
    return BENCH_OK;
}

static int empty_scan(void *session, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    (void)session, (void)stop;
    *entries = *bytes = 0;
    return BENCH_OK;
}

const struct bench_engine bench_empty_engine = {
    .name = "empty",
    .open = empty_open,
    .close = empty_close,
    .session_new = empty_session_new,
    .session_free = free,
    .put = empty_put,
    .remove = empty_remove,
    .get = empty_get,
    .view = empty_view,
    .get_many = empty_get_many,
    .batch_put = empty_put,
    .batch_remove = empty_remove,
    .batch_write = empty_batch_write,
    .scan = empty_scan,
};
