/* SPDX-License-Identifier: MIT
 * log_test.c: the end of the log: rotation, space, versions, and the order in which it becomes
 * durable. Invariants L1 to L6, D1, D6. */
#include "support/write_fixture.h"

#include "format/names.h"

/* ---- Rotation ------------------------------------------------------------------------------- */

/* Trap 20: sizes one below, at and one above what still fits. */
static void a_record_that_just_fits_stays_and_one_byte_more_rotates(void **state)
{
    (void)state;
    for (int way = 0; way < WAY_COUNT; way++) {
        int fitted = 0, rotated = 0, switches = 0;
        bool before = true;
        for (size_t size = 900; size < 1300; size++) {
            struct fixture f;
            fixture_init(&f);
            open_way(&f, (enum way)way);
            put_sized(&f, "filler", 'f', (64 << 10) - 1700);
            put_sized(&f, "k", 'v', size);
            struct segment *segment = active_segment(&f);
            bool fits = segment->id == 1;
            fitted += fits;
            rotated += !fits;
            switches += fits != before;
            before = fits;
            if (fits)
                assert_true(f.store->writer.end + LOG_SEAL_ROOM <= segment->map_size);
            if (size % 16 == 0) {
                assert_same_after_reopening(&f);
                assert_sound(&f);
            }
            fixture_release(&f);
        }
        assert_true(fitted > 0 && rotated > 0);
        assert_int_equal(switches, 1);
    }
}

static void the_log_rotates_by_number_of_records(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_max_records = 3;
    open_store(&f);
    put_numbered(&f, "k", 0, 10, "v");
    assert_int_equal(stats_of(&f).rotations, 3);
    put_batch(&f, "batch", 5); /* in one segment, although it has more */
    assert_int_equal(stats_of(&f).rotations, 4);
    assert_int_equal(active_segment(&f)->records, 5);
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

/* Trap 33: what does not fit rotates first, however large it is. */
static void a_record_larger_than_a_segment_gets_one_of_its_own(void **state)
{
    (void)state;
    static const size_t sizes[] = {65536 - 400, 65536, 65537, 300000, 5 << 20};
    for (int way = 0; way < WAY_COUNT; way++) {
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            struct fixture f;
            fixture_init(&f);
            open_way(&f, (enum way)way);
            if (i % 2 == 0)
                put(&f, "small", "1");
            put_sized(&f, "large", 'L', sizes[i]);
            put(&f, "after", "2");
            put_sized(&f, "large2", 'M', sizes[i]);
            assert_int_equal(meta_of(&f, "large").value_size, sizes[i]);
            assert_same_after_reopening(&f);
            assert_sound(&f);
            fixture_release(&f);
        }
    }
}

/* Trap 20: values at multiples of pages and of the buffer, and one byte beside. */
static void values_of_all_awkward_sizes_come_back(void **state)
{
    (void)state;
    static const size_t around[] = {0,     64,     4096,   8192,   65536,
                                    65535, 131072, 262144, 524288, 1 << 20};
    for (int way = 0; way < WAY_COUNT; way++) {
        struct fixture f;
        fixture_init(&f);
        f.options.segment_size = 1 << 20;
        open_way(&f, (enum way)way);
        for (size_t i = 0; i < ARRAY_SIZE(around); i++) {
            for (size_t size = around[i] > 0 ? around[i] - 1 : 0; size <= around[i] + 1; size++) {
                char key[32];
                snprintf(key, sizeof key, "k%zu", size);
                put_sized(&f, key, (char)('a' + size % 26), size);
                bitcask_buffer value = {0};
                assert_status(&f, OK, read_key(&f, key, &value));
                assert_int_equal(value.size, size);
                for (size_t k = 0; k < size; k++)
                    assert_true(((char *)value.data)[k] == (char)('a' + size % 26));
                bitcask_buffer_free(&value);
            }
        }
        assert_same_after_reopening(&f);
        assert_sound(&f);
        fixture_release(&f);
    }
}

/* A ceiling that is high enough needs no manifest; one that cannot be raised in time is an error
 * when it is needed, and not before. */
static void the_ceiling_is_raised_when_it_has_to_be(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "1");
    uint64_t ceiling = atomic_load(&f.store->version_ceiling);
    uint64_t before = os_mem_calls(f.os, DISK_CALLS);
    assert_status(&f, OK, log_raise_ceiling(f.store, ceiling / 2, &f.error));
    assert_int_equal(os_mem_calls(f.os, DISK_CALLS), before);
    os_mem_fail(f.os, 1u << OS_CALL_RENAME, 1, UINT64_MAX, -EIO);
    assert_status(&f, OK, log_raise_ceiling(f.store, ceiling - 1000, &f.error));
    assert_status(&f, IO, log_raise_ceiling(f.store, ceiling + 1000, &f.error));
    assert_int_equal(atomic_load(&f.store->version_ceiling), ceiling);
    os_mem_fail(f.os, 0, 0, 0, 0);
    assert_status(&f, OK, log_raise_ceiling(f.store, ceiling - 1000, &f.error));
    assert_true(atomic_load(&f.store->version_ceiling) > ceiling);
    put(&f, "k", "2");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void a_cleanly_closed_segment_is_appended_to_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (int i = 0; i < 5; i++) {
        open_store(&f);
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put(&f, key, "v");
        assert_int_equal(active_segment(&f)->id, 1);
        close_store(&f);
    }
    open_store(&f);
    assert_int_equal(stats_of(&f).keys, 5);
    put(&f, "k5", "v");
    kill_9(&f);
    open_store(&f);
    put(&f, "new", "v"); /* what recovery had to look at is never appended to */
    assert_int_not_equal(active_segment(&f)->id, 1);
    assert_sound(&f);
    fixture_release(&f);
}

static void a_sync_is_noted_before_the_next_record(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    uint64_t synced = f.store->writer.end;
    sync_store(&f);
    put(&f, "b", "2");
    struct segment *active = active_segment(&f);
    struct segment_record record;
    struct meta_sync sync;
    assert_int_equal(segment_read(active, synced, &record, NULL), BITCASK_OK);
    assert_true(record.shape.flags & RECORD_META);
    assert_int_equal(meta_sync_decode(segment_record_value(&record), &sync), BITCASK_OK);
    assert_int_equal(sync.segment, active->id);
    assert_int_equal(sync.offset, synced);
    fixture_release(&f);
}

/* ---- Versions (L1) -------------------------------------------------------------------------- */

/* Trap 8, scenario 18. */
struct sync_inside {
    struct fixture *f;
    bool running;
    int syncs;
    uint64_t puts;       /* before the batch */
    uint64_t end, noted; /* where the batch begins; the highest offset noted as durable meanwhile */
};

static int sync_inside(void *context, enum os_mem_call call)
{
    struct sync_inside *inside = context;
    (void)call;
    if (inside->running || active_segment(inside->f) == NULL)
        return 0;
    if (atomic_load(&inside->f->store->counters.puts) > inside->puts)
        return 0;           /* the batch is published: this call tells it to those who follow */
    inside->running = true; /* the sync itself calls the disk */
    bitcask_error error;
    assert_int_equal(log_sync_background(inside->f->store, &error), BITCASK_OK);
    inside->syncs++;
    inside->noted = atomic_load(&active_segment(inside->f)->synced);
    assert_int_equal(inside->noted, inside->end);
    inside->running = false;
    return 0;
}

/* A crash leaves what was before the batch, and nothing of it, which is no damage. */
static void end_without_batch(struct fixture *f, const char *before)
{
    crash(f);
    open_store(f);
    check_value(f, "before", before);
    check_missing(f, "a");
    check_missing(f, "b");
    assert_int_equal(count_events(f, "damaged"), 0);
    fixture_release(f);
}

/* What the background may do at any moment. A watermark inside a batch would vouch for a part of
 * it, and recovery would then take its missing rest for damage. */
static void a_sync_amid_a_batch_notes_none_of_it(void **state)
{
    (void)state;
    static char large[300000]; /* by a pwrite of its own */
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 4 << 20;
    open_way(&f, WAY_PWRITE);
    put_durably(&f, "before", "v");
    put(&f, "before", "w");
    memset(large, 'x', sizeof large - 1);
    struct write_op batch[4] = {op_put("a", large, 0), op_put("b", "small", 0),
                                op_put("c", large, 0), op_put("d", large, 0)};
    struct sync_inside inside = {
        .f = &f, .puts = atomic_load(&f.store->counters.puts), .end = f.store->writer.end};
    os_mem_hook(f.os, 1u << OS_CALL_PWRITE, sync_inside, &inside);
    assert_status(&f, OK, write_batch(&f, batch, 4));
    os_mem_hook(f.os, 0, NULL, NULL);
    assert_true(inside.syncs > 0);
    end_without_batch(&f, "w");
}

/* The same through the mapping, where no call of the disk lies between two records. */
static void an_unfinished_batch_is_not_noted_as_synced(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_way(&f, WAY_MAPPED);
    put(&f, "before", "v");
    struct record first = {
        .flags = RECORD_BATCH_MORE, .key = bitcask_str("a"), .value = bitcask_str("1")};
    struct keydir_place place;
    write_mutex_lock(&f.store->write_mutex);
    uint64_t before = f.store->writer.end;
    assert_status(&f, OK, log_make_room(f.store, 4096, 2, false, true, &f.error));
    assert_status(&f, OK, log_append(f.store, &first, false, &place, &f.error));
    write_mutex_unlock(&f.store->write_mutex);
    assert_true(f.store->writer.end > before);
    assert_status(&f, OK, log_sync_background(f.store, &f.error));
    assert_int_equal(atomic_load(&active_segment(&f)->synced), before);
    end_without_batch(&f, "v");
}

/* Nothing on the way to the log can then fail, and its pages have been faulted in ahead. */
static void a_large_value_goes_through_the_mapping(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 4 << 20;
    open_way(&f, WAY_MAPPED);
    put(&f, "before", "v");
    uint64_t before = os_mem_calls(f.os, 1u << OS_CALL_PWRITE);
    put_sized(&f, "large", 'L', 1 << 20);
    assert_int_equal(os_mem_calls(f.os, 1u << OS_CALL_PWRITE), before);
    assert_int_equal(meta_of(&f, "large").value_size, 1 << 20);
    fixture_release(&f);
}

/* ---- The segment that comes next ------------------------------------------------------------- */

static uint64_t prepared_bytes(struct fixture *f)
{
    assert_status(f, OK, log_prepare_next(f->store, 0, &f->error));
    return atomic_load(&f->store->writer.next->readable);
}

/* Allocating waits for the file system while the segment before is synced. */
static void what_comes_behind_a_segment_is_allocated_whole(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 1 << 20;
    open_store(&f);
    put(&f, "k", "v");
    assert_true(f.store->writer.allocated < 1 << 20); /* the first may stay a small one */
    assert_int_equal(prepared_bytes(&f), 1 << 20);
    fixture_release(&f);
}

static void on_a_disk_that_is_filling_up_it_begins_small(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 1 << 20;
    open_store(&f);
    put(&f, "k", "v");
    os_mem_set_capacity(f.os, 8 << 20);
    assert_int_equal(prepared_bytes(&f), 64 << 10);
    fixture_release(&f);
}

/* Its size is part of what the limit was promised to hold. */
static void under_a_limit_it_begins_small(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 1 << 20;
    f.options.max_disk_bytes = 64 << 20;
    open_store(&f);
    put(&f, "k", "v");
    assert_int_equal(prepared_bytes(&f), 64 << 10);
    fixture_release(&f);
}

static void versions_rise_although_the_clock_steps_back(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    uint64_t last = 0;
    for (int round = 0; round < 9; round++) {
        char value[16];
        snprintf(value, sizeof value, "%d", round);
        put(&f, "k", value);
        uint64_t version = meta_of(&f, "k").version;
        assert_true(version > last);
        last = version;
        sync_store(&f);
        os_mem_step_real_clock(f.os, -86400 * 1000000ll);
        if (round % 3 == 0)
            close_store(&f);
        else if (round % 3 == 1)
            crash(&f);
        else
            kill_9(&f);
        open_store(&f);
        check_value(&f, "k", value);
    }
    fixture_release(&f);
}

/* Scenario 18: versions given to records that the power cut took are not given again. */
static void a_version_lost_in_a_crash_is_not_given_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_durably(&f, "k", "1");
    put(&f, "lost", "2");
    uint64_t lost = meta_of(&f, "lost").version;
    crash(&f);
    os_mem_step_real_clock(f.os, -86400 * 1000000ll);
    open_store(&f);
    check_missing(&f, "lost");
    put(&f, "k", "3");
    assert_true(meta_of(&f, "k").version > lost);
    fixture_release(&f);
}

/* Scenario 18: a store with nothing but deletes still knows its highest version. */
static void a_store_of_deletes_remembers_its_highest_version(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "1");
    uint64_t deleted;
    assert_status(&f, OK, bitcask_delete(f.db, bitcask_str("k"), NULL, &deleted, &f.error));
    assert_status(&f, OK, merge_all(&f));
    close_store(&f);
    os_mem_step_real_clock(f.os, -86400 * 1000000ll);
    open_store(&f);
    put(&f, "k", "2");
    assert_true(meta_of(&f, "k").version > deleted);
    fixture_release(&f);
}

static void no_version_is_above_the_durable_ceiling(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) {
        put(&f, "k", "v");
        last = meta_of(&f, "k").version;
        assert_true(last <= atomic_load(&f.store->version_ceiling));
        os_mem_advance_clock(f.os, 7 * 1000000ll * (i % 10));
    }
    os_mem_advance_clock(f.os, 365 * 86400 * 1000000ll);
    put(&f, "k", "v");
    assert_true(meta_of(&f, "k").version <= atomic_load(&f.store->version_ceiling));
    last = meta_of(&f, "k").version;
    crash(&f);
    os_mem_step_real_clock(f.os, -366 * 86400 * 1000000ll);
    open_store(&f);
    put(&f, "k", "w");
    assert_true(meta_of(&f, "k").version > last);
    fixture_release(&f);
}

/* ---- Limits --------------------------------------------------------------------------------- */

static void running_out_of_segments_is_an_error_until_a_merge(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_max_records = 1;
    open_store(&f);
    put_numbered(&f, "k", 0, 5, "v");
    /* Take all slots but a few, as if there were as many segments. */
    struct segments *table = &f.store->segments;
    struct segment *taken = active_segment(&f);
    for (uint32_t slot = 1; slot <= BITCASK_MAX_SEGMENTS; slot++)
        if (atomic_load(&table->slots[slot]) == NULL)
            atomic_store(&table->slots[slot], (struct segment *)(uintptr_t)64);
    (void)taken;
    bitcask_status status = BITCASK_OK;
    int more = 0;
    while (status == BITCASK_OK && more < 100) {
        char key[16];
        snprintf(key, sizeof key, "more%d", more);
        status = bitcask_put(f.db, bitcask_str(key), bitcask_str("v"), NULL, NULL, &f.error);
        more += status == BITCASK_OK;
    }
    assert_int_equal(status, BITCASK_LIMIT);
    check_value(&f, "k3", "v");
    for (uint32_t slot = 1; slot <= BITCASK_MAX_SEGMENTS; slot++)
        if (atomic_load(&table->slots[slot]) == (struct segment *)(uintptr_t)64)
            atomic_store(&table->slots[slot], NULL);
    put(&f, "room", "again");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* ---- Order of durability -------------------------------------------------------------------- */

static int write_and_rotate(void *context, enum os_mem_call call)
{
    (void)call;
    struct fixture *f = context;
    os_mem_hook(f->os, 0, NULL, NULL);
    /* While the background syncs, writers go on into the next segment. */
    f->store->options.background = BITCASK_BACKGROUND_THREAD; /* nothing is done inline */
    put(f, "in-1", "unsynced");
    write_mutex_lock(&f->store->write_mutex);
    bitcask_status status = log_rotate(f->store, &f->error);
    write_mutex_unlock(&f->store->write_mutex);
    assert_int_equal(status, BITCASK_OK);
    put(f, "in-2", "v");
    f->store->options.background = BITCASK_BACKGROUND_NONE;
    return 0;
}

/* Scenario 8, D1: a background sync must not make segment n+1 durable while a part of n that was
 * written during the sync is not. */
static void the_next_segment_is_not_synced_before_this_one_is(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "base", "1");
    assert_status(&f, OK, log_prepare_next(f.store, 0, &f.error));
    os_mem_hook(f.os, SYNC_CALLS, write_and_rotate, &f);
    assert_status(&f, OK, log_sync_background(f.store, &f.error));
    struct segment *second = active_segment(&f);
    assert_int_equal(second->id, 2);
    if (atomic_load(&second->synced) == atomic_load(&second->end)) {
        struct segment *first = segments_at(&f.store->segments, 1);
        assert_int_equal(atomic_load(&first->synced), atomic_load(&first->end));
    }
    f.store->options.background = BITCASK_BACKGROUND_THREAD;
    put(&f, "later", "3"); /* its SYNC record would vouch for all of segment 1 */
    f.store->options.background = BITCASK_BACKGROUND_NONE;
    crash(&f);
    open_store(&f);
    check_value(&f, "base", "1");
    if (status_of(&f, "in-1") == BITCASK_NOT_FOUND)
        check_missing(&f, "in-2");
    fixture_release(&f);
}

/* D6: a prepared segment that is too small is replaced, and its file goes only when the manifest on
 * disk no longer names it. */
static void a_prepared_segment_is_replaced_without_leaving_a_name_behind(void **state)
{
    (void)state;
    for (uint64_t stop = 1; stop < 60; stop++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "base", "1");
        assert_status(&f, OK, log_prepare_next(f.store, 0, &f.error));
        os_mem_fail(f.os, DISK_CALLS, stop, UINT64_MAX, -EIO);
        char *large = malloc(200001);
        memset(large, 'L', 200000);
        large[200000] = '\0';
        bitcask_status status = put_sync(&f, "large", large, BITCASK_SYNC_ALWAYS);
        os_mem_fail(f.os, 0, 0, 1, -EIO);
        crash(&f);
        open_store(&f);
        check_value(&f, "base", "1");
        if (status == BITCASK_OK)
            check_value(&f, "large", large);
        assert_int_equal(stats_of(&f).missing_segments, 0);
        assert_int_equal(count_events(&f, "segment_missing"), 0);
        assert_sound(&f);
        free(large);
        fixture_release(&f);
    }
}

/* What a fresh segment says it follows is the last one that has records: an empty one in between
 * would hide that the end of that one is missing. */
static void an_empty_segment_does_not_break_the_chain(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    put(&f, "b", "2");
    uint64_t version = meta_of(&f, "b").version;
    f.store->options.background = BITCASK_BACKGROUND_THREAD; /* nothing is sealed meanwhile */
    write_mutex_lock(&f.store->write_mutex);
    assert_int_equal(log_rotate(f.store, &f.error), BITCASK_OK);
    write_mutex_unlock(&f.store->write_mutex);
    put_sized(&f, "large", 'L', 200000); /* does not fit into the empty one */
    struct segment *active = active_segment(&f);
    struct segment_record record;
    uint64_t before = 0;
    assert_int_equal(segment_read(active, SEGMENT_HEADER_SIZE, &record, NULL), BITCASK_OK);
    assert_int_equal(meta_follows_decode(segment_record_value(&record), &before), BITCASK_OK);
    assert_int_equal(before, 1);
    assert_int_equal(record.shape.version, version);
    f.store->options.background = BITCASK_BACKGROUND_NONE;
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* Scenario 3: the manifest names a segment before its first record. */
static void every_acknowledged_write_around_a_rotation_survives_a_crash_at_any_call(void **state)
{
    (void)state;
    bool came = true;
    for (uint64_t stop = 1; came; stop++) {
        struct fixture f;
        fixture_init(&f);
        f.options.sync = BITCASK_SYNC_ALWAYS;
        f.options.segment_max_records = 3;
        open_store(&f);
        put(&f, "k0", "v");
        uint64_t before = os_mem_calls(f.os, DISK_CALLS);
        os_mem_fail(f.os, DISK_CALLS, stop, UINT64_MAX, -EIO);
        bool written[10] = {true};
        for (int i = 1; i < 10; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            written[i] = put_sync(&f, key, "v", BITCASK_SYNC_ALWAYS) == BITCASK_OK;
        }
        came = os_mem_calls(f.os, DISK_CALLS) - before >= stop;
        os_mem_fail(f.os, 0, 0, 1, -EIO);
        crash(&f);
        open_store(&f);
        for (int i = 0; i < 10; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            if (written[i])
                check_value(&f, key, "v");
        }
        assert_sound(&f);
        fixture_release(&f);
    }
}

/* Trap 13. */
static void failures_leave_no_descriptors_or_mappings_behind(void **state)
{
    (void)state;
    bool came = true;
    for (uint64_t nth = 1; came; nth++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "a", "1");
        close_store(&f);
        open_store(&f);
        uint64_t before = os_mem_calls(f.os, DISK_CALLS);
        os_mem_fail(f.os, DISK_CALLS, nth, 1, -EIO);
        bitcask_status status = put_sync(&f, "b", "2", BITCASK_SYNC_NONE);
        came = os_mem_calls(f.os, DISK_CALLS) - before >= nth;
        os_mem_fail(f.os, 0, 0, 1, -EIO);
        if (status == BITCASK_OK)
            check_value(&f, "b", "2");
        put(&f, "c", "3");
        check_value(&f, "a", "1");
        close_store(&f);
        assert_int_equal(os_mem_open_files(f.os), 0);
        assert_int_equal(os_mem_live_maps(f.os), 0);
        assert_int_equal(os_mem_live_bytes(f.os), 0);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_just_fits_stays_and_one_byte_more_rotates),
        cmocka_unit_test(the_log_rotates_by_number_of_records),
        cmocka_unit_test(a_record_larger_than_a_segment_gets_one_of_its_own),
        cmocka_unit_test(values_of_all_awkward_sizes_come_back),
        cmocka_unit_test(a_cleanly_closed_segment_is_appended_to_again),
        cmocka_unit_test(the_ceiling_is_raised_when_it_has_to_be),
        cmocka_unit_test(a_sync_is_noted_before_the_next_record),
        cmocka_unit_test(a_sync_amid_a_batch_notes_none_of_it),
        cmocka_unit_test(an_unfinished_batch_is_not_noted_as_synced),
        cmocka_unit_test(a_large_value_goes_through_the_mapping),
        cmocka_unit_test(what_comes_behind_a_segment_is_allocated_whole),
        cmocka_unit_test(on_a_disk_that_is_filling_up_it_begins_small),
        cmocka_unit_test(under_a_limit_it_begins_small),
        cmocka_unit_test(versions_rise_although_the_clock_steps_back),
        cmocka_unit_test(a_version_lost_in_a_crash_is_not_given_again),
        cmocka_unit_test(a_store_of_deletes_remembers_its_highest_version),
        cmocka_unit_test(no_version_is_above_the_durable_ceiling),
        cmocka_unit_test(running_out_of_segments_is_an_error_until_a_merge),
        cmocka_unit_test(the_next_segment_is_not_synced_before_this_one_is),
        cmocka_unit_test(a_prepared_segment_is_replaced_without_leaving_a_name_behind),
        cmocka_unit_test(an_empty_segment_does_not_break_the_chain),
        cmocka_unit_test(every_acknowledged_write_around_a_rotation_survives_a_crash_at_any_call),
        cmocka_unit_test(failures_leave_no_descriptors_or_mappings_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
