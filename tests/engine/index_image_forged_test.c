/* SPDX-License-Identifier: MIT
 * index_image_forged_test.c: images of the index whose checksums hold and whose contents do not
 * (I4): no entry that points at nothing is taken, and what was damaged is built from the hints. And
 * images of what is rare: entries in a stash, parts that are synced one by one, a store that is in
 * no state for an image. */
#include "engine/index_image.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "format/index_image.h"
#include "format/names.h"
#include "support/colliding_keys.h"
#include "support/write_fixture.h"

enum { COLLIDING = 40, KEYS = 300 };

/* ---- An image in memory ---------------------------------------------------------------------- */

struct image {
    unsigned char *bytes;
    size_t size;
    struct image_header header;
    struct image_shard shard; /* the first, which begins behind the header */
};

static struct image read_image(struct fixture *f)
{
    struct image image;
    image.bytes = read_whole(f, NAME_IMAGE, &image.size);
    assert_int_equal(
        image_header_decode(slice_of(image.bytes, image.size), image.size, &image.header),
        BITCASK_OK);
    image_shard_decode(&image.header, image.bytes + image.header.shards_end, 0, &image.shard);
    return image;
}

static unsigned char *word_at(struct image *image, uint32_t index)
{
    return image->bytes + IMAGE_HEADER_SIZE + 8 * (size_t)index;
}

/* The first slot with an entry. */
static unsigned char *used_word(struct image *image)
{
    uint32_t i = 0;
    while (get_u64(word_at(image, i)) == 0)
        i++;
    return word_at(image, i);
}

/* Make all checksums good again, and write it. */
static void write_image_back(struct fixture *f, struct image *image)
{
    size_t size = (size_t)image_shard_bytes(image->header.bucket_count, image->shard.stash);
    unsigned char *tables = image->bytes + image->header.shards_end;
    image->shard.crc =
        image_shard_checksum(image->header.salt, 0, image->bytes + IMAGE_HEADER_SIZE, size);
    image_shard_encode(tables + (size_t)image->header.segment_count * IMAGE_SEGMENT_SIZE,
                       &image->shard);
    image->header.tables_crc = checksum(0, tables, (size_t)image_tables_size(&image->header));
    image_header_encode(image->bytes, &image->header);
    write_whole(f, NAME_IMAGE, image->bytes, image->size);
    free(image->bytes);
}

/* ---- Stores ---------------------------------------------------------------------------------- */

static void begin(struct fixture *f)
{
    fixture_init(f);
    f->options.index_snapshot_bytes = UINT64_C(1) << 60; /* no close writes one */
    open_store(f);
}

static void put_colliding(struct fixture *f)
{
    for (unsigned i = 0; i < COLLIDING; i++) {
        uint8_t key[COLLIDING_KEY_SIZE];
        assert_status(f, OK,
                      bitcask_put(f->db, colliding_key(key, &f->store->secret, i),
                                  bitcask_bytes(&i, sizeof i), NULL, NULL, &f->error));
    }
}

static void check_colliding(struct fixture *f)
{
    bitcask_buffer value = {0};
    for (unsigned i = 0; i < COLLIDING; i++) {
        uint8_t key[COLLIDING_KEY_SIZE];
        assert_status(f, OK,
                      bitcask_get(f->db, NULL, colliding_key(key, &f->store->secret, i), &value,
                                  NULL, &f->error));
        assert_memory_equal(value.data, &i, sizeof i);
    }
    bitcask_buffer_free(&value);
}

static void close_with_image(struct fixture *f)
{
    assert_status(f, OK, index_image_write(f->store, NULL, &f->error));
    close_store(f);
}

static void make_store(struct fixture *f)
{
    begin(f);
    put_numbered(f, "k", 0, KEYS, "one");
    rotate(f);
    put_numbered(f, "k", KEYS / 2, KEYS, "two");
    put_colliding(f);
    close_with_image(f);
}

static void check_store(struct fixture *f)
{
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        check_value(f, key, i < KEYS / 2 ? "one" : "two");
    }
    check_colliding(f);
}

/* ---- Forged ---------------------------------------------------------------------------------- */

enum forgery {
    WORD_OF_NO_SEGMENT,
    WORD_OF_A_RESERVATION,
    WORD_BEHIND_THE_END,
    WORD_IN_THE_HEADER,
    COUNT_WRONG,
    STASH_EMPTY,
    FORGERIES
};

static void set_place(unsigned char *word, uint64_t slot, uint64_t offset)
{
    uint64_t rest = get_u64(word) >> 46 << 46;
    put_u64(word, rest | slot << 32 | offset);
}

static void forge(struct image *image, enum forgery forgery)
{
    unsigned char *word = used_word(image);
    uint64_t slot = get_u64(word) >> 32 & 0x3fff;
    uint32_t stash = image->header.bucket_count * 8;
    switch (forgery) {
    case WORD_OF_NO_SEGMENT:
        set_place(word, 0x3fff, 100);
        break;
    case WORD_OF_A_RESERVATION:
        set_place(word, 0, 100);
        break;
    case WORD_BEHIND_THE_END:
        set_place(word, slot, UINT32_MAX);
        break;
    case WORD_IN_THE_HEADER:
        set_place(word, slot, 8);
        break;
    case COUNT_WRONG:
        put_u64(word, 0);
        break;
    case STASH_EMPTY:
        put_u64(word_at(image, stash), 0);
        break;
    default:
        fail();
    }
}

static void a_shard_with_a_good_checksum_and_wrong_entries_is_built_anew(void **state)
{
    (void)state;
    struct fixture f;
    make_store(&f);
    struct disk_image *disk = save_disk(&f);
    for (int forgery = 0; forgery < FORGERIES; forgery++) {
        for (int read_only = 0; read_only < 2; read_only++) {
            restore_disk(&f, disk);
            struct image image = read_image(&f);
            assert_true(image.shard.stash > 0);
            forge(&image, (enum forgery)forgery);
            write_image_back(&f, &image);
            f.options.read_only = read_only;
            open_store(&f);
            check_store(&f);
            assert_int_equal(count_events(&f, "index_rebuilt"), 1);
            abandon(&f);
        }
    }
    f.options.read_only = 0;
    free_disk(disk);
    fixture_release(&f);
}

/* What the tables say of the shards is not believed either. */
static void an_image_of_an_impossible_shape_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_store(&f);
    struct disk_image *disk = save_disk(&f);
    for (int which = 0; which < 3; which++) {
        restore_disk(&f, disk);
        struct image image = read_image(&f);
        if (which == 0)
            image.header.format = FORMAT_VERSION + 1;
        else if (which == 1)
            image.shard.depth = 20; /* of which there would have to be a million */
        else
            image.shard.stash += 1;
        write_image_back(&f, &image);
        open_store(&f);
        assert_int_equal(atomic_load(&f.store->index.origin), BITCASK_INDEX_HINTS);
        check_store(&f);
        abandon(&f);
    }
    free_disk(disk);
    fixture_release(&f);
}

/* ---- Rare ------------------------------------------------------------------------------------ */

static void entries_of_a_stash_come_back(void **state)
{
    (void)state;
    struct fixture f;
    make_store(&f);
    open_store(&f);
    assert_int_equal(atomic_load(&f.store->index.origin), BITCASK_INDEX_SNAPSHOT);
    check_store(&f);
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    for (unsigned i = 0; i < COLLIDING; i += 2) {
        uint8_t key[COLLIDING_KEY_SIZE];
        assert_status(
            &f, OK,
            bitcask_delete(f.db, colliding_key(key, &f.store->secret, i), NULL, NULL, &f.error));
    }
    uint64_t keys = keydir_count(f.store->keydir);
    close_with_image(&f); /* a stash with holes */
    open_store(&f);
    assert_int_equal(atomic_load(&f.store->index.origin), BITCASK_INDEX_SNAPSHOT);
    assert_status(&f, OK, keydir_fetch_all(f.store->keydir, &f.error));
    assert_int_equal(keydir_count(f.store->keydir), keys);
    assert_status(&f, OK, bitcask_verify(f.db, NULL, NULL, &f.error));
    fixture_release(&f);
}

static bool stop_at_once(struct store *store)
{
    (void)store;
    return false;
}

static bool go_on(struct store *store)
{
    (void)store;
    return true;
}

/* Parts of 8 MiB: 700,000 entries and more. Their keys are of no matter, so the index is filled
 * alone, and the image never read. */
static void a_large_image_is_synced_in_parts_and_can_be_stopped(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    put(&f, "k", "v");
    struct segment *segment = active_segment(&f);
    for (uint64_t i = 0; i < 800000; i++) {
        uint64_t hash = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        assert_int_equal(keydir_reserve(f.store->keydir, hash, &f.error), BITCASK_OK);
        keydir_insert(f.store->keydir, hash,
                      (struct keydir_place){segment->slot, SEGMENT_HEADER_SIZE + 1});
    }
    assert_status(&f, CANCELLED, index_image_write(f.store, stop_at_once, &f.error));
    assert_status(&f, OK, index_image_write(f.store, go_on, &f.error));
    assert_status(&f, OK, index_image_write(f.store, NULL, &f.error));
    uint64_t syncs = os_mem_calls(f.os, SYNC_CALLS);
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        os_mem_fail(f.os, SYNC_CALLS, nth, 1, -EIO);
        failed = index_image_write(f.store, NULL, &f.error) != BITCASK_OK;
        os_mem_fail(f.os, 0, 0, 0, 0);
    }
    assert_true(os_mem_calls(f.os, SYNC_CALLS) > syncs + 2);
    fixture_release(&f);
}

/* A segment that is damaged, or whose sync has failed, has entries that nobody can check. */
static void no_image_is_made_of_a_store_with_damage(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct fixture f;
        begin(&f);
        put_numbered(&f, "k", 0, 20, "v");
        rotate(&f);
        put(&f, "k", "v");
        struct segment *segment = f.store->segments.by_id[0];
        if (which == 0)
            atomic_store(&segment->damaged, 1);
        else
            atomic_store(&segment->sync_failed, 1);
        assert_status(&f, LIMIT, index_image_write(f.store, NULL, &f.error));
        assert_false(has_file(&f, NAME_IMAGE));
        atomic_store(&segment->damaged, 0);
        atomic_store(&segment->sync_failed, 0);
        assert_status(&f, OK, index_image_write(f.store, NULL, &f.error));
        fixture_release(&f);
    }
}

static void while_a_merge_runs_no_image_is_made(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    put(&f, "k", "v");
    pthread_mutex_lock(&f.store->merge_mutex);
    assert_status(&f, CANCELLED, index_image_write(f.store, NULL, &f.error));
    pthread_mutex_unlock(&f.store->merge_mutex);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_with_a_good_checksum_and_wrong_entries_is_built_anew),
        cmocka_unit_test(an_image_of_an_impossible_shape_is_refused),
        cmocka_unit_test(entries_of_a_stash_come_back),
        cmocka_unit_test(a_large_image_is_synced_in_parts_and_can_be_stopped),
        cmocka_unit_test(no_image_is_made_of_a_store_with_damage),
        cmocka_unit_test(while_a_merge_runs_no_image_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
