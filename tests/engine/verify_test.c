/* SPDX-License-Identifier: MIT
 * verify_test.c: whatever is wrong with a store's files is told, and told where. */
#include "support/merge_fixture.h"

struct found {
    unsigned count;
    char file[64], what[160], key[32];
    uint64_t segment, offset, bytes;
    unsigned stop_after, notes;
};

/* Remember the first. */
static int note(void *context, const bitcask_finding *finding)
{
    struct found *found = context;
    found->notes += finding->note != 0;
    if (found->count++ == 0) {
        snprintf(found->file, sizeof found->file, "%s", finding->file);
        snprintf(found->what, sizeof found->what, "%s", finding->what);
        snprintf(found->key, sizeof found->key, "%.*s", (int)finding->key.size,
                 finding->key.size > 0 ? (const char *)finding->key.data : "");
        found->segment = finding->segment;
        found->offset = finding->offset;
        found->bytes = finding->bytes;
    }
    return found->count == found->stop_after;
}

static bitcask_status verify(struct fixture *f, struct found *found)
{
    *found = (struct found){0};
    return verify_run(f->store, note, found, NULL, &f->error);
}

/* A store with each kind of file: a merge output, a sealed and an active log segment. */
static struct fixture *begin_with_all_kinds(uint64_t *sealed, uint64_t *output, uint64_t *active)
{
    struct fixture *f = begin();
    put_range(f, 0, 4);
    put(f, 2);
    merge_all(f);
    *output = newest_sealed(f);
    put_range(f, 10, 13);
    drop(f, 1);
    assert_done(f, try_put(f, 20, 50, now(f) + 3600ull * SECOND));
    *sealed = atomic_load(&f->store->writer.active)->id;
    seal(f);
    put_range(f, 30, 32);
    sync_log(f);
    *active = atomic_load(&f->store->writer.active)->id;
    return f;
}

static void flip(struct fixture *f, const char *name, uint64_t offset, uint8_t bits)
{
    char path[64];
    struct os_file *file;
    uint8_t byte;
    snprintf(path, sizeof path, "store/%s", name);
    assert_int_equal(f->os->open(f->os, path, OS_READ | OS_WRITE, &file), 0);
    assert_int_equal(f->os->pread(f->os, file, &byte, 1, offset), 1);
    byte ^= bits;
    assert_int_equal(f->os->pwrite(f->os, file, &byte, 1, offset, 0), 0);
    f->os->close(f->os, file);
}

static uint64_t size_of_file(struct fixture *f, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "store/%s", name);
    int64_t size = os_mem_read_file(f->os, path, NULL, 0);
    assert_true(size >= 0);
    return (uint64_t)size;
}

/* One flipped bit at each byte of [0, size): told, in this file; mended, it is gone. */
static void assert_every_flip_is_found(struct fixture *f, const char *name, uint64_t size)
{
    struct found found;
    assert_true(size > 0);
    for (uint64_t offset = 0; offset < size; offset++) {
        uint8_t bit = (uint8_t)(1u << (offset * 5 % 8));
        flip(f, name, offset, bit);
        bitcask_status status = verify(f, &found);
        if (status != BITCASK_CORRUPT || strcmp(found.file, name) != 0)
            fail_msg("%s, byte %llu: status %d, first finding in '%s': %s", name,
                     (unsigned long long)offset, status, found.file, found.what);
        flip(f, name, offset, bit);
        if (offset % 64 == 0)
            assert_sound(f);
    }
    assert_sound(f);
}

static void a_sound_store_has_no_findings(void **state)
{
    (void)state;
    uint64_t sealed, output, active;
    struct fixture *f = begin_with_all_kinds(&sealed, &output, &active);
    bitcask_verify_result result = {.struct_size = sizeof result};
    assert_done(f, verify_run(f->store, print_finding, NULL, &result, &f->error));
    assert_int_equal(result.findings, 0);
    assert_int_equal(result.files, 6); /* three segments, two hints, the manifest */
    assert_int_equal(result.struct_size, sizeof result);
    reopen(f);
    assert_sound(f);
    put(f, 5);
    assert_sound(f);
    end(f);
}

static void an_empty_store_has_no_findings(void **state)
{
    (void)state;
    struct fixture *f = begin();
    assert_sound(f);
    end(f);
}

static void every_flipped_bit_of_a_sealed_log_segment_is_found(void **state)
{
    (void)state;
    uint64_t sealed, output, active;
    struct fixture *f = begin_with_all_kinds(&sealed, &output, &active);
    char name[NAME_SIZE];
    name_data(name, sealed);
    assert_every_flip_is_found(f, name, size_of_file(f, name));
    end(f);
}

static void every_flipped_bit_of_a_merge_output_is_found(void **state)
{
    (void)state;
    uint64_t sealed, output, active;
    struct fixture *f = begin_with_all_kinds(&sealed, &output, &active);
    char name[NAME_SIZE];
    name_data(name, output);
    assert_every_flip_is_found(f, name, size_of_file(f, name));
    end(f);
}

static void every_flipped_bit_of_the_active_segment_is_found(void **state)
{
    (void)state;
    uint64_t sealed, output, active;
    struct fixture *f = begin_with_all_kinds(&sealed, &output, &active);
    char name[NAME_SIZE];
    name_data(name, active);
    uint64_t end_of_log = atomic_load(&atomic_load(&f->store->writer.active)->end);
    assert_every_flip_is_found(f, name, end_of_log);
    end(f);
}

static void every_flipped_bit_of_a_hint_is_found(void **state)
{
    (void)state;
    uint64_t sealed, output, active;
    struct fixture *f = begin_with_all_kinds(&sealed, &output, &active);
    char name[NAME_SIZE];
    name_hint(name, output);
    assert_every_flip_is_found(f, name, size_of_file(f, name));
    name_hint(name, sealed);
    assert_every_flip_is_found(f, name, size_of_file(f, name));
    end(f);
}

static void every_flipped_bit_of_the_manifest_is_found(void **state)
{
    (void)state;
    uint64_t sealed, output, active;
    struct fixture *f = begin_with_all_kinds(&sealed, &output, &active);
    assert_every_flip_is_found(f, NAME_MANIFEST, size_of_file(f, NAME_MANIFEST));
    end(f);
}

static void damage_is_told_with_its_place_and_key(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    uint64_t record = SEGMENT_HEADER_SIZE + 6 * 129ull;
    flip(f, "000000001.data", record + 60, 1);
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.file, "000000001.data");
    assert_int_equal(found.segment, 1);
    assert_int_equal(found.offset, record);
    assert_int_equal(found.bytes, 129);
    assert_string_equal(found.key, "key-00006");
    assert_int_equal(f->error.status, BITCASK_CORRUPT);
    assert_int_equal(try_merge(f, 1, 0), BITCASK_CORRUPT); /* it is left alone from now on */
    assert_true(has_file(f, 1));
    end(f);
}

static void a_missing_hint_is_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    remove_file(f, "000000001.hint");
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_string_equal(found.file, "000000001.hint");
    end(f);
}

static void a_hint_of_another_time_is_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    put_range(f, 10, 20);
    seal(f);
    static uint8_t hint[4096];
    int64_t size = os_mem_read_file(f->os, "store/000000001.hint", hint, sizeof hint);
    assert_true(size > 0);
    assert_int_equal(os_mem_write_file(f->os, "store/000000002.hint", hint, (size_t)size), 0);
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_string_equal(found.file, "000000002.hint");
    end(f);
}

static void a_missing_data_file_is_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    put_range(f, 10, 20);
    remove_file(f, "000000001.data");
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_string_equal(found.file, "000000001.data");
    reopen(f); /* and when it was not there from the start */
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_string_equal(found.file, "000000001.data");
    end(f);
}

static void a_data_file_cut_short_is_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    struct os_file *file;
    uint64_t cut = SEGMENT_HEADER_SIZE + 4 * 129ull + 30;
    assert_int_equal(f->os->open(f->os, "store/000000001.data", OS_READ | OS_WRITE, &file), 0);
    assert_int_equal(f->os->truncate(f->os, file, cut), 0);
    f->os->close(f->os, file);
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_string_equal(found.file, "000000001.data");
    assert_int_equal(found.offset, cut - 30); /* the record that is cut, then what is missing */
    end(f);
}

static void a_missing_manifest_is_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    remove_file(f, NAME_MANIFEST);
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_string_equal(found.file, NAME_MANIFEST);
    end(f);
}

static void the_manifest_of_another_store_is_found(void **state)
{
    (void)state;
    static uint8_t manifest[4096];
    struct fixture *other = fixture_new();
    os_mem_advance_clock(other->os, SECOND);
    uint8_t byte;
    other->os->random(other->os, &byte, 1); /* so that its ids differ */
    assert_done(other, try_open(other));
    put(other, 1);
    int64_t size = os_mem_read_file(other->os, "store/" NAME_MANIFEST, manifest, sizeof manifest);
    assert_true(size > 0 && size <= (int64_t)sizeof manifest);
    struct fixture *f = begin();
    put(f, 1);
    os_mem_write_file(f->os, "store/" NAME_MANIFEST, manifest, (size_t)size);
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_string_equal(found.file, NAME_MANIFEST);
    assert_non_null(strstr(found.what, "another store"));
    end(other);
    end(f);
}

static void files_that_nobody_names_are_noted(void **state)
{
    (void)state;
    static const char *const strays[] = {"000000777.data", "000000777.hint", "000000777.hint.tmp",
                                         "000000777.data.tmp"};
    for (unsigned i = 0; i < ARRAY_SIZE(strays); i++) {
        struct fixture *f = begin();
        char path[64];
        put(f, 1);
        snprintf(path, sizeof path, "store/%s", strays[i]);
        os_mem_write_file(f->os, path, "stray", 5);
        struct found found;
        assert_done(f, verify(f, &found));
        assert_int_equal(found.notes, 1);
        assert_string_equal(found.file, strays[i]);
        assert_int_equal(found.bytes, 5);
        os_mem_write_file(f->os, "store/notes.txt", "mine", 4); /* not ours to judge */
        remove_file(f, strays[i]);
        assert_sound(f);
        end(f);
    }
}

static uint64_t hash_of(struct fixture *f, unsigned key)
{
    char text[32];
    return hash_key(&f->store->secret, slice_of(text, key_text(text, key)));
}

static void an_index_entry_that_points_astray_is_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 3);
    drop(f, 1);
    uint32_t slot = atomic_load(&f->store->writer.active)->slot;
    struct keydir_place right = {slot, SEGMENT_HEADER_SIZE};
    const struct {
        struct keydir_place place;
        const char *what;
    } wrong[] = {
        {{slot, SEGMENT_HEADER_SIZE + 2 * 129}, "one record"}, /* key 2's, in the index already */
        {{slot, SEGMENT_HEADER_SIZE + 1 * 129}, "of another key"}, /* key 1's, deleted */
        {{slot, SEGMENT_HEADER_SIZE + 3 * 129}, "no key's value"}, /* the tombstone */
        {{slot, SEGMENT_HEADER_SIZE + 10}, "no record"},
        {{slot, 1 << 19}, "no record"},
        {{slot + 5, SEGMENT_HEADER_SIZE}, "a segment that is not there"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct found found;
        assert_true(keydir_replace(f->store->keydir, hash_of(f, 0), right, wrong[i].place));
        assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
        assert_non_null(strstr(found.what, wrong[i].what));
        assert_true(keydir_replace(f->store->keydir, hash_of(f, 0), wrong[i].place, right));
        assert_sound(f);
    }
    end(f);
}

static void wrong_live_figures_are_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 3);
    struct segment *active = atomic_load(&f->store->writer.active);
    segment_add_live(active, 1, 0);
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    segment_drop_live(active, 1, 0);
    assert_sound(f);
    end(f);
}

static void wrong_figures_of_a_segment_are_found(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 3);
    seal(f);
    struct segment *segment = segments_at(&f->store->segments, 1);
    segment->figures.records++;
    struct found found;
    assert_int_equal(verify(f, &found), BITCASK_CORRUPT);
    assert_int_equal(found.segment, 1);
    segment->figures.records--;
    assert_sound(f);
    end(f);
}

static void it_stops_when_told_to(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned part = 0; part < 3; part++) {
        put_range(f, part * 3, part * 3 + 3);
        seal(f);
        char name[NAME_SIZE];
        name_data(name, part + 1);
        flip(f, name, SEGMENT_HEADER_SIZE + 100, 1);
    }
    struct found found = {.stop_after = 2};
    bitcask_verify_result result = {.struct_size = sizeof result};
    assert_int_equal(verify_run(f->store, note, &found, &result, &f->error), BITCASK_CANCELLED);
    assert_int_equal(found.count, 2);
    assert_int_equal(result.findings, 2);
    assert_int_equal(verify_run(f->store, NULL, NULL, &result, &f->error), BITCASK_CORRUPT);
    assert_int_equal(result.findings, 3);
    assert_int_equal(result.damaged_bytes, 3 * 129);
    end(f);
}

static void it_changes_no_file_and_keeps_no_handle(void **state)
{
    (void)state;
    uint64_t sealed, output, active;
    struct fixture *f = begin_with_all_kinds(&sealed, &output, &active);
    uint32_t changes = 1u << OS_CALL_PWRITE | 1u << OS_CALL_TRUNCATE | 1u << OS_CALL_RENAME |
                       1u << OS_CALL_UNLINK | 1u << OS_CALL_ALLOCATE | 1u << OS_CALL_SYNC;
    uint64_t before = os_mem_calls(f->os, changes);
    uint64_t files = os_mem_open_files(f->os), maps = os_mem_live_maps(f->os);
    uint64_t bytes = os_mem_live_bytes(f->os);
    assert_sound(f);
    assert_int_equal(os_mem_calls(f->os, changes), before);
    assert_int_equal(os_mem_open_files(f->os), files);
    assert_int_equal(os_mem_live_maps(f->os), maps);
    assert_int_equal(os_mem_live_bytes(f->os), bytes);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_has_no_findings),
        cmocka_unit_test(an_empty_store_has_no_findings),
        cmocka_unit_test(every_flipped_bit_of_a_sealed_log_segment_is_found),
        cmocka_unit_test(every_flipped_bit_of_a_merge_output_is_found),
        cmocka_unit_test(every_flipped_bit_of_the_active_segment_is_found),
        cmocka_unit_test(every_flipped_bit_of_a_hint_is_found),
        cmocka_unit_test(every_flipped_bit_of_the_manifest_is_found),
        cmocka_unit_test(damage_is_told_with_its_place_and_key),
        cmocka_unit_test(a_missing_hint_is_found),
        cmocka_unit_test(a_hint_of_another_time_is_found),
        cmocka_unit_test(a_missing_data_file_is_found),
        cmocka_unit_test(a_data_file_cut_short_is_found),
        cmocka_unit_test(a_missing_manifest_is_found),
        cmocka_unit_test(the_manifest_of_another_store_is_found),
        cmocka_unit_test(files_that_nobody_names_are_noted),
        cmocka_unit_test(an_index_entry_that_points_astray_is_found),
        cmocka_unit_test(wrong_live_figures_are_found),
        cmocka_unit_test(wrong_figures_of_a_segment_are_found),
        cmocka_unit_test(it_stops_when_told_to),
        cmocka_unit_test(it_changes_no_file_and_keeps_no_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
