/* SPDX-License-Identifier: MIT
 * rare_states_test.c: states of a store that few ever see: directories that belong to somebody
 * else, files with odd names, figures that are wrong, systems that answer with an errno of their
 * own. */
#include "support/write_fixture.h"

#include "engine/backup.h"
#include "engine/manifest_file.h"
#include "engine/merge_schedule.h"
#include "engine/repair.h"
#include "format/names.h"

static void make(struct fixture *f)
{
    fixture_init(f);
    f->options.log = NULL;
    open_store(f);
    put_numbered(f, "k", 0, 30, "1");
    rotate(f);
    put_numbered(f, "k", 10, 40, "2");
    delete_key(f, "k12");
    rotate(f);
    put_batch(f, "active", 3);
    sync_store(f);
}

static void check_made(struct fixture *f)
{
    check_value(f, "k5", "1");
    check_value(f, "k20", "2");
    check_missing(f, "k12");
    check_value(f, "active2", "active2");
}

/* ---- Backups into directories where something is --------------------------------------------- */

static bitcask_status back_up(struct fixture *f)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    return backup_run(f->store, f->os, "backup", &options, NULL, &f->error);
}

static void write_there(struct fixture *f, const char *name, const void *data, size_t size)
{
    char path[80];
    (void)f->os->make_dir(f->os, "backup");
    snprintf(path, sizeof path, "backup/%s", name);
    assert_int_equal(os_mem_write_file(f->os, path, data, size), 0);
}

/* The mark of an unfinished backup: too short, of another store, of another fork, of this one. */
static void an_unfinished_backup_of_another_store_is_left_alone(void **state)
{
    (void)state;
    for (int which = 0; which < 5; which++) {
        struct fixture f;
        make(&f);
        uint8_t mark[2 * STORE_ID_SIZE];
        memcpy(mark, f.store->segments.store_id, STORE_ID_SIZE);
        memcpy(mark + STORE_ID_SIZE, f.store->fork_id, STORE_ID_SIZE);
        mark[0] ^= which == 1;
        mark[STORE_ID_SIZE] ^= which == 2;
        write_there(&f, NAME_UNFINISHED, mark, which == 0 ? 7 : sizeof mark);
        if (which != 4) {
            size_t size;
            unsigned char *data = read_whole(&f, "000000001.data", &size);
            write_there(&f, "000000001.data", data, size);
            free(data);
        }
        bitcask_status status = back_up(&f);
        assert_int_equal(status, which < 3 ? BITCASK_STORE_EXISTS : BITCASK_OK);
        assert_sound(&f);
        fixture_release(&f);
    }
}

/* What an interrupted backup has left is used if it is whole and of this segment, else made anew.
 */
static void what_an_unfinished_backup_has_left_is_looked_at(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        struct fixture f;
        make(&f);
        uint8_t mark[2 * STORE_ID_SIZE];
        memcpy(mark, f.store->segments.store_id, STORE_ID_SIZE);
        memcpy(mark + STORE_ID_SIZE, f.store->fork_id, STORE_ID_SIZE);
        write_there(&f, NAME_UNFINISHED, mark, sizeof mark);
        size_t size;
        unsigned char *data = read_whole(&f, "000000001.data", &size);
        if (which == 1) { /* of another store */
            struct segment_header header;
            assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
            header.store_id[0] ^= 1;
            segment_header_encode(data, &header);
        } else if (which == 2) { /* of another segment */
            struct segment_header header;
            assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
            header.salt ^= 1;
            segment_header_encode(data, &header);
        }
        write_there(&f, "000000001.data", data, which == 3 ? size / 2 : size);
        free(data);
        assert_status(&f, OK, back_up(&f));
        close_store(&f);
        f.options.read_only = 1;
        assert_int_equal(store_open(f.os, "backup", &f.options, &f.store, &f.error), BITCASK_OK);
        f.db = (bitcask *)f.store;
        check_made(&f);
        assert_sound(&f);
        fixture_release(&f);
    }
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void odd_names_in_quarantine_are_nobody_s(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    close_store(&f);
    assert_int_equal(f.os->make_dir(f.os, STORE_DIRECTORY "/" NAME_QUARANTINE), 0);
    static const char *const names[] = {
        "a", "12345678", "12345678:", "12345678/", "000000077x", "000000099-0-00000000"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s/%s", STORE_DIRECTORY, NAME_QUARANTINE, names[i]);
        (void)!os_mem_write_file(f.os, path, "x", 1);
    }
    open_store(&f);
    check_made(&f);
    rotate(&f);
    put(&f, "k5", "1");
    assert_true(active_segment(&f)->id > 99); /* which was somebody's once */
    fixture_release(&f);
}

static void a_manifest_that_is_far_too_large_is_none(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    close_store(&f);
    char *large = calloc(1, MANIFEST_FILE_MAX + 1);
    write_whole(&f, NAME_MANIFEST, large, MANIFEST_FILE_MAX + 1);
    free(large);
    open_store(&f); /* rebuilt from the files */
    check_made(&f);
    fixture_release(&f);
}

/* ---- Figures --------------------------------------------------------------------------------- */

/* A merge goes by the index, and says that the figure was wrong. */
static void a_live_count_that_is_too_high_is_told_and_does_no_harm(void **state)
{
    (void)state;
    for (int heard = 0; heard < 2; heard++) {
        struct fixture f;
        make(&f);
        if (heard) {
            close_store(&f);
            bitcask_log_fn log = f.options.log;
            struct fixture listening;
            fixture_init(&listening);
            f.options.log = listening.options.log;
            fixture_release(&listening);
            open_store(&f);
            f.options.log = log;
        }
        segment_add_live(f.store->segments.by_id[0], 1, 0);
        assert_status(&f, OK, merge_all(&f));
        assert_int_equal(count_events(&f, "live_count_wrong"), heard);
        check_made(&f);
        assert_sound(&f);
        fixture_release(&f);
    }
}

/* ---- A merge that is looked at ----------------------------------------------------------------
 */

static int look_at_merge(void *context, const bitcask_merge_progress *progress)
{
    struct fixture *f = context;
    struct merge_schedule_report report;
    merge_schedule_describe(f->store, &report);
    if (progress->done_bytes < progress->total_bytes)
        assert_int_equal(report.state, BITCASK_MERGE_RUNNING);
    return 0;
}

static void a_caller_s_merge_shows_in_the_statistics(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    assert_status(&f, OK, merge_schedule_new(f.store, &f.error));
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    options.progress = look_at_merge;
    options.context = &f;
    assert_status(&f, OK, bitcask_merge(f.db, &options, NULL, &f.error));
    check_made(&f);
    merge_schedule_stop(f.store);
    fixture_release(&f);
}

/* ---- Repairs that are stopped -----------------------------------------------------------------
 */

static int count_down(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    int *left = context;
    assert_true(done_bytes <= total_bytes);
    return --*left == 0;
}

static void a_repair_can_be_stopped_while_it_looks(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    for (int i = 0; i < 200; i++)
        put_sized(&f, "large", 'x', 30000);
    close_store(&f);
    flip_byte(&f, "000000001.data", 100);
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    bitcask_repair_result result = {.struct_size = sizeof result};
    int left = 1;
    options.progress = count_down;
    options.context = &left;
    assert_int_equal(repair_run(f.os, STORE_DIRECTORY, &options, &result, &f.error),
                     BITCASK_CANCELLED);
    left = 1 << 20;
    assert_int_equal(repair_run(f.os, STORE_DIRECTORY, &options, &result, &f.error), BITCASK_OK);
    assert_true(left < 1 << 20);
    fixture_release(&f);
}

/* ---- Walks ----------------------------------------------------------------------------------- */

static void a_walk_without_checksums_does_not_walk_into_what_is_not_there(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    struct segment *segment = f.store->segments.by_id[0];
    uint64_t readable = atomic_load(&segment->readable);
    for (int which = 0; which < 3; which++) {
        if (which == 0)
            atomic_store(&segment->readable, SEGMENT_HEADER_SIZE);
        else if (which == 1)
            atomic_store(&segment->suspect, SEGMENT_HEADER_SIZE);
        bitcask_read_options read;
        bitcask_read_options_init(&read);
        read.verify = BITCASK_VERIFY_NO;
        bitcask_iterator *iterator;
        assert_status(&f, OK,
                      bitcask_iterator_new(f.db, &read, bitcask_str(""), BITCASK_VALUES, &iterator,
                                           &f.error));
        bitcask_entry entry;
        bitcask_status status;
        size_t found = 0, corrupt = 0;
        while ((status = bitcask_iterator_next(iterator, &entry, &f.error)) != BITCASK_END) {
            found += status == BITCASK_OK;
            corrupt += status == BITCASK_CORRUPT;
            assert_true(found + corrupt < 100);
        }
        assert_int_equal(corrupt, which < 2 ? 10 : 0);
        assert_int_equal(found + corrupt, 42);
        bitcask_iterator_free(iterator);
        atomic_store(&segment->readable, readable);
        atomic_store(&segment->suspect, UINT64_MAX);
    }
    fixture_release(&f);
}

/* ---- Errors of other systems ------------------------------------------------------------------
 */

/* Whatever a call of an opening answers, once: the next opening has everything. */
static void whatever_the_system_answers_to_an_opening_the_next_one_has_everything(void **state)
{
    (void)state;
    static const int answers[] = {-EDQUOT, -ELOOP,      -EINVAL, -ENOTDIR,
                                  -EPERM,  -EOPNOTSUPP, -ENOSYS, -EMLINK};
    uint32_t kinds = ((1u << OS_CALL_COUNT) - 1) &
                     ~(1u << OS_CALL_ALLOC | 1u << OS_CALL_OPEN | 1u << OS_CALL_STAT);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        bool came = true;
        for (uint64_t nth = 1; came; nth++) {
            struct fixture f;
            make(&f);
            kill_9(&f);
            truncate_file(&f, "000000003.data", file_size(&f, "000000003.data"));
            uint64_t before = os_mem_calls(f.os, kinds);
            os_mem_fail(f.os, kinds, nth, 1, answers[i]);
            bitcask_status status = try_open(&f);
            came = os_mem_calls(f.os, kinds) - before >= nth;
            os_mem_fail(f.os, 0, 0, 0, 0);
            if (status == BITCASK_OK)
                abandon(&f);
            open_store(&f);
            check_made(&f);
            fixture_release(&f);
        }
    }
}

/* ---- Options, locks ----------------------------------------------------------------------------
 */

static void options_that_cannot_be_are_refused_and_defaults_are_defaults(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE - 1;
    assert_status(&f, INVALID, try_open(&f));
    assert_non_null(strstr(f.error.message, "segment-size"));
    f.options.segment_size = BITCASK_MAX_SEGMENT_SIZE + UINT64_C(1);
    assert_status(&f, INVALID, try_open(&f));
    f.options.segment_size = BITCASK_MAX_SEGMENT_SIZE;
    snprintf(f.options.merge_window, sizeof f.options.merge_window, "25-3");
    assert_status(&f, INVALID, try_open(&f));
    assert_non_null(strstr(f.error.message, "merge-window"));
    snprintf(f.options.merge_window, sizeof f.options.merge_window, "22-06");
    f.options.sync = BITCASK_SYNC_DEFAULT;
    f.options.log_level = BITCASK_LOG_DEFAULT;
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    open_store(&f);
    assert_int_equal(f.store->options.sync, BITCASK_SYNC_INTERVAL);
    assert_int_equal(f.store->events.level, BITCASK_LOG_INFO);
    put(&f, "a", "1");
    check_value(&f, "a", "1");
    fixture_release(&f);
}

static void no_host_name(struct os *os, char *name, size_t size)
{
    (void)os;
    if (size > 0)
        name[0] = '\0';
}

static void who_has_the_store_is_told_as_far_as_it_is_known(void **state)
{
    (void)state;
    struct fixture f, other;
    fixture_init(&f);
    open_store(&f); /* makes it */
    put(&f, "a", "1");
    close_store(&f);
    f.os->host_name = no_host_name;
    open_store(&f);
    other = (struct fixture){.os = f.os, .options = f.options};
    other.options.log = NULL;
    assert_status(&other, LOCKED, try_open(&other));
    assert_non_null(strstr(other.error.message, "on ?"));
    delete_file(&f, NAME_LOCK);
    assert_status(&other, LOCKED, try_open(&other));
    assert_non_null(strstr(other.error.message, "in use by another process"));
    close_store(&f);

    f.options.read_only = 1;
    open_store(&f);
    assert_status(&other, LOCKED, try_open(&other));
    assert_non_null(strstr(other.error.message, "being read"));
    check_value(&f, "a", "1");
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unfinished_backup_of_another_store_is_left_alone),
        cmocka_unit_test(what_an_unfinished_backup_has_left_is_looked_at),
        cmocka_unit_test(odd_names_in_quarantine_are_nobody_s),
        cmocka_unit_test(a_manifest_that_is_far_too_large_is_none),
        cmocka_unit_test(a_live_count_that_is_too_high_is_told_and_does_no_harm),
        cmocka_unit_test(a_caller_s_merge_shows_in_the_statistics),
        cmocka_unit_test(a_repair_can_be_stopped_while_it_looks),
        cmocka_unit_test(a_walk_without_checksums_does_not_walk_into_what_is_not_there),
        cmocka_unit_test(whatever_the_system_answers_to_an_opening_the_next_one_has_everything),
        cmocka_unit_test(options_that_cannot_be_are_refused_and_defaults_are_defaults),
        cmocka_unit_test(who_has_the_store_is_told_as_far_as_it_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
