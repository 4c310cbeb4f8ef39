/* SPDX-License-Identifier: MIT
 * follow_test.c: a follower beside its writer, step by step. Invariants F1 to F4, scenario 24,
 * traps 9, 10, 13, 14. */
#include "../support/follow_fixture.h"

#include <errno.h>
#include <stdio.h>

#include "engine/background.h"
#include "engine/log_writer.h"
#include "engine/published.h"

struct pair {
    struct fixture w, f;
};

static void begin(struct pair *p)
{
    fixture_init(&p->w);
    p->w.options.merge_bytes_per_s = 0; /* the clock stands still: no wait would end */
    open_store(&p->w);
}

static void begin_followed(struct pair *p)
{
    begin(p);
    put(&p->w, "first", "1");
    start_follower(&p->f, &p->w);
}

static void end(struct pair *p)
{
    if (p->f.store != NULL)
        stop_follower(&p->f);
    uint64_t files = os_mem_open_files(p->w.os), maps = os_mem_live_maps(p->w.os);
    if (p->w.store != NULL)
        close_store(&p->w);
    assert_true(os_mem_open_files(p->w.os) <= files);
    assert_true(os_mem_live_maps(p->w.os) <= maps);
    assert_int_equal(os_mem_open_files(p->w.os), 0);
    assert_int_equal(os_mem_live_maps(p->w.os), 0);
    fixture_release(&p->w);
}

static bitcask_status write_one(struct pair *p, const char *key, const char *value,
                                bitcask_sync sync)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = sync;
    return bitcask_put(p->w.db, bitcask_str(key), bitcask_str(value), &options, NULL, &p->w.error);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void it_opens_beside_a_writer_and_changes_no_byte(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    put(&p.w, "a", "1");
    rotate(&p.w);
    put(&p.w, "b", "2");
    const uint32_t changing = 1u << OS_CALL_PWRITE | 1u << OS_CALL_ALLOCATE |
                              1u << OS_CALL_TRUNCATE | 1u << OS_CALL_RENAME | 1u << OS_CALL_LINK |
                              1u << OS_CALL_UNLINK | 1u << OS_CALL_SYNC | 1u << OS_CALL_SYNC_DIR |
                              1u << OS_CALL_MAKE_DIR | 1u << OS_CALL_LOCK;
    uint64_t before = os_mem_calls(p.w.os, changing);
    start_follower(&p.f, &p.w);
    check_value(&p.f, "a", "1");
    check_value(&p.f, "b", "2");
    refresh(&p.f);
    assert_int_equal(os_mem_calls(p.w.os, changing), before);
    stop_follower(&p.f);
    assert_int_equal(os_mem_calls(p.w.os, changing), before);
    end(&p);
}

static void it_opens_where_nobody_writes(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct pair p;
        begin(&p);
        put(&p.w, "a", "1");
        put_batch(&p.w, "b", 3);
        char *before = dump_store(&p.w);
        if (how == 0)
            close_store(&p.w);
        else
            abandon(&p.w);
        if (how == 2)
            delete_file(&p.w, NAME_PUBLISHED); /* nobody says how far: all that is good */
        start_follower(&p.f, &p.w);
        char *after = dump_store(&p.f);
        assert_string_equal(before, after);
        free(before);
        free(after);
        open_store(&p.w); /* it holds no lock */
        put(&p.w, "c", "3");
        check_level(&p.f, &p.w);
        end(&p);
    }
}

static void there_must_be_a_store(void **state)
{
    (void)state;
    struct pair p;
    fixture_init(&p.w);
    assert_int_equal(try_follow(&p.f, &p.w), BITCASK_NO_STORE);
    assert_false(has_file(&p.w, NAME_MANIFEST)); /* and it makes none */
    open_store(&p.w);
    put(&p.w, "a", "1");
    close_store(&p.w);
    flip_byte(&p.w, NAME_MANIFEST, 30);
    assert_int_equal(try_follow(&p.f, &p.w), BITCASK_CORRUPT);
    fixture_release(&p.w);
}

static void it_refuses_what_is_the_writers(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    bitcask *db = p.f.db;
    bitcask_error *error = &p.f.error;
    assert_int_equal(bitcask_put(db, bitcask_str("k"), bitcask_str("v"), NULL, NULL, error),
                     BITCASK_READ_ONLY);
    assert_int_equal(bitcask_sync_now(db, error), BITCASK_READ_ONLY);
    assert_int_equal(try_merge(&p.f, 1), BITCASK_READ_ONLY);
    assert_int_equal(bitcask_verify(db, NULL, NULL, error), BITCASK_INVALID);
    assert_int_equal(bitcask_backup(db, "elsewhere", NULL, NULL, error), BITCASK_INVALID);
    assert_int_equal(bitcask_refresh(p.w.db, NULL, &p.w.error), BITCASK_INVALID);
    end(&p);
}

/* ---- The log --------------------------------------------------------------------------------- */

static void it_shows_the_store_as_of_its_last_refresh(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    put(&p.w, "a", "1");
    check_missing(&p.f, "a");
    assert_int_equal(refresh(&p.f), 1);
    check_value(&p.f, "a", "1");
    put(&p.w, "a", "2");
    delete_key(&p.w, "first");
    check_value(&p.f, "a", "1");
    check_value(&p.f, "first", "1");
    assert_int_equal(refresh(&p.f), 2);
    check_value(&p.f, "a", "2");
    check_missing(&p.f, "first");
    assert_int_equal(refresh(&p.f), 0);
    assert_int_equal(reloads_of(&p.f), 0);
    end(&p);
}

static void batches_repeat_keys(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    for (int round = 0; round < 3; round++) {
        bitcask_batch *batch;
        bitcask_error *error = &p.w.error;
        assert_status_of(p.w.error, OK, bitcask_batch_new(&batch, error));
        const struct {
            const char *key, *value;
        } ops[] = {{"new", "1"},   {"new", "2"},  {"gone", "1"},   {"gone", NULL}, {"back", "1"},
                   {"back", NULL}, {"back", "2"}, {"first", NULL}, {"first", "2"}, {"first", "3"}};
        for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
            bitcask_slice key = bitcask_str(ops[i].key);
            assert_status_of(
                p.w.error, OK,
                ops[i].value == NULL
                    ? bitcask_batch_delete(batch, key, error)
                    : bitcask_batch_put(batch, key, bitcask_str(ops[i].value), 0, error));
        }
        assert_status_of(p.w.error, OK, bitcask_write(p.w.db, batch, NULL, NULL, error));
        bitcask_batch_free(batch);
        check_level(&p.f, &p.w);
        bitcask_stats ours = {.struct_size = sizeof ours}, theirs = {.struct_size = sizeof theirs};
        bitcask_get_stats(p.f.db, &ours);
        bitcask_get_stats(p.w.db, &theirs);
        assert_int_equal(ours.keys, theirs.keys);
        assert_int_equal(ours.live_bytes, theirs.live_bytes);
        assert_int_equal(ours.last_version, theirs.last_version);
    }
    end(&p);
}

static void it_reads_on_over_rotations(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct pair p;
        begin_followed(&p);
        for (int i = 0; i < 12; i++) {
            char key[16];
            snprintf(key, sizeof key, "key%d", i % 5);
            put_sized(&p.w, key, (char)('a' + i), 100);
            if (sealed)
                rotate(&p.w);
            else if (i % 3 == 2) { /* full, and not sealed yet */
                write_mutex_lock(&p.w.store->write_mutex);
                assert_status_of(p.w.error, OK, log_rotate(p.w.store, &p.w.error));
                write_mutex_unlock(&p.w.store->write_mutex);
            }
            if (i % 4 == 3)
                check_level(&p.f, &p.w);
        }
        check_level(&p.f, &p.w);
        assert_int_equal(reloads_of(&p.f), 0);
        end(&p);
    }
}

/* The log has gone on in another segment, in which nothing is yet; a group that writes nothing must
 * not say that this is where the log ends: what says how far the segment before it goes is not
 * there before its seal, or the first record behind it. */
static void what_was_read_ends_where_the_log_does_behind_a_rotation(void **state)
{
    (void)state;
    for (int opened = 0; opened < 2; opened++) {
        struct pair p;
        begin(&p);
        put(&p.w, "before", "1");
        if (opened)
            start_follower(&p.f, &p.w);
        put(&p.w, "a", "1");
        p.w.store->options.background = BITCASK_BACKGROUND_THREAD; /* which never comes to it */
        write_mutex_lock(&p.w.store->write_mutex);
        assert_status_of(p.w.error, OK, log_rotate(p.w.store, &p.w.error));
        write_mutex_unlock(&p.w.store->write_mutex);
        assert_int_equal(bitcask_delete(p.w.db, bitcask_str("no such key"), NULL, NULL, &p.w.error),
                         BITCASK_NOT_FOUND);
        if (opened)
            refresh(&p.f);
        else
            start_follower(&p.f, &p.w);
        check_value(&p.f, "a", "1");
        p.w.store->options.background = BITCASK_BACKGROUND_NONE;
        put(&p.w, "b", "1");
        check_level(&p.f, &p.w);
        end(&p);
    }
}

static void a_segment_larger_than_its_room_is_loaded_anew(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    put(&p.w, "a", "1");
    close_store(&p.w);
    p.w.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    start_follower(&p.f, &p.w); /* has room for as much */
    p.w.options.segment_size = 4 * BITCASK_MIN_SEGMENT_SIZE;
    open_store(&p.w);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        put_sized(&p.w, key, 'x', 2000);
    }
    check_level(&p.f, &p.w);
    assert_int_equal(reloads_of(&p.f), 1);
    end(&p);
}

/* F1. */
static void what_a_failed_write_leaves_behind_never_shows(void **state)
{
    (void)state;
    for (int sync = BITCASK_SYNC_NONE; sync <= BITCASK_SYNC_ALWAYS; sync += 2) {
        for (int mapped = 0; mapped < 2; mapped++) {
            for (uint64_t nth = 1; nth < 9; nth++) {
                struct pair p;
                begin_followed(&p);
                p.w.store->writer.mapped_writes = mapped;
                put(&p.w, "a", "1");
                os_mem_fail(p.w.os, 1u << OS_CALL_PWRITE | 1u << OS_CALL_SYNC, nth, 2, -EIO);
                bitcask_status status = write_one(&p, "a", "2", (bitcask_sync)sync);
                os_mem_fail(p.w.os, 0, 0, 1, 0);
                refresh(&p.f);
                check_value(&p.f, "a", status == BITCASK_OK ? "2" : "1");
                if (atomic_load(&p.w.store->write_status) != 0)
                    abandon(&p.w); /* its own reads of what is in doubt fail */
                else
                    check_equal(&p.f, &p.w);
                end(&p);
            }
        }
    }
}

/* ---- Every moment of the writer's ------------------------------------------------------------ */

struct moment {
    struct pair *p;
    uint64_t nth, calls; /* refresh before the nth call */
    bool running;
    bool alone;                       /* the writer is not to be asked */
    const char *key, *before, *after; /* of the write at hand; NULL: not there */
};

static bool shows(struct fixture *f, const char *key, const char *value)
{
    bitcask_buffer got = {0};
    bitcask_status status = read_key(f, key, &got);
    bool same = value == NULL ? status == BITCASK_NOT_FOUND
                              : status == BITCASK_OK && got.size == strlen(value) &&
                                    memcmp(got.data, value, got.size) == 0;
    bitcask_buffer_free(&got);
    return same;
}

static int refresh_before_call(void *context, enum os_mem_call call)
{
    struct moment *moment = context;
    (void)call;
    if (moment->running || ++moment->calls != moment->nth)
        return 0;
    moment->running = true;
    struct pair *p = moment->p;
    refresh(&p->f);
    bool after = shows(&p->f, moment->key, moment->after);
    if (!after && !shows(&p->f, moment->key, moment->before))
        fail_msg("at call %d the follower shows neither what was nor what is", (int)moment->nth);
    if (after && !moment->alone && !shows(&p->w, moment->key, moment->after))
        fail_msg("at call %d the follower is ahead of the writer", (int)moment->nth);
    check_value(&p->f, "other", "o");
    moment->running = false;
    return 0;
}

enum action {
    PUT_NONE,
    PUT_ALWAYS,
    OVERWRITE_LARGE,
    DELETE,
    BATCH,
    ROTATE,
    MERGE,
    CLOSE,
    REOPEN,
    KILL,
    ACTIONS
};

static void act(struct pair *p, enum action action)
{
    static char large[9000];
    memset(large, 'L', sizeof large - 1);
    switch (action) {
    case PUT_NONE:
    case PUT_ALWAYS:
        assert_status_of(p->w.error, OK,
                         write_one(p, "key", "new",
                                   action == PUT_NONE ? BITCASK_SYNC_NONE : BITCASK_SYNC_ALWAYS));
        return;
    case OVERWRITE_LARGE:
        put(&p->w, "key", large);
        return;
    case DELETE:
        delete_key(&p->w, "key");
        return;
    case BATCH:
        put_batch(&p->w, "key", 3);
        return;
    case ROTATE:
        rotate(&p->w);
        return;
    case MERGE:
        merge_everything(&p->w);
        return;
    case CLOSE:
        close_store(&p->w);
        open_store(&p->w);
        return;
    case REOPEN:
        close_store(&p->w);
        open_store(&p->w);
        put(&p->w, "another", "a");
        return;
    case KILL:
        abandon(&p->w);
        open_store(&p->w);
        return;
    case ACTIONS:
        break;
    }
}

static const char *after_action(enum action action)
{
    static char large[9000];
    memset(large, 'L', sizeof large - 1);
    return action == PUT_NONE || action == PUT_ALWAYS ? "new"
           : action == OVERWRITE_LARGE                ? large
           : action == DELETE                         ? NULL
                                                      : "old";
}

/* While the writer is closed nobody is to be compared with. */
static bool reopens(enum action action)
{
    return action == CLOSE || action == REOPEN || action == KILL;
}

static bool refresh_at(enum action action, bool mapped, uint64_t nth)
{
    struct pair p;
    begin(&p);
    p.w.store->writer.mapped_writes = mapped;
    put(&p.w, "other", "o");
    put(&p.w, "key", "older");
    rotate(&p.w);
    put(&p.w, "key", "old");
    put(&p.w, "dead", "1");
    delete_key(&p.w, "dead");
    start_follower(&p.f, &p.w);
    put(&p.w, "not yet read", "1");
    struct moment moment = {
        .p = &p, .nth = nth, .key = "key", .before = "old", .after = after_action(action)};
    moment.alone = reopens(action);
    os_mem_hook(p.w.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), refresh_before_call, &moment);
    act(&p, action);
    os_mem_hook(p.w.os, 0, NULL, NULL);
    check_level(&p.f, &p.w);
    put(&p.w, "at last", "1");
    check_level(&p.f, &p.w);
    end(&p);
    return moment.calls >= nth;
}

static void a_refresh_at_every_call_of_the_writer_is_right(void **state)
{
    (void)state;
    for (int action = 0; action < ACTIONS; action++) {
        for (int mapped = 0; mapped < 2; mapped++) {
            uint64_t nth = 1;
            while (refresh_at((enum action)action, mapped, nth))
                nth++;
        }
    }
}

/* ---- The writer goes on while a follower looks ------------------------------------------------
 */

struct meddling {
    struct pair *p;
    uint64_t nth, calls;
    bool running;
};

/* The log goes on in another segment, and the one before is not sealed yet. */
static int rotate_before_call(void *context, enum os_mem_call call)
{
    struct meddling *meddling = context;
    (void)call;
    if (meddling->running || ++meddling->calls != meddling->nth)
        return 0;
    meddling->running = true;
    struct fixture *w = &meddling->p->w;
    write_mutex_lock(&w->store->write_mutex);
    assert_int_equal(log_rotate(w->store, &w->error), BITCASK_OK);
    write_mutex_unlock(&w->store->write_mutex);
    put(w, "next", "1");
    meddling->running = false;
    return 0;
}

/* A manifest that was written while the next segment was being made: it counts its id, and does not
 * name it. */
static void save_while_preparing(struct store *store)
{
    bitcask_error error;
    write_mutex_lock(&store->write_mutex);
    store->segments.next_id++;
    assert_int_equal(store_save_manifest(store, false, &error), BITCASK_OK);
    store->segments.next_id--;
    write_mutex_unlock(&store->write_mutex);
}

static bool rotate_at(uint64_t nth)
{
    struct pair p;
    begin(&p);
    close_store(&p.w);
    p.w.options.background = BITCASK_BACKGROUND_THREAD;
    open_store(&p.w);
    background_stop(p.w.store); /* nobody seals */
    put(&p.w, "key", "old");
    start_follower(&p.f, &p.w);
    save_while_preparing(p.w.store);
    put(&p.w, "key", "new");
    struct meddling meddling = {.p = &p, .nth = nth};
    os_mem_hook(p.w.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), rotate_before_call, &meddling);
    refresh(&p.f);
    os_mem_hook(p.w.os, 0, NULL, NULL);
    check_value(&p.f, "key", "new");
    end(&p);
    return meddling.calls >= nth;
}

static void what_was_there_before_a_refresh_is_there_after_it(void **state)
{
    (void)state;
    uint64_t nth = 1;
    while (rotate_at(nth))
        nth++;
}

/* F6. */
static void look_while_it_is_loaded(void *context, const bitcask_log_event *event)
{
    struct pair *p = context;
    if (strcmp(event->name, "reloaded") != 0)
        return;
    check_value(&p->f, "seen", "1");
    check_missing(&p->f, "grown99");
    p->f.event_count = 1;
}

static void readers_are_not_taken_back_while_the_index_is_loaded_anew(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    put(&p.w, "a", "1");
    close_store(&p.w);
    p.w.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    follower_init(&p.f, &p.w);
    p.f.options.log = look_while_it_is_loaded;
    p.f.options.log_context = &p;
    assert_int_equal(try_open(&p.f), BITCASK_OK);
    p.f.event_count = 0;
    p.w.options.segment_size = 4 * BITCASK_MIN_SEGMENT_SIZE;
    open_store(&p.w);
    put(&p.w, "seen", "1");
    refresh(&p.f);
    check_value(&p.f, "seen", "1");
    for (int i = 0; i < 100; i++) { /* more than the follower has room for in that segment */
        char key[16];
        snprintf(key, sizeof key, "grown%d", i);
        put_sized(&p.w, key, 'x', 2000);
    }
    refresh(&p.f);
    assert_int_equal(p.f.event_count, 1);
    assert_int_equal(reloads_of(&p.f), 1);
    check_level(&p.f, &p.w);
    end(&p);
}

/* ---- Merges ---------------------------------------------------------------------------------- */

static void it_moves_with_a_merge(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    put_numbered(&p.w, "k", 0, 40, "1");
    rotate(&p.w);
    put_numbered(&p.w, "k", 10, 30, "2");
    rotate(&p.w);
    start_follower(&p.f, &p.w);
    bitcask_view view;
    assert_status_of(p.f.error, OK,
                     bitcask_get_view(p.f.db, NULL, bitcask_str("k5"), &view, &p.f.error));
    delete_key(&p.w, "k7");
    refresh(&p.f);
    merge_everything(&p.w);
    check_value(&p.f, "k5", "1"); /* its mappings outlive the files */
    check_level(&p.f, &p.w);
    assert_int_equal(reloads_of(&p.f), 0);
    assert_int_equal(view.value.size, 1);
    assert_memory_equal(view.value.data, "1", 1);
    bitcask_views_release(&view, 1);
    put(&p.w, "k5", "3");
    refresh(&p.f);
    delete_key(&p.w, "k8"); /* goes on in a segment that stays */
    merge_wasteful(&p.w);
    merge_wasteful(&p.w); /* twice before the next look */
    check_level(&p.f, &p.w);
    merge_everything(&p.w);
    check_level(&p.f, &p.w);
    assert_int_equal(reloads_of(&p.f), 0);
    refresh(&p.f);
    assert_int_equal(atomic_load(&p.f.store->segments.retired_count), 0);
    end(&p);
}

/* Scenario 24: the tombstone is gone before the follower has seen it. */
static void a_delete_that_was_merged_away_unseen_is_seen(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    put(&p.w, "deleted", "1");
    put(&p.w, "kept", "1");
    rotate(&p.w);
    start_follower(&p.f, &p.w);
    delete_key(&p.w, "deleted");
    put(&p.w, "unseen", "1");
    merge_everything(&p.w);
    merge_everything(&p.w);
    check_level(&p.f, &p.w);
    check_missing(&p.f, "deleted");
    check_value(&p.f, "unseen", "1");
    assert_int_equal(reloads_of(&p.f), 1);
    assert_int_equal(count_events(&p.f, "reloaded"), 1);
    end(&p);
}

static void what_a_merge_has_reaped_goes_from_the_index(void **state)
{
    (void)state;
    for (int snapshot = 0; snapshot < 2; snapshot++) {
        struct pair p;
        begin(&p);
        bitcask_write_options options;
        bitcask_write_options_init(&options);
        options.expires_us = p.w.os->clock_real(p.w.os) + 1000000;
        put_numbered(&p.w, "stays", 0, 5, "1");
        for (int i = 0; i < 300; i++) {
            char key[16];
            snprintf(key, sizeof key, "x%d", i);
            assert_status_of(p.w.error, OK,
                             bitcask_put(p.w.db, bitcask_str(key), bitcask_str("1"), &options, NULL,
                                         &p.w.error));
        }
        rotate(&p.w);
        start_follower(&p.f, &p.w);
        bitcask_snapshot *held = NULL;
        if (snapshot)
            assert_status_of(p.f.error, OK, bitcask_snapshot_new(p.f.db, &held, &p.f.error));
        assert_int_equal(keydir_count(p.f.store->keydir), 305);
        os_mem_advance_clock(p.w.os, 120 * 1000000ll);
        merge_everything(&p.w);
        check_level(&p.f, &p.w);
        assert_int_equal(keydir_count(p.f.store->keydir), 5);
        assert_int_equal(reloads_of(&p.f), 0);
        if (snapshot) { /* X6: what it has seen it goes on seeing */
            bitcask_read_options read;
            bitcask_read_options_init(&read);
            read.snapshot = held;
            bitcask_buffer value = {0};
            assert_status_of(
                p.f.error, OK,
                bitcask_get(p.f.db, &read, bitcask_str("x7"), &value, NULL, &p.f.error));
            bitcask_buffer_free(&value);
            bitcask_snapshot_free(held);
        }
        end(&p);
    }
}

static void what_is_evicted_goes(void **state)
{
    (void)state;
    struct pair p;
    fixture_init(&p.w);
    p.w.options.merge_bytes_per_s = 0;
    p.w.options.max_disk_bytes = 1 << 20;
    p.w.options.eviction = BITCASK_EVICT_OLDEST;
    open_store(&p.w);
    put(&p.w, "first", "1");
    start_follower(&p.f, &p.w);
    for (int i = 0; i < 1200; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        put_sized(&p.w, key, 'x', 2000);
        if (i % 97 == 0)
            check_level(&p.f, &p.w);
    }
    check_level(&p.f, &p.w);
    check_missing(&p.f, "first");
    assert_int_equal(keydir_count(p.f.store->keydir), keydir_count(p.w.store->keydir));
    end(&p);
}

static void snapshots_hold_up_loading_anew_and_nothing_else(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    put(&p.w, "a", "1");
    rotate(&p.w);
    start_follower(&p.f, &p.w);
    bitcask_snapshot *held;
    assert_status_of(p.f.error, OK, bitcask_snapshot_new(p.f.db, &held, &p.f.error));
    bitcask_read_options read;
    bitcask_read_options_init(&read);
    read.snapshot = held;
    put(&p.w, "a", "2");
    refresh(&p.f);
    check_value(&p.f, "a", "2");
    put(&p.w, "a", "3");
    merge_everything(&p.w);
    uint64_t changes;
    assert_status_of(p.f.error, BUSY, bitcask_refresh(p.f.db, &changes, &p.f.error));
    check_value(&p.f, "a", "2");
    bitcask_buffer value = {0};
    assert_status_of(p.f.error, OK,
                     bitcask_get(p.f.db, &read, bitcask_str("a"), &value, NULL, &p.f.error));
    assert_memory_equal(value.data, "1", 1);
    bitcask_buffer_free(&value);
    bitcask_snapshot_free(held);
    check_level(&p.f, &p.w);
    end(&p);
}

/* ---- The writer comes and goes --------------------------------------------------------------- */

static void it_follows_from_one_writer_to_the_next(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    for (int i = 0; i < 6; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        put(&p.w, key, "1");
        if (i % 2 == 0)
            refresh(&p.f);
        if (i % 3 == 0)
            abandon(&p.w);
        else
            close_store(&p.w);
        if (i % 2 == 1)
            refresh(&p.f);
        open_store(&p.w);
        put(&p.w, "again", key);
        check_level(&p.f, &p.w);
    }
    assert_int_equal(reloads_of(&p.f), 0);
    end(&p);
}

/* A device that has lost what it had: recovery cuts records off that were seen. */
static void what_recovery_cuts_off_goes(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    put(&p.w, "a", "old");
    sync_store(&p.w);
    uint64_t id = atomic_load(&p.w.store->writer.active)->id;
    put(&p.w, "note", "1"); /* with the SYNC record */
    uint64_t end_kept = p.w.store->writer.end;
    put(&p.w, "a", "new");
    put(&p.w, "b", "new");
    check_level(&p.f, &p.w);
    check_value(&p.f, "a", "new");
    abandon(&p.w);
    char name[NAME_SIZE];
    name_data(name, id);
    flip_byte(&p.w, name, end_kept + 5);
    open_store(&p.w);
    check_value(&p.w, "a", "old");
    check_level(&p.f, &p.w);
    check_missing(&p.f, "b");
    assert_int_equal(reloads_of(&p.f), 1);
    put(&p.w, "b", "newest");
    check_level(&p.f, &p.w);
    end(&p);
}

/* X5 */
static void a_batch_with_a_damaged_record_does_not_show_in_part(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    uint64_t id = atomic_load(&p.w.store->writer.active)->id;
    put_batch(&p.w, "batch", 4);
    char name[NAME_SIZE];
    name_data(name, id);
    flip_byte(&p.w, name, p.w.store->writer.end - 1); /* of the last value */
    refresh(&p.f);
    for (int i = 0; i < 4; i++) {
        char key[16];
        snprintf(key, sizeof key, "batch%d", i);
        check_missing(&p.f, key);
    }
    check_value(&p.f, "first", "1");
    assert_true(follow_look(p.f.store).lag_bytes > 0);
    abandon(&p.w); /* closing would notice */
    end(&p);
}

static void it_follows_through_a_rescue(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    put(&p.w, "a", "1");
    sync_store(&p.w);
    put(&p.w, "a", "2");
    put(&p.w, "b", "2");
    refresh(&p.f);
    put(&p.w, "c", "2");
    os_mem_fail(p.w.os, 1u << OS_CALL_SYNC, 1, 1, -EIO);
    assert_int_equal(bitcask_sync_now(p.w.db, &p.w.error), BITCASK_UNKNOWN);
    assert_int_equal(count_events(&p.w, "rescued"), 1);
    check_level(&p.f, &p.w);
    put(&p.w, "d", "3");
    check_level(&p.f, &p.w);
    end(&p);
}

static void empty_file(struct fixture *f, uint64_t id)
{
    char name[NAME_SIZE], path[OS_PATH_MAX];
    struct os_file *file;
    name_data(name, id);
    segments_path(&f->store->segments, path, name);
    assert_int_equal(f->os->open(f->os, path, OS_READ | OS_WRITE, &file), 0);
    assert_int_equal(f->os->truncate(f->os, file, 0), 0);
    assert_int_equal(f->os->close(f->os, file), 0);
}

/* F5: on a real disk a reader of a mapping would die here. */
static void what_was_seen_of_the_log_outlives_a_cut(void **state)
{
    (void)state;
    for (int cleanly_closed = 0; cleanly_closed < 2; cleanly_closed++) {
        struct pair p;
        begin(&p);
        put(&p.w, "a", "1");
        uint64_t id = atomic_load(&p.w.store->writer.active)->id;
        if (cleanly_closed)
            close_store(&p.w);
        start_follower(&p.f, &p.w);
        if (!cleanly_closed) {
            put(&p.w, "a", "2");
            refresh(&p.f);
        }
        empty_file(&p.f, id);
        check_value(&p.f, "a", cleanly_closed ? "1" : "2");
        if (!cleanly_closed)
            abandon(&p.w);
        end(&p);
    }
}

static bool is_copied(struct fixture *f, uint64_t id)
{
    size_t count;
    struct segment **all = segments_pin_all(&f->store->segments, &count);
    bool copied = false, found = false;
    for (size_t i = 0; i < count; i++) {
        found = found || all[i]->id == id;
        copied = copied || (all[i]->id == id && all[i]->copied);
    }
    segments_unpin_all(all, count);
    assert_true(found);
    return copied;
}

static void a_segment_is_mapped_once_it_is_sealed(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    uint64_t id = atomic_load(&p.w.store->writer.active)->id;
    put_batch(&p.w, "batch", 4);
    put(&p.w, "gone", "1");
    put(&p.w, "seen", "1");
    delete_key(&p.w, "gone");
    refresh(&p.f);
    assert_true(is_copied(&p.f, id));
    bitcask_view view;
    bitcask_snapshot *held;
    bitcask_read_options read;
    bitcask_read_options_init(&read);
    assert_status_of(p.f.error, OK, bitcask_snapshot_new(p.f.db, &held, &p.f.error));
    assert_status_of(p.f.error, OK,
                     bitcask_get_view(p.f.db, NULL, bitcask_str("seen"), &view, &p.f.error));
    put(&p.w, "seen", "2");
    rotate(&p.w);
    put(&p.w, "first", "2");
    check_level(&p.f, &p.w);
    assert_false(is_copied(&p.f, id));
    assert_int_equal(reloads_of(&p.f), 0);
    bitcask_stats ours = {.struct_size = sizeof ours}, theirs = {.struct_size = sizeof theirs};
    bitcask_get_stats(p.f.db, &ours);
    bitcask_get_stats(p.w.db, &theirs);
    assert_int_equal(ours.keys, theirs.keys);
    assert_int_equal(ours.live_bytes, theirs.live_bytes);
    assert_memory_equal(view.value.data, "1", 1);
    bitcask_views_release(&view, 1);
    read.snapshot = held;
    bitcask_buffer value = {0};
    assert_status_of(p.f.error, OK,
                     bitcask_get(p.f.db, &read, bitcask_str("seen"), &value, NULL, &p.f.error));
    assert_memory_equal(value.data, "1", 1);
    bitcask_buffer_free(&value);
    bitcask_snapshot_free(held);
    merge_everything(&p.w);
    check_level(&p.f, &p.w);
    end(&p);
}

static void a_store_that_is_destroyed_or_replaced_is_told(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    close_store(&p.w);
    delete_file(&p.w, NAME_MANIFEST);
    assert_int_equal(bitcask_refresh(p.f.db, NULL, &p.f.error), BITCASK_NO_STORE);
    check_value(&p.f, "first", "1");
    size_t count;
    char **names = list_files(&p.w, NULL, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], NAME_QUARANTINE) != 0)
            delete_file(&p.w, names[i]);
    free_list(names, count);
    open_store(&p.w);
    put(&p.w, "other", "store");
    assert_int_equal(bitcask_refresh(p.f.db, NULL, &p.f.error), BITCASK_DIVERGED);
    check_value(&p.f, "first", "1");
    end(&p);
}

/* ---- Faults ---------------------------------------------------------------------------------- */

static void make_work(struct pair *p)
{
    put_batch(&p->w, "batch", 4);
    put(&p->w, "first", "2");
    delete_key(&p->w, "first");
    rotate(&p->w);
    put_numbered(&p->w, "k", 0, 10, "2");
    merge_everything(&p->w);
    put(&p->w, "last", "1");
}

/* Whatever call fails, nothing of it is left when it does not fail any more; and the writer does
 * not notice. */
static void a_call_that_fails_is_made_up_for(void **state)
{
    (void)state;
    for (int gap = 0; gap < 2; gap++) {
        for (int kind = 0; kind < 2; kind++) {
            uint32_t kinds = kind == 0 ? 1u << OS_CALL_ALLOC : ~(1u << OS_CALL_ALLOC);
            bool came = true;
            for (uint64_t nth = 1; came; nth++) {
                struct pair p;
                begin_followed(&p);
                put_numbered(&p.w, "k", 0, 20, "1");
                rotate(&p.w);
                refresh(&p.f);
                if (!gap) {
                    make_work(&p);
                } else {
                    put(&p.w, "unseen", "1");
                    make_work(&p);
                    make_work(&p);
                }
                uint64_t before = os_mem_calls(p.w.os, kinds);
                os_mem_fail(p.w.os, kinds, nth, 1, -EIO);
                bitcask_status status = bitcask_refresh(p.f.db, NULL, &p.f.error);
                came = os_mem_calls(p.w.os, kinds) - before >= nth;
                os_mem_fail(p.w.os, 0, 0, 1, 0);
                if (status != BITCASK_OK)
                    assert_true(status == BITCASK_IO || status == BITCASK_NO_MEMORY);
                check_level(&p.f, &p.w);
                put(&p.w, "after", "1");
                check_level(&p.f, &p.w);
                end(&p);
            }
        }
    }
}

static void an_open_that_fails_leaves_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        uint32_t kinds = kind == 0 ? 1u << OS_CALL_ALLOC : ~(1u << OS_CALL_ALLOC);
        bool came = true;
        for (uint64_t nth = 1; came; nth++) {
            struct pair p;
            begin(&p);
            make_work(&p);
            uint64_t files = os_mem_open_files(p.w.os), maps = os_mem_live_maps(p.w.os);
            uint64_t before = os_mem_calls(p.w.os, kinds);
            os_mem_fail(p.w.os, kinds, nth, 1, -EIO);
            bitcask_status status = try_follow(&p.f, &p.w);
            came = os_mem_calls(p.w.os, kinds) - before >= nth;
            os_mem_fail(p.w.os, 0, 0, 1, 0);
            if (status == BITCASK_OK) {
                check_equal(&p.f, &p.w);
                stop_follower(&p.f);
            }
            assert_int_equal(os_mem_open_files(p.w.os), files);
            assert_int_equal(os_mem_live_maps(p.w.os), maps);
            end(&p);
        }
    }
}

static void the_lag_is_what_was_written_since(void **state)
{
    (void)state;
    struct pair p;
    begin_followed(&p);
    assert_int_equal(follow_look(p.f.store).lag_bytes, 0);
    uint64_t before = p.w.store->writer.end;
    put(&p.w, "a", "1");
    assert_int_equal(follow_look(p.f.store).lag_bytes, p.w.store->writer.end - before);
    rotate(&p.w);
    put(&p.w, "b", "1");
    assert_true(follow_look(p.f.store).lag_bytes > p.w.store->writer.end - before);
    refresh(&p.f);
    assert_int_equal(follow_look(p.f.store).lag_bytes, 0);
    end(&p);
}

/* ---- An index that is full ------------------------------------------------------------------- */

/* A batch shows as a whole or not, here as well: none of it while there is no room for all. */
static void a_batch_that_the_index_has_no_room_for_is_not_seen(void **state)
{
    (void)state;
    struct fixture writer, follower;
    fixture_init(&writer);
    open_store(&writer);
    put(&writer, "before", "b");
    start_follower(&follower, &writer);
    struct keydir *keydir = follower.store->keydir;
    put_batch(&writer, "more", 3000);
    for (int try = 0; try < 2; try++) {
        keydir->options.max_bytes = 1;
        assert_status_of(follower.error, LIMIT,
                         bitcask_refresh(follower.db, NULL, &follower.error));
        check_missing(&follower, "more0");
        check_missing(&follower, "more2999");
        check_value(&follower, "before", "b");
    }
    keydir->options.max_bytes = 0;
    refresh(&follower);
    check_value(&follower, "more2999", "more2999");
    check_equal(&follower, &writer);
    stop_follower(&follower);
    fixture_release(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_the_index_has_no_room_for_is_not_seen),
        cmocka_unit_test(it_opens_beside_a_writer_and_changes_no_byte),
        cmocka_unit_test(it_opens_where_nobody_writes),
        cmocka_unit_test(there_must_be_a_store),
        cmocka_unit_test(it_refuses_what_is_the_writers),
        cmocka_unit_test(it_shows_the_store_as_of_its_last_refresh),
        cmocka_unit_test(batches_repeat_keys),
        cmocka_unit_test(it_reads_on_over_rotations),
        cmocka_unit_test(what_was_read_ends_where_the_log_does_behind_a_rotation),
        cmocka_unit_test(a_segment_larger_than_its_room_is_loaded_anew),
        cmocka_unit_test(what_a_failed_write_leaves_behind_never_shows),
        cmocka_unit_test(a_refresh_at_every_call_of_the_writer_is_right),
        cmocka_unit_test(what_was_there_before_a_refresh_is_there_after_it),
        cmocka_unit_test(readers_are_not_taken_back_while_the_index_is_loaded_anew),
        cmocka_unit_test(it_moves_with_a_merge),
        cmocka_unit_test(a_delete_that_was_merged_away_unseen_is_seen),
        cmocka_unit_test(what_a_merge_has_reaped_goes_from_the_index),
        cmocka_unit_test(what_is_evicted_goes),
        cmocka_unit_test(snapshots_hold_up_loading_anew_and_nothing_else),
        cmocka_unit_test(it_follows_from_one_writer_to_the_next),
        cmocka_unit_test(what_recovery_cuts_off_goes),
        cmocka_unit_test(a_batch_with_a_damaged_record_does_not_show_in_part),
        cmocka_unit_test(it_follows_through_a_rescue),
        cmocka_unit_test(what_was_seen_of_the_log_outlives_a_cut),
        cmocka_unit_test(a_segment_is_mapped_once_it_is_sealed),
        cmocka_unit_test(a_store_that_is_destroyed_or_replaced_is_told),
        cmocka_unit_test(a_call_that_fails_is_made_up_for),
        cmocka_unit_test(an_open_that_fails_leaves_nothing),
        cmocka_unit_test(the_lag_is_what_was_written_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
