/* SPDX-License-Identifier: MIT
 * backup_test.c: what a backup holds, where it may go, and what is left when it is interrupted. */
#include "engine/backup.h"
#include "support/merge_fixture.h"

#define DEST "backup"
#define UNFINISHED "a backup into it was not finished"

static bitcask_backup_result made; /* by the last backup */

static bitcask_status try_backup_with(struct fixture *f, const bitcask_backup_options *options)
{
    made = (bitcask_backup_result){.struct_size = sizeof made};
    return backup_run(f->store, f->os, DEST, options, &made, &f->error);
}

static bitcask_status try_backup(struct fixture *f)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    return try_backup_with(f, &options);
}

static void back_up(struct fixture *f)
{
    assert_done(f, try_backup(f));
}

/* The store in DEST; the model is that of `f` unless the caller changes it. */
static bitcask_status try_open_copy(struct fixture *f, struct fixture *copy, bool read_only)
{
    *copy = *f;
    copy->store = NULL;
    copy->options.read_only = read_only;
    copy->options.create = 0;
    return store_open(f->os, DEST, &copy->options, &copy->store, &copy->error);
}

static void close_copy(struct fixture *copy)
{
    assert_done(copy, store_close(copy->store, &copy->error));
    copy->store = NULL;
}

/* DEST is a sound store with just what `model` says. */
static void assert_copy(struct fixture *f, const uint32_t *model)
{
    static struct fixture copy;
    assert_done(&copy, try_open_copy(f, &copy, true));
    memcpy(copy.model, model, sizeof copy.model);
    assert_model(&copy);
    assert_sound(&copy);
    close_copy(&copy);
}

static bool dest_has(struct fixture *f, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, DEST "/%s", name);
    return os_mem_read_file(f->os, path, NULL, 0) >= 0;
}

/* A merge output, sealed segments with dead records and tombstones, and an active one. */
static struct fixture *begin_filled(void)
{
    struct fixture *f = begin();
    put_range(f, 0, 40);
    put_range(f, 10, 20);
    merge_all(f);
    put_range(f, 30, 60);
    drop_range(f, 5, 8);
    seal(f);
    put_range(f, 50, 70);
    drop_range(f, 55, 57);
    return f;
}

/* ---- What is in it --------------------------------------------------------------------------- */

static void a_backup_opens_as_the_store_was(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    uint32_t model[KEYS];
    memcpy(model, f->model, sizeof model);
    back_up(f);
    assert_int_equal(made.segments, 3);
    assert_int_equal(made.linked, 2);
    assert_int_equal(made.copied, 1);
    assert_false(dest_has(f, NAME_UNFINISHED));
    put_range(f, 0, 100); /* what comes later is not in it */
    drop(f, 20);
    assert_copy(f, model);
    assert_sound(f);
    end(f);
}

static void an_empty_store_can_be_backed_up(void **state)
{
    (void)state;
    struct fixture *f = begin();
    back_up(f);
    assert_copy(f, f->model);
    put(f, 1);
    back_up(f);
    assert_copy(f, f->model);
    end(f);
}

static void a_backup_on_another_file_system_is_copied(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    os_mem_fail(f->os, 1u << OS_CALL_LINK, 1, UINT64_MAX, -EXDEV);
    back_up(f);
    os_mem_fail(f->os, 0, 0, 0, 0);
    assert_int_equal(made.linked, 0);
    assert_int_equal(made.copied, 3);
    assert_copy(f, f->model);
    put(f, 3);
    os_mem_fail(f->os, 1u << OS_CALL_LINK, 1, UINT64_MAX, -EXDEV);
    back_up(f);
    os_mem_fail(f->os, 0, 0, 0, 0);
    assert_int_equal(made.reused, 2);
    assert_copy(f, f->model);
    end(f);
}

static void a_copy_asked_for_shares_no_file(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    options.copy = 1;
    uint64_t links = os_mem_calls(f->os, 1u << OS_CALL_LINK);
    assert_done(f, try_backup_with(f, &options));
    assert_int_equal(os_mem_calls(f->os, 1u << OS_CALL_LINK), links);
    assert_int_equal(made.copied, 3);
    assert_copy(f, f->model);
    end(f);
}

static void a_read_only_store_is_backed_up_and_its_open_end_is_not_linked(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    sync_log(f);
    os_mem_kill(f->os); /* the manifest says active; in memory it is cut and sealed */
    abandon(f);
    f->options.read_only = 1;
    open_again(f);
    back_up(f);
    assert_int_equal(made.linked, 2);
    assert_int_equal(made.copied, 1);
    assert_copy(f, f->model);
    end(f);
}

static void a_restored_backup_goes_on_as_a_store(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    back_up(f);
    static struct fixture copy;
    assert_done(&copy, try_open_copy(f, &copy, false));
    assert_model(&copy);
    put_range(&copy, 100, 120);
    drop(&copy, 1);
    merge_all(&copy);
    assert_model(&copy);
    assert_sound(&copy);
    close_copy(&copy);
    assert_model(f); /* files are shared, changes are not */
    assert_sound(f);
    reopen_without_hints(f);
    assert_model(f);
    end(f);
}

static bitcask_status status_of(struct fixture *f, unsigned key)
{
    char text[32];
    bitcask_meta meta;
    return bitcask_stat_key(db_of(f), NULL, bitcask_bytes(text, key_text(text, key)), &meta,
                            &f->error);
}

static void a_missing_segment_is_missing_in_the_backup_too(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    char name[NAME_SIZE];
    name_data(name, newest_sealed(f));
    assert_done(f, store_close(f->store, &f->error));
    remove_file(f, name);
    open_again(f);
    back_up(f);
    assert_int_equal(made.damaged_segments, 1);
    static struct fixture copy;
    assert_done(&copy, try_open_copy(f, &copy, true));
    unsigned corrupt = 0;
    for (unsigned key = 0; key < KEYS; key++) { /* as in the store, not an older value */
        bitcask_status here = status_of(f, key);
        assert_int_equal(status_of(&copy, key), here);
        corrupt += here == BITCASK_CORRUPT;
    }
    assert_true(corrupt > 0);
    close_copy(&copy);
    end(f);
}

/* ---- Increments ------------------------------------------------------------------------------ */

static void a_second_backup_brings_only_what_is_new(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    back_up(f);
    back_up(f);
    assert_int_equal(made.reused, 3);
    assert_int_equal(made.copied_bytes, 0);
    seal(f);
    put(f, 200);
    back_up(f);
    assert_int_equal(made.reused + made.linked + made.copied, 4);
    assert_int_equal(made.reused, 3); /* the same bytes, sealed meanwhile */
    assert_copy(f, f->model);
    merge_all(f);
    put(f, 201);
    back_up(f);
    assert_true(made.removed > 0);
    assert_int_equal(made.linked, 1);
    assert_copy(f, f->model);
    assert_false(dest_has(f, "000000004.data"));
    assert_false(dest_has(f, "000000004.hint"));
    end(f);
}

static void a_segment_that_has_grown_is_brought_again(void **state)
{
    (void)state;
    struct fixture *f = begin();
    put_range(f, 0, 10);
    back_up(f);
    put_range(f, 5, 20);
    drop(f, 2);
    back_up(f);
    assert_int_equal(made.copied, 1);
    assert_copy(f, f->model);
    end(f);
}

static void a_merge_that_removes_a_file_meanwhile_loses_nothing(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    f->options.create = 1;
    os_mem_fail(f->os, 1u << OS_CALL_LINK, 1, UINT64_MAX, -ENOENT); /* as if just unlinked */
    back_up(f);
    os_mem_fail(f->os, 0, 0, 0, 0);
    assert_int_equal(made.copied, 3);
    assert_copy(f, f->model);
    end(f);
}

/* ---- Where it may not go --------------------------------------------------------------------- */

static void assert_refused(struct fixture *f, bitcask_status expected, const char *text)
{
    assert_int_equal(try_backup(f), expected);
    if (strstr(f->error.message, text) == NULL)
        fail_msg("'%s' does not say '%s'", f->error.message, text);
}

static void a_backup_that_was_opened_for_writing_is_no_base(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    back_up(f);
    static struct fixture copy;
    assert_done(&copy, try_open_copy(f, &copy, true));
    close_copy(&copy);
    back_up(f); /* reading does not matter */
    assert_done(&copy, try_open_copy(f, &copy, false));
    assert_memory_not_equal(copy.store->fork_id, f->store->fork_id, STORE_ID_SIZE);
    put(&copy, 7);
    close_copy(&copy);
    put(f, 8);
    assert_refused(f, BITCASK_STORE_EXISTS, "opened for writing");
    assert_copy(&copy, copy.model);
    end(f);
}

static void a_restored_store_does_not_overwrite_the_backup_of_the_first(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    back_up(f);
    uint8_t fork_id[STORE_ID_SIZE];
    memcpy(fork_id, f->store->fork_id, sizeof fork_id);
    memset(f->store->fork_id, 7, sizeof fork_id); /* as a restored one has */
    assert_refused(f, BITCASK_STORE_EXISTS, "another history");
    memcpy(f->store->fork_id, fork_id, sizeof fork_id);
    back_up(f);
    end(f);
}

static void another_store_is_not_overwritten(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    struct store *other;
    assert_done(f, store_open(f->os, DEST, &f->options, &other, &f->error));
    assert_done(f, bitcask_put((bitcask *)other, bitcask_str("k"), bitcask_str("v"), NULL, NULL,
                               &f->error));
    assert_refused(f, BITCASK_LOCKED, "open there");
    assert_done(f, store_close(other, &f->error));
    assert_refused(f, BITCASK_STORE_EXISTS, "another store");
    assert_int_equal(f->os->unlink(f->os, DEST "/MANIFEST"), 0);
    assert_refused(f, BITCASK_STORE_EXISTS, "without a manifest");
    end(f);
}

static void the_store_itself_is_no_place_for_its_backup(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    assert_int_equal(backup_run(f->store, f->os, "store", &options, NULL, &f->error),
                     BITCASK_LOCKED);
    assert_model(f);
    end(f);
}

static void an_unfinished_backup_of_another_store_is_not_completed(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    assert_int_equal(f->os->make_dir(f->os, DEST), 0);
    char mark[32] = "somebody else's";
    assert_int_equal(os_mem_write_file(f->os, DEST "/" NAME_UNFINISHED, mark, sizeof mark), 0);
    assert_int_equal(os_mem_write_file(f->os, DEST "/000000001.data", mark, sizeof mark), 0);
    assert_refused(f, BITCASK_STORE_EXISTS, "unfinished backup of another");
    end(f);
}

/* ---- Interrupted ----------------------------------------------------------------------------- */

/* DEST is the backup of before, if there was one; or of now; or cannot be opened, and says why. */
static void assert_old_or_new(struct fixture *f, const uint32_t *old)
{
    static struct fixture copy;
    bitcask_status status = try_open_copy(f, &copy, true);
    if (old == NULL && status == BITCASK_NO_STORE)
        return;
    if (old == NULL && status == BITCASK_CORRUPT) {
        assert_non_null(strstr(copy.error.message, UNFINISHED));
        return;
    }
    assert_done(&copy, status);
    if (old != NULL && read_key(&copy, 0) == old[0])
        memcpy(copy.model, old, sizeof copy.model);
    assert_model(&copy);
    assert_sound(&copy);
    close_copy(&copy);
}

/* A first backup (`before` false), or an increment after merges and writes; key 0 tells them apart.
 */
static struct fixture *begin_for_backup(bool before, uint32_t *old)
{
    struct fixture *f = begin_filled();
    if (before) {
        back_up(f);
        memcpy(old, f->model, KEYS * sizeof *old);
        put_range(f, 0, 30);
        merge_wasteful(f);
        seal(f);
        drop_range(f, 60, 65);
        put(f, 0);
    }
    sync_log(f);
    return f;
}

static void every_call_may_fail_once(void **state)
{
    (void)state;
    const uint32_t all = (1u << OS_CALL_COUNT) - 1 - (1u << OS_CALL_ALLOC);
    for (int before = 0; before < 2; before++) {
        for (uint64_t n = 1;; n++) {
            uint32_t old[KEYS];
            struct fixture *f = begin_for_backup(before, old);
            uint64_t first = os_mem_calls(f->os, all);
            os_mem_fail(f->os, all, n, 1, n % 2 == 0 ? -EIO : -ENOSPC);
            bitcask_status status = try_backup(f);
            uint64_t calls = os_mem_calls(f->os, all) - first;
            os_mem_fail(f->os, 0, 0, 0, 0);
            assert_old_or_new(f, before ? old : NULL);
            if (status == BITCASK_OK)
                assert_copy(f, f->model);
            bool poisoned = store_writable(f->store, NULL) != BITCASK_OK;
            if (!poisoned) {
                back_up(f);
                assert_copy(f, f->model);
                assert_model(f);
            }
            if (poisoned)
                abandon(f);
            end(f);
            if (calls < n)
                break;
        }
    }
}

static int at_call(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return --*left == 0;
}

static void the_power_may_go_at_every_call(void **state)
{
    (void)state;
    for (int before = 0; before < 2; before++) {
        for (uint64_t n = 1;; n++) {
            uint32_t old[KEYS];
            struct fixture *f = begin_for_backup(before, old);
            uint64_t left = n;
            os_mem_hook(f->os, UINT32_MAX & ~(1u << OS_CALL_ALLOC), at_call, &left);
            bitcask_status status = try_backup(f);
            power_cut(f);
            if (status == BITCASK_OK)
                assert_copy(f, f->model);
            else
                assert_old_or_new(f, before ? old : NULL);
            assert_model(f);
            back_up(f);
            assert_copy(f, f->model);
            assert_sound(f);
            end(f);
            if (left > 0 && left < UINT64_MAX / 2)
                break;
        }
    }
}

static void a_full_disk_leaves_the_backup_of_before(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    back_up(f);
    uint32_t old[KEYS];
    memcpy(old, f->model, sizeof old);
    put_sized(f, 0, 300000);
    sync_log(f);
    uint64_t free_bytes;
    os_mem_set_capacity(f->os, 1 << 30);
    assert_int_equal(f->os->free_space(f->os, ".", &free_bytes), 0);
    os_mem_set_capacity(f->os, (1 << 30) - free_bytes + 100000);
    assert_int_equal(try_backup(f), BITCASK_NO_SPACE);
    assert_copy(f, old);
    os_mem_set_capacity(f->os, 0);
    back_up(f);
    assert_copy(f, f->model);
    end(f);
}

static int cancel_later(void *context, const bitcask_backup_progress *progress)
{
    int *left = context;
    assert_true(progress->done_bytes <= progress->total_bytes);
    return --*left < 0;
}

static void a_cancelled_backup_is_none_and_the_next_call_completes_it(void **state)
{
    (void)state;
    struct fixture *f = begin_filled();
    int left = 2;
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    options.progress = cancel_later;
    options.context = &left;
    options.copy = 1;
    assert_int_equal(try_backup_with(f, &options), BITCASK_CANCELLED);
    assert_true(dest_has(f, NAME_UNFINISHED));
    static struct fixture copy;
    for (int read_only = 0; read_only < 2; read_only++) {
        assert_int_equal(try_open_copy(f, &copy, read_only), BITCASK_CORRUPT);
        assert_non_null(strstr(copy.error.message, UNFINISHED));
    }
    left = 1000;
    assert_done(f, try_backup_with(f, &options));
    assert_true(made.reused > 0); /* what was whole is not copied again */
    assert_copy(f, f->model);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_opens_as_the_store_was),
        cmocka_unit_test(an_empty_store_can_be_backed_up),
        cmocka_unit_test(a_backup_on_another_file_system_is_copied),
        cmocka_unit_test(a_copy_asked_for_shares_no_file),
        cmocka_unit_test(a_read_only_store_is_backed_up_and_its_open_end_is_not_linked),
        cmocka_unit_test(a_restored_backup_goes_on_as_a_store),
        cmocka_unit_test(a_missing_segment_is_missing_in_the_backup_too),
        cmocka_unit_test(a_second_backup_brings_only_what_is_new),
        cmocka_unit_test(a_segment_that_has_grown_is_brought_again),
        cmocka_unit_test(a_merge_that_removes_a_file_meanwhile_loses_nothing),
        cmocka_unit_test(a_backup_that_was_opened_for_writing_is_no_base),
        cmocka_unit_test(a_restored_store_does_not_overwrite_the_backup_of_the_first),
        cmocka_unit_test(another_store_is_not_overwritten),
        cmocka_unit_test(the_store_itself_is_no_place_for_its_backup),
        cmocka_unit_test(an_unfinished_backup_of_another_store_is_not_completed),
        cmocka_unit_test(every_call_may_fail_once),
        cmocka_unit_test(the_power_may_go_at_every_call),
        cmocka_unit_test(a_full_disk_leaves_the_backup_of_before),
        cmocka_unit_test(a_cancelled_backup_is_none_and_the_next_call_completes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
