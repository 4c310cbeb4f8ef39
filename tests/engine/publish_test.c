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

/* The entry is moved to the record of before, as to the copy that a merge has made. */
static void move_entry(struct fixture *f, const char *key, struct keydir_place from,
                       struct keydir_place to)
{
    uint64_t hash = hash_key(&f->store->secret, bitcask_str(key));
    assert_true(keydir_replace(f->store->keydir, hash, from, to));
}

static void an_entry_that_was_moved_is_looked_for_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "city", "Utrecht");
    struct keydir_place first = place_of(&f, "city");
    put(&f, "city", "Zwolle!");
    struct keydir_place second = place_of(&f, "city");
    move_entry(&f, "city", second, first);
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
    fixture_init(&f);
    open_store(&f);
    put(&f, "city", "Utrecht");
    struct keydir_place first = place_of(&f, "city");
    put(&f, "city", "Zwolle!");
    struct keydir_place second = place_of(&f, "city");
    move_entry(&f, "city", second, first);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_that_was_moved_is_looked_for_again),
        cmocka_unit_test(a_delete_removes_an_entry_that_was_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
