/* SPDX-License-Identifier: MIT
 * engine_tkrzw.c: the adapter of the benchmark to Tkrzw's HashDBM.
 *
 * Tuned as its "Tips for the HashDBM" have it: as many buckets as records at least, offsets of four
 * bytes, records in place, a file that is mapped, no checksum. Values are looked at in a processor,
 * which spares the copy in an allocation that tkrzw_dbm_get returns. A durable write is followed by
 * a hard synchronisation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tkrzw_langc.h>

#include "engine.h"

struct store {
    TkrzwDBM *db;
    bool durable;
    size_t value_size;
};

struct session {
    struct store *store;
    char *value;
    size_t size;
};

static int failed(const char *what)
{
    fprintf(stderr, "tkrzw: %s: %s\n", what, tkrzw_get_last_status_message());
    return BENCH_FAILED;
}

static int tkrzw_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = malloc(sizeof *store);
    char path[4096], params[256];
    bool small = tuning->keys * (tuning->value_size + 48) < UINT64_C(32) << 30; /* 2^32 * 2^3 */
    snprintf(path, sizeof path, "%s/store.tkh", directory);
    snprintf(params, sizeof params,
             "dbm=HashDBM,file=MemoryMapParallelFile,update_mode=UPDATE_IN_PLACE,"
             "record_crc_mode=RECORD_CRC_NONE,offset_width=%d,align_pow=3,num_buckets=%" PRIu64,
             small ? 4 : 5, 2 * tuning->keys + 16);
    *store =
        (struct store){tkrzw_dbm_open(path, true, params), tuning->durable, tuning->value_size};
    if (store->db == NULL)
        return failed("open");
    *to = store;
    return BENCH_OK;
}

static int tkrzw_close(void *from)
{
    struct store *store = from;
    int status = tkrzw_dbm_close(store->db) ? BENCH_OK : failed("close");
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
    return !store->durable || tkrzw_dbm_synchronize(store->db, true, NULL, NULL, "")
               ? BENCH_OK
               : failed("synchronize");
}

static int set(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    return tkrzw_dbm_set(session->store->db, key.data, (int32_t)key.size, value.data,
                         (int32_t)value.size, true)
               ? BENCH_OK
               : failed("set");
}

static int remove_one(void *context, bitcask_slice key)
{
    struct session *session = context;
    return tkrzw_dbm_remove(session->store->db, key.data, (int32_t)key.size) ? BENCH_OK
                                                                             : BENCH_MISSING;
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

/* Its calls for many records copy each into an object first: one by one is faster, so a batch is
 * that: without a batch's promises, and to this engine's advantage. */
static int batch_write(void *context)
{
    struct session *session = context;
    return settle(session->store);
}

static const char *copy(void *context, const char *key, int32_t key_size, const char *value,
                        int32_t value_size, int32_t *size)
{
    struct session *session = context;
    (void)key, (void)key_size, (void)size;
    session->size = (size_t)(value_size + 1);
    if (value_size > 0)
        memcpy(session->value, value, (size_t)value_size);
    return TKRZW_REC_PROC_NOOP;
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    session->size = 0;
    tkrzw_dbm_process(session->store->db, key.data, (int32_t)key.size, copy, session, false);
    if (session->size == 0)
        return BENCH_MISSING;
    *value = bitcask_bytes(session->value, session->size - 1);
    return BENCH_OK;
}

static const char *look(void *context, const char *key, int32_t key_size, const char *value,
                        int32_t value_size, int32_t *size)
{
    struct session *session = context;
    (void)key, (void)key_size, (void)size;
    session->size = (size_t)(value_size + 1);
    if (value_size > 0)
        bench_touch(value, (size_t)value_size);
    return TKRZW_REC_PROC_NOOP;
}

static int view(void *context, bitcask_slice key, size_t *size)
{
    struct session *session = context;
    session->size = 0;
    tkrzw_dbm_process(session->store->db, key.data, (int32_t)key.size, look, session, false);
    *size = session->size - 1;
    return session->size == 0 ? BENCH_MISSING : BENCH_OK;
}

struct walk {
    uint64_t *entries, *bytes;
};

static const char *count(void *context, const char *key, int32_t key_size, const char *value,
                         int32_t value_size, int32_t *size)
{
    struct walk *walk = context;
    (void)value, (void)size;
    if (key == NULL || value_size < 0 || key_size <= 0) /* called once more at each end */
        return TKRZW_REC_PROC_NOOP;
    ++*walk->entries;
    *walk->bytes += (uint64_t)key_size + (uint64_t)value_size;
    return TKRZW_REC_PROC_NOOP;
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    struct walk walk = {entries, bytes};
    (void)stop;
    return tkrzw_dbm_process_each(session->store->db, count, &walk, false) ? BENCH_OK
                                                                           : failed("process_each");
}

const struct bench_engine bench_tkrzw_engine = {
    .name = "tkrzw",
    .open = tkrzw_open,
    .close = tkrzw_close,
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
