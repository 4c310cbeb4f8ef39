/* SPDX-License-Identifier: MIT
 * views_steps_test.c: readers that come between the steps of a writer, and writers between the
 * steps of a reader, each at the very step. Scenario 17, invariants X4 to X6.
 *
 * The linker lets this program stand in for a few functions of the engine (--wrap, in meson.build):
 * it calls them, and its own hook before or after. Readers take no lock, so they can be called in
 * the middle of a write; where a reader has to be held up, it is a thread that waits.
 *
 * All of it once by the long way of look-ups, and once by each of the short ones that the processor
 * has (engine/reader_fast.h), which are only for a store that nobody listens to. */
#include "support/write_fixture.h"

#include <semaphore.h>

#include "base/checksum.h"
#include "engine/reader.h"

/* ---- The hooks ------------------------------------------------------------------------------- */

static void (*after_change)(void);               /* of the index, by the writer */
static _Thread_local void (*before_proof)(void); /* of a record, by a reader */
static void (*before_collect)(void); /* of the overlay, by a walk that has scanned the index */

static void call(void (*hook)(void))
{
    if (hook != NULL)
        hook();
}

bool __real_keydir_replace(struct keydir *keydir, uint64_t hash, struct keydir_place from,
                           struct keydir_place to);
bool __wrap_keydir_replace(struct keydir *keydir, uint64_t hash, struct keydir_place from,
                           struct keydir_place to);
bool __wrap_keydir_replace(struct keydir *keydir, uint64_t hash, struct keydir_place from,
                           struct keydir_place to)
{
    bool changed = __real_keydir_replace(keydir, hash, from, to);
    call(after_change);
    return changed;
}

bool __real_keydir_remove(struct keydir *keydir, uint64_t hash, struct keydir_place from);
bool __wrap_keydir_remove(struct keydir *keydir, uint64_t hash, struct keydir_place from);
bool __wrap_keydir_remove(struct keydir *keydir, uint64_t hash, struct keydir_place from)
{
    bool changed = __real_keydir_remove(keydir, hash, from);
    call(after_change);
    return changed;
}

void __real_keydir_insert(struct keydir *keydir, uint64_t hash, struct keydir_place place);
void __wrap_keydir_insert(struct keydir *keydir, uint64_t hash, struct keydir_place place);
void __wrap_keydir_insert(struct keydir *keydir, uint64_t hash, struct keydir_place place)
{
    __real_keydir_insert(keydir, hash, place);
    call(after_change);
}

/* Inline elsewhere: this program has a reader.c of its own, built with SEGMENT_PROVE_APART. */
enum segment_proof segment_prove(const struct segment *segment, uint32_t offset, slice key,
                                 bool verify, struct segment_record *record)
{
    call(before_proof);
    return segment_prove_any(segment, offset, key, verify, record);
}

bitcask_status __real_undo_collect(const struct undo *undo, uint64_t version, uint64_t from,
                                   uint64_t to, struct keydir_places *places,
                                   struct undo_versions *versions);
bitcask_status __wrap_undo_collect(const struct undo *undo, uint64_t version, uint64_t from,
                                   uint64_t to, struct keydir_places *places,
                                   struct undo_versions *versions);
bitcask_status __wrap_undo_collect(const struct undo *undo, uint64_t version, uint64_t from,
                                   uint64_t to, struct keydir_places *places,
                                   struct undo_versions *versions)
{
    call(before_collect);
    return __real_undo_collect(undo, version, from, to, places, versions);
}

/* ---- Readers between the steps of a batch -----------------------------------------------------
 */

enum { KEYS = 7 };

static const char *const names[KEYS] = {"changed", "deleted", "added", "twice",
                                        "back",    "same",    "nobody"};
static const char *const old_values[KEYS] = {"old", "old", NULL, "old", "old", "old", NULL};
static const char *const new_values[KEYS] = {"new", NULL, "new", "new", "new", "old", NULL};

static struct fixture f;
static bitcask_snapshot *snapshot; /* of before; or NULL */
static unsigned steps;

static void check_one(const char *const values[KEYS], int i, bitcask_status status,
                      bitcask_slice value)
{
    if (values[i] == NULL)
        assert_int_equal(status, BITCASK_NOT_FOUND);
    else
        assert_int_equal(status, BITCASK_OK);
    if (status == BITCASK_OK) {
        assert_int_equal(value.size, strlen(values[i]));
        assert_memory_equal(value.data, values[i], value.size);
    }
}

static void check_all(const char *const values[KEYS], bitcask_snapshot *as_of)
{
    bitcask_slice keys[KEYS];
    bitcask_view view, views[KEYS];
    bitcask_status each[KEYS];
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = as_of;
    const bitcask_read_options *given = as_of != NULL ? &options : NULL;
    for (int i = 0; i < KEYS; i++) {
        char room[8];
        bitcask_buffer buffer = {.data = room, .capacity = sizeof room};
        bitcask_meta meta;
        keys[i] = bitcask_str(names[i]);
        bitcask_status status = bitcask_get_view(f.db, given, keys[i], &view, &f.error);
        check_one(values, i, status, view.value);
        assert_int_equal(bitcask_stat_key(f.db, given, keys[i], &meta, &f.error), status);
        bitcask_views_release(&view, 1);
        status = bitcask_get(f.db, given, keys[i], &buffer, NULL, &f.error);
        check_one(values, i, status, bitcask_bytes(buffer.data, buffer.size));
    }
    assert_status(&f, OK, bitcask_get_many(f.db, given, keys, KEYS, views, each, &f.error));
    for (int i = 0; i < KEYS; i++)
        check_one(values, i, each[i], views[i].value);
    bitcask_views_release(views, KEYS);
}

static void check_nothing_shows(void)
{
    void (*hook)(void) = after_change;
    after_change = NULL;
    steps++;
    check_all(old_values, NULL);
    if (snapshot != NULL)
        check_all(old_values, snapshot);
    after_change = hook;
}

static void begin(bool sealed)
{
    fixture_init(&f);
    f.options.log = NULL;
    open_store(&f);
    for (int i = 0; i < KEYS; i++)
        if (old_values[i] != NULL)
            put(&f, names[i], old_values[i]);
    if (sealed)
        rotate(&f);
    steps = 0;
}

static void write_all(bool durable)
{
    struct write_op ops[9] = {
        op_put("changed", "new", 0), op_delete("deleted"),      op_put("added", "new", 0),
        op_put("twice", "never", 0), op_put("twice", "new", 0), op_delete("nobody"),
        op_put("back", "never", 0),  op_delete("back"),         op_put("back", "new", 0),
    };
    struct write_request request = {
        .ops = ops, .op_count = 9, .batch = true, .durable = durable, .error = &f.error};
    assert_status(&f, OK, group_write(f.store, &request));
}

static void scenario_17_no_step_of_a_batch_shows_before_the_last(void **state)
{
    (void)state;
    for (int how = 0; how < 8; how++) {
        begin(how & 1);
        if (how & 2)
            assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
        after_change = check_nothing_shows;
        write_all(how & 4);
        after_change = NULL;
        assert_int_equal(steps, 8); /* the delete of a key that is not there is none */
        check_all(new_values, NULL);
        if (snapshot != NULL)
            check_all(old_values, snapshot);
        bitcask_snapshot_free(snapshot);
        snapshot = NULL;
        assert_int_equal(stats_of(&f).undo_entries, 0);
        assert_sound(&f);
        fixture_release(&f);
    }
}

static void single_writes_show_at_once_and_not_to_the_snapshot(void)
{
    void (*hook)(void) = after_change;
    after_change = NULL;
    steps++;
    check_all(old_values, snapshot);
    after_change = hook;
}

static void a_snapshot_has_the_old_record_from_the_moment_it_leaves_the_index(void **state)
{
    (void)state;
    begin(false);
    assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
    after_change = single_writes_show_at_once_and_not_to_the_snapshot;
    put(&f, "changed", "new");
    delete_key(&f, "deleted");
    put(&f, "deleted", "again");
    put(&f, "added", "new");
    delete_key(&f, "added");
    after_change = NULL;
    assert_int_equal(steps, 5);
    bitcask_snapshot_free(snapshot);
    snapshot = NULL;
    fixture_release(&f);
}

/* ---- A reader that is held up -----------------------------------------------------------------
 */

struct reader {
    pthread_t thread;
    sem_t held, go_on;
    int proofs; /* the one before which it waits */
    const char *key;
    bool views; /* by get_view; else get */
    bitcask_status status;
    char value[8];
    size_t size;
};

static struct reader reader;
static _Thread_local int proofs_left;

static void wait_before_proof(void)
{
    if (--proofs_left == 0) {
        sem_post(&reader.held);
        sem_wait(&reader.go_on);
    }
}

static bitcask_status read_by_get(bitcask_slice key)
{
    bitcask_error error;
    bitcask_buffer value = {.data = reader.value, .capacity = sizeof reader.value};
    bitcask_status status = bitcask_get(f.db, NULL, key, &value, NULL, &error);
    reader.size = value.size;
    return status;
}

static bitcask_status read_by_view(bitcask_slice key)
{
    bitcask_error error;
    bitcask_view view;
    bitcask_status status = bitcask_get_view(f.db, NULL, key, &view, &error);
    reader.size = view.value.size;
    assert_true(reader.size <= sizeof reader.value);
    memcpy(reader.value, view.value.data, reader.size);
    bitcask_views_release(&view, 1);
    return status;
}

static void *read_and_wait(void *context)
{
    (void)context;
    bitcask_slice key = bitcask_str(reader.key);
    (void)read_by_get(bitcask_str("nobody")); /* the first look-up of a thread is never short */
    proofs_left = reader.proofs;
    before_proof = wait_before_proof;
    reader.status = reader.views ? read_by_view(key) : read_by_get(key);
    if (proofs_left > 0) /* it never came so far: let the writer find that out */
        sem_post(&reader.held);
    return NULL;
}

/* Behind the first change of a batch: a reader sets out, and is held up. */
static void let_reader_set_out(void)
{
    after_change = NULL;
    assert_int_equal(pthread_create(&reader.thread, NULL, read_and_wait, NULL), 0);
    sem_wait(&reader.held);
}

static void hold_up(const char *key, bool views, int proofs, struct write_op *ops, size_t count)
{
    memset(&reader, 0, sizeof reader);
    reader.views = views;
    sem_init(&reader.held, 0, 0);
    sem_init(&reader.go_on, 0, 0);
    reader.key = key;
    reader.proofs = proofs;
    after_change = let_reader_set_out;
    assert_status(&f, OK, write_batch(&f, ops, count));
    assert_null(after_change);
    sem_post(&reader.go_on); /* the batch is over, its entries are gone */
    pthread_join(reader.thread, NULL);
    sem_destroy(&reader.held);
    sem_destroy(&reader.go_on);
}

static void expect_read(const char *value)
{
    assert_int_equal(reader.status, BITCASK_OK);
    assert_int_equal(reader.size, strlen(value));
    assert_memory_equal(reader.value, value, reader.size);
}

/* It has found the first of two records of the batch, and proves it when the batch is over. */
static void a_value_that_its_own_batch_replaces_is_not_seen_late(void **state)
{
    (void)state;
    for (int views = 0; views < 2; views++) {
        begin(false);
        struct write_op ops[2] = {op_put("twice", "never", 0), op_put("twice", "new", 0)};
        hold_up("twice", views, 1, ops, 2);
        expect_read("new");
        fixture_release(&f);
    }
}

/* It has found that the record is hidden, and comes to the overlay when the old place has gone. */
static void an_old_place_that_has_gone_is_no_missing_key(void **state)
{
    (void)state;
    for (int views = 0; views < 2; views++) {
        for (int proofs = 2; proofs < 4; proofs++) {
            begin(false);
            struct write_op ops[2] = {op_put("changed", "new", 0), op_put("added", "new", 0)};
            hold_up("changed", views, proofs, ops, 2);
            expect_read("new");
            fixture_release(&f);
        }
    }
}

/* It has found the old record before the batch, and proves it when the batch is over: it may. */
static void an_old_record_found_before_the_batch_is_still_an_answer(void **state)
{
    (void)state;
    for (int views = 0; views < 2; views++) {
        begin(true);
        struct write_op ops[2] = {op_put("changed", "new", 0), op_put("same", "x", 0)};
        hold_up("same", views, 1, ops, 2);
        assert_int_equal(reader.status, BITCASK_OK);
        assert_true(reader.size == 3 || reader.size == 1);
        fixture_release(&f);
    }
}

/* ---- Batches between the look-ups of get_many --------------------------------------------------
 */

static int batches_between, proofs_between;

static void write_between(void)
{
    void (*hook)(void) = before_proof;
    if (--proofs_between > 0 || batches_between == 0)
        return;
    before_proof = NULL;
    batches_between--;
    char value[12];
    snprintf(value, sizeof value, "%d", batches_between);
    struct write_op ops[2] = {op_put("changed", value, 0), op_put("same", value, 0)};
    assert_status(&f, OK, write_batch(&f, ops, 2));
    proofs_between = 2;
    before_proof = hook;
}

static void get_many_sees_a_batch_between_its_look_ups_whole_or_not(void **state)
{
    (void)state;
    for (int batches = 1; batches < 12; batches++) {
        begin(false);
        bitcask_slice keys[2] = {bitcask_str("changed"), bitcask_str("same")};
        bitcask_view views[2];
        bitcask_status each[2];
        struct write_op first[2] = {op_put("changed", "x", 0), op_put("same", "x", 0)};
        assert_status(&f, OK, write_batch(&f, first, 2));
        batches_between = batches;
        proofs_between = 2; /* before the second key's record */
        before_proof = write_between;
        assert_status(&f, OK, bitcask_get_many(f.db, NULL, keys, 2, views, each, &f.error));
        before_proof = NULL;
        assert_true(slice_equal(views[0].value, views[1].value));
        bitcask_views_release(views, 2);
        assert_int_equal(stats_of(&f).snapshots, 0);
        assert_int_equal(stats_of(&f).undo_entries, 0);
        assert_int_equal(stats_of(&f).gets, 2);
        fixture_release(&f);
    }
}

/* ---- Writes between the two looks of a walk ----------------------------------------------------
 */

static int change_between;

static void write_between_looks(void)
{
    before_collect = NULL;
    if (change_between == 0)
        put(&f, "changed", "late");
    else if (change_between == 1)
        delete_key(&f, "changed");
    else if (change_between == 2)
        write_all(false);
    else if (change_between == 3) /* moved, and then written: the overlay has another place */
        assert_status(&f, OK, merge_all(&f));
    put(&f, "same", "late");
}

static void a_walk_over_a_snapshot_meets_once_what_is_written_between_its_looks(void **state)
{
    (void)state;
    for (change_between = 0; change_between < 4; change_between++) {
        begin(true);
        assert_status(&f, OK, bitcask_snapshot_new(f.db, &snapshot, &f.error));
        bitcask_read_options options;
        bitcask_read_options_init(&options);
        options.snapshot = snapshot;
        bitcask_iterator *iterator;
        bitcask_entry entry;
        assert_status(&f, OK,
                      bitcask_iterator_new(f.db, &options, bitcask_str(""), BITCASK_VALUES,
                                           &iterator, &f.error));
        int seen[KEYS] = {0};
        before_collect = write_between_looks;
        while (bitcask_iterator_next(iterator, &entry, &f.error) == BITCASK_OK) {
            int i = 0;
            while (!slice_equal(bitcask_str(names[i]), entry.key))
                i++;
            check_one(old_values, i, BITCASK_OK, entry.value);
            seen[i]++;
        }
        for (int i = 0; i < KEYS; i++)
            assert_int_equal(seen[i], old_values[i] != NULL);
        bitcask_iterator_free(iterator);
        check_all(old_values, snapshot);
        bitcask_snapshot_free(snapshot);
        snapshot = NULL;
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenario_17_no_step_of_a_batch_shows_before_the_last),
        cmocka_unit_test(a_snapshot_has_the_old_record_from_the_moment_it_leaves_the_index),
        cmocka_unit_test(a_value_that_its_own_batch_replaces_is_not_seen_late),
        cmocka_unit_test(an_old_place_that_has_gone_is_no_missing_key),
        cmocka_unit_test(an_old_record_found_before_the_batch_is_still_an_answer),
        cmocka_unit_test(get_many_sees_a_batch_between_its_look_ups_whole_or_not),
        cmocka_unit_test(a_walk_over_a_snapshot_meets_once_what_is_written_between_its_looks),
    };
    int failed = 0;
    for (int way = CHECKSUM_PORTABLE; way <= CHECKSUM_WIDE; way++) {
        (void)checksum_use((enum checksum_way)way);
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
