/* SPDX-License-Identifier: MIT
 * merge_test.c: a merge gives space back and changes nothing that a reader can see. */
#include "support/merge_fixture.h"

/* ---- Space --------------------------------------------------------------------------------- */

static void an_empty_store_has_nothing_to_merge(void **state)
{
    (void)state;
    struct fixture *f = begin();
    merge_all(f);
    assert_int_equal(f->merged.inputs, 0);
    put(f, 1);
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 0);
    assert_model(f);
    end(f);
}

static void a_fresh_record_survives_its_merge(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    merge_all(f);
    assert_int_equal(f->merged.inputs, 1);
    assert_int_equal(f->merged.outputs, 1);
    assert_int_equal(f->merged.records_copied, 10);
    assert_int_equal(f->merged.records_dropped, 0);
    assert_int_equal(totals_of(f).sealed, 1);
    assert_int_equal(totals_of(f).hints, 1);
    assert_model(f);
    assert_sound(f);
    reopen(f);
    assert_model(f);
    reopen_without_hints(f);
    assert_model(f);
    end(f);
}

static void ten_overwrites_and_half_deleted_shrink_to_the_live_data(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = 256 << 10;
    assert_done(f, try_open(f));
    for (unsigned round = 0; round < 10; round++)
        for (unsigned key = 0; key < 1000; key++)
            put_sized(f, key, 200);
    for (unsigned key = 0; key < 1000; key += 2)
        drop(f, key);
    merge_all(f);
    struct totals totals = totals_of(f);
    assert_int_equal(totals.live_records, 500);
    assert_int_equal(totals.tombstones, 0);
    assert_true(totals.bytes <= totals.live_bytes + totals.live_bytes / 20);
    assert_model(f);
    assert_sound(f);
    reopen(f);
    assert_model(f);
    assert_int_equal(totals_of(f).live_bytes, totals.live_bytes);
    end(f);
}

static void a_store_where_everything_is_deleted_ends_without_records(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned part = 0; part < 5; part++) {
        put_range(f, part * 50, part * 50 + 50);
        seal(f);
    }
    for (unsigned part = 0; part < 5; part++) {
        drop_range(f, part * 50, part * 50 + 50);
        seal(f);
    }
    merge_all(f);
    assert_int_equal(totals_of(f).records, 0);
    assert_int_equal(totals_of(f).sealed, 0);
    assert_model(f);
    assert_sound(f);
    reopen(f);
    assert_model(f);
    put(f, 3);
    reopen(f);
    assert_model(f);
    end(f);
}

static void a_delete_only_store_ends_without_records(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 20);
    drop_range(f, 0, 20);
    merge_all(f);
    assert_int_equal(totals_of(f).records, 0);
    reopen(f);
    assert_model(f);
    uint64_t before = stats_of(f).last_version;
    put(f, 1);
    assert_true(stats_of(f).last_version > before);
    end(f);
}

static void outputs_rotate_by_number_of_records(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_max_records = 8;
    assert_done(f, try_open(f));
    put_range(f, 0, 30);
    merge_all(f);
    assert_true(f->merged.outputs >= 4);
    assert_model(f);
    assert_sound(f);
    reopen(f);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static uint64_t file_size(struct fixture *f, uint64_t id)
{
    char name[NAME_SIZE], path[64];
    name_data(name, id);
    snprintf(path, sizeof path, "store/%s", name);
    int64_t size = os_mem_read_file(f->os, path, NULL, 0);
    assert_true(size >= 0);
    return (uint64_t)size;
}

static void an_output_is_no_larger_than_a_segment_its_seal_record_included(void **state)
{
    (void)state;
    enum { SIZE = 64 << 10, EACH = (SIZE - SEGMENT_HEADER_SIZE) / 32 };
    struct fixture *f = begin();
    for (unsigned key = 0; key < 64; key++)
        put_sized(f, key, EACH - RECORD_HEADER_SIZE - 9); /* 32 fill a segment to the last byte */
    f->store->options.segment_size = SIZE;
    merge_all(f);
    assert_int_equal(f->merged.outputs, 3);
    for (uint64_t id = 1; id <= newest_sealed(f); id++)
        if (has_file(f, id))
            assert_true(file_size(f, id) <= SIZE);
    assert_model(f);
    end(f);
}

static void a_record_larger_than_a_segment_gets_an_output_of_its_own(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    assert_done(f, try_open(f));
    put(f, 1);
    put_sized(f, 2, 3 << 20);
    put(f, 3);
    put_sized(f, 4, 300 << 10);
    put(f, 5);
    merge_all(f);
    assert_model(f);
    assert_sound(f);
    reopen_without_hints(f);
    assert_model(f);
    merge_all(f);
    assert_model(f);
    end(f);
}

static void values_at_the_sizes_of_the_buffer_are_copied(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = 16 << 20;
    assert_done(f, try_open(f));
    unsigned key = 0;
    for (uint32_t size = (256 << 10) - 40; size < (256 << 10) + 2; size++)
        put_sized(f, key++, size);
    for (uint32_t size = (1 << 20) - 2; size < (1 << 20) + 2; size++)
        put_sized(f, key++, size);
    merge_all(f);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void small_segments_are_joined(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned part = 0; part < 6; part++) {
        put_range(f, part * 10, part * 10 + 10);
        seal(f);
    }
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 6);
    assert_int_equal(f->merged.outputs, 1);
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 0);
    assert_model(f);
    end(f);
}

static void assert_no_batch_marks(struct fixture *f, uint64_t id)
{
    static uint8_t bytes[64 << 10];
    char name[NAME_SIZE], path[64];
    name_data(name, id);
    snprintf(path, sizeof path, "store/%s", name);
    int64_t size = os_mem_read_file(f->os, path, bytes, sizeof bytes);
    struct record_shape shape;
    for (int64_t at = SEGMENT_HEADER_SIZE; at < size; at += (int64_t)shape.size) {
        assert_int_equal(record_parse(slice_of(bytes + at, (size_t)(size - at)), &shape, NULL),
                         BITCASK_OK);
        assert_int_equal(shape.flags & RECORD_BATCH_MORE, 0);
    }
}

static void a_batch_is_merged_without_its_marks(void **state)
{
    (void)state;
    struct fixture *f = begin();
    bitcask_batch *batch;
    assert_done(f, bitcask_batch_new(&batch, &f->error));
    for (unsigned key = 0; key < 5; key++) {
        char text[32], value[100];
        f->model[key] = ++f->writes;
        value_fill(value, sizeof value, key, f->writes);
        assert_done(f, bitcask_batch_put(batch, bitcask_bytes(text, key_text(text, key)),
                                         bitcask_bytes(value, sizeof value), 0, &f->error));
    }
    assert_done(f, bitcask_write(db_of(f), batch, NULL, NULL, &f->error));
    bitcask_batch_free(batch);
    put(f, 2); /* a dead record inside the batch */
    put(f, 4); /* and its last */
    merge_all(f);
    assert_no_batch_marks(f, newest_sealed(f));
    reopen_without_hints(f);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void descriptors_mappings_and_memory_stay_flat(void **state)
{
    (void)state;
    struct fixture *f = begin();
    uint64_t files = 0, maps = 0, bytes = 0;
    for (unsigned round = 0; round < 20; round++) {
        put_range(f, 0, 50);
        merge_all(f);
        epoch_drain(&f->store->epoch);
        if (round == 2) {
            files = os_mem_open_files(f->os);
            maps = os_mem_live_maps(f->os);
            bytes = os_mem_live_bytes(f->os);
        }
    }
    assert_int_equal(os_mem_open_files(f->os), files);
    assert_int_equal(os_mem_live_maps(f->os), maps);
    assert_int_equal(os_mem_live_bytes(f->os), bytes);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    end(f);
}

/* ---- Traps --------------------------------------------------------------------------------- */

/* Segment 1 has `key` among live keys 100..199; segment 2 its tombstone among dead records of keys
 * 200..249. A merge of what is wasteful takes segment 2 only. */
static void put_and_drop_apart(struct fixture *f, unsigned key)
{
    put(f, key);
    put_range(f, 100, 200);
    seal(f);
    put_range(f, 200, 250);
    drop(f, key);
    put_range(f, 200, 250);
    put_range(f, 200, 250);
    put_range(f, 200, 250);
    seal(f);
    f->options.segment_size = f->store->options.segment_size = BITCASK_MIN_SEGMENT_SIZE / 2;
}

/* 1: a partial merge dropped a tombstone while an older file still held the value. */
static void trap_1_a_tombstone_stays_while_an_older_segment_holds_the_value(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_and_drop_apart(f, 7);
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 1);
    assert_int_equal(f->merged.tombstones_kept, 1);
    assert_model(f);
    f->options.segment_size = 1 << 20;
    reopen_without_hints(f);
    assert_model(f);
    end(f);
}

/* 2: tombstones were then never reclaimed. */
static void trap_2_a_tombstone_goes_with_what_it_hides(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_and_drop_apart(f, 7);
    merge_wasteful(f);
    assert_int_equal(totals_of(f).tombstones, 1);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 0);
    f->options.segment_size = 1 << 20;
    reopen_without_hints(f);
    assert_model(f);
    end(f);
}

/* 2: exactly: the other segment's range of versions reaches lower, but it has another key. */
static void trap_2_a_tombstone_goes_when_no_other_segment_has_its_key(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 100, 200);
    seal(f);
    put(f, 7);
    drop(f, 7);
    seal(f);
    f->store->options.segment_size = BITCASK_MIN_SEGMENT_SIZE / 4; /* neither is small */
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 1);
    assert_int_equal(f->merged.outputs, 0);
    assert_int_equal(f->merged.tombstones_dropped, 1);
    assert_model(f);
    reopen(f);
    assert_model(f);
    end(f);
}

/* 2: also where an older segment has the tombstone and is merged first. */
static void trap_2_a_tombstone_goes_in_a_second_phase(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 100);
    seal(f);
    put(f, 300);
    put_range(f, 200, 300);
    seal(f);
    drop(f, 300);
    put_range(f, 0, 50);
    put_range(f, 0, 50);
    seal(f);
    f->store->options.segment_size = 32 << 10;
    merge_wasteful(f); /* the first and the third */
    assert_int_equal(f->merged.inputs, 2);
    assert_int_equal(f->merged.tombstones_kept, 1);
    f->store->options.segment_size = 16 << 10; /* one segment, one job */
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 0);
    assert_model(f);
    assert_sound(f);
    end(f);
}

/* 3: an out-of-date tombstone was skipped and a value came back. */
static void trap_3_a_stale_tombstone_is_judged_too(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_and_drop_apart(f, 7);
    f->store->options.segment_size = 1 << 20;
    put(f, 7); /* the tombstone is stale now */
    seal(f);
    f->store->options.segment_size = BITCASK_MIN_SEGMENT_SIZE / 2;
    merge_wasteful(f); /* the tombstone's segment, not the value's */
    assert_true(f->merged.tombstones_kept == 1);
    f->store->options.segment_size = 1 << 20;
    drop(f, 7);
    seal(f);
    f->store->options.segment_size = BITCASK_MIN_SEGMENT_SIZE / 2;
    merge_wasteful(f);
    f->options.segment_size = 1 << 20;
    reopen_without_hints(f);
    assert_model(f);
    merge_all(f);
    reopen_without_hints(f);
    assert_model(f);
    end(f);
}

/* What happens in the middle of a merge: called from its progress. */
static struct fixture *meanwhile_fixture;
static void (*meanwhile)(struct fixture *f);

static int run_meanwhile(void *context, const bitcask_merge_progress *progress)
{
    (void)context;
    (void)progress;
    if (meanwhile != NULL)
        meanwhile(meanwhile_fixture);
    meanwhile = NULL;
    return 0;
}

static void merge_all_while(struct fixture *f, void (*action)(struct fixture *f))
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    options.progress = run_meanwhile;
    meanwhile_fixture = f;
    meanwhile = action;
    assert_done(f, merge_run(f->store, &options, NULL, &f->error));
    assert_null(meanwhile); /* it has been called */
}

/* Keys 0..299 with 4-KiB values: a merge reports progress once on its way. */
static struct fixture *begin_with_large_values(void)
{
    struct fixture *f = fixture_new();
    f->options.segment_size = 4 << 20;
    assert_done(f, try_open(f));
    for (unsigned key = 0; key < 300; key++)
        put_sized(f, key, 4096);
    return f;
}

static void check_after_merge(struct fixture *f)
{
    assert_model(f);
    assert_sound(f);
    reopen_without_hints(f);
    assert_model(f);
    merge_all(f);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void drop_every_third(struct fixture *f)
{
    for (unsigned key = 0; key < 300; key += 3)
        drop(f, key);
}

/* 4: a delete raced a merge that wrote the old value into a later file. */
static void trap_4_keys_deleted_while_they_are_copied_stay_deleted(void **state)
{
    (void)state;
    struct fixture *f = begin_with_large_values();
    merge_all_while(f, drop_every_third);
    check_after_merge(f);
}

static void overwrite_and_revive(struct fixture *f)
{
    for (unsigned key = 0; key < 300; key++) {
        if (key % 2 == 0 && f->model[key] != 0)
            drop(f, key);
        if (key % 4 == 0)
            put(f, key);
        if (key % 5 == 0)
            put_sized(f, key, 3000);
    }
}

/* 5: an index update without condition lost a race; "absent" was not treated as a state. */
static void trap_5_keys_overwritten_and_revived_while_they_are_copied_keep_the_newest(void **state)
{
    (void)state;
    struct fixture *f = begin_with_large_values();
    merge_all_while(f, overwrite_and_revive);
    check_after_merge(f);
}

/* 7: expiry removed a newer value. */
static void trap_7_reaping_an_expired_record_spares_a_newer_value(void **state)
{
    (void)state;
    struct fixture *f = begin_with_large_values();
    for (unsigned key = 0; key < 300; key += 2)
        put_expiring(f, key, now(f) + SECOND);
    seal(f);
    os_mem_advance_clock(f->os, 3600ll * SECOND);
    merge_all_while(f, overwrite_and_revive);
    check_after_merge(f);
}

/* 12: files pending deletion were merged again, statistics leaked. */
static void trap_12_inputs_are_gone_from_all_figures_while_a_view_holds_them(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    bitcask_view view;
    char text[32];
    assert_done(f, bitcask_get_view(db_of(f), NULL, bitcask_bytes(text, key_text(text, 3)), &view,
                                    &f->error));
    merge_all(f);
    assert_int_equal(stats_of(f).pinned_segments, 1);
    struct totals once = totals_of(f);
    assert_int_equal(once.live_records, 10);
    merge_all(f);
    assert_int_equal(f->merged.inputs, 1); /* the output of the first, not what the view holds */
    assert_int_equal(totals_of(f).live_records, 10);
    assert_int_equal(totals_of(f).bytes, once.bytes);
    bitcask_views_release(&view, 1);
    epoch_drain(&f->store->epoch);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    end(f);
}

/* 15: the active file was listed as a merge input. */
static void trap_15_the_active_segment_is_no_input(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    put_range(f, 0, 10);
    put_range(f, 0, 10);
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 0);
    assert_model(f);
    end(f);
}

static const uint32_t WRITING_CALLS =
    1u << OS_CALL_OPEN | 1u << OS_CALL_PWRITE | 1u << OS_CALL_ALLOCATE | 1u << OS_CALL_TRUNCATE |
    1u << OS_CALL_SYNC | 1u << OS_CALL_MAP | 1u << OS_CALL_RENAME | 1u << OS_CALL_SYNC_DIR |
    1u << OS_CALL_LIST | 1u << OS_CALL_RANDOM | 1u << OS_CALL_ALLOC;

/* Four sealed segments with live and dead records, tombstones, an expired key. */
static void fill_mixed(struct fixture *f)
{
    put_range(f, 0, 20);
    put_range(f, 100, 120);
    seal(f);
    put_range(f, 0, 10);
    drop_range(f, 10, 15);
    seal(f);
    put_range(f, 5, 8);
    put_expiring(f, 100, now(f) + SECOND);
    put(f, 12);
    seal(f);
    drop_range(f, 0, 3);
    drop_range(f, 110, 115);
    seal(f);
    sync_log(f);
    os_mem_advance_clock(f->os, 3600ll * SECOND);
}

/* 22: inputs were deleted although their merge had failed. */
static void fail_any_call(void (*stop)(struct fixture *f))
{
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct fixture *f = begin();
        fill_mixed(f);
        os_mem_fail(f->os, WRITING_CALLS, nth, 1, -EIO);
        uint64_t before = os_mem_calls(f->os, WRITING_CALLS);
        bitcask_status status = try_merge(f, 1, 0);
        failed = os_mem_calls(f->os, WRITING_CALLS) - before >= nth;
        os_mem_fail(f->os, 0, 0, 0, 0);
        if (!failed)
            assert_int_equal(status, BITCASK_OK);
        assert_model(f);
        stop(f);
        assert_model(f);
        merge_all(f);
        assert_model(f);
        assert_sound(f);
        end(f);
        assert_true(nth < 1000);
    }
}

static void trap_22_a_merge_in_which_any_call_fails_loses_nothing(void **state)
{
    (void)state;
    fail_any_call(power_cut);
    fail_any_call(kill_process);
}

static void trap_22_a_merge_in_which_all_later_calls_fail_loses_nothing(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct fixture *f = begin();
        fill_mixed(f);
        uint32_t calls = WRITING_CALLS | 1u << OS_CALL_UNLINK;
        os_mem_fail(f->os, calls, nth, UINT64_MAX, -EIO);
        uint64_t before = os_mem_calls(f->os, calls);
        bitcask_status status = try_merge(f, 1, 0);
        failed = os_mem_calls(f->os, calls) - before >= nth;
        os_mem_fail(f->os, 0, 0, 0, 0);
        if (!failed)
            assert_int_equal(status, BITCASK_OK);
        assert_model(f);
        kill_process(f);
        assert_model(f);
        merge_all(f);
        assert_model(f);
        assert_sound(f);
        end(f);
        assert_true(nth < 1000);
    }
}

/* 22: merge must still work on a full disk. */
static void trap_22_a_full_disk_is_merged_free(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = 128 << 10;
    assert_done(f, try_open(f));
    os_mem_set_capacity(f->os, 2 << 20);
    unsigned key = 0;
    bitcask_status status;
    while ((status = try_put(f, key % 200, 1000, 0)) == BITCASK_OK)
        key++;
    assert_int_equal(status, BITCASK_NO_SPACE);
    assert_true(key > 1000);
    merge_all(f);
    assert_model(f);
    assert_true(totals_of(f).bytes < 400 << 10);
    for (unsigned i = 0; i < 300; i++)
        put_sized(f, i, 1000);
    assert_model(f);
    assert_sound(f);
    reopen(f);
    assert_model(f);
    end(f);
}

static void without_room_for_one_output_it_says_how_much_it_needs(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = 4 << 20;
    assert_done(f, try_open(f));
    for (unsigned key = 0; key < 1000; key++)
        put_sized(f, key, 1000);
    for (unsigned key = 0; key < 1000; key += 2)
        put_sized(f, key, 1000);
    seal(f);
    struct totals before = totals_of(f);
    os_mem_set_capacity(f->os, before.bytes + (600 << 10));
    assert_int_equal(try_merge(f, 1, 0), BITCASK_NO_SPACE);
    assert_non_null(strstr(f->error.message, "needs 1"));
    assert_non_null(strstr(f->error.message, "free"));
    assert_int_equal(f->merged.inputs, 0);
    assert_model(f);
    os_mem_set_capacity(f->os, 0);
    merge_all(f);
    assert_model(f);
    end(f);
}

/* 34: a merge resurrected deleted keys, expired ones leaked into scans. */
static void trap_34_deleted_and_expired_keys_stay_away_through_merges(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned round = 0; round < 6; round++) {
        put_range(f, 0, 40);
        for (unsigned key = round; key < 40; key += 6)
            drop(f, key);
        for (unsigned key = 40; key < 60; key += 2)
            put_expiring(f, key, now(f) + SECOND);
        os_mem_advance_clock(f->os, 3600ll * SECOND);
        if (round % 2 == 0)
            merge_wasteful(f);
        else
            merge_all(f);
        assert_model(f);
        reopen_without_hints(f);
        assert_model(f);
    }
    assert_sound(f);
    end(f);
}

/* ---- Scenarios of the design --------------------------------------------------------------- */

/* 1: v1 synced, what superseded it unsynced, merge drops v1, power cut. */
static void scenario_1_what_a_merge_rests_on_is_durable(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 20);
    seal(f);
    sync_log(f);
    put_range(f, 0, 10);
    drop_range(f, 10, 20);
    merge_wasteful(f); /* the first segment is all dead */
    assert_int_equal(f->merged.inputs, 1);
    power_cut(f);
    assert_model(f);
    end(f);
}

/* The manifest that a merge writes does not say that the store was closed. */
static void writes_behind_a_merge_survive_a_kill(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        struct fixture *f = begin();
        put_range(f, 0, 20);
        seal(f);
        put_range(f, 0, 10);
        put_range(f, 20, 30);
        assert_done(f, try_merge(f, all, 0));
        put_range(f, 25, 40);
        kill_process(f);
        assert_model(f);
        end(f);
    }
}

/* 2: merge of an expired v2 shows v1 again. */
static void scenario_2_an_expired_record_hides_the_older_one_after_its_merge(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 7);
    put_range(f, 100, 200);
    seal(f);
    put_range(f, 200, 250);
    put_expiring(f, 7, now(f) + SECOND);
    put_range(f, 200, 250);
    put_range(f, 200, 250);
    put_range(f, 200, 250);
    seal(f);
    os_mem_advance_clock(f->os, 3600ll * SECOND);
    f->store->options.segment_size = BITCASK_MIN_SEGMENT_SIZE / 2;
    uint64_t keys = stats_of(f).keys;
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 1);
    assert_int_equal(f->merged.tombstones_kept, 1); /* in its stead */
    assert_int_equal(stats_of(f).keys, keys - 1);
    assert_model(f);
    reopen_without_hints(f);
    assert_model(f);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 0);
    reopen_without_hints(f);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void an_expired_record_is_reaped_only_after_a_margin(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_expiring(f, 7, now(f) + SECOND);
    os_mem_advance_clock(f->os, 30ll * SECOND);
    merge_all(f);
    assert_int_equal(f->merged.records_copied, 1);
    assert_model(f);
    os_mem_advance_clock(f->os, 60ll * SECOND);
    merge_all(f);
    assert_int_equal(f->merged.records_copied, 0);
    assert_int_equal(totals_of(f).records, 0);
    assert_int_equal(stats_of(f).keys, 0);
    assert_model(f);
    end(f);
}

/* Merge all while some unlinks of data files fail, then end the process. */
static void merge_with_failing_unlinks(struct fixture *f, unsigned from, unsigned to)
{
    unlinks_fail(f, from, to);
    merge_all(f);
    unlinks_work(f);
    assert_model(f);
    os_mem_kill(f->os);
    abandon(f);
}

/* 7: the manifest is lost while some inputs of a finished merge are still there. */
static void
scenario_7_an_input_that_outlives_its_merge_and_the_manifest_does_not_count(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 4; from++)
        for (unsigned to = from + 1; to <= 4; to++)
            for (int lost = 0; lost < 2; lost++) {
                struct fixture *f = begin();
                fill_mixed(f);
                merge_with_failing_unlinks(f, from, to);
                if (lost)
                    remove_file(f, NAME_MANIFEST);
                open_again(f);
                assert_model(f);
                merge_all(f);
                reopen_without_hints(f);
                assert_model(f);
                end(f);
            }
}

/* The same where nothing is kept: an empty output says which inputs are superseded. */
static void scenario_7_where_nothing_is_kept(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 2; from++) {
        struct fixture *f = begin();
        put_range(f, 0, 20);
        seal(f);
        drop_range(f, 0, 20);
        seal(f);
        merge_with_failing_unlinks(f, from, from + 1); /* the values' file, or the tombstones' */
        assert_true(has_file(f, from + 1));
        assert_false(has_file(f, 2 - from));
        remove_file(f, NAME_MANIFEST);
        open_again(f);
        assert_model(f);
        end(f);
    }
}

/* A tombstone is kept while a data file that nobody names may hold what it hides. */
static void a_file_that_could_not_be_unlinked_may_hold_anything(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    put_range(f, 0, 10); /* segment 1 is all dead */
    unlinks_fail(f, 0, 1);
    merge_wasteful(f);
    unlinks_work(f);
    assert_true(has_file(f, 1));
    drop_range(f, 0, 10);
    merge_all(f);
    assert_int_equal(f->merged.tombstones_dropped, 0);
    assert_int_equal(totals_of(f).tombstones, 10);
    remove_file(f, "000000001.data");
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 0);
    end(f);
}

/* 13: a reused segment slot sends an old reader to the wrong file. */
static void
scenario_13_a_view_held_across_merges_stays_valid_and_delays_only_its_segment(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    put_range(f, 10, 20);
    seal(f);
    bitcask_view view;
    char text[32], before[100];
    assert_done(f, bitcask_get_view(db_of(f), NULL, bitcask_bytes(text, key_text(text, 3)), &view,
                                    &f->error));
    assert_int_equal(view.value.size, sizeof before);
    memcpy(before, view.value.data, sizeof before);
    for (unsigned round = 0; round < 30; round++) {
        put_range(f, 0, 20);
        merge_all(f);
        epoch_drain(&f->store->epoch);
        assert_int_equal(stats_of(f).pinned_segments, 1);
        assert_memory_equal(view.value.data, before, sizeof before);
    }
    bitcask_views_release(&view, 1);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    assert_model(f);
    end(f);
}

/* 19: clock a year ahead and a merge. */
static void scenario_19_a_clock_that_was_set_ahead_reaps_nothing(void **state)
{
    (void)state;
    const int64_t year = 365ll * 24 * 3600 * SECOND;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    uint32_t write = f->writes + 1;
    put_expiring(f, 20, now(f) + 3600ull * SECOND);
    os_mem_step_real_clock(f->os, year);
    assert_model(f); /* expired, by that clock */
    merge_all(f);
    assert_int_equal(f->merged.records_copied, 11);
    os_mem_step_real_clock(f->os, -year);
    f->model[20] = write;
    assert_model(f);
    reopen_without_hints(f);
    assert_model(f);
    end(f);
}

/* ---- Interrupted merges -------------------------------------------------------------------- */

static int stop_at_zero(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return *left == 0 || --*left == 0;
}

/* Stop at the nth call of the merge. True if it got there. */
static bool merge_until_call(struct fixture *f, uint64_t nth)
{
    uint64_t left = nth;
    os_mem_hook(f->os, ~(1u << OS_CALL_ALLOC), stop_at_zero, &left);
    (void)!try_merge(f, 1, 0);
    return left == 0;
}

static void interrupt_everywhere(void (*stop)(struct fixture *f), void (*fill)(struct fixture *f))
{
    bool stopped = true;
    for (uint64_t nth = 1; stopped; nth++) {
        struct fixture *f = begin();
        fill(f);
        stopped = merge_until_call(f, nth);
        stop(f);
        assert_model(f);
        assert_sound(f);
        merge_all(f);
        assert_model(f);
        reopen_without_hints(f);
        assert_model(f);
        assert_sound(f);
        end(f);
        assert_true(nth < 1000);
    }
}

static void killed_at_any_call_it_has_changed_nothing(void **state)
{
    (void)state;
    interrupt_everywhere(kill_process, fill_mixed);
}

static void in_a_power_cut_at_any_call_it_has_changed_nothing(void **state)
{
    (void)state;
    interrupt_everywhere(power_cut, fill_mixed);
}

/* 4: kill -9 between the manifest's rename and the directory's sync, reopen, power cut. */
static void kill_then_power_cut(struct fixture *f)
{
    kill_process(f);
    power_cut(f);
}

static void scenario_4_killed_at_any_call_then_reopened_and_cut(void **state)
{
    (void)state;
    interrupt_everywhere(kill_then_power_cut, fill_mixed);
}

static void fill_deleted(struct fixture *f)
{
    put_range(f, 0, 20);
    seal(f);
    drop_range(f, 0, 20);
    seal(f);
    sync_log(f);
}

static void lose_manifest(struct fixture *f)
{
    os_mem_hook(f->os, 0, NULL, NULL);
    os_mem_crash(f->os);
    abandon(f);
    if (os_mem_read_file(f->os, "store/" NAME_MANIFEST, NULL, 0) >= 0)
        remove_file(f, NAME_MANIFEST);
    open_again(f);
}

static void cut_at_any_call_with_the_manifest_lost_deleted_keys_stay_deleted(void **state)
{
    (void)state;
    interrupt_everywhere(lose_manifest, fill_deleted);
}

static void cut_at_any_call_with_the_manifest_lost_it_has_changed_nothing(void **state)
{
    (void)state;
    interrupt_everywhere(lose_manifest, fill_mixed);
}

static void fill_for_many_outputs(struct fixture *f)
{
    f->store->options.segment_max_records = 4;
    fill_mixed(f);
}

static void cut_at_any_call_among_many_outputs_it_has_changed_nothing(void **state)
{
    (void)state;
    interrupt_everywhere(lose_manifest, fill_for_many_outputs);
}

static int cancel(void *context, const bitcask_merge_progress *progress)
{
    (void)context;
    assert_true(progress->done_bytes > 0);
    assert_true(progress->done_bytes <= progress->total_bytes);
    return 1;
}

static void cancelled_it_leaves_no_trace(void **state)
{
    (void)state;
    struct fixture *f = begin_with_large_values();
    seal(f);
    struct totals before = totals_of(f);
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    options.progress = cancel;
    assert_int_equal(merge_run(f->store, &options, NULL, &f->error), BITCASK_CANCELLED);
    struct totals after = totals_of(f);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(after.sealed, before.sealed);
    assert_int_equal(stats_of(f).merges, 0);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static int merge_inside(void *context, const bitcask_merge_progress *progress)
{
    (void)progress;
    struct fixture *f = context;
    assert_int_equal(try_merge(f, 1, 0), BITCASK_BUSY);
    return 0;
}

static void a_second_merge_is_refused(void **state)
{
    (void)state;
    struct fixture *f = begin_with_large_values();
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    options.progress = merge_inside;
    options.context = f;
    assert_done(f, merge_run(f->store, &options, NULL, &f->error));
    end(f);
}

static void a_read_only_store_is_not_merged(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    f->options.read_only = 1;
    reopen(f);
    assert_int_equal(try_merge(f, 1, 0), BITCASK_READ_ONLY);
    assert_model(f);
    end(f);
}

/* ---- Damage -------------------------------------------------------------------------------- */

static void flip(struct fixture *f, const char *name, uint64_t offset)
{
    char path[64];
    struct os_file *file;
    uint8_t byte;
    snprintf(path, sizeof path, "store/%s", name);
    assert_int_equal(f->os->open(f->os, path, OS_READ | OS_WRITE, &file), 0);
    assert_int_equal(f->os->pread(f->os, file, &byte, 1, offset), 1);
    byte ^= 0x10;
    assert_int_equal(f->os->pwrite(f->os, file, &byte, 1, offset, 0), 0);
    f->os->close(f->os, file);
}

static void a_damaged_input_is_left_alone_and_the_others_are_merged(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned part = 0; part < 3; part++) {
        put_range(f, part * 10, part * 10 + 10);
        seal(f);
    }
    flip(f, "000000002.data", SEGMENT_HEADER_SIZE + 3 * 129 + 100); /* in the value of key 13 */
    assert_int_equal(try_merge(f, 1, 0), BITCASK_CORRUPT);
    assert_non_null(strstr(f->error.message, "segment 2"));
    assert_int_equal(f->error.segment, 2);
    assert_int_equal(f->merged.inputs, 2);
    assert_true(has_file(f, 2));
    assert_false(has_file(f, 1));
    assert_int_equal(stats_of(f).corrupt_records, 1);
    for (unsigned key = 0; key < 30; key++)
        if (key != 13)
            assert_int_equal(read_key(f, key), f->model[key]);
    assert_int_equal(try_merge(f, 1, 0), BITCASK_CORRUPT); /* still there */
    assert_true(has_file(f, 2));
    end(f);
}

static void without_a_free_segment_slot_it_fails_and_loses_nothing(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    struct segments *table = &f->store->segments;
    struct segment taken;
    for (uint32_t slot = 1; slot <= BITCASK_MAX_SEGMENTS; slot++) {
        struct segment *none = NULL;
        atomic_compare_exchange_strong(&table->slots[slot], &none, &taken);
    }
    assert_int_equal(try_merge(f, 1, 0), BITCASK_LIMIT);
    for (uint32_t slot = 1; slot <= BITCASK_MAX_SEGMENTS; slot++) {
        struct segment *there = &taken;
        atomic_compare_exchange_strong(&table->slots[slot], &there, NULL);
    }
    assert_model(f);
    merge_all(f);
    assert_model(f);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_has_nothing_to_merge),
        cmocka_unit_test(a_fresh_record_survives_its_merge),
        cmocka_unit_test(ten_overwrites_and_half_deleted_shrink_to_the_live_data),
        cmocka_unit_test(a_store_where_everything_is_deleted_ends_without_records),
        cmocka_unit_test(a_delete_only_store_ends_without_records),
        cmocka_unit_test(outputs_rotate_by_number_of_records),
        cmocka_unit_test(an_output_is_no_larger_than_a_segment_its_seal_record_included),
        cmocka_unit_test(a_record_larger_than_a_segment_gets_an_output_of_its_own),
        cmocka_unit_test(values_at_the_sizes_of_the_buffer_are_copied),
        cmocka_unit_test(small_segments_are_joined),
        cmocka_unit_test(a_batch_is_merged_without_its_marks),
        cmocka_unit_test(descriptors_mappings_and_memory_stay_flat),
        cmocka_unit_test(trap_1_a_tombstone_stays_while_an_older_segment_holds_the_value),
        cmocka_unit_test(trap_2_a_tombstone_goes_with_what_it_hides),
        cmocka_unit_test(trap_2_a_tombstone_goes_when_no_other_segment_has_its_key),
        cmocka_unit_test(trap_2_a_tombstone_goes_in_a_second_phase),
        cmocka_unit_test(trap_3_a_stale_tombstone_is_judged_too),
        cmocka_unit_test(trap_4_keys_deleted_while_they_are_copied_stay_deleted),
        cmocka_unit_test(trap_5_keys_overwritten_and_revived_while_they_are_copied_keep_the_newest),
        cmocka_unit_test(trap_7_reaping_an_expired_record_spares_a_newer_value),
        cmocka_unit_test(trap_12_inputs_are_gone_from_all_figures_while_a_view_holds_them),
        cmocka_unit_test(trap_15_the_active_segment_is_no_input),
        cmocka_unit_test(trap_22_a_merge_in_which_any_call_fails_loses_nothing),
        cmocka_unit_test(trap_22_a_merge_in_which_all_later_calls_fail_loses_nothing),
        cmocka_unit_test(trap_22_a_full_disk_is_merged_free),
        cmocka_unit_test(without_room_for_one_output_it_says_how_much_it_needs),
        cmocka_unit_test(trap_34_deleted_and_expired_keys_stay_away_through_merges),
        cmocka_unit_test(scenario_1_what_a_merge_rests_on_is_durable),
        cmocka_unit_test(writes_behind_a_merge_survive_a_kill),
        cmocka_unit_test(scenario_2_an_expired_record_hides_the_older_one_after_its_merge),
        cmocka_unit_test(an_expired_record_is_reaped_only_after_a_margin),
        cmocka_unit_test(
            scenario_7_an_input_that_outlives_its_merge_and_the_manifest_does_not_count),
        cmocka_unit_test(scenario_7_where_nothing_is_kept),
        cmocka_unit_test(a_file_that_could_not_be_unlinked_may_hold_anything),
        cmocka_unit_test(
            scenario_13_a_view_held_across_merges_stays_valid_and_delays_only_its_segment),
        cmocka_unit_test(scenario_19_a_clock_that_was_set_ahead_reaps_nothing),
        cmocka_unit_test(killed_at_any_call_it_has_changed_nothing),
        cmocka_unit_test(in_a_power_cut_at_any_call_it_has_changed_nothing),
        cmocka_unit_test(scenario_4_killed_at_any_call_then_reopened_and_cut),
        cmocka_unit_test(cut_at_any_call_with_the_manifest_lost_deleted_keys_stay_deleted),
        cmocka_unit_test(cut_at_any_call_with_the_manifest_lost_it_has_changed_nothing),
        cmocka_unit_test(cut_at_any_call_among_many_outputs_it_has_changed_nothing),
        cmocka_unit_test(cancelled_it_leaves_no_trace),
        cmocka_unit_test(a_second_merge_is_refused),
        cmocka_unit_test(a_read_only_store_is_not_merged),
        cmocka_unit_test(a_damaged_input_is_left_alone_and_the_others_are_merged),
        cmocka_unit_test(without_a_free_segment_slot_it_fails_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
