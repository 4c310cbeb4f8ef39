/* SPDX-License-Identifier: MIT
 * keydir_load_test.c: filling at open, whatever the estimate. */
#include <pthread.h>

#include "support/keydir_fixture.h"

struct filling {
    struct fixture *f;
    struct keydir_load_entry *entries; /* by ascending hash */
    size_t count;
    uint32_t first, step; /* the shards to fill */
    bool failed;
};

static int compare_entries(const void *a, const void *b)
{
    const struct keydir_load_entry *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static size_t first_of_shard(const struct filling *filling, uint64_t shard, uint64_t shards)
{
    size_t i = 0, end = filling->count;
    if (shards == 1)
        return shard == 0 ? 0 : filling->count;
    while (i < end) {
        size_t middle = i + (end - i) / 2;
        if (filling->entries[middle].hash >> (64 - __builtin_ctzll(shards)) < shard)
            i = middle + 1;
        else
            end = middle;
    }
    return i;
}

static void *fill_shards(void *context)
{
    struct filling *filling = context;
    uint32_t shards = keydir_load_shards(filling->f->keydir);
    for (uint32_t i = filling->first; i < shards && !filling->failed; i += filling->step) {
        size_t from = first_of_shard(filling, i, shards);
        size_t to = first_of_shard(filling, i + 1ull, shards);
        if (to > from || i % 3 == 0) /* shards without entries may be left out */
            filling->failed = keydir_load_shard(filling->f->keydir, i, filling->entries + from,
                                                to - from, NULL) != BITCASK_OK;
    }
    return NULL;
}

static void set_entries(struct fixture *f, struct filling *filling)
{
    *filling = (struct filling){.f = f, .count = f->key_count, .step = 1};
    filling->entries = calloc(f->key_count, sizeof *filling->entries);
    for (uint32_t k = 0; k < f->key_count; k++) {
        f->places[k] = place_of(k, 0);
        filling->entries[k] = (struct keydir_load_entry){f->hashes[k], f->places[k]};
    }
    f->live = f->key_count;
    qsort(filling->entries, filling->count, sizeof *filling->entries, compare_entries);
}

static struct fixture *loaded(uint32_t keys, uint64_t estimate, uint64_t mask, uint32_t max_buckets)
{
    struct fixture *f = fixture_new(keys, mask, max_buckets);
    struct filling filling;
    set_entries(f, &filling);
    assert_int_equal(keydir_load_begin(f->keydir, estimate, NULL), BITCASK_OK);
    fill_shards(&filling);
    assert_false(filling.failed);
    assert_int_equal(keydir_load_end(f->keydir, NULL), BITCASK_OK);
    free(filling.entries);
    check_all(f);
    check_bytes(f);
    return f;
}

static void change_everything(struct fixture *f)
{
    for (uint32_t k = 0; k < f->key_count; k += 2)
        remove_key(f, k);
    for (uint32_t k = 1; k < f->key_count; k += 2)
        replace_key(f, k, k % 4 == 1);
    check_all(f);
    for (uint32_t k = 0; k < f->key_count; k += 2)
        insert_key(f, k);
    check_all(f);
}

static void exact_estimate_takes_less_than_9_and_a_half_bytes_a_key(void **state)
{
    (void)state;
    const uint32_t counts[] = {20000, 33333, 100000, 150001};
    for (size_t i = 0; i < 4; i++) {
        struct fixture *f = loaded(counts[i], counts[i], UINT64_MAX, 0);
        struct keydir_shape shape = shape_of(f);
        print_message("%u keys: %.2f bytes each\n", counts[i],
                      (double)keydir_bytes(f->keydir) / counts[i]);
        assert_true(keydir_bytes(f->keydir) < 9.5 * counts[i]);
        assert_int_equal(shape.stashed, 0);
        assert_true(shape.tag_bits_min >= 16);
        change_everything(f);
        fixture_free_all(f);
    }
}

static void estimate_too_small_is_mended_without_tagging_anew(void **state)
{
    (void)state;
    const uint64_t estimates[] = {0, 1, 1000, 50000, 90000};
    for (size_t i = 0; i < 5; i++) {
        struct fixture *f = loaded(100000, estimates[i], UINT64_MAX, 0);
        struct keydir_shape shape = shape_of(f);
        assert_true(keydir_bytes(f->keydir) < 22.0 * f->key_count);
        assert_int_equal(shape.stashed, 0);
        assert_true(shape.tag_bits_min >= 16); /* from 1 shard to 64 would take 6 bits */
        change_everything(f);
        fixture_free_all(f);
    }
}

static void estimate_too_large_is_right(void **state)
{
    (void)state;
    struct fixture *f = loaded(1000, 100000, UINT64_MAX, 0);
    change_everything(f);
    fixture_free_all(f);
}

static void tiny_store_is_one_small_shard(void **state)
{
    (void)state;
    struct fixture *f = loaded(1, 1, UINT64_MAX, 0);
    assert_int_equal(shape_of(f).shards, 1);
    assert_true(keydir_bytes(f->keydir) <= 16384);
    fixture_free_all(f);
    f = fixture_new(1, UINT64_MAX, 0);
    assert_int_equal(keydir_load_begin(f->keydir, 0, NULL), BITCASK_OK);
    assert_int_equal(keydir_load_end(f->keydir, NULL), BITCASK_OK);
    assert_true(keydir_bytes(f->keydir) <= 16384);
    insert_key(f, 0);
    check_all(f);
    fixture_free_all(f);
}

static void small_shards_are_filled_too(void **state)
{
    (void)state;
    for (uint32_t most = 1; most < 6; most++) {
        struct fixture *f = loaded(5000, 5000, UINT64_MAX, most);
        change_everything(f);
        fixture_free_all(f);
    }
}

static void equal_hashes_are_kept(void **state)
{
    (void)state;
    struct fixture *f = loaded(500, 500, 0, 4);
    change_everything(f);
    fixture_free_all(f);
    f = loaded(2000, 10, UINT64_C(0xfff), 4);
    change_everything(f);
    fixture_free_all(f);
}

static void threads_fill_different_shards(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct fixture *f = fixture_new(100000, UINT64_MAX, 64);
    struct filling filling, fillings[THREADS];
    pthread_t threads[THREADS];
    set_entries(f, &filling);
    assert_int_equal(keydir_load_begin(f->keydir, 80000, NULL), BITCASK_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        fillings[i] = filling;
        fillings[i].first = i;
        fillings[i].step = THREADS;
        assert_int_equal(pthread_create(&threads[i], NULL, fill_shards, &fillings[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(fillings[i].failed);
    }
    assert_int_equal(keydir_load_end(f->keydir, NULL), BITCASK_OK);
    free(filling.entries);
    check_all(f);
    check_bytes(f);
    fixture_free_all(f);
}

static void failing_allocation_fails_the_load_cleanly(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct fixture *f = fixture_new(300, UINT64_MAX, 2);
        struct filling filling;
        set_entries(f, &filling);
        f->fail_from = f->allocations + n;
        f->fail_count = 1;
        bool loaded_all = keydir_load_begin(f->keydir, 100, NULL) == BITCASK_OK;
        if (!loaded_all) { /* nothing has changed */
            for (uint32_t k = 0; k < f->key_count; k++)
                f->places[k] = (struct keydir_place){0, 0};
            f->live = 0;
            check_all(f);
        } else {
            fill_shards(&filling);
            loaded_all = !filling.failed && keydir_load_end(f->keydir, NULL) == BITCASK_OK;
        }
        if (loaded_all)
            check_all(f);
        bool past_the_end = f->allocations < f->fail_from;
        free(filling.entries);
        fixture_free_all(f);
        if (past_the_end)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_estimate_takes_less_than_9_and_a_half_bytes_a_key),
        cmocka_unit_test(estimate_too_small_is_mended_without_tagging_anew),
        cmocka_unit_test(estimate_too_large_is_right),
        cmocka_unit_test(tiny_store_is_one_small_shard),
        cmocka_unit_test(small_shards_are_filled_too),
        cmocka_unit_test(equal_hashes_are_kept),
        cmocka_unit_test(threads_fill_different_shards),
        cmocka_unit_test(failing_allocation_fails_the_load_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
