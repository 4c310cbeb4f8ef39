/* SPDX-License-Identifier: MIT
 * verify_stop_test.c: a store with everything wrong that verify can tell: each finding is told, and
 * whoever has heard enough at the n-th hears no more. What contradicts the manifest; progress. */
#include "support/write_fixture.h"

#include "engine/manifest_file.h"
#include "format/names.h"

/* ---- A manifest that says something else ------------------------------------------------------
 */

enum contradiction {
    STORE,
    SEED,
    SALT,
    KIND,
    LENGTH,
    UNKNOWN,
    UNKNOWN_OPEN,
    MISSING,
    CONTRADICTIONS
};

static const char *const sentences[] = {
    "belongs to another store",
    "belongs to another store",
    "has another salt for the segment",
    "has another kind for the segment",
    "has another length for the segment",
    "names a segment that is not open",
    NULL,
    "does not name a segment that is open",
};

static void make_segments(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    for (int i = 0; i < 5; i++) {
        put_numbered(f, "k", 20 * i, 20 * i + 20, "value");
        put_numbered(f, "k", 20 * i, 20 * i + 5, "again");
        rotate(f);
    }
    delete_key(f, "k7");
    put(f, "active", "1");
    sync_store(f);
    /* Ids that were given and taken back leave room for entries that nobody knows. */
    f->store->segments.next_id += 3;
}

static void contradict(struct fixture *f, enum contradiction contradiction)
{
    struct manifest manifest;
    const char *why;
    struct segments *table = &f->store->segments;
    assert_status(f, OK, store_save_manifest(f->store, false, &f->error));
    assert_status(f, OK, manifest_file_read(table, &manifest, &why, &f->error));
    struct manifest_segment *first = &manifest.segments[0];
    struct manifest_segment *last = &manifest.segments[manifest.segment_count - 1];
    switch (contradiction) {
    case STORE:
        manifest.store_id[3] ^= 1;
        break;
    case SEED:
        manifest.seed[3] ^= 1;
        break;
    case SALT:
        first->salt ^= 1;
        break;
    case KIND:
        first->merge = !first->merge;
        break;
    case LENGTH:
        first->length += 8;
        break;
    case UNKNOWN:
        *last = *first;
        last->id = table->next_id - 1;
        break;
    case UNKNOWN_OPEN:
        last->id = table->next_id - 1;
        break;
    case MISSING:
        memmove(first, first + 1, --manifest.segment_count * sizeof *first);
        break;
    default:
        fail();
    }
    assert_status(f, OK, manifest_file_write(table, &manifest, &f->error));
    manifest_release(&manifest);
}

struct heard {
    const char *sentence;
    unsigned count, matches, enough;
};

static int hear(void *context, const bitcask_finding *finding)
{
    struct heard *heard = context;
    heard->matches += heard->sentence != NULL && strcmp(finding->what, heard->sentence) == 0;
    return ++heard->count == heard->enough;
}

static void what_contradicts_the_manifest_is_told(void **state)
{
    (void)state;
    struct fixture f;
    make_segments(&f);
    for (int i = 0; i < CONTRADICTIONS; i++) {
        contradict(&f, (enum contradiction)i);
        struct heard heard = {.sentence = sentences[i]};
        bitcask_status status = verify_run(f.store, hear, &heard, NULL, &f.error);
        if (sentences[i] != NULL) {
            assert_int_equal(status, BITCASK_CORRUPT);
            assert_int_equal(heard.matches, 1);
        }
    }
    assert_status(&f, OK, store_save_manifest(f.store, false, &f.error));
    assert_sound(&f);
    fixture_release(&f);
}

/* ---- Everything at once ---------------------------------------------------------------------- */

/* Entries of the index that point to wrong records, in the place of the right ones. */
static void misplace(struct fixture *f, const char *key, struct keydir_place wrong)
{
    uint64_t hash = hash_key(&f->store->secret, bitcask_str(key));
    struct keydir_probe probe;
    struct keydir_place place;
    keydir_probe_start(f->store->keydir, hash, &probe);
    assert_true(keydir_probe_next(&probe, &place));
    assert_true(keydir_replace(f->store->keydir, hash, place, wrong));
}

static void damage_everything(struct fixture *f)
{
    make_segments(f);
    struct segments *table = &f->store->segments;
    contradict(f, SALT);
    struct segment *segment = table->by_id[1];
    uint32_t end = (uint32_t)atomic_load(&segment->end);
    misplace(f, "k50", (struct keydir_place){segment->slot, SEGMENT_HEADER_SIZE + 1});
    misplace(f, "k51", (struct keydir_place){segment->slot, end});
    misplace(f, "k52", (struct keydir_place){segment->slot, SEGMENT_HEADER_SIZE});
    misplace(f, "k53", (struct keydir_place){table->by_id[0]->slot, SEGMENT_HEADER_SIZE});
    misplace(f, "k54", (struct keydir_place){table->by_id[0]->slot, SEGMENT_HEADER_SIZE});
    for (int i = 2; i < 4; i++) { /* two holes in each */
        char name[NAME_SIZE];
        name_data(name, table->by_id[i]->id);
        flip_byte(f, name, SEGMENT_HEADER_SIZE + 60);
        flip_byte(f, name, SEGMENT_HEADER_SIZE + 400);
        name_hint(name, table->by_id[i]->id);
        flip_byte(f, name, 200);
    }
    write_whole(f, "000000900.data", "stray", 5);
    write_whole(f, "000000901.hint", "stray", 5);
    write_whole(f, NAME_IMAGE, "no image", 8);
}

static void whoever_has_heard_enough_hears_no_more(void **state)
{
    (void)state;
    struct fixture f;
    damage_everything(&f);
    struct heard all = {0};
    assert_int_equal(verify_run(f.store, hear, &all, NULL, &f.error), BITCASK_CORRUPT);
    assert_true(all.count > 12);
    for (unsigned enough = 1; enough <= all.count; enough++) {
        struct heard heard = {.enough = enough};
        assert_int_equal(verify_run(f.store, hear, &heard, NULL, &f.error), BITCASK_CANCELLED);
        assert_int_equal(heard.count, enough);
    }
    fixture_release(&f);
}

/* ---- Progress -------------------------------------------------------------------------------- */

static int count_down(void *context, const bitcask_verify_progress *progress)
{
    int *left = context;
    assert_true(progress->done_bytes <= progress->total_bytes);
    return --*left == 0;
}

static void progress_can_stop_it_at_any_time(void **state)
{
    (void)state;
    struct fixture f;
    make_segments(&f);
    for (int i = 0; i < 400; i++)
        put_sized(&f, "large", 'x', 20000);
    int calls = 1000000;
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.progress = count_down;
    options.context = &calls;
    options.bytes_per_s = 1 << 30;
    assert_status(&f, OK, verify_run_with(f.store, &options, NULL, &f.error));
    int total = 1000000 - calls;
    assert_true(total > 1);
    for (int stop = 1; stop <= total; stop++) {
        calls = stop;
        assert_status(&f, CANCELLED, verify_run_with(f.store, &options, NULL, &f.error));
    }
    options.bytes_per_s = 0;
    calls = 1;
    assert_status(&f, CANCELLED, verify_run_with(f.store, &options, NULL, &f.error));
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_contradicts_the_manifest_is_told),
        cmocka_unit_test(whoever_has_heard_enough_hears_no_more),
        cmocka_unit_test(progress_can_stop_it_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
