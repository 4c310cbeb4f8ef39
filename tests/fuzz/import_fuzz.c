/* SPDX-License-Identifier: MIT
 * import_fuzz.c: the line decoders of import, for libFuzzer.
 *
 * The first byte chooses the format. What decodes must be within the limits of a store and, once
 * printed, decode to the same item again, in either format. */
#include <stdlib.h>

#include "formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool is_printable(const char *text)
{
    while (*text >= ' ' && *text <= '~')
        text++;
    return *text == '\0';
}

static bool same(bitcask_slice a, bitcask_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void check_printed(const struct item *item, line_encode_fn *encode, line_decode_fn *decode)
{
    struct line_decoder decoder = {.tree = NULL};
    struct item again;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    require(out != NULL);
    encode(out, item);
    require(fclose(out) == 0 && text[size - 1] == '\n');
    require(memchr(text, '\n', size) == text + size - 1);
    require(decode(&decoder, bitcask_bytes(text, size - 1), &again) == LINE_ITEM);
    require(same(again.key, item->key) && same(again.value, item->value));
    /* Times past the year 9999 are printed as its end. */
    require(again.expires_us == item->expires_us || item->expires_us > 253402300799999999);
    line_decoder_release(&decoder);
    free(text);
}

static void check_line(struct line_decoder *decoder, bitcask_slice line, line_decode_fn *decode)
{
    struct item item;
    enum line_result result = decode(decoder, line, &item);
    if (result == LINE_BAD)
        require(decoder->why[0] != '\0' && is_printable(decoder->why));
    if (result != LINE_ITEM)
        return;
    require(item_check(&item) == NULL);
    check_printed(&item, tsv_encode, tsv_decode);
    check_printed(&item, jsonl_encode, jsonl_decode);
}

/* Lines as import cuts them: one decoder for all, so that its reuse is tried as well. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct line_decoder decoder = {.tree = NULL};
    if (size == 0)
        return 0;
    line_decode_fn *decode = data[0] % 2 == 0 ? jsonl_decode : tsv_decode;
    for (size_t at = 1; at < size;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t end = newline != NULL ? (size_t)(newline - data) : size;
        check_line(&decoder, bitcask_bytes(data + at, end - at), decode);
        at = end + 1;
    }
    line_decoder_release(&decoder);
    return 0;
}
