/* SPDX-License-Identifier: MIT
 * foreign_riak.c: records of Riak's Bitcask 2.x, and the keys that Riak KV makes.
 *
 *     0  4  CRC-32 of all behind it     all integers big-endian
 *     4  4  time, seconds since 1970
 *     8  2  key size
 *    10  4  value size
 *    14     key, value
 *
 * A tombstone is a value: "bitcask_tombstone", or "bitcask_tombstone1" or "...2" and four bytes
 * with the number of a file. Only these values are taken for one: a longer one that begins in the
 * same way is somebody's data. */
#include <string.h>

#include "base/checksum.h"
#include "foreign.h"
#include "formats.h"

enum { HEADER_SIZE = 14, KEY_VERSION_1 = 1, TERM_VERSION = 131, SMALL_TUPLE = 104, BINARY = 109 };

static bool is_tombstone(bitcask_slice value)
{
    static const char text[] = "bitcask_tombstone";
    const size_t size = sizeof text - 1;
    const char *p = value.data;
    if (value.size < size || memcmp(p, text, size) != 0)
        return false;
    return value.size == size || (value.size == size + 5 && (p[size] == '1' || p[size] == '2'));
}

/* ---- Riak's keys --------------------------------------------------------------------------- */

/* What is left of a key to be read. */
struct cursor {
    const uint8_t *at;
    size_t left;
};

static bool take(struct cursor *cursor, size_t size, bitcask_slice *out)
{
    if (size > cursor->left)
        return false;
    *out = bitcask_bytes(cursor->at, size);
    cursor->at += size;
    cursor->left -= size;
    return true;
}

/* Bytes behind their size in two bytes. */
static bool take_sized(struct cursor *cursor, bitcask_slice *out)
{
    bitcask_slice size;
    return take(cursor, 2, &size) && take(cursor, foreign_be16(size.data), out);
}

/* An Erlang binary in the external term format. */
static bool take_binary(struct cursor *cursor, bitcask_slice *out)
{
    bitcask_slice head;
    if (!take(cursor, 5, &head) || *(const uint8_t *)head.data != BINARY)
        return false;
    return take(cursor, foreign_be32((const uint8_t *)head.data + 1), out);
}

struct riak_key {
    bitcask_slice type, bucket, key;
    bool typed;
};

/* Version 1: seven bits of version, a bit that says that there is a type; the type and the bucket,
 * each behind its size; the key. Version 0: the Erlang term {Bucket, Key}. */
static bool split_key(bitcask_slice raw, struct riak_key *key)
{
    struct cursor cursor = {raw.data, raw.size};
    bitcask_slice version, tuple;
    *key = (struct riak_key){0};
    if (!take(&cursor, 1, &version))
        return false;
    uint8_t byte = *(const uint8_t *)version.data;
    if (byte >> 1 == KEY_VERSION_1) {
        key->typed = byte & 1;
        return (!key->typed || take_sized(&cursor, &key->type)) &&
               take_sized(&cursor, &key->bucket) && take(&cursor, cursor.left, &key->key);
    }
    return byte == TERM_VERSION && take(&cursor, 2, &tuple) &&
           memcmp(tuple.data, (const uint8_t[]){SMALL_TUPLE, 2}, 2) == 0 &&
           take_binary(&cursor, &key->bucket) && take_binary(&cursor, &key->key) &&
           cursor.left == 0;
}

static void append(bitcask_buffer *to, bitcask_slice bytes)
{
    if (bytes.size > 0)
        memcpy((char *)to->data + to->size, bytes.data, bytes.size);
    to->size += bytes.size;
}

/* With "/" and "%" as %2F and %25, so that different parts never make the same key. */
static void append_escaped(bitcask_buffer *to, bitcask_slice part)
{
    const char *p = part.data;
    for (size_t i = 0; i < part.size; i++)
        append(to, p[i] == '/'   ? bitcask_str("%2F")
                   : p[i] == '%' ? bitcask_str("%25")
                                 : bitcask_bytes(p + i, 1));
}

/* BUCKET/KEY, or TYPE/BUCKET/KEY: one slash or two, as all others are escaped. What is no key of
 * Riak KV is left as it is. */
static enum foreign_result decode_key(struct foreign_decoder *decoder,
                                      struct foreign_record *record)
{
    struct riak_key parts;
    if (!decoder->decoded_keys || !split_key(record->key, &parts))
        return FOREIGN_RECORD;
    decoder->key.size = 0;
    if (!buffer_reserve(&decoder->key, 3 * record->key.size + 2))
        return FOREIGN_NO_MEMORY;
    if (parts.typed) {
        append_escaped(&decoder->key, parts.type);
        append(&decoder->key, bitcask_str("/"));
    }
    append_escaped(&decoder->key, parts.bucket);
    append(&decoder->key, bitcask_str("/"));
    append_escaped(&decoder->key, parts.key);
    record->key = bitcask_bytes(decoder->key.data, decoder->key.size);
    return FOREIGN_RECORD;
}

/* ---- Records ------------------------------------------------------------------------------- */

enum foreign_result foreign_riak_decode(struct foreign_decoder *decoder,
                                        const struct foreign_input *input,
                                        struct foreign_record *record)
{
    const uint8_t *p = input->bytes.data;
    enum foreign_result result = foreign_need(input, HEADER_SIZE, record);
    if (result != FOREIGN_RECORD)
        return result;
    if (foreign_is_zero(input->bytes, HEADER_SIZE))
        return foreign_torn(record, "zeros instead of a record");
    size_t key_size = foreign_be16(p + 8), value_size = foreign_be32(p + 10);
    result = foreign_need(input, (uint64_t)HEADER_SIZE + key_size + value_size, record);
    if (result != FOREIGN_RECORD)
        return result;
    if (checksum(0, p + 4, record->size - 4) != foreign_be32(p))
        return foreign_damaged(record, record->size, "bad checksum");
    record->key = bitcask_bytes(p + HEADER_SIZE, key_size);
    record->value = bitcask_bytes(p + HEADER_SIZE + key_size, value_size);
    record->time_us = foreign_be32(p + 4) * UINT64_C(1000000);
    record->deleted = is_tombstone(record->value);
    if (record->deleted)
        record->value = bitcask_str("");
    return decode_key(decoder, record);
}
