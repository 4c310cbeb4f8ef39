/* SPDX-License-Identifier: MIT
 * sim_names.c: directories and names of the simulated disk, as struct os asks for them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_internal.h"

/* ---- Names ----------------------------------------------------------------------------------- */

static struct name_change change_at(const struct place *place, struct inode *inode)
{
    struct name_change change = {.directory = place->parent, .inode = inode};
    memcpy(change.name, place->name, sizeof change.name);
    return change;
}

int sim_make_dir(struct os *os, const char *path)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place place;
    int result = sim_begin(disk, SIM_MAKE_DIR);
    if (result == 0)
        result = tree_find(disk, path, &place);
    if (result == 0 && place.inode)
        result = -EEXIST;
    if (result == 0) {
        struct name_change change = change_at(&place, inode_new(disk, true));
        tree_change(disk, &change, 1);
    }
    return (int)sim_end(disk, SIM_MAKE_DIR, 0, 0, path, result);
}

int sim_remove_dir(struct os *os, const char *path)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place place;
    int result = sim_begin(disk, SIM_REMOVE_DIR);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0 && !place.inode->directory)
        result = -ENOTDIR;
    if (result == 0 && !directory_empty(place.inode))
        result = -ENOTEMPTY;
    if (result == 0) {
        struct name_change change = change_at(&place, NULL);
        tree_change(disk, &change, 1);
    }
    return (int)sim_end(disk, SIM_REMOVE_DIR, 0, 0, path, result);
}

/* On a copy: `each` may change the directory. */
static int list_directory(const struct inode *directory,
                          int (*each)(void *context, const char *name), void *context)
{
    size_t count = directory->seen.count;
    struct entry *copy = malloc((count + 1) * sizeof *copy);
    CHECK(copy);
    if (count > 0)
        memcpy(copy, directory->seen.entries, count * sizeof *copy);
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = each(context, copy[i].name);
    free(copy);
    return result;
}

int sim_list(struct os *os, const char *path, int (*each)(void *context, const char *name),
             void *context)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place place;
    int result = sim_begin(disk, SIM_LIST);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0 && !place.inode->directory)
        result = -ENOTDIR;
    sim_end(disk, SIM_LIST, 0, 0, path, result);
    return result == 0 ? list_directory(place.inode, each, context) : result;
}

int sim_stat(struct os *os, const char *path, struct os_stat *stat)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place place;
    int result = sim_begin(disk, SIM_STAT);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0)
        sim_stat_inode(place.inode, stat);
    return (int)sim_end(disk, SIM_STAT, 0, 0, path, result);
}

int sim_rename(struct os *os, const char *from, const char *to)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place source, target;
    int result = sim_begin(disk, SIM_RENAME);
    if (result == 0)
        result = tree_find_existing(disk, from, &source);
    if (result == 0)
        result = tree_find(disk, to, &target);
    if (result == 0 && (source.inode->directory || (target.inode && target.inode->directory)))
        result = -EISDIR; /* directories are never renamed here */
    if (result == 0 && source.inode != target.inode) {
        struct name_change changes[] = {change_at(&target, source.inode), change_at(&source, NULL)};
        tree_change(disk, changes, 2);
    }
    return (int)sim_end(disk, SIM_RENAME, 0, 0, to, result);
}

int sim_link(struct os *os, const char *from, const char *to)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place source, target;
    int result = sim_begin(disk, SIM_LINK);
    if (result == 0)
        result = tree_find_existing(disk, from, &source);
    if (result == 0)
        result = tree_find(disk, to, &target);
    if (result == 0 && target.inode)
        result = -EEXIST;
    if (result == 0) {
        struct name_change change = change_at(&target, source.inode);
        tree_change(disk, &change, 1);
    }
    return (int)sim_end(disk, SIM_LINK, 0, 0, to, result);
}

int sim_unlink(struct os *os, const char *path)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place place;
    int result = sim_begin(disk, SIM_UNLINK);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0 && place.inode->directory)
        result = -EISDIR;
    if (result == 0) {
        struct name_change change = change_at(&place, NULL);
        tree_change(disk, &change, 1);
    }
    return (int)sim_end(disk, SIM_UNLINK, 0, 0, path, result);
}

int sim_sync_dir(struct os *os, const char *path)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place place;
    int result = sim_begin(disk, SIM_SYNC_DIR);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0)
        tree_sync(disk, disk->config.lenient ? NULL : place.inode);
    return (int)sim_end(disk, SIM_SYNC_DIR, 0, 0, path, result);
}
