/* SPDX-License-Identifier: MIT
 * view_pins_test.c: views keep their segment exactly as long as one of them is there, whoever takes
 * and releases them. X1. */
#include "support/merge_fixture.h"

#include <sched.h>
#include <stdlib.h>

#include "engine/view_pins.h"
#include "os/barrier.h"

/* ---- Counts alone ---------------------------------------------------------------------------- */

static struct view_pins *pins;
static struct epoch epoch;

static int set_up(void **state)
{
    (void)state;
    epoch_init(&epoch);
    epoch_exit(epoch_enter(&epoch)); /* this thread has its line, if there are any */
    pins = calloc(1, sizeof *pins);
    assert_non_null(pins);
    view_pins_init(pins);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    view_pins_release(pins);
    free(pins);
    epoch_release(&epoch);
    return 0;
}

static bool lines_are_owned(void)
{
    return epoch_thread_number - 1 < EPOCH_OWNED;
}

static void take_view(uint32_t slot)
{
    unsigned line = epoch_thread_number - 1;
    _Atomic uint32_t *count = view_count(pins, line, slot);
    if (count == NULL)
        count = view_count_make(pins, line, slot);
    assert_non_null(count);
    view_count_take(count);
}

/* True: the table's hold is to be given back. */
static bool drop_view(uint32_t slot)
{
    enum view_drop dropped = view_pins_drop(pins, slot);
    if (dropped == VIEW_NOT_DROPPED)
        view_pins_drop_shared(pins, slot);
    return dropped != VIEW_DROPPED && view_pins_is_over(pins, slot);
}

struct task {
    void (*run)(uint32_t slot, bool *over);
    uint32_t slot;
    bool over;
};

static void *run_task(void *context)
{
    struct task *task = context;
    epoch_exit(epoch_enter(&epoch));
    task->run(task->slot, &task->over);
    return NULL;
}

/* In a thread of its own, which ends. */
static bool elsewhere(void (*run)(uint32_t slot, bool *over), uint32_t slot)
{
    struct task task = {run, slot, false};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_task, &task), 0);
    pthread_join(thread, NULL);
    return task.over;
}

static void take_two(uint32_t slot, bool *over)
{
    take_view(slot);
    take_view(slot);
    *over = false;
}

static void drop_one(uint32_t slot, bool *over)
{
    *over = drop_view(slot);
}

static void drop_without_line(uint32_t slot, bool *over)
{
    unsigned number = epoch_thread_number;
    epoch_thread_number = EPOCH_OWNED + 1;
    *over = drop_view(slot);
    epoch_thread_number = number;
}

static void nothing_is_left_where_nothing_was_taken(void **state)
{
    (void)state;
    view_pins_leave(pins, 5);
    assert_true(view_pins_drain(pins, 5));
    view_pins_leave(pins, 5); /* the next segment in this slot */
    assert_true(view_pins_drain(pins, 5));
}

static void the_last_view_to_go_says_so_once(void **state)
{
    (void)state;
    if (!lines_are_owned())
        return; /* nobody counts */
    take_view(5);
    take_view(5);
    assert_false(drop_view(5));
    take_view(6);
    view_pins_leave(pins, 5);
    assert_false(view_pins_drain(pins, 5));
    assert_false(drop_view(6));
    assert_true(drop_view(5));
    assert_false(view_pins_is_over(pins, 5));
}

static void nothing_is_over_before_the_grace_period(void **state)
{
    (void)state;
    if (!lines_are_owned())
        return;
    take_view(5);
    view_pins_leave(pins, 5);
    assert_false(drop_view(5));
    take_view(5); /* a reader that was inside already */
    assert_false(view_pins_drain(pins, 5));
    assert_true(drop_view(5));
}

static void views_of_threads_that_ended_count(void **state)
{
    (void)state;
    if (!lines_are_owned())
        return;
    assert_false(elsewhere(take_two, 9));
    view_pins_leave(pins, 9);
    assert_false(view_pins_drain(pins, 9));
    assert_false(drop_view(9)); /* this thread has no count: it releases into the shared ones */
    take_view(8);               /* now it has */
    assert_true(elsewhere(drop_one, 9));
    view_pins_leave(pins, 9); /* what was left in many counts is nought together */
    assert_true(view_pins_drain(pins, 9));
}

static void threads_without_a_line_release_too(void **state)
{
    (void)state;
    if (!lines_are_owned())
        return;
    take_view(9);
    take_view(9);
    assert_false(elsewhere(drop_without_line, 9));
    view_pins_leave(pins, 9);
    assert_false(view_pins_drain(pins, 9));
    assert_true(elsewhere(drop_without_line, 9));
}

static void counts_grow_and_keep_what_they_counted(void **state)
{
    (void)state;
    if (!lines_are_owned())
        return;
    take_view(1);
    take_view(59);
    for (uint32_t slot = 1; slot <= BITCASK_MAX_SEGMENTS; slot += 97)
        take_view(slot);
    take_view(BITCASK_MAX_SEGMENTS);
    view_pins_leave(pins, 1);
    assert_false(view_pins_drain(pins, 1));
    assert_false(drop_view(1));
    assert_true(drop_view(1));
    view_pins_leave(pins, 59);
    assert_false(view_pins_drain(pins, 59));
    assert_true(drop_view(59));
    view_pins_leave(pins, BITCASK_MAX_SEGMENTS);
    assert_false(view_pins_drain(pins, BITCASK_MAX_SEGMENTS));
    assert_true(elsewhere(drop_one, BITCASK_MAX_SEGMENTS));
}

/* ---- A store --------------------------------------------------------------------------------- */

static void settle(struct fixture *f)
{
    for (int i = 0; i < 4; i++)
        epoch_poll(&f->store->epoch);
}

struct reader {
    struct fixture *f;
    unsigned key;
    bitcask_view view;
};

static void *view_one(void *context)
{
    struct reader *reader = context;
    char name[16];
    snprintf(name, sizeof name, "key-%05u", reader->key);
    if (bitcask_get_view(db_of(reader->f), NULL, bitcask_str(name), &reader->view, NULL) !=
        BITCASK_OK)
        abort();
    return NULL;
}

static void *release_one(void *context)
{
    struct reader *reader = context;
    bitcask_views_release(&reader->view, 1);
    return NULL;
}

static void in_a_thread(void *(*run)(void *), void *context)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, context), 0);
    pthread_join(thread, NULL);
}

enum { READERS = 4 };

/* Views taken and released in threads that come and go, through many merges: each time the segment
 * stays for the last of them, and goes with it. */
static void views_of_many_threads_hold_a_merged_segment(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (unsigned round = 0; round < 40; round++) {
        struct reader readers[READERS];
        uint8_t copies[READERS][64];
        put_range(f, 0, 20);
        seal(f);
        for (unsigned i = 0; i < READERS; i++) {
            readers[i] = (struct reader){.f = f, .key = i};
            if ((round + i) % 2 == 0)
                in_a_thread(view_one, &readers[i]);
            else
                view_one(&readers[i]);
            assert_true(readers[i].view.value.size >= sizeof copies[i]);
            memcpy(copies[i], readers[i].view.value.data, sizeof copies[i]);
        }
        put_range(f, 0, 20);
        merge_all(f);
        settle(f);
        for (unsigned i = 0; i < READERS; i++) {
            assert_int_equal(stats_of(f).pinned_segments, 1);
            assert_memory_equal(copies[i], readers[i].view.value.data, sizeof copies[i]);
            if ((round / 2 + i) % 3 == 0)
                in_a_thread(release_one, &readers[i]);
            else
                release_one(&readers[i]);
        }
        settle(f);
        assert_int_equal(stats_of(f).pinned_segments, 0);
    }
    assert_model(f);
    end(f);
}

static void views_of_get_many_hold_a_merged_segment(void **state)
{
    (void)state;
    struct fixture *f = begin();
    bitcask_slice keys[3] = {bitcask_str("key-00001"), bitcask_str("key-00002"),
                             bitcask_str("nothing")};
    bitcask_view views[3];
    bitcask_status each[3];
    put_range(f, 0, 20);
    seal(f);
    assert_done(f, bitcask_get_many(db_of(f), NULL, keys, 3, views, each, &f->error));
    put_range(f, 0, 20);
    merge_all(f);
    settle(f);
    bitcask_views_release(&views[0], 1);
    assert_int_equal(stats_of(f).pinned_segments, 1);
    bitcask_views_release(views, 3);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    assert_model(f);
    end(f);
}

static _Thread_local bool out_of_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return out_of_memory ? NULL : __real_malloc(size);
}

/* There is no memory for counts: the segment is pinned instead. */
static void views_without_memory_hold_a_merged_segment(void **state)
{
    (void)state;
    struct fixture *f = begin();
    bitcask_view view;
    put_range(f, 0, 20);
    seal(f);
    epoch_exit(epoch_enter(&f->store->epoch));
    out_of_memory = true;
    bitcask_status status =
        bitcask_get_view(db_of(f), NULL, bitcask_str("key-00001"), &view, &f->error);
    out_of_memory = false;
    assert_done(f, status);
    assert_non_null(segments_pinned_by(view.pin));
    put_range(f, 0, 20);
    merge_all(f);
    settle(f);
    assert_int_equal(stats_of(f).pinned_segments, 1);
    bitcask_views_release(&view, 1);
    assert_int_equal(stats_of(f).pinned_segments, 0);
    assert_model(f);
    end(f);
}

/* A view as of a snapshot may be of a segment whose grace period is long over. */
static void views_of_a_snapshot_hold_a_merged_segment(void **state)
{
    (void)state;
    struct fixture *f = begin();
    bitcask_snapshot *snapshot;
    bitcask_read_options options;
    bitcask_view view;
    put_range(f, 0, 20);
    seal(f);
    assert_done(f, bitcask_snapshot_new(db_of(f), &snapshot, &f->error));
    put_range(f, 0, 20);
    merge_all(f);
    settle(f);
    assert_int_equal(stats_of(f).pinned_segments, 1);
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    assert_done(f,
                bitcask_get_view(db_of(f), &options, bitcask_str("key-00003"), &view, &f->error));
    bitcask_snapshot_free(snapshot);
    settle(f);
    assert_int_equal(stats_of(f).pinned_segments, 1);
    in_a_thread(release_one, &(struct reader){.f = f, .view = view});
    assert_int_equal(stats_of(f).pinned_segments, 0);
    assert_model(f);
    end(f);
}

/* ---- Threads --------------------------------------------------------------------------------- */

enum { LOOKS = 3000, RING = 16 };

static struct fixture *shared;
static _Atomic(bitcask_view *) ring[RING];
static _Atomic bool stopping;
static _Atomic unsigned wrong;

static void check_and_release(bitcask_view *view)
{
    const uint8_t *bytes = view->value.data; /* all alike */
    for (size_t i = 1; i < view->value.size; i++)
        if (bytes[i] != bytes[0])
            atomic_fetch_add(&wrong, 1);
    bitcask_views_release(view, 1);
    free(view);
}

/* Take views, and release those that others have taken. */
static void *take_and_pass_on(void *context)
{
    unsigned random = (unsigned)(uintptr_t)context;
    for (int look = 0; look < LOOKS; look++) {
        char name[16];
        random = random * 1103515245 + 12345;
        snprintf(name, sizeof name, "same-%u", random >> 16 & 7);
        bitcask_view *view = malloc(sizeof *view);
        if (bitcask_get_view(db_of(shared), NULL, bitcask_str(name), view, NULL) != BITCASK_OK)
            abort();
        view = atomic_exchange(&ring[random >> 20 & (RING - 1)], view);
        if (view != NULL)
            check_and_release(view);
    }
    return NULL;
}

static void *write_and_merge(void *context)
{
    for (unsigned round = 0; !atomic_load(&stopping); round++) {
        uint8_t value[200];
        memset(value, (int)(round % 250), sizeof value);
        for (unsigned key = 0; key < 8; key++) {
            char name[16];
            snprintf(name, sizeof name, "same-%u", key);
            if (bitcask_put(db_of(shared), bitcask_str(name), bitcask_bytes(value, sizeof value),
                            NULL, NULL, NULL) != BITCASK_OK)
                abort();
        }
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.all = true;
        if (bitcask_merge(db_of(shared), &options, NULL, NULL) != BITCASK_OK)
            abort();
        epoch_poll(&shared->store->epoch);
    }
    return context;
}

static void views_are_sound_whoever_releases_them(void **state)
{
    (void)state;
    shared = begin();
    pthread_t readers[3], writer;
    for (unsigned key = 0; key < 8; key++) {
        char name[16];
        snprintf(name, sizeof name, "same-%u", key);
        assert_done(shared, bitcask_put(db_of(shared), bitcask_str(name), bitcask_str("aaaa"), NULL,
                                        NULL, &shared->error));
    }
    assert_int_equal(pthread_create(&writer, NULL, write_and_merge, NULL), 0);
    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, take_and_pass_on, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    atomic_store(&stopping, true);
    pthread_join(writer, NULL);
    for (unsigned i = 0; i < RING; i++) {
        bitcask_view *view = atomic_exchange(&ring[i], NULL);
        if (view != NULL)
            check_and_release(view);
    }
    settle(shared);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(stats_of(shared).pinned_segments, 0);
    end(shared);
}

#define ALONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(nothing_is_left_where_nothing_was_taken),
        ALONE(the_last_view_to_go_says_so_once),
        ALONE(nothing_is_over_before_the_grace_period),
        ALONE(views_of_threads_that_ended_count),
        ALONE(threads_without_a_line_release_too),
        ALONE(counts_grow_and_keep_what_they_counted),
        cmocka_unit_test(views_of_many_threads_hold_a_merged_segment),
        cmocka_unit_test(views_of_get_many_hold_a_merged_segment),
        cmocka_unit_test(views_without_memory_hold_a_merged_segment),
        cmocka_unit_test(views_of_a_snapshot_hold_a_merged_segment),
        cmocka_unit_test(views_are_sound_whoever_releases_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
