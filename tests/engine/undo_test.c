/* SPDX-License-Identifier: MIT
 * undo_test.c: the table of old places by itself: what a look at a version finds, what growth and
 * removals leave, memory. Invariants X4 and W2. */
#include "support/write_fixture.h"

static void begin(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    put(f, "anything", "so that there is a segment"); /* for entries to pin */
}

/* Let all that has been retired go. */
static void end_grace(struct fixture *f)
{
    for (int i = 0; i < 4; i++)
        epoch_poll(&f->store->epoch);
}

static struct undo_entry *add(struct fixture *f, uint64_t hash, uint32_t offset, uint64_t version,
                              uint64_t until)
{
    struct undo_entry *entry = NULL;
    assert_status(f, OK, undo_reserve(&f->store->undo, 1, &entry, &f->error));
    entry->hash = hash;
    entry->place = (struct keydir_place){active_segment(f)->slot, offset};
    entry->version = version;
    entry->until = until;
    undo_insert(&f->store->undo, entry);
    return entry;
}

/* There is no snapshot: what is settled goes. */
static void take_out(struct fixture *f, struct undo_entry *entry)
{
    entry->sibling = NULL;
    undo_settle(&f->store->undo, entry);
}

/* The sum of the offsets found: entries of one hash have different powers of two. */
static uint32_t found_at(struct fixture *f, uint64_t hash, uint64_t version)
{
    struct undo_probe probe;
    struct keydir_place place;
    uint32_t sum = 0;
    undo_probe_start(&f->store->undo, hash, version, &probe);
    while (undo_probe_next(&probe, &place))
        sum += place.offset;
    return sum;
}

static void an_entry_is_found_from_its_version_to_before_the_next(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_int_equal(found_at(&f, 7, 100), 0); /* no table at all */
    struct undo_entry *entry = add(&f, 7, 1, 100, 200);
    assert_int_equal(found_at(&f, 7, 99), 0);
    assert_int_equal(found_at(&f, 7, 100), 1);
    assert_int_equal(found_at(&f, 7, 199), 1);
    assert_int_equal(found_at(&f, 7, 200), 0);
    assert_int_equal(found_at(&f, 8, 150), 0);
    take_out(&f, entry);
    assert_int_equal(found_at(&f, 7, 150), 0);
    fixture_release(&f);
}

static void entries_of_one_hash_are_told_apart_by_their_versions(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct undo_entry *first = add(&f, 7, 1, 100, 200);
    struct undo_entry *second = add(&f, 7, 2, 200, 300);
    struct undo_entry *of_another_key = add(&f, 7, 4, 150, 250);
    assert_int_equal(found_at(&f, 7, 100), 1);
    assert_int_equal(found_at(&f, 7, 160), 1 + 4);
    assert_int_equal(found_at(&f, 7, 200), 2 + 4);
    assert_int_equal(found_at(&f, 7, 299), 2);
    take_out(&f, first);
    assert_int_equal(found_at(&f, 7, 160), 4);
    assert_int_equal(found_at(&f, 7, 200), 2 + 4);
    take_out(&f, of_another_key);
    take_out(&f, second);
    assert_int_equal(found_at(&f, 7, 200), 0);
    fixture_release(&f);
}

/* ---- Against a plain list -------------------------------------------------------------------- */

enum { MODEL_MAX = 3000 };

struct model {
    struct undo_entry *entries[MODEL_MAX];
    size_t count;
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state ^ *state >> 29;
    return x * 0x9E3779B97F4A7C15u;
}

static uint64_t collect_sum(struct fixture *f, uint64_t version, uint64_t from, uint64_t to,
                            size_t *count)
{
    struct keydir_places places = {0};
    struct undo_versions versions = {0};
    uint64_t sum = 0;
    assert_int_equal(undo_collect(&f->store->undo, version, from, to, &places, &versions),
                     BITCASK_OK);
    assert_int_equal(places.count, versions.count);
    for (size_t i = 0; i < places.count; i++)
        sum += places.items[i].offset * 31 + versions.items[i];
    *count = places.count;
    free(places.items);
    free(versions.items);
    return sum;
}

static void check_range(struct fixture *f, const struct model *model, uint64_t version,
                        uint64_t from, uint64_t to)
{
    uint64_t expected = 0;
    size_t expected_count = 0, count;
    for (size_t i = 0; i < model->count; i++) {
        const struct undo_entry *entry = model->entries[i];
        if (entry->hash < from || (entry->hash >= to && to != UINT64_MAX) ||
            entry->version > version || version >= entry->until)
            continue;
        expected += entry->place.offset * 31 + entry->version;
        expected_count++;
    }
    uint64_t sum = collect_sum(f, version, from, to, &count);
    assert_int_equal(count, expected_count);
    assert_int_equal(sum, expected);
}

static void check_model(struct fixture *f, const struct model *model, uint64_t *random)
{
    for (int i = 0; i < 20 && model->count > 0; i++) {
        const struct undo_entry *entry = model->entries[next_random(random) % model->count];
        uint32_t expected = 0;
        for (size_t k = 0; k < model->count; k++) {
            const struct undo_entry *other = model->entries[k];
            if (other->hash == entry->hash && other->version <= entry->version &&
                entry->version < other->until)
                expected += other->place.offset;
        }
        assert_int_equal(found_at(f, entry->hash, entry->version), expected);
    }
    check_range(f, model, 500, 0, UINT64_MAX);
    for (int i = 0; i < 8; i++) {
        uint64_t part = (uint64_t)i << 61;
        check_range(f, model, 250, part, i == 7 ? UINT64_MAX : part + (UINT64_C(1) << 61));
    }
    check_range(f, model, 500, UINT64_MAX - 3, UINT64_MAX);
    assert_int_equal(stats_of(f).undo_entries, model->count);
}

/* Hashes that crowd at one place, and at the end, so that probes go round; many alike. */
static uint64_t some_hash(uint64_t *random)
{
    uint64_t kind = next_random(random) % 8, x = next_random(random);
    if (kind < 2)
        return UINT64_MAX - x % 4;
    if (kind == 2)
        return (UINT64_C(5) << 60) + x % 16;
    return x;
}

static void random_histories_agree_with_a_plain_list(void **state)
{
    (void)state;
    static struct model model;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct fixture f;
        begin(&f);
        model.count = 0;
        uint64_t random = seed;
        for (int step = 0; step < 4000; step++) {
            /* in waves, so that the table grows, empties, and is cleared of what was removed */
            bool more = (step / 500) % 2 == 0 ? next_random(&random) % 4 != 0
                                              : next_random(&random) % 4 == 0;
            if (more && model.count < MODEL_MAX) {
                uint64_t version = 1 + next_random(&random) % 600;
                model.entries[model.count++] =
                    add(&f, some_hash(&random), (uint32_t)step + 1, version,
                        version + 1 + next_random(&random) % 300);
            } else if (model.count > 0) {
                size_t i = next_random(&random) % model.count;
                take_out(&f, model.entries[i]);
                model.entries[i] = model.entries[--model.count];
            }
            if (step % 97 == 0)
                check_model(&f, &model, &random);
        }
        while (model.count > 0)
            take_out(&f, model.entries[--model.count]);
        check_model(&f, &model, &random);
        fixture_release(&f);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void memory_comes_back_and_so_does_a_large_table(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    enum { COUNT = 20000 };
    uint64_t before = os_mem_live_bytes(f.os), random = 1;
    struct undo_entry **entries = malloc(COUNT * sizeof(struct undo_entry *));
    for (int i = 0; i < COUNT; i++)
        entries[i] = add(&f, next_random(&random), 1, 1, 2);
    uint64_t bytes = stats_of(&f).undo_bytes;
    assert_true(bytes >= COUNT * sizeof(struct undo_entry));
    assert_true(bytes <= COUNT * 96); /* as docs/OPERATIONS.md says */
    for (int i = 0; i < COUNT; i++)
        take_out(&f, entries[i]);
    end_grace(&f);
    assert_int_equal(stats_of(&f).undo_entries, 0);
    assert_int_equal(stats_of(&f).undo_bytes, 0);
    assert_int_equal(os_mem_live_bytes(f.os), before);
    free(entries);
    fixture_release(&f);
}

static void a_reservation_that_fails_has_taken_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    uint64_t before = os_mem_live_bytes(f.os);
    unsigned failures = 0;
    for (uint64_t nth = 1;; nth++) {
        struct undo_entry *list = NULL;
        os_mem_fail(f.os, 1u << OS_CALL_ALLOC, nth, 1, -ENOMEM);
        bitcask_status status = undo_reserve(&f.store->undo, 5, &list, &f.error);
        os_mem_fail(f.os, 0, 0, 1, 0);
        if (status == BITCASK_OK) {
            undo_unreserve(&f.store->undo, list);
            break;
        }
        assert_int_equal(status, BITCASK_NO_MEMORY);
        assert_null(list);
        assert_int_equal(os_mem_live_bytes(f.os), before);
        failures++;
    }
    assert_int_equal(failures, 6); /* five entries and the table */
    fixture_release(&f);
}

static void an_entry_holds_its_segment_until_readers_have_left(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct segment *segment = active_segment(&f);
    uint32_t pins = atomic_load(&segment->pins);
    struct undo_entry *entry = add(&f, 7, 1, 100, 200);
    assert_int_equal(atomic_load(&segment->pins), pins + 1);
    struct epoch_guard guard = epoch_enter(&f.store->epoch);
    struct undo_probe probe;
    struct keydir_place place;
    undo_probe_start(&f.store->undo, 7, 150, &probe);
    take_out(&f, entry);
    for (uint64_t i = 0; i < 200; i++) /* the table it was found in is replaced meanwhile */
        add(&f, i << 57, 1, 1, 2);
    end_grace(&f);
    assert_int_equal(atomic_load(&segment->pins), pins + 1 + 200);
    assert_false(undo_probe_next(&probe, &place)); /* reads what must not be freed yet */
    epoch_exit(guard);
    end_grace(&f);
    assert_int_equal(atomic_load(&segment->pins), pins + 200);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_found_from_its_version_to_before_the_next),
        cmocka_unit_test(entries_of_one_hash_are_told_apart_by_their_versions),
        cmocka_unit_test(random_histories_agree_with_a_plain_list),
        cmocka_unit_test(memory_comes_back_and_so_does_a_large_table),
        cmocka_unit_test(a_reservation_that_fails_has_taken_nothing),
        cmocka_unit_test(an_entry_holds_its_segment_until_readers_have_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
