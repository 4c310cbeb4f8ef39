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
    if (result == 0) /* of two names of one file rename leaves both */
        (void)os->unlink(os, from);
    if (result == 0)
        result = sync_directory(store);
    if (result == 0)
        result = os->sync_dir(os, store->segments.directory);
    if (result != 0)
        return error_set_os(error, result, "move %s to %s", data, NAME_QUARANTINE);
    tell(store, id, 0, size, name);
    return BITCASK_OK;
}

/* Where links are not to be had. */
static int copy_file(struct os *os, const char *from, const char *to, uint64_t size)
{
    struct os_file *file;
    void *map = NULL;
    int result = os->open(os, from, OS_READ, &file);
    if (result != 0)
        return result;
    if (size > 0)
        result = os->map(os, file, (size_t)size, false, &map);
    os->close(os, file);
    if (result == 0)
        result = write_file(os, to, slice_of(map, (size_t)size));
    if (map != NULL)
        os->unmap(os, map, (size_t)size);
    return result;
}

/* -ENOENT if it is not there. What stands in its place and is no file is moved. */
static int keep_file(struct store *store, uint64_t id, const char *name, const char *suffix,
                     char kept[QUARANTINE_NAME_SIZE], uint64_t *size)
{
    struct os *os = store->os;
    char from[OS_PATH_MAX], to[OS_PATH_MAX];
    struct os_stat stat;
    uint32_t crc = 0;
    segments_path(&store->segments, from, name);
    int result = os->stat(os, from, &stat);
    if (result != 0)
        return result;
    *size = stat.size;
    if (stat.regular)
        result = sum_file(os, from, &crc);
    if (result != 0)
        return result;
    name_quarantine(kept, id, 0, crc);
    size_t end = strlen(kept);
    snprintf(kept + end, QUARANTINE_NAME_SIZE - end, "%s", suffix);
    make_path(store, to, kept);
    if (!stat.regular)
        return os->rename(os, from, to);
    result = os->link(os, from, to);
    if (result == -EEXIST) /* the name has the checksum of the content */
        return 0;
    if (result == -EPERM || result == -EMLINK || result == -EOPNOTSUPP || result == -ENOSYS)
        result = copy_file(os, from, to, stat.size);
    return result;
}

bitcask_status quarantine_segment(struct store *store, uint64_t id, uint64_t *files,
                                  bitcask_error *error)
{
    char data[NAME_SIZE], hint[NAME_SIZE], kept[QUARANTINE_NAME_SIZE];
    const char *const names[] = {data, hint}, *const suffixes[] = {"", ".hint"};
    name_data(data, id);
    name_hint(hint, id);
    int result = make_directory(store);
    for (size_t i = 0; i < ARRAY_SIZE(names) && result == 0; i++) {
        uint64_t size;
        result = keep_file(store, id, names[i], suffixes[i], kept, &size);
        if (result == -ENOENT) {
            result = 0;
        } else if (result == 0) {
            ++*files;
            tell(store, id, 0, size, kept);
        }
    }
    if (result == 0)
        result = sync_directory(store);
    if (result != 0)
        return error_set_os(error, result, "put segment %llu into %s", (unsigned long long)id,
                            NAME_QUARANTINE);
    return BITCASK_OK;
}
