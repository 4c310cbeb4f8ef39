/* SPDX-License-Identifier: MIT
 * scan.h: walk the records of a segment that nobody vouches for, and say where they end.
 *
 * A record is good if it parses and its checksum holds. Behind a bad one the walk goes on at the
 * next good record it can find: candidates are bounded by flags, sizes and version range before any
 * checksum is computed, within a work limit. What the scan finds is the good records, the holes
 * between them, and the watermark: the largest offset of this segment that a SYNC record in it says
 * is durable (one in a later segment may say more: engine/log_tail.h).
 *
 * A hole below the watermark is damage (reported, skipped, the rest kept). At the first hole above
 * it the log is cut. A cut never falls inside a batch. Zeros to the end of the file are no hole.
 * Pure functions over bytes; threads: safe. */
#ifndef ENGINE_SCAN_H
#define ENGINE_SCAN_H

#include "format/record.h"
#include "format/segment_header.h"

struct scan_hole {
    uint64_t offset, end; /* [offset, end) holds no good record; empty: a batch without an end */
    uint64_t cut;         /* where to cut if it is cut here: before the batch it interrupts */
    uint64_t cut_records; /* good records of keys below `cut` */
    uint64_t cut_version; /* the highest version below `cut` */
    uint64_t before;      /* the highest version below `offset` */
    uint64_t behind;      /* the version of the first good record of a key behind it; 0: none */
    const char *why;      /* static phrase */
};

struct scan_options {
    uint64_t salt;
    uint64_t segment_id;
    uint64_t from;          /* begin at this offset (engine/scan_parts.h); 0: behind the header */
    uint64_t version_limit; /* no record found behind a hole has a higher one; VERSION_MAX */
    uint64_t vouched;       /* known to be durable below this offset (clean or sealed length) */
    uint64_t zeros_from;    /* from here on all is zero and need not be looked at; 0: unknown */
    uint64_t work_limit;    /* bytes to checksum in vain behind holes; 0: 16 times the segment */
    bool ordered;           /* a log segment, where versions rise: one that does not is a stale
                               record. Merge outputs are not ordered */
};

struct scan_result {
    uint64_t end;          /* behind the last good record; a final SEAL does not count */
    uint64_t data_end;     /* behind the last byte that is not zero, or behind the last record */
    uint64_t watermark;    /* durable below, as far as this segment says; at least vouched */
    uint64_t records;      /* good ones of keys */
    uint64_t last_version; /* highest seen in a record of a key; 0 */
    uint64_t sync_segment, sync_offset; /* the furthest SYNC of an earlier segment seen; or 0 */
    bool continues; /* the first record is a FOLLOWS: it tells where the log stood before it: */
    uint64_t continues_segment, continues_version; /* last segment, version of its last record */
    struct scan_hole *holes;
    size_t hole_count, hole_capacity;
    bool has_seal; /* ends in a good SEAL record, and that ends the file's data */
    uint64_t seal_offset;
    bool gave_up; /* the search for records behind a hole met its work limit */
};

/* Called for each good record, in order, META ones too. Nonzero stops the scan. */
typedef int (*scan_record_fn)(void *context, uint64_t offset, const uint8_t *bytes,
                              const struct record_shape *shape);

/* Scan `bytes` (from the start of the file, header included) from SEGMENT_HEADER_SIZE on.
 *   each    or NULL
 *   result  set in any case; release with scan_release
 * Returns OK, CANCELLED if a callback stopped it, or NO_MEMORY. Cost: about the checksum of all
 * bytes; 1 ns a byte inside holes. */
bitcask_status scan_segment(slice bytes, const struct scan_options *options, scan_record_fn each,
                            void *context, struct scan_result *result);
void scan_release(struct scan_result *result);

/* The bytes without the zeros at their end that are known of. */
static inline slice scan_looked_at(slice bytes, const struct scan_options *options)
{
    bool shorter = options->zeros_from != 0 && options->zeros_from < bytes.size;
    return slice_of(bytes.data, shorter ? (size_t)options->zeros_from : bytes.size);
}

#endif
