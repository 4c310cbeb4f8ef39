/* SPDX-License-Identifier: MIT
 * os_mem.h: files in memory behind struct os: what an in_memory store uses, and the first disk that
 * tests crash.
 *
 * Each file has the bytes that the program sees and, where crashes are wanted, the bytes that are
 * durable: sync (and OS_DSYNC) copies data and size over, sync_dir makes names durable. A crash
 * keeps only what was synced, exact to the byte. Paths, absolute or not, begin at one root, which
 * is always there; the name of a directory made in it is durable once "." is synced.
 *
 * Mapped bytes never move: a mapping leaves room for four times its size (16 MiB at least), and a
 * file that is mapped and grows beyond that gets -ENOMEM. A forked child must not use the os.
 *
 * The clocks stand still unless moved: each reading of clock_real or clock_coarse adds 1 us to all
 * of them, so that runs are repeatable; a `real_clock` os asks the system.
 *
 * Threads: one lock per os, held inside each call. os_mem_* functions: one thread, no call
 * running. */
#ifndef OS_OS_MEM_H
#define OS_OS_MEM_H

#include "os/os.h"

struct os_mem_options {
    bool durable_images; /* keep what os_mem_crash needs; costs a copy of every file */
    bool real_clock;     /* and real randomness; else deterministic from `seed` */
    uint64_t seed;
    uint64_t capacity;     /* bytes of disk; 0: unlimited. Allocation and growth beyond: -ENOSPC */
    bool no_mapped_writes; /* traits say so: everything goes by pwrite */
};

/* NULL if there is no memory. */
struct os *os_mem_new(const struct os_mem_options *options);
void os_mem_free(struct os *os);

/* What an operation that fails for want of luck is. */
enum os_mem_call {
    OS_CALL_OPEN,
    OS_CALL_CLOSE,
    OS_CALL_PREAD,
    OS_CALL_PWRITE,
    OS_CALL_ALLOCATE,
    OS_CALL_TRUNCATE,
    OS_CALL_SYNC,
    OS_CALL_MAP,
    OS_CALL_RENAME,
    OS_CALL_LINK,
    OS_CALL_UNLINK,
    OS_CALL_SYNC_DIR,
    OS_CALL_LIST,
    OS_CALL_STAT,
    OS_CALL_MAKE_DIR,
    OS_CALL_LOCK,
    OS_CALL_RANDOM,
    OS_CALL_ALLOC,
    OS_CALL_COUNT,
};

/* Fail the `nth` call from now on (1: the next) of the kinds in the bit set `kinds`
 * (1u << OS_CALL_SYNC | ...), and `repeat` - 1 such calls behind it (UINT64_MAX: for ever), with
 * `negative_errno` (alloc: NULL). A failed sync loses the bytes it should have written: they stay
 * visible, are no longer dirty, and a second sync of them succeeds without making them durable
 * (what ext4, xfs and btrfs do); drop_cache of an unmapped file then shows what is durable. A
 * failed pwrite has written half, and with OS_DSYNC lost that half in the same way. nth 0: stop
 * failing. */
void os_mem_fail(struct os *os, uint32_t kinds, uint64_t nth, uint64_t repeat, int negative_errno);

/* Calls so far of the kinds in `kinds`, failed ones included. */
uint64_t os_mem_calls(struct os *os, uint32_t kinds);

/* Call `hook` before each call of a kind in `kinds` (for "crash at every call"): when it returns
 * nonzero, that call and all later ones fail with -EIO and without effect until os_mem_crash or
 * os_mem_kill (close still frees the file; alloc goes on working: memory is not the disk's). No
 * lock is held: the hook may call os_mem_* functions, os_mem_crash too. NULL to take it out. */
void os_mem_hook(struct os *os, uint32_t kinds, int (*hook)(void *context, enum os_mem_call call),
                 void *context);

/* The power goes: open files, locks and mappings of before are dead (files may still be closed and
 * mappings unmapped, without effect; their memory stays until then), what was not synced is gone,
 * names that were not synced are as before. The store's handle must be thrown away with
 * bitcask_abandon (engine/store.h) or closed after it. */
void os_mem_crash(struct os *os);

/* kill -9 of the process: locks, open files and mappings end, all that was written stays. */
void os_mem_kill(struct os *os);

/* Disk room, moving the clock, direct access to a file's bytes (visible and durable alike). */
void os_mem_set_capacity(struct os *os, uint64_t bytes);
void os_mem_set_memory(struct os *os, uint64_t bytes);  /* available; 0: no end of it */
void os_mem_advance_clock(struct os *os, int64_t us);   /* clock_real, clock_coarse and boot */
void os_mem_step_real_clock(struct os *os, int64_t us); /* not clock_boot: someone set the time */
/* Copy out; returns the file's size, or -ENOENT. data may be NULL. */
int64_t os_mem_read_file(struct os *os, const char *path, void *data, size_t size);
/* Make the file, or change its bytes in place (mappings see it), durably. */
int os_mem_write_file(struct os *os, const char *path, const void *data, size_t size);

/* Open descriptors, live mappings, not counting those that a crash or kill has ended: what a test
 * counts to find a leak. */
uint64_t os_mem_open_files(struct os *os);
uint64_t os_mem_live_maps(struct os *os);
uint64_t os_mem_live_bytes(struct os *os); /* by alloc, not yet freed */

#endif
