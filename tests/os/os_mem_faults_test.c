/* SPDX-License-Identifier: MIT
 * os_mem_faults_test.c: files in memory when there is no memory: each allocation and each mapping
 * fails once. A call that failed for it can be made again, nothing is left behind, and what is read
 * is what was written. The linker puts the __wrap_ functions in place of the system's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mman.h>

#include "os/os_mem.h"

/* ---- Failing --------------------------------------------------------------------------------- */

static struct {
    bool counting;
    unsigned calls, nth; /* 0: none */
} memory;

static bool fails(void)
{
    return memory.counting && ++memory.calls == memory.nth;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_madvise(void *at, size_t size, int advice);
int __wrap_madvise(void *at, size_t size, int advice);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap64(at, size, protection, flags, fd, offset);
}

int __wrap_madvise(void *at, size_t size, int advice)
{
    return fails() ? -1 : __real_madvise(at, size, advice);
}

/* What failed for want of memory succeeds the second time; anything else is an error here. */
#define DO(call)                      \
    do {                              \
        int result_ = (int)(call);    \
        if (result_ == -ENOMEM)       \
            result_ = (int)(call);    \
        assert_int_equal(result_, 0); \
    } while (0)

/* ---- What is done ---------------------------------------------------------------------------- */

static char bytes[200000];

static void check_bytes(struct os *os, const char *path, size_t from, size_t size, char wanted)
{
    static char found[sizeof bytes];
    assert_true(os_mem_read_file(os, path, found, sizeof found) >= (int64_t)(from + size));
    for (size_t i = from; i < from + size; i++)
        assert_int_equal(found[i], wanted);
}

static void fill(char with)
{
    memset(bytes, with, sizeof bytes);
}

/* Syncs that fail, and writes behind them: two images are kept then. */
static void fail_syncs(struct os *os, struct os_file *file)
{
    fill('b');
    os_mem_fail(os, 1u << OS_CALL_PWRITE, 1, 1, -EIO);
    int result = os->pwrite(os, file, bytes, 2, 0, OS_DSYNC); /* half of it is lost */
    assert_true(result == -EIO || result == -ENOMEM);
    os_mem_fail(os, 1u << OS_CALL_PWRITE, 1, 1, -EIO);
    result = os->pwrite(os, file, bytes, 1, 0, OS_DSYNC); /* half of which is nothing */
    assert_true(result == -EIO || result == -ENOMEM);
    os_mem_fail(os, 1u << OS_CALL_PWRITE, 1, 1, -EIO);
    result = os->pwrite(os, file, bytes, 600, 100000, OS_DSYNC);
    assert_true(result == -EIO || result == -ENOMEM);
    os_mem_fail(os, 1u << OS_CALL_SYNC, 1, 1, -EIO);
    result = os->sync(os, file);
    assert_true(result == -EIO || result == -ENOMEM);
    DO(os->pwrite(os, file, bytes, 5000, 1000, 0));
    DO(os->sync(os, file));
    DO(os->pwrite(os, file, bytes, 500, 120000, OS_DSYNC));
    DO(os->pwrite(os, file, bytes, 10, 4000, 0)); /* dirty while the rest is dropped */
    DO(os->drop_cache(os, file, 0, 0));
    check_bytes(os, "d/a", 1000, 5000, 'b');
    check_bytes(os, "d/a", 120000, 500, 'b');
}

static void write_and_grow(struct os *os, struct os_file *file)
{
    fill('a');
    DO(os->pwrite(os, file, bytes, 100, 0, 0));
    DO(os->pwrite(os, file, bytes, 300, 100, OS_DSYNC));
    DO(os->pwrite(os, file, bytes, 0, 0, 0));
    DO(os->sync(os, file));
    DO(os->allocate(os, file, 0, 70000));
    DO(os->truncate(os, file, 300));
    DO(os->truncate(os, file, 90000));
    DO(os->sync(os, file));
    check_bytes(os, "d/a", 0, 300, 'a');
    check_bytes(os, "d/a", 300, 89700, 0);
}

static void map_and_store(struct os *os, struct os_file *file)
{
    void *map = NULL, *again = NULL;
    DO(os->map(os, file, 8192, true, &map));
    DO(os->map(os, file, 4096, false, &again));
    memset(map, 'm', 100);
    DO(os->sync(os, file));
    os->unmap(os, again, 4096);
    check_bytes(os, "d/a", 0, 100, 'm');
    os->unmap(os, map, 8192);
}

static void fill_up(struct os *os, struct os_file *file)
{
    fill('f');
    os_mem_set_capacity(os, 150000);
    int result = os->pwrite(os, file, bytes, sizeof bytes, 0, 0);
    assert_true(result == -ENOSPC || result == -ENOMEM);
    assert_int_equal(os->pwrite(os, file, bytes, 10, 190000, 0), -ENOSPC);
    os_mem_set_capacity(os, 1);
    assert_int_equal(os->pwrite(os, file, bytes, 10, 190000, 0), -ENOSPC);
    os_mem_set_capacity(os, 0);
}

static void names(struct os *os)
{
    DO(os->make_dir(os, "e"));
    DO(os->make_dir(os, "e/inner"));
    DO(os_mem_write_file(os, "e/one", "1", 1));
    DO(os->link(os, "e/one", "e/two"));
    DO(os->rename(os, "e/two", "e/three"));
    DO(os->sync_dir(os, "e"));
    DO(os->sync_dir(os, "."));
    assert_int_equal(os->rename(os, ".", "e/x"), -EBUSY);
    assert_int_equal(os->rename(os, "e", "."), -EBUSY);
    assert_int_equal(os->rename(os, "e", "e/inner/x"), -EINVAL);
    assert_int_equal(os->link(os, "e/inner", "e/four"), -EPERM);
    assert_int_equal(os_mem_read_file(os, "e", NULL, 0), -EISDIR);
    assert_int_equal(os_mem_read_file(os, "e/one", NULL, 0), 1);
    struct os_stat stat;
    assert_int_equal(os->stat(os, "", &stat), -ENOENT);
    DO(os->unlink(os, "e/three"));
}

static void act(struct os *os, bool durable)
{
    struct os_file *file = NULL;
    DO(os->make_dir(os, "d"));
    DO(os->open(os, "d/a", OS_READ | OS_WRITE | OS_CREATE, &file));
    DO(os->sync_dir(os, "d"));
    DO(os->sync_dir(os, "."));
    write_and_grow(os, file);
    if (durable)
        fail_syncs(os, file);
    map_and_store(os, file);
    fill_up(os, file);
    DO(os->close(os, file));
    names(os);
    DO(os_mem_write_file(os, "d/b", bytes, 100000));
    DO(os_mem_write_file(os, "d/empty", "", 0));
    check_bytes(os, "d/b", 0, 100000, 'f');
}

static void whatever_cannot_be_had_can_be_asked_for_again(void **state)
{
    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        bool came = true;
        for (unsigned nth = 1; came; nth++) {
            struct os *os = os_mem_new(&(struct os_mem_options){.durable_images = durable});
            assert_non_null(os);
            memory.nth = nth;
            memory.calls = 0;
            memory.counting = true;
            act(os, durable);
            memory.counting = false;
            came = memory.calls >= nth;
            assert_int_equal(os_mem_open_files(os), 0);
            assert_int_equal(os_mem_live_maps(os), 0);
            os_mem_free(os);
        }
    }
}

/* A crash and a kill end what is open, and again what had ended before. */
static void what_a_crash_has_ended_is_not_ended_again(void **state)
{
    (void)state;
    struct os *os = os_mem_new(&(struct os_mem_options){.durable_images = true});
    struct os_file *file, *other;
    struct os_lock *lock;
    void *map;
    struct os_stat stat;
    assert_non_null(os);
    DO(os->make_dir(os, "d"));
    DO(os->sync_dir(os, "."));
    DO(os->open(os, "d/a", OS_READ | OS_WRITE | OS_CREATE, &file));
    DO(os->open(os, "d/unsynced", OS_READ | OS_WRITE | OS_CREATE, &other));
    DO(os->pwrite(os, file, "abc", 3, 0, 0));
    DO(os->sync(os, file));
    DO(os->sync_dir(os, "d"));
    DO(os->unlink(os, "d/unsynced"));
    DO(os->map(os, file, OS_PAGE, true, &map));
    DO(os->lock(os, "d", true, &lock));
    os_mem_crash(os);
    os_mem_crash(os);
    os_mem_kill(os);
    assert_int_equal(os_mem_open_files(os), 0);
    assert_int_equal(os->stat_file(os, file, &stat), -EIO);
    DO(os->drop_cache(os, file, 0, 0));
    DO(os->close(os, file));
    DO(os->close(os, other));
    os->unmap(os, map, OS_PAGE);
    os->unlock(os, lock);
    check_bytes(os, "d/a", 0, 1, 'a');
    os_mem_free(os);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_cannot_be_had_can_be_asked_for_again),
        cmocka_unit_test(what_a_crash_has_ended_is_not_ended_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
