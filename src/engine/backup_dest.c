/* SPDX-License-Identifier: MIT
 * backup_dest.c: the directory of a backup. */
#include <errno.h>
#include <stdio.h>

#include "engine/backup_internal.h"
#include "engine/manifest_file.h"
#include "format/names.h"

enum { MARK_SIZE = 2 * STORE_ID_SIZE };

/* ---- May it be written to? ------------------------------------------------------------------ */

static bitcask_status make_and_lock(struct backup *backup, bitcask_error *error)
{
    struct os *os = backup->dest.os;
    bool made;
    int result = store_make_directory(os, backup->dest.directory, &made);
    if (result != 0 && result != -EEXIST)
        return error_set_os(error, result, "make the directory");
    result = os->lock(os, backup->dest.directory, true, &backup->lock);
    if (result == -EWOULDBLOCK)
        return error_set(error, BITCASK_LOCKED, "a store is open there");
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "lock the directory");
}

static void id_text(char to[2 * STORE_ID_SIZE + 1], const uint8_t id[STORE_ID_SIZE])
{
    for (size_t i = 0; i < STORE_ID_SIZE; i++)
        snprintf(to + 2 * i, 3, "%02x", id[i]);
}

/* The manifest there must be that of an untouched backup of this history. B4. */
static bitcask_status check_before(const struct backup *backup, bitcask_error *error)
{
    const struct manifest *before = &backup->before, *after = &backup->after;
    char id[2 * STORE_ID_SIZE + 1];
    if (memcmp(before->store_id, after->store_id, STORE_ID_SIZE) != 0) {
        id_text(id, before->store_id);
        return error_set(error, BITCASK_STORE_EXISTS,
                         "another store (%s) is there; choose another directory", id);
    }
    if (!before->backup)
        return error_set(error, BITCASK_STORE_EXISTS,
                         "the store there is no backup, or has been opened for writing since it "
                         "was made: it has a history of its own; choose another directory, or "
                         "destroy it first");
    if (memcmp(before->fork_id, after->fork_id, STORE_ID_SIZE) != 0)
        return error_set(error, BITCASK_STORE_EXISTS,
                         "the backup there is of another history of this store (one of the two "
                         "was restored, or has lost its manifest); choose another directory, or "
                         "destroy it first");
    return BITCASK_OK;
}

/* The mark of an unfinished backup names the store, so that no other goes on with it. *ours: it is
 * there and need not be written again. Where nothing else is there yet it is: who wrote it may have
 * failed to sync it, and what reads well now would be gone after a power cut. */
static bitcask_status check_mark(const struct backup *backup, bool *ours, bitcask_error *error)
{
    struct os *os = backup->dest.os;
    char path[OS_PATH_MAX];
    uint8_t mark[MARK_SIZE];
    struct os_file *file;
    segments_path(&backup->dest, path, NAME_UNFINISHED);
    int64_t got = os->open(os, path, OS_READ, &file);
    if (got == 0) {
        got = os->pread(os, file, mark, sizeof mark, 0);
        os->close(os, file);
    }
    if (got < 0)
        return error_set_os(error, (int)got, "read %s", NAME_UNFINISHED);
    *ours = false;
    if (backup->there.data.count == 0)
        return BITCASK_OK;
    *ours = got == MARK_SIZE && memcmp(mark, backup->after.store_id, STORE_ID_SIZE) == 0 &&
            memcmp(mark + STORE_ID_SIZE, backup->after.fork_id, STORE_ID_SIZE) == 0;
    if (*ours)
        return BITCASK_OK;
    return error_set(error, BITCASK_STORE_EXISTS,
                     "an unfinished backup of another store is there; choose another directory, "
                     "or destroy it first");
}

/* Durable before anything else is there: B2. */
static bitcask_status set_mark(struct backup *backup, bitcask_error *error)
{
    uint8_t mark[MARK_SIZE];
    memcpy(mark, backup->after.store_id, STORE_ID_SIZE);
    memcpy(mark + STORE_ID_SIZE, backup->after.fork_id, STORE_ID_SIZE);
    struct os *os = backup->dest.os;
    struct os_file *file;
    char path[OS_PATH_MAX];
    segments_path(&backup->dest, path, NAME_UNFINISHED);
    int result = os->unlink(os, path);
    if (result == 0 || result == -ENOENT)
        result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, &file);
    if (result == 0) {
        result = os->pwrite(os, file, mark, sizeof mark, 0, 0);
        if (result == 0)
            result = os->sync(os, file);
        os->close(os, file);
    }
    if (result == 0)
        result = os->sync_dir(os, backup->dest.directory);
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "write %s", NAME_UNFINISHED);
}

static bitcask_status look_around(struct backup *backup, bitcask_error *error)
{
    const char *why = NULL;
    bitcask_status status = inventory_list(&backup->dest, &backup->there, error);
    if (status != BITCASK_OK)
        return status;
    status = manifest_file_read(&backup->dest, &backup->before, &why, error);
    if (status == BITCASK_OK) {
        backup->has_before = true;
        return check_before(backup, error);
    }
    backup->before = (struct manifest){0};
    bool unfinished = backup->there.unfinished;
    if (status == BITCASK_CORRUPT && !unfinished)
        return error_set(error, status,
                         "the manifest there is damaged (%s); choose another directory, or "
                         "destroy it first",
                         why);
    if (status != BITCASK_NOT_FOUND && status != BITCASK_CORRUPT)
        return status;
    if (!unfinished && backup->there.data.count > 0)
        return error_set(error, BITCASK_STORE_EXISTS,
                         "data files without a manifest are there; choose another directory");
    bool ours = false;
    status = unfinished ? check_mark(backup, &ours, error) : BITCASK_OK;
    return status == BITCASK_OK && !ours ? set_mark(backup, error) : status;
}

bitcask_status backup_dest_open(struct backup *backup, const char *directory, bitcask_error *error)
{
    size_t size = strlen(directory);
    if (size >= sizeof backup->dest.directory)
        return error_set(error, BITCASK_INVALID, "the directory's name is longer than %zu bytes",
                         sizeof backup->dest.directory - 1);
    memcpy(backup->dest.directory, directory, size + 1);
    bitcask_status status = make_and_lock(backup, error);
    return status == BITCASK_OK ? look_around(backup, error) : status;
}

void backup_dest_close(struct backup *backup)
{
    struct os *os = backup->dest.os;
    if (backup->lock != NULL)
        os->unlock(os, backup->lock);
    manifest_release(&backup->before);
    inventory_release(&backup->there);
}

static const struct manifest_segment *find(const struct manifest *manifest, uint64_t id)
{
    for (size_t low = 0, high = manifest->segment_count; low < high;) {
        size_t middle = (low + high) / 2;
        if (manifest->segments[middle].id == id)
            return &manifest->segments[middle];
        if (manifest->segments[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool backup_dest_names(const struct backup *backup, uint64_t id)
{
    return find(&backup->before, id) != NULL;
}

bool backup_dest_has(const struct backup *backup, const struct manifest_segment *entry)
{
    const struct manifest_segment *before = find(&backup->before, entry->id);
    return before != NULL && before->salt == entry->salt && before->length == entry->length &&
           before->rolling == entry->rolling && before->merge == entry->merge;
}

/* ---- The end -------------------------------------------------------------------------------- */

/* What cannot be removed stays, until the next backup: it is not named. */
static bool remove_name(struct backup *backup, const char *name)
{
    struct os *os = backup->dest.os;
    char path[OS_PATH_MAX];
    segments_path(&backup->dest, path, name);
    return os->unlink(os, path) == 0;
}

static void remove_ids(struct backup *backup, const struct id_list *ids,
                       void (*print)(char to[NAME_SIZE], uint64_t id), bool even_named)
{
    for (size_t i = 0; i < ids->count; i++) {
        char name[NAME_SIZE];
        if (!even_named && find(&backup->after, ids->items[i]) != NULL)
            continue;
        print(name, ids->items[i]);
        if (remove_name(backup, name) && print == name_data)
            backup->result.removed++;
    }
}

bitcask_status backup_dest_finish(struct backup *backup, bitcask_error *error)
{
    struct os *os = backup->dest.os;
    int result = os->sync_dir(os, backup->dest.directory);
    if (result != 0)
        return error_set_os(error, result, "sync the directory");
    bitcask_status status = manifest_file_write(&backup->dest, &backup->after, error);
    if (status != BITCASK_OK)
        return status;
    remove_ids(backup, &backup->there.hints, name_hint, false);
    remove_ids(backup, &backup->there.data, name_data, false);
    remove_ids(backup, &backup->there.hint_tmps, name_hint_tmp, true);
    remove_ids(backup, &backup->there.data_tmps, name_data_tmp, true);
    (void)!remove_name(backup, NAME_UNFINISHED);
    (void)os->sync_dir(os, backup->dest.directory);
    return BITCASK_OK;
}
