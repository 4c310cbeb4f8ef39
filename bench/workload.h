/* SPDX-License-Identifier: MIT
 * workload.h: the workloads of a benchmark, for any engine with a small adapter.
 *
 * Throughput is that of the whole run. For the quantiles one call in 64 is clocked by itself, or
 * each where a call is a batch or waits for a disk: a clock between two calls keeps the processor
 * from beginning with the second before the first is over, so that a look-up that waits for memory
 * costs two to four times what it costs a program that does not look at the clock. What the rest of
 * the harness costs is measured with bench_empty_engine, the same code with nothing behind it. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "engine.h"

enum bench_workload {
    BENCH_FILL_SEQ,
    BENCH_FILL,
    BENCH_READ_SEQ,
    BENCH_READ,
    BENCH_READ_ZIPF,
    BENCH_VIEW,
    BENCH_READ_MANY,
    BENCH_MISSING_KEYS,
    BENCH_OVERWRITE_SEQ,
    BENCH_OVERWRITE,
    BENCH_READ_WHILE_WRITING,
    BENCH_SCAN,
    BENCH_DELETE_SEQ,
    BENCH_DELETE,
    BENCH_WORKLOADS,
};

extern const char *const bench_workload_names[BENCH_WORKLOADS];

static inline bool bench_is_fill(enum bench_workload workload)
{
    return workload == BENCH_FILL || workload == BENCH_FILL_SEQ;
}

static inline bool bench_is_delete(enum bench_workload workload)
{
    return workload == BENCH_DELETE || workload == BENCH_DELETE_SEQ;
}

enum { BENCH_THREADS_MAX = 256, BENCH_MANY = 64 };

struct bench_setup {
    const struct bench_engine *engine;
    void *store;
    uint64_t keys;
    uint64_t operations; /* of reads and overwrites, over all threads; 0: as many as keys */
    size_t key_size, value_size;
    uint64_t batch; /* operations per batch; 1: none */
    unsigned threads;
    uint64_t seed;
    bool durable;            /* each write by itself, in a store that is not: make_durable */
    const uint8_t *values;   /* BENCH_VALUE_POOL_SIZE + value_size bytes */
    const atomic_bool *stop; /* set: end early */
};

struct bench_result {
    uint64_t operations, bytes; /* of keys and values */
    double seconds;
    double processor_seconds;                           /* of the threads that shared the work */
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns, p9999_ns; /* of a call: a put, a batch */
    uint64_t max_ns;            /* no call took longer; may be that of 63 calls in a row */
    uint64_t writer_operations; /* READ_WHILE_WRITING: of the writer beside the readers */
    double writer_processor_seconds;
    uint64_t unexpected; /* keys missing that should be there, or the other way round */
    int status;          /* of the engine: the first error, or 0 */
};

/* Run one workload. All but the fills expect a filled store; the deletes leave it empty.
 * False: out of memory; VIEW of an engine that has none; READ_ZIPF of more than 2^32 keys. */
bool bench_run(const struct bench_setup *setup, enum bench_workload workload,
               struct bench_result *result);

#endif
