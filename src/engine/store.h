/* SPDX-License-Identifier: MIT
 * store.h: an open store: what the parts of the engine share, and the order of its locks.
 *
 * Locks, in the order in which they may be taken (any may be left out):
 *   quota.mutex     making room below a limit
 *   merge_mutex     one merge or verify at a time; taken by engine/merge_gate.h
 *   seal_mutex      sealing
 *   write_mutex     the head of the write queue (engine/group.h): versions, appends, rotation, the
 *                   writer role of the keydir, `writer`
 *   sync_mutex      one sync of the log at a time: an error is reported to one caller only, so two
 *                   syncs of one file must never overlap
 *   prepare_mutex   making the segment that comes next
 *   manifest_mutex  one writer of MANIFEST at a time
 *   read_ahead.mutex  a look at whether the data fits into memory
 *   segments.mutex  the table of segments
 *   work_mutex      what the background has to do
 *   undo.mutex      old places and snapshots
 *   gate.mutex      pause, cancel and budget of merges; merge_mutex is only tried for meanwhile
 * Readers take none of them.
 *
 * Invariants are numbered in docs/DURABILITY.md. */
#ifndef ENGINE_STORE_H
#define ENGINE_STORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "engine/epoch.h"
#include "engine/events.h"
#include "engine/keydir.h"
#include "engine/merge_gate.h"
#include "engine/merge_window.h"
#include "engine/published.h"
#include "engine/quota.h"
#include "engine/segments.h"
#include "engine/sync_mark.h"
#include "engine/undo.h"
#include "engine/write_mutex.h"
#include "os/os.h"
#include "os/wait.h"

/* Options after their defaults are applied and their bounds checked. */
struct store_options {
    bool create, error_if_exists, read_only, follow, verify_reads;
    bitcask_sync sync; /* never DEFAULT */
    uint64_t sync_interval_ms;
    bitcask_background background;
    uint64_t segment_size;
    uint64_t segment_max_records; /* 0: no limit */
    uint64_t expected_keys;
    bool index_snapshot;
    uint64_t index_snapshot_bytes;
    bool merge;           /* by the scheduler's thread */
    double merge_trigger; /* share of dead bytes */
    uint64_t merge_bytes_per_s, merge_delay_ms;
    struct merge_window merge_window;
    uint64_t scrub_bytes_per_s; /* 0: no scrubbing */
    bitcask_read_ahead read_ahead;
    uint64_t tombstone_min_age_ms;
    uint64_t max_disk_bytes, max_index_bytes; /* 0: no limit */
    bitcask_eviction eviction;
};

enum { LOG_ROLLED_MAX = 32 };

/* The end of the log. Guarded by write_mutex, but for what is atomic. */
struct log_writer {
    _Atomic(struct segment *) active; /* NULL until the first write */
    struct segment *next;  /* prepared, named in the manifest, empty; or NULL. By prepare_mutex */
    _Atomic bool has_next; /* the same as a hint */
    bool dirty;            /* the manifest on disk says that the store is being written to */
    bool mapped_writes;    /* the file system keeps the promise of allocation */
    uint64_t end;          /* where the next record goes, buffered ones counted */
    uint64_t allocated;    /* of the active file: records may go below */
    uint64_t plain_end;    /* records that end below need no look at space; see log_is_plain */
    uint64_t noted_sync;   /* the last SYNC record says durable below this offset */
    uint64_t follows_segment, follows_version; /* for the FOLLOWS record of a fresh segment; 0 */
    _Atomic uint64_t last_version;             /* given; changes under write_mutex only */
    uint8_t *buffer;                           /* records of a group that goes by pwrite */
    size_t buffer_capacity, buffer_size;
    uint64_t buffer_offset; /* where the buffer's bytes go */
    uint64_t written;       /* of the active file: space below is known to be more than allocated */
    uint32_t synced_alone;  /* groups in a row that were durable with nothing to sync before */
    uint64_t dirty_end;     /* bytes may have been written up to here by a call that failed */
    struct segment_figures figures;     /* of the active segment; rolling: by log_figures only */
    uint8_t rolled[LOG_ROLLED_MAX * 4]; /* checksums of records that it has not run over yet, */
    uint32_t rolled_count;              /* so many */
    uint64_t last_sync_us;              /* boot clock; for background none */
    uint64_t now_us; /* wall time when room was made: one look at the clock does for a request */
};

/* Those who wait for others to write for them: engine/write_queue.h. Guarded by write_mutex but for
 * what is atomic. */
struct write_gather {
    _Atomic uint32_t length;    /* requests on the queue, about */
    _Atomic uint32_t takes;     /* how often the queue has been taken; changes under write_mutex */
    _Atomic uint32_t served[2]; /* counts; whose turn comes sleeps on one, on the other whose comes
                                   after it */
    uint32_t writers;           /* served by the last such group, or on the queue at its end */
    uint32_t passed, skip; /* it was of no use: so many groups are not waited for; of these left */
    uint64_t sync_us;      /* what the last such group took */
};

struct store_counters {
    _Atomic uint64_t puts, deletes, bytes_written, syncs, sync_failures, merges, merge_us,
        merge_bytes_written, merge_bytes_reclaimed, rotations, seals, quarantined_bytes,
        corrupt_records, missing_segments, scrubbed_bytes, scrub_passes, scrub_findings,
        last_scrub_us;
    _Atomic uint64_t filter_lookups, filter_spared, expired_segments_dropped, evicted_keys,
        evicted_bytes;
};

/* The thread that faults pages in ahead of the writers: engine/log_ahead.h. */
struct log_ahead {
    pthread_t thread;
    pthread_cond_t cond;        /* with work_mutex */
    bool running, failed;       /* the head's */
    _Atomic bool wanted, large; /* large: what was chosen last */
    /* the thread's: end of the log, counters.syncs and boot clock when it last looked, at first
     * when the store was opened */
    uint64_t end, syncs, looked_us;
    bool slow;                    /* little was written for the time since the look before */
    uint64_t moved_end, moved_us; /* end of the log and clock when it had last moved on by a step */
    _Atomic int head;             /* the processor that ran the head when it looked */
    _Atomic bool looking;         /* the thread wakes up by itself */
};

/* The image of the index on disk, engine/index_image.h. Written by whoever holds merge_mutex. */
struct index_state {
    _Atomic uint32_t origin;         /* bitcask_index_origin: what it was opened from */
    _Atomic uint64_t image_bytes;    /* of the file, if it is good for the next opening; else 0 */
    _Atomic uint64_t image_time_us;  /* when it was made, wall time */
    _Atomic uint64_t covered_bytes;  /* of the log */
    _Atomic uint64_t removals;       /* segments.removals when it was made or opened */
    _Atomic uint64_t work_done;      /* bytes appended and merged when it was last written */
    _Atomic uint64_t images_written; /* since open */
    _Atomic bool writing;            /* one is being made: merge_mutex is held, not for long */
    _Atomic bool opening;            /* no part can be rebuilt yet: the whole is refused instead */
};

/* Whether the data fits into memory, engine/read_ahead.h. */
struct read_ahead {
    pthread_mutex_t mutex;
    uint64_t bytes; /* of all segments, when memory was last looked at */
};

struct store {
    struct os *os;
    struct store_options options;
    struct events events;
    struct epoch epoch;
    struct segments segments;
    _Atomic(struct keydir *) keydir; /* what writers change */
    _Atomic(struct keydir *) shown;  /* what readers look into: the same, but while a follower loads
                                        another (engine/follow_load.c) */
    struct undo undo;
    struct hash_secret secret;
    struct os_lock *lock;
    const volatile unsigned char *fork_guard; /* or NULL */

    uint8_t fork_id[STORE_ID_SIZE];
    _Atomic uint64_t version_ceiling; /* in the durable manifest; guarded by manifest_mutex */
    bool manifest_clean;              /* what the manifest on disk says; by manifest_mutex */
    bool opened_clean;
    uint64_t recovery_us;
    uint64_t opened_real_us, opened_boot_us; /* clocks at open: merge judges expiry by both */

    pthread_mutex_t merge_mutex, seal_mutex, sync_mutex, prepare_mutex, manifest_mutex, work_mutex;
    struct write_mutex write_mutex;
    _Atomic(struct write_request *) queue; /* engine/group.h: a stack, newest first */
    struct write_gather gather;
    struct log_writer writer;
    struct published published;
    struct sync_mark sync_mark;
    struct follow *follow;    /* NULL: this is no follower */
    _Atomic int write_status; /* 0, or the sticky status with which writes are refused */
    char write_reason[160];   /* set before write_status */

    /* Background; guarded by work_mutex but for the atomics. */
    pthread_t thread;
    pthread_cond_t work_cond, done_cond;
    bool thread_running;
    _Atomic bool stopping;
    _Atomic uint32_t work;          /* enum store_work bits */
    _Atomic uint32_t sealing_count; /* segments waiting to be sealed */
    _Atomic bool hints_missing;     /* recovery has left some to be made: engine/rehint.h */
    uint64_t hints_made;            /* up to this id; the thread's, or of who closes */
    _Atomic bool reserve_held;      /* engine/reserve.h */
    _Atomic uint64_t reserve_bytes; /* its size; 0 when given up */
    _Atomic bool reserve_spent; /* it was given up because the disk is full, and is not back yet */

    struct log_ahead ahead;
    struct index_state index;
    struct merge_gate gate;
    struct merge_schedule *schedule; /* NULL: none */

    struct read_ahead read_ahead;
    struct scrub *scrub; /* engine/scrub.h; NULL: none */
    struct quota quota;
    struct store_counters counters;
    void (*release_os)(struct os *os); /* the os is this store's own; set after store_open */
};

enum store_work {
    WORK_SEAL = 1,    /* a segment is SEALING */
    WORK_PREPARE = 2, /* the segment that comes next */
    WORK_RETAG = 4,
    WORK_CEILING = 8, /* the version ceiling is near */
    WORK_SYNC = 16,   /* there is something to sync within the interval */
    WORK_IMAGE = 32,  /* it may be time to write the index's image */
    WORK_QUOTA = 128, /* little is left below max_disk_bytes */
    WORK_FETCH = 64,  /* shards of the index's image have not been looked at yet */
    WORK_HINTS = 512, /* sealed segments have no hint yet */
    WORK_BURY = 256,  /* segments that nobody holds any more want to be unmapped */
};

/* Open, close, throw away. `os` is the seam; everything else as bitcask_open. store_abandon leaves
 * the files as they are, as if the process had been killed (for tests); store_close is
 * bitcask_close. */
bitcask_status store_open(struct os *os, const char *directory, const bitcask_options *options,
                          struct store **store, bitcask_error *error);
bitcask_status store_close(struct store *store, bitcask_error *error);
void store_abandon(struct store *store);

/* Make a directory, durably: its name is so only once the directory it is in has been synced. 0 or
 * -errno; *made says whether it is there now and was not before. */
int store_make_directory(struct os *os, const char *path, bool *made);

/* Write the manifest as the tables say now: temporary file, sync, rename, directory sync. `clean`
 * is what it says of itself. On failure the one on disk is either the old or the new one.
 * Takes manifest_mutex and segments.mutex. Invariant D3. */
bitcask_status store_save_manifest(struct store *store, bool clean, bitcask_error *error);

/* The same with another version ceiling, which holds once this has returned OK. The ceiling never
 * falls but in a clean manifest. */
bitcask_status store_save_manifest_with(struct store *store, bool clean, uint64_t ceiling,
                                        bitcask_error *error);

/* Refuse writes from now on. Keeps the first reason. */
void store_poison(struct store *store, bitcask_status status, const char *reason);

/* The status with which writes are refused, and its message; OK if they are not. */
bitcask_status store_writable(struct store *store, bitcask_error *error);

/* For an index of the store's records. */
struct keydir_options store_keydir_options(struct store *store);

#endif
