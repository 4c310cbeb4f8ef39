/* SPDX-License-Identifier: MIT
 * backup_threads_test.c: backups of a store that is written to and merged meanwhile. Each is a
 * prefix of the order of the writes, with all that was done before it began. */
#include "engine/backup.h"
#include "support/merge_fixture.h"

enum { RING = 64, BACKUPS = 6, VALUE_SIZE = 120 };

struct run {
    struct fixture *f;
    _Atomic uint32_t done; /* writes that have returned; write n goes to key n % RING */
    _Atomic bool stop;
    _Atomic uint64_t merges;
};

/* The only writer: so the order of the writes is that of their numbers. Every fourth lap a key is
 * deleted instead. */
static bool is_deletion(uint32_t write)
{
    return write / RING % 4 == 3 && write % 3 == 0;
}

static void *write_on(void *context)
{
    struct run *run = context;
    bitcask *db = db_of(run->f);
    for (uint32_t write = 1; !atomic_load(&run->stop); write++) {
        char key[32], value[VALUE_SIZE];
        bitcask_error error;
        slice k = bitcask_bytes(key, key_text(key, write % RING));
        value_fill(value, sizeof value, write % RING, write);
        bitcask_status status =
            is_deletion(write)
                ? bitcask_delete(db, k, NULL, NULL, &error)
                : bitcask_put(db, k, bitcask_bytes(value, sizeof value), NULL, NULL, &error);
        if (status < 0) {
            fprintf(stderr, "write %u: %s\n", write, error.message);
            abort();
        }
        atomic_store(&run->done, write);
    }
    return NULL;
}

static void *merge_on(void *context)
{
    struct run *run = context;
    while (!atomic_load(&run->stop)) {
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        bitcask_error error;
        options.min_dead = 0.2;
        bitcask_status status = merge_run(run->f->store, &options, NULL, &error);
        if (status < 0 && status != BITCASK_BUSY) {
            fprintf(stderr, "merge: %s\n", error.message);
            abort();
        }
        atomic_fetch_add(&run->merges, 1);
    }
    return NULL;
}

/* The last write of `key` up to and including `write`. */
static uint32_t last_of(unsigned key, uint32_t write)
{
    uint32_t back = (write % RING + RING - key) % RING;
    return write > back ? write - back : 0;
}

/* Some n >= least: every key is as write n left it. */
static void assert_prefix(struct fixture *copy, uint32_t least)
{
    uint32_t newest = 0, got[RING];
    for (unsigned key = 0; key < RING; key++) {
        got[key] = read_key(copy, key);
        newest = got[key] > newest ? got[key] : newest;
    }
    /* Deletions behind the newest value do not show: try each. */
    for (uint32_t n = newest > least ? newest : least; n < newest + least + 4 * RING; n++) {
        bool all = true;
        for (unsigned key = 0; key < RING && all; key++) {
            uint32_t last = last_of(key, n);
            all = got[key] == (last == 0 || is_deletion(last) ? 0 : last);
        }
        if (all)
            return;
    }
    fail_msg("no prefix of the writes: newest %u, at least %u", newest, least);
}

static void backups_beside_writers_and_merges_are_prefixes(void **state)
{
    (void)state;
    struct run run = {.f = fixture_new()};
    struct fixture *f = run.f;
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    open_again(f);
    pthread_t writer, merger;
    assert_int_equal(pthread_create(&writer, NULL, write_on, &run), 0);
    assert_int_equal(pthread_create(&merger, NULL, merge_on, &run), 0);
    for (int i = 0; i < BACKUPS; i++) {
        while (atomic_load(&run.done) < (uint32_t)(i + 1) * 1500) /* some segments */
            sched_yield();
        uint32_t before = atomic_load(&run.done);
        bitcask_backup_options options;
        bitcask_backup_options_init(&options);
        options.copy = i % 3 == 2;
        assert_done(
            f, backup_run(f->store, f->os, i % 2 == 0 ? "even" : "odd", &options, NULL, &f->error));
        static struct fixture copy;
        copy = *f;
        copy.options.read_only = 1;
        copy.options.background = BITCASK_BACKGROUND_NONE;
        assert_done(&copy, store_open(f->os, i % 2 == 0 ? "even" : "odd", &copy.options,
                                      &copy.store, &copy.error));
        assert_prefix(&copy, before);
        assert_sound(&copy);
        assert_done(&copy, store_close(copy.store, &copy.error));
    }
    while (atomic_load(&run.merges) < 2)
        sched_yield();
    atomic_store(&run.stop, true);
    pthread_join(writer, NULL);
    pthread_join(merger, NULL);
    assert_sound(f);
    end(f);
}

static void *verify_on(void *context)
{
    struct run *run = context;
    while (!atomic_load(&run->stop)) {
        bitcask_error error;
        bitcask_status status = verify_run(run->f->store, print_finding, NULL, NULL, &error);
        if (status != BITCASK_OK) {
            fprintf(stderr, "verify: %s\n", error.message);
            abort();
        }
        atomic_fetch_add(&run->merges, 1);
    }
    return NULL;
}

static void verify_beside_writers_and_merges_finds_nothing(void **state)
{
    (void)state;
    struct run run = {.f = fixture_new()}, verifying;
    struct fixture *f = run.f;
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    open_again(f);
    memset(&verifying, 0, sizeof verifying);
    verifying.f = f;
    pthread_t threads[3];
    assert_int_equal(pthread_create(&threads[0], NULL, write_on, &run), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, merge_on, &run), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, verify_on, &verifying), 0);
    while (atomic_load(&run.done) < 6000 || atomic_load(&verifying.merges) < 4)
        sched_yield();
    atomic_store(&run.stop, true);
    atomic_store(&verifying.stop, true);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_sound(f);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backups_beside_writers_and_merges_are_prefixes),
        cmocka_unit_test(verify_beside_writers_and_merges_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
