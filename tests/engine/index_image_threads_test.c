/* SPDX-License-Identifier: MIT
 * index_image_threads_test.c: images are made while threads write, and shards are fetched from one
 * while threads read, write and walk. Nothing depends on how fast they are. Invariants I4, I5. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/index_image.h"
#include "support/write_fixture.h"

enum { WRITERS = 3, KEYS = 2000, ROUNDS = 4, IMAGES = 3 };

struct worker {
    struct fixture *f;
    int number;
    _Atomic bool *stop;
    _Atomic uint64_t *writes;
};

static void name_key(char key[32], int writer, int number)
{
    snprintf(key, 32, "w%d-%d", writer, number);
}

/* Put, overwrite and delete keys of one's own until told to stop; key k ends with its last round.
 */
static void *write_keys(void *context)
{
    struct worker *worker = context;
    uint64_t state = (uint64_t)worker->number;
    while (!atomic_load(worker->stop)) {
        char key[32];
        state = state * 6364136223846793005u + 1442695040888963407u;
        name_key(key, worker->number, (int)(state >> 33) % KEYS);
        bitcask_status status;
        if ((state >> 20) % 4 == 0) {
            status = bitcask_delete(worker->f->db, bitcask_str(key), NULL, NULL, NULL);
            CHECK(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
        } else {
            status = bitcask_put(worker->f->db, bitcask_str(key), bitcask_bytes(&state, 8), NULL,
                                 NULL, NULL);
            CHECK(status == BITCASK_OK);
        }
        atomic_fetch_add(worker->writes, 1);
    }
    return NULL;
}

static void wait_for_writes(_Atomic uint64_t *writes, uint64_t more)
{
    uint64_t until = atomic_load(writes) + more;
    while (atomic_load(writes) < until)
        sched_yield();
}

static void check_same_without(struct fixture *f)
{
    assert_int_equal(atomic_load(&f->store->index.origin), BITCASK_INDEX_SNAPSHOT);
    char *with = dump_store(f);
    uint64_t live = live_bytes(f), keys = keydir_count(f->store->keydir);
    close_store(f);
    f->options.index_snapshot = 0;
    open_store(f);
    char *without = dump_store(f);
    assert_string_equal(with, without);
    assert_int_equal(live, live_bytes(f));
    assert_int_equal(keys, keydir_count(f->store->keydir));
    free(with);
    free(without);
    close_store(f);
    f->options.index_snapshot = 1;
}

static void images_made_while_threads_write_are_good(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.index_snapshot_bytes = UINT64_C(1) << 60;
    f.options.segment_size = 1 << 20;
    for (int round = 0; round < ROUNDS; round++) {
        open_store(&f);
        _Atomic bool stop = false;
        _Atomic uint64_t writes = 0;
        pthread_t threads[WRITERS];
        struct worker workers[WRITERS];
        for (int i = 0; i < WRITERS; i++) {
            workers[i] = (struct worker){&f, i, &stop, &writes};
            assert_int_equal(pthread_create(&threads[i], NULL, write_keys, &workers[i]), 0);
        }
        int made = 0;
        while (made < IMAGES) {
            wait_for_writes(&writes, 500);
            bitcask_status status = index_image_write(f.store, NULL, &f.error);
            made += status == BITCASK_OK;
            assert_true(status == BITCASK_OK || status == BITCASK_LIMIT);
        }
        wait_for_writes(&writes, 200);
        atomic_store(&stop, true);
        for (int i = 0; i < WRITERS; i++)
            pthread_join(threads[i], NULL);
        if (round % 2 == 0)
            kill_9(&f);
        else
            close_store(&f);
        open_store(&f);
        check_same_without(&f);
    }
    fixture_release(&f);
}

/* ---- Fetching ------------------------------------------------------------------------------- */

enum { FETCHED_KEYS = 20000 };

static void *read_all(void *context)
{
    struct worker *worker = context;
    bitcask_buffer value = {0};
    char key[32];
    for (int i = 0; i < FETCHED_KEYS; i++) {
        name_key(key, 9, (i * 7919 + worker->number * 31) % FETCHED_KEYS);
        CHECK(bitcask_get(worker->f->db, NULL, bitcask_str(key), &value, NULL, NULL) == BITCASK_OK);
    }
    bitcask_buffer_free(&value);
    return NULL;
}

static void *add_keys(void *context)
{
    struct worker *worker = context;
    char key[32];
    for (int i = 0; i < FETCHED_KEYS; i++) {
        name_key(key, 8, i); /* new ones: shards split */
        CHECK(bitcask_put(worker->f->db, bitcask_str(key), bitcask_str("new"), NULL, NULL, NULL) ==
              BITCASK_OK);
    }
    return NULL;
}

static void *walk(void *context)
{
    struct worker *worker = context;
    for (int i = 0; i < 3; i++) {
        struct keydir_places places = {0};
        uint64_t cursor = 0;
        do {
            struct epoch_guard guard = epoch_enter(&worker->f->store->epoch);
            CHECK(keydir_scan(worker->f->store->keydir, cursor, &places, &cursor) == BITCASK_OK);
            epoch_exit(guard);
        } while (cursor != UINT64_MAX);
        free(places.items);
    }
    return NULL;
}

static void *fetch_rest(void *context)
{
    struct worker *worker = context;
    while (keydir_has_absent(worker->f->store->keydir))
        CHECK(keydir_fetch_some(worker->f->store->keydir, 1) == BITCASK_OK);
    return NULL;
}

static void shards_are_fetched_once_by_whoever_comes_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 4 << 20;
    f.options.index_snapshot_bytes = 1;
    open_store(&f);
    for (int i = 0; i < FETCHED_KEYS; i++) {
        char key[32];
        name_key(key, 9, i);
        put(&f, key, "old");
    }
    close_store(&f);
    open_store(&f);
    assert_true(keydir_has_absent(f.store->keydir));
    void *(*const roles[])(void *) = {read_all, read_all, add_keys, walk, fetch_rest};
    pthread_t threads[ARRAY_SIZE(roles)];
    struct worker workers[ARRAY_SIZE(roles)];
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        workers[i] = (struct worker){.f = &f, .number = (int)i};
        assert_int_equal(pthread_create(&threads[i], NULL, roles[i], &workers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        pthread_join(threads[i], NULL);
    assert_false(keydir_has_absent(f.store->keydir));
    assert_int_equal(keydir_count(f.store->keydir), 2 * FETCHED_KEYS);
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    close_store(&f);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_made_while_threads_write_are_good),
        cmocka_unit_test(shards_are_fetched_once_by_whoever_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
