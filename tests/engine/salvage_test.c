/* SPDX-License-Identifier: MIT
 * salvage_test.c: loose data files, however damaged, become a store. */
#include "engine/salvage.h"
#include "engine/salvage_salt.h"
#include "engine/verify.h"
#include "support/three_segments.h"

#include <errno.h>

#define INTO "new"

static bitcask_salvage_result salvaged;

static int note_file(void *context, const bitcask_salvage_file *file)
{
    char *what = context;
    snprintf(what, 160, "%s", file->what);
    return 0;
}

static char last_what[160];

static bitcask_status try_salvage(struct fixture *f, const char *const *files, size_t count)
{
    bitcask_salvage_options options;
    bitcask_salvage_options_init(&options);
    options.file = note_file;
    options.context = last_what;
    salvaged = (bitcask_salvage_result){.struct_size = sizeof salvaged};
    return salvage_run(f->os, files, count, INTO, &options, &salvaged, &f->error);
}

static void salvage(struct fixture *f, const char *const *files, size_t count)
{
    if (try_salvage(f, files, count) != BITCASK_OK)
        fail_msg("salvage: %s", f->error.message);
}

/* From here on the fixture's store is the new one. */
static void open_new(struct fixture *f)
{
    f->event_count = 0;
    assert_int_equal(store_open(f->os, INTO, &f->options, &f->store, &f->error), BITCASK_OK);
    f->db = (bitcask *)f->store;
    assert_int_equal(verify_run(f->store, NULL, NULL, NULL, &f->error), BITCASK_OK);
}

static const char *const three[] = {"store/" SEGMENT_3, "store/" SEGMENT_1, "store/" SEGMENT_2};

static void all_files_give_the_store_back_in_any_order(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    salvage(&f, three, 3);
    assert_int_equal(salvaged.files_used, 3);
    assert_int_equal(salvaged.records, 8);
    assert_int_equal(salvaged.deletions, 1);
    assert_int_equal(salvaged.bytes_lost, 0);
    open_new(&f);
    check_three(&f);
    put(&f, "b", "b3"); /* newer than all there is */
    check_value(&f, "b", "b3");
    close_store(&f);
    open_new(&f);
    check_value(&f, "b", "b3");
    fixture_release(&f);
}

static void a_file_that_is_gone_leaves_the_others(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    salvage(&f, three, 2);
    open_new(&f);
    check_value(&f, "a", "a1");
    check_value(&f, "b", "b1");
    check_value(&f, "c", "c2");
    check_value(&f, "gone", "x");
    fixture_release(&f);
}

static void any_flipped_byte_costs_one_record_at_most(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    remove_hints(&f);
    struct disk_image *image = save_disk(&f);
    size_t size = file_size(&f, SEGMENT_2);
    for (size_t at = 0; at < size; at++) {
        restore_disk(&f, image);
        flip_byte(&f, SEGMENT_2, at);
        salvage(&f, three, 3);
        assert_true(salvaged.records >= 7);
        if (at < SEGMENT_HEADER_SIZE) /* the salt is computed */
            assert_int_equal(salvaged.records, 8);
        open_new(&f);
        check_value(&f, "a", "a1");
        check_value(&f, "c", "c2");
        check_value(&f, "d", "d1");
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

static void a_lost_header_is_made_up_for_by_the_hint_or_by_the_records(void **state)
{
    (void)state;
    for (int hint = 0; hint < 2; hint++) {
        struct fixture f;
        make_three(&f);
        size_t size;
        unsigned char *data = read_whole(&f, SEGMENT_2, &size);
        memset(data, 0, SEGMENT_HEADER_SIZE);
        write_whole(&f, SEGMENT_2, data, size);
        free(data);
        if (!hint)
            delete_file(&f, HINT_2);
        salvage(&f, three, 3);
        assert_non_null(strstr(last_what, hint ? "hint" : "computed"));
        assert_int_equal(salvaged.records, 8);
        open_new(&f);
        check_three(&f);
        fixture_release(&f);
    }
}

static void what_is_no_data_file_is_said_to_be_none(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    write_whole(&f, "notes",
                "some text that is no record, and goes on for a while, so that it is "
                "longer than the header of a segment, and a bit more than that too...",
                130);
    write_whole(&f, "empty", "", 0);
    const char *const files[] = {"store/notes", "store/empty", three[0],
                                 three[1],      three[2],      "store/notes"};
    salvage(&f, files, 6);
    assert_int_equal(salvaged.files, 6);
    assert_int_equal(salvaged.files_used, 3);
    assert_non_null(strstr(last_what, "no data file"));
    open_new(&f);
    check_three(&f);
    fixture_release(&f);
}

static void of_a_torn_log_the_batch_without_an_end_is_left_out(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "v");
    put_batch(&f, "n", 3);
    kill_9(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_1, &size);
    size_t cut = find_text(&f, SEGMENT_1, "n2n2");
    memset(data + cut - RECORD_HEADER_SIZE, 0, size - cut + RECORD_HEADER_SIZE);
    write_whole(&f, SEGMENT_1, data, size);
    free(data);
    const char *const files[] = {"store/" SEGMENT_1};
    salvage(&f, files, 1);
    assert_int_equal(salvaged.records, 1);
    open_new(&f);
    check_value(&f, "k", "v");
    check_missing(&f, "n0");
    fixture_release(&f);
}

static void a_store_with_data_is_not_overwritten(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    salvage(&f, three, 1);
    assert_int_equal(try_salvage(&f, three, 3), BITCASK_STORE_EXISTS);
    open_new(&f);
    check_value(&f, "d", "d1");
    check_missing(&f, "a");
    fixture_release(&f);
}

static int stop_at_once(void *context, const bitcask_salvage_file *file)
{
    (void)file;
    ++*(int *)context;
    return 1;
}

static void a_caller_may_stop_it_and_need_not_listen(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    bitcask_salvage_options options;
    bitcask_salvage_options_init(&options);
    int told = 0;
    options.file = stop_at_once;
    options.context = &told;
    assert_int_equal(salvage_run(f.os, three, 3, INTO, &options, NULL, &f.error),
                     BITCASK_CANCELLED);
    assert_int_equal(told, 1);
    options.file = NULL;
    assert_int_equal(salvage_run(f.os, three, 3, INTO, &options, NULL, &f.error), BITCASK_OK);
    open_new(&f);
    check_three(&f);
    fixture_release(&f);
}

static void a_file_of_a_newer_format_is_not_read(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    put_u32(data + 8, FORMAT_VERSION + 1);
    put_u32(data + SEGMENT_HEADER_SIZE - 4, checksum(0, data, SEGMENT_HEADER_SIZE - 4));
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_FORMAT);
    write_whole(&f, SEGMENT_2, data, size);
    free(data);
    salvage(&f, three, 3);
    assert_non_null(strstr(last_what, "newer format"));
    assert_int_equal(salvaged.files_used, 2);
    assert_int_equal(salvaged.bytes_lost, size);
    open_new(&f);
    check_value(&f, "b", "b1");
    check_value(&f, "c", "c2");
    fixture_release(&f);
}

/* Whatever the file is called, the hint is beside it; and one that is no good is none. */
static void a_hint_is_found_by_the_name_of_the_file(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"x", "x.hint"}, {"kept-by-hand", "kept-by-hand.hint"}, {"y.data", "y.hint"}};
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        for (int damaged = 0; damaged < 2; damaged++) {
            struct fixture f;
            size_t size, hint_size;
            make_three(&f);
            unsigned char *data = read_whole(&f, SEGMENT_1, &size);
            unsigned char *hint = read_whole(&f, HINT_1, &hint_size);
            memset(data, 0, SEGMENT_HEADER_SIZE);
            if (damaged)
                hint_size -= 20;
            assert_int_equal(os_mem_write_file(f.os, names[n][0], data, size), 0);
            assert_int_equal(os_mem_write_file(f.os, names[n][1], hint, hint_size), 0);
            salvage(&f, &names[n][0], 1);
            assert_non_null(strstr(last_what, damaged ? "computed from two records" : "its hint"));
            assert_int_equal(salvaged.records, 3);
            open_new(&f);
            check_value(&f, "a", "a1");
            free(data);
            free(hint);
            fixture_release(&f);
        }
    }
}

/* So long that the hint's name does not fit behind it. */
static void a_long_path_has_no_hint(void **state)
{
    (void)state;
    struct fixture f;
    char path[OS_PATH_MAX];
    size_t size;
    make_three(&f);
    unsigned char *data = read_whole(&f, SEGMENT_1, &size);
    memset(data, 0, SEGMENT_HEADER_SIZE);
    assert_int_equal(os_mem_write_file(f.os, "x", data, size), 0);
    free(data);
    memset(path, '/', sizeof path);
    memcpy(path + sizeof path - 2, "x", 2);
    salvage(&f, (const char *[]){path}, 1);
    assert_non_null(strstr(last_what, "computed from two records"));
    assert_int_equal(salvaged.records, 3);
    fixture_release(&f);
}

static void without_memory_for_a_file_it_ends(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    os_mem_fail(f.os, 1u << OS_CALL_MAP, 1, UINT64_MAX, -ENOMEM);
    assert_int_equal(try_salvage(&f, three, 3), BITCASK_NO_MEMORY);
    os_mem_fail(f.os, 0, 0, 0, 0);
    assert_non_null(strstr(f.error.message, "salvage into"));
    salvage(&f, three, 3);
    open_new(&f);
    check_three(&f);
    fixture_release(&f);
}

static int at_call(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return --*left == 0;
}

static void interrupted_anywhere_it_can_be_run_again(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    for (uint64_t n = 1;; n++) {
        uint64_t left = n;
        restore_disk(&f, image);
        os_mem_hook(f.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), at_call, &left);
        bitcask_status status = try_salvage(&f, three, 3);
        os_mem_hook(f.os, 0, NULL, NULL);
        os_mem_crash(f.os);
        bitcask_status again = try_salvage(&f, three, 3);
        if (status == BITCASK_OK)
            assert_int_equal(again, BITCASK_STORE_EXISTS);
        else
            assert_true(again == BITCASK_OK || again == BITCASK_STORE_EXISTS);
        open_new(&f);
        check_three(&f);
        abandon(&f);
        assert_int_equal(os_mem_open_files(f.os), 0);
        assert_int_equal(os_mem_live_maps(f.os), 0);
        if (left > 0 && left < UINT64_MAX / 2)
            break;
    }
    free_disk(image);
    fixture_release(&f);
}

/* ---- The salt -------------------------------------------------------------------------------- */

static void the_salt_of_a_record_gives_its_checksum(void **state)
{
    (void)state;
    static const uint64_t salts[] = {0, 1, 0x0123456789abcdef, UINT64_MAX, 0xffffffff00000000};
    for (size_t i = 0; i < ARRAY_SIZE(salts); i++) {
        for (size_t value_size = 0; value_size < 40; value_size++) {
            uint8_t first[100], second[100], value[40] = "some value";
            struct record record = {
                .version = 1700000000000000 + i,
                .key = bitcask_str("key"),
                .value = slice_of(value, value_size),
            };
            uint64_t size = record_encode(first, &record, salts[i], 128);
            uint64_t salt = salt_of_record(first, size, 128);
            assert_true(record_checksum_ok(first, size, salt, 128));
            assert_true(salt <= UINT32_MAX);
            size = record_encode(second, &record, salts[i], 1000000);
            assert_true(record_checksum_ok(second, size, salt, 1000000));
            assert_false(record_checksum_ok(second, size, salt + 1, 1000000));
        }
    }
}

static void one_record_alone_proves_no_salt(void **state)
{
    (void)state;
    uint8_t file[256] = {0};
    uint64_t salt;
    struct record record = {.version = 1, .key = bitcask_str("k"), .value = bitcask_str("v")};
    uint64_t size = record_encode(file + 128, &record, 77, 128);
    assert_false(salt_find(slice_of(file, sizeof file), &salt));
    record_encode(file + 128 + size, &record, 78, 128 + size); /* of another segment */
    assert_false(salt_find(slice_of(file, sizeof file), &salt));
    record_encode(file + 128 + size, &record, 77, 128 + size);
    assert_true(salt_find(slice_of(file, sizeof file), &salt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_files_give_the_store_back_in_any_order),
        cmocka_unit_test(a_file_that_is_gone_leaves_the_others),
        cmocka_unit_test(any_flipped_byte_costs_one_record_at_most),
        cmocka_unit_test(a_lost_header_is_made_up_for_by_the_hint_or_by_the_records),
        cmocka_unit_test(what_is_no_data_file_is_said_to_be_none),
        cmocka_unit_test(of_a_torn_log_the_batch_without_an_end_is_left_out),
        cmocka_unit_test(a_store_with_data_is_not_overwritten),
        cmocka_unit_test(a_caller_may_stop_it_and_need_not_listen),
        cmocka_unit_test(a_file_of_a_newer_format_is_not_read),
        cmocka_unit_test(a_hint_is_found_by_the_name_of_the_file),
        cmocka_unit_test(a_long_path_has_no_hint),
        cmocka_unit_test(without_memory_for_a_file_it_ends),
        cmocka_unit_test(interrupted_anywhere_it_can_be_run_again),
        cmocka_unit_test(the_salt_of_a_record_gives_its_checksum),
        cmocka_unit_test(one_record_alone_proves_no_salt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
