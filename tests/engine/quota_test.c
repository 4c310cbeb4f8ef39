/* SPDX-License-Identifier: MIT
 * quota_test.c: limits to disk space and index: what is refused, what goes, and that it stays away.
 */
#include "support/merge_fixture.h"

#include "engine/merge_next.h"
#include "engine/quota.h"
#include "engine/reclaim.h"

enum { MIB = 1 << 20, SEGMENT = 64 << 10 };

/* A store of at most `bytes`, in segments of 64 KiB. */
static struct fixture *limited(uint64_t bytes, bitcask_eviction eviction)
{
    struct fixture *f = fixture_new();
    f->options.segment_size = SEGMENT;
    f->options.max_disk_bytes = bytes;
    f->options.eviction = eviction;
    assert_done(f, try_open(f));
    return f;
}

/* Put new keys of `size` bytes from `key` on until one is refused; that one. */
static unsigned fill(struct fixture *f, unsigned key, uint32_t size)
{
    bitcask_status status;
    while ((status = try_put(f, key, size, 0)) == BITCASK_OK) {
        assert_true(quota_used(f->store) <= f->store->quota.put_limit);
        assert_true(++key < KEYS);
    }
    assert_int_equal(status, BITCASK_LIMIT);
    return key;
}

/* Keys that were evicted: the model learns of it. Returns how many of [from, to) are there. */
static unsigned take_evicted(struct fixture *f, unsigned from, unsigned to)
{
    unsigned there = 0;
    for (unsigned key = from; key < to; key++) {
        if (read_key(f, key) == 0)
            f->model[key] = 0;
        there += f->model[key] != 0;
    }
    return there;
}

/* ---- Refusing ------------------------------------------------------------------------------ */

static void a_put_beyond_the_limit_is_refused_and_says_why(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_NONE);
    unsigned first = fill(f, 0, 1000);
    assert_true(first > 1000 && first < 2000);
    assert_non_null(strstr(f->error.message, "max-disk-bytes 2097152"));
    assert_non_null(strstr(f->error.message, "delete something"));
    assert_int_equal(f->error.status, BITCASK_LIMIT);
    assert_model(f);
    assert_int_equal(try_put(f, 5, 1000, 0), BITCASK_LIMIT); /* an overwrite is a put too */
    assert_model(f);
    assert_true(stats_of(f).disk_bytes + (64 << 10) <= 2 * MIB);
    assert_int_equal(stats_of(f).quota_bytes, quota_used(f->store));
    assert_int_equal(stats_of(f).evicted_keys, 0);
    assert_sound(f);
    end(f);
}

static void deletes_work_at_the_limit_and_make_room_for_puts(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_NONE);
    unsigned first = fill(f, 0, 1000);
    drop_range(f, 0, first / 2);
    put_sized(f, first, 1000); /* merges the room free */
    assert_true(stats_of(f).merges > 0);
    unsigned second = fill(f, first + 1, 1000);
    assert_true(second - first > first / 3);
    assert_model(f);
    drop_range(f, first / 2, second);
    assert_model(f);
    put_sized(f, 1, 1000);
    assert_sound(f);
    end(f);
}

static void a_batch_of_deletes_works_at_the_limit_and_one_with_a_put_does_not(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_NONE);
    unsigned first = fill(f, 0, 1000);
    for (unsigned puts = 0; puts < 2; puts++) {
        bitcask_batch *batch;
        assert_done(f, bitcask_batch_new(&batch, &f->error));
        for (unsigned key = 0; key < first; key += 2) {
            char text[32];
            slice name = bitcask_bytes(text, key_text(text, key));
            assert_done(f, bitcask_batch_delete(batch, name, &f->error));
        }
        char value[1000] = "";
        if (puts == 0)
            assert_done(f, bitcask_batch_put(batch, bitcask_str("x"),
                                             bitcask_bytes(value, sizeof value), 0, &f->error));
        bitcask_status status = bitcask_write(db_of(f), batch, NULL, NULL, &f->error);
        assert_int_equal(status, puts == 0 ? BITCASK_LIMIT : BITCASK_OK);
        for (unsigned key = 0; key < first && puts == 1; key += 2)
            f->model[key] = 0;
        bitcask_batch_free(batch);
        assert_model(f);
    }
    put_sized(f, 0, 1000);
    assert_sound(f);
    end(f);
}

/* Nothing can be evicted, and merging what is deleted does not pay: the active segment stays. */
static void a_store_that_is_full_for_good_does_not_make_a_segment_per_refusal(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_EXPIRING);
    unsigned first = fill(f, 0, 1000);
    uint64_t before = f->store->segments.next_id;
    for (unsigned key = 0; key < 20; key++) {
        drop(f, key * first / 20);
        assert_int_equal(try_put(f, KEYS - 1, 30000, 0), BITCASK_LIMIT);
    }
    assert_true(f->store->segments.next_id <= before + 2);
    assert_model(f);
    end(f);
}

static void overwriting_goes_on_for_ever_below_the_limit(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_NONE);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned key = 0; key < 500; key++) {
            put_sized(f, key, 1000); /* a quarter of the limit is alive */
            assert_true(quota_used(f->store) <= 2 * MIB);
        }
    }
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void what_cannot_fit_is_refused_at_once_and_evicts_nothing(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_OLDEST);
    put_range(f, 0, 100);
    assert_int_equal(try_put(f, 200, MIB, 0), BITCASK_LIMIT);
    assert_non_null(strstr(f->error.message, "do not fit"));
    assert_int_equal(stats_of(f).evicted_keys, 0);
    assert_model(f);
    end(f);
}

/* The put at which the files have to grow: admitted at limit and limit + 1, not at limit - 1. */
static void a_limit_is_exact_to_the_byte(void **state)
{
    (void)state;
    struct fixture *f = limited(64ull * MIB, BITCASK_EVICT_NONE);
    unsigned key = 0;
    uint64_t before = 0, after = 0;
    for (unsigned jumps = 0; jumps < 20;) { /* in the middle of nowhere */
        before = quota_used(f->store);
        put_sized(f, key++, 1000);
        after = quota_used(f->store);
        jumps += after >= before + SEGMENT;
    }
    end(f);
    for (int delta = -1; delta <= 1; delta++) {
        f = limited(64ull * MIB, BITCASK_EVICT_NONE);
        f->store->quota.put_limit = after + (uint64_t)delta;
        for (unsigned i = 0; i + 1 < key; i++)
            put_sized(f, i, 1000);
        assert_int_equal(quota_used(f->store), before);
        assert_int_equal(try_put(f, key - 1, 1000, 0), delta < 0 ? BITCASK_LIMIT : BITCASK_OK);
        assert_model(f);
        end(f);
    }
}

/* Seals, hints and what a segment takes before it has a record, wherever they meet the limit. */
static void no_limit_is_passed_by_a_page(void **state)
{
    (void)state;
    for (uint64_t more = 0; more < 2 * SEGMENT; more += OS_PAGE) {
        struct fixture *f = limited(MIB + more, BITCASK_EVICT_NONE);
        fill(f, 0, 1000);
        end(f);
    }
}

static void a_batch_beyond_the_limit_is_refused_as_a_whole(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_NONE);
    fill(f, 0, 1000);
    bitcask_batch *batch;
    char *value = calloc(1, 30000);
    assert_done(f, bitcask_batch_new(&batch, &f->error));
    assert_done(
        f, bitcask_batch_put(batch, bitcask_str("x"), bitcask_bytes(value, 30000), 0, &f->error));
    assert_done(
        f, bitcask_batch_put(batch, bitcask_str("y"), bitcask_bytes(value, 30000), 0, &f->error));
    assert_int_equal(bitcask_write(db_of(f), batch, NULL, NULL, &f->error), BITCASK_LIMIT);
    bitcask_meta meta;
    assert_int_equal(bitcask_stat_key(db_of(f), NULL, bitcask_str("x"), &meta, &f->error),
                     BITCASK_NOT_FOUND);
    bitcask_batch_free(batch);
    free(value);
    assert_model(f);
    end(f);
}

static unsigned told;

static void count_told(void *context, const bitcask_log_event *event)
{
    watch(context, event);
    told += strcmp(event->name, "quota_reached") == 0;
}

static void it_is_told_once_until_something_is_freed(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_NONE);
    f->store->events.log = count_told;
    told = 0;
    unsigned first = fill(f, 0, 1000);
    for (int i = 0; i < 10; i++)
        assert_int_equal(try_put(f, first, 1000, 0), BITCASK_LIMIT);
    assert_int_equal(told, 1);
    drop_range(f, 0, first);
    fill(f, 0, 1000);
    assert_int_equal(told, 2);
    end(f);
}

static void the_error_of_a_put_that_was_mended_is_left_alone(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_OLDEST);
    for (unsigned key = 0; key < 3000; key++) {
        f->error = (bitcask_error){.status = 77};
        assert_int_equal(try_put(f, key, 1000, 0), BITCASK_OK);
        assert_int_equal(f->error.status, 77);
    }
    assert_true(stats_of(f).evicted_keys > 0);
    f->error = (bitcask_error){0};
    end(f);
}

/* ---- Eviction ------------------------------------------------------------------------------ */

static void the_oldest_keys_go_first(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_OLDEST);
    for (unsigned key = 0; key < KEYS; key++) {
        put_sized(f, key, 1000);
        assert_true(quota_used(f->store) <= f->store->quota.put_limit);
    }
    unsigned there = take_evicted(f, 0, KEYS);
    assert_true(there > 1200);
    for (unsigned key = KEYS - there; key < KEYS; key++)
        assert_true(f->model[key] != 0); /* just the newest */
    assert_int_equal(stats_of(f).evicted_keys, KEYS - there);
    assert_true(stats_of(f).evicted_bytes >= 1000ull * (KEYS - there));
    assert_int_equal(stats_of(f).merge_bytes_written, 0);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void a_key_that_was_written_again_is_young(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_OLDEST);
    for (unsigned key = 10; key < KEYS; key++) {
        put_sized(f, key, 1000);
        put_sized(f, key % 10, 100);
    }
    for (unsigned key = 0; key < 10; key++)
        assert_true(read_key(f, key) != 0);
    assert_true(stats_of(f).evicted_keys > 0);
    take_evicted(f, 0, KEYS);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void evicted_keys_stay_away_after_reopening(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_OLDEST);
    for (unsigned key = 0; key < 3000; key++)
        put_sized(f, key % 1500, 1000); /* each twice: older versions are about */
    take_evicted(f, 0, KEYS);
    assert_done(f, store_close(f->store, &f->error));
    assert_done(f, try_open(f));
    assert_model(f);
    reopen_without_hints(f);
    assert_model(f);
    assert_done(f, store_close(f->store, &f->error));
    f->store = NULL;
    remove_file(f, NAME_MANIFEST);
    assert_done(f, try_open(f));
    assert_model(f);
    assert_sound(f);
    end(f);
}

/* Expiring keys in segment 2 hide older values, which do not expire, in segment 1. */
static void put_expiring_at(struct fixture *f, unsigned key, uint64_t expires_us)
{
    assert_done(f, try_put(f, key, 100, expires_us));
}

static void what_an_evicted_key_hid_stays_hidden(void **state)
{
    (void)state;
    struct fixture *f = limited(64ull * MIB, BITCASK_EVICT_EXPIRING);
    put_range(f, 0, 100);
    put_range(f, 200, 210);
    seal(f);
    for (unsigned key = 0; key < 100; key++)
        put_expiring_at(f, key, now(f) + 3600ull * SECOND);
    put(f, 300);
    seal(f);
    merge_gate_enter_quietly(f->store);
    assert_done(f, reclaim_evict(f->store, &f->error));
    assert_int_equal(reclaim_evict(f->store, &f->error), BITCASK_NOT_FOUND);
    merge_gate_leave(f->store);
    for (unsigned key = 0; key < 100; key++)
        f->model[key] = 0;
    assert_int_equal(stats_of(f).evicted_keys, 100);
    assert_model(f);
    reopen_without_hints(f);
    assert_model(f);
    merge_all(f);
    assert_int_equal(totals_of(f).tombstones, 0);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void keys_that_expire_soonest_go_first_and_others_never(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_EXPIRING);
    uint64_t base = now(f) + 86400ull * SECOND;
    /* Later ones first: it is the expiry that counts, not the age. */
    for (unsigned key = 0; key < 1000; key++) {
        assert_done(f, try_put(f, key, 1000, base + (1000 - key) * (uint64_t)SECOND));
        if (key % 50 == 0)
            put_sized(f, 3000 + key / 50, 100);
    }
    unsigned more = 1000;
    while (stats_of(f).evicted_keys == 0)
        put_sized(f, more++, 1000);
    unsigned there = take_evicted(f, 0, 1000);
    assert_true(there < 1000 && there > 800);
    for (unsigned key = 0; key < there; key++)
        assert_true(f->model[key] != 0);
    assert_int_equal(stats_of(f).evicted_keys, 1000 - there);
    bitcask_status status;
    while ((status = try_put(f, more, 1000, 0)) == BITCASK_OK)
        more++;
    assert_int_equal(status, BITCASK_LIMIT); /* what is left does not expire */
    assert_int_equal(take_evicted(f, 0, 1000), 0);
    for (unsigned key = 1000; key < more; key++)
        assert_true(read_key(f, key) != 0);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void expired_segments_go_before_any_eviction(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_OLDEST);
    put_range(f, 3000, 3100); /* the oldest */
    seal(f);
    for (unsigned key = 0; key < 1000; key++) {
        assert_done(f, try_put(f, key, 1000, now(f) + SECOND));
        f->model[key] = 0;
    }
    os_mem_advance_clock(f->os, 3600ll * SECOND);
    for (unsigned key = 1000; key < 2000; key++)
        put_sized(f, key, 1000);
    assert_int_equal(stats_of(f).evicted_keys, 0);
    assert_true(stats_of(f).expired_segments_dropped > 10);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void waste_goes_before_any_eviction(void **state)
{
    (void)state;
    struct fixture *f = limited(2 * MIB, BITCASK_EVICT_OLDEST);
    put_range(f, 3000, 3100);
    for (unsigned i = 0; i < 5000; i++)
        put_sized(f, i % 300, 1000);
    assert_int_equal(stats_of(f).evicted_keys, 0);
    assert_model(f);
    end(f);
}

/* Everything is in the active segment, which is closed for the purpose. */
static void the_active_segment_is_closed_when_nothing_else_can_go(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.max_disk_bytes = MIB; /* segments of 128 KiB */
    f->options.eviction = BITCASK_EVICT_OLDEST;
    assert_done(f, try_open(f));
    assert_int_equal(f->store->options.segment_size, MIB / 8);
    f->store->quota.put_limit = 256 << 10; /* room for the reserve and little more than one */
    for (unsigned key = 0; key < 1000; key++)
        put_sized(f, key, 1000);
    assert_true(stats_of(f).evicted_keys > 500);
    take_evicted(f, 0, 1000);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void a_snapshot_and_a_view_outlive_the_eviction_of_what_they_see(void **state)
{
    (void)state;
    struct fixture *f = limited(MIB, BITCASK_EVICT_OLDEST);
    char text[32];
    for (unsigned key = 0; key < 100; key++)
        put_sized(f, key, 1000);
    bitcask_view view;
    bitcask_snapshot *snapshot;
    slice key = bitcask_bytes(text, key_text(text, 7));
    assert_done(f, bitcask_get_view(db_of(f), NULL, key, &view, &f->error));
    assert_done(f, bitcask_snapshot_new(db_of(f), &snapshot, &f->error));
    for (unsigned other = 100; other < 3000; other++)
        put_sized(f, other, 1000);
    assert_int_equal(read_key(f, 7), 0);
    assert_int_equal(view.value.size, 1000);
    assert_memory_equal(view.value.data, "7:8", 3);
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_buffer value = {0};
    for (unsigned i = 0; i < 100; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%u:%u", i, i + 1);
        assert_done(f, bitcask_get(db_of(f), &options, bitcask_bytes(text, key_text(text, i)),
                                   &value, NULL, &f->error));
        assert_memory_equal(value.data, expected, strlen(expected));
    }
    bitcask_buffer_free(&value);
    bitcask_snapshot_free(snapshot);
    bitcask_views_release(&view, 1);
    take_evicted(f, 0, KEYS);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static unsigned count_in_snapshot(struct fixture *f, bitcask_snapshot *snapshot, unsigned keys)
{
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    unsigned seen = 0;
    for (unsigned key = 0; key < keys; key++) {
        char text[32];
        bitcask_meta meta;
        slice name = bitcask_bytes(text, key_text(text, key));
        seen += bitcask_stat_key(db_of(f), &options, name, &meta, &f->error) == BITCASK_OK;
    }
    return seen;
}

/* The later snapshot has no write of its own between it and the eviction. */
static void a_snapshot_taken_after_an_eviction_never_sees_what_went(void **state)
{
    (void)state;
    struct fixture *f = limited(64ull * MIB, BITCASK_EVICT_OLDEST);
    put_range(f, 0, 20);
    seal(f);
    bitcask_snapshot *snapshots[2];
    assert_done(f, bitcask_snapshot_new(db_of(f), &snapshots[0], &f->error));
    merge_gate_enter_quietly(f->store);
    assert_done(f, reclaim_evict(f->store, &f->error));
    merge_gate_leave(f->store);
    assert_done(f, bitcask_snapshot_new(db_of(f), &snapshots[1], &f->error));
    assert_int_equal(count_in_snapshot(f, snapshots[0], 20), 20);
    assert_int_equal(count_in_snapshot(f, snapshots[1], 20), 0);
    bitcask_snapshot_free(snapshots[0]);
    bitcask_snapshot_free(snapshots[1]);
    take_evicted(f, 0, 20);
    put_range(f, 0, 20);
    assert_model(f);
    assert_sound(f);
    end(f);
}

/* The eviction happens or not; the snapshot sees its keys either way. */
static void out_of_memory_at_any_call_of_an_eviction_a_snapshot_misses_nothing(void **state)
{
    (void)state;
    bool evicted = false;
    for (uint64_t nth = 1; !evicted; nth++) {
        struct fixture *f = limited(64ull * MIB, BITCASK_EVICT_OLDEST);
        put_range(f, 0, 20);
        seal(f);
        bitcask_snapshot *snapshot;
        assert_done(f, bitcask_snapshot_new(db_of(f), &snapshot, &f->error));
        os_mem_fail(f->os, 1u << OS_CALL_ALLOC, nth, UINT64_MAX, -ENOMEM);
        merge_gate_enter_quietly(f->store);
        bitcask_status status = reclaim_evict(f->store, &f->error);
        merge_gate_leave(f->store);
        os_mem_fail(f->os, 0, 0, 0, 0);
        assert_int_equal(count_in_snapshot(f, snapshot, 20), 20);
        evicted = status == BITCASK_OK;
        if (!evicted)
            assert_int_equal(status, BITCASK_NO_MEMORY);
        bitcask_snapshot_free(snapshot);
        assert_int_equal(take_evicted(f, 0, 20), evicted ? 0 : 20);
        assert_sound(f);
        end(f);
        assert_true(nth < 200);
    }
}

/* ---- The scheduler ------------------------------------------------------------------------- */

static void from_98_percent_on_the_scheduler_takes_what_frees_most(void **state)
{
    (void)state;
    struct fixture *f = limited(64ull * MIB, BITCASK_EVICT_NONE);
    for (unsigned key = 0; key < 100; key++) {
        put_sized(f, key, 1000);
        if (key % 50 == 49)
            seal(f);
    }
    for (unsigned key = 0; key < 50; key++) /* a fifth of segment 1, two fifths of 2 */
        put_sized(f, key < 10 ? key : key < 30 ? key + 50 : key + 100, 1000);
    seal(f);
    struct merge_ledger ledger = {0};
    uint64_t used = quota_used(f->store);
    f->store->quota.put_limit = used * 100 / 97;
    assert_false(quota_is_scarce(f->store));
    assert_false(merge_next_is_likely(f->store, &ledger, false));
    f->store->quota.put_limit = used * 200 / 197;
    assert_true(quota_is_scarce(f->store));
    assert_true(merge_next_is_likely(f->store, &ledger, false));
    bitcask_merge_result result;
    merge_gate_enter_quietly(f->store);
    assert_done(f, merge_next_run(f->store, &ledger, false, &result, &f->error));
    merge_gate_leave(f->store);
    assert_false(has_file(f, 2));
    assert_true(has_file(f, 1));
    merge_ledger_release(&ledger);
    assert_model(f);
    assert_sound(f);
    end(f);
}

/* ---- Crashes ------------------------------------------------------------------------------- */

static int stop_at_zero(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return *left == 0 || --*left == 0;
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

/* At every call of an eviction: a key of the victim has its last value or is away, and once it was
 * away to a reader it does not come back; nothing else has changed. */
static void evict_and_stop_everywhere(void (*stop)(struct fixture *f))
{
    uint64_t left = 0;
    for (uint64_t nth = 1; left == 0; nth++) {
        struct fixture *f = limited(64ull * MIB, BITCASK_EVICT_EXPIRING);
        put_range(f, 0, 20); /* older values of what is evicted */
        put_range(f, 100, 110);
        seal(f);
        for (unsigned key = 0; key < 30; key++)
            put_expiring_at(f, key, now(f) + 3600ull * SECOND);
        put_range(f, 40, 45);
        seal(f);
        put(f, 300);
        sync_log(f);
        left = nth;
        os_mem_hook(f->os, ~(1u << OS_CALL_ALLOC), stop_at_zero, &left);
        merge_gate_enter_quietly(f->store);
        bitcask_status status = reclaim_evict(f->store, &f->error);
        merge_gate_leave(f->store);
        unsigned away = 0; /* to readers of this process */
        for (unsigned key = 0; key < 30; key++)
            away += read_key(f, key) == 0;
        assert_true(away == 0 || away == 30);
        if (status == BITCASK_OK)
            assert_int_equal(away, 30);
        stop(f);
        unsigned there = take_evicted(f, 0, 30);
        assert_true(there == 0 || there == 30);
        if (away == 30)
            assert_int_equal(there, 0);
        assert_model(f);
        assert_sound(f);
        merge_all(f);
        reopen_without_hints(f);
        assert_model(f);
        end(f);
        assert_true(nth < 1000);
    }
}

static void killed_at_any_call_of_an_eviction_nothing_comes_back(void **state)
{
    (void)state;
    evict_and_stop_everywhere(kill_process);
}

static void in_a_power_cut_at_any_call_of_an_eviction_nothing_comes_back(void **state)
{
    (void)state;
    evict_and_stop_everywhere(power_cut);
}

static void with_the_manifest_lost_at_any_call_of_an_eviction_nothing_comes_back(void **state)
{
    (void)state;
    evict_and_stop_everywhere(lose_manifest);
}

static void an_image_of_the_index_brings_no_evicted_key_back(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct fixture *f = fixture_new();
        f->options.segment_size = SEGMENT;
        f->options.max_disk_bytes = MIB;
        f->options.eviction = BITCASK_EVICT_OLDEST;
        f->options.index_snapshot_bytes = 1;
        assert_done(f, try_open(f));
        for (unsigned key = 0; key < 600; key++)
            put_sized(f, key, 1000);
        assert_done(f, store_close(f->store, &f->error)); /* writes the image */
        assert_done(f, try_open(f));
        for (unsigned key = 600; key < 1200; key++)
            put_sized(f, key, 1000);
        sync_log(f);
        take_evicted(f, 0, 1200);
        if (cut)
            power_cut(f);
        else
            kill_process(f);
        assert_model(f);
        assert_sound(f);
        end(f);
    }
}

/* ---- Threads ------------------------------------------------------------------------------- */

enum { WRITERS = 2, WRITES = 6000 };

struct writer {
    pthread_t thread;
    struct fixture *f;
    unsigned number;
    unsigned failed;
};

static void *write_much(void *context)
{
    struct writer *writer = context;
    bitcask *db = db_of(writer->f);
    char value[1000] = "";
    bitcask_buffer found = {0};
    for (unsigned i = 0; i < WRITES; i++) {
        char key[32], other[32];
        int size = snprintf(key, sizeof key, "%u-%u", writer->number, i);
        snprintf(value, sizeof value, "%s", key);
        bitcask_error error;
        if (bitcask_put(db, bitcask_bytes(key, (size_t)size), bitcask_bytes(value, sizeof value),
                        NULL, NULL, &error) != BITCASK_OK)
            writer->failed++;
        int other_size = snprintf(other, sizeof other, "%u-%u", 1 - writer->number, i / 2);
        bitcask_status status =
            bitcask_get(db, NULL, bitcask_bytes(other, (size_t)other_size), &found, NULL, &error);
        if (status < 0 || (status == BITCASK_OK && strcmp(found.data, other) != 0))
            writer->failed++;
    }
    bitcask_buffer_free(&found);
    return NULL;
}

static void writers_of_a_cache_are_never_refused(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.segment_size = SEGMENT;
    f->options.max_disk_bytes = 2 * MIB;
    f->options.eviction = BITCASK_EVICT_OLDEST;
    assert_done(f, try_open(f));
    struct writer writers[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.f = f, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_much, &writers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(writers[i].failed, 0);
    }
    /* An eviction takes keys from the index before it counts them: not in the middle of one. */
    pthread_mutex_lock(&f->store->merge_mutex);
    bitcask_stats stats = stats_of(f);
    pthread_mutex_unlock(&f->store->merge_mutex);
    assert_int_equal(stats.keys + stats.evicted_keys, WRITERS * WRITES);
    assert_true(stats.evicted_keys > WRITERS * WRITES / 2);
    assert_true(stats.quota_bytes <= 2 * MIB);
    assert_sound(f);
    end(f);
}

/* ---- The index ----------------------------------------------------------------------------- */

static struct fixture *index_limited(bitcask_eviction eviction)
{
    struct fixture *f = fixture_new();
    f->options.segment_size = SEGMENT;
    f->options.max_index_bytes = QUOTA_INDEX_MIN;
    f->options.eviction = eviction;
    assert_done(f, try_open(f));
    return f;
}

static bitcask_status put_number(struct fixture *f, uint64_t number)
{
    return bitcask_put(db_of(f), bitcask_bytes(&number, sizeof number), bitcask_str(""), NULL, NULL,
                       &f->error);
}

static void a_new_key_that_the_index_has_no_room_for_is_refused(void **state)
{
    (void)state;
    struct fixture *f = index_limited(BITCASK_EVICT_NONE);
    uint64_t keys = 0;
    while (put_number(f, keys) == BITCASK_OK)
        assert_true(++keys < 100000);
    assert_true(keys > 3000);
    assert_int_equal(f->error.status, BITCASK_LIMIT);
    assert_non_null(strstr(f->error.message, "max-index-bytes 65536"));
    assert_true(stats_of(f).index_bytes <= QUOTA_INDEX_MIN);
    for (uint64_t i = 0; i < keys; i += 100)
        assert_done(f, put_number(f, i)); /* those that are there can be written */
    for (uint64_t i = 0; i < keys / 2; i++)
        assert_done(f,
                    bitcask_delete(db_of(f), bitcask_bytes(&i, sizeof i), NULL, NULL, &f->error));
    for (uint64_t i = 0; i < keys / 4; i++)
        assert_done(f, put_number(f, 1000000 + i));
    assert_true(stats_of(f).index_bytes <= QUOTA_INDEX_MIN);
    end(f);
}

static void an_index_at_its_limit_evicts_and_goes_on(void **state)
{
    (void)state;
    struct fixture *f = index_limited(BITCASK_EVICT_OLDEST);
    for (uint64_t i = 0; i < 30000; i++)
        assert_done(f, put_number(f, i));
    bitcask_stats stats = stats_of(f);
    assert_true(stats.index_bytes <= QUOTA_INDEX_MIN);
    assert_true(stats.evicted_keys > 20000 && stats.keys > 2000);
    assert_int_equal(stats.evicted_keys + stats.keys, 30000);
    uint64_t first = 30000 - stats.keys;
    bitcask_meta meta;
    assert_int_equal(
        bitcask_stat_key(db_of(f), NULL, bitcask_bytes(&first, sizeof first), &meta, &f->error),
        BITCASK_OK);
    first--;
    assert_int_equal(
        bitcask_stat_key(db_of(f), NULL, bitcask_bytes(&first, sizeof first), &meta, &f->error),
        BITCASK_NOT_FOUND);
    assert_sound(f);
    end(f);
}

/* ---- Options ------------------------------------------------------------------------------- */

static void limits_below_the_least_are_refused(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.max_disk_bytes = MIB - 1;
    assert_int_equal(try_open(f), BITCASK_INVALID);
    f->store = NULL;
    end(f);
}

static void a_store_above_its_limit_opens_reads_and_shrinks(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = SEGMENT;
    assert_done(f, try_open(f));
    for (unsigned key = 0; key < 3000; key++)
        put_sized(f, key, 1000);
    assert_done(f, store_close(f->store, &f->error));
    f->options.max_disk_bytes = MIB;
    assert_done(f, try_open(f));
    assert_model(f);
    assert_int_equal(try_put(f, 1, 1000, 0), BITCASK_LIMIT);
    assert_model(f);
    assert_done(f, store_close(f->store, &f->error));
    f->options.eviction = BITCASK_EVICT_OLDEST;
    assert_done(f, try_open(f));
    put_sized(f, 1, 1000);
    assert_true(quota_used(f->store) <= f->store->quota.put_limit);
    assert_true(take_evicted(f, 0, KEYS) > 300);
    assert_model(f);
    assert_sound(f);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_beyond_the_limit_is_refused_and_says_why),
        cmocka_unit_test(deletes_work_at_the_limit_and_make_room_for_puts),
        cmocka_unit_test(a_batch_of_deletes_works_at_the_limit_and_one_with_a_put_does_not),
        cmocka_unit_test(a_store_that_is_full_for_good_does_not_make_a_segment_per_refusal),
        cmocka_unit_test(overwriting_goes_on_for_ever_below_the_limit),
        cmocka_unit_test(what_cannot_fit_is_refused_at_once_and_evicts_nothing),
        cmocka_unit_test(a_limit_is_exact_to_the_byte),
        cmocka_unit_test(no_limit_is_passed_by_a_page),
        cmocka_unit_test(a_batch_beyond_the_limit_is_refused_as_a_whole),
        cmocka_unit_test(it_is_told_once_until_something_is_freed),
        cmocka_unit_test(the_error_of_a_put_that_was_mended_is_left_alone),
        cmocka_unit_test(the_oldest_keys_go_first),
        cmocka_unit_test(a_key_that_was_written_again_is_young),
        cmocka_unit_test(evicted_keys_stay_away_after_reopening),
        cmocka_unit_test(what_an_evicted_key_hid_stays_hidden),
        cmocka_unit_test(keys_that_expire_soonest_go_first_and_others_never),
        cmocka_unit_test(expired_segments_go_before_any_eviction),
        cmocka_unit_test(waste_goes_before_any_eviction),
        cmocka_unit_test(the_active_segment_is_closed_when_nothing_else_can_go),
        cmocka_unit_test(a_snapshot_and_a_view_outlive_the_eviction_of_what_they_see),
        cmocka_unit_test(a_snapshot_taken_after_an_eviction_never_sees_what_went),
        cmocka_unit_test(out_of_memory_at_any_call_of_an_eviction_a_snapshot_misses_nothing),
        cmocka_unit_test(from_98_percent_on_the_scheduler_takes_what_frees_most),
        cmocka_unit_test(killed_at_any_call_of_an_eviction_nothing_comes_back),
        cmocka_unit_test(in_a_power_cut_at_any_call_of_an_eviction_nothing_comes_back),
        cmocka_unit_test(with_the_manifest_lost_at_any_call_of_an_eviction_nothing_comes_back),
        cmocka_unit_test(an_image_of_the_index_brings_no_evicted_key_back),
        cmocka_unit_test(writers_of_a_cache_are_never_refused),
        cmocka_unit_test(a_new_key_that_the_index_has_no_room_for_is_refused),
        cmocka_unit_test(an_index_at_its_limit_evicts_and_goes_on),
        cmocka_unit_test(limits_below_the_least_are_refused),
        cmocka_unit_test(a_store_above_its_limit_opens_reads_and_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
