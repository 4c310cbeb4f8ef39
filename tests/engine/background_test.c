/* SPDX-License-Identifier: MIT
 * background_test.c: what a store's own threads do, and that it opens without leaving any behind
 * when one cannot be had. Nothing waits for time to pass: what has to happen is waited for. */
#include "support/failures.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/background.h"
#include "engine/merge_schedule.h"
#include "engine/scrub.h"
#include "engine/seal.h"
#include "os/processor.h"

static void begin_with_threads(struct fixture *f)
{
    fixture_init(f);
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.merge = 0;
    f->options.log = NULL;
    f->options.index_snapshot_bytes = UINT64_C(1) << 60;
}

#define wait_until(condition) \
    do {                      \
        while (!(condition))  \
            sched_yield();    \
    } while (0)

/* ---- The processor ----------------------------------------------------------------------------
 */

static uint64_t (*real_clock)(struct os *os);
static _Atomic int nice_of_thread; /* as the first to look at the clock has it; NOT_SEEN before */
static pthread_t opening;
enum { NOT_SEEN = 99 };

static int nice_of_this_thread(void)
{
    return getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
}

static uint64_t look_at_nice(struct os *os)
{
    int unseen = NOT_SEEN;
    if (!pthread_equal(pthread_self(), opening))
        (void)atomic_compare_exchange_strong(&nice_of_thread, &unseen, nice_of_this_thread());
    return real_clock(os);
}

static void *let_others_first(void *nice)
{
    (void)processor_let_others_first();
    *(int *)nice = nice_of_this_thread();
    return NULL;
}

/* Where the system lets it: so what a thread gets that asks for it. */
static void the_thread_of_a_store_lets_others_first(void **state)
{
    (void)state;
    struct fixture f;
    pthread_t thread;
    int possible = NOT_SEEN, before = nice_of_this_thread();
    assert_int_equal(pthread_create(&thread, NULL, let_others_first, &possible), 0);
    pthread_join(thread, NULL);
    begin_with_threads(&f);
    opening = pthread_self();
    atomic_store(&nice_of_thread, NOT_SEEN);
    real_clock = f.os->clock_boot;
    f.os->clock_boot = look_at_nice;
    open_store(&f);
    put(&f, "key", "value");
    wait_until(atomic_load(&nice_of_thread) != NOT_SEEN);
    assert_int_equal(atomic_load(&nice_of_thread), possible);
    assert_int_equal(nice_of_this_thread(), before);
    fixture_release(&f);
}

/* A merge that is to make room may need each page that is left. */
static void on_a_nearly_full_disk_nothing_is_made_ahead(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_sized(&f, "large", 'x', 50000);
    os_mem_set_capacity(f.os, 1 << 20);
    f.store->options.background = BITCASK_BACKGROUND_THREAD; /* which is this one */
    put_sized(&f, "next", 'y', 20000);
    assert_true(atomic_load(&f.store->work) & WORK_SEAL);
    assert_false(atomic_load(&f.store->work) & WORK_PREPARE);
    f.store->options.background = BITCASK_BACKGROUND_NONE;
    fixture_release(&f);
}

/* ---- The index ------------------------------------------------------------------------------- */

/* Entries of keys that there are not, so that the image is of more than one part: it is never read.
 */
static void grow_index(struct fixture *f, uint64_t entries)
{
    struct keydir_place place = {active_segment(f)->slot, SEGMENT_HEADER_SIZE + 1};
    write_mutex_lock(&f->store->write_mutex);
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t hash = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        assert_int_equal(keydir_reserve(f->store->keydir, hash, &f->error), BITCASK_OK);
        keydir_insert(f->store->keydir, hash, place);
    }
    write_mutex_unlock(&f->store->write_mutex);
}

static uint64_t images_of(const struct fixture *f)
{
    return atomic_load(&f->store->index.images_written);
}

/* ---- Segments ahead ---------------------------------------------------------------------------
 */

static bool next_is_there(const struct fixture *f)
{
    return atomic_load(&f->store->writer.has_next);
}

/* The first put of a new store finds its segment made, and leaves nothing if none comes. */
static void a_new_store_makes_its_first_segment_by_itself(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_threads(&f);
    open_store(&f);
    wait_until(next_is_there(&f));
    close_store(&f);
    assert_false(has_file(&f, "000000001.data"));
    open_store(&f);
    wait_until(next_is_there(&f));
    put(&f, "k", "v");
    close_store(&f);
    open_store(&f); /* there is one: nothing is made until it is half full */
    check_value(&f, "k", "v");
    assert_false(next_is_there(&f));
    fixture_release(&f);
}

struct sealing {
    const struct fixture *f;
    bool seen, next_was_there;
};

static int look_while_sealing(void *context, enum os_mem_call call)
{
    (void)call;
    struct sealing *sealing = context;
    sealing->next_was_there =
        (!sealing->seen || sealing->next_was_there) && next_is_there(sealing->f);
    sealing->seen = true;
    return 0;
}

/* Sealing takes as long as it may take to fill a segment. */
static void the_segment_that_comes_next_is_made_before_one_is_sealed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put_sized(&f, "large", 'x', 50000);
    f.store->options.background = BITCASK_BACKGROUND_THREAD; /* which is this one */
    put_sized(&f, "next", 'y', 20000);
    assert_true(atomic_load(&f.store->work) & WORK_PREPARE);
    assert_false(next_is_there(&f));
    struct sealing sealing = {.f = &f};
    os_mem_hook(f.os, 1u << OS_CALL_TRUNCATE, look_while_sealing, &sealing);
    assert_status(&f, OK, seal_waiting(f.store, &f.error));
    os_mem_hook(f.os, 0, NULL, NULL);
    assert_true(sealing.seen && sealing.next_was_there);
    assert_false(atomic_load(&f.store->work) & WORK_PREPARE);
    f.store->options.background = BITCASK_BACKGROUND_NONE;
    fixture_release(&f);
}

static void an_image_is_written_once_the_log_has_grown_enough(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_threads(&f);
    open_store(&f);
    put(&f, "k", "v");
    grow_index(&f, 800000);
    f.store->options.index_snapshot_bytes = 1;
    for (int i = 0; images_of(&f) == 0; i++) {
        put_sized(&f, "large", 'x', 60000); /* each fills a segment, which is sealed */
        if (i % 50 == 0)
            sync_store(&f);
    }
    assert_true(has_file(&f, NAME_IMAGE));
    fixture_release(&f);
}

/* The store's own thread may have the merge lock just then, looking for what there is to do. */
static void write_image(struct fixture *f)
{
    bitcask_status status;
    while ((status = index_image_write(f->store, NULL, &f->error)) == BITCASK_CANCELLED)
        sched_yield();
    assert_status(f, OK, status);
}

/* Shards that nobody asks for are fetched one after the other. */
static void the_rest_of_an_image_is_fetched_by_and_by(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_threads(&f);
    open_store(&f);
    put_numbered(&f, "k", 0, 5000, "v");
    write_image(&f);
    close_store(&f);
    for (int damaged = 0; damaged < 2; damaged++) {
        if (damaged)
            flip_byte(&f, NAME_IMAGE, 5000);
        open_store(&f);
        assert_int_equal(atomic_load(&f.store->index.origin), BITCASK_INDEX_SNAPSHOT);
        wait_until(!keydir_has_absent(f.store->keydir));
        check_value(&f, "k4999", "v");
        close_store(&f);
    }
    fixture_release(&f);
}

static bool wants_retag(struct fixture *f)
{
    write_mutex_lock(&f->store->write_mutex);
    bool wants = keydir_wants_retag(f->store->keydir);
    write_mutex_unlock(&f->store->write_mutex);
    return wants;
}

/* Keys until the index wants its tags made anew, and as many again, so that it is more than one
 * part's work; all of it is left to do. Returns how many there are. */
static int put_until_tags_are_short(struct fixture *f)
{
    char key[32];
    int count = 0, enough = 0;
    for (; enough == 0 || count < enough; count++) {
        snprintf(key, sizeof key, "k%d", count);
        pthread_mutex_lock(&f->store->work_mutex); /* so that the thread does not begin yet */
        atomic_fetch_and(&f->store->work, ~(uint32_t)WORK_RETAG);
        pthread_mutex_unlock(&f->store->work_mutex);
        put(f, key, "v");
        if (enough == 0 && wants_retag(f))
            enough = count + count / 4;
    }
    return count;
}

static void check_keys(struct fixture *f, int count)
{
    char key[32];
    for (int i = 0; i < count; i += 97) {
        snprintf(key, sizeof key, "k%d", i);
        check_value(f, key, "v");
    }
}

/* The thread lets the writers have the mutex between its parts: a write in the middle ends before
 * all is tagged anew, and what the parts have done holds. */
static void an_index_is_tagged_anew_in_parts_between_writes(void **state)
{
    (void)state;
    struct fixture f;
    char key[32];
    begin_with_threads(&f);
    f.options.segment_size = 64 << 20;
    open_store(&f);
    int count = put_until_tags_are_short(&f);
    background_want(f.store, WORK_RETAG);
    for (int i = 0; wants_retag(&f); i++) {
        snprintf(key, sizeof key, "later%d", i % 1000);
        put(&f, key, "v");
    }
    check_keys(&f, count);
    fixture_release(&f);
}

/* All at once where there is no thread. */
static void without_a_thread_an_index_is_tagged_anew_in_one_go(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_threads(&f);
    f.options.background = BITCASK_BACKGROUND_NONE;
    f.options.segment_size = 64 << 20;
    open_store(&f);
    f.store->options.background = BITCASK_BACKGROUND_THREAD; /* which is not there: all waits */
    int count = put_until_tags_are_short(&f);
    f.store->options.background = BITCASK_BACKGROUND_NONE;
    assert_true(wants_retag(&f));
    background_want(f.store, WORK_RETAG);
    background_inline(f.store);
    assert_false(wants_retag(&f));
    check_keys(&f, count);
    fixture_release(&f);
}

/* More shards than are fetched before something else has its turn. */
static void a_large_image_is_fetched_in_several_turns(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_threads(&f);
    f.options.segment_size = 64 << 20;
    open_store(&f);
    put_numbered(&f, "k", 0, 100000, "v");
    write_image(&f);
    close_store(&f);
    open_store(&f);
    wait_until(!keydir_has_absent(f.store->keydir));
    check_keys(&f, 100000);
    fixture_release(&f);
}

/* Neither that a merge is running is an error, nor that damage forbids it. */
static void an_image_that_cannot_be_written_now_is_no_error(void **state)
{
    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct fixture f, listening;
        fixture_init(&listening);
        begin_with_threads(&f);
        open_store(&f);
        put(&f, "k", "v");
        f.store->events.log = listening.options.log;
        f.store->events.context = &f;
        f.store->options.index_snapshot_bytes = 1;
        atomic_store(&f.store->counters.bytes_written, 1 << 30);
        put_numbered(&f, "k", 0, 6000, "a value of some length, for there is to be some growth");
        if (damaged)
            atomic_store(&f.store->segments.by_id[0]->damaged, 1);
        else
            pthread_mutex_lock(&f.store->merge_mutex);
        background_want(f.store, WORK_IMAGE);
        wait_until((atomic_load(&f.store->work) & WORK_IMAGE) == 0);
        background_stop(f.store); /* it has come to the end of what it was doing */
        if (!damaged)
            pthread_mutex_unlock(&f.store->merge_mutex);
        assert_int_equal(count_events(&f, "background_failed"), 0);
        fixture_release(&f);
        fixture_release(&listening);
    }
}

/* ---- The log --------------------------------------------------------------------------------- */

static bool is_synced(struct fixture *f)
{
    struct segment *active = active_segment(f);
    return atomic_load(&active->synced) == atomic_load(&active->end);
}

static void the_log_is_synced_once_the_interval_is_over(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_threads(&f);
    f.options.sync = BITCASK_SYNC_INTERVAL;
    f.options.sync_interval_ms = 60000;
    open_store(&f);
    put(&f, "k", "v");
    background_want(f.store, WORK_IMAGE); /* wakes it before its time */
    wait_until((atomic_load(&f.store->work) & WORK_IMAGE) == 0);
    assert_false(is_synced(&f));
    while (!is_synced(&f)) { /* the clock stands still otherwise */
        os_mem_advance_clock(f.os, 60 * 1000000);
        background_want(f.store, WORK_IMAGE);
        sched_yield();
    }
    crash(&f);
    open_store(&f);
    check_value(&f, "k", "v");
    fixture_release(&f);
}

/* Where nobody will seal them, or may, there is nothing to wait for. */
static void writers_wait_for_the_sealer_only_where_there_is_one(void **state)
{
    (void)state;
    for (int why = 0; why < 4; why++) {
        struct fixture f;
        begin_with_threads(&f);
        if (why == 0)
            f.options.background = BITCASK_BACKGROUND_NONE;
        open_store(&f);
        put(&f, "k", "v");
        background_stop(f.store); /* as if it were slow */
        f.store->thread_running = why != 0;
        f.store->stopping = why == 1;
        atomic_store(&f.store->sealing_count, 100);
        if (why == 2)
            store_poison(f.store, BITCASK_IO, "a test says so");
        atomic_store(&f.store->reserve_spent, why == 3);
        background_throttle(f.store); /* comes back */
        check_value(&f, "k", "v");
        f.store->thread_running = false;
        atomic_store(&f.store->sealing_count, 0);
        fixture_release(&f);
    }
}

/* ---- The version ceiling --------------------------------------------------------------------- */

static void the_ceiling_is_raised_before_it_is_reached(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_threads(&f);
    open_store(&f);
    put(&f, "k", "1");
    uint64_t ceiling = atomic_load(&f.store->version_ceiling);
    uint64_t version = meta_of(&f, "k").version;
    os_mem_advance_clock(f.os, (int64_t)(ceiling - version - 1000));
    while (atomic_load(&f.store->version_ceiling) <= ceiling) /* each asks for it anew */
        put(&f, "k", "2");
    check_value(&f, "k", "2");
    fixture_release(&f);
}

/* ---- No thread to be had --------------------------------------------------------------------- */

static void all_threads(struct fixture *f)
{
    begin_with_threads(f);
    f->options.merge = 1;
    f->options.scrub_bytes_per_s = 1 << 20;
    f->options.index_snapshot_bytes = 1;
}

/* The n-th thread cannot be started, or the n-th allocation fails: an error, and nothing is left.
 */
static void an_open_that_cannot_have_its_threads_leaves_none(void **state)
{
    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        bool came = true;
        for (uint64_t nth = 1; came; nth++) {
            struct fixture f;
            all_threads(&f);
            open_store(&f);
            put_numbered(&f, "k", 0, 100, "v");
            close_store(&f);
            heap.nth = threads ? 0 : nth;
            heap.for_good = false;
            atomic_store(&heap.threads_left, threads ? (int)nth - 1 : -1);
            atomic_store(&heap.calls, 0);
            atomic_store(&heap.counting, true);
            bitcask_status status = try_open(&f);
            atomic_store(&heap.counting, false);
            came = threads ? atomic_load(&heap.threads_left) == 0 : atomic_load(&heap.calls) >= nth;
            atomic_store(&heap.threads_left, -1);
            if (status == BITCASK_OK) {
                check_value(&f, "k7", "v");
                close_store(&f);
            } else {
                assert_true(came);
            }
            assert_int_equal(os_mem_open_files(f.os), 0);
            assert_int_equal(os_mem_live_maps(f.os), 0);
            open_store(&f);
            check_value(&f, "k99", "v");
            fixture_release(&f);
        }
    }
}

/* ---- The scrubber ---------------------------------------------------------------------------- */

static void the_scrubber_tells_of_damage_and_ends_when_it_is_told_to(void **state)
{
    (void)state;
    struct fixture f;
    all_threads(&f);
    f.options.merge = 0;
    f.options.scrub_bytes_per_s = UINT64_C(1) << 40;
    open_store(&f);
    for (int i = 0; i < 4; i++) {
        put_numbered(&f, "k", 0, 50, "v");
        write_mutex_lock(&f.store->write_mutex);
        assert_status(&f, OK, log_rotate(f.store, &f.error));
        write_mutex_unlock(&f.store->write_mutex);
        sync_store(&f);
    }
    close_store(&f);
    flip_byte(&f, "000000001.data", 100);
    open_store(&f);
    wait_until(atomic_load(&f.store->counters.scrub_passes) > 0);
    assert_true(atomic_load(&f.store->counters.scrub_findings) > 0);
    _Atomic bool stop = true;
    scrub_pass(f.store, &stop);
    scrub_pass(f.store, NULL);
    close_store(&f);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_thread_of_a_store_lets_others_first),
        cmocka_unit_test(a_new_store_makes_its_first_segment_by_itself),
        cmocka_unit_test(the_segment_that_comes_next_is_made_before_one_is_sealed),
        cmocka_unit_test(on_a_nearly_full_disk_nothing_is_made_ahead),
        cmocka_unit_test(an_image_is_written_once_the_log_has_grown_enough),
        cmocka_unit_test(the_rest_of_an_image_is_fetched_by_and_by),
        cmocka_unit_test(an_index_is_tagged_anew_in_parts_between_writes),
        cmocka_unit_test(without_a_thread_an_index_is_tagged_anew_in_one_go),
        cmocka_unit_test(a_large_image_is_fetched_in_several_turns),
        cmocka_unit_test(an_image_that_cannot_be_written_now_is_no_error),
        cmocka_unit_test(the_log_is_synced_once_the_interval_is_over),
        cmocka_unit_test(writers_wait_for_the_sealer_only_where_there_is_one),
        cmocka_unit_test(the_ceiling_is_raised_before_it_is_reached),
        cmocka_unit_test(an_open_that_cannot_have_its_threads_leaves_none),
        cmocka_unit_test(the_scrubber_tells_of_damage_and_ends_when_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
