/* SPDX-License-Identifier: MIT
 * record.h: one record of a segment. Format: docs/FORMAT.md, section 3.
 *
 *     off  size  field
 *     0    4     crc32 over LE64(salt), LE64(offset), then bytes 4..end of the record
 *     4    8     version, below 2^63
 *     12   2     key size, 1..65535; 0 in META records only
 *     14   2     flags
 *     16   4     value size, at most 1 GiB
 *     20   8     expiry in us since 1970, only with EXPIRES
 *     20|28      key, value
 *
 * The place is part of what is checksummed: a record is valid at one offset of one segment only.
 * Pure functions; threads: safe. */
#ifndef FORMAT_RECORD_H
#define FORMAT_RECORD_H

#include "base/check.h"
#include "base/checksum.h"
#include "format/format.h"

enum record_flags {
    RECORD_TOMBSTONE = 1 << 0,  /* the key is deleted; no value */
    RECORD_EXPIRES = 1 << 1,    /* an expiry follows the fixed header */
    RECORD_BATCH_MORE = 1 << 2, /* the next record belongs to the same batch */
    RECORD_META = 1 << 3,       /* not a key's: SYNC, SEAL or FOLLOWS, see meta_* */
    RECORD_CODEC_MASK = 3 << 4, /* 0 raw; 1 lz4 and 2 zstd are reserved: refused for now */
    RECORD_FLAGS_KNOWN = RECORD_TOMBSTONE | RECORD_EXPIRES | RECORD_BATCH_MORE | RECORD_META,
};

enum {
    RECORD_HEADER_SIZE = 20,
    RECORD_EXPIRY_SIZE = 8,
    RECORD_HEADER_MAX = RECORD_HEADER_SIZE + RECORD_EXPIRY_SIZE,
};

struct record {
    uint64_t version;
    uint64_t expires_us; /* 0 unless flags has EXPIRES */
    uint32_t flags;
    slice key;
    slice value;
};

/* Sizes and flags of a record, read from its header without a look at the checksum. */
struct record_shape {
    uint64_t version;
    uint64_t expires_us; /* 0 unless flags has EXPIRES */
    uint32_t flags;
    uint32_t key_size;
    uint32_t value_size;
    uint32_t header_size; /* 20 or 28 */
    uint64_t size;        /* of the whole record, header included */
};

static inline uint64_t record_size(uint32_t flags, uint64_t key_size, uint64_t value_size)
{
    return RECORD_HEADER_SIZE + (flags & RECORD_EXPIRES ? RECORD_EXPIRY_SIZE : 0) + key_size +
           value_size;
}

/* Write the header of `record` at `to` (room for RECORD_HEADER_MAX), the checksum field left 0.
 * Returns the header's size. The caller copies key and value behind it and then calls record_seal;
 * or uses record_encode for all at once. */
uint32_t record_encode_header(uint8_t *to, const struct record *record);

/* Compute the checksum of the `size` bytes of a whole record at `record`, to stand at `offset` of
 * the segment with `salt`, and store it in the record. */
void record_seal(uint8_t *record, uint64_t size, uint64_t salt, uint64_t offset);

/* Write a whole record (record_size bytes) with its checksum at `to`. Returns its size. */
uint64_t record_encode(uint8_t *to, const struct record *record, uint64_t salt, uint64_t offset);

/* The checksum of the record's bytes at `record`, as it should stand in its field. */
static inline uint32_t record_checksum(const uint8_t *record, uint64_t size, uint64_t salt,
                                       uint64_t offset)
{
    return checksum_words(salt, offset, record + 4, (size_t)size - 4);
}

static inline bool record_checksum_ok(const uint8_t *record, uint64_t size, uint64_t salt,
                                      uint64_t offset)
{
    return get_u32(record) == record_checksum(record, size, salt, offset);
}

/* Read the shape of the record at the start of `in`, untrusted bytes, checking everything that can
 * be checked without the checksum: known flags, sizes in bounds and consistent with the flags, a
 * version below 2^63, the whole record inside `in`.
 * Returns BITCASK_OK; BITCASK_END if `in` is empty or its next RECORD_HEADER_SIZE bytes (or all
 * that is left, if fewer) are zero; BITCASK_CORRUPT otherwise, with *why (if not NULL) set to a
 * static phrase. Cost: O(1). */
bitcask_status record_parse(slice in, struct record_shape *shape, const char **why);

/* The same for the path of a look-up, inline: true for what most records are, well-formed ones of a
 * key with a value and no expiry. False: ask record_parse. */
static inline bool record_parse_plain(slice in, struct record_shape *shape)
{
    const uint8_t *from = in.data;
    if (UNLIKELY(in.size < RECORD_HEADER_SIZE))
        return false;
    shape->version = get_u64(from + 4);
    shape->key_size = get_u16(from + 12);
    shape->flags = get_u16(from + 14);
    shape->value_size = get_u32(from + 16);
    shape->expires_us = 0;
    shape->header_size = RECORD_HEADER_SIZE;
    shape->size = (uint64_t)RECORD_HEADER_SIZE + shape->key_size + shape->value_size;
    return (shape->flags & ~(uint32_t)RECORD_BATCH_MORE) == 0 && shape->version <= VERSION_MAX &&
           shape->key_size > 0 && shape->value_size <= BITCASK_MAX_VALUE_SIZE &&
           shape->size <= in.size;
}

/* The same if the record is of a key of `key_size` bytes, 1 to 65535: all that goes into that is
 * one comparison. */
static inline bool record_parse_plain_of(slice in, size_t key_size, struct record_shape *shape)
{
    const uint8_t *from = in.data;
    if (UNLIKELY(in.size < RECORD_HEADER_SIZE))
        return false;
    uint64_t sizes = get_u64(from + 12);
    shape->version = get_u64(from + 4);
    shape->key_size = (uint32_t)key_size;
    shape->flags = (uint32_t)sizes >> 16;
    shape->value_size = (uint32_t)(sizes >> 32);
    shape->expires_us = 0;
    shape->header_size = RECORD_HEADER_SIZE;
    shape->size = (uint64_t)RECORD_HEADER_SIZE + key_size + shape->value_size;
    /* Apart, for the compiler would compute what it can as well jump over. */
    if (UNLIKELY(((uint32_t)sizes & ~((uint32_t)RECORD_BATCH_MORE << 16)) != key_size) ||
        UNLIKELY(shape->version > VERSION_MAX))
        return false;
    if (UNLIKELY(shape->value_size > BITCASK_MAX_VALUE_SIZE))
        return false;
    return LIKELY(shape->size <= in.size);
}

/* Parse and check the checksum; key and value borrow from `in`. Returns as record_parse. */
bitcask_status record_decode(slice in, uint64_t salt, uint64_t offset, struct record *record,
                             struct record_shape *shape, const char **why);

/* What the record at `bytes` says that the size of its value is; a record whose shape has been
 * checked. */
static inline uint32_t record_value_size(const uint8_t *bytes)
{
    return get_u32(bytes + 16);
}

/* The record at `bytes`, whose shape is known and checked; key and value borrow. */
static inline struct record record_at(const uint8_t *bytes, const struct record_shape *shape)
{
    const uint8_t *key = bytes + shape->header_size;
    return (struct record){
        .version = shape->version,
        .expires_us = shape->expires_us,
        .flags = shape->flags,
        .key = slice_of(key, shape->key_size),
        .value = slice_of(key + shape->key_size, shape->value_size),
    };
}

/* True if a record with these fields is deleted or expired at `now_us`: the one place that decides
 * whether a record is live. */
static inline bool record_is_gone(uint32_t flags, uint64_t expires_us, uint64_t now_us)
{
    return (flags & RECORD_TOMBSTONE) != 0 ||
           ((flags & RECORD_EXPIRES) != 0 && expires_us <= now_us);
}

/* ---- META records: key size 0, flags META, the value as follows ---------------------------- */

enum meta_kind { META_SYNC = 1, META_SEAL = 2, META_FOLLOWS = 3 };

enum {
    META_SYNC_SIZE = 24,
    META_FOLLOWS_SIZE = 16,
    META_SEAL_FIXED = 88,
    META_SEAL_INPUTS_MAX = 16383
};

/* u32 kind, u32 zero, u64 segment, u64 offset.
 * All bytes of segment `segment` below `offset`, and all earlier log segments, are durable. */
struct meta_sync {
    uint64_t segment;
    uint64_t offset;
};

/* u32 kind, u32 zero, the eight u64 in the order below, then outputs, rolling, input_count, zero
 * (u32 each), then the inputs. The last record of a sealed segment. */
struct meta_seal {
    uint64_t length;  /* offset of this record: the end of what it seals */
    uint64_t records; /* of keys, tombstones included */
    uint64_t tombstones;
    uint64_t version_min, version_max; /* 0, 0 if there are no records */
    uint64_t expires_min, expires_max; /* of records that expire; 0, 0 if none does */
    uint64_t job;          /* in merge outputs: the same number in all outputs of one job; else 0 */
    uint32_t outputs;      /* in the last output of a job: how many outputs it has; else 0 */
    uint32_t rolling;      /* see rolling_checksum */
    uint32_t input_count;  /* in the last output of a job: the segments it replaces; else 0 */
    const uint8_t *inputs; /* input_count u64 little-endian ids; borrows */
};

/* Fold the checksum field of the next record of a segment (META ones too, SEAL not) into `rolling`,
 * 0 to begin with: crc32 over the concatenation of the records' checksum fields. */
static inline uint32_t rolling_checksum(uint32_t rolling, const uint8_t *record)
{
    return checksum_of_four(rolling, record);
}

/* Value bytes of a META record. Encoders return the size; buffers: META_SYNC_SIZE, and
 * META_SEAL_FIXED + 8 * input_count. Decoders: OK, or CORRUPT for an unknown kind or wrong size. */
uint32_t meta_sync_encode(uint8_t *to, const struct meta_sync *sync);
uint32_t meta_seal_encode(uint8_t *to, const struct meta_seal *seal);
/* u32 kind, u32 zero, u64 segment. The first record of a log segment that the log went on in: the
 * segment before it. The record's version is that of the last record there, so that recovery can
 * tell when the end of that one is missing. */
uint32_t meta_follows_encode(uint8_t *to, uint64_t segment);
enum meta_kind meta_kind_of(slice value); /* 0 if it is none */
bitcask_status meta_sync_decode(slice value, struct meta_sync *sync);
bitcask_status meta_seal_decode(slice value, struct meta_seal *seal);
bitcask_status meta_follows_decode(slice value, uint64_t *segment);

#endif
