/* SPDX-License-Identifier: MIT
 * merge_judge_test.c: may another segment hold an older version of this key? Every case. */
#include "support/merge_fixture.h"

#include "engine/merge_judge.h"

/* A judge of all segments as they are now. */
struct bench {
    struct fixture *f;
    struct segment **all;
    size_t count;
    struct merge_judge judge;
};

static struct bench sit(struct fixture *f)
{
    struct bench bench = {.f = f};
    bench.all = segments_pin_all(&f->store->segments, &bench.count);
    assert_done(f, merge_judge_init(&bench.judge, f->store, bench.all, bench.count, &f->error));
    assert_done(f, merge_judge_find_strays(&bench.judge, f->store->segments.next_id, &f->error));
    return bench;
}

static void rise(struct bench *bench)
{
    merge_judge_release(&bench->judge);
    segments_unpin_all(bench->all, bench->count);
}

static bool may_hold(struct bench *bench, unsigned key, uint64_t version)
{
    char text[32];
    slice name = slice_of(text, key_text(text, key));
    return merge_judge_may_hold(&bench->judge, hash_key(&bench->f->store->secret, name), name,
                                version);
}

/* The same, once. */
static bool store_may_hold(struct fixture *f, unsigned key, uint64_t version)
{
    struct bench bench = sit(f);
    bool answer = may_hold(&bench, key, version);
    rise(&bench);
    return answer;
}

static uint64_t version_now(struct fixture *f)
{
    return f->store->writer.last_version;
}

static struct segment *segment_of(struct fixture *f, uint64_t id)
{
    size_t count;
    struct segment **all = segments_pin_all(&f->store->segments, &count), *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (all[i]->id == id)
            found = all[i];
    segments_unpin_all(all, count);
    assert_non_null(found);
    return found;
}

static void an_empty_store_holds_nothing(void **state)
{
    (void)state;
    struct fixture *f = begin();
    assert_false(store_may_hold(f, 1, VERSION_MAX));
    end(f);
}

static void a_sealed_segment_holds_the_keys_of_its_hint(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    uint64_t after = version_now(f);
    for (unsigned key = 0; key < 10; key++)
        assert_true(store_may_hold(f, key, after));
    for (unsigned key = 10; key < 200; key++)
        assert_false(store_may_hold(f, key, after));
    end(f);
}

static void what_is_newer_in_the_same_segment_hides_the_older(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 1);
    put(f, 2);
    uint64_t first = version_now(f);
    put(f, 1);
    uint64_t second = version_now(f);
    seal(f);
    assert_false(store_may_hold(f, 1, second - 1)); /* has an older one too, but below its own */
    assert_true(store_may_hold(f, 1, second));      /* the same version: keep on the safe side */
    assert_false(store_may_hold(f, 2, first - 1));
    assert_true(store_may_hold(f, 2, first));
    end(f);
}

static void its_own_tombstone_hides_the_older_too(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 1);
    drop(f, 1);
    seal(f);
    assert_false(store_may_hold(f, 1, version_now(f) + 1));
    end(f);
}

static void an_expired_record_is_no_tombstone_here(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_expiring(f, 1, now(f) - SECOND); /* a clock set back would show it */
    seal(f);
    assert_true(store_may_hold(f, 1, version_now(f) + 1));
    end(f);
}

static void a_segment_of_higher_versions_is_not_looked_at(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 2);
    uint64_t before = version_now(f);
    seal(f);
    put(f, 1);
    seal(f);
    atomic_store(&segment_of(f, 2)->has_hint, 0);
    assert_false(store_may_hold(f, 1, before));
    assert_true(store_may_hold(f, 1, version_now(f)));
    end(f);
}

static void an_active_segment_may_hold_any_key_from_its_lowest_version_on(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 1);
    uint64_t lowest = version_now(f);
    put(f, 2);
    assert_true(store_may_hold(f, 77, lowest));
    assert_false(store_may_hold(f, 77, lowest - 1));
    end(f);
}

static void a_sealing_segment_may_hold_any_key(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 1);
    uint64_t lowest = version_now(f);
    write_mutex_lock(&f->store->write_mutex);
    assert_done(f, log_rotate(f->store, &f->error));
    write_mutex_unlock(&f->store->write_mutex);
    assert_true(store_may_hold(f, 77, lowest));
    assert_false(store_may_hold(f, 77, lowest - 1));
    assert_done(f, seal_waiting(f->store, &f->error));
    assert_false(store_may_hold(f, 77, lowest));
    end(f);
}

static void an_empty_active_segment_holds_nothing(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 1);
    seal(f); /* the next one is active and empty */
    assert_false(store_may_hold(f, 77, VERSION_MAX));
    end(f);
}

static void a_segment_without_a_hint_may_hold_any_key(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    assert_false(store_may_hold(f, 77, version_now(f)));
    atomic_store(&segment_of(f, 1)->has_hint, 0);
    assert_true(store_may_hold(f, 77, version_now(f)));
    atomic_store(&segment_of(f, 1)->has_hint, 1);
    remove_file(f, "000000001.hint");
    assert_true(store_may_hold(f, 77, version_now(f)));
    end(f);
}

static void a_damaged_hint_never_says_that_a_key_is_absent(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    static uint8_t hint[4096];
    int64_t size = os_mem_read_file(f->os, "store/000000001.hint", hint, sizeof hint);
    assert_true(size > HINT_HEADER_SIZE + HINT_ENTRY_SIZE);
    for (int64_t at = 0; at < size; at += 7) {
        hint[at] ^= 4;
        os_mem_write_file(f->os, "store/000000001.hint", hint, (size_t)size);
        hint[at] ^= 4;
        assert_true(store_may_hold(f, 3, version_now(f)));
    }
    end(f);
}

static void a_damaged_segment_may_hold_any_key(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    atomic_store(&segment_of(f, 1)->damaged, 1);
    assert_true(store_may_hold(f, 77, version_now(f)));
    end(f);
}

static void a_missing_segment_may_hold_any_key(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    uint64_t lowest = atomic_load(&atomic_load(&f->store->writer.active)->version_min);
    seal(f);
    put(f, 20);
    assert_done(f, store_close(f->store, &f->error));
    remove_file(f, "000000001.data");
    remove_file(f, "000000001.hint");
    open_again(f);
    assert_int_equal(atomic_load(&segment_of(f, 1)->state), BITCASK_SEGMENT_MISSING);
    assert_true(store_may_hold(f, 77, lowest));
    assert_false(store_may_hold(f, 77, lowest - 1)); /* the manifest tells its versions */
    end(f);
}

static void an_input_of_the_job_does_not_count(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 1);
    seal(f);
    put(f, 2);
    seal(f);
    struct bench bench = sit(f);
    assert_true(may_hold(&bench, 1, version_now(f)));
    merge_judge_add_input(&bench.judge, 1);
    assert_false(may_hold(&bench, 1, version_now(f)));
    assert_true(may_hold(&bench, 2, version_now(f)));
    merge_judge_add_input(&bench.judge, 2);
    assert_false(may_hold(&bench, 2, version_now(f)));
    rise(&bench);
    end(f);
}

static void what_is_written_later_does_not_count(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 2);
    seal(f);
    uint64_t before = version_now(f);
    struct bench bench = sit(f); /* an empty active segment stands behind */
    put(f, 1);
    seal(f);
    put(f, 1);
    assert_false(may_hold(&bench, 1, before));
    rise(&bench);
    end(f);
}

static void a_file_that_nobody_names_may_hold_anything(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 3);
    seal(f);
    put_range(f, 3, 6);
    seal(f);
    put(f, 6);
    remove_file(f, "000000001.data");
    uint64_t next_id = f->store->segments.next_id;
    assert_true(next_id > 3);
    assert_false(store_may_hold(f, 77, segment_of(f, 1)->version_min));
    struct segment *first = segment_of(f, 1);
    segments_withdraw(&f->store->segments, first); /* as if its unlink had failed */
    os_mem_write_file(f->os, "store/000000001.data", "x", 1);
    assert_true(store_may_hold(f, 77, 1));
    remove_file(f, "000000001.data");
    assert_false(store_may_hold(f, 77, 1));
    os_mem_write_file(f->os, "store/000000001.hint", "x", 1); /* hints do not count */
    assert_false(store_may_hold(f, 77, 1));
    segments_publish(&f->store->segments, first);
    end(f);
}

/* ---- Counting ------------------------------------------------------------------------------ */

static struct merge_judge_tombstones count(struct fixture *f, uint64_t id)
{
    struct bench bench = sit(f);
    struct merge_judge_tombstones tombstones;
    merge_judge_count(&bench.judge, id, &tombstones);
    rise(&bench);
    return tombstones;
}

static void tombstones_are_needed_for_what_they_hide_elsewhere(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    seal(f);
    put_range(f, 10, 15);
    drop_range(f, 7, 12); /* 7, 8, 9 hide records of segment 1; 10, 11 of their own */
    seal(f);
    struct merge_judge_tombstones tombstones = count(f, 2);
    assert_int_equal(tombstones.needed, 3);
    assert_int_equal(tombstones.free, 2);
    assert_int_equal(tombstones.needed_bytes, 3 * record_size(RECORD_TOMBSTONE, 9, 0));
    tombstones = count(f, 1);
    assert_int_equal(tombstones.needed + tombstones.free, 0);
    end(f);
}

static void without_a_hint_all_tombstones_are_needed(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    drop_range(f, 0, 10);
    seal(f);
    assert_int_equal(count(f, 1).free, 10);
    atomic_store(&segment_of(f, 1)->has_hint, 0);
    struct merge_judge_tombstones tombstones = count(f, 1);
    assert_int_equal(tombstones.needed, 10);
    assert_int_equal(tombstones.free, 0);
    assert_int_equal(tombstones.needed_bytes, segment_dead_bytes(segment_of(f, 1)));
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_holds_nothing),
        cmocka_unit_test(a_sealed_segment_holds_the_keys_of_its_hint),
        cmocka_unit_test(what_is_newer_in_the_same_segment_hides_the_older),
        cmocka_unit_test(its_own_tombstone_hides_the_older_too),
        cmocka_unit_test(an_expired_record_is_no_tombstone_here),
        cmocka_unit_test(a_segment_of_higher_versions_is_not_looked_at),
        cmocka_unit_test(an_active_segment_may_hold_any_key_from_its_lowest_version_on),
        cmocka_unit_test(a_sealing_segment_may_hold_any_key),
        cmocka_unit_test(an_empty_active_segment_holds_nothing),
        cmocka_unit_test(a_segment_without_a_hint_may_hold_any_key),
        cmocka_unit_test(a_damaged_hint_never_says_that_a_key_is_absent),
        cmocka_unit_test(a_damaged_segment_may_hold_any_key),
        cmocka_unit_test(a_missing_segment_may_hold_any_key),
        cmocka_unit_test(an_input_of_the_job_does_not_count),
        cmocka_unit_test(what_is_written_later_does_not_count),
        cmocka_unit_test(a_file_that_nobody_names_may_hold_anything),
        cmocka_unit_test(tombstones_are_needed_for_what_they_hide_elsewhere),
        cmocka_unit_test(without_a_hint_all_tombstones_are_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
