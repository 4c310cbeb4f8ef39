/* SPDX-License-Identifier: MIT
 * keydir_model_test.c: one thread, the keydir against a plain array: random operations, splits,
 * collisions, reservations, churn, and allocations that fail. */
#include "support/keydir_fixture.h"

/* Masks that force keys together; see keydir.h for what the bits are for. */
#define ANY UINT64_MAX
#define SAME_TAG UINT64_C(0x0000000000ffffff)         /* one tag, any bucket */
#define SAME_BUCKET UINT64_C(0xffffffffff000000)      /* one home bucket, any tag */
#define SAME_BUCKET_PAIR UINT64_C(0xffe07fffff000000) /* and, at tag depth 0, one alternate */
#define SAME_TOP UINT64_C(0x00000fffffffffff)         /* no split parts them */

/* ---- Random operations ---- */

static void run_random_on(struct fixture *f, uint64_t seed, unsigned operations,
                          unsigned check_every)
{
    uint32_t key_count = f->key_count;
    print_message("seed %lu\n", (unsigned long)seed);
    for (unsigned i = 1; i <= operations; i++) {
        uint32_t key = (uint32_t)(random64(&seed) % key_count);
        unsigned what = random64(&seed) % 100;
        if (!is_live(f, key) && what < 70)
            insert_key(f, key);
        else if (is_live(f, key) && what < 35)
            remove_key(f, key);
        else if (is_live(f, key))
            replace_key(f, key, what % 2);
        if (what == 99)
            keydir_retag(f->keydir, 1);
        if (i % check_every == 0)
            check_all(f);
    }
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void run_random(uint64_t mask, uint32_t key_count, uint32_t max_buckets, uint64_t seed,
                       unsigned operations, unsigned check_every)
{
    run_random_on(fixture_new(key_count, mask, max_buckets), seed, operations, check_every);
}

static void random_operations_in_slabs(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(50000, ANY, 8);
    fixture_into_slabs(f);
    run_random_on(f, 7, 300000, 100000);
}

static void random_operations_in_small_shards(void **state)
{
    (void)state;
    run_random(ANY, 50000, 4, 1, 300000, 100000);
}

static void random_operations_in_shards_of_one_bucket(void **state)
{
    (void)state;
    run_random(ANY, 5000, 1, 2, 50000, 10000);
}

static void random_operations_in_full_sized_shards(void **state)
{
    (void)state;
    run_random(ANY, 60000, 0, 3, 300000, 100000);
}

static void random_operations_with_one_tag(void **state)
{
    (void)state;
    run_random(SAME_TAG, 3000, 4, 4, 20000, 5000);
}

static void random_operations_with_one_home_bucket(void **state)
{
    (void)state;
    run_random(SAME_BUCKET, 10000, 16, 5, 50000, 10000);
}

static void random_operations_with_one_pair_of_buckets(void **state)
{
    (void)state;
    run_random(SAME_BUCKET_PAIR, 5000, 8, 6, 30000, 10000);
}

static void random_operations_with_equal_top_bits(void **state)
{
    (void)state;
    run_random(SAME_TOP, 2000, 4, 7, 10000, 2000);
}

static void random_operations_with_equal_hashes(void **state)
{
    (void)state;
    run_random(0, 300, 4, 8, 5000, 500);
    run_random(0, 300, 0, 9, 5000, 500);
}

/* ---- Growth ---- */

static void every_entry_survives_growth(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(100000, ANY, 8);
    for (uint32_t k = 0; k < f->key_count; k++) {
        insert_key(f, k);
        if (k % 20000 == 0)
            check_all(f);
    }
    check_all(f);
    struct keydir_shape shape = shape_of(f);
    assert_true(shape.shards > 1000);
    assert_true(shape.load > 0.45 && shape.load < 1.0);
    assert_true(shape.tag_bits_min >= 10);
    fixture_free_all(f);
}

static void equal_hashes_go_to_the_stash_and_split_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1000, 0, 4);
    insert_keys(f, 0, f->key_count);
    struct keydir_shape shape = shape_of(f);
    assert_int_equal(shape.shards, 1);
    assert_true(shape.stashed >= 1000 - 16);
    check_all(f);
    for (uint32_t k = 0; k < f->key_count; k++)
        remove_key(f, k);
    uint64_t bytes = keydir_bytes(f->keydir);
    insert_keys(f, 0, f->key_count); /* the stash's holes are used again */
    assert_int_equal(keydir_bytes(f->keydir), bytes);
    check_all(f);
    fixture_free_all(f);
}

static void empty_keydir_is_one_shard(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1, ANY, 0);
    struct keydir_shape shape = shape_of(f);
    assert_int_equal(shape.shards, 1);
    assert_int_equal(shape.buckets_per_shard, 256);
    assert_int_equal(shape.tag_bits_min, 17);
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void expected_keys_are_laid_out_for(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(100000, ANY, 0);
    struct keydir_options options;
    keydir_free(f->keydir);
    fixture_options(f, 0, &options);
    options.expected_keys = f->key_count;
    assert_int_equal(keydir_new(&f->os, &f->epoch, &options, &f->keydir, NULL), BITCASK_OK);
    uint64_t bytes = keydir_bytes(f->keydir);
    insert_keys(f, 0, f->key_count);
    assert_true(keydir_bytes(f->keydir) < bytes + bytes / 20);
    assert_true(bytes < 9.5 * f->key_count);
    check_all(f);
    fixture_free_all(f);
}

static void growth_averages_less_than_14_bytes_a_key(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(400000, ANY, 0);
    double sum = 0;
    unsigned samples = 0;
    for (uint32_t k = 0; k < f->key_count; k++) {
        insert_key(f, k);
        if (k >= 100000 && k % 1000 == 0) {
            sum += (double)keydir_bytes(f->keydir) / (k + 1);
            samples++;
        }
    }
    print_message("%.2f bytes a key\n", sum / samples);
    assert_true(sum / samples < 14);
    fixture_free_all(f);
}

static void churn_at_constant_size_takes_no_more_memory(void **state)
{
    (void)state;
    enum { LIVE = 20000, ROUNDS = 1000000 };
    struct fixture *f = fixture_new(2 * LIVE, ANY, 0);
    insert_keys(f, 0, LIVE); /* load 0.61: far from any split */
    uint64_t bytes = keydir_bytes(f->keydir), seed = 10;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t out = (uint32_t)(random64(&seed) % f->key_count);
        uint32_t in = (uint32_t)(random64(&seed) % f->key_count);
        if (!is_live(f, out) || is_live(f, in))
            continue;
        remove_key(f, out);
        insert_key(f, in);
    }
    assert_int_equal(keydir_bytes(f->keydir), bytes);
    assert_int_equal(shape_of(f).stashed, 0);
    check_all(f);
    fixture_free_all(f);
}

/* ---- Conditions ---- */

static void change_of_another_place_is_refused(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(2, ANY, 4);
    insert_key(f, 0);
    struct keydir_place wrong = place_of(0, 7), to = place_of(0, 8);
    keydir_movers_begin(f->keydir);
    assert_false(keydir_replace(f->keydir, f->hashes[0], wrong, to));
    assert_false(keydir_move(f->keydir, f->hashes[0], wrong, to));
    assert_false(keydir_remove(f->keydir, f->hashes[0], wrong));
    assert_false(keydir_move(f->keydir, f->hashes[1], f->places[0], to));
    keydir_movers_end(f->keydir);
    check_all(f);
    fixture_free_all(f);
}

static void extreme_places_are_kept(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1, ANY, 4);
    const struct keydir_place places[] = {{1, 0}, {1, 1}, {16383, UINT32_MAX}, {1, 128}};
    for (size_t i = 0; i < 4; i++) {
        struct keydir_place found = {0, 0};
        assert_int_equal(keydir_reserve(f->keydir, 0, NULL), BITCASK_OK);
        keydir_insert(f->keydir, 0, places[i]);
        assert_int_equal(probe_key(f->keydir, 0, places[i].offset, &found), 1);
        assert_true(place_equal(found, places[i]));
        assert_true(keydir_remove(f->keydir, 0, places[i]));
    }
    fixture_free_all(f);
}

/* A probe has looked at its home bucket; then the writer moves, splits, tags anew. */
static void probe_begun_before_a_change_finds_its_key(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(3000, UINT64_MAX, 4);
    struct keydir_probe *probes = calloc(f->key_count, sizeof *probes);
    uint64_t seed = 13;
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t changed = (uint32_t)(random64(&seed) % (i < f->key_count ? i + 1 : f->key_count));
        struct epoch_guard guard = epoch_enter(&f->epoch);
        uint32_t step = i < 200 ? 1 : 7; /* all keys at first, samples of many */
        for (uint32_t k = i % step; k < f->key_count; k += step)
            if (is_live(f, k))
                keydir_probe_start(f->keydir, f->hashes[k], &probes[k]);
        if (is_live(f, changed))
            remove_key(f, changed);
        else
            insert_key(f, changed);
        for (uint32_t k = i % step; k < f->key_count; k += step) {
            struct keydir_place place = {0, 0};
            if (!is_live(f, k) || k == changed)
                continue;
            while (keydir_probe_next(&probes[k], &place) && place.offset != k) {
            }
            assert_int_equal(place.offset, k);
        }
        epoch_exit(guard);
        epoch_poll(&f->epoch);
    }
    free(probes);
    fixture_free_all(f);
}

/* ---- Reservations ---- */

static void reserve_all(struct fixture *f)
{
    for (uint32_t k = 0; k < f->key_count; k++)
        assert_int_equal(keydir_reserve(f->keydir, f->hashes[k], NULL), BITCASK_OK);
}

/* Insert every second one reserved, backwards, and give the others back; no memory for it. */
static void use_reservations(struct fixture *f)
{
    epoch_drain(&f->epoch);
    uint64_t bytes = keydir_bytes(f->keydir);
    f->fail_from = 1;
    f->fail_count = UINT64_MAX;
    for (uint32_t k = f->key_count; k-- > 0;) {
        if (k % 2 == 0) {
            keydir_unreserve(f->keydir, f->hashes[k]);
            continue;
        }
        f->places[k] = place_of(k, 0);
        keydir_insert(f->keydir, f->hashes[k], f->places[k]);
        f->live++;
    }
    f->fail_count = 0;
    assert_int_equal(keydir_bytes(f->keydir), bytes);
}

static void check_reservations(uint64_t mask, uint32_t key_count, uint32_t max_buckets)
{
    struct fixture *f = fixture_new(key_count, mask, max_buckets);
    reserve_all(f);
    check_all(f); /* nobody sees them */
    use_reservations(f);
    check_all(f);
    fixture_free_all(f);
}

static void reservations_are_unseen_and_hold(void **state)
{
    (void)state;
    check_reservations(ANY, 20000, 0);
    check_reservations(ANY, 20000, 16);
    check_reservations(SAME_TAG, 1000, 4);
    check_reservations(SAME_BUCKET, 2000, 16);
    check_reservations(SAME_TOP, 1000, 4);
    check_reservations(0, 300, 4);
    /* One bit to split by, and else a tag of 0: in its upper half the word of a reservation is 0.
     */
    check_reservations(UINT64_C(0x8000000000ffffff), 3000, 0);
}

/* Hashes that differ in the low 16 bits only are the same reservation in a slot. */
static void reservations_alike_in_a_slot_hold(void **state)
{
    (void)state;
    check_reservations(UINT64_C(0x000000000000ffff), 300, 4);
    check_reservations(UINT64_C(0x00000000000fffff), 1000, 4);
}

/* One batch from an empty keydir to far beyond the tag bits it begins with. */
static void reservations_survive_tagging_anew(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(60000, ANY, 2);
    reserve_all(f);
    struct keydir_shape shape = shape_of(f);
    assert_true(shape.directory_depth > 7 + 2);
    assert_true(shape.stashed < 60);
    use_reservations(f);
    check_all(f);
    fixture_free_all(f);
}

static void unreserving_restores(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1000, ANY, 8);
    insert_keys(f, 0, 500);
    for (int i = 0; i < 100; i++) { /* the last step of any split; from here on there is room */
        assert_int_equal(keydir_reserve(f->keydir, f->hashes[700], NULL), BITCASK_OK);
        keydir_unreserve(f->keydir, f->hashes[700]);
    }
    double load = shape_of(f).load;
    uint64_t bytes = keydir_bytes(f->keydir);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(keydir_reserve(f->keydir, f->hashes[700], NULL), BITCASK_OK);
        keydir_unreserve(f->keydir, f->hashes[700]);
    }
    assert_true(shape_of(f).load == load);
    assert_int_equal(keydir_bytes(f->keydir), bytes);
    check_all(f);
    fixture_free_all(f);
}

/* ---- Allocations that fail ---- */

static void fail_each_allocation(uint64_t mask, uint32_t key_count, uint32_t max_buckets)
{
    for (uint64_t n = 1;; n++) {
        struct fixture *f = fixture_new(key_count, mask, max_buckets);
        unsigned failures = 0;
        f->fail_from = f->allocations + n;
        f->fail_count = 3; /* a few, so that the ways around fail as well */
        for (uint32_t k = 0; k < key_count; k++) {
            while (keydir_reserve(f->keydir, f->hashes[k], NULL) != BITCASK_OK) {
                check_bytes(f);
                check_all(f);
                failures++;
            }
            f->places[k] = place_of(k, 0);
            keydir_insert(f->keydir, f->hashes[k], f->places[k]);
            f->live++;
        }
        check_all(f);
        check_bytes(f);
        assert_true(failures <= 3);
        bool past_the_end = f->allocations < f->fail_from;
        fixture_free_all(f);
        if (past_the_end)
            return;
    }
}

static void failing_allocations_lose_nothing(void **state)
{
    (void)state;
    fail_each_allocation(ANY, 500, 4);
    fail_each_allocation(ANY, 300, 1);
    fail_each_allocation(SAME_BUCKET, 200, 4);
    fail_each_allocation(0, 100, 4);
}

static void without_memory_the_room_there_is_gets_used(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4000, ANY, 0);
    f->fail_from = 1;
    f->fail_count = UINT64_MAX;
    uint32_t k = 0;
    bitcask_error error = {0};
    while (keydir_reserve(f->keydir, f->hashes[k], &error) == BITCASK_OK) {
        f->places[k] = place_of(k, 0);
        keydir_insert(f->keydir, f->hashes[k], f->places[k]);
        f->live++;
        k++;
    }
    assert_int_equal(error.status, BITCASK_NO_MEMORY);
    assert_true(k > 0.98 * 2048); /* beyond the load at which it would rather split */
    f->fail_count = 0;
    check_all(f);
    insert_keys(f, k, f->key_count);
    check_all(f);
    fixture_free_all(f);
}

static void opening_fails_cleanly_without_memory(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1, ANY, 4);
    struct keydir_options options;
    fixture_options(f, 4, &options);
    for (uint64_t n = 1;; n++) {
        struct keydir *keydir;
        f->fail_from = f->allocations + n;
        f->fail_count = 1;
        if (keydir_new(&f->os, &f->epoch, &options, &keydir, NULL) == BITCASK_OK) {
            keydir_free(keydir);
            assert_true(n > 2);
            break;
        }
        assert_null(keydir);
    }
    fixture_free_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_keydir_is_one_shard),
        cmocka_unit_test(change_of_another_place_is_refused),
        cmocka_unit_test(extreme_places_are_kept),
        cmocka_unit_test(random_operations_in_small_shards),
        cmocka_unit_test(random_operations_in_slabs),
        cmocka_unit_test(random_operations_in_shards_of_one_bucket),
        cmocka_unit_test(random_operations_in_full_sized_shards),
        cmocka_unit_test(random_operations_with_one_tag),
        cmocka_unit_test(random_operations_with_one_home_bucket),
        cmocka_unit_test(random_operations_with_one_pair_of_buckets),
        cmocka_unit_test(random_operations_with_equal_top_bits),
        cmocka_unit_test(random_operations_with_equal_hashes),
        cmocka_unit_test(every_entry_survives_growth),
        cmocka_unit_test(equal_hashes_go_to_the_stash_and_split_nothing),
        cmocka_unit_test(expected_keys_are_laid_out_for),
        cmocka_unit_test(growth_averages_less_than_14_bytes_a_key),
        cmocka_unit_test(churn_at_constant_size_takes_no_more_memory),
        cmocka_unit_test(probe_begun_before_a_change_finds_its_key),
        cmocka_unit_test(reservations_are_unseen_and_hold),
        cmocka_unit_test(reservations_alike_in_a_slot_hold),
        cmocka_unit_test(reservations_survive_tagging_anew),
        cmocka_unit_test(unreserving_restores),
        cmocka_unit_test(failing_allocations_lose_nothing),
        cmocka_unit_test(without_memory_the_room_there_is_gets_used),
        cmocka_unit_test(opening_fails_cleanly_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
