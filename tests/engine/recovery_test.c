/* SPDX-License-Identifier: MIT
 * recovery_test.c: opening after clean closes, kills and power cuts, interrupted or not. */
#include "engine/log_writer.h"
#include "support/three_segments.h"

/* ---- Clean closes --------------------------------------------------------------------------- */

static void a_closed_store_opens_as_it_was(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "city", "Utrecht");
    put(&f, "gone", "x");
    delete_key(&f, "gone");
    close_store(&f);
    open_store(&f);
    check_value(&f, "city", "Utrecht");
    check_missing(&f, "gone");
    assert_int_equal(event_number(&f, "recovered", "clean"), 1);
    assert_int_equal(event_number(&f, "recovered", "keys"), 1);
    fixture_release(&f);
}

static void an_empty_store_opens_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    close_store(&f);
    open_store(&f);
    check_missing(&f, "anything");
    fixture_release(&f);
}

static const uint32_t WRITING = 1u << OS_CALL_PWRITE | 1u << OS_CALL_ALLOCATE |
                                1u << OS_CALL_TRUNCATE | 1u << OS_CALL_SYNC | 1u << OS_CALL_RENAME |
                                1u << OS_CALL_UNLINK | 1u << OS_CALL_SYNC_DIR | 1u << OS_CALL_PREAD;

static void a_clean_store_is_opened_without_writing_or_reading_data(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "a", 0, 100, "one");
    rotate(&f);
    put_numbered(&f, "a", 50, 150, "two");
    close_store(&f);
    f.options.read_only = 1; /* what is not recovery writes the lock file otherwise */
    uint64_t before = os_mem_calls(f.os, WRITING);
    open_store(&f);
    assert_int_equal(os_mem_calls(f.os, WRITING) - before, 1); /* reads the manifest */
    check_value(&f, "a49", "one");
    check_value(&f, "a50", "two");
    fixture_release(&f);
}

/* ---- Killed and crashed --------------------------------------------------------------------- */

static void killed_without_a_sync_loses_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 500, "value");
    delete_key(&f, "k7");
    kill_9(&f);
    open_store(&f);
    assert_int_equal(count_events(&f, "cut"), 0);
    assert_int_equal(count_events(&f, "damaged"), 0);
    check_value(&f, "k499", "value");
    check_missing(&f, "k7");
    assert_int_equal(event_number(&f, "recovered", "clean"), 0);
    put(&f, "k7", "again");
    kill_9(&f);
    open_store(&f);
    check_value(&f, "k7", "again");
    check_value(&f, "k0", "value");
    fixture_release(&f);
}

static void a_power_cut_keeps_what_was_synced(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "kept", "1");
    sync_store(&f);
    put(&f, "lost", "2");
    crash(&f);
    open_store(&f);
    check_value(&f, "kept", "1");
    check_missing(&f, "lost");
    fixture_release(&f);
}

static void a_recovered_segment_is_never_appended_to(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    kill_9(&f);
    open_store(&f);
    size_t size = file_size(&f, SEGMENT_1);
    put(&f, "b", "2");
    close_store(&f);
    assert_int_equal(file_size(&f, SEGMENT_1), size);
    open_store(&f);
    check_value(&f, "a", "1");
    check_value(&f, "b", "2");
    fixture_release(&f);
}

static void a_cleanly_closed_segment_is_appended_to_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (int i = 0; i < 5; i++) {
        open_store(&f);
        put_numbered(&f, "k", i, i + 1, "v");
        close_store(&f);
    }
    assert_false(has_file(&f, SEGMENT_2));
    open_store(&f);
    for (int i = 0; i < 5; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        check_value(&f, key, "v");
    }
    fixture_release(&f);
}

static void recovering_twice_gives_the_same_and_the_second_time_is_clean(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 100, "v");
    delete_key(&f, "k5");
    kill_9(&f);
    open_store(&f);
    char *first = dump_store(&f);
    uint64_t live = live_bytes(&f);
    kill_9(&f);
    open_store(&f);
    assert_int_equal(event_number(&f, "recovered", "clean"), 1);
    char *second = dump_store(&f);
    assert_string_equal(first, second);
    assert_int_equal(live_bytes(&f), live);
    free(first);
    free(second);
    fixture_release(&f);
}

static void nothing_is_left_open(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (int i = 0; i < 3; i++) {
        open_store(&f);
        put_numbered(&f, "k", 0, 100, "v");
        rotate(&f);
        put(&f, "x", "y");
        kill_9(&f);
    }
    open_store(&f);
    close_store(&f);
    assert_int_equal(os_mem_open_files(f.os), 0);
    assert_int_equal(os_mem_live_maps(f.os), 0);
    assert_int_equal(os_mem_live_bytes(f.os), 0);
    fixture_release(&f);
}

static void a_version_is_never_given_twice_though_the_clock_goes_back(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "a", "1");
    delete_key(&f, "a"); /* the highest version stands on nothing that is live */
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f.db, &stats);
    uint64_t last = stats.last_version;
    crash(&f);
    os_mem_step_real_clock(f.os, -INT64_C(1000000) * 3600);
    open_store(&f);
    uint64_t version = 0;
    assert_int_equal(
        bitcask_put(f.db, bitcask_str("b"), bitcask_str("2"), NULL, &version, &f.error), 0);
    assert_true(version > last);
    close_store(&f);
    open_store(&f);
    bitcask_get_stats(f.db, &stats);
    assert_true(stats.last_version >= version);
    fixture_release(&f);
}

static void a_closed_store_and_its_hints_survive_a_power_cut(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    os_mem_crash(f.os);
    open_store(&f);
    assert_int_equal(event_number(&f, "recovered", "clean"), 1);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 0);
    check_three(&f);
    fixture_release(&f);
}

static void what_was_served_after_a_kill_survives_a_power_cut(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 50, "v");
    kill_9(&f);
    open_store(&f);
    char *served = dump_store(&f);
    crash(&f);
    open_store(&f);
    char *found = dump_store(&f);
    assert_string_equal(found, served);
    assert_int_equal(count_events(&f, "damaged"), 0);
    free(served);
    free(found);
    fixture_release(&f);
}

/* The kernel forgets what a failed sync should have written, but may go on showing it. */
static void when_syncing_the_log_fails_nothing_is_served(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "kept", "1");
    sync_store(&f);
    put(&f, "lost", "2");
    kill_9(&f);
    os_mem_fail(f.os, 1u << OS_CALL_SYNC, 1, 1, -5 /* EIO */);
    assert_int_equal(try_open(&f), BITCASK_IO);
    os_mem_fail(f.os, 0, 0, 0, 0);
    open_store(&f); /* reads the disk, where it is not */
    check_value(&f, "kept", "1");
    check_missing(&f, "lost");
    fixture_release(&f);
}

/* ---- Torn tails ----------------------------------------------------------------------------- */

static void a_torn_last_record_is_cut_and_kept_in_quarantine(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k0", "zero");
    put(&f, "k1", "one");
    kill_9(&f);
    size_t torn = SEGMENT_HEADER_SIZE + record_bytes("k0", 4);
    size_t size = record_bytes("k1", 3);
    size_t file_bytes;
    unsigned char *data = read_whole(&f, SEGMENT_1, &file_bytes);
    memset(data + torn + size - 2, 0, 2); /* "o" is left of "one" */
    write_whole(&f, SEGMENT_1, data, file_bytes);

    open_store(&f);
    check_value(&f, "k0", "zero");
    check_missing(&f, "k1");
    assert_int_equal(count_events(&f, "cut"), 1);
    assert_int_equal(event_number(&f, "cut", "segment"), 1);
    assert_int_equal(event_number(&f, "cut", "offset"), torn);
    assert_int_equal(event_number(&f, "cut", "bytes"), size - 2);
    assert_int_equal(event_number(&f, "cut", "records"), 0);
    assert_int_equal(count_events(&f, "quarantined"), 1);
    assert_int_equal(count_events(&f, "damaged"), 0);
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f.db, &stats);
    assert_int_equal(stats.quarantined_bytes, size - 2);

    size_t count, kept_size;
    char **names = list_files(&f, "quarantine", &count);
    assert_int_equal(count, 1);
    char path[128];
    snprintf(path, sizeof path, "quarantine/%s", names[0]);
    unsigned char *kept = read_whole(&f, path, &kept_size);
    assert_int_equal(kept_size, size - 2);
    assert_memory_equal(kept, data + torn, kept_size);
    free(kept);
    free(data);
    free_list(names, count);
    fixture_release(&f);
}

static void a_segment_truncated_at_any_byte_keeps_a_prefix(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k0", "zero");
    put(&f, "k1", "one");
    put(&f, "k2", "two");
    kill_9(&f);
    struct disk_image *image = save_disk(&f);
    size_t ends[3] = {SEGMENT_HEADER_SIZE + record_bytes("k0", 4)};
    ends[1] = ends[0] + record_bytes("k1", 3);
    ends[2] = ends[1] + record_bytes("k2", 3);
    for (size_t size = 0; size <= ends[2]; size++) {
        restore_disk(&f, image);
        truncate_file(&f, SEGMENT_1, size);
        open_store(&f);
        for (int i = 0; i < 3; i++) {
            static const char *const values[] = {"zero", "one", "two"};
            char key[8];
            snprintf(key, sizeof key, "k%d", i);
            if (ends[i] <= size)
                check_value(&f, key, values[i]);
            else
                check_missing(&f, key);
        }
        bool torn =
            size > SEGMENT_HEADER_SIZE && size != ends[0] && size != ends[1] && size != ends[2];
        assert_int_equal(count_events(&f, "cut"), torn);
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

static void records_behind_a_hole_go_too(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k0", "zero");
    put(&f, "k1", "one");
    put(&f, "k2", "two");
    kill_9(&f);
    flip_byte(&f, SEGMENT_1, SEGMENT_HEADER_SIZE + record_bytes("k0", 4) + 21);
    open_store(&f);
    check_value(&f, "k0", "zero");
    check_missing(&f, "k1");
    check_missing(&f, "k2");
    assert_int_equal(event_number(&f, "cut", "records"), 1);
    fixture_release(&f);
}

/* Page by page, a power cut has taken the unsynced end of segment 1, not the head of segment 2. */
static void a_lost_tail_of_a_segment_takes_the_next_one_with_it(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k0", "zero");
    assert_int_equal(log_prepare_next(f.store, 0, &f.error), BITCASK_OK);
    size_t size, data_size;
    unsigned char *manifest = read_whole(&f, "MANIFEST", &size); /* both are active */
    put(&f, "k1", "one");
    rotate(&f);
    put(&f, "k2", "two");
    kill_9(&f);
    write_whole(&f, "MANIFEST", manifest, size);
    delete_file(&f, HINT_1);
    struct disk_image *image = save_disk(&f);
    open_store(&f);
    check_value(&f, "k2", "two"); /* nothing is missing yet */
    abandon(&f);

    restore_disk(&f, image);
    unsigned char *data = read_whole(&f, SEGMENT_1, &data_size);
    size_t kept = SEGMENT_HEADER_SIZE + record_bytes("k0", 4);
    memset(data + kept, 0, data_size - kept);
    write_whole(&f, SEGMENT_1, data, data_size);
    open_store(&f);
    check_value(&f, "k0", "zero");
    check_missing(&f, "k1");
    check_missing(&f, "k2");
    assert_int_equal(event_number(&f, "cut", "segment"), 2);
    assert_int_equal(event_number(&f, "cut", "records"), 1);
    free(data);
    free(manifest);
    free_disk(image);
    fixture_release(&f);
}

static void a_batch_is_kept_or_cut_as_a_whole_wherever_the_log_ends(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "before", "1");
    put_batch(&f, "b", 3);
    kill_9(&f);
    struct disk_image *image = save_disk(&f);
    size_t start = SEGMENT_HEADER_SIZE + record_bytes("before", 1);
    size_t end = start + 3 * record_bytes("b0", 2);
    for (size_t size = start; size <= end; size++) {
        restore_disk(&f, image);
        truncate_file(&f, SEGMENT_1, size);
        open_store(&f);
        check_value(&f, "before", "1");
        if (size == end)
            check_value(&f, "b0", "b0");
        else
            check_missing(&f, "b0");
        if (size == end)
            check_value(&f, "b2", "b2");
        else
            check_missing(&f, "b2");
        if (size > start && size < end)
            assert_int_equal(event_number(&f, "cut", "offset"), start);
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

static void a_torn_batch_is_not_completed_by_the_next_write(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_batch(&f, "b", 2);
    kill_9(&f);
    truncate_file(&f, SEGMENT_1, SEGMENT_HEADER_SIZE + record_bytes("b0", 2));
    open_store(&f);
    put(&f, "next", "1");
    kill_9(&f);
    open_store(&f);
    check_missing(&f, "b0");
    check_value(&f, "next", "1");
    fixture_release(&f);
}

static void a_tail_of_zeros_is_the_end_and_not_worth_a_word(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "v");
    kill_9(&f);
    assert_true(file_size(&f, SEGMENT_1) > 4096); /* preallocated */
    open_store(&f);
    assert_int_equal(
        count_events(&f, "cut") + count_events(&f, "damaged") + count_events(&f, "quarantined"), 0);
    assert_int_equal(file_size(&f, SEGMENT_1), SEGMENT_HEADER_SIZE + record_bytes("k", 1));
    fixture_release(&f);
}

static void segments_without_records_are_removed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "v");
    crash(&f); /* never synced */
    assert_true(has_file(&f, SEGMENT_1));
    open_store(&f);
    assert_false(has_file(&f, SEGMENT_1));
    assert_int_equal(count_events(&f, "cut"), 0);
    put(&f, "k", "w");
    assert_false(has_file(&f, SEGMENT_1)); /* an id is used once */
    close_store(&f);
    open_store(&f);
    check_value(&f, "k", "w");
    fixture_release(&f);
}

/* ---- Read-only, and a full disk ------------------------------------------------------------- */

static void reading_only_changes_no_byte_and_shows_the_same(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 50, "v");
    rotate(&f);
    put_numbered(&f, "k", 25, 75, "w");
    kill_9(&f);
    flip_byte(&f, SEGMENT_2, SEGMENT_HEADER_SIZE + 400);
    remove_hints(&f);
    f.options.read_only = 1;
    uint32_t changing = WRITING & ~(1u << OS_CALL_PREAD | 1u << OS_CALL_SYNC);
    uint64_t before = os_mem_calls(f.os, changing);
    open_store(&f);
    assert_int_equal(os_mem_calls(f.os, changing), before);
    char *seen = dump_store(&f);
    close_store(&f);
    f.options.read_only = 0;
    open_store(&f);
    char *recovered = dump_store(&f);
    assert_string_equal(seen, recovered);
    assert_int_equal(count_events(&f, "cut"), 1);
    free(seen);
    free(recovered);
    fixture_release(&f);
}

static void a_full_disk_gives_a_store_that_can_be_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 50, "v");
    kill_9(&f);
    flip_byte(&f, SEGMENT_1, SEGMENT_HEADER_SIZE + 1000);
    os_mem_fail(f.os, 1u << OS_CALL_PWRITE, 1, UINT64_MAX, -28 /* ENOSPC */);
    open_store(&f);
    check_value(&f, "k0", "v");
    bitcask_status status =
        bitcask_put(f.db, bitcask_str("x"), bitcask_str("y"), NULL, NULL, &f.error);
    assert_int_equal(status, BITCASK_NO_SPACE);
    char *seen = dump_store(&f);
    kill_9(&f);
    os_mem_fail(f.os, 0, 0, 0, 0);
    open_store(&f);
    assert_int_equal(count_events(&f, "cut"), 1);
    char *recovered = dump_store(&f);
    assert_string_equal(seen, recovered);
    put(&f, "x", "y");
    free(seen);
    free(recovered);
    fixture_release(&f);
}

/* ---- Recovery interrupted ------------------------------------------------------------------- */

static int count_down(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return --*left == 0;
}

/* Unclean, with a torn batch, a lost hint, a prepared segment, an unnamed one and temporary files.
 */
static struct disk_image *make_wreck(struct fixture *f)
{
    make_three(f);
    open_store(f);
    put_numbered(f, "k", 0, 20, "v");
    sync_store(f);
    rotate(f);
    put(f, "d", "d2");
    put_batch(f, "batch", 3);
    put(f, "late", "x");
    kill_9(f);
    size_t count, size;
    char **names = data_names(f, &count);
    unsigned char *data = read_whole(f, names[count - 1], &size);
    size_t at = SEGMENT_HEADER_SIZE;
    while (memcmp(data + at, "batch1", 6) != 0)
        at++;
    flip_byte(f, names[count - 1], at);
    free_list(names, count);
    free(data);
    delete_file(f, "000000002.hint");
    data = read_whole(f, SEGMENT_1, &size);
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
    header.segment_id = 60;
    segment_header_encode(data, &header);
    write_whole(f, "000000060.data", data, size);
    free(data);
    write_whole(f, "MANIFEST.tmp", "half", 4);
    return save_disk(f);
}

/* Names and bytes of all that is kept there, as one text; to be freed. */
static char *dump_quarantine(struct fixture *f)
{
    size_t count, length = 0;
    char **names = list_files(f, "quarantine", &count);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        char path[128];
        size_t size;
        snprintf(path, sizeof path, "quarantine/%s", names[i]);
        unsigned char *data = read_whole(f, path, &size);
        assert_true(size < 1 << 16);
        length += (size_t)sprintf(text + length, "%s:", names[i]);
        for (size_t k = 0; k < size; k++)
            length += (size_t)sprintf(text + length, "%02x", data[k]);
        free(data);
    }
    free_list(names, count);
    return text;
}

static void lose_manifest_and_hints(struct fixture *f)
{
    size_t count;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++)
        if (strstr(names[i], ".hint") != NULL || strcmp(names[i], "MANIFEST") == 0)
            delete_file(f, names[i]);
    free_list(names, count);
}

/* D8: not even where segments that follow vouch for those before, and nobody knows their lengths.
 */
static void assert_nothing_cut_off_comes_back(struct fixture *f)
{
    put(f, "zz", "1");
    rotate(f);
    char *expected = dump_store(f);
    close_store(f);
    lose_manifest_and_hints(f);
    open_store(f);
    char *found = dump_store(f);
    assert_string_equal(found, expected);
    assert_int_equal(count_events(f, "damaged"), 0);
    free(found);
    free(expected);
}

static void recovery_interrupted_anywhere_and_done_again_gives_the_same(void **state)
{
    (void)state;
    struct fixture f;
    struct disk_image *image = make_wreck(&f);
    open_store(&f);
    char *expected = dump_store(&f);
    assert_non_null(strstr(expected, "d=d2\n"));
    assert_null(strstr(expected, "batch"));
    assert_null(strstr(expected, "late"));
    char *kept = dump_quarantine(&f);
    assert_true(strlen(kept) > 500);
    abandon(&f);
    for (int kill = 0; kill < 2; kill++) {
        uint64_t left = 1;
        for (uint64_t nth = 1; left == 0 || nth == 1; nth++) {
            restore_disk(&f, image);
            left = nth;
            os_mem_hook(f.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), count_down, &left);
            if (try_open(&f) == BITCASK_OK)
                abandon(&f);
            os_mem_hook(f.os, 0, NULL, NULL);
            if (kill)
                os_mem_kill(f.os);
            else
                os_mem_crash(f.os);
            open_store(&f);
            char *found = dump_store(&f);
            if (strcmp(found, expected) != 0)
                fail_msg("interrupted at call %d: %s", (int)nth, found);
            free(found);
            char *kept_now = dump_quarantine(&f);
            assert_string_equal(kept_now, kept);
            free(kept_now);
            close_store(&f);
            open_store(&f);
            found = dump_store(&f);
            assert_string_equal(found, expected);
            free(found);
            assert_nothing_cut_off_comes_back(&f);
            abandon(&f);
        }
    }
    free(kept);
    free(expected);
    free_disk(image);
    fixture_release(&f);
}

static void any_failing_call_is_an_error_or_does_no_harm(void **state)
{
    (void)state;
    struct fixture f;
    struct disk_image *image = make_wreck(&f);
    open_store(&f);
    char *expected = dump_store(&f);
    abandon(&f);
    static const int errors[] = {-5 /* EIO */, -28 /* ENOSPC */};
    for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            restore_disk(&f, image);
            uint64_t before = os_mem_calls(f.os, UINT32_MAX);
            os_mem_fail(f.os, UINT32_MAX, nth, 1, errors[e]);
            bitcask_status status = try_open(&f);
            failed = os_mem_calls(f.os, UINT32_MAX) - before >= nth;
            os_mem_fail(f.os, 0, 0, 0, 0);
            if (status == BITCASK_OK) {
                check_nothing_wrong(&f, "d2");
                abandon(&f);
            } else {
                assert_true(status < 0);
            }
            os_mem_kill(f.os);
            open_store(&f);
            char *found = dump_store(&f);
            if (strcmp(found, expected) != 0)
                fail_msg("call %d failed: %s", (int)nth, found);
            free(found);
            close_store(&f);
            assert_int_equal(os_mem_live_bytes(f.os), 0);
        }
    }
    free(expected);
    free_disk(image);
    fixture_release(&f);
}

/* A manifest that was renamed and whose directory was not synced is not durable yet: the inputs of
 * the merge must not be removed for it. */
static void killed_anywhere_in_a_merge_then_opened_then_a_power_cut(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    uint64_t left = 0;
    for (uint64_t nth = 1; left == 0; nth++) {
        restore_disk(&f, image);
        open_store(&f);
        left = nth;
        os_mem_hook(f.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), count_down, &left);
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.all = 1;
        bitcask_status status = bitcask_merge(f.db, &options, NULL, &f.error);
        assert_true(status == BITCASK_OK || left == 0);
        os_mem_hook(f.os, 0, NULL, NULL);
        kill_9(&f);
        open_store(&f);
        check_three(&f);
        crash(&f);
        open_store(&f);
        check_three(&f);
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_store_opens_as_it_was),
        cmocka_unit_test(an_empty_store_opens_again),
        cmocka_unit_test(a_clean_store_is_opened_without_writing_or_reading_data),
        cmocka_unit_test(killed_without_a_sync_loses_nothing),
        cmocka_unit_test(a_power_cut_keeps_what_was_synced),
        cmocka_unit_test(a_recovered_segment_is_never_appended_to),
        cmocka_unit_test(a_cleanly_closed_segment_is_appended_to_again),
        cmocka_unit_test(recovering_twice_gives_the_same_and_the_second_time_is_clean),
        cmocka_unit_test(nothing_is_left_open),
        cmocka_unit_test(a_version_is_never_given_twice_though_the_clock_goes_back),
        cmocka_unit_test(a_closed_store_and_its_hints_survive_a_power_cut),
        cmocka_unit_test(what_was_served_after_a_kill_survives_a_power_cut),
        cmocka_unit_test(when_syncing_the_log_fails_nothing_is_served),
        cmocka_unit_test(a_torn_last_record_is_cut_and_kept_in_quarantine),
        cmocka_unit_test(a_segment_truncated_at_any_byte_keeps_a_prefix),
        cmocka_unit_test(records_behind_a_hole_go_too),
        cmocka_unit_test(a_lost_tail_of_a_segment_takes_the_next_one_with_it),
        cmocka_unit_test(a_batch_is_kept_or_cut_as_a_whole_wherever_the_log_ends),
        cmocka_unit_test(a_torn_batch_is_not_completed_by_the_next_write),
        cmocka_unit_test(a_tail_of_zeros_is_the_end_and_not_worth_a_word),
        cmocka_unit_test(segments_without_records_are_removed),
        cmocka_unit_test(reading_only_changes_no_byte_and_shows_the_same),
        cmocka_unit_test(a_full_disk_gives_a_store_that_can_be_read),
        cmocka_unit_test(recovery_interrupted_anywhere_and_done_again_gives_the_same),
        cmocka_unit_test(any_failing_call_is_an_error_or_does_no_harm),
        cmocka_unit_test(killed_anywhere_in_a_merge_then_opened_then_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
