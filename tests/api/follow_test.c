/* SPDX-License-Identifier: MIT
 * follow_test.c: what followers and change feeds make of missing and foolish arguments, and of a
 * caller that wants no error described; and what few ask for. */
#include "support/api_fixture.h"

static void missing_arguments_are_invalid(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_feed *feed = NULL;
    bitcask_change change;
    bitcask_slice none = bitcask_bytes(NULL, 0), hole = bitcask_bytes(NULL, 1);
    uint64_t changes = 7;
    assert_status(INVALID, bitcask_refresh(NULL, &changes, &error));
    assert_int_equal(changes, 0);
    assert_status(INVALID, bitcask_refresh(f.db, &changes, &error));
    assert_non_null(strstr(error.message, "not opened to follow"));
    assert_status(INVALID, bitcask_feed_new(f.db, "start", none, NULL, &error));
    assert_status(INVALID, bitcask_feed_new(f.db, NULL, none, &feed, &error));
    assert_status(INVALID, bitcask_feed_new(NULL, "start", none, &feed, &error));
    assert_status(INVALID, bitcask_feed_new(f.db, "start", hole, &feed, &error));
    assert_null(feed);
    assert_status(INVALID, bitcask_feed_next(NULL, &change, &error));
    assert_status(OK, bitcask_feed_new(f.db, "start", none, &feed, &error));
    assert_status(INVALID, bitcask_feed_next(feed, NULL, &error));
    assert_status(END, bitcask_feed_next(feed, &change, &error));
    bitcask_feed_free(feed);
    bitcask_feed_free(NULL);
    fixture_end(&f);
}

static void no_feed_has_the_position_of_nothing(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    char text[BITCASK_POSITION_SIZE] = "";
    bitcask_feed *feed = NULL;
    bitcask_feed_position(NULL, NULL);
    bitcask_feed_position(NULL, text);
    assert_status(DIVERGED, bitcask_feed_new(f.db, text, bitcask_bytes(NULL, 0), &feed, NULL));
    fixture_end(&f);
}

/* Nobody wants to hear why. */
static void a_feed_that_has_failed_says_so_each_time(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_feed *feed = NULL;
    bitcask_change change;
    const char *const wrong[] = {
        "b1-0-0-0-0-0",          "b1-g-0-0-0-00000000",         "b1-0-0-0-00000000",
        "b2-0-0-0-0-00000000",   "b1-1-:-0-0-00000000",         "b1-1-/-0-0-00000000",
        "b1-1-0-0-0-0000000",    "b1-11111111111111111-0-0-0",  "b1-1-ffffffffffffffff-0-0-1",
        "b1-1-1-ffffffffff-0-1", "b1-1-1-0-ffffffffffffffff-1", "b1-1-`-0-0-00000000",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_status(INVALID, bitcask_feed_new(f.db, wrong[i], bitcask_bytes(NULL, 0), &feed,
                                                i % 2 == 0 ? NULL : &error));
    assert_status(OK, bitcask_put(f.db, str("k"), str("v"), NULL, NULL, NULL));
    assert_status(OK, bitcask_feed_new(f.db, "start", bitcask_bytes(NULL, 0), &feed, NULL));
    assert_status(OK, bitcask_feed_next(feed, &change, NULL));
    assert_status(END, bitcask_feed_next(feed, &change, NULL));
    bitcask_feed_free(feed);
    fixture_end(&f);
}

/* ---- What else nobody asks for --------------------------------------------------------------- */

static void limits_that_are_large_enough_are_taken(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.max_disk_bytes = UINT64_C(1) << 40;
    f.options.max_index_bytes = UINT64_C(1) << 40;
    fixture_open(&f);
    put(&f, "k", "v");
    fixture_close(&f);
    f.options.follow = 1; /* nobody else can have a store in memory */
    assert_status(INVALID, bitcask_open(f.directory, &f.options, &f.db, &error));
    bitcask_options options;
    memset(&options, 0xff, sizeof options);
    bitcask_options_init_sized(&options, 4); /* too short to say how long it is */
    assert_int_equal(((unsigned char *)&options)[4], 0xff);
}

static void a_store_in_memory_is_backed_up_to_the_disk(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory(), copy = fixture_new_on_disk();
    put(&f, "k", "v");
    char directory[80];
    snprintf(directory, sizeof directory, "%s/backup", copy.directory);
    assert_status(OK, bitcask_backup(f.db, directory, NULL, NULL, &error));
    char longer[6000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_status(INVALID, bitcask_backup(f.db, longer, NULL, NULL, &error));
    bitcask *db;
    assert_status(INVALID, bitcask_open(longer, &copy.options, &db, &error));
    fixture_end(&f);
    assert_status(OK, bitcask_destroy(directory, &error));
    fixture_open(&copy);
    fixture_end(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_arguments_are_invalid),
        cmocka_unit_test(no_feed_has_the_position_of_nothing),
        cmocka_unit_test(a_feed_that_has_failed_says_so_each_time),
        cmocka_unit_test(limits_that_are_large_enough_are_taken),
        cmocka_unit_test(a_store_in_memory_is_backed_up_to_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
