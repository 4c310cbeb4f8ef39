/* SPDX-License-Identifier: MIT
 * seal_test.c: full segments become sealed ones, and say exactly what is in them. */
#include "support/write_fixture.h"

#include "engine/manifest_file.h"
#include "format/names.h"

/* Leave segment 1 waiting for its seal. */
static void fill_and_rotate(struct fixture *f)
{
    put_numbered(f, "k", 0, 20, "value");
    delete_key(f, "k3");
    assert_status(f, OK, put_until(f, "ttl", "x", f->os->clock_real(f->os) + 3600000000ull));
    write_mutex_lock(&f->store->write_mutex);
    assert_status(f, OK, log_rotate(f->store, &f->error));
    write_mutex_unlock(&f->store->write_mutex);
}

static void a_full_segment_is_sealed_with_its_exact_figures(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    fill_and_rotate(&f);
    assert_status(&f, OK, seal_waiting(f.store, &f.error));
    struct segment *segment = segments_at(&f.store->segments, 1);
    assert_int_equal(atomic_load(&segment->state), BITCASK_SEGMENT_SEALED);
    assert_int_equal(segment->figures.records, 22);
    assert_int_equal(segment->figures.tombstones, 1);
    assert_int_not_equal(segment->figures.rolling, 0);
    assert_int_not_equal(segment->figures.expires_min, 0);
    assert_true(has_file(&f, "000000001.hint"));
    struct segment_record record;
    struct meta_seal seal;
    uint64_t end = atomic_load(&segment->end);
    unsigned char *file = read_whole(&f, "000000001.data", &(size_t){0});
    struct record_shape shape;
    assert_int_equal(
        record_parse(slice_of(file + end, file_size(&f, "000000001.data") - end), &shape, NULL),
        BITCASK_OK);
    record = (struct segment_record){.shape = shape, .bytes = file + end};
    assert_int_equal(meta_seal_decode(segment_record_value(&record), &seal), BITCASK_OK);
    assert_int_equal(seal.length, end);
    assert_int_equal(seal.records, 22);
    assert_int_equal(seal.rolling, segment->figures.rolling);
    free(file);
    crash(&f);
    open_store(&f);
    assert_int_equal(stats_of(&f).keys, 20);
    assert_sound(&f);
    fixture_release(&f);
}

/* A writer that fills a segment while another one is sealed. */
static int fill_another(void *context, enum os_mem_call call)
{
    (void)call;
    struct fixture *f = context;
    os_mem_hook(f->os, 0, NULL, NULL);
    put_numbered(f, "more", 0, 20, "value");
    write_mutex_lock(&f->store->write_mutex);
    assert_status(f, OK, log_rotate(f->store, &f->error));
    write_mutex_unlock(&f->store->write_mutex);
    if (stats_of(f).rotations < 20)
        os_mem_hook(f->os, 1u << OS_CALL_TRUNCATE, fill_another, f);
    return 0;
}

/* Else the thread would never come to its other work: syncs, the version ceiling, the index. */
static void what_is_filled_while_others_are_sealed_waits_for_the_next_call(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    f.store->options.background = BITCASK_BACKGROUND_THREAD; /* which is not there */
    fill_and_rotate(&f);
    fill_and_rotate(&f);
    os_mem_hook(f.os, 1u << OS_CALL_TRUNCATE, fill_another, &f);
    assert_status(&f, OK, seal_waiting(f.store, &f.error));
    os_mem_hook(f.os, 0, NULL, NULL);
    assert_true(stats_of(&f).rotations < 10); /* two, and the two that were there to be filled */
    assert_true(atomic_load(&f.store->sealing_count) > 0);
    assert_true(atomic_load(&f.store->work) & WORK_SEAL); /* nor is it forgotten */
    assert_status(&f, OK, seal_waiting(f.store, &f.error));
    assert_int_equal(atomic_load(&f.store->sealing_count), 0);
    f.store->options.background = BITCASK_BACKGROUND_NONE;
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

/* The manifest may be written by others at any moment. Once it says SEALED its figures are those of
 * the hint, or the next open would take hint and data for damaged. */
struct glance {
    struct fixture *f;
    int sealed;
};

static int look_at_the_manifest(void *context, enum os_mem_call call)
{
    (void)call;
    struct glance *glance = context;
    struct store *store = glance->f->store;
    struct segment *segment = segments_at(&store->segments, 1);
    if (atomic_load(&segment->state) != BITCASK_SEGMENT_SEALED)
        return 0;
    os_mem_hook(glance->f->os, 0, NULL, NULL);
    glance->sealed++;
    assert_status(glance->f, OK, store_save_manifest(store, false, &glance->f->error));
    struct manifest manifest;
    assert_int_equal(manifest_file_read(&store->segments, &manifest, NULL, NULL), BITCASK_OK);
    for (size_t i = 0; i < manifest.segment_count; i++) {
        if (manifest.segments[i].id == 1 && manifest.segments[i].state == MANIFEST_SEALED) {
            assert_int_equal(manifest.segments[i].records, 22);
            assert_int_not_equal(manifest.segments[i].rolling, 0);
        }
    }
    manifest_release(&manifest);
    return 0;
}

static void a_manifest_never_names_a_sealed_segment_without_its_figures(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    fill_and_rotate(&f);
    struct glance glance = {.f = &f};
    os_mem_hook(f.os, 1u << OS_CALL_CLOSE | 1u << OS_CALL_OPEN, look_at_the_manifest, &glance);
    assert_status(&f, OK, seal_waiting(f.store, &f.error));
    os_mem_hook(f.os, 0, NULL, NULL);
    assert_int_equal(glance.sealed, 1);
    crash(&f);
    open_store(&f);
    assert_int_equal(count_events(&f, "damaged"), 0);
    assert_sound(&f);
    fixture_release(&f);
}

static void sealing_that_fails_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    bool came = true;
    for (uint64_t nth = 1; came; nth++) {
        for (int forever = 0; forever < 2; forever++) {
            struct fixture f;
            fixture_init(&f);
            open_store(&f);
            fill_and_rotate(&f);
            sync_store(&f);
            char *all = dump_store(&f);
            uint64_t before = os_mem_calls(f.os, DISK_CALLS);
            os_mem_fail(f.os, DISK_CALLS, nth, forever ? UINT64_MAX : 1, -EIO);
            (void)!seal_waiting(f.store, &f.error);
            came = os_mem_calls(f.os, DISK_CALLS) - before >= nth;
            os_mem_fail(f.os, 0, 0, 1, -EIO);
            char *after = dump_store(&f);
            assert_string_equal(after, all);
            free(after);
            (void)!bitcask_put(f.db, bitcask_str("later"), bitcask_str("x"), NULL, NULL, &f.error);
            crash(&f);
            open_store(&f);
            after = dump_store(&f);
            assert_string_equal(after, all);
            free(after);
            free(all);
            assert_sound(&f);
            fixture_release(&f);
        }
    }
}

/* On a full disk the hint is left out: it is a cache. */
static void a_segment_is_sealed_on_a_full_disk(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    fill_and_rotate(&f);
    os_mem_fail(f.os, 1u << OS_CALL_PWRITE | 1u << OS_CALL_ALLOCATE, 1, UINT64_MAX, -ENOSPC);
    (void)!seal_waiting(f.store, &f.error);
    os_mem_fail(f.os, 0, 0, 1, -EIO);
    assert_int_equal(atomic_load(&f.store->sealing_count), 0);
    assert_int_equal(atomic_load(&f.store->write_status), 0);
    check_value(&f, "k7", "value");
    put(&f, "later", "x");
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

/* L5: what is sealed does not change any more, whatever happens to the store. */
static void a_sealed_segment_never_changes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    fill_and_rotate(&f);
    assert_status(&f, OK, seal_waiting(f.store, &f.error));
    size_t size, again;
    unsigned char *bytes = read_whole(&f, "000000001.data", &size);
    put_numbered(&f, "k", 0, 20, "overwritten");
    kill_9(&f);
    open_store(&f);
    delete_key(&f, "k1");
    close_store(&f);
    delete_hints(&f);
    open_store(&f);
    unsigned char *later = read_whole(&f, "000000001.data", &again);
    assert_int_equal(size, again);
    assert_memory_equal(bytes, later, size);
    free(bytes);
    free(later);
    fixture_release(&f);
}

/* The first write behind a clean close does not fit into the segment that was left open, and no
 * other can be made. The segment is given to the sealer, which does not come to it. */
static void leave_waiting_for_the_seal(struct fixture *f)
{
    fixture_init(f);
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    open_store(f);
    put(f, "k", "1");
    close_store(f);
    f->options.background = BITCASK_BACKGROUND_THREAD;
    open_store(f);
    background_stop(f->store);
    char *large = calloc(1, BITCASK_MIN_SEGMENT_SIZE + 1);
    memset(large, 'x', BITCASK_MIN_SEGMENT_SIZE);
    os_mem_fail(f->os, 1u << OS_CALL_ALLOCATE, 1, UINT64_MAX, -ENOSPC);
    assert_status(
        f, NO_SPACE,
        bitcask_put(f->db, bitcask_str("large"), bitcask_str(large), NULL, NULL, &f->error));
    os_mem_fail(f->os, 0, 0, 0, 0);
    free(large);
}

/* The manifest is saved as by a merge; the process dies. */
static void a_segment_that_waits_for_its_seal_is_not_vouched_for(void **state)
{
    (void)state;
    struct fixture f;
    leave_waiting_for_the_seal(&f);
    assert_status(&f, OK, store_save_manifest(f.store, !f.store->writer.dirty, &f.error));
    kill_9(&f);
    open_store(&f);
    check_value(&f, "k", "1");
    fixture_release(&f);
}

/* Whoever wrote such a manifest was wrong; what the segment has is there all the same. */
static void
a_segment_that_waits_for_its_seal_is_looked_into_whatever_the_manifest_says(void **state)
{
    (void)state;
    struct fixture f;
    leave_waiting_for_the_seal(&f);
    assert_status(&f, OK, store_save_manifest(f.store, true, &f.error));
    kill_9(&f);
    open_store(&f);
    check_value(&f, "k", "1");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_segment_is_sealed_with_its_exact_figures),
        cmocka_unit_test(what_is_filled_while_others_are_sealed_waits_for_the_next_call),
        cmocka_unit_test(a_manifest_never_names_a_sealed_segment_without_its_figures),
        cmocka_unit_test(sealing_that_fails_at_any_call_is_made_up_for),
        cmocka_unit_test(a_segment_is_sealed_on_a_full_disk),
        cmocka_unit_test(a_sealed_segment_never_changes),
        cmocka_unit_test(a_segment_that_waits_for_its_seal_is_not_vouched_for),
        cmocka_unit_test(
            a_segment_that_waits_for_its_seal_is_looked_into_whatever_the_manifest_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
