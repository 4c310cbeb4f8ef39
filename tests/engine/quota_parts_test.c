/* SPDX-License-Identifier: MIT
 * quota_parts_test.c: making room, for each kind of limit, of eviction and of what the store holds:
 * what is told as room was made, what may not be evicted stays, and it comes to an end. */
#include "support/write_fixture.h"

#include "engine/quota.h"
#include "engine/reclaim.h"

enum contents { NOTHING, LIVING, DEAD, MORTAL, EXPIRED, DELETED, MIXED, CONTENTS };

static const uint64_t SECOND_US = 1000000;

static uint64_t in_an_hour(struct fixture *f)
{
    return f->os->clock_real(f->os) + 3600 * SECOND_US;
}

static void write_some(struct fixture *f, enum contents contents, int part)
{
    char key[32];
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k%d-%d", part, i);
        if (contents == MORTAL || contents == EXPIRED)
            assert_status(f, OK, put_until(f, key, "mortal", in_an_hour(f)));
        else if (contents != NOTHING)
            put_sized(f, contents == DEAD ? "one" : key, 'v', 300);
        if (contents == DELETED || (contents == MIXED && i % 2 == 0))
            delete_key(f, key);
        if (contents == MIXED && i % 3 == 0)
            assert_status(f, OK, put_until(f, key, "mortal", in_an_hour(f)));
    }
}

/* Sealed segments and an active one of this kind. */
static void make(struct fixture *f, enum contents contents, bitcask_eviction eviction, bool sealed)
{
    fixture_init(f);
    f->options.eviction = eviction;
    f->options.max_disk_bytes = 1 << 20;
    open_store(f);
    put(f, "first", "1");
    for (int part = 0; sealed && part < 3; part++) {
        write_some(f, contents, part);
        rotate(f);
    }
    write_some(f, contents, 3);
    if (contents == EXPIRED)
        os_mem_advance_clock(f->os, (int64_t)(7200 * SECOND_US));
}

static void check_kept(struct fixture *f, enum contents contents, bitcask_eviction eviction)
{
    bool all_stay = eviction == BITCASK_EVICT_NONE;
    if (eviction != BITCASK_EVICT_OLDEST)
        check_value(f, "first", "1");
    if (all_stay && contents == LIVING) {
        bitcask_buffer value = {0};
        for (int i = 0; i < 30; i++) {
            char key[32];
            snprintf(key, sizeof key, "k3-%d", i);
            assert_status(f, OK, read_key(f, key, &value));
        }
        bitcask_buffer_free(&value);
    }
    if (all_stay)
        assert_int_equal(stats_of(f).evicted_keys, 0);
    assert_sound(f);
}

static void room_is_made_of_what_may_go(void **state)
{
    (void)state;
    static const bitcask_eviction kinds[] = {BITCASK_EVICT_NONE, BITCASK_EVICT_OLDEST,
                                             BITCASK_EVICT_EXPIRING};
    for (int contents = 0; contents < CONTENTS; contents++) {
        for (int each = 0; each < 12; each++) {
            struct fixture f;
            bitcask_eviction eviction = kinds[each / 4];
            make(&f, (enum contents)contents, eviction, each % 2);
            enum quota_kind kind = each / 2 % 2 ? QUOTA_INDEX : QUOTA_DISK;
            int rounds = 0;
            for (bool made = true; made; rounds++) {
                assert_true(rounds < 100);
                made = quota_make_room(f.store, kind, atomic_load(&f.store->quota.rounds));
                check_kept(&f, (enum contents)contents, eviction);
            }
            assert_true(quota_make_room(f.store, kind, 77)); /* by somebody else, as it seems */
            assert_same_after_reopening(&f);
            fixture_release(&f);
        }
    }
}

static void room_is_made_ahead_of_need(void **state)
{
    (void)state;
    static const bitcask_eviction kinds[] = {BITCASK_EVICT_NONE, BITCASK_EVICT_OLDEST,
                                             BITCASK_EVICT_EXPIRING};
    for (int contents = 0; contents < CONTENTS; contents++) {
        for (int each = 0; each < 6; each++) {
            struct fixture f;
            make(&f, (enum contents)contents, kinds[each / 2], each % 2);
            quota_reclaim_ahead(f.store); /* roomy */
            assert_int_equal(atomic_load(&f.store->quota.rounds), 0);
            f.store->quota.put_limit = each % 2 ? 4096 : 1;
            quota_reclaim_ahead(f.store);
            check_kept(&f, (enum contents)contents, kinds[each / 2]);
            pthread_mutex_lock(&f.store->merge_mutex); /* a merge goes on: another time */
            uint64_t rounds = atomic_load(&f.store->quota.rounds);
            quota_reclaim_ahead(f.store);
            assert_int_equal(atomic_load(&f.store->quota.rounds), rounds);
            pthread_mutex_unlock(&f.store->merge_mutex);
            pthread_mutex_lock(&f.store->quota.mutex); /* somebody is at it */
            quota_reclaim_ahead(f.store);
            pthread_mutex_unlock(&f.store->quota.mutex);
            fixture_release(&f);
        }
    }
}

static void what_never_fits_is_told_so_and_of_both_limits(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.max_disk_bytes = 1 << 20;
    open_store(&f);
    put(&f, "k", "v");
    uint64_t limit = f.store->quota.put_limit;
    assert_int_equal(quota_admit(f.store, limit + 1, 0, &f.error), BITCASK_LIMIT);
    assert_int_equal(quota_admit(f.store, limit - 1, limit, &f.error), BITCASK_LIMIT);
    assert_non_null(strstr(f.error.message, "do not fit"));
    assert_int_equal(quota_admit(f.store, 10, limit, &f.error), BITCASK_LIMIT);
    assert_non_null(strstr(f.error.message, "puts stop"));
    assert_true(quota_clamp(f.store, 0, 1, 10 * limit) <= limit);
    f.store->quota.put_limit = 1; /* beyond it */
    assert_int_equal(quota_clamp(f.store, 0, 5000, 100000), 8192);
    assert_true(quota_is_scarce(f.store));
    quota_tell(f.store, QUOTA_INDEX);
    quota_tell(f.store, QUOTA_INDEX); /* once */
    assert_int_equal(count_events(&f, "quota_reached"), 1);
    f.store->quota.put_limit = 0;
    assert_false(quota_is_scarce(f.store));
    assert_int_equal(quota_clamp(f.store, 0, 1, 12345), 12345);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_made_of_what_may_go),
        cmocka_unit_test(room_is_made_ahead_of_need),
        cmocka_unit_test(what_never_fits_is_told_so_and_of_both_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
