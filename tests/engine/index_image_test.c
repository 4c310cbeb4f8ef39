/* SPDX-License-Identifier: MIT
 * index_image_test.c: a store that is opened from the image of its index is the store that it is
 * without; whatever has happened to the image, or to the store since. Invariants I1 to I5. */
#include "engine/index_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "format/names.h"
#include "support/write_fixture.h"

/* ---- Verbs ---------------------------------------------------------------------------------- */

static bool from_image(const struct fixture *f)
{
    return atomic_load(&f->store->index.origin) == BITCASK_INDEX_SNAPSHOT;
}

static void write_image(struct fixture *f)
{
    assert_status(f, OK, index_image_write(f->store, NULL, &f->error));
}

/* A store whose closes leave no image but by write_image. */
static void init(struct fixture *f)
{
    fixture_init(f);
    f->options.index_snapshot_bytes = UINT64_C(1) << 60;
}

static void close_with_image(struct fixture *f)
{
    f->store->options.index_snapshot_bytes = 1;
    if (has_file(f, NAME_IMAGE))
        delete_file(f, NAME_IMAGE);
    write_image(f);
    close_store(f);
    assert_true(has_file(f, NAME_IMAGE));
}

static char *key_of(int number)
{
    static char key[32];
    snprintf(key, sizeof key, "key%d", number);
    return key;
}

static void make_two_segments(struct fixture *f)
{
    init(f);
    open_store(f);
    put_numbered(f, "k", 0, 300, "one");
    rotate(f);
    put_numbered(f, "k", 200, 400, "two");
    for (int i = 0; i < 400; i += 7) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        delete_key(f, key);
    }
}

/* A number for the values of all keys of a store too large for a dump. */
static uint32_t digest(struct fixture *f, int keys)
{
    uint32_t crc = 0;
    bitcask_buffer value = {0};
    for (int i = 0; i < keys; i++) {
        bitcask_status status = read_key(f, key_of(i), &value);
        crc = checksum(crc, &status, sizeof status);
        if (status == BITCASK_OK)
            crc = checksum(crc, value.data, value.size);
    }
    bitcask_buffer_free(&value);
    return crc;
}

static void check_same_digest(struct fixture *f, int keys)
{
    uint32_t with = digest(f, keys);
    uint64_t live = live_bytes(f), count = keydir_count(f->store->keydir);
    assert_status(f, OK, bitcask_verify(f->db, NULL, NULL, &f->error));
    close_store(f);
    f->options.index_snapshot = 0;
    open_store(f);
    assert_int_equal(with, digest(f, keys));
    assert_int_equal(live, live_bytes(f));
    assert_int_equal(count, keydir_count(f->store->keydir));
}

/* What the open store says is what it says without the image, its figures included. */
static void check_same_without(struct fixture *f)
{
    char *with = dump_store(f);
    uint64_t live = live_bytes(f), keys = keydir_count(f->store->keydir);

    assert_status(f, OK, bitcask_verify(f->db, NULL, NULL, &f->error));
    close_store(f);
    f->options.index_snapshot = 0;
    open_store(f);
    assert_false(from_image(f));
    char *without = dump_store(f);
    assert_string_equal(with, without);
    assert_int_equal(live, live_bytes(f));
    assert_int_equal(keys, keydir_count(f->store->keydir));
    free(with);
    free(without);
    f->options.index_snapshot = 1;
}

/* ---- Good images ---------------------------------------------------------------------------- */

static void a_closed_store_is_opened_from_its_image(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    close_with_image(&f);
    open_store(&f);
    assert_true(from_image(&f));
    assert_int_equal(event_number(&f, "recovered", "replayed"), 0);
    assert_true(keydir_has_absent(f.store->keydir));
    check_missing(&f, "k7");
    check_value(&f, "k8", "one");
    check_value(&f, "k398", "two");
    check_same_without(&f);
    fixture_release(&f);
}

/* What a batch sees when it looks ahead is not all that there is: the rest is in the image yet. */
static void a_batch_replaces_keys_that_have_not_been_fetched(void **state)
{
    (void)state;
    enum { OPS = 40 };
    struct fixture f;
    make_two_segments(&f);
    close_with_image(&f);
    open_store(&f);
    assert_true(keydir_has_absent(f.store->keydir));
    uint64_t keys = keydir_count(f.store->keydir);
    char names[OPS][8];
    struct write_op ops[OPS];
    for (int i = 0; i < OPS; i++) { /* k1 to k6, then k8... */
        snprintf(names[i], sizeof names[i], "k%d", i / 6 * 7 + i % 6 + 1);
        ops[i] = op_put(names[i], "batch", 0);
    }
    assert_status(&f, OK, write_batch(&f, ops, OPS));
    assert_int_equal(keydir_count(f.store->keydir), keys);
    for (int i = 0; i < OPS; i++)
        check_value(&f, names[i], "batch");
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    fixture_release(&f);
}

static void an_empty_store_has_an_image_too(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    open_store(&f);
    put(&f, "a", "1");
    delete_key(&f, "a");
    write_image(&f);
    close_store(&f);
    open_store(&f);
    assert_true(from_image(&f));
    check_missing(&f, "a");
    put(&f, "a", "2");
    check_value(&f, "a", "2");
    check_same_without(&f);
    fixture_release(&f);
}

static void a_close_that_has_added_little_writes_no_image(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "a", "1");
    close_store(&f);
    assert_false(has_file(&f, NAME_IMAGE));
    f.options.index_snapshot_bytes = 1;
    open_store(&f);
    put_sized(&f, "a", '2', 32 << 10);
    close_store(&f);
    assert_true(has_file(&f, NAME_IMAGE));
    open_store(&f);
    uint64_t before = os_mem_calls(f.os, 1u << OS_CALL_RENAME);
    close_store(&f);
    assert_int_equal(os_mem_calls(f.os, 1u << OS_CALL_RENAME), before); /* nothing has changed */
    fixture_release(&f);
}

static void switched_off_it_is_neither_written_nor_used(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.index_snapshot = 0;
    f.options.index_snapshot_bytes = 1;
    open_store(&f);
    put(&f, "a", "1");
    close_store(&f);
    assert_false(has_file(&f, NAME_IMAGE));
    fixture_release(&f);
}

static void records_behind_the_image_are_replayed(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    put(&f, "k1", "three");
    put(&f, "new", "three");
    delete_key(&f, "k2");
    put(&f, "k0", "again");
    put(&f, "brief", "x");
    delete_key(&f, "brief");
    close_store(&f);
    open_store(&f);
    assert_true(from_image(&f));
    assert_int_equal(event_number(&f, "recovered", "replayed"), 5); /* of each key the newest */
    check_value(&f, "k1", "three");
    check_value(&f, "new", "three");
    check_value(&f, "k0", "again");
    check_missing(&f, "k2");
    check_missing(&f, "brief");
    check_same_without(&f);
    fixture_release(&f);
}

static void segments_behind_the_image_are_replayed(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    put_numbered(&f, "k", 100, 150, "three");
    rotate(&f);
    put_numbered(&f, "k", 120, 180, "four");
    delete_key(&f, "k121");
    rotate(&f);
    put(&f, "k121", "five");
    close_store(&f);
    open_store(&f);
    assert_true(from_image(&f));
    check_value(&f, "k119", "three");
    check_value(&f, "k121", "five");
    check_same_without(&f);
    fixture_release(&f);
}

static void a_merge_of_what_came_behind_leaves_the_image_good(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    rotate(&f);
    write_image(&f);
    put_numbered(&f, "k", 100, 150, "three");
    delete_key(&f, "k100");
    rotate(&f);
    put_numbered(&f, "k", 100, 150, "four");
    delete_key(&f, "k101");
    rotate(&f);
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.min_dead = 0.4;
    assert_status(&f, OK, bitcask_merge(f.db, &options, NULL, &f.error));
    close_store(&f);
    open_store(&f);
    check_value(&f, "k102", "four");
    check_missing(&f, "k101");
    check_same_without(&f);
    fixture_release(&f);
}

static void a_store_that_was_killed_is_opened_from_an_older_image(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    put_numbered(&f, "k", 380, 420, "three");
    delete_key(&f, "k1");
    kill_9(&f);
    open_store(&f);
    assert_true(from_image(&f));
    check_value(&f, "k419", "three");
    check_missing(&f, "k1");
    check_same_without(&f);
    fixture_release(&f);
}

static void after_a_power_cut_nothing_is_in_the_index_that_is_not_in_the_log(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f); /* syncs what it tells of */
    put_numbered(&f, "k", 0, 50, "lost");
    delete_key(&f, "k51");
    crash(&f);
    open_store(&f);
    assert_true(from_image(&f));
    check_value(&f, "k1", "one");
    check_value(&f, "k51", "one");
    check_same_without(&f);
    fixture_release(&f);
}

/* ---- Written while others write ------------------------------------------------------------- */

struct meddler {
    struct fixture *f;
    int left; /* calls to let pass; 0: now */
    int keys, step;
};

/* Overwrite, delete and add, once. */
static int meddle(void *context, enum os_mem_call call)
{
    (void)call;
    struct meddler *meddler = context;
    if (meddler->left-- != 0)
        return 0;
    struct fixture *f = meddler->f;
    os_mem_hook(f->os, 0, NULL, NULL);
    for (int i = 0; i < meddler->keys; i += meddler->step) {
        put(f, key_of(i), "meddled");
        delete_key(f, key_of(i + 1));
        delete_key(f, key_of(i + 2));
        put(f, key_of(i + 2), "anew");
        put(f, key_of(meddler->keys + i), "added");
    }
    return 0;
}

/* Change the store at the first call of `kind` behind `left` others while an image is made; kill or
 * close; the image must be good, and the store what it is without it. */
static void meddle_at(enum os_mem_call kind, int left, int keys, bool kill)
{
    struct fixture f;
    init(&f);
    f.options.segment_size = 64 << 20;
    open_store(&f);
    for (int i = 0; i < keys; i++)
        put(&f, key_of(i), "before");
    sync_store(&f);
    struct meddler meddler = {.f = &f, .left = left, .keys = keys, .step = 31};
    os_mem_hook(f.os, 1u << kind, meddle, &meddler);
    write_image(&f);
    os_mem_hook(f.os, 0, NULL, NULL);
    assert_true(meddler.left < 0);
    put(&f, key_of(5), "behind");
    if (kill)
        kill_9(&f);
    else
        close_store(&f);
    open_store(&f);
    assert_true(from_image(&f));
    check_value(&f, key_of(0), "meddled");
    check_missing(&f, key_of(1));
    check_value(&f, key_of(2), "anew");
    check_value(&f, key_of(5), "behind");
    check_value(&f, key_of(keys), "added");
    check_same_digest(&f, 2 * keys);
    fixture_release(&f);
}

static void writes_before_the_first_shard_is_copied_are_not_lost(void **state)
{
    (void)state;
    meddle_at(OS_CALL_OPEN, 0, 2000, true);
    meddle_at(OS_CALL_OPEN, 0, 2000, false);
}

static void writes_between_two_shards_are_not_lost(void **state)
{
    (void)state;
    meddle_at(OS_CALL_PWRITE, 0, 130000, true); /* the image has more than one part */
}

static void writes_behind_the_last_shard_are_not_lost(void **state)
{
    (void)state;
    meddle_at(OS_CALL_SYNC, 0, 2000, true);
    meddle_at(OS_CALL_SYNC, 0, 2000, false);
}

/* ---- Images that are not good any more ------------------------------------------------------ */

static void an_image_of_segments_that_a_merge_has_replaced_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    assert_status(&f, OK, merge_all(&f));
    close_store(&f);
    open_store(&f);
    assert_false(from_image(&f));
    assert_int_equal(count_events(&f, "index_snapshot_refused"), 1);
    check_same_without(&f);
    fixture_release(&f);
}

static void after_a_merge_the_next_close_writes_another(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    assert_status(&f, OK, merge_all(&f));
    close_with_image(&f);
    open_store(&f);
    assert_true(from_image(&f));
    check_same_without(&f);
    fixture_release(&f);
}

static void an_image_of_another_store_is_refused(void **state)
{
    (void)state;
    struct fixture f, other;
    make_two_segments(&other);
    close_with_image(&other);
    size_t size;
    unsigned char *image = read_whole(&other, NAME_IMAGE, &size);
    fixture_release(&other);
    make_two_segments(&f);
    put(&f, "more", "x"); /* the random numbers of both disks are the same */
    close_store(&f);
    image[16] ^= 1; /* the store's id */
    put_u32(image + 124, checksum(0, image, 124));
    write_whole(&f, NAME_IMAGE, image, size);
    open_store(&f);
    assert_false(from_image(&f));
    assert_int_equal(count_events(&f, "index_snapshot_refused"), 1);
    free(image);
    fixture_release(&f);
}

static void an_image_of_another_history_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    close_with_image(&f);
    size_t size;
    unsigned char *image = read_whole(&f, NAME_IMAGE, &size);
    image[32] ^= 1; /* the fork id */
    put_u32(image + 124, checksum(0, image, 124));
    write_whole(&f, NAME_IMAGE, image, size);
    open_store(&f);
    assert_false(from_image(&f));
    check_same_without(&f);
    free(image);
    fixture_release(&f);
}

/* Two copies of a store go on differently; the image of one gets to the other. */
static void an_image_of_records_that_were_written_elsewhere_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    close_store(&f);
    struct disk_image *copy = save_disk(&f);
    open_store(&f);
    put(&f, "here", "111");
    close_with_image(&f);
    size_t size;
    unsigned char *image = read_whole(&f, NAME_IMAGE, &size);
    restore_disk(&f, copy);
    f.os->clock_real(f.os);
    os_mem_advance_clock(f.os, 1000000);
    open_store(&f);
    put(&f, "thus", "222"); /* as long */
    close_store(&f);
    write_whole(&f, NAME_IMAGE, image, size);
    open_store(&f);
    assert_false(from_image(&f));
    check_value(&f, "thus", "222");
    check_missing(&f, "here");
    free(image);
    free_disk(copy);
    fixture_release(&f);
}

static void an_image_of_what_recovery_has_cut_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    sync_store(&f);
    struct disk_image *before = save_disk(&f);
    put(&f, "late", "x");
    close_with_image(&f);
    size_t size;
    unsigned char *image = read_whole(&f, NAME_IMAGE, &size);
    restore_disk(&f, before); /* the log as it was, cut by the power, say */
    write_whole(&f, NAME_IMAGE, image, size);
    open_store(&f);
    assert_false(from_image(&f));
    check_missing(&f, "late");
    check_same_without(&f);
    free(image);
    free_disk(before);
    fixture_release(&f);
}

static void an_image_is_refused_where_a_segment_is_damaged(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    put(&f, "k1", "three");
    kill_9(&f);
    flip_byte(&f, "000000002.data", SEGMENT_HEADER_SIZE + 30);
    open_store(&f);
    assert_false(from_image(&f));
    assert_true(count_events(&f, "damaged") > 0 || count_events(&f, "cut") > 0);
    fixture_release(&f);
}

/* ---- Damaged images ------------------------------------------------------------------------- */

/* Every key, one by one: the value, or an error; "not there" never. */
static void check_every_key(struct fixture *f)
{
    for (int i = 0; i < 400; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        if (i % 7 == 0)
            check_missing(f, key);
        else
            check_value(f, key, i < 200 ? "one" : "two");
    }
}

static void an_image_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    close_with_image(&f);
    size_t size = file_size(&f, NAME_IMAGE);
    struct disk_image *disk = save_disk(&f);
    for (size_t cut = 0; cut < size; cut += cut < 256 ? 1 : 499) {
        restore_disk(&f, disk);
        truncate_file(&f, NAME_IMAGE, cut);
        f.options.read_only = 1;
        open_store(&f);
        assert_false(from_image(&f));
        check_every_key(&f);
        abandon(&f);
    }
    free_disk(disk);
    fixture_release(&f);
}

/* A flipped bit in header or tables is found at open, one in a shard when that is fetched; then the
 * shard is built from the hints. */
static void a_flipped_bit_anywhere_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    close_with_image(&f);
    size_t size = file_size(&f, NAME_IMAGE), tables = size - 3 * IMAGE_SEGMENT_SIZE;
    struct disk_image *disk = save_disk(&f);
    size_t rebuilt = 0;
    for (size_t at = 0; at < size; at += at < IMAGE_HEADER_SIZE || at > tables ? 1 : 211) {
        restore_disk(&f, disk);
        flip_byte(&f, NAME_IMAGE, at);
        f.options.read_only = 1;
        open_store(&f);
        check_every_key(&f);
        rebuilt += count_events(&f, "index_rebuilt");
        abandon(&f);
    }
    assert_true(rebuilt > 5);
    free_disk(disk);
    fixture_release(&f);
}

static void damage_a_shard(struct fixture *f)
{
    make_two_segments(f);
    close_with_image(f);
    flip_byte(f, NAME_IMAGE, IMAGE_HEADER_SIZE + 100);
}

static void a_damaged_shard_is_rebuilt_for_whoever_comes_first(void **state)
{
    (void)state;
    struct fixture f;
    damage_a_shard(&f);
    struct disk_image *disk = save_disk(&f);
    open_store(&f); /* a put */
    assert_true(from_image(&f));
    put(&f, "k1", "three");
    check_value(&f, "k1", "three");
    check_value(&f, "k2", "one");
    assert_int_equal(count_events(&f, "index_rebuilt"), 1);
    delete_file(&f, NAME_IMAGE); /* which verify would object to */
    check_same_without(&f);
    abandon(&f);

    restore_disk(&f, disk); /* a merge */
    open_store(&f);
    assert_status(&f, OK, merge_all(&f));
    assert_int_equal(count_events(&f, "index_rebuilt"), 1);
    check_every_key(&f);
    delete_file(&f, NAME_IMAGE); /* which verify would object to */
    check_same_without(&f);
    abandon(&f);

    restore_disk(&f, disk); /* an iterator; without hints */
    delete_file(&f, "000000001.hint");
    open_store(&f);
    delete_file(&f, NAME_IMAGE); /* which verify would object to */
    check_same_without(&f);
    free_disk(disk);
    fixture_release(&f);
}

static void verify_finds_damage_in_the_image(void **state)
{
    (void)state;
    struct fixture f;
    damage_a_shard(&f);
    open_store(&f);
    assert_status(&f, CORRUPT, bitcask_verify(f.db, NULL, NULL, &f.error));
    close_store(&f);
    flip_byte(&f, NAME_IMAGE, IMAGE_HEADER_SIZE + 100);
    open_store(&f);
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    flip_byte(&f, NAME_IMAGE, 90); /* in the header */
    assert_status(&f, CORRUPT, bitcask_verify(f.db, NULL, NULL, &f.error));
    fixture_release(&f);
}

static void a_shard_that_cannot_be_rebuilt_is_an_error_and_not_an_absence(void **state)
{
    (void)state;
    struct fixture f;
    damage_a_shard(&f);
    open_store(&f);
    assert_true(from_image(&f));
    /* Neither image nor hints nor files can be read from now on. */
    os_mem_fail(f.os, 1u << OS_CALL_PREAD | 1u << OS_CALL_OPEN, 1, UINT64_MAX, -EIO);
    flip_byte(&f, "000000001.data", SEGMENT_HEADER_SIZE + 2);
    bitcask_buffer value = {0};
    assert_int_equal(read_key(&f, "k1", &value), BITCASK_IO);
    assert_int_equal(bitcask_put(f.db, bitcask_str("k1"), bitcask_str("x"), NULL, NULL, &f.error),
                     BITCASK_IO);
    assert_int_equal(merge_all(&f), BITCASK_IO);
    os_mem_fail(f.os, 0, 0, 0, 0);
    bitcask_buffer_free(&value);
    fixture_release(&f);
}

/* With the image damaged, and the data of a segment that has no hint, a part of the index could not
 * be had, and opening again came to the same: keys were out of reach that nothing was wrong with.
 */
static void opening_again_goes_by_the_data_where_a_shard_could_not_be_rebuilt(void **state)
{
    (void)state;
    struct fixture f;
    damage_a_shard(&f);
    /* A record of the segment that is not sealed, whose hint is not asked then. */
    flip_byte(&f, "000000002.data", SEGMENT_HEADER_SIZE + 100);
    open_store(&f);
    assert_true(from_image(&f));
    bitcask_buffer value = {0};
    assert_int_equal(read_key(&f, "k1", &value), BITCASK_IO);
    abandon(&f);
    open_store(&f);
    assert_false(from_image(&f));
    check_value(&f, "k1", "one");
    bitcask_buffer_free(&value);
    fixture_release(&f);
}

/* ---- Faults while writing ------------------------------------------------------------------- */

struct stop {
    int left;
};

static int stop_at(void *context, enum os_mem_call call)
{
    (void)call;
    struct stop *stop = context;
    return stop->left-- <= 0;
}

/* The power goes, or the process, at call n of making an image, where there is one already. */
static bool interrupt_at(int n, bool power, const char *expected)
{
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    put(&f, "k1", "three");
    delete_key(&f, "k3");
    sync_store(&f);
    struct stop stop = {.left = n};
    os_mem_hook(f.os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), stop_at, &stop);
    bitcask_status status = index_image_write(f.store, NULL, &f.error);
    os_mem_hook(f.os, 0, NULL, NULL);
    bool complete = stop.left > 0;
    if (complete)
        assert_int_equal(status, BITCASK_OK);
    if (power)
        crash(&f);
    else
        kill_9(&f);
    open_store(&f);
    assert_true(from_image(&f));
    assert_false(has_file(&f, NAME_IMAGE_TMP));
    char *dump = dump_store(&f);
    if (expected != NULL)
        assert_string_equal(dump, expected);
    free(dump);
    check_same_without(&f);
    fixture_release(&f);
    return complete;
}

static void interrupted_at_any_call_the_store_is_the_same(void **state)
{
    (void)state;
    for (int power = 0; power < 2; power++) {
        int n = 0;
        while (!interrupt_at(n, power, NULL))
            n++;
        assert_true(n >= 6);
    }
}

static void a_write_that_fails_leaves_the_image_before(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {OS_CALL_PWRITE, OS_CALL_SYNC, OS_CALL_RENAME, OS_CALL_OPEN,
                                     OS_CALL_RANDOM};
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        os_mem_fail(f.os, 1u << kinds[i], 1, 1, kinds[i] == OS_CALL_PWRITE ? -ENOSPC : -EIO);
        assert_int_not_equal(index_image_write(f.store, NULL, &f.error), BITCASK_OK);
        os_mem_fail(f.os, 0, 0, 0, 0);
        assert_false(has_file(&f, NAME_IMAGE_TMP));
        assert_true(has_file(&f, NAME_IMAGE));
    }
    close_store(&f);
    open_store(&f);
    assert_true(from_image(&f));
    check_same_without(&f);
    fixture_release(&f);
}

static void out_of_memory_anywhere_opens_or_says_so(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    write_image(&f);
    put(&f, "k1", "three");
    delete_key(&f, "k3");
    close_store(&f);
    struct disk_image *disk = save_disk(&f);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        restore_disk(&f, disk);
        os_mem_fail(f.os, 1u << OS_CALL_ALLOC, n, 1, -ENOMEM);
        uint64_t before = os_mem_calls(f.os, 1u << OS_CALL_ALLOC);
        bitcask_status status = try_open(&f);
        done = os_mem_calls(f.os, 1u << OS_CALL_ALLOC) - before < n;
        os_mem_fail(f.os, 0, 0, 0, 0);
        if (status == BITCASK_OK) {
            check_value(&f, "k1", "three");
            check_missing(&f, "k3");
            check_value(&f, "k4", "one");
            abandon(&f);
        } else {
            assert_int_equal(status, BITCASK_NO_MEMORY);
        }
    }
    free_disk(disk);
    fixture_release(&f);
}

/* Memory that is short when a shard is wanted is an error of that call only. */
static void out_of_memory_for_a_shard_is_not_an_absence(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    close_with_image(&f);
    open_store(&f);
    os_mem_fail(f.os, 1u << OS_CALL_ALLOC, 1, UINT64_MAX, -ENOMEM);
    bitcask_buffer value = {0};
    assert_int_equal(read_key(&f, "k1", &value), BITCASK_NO_MEMORY);
    os_mem_fail(f.os, 0, 0, 0, 0);
    assert_int_equal(read_key(&f, "k1", &value), BITCASK_OK);
    bitcask_buffer_free(&value);
    check_same_without(&f);
    fixture_release(&f);
}

/* ---- What a short command costs ------------------------------------------------------------- */

static void a_short_put_writes_neither_the_image_nor_the_hint(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    f.options.segment_size = 4 << 20;
    open_store(&f);
    for (int i = 0; i < 5000; i++)
        put(&f, key_of(i), "a value of some length, so that the segment has a size");
    close_with_image(&f);
    size_t hint = file_size(&f, "000000001.hint");
    f.options.index_snapshot_bytes = 16 << 20;
    for (int round = 0; round < 3; round++) {
        open_store(&f);
        assert_true(from_image(&f));
        put(&f, key_of(round), "changed");
        uint64_t renames = os_mem_calls(f.os, 1u << OS_CALL_RENAME);
        close_store(&f);
        assert_int_equal(os_mem_calls(f.os, 1u << OS_CALL_RENAME), renames + 1); /* MANIFEST */
    }
    assert_int_equal(file_size(&f, "000000001.hint"), hint);
    open_store(&f);
    assert_true(from_image(&f));
    for (int round = 0; round < 3; round++)
        check_value(&f, key_of(round), "changed");
    check_same_without(&f); /* there the tail behind the hint is read */
    assert_int_equal(count_events(&f, "hint_rebuilt"), 0);
    fixture_release(&f);
}

/* ---- A store in no state for one ------------------------------------------------------------- */

static struct fixture *changed; /* while the image's file is made */
static int change_number;
static int (*real_open)(struct os *os, const char *path, int flags, struct os_file **file);

/* After the positions have been noted, before the segments are described. */
static int open_and_change(struct os *os, const char *path, int flags, struct os_file **file)
{
    struct store *store = changed->store;
    if (strstr(path, NAME_IMAGE_TMP) != NULL) {
        if (change_number == 0)
            atomic_store(&store->segments.by_id[0]->damaged, 1);
        else if (change_number == 1)
            store->writer.buffer_size = 1;
        else if (change_number == 2)
            atomic_fetch_add(&store->counters.sync_failures, 1);
        else if (change_number == 3)
            atomic_store(&store->segments.by_id[0]->sync_failed, 1);
        else
            os_mem_fail(os, SYNC_CALLS, 1, UINT64_MAX, -EIO);
    }
    return real_open(os, path, flags, file);
}

static void a_store_that_changes_its_state_meanwhile_gets_no_image(void **state)
{
    (void)state;
    for (change_number = 0; change_number < 5; change_number++) {
        struct fixture f;
        make_two_segments(&f);
        changed = &f;
        real_open = f.os->open;
        f.os->open = open_and_change;
        bitcask_status status = index_image_write(f.store, NULL, &f.error);
        assert_int_not_equal(status, BITCASK_OK);
        if (change_number < 4)
            assert_int_equal(status, BITCASK_LIMIT);
        f.os->open = real_open;
        f.store->writer.buffer_size = 0;
        assert_false(has_file(&f, NAME_IMAGE));
        assert_false(has_file(&f, NAME_IMAGE_TMP));
        os_mem_fail(f.os, 0, 0, 0, 0);
        kill_9(&f);
        open_store(&f);
        assert_false(from_image(&f));
        if (change_number < 4) /* else what was not durable may be gone */
            check_value(&f, "k398", "two");
        fixture_release(&f);
    }
}

/* Also where so much that it stands for "never" times any factor is more than a number holds. */
static void an_image_is_due_as_the_option_says(void **state)
{
    (void)state;
    static const uint64_t never[] = {UINT64_C(1) << 40, UINT64_C(1) << 60, UINT64_MAX};
    struct fixture f;
    make_two_segments(&f);
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        f.store->options.index_snapshot_bytes = never[i];
        assert_false(index_image_is_due(f.store, false));
        assert_false(index_image_is_due(f.store, true));
    }
    f.store->options.index_snapshot_bytes = 1;
    assert_true(index_image_is_due(f.store, true));
    f.store->options.index_snapshot = false;
    assert_false(index_image_is_due(f.store, true));
    fixture_release(&f);
}

static void between_two_parts_of_a_group_there_is_no_image(void **state)
{
    (void)state;
    struct fixture f;
    make_two_segments(&f);
    f.store->writer.buffer_size = 1;
    assert_status(&f, LIMIT, index_image_write(f.store, NULL, &f.error));
    f.store->writer.buffer_size = 0;
    write_image(&f);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_that_changes_its_state_meanwhile_gets_no_image),
        cmocka_unit_test(an_image_is_due_as_the_option_says),
        cmocka_unit_test(between_two_parts_of_a_group_there_is_no_image),
        cmocka_unit_test(a_closed_store_is_opened_from_its_image),
        cmocka_unit_test(a_batch_replaces_keys_that_have_not_been_fetched),
        cmocka_unit_test(an_empty_store_has_an_image_too),
        cmocka_unit_test(a_close_that_has_added_little_writes_no_image),
        cmocka_unit_test(switched_off_it_is_neither_written_nor_used),
        cmocka_unit_test(records_behind_the_image_are_replayed),
        cmocka_unit_test(segments_behind_the_image_are_replayed),
        cmocka_unit_test(a_merge_of_what_came_behind_leaves_the_image_good),
        cmocka_unit_test(a_store_that_was_killed_is_opened_from_an_older_image),
        cmocka_unit_test(after_a_power_cut_nothing_is_in_the_index_that_is_not_in_the_log),
        cmocka_unit_test(writes_before_the_first_shard_is_copied_are_not_lost),
        cmocka_unit_test(writes_between_two_shards_are_not_lost),
        cmocka_unit_test(writes_behind_the_last_shard_are_not_lost),
        cmocka_unit_test(an_image_of_segments_that_a_merge_has_replaced_is_refused),
        cmocka_unit_test(after_a_merge_the_next_close_writes_another),
        cmocka_unit_test(an_image_of_another_store_is_refused),
        cmocka_unit_test(an_image_of_another_history_is_refused),
        cmocka_unit_test(an_image_of_records_that_were_written_elsewhere_is_refused),
        cmocka_unit_test(an_image_of_what_recovery_has_cut_is_refused),
        cmocka_unit_test(an_image_is_refused_where_a_segment_is_damaged),
        cmocka_unit_test(an_image_cut_anywhere_is_refused),
        cmocka_unit_test(a_flipped_bit_anywhere_changes_nothing),
        cmocka_unit_test(a_damaged_shard_is_rebuilt_for_whoever_comes_first),
        cmocka_unit_test(verify_finds_damage_in_the_image),
        cmocka_unit_test(a_shard_that_cannot_be_rebuilt_is_an_error_and_not_an_absence),
        cmocka_unit_test(opening_again_goes_by_the_data_where_a_shard_could_not_be_rebuilt),
        cmocka_unit_test(interrupted_at_any_call_the_store_is_the_same),
        cmocka_unit_test(a_write_that_fails_leaves_the_image_before),
        cmocka_unit_test(out_of_memory_anywhere_opens_or_says_so),
        cmocka_unit_test(out_of_memory_for_a_shard_is_not_an_absence),
        cmocka_unit_test(a_short_put_writes_neither_the_image_nor_the_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
