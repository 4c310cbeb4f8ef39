/* SPDX-License-Identifier: MIT
 * schedule_threads_test.c: the scheduler's thread among writers, readers and somebody who pauses,
 * resumes, cancels, merges, verifies and changes the budget; and closing while it is at work. Run
 * under ThreadSanitizer as well.
 *
 * Nothing here waits for time to pass: what has to happen is waited for. */
#include "support/merge_fixture.h"

#include <sched.h>

enum { WRITERS = 2, SHARED_KEYS = 64, WRITES = 2000, JOBS = 4, VALUE_SIZE = 700 };

static struct fixture *fixture;
static _Atomic unsigned writers_left;
static _Atomic bool enough; /* jobs have been done: the writers may end */

static struct fixture *begin_real(void)
{
    struct fixture *f = fixture_new();
    os_mem_free(f->os);
    f->os = os_mem_new(&(struct os_mem_options){.durable_images = true, .real_clock = true});
    f->options.background = BITCASK_BACKGROUND_THREAD;
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    f->options.merge_delay_ms = 0;
    f->options.merge_bytes_per_s = 0;
    assert_done(f, try_open(f));
    return f;
}

static void fail_unless(bool good, const char *what, const bitcask_error *error)
{
    if (!good) {
        fprintf(stderr, "%s: %s\n", what, error->message);
        abort();
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Each writer has its own keys, and reads what it wrote. */
static void *write_keys(void *context)
{
    unsigned writer = (unsigned)(uintptr_t)context;
    uint64_t random = writer + 1;
    for (uint32_t write = 1; write <= WRITES || !atomic_load(&enough); write++) {
        unsigned key =
            (unsigned)(next_random(&random) % (SHARED_KEYS / WRITERS)) * WRITERS + writer;
        char text[32], value[VALUE_SIZE];
        bitcask_error error = {0};
        bitcask_slice name = bitcask_bytes(text, key_text(text, key));
        bool gone = next_random(&random) % 8 == 0;
        value_fill(value, sizeof value, key, write);
        bitcask_status status =
            gone ? bitcask_delete(db_of(fixture), name, NULL, NULL, &error)
                 : bitcask_put(db_of(fixture), name, bitcask_bytes(value, sizeof value), NULL, NULL,
                               &error);
        fail_unless(status >= 0, "write", &error);
        fixture->model[key] = gone ? 0 : write;
        bitcask_view view;
        status = bitcask_get_view(db_of(fixture), NULL, name, &view, &error);
        fail_unless(status == (gone ? BITCASK_NOT_FOUND : BITCASK_OK), "read", &error);
        fail_unless(gone || memcmp(view.value.data, value, sizeof value) == 0, "value", &error);
        bitcask_views_release(&view, 1);
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void *read_keys(void *context)
{
    uint64_t random = (uintptr_t)context + 100;
    while (atomic_load(&writers_left) > 0) {
        char text[32];
        unsigned key = (unsigned)(next_random(&random) % SHARED_KEYS);
        bitcask_error error = {0};
        bitcask_buffer value = {0};
        bitcask_status status = bitcask_get(
            db_of(fixture), NULL, bitcask_bytes(text, key_text(text, key)), &value, NULL, &error);
        fail_unless(status >= 0, "read", &error);
        bitcask_buffer_free(&value);
    }
    return NULL;
}

/* Every way to meddle, over and over. Leaves it running, and sees to it that it gets somewhere. */
static void *meddle(void *context)
{
    (void)context;
    bitcask *db = db_of(fixture);
    bitcask_error error = {0};
    for (unsigned round = 0; atomic_load(&writers_left) > 0; round++) {
        bitcask_status status = BITCASK_OK;
        switch (round % 8) {
        case 0:
            status = bitcask_merge_pause(db, &error);
            break;
        case 1:
            status = bitcask_merge_set_rate(db, 1 << 20, &error);
            break;
        case 2: /* a job that is paused is in the way */
            status = bitcask_merge(db, NULL, NULL, &error);
            break;
        case 3:
            status = bitcask_merge_resume(db, &error);
            break;
        case 4:
            status = verify_run(fixture->store, print_finding, NULL, NULL, &error);
            break;
        case 5:
            status = bitcask_merge_set_rate(db, 0, &error);
            break;
        case 6:
            if (round < 16) /* the scheduler rests for a minute then */
                status = bitcask_merge_cancel(db, &error);
            break;
        default:
            (void)stats_of(fixture);
        }
        fail_unless(status == BITCASK_OK || status == BITCASK_CANCELLED, "meddling", &error);
        if (stats_of(fixture).merges >= JOBS)
            atomic_store(&enough, true);
    }
    return NULL;
}

static void it_works_among_writers_readers_and_meddlers(void **state)
{
    (void)state;
    struct fixture *f = fixture = begin_real();
    pthread_t threads[WRITERS + 2];
    atomic_store(&writers_left, WRITERS);
    atomic_store(&enough, false);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_keys, (void *)(uintptr_t)i);
    pthread_create(&threads[WRITERS], NULL, read_keys, NULL);
    pthread_create(&threads[WRITERS + 1], NULL, meddle, NULL);
    for (unsigned i = 0; i < WRITERS + 2; i++)
        pthread_join(threads[i], NULL);
    assert_model(f);
    assert_sound(f);
    reopen(f);
    assert_model(f);
    assert_sound(f);
    end(f);
}

/* Nobody asks for a merge: the thread does it by itself. */
static void it_merges_by_itself(void **state)
{
    (void)state;
    struct fixture *f = begin_real();
    for (unsigned round = 0; stats_of(f).merges < 2; round++) {
        put_range(f, 0, 100);
        sched_yield();
    }
    assert_model(f);
    end(f);
}

static void closing_gives_up_the_job_that_runs(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        struct fixture *f = begin_real();
        if (round % 2 == 1) /* it waits for its budget: a job of a minute */
            assert_done(f, bitcask_merge_set_rate(db_of(f), 1000, &f->error));
        while (stats_of(f).merge_total_bytes == 0)
            put_range(f, 0, 100);
        if (round % 4 >= 2)
            assert_done(f, bitcask_merge_pause(db_of(f), &f->error));
        reopen(f);
        assert_model(f);
        assert_sound(f);
        end(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_merges_by_itself),
        cmocka_unit_test(closing_gives_up_the_job_that_runs),
        cmocka_unit_test(it_works_among_writers_readers_and_meddlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
