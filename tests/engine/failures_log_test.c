/* SPDX-License-Identifier: MIT
 * failures_log_test.c: the end of the log where it goes on in another segment, and what recovery
 * finds there, while any one call of the disk, or any one allocation, fails. */
#include "support/failures.h"

#include "engine/rehint.h"

/* ---- Writes ---------------------------------------------------------------------------------- */

static char large[65001];

static void write_one(struct run *r, const char *key, const char *value, bitcask_sync sync)
{
    bitcask_status status = put_sync(r->f, key, value, sync);
    allowed(r, status);
    wrote(r, key, value, status);
}

static void delete_one(struct run *r, const char *key)
{
    bitcask_status status = bitcask_delete(r->f->db, bitcask_str(key), NULL, NULL, &r->f->error);
    if (status == BITCASK_NOT_FOUND)
        return;
    allowed(r, status);
    wrote(r, key, NULL, status);
}

static void sync_now(struct run *r)
{
    bitcask_status status = bitcask_sync_now(r->f->db, &r->f->error);
    allowed(r, status);
    r->lossy |= status != BITCASK_OK;
}

static void rotate_now(struct run *r)
{
    struct store *store = r->f->store;
    write_mutex_lock(&store->write_mutex);
    bitcask_status status = log_rotate(store, &r->f->error);
    write_mutex_unlock(&store->write_mutex);
    allowed(r, status);
    background_inline(store);
}

/* ---- What the log begins with ------------------------------------------------------------------
 */

static void fill_and_reopen(struct run *r)
{
    memset(large, 'L', sizeof large - 1);
    fill_and_close(r);
    open_store(r->f);
}

static void fill_and_reopen_without_maps(struct run *r)
{
    fill_and_reopen(r);
    r->f->store->writer.mapped_writes = false;
}

/* The cleanly closed segment has no record yet. */
static void rotate_and_reopen(struct run *r)
{
    memset(large, 'L', sizeof large - 1);
    fill(r);
    rotate(r->f);
    close_store(r->f);
    open_store(r->f);
}

/* The segment that was closed is too full for the first record: it is sealed, and another made. */
static void act_outgrow(struct run *r)
{
    write_one(r, "large", large, BITCASK_SYNC_NONE);
    write_one(r, "active", "a2", BITCASK_SYNC_NONE);
    sync_now(r);
    write_one(r, "durable", "d1", BITCASK_SYNC_ALWAYS);
    check_all(r, false);
}

/* A note that the log goes on behind another segment, and how far it was synced, goes before the
 * next record. */
static void act_rotate(struct run *r)
{
    write_one(r, "active", "a2", BITCASK_SYNC_NONE);
    sync_now(r);
    write_one(r, "both", "b3", BITCASK_SYNC_NONE);
    rotate_now(r);
    write_one(r, "active", "a3", BITCASK_SYNC_NONE);
    rotate_now(r);
    rotate_now(r);
    write_one(r, "durable", "d1", BITCASK_SYNC_ALWAYS);
    sync_now(r);
    delete_one(r, "sealed");
    struct write_op ops[] = {op_put("batch0", "b2", 0), op_delete("batch1"),
                             op_put("new", "n1", 0)};
    bitcask_status status = write_batch(r->f, ops, ARRAY_SIZE(ops));
    allowed(r, status);
    wrote(r, "batch0", "b2", status);
    wrote(r, "batch1", NULL, status);
    wrote(r, "new", "n1", status);
    check_all(r, false);
}

/* ---- What recovery finds ----------------------------------------------------------------------
 */

/* A segment of several parts, and one behind it. */
static void fill_parts_and_die(struct run *r)
{
    struct fixture *f = r->f;
    fill(r);
    put_numbered(f, "part", 0, 200, "a value of a part");
    put_known(r, "both", "b3");
    put_batch(f, "batch", 2);
    delete_known(r, "sealed");
    put_numbered(f, "more", 0, 100, "a value of a part");
    sync_store(f);
    kill_9(f);
}

static void act_open(struct run *r)
{
    bitcask_status status = try_open(r->f);
    allowed(r, status);
    if (status == BITCASK_OK)
        check_all(r, false);
}

/* As if recovery had left all hints for later. */
static void fill_and_miss_hints(struct run *r)
{
    fill(r);
    delete_hints(r->f);
    for (size_t i = 0; i < r->f->store->segments.count; i++)
        atomic_store(&r->f->store->segments.by_id[i]->has_hint, 0);
    atomic_store(&r->f->store->hints_missing, true);
}

static void act_make_hints(struct run *r)
{
    (void)rehint_next(r->f->store);
    rehint_all(r->f->store);
    check_all(r, false);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void whatever_fails_the_log_goes_on_or_says_no(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"outgrow a closed segment", fill_and_reopen, act_outgrow, NULL, false},
        {"outgrow an empty segment", rotate_and_reopen, act_outgrow, NULL, false},
        {"outgrow without mappings", fill_and_reopen_without_maps, act_outgrow, NULL, false},
        {"rotate", fill_and_reopen, act_rotate, NULL, false},
        {"rotate without mappings", fill_and_reopen_without_maps, act_rotate, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_an_unsealed_segment_is_found_whole(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"recover in parts", fill_parts_and_die, act_open, NULL, false},
        {"make hints later", fill_and_miss_hints, act_make_hints, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_the_log_goes_on_or_says_no),
        cmocka_unit_test(whatever_fails_an_unsealed_segment_is_found_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
