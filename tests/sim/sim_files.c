/* SPDX-License-Identifier: MIT
 * sim_files.c: files and mappings of the simulated disk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_internal.h"

static int end_file(struct sim_disk *disk, enum sim_call call, const struct os_file *file,
                    uint64_t b, int64_t result)
{
    return (int)sim_end(disk, call, file->inode ? file->inode->number : 0, b, NULL, result);
}

/* ---- Files ----------------------------------------------------------------------------------- */

uint64_t sim_used_bytes(const struct sim_disk *disk)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->inode_count; i++)
        if (disk->inodes[i]->links > 0 || disk->inodes[i]->handles > 0)
            used += disk->inodes[i]->size;
    return used;
}

/* The size that a file can grow to, at most `size`. */
static uint64_t room_for(const struct sim_disk *disk, const struct inode *inode, uint64_t size)
{
    uint64_t capacity = disk->config.capacity;
    if (capacity == 0 || size <= inode->size)
        return size;
    uint64_t used = sim_used_bytes(disk);
    uint64_t room = capacity > used ? capacity - used : 0;
    return size - inode->size <= room ? size : inode->size + room;
}

static int disk_full(struct sim_disk *disk)
{
    disk->counts.full++;
    return -ENOSPC;
}

static int grow(struct sim_disk *disk, struct inode *inode, uint64_t size)
{
    if (size > REGION_SIZE)
        return -EFBIG;
    if (room_for(disk, inode, size) < size)
        return disk_full(disk);
    if (size > inode->size)
        inode_resize(inode, (size_t)size);
    return 0;
}

static bool ends_with(const char *text, const char *tail)
{
    size_t size = strlen(text), tail_size = strlen(tail);
    return size >= tail_size && strcmp(text + size - tail_size, tail) == 0;
}

static int file_open(struct sim_disk *disk, const char *path, int flags, struct os_file **file)
{
    struct place place;
    int result = tree_find(disk, path, &place);
    if (result != 0)
        return result;
    if (flags & OS_CREATE) {
        if (place.inode)
            return -EEXIST;
        if (disk->faults && random_chance(&disk->random, disk->config.space_error)) {
            disk->counts.errors++;
            return -ENOSPC;
        }
        place.inode = inode_new(disk, false);
        place.inode->log = ends_with(place.name, ".data");
        struct name_change change = {.directory = place.parent, .inode = place.inode};
        memcpy(change.name, place.name, sizeof change.name);
        tree_change(disk, &change, 1);
    }
    if (!place.inode)
        return -ENOENT;
    if (place.inode->directory)
        return -EINVAL;
    struct os_file *opened = malloc(sizeof *opened);
    CHECK(opened);
    *opened = (struct os_file){place.inode, flags & OS_WRITE, disk->files};
    disk->files = opened;
    place.inode->handles++;
    *file = opened;
    return 0;
}

int sim_open(struct os *os, const char *path, int flags, struct os_file **file)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = sim_begin(disk, SIM_OPEN);
    if (result == 0)
        result = file_open(disk, path, flags, file);
    return (int)sim_end(disk, SIM_OPEN, (uint64_t)flags, 0, path, result);
}

int sim_close(struct os *os, struct os_file *file)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = sim_begin(disk, SIM_CLOSE);
    end_file(disk, SIM_CLOSE, file, 0, result);
    struct os_file **link = &disk->files;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    if (file->inode)
        file->inode->handles--;
    free(file);
    if (disk->inode_count > 64)
        tree_collect(disk);
    return result;
}

static int begin_file(struct sim_disk *disk, enum sim_call call, const struct os_file *file)
{
    int result = sim_begin(disk, call);
    return file->inode ? result : -EIO;
}

static bool reads_unreadable(const struct inode *inode, size_t begins, size_t ends)
{
    for (size_t s = begins / SECTOR; s * SECTOR < ends; s++)
        if (s < inode->unreadable_count && inode->unreadable[s])
            return true;
    return false;
}

int64_t sim_pread(struct os *os, struct os_file *file, void *data, size_t size, uint64_t offset)
{
    struct sim_disk *disk = sim_disk_of(os);
    int64_t result = begin_file(disk, SIM_PREAD, file);
    if (result != 0) /* a part may have come, or anything */
        memset(data, 0xEE, (size_t)random_below(&disk->random, size + 1));
    if (result == 0 && offset < file->inode->size) {
        size_t left = file->inode->size - (size_t)offset;
        size = size < left ? size : left;
        if (reads_unreadable(file->inode, (size_t)offset, (size_t)offset + size))
            result = -EIO;
        else if (size > 0) {
            memcpy(data, file->inode->region->data + offset, size);
            result = (int64_t)size;
        }
    }
    end_file(disk, SIM_PREAD, file, offset, result);
    return result;
}

/* Write what there is room for; all of it unless that is an error. */
static int write_some(struct sim_disk *disk, struct inode *inode, const void *data, size_t size,
                      uint64_t offset, size_t *written)
{
    if (offset > REGION_SIZE || size > REGION_SIZE - offset)
        return -EFBIG;
    uint64_t room = room_for(disk, inode, offset + size);
    int result = 0;
    if (room < offset + size) {
        result = disk_full(disk);
        size = room > offset ? (size_t)(room - offset) : 0;
    }
    if (size > 0) {
        if (offset + size > inode->size)
            inode_resize(inode, (size_t)offset + size);
        memcpy(inode->region->data + offset, data, size);
    }
    *written = size;
    return result;
}

int sim_pwrite(struct os *os, struct os_file *file, const void *data, size_t size, uint64_t offset,
               int flags)
{
    struct sim_disk *disk = sim_disk_of(os);
    int fault = begin_file(disk, SIM_PWRITE, file);
    int result = fault;
    struct inode *inode = file->inode;
    if (inode && !file->writable) {
        result = -EBADF;
    } else if (inode) {
        bool sync_fault = flags & OS_DSYNC && disk->faults &&
                          random_chance(&disk->random, disk->config.sync_error);
        size_t written = 0;
        size_t some = fault ? (size_t)random_below(&disk->random, size + 1) : size;
        int wrote = write_some(disk, inode, data, some, offset, &written);
        result = fault ? fault : wrote;
        size_t stop = (size_t)offset + written;
        if (flags & OS_DSYNC && (result != 0 || sync_fault)) {
            media_fail_sync(disk, inode, (size_t)offset, stop);
            disk->counts.sync_errors++;
            disk->counts.log_sync_errors += inode->log;
            result = result ? result : -EIO;
        } else if (flags & OS_DSYNC) {
            media_sync_range(disk, inode, (size_t)offset, stop);
        }
    }
    return end_file(disk, flags & OS_DSYNC ? SIM_SYNC : SIM_PWRITE, file, offset << 24 ^ size,
                    result);
}

int sim_allocate(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = begin_file(disk, SIM_ALLOCATE, file);
    if (result == 0)
        result = file->writable ? grow(disk, file->inode, offset + size) : -EBADF;
    return end_file(disk, SIM_ALLOCATE, file, offset + size, result);
}

int sim_truncate(struct os *os, struct os_file *file, uint64_t size)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = begin_file(disk, SIM_TRUNCATE, file);
    if (result == 0 && !file->writable)
        result = -EINVAL;
    if (result == 0)
        result = grow(disk, file->inode, size);
    if (result == 0) {
        file->inode->resized |= size != file->inode->size;
        inode_resize(file->inode, (size_t)size);
    }
    return end_file(disk, SIM_TRUNCATE, file, size, result);
}

int sim_sync(struct os *os, struct os_file *file)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = begin_file(disk, SIM_SYNC, file);
    if (result == 0 && disk->faults && random_chance(&disk->random, disk->config.sync_error)) {
        media_fail_sync(disk, file->inode, 0, REGION_SIZE);
        disk->counts.sync_errors++;
        disk->counts.log_sync_errors += file->inode->log;
        result = -EIO;
    } else if (result == 0) {
        media_sync(disk, file->inode);
        if (disk->config.lenient && random_below(&disk->random, 2) == 0)
            tree_sync(disk, NULL);
    }
    return end_file(disk, SIM_SYNC, file, 0, result);
}

int sim_drop_cache(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    if (offset != 0 || size != 0)
        return 0;
    struct sim_disk *disk = sim_disk_of(os);
    int result = begin_file(disk, SIM_DROP, file);
    if (result == 0 && file->inode->maps == 0)
        media_evict_all(file->inode);
    return end_file(disk, SIM_DROP, file, 0, result);
}

void sim_stat_inode(const struct inode *inode, struct os_stat *stat)
{
    *stat = (struct os_stat){
        .size = inode->size,
        .allocated = inode->size,
        .regular = !inode->directory,
        .directory = inode->directory,
    };
}

int sim_stat_file(struct os *os, struct os_file *file, struct os_stat *stat)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = begin_file(disk, SIM_STAT, file);
    if (result == 0)
        sim_stat_inode(file->inode, stat);
    return end_file(disk, SIM_STAT, file, 0, result);
}

/* ---- Mappings -------------------------------------------------------------------------------- */

int sim_map(struct os *os, struct os_file *file, size_t size, bool writable, void **memory)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = begin_file(disk, SIM_MAP, file);
    if (result == 0 && writable && !file->writable)
        result = -EACCES;
    if (result == 0 && (size == 0 || size > REGION_SIZE))
        result = size == 0 ? -EINVAL : -ENOMEM;
    if (result == 0) {
        struct inode *inode = file->inode;
        struct sim_map *map = malloc(sizeof *map);
        CHECK(map);
        *map = (struct sim_map){inode->region, inode, size, disk->maps};
        disk->maps = map;
        inode->region->users++;
        inode->handles++;
        inode->maps++;
        inode_set_reach(inode);
        *memory = inode->region->data;
    }
    return end_file(disk, SIM_MAP, file, size, result);
}

void sim_unmap(struct os *os, void *memory, size_t size)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct sim_map **link = &disk->maps;
    while (*link && !((*link)->region->data == memory && (*link)->size == size))
        link = &(*link)->next;
    CHECK(*link);
    struct sim_map *map = *link;
    *link = map->next;
    if (map->inode) {
        map->inode->handles--;
        map->inode->maps--;
        inode_set_reach(map->inode);
    }
    region_release(map->region);
    free(map);
}

int sim_advise(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    (void)os, (void)memory, (void)size, (void)advice;
    return 0;
}
