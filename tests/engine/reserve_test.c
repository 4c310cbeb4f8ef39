/* SPDX-License-Identifier: MIT
 * reserve_test.c: a store on a full disk can be got out of, also by a process that comes later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/group.h"
#include "engine/log_writer.h"
#include "engine/merge.h"
#include "engine/reader.h"
#include "engine/reserve.h"
#include "format/names.h"
#include "os/os_mem.h"

enum { DISK = 1 << 20, VALUE = 2000, NAME_MAX_SIZE = 1024 };

struct full {
    struct os *os;
    struct store *store;
    uint32_t keys;         /* stored */
    int width;             /* of a key's number: long keys make large tombstones */
    uint64_t segment_size; /* 0: the least */
    uint64_t disk;         /* bytes; 0: DISK */
};

static void open_store(struct full *full)
{
    bitcask_options options;
    bitcask_error error;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.sync = BITCASK_SYNC_ALWAYS;
    options.segment_size = full->segment_size ? full->segment_size : BITCASK_MIN_SEGMENT_SIZE;
    if (store_open(full->os, "store", &options, &full->store, &error) != BITCASK_OK)
        fail_msg("%s", error.message);
}

static bitcask_status change(struct full *full, enum write_kind kind, uint32_t key)
{
    static const uint8_t value[VALUE];
    char name[NAME_MAX_SIZE];
    snprintf(name, sizeof name, "key%0*u", full->width, key);
    struct write_op op = {.kind = kind, .key = bitcask_str(name), .value = slice_of(value, VALUE)};
    struct write_request request = {.ops = &op, .op_count = 1, .durable = true};
    return group_write(full->store, &request);
}

/* A store filled until it says NO_SPACE, then everything that is left taken by somebody else, and
 * closed. */
static void fill_and_close(struct full *full)
{
    uint64_t disk = full->disk ? full->disk : DISK;
    full->os = os_mem_new(&(struct os_mem_options){.seed = 1, .capacity = disk});
    assert_non_null(full->os);
    open_store(full);
    bitcask_status status;
    while ((status = change(full, WRITE_PUT, full->keys)) == BITCASK_OK)
        full->keys++;
    assert_int_equal(status, BITCASK_NO_SPACE);
    assert_true(full->keys > 100);
    (void)store_close(full->store, NULL);
    uint64_t room;
    assert_int_equal(full->os->free_space(full->os, "store", &room), 0);
    os_mem_set_capacity(full->os, disk - room);
}

static void check_all_there(struct full *full, uint32_t from)
{
    bitcask_buffer value = {0};
    for (uint32_t key = from; key < full->keys; key++) {
        char name[NAME_MAX_SIZE];
        snprintf(name, sizeof name, "key%0*u", full->width, key);
        assert_int_equal(reader_get(full->store, bitcask_str(name),
                                    &(struct reader_options){.verify = true}, &value, NULL, NULL),
                         BITCASK_OK);
        assert_int_equal(value.size, VALUE);
    }
    bitcask_buffer_free(&value);
}

static void finish(struct full *full)
{
    assert_int_equal(store_close(full->store, NULL), BITCASK_OK);
    os_mem_free(full->os);
}

static void a_full_disk_refuses_puts_and_keeps_all(void **state)
{
    (void)state;
    struct full full = {0};
    fill_and_close(&full);
    open_store(&full);
    check_all_there(&full, 0);
    assert_int_equal(change(&full, WRITE_PUT, 1000000), BITCASK_NO_SPACE);
    check_all_there(&full, 0);
    finish(&full);
}

static void a_later_process_deletes_on_a_full_disk(void **state)
{
    (void)state;
    struct full full = {0};
    fill_and_close(&full);
    for (uint32_t key = 0; key < 20; key++) { /* each in a process of its own */
        open_store(&full);
        assert_int_equal(change(&full, WRITE_DELETE, key), BITCASK_OK);
        (void)store_close(full.store, NULL);
    }
    open_store(&full);
    check_all_there(&full, 20);
    finish(&full);
}

static void deletes_and_a_merge_bring_room_back(void **state)
{
    (void)state;
    struct full full = {0};
    fill_and_close(&full);
    open_store(&full);
    uint32_t half = full.keys / 2;
    for (uint32_t key = 0; key < half; key++)
        assert_int_equal(change(&full, WRITE_DELETE, key), BITCASK_OK);
    (void)store_close(full.store, NULL);

    open_store(&full);
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    bitcask_error error;
    if (merge_run(full.store, &options, NULL, &error) != BITCASK_OK)
        fail_msg("%s", error.message);
    check_all_there(&full, half);
    assert_int_equal(change(&full, WRITE_PUT, 0), BITCASK_OK);
    finish(&full);
}

/* How many deletes a full disk takes, with or without a segment that was prepared before. The
 * segment that is written to is far from its end, so only a full disk makes the log go on in the
 * next. */
static uint32_t deletes_until_full(bool prepared)
{
    struct full full = {.os = os_mem_new(&(struct os_mem_options){.seed = 1, .capacity = DISK}),
                        .width = 1000};
    bitcask_options options;
    bitcask_error error;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.segment_size = 4 * DISK;
    if (store_open(full.os, "store", &options, &full.store, &error) != BITCASK_OK)
        fail_msg("%s", error.message);
    assert_int_equal(change(&full, WRITE_PUT, full.keys++), BITCASK_OK);
    if (prepared) {
        write_mutex_lock(&full.store->write_mutex);
        assert_int_equal(log_prepare_next(full.store, 0, &error), BITCASK_OK);
        write_mutex_unlock(&full.store->write_mutex);
    }
    while (change(&full, WRITE_PUT, full.keys) == BITCASK_OK)
        full.keys++;
    uint32_t deleted = 0;
    while (change(&full, WRITE_DELETE, deleted) == BITCASK_OK)
        deleted++;
    assert_true(deleted < full.keys);
    check_all_there(&full, deleted);
    (void)store_close(full.store, NULL);
    os_mem_free(full.os);
    return deleted;
}

static void deletes_on_a_full_disk_use_the_segment_made_ahead(void **state)
{
    (void)state;
    uint32_t without = deletes_until_full(false), with = deletes_until_full(true);
    assert_true(without > 40);
    assert_true(with > without + 40);
}

static void puts_wait_until_the_reserve_is_held_again(void **state)
{
    (void)state;
    struct full full = {0};
    fill_and_close(&full);
    open_store(&full);
    assert_int_equal(change(&full, WRITE_DELETE, 0), BITCASK_OK);
    assert_int_equal(change(&full, WRITE_PUT, 1), BITCASK_NO_SPACE);
    os_mem_set_capacity(full.os, 2 * DISK);
    assert_int_equal(change(&full, WRITE_PUT, 1), BITCASK_OK);
    struct os_stat stat;
    assert_int_equal(full.os->stat(full.os, "store/" NAME_RESERVE, &stat), 0);
    assert_true(stat.size >= RESERVE_MIN);
    finish(&full);
}

/* ---- A file system that takes its time ------------------------------------------------------- */

/* The blocks of a small file that was removed can be used again when a sync has written the file
 * system's own log, as on xfs. (Those of data files too; but they are many, and who needs them can
 * come again.) */
static struct lazy {
    int (*unlink)(struct os *os, const char *path);
    int (*sync)(struct os *os, struct os_file *file);
    uint64_t capacity, waiting;
} lazy;

static int unlink_lazily(struct os *os, const char *path)
{
    struct os_stat stat;
    int result = os->stat(os, path, &stat);
    if (result == 0)
        result = lazy.unlink(os, path);
    if (result == 0 && strstr(path, ".data") == NULL) {
        lazy.waiting += stat.size;
        os_mem_set_capacity(os, lazy.capacity - lazy.waiting);
    }
    return result;
}

static int sync_and_free(struct os *os, struct os_file *file)
{
    lazy.waiting = 0;
    os_mem_set_capacity(os, lazy.capacity);
    return lazy.sync(os, file);
}

static void make_lazy(struct full *full, uint64_t capacity)
{
    lazy = (struct lazy){.unlink = full->os->unlink, .sync = full->os->sync, .capacity = capacity};
    os_mem_set_capacity(full->os, capacity);
    full->os->unlink = unlink_lazily;
    full->os->sync = sync_and_free;
}

static uint64_t room_on(struct full *full)
{
    uint64_t room;
    assert_int_equal(full->os->free_space(full->os, "store", &room), 0);
    return room;
}

/* Delete from the first key on. Returns the one that there was no room for any more. */
static uint32_t delete_until_full(struct full *full)
{
    uint32_t deleted = 0;
    while (change(full, WRITE_DELETE, deleted) == BITCASK_OK)
        deleted++;
    assert_true(deleted < full->keys);
    return deleted;
}

static uint64_t manifest_size(struct full *full)
{
    struct os_stat manifest;
    assert_int_equal(full->os->stat(full->os, "store/" NAME_MANIFEST, &manifest), 0);
    return manifest.size;
}

/* Where there is no room for the manifest that lets go of what is dead, the hints of that make it.
 */
static void a_merge_makes_room_when_deletes_have_used_up_the_reserve(void **state)
{
    (void)state;
    unsigned without_room = 0;
    for (uint64_t more = 0; more < 4096; more += 512) {
        struct full full = {.width = 300, .segment_size = 256 << 10};
        fill_and_close(&full);
        os_mem_set_capacity(full.os, DISK);
        make_lazy(&full, DISK - room_on(&full) + more);
        open_store(&full);
        uint32_t deleted = delete_until_full(&full);
        without_room += room_on(&full) < manifest_size(&full) / 2;

        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        bitcask_error error;
        if (merge_run(full.store, &options, NULL, &error) != BITCASK_OK)
            fail_msg("%d bytes more, %u deletes: %s", (int)more, deleted, error.message);
        assert_int_equal(change(&full, WRITE_DELETE, deleted), BITCASK_OK);
        assert_int_equal(change(&full, WRITE_PUT, 0), BITCASK_OK);
        check_all_there(&full, deleted + 1);
        finish(&full);
    }
    assert_true(without_room > 0);
}

/* The manifest that lets go of them tells of all others: it is larger than what a small store's
 * needs. */
static void a_merge_has_room_for_the_manifest_of_many_segments(void **state)
{
    (void)state;
    struct full full = {.disk = 24 << 20, .width = 300};
    fill_and_close(&full);
    os_mem_set_capacity(full.os, full.disk);
    make_lazy(&full, full.disk - room_on(&full));
    open_store(&full);
    uint32_t deleted = delete_until_full(&full);
    assert_true(manifest_size(&full) > 2 * RESERVE_LAST);
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    bitcask_error error;
    if (merge_run(full.store, &options, NULL, &error) != BITCASK_OK)
        fail_msg("after %u deletes: %s", deleted, error.message);
    assert_int_equal(change(&full, WRITE_DELETE, deleted), BITCASK_OK);
    check_all_there(&full, deleted + 1);
    finish(&full);
}

/* ---- Odd files ------------------------------------------------------------------------------- */

/* What is in the reserve's place and is no file goes; if it cannot, there are no puts. */
static void a_directory_in_its_place_is_told(void **state)
{
    (void)state;
    struct full full = {.os = os_mem_new(&(struct os_mem_options){.seed = 1})};
    open_store(&full);
    assert_int_equal(change(&full, WRITE_PUT, 0), BITCASK_OK);
    assert_int_equal(store_close(full.store, NULL), BITCASK_OK);
    assert_int_equal(full.os->unlink(full.os, "store/" NAME_RESERVE), 0);
    assert_int_equal(full.os->make_dir(full.os, "store/" NAME_RESERVE), 0);
    open_store(&full);
    assert_int_not_equal(change(&full, WRITE_PUT, 1), BITCASK_OK);
    assert_int_equal(change(&full, WRITE_DELETE, 0), BITCASK_OK); /* needs none */
    assert_int_equal(full.os->remove_dir(full.os, "store/" NAME_RESERVE), 0);
    assert_int_equal(change(&full, WRITE_PUT, 1), BITCASK_OK);
    finish(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_refuses_puts_and_keeps_all),
        cmocka_unit_test(a_later_process_deletes_on_a_full_disk),
        cmocka_unit_test(deletes_and_a_merge_bring_room_back),
        cmocka_unit_test(deletes_on_a_full_disk_use_the_segment_made_ahead),
        cmocka_unit_test(puts_wait_until_the_reserve_is_held_again),
        cmocka_unit_test(a_merge_makes_room_when_deletes_have_used_up_the_reserve),
        cmocka_unit_test(a_merge_has_room_for_the_manifest_of_many_segments),
        cmocka_unit_test(a_directory_in_its_place_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
