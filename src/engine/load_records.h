/* SPDX-License-Identifier: MIT
 * load_records.h: records of the log that have no hint, ready to be loaded into the index.
 *
 * What was not sealed when a process died is scanned, and then wants little of what a hint has: no
 * keys beside it, no order within a hash, no checksums; all of that stands in the records, which
 * have just been checked. So of each record 16 bytes are kept, dealt out by the first bits of their
 * hashes into buckets small enough to be picked from for each shard of the index (engine/load.c).
 */
#ifndef ENGINE_LOAD_RECORDS_H
#define ENGINE_LOAD_RECORDS_H

#include "engine/segment.h"
#include "format/record.h"

struct load_record {
    uint64_t hash;
    uint32_t offset;
    uint32_t size; /* of the record; and LOAD_RECORD_TOMBSTONE */
};
_Static_assert(sizeof(struct load_record) == 16, "two million of them for a full segment");

#define LOAD_RECORD_TOMBSTONE (UINT32_C(1) << 31)

struct load_records {
    struct os *os; /* NULL: none */
    struct load_record *records;
    size_t count, capacity;
    uint32_t *starts; /* of the buckets, and where the last one ends; NULL: not dealt yet */
    unsigned bits;    /* of a hash, for its bucket */
};

void load_records_init(struct load_records *records, struct os *os);
void load_records_release(struct load_records *records);

/* Make room for as many at once, if there is memory; it grows as needed anyway. */
void load_records_reserve(struct load_records *records, size_t count);

/* Note a record of a key, good, of the segment. False: no memory. */
bool load_records_add(struct load_records *records, uint64_t hash, uint64_t offset,
                      const struct record_shape *shape);

/* All are there: deal them out. Of a key that has been written very often in a row of records only
 * the newest stay. False: no memory. Cost: 10 ns a record. */
bool load_records_deal(struct load_records *records, const struct segment *segment);

/* The records among which those with hashes from `first` to `last` are. */
struct load_record_range {
    const struct load_record *from, *end;
};
struct load_record_range load_records_between(const struct load_records *records, uint64_t first,
                                              uint64_t last);

/* What a record says itself. False: no longer what it was when it was scanned, though the segment
 * has changed for nobody: the device has answered otherwise. */
static inline bool load_record_shape(const struct load_record *record,
                                     const struct segment *segment, struct record_shape *shape)
{
    uint64_t size = record->size & ~LOAD_RECORD_TOMBSTONE;
    return record_parse(slice_of(segment->map + record->offset, size), shape, NULL) == BITCASK_OK;
}

#endif
