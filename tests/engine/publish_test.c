/* SPDX-License-Identifier: MIT
 * publish_test.c: a write is published also where a merge has moved the key's entry since it was
 * looked for (W5). */
#include <string.h>

#include "support/store_fixture.h"

#include "engine/publish.h"
#include "engine/reader.h"

static struct keydir_place place_of(struct fixture *f, const char *key)
{
    struct reader_hit hit;
    bitcask_slice name = bitcask_str(key);
    uint64_t hash = hash_key(&f->store->secret, name);
    assert_int_equal(reader_find(f->store, hash, name, false, &hit), BITCASK_OK);
    return hit.place;
}

/* A key written twice, whose entry is then moved to the first record, as to the copy that a merge
 * has made. Returns where it was. */
static struct keydir_place begin_moved(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    put(f, "city", "Utrecht");
    struct keydir_place first = place_of(f, "city");
    put(f, "city", "Zwolle!");
    struct keydir_place second = place_of(f, "city");
    uint64_t hash = hash_key(&f->store->secret, bitcask_str("city"));
    assert_true(keydir_replace(f->store->keydir, hash, second, first));
    return second;
}

static void an_entry_that_was_moved_is_looked_for_again(void **state)
{
    (void)state;
    struct fixture f;
    struct keydir_place second = begin_moved(&f);
    check_value(&f, "city", "Utrecht");
    struct write_op op = {
        .kind = WRITE_PUT,
        .key = bitcask_str("city"),
        .value = bitcask_str("Zwolle!"),
        .hash = hash_key(&f.store->secret, bitcask_str("city")),
        .old = second, /* where it was when the write began */
        .place = second,
    };
    publish_change(f.store, &op);
    check_value(&f, "city", "Zwolle!");
    fixture_release(&f);
}

static void a_delete_removes_an_entry_that_was_moved(void **state)
{
    (void)state;
    struct fixture f;
    struct keydir_place second = begin_moved(&f);
    struct write_op op = {
        .kind = WRITE_DELETE,
        .key = bitcask_str("city"),
        .hash = hash_key(&f.store->secret, bitcask_str("city")),
        .old = second,
    };
    publish_change(f.store, &op);
    check_missing(&f, "city");
    fixture_release(&f);
}

/* ---- A moved entry that cannot be found ------------------------------------------------------ */

/* As begin_moved, and the first record's segment has become unreadable meanwhile. */
static struct write_op begin_lost(struct fixture *f, enum write_kind kind)
{
    fixture_init(f);
    open_store(f);
    put(f, "city", "Utrecht");
    struct keydir_place first = place_of(f, "city");
    rotate(f);
    put(f, "city", "Zwolle!");
    struct write_op op = {
        .kind = kind,
        .key = bitcask_str("city"),
        .value = bitcask_str("Zwolle!"),
        .hash = hash_key(&f->store->secret, bitcask_str("city")),
        .old = place_of(f, "city"),
        .place = place_of(f, "city"),
    };
    assert_true(keydir_replace(f->store->keydir, op.hash, op.old, first));
    atomic_store(&segments_at(&f->store->segments, first.segment_slot)->suspect, 0);
    check_corrupt(f, "city");
    return op;
}

static void a_put_shows_beside_an_entry_that_cannot_be_told(void **state)
{
    (void)state;
    struct fixture f;
    struct write_op op = begin_lost(&f, WRITE_PUT);
    publish_change(f.store, &op);
    check_value(&f, "city", "Zwolle!");
    fixture_release(&f);
}

/* What cannot be read cannot be deleted: it reads as damage, as before. */
static void a_delete_leaves_an_entry_that_cannot_be_told(void **state)
{
    (void)state;
    struct fixture f;
    struct write_op op = begin_lost(&f, WRITE_DELETE);
    publish_change(f.store, &op);
    check_corrupt(&f, "city");
    fixture_release(&f);
}

/* Its record is in the log, the index cannot tell of it: opening the store again does. */
static void without_room_beside_it_writes_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct write_op op = begin_lost(&f, WRITE_PUT);
    struct keydir *keydir = f.store->keydir;
    for (int i = 1; i < 2 * KEYDIR_BUCKET_SLOTS; i++) /* both buckets of the hash are full */
        assert_int_equal(keydir_reserve(keydir, op.hash, &f.error), BITCASK_OK);
    keydir->options.max_bytes = 1;
    publish_change(f.store, &op);
    assert_int_equal(
        bitcask_put(f.db, bitcask_str("other"), bitcask_str("o"), NULL, NULL, &f.error),
        BITCASK_READ_ONLY);
    assert_non_null(strstr(f.error.message, "out of memory for the index"));
    abandon(&f);
    open_store(&f);
    check_value(&f, "city", "Zwolle!");
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_that_was_moved_is_looked_for_again),
        cmocka_unit_test(a_delete_removes_an_entry_that_was_moved),
        cmocka_unit_test(a_put_shows_beside_an_entry_that_cannot_be_told),
        cmocka_unit_test(a_delete_leaves_an_entry_that_cannot_be_told),
        cmocka_unit_test(without_room_beside_it_writes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
