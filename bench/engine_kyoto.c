/* SPDX-License-Identifier: MIT
 * engine_kyoto.c: the adapter of the benchmark to Kyoto Cabinet's file hash database.
 *
 * Tuned as its manual's "Tips for the file hash database" have it: twice as many buckets as
 * records, a mapping as large as the file, linear chains where chains are short. A durable write is
 * followed by a hard synchronisation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kclangc.h>

#include "engine.h"

struct store {
    KCDB *db;
    bool durable;
    size_t value_size;
};

struct session {
    struct store *store;
    char *value;
};

static int failed(struct store *store, const char *what)
{
    fprintf(stderr, "kyoto: %s: %s\n", what, kcdbemsg(store->db));
    return BENCH_FAILED;
}

static int kyoto_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = malloc(sizeof *store);
    char path[4096];
    uint64_t record = tuning->value_size + 48;
    *store = (struct store){kcdbnew(), tuning->durable, tuning->value_size};
    snprintf(path, sizeof path, "%s/store.kch#opts=l#bnum=%" PRIu64 "#msiz=%" PRIu64, directory,
             2 * tuning->keys + 16, tuning->keys * record + (UINT64_C(64) << 20));
    if (!kcdbopen(store->db, path, KCOWRITER | KCOCREATE))
        return failed(store, "open");
    *to = store;
    return BENCH_OK;
}

static int kyoto_close(void *from)
{
    struct store *store = from;
    int status = kcdbclose(store->db) ? BENCH_OK : failed(store, "close");
    kcdbdel(store->db);
    free(store);
    return status;
}

static void *session_new(void *store)
{
    struct session *session = malloc(sizeof *session);
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

static int settle(struct store *store)
{
    return !store->durable || kcdbsync(store->db, 1, NULL, NULL) ? BENCH_OK : failed(store, "sync");
}

static int set(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    return kcdbset(session->store->db, key.data, key.size, value.data, value.size)
               ? BENCH_OK
               : failed(session->store, "set");
}

static int remove_one(void *context, bitcask_slice key)
{
    struct session *session = context;
    return kcdbremove(session->store->db, key.data, key.size) ? BENCH_OK : BENCH_MISSING;
}

static int put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    int status = set(session, key, value);
    return status == BENCH_OK ? settle(session->store) : status;
}

static int remove_key(void *context, bitcask_slice key)
{
    struct session *session = context;
    int status = remove_one(session, key);
    return status == BENCH_OK ? settle(session->store) : status;
}

/* Its bulk call copies each key into a std::string first, which makes it slower than one by one, so
 * a batch is that: without a batch's promises, and to this engine's advantage. */
static int batch_write(void *context)
{
    struct session *session = context;
    return settle(session->store);
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    int32_t size = kcdbgetbuf(session->store->db, key.data, key.size, session->value,
                              session->store->value_size);
    if (size < 0)
        return BENCH_MISSING;
    *value = bitcask_bytes(session->value, (size_t)size);
    return BENCH_OK;
}

static const char *look(const char *key, size_t key_size, const char *value, size_t value_size,
                        size_t *size, void *context)
{
    (void)key, (void)key_size, (void)size;
    bench_touch(value, value_size);
    *(size_t *)context = value_size + 1;
    return KCVISNOP;
}

static const char *look_in_vain(const char *key, size_t key_size, size_t *size, void *context)
{
    (void)key, (void)key_size, (void)size, (void)context;
    return KCVISNOP;
}

static int view(void *context, bitcask_slice key, size_t *size)
{
    struct session *session = context;
    size_t found = 0; /* size + 1 */
    kcdbaccept(session->store->db, key.data, key.size, look, look_in_vain, &found, 0);
    *size = found - 1;
    return found == 0 ? BENCH_MISSING : BENCH_OK;
}

struct walk {
    const atomic_bool *stop;
    uint64_t *entries, *bytes;
};

static const char *count(const char *key, size_t key_size, const char *value, size_t value_size,
                         size_t *size, void *context)
{
    struct walk *walk = context;
    (void)key, (void)value, (void)size;
    ++*walk->entries;
    *walk->bytes += key_size + value_size;
    return KCVISNOP;
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    struct walk walk = {stop, entries, bytes};
    return kcdbiterate(session->store->db, count, &walk, 0) ? BENCH_OK
                                                            : failed(session->store, "iterate");
}

const struct bench_engine bench_kyoto_engine = {
    .name = "kyoto",
    .open = kyoto_open,
    .close = kyoto_close,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .view = view,
    .batch_put = set,
    .batch_remove = remove_one,
    .batch_write = batch_write,
    .scan = scan,
};
