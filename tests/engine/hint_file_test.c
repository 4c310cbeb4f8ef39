/* SPDX-License-Identifier: MIT
 * hint_file_test.c: hints built from segments, written, opened, refused, searched. */
#include "support/colliding_keys.h"
#include "support/segment_fixture.h"

#include <stdio.h>

struct fixture {
    struct table_fixture *t;
    struct made_segment made;
    struct hint_file hint;
    struct segment_figures figures;
    bitcask_error error;
};

static void start(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->t = table_new();
    segment_start(&f->made, f->t, 1, 1 << 20);
}

static void finish(struct fixture *f)
{
    hint_file_close(f->t->os, &f->hint);
    segment_end(&f->made);
    assert_int_equal(os_mem_live_bytes(f->t->os), 0);
    assert_int_equal(os_mem_live_maps(f->t->os), 0);
    assert_int_equal(os_mem_open_files(f->t->os), 0);
    table_free(f->t);
}

static bitcask_status try_build(struct fixture *f)
{
    hint_file_close(f->t->os, &f->hint);
    return hint_file_build(&f->made.segment, &f->t->secret, segment_length(&f->made), &f->hint,
                           &f->figures, &f->error);
}

static void build(struct fixture *f)
{
    assert_int_equal(try_build(f), BITCASK_OK);
    const char *why = NULL;
    if (hint_check_all(&f->hint.hint, &why) != BITCASK_OK)
        fail_msg("the hint is no good: %s", why);
    segment_set_figures(&f->made.segment, &f->figures);
}

static uint64_t hash_of(struct fixture *f, const char *key)
{
    return hash_key(&f->t->secret, bitcask_str(key));
}

static bitcask_status find(struct fixture *f, const char *key, struct hint_entry *entry)
{
    return hint_file_find(&f->hint, hash_of(f, key), bitcask_str(key), entry);
}

static void check_entry(struct fixture *f, const char *key, uint64_t offset, uint64_t version)
{
    struct hint_entry entry;
    assert_int_equal(find(f, key, &entry), BITCASK_OK);
    assert_int_equal(entry.offset, offset);
    assert_int_equal(entry.version, version);
    assert_int_equal(entry.key_size, strlen(key));
}

/* ---- Building ------------------------------------------------------------------------------- */

static void a_segment_without_records_has_an_empty_hint(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    build(&f);
    assert_int_equal(f.hint.hint.header.entries, 0);
    assert_int_equal(f.figures.version_max, 0);
    struct hint_entry entry;
    assert_int_equal(find(&f, "a", &entry), BITCASK_NOT_FOUND);
    finish(&f);
}

static void the_newest_record_of_each_key_is_in_it_tombstones_too(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    segment_put(&f.made, "a", "1", 10);
    segment_put(&f.made, "b", "1", 11);
    uint64_t a = segment_put(&f.made, "a", "22", 12);
    uint64_t b = segment_delete(&f.made, "b", 13);
    build(&f);
    assert_int_equal(f.hint.hint.header.entries, 2);
    check_entry(&f, "a", a, 12);
    check_entry(&f, "b", b, 13);
    struct hint_entry entry;
    assert_int_equal(find(&f, "b", &entry), BITCASK_OK);
    assert_int_equal(entry.flags, RECORD_TOMBSTONE);
    assert_int_equal(entry.value_size, 0);
    assert_int_equal(find(&f, "a", &entry), BITCASK_OK);
    assert_int_equal(entry.value_size, 2);
    assert_int_equal(f.figures.records, 4);
    assert_int_equal(f.figures.tombstones, 1);
    assert_int_equal(f.figures.version_min, 10);
    assert_int_equal(f.figures.version_max, 13);
    finish(&f);
}

static void the_highest_version_wins_wherever_it_stands(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    uint64_t newest = segment_put(&f.made, "a", "new", 20);
    segment_put(&f.made, "a", "old", 10); /* as in the output of a merge */
    build(&f);
    check_entry(&f, "a", newest, 20);
    finish(&f);
}

static void expiries_are_in_the_figures_and_their_keys_are_found(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct record record = {.version = 5,
                            .flags = RECORD_EXPIRES | RECORD_BATCH_MORE,
                            .expires_us = 700,
                            .key = bitcask_str("x")};
    uint64_t at = segment_append(&f.made, &record);
    record.key = bitcask_str("y");
    record.expires_us = 300;
    record.version = 6;
    record.flags = RECORD_EXPIRES;
    segment_append(&f.made, &record);
    build(&f);
    assert_int_equal(f.figures.expires_min, 300);
    assert_int_equal(f.figures.expires_max, 700);
    check_entry(&f, "x", at, 5);
    struct hint_entry entry;
    assert_int_equal(find(&f, "x", &entry), BITCASK_OK);
    assert_int_equal(entry.flags, RECORD_EXPIRES); /* a batch is of no interest any more */
    finish(&f);
}

static void meta_records_count_for_the_rolling_checksum_only(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    uint64_t first = segment_put(&f.made, "a", "1", 10);
    uint8_t value[META_SEAL_FIXED];
    struct meta_sync sync = {1, first};
    struct record record = {.version = 10,
                            .flags = RECORD_META,
                            .value = slice_of(value, meta_sync_encode(value, &sync))};
    uint64_t second = segment_append(&f.made, &record);
    struct meta_seal seal = {.length = segment_length(&f.made)};
    record.value = slice_of(value, meta_seal_encode(value, &seal));
    segment_append(&f.made, &record);
    build(&f);
    assert_int_equal(f.figures.records, 1);
    uint32_t rolling = rolling_checksum(0, f.made.bytes + first);
    rolling = rolling_checksum(rolling, f.made.bytes + second);
    assert_int_equal(f.figures.rolling, rolling); /* without the SEAL record */
    assert_int_equal(f.hint.hint.header.rolling, rolling);
    finish(&f);
}

static void thousands_of_keys_are_sorted_and_found(void **state)
{
    (void)state;
    enum { KEYS = 3000, RECORDS = 10000 };
    struct fixture f;
    start(&f);
    static uint64_t offset[KEYS], version[KEYS];
    memset(version, 0, sizeof version);
    uint32_t random = 1;
    for (uint64_t i = 1; i <= RECORDS; i++) {
        random = random * 1664525 + 1013904223;
        size_t k = (random >> 8) % KEYS;
        char key[32];
        snprintf(key, sizeof key, "key%zu", k * k);
        offset[k] = segment_put(&f.made, key, "value", i);
        version[k] = i;
    }
    build(&f);
    uint64_t keys = 0;
    for (size_t k = 0; k < KEYS; k++) {
        char key[32];
        snprintf(key, sizeof key, "key%zu", k * k);
        keys += version[k] != 0;
        struct hint_entry entry;
        if (version[k] != 0)
            check_entry(&f, key, offset[k], version[k]);
        else
            assert_int_equal(find(&f, key, &entry), BITCASK_NOT_FOUND);
    }
    assert_int_equal(f.hint.hint.header.entries, keys);
    assert_int_equal(f.figures.records, RECORDS);
    finish(&f);
}

static void one_key_thousands_of_times_is_one_entry(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    uint64_t last = 0;
    for (uint64_t i = 1; i <= 5000; i++)
        last = segment_put(&f.made, "hot", "value", i);
    build(&f);
    assert_int_equal(f.hint.hint.header.entries, 1);
    check_entry(&f, "hot", last, 5000);
    finish(&f);
}

/* The segment's own count says how much room to ask for at once. It is a guess. */
static void a_count_of_records_that_is_wrong_does_no_harm(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 1500, 4000, 5000, UINT64_MAX};
    struct fixture f;
    start(&f);
    char key[16];
    for (uint64_t i = 1; i <= 4000; i++) {
        snprintf(key, sizeof key, "k%u", (unsigned)i);
        segment_put(&f.made, key, "value", i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        atomic_store(&f.made.segment.records, counts[i]);
        build(&f);
        assert_int_equal(f.hint.hint.header.entries, 4000);
    }
    finish(&f);
}

/* Two keys with one 64-bit hash cannot be made, so the hash is forged in the builder. */
static void keys_with_one_hash_are_told_apart(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct hint_builder builder;
    hint_builder_init(&builder, f.t->os, &f.t->secret);
    static const char *const keys[] = {"one", "two", "one", "three", "two"};
    uint64_t offset[5];
    for (size_t i = 0; i < 5; i++) {
        struct segment_record record;
        offset[i] = segment_put(&f.made, keys[i], "v", i + 1);
        assert_int_equal(segment_read(&f.made.segment, offset[i], &record, NULL), BITCASK_OK);
        assert_int_equal(hint_builder_add(&builder, &record.shape, record.bytes, offset[i]),
                         BITCASK_OK);
        builder.entries[i].hash = 42;
    }
    assert_int_equal(
        hint_builder_finish(&builder, &f.made.segment, segment_length(&f.made), &f.hint, &f.error),
        BITCASK_OK);
    hint_builder_release(&builder);
    const char *why = NULL;
    assert_int_equal(hint_check_all(&f.hint.hint, &why), BITCASK_OK);
    assert_int_equal(f.hint.hint.header.entries, 3);
    static const size_t newest[] = {2, 4, 3};
    for (size_t i = 0; i < 3; i++) {
        struct hint_entry entry;
        slice key = bitcask_str(keys[newest[i]]);
        assert_int_equal(hint_file_find(&f.hint, 42, key, &entry), BITCASK_OK);
        assert_int_equal(entry.offset, offset[newest[i]]);
    }
    struct hint_entry entry;
    assert_int_equal(hint_file_find(&f.hint, 42, bitcask_str("four"), &entry), BITCASK_NOT_FOUND);
    finish(&f);
}

static void a_damaged_record_ends_the_building(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    segment_put(&f.made, "a", "1", 1);
    uint64_t bad = segment_put(&f.made, "b", "2", 2);
    segment_put(&f.made, "c", "3", 3);
    f.made.bytes[bad + 21] ^= 1;
    assert_int_equal(try_build(&f), BITCASK_CORRUPT);
    assert_int_equal(f.error.segment, 1);
    assert_int_equal(f.error.offset, bad);
    finish(&f);
}

static void a_record_across_the_length_ends_the_building(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    uint64_t at = segment_put(&f.made, "a", "1", 1);
    assert_int_equal(
        hint_file_build(&f.made.segment, &f.t->secret, at + 5, &f.hint, &f.figures, &f.error),
        BITCASK_CORRUPT);
    finish(&f);
}

static void building_without_memory_fails_and_leaks_nothing(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    for (uint64_t i = 1; i <= 3000; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%d", (int)i);
        segment_put(&f.made, key, "v", i);
    }
    bitcask_status status = BITCASK_NO_MEMORY;
    for (uint64_t nth = 1; status != BITCASK_OK; nth++) {
        os_mem_fail(f.t->os, 1u << OS_CALL_ALLOC, nth, 1, -12);
        status = try_build(&f);
        assert_true(status == BITCASK_OK || status == BITCASK_NO_MEMORY);
        if (status != BITCASK_OK)
            assert_int_equal(os_mem_live_bytes(f.t->os), 0);
        assert_true(nth < 100);
    }
    os_mem_fail(f.t->os, 0, 0, 0, 0);
    finish(&f);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void write_hint(struct fixture *f)
{
    assert_int_equal(hint_file_write(&f->made.segment, &f->hint, &f->error), BITCASK_OK);
    hint_file_close(f->t->os, &f->hint);
}

static bitcask_status open_hint(struct fixture *f, uint64_t length, bool rolling, const char **why)
{
    hint_file_close(f->t->os, &f->hint);
    return hint_file_open(&f->made.segment, length, rolling, true, &f->hint, why);
}

static void check_refused(struct fixture *f, uint64_t length, const char *expected)
{
    const char *why = NULL;
    assert_int_equal(open_hint(f, length, true, &why), BITCASK_CORRUPT);
    assert_null(f->hint.memory);
    if (expected != NULL)
        assert_string_equal(why, expected);
}

static void start_written(struct fixture *f)
{
    start(f);
    segment_put(&f->made, "a", "1", 10);
    segment_put(&f->made, "b", "2", 11);
    build(f);
    write_hint(f);
}

static void a_written_hint_is_opened_again(void **state)
{
    (void)state;
    struct fixture f;
    start_written(&f);
    assert_int_equal(atomic_load(&f.made.segment.has_hint), 1);
    const char *why = NULL;
    assert_int_equal(open_hint(&f, segment_length(&f.made), true, &why), BITCASK_OK);
    assert_int_equal(f.hint.hint.header.length, segment_length(&f.made));
    check_entry(&f, "a", SEGMENT_HEADER_SIZE, 10);
    uint64_t salt;
    assert_true(hint_file_salt(&f.made.segment, &salt));
    assert_true(salt == f.made.segment.salt);
    finish(&f);
}

static void a_hint_that_is_not_there_is_no_good(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    check_refused(&f, segment_length(&f.made), "not there");
    uint64_t salt;
    assert_false(hint_file_salt(&f.made.segment, &salt));
    finish(&f);
}

static void a_hint_of_something_else_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    start_written(&f);
    uint64_t length = segment_length(&f.made);
    check_refused(&f, length - 1, "covers more than the segment has");
    f.made.segment.salt++;
    check_refused(&f, length, "of another segment");
    f.made.segment.salt--;
    f.made.segment.figures.rolling++;
    check_refused(&f, length, "of other records");
    const char *why;
    assert_int_equal(open_hint(&f, length, false, &why), BITCASK_OK);
    assert_int_equal(open_hint(&f, length + 100, true, &why), BITCASK_OK); /* covers less */
    f.made.segment.figures.rolling--;
    f.t->table.store_id[0]++;
    check_refused(&f, length, "of another store");
    finish(&f);
}

static void any_byte_flipped_or_cut_off_is_noticed(void **state)
{
    (void)state;
    struct fixture f;
    start_written(&f);
    uint8_t bytes[4096];
    const char *path = "store/000000001.hint";
    int64_t size = os_mem_read_file(f.t->os, path, bytes, sizeof bytes);
    assert_true(size > 0 && size < (int64_t)sizeof bytes);
    for (int64_t i = 0; i < size; i++) {
        bytes[i] ^= 0x5a;
        os_mem_write_file(f.t->os, path, bytes, (size_t)size);
        check_refused(&f, segment_length(&f.made), NULL);
        bytes[i] ^= 0x5a;
    }
    for (int64_t cut = 0; cut < size; cut++) {
        os_mem_write_file(f.t->os, path, bytes, (size_t)cut);
        check_refused(&f, segment_length(&f.made), NULL);
    }
    finish(&f);
}

static void a_temporary_file_that_was_left_is_replaced(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    segment_put(&f.made, "a", "1", 10);
    build(&f);
    assert_int_equal(os_mem_write_file(f.t->os, "store/000000001.hint.tmp", "old", 3), 0);
    write_hint(&f);
    assert_int_equal(os_mem_read_file(f.t->os, "store/000000001.hint.tmp", NULL, 0), -2);
    const char *why = NULL;
    assert_int_equal(open_hint(&f, segment_length(&f.made), true, &why), BITCASK_OK);
    finish(&f);
}

static void a_failed_write_leaves_the_old_hint_or_none(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    segment_put(&f.made, "a", "1", 10);
    build(&f);
    bitcask_status status = BITCASK_IO;
    for (uint64_t nth = 1; status != BITCASK_OK; nth++) {
        os_mem_fail(f.t->os, UINT32_MAX, nth, 1, -28);
        status = hint_file_write(&f.made.segment, &f.hint, &f.error);
        os_mem_fail(f.t->os, 0, 0, 0, 0);
        struct hint_file found;
        const char *why = NULL;
        if (hint_file_open(&f.made.segment, segment_length(&f.made), true, true, &found, &why) !=
            BITCASK_OK)
            assert_string_equal(why, "not there");
        hint_file_close(f.t->os, &found);
        assert_true(nth < 50);
    }
    finish(&f);
}

/* ---- Searching ------------------------------------------------------------------------------ */

static void a_search_that_meets_a_bad_page_says_so(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    char key[32];
    for (uint64_t i = 1; i <= 1000; i++) {
        snprintf(key, sizeof key, "k%d", (int)i);
        segment_put(&f.made, key, "v", i);
    }
    build(&f);
    uint8_t *entries = (uint8_t *)f.hint.memory + HINT_HEADER_SIZE;
    uint64_t corrupt = 0;
    for (uint64_t i = 0; i < 1000; i += 7) {
        uint64_t hash = get_u64(entries + i * HINT_ENTRY_SIZE);
        entries[i * HINT_ENTRY_SIZE + 16] ^= 1; /* its offset */
        struct hint_entry entry;
        for (uint64_t k = 1; k <= 1000; k++) {
            snprintf(key, sizeof key, "k%d", (int)k);
            bitcask_status status = find(&f, key, &entry);
            if (hash_of(&f, key) == hash)
                assert_int_equal(status, BITCASK_CORRUPT);
            assert_true(status == BITCASK_OK || status == BITCASK_CORRUPT);
            corrupt += status == BITCASK_CORRUPT;
        }
        entries[i * HINT_ENTRY_SIZE + 16] ^= 1;
    }
    assert_true(corrupt > 0);
    finish(&f);
}

/* ---- Searching in what is damaged ------------------------------------------------------------ */

enum { COLLIDING = 6 };

static void put_colliding(struct fixture *f)
{
    for (unsigned i = 0; i < COLLIDING; i++) {
        uint8_t key[COLLIDING_KEY_SIZE];
        segment_append(&f->made, &(struct record){.version = 1000 + i,
                                                  .key = colliding_key(key, &f->t->secret, i),
                                                  .value = bitcask_str("v")});
    }
}

static bitcask_status find_colliding(struct fixture *f, unsigned i, uint64_t *version)
{
    uint8_t key[COLLIDING_KEY_SIZE];
    struct hint_entry entry;
    slice name = colliding_key(key, &f->t->secret, i);
    bitcask_status status = hint_file_find(&f->hint, hash_key(&f->t->secret, name), name, &entry);
    *version = status == BITCASK_OK ? entry.version : 0;
    return status;
}

static void a_search_among_keys_of_one_hash_is_right_or_says_that_it_cannot_tell(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t version;
    start(&f);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        segment_put(&f.made, key, "value", 1 + i);
    }
    put_colliding(&f);
    build(&f);
    for (unsigned i = 0; i < COLLIDING; i++) {
        assert_int_equal(find_colliding(&f, i, &version), BITCASK_OK);
        assert_int_equal(version, 1000 + i);
    }
    assert_int_equal(find_colliding(&f, COLLIDING, &version), BITCASK_NOT_FOUND);
    uint8_t *bytes = f.hint.memory;
    size_t refused = 0;
    for (size_t at = HINT_HEADER_SIZE; at < f.hint.size; at += 5) {
        bytes[at] ^= 0x10;
        for (unsigned i = 0; i < COLLIDING; i++) {
            bitcask_status status = find_colliding(&f, i, &version);
            refused += status == BITCASK_CORRUPT;
            assert_true(status == BITCASK_CORRUPT || (status == BITCASK_OK && version == 1000 + i));
        }
        bytes[at] ^= 0x10;
    }
    assert_true(refused > 100);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_without_records_has_an_empty_hint),
        cmocka_unit_test(a_search_among_keys_of_one_hash_is_right_or_says_that_it_cannot_tell),
        cmocka_unit_test(the_newest_record_of_each_key_is_in_it_tombstones_too),
        cmocka_unit_test(the_highest_version_wins_wherever_it_stands),
        cmocka_unit_test(expiries_are_in_the_figures_and_their_keys_are_found),
        cmocka_unit_test(meta_records_count_for_the_rolling_checksum_only),
        cmocka_unit_test(thousands_of_keys_are_sorted_and_found),
        cmocka_unit_test(one_key_thousands_of_times_is_one_entry),
        cmocka_unit_test(a_count_of_records_that_is_wrong_does_no_harm),
        cmocka_unit_test(keys_with_one_hash_are_told_apart),
        cmocka_unit_test(a_damaged_record_ends_the_building),
        cmocka_unit_test(a_record_across_the_length_ends_the_building),
        cmocka_unit_test(building_without_memory_fails_and_leaks_nothing),
        cmocka_unit_test(a_written_hint_is_opened_again),
        cmocka_unit_test(a_hint_that_is_not_there_is_no_good),
        cmocka_unit_test(a_hint_of_something_else_is_refused),
        cmocka_unit_test(any_byte_flipped_or_cut_off_is_noticed),
        cmocka_unit_test(a_temporary_file_that_was_left_is_replaced),
        cmocka_unit_test(a_failed_write_leaves_the_old_hint_or_none),
        cmocka_unit_test(a_search_that_meets_a_bad_page_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
