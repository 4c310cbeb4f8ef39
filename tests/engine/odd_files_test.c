/* SPDX-License-Identifier: MIT
 * odd_files_test.c: opening stores whose manifest and data files do not fit together, each good by
 * itself: what a restored file, a newer program, or somebody with an editor leaves. */
#include "support/three_segments.h"

#include <errno.h>

#include "engine/manifest_file.h"
#include "engine/repair.h"
#include "engine/verify.h"
#include "format/hint.h"

/* ---- Segment headers ------------------------------------------------------------------------- */

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

static int note_what(void *context, const bitcask_finding *finding)
{
    char(*what)[400] = context;
    size_t end = strlen(*what);
    snprintf(*what + end, sizeof *what - end, "%s: %s\n", finding->file, finding->what);
    return 0;
}

static void check_finding(struct fixture *f, const char *expected)
{
    char what[400] = "";
    bitcask_status status = verify_run(f->store, note_what, &what, NULL, &f->error);
    assert_true(status == BITCASK_CORRUPT || status == BITCASK_OK); /* OK: notes only */
    if (strstr(what, expected) == NULL)
        fail_msg("not '%s' but: %s", expected, what);
}

static void set_format(char *text, char format)
{
    char *at = strstr(text, "\"format\": 1"), *tail = strstr(text, "\"crc32\": \"");
    assert_true(at != NULL && tail != NULL);
    at[10] = format;
    char sum[16];
    snprintf(sum, sizeof sum, "%08x", checksum(0, text, (size_t)(tail - text)));
    memcpy(tail + 10, sum, 8);
}

/* Somebody puts files of before, or of another program, beside an open store. */
static void verify_tells_what_has_been_changed_under_an_open_store(void **state)
{
    (void)state;
    struct fixture f;
    struct manifest manifest;
    size_t size;
    make_three(&f);
    open_store(&f);
    char *text = (char *)read_whole(&f, "MANIFEST", &size);

    read_manifest(&f, &manifest);
    manifest.segment_count--;
    write_manifest(&f, &manifest);
    check_finding(&f, "does not name a segment that is open");
    write_whole(&f, "MANIFEST", text, size);
    read_manifest(&f, &manifest);
    manifest.segments[0].length++;
    write_manifest(&f, &manifest);
    check_finding(&f, "another length");
    write_whole(&f, "MANIFEST", text, size);
    read_manifest(&f, &manifest);
    manifest.segments[1].salt++;
    write_manifest(&f, &manifest);
    check_finding(&f, "another salt");
    write_whole(&f, "MANIFEST", text, size);
    read_manifest(&f, &manifest);
    manifest.next_id += 90;
    manifest.segments[2].id += 90; /* one that it has not seen yet is nobody's fault */
    write_manifest(&f, &manifest);
    check_finding(&f, "does not name a segment that is open");

    char *newer = calloc(1, size + 1);
    assert_non_null(newer);
    memcpy(newer, text, size);
    set_format(newer, '9');
    write_whole(&f, "MANIFEST", newer, size);
    check_finding(&f, "is of a newer format");
    free(newer);
    delete_file(&f, "MANIFEST");
    check_finding(&f, "is not there");
    write_whole(&f, "MANIFEST", text, size);
    write_whole(&f, "000000099.data", "x", 1);
    check_finding(&f, "belongs to no segment");
    delete_file(&f, "000000099.data");
    check_three(&f);
    free(text);
    close_store(&f);
    open_store(&f);
    check_three(&f);
    fixture_release(&f);
}

/* ---- Hints ----------------------------------------------------------------------------------- */

/* A hint with a header that says something else, and good sums. */
static void change_hint(struct fixture *f, void (*change)(struct hint_header *header))
{
    size_t size;
    unsigned char *data = read_whole(f, HINT_1, &size);
    struct hint hint;
    assert_int_equal(hint_open(slice_of(data, size), &hint, NULL), BITCASK_OK);
    struct hint_header header = hint.header;
    change(&header);
    hint_header_encode(data, &header);
    hint_finish(data, &header);
    write_whole(f, HINT_1, data, size);
    free(data);
}

static void hint_of_a_newer_format(struct hint_header *header)
{
    header->format = FORMAT_VERSION + 1;
}

static void hint_of_another_store(struct hint_header *header)
{
    header->store_id[0] ^= 1;
}

static void hint_of_another_segment(struct hint_header *header)
{
    header->segment_id++;
}

static void hint_with_another_salt(struct hint_header *header)
{
    header->salt++;
}

static void hint_of_more(struct hint_header *header)
{
    header->length += 100;
}

static void a_hint_that_is_not_this_segment_s_is_made_anew(void **state)
{
    (void)state;
    static void (*const changes[])(struct hint_header * header) = {
        hint_of_a_newer_format, hint_of_another_store, hint_of_another_segment,
        hint_with_another_salt, hint_of_more};
    for (size_t c = 0; c < ARRAY_SIZE(changes); c++) {
        struct fixture f;
        make_three(&f);
        change_hint(&f, changes[c]);
        open_store(&f);
        check_three(&f);
        assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
        close_store(&f);
        open_store(&f);
        assert_int_equal(count_events(&f, "hint_rebuilt"), 0);
        check_three(&f);
        close_store(&f);

        /* And where the header of the segment is lost with the manifest, it does not tell the salt:
         * no wrong value shows. */
        change_hint(&f, changes[c]);
        size_t size;
        unsigned char *data = read_whole(&f, SEGMENT_1, &size);
        memset(data, 0, SEGMENT_HEADER_SIZE);
        write_whole(&f, SEGMENT_1, data, size);
        free(data);
        delete_file(&f, "MANIFEST");
        if (try_open(&f) == BITCASK_OK)
            check_nothing_wrong(&f, "d1");
        fixture_release(&f);
    }
}

/* ---- Quarantine ------------------------------------------------------------------------------ */

/* What a repair takes out of the store is kept as it was, by a link or as a copy. */
static void a_repair_keeps_what_it_takes_out_where_links_are_not_to_be_had(void **state)
{
    (void)state;
    static const int errors[] = {0, -EPERM, -EMLINK, -EOPNOTSUPP, -ENOSYS, -EIO};
    for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
        struct fixture f;
        make_three(&f);
        flip_byte(&f, SEGMENT_1, find_text(&f, SEGMENT_1, "a1"));
        size_t size, kept_size, count;
        unsigned char *data = read_whole(&f, SEGMENT_1, &size);
        bitcask_repair_options options;
        bitcask_repair_options_init(&options);
        if (errors[e] != 0)
            os_mem_fail(f.os, 1u << OS_CALL_LINK, 1, UINT64_MAX, errors[e]);
        bitcask_status status = repair_run(f.os, STORE_DIRECTORY, &options, NULL, &f.error);
        os_mem_fail(f.os, 0, 0, 0, 0);
        if (errors[e] == -EIO) { /* then nothing is taken out */
            assert_int_equal(status, BITCASK_IO);
            assert_true(has_file(&f, SEGMENT_1));
            status = repair_run(f.os, STORE_DIRECTORY, &options, NULL, &f.error);
        }
        assert_int_equal(status, BITCASK_OK);
        assert_false(has_file(&f, SEGMENT_1));
        char path[80], **names = list_files(&f, "quarantine", &count);
        bool found = false;
        for (size_t i = 0; i < count; i++) {
            snprintf(path, sizeof path, "quarantine/%s", names[i]);
            unsigned char *kept = read_whole(&f, path, &kept_size);
            found |= kept_size == size && memcmp(kept, data, size) == 0;
            free(kept);
        }
        assert_true(found);
        free_list(names, count);
        free(data);
        open_store(&f);
        check_value(&f, "b", "b2");
        check_value(&f, "d", "d1");
        check_missing(&f, "gone");
        fixture_release(&f);
    }
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
        cmocka_unit_test(verify_tells_what_has_been_changed_under_an_open_store),
        cmocka_unit_test(a_hint_that_is_not_this_segment_s_is_made_anew),
        cmocka_unit_test(a_repair_keeps_what_it_takes_out_where_links_are_not_to_be_had),
        cmocka_unit_test(what_is_behind_a_sealed_segment_is_cut_off),
        cmocka_unit_test(versions_at_the_end_of_their_range_stay_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
