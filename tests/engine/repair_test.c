/* SPDX-License-Identifier: MIT
 * repair_test.c: whatever was done to a store's files, a repair makes it whole, loses nothing that
 * can be read, and says what is gone. */
#include "engine/index_image.h"
#include "engine/repair.h"
#include "engine/verify.h"
#include "format/names.h"
#include "support/three_segments.h"

#include <errno.h>

enum { LOSSES_MAX = 64 };

struct losses {
    size_t count;
    bool unknown; /* one without a key */
    struct {
        char key[16];
        bool certain;
        uint64_t segment, version, older_version;
    } items[LOSSES_MAX];
};

static struct losses lost;
static bitcask_repair_result repaired;

static int note_loss(void *context, const bitcask_loss *loss)
{
    struct losses *losses = context;
    assert_true(losses->count < LOSSES_MAX);
    snprintf(losses->items[losses->count].key, 16, "%.*s", (int)loss->key.size,
             loss->key.size > 0 ? (const char *)loss->key.data : "");
    losses->items[losses->count].certain = loss->key_certain != 0;
    losses->items[losses->count].segment = loss->segment;
    losses->items[losses->count].version = loss->version;
    losses->items[losses->count].older_version = loss->older_version;
    losses->count++;
    losses->unknown |= loss->key.size == 0;
    return 0;
}

static bitcask_status try_repair(struct fixture *f, bool dry_run)
{
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    options.dry_run = dry_run;
    options.loss = note_loss;
    options.context = &lost;
    memset(&lost, 0, sizeof lost);
    repaired = (bitcask_repair_result){.struct_size = sizeof repaired};
    return repair_run(f->os, STORE_DIRECTORY, &options, &repaired, &f->error);
}

static void repair(struct fixture *f)
{
    bitcask_status status = try_repair(f, false);
    if (status != BITCASK_OK)
        fail_msg("repair: %s", f->error.message);
}

static bool told(const char *key)
{
    for (size_t i = 0; i < lost.count; i++) {
        if (strcmp(lost.items[i].key, key) == 0)
            return true;
    }
    return false;
}

static int fail_on_finding(void *context, const bitcask_finding *finding)
{
    (void)context;
    if (!finding->note)
        fail_msg("%s at %llu: %s", finding->file, (unsigned long long)finding->offset,
                 finding->what);
    return 0;
}

static void check_sound(struct fixture *f)
{
    assert_int_equal(verify_run(f->store, fail_on_finding, NULL, NULL, &f->error), BITCASK_OK);
}

/* Each key as it was; or told, and then an older value or nothing. */
static void check_kept_or_told(struct fixture *f)
{
    static const struct {
        const char *key, *value, *older;
    } keys[] = {{"a", "a1", NULL},
                {"b", "b2", "b1"},
                {"c", "c2", "c1"},
                {"d", "d1", NULL},
                {"gone", NULL, "x"}};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        bitcask_buffer value = {0};
        bitcask_status status = read_key(f, keys[i].key, &value);
        const char *expected = keys[i].value;
        bool same = expected == NULL ? status == BITCASK_NOT_FOUND
                                     : status == BITCASK_OK && value.size == strlen(expected) &&
                                           memcmp(value.data, expected, value.size) == 0;
        const char *older = keys[i].older;
        bool as_told = status == BITCASK_NOT_FOUND ||
                       (status == BITCASK_OK && older != NULL && value.size == strlen(older) &&
                        memcmp(value.data, older, value.size) == 0);
        if (!same && !(as_told && (told(keys[i].key) || lost.unknown)))
            fail_msg("'%s' is %s '%.*s', %zu losses", keys[i].key, bitcask_status_name(status),
                     (int)value.size, value.size > 0 ? (char *)value.data : "", lost.count);
        bitcask_buffer_free(&value);
    }
}

/* ---- Nothing wrong --------------------------------------------------------------------------- */

static void a_sound_store_stays_as_it_is(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size, size_after;
    unsigned char *before = read_whole(&f, "MANIFEST", &size);
    repair(&f);
    assert_int_equal(lost.count, 0);
    assert_int_equal(repaired.segments + repaired.hints + repaired.missing_segments, 0);
    unsigned char *after = read_whole(&f, "MANIFEST", &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    assert_false(has_file(&f, "quarantine"));
    open_store(&f);
    check_three(&f);
    fixture_release(&f);
}

static void no_store_is_not_repaired(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(try_repair(&f, false), BITCASK_NO_STORE);
    fixture_release(&f);
    make_three(&f);
    open_store(&f);
    assert_int_equal(try_repair(&f, false), BITCASK_LOCKED);
    close_store(&f);
    fixture_release(&f);
}

/* ---- Records --------------------------------------------------------------------------------- */

static void a_damaged_value_is_told_by_key_and_an_older_one_shows(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "b2"));
    open_store(&f);
    close_store(&f);
    repair(&f);
    assert_int_equal(lost.count, 1);
    assert_string_equal(lost.items[0].key, "b");
    assert_true(lost.items[0].certain);
    assert_int_equal(lost.items[0].segment, 2);
    assert_true(lost.items[0].older_version > 0);
    assert_true(lost.items[0].older_version < lost.items[0].version);
    assert_int_equal(repaired.segments, 1);
    assert_int_equal(repaired.quarantined_files, 2);
    assert_int_equal(repaired.bytes_lost, record_bytes("b", 2));
    assert_false(has_file(&f, SEGMENT_2));
    open_store(&f);
    check_value(&f, "b", "b1");
    check_value(&f, "a", "a1");
    check_value(&f, "c", "c2");
    check_missing(&f, "gone");
    check_sound(&f);
    close_store(&f);
    repair(&f); /* once and for all */
    assert_int_equal(lost.count, 0);
    assert_int_equal(repaired.segments, 0);
    fixture_release(&f);
}

static void a_damaged_deletion_that_the_hint_remembers_is_made_anew(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "gone"));
    repair(&f);
    assert_int_equal(lost.count, 0);
    assert_int_equal(repaired.deletions_kept, 1);
    open_store(&f);
    check_three(&f);
    check_sound(&f);
    fixture_release(&f);
}

static void a_damaged_record_that_was_dead_is_no_loss(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    flip_byte(&f, SEGMENT_1, find_text(&f, SEGMENT_1, "b1"));
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "c1"));
    repair(&f);
    assert_int_equal(lost.count, 0);
    assert_int_equal(repaired.segments, 2);
    open_store(&f);
    check_three(&f);
    check_sound(&f);
    fixture_release(&f);
}

/* More than the repair has room for to begin with. */
static void many_damaged_deletions_are_made_anew(void **state)
{
    (void)state;
    struct fixture f;
    char key[16];
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 60, "v");
    rotate(&f);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        delete_key(&f, key);
    }
    rotate(&f);
    put(&f, "active", "a");
    close_store(&f);
    size_t size;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    memset(data + SEGMENT_HEADER_SIZE + 64, 0, size - SEGMENT_HEADER_SIZE - 64);
    write_whole(&f, SEGMENT_2, data, size);
    free(data);
    repair(&f);
    assert_int_equal(lost.count, 0);
    assert_true(repaired.deletions_kept >= 47); /* one or two records are left as they were */
    open_store(&f);
    check_missing(&f, "k0");
    check_missing(&f, "k49");
    check_value(&f, "k50", "v");
    check_sound(&f);
    fixture_release(&f);
}

/* A merge has written the oldest value into a segment of a higher number. */
static void of_several_older_values_the_newest_shows(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "v1");
    rotate(&f);
    put(&f, "active", "a"); /* in segment 2 */
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    assert_int_equal(bitcask_merge(f.db, &options, NULL, &f.error), BITCASK_OK);
    assert_false(has_file(&f, SEGMENT_1));
    put(&f, "k", "v2");
    rotate(&f);
    bitcask_meta second;
    assert_int_equal(bitcask_stat_key(f.db, NULL, bitcask_str("k"), &second, &f.error), BITCASK_OK);
    put(&f, "k", "v3");
    rotate(&f);
    put(&f, "active", "b");
    close_store(&f);
    size_t count, damaged = 0;
    char **names = list_files(&f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        size_t size;
        unsigned char *data = read_whole(&f, names[i], &size);
        unsigned char *at = memmem(data, size, "kv3", 3);
        if (at != NULL && strstr(names[i], ".data") != NULL) {
            flip_byte(&f, names[i], (size_t)(at - data) + 2);
            damaged++;
        }
        free(data);
    }
    free_list(names, count);
    assert_int_equal(damaged, 1);
    repair(&f);
    assert_int_equal(lost.count, 1);
    assert_string_equal(lost.items[0].key, "k");
    assert_int_equal(lost.items[0].older_version, second.version);
    open_store(&f);
    check_value(&f, "k", "v2");
    check_value(&f, "active", "b");
    check_sound(&f);
    fixture_release(&f);
}

static void the_original_is_kept_in_quarantine(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "b2"));
    size_t size, kept_size, count;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    repair(&f);
    char **names = list_files(&f, "quarantine", &count), path[80];
    assert_int_equal(count, 2);
    bool hint_first = strstr(names[0], ".hint") != NULL; /* names have checksums in them */
    assert_true(hint_first != (strstr(names[1], ".hint") != NULL));
    assert_memory_equal(names[hint_first], "000000002-0-", 12);
    snprintf(path, sizeof path, "quarantine/%s", names[hint_first]);
    unsigned char *kept = read_whole(&f, path, &kept_size);
    assert_int_equal(kept_size, size);
    assert_memory_equal(kept, data, size);
    free(kept);
    free(data);
    free_list(names, count);
    fixture_release(&f);
}

static void any_flipped_byte_of_the_data_is_repaired(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    size_t count;
    char **names = data_names(&f, &count);
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
                repair(&f);
                if (hints) /* keys are known */
                    assert_false(lost.unknown);
                open_store(&f);
                check_kept_or_told(&f);
                check_sound(&f);
                abandon(&f);
            }
        }
    }
    free_list(names, count);
    free_disk(image);
    fixture_release(&f);
}

static void a_segment_cut_short_anywhere_is_repaired(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    size_t size = file_size(&f, SEGMENT_2);
    for (int hints = 0; hints < 2; hints++) {
        for (size_t end = 0; end < size; end++) {
            restore_disk(&f, image);
            truncate_file(&f, SEGMENT_2, end);
            if (!hints)
                delete_file(&f, HINT_2);
            repair(&f);
            open_store(&f);
            check_kept_or_told(&f);
            check_sound(&f);
            abandon(&f);
        }
    }
    free_disk(image);
    fixture_release(&f);
}

static void any_flipped_byte_of_hint_or_manifest_loses_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {HINT_2, "MANIFEST"};
    struct fixture f;
    make_three(&f);
    struct disk_image *image = save_disk(&f);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t size = file_size(&f, names[i]);
        for (size_t at = 0; at < size; at++) {
            restore_disk(&f, image);
            flip_byte(&f, names[i], at);
            repair(&f);
            assert_int_equal(lost.count, 0);
            open_store(&f);
            check_three(&f);
            check_sound(&f);
            abandon(&f);
        }
    }
    free_disk(image);
    fixture_release(&f);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void a_missing_segment_is_told_by_its_hint_and_forgotten(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, SEGMENT_2);
    repair(&f);
    assert_int_equal(repaired.missing_segments, 1);
    assert_int_equal(lost.count, 1); /* c has a newer value, gone is deleted anew */
    assert_string_equal(lost.items[0].key, "b");
    assert_int_equal(repaired.deletions_kept, 1);
    open_store(&f);
    assert_int_equal(count_events(&f, "segment_missing"), 0);
    check_value(&f, "b", "b1");
    check_value(&f, "c", "c2");
    check_missing(&f, "gone");
    check_sound(&f);
    fixture_release(&f);
}

static void a_missing_segment_without_a_hint_is_told_as_a_whole(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    delete_file(&f, SEGMENT_2);
    delete_file(&f, HINT_2);
    repair(&f);
    assert_int_equal(lost.count, 1);
    assert_true(lost.unknown);
    open_store(&f);
    check_value(&f, "b", "b1");
    check_value(&f, "gone", "x");
    check_sound(&f);
    fixture_release(&f);
}

static void a_file_of_another_store_in_a_segments_place_goes_to_quarantine(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    size_t size, count;
    unsigned char *data = read_whole(&f, SEGMENT_2, &size);
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
    header.store_id[0] ^= 1;
    header.salt ^= 1;
    segment_header_encode(data, &header);
    write_whole(&f, SEGMENT_2, data, size);
    repair(&f);
    char **names = list_files(&f, "quarantine", &count);
    assert_int_equal(count, 2);
    free_list(names, count);
    free(data);
    open_store(&f);
    check_kept_or_told(&f);
    check_sound(&f);
    fixture_release(&f);
}

/* ---- Course ---------------------------------------------------------------------------------- */

static void a_dry_run_tells_the_same_and_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "b2"));
    delete_file(&f, SEGMENT_3);
    uint32_t changes = 1u << OS_CALL_PWRITE | 1u << OS_CALL_TRUNCATE | 1u << OS_CALL_RENAME |
                       1u << OS_CALL_UNLINK | 1u << OS_CALL_ALLOCATE | 1u << OS_CALL_LINK;
    uint64_t before = os_mem_calls(f.os, changes);
    assert_int_equal(try_repair(&f, true), BITCASK_OK);
    assert_int_equal(os_mem_calls(f.os, changes), before);
    struct losses dry = lost;
    bitcask_repair_result dry_result = repaired;
    assert_int_equal(dry.count, 3); /* b, c, d */
    repair(&f);
    assert_memory_equal(&lost, &dry, sizeof dry);
    assert_int_equal(repaired.segments, dry_result.segments);
    assert_int_equal(repaired.bytes_lost, dry_result.bytes_lost);
    open_store(&f);
    check_kept_or_told(&f);
    fixture_release(&f);
}

static int stop_at_once(void *context, const bitcask_loss *loss)
{
    (void)context;
    (void)loss;
    return 1;
}

static void stopped_by_the_caller_it_has_changed_nothing(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "b2"));
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    options.loss = stop_at_once;
    assert_int_equal(repair_run(f.os, STORE_DIRECTORY, &options, NULL, &f.error),
                     BITCASK_CANCELLED);
    assert_true(has_file(&f, SEGMENT_2));
    assert_false(has_file(&f, "quarantine"));
    fixture_release(&f);
}

/* Damage of every kind at once. */
static void damage_all(struct fixture *f)
{
    make_three(f);
    flip_byte(f, SEGMENT_1, find_text(f, SEGMENT_1, "a1"));
    flip_byte(f, SEGMENT_2, 3);
    flip_byte(f, SEGMENT_2, find_text(f, SEGMENT_2, "gone"));
    delete_file(f, SEGMENT_3);
    flip_byte(f, HINT_1, 200);
}

static void check_all_repaired(struct fixture *f, bool deletion_told)
{
    open_store(f);
    check_value(f, "b", "b2");
    check_missing(f, "a");
    check_value(f, "c", "c1");
    check_missing(f, "d");
    bitcask_buffer value = {0};
    bitcask_status status = read_key(f, "gone", &value);
    assert_true(status == BITCASK_NOT_FOUND || (status == BITCASK_OK && deletion_told));
    bitcask_buffer_free(&value);
    check_sound(f);
    close_store(f);
}

static int at_call(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return --*left == 0;
}

static void the_power_may_go_at_every_call(void **state)
{
    (void)state;
    struct fixture f;
    damage_all(&f);
    struct disk_image *image = save_disk(&f);
    for (uint64_t n = 1;; n++) {
        uint64_t left = n;
        restore_disk(&f, image);
        os_mem_hook(f.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), at_call, &left);
        bitcask_status status = try_repair(&f, false);
        os_mem_hook(f.os, 0, NULL, NULL);
        os_mem_crash(f.os);
        if (status != BITCASK_OK)
            repair(&f);
        check_all_repaired(&f, false);
        assert_int_equal(os_mem_open_files(f.os), 0);
        assert_int_equal(os_mem_live_maps(f.os), 0);
        if (left > 0 && left < UINT64_MAX / 2)
            break;
    }
    free_disk(image);
    fixture_release(&f);
}

static void every_call_may_fail_once(void **state)
{
    (void)state;
    const uint32_t all = (1u << OS_CALL_COUNT) - 1;
    struct fixture f;
    damage_all(&f);
    struct disk_image *image = save_disk(&f);
    for (uint64_t n = 1;; n++) {
        restore_disk(&f, image);
        uint64_t first = os_mem_calls(f.os, all);
        os_mem_fail(f.os, all, n, 1, n % 2 == 0 ? -EIO : -ENOSPC);
        (void)!try_repair(&f, false);
        uint64_t calls = os_mem_calls(f.os, all) - first;
        os_mem_fail(f.os, 0, 0, 0, 0);
        bool deletion_told = lost.unknown; /* a hint that cannot be read does not count */
        repair(&f);
        check_all_repaired(&f, deletion_told || lost.unknown);
        assert_int_equal(os_mem_open_files(f.os), 0);
        assert_int_equal(os_mem_live_maps(f.os), 0);
        if (calls < n)
            break;
    }
    free_disk(image);
    fixture_release(&f);
}

static void a_damaged_index_snapshot_goes_and_a_sound_one_stays(void **state)
{
    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct fixture f;
        make_three(&f);
        open_store(&f);
        assert_int_equal(index_image_write(f.store, NULL, &f.error), BITCASK_OK);
        close_store(&f);
        if (damaged)
            flip_byte(&f, NAME_IMAGE, IMAGE_HEADER_SIZE);
        assert_int_equal(try_repair(&f, true), BITCASK_OK);
        assert_true(has_file(&f, NAME_IMAGE)); /* a dry run changes nothing */
        repair(&f);
        assert_int_equal(lost.count, 0);
        assert_int_equal(has_file(&f, NAME_IMAGE), !damaged);
        open_store(&f);
        check_three(&f);
        check_sound(&f);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_stays_as_it_is),
        cmocka_unit_test(no_store_is_not_repaired),
        cmocka_unit_test(a_damaged_value_is_told_by_key_and_an_older_one_shows),
        cmocka_unit_test(a_damaged_deletion_that_the_hint_remembers_is_made_anew),
        cmocka_unit_test(a_damaged_record_that_was_dead_is_no_loss),
        cmocka_unit_test(many_damaged_deletions_are_made_anew),
        cmocka_unit_test(of_several_older_values_the_newest_shows),
        cmocka_unit_test(the_original_is_kept_in_quarantine),
        cmocka_unit_test(any_flipped_byte_of_the_data_is_repaired),
        cmocka_unit_test(a_segment_cut_short_anywhere_is_repaired),
        cmocka_unit_test(any_flipped_byte_of_hint_or_manifest_loses_nothing),
        cmocka_unit_test(a_missing_segment_is_told_by_its_hint_and_forgotten),
        cmocka_unit_test(a_missing_segment_without_a_hint_is_told_as_a_whole),
        cmocka_unit_test(a_file_of_another_store_in_a_segments_place_goes_to_quarantine),
        cmocka_unit_test(a_dry_run_tells_the_same_and_changes_nothing),
        cmocka_unit_test(stopped_by_the_caller_it_has_changed_nothing),
        cmocka_unit_test(the_power_may_go_at_every_call),
        cmocka_unit_test(every_call_may_fail_once),
        cmocka_unit_test(a_damaged_index_snapshot_goes_and_a_sound_one_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
