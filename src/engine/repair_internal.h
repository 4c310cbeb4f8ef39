/* SPDX-License-Identifier: MIT
 * repair_internal.h: what the parts of a repair share.
 *
 *     repair.c           the course
 *     repair_examine.c   what is wrong, what is gone, what shows instead
 *     repair_rewrite.c   a segment without what is bad in it */
#ifndef ENGINE_REPAIR_INTERNAL_H
#define ENGINE_REPAIR_INTERNAL_H

#include "engine/hint_file.h"
#include "engine/repair.h"
#include "engine/scan.h"

/* A deletion that is gone from the data, and known from the hint. */
struct repair_deletion {
    uint64_t version;
    slice key; /* borrows from the segment's hint */
};

struct repair_segment {
    struct segment *segment; /* pinned */
    uint64_t end;
    bool damaged;          /* when the store was opened, before it was examined */
    bool rewrite;          /* its data file is not as it should be, or not there */
    bool rehint;           /* its hint is not */
    bool trusted;          /* `hint` is of the records as they were before the damage */
    struct hint_file hint; /* from disk; of a sound segment without one, built */
    struct hint_file left; /* of the good records of one to be rewritten */
    struct scan_result scan;
    struct repair_deletion *deletions;
    size_t deletion_count, deletion_capacity;
};

struct repair {
    struct store *store;
    const bitcask_repair_options *options;
    struct repair_segment *segments; /* by ascending id */
    size_t count;
    bool image_is_bad; /* the index snapshot: a cache, which goes */
    bitcask_repair_result result;
};

/* The records of a segment that can be read; holes are those between them, up to its end. `each`
 * may be NULL. */
bitcask_status repair_scan(const struct repair_segment *item, scan_record_fn each, void *context,
                           struct scan_result *scan);

/* Check all files; find what is to be done, and tell what is lost. Changes nothing. */
bitcask_status repair_examine(struct repair *repair, bitcask_error *error);

/* Replace a segment by one of its good records, and remembered deletions. */
bitcask_status repair_rewrite(struct repair *repair, struct repair_segment *item,
                              bitcask_error *error);

#endif
