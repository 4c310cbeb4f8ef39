/* SPDX-License-Identifier: MIT
 * foreign_fuzz.c: the decoders of other Bitcasks' logs, for libFuzzer.
 *
 * The first byte: bits 0 and 1 choose the layout, bit 2 the keys or values decoded, bit 3 makes the
 * checksums of riak and cask good as the records are come to. The rest is a data file. It is read
 * twice, given whole and given by single bytes: both must end, and give the same records. */
#include "foreign.h"
#include "fuzz/fuzz.h"

struct reading {
    const struct foreign_layout *layout;
    struct foreign_decoder decoder;
    uint8_t *file;
    size_t size;
    bool fix;
    uint32_t digest; /* of all that came out */
};

static void digest(struct reading *reading, const void *data, size_t size)
{
    reading->digest = checksum(reading->digest, data, size);
}

static void digest_record(struct reading *reading, enum foreign_result result, size_t at,
                          const struct foreign_record *record)
{
    uint64_t begin = at - record->behind;
    digest(reading, &result, sizeof result);
    digest(reading, &begin, sizeof begin);
    if (result != FOREIGN_RECORD) {
        REQUIRE(record->why != NULL);
        return;
    }
    REQUIRE(!record->deleted || record->value.size == 0);
    digest(reading, record->key.data, record->key.size);
    digest(reading, record->value.data, record->value.size);
    digest(reading, &record->time_us, sizeof record->time_us);
}

/* Only where the record lies in the file: else the size is what is to be tried. */
static void fix_checksum(struct reading *reading, size_t at)
{
    uint8_t *p = reading->file + at;
    size_t left = reading->size - at;
    bool riak = reading->layout->decode == foreign_riak_decode;
    if (!reading->fix || left < 20)
        return;
    uint64_t size = riak ? 14 + (uint64_t)foreign_be16(p + 8) + foreign_be32(p + 10)
                         : 20 + (uint64_t)get_u32(p + 12) +
                               (get_u32(p + 16) == UINT32_MAX ? 0 : get_u32(p + 16));
    if (size > left)
        return;
    uint32_t crc = checksum(0, p + 4, (size_t)size - 4);
    put_u32(p, riak ? __builtin_bswap32(crc) : crc);
}

/* One step with a room of just the bytes that are given. */
static enum foreign_result decode(struct reading *reading, size_t at, size_t given,
                                  struct foreign_record *record)
{
    size_t left = reading->size - at;
    given = given < left ? given : left;
    for (;;) {
        uint8_t *room = fuzz_copy(reading->file + at, given);
        struct foreign_input input = {bitcask_bytes(room, given), at, left};
        *record = (struct foreign_record){0};
        enum foreign_result result = reading->layout->decode(&reading->decoder, &input, record);
        if (result != FOREIGN_MORE && result != FOREIGN_NOTHING)
            digest_record(reading, result, at, record);
        free(room);
        if (result != FOREIGN_MORE)
            return result;
        REQUIRE(record->size > given && record->size <= left);
        given = (size_t)record->size;
    }
}

static void read_file(struct reading *reading, size_t given)
{
    struct foreign_record record;
    reading->digest = 0;
    for (size_t at = 0; at < reading->size; at += record.size) {
        fix_checksum(reading, at);
        enum foreign_result result = decode(reading, at, given, &record);
        REQUIRE(result != FOREIGN_NO_MEMORY);
        if (result == FOREIGN_TORN)
            break;
        REQUIRE(record.size > 0 || record.behind > 0);
        REQUIRE(record.size <= reading->size - at && record.behind <= at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct reading reading = {.layout = &foreign_layouts[data[0] & 3], .size = size - 1};
    reading.decoder.decoded_keys = reading.decoder.text_values = data[0] >> 2 & 1;
    reading.fix = data[0] >> 3 & 1 && (reading.layout->decode == foreign_riak_decode ||
                                       reading.layout->decode == foreign_cask_decode);
    reading.file = fuzz_copy(data + 1, size - 1);
    read_file(&reading, SIZE_MAX);
    uint32_t whole = reading.digest;
    read_file(&reading, 1);
    REQUIRE(reading.digest == whole);
    foreign_decoder_release(&reading.decoder);
    free(reading.file);
    return 0;
}
