/* SPDX-License-Identifier: MIT
 * feed_test.c: every change once, in order, or a word that it cannot be. Invariants C1 and C2,
 * scenario 24. */
#include "../support/follow_fixture.h"

#include <errno.h>
#include <stdio.h>

#include "engine/feed.h"
#include "engine/follow_internal.h"
#include "engine/log_writer.h"

/* A reader of a feed and what it has been given: "+key=value -key [+key=value +key=value] ". */
struct reader {
    struct fixture *store;
    bitcask_feed *feed;
    char position[BITCASK_POSITION_SIZE];
    char *text;
    size_t size;
    uint64_t version;
    bool in_batch;
};

static bitcask_status try_start(struct reader *r, struct fixture *store, const char *from,
                                const char *prefix)
{
    r->store = store;
    r->in_batch = false;
    return bitcask_feed_new(store->db, from, bitcask_str(prefix), &r->feed, &store->error);
}

static void start(struct reader *r, struct fixture *store, const char *from)
{
    memset(r, 0, sizeof *r);
    assert_status_of(store->error, OK, try_start(r, store, from, ""));
    bitcask_feed_position(r->feed, r->position);
}

static void add_text(struct reader *r, const char *format, ...)
{
    char piece[256];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    assert_true(size < (int)sizeof piece);
    r->text = realloc(r->text, r->size + (size_t)size + 1);
    assert_non_null(r->text);
    memcpy(r->text + r->size, piece, (size_t)size + 1);
    r->size += (size_t)size;
}

/* Take at most `most` changes. Returns what the feed said last. */
static bitcask_status take(struct reader *r, int most)
{
    bitcask_status status = BITCASK_OK;
    for (int i = 0; i < most; i++) {
        bitcask_change change;
        status = bitcask_feed_next(r->feed, &change, &r->store->error);
        if (status != BITCASK_OK)
            return status;
        if (change.meta.version <= r->version)
            fail_msg("version %llu behind %llu", (unsigned long long)change.meta.version,
                     (unsigned long long)r->version);
        r->version = change.meta.version;
        add_text(r, "%s%c%.*s%s%.*s%s ", !r->in_batch && change.more ? "[" : "",
                 change.kind == BITCASK_CHANGE_PUT ? '+' : '-', (int)change.key.size,
                 (const char *)change.key.data, change.kind == BITCASK_CHANGE_PUT ? "=" : "",
                 change.value.size < 32 ? (int)change.value.size : 0,
                 (const char *)change.value.data, r->in_batch && !change.more ? "]" : "");
        r->in_batch = change.more;
        bitcask_feed_position(r->feed, r->position);
    }
    return status;
}

static void stop(struct reader *r)
{
    bitcask_feed_free(r->feed);
    r->feed = NULL;
}

/* Stop, and go on from the position elsewhere or here. */
static void resume(struct reader *r, struct fixture *store)
{
    stop(r);
    assert_status_of(store->error, OK, try_start(r, store, r->position, ""));
}

static void expect(struct reader *r, const char *text)
{
    assert_int_equal(take(r, 10000), BITCASK_END);
    assert_string_equal(r->text == NULL ? "" : r->text, text);
    free(r->text);
    r->text = NULL;
    r->size = 0;
}

static void begin(struct fixture *w)
{
    fixture_init(w);
    w->options.merge_bytes_per_s = 0;
    open_store(w);
}

static void write_batch(struct fixture *w)
{
    bitcask_batch *batch;
    assert_status_of(w->error, OK, bitcask_batch_new(&batch, &w->error));
    const char *const keys[] = {"user:1", "item:1", "user:2", "item:2"};
    for (size_t i = 0; i < 4; i++)
        assert_status_of(
            w->error, OK,
            bitcask_batch_put(batch, bitcask_str(keys[i]), bitcask_str("b"), 0, &w->error));
    assert_status_of(w->error, OK, bitcask_write(w->db, batch, NULL, NULL, &w->error));
    bitcask_batch_free(batch);
}

static void it_gives_each_change_in_order(void **state)
{
    (void)state;
    struct fixture w;
    begin(&w);
    struct reader r;
    start(&r, &w, "start");
    expect(&r, "");
    put(&w, "a", "1");
    put(&w, "b", "1");
    put(&w, "a", "2");
    delete_key(&w, "b");
    expect(&r, "+a=1 +b=1 +a=2 -b ");
    expect(&r, "");
    sync_store(&w); /* the SYNC record that follows is none */
    write_batch(&w);
    expect(&r, "[+user:1=b +item:1=b +user:2=b +item:2=b] ");
    stop(&r);
    fixture_release(&w);
}

static void a_prefix_keeps_batches_together(void **state)
{
    (void)state;
    struct fixture w;
    begin(&w);
    const struct {
        const char *prefix, *text;
    } cases[] = {{"user:", "[+user:1=b +user:2=b] "}, {"user:1", "+user:1=b "}, {"x", ""}};
    write_batch(&w);
    put(&w, "zone", "1");
    for (size_t i = 0; i < 3; i++) {
        struct reader r = {0};
        assert_status_of(w.error, OK, try_start(&r, &w, "start", cases[i].prefix));
        expect(&r, cases[i].text);
        stop(&r);
    }
    fixture_release(&w);
}

static void where_it_starts(void **state)
{
    (void)state;
    struct fixture w;
    begin(&w);
    put(&w, "a", "1");
    rotate(&w);
    put(&w, "b", "1");
    struct reader now, later, oldest;
    start(&now, &w, "now");
    put(&w, "c", "1");
    start(&later, &w, now.position);
    start(&oldest, &w, "oldest");
    expect(&now, "+c=1 ");
    expect(&later, "+c=1 ");
    expect(&oldest, "+a=1 +b=1 +c=1 ");
    stop(&later);
    stop(&oldest);
    put(&w, "a", "2");
    merge_wasteful(&w); /* takes the first segment */
    start(&oldest, &w, "oldest");
    expect(&oldest, "+b=1 +c=1 +a=2 ");
    assert_int_equal(try_start(&later, &w, "start", ""), BITCASK_GAP);
    assert_null(later.feed);
    expect(&now, "+a=2 ");
    stop(&now);
    stop(&oldest);
    fixture_release(&w);
}

static void a_store_without_a_log_starts_now(void **state)
{
    (void)state;
    static const char *const from[] = {"start", "oldest", "now"};
    for (size_t i = 0; i < 3; i++) {
        struct fixture w;
        begin(&w);
        struct reader r;
        start(&r, &w, from[i]);
        put(&w, "a", "1");
        resume(&r, &w);
        expect(&r, "+a=1 ");
        stop(&r);
        fixture_release(&w);
    }
}

static void it_goes_on_over_rotations_merges_and_restarts(void **state)
{
    (void)state;
    for (int kill = 0; kill < 2; kill++) {
        struct fixture w;
        begin(&w);
        struct reader r;
        start(&r, &w, "start");
        for (int i = 0; i < 12; i++) {
            char value[8], text[64];
            snprintf(value, sizeof value, "%d", i);
            put(&w, "key", value);
            put(&w, "other", value);
            snprintf(text, sizeof text, "+key=%d +other=%d ", i, i);
            if (i % 3 == 0)
                rotate(&w);
            expect(&r, text); /* all of it, or the merge would take it */
            if (i % 4 == 1)
                merge_everything(&w);
            if (i % 4 == 2) {
                stop(&r);
                if (kill)
                    kill_9(&w);
                else
                    close_store(&w);
                open_store(&w);
                assert_status_of(w.error, OK, try_start(&r, &w, r.position, ""));
            }
            if (i % 2 == 0)
                resume(&r, &w);
        }
        stop(&r);
        fixture_release(&w);
    }
}

static void it_can_be_resumed_behind_every_change(void **state)
{
    (void)state;
    struct fixture w;
    begin(&w);
    struct reader whole, part;
    for (int i = 0; i < 5; i++) {
        write_batch(&w);
        put(&w, "a", "1");
        delete_key(&w, "a");
        if (i % 2 == 0)
            rotate(&w);
        sync_store(&w);
    }
    start(&whole, &w, "start");
    assert_int_equal(take(&whole, 1000), BITCASK_END);
    for (int steps = 0; steps <= 30; steps++) {
        start(&part, &w, "start");
        assert_int_equal(take(&part, steps), BITCASK_OK);
        bool in_batch = part.in_batch;
        resume(&part, &w);
        part.in_batch = in_batch;
        assert_int_equal(take(&part, 1000), BITCASK_END);
        assert_string_equal(part.text, whole.text);
        free(part.text);
        stop(&part);
    }
    free(whole.text);
    stop(&whole);
    fixture_release(&w);
}

static void what_a_merge_has_taken_unread_is_a_gap(void **state)
{
    (void)state;
    for (int live = 0; live < 2; live++) {
        struct fixture w;
        begin(&w);
        struct reader r;
        put(&w, "a", "1");
        start(&r, &w, "start");
        expect(&r, "+a=1 ");
        if (!live)
            stop(&r);
        put(&w, "gone", "1");
        delete_key(&w, "gone");
        rotate(&w);
        put(&w, "b", "1");
        merge_everything(&w);
        if (live) {
            /* It stands in the first segment, whose bytes it holds; but "b" is in none. */
            bitcask_change change;
            assert_int_equal(take(&r, 10), BITCASK_GAP);
            assert_int_equal(bitcask_feed_next(r.feed, &change, &w.error), BITCASK_GAP);
            stop(&r);
            free(r.text);
        } else {
            assert_int_equal(try_start(&r, &w, r.position, ""), BITCASK_GAP);
        }
        fixture_release(&w);
    }
}

static void positions_that_are_none_are_refused(void **state)
{
    (void)state;
    struct fixture w, other;
    begin(&w);
    put(&w, "a", "1");
    struct reader r;
    start(&r, &w, "now");
    char good[BITCASK_POSITION_SIZE], bad[BITCASK_POSITION_SIZE + 8];
    bitcask_feed_position(r.feed, good);
    stop(&r);
    static const char *const nonsense[] = {
        "",
        "b1-",
        "then",
        "b1-1-2-3-4-5",
        "b2-0000000000000001-1-2-3-00000000",
        "NOW",
        "b1-00000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        assert_int_equal(try_start(&r, &w, nonsense[i], ""), BITCASK_INVALID);
    for (size_t i = 0; i <= strlen(good); i++) { /* any other character, one more, one less */
        strcpy(bad, good);
        bad[i] = bad[i] == '7' ? '8' : '7';
        if (i == strlen(good))
            bad[i + 1] = '\0';
        assert_int_equal(try_start(&r, &w, bad, ""), BITCASK_INVALID);
        strcpy(bad, good);
        bad[i] = '\0';
        if (i < strlen(good))
            assert_int_equal(try_start(&r, &w, bad, ""), BITCASK_INVALID);
    }
    begin(&other);
    put(&other, "a", "1");
    put(&other, "b", "1");
    other.store->segments.store_id[0] ^= 1; /* all disks in memory are dealt the same ids */
    assert_int_equal(try_start(&r, &other, good, ""), BITCASK_DIVERGED);
    other.store->segments.store_id[0] ^= 1;
    other.store->fork_id[3] ^= 1;
    assert_int_equal(try_start(&r, &other, good, ""), BITCASK_DIVERGED);
    other.store->fork_id[3] ^= 1;
    fixture_release(&other);
    fixture_release(&w);
}

/* A power cut takes back what `none` has acknowledged. */
static void a_change_that_was_taken_back_is_told(void **state)
{
    (void)state;
    for (int merged = 0; merged < 2; merged++) {
        for (int later = 0; later < 2; later++) {
            struct fixture w;
            begin(&w);
            struct reader r;
            start(&r, &w, "start");
            put_durably(&w, "a", "1");
            put(&w, "b", "1");
            expect(&r, "+a=1 +b=1 ");
            stop(&r);
            crash(&w);
            open_store(&w);
            check_missing(&w, "b");
            if (later)
                put(&w, "c", "1");
            if (merged)
                merge_everything(&w);
            assert_int_equal(try_start(&r, &w, r.position, ""),
                             merged && later ? BITCASK_GAP : BITCASK_DIVERGED);
            fixture_release(&w);
        }
    }
}

static void what_a_rescue_copies_comes_once(void **state)
{
    (void)state;
    for (int resumed = 0; resumed < 2; resumed++) {
        struct fixture w;
        begin(&w);
        struct reader r;
        start(&r, &w, "start");
        put_durably(&w, "a", "1");
        put(&w, "b", "1");
        write_batch(&w);
        assert_int_equal(take(&r, 4), BITCASK_OK); /* into the batch */
        os_mem_fail(w.os, 1u << OS_CALL_SYNC, 1, 1, -EIO);
        assert_int_equal(bitcask_sync_now(w.db, &w.error), BITCASK_UNKNOWN);
        put(&w, "c", "1");
        if (resumed)
            resume(&r, &w);
        r.in_batch = true;
        expect(&r, "+a=1 +b=1 [+user:1=b +item:1=b +user:2=b +item:2=b] +c=1 ");
        stop(&r);
        fixture_release(&w);
    }
}

static void a_damaged_record_stops_it(void **state)
{
    (void)state;
    struct fixture w;
    begin(&w);
    put(&w, "a", "1");
    uint64_t offset = w.store->writer.end;
    put(&w, "b", "1");
    put(&w, "c", "1");
    close_store(&w);
    flip_byte(&w, "000000001.data", offset + 20);
    open_store(&w);
    struct reader r;
    start(&r, &w, "start");
    assert_int_equal(take(&r, 10), BITCASK_CORRUPT);
    assert_int_equal(w.error.offset, offset);
    assert_string_equal(r.text, "+a=1 ");
    assert_int_equal(take(&r, 10), BITCASK_CORRUPT);
    free(r.text);
    stop(&r);
    fixture_release(&w);
}

/* F1 for feeds: what is in the log and not yet visible is not given. */
struct peek {
    struct reader r;
    bool running, ahead;
};

static int peek_before_call(void *context, enum os_mem_call call)
{
    struct peek *peek = context;
    (void)call;
    if (peek->running)
        return 0;
    peek->running = true;
    bitcask_change change;
    while (bitcask_feed_next(peek->r.feed, &change, &peek->r.store->error) == BITCASK_OK) {
        bitcask_meta meta;
        bitcask_status status =
            bitcask_stat_key(peek->r.store->db, NULL, change.key, &meta, &peek->r.store->error);
        peek->ahead |= status != BITCASK_OK || meta.version < change.meta.version;
    }
    peek->running = false;
    return 0;
}

static void it_is_never_ahead_of_readers(void **state)
{
    (void)state;
    for (int mapped = 0; mapped < 2; mapped++) {
        struct fixture w;
        begin(&w);
        w.store->writer.mapped_writes = mapped;
        put(&w, "a", "1");
        struct peek peek = {0};
        start(&peek.r, &w, "start");
        os_mem_hook(w.os, 1u << OS_CALL_PWRITE | 1u << OS_CALL_SYNC, peek_before_call, &peek);
        put_durably(&w, "b", "1");
        put(&w, "c", "1");
        put_durably(&w, "d", "1");
        write_batch(&w);
        sync_store(&w);
        os_mem_hook(w.os, 0, NULL, NULL);
        assert_false(peek.ahead);
        stop(&peek.r);
        fixture_release(&w);
    }
}

static void it_works_in_a_follower(void **state)
{
    (void)state;
    struct fixture w, f;
    begin(&w);
    put(&w, "a", "1");
    start_follower(&f, &w);
    struct reader r;
    start(&r, &f, "start");
    expect(&r, "+a=1 ");
    write_batch(&w);
    expect(&r, "");
    refresh(&f);
    expect(&r, "[+user:1=b +item:1=b +user:2=b +item:2=b] ");
    rotate(&w);
    put(&w, "a", "2");
    rotate(&w);
    resume(&r, &f); /* refreshes */
    expect(&r, "+a=2 ");
    merge_everything(&w);
    put(&w, "b", "1");
    refresh(&f);
    expect(&r, "+b=1 ");
    resume(&r, &w); /* positions are the store's, not the process's */
    put(&w, "c", "1");
    expect(&r, "+c=1 ");
    resume(&r, &f);
    expect(&r, "");
    stop(&r);
    stop_follower(&f);
    fixture_release(&w);
}

static void a_follower_that_loads_anew_says_what_is_lost(void **state)
{
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct fixture w, f;
        begin(&w);
        put(&w, "a", "1");
        rotate(&w);
        start_follower(&f, &w);
        struct reader r;
        start(&r, &f, "start");
        expect(&r, "+a=1 ");
        put(&w, "a", "2");
        if (lost) {
            merge_everything(&w);
        }
        put(&w, "b", "1");
        if (!lost)
            f.store->follow->gap = "for the test";
        refresh(&f);
        assert_int_equal(reloads_of(&f), 1);
        if (lost) {
            assert_int_equal(take(&r, 10), BITCASK_GAP);
            free(r.text);
        } else {
            expect(&r, "+a=2 +b=1 ");
        }
        stop(&r);
        stop_follower(&f);
        fixture_release(&w);
    }
}

static void what_recovery_cuts_off_ends_a_followers_feed(void **state)
{
    (void)state;
    struct fixture w, f;
    begin(&w);
    put_durably(&w, "a", "1");
    put(&w, "note", "1");
    uint64_t end = w.store->writer.end;
    put(&w, "b", "1");
    start_follower(&f, &w);
    struct reader r;
    start(&r, &f, "start");
    expect(&r, "+a=1 +note=1 +b=1 ");
    abandon(&w);
    flip_byte(&w, "000000001.data", end + 5);
    open_store(&w);
    put(&w, "c", "1");
    refresh(&f);
    assert_int_equal(take(&r, 10), BITCASK_DIVERGED);
    stop(&r);
    stop_follower(&f);
    fixture_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_gives_each_change_in_order),
        cmocka_unit_test(a_prefix_keeps_batches_together),
        cmocka_unit_test(where_it_starts),
        cmocka_unit_test(a_store_without_a_log_starts_now),
        cmocka_unit_test(it_goes_on_over_rotations_merges_and_restarts),
        cmocka_unit_test(it_can_be_resumed_behind_every_change),
        cmocka_unit_test(what_a_merge_has_taken_unread_is_a_gap),
        cmocka_unit_test(positions_that_are_none_are_refused),
        cmocka_unit_test(a_change_that_was_taken_back_is_told),
        cmocka_unit_test(what_a_rescue_copies_comes_once),
        cmocka_unit_test(a_damaged_record_stops_it),
        cmocka_unit_test(it_is_never_ahead_of_readers),
        cmocka_unit_test(it_works_in_a_follower),
        cmocka_unit_test(a_follower_that_loads_anew_says_what_is_lost),
        cmocka_unit_test(what_recovery_cuts_off_ends_a_followers_feed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
