/* SPDX-License-Identifier: MIT
 * segment_header_fuzz.c: any bytes as a segment's header. What is taken must come out of the
 * encoder as the same bytes. */
#include "format/segment_header.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t *bytes = fuzz_copy(data + 1, size - 1);
    if ((data[0] & 1) != 0 && size - 1 >= SEGMENT_HEADER_SIZE)
        put_u32(bytes + 124, checksum(0, bytes, 124));
    struct segment_header header;
    bitcask_status status = segment_header_decode(slice_of(bytes, size - 1), &header);
    REQUIRE(status == BITCASK_OK || status == BITCASK_CORRUPT || status == BITCASK_FORMAT);
    if (status == BITCASK_FORMAT)
        REQUIRE(header.format > FORMAT_VERSION);
    if (status == BITCASK_OK) {
        uint8_t again[SEGMENT_HEADER_SIZE];
        segment_header_encode(again, &header);
        REQUIRE(memcmp(again, bytes, sizeof again) == 0);
    }
    free(bytes);
    return 0;
}
