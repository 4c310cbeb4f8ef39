/* SPDX-License-Identifier: MIT
 * os_mem_internal.h: what the parts of the memory os share.
 *
 *   os_mem.c          the functions of struct os: thin, each takes the lock
 *   os_mem_machine.c  those of them that have no files: clocks, randomness, memory
 *   os_mem_tree.c     directories, names, and when a file's bytes may go
 *   os_mem_image.c    a file's bytes: as seen, as durable, as the cache believes them to be
 *   os_mem_fault.c    failing calls, crashes, and the tests' own access
 *
 * Everything below is guarded by mem_disk.mutex, except where it says otherwise. */
#ifndef OS_OS_MEM_INTERNAL_H
#define OS_OS_MEM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "os/os_mem.h"

/* ---- Bytes (os_mem_image.c) ------------------------------------------------------------------ */

/* Memory that mappings may share with an image. It never moves while it is shared. */
struct mem_bytes {
    unsigned references; /* the image's, and one per mapping */
    bool reserved;       /* address space of its own, page-aligned; else heap */
    size_t capacity;
    unsigned char *data;
};

/* Bytes behind size, up to the capacity, are zero. */
struct mem_image {
    struct mem_bytes *bytes; /* NULL: none needed so far */
    size_t size;
};

/* A file's content. Without durable_images only `visible` is used. */
struct mem_content {
    struct mem_image visible;
    struct mem_image durable;
    /* What the cache takes for written: differs from `durable` once a sync has failed. */
    struct mem_image settled;
    bool sync_failed; /* settled is in use; else durable stands for it */
    bool stores;      /* a writable mapping since the last sync: anything may have changed */
    unsigned writable_maps;
    size_t dirty_begin; /* what pwrite, truncate and allocate changed since the last sync */
    size_t dirty_end;
};

enum { MEM_SIZE_MAX_LOG2 = 40 }; /* no file is larger: 1 TiB */

struct mem_bytes *mem_bytes_share(struct mem_bytes *bytes);
void mem_bytes_release(struct mem_bytes *bytes);

/* Room for `size` bytes; `stable` if they are to be mapped. -ENOMEM if there is none, or where
 * mapped bytes would have to move: a mapping leaves room to grow fourfold. */
int mem_image_reserve(struct mem_image *image, size_t size, bool stable);
/* Within the room reserved. What is cut off is zeroed. */
void mem_image_resize(struct mem_image *image, size_t size);
int mem_image_copy(struct mem_image *to, const struct mem_image *from);
void mem_image_release(struct mem_image *image);

void mem_content_dirty(struct mem_content *content, size_t begin, size_t end);
int mem_content_sync(struct mem_content *content);
/* Data [begin, end) and, if it grew, the size: OS_DSYNC. */
int mem_content_sync_range(struct mem_content *content, size_t begin, size_t end);
/* The same two when the device fails: clean afterwards, but not durable. */
int mem_content_lose(struct mem_content *content);
int mem_content_lose_range(struct mem_content *content, size_t begin, size_t end);
/* Clean bytes come from the device again. */
int mem_content_evict(struct mem_content *content);
/* As the disk has it; mappings keep the memory of before. */
int mem_content_revert(struct mem_content *content);
/* Mappings keep the memory; the file goes on with a copy. */
int mem_content_detach(struct mem_content *content);
void mem_content_release(struct mem_content *content);

/* ---- Tree (os_mem_tree.c) -------------------------------------------------------------------- */

/* A file or directory. It lives while anything below counts it. */
struct mem_node {
    struct mem_node *next; /* all nodes of the disk */
    struct mem_node *previous;
    bool directory;
    unsigned links;         /* visible names */
    unsigned durable_links; /* names that a crash would leave */
    unsigned users;         /* open files, mappings, locks */
    struct mem_content content;
    struct mem_entry *entries;
};

/* A name in a directory: what it stands for now, and what after a crash. Never both NULL. */
struct mem_entry {
    struct mem_entry *next;
    struct mem_node *visible;
    struct mem_node *durable;
    char name[];
};

struct mem_place {
    struct mem_node *parent; /* NULL for the root */
    char name[OS_NAME_MAX];
    struct mem_node *node; /* NULL if there is no such name */
};

struct mem_disk;

/* Walk a path; -ENOENT if a directory on the way is missing (a missing last name is no error),
 * -ENOTDIR, -ENAMETOOLONG. Absolute paths begin at the root as well. */
int mem_find(struct mem_disk *disk, const char *path, struct mem_place *place);
/* mem_find, and -ENOENT where the last name is missing. */
int mem_find_existing(struct mem_disk *disk, const char *path, struct mem_place *place);

struct mem_node *mem_node_new(struct mem_disk *disk, bool directory); /* without links */
void mem_node_use(struct mem_node *node);
void mem_node_unuse(struct mem_disk *disk, struct mem_node *node);
/* Let a name stand for `node` (NULL: for nothing). -ENOMEM changes nothing. */
int mem_entry_set(struct mem_disk *disk, struct mem_node *directory, const char *name,
                  struct mem_node *node);
void mem_entry_make_durable(struct mem_disk *disk, struct mem_node *directory, const char *name);
bool mem_directory_empty(const struct mem_node *directory);
bool mem_directory_contains(const struct mem_node *directory, const struct mem_node *node);
void mem_directory_sync(struct mem_disk *disk, struct mem_node *directory);
void mem_tree_revert(struct mem_disk *disk); /* names as the disk has them */
void mem_tree_detach(struct mem_disk *disk); /* mappings keep memory that is no file's any more */
void mem_tree_release(struct mem_disk *disk);

/* Resize a file's visible bytes within the disk's capacity: -ENOSPC, -ENOMEM, -EFBIG. */
int mem_node_resize(struct mem_disk *disk, struct mem_node *node, uint64_t size);

/* ---- Disk (os_mem.c, os_mem_fault.c) --------------------------------------------------------- */

struct os_file {
    struct os_file *next;
    struct os_file *previous;
    struct mem_node *node; /* NULL after a crash or kill */
    bool writable;
};

struct os_lock {
    struct os_lock *next;
    struct mem_node *node; /* NULL after a crash or kill */
    bool exclusive;
};

struct mem_map {
    struct mem_map *next;
    struct mem_node *node; /* NULL after a crash or kill */
    struct mem_bytes *bytes;
    size_t size;
    bool writable;
};

struct mem_fault {
    uint32_t kinds;
    uint64_t nth;
    uint64_t repeat;
    int negative_errno;
};

struct mem_hook {
    uint32_t kinds;
    int (*function)(void *context, enum os_mem_call call);
    void *context;
};

struct mem_disk {
    struct os os; /* first: a struct os * of ours is a struct mem_disk * */
    pthread_mutex_t mutex;
    struct os_mem_options options; /* all but capacity constant */
    struct mem_node *nodes;
    struct mem_node *root;
    struct os_file *files;
    struct os_lock *locks;
    struct mem_map *maps;
    uint64_t used; /* bytes of all visible content */
    uint64_t random_state;
    _Atomic uint64_t ticks_us;      /* since the disk was made; no lock */
    _Atomic int64_t real_offset_us; /* what clock_real is ahead of ticks; no lock */
    _Atomic uint64_t live_bytes;    /* no lock */
    _Atomic uint64_t memory;        /* what available_memory says; 0: no end of it; no lock */

    uint64_t calls[OS_CALL_COUNT];
    struct mem_fault fault;
    struct mem_hook hook;
    bool dead; /* the hook has pulled the plug */
};

static inline struct mem_disk *mem_disk_of(struct os *os)
{
    return os->context;
}

/* Clocks, randomness, memory, names: the functions and where they begin (os_mem_machine.c). */
void mem_begin_machine(struct mem_disk *disk);

/* Lock, count the call, and say how it must fail: 0 or -errno. mem_call_end unlocks either way. */
int mem_call_begin(struct mem_disk *disk, enum os_mem_call call);
void mem_call_end(struct mem_disk *disk);

#endif
