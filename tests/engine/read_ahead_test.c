/* SPDX-License-Identifier: MIT
 * read_ahead_test.c: segments are read wide if all of them fit into memory, and only then. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/store_fixture.h"

#include "engine/merge_schedule.h"
#include "engine/read_ahead.h"

enum { MIB = 1 << 20, SEGMENT = MIB, VALUE = 250 << 10 };

/* What a mapping has been told last. */
static struct told {
    const void *map;
    enum os_advice walk;
    size_t large;
} told[64];
static size_t told_count;

static int (*real_advise)(struct os *os, void *memory, size_t size, enum os_advice advice);

static struct told *told_of(const void *map)
{
    for (size_t i = 0; i < told_count; i++) {
        if (told[i].map == map)
            return &told[i];
    }
    assert_true(told_count < 64);
    told[told_count] = (struct told){.map = map};
    return &told[told_count++];
}

static int note_advice(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    if (advice == OS_ADVISE_RANDOM || advice == OS_ADVISE_NORMAL || advice == OS_ADVISE_SEQUENTIAL)
        told_of(memory)->walk = advice;
    if (advice == OS_ADVISE_HUGE || advice == OS_ADVISE_SMALL)
        told_of(memory)->large = advice == OS_ADVISE_HUGE ? size : 0;
    return real_advise(os, memory, size, advice);
}

static int say_nothing_of_memory(struct os *os, uint64_t *bytes)
{
    (void)os, (void)bytes;
    return -ENOENT;
}

static void begin(struct fixture *f, uint64_t memory)
{
    told_count = 0;
    fixture_init(f);
    real_advise = f->os->advise;
    f->os->advise = note_advice;
    f->options.segment_size = SEGMENT;
    f->options.background = BITCASK_BACKGROUND_NONE;
    os_mem_set_memory(f->os, memory);
    open_store(f);
}

static void end(struct fixture *f)
{
    f->os->advise = real_advise;
    fixture_release(f);
}

/* Segments of 1000 KiB each, all of them sealed. */
static void write_segments(struct fixture *f, const char *prefix, int count)
{
    char key[32];
    for (int i = 0; i < 4 * count; i++) {
        snprintf(key, sizeof key, "%s%d", prefix, i);
        put_sized(f, key, 'v', VALUE);
        if (i % 4 == 3)
            rotate(f);
    }
}

static void open_again(struct fixture *f)
{
    close_store(f);
    told_count = 0;
    open_store(f);
}

static void expect_all(struct fixture *f, bool wide)
{
    struct segments *table = &f->store->segments;
    size_t sealed = 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct segment *segment = table->by_id[i];
        if (atomic_load(&segment->state) != BITCASK_SEGMENT_SEALED)
            continue;
        const struct told *now = told_of(segment->map);
        assert_int_equal(now->walk, wide ? OS_ADVISE_NORMAL : OS_ADVISE_RANDOM);
        assert_int_equal(now->large, wide ? segment->map_size : 0);
        sealed++;
    }
    assert_true(sealed > 0);
}

static void data_of_half_the_memory_is_read_wide(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    write_segments(&f, "k", 4);
    os_mem_set_memory(f.os, 10 * MIB);
    open_again(&f);
    expect_all(&f, true);
    end(&f);
}

static void data_of_more_than_half_is_not(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    write_segments(&f, "k", 4);
    os_mem_set_memory(f.os, 7 * MIB);
    open_again(&f);
    expect_all(&f, false);
    end(&f);
}

static void if_memory_is_not_told_it_is_not(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    write_segments(&f, "k", 1);
    int (*real)(struct os * os, uint64_t * bytes) = f.os->available_memory;
    f.os->available_memory = say_nothing_of_memory;
    open_again(&f);
    expect_all(&f, false);
    f.os->available_memory = real;
    end(&f);
}

static void the_option_says_it_whatever_there_is(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    write_segments(&f, "k", 2);
    f.options.read_ahead = BITCASK_READ_AHEAD_OFF;
    open_again(&f);
    expect_all(&f, false);
    f.options.read_ahead = BITCASK_READ_AHEAD_ON;
    os_mem_set_memory(f.os, 1);
    open_again(&f);
    expect_all(&f, true);
    end(&f);
}

static void a_store_that_grows_out_of_memory_is_told_segment_by_segment(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 8 * MIB);
    write_segments(&f, "a", 3);
    expect_all(&f, true);
    write_segments(&f, "b", 6); /* beyond three quarters of half, in between, and all of half */
    expect_all(&f, false);
    end(&f);
}

static void a_little_too_much_changes_nothing_either_way(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 8 * MIB);
    write_segments(&f, "k", 5); /* more than half, less than three quarters */
    expect_all(&f, true);
    open_again(&f); /* and it does not come to be so */
    expect_all(&f, false);
    end(&f);
}

static void a_store_that_shrinks_into_memory_is_told(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 8 * MIB);
    write_segments(&f, "k", 8);
    expect_all(&f, false);
    write_segments(&f, "k", 1); /* overwritten, most of it: */
    for (int i = 4; i < 32; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%d", i);
        delete_key(&f, key);
    }
    rotate(&f);
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    assert_int_equal(bitcask_merge(f.db, &options, NULL, &f.error), BITCASK_OK);
    expect_all(&f, true);
    end(&f);
}

static void memory_that_others_take_is_noticed_within_a_minute(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    write_segments(&f, "k", 3);
    f.store->options.merge_delay_ms = 0;
    assert_int_equal(merge_schedule_new(f.store, &f.error), BITCASK_OK);
    expect_all(&f, true);
    os_mem_set_memory(f.os, 2 * MIB);
    os_mem_advance_clock(f.os, 61 * 1000 * 1000);
    merge_schedule_step(f.store);
    expect_all(&f, false);
    end(&f);
}

static void where_the_log_goes_on_there_are_no_large_pages(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    close_store(&f);
    f.options.segment_size = 64 * MIB;
    open_store(&f);
    for (int i = 0; i < 40; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%d", i);
        put_sized(&f, key, 'v', VALUE); /* 10 MB */
    }
    open_again(&f);
    const struct segment *active = f.store->segments.by_id[0];
    assert_int_equal(atomic_load(&active->state), BITCASK_SEGMENT_ACTIVE);
    assert_int_equal(told_of(active->map)->walk, OS_ADVISE_NORMAL);
    assert_int_equal(told_of(active->map)->large, 4 * MIB);
    rotate(&f);
    assert_int_equal(told_of(active->map)->large, active->map_size);
    end(&f);
}

static void what_a_merge_gives_up_is_as_it_was(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2 * MIB);
    write_segments(&f, "k", 2);
    expect_all(&f, false);
    struct segment *segment = f.store->segments.by_id[0];
    f.os->advise(f.os, (void *)(uintptr_t)segment->map, segment->map_size, OS_ADVISE_SEQUENTIAL);
    read_ahead_resume(segment);
    expect_all(&f, false);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_of_half_the_memory_is_read_wide),
        cmocka_unit_test(data_of_more_than_half_is_not),
        cmocka_unit_test(if_memory_is_not_told_it_is_not),
        cmocka_unit_test(the_option_says_it_whatever_there_is),
        cmocka_unit_test(a_store_that_grows_out_of_memory_is_told_segment_by_segment),
        cmocka_unit_test(a_little_too_much_changes_nothing_either_way),
        cmocka_unit_test(a_store_that_shrinks_into_memory_is_told),
        cmocka_unit_test(memory_that_others_take_is_noticed_within_a_minute),
        cmocka_unit_test(where_the_log_goes_on_there_are_no_large_pages),
        cmocka_unit_test(what_a_merge_gives_up_is_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
