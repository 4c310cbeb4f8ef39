/* SPDX-License-Identifier: MIT
 * load_records.c: see load_records.h. */
#include "engine/load_records.h"

#include <stdlib.h>

#include "base/check.h"
#include "os/os.h"

enum {
    FIRST_CAPACITY = 1024,
    BUCKET_RECORDS = 16, /* on average */
    BUCKET_LARGE = 128,  /* by no chance: some keys have been written again and again */
    BITS_MAX = 20,
};

_Static_assert(RECORD_HEADER_SIZE + RECORD_EXPIRY_SIZE + BITCASK_MAX_KEY_SIZE +
                       (uint64_t)BITCASK_MAX_VALUE_SIZE <
                   LOAD_RECORD_TOMBSTONE,
               "the largest record's size leaves the highest bit free");

void load_records_init(struct load_records *records, struct os *os)
{
    *records = (struct load_records){.os = os};
}

static void free_records(struct os *os, struct load_record *records, size_t capacity)
{
    if (records != NULL)
        os->free(os, records, capacity * sizeof *records);
}

void load_records_release(struct load_records *records)
{
    free_records(records->os, records->records, records->capacity);
    free(records->starts);
    *records = (struct load_records){0};
}

static struct load_record *alloc_records(struct os *os, size_t count)
{
    return os->alloc(os, count * sizeof(struct load_record), _Alignof(struct load_record));
}

static bool grow_to(struct load_records *records, size_t capacity)
{
    struct load_record *grown = alloc_records(records->os, capacity);
    if (grown == NULL)
        return false;
    if (records->count > 0)
        memcpy(grown, records->records, records->count * sizeof *grown);
    free_records(records->os, records->records, records->capacity);
    records->records = grown;
    records->capacity = capacity;
    return true;
}

void load_records_reserve(struct load_records *records, size_t count)
{
    if (count > FIRST_CAPACITY && count > records->capacity)
        (void)grow_to(records, count);
}

bool load_records_add(struct load_records *records, uint64_t hash, uint64_t offset,
                      const struct record_shape *shape)
{
    CHECK(records->starts == NULL && offset <= UINT32_MAX && !(shape->flags & RECORD_META));
    if (UNLIKELY(records->count == records->capacity) &&
        !grow_to(records, records->capacity == 0 ? FIRST_CAPACITY : 2 * records->capacity))
        return false;
    bool tombstone = (shape->flags & RECORD_TOMBSTONE) != 0;
    records->records[records->count++] = (struct load_record){
        .hash = hash,
        .offset = (uint32_t)offset,
        .size = (uint32_t)shape->size | (tombstone ? LOAD_RECORD_TOMBSTONE : 0),
    };
    return true;
}

/* ---- Dealing --------------------------------------------------------------------------------- */

static size_t bucket_of(uint64_t hash, unsigned bits)
{
    return (size_t)(hash >> (64 - bits));
}

static int by_hash_and_offset(const void *a, const void *b)
{
    const struct load_record *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool same_key(const struct segment *segment, const struct load_record *a,
                     const struct load_record *b)
{
    struct record_shape x, y;
    return load_record_shape(a, segment, &x) && load_record_shape(b, segment, &y) &&
           x.key_size == y.key_size &&
           memcmp(segment->map + a->offset + x.header_size,
                  segment->map + b->offset + y.header_size, x.key_size) == 0;
}

/* Of each key the last record: in a segment of the log versions rise. Returns how many are left. */
static size_t keep_newest(const struct segment *segment, struct load_record *records, size_t count)
{
    qsort(records, count, sizeof *records, by_hash_and_offset);
    size_t kept = 0, run = 0; /* where the records of one hash begin, of those kept */
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && records[kept - 1].hash != records[i].hash)
            run = kept;
        size_t k = run;
        while (k < kept && !same_key(segment, &records[k], &records[i]))
            k++;
        records[k] = records[i];
        kept += k == kept;
    }
    return kept;
}

static void thin_out(struct load_records *records, const struct segment *segment)
{
    const size_t buckets = (size_t)1 << records->bits;
    uint32_t to = 0;
    for (size_t i = 0; i < buckets; i++) {
        uint32_t from = records->starts[i];
        size_t count = records->starts[i + 1] - from;
        if (UNLIKELY(count > BUCKET_LARGE))
            count = keep_newest(segment, records->records + from, count);
        if (UNLIKELY(to != from))
            memmove(records->records + to, records->records + from,
                    count * sizeof *records->records);
        records->starts[i] = to;
        to += (uint32_t)count;
    }
    records->starts[buckets] = to;
    records->count = to;
}

bool load_records_deal(struct load_records *records, const struct segment *segment)
{
    const size_t count = records->count;
    unsigned bits = 1;
    while (bits < BITS_MAX && count >> bits > BUCKET_RECORDS)
        bits++;
    const size_t buckets = (size_t)1 << bits;
    uint32_t *starts = calloc(buckets + 1, sizeof *starts);
    struct load_record *dealt = alloc_records(records->os, count + 1);
    if (starts == NULL || dealt == NULL) {
        free(starts);
        free_records(records->os, dealt, count + 1);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        starts[bucket_of(records->records[i].hash, bits)]++;
    uint32_t end = 0;
    for (size_t i = 0; i <= buckets; i++) { /* of each bucket, to be filled from its end */
        end += starts[i];
        starts[i] = end;
    }
    for (size_t i = count; i-- > 0;)
        dealt[--starts[bucket_of(records->records[i].hash, bits)]] = records->records[i];
    free_records(records->os, records->records, records->capacity);
    records->records = dealt;
    records->capacity = count + 1;
    records->starts = starts;
    records->bits = bits;
    thin_out(records, segment);
    return true;
}

struct load_record_range load_records_between(const struct load_records *records, uint64_t first,
                                              uint64_t last)
{
    const uint32_t *starts = records->starts;
    return (struct load_record_range){
        .from = records->records + starts[bucket_of(first, records->bits)],
        .end = records->records + starts[bucket_of(last, records->bits) + 1],
    };
}
