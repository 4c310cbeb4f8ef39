/* SPDX-License-Identifier: MIT
 * failures_rare_test.c: what is rare by itself, while any one call of the disk, or any one
 * allocation, fails: an image of the index with damage, one that records have to be added to, a
 * sync that fails, segments without hints or with damage that are merged, walked and backed up. */
#include "support/failures.h"

#include "engine/backup.h"
#include "engine/repair.h"

/* ---- The image of the index ------------------------------------------------------------------ */

static void write_more(struct run *r)
{
    put_known(r, "both", "newest");
    put_known(r, "fresh", "f");
    delete_known(r, "sealed");
    rotate(r->f);
    put_known(r, "merged", "m2");
}

/* Behind the image: overwrites, deletions, keys that are new, a segment more. */
static void fill_behind_an_image(struct run *r)
{
    r->f->store->options.index_snapshot_bytes = UINT64_C(1) << 60;
    fill(r);
    assert_status(r->f, OK, index_image_write(r->f->store, NULL, &r->f->error));
    write_more(r);
    close_store(r->f);
    r->f->options.index_snapshot_bytes = UINT64_C(1) << 60;
}

static void fill_behind_an_image_and_die(struct run *r)
{
    r->f->store->options.index_snapshot_bytes = UINT64_C(1) << 60;
    fill(r);
    assert_status(r->f, OK, index_image_write(r->f->store, NULL, &r->f->error));
    write_more(r);
    sync_store(r->f);
    kill_9(r->f);
}

static void act_open(struct run *r)
{
    bitcask_status status = try_open(r->f);
    allowed(r, status);
    if (status != BITCASK_OK)
        return;
    check_all(r, false);
    (void)keydir_fetch_all(r->f->store->keydir, &r->f->error);
    check_all(r, false);
}

static void fill_and_damage_the_image(struct run *r)
{
    fill_and_close_with_image(r);
    flip_byte(r->f, NAME_IMAGE, 128 + 20);
    open_store(r->f);
}

static void fill_and_damage_image_and_hints(struct run *r)
{
    fill_and_close_with_image(r);
    flip_byte(r->f, NAME_IMAGE, 128 + 20);
    delete_hints(r->f);
    open_store(r->f);
}

/* A shard that cannot be had now is an error now, and there later. */
static void act_look_up(struct run *r)
{
    for (size_t i = 0; i < r->key_count; i++) {
        bitcask_buffer value = {0};
        allowed(r, read_key(r->f, r->keys[i].name, &value));
        bitcask_buffer_free(&value);
    }
    check_all(r, false);
    bitcask_iterator *iterator;
    bitcask_status status = bitcask_iterator_new(r->f->db, NULL, bitcask_str(""), BITCASK_VALUES,
                                                 &iterator, &r->f->error);
    allowed(r, status);
    if (status != BITCASK_OK)
        return;
    bitcask_entry entry;
    while ((status = bitcask_iterator_next(iterator, &entry, &r->f->error)) == BITCASK_OK)
        continue;
    if (status < 0)
        allowed(r, status);
    bitcask_iterator_free(iterator);
}

/* To which verify would object. */
static void drop_the_image(struct run *r)
{
    if (has_file(r->f, NAME_IMAGE))
        delete_file(r->f, NAME_IMAGE);
}

/* ---- A sync that fails ----------------------------------------------------------------------- */

static void fill_unsynced(struct run *r)
{
    fill(r);
    put_known(r, "active", "a2");
    put_batch(r->f, "batch", 2);
    put_known(r, "late", "l");
    delete_known(r, "merged");
}

/* The tail is copied elsewhere, with as little memory as there is. */
static void act_rescue(struct run *r)
{
    struct fixture *f = r->f;
    if (is_memory(r->failure) && r->failure != PAGES_ONCE)
        os_mem_fail(f->os, SYNC_CALLS, 1, 1, -EIO);
    bitcask_status status = bitcask_sync_now(f->db, &f->error);
    r->lossy |= status != BITCASK_OK;
    check_all(r, false);
    status = bitcask_put(f->db, bitcask_str("active"), bitcask_str("a3"), NULL, NULL, &f->error);
    wrote(r, "active", "a3", status);
    status = bitcask_sync_now(f->db, NULL);
    r->lossy |= status != BITCASK_OK;
    check_all(r, false);
}

/* ---- Without hints, with damage -------------------------------------------------------------- */

static void fill_and_lose_hints(struct run *r)
{
    fill(r);
    close_store(r->f);
    delete_hints(r->f);
    r->f->options.read_only = 1; /* so that none are made */
    open_store(r->f);
    close_store(r->f);
    r->f->options.read_only = 0;
    open_store(r->f);
    delete_hints(r->f);
    for (size_t i = 0; i < r->f->store->segments.count; i++)
        atomic_store(&r->f->store->segments.by_id[i]->has_hint, 0);
}

static void act_merge(struct run *r)
{
    bitcask_status status = merge_all(r->f);
    allowed(r, status);
    check_all(r, false);
}

/* One record of the output is damaged: its key reads as CORRUPT, the others as they are. */
static void fill_and_damage_a_record(struct run *r)
{
    struct fixture *f = r->f;
    fill(r);
    close_store(f);
    size_t count;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        size_t size;
        if (strstr(names[i], ".data") == NULL)
            continue;
        unsigned char *data = read_whole(f, names[i], &size);
        unsigned char *at = memmem(data, size, "mergedm1", 8);
        if (at != NULL) {
            *at ^= 0x40;
            write_whole(f, names[i], data, size);
        }
        free(data);
    }
    free_list(names, count);
    open_store(f);
    model_of(r, "merged")->states[0] = NULL;
}

static void act_merge_damaged(struct run *r)
{
    bitcask_status status = merge_all(r->f);
    if (status != BITCASK_CORRUPT)
        allowed(r, status);
    status = merge_all(r->f);
    if (status != BITCASK_CORRUPT)
        allowed(r, status);
    check_all(r, false);
}

static void act_walk_damaged(struct run *r)
{
    bitcask_snapshot *snapshot;
    bitcask_status status = bitcask_snapshot_new(r->f->db, &snapshot, &r->f->error);
    allowed(r, status);
    if (status == BITCASK_OK)
        bitcask_snapshot_free(snapshot);
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    status = backup_run(r->f->store, r->f->os, "backup", &options, NULL, &r->f->error);
    if (status != BITCASK_CORRUPT)
        allowed(r, status);
    check_all(r, false);
}

/* What was damaged is repaired, or verify would object. */
static void after_damage(struct run *r)
{
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    bitcask_repair_result result = {.struct_size = sizeof result};
    assert_status(r->f, OK, repair_run(r->f->os, STORE_DIRECTORY, &options, &result, &r->f->error));
    model_of(r, "merged")->sure = 0;
}

/* ---- Nobody wants to hear why ---------------------------------------------------------------- */

static void fill_and_die(struct run *r)
{
    fill(r);
    put_known(r, "active", "a2");
    put_batch(r->f, "batch", 2);
    sync_store(r->f);
    kill_9(r->f);
}

/* All without an error to fill in. */
static void act_quietly(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_status status = store_open(f->os, STORE_DIRECTORY, &f->options, &f->store, NULL);
    f->db = (bitcask *)f->store;
    if (status != BITCASK_OK)
        return;
    status = bitcask_put(f->db, bitcask_str("active"), bitcask_str("a3"), NULL, NULL, NULL);
    wrote(r, "active", "a3", status);
    struct write_op ops[] = {op_put("sealed", "s2", 0), op_delete("late")};
    struct write_request request = {.ops = ops, .op_count = 2, .batch = true};
    status = group_write(f->store, &request);
    wrote(r, "sealed", "s2", status);
    r->lossy |= bitcask_sync_now(f->db, NULL) != BITCASK_OK;
    bitcask_merge_options merge;
    bitcask_merge_options_init(&merge);
    merge.all = 1;
    (void)!bitcask_merge(f->db, &merge, NULL, NULL);
    (void)!verify_run(f->store, NULL, NULL, NULL, NULL);
    bitcask_backup_options backup;
    bitcask_backup_options_init(&backup);
    (void)!backup_run(f->store, f->os, "backup", &backup, NULL, NULL);
    bitcask_iterator *iterator;
    bitcask_read_options read;
    bitcask_read_options_init(&read);
    read.verify = BITCASK_VERIFY_NO;
    if (bitcask_iterator_new(f->db, &read, bitcask_str(""), BITCASK_VALUES, &iterator, NULL) ==
        BITCASK_OK) {
        bitcask_entry entry;
        while (bitcask_iterator_next(iterator, &entry, NULL) == BITCASK_OK)
            continue;
        bitcask_iterator_free(iterator);
    }
    check_all(r, false);
    struct store *store = f->store;
    f->store = NULL;
    f->db = NULL;
    r->lossy |= store_close(store, NULL) != BITCASK_OK;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void whatever_fails_an_image_is_used_or_left_alone(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"open behind an image", fill_behind_an_image, act_open, NULL, false},
        {"recover behind an image", fill_behind_an_image_and_die, act_open, NULL, false},
        {"damaged image", fill_and_damage_the_image, act_look_up, drop_the_image, false},
        {"damaged image, no hints", fill_and_damage_image_and_hints, act_look_up, drop_the_image,
         false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void a_rescue_without_memory_loses_nothing_that_was_durable(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"rescue", fill_unsynced, act_rescue, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_damage_is_no_one_else_s(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"quietly", fill_and_die, act_quietly, NULL, false},
        {"merge without hints", fill_and_lose_hints, act_merge, NULL, false},
        {"merge of damage", fill_and_damage_a_record, act_merge_damaged, after_damage, false},
        {"backup of damage", fill_and_damage_a_record, act_walk_damaged, after_damage, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_an_image_is_used_or_left_alone),
        cmocka_unit_test(a_rescue_without_memory_loses_nothing_that_was_durable),
        cmocka_unit_test(whatever_fails_damage_is_no_one_else_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
