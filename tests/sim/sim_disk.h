/* SPDX-License-Identifier: MIT
 * sim_disk.h: a simulated disk behind struct os, that crashes, lies and rots as its seed says.
 *
 * What is seen and what is durable are two things. A file has the bytes of the page cache (which
 * are also what `map` returns), the bytes that the cache takes for written, and the bytes on the
 * medium; size apart from data. A sector of 512 bytes is dirty while the first two differ. A
 * directory has the names that are seen, those that are durable, and a list of operations between.
 *
 * A power cut picks for each dirty sector: old, new, torn, zeroed, garbage or a stale freed block
 * (never touching bytes that the write did not change); for each size that was not synced: old,
 * new, or between; for names any subset of the pending operations (strict), or what a journal that
 * keeps their order would leave (lenient). A kill keeps all that is seen.
 *
 * On the way any dirty sector may become durable at any call, and any clean one be dropped from the
 * cache and come from the medium again. A failed sync loses what it should have written in one of
 * three manners: nothing is written and all of it taken for clean; some sectors are written and the
 * others taken for clean; some are written and the others stay dirty. Sizes go the same ways.
 *
 * A device may lie: acknowledge a sector that it then writes nowhere, or over another one. A full
 * disk is one whose files use up its capacity; a write to it goes as far as there is room.
 *
 * What the seam promises away is not here: os_posix completes short transfers and repeats EINTR, so
 * the engine meets a call that did all of it, or an error after a part of it. A call that fails may
 * have done any part: a pread leaves rubbish in the buffer, a pwrite has written a prefix.
 *
 * Bytes behind the last page of a mapped file cannot be touched: doing so is a fault, as it would
 * be on a real system.
 *
 * One thread. Equal seeds and equal calls give equal results: sim_trace sums up all of them. */
#ifndef SIM_SIM_DISK_H
#define SIM_SIM_DISK_H

#include <stdio.h>

#include "os/os.h"

enum sim_call {
    SIM_OPEN,
    SIM_CLOSE,
    SIM_PREAD,
    SIM_PWRITE,
    SIM_ALLOCATE,
    SIM_TRUNCATE,
    SIM_SYNC,
    SIM_DROP,
    SIM_STAT,
    SIM_MAP,
    SIM_MAKE_DIR,
    SIM_REMOVE_DIR,
    SIM_LIST,
    SIM_RENAME,
    SIM_LINK,
    SIM_UNLINK,
    SIM_SYNC_DIR,
    SIM_LOCK,
    SIM_CLOCK,
    SIM_RANDOM,
    SIM_CALL_COUNT,
};

/* Chances are per 100,000 calls (syncs). */
struct sim_config {
    uint64_t seed;
    bool lenient;         /* a journal: names survive in order, and a sync of a file syncs them */
    bool mapped_writes;   /* what traits says; */
    bool sync_forgets;    /* they do not say sync_tells_all */
    uint64_t capacity;    /* bytes; 0: no end */
    uint32_t writeback;   /* a dirty sector becomes durable */
    uint32_t eviction;    /* a clean sector is read from the medium again */
    uint32_t read_error;  /* open, pread, stat, list and map fail with EIO */
    uint32_t write_error; /* pwrite, truncate, rename, link, unlink, make_dir with EIO */
    uint32_t space_error; /* pwrite, allocate, creating, rename with ENOSPC */
    uint32_t sync_error;  /* sync, and a pwrite with OS_DSYNC */
    uint32_t sync_manner; /* of those that fail: 1 to 3, in the order above; 0: drawn each time */
    uint32_t sync_dir_error;    /* sync_dir: nothing of it is durable */
    uint32_t alloc_error;       /* no memory */
    uint32_t lost_write;        /* per sector, while the device lies: written nowhere */
    uint32_t misdirected_write; /* the same: written over another sector of the file */
};

enum sim_crash { SIM_KILL, SIM_POWER_CUT, SIM_CRASH_COUNT };
enum sim_rot {
    SIM_FLIP,        /* a bit of a sector */
    SIM_ZERO,        /* a sector is zero */
    SIM_STALE,       /* a write was lost: a sector holds an old block's bytes */
    SIM_MISDIRECTED, /* a sector holds what belongs to another one */
    SIM_UNREADABLE,  /* pread fails; in a mapping it reads as zeros */
    SIM_ROT_COUNT,
};

struct sim_counts {
    uint64_t calls;
    uint64_t crashes[SIM_CRASH_COUNT];
    uint64_t errors; /* failed calls of all kinds but sync and memory, and a full disk */
    uint64_t full;   /* ENOSPC for want of room */
    uint64_t lost_writes, misdirected_writes;
    uint64_t sync_errors, sync_dir_errors, alloc_errors;
    uint64_t log_sync_errors; /* of data files: bytes of the log may have been lost */
    uint64_t sectors_old, sectors_new, sectors_damaged;
    uint64_t writebacks, evictions, names_lost;
    uint64_t rot[SIM_ROT_COUNT];
};

struct sim_disk;

struct sim_disk *sim_disk_new(const struct sim_config *config);
void sim_disk_free(struct sim_disk *disk);
struct os *sim_disk_os(struct sim_disk *disk);
const struct sim_counts *sim_disk_counts(const struct sim_disk *disk);
uint64_t sim_disk_trace(const struct sim_disk *disk);
void sim_disk_note(struct sim_disk *disk, uint64_t number); /* into the trace */
void sim_disk_log(struct sim_disk *disk, FILE *log);        /* print each call; NULL: none */

/* Go on with other random numbers: those of this number. What a step of a script does then depends
 * on its own number, not on the steps before it. */
void sim_disk_reseed(struct sim_disk *disk, uint64_t number);

/* Call `hook` at the start of each call, before anything is done: where fibers switch. */
void sim_disk_hook(struct sim_disk *disk, void (*hook)(void *context), void *context);

/* Calls may fail (from the start: no). Returns what was before. */
bool sim_disk_faults(struct sim_disk *disk, bool on);

/* The device acknowledges writes that it has lost or misdirected (from the start: no). What has
 * been written stays in the page cache, so nobody sees it before the cache is dropped. */
void sim_disk_lie(struct sim_disk *disk, bool on);

/* Crash before the `nth` call from now on (1: the next one; 0: not at all). All later calls fail
 * with -EIO until sim_disk_restart. */
void sim_disk_arm(struct sim_disk *disk, enum sim_crash crash, uint64_t nth);
void sim_disk_crash(struct sim_disk *disk, enum sim_crash crash); /* now */
bool sim_disk_dead(const struct sim_disk *disk);
void sim_disk_restart(struct sim_disk *disk); /* the machine, or the next process, starts */

/* No call fails for want of memory before the `nth` allocation from now on, which does. */
void sim_disk_fail_alloc(struct sim_disk *disk, uint64_t nth);

/* Bytes of the disk, 0 for no end; and those in use. */
void sim_disk_set_capacity(struct sim_disk *disk, uint64_t bytes);
bool sim_disk_is_limited(const struct sim_disk *disk);
uint64_t sim_disk_used(const struct sim_disk *disk);
void sim_disk_set_eviction(struct sim_disk *disk, uint32_t chance);
void sim_disk_set_mapped_writes(struct sim_disk *disk, bool on); /* for the next opening */
void sim_disk_step_clock(struct sim_disk *disk, int64_t us);     /* someone sets the wall clock */
void sim_disk_advance(struct sim_disk *disk, uint64_t us);       /* time passes */
uint64_t sim_disk_now(const struct sim_disk *disk);  /* the wall clock, without a call */
uint64_t sim_disk_boot(const struct sim_disk *disk); /* the other one */

/* Drop every clean page from the cache: what is seen then is what the medium has. */
void sim_disk_evict(struct sim_disk *disk);

/* Damage some sector of some file of the directory, while nothing is open, with the cache dropped.
 * `where` says which; empty if there was nothing to damage. */
void sim_disk_rot(struct sim_disk *disk, const char *directory, enum sim_rot rot, char *where,
                  size_t where_size);

/* The same of a sector of your choice. False if the file has no such sector. */
bool sim_disk_rot_sector(struct sim_disk *disk, const char *path, size_t sector, enum sim_rot rot);

/* What is not closed yet: a leak if the store is. */
size_t sim_disk_open_handles(const struct sim_disk *disk);
uint64_t sim_disk_live_bytes(const struct sim_disk *disk);

#endif
