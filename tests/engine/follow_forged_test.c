/* SPDX-License-Identifier: MIT
 * follow_forged_test.c: a follower of files that are not as a writer leaves them: segments that do
 * not say which one they follow, files that are gone or not to be had, a manifest that promises
 * more than there is. It shows what it can prove, and is level again when the files are. */
#include "support/follow_fixture.h"

#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "engine/background.h"
#include "engine/log_writer.h"
#include "engine/manifest_file.h"
#include "engine/published.h"
#include "format/record.h"
#include "format/segment_header.h"

#define SEGMENT_1 "000000001.data"
#define SEGMENT_2 "000000002.data"

struct pair {
    struct fixture w, f;
};

/* The log has gone on in segment 2, and nobody vouches yet for the end of segment 1, in which "a"
 * is: segment 2 says so, where "b" is. */
static void begin(struct pair *p)
{
    fixture_init(&p->w);
    open_store(&p->w);
    put(&p->w, "a", "1");
    p->w.store->options.background = BITCASK_BACKGROUND_THREAD; /* which never comes to it */
    write_mutex_lock(&p->w.store->write_mutex);
    assert_status_of(p->w.error, OK, log_rotate(p->w.store, &p->w.error));
    write_mutex_unlock(&p->w.store->write_mutex);
    put(&p->w, "b", "2");
}

static void seal(struct pair *p)
{
    p->w.store->options.background = BITCASK_BACKGROUND_NONE;
    background_inline(p->w.store);
}

static void end(struct pair *p)
{
    stop_follower(&p->f);
    close_store(&p->w);
    assert_int_equal(os_mem_open_files(p->w.os), 0);
    assert_int_equal(os_mem_live_maps(p->w.os), 0);
    fixture_release(&p->w);
}

/* ---- Which segment it follows ---------------------------------------------------------------- */

enum forgery {
    AS_IT_IS,
    DAMAGED,
    OF_A_KEY,   /* an ordinary record */
    OF_NO_KIND, /* a META record of a kind that there is not */
    OF_A_LATER, /* it follows itself */
    TOO_YOUNG,  /* records behind the last one that can be read are missing */
    EMPTY,      /* nothing is there */
    FORGERIES,
};

/* Put another record in the place of the first one of segment 2. */
static void forge(struct fixture *w, enum forgery forgery)
{
    size_t size;
    unsigned char *data = read_whole(w, SEGMENT_2, &size);
    unsigned char *at = data + SEGMENT_HEADER_SIZE;
    struct segment_header header;
    struct record record;
    struct record_shape shape;
    uint8_t value[META_FOLLOWS_SIZE];
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
    assert_int_equal(record_decode(slice_of(at, size - SEGMENT_HEADER_SIZE), header.salt,
                                   SEGMENT_HEADER_SIZE, &record, &shape, NULL),
                     BITCASK_OK);
    assert_int_equal(record.value.size, META_FOLLOWS_SIZE);
    memcpy(value, record.value.data, sizeof value);
    record.value.data = value;
    if (forgery == OF_A_KEY) {
        record.flags = 0;
        record.key = slice_of("a", 1);
        record.value.size -= 1;
    } else if (forgery == OF_NO_KIND) {
        put_u32(value, 77);
    } else if (forgery == OF_A_LATER) {
        assert_int_equal(meta_follows_encode(value, header.segment_id), META_FOLLOWS_SIZE);
    } else if (forgery == TOO_YOUNG) {
        record.version++;
    }
    assert_int_equal(record_encode(at, &record, header.salt, SEGMENT_HEADER_SIZE), shape.size);
    if (forgery == DAMAGED)
        at[1] ^= 1;
    if (forgery == EMPTY)
        memset(at, 0, size - SEGMENT_HEADER_SIZE);
    write_whole(w, SEGMENT_2, data, size);
    free(data);
}

static void the_log_goes_on_where_the_next_segment_proves_it(void **state)
{
    (void)state;
    for (int forgery = AS_IT_IS; forgery < FORGERIES; forgery++) {
        for (int opened = 0; opened < 2; opened++) {
            struct pair p;
            begin(&p);
            size_t size;
            unsigned char *whole = read_whole(&p.w, SEGMENT_2, &size);
            forge(&p.w, (enum forgery)forgery);
            start_follower(&p.f, &p.w);
            if (opened)
                refresh(&p.f);
            if (forgery == AS_IT_IS) {
                check_equal(&p.f, &p.w);
            } else {
                check_missing(&p.f, "a");
                check_missing(&p.f, "b");
            }
            write_whole(&p.w, SEGMENT_2, whole, size);
            free(whole);
            if (opened)
                check_level(&p.f, &p.w);
            seal(&p);
            put(&p.w, "c", "3");
            check_level(&p.f, &p.w);
            end(&p);
        }
    }
}

/* ---- Files that are gone, or not to be had --------------------------------------------------- */

static void without_the_next_segment_the_log_ends(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    size_t size;
    unsigned char *whole = read_whole(&p.w, SEGMENT_2, &size);
    delete_file(&p.w, SEGMENT_2);
    start_follower(&p.f, &p.w);
    assert_int_equal(count_events(&p.f, "segment_missing"), 1);
    check_missing(&p.f, "b");
    write_whole(&p.w, SEGMENT_2, whole, size);
    free(whole);
    stop_follower(&p.f);
    start_follower(&p.f, &p.w);
    check_equal(&p.f, &p.w);
    end(&p);
}

/* Looking for a file that could not be opened fails: older values must not come up for it. */
static void a_segment_that_cannot_be_looked_at_is_not_passed_over(void **state)
{
    (void)state;
    struct pair p;
    begin(&p);
    seal(&p);
    delete_file(&p.w, SEGMENT_1);
    os_mem_fail(p.w.os, 1u << OS_CALL_STAT, 1, UINT64_MAX, -EACCES);
    bitcask_status status = try_follow(&p.f, &p.w);
    os_mem_fail(p.w.os, 0, 0, 0, 0);
    assert_true(status != BITCASK_OK && p.f.store == NULL);
    assert_status_of(p.f.error, OK, try_follow(&p.f, &p.w));
    assert_int_equal(count_events(&p.f, "segment_missing"), 1);
    check_corrupt(&p.f, "a"); /* its hint names it */
    check_value(&p.f, "b", "2");
    end(&p);
}

/* ---- Manifests that promise more than there is ----------------------------------------------- */

static void change_manifest(struct fixture *f, void (*change)(struct manifest_segment *first))
{
    struct manifest manifest;
    size_t size;
    char *text = (char *)read_whole(f, NAME_MANIFEST, &size);
    assert_int_equal(manifest_decode(slice_of(text, size), &manifest, NULL), BITCASK_OK);
    free(text);
    change(&manifest.segments[0]);
    assert_int_equal(manifest_encode(&manifest, &text, &size), BITCASK_OK);
    write_whole(f, NAME_MANIFEST, text, size);
    free(text);
    manifest_release(&manifest);
}

static void promise_more(struct manifest_segment *first)
{
    first->length += 1000;
}

static void promise_less(struct manifest_segment *first)
{
    first->length = SEGMENT_HEADER_SIZE;
}

static void change_salt(struct manifest_segment *first)
{
    first->salt++;
}

/* The refresh succeeds or says that it cannot be done; no key has a value that it never had; and
 * with the manifest of before the follower is level. */
static void a_manifest_that_is_wrong_does_no_harm(void **state)
{
    (void)state;
    static void (*const changes[])(struct manifest_segment * first) = {promise_more, promise_less,
                                                                       change_salt};
    for (size_t c = 0; c < ARRAY_SIZE(changes); c++) {
        for (int unread = 0; unread < 2; unread++) {
            struct pair p;
            fixture_init(&p.w);
            open_store(&p.w);
            put(&p.w, "a", "1");
            start_follower(&p.f, &p.w);
            if (unread)
                put(&p.w, "b", "2");
            close_store(&p.w);
            size_t size;
            unsigned char *whole = read_whole(&p.w, NAME_MANIFEST, &size);
            change_manifest(&p.w, changes[c]);
            uint64_t news;
            for (int i = 0; i < 2; i++)
                (void)!bitcask_refresh(p.f.db, &news, &p.f.error);
            bitcask_buffer value = {0};
            bitcask_status status = read_key(&p.f, "a", &value);
            assert_true(status != BITCASK_OK ||
                        (value.size == 1 && memcmp(value.data, "1", 1) == 0));
            bitcask_buffer_free(&value);
            write_whole(&p.w, NAME_MANIFEST, whole, size);
            free(whole);
            refresh(&p.f);
            check_value(&p.f, "a", "1");
            open_store(&p.w);
            put(&p.w, "c", "3");
            check_level(&p.f, &p.w);
            end(&p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_goes_on_where_the_next_segment_proves_it),
        cmocka_unit_test(without_the_next_segment_the_log_ends),
        cmocka_unit_test(a_segment_that_cannot_be_looked_at_is_not_passed_over),
        cmocka_unit_test(a_manifest_that_is_wrong_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
