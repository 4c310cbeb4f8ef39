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

enum writing { GROW, CHURN, GROW_SKEWED, GROW_IN_SLABS };

/* Half of all keys in one 256th: the directory is deep, most shards have many entries in it, and
 * showing the halves of one takes long. */
static void skew(struct fixture *f)
{
    for (uint32_t k = 1; k < f->key_count; k += 2)
        f->hashes[k] >>= 8;
}

static void run_stress(uint64_t mask, uint32_t max_buckets, const struct role *roles,
                       enum writing writing)
{
    static struct stress s; /* its array is large */
    pthread_t threads[8];
    unsigned count = 0;
    memset(&s, 0, sizeof s);
    s.f = fixture_new(KEYS, mask, max_buckets);
    if (writing == GROW_SKEWED)
        skew(s.f);
    if (writing == GROW_IN_SLABS)
        fixture_into_slabs(s.f);
    insert_keys(s.f, 0, STABLE);
    keydir_movers_begin(s.f->keydir);
    for (; roles->run != NULL; roles++)
        for (unsigned i = 0; i < roles->threads; i++)
            assert_int_equal(pthread_create(&threads[count++], NULL, roles->run, &s), 0);
    if (writing == CHURN)
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
    run_stress(UINT64_MAX, 4, readers, GROW);
    run_stress(UINT64_MAX, 0, readers, GROW);
    run_stress(UINT64_MAX, 2, readers, GROW);
}

static void scans_see_each_entry_once(void **state)
{
    (void)state;
    const struct role scanners[] = {{scan_until_stopped, 2}, {NULL, 0}};
    run_stress(UINT64_MAX, 4, scanners, GROW);
    run_stress(UINT64_MAX, 0, scanners, GROW);
    run_stress(UINT64_MAX, 1, scanners, GROW_SKEWED);
    run_stress(UINT64_MAX, 2, scanners, GROW_SKEWED);
    run_stress(UINT64_MAX, 128, scanners, CHURN);
}

/* Scenario 12: a merge's slot change is lost in a shard being split. */
static void move_during_split_is_kept(void **state)
{
    (void)state;
    const struct role merges[] = {{merge_until_stopped, 1}, {NULL, 0}};
    run_stress(UINT64_MAX, 4, merges, GROW);
    run_stress(UINT64_MAX, 256, merges, GROW);
    run_stress(UINT64_MAX, 32, merges, CHURN);
}

static void all_at_once(void **state)
{
    (void)state;
    const struct role all[] = {
        {read_until_stopped, 1}, {scan_until_stopped, 1}, {merge_until_stopped, 1}, {NULL, 0}};
    run_stress(UINT64_MAX, 8, all, GROW);
    run_stress(UINT64_MAX, 128, all, GROW_IN_SLABS);
    run_stress(UINT64_MAX, 200, all, CHURN);
    /* Few home buckets: long chains of moves, and the stash. */
    run_stress(UINT64_C(0xffffffffff07ffff), 16, all, GROW);
}

/* ---- A shard as full as can be, where almost every insert moves entries ---- */

enum { CROWD = 118, CROWD_KEYS = 160, CROWD_SLOTS = 128 };

struct crowd {
    struct fixture *f;
    _Atomic bool stop;
    _Atomic uint64_t missed, twice;
    _Atomic uint32_t changes[CROWD_KEYS]; /* of a key; odd: it is not there, or not for long */
};

static void *find_in_crowd(void *context)
{
    struct crowd *c = context;
    while (!atomic_load(&c->stop)) {
        for (uint32_t k = 0; k < CROWD_KEYS; k++) {
            struct keydir_place found;
            uint32_t before = atomic_load(&c->changes[k]);
            if (before % 2 != 0)
                continue;
            struct epoch_guard guard = epoch_enter(&c->f->epoch);
            unsigned times = probe_key(c->f->keydir, c->f->hashes[k], k, &found);
            epoch_exit(guard);
            if (times == 0 && atomic_load(&c->changes[k]) == before)
                atomic_fetch_add(&c->missed, 1);
        }
    }
    return NULL;
}

static void *scan_crowd(void *context)
{
    struct crowd *c = context;
    struct keydir_places places = {0};
    uint32_t before[CROWD_KEYS];
    while (!atomic_load(&c->stop)) {
        uint8_t seen[CROWD_KEYS] = {0};
        uint64_t cursor = 0;
        for (uint32_t k = 0; k < CROWD_KEYS; k++)
            before[k] = atomic_load(&c->changes[k]);
        do {
            struct epoch_guard guard = epoch_enter(&c->f->epoch);
            if (keydir_scan(c->f->keydir, cursor, &places, &cursor) != BITCASK_OK)
                abort();
            epoch_exit(guard);
            for (size_t i = 0; i < places.count; i++)
                if (seen[places.items[i].offset]++ != 0)
                    atomic_fetch_add(&c->twice, 1);
        } while (cursor != UINT64_MAX);
        for (uint32_t k = 0; k < CROWD_KEYS; k++)
            if (before[k] % 2 == 0 && !seen[k] && atomic_load(&c->changes[k]) == before[k])
                atomic_fetch_add(&c->missed, 1);
    }
    free(places.items);
    return NULL;
}

static void crowd_remove(struct crowd *c, uint32_t key)
{
    atomic_fetch_add(&c->changes[key], 1);
    remove_key(c->f, key);
}

static void crowd_insert(struct crowd *c, uint32_t key)
{
    insert_key(c->f, key);
    atomic_fetch_add(&c->changes[key], 1);
}

static void run_crowd(void *(*run)(void *context), uint64_t seed)
{
    struct crowd c = {.f = fixture_new(CROWD_KEYS, UINT64_MAX, CROWD_SLOTS / 8)};
    pthread_t threads[2];
    uint32_t moved = 0;
    for (uint32_t k = 0; k < CROWD_KEYS; k++) {
        c.f->hashes[k] = random64(&seed);
        atomic_store(&c.changes[k], 1);
    }
    for (uint32_t k = 0; k < CROWD; k++)
        crowd_insert(&c, k);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &c), 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t out = (uint32_t)(random64(&seed) % CROWD_KEYS);
        uint32_t in = (uint32_t)(random64(&seed) % CROWD_KEYS);
        if (!is_live(c.f, out) || is_live(c.f, in))
            continue;
        uint32_t before = shape_of(c.f).shards;
        crowd_remove(&c, out);
        crowd_insert(&c, in);
        moved += before == 1;
    }
    atomic_store(&c.stop, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c.missed, 0);
    assert_int_equal(c.twice, 0);
    assert_true(moved > 0);
    check_all(c.f);
    fixture_free_all(c.f);
}

static void moved_entries_are_never_missed(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 130; seed++)
        run_crowd(find_in_crowd, seed << 32);
}

static void entries_put_anew_are_not_scanned_twice(void **state)
{
    (void)state;
    for (uint64_t seed = 200; seed < 230; seed++)
        run_crowd(scan_crowd, seed << 32);
}

/* ---- A stash that grows under readers ---- */

static void *probe_stash(void *context)
{
    struct crowd *c = context;
    while (!atomic_load(&c->stop)) {
        struct keydir_place found;
        struct epoch_guard guard = epoch_enter(&c->f->epoch);
        if (probe_key(c->f->keydir, 0, 20, &found) != 1) /* the first ones fill the buckets */
            atomic_fetch_add(&c->missed, 1);
        epoch_exit(guard);
    }
    return NULL;
}

static void stash_grows_under_readers(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        struct crowd c = {.f = fixture_new(400, 0, 4)};
        pthread_t threads[2];
        insert_keys(c.f, 0, 21);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, probe_stash, &c), 0);
        for (uint32_t k = 21; k < 400; k++) {
            insert_key(c.f, k);
            epoch_poll(&c.f->epoch);
        }
        atomic_store(&c.stop, true);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(c.missed, 0);
        check_all(c.f);
        fixture_free_all(c.f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_find_what_is_there_throughout),
        cmocka_unit_test(scans_see_each_entry_once),
        cmocka_unit_test(move_during_split_is_kept),
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(moved_entries_are_never_missed),
        cmocka_unit_test(entries_put_anew_are_not_scanned_twice),
        cmocka_unit_test(stash_grows_under_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
