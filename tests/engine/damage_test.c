/* SPDX-License-Identifier: MIT
 * damage_test.c: opening a store whose files were damaged, are lost, or are not its own. */
#include "engine/log_writer.h"
#include "format/manifest.h"
#include "support/three_segments.h"

/* ---- Damage --------------------------------------------------------------------------------- */

static void damage_below_what_was_synced_is_reported_and_the_rest_kept(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k0", "old");
    put(&f, "k0", "zero");
    put(&f, "k1", "one");
    sync_store(&f);
    put(&f, "k2", "two"); /* behind a SYNC record */
    kill_9(&f);
    size_t second = SEGMENT_HEADER_SIZE + record_bytes("k0", 3);
    flip_byte(&f, SEGMENT_1, second + record_bytes("k0", 4) - 1);
    open_store(&f);
    assert_int_equal(count_events(&f, "cut"), 0);
    assert_int_equal(count_events(&f, "damaged"), 1);
    assert_int_equal(event_number(&f, "damaged", "segment"), 1);
    assert_int_equal(event_number(&f, "damaged", "offset"), second);
    assert_int_equal(event_number(&f, "damaged", "bytes"), record_bytes("k0", 4));
    check_corrupt(&f, "k0"); /* neither the damaged value nor the one before it */
    check_value(&f, "k1", "one");
    check_value(&f, "k2", "two");
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f.db, &stats);
    assert_true(stats.corrupt_records >= 1);
    close_store(&f);
    open_store(&f); /* and it stays so */
    check_corrupt(&f, "k0");
    check_value(&f, "k2", "two");
    put(&f, "k0", "new");
    check_value(&f, "k0", "new");
    fixture_release(&f);
}

/* Nobody has written behind the last sync, so no SYNC record tells of it; but the manifest of a
 * merge does, which has dropped the value before on the strength of that sync. */
static void what_a_device_lost_after_a_merge_has_synced_it_is_reported(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k0", "old");
    put(&f, "k1", "one");
    rotate(&f);
    put(&f, "k0", "new");
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    assert_int_equal(bitcask_merge(f.db, &options, NULL, &f.error), BITCASK_OK);
    kill_9(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size); /* acknowledged, and put nowhere */
    memset(data + SEGMENT_HEADER_SIZE, 0, size - SEGMENT_HEADER_SIZE);
    write_whole(&f, SEGMENT_2, data, size);
    free(data);
    open_store(&f);
    assert_int_equal(count_events(&f, "damaged"), 1);
    assert_int_equal(event_number(&f, "damaged", "segment"), 2);
    assert_int_equal(event_number(&f, "damaged", "offset"), SEGMENT_HEADER_SIZE);
    assert_true(event_number(&f, "damaged", "bytes") >= record_bytes("k0", 3));
    check_value(&f, "k1", "one");
    fixture_release(&f);
}

/* The damage is in the version: it stays below those that were written since. */
static void a_record_with_a_damaged_version_does_not_hide_what_was_written_since(void **state)
{
    (void)state;
    for (int follows = 0; follows < 2; follows++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put(&f, "k0", "zero");
        put(&f, "k1", "one");
        if (follows)
            put(&f, "k2", "two");
        rotate(&f);
        os_mem_advance_clock(f.os, 10);
        put(&f, "k1", "new");
        os_mem_advance_clock(f.os, 60 * 1000000);
        put(&f, "k3", "three"); /* so that no version below is out of the question */
        close_store(&f);
        size_t size;
        unsigned char *data = read_whole(&f, SEGMENT_1, &size);
        unsigned char *version = data + SEGMENT_HEADER_SIZE + record_bytes("k0", 4) + 4;
        put_u64(version, get_u64(version) | 0xffff);
        write_whole(&f, SEGMENT_1, data, size);
        free(data);
        remove_hints(&f);
        open_store(&f);
        assert_int_equal(count_events(&f, "damaged"), 1);
        check_value(&f, "k0", "zero");
        check_value(&f, "k1", "new");
        check_value(&f, "k3", "three");
        fixture_release(&f);
    }
}

static void a_segment_that_is_found_damaged_when_it_is_sealed_keeps_its_figures(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k0", "zero");
    put(&f, "k1", "one");
    close_store(&f);
    flip_byte(&f, SEGMENT_1, SEGMENT_HEADER_SIZE + record_bytes("k0", 4) - 1);
    open_store(&f);
    put(&f, "k2", "two");
    rotate(&f);
    put(&f, "k3", "three");
    sync_store(&f);
    assert_int_equal(count_events(&f, "damaged"), 1);
    assert_int_equal(event_number(&f, "sealed", "segment"), 1);
    assert_int_equal(event_number(&f, "sealed", "records"), 3);
    check_corrupt(&f, "k0");
    check_value(&f, "k1", "one");
    check_value(&f, "k2", "two");
    fixture_release(&f);
}

static void without_any_hint_the_state_is_the_same(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    open_store(&f);
    uint64_t live = live_bytes(&f);
    close_store(&f);
    remove_hints(&f);
    open_store(&f);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 3);
    check_three(&f);
    assert_int_equal(live_bytes(&f), live);
    close_store(&f);
    open_store(&f);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 0); /* they were written */
    check_three(&f);
    fixture_release(&f);
}

static void a_hint_with_any_byte_flipped_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    size_t size = file_size(&f, HINT_2);
    for (size_t at = 0; at < size; at++) {
        restore_disk(&f, image);
        flip_byte(&f, HINT_2, at);
        open_store(&f);
        assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
        check_three(&f);
        abandon(&f);
    }
    for (size_t cut = 0; cut < size; cut++) {
        restore_disk(&f, image);
        truncate_file(&f, HINT_2, cut);
        open_store(&f);
        assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
        check_three(&f);
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

static void a_hint_of_before_is_believed_as_far_as_it_goes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    close_store(&f);
    size_t size;
    unsigned char *old = read_whole(&f, HINT_1, &size);
    open_store(&f);
    put(&f, "a", "2");
    close_store(&f);
    write_whole(&f, HINT_1, old, size);
    free(old);
    open_store(&f);
    check_value(&f, "a", "2");
    assert_int_equal(count_events(&f, "hint_rebuilt"), 0);
    fixture_release(&f);
}

static void a_hint_of_another_segment_is_not_believed(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size;
    unsigned char *other = read_whole(&f, HINT_1, &size);
    write_whole(&f, HINT_2, other, size);
    free(other);
    open_store(&f);
    check_three(&f);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
    fixture_release(&f);
}

static void every_byte_of_the_data_flipped_gives_no_wrong_value(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    size_t count;
    char **names = data_names(&f, &count);
    assert_int_equal(count, 3);
    for (int hints = 0; hints < 2; hints++) {
        for (size_t i = 0; i < count; i++) {
            size_t size;
            restore_disk(&f, image);
            size = file_size(&f, names[i]);
            for (size_t at = 0; at < size; at++) {
                restore_disk(&f, image);
                if (!hints)
                    remove_hints(&f);
                flip_byte(&f, names[i], at);
                open_store(&f);
                if (hints || at < SEGMENT_HEADER_SIZE)
                    check_nothing_wrong(&f, "d1");
                if (at < SEGMENT_HEADER_SIZE) /* rot in sector 0 loses nothing else */
                    check_three(&f);
                abandon(&f);
            }
        }
    }
    free_list(names, count);
    free_disk(image);
    fixture_release(&f);
}

static void a_damaged_record_of_a_segment_without_a_hint_is_corrupt_not_the_older_one(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    remove_hints(&f);
    /* The value of b in segment 2. */
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "b2"));
    open_store(&f);
    assert_int_equal(event_number(&f, "damaged", "segment"), 2);
    check_corrupt(&f, "b");
    check_value(&f, "c", "c2");
    check_missing(&f, "gone");
    close_store(&f);
    open_store(&f);
    check_corrupt(&f, "b");
    fixture_release(&f);
}

static void a_missing_segment_makes_its_keys_corrupt_and_no_others(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, SEGMENT_2);
    open_store(&f);
    assert_int_equal(count_events(&f, "segment_missing"), 1);
    assert_int_equal(event_number(&f, "segment_missing", "segment"), 2);
    check_value(&f, "a", "a1");
    check_corrupt(&f, "b"); /* not b1 */
    check_value(&f, "c", "c2");
    check_value(&f, "d", "d1");
    check_missing(&f, "gone"); /* the hint knows of its tombstone */
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f.db, &stats);
    assert_int_equal(stats.missing_segments, 1);
    put(&f, "e", "e1");
    close_store(&f);
    open_store(&f); /* it is not forgotten */
    assert_int_equal(count_events(&f, "segment_missing"), 1);
    check_corrupt(&f, "b");
    check_value(&f, "e", "e1");
    fixture_release(&f);
}

static void a_missing_segment_that_comes_back_is_read_again(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    delete_file(&f, SEGMENT_2);
    open_store(&f);
    put(&f, "e", "e1");
    kill_9(&f);
    open_store(&f);
    close_store(&f);
    write_whole(&f, SEGMENT_2, data, size);
    free(data);
    open_store(&f);
    assert_int_equal(count_events(&f, "segment_missing"), 0);
    check_three(&f);
    check_value(&f, "e", "e1");
    fixture_release(&f);
}

static void an_unsealed_segment_that_was_missing_and_comes_back_is_read_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    kill_9(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_1, &size);
    delete_file(&f, SEGMENT_1);
    open_store(&f);
    assert_int_equal(count_events(&f, "segment_missing"), 1);
    put(&f, "b", "2");
    close_store(&f);
    write_whole(&f, SEGMENT_1, data, size);
    free(data);
    open_store(&f);
    check_value(&f, "a", "1");
    check_value(&f, "b", "2");
    close_store(&f);
    open_store(&f);
    assert_int_equal(event_number(&f, "recovered", "clean"), 1);
    check_value(&f, "a", "1");
    fixture_release(&f);
}

static void a_sealed_segment_truncated_at_any_byte_is_reported(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    size_t value = find_text(&f, SEGMENT_2, "b2");
    size_t length = find_text(&f, SEGMENT_2, "gone") + 4;
    for (size_t size = 0; size < length; size++) {
        for (int hints = 0; hints < 2; hints++) {
            restore_disk(&f, image);
            truncate_file(&f, SEGMENT_2, size);
            if (!hints)
                delete_file(&f, HINT_2);
            open_store(&f);
            assert_true(count_events(&f, "damaged") >= 1);
            if (hints)
                check_nothing_wrong(&f, "d1");
            if (hints && size < value + 2)
                check_corrupt(&f, "b");
            check_value(&f, "a", "a1");
            check_value(&f, "d", "d1");
            check_value(&f, "c", "c2");
            abandon(&f);
        }
    }
    free_disk(image);
    fixture_release(&f);
}

static void bytes_behind_a_sealed_length_do_not_count(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    data = realloc(data, size + 1000);
    memset(data + size, 'x', 1000);
    write_whole(&f, SEGMENT_2, data, size + 1000);
    free(data);
    delete_file(&f, HINT_2);
    open_store(&f);
    assert_int_equal(count_events(&f, "damaged"), 0);
    check_three(&f);
    fixture_release(&f);
}

/* All of segment 1 was durable before anything of segment 2 was: a bad record there is damage,
 * though no SYNC record of its own says so. */
static void damage_in_a_segment_before_a_synced_one_is_reported_with_its_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "first");
    assert_int_equal(log_prepare_next(f.store, 0, &f.error), BITCASK_OK);
    size_t size;
    unsigned char *manifest = read_whole(&f, "MANIFEST", &size); /* both are active */
    put(&f, "k", "second");
    put(&f, "m", "other");
    rotate(&f);
    put_durably(&f, "x", "1");
    put(&f, "y", "2"); /* behind a SYNC record */
    kill_9(&f);
    write_whole(&f, "MANIFEST", manifest, size);
    free(manifest);
    remove_hints(&f);
    flip_byte(&f, SEGMENT_1, find_text(&f, SEGMENT_1, "second"));
    open_store(&f);
    assert_int_equal(count_events(&f, "cut"), 0);
    assert_int_equal(event_number(&f, "damaged", "segment"), 1);
    check_corrupt(&f, "k");
    check_value(&f, "m", "other");
    check_value(&f, "y", "2");
    fixture_release(&f);
}

/* As a hostile manifest might say; its checksum is good. */
static void a_sealed_length_inside_the_header_is_not_believed(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct manifest manifest;
    size_t size;
    char *text = (char *)read_whole(&f, "MANIFEST", &size);
    assert_int_equal(manifest_decode(slice_of(text, size), &manifest, NULL), BITCASK_OK);
    free(text);
    manifest.segments[0].length = 100;
    assert_int_equal(manifest_encode(&manifest, &text, &size), BITCASK_OK);
    write_whole(&f, "MANIFEST", text, size);
    free(text);
    manifest_release(&manifest);
    open_store(&f);
    check_three(&f);
    fixture_release(&f);
}

/* ---- Foreign and unnamed files -------------------------------------------------------------- */

static void a_segment_of_another_store_is_not_ours(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    fixture_release(&f);

    fixture_init(&f);
    os_mem_step_real_clock(f.os, 1000);
    uint64_t unused;
    f.os->random(f.os, &unused, sizeof unused); /* another store id */
    open_store(&f);
    put(&f, "a", "1");
    rotate(&f);
    put(&f, "b", "2");
    kill_9(&f);
    write_whole(&f, SEGMENT_2, data, size);
    write_whole(&f, "000000077.data", data, size);
    free(data);
    open_store(&f);
    assert_int_equal(count_events(&f, "segment_missing"), 1);
    assert_int_equal(count_events(&f, "foreign_file"), 2);
    check_value(&f, "a", "1");
    check_missing(&f, "c");
    assert_true(has_file(&f, "000000077.data"));
    assert_int_equal(file_size(&f, SEGMENT_2), size);
    put(&f, "x", "1"); /* no id in sight is used */
    assert_true(has_file(&f, "000000078.data"));
    fixture_release(&f);
}

static void an_unnamed_log_segment_goes_to_quarantine(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size, count;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
    header.segment_id = 50;
    segment_header_encode(data, &header);
    write_whole(&f, "000000050.data", data, size);
    write_whole(&f, "000000050.hint", "x", 1);
    open_store(&f);
    check_three(&f);
    assert_false(has_file(&f, "000000050.data"));
    assert_false(has_file(&f, "000000050.hint"));
    char **names = list_files(&f, "quarantine", &count);
    assert_int_equal(count, 1);
    assert_memory_equal(names[0], "000000050-0-", 12);
    free_list(names, count);
    close_store(&f);
    open_store(&f);
    put_sized(&f, "big", 'x', 40000);
    put_sized(&f, "big", 'x', 40000);
    assert_true(has_file(&f, "000000051.data") || has_file(&f, "000000052.data"));
    free(data);
    fixture_release(&f);
}

/* What a file system knows: pages that have been looked at are data, though they are zero. */
static int (*zeros_from)(struct os *os, struct os_file *file, uint64_t *offset);

static int zeros_behind_the_page_after(struct os *os, struct os_file *file, uint64_t *offset)
{
    struct os_stat stat;
    int result = zeros_from(os, file, offset);
    if (result == 0)
        result = os->stat_file(os, file, &stat);
    uint64_t end = *offset + 1000;
    *offset = result == 0 && end > stat.size ? stat.size : end;
    return result;
}

static void remove_unnamed_ones(bool looked_at)
{
    struct fixture f;
    make_three(&f);
    zeros_from = f.os->zeros_from;
    if (looked_at)
        f.os->zeros_from = zeros_behind_the_page_after;
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
    header.segment_id = 50;
    header.kind = SEGMENT_MERGE;
    segment_header_encode(data, &header);
    write_whole(&f, "000000050.data", data, size);
    header.segment_id = 51;
    header.kind = SEGMENT_LOG;
    memset(data, 0, size);
    segment_header_encode(data, &header);
    write_whole(&f, "000000051.data", data, size);
    write_whole(&f, "000000052.data", "", 0);
    free(data);
    open_store(&f);
    check_three(&f);
    assert_false(has_file(&f, "000000050.data"));
    assert_false(has_file(&f, "000000051.data"));
    assert_false(has_file(&f, "000000052.data"));
    assert_false(has_file(&f, "quarantine"));
    fixture_release(&f);
}

static void unnamed_merge_outputs_and_empty_segments_are_removed(void **state)
{
    (void)state;
    remove_unnamed_ones(false);
    remove_unnamed_ones(true);
}

static void temporary_files_and_hints_of_no_segment_are_removed(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    write_whole(&f, "MANIFEST.tmp", "half", 4);
    write_whole(&f, "000000001.hint.tmp", "half", 4);
    write_whole(&f, "000000099.hint", "old", 3);
    write_whole(&f, "notes.txt", "mine", 4);
    open_store(&f);
    check_three(&f);
    assert_false(has_file(&f, "MANIFEST.tmp"));
    assert_false(has_file(&f, "000000001.hint.tmp"));
    assert_false(has_file(&f, "000000099.hint"));
    assert_true(has_file(&f, "notes.txt"));
    fixture_release(&f);
}

static void a_manifest_of_a_newer_format_is_refused_by_name(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size;
    char *text = (char *)read_whole(&f, "MANIFEST", &size);
    text[size] = '\0';
    char *at = strstr(text, "\"format\": 1");
    assert_non_null(at);
    at[10] = '9';
    char *tail = strstr(text, "\"crc32\": \"");
    assert_non_null(tail);
    char sum[16];
    snprintf(sum, sizeof sum, "%08x", checksum(0, text, (size_t)(tail - text)));
    memcpy(tail + 10, sum, 8);
    write_whole(&f, "MANIFEST", text, size);
    free(text);
    assert_int_equal(try_open(&f), BITCASK_FORMAT);
    assert_non_null(strstr(f.error.message, "9"));
    assert_int_equal(os_mem_open_files(f.os), 0);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_below_what_was_synced_is_reported_and_the_rest_kept),
        cmocka_unit_test(what_a_device_lost_after_a_merge_has_synced_it_is_reported),
        cmocka_unit_test(a_record_with_a_damaged_version_does_not_hide_what_was_written_since),
        cmocka_unit_test(a_segment_that_is_found_damaged_when_it_is_sealed_keeps_its_figures),
        cmocka_unit_test(without_any_hint_the_state_is_the_same),
        cmocka_unit_test(a_hint_with_any_byte_flipped_changes_nothing),
        cmocka_unit_test(a_hint_of_before_is_believed_as_far_as_it_goes),
        cmocka_unit_test(a_hint_of_another_segment_is_not_believed),
        cmocka_unit_test(every_byte_of_the_data_flipped_gives_no_wrong_value),
        cmocka_unit_test(a_damaged_record_of_a_segment_without_a_hint_is_corrupt_not_the_older_one),
        cmocka_unit_test(a_missing_segment_makes_its_keys_corrupt_and_no_others),
        cmocka_unit_test(a_missing_segment_that_comes_back_is_read_again),
        cmocka_unit_test(an_unsealed_segment_that_was_missing_and_comes_back_is_read_again),
        cmocka_unit_test(a_sealed_segment_truncated_at_any_byte_is_reported),
        cmocka_unit_test(bytes_behind_a_sealed_length_do_not_count),
        cmocka_unit_test(damage_in_a_segment_before_a_synced_one_is_reported_with_its_key),
        cmocka_unit_test(a_sealed_length_inside_the_header_is_not_believed),
        cmocka_unit_test(a_segment_of_another_store_is_not_ours),
        cmocka_unit_test(an_unnamed_log_segment_goes_to_quarantine),
        cmocka_unit_test(unnamed_merge_outputs_and_empty_segments_are_removed),
        cmocka_unit_test(temporary_files_and_hints_of_no_segment_are_removed),
        cmocka_unit_test(a_manifest_of_a_newer_format_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
