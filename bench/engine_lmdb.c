/* SPDX-License-Identifier: MIT
 * engine_lmdb.c: the adapter of the benchmark to LMDB.
 *
 * Its authors' advice for speed: a writable mapping, asynchronous syncs, read transactions that are
 * reset and renewed. A put by itself is a transaction, as in its authors' own benchmark: what has
 * returned is seen by others and survives the process. A batch is a transaction. A durable store is
 * one of the default flags, which sync each commit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmdb.h>

#include "engine.h"

enum { READERS = 512 };

struct store {
    MDB_env *env;
    MDB_dbi dbi;
    bool durable;
    size_t value_size;
};

struct session {
    struct store *store;
    MDB_txn *reading, *writing;
    char *value;
};

static int failed(const char *what, int code)
{
    fprintf(stderr, "lmdb: %s: %s\n", what, mdb_strerror(code));
    return BENCH_FAILED;
}

static int open_table(struct store *store)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &store->dbi);
    return code == 0 ? mdb_txn_commit(txn) : code;
}

static int lmdb_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = calloc(1, sizeof *store);
    size_t record = tuning->value_size + 200;
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
    if (!tuning->durable)
        flags |= MDB_WRITEMAP | MDB_MAPASYNC | MDB_NOSYNC;
    store->durable = tuning->durable;
    store->value_size = tuning->value_size;
    int code = mdb_env_create(&store->env);
    if (code == 0)
        code = mdb_env_set_mapsize(store->env, 4 * tuning->keys * record + ((size_t)1 << 30));
    if (code == 0)
        code = mdb_env_set_maxreaders(store->env, READERS);
    if (code == 0)
        code = mdb_env_open(store->env, directory, flags, 0644);
    if (code == 0)
        code = open_table(store);
    *to = store;
    return code == 0 ? BENCH_OK : failed("open", code);
}

static int lmdb_close(void *from)
{
    struct store *store = from;
    int code = store->durable ? 0 : mdb_env_sync(store->env, 1);
    mdb_env_close(store->env);
    free(store);
    return code == 0 ? BENCH_OK : failed("sync", code);
}

static void *session_new(void *store)
{
    struct session *session = calloc(1, sizeof *session);
    session->store = store;
    session->value = malloc(session->store->value_size + 1);
    return session;
}

static void session_free(void *context)
{
    struct session *session = context;
    if (session->reading != NULL)
        mdb_txn_abort(session->reading);
    if (session->writing != NULL)
        mdb_txn_abort(session->writing);
    free(session->value);
    free(session);
}

static int commit(void *context)
{
    struct session *session = context;
    MDB_txn *writing = session->writing;
    session->writing = NULL;
    int code = writing == NULL ? 0 : mdb_txn_commit(writing);
    return code == 0 ? BENCH_OK : failed("commit", code);
}

static int begin(struct session *session)
{
    if (session->writing != NULL)
        return 0;
    return mdb_txn_begin(session->store->env, NULL, 0, &session->writing);
}

static int batch_put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    MDB_val k = {key.size, (void *)(uintptr_t)key.data};
    MDB_val v = {value.size, (void *)(uintptr_t)value.data};
    int code = begin(session);
    if (code == 0)
        code = mdb_put(session->writing, session->store->dbi, &k, &v, 0);
    return code == 0 ? BENCH_OK : failed("put", code);
}

static int batch_remove(void *context, bitcask_slice key)
{
    struct session *session = context;
    MDB_val k = {key.size, (void *)(uintptr_t)key.data};
    int code = begin(session);
    if (code == 0)
        code = mdb_del(session->writing, session->store->dbi, &k, NULL);
    return code == 0 ? BENCH_OK : code == MDB_NOTFOUND ? BENCH_MISSING : failed("del", code);
}

static int commit_if(void *session, int status)
{
    int committed = status >= 0 ? commit(session) : BENCH_OK;
    return committed == BENCH_OK ? status : committed;
}

static int put(void *session, bitcask_slice key, bitcask_slice value)
{
    return commit_if(session, batch_put(session, key, value));
}

static int remove_key(void *session, bitcask_slice key)
{
    return commit_if(session, batch_remove(session, key));
}

/* The value is that of this read transaction until finish_reading. */
static int find(struct session *session, bitcask_slice key, MDB_val *value)
{
    MDB_val k = {key.size, (void *)(uintptr_t)key.data};
    int code = session->reading != NULL
                   ? mdb_txn_renew(session->reading)
                   : mdb_txn_begin(session->store->env, NULL, MDB_RDONLY, &session->reading);
    if (code == 0)
        code = mdb_get(session->reading, session->store->dbi, &k, value);
    return code == 0 ? BENCH_OK : code == MDB_NOTFOUND ? BENCH_MISSING : failed("get", code);
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    MDB_val found;
    int status = find(session, key, &found);
    if (status == BENCH_OK) {
        memcpy(session->value, found.mv_data, found.mv_size);
        *value = bitcask_bytes(session->value, found.mv_size);
    }
    mdb_txn_reset(session->reading);
    return status;
}

static int view(void *context, bitcask_slice key, size_t *size)
{
    struct session *session = context;
    MDB_val found;
    int status = find(session, key, &found);
    if (status == BENCH_OK) {
        bench_touch(found.mv_data, found.mv_size);
        *size = found.mv_size;
    }
    mdb_txn_reset(session->reading);
    return status;
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    int code = mdb_txn_begin(session->store->env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_cursor_open(txn, session->store->dbi, &cursor);
    if (code != 0)
        return failed("cursor", code);
    while (!atomic_load_explicit(stop, memory_order_relaxed) &&
           (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        ++*entries;
        *bytes += key.mv_size + value.mv_size;
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return code == 0 || code == MDB_NOTFOUND ? BENCH_OK : failed("cursor", code);
}

const struct bench_engine bench_lmdb_engine = {
    .name = "lmdb",
    .open = lmdb_open,
    .close = lmdb_close,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .view = view,
    .batch_put = batch_put,
    .batch_remove = batch_remove,
    .batch_write = commit,
    .scan = scan,
};
