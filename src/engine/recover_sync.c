/* SPDX-License-Identifier: MIT
 * recover_sync.c: what the log has left in the page cache becomes durable before it is served.
 *
 * Invariant R1. A sync is the device's work, looking through the log the processors': so the files
 * are synced by a thread of its own, in the order of the log (D1), while they are scanned, and
 * recovery waits for it before it writes down what it has found. Files in doubt, in which the page
 * cache may not be what is on the disk (engine/sync_mark.h), are synced before they are mapped, and
 * then dropped from the cache, to be read from the disk. */
#include <errno.h>
#include <stdlib.h>

#include "base/planted.h"
#include "engine/recovery_internal.h"
#include "format/names.h"
#include "os/wait.h"

/* A sync that fails may lose the file's length too, and the cache takes it for written: no later
 * sync writes it, and after a power cut the file is shorter than what was read of it. Changed and
 * changed back, it is written. A file system without room for that cannot be helped. */
static int renew_length(struct os *os, struct os_file *file)
{
    struct os_stat stat;
    int result = os->stat_file(os, file, &stat);
    if (result == 0)
        result = os->truncate(os, file, stat.size + 1);
    if (result == 0)
        result = os->truncate(os, file, stat.size);
    return result == -ENOSPC || result == -EDQUOT ? 0 : result;
}

static bitcask_status cannot_sync(int result, uint64_t id, bitcask_error *error)
{
    return error_set_os(error, result, "sync segment %llu", (unsigned long long)id);
}

static int sync_file(struct os *os, struct os_file *file)
{
    return PLANTED(tail_unsynced) ? 0 : os->sync(os, file);
}

/* Advice, which a kernel may not know. */
static int drop(struct os *os, struct os_file *file)
{
    int result = PLANTED(cache_believed) ? 0 : os->drop_cache(os, file, 0, 0);
    return result == -ENOSYS ? 0 : result;
}

/* Who only reads cannot note that it syncs: no error is to be left behind in the cache. */
static int sync_for_reading(struct os *os, struct os_file *file)
{
    int result = sync_file(os, file);
    if (result != 0)
        (void)drop(os, file);
    return result;
}

static bool keep(struct recover_sync *sync, struct os_file *file, uint64_t id)
{
    if (sync->count == sync->capacity) {
        size_t capacity = 2 * sync->capacity + 8;
        struct unsynced *files = realloc(sync->files, capacity * sizeof *files);
        if (files == NULL)
            return false;
        sync->files = files;
        sync->capacity = capacity;
    }
    sync->files[sync->count++] = (struct unsynced){file, id};
    return true;
}

/* Open; its length as it is to be. NOT_FOUND: missing, which is reported when it is mapped. */
static bitcask_status open_file(struct recovery *recovery, uint64_t id, struct os_file **file,
                                bitcask_error *error)
{
    struct segments *table = &recovery->store->segments;
    struct os *os = table->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, id);
    segments_path(table, path, name);
    bool writes = recovery->may_write;
    int result = os->open(os, path, writes ? OS_READ | OS_WRITE : OS_READ, file);
    if (result == -ENOENT || result == -EINVAL || result == -ELOOP)
        return BITCASK_NOT_FOUND;
    if (result != 0)
        return error_set_os(error, result, "open segment %s", name);
    result = writes && !PLANTED(length_believed) ? renew_length(os, *file) : 0;
    if (result == 0)
        return BITCASK_OK;
    os->close(os, *file);
    return cannot_sync(result, id, error);
}

/* Where the file ends in zeros that need not be looked at. A process that published what stands
 * there knows better. */
static uint64_t find_zeros(struct recover_sync *sync, struct os *os, struct os_file *file,
                           uint64_t id)
{
    uint64_t from;
    const struct log_position *published = &sync->doubt.published;
    if (os->zeros_from(os, file, &from) != 0 || (published->segment == id && published->end > from))
        return 0;
    return from;
}

bitcask_status recover_sync_file(struct recovery *recovery, uint64_t id, uint64_t *zeros_from,
                                 bitcask_error *error)
{
    struct recover_sync *sync = &recovery->sync;
    struct os *os = recovery->store->os;
    if (!sync->asked) {
        sync->asked = true;
        sync->doubt = sync_mark_read(&recovery->store->segments, recovery->may_write);
        sync->doubt.all |= recovery->rebuilt; /* of merges' outputs nothing is noted */
    }
    struct os_file *file;
    bitcask_status status = open_file(recovery, id, &file, error);
    if (status != BITCASK_OK)
        return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
    *zeros_from = find_zeros(sync, os, file, id);
    bool doubted = sync_doubts(&sync->doubt, id);
    if (!doubted && recovery->may_write && keep(sync, file, id))
        return BITCASK_OK;
    int result = recovery->may_write ? sync_file(os, file) : sync_for_reading(os, file);
    if (result == 0 && doubted)
        result = drop(os, file);
    os->close(os, file);
    return result == 0 ? BITCASK_OK : cannot_sync(result, id, error);
}

static void *sync_all(void *context)
{
    struct recover_sync *sync = context;
    for (size_t i = 0; i < sync->count && sync->result == 0; i++) {
        sync->result = sync_file(sync->os, sync->files[i].file);
        sync->at = i;
    }
    return NULL;
}

void recover_sync_begin(struct recovery *recovery)
{
    struct recover_sync *sync = &recovery->sync;
    const struct store *store = recovery->store;
    sync->os = store->os;
    if (sync->count == 0)
        return;
    if (store->options.background == BITCASK_BACKGROUND_THREAD)
        sync->running = wait_start_thread(&sync->thread, sync_all, sync) == 0;
    if (!sync->running)
        sync_all(sync);
}

bitcask_status recover_sync_end(struct recovery *recovery, bitcask_error *error)
{
    struct recover_sync *sync = &recovery->sync;
    if (sync->running)
        pthread_join(sync->thread, NULL);
    sync->running = false;
    return sync->result == 0 ? BITCASK_OK
                             : cannot_sync(sync->result, sync->files[sync->at].id, error);
}

void recover_sync_release(struct recovery *recovery)
{
    struct recover_sync *sync = &recovery->sync;
    if (sync->running)
        pthread_join(sync->thread, NULL);
    for (size_t i = 0; i < sync->count; i++)
        recovery->store->os->close(recovery->store->os, sync->files[i].file);
    free(sync->files);
}
