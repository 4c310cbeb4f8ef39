/* SPDX-License-Identifier: MIT
 * keydir_pool.c: see keydir_pool.h. */
#include "engine/keydir_pool.h"

#include <stdbool.h>

#include "base/check.h"

enum { LINE = 64, PAGE = 4096 };

/* At the beginning of its own memory; the blocks follow. Guarded by the pool's mutex. */
struct keydir_slab {
    struct keydir_slab *next, *previous; /* in the list of slabs with room */
    void *free; /* blocks given back; each begins with the next's address */
    size_t size, block_size;
    uint32_t capacity, used, fresh; /* blocks; `fresh` and all behind have never been taken */
};

_Static_assert(sizeof(struct keydir_slab) <= LINE, "blocks begin at the second line");

struct keydir_pool *keydir_pool_new(struct os *os, size_t plain_max)
{
    struct keydir_pool *pool = os->alloc(os, sizeof *pool, LINE);
    if (pool == NULL)
        return NULL;
    *pool = (struct keydir_pool){.os = os, .plain_max = plain_max, .holds = 1};
    CHECK(pthread_mutex_init(&pool->mutex, NULL) == 0);
    return pool;
}

static void let_go(struct keydir_pool *pool, bool last)
{
    struct os *os = pool->os;
    if (!last)
        return;
    CHECK(pool->room == NULL && pool->plain_bytes == 0 && pool->small_bytes == 0);
    pthread_mutex_destroy(&pool->mutex);
    os->free(os, pool, sizeof *pool);
}

void keydir_pool_drop(struct keydir_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    bool last = --pool->holds == 0;
    pthread_mutex_unlock(&pool->mutex);
    let_go(pool, last);
}

void keydir_pool_expect(struct keydir_pool *pool, size_t bytes)
{
    pthread_mutex_lock(&pool->mutex);
    if (bytes / 2 >= pool->plain_max)
        pool->plain_max = 0;
    pthread_mutex_unlock(&pool->mutex);
}

/* ---- Slabs: holding the mutex --------------------------------------------------------------- */

static void enlist(struct keydir_pool *pool, struct keydir_slab *slab)
{
    slab->previous = NULL;
    slab->next = pool->room;
    if (slab->next != NULL)
        slab->next->previous = slab;
    pool->room = slab;
}

static void delist(struct keydir_pool *pool, struct keydir_slab *slab)
{
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        pool->room = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
}

/* A sixteenth of what there is, so that what is not used yet of the last one hardly counts. */
static size_t small_size(const struct keydir_pool *pool, size_t block_size)
{
    size_t blocks = (pool->plain_bytes + pool->small_bytes) / block_size / 16;
    blocks = blocks < 2 ? 2 : blocks > KEYDIR_SMALL_SLAB ? KEYDIR_SMALL_SLAB : blocks;
    return (LINE + blocks * block_size + PAGE - 1) / PAGE * PAGE;
}

static struct keydir_slab *slab_new(struct keydir_pool *pool, size_t block_size)
{
    struct os *os = pool->os;
    size_t size = small_size(pool, block_size);
    bool small = pool->plain_bytes + pool->small_bytes + size <= pool->plain_max;
    if (!small)
        size = KEYDIR_SLAB_SIZE;
    struct keydir_slab *slab = os->alloc(os, size, small ? PAGE : KEYDIR_SLAB_SIZE);
    if (slab == NULL)
        return NULL;
    (void)os->advise(os, slab, size, small ? OS_ADVISE_POPULATE : OS_ADVISE_HUGE);
    *slab = (struct keydir_slab){
        .size = size,
        .block_size = block_size,
        .capacity = (uint32_t)((size - LINE) / block_size),
    };
    pool->small_bytes += small ? size : 0;
    pool->small_free += small ? size : 0;
    enlist(pool, slab);
    return slab;
}

/* With room for a block of that size; NULL: no memory. */
static struct keydir_slab *slab_for(struct keydir_pool *pool, size_t size)
{
    for (struct keydir_slab *slab = pool->room; slab != NULL; slab = slab->next) {
        if (slab->block_size == size)
            return slab;
    }
    return slab_new(pool, size);
}

static bool is_small(const struct keydir_slab *slab)
{
    return slab->size < KEYDIR_SLAB_SIZE;
}

static void *slab_take(struct keydir_pool *pool, struct keydir_slab *slab)
{
    void *block = slab->free;
    if (block != NULL)
        slab->free = *(void **)block;
    else
        block = (char *)slab + LINE + slab->block_size * slab->fresh++;
    if (++slab->used == slab->capacity)
        delist(pool, slab);
    pool->small_free -= is_small(slab) ? slab->block_size : 0;
    return block;
}

static void slab_give(struct keydir_pool *pool, struct keydir_slab *slab, void *block)
{
    if (slab->used == slab->capacity)
        enlist(pool, slab);
    *(void **)block = slab->free;
    slab->free = block;
    pool->small_free += is_small(slab) ? slab->block_size : 0;
    if (--slab->used > 0)
        return;
    delist(pool, slab);
    size_t size = slab->size;
    if (is_small(slab)) {
        pool->small_bytes -= size;
        pool->small_free -= size;
    } else { /* as it was before: the allocator may give this memory to others */
        (void)pool->os->advise(pool->os, slab, size, OS_ADVISE_SMALL);
    }
    pool->os->free(pool->os, slab, size);
}

/* Would a block of that size be one of its own? */
static bool stands_alone(const struct keydir_pool *pool, size_t size)
{
    size_t bytes = pool->plain_bytes + size;
    return bytes <= KEYDIR_SINGLE_MAX && bytes <= pool->plain_max;
}

/* ---- Blocks --------------------------------------------------------------------------------- */

static void *take_plain(struct keydir_pool *pool, size_t size)
{
    void *block = pool->os->alloc(pool->os, size, LINE);
    if (block != NULL)
        pool->plain_bytes += size;
    return block;
}

void *keydir_pool_take(struct keydir_pool *pool, size_t size, struct keydir_slab **slab)
{
    CHECK(size % LINE == 0 && size > 0 && size < KEYDIR_SLAB_SIZE / 2);
    void *block;
    pthread_mutex_lock(&pool->mutex);
    *slab = stands_alone(pool, size) ? NULL : slab_for(pool, size);
    block = *slab != NULL ? slab_take(pool, *slab) : take_plain(pool, size);
    pool->holds += block != NULL;
    pthread_mutex_unlock(&pool->mutex);
    return block;
}

void keydir_pool_give(struct keydir_pool *pool, void *block, size_t size, struct keydir_slab *slab)
{
    pthread_mutex_lock(&pool->mutex);
    if (slab != NULL) {
        slab_give(pool, slab, block);
    } else {
        pool->os->free(pool->os, block, size);
        pool->plain_bytes -= size;
    }
    bool last = --pool->holds == 0;
    pthread_mutex_unlock(&pool->mutex);
    let_go(pool, last);
}
