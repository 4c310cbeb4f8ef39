/* SPDX-License-Identifier: MIT
 * os_contract.h: what every struct os must do: tests that os_posix_test.c and os_mem_test.c run on
 * theirs. Each including program defines contract_setup and contract_teardown, which make and
 * remove a struct contract with an empty directory for each test. */
#ifndef SUPPORT_OS_CONTRACT_H
#define SUPPORT_OS_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "os/os.h"

struct contract {
    struct os *os;
    char directory[256];
    char paths[4][1024];
    unsigned next_path;
};

static int contract_setup(void **state);
static int contract_teardown(void **state);

/* ---- Verbs ----------------------------------------------------------------------------------- */

/* The path of a name in the test's directory; good for three more calls. */
static const char *at(struct contract *c, const char *name)
{
    char *path = c->paths[c->next_path++ % 4];
    snprintf(path, sizeof(c->paths[0]), "%s/%s", c->directory, name);
    return path;
}

static struct os_file *open_file(struct contract *c, const char *name, int flags)
{
    struct os_file *file = NULL;
    assert_int_equal(c->os->open(c->os, at(c, name), flags, &file), 0);
    return file;
}

static struct os_file *create_file(struct contract *c, const char *name)
{
    return open_file(c, name, OS_WRITE | OS_CREATE);
}

static int try_open(struct contract *c, const char *name, int flags)
{
    struct os_file *file;
    int result = c->os->open(c->os, at(c, name), flags, &file);
    if (result == 0)
        assert_int_equal(c->os->close(c->os, file), 0);
    return result;
}

static void close_file(struct contract *c, struct os_file *file)
{
    assert_int_equal(c->os->close(c->os, file), 0);
}

static void write_at(struct contract *c, struct os_file *file, uint64_t offset, const char *text)
{
    assert_int_equal(c->os->pwrite(c->os, file, text, strlen(text), offset, 0), 0);
}

static void make_file(struct contract *c, const char *name, const char *text)
{
    struct os_file *file = create_file(c, name);
    write_at(c, file, 0, text);
    close_file(c, file);
}

static uint64_t size_of(struct contract *c, struct os_file *file)
{
    struct os_stat stat;
    assert_int_equal(c->os->stat_file(c->os, file, &stat), 0);
    return stat.size;
}

/* The file's bytes from `offset` on are exactly these. */
static void expect_bytes(struct contract *c, struct os_file *file, uint64_t offset,
                         const void *bytes, size_t size)
{
    char *have = malloc(size + 1);
    assert_non_null(have);
    assert_int_equal(c->os->pread(c->os, file, have, size + 1, offset), size);
    assert_memory_equal(have, bytes, size);
    free(have);
}

static void expect_text(struct contract *c, const char *name, const char *text)
{
    struct os_file *file = open_file(c, name, OS_READ);
    expect_bytes(c, file, 0, text, strlen(text));
    close_file(c, file);
}

static int try_lock(struct contract *c, bool exclusive)
{
    struct os_lock *lock;
    int result = c->os->lock(c->os, c->directory, exclusive, &lock);
    if (result == 0)
        c->os->unlock(c->os, lock);
    return result;
}

static struct os_lock *take_lock(struct contract *c, bool exclusive)
{
    struct os_lock *lock = NULL;
    assert_int_equal(c->os->lock(c->os, c->directory, exclusive, &lock), 0);
    return lock;
}

static char *map_file(struct contract *c, struct os_file *file, size_t size, bool writable)
{
    void *memory = NULL;
    assert_int_equal(c->os->map(c->os, file, size, writable, &memory), 0);
    return memory;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void new_file_is_empty_and_regular(void **state)
{
    struct contract *c = *state;
    struct os_stat stat;
    close_file(c, create_file(c, "f"));
    assert_int_equal(c->os->stat(c->os, at(c, "f"), &stat), 0);
    assert_true(stat.regular);
    assert_false(stat.directory);
    assert_int_equal(stat.size, 0);
}

static void create_refuses_a_name_that_is_taken(void **state)
{
    struct contract *c = *state;
    make_file(c, "f", "old");
    assert_int_equal(try_open(c, "f", OS_WRITE | OS_CREATE), -EEXIST);
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    assert_int_equal(try_open(c, "d", OS_WRITE | OS_CREATE), -EEXIST);
    expect_text(c, "f", "old");
}

static void open_says_what_is_wrong_with_a_path(void **state)
{
    struct contract *c = *state;
    char long_name[300];
    memset(long_name, 'n', sizeof(long_name));
    long_name[299] = '\0';
    make_file(c, "f", "");
    assert_int_equal(try_open(c, "missing", OS_READ), -ENOENT);
    assert_int_equal(try_open(c, "missing/f", OS_WRITE | OS_CREATE), -ENOENT);
    assert_int_equal(try_open(c, "f/f", OS_READ), -ENOTDIR);
    assert_int_equal(try_open(c, long_name, OS_READ), -ENAMETOOLONG);
}

static void open_refuses_a_directory(void **state)
{
    struct contract *c = *state;
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    assert_int_equal(try_open(c, "d", OS_READ), -EINVAL);
    assert_int_equal(try_open(c, "d", OS_WRITE), -EINVAL);
}

static void file_opened_for_reading_refuses_writes(void **state)
{
    struct contract *c = *state;
    void *memory;
    make_file(c, "f", "text");
    struct os_file *file = open_file(c, "f", OS_READ);
    assert_int_equal(c->os->pwrite(c->os, file, "x", 1, 0, 0), -EBADF);
    assert_int_equal(c->os->allocate(c->os, file, 0, 10), -EBADF);
    assert_int_equal(c->os->truncate(c->os, file, 0), -EINVAL);
    assert_int_equal(c->os->map(c->os, file, 4, true, &memory), -EACCES);
    close_file(c, file);
    expect_text(c, "f", "text");
}

/* ---- Reading, writing, sizes ----------------------------------------------------------------- */

static void pread_stops_at_the_end(void **state)
{
    struct contract *c = *state;
    char buffer[8];
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "abcdef");
    assert_int_equal(c->os->pread(c->os, file, buffer, 8, 4), 2);
    assert_memory_equal(buffer, "ef", 2);
    assert_int_equal(c->os->pread(c->os, file, buffer, 8, 6), 0);
    assert_int_equal(c->os->pread(c->os, file, buffer, 8, 1000), 0);
    close_file(c, file);
}

static void pwrite_past_the_end_fills_with_zeros(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 3, "x");
    expect_bytes(c, file, 0, "\0\0\0x", 4);
    write_at(c, file, 200000, "y");
    assert_int_equal(size_of(c, file), 200001);
    write_at(c, file, 0, "ab");
    char zeros[4096] = {0};
    char have[4096];
    assert_int_equal(c->os->pread(c->os, file, have, sizeof(have), 150000), sizeof(have));
    assert_memory_equal(have, zeros, sizeof(zeros));
    close_file(c, file);
}

static void empty_pwrite_does_not_grow(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->pwrite(c->os, file, "", 0, 100, 0), 0);
    assert_int_equal(c->os->pwrite(c->os, file, "", 0, 100, OS_DSYNC), 0);
    assert_int_equal(size_of(c, file), 0);
    close_file(c, file);
}

static void dsync_pwrite_writes(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->pwrite(c->os, file, "durable", 7, 2, OS_DSYNC), 0);
    expect_bytes(c, file, 0, "\0\0durable", 9);
    close_file(c, file);
}

static void allocate_grows_with_zeros_and_destroys_nothing(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    char expected[10000] = "keep";
    write_at(c, file, 0, "keep");
    assert_int_equal(c->os->allocate(c->os, file, 0, sizeof(expected)), 0);
    expect_bytes(c, file, 0, expected, sizeof(expected));
    assert_int_equal(c->os->allocate(c->os, file, 2, 100), 0); /* never shrinks */
    assert_int_equal(c->os->allocate(c->os, file, 50, 0), 0);
    expect_bytes(c, file, 0, expected, sizeof(expected));
    close_file(c, file);
}

static void truncated_bytes_come_back_as_zeros(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "abcdef");
    assert_int_equal(c->os->truncate(c->os, file, 2), 0);
    expect_bytes(c, file, 0, "ab", 2);
    assert_int_equal(c->os->truncate(c->os, file, 4), 0);
    expect_bytes(c, file, 0, "ab\0", 4);
    close_file(c, file);
}

static void offsets_that_overflow_are_refused(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    assert_true(c->os->pwrite(c->os, file, "x", 1, UINT64_MAX, 0) < 0);
    assert_true(c->os->pwrite(c->os, file, "x", 1, INT64_MAX, 0) < 0);
    assert_int_equal(c->os->allocate(c->os, file, UINT64_MAX, 2), -EFBIG);
    assert_int_equal(c->os->allocate(c->os, file, 2, UINT64_MAX - 1), -EFBIG);
    assert_true(c->os->truncate(c->os, file, UINT64_MAX) < 0);
    assert_int_equal(size_of(c, file), 0);
    close_file(c, file);
}

static void sync_and_drop_cache_keep_the_bytes(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "bytes");
    assert_int_equal(c->os->sync(c->os, file), 0);
    assert_int_equal(c->os->drop_cache(c->os, file, 0, 0), 0);
    assert_int_equal(c->os->will_need(c->os, file, 0, 4096), 0);
    expect_bytes(c, file, 0, "bytes", 5);
    close_file(c, file);
}

static void zeros_that_the_file_system_knows_of_are_zeros(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    uint64_t from = 1;
    assert_int_equal(c->os->zeros_from(c->os, file, &from), 0);
    assert_int_equal(from, 0);
    assert_int_equal(c->os->allocate(c->os, file, 0, 1 << 20), 0);
    write_at(c, file, 100000, "bytes");
    assert_int_equal(c->os->zeros_from(c->os, file, &from), 0);
    assert_in_range(from, 100005, 1 << 20);
    void *map;
    assert_int_equal(c->os->map(c->os, file, 1 << 20, true, &map), 0);
    for (uint64_t i = from; i < 1 << 20; i++)
        assert_int_equal(((unsigned char *)map)[i], 0);
    ((unsigned char *)map)[500000] = 1; /* through a mapping as well */
    assert_int_equal(c->os->zeros_from(c->os, file, &from), 0);
    assert_in_range(from, 500001, 1 << 20);
    c->os->unmap(c->os, map, 1 << 20);
    close_file(c, file);
}

/* ---- Mappings -------------------------------------------------------------------------------- */

static void map_and_pread_and_pwrite_agree(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->allocate(c->os, file, 0, 8192), 0);
    char *memory = map_file(c, file, 8192, true);
    write_at(c, file, 5000, "written");
    assert_memory_equal(memory + 5000, "written", 8);
    memcpy(memory + 6000, "stored", 6);
    char have[6];
    assert_int_equal(c->os->pread(c->os, file, have, 6, 6000), 6);
    assert_memory_equal(have, "stored", 6);
    c->os->unmap(c->os, memory, 8192);
    close_file(c, file);
}

static void map_longer_than_its_file_sees_it_grow(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    char *memory = map_file(c, file, 1 << 20, true);
    for (size_t end = 4096; end <= 1 << 20; end *= 4) {
        assert_int_equal(c->os->allocate(c->os, file, 0, end), 0);
        assert_int_equal(memory[end - 1], 0);
        memory[end - 1] = 'e';
        expect_bytes(c, file, end - 1, "e", 1);
    }
    c->os->unmap(c->os, memory, 1 << 20);
    close_file(c, file);
}

static void two_maps_of_a_file_agree(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    struct os_file *reader = open_file(c, "f", OS_READ);
    write_at(c, file, 0, "text");
    char *writable = map_file(c, file, 4, true);
    char *readable = map_file(c, reader, 4, false);
    writable[0] = 'T';
    assert_memory_equal(readable, "Text", 4);
    c->os->unmap(c->os, writable, 4);
    assert_memory_equal(readable, "Text", 4);
    c->os->unmap(c->os, readable, 4);
    close_file(c, file);
    close_file(c, reader);
}

static void map_survives_close_and_unlink(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "text");
    char *memory = map_file(c, file, 4, true);
    close_file(c, file);
    assert_int_equal(c->os->unlink(c->os, at(c, "f")), 0);
    make_file(c, "f", "another file");
    memory[3] = 'T';
    assert_memory_equal(memory, "texT", 4);
    c->os->unmap(c->os, memory, 4);
    expect_text(c, "f", "another file");
}

static void truncation_shows_in_the_map(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->allocate(c->os, file, 0, 3 * OS_PAGE), 0);
    char *memory = map_file(c, file, 3 * OS_PAGE, true);
    memset(memory, 'x', 3 * OS_PAGE);
    assert_int_equal(c->os->truncate(c->os, file, 10), 0);
    assert_int_equal(c->os->allocate(c->os, file, 0, 3 * OS_PAGE), 0);
    for (size_t i = 0; i < 3 * OS_PAGE; i++)
        assert_int_equal(memory[i], i < 10 ? 'x' : 0);
    c->os->unmap(c->os, memory, 3 * OS_PAGE);
    close_file(c, file);
}

static void empty_map_is_refused(void **state)
{
    struct contract *c = *state;
    void *memory;
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->map(c->os, file, 0, false, &memory), -EINVAL);
    close_file(c, file);
}

static void advice_is_taken_from_any_address(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->allocate(c->os, file, 0, 4 * OS_PAGE), 0);
    char *memory = map_file(c, file, 4 * OS_PAGE, true);
    memory[100] = 'k';
    for (int advice = OS_ADVISE_RANDOM; advice < OS_ADVISE_POPULATE; advice++)
        assert_int_equal(c->os->advise(c->os, memory + 100, OS_PAGE, advice), 0);
    int result = c->os->advise(c->os, memory + 100, OS_PAGE, OS_ADVISE_POPULATE);
    assert_true(result == 0 || result == -EINVAL); /* Linux before 5.14 */
    assert_int_equal(memory[100], 'k');
    c->os->unmap(c->os, memory, 4 * OS_PAGE);
    close_file(c, file);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void unlinked_file_lives_while_it_is_open(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "text");
    assert_int_equal(c->os->unlink(c->os, at(c, "f")), 0);
    assert_int_equal(c->os->unlink(c->os, at(c, "f")), -ENOENT);
    write_at(c, file, 4, " grows");
    expect_bytes(c, file, 0, "text grows", 10);
    close_file(c, file);
}

static void rename_replaces_and_old_handles_keep_the_old_file(void **state)
{
    struct contract *c = *state;
    make_file(c, "a", "new");
    make_file(c, "b", "old");
    struct os_file *old = open_file(c, "b", OS_READ);
    assert_int_equal(c->os->rename(c->os, at(c, "a"), at(c, "b")), 0);
    assert_int_equal(try_open(c, "a", OS_READ), -ENOENT);
    expect_text(c, "b", "new");
    expect_bytes(c, old, 0, "old", 3);
    close_file(c, old);
    assert_int_equal(c->os->rename(c->os, at(c, "missing"), at(c, "b")), -ENOENT);
    assert_int_equal(c->os->rename(c->os, at(c, "b"), at(c, "b")), 0);
    expect_text(c, "b", "new");
}

static void rename_moves_between_directories(void **state)
{
    struct contract *c = *state;
    make_file(c, "f", "text");
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    assert_int_equal(c->os->rename(c->os, at(c, "f"), at(c, "d/g")), 0);
    expect_text(c, "d/g", "text");
    assert_int_equal(try_open(c, "f", OS_READ), -ENOENT);
    assert_int_equal(c->os->rename(c->os, at(c, "d/g"), at(c, "no/g")), -ENOENT);
}

static void rename_of_directories(void **state)
{
    struct contract *c = *state;
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    assert_int_equal(c->os->make_dir(c->os, at(c, "d/e")), 0);
    make_file(c, "d/e/f", "text");
    make_file(c, "f", "text");
    assert_int_equal(c->os->rename(c->os, at(c, "d"), at(c, "d/e/d")), -EINVAL);
    assert_int_equal(c->os->rename(c->os, at(c, "f"), at(c, "d")), -EISDIR);
    assert_int_equal(c->os->rename(c->os, at(c, "d"), at(c, "f")), -ENOTDIR);
    assert_int_equal(c->os->make_dir(c->os, at(c, "x")), 0);
    assert_int_equal(c->os->rename(c->os, at(c, "x"), at(c, "d")), -ENOTEMPTY);
    assert_int_equal(c->os->rename(c->os, at(c, "d"), at(c, "x")), 0);
    expect_text(c, "x/e/f", "text");
}

static void link_gives_a_second_name(void **state)
{
    struct contract *c = *state;
    make_file(c, "a", "text");
    assert_int_equal(c->os->link(c->os, at(c, "a"), at(c, "b")), 0);
    assert_int_equal(c->os->link(c->os, at(c, "a"), at(c, "b")), -EEXIST);
    assert_int_equal(c->os->link(c->os, at(c, "missing"), at(c, "c")), -ENOENT);
    assert_int_equal(c->os->rename(c->os, at(c, "a"), at(c, "b")), 0); /* one file: nothing */
    struct os_file *file = open_file(c, "a", OS_WRITE);
    write_at(c, file, 0, "TEXT");
    close_file(c, file);
    assert_int_equal(c->os->unlink(c->os, at(c, "a")), 0);
    expect_text(c, "b", "TEXT");
}

static int note_name(void *context, const char *name)
{
    char *names = context;
    size_t used = strlen(names);
    snprintf(names + used, 100 - used, "%s,", name);
    return 0;
}

static int stop_at_once(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return 42;
}

static void list_tells_every_name_once(void **state)
{
    struct contract *c = *state;
    char names[100] = ",";
    make_file(c, "a", "");
    make_file(c, "b", "");
    make_file(c, "gone", "");
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    make_file(c, "d/inner", "");
    assert_int_equal(c->os->unlink(c->os, at(c, "gone")), 0);
    assert_int_equal(c->os->list(c->os, c->directory, note_name, names), 0);
    assert_int_equal(strlen(names), strlen(",a,b,d,"));
    assert_non_null(strstr(names, ",a,"));
    assert_non_null(strstr(names, ",b,"));
    assert_non_null(strstr(names, ",d,"));
}

static void list_stops_when_told(void **state)
{
    struct contract *c = *state;
    int calls = 0;
    make_file(c, "a", "");
    make_file(c, "b", "");
    assert_int_equal(c->os->list(c->os, c->directory, stop_at_once, &calls), 42);
    assert_int_equal(calls, 1);
    assert_int_equal(c->os->list(c->os, at(c, "missing"), stop_at_once, &calls), -ENOENT);
    assert_int_equal(c->os->list(c->os, at(c, "a"), stop_at_once, &calls), -ENOTDIR);
    assert_int_equal(calls, 1);
}

static void directories_are_made_and_removed(void **state)
{
    struct contract *c = *state;
    struct os_stat stat;
    assert_int_equal(c->os->make_dir(c->os, at(c, "no/d")), -ENOENT);
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    assert_int_equal(c->os->make_dir(c->os, at(c, "d/")), -EEXIST);
    assert_int_equal(c->os->stat(c->os, at(c, "./d"), &stat), 0);
    assert_true(stat.directory);
    assert_false(stat.regular);
    make_file(c, "d/f", "");
    assert_int_equal(c->os->remove_dir(c->os, at(c, "d")), -ENOTEMPTY);
    assert_int_equal(c->os->unlink(c->os, at(c, "d")), -EISDIR);
    assert_int_equal(c->os->unlink(c->os, at(c, "d/f")), 0);
    assert_int_equal(c->os->remove_dir(c->os, at(c, "d")), 0);
    assert_int_equal(c->os->stat(c->os, at(c, "d"), &stat), -ENOENT);
    make_file(c, "f", "");
    assert_int_equal(c->os->remove_dir(c->os, at(c, "f")), -ENOTDIR);
}

static void sync_dir_wants_a_directory(void **state)
{
    struct contract *c = *state;
    make_file(c, "f", "");
    assert_int_equal(c->os->sync_dir(c->os, c->directory), 0);
    assert_int_equal(c->os->sync_dir(c->os, at(c, "missing")), -ENOENT);
    assert_int_equal(c->os->sync_dir(c->os, at(c, "f")), -ENOTDIR);
}

/* ---- Locks ----------------------------------------------------------------------------------- */

static void exclusive_lock_excludes_every_other(void **state)
{
    struct contract *c = *state;
    struct os_lock *lock = take_lock(c, true);
    assert_int_equal(try_lock(c, true), -EWOULDBLOCK);
    assert_int_equal(try_lock(c, false), -EWOULDBLOCK);
    c->os->unlock(c->os, lock);
    assert_int_equal(try_lock(c, true), 0);
}

static void shared_locks_coexist(void **state)
{
    struct contract *c = *state;
    struct os_lock *first = take_lock(c, false);
    struct os_lock *second = take_lock(c, false);
    c->os->unlock(c->os, first);
    assert_int_equal(try_lock(c, true), -EWOULDBLOCK);
    c->os->unlock(c->os, second);
    assert_int_equal(try_lock(c, true), 0);
}

static void lock_wants_a_directory(void **state)
{
    struct contract *c = *state;
    struct os_lock *lock;
    make_file(c, "f", "");
    assert_int_equal(c->os->lock(c->os, at(c, "missing"), true, &lock), -ENOENT);
    assert_int_equal(c->os->lock(c->os, at(c, "f"), true, &lock), -ENOTDIR);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void place_has_a_name_and_room(void **state)
{
    struct contract *c = *state;
    struct os_traits traits;
    uint64_t room = 0;
    assert_int_equal(c->os->traits(c->os, c->directory, &traits), 0);
    assert_true(strlen(traits.name) > 0);
    assert_int_equal(c->os->free_space(c->os, c->directory, &room), 0);
    assert_true(room > 0);
    uint64_t all = 0;
    assert_int_equal(c->os->disk_size(c->os, c->directory, &all), 0);
    assert_true(all >= room);
    uint64_t memory = 0;
    assert_int_equal(c->os->available_memory(c->os, &memory), 0);
    assert_true(memory > 0);
}

static void clocks_tell_a_time_after_2020(void **state)
{
    struct contract *c = *state;
    const uint64_t year_2020_us = (uint64_t)1577836800 * 1000000;
    assert_true(c->os->clock_real(c->os) > year_2020_us);
    assert_true(c->os->clock_coarse(c->os) > year_2020_us);
    uint64_t boot = c->os->clock_boot(c->os);
    assert_true(boot > 0);
    assert_true(c->os->clock_boot(c->os) >= boot);
    int32_t ahead = c->os->utc_offset_s(c->os, year_2020_us);
    assert_true(ahead >= -24 * 3600 && ahead <= 24 * 3600);
}

static void random_bytes_differ(void **state)
{
    struct contract *c = *state;
    uint8_t first[32] = {0};
    uint8_t second[32] = {0};
    assert_int_equal(c->os->random(c->os, first, sizeof(first)), 0);
    assert_int_equal(c->os->random(c->os, second, sizeof(second)), 0);
    assert_memory_not_equal(first, second, sizeof(first));
    assert_memory_not_equal(first, first + 16, 16);
}

static void memory_is_aligned(void **state)
{
    struct contract *c = *state;
    for (size_t alignment = 1; alignment <= 16384; alignment *= 2) {
        char *memory = c->os->alloc(c->os, 100, alignment);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % alignment, 0);
        memset(memory, 1, 100);
        c->os->free(c->os, memory, 100);
    }
    assert_null(c->os->alloc(c->os, SIZE_MAX - 10, 64));
    c->os->free(c->os, NULL, 0);
}

static void facts_for_messages(void **state)
{
    struct contract *c = *state;
    char name[64] = "";
    char cut[2] = "xx"; /* of any name, room for one letter */
    assert_true(c->os->process_id(c->os) > 0);
    c->os->host_name(c->os, name, sizeof(name));
    c->os->host_name(c->os, cut, sizeof(cut));
    assert_int_equal(cut[1], '\0');
    const volatile unsigned char *guard = c->os->fork_guard(c->os);
    assert_non_null(guard);
    assert_int_equal(*guard, 1);
    assert_ptr_equal(c->os->fork_guard(c->os), guard);
}

#define CONTRACT_TEST(name) cmocka_unit_test_setup_teardown(name, contract_setup, contract_teardown)

#define CONTRACT_TESTS                                                                           \
    CONTRACT_TEST(new_file_is_empty_and_regular),                                                \
        CONTRACT_TEST(create_refuses_a_name_that_is_taken),                                      \
        CONTRACT_TEST(open_says_what_is_wrong_with_a_path),                                      \
        CONTRACT_TEST(open_refuses_a_directory),                                                 \
        CONTRACT_TEST(file_opened_for_reading_refuses_writes),                                   \
        CONTRACT_TEST(pread_stops_at_the_end),                                                   \
        CONTRACT_TEST(pwrite_past_the_end_fills_with_zeros),                                     \
        CONTRACT_TEST(empty_pwrite_does_not_grow), CONTRACT_TEST(dsync_pwrite_writes),           \
        CONTRACT_TEST(allocate_grows_with_zeros_and_destroys_nothing),                           \
        CONTRACT_TEST(truncated_bytes_come_back_as_zeros),                                       \
        CONTRACT_TEST(offsets_that_overflow_are_refused),                                        \
        CONTRACT_TEST(sync_and_drop_cache_keep_the_bytes),                                       \
        CONTRACT_TEST(zeros_that_the_file_system_knows_of_are_zeros),                            \
        CONTRACT_TEST(map_and_pread_and_pwrite_agree),                                           \
        CONTRACT_TEST(map_longer_than_its_file_sees_it_grow),                                    \
        CONTRACT_TEST(two_maps_of_a_file_agree), CONTRACT_TEST(map_survives_close_and_unlink),   \
        CONTRACT_TEST(truncation_shows_in_the_map), CONTRACT_TEST(empty_map_is_refused),         \
        CONTRACT_TEST(advice_is_taken_from_any_address),                                         \
        CONTRACT_TEST(unlinked_file_lives_while_it_is_open),                                     \
        CONTRACT_TEST(rename_replaces_and_old_handles_keep_the_old_file),                        \
        CONTRACT_TEST(rename_moves_between_directories), CONTRACT_TEST(rename_of_directories),   \
        CONTRACT_TEST(link_gives_a_second_name), CONTRACT_TEST(list_tells_every_name_once),      \
        CONTRACT_TEST(list_stops_when_told), CONTRACT_TEST(directories_are_made_and_removed),    \
        CONTRACT_TEST(sync_dir_wants_a_directory),                                               \
        CONTRACT_TEST(exclusive_lock_excludes_every_other), CONTRACT_TEST(shared_locks_coexist), \
        CONTRACT_TEST(lock_wants_a_directory), CONTRACT_TEST(place_has_a_name_and_room),         \
        CONTRACT_TEST(clocks_tell_a_time_after_2020), CONTRACT_TEST(random_bytes_differ),        \
        CONTRACT_TEST(memory_is_aligned), CONTRACT_TEST(facts_for_messages)

#endif
