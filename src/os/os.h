/* SPDX-License-Identifier: MIT
 * os.h: the seam. All I/O, locking, mapping, clocks, randomness and memory of the engine go through
 * one struct of functions, so that a test can put a disk of its own underneath.
 *
 * Implementations: os_posix() (the real one), os_mem_new() (files in memory, crashes, failing
 * calls). Nothing else in src/ calls the operating system for these things.
 *
 * Results: 0 or a positive count on success, -errno on failure. Paths are those of the caller,
 * relative or absolute, at most OS_PATH_MAX bytes with the terminating zero.
 *
 * Threads: every function may be called from any thread; calls on one file do not need a lock of
 * the caller's, except close, which must be the last one. */
#ifndef OS_OS_H
#define OS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OS_PATH_MAX = 4096, OS_NAME_MAX = 256, OS_PAGE = 4096 };

struct os;
struct os_file; /* an open file; made and freed by its os */
struct os_lock; /* a held lock */

enum os_open_flags {
    OS_READ = 1,
    OS_WRITE = 2,  /* read and write */
    OS_CREATE = 4, /* with WRITE: make it, mode 0600, and fail with -EEXIST if it is there */
};

enum os_write_flags {
    OS_DSYNC = 1, /* the bytes (and the size, if it grew) are durable on return (RWF_DSYNC) */
};

enum os_advice {
    OS_ADVISE_RANDOM = 1,     /* of a mapping: random access; keeps page-cache folios small */
    OS_ADVISE_SEQUENTIAL = 2, /* of a mapping: will be read once, ascending */
    OS_ADVISE_NORMAL = 3,
    OS_ADVISE_WILLNEED = 4,
    OS_ADVISE_POPULATE = 5, /* fault the pages in for writing now (MADV_POPULATE_WRITE); may fail */
    OS_ADVISE_DROP = 6,     /* of a mapping of a file, whole pages: unmap the pages until they are
                               touched again. What was stored in them stays in the file */
    OS_ADVISE_HUGE = 7,     /* of a mapping: in huge pages where there are any; may fail */
    OS_ADVISE_SMALL = 8,    /* and no more, as far as they are not there yet; may fail */
    OS_ADVISE_EVICT = 9,    /* of a mapping of a file: let go of its pages, which come back from the
                               file when they are touched; may do less */
};

struct os_stat {
    uint64_t size;      /* bytes */
    uint64_t allocated; /* bytes on disk */
    bool regular;       /* a regular file, not a link, device, FIFO or directory */
    bool directory;
};

/* What can be relied on where a file is stored. */
struct os_traits {
    bool mapped_writes;  /* stores into allocated, mapped pages cannot fail with SIGBUS for want of
                            space (ext4, tmpfs, xfs without shared extents; the memory os) */
    bool sync_tells_all; /* a sync that succeeds, through whatever descriptor, says that nothing of
                            the file has been lost since a sync was last told of an error */
    char name[24];       /* of the file system, for messages: "ext4", "0x9123683e" */
};

struct os {
    void *context;

    /* Files. Opening refuses anything that is not a regular file (-EINVAL) and does not follow a
     * symbolic link in the last component (-ELOOP). Descriptors are close-on-exec. */
    int (*open)(struct os *os, const char *path, int flags, struct os_file **file);
    int (*close)(struct os *os, struct os_file *file); /* file is gone whatever is returned */
    /* Read at an offset until `size` bytes or the end of the file; returns the bytes read. */
    int64_t (*pread)(struct os *os, struct os_file *file, void *data, size_t size, uint64_t offset);
    /* Write all of it. On failure any part may have been written. Retries EINTR and completes
     * short writes itself. */
    int (*pwrite)(struct os *os, struct os_file *file, const void *data, size_t size,
                  uint64_t offset, int flags);
    /* Allocate disk space for [offset, offset+size), growing the file; new bytes read as zero.
     * Where the file system cannot, zeros are written behind the end instead; holes stay. */
    int (*allocate)(struct os *os, struct os_file *file, uint64_t offset, uint64_t size);
    int (*truncate)(struct os *os, struct os_file *file, uint64_t size);
    int (*sync)(struct os *os, struct os_file *file); /* fdatasync: data and size */
    /* Drop clean cached pages of a part of it, so that the next read comes from the device; size 0:
     * to the end. Advice: may do less. */
    int (*drop_cache)(struct os *os, struct os_file *file, uint64_t offset, uint64_t size);
    /* Where zeros begin that go on to its end, by what the file system knows without reading them;
     * there may be more in front. Its size where it knows of none. */
    int (*zeros_from)(struct os *os, struct os_file *file, uint64_t *offset);
    /* Begin to read a part of it into the page cache, and do not wait. Advice: may do less. */
    int (*will_need)(struct os *os, struct os_file *file, uint64_t offset, uint64_t size);
    int (*stat_file)(struct os *os, struct os_file *file, struct os_stat *stat);

    /* Shared mapping of `size` bytes from offset 0; it may be longer than the file (then only bytes
     * inside the file may be touched) and stays valid after close and unlink. Never inherited by a
     * forked child. */
    int (*map)(struct os *os, struct os_file *file, size_t size, bool writable, void **memory);
    void (*unmap)(struct os *os, void *memory, size_t size);
    int (*advise)(struct os *os, void *memory, size_t size, enum os_advice advice);

    /* Directories and names. */
    int (*make_dir)(struct os *os, const char *path); /* mode 0700; -EEXIST if it is there */
    int (*remove_dir)(struct os *os, const char *path);
    /* Call `each` for every entry but . and .., in any order; stops if it returns nonzero and
     * returns that. */
    int (*list)(struct os *os, const char *path, int (*each)(void *context, const char *name),
                void *context);
    int (*stat)(struct os *os, const char *path, struct os_stat *stat); /* not following links */
    int (*rename)(struct os *os, const char *from, const char *to);     /* replaces `to` */
    int (*link)(struct os *os, const char *from, const char *to);
    int (*unlink)(struct os *os, const char *path);
    int (*sync_dir)(struct os *os, const char *path);
    int (*traits)(struct os *os, const char *path, struct os_traits *traits);
    int (*free_space)(struct os *os, const char *path, uint64_t *bytes); /* for this user */
    int (*disk_size)(struct os *os, const char *path, uint64_t *bytes);  /* of the file system, free
                                                                            or not */

    /* Lock a directory, exclusively or shared, against other processes and other handles of this
     * one. The lock dies with its process and is not inherited through fork(). -EWOULDBLOCK if it
     * is held. */
    int (*lock)(struct os *os, const char *path, bool exclusive, struct os_lock **lock);
    void (*unlock)(struct os *os, struct os_lock *lock);

    /* Clocks, in microseconds. */
    uint64_t (*clock_real)(struct os *os);   /* since 1970 */
    uint64_t (*clock_coarse)(struct os *os); /* the same, cheaper, some milliseconds coarse */
    uint64_t (*clock_boot)(struct os *os);   /* monotonic, counts suspended time */
    /* What local time, as this process has it, is ahead of UTC at a wall time; in seconds. */
    int32_t (*utc_offset_s)(struct os *os, uint64_t real_us);

    int (*random)(struct os *os, void *data, size_t size);

    /* Memory, aligned to `alignment` (a power of two); NULL when there is none. */
    void *(*alloc)(struct os *os, size_t size, size_t alignment);
    void (*free)(struct os *os, void *memory, size_t size);
    /* Bytes of memory that pages of files may take, those that they have already among them, within
     * the limits of the machine and of this process's control groups. Cost: some 100 us. */
    int (*available_memory)(struct os *os, uint64_t *bytes);

    /* Facts for messages. */
    uint64_t (*process_id)(struct os *os);
    void (*host_name)(struct os *os, char *name, size_t size);

    /* A byte that is 1 in the process that asked for it and 0 in its forked children; NULL if there
     * is no such thing. A child that asks gets another byte, which is 1: keep the pointer with the
     * handle it guards. */
    const volatile unsigned char *(*fork_guard)(struct os *os);
};

/* The real one; static, shared, never freed. */
struct os *os_posix(void);

#endif
