/* SPDX-License-Identifier: MIT
 * quarantine.c: copying and moving bytes out of the way. */
#include "engine/quarantine.h"

#include <errno.h>
#include <stdio.h>

#include "base/checksum.h"
#include "base/planted.h"
#include "format/names.h"

enum { COPY_SIZE = 1 << 20, QUARANTINE_NAME_SIZE = 64 };

/* The directory, durably there. */
static int make_directory(struct store *store)
{
    struct os *os = store->os;
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_QUARANTINE);
    int result = os->make_dir(os, path);
    if (result != 0 && result != -EEXIST)
        return result;
    return os->sync_dir(os, store->segments.directory);
}

static void make_path(const struct store *store, char path[OS_PATH_MAX], const char *name)
{
    char relative[QUARANTINE_NAME_SIZE + sizeof NAME_QUARANTINE];
    snprintf(relative, sizeof relative, "%s/%s", NAME_QUARANTINE, name);
    segments_path(&store->segments, path, relative);
}

static int sync_directory(struct store *store)
{
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_QUARANTINE);
    return PLANTED(quarantine_unsynced) ? 0 : store->os->sync_dir(store->os, path);
}

static void tell(struct store *store, uint64_t id, uint64_t offset, uint64_t size, const char *name)
{
    atomic_fetch_add(&store->counters.quarantined_bytes, size);
    EVENT(&store->events, BITCASK_LOG_WARN, "quarantined", F_UINT("segment", id),
          F_UINT("offset", offset), F_UINT("bytes", size), F_TEXT("file", name));
}

/* Write the file, or complete the one that an interrupted recovery left. */
static int write_file(struct os *os, const char *path, slice bytes)
{
    struct os_file *file;
    int result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, &file);
    if (result == -EEXIST)
        result = os->open(os, path, OS_READ | OS_WRITE, &file);
    if (result != 0)
        return result;
    for (size_t at = 0; result == 0 && at < bytes.size; at += COPY_SIZE) {
        size_t size = bytes.size - at < COPY_SIZE ? bytes.size - at : COPY_SIZE;
        result = os->pwrite(os, file, (const uint8_t *)bytes.data + at, size, at, 0);
    }
    if (result == 0)
        result = os->truncate(os, file, bytes.size);
    if (result == 0)
        result = os->sync(os, file);
    int closed = os->close(os, file);
    return result != 0 ? result : closed;
}

bitcask_status quarantine_copy(struct store *store, uint64_t id, uint64_t offset, slice bytes,
                               bitcask_error *error)
{
    char name[QUARANTINE_NAME_SIZE], path[OS_PATH_MAX];
    name_quarantine(name, id, offset, checksum(0, bytes.data, bytes.size));
    make_path(store, path, name);
    int result = make_directory(store);
    if (result == 0)
        result = write_file(store->os, path, bytes);
    if (result == 0)
        result = sync_directory(store);
    if (result != 0)
        return error_set_os(error, result, "copy to %s/%s", NAME_QUARANTINE, name);
    tell(store, id, offset, bytes.size, name);
    return BITCASK_OK;
}

/* The checksum of the whole file. */
static int sum_file(struct os *os, const char *path, uint32_t *crc)
{
    struct os_file *file;
    int result = os->open(os, path, OS_READ, &file);
    if (result != 0)
        return result;
    uint8_t bytes[16 << 10];
    int64_t got;
    *crc = 0;
    uint64_t offset = 0;
    while ((got = os->pread(os, file, bytes, sizeof bytes, offset)) > 0) {
        *crc = checksum(*crc, bytes, (size_t)got);
        offset += (uint64_t)got;
    }
    os->close(os, file);
    return got < 0 ? (int)got : 0;
}

bitcask_status quarantine_move(struct store *store, uint64_t id, uint64_t size,
                               bitcask_error *error)
{
    struct os *os = store->os;
    char data[NAME_SIZE], name[QUARANTINE_NAME_SIZE], from[OS_PATH_MAX], to[OS_PATH_MAX];
    name_data(data, id);
    segments_path(&store->segments, from, data);
    uint32_t crc = 0;
    int result = sum_file(os, from, &crc);
    name_quarantine(name, id, 0, crc);
    make_path(store, to, name);
    if (result == 0)
        result = make_directory(store);
    if (result == 0)
        result = os->rename(os, from, to);
    if (result == 0)
        result = sync_directory(store);
    if (result == 0)
        result = os->sync_dir(os, store->segments.directory);
    if (result != 0)
        return error_set_os(error, result, "move %s to %s", data, NAME_QUARANTINE);
    tell(store, id, 0, size, name);
    return BITCASK_OK;
}
