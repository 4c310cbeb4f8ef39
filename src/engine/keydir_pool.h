/* SPDX-License-Identifier: MIT
 * keydir_pool.h: memory of a keydir's shards, some at a time, in large pages once there are many.
 *
 * A look-up of an index of a hundred megabytes waits as long for the translation of the address as
 * for the bucket: 4-KiB pages of it are more than any TLB holds. So shards are cut out of slabs of
 * 2 MiB that are asked to be large pages. Each slab may be resident for the sake of one shard,
 * which a small index must not pay: the first `plain_max` bytes are not in slabs of that size, and
 * stay so as the index grows, so that what splits give back there is used again. The first
 * KEYDIR_SINGLE_MAX of them are blocks of their own, from the allocator; the others come out of
 * small slabs, whose pages are faulted in at once, since a put that splits a shard should not wait
 * for a page each few buckets.
 *
 * Threads: any; one lock, held for a few instructions, and a new slab once in 2 MiB. The pool lives
 * until its keydir has dropped it and the last block is given back, whoever does that. */
#ifndef ENGINE_KEYDIR_POOL_H
#define ENGINE_KEYDIR_POOL_H

#include <pthread.h>
#include <stddef.h>

#include "os/os.h"

enum {
    KEYDIR_PLAIN_MAX = 16 << 20, /* of an index whose size is not known: 1.4 M keys */
    KEYDIR_SLAB_SIZE = 2 << 20,
    KEYDIR_SINGLE_MAX = 256 << 10,
    KEYDIR_SMALL_SLAB = 8, /* blocks, at most */
};

struct keydir_slab;

/* Private to keydir_pool.c; here for its size. */
struct keydir_pool {
    struct os *os;
    pthread_mutex_t mutex; /* guards all below; innermost */
    size_t plain_max, plain_bytes;
    size_t small_bytes, small_free; /* of small slabs; of these, what is not taken */
    uint64_t holds;                 /* blocks that are taken, and the keydir */
    struct keydir_slab *room;       /* slabs that are not full */
};

struct keydir_pool *keydir_pool_new(struct os *os, size_t plain_max); /* NULL: no memory */
void keydir_pool_drop(struct keydir_pool *pool);                      /* NULL allowed */

/* The keydir will need about so many bytes: if that is far beyond plain_max, no block is plain from
 * now on. */
void keydir_pool_expect(struct keydir_pool *pool, size_t bytes);

/* A block of `size` bytes, a multiple of 64 and less than half a slab, aligned to 64, not cleared.
 * *slab is what it is cut out of, NULL if it is plain. NULL: no memory. */
void *keydir_pool_take(struct keydir_pool *pool, size_t size, struct keydir_slab **slab);
void keydir_pool_give(struct keydir_pool *pool, void *block, size_t size, struct keydir_slab *slab);

#endif
