/* SPDX-License-Identifier: MIT
 * manifest_file.c: see manifest_file.h. */
#include "engine/manifest_file.h"

#include <errno.h>
#include <stdlib.h>

#include "base/planted.h"
#include "format/names.h"

enum { READ_TRIES = 3 };

/* A read, unlike a sync, may be tried again. */
static int64_t read_patiently(struct os *os, struct os_file *file, void *data, size_t size)
{
    int64_t got = -EIO;
    for (int i = 0; i < READ_TRIES && got == -EIO; i++)
        got = os->pread(os, file, data, size, 0);
    return got;
}

/* The whole file in malloc'd memory. One that the device does not give back is as good as damaged:
 * the data files say the same (R9). */
static bitcask_status read_whole(struct segments *table, const char *path, char **text,
                                 size_t *size, const char **reason, bitcask_error *error)
{
    struct os *os = table->os;
    struct os_file *file;
    struct os_stat stat;
    int result = os->open(os, path, OS_READ, &file);
    if (result == -ENOENT)
        return BITCASK_NOT_FOUND;
    if (result != 0)
        return error_set_os(error, result, "open %s", NAME_MANIFEST);
    bitcask_status status = BITCASK_OK;
    result = os->stat_file(os, file, &stat);
    if (result != 0) {
        status = error_set_os(error, result, "look at %s", NAME_MANIFEST);
    } else if (stat.size > MANIFEST_FILE_MAX) {
        status = BITCASK_CORRUPT;
        *reason = "too large";
    } else if ((*text = malloc((size_t)stat.size + 1)) == NULL) {
        status = error_set(error, BITCASK_NO_MEMORY, "out of memory for %s", NAME_MANIFEST);
    } else {
        int64_t got = read_patiently(os, file, *text, (size_t)stat.size);
        if (got < 0) {
            free(*text);
            status = error_set_os(error, (int)got, "read %s", NAME_MANIFEST);
        }
        if (got == -EIO && !PLANTED(manifest_needed)) {
            status = BITCASK_CORRUPT;
            *reason = "it cannot be read";
        }
        *size = got < 0 ? 0 : (size_t)got;
    }
    os->close(os, file);
    return status;
}

bitcask_status manifest_file_text(struct segments *table, char **text, size_t *size,
                                  const char **why, bitcask_error *error)
{
    char path[OS_PATH_MAX];
    segments_path(table, path, NAME_MANIFEST);
    return read_whole(table, path, text, size, why, error);
}

bitcask_status manifest_file_parse(slice text, struct manifest *manifest, const char **why,
                                   bitcask_error *error)
{
    bitcask_status status = manifest_decode(text, manifest, why);
    if (status == BITCASK_FORMAT)
        error_set(error, status, "store format %u, this library reads up to %d: use a newer one",
                  manifest->format, FORMAT_VERSION);
    if (status == BITCASK_NO_MEMORY)
        error_set(error, status, "out of memory for %s", NAME_MANIFEST);
    return status;
}

bitcask_status manifest_file_read(struct segments *table, struct manifest *manifest,
                                  const char **why, bitcask_error *error)
{
    char *text = NULL;
    size_t size = 0;
    const char *reason = "";
    bitcask_status status = manifest_file_text(table, &text, &size, &reason, error);
    if (status == BITCASK_OK) {
        status = manifest_file_parse(slice_of(text, size), manifest, &reason, error);
        free(text);
    }
    if (status == BITCASK_CORRUPT && why != NULL)
        *why = reason;
    return status;
}

/* Write and sync a new file, replacing what may have been left there. */
static int write_file(struct os *os, const char *path, const char *text, size_t size)
{
    struct os_file *file;
    int result = os->unlink(os, path);
    if (result != 0 && result != -ENOENT)
        return result;
    result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, &file);
    if (result != 0)
        return result;
    result = os->pwrite(os, file, text, size, 0, 0);
    if (result == 0 && !PLANTED(manifest_unsynced))
        result = os->sync(os, file);
    int closed = os->close(os, file);
    if (result == 0)
        result = closed;
    if (result != 0)
        os->unlink(os, path);
    return result;
}

bitcask_status manifest_file_write(struct segments *table, const struct manifest *manifest,
                                   bitcask_error *error)
{
    struct os *os = table->os;
    char path[OS_PATH_MAX], temporary[OS_PATH_MAX], *text;
    size_t size;
    segments_path(table, path, NAME_MANIFEST);
    segments_path(table, temporary, NAME_MANIFEST_TMP);
    if (manifest_encode(manifest, &text, &size) != BITCASK_OK)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for %s", NAME_MANIFEST);
    int result = write_file(os, temporary, text, size);
    free(text);
    if (result == 0)
        result = os->rename(os, temporary, path);
    if (result == 0 && !PLANTED(manifest_dir_unsynced))
        result = os->sync_dir(os, table->directory);
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "write %s", NAME_MANIFEST);
}
