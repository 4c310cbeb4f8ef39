/* SPDX-License-Identifier: MIT
 * views_threads_test.c: readers among threads that write batches. Run under ThreadSanitizer as
 * well. Scenario 17, invariants X4, X5 and X6.
 *
 *   families  all keys of a family are written by one batch each time, with the same number, which
 *             grows; some are deleted and put again in the same batch, so they are never missing
 *   accounts  batches move amounts from one to another: the sum never changes
 * Readers check it by single reads one after another, by get_many and on snapshots, while merges
 * and single writes go on. Nothing depends on how far anybody gets. */
#include "engine/background.h"
#include "support/write_fixture.h"

#include <pthread.h>
#include <sched.h>

enum {
    FAMILIES = 4,
    FAMILY_KEYS = 9,
    ACCOUNTS = 24,
    AMOUNT = 1000,
    ROUNDS = 400, /* of each writer */
    LOOKS = 40,   /* of each reader at least */
};

struct stress {
    bitcask *db;
    atomic_uint done[FAMILIES]; /* the last number whose batch has returned */
    atomic_bool stop;
    atomic_uint failures;
    char failure[200];
    bool durable;
};

struct worker {
    struct stress *stress;
    unsigned number;
    uint64_t random;
    pthread_t thread;
};

static void complain(struct stress *stress, const char *what, unsigned a, unsigned b)
{
    if (atomic_fetch_add(&stress->failures, 1) == 0)
        snprintf(stress->failure, sizeof stress->failure, "%s: %u, %u", what, a, b);
}

static unsigned draw(struct worker *worker, unsigned n)
{
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(worker->random >> 33) % n;
}

static bitcask_slice member(char name[24], unsigned family, unsigned key)
{
    return bitcask_bytes(name, (size_t)snprintf(name, 24, "family%u-%u", family, key));
}

static bitcask_slice account(char name[24], unsigned number)
{
    return bitcask_bytes(name, (size_t)snprintf(name, 24, "account%u", number));
}

static unsigned number_in(bitcask_slice value)
{
    uint32_t number = UINT32_MAX;
    if (value.size >= sizeof number)
        memcpy(&number, value.data, sizeof number);
    return number;
}

static void must(struct stress *stress, const char *what, bitcask_status status)
{
    if (status != BITCASK_OK)
        complain(stress, what, (unsigned)-status, 0);
}

/* ---- Writers --------------------------------------------------------------------------------- */

static void add(struct stress *stress, bitcask_batch *batch, bitcask_slice key, uint32_t number)
{
    uint8_t value[300] = {0};
    memcpy(value, &number, sizeof number);
    must(stress, "add",
         bitcask_batch_put(batch, key, bitcask_bytes(value, 8 + number % 290), 0, NULL));
}

static void apply(struct worker *worker, bitcask_batch *batch)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    if (worker->stress->durable && draw(worker, 8) == 0)
        options.sync = BITCASK_SYNC_ALWAYS;
    must(worker->stress, "write", bitcask_write(worker->stress->db, batch, &options, NULL, NULL));
    bitcask_batch_clear(batch);
}

static void write_family(struct worker *worker, bitcask_batch *batch, unsigned family,
                         uint32_t number)
{
    char name[24];
    unsigned first = draw(worker, FAMILY_KEYS);
    for (unsigned i = 0; i < FAMILY_KEYS; i++) {
        bitcask_slice key = member(name, family, (first + i) % FAMILY_KEYS);
        if (draw(worker, 3) == 0)
            must(worker->stress, "add", bitcask_batch_delete(batch, key, NULL));
        if (draw(worker, 4) == 0)
            add(worker->stress, batch, key, number + 1000000); /* never to be seen */
        add(worker->stress, batch, key, number);
    }
    apply(worker, batch);
}

static void *write_families(void *context)
{
    struct worker *worker = context;
    bitcask_batch *batch;
    must(worker->stress, "batch", bitcask_batch_new(&batch, NULL));
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        for (unsigned family = worker->number; family < FAMILIES; family += 2) {
            write_family(worker, batch, family, round);
            atomic_store(&worker->stress->done[family], round);
        }
    }
    bitcask_batch_free(batch);
    return NULL;
}

static void *move_amounts(void *context)
{
    struct worker *worker = context;
    uint32_t balance[ACCOUNTS];
    char name[24];
    bitcask_batch *batch;
    must(worker->stress, "batch", bitcask_batch_new(&batch, NULL));
    for (unsigned i = 0; i < ACCOUNTS; i++)
        balance[i] = AMOUNT;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        unsigned from = draw(worker, ACCOUNTS), to = draw(worker, ACCOUNTS);
        uint32_t amount = draw(worker, balance[from] + 1);
        balance[from] -= amount;
        balance[to] += amount;
        add(worker->stress, batch, account(name, from), balance[from]);
        add(worker->stress, batch, account(name, to), balance[to]);
        apply(worker, batch);
    }
    bitcask_batch_free(batch);
    return NULL;
}

/* Single writes in between, which need old places for snapshots only. */
static void *write_singles(void *context)
{
    struct worker *worker = context;
    for (int round = 0; round < 4 * ROUNDS; round++) {
        char name[24];
        snprintf(name, sizeof name, "single%u", draw(worker, 50));
        if (draw(worker, 3) == 0)
            (void)!bitcask_delete(worker->stress->db, bitcask_str(name), NULL, NULL, NULL);
        else
            must(worker->stress, "put",
                 bitcask_put(worker->stress->db, bitcask_str(name), bitcask_str("single"), NULL,
                             NULL, NULL));
    }
    return NULL;
}

static void *merge_often(void *context)
{
    struct worker *worker = context;
    while (!atomic_load(&worker->stress->stop)) {
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.all = draw(worker, 2) == 0;
        must(worker->stress, "merge", bitcask_merge(worker->stress->db, &options, NULL, NULL));
    }
    return NULL;
}

/* ---- Readers --------------------------------------------------------------------------------- */

static bool goes_on(struct worker *worker, int looks)
{
    return looks < LOOKS || !atomic_load(&worker->stress->stop);
}

/* One key after another: a batch that one read has seen, the next one sees too. */
static void *read_singly(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    bitcask_buffer value = {0};
    for (int looks = 0; goes_on(worker, looks); looks++) {
        char name[24];
        unsigned family = draw(worker, FAMILIES), first = draw(worker, FAMILY_KEYS);
        unsigned least = atomic_load(&stress->done[family]);
        for (unsigned i = 0; i < 2 * FAMILY_KEYS; i++) {
            bitcask_slice key = member(name, family, (first + i) % FAMILY_KEYS);
            bitcask_status status = bitcask_get(stress->db, NULL, key, &value, NULL, NULL);
            if (status != BITCASK_OK) {
                complain(stress, "a key is missing", family, i);
                continue;
            }
            unsigned number = number_in(bitcask_bytes(value.data, value.size));
            if (number < least || number > ROUNDS)
                complain(stress, "one key of a batch after another", least, number);
            least = number;
        }
    }
    bitcask_buffer_free(&value);
    return NULL;
}

enum { ALL_KEYS = FAMILIES * FAMILY_KEYS + ACCOUNTS };

/* What was read of all keys at once: the families uniform, the sum right. `numbers` in the order of
 * name_all. */
static void check_all(struct stress *stress, const char *how, const unsigned numbers[ALL_KEYS],
                      const unsigned least[FAMILIES])
{
    unsigned sum = 0;
    for (unsigned family = 0; family < FAMILIES; family++) {
        const unsigned *of = numbers + family * FAMILY_KEYS;
        for (unsigned i = 1; i < FAMILY_KEYS; i++)
            if (of[i] != of[0])
                complain(stress, how, of[0], of[i]);
        if (of[0] < least[family] || of[0] > ROUNDS)
            complain(stress, how, least[family], of[0]);
    }
    for (unsigned i = 0; i < ACCOUNTS; i++)
        sum += numbers[FAMILIES * FAMILY_KEYS + i];
    if (sum != ACCOUNTS * AMOUNT)
        complain(stress, how, sum, ACCOUNTS * AMOUNT);
}

static void name_all(char names[ALL_KEYS][24], bitcask_slice keys[ALL_KEYS])
{
    for (unsigned i = 0; i < ALL_KEYS; i++)
        keys[i] = i < FAMILIES * FAMILY_KEYS ? member(names[i], i / FAMILY_KEYS, i % FAMILY_KEYS)
                                             : account(names[i], i - FAMILIES * FAMILY_KEYS);
}

static void look_at_many(struct stress *stress, bitcask_snapshot *snapshot,
                         const bitcask_slice *keys, unsigned numbers[ALL_KEYS])
{
    bitcask_view views[ALL_KEYS];
    bitcask_status each[ALL_KEYS];
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    must(stress, "get_many",
         bitcask_get_many(stress->db, &options, keys, ALL_KEYS, views, each, NULL));
    for (unsigned i = 0; i < ALL_KEYS; i++)
        numbers[i] = each[i] == BITCASK_OK ? number_in(views[i].value) : UINT32_MAX;
    bitcask_views_release(views, ALL_KEYS);
}

static void *read_many(void *context)
{
    struct worker *worker = context;
    char names[ALL_KEYS][24];
    bitcask_slice keys[ALL_KEYS];
    unsigned numbers[ALL_KEYS], least[FAMILIES];
    name_all(names, keys);
    for (int looks = 0; goes_on(worker, looks); looks++) {
        for (unsigned i = 0; i < FAMILIES; i++)
            least[i] = atomic_load(&worker->stress->done[i]);
        look_at_many(worker->stress, NULL, keys, numbers);
        check_all(worker->stress, "get_many", numbers, least);
    }
    return NULL;
}

/* Which of `keys` this is; ALL_KEYS: another one. */
static unsigned find_key(const bitcask_slice *keys, bitcask_slice key)
{
    unsigned i = 0;
    while (i < ALL_KEYS && !slice_equal(keys[i], key))
        i++;
    return i;
}

static void walk(struct stress *stress, bitcask_snapshot *snapshot, const bitcask_slice *keys,
                 unsigned numbers[ALL_KEYS])
{
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_status status;
    for (unsigned i = 0; i < ALL_KEYS; i++)
        numbers[i] = UINT32_MAX;
    must(stress, "iterator",
         bitcask_iterator_new(stress->db, &options, bitcask_str(""), BITCASK_VALUES, &iterator,
                              NULL));
    while ((status = bitcask_iterator_next(iterator, &entry, NULL)) == BITCASK_OK) {
        unsigned i = find_key(keys, entry.key);
        if (i == ALL_KEYS)
            continue;
        if (numbers[i] != UINT32_MAX)
            complain(stress, "a key shows twice", i, numbers[i]);
        numbers[i] = number_in(entry.value);
    }
    if (status != BITCASK_END)
        complain(stress, "walk", (unsigned)-status, 0);
    bitcask_iterator_free(iterator);
}

/* Two walks over one snapshot and a look at each of its keys are the same; it may be held while
 * another is taken. */
static void *read_snapshots(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    char names[ALL_KEYS][24];
    bitcask_slice keys[ALL_KEYS];
    unsigned numbers[ALL_KEYS], again[ALL_KEYS], least[FAMILIES];
    bitcask_snapshot *held = NULL;
    name_all(names, keys);
    for (int looks = 0; goes_on(worker, looks); looks++) {
        bitcask_snapshot *snapshot;
        for (unsigned i = 0; i < FAMILIES; i++)
            least[i] = atomic_load(&stress->done[i]);
        must(stress, "snapshot", bitcask_snapshot_new(stress->db, &snapshot, NULL));
        walk(stress, snapshot, keys, numbers);
        check_all(stress, "walk", numbers, least);
        look_at_many(stress, snapshot, keys, again);
        if (memcmp(numbers, again, sizeof numbers) != 0)
            complain(stress, "look-ups differ from the walk", 0, 0);
        walk(stress, snapshot, keys, again);
        if (memcmp(numbers, again, sizeof numbers) != 0)
            complain(stress, "two walks differ", 0, 0);
        bitcask_snapshot *first = draw(worker, 2) == 0 ? snapshot : held;
        bitcask_snapshot_free(first);
        held = first == snapshot ? held : snapshot;
    }
    bitcask_snapshot_free(held);
    return NULL;
}

/* ---- The runs -------------------------------------------------------------------------------- */

static void start(struct worker *worker, struct stress *stress, unsigned number,
                  void *(*run)(void *))
{
    *worker = (struct worker){.stress = stress, .number = number, .random = number * 77 + 5};
    assert_int_equal(pthread_create(&worker->thread, NULL, run, worker), 0);
}

static void write_first(struct stress *stress)
{
    struct worker worker = {.stress = stress, .random = 1};
    char name[24];
    bitcask_batch *batch;
    assert_int_equal(bitcask_batch_new(&batch, NULL), BITCASK_OK);
    for (unsigned family = 0; family < FAMILIES; family++)
        write_family(&worker, batch, family, 0);
    for (unsigned i = 0; i < ACCOUNTS; i++)
        add(stress, batch, account(name, i), AMOUNT);
    apply(&worker, batch);
    bitcask_batch_free(batch);
}

static void run_stress(enum way way, bool durable)
{
    static struct fixture f;
    static struct stress stress;
    fixture_init(&f);
    f.options.log = NULL;
    f.options.background = BITCASK_BACKGROUND_THREAD;
    f.options.sync_interval_ms = 1;
    open_way(&f, way);
    memset(&stress, 0, sizeof stress);
    stress.db = f.db;
    stress.durable = durable;
    write_first(&stress);
    struct worker writers[4], readers[4], merger;
    start(&writers[0], &stress, 0, write_families);
    start(&writers[1], &stress, 1, write_families);
    start(&writers[2], &stress, 2, move_amounts);
    start(&writers[3], &stress, 3, write_singles);
    start(&readers[0], &stress, 4, read_singly);
    start(&readers[1], &stress, 5, read_many);
    start(&readers[2], &stress, 6, read_snapshots);
    start(&readers[3], &stress, 7, read_snapshots);
    start(&merger, &stress, 8, merge_often);
    for (int i = 0; i < 4; i++)
        pthread_join(writers[i].thread, NULL);
    atomic_store(&stress.stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(readers[i].thread, NULL);
    pthread_join(merger.thread, NULL);
    if (atomic_load(&stress.failures) > 0)
        fail_msg("%u failures, the first: %s", atomic_load(&stress.failures), stress.failure);
    background_stop(f.store); /* it may be about to bury what was retired: what is left is ours */
    for (int i = 0; i < 10; i++)
        epoch_poll(&f.store->epoch);
    assert_int_equal(stats_of(&f).undo_entries, 0);
    assert_int_equal(stats_of(&f).snapshots, 0);
    assert_int_equal(stats_of(&f).pinned_segments, 0);
    assert_sound(&f);
    fixture_release(&f);
}

static void batches_are_seen_whole_where_records_are_mapped(void **state)
{
    (void)state;
    run_stress(WAY_MAPPED, false);
}

static void batches_are_seen_whole_where_records_go_by_pwrite(void **state)
{
    (void)state;
    run_stress(WAY_PWRITE, false);
}

static void batches_are_seen_whole_in_durable_groups(void **state)
{
    (void)state;
    run_stress(WAY_MAPPED, true);
}

/* Batches without end: get_many gets its moment by a snapshot in the end. */
static void *write_without_end(void *context)
{
    struct worker *worker = context;
    bitcask_batch *batch;
    must(worker->stress, "batch", bitcask_batch_new(&batch, NULL));
    for (uint32_t number = 1; !atomic_load(&worker->stress->stop); number++)
        write_family(worker, batch, 0, number);
    bitcask_batch_free(batch);
    return NULL;
}

static void many_keys_are_read_at_one_moment_among_batches_without_end(void **state)
{
    (void)state;
    enum { COPIES = 40 }; /* enough look-ups for batches to come between */
    static struct fixture f;
    static struct stress stress;
    static char names[FAMILY_KEYS * COPIES][24];
    static bitcask_slice keys[FAMILY_KEYS * COPIES];
    static bitcask_view views[FAMILY_KEYS * COPIES];
    static bitcask_status each[FAMILY_KEYS * COPIES];
    fixture_init(&f);
    f.options.log = NULL;
    open_store(&f);
    memset(&stress, 0, sizeof stress);
    stress.db = f.db;
    write_first(&stress);
    for (unsigned i = 0; i < FAMILY_KEYS * COPIES; i++)
        keys[i] = member(names[i], 0, i % FAMILY_KEYS);
    struct worker writers[2];
    start(&writers[0], &stress, 0, write_without_end);
    for (int looks = 0; looks < 3 * LOOKS; looks++) {
        must(&stress, "get_many",
             bitcask_get_many(f.db, NULL, keys, FAMILY_KEYS * COPIES, views, each, &f.error));
        for (unsigned i = 1; i < FAMILY_KEYS * COPIES; i++)
            if (each[i] != BITCASK_OK || number_in(views[i].value) != number_in(views[0].value))
                complain(&stress, "many", number_in(views[0].value), number_in(views[i].value));
        bitcask_views_release(views, FAMILY_KEYS * COPIES);
        sched_yield();
    }
    atomic_store(&stress.stop, true);
    pthread_join(writers[0].thread, NULL);
    if (atomic_load(&stress.failures) > 0)
        fail_msg("%u failures, the first: %s", atomic_load(&stress.failures), stress.failure);
    assert_int_equal(stats_of(&f).undo_entries, 0);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_seen_whole_where_records_are_mapped),
        cmocka_unit_test(batches_are_seen_whole_where_records_go_by_pwrite),
        cmocka_unit_test(batches_are_seen_whole_in_durable_groups),
        cmocka_unit_test(many_keys_are_read_at_one_moment_among_batches_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
