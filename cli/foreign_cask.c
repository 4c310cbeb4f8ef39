/* SPDX-License-Identifier: MIT
 * foreign_cask.c: records of the plain layout, cask.N.
 *
 *     0  4  CRC-32 of all behind it     all integers little-endian
 *     4  8  time; its unit is told by its magnitude
 *    12  4  key size
 *    16  4  value size; 0xFFFFFFFF: a tombstone, without a value
 *    20     key, value */
#include "base/bytes.h"
#include "base/checksum.h"
#include "foreign.h"

enum { HEADER_SIZE = 20 };

enum foreign_result foreign_cask_decode(struct foreign_decoder *decoder,
                                        const struct foreign_input *input,
                                        struct foreign_record *record)
{
    (void)decoder;
    const uint8_t *p = input->bytes.data;
    enum foreign_result result = foreign_need(input, HEADER_SIZE, record);
    if (result != FOREIGN_RECORD)
        return result;
    if (foreign_is_zero(input->bytes, HEADER_SIZE))
        return foreign_torn(record, "zeros instead of a record");
    uint32_t key_size = get_u32(p + 12), value_size = get_u32(p + 16);
    record->deleted = value_size == UINT32_MAX;
    if (record->deleted)
        value_size = 0;
    result = foreign_need(input, UINT64_C(20) + key_size + value_size, record);
    if (result != FOREIGN_RECORD)
        return result;
    if (checksum(0, p + 4, record->size - 4) != get_u32(p))
        return foreign_damaged(record, record->size, "bad checksum");
    record->key = bitcask_bytes(p + HEADER_SIZE, key_size);
    record->value = bitcask_bytes(p + HEADER_SIZE + key_size, value_size);
    record->time_us = foreign_time_us(get_u64(p + 4));
    return FOREIGN_RECORD;
}
