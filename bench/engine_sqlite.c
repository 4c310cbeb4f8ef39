/* SPDX-License-Identifier: MIT
 * engine_sqlite.c: the adapter of the benchmark to SQLite.
 *
 * As its documentation advises: a write-ahead log, a table without row ids, statements prepared
 * once, a connection a thread, a cache and a mapping for the whole store; synchronous=OFF, and FULL
 * in a durable store. A put by itself is a transaction, a batch is one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "engine.h"

enum { BUSY_MS = 60000 };

struct store {
    char path[4096];
    struct bench_tuning tuning;
    sqlite3 *first; /* keeps the log's index while sessions come and go */
};

struct session {
    struct store *store;
    sqlite3 *db;
    sqlite3_stmt *put, *remove, *get, *begin, *commit;
    char *value;
    bool in_transaction;
};

static int failed(sqlite3 *db, const char *what)
{
    fprintf(stderr, "sqlite: %s: %s\n", what, sqlite3_errmsg(db));
    return BENCH_FAILED;
}

static sqlite3 *connect(const struct store *store)
{
    sqlite3 *db = NULL;
    char setup[512];
    uint64_t data = store->tuning.keys * (store->tuning.value_size + 64) + ((uint64_t)64 << 20);
    snprintf(setup, sizeof setup,
             "PRAGMA busy_timeout=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=%s;"
             "PRAGMA cache_size=-%" PRIu64 "; PRAGMA mmap_size=%" PRIu64 ";"
             "CREATE TABLE IF NOT EXISTS t(k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID;",
             BUSY_MS, store->tuning.durable ? "FULL" : "OFF", data >> 10, 2 * data);
    if (sqlite3_open_v2(store->path, &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) == SQLITE_OK &&
        sqlite3_exec(db, setup, NULL, NULL, NULL) == SQLITE_OK)
        return db;
    (void)failed(db, "open");
    sqlite3_close(db);
    return NULL;
}

static int sqlite_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = calloc(1, sizeof *store);
    snprintf(store->path, sizeof store->path, "%s/store.sqlite", directory);
    store->tuning = *tuning;
    store->first = connect(store);
    *to = store;
    return store->first != NULL ? BENCH_OK : BENCH_FAILED;
}

static int sqlite_close(void *from)
{
    struct store *store = from;
    int code = sqlite3_close(store->first);
    free(store);
    return code == SQLITE_OK ? BENCH_OK : BENCH_FAILED;
}

static bool prepare(struct session *session)
{
    const struct {
        const char *text;
        sqlite3_stmt **to;
    } statements[] = {
        {"INSERT OR REPLACE INTO t VALUES(?,?)", &session->put},
        {"DELETE FROM t WHERE k=?", &session->remove},
        {"SELECT v FROM t WHERE k=?", &session->get},
        {"BEGIN IMMEDIATE", &session->begin},
        {"COMMIT", &session->commit},
    };
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        if (sqlite3_prepare_v3(session->db, statements[i].text, -1, SQLITE_PREPARE_PERSISTENT,
                               statements[i].to, NULL) != SQLITE_OK)
            return false;
    return true;
}

static void *session_new(void *store)
{
    struct session *session = calloc(1, sizeof *session);
    session->store = store;
    session->value = malloc(session->store->tuning.value_size + 1);
    session->db = connect(session->store);
    return session->db != NULL && prepare(session) ? session : NULL;
}

static void session_free(void *context)
{
    struct session *session = context;
    sqlite3_finalize(session->put);
    sqlite3_finalize(session->remove);
    sqlite3_finalize(session->get);
    sqlite3_finalize(session->begin);
    sqlite3_finalize(session->commit);
    sqlite3_close(session->db);
    free(session->value);
    free(session);
}

static int step(struct session *session, sqlite3_stmt *statement, const char *what)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? BENCH_OK : failed(session->db, what);
}

static int commit(void *context)
{
    struct session *session = context;
    if (!session->in_transaction)
        return BENCH_OK;
    session->in_transaction = false;
    return step(session, session->commit, "commit");
}

static int begin(struct session *session)
{
    if (session->in_transaction)
        return BENCH_OK;
    session->in_transaction = true;
    return step(session, session->begin, "begin");
}

static int batch_put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    int status = begin(session);
    if (status != BENCH_OK)
        return status;
    sqlite3_bind_blob64(session->put, 1, key.data, key.size, SQLITE_STATIC);
    sqlite3_bind_blob64(session->put, 2, value.data, value.size, SQLITE_STATIC);
    return step(session, session->put, "insert");
}

static int batch_remove(void *context, bitcask_slice key)
{
    struct session *session = context;
    int status = begin(session);
    if (status != BENCH_OK)
        return status;
    sqlite3_bind_blob64(session->remove, 1, key.data, key.size, SQLITE_STATIC);
    status = step(session, session->remove, "delete");
    return status == BENCH_OK && sqlite3_changes(session->db) == 0 ? BENCH_MISSING : status;
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

static int find(struct session *session, bitcask_slice key)
{
    sqlite3_bind_blob64(session->get, 1, key.data, key.size, SQLITE_STATIC);
    int code = sqlite3_step(session->get);
    return code == SQLITE_ROW    ? BENCH_OK
           : code == SQLITE_DONE ? BENCH_MISSING
                                 : failed(session->db, "select");
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    int status = find(session, key);
    if (status == BENCH_OK) {
        size_t size = (size_t)sqlite3_column_bytes(session->get, 0);
        memcpy(session->value, sqlite3_column_blob(session->get, 0), size);
        *value = bitcask_bytes(session->value, size);
    }
    sqlite3_reset(session->get);
    return status;
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    sqlite3_stmt *all;
    int code = sqlite3_prepare_v2(session->db, "SELECT k, v FROM t", -1, &all, NULL);
    if (code != SQLITE_OK)
        return failed(session->db, "select");
    while (!atomic_load_explicit(stop, memory_order_relaxed) &&
           (code = sqlite3_step(all)) == SQLITE_ROW) {
        ++*entries;
        *bytes += (uint64_t)sqlite3_column_bytes(all, 0) + (uint64_t)sqlite3_column_bytes(all, 1);
    }
    sqlite3_finalize(all);
    return code == SQLITE_DONE || code == SQLITE_ROW ? BENCH_OK : failed(session->db, "select");
}

const struct bench_engine bench_sqlite_engine = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .batch_put = batch_put,
    .batch_remove = batch_remove,
    .batch_write = commit,
    .scan = scan,
};
