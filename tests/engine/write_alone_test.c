/* SPDX-License-Identifier: MIT
 * write_alone_test.c: single puts and deletes by their short way: as by way of a group. */
#include "support/write_fixture.h"

/* Who listens to each write gets it by the long way. */
static void begin(struct fixture *f)
{
    fixture_init(f);
    f->options.log_level = BITCASK_LOG_INFO;
    open_store(f);
}

static void name_key(char key[16], const char *prefix, int i)
{
    snprintf(key, 16, "%s%d", prefix, i);
}

static void put_all(struct fixture *f, int count, const char *value)
{
    char key[16];
    for (int i = 0; i < count; i++) {
        name_key(key, "k", i);
        put(f, key, value != NULL ? value : key);
    }
}

/* With as many keys some share bucket and tag: what the index points to is another key's then. */
static void keys_with_one_tag_are_told_apart(void **state)
{
    (void)state;
    enum { KEYS = 40000 };
    struct fixture f;
    char key[16];
    begin(&f);
    put_all(&f, KEYS, NULL);
    assert_int_equal(stats_of(&f).keys, KEYS);
    for (int i = 0; i < KEYS; i++) {
        name_key(key, "absent", i);
        assert_status(&f, NOT_FOUND, bitcask_delete(f.db, bitcask_str(key), NULL, NULL, &f.error));
    }
    assert_int_equal(stats_of(&f).keys, KEYS);
    for (int i = 0; i < KEYS; i++) {
        name_key(key, "k", i);
        check_value(&f, key, key);
    }
    put_all(&f, KEYS, "new");
    assert_int_equal(stats_of(&f).keys, KEYS);
    for (int i = 0; i < KEYS; i += 2) {
        name_key(key, "k", i);
        assert_status(&f, OK, bitcask_delete(f.db, bitcask_str(key), NULL, NULL, &f.error));
    }
    assert_int_equal(stats_of(&f).keys, KEYS / 2);
    for (int i = 0; i < KEYS; i++) {
        name_key(key, "k", i);
        if (i % 2 == 0)
            check_missing(&f, key);
        else
            check_value(&f, key, "new");
    }
    fixture_release(&f);
}

static void a_snapshot_keeps_what_is_replaced_or_deleted(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    put(&f, "replaced", "old");
    put(&f, "deleted", "old");
    bitcask_snapshot *snapshot;
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    put(&f, "replaced", "new");
    assert_status(&f, OK, bitcask_delete(f.db, bitcask_str("deleted"), NULL, NULL, &f.error));

    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_buffer value = {0};
    const char *keys[] = {"replaced", "deleted"};
    for (int i = 0; i < 2; i++) {
        assert_status(&f, OK,
                      bitcask_get(f.db, &options, bitcask_str(keys[i]), &value, NULL, &f.error));
        assert_int_equal(value.size, 3);
        assert_memory_equal(value.data, "old", 3);
    }
    bitcask_buffer_free(&value);
    bitcask_snapshot_free(snapshot);
    check_value(&f, "replaced", "new");
    check_missing(&f, "deleted");
    fixture_release(&f);
}

static uint64_t version_of_put(struct fixture *f, bitcask_slice key, bitcask_slice value)
{
    uint64_t version = 0;
    assert_status(f, OK, bitcask_put(f->db, key, value, NULL, &version, &f->error));
    return version;
}

/* Values and keys on either side of what the short way takes, and writes with a condition among
 * them: one order of versions, and figures that a look at the records confirms. */
static void both_ways_write_one_log(void **state)
{
    (void)state;
    static char bytes[8192];
    memset(bytes, 'b', sizeof bytes);
    struct fixture f;
    begin(&f);
    uint64_t last = 0;
    for (int round = 0; round < 3; round++) {
        for (size_t size = 4094; size <= 4098; size++) {
            bitcask_slice key = bitcask_bytes(bytes, size - 4000);
            uint64_t version = version_of_put(&f, key, bitcask_bytes(bytes, size));
            assert_true(version > last);
            last = version;
        }
        assert_status(&f, OK, put_if(&f, "k", "v", 0, 0));
        assert_true(meta_of(&f, "k").version > last);
        last = meta_of(&f, "k").version;
        for (size_t size = 254; size <= 258; size++) {
            bitcask_slice key = bitcask_bytes(bytes, size);
            uint64_t put_at = version_of_put(&f, key, bitcask_str("v")), version = 0;
            assert_status(&f, OK, bitcask_delete(f.db, key, NULL, &version, &f.error));
            assert_true(put_at > last && version > put_at);
            last = version;
        }
    }
    assert_int_equal(stats_of(&f).keys, 6);
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* A record of zero bytes that was to be deleted: nothing is in the log of it. */
static void a_delete_of_an_absent_key_writes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    put(&f, "k", "v");
    put(&f, "l", "v");
    uint64_t written = stats_of(&f).bytes_written, version = 1;
    assert_status(&f, NOT_FOUND,
                  bitcask_delete(f.db, bitcask_str("absent"), NULL, &version, &f.error));
    assert_int_equal(version, 1);
    assert_int_equal(stats_of(&f).bytes_written, written);
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* What is dead is counted, in the segment that is written to and in those that are full. `movers`:
 * as beside a merge that points the index at its outputs. */
static void check_dead_bytes(bool movers)
{
    struct fixture f;
    begin(&f);
    if (movers)
        keydir_movers_begin(f.store->keydir);
    put(&f, "a", "1");
    put(&f, "b", "1");
    put(&f, "a", "2");
    uint64_t dead = stats_of(&f).dead_bytes;
    rotate(&f);
    put(&f, "b", "2");
    uint64_t later = stats_of(&f).dead_bytes;
    assert_true(later >= dead + RECORD_HEADER_SIZE + 2);
    assert_status(&f, OK, bitcask_delete(f.db, bitcask_str("a"), NULL, NULL, &f.error));
    assert_true(stats_of(&f).dead_bytes >= later + RECORD_HEADER_SIZE + 2);
    if (movers)
        keydir_movers_end(f.store->keydir);
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void dead_bytes_are_counted_wherever_they_are(void **state)
{
    (void)state;
    check_dead_bytes(false);
}

static void dead_bytes_are_counted_beside_moves(void **state)
{
    (void)state;
    check_dead_bytes(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_with_one_tag_are_told_apart),
        cmocka_unit_test(a_snapshot_keeps_what_is_replaced_or_deleted),
        cmocka_unit_test(both_ways_write_one_log),
        cmocka_unit_test(a_delete_of_an_absent_key_writes_nothing),
        cmocka_unit_test(dead_bytes_are_counted_wherever_they_are),
        cmocka_unit_test(dead_bytes_are_counted_beside_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
