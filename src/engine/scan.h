/* SPDX-License-Identifier: MIT
 * scan.h: walk the records of a segment that nobody vouches for, and say where they end.
 *
 * A record is good if it parses and its checksum holds. Behind a bad one the walk goes on at the
 * next good record it can find: candidates are bounded by flags, sizes and version range before any
 * checksum is computed, within a work limit. What the scan finds is a list of extents of good
 * records and of holes between them, and the watermark: the largest offset of this segment that a
 * SYNC record (in this segment or a later one) says is durable.
 *
 * A hole below the watermark is damage (reported, skipped, the rest kept). At the first hole above
 * it the log is cut. A cut never falls inside a batch. Zeros to the end of the file are no hole.
 * Reads bytes only. */
#ifndef ENGINE_SCAN_H
#define ENGINE_SCAN_H

#include "engine/hint_file.h"

struct scan_hole {
    uint64_t offset, end; /* [offset, end) holds no good record */
    const char *why;      /* static phrase */
};

struct scan_options {
    uint64_t salt;
    uint64_t segment_id;
    uint64_t version_limit; /* no record can have a higher version; VERSION_MAX if unknown */
    uint64_t vouched;       /* known to be durable below this offset (clean or sealed length) */
};

struct scan_result {
    uint64_t end;        /* of the last good record */
    uint64_t data_end;   /* behind the last byte that is not zero */
    uint64_t watermark;  /* durable below, as far as this segment says; at least vouched */
    uint64_t last_version; /* highest seen; 0 */
    uint64_t sync_segment, sync_offset; /* the furthest SYNC of an earlier segment seen; or 0 */
    struct scan_hole *holes;
    size_t hole_count;
    bool has_seal;       /* ends in a good SEAL record, and that ends the file's data */
    uint64_t seal_offset;
    bool gave_up;        /* the search for records behind a hole met its work limit */
};

/* Called for each good record, in order. Nonzero stops the scan. */
typedef int (*scan_record_fn)(void *context, uint64_t offset, const uint8_t *bytes,
                              const struct record_shape *shape);

/* Scan `bytes` (from the start of the file, header included) from SEGMENT_HEADER_SIZE on.
 * Returns OK, CANCELLED if a callback stopped it, or NO_MEMORY. Release with scan_release. */
bitcask_status scan_segment(slice bytes, const struct scan_options *options, scan_record_fn each,
                            void *context, struct scan_result *result);
void scan_release(struct scan_result *result);

#endif
