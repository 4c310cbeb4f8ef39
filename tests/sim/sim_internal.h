/* SPDX-License-Identifier: MIT
 * sim_internal.h: what the parts of the simulated disk share.
 *
 *   sim_disk.c    the functions of struct os, and when they fail
 *   sim_tree.c    directories and names
 *   sim_media.c   the bytes of files: cache, medium, and what a crash leaves of them */
#ifndef SIM_SIM_INTERNAL_H
#define SIM_SIM_INTERNAL_H

#include "random.h"
#include "sim_disk.h"

enum {
    SECTOR = 512,
    REGION_SIZE = 8 << 20, /* no file is larger */
    SIM_NAME_MAX = 96,
    STALE_BLOCKS = 64,
};

/* Memory of a file's page cache. It never moves; mappings share it. */
struct region {
    uint8_t *data;
    unsigned users; /* the file, and each mapping */
    size_t reach;   /* bytes that may be touched */
};

/* Bytes, zero behind what was written. `size` is that of the file, not of what was written. */
struct image {
    uint8_t *data;
    size_t capacity;
    size_t size;
};

struct entry {
    char name[SIM_NAME_MAX];
    struct inode *inode;
};

struct table {
    struct entry *entries;
    size_t count, capacity;
};

struct inode {
    uint64_t number;
    bool directory;
    bool log;         /* named like a data file */
    bool reached;     /* while garbage is collected */
    unsigned links;   /* names seen */
    unsigned handles; /* open files, mappings, locks */
    unsigned maps;
    struct region *region; /* page cache; NULL in a directory */
    size_t size;
    struct image settled; /* what the cache takes for written */
    struct image medium;
    bool *unreadable; /* by sector, or NULL */
    size_t unreadable_count;
    struct table seen, durable; /* of a directory */
};

/* One or two names that change in one step: a rename is two. */
struct name_change {
    struct inode *directory;
    char name[SIM_NAME_MAX];
    struct inode *inode; /* NULL: the name goes */
};

struct name_operation {
    struct name_change changes[2];
    unsigned count;
};

struct os_file {
    struct inode *inode; /* NULL after a crash */
    bool writable;
    struct os_file *next;
};

struct os_lock {
    struct inode *inode; /* NULL after a crash */
    bool exclusive;
    struct os_lock *next;
};

struct sim_map {
    struct region *region;
    struct inode *inode; /* NULL after a crash */
    size_t size;
    struct sim_map *next;
};

struct sim_disk {
    struct os os;
    struct sim_config config;
    uint64_t random;
    uint64_t secrets; /* a sequence of its own for os->random: it must never come again */
    uint64_t trace;
    FILE *log;
    bool faults, dead;
    enum sim_crash armed;
    uint64_t armed_calls, alloc_countdown;
    uint64_t real_us, boot_us, live_bytes, next_number;
    struct inode *root;
    struct inode **inodes;
    size_t inode_count, inode_capacity;
    struct name_operation *pending;
    size_t pending_count, pending_capacity;
    struct os_file *files;
    struct os_lock *locks;
    struct sim_map *maps;
    uint8_t stale[STALE_BLOCKS][SECTOR];
    size_t stale_count;
    struct sim_counts counts;
};

/* ---- sim_media.c ----------------------------------------------------------------------------- */

struct region *region_new(void);
void region_release(struct region *region);

/* Let the mapped file reach as far as its size says. */
void inode_set_reach(struct inode *inode);
void inode_resize(struct inode *inode, size_t size); /* as seen */
size_t inode_sectors(const struct inode *inode);
bool sector_dirty(const struct inode *inode, size_t sector);

void media_sync(struct inode *inode);
void media_sync_range(struct inode *inode, size_t begin, size_t end);
void media_fail_sync(struct sim_disk *disk, struct inode *inode, size_t begin, size_t end);
void media_write_back(struct sim_disk *disk, struct inode *inode, size_t sector);
bool media_evict(struct inode *inode, size_t sector); /* true if that was to be seen */
void media_evict_all(struct inode *inode);
void media_power_cut(struct sim_disk *disk, struct inode *inode);
void media_detach(struct inode *inode);                      /* mappings keep the memory */
void media_bury(struct sim_disk *disk, struct inode *inode); /* its blocks are free */
void media_rot(struct sim_disk *disk, struct inode *inode, size_t sector, enum sim_rot rot);
void image_free(struct image *image);

/* ---- sim_tree.c ------------------------------------------------------------------------------ */

struct place {
    struct inode *parent; /* NULL for the root */
    char name[SIM_NAME_MAX];
    struct inode *inode; /* NULL if there is no such name */
};

struct inode *inode_new(struct sim_disk *disk, bool directory);
int tree_find(struct sim_disk *disk, const char *path, struct place *place);
int tree_find_existing(struct sim_disk *disk, const char *path, struct place *place);
/* Change one name, or two at once, as seen; durable some time. */
void tree_change(struct sim_disk *disk, const struct name_change *changes, unsigned count);
void tree_sync(struct sim_disk *disk, const struct inode *directory); /* NULL: all of them */
void tree_power_cut(struct sim_disk *disk);
void tree_collect(struct sim_disk *disk); /* free what no name and no handle reaches */
void tree_free(struct sim_disk *disk);
bool directory_empty(const struct inode *directory);

#endif
