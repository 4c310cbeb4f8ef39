/* SPDX-License-Identifier: MIT
 * write_alone_test.c: single puts and deletes by their short way: as by way of a group. */
#include "base/checksum.h"
#include "engine/log_append.h"
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

/* The figures of the active segment are those of a walk. */
static void check_figures(struct fixture *f)
{
    const struct segment *segment = log_active(f->store);
    const struct segment_figures *figures = log_figures(&f->store->writer);
    struct segment_figures walked = {0};
    uint64_t end = atomic_load(&segment->end), last = 0;
    struct segment_record record;
    const char *why;
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < end; at += record.shape.size) {
        assert_int_equal(segment_read(segment, at, &record, &why), BITCASK_OK);
        walked.rolling = rolling_checksum(walked.rolling, record.bytes);
        if (record.shape.flags & RECORD_META)
            continue;
        walked.records++;
        walked.tombstones += (record.shape.flags & RECORD_TOMBSTONE) != 0;
        last = record.shape.version;
    }
    assert_int_equal(figures->rolling, walked.rolling);
    assert_int_equal(figures->records, walked.records);
    assert_int_equal(figures->tombstones, walked.tombstones);
    assert_int_equal(figures->version_max, last);
    assert_int_equal(atomic_load(&segment->records), walked.records);
    assert_int_equal(atomic_load(&segment->version_max), last);
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
    check_figures(&f);
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
    check_figures(&f);
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

/* It runs over many records at a time: wherever it is asked for, all of them are in it. */
static void the_rolling_checksum_has_all_records(void **state)
{
    (void)state;
    struct fixture f;
    char key[16];
    begin(&f);
    for (int i = 0; i < 5 * LOG_ROLLED_MAX; i++) {
        name_key(key, "k", i % 100);
        put(&f, key, "v");
        if (i % 7 == 0 || i % LOG_ROLLED_MAX < 2)
            check_figures(&f);
        if (i % 50 == 49) /* by way of a group */
            assert_status(&f, CONFLICT, put_if(&f, key, "w", BITCASK_IF_VERSION, 1));
        if (i % 60 == 59)
            assert_status(&f, OK, put_if(&f, key, "w", 0, 0));
    }
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static bitcask_slice value_of(struct fixture *f, const char *key, bitcask_buffer *value)
{
    assert_status(f, OK, bitcask_get(f->db, NULL, bitcask_str(key), value, NULL, &f->error));
    return bitcask_bytes(value->data, value->size);
}

static void a_value_of_no_bytes_needs_no_address(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_buffer value = {0};
    begin(&f);
    for (int i = 0; i < 2; i++) { /* a new key, and one that is there */
        (void)version_of_put(&f, bitcask_str("empty"), bitcask_bytes(NULL, 0));
        assert_int_equal(value_of(&f, "empty", &value).size, 0);
    }
    assert_status(
        &f, INVALID,
        bitcask_put(f.db, bitcask_str("empty"), bitcask_bytes(NULL, 1), NULL, NULL, &f.error));
    assert_int_equal(value_of(&f, "empty", &value).size, 0);
    bitcask_buffer_free(&value);
    fixture_release(&f);
}

/* Whatever is asked in the options is done: with the key there, and without. */
static void what_options_ask_is_done(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    for (int i = 0; i < 2; i++) {
        uint64_t syncs = stats_of(&f).syncs;
        options.sync = BITCASK_SYNC_NONE;
        assert_status(
            &f, OK,
            bitcask_put(f.db, bitcask_str("k"), bitcask_str("v"), &options, NULL, &f.error));
        assert_int_equal(stats_of(&f).syncs, syncs);
        options.sync = BITCASK_SYNC_ALWAYS;
        assert_status(
            &f, OK,
            bitcask_put(f.db, bitcask_str("k"), bitcask_str("w"), &options, NULL, &f.error));
        assert_true(stats_of(&f).syncs > syncs);
        options.flags = BITCASK_IF_ABSENT;
        assert_status(
            &f, EXISTS,
            bitcask_put(f.db, bitcask_str("k"), bitcask_str("x"), &options, NULL, &f.error));
        options.flags = 0;
        options.expires_us = 1; /* long ago */
        assert_status(
            &f, OK,
            bitcask_put(f.db, bitcask_str("e"), bitcask_str("v"), &options, NULL, &f.error));
        options.expires_us = 0;
        options.sync = (bitcask_sync)(BITCASK_SYNC_ALWAYS + 1);
        assert_status(&f, INVALID,
                      bitcask_delete(f.db, bitcask_str("k"), &options, NULL, &f.error));
    }
    check_value(&f, "k", "w");
    check_missing(&f, "e");
    options.sync = BITCASK_SYNC_INTERVAL;
    assert_status(&f, OK, bitcask_delete(f.db, bitcask_str("k"), &options, NULL, &f.error));
    check_missing(&f, "k");
    fixture_release(&f);
}

/* The ways of computing checksums that this processor has; each has code of its own. */
static int use_portable(void **state)
{
    (void)state;
    (void)checksum_use(CHECKSUM_PORTABLE);
    return 0;
}

static int use_clmul(void **state)
{
    (void)state;
    (void)checksum_use(CHECKSUM_CLMUL);
    return 0;
}

static int use_best(void **state)
{
    (void)state;
    (void)checksum_use(CHECKSUM_WIDE);
    return 0;
}

#define IN_ALL_WAYS(test)                                                                  \
    cmocka_unit_test(test), cmocka_unit_test_setup_teardown(test, use_portable, use_best), \
        cmocka_unit_test_setup_teardown(test, use_clmul, use_best)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ALL_WAYS(keys_with_one_tag_are_told_apart),
        IN_ALL_WAYS(a_snapshot_keeps_what_is_replaced_or_deleted),
        IN_ALL_WAYS(both_ways_write_one_log),
        IN_ALL_WAYS(a_delete_of_an_absent_key_writes_nothing),
        IN_ALL_WAYS(dead_bytes_are_counted_wherever_they_are),
        IN_ALL_WAYS(dead_bytes_are_counted_beside_moves),
        IN_ALL_WAYS(the_rolling_checksum_has_all_records),
        IN_ALL_WAYS(a_value_of_no_bytes_needs_no_address),
        IN_ALL_WAYS(what_options_ask_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
