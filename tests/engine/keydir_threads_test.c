/* SPDX-License-Identifier: MIT
 * keydir_threads_test.c: readers, scans and merges while the writer moves, splits and tags anew.
 *
 * The lower half of the keys are there throughout; the writer inserts and removes the others, in
 * rounds that grow the keydir from one small shard, so that every shard is split many times. What
 * other threads find wrong is counted, and the test fails at the end. Length is by work done, never
 * by time. */
#include <pthread.h>

#include "support/keydir_fixture.h"

enum { STABLE = 4000, KEYS = 30000 };

struct stress {
    struct fixture *f;
    _Atomic bool stop;
    _Atomic uint64_t missed, twice, wrong_place, refused, rounds;
    /* The merge's: the version each stable key has reached, raised before it is published. */
    _Atomic uint32_t versions[STABLE];
};

/* A reader may meet the place before or after the move that is going on, never an older one. */
static void read_stable(struct stress *s, uint32_t key)
{
    uint32_t before = atomic_load(&s->versions[key]);
    struct epoch_guard guard = epoch_enter(&s->f->epoch);
    struct keydir_place found = {0, 0};
    if (probe_key(s->f->keydir, s->f->hashes[key], key, &found) == 0)
        atomic_fetch_add(&s->missed, 1);
    else if (found.segment_slot < before)
        atomic_fetch_add(&s->wrong_place, 1);
    epoch_exit(guard);
}

static void *read_until_stopped(void *context)
{
    struct stress *s = context;
    while (!atomic_load(&s->stop))
        for (uint32_t k = 0; k < STABLE; k++)
            read_stable(s, k);
    return NULL;
}

static void *scan_until_stopped(void *context)
{
    struct stress *s = context;
    struct keydir_places places = {0};
    uint8_t *seen = malloc(KEYS);
    while (!atomic_load(&s->stop)) {
        uint64_t cursor = 0;
        memset(seen, 0, KEYS);
        do {
            struct epoch_guard guard = epoch_enter(&s->f->epoch);
            if (keydir_scan(s->f->keydir, cursor, &places, &cursor) != BITCASK_OK)
                abort();
            epoch_exit(guard);
            for (size_t i = 0; i < places.count; i++)
                if (seen[places.items[i].offset]++ != 0)
                    atomic_fetch_add(&s->twice, 1);
        } while (cursor != UINT64_MAX);
        for (uint32_t k = 0; k < STABLE; k++)
            if (!seen[k])
                atomic_fetch_add(&s->missed, 1);
        atomic_fetch_add(&s->rounds, 1);
    }
    free(seen);
    free(places.items);
    return NULL;
}

/* Moves every stable key from where it last put it: nobody else does, so it must work. */
static void *merge_until_stopped(void *context)
{
    struct stress *s = context;
    struct fixture *f = s->f;
    while (!atomic_load(&s->stop)) {
        for (uint32_t k = 0; k < STABLE; k++) {
            struct keydir_place to = place_of(k, f->places[k].segment_slot);
            if (to.segment_slot < f->places[k].segment_slot)
                continue; /* the numbers are used up */
            if (!keydir_move(f->keydir, f->hashes[k], f->places[k], to))
                atomic_fetch_add(&s->refused, 1);
            f->places[k] = to;
            atomic_store(&s->versions[k], to.segment_slot);
        }
        atomic_fetch_add(&s->rounds, 1);
    }
    return NULL;
}

/* Grow to all keys, shrink again, some rounds of churn in between. */
static void write_much(struct fixture *f, bool retag)
{
    uint64_t seed = 11;
    for (uint32_t k = STABLE; k < KEYS; k++) {
        insert_key(f, k);
        uint32_t other = STABLE + (uint32_t)(random64(&seed) % (k + 1 - STABLE));
        if (is_live(f, other)) {
            replace_key(f, other, false);
            remove_key(f, other);
            insert_key(f, other);
        }
        if (retag && k % 64 == 0)
            keydir_retag(f->keydir, 1);
        if (k % 16 == 0)
            epoch_poll(&f->epoch);
    }
    for (uint32_t k = STABLE; k < KEYS; k++)
        if (k % 3 != 0)
            remove_key(f, k);
}

/* Delete and put a few keys back and forth: what tempts a scan to see one twice. */
static void write_churn(struct fixture *f)
{
    uint64_t seed = 12;
    insert_keys(f, STABLE, STABLE + 500);
    for (unsigned i = 0; i < 200000; i++) {
        uint32_t key = STABLE + (uint32_t)(random64(&seed) % 1000);
        if (is_live(f, key))
            remove_key(f, key);
        else
            insert_key(f, key);
    }
}

struct role {
    void *(*run)(void *context);
    unsigned threads;
};

static void run_stress(uint64_t mask, uint32_t max_buckets, const struct role *roles, bool churn)
{
    static struct stress s; /* its array is large */
    pthread_t threads[8];
    unsigned count = 0;
    memset(&s, 0, sizeof s);
    s.f = fixture_new(KEYS, mask, max_buckets);
    insert_keys(s.f, 0, STABLE);
    for (; roles->run != NULL; roles++)
        for (unsigned i = 0; i < roles->threads; i++)
            assert_int_equal(pthread_create(&threads[count++], NULL, roles->run, &s), 0);
    if (churn)
        write_churn(s.f);
    else
        write_much(s.f, true);
    atomic_store(&s.stop, true);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.missed, 0);
    assert_int_equal(s.twice, 0);
    assert_int_equal(s.wrong_place, 0);
    assert_int_equal(s.refused, 0);
    check_all(s.f); /* a lost move would show here */
    check_bytes(s.f);
    fixture_free_all(s.f);
}

static void readers_find_what_is_there_throughout(void **state)
{
    (void)state;
    const struct role readers[] = {{read_until_stopped, 3}, {NULL, 0}};
    run_stress(UINT64_MAX, 4, readers, false);
    run_stress(UINT64_MAX, 0, readers, false);
    run_stress(UINT64_MAX, 2, readers, false);
}

static void scans_see_each_entry_once(void **state)
{
    (void)state;
    const struct role scanners[] = {{scan_until_stopped, 2}, {NULL, 0}};
    run_stress(UINT64_MAX, 4, scanners, false);
    run_stress(UINT64_MAX, 0, scanners, false);
    run_stress(UINT64_MAX, 128, scanners, true);
}

/* Scenario 12: a merge's slot change is lost in a shard being split. */
static void move_during_split_is_kept(void **state)
{
    (void)state;
    const struct role merges[] = {{merge_until_stopped, 1}, {NULL, 0}};
    run_stress(UINT64_MAX, 4, merges, false);
    run_stress(UINT64_MAX, 256, merges, false);
    run_stress(UINT64_MAX, 32, merges, true);
}

static void all_at_once(void **state)
{
    (void)state;
    const struct role all[] = {
        {read_until_stopped, 1}, {scan_until_stopped, 1}, {merge_until_stopped, 1}, {NULL, 0}};
    run_stress(UINT64_MAX, 8, all, false);
    run_stress(UINT64_MAX, 200, all, true);
    /* Few home buckets: long chains of moves, and the stash. */
    run_stress(UINT64_C(0xffffffffff07ffff), 16, all, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_find_what_is_there_throughout),
        cmocka_unit_test(scans_see_each_entry_once),
        cmocka_unit_test(move_during_split_is_kept),
        cmocka_unit_test(all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
