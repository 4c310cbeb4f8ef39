/* SPDX-License-Identifier: MIT
 * golden_test.c: what version 1 of the format looks like stays so, and docs/FORMAT.md says so.
 *
 * tests/golden/v1/ keeps what the encoders made of the samples when version 1 was fixed. Those
 * files are never written anew for the same version. `golden_test write` writes them for a new one.
 * Each block of docs/FORMAT.md fenced as "hex NAME" is compared with the bytes of that name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/samples.h"

#ifndef SOURCE_ROOT
#define SOURCE_ROOT ".."
#endif

#define GOLDEN SOURCE_ROOT "/tests/golden/v1/"
#define FORMAT_PAGE SOURCE_ROOT "/docs/FORMAT.md"

/* The whole file, with a zero behind it; the caller frees. */
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *size = fread(text, 1, (1 << 20) - 1, file);
    text[*size] = 0;
    fclose(file);
    return text;
}

static void assert_file_is(const char *path, const void *data, size_t size)
{
    size_t found_size;
    char *found = read_file(path, &found_size);
    assert_int_equal(found_size, size);
    assert_memory_equal(found, data, size);
    free(found);
}

static char *encode_manifest(size_t *size)
{
    struct manifest_segment segments[SAMPLE_SEGMENTS];
    struct manifest manifest = sample_manifest(segments);
    char *text;
    assert_int_equal(manifest_encode(&manifest, &text, size), BITCASK_OK);
    return text;
}

/* ---- Golden files ---------------------------------------------------------------------------- */

static void segment_is_encoded_as_ever(void **state)
{
    (void)state;
    struct sample_segment segment = sample_segment();
    assert_file_is(GOLDEN "segment.data", segment.bytes, segment.size);
}

static void hint_is_encoded_as_ever(void **state)
{
    (void)state;
    struct sample_hint hint = sample_hint();
    assert_file_is(GOLDEN "segment.hint", hint.bytes, hint.size);
    hint = sample_hint_with_filter();
    assert_file_is(GOLDEN "segment-filter.hint", hint.bytes, hint.size);
}

static void manifest_is_encoded_as_ever(void **state)
{
    (void)state;
    size_t size;
    char *text = encode_manifest(&size);
    assert_file_is(GOLDEN "MANIFEST", text, size);
    free(text);
}

static void golden_segment_reads_as_written(void **state)
{
    (void)state;
    static const char *const keys[SAMPLE_RECORDS] = {"city", "session", "a", "b", "", "city", ""};
    static const char *const values[4] = {"Utrecht", "token", "1", "2"};
    static const unsigned flags[SAMPLE_RECORDS] = {
        0, RECORD_EXPIRES, RECORD_BATCH_MORE, 0, RECORD_META, RECORD_TOMBSTONE, RECORD_META};
    static const unsigned versions[SAMPLE_RECORDS] = {1, 2, 3, 4, 4, 5, 5};
    size_t size;
    char *file = read_file(GOLDEN "segment.data", &size);
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(file, size), &header), BITCASK_OK);
    assert_int_equal(header.kind, SEGMENT_LOG);
    assert_int_equal(header.segment_id, 7);
    assert_int_equal(header.salt, SAMPLE_SALT);
    assert_int_equal(header.created_us, SAMPLE_TIME);
    assert_memory_equal(header.store_id, SAMPLE_STORE_ID, STORE_ID_SIZE);
    assert_memory_equal(header.seed, SAMPLE_SEED, SEED_SIZE);

    size_t at = SEGMENT_HEADER_SIZE;
    struct record record;
    for (size_t i = 0; i < SAMPLE_RECORDS; i++) {
        struct record_shape shape;
        assert_int_equal(
            record_decode(slice_of(file + at, size - at), header.salt, at, &record, &shape, NULL),
            BITCASK_OK);
        assert_int_equal(record.version, SAMPLE_TIME + versions[i]);
        assert_int_equal(record.flags, flags[i]);
        assert_int_equal(record.expires_us, i == 1 ? SAMPLE_TIME + 3600000000 : 0);
        assert_true(slice_equal(record.key, bitcask_str(keys[i])));
        if (i < ARRAY_SIZE(values))
            assert_true(slice_equal(record.value, bitcask_str(values[i])));
        at += shape.size;
    }
    assert_int_equal(at, size);
    struct meta_seal seal;
    assert_int_equal(meta_seal_decode(record.value, &seal), BITCASK_OK);
    assert_int_equal(seal.records, 5);
    free(file);
}

static void golden_hint_reads_as_written(void **state)
{
    (void)state;
    size_t size;
    char *file = read_file(GOLDEN "segment.hint", &size);
    struct hint hint;
    assert_int_equal(hint_open(slice_of(file, size), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint_check_all(&hint, NULL), BITCASK_OK);
    uint8_t again[HINT_HEADER_SIZE];
    hint_header_encode(again, &hint.header);
    assert_memory_equal(again, file, sizeof again);
    assert_int_equal(hint.header.entries, SAMPLE_KEYS);
    assert_int_equal(hint.header.length, 311);
    assert_int_equal(hint.header.salt, SAMPLE_SALT);
    free(file);
}

static void golden_filter_has_every_key(void **state)
{
    (void)state;
    static const char *const keys[SAMPLE_KEYS] = {"city", "session", "a", "b"};
    struct hash_secret secret;
    hash_secret_init(&secret, SAMPLE_SEED);
    size_t size;
    char *file = read_file(GOLDEN "segment-filter.hint", &size);
    struct hint hint;
    assert_int_equal(hint_open(slice_of(file, size), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint_check_all(&hint, NULL), BITCASK_OK);
    assert_int_equal(hint.filter.size, FILTER_BLOCK_SIZE);
    for (size_t i = 0; i < SAMPLE_KEYS; i++)
        assert_true(filter_may_have(hint.filter, hash_key(&secret, bitcask_str(keys[i]))));
    assert_false(filter_may_have(hint.filter, hash_key(&secret, bitcask_str("nobody"))));
    free(file);
}

static void golden_manifest_reads_as_written(void **state)
{
    (void)state;
    size_t size;
    char *file = read_file(GOLDEN "MANIFEST", &size);
    struct manifest found;
    assert_int_equal(manifest_decode(slice_of(file, size), &found, NULL), BITCASK_OK);
    assert_int_equal(found.next_id, 12);
    assert_int_equal(found.version_ceiling, SAMPLE_TIME + 60000000);
    assert_int_equal(found.segment_count, SAMPLE_SEGMENTS);
    assert_int_equal(found.segments[0].length, 311);
    assert_int_equal(found.segments[1].state, MANIFEST_SEALING);
    assert_true(found.segments[1].merge);
    assert_true(found.segments[2].damaged);
    char *again;
    size_t again_size;
    assert_int_equal(manifest_encode(&found, &again, &again_size), BITCASK_OK);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, file, size);
    free(again);
    manifest_release(&found);
    free(file);
}

/* ---- The page -------------------------------------------------------------------------------- */

/* Parse lines of "OFFSET  byte byte ...  remark" up to the closing fence. Returns the size. */
static size_t parse_hex_block(const char *text, uint8_t *to, size_t room)
{
    size_t size = 0;
    while (strncmp(text, "```", 3) != 0) {
        char *at;
        unsigned long offset = strtoul(text, &at, 16);
        assert_int_equal(offset, size);
        assert_true(strncmp(at, "  ", 2) == 0);
        at += 2;
        for (unsigned byte; sscanf(at, "%2x", &byte) == 1; at += 3) {
            assert_true(size < room);
            to[size++] = (uint8_t)byte;
            if (at[2] != ' ' || at[3] == ' ')
                break;
        }
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    return size;
}

/* Find the one block fenced as `fence`; its first line. */
static const char *find_block(const char *page, const char *fence)
{
    char line[64];
    snprintf(line, sizeof line, "\n```%s\n", fence);
    const char *found = strstr(page, line);
    if (found == NULL)
        fail_msg("docs/FORMAT.md has no block '%s'", fence);
    found += strlen(line);
    assert_null(strstr(found, line));
    return found;
}

static void assert_page_has(const char *page, const char *fence, const uint8_t *data, size_t size)
{
    uint8_t found[SAMPLE_ROOM];
    size_t found_size = parse_hex_block(find_block(page, fence), found, sizeof found);
    if (found_size != size || memcmp(found, data, size) != 0)
        fail_msg("docs/FORMAT.md: block '%s' is not what the encoder makes", fence);
}

static void format_page_shows_what_the_encoders_make(void **state)
{
    (void)state;
    static const char *const fences[SAMPLE_RECORDS] = {
        "hex record-put",  "hex record-expires",   "hex record-batch-1", "hex record-batch-2",
        "hex record-sync", "hex record-tombstone", "hex record-seal"};
    size_t page_size;
    char *page = read_file(FORMAT_PAGE, &page_size);
    struct sample_segment segment = sample_segment();
    assert_page_has(page, "hex segment-header", segment.bytes, SEGMENT_HEADER_SIZE);
    for (size_t i = 0; i < SAMPLE_RECORDS; i++)
        assert_page_has(page, fences[i], segment.bytes + segment.offsets[i],
                        segment.offsets[i + 1] - segment.offsets[i]);
    uint8_t value[META_FOLLOWS_SIZE], follows[RECORD_HEADER_SIZE + META_FOLLOWS_SIZE];
    struct record record = sample_meta(value, meta_follows_encode(value, 6), SAMPLE_TIME);
    size_t follows_size = record_encode(follows, &record, SAMPLE_SALT, SEGMENT_HEADER_SIZE);
    assert_page_has(page, "hex record-follows", follows, follows_size);
    struct sample_hint hint = sample_hint();
    assert_page_has(page, "hex hint", hint.bytes, hint.size);
    struct sample_hint filtered = sample_hint_with_filter();
    assert_page_has(page, "hex filter", filtered.bytes + hint.size - HINT_TRAILER_SIZE,
                    filtered.size - hint.size);
    struct hash_secret secret;
    hash_secret_init(&secret, SAMPLE_SEED);
    assert_page_has(page, "hex secret", secret.bytes, sizeof secret.bytes);

    size_t blocks = 0;
    for (const char *at = page; (at = strstr(at, "\n```hex ")) != NULL; at++)
        blocks++;
    assert_int_equal(blocks, SAMPLE_RECORDS + 5); /* none but those compared above */
    free(page);
}

static void format_page_shows_the_manifest(void **state)
{
    (void)state;
    size_t page_size, size;
    char *page = read_file(FORMAT_PAGE, &page_size);
    char *text = encode_manifest(&size);
    assert_memory_equal(find_block(page, "json"), text, size);
    free(text);
    free(page);
}

/* Lines of: quoted key, perhaps "* N" for so many of it, hash. */
static void format_page_shows_the_hashes(void **state)
{
    (void)state;
    size_t page_size;
    char *page = read_file(FORMAT_PAGE, &page_size);
    struct hash_secret secret;
    hash_secret_init(&secret, SAMPLE_SEED);
    size_t lines = 0;
    for (const char *at = find_block(page, "hash"); *at == '"'; at = strchr(at, '\n') + 1) {
        char key[2000];
        const char *end = strchr(at + 1, '"');
        assert_non_null(end);
        size_t size = (size_t)(end - at - 1), times = 1;
        char *rest = (char *)(uintptr_t)(end + 1);
        if (strncmp(rest, " * ", 3) == 0)
            times = strtoul(rest + 3, &rest, 10);
        assert_true(size * times < sizeof key);
        for (size_t i = 0; i < times; i++)
            memcpy(key + i * size, at + 1, size);
        assert_true(strtoull(rest, NULL, 16) == hash_key(&secret, slice_of(key, size * times)));
        lines++;
    }
    assert_true(lines >= 5);
    free(page);
}

static int write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    return file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0;
}

static int write_golden_files(void)
{
    struct sample_segment segment = sample_segment();
    struct sample_hint hint = sample_hint();
    struct sample_hint filtered = sample_hint_with_filter();
    struct manifest_segment segments[SAMPLE_SEGMENTS];
    struct manifest manifest = sample_manifest(segments);
    char *text;
    size_t size;
    if (manifest_encode(&manifest, &text, &size) != BITCASK_OK)
        return 1;
    int failed = write_file(GOLDEN "segment.data", segment.bytes, segment.size) |
                 write_file(GOLDEN "segment.hint", hint.bytes, hint.size) |
                 write_file(GOLDEN "segment-filter.hint", filtered.bytes, filtered.size) |
                 write_file(GOLDEN "MANIFEST", text, size);
    free(text);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "write") == 0)
        return write_golden_files();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_is_encoded_as_ever),
        cmocka_unit_test(hint_is_encoded_as_ever),
        cmocka_unit_test(manifest_is_encoded_as_ever),
        cmocka_unit_test(golden_segment_reads_as_written),
        cmocka_unit_test(golden_hint_reads_as_written),
        cmocka_unit_test(golden_filter_has_every_key),
        cmocka_unit_test(golden_manifest_reads_as_written),
        cmocka_unit_test(format_page_shows_what_the_encoders_make),
        cmocka_unit_test(format_page_shows_the_manifest),
        cmocka_unit_test(format_page_shows_the_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
