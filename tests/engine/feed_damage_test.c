/* SPDX-License-Identifier: MIT
 * feed_damage_test.c: change feeds over a log that is damaged anywhere, and from positions that
 * nobody has given out: what comes is right and in its order, or the feed says why not (C1, C2). */
#include "support/write_fixture.h"

#include "engine/feed.h"
#include "format/names.h"

enum { CHANGES_MAX = 256 };

/* What a whole feed gives: versions; the truth. */
static uint64_t truth[CHANGES_MAX];
static struct feed_position places[CHANGES_MAX + 1]; /* before each of them, and behind the last */
static size_t truth_count;

static void make(struct fixture *f)
{
    fixture_init(f);
    f->options.log = NULL;
    open_store(f);
    put_numbered(f, "k", 0, 4, "1");
    put_batch(f, "batch", 3);
    rotate(f);
    delete_key(f, "k1");
    put_batch(f, "more", 2);
    rotate(f);
    put(f, "active", "1");
    put_batch(f, "last", 2);
    sync_store(f);
}

static bitcask_status new_feed(struct fixture *f, const char *from, bitcask_feed **feed)
{
    return feed_new(f->store, from, slice_of(NULL, 0), feed, &f->error);
}

static void learn_the_truth(struct fixture *f)
{
    bitcask_feed *feed;
    bitcask_change change;
    truth_count = 0;
    assert_status(f, OK, new_feed(f, "start", &feed));
    feed_position(feed, &places[0]);
    while (feed_next(feed, &change, &f->error) == BITCASK_OK) {
        truth[truth_count++] = change.meta.version;
        feed_position(feed, &places[truth_count]);
    }
    feed_free(feed);
    assert_true(truth_count > 10);
}

/* Read to the end: all that comes is the truth from `first` on. How it ended. */
static bitcask_status read_on(bitcask_feed *feed, size_t first, size_t *count)
{
    bitcask_change change;
    bitcask_status status;
    *count = 0;
    while ((status = feed_next(feed, &change, NULL)) == BITCASK_OK) {
        assert_true(first + *count < truth_count);
        assert_int_equal(change.meta.version, truth[first + *count]);
        *count += 1;
    }
    assert_int_equal(feed_next(feed, &change, NULL), status); /* said once, said for ever */
    return status;
}

static void a_damaged_byte_anywhere_ends_the_feed_there(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    learn_the_truth(&f);
    size_t ended = 0;
    for (size_t i = 0; i < f.store->segments.count; i++) {
        char name[NAME_SIZE];
        const struct segment *segment = f.store->segments.by_id[i];
        name_data(name, segment->id);
        size_t end = (size_t)atomic_load(&segment->end);
        for (size_t at = SEGMENT_HEADER_SIZE; at < end; at++) {
            bitcask_feed *feed;
            size_t count;
            flip_byte(&f, name, at);
            assert_status(&f, OK, new_feed(&f, "start", &feed));
            bitcask_status status = read_on(feed, 0, &count);
            assert_true(status == BITCASK_CORRUPT || status == BITCASK_END);
            assert_true(count < truth_count || status == BITCASK_END);
            ended += status == BITCASK_CORRUPT;
            feed_free(feed);
            flip_byte(&f, name, at);
        }
    }
    assert_true(ended > 200);
    fixture_release(&f);
}

/* Zeros where a record was. */
static void a_hole_ends_the_feed(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    learn_the_truth(&f);
    size_t size, count;
    char name[NAME_SIZE];
    name_data(name, f.store->segments.by_id[0]->id);
    unsigned char *data = read_whole(&f, name, &size);
    memset(data + SEGMENT_HEADER_SIZE, 0, 40);
    write_whole(&f, name, data, size);
    free(data);
    bitcask_feed *feed;
    assert_status(&f, OK, new_feed(&f, "start", &feed));
    assert_int_equal(read_on(feed, 0, &count), BITCASK_CORRUPT);
    assert_int_equal(count, 0);
    feed_free(feed);
    fixture_release(&f);
}

static void a_feed_over_a_missing_file_says_so(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    learn_the_truth(&f);
    char name[NAME_SIZE];
    name_data(name, f.store->segments.by_id[1]->id);
    close_store(&f);
    delete_file(&f, name);
    open_store(&f);
    bitcask_feed *feed;
    size_t count;
    assert_status(&f, OK, new_feed(&f, "start", &feed));
    assert_int_equal(read_on(feed, 0, &count), BITCASK_CORRUPT);
    assert_int_equal(count, 7);
    feed_free(feed);
    char text[BITCASK_POSITION_SIZE];
    struct feed_position position = {.version = truth[truth_count - 1]};
    assert_status(&f, OK, new_feed(&f, "now", &feed));
    struct feed_position now;
    feed_position(feed, &now);
    feed_free(feed);
    position.identity = now.identity;
    position.segment = 2; /* the one that is missing */
    position.offset = SEGMENT_HEADER_SIZE;
    feed_position_print(&position, text);
    assert_status(&f, OK, new_feed(&f, text, &feed)); /* it lies behind: found by its version */
    assert_int_equal(read_on(feed, truth_count, &count), BITCASK_END);
    feed_free(feed);
    fixture_release(&f);
}

/* No feed gives out a place ahead of the version: what lies between would be passed over. */
static bool is_ahead(uint64_t segment, uint64_t offset, size_t first)
{
    const struct feed_position *place = &places[first];
    return segment > place->segment || (segment == place->segment && offset > place->offset);
}

/* Any segment, any offset, any version: the changes behind that version, or a word why not. */
static void from_any_position_the_feed_goes_by_the_version(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    learn_the_truth(&f);
    bitcask_feed *feed;
    struct feed_position position;
    assert_status(&f, OK, new_feed(&f, "start", &feed));
    feed_position(feed, &position);
    feed_free(feed);
    size_t begun = 0, refused = 0;
    for (size_t which = 0; which <= 2 * truth_count; which++) {
        for (uint64_t segment = 0; segment < 6; segment++) {
            for (uint64_t offset = 0; offset < 900; offset += offset < 60 ? 30 : 7) {
                if (is_ahead(segment, offset, (which + 1) / 2))
                    continue;
                char text[BITCASK_POSITION_SIZE];
                bool exact = which % 2 == 1;
                size_t first = (which + 1) / 2; /* changes up to that version */
                position.segment = segment;
                position.offset = offset;
                position.version = exact        ? truth[first - 1]
                                   : first == 0 ? 0
                                                : truth[first - 1] + (first == truth_count);
                feed_position_print(&position, text);
                bitcask_status status = new_feed(&f, text, &feed);
                assert_true(status == BITCASK_OK || status == BITCASK_DIVERGED);
                refused += status != BITCASK_OK;
                if (status != BITCASK_OK)
                    continue;
                size_t count;
                begun++;
                assert_int_equal(read_on(feed, first, &count), BITCASK_END);
                assert_int_equal(count, truth_count - first);
                feed_free(feed);
            }
        }
    }
    assert_true(begun > 1000 && refused > 10);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_byte_anywhere_ends_the_feed_there),
        cmocka_unit_test(a_hole_ends_the_feed),
        cmocka_unit_test(a_feed_over_a_missing_file_says_so),
        cmocka_unit_test(from_any_position_the_feed_goes_by_the_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
