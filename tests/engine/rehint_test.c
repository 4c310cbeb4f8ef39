/* SPDX-License-Identifier: MIT
 * rehint_test.c: the hints that recovery has left for later are made, of those segments that can
 * have one, and one that cannot be made is left to the next opening. */
#include "support/write_fixture.h"

#include "engine/merge_gate.h"
#include "engine/rehint.h"

/* Three sealed segments and an active one; none has a hint, and the store knows. */
static void begin(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    for (int i = 0; i < 3; i++) {
        put_numbered(f, "k", 10 * i, 10 * i + 10, "v");
        rotate(f);
    }
    put(f, "active", "a");
    sync_store(f);
    delete_hints(f);
    for (size_t i = 0; i < f->store->segments.count; i++)
        atomic_store(&f->store->segments.by_id[i]->has_hint, 0);
    atomic_store(&f->store->hints_missing, true);
    f->event_count = 0;
}

static void check_hints(struct fixture *f, bool first, bool second, bool third)
{
    assert_int_equal(has_file(f, "000000001.hint"), first);
    assert_int_equal(has_file(f, "000000002.hint"), second);
    assert_int_equal(has_file(f, "000000003.hint"), third);
    assert_false(has_file(f, "000000004.hint"));
}

static void check_opens_by_hints(struct fixture *f)
{
    assert_same_after_reopening(f);
    assert_sound(f);
    check_value(f, "k29", "v");
}

static void they_are_made_one_at_a_time(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(rehint_next(f.store));
    check_hints(&f, true, false, false);
    assert_true(rehint_next(f.store));
    check_hints(&f, true, true, false);
    assert_true(rehint_next(f.store));
    check_hints(&f, true, true, true);
    assert_false(rehint_next(f.store));
    assert_false(atomic_load(&f.store->hints_missing));
    assert_false(rehint_next(f.store)); /* without a look at the segments */
    assert_int_equal(count_events(&f, "hint_rebuilt"), 3);
    check_opens_by_hints(&f);
    fixture_release(&f);
}

static void they_are_made_all_at_once_before_the_store_is_closed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(rehint_next(f.store));
    rehint_all(f.store);
    check_hints(&f, true, true, true);
    rehint_all(f.store);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 3);
    check_opens_by_hints(&f);
    fixture_release(&f);
}

/* A merge takes segments away. */
static void they_wait_for_a_merge(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(merge_gate_try_enter(f.store));
    assert_false(rehint_next(f.store));
    check_hints(&f, false, false, false);
    assert_true(atomic_load(&f.store->hints_missing));
    merge_gate_leave(f.store);
    assert_true(rehint_next(f.store));
    check_hints(&f, true, false, false);
    fixture_release(&f);
}

static void segments_that_have_one_or_can_have_none_are_passed_over(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct segment **all = f.store->segments.by_id;
    atomic_store(&all[0]->damaged, 1);
    atomic_store(&all[1]->has_hint, 1);
    const uint8_t *map = all[2]->map;
    all[2]->map = NULL; /* its file is not there */
    assert_false(rehint_next(f.store));
    check_hints(&f, false, false, false);
    all[2]->map = map;
    atomic_store(&all[0]->damaged, 0);
    atomic_store(&all[1]->has_hint, 0);
    atomic_store(&f.store->hints_missing, true);
    rehint_all(f.store);
    check_hints(&f, true, true, true);
    fixture_release(&f);
}

/* Whatever the disk refuses: the others are made, and this one when the store is opened again. */
static void one_that_cannot_be_made_is_left_to_the_next_opening(void **state)
{
    (void)state;
    for (int listened = 0; listened < 2; listened++) {
        struct fixture f;
        begin(&f);
        if (!listened)
            f.store->events.log = NULL;
        os_mem_fail(f.os, 1u << OS_CALL_PWRITE, 1, 1, -ENOSPC);
        assert_true(rehint_next(f.store));
        rehint_all(f.store);
        check_hints(&f, false, true, true);
        assert_int_equal(count_events(&f, "hint_failed"), listened);
        assert_int_equal(count_events(&f, "hint_rebuilt"), 2 * listened);
        assert_sound(&f);
        close_store(&f);
        open_store(&f);
        assert_true(has_file(&f, "000000001.hint"));
        check_opens_by_hints(&f);
        fixture_release(&f);
    }
}

static void a_store_that_refuses_writes_makes_none(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    store_poison(f.store, BITCASK_IO, "a test says so");
    rehint_all(f.store);
    check_hints(&f, false, false, false);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_made_one_at_a_time),
        cmocka_unit_test(they_are_made_all_at_once_before_the_store_is_closed),
        cmocka_unit_test(they_wait_for_a_merge),
        cmocka_unit_test(segments_that_have_one_or_can_have_none_are_passed_over),
        cmocka_unit_test(one_that_cannot_be_made_is_left_to_the_next_opening),
        cmocka_unit_test(a_store_that_refuses_writes_makes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
