/* SPDX-License-Identifier: MIT
 * recover_parts_test.c: an unsealed segment that is scanned in parts gives what it gives as a
 * whole, whatever is in its parts. */
#include "support/write_fixture.h"

enum { MIB = 1 << 20 };

static void check_large(struct fixture *f, int count)
{
    char key[24];
    bitcask_buffer value = {0};
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "large%d", i);
        assert_status(f, OK, read_key(f, key, &value));
        assert_int_equal(value.size, 60000);
        assert_int_equal(((char *)value.data)[59999], 'a' + i % 26);
    }
    bitcask_buffer_free(&value);
}

/* More than is asked of the device ahead of the scan. */
static void a_large_segment_is_read_ahead_and_found_whole(void **state)
{
    (void)state;
    struct fixture f;
    char key[24];
    fixture_init(&f);
    f.options.segment_size = 256 * MIB;
    f.options.background = BITCASK_BACKGROUND_THREAD;
    f.options.merge = 0;
    f.options.log = NULL;
    open_store(&f);
    const int count = 800; /* 48 MB: two parts */
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "large%d", i);
        put_sized(&f, key, (char)('a' + i % 26), 60000);
    }
    kill_9(&f);
    open_store(&f);
    check_large(&f, count);
    assert_sound(&f);
    close_store(&f);
    open_store(&f); /* by the hint that was made later */
    check_large(&f, count);
    fixture_release(&f);
}

/* ---- What is in a part ------------------------------------------------------------------------
 */

enum content { PUTS, DELETES, MORTALS, SYNCS, CONTENTS };
enum { PARTS = 3, BEFORE = 10 };

/* Some 6 KiB of it, more than a part. */
static void write_part(struct fixture *f, enum content content, int part)
{
    char key[24];
    for (int i = 0; i < 90; i++) {
        snprintf(key, sizeof key, "part%d-%d", content == DELETES ? BEFORE + part : part, i);
        if (content == DELETES)
            delete_key(f, key);
        else if (content == MORTALS)
            assert_status(f, OK,
                          put_until(f, key, "a value that will be gone some day",
                                    f->os->clock_real(f->os) + (uint64_t)(part + 1) * 1000000000));
        else
            put(f, key, "a value that stays where it is, come what may");
        if (content == SYNCS)
            sync_store(f);
    }
}

/* Keys that came before all parts, in each order of what comes behind them. */
static void parts_of_all_kinds_are_one_segment(void **state)
{
    (void)state;
    for (int order = 0; order < CONTENTS * CONTENTS; order++) {
        struct fixture f;
        fixture_init(&f);
        f.options.log = NULL;
        open_store(&f);
        for (int part = 0; part < PARTS; part++)
            write_part(&f, PUTS, BEFORE + part);
        rotate(&f);
        for (int part = 0; part < PARTS; part++)
            write_part(&f, (enum content)(part == 1 ? order / CONTENTS : order % CONTENTS), part);
        assert_same_after_reopening(&f);
        assert_sound(&f);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_segment_is_read_ahead_and_found_whole),
        cmocka_unit_test(parts_of_all_kinds_are_one_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
