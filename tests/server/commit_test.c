/* SPDX-License-Identifier: MIT
 * commit_test.c: who is told that a commit is done has had a sync that began after its write and
 * succeeded; and syncs are shared. With a stand-in for the sync. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "commit.h"
#include "server.h"

enum { THREADS = 4, ROUNDS = 500 };

static struct server server;
static _Atomic uint64_t written; /* numbers of writes given out */
static _Atomic uint64_t durable; /* all below it have been synced */
static atomic_int syncs, running, failures, told;
static atomic_int fail_every; /* 0: no sync fails */

bitcask_status bitcask_sync_now(bitcask *db, bitcask_error *error)
{
    (void)db;
    assert_int_equal(atomic_fetch_add(&running, 1), 0); /* one at a time */
    uint64_t covered = atomic_load(&written);
    int number = atomic_fetch_add(&syncs, 1) + 1;
    sched_yield();
    int every = atomic_load(&fail_every);
    bitcask_status status = every != 0 && number % every == 0 ? BITCASK_UNKNOWN : BITCASK_OK;
    if (status == BITCASK_OK) {
        atomic_store(&durable, covered);
    } else {
        error->status = status;
        strcpy(error->message, "sync failed");
        atomic_fetch_add(&failures, 1);
    }
    atomic_fetch_sub(&running, 1);
    return status;
}

static void *work(void *context)
{
    uintptr_t wrong = 0;
    (void)context;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t mine = atomic_fetch_add(&written, 1) + 1;
        bitcask_error error = {0};
        bitcask_status status = commit_wait(&server, &error);
        if (status == BITCASK_OK)
            wrong += atomic_load(&durable) < mine;
        else if (strcmp(error.message, "sync failed") == 0)
            atomic_fetch_add(&told, 1);
        else
            wrong++;
    }
    return (void *)wrong;
}

static void run(int failing)
{
    pthread_t threads[THREADS];
    atomic_store(&fail_every, failing);
    atomic_store(&written, 0);
    atomic_store(&durable, 0);
    atomic_store(&syncs, 0);
    atomic_store(&failures, 0);
    atomic_store(&told, 0);
    server.commit = commit_new();
    assert_non_null(server.commit);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    commit_free(server.commit);
    assert_true(syncs <= THREADS * ROUNDS);
}

static void whoever_returns_has_been_synced(void **state)
{
    (void)state;
    run(0);
    assert_int_equal(told, 0);
}

static void a_failed_sync_is_told_to_all_who_shared_it(void **state)
{
    (void)state;
    run(3);
    assert_true(failures > 0 && told >= failures);
}

static void when_all_syncs_fail_nobody_is_told_otherwise(void **state)
{
    (void)state;
    run(1);
    assert_int_equal(told, THREADS * ROUNDS);
}

static void patience_is_bounded(void **state)
{
    (void)state;
    struct commit *commit = commit_new();
    assert_int_equal(commit_patience_us(commit), 0); /* nothing is known of syncs yet */
    commit_free(commit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_returns_has_been_synced),
        cmocka_unit_test(a_failed_sync_is_told_to_all_who_shared_it),
        cmocka_unit_test(when_all_syncs_fail_nobody_is_told_otherwise),
        cmocka_unit_test(patience_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
