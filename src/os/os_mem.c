/* SPDX-License-Identifier: MIT
 * os_mem.c: the functions of struct os over files in memory.
 *
 * Each takes the disk's one lock for its length. The rest of the memory os: os_mem_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "os/os_mem_internal.h"

/* ---- Files ----------------------------------------------------------------------------------- */

static int file_new(struct mem_disk *disk, struct mem_node *node, bool writable,
                    struct os_file **file)
{
    struct os_file *opened = malloc(sizeof(*opened));
    if (!opened)
        return -ENOMEM;
    *opened = (struct os_file){.next = disk->files, .node = node, .writable = writable};
    if (opened->next)
        opened->next->previous = opened;
    disk->files = opened;
    mem_node_use(node);
    *file = opened;
    return 0;
}

static int file_open(struct mem_disk *disk, const char *path, int flags, struct os_file **file)
{
    struct mem_place place;
    int result = mem_find(disk, path, &place);
    if (result != 0)
        return result;
    if (flags & OS_CREATE) {
        if (place.node)
            return -EEXIST;
        place.node = mem_node_new(disk, false);
        if (!place.node)
            return -ENOMEM;
        mem_node_use(place.node);
        result = mem_entry_set(disk, place.parent, place.name, place.node);
    } else {
        if (!place.node)
            return -ENOENT;
        if (place.node->directory)
            return -EINVAL;
        mem_node_use(place.node);
    }
    if (result == 0) {
        result = file_new(disk, place.node, flags & OS_WRITE, file);
        if (result != 0 && flags & OS_CREATE) /* nothing is made by a call that fails */
            (void)mem_entry_set(disk, place.parent, place.name, NULL);
    }
    mem_node_unuse(disk, place.node);
    return result;
}

static int mem_open(struct os *os, const char *path, int flags, struct os_file **file)
{
    CHECK(flags & (OS_READ | OS_WRITE));
    CHECK(!(flags & OS_CREATE) || flags & OS_WRITE);
    struct mem_disk *disk = mem_disk_of(os);
    int result = mem_call_begin(disk, OS_CALL_OPEN);
    if (result == 0)
        result = file_open(disk, path, flags, file);
    mem_call_end(disk);
    return result;
}

static int mem_close(struct os *os, struct os_file *file)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = mem_call_begin(disk, OS_CALL_CLOSE);
    if (file->previous)
        file->previous->next = file->next;
    else
        disk->files = file->next;
    if (file->next)
        file->next->previous = file->previous;
    if (file->node)
        mem_node_unuse(disk, file->node);
    free(file);
    mem_call_end(disk);
    return result;
}

/* Begin a call on an open file: -EIO if the file has not survived a crash. */
static int file_call_begin(struct mem_disk *disk, enum os_mem_call call, struct os_file *file)
{
    int result = mem_call_begin(disk, call);
    return file->node ? result : -EIO;
}

static int64_t mem_pread(struct os *os, struct os_file *file, void *data, size_t size,
                         uint64_t offset)
{
    struct mem_disk *disk = mem_disk_of(os);
    int64_t result = file_call_begin(disk, OS_CALL_PREAD, file);
    if (result == 0 && offset < file->node->content.visible.size) {
        const struct mem_image *visible = &file->node->content.visible;
        size_t left = visible->size - (size_t)offset;
        size = size < left ? size : left;
        memcpy(data, visible->bytes->data + offset, size);
        result = (int64_t)size;
    }
    mem_call_end(disk);
    return result;
}

/* Write as much as there is room for; -ENOSPC if that is not all. */
static int node_write(struct mem_disk *disk, struct mem_node *node, const void *data, size_t size,
                      uint64_t offset, size_t *written)
{
    struct mem_image *visible = &node->content.visible;
    uint64_t end;
    if (size == 0)
        return 0;
    if (__builtin_add_overflow(offset, size, &end))
        return -EFBIG;
    int result = 0;
    if (end > visible->size) {
        result = mem_node_resize(disk, node, end);
        if (result == -ENOSPC) {
            end = visible->size + (disk->options.capacity - disk->used);
            if (disk->used >= disk->options.capacity || end <= offset)
                return result;
            size = (size_t)(end - offset);
            if (mem_node_resize(disk, node, end) != 0)
                return result;
        } else if (result != 0) {
            return result;
        }
    }
    memcpy(visible->bytes->data + offset, data, size);
    *written = size;
    return result;
}

static int mem_pwrite(struct os *os, struct os_file *file, const void *data, size_t size,
                      uint64_t offset, int flags)
{
    struct mem_disk *disk = mem_disk_of(os);
    int fault = file_call_begin(disk, OS_CALL_PWRITE, file);
    int result = fault;
    if (file->node && !disk->dead && !file->writable)
        result = -EBADF;
    else if (file->node && !disk->dead && size > 0) {
        struct mem_content *content = &file->node->content;
        size_t written = 0;
        result = node_write(disk, file->node, data, fault ? size / 2 : size, offset, &written);
        size_t end = (size_t)offset + written;
        if (!(flags & OS_DSYNC) || !disk->options.durable_images) {
            mem_content_dirty(content, offset, end);
        } else {
            /* A failed one is like a failed sync of what it wrote. */
            int synced = fault ? mem_content_lose_range(content, offset, end)
                               : mem_content_sync_range(content, offset, end);
            result = result ? result : synced;
        }
        result = fault ? fault : result;
    }
    mem_call_end(disk);
    return result;
}

static int mem_allocate(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = file_call_begin(disk, OS_CALL_ALLOCATE, file);
    uint64_t end;
    if (result == 0 && !file->writable)
        result = -EBADF;
    if (result == 0 && __builtin_add_overflow(offset, size, &end))
        result = -EFBIG;
    if (result == 0 && size > 0 && end > file->node->content.visible.size)
        result = mem_node_resize(disk, file->node, end);
    mem_call_end(disk);
    return result;
}

static int mem_truncate(struct os *os, struct os_file *file, uint64_t size)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = file_call_begin(disk, OS_CALL_TRUNCATE, file);
    if (result == 0 && !file->writable)
        result = -EINVAL;
    if (result == 0)
        result = mem_node_resize(disk, file->node, size);
    mem_call_end(disk);
    return result;
}

static int mem_sync(struct os *os, struct os_file *file)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = file_call_begin(disk, OS_CALL_SYNC, file);
    if (disk->options.durable_images && file->node && !disk->dead) {
        struct mem_content *content = &file->node->content;
        int done = result ? mem_content_lose(content) : mem_content_sync(content);
        result = result ? result : done;
    }
    mem_call_end(disk);
    return result;
}

static int mem_drop_cache(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    if (offset != 0 || size != 0)
        return 0;
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    int result = 0;
    if (disk->options.durable_images && file->node && !disk->dead)
        result = mem_content_evict(&file->node->content);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static int mem_zeros_from(struct os *os, struct os_file *file, uint64_t *offset)
{
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    const struct mem_image *visible = file->node ? &file->node->content.visible : NULL;
    size_t end = visible ? visible->size : 0;
    while (end > 0 && visible->bytes->data[end - 1] == 0)
        end--;
    *offset = end;
    pthread_mutex_unlock(&disk->mutex);
    return 0;
}

static int mem_will_need(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)os, (void)file, (void)offset, (void)size;
    return 0;
}

static void stat_node(const struct mem_node *node, struct os_stat *stat)
{
    uint64_t size = node->content.visible.size;
    *stat = (struct os_stat){
        .size = size,
        .allocated = size,
        .regular = !node->directory,
        .directory = node->directory,
    };
}

static int mem_stat_file(struct os *os, struct os_file *file, struct os_stat *stat)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = file_call_begin(disk, OS_CALL_STAT, file);
    if (result == 0)
        stat_node(file->node, stat);
    mem_call_end(disk);
    return result;
}

/* ---- Mappings -------------------------------------------------------------------------------- */

static int node_map(struct mem_disk *disk, struct mem_node *node, size_t size, bool writable,
                    void **memory)
{
    struct mem_content *content = &node->content;
    if (size == 0)
        return -EINVAL;
    if (size > (size_t)1 << MEM_SIZE_MAX_LOG2)
        return -ENOMEM;
    struct mem_map *map = malloc(sizeof(*map));
    if (!map)
        return -ENOMEM;
    int result = mem_image_reserve(&content->visible, size, true);
    if (result != 0) {
        free(map);
        return result;
    }
    *map = (struct mem_map){
        .next = disk->maps,
        .node = node,
        .bytes = mem_bytes_share(content->visible.bytes),
        .size = size,
        .writable = writable,
    };
    disk->maps = map;
    mem_node_use(node);
    if (writable) {
        content->writable_maps++;
        content->stores = true;
    }
    *memory = map->bytes->data;
    return 0;
}

static int mem_map(struct os *os, struct os_file *file, size_t size, bool writable, void **memory)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = file_call_begin(disk, OS_CALL_MAP, file);
    if (result == 0 && writable && !file->writable)
        result = -EACCES;
    if (result == 0)
        result = node_map(disk, file->node, size, writable, memory);
    mem_call_end(disk);
    return result;
}

/* All mappings of a file have one address. Of several of one size, a read-only one goes first: then
 * no store can be missed by a sync. */
static struct mem_map **find_map(struct mem_disk *disk, const void *memory, size_t size)
{
    struct mem_map **found = NULL;
    for (struct mem_map **link = &disk->maps; *link; link = &(*link)->next) {
        const struct mem_map *map = *link;
        if (map->bytes->data == memory && map->size == size && (!found || !map->writable))
            found = link;
    }
    return found;
}

static void mem_unmap(struct os *os, void *memory, size_t size)
{
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    struct mem_map **link = find_map(disk, memory, size);
    CHECK(link);
    struct mem_map *map = *link;
    *link = map->next;
    mem_bytes_release(map->bytes);
    if (map->node) {
        map->node->content.writable_maps -= map->writable;
        mem_node_unuse(disk, map->node);
    }
    free(map);
    pthread_mutex_unlock(&disk->mutex);
}

static int mem_advise(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    (void)os;
    /* Faulting pages in ahead helps anonymous memory as well; the rest is about devices. */
    return advice == OS_ADVISE_POPULATE ? os_posix()->advise(os_posix(), memory, size, advice) : 0;
}

/* ---- Directories and names ------------------------------------------------------------------- */

static int directory_make(struct mem_disk *disk, const char *path)
{
    struct mem_place place;
    int result = mem_find(disk, path, &place);
    if (result != 0)
        return result;
    if (place.node)
        return -EEXIST;
    struct mem_node *node = mem_node_new(disk, true);
    if (!node)
        return -ENOMEM;
    mem_node_use(node);
    result = mem_entry_set(disk, place.parent, place.name, node);
    mem_node_unuse(disk, node);
    return result;
}

static int mem_make_dir(struct os *os, const char *path)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = mem_call_begin(disk, OS_CALL_MAKE_DIR);
    if (result == 0)
        result = directory_make(disk, path);
    mem_call_end(disk);
    return result;
}

static int mem_remove_dir(struct os *os, const char *path)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_place place;
    int result = mem_call_begin(disk, OS_CALL_UNLINK);
    if (result == 0)
        result = mem_find_existing(disk, path, &place);
    if (result == 0 && !place.node->directory)
        result = -ENOTDIR;
    if (result == 0 && !mem_directory_empty(place.node))
        result = -ENOTEMPTY;
    if (result == 0 && !place.parent)
        result = -EBUSY;
    if (result == 0)
        result = mem_entry_set(disk, place.parent, place.name, NULL);
    mem_call_end(disk);
    return result;
}

/* The names of a directory one after another, each ended by a zero. */
static int collect_names(struct mem_disk *disk, const char *path, char **names, size_t *names_size)
{
    struct mem_place place;
    int result = mem_find_existing(disk, path, &place);
    if (result != 0)
        return result;
    if (!place.node->directory)
        return -ENOTDIR;
    size_t size = 0;
    for (const struct mem_entry *entry = place.node->entries; entry; entry = entry->next)
        size += entry->visible ? strlen(entry->name) + 1 : 0;
    char *to = malloc(size + 1);
    if (!to)
        return -ENOMEM;
    *names = to;
    *names_size = size;
    for (const struct mem_entry *entry = place.node->entries; entry; entry = entry->next) {
        if (entry->visible)
            to = stpcpy(to, entry->name) + 1;
    }
    return 0;
}

/* `each` may call back into the os: it runs on a copy, without the lock. */
static int mem_list(struct os *os, const char *path, int (*each)(void *context, const char *name),
                    void *context)
{
    struct mem_disk *disk = mem_disk_of(os);
    char *names = NULL;
    size_t size = 0;
    int result = mem_call_begin(disk, OS_CALL_LIST);
    if (result == 0)
        result = collect_names(disk, path, &names, &size);
    mem_call_end(disk);
    for (size_t at = 0; result == 0 && at < size; at += strlen(names + at) + 1)
        result = each(context, names + at);
    free(names);
    return result;
}

static int mem_stat(struct os *os, const char *path, struct os_stat *stat)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_place place;
    int result = mem_call_begin(disk, OS_CALL_STAT);
    if (result == 0)
        result = mem_find_existing(disk, path, &place);
    if (result == 0)
        stat_node(place.node, stat);
    mem_call_end(disk);
    return result;
}

/* May `from` be renamed to `to`? As rename(2) has it. */
static int rename_allowed(const struct mem_place *from, const struct mem_place *to)
{
    if (!from->parent || !to->parent)
        return -EBUSY;
    if (from->node->directory && mem_directory_contains(from->node, to->parent))
        return -EINVAL;
    if (!to->node || to->node == from->node)
        return 0;
    if (to->node->directory && !from->node->directory)
        return -EISDIR;
    if (!to->node->directory && from->node->directory)
        return -ENOTDIR;
    return to->node->directory && !mem_directory_empty(to->node) ? -ENOTEMPTY : 0;
}

static int mem_rename(struct os *os, const char *from, const char *to)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_place source, target;
    int result = mem_call_begin(disk, OS_CALL_RENAME);
    if (result == 0)
        result = mem_find_existing(disk, from, &source);
    if (result == 0)
        result = mem_find(disk, to, &target);
    if (result == 0)
        result = rename_allowed(&source, &target);
    if (result == 0 && source.node != target.node) { /* links to one file: nothing to do */
        result = mem_entry_set(disk, target.parent, target.name, source.node);
        if (result == 0)
            result = mem_entry_set(disk, source.parent, source.name, NULL);
    }
    mem_call_end(disk);
    return result;
}

static int mem_link(struct os *os, const char *from, const char *to)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_place source, target;
    int result = mem_call_begin(disk, OS_CALL_LINK);
    if (result == 0)
        result = mem_find_existing(disk, from, &source);
    if (result == 0)
        result = mem_find(disk, to, &target);
    if (result == 0 && target.node)
        result = -EEXIST;
    if (result == 0 && source.node->directory)
        result = -EPERM;
    if (result == 0)
        result = mem_entry_set(disk, target.parent, target.name, source.node);
    mem_call_end(disk);
    return result;
}

static int mem_unlink(struct os *os, const char *path)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_place place;
    int result = mem_call_begin(disk, OS_CALL_UNLINK);
    if (result == 0)
        result = mem_find_existing(disk, path, &place);
    if (result == 0 && place.node->directory)
        result = -EISDIR;
    if (result == 0)
        result = mem_entry_set(disk, place.parent, place.name, NULL);
    mem_call_end(disk);
    return result;
}

static int find_directory(struct mem_disk *disk, const char *path, struct mem_node **directory)
{
    struct mem_place place;
    int result = mem_find_existing(disk, path, &place);
    if (result != 0)
        return result;
    if (!place.node->directory)
        return -ENOTDIR;
    *directory = place.node;
    return 0;
}

static int mem_sync_dir(struct os *os, const char *path)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_node *directory;
    int result = mem_call_begin(disk, OS_CALL_SYNC_DIR);
    if (result == 0)
        result = find_directory(disk, path, &directory);
    if (result == 0 && disk->options.durable_images)
        mem_directory_sync(disk, directory);
    mem_call_end(disk);
    return result;
}

static int mem_traits(struct os *os, const char *path, struct os_traits *traits)
{
    (void)path;
    *traits = (struct os_traits){
        .mapped_writes = !mem_disk_of(os)->options.no_mapped_writes,
        .sync_tells_all = true,
        .name = "memory",
    };
    return 0;
}

static int mem_free_space(struct os *os, const char *path, uint64_t *bytes)
{
    (void)path;
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    uint64_t capacity = disk->options.capacity > 0 ? disk->options.capacity : INT64_MAX;
    *bytes = capacity > disk->used ? capacity - disk->used : 0;
    pthread_mutex_unlock(&disk->mutex);
    return 0;
}

static int mem_disk_size(struct os *os, const char *path, uint64_t *bytes)
{
    (void)path;
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    *bytes = disk->options.capacity > 0 ? disk->options.capacity : INT64_MAX;
    pthread_mutex_unlock(&disk->mutex);
    return 0;
}

/* ---- Locks ----------------------------------------------------------------------------------- */

static int directory_lock(struct mem_disk *disk, const char *path, bool exclusive,
                          struct os_lock **lock)
{
    struct mem_node *directory;
    int result = find_directory(disk, path, &directory);
    if (result != 0)
        return result;
    for (const struct os_lock *other = disk->locks; other; other = other->next) {
        if (other->node == directory && (exclusive || other->exclusive))
            return -EWOULDBLOCK;
    }
    struct os_lock *held = malloc(sizeof(*held));
    if (!held)
        return -ENOMEM;
    *held = (struct os_lock){.next = disk->locks, .node = directory, .exclusive = exclusive};
    disk->locks = held;
    mem_node_use(directory);
    *lock = held;
    return 0;
}

static int mem_lock(struct os *os, const char *path, bool exclusive, struct os_lock **lock)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = mem_call_begin(disk, OS_CALL_LOCK);
    if (result == 0)
        result = directory_lock(disk, path, exclusive, lock);
    mem_call_end(disk);
    return result;
}

static void mem_unlock(struct os *os, struct os_lock *lock)
{
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    struct os_lock **link = &disk->locks;
    while (*link != lock)
        link = &(*link)->next;
    *link = lock->next;
    if (lock->node)
        mem_node_unuse(disk, lock->node);
    free(lock);
    pthread_mutex_unlock(&disk->mutex);
}

/* ---- The disk -------------------------------------------------------------------------------- */

static const struct os mem_functions = {
    .open = mem_open,
    .close = mem_close,
    .pread = mem_pread,
    .pwrite = mem_pwrite,
    .allocate = mem_allocate,
    .truncate = mem_truncate,
    .sync = mem_sync,
    .drop_cache = mem_drop_cache,
    .zeros_from = mem_zeros_from,
    .will_need = mem_will_need,
    .stat_file = mem_stat_file,
    .map = mem_map,
    .unmap = mem_unmap,
    .advise = mem_advise,
    .make_dir = mem_make_dir,
    .remove_dir = mem_remove_dir,
    .list = mem_list,
    .stat = mem_stat,
    .rename = mem_rename,
    .link = mem_link,
    .unlink = mem_unlink,
    .sync_dir = mem_sync_dir,
    .traits = mem_traits,
    .free_space = mem_free_space,
    .disk_size = mem_disk_size,
    .lock = mem_lock,
    .unlock = mem_unlock,
};

struct os *os_mem_new(const struct os_mem_options *options)
{
    struct mem_disk *disk = calloc(1, sizeof(*disk));
    if (!disk)
        return NULL;
    disk->root = mem_node_new(disk, true);
    if (!disk->root) {
        free(disk);
        return NULL;
    }
    disk->root->links = disk->root->durable_links = 1;
    disk->os = mem_functions;
    disk->os.context = disk;
    disk->options = *options;
    mem_begin_machine(disk);
    pthread_mutex_init(&disk->mutex, NULL);
    return &disk->os;
}

void os_mem_free(struct os *os)
{
    if (!os)
        return;
    struct mem_disk *disk = mem_disk_of(os);
    while (disk->files) {
        struct os_file *file = disk->files;
        disk->files = file->next;
        free(file);
    }
    while (disk->locks) {
        struct os_lock *lock = disk->locks;
        disk->locks = lock->next;
        free(lock);
    }
    while (disk->maps) {
        struct mem_map *map = disk->maps;
        disk->maps = map->next;
        mem_bytes_release(map->bytes);
        free(map);
    }
    mem_tree_release(disk);
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}
