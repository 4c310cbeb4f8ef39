/* SPDX-License-Identifier: MIT
 * log_ahead_test.c: large pages are asked for where syncs are rare, and only there. */
#include <stdlib.h>
#include <string.h>

#include "support/failures.h"

#include <sched.h>

#include "engine/background.h"
#include "engine/log_ahead.h"
#include "engine/log_writer.h"

enum { MIB = 1 << 20, VALUE_SIZE = 64 << 10 };

static int (*real_advise)(struct os *os, void *memory, size_t size, enum os_advice advice);
static int asked_large, asked_small, asked_to_evict;

static int count_advice(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    asked_large += advice == OS_ADVISE_HUGE;
    asked_small += advice == OS_ADVISE_SMALL;
    asked_to_evict += advice == OS_ADVISE_EVICT;
    return real_advise(os, memory, size, advice);
}

static const uint64_t UP_US = 3600 * 1000000ull; /* when the store is opened */
static uint64_t now_us;

static uint64_t read_clock(struct os *os)
{
    (void)os;
    return now_us;
}

static void begin(struct fixture *f)
{
    asked_large = asked_small = asked_to_evict = 0;
    fixture_init(f);
    real_advise = f->os->advise;
    f->os->advise = count_advice;
    f->os->clock_boot = read_clock;
    now_us = UP_US;
    f->options.segment_size = 64 * MIB;
    open_store(f);
}

/* `bytes` of records, with a sync behind so many of them; 0: none. */
static void write_log(struct fixture *f, size_t bytes, int sync_every)
{
    for (int i = 1; (size_t)i * VALUE_SIZE <= bytes; i++) {
        put_sized(f, "key", 'v', VALUE_SIZE);
        if (sync_every != 0 && i % sync_every == 0)
            sync_store(f);
    }
}

static void without_syncs_pages_are_large(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, 3 * MIB, 0);
    log_populate_ahead(f.store);
    write_log(&f, 3 * MIB, 0);
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 1);
    assert_int_equal(asked_small, 0);
    fixture_release(&f);
}

static void with_a_sync_for_each_write_they_are_not(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, 3 * MIB, 1);
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 0);
    fixture_release(&f);
}

static void it_is_found_out_again_and_again(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, 3 * MIB, 0);
    log_populate_ahead(f.store);
    write_log(&f, 3 * MIB, 2);
    log_populate_ahead(f.store);
    assert_int_equal(asked_small, 1);
    log_populate_ahead(f.store); /* nothing new to tell by */
    assert_int_equal(asked_small, 1);
    assert_int_equal(asked_large, 1);
    write_log(&f, 6 * MIB, 40);
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 2);
    fixture_release(&f);
}

/* Else the kernel, which reads far ahead where all is allocated, fills its first part with small
 * ones before the thread comes to it. */
static void what_comes_behind_large_pages_begins_with_them(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        struct fixture f;
        begin(&f);
        write_log(&f, 3 * MIB, large ? 0 : 1);
        log_populate_ahead(f.store);
        assert_int_equal(asked_large, large);
        assert_status(&f, OK, log_prepare_next(f.store, 0, &f.error));
        assert_int_equal(asked_large, 2 * large);
        assert_int_equal(atomic_load(&f.store->writer.next->large_pages), large);
        fixture_release(&f);
    }
}

static uint64_t populated_ahead(struct fixture *f)
{
    struct segment *active = atomic_load(&f->store->writer.active);
    uint64_t end_bytes = atomic_load(&active->end), to = atomic_load(&active->populated);
    return to > end_bytes ? to - end_bytes : 0;
}

/* A server's thread may wait for the processor meanwhile. */
static void little_is_done_at_a_time_for_who_writes_little(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, 6 * MIB, 0);
    now_us += 1000000;
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 0);
    assert_true(populated_ahead(&f) > 0 && populated_ahead(&f) < MIB);
    write_log(&f, 6 * MIB, 0);
    now_us += 10000;
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 1);
    assert_true(populated_ahead(&f) > MIB);
    write_log(&f, 6 * MIB, 0);
    now_us += 1000000;
    log_populate_ahead(f.store);
    assert_int_equal(asked_small, 1);
    fixture_release(&f);
}

static void put_synced(struct fixture *f, int count)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = BITCASK_SYNC_ALWAYS;
    for (int i = 0; i < count; i++)
        assert_int_equal(bitcask_put(f->db, bitcask_str("synced"), bitcask_str("value"), &options,
                                     NULL, &f->error),
                         BITCASK_OK);
}

static void behind_an_unsynced_fill_synced_writes_get_small_pages(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, 12 * MIB, 0);
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 1);
    assert_true(populated_ahead(&f) > MIB);
    put_synced(&f, 4); /* too few to tell */
    put_sized(&f, "key", 'v', VALUE_SIZE);
    put_synced(&f, 8); /* the first one syncs what is before it */
    assert_int_equal(asked_to_evict, 0);
    put_synced(&f, 1);
    assert_int_equal(asked_small, 1);
    assert_int_equal(asked_to_evict, 1);
    assert_true(populated_ahead(&f) < OS_PAGE);
    put_synced(&f, 3); /* once is enough */
    assert_int_equal(asked_to_evict, 1);
    write_log(&f, 20 * MIB, 0); /* pages are faulted in again, and may be large again */
    assert_true(populated_ahead(&f) > 0);
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 2);
    check_value(&f, "synced", "value");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* ---- Nothing to do ------------------------------------------------------------------------- */

static int asked_populate;
static int populate_result;

static int count_populate(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    if (advice != OS_ADVISE_POPULATE)
        return real_advise(os, memory, size, advice);
    asked_populate++;
    return populate_result != 0 ? populate_result : real_advise(os, memory, size, advice);
}

static struct segment *active_of(struct fixture *f)
{
    return atomic_load(&f->store->writer.active);
}

/* Whose active segment, if there is one, wants more pages. */
static void begin_counting(struct fixture *f, uint64_t segment_size)
{
    fixture_init(f);
    asked_populate = populate_result = 0;
    real_advise = f->os->advise;
    f->os->advise = count_populate;
    f->os->clock_boot = read_clock;
    now_us = UP_US;
    f->options.segment_size = segment_size;
    open_store(f);
}

static void a_store_that_is_not_written_to_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    begin_counting(&f, 64 * MIB);
    log_populate_ahead(f.store); /* there is no segment yet */
    write_log(&f, 3 * MIB, 0);
    asked_populate = 0;
    f.store->writer.mapped_writes = false;
    log_populate_ahead(f.store); /* nobody writes by way of the pages */
    assert_int_equal(asked_populate, 0);
    f.store->writer.mapped_writes = true;
    log_populate_ahead(f.store);
    assert_true(asked_populate > 0);
    fixture_release(&f);
}

static void a_store_that_is_being_closed_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    begin_counting(&f, 64 * MIB);
    write_log(&f, 3 * MIB, 0);
    asked_populate = 0;
    atomic_store(&f.store->stopping, true);
    log_populate_ahead(f.store);
    assert_int_equal(asked_populate, 0);
    atomic_store(&f.store->stopping, false);
    fixture_release(&f);
}

/* Its pages are those of a second mapping, which goes when it is sealed. */
static void a_segment_that_is_appended_to_again_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    begin_counting(&f, 64 * MIB);
    write_log(&f, 3 * MIB, 0);
    close_store(&f);
    open_store(&f);
    put(&f, "key", "v");
    assert_true(active_of(&f)->remapped);
    asked_populate = 0;
    log_populate_ahead(f.store);
    assert_int_equal(asked_populate, 0);
    fixture_release(&f);
}

static void in_a_small_segment_pages_are_as_they_are(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    close_store(&f);
    f.options.segment_size = 3 * MIB;
    open_store(&f);
    write_log(&f, 2 * MIB, 0);
    log_populate_ahead(f.store);
    assert_int_equal(asked_large + asked_small, 0);
    fixture_release(&f);
}

/* A page that cannot be had now is had when it is written to. */
static void pages_that_cannot_be_had_are_not_noted(void **state)
{
    (void)state;
    struct fixture f;
    begin_counting(&f, 64 * MIB);
    write_log(&f, 3 * MIB, 0);
    uint64_t before = atomic_load(&active_of(&f)->populated);
    asked_populate = 0;
    populate_result = -ENOMEM;
    log_populate_ahead(f.store);
    assert_int_equal(asked_populate, 1);
    assert_int_equal(atomic_load(&active_of(&f)->populated), before);
    write_log(&f, 3 * MIB, 0);
    populate_result = 0;
    log_populate_ahead(f.store);
    assert_true(atomic_load(&active_of(&f)->populated) > before);
    fixture_release(&f);
}

static void what_is_allocated_is_populated_once(void **state)
{
    (void)state;
    struct fixture f;
    begin_counting(&f, 64 * MIB);
    write_log(&f, 1 * MIB, 0);
    uint64_t allocated = f.store->writer.allocated;
    log_populate(f.store, active_of(&f), 2 * allocated);
    asked_populate = 0;
    log_populate(f.store, active_of(&f), 2 * allocated); /* but what is not there cannot be */
    assert_int_equal(asked_populate, 0);
    assert_true(atomic_load(&active_of(&f)->populated) <= allocated);
    fixture_release(&f);
}

static struct fixture *rotated; /* while large pages are asked for */

static int rotate_meanwhile(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    struct fixture *f = rotated;
    if (advice == OS_ADVISE_HUGE && f != NULL) {
        rotated = NULL;
        rotate(f);
        asked_small = 0;
    }
    return count_advice(os, memory, size, advice);
}

/* What is sealed has no large pages behind: neither did its end want them, nor will its readers. */
static void a_segment_that_is_sealed_meanwhile_is_read_as_the_others(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    close_store(&f);
    f.options.read_ahead = BITCASK_READ_AHEAD_OFF;
    open_store(&f);
    write_log(&f, 3 * MIB, 0);
    struct segment *segment = active_of(&f);
    rotated = &f;
    f.os->advise = rotate_meanwhile;
    log_populate_ahead(f.store);
    assert_null(rotated);
    assert_int_equal(atomic_load(&segment->state), BITCASK_SEGMENT_SEALED);
    assert_int_equal(atomic_load(&segment->reads), SEGMENT_READS_SINGLE);
    assert_int_equal(asked_large, 2); /* the one that comes next, too */
    assert_int_equal(asked_small, 1); /* and taken back */
    fixture_release(&f);
}

/* ---- The thread ---------------------------------------------------------------------------- */

static _Atomic int populated_elsewhere; /* by another thread than the one that writes */
static pthread_t writing;

static int tell_who_populates(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    if (advice == OS_ADVISE_POPULATE && !pthread_equal(pthread_self(), writing))
        atomic_fetch_add(&populated_elsewhere, 1);
    return real_advise(os, memory, size, advice);
}

static void begin_with_thread(struct fixture *f)
{
    fixture_init(f);
    writing = pthread_self();
    atomic_store(&populated_elsewhere, 0);
    real_advise = f->os->advise;
    f->os->advise = tell_who_populates;
    f->os->clock_boot = read_clock;
    now_us = UP_US; /* and no later: much is written, so the thread goes further than the head */
    f->options.segment_size = 64 * MIB;
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.log = NULL;
    open_store(f);
}

static void a_small_store_has_no_thread_for_it(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_thread(&f);
    write_log(&f, 1 * MIB, 0);
    assert_false(f.store->ahead.running);
    fixture_release(&f);
}

/* Also while the store's own thread is held up: here by who has the mutex of sealing. */
static void a_thread_of_its_own_populates_ahead_of_the_writers(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_thread(&f);
    pthread_mutex_lock(&f.store->seal_mutex);
    background_want(f.store, WORK_SEAL);
    write_log(&f, 4 * MIB, 0);
    assert_true(f.store->ahead.running);
    struct segment *active = atomic_load(&f.store->writer.active);
    uint64_t end_bytes = atomic_load(&active->end);
    while (atomic_load(&populated_elsewhere) == 0 || atomic_load(&active->populated) <= end_bytes)
        sched_yield();
    pthread_mutex_unlock(&f.store->seal_mutex);
    write_log(&f, 4 * MIB, 0);
    close_store(&f);
    open_store(&f);
    fixture_release(&f);
}

static void without_a_thread_the_writers_do_it_themselves(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_thread(&f);
    atomic_store(&heap.threads_left, 0);
    write_log(&f, 8 * MIB, 0);
    atomic_store(&heap.threads_left, -1);
    assert_false(f.store->ahead.running);
    assert_int_equal(atomic_load(&populated_elsewhere), 0);
    struct segment *active = atomic_load(&f.store->writer.active);
    assert_true(atomic_load(&active->populated) >= 8 * MIB);
    write_log(&f, 4 * MIB, 0); /* it is not tried again and again */
    assert_false(f.store->ahead.running);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_syncs_pages_are_large),
        cmocka_unit_test(with_a_sync_for_each_write_they_are_not),
        cmocka_unit_test(it_is_found_out_again_and_again),
        cmocka_unit_test(what_comes_behind_large_pages_begins_with_them),
        cmocka_unit_test(little_is_done_at_a_time_for_who_writes_little),
        cmocka_unit_test(a_store_that_is_not_written_to_is_left_alone),
        cmocka_unit_test(a_store_that_is_being_closed_is_left_alone),
        cmocka_unit_test(a_segment_that_is_appended_to_again_is_left_alone),
        cmocka_unit_test(in_a_small_segment_pages_are_as_they_are),
        cmocka_unit_test(pages_that_cannot_be_had_are_not_noted),
        cmocka_unit_test(what_is_allocated_is_populated_once),
        cmocka_unit_test(a_segment_that_is_sealed_meanwhile_is_read_as_the_others),
        cmocka_unit_test(behind_an_unsynced_fill_synced_writes_get_small_pages),
        cmocka_unit_test(a_small_store_has_no_thread_for_it),
        cmocka_unit_test(a_thread_of_its_own_populates_ahead_of_the_writers),
        cmocka_unit_test(without_a_thread_the_writers_do_it_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
