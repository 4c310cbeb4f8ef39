/* SPDX-License-Identifier: MIT
 * odd_files_test.c: opening stores whose manifest and data files do not fit together, each good by
 * itself: what a restored file, a newer program, or somebody with an editor leaves. */
#include "support/three_segments.h"

#include "engine/manifest_file.h"
#include "engine/verify.h"

/* ---- Segment headers ------------------------------------------------------------------------- */

static void change_header(struct fixture *f, const char *name,
                          void (*change)(struct segment_header *header))
{
    size_t size;
    unsigned char *data = read_whole(f, name, &size);
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
    change(&header);
    segment_header_encode(data, &header);
    write_whole(f, name, data, size);
    free(data);
}

static void other_store(struct segment_header *header)
{
    header->store_id[3] ^= 1;
}

static void other_salt(struct segment_header *header)
{
    header->salt++;
}

static void other_id(struct segment_header *header)
{
    header->segment_id += 7;
}

/* After a kill, when the headers are read. */
static void make_killed(struct fixture *f)
{
    make_three(f);
    open_store(f);
    put(f, "e", "e1");
    kill_9(f);
}

/* It is another one's file, with the name of one that is missing: no byte of it is served. */
static void a_file_of_another_segment_is_as_good_as_missing(void **state)
{
    (void)state;
    static void (*const changes[])(struct segment_header * header) = {other_store, other_salt,
                                                                      other_id};
    for (size_t c = 0; c < ARRAY_SIZE(changes); c++) {
        struct fixture f;
        make_killed(&f);
        change_header(&f, SEGMENT_1, changes[c]);
        open_store(&f);
        assert_int_equal(count_events(&f, "segment_missing"), 1);
        check_corrupt(&f, "a"); /* its hint names it */
        check_value(&f, "b", "b2");
        check_value(&f, "e", "e1");
        check_missing(&f, "gone");
        put(&f, "a", "a2");
        close_store(&f);
        open_store(&f);
        check_value(&f, "a", "a2");
        fixture_release(&f);
    }
}

static void a_segment_of_a_newer_format_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    make_killed(&f);
    size_t size, kept_size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    put_u32(data + 8, FORMAT_VERSION + 1);
    put_u32(data + SEGMENT_HEADER_SIZE - 4, checksum(0, data, SEGMENT_HEADER_SIZE - 4));
    write_whole(&f, SEGMENT_2, data, size);
    assert_int_equal(try_open(&f), BITCASK_FORMAT);
    assert_non_null(strstr(f.error.message, "format"));
    unsigned char *kept = read_whole(&f, SEGMENT_2, &kept_size);
    assert_int_equal(kept_size, size);
    assert_memory_equal(kept, data, size);
    free(kept);
    free(data);
    fixture_release(&f);
}

/* ---- Manifests ------------------------------------------------------------------------------- */

static void read_manifest(struct fixture *f, struct manifest *manifest)
{
    size_t size;
    char *text = (char *)read_whole(f, "MANIFEST", &size);
    assert_int_equal(manifest_decode(slice_of(text, size), manifest, NULL), BITCASK_OK);
    free(text);
}

/* And release it. */
static void write_manifest(struct fixture *f, struct manifest *manifest)
{
    char *text;
    size_t size;
    assert_int_equal(manifest_encode(manifest, &text, &size), BITCASK_OK);
    write_whole(f, "MANIFEST", text, size);
    free(text);
    manifest_release(manifest);
}

/* Of a clean store one segment at most is written to again, whatever the manifest calls active. */
static void several_active_segments_of_a_clean_store_are_sealed(void **state)
{
    (void)state;
    for (int last = 0; last < 3; last++) {
        struct fixture f;
        struct manifest manifest;
        make_three(&f);
        size_t before = file_size(&f, SEGMENT_1);
        read_manifest(&f, &manifest);
        assert_true(manifest.clean);
        for (int i = 0; i < 3; i++)
            manifest.segments[i].state = i <= last ? MANIFEST_ACTIVE : MANIFEST_SEALED;
        write_manifest(&f, &manifest);
        open_store(&f);
        check_three(&f);
        put(&f, "e", "e1");
        close_store(&f);
        if (last > 0)
            assert_int_equal(file_size(&f, SEGMENT_1), before);
        open_store(&f);
        check_three(&f);
        check_value(&f, "e", "e1");
        fixture_release(&f);
    }
}

static void a_damaged_or_merged_segment_is_not_written_to(void **state)
{
    (void)state;
    for (int merged = 0; merged < 2; merged++) {
        struct fixture f;
        struct manifest manifest;
        make_three(&f);
        size_t before = file_size(&f, SEGMENT_3);
        read_manifest(&f, &manifest);
        assert_int_equal(manifest.segments[2].state, MANIFEST_ACTIVE);
        if (merged)
            manifest.segments[2].merge = true;
        else
            manifest.segments[2].damaged = true;
        write_manifest(&f, &manifest);
        open_store(&f);
        check_three(&f);
        put(&f, "e", "e1");
        close_store(&f);
        assert_int_equal(file_size(&f, SEGMENT_3), before);
        open_store(&f);
        check_three(&f);
        check_value(&f, "e", "e1");
        fixture_release(&f);
    }
}

static void an_empty_segment_goes_when_the_store_is_opened(void **state)
{
    (void)state;
    struct fixture f;
    struct manifest manifest;
    make_three(&f);
    read_manifest(&f, &manifest);
    struct manifest_segment *third = &manifest.segments[2];
    third->length = SEGMENT_HEADER_SIZE;
    third->records = third->tombstones = third->version_min = third->version_max = 0;
    write_manifest(&f, &manifest);
    truncate_file(&f, SEGMENT_3, SEGMENT_HEADER_SIZE);
    delete_file(&f, "000000003.hint");
    open_store(&f);
    check_value(&f, "c", "c1");
    check_missing(&f, "d");
    assert_false(has_file(&f, SEGMENT_3));
    put(&f, "d", "d2");
    close_store(&f);
    open_store(&f);
    check_value(&f, "d", "d2");
    check_value(&f, "a", "a1");
    fixture_release(&f);
}

/* ---- Behind the end -------------------------------------------------------------------------- */

/* Behind the SEAL of a sealed segment, or in its place, is something else: after a kill it is cut
 * off, and no key shows that is there. */
static void what_is_behind_a_sealed_segment_is_cut_off(void **state)
{
    (void)state;
    enum { NOTHING, ZEROS, A_KEY, A_SYNC, SEAL_AND_MORE, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct fixture f;
        struct manifest manifest;
        make_three(&f);
        open_store(&f);
        put(&f, "e", "e1");
        kill_9(&f);
        read_manifest(&f, &manifest);
        uint64_t end = manifest.segments[0].length, salt = manifest.segments[0].salt;
        manifest_release(&manifest);
        size_t size;
        unsigned char *data = read_whole(&f, SEGMENT_1, &size);
        assert_true(size > end); /* the SEAL */
        unsigned char more[4096] = {0};
        uint8_t value[META_SYNC_SIZE];
        memcpy(more, data, size);
        struct record key = {.version = 1, .key = slice_of("x", 1), .value = slice_of("y", 1)};
        struct record sync = {.version = 1, .flags = RECORD_META};
        sync.value = slice_of(value, meta_sync_encode(value, &(struct meta_sync){1, end}));
        if (way != SEAL_AND_MORE)
            memset(more + end, 0, sizeof more - end);
        size_t wanted = way == NOTHING         ? end
                        : way == ZEROS         ? end + 100
                        : way == SEAL_AND_MORE ? size + 100
                                               : end;
        if (way == A_KEY)
            wanted += record_encode(more + end, &key, salt, end);
        if (way == A_SYNC)
            wanted += record_encode(more + end, &sync, salt, end);
        write_whole(&f, SEGMENT_1, more, wanted);
        free(data);
        open_store(&f);
        check_three(&f);
        check_value(&f, "e", "e1");
        check_missing(&f, "x");
        assert_int_equal(file_size(&f, SEGMENT_1), end);
        remove_hints(&f);
        kill_9(&f);
        open_store(&f);
        check_three(&f);
        check_missing(&f, "x");
        assert_int_equal(verify_run(f.store, NULL, NULL, NULL, &f.error), BITCASK_OK);
        fixture_release(&f);
    }
}

/* ---- The end of time ------------------------------------------------------------------------- */

/* A version is a time in us; behind the last one a rebuilt manifest cannot look. */
static void versions_at_the_end_of_their_range_stay_in_it(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    close_store(&f);
    uint64_t now = f.os->clock_real(f.os);
    os_mem_step_real_clock(f.os, (int64_t)(VERSION_MAX - now - 3600 * UINT64_C(1000000)));
    open_store(&f);
    put_durably(&f, "b", "2");
    kill_9(&f);
    delete_file(&f, "MANIFEST");
    open_store(&f);
    assert_int_equal(count_events(&f, "manifest_rebuilt"), 1);
    check_value(&f, "a", "1");
    check_value(&f, "b", "2");
    bitcask_status status =
        bitcask_put(f.db, bitcask_str("c"), bitcask_str("3"), NULL, NULL, &f.error);
    assert_int_equal(status, BITCASK_LIMIT);
    assert_non_null(strstr(f.error.message, "versions"));
    status = bitcask_delete(f.db, bitcask_str("a"), NULL, NULL, &f.error);
    assert_int_equal(status, BITCASK_LIMIT);
    check_value(&f, "a", "1");
    close_store(&f);
    open_store(&f);
    check_value(&f, "b", "2");
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_another_segment_is_as_good_as_missing),
        cmocka_unit_test(a_segment_of_a_newer_format_is_left_alone),
        cmocka_unit_test(several_active_segments_of_a_clean_store_are_sealed),
        cmocka_unit_test(a_damaged_or_merged_segment_is_not_written_to),
        cmocka_unit_test(an_empty_segment_goes_when_the_store_is_opened),
        cmocka_unit_test(what_is_behind_a_sealed_segment_is_cut_off),
        cmocka_unit_test(versions_at_the_end_of_their_range_stay_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
