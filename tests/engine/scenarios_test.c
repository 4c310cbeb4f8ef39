/* SPDX-License-Identifier: MIT
 * scenarios_test.c: sequences of events that an earlier draft of the design would not have
 * survived, and that are not tested elsewhere (traps_test.c has the table of all). */
#include "support/write_fixture.h"

#include "format/names.h"

/* A reader rests with a view on a segment whose slot number is wanted again. */
static void scenario_13_a_slot_is_not_used_again_while_a_reader_holds_its_segment(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "held", "old value");
    struct segment *segment = active_segment(&f);
    rotate(&f);
    bitcask_view view;
    assert_status(&f, OK, bitcask_get_view(f.db, NULL, bitcask_str("held"), &view, &f.error));
    uint32_t slot = segment->slot;
    /* Let the numbers come round: whatever is made next would take the lowest free one. */
    for (int round = 0; round < 40; round++) {
        f.store->segments.next_slot = slot;
        char value[16];
        snprintf(value, sizeof value, "%d", round);
        put(&f, "held", value);
        put(&f, "other", value);
        assert_status(&f, OK, merge_all(&f));
        assert_ptr_equal(segments_at(&f.store->segments, slot), segment);
        assert_memory_equal(view.value.data, "old value", 9);
        check_value(&f, "held", value);
        check_value(&f, "other", value);
    }
    bitcask_views_release(&view, 1);
    for (int i = 0; i < 4; i++)
        epoch_poll(&f.store->epoch);
    assert_ptr_not_equal(segments_at(&f.store->segments, slot), segment);
    f.store->segments.next_slot = slot;
    rotate(&f);
    put(&f, "held", "again");
    check_value(&f, "held", "again");
    assert_sound(&f);
    fixture_release(&f);
}

/* Each byte of a record in turn, while the store is open: the key is there, and damaged. */
static void scenario_14_a_flipped_byte_of_a_key_is_not_a_missing_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "the key", "the value");
    put(&f, "other", "x");
    struct segment *active = active_segment(&f);
    uint64_t size = record_size(0, 7, 9);
    for (uint64_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            active->writable[SEGMENT_HEADER_SIZE + at] ^= 1u << bit;
            check_corrupt(&f, "the key");
            check_value(&f, "other", "x");
            check_missing(&f, "no such key");
            active->writable[SEGMENT_HEADER_SIZE + at] ^= 1u << bit;
        }
    }
    check_value(&f, "the key", "the value");
    fixture_release(&f);
}

/* A key whose record is damaged can be put and deleted, and the damage is then no more its value.
 */
static void scenario_14_a_damaged_key_is_mended_by_a_put(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < record_size(0, 7, 9); at++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "the key", "the value"); /* below the watermark it is damage, no torn end */
        active_segment(&f)->writable[SEGMENT_HEADER_SIZE + at] ^= 1u << (at % 8);
        put(&f, "the key", "new");
        check_value(&f, "the key", "new");
        put(&f, "the key", "newer");
        check_value(&f, "the key", "newer");
        kill_9(&f);
        open_store(&f);
        /* A damaged version may look higher than that of what was written after it: nobody knows
         * then which is the newest, and that is said. */
        bool in_version = at >= 4 && at < 12;
        if (!in_version || status_of(&f, "the key") != BITCASK_CORRUPT)
            check_value(&f, "the key", "newer");
        fixture_release(&f);
    }
}

static void scenario_16_a_view_held_for_ever_stops_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "held", "old");
    bitcask_view view;
    assert_status(&f, OK, bitcask_get_view(f.db, NULL, bitcask_str("held"), &view, &f.error));
    for (int i = 0; i < 5000; i++)
        put_sized(&f, i % 2 ? "held" : "other", 'v', 500);
    assert_status(&f, OK, merge_all(&f));
    bitcask_stats stats = stats_of(&f);
    assert_true(stats.pinned_segments <= 1);
    assert_true(stats.disk_bytes < 300000); /* 2.5 MB were written */
    assert_memory_equal(view.value.data, "old", 3);
    bitcask_views_release(&view, 1);
    assert_sound(&f);
    fixture_release(&f);
}

static void scenario_16_a_snapshot_held_for_ever_stops_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "held", "old");
    bitcask_snapshot *snapshot;
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    for (int i = 0; i < 5000; i++) {
        put_sized(&f, i % 2 ? "held" : "other", 'v', 500);
        if (i % 1000 == 999)
            assert_status(&f, OK, merge_all(&f));
    }
    os_mem_advance_clock(f.os, 1000000);
    bitcask_stats stats = stats_of(&f);
    assert_int_equal(stats.snapshots, 1);
    assert_true(stats.oldest_snapshot_us >= 1000000);
    assert_int_equal(stats.undo_entries, 1); /* "other" was not there */
    assert_true(stats.pinned_segments <= 1);
    assert_true(stats.disk_bytes < 300000); /* 2.5 MB were written */
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_view view;
    assert_status(&f, OK, bitcask_get_view(f.db, &options, bitcask_str("held"), &view, &f.error));
    assert_memory_equal(view.value.data, "old", 3);
    bitcask_views_release(&view, 1);
    bitcask_snapshot_free(snapshot);
    assert_sound(&f);
    fixture_release(&f);
}

/* Salt and seed stand in manifest and hint too, so a lost first sector loses nothing else. */
static void scenario_22_rot_in_sector_0_loses_no_record(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_numbered(&f, "k", 0, 50, "v");
        rotate(&f);
        put(&f, "late", "w");
        if (killed)
            kill_9(&f);
        else
            close_store(&f);
        unsigned char rot[SEGMENT_HEADER_SIZE];
        size_t size;
        unsigned char *data = read_whole(&f, "000000001.data", &size);
        memset(rot, 0xa5, sizeof rot);
        memcpy(data, rot, sizeof rot);
        write_whole(&f, "000000001.data", data, size);
        free(data);
        open_store(&f);
        for (int i = 0; i < 50; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            check_value(&f, key, "v");
        }
        check_value(&f, "late", "w");
        assert_int_equal(bitcask_verify(f.db, NULL, NULL, &f.error), BITCASK_CORRUPT);
        fixture_release(&f);
    }
}

static void scenario_23_a_deleted_lock_file_gives_nobody_the_lock(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "v");
    delete_file(&f, NAME_LOCK);
    struct store *second = NULL;
    bitcask_error error;
    assert_int_equal(store_open(f.os, STORE_DIRECTORY, &f.options, &second, &error),
                     BITCASK_LOCKED);
    assert_null(second);
    put(&f, "k", "w");
    close_store(&f);
    open_store(&f);
    check_value(&f, "k", "w");
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenario_13_a_slot_is_not_used_again_while_a_reader_holds_its_segment),
        cmocka_unit_test(scenario_14_a_flipped_byte_of_a_key_is_not_a_missing_key),
        cmocka_unit_test(scenario_14_a_damaged_key_is_mended_by_a_put),
        cmocka_unit_test(scenario_16_a_view_held_for_ever_stops_nothing),
        cmocka_unit_test(scenario_16_a_snapshot_held_for_ever_stops_nothing),
        cmocka_unit_test(scenario_22_rot_in_sector_0_loses_no_record),
        cmocka_unit_test(scenario_23_a_deleted_lock_file_gives_nobody_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
