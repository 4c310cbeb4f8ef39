/* SPDX-License-Identifier: MIT
 * salvage_salt.c: a crc, backwards. */
#include "engine/salvage_salt.h"

#include "format/segment_header.h"

#define POLYNOMIAL 0xEDB88320u

/* The state before one byte, from the state behind it. */
static uint32_t step_back(uint32_t state, uint8_t byte)
{
    for (int bit = 0; bit < 8; bit++)
        state = state & 0x80000000u ? ((state ^ POLYNOMIAL) << 1) | 1 : state << 1;
    return state ^ byte;
}

/* The low 32 bits of a salt that takes a fresh crc to `state`, the high ones being zero. */
static uint32_t salt_for_state(uint32_t state)
{
    for (int i = 0; i < 4; i++) /* the zeros */
        state = step_back(state, 0);
    /* The state behind four bytes is that of the bytes xor the initial one. */
    for (int i = 0; i < 4; i++)
        state = step_back(state, 0);
    return state ^ 0xFFFFFFFFu;
}

uint64_t salt_of_record(const uint8_t *record, uint64_t size, uint64_t offset)
{
    uint8_t place[8];
    uint32_t state = get_u32(record) ^ 0xFFFFFFFFu;
    for (uint64_t i = size; i > 4; i--)
        state = step_back(state, record[i - 1]);
    put_u64(place, offset);
    for (int i = 8; i > 0; i--)
        state = step_back(state, place[i - 1]);
    return salt_for_state(state);
}

/* Does a record stand here, by all that can be told without the checksum? */
static bool looks_like_record(slice file, uint64_t offset, struct record_shape *shape)
{
    const uint8_t *from = (const uint8_t *)file.data + offset;
    return record_parse(slice_of(from, file.size - offset), shape, NULL) == BITCASK_OK &&
           (shape->version > 0 || (shape->flags & RECORD_META) != 0);
}

bool salt_find(slice file, uint64_t *salt)
{
    const uint8_t *bytes = file.data;
    struct record_shape first, second;
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < file.size; at++) {
        if (!looks_like_record(file, at, &first) || file.size - at <= first.size ||
            !looks_like_record(file, at + first.size, &second))
            continue;
        *salt = salt_of_record(bytes + at, first.size, at);
        uint64_t next = at + first.size;
        if (record_checksum_ok(bytes + next, second.size, *salt, next))
            return true;
    }
    return false;
}
