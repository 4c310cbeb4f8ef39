/* SPDX-License-Identifier: MIT
 * sim_disk.c: the functions of struct os over the simulated disk, and when they fail. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_internal.h"

enum { START_S = 1700000000 };

static const char *const CALL_NAMES[] = {
    "open", "close",  "pread",   "pwrite", "allocate", "truncate", "sync",
    "drop", "stat",   "map",     "mkdir",  "rmdir",    "list",     "rename",
    "link", "unlink", "syncdir", "lock",   "clock",    "random",
};

static struct sim_disk *disk_of(struct os *os)
{
    return os->context;
}

/* ---- What happens at each call --------------------------------------------------------------- */

static void mix(struct sim_disk *disk, uint64_t number)
{
    disk->trace = random_mix(disk->trace ^ number) + 0x9E3779B97F4A7C15u;
}

/* Sectors are written back, and clean ones leave the cache, whenever the kernel likes. */
static void background(struct sim_disk *disk)
{
    bool back = random_chance(&disk->random, disk->config.writeback);
    bool evict = random_chance(&disk->random, disk->config.eviction);
    if (!back && !evict)
        return;
    struct inode *inode = disk->inodes[random_below(&disk->random, disk->inode_count)];
    size_t sectors = inode->directory ? 0 : inode_sectors(inode);
    if (sectors == 0)
        return;
    size_t first = (size_t)random_below(&disk->random, sectors);
    size_t count = 1 + (size_t)random_below(&disk->random, 8);
    for (size_t s = first; s < sectors && s < first + count; s++) {
        if (back)
            media_write_back(disk, inode, s);
        if (evict)
            disk->counts.evictions += media_evict(inode, s);
    }
}

static int error_of(struct sim_disk *disk, enum sim_call call)
{
    const struct sim_config *config = &disk->config;
    uint32_t io = 0, space = 0;
    switch (call) {
    case SIM_OPEN:
    case SIM_PREAD:
    case SIM_STAT:
    case SIM_LIST:
    case SIM_MAP:
        io = config->read_error;
        break;
    case SIM_PWRITE:
        io = config->write_error;
        space = config->space_error;
        break;
    case SIM_ALLOCATE:
        space = config->space_error;
        break;
    case SIM_TRUNCATE:
    case SIM_RENAME:
    case SIM_LINK:
    case SIM_UNLINK:
    case SIM_MAKE_DIR:
        io = config->write_error;
        break;
    case SIM_SYNC_DIR:
        io = config->sync_dir_error;
        break;
    default:
        return 0;
    }
    if (random_chance(&disk->random, io))
        return -EIO;
    return random_chance(&disk->random, space) ? -ENOSPC : 0;
}

/* Count the call, let things happen, and say how it must fail: 0 or -errno. */
static int begin(struct sim_disk *disk, enum sim_call call)
{
    if (disk->dead)
        return -EIO;
    disk->counts.calls++;
    if (disk->armed_calls > 0 && --disk->armed_calls == 0) {
        sim_disk_crash(disk, disk->armed);
        return -EIO;
    }
    background(disk);
    if (!disk->faults)
        return 0;
    int result = error_of(disk, call);
    if (result != 0 && call == SIM_SYNC_DIR)
        disk->counts.sync_dir_errors++;
    else if (result != 0)
        disk->counts.errors++;
    return result;
}

/* Into the trace, and the log if there is one. */
static int64_t end(struct sim_disk *disk, enum sim_call call, uint64_t a, uint64_t b,
                   const char *path, int64_t result)
{
    mix(disk, (uint64_t)call << 56 ^ a);
    mix(disk, b);
    mix(disk, (uint64_t)result);
    for (const char *p = path; p && *p; p++)
        mix(disk, (uint8_t)*p);
    if (disk->log && call != SIM_CLOCK) {
        fprintf(disk->log, "        %s", CALL_NAMES[call]);
        if (path)
            fprintf(disk->log, " %s", path);
        fprintf(disk->log, " %llu %llu = %lld\n", (unsigned long long)a, (unsigned long long)b,
                (long long)result);
    }
    return result;
}

static int end_file(struct sim_disk *disk, enum sim_call call, const struct os_file *file,
                    uint64_t b, int64_t result)
{
    return (int)end(disk, call, file->inode ? file->inode->number : 0, b, NULL, result);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static uint64_t used_bytes(const struct sim_disk *disk)
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
    uint64_t used = used_bytes(disk);
    uint64_t room = capacity > used ? capacity - used : 0;
    return size - inode->size <= room ? size : inode->size + room;
}

static int grow(struct sim_disk *disk, struct inode *inode, uint64_t size)
{
    if (size > REGION_SIZE)
        return -EFBIG;
    if (room_for(disk, inode, size) < size)
        return -ENOSPC;
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

static int sim_open(struct os *os, const char *path, int flags, struct os_file **file)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin(disk, SIM_OPEN);
    if (result == 0)
        result = file_open(disk, path, flags, file);
    return (int)end(disk, SIM_OPEN, (uint64_t)flags, 0, path, result);
}

static int sim_close(struct os *os, struct os_file *file)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin(disk, SIM_CLOSE);
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
    int result = begin(disk, call);
    return file->inode ? result : -EIO;
}

static bool reads_unreadable(const struct inode *inode, size_t begins, size_t ends)
{
    for (size_t s = begins / SECTOR; s * SECTOR < ends; s++)
        if (s < inode->unreadable_count && inode->unreadable[s])
            return true;
    return false;
}

static int64_t sim_pread(struct os *os, struct os_file *file, void *data, size_t size,
                         uint64_t offset)
{
    struct sim_disk *disk = disk_of(os);
    int64_t result = begin_file(disk, SIM_PREAD, file);
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
        result = -ENOSPC;
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

static int sim_pwrite(struct os *os, struct os_file *file, const void *data, size_t size,
                      uint64_t offset, int flags)
{
    struct sim_disk *disk = disk_of(os);
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
            media_sync_range(inode, (size_t)offset, stop);
        }
    }
    return end_file(disk, flags & OS_DSYNC ? SIM_SYNC : SIM_PWRITE, file, offset << 24 ^ size,
                    result);
}

static int sim_allocate(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin_file(disk, SIM_ALLOCATE, file);
    if (result == 0)
        result = file->writable ? grow(disk, file->inode, offset + size) : -EBADF;
    return end_file(disk, SIM_ALLOCATE, file, offset + size, result);
}

static int sim_truncate(struct os *os, struct os_file *file, uint64_t size)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin_file(disk, SIM_TRUNCATE, file);
    if (result == 0 && !file->writable)
        result = -EINVAL;
    if (result == 0)
        result = grow(disk, file->inode, size);
    if (result == 0)
        inode_resize(file->inode, (size_t)size);
    return end_file(disk, SIM_TRUNCATE, file, size, result);
}

static int sim_sync(struct os *os, struct os_file *file)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin_file(disk, SIM_SYNC, file);
    if (result == 0 && disk->faults && random_chance(&disk->random, disk->config.sync_error)) {
        media_fail_sync(disk, file->inode, 0, REGION_SIZE);
        disk->counts.sync_errors++;
        disk->counts.log_sync_errors += file->inode->log;
        result = -EIO;
    } else if (result == 0) {
        media_sync(file->inode);
        if (disk->config.lenient && random_below(&disk->random, 2) == 0)
            tree_sync(disk, NULL);
    }
    return end_file(disk, SIM_SYNC, file, 0, result);
}

static int sim_drop_cache(struct os *os, struct os_file *file)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin_file(disk, SIM_DROP, file);
    if (result == 0 && file->inode->maps == 0)
        media_evict_all(file->inode);
    return end_file(disk, SIM_DROP, file, 0, result);
}

static void stat_inode(const struct inode *inode, struct os_stat *stat)
{
    *stat = (struct os_stat){
        .size = inode->size,
        .allocated = inode->size,
        .regular = !inode->directory,
        .directory = inode->directory,
    };
}

static int sim_stat_file(struct os *os, struct os_file *file, struct os_stat *stat)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin_file(disk, SIM_STAT, file);
    if (result == 0)
        stat_inode(file->inode, stat);
    return end_file(disk, SIM_STAT, file, 0, result);
}

/* ---- Mappings -------------------------------------------------------------------------------- */

static int sim_map(struct os *os, struct os_file *file, size_t size, bool writable, void **memory)
{
    struct sim_disk *disk = disk_of(os);
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

static void sim_unmap(struct os *os, void *memory, size_t size)
{
    struct sim_disk *disk = disk_of(os);
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

static int sim_advise(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    (void)os, (void)memory, (void)size, (void)advice;
    return 0;
}

/* ---- Names ----------------------------------------------------------------------------------- */

static struct name_change change_at(const struct place *place, struct inode *inode)
{
    struct name_change change = {.directory = place->parent, .inode = inode};
    memcpy(change.name, place->name, sizeof change.name);
    return change;
}

static int sim_make_dir(struct os *os, const char *path)
{
    struct sim_disk *disk = disk_of(os);
    struct place place;
    int result = begin(disk, SIM_MAKE_DIR);
    if (result == 0)
        result = tree_find(disk, path, &place);
    if (result == 0 && place.inode)
        result = -EEXIST;
    if (result == 0) {
        struct name_change change = change_at(&place, inode_new(disk, true));
        tree_change(disk, &change, 1);
    }
    return (int)end(disk, SIM_MAKE_DIR, 0, 0, path, result);
}

static int sim_remove_dir(struct os *os, const char *path)
{
    struct sim_disk *disk = disk_of(os);
    struct place place;
    int result = begin(disk, SIM_REMOVE_DIR);
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
    return (int)end(disk, SIM_REMOVE_DIR, 0, 0, path, result);
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

static int sim_list(struct os *os, const char *path, int (*each)(void *context, const char *name),
                    void *context)
{
    struct sim_disk *disk = disk_of(os);
    struct place place;
    int result = begin(disk, SIM_LIST);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0 && !place.inode->directory)
        result = -ENOTDIR;
    end(disk, SIM_LIST, 0, 0, path, result);
    return result == 0 ? list_directory(place.inode, each, context) : result;
}

static int sim_stat(struct os *os, const char *path, struct os_stat *stat)
{
    struct sim_disk *disk = disk_of(os);
    struct place place;
    int result = begin(disk, SIM_STAT);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0)
        stat_inode(place.inode, stat);
    return (int)end(disk, SIM_STAT, 0, 0, path, result);
}

static int sim_rename(struct os *os, const char *from, const char *to)
{
    struct sim_disk *disk = disk_of(os);
    struct place source, target;
    int result = begin(disk, SIM_RENAME);
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
    return (int)end(disk, SIM_RENAME, 0, 0, to, result);
}

static int sim_link(struct os *os, const char *from, const char *to)
{
    struct sim_disk *disk = disk_of(os);
    struct place source, target;
    int result = begin(disk, SIM_LINK);
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
    return (int)end(disk, SIM_LINK, 0, 0, to, result);
}

static int sim_unlink(struct os *os, const char *path)
{
    struct sim_disk *disk = disk_of(os);
    struct place place;
    int result = begin(disk, SIM_UNLINK);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0 && place.inode->directory)
        result = -EISDIR;
    if (result == 0) {
        struct name_change change = change_at(&place, NULL);
        tree_change(disk, &change, 1);
    }
    return (int)end(disk, SIM_UNLINK, 0, 0, path, result);
}

static int sim_sync_dir(struct os *os, const char *path)
{
    struct sim_disk *disk = disk_of(os);
    struct place place;
    int result = begin(disk, SIM_SYNC_DIR);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    if (result == 0)
        tree_sync(disk, disk->config.lenient ? NULL : place.inode);
    return (int)end(disk, SIM_SYNC_DIR, 0, 0, path, result);
}

static int sim_traits(struct os *os, const char *path, struct os_traits *traits)
{
    (void)path;
    *traits = (struct os_traits){disk_of(os)->config.mapped_writes, "simulated"};
    return 0;
}

static int sim_free_space(struct os *os, const char *path, uint64_t *bytes)
{
    (void)path;
    const struct sim_disk *disk = disk_of(os);
    uint64_t used = used_bytes(disk), capacity = disk->config.capacity;
    *bytes = capacity == 0 ? INT64_MAX : capacity > used ? capacity - used : 0;
    return 0;
}

/* ---- Locks, clocks, randomness, memory, facts ------------------------------------------------ */

static int sim_lock(struct os *os, const char *path, bool exclusive, struct os_lock **lock)
{
    struct sim_disk *disk = disk_of(os);
    struct place place;
    int result = begin(disk, SIM_LOCK);
    if (result == 0)
        result = tree_find_existing(disk, path, &place);
    for (const struct os_lock *other = disk->locks; result == 0 && other; other = other->next)
        if (other->inode == place.inode && (exclusive || other->exclusive))
            result = -EWOULDBLOCK;
    if (result == 0) {
        struct os_lock *held = malloc(sizeof *held);
        CHECK(held);
        *held = (struct os_lock){place.inode, exclusive, disk->locks};
        disk->locks = held;
        place.inode->handles++;
        *lock = held;
    }
    return (int)end(disk, SIM_LOCK, exclusive, 0, path, result);
}

static void sim_unlock(struct os *os, struct os_lock *lock)
{
    struct sim_disk *disk = disk_of(os);
    struct os_lock **link = &disk->locks;
    while (*link != lock)
        link = &(*link)->next;
    *link = lock->next;
    if (lock->inode)
        lock->inode->handles--;
    free(lock);
}

static uint64_t sim_clock_real(struct os *os)
{
    struct sim_disk *disk = disk_of(os);
    begin(disk, SIM_CLOCK); /* a crash may come here too */
    disk->real_us++;
    disk->boot_us++;
    return (uint64_t)end(disk, SIM_CLOCK, 0, 0, NULL, (int64_t)disk->real_us);
}

static uint64_t sim_clock_boot(struct os *os)
{
    struct sim_disk *disk = disk_of(os);
    begin(disk, SIM_CLOCK);
    return disk->boot_us;
}

static int sim_random(struct os *os, void *data, size_t size)
{
    struct sim_disk *disk = disk_of(os);
    int result = begin(disk, SIM_RANDOM);
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)data)[i] = (uint8_t)random_next(&disk->secrets);
    return (int)end(disk, SIM_RANDOM, size, 0, NULL, result);
}

static void *sim_alloc(struct os *os, size_t size, size_t alignment)
{
    struct sim_disk *disk = disk_of(os);
    bool fails = disk->faults && random_chance(&disk->random, disk->config.alloc_error);
    if (disk->alloc_countdown > 0 && --disk->alloc_countdown == 0)
        fails = true;
    mix(disk, size + fails);
    if (fails) {
        disk->counts.alloc_errors++;
        return NULL;
    }
    size_t least = alignment < sizeof(void *) ? sizeof(void *) : alignment;
    void *memory = aligned_alloc(least, (size + least - 1) / least * least);
    CHECK(memory);
    disk->live_bytes += size;
    return memory;
}

static void sim_free(struct os *os, void *memory, size_t size)
{
    if (memory)
        disk_of(os)->live_bytes -= size;
    free(memory);
}

static uint64_t sim_process_id(struct os *os)
{
    (void)os;
    return 1;
}

static void sim_host_name(struct os *os, char *name, size_t size)
{
    (void)os;
    snprintf(name, size, "simulated");
}

static const volatile unsigned char *sim_fork_guard(struct os *os)
{
    (void)os;
    return NULL;
}

/* ---- The disk -------------------------------------------------------------------------------- */

static const struct os sim_functions = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .allocate = sim_allocate,
    .truncate = sim_truncate,
    .sync = sim_sync,
    .drop_cache = sim_drop_cache,
    .stat_file = sim_stat_file,
    .map = sim_map,
    .unmap = sim_unmap,
    .advise = sim_advise,
    .make_dir = sim_make_dir,
    .remove_dir = sim_remove_dir,
    .list = sim_list,
    .stat = sim_stat,
    .rename = sim_rename,
    .link = sim_link,
    .unlink = sim_unlink,
    .sync_dir = sim_sync_dir,
    .traits = sim_traits,
    .free_space = sim_free_space,
    .lock = sim_lock,
    .unlock = sim_unlock,
    .clock_real = sim_clock_real,
    .clock_coarse = sim_clock_real,
    .clock_boot = sim_clock_boot,
    .random = sim_random,
    .alloc = sim_alloc,
    .free = sim_free,
    .process_id = sim_process_id,
    .host_name = sim_host_name,
    .fork_guard = sim_fork_guard,
};

struct sim_disk *sim_disk_new(const struct sim_config *config)
{
    struct sim_disk *disk = calloc(1, sizeof *disk);
    CHECK(disk);
    disk->os = sim_functions;
    disk->os.context = disk;
    disk->config = *config;
    disk->random = config->seed;
    disk->secrets = random_mix(config->seed);
    disk->real_us = (uint64_t)START_S * 1000000;
    disk->boot_us = 1000000;
    disk->root = inode_new(disk, true);
    return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
    sim_disk_crash(disk, SIM_KILL);
    CHECK(!disk->files && !disk->locks && !disk->maps);
    tree_free(disk);
    free(disk);
}

struct os *sim_disk_os(struct sim_disk *disk)
{
    return &disk->os;
}

const struct sim_counts *sim_disk_counts(const struct sim_disk *disk)
{
    return &disk->counts;
}

uint64_t sim_disk_trace(const struct sim_disk *disk)
{
    return disk->trace;
}

void sim_disk_note(struct sim_disk *disk, uint64_t number)
{
    mix(disk, number);
}

void sim_disk_log(struct sim_disk *disk, FILE *log)
{
    disk->log = log;
}

void sim_disk_reseed(struct sim_disk *disk, uint64_t number)
{
    disk->random = random_mix(disk->config.seed ^ random_mix(number));
}

void sim_disk_faults(struct sim_disk *disk, bool on)
{
    disk->faults = on;
}

void sim_disk_arm(struct sim_disk *disk, enum sim_crash crash, uint64_t nth)
{
    disk->armed = crash;
    disk->armed_calls = nth;
}

void sim_disk_crash(struct sim_disk *disk, enum sim_crash crash)
{
    for (struct os_file *file = disk->files; file; file = file->next)
        file->inode = NULL;
    for (struct os_lock *lock = disk->locks; lock; lock = lock->next)
        lock->inode = NULL;
    for (struct sim_map *map = disk->maps; map; map = map->next)
        map->inode = NULL;
    for (size_t i = 0; i < disk->inode_count; i++) {
        disk->inodes[i]->handles = 0;
        if (!disk->inodes[i]->directory)
            media_detach(disk->inodes[i]);
    }
    if (crash == SIM_POWER_CUT) {
        tree_power_cut(disk);
        tree_collect(disk);
        for (size_t i = 0; i < disk->inode_count; i++)
            if (!disk->inodes[i]->directory)
                media_power_cut(disk, disk->inodes[i]);
    }
    tree_collect(disk);
    disk->armed_calls = 0;
    disk->dead = true;
    disk->counts.crashes[crash]++;
    mix(disk, crash);
    if (disk->log)
        fprintf(disk->log, "        ---- %s\n", crash == SIM_KILL ? "kill" : "power cut");
}

bool sim_disk_dead(const struct sim_disk *disk)
{
    return disk->dead;
}

void sim_disk_restart(struct sim_disk *disk)
{
    disk->dead = false;
}

void sim_disk_fail_alloc(struct sim_disk *disk, uint64_t nth)
{
    disk->alloc_countdown = nth;
}

void sim_disk_set_capacity(struct sim_disk *disk, uint64_t bytes)
{
    disk->config.capacity = bytes;
}

void sim_disk_step_clock(struct sim_disk *disk, int64_t us)
{
    disk->real_us += (uint64_t)us;
}

void sim_disk_advance(struct sim_disk *disk, uint64_t us)
{
    disk->real_us += us;
    disk->boot_us += us;
}

uint64_t sim_disk_now(const struct sim_disk *disk)
{
    return disk->real_us;
}

void sim_disk_rot(struct sim_disk *disk, const char *directory, enum sim_rot rot, char *where,
                  size_t where_size)
{
    struct place place;
    where[0] = '\0';
    if (tree_find_existing(disk, directory, &place) != 0 || place.inode->seen.count == 0)
        return;
    const struct table *table = &place.inode->seen;
    const struct entry *entry = &table->entries[random_below(&disk->random, table->count)];
    if (entry->inode->directory || entry->inode->medium.size == 0)
        return;
    size_t sectors = (entry->inode->medium.size + SECTOR - 1) / SECTOR;
    size_t sector = (size_t)random_below(&disk->random, sectors);
    media_rot(disk, entry->inode, sector, rot);
    snprintf(where, where_size, "%s sector %zu", entry->name, sector);
}

size_t sim_disk_open_handles(const struct sim_disk *disk)
{
    size_t count = 0;
    for (const struct os_file *file = disk->files; file; file = file->next)
        count++;
    for (const struct os_lock *lock = disk->locks; lock; lock = lock->next)
        count++;
    for (const struct sim_map *map = disk->maps; map; map = map->next)
        count++;
    return count;
}

uint64_t sim_disk_live_bytes(const struct sim_disk *disk)
{
    return disk->live_bytes;
}
