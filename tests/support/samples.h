/* SPDX-License-Identifier: MIT
 * samples.h: a small segment, its hint and its manifest, made by the encoders from fixed inputs:
 * what tests of the format damage, what docs/FORMAT.md shows and tests/golden/ keeps. */
#ifndef SUPPORT_SAMPLES_H
#define SUPPORT_SAMPLES_H

#include <stdlib.h>

#include "base/hash.h"
#include "format/hint.h"
#include "format/manifest.h"
#include "format/record.h"
#include "format/segment_header.h"

enum { SAMPLE_RECORDS = 7, SAMPLE_KEYS = 4, SAMPLE_ROOM = 1024 };

#define SAMPLE_SALT UINT64_C(0x0123456789abcdef)
#define SAMPLE_TIME UINT64_C(1700000000000000)

static const uint8_t SAMPLE_STORE_ID[STORE_ID_SIZE] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
static const uint8_t SAMPLE_SEED[SEED_SIZE] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                               11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                               22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* A segment of seven records: put, put with expiry, a batch of two, SYNC, delete, SEAL. */
struct sample_segment {
    uint8_t bytes[SAMPLE_ROOM];
    size_t size;                        /* SEAL included */
    size_t offsets[SAMPLE_RECORDS + 1]; /* of the records, then the end */
    uint32_t rolling;                   /* of all but SEAL */
};

static inline struct segment_header sample_header(void)
{
    struct segment_header header = {
        .format = 1,
        .kind = SEGMENT_LOG,
        .segment_id = 7,
        .salt = SAMPLE_SALT,
        .created_us = SAMPLE_TIME,
    };
    memcpy(header.store_id, SAMPLE_STORE_ID, sizeof header.store_id);
    memcpy(header.seed, SAMPLE_SEED, sizeof header.seed);
    return header;
}

static inline struct record sample_put(const char *key, const char *value, uint64_t version)
{
    return (struct record){
        .version = version, .key = bitcask_str(key), .value = bitcask_str(value)};
}

/* META records repeat the last version given. */
static inline struct record sample_meta(const uint8_t *value, size_t size, uint64_t version)
{
    return (struct record){
        .version = version, .flags = RECORD_META, .value = slice_of(value, size)};
}

static inline void sample_append(struct sample_segment *segment, size_t number,
                                 const struct record *record)
{
    segment->offsets[number] = segment->size;
    segment->size +=
        record_encode(segment->bytes + segment->size, record, SAMPLE_SALT, segment->size);
    segment->offsets[number + 1] = segment->size;
}

static inline struct sample_segment sample_segment(void)
{
    struct sample_segment segment = {.size = SEGMENT_HEADER_SIZE};
    struct segment_header header = sample_header();
    segment_header_encode(segment.bytes, &header);

    struct record records[SAMPLE_RECORDS] = {
        sample_put("city", "Utrecht", SAMPLE_TIME + 1),
        sample_put("session", "token", SAMPLE_TIME + 2),
        sample_put("a", "1", SAMPLE_TIME + 3),
        sample_put("b", "2", SAMPLE_TIME + 4),
        {0},
        sample_put("city", "", SAMPLE_TIME + 5),
    };
    records[1].flags = RECORD_EXPIRES;
    records[1].expires_us = SAMPLE_TIME + 3600000000;
    records[2].flags = RECORD_BATCH_MORE;
    records[5].flags = RECORD_TOMBSTONE;
    for (size_t i = 0; i < SAMPLE_RECORDS - 1; i++) {
        uint8_t sync[META_SYNC_SIZE];
        if (i == 4)
            records[i] =
                sample_meta(sync, meta_sync_encode(sync, &(struct meta_sync){7, segment.size}),
                            SAMPLE_TIME + 4);
        sample_append(&segment, i, &records[i]);
        segment.rolling = rolling_checksum(segment.rolling, segment.bytes + segment.offsets[i]);
    }

    uint8_t value[META_SEAL_FIXED];
    struct meta_seal seal = {
        .length = segment.size,
        .records = 5,
        .tombstones = 1,
        .version_min = SAMPLE_TIME + 1,
        .version_max = SAMPLE_TIME + 5,
        .expires_min = records[1].expires_us,
        .expires_max = records[1].expires_us,
        .rolling = segment.rolling,
    };
    struct record record = sample_meta(value, meta_seal_encode(value, &seal), SAMPLE_TIME + 5);
    sample_append(&segment, SAMPLE_RECORDS - 1, &record);
    return segment;
}

/* ---- The hint of that segment ---------------------------------------------------------------- */

struct sample_hint {
    uint8_t bytes[SAMPLE_ROOM];
    size_t size;
    struct hint_header header;
};

static inline int sample_entry_order(const void *a, const void *b)
{
    const struct hint_entry *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Lay out `header` and its entries (by ascending hash; keys_at[i] is the key of entries[i]). */
static inline void sample_hint_lay_out(uint8_t *to, const struct hint_header *header,
                                       const struct hint_entry *entries, const slice *keys)
{
    uint8_t *entry_at = to + HINT_HEADER_SIZE;
    uint8_t *key_at = entry_at + header->entries * HINT_ENTRY_SIZE;
    hint_header_encode(to, header);
    for (size_t i = 0; i < header->entries; i++) {
        hint_entry_encode(entry_at + i * HINT_ENTRY_SIZE, &entries[i]);
        memcpy(key_at, keys[i].data, keys[i].size);
        key_at += keys[i].size;
    }
    hint_finish(to, header);
}

static inline struct sample_hint sample_hint(void)
{
    static const size_t newest[SAMPLE_KEYS] = {1, 2, 3, 5}; /* numbers of records */
    struct sample_segment segment = sample_segment();
    struct hash_secret secret;
    hash_secret_init(&secret, SAMPLE_SEED);
    struct hint_entry entries[SAMPLE_KEYS];
    slice keys[SAMPLE_KEYS];
    struct sample_hint hint = {.header = {
                                   .format = 1,
                                   .segment_id = 7,
                                   .salt = SAMPLE_SALT,
                                   .length = segment.offsets[SAMPLE_RECORDS - 1],
                                   .entries = SAMPLE_KEYS,
                                   .records = 5,
                                   .tombstones = 1,
                                   .version_min = SAMPLE_TIME + 1,
                                   .version_max = SAMPLE_TIME + 5,
                                   .expires_min = SAMPLE_TIME + 3600000000,
                                   .expires_max = SAMPLE_TIME + 3600000000,
                                   .rolling = segment.rolling,
                               }};
    memcpy(hint.header.store_id, SAMPLE_STORE_ID, sizeof hint.header.store_id);
    for (size_t i = 0; i < SAMPLE_KEYS; i++) {
        size_t offset = segment.offsets[newest[i]];
        const uint8_t *at = segment.bytes + offset;
        struct record_shape shape;
        if (record_parse(slice_of(at, segment.size - offset), &shape, NULL) != BITCASK_OK)
            abort();
        entries[i] = (struct hint_entry){
            .hash = hash_key(&secret, slice_of(at + shape.header_size, shape.key_size)),
            .version = shape.version,
            .offset = (uint32_t)offset,
            .value_size = shape.value_size,
            .key_size = (uint16_t)shape.key_size,
            .flags = (uint16_t)(shape.flags & ~(uint32_t)RECORD_BATCH_MORE),
        };
        hint.header.keys_size += shape.key_size;
    }
    qsort(entries, SAMPLE_KEYS, sizeof entries[0], sample_entry_order);
    for (size_t i = 0; i < SAMPLE_KEYS; i++) {
        const uint8_t *at = segment.bytes + entries[i].offset;
        bool expires = (entries[i].flags & RECORD_EXPIRES) != 0;
        keys[i] =
            slice_of(at + (expires ? RECORD_HEADER_MAX : RECORD_HEADER_SIZE), entries[i].key_size);
    }
    sample_hint_lay_out(hint.bytes, &hint.header, entries, keys);
    hint.size = (size_t)hint_file_size(&hint.header);
    return hint;
}

/* The same with a filter, as hints are written now. */
static inline struct sample_hint sample_hint_with_filter(void)
{
    struct sample_hint hint = sample_hint();
    hint.header.sections_size = hint_filter_section_size(hint.header.entries);
    hint_header_encode(hint.bytes, &hint.header);
    hint_finish(hint.bytes, &hint.header);
    hint.size = (size_t)hint_file_size(&hint.header);
    return hint;
}

/* ---- The manifest of a store with that segment ----------------------------------------------- */

enum { SAMPLE_SEGMENTS = 3 };

/* A sealed, a sealing and an active segment, written to `segments`, which the manifest borrows. */
static inline struct manifest sample_manifest(struct manifest_segment segments[SAMPLE_SEGMENTS])
{
    struct sample_segment segment = sample_segment();
    segments[0] = (struct manifest_segment){
        .id = 7,
        .state = MANIFEST_SEALED,
        .salt = SAMPLE_SALT,
        .length = segment.offsets[SAMPLE_RECORDS - 1],
        .records = 5,
        .tombstones = 1,
        .version_min = SAMPLE_TIME + 1,
        .version_max = SAMPLE_TIME + 5,
        .expires_min = SAMPLE_TIME + 3600000000,
        .expires_max = SAMPLE_TIME + 3600000000,
        .rolling = segment.rolling,
        .created_us = SAMPLE_TIME,
        .sealed_us = SAMPLE_TIME + 1000000,
        .synced_us = SAMPLE_TIME + 1000000,
    };
    segments[1] = (struct manifest_segment){
        .id = 9, .state = MANIFEST_SEALING, .salt = 0xfedcba9876543210, .merge = true};
    segments[2] = (struct manifest_segment){.id = 10, .damaged = true, .salt = 1};
    struct manifest manifest = {
        .format = 1,
        .next_id = 12,
        .version_ceiling = SAMPLE_TIME + 60000000,
        .segments = segments,
        .segment_count = SAMPLE_SEGMENTS,
    };
    memcpy(manifest.store_id, SAMPLE_STORE_ID, sizeof manifest.store_id);
    memset(manifest.fork_id, 0xf0, sizeof manifest.fork_id);
    memcpy(manifest.seed, SAMPLE_SEED, sizeof manifest.seed);
    return manifest;
}

#endif
