/* SPDX-License-Identifier: MIT
 * recovery_test.c: every state of the files that opening can meet. */
#include "support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/record.h"
#include "format/segment_header.h"

#define SEGMENT_1 "000000001.data"
#define HINT_1 "000000001.hint"
#define SEGMENT_2 "000000002.data"

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

/* ---- Torn tails ----------------------------------------------------------------------------- */

static size_t record_bytes(const char *key, size_t value_size)
{
    return RECORD_HEADER_SIZE + strlen(key) + value_size;
}

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

static void records_behind_a_hole_go_too_in_later_segments_as_well(void **state)
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

/* Two sealed segments and an active one, closed:
 *   1  a = 1, b = 1, gone = x      2  b = 2, c = 1, -gone      3  c = 2, d = 1 */
static void make_three(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    put(f, "a", "a1");
    put(f, "b", "b1");
    put(f, "gone", "x");
    rotate(f);
    put(f, "b", "b2");
    put(f, "c", "c1");
    delete_key(f, "gone");
    rotate(f);
    put(f, "c", "c2");
    put(f, "d", "d1");
    close_store(f);
}

static void check_three(struct fixture *f)
{
    check_value(f, "a", "a1");
    check_value(f, "b", "b2");
    check_value(f, "c", "c2");
    check_value(f, "d", "d1");
    check_missing(f, "gone");
}

/* Where these bytes stand in a file. */
static size_t find_text(struct fixture *f, const char *name, const char *text)
{
    size_t size;
    unsigned char *data = read_whole(f, name, &size);
    unsigned char *at = memmem(data, size, text, strlen(text));
    if (at == NULL)
        fail_msg("no '%s' in %s", text, name);
    size_t offset = (size_t)(at - data);
    free(data);
    return offset;
}

/* Whatever has happened to a file, no key may have a value that it should not have. */
static void check_nothing_wrong(struct fixture *f, const char *d)
{
    static const char *const keys[] = {"a", "b", "c", "d", "gone"};
    const char *const values[] = {"a1", "b2", "c2", d, NULL};
    for (size_t i = 0; i < 5; i++) {
        bitcask_buffer value = {0};
        bitcask_status status = read_key(f, keys[i], &value);
        if (status == BITCASK_OK &&
            (values[i] == NULL || value.size != 2 || memcmp(value.data, values[i], 2) != 0))
            fail_msg("'%s' is '%.*s'", keys[i], (int)value.size, (char *)value.data);
        bitcask_buffer_free(&value);
    }
}

static char **data_names(struct fixture *f, size_t *count)
{
    char **names = list_files(f, NULL, count);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (strstr(names[i], ".data") != NULL)
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    *count = kept;
    return names;
}

static void remove_hints(struct fixture *f)
{
    size_t count;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], ".hint") != NULL)
            delete_file(f, names[i]);
    }
    free_list(names, count);
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
    size_t size = file_size(&f, "000000002.hint");
    for (size_t at = 0; at < size; at++) {
        restore_disk(&f, image);
        flip_byte(&f, "000000002.hint", at);
        open_store(&f);
        assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
        check_three(&f);
        abandon(&f);
    }
    for (size_t cut = 0; cut < size; cut++) {
        restore_disk(&f, image);
        truncate_file(&f, "000000002.hint", cut);
        open_store(&f);
        assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
        check_three(&f);
        abandon(&f);
    }
    free_disk(image);
    fixture_release(&f);
}

static void a_hint_of_before_is_not_believed(void **state)
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
    assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
    fixture_release(&f);
}

static void a_hint_of_another_segment_is_not_believed(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size;
    unsigned char *other = read_whole(&f, HINT_1, &size);
    write_whole(&f, "000000002.hint", other, size);
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
                delete_file(&f, "000000002.hint");
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
    delete_file(&f, "000000002.hint");
    open_store(&f);
    assert_int_equal(count_events(&f, "damaged"), 0);
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

static void unnamed_merge_outputs_and_empty_segments_are_removed(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
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

static size_t count_quarantined(struct fixture *f)
{
    size_t count;
    char **names = list_files(f, "quarantine", &count);
    free_list(names, count);
    return count;
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
    assert_int_equal(count_quarantined(&f), 2);
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
            assert_int_equal(count_quarantined(&f), 2);
            close_store(&f);
            open_store(&f);
            found = dump_store(&f);
            assert_string_equal(found, expected);
            free(found);
            abandon(&f);
        }
    }
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
        cmocka_unit_test(a_torn_last_record_is_cut_and_kept_in_quarantine),
        cmocka_unit_test(a_segment_truncated_at_any_byte_keeps_a_prefix),
        cmocka_unit_test(records_behind_a_hole_go_too_in_later_segments_as_well),
        cmocka_unit_test(a_batch_is_kept_or_cut_as_a_whole_wherever_the_log_ends),
        cmocka_unit_test(a_torn_batch_is_not_completed_by_the_next_write),
        cmocka_unit_test(a_tail_of_zeros_is_the_end_and_not_worth_a_word),
        cmocka_unit_test(segments_without_records_are_removed),
        cmocka_unit_test(damage_below_what_was_synced_is_reported_and_the_rest_kept),
        cmocka_unit_test(without_any_hint_the_state_is_the_same),
        cmocka_unit_test(a_hint_with_any_byte_flipped_changes_nothing),
        cmocka_unit_test(a_hint_of_before_is_not_believed),
        cmocka_unit_test(a_hint_of_another_segment_is_not_believed),
        cmocka_unit_test(every_byte_of_the_data_flipped_gives_no_wrong_value),
        cmocka_unit_test(a_damaged_record_of_a_segment_without_a_hint_is_corrupt_not_the_older_one),
        cmocka_unit_test(a_missing_segment_makes_its_keys_corrupt_and_no_others),
        cmocka_unit_test(a_missing_segment_that_comes_back_is_read_again),
        cmocka_unit_test(an_unsealed_segment_that_was_missing_and_comes_back_is_read_again),
        cmocka_unit_test(a_sealed_segment_truncated_at_any_byte_is_reported),
        cmocka_unit_test(bytes_behind_a_sealed_length_do_not_count),
        cmocka_unit_test(a_segment_of_another_store_is_not_ours),
        cmocka_unit_test(an_unnamed_log_segment_goes_to_quarantine),
        cmocka_unit_test(unnamed_merge_outputs_and_empty_segments_are_removed),
        cmocka_unit_test(temporary_files_and_hints_of_no_segment_are_removed),
        cmocka_unit_test(a_manifest_of_a_newer_format_is_refused_by_name),
        cmocka_unit_test(reading_only_changes_no_byte_and_shows_the_same),
        cmocka_unit_test(a_full_disk_gives_a_store_that_can_be_read),
        cmocka_unit_test(recovery_interrupted_anywhere_and_done_again_gives_the_same),
        cmocka_unit_test(any_failing_call_is_an_error_or_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
