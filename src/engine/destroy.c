/* SPDX-License-Identifier: MIT
 * destroy.c: delete a store that is not open. */
#include "engine/destroy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/names.h"

enum { QUARANTINE_NAME_SIZE = 64 };

/* What a directory holds. The names are collected before anything is removed. */
struct names {
    char (*items)[QUARANTINE_NAME_SIZE];
    size_t count, capacity;
};

/* In the order in which they are removed. */
enum rank { RANK_SEGMENT, RANK_MANIFEST, RANK_LOCK_FILE, RANK_NOT_OURS };

static enum rank rank_of(const char *name)
{
    uint64_t id;
    switch (name_parse(name, &id)) {
    case NAME_DATA:
    case NAME_HINT:
    case NAME_HINT_TMP:
    case NAME_DATA_TMP:
        return RANK_SEGMENT;
    case NAME_META:
        if (strcmp(name, NAME_QUARANTINE) == 0)
            return RANK_NOT_OURS; /* a directory, see remove_quarantine */
        if (strcmp(name, NAME_RESERVE) == 0 || strcmp(name, NAME_PUBLISHED) == 0 ||
            strcmp(name, NAME_IMAGE) == 0 || strcmp(name, NAME_IMAGE_TMP) == 0)
            return RANK_SEGMENT;
        return strcmp(name, NAME_LOCK) == 0 ? RANK_LOCK_FILE : RANK_MANIFEST;
    case NAME_OTHER:
        break;
    }
    return RANK_NOT_OURS;
}

/* Longer names are none of ours: they stay, and with them their directory. */
static int collect(void *context, const char *name)
{
    struct names *names = context;
    if (strlen(name) >= QUARANTINE_NAME_SIZE)
        return 0;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity * 2 + 64;
        void *items = realloc(names->items, capacity * sizeof names->items[0]);
        if (items == NULL)
            return -ENOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    memcpy(names->items[names->count++], name, strlen(name) + 1);
    return 0;
}

static bool has_store(const struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (rank_of(names->items[i]) != RANK_NOT_OURS)
            return true;
    }
    return false;
}

static int remove_file(struct os *os, const char *directory, const char *name)
{
    char path[OS_PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (size >= OS_PATH_MAX)
        return -ENAMETOOLONG;
    int result = os->unlink(os, path);
    return result == -ENOENT ? 0 : result;
}

static int remove_rank(struct os *os, const char *directory, const struct names *names,
                       enum rank rank)
{
    int result = 0;
    for (size_t i = 0; i < names->count && result == 0; i++) {
        if (rank_of(names->items[i]) == rank)
            result = remove_file(os, directory, names->items[i]);
    }
    return result;
}

/* Whatever is in quarantine/ was put there by the store. */
static int remove_quarantine(struct os *os, const char *directory)
{
    char path[OS_PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%s", directory, NAME_QUARANTINE);
    if (size >= OS_PATH_MAX)
        return -ENAMETOOLONG;
    struct names names = {0};
    int result = os->list(os, path, collect, &names);
    for (size_t i = 0; i < names.count && result == 0; i++)
        result = remove_file(os, path, names.items[i]);
    free(names.items);
    if (result == 0)
        result = os->remove_dir(os, path);
    return result == -ENOENT ? 0 : result;
}

/* Syncing in between, since the names of one directory may otherwise vanish in any order. */
static int remove_all(struct os *os, const char *directory, const struct names *names)
{
    int result = remove_rank(os, directory, names, RANK_SEGMENT);
    if (result == 0)
        result = remove_quarantine(os, directory);
    if (result == 0)
        result = os->sync_dir(os, directory);
    if (result == 0)
        result = remove_rank(os, directory, names, RANK_MANIFEST);
    if (result == 0)
        result = remove_rank(os, directory, names, RANK_LOCK_FILE);
    if (result == 0)
        result = os->sync_dir(os, directory);
    return result;
}

static bitcask_status destroy_locked(struct os *os, const char *directory, bitcask_error *error)
{
    struct names names = {0};
    bitcask_status status = BITCASK_OK;
    int result = os->list(os, directory, collect, &names);
    if (result == 0 && !has_store(&names))
        status = error_set(error, BITCASK_NO_STORE, "no store at %s", directory);
    else if (result == 0)
        result = remove_all(os, directory, &names);
    if (result == 0 && status == BITCASK_OK) {
        result = os->remove_dir(os, directory);
        if (result == -ENOTEMPTY || result == -EEXIST || result == -EBUSY || result == -EACCES ||
            result == -EINVAL || result == -ENOTDIR)
            result = 0; /* other files are in it, or it is ".", or a link, or not ours to remove */
    }
    free(names.items);
    return result == 0 ? status : error_set_os(error, result, "destroy '%s'", directory);
}

/* Who has it open, as far as the lock file tells; it is there for people to read. */
static bitcask_status say_locked(struct os *os, const char *directory, bitcask_error *error)
{
    char path[OS_PATH_MAX], text[100] = "";
    struct os_file *file;
    if (snprintf(path, sizeof path, "%s/%s", directory, NAME_LOCK) < OS_PATH_MAX &&
        os->open(os, path, OS_READ, &file) == 0) {
        int64_t size = os->pread(os, file, text, sizeof text - 1, 0);
        text[size > 0 ? size : 0] = 0;
        os->close(os, file);
    }
    size_t size = 0;
    while (text[size] >= ' ' && text[size] <= '~')
        size++;
    return error_set(error, BITCASK_LOCKED, "destroy '%s': the store is open (%.*s)", directory,
                     (int)(size > 0 ? size : 1), size > 0 ? text : "?");
}

bitcask_status destroy_store(struct os *os, const char *directory, bitcask_error *error)
{
    struct os_lock *lock = NULL;
    int result = os->lock(os, directory, true, &lock);
    if (result == -ENOENT || result == -ENOTDIR)
        return error_set(error, BITCASK_NO_STORE, "no store at %s", directory);
    if (result == -EWOULDBLOCK)
        return say_locked(os, directory, error);
    if (result != 0)
        return error_set_os(error, result, "destroy '%s': lock", directory);
    bitcask_status status = destroy_locked(os, directory, error);
    os->unlock(os, lock);
    return status;
}
