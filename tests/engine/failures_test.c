/* SPDX-License-Identifier: MIT
 * failures_test.c: opening, writing, reading, merging and closing while any one call of the disk,
 * or any one allocation, fails. */
#include "support/failures.h"

#include "engine/snapshot.h"

/* ---- Contents -------------------------------------------------------------------------------- */

static void fill_and_kill(struct run *r)
{
    fill(r);
    kill_9(r->f);
}

static void fill_and_lose_the_hints(struct run *r)
{
    fill_and_close(r);
    delete_hints(r->f);
}

static void fill_and_lose_the_manifest(struct run *r)
{
    fill_and_close(r);
    delete_file(r->f, NAME_MANIFEST);
}

/* Bytes behind the end that are no record: they are cut off, and kept. */
static void fill_and_tear_the_end(struct run *r)
{
    fill(r);
    char name[NAME_SIZE];
    const struct segment *active = active_segment(r->f);
    uint64_t end = atomic_load(&active->end);
    name_data(name, active->id);
    kill_9(r->f);
    size_t size;
    unsigned char *data = read_whole(r->f, name, &size);
    assert_true(size >= end + 40);
    memset(data + end, 0x5a, 40);
    write_whole(r->f, name, data, size);
    free(data);
}

/* What an interrupted merge, seal, or manifest leaves. */
static void fill_and_litter(struct run *r)
{
    static const char *const names[] = {"000000090.data.tmp", "000000091.hint.tmp",
                                        "000000092.hint",     NAME_MANIFEST_TMP,
                                        NAME_IMAGE_TMP,       "000000093.data"};
    fill_and_close(r);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        write_whole(r->f, names[i], "litter", 6);
}

/* An image of the index, and records behind it. */
static void fill_and_leave_an_old_image(struct run *r)
{
    fill_and_close_with_image(r);
    open_store(r->f);
    put_known(r, "active", "a2");
    put_known(r, "behind", "b1");
    sync_store(r->f);
    kill_9(r->f);
}

static void drop_the_directory(struct run *r)
{
    close_store(r->f);
    size_t count;
    char **names = list_files(r->f, NULL, &count);
    for (size_t i = 0; i < count; i++)
        delete_file(r->f, names[i]);
    free_list(names, count);
    assert_int_equal(r->f->os->remove_dir(r->f->os, STORE_DIRECTORY), 0);
}

/* ---- Acts ------------------------------------------------------------------------------------ */

static void act_open(struct run *r)
{
    bitcask_status status = try_open(r->f);
    allowed(r, status);
    if (status == BITCASK_OK)
        check_all(r, false);
    else
        assert_null(r->f->store);
}

static void act_open_read_only(struct run *r)
{
    r->f->options.read_only = 1;
    act_open(r);
    if (r->f->store != NULL)
        allowed(r,
                put_if(r->f, "new", "x", 0, 0) == BITCASK_READ_ONLY ? BITCASK_OK : BITCASK_INVALID);
    r->f->options.read_only = 0;
}

static void act_write(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_status status = put_if(f, "active", "a2", 0, 0);
    allowed(r, status);
    wrote(r, "active", "a2", status);
    status = put_sync(f, "durable", "d1", BITCASK_SYNC_ALWAYS);
    allowed(r, status);
    wrote(r, "durable", "d1", status);
    status = bitcask_delete(f->db, bitcask_str("sealed"), NULL, NULL, &f->error);
    allowed(r, status);
    wrote(r, "sealed", NULL, status);
    struct write_op ops[] = {op_put("batch0", "b2", 0), op_delete("batch1"),
                             op_put("batch2", "b2", 0)};
    status = write_batch(f, ops, 3);
    allowed(r, status);
    wrote(r, "batch0", "b2", status);
    wrote(r, "batch1", NULL, status);
    wrote(r, "batch2", "b2", status);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = UINT64_C(1) << 60;
    status = bitcask_expire(f->db, bitcask_str("merged"), &options, NULL, &f->error);
    allowed(r, status);
    wrote(r, "merged", "m1", status);
    check_all(r, false);
}

/* Over several segments, with a large value, which goes another way, and the image of the index. */
static void act_rotate_and_close(struct run *r)
{
    struct fixture *f = r->f;
    static char large[50001];
    memset(large, 'L', sizeof large - 1);
    f->store->options.index_snapshot_bytes = 1;
    static const char *const keys[] = {"large0", "large1", "large2"};
    for (size_t i = 0; i < 3; i++) {
        bitcask_status status = put_sync(f, keys[i], large, BITCASK_SYNC_INTERVAL);
        allowed(r, status);
        wrote(r, keys[i], large, status);
    }
    bitcask_status status = bitcask_sync_now(f->db, &f->error);
    allowed(r, status);
    r->lossy |= status != BITCASK_OK;
    check_all(r, false);
    struct store *store = f->store;
    f->store = NULL;
    f->db = NULL;
    status = store_close(store, &f->error);
    allowed(r, status);
    r->lossy |= status != BITCASK_OK;
}

static void walk(struct run *r, bitcask_snapshot *snapshot)
{
    struct fixture *f = r->f;
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_iterator *iterator;
    bitcask_status status = bitcask_iterator_new(f->db, &options, bitcask_str("b"), BITCASK_VALUES,
                                                 &iterator, &f->error);
    allowed(r, status);
    if (status != BITCASK_OK)
        return;
    bitcask_entry entry;
    size_t seen = 0;
    while ((status = bitcask_iterator_next(iterator, &entry, &f->error)) == BITCASK_OK) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)entry.key.size, (const char *)entry.key.data);
        if (snapshot == NULL)
            check_read(r, key, status, slice_of(entry.value.data, entry.value.size));
        seen++;
    }
    allowed(r, status);
    if (status == BITCASK_END && seen != 3)
        fail_run(r, "%zu keys instead of 3", seen);
    bitcask_iterator_free(iterator);
}

static void act_read(struct run *r)
{
    struct fixture *f = r->f;
    check_all(r, false);
    walk(r, NULL);
    const bitcask_slice keys[] = {bitcask_str("merged"), bitcask_str("gone"), bitcask_str("both")};
    bitcask_view views[3];
    bitcask_status each[3];
    bitcask_status status = bitcask_get_many(f->db, NULL, keys, 3, views, each, &f->error);
    allowed(r, status);
    for (size_t i = 0; status == BITCASK_OK && i < 3; i++)
        check_read(r, keys[i].data, each[i], slice_of(views[i].value.data, views[i].value.size));
    bitcask_views_release(views, 3);
    bitcask_buffer json = {0};
    status = bitcask_stats_json(f->db, &json, &f->error);
    allowed(r, status);
    bitcask_buffer_free(&json);
    bitcask_segment_info infos[8];
    size_t count = bitcask_get_segments(f->db, infos, 8, sizeof infos[0]);
    if (failing_calls(r) < r->nth && count != 4)
        fail_run(r, "%zu segments instead of 4", count);
}

/* A snapshot, what it sees overwritten and merged away, and read. */
static void act_snapshot(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_snapshot *snapshot;
    bitcask_status status = bitcask_snapshot_new(f->db, &snapshot, &f->error);
    allowed(r, status);
    if (status != BITCASK_OK)
        return;
    status = put_if(f, "both", "newest", 0, 0);
    allowed(r, status);
    wrote(r, "both", "newest", status);
    status = bitcask_delete(f->db, bitcask_str("merged"), NULL, NULL, &f->error);
    allowed(r, status);
    wrote(r, "merged", NULL, status);
    allowed(r, merge_all(f));
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_buffer value = {0};
    status = bitcask_get(f->db, &options, bitcask_str("both"), &value, NULL, &f->error);
    allowed(r, status);
    if (status == BITCASK_OK ? value.size != 3 || memcmp(value.data, "new", 3) != 0
                             : status == BITCASK_NOT_FOUND)
        fail_run(r, "the snapshot has '%.*s'", (int)value.size, (char *)value.data);
    bitcask_buffer_free(&value);
    walk(r, snapshot);
    bitcask_snapshot_free(snapshot);
}

/* Shards are fetched from the image when they are first looked at. */
static void fill_and_reopen_with_image(struct run *r)
{
    fill_and_close_with_image(r);
    open_store(r->f);
}

static void act_write_image(struct run *r)
{
    bitcask_status status = index_image_write(r->f->store, NULL, &r->f->error);
    allowed(r, status);
    check_all(r, false);
}

static void act_merge(struct run *r)
{
    bitcask_status status = merge_all(r->f);
    allowed(r, status);
    check_all(r, false);
    if (status == BITCASK_OK && failing_calls(r) < r->nth)
        assert_int_equal(stats_of(r->f).dead_bytes, 0);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void whatever_fails_opening_changes_nothing(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"open", fill_and_close, act_open, NULL, false},
        {"open for reading", fill_and_close, act_open_read_only, NULL, false},
        {"open a new store", drop_the_directory, act_open, NULL, false},
        {"open after kill -9", fill_and_kill, act_open, NULL, false},
        {"open without hints", fill_and_lose_the_hints, act_open, NULL, false},
        {"open without manifest", fill_and_lose_the_manifest, act_open, NULL, false},
        {"open with a torn end", fill_and_tear_the_end, act_open, NULL, false},
        {"open with litter", fill_and_litter, act_open, NULL, false},
        {"open with an image", fill_and_close_with_image, act_open, NULL, false},
        {"open with an old image", fill_and_leave_an_old_image, act_open, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_write_is_done_or_not(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"write", fill, act_write, NULL, false},
        {"rotate and close", fill, act_rotate_and_close, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_no_read_is_wrong(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"read", fill, act_read, NULL, false},
        {"read by an image", fill_and_reopen_with_image, act_read, NULL, false},
        {"write an image", fill, act_write_image, NULL, false},
        {"read a snapshot", fill, act_snapshot, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_merge_changes_nothing(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {{"merge", fill, act_merge, NULL, false}};
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_opening_changes_nothing),
        cmocka_unit_test(whatever_fails_a_write_is_done_or_not),
        cmocka_unit_test(whatever_fails_no_read_is_wrong),
        cmocka_unit_test(whatever_fails_a_merge_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
