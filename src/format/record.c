/* SPDX-License-Identifier: MIT
 * record.c: one record of a segment, and the values of META records. */
#include "format/record.h"

#include "base/check.h"
#include "base/checksum_inline.h"
#include "base/planted.h"
#include "format/record_inline.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    AT_CHECKSUM = 0,
    AT_VERSION = 4,
    AT_KEY_SIZE = 12,
    AT_FLAGS = 14,
    AT_VALUE_SIZE = 16,
    AT_EXPIRY = 20,
};

enum {
    LARGE_VALUE_MIN = 64 << 10, /* values from here on are copied past the caches: bench-append */
    LARGE_PIECE = 8 << 10,
};

_Static_assert((int)AT_EXPIRY == RECORD_HEADER_SIZE, "the expiry follows the fixed header");
#if CHECKSUM_INLINE
_Static_assert((int)AT_VERSION == RECORD_AT_VERSION && (int)AT_KEY_SIZE == RECORD_AT_KEY_SIZE &&
                   AT_FLAGS == AT_KEY_SIZE + 2 && AT_VALUE_SIZE == AT_FLAGS + 2,
               "as record_inline.h has them");
#endif

/* ---- Writing --------------------------------------------------------------------------------- */

uint32_t record_encode_header(uint8_t *to, const struct record *record)
{
    CHECK(record->key.size <= BITCASK_MAX_KEY_SIZE && record->value.size <= BITCASK_MAX_VALUE_SIZE);
    put_u32(to + AT_CHECKSUM, 0);
    put_u64(to + AT_VERSION, record->version);
    put_u16(to + AT_KEY_SIZE, (uint16_t)record->key.size);
    put_u16(to + AT_FLAGS, (uint16_t)record->flags);
    put_u32(to + AT_VALUE_SIZE, (uint32_t)record->value.size);
    if ((record->flags & RECORD_EXPIRES) == 0)
        return RECORD_HEADER_SIZE;
    put_u64(to + AT_EXPIRY, record->expires_us);
    return RECORD_HEADER_MAX;
}

void record_seal(uint8_t *record, uint64_t size, uint64_t salt, uint64_t offset)
{
    put_u32(record + AT_CHECKSUM, record_checksum(record, size, salt, offset));
}

/* Past the caches, which a value as large would fill with what is read again from the disk's cache
 * of its file at the earliest; and a line that is written whole need not be fetched before. */
static void copy_past_caches(uint8_t *to, const uint8_t *from, size_t size)
{
    size_t i = 0;
#ifdef __SSE2__
    i = -(uintptr_t)to % sizeof(__m128i);
    i = i < size ? i : size;
    memcpy(to, from, i);
    for (; size - i >= sizeof(__m128i); i += sizeof(__m128i))
        _mm_stream_si128((__m128i *)(void *)(to + i),
                         _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
#endif
    memcpy(to + i, from + i, size - i);
}

/* Copied and summed up piece by piece, while the piece is in the first cache. */
static uint32_t copy_large(uint8_t *to, slice value, uint32_t crc)
{
    const uint8_t *from = value.data;
    for (size_t left = value.size, size; left > 0; left -= size, from += size, to += size) {
        size = left < LARGE_PIECE ? left : LARGE_PIECE;
        crc = checksum(crc, from, size);
        copy_past_caches(to, from, size);
    }
#ifdef __SSE2__
    _mm_sfence(); /* before anybody is told that the record is there */
#endif
    return crc;
}

static uint64_t encode_large(uint8_t *to, const struct record *record, uint64_t salt,
                             uint64_t offset)
{
    uint32_t head = record_encode_header(to, record);
    memcpy(to + head, record->key.data, record->key.size);
    head += (uint32_t)record->key.size;
    uint32_t crc = checksum_words(salt, offset, to + 4, head - 4);
    put_u32(to + AT_CHECKSUM, copy_large(to + head, record->value, crc));
    return head + record->value.size;
}

static uint64_t encode_any(uint8_t *to, const struct record *record, uint64_t salt, uint64_t offset)
{
    if (record->value.size >= LARGE_VALUE_MIN && record->key.size > 0)
        return encode_large(to, record, salt, offset);
    uint8_t *at = to + record_encode_header(to, record);
    if (LIKELY(record->key.size > 0))
        memcpy(at, record->key.data, record->key.size);
    at += record->key.size;
    if (record->value.size > 0)
        memcpy(at, record->value.data, record->value.size);
    uint64_t size = (uint64_t)(at - to) + record->value.size;
    record_seal(to, size, salt, offset);
    return size;
}

#if CHECKSUM_INLINE
CHECKSUM_TARGET static void encode_short(uint8_t *to, const struct record *record, uint64_t salt,
                                         uint64_t offset)
{
    (void)record_encode_short(to, record, salt, offset);
}

CHECKSUM_WIDE_TARGET static void encode_short_wide(uint8_t *to, const struct record *record,
                                                   uint64_t salt, uint64_t offset)
{
    (void)record_encode_short_wide(to, record, salt, offset);
    _mm256_zeroupper();
}
#endif

uint64_t record_encode(uint8_t *to, const struct record *record, uint64_t salt, uint64_t offset)
{
#if CHECKSUM_INLINE
    int way = atomic_load_explicit(&checksum_way_in_use, memory_order_relaxed);
    if (LIKELY(way >= CHECKSUM_CLMUL) && LIKELY((record->flags & RECORD_EXPIRES) == 0) &&
        LIKELY(record_is_short(record->key.size, record->value.size))) {
        if (way == CHECKSUM_WIDE)
            encode_short_wide(to, record, salt, offset);
        else
            encode_short(to, record, salt, offset);
        return RECORD_HEADER_SIZE + record->key.size + record->value.size;
    }
#endif
    return encode_any(to, record, salt, offset);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool all_zero(const uint8_t *from, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum |= from[i];
    return sum == 0;
}

/* What is wrong with the fields of a header taken by themselves; NULL if nothing is. */
static const char *shape_fault(const struct record_shape *shape)
{
    const uint32_t flags = shape->flags;
    if ((flags & ~(uint32_t)RECORD_FLAGS_KNOWN) != 0)
        return (flags & RECORD_CODEC_MASK) != 0 ? "unknown codec" : "unknown flags";
    if (shape->version > VERSION_MAX)
        return "version out of range";
    if (shape->value_size > BITCASK_MAX_VALUE_SIZE)
        return "value size over the limit";
    if ((flags & RECORD_META) != 0)
        return flags != RECORD_META  ? "flags that exclude each other"
               : shape->key_size > 0 ? "meta record with a key"
                                     : NULL;
    if (shape->key_size == 0)
        return "empty key";
    if ((flags & RECORD_TOMBSTONE) != 0 && (flags & RECORD_EXPIRES) != 0)
        return "flags that exclude each other";
    if ((flags & RECORD_TOMBSTONE) != 0 && shape->value_size > 0)
        return "tombstone with a value";
    return NULL;
}

bitcask_status record_parse(slice in, struct record_shape *shape, const char **why)
{
    const char *unused;
    const char **fault = why != NULL ? why : &unused;
    const uint8_t *from = in.data;
    if (in.size < RECORD_HEADER_SIZE) {
        *fault = "ends inside the header";
        return all_zero(from, in.size) ? BITCASK_END : BITCASK_CORRUPT;
    }
    shape->version = get_u64(from + AT_VERSION);
    shape->key_size = get_u16(from + AT_KEY_SIZE);
    shape->flags = get_u16(from + AT_FLAGS);
    shape->value_size = get_u32(from + AT_VALUE_SIZE);
    shape->expires_us = 0;
    shape->header_size = RECORD_HEADER_SIZE;
    if (shape->key_size == 0 && all_zero(from, RECORD_HEADER_SIZE) && !PLANTED(zeros_are_damage))
        return BITCASK_END;
    const char *found = shape_fault(shape);
    if (UNLIKELY(found != NULL)) {
        *fault = found;
        return BITCASK_CORRUPT;
    }
    if ((shape->flags & RECORD_EXPIRES) != 0)
        shape->header_size = RECORD_HEADER_MAX;
    /* No overflow: at most 28 + 2^16 + 2^30. */
    shape->size = (uint64_t)shape->header_size + shape->key_size + shape->value_size;
    if (UNLIKELY(shape->size > in.size) && !PLANTED(length_trusted)) {
        *fault = "ends beyond the segment";
        return BITCASK_CORRUPT;
    }
    if (shape->header_size == RECORD_HEADER_MAX)
        shape->expires_us = get_u64(from + AT_EXPIRY);
    return BITCASK_OK;
}

bitcask_status record_decode(slice in, uint64_t salt, uint64_t offset, struct record *record,
                             struct record_shape *shape, const char **why)
{
    bitcask_status status = record_parse(in, shape, why);
    if (status != BITCASK_OK)
        return status;
    const uint8_t *from = in.data;
    if (!record_checksum_ok(from, shape->size, salt, offset)) {
        if (why != NULL)
            *why = "bad checksum";
        return BITCASK_CORRUPT;
    }
    *record = record_at(from, shape);
    return BITCASK_OK;
}

/* ---- META records ---------------------------------------------------------------------------- */

uint32_t meta_sync_encode(uint8_t *to, const struct meta_sync *sync)
{
    put_u32(to, META_SYNC);
    put_u32(to + 4, 0);
    put_u64(to + 8, sync->segment);
    put_u64(to + 16, sync->offset);
    return META_SYNC_SIZE;
}

uint32_t meta_seal_encode(uint8_t *to, const struct meta_seal *seal)
{
    CHECK(seal->input_count <= META_SEAL_INPUTS_MAX);
    put_u32(to, META_SEAL);
    put_u32(to + 4, 0);
    put_u64(to + 8, seal->length);
    put_u64(to + 16, seal->records);
    put_u64(to + 24, seal->tombstones);
    put_u64(to + 32, seal->version_min);
    put_u64(to + 40, seal->version_max);
    put_u64(to + 48, seal->expires_min);
    put_u64(to + 56, seal->expires_max);
    put_u64(to + 64, seal->job);
    put_u32(to + 72, seal->outputs);
    put_u32(to + 76, seal->rolling);
    put_u32(to + 80, seal->input_count);
    put_u32(to + 84, 0);
    if (seal->input_count > 0)
        memcpy(to + META_SEAL_FIXED, seal->inputs, 8 * (size_t)seal->input_count);
    return META_SEAL_FIXED + 8 * seal->input_count;
}

uint32_t meta_follows_encode(uint8_t *to, uint64_t segment)
{
    put_u32(to, META_FOLLOWS);
    put_u32(to + 4, 0);
    put_u64(to + 8, segment);
    return META_FOLLOWS_SIZE;
}

enum meta_kind meta_kind_of(slice value)
{
    if (value.size < 8)
        return 0;
    uint32_t kind = get_u32(value.data);
    return kind >= META_SYNC && kind <= META_FOLLOWS ? (enum meta_kind)kind : 0;
}

bitcask_status meta_sync_decode(slice value, struct meta_sync *sync)
{
    const uint8_t *from = value.data;
    if (meta_kind_of(value) != META_SYNC || value.size != META_SYNC_SIZE || get_u32(from + 4) != 0)
        return BITCASK_CORRUPT;
    sync->segment = get_u64(from + 8);
    sync->offset = get_u64(from + 16);
    return BITCASK_OK;
}

bitcask_status meta_seal_decode(slice value, struct meta_seal *seal)
{
    const uint8_t *from = value.data;
    if (meta_kind_of(value) != META_SEAL || value.size < META_SEAL_FIXED ||
        get_u32(from + 4) != 0 || get_u32(from + 84) != 0)
        return BITCASK_CORRUPT;
    seal->length = get_u64(from + 8);
    seal->records = get_u64(from + 16);
    seal->tombstones = get_u64(from + 24);
    seal->version_min = get_u64(from + 32);
    seal->version_max = get_u64(from + 40);
    seal->expires_min = get_u64(from + 48);
    seal->expires_max = get_u64(from + 56);
    seal->job = get_u64(from + 64);
    seal->outputs = get_u32(from + 72);
    seal->rolling = get_u32(from + 76);
    seal->input_count = get_u32(from + 80);
    seal->inputs = from + META_SEAL_FIXED;
    if (seal->input_count > META_SEAL_INPUTS_MAX ||
        value.size != META_SEAL_FIXED + 8 * (size_t)seal->input_count)
        return BITCASK_CORRUPT;
    return BITCASK_OK;
}

bitcask_status meta_follows_decode(slice value, uint64_t *segment)
{
    const uint8_t *from = value.data;
    if (meta_kind_of(value) != META_FOLLOWS || value.size != META_FOLLOWS_SIZE ||
        get_u32(from + 4) != 0)
        return BITCASK_CORRUPT;
    *segment = get_u64(from + 8);
    return BITCASK_OK;
}
