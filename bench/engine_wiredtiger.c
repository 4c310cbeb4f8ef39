/* SPDX-License-Identifier: MIT
 * engine_wiredtiger.c: the adapter of the benchmark to WiredTiger.
 *
 * As its tuning guide advises: a cache for the whole store, eviction by threads of its own, memory
 * pages larger than the default, a cursor kept open, raw keys and values, the log on, since a write
 * is to survive the end of the process, and synced per commit in a durable store only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wiredtiger.h>

#include "engine.h"

struct store {
    WT_CONNECTION *connection;
    size_t value_size;
};

struct session {
    struct store *store;
    WT_SESSION *session;
    WT_CURSOR *cursor;
    char *value;
    bool in_batch;
};

static int failed(const char *what, int code)
{
    fprintf(stderr, "wiredtiger: %s: %s\n", what, wiredtiger_strerror(code));
    return BENCH_FAILED;
}

static int tiger_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = calloc(1, sizeof *store);
    char config[512];
    uint64_t cache_mib = (tuning->keys * (tuning->value_size + 116) * 2 >> 20) + 256;
    cache_mib = cache_mib < 8192 ? cache_mib : 8192;
    store->value_size = tuning->value_size;
    snprintf(config, sizeof config,
             "create,cache_size=%" PRIu64
             "M,session_max=300,eviction=(threads_min=1,threads_max=2),"
             "log=(enabled,file_max=256M),transaction_sync=(enabled=%s,method=fsync),"
             "checkpoint=(wait=60)",
             cache_mib, tuning->durable ? "true" : "false");
    int code = wiredtiger_open(directory, NULL, config, &store->connection);
    *to = store;
    return code == 0 ? BENCH_OK : failed("open", code);
}

static int tiger_close(void *from)
{
    struct store *store = from;
    int code = store->connection->close(store->connection, NULL);
    free(store);
    return code == 0 ? BENCH_OK : failed("close", code);
}

static void *session_new(void *store)
{
    struct session *session = calloc(1, sizeof *session);
    session->store = store;
    session->value = malloc(session->store->value_size + 1);
    WT_CONNECTION *connection = session->store->connection;
    int code = connection->open_session(connection, NULL, NULL, &session->session);
    if (code == 0)
        code = session->session->create(session->session, "table:bench",
                                        "key_format=u,value_format=u,memory_page_max=10M");
    if (code == 0)
        code = session->session->open_cursor(session->session, "table:bench", NULL,
                                             "overwrite=true", &session->cursor);
    if (code == 0)
        return session;
    (void)failed("session", code);
    return NULL;
}

static void session_free(void *context)
{
    struct session *session = context;
    session->session->close(session->session, NULL);
    free(session->value);
    free(session);
}

static int put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    WT_ITEM k = {.data = key.data, .size = key.size}, v = {.data = value.data, .size = value.size};
    session->cursor->set_key(session->cursor, &k);
    session->cursor->set_value(session->cursor, &v);
    int code = session->cursor->insert(session->cursor);
    return code == 0 ? BENCH_OK : failed("insert", code);
}

static int remove_key(void *context, bitcask_slice key)
{
    struct session *session = context;
    WT_ITEM k = {.data = key.data, .size = key.size};
    session->cursor->set_key(session->cursor, &k);
    int code = session->cursor->remove(session->cursor);
    return code == 0 ? BENCH_OK : code == WT_NOTFOUND ? BENCH_MISSING : failed("remove", code);
}

static int find(struct session *session, bitcask_slice key, WT_ITEM *value)
{
    WT_ITEM k = {.data = key.data, .size = key.size};
    session->cursor->set_key(session->cursor, &k);
    int code = session->cursor->search(session->cursor);
    if (code == 0)
        code = session->cursor->get_value(session->cursor, value);
    return code == 0 ? BENCH_OK : code == WT_NOTFOUND ? BENCH_MISSING : failed("search", code);
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    WT_ITEM found;
    int status = find(session, key, &found);
    if (status == BENCH_OK) {
        memcpy(session->value, found.data, found.size);
        *value = bitcask_bytes(session->value, found.size);
    }
    session->cursor->reset(session->cursor);
    return status;
}

static int view(void *context, bitcask_slice key, size_t *size)
{
    struct session *session = context;
    WT_ITEM found;
    int status = find(session, key, &found);
    if (status == BENCH_OK) {
        bench_touch(found.data, found.size);
        *size = found.size;
    }
    session->cursor->reset(session->cursor);
    return status;
}

static int begin(struct session *session)
{
    if (session->in_batch)
        return BENCH_OK;
    int code = session->session->begin_transaction(session->session, NULL);
    session->in_batch = code == 0;
    return code == 0 ? BENCH_OK : failed("begin", code);
}

static int batch_put(void *context, bitcask_slice key, bitcask_slice value)
{
    int status = begin(context);
    return status == BENCH_OK ? put(context, key, value) : status;
}

static int batch_remove(void *context, bitcask_slice key)
{
    int status = begin(context);
    return status == BENCH_OK ? remove_key(context, key) : status;
}

static int batch_write(void *context)
{
    struct session *session = context;
    session->in_batch = false;
    int code = session->session->commit_transaction(session->session, NULL);
    return code == 0 ? BENCH_OK : failed("commit", code);
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    int code;
    session->cursor->reset(session->cursor);
    while (!atomic_load_explicit(stop, memory_order_relaxed) &&
           (code = session->cursor->next(session->cursor)) == 0) {
        WT_ITEM key, value;
        session->cursor->get_key(session->cursor, &key);
        session->cursor->get_value(session->cursor, &value);
        ++*entries;
        *bytes += key.size + value.size;
    }
    session->cursor->reset(session->cursor);
    return BENCH_OK;
}

const struct bench_engine bench_wiredtiger_engine = {
    .name = "wiredtiger",
    .open = tiger_open,
    .close = tiger_close,
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
};
