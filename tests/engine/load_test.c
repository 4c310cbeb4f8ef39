/* SPDX-License-Identifier: MIT
 * load_test.c: the index made from hints, from records that have none, and from both, against a
 * model. */
#include "support/segment_fixture.h"

#include <stdio.h>

#include "engine/load.h"

enum { SEGMENTS_MAX = 24, KEYS_MAX = 20000 };

struct model_key {
    uint64_t version;
    uint32_t segment, offset; /* of the newest record */
    uint32_t size;
    bool there; /* not deleted */
};

struct fixture {
    struct table_fixture *t;
    struct store *store;
    struct made_segment made[SEGMENTS_MAX];
    struct load_input inputs[SEGMENTS_MAX];
    struct load_records records[SEGMENTS_MAX];
    bool hints_only;
    size_t count;
    struct model_key model[KEYS_MAX];
    uint64_t last_version;
    bitcask_error error;
    uint64_t forced_hash_mask; /* bits of each hash that are kept */
};

/* Which segments have no hint. */
static enum { NONE, EVERY_OTHER, ALL } by_records;

static bool is_by_records(const struct fixture *f, size_t index)
{
    return !f->hints_only && (by_records == ALL || (by_records == EVERY_OTHER && index % 2 == 1));
}

static struct fixture *start(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->t = table_new();
    f->store = aligned_alloc(64, (sizeof *f->store + 63) / 64 * 64);
    assert_non_null(f->store);
    memset(f->store, 0, sizeof *f->store);
    f->forced_hash_mask = UINT64_MAX;
    return f;
}

static void finish(struct fixture *f)
{
    epoch_drain(&f->t->epoch); /* a shard that was too full and has been split */
    if (f->store->keydir != NULL)
        keydir_free(f->store->keydir);
    for (size_t i = 0; i < f->count; i++) {
        hint_file_close(f->t->os, &f->inputs[i].hint);
        if (f->inputs[i].records != NULL)
            load_records_release(&f->records[i]);
        segment_end(&f->made[i]);
    }
    assert_int_equal(os_mem_live_bytes(f->t->os), 0);
    table_free(f->t);
    free(f->store);
    free(f);
}

static struct made_segment *add_segment(struct fixture *f)
{
    struct made_segment *made = &f->made[f->count++];
    segment_start(made, f->t, f->count, 2 << 20);
    return made;
}

static uint64_t hash_of(const struct fixture *f, const char *key)
{
    return hash_key(&f->t->secret, bitcask_str(key)) & f->forced_hash_mask;
}

static void deal(struct fixture *f, size_t index)
{
    struct segment *segment = &f->made[index].segment;
    struct load_records *records = &f->records[index];
    struct segment_figures figures = {0};
    load_records_init(records, f->t->os);
    uint64_t end = atomic_load(&segment->end);
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < end;) {
        struct segment_record record;
        assert_int_equal(segment_read(segment, at, &record, NULL), BITCASK_OK);
        segment_figures_add(&figures, &record.shape);
        uint64_t hash = hash_key(&f->t->secret, segment_record_key(&record));
        assert_true(load_records_add(records, hash & f->forced_hash_mask, at, &record.shape));
        at += record.shape.size;
    }
    assert_int_equal(records->count, figures.records);
    assert_true(load_records_deal(records, segment));
    atomic_store(&segment->version_max, figures.version_max);
    f->inputs[index] = (struct load_input){.segment = segment, .records = records};
}

/* The hint of a segment, with hashes cut down to some bits where collisions are wanted. */
static void build(struct fixture *f, size_t index)
{
    struct segment *segment = &f->made[index].segment;
    if (is_by_records(f, index)) {
        deal(f, index);
        return;
    }
    struct hint_builder builder;
    hint_builder_init(&builder, f->t->os, &f->t->secret);
    uint64_t end = atomic_load(&segment->end);
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < end;) {
        struct segment_record record;
        assert_int_equal(segment_read(segment, at, &record, NULL), BITCASK_OK);
        assert_int_equal(hint_builder_add(&builder, &record.shape, record.bytes, at), BITCASK_OK);
        builder.entries[builder.count - 1].hash &= f->forced_hash_mask;
        at += record.shape.size;
    }
    f->inputs[index].segment = segment;
    assert_int_equal(hint_builder_finish(&builder, segment, end, &f->inputs[index].hint, &f->error),
                     BITCASK_OK);
    hint_builder_release(&builder);
}

/* Nothing is tagged anew here. */
static bool hash_at(void *context, struct keydir_place place, uint64_t *hash)
{
    (void)context, (void)place, (void)hash;
    return false;
}

static void make_keydir(struct fixture *f)
{
    epoch_drain(&f->t->epoch);
    if (f->store->keydir != NULL)
        keydir_free(f->store->keydir);
    struct keydir_options options = {.hash_of = hash_at};
    struct keydir *keydir;
    assert_int_equal(keydir_new(f->t->os, &f->t->epoch, &options, &keydir, &f->error), BITCASK_OK);
    f->store->keydir = keydir;
    for (size_t i = 0; i < f->count; i++) {
        atomic_store(&f->made[i].segment.live_records, 0);
        atomic_store(&f->made[i].segment.live_bytes, 0);
    }
}

static void load(struct fixture *f, unsigned threads)
{
    make_keydir(f);
    uint64_t last;
    assert_int_equal(load_keydir(f->store, f->inputs, f->count, threads, &last, &f->error),
                     BITCASK_OK);
    assert_int_equal(last, f->last_version);
}

/* How often the index says this place for this hash. */
static int count_place(struct fixture *f, uint64_t hash, uint32_t slot, uint32_t offset)
{
    struct keydir_probe probe;
    struct keydir_place place;
    int count = 0;
    keydir_probe_start(f->store->keydir, hash, &probe);
    while (keydir_probe_next(&probe, &place))
        count += place.segment_slot == slot && place.offset == offset;
    return count;
}

/* ---- A model -------------------------------------------------------------------------------- */

static uint32_t random_below(uint64_t *seed, uint32_t bound)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % bound;
}

static void name_key(char key[32], size_t k)
{
    snprintf(key, 32, "%zu-key", k * 977);
}

static int ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* `records` random puts and deletes of `keys` keys over `segments` segments; with `merged`, half of
 * the versions are lower than those of segments before, as in merge outputs. */
static void write_random(struct fixture *f, uint64_t seed, size_t segments, size_t records,
                         uint32_t keys)
{
    static uint64_t versions[1 << 20];
    size_t total = segments * records;
    assert_true(total <= ARRAY_SIZE(versions) && keys <= KEYS_MAX);
    for (size_t i = 0; i < total; i++)
        versions[i] = i + 1;
    for (size_t i = total; i-- > 1;) { /* the order of versions is not that of the segments */
        size_t j = random_below(&seed, (uint32_t)i + 1);
        uint64_t other = versions[i];
        versions[i] = versions[j];
        versions[j] = other;
    }
    f->last_version = total;
    for (size_t s = 0; s < segments; s++) {
        if (is_by_records(f, s)) /* part of the log */
            qsort(versions + s * records, records, sizeof *versions, ascending);
        struct made_segment *made = add_segment(f);
        for (size_t i = 0; i < records; i++) {
            size_t k = random_below(&seed, keys);
            struct model_key *model = &f->model[k];
            uint64_t version = versions[s * records + i];
            bool deleted = random_below(&seed, 5) == 0;
            char key[32];
            name_key(key, k);
            const char *value = &"0123456789"[random_below(&seed, 10)];
            uint64_t at = deleted ? segment_delete(made, key, version)
                                  : segment_put(made, key, value, version);
            if (version > model->version)
                *model = (struct model_key){version, made->segment.slot, (uint32_t)at,
                                            (uint32_t)(segment_length(made) - at), !deleted};
        }
        build(f, s);
    }
}

static void check_model(struct fixture *f, uint32_t keys)
{
    uint64_t live = 0, live_records[SEGMENTS_MAX + 1] = {0}, live_bytes[SEGMENTS_MAX + 1] = {0};
    for (size_t k = 0; k < keys; k++) {
        const struct model_key *model = &f->model[k];
        char key[32];
        name_key(key, k);
        if (model->version == 0)
            continue;
        int found = count_place(f, hash_of(f, key), model->segment, model->offset);
        assert_int_equal(found, model->there ? 1 : 0);
        if (!model->there)
            continue;
        live++;
        live_records[model->segment]++;
        live_bytes[model->segment] += model->size;
    }
    assert_int_equal(keydir_count(f->store->keydir), live);
    for (size_t i = 0; i < f->count; i++) {
        const struct segment *segment = &f->made[i].segment;
        assert_int_equal(atomic_load(&segment->live_records), live_records[segment->slot]);
        assert_int_equal(atomic_load(&segment->live_bytes), live_bytes[segment->slot]);
    }
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void no_hint_gives_an_empty_index(void **state)
{
    (void)state;
    struct fixture *f = start();
    load(f, 0);
    assert_int_equal(keydir_count(f->store->keydir), 0);
    assert_int_equal(count_place(f, 5, 1, 128), 0);
    finish(f);
}

static void one_segment_is_loaded(void **state)
{
    (void)state;
    struct fixture *f = start();
    write_random(f, 1, 1, 100, 50);
    load(f, 1);
    check_model(f, 50);
    finish(f);
}

static void the_highest_version_wins_and_the_rest_is_dead(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct fixture *f = start();
        uint64_t dice = seed;
        uint32_t keys = 1 + random_below(&dice, 400);
        write_random(f, seed, 1 + random_below(&dice, 8), 1 + random_below(&dice, 300), keys);
        load(f, 1);
        check_model(f, keys);
        finish(f);
    }
}

static void any_number_of_threads_gives_the_same(void **state)
{
    (void)state;
    struct fixture *f = start();
    write_random(f, 99, 20, 6000, KEYS_MAX); /* enough entries that threads are used */
    for (unsigned threads = 1; threads <= 4; threads++) {
        load(f, threads);
        check_model(f, KEYS_MAX);
    }
    finish(f);
}

static void keys_with_one_hash_are_compared(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct fixture *f = start();
        f->forced_hash_mask = UINT64_C(0xf800000000000000); /* 32 hashes in all */
        write_random(f, seed, 5, 100, 120);
        load(f, 1);
        check_model(f, 120);
        finish(f);
    }
}

static void of_one_record_twice_the_one_that_can_be_read_counts(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct fixture *f = start();
        f->hints_only = true;
        for (int i = 0; i < 2; i++) {
            struct made_segment *made = add_segment(f);
            segment_put(made, "padding", i == 0 ? "1" : "22", (uint64_t)i + 1);
            segment_put(made, "k", "v", 7);
            build(f, (size_t)i);
        }
        f->last_version = 7;
        f->made[which].segment.map = NULL; /* its file is missing */
        load(f, 1);
        uint32_t offset = which == 0 ? 128 + 20 + 7 + 2 : 128 + 20 + 7 + 1;
        uint32_t slot = which == 0 ? 2 : 1;
        assert_int_equal(count_place(f, hash_of(f, "k"), slot, offset), 1);
        assert_int_equal(atomic_load(&f->made[which].segment.live_records), which == 0 ? 0 : 1);
        finish(f);
    }
}

static void the_index_is_sized_for_what_is_expected(void **state)
{
    (void)state;
    struct fixture *f = start();
    write_random(f, 5, 2, 100, 50);
    f->store->options.expected_keys = 100000;
    load(f, 1);
    check_model(f, 50);
    assert_true(keydir_bytes(f->store->keydir) > 100000 * 8);
    finish(f);
}

static void the_estimate_of_the_number_of_keys_is_close(void **state)
{
    (void)state;
    struct fixture *f = start();
    write_random(f, 3, 20, 6000, KEYS_MAX);
    load(f, 1);
    struct keydir_shape shape;
    keydir_get_shape(f->store->keydir, &shape);
    assert_true(shape.load > 0.8 && shape.load < 0.95); /* one of 16 shards may have been split */
    finish(f);
}

/* Their hashes are in one bucket, however finely the others are dealt. */
static void keys_that_are_written_all_the_time_take_no_room(void **state)
{
    (void)state;
    struct fixture *f = start();
    enum { WRITES = 20000 };
    struct made_segment *made = add_segment(f);
    for (uint64_t i = 0; i < WRITES; i++)
        segment_put(made, i % 3 == 0 ? "a" : "b", "v", i + 1);
    deal(f, 0);
    assert_int_equal(f->records[0].count, 2);
    f->last_version = WRITES;
    load(f, 1);
    assert_int_equal(keydir_count(f->store->keydir), 2);
    assert_int_equal(atomic_load(&made->segment.live_records), 2);
    uint32_t size = 20 + 1 + 1, last = SEGMENT_HEADER_SIZE + (WRITES - 1) * size;
    assert_int_equal(count_place(f, hash_of(f, "b"), made->segment.slot, last), 1);
    assert_int_equal(count_place(f, hash_of(f, "a"), made->segment.slot, last - size), 1);
    finish(f);
}

/* The device gives something else when it is asked again: then nothing can be told of its key. */
static void a_record_that_has_become_unreadable_is_kept_for_look_ups_to_meet(void **state)
{
    (void)state;
    struct fixture *f = start();
    for (size_t i = 0; i < 2; i++) {
        struct made_segment *made = add_segment(f);
        segment_put(made, "k", "v", i + 1);
        deal(f, i);
    }
    f->last_version = 2;
    memset((uint8_t *)(uintptr_t)f->made[1].segment.map + SEGMENT_HEADER_SIZE, 0xff, 20);
    load(f, 1);
    assert_int_equal(keydir_count(f->store->keydir), 2);
    for (uint32_t slot = 1; slot <= 2; slot++)
        assert_int_equal(count_place(f, hash_of(f, "k"), slot, SEGMENT_HEADER_SIZE), 1);
    finish(f);
}

static void without_memory_loading_fails_and_leaks_nothing(void **state)
{
    (void)state;
    struct fixture *f = start();
    write_random(f, 8, 4, 1000, 2000);
    bitcask_status status = BITCASK_NO_MEMORY;
    for (uint64_t nth = 1; status != BITCASK_OK; nth++) {
        make_keydir(f);
        uint64_t last;
        os_mem_fail(f->t->os, 1u << OS_CALL_ALLOC, nth, 1, -12);
        status = load_keydir(f->store, f->inputs, f->count, 1, &last, &f->error);
        os_mem_fail(f->t->os, 0, 0, 0, 0);
        assert_true(status == BITCASK_OK || status == BITCASK_NO_MEMORY);
        assert_true(nth < 1000);
    }
    check_model(f, 2000);
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_hint_gives_an_empty_index),
        cmocka_unit_test(one_segment_is_loaded),
        cmocka_unit_test(the_highest_version_wins_and_the_rest_is_dead),
        cmocka_unit_test(any_number_of_threads_gives_the_same),
        cmocka_unit_test(keys_with_one_hash_are_compared),
        cmocka_unit_test(of_one_record_twice_the_one_that_can_be_read_counts),
        cmocka_unit_test(the_index_is_sized_for_what_is_expected),
        cmocka_unit_test(the_estimate_of_the_number_of_keys_is_close),
        cmocka_unit_test(keys_that_are_written_all_the_time_take_no_room),
        cmocka_unit_test(a_record_that_has_become_unreadable_is_kept_for_look_ups_to_meet),
        cmocka_unit_test(without_memory_loading_fails_and_leaks_nothing),
    };
    int failed = 0;
    for (by_records = NONE; by_records <= ALL; by_records++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
