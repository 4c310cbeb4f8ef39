/* SPDX-License-Identifier: MIT
 * backup_odd_test.c: backups of a store whose files are not all there, or damaged, onto other disks
 * and into directories in which something is missing; and backups that are given up. */
#include "support/write_fixture.h"

#include "base/bytes.h"
#include "engine/backup.h"
#include "format/names.h"
#include "format/segment_header.h"

#define DEST "backup"
#define SEGMENT_1 "000000001.data"
#define HINT_1 "000000001.hint"
#define SEGMENT_2 "000000002.data"

static bitcask_backup_result made;

static void make(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    put_numbered(f, "k", 0, 30, "1");
    rotate(f);
    put_numbered(f, "k", 10, 40, "2");
    delete_key(f, "k12");
    rotate(f);
    put_batch(f, "active", 3);
    put(f, "last", "3");
    sync_store(f);
}

static void check_made(struct fixture *f)
{
    check_value(f, "k5", "1");
    check_value(f, "k20", "2");
    check_missing(f, "k12");
    check_value(f, "active2", "active2");
    check_value(f, "last", "3");
}

static bitcask_status try_backup_to(struct fixture *f, struct os *os, int copy)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    options.copy = copy;
    made = (bitcask_backup_result){.struct_size = sizeof made};
    return backup_run(f->store, os, DEST, &options, &made, &f->error);
}

static void back_up(struct fixture *f, int copy)
{
    assert_status(f, OK, try_backup_to(f, f->os, copy));
}

/* The store in DEST of a disk, for reading, in the place of that of the fixture. */
static void open_copy(struct fixture *f, struct fixture *copy, struct os *os)
{
    *copy = (struct fixture){.os = os, .options = f->options};
    copy->options.log_context = copy;
    copy->options.read_only = 1;
    assert_status(copy, OK, store_open(os, DEST, &copy->options, &copy->store, &copy->error));
    copy->db = (bitcask *)copy->store;
}

static void check_copy(struct fixture *f, struct os *os)
{
    static struct fixture copy;
    open_copy(f, &copy, os);
    check_made(&copy);
    close_store(&copy);
}

/* ---- The store's own files ------------------------------------------------------------------- */

/* Somebody has deleted it, or a merge: what is mapped is there as long as the store is open. */
static void a_file_that_is_gone_is_copied_from_memory(void **state)
{
    (void)state;
    for (int copy = 0; copy < 2; copy++) {
        struct fixture f;
        make(&f);
        delete_file(&f, SEGMENT_1);
        back_up(&f, copy);
        assert_true(made.copied > 0);
        check_copy(&f, f.os);
        check_made(&f);
        fixture_release(&f);
    }
}

static int64_t read_nothing(struct os *os, struct os_file *file, void *data, size_t size,
                            uint64_t offset)
{
    (void)os, (void)file, (void)data, (void)size, (void)offset;
    return 0;
}

static void a_file_that_has_become_shorter_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    int64_t (*pread_on_disk)(struct os * os, struct os_file * file, void *data, size_t size,
                             uint64_t offset) = f.os->pread;
    f.os->pread = read_nothing;
    assert_status(&f, IO, try_backup_to(&f, f.os, 1));
    f.os->pread = pread_on_disk;
    back_up(&f, 1);
    check_copy(&f, f.os);
    fixture_release(&f);
}

static void a_damaged_record_is_damaged_in_the_backup_and_nothing_else(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    char name[NAME_SIZE];
    size_t size, at = SEGMENT_HEADER_SIZE;
    name_data(name, active_segment(&f)->id);
    unsigned char *data = read_whole(&f, name, &size);
    while (memcmp(data + at, "active1", 7) != 0)
        at++;
    flip_byte(&f, name, at);
    free(data);
    back_up(&f, 1);
    static struct fixture copy;
    open_copy(&f, &copy, f.os);
    assert_true(count_events(&copy, "damaged") > 0);
    check_value(&copy, "k5", "1");
    check_value(&copy, "k20", "2");
    check_value(&copy, "last", "3");
    close_store(&copy);
    fixture_release(&f);
}

/* ---- Where it goes --------------------------------------------------------------------------- */

static void on_another_disk_everything_is_copied(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    struct os *other = os_mem_new(&(struct os_mem_options){.durable_images = true, .seed = 2});
    assert_non_null(other);
    assert_status(&f, OK, try_backup_to(&f, other, 0));
    assert_int_equal(made.linked, 0);
    assert_int_equal(made.copied, made.segments);
    os_mem_crash(other); /* all of it is durable */
    check_copy(&f, other);
    assert_status(&f, OK, try_backup_to(&f, other, 0));
    assert_true(made.reused > 0);
    check_copy(&f, other);
    os_mem_free(other);
    fixture_release(&f);
}

/* What the manifest there names and is not there, or is too short, is brought again. */
static void what_is_missing_there_is_brought_again(void **state)
{
    (void)state;
    enum { GONE, SHORT, HINT_GONE, WAYS };
    for (int way = 0; way < WAYS; way++) {
        for (int copy = 0; copy < 2; copy++) {
            struct fixture f;
            make(&f);
            back_up(&f, copy);
            assert_int_equal(
                f.os->unlink(f.os, way == HINT_GONE ? DEST "/" HINT_1 : DEST "/" SEGMENT_1), 0);
            if (way == SHORT)
                assert_int_equal(os_mem_write_file(f.os, DEST "/" SEGMENT_1, "short", 5), 0);
            put(&f, "last", "3");
            back_up(&f, copy);
            check_copy(&f, f.os);
            assert_true(os_mem_read_file(f.os, DEST "/" HINT_1, NULL, 0) > 0);
            fixture_release(&f);
        }
    }
}

/* A backup that was not finished has copied a file: it is used if it is this segment's, whole. */
static void a_copy_that_an_unfinished_backup_has_left_is_looked_at(void **state)
{
    (void)state;
    enum { WHOLE, OTHER_STORE, OTHER_SEGMENT, OTHER_ID, HALF, RUBBISH, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct fixture f;
        make(&f);
        uint8_t mark[2 * STORE_ID_SIZE];
        memcpy(mark, f.store->segments.store_id, STORE_ID_SIZE);
        memcpy(mark + STORE_ID_SIZE, f.store->fork_id, STORE_ID_SIZE);
        assert_int_equal(f.os->make_dir(f.os, DEST), 0);
        assert_int_equal(os_mem_write_file(f.os, DEST "/" NAME_UNFINISHED, mark, sizeof mark), 0);
        size_t size;
        unsigned char *data = read_whole(&f, SEGMENT_1, &size);
        struct segment_header header;
        assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
        header.store_id[0] ^= way == OTHER_STORE;
        header.salt ^= way == OTHER_SEGMENT;
        header.segment_id += way == OTHER_ID;
        segment_header_encode(data, &header);
        if (way == RUBBISH)
            memset(data, 'x', size);
        assert_int_equal(
            os_mem_write_file(f.os, DEST "/" SEGMENT_1, data, way == HALF ? size / 2 : size), 0);
        free(data);
        back_up(&f, 1);
        assert_int_equal(made.reused, way == WHOLE);
        check_copy(&f, f.os);
        fixture_release(&f);
    }
}

/* What is left of an unfinished one may be anything: nothing was promised of it. */
static void over_an_unfinished_backup_another_is_made(void **state)
{
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        struct fixture f;
        make(&f);
        uint8_t mark[2 * STORE_ID_SIZE];
        memcpy(mark, f.store->segments.store_id, STORE_ID_SIZE);
        memcpy(mark + STORE_ID_SIZE, f.store->fork_id, STORE_ID_SIZE);
        assert_int_equal(f.os->make_dir(f.os, DEST), 0);
        assert_int_equal(
            os_mem_write_file(f.os, DEST "/" NAME_UNFINISHED, mark, empty ? 0 : sizeof mark), 0);
        assert_int_equal(os_mem_write_file(f.os, DEST "/" NAME_MANIFEST, "half a", 6), 0);
        back_up(&f, 0);
        check_copy(&f, f.os);
        fixture_release(&f);
    }
}

static void a_damaged_backup_is_not_written_over(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    back_up(&f, 0);
    assert_int_equal(os_mem_write_file(f.os, DEST "/" NAME_MANIFEST, "half a", 6), 0);
    assert_status(&f, CORRUPT, try_backup_to(&f, f.os, 0));
    assert_non_null(strstr(f.error.message, "choose another directory"));
    fixture_release(&f);
}

/* ---- Giving up ------------------------------------------------------------------------------- */

static int cancel_later(void *context, const bitcask_backup_progress *progress)
{
    (void)progress;
    uint64_t *left = context;
    return --*left == 0;
}

static void a_backup_can_be_given_up_at_any_time_and_finished_later(void **state)
{
    (void)state;
    bool cancelled = true;
    for (uint64_t nth = 1; cancelled; nth++) {
        struct fixture f;
        make(&f);
        uint64_t left = nth;
        bitcask_backup_options options;
        bitcask_backup_options_init(&options);
        options.copy = 1;
        options.progress = cancel_later;
        options.context = &left;
        bitcask_status status = backup_run(f.store, f.os, DEST, &options, NULL, &f.error);
        cancelled = status == BITCASK_CANCELLED;
        assert_true(cancelled || status == BITCASK_OK);
        assert_true(cancelled || left > 0);
        back_up(&f, 1);
        check_copy(&f, f.os);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_gone_is_copied_from_memory),
        cmocka_unit_test(a_file_that_has_become_shorter_is_an_error),
        cmocka_unit_test(a_damaged_record_is_damaged_in_the_backup_and_nothing_else),
        cmocka_unit_test(on_another_disk_everything_is_copied),
        cmocka_unit_test(what_is_missing_there_is_brought_again),
        cmocka_unit_test(a_copy_that_an_unfinished_backup_has_left_is_looked_at),
        cmocka_unit_test(over_an_unfinished_backup_another_is_made),
        cmocka_unit_test(a_damaged_backup_is_not_written_over),
        cmocka_unit_test(a_backup_can_be_given_up_at_any_time_and_finished_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
