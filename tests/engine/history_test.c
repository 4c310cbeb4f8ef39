/* SPDX-License-Identifier: MIT
 * history_test.c: random histories of writes, merges, kills and power cuts, against a model.
 *
 * After a kill the store has every write. After a power cut it has a prefix of the writes that is
 * no shorter than what was synced. HISTORY_SEED=n HISTORY_COUNT=m in the environment run others;
 * a failure names its seed. */
#include "support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 24, WRITES_MAX = 4096, STEPS = 300, BATCH = 3 };

/* A write: key `key` gets value `value`, or is deleted (0). A batch is several with the same
 * `atom`: all or none. */
struct write {
    int key;
    int value;
    int atom;
};

struct history {
    struct fixture f;
    uint64_t random;
    struct write writes[WRITES_MAX];
    int count;
    int synced; /* the first so many survive anything */
    int atoms, values;
    uint64_t seed;
};

static uint32_t roll(struct history *h, uint32_t bound)
{
    h->random = h->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(h->random >> 33) % bound;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void name_key(char key[16], int k)
{
    snprintf(key, 16, "key%d", k);
}

static void name_value(char value[400], int v)
{
    int size = snprintf(value, 400, "value%d-", v);
    int total = v % 7 == 0 ? 390 : 30 + v % 50; /* some larger */
    memset(value + size, 'a' + v % 26, (size_t)(total - size));
    value[total] = '\0';
}

static void note_write(struct history *h, int key, int value)
{
    assert_true(h->count < WRITES_MAX);
    h->writes[h->count++] = (struct write){key, value, h->atoms};
}

static void write_one(struct history *h, bool durable)
{
    char key[16], value[400];
    int k = (int)roll(h, KEYS);
    name_key(key, k);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = durable ? BITCASK_SYNC_ALWAYS : BITCASK_SYNC_NONE;
    h->atoms++;
    bitcask_status status;
    if (roll(h, 3) == 0) {
        status = bitcask_delete(h->f.db, bitcask_str(key), &options, NULL, &h->f.error);
        assert_true(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
        note_write(h, k, 0);
        if (status == BITCASK_NOT_FOUND)
            return; /* nothing written, nothing synced */
    } else {
        int v = ++h->values;
        name_value(value, v);
        status =
            bitcask_put(h->f.db, bitcask_str(key), bitcask_str(value), &options, NULL, &h->f.error);
        assert_int_equal(status, BITCASK_OK);
        note_write(h, k, v);
    }
    if (durable)
        h->synced = h->count;
}

static void write_batch(struct history *h)
{
    bitcask_batch *batch;
    assert_int_equal(bitcask_batch_new(&batch, &h->f.error), BITCASK_OK);
    h->atoms++;
    for (int i = 0; i < BATCH; i++) {
        char key[16], value[400];
        int k = (int)roll(h, KEYS), v = ++h->values;
        name_key(key, k);
        name_value(value, v);
        assert_int_equal(
            bitcask_batch_put(batch, bitcask_str(key), bitcask_str(value), 0, &h->f.error),
            BITCASK_OK);
        note_write(h, k, v);
    }
    assert_int_equal(bitcask_write(h->f.db, batch, NULL, NULL, &h->f.error), BITCASK_OK);
    bitcask_batch_free(batch);
}

/* ---- Checking ------------------------------------------------------------------------------- */

/* The value of each key after the first `count` writes. */
static void state_after(const struct history *h, int count, int state[KEYS])
{
    memset(state, 0, KEYS * sizeof *state);
    for (int i = 0; i < count; i++)
        state[h->writes[i].key] = h->writes[i].value;
}

static void read_state(struct history *h, int state[KEYS])
{
    bitcask_buffer found = {0};
    for (int k = 0; k < KEYS; k++) {
        char key[16], value[400];
        name_key(key, k);
        bitcask_status status = read_key(&h->f, key, &found);
        if (status != BITCASK_OK && status != BITCASK_NOT_FOUND)
            fail_msg("seed %d: %s is %s", (int)h->seed, key, bitcask_status_name(status));
        state[k] = 0;
        if (status == BITCASK_NOT_FOUND)
            continue;
        sscanf((const char *)found.data, "value%d-", &state[k]);
        name_value(value, state[k]);
        if (found.size != strlen(value) || memcmp(found.data, value, found.size) != 0)
            fail_msg("seed %d: %s has a wrong value", (int)h->seed, key);
    }
    bitcask_buffer_free(&found);
}

/* The state is that after some number of writes from `least` on, not inside a batch; the rest of
 * the history did not happen. */
static void check_prefix(struct history *h, int least)
{
    int found[KEYS], expected[KEYS];
    read_state(h, found);
    for (int count = h->count; count >= least; count--) {
        bool inside =
            count > 0 && count < h->count && h->writes[count - 1].atom == h->writes[count].atom;
        state_after(h, count, expected);
        if (!inside && memcmp(found, expected, sizeof found) == 0) {
            h->count = count;
            h->synced = count; /* recovery has synced what it serves */
            return;
        }
    }
    fail_msg("seed %d: no prefix of %d to %d writes", (int)h->seed, least, h->count);
}

/* ---- A history ------------------------------------------------------------------------------ */

static void merge(struct history *h)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = roll(h, 2) == 0;
    options.min_dead = 0.1;
    if (bitcask_merge(h->f.db, &options, NULL, &h->f.error) != BITCASK_OK)
        fail_msg("seed %d: merge: %s", (int)h->seed, h->f.error.message);
}

/* A power cut in the middle of writing back: each 512-byte sector of a data file is as it was last
 * synced, or as it was last written, in any mixture. */
static void crash_raggedly(struct history *h)
{
    enum { SECTOR = 512 };
    struct fixture *f = &h->f;
    size_t count;
    char **names = list_files(f, NULL, &count);
    unsigned char **written = calloc(count, sizeof *written);
    size_t *sizes = calloc(count, sizeof *sizes);
    assert_non_null(written);
    assert_non_null(sizes);
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], ".data") != NULL)
            written[i] = read_whole(f, names[i], &sizes[i]);
    }
    crash(f);
    uint32_t chance = 1 + roll(h, 8);
    for (size_t i = 0; i < count; i++) {
        if (written[i] == NULL || !has_file(f, names[i]))
            continue;
        size_t size;
        unsigned char *disk = read_whole(f, names[i], &size);
        if (sizes[i] > size && roll(h, 2) == 0) { /* it had grown; so may its size on disk */
            disk = realloc(disk, sizes[i]);
            assert_non_null(disk);
            memset(disk + size, 0, sizes[i] - size);
            size = sizes[i];
        }
        for (size_t at = 0; at < size && at < sizes[i]; at += SECTOR) {
            size_t end = at + SECTOR < size ? at + SECTOR : size;
            end = end < sizes[i] ? end : sizes[i];
            if (roll(h, 8) < chance)
                memcpy(disk + at, written[i] + at, end - at);
        }
        write_whole(f, names[i], disk, size);
        free(disk);
    }
    for (size_t i = 0; i < count; i++)
        free(written[i]);
    free(written);
    free(sizes);
    free_list(names, count);
}

static void reopen(struct history *h)
{
    int all = h->count;
    switch (roll(h, 4)) {
    case 0:
        close_store(&h->f);
        if (roll(h, 3) == 0)
            os_mem_crash(h->f.os);
        if (roll(h, 4) == 0)
            delete_file(&h->f, "MANIFEST");
        open_store(&h->f);
        check_prefix(h, all);
        break;
    case 1:
        kill_9(&h->f);
        open_store(&h->f);
        check_prefix(h, all);
        break;
    case 2:
        crash_raggedly(h);
        open_store(&h->f);
        check_prefix(h, h->synced);
        break;
    default:
        crash(&h->f);
        open_store(&h->f);
        check_prefix(h, h->synced);
        break;
    }
    if (count_events(&h->f, "damaged") != 0)
        fail_msg("seed %d: damage in segment %d at %d", (int)h->seed,
                 (int)event_number(&h->f, "damaged", "segment"),
                 (int)event_number(&h->f, "damaged", "offset"));
    assert_int_equal(count_events(&h->f, "segment_missing"), 0);
}

static void step(struct history *h)
{
    switch (roll(h, 24)) {
    case 0:
        sync_store(&h->f);
        h->synced = h->count;
        break;
    case 1:
        rotate(&h->f);
        break;
    case 2:
        merge(h);
        break;
    case 3:
        reopen(h);
        break;
    case 4:
    case 5:
        write_batch(h);
        break;
    case 6:
        write_one(h, true);
        break;
    default:
        write_one(h, false);
        break;
    }
}

static void run(uint64_t seed)
{
    struct history *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->seed = seed;
    h->random = seed * 0x9e3779b97f4a7c15u;
    fixture_init(&h->f);
    h->f.options.segment_max_records = roll(h, 2) == 0 ? 0 : 5 + roll(h, 30);
    h->f.options.sync = roll(h, 4) == 0 ? BITCASK_SYNC_ALWAYS : BITCASK_SYNC_NONE;
    open_store(&h->f);
    for (int i = 0; i < STEPS; i++)
        step(h);
    kill_9(&h->f);
    open_store(&h->f);
    check_prefix(h, h->count);
    close_store(&h->f);
    assert_int_equal(os_mem_live_bytes(h->f.os), 0);
    assert_int_equal(os_mem_open_files(h->f.os), 0);
    assert_int_equal(os_mem_live_maps(h->f.os), 0);
    fixture_release(&h->f);
    free(h);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void random_histories_keep_what_they_promise(void **state)
{
    (void)state;
    uint64_t seed = from_environment("HISTORY_SEED", 1);
    uint64_t count = from_environment("HISTORY_COUNT", 60);
    for (uint64_t i = 0; i < count; i++)
        run(seed + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_keep_what_they_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
