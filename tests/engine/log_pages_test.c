/* SPDX-License-Identifier: MIT
 * log_pages_test.c: small pages are unmapped before a sync, large ones are not. */
#include "support/write_fixture.h"

#include "engine/log_ahead.h"
#include "engine/log_pages.h"
#include "engine/log_writer.h"

enum { MIB = 1 << 20, KIB = 1 << 10, VALUE_SIZE = 64 << 10 };

/* What the system was told, in order. */
static struct told {
    enum { ADVISED, SYNCED, DROPPED } what;
    enum os_advice advice;
    uint64_t from, size; /* in the active segment, or the file */
} told[256];
static size_t told_count;
static struct fixture *telling;
static struct os real;

static struct segment *active_of(struct fixture *f)
{
    return f->store != NULL ? atomic_load(&f->store->writer.active) : NULL;
}

static void tell(struct told now)
{
    if (told_count < 256)
        told[told_count++] = now;
}

static int tell_advice(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    struct segment *active = active_of(telling);
    const uint8_t *map = active != NULL ? active->writable : NULL, *at = memory;
    if (map != NULL && at >= map && at < map + active->map_size)
        tell((struct told){ADVISED, advice, (uint64_t)(at - map), size});
    return real.advise(os, memory, size, advice);
}

static int tell_sync(struct os *os, struct os_file *file)
{
    tell((struct told){.what = SYNCED});
    return real.sync(os, file);
}

static int tell_drop(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    tell((struct told){.what = DROPPED, .from = offset, .size = size});
    return real.drop_cache(os, file, offset, size);
}

static uint64_t now_us;

static uint64_t read_clock(struct os *os)
{
    (void)os;
    return now_us;
}

static void begin(struct fixture *f)
{
    fixture_init(f);
    telling = f;
    real = *f->os;
    f->os->advise = tell_advice;
    f->os->sync = tell_sync;
    f->os->drop_cache = tell_drop;
    f->os->clock_boot = read_clock;
    now_us = 1000 * 1000 * 1000;
    f->options.segment_size = 64 * MIB;
    open_store(f);
    put(f, "first", "value");
    told_count = 0;
}

static void write_log(struct fixture *f, size_t bytes)
{
    for (size_t i = 0; i * VALUE_SIZE < bytes; i++)
        put_sized(f, "key", 'v', VALUE_SIZE);
}

/* So that pages are large from here on, or small. */
static void write_much(struct fixture *f)
{
    write_log(f, 3 * MIB);
    log_populate_ahead(f->store);
    assert_true(active_of(f)->large_pages);
}

static void write_slowly(struct fixture *f)
{
    write_log(f, MIB);
    now_us += 1000000;
    log_populate_ahead(f->store);
    assert_false(active_of(f)->large_pages);
}

static const struct told *find(int what, enum os_advice advice)
{
    for (size_t i = told_count; i-- > 0;) {
        if ((int)told[i].what == what && (what != ADVISED || told[i].advice == advice))
            return &told[i];
    }
    return NULL;
}

static const struct told *find_advice(enum os_advice advice)
{
    return find(ADVISED, advice);
}

static void what_a_sync_writes_is_unmapped_first(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    sync_store(&f);
    uint64_t synced = atomic_load(&active_of(&f)->synced);
    write_log(&f, MIB);
    told_count = 0;
    sync_store(&f);
    const struct told *unmapped = find_advice(OS_ADVISE_DROP);
    assert_non_null(unmapped);
    assert_ptr_equal(unmapped + 1, find(SYNCED, 0));
    assert_int_equal(unmapped->from, synced / OS_PAGE * OS_PAGE);
    assert_true(unmapped->from + unmapped->size >= atomic_load(&active_of(&f)->end));
    assert_true(unmapped->from + unmapped->size <= active_of(&f)->map_size);
    check_value(&f, "first", "value");
    write_log(&f, MIB);
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void for_a_few_pages_it_is_not_worth_it(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, 128 * KIB);
    sync_store(&f);
    assert_null(find_advice(OS_ADVISE_DROP));
    write_log(&f, 128 * KIB); /* counted from the sync before */
    sync_store(&f);
    assert_null(find_advice(OS_ADVISE_DROP));
    write_log(&f, 512 * KIB);
    sync_store(&f);
    assert_non_null(find_advice(OS_ADVISE_DROP));
    fixture_release(&f);
}

static void where_nobody_writes_by_way_of_pages_there_are_none(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, MIB);
    f.store->writer.mapped_writes = false;
    sync_store(&f);
    assert_null(find_advice(OS_ADVISE_DROP));
    f.store->writer.mapped_writes = true;
    fixture_release(&f);
}

static void a_segment_that_is_appended_to_again_is_unmapped_too(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    close_store(&f);
    open_store(&f);
    put(&f, "second", "value");
    assert_true(active_of(&f)->remapped);
    sync_store(&f);
    write_log(&f, MIB);
    told_count = 0;
    sync_store(&f);
    assert_non_null(find_advice(OS_ADVISE_DROP));
    check_value(&f, "second", "value");
    rotate(&f); /* its sync comes before the second mapping goes */
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void large_pages_stay(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_much(&f);
    uint64_t small = atomic_load(&active_of(&f)->small_to);
    assert_int_equal(small % LOG_LARGE_PAGE, 0);
    write_log(&f, 6 * MIB);
    told_count = 0;
    sync_store(&f);
    const struct told *unmapped = find_advice(OS_ADVISE_DROP);
    assert_non_null(unmapped); /* those that came before them were small */
    assert_int_equal(unmapped->from + unmapped->size, small);
    write_log(&f, 6 * MIB);
    told_count = 0;
    sync_store(&f);
    assert_null(find_advice(OS_ADVISE_DROP));
    fixture_release(&f);
}

static void behind_large_pages_only_small_ones_are_unmapped(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_much(&f);
    write_log(&f, 6 * MIB);
    told_count = 0;
    write_slowly(&f);
    uint64_t small = atomic_load(&active_of(&f)->small_from);
    assert_int_equal(small % LOG_LARGE_PAGE, 0);
    assert_true(small >= atomic_load(&active_of(&f)->end));
    assert_int_equal(find_advice(OS_ADVISE_SMALL)->from, small);
    assert_int_equal(find_advice(OS_ADVISE_RANDOM)->from, small);
    sync_store(&f);
    assert_null(find_advice(OS_ADVISE_DROP));
    write_log(&f, small + MIB - atomic_load(&active_of(&f)->end));
    sync_store(&f);
    assert_int_equal(find_advice(OS_ADVISE_DROP)->from, small);
    fixture_release(&f);
}

/* By who has the file: the thread only knows the mapping. It waits for that. */
static void what_was_read_ahead_in_large_pages_goes(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_much(&f);
    write_slowly(&f);
    struct segment *active = active_of(&f);
    uint64_t small = atomic_load(&active->small_from);
    told_count = 0;
    log_populate_ahead(f.store);
    assert_true(atomic_load(&active->populated) <= small);
    assert_null(find(DROPPED, 0));
    write_log(&f, small + VALUE_SIZE - atomic_load(&active->end));
    const struct told *dropped = find(DROPPED, 0);
    assert_non_null(dropped);
    assert_int_equal(dropped->from, small);
    told_count = 0;
    write_log(&f, MIB);
    assert_null(find(DROPPED, 0)); /* once */
    log_populate_ahead(f.store);
    assert_true(atomic_load(&active->populated) > small);
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* The advice that keeps the page cache from large pages; a large segment's is asked for once it is
 * known that much is written. */
static void a_new_segment_has_small_pages(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        struct fixture f;
        begin(&f);
        if (large)
            write_much(&f);
        else
            write_log(&f, MIB);
        assert_status(&f, OK, log_prepare_next(f.store, 0, &f.error));
        struct segment *next = f.store->writer.next;
        assert_int_equal(atomic_load(&next->large_pages), large);
        assert_int_equal(atomic_load(&next->small_from), 0);
        assert_int_equal(atomic_load(&next->small_to), large ? 0 : UINT64_MAX);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_sync_writes_is_unmapped_first),
        cmocka_unit_test(for_a_few_pages_it_is_not_worth_it),
        cmocka_unit_test(where_nobody_writes_by_way_of_pages_there_are_none),
        cmocka_unit_test(a_segment_that_is_appended_to_again_is_unmapped_too),
        cmocka_unit_test(large_pages_stay),
        cmocka_unit_test(behind_large_pages_only_small_ones_are_unmapped),
        cmocka_unit_test(what_was_read_ahead_in_large_pages_goes),
        cmocka_unit_test(a_new_segment_has_small_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
