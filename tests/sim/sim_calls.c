/* SPDX-License-Identifier: MIT
 * sim_calls.c: what happens at each call of the simulated disk, and when it fails. */
#include <errno.h>

#include "sim_internal.h"

static const char *const CALL_NAMES[] = {
    "open", "close",  "pread",   "pwrite", "allocate", "truncate", "sync",
    "drop", "stat",   "map",     "mkdir",  "rmdir",    "list",     "rename",
    "link", "unlink", "syncdir", "lock",   "clock",    "random",
};

/* ---- What happens at each call --------------------------------------------------------------- */

void sim_mix(struct sim_disk *disk, uint64_t number)
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
    case SIM_LOCK:
    case SIM_RANDOM:
    case SIM_DROP:
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
    case SIM_REMOVE_DIR:
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

int sim_begin(struct sim_disk *disk, enum sim_call call)
{
    if (disk->hook)
        disk->hook(disk->hook_context);
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

int64_t sim_end(struct sim_disk *disk, enum sim_call call, uint64_t a, uint64_t b, const char *path,
                int64_t result)
{
    sim_mix(disk, (uint64_t)call << 56 ^ a);
    sim_mix(disk, b);
    sim_mix(disk, (uint64_t)result);
    for (const char *p = path; p && *p; p++)
        sim_mix(disk, (uint8_t)*p);
    if (disk->log && call != SIM_CLOCK) {
        fprintf(disk->log, "        %s", CALL_NAMES[call]);
        if (path)
            fprintf(disk->log, " %s", path);
        fprintf(disk->log, " %llu %llu = %lld\n", (unsigned long long)a, (unsigned long long)b,
                (long long)result);
    }
    return result;
}
