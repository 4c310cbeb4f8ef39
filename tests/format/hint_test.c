/* SPDX-License-Identifier: MIT
 * hint_test.c: a hint is believed only if it is whole, and found in what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/samples.h"

/* Offsets in the file of the sample: where a test reaches in. */
enum {
    ENTRIES_AT = HINT_HEADER_SIZE,
    KEYS_AT = ENTRIES_AT + SAMPLE_KEYS * HINT_ENTRY_SIZE,
    TABLE_AT = KEYS_AT + 4 + 7 + 1 + 1,
    TRAILER_AT = TABLE_AT + 4,
};

/* Make every checksum of a file with one page and `sections` bytes good again. */
static void fix_checksums(uint8_t *file, size_t sections)
{
    uint8_t *trailer = file + TRAILER_AT + sections;
    put_u32(file + 124, checksum_portable(0, file, 124));
    put_u32(file + TABLE_AT, checksum_portable(0, file + ENTRIES_AT, TABLE_AT - ENTRIES_AT));
    put_u32(trailer, checksum_portable(checksum_portable(0, file, HINT_HEADER_SIZE),
                                       file + TABLE_AT, 4 + sections));
}

/* Open and check all. */
static bitcask_status read_hint(const uint8_t *file, size_t size, const char **why)
{
    struct hint hint;
    bitcask_status status = hint_open(slice_of(file, size), &hint, why);
    return status == BITCASK_OK ? hint_check_all(&hint, why) : status;
}

static void assert_refused(struct sample_hint *sample, const char *expected)
{
    const char *why = "nothing";
    fix_checksums(sample->bytes, 0);
    assert_int_equal(read_hint(sample->bytes, sample->size, &why), BITCASK_CORRUPT);
    assert_string_equal(why, expected);
}

static uint8_t *entry_at(struct sample_hint *sample, size_t index)
{
    return sample->bytes + ENTRIES_AT + index * HINT_ENTRY_SIZE;
}

/* ---- Good ones ------------------------------------------------------------------------------- */

static void hint_comes_back(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    struct hint hint;
    assert_int_equal(sample.size, TRAILER_AT + HINT_TRAILER_SIZE);
    assert_int_equal(hint_open(slice_of(sample.bytes, sample.size), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint_check_all(&hint, NULL), BITCASK_OK);
    assert_int_equal(hint.header.entries, SAMPLE_KEYS);
    assert_int_equal(hint.header.records, 5);
    assert_int_equal(hint.header.rolling, sample.header.rolling);
    assert_ptr_equal(hint.entries, sample.bytes + ENTRIES_AT);
    assert_ptr_equal(hint.keys, sample.bytes + KEYS_AT);
    assert_int_equal(hint.sections.size, 0);
    for (size_t i = 0; i < SAMPLE_KEYS; i++) {
        uint8_t again[HINT_ENTRY_SIZE];
        struct hint_entry entry;
        hint_entry_decode(hint.entries + i * HINT_ENTRY_SIZE, &entry);
        hint_entry_encode(again, &entry);
        assert_memory_equal(again, hint.entries + i * HINT_ENTRY_SIZE, sizeof again);
    }
}

static void hint_of_an_empty_segment_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[HINT_HEADER_SIZE + HINT_TRAILER_SIZE];
    struct hint_header header = {.format = 1, .segment_id = 1, .length = SEGMENT_HEADER_SIZE};
    struct hint hint;
    assert_int_equal(hint_file_size(&header), sizeof bytes);
    hint_header_encode(bytes, &header);
    hint_finish(bytes, &header);
    assert_int_equal(hint_open(slice_of(bytes, sizeof bytes), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint_check_all(&hint, NULL), BITCASK_OK);
    assert_int_equal(hint_lower_bound(&hint, 0), 0);
    assert_int_equal(hint_lower_bound(&hint, UINT64_MAX), 0);
    assert_true(hint_check(&hint, 0, 0));
    assert_false(hint_check(&hint, 0, 1));
}

static void unknown_sections_are_kept_and_skipped(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    struct hint hint;
    uint8_t *at = sample.bytes + TRAILER_AT;
    memmove(at + 19, at, HINT_TRAILER_SIZE);
    put_u32(at, 77), put_u32(at + 4, 3), memcpy(at + 8, "abc", 3);
    put_u32(at + 11, 78), put_u32(at + 15, 0);
    put_u32(sample.bytes + 120, 19);
    fix_checksums(sample.bytes, 19);
    assert_int_equal(hint_open(slice_of(sample.bytes, sample.size + 19), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint_check_all(&hint, NULL), BITCASK_OK);
    assert_int_equal(hint.sections.size, 19);
    put_u32(at + 4, 4); /* now the second one has too little room */
    fix_checksums(sample.bytes, 19);
    const char *why = NULL;
    assert_int_equal(read_hint(sample.bytes, sample.size + 19, &why), BITCASK_CORRUPT);
    assert_string_equal(why, "section out of bounds");
}

static void filter_comes_back(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint_with_filter();
    struct hint hint;
    assert_int_equal(hint_open(slice_of(sample.bytes, sample.size), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint_check_all(&hint, NULL), BITCASK_OK);
    assert_int_equal(hint.sections.size, 8 + FILTER_BLOCK_SIZE);
    assert_ptr_equal(hint.filter.data, sample.bytes + TRAILER_AT + 8);
    assert_int_equal(hint.filter.size, FILTER_BLOCK_SIZE);
}

static void hint_without_a_filter_has_none(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    struct hint hint;
    assert_int_equal(hint_open(slice_of(sample.bytes, sample.size), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint.filter.size, 0);
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    for (size_t size = 0; size < sample.size; size++) {
        uint8_t *exact = malloc(size > 0 ? size : 1);
        assert_non_null(exact);
        memcpy(exact, sample.bytes, size);
        assert_int_equal(read_hint(exact, size, NULL), BITCASK_CORRUPT);
        free(exact);
    }
    assert_int_equal(read_hint(sample.bytes, sample.size + 1, NULL), BITCASK_CORRUPT);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    for (size_t bit = 0; bit < 8 * sample.size; bit++) {
        sample.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(read_hint(sample.bytes, sample.size, NULL), BITCASK_CORRUPT);
        sample.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void every_flipped_bit_of_a_filter_is_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint_with_filter();
    for (size_t bit = 8 * TRAILER_AT; bit < 8 * sample.size; bit++) {
        sample.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(read_hint(sample.bytes, sample.size, NULL), BITCASK_CORRUPT);
        sample.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A filter that says no to a key of the hint would have a merge drop a tombstone that is needed. */
static void filter_without_one_of_the_keys_is_refused(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * FILTER_BLOCK_SIZE; bit++) {
        struct sample_hint sample = sample_hint_with_filter();
        uint8_t *byte = sample.bytes + TRAILER_AT + 8 + bit / 8;
        bool was_set = (*byte >> bit % 8 & 1) != 0;
        *byte &= (uint8_t) ~(1u << bit % 8);
        fix_checksums(sample.bytes, 8 + FILTER_BLOCK_SIZE);
        const char *why = "nothing";
        bitcask_status status = read_hint(sample.bytes, sample.size, &why);
        assert_int_equal(status, was_set ? BITCASK_CORRUPT : BITCASK_OK);
        assert_string_equal(why, was_set ? "filter without one of the keys" : "nothing");
    }
}

static void filter_of_an_impossible_size_is_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, FILTER_BLOCK_SIZE - 1, FILTER_BLOCK_SIZE + 1};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct sample_hint sample = sample_hint();
        uint8_t *at = sample.bytes + TRAILER_AT;
        memset(at, 0xff, 8 + FILTER_BLOCK_SIZE + 1);
        memcpy(at + 8 + sizes[i] + 4, "tnih", 4);
        put_u32(at, HINT_SECTION_FILTER), put_u32(at + 4, sizes[i]);
        put_u32(sample.bytes + 120, 8 + sizes[i]);
        fix_checksums(sample.bytes, 8 + sizes[i]);
        const char *why = NULL;
        assert_int_equal(read_hint(sample.bytes, sample.size + 8 + sizes[i], &why),
                         BITCASK_CORRUPT);
        assert_string_equal(why, "filter of an impossible size, or two of them");
    }
}

static void two_filters_are_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint_with_filter();
    uint8_t *at = sample.bytes + TRAILER_AT;
    size_t size = 8 + FILTER_BLOCK_SIZE;
    memmove(at + 2 * size, at + size, HINT_TRAILER_SIZE);
    memcpy(at + size, at, size);
    put_u32(sample.bytes + 120, (uint32_t)(2 * size));
    fix_checksums(sample.bytes, 2 * size);
    const char *why = NULL;
    assert_int_equal(read_hint(sample.bytes, sample.size + size, &why), BITCASK_CORRUPT);
    assert_string_equal(why, "filter of an impossible size, or two of them");
}

static void newer_format_is_told_from_damage(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    put_u32(sample.bytes + 8, FORMAT_VERSION + 1);
    assert_int_equal(read_hint(sample.bytes, sample.size, NULL), BITCASK_CORRUPT);
    memset(sample.bytes + 12, 0xff, 112);
    put_u32(sample.bytes + 124, checksum_portable(0, sample.bytes, 124));
    assert_int_equal(read_hint(sample.bytes, sample.size, NULL), BITCASK_FORMAT);
}

/* ---- Hostile: the checksums good, a field wrong ---------------------------------------------- */

/* Write a u64 of the header. */
static void assert_header_refused(size_t at, uint64_t value, const char *expected)
{
    struct sample_hint sample = sample_hint();
    put_u64(sample.bytes + at, value);
    assert_refused(&sample, expected);
}

static void header_out_of_range_is_refused(void **state)
{
    (void)state;
    assert_header_refused(8, 0, "header out of range");
    assert_header_refused(32, 0, "header out of range");
    assert_header_refused(32, SEGMENT_ID_MAX + 1, "header out of range");
    assert_header_refused(48, SEGMENT_HEADER_SIZE - 1, "segment length out of range");
    assert_header_refused(48, BITCASK_MAX_SEGMENT_SIZE + 1, "segment length out of range");
    assert_header_refused(56, 6, "more records than fit");
    assert_header_refused(56, UINT64_MAX / 28 + 1, "more records than fit");
    assert_header_refused(64, SAMPLE_KEYS - 1, "size of the keys out of range");
    assert_header_refused(64, UINT64_MAX, "size of the keys out of range");
    assert_header_refused(72, UINT64_MAX, "more records than fit");
    assert_header_refused(80, 6, "more records than fit");
    assert_header_refused(88, SAMPLE_TIME + 6, "range out of order");
    assert_header_refused(96, VERSION_MAX + 1, "range out of order");
    assert_header_refused(104, UINT64_MAX, "range out of order");
}

static void wrong_count_is_refused(void **state)
{
    (void)state;
    assert_header_refused(56, SAMPLE_KEYS + 1, "size differs from what the header says");
    assert_header_refused(64, 12, "size differs from what the header says");
    struct sample_hint sample = sample_hint();
    put_u32(sample.bytes + 120, 1);
    assert_refused(&sample, "size differs from what the header says");
}

static void entry_beyond_the_segment_is_refused(void **state)
{
    (void)state;
    static const uint32_t offsets[] = {0, SEGMENT_HEADER_SIZE - 1, 311, 312, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        struct sample_hint sample = sample_hint();
        put_u32(entry_at(&sample, 1) + 16, offsets[i]);
        assert_refused(&sample, "entry beyond the segment");
    }
    struct sample_hint sample = sample_hint();
    for (size_t i = 0; i < SAMPLE_KEYS; i++)
        put_u32(entry_at(&sample, i) + 20, BITCASK_MAX_VALUE_SIZE);
    put_u16(entry_at(&sample, 0) + 26, 0);
    assert_refused(&sample, "entry beyond the segment");
}

static void entry_of_an_impossible_record_is_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    put_u16(entry_at(&sample, 2) + 24, 0);
    assert_refused(&sample, "entry of an impossible record");
    sample = sample_hint();
    put_u32(entry_at(&sample, 2) + 20, BITCASK_MAX_VALUE_SIZE + 1);
    assert_refused(&sample, "entry of an impossible record");
    sample = sample_hint();
    put_u16(entry_at(&sample, 2) + 26, RECORD_TOMBSTONE | RECORD_EXPIRES);
    put_u32(entry_at(&sample, 2) + 20, 0);
    assert_refused(&sample, "entry of an impossible record");
}

static void entry_with_unknown_flags_is_refused(void **state)
{
    (void)state;
    for (unsigned bit = 2; bit < 16; bit++) {
        struct sample_hint sample = sample_hint();
        put_u16(entry_at(&sample, 3) + 26, (uint16_t)(1u << bit));
        assert_refused(&sample, "entry with unknown flags");
    }
}

static void entry_version_out_of_range_is_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    put_u64(entry_at(&sample, 0) + 8, SAMPLE_TIME + 6);
    assert_refused(&sample, "entry with a version out of range");
    put_u64(entry_at(&sample, 0) + 8, SAMPLE_TIME);
    assert_refused(&sample, "entry with a version out of range");
}

static void entries_out_of_order_are_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    put_u64(entry_at(&sample, 2), get_u64(entry_at(&sample, 1)) - 1);
    assert_refused(&sample, "entries out of order");
    sample = sample_hint();
    memcpy(entry_at(&sample, 1), entry_at(&sample, 0), HINT_ENTRY_SIZE);
    assert_refused(&sample, "entries out of order");
}

/* Lay out a hint of `count` entries with one key each of one byte, all hashes equal. */
static struct sample_hint hint_of_equal_hashes(const char *keys)
{
    struct sample_hint sample = sample_hint();
    struct hint_entry entries[8];
    slice slices[8];
    sample.header.entries = sample.header.keys_size = strlen(keys);
    for (size_t i = 0; i < sample.header.entries; i++) {
        slices[i] = slice_of(keys + i, 1);
        entries[i] = (struct hint_entry){.hash = 5,
                                         .version = SAMPLE_TIME + 1,
                                         .offset = (uint32_t)(SEGMENT_HEADER_SIZE + 21 * i),
                                         .key_size = 1};
    }
    sample_hint_lay_out(sample.bytes, &sample.header, entries, slices);
    sample.size = (size_t)hint_file_size(&sample.header);
    return sample;
}

static void equal_hashes_of_different_keys_are_taken(void **state)
{
    (void)state;
    struct sample_hint sample = hint_of_equal_hashes("abcde");
    assert_int_equal(read_hint(sample.bytes, sample.size, NULL), BITCASK_OK);
}

static void duplicate_key_is_refused(void **state)
{
    (void)state;
    const char *why = NULL;
    struct sample_hint sample = hint_of_equal_hashes("abcda");
    assert_int_equal(read_hint(sample.bytes, sample.size, &why), BITCASK_CORRUPT);
    assert_string_equal(why, "two entries of one key");
}

static void keys_of_another_size_are_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    put_u16(entry_at(&sample, 0) + 24, (uint16_t)(get_u16(entry_at(&sample, 0) + 24) + 100));
    put_u32(entry_at(&sample, 0) + 16, SEGMENT_HEADER_SIZE);
    put_u32(entry_at(&sample, 0) + 20, 0);
    assert_refused(&sample, "keys longer than their area");
    sample = hint_of_equal_hashes("abcde");
    sample.header.keys_size++; /* a byte too many behind the last key */
    hint_header_encode(sample.bytes, &sample.header);
    hint_finish(sample.bytes, &sample.header);
    sample.size = (size_t)hint_file_size(&sample.header);
    const char *why = NULL;
    assert_int_equal(read_hint(sample.bytes, sample.size, &why), BITCASK_CORRUPT);
    assert_string_equal(why, "keys shorter than their area");
}

static void overlapping_records_are_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    for (size_t i = 0; i < SAMPLE_KEYS; i++) {
        put_u32(entry_at(&sample, i) + 16, SEGMENT_HEADER_SIZE);
        put_u32(entry_at(&sample, i) + 20, 100);
        put_u16(entry_at(&sample, i) + 26, 0);
    }
    assert_refused(&sample, "records that overlap");
}

static void more_tombstones_than_counted_are_refused(void **state)
{
    (void)state;
    struct sample_hint sample = sample_hint();
    put_u64(sample.bytes + 80, 0);
    assert_refused(&sample, "more tombstones than the header says");
}

/* ---- Many entries: pages and search ---------------------------------------------------------- */

enum { MANY = 3000 };

struct many {
    uint8_t *bytes;
    struct hint hint;
    uint64_t hashes[MANY];
};

/* Entries whose hashes are spread evenly (or, skewed, crowded at the low end). */
static struct many *make_many(bool skewed)
{
    struct many *many = malloc(sizeof *many);
    struct hint_entry *entries = calloc(MANY, sizeof *entries);
    slice *keys = calloc(MANY, sizeof *keys);
    assert_true(many != NULL && entries != NULL && keys != NULL);
    struct hint_header header = {.format = 1,
                                 .segment_id = 1,
                                 .length = SEGMENT_HEADER_SIZE + 21 * MANY,
                                 .entries = MANY,
                                 .keys_size = MANY,
                                 .records = MANY};
    uint64_t hash = 3;
    for (uint32_t i = 0; i < MANY; i++) {
        many->hashes[i] = hash;
        entries[i] = (struct hint_entry){
            .hash = hash, .offset = SEGMENT_HEADER_SIZE + 21 * i, .key_size = 1};
        keys[i] = slice_of("x", 1);
        uint64_t step = UINT64_MAX / (MANY + 1);
        hash += skewed ? (UINT64_C(1) << (i * 50 / MANY))
                       : step / 2 + (i * 7919u % 1000) * (step / 1000);
    }
    many->bytes = malloc((size_t)hint_file_size(&header));
    assert_non_null(many->bytes);
    sample_hint_lay_out(many->bytes, &header, entries, keys);
    slice file = slice_of(many->bytes, (size_t)hint_file_size(&header));
    assert_int_equal(hint_open(file, &many->hint, NULL), BITCASK_OK);
    assert_int_equal(hint_check_all(&many->hint, NULL), BITCASK_OK);
    free(entries);
    free(keys);
    return many;
}

static void free_many(struct many *many)
{
    free(many->bytes);
    free(many);
}

static void assert_bounds_found(const struct many *many)
{
    for (size_t i = 0; i < MANY; i++) {
        uint64_t hash = many->hashes[i];
        assert_int_equal(hint_lower_bound(&many->hint, hash), i);
        assert_int_equal(hint_lower_bound(&many->hint, hash + 1), i + 1);
    }
    assert_int_equal(hint_lower_bound(&many->hint, 0), 0);
    assert_int_equal(hint_lower_bound(&many->hint, UINT64_MAX), MANY);
}

static void lower_bound_of_spread_hashes(void **state)
{
    (void)state;
    struct many *many = make_many(false);
    assert_bounds_found(many);
    free_many(many);
}

static void lower_bound_of_crowded_hashes(void **state)
{
    (void)state;
    struct many *many = make_many(true);
    assert_bounds_found(many);
    free_many(many);
}

static void lower_bound_of_a_run_is_its_first(void **state)
{
    (void)state;
    struct sample_hint sample = hint_of_equal_hashes("abcde");
    struct hint hint;
    assert_int_equal(hint_open(slice_of(sample.bytes, sample.size), &hint, NULL), BITCASK_OK);
    assert_int_equal(hint_lower_bound(&hint, 4), 0);
    assert_int_equal(hint_lower_bound(&hint, 5), 0);
    assert_int_equal(hint_lower_bound(&hint, 6), 5);
}

/* Whatever stands there, the search ends inside. */
static void lower_bound_of_garbage_ends(void **state)
{
    (void)state;
    struct many *many = make_many(false);
    for (size_t i = 0; i < MANY; i++)
        put_u64(many->bytes + HINT_HEADER_SIZE + i * HINT_ENTRY_SIZE,
                i * UINT64_C(0x9e3779b97f4a7c15));
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(hint_lower_bound(&many->hint, i << 54) <= MANY);
    memset(many->bytes + HINT_HEADER_SIZE, 0, MANY * HINT_ENTRY_SIZE);
    assert_int_equal(hint_lower_bound(&many->hint, 0), 0);
    assert_int_equal(hint_lower_bound(&many->hint, 1), MANY);
    memset(many->bytes + HINT_HEADER_SIZE, 255, MANY * HINT_ENTRY_SIZE);
    assert_int_equal(hint_lower_bound(&many->hint, UINT64_MAX), 0);
    free_many(many);
}

/* TRAPS 20: ranges that end at a page's edge take no further page, those beyond it do. */
static void trap_20_damage_is_seen_in_its_page_only(void **state)
{
    (void)state;
    struct many *many = make_many(false);
    uint64_t area = MANY * HINT_ENTRY_SIZE + MANY;
    many->bytes[HINT_HEADER_SIZE + HINT_PAGE] ^= 1; /* first byte of the second page */
    assert_true(hint_check(&many->hint, 0, HINT_PAGE - 1));
    assert_true(hint_check(&many->hint, 0, HINT_PAGE));
    assert_false(hint_check(&many->hint, 0, HINT_PAGE + 1));
    assert_false(hint_check(&many->hint, HINT_PAGE, 1));
    assert_false(hint_check(&many->hint, 2 * HINT_PAGE - 1, 1));
    assert_true(hint_check(&many->hint, 2 * HINT_PAGE, area - 2 * HINT_PAGE));
    assert_true(hint_check(&many->hint, HINT_PAGE + 1, 0));
    const char *why = NULL;
    assert_int_equal(hint_check_all(&many->hint, &why), BITCASK_CORRUPT);
    assert_string_equal(why, "bad checksum of a page");
    many->bytes[HINT_HEADER_SIZE + HINT_PAGE] ^= 1;
    many->bytes[HINT_HEADER_SIZE + area - 1] ^= 1; /* last byte of the last, shorter one */
    assert_false(hint_check(&many->hint, area - 1, 1));
    assert_false(hint_check(&many->hint, area, 1));
    assert_false(hint_check(&many->hint, 0, area + 1));
    assert_false(hint_check(&many->hint, UINT64_MAX, 2));
    assert_false(hint_check(&many->hint, 2, UINT64_MAX));
    free_many(many);
}

/* TRAPS 20: areas that end just before, at and behind the end of a page. */
static void trap_20_areas_around_pages_come_back(void **state)
{
    (void)state;
    static uint8_t key[3 * HINT_PAGE], file[4 * HINT_PAGE];
    memset(key, 'k', sizeof key);
    for (size_t area = HINT_PAGE - 1; area <= 2 * HINT_PAGE + 1;
         area += area == HINT_PAGE + 1 ? HINT_PAGE - 2 : 1) {
        struct hint_entry entry = {.offset = SEGMENT_HEADER_SIZE,
                                   .key_size = (uint16_t)(area - HINT_ENTRY_SIZE)};
        struct hint_header header = {.format = 1,
                                     .segment_id = 1,
                                     .length = SEGMENT_HEADER_SIZE + 20 + entry.key_size,
                                     .entries = 1,
                                     .keys_size = entry.key_size,
                                     .records = 1};
        slice key_slice = slice_of(key, entry.key_size);
        sample_hint_lay_out(file, &header, &entry, &key_slice);
        size_t size = (size_t)hint_file_size(&header);
        assert_int_equal(size, 128 + area + 4 * ((area + 4095) / 4096) + 8);
        assert_int_equal(read_hint(file, size, NULL), BITCASK_OK);
        file[HINT_HEADER_SIZE + area - 1] ^= 1;
        assert_int_equal(read_hint(file, size, NULL), BITCASK_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hint_comes_back),
        cmocka_unit_test(hint_of_an_empty_segment_comes_back),
        cmocka_unit_test(unknown_sections_are_kept_and_skipped),
        cmocka_unit_test(filter_comes_back),
        cmocka_unit_test(hint_without_a_filter_has_none),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_flipped_bit_of_a_filter_is_refused),
        cmocka_unit_test(filter_without_one_of_the_keys_is_refused),
        cmocka_unit_test(filter_of_an_impossible_size_is_refused),
        cmocka_unit_test(two_filters_are_refused),
        cmocka_unit_test(newer_format_is_told_from_damage),
        cmocka_unit_test(header_out_of_range_is_refused),
        cmocka_unit_test(wrong_count_is_refused),
        cmocka_unit_test(entry_beyond_the_segment_is_refused),
        cmocka_unit_test(entry_of_an_impossible_record_is_refused),
        cmocka_unit_test(entry_with_unknown_flags_is_refused),
        cmocka_unit_test(entry_version_out_of_range_is_refused),
        cmocka_unit_test(entries_out_of_order_are_refused),
        cmocka_unit_test(equal_hashes_of_different_keys_are_taken),
        cmocka_unit_test(duplicate_key_is_refused),
        cmocka_unit_test(keys_of_another_size_are_refused),
        cmocka_unit_test(overlapping_records_are_refused),
        cmocka_unit_test(more_tombstones_than_counted_are_refused),
        cmocka_unit_test(lower_bound_of_spread_hashes),
        cmocka_unit_test(lower_bound_of_crowded_hashes),
        cmocka_unit_test(lower_bound_of_a_run_is_its_first),
        cmocka_unit_test(lower_bound_of_garbage_ends),
        cmocka_unit_test(trap_20_damage_is_seen_in_its_page_only),
        cmocka_unit_test(trap_20_areas_around_pages_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
