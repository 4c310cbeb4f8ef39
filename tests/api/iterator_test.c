/* SPDX-License-Identifier: MIT
 * iterator_test.c: each live key exactly once, whatever goes on meanwhile. */
#include "support/api_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { KEYS_MAX = 20000 };

/* How often each key PREFIXn was seen. */
struct tally {
    const char *prefix;
    uint8_t seen[KEYS_MAX];
    size_t total, others;
};

static void count_entry(struct tally *tally, bitcask_slice key)
{
    size_t prefix_size = strlen(tally->prefix);
    tally->total++;
    if (key.size <= prefix_size || memcmp(key.data, tally->prefix, prefix_size) != 0) {
        tally->others++;
        return;
    }
    char digits[16] = "";
    assert_true(key.size - prefix_size < sizeof digits);
    memcpy(digits, (const char *)key.data + prefix_size, key.size - prefix_size);
    long number = strtol(digits, NULL, 10);
    assert_in_range(number, 0, KEYS_MAX - 1);
    tally->seen[number]++;
}

static void assert_each_seen(const struct tally *tally, int count, int times)
{
    for (int i = 0; i < count; i++) {
        if (tally->seen[i] != times)
            fail_msg("%s%d was seen %d times", tally->prefix, i, tally->seen[i]);
    }
}

static bitcask_iterator *iterate(struct fixture *f, const char *prefix, int what)
{
    bitcask_iterator *iterator;
    assert_done(bitcask_iterator_new(f->db, NULL, str(prefix), what, &iterator, &error));
    return iterator;
}

static void tally_all(struct fixture *f, const char *prefix, struct tally *tally)
{
    bitcask_iterator *iterator = iterate(f, prefix, BITCASK_KEYS);
    bitcask_entry entry;
    bitcask_status status;
    while ((status = bitcask_iterator_next(iterator, &entry, &error)) == BITCASK_OK)
        count_entry(tally, entry.key);
    assert_int_equal(status, BITCASK_END);
    assert_status(END, bitcask_iterator_next(iterator, &entry, &error)); /* and again */
    bitcask_iterator_free(iterator);
}

/* ---- Alone ----------------------------------------------------------------------------------- */

static void an_empty_store_has_no_entries(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_iterator *iterator = iterate(&f, "", BITCASK_VALUES);
    bitcask_entry entry;
    assert_status(END, bitcask_iterator_next(iterator, &entry, &error));
    assert_true(bitcask_iterator_cursor(iterator) == UINT64_MAX);
    bitcask_iterator_free(iterator);
    fixture_end(&f);
}

static void entries_have_key_value_and_meta(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    uint64_t version = put(&f, "city", "Utrecht");
    bitcask_entry entry;
    bitcask_iterator *iterator = iterate(&f, "", BITCASK_VALUES);
    assert_done(bitcask_iterator_next(iterator, &entry, &error));
    assert_int_equal(entry.key.size, 4);
    assert_memory_equal(entry.key.data, "city", 4);
    assert_int_equal(entry.value.size, 7);
    assert_memory_equal(entry.value.data, "Utrecht", 7);
    assert_int_equal(entry.meta.version, version);
    assert_int_equal(entry.meta.value_size, 7);
    assert_int_equal(entry.meta.expires_us, 0);
    bitcask_iterator_free(iterator);

    iterator = iterate(&f, "", BITCASK_KEYS);
    assert_done(bitcask_iterator_next(iterator, &entry, &error));
    assert_int_equal(entry.value.size, 0);
    assert_int_equal(entry.meta.value_size, 7);
    bitcask_iterator_free(iterator);
    fixture_end(&f);
}

static void each_live_key_is_seen_once_over_many_segments(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    put_many(&f, "key", KEYS_MAX, 20);
    put_many(&f, "key", KEYS_MAX / 2, 20); /* overwritten */
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", KEYS_MAX - 1 - i);
        assert_done(delete_key(&f, key));
    }
    struct tally *tally = calloc(1, sizeof *tally);
    tally->prefix = "key";
    tally_all(&f, "", tally);
    assert_each_seen(tally, KEYS_MAX - 1000, 1);
    assert_int_equal(tally->total, KEYS_MAX - 1000);
    free(tally);
    fixture_end(&f);
}

static void a_prefix_selects(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    put_many(&f, "user:", 100, 8);
    put_many(&f, "users:", 50, 8);
    put(&f, "user", "shorter than the prefix");
    struct tally *tally = calloc(1, sizeof *tally);
    tally->prefix = "user:";
    tally_all(&f, "user:", tally);
    assert_each_seen(tally, 100, 1);
    assert_int_equal(tally->total, 100);
    free(tally);
    fixture_end(&f);
}

static void a_walk_goes_on_from_a_cursor_in_another_iterator(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct fixture f = fixture_in_memory();
    put_many(&f, "key", COUNT, 8);
    struct tally *tally = calloc(1, sizeof *tally);
    tally->prefix = "key";
    bitcask_iterator *iterator = iterate(&f, "", BITCASK_KEYS);
    bitcask_entry entry;
    uint64_t last = 0;
    for (int i = 0; i < COUNT / 2; i++) {
        assert_done(bitcask_iterator_next(iterator, &entry, &error));
        count_entry(tally, entry.key);
        assert_true(bitcask_iterator_cursor(iterator) >= last); /* it only moves on */
        last = bitcask_iterator_cursor(iterator);
    }
    assert_true(last > 0);
    bitcask_iterator_free(iterator);

    iterator = iterate(&f, "", BITCASK_KEYS);
    bitcask_iterator_seek_cursor(iterator, last);
    while (bitcask_iterator_next(iterator, &entry, &error) == BITCASK_OK)
        count_entry(tally, entry.key);
    for (int i = 0; i < COUNT; i++)
        assert_in_range(tally->seen[i], 1, 2); /* at least once; those of one batch twice */
    assert_true(tally->total < COUNT + 2100);

    bitcask_iterator_seek_cursor(iterator, UINT64_MAX);
    assert_status(END, bitcask_iterator_next(iterator, &entry, &error));
    bitcask_iterator_seek_cursor(iterator, 0);
    assert_done(bitcask_iterator_next(iterator, &entry, &error));
    bitcask_iterator_free(iterator);
    free(tally);
    fixture_end(&f);
}

static void each_batch_can_be_read_again_from_its_cursor(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    put_many(&f, "key", 5000, 10);
    bitcask_iterator *all = iterate(&f, "key", BITCASK_KEYS);
    bitcask_entry entry;
    size_t total = 0, of_batch = 0, batches = 0;
    uint64_t batch = 0;
    bool more = bitcask_iterator_next(all, &entry, &error) == BITCASK_OK;
    while (more) {
        batch = bitcask_iterator_batch_cursor(all);
        assert_true(batches == 0 || batch > 0);
        for (of_batch = 0; more && bitcask_iterator_batch_cursor(all) == batch; of_batch++)
            more = bitcask_iterator_next(all, &entry, &error) == BITCASK_OK;
        bitcask_iterator *again = iterate(&f, "key", BITCASK_KEYS);
        bitcask_iterator_seek_cursor(again, batch);
        size_t of_again = 0;
        while (bitcask_iterator_next(again, &entry, &error) == BITCASK_OK &&
               bitcask_iterator_batch_cursor(again) == batch)
            of_again++;
        bitcask_iterator_free(again);
        assert_int_equal(of_again, of_batch);
        total += of_batch;
        batches++;
    }
    assert_int_equal(total, 5000);
    assert_true(batches > 1);
    bitcask_iterator_free(all);
    fixture_end(&f);
}

static void an_iterator_at_rest_holds_back_its_batch_only(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    put_many(&f, "key", 200, 1000);
    bitcask_iterator *iterator = iterate(&f, "", BITCASK_VALUES);
    bitcask_entry entry;
    assert_done(bitcask_iterator_next(iterator, &entry, &error));
    char key[16] = "", value[16] = "";
    memcpy(key, entry.key.data, entry.key.size);
    put_many(&f, "key", 200, 1000);
    assert_true(merge_all(&f).inputs > 0);
    assert_true(stats_of(&f).pinned_segments > 0);
    memcpy(value, entry.value.data, entry.key.size); /* values begin with their key */
    assert_string_equal(value, key);
    bitcask_iterator_free(iterator);
    assert_int_equal(stats_of(&f).pinned_segments, 0);
    fixture_end(&f);
}

/* ---- Beside writers and merges --------------------------------------------------------------- */

enum { STABLE = 3000, ROUNDS = 20 };

struct shared {
    struct fixture f;
    _Atomic bool stop;
    _Atomic unsigned failures;
};

/* Overwrites what stays and adds and removes what does not. */
static void *write_on(void *argument)
{
    struct shared *shared = argument;
    char key[32], value[64];
    for (unsigned i = 0; !atomic_load(&shared->stop); i++) {
        snprintf(key, sizeof key, "stable%u", i * 7919 % STABLE);
        snprintf(value, sizeof value, "%s again", key);
        bitcask_status status =
            bitcask_put(shared->f.db, bitcask_str(key), bitcask_str(value), NULL, NULL, NULL);
        snprintf(key, sizeof key, "passing%u", i % 5000);
        if (status == BITCASK_OK && i / 5000 % 2 == 0)
            status =
                bitcask_put(shared->f.db, bitcask_str(key), bitcask_str(key), NULL, NULL, NULL);
        else if (status == BITCASK_OK)
            status = bitcask_delete(shared->f.db, bitcask_str(key), NULL, NULL, NULL);
        if (status < 0)
            atomic_fetch_add(&shared->failures, 1);
    }
    return NULL;
}

static void *merge_on(void *argument)
{
    struct shared *shared = argument;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.min_dead = 0.1;
    while (!atomic_load(&shared->stop)) {
        if (bitcask_merge(shared->f.db, &options, NULL, NULL) < 0)
            atomic_fetch_add(&shared->failures, 1);
    }
    return NULL;
}

/* Every value is its key's, before or after it was overwritten. */
static void assert_own_value(const bitcask_entry *entry)
{
    assert_true(entry->value.size >= entry->key.size);
    assert_memory_equal(entry->value.data, entry->key.data, entry->key.size);
}

static void keys_that_stay_are_seen_once_beside_writers_and_merges(void **state)
{
    (void)state;
    struct shared shared = {.f = fixture_new()};
    shared.f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    shared.f.options.background = BITCASK_BACKGROUND_THREAD;
    fixture_open(&shared.f);
    put_many(&shared.f, "stable", STABLE, 30);
    pthread_t threads[3];
    assert_int_equal(pthread_create(&threads[0], NULL, write_on, &shared), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, write_on, &shared), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, merge_on, &shared), 0);

    struct tally *tally = malloc(sizeof *tally);
    for (int round = 0; round < ROUNDS; round++) {
        memset(tally, 0, sizeof *tally);
        tally->prefix = "stable";
        bitcask_iterator *iterator = iterate(&shared.f, "stable", BITCASK_VALUES);
        bitcask_entry entry;
        bitcask_status status;
        while ((status = bitcask_iterator_next(iterator, &entry, &error)) == BITCASK_OK) {
            count_entry(tally, entry.key);
            assert_own_value(&entry);
        }
        assert_int_equal(status, BITCASK_END);
        bitcask_iterator_free(iterator);
        assert_each_seen(tally, STABLE, 1);
        assert_int_equal(tally->others, 0);
    }
    atomic_store(&shared.stop, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(shared.failures, 0);
    free(tally);
    fixture_end(&shared.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_has_no_entries),
        cmocka_unit_test(entries_have_key_value_and_meta),
        cmocka_unit_test(each_live_key_is_seen_once_over_many_segments),
        cmocka_unit_test(a_prefix_selects),
        cmocka_unit_test(a_walk_goes_on_from_a_cursor_in_another_iterator),
        cmocka_unit_test(each_batch_can_be_read_again_from_its_cursor),
        cmocka_unit_test(an_iterator_at_rest_holds_back_its_batch_only),
        cmocka_unit_test(keys_that_stay_are_seen_once_beside_writers_and_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
