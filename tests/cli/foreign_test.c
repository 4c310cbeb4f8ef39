/* SPDX-License-Identifier: MIT
 * foreign_test.c: the decoders of other Bitcasks' logs (cli/foreign.h).
 *
 * A file is built byte by byte and read as import reads it. What it gives is written down as a
 * trace, "k=v -k !35 #70": a record, a tombstone, damage at 35 that was passed over, torn at 70. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "foreign.h"

enum { FILE_MAX = 4096, TRACE_MAX = 4096, WHOLE = 1 << 20 };

/* ---- A file being built ---------------------------------------------------------------------- */

struct built {
    uint8_t bytes[FILE_MAX];
    size_t size;
    size_t ends[32]; /* of the records */
    size_t count;
};

static void add(struct built *file, const void *bytes, size_t size)
{
    assert_true(file->size + size <= FILE_MAX);
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
}

#define ADD(file, literal) add(file, literal, sizeof(literal) - 1)

static void add_big(struct built *file, uint64_t number, int size)
{
    while (size-- > 0)
        add(file, (uint8_t[]){(uint8_t)(number >> 8 * size)}, 1);
}

static void add_little(struct built *file, uint64_t number, int size)
{
    for (int i = 0; i < size; i++)
        add(file, (uint8_t[]){(uint8_t)(number >> 8 * i)}, 1);
}

static void end_record(struct built *file)
{
    file->ends[file->count++] = file->size;
}

/* Bit by bit: nothing of what is tested computes what it is tested against. */
static uint32_t crc32_of(const uint8_t *p, size_t size)
{
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
    }
    return ~crc;
}

static void riak_sized(struct built *file, bitcask_slice key, bitcask_slice value)
{
    size_t start = file->size;
    add_big(file, 0, 4);
    add_big(file, 1700000000, 4);
    add_big(file, key.size, 2);
    add_big(file, value.size, 4);
    add(file, key.data, key.size);
    add(file, value.data, value.size);
    uint32_t crc = crc32_of(file->bytes + start + 4, file->size - start - 4);
    for (int i = 0; i < 4; i++)
        file->bytes[start + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    end_record(file);
}

static void riak(struct built *file, const char *key, const char *value)
{
    riak_sized(file, bitcask_str(key), bitcask_str(value));
}

static void cask(struct built *file, uint64_t time, const char *key, const char *value)
{
    size_t start = file->size;
    add_little(file, 0, 4);
    add_little(file, time, 8);
    add_little(file, strlen(key), 4);
    add_little(file, value == NULL ? UINT32_MAX : strlen(value), 4);
    add(file, key, strlen(key));
    if (value != NULL)
        add(file, value, strlen(value));
    uint32_t crc = crc32_of(file->bytes + start + 4, file->size - start - 4);
    for (int i = 0; i < 4; i++)
        file->bytes[start + (size_t)i] = (uint8_t)(crc >> 8 * i);
    end_record(file);
}

/* Sizes in characters, as bitcaskpy counts. */
static void bitcaskpy(struct built *file, uint32_t key_size, uint32_t value_size, int tombstone,
                      const char *text)
{
    ADD(file, "\x41\xd9\x54\xfc\x40\x20\x00\x00"); /* 1700000000.5 */
    add_big(file, key_size, 4);
    add_big(file, value_size, 4);
    add_big(file, (uint64_t)tombstone, 1);
    add(file, text, strlen(text));
    end_record(file);
}

static void protobuf(struct built *file, const char *key, const char *json)
{
    add_big(file, 2 + strlen(key) + (json == NULL ? 0 : 2 + strlen(json)) + 7 + (json ? 0 : 2), 4);
    add_big(file, 0x0A, 1);
    add_big(file, strlen(key), 1);
    add(file, key, strlen(key));
    if (json != NULL) {
        add_big(file, 0x12, 1);
        add_big(file, strlen(json), 1);
        add(file, json, strlen(json));
    }
    ADD(file, "\x18\x80\xd0\x95\xff\xbc\x31");
    if (json == NULL)
        ADD(file, "\x20\x01");
    end_record(file);
}

static void line(struct built *file, const char *text)
{
    add(file, text, strlen(text));
    end_record(file);
}

/* ---- Reading it ------------------------------------------------------------------------------ */

static void trace_bytes(FILE *out, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size; i++)
        fprintf(out, p[i] > ' ' && p[i] < 0x7F ? "%c" : "<%02x>", p[i]);
}

static void trace_record(FILE *out, const struct foreign_record *record)
{
    fputs(record->deleted ? "-" : "", out);
    trace_bytes(out, record->key);
    if (!record->deleted) {
        putc('=', out);
        trace_bytes(out, record->value);
    }
    putc(' ', out);
}

static uint64_t last_time_us; /* of the last record read */
static const char *last_why;

/* Give the decoder `piece` bytes, and more only if it asks, always in a room of just that size. */
static enum foreign_result decode_next(struct foreign_decoder *decoder, foreign_decode_fn *decode,
                                       const struct built *file, size_t at, size_t piece, FILE *out,
                                       struct foreign_record *record)
{
    size_t left = file->size - at, given = piece < left ? piece : left;
    for (;;) {
        uint8_t *room = malloc(given);
        memcpy(room, file->bytes + at, given);
        struct foreign_input input = {bitcask_bytes(room, given), at, left};
        *record = (struct foreign_record){0};
        enum foreign_result result = decode(decoder, &input, record);
        if (result == FOREIGN_RECORD)
            trace_record(out, record);
        free(room);
        if (result != FOREIGN_MORE)
            return result;
        assert_true(record->size > given && record->size <= left);
        given = record->size;
    }
}

static void read_file(struct foreign_decoder *decoder, foreign_decode_fn *decode,
                      const struct built *file, size_t piece, FILE *out)
{
    struct foreign_record record;
    last_why = "";
    for (size_t at = 0; at < file->size; at += record.size) {
        switch (decode_next(decoder, decode, file, at, piece, out, &record)) {
        case FOREIGN_RECORD:
            last_time_us = record.time_us;
            break;
        case FOREIGN_NOTHING:
            break;
        case FOREIGN_DAMAGED:
            fprintf(out, "!%zu ", at - (size_t)record.behind);
            last_why = record.why;
            break;
        case FOREIGN_TORN:
            fprintf(out, "#%zu ", at - (size_t)record.behind);
            last_why = record.why;
            return;
        default:
            fail();
        }
        assert_true(record.size > 0 || record.behind > 0);
        assert_true(record.size <= file->size - at);
    }
}

/* In a static room, of which there are two, so that two traces can be compared. */
static const char *trace_with(struct foreign_decoder *decoder, foreign_decode_fn *decode,
                              const struct built *file, size_t piece)
{
    static char rooms[2][TRACE_MAX];
    static int next;
    char *room = rooms[next++ % 2];
    FILE *out = fmemopen(room, TRACE_MAX, "w");
    assert_non_null(out);
    read_file(decoder, decode, file, piece, out);
    long size = ftell(out);
    fclose(out);
    assert_true(size < TRACE_MAX);
    room[size > 0 ? size - 1 : 0] = '\0'; /* the last space */
    foreign_decoder_release(decoder);
    return room;
}

static const char *trace(foreign_decode_fn *decode, const struct built *file, size_t piece)
{
    struct foreign_decoder decoder = {0};
    return trace_with(&decoder, decode, file, piece);
}

/* What every truncation must give: the records that are whole, and the place of the tear.
 *   start  of the first record
 *   slack  bytes at a record's end that it can do without (the newline of a line) */
static void check_truncations(foreign_decode_fn *decode, const struct built *file, size_t start,
                              size_t slack)
{
    for (size_t size = start; size < file->size; size++) {
        struct built part = *file, whole = *file;
        size_t end = start;
        part.size = size;
        for (size_t i = 0; i < file->count && file->ends[i] <= size + slack; i++)
            end = file->ends[i];
        whole.size = end;
        char expected[TRACE_MAX];
        snprintf(expected, sizeof expected, "%s", trace(decode, &whole, WHOLE));
        if (size > end)
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s#%zu",
                     expected[0] == '\0' ? "" : " ", end);
        assert_string_equal(trace(decode, &part, WHOLE), expected);
        assert_string_equal(trace(decode, &part, 3), expected);
    }
}

/* Every bit of the file turned, one at a time. With a checksum no record may come out that was not
 * in the file. */
static void check_flips(foreign_decode_fn *decode, const struct built *file,
                        const char *const *known)
{
    for (size_t bit = 0; bit < 8 * file->size; bit++) {
        struct built bad = *file;
        bad.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        char got[TRACE_MAX];
        snprintf(got, sizeof got, "%s", trace(decode, &bad, WHOLE));
        assert_string_equal(trace(decode, &bad, 5), got);
        for (char *word = strtok(got, " "); known != NULL && word != NULL;
             word = strtok(NULL, " ")) {
            size_t i = 0;
            while (known[i] != NULL && strcmp(known[i], word) != 0)
                i++;
            if (known[i] == NULL && word[0] != '!' && word[0] != '#')
                fail_msg("bit %zu: '%s' was never written", bit, word);
        }
    }
}

/* ---- Riak ------------------------------------------------------------------------------------ */

static void riak_sample(struct built *file)
{
    *file = (struct built){0};
    riak(file, "a", "one");
    riak(file, "b", "");
    riak(file, "a", "bitcask_tombstone");
    riak_sized(file, bitcask_str("c"), bitcask_bytes("bitcask_tombstone2\0\0\0\7", 22));
    riak(file, "d", "last");
}

static void riak_record_has_the_bytes_of_the_page(void **state)
{
    struct built file = {0};
    (void)state;
    ADD(&file, "\x4d\x2c\x86\x13\x65\x53\xf1\x00\x00\x01\x00\x00\x00\x01kv");
    assert_string_equal(trace(foreign_riak_decode, &file, WHOLE), "k=v");
    assert_int_equal(last_time_us, 1700000000000000);
}

static void riak_tombstones_of_all_kinds_delete(void **state)
{
    struct built file = {0};
    (void)state;
    riak(&file, "0", "bitcask_tombstone");
    riak_sized(&file, bitcask_str("1"), bitcask_bytes("bitcask_tombstone1\0\0\0\1", 22));
    riak_sized(&file, bitcask_str("2"), bitcask_bytes("bitcask_tombstone2\0\0\0\1", 22));
    assert_string_equal(trace(foreign_riak_decode, &file, WHOLE), "-0 -1 -2");
}

static void riak_values_that_begin_as_tombstones_do_are_values(void **state)
{
    struct built file = {0};
    (void)state;
    riak(&file, "a", "bitcask_tombstones");
    riak(&file, "b", "bitcask_tombstone3abcd");
    riak(&file, "c", "bitcask_tombston");
    assert_string_equal(trace(foreign_riak_decode, &file, WHOLE),
                        "a=bitcask_tombstones b=bitcask_tombstone3abcd c=bitcask_tombston");
}

static void riak_truncated_anywhere_gives_what_is_whole(void **state)
{
    struct built file;
    (void)state;
    riak_sample(&file);
    assert_string_equal(trace(foreign_riak_decode, &file, WHOLE), "a=one b= -a -c d=last");
    check_truncations(foreign_riak_decode, &file, 0, 0);
}

static void riak_with_any_bit_turned_invents_nothing(void **state)
{
    struct built file;
    (void)state;
    riak_sample(&file);
    check_flips(foreign_riak_decode, &file,
                (const char *const[]){"a=one", "b=", "-a", "-c", "d=last", NULL});
}

static void riak_rot_in_a_value_costs_that_record(void **state)
{
    struct built file;
    (void)state;
    riak_sample(&file);
    file.bytes[15] ^= 1;
    assert_string_equal(trace(foreign_riak_decode, &file, WHOLE), "!0 b= -a -c d=last");
    assert_string_equal(last_why, "bad checksum");
}

static void riak_sizes_of_all_ones_are_torn(void **state)
{
    struct built file;
    (void)state;
    riak_sample(&file);
    memset(file.bytes + 8, 0xFF, 6);
    assert_string_equal(trace(foreign_riak_decode, &file, WHOLE), "#0");
}

static void riak_zeros_are_told_once(void **state)
{
    struct built file;
    (void)state;
    riak_sample(&file);
    size_t end = file.size;
    memset(file.bytes + end, 0, 1000);
    file.size += 1000;
    char expected[64];
    snprintf(expected, sizeof expected, "a=one b= -a -c d=last #%zu", end);
    assert_string_equal(trace(foreign_riak_decode, &file, WHOLE), expected);
    assert_string_equal(last_why, "zeros instead of a record");
}

static void expect_riak_key(const char *raw, size_t size, const char *decoded)
{
    struct built file = {0};
    struct foreign_decoder decoder = {.decoded_keys = true};
    char expected[128];
    riak_sized(&file, bitcask_bytes(raw, size), bitcask_str("v"));
    snprintf(expected, sizeof expected, "%s=v", decoded);
    assert_string_equal(trace_with(&decoder, foreign_riak_decode, &file, WHOLE), expected);
}

#define EXPECT_RIAK_KEY(raw, decoded) expect_riak_key(raw, sizeof(raw) - 1, decoded)

static void riak_keys_are_decoded_on_demand(void **state)
{
    (void)state;
    EXPECT_RIAK_KEY("\x02\0\6bucketkey", "bucket/key");
    EXPECT_RIAK_KEY("\x03\0\4type\0\6bucketkey", "type/bucket/key");
    EXPECT_RIAK_KEY("\x02\0\0", "/");
    EXPECT_RIAK_KEY("\x02\0\3a/bc/d", "a%2Fb/c%2Fd");
    EXPECT_RIAK_KEY("\x02\0\1%%", "%25/%25");
    EXPECT_RIAK_KEY("\x83\x68\x02\x6d\0\0\0\1b\x6d\0\0\0\2kk", "b/kk");
}

static void riak_keys_that_are_none_stay_as_they_are(void **state)
{
    (void)state;
    EXPECT_RIAK_KEY("plain", "plain");
    EXPECT_RIAK_KEY("\x02\0\xffshort", "<02><00><ff>short");
    EXPECT_RIAK_KEY("\x03\0\1t\0\2b", "<03><00><01>t<00><02>b");
    EXPECT_RIAK_KEY("\x83\x68\x03\x6d\0\0\0\1b\x6d\0\0\0\2kk",
                    "<83>h<03>m<00><00><00><01>bm<00><00><00><02>kk");
    EXPECT_RIAK_KEY("\x83\x68\x02\x6d\xff\xff\xff\xff", "<83>h<02>m<ff><ff><ff><ff>");
}

/* ---- cask.N ---------------------------------------------------------------------------------- */

static void cask_sample(struct built *file)
{
    *file = (struct built){0};
    cask(file, 1700000000, "a", "one");
    cask(file, 1700000001, "b", "");
    cask(file, 1700000002, "a", NULL);
    cask(file, 1700000003, "c", "last");
}

static void cask_record_has_the_bytes_of_the_page(void **state)
{
    struct built file = {0};
    (void)state;
    ADD(&file, "\x95\x58\x5c\xb5\x00\xf1\x53\x65\0\0\0\0\1\0\0\0\1\0\0\0kv");
    ADD(&file, "\xbf\xf5\x40\x87\x00\xf1\x53\x65\0\0\0\0\1\0\0\0\xff\xff\xff\xffk");
    assert_string_equal(trace(foreign_cask_decode, &file, WHOLE), "k=v -k");
}

static void cask_times_are_told_by_their_magnitude(void **state)
{
    static const uint64_t times[] = {1700000000, 1700000000000, 1700000000000000,
                                     1700000000000000000};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct built file = {0};
        cask(&file, times[i], "k", "v");
        trace(foreign_cask_decode, &file, WHOLE);
        assert_int_equal(last_time_us, 1700000000000000);
    }
}

static void cask_truncated_anywhere_gives_what_is_whole(void **state)
{
    struct built file;
    (void)state;
    cask_sample(&file);
    assert_string_equal(trace(foreign_cask_decode, &file, WHOLE), "a=one b= -a c=last");
    check_truncations(foreign_cask_decode, &file, 0, 0);
}

static void cask_with_any_bit_turned_invents_nothing(void **state)
{
    struct built file;
    (void)state;
    cask_sample(&file);
    check_flips(foreign_cask_decode, &file,
                (const char *const[]){"a=one", "b=", "-a", "c=last", NULL});
}

static void cask_sizes_beyond_the_file_are_torn(void **state)
{
    struct built file;
    (void)state;
    cask_sample(&file);
    memset(file.bytes + 12, 0xFF, 4);
    assert_string_equal(trace(foreign_cask_decode, &file, WHOLE), "#0");
    cask_sample(&file);
    memcpy(file.bytes + 16, "\xfe\xff\xff\xff", 4);
    assert_string_equal(trace(foreign_cask_decode, &file, WHOLE), "#0");
}

/* ---- bitcaskpy ------------------------------------------------------------------------------- */

static void bitcaskpy_sample(struct built *file)
{
    *file = (struct built){0};
    bitcaskpy(file, 1, 3, 0, "aone");
    bitcaskpy(file, 1, 0, 0, "b");
    bitcaskpy(file, 2, 4, 0, "\xc3\xa9x\xe2\x82\xac\xf0\x9f\x98\x80zz"); /* e-acute, x; euro, ... */
    bitcaskpy(file, 1, 0, 1, "a");
    bitcaskpy(file, 1, 4, 0, "clast");
}

static void bitcaskpy_sizes_count_characters(void **state)
{
    struct built file;
    (void)state;
    bitcaskpy_sample(&file);
    assert_string_equal(trace(foreign_bitcaskpy_decode, &file, WHOLE),
                        "a=one b= <c3><a9>x=<e2><82><ac><f0><9f><98><80>zz -a c=last");
    assert_int_equal(last_time_us, 1700000000500000);
}

static void bitcaskpy_truncated_anywhere_gives_what_is_whole(void **state)
{
    struct built file;
    (void)state;
    bitcaskpy_sample(&file);
    check_truncations(foreign_bitcaskpy_decode, &file, 0, 0);
}

static void bitcaskpy_with_any_bit_turned_ends(void **state)
{
    struct built file;
    (void)state;
    bitcaskpy_sample(&file);
    check_flips(foreign_bitcaskpy_decode, &file, NULL);
}

static void bitcaskpy_headers_that_cannot_be_are_torn(void **state)
{
    static const struct {
        size_t at;
        const char *bytes;
        size_t size;
    } bad[] = {{8, "\xff\xff\xff\xff", 4}, /* key size */
               {12, "\xff\xff\xff\xff", 4},
               {16, "\x02", 1},                        /* tombstone */
               {0, "\x7f\xf8\0\0\0\0\0\0", 8},         /* not a number */
               {0, "\xc1\xd9\x54\xfc\x40\x20\0\0", 8}, /* before 1970 */
               {17, "\xff", 1} /* not UTF-8 */};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct built file;
        bitcaskpy_sample(&file);
        memcpy(file.bytes + bad[i].at, bad[i].bytes, bad[i].size);
        assert_string_equal(trace(foreign_bitcaskpy_decode, &file, WHOLE), "#0");
        assert_string_equal(trace(foreign_bitcaskpy_decode, &file, 1), "#0");
    }
}

/* ---- pybitcask ------------------------------------------------------------------------------- */

static void protobuf_sample(struct built *file)
{
    *file = (struct built){0};
    ADD(file, "\x01");
    protobuf(file, "a", "\"one\"");
    protobuf(file, "b", "{\"x\": [1, 2.5e3, null]}");
    protobuf(file, "a", NULL);
    protobuf(file, "c", "-0.5");
}

static void json_sample(struct built *file)
{
    *file = (struct built){0};
    ADD(file, "\x02");
    line(file, "{\"key\": \"a\", \"value\": \"one\", \"timestamp\": 1700000000000}\n");
    line(file, "{\"key\": \"b\", \"value\": {\"key\":[1,NaN]}, \"timestamp\": 1700000000000}\n");
    line(file, "{\"key\": \"a\", \"value\": null, \"timestamp\": 1, \"deleted\": true}\n");
    line(file, "{\"key\": \"c\\u00e9\", \"value\": null, \"timestamp\": 1}\n");
}

static void pybitcask_record_has_the_bytes_of_the_page(void **state)
{
    struct built file = {0};
    (void)state;
    ADD(&file, "\x01\0\0\0\x0f\x0a\x01k\x12\x03\"v\"\x18\x80\xd0\x95\xff\xbc\x31");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE), "k=\"v\"");
    assert_int_equal(last_time_us, 1700000000000000);
    ADD(&file, "\0\0\0\x0c\x0a\x01k\x18\x80\xd0\x95\xff\xbc\x31\x20\x01");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE), "k=\"v\" -k");
}

static void pybitcask_values_are_the_json_or_the_text(void **state)
{
    struct built file;
    struct foreign_decoder text = {.text_values = true};
    (void)state;
    json_sample(&file);
    line(&file, "{\"key\": \"d\", \"value\": \"\\ud83d\\ude00\\\"\", \"timestamp\": 1}\n");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE),
                        "a=\"one\" b={\"key\":[1,NaN]} -a c<c3><a9>=null d=\"\\ud83d\\ude00\\\"\"");
    assert_string_equal(trace_with(&text, foreign_pybitcask_decode, &file, WHOLE),
                        "a=one b={\"key\":[1,NaN]} -a c<c3><a9>=null d=<f0><9f><98><80>\"");
}

static void pybitcask_both_kinds_can_stand_in_one_file(void **state)
{
    struct built file;
    (void)state;
    protobuf_sample(&file);
    line(&file, "{\"key\": \"j\", \"value\": 1, \"timestamp\": 1}\n");
    protobuf(&file, "p", "2");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE),
                        "a=\"one\" b={\"x\":<20>[1,<20>2.5e3,<20>null]} -a c=-0.5 j=1 p=2");
}

static void pybitcask_truncated_anywhere_gives_what_is_whole(void **state)
{
    struct built file;
    (void)state;
    protobuf_sample(&file);
    check_truncations(foreign_pybitcask_decode, &file, 1, 0);
    json_sample(&file);
    check_truncations(foreign_pybitcask_decode, &file, 1, 1);
}

/* A killed process leaves a part of a record, behind which the next appends. */
static void pybitcask_goes_on_behind_a_torn_record(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct built file;
        kind == 0 ? protobuf_sample(&file) : json_sample(&file);
        size_t start = file.ends[0], end = file.ends[1];
        for (size_t cut = start + 1; cut + 1 < end; cut++) {
            struct built torn = file;
            char expected[TRACE_MAX];
            memmove(torn.bytes + cut, file.bytes + end, file.size - end);
            torn.size -= end - cut;
            snprintf(expected, sizeof expected, "a=\"one\" !%zu -a %s", start,
                     kind == 0 ? "c=-0.5" : "c<c3><a9>=null");
            assert_string_equal(trace(foreign_pybitcask_decode, &torn, WHOLE), expected);
            assert_string_equal(trace(foreign_pybitcask_decode, &torn, 1), expected);
        }
    }
}

static void pybitcask_objects_in_the_value_of_a_torn_line_are_no_records(void **state)
{
    struct built file = {0};
    (void)state;
    ADD(&file, "\x02");
    line(&file, "{\"key\": \"a\", \"value\": {\"key\": \"x\", \"value\": 1}");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE), "#1");
    line(&file, "{\"key\": \"b\", \"value\": 2, \"timestamp\": 1}\n");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE), "!1 b=2");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, 1), "!1 b=2");
}

static void pybitcask_with_any_bit_turned_ends(void **state)
{
    struct built file;
    (void)state;
    protobuf_sample(&file);
    check_flips(foreign_pybitcask_decode, &file, NULL);
    json_sample(&file);
    check_flips(foreign_pybitcask_decode, &file, NULL);
}

static void pybitcask_records_that_are_none_are_torn(void **state)
{
    static const char *const bad[] = {
        "{\"value\": 1, \"timestamp\": 1}\n",             /* no key */
        "{\"key\": 1, \"value\": 1, \"timestamp\": 1}\n", /* no text */
        "{\"key\": \"a\", \"timestamp\": 1}\n",           /* no value */
        "{\"key\": \"a\", \"value\": 01, \"x\": 1}\n",    /* no JSON */
        "{\"key\": \"a\", \"value\": [1}, \"x\": 1}\n",   /* brackets */
        "{\"key\": \"a\", \"value\": 1,}\n",              /* comma */
        "{\"key\": \"a\xff\", \"value\": 1}\n",           /* not UTF-8 */
        "{\"key\": \"a\", \"value\": 1} x\n",             /* something behind */
        "[1]\n",
        "{}\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct built file = {0};
        ADD(&file, "\x02");
        line(&file, bad[i]);
        assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE), "#1");
        line(&file, "{\"key\": \"z\", \"value\": 1}\n");
        assert_string_equal(trace(foreign_pybitcask_decode, &file, 2), "!1 z=1");
    }
}

static void pybitcask_half_a_surrogate_pair_costs_that_record(void **state)
{
    struct built file = {0};
    (void)state;
    ADD(&file, "\x02");
    line(&file, "{\"key\": \"\\ud83d\", \"value\": 1, \"timestamp\": 1}\n");
    line(&file, "{\"key\": \"a\", \"value\": 1, \"timestamp\": 1}\n");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE), "!1 a=1");
}

static void pybitcask_without_its_first_byte_is_torn(void **state)
{
    struct built file = {0};
    (void)state;
    line(&file, "{\"key\": \"a\", \"value\": 1, \"timestamp\": 1}\n");
    assert_string_equal(trace(foreign_pybitcask_decode, &file, WHOLE), "#0");
}

static void pybitcask_nesting_is_bounded(void **state)
{
    char deep[3000];
    bitcask_slice value;
    (void)state;
    memset(deep, '[', 1500);
    memset(deep + 1500, ']', 1500);
    assert_int_equal(foreign_json_scan(bitcask_bytes(deep, 3000), &value), 0);
    assert_int_equal(foreign_json_scan(bitcask_bytes(deep + 500, 2000), &value), 2000);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void names_are_told_apart(void **state)
{
    static const struct {
        const char *layout, *name;
        enum foreign_name expected;
    } names[] = {
        {"riak", "12.bitcask.data", FOREIGN_NAME_DATA},
        {"riak", "12.bitcask.hint", FOREIGN_NAME_OTHER},
        {"riak", ".bitcask.data", FOREIGN_NAME_OTHER},
        {"pybitcask", "data_10.db", FOREIGN_NAME_DATA},
        {"pybitcask", "data_010.db", FOREIGN_NAME_STRANGE},
        {"pybitcask", "data_x.db", FOREIGN_NAME_OTHER},
        {"bitcaskpy", "segment_0.log", FOREIGN_NAME_DATA},
        {"bitcaskpy", "segment_0.index", FOREIGN_NAME_OTHER},
        {"cask", "cask.1", FOREIGN_NAME_DATA},
        {"cask", "cask.1.hint", FOREIGN_NAME_OTHER},
        {"cask", "cask.18446744073709551615", FOREIGN_NAME_DATA},
        {"cask", "cask.18446744073709551616", FOREIGN_NAME_STRANGE},
    };
    uint64_t number;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(
            foreign_name_parse(foreign_layout_named(names[i].layout), names[i].name, &number),
            names[i].expected);
    assert_null(foreign_layout_named("files"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(riak_record_has_the_bytes_of_the_page),
        cmocka_unit_test(riak_tombstones_of_all_kinds_delete),
        cmocka_unit_test(riak_values_that_begin_as_tombstones_do_are_values),
        cmocka_unit_test(riak_truncated_anywhere_gives_what_is_whole),
        cmocka_unit_test(riak_with_any_bit_turned_invents_nothing),
        cmocka_unit_test(riak_rot_in_a_value_costs_that_record),
        cmocka_unit_test(riak_sizes_of_all_ones_are_torn),
        cmocka_unit_test(riak_zeros_are_told_once),
        cmocka_unit_test(riak_keys_are_decoded_on_demand),
        cmocka_unit_test(riak_keys_that_are_none_stay_as_they_are),
        cmocka_unit_test(cask_record_has_the_bytes_of_the_page),
        cmocka_unit_test(cask_times_are_told_by_their_magnitude),
        cmocka_unit_test(cask_truncated_anywhere_gives_what_is_whole),
        cmocka_unit_test(cask_with_any_bit_turned_invents_nothing),
        cmocka_unit_test(cask_sizes_beyond_the_file_are_torn),
        cmocka_unit_test(bitcaskpy_sizes_count_characters),
        cmocka_unit_test(bitcaskpy_truncated_anywhere_gives_what_is_whole),
        cmocka_unit_test(bitcaskpy_with_any_bit_turned_ends),
        cmocka_unit_test(bitcaskpy_headers_that_cannot_be_are_torn),
        cmocka_unit_test(pybitcask_record_has_the_bytes_of_the_page),
        cmocka_unit_test(pybitcask_values_are_the_json_or_the_text),
        cmocka_unit_test(pybitcask_both_kinds_can_stand_in_one_file),
        cmocka_unit_test(pybitcask_truncated_anywhere_gives_what_is_whole),
        cmocka_unit_test(pybitcask_goes_on_behind_a_torn_record),
        cmocka_unit_test(pybitcask_objects_in_the_value_of_a_torn_line_are_no_records),
        cmocka_unit_test(pybitcask_with_any_bit_turned_ends),
        cmocka_unit_test(pybitcask_records_that_are_none_are_torn),
        cmocka_unit_test(pybitcask_half_a_surrogate_pair_costs_that_record),
        cmocka_unit_test(pybitcask_without_its_first_byte_is_torn),
        cmocka_unit_test(pybitcask_nesting_is_bounded),
        cmocka_unit_test(names_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
