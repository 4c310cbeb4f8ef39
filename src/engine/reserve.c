/* SPDX-License-Identifier: MIT
 * reserve.c: see reserve.h. */
#include "engine/reserve.h"

#include <errno.h>

#include "engine/background.h"
#include "format/names.h"

enum { PART_MIN = 8 << 10 };

/* A new manifest stands beside the old one until it takes its place. */
static uint64_t last_part(struct store *store)
{
    return RESERVE_LAST * (1 + segments_count(&store->segments) / RESERVE_SEGMENTS);
}

uint64_t reserve_growth(struct store *store)
{
    return segments_count(&store->segments) % RESERVE_SEGMENTS == RESERVE_SEGMENTS - 1
               ? RESERVE_LAST
               : 0;
}

/* The file with `size` bytes allocated. One that is there grows, or stays as it is. */
static int make_file(struct os *os, const char *path, uint64_t size)
{
    struct os_file *file;
    struct os_stat stat;
    bool exists = os->stat(os, path, &stat) == 0;
    if (exists && !stat.regular) {
        int result = os->unlink(os, path);
        if (result != 0)
            return result;
        exists = false;
    }
    int result = os->open(os, path, OS_READ | OS_WRITE | (exists ? 0 : OS_CREATE), &file);
    if (result != 0)
        return result;
    result = os->allocate(os, file, 0, size);
    int closed = os->close(os, file);
    if (result == 0)
        result = closed;
    if (result != 0 && !exists)
        os->unlink(os, path);
    return result;
}

/* 0 if it is all there. Else what was there stays; if nothing was, as much of it is kept aside as
 * there is room for. */
static int make_reserve(struct store *store)
{
    struct os *os = store->os;
    char path[OS_PATH_MAX];
    struct os_stat stat;
    uint64_t size = RESERVE_LOG + last_part(store);
    segments_path(&store->segments, path, NAME_RESERVE);
    bool exists = os->stat(os, path, &stat) == 0 && stat.regular;
    int result = exists && stat.size >= size ? 0 : make_file(os, path, size);
    if (result == 0) {
        atomic_store(&store->reserve_bytes, size);
        atomic_store(&store->reserve_held, true);
    }
    for (size /= 2; result != 0 && !exists && size >= PART_MIN; size /= 2) {
        if (make_file(os, path, size) == 0)
            break;
    }
    return result;
}

bitcask_status reserve_hold(struct store *store, bitcask_error *error)
{
    if (LIKELY(atomic_load_explicit(&store->reserve_held, memory_order_relaxed)))
        return BITCASK_OK;
    pthread_mutex_lock(&store->manifest_mutex);
    int result = make_reserve(store);
    pthread_mutex_unlock(&store->manifest_mutex);
    if (result == 0) {
        if (atomic_exchange(&store->reserve_spent, false))
            background_want(store, WORK_SEAL | WORK_PREPARE); /* which had to wait for it */
        return BITCASK_OK;
    }
    return error_set_os(error, result, "keep %d KiB aside for deletes and merge",
                        (int)((RESERVE_LOG + last_part(store)) >> 10));
}

void reserve_follow_manifest(struct store *store)
{
    uint64_t wanted = RESERVE_LOG + last_part(store);
    if (atomic_load(&store->reserve_held) && atomic_load(&store->reserve_bytes) < wanted) {
        atomic_store(&store->reserve_bytes, wanted);
        atomic_store(&store->reserve_held, false);
    }
}

void reserve_keep_last(struct store *store)
{
    char path[OS_PATH_MAX];
    struct os_stat stat;
    segments_path(&store->segments, path, NAME_RESERVE);
    if (!atomic_load(&store->reserve_held) && store->os->stat(store->os, path, &stat) == -ENOENT)
        (void)!make_file(store->os, path, last_part(store));
}

bool reserve_release_for_log(struct store *store)
{
    char path[OS_PATH_MAX];
    struct os_stat stat;
    segments_path(&store->segments, path, NAME_RESERVE);
    if (store->os->stat(store->os, path, &stat) == 0 && stat.size <= last_part(store))
        return false;
    if (!reserve_release(store))
        return false;
    pthread_mutex_lock(&store->manifest_mutex);
    reserve_keep_last(store);
    pthread_mutex_unlock(&store->manifest_mutex);
    return true;
}

bool reserve_release(struct store *store)
{
    struct os *os = store->os;
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_RESERVE);
    struct os_file *file;
    bool opened = os->open(os, path, OS_READ | OS_WRITE, &file) == 0;
    bool gone = os->unlink(os, path) == 0; /* first: who holds it anew makes another file */
    atomic_store(&store->reserve_held, false);
    atomic_store(&store->reserve_bytes, 0);
    atomic_store(&store->reserve_spent, true);
    if (opened) {
        /* xfs frees the blocks of an unlinked file some time later, and may use them again only
         * when its log has gone to the disk. */
        if (gone && os->truncate(os, file, 0) == 0)
            os->sync(os, file);
        os->close(os, file);
    }
    return gone;
}
