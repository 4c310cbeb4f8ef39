/* SPDX-License-Identifier: MIT
 * import_export_formats_test.c: the formats of import and export (cli/formats.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats.h"

/* ---- Verbs --------------------------------------------------------------------------------- */

#define EXPECT_ITEM(decode, line, key, value, expires)                                        \
    expect_item(decode, bitcask_bytes(line, sizeof(line) - 1),                                \
                bitcask_bytes(key, sizeof(key) - 1), bitcask_bytes(value, sizeof(value) - 1), \
                expires)

static void assert_bytes(bitcask_slice got, bitcask_slice wanted)
{
    assert_int_equal(got.size, wanted.size);
    assert_memory_equal(got.data, wanted.data, wanted.size);
}

static void expect_item(line_decode_fn *decode, bitcask_slice line, bitcask_slice key,
                        bitcask_slice value, uint64_t expires_us)
{
    struct line_decoder decoder = {.tree = NULL};
    struct item item;
    enum line_result result = decode(&decoder, line, &item);
    if (result != LINE_ITEM)
        print_message("%s\n", decoder.why);
    assert_int_equal(result, LINE_ITEM);
    assert_bytes(item.key, key);
    assert_bytes(item.value, value);
    assert_int_equal(item.expires_us, expires_us);
    line_decoder_release(&decoder);
}

static void expect_bad(line_decode_fn *decode, const char *line, const char *why)
{
    struct line_decoder decoder = {.tree = NULL};
    struct item item;
    assert_int_equal(decode(&decoder, bitcask_str(line), &item), LINE_BAD);
    if (strstr(decoder.why, why) == NULL)
        fail_msg("%s: '%s' is not in '%s'", line, why, decoder.why);
    line_decoder_release(&decoder);
}

static void expect_blank(line_decode_fn *decode, const char *line)
{
    struct line_decoder decoder = {.tree = NULL};
    struct item item;
    assert_int_equal(decode(&decoder, bitcask_str(line), &item), LINE_BLANK);
    line_decoder_release(&decoder);
}

/* Encode, decode, compare. */
static void round_trip(line_encode_fn *encode, line_decode_fn *decode, const struct item *item)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    encode(out, item);
    assert_int_equal(fclose(out), 0);
    assert_true(size > 0 && text[size - 1] == '\n');
    assert_ptr_equal(memchr(text, '\n', size), text + size - 1);
    expect_item(decode, bitcask_bytes(text, size - 1), item->key, item->value, item->expires_us);
    free(text);
}

static void round_trips(line_encode_fn *encode, line_decode_fn *decode)
{
    uint8_t every[256], pairs[512];
    for (int i = 0; i < 256; i++) {
        every[i] = (uint8_t)i;
        pairs[2 * i] = (uint8_t)(255 - i);
        pairs[2 * i + 1] = '\\';
    }
    const bitcask_slice samples[] = {
        bitcask_str("a"),
        bitcask_bytes("", 0),
        bitcask_bytes(every, 256),
        bitcask_bytes(pairs, 512),
        bitcask_bytes(every, 128),
        bitcask_str("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
        bitcask_bytes("\0", 1),
        bitcask_str("\r"),
        bitcask_str("ends with\r"),
        bitcask_str("\\x41"),
        bitcask_str("\xed\xa0\x80"), /* a surrogate: not UTF-8 */
        bitcask_str("\xc3"),
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        for (size_t k = 0; k < sizeof samples / sizeof samples[0]; k++) {
            struct item item = {samples[i], samples[k], i % 2 == 0 ? 0 : 1767225600123456 + i};
            if (item.key.size > 0)
                round_trip(encode, decode, &item);
        }
}

/* ---- jsonl --------------------------------------------------------------------------------- */

static void jsonl_members_are_read(void **state)
{
    (void)state;
    EXPECT_ITEM(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\"}", "k", "v", 0);
    EXPECT_ITEM(jsonl_decode, " {\"value\":\"\",\"key\":\"\\u00e9\\n\",\"version\":7}\r",
                "\xc3\xa9\n", "", 0);
    EXPECT_ITEM(jsonl_decode, "{\"key_b64\":\"/w==\",\"value_b64\":\"AAECAw==\"}", "\xff",
                "\0\1\2\3", 0);
    EXPECT_ITEM(jsonl_decode, "{\"key\":\"a\\u0000b\",\"value\":\"\\u0000\"}", "a\0b", "\0", 0);
}

static void jsonl_expiry_takes_microseconds_or_a_time(void **state)
{
    (void)state;
    EXPECT_ITEM(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":1767225600000001}",
                "k", "v", 1767225600000001);
    EXPECT_ITEM(jsonl_decode,
                "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":\"2026-01-01T00:00:00Z\"}", "k", "v",
                1767225600000000);
    EXPECT_ITEM(jsonl_decode,
                "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":\"2026-01-01T02:00:00.5+02:00\"}",
                "k", "v", 1767225600500000);
    EXPECT_ITEM(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":null}", "k", "v", 0);
    EXPECT_ITEM(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":0}", "k", "v", 0);
    EXPECT_ITEM(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":\"1767225600000001\"}",
                "k", "v", 1767225600000001);
}

static void jsonl_seconds_are_refused_as_expiry(void **state)
{
    (void)state;
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":1767225600}",
               "microseconds");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":1767225600000}",
               "microseconds");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":-1}", "before 1973");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":\"tomorrow\"}",
               "no time");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":true}", "neither");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expires_at\":99999999999999999999}",
               "column");
}

static void jsonl_malformed_lines_say_why(void **state)
{
    (void)state;
    expect_bad(jsonl_decode, "{\"key\":\"k\"", "column");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\"} x", "column");
    expect_bad(jsonl_decode, "[]", "not a JSON object");
    expect_bad(jsonl_decode, "7", "not a JSON object");
    expect_bad(jsonl_decode, "{\"value\":\"v\"}", "no \"key\"");
    expect_bad(jsonl_decode, "{\"key\":\"k\"}", "no \"value\"");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"key\":\"k\",\"value\":\"\"}", "column");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"key_b64\":\"\",\"value\":\"\"}", "both");
    expect_bad(jsonl_decode, "{\"key\":\"\",\"value\":\"v\"}", "key is empty");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":7}", "not a string");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value_b64\":\"AA\"}", "base64");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value_b64\":\"AB==\"}", "base64");
    expect_bad(jsonl_decode, "{\"key\":\"k\",\"value\":\"v\",\"expire_at\":1}", "unknown member");
    expect_bad(jsonl_decode, "{\"key\":\"\xff\",\"value\":\"v\"}", "column");
    expect_bad(jsonl_decode, "{\"key\":\"\\ud800\",\"value\":\"v\"}", "column");
}

static void jsonl_message_is_printable(void **state)
{
    (void)state;
    struct line_decoder decoder = {.tree = NULL};
    struct item item;
    assert_int_equal(jsonl_decode(&decoder, bitcask_str("{\"\x1b[31m\\u001b\": 1}"), &item),
                     LINE_BAD);
    for (const char *p = decoder.why; *p != '\0'; p++)
        assert_in_range(*p, ' ', '~');
    line_decoder_release(&decoder);
}

static void jsonl_deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *line = malloc(DEPTH + 1);
    assert_non_null(line);
    memset(line, '[', DEPTH);
    line[DEPTH] = '\0';
    expect_bad(jsonl_decode, line, "column");
    free(line);
}

static void jsonl_reads_what_it_prints(void **state)
{
    (void)state;
    round_trips(jsonl_encode, jsonl_decode);
}

/* ---- tsv ----------------------------------------------------------------------------------- */

static void tsv_fields_are_read(void **state)
{
    (void)state;
    EXPECT_ITEM(tsv_decode, "k\tv", "k", "v", 0);
    EXPECT_ITEM(tsv_decode, "k\t", "k", "", 0);
    EXPECT_ITEM(tsv_decode, "k\tv\r", "k", "v", 0);
    EXPECT_ITEM(tsv_decode, "a\\tb\t\\n\\r\\\\\\0\\x41\\xfF", "a\tb", "\n\r\\\0A\xff", 0);
    EXPECT_ITEM(tsv_decode, "k\tv\t2026-01-01T00:00:00.000001Z", "k", "v", 1767225600000001);
    EXPECT_ITEM(tsv_decode, "k\tv\t1767225600000001", "k", "v", 1767225600000001);
}

static void tsv_malformed_lines_say_why(void **state)
{
    (void)state;
    expect_bad(tsv_decode, "k", "no tab");
    expect_bad(tsv_decode, "\tv", "key is empty");
    expect_bad(tsv_decode, "k\tv\\", "escape at column 5");
    expect_bad(tsv_decode, "k\t\\q", "escape at column 4");
    expect_bad(tsv_decode, "\\x4\tv", "escape at column 2");
    expect_bad(tsv_decode, "k\t\\x4g", "escape");
    expect_bad(tsv_decode, "k\tv\tw", "third column 'w'");
    expect_bad(tsv_decode, "k\tv\t1767225600000001\t", "third column");
}

static void tsv_key_of_the_largest_size_is_taken(void **state)
{
    (void)state;
    static char line[BITCASK_MAX_KEY_SIZE + 3];
    memset(line, 'k', sizeof line);
    line[BITCASK_MAX_KEY_SIZE] = '\t';
    expect_item(tsv_decode, bitcask_bytes(line, BITCASK_MAX_KEY_SIZE + 1),
                bitcask_bytes(line, BITCASK_MAX_KEY_SIZE), bitcask_bytes("", 0), 0);
    memset(line, 'k', sizeof line);
    line[BITCASK_MAX_KEY_SIZE + 1] = '\t';
    line[BITCASK_MAX_KEY_SIZE + 2] = '\0';
    expect_bad(tsv_decode, line, "longer than 65535");
}

static void tsv_reads_what_it_prints(void **state)
{
    (void)state;
    round_trips(tsv_encode, tsv_decode);
}

static void blank_lines_are_blank(void **state)
{
    (void)state;
    expect_blank(tsv_decode, "");
    expect_blank(tsv_decode, "\r");
    expect_blank(jsonl_decode, "");
    expect_blank(jsonl_decode, " \t\r");
}

/* ---- files --------------------------------------------------------------------------------- */

static void files_metadata_is_read_back(void **state)
{
    (void)state;
    for (int kind = FILES_FILE; kind <= FILES_DIRECTORY; kind++)
        for (unsigned mode = 0; mode <= FILES_MODE_MASK; mode++) {
            char text[FILES_META_SIZE];
            enum files_kind kind_read;
            unsigned mode_read;
            if ((mode & ~(unsigned)FILES_MODE_MASK) != 0)
                continue;
            size_t size = files_meta_encode(text, (enum files_kind)kind, mode);
            assert_true(files_meta_decode(bitcask_bytes(text, size), &kind_read, &mode_read));
            assert_int_equal(kind_read, kind);
            assert_int_equal(mode_read, mode);
        }
}

static void files_setuid_is_not_kept(void **state)
{
    (void)state;
    char text[FILES_META_SIZE];
    enum files_kind kind;
    unsigned mode;
    size_t size = files_meta_encode(text, FILES_FILE, 0106755);
    assert_bytes(bitcask_bytes(text, size), bitcask_str("file 0755"));
    assert_false(files_meta_decode(bitcask_str("file 4755"), &kind, &mode));
}

static void files_malformed_metadata_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "file",      "file 755",  "file 08755",
                                      "file 0788", "File 0644", "file-0644", "link 0777 x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum files_kind kind;
        unsigned mode;
        assert_false(files_meta_decode(bitcask_str(bad[i]), &kind, &mode));
    }
}

static void files_path_that_leaves_the_tree_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",  "/",   "/etc/passwd", "..",   "../x", "a/..",  "a/../b",
                                      ".", "./a", "a/.",         "a//b", "a/",   "a/./b", "//a"};
    static const char *const good[] = {"a", "a/b", "...", "..a", ".a", "a..", "a/..b/c...", " "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(files_path_check(bitcask_str(bad[i])));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_null(files_path_check(bitcask_str(good[i])));
    assert_non_null(files_path_check(bitcask_bytes("a\0b", 3)));
}

static void files_metadata_has_keys_that_no_path_is(void **state)
{
    (void)state;
    bitcask_buffer key = {0};
    bitcask_slice path;
    assert_true(files_meta_key(&key, bitcask_str("a/b")));
    assert_bytes(bitcask_bytes(key.data, key.size), bitcask_str("/.meta/a/b"));
    assert_non_null(files_path_check(bitcask_bytes(key.data, key.size)));
    assert_true(files_is_meta_key(bitcask_bytes(key.data, key.size), &path));
    assert_bytes(path, bitcask_str("a/b"));
    assert_false(files_is_meta_key(bitcask_str("a/b"), &path));
    assert_false(files_is_meta_key(bitcask_str("/.meta"), &path));
    bitcask_buffer_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonl_members_are_read),
        cmocka_unit_test(jsonl_expiry_takes_microseconds_or_a_time),
        cmocka_unit_test(jsonl_seconds_are_refused_as_expiry),
        cmocka_unit_test(jsonl_malformed_lines_say_why),
        cmocka_unit_test(jsonl_message_is_printable),
        cmocka_unit_test(jsonl_deep_nesting_is_refused),
        cmocka_unit_test(jsonl_reads_what_it_prints),
        cmocka_unit_test(tsv_fields_are_read),
        cmocka_unit_test(tsv_malformed_lines_say_why),
        cmocka_unit_test(tsv_key_of_the_largest_size_is_taken),
        cmocka_unit_test(tsv_reads_what_it_prints),
        cmocka_unit_test(blank_lines_are_blank),
        cmocka_unit_test(files_metadata_is_read_back),
        cmocka_unit_test(files_setuid_is_not_kept),
        cmocka_unit_test(files_malformed_metadata_is_refused),
        cmocka_unit_test(files_path_that_leaves_the_tree_is_refused),
        cmocka_unit_test(files_metadata_has_keys_that_no_path_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
