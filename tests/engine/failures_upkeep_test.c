/* SPDX-License-Identifier: MIT
 * failures_upkeep_test.c: what a store does by itself, while any one call of the disk, or any one
 * allocation, fails: letting what has expired go, evicting, the scheduler's merges, scrubbing,
 * fetching its index. Keys that may go are models that may end absent. */
#include "support/failures.h"

#include "engine/merge_next.h"
#include "engine/merge_schedule.h"
#include "engine/quota.h"
#include "engine/reclaim.h"
#include "engine/scrub.h"

static const uint64_t SECOND_US = 1000000;

static void put_mortal(struct run *r, const char *key, const char *value, uint64_t seconds)
{
    struct fixture *f = r->f;
    uint64_t at = f->os->clock_real(f->os) + seconds * SECOND_US;
    assert_status(f, OK, put_until(f, key, value, at));
    wrote(r, key, value, BITCASK_OK);
}

static void pass(struct run *r, uint64_t seconds)
{
    os_mem_advance_clock(r->f->os, (int64_t)(seconds * SECOND_US));
}

static void with_merge_mutex(struct run *r, bitcask_status (*act)(struct run *r))
{
    struct store *store = r->f->store;
    pthread_mutex_lock(&store->merge_mutex);
    bitcask_status status = act(r);
    pthread_mutex_unlock(&store->merge_mutex);
    allowed(r, status);
}

/* Nothing went wrong: it was all done. */
static bool nothing_failed(struct run *r)
{
    return failing_calls(r) < r->nth;
}

/* ---- Expiry ---------------------------------------------------------------------------------- */

/* A segment that has expired as a whole; one of its keys has an older version elsewhere. */
static void fill_and_let_expire(struct run *r)
{
    struct fixture *f = r->f;
    fill(r);
    rotate(f);
    put_mortal(r, "both", "mortal", 1);
    put_mortal(r, "mortal", "m", 1);
    rotate(f);
    put_known(r, "active", "a2");
    sync_store(f);
    pass(r, 3600);
    wrote(r, "both", NULL, BITCASK_OK);
    wrote(r, "mortal", NULL, BITCASK_OK);
}

static void fill_let_expire_and_lose_the_hints(struct run *r)
{
    fill_and_let_expire(r);
    close_store(r->f);
    delete_hints(r->f);
    open_store(r->f);
    for (size_t i = 0; i < r->f->store->segments.count; i++)
        atomic_store(&r->f->store->segments.by_id[i]->has_hint, 0);
    pass(r, 3600);
}

static bitcask_status expire(struct run *r)
{
    size_t inputs = 0;
    struct merge_tally tally = {0};
    bitcask_status status = reclaim_expired(r->f->store, &tally, &inputs, &r->f->error);
    if (nothing_failed(r))
        assert_int_equal(inputs, 1);
    return status;
}

static void act_expire(struct run *r)
{
    with_merge_mutex(r, expire);
    check_all(r, false);
}

/* ---- Eviction -------------------------------------------------------------------------------- */

static void may_go(struct run *r, const char *key)
{
    wrote(r, key, NULL, BITCASK_UNKNOWN);
}

static void fill_for_eviction(struct run *r)
{
    fill(r);
    for (size_t i = 0; i < r->key_count; i++)
        may_go(r, r->keys[i].name);
    r->f->store->options.eviction = BITCASK_EVICT_OLDEST;
}

/* Only the records that expire go: the others of the segment are written again. */
static void fill_with_mortals(struct run *r)
{
    fill(r);
    rotate(r->f);
    put_known(r, "stays", "s");
    put_mortal(r, "merged", "mortal", 1000);
    put_mortal(r, "mortal", "m", 1000);
    rotate(r->f);
    may_go(r, "merged");
    may_go(r, "mortal");
    r->f->store->options.eviction = BITCASK_EVICT_EXPIRING;
}

static bitcask_status evict(struct run *r)
{
    uint64_t before = stats_of(r->f).evicted_keys;
    bitcask_status status = reclaim_evict(r->f->store, &r->f->error);
    if (nothing_failed(r))
        assert_true(stats_of(r->f).evicted_keys > before);
    return status;
}

static void act_evict(struct run *r)
{
    with_merge_mutex(r, evict);
    check_all(r, false);
}

/* A snapshot goes on seeing what is evicted under it, unless there was no memory for that. */
static void act_evict_under_a_snapshot(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_snapshot *snapshot;
    bitcask_status status = bitcask_snapshot_new(f->db, &snapshot, &f->error);
    allowed(r, status);
    if (status != BITCASK_OK)
        return;
    with_merge_mutex(r, evict);
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_buffer value = {0};
    status = bitcask_get(f->db, &options, bitcask_str("merged"), &value, NULL, &f->error);
    allowed(r, status);
    if (nothing_failed(r))
        assert_status(f, OK, status);
    if (status == BITCASK_OK)
        assert_memory_equal(value.data, "m1", 2);
    bitcask_buffer_free(&value);
    bitcask_snapshot_free(snapshot);
}

/* Closes the active segment where nothing else helps. */
static void act_make_room(struct run *r)
{
    struct store *store = r->f->store;
    for (int i = 0; i < 8; i++)
        if (!quota_make_room(store, QUOTA_DISK, atomic_load(&store->quota.rounds)))
            break;
    check_all(r, false);
}

/* ---- The scheduler's jobs -------------------------------------------------------------------- */

/* Waste, tombstones that are needed and such that are not, and what has expired among the living.
 */
static void fill_with_waste(struct run *r)
{
    struct fixture *f = r->f;
    static char large[20001];
    memset(large, 'L', sizeof large - 1);
    put_known(r, "large", large);
    put_mortal(r, "mortal", large, 1);
    put_known(r, "hidden", "x");
    rotate(f);
    fill(r);
    delete_known(r, "hidden");
    put_known(r, "large", "small");
    rotate(f);
    pass(r, 3600);
    wrote(r, "mortal", NULL, BITCASK_OK);
}

static struct merge_ledger ledger;

static bitcask_status next_jobs(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_status status = BITCASK_OK;
    uint64_t inputs = 0;
    for (int i = 0; i < 8 && status == BITCASK_OK; i++) {
        bitcask_merge_result result;
        (void)merge_next_is_likely(f->store, &ledger, i % 2 == 0);
        status = merge_next_run(f->store, &ledger, i % 2 == 0, &result, &f->error);
        inputs += result.inputs;
    }
    if (nothing_failed(r)) {
        assert_int_equal(status, BITCASK_END);
        assert_true(inputs > 0);
    }
    return status;
}

static void act_next_jobs(struct run *r)
{
    ledger = (struct merge_ledger){0};
    with_merge_mutex(r, next_jobs);
    merge_ledger_release(&ledger);
    check_all(r, false);
}

/* The scheduler's own steps. What fails is put off, and said once. */
static void act_steps(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_status status = merge_schedule_new(f->store, &f->error);
    allowed(r, status);
    if (status != BITCASK_OK)
        return;
    os_mem_advance_clock(f->os, (int64_t)(100 * SECOND_US));
    for (int i = 0; i < 8; i++) {
        if (merge_schedule_step(f->store) > 0)
            os_mem_advance_clock(f->os, (int64_t)(70 * SECOND_US));
        struct merge_schedule_report report;
        merge_schedule_describe(f->store, &report);
        assert_int_not_equal(report.state, BITCASK_MERGE_OFF);
    }
    merge_schedule_stop(f->store);
    if (nothing_failed(r))
        assert_true(stats_of(f).merges > 0);
    check_all(r, false);
}

/* ---- Scrubbing ------------------------------------------------------------------------------- */

/* A disk that fails may look like damage, want of memory not. */
static void act_scrub(struct run *r)
{
    scrub_pass(r->f->store, NULL);
    if (is_memory(r->failure) || nothing_failed(r))
        assert_int_equal(atomic_load(&r->f->store->counters.scrub_findings), 0);
    check_all(r, false);
}

/* ---- The index ------------------------------------------------------------------------------- */

static void fill_and_reopen_with_image(struct run *r)
{
    fill_and_close_with_image(r);
    open_store(r->f);
}

static void act_fetch(struct run *r)
{
    struct keydir *keydir = r->f->store->keydir;
    while (keydir_has_absent(keydir)) {
        bitcask_status status = keydir_fetch_some(keydir, 1);
        allowed(r, status);
        if (status != BITCASK_OK)
            break;
    }
    bitcask_status status = keydir_fetch_all(keydir, &r->f->error);
    allowed(r, status);
    check_all(r, false);
    if (nothing_failed(r))
        assert_false(keydir_has_absent(keydir));
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void whatever_fails_what_has_expired_stays_away(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"expire", fill_and_let_expire, act_expire, NULL, false},
        {"expire without hints", fill_let_expire_and_lose_the_hints, act_expire, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_only_what_may_be_evicted_goes(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"evict", fill_for_eviction, act_evict, NULL, false},
        {"evict what expires", fill_with_mortals, act_evict, NULL, false},
        {"evict under a snapshot", fill_for_eviction, act_evict_under_a_snapshot, NULL, false},
        {"make room", fill_for_eviction, act_make_room, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_the_scheduler_s_jobs_change_nothing(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"next jobs", fill_with_waste, act_next_jobs, NULL, false},
        {"steps", fill_with_waste, act_steps, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void want_of_memory_is_no_finding_of_the_scrubber(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"scrub", fill, act_scrub, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_the_index_is_fetched_or_asked_for_again(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"fetch", fill_and_reopen_with_image, act_fetch, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_what_has_expired_stays_away),
        cmocka_unit_test(whatever_fails_only_what_may_be_evicted_goes),
        cmocka_unit_test(whatever_fails_the_scheduler_s_jobs_change_nothing),
        cmocka_unit_test(want_of_memory_is_no_finding_of_the_scrubber),
        cmocka_unit_test(whatever_fails_the_index_is_fetched_or_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
