/* SPDX-License-Identifier: MIT
 * os_mem_fault.c: the memory os: failing calls, crashes, and the tests' own access. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "os/os_mem_internal.h"

/* ---- Failing calls --------------------------------------------------------------------------- */

/* Count down to the failing call; -errno if this is it. */
static int fault_of(struct mem_fault *fault, enum os_mem_call call)
{
    if (fault->nth == 0 || !(fault->kinds & 1u << call))
        return 0;
    if (fault->nth > 1) {
        fault->nth--;
        return 0;
    }
    if (--fault->repeat == 0)
        fault->nth = 0;
    return fault->negative_errno;
}

int mem_call_begin(struct mem_disk *disk, enum os_mem_call call)
{
    pthread_mutex_lock(&disk->mutex);
    disk->calls[call]++;
    struct mem_hook hook = disk->hook;
    if (hook.function && hook.kinds & 1u << call && !disk->dead) {
        pthread_mutex_unlock(&disk->mutex); /* it may look at the disk */
        int stop = hook.function(hook.context, call);
        pthread_mutex_lock(&disk->mutex);
        if (stop) {
            disk->dead = true;
            return -EIO;
        }
    }
    if (disk->dead && call != OS_CALL_ALLOC) /* memory is none of the disk's */
        return -EIO;
    return fault_of(&disk->fault, call);
}

void mem_call_end(struct mem_disk *disk)
{
    pthread_mutex_unlock(&disk->mutex);
}

void os_mem_fail(struct os *os, uint32_t kinds, uint64_t nth, uint64_t repeat, int negative_errno)
{
    CHECK(nth == 0 || (repeat > 0 && negative_errno < 0));
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    disk->fault = (struct mem_fault){kinds, nth, repeat, negative_errno};
    pthread_mutex_unlock(&disk->mutex);
}

uint64_t os_mem_calls(struct os *os, uint32_t kinds)
{
    struct mem_disk *disk = mem_disk_of(os);
    uint64_t calls = 0;
    pthread_mutex_lock(&disk->mutex);
    for (unsigned call = 0; call < OS_CALL_COUNT; call++)
        calls += kinds & 1u << call ? disk->calls[call] : 0;
    pthread_mutex_unlock(&disk->mutex);
    return calls;
}

void os_mem_hook(struct os *os, uint32_t kinds, int (*hook)(void *context, enum os_mem_call call),
                 void *context)
{
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    disk->hook = (struct mem_hook){kinds, hook, context};
    pthread_mutex_unlock(&disk->mutex);
}

/* ---- Crashes --------------------------------------------------------------------------------- */

/* End open files, locks and mappings. Nodes are not freed here but counted down. */
static void end_handles(struct mem_disk *disk)
{
    for (struct os_file *file = disk->files; file; file = file->next) {
        if (file->node)
            file->node->users--;
        file->node = NULL;
    }
    for (struct os_lock *lock = disk->locks; lock; lock = lock->next) {
        if (lock->node)
            lock->node->users--;
        lock->node = NULL;
    }
    for (struct mem_map *map = disk->maps; map; map = map->next) {
        if (map->node)
            map->node->users--;
        map->node = NULL;
    }
    disk->dead = false;
}

void os_mem_crash(struct os *os)
{
    struct mem_disk *disk = mem_disk_of(os);
    CHECK(disk->options.durable_images);
    pthread_mutex_lock(&disk->mutex);
    end_handles(disk);
    mem_tree_revert(disk);
    pthread_mutex_unlock(&disk->mutex);
}

void os_mem_kill(struct os *os)
{
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    end_handles(disk);
    mem_tree_detach(disk);
    pthread_mutex_unlock(&disk->mutex);
}

/* ---- The tests' own access ------------------------------------------------------------------- */

void os_mem_set_capacity(struct os *os, uint64_t bytes)
{
    struct mem_disk *disk = mem_disk_of(os);
    pthread_mutex_lock(&disk->mutex);
    disk->options.capacity = bytes;
    pthread_mutex_unlock(&disk->mutex);
}

void os_mem_set_memory(struct os *os, uint64_t bytes)
{
    atomic_store(&mem_disk_of(os)->memory, bytes);
}

void os_mem_advance_clock(struct os *os, int64_t us)
{
    struct mem_disk *disk = mem_disk_of(os);
    atomic_fetch_add(&disk->ticks_us, (uint64_t)us);
    if (disk->options.real_clock)
        atomic_fetch_add(&disk->real_offset_us, us);
}

void os_mem_step_real_clock(struct os *os, int64_t us)
{
    atomic_fetch_add(&mem_disk_of(os)->real_offset_us, us);
}

int64_t os_mem_read_file(struct os *os, const char *path, void *data, size_t size)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_place place;
    pthread_mutex_lock(&disk->mutex);
    int64_t result = mem_find_existing(disk, path, &place);
    if (result == 0 && place.node->directory)
        result = -EISDIR;
    if (result == 0) {
        const struct mem_image *visible = &place.node->content.visible;
        if (size > visible->size)
            size = visible->size;
        if (data && size > 0)
            memcpy(data, visible->bytes->data, size);
        result = (int64_t)visible->size;
    }
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

/* The file at the place, made if need be. */
static int place_file(struct mem_disk *disk, struct mem_place *place)
{
    if (place->node)
        return place->node->directory ? -EISDIR : 0;
    place->node = mem_node_new(disk, false);
    if (!place->node)
        return -ENOMEM;
    mem_node_use(place->node);
    int result = mem_entry_set(disk, place->parent, place->name, place->node);
    mem_node_unuse(disk, place->node);
    return result;
}

static int write_place(struct mem_disk *disk, struct mem_place *place, const void *data,
                       size_t size)
{
    int result = place_file(disk, place);
    if (result == 0)
        result = mem_node_resize(disk, place->node, size);
    if (result != 0)
        return result;
    struct mem_content *content = &place->node->content;
    if (size > 0)
        memcpy(content->visible.bytes->data, data, size);
    if (!disk->options.durable_images)
        return 0;
    mem_content_dirty(content, 0, size);
    result = mem_content_sync(content);
    if (result == 0)
        mem_entry_make_durable(disk, place->parent, place->name);
    return result;
}

int os_mem_write_file(struct os *os, const char *path, const void *data, size_t size)
{
    struct mem_disk *disk = mem_disk_of(os);
    struct mem_place place;
    pthread_mutex_lock(&disk->mutex);
    int result = mem_find(disk, path, &place);
    if (result == 0)
        result = write_place(disk, &place, data, size);
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

uint64_t os_mem_open_files(struct os *os)
{
    struct mem_disk *disk = mem_disk_of(os);
    uint64_t count = 0;
    pthread_mutex_lock(&disk->mutex);
    for (const struct os_file *file = disk->files; file; file = file->next)
        count += file->node != NULL;
    pthread_mutex_unlock(&disk->mutex);
    return count;
}

uint64_t os_mem_live_maps(struct os *os)
{
    struct mem_disk *disk = mem_disk_of(os);
    uint64_t count = 0;
    pthread_mutex_lock(&disk->mutex);
    for (const struct mem_map *map = disk->maps; map; map = map->next)
        count += map->node != NULL;
    pthread_mutex_unlock(&disk->mutex);
    return count;
}

uint64_t os_mem_live_bytes(struct os *os)
{
    return atomic_load(&mem_disk_of(os)->live_bytes);
}
