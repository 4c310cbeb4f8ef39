/* SPDX-License-Identifier: MIT
 * rebuild_test.c: a store whose manifest is lost. */
#include "support/three_segments.h"

#include <errno.h>

#include "format/manifest.h"

static void merge_all(struct fixture *f)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    bitcask_merge_result result = {.struct_size = sizeof result};
    if (bitcask_merge(f->db, &options, &result, &f->error) != BITCASK_OK)
        fail_msg("merge: %s", f->error.message);
    assert_true(result.outputs > 0);
}

static struct manifest read_manifest(struct fixture *f)
{
    struct manifest manifest;
    size_t size;
    unsigned char *text = read_whole(f, "MANIFEST", &size);
    assert_int_equal(manifest_decode(slice_of(text, size), &manifest, NULL), BITCASK_OK);
    free(text);
    return manifest;
}

/* ---- Lost and damaged ----------------------------------------------------------------------- */

static void a_deleted_manifest_is_made_anew(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct manifest before = read_manifest(&f);
    delete_file(&f, "MANIFEST");
    open_store(&f);
    assert_int_equal(count_events(&f, "manifest_rebuilt"), 1);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 0); /* the hints vouch for their lengths */
    check_three(&f);
    put(&f, "e", "e1");
    delete_key(&f, "e");
    close_store(&f);
    struct manifest after = read_manifest(&f);
    assert_memory_equal(before.store_id, after.store_id, STORE_ID_SIZE);
    assert_memory_equal(before.seed, after.seed, SEED_SIZE);
    assert_memory_not_equal(before.fork_id, after.fork_id, STORE_ID_SIZE);
    manifest_release(&before);
    manifest_release(&after);
    open_store(&f);
    assert_int_equal(count_events(&f, "manifest_rebuilt"), 0);
    assert_int_equal(event_number(&f, "recovered", "clean"), 1);
    check_three(&f);
    fixture_release(&f);
}

static void a_manifest_with_any_byte_flipped_or_cut_off_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    size_t size = file_size(&f, "MANIFEST");
    for (size_t at = 0; at < size; at += 3) {
        for (int cut = 0; cut < 2; cut++) {
            restore_disk(&f, image);
            if (cut)
                truncate_file(&f, "MANIFEST", at);
            else
                flip_byte(&f, "MANIFEST", at);
            open_store(&f);
            assert_int_equal(count_events(&f, "manifest_rebuilt"), 1);
            check_three(&f);
            abandon(&f);
        }
    }
    free_disk(image);
    fixture_release(&f);
}

/* R9: one read that fails may be bad luck, three are a bad sector. */
static void a_manifest_that_cannot_be_read_is_made_anew(void **state)
{
    (void)state;
    for (int failures = 1; failures <= 3; failures++) {
        struct fixture f;
        make_three(&f);
        os_mem_fail(f.os, 1u << OS_CALL_PREAD, 1, (uint64_t)failures, -EIO);
        open_store(&f);
        assert_int_equal(count_events(&f, "manifest_rebuilt"), failures == 3);
        check_three(&f);
        close_store(&f);
        open_store(&f);
        assert_int_equal(count_events(&f, "manifest_rebuilt"), 0);
        check_three(&f);
        fixture_release(&f);
    }
}

static void without_manifest_and_hints_the_state_is_the_same(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, "MANIFEST");
    delete_file(&f, "000000001.hint");
    delete_file(&f, "000000002.hint");
    delete_file(&f, "000000003.hint");
    open_store(&f);
    check_three(&f);
    fixture_release(&f);
}

static void a_killed_store_without_manifest_is_cut_at_its_torn_tail(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    open_store(&f);
    put(&f, "e", "e1");
    put(&f, "torn", "value");
    kill_9(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_3, &size);
    unsigned char *at = memmem(data, size, "tornvalue", 9);
    assert_non_null(at);
    flip_byte(&f, SEGMENT_3, (size_t)(at - data));
    free(data);
    delete_file(&f, "MANIFEST");
    open_store(&f);
    assert_int_equal(count_events(&f, "cut"), 1);
    check_value(&f, "e", "e1");
    check_missing(&f, "torn");
    check_value(&f, "d", "d1");
    fixture_release(&f);
}

static void a_recovered_segment_without_a_seal_vouches_by_its_hint(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    kill_9(&f);
    open_store(&f); /* cut to its length, no SEAL record */
    put(&f, "b", "2");
    close_store(&f);
    delete_file(&f, "MANIFEST");
    open_store(&f);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 0);
    check_value(&f, "a", "1");
    check_value(&f, "b", "2");
    fixture_release(&f);
}

static void versions_go_on_above_all_that_may_have_been_given(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    open_store(&f);
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f.db, &stats);
    uint64_t last = stats.last_version;
    close_store(&f);
    delete_file(&f, "MANIFEST");
    os_mem_step_real_clock(f.os, -INT64_C(1000000) * 3600);
    open_store(&f);
    uint64_t version = 0;
    assert_int_equal(
        bitcask_put(f.db, bitcask_str("e"), bitcask_str("x"), NULL, &version, &f.error), 0);
    assert_true(version > last + UINT64_C(3600000000));
    fixture_release(&f);
}

static void versions_go_on_above_those_that_only_a_hint_knows_of(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    open_store(&f);
    rotate(&f);
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f.db, &stats);
    close_store(&f);
    assert_true(stats.last_version > 0);
    delete_file(&f, "MANIFEST");
    const char *const names[] = {SEGMENT_1, SEGMENT_2, SEGMENT_3};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t size;
        unsigned char *data = read_whole(&f, names[i], &size);
        memset(data + SEGMENT_HEADER_SIZE, 0, size - SEGMENT_HEADER_SIZE);
        write_whole(&f, names[i], data, size);
        free(data);
    }
    os_mem_step_real_clock(f.os, -INT64_C(1000000) * 36000);
    open_store(&f);
    uint64_t version = 0;
    assert_int_equal(
        bitcask_put(f.db, bitcask_str("e"), bitcask_str("x"), NULL, &version, &f.error), 0);
    assert_true(version > stats.last_version);
    fixture_release(&f);
}

/* ---- Nothing to make it from ---------------------------------------------------------------- */

static void without_any_file_there_is_no_store(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.create = 0;
    write_whole(&f, "notes.txt", "mine", 4);
    write_whole(&f, "bitcask.lock", "x", 1);
    assert_int_equal(try_open(&f), BITCASK_NO_STORE);
    fixture_release(&f);
}

static void a_damaged_manifest_without_data_is_not_overwritten(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    close_store(&f);
    flip_byte(&f, "MANIFEST", 20);
    assert_int_equal(try_open(&f), BITCASK_CORRUPT);
    fixture_release(&f);
}

static void data_files_without_one_good_header_are_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, "MANIFEST");
    flip_byte(&f, SEGMENT_1, 40);
    flip_byte(&f, SEGMENT_2, 40);
    flip_byte(&f, SEGMENT_3, 40);
    assert_int_equal(try_open(&f), BITCASK_CORRUPT);
    assert_true(has_file(&f, SEGMENT_1));
    fixture_release(&f);
}

static void make_newer(struct segment_header *header)
{
    header->format = FORMAT_VERSION + 1;
}

static void a_segment_of_a_newer_format_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, "MANIFEST");
    change_header(&f, SEGMENT_2, make_newer);
    assert_int_equal(try_open(&f), BITCASK_FORMAT);
    fixture_release(&f);
}

/* ---- Damaged and foreign data files --------------------------------------------------------- */

static void a_bad_header_is_made_up_for_by_the_hint(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, "MANIFEST");
    flip_byte(&f, SEGMENT_2, 40);
    open_store(&f);
    check_three(&f);
    fixture_release(&f);
}

static void a_bad_header_without_a_hint_goes_to_quarantine(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, "MANIFEST");
    delete_file(&f, "000000002.hint");
    flip_byte(&f, SEGMENT_2, 40);
    open_store(&f);
    assert_int_equal(event_number(&f, "quarantined", "segment"), 2);
    assert_false(has_file(&f, SEGMENT_2));
    check_value(&f, "a", "a1");
    check_value(&f, "d", "d1");
    fixture_release(&f);
}

static void make_foreign(struct segment_header *header)
{
    header->store_id[3] ^= 0xff;
}

static void the_store_that_most_files_belong_to_is_opened(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, "MANIFEST");
    change_header(&f, SEGMENT_1, make_foreign);
    open_store(&f);
    assert_true(count_events(&f, "foreign_file") >= 1);
    assert_true(has_file(&f, SEGMENT_1));
    check_missing(&f, "a");
    check_value(&f, "b", "b2");
    check_value(&f, "d", "d1");
    fixture_release(&f);
}

/* ---- Merges --------------------------------------------------------------------------------- */

static void a_merged_store_is_made_out_as_it_was(void **state)
{
    (void)state;
    for (int max_records = 0; max_records < 3; max_records++) {
        struct fixture f;
        make_three(&f);
        f.options.segment_max_records = (uint64_t)max_records; /* one output or several */
        open_store(&f);
        merge_all(&f);
        put(&f, "e", "e1");
        delete_key(&f, "e");
        check_three(&f);
        close_store(&f);
        delete_file(&f, "MANIFEST");
        open_store(&f);
        check_three(&f);
        fixture_release(&f);
    }
}

struct saved_file {
    unsigned char *data;
    size_t size;
};

static struct saved_file save_file(struct fixture *f, const char *name)
{
    struct saved_file file;
    file.data = read_whole(f, name, &file.size);
    return file;
}

static void bring_back(struct fixture *f, const char *name, struct saved_file *file)
{
    assert_false(has_file(f, name));
    write_whole(f, name, file->data, file->size);
    free(file->data);
}

static void an_input_of_a_finished_merge_that_is_still_there_does_not_come_back(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct saved_file input = save_file(&f, SEGMENT_1); /* it has "gone" */
    open_store(&f);
    merge_all(&f);
    close_store(&f);
    bring_back(&f, SEGMENT_1, &input);
    delete_file(&f, "MANIFEST");
    open_store(&f);
    check_three(&f);
    assert_false(has_file(&f, SEGMENT_1));
    assert_false(has_file(&f, "quarantine"));
    fixture_release(&f);
}

static void an_input_that_outlived_its_merge_is_removed_with_a_good_manifest_too(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct saved_file input = save_file(&f, SEGMENT_1);
    open_store(&f);
    merge_all(&f);
    close_store(&f);
    bring_back(&f, SEGMENT_1, &input);
    open_store(&f);
    check_three(&f);
    assert_false(has_file(&f, SEGMENT_1));
    assert_false(has_file(&f, "quarantine"));
    fixture_release(&f);
}

static void all_inputs_and_all_outputs_are_a_finished_merge(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct saved_file one = save_file(&f, SEGMENT_1), two = save_file(&f, SEGMENT_2),
                      three = save_file(&f, SEGMENT_3);
    open_store(&f);
    merge_all(&f);
    close_store(&f);
    bring_back(&f, SEGMENT_1, &one);
    bring_back(&f, SEGMENT_2, &two);
    bring_back(&f, SEGMENT_3, &three);
    delete_file(&f, "MANIFEST");
    open_store(&f);
    check_three(&f);
    assert_false(has_file(&f, SEGMENT_1));
    assert_false(has_file(&f, SEGMENT_2));
    fixture_release(&f);
}

/* The names of the merge outputs. */
static size_t find_outputs(struct fixture *f, char outputs[8][32])
{
    size_t count, found = 0;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        size_t size;
        struct segment_header header;
        if (strstr(names[i], ".data") == NULL)
            continue;
        unsigned char *data = read_whole(f, names[i], &size);
        if (segment_header_decode(slice_of(data, size), &header) == BITCASK_OK &&
            header.kind == SEGMENT_MERGE && found < 8)
            snprintf(outputs[found++], 32, "%s", names[i]);
        free(data);
    }
    free_list(names, count);
    return found;
}

static void an_unfinished_merge_changes_nothing(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct fixture f;
        make_three(&f);
        struct saved_file one = save_file(&f, SEGMENT_1), two = save_file(&f, SEGMENT_2),
                          three = save_file(&f, SEGMENT_3);
        f.options.segment_max_records = 2; /* two outputs */
        open_store(&f);
        merge_all(&f);
        close_store(&f);
        char outputs[8][32];
        assert_true(find_outputs(&f, outputs) >= 2);
        bring_back(&f, SEGMENT_1, &one);
        bring_back(&f, SEGMENT_2, &two);
        bring_back(&f, SEGMENT_3, &three);
        if (which == 0)
            delete_file(&f, outputs[1]);
        else if (which == 1)
            delete_file(&f, outputs[0]);
        else
            truncate_file(&f, outputs[1], file_size(&f, outputs[1]) - 10); /* its SEAL */
        delete_file(&f, "MANIFEST");
        open_store(&f);
        check_three(&f);
        fixture_release(&f);
    }
}

static void an_output_whose_siblings_were_merged_again_counts(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    f.options.segment_max_records = 2;
    open_store(&f);
    merge_all(&f); /* {a, b}, {c, d} in some order */
    close_store(&f);
    char outputs[8][32];
    assert_int_equal(find_outputs(&f, outputs), 2);
    struct disk_image *image = save_disk(&f);
    /* Overwrite all keys of one output; what is dead is merged away, the other one stays. */
    for (int which = 0; which < 2; which++) {
        restore_disk(&f, image);
        f.options.segment_max_records = 0;
        size_t size;
        unsigned char *data = read_whole(&f, outputs[which], &size);
        static const char *const records[] = {"aa1", "bb2", "cc2", "dd1"};
        open_store(&f);
        for (size_t i = 0; i < 4; i++) {
            char key[2] = {records[i][0], '\0'};
            if (memmem(data, size, records[i], 3) != NULL)
                put(&f, key, records[i] + 1);
        }
        free(data);
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.min_dead = 0.9;
        bitcask_merge_result result = {.struct_size = sizeof result};
        assert_int_equal(bitcask_merge(f.db, &options, &result, &f.error), BITCASK_OK);
        check_three(&f);
        close_store(&f);
        assert_false(has_file(&f, outputs[which]));
        assert_true(has_file(&f, outputs[1 - which]));
        delete_file(&f, "MANIFEST");
        open_store(&f);
        check_three(&f);
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

/* ---- Interrupted ---------------------------------------------------------------------------- */

static int count_down(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return --*left == 0;
}

static void rebuilding_interrupted_anywhere_and_done_again_gives_the_same(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct saved_file input = save_file(&f, SEGMENT_1);
    f.options.segment_max_records = 2;
    open_store(&f);
    merge_all(&f);
    close_store(&f);
    bring_back(&f, SEGMENT_1, &input);
    delete_file(&f, "MANIFEST");
    struct disk_image *image = save_disk(&f);
    uint64_t left = 0;
    for (uint64_t nth = 1; left == 0; nth++) {
        restore_disk(&f, image);
        left = nth;
        os_mem_hook(f.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), count_down, &left);
        if (try_open(&f) == BITCASK_OK)
            abandon(&f);
        os_mem_hook(f.os, 0, NULL, NULL);
        os_mem_crash(f.os);
        open_store(&f);
        check_three(&f);
        close_store(&f);
        open_store(&f);
        check_three(&f);
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

static void any_failing_call_is_an_error_or_does_no_harm(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct saved_file input = save_file(&f, SEGMENT_1);
    f.options.segment_max_records = 2;
    open_store(&f);
    merge_all(&f);
    close_store(&f);
    bring_back(&f, SEGMENT_1, &input);
    delete_file(&f, "MANIFEST");
    struct disk_image *image = save_disk(&f);
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        restore_disk(&f, image);
        uint64_t before = os_mem_calls(f.os, UINT32_MAX);
        os_mem_fail(f.os, UINT32_MAX, nth, 1, -5 /* EIO */);
        bitcask_status status = try_open(&f);
        failed = os_mem_calls(f.os, UINT32_MAX) - before >= nth;
        os_mem_fail(f.os, 0, 0, 0, 0);
        if (status == BITCASK_OK) {
            check_three(&f);
            abandon(&f);
        }
        os_mem_kill(f.os);
        open_store(&f);
        check_three(&f);
        close_store(&f);
        assert_int_equal(os_mem_live_bytes(f.os), 0);
        assert_int_equal(os_mem_open_files(f.os), 0);
    }
    free_disk(image);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deleted_manifest_is_made_anew),
        cmocka_unit_test(a_manifest_with_any_byte_flipped_or_cut_off_changes_nothing),
        cmocka_unit_test(a_manifest_that_cannot_be_read_is_made_anew),
        cmocka_unit_test(without_manifest_and_hints_the_state_is_the_same),
        cmocka_unit_test(a_killed_store_without_manifest_is_cut_at_its_torn_tail),
        cmocka_unit_test(a_recovered_segment_without_a_seal_vouches_by_its_hint),
        cmocka_unit_test(versions_go_on_above_all_that_may_have_been_given),
        cmocka_unit_test(versions_go_on_above_those_that_only_a_hint_knows_of),
        cmocka_unit_test(without_any_file_there_is_no_store),
        cmocka_unit_test(a_damaged_manifest_without_data_is_not_overwritten),
        cmocka_unit_test(data_files_without_one_good_header_are_left_alone),
        cmocka_unit_test(a_segment_of_a_newer_format_is_refused),
        cmocka_unit_test(a_bad_header_is_made_up_for_by_the_hint),
        cmocka_unit_test(a_bad_header_without_a_hint_goes_to_quarantine),
        cmocka_unit_test(the_store_that_most_files_belong_to_is_opened),
        cmocka_unit_test(a_merged_store_is_made_out_as_it_was),
        cmocka_unit_test(an_input_of_a_finished_merge_that_is_still_there_does_not_come_back),
        cmocka_unit_test(an_input_that_outlived_its_merge_is_removed_with_a_good_manifest_too),
        cmocka_unit_test(all_inputs_and_all_outputs_are_a_finished_merge),
        cmocka_unit_test(an_unfinished_merge_changes_nothing),
        cmocka_unit_test(an_output_whose_siblings_were_merged_again_counts),
        cmocka_unit_test(rebuilding_interrupted_anywhere_and_done_again_gives_the_same),
        cmocka_unit_test(any_failing_call_is_an_error_or_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
