/* SPDX-License-Identifier: MIT
 * keydir_retag_test.c: tags that growth has used up are made anew from the records. */
#include "support/keydir_fixture.h"

/* Insert until some shard has this many tag bits left; shards of 2 buckets, so that it is soon. */
static struct fixture *grown_to_tag_bits(unsigned bits, uint32_t *next)
{
    struct fixture *f = fixture_new(100000, UINT64_MAX, 2);
    uint32_t k = 0;
    do {
        insert_key(f, k++);
    } while (shape_of(f).tag_bits_min > bits);
    *next = k;
    return f;
}

static void growth_tags_anew_by_itself(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(20000, UINT64_MAX, 2);
    insert_keys(f, 0, f->key_count); /* 128-fold growth and more: from 16 to 20000 */
    struct keydir_shape shape = shape_of(f);
    assert_true(shape.directory_depth > 7);
    assert_true(shape.tag_bits_min >= 10);
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void background_retag_makes_tags_whole(void **state)
{
    (void)state;
    uint32_t next;
    struct fixture *f = grown_to_tag_bits(11, &next);
    assert_true(keydir_wants_retag(f->keydir));
    while (keydir_retag(f->keydir, 1))
        check_all(f);
    assert_false(keydir_wants_retag(f->keydir));
    assert_true(shape_of(f).tag_bits_min > 11);
    check_all(f);
    insert_keys(f, next, next + 2000);
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void retag_budget_bounds_the_work(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(60000, UINT64_MAX, 4);
    uint32_t k = 0;
    while (atomic_load(&f->keydir->short_tags) < 20)
        insert_key(f, k++);
    uint32_t before = f->keydir->short_tags;
    assert_true(keydir_retag(f->keydir, 1));
    assert_int_equal(f->keydir->short_tags, before - 1);
    assert_false(keydir_retag(f->keydir, UINT64_MAX));
    assert_int_equal(f->keydir->short_tags, 0);
    check_all(f);
    fixture_free_all(f);
}

static void fresh_keydir_wants_no_retag(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(100, UINT64_MAX, 4);
    insert_keys(f, 0, 100);
    assert_false(keydir_wants_retag(f->keydir));
    assert_false(keydir_retag(f->keydir, UINT64_MAX));
    fixture_free_all(f);
}

static void untrusted_records_stay_reachable(void **state)
{
    (void)state;
    uint32_t next;
    struct fixture *f = grown_to_tag_bits(11, &next);
    for (uint32_t k = 0; k < f->key_count; k += 3)
        f->untrusted[k] = true;
    assert_false(keydir_retag(f->keydir, UINT64_MAX));
    check_all(f);
    assert_true(shape_of(f).stashed > 0);
    for (uint32_t k = 0; k < next; k += 3) {
        replace_key(f, k, false);
        replace_key(f, k, true);
    }
    check_all(f);
    for (uint32_t k = 0; k < next; k += 6)
        remove_key(f, k);
    check_all(f);
    insert_keys(f, next, f->key_count / 4); /* split and tagged anew again and again */
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void record_trusted_again_leaves_the_stash(void **state)
{
    (void)state;
    uint32_t next;
    struct fixture *f = grown_to_tag_bits(11, &next);
    memset(f->untrusted, true, next);
    assert_false(keydir_retag(f->keydir, UINT64_MAX));
    uint64_t stashed = shape_of(f).stashed;
    memset(f->untrusted, false, next);
    insert_keys(f, next, f->key_count);
    while (keydir_retag(f->keydir, UINT64_MAX)) {
    }
    assert_true(shape_of(f).stashed < stashed);
    check_all(f);
    fixture_free_all(f);
}

/* The record at a place has the key of another place's: its hash must not be believed. */
static void hash_that_contradicts_its_slot_is_not_believed(void **state)
{
    (void)state;
    uint32_t next;
    struct fixture *f = grown_to_tag_bits(11, &next);
    uint64_t *real = f->hashes, *lies = malloc(f->key_count * sizeof *lies);
    for (uint32_t k = 0; k < f->key_count; k++)
        lies[k] = k % 3 == 0   ? mix64(real[k])           /* another shard */
                  : k % 3 == 1 ? real[k] ^ mix64(k) >> 40 /* another bucket */
                               : real[k];
    f->hashes = lies;
    assert_false(keydir_retag(f->keydir, UINT64_MAX));
    f->hashes = real;
    check_all(f);
    free(lies);
    fixture_free_all(f);
}

/* Entries of which no further bit is known must not be split: nobody knows where to. */
static void entry_without_known_bits_is_never_lost(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(60000, UINT64_MAX, 1);
    for (uint32_t k = 1; k < f->key_count; k += 2)
        f->hashes[k] >>= 6; /* half of all keys in one 64th: it is split six times more often */
    for (uint32_t k = 1; k < 400; k += 20)
        f->untrusted[k] = true;
    insert_keys(f, 0, f->key_count);
    assert_true(shape_of(f).directory_depth > 17); /* what is known at first */
    check_all(f);
    fixture_free_all(f);
}

static void failing_allocations_leave_the_old_tags(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        uint32_t next;
        struct fixture *f = grown_to_tag_bits(11, &next);
        for (uint32_t k = 0; k < next; k += 50)
            f->untrusted[k] = true;
        uint64_t bytes = keydir_bytes(f->keydir);
        f->fail_from = f->allocations + n;
        f->fail_count = 1;
        uint32_t before = f->keydir->short_tags;
        keydir_retag(f->keydir, 1);
        bool failed = f->allocations >= f->fail_from;
        if (failed) {
            assert_int_equal(f->keydir->short_tags, before);
            assert_int_equal(keydir_bytes(f->keydir), bytes);
        }
        check_all(f);
        check_bytes(f);
        fixture_free_all(f);
        if (!failed)
            break;
    }
}

/* hash_of that lets a merge move the very record it is asked for, before or after reading it. */
static bool move_and_hash(void *context, struct keydir_place place, uint64_t *hash)
{
    struct fixture *f = context;
    bool after = place.offset % 2;
    bool trusted = after && fixture_hash_of(context, place, hash);
    bool moved_already = place.segment_slot != 1;
    if (!moved_already)
        replace_key(f, place.offset, true);
    /* A record that is gone from where it was cannot be read there. */
    return after ? trusted : moved_already && fixture_hash_of(context, place, hash);
}

static void move_during_retag_is_kept(void **state)
{
    (void)state;
    uint32_t next;
    struct fixture *f = grown_to_tag_bits(11, &next);
    f->keydir->options.hash_of = move_and_hash;
    assert_false(keydir_retag(f->keydir, UINT64_MAX));
    assert_int_equal(shape_of(f).stashed, 0); /* read again where they are now */
    check_all(f);
    fixture_free_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_tags_anew_by_itself),
        cmocka_unit_test(background_retag_makes_tags_whole),
        cmocka_unit_test(retag_budget_bounds_the_work),
        cmocka_unit_test(fresh_keydir_wants_no_retag),
        cmocka_unit_test(untrusted_records_stay_reachable),
        cmocka_unit_test(record_trusted_again_leaves_the_stash),
        cmocka_unit_test(hash_that_contradicts_its_slot_is_not_believed),
        cmocka_unit_test(entry_without_known_bits_is_never_lost),
        cmocka_unit_test(failing_allocations_leave_the_old_tags),
        cmocka_unit_test(move_during_retag_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
