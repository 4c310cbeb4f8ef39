/* SPDX-License-Identifier: MIT
 * trim_test.c: pages that are let go of are no longer the process's, and nothing else changes. */
#include <unistd.h>

#include "support/api_fixture.h"

enum { KEYS = 4000, VALUE_SIZE = 4000, ALL_BYTES = KEYS * VALUE_SIZE, KEY_ROOM = 32 };

static bitcask_slice key_of(int i, char room[KEY_ROOM])
{
    snprintf(room, KEY_ROOM, "key%d", i);
    return bitcask_str(room);
}

/* No two keys have the same, nor a key the same in two rounds. */
static bitcask_slice value_of(int i, int round, char room[VALUE_SIZE])
{
    memset(room, 'a' + i % 26, VALUE_SIZE);
    snprintf(room, VALUE_SIZE, "%d of round %d", i, round);
    return bitcask_bytes(room, VALUE_SIZE);
}

static void fill(struct fixture *f, int from, int to, int round)
{
    static char value[VALUE_SIZE];
    char key[KEY_ROOM];
    for (int i = from; i < to; i++)
        assert_done(
            bitcask_put(f->db, key_of(i, key), value_of(i, round, value), NULL, NULL, &error));
}

static void check(bitcask *db, int from, int to, int round)
{
    static char value[VALUE_SIZE];
    char key[KEY_ROOM];
    bitcask_buffer got = {0};
    for (int i = from; i < to; i++) {
        assert_done(bitcask_get(db, NULL, key_of(i, key), &got, NULL, &error));
        assert_int_equal(got.size, VALUE_SIZE);
        assert_memory_equal(got.data, value_of(i, round, value).data, VALUE_SIZE);
    }
    bitcask_buffer_free(&got);
}

/* Bytes of pages of files that this process has mapped and touched. */
static uint64_t resident_of_files(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %*u %llu", &pages), 1);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Eight segments and more, one of them active. */
static struct fixture store_on_disk(void)
{
    struct fixture f = fixture_new_on_disk();
    f.options.segment_size = 2 << 20;
    fixture_open(&f);
    fill(&f, 0, KEYS, 1);
    return f;
}

static void what_is_let_go_of_is_resident_no_more(void **state)
{
    (void)state;
    struct fixture f = store_on_disk();
    check(f.db, 0, KEYS, 1);
    uint64_t before = resident_of_files();
    assert_done(bitcask_trim(f.db, &error));
    assert_true(before >= ALL_BYTES);
    assert_true(resident_of_files() <= before - ALL_BYTES * 3 / 4);
    check(f.db, 0, KEYS, 1);
    fixture_end(&f);
}

static void views_stay_valid(void **state)
{
    (void)state;
    static char value[VALUE_SIZE];
    char key[KEY_ROOM];
    bitcask_view views[KEYS / 100];
    struct fixture f = store_on_disk();
    for (int i = 0; i < KEYS / 100; i++)
        assert_done(bitcask_get_view(f.db, NULL, key_of(100 * i, key), &views[i], &error));
    assert_done(bitcask_trim(f.db, &error));
    for (int i = 0; i < KEYS / 100; i++)
        assert_memory_equal(views[i].value.data, value_of(100 * i, 1, value).data, VALUE_SIZE);
    bitcask_views_release(views, KEYS / 100);
    fixture_end(&f);
}

/* Pages that have not reached the disk are the page cache's, and writing goes on behind them, in
 * the page that was half full too. */
static void unsynced_writes_are_kept_and_others_follow(void **state)
{
    (void)state;
    struct fixture f = store_on_disk();
    for (int round = 2; round < 12; round++) {
        fill(&f, 0, KEYS / 20, round);
        assert_done(bitcask_trim(f.db, &error));
        fill(&f, KEYS / 20, KEYS / 10, round);
        check(f.db, 0, KEYS / 10, round);
    }
    fixture_close(&f);
    fixture_open(&f);
    check(f.db, 0, KEYS / 10, 11);
    check(f.db, KEYS / 10, KEYS, 1);
    /* What was active is mapped twice now: for reading, and for writing behind it. */
    fill(&f, 0, 10, 12);
    assert_done(bitcask_trim(f.db, &error));
    fill(&f, 10, 20, 12);
    check(f.db, 0, 20, 12);
    fixture_end(&f);
}

static void a_store_in_memory_keeps_all_it_has(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    fill(&f, 0, KEYS / 10, 1);
    assert_done(bitcask_trim(f.db, &error));
    check(f.db, 0, KEYS / 10, 1);
    fixture_end(&f);
}

/* The segment that the writer appends to is a copy in a follower's own memory. */
static void a_follower_keeps_all_it_has(void **state)
{
    (void)state;
    struct fixture f = store_on_disk();
    struct bitcask_options options = f.options;
    bitcask *follower;
    options.follow = 1;
    assert_done(bitcask_open(f.directory, &options, &follower, &error));
    assert_done(bitcask_trim(follower, &error));
    check(follower, 0, KEYS, 1);
    fill(&f, 0, 10, 2);
    assert_done(bitcask_refresh(follower, NULL, &error));
    assert_done(bitcask_trim(follower, &error));
    check(follower, 0, 10, 2);
    check(follower, 10, KEYS, 1);
    assert_done(bitcask_close(follower, &error));
    fixture_end(&f);
}

static void an_empty_store_has_nothing_to_let_go_of(void **state)
{
    (void)state;
    struct fixture f = fixture_new_on_disk();
    fixture_open(&f);
    assert_done(bitcask_trim(f.db, &error));
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_let_go_of_is_resident_no_more),
        cmocka_unit_test(views_stay_valid),
        cmocka_unit_test(unsynced_writes_are_kept_and_others_follow),
        cmocka_unit_test(a_store_in_memory_keeps_all_it_has),
        cmocka_unit_test(a_follower_keeps_all_it_has),
        cmocka_unit_test(an_empty_store_has_nothing_to_let_go_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
