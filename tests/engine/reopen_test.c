/* SPDX-License-Identifier: MIT
 * reopen_test.c: a store that was killed is opened quickly: from the hints where the image tells of
 * too little, in parts, and what can be made later is. Invariants R1, R5 and R7. */
#include <sched.h>

#include "engine/index_image.h"
#include "engine/log_append.h"
#include "format/names.h"
#include "support/write_fixture.h"

/* ---- Verbs ---------------------------------------------------------------------------------- */

static const struct segment *segment_of(const struct fixture *f, uint64_t id)
{
    for (size_t i = 0; i < f->store->segments.count; i++) {
        if (f->store->segments.by_id[i]->id == id)
            return f->store->segments.by_id[i];
    }
    fail_msg("no segment %d", (int)id);
    return NULL;
}

/* All that a record can be, so that the parts of the segment's figures differ. */
static void write_of_everything(struct fixture *f)
{
    char odd[400], even[300];
    memset(odd, 'o', sizeof odd - 1);
    memset(even, 'e', sizeof even - 1);
    odd[sizeof odd - 1] = even[sizeof even - 1] = 0;
    uint64_t soon = f->os->clock_real(f->os) + UINT64_C(3600000000);
    for (int round = 0; round < 4; round++) {
        put_numbered(f, "k", 0, 6, round % 2 ? odd : even);
        put_batch(f, "b", 3);
        delete_key(f, "k3");
        put(f, "k3", "again");
        assert_status(f, OK, put_until(f, "ttl", "x", soon - (uint64_t)round));
        if (round == 1)
            sync_store(f);
    }
    delete_key(f, "k1");
}

static void begin_with_thread(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    write_of_everything(f);
    kill_9(f);
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.merge = 0;
    f->options.log = NULL;
}

/* ---- In parts ------------------------------------------------------------------------------- */

static void a_killed_store_has_the_figures_it_had(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    write_of_everything(&f);
    const struct segment *segment = active_segment(&f);
    uint64_t id = segment->id, end = atomic_load(&segment->end), live = live_bytes(&f);
    struct segment_figures before = *log_figures(&f.store->writer);
    assert_true(end > f.store->options.segment_size / 8); /* several parts */
    char *with = dump_store(&f);
    kill_9(&f);

    open_store(&f);
    segment = segment_of(&f, id);
    struct segment_figures after = segment->figures;
    assert_int_equal(atomic_load(&segment->end), end);
    assert_int_equal(live_bytes(&f), live);
    assert_int_equal(after.records, 4 * (6 + 3 + 3) + 1);
    assert_int_equal(after.tombstones, 5);
    assert_int_equal(after.rolling, before.rolling);
    assert_int_equal(after.version_min, before.version_min);
    assert_int_equal(after.version_max, before.version_max);
    assert_int_equal(after.expires_min, before.expires_min);
    assert_int_equal(after.expires_max, before.expires_max);
    char *without = dump_store(&f);
    assert_string_equal(with, without);
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    close_store(&f);

    delete_file(&f, "000000001.hint"); /* made of the whole segment, with its rolling checksum */
    open_store(&f);
    assert_int_equal(segment_of(&f, id)->figures.rolling, after.rolling);
    assert_int_equal(event_number(&f, "recovered", "clean"), 1);
    assert_int_equal(atomic_load(&segment_of(&f, id)->damaged), 0);
    free(with);
    free(without);
    fixture_release(&f);
}

/* ---- Hints afterwards ----------------------------------------------------------------------- */

static void the_store_s_thread_makes_the_hints_of_what_was_not_sealed(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_thread(&f);
    open_store(&f);
    const struct segment *segment = segment_of(&f, 1);
    while (atomic_load(&segment->has_hint) == 0)
        sched_yield();
    assert_true(has_file(&f, "000000001.hint"));
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    close_store(&f);
    fixture_release(&f);
}

static void closing_leaves_no_segment_without_its_hint(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_thread(&f);
    open_store(&f);
    close_store(&f); /* before or after the thread has come to it */
    assert_true(has_file(&f, "000000001.hint"));
    f.options.background = BITCASK_BACKGROUND_NONE;
    f.options.log = NULL;
    open_store(&f);
    assert_int_not_equal(atomic_load(&segment_of(&f, 1)->has_hint), 0);
    check_value(&f, "k3", "again");
    check_missing(&f, "k1");
    fixture_release(&f);
}

static void killed_before_the_hint_is_there_it_opens_all_the_same(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    write_of_everything(&f);
    char *before = dump_store(&f);
    kill_9(&f);
    open_store(&f);
    kill_9(&f);
    delete_file(&f, "000000001.hint"); /* as if the thread had not come to it */
    open_store(&f);
    char *after = dump_store(&f);
    assert_string_equal(before, after);
    assert_int_equal(count_events(&f, "hint_rebuilt"), 1);
    assert_true(has_file(&f, "000000001.hint"));
    free(before);
    free(after);
    fixture_release(&f);
}

/* ---- From the image, or from the hints ------------------------------------------------------ */

enum { MEBIBYTE = 1 << 20 };

static void put_mebibytes(struct fixture *f, const char *prefix, int count)
{
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%d", prefix, i);
        put_sized(f, key, 'x', MEBIBYTE);
    }
}

static bool is_opened_from_image(int covered, int behind)
{
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 16 * MEBIBYTE;
    f.options.index_snapshot_bytes = UINT64_C(1) << 60;
    open_store(&f);
    put_mebibytes(&f, "covered", covered);
    assert_status(&f, OK, index_image_write(f.store, NULL, &f.error));
    put_mebibytes(&f, "behind", behind);
    kill_9(&f);
    open_store(&f);
    assert_int_equal(keydir_count(f.store->keydir), covered + behind);
    bool from_image = atomic_load(&f.store->index.origin) == BITCASK_INDEX_SNAPSHOT;
    fixture_release(&f);
    return from_image;
}

static void little_behind_the_image_is_replayed(void **state)
{
    (void)state;
    assert_true(is_opened_from_image(4, 7));
}

static void much_behind_the_image_makes_hints_the_faster_way(void **state)
{
    (void)state;
    assert_false(is_opened_from_image(70, 12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_store_has_the_figures_it_had),
        cmocka_unit_test(the_store_s_thread_makes_the_hints_of_what_was_not_sealed),
        cmocka_unit_test(closing_leaves_no_segment_without_its_hint),
        cmocka_unit_test(killed_before_the_hint_is_there_it_opens_all_the_same),
        cmocka_unit_test(little_behind_the_image_is_replayed),
        cmocka_unit_test(much_behind_the_image_makes_hints_the_faster_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
