/* SPDX-License-Identifier: MIT
 * destroy_test.c: a store is deleted whole, and nothing else is. */
#include "engine/destroy.h"

#include <errno.h>

#include "engine/store.h"
#include "format/names.h"
#include "os/os_mem.h"
#include "support/api_fixture.h"

static struct os *disk_with_store(void)
{
    struct os *os = os_mem_new(&(struct os_mem_options){.durable_images = true, .seed = 1});
    struct fixture f = fixture_new();
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    struct store *store;
    assert_done(store_open(os, "s", &f.options, &store, &error));
    f.db = (bitcask *)store;
    put_many(&f, "key", 200, 1000);
    fixture_close(&f);
    return os;
}

static void add_file(struct os *os, const char *path)
{
    assert_int_equal(os_mem_write_file(os, path, "x", 1), 0);
}

static bool exists(struct os *os, const char *path)
{
    struct os_stat stat;
    return os->stat(os, path, &stat) == 0;
}

static int count_name(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return 0;
}

static int entries(struct os *os, const char *path)
{
    int count = 0;
    assert_int_equal(os->list(os, path, count_name, &count), 0);
    return count;
}

static void nothing_is_left_of_a_store_on_its_own(void **state)
{
    (void)state;
    struct os *os = disk_with_store();
    assert_true(entries(os, "s") > 5);
    assert_done(destroy_store(os, "s", &error));
    assert_false(exists(os, "s"));
    assert_status(NO_STORE, destroy_store(os, "s", &error));
    os_mem_free(os);
}

static void quarantine_goes_too(void **state)
{
    (void)state;
    struct os *os = disk_with_store();
    assert_int_equal(os->make_dir(os, "s/quarantine"), 0);
    add_file(os, "s/quarantine/000000001-4096-0badcafe");
    assert_done(destroy_store(os, "s", &error));
    assert_false(exists(os, "s"));
    os_mem_free(os);
}

static void files_of_others_stay_and_keep_the_directory(void **state)
{
    (void)state;
    struct os *os = disk_with_store();
    add_file(os, "s/notes.txt");
    add_file(os, "s/1.data");
    add_file(os, "s/000000001.data.bak");
    assert_done(destroy_store(os, "s", &error));
    assert_int_equal(entries(os, "s"), 3);
    os_mem_free(os);
}

static void a_directory_without_a_store_is_left_alone(void **state)
{
    (void)state;
    struct os *os = os_mem_new(&(struct os_mem_options){.seed = 1});
    assert_status(NO_STORE, destroy_store(os, "s", &error));
    assert_int_equal(os->make_dir(os, "s"), 0);
    assert_status(NO_STORE, destroy_store(os, "s", &error));
    assert_true(exists(os, "s"));
    add_file(os, "s/notes.txt");
    assert_status(NO_STORE, destroy_store(os, "s", &error));
    assert_true(exists(os, "s/notes.txt"));
    os_mem_free(os);
}

/* Longer names than any of ours are not even looked at. */
static void a_file_with_a_long_name_stays(void **state)
{
    (void)state;
    struct os *os = disk_with_store();
    char path[202] = "s/";
    memset(path + 2, 'n', sizeof path - 3);
    add_file(os, path);
    assert_done(destroy_store(os, "s", &error));
    assert_int_equal(entries(os, "s"), 1);
    assert_true(exists(os, path));
    os_mem_free(os);
}

static void an_image_that_was_being_written_goes_too(void **state)
{
    (void)state;
    struct os *os = disk_with_store();
    add_file(os, "s/" NAME_IMAGE);
    add_file(os, "s/" NAME_IMAGE_TMP);
    add_file(os, "s/" NAME_RESERVE);
    assert_done(destroy_store(os, "s", &error));
    assert_false(exists(os, "s"));
    os_mem_free(os);
}

/* What remove_dir of the copy below answers. */
static int remove_dir_result;

static int answer(struct os *os, const char *path)
{
    (void)os;
    (void)path;
    return remove_dir_result;
}

/* The files are gone: that the directory is still there, for one of these reasons, is no failure.
 */
static void a_directory_that_cannot_be_removed_stays(void **state)
{
    (void)state;
    static const int stays[] = {-ENOTEMPTY, -EEXIST, -EBUSY, -EACCES, -EINVAL, -ENOTDIR};
    for (size_t i = 0; i <= sizeof stays / sizeof *stays; i++) {
        struct os *os = disk_with_store();
        int (*remove_dir)(struct os * os, const char *path) = os->remove_dir;
        bool told = i == sizeof stays / sizeof *stays;
        remove_dir_result = told ? -EIO : stays[i];
        os->remove_dir = answer;
        assert_int_equal(destroy_store(os, "s", &error), told ? BITCASK_IO : BITCASK_OK);
        os->remove_dir = remove_dir;
        assert_int_equal(entries(os, "s"), 0);
        os_mem_free(os);
    }
}

static void a_path_that_is_too_long_is_an_error(void **state)
{
    (void)state;
    struct os *os = os_mem_new(&(struct os_mem_options){.seed = 1});
    char path[OS_PATH_MAX + 10];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    bitcask_status status = destroy_store(os, path, &error);
    assert_true(status < 0 && status != BITCASK_NO_STORE);
    os_mem_free(os);
}

static void an_open_store_is_locked(void **state)
{
    (void)state;
    struct os *os = os_mem_new(&(struct os_mem_options){.seed = 1});
    struct fixture f = fixture_new();
    struct store *store;
    assert_done(store_open(os, "s", &f.options, &store, &error));
    assert_status(LOCKED, destroy_store(os, "s", &error));
    assert_message("pid");
    assert_done(store_close(store, &error));
    assert_done(destroy_store(os, "s", &error));
    os_mem_free(os);
}

/* Whatever call fails: an error, the manifest still there as long as there are data files, and done
 * again it finishes. */
static void a_failing_call_leaves_a_store_that_can_be_destroyed(void **state)
{
    (void)state;
    const uint32_t kinds =
        1u << OS_CALL_UNLINK | 1u << OS_CALL_SYNC_DIR | 1u << OS_CALL_LIST | 1u << OS_CALL_LOCK;
    for (uint64_t nth = 1;; nth++) {
        struct os *os = disk_with_store();
        uint64_t before = os_mem_calls(os, kinds);
        os_mem_fail(os, kinds, nth, 1, -EIO);
        bitcask_status status = destroy_store(os, "s", &error);
        bool failed = os_mem_calls(os, kinds) - before >= nth;
        os_mem_fail(os, kinds, 0, 0, 0);
        if (!failed) {
            assert_int_equal(status, BITCASK_OK);
            assert_true(nth > 8);
            os_mem_free(os);
            return;
        }
        assert_int_equal(status, BITCASK_IO);
        if (exists(os, "s/000000001.data"))
            assert_true(exists(os, "s/MANIFEST"));
        if (exists(os, "s/bitcask.lock"))
            assert_done(destroy_store(os, "s", &error));
        os_mem_free(os);
    }
}

/* Pull the plug at call `at`. */
struct plug {
    uint64_t at, calls;
};

static int pull(void *context, enum os_mem_call call)
{
    (void)call;
    struct plug *plug = context;
    return ++plug->calls == plug->at;
}

static void somebody_who_left_no_name_has_it_open(void **state)
{
    (void)state;
    static const char *const texts[] = {NULL, "", "\x7f who", "pid 7\x7f"};
    static const char *const says[] = {"(?)", "(?)", "(\x7f)", "(pid 7)"};
    for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
        struct os *os = disk_with_store();
        struct fixture f = fixture_new();
        struct store *store;
        assert_done(store_open(os, "s", &f.options, &store, &error));
        assert_int_equal(os->unlink(os, "s/" NAME_LOCK), 0);
        if (texts[t] != NULL)
            assert_int_equal(os_mem_write_file(os, "s/" NAME_LOCK, texts[t], strlen(texts[t])), 0);
        assert_status(LOCKED, destroy_store(os, "s", &error));
        if (t != 2 && strstr(error.message, says[t]) == NULL)
            fail_msg("%s", error.message);
        assert_null(strstr(error.message, "\x7f"));
        assert_done(store_close(store, &error));
        os_mem_free(os);
    }
}

static int (*unlink_on_disk)(struct os *os, const char *path);

/* Somebody else was quicker. */
static int unlink_twice(struct os *os, const char *path)
{
    int result = unlink_on_disk(os, path);
    return result == 0 ? -ENOENT : result;
}

static void a_file_that_is_gone_meanwhile_is_as_good_as_removed(void **state)
{
    (void)state;
    struct os *os = disk_with_store();
    unlink_on_disk = os->unlink;
    os->unlink = unlink_twice;
    assert_done(destroy_store(os, "s", &error));
    assert_false(exists(os, "s"));
    os_mem_free(os);
}

static void a_file_is_no_store(void **state)
{
    (void)state;
    struct os *os = disk_with_store();
    assert_status(NO_STORE, destroy_store(os, "s/" NAME_MANIFEST, &error));
    assert_true(exists(os, "s/" NAME_MANIFEST));
    os_mem_free(os);
}

static void check_destroyed(struct os *os)
{
    if (entries(os, "s") == 0)
        assert_status(NO_STORE, destroy_store(os, "s", &error));
    else
        assert_done(destroy_store(os, "s", &error));
}

static void a_failing_call_in_quarantine_leaves_the_rest(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct os *os = disk_with_store();
        assert_int_equal(os->make_dir(os, "s/" NAME_QUARANTINE), 0);
        add_file(os, "s/" NAME_QUARANTINE "/000000001-200.cut");
        add_file(os, "s/" NAME_QUARANTINE "/000000001-300.cut");
        os_mem_fail(os, 1u << OS_CALL_UNLINK, nth, 1, -EIO);
        bitcask_status status = destroy_store(os, "s", &error);
        failed = status != BITCASK_OK;
        assert_true(!failed || status == BITCASK_IO);
        assert_true(!failed || exists(os, "s"));
        os_mem_fail(os, 0, 0, 0, 0);
        if (failed) /* with nothing left but the directory there is no store any more */
            check_destroyed(os);
        os_mem_free(os);
    }
}

static void the_power_may_go_at_any_call(void **state)
{
    (void)state;
    const uint32_t kinds = 1u << OS_CALL_UNLINK | 1u << OS_CALL_SYNC_DIR;
    for (uint64_t at = 1;; at++) {
        struct os *os = disk_with_store();
        struct plug plug = {.at = at};
        os_mem_hook(os, kinds, pull, &plug);
        bitcask_status status = destroy_store(os, "s", &error);
        os_mem_hook(os, 0, NULL, NULL);
        os_mem_crash(os);
        bool data = exists(os, "s/000000001.data"), manifest = exists(os, "s/MANIFEST");
        assert_true(manifest || !data); /* never a store that seems whole and is not */
        os_mem_free(os);
        if (plug.calls < at) {
            assert_int_equal(status, BITCASK_OK);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left_of_a_store_on_its_own),
        cmocka_unit_test(quarantine_goes_too),
        cmocka_unit_test(files_of_others_stay_and_keep_the_directory),
        cmocka_unit_test(a_directory_without_a_store_is_left_alone),
        cmocka_unit_test(a_file_with_a_long_name_stays),
        cmocka_unit_test(an_image_that_was_being_written_goes_too),
        cmocka_unit_test(a_directory_that_cannot_be_removed_stays),
        cmocka_unit_test(a_path_that_is_too_long_is_an_error),
        cmocka_unit_test(an_open_store_is_locked),
        cmocka_unit_test(a_failing_call_leaves_a_store_that_can_be_destroyed),
        cmocka_unit_test(somebody_who_left_no_name_has_it_open),
        cmocka_unit_test(a_file_that_is_gone_meanwhile_is_as_good_as_removed),
        cmocka_unit_test(a_file_is_no_store),
        cmocka_unit_test(a_failing_call_in_quarantine_leaves_the_rest),
        cmocka_unit_test(the_power_may_go_at_any_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
