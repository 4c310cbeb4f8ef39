/* SPDX-License-Identifier: MIT
 * failures_follow_test.c: a follower opens, refreshes and is read as a feed beside a writer while
 * any one call of the disk, or any one allocation, fails. Whatever it was, readers see states of
 * before and none that is older (F3, F6), the next refresh makes up for it (F2), and the writer and
 * its files do not notice. */
#include "support/failures.h"
#include "support/follow_fixture.h"

#include "engine/feed.h"

enum { CHANGES_MAX = 64 };

/* ---- One run --------------------------------------------------------------------------------- */

static struct fixture follower;
static size_t seen[ARRAY_SIZE(((struct run *)0)->keys)]; /* the state that it has shown last */

static bool is_level; /* nothing has failed: it has all that the writer has */

/* before: what the follower opens upon; since: what it has missed when it is refreshed. */
struct follow_scenario {
    const char *name;
    void (*before)(struct run *r);
    void (*since)(struct run *r);
    void (*act)(struct run *r);
};

static void note_seen(struct run *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
        seen[i] = i < r->key_count ? r->keys[i].count - 1 : 0;
}

/* The follower's answers: of no state before the ones that it has shown; errors are none. */
static void check_follower(struct run *r)
{
    struct fixture *writer = r->f;
    r->f = &follower;
    for (size_t i = 0; i < r->key_count; i++) {
        size_t sure = r->keys[i].sure;
        r->keys[i].sure = seen[i];
        check_get(r, r->keys[i].name, true);
        r->keys[i].sure = sure;
    }
    r->f = writer;
}

static void begin_following(struct run *r)
{
    bitcask_status status = try_follow(&follower, r->f);
    if (status != BITCASK_OK)
        fail_run(r, "follow: %s", follower.error.message);
    note_seen(r);
}

/* `allowed`, for a call to the follower. */
static void follower_allowed(struct run *r, bitcask_status status)
{
    struct fixture *writer = r->f;
    r->f = &follower;
    allowed(r, status);
    r->f = writer;
}

/* On a disk that works: what the writer has, the follower has. */
static void check_made_up_for(struct run *r)
{
    if (follower.store == NULL)
        begin_following(r);
    check_follower(r);
    if (is_level && r->f->store != NULL)
        check_equal(&follower, r->f);
    is_level = false;
    refresh(&follower);
    if (r->f->store != NULL)
        check_equal(&follower, r->f);
    note_seen(r);
    check_follower(r);
    stop_follower(&follower);
}

static bool follow_once(struct run *r, const void *what)
{
    static struct fixture writer;
    const struct follow_scenario *scenario = what;
    run_init(r, &writer);
    scenario->before(r);
    if (scenario->since != NULL) {
        begin_following(r);
        scenario->since(r);
    } else {
        memset(seen, 0, sizeof seen);
    }
    atomic_store(&heap.no_threads, true);
    begin_failing(r);
    scenario->act(r);
    bool came = end_failing(r);
    atomic_store(&heap.no_threads, false);
    check_made_up_for(r);
    end_store(r);
    check_reopened(r, false);
    fixture_release(&writer);
    return came;
}

static void run_follow_scenarios(const struct follow_scenario *scenarios, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for_each_failure(scenarios[i].name, follow_once, &scenarios[i]);
}

/* ---- What the writer does -------------------------------------------------------------------- */

static void pass_an_hour(struct run *r)
{
    os_mem_advance_clock(r->f->os, 3600ll * 1000000);
}

static void put_mortal(struct run *r, const char *key)
{
    struct fixture *f = r->f;
    assert_status(f, OK, put_until(f, key, "m", f->os->clock_real(f->os) + 1000000));
    wrote(r, key, "m", BITCASK_OK);
}

static void write_batch_of_all(struct run *r)
{
    struct fixture *f = r->f;
    struct write_op ops[] = {op_put("active", "half", 0), op_put("batch0", "again", 0),
                             op_put("active", "whole", 0), op_delete("batch1")};
    assert_status(f, OK, write_batch(f, ops, ARRAY_SIZE(ops)));
    wrote(r, "active", "whole", BITCASK_OK);
    wrote(r, "batch0", "again", BITCASK_OK);
    wrote(r, "batch1", NULL, BITCASK_OK);
}

/* A batch with a key twice, deletions, a rotation behind which the log goes on. */
static void write_and_rotate(struct run *r)
{
    write_batch_of_all(r);
    put_known(r, "sealed", "s2");
    delete_known(r, "merged");
    rotate(r->f);
    put_known(r, "new", "n1");
    put_known(r, "both", "b3");
}

/* What was read is merged: entries move; what has expired goes without a copy. */
static void fill_mortals(struct run *r)
{
    fill(r);
    put_mortal(r, "mortal");
    put_mortal(r, "mortal too");
    put_known(r, "stays", "s");
    rotate(r->f);
}

static void expire_and_merge(struct run *r)
{
    pass_an_hour(r);
    wrote(r, "mortal", NULL, BITCASK_OK);
    wrote(r, "mortal too", NULL, BITCASK_OK);
    assert_status(r->f, OK, merge_all(r->f));
    put_known(r, "active", "a2");
}

/* What was not read is merged away: the index is loaded anew. */
static void outrun(struct run *r)
{
    write_and_rotate(r);
    assert_status(r->f, OK, merge_all(r->f));
    put_known(r, "active", "a3");
    assert_status(r->f, OK, merge_all(r->f));
    put_known(r, "new", "n2");
}

static void outrun_without_hints(struct run *r)
{
    outrun(r);
    rotate(r->f);
    put_known(r, "sealed", "s3");
    size_t count;
    char **names = list_files(r->f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], ".hint") != NULL)
            delete_file(r->f, names[i]);
    }
    free_list(names, count);
}

/* Another process has written since, and closed the store, or died. */
static void write_and_close(struct run *r)
{
    write_and_rotate(r);
    close_store(r->f);
}

static void write_and_die(struct run *r)
{
    write_and_rotate(r);
    abandon(r->f);
}

static void write_and_recover(struct run *r)
{
    write_and_die(r);
    open_store(r->f);
    put_known(r, "sealed", "s3");
}

static void write_and_lose_the_position(struct run *r)
{
    write_and_rotate(r);
    abandon(r->f);
    delete_file(r->f, NAME_PUBLISHED);
}

static void fill_and_die(struct run *r)
{
    fill(r);
    abandon(r->f);
}

/* ---- What the follower does ------------------------------------------------------------------ */

static void act_open(struct run *r)
{
    bitcask_status status = try_follow(&follower, r->f);
    follower_allowed(r, status);
}

static void act_refresh(struct run *r)
{
    bitcask_status status = bitcask_refresh(follower.db, NULL, &follower.error);
    follower_allowed(r, status);
    (void)follow_look(follower.store); /* a guess, whatever fails */
    is_level = status == BITCASK_OK && failing_calls(r) < r->nth;
}

/* What a snapshot has seen it goes on seeing, and it stands in the way of no more than loading. */
static void act_refresh_under_a_snapshot(struct run *r)
{
    bitcask_snapshot *snapshot;
    bitcask_status status = bitcask_snapshot_new(follower.db, &snapshot, &follower.error);
    follower_allowed(r, status);
    if (status != BITCASK_OK)
        return;
    act_refresh(r);
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_buffer value = {0};
    status =
        bitcask_get(follower.db, &options, bitcask_str("sealed"), &value, NULL, &follower.error);
    follower_allowed(r, status);
    if (status == BITCASK_OK)
        assert_memory_equal(value.data, "s1", 2);
    bitcask_buffer_free(&value);
    bitcask_snapshot_free(snapshot);
}

/* ---- Feeds ----------------------------------------------------------------------------------- */

/* All changes there are; each once, in the order of versions (C1). */
static bitcask_status read_feed(struct run *r, bitcask_feed *feed, size_t *count)
{
    uint64_t version = 0;
    bitcask_status status;
    bitcask_change change;
    while ((status = feed_next(feed, &change, &follower.error)) == BITCASK_OK) {
        if (change.meta.version <= version)
            fail_run(r, "a change of version %llu behind %llu",
                     (unsigned long long)change.meta.version, (unsigned long long)version);
        version = change.meta.version;
        *count += 1;
        assert_true(*count <= CHANGES_MAX);
    }
    return status;
}

/* One that is behind the merges: it says GAP, or nothing is amiss. */
static void act_feed(struct run *r)
{
    bitcask_feed *feed;
    size_t count = 0;
    bitcask_status status =
        feed_new(follower.store, "now", slice_of(NULL, 0), &feed, &follower.error);
    follower_allowed(r, status);
    if (status != BITCASK_OK)
        return;
    act_refresh(r);
    status = read_feed(r, feed, &count);
    if (status != BITCASK_GAP && status != BITCASK_END)
        fail_run(r, "the feed gave %s: %s", bitcask_status_name(status), follower.error.message);
    if (failing_calls(r) < r->nth && status == BITCASK_END)
        assert_true(count > 0);
    feed_free(feed);
}

/* ---- The writer's word ----------------------------------------------------------------------- */

/* Where the word of how far the log is published cannot be stored, the store does without. */
static void act_write(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_status status =
        bitcask_put(f->db, bitcask_str("both"), bitcask_str("b3"), NULL, NULL, &f->error);
    wrote(r, "both", "b3", status);
    allowed(r, status);
    status = bitcask_delete(f->db, bitcask_str("sealed"), NULL, NULL, &f->error);
    wrote(r, "sealed", NULL, status);
    if (status != BITCASK_READ_ONLY)
        allowed(r, status);
}

static void fill_and_reopen(struct run *r)
{
    fill_and_close(r);
    open_store(r->f);
}

static void fill_and_reopen_without_maps(struct run *r)
{
    fill_and_reopen(r);
    r->f->store->writer.mapped_writes = false;
}

static void fill_and_reopen_beside_garbage(struct run *r)
{
    fill_and_close(r);
    write_whole(r->f, NAME_PUBLISHED, "not of this store", 17);
    open_store(r->f);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void whatever_fails_an_open_can_be_done_again(void **state)
{
    (void)state;
    static const struct follow_scenario scenarios[] = {
        {"follow", fill, NULL, act_open},
        {"follow a store that is closed", fill_and_close, NULL, act_open},
        {"follow a store whose writer has died", fill_and_die, NULL, act_open},
    };
    run_follow_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_refresh_can_be_done_again(void **state)
{
    (void)state;
    static const struct follow_scenario scenarios[] = {
        {"refresh", fill, write_and_rotate, act_refresh},
        {"refresh under a snapshot", fill, write_and_rotate, act_refresh_under_a_snapshot},
        {"refresh after a merge", fill_mortals, expire_and_merge, act_refresh},
        {"refresh after a merge under a snapshot", fill_mortals, expire_and_merge,
         act_refresh_under_a_snapshot},
        {"refresh of what is closed", fill, write_and_close, act_refresh},
        {"refresh of what was left", fill, write_and_die, act_refresh},
        {"refresh without a position", fill, write_and_lose_the_position, act_refresh},
    };
    run_follow_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_an_index_is_loaded_anew(void **state)
{
    (void)state;
    static const struct follow_scenario scenarios[] = {
        {"reload", fill, outrun, act_refresh},
        {"reload without hints", fill, outrun_without_hints, act_refresh},
        {"reload after a recovery", fill, write_and_recover, act_refresh},
    };
    run_follow_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_feed_passes_nothing_over(void **state)
{
    (void)state;
    static const struct follow_scenario scenarios[] = {
        {"feed", fill, write_and_rotate, act_feed},
        {"feed behind merges", fill, outrun, act_feed},
    };
    run_follow_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_nothing_is_published_wrongly(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"publish", fill_and_reopen, act_write, NULL, false},
        {"publish without mappings", fill_and_reopen_without_maps, act_write, NULL, false},
        {"publish beside garbage", fill_and_reopen_beside_garbage, act_write, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_an_open_can_be_done_again),
        cmocka_unit_test(whatever_fails_a_refresh_can_be_done_again),
        cmocka_unit_test(whatever_fails_an_index_is_loaded_anew),
        cmocka_unit_test(whatever_fails_a_feed_passes_nothing_over),
        cmocka_unit_test(whatever_fails_nothing_is_published_wrongly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
