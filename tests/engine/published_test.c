/* SPDX-License-Identifier: MIT
 * published_test.c: what a writer tells of how far its log is visible. */
#include "engine/published.h"

#include <errno.h>
#include <stdlib.h>

#include "../support/write_fixture.h"
#include "format/names.h"

static const char FILE_NAME[] = NAME_PUBLISHED;

static bitcask_status read_position(struct fixture *f, struct log_position *position)
{
    uint64_t capacity;
    return published_read(&f->store->segments, position, &capacity, &f->error);
}

/* The file says what the handle says: the end of the log. */
static void check_at_end(struct fixture *f)
{
    struct log_position position;
    assert_status(f, OK, read_position(f, &position));
    const struct segment *active = active_segment(f);
    assert_int_equal(position.segment, active->id);
    assert_int_equal(position.end, f->store->writer.end);
    assert_int_equal(log_position_word(position), atomic_load(&f->store->published.word));
}

static void open_new(struct fixture *f, enum way way)
{
    fixture_init(f);
    open_way(f, way);
}

static void every_group_moves_the_position(void **state)
{
    (void)state;
    for (int way = 0; way < WAY_COUNT; way++) {
        struct fixture f;
        open_new(&f, (enum way)way);
        for (int i = 0; i < 3; i++) {
            put(&f, "a", "1");
            check_at_end(&f);
            put_durably(&f, "b", "2");
            check_at_end(&f);
            put_batch(&f, "batch", 5);
            check_at_end(&f);
            rotate(&f);
        }
        fixture_release(&f);
    }
}

static void a_store_that_is_only_opened_writes_no_position(void **state)
{
    (void)state;
    struct fixture f;
    open_new(&f, WAY_MAPPED);
    assert_false(has_file(&f, FILE_NAME));
    struct log_position position;
    assert_int_equal(read_position(&f, &position), BITCASK_NOT_FOUND);
    fixture_release(&f);
}

static void what_fails_is_never_published(void **state)
{
    (void)state;
    for (int way = 0; way < WAY_COUNT; way++) {
        for (uint64_t nth = 1; nth < 12; nth++) {
            struct fixture f;
            open_new(&f, (enum way)way);
            put(&f, "before", "1");
            struct log_position before, after;
            assert_status(&f, OK, read_position(&f, &before));
            os_mem_fail(f.os, 1u << OS_CALL_PWRITE | SYNC_CALLS, nth, UINT64_MAX, -EIO);
            bitcask_write_options options;
            bitcask_write_options_init(&options);
            options.sync = BITCASK_SYNC_ALWAYS;
            bitcask_status status =
                bitcask_put(f.db, bitcask_str("k"), bitcask_str("v"), &options, NULL, &f.error);
            os_mem_fail(f.os, 0, 0, 1, 0);
            if (status != BITCASK_OK && read_position(&f, &after) == BITCASK_OK) {
                assert_int_equal(after.segment, before.segment);
                assert_true(after.end <= before.end);
            }
            fixture_release(&f);
        }
    }
}

/* The manifest does not vouch for it any more; the position does, before that. */
static void a_segment_that_is_appended_to_again_stays_published(void **state)
{
    (void)state;
    struct fixture f;
    open_new(&f, WAY_MAPPED);
    put(&f, "a", "1");
    uint64_t id = active_segment(&f)->id, end = f.store->writer.end;
    close_store(&f);
    delete_file(&f, FILE_NAME);
    open_store(&f);
    os_mem_fail(f.os, 1u << OS_CALL_RENAME, 1, 1, -EIO); /* of the manifest */
    assert_status(&f, IO,
                  bitcask_put(f.db, bitcask_str("b"), bitcask_str("2"), NULL, NULL, &f.error));
    struct log_position position;
    assert_status(&f, OK, read_position(&f, &position));
    assert_int_equal(position.segment, id);
    assert_int_equal(position.end, end);
    fixture_release(&f);
}

static void a_file_that_is_not_ours_is_made_anew(void **state)
{
    (void)state;
    struct fixture f;
    open_new(&f, WAY_MAPPED);
    put(&f, "a", "1");
    close_store(&f);
    flip_byte(&f, FILE_NAME, 20); /* of the store id */
    open_store(&f);
    struct log_position position;
    assert_int_equal(read_position(&f, &position), BITCASK_NOT_FOUND);
    put(&f, "b", "2");
    check_at_end(&f);
    fixture_release(&f);
}

/* Neither the making of the file nor writing to it is worth the write. */
static void a_store_that_cannot_publish_writes_all_the_same(void **state)
{
    (void)state;
    struct fixture f;
    open_new(&f, WAY_PWRITE);
    os_mem_fail(f.os, 1u << OS_CALL_OPEN, 1, 2, -EMFILE);
    put(&f, "a", "1");
    os_mem_fail(f.os, 0, 0, 1, 0);
    assert_int_equal(count_events(&f, "unpublished"), 1);
    assert_false(has_file(&f, FILE_NAME));
    put(&f, "b", "2");
    check_value(&f, "a", "1");
    fixture_release(&f);

    open_new(&f, WAY_PWRITE);
    put(&f, "a", "1");
    os_mem_fail(f.os, 1u << OS_CALL_PWRITE, 2, 1, -EIO);
    put(&f, "b", "2");
    assert_int_equal(count_events(&f, "unpublished"), 1);
    assert_false(has_file(&f, FILE_NAME)); /* rather none than one that stands still */
    check_value(&f, "b", "2");
    fixture_release(&f);
}

static void merged_segments_raise_the_log_floor(void **state)
{
    (void)state;
    struct fixture f;
    open_new(&f, WAY_MAPPED);
    put(&f, "a", "1");
    rotate(&f);
    uint64_t version = atomic_load(&f.store->writer.last_version);
    put(&f, "b", "2");
    assert_int_equal(f.store->segments.log_floor, 0);
    assert_status(
        &f, OK,
        bitcask_merge(f.db, &(bitcask_merge_options){.struct_size = sizeof(bitcask_merge_options)},
                      NULL, &f.error));
    assert_int_equal(f.store->segments.log_floor, 0); /* nothing was dead */
    put(&f, "a", "3");
    assert_status(&f, OK, bitcask_merge(f.db, NULL, NULL, &f.error));
    assert_int_equal(f.store->segments.log_floor, version);
    kill_9(&f);
    open_store(&f);
    assert_int_equal(f.store->segments.log_floor, version);
    close_store(&f);
    delete_file(&f, NAME_MANIFEST);
    open_store(&f); /* nobody knows what there was */
    assert_true(f.store->segments.log_floor >= atomic_load(&f.store->writer.last_version));
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_group_moves_the_position),
        cmocka_unit_test(a_store_that_is_only_opened_writes_no_position),
        cmocka_unit_test(what_fails_is_never_published),
        cmocka_unit_test(a_segment_that_is_appended_to_again_stays_published),
        cmocka_unit_test(a_file_that_is_not_ours_is_made_anew),
        cmocka_unit_test(a_store_that_cannot_publish_writes_all_the_same),
        cmocka_unit_test(merged_segments_raise_the_log_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
