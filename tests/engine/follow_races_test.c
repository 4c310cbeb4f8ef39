/* SPDX-License-Identifier: MIT
 * follow_races_test.c: at every call of a follower's opening or refresh the writer does something:
 * writes, rotates, merges, closes, opens again, is replaced. The follower is none the worse: what
 * it shows is of some moment (F2), or it says that it could not, and the next refresh makes up for
 * it. And what stands in `bitcask.published` is not believed. */
#include "support/write_fixture.h"

#include "engine/destroy.h"
#include "engine/feed.h"
#include "engine/follow.h"
#include "engine/repair.h"
#include "format/names.h"
#include "format/published.h"

struct pair {
    struct fixture w, f; /* writer, follower */
    int action;
    uint64_t at, calls; /* the action comes before this call; calls so far */
    bool acting;
};

static bitcask_status try_follow(struct pair *p)
{
    p->f = (struct fixture){.os = p->w.os, .options = p->w.options};
    p->f.options.follow = 1;
    p->f.options.log_context = &p->f;
    return try_open(&p->f);
}

/* ---- What the writer does -------------------------------------------------------------------- */

enum action {
    WRITE,
    ROTATE,
    MERGE,
    OUTRUN,
    CLOSE,
    REOPEN,
    LOSE_HINTS,
    LOSE_POSITION,
    LARGE,
    REPLACE,
    DESTROY,
    ACTIONS
};

static void outrun(struct fixture *w)
{
    put_numbered(w, "k", 0, 30, "outrun");
    rotate(w);
    assert_status(w, OK, merge_all(w));
    put_numbered(w, "k", 5, 9, "again");
    delete_key(w, "k5");
    assert_status(w, OK, merge_all(w));
    put(w, "last", "outrun");
}

static void replace(struct fixture *w)
{
    close_store(w);
    assert_int_equal(destroy_store(w->os, STORE_DIRECTORY, &w->error), BITCASK_OK);
    (void)w->os->make_dir(w->os, STORE_DIRECTORY);
}

static void act(struct pair *p)
{
    struct fixture *w = &p->w;
    switch ((enum action)p->action) {
    case WRITE:
        put_batch(w, "written", 3);
        break;
    case ROTATE:
        rotate(w);
        put(w, "rotated", "1");
        break;
    case MERGE:
        assert_status(w, OK, merge_all(w));
        break;
    case OUTRUN:
        outrun(w);
        break;
    case CLOSE:
        close_store(w);
        break;
    case REOPEN:
        close_store(w);
        open_store(w);
        put(w, "reopened", "1");
        break;
    case LOSE_HINTS:
        outrun(w);
        delete_hints(w);
        break;
    case LOSE_POSITION:
        delete_file(w, NAME_PUBLISHED);
        break;
    case LARGE:
        put_sized(w, "large", 'x', 3 * BITCASK_MIN_SEGMENT_SIZE);
        break;
    case REPLACE:
        replace(w);
        open_store(w);
        put(w, "other", "1");
        break;
    case DESTROY:
        replace(w);
        break;
    default:
        fail();
    }
}

static int before_call(void *context, enum os_mem_call call)
{
    struct pair *p = context;
    (void)call;
    if (p->acting || ++p->calls != p->at)
        return 0;
    p->acting = true;
    act(p);
    p->acting = false;
    return 0;
}

/* ---- The store before ------------------------------------------------------------------------ */

static void begin(struct pair *p)
{
    fixture_init(&p->w);
    p->w.options.log = NULL;
    open_store(&p->w);
    put_numbered(&p->w, "k", 0, 20, "1");
    rotate(&p->w);
    put_numbered(&p->w, "k", 10, 25, "2");
    rotate(&p->w);
    put(&p->w, "active", "1");
}

static void make_news(struct pair *p)
{
    put_batch(&p->w, "batch", 4);
    delete_key(&p->w, "k3");
    rotate(&p->w);
    put_numbered(&p->w, "k", 0, 10, "3");
    assert_status(&p->w, OK, merge_all(&p->w));
    put(&p->w, "last", "1");
}

static void check_level(struct pair *p)
{
    char *ours = dump_store(&p->f), *theirs = dump_store(&p->w);
    if (strcmp(ours, theirs) != 0)
        fail_msg("action %d at call %d: the follower has\n%sthe writer\n%s", p->action, (int)p->at,
                 ours, theirs);
    free(ours);
    free(theirs);
}

/* It is another store now: the follower says so, and one that is opened anew sees that one. */
static void check_another(struct pair *p, bitcask_status status)
{
    assert_true(status == BITCASK_DIVERGED || status == BITCASK_NO_STORE);
    close_store(&p->f);
    if (p->w.store == NULL)
        return;
    assert_status(&p->f, OK, try_follow(p));
    check_level(p);
    close_store(&p->f);
}

static void check_made_up_for(struct pair *p)
{
    if (p->f.store == NULL) {
        bitcask_status status = try_follow(p);
        if (p->action == DESTROY) {
            assert_int_equal(status, BITCASK_NO_STORE);
            return;
        }
        assert_int_equal(status, BITCASK_OK);
    }
    bitcask_status status = bitcask_refresh(p->f.db, NULL, &p->f.error);
    if ((p->action == REPLACE || p->action == DESTROY) && status != BITCASK_OK) {
        check_another(p, status);
        return;
    }
    assert_status(&p->f, OK, status);
    if (p->w.store != NULL)
        check_level(p);
    close_store(&p->f);
}

static bool is_allowed(const struct pair *p, bitcask_status status)
{
    bool another = p->action == REPLACE || p->action == DESTROY;
    return status == BITCASK_OK ||
           (another && (status == BITCASK_NO_STORE || status == BITCASK_DIVERGED ||
                        status == BITCASK_BUSY || status == BITCASK_IO));
}

/* Whether the action came. */
static bool run(struct pair *p, bool opens, bool held)
{
    bitcask_snapshot *snapshot = NULL;
    begin(p);
    if (!opens)
        assert_status(&p->f, OK, try_follow(p));
    make_news(p);
    if (held)
        assert_status(&p->f, OK, bitcask_snapshot_new(p->f.db, &snapshot, &p->f.error));
    p->calls = 0;
    p->acting = false;
    os_mem_hook(p->w.os, (1u << OS_CALL_COUNT) - 1, before_call, p);
    bitcask_status status = opens ? try_follow(p) : bitcask_refresh(p->f.db, NULL, &p->f.error);
    os_mem_hook(p->w.os, 0, NULL, NULL);
    bool came = p->calls >= p->at;
    if (!is_allowed(p, status) && !(held && status == BITCASK_BUSY))
        fail_msg("action %d at call %d: %s: %s", p->action, (int)p->at, bitcask_status_name(status),
                 p->f.error.message);
    if (snapshot != NULL)
        bitcask_snapshot_free(snapshot);
    check_made_up_for(p);
    if (p->w.store != NULL)
        close_store(&p->w);
    assert_int_equal(os_mem_open_files(p->w.os), 0);
    assert_int_equal(os_mem_live_maps(p->w.os), 0);
    fixture_release(&p->w);
    return came;
}

static void at_every_call(bool opens, bool held)
{
    for (int action = 0; action < ACTIONS; action++) {
        bool came = true;
        for (uint64_t at = 1; came; at++) {
            static struct pair p;
            p.action = action;
            p.at = at;
            came = run(&p, opens, held);
        }
    }
}

static void whatever_the_writer_does_meanwhile_an_opening_is_right(void **state)
{
    (void)state;
    at_every_call(true, false);
}

static void whatever_the_writer_does_meanwhile_a_refresh_is_right(void **state)
{
    (void)state;
    at_every_call(false, false);
}

static void whatever_the_writer_does_meanwhile_snapshots_do_no_harm(void **state)
{
    (void)state;
    at_every_call(false, true);
}

/* ---- The position ---------------------------------------------------------------------------- */

/* Whoever reads it takes no word for granted: at worst it knows nothing newer for now. */
static void whatever_the_position_says_nothing_wrong_is_shown(void **state)
{
    (void)state;
    static const uint64_t segments[] = {0, 1, 2, 3, 4, 9, 1 << 20};
    static const uint64_t ends[] = {0, 1, 64, 200, 300, 1 << 15, 1 << 20, UINT32_MAX};
    static const uint64_t capacities[] = {0, 1, 1 << 14, 1 << 20, UINT64_MAX / 2};
    /* A ninth of all. */
    size_t count = ARRAY_SIZE(segments) * ARRAY_SIZE(ends) * ARRAY_SIZE(capacities);
    for (size_t i = 0; i < count; i += 9) {
        static struct pair p;
        begin(&p);
        bool opens = i % 2;
        if (!opens)
            assert_status(&p.f, OK, try_follow(&p));
        make_news(&p);
        uint8_t bytes[PUBLISHED_SIZE];
        struct log_position position = {segments[i % ARRAY_SIZE(segments)],
                                        ends[i / ARRAY_SIZE(segments) % ARRAY_SIZE(ends)]};
        published_encode(bytes, p.w.store->segments.store_id,
                         capacities[i / ARRAY_SIZE(segments) / ARRAY_SIZE(ends)], position);
        if (i % 11 == 0)
            bytes[PUBLISHED_AT_POSITION] ^= 1; /* torn */
        write_whole(&p.w, NAME_PUBLISHED, bytes, i % 13 == 0 ? 10 : sizeof bytes);
        bitcask_status status = opens ? try_follow(&p) : bitcask_refresh(p.f.db, NULL, &p.f.error);
        assert_true(status == BITCASK_OK || status == BITCASK_BUSY);
        if (p.f.store != NULL) {
            check_value(&p.f, "k15", "2"); /* of before, and since: never anything else */
            (void)follow_look(p.f.store);
            close_store(&p.f);
        }
        fixture_release(&p.w);
    }
}

/* ---- Stores that something has happened to ----------------------------------------------------
 */

static void end(struct pair *p)
{
    if (p->f.store != NULL)
        close_store(&p->f);
    if (p->w.store != NULL)
        close_store(&p->w);
    assert_int_equal(os_mem_live_maps(p->w.os), 0);
    fixture_release(&p->w);
}

static void refresh_to_level(struct pair *p)
{
    assert_status(&p->f, OK, bitcask_refresh(p->f.db, NULL, &p->f.error));
    check_level(p);
}

/* A sealed segment has lost its file, or something else stands there: told, and the rest is shown.
 */
static void a_store_that_has_lost_a_file_is_followed(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        static struct pair p;
        p = (struct pair){.action = which};
        begin(&p);
        close_store(&p.w);
        delete_file(&p.w, which < 2 ? "000000001.data" : "000000003.data");
        if (which % 2)
            assert_int_equal(p.w.os->make_dir(p.w.os, STORE_DIRECTORY "/000000001.data"),
                             which < 2 ? 0 : -EEXIST);
        assert_status(&p.f, OK, try_follow(&p)); /* nobody has looked at it yet */
        if (which < 2) {
            check_value(&p.f, "k20", "2");
        }
        close_store(&p.f);
        open_store(&p.w);
        put(&p.w, "since", "1");
        assert_status(&p.f, OK, try_follow(&p));
        check_level(&p);
        rotate(&p.w);
        put(&p.w, "more", "1");
        refresh_to_level(&p);
        end(&p);
    }
}

/* The store has been given another fork id: all is loaded anew, and a feed says that it is over. */
static void another_fork_is_loaded_anew_and_ends_feeds(void **state)
{
    (void)state;
    static struct pair p;
    begin(&p);
    assert_status(&p.f, OK, try_follow(&p));
    bitcask_feed *feed;
    bitcask_change change;
    assert_status(&p.f, OK, feed_new(p.f.store, "start", slice_of(NULL, 0), &feed, &p.f.error));
    assert_int_equal(feed_next(feed, &change, NULL), BITCASK_OK);
    p.w.store->fork_id[0] ^= 1;
    assert_status(&p.w, OK, store_save_manifest(p.w.store, false, &p.w.error));
    put(&p.w, "since", "1");
    refresh_to_level(&p);
    assert_int_equal(follow_look(p.f.store).reloads, 1);
    assert_int_equal(feed_next(feed, &change, NULL), BITCASK_DIVERGED);
    feed_free(feed);
    end(&p);
}

/* A repair has written segments again: not as a merge would. */
static void a_store_that_was_repaired_is_loaded_anew(void **state)
{
    (void)state;
    static struct pair p;
    begin(&p);
    assert_status(&p.f, OK, try_follow(&p));
    close_store(&p.w);
    flip_byte(&p.w, "000000001.data", SEGMENT_HEADER_SIZE + 30);
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    bitcask_repair_result result = {.struct_size = sizeof result};
    assert_status(&p.w, OK, repair_run(p.w.os, STORE_DIRECTORY, &options, &result, &p.w.error));
    open_store(&p.w);
    refresh_to_level(&p);
    put(&p.w, "since", "1");
    refresh_to_level(&p);
    end(&p);
}

/* What the follower has in memory goes bad, and then a merge takes it away. */
static void damage_that_a_merge_meets_is_no_loss(void **state)
{
    (void)state;
    for (size_t at = 0; at < 3000; at += 37) {
        static struct pair p;
        begin(&p);
        assert_status(&p.f, OK, try_follow(&p));
        uint8_t *memory = (uint8_t *)(uintptr_t)p.f.store->segments.by_id[0]->map;
        size_t end_of = (size_t)atomic_load(&p.f.store->segments.by_id[0]->end);
        uint8_t *byte = &memory[SEGMENT_HEADER_SIZE + at % (end_of - SEGMENT_HEADER_SIZE)];
        assert_status(&p.w, OK, merge_all(&p.w)); /* of what was good */
        *byte ^= 0x10;
        put(&p.w, "since", "1");
        refresh_to_level(&p);
        end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_the_writer_does_meanwhile_an_opening_is_right),
        cmocka_unit_test(whatever_the_writer_does_meanwhile_a_refresh_is_right),
        cmocka_unit_test(whatever_the_writer_does_meanwhile_snapshots_do_no_harm),
        cmocka_unit_test(whatever_the_position_says_nothing_wrong_is_shown),
        cmocka_unit_test(a_store_that_has_lost_a_file_is_followed),
        cmocka_unit_test(another_fork_is_loaded_anew_and_ends_feeds),
        cmocka_unit_test(a_store_that_was_repaired_is_loaded_anew),
        cmocka_unit_test(damage_that_a_merge_meets_is_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
