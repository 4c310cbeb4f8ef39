/* SPDX-License-Identifier: MIT
 * log_ahead_test.c: large pages are asked for where syncs are rare, and only there. */
#include <stdlib.h>
#include <string.h>

#include "support/store_fixture.h"

#include "engine/log_ahead.h"

enum { MIB = 1 << 20, VALUE_SIZE = 64 << 10 };

static int (*real_advise)(struct os *os, void *memory, size_t size, enum os_advice advice);
static int asked_large, asked_small;

static int count_advice(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    asked_large += advice == OS_ADVISE_HUGE;
    asked_small += advice == OS_ADVISE_SMALL;
    return real_advise(os, memory, size, advice);
}

static void begin(struct fixture *f)
{
    asked_large = asked_small = 0;
    fixture_init(f);
    real_advise = f->os->advise;
    f->os->advise = count_advice;
    f->options.segment_size = 64 * MIB;
    open_store(f);
}

static void end(struct fixture *f)
{
    f->os->advise = real_advise;
    fixture_release(f);
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
    end(&f);
}

static void with_a_sync_for_each_write_they_are_not(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    write_log(&f, 3 * MIB, 1);
    log_populate_ahead(f.store);
    assert_int_equal(asked_large, 0);
    end(&f);
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
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_syncs_pages_are_large),
        cmocka_unit_test(with_a_sync_for_each_write_they_are_not),
        cmocka_unit_test(it_is_found_out_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
