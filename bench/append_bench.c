/* SPDX-License-Identifier: MIT
 * append_bench.c: ways to append to a log in memory, which the store could have taken.
 *
 *     make bench-append                  several writers: who copies, and in which order; large
 *                                        values: through the caches or past them
 *
 * Several writers: each append is a record of 16 and 100 bytes, encoded with its checksum to its
 * place in the log, and one store to a random place of a table as large as the index of 10 million
 * keys, which must be done in the order of the log: a key's last record is its newest.
 *     lock     a mutex around all of it
 *     queue    requests are pushed to a stack; who pushes the first one takes the lock and serves
 *              all of them, as the store does (engine/write_queue.h)
 *     reserve  the place is taken by an atomic addition, all encode at once, and each waits for
 *              the one before it to do its store to the table */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "base/checksum.h"
#include "format/record.h"

enum {
    KEY_SIZE = 16,
    VALUE_SIZE = 100,
    APPENDS = 4000000,
    THREADS_MAX = 8,
    ROUNDS = 5,
    SPINS = 64
};

static const size_t LOG_SIZE = 512 << 20, TABLE_SLOTS = 1 << 24, READ_SIZE = 64 << 20;
static const uint64_t SALT = 0x9E3779B97F4A7C15u;

static uint8_t *memory_log; /* touched before anything is timed */
static uint64_t *table;

static void *touched(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* ---- Several writers ----------------------------------------------------------------------- */

struct request {
    struct request *next;
    struct record record;
    uint64_t hash;
    _Atomic bool done;
};

static struct record record_of(uint64_t number, uint8_t key[KEY_SIZE], const uint8_t *value)
{
    memset(key, 0, KEY_SIZE);
    memcpy(key, &number, sizeof number);
    return (struct record){.version = number + 1,
                           .key = slice_of(key, KEY_SIZE),
                           .value = slice_of(value, VALUE_SIZE)};
}

static uint64_t size_of(const struct record *record)
{
    return record_size(0, record->key.size, record->value.size);
}

static uint8_t *log_at(uint64_t offset, uint64_t size)
{
    return memory_log + offset % (LOG_SIZE - size);
}

static void change_index(uint64_t hash, uint64_t offset)
{
    table[hash % TABLE_SLOTS] = offset;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t log_end;

static void append_locked(const struct request *request)
{
    uint64_t size = size_of(&request->record);
    record_encode(log_at(log_end, size), &request->record, SALT, log_end);
    change_index(request->hash, log_end);
    log_end += size;
}

static void by_lock(struct request *request)
{
    pthread_mutex_lock(&mutex);
    append_locked(request);
    pthread_mutex_unlock(&mutex);
}

static _Atomic(struct request *) waiting;

static void serve(struct request *list)
{
    for (struct request *next; list != NULL; list = next) {
        next = list->next;
        append_locked(list);
        atomic_store_explicit(&list->done, true, memory_order_release);
    }
}

static void by_queue(struct request *request)
{
    if (pthread_mutex_trylock(&mutex) == 0) { /* alone, mostly */
        serve(atomic_exchange(&waiting, NULL));
        append_locked(request);
        pthread_mutex_unlock(&mutex);
        return;
    }
    atomic_store_explicit(&request->done, false, memory_order_relaxed);
    request->next = atomic_load(&waiting);
    while (!atomic_compare_exchange_weak(&waiting, &request->next, request))
        ;
    if (request->next == NULL) {
        pthread_mutex_lock(&mutex);
        serve(atomic_exchange(&waiting, NULL));
        pthread_mutex_unlock(&mutex);
    }
    for (unsigned i = 0; !atomic_load_explicit(&request->done, memory_order_acquire); i++)
        if (i > SPINS)
            sched_yield();
}

static _Alignas(64) _Atomic uint64_t reserved;
static _Alignas(64) _Atomic uint64_t published;

static void by_reservation(struct request *request)
{
    uint64_t size = size_of(&request->record);
    uint64_t offset = atomic_fetch_add(&reserved, size);
    record_encode(log_at(offset, size), &request->record, SALT, offset);
    for (unsigned i = 0; atomic_load_explicit(&published, memory_order_acquire) != offset; i++)
        if (i > SPINS)
            sched_yield();
    change_index(request->hash, offset);
    atomic_store_explicit(&published, offset + size, memory_order_release);
}

struct way {
    const char *name;
    void (*append)(struct request *request);
};

static const struct way WAYS[] = {
    {"lock", by_lock}, {"queue", by_queue}, {"reserve", by_reservation}};

struct writer {
    pthread_t thread;
    const struct way *way;
    uint64_t first, count;
};

static void *write_all(void *context)
{
    const struct writer *writer = context;
    uint8_t key[KEY_SIZE], value[VALUE_SIZE] = {1};
    struct request request;
    for (uint64_t i = writer->first; i < writer->first + writer->count; i++) {
        request.record = record_of(i, key, value);
        request.hash = i * SALT >> 20;
        writer->way->append(&request);
    }
    return NULL;
}

/* ns of an append, by the wall clock. */
static double time_writers(const struct way *way, unsigned threads)
{
    struct writer writers[THREADS_MAX];
    double began = now_ns();
    for (unsigned i = 0; i < threads; i++) {
        writers[i] =
            (struct writer){.way = way, .first = (uint64_t)i * APPENDS, .count = APPENDS / threads};
        CHECK(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]) == 0);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(writers[i].thread, NULL);
    return (now_ns() - began) / APPENDS;
}

/* ---- Large values -------------------------------------------------------------------------- */

static void copy_streaming(uint8_t *to, const uint8_t *from, size_t size)
{
    size_t i = 0;
#ifdef __SSE2__ /* elsewhere there is nothing to compare */
    i = -(uintptr_t)to % sizeof(__m128i);
    memcpy(to, from, i);
    for (; i + sizeof(__m128i) <= size; i += sizeof(__m128i))
        _mm_stream_si128((__m128i *)(void *)(to + i),
                         _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
    _mm_sfence();
#endif
    memcpy(to + i, from + i, size - i);
}

/* Past the caches; the checksum has been taken while the source was read, so they are two passes.
 */
static void encode_streaming(uint8_t *to, const struct record *record, uint64_t offset)
{
    uint64_t head = size_of(record) - record->value.size;
    struct record bare = *record;
    bare.value.size = 0;
    record_encode(to, &bare, SALT, offset);
    uint32_t crc = checksum(0, record->value.data, record->value.size);
    memcpy(to, &crc, sizeof crc); /* any checksum will do here */
    copy_streaming(to + head, record->value.data, record->value.size);
}

/* As smaller values are. */
static void encode_plainly(uint8_t *to, const struct record *record, uint64_t offset)
{
    uint32_t head = record_encode_header(to, record);
    memcpy(to + head, record->key.data, record->key.size);
    head += (uint32_t)record->key.size;
    memcpy(to + head, record->value.data, record->value.size);
    record_seal(to, head + record->value.size, SALT, offset);
}

/* GB/s of appending LOG_SIZE / 2 bytes, and of reading what was appended last. */
static void time_values(void (*encode)(uint8_t *, const struct record *, uint64_t),
                        size_t value_size, double *append_gb_s, double *read_gb_s)
{
    uint8_t key[KEY_SIZE] = {0}, *value = touched(value_size), *out = touched(value_size);
    struct record record = {
        .version = 1, .key = slice_of(key, KEY_SIZE), .value = slice_of(value, value_size)};
    uint64_t size = size_of(&record), offset = 0;
    double began = now_ns();
    while (offset < LOG_SIZE / 2) {
        encode(memory_log + offset, &record, offset);
        offset += size;
    }
    *append_gb_s = (double)offset / (now_ns() - began);
    uint64_t from = offset > READ_SIZE ? offset - READ_SIZE / size * size : 0, bytes = 0;
    began = now_ns();
    for (; from < offset; from += size, bytes += size)
        memcpy(out, memory_log + from, size < value_size ? size : value_size);
    *read_gb_s = (double)bytes / (now_ns() - began);
    munmap(value, value_size);
    munmap(out, value_size);
}

/* ---- Both ---------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double *figures)
{
    qsort(figures, ROUNDS, sizeof *figures, by_size);
    return figures[ROUNDS / 2];
}

static void compare_writers(unsigned threads)
{
    double figures[sizeof WAYS / sizeof WAYS[0]][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (size_t way = 0; way < sizeof WAYS / sizeof WAYS[0]; way++)
            figures[way][round] = time_writers(&WAYS[way], threads);
    printf("%2u threads, ns an append:", threads);
    for (size_t way = 0; way < sizeof WAYS / sizeof WAYS[0]; way++) {
        double median = median_of(figures[way]);
        printf("  %s %.0f (%.0f-%.0f)", WAYS[way].name, median, figures[way][0],
               figures[way][ROUNDS - 1]);
    }
    printf("\n");
}

static void compare_values(size_t value_size)
{
    double append[2][ROUNDS], read[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        time_values(encode_plainly, value_size, &append[0][round], &read[0][round]);
        time_values(encode_streaming, value_size, &append[1][round], &read[1][round]);
    }
    printf("%7zu bytes, GB/s:  plain append %.1f read %.1f  streaming append %.1f read %.1f\n",
           value_size, median_of(append[0]), median_of(read[0]), median_of(append[1]),
           median_of(read[1]));
}

int main(void)
{
    memory_log = touched(LOG_SIZE);
    table = touched(TABLE_SLOTS * sizeof *table);
    for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 2)
        compare_writers(threads);
    for (size_t size = 4000; size <= 4000000; size *= 10)
        compare_values(size);
    return 0;
}
