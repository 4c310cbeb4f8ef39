/* SPDX-License-Identifier: MIT
 * recovery_internal.h: what the parts of recovery share.
 *
 *     recovery.c        the order of things: manifest, segments, what is written at the end
 *     recover_sync.c    unsealed segments after an unclean stop become durable,
 *     recover_log.c     and end where the log does
 *     recover_parts.c   large ones read by several threads
 *     recover_hints.c   a good hint for every segment, from disk or built
 *     recover_image.c   the index from its image
 *     tidy.c            files that nobody names */
#ifndef ENGINE_RECOVERY_INTERNAL_H
#define ENGINE_RECOVERY_INTERNAL_H

#include "engine/hint_file.h"
#include "engine/index_image.h"
#include "engine/inventory.h"
#include "engine/load_records.h"
#include "engine/log_tail.h"
#include "engine/scan_parts.h"
#include "engine/store.h"
#include "engine/sync_mark.h"

/* A stretch of an unsealed segment, scanned by itself. */
struct recovered_part {
    struct recovered *of;
    struct scan_cut cut; /* where it begins; offset 0: behind the header */
    uint64_t end;        /* where the next one does, or UINT64_MAX */
    uint64_t vouched;
    struct scan_result scan;
    struct segment_figures figures;
    uint64_t rolled; /* records that their rolling checksum has run over */
    struct load_records records;
    bitcask_status status;
};

/* A segment that the manifest names. */
struct recovered {
    struct segment *segment; /* in by_id, but for a dropped one */
    bool unsealed;           /* after an unclean stop: the log may end in it */
    uint64_t zeros_from;     /* then: its file says that there is nothing behind; or 0 */
    bool dropped;            /* holds no record: goes when the manifest does not name it */
    bool fresh;              /* `hint` was built: to be written */
    const char *hint_fault;  /* why it had to be built */
    struct scan_result scan; /* if it was scanned */
    struct hint_builder builder;
    struct recovered_part
        *parts; /* if it was scanned so, with records instead of `hint`; or NULL */
    size_t part_count;
    struct hint_file hint; /* memory NULL: none */
    struct hint_file tail; /* of the records behind `hint`, where that covers less; or none */
    bool scanned;          /* for want of a hint, just now */
    bool covered;          /* the image of the index tells of it: */
    struct image_segment image;
    uint64_t file_end;     /* cut the file there; 0: leave it */
    bitcask_status status; /* of the work on it that was done in parallel */
    bitcask_error error;
};

/* Files of unsealed segments, open, to be synced while they are read. */
struct recover_sync {
    struct os *os;
    struct sync_doubt doubt;
    bool asked; /* whether there is any */
    struct unsynced {
        struct os_file *file;
        uint64_t id;
    } * files;
    size_t count, capacity;
    pthread_t thread;
    bool running;
    int result; /* of the sync of files[at], the first that has failed */
    size_t at;
};

struct recovery {
    struct store *store;
    struct manifest manifest;
    struct inventory inventory;
    struct id_list superseded; /* with a rebuilt manifest: inputs of finished merges */
    struct recovered *segments;
    size_t count;
    bool rebuilt;
    bool clean;     /* the manifest vouches for every length */
    bool may_write; /* neither read-only nor out of disk space */
    bool changed;   /* the manifest on disk is out of date */
    uint64_t last_version;
    struct recover_sync sync;
    struct index_image *image; /* of the index, good so far; or NULL */
    bool used_image;
    uint64_t replayed; /* records of the log behind it */
};

/* A write has failed: on a full disk the store goes on without writing (OK), else the status. */
bitcask_status recovery_cannot_write(struct recovery *recovery, bitcask_status status,
                                     const bitcask_error *error);

/* Note and tell that records of a segment are damaged. */
void recovery_damage(struct recovery *recovery, struct segment *segment, uint64_t offset,
                     uint64_t bytes, const char *why);

/* The bytes of a segment that can be read, up to `length`. */
slice recovered_bytes(const struct recovered *recovered, uint64_t length);

/* Scan [0, length) of a segment and collect its records for a hint, the keys of damaged ones
 * included where they can still be told. */
bitcask_status recovered_scan(const struct recovery *recovery, struct recovered *recovered,
                              uint64_t length, uint64_t vouched, bitcask_error *error);

/* Make what was found by the scan the hint and the figures of the segment. */
bitcask_status recovered_finish(struct recovered *recovered, uint64_t length, bitcask_error *error);

/* recover_sync.c: before an unsealed file is mapped: it will be synced; if it is in doubt it has
 * been, and its cached pages dropped. *zeros_from: see struct recovered. */
bitcask_status recover_sync_file(struct recovery *recovery, uint64_t id, uint64_t *zeros_from,
                                 bitcask_error *error);
/* All are mapped: sync them, meanwhile if there may be threads. */
void recover_sync_begin(struct recovery *recovery);
/* They have been, or one could not be. */
bitcask_status recover_sync_end(struct recovery *recovery, bitcask_error *error);
void recover_sync_release(struct recovery *recovery);

/* Find the end of the log, cut it there, close all its segments. */
bitcask_status recover_log(struct recovery *recovery, bitcask_error *error);

/* recover_parts.c: scan unsealed segments, those that are worth it in parts, on several threads.
 * Those that have been so have `parts`, with records, and `scan` and the figures of all parts
 * together in parts[0].figures; the others have none, and are to be scanned as a whole. */
bitcask_status recover_parts(struct recovery *recovery, bitcask_error *error);
void recovered_release_parts(struct recovered *recovered);

/* What a hint on disk or the manifest vouches for. */
uint64_t recovered_vouched(const struct recovery *recovery, const struct recovered *recovered);

/* How a scan of the segment is to be done. */
struct scan_options recovered_scan_options(const struct recovery *recovery,
                                           const struct recovered *recovered, uint64_t vouched);

/* recover_hints.c: hints for all, then the index from them. */
bitcask_status recover_hints(struct recovery *recovery, bitcask_error *error);
bitcask_status recover_index(struct recovery *recovery, bitcask_error *error);
void recover_write_hints(struct recovery *recovery);

/* The keydir, new and empty. */
bitcask_status recovery_make_keydir(struct store *store, bitcask_error *error);

/* recover_image.c: open the image and match it with what is there. OK: recovery->image is set, and
 * segments are `covered`. Else it is to be done without (an event tells why), or NO_MEMORY. */
bitcask_status recover_image_open(struct recovery *recovery);
/* Let the keydir have it and apply the log behind it. Without an image, or if it turns out to be no
 * good, *used is false and the keydir new and empty: OK all the same. */
bitcask_status recover_image_use(struct recovery *recovery, bool *used, bitcask_error *error);

/* tidy.c: the manifest on disk says what the table says; remove or put aside what it does not name.
 * `saved`: it has just been written, durably. */
void recovery_tidy(struct recovery *recovery, bool saved);

#endif
