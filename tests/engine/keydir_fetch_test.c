/* SPDX-License-Identifier: MIT
 * keydir_fetch_test.c: an index that begins as an image of itself: the image's shapes, its shards
 * fetched one by one, images that are no good, and copies of shards of which images are made. */
#include "base/bytes.h"
#include "support/keydir_fixture.h"

#include <string.h>

enum { SHARDS_MAX = 4096 };

/* An image in memory. */
struct image {
    struct fixture *from;
    struct keydir_source_shard shards[SHARDS_MAX];
    uint64_t *words[SHARDS_MAX];
    uint32_t count, bucket_count;
    bitcask_status answer; /* of fetch */
    bool rebuild_fails;
    unsigned fetched, rebuilt, released;
};

static size_t words_of(const struct image *image, uint32_t shard)
{
    return image->bucket_count * (size_t)KEYDIR_BUCKET_SLOTS + 2 * image->shards[shard].stash;
}

static bitcask_status fetch_words(void *context, uint32_t shard, uint64_t *words)
{
    struct image *image = context;
    image->fetched++;
    if (image->answer == BITCASK_OK)
        memcpy(words, image->words[shard], words_of(image, shard) * sizeof *words);
    return image->answer;
}

static bitcask_status rebuild_entries(void *context, uint64_t first, uint64_t last,
                                      struct keydir_load_entry **entries, size_t *count)
{
    struct image *image = context;
    struct fixture *f = image->from;
    image->rebuilt++;
    if (image->rebuild_fails)
        return BITCASK_IO;
    *entries = calloc(f->key_count, sizeof **entries);
    assert_non_null(*entries);
    for (uint32_t k = 0; k < f->key_count; k++) {
        if (is_live(f, k) && f->hashes[k] >= first && f->hashes[k] <= last)
            (*entries)[(*count)++] = (struct keydir_load_entry){f->hashes[k], f->places[k]};
    }
    return BITCASK_OK;
}

static void release_source(void *context)
{
    struct image *image = context;
    image->released++;
}

/* Copy all shards of `f`. */
static struct image *image_of(struct fixture *f)
{
    struct image *image = calloc(1, sizeof *image);
    assert_non_null(image);
    image->from = f;
    image->bucket_count = shape_of(f).buckets_per_shard;
    uint64_t cursor = 0;
    do {
        struct keydir_copy copy = {0};
        struct keydir_source_shard *shard = &image->shards[image->count];
        assert_true(image->count < SHARDS_MAX);
        shard->first = cursor;
        assert_int_equal(keydir_copy_shard(f->keydir, cursor, &copy, &cursor), BITCASK_OK);
        shard->entries = copy.entries;
        shard->stash = copy.stash;
        shard->depth = (uint8_t)copy.depth;
        shard->tag_depth = (uint8_t)copy.tag_depth;
        image->words[image->count++] = copy.words;
    } while (cursor != UINT64_MAX);
    return image;
}

static void image_free(struct image *image)
{
    for (uint32_t i = 0; i < image->count; i++)
        free(image->words[i]);
    free(image);
}

/* As the keydir takes it: with shards of its own. */
static struct keydir_source source_of(struct image *image)
{
    struct keydir_source source = {
        .context = image,
        .fetch = fetch_words,
        .rebuild = rebuild_entries,
        .release = release_source,
        .shards = calloc(image->count, sizeof *source.shards),
        .shard_count = image->count,
        .bucket_count = image->bucket_count,
    };
    assert_non_null(source.shards);
    memcpy(source.shards, image->shards, image->count * sizeof *source.shards);
    return source;
}

/* A keydir that is empty, with the model of `f`. */
static struct fixture *twin_of(const struct fixture *f, uint32_t max_buckets)
{
    struct fixture *twin = fixture_new(f->key_count, UINT64_MAX, max_buckets);
    memcpy(twin->hashes, f->hashes, f->key_count * sizeof *f->hashes);
    memcpy(twin->places, f->places, f->key_count * sizeof *f->places);
    twin->live = f->live;
    return twin;
}

static void attach(struct fixture *f, struct image *image)
{
    struct keydir_source source = source_of(image);
    assert_int_equal(keydir_attach(f->keydir, &source, NULL), BITCASK_OK);
    assert_null(source.shards);
    assert_int_equal(shape_of(f).absent, image->count);
}

/* ---- Images ---------------------------------------------------------------------------------- */

static void a_copy_of_all_shards_is_the_index(void **state)
{
    (void)state;
    static const uint64_t masks[] = {UINT64_MAX, UINT64_C(0xffff000000000000), 0x3f};
    for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
        struct fixture *f = fixture_new(600, masks[m], 4);
        insert_keys(f, 0, masks[m] == 0x3f ? 200 : 600); /* few hashes: the rest is stashed */
        for (uint32_t k = 0; k < 100; k += 7)
            remove_key(f, k);
        struct image *image = image_of(f);
        struct fixture *twin = twin_of(f, 4);
        attach(twin, image);
        check_all(twin);
        assert_int_equal(shape_of(twin).absent, 0);
        assert_int_equal(image->fetched, image->count);
        assert_int_equal(image->released, 1);
        assert_int_equal(shape_of(twin).stashed, shape_of(f).stashed);
        assert_true(masks[m] != 0x3f || shape_of(twin).stashed > 0);
        check_bytes(twin);
        fixture_free_all(twin);
        image_free(image);
        fixture_free_all(f);
    }
}

static void a_slot_that_is_reserved_is_not_copied(void **state)
{
    (void)state;
    static const uint64_t masks[] = {UINT64_MAX, 0}; /* 0: the reservation is in the stash */
    for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
        struct fixture *f = fixture_new(100, masks[m], 4);
        insert_keys(f, 0, 50);
        assert_int_equal(keydir_reserve(f->keydir, f->hashes[50], NULL), BITCASK_OK);
        struct image *image = image_of(f);
        uint32_t entries = 0;
        for (uint32_t i = 0; i < image->count; i++)
            entries += image->shards[i].entries;
        assert_int_equal(entries, 50);
        struct fixture *twin = twin_of(f, 4);
        attach(twin, image);
        check_all(twin);
        fixture_free_all(twin);
        image_free(image);
        f->places[50] = place_of(50, 0);
        keydir_insert(f->keydir, f->hashes[50], f->places[50]);
        f->live++;
        check_all(f);
        fixture_free_all(f);
    }
}

static void an_image_of_an_impossible_shape_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t bucket_count;
        uint8_t depth;
    } shapes[] = {{5, 0}, {4, 32}, {4, 7}};
    for (size_t s = 0; s < ARRAY_SIZE(shapes); s++) {
        struct fixture *f = fixture_new(10, UINT64_MAX, 4);
        struct image *image = image_of(f);
        struct keydir_source source = source_of(image);
        source.bucket_count = shapes[s].bucket_count;
        source.shards[0].depth = shapes[s].depth;
        bitcask_error error;
        assert_int_equal(keydir_attach(f->keydir, &source, &error), BITCASK_CORRUPT);
        assert_non_null(strstr(error.message, "shape"));
        free(source.shards); /* still the caller's */
        insert_keys(f, 0, 10);
        check_all(f);
        fixture_free_all(f);
        image_free(image);
    }
}

static void tags_that_were_short_are_known_to_be(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(100000, UINT64_MAX, 2);
    for (uint32_t k = 0; !keydir_wants_retag(f->keydir); k++)
        insert_key(f, k);
    struct image *image = image_of(f);
    struct fixture *twin = twin_of(f, 2);
    attach(twin, image);
    assert_int_equal(shape_of(twin).tag_bits_min, shape_of(f).tag_bits_min);
    assert_int_equal(keydir_fetch_all(twin->keydir, NULL), BITCASK_OK);
    assert_true(keydir_wants_retag(twin->keydir));
    assert_false(keydir_retag(twin->keydir, UINT64_MAX));
    check_all(twin);
    fixture_free_all(twin);
    image_free(image);
    fixture_free_all(f);
}

/* Tagging anew goes over the shards in their order, and fetches those it meets. */
static void tagging_anew_fetches_what_is_not_there(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(100000, UINT64_MAX, 2);
    for (uint32_t k = 0; !keydir_wants_retag(f->keydir); k++)
        insert_key(f, k);
    struct image *image = image_of(f);
    uint32_t at = 0;
    while (KEYDIR_TAG_BITS - (image->shards[at].depth - image->shards[at].tag_depth) > 11)
        at++;
    assert_true(at > 0);
    struct fixture *twin = twin_of(f, 2);
    attach(twin, image);
    assert_false(keydir_retag(twin->keydir, UINT64_MAX)); /* it knows of none yet */
    assert_int_equal(keydir_fetch(twin->keydir, image->shards[at].first), BITCASK_OK);
    image->answer = BITCASK_NO_MEMORY;
    assert_false(keydir_retag(twin->keydir, UINT64_MAX)); /* another time */
    assert_true(keydir_wants_retag(twin->keydir));
    image->answer = BITCASK_OK;
    while (keydir_retag(twin->keydir, UINT64_MAX))
        ;
    assert_false(keydir_wants_retag(twin->keydir));
    assert_true(image->fetched > at);
    check_all(twin);
    check_bytes(twin);
    fixture_free_all(twin);
    image_free(image);
    fixture_free_all(f);
}

/* ---- Fetching -------------------------------------------------------------------------------- */

static void shards_are_fetched_once_whoever_asks(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(2000, UINT64_MAX, 4);
    insert_keys(f, 0, 2000);
    struct image *image = image_of(f);
    assert_true(image->count > 16);
    struct fixture *twin = twin_of(f, 4);
    attach(twin, image);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(keydir_fetch(twin->keydir, 0), BITCASK_OK); /* the first shard */
        assert_int_equal(image->fetched, 1);
    }
    assert_int_equal(keydir_fetch_some(twin->keydir, 2), BITCASK_OK); /* those behind it */
    assert_int_equal(image->fetched, 3);
    assert_int_equal(shape_of(twin).absent, image->count - 3);
    struct keydir_copy copy = {0};
    uint64_t next;
    assert_int_equal(keydir_copy_shard(twin->keydir, UINT64_MAX, &copy, &next), BITCASK_OK);
    assert_true(next == UINT64_MAX); /* the last */
    assert_int_equal(copy.entries, image->shards[image->count - 1].entries);
    assert_int_equal(image->fetched, 4);
    free(copy.words);
    check_all(twin);
    assert_int_equal(image->fetched, image->count);
    assert_int_equal(keydir_fetch_all(twin->keydir, NULL), BITCASK_OK);
    assert_int_equal(image->fetched, image->count);
    fixture_free_all(twin);
    image_free(image);
    fixture_free_all(f);
}

static void an_index_can_be_freed_before_all_of_it_is_fetched(void **state)
{
    (void)state;
    for (int releases = 0; releases < 2; releases++) {
        struct fixture *f = fixture_new(500, UINT64_MAX, 4);
        insert_keys(f, 0, 500);
        struct image *image = image_of(f);
        struct fixture *twin = twin_of(f, 4);
        struct keydir_source source = source_of(image);
        if (!releases)
            source.release = NULL;
        assert_int_equal(keydir_attach(twin->keydir, &source, NULL), BITCASK_OK);
        assert_int_equal(keydir_fetch_some(twin->keydir, 1), BITCASK_OK);
        fixture_free_all(twin);
        assert_int_equal(image->released, releases);
        image_free(image);
        fixture_free_all(f);
    }
}

static void what_an_image_does_not_give_is_rebuilt(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1000, UINT64_MAX, 4);
    insert_keys(f, 0, 1000);
    struct image *image = image_of(f);
    struct fixture *twin = twin_of(f, 4);
    attach(twin, image);
    assert_int_equal(keydir_fetch_some(twin->keydir, 2), BITCASK_OK);
    image->answer = BITCASK_CORRUPT;
    check_all(twin);
    assert_int_equal(image->rebuilt, image->count - 2);
    fixture_free_all(twin);
    image_free(image);
    fixture_free_all(f);
}

/* A look-up says so, and does not say that the key is not there; the next one may succeed. */
static void what_can_be_neither_fetched_nor_rebuilt_is_an_error(void **state)
{
    (void)state;
    enum { NO_REBUILD, REBUILD_FAILS, NO_MEMORY, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct fixture *f = fixture_new(300, UINT64_MAX, 4);
        insert_keys(f, 0, 300);
        struct image *image = image_of(f);
        struct fixture *twin = twin_of(f, 4);
        struct keydir_source source = source_of(image);
        bitcask_status expected = way == NO_MEMORY ? BITCASK_NO_MEMORY : BITCASK_IO;
        if (way == NO_REBUILD)
            source.rebuild = NULL;
        image->rebuild_fails = way == REBUILD_FAILS;
        image->answer = way == NO_MEMORY ? BITCASK_NO_MEMORY : BITCASK_CORRUPT;
        assert_int_equal(keydir_attach(twin->keydir, &source, NULL), BITCASK_OK);

        struct keydir_probe probe;
        struct keydir_place place;
        keydir_probe_start(twin->keydir, twin->hashes[7], &probe);
        assert_false(keydir_probe_next(&probe, &place));
        assert_int_equal(probe.status, expected);
        bitcask_error error;
        assert_int_equal(keydir_fetch_all(twin->keydir, &error), expected);
        assert_non_null(strstr(error.message, "index"));
        struct keydir_copy copy = {0};
        uint64_t next;
        assert_int_equal(keydir_copy_shard(twin->keydir, 0, &copy, &next), expected);
        uint64_t cursor;
        assert_int_equal(keydir_scan(twin->keydir, 0, &twin->scanned, &cursor), expected);
        assert_int_equal(image->rebuilt > 0, way == REBUILD_FAILS);

        image->answer = BITCASK_OK;
        check_all(twin);
        fixture_free_all(twin);
        image_free(image);
        fixture_free_all(f);
    }
}

/* Every allocation of attaching and fetching, once. */
static void without_memory_nothing_is_lost(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(300, UINT64_MAX, 4);
    insert_keys(f, 0, 300);
    struct image *image = image_of(f);
    for (int broken = 0; broken < 2; broken++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            struct fixture *twin = twin_of(f, 4);
            struct keydir_source source = source_of(image);
            image->answer = broken ? BITCASK_CORRUPT : BITCASK_OK;
            twin->fail_from = atomic_load(&twin->allocations) + nth;
            twin->fail_count = 1;
            bitcask_status status = keydir_attach(twin->keydir, &source, NULL);
            if (status != BITCASK_OK) {
                assert_int_equal(status, BITCASK_NO_MEMORY);
                assert_int_equal(keydir_attach(twin->keydir, &source, NULL), BITCASK_OK);
            } else {
                status = keydir_fetch_all(twin->keydir, NULL);
                failed = status != BITCASK_OK;
                assert_true(!failed || status == BITCASK_NO_MEMORY);
            }
            check_all(twin);
            check_bytes(twin);
            fixture_free_all(twin);
        }
    }
    image_free(image);
    fixture_free_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_of_all_shards_is_the_index),
        cmocka_unit_test(a_slot_that_is_reserved_is_not_copied),
        cmocka_unit_test(an_image_of_an_impossible_shape_is_refused),
        cmocka_unit_test(tags_that_were_short_are_known_to_be),
        cmocka_unit_test(tagging_anew_fetches_what_is_not_there),
        cmocka_unit_test(shards_are_fetched_once_whoever_asks),
        cmocka_unit_test(an_index_can_be_freed_before_all_of_it_is_fetched),
        cmocka_unit_test(what_an_image_does_not_give_is_rebuilt),
        cmocka_unit_test(what_can_be_neither_fetched_nor_rebuilt_is_an_error),
        cmocka_unit_test(without_memory_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
