/* SPDX-License-Identifier: MIT
 * merge_stall_test.c: what a merge must not do to those who write and read meanwhile (M9). */
#include "support/merge_fixture.h"

#include <sched.h>

/* Somebody makes the next segment, and that takes its time: the disk syncs. A merge that wants to
 * look at the store must not hold the writers back for as long. */

static struct fixture *fixture;
static _Atomic bool begun, ended, preparing, prepared;

static void *prepare_slowly(void *context)
{
    pthread_mutex_lock(&fixture->store->prepare_mutex);
    atomic_store(&preparing, true);
    while (!atomic_load(&prepared))
        sched_yield();
    pthread_mutex_unlock(&fixture->store->prepare_mutex);
    return context;
}

static void *merge_once(void *context)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    atomic_store(&begun, true);
    if (merge_run(fixture->store, &options, NULL, NULL) != BITCASK_OK)
        abort();
    atomic_store(&ended, true);
    return context;
}

static void writers_go_on_while_the_next_segment_is_made(void **state)
{
    (void)state;
    struct fixture *f = fixture = begin();
    pthread_t merger, preparer;
    put_range(f, 0, 100);
    seal(f);
    put_range(f, 0, 60);
    pthread_create(&preparer, NULL, prepare_slowly, NULL);
    while (!atomic_load(&preparing))
        sched_yield();
    pthread_create(&merger, NULL, merge_once, NULL);
    while (!atomic_load(&begun))
        sched_yield();
    for (unsigned i = 0; i < 1000; i++) { /* a merge that waits with write_mutex hangs this */
        put(f, 100 + i);
        sched_yield();
    }
    assert_false(atomic_load(&ended));
    atomic_store(&prepared, true);
    pthread_join(preparer, NULL);
    pthread_join(merger, NULL);
    assert_int_equal(stats_of(f).merges, 1);
    assert_model(f);
    end(f);
}

/* ---- Unmapping ------------------------------------------------------------------------------ */

static unsigned told;

static void count_told(void *context)
{
    (void)context;
    told++;
}

static void who_lets_go_last_does_not_unmap(void **state)
{
    (void)state;
    struct fixture *f = begin();
    bitcask_view view;
    told = 0;
    segments_set_digger(&f->store->segments, count_told, NULL);
    put_range(f, 0, 100);
    seal(f);
    assert_done(f, bitcask_get_view(db_of(f), NULL, bitcask_str("key-00000"), &view, &f->error));
    put_range(f, 0, 100);
    merge_all(f);
    segments_bury(&f->store->segments);
    uint64_t maps = os_mem_live_maps(f->os);
    unsigned before = told;
    bitcask_views_release(&view, 1);
    assert_int_equal(told, before + 1);
    assert_int_equal(os_mem_live_maps(f->os), maps);
    assert_int_equal(stats_of(f).pinned_segments, 1);
    segments_bury(&f->store->segments);
    assert_int_equal(os_mem_live_maps(f->os), maps - 1);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    segments_set_digger(&f->store->segments, NULL, NULL);
    assert_model(f);
    end(f);
}

/* A full disk: the next job's room is what the one before has left. */
static void a_merge_buries_what_it_let_go_of_itself(void **state)
{
    (void)state;
    struct fixture *f = begin();
    segments_set_digger(&f->store->segments, count_told, NULL); /* one who never comes */
    put_range(f, 0, 100);
    seal(f);
    put_range(f, 0, 100);
    merge_all(f);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    segments_set_digger(&f->store->segments, NULL, NULL);
    assert_model(f);
    end(f);
}

/* ---- Syncing -------------------------------------------------------------------------------- */

static unsigned largest_mib; /* written to one file since its last sync */
static uint64_t written;
static int (*real_pwrite)(struct os *, struct os_file *, const void *, size_t, uint64_t, int);
static int (*real_sync)(struct os *, struct os_file *);

static int count_pwrite(struct os *os, struct os_file *file, const void *data, size_t size,
                        uint64_t offset, int flags)
{
    written += size;
    if (written >> 20 > largest_mib)
        largest_mib = (unsigned)(written >> 20);
    return real_pwrite(os, file, data, size, offset, flags);
}

static int count_sync(struct os *os, struct os_file *file)
{
    written = 0;
    return real_sync(os, file);
}

static void an_output_is_synced_in_steps(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    f->options.segment_size = 64 << 20;
    assert_done(f, try_open(f));
    for (unsigned key = 0; key < 400; key++)
        put_sized(f, key, 100000);
    seal(f);
    sync_log(f);
    real_pwrite = f->os->pwrite;
    real_sync = f->os->sync;
    written = largest_mib = 0;
    f->os->pwrite = count_pwrite;
    f->os->sync = count_sync;
    merge_all(f);
    f->os->pwrite = real_pwrite;
    f->os->sync = real_sync;
    assert_int_equal(f->merged.records_copied, 400);
    assert_true(largest_mib >= 7 && largest_mib <= 9);
    assert_model(f);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_go_on_while_the_next_segment_is_made),
        cmocka_unit_test(who_lets_go_last_does_not_unmap),
        cmocka_unit_test(a_merge_buries_what_it_let_go_of_itself),
        cmocka_unit_test(an_output_is_synced_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
