/* SPDX-License-Identifier: MIT
 * published.c: the 64 bytes that say how far the log is visible. */
#include "format/published.h"

#include "base/check.h"

enum { AT_MAGIC = 0, AT_FORMAT = 8, AT_ZERO = 12, AT_STORE_ID = 16 };

static const uint8_t MAGIC[8] = {'b', 'c', 'p', 'u', 'b', 'l', 's', '\n'};

_Static_assert(AT_STORE_ID + STORE_ID_SIZE == PUBLISHED_AT_CAPACITY,
               "the store id fills its place");
_Static_assert(PUBLISHED_AT_COMPLEMENT == PUBLISHED_AT_POSITION + 8, "read in one go");
_Static_assert(PUBLISHED_AT_POSITION % 8 == 0, "a word that is stored whole");

void published_encode(uint8_t to[PUBLISHED_SIZE], const uint8_t store_id[STORE_ID_SIZE],
                      uint64_t capacity, struct log_position position)
{
    CHECK(position.segment <= SEGMENT_ID_MAX && position.end < UINT64_C(1) << 33);
    memset(to, 0, PUBLISHED_SIZE);
    memcpy(to + AT_MAGIC, MAGIC, sizeof MAGIC);
    put_u32(to + AT_FORMAT, FORMAT_VERSION);
    memcpy(to + AT_STORE_ID, store_id, STORE_ID_SIZE);
    put_u64(to + PUBLISHED_AT_CAPACITY, capacity);
    put_u64(to + PUBLISHED_AT_POSITION, log_position_word(position));
    put_u64(to + PUBLISHED_AT_COMPLEMENT, ~log_position_word(position));
}

bool published_check(slice in, const uint8_t store_id[STORE_ID_SIZE], uint64_t *capacity)
{
    const uint8_t *from = in.data;
    if (in.size < PUBLISHED_AT_POSITION || memcmp(from + AT_MAGIC, MAGIC, sizeof MAGIC) != 0 ||
        get_u32(from + AT_FORMAT) != FORMAT_VERSION || get_u32(from + AT_ZERO) != 0 ||
        memcmp(from + AT_STORE_ID, store_id, STORE_ID_SIZE) != 0)
        return false;
    *capacity = get_u64(from + PUBLISHED_AT_CAPACITY);
    return true;
}

bool published_decode_position(const uint8_t in[PUBLISHED_POSITION_SIZE],
                               struct log_position *position)
{
    uint64_t word = get_u64(in);
    if (get_u64(in + 8) != ~word)
        return false;
    *position = log_position_of(word);
    return position->segment <= SEGMENT_ID_MAX;
}
