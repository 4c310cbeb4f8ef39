/* SPDX-License-Identifier: MIT
 * reader_fast_test.c: the short ways of get, view and get_many find what the long way finds, in
 * each way of computing checksums that the processor has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/store_fixture.h"

#include "base/checksum.h"

enum { KEYS = 3000, NAME_SIZE = 24, MANY = 8 };

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

static void all_ways_find_the_same(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    fill(&f);
    for (int way = CHECKSUM_PORTABLE; way <= CHECKSUM_WIDE; way++) {
        (void)checksum_use((enum checksum_way)way);
        check_all(&f);
        bitcask_snapshot *snapshot;
        assert_int_equal(bitcask_snapshot_new(f.db, &snapshot, &f.error), BITCASK_OK);
        put(&f, "key7", "first 7"); /* of which a snapshot sees another */
        check_all(&f);
        bitcask_snapshot_free(snapshot);
        check_all(&f);
    }
    (void)checksum_use(CHECKSUM_WIDE);
    fixture_release(&f);
}

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
        fixture_init(&f);
        open_store(&f);
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
        assert_int_equal(bitcask_get_view(f.db, NULL, key, &view, &f.error), BITCASK_CORRUPT);
        assert_int_equal(bitcask_get_many(f.db, NULL, &key, 1, &view, &each, &f.error),
                         BITCASK_CORRUPT);
        assert_int_equal(each, BITCASK_CORRUPT);
        check_value(&f, "sound", "and another");
        fixture_release(&f);
    }
    (void)checksum_use(CHECKSUM_WIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_find_the_same),
        cmocka_unit_test(all_ways_tell_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
