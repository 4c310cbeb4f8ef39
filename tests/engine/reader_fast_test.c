/* SPDX-License-Identifier: MIT
 * reader_fast_test.c: the short ways of get, view and get_many find what the long way finds, in
 * each way of computing checksums that the processor has. A store that somebody listens to at the
 * level of single reads goes the long way: here nobody does, but for comparison. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/colliding_keys.h"
#include "support/store_fixture.h"

#include "base/checksum.h"

enum { KEYS = 3000, NAME_SIZE = 24, MANY = 8, SIZE_MAX_OF_VALUES = 1200 };

static void open_quiet(struct fixture *f)
{
    fixture_init(f);
    f->options.log = NULL;
    open_store(f);
}

/* In each way of computing checksums. */
static void in_all_ways(void (*act)(struct fixture *f), struct fixture *f)
{
    for (int way = CHECKSUM_PORTABLE; way <= CHECKSUM_WIDE; way++) {
        (void)checksum_use((enum checksum_way)way);
        act(f);
    }
    (void)checksum_use(CHECKSUM_WIDE);
}

static void name_of(char name[NAME_SIZE], unsigned key)
{
    snprintf(name, NAME_SIZE, "key%u", key);
}

/* What a key has by the model: NULL, nothing. */
static const char *model(unsigned key, char text[NAME_SIZE])
{
    if (key >= KEYS || key % 5 == 0)
        return NULL;
    snprintf(text, NAME_SIZE, key % 3 == 0 ? "second %u" : "first %u", key);
    return text;
}

static void fill(struct fixture *f)
{
    char name[NAME_SIZE], value[NAME_SIZE];
    for (unsigned key = 0; key < KEYS; key++) {
        name_of(name, key);
        snprintf(value, sizeof value, "first %u", key);
        put(f, name, value);
    }
    for (unsigned key = 0; key < KEYS; key += 3) {
        name_of(name, key);
        snprintf(value, sizeof value, "second %u", key);
        put(f, name, value);
    }
    for (unsigned key = 0; key < KEYS; key += 5) {
        name_of(name, key);
        delete_key(f, name);
    }
    for (unsigned key = 1; key < KEYS; key += 5) { /* the long way's: it may have expired */
        char text[NAME_SIZE];
        bitcask_write_options options;
        bitcask_write_options_init(&options);
        options.expires_us = UINT64_MAX / 4; /* not for a long time */
        name_of(name, key);
        assert_int_equal(bitcask_put(f->db, bitcask_str(name), bitcask_str(model(key, text)),
                                     &options, NULL, &f->error),
                         BITCASK_OK);
    }
}

static void check_bytes(const char *wanted, bitcask_status status, const void *data, size_t size)
{
    assert_int_equal(status, wanted != NULL ? BITCASK_OK : BITCASK_NOT_FOUND);
    if (wanted != NULL) {
        assert_int_equal(size, strlen(wanted));
        assert_memory_equal(data, wanted, size);
    }
}

static void check_one(struct fixture *f, unsigned key, bitcask_buffer *buffer)
{
    char name[NAME_SIZE], text[NAME_SIZE];
    bitcask_view view;
    name_of(name, key);
    bitcask_status status = bitcask_get(f->db, NULL, bitcask_str(name), buffer, NULL, &f->error);
    check_bytes(model(key, text), status, buffer->data, buffer->size);
    status = bitcask_get_view(f->db, NULL, bitcask_str(name), &view, &f->error);
    check_bytes(model(key, text), status, view.value.data, view.value.size);
    if (status == BITCASK_OK)
        bitcask_views_release(&view, 1);
}

static void check_many(struct fixture *f, unsigned from)
{
    char names[MANY][NAME_SIZE], text[NAME_SIZE];
    bitcask_slice keys[MANY];
    bitcask_view views[MANY];
    bitcask_status each[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        name_of(names[i], from + i);
        keys[i] = bitcask_str(names[i]);
    }
    assert_int_equal(bitcask_get_many(f->db, NULL, keys, MANY, views, each, &f->error), BITCASK_OK);
    for (unsigned i = 0; i < MANY; i++)
        check_bytes(model(from + i, text), each[i], views[i].value.data, views[i].value.size);
    bitcask_views_release(views, MANY);
}

static void check_all(struct fixture *f)
{
    bitcask_buffer buffer = {0};
    for (unsigned key = 0; key < KEYS + 1000; key++)
        check_one(f, key, &buffer);
    for (unsigned key = 0; key < KEYS + 1000; key += MANY)
        check_many(f, key);
    bitcask_buffer_free(&buffer);
}

/* Also while there is a snapshot, of which a key has another value. */
static void check_beside_a_snapshot(struct fixture *f)
{
    bitcask_snapshot *snapshot;
    check_all(f);
    assert_int_equal(bitcask_snapshot_new(f->db, &snapshot, &f->error), BITCASK_OK);
    put(f, "key7", "first 7");
    check_all(f);
    bitcask_snapshot_free(snapshot);
    check_all(f);
}

static void all_ways_find_the_same(void **state)
{
    (void)state;
    for (int listened = 0; listened < 2; listened++) {
        struct fixture f;
        fixture_init(&f);
        if (!listened)
            f.options.log = NULL;
        open_store(&f);
        fill(&f);
        in_all_ways(check_beside_a_snapshot, &f);
        fixture_release(&f);
    }
}

/* ---- One key, in each of the functions ------------------------------------------------------- */

/* `wanted` NULL: there is no such key. Into a buffer of `capacity` bytes to begin with, 0: none. */
static void check_got(struct fixture *f, slice key, const void *wanted, size_t size,
                      size_t capacity)
{
    bitcask_buffer buffer = {.data = capacity > 0 ? malloc(capacity) : NULL, .capacity = capacity};
    bitcask_meta meta = {0};
    bitcask_status status = bitcask_get(f->db, NULL, key, &buffer, &meta, &f->error);
    assert_int_equal(status, wanted != NULL ? BITCASK_OK : BITCASK_NOT_FOUND);
    if (wanted != NULL) {
        assert_int_equal(buffer.size, size);
        assert_memory_equal(buffer.data, wanted, size);
        assert_int_equal(meta.value_size, size);
        assert_true(meta.version > 0);
    }
    bitcask_buffer_free(&buffer);
}

static void check_seen(bitcask_status status, const bitcask_view *view, const void *wanted,
                       size_t size)
{
    assert_int_equal(status, wanted != NULL ? BITCASK_OK : BITCASK_NOT_FOUND);
    assert_int_equal(view->value.size, wanted != NULL ? size : 0);
    if (wanted != NULL)
        assert_memory_equal(view->value.data, wanted, size);
}

static void check_everywhere(struct fixture *f, slice key, const void *wanted, size_t size)
{
    bitcask_view view;
    bitcask_status each;
    check_got(f, key, wanted, size, SIZE_MAX_OF_VALUES);
    check_got(f, key, wanted, size, 0);
    check_got(f, key, wanted, size, size > 1 ? size - 1 : 1);
    bitcask_status status = bitcask_get_view(f->db, NULL, key, &view, &f->error);
    check_seen(status, &view, wanted, size);
    bitcask_views_release(&view, 1);
    assert_int_equal(bitcask_get_many(f->db, NULL, &key, 1, &view, &each, &f->error), BITCASK_OK);
    check_seen(each, &view, wanted, size);
    bitcask_views_release(&view, 1);
}

static void check_text(struct fixture *f, const char *key, const char *wanted)
{
    check_everywhere(f, bitcask_str(key), wanted, wanted != NULL ? strlen(wanted) : 0);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static uint8_t pattern[SIZE_MAX_OF_VALUES];

static void check_sizes(struct fixture *f)
{
    char name[NAME_SIZE];
    for (unsigned size = 0; size < SIZE_MAX_OF_VALUES; size++) {
        name_of(name, size);
        check_everywhere(f, bitcask_str(name), pattern, size);
    }
}

/* Shorter than a register, than what is copied in steps, than what is checked in one go; larger. */
static void values_of_all_sizes_are_whole(void **state)
{
    (void)state;
    for (int verify = 0; verify < 2; verify++) {
        struct fixture f;
        char name[NAME_SIZE];
        fixture_init(&f);
        f.options.log = NULL;
        f.options.verify_reads = verify;
        open_store(&f);
        for (unsigned size = 0; size < SIZE_MAX_OF_VALUES; size++) {
            pattern[size] = (uint8_t)(size * 167 >> 3);
            name_of(name, size);
            assert_int_equal(bitcask_put(f.db, bitcask_str(name), bitcask_bytes(pattern, size),
                                         NULL, NULL, &f.error),
                             BITCASK_OK);
        }
        in_all_ways(check_sizes, &f);
        fixture_release(&f);
    }
}

/* ---- What the short ways leave to the long one ------------------------------------------------
 */

enum { COLLIDING = 40 }; /* more than two buckets hold: the rest is in the stash */

static void check_colliding(struct fixture *f)
{
    uint8_t key[COLLIDING_KEY_SIZE], value;
    for (unsigned i = 0; i < 2 * COLLIDING; i++) {
        value = (uint8_t)i;
        slice name = colliding_key(key, &f->store->secret, i);
        check_everywhere(f, name, i < COLLIDING ? &value : NULL, 1);
    }
    check_text(f, "nobody", NULL); /* maybe in the stash, for all that its buckets tell */
    check_text(f, "other", "o");
}

static void keys_of_one_hash_are_told_apart(void **state)
{
    (void)state;
    struct fixture f;
    uint8_t key[COLLIDING_KEY_SIZE], value;
    open_quiet(&f);
    put(&f, "other", "o");
    for (unsigned i = 0; i < COLLIDING; i++) {
        value = (uint8_t)i;
        assert_int_equal(bitcask_put(f.db, colliding_key(key, &f.store->secret, i),
                                     bitcask_bytes(&value, 1), NULL, NULL, &f.error),
                         BITCASK_OK);
    }
    in_all_ways(check_colliding, &f);
    fixture_release(&f);
}

static void check_beside_a_batch(struct fixture *f)
{
    undo_begin_batch(&f->store->undo, atomic_load(&f->store->writer.last_version) + 1);
    check_text(f, "city", "Utrecht");
    check_text(f, "nobody", NULL);
    undo_end_batch(&f->store->undo);
    check_text(f, "city", "Utrecht");
}

static void what_is_older_than_a_batch_shows_while_it_is_published(void **state)
{
    (void)state;
    struct fixture f;
    open_quiet(&f);
    put(&f, "city", "Utrecht");
    in_all_ways(check_beside_a_batch, &f);
    fixture_release(&f);
}

/* The index has room for it, and a tag, but no place yet. */
static void check_beside_a_reservation(struct fixture *f)
{
    uint64_t hash = hash_key(&f->store->secret, bitcask_str("coming"));
    assert_int_equal(keydir_reserve(f->store->keydir, hash, &f->error), BITCASK_OK);
    check_text(f, "coming", NULL);
    check_text(f, "city", "Utrecht");
    keydir_unreserve(f->store->keydir, hash);
    check_text(f, "coming", NULL);
}

static void what_is_only_reserved_is_not_there(void **state)
{
    (void)state;
    struct fixture f;
    open_quiet(&f);
    put(&f, "city", "Utrecht");
    in_all_ways(check_beside_a_reservation, &f);
    fixture_release(&f);
}

static void check_two(struct fixture *f)
{
    check_text(f, "city", "Utrecht");
    check_text(f, "nobody", NULL);
}

/* One of so many that there is no line in the epoch for it alone. */
static void *read_without_a_line(void *f)
{
    epoch_thread_number = EPOCH_OWNED + 1;
    in_all_ways(check_two, f);
    epoch_thread_number = 0;
    return NULL;
}

static void a_thread_too_many_reads_as_well(void **state)
{
    (void)state;
    struct fixture f;
    pthread_t thread;
    open_quiet(&f);
    put(&f, "city", "Utrecht");
    assert_int_equal(pthread_create(&thread, NULL, read_without_a_line, &f), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f.db, &stats);
    assert_int_equal(stats.gets, stats.misses); /* each has been counted */
    assert_int_equal(stats.gets, 3 * 5);
    fixture_release(&f);
}

/* ---- Damage ---------------------------------------------------------------------------------- */

/* A damaged value is told by each, and that of no other key. */
static void all_ways_tell_damage(void **state)
{
    (void)state;
    for (int way = CHECKSUM_PORTABLE; way <= CHECKSUM_WIDE; way++) {
        struct fixture f;
        bitcask_view view;
        bitcask_status each;
        bitcask_slice key = bitcask_str("damaged");
        (void)checksum_use((enum checksum_way)way);
        open_quiet(&f);
        put(&f, "damaged", "a value of some length, that is");
        put(&f, "sound", "and another");
        close_store(&f);
        size_t size;
        unsigned char *bytes = read_whole(&f, "000000001.data", &size);
        unsigned char *value = memmem(bytes, size, "a value of some", 15);
        assert_non_null(value);
        flip_byte(&f, "000000001.data", (size_t)(value - bytes));
        free(bytes);
        open_store(&f);
        check_corrupt(&f, "damaged");
        bitcask_buffer buffer = {.data = malloc(64), .capacity = 64};
        assert_int_equal(bitcask_get(f.db, NULL, key, &buffer, NULL, &f.error), BITCASK_CORRUPT);
        bitcask_buffer_free(&buffer);
        assert_int_equal(bitcask_get_view(f.db, NULL, key, &view, &f.error), BITCASK_CORRUPT);
        assert_int_equal(bitcask_get_many(f.db, NULL, &key, 1, &view, &each, &f.error),
                         BITCASK_CORRUPT);
        assert_int_equal(each, BITCASK_CORRUPT);
        check_value(&f, "sound", "and another");
        fixture_release(&f);
    }
    (void)checksum_use(CHECKSUM_WIDE);
}

/* What is copied while it is summed up: nothing is left of it. */
static void of_a_large_damaged_value_nothing_is_given_out(void **state)
{
    (void)state;
    enum { LARGE = 100000 };
    for (int way = CHECKSUM_PORTABLE; way <= CHECKSUM_WIDE; way++) {
        struct fixture f;
        bitcask_slice key = bitcask_str("damaged");
        bitcask_buffer buffer = {.data = malloc(LARGE), .capacity = LARGE};
        (void)checksum_use((enum checksum_way)way);
        open_quiet(&f);
        put_sized(&f, "damaged", 'x', LARGE);
        put_sized(&f, "sound", 'y', LARGE);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(bitcask_get(f.db, NULL, key, &buffer, NULL, &f.error), BITCASK_OK);
            assert_int_equal(buffer.size, LARGE);
            assert_true(((char *)buffer.data)[0] == 'x');
            assert_memory_equal(buffer.data, (char *)buffer.data + 1, LARGE - 1);
            rotate(&f);
        }
        close_store(&f);
        size_t size;
        unsigned char *bytes = read_whole(&f, "000000001.data", &size);
        unsigned char *value = memmem(bytes, size, "xxxxxxxx", 8);
        assert_non_null(value);
        flip_byte(&f, "000000001.data", (size_t)(value - bytes) + LARGE / 2);
        free(bytes);
        open_store(&f);
        assert_int_equal(bitcask_get(f.db, NULL, key, &buffer, NULL, &f.error), BITCASK_CORRUPT);
        if (buffer.size != 0) /* what was in there before */
            assert_memory_equal(buffer.data, (char *)buffer.data + 1, LARGE - 1);
        key = bitcask_str("sound");
        assert_int_equal(bitcask_get(f.db, NULL, key, &buffer, NULL, &f.error), BITCASK_OK);
        assert_int_equal(buffer.size, LARGE);
        bitcask_buffer_free(&buffer);
        fixture_release(&f);
    }
    (void)checksum_use(CHECKSUM_WIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_find_the_same),
        cmocka_unit_test(values_of_all_sizes_are_whole),
        cmocka_unit_test(keys_of_one_hash_are_told_apart),
        cmocka_unit_test(what_is_older_than_a_batch_shows_while_it_is_published),
        cmocka_unit_test(what_is_only_reserved_is_not_there),
        cmocka_unit_test(a_thread_too_many_reads_as_well),
        cmocka_unit_test(all_ways_tell_damage),
        cmocka_unit_test(of_a_large_damaged_value_nothing_is_given_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
