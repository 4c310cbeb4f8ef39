/* SPDX-License-Identifier: MIT
 * scan_fuzz.c: any bytes as a segment nobody vouches for.
 *
 * First byte: bit 0, make the checksums of what parses good; bit 1, versions must rise. The second:
 * how much is vouched for, in 255ths. What the scan reports must lie in the file, in order, and
 * what it calls a record must be one. */
#include "engine/scan.h"
#include "fuzz/fuzz.h"

enum { SALT = 0x5a17, SEGMENT_ID = 7 };

struct walk {
    slice bytes;
    uint64_t end; /* of the last record */
    uint64_t records;
};

static void make_good(uint8_t *bytes, size_t size)
{
    struct record_shape shape;
    for (size_t at = SEGMENT_HEADER_SIZE; at < size;) {
        if (record_parse(slice_of(bytes + at, size - at), &shape, NULL) == BITCASK_OK) {
            record_seal(bytes + at, shape.size, SALT, at);
            at += (size_t)shape.size;
        } else {
            at += 8; /* leave a hole, go on behind it */
        }
    }
}

static int see_record(void *context, uint64_t offset, const uint8_t *bytes,
                      const struct record_shape *shape)
{
    struct walk *walk = context;
    REQUIRE(offset >= walk->end && offset + shape->size <= walk->bytes.size);
    REQUIRE(bytes == (const uint8_t *)walk->bytes.data + offset);
    REQUIRE(record_checksum_ok(bytes, shape->size, SALT, offset));
    walk->end = offset + shape->size;
    walk->records += (shape->flags & RECORD_META) == 0;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t file_size = SEGMENT_HEADER_SIZE + size - 2;
    uint8_t *bytes = calloc(1, file_size);
    REQUIRE(bytes != NULL);
    memcpy(bytes + SEGMENT_HEADER_SIZE, data + 2, size - 2);
    if (data[0] & 1)
        make_good(bytes, file_size);
    struct walk walk = {.bytes = slice_of(bytes, file_size), .end = SEGMENT_HEADER_SIZE};
    struct scan_options options = {
        .salt = SALT,
        .segment_id = SEGMENT_ID,
        .version_limit = VERSION_MAX,
        .vouched = file_size * data[1] / 255,
        .ordered = (data[0] & 2) != 0,
    };
    struct scan_result result;
    REQUIRE(scan_segment(walk.bytes, &options, see_record, &walk, &result) == BITCASK_OK);
    REQUIRE(result.records == walk.records);
    REQUIRE(result.end <= walk.end && result.data_end >= walk.end);
    REQUIRE(result.data_end <= file_size && result.watermark >= options.vouched);
    uint64_t last = SEGMENT_HEADER_SIZE;
    for (size_t i = 0; i < result.hole_count; i++) {
        const struct scan_hole *hole = &result.holes[i];
        REQUIRE(hole->offset >= last && hole->end >= hole->offset && hole->end <= file_size);
        REQUIRE(hole->cut >= SEGMENT_HEADER_SIZE && hole->cut <= hole->offset);
        REQUIRE(hole->cut_records <= result.records && hole->why != NULL);
        last = hole->end;
    }
    scan_release(&result);
    free(bytes);
    return 0;
}
