/* SPDX-License-Identifier: MIT
 * sim_internal.h: what the parts of the simulated disk share.
 *
 *   sim_disk.c    the disk as a whole: its making, its end, crashes; locks, clocks, memory
 *   sim_calls.c   what happens at each call, and when it fails
 *   sim_files.c   the calls on files and mappings
 *   sim_names.c   the calls on directories and names
 *   sim_tree.c    directories: as they are seen, as they are durable, and what lies between
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
    bool resized;         /* since the size was last written */
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
    void (*hook)(void *context);
    void *hook_context;
    bool faults, lies, dead;
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

/* ---- sim_calls.c ----------------------------------------------------------------------------- */

static inline struct sim_disk *sim_disk_of(struct os *os)
{
    return os->context;
}

/* Count the call, let things happen, and say how it must fail: 0 or -errno. */
int sim_begin(struct sim_disk *disk, enum sim_call call);
/* Into the trace, and the log if there is one; returns `result`. */
int64_t sim_end(struct sim_disk *disk, enum sim_call call, uint64_t a, uint64_t b, const char *path,
                int64_t result);
void sim_mix(struct sim_disk *disk, uint64_t number);

/* ---- sim_files.c, sim_names.c: of struct os ---------------------------------------------------
 */

int sim_open(struct os *os, const char *path, int flags, struct os_file **file);
int sim_close(struct os *os, struct os_file *file);
int64_t sim_pread(struct os *os, struct os_file *file, void *data, size_t size, uint64_t offset);
int sim_pwrite(struct os *os, struct os_file *file, const void *data, size_t size, uint64_t offset,
               int flags);
int sim_allocate(struct os *os, struct os_file *file, uint64_t offset, uint64_t size);
int sim_truncate(struct os *os, struct os_file *file, uint64_t size);
int sim_sync(struct os *os, struct os_file *file);
int sim_drop_cache(struct os *os, struct os_file *file, uint64_t offset, uint64_t size);
int sim_stat_file(struct os *os, struct os_file *file, struct os_stat *stat);
int sim_map(struct os *os, struct os_file *file, size_t size, bool writable, void **memory);
void sim_unmap(struct os *os, void *memory, size_t size);
int sim_advise(struct os *os, void *memory, size_t size, enum os_advice advice);
int sim_make_dir(struct os *os, const char *path);
int sim_remove_dir(struct os *os, const char *path);
int sim_list(struct os *os, const char *path, int (*each)(void *context, const char *name),
             void *context);
int sim_stat(struct os *os, const char *path, struct os_stat *stat);
int sim_rename(struct os *os, const char *from, const char *to);
int sim_link(struct os *os, const char *from, const char *to);
int sim_unlink(struct os *os, const char *path);
int sim_sync_dir(struct os *os, const char *path);

uint64_t sim_used_bytes(const struct sim_disk *disk);
void sim_stat_inode(const struct inode *inode, struct os_stat *stat);

/* ---- sim_media.c ----------------------------------------------------------------------------- */

struct region *region_new(void);
void region_release(struct region *region);

/* Let the mapped file reach as far as its size says. */
void inode_set_reach(struct inode *inode);
void inode_resize(struct inode *inode, size_t size); /* as seen */
size_t inode_sectors(const struct inode *inode);
bool sector_dirty(const struct inode *inode, size_t sector);

void media_sync(struct sim_disk *disk, struct inode *inode);
void media_sync_range(struct sim_disk *disk, struct inode *inode, size_t begin, size_t end);
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
