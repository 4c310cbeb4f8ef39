/* SPDX-License-Identifier: MIT
 * engine.h: what a benchmark needs of an engine: one small adapter for each.
 *
 * An adapter opens a store in a directory of its own and does with it what a program would that its
 * authors have advised; docs/BENCHMARKS.md says for each what that is, and by which page of theirs.
 * A session is what one thread needs (buffers, a batch, a transaction). Functions return BENCH_OK,
 * BENCH_MISSING, or a negative number after saying on stderr what was wrong.
 *
 * Threads: a store belongs to all, a session to the thread that uses it. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "bitcask.h"

enum { BENCH_OK = 0, BENCH_MISSING = 1, BENCH_FAILED = -1 };

/* What an adapter may know when it opens a store: the tuning that the engines' manuals ask for
 * depends on it. */
struct bench_tuning {
    uint64_t keys;     /* that the store is to hold */
    size_t value_size; /* bytes */
    unsigned threads;  /* that will use it at once, at most */
    bool durable;      /* each write, or batch of writes, is on disk when the call returns */
};

struct bench_engine {
    const char *name;

    int (*open)(const char *directory, const struct bench_tuning *tuning, void **store);
    int (*close)(void *store);

    void *(*session_new)(void *store); /* NULL: out of memory */
    void (*session_free)(void *session);

    int (*put)(void *session, bitcask_slice key, bitcask_slice value);
    int (*remove)(void *session, bitcask_slice key);
    int (*get)(void *session, bitcask_slice key, bitcask_slice *value); /* until the next call */
    /* or NULL: look at a value where it is; calls bench_touch and sets its size */
    int (*view)(void *session, bitcask_slice key, size_t *size);
    int (*get_many)(void *session, const bitcask_slice *keys, size_t count, size_t *found,
                    size_t *bytes); /* or NULL: get is called for each */
    int (*batch_put)(void *session, bitcask_slice key, bitcask_slice value);
    int (*batch_remove)(void *session, bitcask_slice key);
    int (*batch_write)(void *session);
    int (*scan)(void *session, const atomic_bool *stop, uint64_t *entries, uint64_t *bytes);
    /* or NULL: writes of this session are durable from now on, in a store that is not */
    int (*make_durable)(void *session);
    /* or NULL: take out what is dead; tells how much was read and written, if the engine does */
    int (*compact)(void *store, uint64_t *bytes);
    uint64_t (*index_bytes)(void *store); /* or NULL: memory of an index that is all in memory */
};

/* Something must look at a view's bytes, else it has not been read: one of each cache line. */
static inline void bench_touch(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    unsigned char sum = 0;
    for (size_t i = 0; i < size; i += 64)
        sum = (unsigned char)(sum + bytes[i]);
    __asm__ volatile("" : : "r"(sum));
}

/* Those that are always there: no store at all, to know what the measuring costs; this library; its
 * memory accesses alone, without anything that makes a store of them. */
extern const struct bench_engine bench_empty_engine;
extern const struct bench_engine bench_bitcask_engine;
extern const struct bench_engine bench_unverified_engine;
extern const struct bench_engine bench_bare_engine;

/* All that this program was built with, NULL at the end. */
extern const struct bench_engine *const bench_engines[];

#endif
