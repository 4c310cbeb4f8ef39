/* SPDX-License-Identifier: MIT
 * keydir_steps_test.c: splits in steps: what is done to a shard while it is being split. */
#include "support/keydir_fixture.h"

#include "engine/keydir_direct.h"

/* One shard of 256 buckets to begin with; a second one would take a split. */
enum { KEYS = 4000, SLOTS = 2048, STEPS = 67 };

static bool is_splitting(const struct fixture *f)
{
    return f->keydir->splitting != NULL;
}

/* Insert keys from `k` on until the split that this begins has taken `steps` steps. */
static uint32_t split_so_far(struct fixture *f, uint32_t k, uint32_t steps)
{
    while (!is_splitting(f) || f->keydir->steps.next < steps) {
        assert_true(k < f->key_count);
        insert_key(f, k++);
    }
    return k;
}

/* Steps without a change: each reservation takes one before it looks for room. */
static void finish_split(struct fixture *f, uint32_t spare_key)
{
    for (int i = 0; is_splitting(f) && i < STEPS; i++) {
        assert_int_equal(keydir_reserve(f->keydir, f->hashes[spare_key], NULL), BITCASK_OK);
        keydir_unreserve(f->keydir, f->hashes[spare_key]);
    }
    assert_false(is_splitting(f));
}

/* A keydir of one shard whose split is to begin with the next insertion; *next is its key. */
static struct fixture *about_to_split(uint32_t *next)
{
    struct fixture *f = fixture_new(KEYS, UINT64_MAX, 0);
    *next = f->keydir->split_at;
    insert_keys(f, 0, *next);
    assert_int_equal(shape_of(f).shards, 1);
    assert_false(is_splitting(f));
    return f;
}

static void expect_two_shards(struct fixture *f)
{
    assert_int_equal(shape_of(f).shards, 2);
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void an_undisturbed_split_is_shown_by_its_last_step(void **state)
{
    (void)state;
    uint32_t k;
    struct fixture *f = about_to_split(&k);
    split_so_far(f, k, 1);
    for (uint32_t step = 1; step < STEPS; step++) {
        assert_int_equal(f->keydir->steps.next, step);
        assert_int_equal(shape_of(f).shards, 1);
        assert_int_equal(keydir_reserve(f->keydir, f->hashes[KEYS - 1], NULL), BITCASK_OK);
        keydir_unreserve(f->keydir, f->hashes[KEYS - 1]);
    }
    assert_false(is_splitting(f));
    expect_two_shards(f);
}

/* What the writer and merges may do to an entry. */
static void change_one(struct fixture *f, uint32_t key, unsigned how, uint32_t *unused)
{
    if (how == 0) {
        replace_key(f, key, false);
    } else if (how == 1) {
        replace_key(f, key, true);
    } else if (how == 2) {
        remove_key(f, key);
    } else if (how == 3) {
        remove_key(f, key);
        insert_key(f, key);
    } else {
        remove_key(f, key);
        insert_key(f, (*unused)++);
    }
}

/* At every step, before it and behind it, some entries change. */
static void changes_at_any_step_are_in_the_halves(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 5; how++) {
        for (uint32_t at = 1; at < STEPS; at += how < 3 ? 1 : 9) {
            uint32_t k;
            struct fixture *f = about_to_split(&k);
            k = split_so_far(f, k, 1);
            while (f->keydir->steps.next < at) {
                assert_int_equal(keydir_reserve(f->keydir, f->hashes[KEYS - 1], NULL), BITCASK_OK);
                keydir_unreserve(f->keydir, f->hashes[KEYS - 1]);
            }
            for (uint32_t i = 0; i < 40 && is_splitting(f); i++)
                change_one(f, 7 + i * 48, how, &k);
            finish_split(f, KEYS - 1);
            expect_two_shards(f);
        }
    }
}

/* A reservation made while the shard is being split is one in a half afterwards. */
static void reservations_come_along(void **state)
{
    (void)state;
    uint32_t k;
    struct fixture *f = about_to_split(&k);
    k = split_so_far(f, k, 20);
    uint32_t reserved = k + 10;
    for (uint32_t i = k; i < reserved; i++)
        assert_int_equal(keydir_reserve(f->keydir, f->hashes[i], NULL), BITCASK_OK);
    finish_split(f, KEYS - 1);
    check_all(f);
    for (; k < reserved; k++) {
        f->places[k] = place_of(k, 0);
        keydir_insert(f->keydir, f->hashes[k], f->places[k]);
        f->live++;
    }
    expect_two_shards(f);
}

/* Nothing takes a free slot on the short way while steps are due. */
static void the_short_way_leaves_room_for_steps(void **state)
{
    (void)state;
    uint32_t k;
    struct fixture *f = about_to_split(&k);
    remove_key(f, 0);
    insert_key(f, 0); /* tells scans, so that the short way may insert again */
    k = split_so_far(f, k, 3);
    struct keydir_probe probe;
    struct keydir_spot spot;
    keydir_probe_start(f->keydir, f->hashes[k], &probe);
    uint32_t empty = keydir_empty(probe.home, probe.other);
    assert_false(keydir_direct_room(f->keydir, &probe, empty, &spot));
    finish_split(f, KEYS - 1);
    keydir_probe_start(f->keydir, f->hashes[k], &probe);
    empty = keydir_empty(probe.home, probe.other);
    assert_true(keydir_direct_room(f->keydir, &probe, empty, &spot));
    fixture_free_all(f);
}

/* All keys go to the shard that is being split: it fills up before the steps are done. */
static void a_shard_that_fills_up_is_split_at_once(void **state)
{
    (void)state;
    uint32_t k;
    struct fixture *f = about_to_split(&k);
    while (shape_of(f).shards == 1)
        insert_key(f, k++);
    assert_true(f->live <= SLOTS);
    expect_two_shards(f);
}

static void tagging_anew_drops_a_split_under_way(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(60000, UINT64_MAX, 32);
    uint32_t k = 0;
    while (!is_splitting(f) || shard_tag_bits(f->keydir->splitting) > KEYDIR_TAG_BITS_SHORT) {
        assert_true(k < f->key_count - 5000);
        insert_key(f, k++);
    }
    assert_false(keydir_retag(f->keydir, UINT64_MAX));
    assert_false(is_splitting(f));
    check_all(f);
    insert_keys(f, k, k + 5000);
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void closing_in_the_middle_leaves_nothing_behind(void **state)
{
    (void)state;
    for (uint32_t steps = 1; steps < STEPS; steps += 13) {
        uint32_t k;
        struct fixture *f = about_to_split(&k);
        split_so_far(f, k, 1);
        while (f->keydir->steps.next < steps)
            keydir_split_step(f->keydir);
        check_bytes(f);
        fixture_free_all(f);
    }
}

/* Whatever cannot be allocated, the split is dropped, and done another time. */
static void without_memory_for_a_half_nothing_is_lost(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 5; n++) {
        uint32_t k;
        struct fixture *f = about_to_split(&k);
        f->fail_from = f->allocations + n;
        f->fail_count = 1;
        while (shape_of(f).shards == 1)
            insert_key(f, k++);
        expect_two_shards(f);
    }
}

/* The limit counts both halves beside the shard; where they have no room, it is split at once. */
static void under_a_limit_memory_stays_below_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(60000, UINT64_MAX, 0);
    struct keydir_options options;
    keydir_free(f->keydir);
    fixture_options(f, 0, &options);
    options.max_bytes = 300 << 10;
    assert_int_equal(keydir_new(&f->os, &f->epoch, &options, &f->keydir, NULL), BITCASK_OK);
    uint32_t k = 0;
    bool in_steps = false;
    while (keydir_reserve(f->keydir, f->hashes[k], NULL) == BITCASK_OK) {
        f->places[k] = place_of(k, 0);
        keydir_insert(f->keydir, f->hashes[k], f->places[k]);
        f->live++;
        k++;
        in_steps |= is_splitting(f);
        assert_true(keydir_bytes(f->keydir) <= options.max_bytes);
    }
    assert_true(in_steps);
    assert_true(keydir_bytes(f->keydir) > options.max_bytes - 2 * 16448);
    check_all(f);
    fixture_free_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_undisturbed_split_is_shown_by_its_last_step),
        cmocka_unit_test(changes_at_any_step_are_in_the_halves),
        cmocka_unit_test(reservations_come_along),
        cmocka_unit_test(the_short_way_leaves_room_for_steps),
        cmocka_unit_test(a_shard_that_fills_up_is_split_at_once),
        cmocka_unit_test(tagging_anew_drops_a_split_under_way),
        cmocka_unit_test(closing_in_the_middle_leaves_nothing_behind),
        cmocka_unit_test(without_memory_for_a_half_nothing_is_lost),
        cmocka_unit_test(under_a_limit_memory_stays_below_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
