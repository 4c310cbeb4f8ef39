/* SPDX-License-Identifier: MIT
 * segment_fixture.h: segments built record by record in memory, for what reads them in place. */
#ifndef SUPPORT_SEGMENT_FIXTURE_H
#define SUPPORT_SEGMENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/hint_file.h"
#include "os/os_mem.h"

/* A table of segments without files, and what hashes their keys. */
struct table_fixture {
    struct os *os;
    struct epoch epoch;
    struct segments table;
    struct hash_secret secret;
};

static inline struct table_fixture *table_new(void)
{
    struct table_fixture *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    assert_non_null(t);
    memset(t, 0, sizeof *t);
    t->os = os_mem_new(&(struct os_mem_options){.durable_images = true, .seed = 3});
    assert_int_equal(t->os->make_dir(t->os, "store"), 0);
    epoch_init(&t->epoch);
    assert_int_equal(segments_init(&t->table, t->os, &t->epoch, "store", NULL), BITCASK_OK);
    memset(t->table.store_id, 0xab, STORE_ID_SIZE);
    hash_secret_init(&t->secret, t->table.seed);
    return t;
}

static inline void table_free(struct table_fixture *t)
{
    segments_release(&t->table);
    epoch_release(&t->epoch);
    os_mem_free(t->os);
    free(t);
}

struct made_segment {
    struct segment segment;
    uint8_t *bytes;
    size_t capacity;
};

static inline void segment_start(struct made_segment *made, struct table_fixture *t, uint64_t id,
                                 size_t capacity)
{
    memset(made, 0, sizeof *made);
    made->capacity = capacity;
    made->bytes = calloc(1, capacity);
    assert_non_null(made->bytes);
    struct segment *segment = &made->segment;
    segment->os = t->os;
    segment->table = &t->table;
    segment->id = id;
    segment->slot = (uint32_t)id;
    segment->kind = SEGMENT_LOG;
    segment->salt = id * 0x9e3779b97f4a7c15u;
    segment->map = made->bytes;
    segment->map_size = capacity;
    atomic_store(&segment->suspect, UINT64_MAX);
    atomic_store(&segment->end, SEGMENT_HEADER_SIZE);
    atomic_store(&segment->readable, SEGMENT_HEADER_SIZE);
    atomic_store(&segment->state, BITCASK_SEGMENT_SEALED);
}

static inline void segment_end(struct made_segment *made)
{
    free(made->bytes);
}

static inline uint64_t segment_append(struct made_segment *made, const struct record *record)
{
    struct segment *segment = &made->segment;
    uint64_t offset = atomic_load(&segment->end);
    uint64_t size = record_size(record->flags, record->key.size, record->value.size);
    assert_true(offset + size <= made->capacity);
    record_encode(made->bytes + offset, record, segment->salt, offset);
    atomic_store(&segment->end, offset + size);
    atomic_store(&segment->readable, offset + size);
    return offset;
}

static inline uint64_t segment_put(struct made_segment *made, const char *key, const char *value,
                                   uint64_t version)
{
    struct record record = {
        .version = version, .key = bitcask_str(key), .value = bitcask_str(value)};
    return segment_append(made, &record);
}

static inline uint64_t segment_delete(struct made_segment *made, const char *key, uint64_t version)
{
    struct record record = {.version = version, .key = bitcask_str(key), .flags = RECORD_TOMBSTONE};
    return segment_append(made, &record);
}

static inline uint64_t segment_length(const struct made_segment *made)
{
    return atomic_load(&made->segment.end);
}

#endif
