/* SPDX-License-Identifier: MIT
 * snapshot_test.c: reads as of a snapshot: what was there, whatever is written, expires and is
 * merged since; what a snapshot holds, and that it lets it go. Invariants X4, X6, X7, W2, W6.
 *
 * A picture is what plain reads gave of some keys when a snapshot was taken; every way of reading
 * as of the snapshot must give the same for as long as it lives. */
#include "support/colliding_keys.h"
#include "support/write_fixture.h"

#include "engine/reap_clock.h"
#include "engine/snapshot.h"

enum { PICTURE_KEYS = 40, SECOND = 1000000 };

struct picture {
    bitcask_snapshot *snapshot;
    int keys;
    bitcask_slice names[PICTURE_KEYS];
    bool there[PICTURE_KEYS];
    bitcask_meta metas[PICTURE_KEYS];
    char values[PICTURE_KEYS][24];
};

static bitcask_read_options as_of(bitcask_snapshot *snapshot)
{
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    return options;
}

static void end_grace(struct fixture *f)
{
    for (int i = 0; i < 4; i++)
        epoch_poll(&f->store->epoch);
}

/* A new snapshot and what plain reads give of the keys now. */
static void take_picture(struct fixture *f, struct picture *picture, const bitcask_slice *names,
                         int keys)
{
    picture->keys = keys;
    assert_status(f, OK, bitcask_snapshot_new(f->db, &picture->snapshot, &f->error));
    for (int i = 0; i < keys; i++) {
        bitcask_buffer value = {0};
        picture->names[i] = names[i];
        bitcask_status status =
            bitcask_get(f->db, NULL, names[i], &value, &picture->metas[i], &f->error);
        assert_true(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
        picture->there[i] = status == BITCASK_OK;
        memset(picture->values[i], 0, sizeof picture->values[i]);
        if (value.size > 0)
            memcpy(picture->values[i], value.data, value.size < 23 ? value.size : 23);
        bitcask_buffer_free(&value);
    }
}

static void check_same(const struct picture *picture, int i, bitcask_status status,
                       bitcask_slice value, const bitcask_meta *meta)
{
    const bitcask_meta *was = &picture->metas[i];
    if (status != (picture->there[i] ? BITCASK_OK : BITCASK_NOT_FOUND))
        fail_msg("key %d reads as %s", i, bitcask_status_name(status));
    if (status != BITCASK_OK)
        return;
    assert_int_equal(meta->version, was->version);
    assert_int_equal(meta->expires_us, was->expires_us);
    assert_int_equal(meta->value_size, was->value_size);
    assert_int_equal(value.size, was->value_size);
    assert_memory_equal(value.data, picture->values[i], value.size < 23 ? value.size : 23);
}

static void check_single(struct fixture *f, const struct picture *picture)
{
    bitcask_read_options options = as_of(picture->snapshot);
    bitcask_buffer value = {0};
    for (int i = 0; i < picture->keys; i++) {
        bitcask_slice name = picture->names[i];
        bitcask_meta meta, stat;
        bitcask_view view;
        bitcask_status status = bitcask_get(f->db, &options, name, &value, &meta, &f->error);
        check_same(picture, i, status, bitcask_bytes(value.data, value.size), &meta);
        assert_int_equal(bitcask_get_view(f->db, &options, name, &view, &f->error), status);
        check_same(picture, i, status, view.value, &view.meta);
        bitcask_views_release(&view, 1);
        assert_int_equal(bitcask_stat_key(f->db, &options, name, &stat, &f->error), status);
        if (status == BITCASK_OK)
            assert_int_equal(stat.version, meta.version);
    }
    bitcask_buffer_free(&value);
}

static void check_many(struct fixture *f, const struct picture *picture)
{
    bitcask_read_options options = as_of(picture->snapshot);
    bitcask_view views[PICTURE_KEYS];
    bitcask_status each[PICTURE_KEYS];
    assert_status(f, OK,
                  bitcask_get_many(f->db, &options, picture->names, (size_t)picture->keys, views,
                                   each, &f->error));
    for (int i = 0; i < picture->keys; i++)
        check_same(picture, i, each[i], views[i].value, &views[i].meta);
    bitcask_views_release(views, (size_t)picture->keys);
}

/* The walk meets just the keys that are there, each once. */
static void check_walk(struct fixture *f, const struct picture *picture, int what)
{
    bitcask_read_options options = as_of(picture->snapshot);
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_status status;
    bool seen[PICTURE_KEYS] = {false};
    assert_status(
        f, OK, bitcask_iterator_new(f->db, &options, bitcask_str(""), what, &iterator, &f->error));
    while ((status = bitcask_iterator_next(iterator, &entry, &f->error)) == BITCASK_OK) {
        int i = 0;
        while (i < picture->keys && !slice_equal(picture->names[i], entry.key))
            i++;
        if (i == picture->keys)
            continue; /* a key that is not in the picture */
        assert_false(seen[i]);
        seen[i] = true;
        if (what == BITCASK_VALUES)
            check_same(picture, i, status, entry.value, &entry.meta);
    }
    assert_int_equal(status, BITCASK_END);
    for (int i = 0; i < picture->keys; i++)
        assert_int_equal(seen[i], picture->there[i]);
    bitcask_iterator_free(iterator);
}

static void check_picture(struct fixture *f, const struct picture *picture)
{
    check_single(f, picture);
    check_many(f, picture);
    check_walk(f, picture, BITCASK_VALUES);
    check_walk(f, picture, BITCASK_KEYS);
}

static void check_nothing_left(struct fixture *f)
{
    end_grace(f);
    bitcask_stats stats = stats_of(f);
    assert_int_equal(stats.snapshots, 0);
    assert_int_equal(stats.oldest_snapshot_us, 0);
    assert_int_equal(stats.undo_entries, 0);
    assert_true(stats.undo_bytes <= 64 << 10); /* a small table is kept */
    assert_int_equal(stats.pinned_segments, 0);
}

/* ---- Every state before, every two changes behind ---------------------------------------------
 */

enum before {
    BEFORE_ABSENT,
    BEFORE_VALUE,
    BEFORE_SEALED,
    BEFORE_EXPIRING,
    BEFORE_EXPIRED,
    BEFORE_DELETED,
    BEFORE_OF_A_BATCH,
    BEFORE_MERGED,
    BEFORE_COUNT
};

static void make_before(struct fixture *f, enum before before)
{
    uint64_t now = f->os->clock_real(f->os);
    struct write_op batch[3] = {op_put("k", "batched", 0), op_put("l", "batched", 0),
                                op_delete("nothing")};
    put(f, "bystander", "stands by");
    if (before == BEFORE_EXPIRING)
        assert_status(f, OK, put_until(f, "k", "expires", now + 100 * SECOND));
    else if (before == BEFORE_EXPIRED)
        assert_status(f, OK, put_until(f, "k", "expires", now + SECOND));
    else if (before == BEFORE_OF_A_BATCH)
        assert_status(f, OK, write_batch(f, batch, 3));
    else if (before != BEFORE_ABSENT)
        put(f, "k", "before");
    if (before == BEFORE_SEALED || before == BEFORE_MERGED)
        rotate(f);
    if (before == BEFORE_EXPIRED)
        os_mem_advance_clock(f->os, 2 * SECOND);
    if (before == BEFORE_DELETED)
        delete_key(f, "k");
    if (before == BEFORE_MERGED)
        assert_status(f, OK, merge_all(f));
}

enum change {
    CHANGE_PUT,
    CHANGE_DELETE,
    CHANGE_PUT_EXPIRING,
    CHANGE_EXPIRE,
    CHANGE_BATCH,
    CHANGE_BATCH_DELETES_AND_PUTS,
    CHANGE_CONDITIONAL,
    CHANGE_ROTATE,
    CHANGE_MERGE,
    CHANGE_TIME_PASSES,
    CHANGE_COUNT
};

static void make_change(struct fixture *f, enum change change)
{
    uint64_t now = f->os->clock_real(f->os);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    struct write_op batch[4] = {op_put("k", "one", 0), op_put("l", "one", 0), op_put("k", "two", 0),
                                op_delete("l")};
    struct write_op back[2] = {op_delete("k"), op_put("k", "back", 0)};
    bitcask_status status = BITCASK_OK;
    switch (change) {
    case CHANGE_PUT:
        put(f, "k", "after");
        break;
    case CHANGE_DELETE:
        status = bitcask_delete(f->db, bitcask_str("k"), NULL, NULL, &f->error);
        break;
    case CHANGE_PUT_EXPIRING:
        status = put_until(f, "k", "gone at once", now - 1);
        break;
    case CHANGE_EXPIRE:
        options.expires_us = now + 50 * SECOND;
        status = bitcask_expire(f->db, bitcask_str("k"), &options, NULL, &f->error);
        break;
    case CHANGE_BATCH:
        status = write_batch(f, batch, 4);
        break;
    case CHANGE_BATCH_DELETES_AND_PUTS:
        status = write_batch(f, back, 2);
        break;
    case CHANGE_CONDITIONAL:
        status = put_if(f, "k", "only if", BITCASK_IF_PRESENT, 0);
        break;
    case CHANGE_ROTATE:
        rotate(f);
        break;
    case CHANGE_MERGE:
        status = merge_all(f);
        break;
    case CHANGE_TIME_PASSES:
        os_mem_advance_clock(f->os, 300 * SECOND);
        break;
    case CHANGE_COUNT:
        break;
    }
    assert_true(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
}

static void try_changes(enum before before, enum change first, enum change second, enum way way)
{
    static const char *texts[4] = {"k", "l", "bystander", "nobody"};
    bitcask_slice names[4];
    for (int i = 0; i < 4; i++)
        names[i] = bitcask_str(texts[i]);
    struct fixture f;
    struct picture pictures[3];
    fixture_init(&f);
    open_way(&f, way);
    make_before(&f, before);
    take_picture(&f, &pictures[0], names, 4);
    make_change(&f, first);
    take_picture(&f, &pictures[1], names, 4);
    make_change(&f, second);
    take_picture(&f, &pictures[2], names, 4);
    for (int i = 0; i < 3; i++)
        check_picture(&f, &pictures[i]);
    make_change(&f, CHANGE_TIME_PASSES); /* what has expired is reaped now, or must not be */
    rotate(&f);
    make_change(&f, CHANGE_MERGE);
    for (int i = 0; i < 3; i++)
        check_picture(&f, &pictures[i]);
    bitcask_snapshot_free(pictures[1].snapshot);
    check_picture(&f, &pictures[0]);
    check_picture(&f, &pictures[2]);
    bitcask_snapshot_free(pictures[2].snapshot);
    check_picture(&f, &pictures[0]);
    bitcask_snapshot_free(pictures[0].snapshot);
    check_nothing_left(&f);
    assert_sound(&f);
    fixture_release(&f);
}

static void whatever_was_and_whatever_is_done_a_snapshot_reads_as_it_was(void **state)
{
    (void)state;
    for (int before = 0; before < BEFORE_COUNT; before++)
        for (int first = 0; first < CHANGE_COUNT; first++)
            for (int second = 0; second < CHANGE_COUNT; second++)
                try_changes((enum before)before, (enum change)first, (enum change)second,
                            (enum way)((first + second) % WAY_COUNT));
}

/* ---- Several snapshots ------------------------------------------------------------------------
 */

enum { HELD = 4, CHANGED_KEYS = 1 << HELD };

/* Bit j of a key's number: it is written after snapshot j; keys of the second half are then deleted
 * and put in turns. */
static void write_behind(struct fixture *f, char names[][16], int snapshot)
{
    for (int i = 0; i < 2 * CHANGED_KEYS; i++) {
        if ((i >> snapshot & 1) == 0)
            continue;
        if (i < CHANGED_KEYS || bitcask_delete(f->db, bitcask_str(names[i]), NULL, NULL,
                                               &f->error) == BITCASK_NOT_FOUND)
            put(f, names[i], snapshot % 2 == 0 ? "even" : "odd");
    }
}

static void free_in_order(const int order[HELD])
{
    char names[2 * CHANGED_KEYS][16];
    bitcask_slice keys[2 * CHANGED_KEYS];
    struct picture pictures[HELD];
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    for (int i = 0; i < 2 * CHANGED_KEYS; i++) {
        snprintf(names[i], sizeof names[i], "key%d", i);
        keys[i] = bitcask_str(names[i]);
        if (i % 5 != 4)
            put(&f, names[i], "first");
    }
    for (int i = 0; i < HELD; i++) {
        take_picture(&f, &pictures[i], keys, 2 * CHANGED_KEYS);
        write_behind(&f, names, i);
        if (i == 1)
            assert_status(&f, OK, merge_all(&f));
    }
    uint64_t entries = stats_of(&f).undo_entries;
    for (int i = 0; i < HELD; i++) {
        bitcask_snapshot_free(pictures[order[i]].snapshot);
        pictures[order[i]].snapshot = NULL;
        assert_true(stats_of(&f).undo_entries <= entries);
        entries = stats_of(&f).undo_entries;
        assert_int_equal(stats_of(&f).snapshots, HELD - 1 - i);
        for (int k = 0; k < HELD; k++)
            if (pictures[k].snapshot != NULL)
                check_picture(&f, &pictures[k]);
    }
    check_nothing_left(&f);
    fixture_release(&f);
}

static void snapshots_may_be_freed_in_any_order(void **state)
{
    (void)state;
    for (int i = 0; i < HELD * HELD * HELD * HELD; i++) {
        int order[HELD] = {i & 3, i >> 2 & 3, i >> 4 & 3, i >> 6 & 3};
        if ((1 << order[0] | 1 << order[1] | 1 << order[2] | 1 << order[3]) == 15)
            free_in_order(order);
    }
}

static void a_key_written_often_is_kept_once_for_each_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *first, *second;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "0");
    for (int i = 0; i < 50; i++)
        put(&f, "k", "nobody asks");
    assert_int_equal(stats_of(&f).undo_entries, 0);
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &first, &f.error));
    for (int i = 0; i < 50; i++)
        put(&f, "k", "1");
    assert_int_equal(stats_of(&f).undo_entries, 1);
    put(&f, "new", "keys cost nothing");
    assert_int_equal(stats_of(&f).undo_entries, 1);
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &second, &f.error));
    for (int i = 0; i < 50; i++)
        put(&f, "k", "2");
    assert_int_equal(stats_of(&f).undo_entries, 2);
    bitcask_snapshot_free(first);
    assert_int_equal(stats_of(&f).undo_entries, 1);
    bitcask_snapshot_free(second);
    check_nothing_left(&f);
    fixture_release(&f);
}

static void its_version_is_that_of_the_last_write(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *snapshot;
    uint64_t version;
    fixture_init(&f);
    open_store(&f);
    assert_status(&f, OK,
                  bitcask_put(f.db, bitcask_str("k"), bitcask_str("v"), NULL, &version, &f.error));
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    assert_int_equal(bitcask_snapshot_version(snapshot), version);
    put(&f, "k", "w");
    assert_int_equal(bitcask_snapshot_version(snapshot), version);
    bitcask_snapshot_free(snapshot);
    bitcask_snapshot_free(NULL);
    fixture_release(&f);
}

/* Of a store that was just opened, clean or not, with keys and without. */
static void a_snapshot_of_a_reopened_store_sees_all_of_it(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct fixture f;
        struct picture picture;
        bitcask_slice names[2] = {bitcask_str("k"), bitcask_str("l")};
        fixture_init(&f);
        open_store(&f);
        if (how != 3)
            put(&f, "k", "v");
        if (how == 0)
            kill_9(&f);
        else
            close_store(&f);
        f.options.read_only = how == 2;
        open_store(&f);
        take_picture(&f, &picture, names, 2);
        assert_int_equal(picture.there[0], how != 3);
        check_picture(&f, &picture);
        if (how != 2) {
            put(&f, "k", "w");
            put(&f, "l", "w");
        }
        check_picture(&f, &picture);
        bitcask_snapshot_free(picture.snapshot);
        fixture_release(&f);
    }
}

/* ---- What it holds ----------------------------------------------------------------------------
 */

static void a_merged_segment_is_held_only_while_the_overlay_points_into_it(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *snapshot;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "key", 0, 50, "first");
    rotate(&f);
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    assert_status(&f, OK, merge_all(&f)); /* all records moved: nothing of the old is needed */
    end_grace(&f);
    assert_int_equal(stats_of(&f).pinned_segments, 0);
    put_numbered(&f, "key", 0, 50, "second");
    assert_status(&f, OK, merge_all(&f));
    end_grace(&f);
    uint64_t maps = os_mem_live_maps(f.os);
    assert_int_equal(stats_of(&f).pinned_segments, 1); /* the output of the first merge */
    assert_false(has_file(&f, "000000001.data"));
    for (int i = 0; i < 10; i++) { /* as often as one likes: no more is held */
        put_numbered(&f, "key", 0, 50, "again");
        assert_status(&f, OK, merge_all(&f));
    }
    end_grace(&f);
    assert_int_equal(stats_of(&f).pinned_segments, 1);
    assert_int_equal(os_mem_live_maps(f.os), maps);
    os_mem_advance_clock(f.os, SECOND);
    assert_true(stats_of(&f).oldest_snapshot_us >= SECOND);
    bitcask_snapshot_free(snapshot);
    check_nothing_left(&f);
    fixture_release(&f);
}

static void an_iterator_keeps_its_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *snapshot;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "key", 0, 100, "first");
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    bitcask_read_options options = as_of(snapshot);
    assert_status(
        &f, OK,
        bitcask_iterator_new(f.db, &options, bitcask_str(""), BITCASK_VALUES, &iterator, &f.error));
    bitcask_snapshot_free(snapshot);
    put_numbered(&f, "key", 0, 50, "second");
    put_numbered(&f, "new", 0, 50, "second");
    for (int i = 50; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "key%d", i);
        delete_key(&f, name);
    }
    assert_status(&f, OK, merge_all(&f));
    int seen = 0;
    while (bitcask_iterator_next(iterator, &entry, &f.error) == BITCASK_OK) {
        assert_memory_equal(entry.value.data, "first", 5);
        seen++;
    }
    assert_int_equal(seen, 100);
    assert_int_equal(stats_of(&f).snapshots, 1);
    bitcask_iterator_free(iterator);
    check_nothing_left(&f);
    fixture_release(&f);
}

/* Steps of the walk and writes in turns, with enough keys for shards to split meanwhile. */
static void a_walk_among_writes_meets_every_key_once_as_it_was(void **state)
{
    (void)state;
    enum { COUNT = 6000 };
    static bool seen[COUNT];
    memset(seen, 0, sizeof seen);
    struct fixture f;
    bitcask_snapshot *snapshot;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_status status;
    fixture_init(&f);
    open_store(&f);
    put_numbered(&f, "key", 0, COUNT, "was");
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    bitcask_read_options options = as_of(snapshot);
    assert_status(&f, OK,
                  bitcask_iterator_new(f.db, &options, bitcask_str("key"), BITCASK_VALUES,
                                       &iterator, &f.error));
    unsigned at = 0;
    while ((status = bitcask_iterator_next(iterator, &entry, &f.error)) == BITCASK_OK) {
        char name[16] = {0};
        int number = -1;
        memcpy(name, entry.key.data, entry.key.size < 15 ? entry.key.size : 15);
        assert_int_equal(sscanf(name, "key%d", &number), 1);
        assert_in_range(number, 0, COUNT - 1);
        assert_memory_equal(entry.value.data, "was", 3);
        assert_false(seen[number]);
        seen[number] = true;
        snprintf(name, sizeof name, "key%u", at * 7919 % COUNT);
        if (at % 3 == 0)
            (void)!bitcask_delete(f.db, bitcask_str(name), NULL, NULL, &f.error);
        else
            put(&f, name, "is");
        snprintf(name, sizeof name, "more%u", at);
        put(&f, name, "more");
        if (++at % 2000 == 0)
            assert_status(&f, OK, merge_all(&f));
    }
    assert_int_equal(status, BITCASK_END);
    for (int i = 0; i < COUNT; i++)
        assert_true(seen[i]);
    bitcask_iterator_free(iterator);
    bitcask_snapshot_free(snapshot);
    check_nothing_left(&f);
    fixture_release(&f);
}

static void a_snapshot_left_over_at_close_can_still_be_freed(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *snapshot;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "v");
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    put(&f, "k", "w");
    close_store(&f);
    assert_int_equal(os_mem_live_maps(f.os), 0);
    assert_int_equal(os_mem_live_bytes(f.os), 0);
    bitcask_snapshot_free(snapshot);
    open_store(&f);
    check_value(&f, "k", "w");
    fixture_release(&f);
}

static void a_snapshot_of_another_store_is_refused(void **state)
{
    (void)state;
    struct fixture f, g;
    bitcask_snapshot *snapshot;
    bitcask_buffer value = {0};
    fixture_init(&f);
    fixture_init(&g);
    open_store(&f);
    open_store(&g);
    assert_status(&g, OK, bitcask_snapshot_new(g.db, &snapshot, &g.error));
    bitcask_read_options options = as_of(snapshot);
    assert_status(&f, INVALID,
                  bitcask_get(f.db, &options, bitcask_str("k"), &value, NULL, &f.error));
    assert_status(&f, INVALID, bitcask_snapshot_new(f.db, NULL, &f.error));
    assert_status(&f, INVALID, bitcask_snapshot_new(NULL, &snapshot, &f.error));
    assert_null(snapshot);
    bitcask_snapshot_free(options.snapshot);
    fixture_release(&f);
    fixture_release(&g);
}

/* ---- Expiry -----------------------------------------------------------------------------------
 */

static void a_merge_keeps_what_a_snapshot_sees_as_alive(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *before;
    bitcask_meta meta;
    fixture_init(&f);
    open_store(&f);
    uint64_t expires = f.os->clock_real(f.os) + 10 * SECOND;
    assert_status(&f, OK, put_until(&f, "k", "v", expires));
    rotate(&f);
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &before, &f.error));
    bitcask_read_options early = as_of(before);
    os_mem_advance_clock(f.os, 200 * SECOND);
    assert_status(&f, OK, merge_all(&f)); /* must keep it */
    check_missing(&f, "k");
    assert_status(&f, OK, bitcask_stat_key(f.db, &early, bitcask_str("k"), &meta, &f.error));
    assert_int_equal(stats_of(&f).keys, 1);
    bitcask_snapshot_free(before);
    assert_status(&f, OK, merge_all(&f));
    assert_int_equal(stats_of(&f).keys, 0);
    fixture_release(&f);
}

/* The clock is set back while a merge is at work: what it takes away must not be there first and
 * gone then. */
static void a_snapshot_taken_during_a_merge_never_sees_what_that_may_reap(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *during, *after;
    fixture_init(&f);
    open_store(&f);
    os_mem_advance_clock(f.os, 200 * SECOND);
    uint64_t reaped = reap_clock_begin(f.store);
    assert_true(reaped > 0);
    os_mem_step_real_clock(f.os, -195 * (int64_t)SECOND);
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &during, &f.error));
    assert_true(during->clock_us == reaped);
    reap_clock_end(f.store);
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &after, &f.error));
    assert_true(after->clock_us < reaped);
    bitcask_snapshot_free(during);
    bitcask_snapshot_free(after);
    fixture_release(&f);
}

/* Merges, and looks at what could be merged, leave no trace in how later snapshots tell the time:
 * with the clock set back, a short-lived key is there for them as for anybody. */
static void with_the_clock_set_back_behind_a_merge_snapshots_see_short_lived_keys(void **state)
{
    (void)state;
    struct fixture f;
    bitcask_snapshot *snapshot;
    bitcask_meta meta;
    fixture_init(&f);
    open_store(&f);
    assert_status(&f, OK, put_until(&f, "old", "v", f.os->clock_real(f.os) + 10 * SECOND));
    rotate(&f);
    os_mem_advance_clock(f.os, 200 * SECOND);
    assert_status(&f, OK, merge_all(&f));
    assert_int_equal(stats_of(&f).keys, 0);
    os_mem_step_real_clock(f.os, -195 * (int64_t)SECOND);
    assert_status(&f, OK, put_until(&f, "new", "v", f.os->clock_real(f.os) + 10 * SECOND));
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    bitcask_read_options as_then = as_of(snapshot);
    assert_status(&f, OK, bitcask_stat_key(f.db, &as_then, bitcask_str("new"), &meta, &f.error));
    bitcask_snapshot_free(snapshot);
    fixture_release(&f);
}

/* ---- Collisions -------------------------------------------------------------------------------
 */

static void keys_of_one_hash_keep_their_own_old_records(void **state)
{
    (void)state;
    static uint8_t bytes[PICTURE_KEYS][COLLIDING_KEY_SIZE];
    bitcask_slice keys[PICTURE_KEYS];
    struct picture pictures[3];
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    for (unsigned i = 0; i < PICTURE_KEYS; i++) {
        keys[i] = colliding_key(bytes[i], &f.store->secret, i);
        assert_int_equal(hash_key(&f.store->secret, keys[i]), hash_key(&f.store->secret, keys[0]));
        if (i % 3 != 2)
            assert_status(
                &f, OK,
                bitcask_put(f.db, keys[i], bitcask_bytes(&i, sizeof i), NULL, NULL, &f.error));
    }
    for (unsigned round = 0; round < 3; round++) {
        take_picture(&f, &pictures[round], keys, PICTURE_KEYS);
        for (unsigned i = round; i < PICTURE_KEYS; i += 2) {
            uint64_t value = i * 1000 + round;
            if (i % 4 == round)
                (void)!bitcask_delete(f.db, keys[i], NULL, NULL, &f.error);
            else
                assert_status(&f, OK,
                              bitcask_put(f.db, keys[i], bitcask_bytes(&value, sizeof value), NULL,
                                          NULL, &f.error));
        }
        for (unsigned i = 0; i <= round; i++)
            check_picture(&f, &pictures[i]);
    }
    bitcask_snapshot_free(pictures[1].snapshot);
    check_picture(&f, &pictures[0]);
    check_picture(&f, &pictures[2]);
    bitcask_snapshot_free(pictures[0].snapshot);
    check_picture(&f, &pictures[2]);
    bitcask_snapshot_free(pictures[2].snapshot);
    check_nothing_left(&f);
    fixture_release(&f);
}

/* ---- Failures ---------------------------------------------------------------------------------
 */

static void out_of_memory_at_every_allocation_fails_the_write_and_nothing_else(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        for (int way = 0; way < WAY_COUNT; way++) {
            struct fixture f;
            struct picture picture;
            bitcask_slice names[3] = {bitcask_str("k"), bitcask_str("l"), bitcask_str("new")};
            fixture_init(&f);
            open_way(&f, (enum way)way);
            put(&f, "k", "k");
            put(&f, "l", "l");
            take_picture(&f, &picture, names, 3);
            uint64_t bytes = stats_of(&f).undo_bytes, end = f.store->writer.end;
            bitcask_status status = BITCASK_NO_MEMORY;
            uint64_t failures = 0;
            for (uint64_t nth = 1; status == BITCASK_NO_MEMORY; nth++) {
                struct write_op batch[3] = {op_put("k", "1", 0), op_delete("l"),
                                            op_put("new", "3", 0)};
                os_mem_fail(f.os, 1u << OS_CALL_ALLOC, nth, 1, -ENOMEM);
                if (kind == 0)
                    status = put_if(&f, "k", "1", 0, 0);
                else if (kind == 1)
                    status = bitcask_delete(f.db, bitcask_str("l"), NULL, NULL, &f.error);
                else
                    status = write_batch(&f, batch, 3);
                os_mem_fail(f.os, 0, 0, 1, 0);
                if (status != BITCASK_NO_MEMORY)
                    break;
                failures++;
                assert_int_equal(stats_of(&f).undo_bytes, bytes);
                assert_int_equal(stats_of(&f).undo_entries, 0);
                assert_int_equal(f.store->writer.end, end);
                check_value(&f, "k", "k");
                check_value(&f, "l", "l");
                check_missing(&f, "new");
            }
            assert_int_equal(status, BITCASK_OK);
            assert_true(failures >= (kind == 2 ? 3 : 2)); /* the entries and the table */
            check_picture(&f, &picture);
            bitcask_snapshot_free(picture.snapshot);
            check_nothing_left(&f);
            fixture_release(&f);
        }
    }
}

/* A damaged old record is told of as damage, as of the snapshot too, and never as a missing key. */
static void a_damaged_old_record_is_corrupt_as_of_the_snapshot(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < record_size(0, 3, 5); at++) {
        struct fixture f;
        bitcask_snapshot *snapshot;
        bitcask_buffer value = {0};
        fixture_init(&f);
        open_store(&f);
        put(&f, "key", "value");
        assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
        bitcask_read_options options = as_of(snapshot);
        active_segment(&f)->writable[SEGMENT_HEADER_SIZE + at] ^= 1u << (at % 8);
        assert_status(&f, CORRUPT,
                      bitcask_get(f.db, &options, bitcask_str("key"), &value, NULL, &f.error));
        put(&f, "key", "newer");
        check_value(&f, "key", "newer");
        assert_status(&f, CORRUPT,
                      bitcask_get(f.db, &options, bitcask_str("key"), &value, NULL, &f.error));
        bitcask_snapshot_free(snapshot);
        check_value(&f, "key", "newer");
        fixture_release(&f);
    }
}

/* The segment that old places are in fails to sync, and is rescued to another. */
static void a_rescued_segment_is_read_as_of_the_snapshot(void **state)
{
    (void)state;
    struct fixture f;
    struct picture picture;
    bitcask_slice names[3] = {bitcask_str("k"), bitcask_str("l"), bitcask_str("m")};
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "k");
    put(&f, "l", "l");
    take_picture(&f, &picture, names, 3);
    put(&f, "k", "newer");
    os_mem_fail(f.os, SYNC_CALLS, 1, 1, -EIO);
    assert_status(&f, UNKNOWN, bitcask_sync_now(f.db, &f.error));
    assert_int_equal(count_events(&f, "rescued"), 1);
    check_picture(&f, &picture);
    put(&f, "l", "newer");
    delete_key(&f, "k");
    check_picture(&f, &picture);
    assert_status(&f, OK, merge_all(&f));
    check_picture(&f, &picture);
    bitcask_snapshot_free(picture.snapshot);
    check_nothing_left(&f);
    fixture_release(&f);
}

/* A durable batch whose sync fails never shows, and leaves nothing behind. */
static void a_batch_that_fails_leaves_no_entry(void **state)
{
    (void)state;
    struct fixture f;
    struct picture picture;
    bitcask_slice names[2] = {bitcask_str("k"), bitcask_str("l")};
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "k");
    take_picture(&f, &picture, names, 2);
    struct write_op batch[2] = {op_put("k", "1", 0), op_put("l", "2", 0)};
    struct write_request request = {
        .ops = batch, .op_count = 2, .batch = true, .durable = true, .error = &f.error};
    os_mem_fail(f.os, SYNC_CALLS | 1u << OS_CALL_PWRITE, 1, 1, -EIO);
    assert_true(group_write(f.store, &request) < 0);
    check_value(&f, "k", "k");
    assert_int_equal(stats_of(&f).undo_entries, 0);
    check_picture(&f, &picture);
    bitcask_snapshot_free(picture.snapshot);
    check_nothing_left(&f);
    fixture_release(&f);
}

/* ---- A group of requests ----------------------------------------------------------------------
 */

static void requests_served_together_keep_what_each_snapshot_needs(void **state)
{
    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        struct fixture f;
        struct picture before, after;
        bitcask_slice names[3] = {bitcask_str("k"), bitcask_str("l"), bitcask_str("m")};
        fixture_init(&f);
        open_store(&f);
        put(&f, "k", "0");
        put(&f, "m", "0");
        take_picture(&f, &before, names, 3);
        struct write_op first[1] = {op_put("k", "1", 0)};
        struct write_op second[3] = {op_put("k", "2", 0), op_delete("m"), op_put("l", "2", 0)};
        struct write_op third[1] = {op_delete("k")};
        struct write_op fourth[2] = {op_put("m", "4", 0), op_put("k", "4", 0)};
        struct write_request requests[4] = {
            {.ops = first, .op_count = 1, .durable = durable},
            {.ops = second, .op_count = 3, .batch = true},
            {.ops = third, .op_count = 1},
            {.ops = fourth, .op_count = 2, .batch = true},
        };
        write_together(&f, requests, 4);
        for (int i = 0; i < 4; i++)
            assert_int_equal(requests[i].status, BITCASK_OK);
        assert_int_equal(stats_of(&f).undo_entries, 2); /* the first of k and of m */
        check_value(&f, "k", "4");
        check_picture(&f, &before);
        take_picture(&f, &after, names, 3);
        put(&f, "k", "5");
        check_picture(&f, &before);
        check_picture(&f, &after);
        bitcask_snapshot_free(after.snapshot);
        check_picture(&f, &before);
        bitcask_snapshot_free(before.snapshot);
        check_nothing_left(&f);
        fixture_release(&f);
    }
}

/* ---- Random histories -------------------------------------------------------------------------
 */

enum { MODEL_KEYS = 32, MODEL_SNAPSHOTS = 5, MODEL_STEPS = 700 };

struct model {
    uint32_t serial[MODEL_KEYS]; /* of its last put; 0: deleted */
    uint64_t expires_us[MODEL_KEYS];
    uint64_t now_us; /* of a copy: when the snapshot was taken */
};

struct run {
    struct fixture f;
    uint64_t random;
    bool colliding;
    uint32_t serial;
    struct model model, copies[MODEL_SNAPSHOTS];
    bitcask_snapshot *snapshots[MODEL_SNAPSHOTS];
    uint8_t keys[MODEL_KEYS][COLLIDING_KEY_SIZE];
    bitcask_slice names[MODEL_KEYS];
};

static unsigned draw(struct run *run, unsigned n)
{
    run->random = run->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(run->random >> 33) % n;
}

static size_t model_value(char value[6000], unsigned key, uint32_t serial)
{
    size_t size = serial % 16 == 0 ? 5000 : 20 + serial % 50; /* large ones go by pwrite */
    memset(value, 'a' + (int)(serial % 26), size);
    snprintf(value, size, "%u:%u", key, serial);
    return size;
}

static bool model_has(const struct model *model, unsigned key, uint64_t now)
{
    return model->serial[key] != 0 && (model->expires_us[key] == 0 || model->expires_us[key] > now);
}

static void expect(struct run *run, const struct model *model, uint64_t now, unsigned key,
                   bitcask_status status, bitcask_slice value)
{
    char expected[6000];
    if (!model_has(model, key, now)) {
        if (status != BITCASK_NOT_FOUND)
            fail_msg("key %u should not be there: %s", key, bitcask_status_name(status));
        return;
    }
    if (status != BITCASK_OK)
        fail_msg("key %u: %s", key, bitcask_status_name(status));
    size_t size = model_value(expected, key, model->serial[key]);
    assert_int_equal(value.size, size);
    assert_memory_equal(value.data, expected, size);
    (void)run;
}

/* Read everything, as of a snapshot or (NULL) as of now, by get_many and by a walk. */
static void check_against(struct run *run, const struct model *model, bitcask_snapshot *snapshot)
{
    struct fixture *f = &run->f;
    bitcask_read_options options = as_of(snapshot);
    uint64_t now = snapshot != NULL ? model->now_us : f->os->clock_coarse(f->os);
    bitcask_view views[MODEL_KEYS];
    bitcask_status each[MODEL_KEYS];
    assert_status(
        f, OK, bitcask_get_many(f->db, &options, run->names, MODEL_KEYS, views, each, &f->error));
    unsigned live = 0, seen = 0;
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        expect(run, model, now, key, each[key], views[key].value);
        live += model_has(model, key, now);
    }
    bitcask_views_release(views, MODEL_KEYS);
    bitcask_iterator *iterator;
    bitcask_entry entry;
    assert_status(f, OK,
                  bitcask_iterator_new(f->db, &options, bitcask_str(""), BITCASK_VALUES, &iterator,
                                       &f->error));
    while (bitcask_iterator_next(iterator, &entry, &f->error) == BITCASK_OK) {
        unsigned key = 0;
        while (key < MODEL_KEYS && !slice_equal(run->names[key], entry.key))
            key++;
        assert_in_range(key, 0, MODEL_KEYS - 1);
        expect(run, model, now, key, BITCASK_OK, entry.value);
        seen++;
    }
    bitcask_iterator_free(iterator);
    assert_int_equal(seen, live);
}

static uint64_t some_expiry(struct run *run)
{
    uint64_t now = run->f.os->clock_real(run->f.os);
    return draw(run, 3) == 0 ? now + (1 + draw(run, 100)) * (uint64_t)SECOND + SECOND / 2 : 0;
}

static void model_put(struct run *run, unsigned key)
{
    char value[6000];
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = some_expiry(run);
    size_t size = model_value(value, key, ++run->serial);
    assert_status(&run->f, OK,
                  bitcask_put(run->f.db, run->names[key], bitcask_bytes(value, size), &options,
                              NULL, &run->f.error));
    run->model.serial[key] = run->serial;
    run->model.expires_us[key] = options.expires_us;
}

static void model_delete(struct run *run, unsigned key)
{
    bool there = model_has(&run->model, key, run->f.os->clock_coarse(run->f.os));
    bitcask_status status = bitcask_delete(run->f.db, run->names[key], NULL, NULL, &run->f.error);
    assert_int_equal(status, there ? BITCASK_OK : BITCASK_NOT_FOUND);
    if (there)
        run->model.serial[key] = 0;
}

static void model_expire(struct run *run, unsigned key)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = some_expiry(run);
    if (bitcask_expire(run->f.db, run->names[key], &options, NULL, &run->f.error) == BITCASK_OK)
        run->model.expires_us[key] = options.expires_us;
}

static void model_batch(struct run *run)
{
    char value[6000];
    bitcask_batch *batch;
    bitcask_error *error = &run->f.error;
    assert_status(&run->f, OK, bitcask_batch_new(&batch, error));
    unsigned count = 1 + draw(run, 8);
    for (unsigned i = 0; i < count; i++) {
        unsigned key = draw(run, MODEL_KEYS);
        if (draw(run, 3) == 0) {
            assert_status(&run->f, OK, bitcask_batch_delete(batch, run->names[key], error));
            run->model.serial[key] = 0;
            continue;
        }
        size_t size = model_value(value, key, ++run->serial);
        uint64_t expires = some_expiry(run);
        assert_status(
            &run->f, OK,
            bitcask_batch_put(batch, run->names[key], bitcask_bytes(value, size), expires, error));
        run->model.serial[key] = run->serial;
        run->model.expires_us[key] = expires;
    }
    assert_status(&run->f, OK, bitcask_write(run->f.db, batch, NULL, NULL, error));
    bitcask_batch_free(batch);
}

static void toggle_snapshot(struct run *run, unsigned which)
{
    if (run->snapshots[which] != NULL) {
        bitcask_snapshot_free(run->snapshots[which]);
        run->snapshots[which] = NULL;
        return;
    }
    assert_status(&run->f, OK,
                  bitcask_snapshot_new(run->f.db, &run->snapshots[which], &run->f.error));
    run->copies[which] = run->model;
    run->copies[which].now_us = run->f.os->clock_coarse(run->f.os);
}

static void model_step(struct run *run)
{
    unsigned kind = draw(run, 100), key = draw(run, MODEL_KEYS);
    if (kind < 40)
        model_put(run, key);
    else if (kind < 55)
        model_delete(run, key);
    else if (kind < 60)
        model_expire(run, key);
    else if (kind < 75)
        model_batch(run);
    else if (kind < 85)
        toggle_snapshot(run, draw(run, MODEL_SNAPSHOTS));
    else if (kind < 89)
        rotate(&run->f);
    else if (kind < 93)
        assert_status(&run->f, OK, merge_all(&run->f));
    else if (kind < 95)
        assert_status(&run->f, OK, bitcask_merge(run->f.db, NULL, NULL, &run->f.error));
    else
        os_mem_advance_clock(run->f.os, (1 + draw(run, 60)) * (int64_t)SECOND);
}

static void run_history(uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    run->random = seed;
    run->colliding = seed % 3 == 0;
    fixture_init(&run->f);
    open_way(&run->f, seed % 2 == 0 ? WAY_MAPPED : WAY_PWRITE);
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        int size = snprintf((char *)run->keys[key], COLLIDING_KEY_SIZE, "key%u", key);
        run->names[key] = bitcask_bytes(run->keys[key], (size_t)size);
        if (run->colliding)
            run->names[key] = colliding_key(run->keys[key], &run->f.store->secret, key);
    }
    for (int step = 0; step < MODEL_STEPS; step++) {
        model_step(run);
        if (step % 16 == 0)
            check_against(run, &run->model, NULL);
        unsigned which = draw(run, MODEL_SNAPSHOTS);
        if (run->snapshots[which] != NULL)
            check_against(run, &run->copies[which], run->snapshots[which]);
    }
    for (unsigned i = 0; i < MODEL_SNAPSHOTS; i++) {
        if (run->snapshots[i] != NULL)
            check_against(run, &run->copies[i], run->snapshots[i]);
        bitcask_snapshot_free(run->snapshots[i]);
    }
    check_nothing_left(&run->f);
    check_against(run, &run->model, NULL);
    assert_sound(&run->f);
    fixture_release(&run->f);
    free(run);
}

static void random_histories_agree_with_copies_of_a_model(void **state)
{
    (void)state;
    const char *given = getenv("SNAPSHOT_SEED"); /* replay one */
    uint64_t from = given != NULL ? strtoull(given, NULL, 10) : 1;
    uint64_t to = given != NULL ? from : 12;
    for (uint64_t seed = from; seed <= to; seed++) {
        print_message("replay with SNAPSHOT_SEED=%llu\n", (unsigned long long)seed);
        run_history(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_was_and_whatever_is_done_a_snapshot_reads_as_it_was),
        cmocka_unit_test(snapshots_may_be_freed_in_any_order),
        cmocka_unit_test(a_key_written_often_is_kept_once_for_each_snapshot),
        cmocka_unit_test(its_version_is_that_of_the_last_write),
        cmocka_unit_test(a_snapshot_of_a_reopened_store_sees_all_of_it),
        cmocka_unit_test(a_merged_segment_is_held_only_while_the_overlay_points_into_it),
        cmocka_unit_test(an_iterator_keeps_its_snapshot),
        cmocka_unit_test(a_walk_among_writes_meets_every_key_once_as_it_was),
        cmocka_unit_test(a_snapshot_left_over_at_close_can_still_be_freed),
        cmocka_unit_test(a_snapshot_of_another_store_is_refused),
        cmocka_unit_test(a_merge_keeps_what_a_snapshot_sees_as_alive),
        cmocka_unit_test(a_snapshot_taken_during_a_merge_never_sees_what_that_may_reap),
        cmocka_unit_test(with_the_clock_set_back_behind_a_merge_snapshots_see_short_lived_keys),
        cmocka_unit_test(keys_of_one_hash_keep_their_own_old_records),
        cmocka_unit_test(out_of_memory_at_every_allocation_fails_the_write_and_nothing_else),
        cmocka_unit_test(a_damaged_old_record_is_corrupt_as_of_the_snapshot),
        cmocka_unit_test(a_rescued_segment_is_read_as_of_the_snapshot),
        cmocka_unit_test(a_batch_that_fails_leaves_no_entry),
        cmocka_unit_test(requests_served_together_keep_what_each_snapshot_needs),
        cmocka_unit_test(random_histories_agree_with_copies_of_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
