/* SPDX-License-Identifier: MIT
 * engine_bare.c: what memory allows: the least that an index and a log could do.
 *
 * A get is a load at a random place of a table of 8 bytes a key, and a copy of the record that the
 * entry points to, at a random place of an area as large as all records; two cache misses, no hash,
 * no comparison, no checksum. A put is a memcpy behind the last and a store into the table. It is
 * the probe against which the scaling of readers is judged, and a line to compare with. Memory is
 * in pages of 4 KiB, as that of mapped files mostly is; an engine whose pages are larger may be
 * below it, where the waits for page tables are long. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

struct store {
    _Atomic uint32_t *places; /* of each key's record, in records; 0: none */
    uint8_t *records;
    size_t record_size, value_size;
    uint64_t keys, records_max;
    atomic_uint_fast64_t used;
};

struct session {
    struct store *store;
    uint8_t *value;
};

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, size, MADV_NOHUGEPAGE);
    return memory;
}

static int bare_open(const char *directory, const struct bench_tuning *tuning, void **to)
{
    struct store *store = calloc(1, sizeof *store);
    (void)directory;
    if (store == NULL)
        return BENCH_FAILED;
    store->record_size = (tuning->value_size + 16 + 15) & ~(size_t)15;
    store->value_size = tuning->value_size;
    store->keys = tuning->keys;
    store->records_max = 2 * tuning->keys + 2;
    store->places = map(store->keys * 8);
    store->records = map(store->records_max * store->record_size);
    atomic_store(&store->used, 1);
    *to = store;
    return store->places != NULL && store->records != NULL ? BENCH_OK : BENCH_FAILED;
}

static int bare_close(void *from)
{
    struct store *store = from;
    munmap(store->places, store->keys * 8);
    munmap(store->records, store->records_max * store->record_size);
    free(store);
    return BENCH_OK;
}

static void *session_new(void *store)
{
    struct session *session = malloc(sizeof *session);
    if (session == NULL)
        return NULL;
    session->store = store;
    session->value = malloc(session->store->record_size);
    return session;
}

static void session_free(void *context)
{
    struct session *session = context;
    free(session->value);
    free(session);
}

/* The table has 8 bytes a key, of which half is used: as a slot of an index would be. */
static _Atomic uint32_t *slot(struct store *store, bitcask_slice key)
{
    uint64_t number;
    memcpy(&number, key.data, sizeof number);
    number = __builtin_bswap64(number);
    return number < store->keys ? &store->places[2 * number] : NULL;
}

static int put(void *context, bitcask_slice key, bitcask_slice value)
{
    struct session *session = context;
    struct store *store = session->store;
    _Atomic uint32_t *place = slot(store, key);
    uint64_t at = atomic_fetch_add_explicit(&store->used, 1, memory_order_relaxed);
    if (place == NULL)
        return BENCH_FAILED;
    at = at < store->records_max ? at : 1 + at % (store->records_max - 1); /* begins anew */
    uint8_t *record = store->records + at * store->record_size;
    memcpy(record, key.data, key.size < 16 ? key.size : 16);
    memcpy(record + 16, value.data, value.size);
    atomic_store_explicit(place, (uint32_t)at, memory_order_release);
    return BENCH_OK;
}

static int remove_key(void *context, bitcask_slice key)
{
    struct session *session = context;
    _Atomic uint32_t *place = slot(session->store, key);
    if (place == NULL || atomic_load_explicit(place, memory_order_acquire) == 0)
        return BENCH_MISSING;
    atomic_store_explicit(place, 0, memory_order_release);
    return BENCH_OK;
}

static const uint8_t *find(struct session *session, bitcask_slice key)
{
    _Atomic uint32_t *place = slot(session->store, key);
    uint32_t at = place == NULL ? 0 : atomic_load_explicit(place, memory_order_acquire);
    bool absent = at == 0 || ((const uint8_t *)key.data)[key.size - 1] != 0;
    return absent ? NULL : session->store->records + at * session->store->record_size;
}

static int get(void *context, bitcask_slice key, bitcask_slice *value)
{
    struct session *session = context;
    const uint8_t *record = find(session, key);
    size_t size = session->store->value_size;
    if (record == NULL)
        return BENCH_MISSING;
    memcpy(session->value, record + 16, size);
    *value = bitcask_bytes(session->value, size);
    return BENCH_OK;
}

static int view(void *context, bitcask_slice key, size_t *size)
{
    struct session *session = context;
    const uint8_t *record = find(session, key);
    if (record == NULL)
        return BENCH_MISSING;
    *size = session->store->value_size;
    bench_touch(record + 16, *size);
    return BENCH_OK;
}

static int batch_write(void *session)
{
    (void)session;
    return BENCH_OK;
}

static int scan(void *context, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes)
{
    struct session *session = context;
    struct store *store = session->store;
    uint64_t used = atomic_load(&store->used);
    used = used < store->records_max ? used : store->records_max;
    for (uint64_t i = 1; i < used && !atomic_load_explicit(stop, memory_order_relaxed); i++) {
        bench_touch(store->records + i * store->record_size, store->record_size);
        ++*entries;
        *bytes += store->record_size;
    }
    return BENCH_OK;
}

const struct bench_engine bench_bare_engine = {
    .name = "bare",
    .open = bare_open,
    .close = bare_close,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .view = view,
    .batch_put = put,
    .batch_remove = remove_key,
    .batch_write = batch_write,
    .scan = scan,
};
