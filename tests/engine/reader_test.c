/* SPDX-License-Identifier: MIT
 * reader_test.c: look-ups: what is proved, what is not, and what a reader may hold on to.
 * Invariants X1 and X2. */
#include "support/write_fixture.h"

#include "base/checksum.h"
#include "engine/reader.h"

static void a_key_that_was_never_put_is_not_found(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    check_missing(&f, "k"); /* without a segment */
    put(&f, "other", "v");
    check_missing(&f, "k");
    check_missing(&f, "othe");
    check_missing(&f, "other2");
    assert_int_equal(stats_of(&f).misses, 4);
    fixture_release(&f);
}

/* Two entries whose tags fit: the key is proved on the record, whichever comes first. */
static void a_damaged_record_of_another_key_does_not_hide_this_one(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    put(&f, "b", "2");
    /* Give "a" a second entry that points to a damaged record: unproven, and not in the way. */
    struct segment *active = active_segment(&f);
    uint64_t first = SEGMENT_HEADER_SIZE, size = record_size(0, 1, 1);
    uint64_t hash = hash_key(&f.store->secret, bitcask_str("a"));
    assert_int_equal(keydir_reserve(f.store->keydir, hash, &f.error), BITCASK_OK);
    keydir_insert(f.store->keydir, hash,
                  (struct keydir_place){active->slot, (uint32_t)(first + size)});
    active->writable[first + size + size - 1] ^= 1; /* the value of "b" */
    check_value(&f, "a", "1");
    check_corrupt(&f, "b");
    active->writable[first + size - 1] ^= 1; /* and that of "a" */
    check_corrupt(&f, "a");
    fixture_release(&f);
}

static void without_verifying_a_damaged_value_is_served_as_it_is(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "value");
    active_segment(&f)->writable[f.store->writer.end - 1] ^= 1;
    check_corrupt(&f, "k");
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.verify = BITCASK_VERIFY_NO;
    bitcask_buffer found = {0};
    assert_status(&f, OK, bitcask_get(f.db, &options, bitcask_str("k"), &found, NULL, &f.error));
    assert_memory_equal(found.data, "valu", 4);
    bitcask_buffer_free(&found);
    assert_true(stats_of(&f).corrupt_records > 0);
    fixture_release(&f);
}

static void an_error_says_where_the_damage_is(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "before", "1");
    uint64_t offset = f.store->writer.end;
    put(&f, "k", "value");
    active_segment(&f)->writable[f.store->writer.end - 1] ^= 1;
    check_corrupt(&f, "k");
    assert_int_equal(f.error.segment, 1);
    assert_int_equal(f.error.offset, offset);
    assert_non_null(strstr(f.error.message, "bad checksum"));
    assert_int_equal(event_number(&f, "corrupt_record", "offset"), offset);
    fixture_release(&f);
}

static void one_damaged_key_among_many_is_told_and_the_others_are_given(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    enum { COUNT = 150 };
    char names[COUNT][16];
    bitcask_slice keys[COUNT];
    bitcask_view views[COUNT];
    bitcask_status each[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        keys[i] = bitcask_str(names[i]);
        if (i % 10 != 3)
            put(&f, names[i], names[i]);
        if (i == 77)
            active_segment(&f)->writable[f.store->writer.end - 1] ^= 1;
    }
    assert_status(&f, CORRUPT, bitcask_get_many(f.db, NULL, keys, COUNT, views, each, &f.error));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(each[i], i == 77       ? BITCASK_CORRUPT
                                  : i % 10 == 3 ? BITCASK_NOT_FOUND
                                                : BITCASK_OK);
        if (each[i] == BITCASK_OK)
            assert_true(slice_equal(views[i].value, keys[i]));
        else
            assert_null(views[i].pin);
    }
    bitcask_views_release(views, COUNT);
    fixture_release(&f);
}

static void a_missing_segment_is_corrupt_and_never_not_found(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "v");
    rotate(&f);
    put(&f, "other", "x");
    close_store(&f);
    delete_file(&f, "000000001.data");
    open_store(&f);
    check_corrupt(&f, "k"); /* its hint still knows it */
    check_value(&f, "other", "x");
    assert_int_equal(stats_of(&f).missing_segments, 1);
    put(&f, "k", "again");
    check_value(&f, "k", "again");
    fixture_release(&f);
}

static void a_key_is_gone_once_its_time_has_passed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    uint64_t now = f.os->clock_real(f.os);
    assert_status(&f, OK, put_until(&f, "k", "v", now + 1000000));
    check_value(&f, "k", "v");
    os_mem_advance_clock(f.os, 900000);
    check_value(&f, "k", "v");
    os_mem_advance_clock(f.os, 200000);
    check_missing(&f, "k");
    bitcask_meta meta;
    assert_status(&f, NOT_FOUND, bitcask_stat_key(f.db, NULL, bitcask_str("k"), &meta, &f.error));
    os_mem_step_real_clock(f.os, -500000); /* wall time decides over reads */
    check_value(&f, "k", "v");
    fixture_release(&f);
}

/* ---- The ways of the processor --------------------------------------------------------------- */

enum { SIZES = 700, KEY_MAX = 40 };

static bitcask_slice sized_key(char to[KEY_MAX], unsigned size)
{
    memset(to, 'k', KEY_MAX);
    snprintf(to, KEY_MAX, "%u", size);
    return bitcask_bytes(to, 4 + size % (KEY_MAX - 3));
}

static void check_sized(struct fixture *f, unsigned size, const uint8_t *bytes,
                        bitcask_status expected)
{
    char room[KEY_MAX];
    bitcask_slice key = sized_key(room, size);
    bitcask_buffer value = {0};
    bitcask_view view, many;
    bitcask_status each;
    assert_int_equal(bitcask_get(f->db, NULL, key, &value, NULL, NULL), expected);
    assert_int_equal(bitcask_get_view(f->db, NULL, key, &view, NULL), expected);
    assert_int_equal(bitcask_get_many(f->db, NULL, &key, 1, &many, &each, NULL), expected);
    assert_int_equal(each, expected);
    if (expected == BITCASK_OK) {
        bitcask_meta meta;
        assert_int_equal(bitcask_get(f->db, NULL, key, &value, &meta, NULL), BITCASK_OK);
        assert_int_equal(meta.value_size, size);
        assert_true(meta.version > 0 && meta.version == view.meta.version);
        assert_int_equal(value.size, size);
        assert_memory_equal(value.data, bytes, size);
        assert_int_equal(view.value.size, size);
        assert_memory_equal(view.value.data, bytes, size);
        assert_memory_equal(many.value.data, bytes, size);
    }
    bitcask_views_release(&view, 1);
    bitcask_views_release(&many, 1);
    bitcask_buffer_free(&value);
}

static void values_of_all_sizes_are_read_and_proved_in_every_way(void **state)
{
    (void)state;
    static uint8_t bytes[SIZES];
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 1 << 20; /* all in one segment */
    open_store(&f);
    for (unsigned i = 0; i < SIZES; i++)
        bytes[i] = (uint8_t)(i * 151 >> 3);
    uint64_t ends[SIZES];
    for (unsigned size = 0; size < SIZES; size++) {
        char room[KEY_MAX];
        assert_status(&f, OK,
                      bitcask_put(f.db, sized_key(room, size), bitcask_bytes(bytes, size), NULL,
                                  NULL, &f.error));
        ends[size] = f.store->writer.end;
    }
    for (int way = CHECKSUM_WIDE; way >= CHECKSUM_PORTABLE; way--) {
        checksum_use((enum checksum_way)way);
        for (unsigned size = 0; size < SIZES; size++) {
            uint8_t *last = &active_segment(&f)->writable[ends[size] - 1];
            check_sized(&f, size, bytes, BITCASK_OK);
            *last ^= 1;
            check_sized(&f, size, bytes, BITCASK_CORRUPT);
            *last ^= 1;
        }
    }
    checksum_use(CHECKSUM_WIDE);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_was_never_put_is_not_found),
        cmocka_unit_test(a_damaged_record_of_another_key_does_not_hide_this_one),
        cmocka_unit_test(without_verifying_a_damaged_value_is_served_as_it_is),
        cmocka_unit_test(an_error_says_where_the_damage_is),
        cmocka_unit_test(one_damaged_key_among_many_is_told_and_the_others_are_given),
        cmocka_unit_test(a_missing_segment_is_corrupt_and_never_not_found),
        cmocka_unit_test(a_key_is_gone_once_its_time_has_passed),
        cmocka_unit_test(values_of_all_sizes_are_read_and_proved_in_every_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
