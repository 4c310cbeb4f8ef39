/* SPDX-License-Identifier: MIT
 * scrub_test.c: what rots in sealed segments is found while the store is open. */
#include "engine/scrub.h"
#include "support/three_segments.h"

static bitcask_stats stats_of(struct fixture *f)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f->db, &stats);
    return stats;
}

static void a_pass_reads_all_that_is_sealed(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    open_store(&f);
    scrub_pass(f.store, NULL);
    bitcask_stats stats = stats_of(&f);
    assert_int_equal(stats.scrub_passes, 1);
    assert_int_equal(stats.scrub_findings, 0);
    assert_true(stats.scrubbed_bytes > 2 * SEGMENT_HEADER_SIZE);
    assert_true(stats.last_scrub_us > 0);
    assert_int_equal(event_number(&f, "scrubbed", "segments"), 2);
    fixture_release(&f);
}

static void a_store_with_nothing_sealed_has_no_pass(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    scrub_pass(f.store, NULL);
    assert_int_equal(stats_of(&f).scrub_passes, 0);
    fixture_release(&f);
}

static void rot_is_told_and_the_segment_is_no_merge_input_any_more(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    open_store(&f);
    flip_byte(&f, SEGMENT_2, find_text(&f, SEGMENT_2, "b2"));
    scrub_pass(f.store, NULL);
    assert_int_equal(event_number(&f, "scrub_finding", "segment"), 2);
    assert_int_equal(event_number(&f, "scrub_finding", "bytes"), record_bytes("b", 2));
    assert_int_equal(count_events(&f, "damaged"), 1);
    assert_int_equal(stats_of(&f).scrub_findings, 1);
    bitcask_segment_info infos[4];
    assert_int_equal(bitcask_get_segments(f.db, infos, 4, sizeof *infos), 3);
    assert_true(infos[1].damaged);
    scrub_pass(f.store, NULL); /* and again, as long as it is there */
    assert_int_equal(stats_of(&f).scrub_findings, 2);
    assert_int_equal(stats_of(&f).scrub_passes, 2);
    fixture_release(&f);
}

static void told_to_stop_it_ends_and_is_no_pass(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    open_store(&f);
    _Atomic bool stop = true;
    scrub_pass(f.store, &stop);
    assert_int_equal(stats_of(&f).scrub_passes, 0);
    fixture_release(&f);
}

static void the_thread_scrubs_and_ends_with_the_store(void **state)
{
    (void)state;
    struct fixture f;
    make_three(&f);
    f.options.scrub_bytes_per_s = 1 << 30;
    open_store(&f);
    while (stats_of(&f).scrub_passes == 0) /* however long it takes */
        put(&f, "e", "e1");
    close_store(&f);
    assert_int_equal(os_mem_open_files(f.os), 0);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_reads_all_that_is_sealed),
        cmocka_unit_test(a_store_with_nothing_sealed_has_no_pass),
        cmocka_unit_test(rot_is_told_and_the_segment_is_no_merge_input_any_more),
        cmocka_unit_test(told_to_stop_it_ends_and_is_no_pass),
        cmocka_unit_test(the_thread_scrubs_and_ends_with_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
