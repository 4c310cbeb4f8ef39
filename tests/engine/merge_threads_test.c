/* SPDX-License-Identifier: MIT
 * merge_threads_test.c: merges among writers and readers of the very keys that are moved. Run under
 * ThreadSanitizer as well.
 *
 * Each writer owns a share of the keys and knows what it wrote last; readers hold every key's
 * writes to an order that never goes back, and after each acknowledged write they must find it or a
 * later one. */
#include "support/merge_fixture.h"

#include <sched.h>
#include <time.h>

#include "engine/group.h"

enum {
    WRITERS = 2,
    READERS = 2,
    SHARED_KEYS = 64,
    WRITES = 6000, /* by each writer, and on until there have been enough merges */
    MERGES = 4,
    VALUE_SIZE = 700,
};

static struct fixture *fixture;
static _Atomic uint32_t acknowledged[SHARED_KEYS]; /* the last write of each key that returned */
static _Atomic unsigned writers_left;
static _Atomic unsigned merges; /* that have ended */

/* The number in a value; 0: not found. Any other outcome ends the test. */
static uint32_t look(unsigned key)
{
    char text[32];
    unsigned found = UINT32_MAX, write = 0;
    bitcask_error error;
    bitcask_view view;
    bitcask_status status = bitcask_get_view(
        db_of(fixture), NULL, bitcask_bytes(text, key_text(text, key)), &view, &error);
    if (status == BITCASK_NOT_FOUND)
        return 0;
    if (status != BITCASK_OK || sscanf(view.value.data, "%u:%u", &found, &write) != 2 ||
        found != key) {
        fprintf(stderr, "key %u: %s\n", key, error.message);
        abort();
    }
    bitcask_views_release(&view, 1);
    return write;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void write_once(unsigned key, uint32_t write, uint64_t random)
{
    char text[32], value[VALUE_SIZE];
    bitcask_slice name = bitcask_bytes(text, key_text(text, key));
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    bitcask_error error;
    bitcask_status status;
    if (random % 8 == 0) {
        status = bitcask_delete(db_of(fixture), name, NULL, NULL, &error);
        fixture->model[key] = 0;
    } else if (random % 8 == 1) { /* has been expired for an hour: as good as deleted */
        value_fill(value, sizeof value, key, write);
        options.expires_us = now(fixture) - 3600ull * SECOND;
        status = bitcask_put(db_of(fixture), name, bitcask_bytes(value, sizeof value), &options,
                             NULL, &error);
        fixture->model[key] = 0;
    } else {
        value_fill(value, sizeof value, key, write);
        status = bitcask_put(db_of(fixture), name, bitcask_bytes(value, sizeof value), NULL, NULL,
                             &error);
        fixture->model[key] = write;
    }
    if (status < 0) {
        fprintf(stderr, "key %u: %s\n", key, error.message);
        abort();
    }
}

static void *write_keys(void *context)
{
    unsigned writer = (unsigned)(uintptr_t)context;
    uint64_t random = writer + 1;
    for (uint32_t write = 1; write <= WRITES || atomic_load(&merges) < MERGES; write++) {
        unsigned key =
            (unsigned)(next_random(&random) % (SHARED_KEYS / WRITERS)) * WRITERS + writer;
        write_once(key, write, next_random(&random));
        atomic_store(&acknowledged[key], write);
        if (look(key) != fixture->model[key]) { /* nobody else writes it */
            fprintf(stderr, "key %u does not read as it was just written\n", key);
            abort();
        }
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void *read_keys(void *context)
{
    uint64_t random = (uintptr_t)context + 100;
    uint32_t seen[SHARED_KEYS] = {0};
    while (atomic_load(&writers_left) > 0) {
        unsigned key = (unsigned)(next_random(&random) % SHARED_KEYS);
        uint32_t before = atomic_load(&acknowledged[key]);
        uint32_t write = look(key);
        if (write != 0 && (write < before || write < seen[key])) {
            fprintf(stderr, "key %u: write %u came back\n", key, write);
            abort();
        }
        seen[key] = write != 0 ? write : seen[key];
    }
    return NULL;
}

static void *merge_over_and_over(void *context)
{
    (void)context;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    bitcask_error error;
    while (atomic_load(&writers_left) > 0) {
        unsigned count = atomic_load(&merges);
        options.all = count % 2 == 0;
        bitcask_status status = merge_run(fixture->store, &options, NULL, &error);
        if (status == BITCASK_OK && count % 4 == 1) /* in the middle of everything: no finding */
            status = verify_run(fixture->store, print_finding, NULL, NULL, &error);
        if (status != BITCASK_OK) {
            fprintf(stderr, "merge or verify: %s\n", error.message);
            abort();
        }
        atomic_store(&merges, count + 1);
    }
    return NULL;
}

static void run_against_merges(bitcask_background background, bitcask_sync sync)
{
    struct fixture *f = fixture = fixture_new();
    f->options.background = background;
    f->options.sync = sync;
    f->options.segment_size = 256 << 10;
    assert_done(f, try_open(f));
    atomic_store(&writers_left, WRITERS);
    atomic_store(&merges, 0);
    for (unsigned key = 0; key < SHARED_KEYS; key++)
        atomic_store(&acknowledged[key], 0);

    pthread_t threads[WRITERS + READERS + 1];
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_keys, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < READERS; i++)
        pthread_create(&threads[WRITERS + i], NULL, read_keys, (void *)(uintptr_t)i);
    pthread_create(&threads[WRITERS + READERS], NULL, merge_over_and_over, NULL);
    for (unsigned i = 0; i < WRITERS + READERS + 1; i++)
        pthread_join(threads[i], NULL);

    assert_true(atomic_load(&merges) >= MERGES);
    assert_model(f);
    assert_sound(f);
    merge_all(f);
    struct totals totals = totals_of(f);
    assert_int_equal(totals.live_records, totals.records);
    assert_int_equal(totals.live_records, stats_of(f).keys);
    reopen_without_hints(f);
    assert_model(f);
    assert_sound(f);
    end(f);
}

static void moved_keys_never_go_back_with_a_background_thread(void **state)
{
    (void)state;
    run_against_merges(BITCASK_BACKGROUND_THREAD, BITCASK_SYNC_NONE);
}

static void moved_keys_never_go_back_with_inline_work(void **state)
{
    (void)state;
    run_against_merges(BITCASK_BACKGROUND_NONE, BITCASK_SYNC_INTERVAL);
}

static void moved_keys_never_go_back_with_durable_groups(void **state)
{
    (void)state;
    run_against_merges(BITCASK_BACKGROUND_THREAD, BITCASK_SYNC_ALWAYS);
}

/* ---- Appended, not yet published ----------------------------------------------------------- */

/* A group of two: the first record ends segment 1, the second goes to the next one, and the hook
 * runs when its large value is written. The first is not published yet. */
static _Atomic bool merged_meanwhile;

static void *seal_and_merge(void *context)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.min_dead = 0;
    bitcask_error error;
    if (seal_waiting(fixture->store, &error) != BITCASK_OK ||
        merge_run(fixture->store, &options, NULL, &error) != BITCASK_OK) {
        fprintf(stderr, "merge: %s\n", error.message);
        abort();
    }
    atomic_store(&merged_meanwhile, true);
    return context;
}

static pthread_t merger;
static bool merger_started;

static int merge_in_the_middle(void *context, enum os_mem_call call)
{
    (void)context;
    (void)call;
    pthread_mutex_t *const locks[] = {&fixture->store->prepare_mutex,
                                      &fixture->store->manifest_mutex};
    if (merger_started || atomic_load(&fixture->store->sealing_count) == 0)
        return 0;
    for (unsigned i = 0; i < 2; i++) { /* nothing but write_mutex is to hold the merge back */
        if (pthread_mutex_trylock(locks[i]) != 0)
            return 0;
        pthread_mutex_unlock(locks[i]);
    }
    merger_started = true;
    pthread_create(&merger, NULL, seal_and_merge, NULL);
    /* It must wait for the group, so this waits in vain; a wrong one has time to go through. */
    for (unsigned ms = 0; ms < 300 && !atomic_load(&merged_meanwhile); ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return 0;
}

struct late_put {
    unsigned key;
    uint32_t size;
};

static void *put_late(void *context)
{
    const struct late_put *put_ = context;
    put_sized(fixture, put_->key, put_->size);
    return NULL;
}

static void wait_for_queue(struct store *store, unsigned length)
{
    for (;;) {
        unsigned found = 0;
        for (struct write_request *r = atomic_load(&store->queue); r != NULL; r = r->next)
            found++;
        if (found == length)
            return;
        sched_yield();
    }
}

/* 11: a merge drops a record that is appended but not yet published. */
static void scenario_11_a_merge_waits_for_what_is_appended_and_not_yet_published(void **state)
{
    (void)state;
    struct fixture *f = fixture = fixture_new();
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    assert_done(f, try_open(f));
    put_range(f, 10, 20);
    merger_started = false;
    atomic_store(&merged_meanwhile, false);
    os_mem_hook(f->os, 1u << OS_CALL_PWRITE, merge_in_the_middle, NULL);

    pthread_t threads[2];
    struct late_put puts[2] = {{1, 100}, {2, 200 << 10}};
    write_mutex_lock(&f->store->write_mutex);
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, put_late, &puts[i]);
        wait_for_queue(f->store, i + 1);
    }
    write_mutex_unlock(&f->store->write_mutex);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_true(merger_started);
    pthread_join(merger, NULL);
    os_mem_hook(f->os, 0, NULL, NULL);

    assert_model(f);
    assert_sound(f);
    reopen_without_hints(f);
    assert_model(f);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenario_11_a_merge_waits_for_what_is_appended_and_not_yet_published),
        cmocka_unit_test(moved_keys_never_go_back_with_a_background_thread),
        cmocka_unit_test(moved_keys_never_go_back_with_inline_work),
        cmocka_unit_test(moved_keys_never_go_back_with_durable_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
