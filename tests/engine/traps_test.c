/* SPDX-License-Identifier: MIT
 * traps_test.c: mistakes that other Bitcasks have made and that no other test here is about.
 *
 * Which test covers which trap (merge: engine/merge_test.c, and so on):
 *
 *    1  merge     trap_1_a_tombstone_stays_while_an_older_segment_holds_the_value
 *    2  merge     trap_2_a_tombstone_goes_with_what_it_hides, and two more
 *    3  merge     trap_3_a_stale_tombstone_is_judged_too
 *    4  merge     trap_4_keys_deleted_while_they_are_copied_stay_deleted
 *    5  merge     trap_5_keys_overwritten_and_revived_while_they_are_copied_keep_the_newest
 *    6  here      trap_6_an_update_writes_one_record
 *    7  merge     trap_7_reaping_an_expired_record_spares_a_newer_value
 *    8  log       versions_rise_although_the_clock_steps_back
 *    9  api/iterator  keys_that_stay_are_seen_once_beside_writers_and_merges
 *   10  here      trap_10_readers_that_never_end_hold_back_their_segments_only
 *   11  here      the same: writes, merges and deletes of files go on beside them
 *   12  merge     trap_12_inputs_are_gone_from_all_figures_while_a_view_holds_them
 *   13  log       failures_leave_no_descriptors_or_mappings_behind; merge descriptors_...stay_flat
 *   14  here      trap_14_a_failed_open_leaves_nothing_behind
 *   15  merge     trap_15_the_active_segment_is_no_input
 *   16  here      trap_16_ids_are_never_used_again
 *   17  scan      each_byte_flipped_loses_just_that_record, a_damaged_size_that_leads_to_...
 *   18  recovery  a_tail_of_zeros_is_the_end_and_not_worth_a_word
 *   19  hint_file any_byte_flipped_or_cut_off_is_noticed; faults hints_and_manifest_may_all_be_lost
 *   20  log       a_record_that_just_fits_stays_..., values_of_all_awkward_sizes_come_back
 *   21  api/process   the_lock_dies_with_its_process; scenarios scenario_23_...
 *   22  merge     trap_22_a_merge_in_which_any_call_fails_loses_nothing, and three more; faults
 *   23  bench/keydir measures it; api/stats has index_bytes
 *   24  scheduling merges comes later
 *   25  here      trap_25_values_that_look_like_markers_are_values
 *   26  here      trap_26_ids_are_numbers
 *   27  group     an_append_that_fails_at_any_call_leaves_no_trace (a failing pwrite writes half)
 *   28  log       every_acknowledged_write_around_a_rotation_survives_a_crash_at_any_call
 *   29  seal      a_sealed_segment_never_changes
 *   30  recovery  a_torn_last_record_is_cut_and_kept_in_quarantine
 *   31  here      trap_31_sizes_are_bytes
 *   32  recovery, hint_file  a_hint_of_something_else_is_refused; faults flip_each_byte
 *   33  log       a_record_larger_than_a_segment_gets_one_of_its_own
 *   34  merge     trap_34_deleted_and_expired_keys_stay_away_through_merges
 *   35  the command's bench prints the mode of each figure
 *
 * And which scenario of the design (1 to 24):
 *
 *    1, 2, 4, 7, 11, 19    merge, recovery, rebuild (named after them)
 *    3, 8, 18              log (named in comments)
 *    5                     group  a_stale_record_behind_the_end_never_shows
 *    6                     recovery  a_torn_batch_is_not_completed_by_the_next_write
 *    9                     group  two_compare_and_sets_in_one_group_exactly_one_wins,
 *                          a_batch_that_puts_and_deletes_...
 *   10                     group  a_none_put_does_not_overtake_an_always_put_of_its_key
 *   12                     keydir_threads
 *   13, 14, 16, 22, 23     scenarios
 *   15                     group  no_memory_for_the_index_leaves_nothing_in_the_log
 *   17                     recovery  a_batch_is_kept_or_cut_as_a_whole_wherever_the_log_ends
 *   20                     rescue  nothing_depends_on_the_pages_of_a_failed_sync
 *   21, 24                 backups and followers come later
 */
#include "support/write_fixture.h"

#include "format/names.h"

static void trap_6_an_update_writes_one_record(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "1");
    uint64_t written = stats_of(&f).bytes_written;
    uint64_t records = active_segment(&f)->records;
    put(&f, "k", "2");
    assert_int_equal(active_segment(&f)->records - records, 1);
    assert_int_equal(stats_of(&f).bytes_written - written, record_size(0, 1, 1));
    assert_int_equal(active_segment(&f)->tombstones, 0);
    fixture_release(&f);
}

/* A view and an iterator that nobody ends. */
static void trap_10_readers_that_never_end_hold_back_their_segments_only(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "held", "old");
    rotate(&f);
    bitcask_view view;
    assert_status(&f, OK, bitcask_get_view(f.db, NULL, bitcask_str("held"), &view, &f.error));
    bitcask_iterator *iterator;
    bitcask_entry entry;
    assert_status(
        &f, OK,
        bitcask_iterator_new(f.db, NULL, bitcask_str(""), BITCASK_VALUES, &iterator, &f.error));
    assert_status(&f, OK, bitcask_iterator_next(iterator, &entry, &f.error));
    uint64_t most_maps = 0;
    for (int round = 0; round < 30; round++) {
        char value[16];
        snprintf(value, sizeof value, "new%d", round);
        put(&f, "held", value);
        put_numbered(&f, "k", 0, 20, value);
        assert_status(&f, OK, merge_all(&f));
        check_value(&f, "held", value);
        assert_memory_equal(view.value.data, "old", 3);
        for (int i = 0; i < 4; i++)
            epoch_poll(&f.store->epoch);
        if (round == 5)
            most_maps = os_mem_live_maps(f.os);
        if (round > 5)
            assert_true(os_mem_live_maps(f.os) <= most_maps + 1);
        assert_true(stats_of(&f).pinned_segments <= 2);
    }
    assert_memory_equal(entry.value.data, "old", 3);
    bitcask_iterator_free(iterator);
    bitcask_views_release(&view, 1);
    for (int i = 0; i < 4; i++)
        epoch_poll(&f.store->epoch);
    assert_int_equal(stats_of(&f).pinned_segments, 0);
    assert_sound(&f);
    fixture_release(&f);
}

static void trap_14_a_failed_open_leaves_nothing_behind(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 30, "v");
    rotate(&f);
    put_numbered(&f, "k", 10, 40, "w");
    sync_store(&f); /* what a failing sync of recovery loses is rightly gone */
    kill_9(&f);
    bool came = true;
    int failed = 0;
    for (uint64_t nth = 1; came; nth++) {
        uint64_t before = os_mem_calls(f.os, DISK_CALLS | 1u << OS_CALL_ALLOC);
        os_mem_fail(f.os, DISK_CALLS | 1u << OS_CALL_ALLOC, nth, 1, -EIO);
        bitcask_status status = try_open(&f);
        came = os_mem_calls(f.os, DISK_CALLS | 1u << OS_CALL_ALLOC) - before >= nth;
        os_mem_fail(f.os, 0, 0, 1, -EIO);
        failed += status != BITCASK_OK;
        if (status == BITCASK_OK)
            kill_9(&f);
        assert_int_equal(os_mem_open_files(f.os), 0);
        assert_int_equal(os_mem_live_maps(f.os), 0);
        assert_int_equal(os_mem_live_bytes(f.os), 0);
    }
    assert_true(failed > 0);
    open_store(&f); /* and the lock is free */
    check_value(&f, "k5", "v");
    check_value(&f, "k39", "w");
    fixture_release(&f);
}

static void trap_16_ids_are_never_used_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "1");
    kill_9(&f);
    write_whole(&f, "000000500.data", "", 0); /* empty, the highest id, and nobody's */
    open_store(&f);
    put(&f, "k", "2");
    assert_true(active_segment(&f)->id > 500);
    uint64_t id = active_segment(&f)->id;
    kill_9(&f);
    delete_file(&f, NAME_MANIFEST);
    open_store(&f);
    put(&f, "k", "3");
    assert_true(active_segment(&f)->id > id);
    check_value(&f, "k", "3");
    assert_sound(&f);
    fixture_release(&f);
}

static void trap_25_values_that_look_like_markers_are_values(void **state)
{
    (void)state;
    static const char *const markers[] = {"bitcask_tombstone",
                                          "bitcask_tombstone2abcd",
                                          "__tombstone__",
                                          "__DELETED__",
                                          "\x7f",
                                          "nil",
                                          ""};
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    for (size_t i = 0; i < ARRAY_SIZE(markers); i++) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", i);
        put(&f, key, markers[i]);
        check_value(&f, key, markers[i]);
    }
    assert_status(&f, OK, merge_all(&f));
    assert_same_after_reopening(&f);
    for (size_t i = 0; i < ARRAY_SIZE(markers); i++) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", i);
        check_value(&f, key, markers[i]);
    }
    fixture_release(&f);
}

/* With names sorted as text, segment 10 would be taken for older than segment 2. */
static void trap_26_ids_are_numbers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_max_records = 1;
    open_store(&f);
    for (int i = 0; i < 25; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        put(&f, "k", value);
    }
    assert_true(active_segment(&f)->id > 20);
    kill_9(&f);
    delete_hints(&f);
    delete_file(&f, NAME_MANIFEST);
    open_store(&f);
    check_value(&f, "k", "24");
    fixture_release(&f);
}

static void trap_31_sizes_are_bytes(void **state)
{
    (void)state;
    static const char *const key = "\xc3\xa9t\xc3\xa9"; /* 3 letters, 5 bytes */
    static const char value[] = "a\0b\xff\xfe\0";
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    assert_status(&f, OK,
                  bitcask_put(f.db, bitcask_str(key), bitcask_bytes(value, sizeof value), NULL,
                              NULL, &f.error));
    put(&f, "after", "x");
    for (int round = 0; round < 2; round++) {
        bitcask_buffer found = {0};
        assert_status(&f, OK, read_key(&f, key, &found));
        assert_int_equal(found.size, sizeof value);
        assert_memory_equal(found.data, value, sizeof value);
        bitcask_buffer_free(&found);
        check_missing(&f, "\xc3\xa9");
        check_value(&f, "after", "x");
        kill_9(&f);
        open_store(&f);
    }
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trap_6_an_update_writes_one_record),
        cmocka_unit_test(trap_10_readers_that_never_end_hold_back_their_segments_only),
        cmocka_unit_test(trap_14_a_failed_open_leaves_nothing_behind),
        cmocka_unit_test(trap_16_ids_are_never_used_again),
        cmocka_unit_test(trap_25_values_that_look_like_markers_are_values),
        cmocka_unit_test(trap_26_ids_are_numbers),
        cmocka_unit_test(trap_31_sizes_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
