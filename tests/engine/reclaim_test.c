/* SPDX-License-Identifier: MIT
 * reclaim_test.c: whole segments go by their hints: what has expired. */
#include "support/merge_fixture.h"

#include "engine/reclaim.h"

static const uint64_t DAY_US = UINT64_C(24) * 60 * 60 * SECOND;

/* Events that a test counts. */
static unsigned expired_events;

static void count_expired(void *context, const bitcask_log_event *event)
{
    watch(context, event);
    expired_events += strcmp(event->name, "expired") == 0;
}

/* A segment of keys [from, to) that expire `ttl_us` from now. */
static void put_expiring_segment(struct fixture *f, unsigned from, unsigned to, uint64_t ttl_us)
{
    uint64_t at = now(f) + ttl_us;
    for (unsigned key = from; key < to; key++)
        put_expiring(f, key, at + key);
    seal(f);
}

static void pass(struct fixture *f, uint64_t us)
{
    os_mem_advance_clock(f->os, (int64_t)us);
}

static size_t sealed_segments(struct fixture *f)
{
    return totals_of(f).sealed;
}

/* ---- Dropping ------------------------------------------------------------------------------ */

static void a_segment_that_has_expired_goes_without_being_read(void **state)
{
    (void)state;
    struct fixture *f = begin();
    f->store->events.log = count_expired;
    expired_events = 0;
    put_expiring_segment(f, 0, 500, SECOND);
    put_range(f, 1000, 1010);
    seal(f);
    uint64_t id = newest_sealed(f);
    pass(f, 3600ull * SECOND);
    /* Not a byte of its records is right any more: who reads one would notice. */
    const struct segment *segment = f->store->segments.by_id[0];
    uint64_t length = atomic_load(&segment->end);
    memset((void *)(uintptr_t)(segment->map + SEGMENT_HEADER_SIZE), 0xee,
           length - SEGMENT_HEADER_SIZE);
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 1);
    assert_int_equal(f->merged.outputs, 0);
    assert_int_equal(f->merged.records_dropped, 500);
    assert_int_equal(expired_events, 1);
    assert_int_equal(stats_of(f).keys, 10);
    assert_int_equal(stats_of(f).corrupt_records, 0);
    assert_int_equal(stats_of(f).expired_segments_dropped, 1);
    assert_int_equal(newest_sealed(f), id);
    assert_int_equal(sealed_segments(f), 1);
    assert_false(has_file(f, 1));
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void a_segment_with_one_record_that_stays_is_merged_as_ever(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put(f, 700);
    put_expiring_segment(f, 0, 500, SECOND);
    pass(f, 3600ull * SECOND);
    merge_wasteful(f); /* the index takes expired records for live: nothing wastes enough */
    assert_int_equal(stats_of(f).expired_segments_dropped, 0);
    merge_all(f);
    assert_int_equal(stats_of(f).keys, 1);
    assert_model(f);
    end(f);
}

static void before_its_last_record_expires_nothing_goes(void **state)
{
    (void)state;
    struct fixture *f = begin();
    uint64_t at = now(f) + SECOND;
    for (unsigned key = 0; key < 10; key++)
        put_expiring(f, key, at);
    put_expiring(f, 10, at + 1000ull * SECOND);
    seal(f);
    pass(f, 1000ull * SECOND + 59ull * SECOND); /* 59 s behind the last: the margin is 60 */
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 0);
    pass(f, 2ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(f->merged.inputs, 1);
    assert_int_equal(stats_of(f).keys, 0);
    end(f);
}

static void what_an_expired_record_hides_stays_hidden(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 100); /* segment 1: older values */
    put_range(f, 2000, 2100);
    seal(f);
    put_expiring_segment(f, 0, 100, SECOND); /* segment 2 */
    pass(f, 3600ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(stats_of(f).expired_segments_dropped, 1);
    assert_true(f->merged.tombstones_kept >= 100); /* the small ones may have been joined since */
    assert_model(f);
    assert_done(f, store_close(f->store, &f->error));
    assert_done(f, try_open(f));
    assert_model(f);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 0);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void segments_that_follow_each_other_go_oldest_first_and_leave_nothing(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned i = 0; i < 8; i++) /* the same keys again and again */
        put_expiring_segment(f, 0, 50, SECOND);
    for (unsigned key = 0; key < 50; key += 2)
        (void)!try_drop(f, key); /* already gone to a reader, some of them */
    seal(f);
    pass(f, 3600ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(f->merged.tombstones_kept, 0);
    assert_int_equal(f->merged.outputs, 0);
    assert_int_equal(sealed_segments(f), 0);
    assert_int_equal(stats_of(f).keys, 0);
    end(f);
}

static void tombstones_go_with_an_expired_segment(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 50);
    drop_range(f, 0, 50);
    seal(f); /* puts and tombstones: dead as a whole, but not expired */
    for (unsigned key = 100; key < 150; key++)
        put_expiring(f, key, now(f) + SECOND);
    put_expiring(f, 200, now(f) + SECOND);
    f->model[200] = 0;
    seal(f);
    pass(f, 3600ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(sealed_segments(f), 0);
    assert_model(f);
    end(f);
}

/* ---- When ---------------------------------------------------------------------------------- */

/* A cache whose keys live for an hour, written for three days, without a call of merge. */
static void a_store_in_which_everything_expires_stays_small(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = 64 << 10;
    assert_done(f, try_open(f));
    uint64_t most = 0;
    for (unsigned hour = 0; hour < 72; hour++) {
        for (unsigned key = 0; key < 1000; key++) {
            put_expiring(f, (hour * 1000 + key) % KEYS, now(f) + 3600ull * SECOND);
            pass(f, 3600ull * SECOND / 1000);
        }
        uint64_t bytes = stats_of(f).disk_bytes;
        most = bytes > most ? bytes : most;
    }
    assert_true(stats_of(f).bytes_written > 9 << 20);
    assert_true(most < 1 << 20);
    assert_true(stats_of(f).keys < 3000);
    assert_int_equal(stats_of(f).merge_bytes_written, 0);
    assert_sound(f);
    end(f);
}

static void a_clock_that_was_set_drops_nothing(void **state)
{
    (void)state;
    for (int back = 0; back < 2; back++) {
        struct fixture *f = begin();
        put_expiring_segment(f, 0, 100, back ? SECOND : 10 * DAY_US);
        if (back)
            pass(f, 3600ull * SECOND);
        os_mem_step_real_clock(f->os, back ? -(int64_t)DAY_US : 365 * (int64_t)DAY_US);
        merge_wasteful(f);
        assert_int_equal(f->merged.inputs, 0);
        assert_int_equal(stats_of(f).keys, 100);
        end(f);
    }
}

static void a_store_from_before_the_count_of_expiring_records_is_merged_as_ever(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_expiring_segment(f, 0, 100, SECOND);
    pthread_mutex_lock(&f->store->segments.mutex);
    f->store->segments.by_id[0]->figures.expiring = 0; /* as such a manifest has it */
    pthread_mutex_unlock(&f->store->segments.mutex);
    pass(f, 3600ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(stats_of(f).expired_segments_dropped, 0);
    merge_all(f);
    assert_int_equal(stats_of(f).keys, 0);
    end(f);
}

static void the_count_of_expiring_records_outlives_a_reopening(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_expiring_segment(f, 0, 100, 3600ull * SECOND);
    put_expiring_segment(f, 100, 200, 3600ull * SECOND);
    assert_done(f, store_close(f->store, &f->error));
    assert_int_equal(f->os->unlink(f->os, "store/000000001.hint"), 0); /* the first is scanned */
    assert_done(f, try_open(f));
    pass(f, 2 * 3600ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(stats_of(f).expired_segments_dropped, 2);
    assert_int_equal(stats_of(f).keys, 0);
    end(f);
}

static void without_a_hint_one_is_made_from_the_data(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_expiring_segment(f, 0, 100, SECOND);
    assert_int_equal(f->os->unlink(f->os, "store/000000001.hint"), 0);
    pass(f, 3600ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(stats_of(f).expired_segments_dropped, 1);
    assert_int_equal(stats_of(f).keys, 0);
    end(f);
}

/* ---- Tombstones ---------------------------------------------------------------------------- */

/* It cannot be told which keys were in it: it is marked, and stays. The others go. */
static void without_a_hint_damaged_data_is_told_and_kept(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_expiring_segment(f, 0, 50, SECOND);
    put_expiring_segment(f, 50, 100, SECOND);
    pass(f, 3600ull * SECOND);
    struct segment *segment = f->store->segments.by_id[0];
    uint64_t id = segment->id, length = atomic_load(&segment->end);
    memset((void *)(uintptr_t)(segment->map + SEGMENT_HEADER_SIZE), 0xee,
           length - SEGMENT_HEADER_SIZE);
    atomic_store(&segment->has_hint, 0);
    merge_wasteful(f);
    assert_int_equal(stats_of(f).expired_segments_dropped, 1);
    assert_int_equal(stats_of(f).corrupt_records, 1);
    assert_true(atomic_load(&segment->damaged) != 0);
    assert_true(has_file(f, id));
    end(f);
}

/* A merge has written the older records into a segment of a higher number. */
static void of_two_expired_segments_the_one_with_older_records_goes_first(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_expiring_segment(f, 0, 50, SECOND);
    put(f, 1000); /* into the segment that comes next */
    merge_all(f);
    drop(f, 1000);
    put_expiring_segment(f, 0, 50, SECOND); /* the same keys: older ones below */
    pass(f, 3600ull * SECOND);
    merge_wasteful(f);
    assert_int_equal(stats_of(f).keys, 0);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void a_store_that_only_deletes_ends_empty(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = 64 << 10;
    assert_done(f, try_open(f));
    put_range(f, 0, 3000);
    drop_range(f, 0, 3000);
    seal(f);
    merge_wasteful(f); /* not `all` */
    assert_int_equal(totals_of(f).sealed, 0);
    assert_int_equal(totals_of(f).records, 0);
    assert_true(totals_of(f).segments <= 2); /* the active one, and the next in line */
    assert_int_equal(f->merged.tombstones_kept, 0);
    size_t files = 0;
    for (uint64_t id = 1; id < f->store->segments.next_id; id++)
        files += has_file(f, id);
    assert_int_equal(files, totals_of(f).segments);
    assert_done(f, store_close(f->store, &f->error));
    assert_done(f, try_open(f));
    assert_int_equal(totals_of(f).segments, 0);
    assert_model(f);
    end(f);
}

static void filters_spare_most_searches(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned key = 0; key < 2000; key += 2)
        put(f, key);
    for (unsigned key = 2000; key < 3000; key++)
        put(f, key);
    seal(f); /* reaches below all, and has none of the keys that are deleted */
    for (unsigned key = 1; key < 2000; key += 2)
        put(f, key);
    seal(f);
    for (unsigned key = 1; key < 2000; key += 2)
        drop(f, key);
    seal(f);
    merge_wasteful(f);
    bitcask_stats stats = stats_of(f);
    assert_true(f->merged.tombstones_dropped >= 1000);
    assert_true(stats.filter_lookups >= 1000);
    /* A thousand were yes, rightly: the second segment had the keys until it was merged. */
    assert_true(stats.filter_spared * 100 >= (stats.filter_lookups - 1000) * 97);
    assert_int_equal(totals_of(f).tombstones, 0);
    assert_model(f);
    end(f);
}

static struct fixture *store_with_tombstones_kept_for_an_hour(void)
{
    struct fixture *f = fixture_new();
    f->options.tombstone_min_age_ms = 3600 * 1000;
    assert_done(f, try_open(f));
    put_range(f, 0, 50);
    seal(f);
    drop_range(f, 0, 50);
    seal(f);
    return f;
}

static void scenario_24_a_tombstone_younger_than_its_least_age_stays(void **state)
{
    (void)state;
    struct fixture *f = store_with_tombstones_kept_for_an_hour();
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 50);
    pass(f, 3599ull * SECOND);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 50);
    pass(f, 2ull * SECOND);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 0);
    assert_model(f);
    end(f);
}

static void a_clock_that_was_set_makes_no_tombstone_old(void **state)
{
    (void)state;
    struct fixture *f = store_with_tombstones_kept_for_an_hour();
    os_mem_step_real_clock(f->os, 365 * (int64_t)DAY_US);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 50);
    os_mem_step_real_clock(f->os, -366 * (int64_t)DAY_US);
    pass(f, 2 * 3600ull * SECOND);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 50);
    end(f);
}

/* ---- Crashes ------------------------------------------------------------------------------- */

/* Segment 1 has older values of half the keys of segment 2, which expires; segment 3 what stays. */
static struct fixture *expired_store(void)
{
    struct fixture *f = begin();
    put_range(f, 0, 20);
    put_range(f, 100, 110);
    seal(f);
    put_expiring_segment(f, 0, 40, SECOND);
    put_range(f, 200, 210);
    seal(f);
    put(f, 300);
    sync_log(f);
    pass(f, 3600ull * SECOND);
    return f;
}

static int stop_at_zero(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return *left == 0 || --*left == 0;
}

/* Stop at every call of `act` in turn; then `stop`, and nothing has come back or gone. */
static void interrupt_everywhere(void (*act)(struct fixture *f), void (*stop)(struct fixture *f))
{
    uint64_t left = 0;
    for (uint64_t nth = 1; left == 0; nth++) {
        struct fixture *f = expired_store();
        left = nth;
        os_mem_hook(f->os, ~(1u << OS_CALL_ALLOC), stop_at_zero, &left);
        act(f);
        stop(f);
        assert_model(f);
        assert_sound(f);
        merge_all(f);
        assert_model(f);
        reopen_without_hints(f);
        assert_model(f);
        assert_sound(f);
        end(f);
        assert_true(nth < 1000);
    }
}

static void drop_expired(struct fixture *f)
{
    size_t inputs = 0;
    pthread_mutex_lock(&f->store->merge_mutex);
    (void)!reclaim_expired(f->store, NULL, &inputs, &f->error);
    pthread_mutex_unlock(&f->store->merge_mutex);
}

static void killed_at_any_call_of_a_drop_nothing_comes_back(void **state)
{
    (void)state;
    interrupt_everywhere(drop_expired, kill_process);
}

static void in_a_power_cut_at_any_call_of_a_drop_nothing_comes_back(void **state)
{
    (void)state;
    interrupt_everywhere(drop_expired, power_cut);
}

static void lose_manifest(struct fixture *f)
{
    os_mem_hook(f->os, 0, NULL, NULL);
    os_mem_crash(f->os);
    abandon(f);
    if (os_mem_read_file(f->os, "store/" NAME_MANIFEST, NULL, 0) >= 0)
        remove_file(f, NAME_MANIFEST);
    open_again(f);
}

static void with_the_manifest_lost_at_any_call_of_a_drop_nothing_comes_back(void **state)
{
    (void)state;
    interrupt_everywhere(drop_expired, lose_manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_that_has_expired_goes_without_being_read),
        cmocka_unit_test(a_segment_with_one_record_that_stays_is_merged_as_ever),
        cmocka_unit_test(before_its_last_record_expires_nothing_goes),
        cmocka_unit_test(what_an_expired_record_hides_stays_hidden),
        cmocka_unit_test(segments_that_follow_each_other_go_oldest_first_and_leave_nothing),
        cmocka_unit_test(tombstones_go_with_an_expired_segment),
        cmocka_unit_test(a_store_in_which_everything_expires_stays_small),
        cmocka_unit_test(a_clock_that_was_set_drops_nothing),
        cmocka_unit_test(a_store_from_before_the_count_of_expiring_records_is_merged_as_ever),
        cmocka_unit_test(the_count_of_expiring_records_outlives_a_reopening),
        cmocka_unit_test(without_a_hint_one_is_made_from_the_data),
        cmocka_unit_test(without_a_hint_damaged_data_is_told_and_kept),
        cmocka_unit_test(of_two_expired_segments_the_one_with_older_records_goes_first),
        cmocka_unit_test(a_store_that_only_deletes_ends_empty),
        cmocka_unit_test(filters_spare_most_searches),
        cmocka_unit_test(scenario_24_a_tombstone_younger_than_its_least_age_stays),
        cmocka_unit_test(a_clock_that_was_set_makes_no_tombstone_old),
        cmocka_unit_test(killed_at_any_call_of_a_drop_nothing_comes_back),
        cmocka_unit_test(in_a_power_cut_at_any_call_of_a_drop_nothing_comes_back),
        cmocka_unit_test(with_the_manifest_lost_at_any_call_of_a_drop_nothing_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
