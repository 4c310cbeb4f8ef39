/* SPDX-License-Identifier: MIT
 * merge_schedule_test.c: the scheduler, stepped by hand on a clock that only the tests and its own
 * waits move. */
#include "support/merge_fixture.h"

#include "engine/merge_policy.h"
#include "engine/merge_schedule.h"

/* ---- Verbs ---------------------------------------------------------------------------------- */

/* What happens while a merge waits, and how long it has waited. */
struct waits {
    struct fixture *f;
    uint64_t count, total_us;
    void (*during)(struct waits *waits);
};

/* The scheduler's waits, and those of its jobs, pass at once. */
static void wait_on_paper(void *context, uint64_t us)
{
    struct waits *waits = context;
    waits->count++;
    waits->total_us += us;
    if (waits->during != NULL)
        waits->during(waits);
    else
        os_mem_advance_clock(waits->f->os, (int64_t)us);
}

static struct waits waits;

static struct fixture *begin_scheduled(void)
{
    struct fixture *f = fixture_new();
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    f->options.merge_delay_ms = 0;
    f->options.merge_bytes_per_s = 0;
    return f;
}

static void open_scheduled(struct fixture *f)
{
    assert_done(f, try_open(f));
    waits = (struct waits){.f = f};
    f->store->gate.wait = wait_on_paper;
    f->store->gate.wait_context = &waits;
    assert_done(f, merge_schedule_new(f->store, &f->error));
}

static struct fixture *begin_open(void)
{
    struct fixture *f = begin_scheduled();
    open_scheduled(f);
    return f;
}

static void end_scheduled(struct fixture *f)
{
    assert_model(f);
    assert_sound(f);
    end(f);
}

/* Step until it wants to wait; returns how long. */
static uint64_t settle(struct fixture *f)
{
    uint64_t wait_us = 0;
    for (unsigned steps = 0; wait_us == 0; steps++) {
        assert_true(steps < 100); /* it comes to rest */
        wait_us = merge_schedule_step(f->store);
    }
    return wait_us;
}

static bitcask_merge_state state_of(struct fixture *f)
{
    return stats_of(f).merge_state;
}

static uint64_t merges_of(struct fixture *f)
{
    return stats_of(f).merges;
}

/* A segment of 100 records, of which the last `dead` are overwritten by the next one's. */
static void fill_with_dead(struct fixture *f, unsigned dead)
{
    put_range(f, 0, 100);
    seal(f);
    put_range(f, 100 - dead, 100);
    put_range(f, 200, 300);
    seal(f);
}

/* ---- When ----------------------------------------------------------------------------------- */

static void an_empty_store_has_nothing_to_do(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    uint64_t wait_us = settle(f);
    assert_true(wait_us > MERGE_TICK_US - 1000 && wait_us <= MERGE_TICK_US);
    assert_int_equal(state_of(f), BITCASK_MERGE_IDLE);
    end_scheduled(f);
}

static void a_segment_is_merged_at_its_trigger_and_not_below(void **state)
{
    (void)state;
    for (unsigned dead = 40; dead <= 60; dead += 20) {
        struct fixture *f = begin_open();
        fill_with_dead(f, dead);
        settle(f);
        assert_int_equal(merges_of(f), dead >= 50);
        assert_int_equal(has_file(f, 1), dead < 50);
        end_scheduled(f);
    }
}

static void sealing_wakes_it(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    settle(f);
    assert_true(merge_schedule_step(f->store) > 0); /* not woken: it does not even look */
    fill_with_dead(f, 60);
    assert_int_equal(merge_schedule_step(f->store), 0);
    assert_int_equal(merges_of(f), 1);
    end_scheduled(f);
}

static void what_dies_without_a_seal_is_found_at_the_next_tick(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    put_range(f, 0, 100);
    seal(f);
    settle(f);
    put_range(f, 0, 90); /* in the active segment */
    uint64_t wait_us = settle(f);
    assert_int_equal(merges_of(f), 0);
    os_mem_advance_clock(f->os, (int64_t)wait_us);
    settle(f);
    assert_int_equal(merges_of(f), 1);
    end_scheduled(f);
}

static void it_waits_for_the_delay_after_open(void **state)
{
    (void)state;
    struct fixture *f = begin_scheduled();
    f->options.merge_delay_ms = 30000;
    open_scheduled(f);
    fill_with_dead(f, 60);
    uint64_t wait_us = settle(f);
    assert_true(wait_us > 29 * SECOND && wait_us <= 30 * SECOND);
    assert_int_equal(state_of(f), BITCASK_MERGE_WAITING);
    os_mem_advance_clock(f->os, (int64_t)wait_us - 1000); /* looks at the clock move it too */
    wait_us = settle(f);
    assert_true(wait_us <= 1000);
    assert_int_equal(merges_of(f), 0);
    os_mem_advance_clock(f->os, (int64_t)wait_us);
    settle(f);
    assert_int_equal(merges_of(f), 1);
    end_scheduled(f);
}

static void it_waits_for_its_window(void **state)
{
    (void)state;
    struct fixture *f = begin_scheduled();
    unsigned hour = (unsigned)(now(f) / SECOND / 3600 % 24);
    snprintf(f->options.merge_window, sizeof f->options.merge_window, "%u-%u", (hour + 22) % 24,
             hour == 0 ? 24 : hour); /* has just closed */
    open_scheduled(f);
    fill_with_dead(f, 60);
    uint64_t wait_us = settle(f);
    assert_true(wait_us > 21 * 3600ull * SECOND && wait_us <= 22 * 3600ull * SECOND);
    assert_int_equal(merges_of(f), 0);
    os_mem_advance_clock(f->os, (int64_t)wait_us);
    settle(f);
    assert_int_equal(merges_of(f), 1);
    end_scheduled(f);
}

/* ---- What ----------------------------------------------------------------------------------- */

/* M8. */
static void small_segments_are_joined_and_then_left_alone(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    for (unsigned i = 0; i < 8; i++) {
        put_range(f, i * 10, i * 10 + 10);
        seal(f);
    }
    settle(f);
    assert_int_equal(totals_of(f).sealed, 1);
    uint64_t merges = merges_of(f);
    for (unsigned ticks = 0; ticks < 10; ticks++)
        os_mem_advance_clock(f->os, (int64_t)settle(f));
    assert_int_equal(merges_of(f), merges);
    end_scheduled(f);
}

/* M8. The values that they hide are in a segment that is not worth a merge. */
static void needed_tombstones_are_not_written_for_ever(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    put_range(f, 0, 400);
    seal(f);
    settle(f);
    drop_range(f, 0, 60);
    seal(f);
    settle(f);
    uint64_t merges = merges_of(f);
    for (unsigned ticks = 0; ticks < 10; ticks++)
        os_mem_advance_clock(f->os, (int64_t)settle(f));
    assert_int_equal(merges_of(f), merges);
    assert_int_equal(totals_of(f).tombstones, 60);
    end_scheduled(f);
}

static void tombstones_go_once_what_they_hide_has_gone(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    put_range(f, 0, 400);
    seal(f);
    drop_range(f, 0, 60);
    put_range(f, 1000, 1010);
    seal(f);
    settle(f);
    assert_int_equal(totals_of(f).tombstones, 60);
    drop_range(f, 60, 300); /* now most of it is dead */
    seal(f);
    settle(f);
    for (unsigned ticks = 0; ticks < 3; ticks++)
        os_mem_advance_clock(f->os, (int64_t)settle(f));
    assert_int_equal(totals_of(f).tombstones, 0);
    end_scheduled(f);
}

static void what_has_expired_is_reaped(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    put_range(f, 500, 550);
    for (unsigned key = 0; key < 100; key++)
        put_expiring(f, key, now(f) + 3600ull * SECOND);
    seal(f);
    settle(f);
    assert_int_equal(merges_of(f), 0);
    os_mem_advance_clock(f->os, 3590ll * SECOND);
    settle(f);
    assert_int_equal(merges_of(f), 0);
    os_mem_advance_clock(f->os, 80ll * SECOND); /* and the margin */
    settle(f);
    assert_int_equal(merges_of(f), 1);
    assert_int_equal(totals_of(f).records, 50);
    end_scheduled(f);
}

static void what_has_expired_by_a_clock_that_was_set_is_not_reaped(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    for (unsigned key = 0; key < 100; key++)
        put_expiring(f, key, now(f) + 3600ull * SECOND);
    seal(f);
    os_mem_step_real_clock(f->os, 7200ll * SECOND);
    settle(f);
    assert_int_equal(merges_of(f), 0);
    end_scheduled(f);
}

/* Every segment is just below its own trigger. */
static void a_store_that_wastes_as_a_whole_is_merged(void **state)
{
    (void)state;
    struct fixture *f = begin_scheduled();
    f->options.segment_size = 1 << 20;
    open_scheduled(f);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned key = 0; key < 300; key++)
            put_sized(f, i * 300 + key, 1000);
        seal(f);
    }
    settle(f);
    assert_int_equal(merges_of(f), 0);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned key = 0; key < 145; key++) /* 48% */
            put_sized(f, i * 300 + key, 10);
    merge_schedule_wake(f->store);
    settle(f);
    assert_true(merges_of(f) > 0);
    bitcask_stats stats = stats_of(f);
    assert_true(stats.dead_bytes * 3 <= stats.live_bytes + stats.dead_bytes);
    end_scheduled(f);
}

/* Four segments of 50 records of 1000 bytes, of which 20%, 30%, 40% and none are dead. */
static struct fixture *begin_with_waste_below_its_trigger(void)
{
    struct fixture *f = begin_open();
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned key = 0; key < 50; key++)
            put_sized(f, i * 50 + key, 1000);
        seal(f);
    }
    for (unsigned i = 0; i < 3; i++)
        for (unsigned key = 0; key < 10 + 5 * i; key++)
            put(f, i * 50 + key);
    for (unsigned key = 300; key < 340; key++)
        put_sized(f, key, 1000);
    settle(f);
    assert_int_equal(merges_of(f), 0);
    return f;
}

static uint64_t used_bytes(struct fixture *f)
{
    uint64_t free_bytes, size;
    assert_int_equal(f->os->free_space(f->os, "store", &free_bytes), 0);
    assert_int_equal(f->os->disk_size(f->os, "store", &size), 0);
    return size - free_bytes;
}

static void a_disk_that_is_98_percent_full_gets_what_frees_most_first(void **state)
{
    (void)state;
    struct fixture *f = begin_with_waste_below_its_trigger();
    const uint64_t ballast = 16 << 20; /* of others: 1% of the disk is room for any job */
    static char bytes[16 << 20];
    struct os_file *file;
    assert_int_equal(f->os->open(f->os, "ballast", OS_READ | OS_WRITE | OS_CREATE, &file), 0);
    assert_int_equal(f->os->pwrite(f->os, file, bytes, ballast, 0, 0), 0);
    assert_int_equal(f->os->close(f->os, file), 0);
    os_mem_set_capacity(f->os, used_bytes(f) * 100 / 97); /* 3% are free */
    merge_schedule_wake(f->store);
    settle(f);
    assert_int_equal(merges_of(f), 0);
    os_mem_set_capacity(f->os, used_bytes(f) * 1000 / 985);
    merge_schedule_wake(f->store);
    assert_int_equal(merge_schedule_step(f->store), 0);
    assert_false(has_file(f, 3));
    assert_true(has_file(f, 1) && has_file(f, 2));
    assert_int_equal(merge_schedule_step(f->store), 0);
    assert_false(has_file(f, 2));
    settle(f);
    assert_true(has_file(f, 4));
    assert_int_equal(f->os->unlink(f->os, "ballast"), 0);
    end_scheduled(f);
}

static void without_room_it_says_so_and_tries_again_later(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    fill_with_dead(f, 60);
    os_mem_set_capacity(f->os, used_bytes(f) + 4096);
    uint64_t wait_us = settle(f);
    assert_int_equal(merges_of(f), 0);
    assert_int_equal(state_of(f), BITCASK_MERGE_WAITING);
    assert_int_equal(stats_of(f).merge_last_error, BITCASK_NO_SPACE);
    os_mem_set_capacity(f->os, 0);
    os_mem_advance_clock(f->os, (int64_t)wait_us);
    settle(f);
    assert_int_equal(merges_of(f), 1);
    assert_int_equal(stats_of(f).merge_last_error, BITCASK_OK);
    end_scheduled(f);
}

/* What merge_sim_test holds of the plan, of the store itself: uniform overwriting at 50%. */
static void the_store_does_as_the_simulation_says(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    uint64_t random = 1, log_before = 0, merge_before = 0;
    double space_max = 0;
    for (unsigned key = 0; key < KEYS; key++)
        put_sized(f, key, 1000);
    for (unsigned i = 0; i < 8 * KEYS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        put_sized(f, (unsigned)(random >> 33) % KEYS, 1000);
        if (i % 64 != 0)
            continue;
        settle(f);
        bitcask_stats stats = stats_of(f);
        if (i < 4 * KEYS) {
            log_before = stats.bytes_written;
            merge_before = stats.merge_bytes_written;
            continue;
        }
        double space = (double)(stats.live_bytes + stats.dead_bytes) / (double)stats.live_bytes;
        space_max = space > space_max ? space : space_max;
    }
    bitcask_stats stats = stats_of(f);
    double logged = (double)(stats.bytes_written - log_before);
    double merged = (double)(stats.merge_bytes_written - merge_before);
    assert_true((logged + merged) / logged <= 2.5);
    assert_true((logged + merged) / logged >= 1.5);
    assert_true(space_max <= 1.5);
    end_scheduled(f);
}

/* ---- The budget ------------------------------------------------------------------------------ */

static uint64_t moved_bytes(struct fixture *f)
{
    bitcask_stats stats = stats_of(f);
    return stats.merge_bytes_written + stats.merge_bytes_reclaimed + stats.merge_bytes_written;
}

static void the_budget_is_kept_to_the_microsecond(void **state)
{
    (void)state;
    struct fixture *f = begin_scheduled();
    f->options.segment_size = 64 << 20;
    f->options.merge_bytes_per_s = 1 << 20;
    open_scheduled(f);
    for (unsigned key = 0; key < 200; key++)
        put_sized(f, key, 100000);
    seal(f);
    for (unsigned key = 0; key < 110; key++)
        put_sized(f, key, 10);
    for (unsigned key = 1000; key < 1400; key++) /* live ones: the store as a whole is in order */
        put_sized(f, key, 100000);
    seal(f);
    settle(f);
    assert_int_equal(merges_of(f), 1);
    /* 20 MB read and 9 MB written at 1 MiB/s, less than the burst and what is not yet charged at
     * the last call before the end. */
    double expected = 29.0e6 / (1 << 20) * SECOND;
    assert_true((double)waits.total_us > expected - 2.2 * SECOND);
    assert_true((double)waits.total_us < expected + 0.1 * SECOND);
    assert_int_equal(stats_of(f).merge_waited_us, waits.total_us);
    assert_true(moved_bytes(f) > 0);
    end_scheduled(f);
}

/* ---- Pause, cancel, and those who are in a hurry -----------------------------------------------
 */

/* A job that waits for its budget at each of its gates. */
static struct fixture *begin_slow(void)
{
    struct fixture *f = begin_scheduled();
    f->options.segment_size = 8 << 20;
    f->options.merge_bytes_per_s = 1 << 20;
    open_scheduled(f);
    for (unsigned key = 0; key < 700; key++)
        put_sized(f, key, 10000);
    seal(f);
    for (unsigned key = 0; key < 400; key++)
        put_sized(f, key, 10);
    for (unsigned key = 1000; key < 1700; key++) /* the store as a whole is in order */
        put_sized(f, key, 10000);
    seal(f);
    return f;
}

static uint64_t act_at; /* the wait in which something is done */
static struct store *in_a_hurry;

static void pause_and_resume_at_next(struct waits *w)
{
    if (w->count == act_at)
        merge_gate_set_paused(w->f->store, true);
    else if (w->count == act_at + 1) /* the wait of the pause */
        merge_gate_set_paused(w->f->store, false);
    else
        os_mem_advance_clock(w->f->os, 1000000);
}

static void pausing_at_any_gate_holds_the_job_until_it_is_resumed(void **state)
{
    (void)state;
    for (act_at = 1; act_at <= 8; act_at++) {
        struct fixture *f = begin_slow();
        waits.during = pause_and_resume_at_next;
        settle(f);
        assert_true(waits.count > act_at);
        assert_int_equal(merges_of(f), 1);
        end_scheduled(f);
    }
}

static void pause_for_long(struct waits *w)
{
    if (w->count == act_at)
        merge_gate_set_paused(w->f->store, true);
    os_mem_advance_clock(w->f->os, w->count > act_at ? MERGE_PAUSE_HOLD_US : 1000000);
}

static void a_long_pause_gives_the_job_up_and_it_is_begun_anew(void **state)
{
    (void)state;
    for (act_at = 1; act_at <= 8; act_at++) {
        struct fixture *f = begin_slow();
        uint64_t files = os_mem_open_files(f->os);
        waits.during = pause_for_long;
        assert_int_equal(settle(f), UINT64_MAX);
        assert_int_equal(merges_of(f), 0);
        assert_int_equal(state_of(f), BITCASK_MERGE_PAUSED);
        assert_int_equal(os_mem_open_files(f->os), files);
        assert_true(has_file(f, 1));
        waits.during = NULL;
        merge_gate_set_paused(f->store, false);
        settle(f);
        assert_int_equal(merges_of(f), 1);
        end_scheduled(f);
    }
}

static void cancel_once(struct waits *w)
{
    if (w->count == act_at)
        merge_gate_cancel(w->f->store);
    os_mem_advance_clock(w->f->os, 1000000);
}

static void cancelling_at_any_gate_changes_nothing_and_it_rests(void **state)
{
    (void)state;
    for (act_at = 1; act_at <= 8; act_at++) {
        struct fixture *f = begin_slow();
        size_t segments = totals_of(f).segments;
        waits.during = cancel_once;
        uint64_t wait_us = settle(f);
        assert_true(wait_us > MERGE_TICK_US - 1000);
        assert_int_equal(merges_of(f), 0);
        assert_int_equal(totals_of(f).segments, segments);
        assert_int_equal(stats_of(f).merge_last_error, BITCASK_OK);
        os_mem_advance_clock(f->os, (int64_t)wait_us);
        settle(f);
        assert_int_equal(merges_of(f), 1);
        end_scheduled(f);
    }
}

static void *merge_now(void *context)
{
    bitcask_error error;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    bitcask_status status = merge_run(in_a_hurry, &options, NULL, &error);
    if (status != BITCASK_OK)
        fprintf(stderr, "merge: %s\n", error.message);
    return status == BITCASK_OK ? NULL : context;
}

static pthread_t hurried;

/* Begin a bitcask_merge in another thread, and go on when it waits. */
static void let_somebody_merge(struct waits *w)
{
    struct merge_gate *gate = &w->f->store->gate;
    if (w->count != act_at) {
        os_mem_advance_clock(w->f->os, 1000000);
        return;
    }
    in_a_hurry = w->f->store;
    assert_int_equal(pthread_create(&hurried, NULL, merge_now, w), 0);
    for (bool waits_for_us = false; !waits_for_us;) {
        pthread_mutex_lock(&gate->mutex);
        waits_for_us = gate->waiting > 0;
        pthread_mutex_unlock(&gate->mutex);
    }
}

static void a_caller_s_merge_lets_the_job_go_on_without_its_budget(void **state)
{
    (void)state;
    for (act_at = 1; act_at <= 8; act_at += 7) {
        struct fixture *f = begin_slow();
        void *failed;
        waits.during = let_somebody_merge;
        assert_int_equal(merge_schedule_step(f->store), 0);
        assert_int_equal(waits.count, act_at);
        assert_int_equal(pthread_join(hurried, &failed), 0);
        assert_null(failed);
        assert_int_equal(merges_of(f), 1);
        end_scheduled(f);
    }
}

static void a_caller_s_merge_has_a_budget_of_its_own(void **state)
{
    (void)state;
    for (unsigned limited = 0; limited < 2; limited++) {
        struct fixture *f = begin_slow();
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.bytes_per_s = limited ? 1 << 20 : UINT64_MAX;
        assert_done(f, merge_run(f->store, &options, NULL, &f->error));
        assert_int_equal(waits.total_us > 0, limited);
        end_scheduled(f);
    }
}

/* ---- Who holds what has gone -------------------------------------------------------------------
 */

static void a_view_held_for_ever_delays_only_its_own_segment(void **state)
{
    (void)state;
    struct fixture *f = begin_open();
    bitcask_view view;
    put_range(f, 0, 100);
    seal(f);
    assert_done(f, bitcask_get_view(db_of(f), NULL, bitcask_str("key-00000"), &view, &f->error));
    for (unsigned round = 0; round < 5; round++) {
        put_range(f, 0, 100);
        seal(f);
        settle(f);
    }
    bitcask_stats stats = stats_of(f);
    assert_true(stats.merges >= 4);
    assert_int_equal(stats.pinned_segments, 1);
    assert_true(stats.pinned_bytes > 100 * 100);
    assert_int_equal(strncmp(view.value.data, "0:1", 3), 0);
    bitcask_views_release(&view, 1);
    stats = stats_of(f);
    assert_int_equal(stats.pinned_segments, 0);
    assert_int_equal(stats.pinned_bytes, 0);
    end_scheduled(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_has_nothing_to_do),
        cmocka_unit_test(a_segment_is_merged_at_its_trigger_and_not_below),
        cmocka_unit_test(sealing_wakes_it),
        cmocka_unit_test(what_dies_without_a_seal_is_found_at_the_next_tick),
        cmocka_unit_test(it_waits_for_the_delay_after_open),
        cmocka_unit_test(it_waits_for_its_window),
        cmocka_unit_test(small_segments_are_joined_and_then_left_alone),
        cmocka_unit_test(needed_tombstones_are_not_written_for_ever),
        cmocka_unit_test(tombstones_go_once_what_they_hide_has_gone),
        cmocka_unit_test(what_has_expired_is_reaped),
        cmocka_unit_test(what_has_expired_by_a_clock_that_was_set_is_not_reaped),
        cmocka_unit_test(a_store_that_wastes_as_a_whole_is_merged),
        cmocka_unit_test(a_disk_that_is_98_percent_full_gets_what_frees_most_first),
        cmocka_unit_test(without_room_it_says_so_and_tries_again_later),
        cmocka_unit_test(the_store_does_as_the_simulation_says),
        cmocka_unit_test(the_budget_is_kept_to_the_microsecond),
        cmocka_unit_test(pausing_at_any_gate_holds_the_job_until_it_is_resumed),
        cmocka_unit_test(a_long_pause_gives_the_job_up_and_it_is_begun_anew),
        cmocka_unit_test(cancelling_at_any_gate_changes_nothing_and_it_rests),
        cmocka_unit_test(a_caller_s_merge_lets_the_job_go_on_without_its_budget),
        cmocka_unit_test(a_caller_s_merge_has_a_budget_of_its_own),
        cmocka_unit_test(a_view_held_for_ever_delays_only_its_own_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
