/* SPDX-License-Identifier: MIT
 * sim_disk.c: the simulated disk as a whole: its making, its end, crashes, and what is no file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_internal.h"

enum { START_S = 1700000000 };

/* ---- Facts of the disk ----------------------------------------------------------------------- */

static int sim_traits(struct os *os, const char *path, struct os_traits *traits)
{
    (void)path;
    const struct sim_config *config = &sim_disk_of(os)->config;
    *traits = (struct os_traits){config->mapped_writes, !config->sync_forgets, "simulated"};
    return 0;
}

static int sim_free_space(struct os *os, const char *path, uint64_t *bytes)
{
    (void)path;
    const struct sim_disk *disk = sim_disk_of(os);
    uint64_t used = sim_used_bytes(disk), capacity = disk->config.capacity;
    *bytes = capacity == 0 ? INT64_MAX : capacity > used ? capacity - used : 0;
    return 0;
}

static int sim_disk_size(struct os *os, const char *path, uint64_t *bytes)
{
    (void)path;
    const struct sim_disk *disk = sim_disk_of(os);
    *bytes = disk->config.capacity == 0 ? INT64_MAX : disk->config.capacity;
    return 0;
}

static int sim_zeros_from(struct os *os, struct os_file *file, uint64_t *offset)
{
    (void)os;
    size_t end = file->inode->size;
    while (end > 0 && file->inode->region->data[end - 1] == 0)
        end--;
    *offset = end;
    return 0;
}

static int sim_will_need(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)os, (void)file, (void)offset, (void)size;
    return 0;
}

/* ---- Locks, clocks, randomness, memory, facts ------------------------------------------------ */

static int sim_lock(struct os *os, const char *path, bool exclusive, struct os_lock **lock)
{
    struct sim_disk *disk = sim_disk_of(os);
    struct place place;
    int result = sim_begin(disk, SIM_LOCK);
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
    return (int)sim_end(disk, SIM_LOCK, exclusive, 0, path, result);
}

static void sim_unlock(struct os *os, struct os_lock *lock)
{
    struct sim_disk *disk = sim_disk_of(os);
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
    struct sim_disk *disk = sim_disk_of(os);
    sim_begin(disk, SIM_CLOCK); /* a crash may come here too */
    disk->real_us++;
    disk->boot_us++;
    return (uint64_t)sim_end(disk, SIM_CLOCK, 0, 0, NULL, (int64_t)disk->real_us);
}

static uint64_t sim_clock_boot(struct os *os)
{
    struct sim_disk *disk = sim_disk_of(os);
    sim_begin(disk, SIM_CLOCK);
    return disk->boot_us;
}

static int32_t sim_utc_offset_s(struct os *os, uint64_t real_us)
{
    (void)os, (void)real_us;
    return 0;
}

static int sim_random(struct os *os, void *data, size_t size)
{
    struct sim_disk *disk = sim_disk_of(os);
    int result = sim_begin(disk, SIM_RANDOM);
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)data)[i] = (uint8_t)random_next(&disk->secrets);
    return (int)sim_end(disk, SIM_RANDOM, size, 0, NULL, result);
}

static void *sim_alloc(struct os *os, size_t size, size_t alignment)
{
    struct sim_disk *disk = sim_disk_of(os);
    bool fails = disk->faults && random_chance(&disk->random, disk->config.alloc_error);
    if (disk->alloc_countdown > 0 && --disk->alloc_countdown == 0)
        fails = true;
    sim_mix(disk, size + fails);
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
        sim_disk_of(os)->live_bytes -= size;
    free(memory);
}

/* Little, so that stores of a few segments pass from one side to the other of what depends on it.
 */
static int sim_available_memory(struct os *os, uint64_t *bytes)
{
    (void)os;
    *bytes = 512 << 10;
    return 0;
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
    .zeros_from = sim_zeros_from,
    .will_need = sim_will_need,
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
    .disk_size = sim_disk_size,
    .lock = sim_lock,
    .unlock = sim_unlock,
    .clock_real = sim_clock_real,
    .clock_coarse = sim_clock_real,
    .clock_boot = sim_clock_boot,
    .utc_offset_s = sim_utc_offset_s,
    .random = sim_random,
    .alloc = sim_alloc,
    .free = sim_free,
    .available_memory = sim_available_memory,
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
    sim_mix(disk, number);
}

void sim_disk_log(struct sim_disk *disk, FILE *log)
{
    disk->log = log;
}

void sim_disk_reseed(struct sim_disk *disk, uint64_t number)
{
    disk->random = random_mix(disk->config.seed ^ random_mix(number));
}

void sim_disk_hook(struct sim_disk *disk, void (*hook)(void *context), void *context)
{
    disk->hook = hook;
    disk->hook_context = context;
}

bool sim_disk_faults(struct sim_disk *disk, bool on)
{
    bool before = disk->faults;
    disk->faults = on;
    return before;
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
    sim_mix(disk, crash);
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

void sim_disk_lie(struct sim_disk *disk, bool on)
{
    disk->lies = on;
}

bool sim_disk_is_limited(const struct sim_disk *disk)
{
    return disk->config.capacity != 0;
}

uint64_t sim_disk_used(const struct sim_disk *disk)
{
    return sim_used_bytes(disk);
}

void sim_disk_set_eviction(struct sim_disk *disk, uint32_t chance)
{
    disk->config.eviction = chance;
}

void sim_disk_set_mapped_writes(struct sim_disk *disk, bool on)
{
    disk->config.mapped_writes = on;
}

void sim_disk_evict(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->inode_count; i++)
        if (!disk->inodes[i]->directory && disk->inodes[i]->maps == 0)
            media_evict_all(disk->inodes[i]);
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

uint64_t sim_disk_boot(const struct sim_disk *disk)
{
    return disk->boot_us;
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

bool sim_disk_rot_sector(struct sim_disk *disk, const char *path, size_t sector, enum sim_rot rot)
{
    struct place place;
    if (tree_find_existing(disk, path, &place) != 0 || place.inode->directory ||
        sector * SECTOR >= place.inode->medium.size)
        return false;
    media_rot(disk, place.inode, sector, rot);
    return true;
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
