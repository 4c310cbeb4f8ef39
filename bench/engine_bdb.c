/* SPDX-License-Identifier: MIT
 * engine_bdb.c: the adapter of the benchmark to Berkeley DB's hash.
 *
 * As its reference guide advises: the number of records given beforehand, a fill factor by the page
 * size, a cache for the whole store, private to the process; locks (the Concurrent Data Store) only
 * where threads share it; transactions, and a log that each commit syncs, only in a durable store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <db.h>

#include "engine.h"

enum { PAGE_SIZE = 4096, GIGABYTE = 1 << 30 };

struct store {
    DB_ENV *env;
    DB *db;
    size_t value_size;
    bool durable;
};

struct session {
    struct store *store;
    char *value;
};

static int failed(const char *what, int code)
{
    fprintf(stderr, "bdb: %s: %s\n", what, db_strerror(code));
    return BENCH_FAILED;
}

static int open_environment(struct store *store, const char *directory,
                            const struct bench_tuning *tuning)
{
    uint64_t cache = tuning->keys * (tuning->value_size + 116) * 2 + ((uint64_t)64 << 20);
    uint32_t flags = DB_CREATE | DB_PRIVATE | DB_THREAD | DB_INIT_MPOOL;
    if (tuning->durable)
        flags |= DB_INIT_TXN | DB_INIT_LOG | DB_INIT_LOCK | DB_RECOVER;
    else if (tuning->threads > 1)
        flags |= DB_INIT_CDB;
    int code = db_env_create(&store->env, 0);
    if (code != 0)
        return code;
    store->env->set_errfile(store->env, stderr);
    code = store->env->set_cachesize(store->env, (uint32_t)(cache / GIGABYTE),
                                     (uint32_t)(cache % GIGABYTE), 1);
    if (code == 0 && tuning->durable)
        code = store->env->set_lk_detect(store->env, DB_LOCK_DEFAULT);
    if (code == 0)
        code = store->env->set_lg_bsize(store->env, 4 << 20);
    return code == 0 ? store->env->open(store->env, directory, flags, 0644) : code;
}

static int bdb_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = calloc(1, sizeof *store);
    uint32_t record = (uint32_t)tuning->value_size + 16 + 8;
    store->value_size = tuning->value_size;
    store->durable = tuning->durable;
    *to = store;
    int code = open_environment(store, directory, tuning);
    if (code == 0)
        code = db_create(&store->db, store->env, 0);
    if (code != 0)
        return failed("environment", code);
    store->db->set_pagesize(store->db, PAGE_SIZE);
    store->db->set_h_ffactor(store->db, record < PAGE_SIZE ? (PAGE_SIZE - 32) / record : 1);
    store->db->set_h_nelem(store->db, (uint32_t)tuning->keys);
    code = store->db->open(store->db, NULL, "store.db", NULL, DB_HASH,
                           DB_CREATE | DB_THREAD | (tuning->durable ? DB_AUTO_COMMIT : 0), 0644);
    return code == 0 ? BENCH_OK : failed("open", code);
}

static int bdb_close(void *from)
{
    struct store *store = from;
    int code = store->db->close(store->db, 0);
    int second = store->env->close(store->env, 0);
    free(store);
    return code == 0 && second == 0 ? BENCH_OK : failed("close", code != 0 ? code : second);
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
    free(session->value);
    free(session);
}

static DBT thing(bitcask_slice bytes)
{
    return (DBT){.data = (void *)(uintptr_t)bytes.data, .size = (uint32_t)bytes.size};
}

static int batch_put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    DBT k = thing(key), v = thing(value);
    int code = 0;
    do
        code = session->store->db->put(session->store->db, NULL, &k, &v, 0);
    while (code == DB_LOCK_DEADLOCK);
    return code == 0 ? BENCH_OK : failed("put", code);
}

static int batch_remove(void *context, bitcask_slice key)
{
    struct session *session = context;
    DBT k = thing(key);
    int code = 0;
    do
        code = session->store->db->del(session->store->db, NULL, &k, 0);
    while (code == DB_LOCK_DEADLOCK);
    return code == 0 ? BENCH_OK : code == DB_NOTFOUND ? BENCH_MISSING : failed("del", code);
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    DBT k = thing(key);
    DBT v = {.data = session->value,
             .ulen = (uint32_t)session->store->value_size,
             .flags = DB_DBT_USERMEM};
    int code = session->store->db->get(session->store->db, NULL, &k, &v, 0);
    *value = bitcask_bytes(v.data, v.size);
    return code == 0 ? BENCH_OK : code == DB_NOTFOUND ? BENCH_MISSING : failed("get", code);
}

/* A batch is one of single operations, as the hash has no faster way. */
static int batch_write(void *context)
{
    (void)context;
    return BENCH_OK;
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    DBC *cursor;
    char *pages = malloc(1 << 20);
    DBT key = {0}, block = {.data = pages, .ulen = 1 << 20, .flags = DB_DBT_USERMEM};
    int code = session->store->db->cursor(session->store->db, NULL, &cursor, 0);
    while (code == 0 && !atomic_load_explicit(stop, memory_order_relaxed)) {
        void *place, *k, *v;
        uint32_t key_size, value_size;
        code = cursor->get(cursor, &key, &block, DB_NEXT | DB_MULTIPLE_KEY);
        if (code != 0)
            break;
        for (DB_MULTIPLE_INIT(place, &block);;) {
            DB_MULTIPLE_KEY_NEXT(place, &block, k, key_size, v, value_size);
            if (place == NULL)
                break;
            (void)k, (void)v;
            ++*entries;
            *bytes += key_size + value_size;
        }
    }
    cursor->close(cursor);
    free(pages);
    return code == 0 || code == DB_NOTFOUND ? BENCH_OK : failed("cursor", code);
}

const struct bench_engine bench_bdb_engine = {
    .name = "bdb",
    .open = bdb_open,
    .close = bdb_close,
    .session_new = session_new,
    .session_free = session_free,
    .put = batch_put,
    .remove = batch_remove,
    .get = get,
    .batch_put = batch_put,
    .batch_remove = batch_remove,
    .batch_write = batch_write,
    .scan = scan,
};
