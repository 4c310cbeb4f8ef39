/* SPDX-License-Identifier: MIT
 * manifest.h: the list of a store's segments, as JSON that a person can read.
 * Format: docs/FORMAT.md, section 4.
 *
 * The text ends with a member "crc32" over all bytes before it, so a torn or edited manifest is
 * told from a good one; the store is then rebuilt from its data files.
 * Pure functions; threads: safe. */
#ifndef FORMAT_MANIFEST_H
#define FORMAT_MANIFEST_H

#include "format/format.h"

enum manifest_state {
    MANIFEST_ACTIVE = 0,  /* being appended to, or next in line */
    MANIFEST_SEALING = 1, /* full; not yet known to be durable */
    MANIFEST_SEALED = 2,  /* durable to `length`; never changes again */
};

struct manifest_segment {
    uint64_t id;
    enum manifest_state state;
    bool merge;   /* an output of a merge, else a log segment */
    bool damaged; /* recovery met records that fail their checksum */
    uint64_t salt;
    uint64_t length;  /* logical: valid if sealed, or if the manifest is clean; else 0 */
    uint64_t durable; /* of a log segment whose length does not hold: as much of it was durable when
                         the manifest was written; printed only if it is not 0 */
    uint64_t records, tombstones; /* of all records below length */
    uint64_t version_min, version_max;
    uint64_t expires_min, expires_max;
    uint64_t expiring; /* records that expire; 0 as well if it is not known */
    uint32_t rolling;  /* rolling checksum, ties the hint to the segment */
    uint64_t created_us, sealed_us, synced_us;
};

struct manifest {
    uint32_t format;
    uint8_t store_id[STORE_ID_SIZE];
    uint8_t fork_id[STORE_ID_SIZE];
    uint8_t seed[SEED_SIZE];
    uint64_t next_id;         /* no segment of this id or above has ever been made */
    uint64_t version_ceiling; /* no version above it has ever been given */
    bool backup;        /* made by a backup and never opened for writing; printed only if true */
    uint64_t log_floor; /* no log record above this version has been in a segment that
                           was merged away; optional, 0: not there */
    bool clean;         /* closed in order: every segment's length holds */
    struct manifest_segment *segments; /* by ascending id; malloc'd */
    size_t segment_count;
};

/* Print. *text is malloc'd and the caller's, *size without a terminating zero.
 * Returns OK or NO_MEMORY. */
bitcask_status manifest_encode(const struct manifest *manifest, char **text, size_t *size);

/* Parse untrusted bytes. On OK the caller releases with manifest_release.
 * Returns OK; CORRUPT with *why (may be NULL) for anything malformed, a wrong checksum, ids out of
 * order or bounds, more than BITCASK_MAX_SEGMENTS segments, numbers that overflow; FORMAT for a
 * good one of a newer format (manifest->format is set, the rest is not to be released);
 * NO_MEMORY. Unknown members are ignored, so that a later minor version may add some. */
bitcask_status manifest_decode(slice text, struct manifest *manifest, const char **why);

/* The log floor, also of a manifest without one: whatever a merge has copied may have been in it.
 */
uint64_t manifest_log_floor(const struct manifest *manifest);

void manifest_release(struct manifest *manifest);

#endif
