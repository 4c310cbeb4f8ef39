/* SPDX-License-Identifier: MIT
 * manifest_fuzz.c: any text as a manifest. What is taken must be in range, and come back from what
 * the encoder makes of it. With bit 0 the envelope is put around the text: head, tail, checksum. */
#include "format/manifest.h"
#include "fuzz/fuzz.h"

static void check_decoded(const struct manifest *manifest)
{
    uint64_t id = 0;
    for (size_t i = 0; i < manifest->segment_count; i++) {
        REQUIRE(manifest->segments[i].id > id);
        REQUIRE(manifest->segments[i].version_max <= VERSION_MAX);
        REQUIRE((unsigned)manifest->segments[i].state <= MANIFEST_SEALED);
        id = manifest->segments[i].id;
    }
    REQUIRE(id < manifest->next_id && manifest->next_id <= SEGMENT_ID_MAX + 1);

    char *text, *again;
    size_t size, again_size;
    struct manifest reread;
    REQUIRE(manifest_encode(manifest, &text, &size) == BITCASK_OK);
    REQUIRE(manifest_decode(slice_of(text, size), &reread, NULL) == BITCASK_OK);
    REQUIRE(manifest_encode(&reread, &again, &again_size) == BITCASK_OK);
    REQUIRE(slice_equal(slice_of(text, size), slice_of(again, again_size)));
    manifest_release(&reread);
    free(text);
    free(again);
}

static void fuzz_text(const uint8_t *text, size_t size)
{
    struct manifest manifest;
    const char *why = NULL;
    bitcask_status status = manifest_decode(slice_of(text, size), &manifest, &why);
    if (status == BITCASK_OK) {
        check_decoded(&manifest);
        manifest_release(&manifest);
    } else if (status == BITCASK_FORMAT) {
        REQUIRE(manifest.format > FORMAT_VERSION);
    } else {
        REQUIRE(status == BITCASK_CORRUPT && why != NULL);
    }
}

/* The text without what is no part of it in the envelope: its own head and tail stay out. */
static void fuzz_in_envelope(const uint8_t *data, size_t size)
{
    static const char head[] = "{\n  \"format\": ";
    enum { TAIL_SIZE = 22 };
    const size_t head_size = sizeof head - 1, before = head_size + size;
    uint8_t *text = malloc(before + TAIL_SIZE + 1);
    REQUIRE(text != NULL);
    memcpy(text, head, head_size);
    memcpy(text + head_size, data, size);
    snprintf((char *)text + before, TAIL_SIZE + 1, "\"crc32\": \"%08x\"\n}\n",
             checksum(0, text, before));
    uint8_t *exact = fuzz_copy(text, before + TAIL_SIZE);
    free(text);
    fuzz_text(exact, before + TAIL_SIZE);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if ((data[0] & 1) != 0)
        fuzz_in_envelope(data + 1, size - 1);
    else
        fuzz_text(data + 1, size - 1);
    return 0;
}
