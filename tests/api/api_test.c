/* SPDX-License-Identifier: MIT
 * api_test.c: what the public functions refuse, and what each is for. */
#include "support/api_fixture.h"

#include "engine/store.h"
#include "os/os_mem.h"

#define FAR_FUTURE UINT64_C(4102444800000000) /* the year 2100, us */

/* ---- Arguments ------------------------------------------------------------------------------ */

static void null_and_empty_arguments_are_invalid(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_buffer buffer = {0};
    bitcask_view view;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_slice key = str("k"), none = bitcask_bytes(NULL, 0), hole = bitcask_bytes(NULL, 1);

    bitcask *db = f.db;
    assert_status(INVALID, bitcask_open(NULL, NULL, &db, &error));
    assert_null(db);
    assert_status(INVALID, bitcask_open("", NULL, &db, &error));
    assert_status(INVALID, bitcask_open("x", NULL, NULL, &error));
    assert_status(INVALID, bitcask_put(NULL, key, key, NULL, NULL, &error));
    assert_message("store");
    assert_status(INVALID, bitcask_put(f.db, none, key, NULL, NULL, &error));
    assert_message("empty");
    assert_status(INVALID, bitcask_put(f.db, hole, key, NULL, NULL, &error));
    assert_status(INVALID, bitcask_put(f.db, key, hole, NULL, NULL, &error));
    assert_status(INVALID, bitcask_get(NULL, NULL, key, &buffer, NULL, &error));
    assert_status(INVALID, bitcask_get(f.db, NULL, none, &buffer, NULL, &error));
    assert_status(INVALID, bitcask_get(f.db, NULL, key, NULL, NULL, &error));
    assert_status(INVALID, bitcask_delete(f.db, none, NULL, NULL, &error));
    assert_status(INVALID, bitcask_delete(NULL, key, NULL, NULL, &error));
    assert_status(INVALID, bitcask_expire(f.db, none, NULL, NULL, &error));
    assert_status(INVALID, bitcask_stat_key(f.db, NULL, none, NULL, &error));
    assert_status(INVALID, bitcask_stat_key(NULL, NULL, key, NULL, &error));
    assert_status(INVALID, bitcask_get_view(f.db, NULL, key, NULL, &error));
    assert_status(INVALID, bitcask_get_view(f.db, NULL, none, &view, &error));
    assert_null(view.pin);
    assert_status(INVALID, bitcask_write(f.db, NULL, NULL, NULL, &error));
    assert_status(INVALID, bitcask_batch_new(NULL, &error));
    assert_status(INVALID, bitcask_batch_put(NULL, key, key, 0, &error));
    assert_status(INVALID, bitcask_batch_delete(NULL, key, &error));
    assert_status(INVALID, bitcask_sync_now(NULL, &error));
    assert_status(INVALID, bitcask_iterator_new(f.db, NULL, none, 2, &iterator, &error));
    assert_status(INVALID, bitcask_iterator_new(f.db, NULL, hole, 0, &iterator, &error));
    assert_status(INVALID, bitcask_iterator_new(f.db, NULL, none, 0, NULL, &error));
    assert_status(INVALID, bitcask_iterator_next(NULL, &entry, &error));
    assert_status(INVALID, bitcask_merge(NULL, NULL, NULL, &error));
    assert_status(INVALID, bitcask_merge_pause(NULL, &error));
    assert_status(INVALID, bitcask_merge_resume(NULL, &error));
    assert_status(INVALID, bitcask_merge_cancel(NULL, &error));
    assert_status(INVALID, bitcask_merge_set_rate(NULL, 1, &error));
    bitcask_status each;
    assert_status(INVALID, bitcask_get_many(f.db, NULL, NULL, 1, &view, &each, &error));
    assert_message("keys");
    assert_status(INVALID, bitcask_get_many(f.db, NULL, &key, 1, NULL, &each, &error));
    assert_message("views");
    assert_status(INVALID, bitcask_get_many(f.db, NULL, &key, 1, &view, NULL, &error));
    assert_message("each");
    assert_status(INVALID, bitcask_snapshot_new(f.db, NULL, &error));
    assert_int_equal(bitcask_snapshot_version(NULL), 0);
    assert_int_equal(bitcask_iterator_cursor(NULL), 0);
    assert_status(INVALID, bitcask_iterator_new(NULL, NULL, key, 0, &iterator, &error));
    assert_done(bitcask_iterator_new(f.db, NULL, none, 0, &iterator, &error));
    assert_status(INVALID, bitcask_iterator_next(iterator, NULL, &error));
    assert_message("entry");
    bitcask_iterator_free(iterator);
    assert_status(INVALID, bitcask_verify(NULL, NULL, NULL, &error));
    assert_status(INVALID, bitcask_trim(NULL, &error));
    assert_status(INVALID, bitcask_stats_json(f.db, NULL, &error));
    assert_status(INVALID, bitcask_stats_json(NULL, &buffer, &error));
    assert_status(INVALID, bitcask_destroy("", &error));
    assert_status(INVALID, bitcask_destroy(NULL, &error));
    fixture_end(&f);
}

static void null_where_it_is_allowed_does_nothing(void **state)
{
    (void)state;
    assert_int_equal(bitcask_close(NULL, NULL), BITCASK_OK);
    bitcask_buffer_free(NULL);
    bitcask_batch_free(NULL);
    bitcask_batch_clear(NULL);
    bitcask_iterator_free(NULL);
    bitcask_iterator_seek_cursor(NULL, 7);
    bitcask_views_release(NULL, 0);
    bitcask_get_stats(NULL, NULL);
    assert_int_equal(bitcask_batch_count(NULL), 0);
    assert_int_equal(bitcask_batch_size(NULL), 0);
    assert_int_equal(bitcask_iterator_cursor(NULL), 0);
    assert_int_equal(bitcask_get_segments(NULL, NULL, 0, 0), 0);
    /* Errors may be ignored. */
    assert_int_equal(bitcask_put(NULL, str("k"), str("v"), NULL, NULL, NULL), BITCASK_INVALID);
}

static void keys_are_bounded_and_the_message_names_the_limit(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    char *key = calloc(1, BITCASK_MAX_KEY_SIZE + 1);
    bitcask_buffer buffer = {0};
    bitcask_slice largest = bitcask_bytes(key, BITCASK_MAX_KEY_SIZE);
    bitcask_slice too_large = bitcask_bytes(key, BITCASK_MAX_KEY_SIZE + 1);

    assert_done(bitcask_put(f.db, largest, str("v"), NULL, NULL, &error));
    assert_done(bitcask_get(f.db, NULL, largest, &buffer, NULL, &error));
    assert_int_equal(buffer.size, 1);
    assert_status(INVALID, bitcask_put(f.db, too_large, str("v"), NULL, NULL, &error));
    assert_message("65535");
    assert_status(INVALID, bitcask_get(f.db, NULL, too_large, &buffer, NULL, &error));
    assert_status(INVALID, bitcask_delete(f.db, too_large, NULL, NULL, &error));
    bitcask_buffer_free(&buffer);
    free(key);
    fixture_end(&f);
}

static void values_are_bounded_before_they_are_read(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_batch *batch;
    bitcask_slice too_large = bitcask_bytes("v", (size_t)BITCASK_MAX_VALUE_SIZE + 1);
    assert_status(INVALID, bitcask_put(f.db, str("k"), too_large, NULL, NULL, &error));
    assert_message("1073741824");
    assert_done(bitcask_batch_new(&batch, &error));
    assert_status(INVALID, bitcask_batch_put(batch, str("k"), too_large, 0, &error));
    assert_int_equal(bitcask_batch_count(batch), 0);
    bitcask_batch_free(batch);
    fixture_end(&f);
}

static void flags_that_make_no_sense_are_invalid(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    assert_status(INVALID, put_with(&f, "k", "v", 1u << 20, 0, 0));
    assert_status(INVALID, put_with(&f, "k", "v", BITCASK_IF_ABSENT | BITCASK_IF_PRESENT, 0, 0));
    assert_status(INVALID, put_with(&f, "k", "v", BITCASK_IF_ABSENT | BITCASK_IF_VERSION, 1, 0));
    options.flags = BITCASK_IF_ABSENT;
    assert_status(INVALID, bitcask_delete(f.db, str("k"), &options, NULL, &error));
    options.flags = BITCASK_KEEP_TTL;
    assert_status(INVALID, bitcask_delete(f.db, str("k"), &options, NULL, &error));
    assert_status(INVALID, bitcask_expire(f.db, str("k"), &options, NULL, &error));
    options.flags = 0;
    options.sync = (bitcask_sync)17;
    assert_status(INVALID, bitcask_put(f.db, str("k"), str("v"), &options, NULL, &error));
    fixture_end(&f);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void a_value_is_given_back_as_it_was_put(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    static const char bytes[] = "\0\xff zero inside\n";
    bitcask_buffer buffer = {0};
    bitcask_meta meta;
    uint64_t first, second;
    assert_done(bitcask_put(f.db, bitcask_bytes("k\0y", 3), bitcask_bytes(bytes, sizeof bytes),
                            NULL, &first, &error));
    assert_done(bitcask_get(f.db, NULL, bitcask_bytes("k\0y", 3), &buffer, &meta, &error));
    assert_int_equal(buffer.size, sizeof bytes);
    assert_memory_equal(buffer.data, bytes, sizeof bytes);
    assert_int_equal(meta.version, first);
    assert_int_equal(meta.expires_us, 0);
    assert_int_equal(meta.value_size, sizeof bytes);
    assert_absent(&f, "k");

    assert_done(
        bitcask_put(f.db, bitcask_bytes("k\0y", 3), bitcask_bytes(NULL, 0), NULL, &second, &error));
    assert_true(second > first);
    assert_done(bitcask_get(f.db, NULL, bitcask_bytes("k\0y", 3), &buffer, &meta, &error));
    assert_int_equal(buffer.size, 0);
    assert_int_equal(meta.version, second);
    bitcask_buffer_free(&buffer);
    assert_null(buffer.data);
    fixture_end(&f);
}

static void a_deleted_key_is_gone_and_deleting_it_again_writes_nothing(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    uint64_t version = 0;
    put(&f, "k", "v");
    assert_done(bitcask_delete(f.db, str("k"), NULL, &version, &error));
    assert_true(version > 0);
    assert_absent(&f, "k");
    uint64_t written = stats_of(&f).bytes_written;
    assert_status(NOT_FOUND, delete_key(&f, "k"));
    assert_status(NOT_FOUND, delete_key(&f, "never there"));
    assert_int_equal(stats_of(&f).bytes_written, written);
    fixture_end(&f);
}

static void an_outcome_leaves_the_error_alone(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_error untouched;
    memset(&untouched, 0x5a, sizeof untouched);
    bitcask_error given = untouched;
    bitcask_buffer buffer = {0};
    assert_int_equal(bitcask_get(f.db, NULL, str("k"), &buffer, NULL, &given), BITCASK_NOT_FOUND);
    assert_int_equal(bitcask_delete(f.db, str("k"), NULL, NULL, &given), BITCASK_NOT_FOUND);
    assert_memory_equal(&given, &untouched, sizeof given);
    fixture_end(&f);
}

/* ---- Conditions ------------------------------------------------------------------------------ */

static void if_absent_puts_only_what_is_not_there(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    assert_done(put_with(&f, "k", "first", BITCASK_IF_ABSENT, 0, 0));
    assert_status(EXISTS, put_with(&f, "k", "second", BITCASK_IF_ABSENT, 0, 0));
    assert_value(&f, "k", "first");
    assert_done(delete_key(&f, "k"));
    assert_done(put_with(&f, "k", "third", BITCASK_IF_ABSENT, 0, 0));
    fixture_end(&f);
}

static void if_present_puts_only_what_is_there(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    assert_status(NOT_FOUND, put_with(&f, "k", "v", BITCASK_IF_PRESENT, 0, 0));
    assert_absent(&f, "k");
    put(&f, "k", "v");
    assert_done(put_with(&f, "k", "w", BITCASK_IF_PRESENT, 0, 0));
    assert_value(&f, "k", "w");
    fixture_end(&f);
}

static void if_version_puts_and_deletes_only_that_version(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    assert_status(NOT_FOUND, put_with(&f, "k", "v", BITCASK_IF_VERSION, 1, 0));
    uint64_t first = put(&f, "k", "v1");
    uint64_t second = put(&f, "k", "v2");
    assert_status(CONFLICT, put_with(&f, "k", "v3", BITCASK_IF_VERSION, first, 0));
    assert_value(&f, "k", "v2");
    assert_done(put_with(&f, "k", "v3", BITCASK_IF_VERSION, second, 0));

    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = BITCASK_IF_VERSION;
    options.if_version = second;
    assert_status(CONFLICT, bitcask_delete(f.db, str("k"), &options, NULL, &error));
    options.if_version = meta_of(&f, "k").version;
    assert_done(bitcask_delete(f.db, str("k"), &options, NULL, &error));
    assert_absent(&f, "k");
    fixture_end(&f);
}

/* ---- Time to live ---------------------------------------------------------------------------- */

static void assert_gone_everywhere(struct fixture *f, const char *key)
{
    bitcask_meta meta;
    bitcask_view view;
    bitcask_status each;
    bitcask_slice name = str(key);
    assert_absent(f, key);
    assert_status(NOT_FOUND, bitcask_stat_key(f->db, NULL, name, &meta, &error));
    assert_status(NOT_FOUND, bitcask_get_view(f->db, NULL, name, &view, &error));
    assert_done(bitcask_get_many(f->db, NULL, &name, 1, &view, &each, &error));
    assert_int_equal(each, BITCASK_NOT_FOUND);
    assert_status(NOT_FOUND, bitcask_delete(f->db, name, NULL, NULL, &error));
    assert_status(NOT_FOUND, bitcask_expire(f->db, name, NULL, NULL, &error));
    assert_status(NOT_FOUND, put_with(f, key, "v", BITCASK_IF_PRESENT, 0, 0));
    assert_status(NOT_FOUND, put_with(f, key, "v", BITCASK_IF_VERSION, 1, 0));

    bitcask_iterator *iterator;
    bitcask_entry entry;
    assert_done(bitcask_iterator_new(f->db, NULL, name, BITCASK_KEYS, &iterator, &error));
    assert_status(END, bitcask_iterator_next(iterator, &entry, &error));
    bitcask_iterator_free(iterator);
    assert_done(put_with(f, key, "again", BITCASK_IF_ABSENT, 0, 0));
}

static void a_key_that_has_expired_is_gone_for_every_operation(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    struct os *os = os_mem_new(&(struct os_mem_options){.seed = 1});
    struct store *store;
    assert_done(store_open(os, "store", &f.options, &store, &error));
    f.db = (bitcask *)store;
    uint64_t soon_us = os->clock_real(os) + 5000000;

    assert_done(put_with(&f, "k", "v", 0, 0, soon_us));
    assert_value(&f, "k", "v");
    assert_int_equal(meta_of(&f, "k").expires_us, soon_us);
    os_mem_advance_clock(os, 5000000);
    assert_gone_everywhere(&f, "k");
    fixture_close(&f);
    os_mem_free(os);
}

static void a_put_that_has_expired_already_is_gone_at_once(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    put(&f, "k", "v");
    assert_done(put_with(&f, "k", "w", 0, 0, 1));
    assert_gone_everywhere(&f, "k");
    fixture_end(&f);
}

static void an_overwrite_ends_the_time_to_live_unless_it_is_kept(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    assert_done(put_with(&f, "k", "1", 0, 0, FAR_FUTURE));
    assert_done(put_with(&f, "k", "2", BITCASK_KEEP_TTL, 0, 0));
    assert_value(&f, "k", "2");
    assert_int_equal(meta_of(&f, "k").expires_us, FAR_FUTURE);
    put(&f, "k", "3");
    assert_int_equal(meta_of(&f, "k").expires_us, 0);
    assert_done(put_with(&f, "new", "1", BITCASK_KEEP_TTL, 0, FAR_FUTURE));
    assert_int_equal(meta_of(&f, "new").expires_us, FAR_FUTURE);
    fixture_end(&f);
}

static void expire_changes_the_time_and_keeps_the_value(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = FAR_FUTURE;
    uint64_t put_version = put(&f, "k", "v"), version = 0;
    assert_done(bitcask_expire(f.db, str("k"), &options, &version, &error));
    assert_true(version > put_version);
    assert_value(&f, "k", "v");
    assert_int_equal(meta_of(&f, "k").expires_us, FAR_FUTURE);
    assert_done(bitcask_expire(f.db, str("k"), NULL, NULL, &error)); /* persist */
    assert_value(&f, "k", "v");
    assert_int_equal(meta_of(&f, "k").expires_us, 0);
    assert_status(NOT_FOUND, bitcask_expire(f.db, str("other"), &options, NULL, &error));
    fixture_end(&f);
}

/* ---- Batches --------------------------------------------------------------------------------- */

static void a_batch_copies_and_applies_in_order(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_batch *batch;
    char key[] = "a", value[] = "1";
    uint64_t version = 0;
    put(&f, "c", "old");
    assert_done(bitcask_batch_new(&batch, &error));
    assert_done(bitcask_batch_put(batch, str(key), str(value), 0, &error));
    key[0] = value[0] = '?'; /* it has its own copy */
    assert_done(bitcask_batch_put(batch, str("b"), str("2"), FAR_FUTURE, &error));
    assert_done(bitcask_batch_delete(batch, str("b"), &error));
    assert_done(bitcask_batch_put(batch, str("b"), str("3"), FAR_FUTURE, &error));
    assert_done(bitcask_batch_delete(batch, str("c"), &error));
    assert_done(bitcask_batch_delete(batch, str("never there"), &error));
    assert_int_equal(bitcask_batch_count(batch), 6);
    assert_int_equal(bitcask_batch_size(batch), 2 + 2 + 1 + 2 + 1 + 11);
    assert_done(bitcask_write(f.db, batch, NULL, &version, &error));

    assert_value(&f, "a", "1");
    assert_value(&f, "b", "3");
    assert_int_equal(meta_of(&f, "b").expires_us, FAR_FUTURE);
    assert_absent(&f, "c");
    assert_int_equal(stats_of(&f).last_version, version);
    bitcask_batch_clear(batch);
    assert_int_equal(bitcask_batch_count(batch), 0);
    assert_done(bitcask_write(f.db, batch, NULL, &version, &error));
    assert_int_equal(version, 0);
    bitcask_batch_free(batch);
    fixture_end(&f);
}

static void a_batch_takes_no_conditions(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_batch *batch;
    bitcask_write_options options;
    assert_done(bitcask_batch_new(&batch, &error));
    assert_done(bitcask_batch_put(batch, str("k"), str("v"), 0, &error));
    bitcask_write_options_init(&options);
    options.flags = BITCASK_IF_ABSENT;
    assert_status(INVALID, bitcask_write(f.db, batch, &options, NULL, &error));
    bitcask_write_options_init(&options);
    options.expires_us = FAR_FUTURE;
    assert_status(INVALID, bitcask_write(f.db, batch, &options, NULL, &error));
    assert_absent(&f, "k");
    bitcask_batch_free(batch);
    fixture_end(&f);
}

static void a_batch_may_be_larger_than_a_segment(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    bitcask_batch *batch;
    char value[1000] = {0}, key[16];
    assert_done(bitcask_batch_new(&batch, &error));
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_done(
            bitcask_batch_put(batch, str(key), bitcask_bytes(value, sizeof value), 0, &error));
    }
    assert_done(bitcask_write(f.db, batch, NULL, NULL, &error));
    assert_int_equal(meta_of(&f, "k0").value_size, sizeof value);
    assert_int_equal(meta_of(&f, "k99").value_size, sizeof value);
    bitcask_batch_free(batch);
    fixture_end(&f);
}

/* ---- Views ----------------------------------------------------------------------------------- */

static void a_view_stays_as_it_was_through_overwrite_delete_and_merge(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    bitcask_view view;
    put(&f, "seen", "as it was");
    assert_done(bitcask_get_view(f.db, NULL, str("seen"), &view, &error));
    put(&f, "seen", "overwritten");
    put_many(&f, "filler", 200, 1000); /* some segments */
    assert_done(delete_key(&f, "seen"));
    assert_true(merge_all(&f).inputs > 0);

    assert_int_equal(view.value.size, 9);
    assert_memory_equal(view.value.data, "as it was", 9);
    assert_int_equal(stats_of(&f).pinned_segments, 1);
    bitcask_views_release(&view, 1);
    assert_null(view.pin);
    bitcask_views_release(&view, 1); /* once more does nothing */
    assert_int_equal(stats_of(&f).pinned_segments, 0);
    fixture_end(&f);
}

static void many_keys_are_looked_up_at_once(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct fixture f = fixture_in_memory();
    static char names[COUNT][16];
    static bitcask_slice keys[COUNT];
    static bitcask_view views[COUNT];
    static bitcask_status each[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "key%d", i);
        keys[i] = str(names[i]);
        if (i % 3 != 0)
            put(&f, names[i], names[i] + 3);
    }
    assert_done(bitcask_get_many(f.db, NULL, keys, COUNT, views, each, &error));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(each[i], i % 3 != 0 ? BITCASK_OK : BITCASK_NOT_FOUND);
        if (i % 3 != 0) {
            assert_int_equal(views[i].value.size, strlen(names[i] + 3));
            assert_memory_equal(views[i].value.data, names[i] + 3, views[i].value.size);
        } else {
            assert_null(views[i].pin);
        }
    }
    bitcask_views_release(views, COUNT);
    assert_done(bitcask_get_many(f.db, NULL, NULL, 0, NULL, NULL, &error));
    bitcask_prefetch(f.db, keys, COUNT); /* changes nothing, whatever the keys */
    bitcask_prefetch(f.db, NULL, 1);
    bitcask_prefetch(NULL, keys, COUNT);
    keys[7] = bitcask_bytes("", 0);
    assert_status(INVALID, bitcask_get_many(f.db, NULL, keys, COUNT, views, each, &error));
    bitcask_views_release(views, COUNT); /* in any case */
    fixture_end(&f);
}

/* ---- Merge ----------------------------------------------------------------------------------- */

static int cancel(void *context, const bitcask_merge_progress *progress)
{
    (void)progress;
    ++*(int *)context;
    return 1;
}

static void a_merge_changes_nothing_that_is_read(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    for (int round = 0; round < 4; round++)
        put_many(&f, "k", 100, 1000);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_done(delete_key(&f, key));
    }
    bitcask_stats before = stats_of(&f);
    bitcask_merge_result result = merge_all(&f);
    bitcask_stats after = stats_of(&f);
    assert_true(result.inputs > 1 && result.input_bytes > result.output_bytes);
    assert_true(after.dead_bytes < before.dead_bytes);
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_int_equal(after.keys, 50);
    assert_int_equal(after.merges, 1);
    assert_absent(&f, "k49");
    assert_int_equal(meta_of(&f, "k50").value_size, 1000);
    fixture_end(&f);
}

static void a_merge_can_be_cancelled_and_options_are_checked(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    fixture_open(&f);
    for (int round = 0; round < 2; round++)
        put_many(&f, "k", 10000, 16);
    int calls = 0;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    options.progress = cancel;
    options.context = &calls;
    assert_status(CANCELLED, bitcask_merge(f.db, &options, NULL, &error));
    assert_int_equal(calls, 1);
    assert_int_equal(meta_of(&f, "k0").value_size, 16);
    options.min_dead = 1.5;
    assert_status(INVALID, bitcask_merge(f.db, &options, NULL, &error));
    options.min_dead = -0.5;
    assert_status(INVALID, bitcask_merge(f.db, &options, NULL, &error));
    options.min_dead = __builtin_nan("");
    assert_status(INVALID, bitcask_merge(f.db, &options, NULL, &error));
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_and_empty_arguments_are_invalid),
        cmocka_unit_test(null_where_it_is_allowed_does_nothing),
        cmocka_unit_test(keys_are_bounded_and_the_message_names_the_limit),
        cmocka_unit_test(values_are_bounded_before_they_are_read),
        cmocka_unit_test(flags_that_make_no_sense_are_invalid),
        cmocka_unit_test(a_value_is_given_back_as_it_was_put),
        cmocka_unit_test(a_deleted_key_is_gone_and_deleting_it_again_writes_nothing),
        cmocka_unit_test(an_outcome_leaves_the_error_alone),
        cmocka_unit_test(if_absent_puts_only_what_is_not_there),
        cmocka_unit_test(if_present_puts_only_what_is_there),
        cmocka_unit_test(if_version_puts_and_deletes_only_that_version),
        cmocka_unit_test(a_key_that_has_expired_is_gone_for_every_operation),
        cmocka_unit_test(a_put_that_has_expired_already_is_gone_at_once),
        cmocka_unit_test(an_overwrite_ends_the_time_to_live_unless_it_is_kept),
        cmocka_unit_test(expire_changes_the_time_and_keeps_the_value),
        cmocka_unit_test(a_batch_copies_and_applies_in_order),
        cmocka_unit_test(a_batch_takes_no_conditions),
        cmocka_unit_test(a_batch_may_be_larger_than_a_segment),
        cmocka_unit_test(a_view_stays_as_it_was_through_overwrite_delete_and_merge),
        cmocka_unit_test(many_keys_are_looked_up_at_once),
        cmocka_unit_test(a_merge_changes_nothing_that_is_read),
        cmocka_unit_test(a_merge_can_be_cancelled_and_options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
