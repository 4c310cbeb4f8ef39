/* SPDX-License-Identifier: MIT
 * reserve.c: see reserve.h. */
#include "engine/reserve.h"

#include <errno.h>

#include "format/names.h"

enum { RESERVE_MIN = 8 << 10 };

/* Make the file anew with `size` bytes allocated. */
static int make_file(struct os *os, const char *path, uint64_t size)
{
    struct os_file *file;
    int result = os->unlink(os, path);
    if (result != 0 && result != -ENOENT)
        return result;
    result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, &file);
    if (result != 0)
        return result;
    result = os->allocate(os, file, 0, size);
    int closed = os->close(os, file);
    if (result == 0)
        result = closed;
    if (result != 0)
        os->unlink(os, path);
    return result;
}

bitcask_status reserve_hold(struct store *store, bitcask_error *error)
{
    if (LIKELY(atomic_load_explicit(&store->reserve_held, memory_order_relaxed)))
        return BITCASK_OK;
    struct os *os = store->os;
    char path[OS_PATH_MAX];
    struct os_stat stat;
    segments_path(&store->segments, path, NAME_RESERVE);
    int result = os->stat(os, path, &stat);
    if (result != 0 || !stat.regular || stat.size < RESERVE_SIZE)
        result = make_file(os, path, RESERVE_SIZE);
    if (result == 0) {
        atomic_store(&store->reserve_held, true);
        return BITCASK_OK;
    }
    for (uint64_t size = RESERVE_SIZE / 2; size >= RESERVE_MIN; size /= 2) {
        if (make_file(os, path, size) == 0)
            break;
    }
    return error_set_os(error, result, "keep %d KiB aside for deletes and merge",
                        RESERVE_SIZE >> 10);
}

/* Give the blocks back at once: xfs frees those of an unlinked file some time later, and may use
 * freed blocks only when the log has gone to the disk. */
static void free_blocks(struct os *os, const char *path)
{
    struct os_file *file;
    if (os->open(os, path, OS_READ | OS_WRITE, &file) != 0)
        return;
    if (os->truncate(os, file, 0) == 0)
        os->sync(os, file);
    os->close(os, file);
}

bool reserve_release(struct store *store)
{
    struct os *os = store->os;
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_RESERVE);
    atomic_store(&store->reserve_held, false);
    free_blocks(os, path);
    return os->unlink(os, path) == 0;
}
