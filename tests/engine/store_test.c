/* SPDX-License-Identifier: MIT
 * store_test.c: random operations against a plain model, with crashes, kills and failing calls.
 *
 * Each seed draws its own mix: half of the operations and faults are switched off at random, so
 * that some runs do almost nothing but delete and merge. What may be there after a crash is
 * computed from the log of all writes: the store must show the state after some prefix of them, not
 * before the last one known to be durable.
 *
 *     BITCASK_TEST_SEEDS=1000   run as many seeds (default 150)
 *     BITCASK_TEST_SEED=17      run this one only */
#include "engine/verify.h"
#include "support/write_fixture.h"

enum {
    KEYS = 30,
    OPERATIONS = 300,
    WRITES_MAX = OPERATIONS * 4,
    SERIALS_MAX = OPERATIONS * 8,
    VALUE_MAX = 6000
};

enum action {
    DO_PUT,
    DO_DELETE,
    DO_TTL,
    DO_BATCH,
    DO_CAS,
    DO_LARGE,
    DO_GET,
    DO_ITERATE,
    DO_MERGE,
    DO_ROTATE,
    DO_SYNC,
    DO_REOPEN,
    DO_KILL,
    DO_CRASH,
    DO_LOSE_HINTS,
    DO_FAIL_SYNC,
    DO_CLOCK_BACK,
    DO_MERGE_CRASH,
    ACTION_COUNT,
};

/* One write to one key: serial 0 is a delete. */
struct change {
    int key;
    uint32_t serial;
    uint32_t size;
    uint64_t expires_us;
    bool batch_more; /* the next change belongs to the same batch */
};

struct run {
    struct fixture f;
    uint64_t seed, random;
    bool off[ACTION_COUNT];
    struct change changes[WRITES_MAX];
    size_t count;   /* changes so far */
    size_t durable; /* the first so many survive a power cut */
    uint32_t serial;
    uint32_t sizes[SERIALS_MAX]; /* of the values, by serial */
    int operation;
    uint64_t last_version;
};

static uint64_t draw(struct run *run, uint64_t below)
{
    uint64_t x = run->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    run->random = x;
    return (x * 0x2545F4914F6CDD1Dull >> 11) % below;
}

#define FAIL(run, ...)                                                                     \
    do {                                                                                   \
        char why_[400];                                                                    \
        snprintf(why_, sizeof why_, __VA_ARGS__);                                          \
        fail_msg("seed %llu, operation %d: %s\nreplay: BITCASK_TEST_SEED=%llu store_test", \
                 (unsigned long long)(run)->seed, (run)->operation, why_,                  \
                 (unsigned long long)(run)->seed);                                         \
    } while (0)

#define MUST(run, call)                                                                         \
    do {                                                                                        \
        bitcask_status must_ = (call);                                                          \
        if (must_ != BITCASK_OK)                                                                \
            FAIL(run, "%s: %s: %s", #call, bitcask_status_name(must_), (run)->f.error.message); \
    } while (0)

/* ---- Values tell which write they are of ---------------------------------------------------- */

static void make_value(char *value, const struct change *change)
{
    int head = snprintf(value, 32, "%d:%u:", change->key, change->serial);
    for (uint32_t i = (uint32_t)head; i < change->size; i++)
        value[i] = (char)('a' + (change->serial + i) % 26);
}

static void key_name(char key[16], int number)
{
    snprintf(key, 16, "key%d", number);
}

static struct change new_change(struct run *run, int key, uint32_t size)
{
    struct change change = {.key = key, .serial = ++run->serial, .size = size < 24 ? 24 : size};
    assert_true(change.serial < SERIALS_MAX);
    run->sizes[change.serial] = change.size;
    return change;
}

/* ---- The model ------------------------------------------------------------------------------ */

/* The change that decides over each key after the first `count` changes; NULL: never written. */
static void model_at(const struct run *run, size_t count, const struct change *last[KEYS])
{
    for (int i = 0; i < KEYS; i++)
        last[i] = NULL;
    for (size_t i = 0; i < count; i++)
        last[run->changes[i].key] = &run->changes[i];
}

static bool is_live(struct run *run, const struct change *change)
{
    return change != NULL && change->serial != 0 &&
           (change->expires_us == 0 || change->expires_us > run->f.os->clock_real(run->f.os));
}

/* The serial of the write that the store shows for a key: 0 if there is nothing, UINT32_MAX if it
 * is none of the key's. Every byte of the value is checked. */
static uint32_t shown(struct run *run, int number)
{
    char key[16], head[33] = {0}, value[VALUE_MAX + 32];
    bitcask_buffer found = {0};
    key_name(key, number);
    bitcask_status status = read_key(&run->f, key, &found);
    uint32_t serial = UINT32_MAX;
    struct change change = {.size = (uint32_t)found.size};
    if (status == BITCASK_NOT_FOUND) {
        serial = 0;
    } else if (status == BITCASK_OK && found.size >= 24 && found.size <= VALUE_MAX) {
        memcpy(head, found.data, found.size < 32 ? found.size : 32);
        if (sscanf(head, "%d:%u:", &change.key, &change.serial) == 2 && change.key == number) {
            make_value(value, &change);
            if (change.serial <= run->serial && run->sizes[change.serial] == change.size &&
                memcmp(value, found.data, found.size) == 0)
                serial = change.serial;
        }
    }
    bitcask_buffer_free(&found);
    return serial;
}

static bool shows(struct run *run, int number, const struct change *change)
{
    return shown(run, number) == (is_live(run, change) ? change->serial : 0);
}

/* The first key that is not as after the first `count` changes; -1 if there is none. */
static int wrong_key(struct run *run, size_t count, const uint32_t serials[KEYS])
{
    const struct change *last[KEYS];
    model_at(run, count, last);
    for (int i = 0; i < KEYS; i++)
        if (serials[i] != (is_live(run, last[i]) ? last[i]->serial : 0))
            return i;
    return -1;
}

static void show_all(struct run *run, uint32_t serials[KEYS])
{
    for (int i = 0; i < KEYS; i++)
        serials[i] = shown(run, i);
}

static void check_all(struct run *run)
{
    uint32_t serials[KEYS];
    show_all(run, serials);
    int wrong = wrong_key(run, run->count, serials);
    if (wrong >= 0) {
        char key[16];
        key_name(key, wrong);
        FAIL(run, "key%d is wrong: %s", wrong, bitcask_status_name(status_of(&run->f, key)));
    }
}

/* After a crash: the state after some prefix of the changes; the rest never happened. */
static void check_prefix(struct run *run)
{
    uint32_t serials[KEYS];
    show_all(run, serials);
    for (size_t count = run->count + 1; count-- > run->durable;) {
        if (count > 0 && run->changes[count - 1].batch_more)
            continue; /* half a batch is no state */
        if (wrong_key(run, count, serials) < 0) {
            run->count = run->durable = count;
            return;
        }
    }
    FAIL(run, "what is left is no prefix: of %zu writes, the first %zu durable", run->count,
         run->durable);
}

static void check_iteration(struct run *run)
{
    const struct change *last[KEYS];
    int seen[KEYS] = {0};
    bitcask_iterator *iterator;
    bitcask_entry entry;
    model_at(run, run->count, last);
    MUST(run, bitcask_iterator_new(run->f.db, NULL, bitcask_str("key"), BITCASK_VALUES, &iterator,
                                   &run->f.error));
    bitcask_status status;
    while ((status = bitcask_iterator_next(iterator, &entry, &run->f.error)) == BITCASK_OK) {
        int number = -1;
        char key[16] = {0};
        memcpy(key, entry.key.data, entry.key.size < 15 ? entry.key.size : 15);
        sscanf(key, "key%d", &number);
        if (number < 0 || number >= KEYS || !is_live(run, last[number]) ||
            entry.value.size != last[number]->size)
            FAIL(run, "iteration shows '%s'", key);
        seen[number]++;
    }
    if (status != BITCASK_END)
        FAIL(run, "iteration: %s", run->f.error.message);
    bitcask_iterator_free(iterator);
    for (int i = 0; i < KEYS; i++)
        if (seen[i] != is_live(run, last[i]))
            FAIL(run, "iteration shows key%d %d times", i, seen[i]);
}

/* ---- Operations ----------------------------------------------------------------------------- */

static bitcask_sync draw_sync(struct run *run)
{
    return draw(run, 6) == 0 ? BITCASK_SYNC_ALWAYS : BITCASK_SYNC_NONE;
}

static void note(struct run *run, const struct change *change, bitcask_sync sync)
{
    assert_true(run->count < WRITES_MAX);
    run->changes[run->count++] = *change;
    if (sync == BITCASK_SYNC_ALWAYS)
        run->durable = run->count;
}

static void note_version(struct run *run, uint64_t version)
{
    if (version <= run->last_version)
        FAIL(run, "version %llu after %llu", (unsigned long long)version,
             (unsigned long long)run->last_version);
    run->last_version = version;
}

static void do_put(struct run *run, int number, uint32_t size, uint64_t expires_us, unsigned flags)
{
    char key[16], value[VALUE_MAX + 32];
    key_name(key, number);
    struct change change = new_change(run, number, size);
    change.expires_us = expires_us;
    make_value(value, &change);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = draw_sync(run);
    options.expires_us = expires_us;
    options.flags = flags;
    bitcask_meta meta = {0};
    bool there =
        bitcask_stat_key(run->f.db, NULL, bitcask_str(key), &meta, &run->f.error) == BITCASK_OK;
    options.if_version = meta.version;
    uint64_t version = 0;
    bitcask_status status =
        bitcask_put(run->f.db, bitcask_str(key), bitcask_bytes(value, change.size), &options,
                    &version, &run->f.error);
    bool refused = ((flags & BITCASK_IF_ABSENT) && there) ||
                   ((flags & (BITCASK_IF_VERSION | BITCASK_IF_PRESENT)) && !there);
    if (refused) {
        if (status != BITCASK_EXISTS && status != BITCASK_NOT_FOUND)
            FAIL(run, "a condition gave %s", bitcask_status_name(status));
        return;
    }
    MUST(run, status);
    note_version(run, version);
    note(run, &change, options.sync);
}

static void do_delete(struct run *run, int number)
{
    char key[16];
    key_name(key, number);
    const struct change *last[KEYS];
    model_at(run, run->count, last);
    bool live = is_live(run, last[number]);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = draw_sync(run);
    uint64_t version = 0;
    bitcask_status status =
        bitcask_delete(run->f.db, bitcask_str(key), &options, &version, &run->f.error);
    if (status != (live ? BITCASK_OK : BITCASK_NOT_FOUND))
        FAIL(run, "delete of key%d gave %s", number, bitcask_status_name(status));
    if (!live)
        return;
    note_version(run, version);
    note(run, &(struct change){.key = number}, options.sync);
}

static void do_batch(struct run *run)
{
    bitcask_batch *batch;
    struct change changes[8];
    size_t count = 1 + draw(run, 7);
    MUST(run, bitcask_batch_new(&batch, &run->f.error));
    for (size_t i = 0; i < count; i++) {
        char key[16], value[VALUE_MAX + 32];
        int number = (int)draw(run, KEYS);
        key_name(key, number);
        changes[i] = new_change(run, number, (uint32_t)draw(run, 600));
        make_value(value, &changes[i]);
        if (draw(run, 3) == 0) {
            changes[i] = (struct change){.key = number};
            MUST(run, bitcask_batch_delete(batch, bitcask_str(key), &run->f.error));
        } else {
            MUST(run, bitcask_batch_put(batch, bitcask_str(key),
                                        bitcask_bytes(value, changes[i].size), 0, &run->f.error));
        }
        changes[i].batch_more = i + 1 < count;
    }
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = draw_sync(run);
    MUST(run, bitcask_write(run->f.db, batch, &options, NULL, &run->f.error));
    for (size_t i = 0; i < count; i++)
        note(run, &changes[i], i + 1 == count ? options.sync : BITCASK_SYNC_NONE);
    bitcask_batch_free(batch);
}

static void reopen(struct run *run)
{
    MUST(run, try_open(&run->f));
    check_all(run);
}

static int crash_later(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return (*left)-- == 1;
}

static void do_action(struct run *run, enum action action)
{
    struct fixture *f = &run->f;
    int key = (int)draw(run, KEYS);
    uint64_t now = f->os->clock_real(f->os);
    static const unsigned conditions[] = {BITCASK_IF_ABSENT, BITCASK_IF_VERSION,
                                          BITCASK_IF_PRESENT};
    switch (action) {
    case DO_PUT:
        do_put(run, key, (uint32_t)draw(run, 300), 0, 0);
        break;
    case DO_LARGE:
        do_put(run, key, (uint32_t)draw(run, VALUE_MAX), 0, 0);
        break;
    case DO_TTL: /* long ago, or far away: no clock decides between the write and the check */
        do_put(run, key, 50, draw(run, 2) ? now / 2 : now * 2, 0);
        break;
    case DO_CAS:
        do_put(run, key, 100, 0, conditions[draw(run, 3)]);
        break;
    case DO_DELETE:
        do_delete(run, key);
        break;
    case DO_BATCH:
        do_batch(run);
        break;
    case DO_GET: {
        const struct change *last[KEYS];
        model_at(run, run->count, last);
        if (!shows(run, key, last[key]))
            FAIL(run, "key%d is wrong", key);
        break;
    }
    case DO_ITERATE:
        check_iteration(run);
        break;
    case DO_MERGE:
        MUST(run, merge_all(f));
        check_all(run);
        break;
    case DO_ROTATE:
        write_mutex_lock(&f->store->write_mutex);
        MUST(run, log_rotate(f->store, &f->error));
        write_mutex_unlock(&f->store->write_mutex);
        MUST(run, seal_waiting(f->store, &f->error));
        break;
    case DO_SYNC:
        MUST(run, bitcask_sync_now(f->db, &f->error));
        run->durable = run->count;
        break;
    case DO_REOPEN: {
        struct store *store = f->store;
        f->store = NULL;
        f->db = NULL;
        MUST(run, store_close(store, &f->error));
        run->durable = run->count;
        reopen(run);
        break;
    }
    case DO_KILL:
        kill_9(f);
        reopen(run);
        run->durable = run->count; /* recovery has synced what it found */
        break;
    case DO_CRASH:
        crash(f);
        MUST(run, try_open(f));
        check_prefix(run);
        break;
    case DO_LOSE_HINTS: {
        struct store *store = f->store;
        f->store = NULL;
        f->db = NULL;
        MUST(run, store_close(store, &f->error));
        run->durable = run->count;
        delete_hints(f);
        if (draw(run, 3) == 0)
            delete_file(f, "MANIFEST");
        reopen(run);
        break;
    }
    case DO_FAIL_SYNC: {
        os_mem_fail(f->os, SYNC_CALLS, 1, 1, -EIO);
        bitcask_status status = bitcask_sync_now(f->db, &f->error);
        os_mem_fail(f->os, 0, 0, 1, -EIO);
        if (status != BITCASK_OK && status != BITCASK_UNKNOWN)
            FAIL(run, "a failed sync gave %s", bitcask_status_name(status));
        check_all(run); /* it was rescued, durably */
        run->durable = run->count;
        break;
    }
    case DO_CLOCK_BACK:
        os_mem_step_real_clock(f->os, -(int64_t)draw(run, 86400000000ull) / 100);
        break;
    case DO_MERGE_CRASH: {
        uint64_t left = 1 + draw(run, 60);
        os_mem_hook(f->os, DISK_CALLS, crash_later, &left);
        (void)!merge_all(f);
        os_mem_hook(f->os, 0, NULL, NULL);
        crash(f);
        left = 1 + draw(run, 60);
        os_mem_hook(f->os, DISK_CALLS, crash_later, &left);
        bitcask_status status = try_open(f);
        os_mem_hook(f->os, 0, NULL, NULL);
        os_mem_crash(f->os);
        if (status == BITCASK_OK)
            abandon(f);
        MUST(run, try_open(f));
        check_prefix(run);
        break;
    }
    case ACTION_COUNT:
        break;
    }
}

/* Riak's mix that found most of its bugs: mostly deletes and merges; here by weight. */
static const unsigned WEIGHTS[ACTION_COUNT] = {
    [DO_PUT] = 30,       [DO_DELETE] = 20,     [DO_TTL] = 5,        [DO_BATCH] = 8,
    [DO_CAS] = 6,        [DO_LARGE] = 12,      [DO_GET] = 5,        [DO_ITERATE] = 2,
    [DO_MERGE] = 3,      [DO_ROTATE] = 4,      [DO_SYNC] = 4,       [DO_REOPEN] = 2,
    [DO_KILL] = 2,       [DO_CRASH] = 2,       [DO_LOSE_HINTS] = 1, [DO_FAIL_SYNC] = 1,
    [DO_CLOCK_BACK] = 2, [DO_MERGE_CRASH] = 2,
};

static enum action draw_action(struct run *run)
{
    unsigned total = 0;
    for (int i = 0; i < ACTION_COUNT; i++)
        total += run->off[i] ? 0 : WEIGHTS[i];
    unsigned at = (unsigned)draw(run, total);
    for (int i = 0; i < ACTION_COUNT; i++) {
        unsigned weight = run->off[i] ? 0 : WEIGHTS[i];
        if (at < weight)
            return (enum action)i;
        at -= weight;
    }
    return DO_PUT;
}

static void run_seed(uint64_t seed)
{
    static struct run run;
    memset(&run, 0, sizeof run);
    run.seed = seed;
    run.random = seed * 0x9E3779B97F4A7C15ull + 1;
    fixture_init(&run.f);
    run.f.options.log = NULL;
    for (int i = 1; i < ACTION_COUNT; i++)
        run.off[i] = draw(&run, 2) == 0;
    if (draw(&run, 2) == 0)
        run.f.options.segment_max_records = 1 + draw(&run, 20);
    MUST(&run, try_open(&run.f));
    bool by_pwrite = draw(&run, 3) == 0;
    for (run.operation = 0; run.operation < OPERATIONS && run.count < WRITES_MAX - 8;
         run.operation++) {
        if (by_pwrite)
            run.f.store->writer.mapped_writes = false;
        do_action(&run, draw_action(&run));
    }
    check_all(&run);
    check_iteration(&run);
    MUST(&run, verify_run(run.f.store, fail_on_finding, NULL, NULL, &run.f.error));
    kill_9(&run.f);
    MUST(&run, try_open(&run.f));
    check_all(&run);
    MUST(&run, merge_all(&run.f));
    check_all(&run);
    MUST(&run, verify_run(run.f.store, fail_on_finding, NULL, NULL, &run.f.error));
    fixture_release(&run.f);
}

static void random_operations_agree_with_the_model(void **state)
{
    (void)state;
    const char *one = getenv("BITCASK_TEST_SEED"), *many = getenv("BITCASK_TEST_SEEDS");
    if (one != NULL) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    uint64_t seeds = many != NULL ? strtoull(many, NULL, 10) : 150;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
