/* SPDX-License-Identifier: MIT
 * stats_test.c: the figures a store gives of itself, and the events it tells. */
#include "support/api_fixture.h"

#include <locale.h>

/* ---- Counters -------------------------------------------------------------------------------- */

static void operations_are_counted(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    put(&f, "a", "1");
    put(&f, "a", "2");
    put(&f, "b", "1");
    assert_value(&f, "a", "2");
    assert_absent(&f, "c");
    assert_done(delete_key(&f, "b"));
    assert_status(NOT_FOUND, delete_key(&f, "b"));
    bitcask_stats stats = stats_of(&f);
    assert_int_equal(stats.puts, 3);
    assert_int_equal(stats.deletes, 1);
    assert_int_equal(stats.gets, 1);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.keys, 1);
    assert_int_equal(stats.segments, 1);
    assert_true(stats.clean_open && !stats.read_only);
    fixture_end(&f);
}

static void keys_are_counted_without_looking_at_files(void **state)
{
    (void)state;
    assert_int_equal(bitcask_count(NULL), 0);
    struct fixture f = fixture_in_memory();
    assert_int_equal(bitcask_count(f.db), 0);
    put_many(&f, "k", 300, 10);
    put(&f, "k7", "again");
    assert_done(delete_key(&f, "k8"));
    assert_int_equal(bitcask_count(f.db), 299);
    assert_int_equal(bitcask_count(f.db), stats_of(&f).keys);
    fixture_end(&f);
}

static void live_and_dead_bytes_are_those_of_the_records(void **state)
{
    (void)state;
    enum { RECORD = 20 + 3 + 10, TOMBSTONE = 20 + 3 };
    struct fixture f = fixture_in_memory();
    put(&f, "one", "ten bytes.");
    put(&f, "two", "ten bytes.");
    assert_int_equal(stats_of(&f).live_bytes, 2 * RECORD);
    assert_int_equal(stats_of(&f).dead_bytes, 0);
    put(&f, "one", "ten bytes!");
    assert_int_equal(stats_of(&f).live_bytes, 2 * RECORD);
    assert_int_equal(stats_of(&f).dead_bytes, RECORD);
    assert_done(delete_key(&f, "two"));
    assert_int_equal(stats_of(&f).live_bytes, RECORD);
    assert_int_equal(stats_of(&f).dead_bytes, 2 * RECORD + TOMBSTONE);
    assert_int_equal(stats_of(&f).bytes_written, 3 * RECORD + TOMBSTONE);
    fixture_end(&f);
}

static void syncs_are_counted(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    put(&f, "k", "v");
    uint64_t before = stats_of(&f).syncs;
    assert_done(bitcask_sync_now(f.db, &error));
    assert_true(stats_of(&f).syncs > before);
    assert_int_equal(stats_of(&f).sync_failures, 0);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = BITCASK_SYNC_ALWAYS;
    before = stats_of(&f).syncs;
    assert_done(bitcask_put(f.db, str("k"), str("w"), &options, NULL, &error));
    assert_true(stats_of(&f).syncs > before);
    before = stats_of(&f).syncs;
    put(&f, "k", "x"); /* the store's mode is none */
    assert_int_equal(stats_of(&f).syncs, before);
    fixture_end(&f);
}

/* ---- Segments -------------------------------------------------------------------------------- */

static void segments_are_described_by_ascending_id(void **state)
{
    (void)state;
    enum { ROOM = 64 };
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    put_many(&f, "key", 300, 1000);
    static bitcask_segment_info infos[ROOM];
    size_t count = bitcask_get_segments(f.db, infos, ROOM, sizeof infos[0]);
    assert_in_range(count, 4, ROOM);
    assert_int_equal(bitcask_get_segments(f.db, NULL, 0, sizeof infos[0]), count);
    uint64_t records = 0, live_bytes = 0, dead_bytes = 0;
    int active = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || infos[i].id > infos[i - 1].id);
        assert_true(infos[i].created_us > 0 && !infos[i].damaged && !infos[i].from_merge);
        records += infos[i].live_records;
        live_bytes += infos[i].live_bytes;
        dead_bytes += infos[i].dead_bytes;
        active += infos[i].state == BITCASK_SEGMENT_ACTIVE;
        if (infos[i].state == BITCASK_SEGMENT_SEALED) {
            assert_true(infos[i].has_hint && infos[i].sealed_us > 0 && infos[i].synced_us > 0);
            assert_int_equal(infos[i].records, infos[i].live_records);
            assert_true(infos[i].version_min > 0 && infos[i].version_min <= infos[i].version_max);
        }
    }
    assert_true(active >= 1);
    assert_int_equal(records, 300);
    bitcask_stats stats = stats_of(&f);
    assert_int_equal(stats.segments, count);
    assert_int_equal(stats.live_bytes, live_bytes);
    assert_int_equal(stats.dead_bytes, dead_bytes);
    assert_true(stats.max_segment_id >= infos[count - 1].id);
    assert_true(stats.disk_bytes >= live_bytes);
    assert_true(merge_all(&f).outputs > 0);
    count = bitcask_get_segments(f.db, infos, ROOM, sizeof infos[0]);
    size_t merged = 0;
    for (size_t i = 0; i < count; i++)
        merged += infos[i].from_merge != 0;
    assert_true(merged > 0);
    fixture_end(&f);
}

static void segment_infos_of_other_sizes_are_strided(void **state)
{
    (void)state;
    struct longer {
        bitcask_segment_info known;
        uint64_t later;
    } infos[2];
    struct fixture f = fixture_in_memory();
    put(&f, "k", "v");
    memset(infos, 0x5a, sizeof infos);
    assert_int_equal(bitcask_get_segments(f.db, &infos[0].known, 2, sizeof infos[0]), 1);
    assert_int_equal(infos[0].known.live_records, 1);
    assert_int_equal(infos[0].later, 0);
    assert_int_equal(infos[1].later, 0x5a5a5a5a5a5a5a5a); /* there is no second one */
    fixture_end(&f);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void assert_member(const char *json, const char *text)
{
    if (strstr(json, text) == NULL)
        fail_msg("no %s in %s", text, json);
}

static void json_has_every_figure(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_buffer json = {0};
    put(&f, "one", "ten bytes.");
    put(&f, "one", "ten bytes!");
    assert_done(bitcask_stats_json(f.db, &json, &error));
    const char *text = json.data;
    assert_int_equal(strlen(text), json.size);
    assert_true(text[0] == '{' && text[json.size - 1] == '}');
    static const char *const members[] = {
        "\"keys\":1,",
        "\"segments\":1,",
        "\"live_bytes\":33,",
        "\"dead_bytes\":33,",
        "\"disk_bytes\":",
        "\"index_bytes\":",
        "\"puts\":2,",
        "\"gets\":0,",
        "\"misses\":0,",
        "\"deletes\":0,",
        "\"bytes_written\":66,",
        "\"syncs\":",
        "\"sync_failures\":0,",
        "\"merges\":0,",
        "\"merge_us\":0,",
        "\"merge_bytes_written\":0,",
        "\"rotations\":0,",
        "\"seals\":0,",
        "\"pinned_segments\":0,",
        "\"quarantined_bytes\":0,",
        "\"corrupt_records\":0,",
        "\"missing_segments\":0,",
        "\"recovery_us\":",
        "\"last_version\":",
        "\"max_segment_id\":",
        "\"snapshots\":0,",
        "\"oldest_snapshot_us\":0,",
        "\"undo_entries\":0,",
        "\"undo_bytes\":0,",
        "\"index_origin\":0,",
        "\"index_snapshot_bytes\":0,",
        "\"index_snapshot_time_us\":0,",
        "\"index_snapshots\":0,",
        "\"live_keys\":1,",
        "\"compaction_seconds\":0.000,",
        "\"space_amplification\":2.000,",
        "\"write_amplification\":1.000,",
        "\"index_bytes_per_key\":",
        "\"clean_open\":true,",
        "\"read_only\":false}",
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        assert_member(text, members[i]);
    void *data = json.data;
    assert_done(bitcask_stats_json(f.db, &json, &error));
    assert_ptr_equal(json.data, data); /* reused */
    bitcask_buffer_free(&json);
    fixture_end(&f);
}

static void json_of_an_empty_store_divides_by_nothing(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_buffer json = {0};
    assert_done(bitcask_stats_json(f.db, &json, &error));
    assert_member(json.data, "\"space_amplification\":0.000,");
    assert_member(json.data, "\"index_bytes_per_key\":0.000,");
    bitcask_buffer_free(&json);
    fixture_end(&f);
}

static void the_programs_locale_does_not_reach_the_json(void **state)
{
    (void)state;
    /* C.UTF-8 everywhere; one with a decimal comma where the machine has it. */
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL)
        setlocale(LC_ALL, "");
    struct fixture f = fixture_in_memory();
    bitcask_buffer json = {0};
    assert_done(bitcask_stats_json(f.db, &json, &error));
    assert_member(json.data, "\"compaction_seconds\":0.000,");
    bitcask_buffer_free(&json);
    fixture_end(&f);
    setlocale(LC_ALL, "C");
}

/* ---- Events ---------------------------------------------------------------------------------- */

struct told {
    size_t count;
    bitcask_log_level lowest;
    char names[64][24];
    char last_key[32], last_status[32];
    uint64_t last_bytes;
};

static void copy_text(char *to, size_t room, bitcask_slice text)
{
    size_t size = text.size < room - 1 ? text.size : room - 1;
    memcpy(to, text.data, size);
    to[size] = 0;
}

static void note(void *context, const bitcask_log_event *event)
{
    struct told *told = context;
    if (told->count < 64)
        copy_text(told->names[told->count], 24, bitcask_str(event->name));
    told->count++;
    if (event->level < told->lowest || told->lowest == BITCASK_LOG_DEFAULT)
        told->lowest = event->level;
    assert_true(event->time_us > 0);
    for (size_t i = 0; i < event->field_count; i++) {
        const bitcask_log_field *field = &event->fields[i];
        if (strcmp(field->name, "key") == 0 && field->kind == BITCASK_FIELD_BYTES)
            copy_text(told->last_key, sizeof told->last_key, field->bytes);
        if (strcmp(field->name, "status") == 0 && field->kind == BITCASK_FIELD_TEXT)
            copy_text(told->last_status, sizeof told->last_status, field->bytes);
        if (strcmp(field->name, "bytes") == 0 && field->kind == BITCASK_FIELD_UINT)
            told->last_bytes = field->number;
    }
}

static bool was_told(const struct told *told, const char *name)
{
    for (size_t i = 0; i < told->count && i < 64; i++) {
        if (strcmp(told->names[i], name) == 0)
            return true;
    }
    return false;
}

static void each_operation_is_told_at_debug(void **state)
{
    (void)state;
    struct told told = {0};
    struct fixture f = fixture_new();
    f.options.log = note;
    f.options.log_context = &told;
    f.options.log_level = BITCASK_LOG_DEBUG;
    fixture_open(&f);
    put(&f, "city", "Utrecht");
    assert_true(was_told(&told, "put"));
    assert_string_equal(told.last_key, "city");
    assert_string_equal(told.last_status, "OK");
    assert_int_equal(told.last_bytes, 7);
    assert_absent(&f, "town");
    assert_true(was_told(&told, "get"));
    assert_string_equal(told.last_key, "town");
    assert_string_equal(told.last_status, "NOT_FOUND");
    assert_done(bitcask_expire(f.db, str("city"), NULL, NULL, &error));
    assert_true(was_told(&told, "expire"));
    assert_done(delete_key(&f, "city"));
    assert_true(was_told(&told, "delete"));
    assert_string_equal(told.last_key, "city");
    bitcask_batch *batch;
    assert_done(bitcask_batch_new(&batch, &error));
    assert_done(bitcask_batch_put(batch, str("k"), str("v"), 0, &error));
    assert_done(bitcask_write(f.db, batch, NULL, NULL, &error));
    assert_true(was_told(&told, "write"));
    bitcask_batch_free(batch);
    fixture_end(&f);
}

static void levels_below_the_one_asked_for_are_not_told(void **state)
{
    (void)state;
    static const bitcask_log_level levels[] = {BITCASK_LOG_DEFAULT, BITCASK_LOG_INFO,
                                               BITCASK_LOG_WARN, BITCASK_LOG_OFF};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        struct told told = {0};
        struct fixture f = fixture_new();
        f.options.log = note;
        f.options.log_context = &told;
        f.options.log_level = levels[i];
        f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
        fixture_open(&f);
        put_many(&f, "k", 200, 1000);
        bool tells = levels[i] <= BITCASK_LOG_INFO;
        assert_int_equal(was_told(&told, "rotated"), tells);
        assert_int_equal(was_told(&told, "sealed"), tells);
        assert_false(was_told(&told, "put"));
        assert_true(told.lowest == BITCASK_LOG_DEFAULT || told.lowest >= BITCASK_LOG_INFO);
        fixture_end(&f);
        assert_true(tells || told.count == 0);
    }
}

static bitcask *merging_store; /* of the callback */

static int look_and_cancel(void *context, const bitcask_merge_progress *progress)
{
    (void)progress;
    size_t *merging = context;
    bitcask_segment_info infos[64];
    size_t count = bitcask_get_segments(merging_store, infos, 64, sizeof infos[0]);
    *merging = 0;
    for (size_t i = 0; i < count; i++) {
        assert_false(infos[i].merging && infos[i].state != BITCASK_SEGMENT_SEALED);
        *merging += infos[i].merging != 0;
    }
    return 1;
}

static void inputs_are_marked_for_as_long_as_the_merge_runs(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.segment_size = 16 * BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    put_many(&f, "key", 10000, 16); /* progress is told every some thousand records */
    size_t merging = 0;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    options.progress = look_and_cancel;
    options.context = &merging;
    merging_store = f.db;
    assert_status(CANCELLED, bitcask_merge(f.db, &options, NULL, &error));
    assert_true(merging > 0);
    look_and_cancel(&merging, NULL);
    assert_int_equal(merging, 0);
    assert_true(merge_all(&f).inputs > 0);
    look_and_cancel(&merging, NULL);
    assert_int_equal(merging, 0);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_counted),
        cmocka_unit_test(keys_are_counted_without_looking_at_files),
        cmocka_unit_test(live_and_dead_bytes_are_those_of_the_records),
        cmocka_unit_test(syncs_are_counted),
        cmocka_unit_test(segments_are_described_by_ascending_id),
        cmocka_unit_test(inputs_are_marked_for_as_long_as_the_merge_runs),
        cmocka_unit_test(segment_infos_of_other_sizes_are_strided),
        cmocka_unit_test(json_has_every_figure),
        cmocka_unit_test(json_of_an_empty_store_divides_by_nothing),
        cmocka_unit_test(the_programs_locale_does_not_reach_the_json),
        cmocka_unit_test(each_operation_is_told_at_debug),
        cmocka_unit_test(levels_below_the_one_asked_for_are_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
