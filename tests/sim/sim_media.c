/* SPDX-License-Identifier: MIT
 * sim_media.c: the bytes of files: page cache, medium, and what is left of them after a crash. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "sim_internal.h"

/* ---- Memory ---------------------------------------------------------------------------------- */

struct region *region_new(void)
{
    struct region *region = calloc(1, sizeof *region);
    CHECK(region);
    region->data = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(region->data != MAP_FAILED);
    region->reach = REGION_SIZE;
    region->users = 1;
    return region;
}

void region_release(struct region *region)
{
    if (--region->users > 0)
        return;
    munmap(region->data, REGION_SIZE);
    free(region);
}

static void region_set_reach(struct region *region, size_t size)
{
    size_t reach = (size + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
    if (reach == region->reach)
        return;
    if (reach > region->reach)
        CHECK(mprotect(region->data, reach, PROT_READ | PROT_WRITE) == 0);
    else
        CHECK(mprotect(region->data + reach, REGION_SIZE - reach, PROT_NONE) == 0);
    region->reach = reach;
}

void inode_set_reach(struct inode *inode)
{
    region_set_reach(inode->region, inode->maps > 0 ? inode->size : REGION_SIZE);
}

void inode_resize(struct inode *inode, size_t size)
{
    CHECK(size <= REGION_SIZE);
    if (size < inode->size)
        memset(inode->region->data + size, 0, inode->size - size);
    inode->size = size;
    inode_set_reach(inode);
}

void image_free(struct image *image)
{
    free(image->data);
    *image = (struct image){0};
}

static void image_put(struct image *image, size_t sector, const uint8_t bytes[SECTOR])
{
    size_t end = (sector + 1) * SECTOR;
    if (end > image->capacity) {
        size_t capacity = image->capacity == 0 ? 4096 : image->capacity;
        while (capacity < end)
            capacity *= 2;
        image->data = realloc(image->data, capacity);
        CHECK(image->data);
        memset(image->data + image->capacity, 0, capacity - image->capacity);
        image->capacity = capacity;
    }
    memcpy(image->data + sector * SECTOR, bytes, SECTOR);
}

static void image_get(const struct image *image, size_t sector, uint8_t bytes[SECTOR])
{
    if ((sector + 1) * SECTOR <= image->capacity)
        memcpy(bytes, image->data + sector * SECTOR, SECTOR);
    else
        memset(bytes, 0, SECTOR);
}

static void seen_get(const struct inode *inode, size_t sector, uint8_t bytes[SECTOR])
{
    size_t at = sector * SECTOR;
    size_t size = at >= inode->size ? 0 : inode->size - at < SECTOR ? inode->size - at : SECTOR;
    if (size > 0)
        memcpy(bytes, inode->region->data + at, size);
    memset(bytes + size, 0, SECTOR - size);
}

/* Within the size. */
static void seen_put(struct inode *inode, size_t sector, const uint8_t bytes[SECTOR])
{
    size_t at = sector * SECTOR;
    if (at < inode->size)
        memcpy(inode->region->data + at, bytes,
               inode->size - at < SECTOR ? inode->size - at : SECTOR);
}

size_t inode_sectors(const struct inode *inode)
{
    size_t size = inode->size;
    if (inode->settled.size > size)
        size = inode->settled.size;
    if (inode->medium.size > size)
        size = inode->medium.size;
    return (size + SECTOR - 1) / SECTOR;
}

bool sector_dirty(const struct inode *inode, size_t sector)
{
    uint8_t seen[SECTOR], settled[SECTOR];
    seen_get(inode, sector, seen);
    image_get(&inode->settled, sector, settled);
    return memcmp(seen, settled, SECTOR) != 0;
}

/* ---- Writing back ---------------------------------------------------------------------------- */

/* Where the device puts a sector that it says it has written. SIZE_MAX: nowhere. */
static size_t target_of(struct sim_disk *disk, const struct inode *inode, size_t sector)
{
    if (disk->lies && random_chance(&disk->random, disk->config.lost_write)) {
        disk->counts.lost_writes++;
        return SIZE_MAX;
    }
    if (disk->lies && random_chance(&disk->random, disk->config.misdirected_write)) {
        disk->counts.misdirected_writes++;
        return (size_t)random_below(&disk->random, inode_sectors(inode));
    }
    return sector;
}

/* `written`: and not only taken for it. */
static void settle_sector(struct sim_disk *disk, struct inode *inode, size_t sector, bool written)
{
    uint8_t seen[SECTOR], settled[SECTOR];
    seen_get(inode, sector, seen);
    image_get(&inode->settled, sector, settled);
    if (memcmp(seen, settled, SECTOR) == 0)
        return;
    image_put(&inode->settled, sector, seen);
    size_t target = written ? target_of(disk, inode, sector) : SIZE_MAX;
    if (target == SIZE_MAX)
        return;
    image_put(&inode->medium, target, seen);
    if (target < inode->unreadable_count)
        inode->unreadable[target] = false;
}

static void settle_size(struct inode *inode, bool written)
{
    if (inode->settled.size == inode->size && !inode->resized)
        return;
    inode->settled.size = inode->size;
    inode->resized = false;
    if (written)
        inode->medium.size = inode->size;
}

void media_sync(struct sim_disk *disk, struct inode *inode)
{
    size_t count = inode_sectors(inode);
    for (size_t s = 0; s < count; s++)
        settle_sector(disk, inode, s, true);
    settle_size(inode, true);
}

void media_sync_range(struct sim_disk *disk, struct inode *inode, size_t begin, size_t end)
{
    for (size_t s = begin / SECTOR; s * SECTOR < end; s++)
        settle_sector(disk, inode, s, true);
    settle_size(inode, true);
}

void media_fail_sync(struct sim_disk *disk, struct inode *inode, size_t begin, size_t end)
{
    enum { NOTHING_CLEAN, SOME_CLEAN, SOME_DIRTY, MANNERS };
    uint64_t manner = disk->config.sync_manner > 0 ? disk->config.sync_manner - 1
                                                   : random_below(&disk->random, MANNERS);
    size_t count = inode_sectors(inode);
    for (size_t s = begin / SECTOR; s < count && s * SECTOR < end; s++) {
        bool written = manner != NOTHING_CLEAN && random_below(&disk->random, 2) == 0;
        if (written || manner != SOME_DIRTY)
            settle_sector(disk, inode, s, written);
    }
    bool size_written = manner != NOTHING_CLEAN && random_below(&disk->random, 2) == 0;
    if (size_written || manner != SOME_DIRTY)
        settle_size(inode, size_written);
}

void media_write_back(struct sim_disk *disk, struct inode *inode, size_t sector)
{
    if (!sector_dirty(inode, sector))
        return;
    settle_sector(disk, inode, sector, true);
    disk->counts.writebacks++;
    size_t end = (sector + 1) * SECTOR < inode->size ? (sector + 1) * SECTOR : inode->size;
    if (inode->settled.size != inode->size && end > inode->medium.size &&
        random_below(&disk->random, 2) == 0)
        inode->medium.size = end;
}

bool media_evict(struct inode *inode, size_t sector)
{
    uint8_t medium[SECTOR], settled[SECTOR];
    if (sector_dirty(inode, sector))
        return false;
    image_get(&inode->medium, sector, medium);
    if (sector < inode->unreadable_count && inode->unreadable[sector])
        memset(medium, 0, SECTOR);
    image_get(&inode->settled, sector, settled);
    if (memcmp(settled, medium, SECTOR) == 0)
        return false;
    seen_put(inode, sector, medium);
    seen_get(inode, sector, settled);
    image_put(&inode->settled, sector, settled);
    return true;
}

void media_evict_all(struct inode *inode)
{
    size_t count = inode_sectors(inode);
    for (size_t s = 0; s < count; s++)
        media_evict(inode, s);
}

/* ---- Crashes --------------------------------------------------------------------------------- */

/* How a crash deals with dirty sectors: chances in eighths. */
struct fate {
    uint64_t written, damaged;
};

/* Let `old` become what the crash leaves of it. Only bytes that the write changes are at risk. */
static void damage_sector(struct sim_disk *disk, uint8_t old[SECTOR], const uint8_t new[SECTOR])
{
    enum { TORN, TORN_BACKWARDS, ZERO, GARBAGE, STALE, WAYS };
    uint64_t way = random_below(&disk->random, disk->config.lenient ? ZERO + 1 : WAYS);
    size_t at = (size_t)random_below(&disk->random, SECTOR);
    const uint8_t *stale =
        disk->stale[disk->stale_count > 0 ? random_below(&disk->random, disk->stale_count) : 0];
    for (size_t i = 0; i < SECTOR; i++) {
        if (old[i] == new[i])
            continue;
        if (way == TORN || way == TORN_BACKWARDS)
            old[i] = (i < at) == (way == TORN) ? new[i] : old[i];
        else
            old[i] = way == ZERO      ? 0
                     : way == GARBAGE ? (uint8_t)random_next(&disk->random)
                                      : stale[i];
    }
}

static void cut_sector(struct sim_disk *disk, struct inode *inode, size_t sector, struct fate fate)
{
    uint8_t seen[SECTOR], medium[SECTOR];
    if (!sector_dirty(inode, sector))
        return;
    seen_get(inode, sector, seen);
    if (random_below(&disk->random, 8) < fate.written) {
        image_put(&inode->medium, sector, seen);
        disk->counts.sectors_new++;
    } else if (random_below(&disk->random, 8) < fate.damaged) {
        image_get(&inode->medium, sector, medium);
        damage_sector(disk, medium, seen);
        image_put(&inode->medium, sector, medium);
        disk->counts.sectors_damaged++;
    } else {
        disk->counts.sectors_old++;
    }
}

static size_t cut_size(struct sim_disk *disk, const struct inode *inode)
{
    size_t old = inode->medium.size;
    if (inode->size == inode->settled.size && !inode->resized)
        return old;
    size_t low = old < inode->size ? old : inode->size;
    size_t high = old < inode->size ? inode->size : old;
    switch (random_below(&disk->random, 4)) {
    case 0:
        return old;
    case 1:
        return low + (size_t)random_below(&disk->random, high - low + 1);
    default:
        return inode->size;
    }
}

/* Zero what stands behind the size. */
static void image_trim(struct image *image)
{
    if (image->size < image->capacity)
        memset(image->data + image->size, 0, image->capacity - image->size);
}

/* The cache is empty: what is seen is what the medium has. */
static void load(struct inode *inode)
{
    CHECK(inode->maps == 0);
    inode_resize(inode, 0);
    inode_resize(inode, inode->medium.size);
    inode->settled.size = inode->medium.size;
    inode->resized = false;
    if (inode->settled.capacity > 0)
        memset(inode->settled.data, 0, inode->settled.capacity);
    size_t count = inode_sectors(inode);
    for (size_t s = 0; s < count; s++) {
        uint8_t bytes[SECTOR];
        image_get(&inode->medium, s, bytes);
        if (s < inode->unreadable_count && inode->unreadable[s])
            memset(bytes, 0, SECTOR);
        seen_put(inode, s, bytes);
        image_put(&inode->settled, s, bytes);
    }
}

void media_power_cut(struct sim_disk *disk, struct inode *inode)
{
    struct fate fate = {random_below(&disk->random, 9), random_below(&disk->random, 5)};
    size_t size = cut_size(disk, inode);
    size_t count = inode_sectors(inode);
    for (size_t s = 0; s < count; s++)
        cut_sector(disk, inode, s, fate);
    inode->medium.size = size;
    image_trim(&inode->medium);
    load(inode);
}

void media_detach(struct inode *inode)
{
    if (inode->maps == 0)
        return;
    struct region *old = inode->region;
    size_t size = inode->size;
    inode->maps = 0;
    inode->region = region_new();
    memcpy(inode->region->data, old->data, size);
    region_release(old);
}

void media_bury(struct sim_disk *disk, struct inode *inode)
{
    size_t count = inode_sectors(inode);
    for (size_t i = 0; i < 4 && count > 0; i++) {
        size_t to = disk->stale_count < STALE_BLOCKS ? disk->stale_count++
                                                     : random_below(&disk->random, STALE_BLOCKS);
        image_get(&inode->medium, (size_t)random_below(&disk->random, count), disk->stale[to]);
    }
}

/* ---- Rot ------------------------------------------------------------------------------------- */

static void mark_unreadable(struct inode *inode, size_t sector)
{
    if (sector >= inode->unreadable_count) {
        inode->unreadable = realloc(inode->unreadable, (sector + 1) * sizeof *inode->unreadable);
        CHECK(inode->unreadable);
        memset(inode->unreadable + inode->unreadable_count, 0,
               sector + 1 - inode->unreadable_count);
        inode->unreadable_count = sector + 1;
    }
    inode->unreadable[sector] = true;
}

void media_rot(struct sim_disk *disk, struct inode *inode, size_t sector, enum sim_rot rot)
{
    uint8_t bytes[SECTOR];
    size_t length = inode->medium.size - sector * SECTOR;
    if (length > SECTOR)
        length = SECTOR;
    image_get(&inode->medium, sector, bytes);
    switch (rot) {
    case SIM_FLIP:
        bytes[random_below(&disk->random, length)] ^=
            (uint8_t)(1u << random_below(&disk->random, 8));
        break;
    case SIM_STALE:
        if (disk->stale_count > 0) {
            memcpy(bytes, disk->stale[random_below(&disk->random, disk->stale_count)], SECTOR);
            break;
        } /* fall through */
    case SIM_ZERO:
        memset(bytes, 0, SECTOR);
        break;
    case SIM_MISDIRECTED:
        image_get(&inode->medium, (size_t)random_below(&disk->random, inode_sectors(inode)), bytes);
        break;
    case SIM_UNREADABLE:
        mark_unreadable(inode, sector);
        break;
    case SIM_ROT_COUNT:
        break;
    }
    image_put(&inode->medium, sector, bytes);
    load(inode);
    disk->counts.rot[rot]++;
}
