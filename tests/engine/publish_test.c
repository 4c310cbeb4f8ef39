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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_that_was_moved_is_looked_for_again),
        cmocka_unit_test(a_delete_removes_an_entry_that_was_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
