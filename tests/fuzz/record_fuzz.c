/* SPDX-License-Identifier: MIT
 * record_fuzz.c: any bytes as records, and as the values of META records.
 *
 * What is taken must lie inside the input and come out of the encoder as the same bytes. */
#include "format/record.h"
#include "fuzz/fuzz.h"

enum { SALT = 0x5a17 };

static void fuzz_meta(slice value)
{
    struct meta_sync sync;
    struct meta_seal seal;
    if (meta_sync_decode(value, &sync) == BITCASK_OK) {
        uint8_t again[META_SYNC_SIZE];
        REQUIRE(meta_kind_of(value) == META_SYNC);
        REQUIRE(slice_equal(slice_of(again, meta_sync_encode(again, &sync)), value));
    }
    uint64_t follows;
    if (meta_follows_decode(value, &follows) == BITCASK_OK) {
        uint8_t again[META_FOLLOWS_SIZE];
        REQUIRE(meta_kind_of(value) == META_FOLLOWS);
        REQUIRE(slice_equal(slice_of(again, meta_follows_encode(again, follows)), value));
    }
    if (meta_seal_decode(value, &seal) == BITCASK_OK) {
        uint8_t *again = malloc(META_SEAL_FIXED + 8 * (size_t)seal.input_count);
        REQUIRE(again != NULL && meta_kind_of(value) == META_SEAL);
        REQUIRE(slice_equal(slice_of(again, meta_seal_encode(again, &seal)), value));
        free(again);
    }
}

/* Decode the record at `at`; where the next one may begin, or 0 at the end. */
static size_t fuzz_one(uint8_t *bytes, size_t size, size_t at, bool fix)
{
    slice in = slice_of(bytes + at, size - at);
    struct record record;
    struct record_shape shape;
    const char *why = NULL;
    bitcask_status status = record_parse(in, &shape, &why);
    if (status == BITCASK_OK && fix)
        record_seal(bytes + at, shape.size, SALT, at);
    bitcask_status decoded = record_decode(in, SALT, at, &record, &shape, &why);
    if (decoded != BITCASK_OK) {
        REQUIRE(decoded == BITCASK_END || (decoded == BITCASK_CORRUPT && why != NULL));
        REQUIRE(status == BITCASK_OK ? decoded == BITCASK_CORRUPT : decoded == status);
        return 0;
    }
    REQUIRE(status == BITCASK_OK && shape.size <= in.size);
    REQUIRE(shape.size == record_size(record.flags, record.key.size, record.value.size));
    uint8_t *again = malloc((size_t)shape.size);
    REQUIRE(again != NULL);
    REQUIRE(record_encode(again, &record, SALT, at) == shape.size);
    REQUIRE(memcmp(again, bytes + at, (size_t)shape.size) == 0);
    free(again);
    REQUIRE(!record_checksum_ok(bytes + at, shape.size, SALT, at + 1));
    if ((record.flags & RECORD_META) != 0)
        fuzz_meta(record.value);
    return at + (size_t)shape.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t *bytes = fuzz_copy(data + 1, size - 1);
    fuzz_meta(slice_of(bytes, size - 1));
    size_t at = 0;
    do {
        at = fuzz_one(bytes, size - 1, at, (data[0] & 1) != 0);
    } while (at != 0 && at < size - 1);
    free(bytes);
    return 0;
}
