/* SPDX-License-Identifier: MIT
 * os_mem_test.c: the memory os: the contract, crashes, failing calls, counters. */
#include "support/os_contract.h"

#include <pthread.h>
#include <stdatomic.h>

#include "os/os_mem.h"

static int setup_with(void **state, struct os_mem_options options)
{
    struct contract *c = calloc(1, sizeof(*c));
    c->os = os_mem_new(&options);
    snprintf(c->directory, sizeof(c->directory), "store");
    *state = c;
    return c->os->make_dir(c->os, c->directory) || c->os->sync_dir(c->os, ".");
}

static int contract_setup(void **state)
{
    return setup_with(state, (struct os_mem_options){.durable_images = true, .seed = 7});
}

static int lean_setup(void **state)
{
    return setup_with(state, (struct os_mem_options){.real_clock = true});
}

/* Every test gives back what it took. */
static int contract_teardown(void **state)
{
    struct contract *c = *state;
    int leaked = os_mem_open_files(c->os) + os_mem_live_maps(c->os) + os_mem_live_bytes(c->os) > 0;
    os_mem_free(c->os);
    free(c);
    return leaked;
}

/* ---- Verbs ----------------------------------------------------------------------------------- */

static void sync_file(struct contract *c, struct os_file *file)
{
    assert_int_equal(c->os->sync(c->os, file), 0);
}

static void sync_names(struct contract *c)
{
    assert_int_equal(c->os->sync_dir(c->os, c->directory), 0);
}

/* A file that is durable with these bytes, open for writing. */
static struct os_file *durable_file(struct contract *c, const char *name, const char *text)
{
    struct os_file *file = create_file(c, name);
    write_at(c, file, 0, text);
    sync_file(c, file);
    sync_names(c);
    return file;
}

static void make_durable_file(struct contract *c, const char *name, const char *text)
{
    close_file(c, durable_file(c, name, text));
}

static void crash(struct contract *c)
{
    os_mem_crash(c->os);
}

static void close_and_crash(struct contract *c, struct os_file *file)
{
    close_file(c, file);
    crash(c);
}

static void rename_file(struct contract *c, const char *from, const char *to)
{
    assert_int_equal(c->os->rename(c->os, at(c, from), at(c, to)), 0);
}

static void unlink_file(struct contract *c, const char *name)
{
    assert_int_equal(c->os->unlink(c->os, at(c, name)), 0);
}

static void expect_missing(struct contract *c, const char *name)
{
    struct os_stat stat;
    assert_int_equal(c->os->stat(c->os, at(c, name), &stat), -ENOENT);
}

static void fail_next(struct contract *c, enum os_mem_call call, int negative_errno)
{
    os_mem_fail(c->os, 1u << call, 1, 1, negative_errno);
}

/* ---- Crash: data ----------------------------------------------------------------------------- */

static void unsynced_data_is_gone(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    write_at(c, file, 0, "new and longer");
    close_and_crash(c, file);
    expect_text(c, "f", "old");
}

static void synced_data_is_kept(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    write_at(c, file, 0, "new and longer");
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "new and longer");
    crash(c);
    expect_text(c, "f", "new and longer");
}

static void never_synced_file_with_a_synced_name_is_empty(void **state)
{
    struct contract *c = *state;
    make_file(c, "f", "text");
    sync_names(c);
    crash(c);
    expect_text(c, "f", "");
}

static void size_can_be_durable_without_data(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "");
    assert_int_equal(c->os->allocate(c->os, file, 0, 8), 0);
    sync_file(c, file);
    write_at(c, file, 2, "data");
    close_and_crash(c, file);
    file = open_file(c, "f", OS_READ);
    expect_bytes(c, file, 0, "\0\0\0\0\0\0\0\0", 8);
    close_file(c, file);
}

static void unsynced_truncation_is_undone(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "long text");
    assert_int_equal(c->os->truncate(c->os, file, 2), 0);
    close_and_crash(c, file);
    expect_text(c, "f", "long text");
}

static void synced_truncation_is_kept_and_leaves_no_old_bytes(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "long text");
    assert_int_equal(c->os->truncate(c->os, file, 2), 0);
    sync_file(c, file);
    assert_int_equal(c->os->truncate(c->os, file, 4), 0);
    sync_file(c, file);
    close_and_crash(c, file);
    file = open_file(c, "f", OS_READ);
    expect_bytes(c, file, 0, "lo\0", 4);
    close_file(c, file);
}

static void cut_and_regrown_bytes_are_durable_zeros(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "long text");
    assert_int_equal(c->os->truncate(c->os, file, 2), 0);
    assert_int_equal(c->os->truncate(c->os, file, 9), 0);
    sync_file(c, file);
    close_and_crash(c, file);
    file = open_file(c, "f", OS_READ);
    expect_bytes(c, file, 0, "lo\0\0\0\0\0\0", 9);
    close_file(c, file);
}

static void dsync_makes_its_own_bytes_durable_and_no_others(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "");
    write_at(c, file, 0, "dirty");
    assert_int_equal(c->os->pwrite(c->os, file, "sync", 4, 5, OS_DSYNC), 0);
    write_at(c, file, 9, "dirty");
    close_and_crash(c, file);
    file = open_file(c, "f", OS_READ);
    expect_bytes(c, file, 0, "\0\0\0\0\0sync", 9);
    close_file(c, file);
}

static void sync_behind_a_dsync_makes_the_rest_durable(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "");
    write_at(c, file, 0, "dirty");
    assert_int_equal(c->os->pwrite(c->os, file, "sync", 4, 5, OS_DSYNC), 0);
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "dirtysync");
}

static void stores_into_a_map_are_ordinary_writes(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "......");
    char *memory = map_file(c, file, 6, true);
    memcpy(memory, "ab", 2);
    sync_file(c, file);
    memcpy(memory + 2, "cd", 2);
    sync_file(c, file);
    memcpy(memory + 4, "ef", 2);
    c->os->unmap(c->os, memory, 6);
    close_and_crash(c, file);
    expect_text(c, "f", "abcd..");
}

static void stores_before_unmap_are_caught_by_a_later_sync(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "......");
    char *first = map_file(c, file, 6, true);
    char *second = map_file(c, file, 6, false);
    first[0] = 'a';
    c->os->unmap(c->os, second, 6);
    sync_file(c, file);
    first[1] = 'b';
    c->os->unmap(c->os, first, 6);
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "ab....");
}

/* ---- Crash: names ---------------------------------------------------------------------------- */

static void file_with_an_unsynced_name_is_gone(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "synced");
    sync_file(c, file);
    close_and_crash(c, file);
    expect_missing(c, "f");
}

static void unsynced_rename_is_undone(void **state)
{
    struct contract *c = *state;
    make_durable_file(c, "MANIFEST", "old");
    make_durable_file(c, "MANIFEST.tmp", "new");
    rename_file(c, "MANIFEST.tmp", "MANIFEST");
    expect_text(c, "MANIFEST", "new");
    crash(c);
    expect_text(c, "MANIFEST", "old");
    expect_text(c, "MANIFEST.tmp", "new");
}

static void synced_rename_is_kept(void **state)
{
    struct contract *c = *state;
    make_durable_file(c, "MANIFEST", "old");
    make_durable_file(c, "MANIFEST.tmp", "new");
    rename_file(c, "MANIFEST.tmp", "MANIFEST");
    sync_names(c);
    crash(c);
    expect_text(c, "MANIFEST", "new");
    expect_missing(c, "MANIFEST.tmp");
}

static void renamed_but_unsynced_data_is_empty(void **state)
{
    struct contract *c = *state;
    make_durable_file(c, "MANIFEST", "old");
    make_file(c, "MANIFEST.tmp", "new");
    rename_file(c, "MANIFEST.tmp", "MANIFEST");
    sync_names(c);
    crash(c);
    expect_text(c, "MANIFEST", "");
}

static void unsynced_unlink_is_undone(void **state)
{
    struct contract *c = *state;
    make_durable_file(c, "f", "text");
    unlink_file(c, "f");
    expect_missing(c, "f");
    crash(c);
    expect_text(c, "f", "text");
    unlink_file(c, "f");
    sync_names(c);
    crash(c);
    expect_missing(c, "f");
}

static void name_taken_again_brings_back_the_first_file(void **state)
{
    struct contract *c = *state;
    make_durable_file(c, "f", "first");
    unlink_file(c, "f");
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "second");
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "first");
}

static void move_needs_both_directories_synced(void **state)
{
    struct contract *c = *state;
    assert_int_equal(c->os->make_dir(c->os, at(c, "quarantine")), 0);
    make_durable_file(c, "a", "a");
    make_durable_file(c, "b", "b");
    rename_file(c, "a", "quarantine/a");
    sync_names(c); /* the source only: gone from both */
    rename_file(c, "b", "quarantine/b");
    crash(c);
    expect_missing(c, "a");
    expect_missing(c, "quarantine/a");
    rename_file(c, "b", "quarantine/b");
    assert_int_equal(c->os->sync_dir(c->os, at(c, "quarantine")), 0);
    crash(c); /* the target only: there twice */
    expect_text(c, "b", "b");
    expect_text(c, "quarantine/b", "b");
}

static void unsynced_directory_is_gone_with_its_files(void **state)
{
    struct contract *c = *state;
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    assert_int_equal(c->os->make_dir(c->os, at(c, "d/e")), 0);
    make_durable_file(c, "d/e/f", "text");
    assert_int_equal(c->os->sync_dir(c->os, at(c, "d/e")), 0);
    assert_int_equal(c->os->sync_dir(c->os, at(c, "d")), 0);
    crash(c); /* sync_names has synced d's name with the store */
    expect_text(c, "d/e/f", "text");
    assert_int_equal(c->os->make_dir(c->os, at(c, "x")), 0);
    make_file(c, "x/f", "text");
    assert_int_equal(c->os->sync_dir(c->os, at(c, "x")), 0);
    crash(c);
    expect_missing(c, "x");
}

static void unsynced_removal_of_a_directory_is_undone(void **state)
{
    struct contract *c = *state;
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    make_durable_file(c, "d/f", "text");
    assert_int_equal(c->os->sync_dir(c->os, at(c, "d")), 0);
    unlink_file(c, "d/f");
    assert_int_equal(c->os->remove_dir(c->os, at(c, "d")), 0);
    expect_missing(c, "d");
    crash(c);
    expect_text(c, "d/f", "text");
    unlink_file(c, "d/f");
    assert_int_equal(c->os->remove_dir(c->os, at(c, "d")), 0);
    sync_names(c);
    crash(c);
    expect_missing(c, "d");
}

static void durable_link_is_kept(void **state)
{
    struct contract *c = *state;
    make_durable_file(c, "a", "text");
    assert_int_equal(c->os->link(c->os, at(c, "a"), at(c, "b")), 0);
    sync_names(c);
    unlink_file(c, "a");
    sync_names(c);
    crash(c);
    expect_missing(c, "a");
    expect_text(c, "b", "text");
}

/* ---- Handles of before ----------------------------------------------------------------------- */

static void handles_of_before_a_crash_are_dead(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "text");
    struct os_lock *lock = take_lock(c, true);
    char *memory = map_file(c, file, 4, true);
    char byte;
    crash(c);
    assert_int_equal(os_mem_open_files(c->os), 0);
    assert_int_equal(os_mem_live_maps(c->os), 0);
    assert_int_equal(c->os->pread(c->os, file, &byte, 1, 0), -EIO);
    assert_int_equal(c->os->pwrite(c->os, file, "x", 1, 0, 0), -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    assert_int_equal(try_lock(c, true), 0);
    memcpy(memory, "dead", 4); /* the memory is there, but no file's */
    expect_text(c, "f", "text");
    close_file(c, file);
    c->os->unmap(c->os, memory, 4);
    c->os->unlock(c->os, lock);
    expect_text(c, "f", "text");
}

static void kill_ends_handles_and_keeps_what_was_written(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    struct os_lock *lock = take_lock(c, true);
    write_at(c, file, 0, "text");
    char *memory = map_file(c, file, 4, true);
    memory[0] = 'T';
    os_mem_kill(c->os);
    memory[1] = 'E'; /* nobody runs who could */
    assert_int_equal(c->os->pwrite(c->os, file, "x", 1, 0, 0), -EIO);
    assert_int_equal(try_lock(c, true), 0);
    expect_text(c, "f", "Text");
    c->os->unmap(c->os, memory, 4);
    close_file(c, file);
    c->os->unlock(c->os, lock);
    sync_names(c); /* stores of before the kill are still to be synced */
    file = open_file(c, "f", OS_WRITE);
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "Text");
}

static void kill_frees_a_file_that_only_a_handle_kept(void **state)
{
    struct contract *c = *state;
    os_mem_set_capacity(c->os, 100);
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->allocate(c->os, file, 0, 100), 0);
    unlink_file(c, "f");
    os_mem_kill(c->os);
    make_file(c, "g", "room");
    close_file(c, file);
}

/* ---- Failing calls --------------------------------------------------------------------------- */

static void failed_sync_lies_the_second_time(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    write_at(c, file, 0, "NEW");
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    expect_bytes(c, file, 0, "NEW", 3);
    sync_file(c, file); /* success, and nothing behind it */
    write_at(c, file, 3, " and more");
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "old and more");
}

static void bytes_written_again_after_a_failed_sync_become_durable(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    write_at(c, file, 0, "NEW");
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    write_at(c, file, 0, "NEW");
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "NEW");
}

static void failed_sync_loses_the_size_too(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    write_at(c, file, 3, " lost");
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", "old");
}

static void failed_sync_loses_stores_into_a_map(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "......");
    char *memory = map_file(c, file, 6, true);
    memory[0] = 'a';
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    memory[1] = 'b';
    sync_file(c, file);
    c->os->unmap(c->os, memory, 6);
    close_and_crash(c, file);
    expect_text(c, "f", ".b....");
}

static void eviction_after_a_failed_sync_shows_the_device(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    write_at(c, file, 0, "NEW!");
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    write_at(c, file, 0, "N"); /* dirty again, if the same: not evicted */
    char *memory = map_file(c, file, 4, true);
    memory[1] = 'i'; /* dirty again */
    c->os->unmap(c->os, memory, 4);
    assert_int_equal(c->os->drop_cache(c->os, file, 0, 0), 0);
    expect_bytes(c, file, 0, "Nid", 4);
    close_file(c, file);
}

static void store_behind_a_lost_size_brings_the_size_back(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "");
    char *memory = map_file(c, file, 6, true);
    assert_int_equal(c->os->allocate(c->os, file, 0, 6), 0);
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    memory[1] = 'b';
    sync_file(c, file);
    c->os->unmap(c->os, memory, 6);
    close_and_crash(c, file);
    file = open_file(c, "f", OS_READ);
    expect_bytes(c, file, 0, "\0b", 2);
    close_file(c, file);
}

static void dsync_after_a_failed_sync_is_remembered(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    write_at(c, file, 0, "NEW");
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    assert_int_equal(c->os->pwrite(c->os, file, "X", 1, 0, OS_DSYNC), 0);
    char *memory = map_file(c, file, 3, true);
    memory[0] = 'N'; /* as the failed sync had it, but not what is there now */
    sync_file(c, file);
    c->os->unmap(c->os, memory, 3);
    close_and_crash(c, file);
    expect_text(c, "f", "Nld");
}

static void mapped_pages_are_not_evicted(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    char *memory = map_file(c, file, 3, true);
    memcpy(memory, "NEW", 3);
    fail_next(c, OS_CALL_SYNC, -EIO);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    assert_int_equal(c->os->drop_cache(c->os, file, 0, 0), 0);
    assert_memory_equal(memory, "NEW", 3);
    c->os->unmap(c->os, memory, 3);
    assert_int_equal(c->os->drop_cache(c->os, file, 0, 0), 0);
    expect_bytes(c, file, 0, "old", 3);
    close_file(c, file);
}

static void failed_pwrite_has_written_half(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "......");
    fail_next(c, OS_CALL_PWRITE, -EIO);
    assert_int_equal(c->os->pwrite(c->os, file, "abcd", 4, 1, 0), -EIO);
    expect_bytes(c, file, 0, ".ab...", 6);
    fail_next(c, OS_CALL_PWRITE, -EIO);
    assert_int_equal(c->os->pwrite(c->os, file, "x", 1, 100, 0), -EIO);
    assert_int_equal(size_of(c, file), 6);
    sync_file(c, file);
    close_and_crash(c, file);
    expect_text(c, "f", ".ab...");
}

static void failed_dsync_loses_what_it_wrote(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "......");
    fail_next(c, OS_CALL_PWRITE, -EIO);
    assert_int_equal(c->os->pwrite(c->os, file, "abcd", 4, 4, OS_DSYNC), -EIO);
    expect_bytes(c, file, 0, "....ab", 6);
    char *memory = map_file(c, file, 6, true); /* lost for stores into a map as well */
    memory[0] = '!';
    sync_file(c, file);
    c->os->unmap(c->os, memory, 6);
    close_and_crash(c, file);
    expect_text(c, "f", "!.....");
}

static void failed_close_closes(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    fail_next(c, OS_CALL_CLOSE, -EIO);
    assert_int_equal(c->os->close(c->os, file), -EIO);
    assert_int_equal(os_mem_open_files(c->os), 0);
}

/* Do one call of the kind that succeeds unless it is made to fail; its result. */
static int do_call(struct contract *c, enum os_mem_call call)
{
    struct os *os = c->os;
    struct os_file *file = open_file(c, "f", OS_WRITE);
    struct os_stat stat;
    struct os_lock *lock;
    void *memory = NULL;
    char names[100] = "";
    int result = 0;
    switch (call) {
    case OS_CALL_OPEN:
        result = try_open(c, "f", OS_READ);
        break;
    case OS_CALL_CLOSE:
        return os->close(os, file);
    case OS_CALL_PREAD:
        result = (int)os->pread(os, file, names, 0, 0);
        break;
    case OS_CALL_PWRITE:
        result = os->pwrite(os, file, "x", 1, 0, 0);
        break;
    case OS_CALL_ALLOCATE:
        result = os->allocate(os, file, 0, 10);
        break;
    case OS_CALL_TRUNCATE:
        result = os->truncate(os, file, 10);
        break;
    case OS_CALL_SYNC:
        result = os->sync(os, file);
        break;
    case OS_CALL_MAP:
        result = os->map(os, file, 10, true, &memory);
        if (result == 0)
            os->unmap(os, memory, 10);
        break;
    case OS_CALL_RENAME:
        result = os->rename(os, at(c, "f"), at(c, "f"));
        break;
    case OS_CALL_LINK:
        result = os->link(os, at(c, "f"), at(c, "g"));
        break;
    case OS_CALL_UNLINK:
        os_mem_write_file(os, at(c, "g"), "", 0);
        result = os->unlink(os, at(c, "g"));
        break;
    case OS_CALL_SYNC_DIR:
        result = os->sync_dir(os, c->directory);
        break;
    case OS_CALL_LIST:
        result = os->list(os, c->directory, note_name, names);
        break;
    case OS_CALL_STAT:
        result = os->stat(os, at(c, "f"), &stat);
        break;
    case OS_CALL_MAKE_DIR:
        result = os->make_dir(os, at(c, "d"));
        break;
    case OS_CALL_LOCK:
        result = os->lock(os, c->directory, true, &lock);
        if (result == 0)
            os->unlock(os, lock);
        break;
    case OS_CALL_RANDOM:
        result = os->random(os, names, 8);
        break;
    case OS_CALL_ALLOC:
        memory = os->alloc(os, 8, 8);
        result = memory ? 0 : -ENOMEM;
        os->free(os, memory, 8);
        break;
    case OS_CALL_COUNT:
        break;
    }
    close_file(c, file);
    return result;
}

/* What do_call leaves behind that would make the next one fail. */
static void undo_call(struct contract *c)
{
    c->os->unlink(c->os, at(c, "g"));
    c->os->remove_dir(c->os, at(c, "d"));
}

static void every_kind_of_call_fails_when_told(void **state)
{
    struct contract *c = *state;
    os_mem_write_file(c->os, at(c, "f"), "", 0);
    for (int call = 0; call < OS_CALL_COUNT; call++) {
        uint64_t nth = call == OS_CALL_OPEN ? 2 : 1; /* do_call opens a file first */
        uint64_t before = os_mem_calls(c->os, 1u << call);
        assert_int_equal(do_call(c, call), 0);
        undo_call(c);
        os_mem_fail(c->os, 1u << call, nth, 1, -ENOMEM);
        assert_int_equal(do_call(c, call), -ENOMEM);
        undo_call(c);
        assert_int_equal(do_call(c, call), 0);
        undo_call(c);
        assert_true(os_mem_calls(c->os, 1u << call) >= before + 3);
    }
}

static void failures_are_counted_down_and_repeated(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    const int expected[] = {0, 0, -EIO, -EIO, 0, 0};
    os_mem_fail(c->os, 1u << OS_CALL_SYNC | 1u << OS_CALL_PWRITE, 3, 2, -EIO);
    for (size_t i = 0; i < 6; i++) {
        int result =
            i % 2 == 0 ? c->os->sync(c->os, file) : c->os->pwrite(c->os, file, "x", 1, 0, 0);
        assert_int_equal(result, expected[i]);
    }
    assert_int_equal(os_mem_calls(c->os, 1u << OS_CALL_SYNC), 3);
    assert_int_equal(os_mem_calls(c->os, 1u << OS_CALL_SYNC | 1u << OS_CALL_PWRITE), 6);
    close_file(c, file);
}

static void failures_can_last(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    os_mem_fail(c->os, 1u << OS_CALL_SYNC, 1, UINT64_MAX, -ENOSPC);
    for (int i = 0; i < 10; i++)
        assert_int_equal(c->os->sync(c->os, file), -ENOSPC);
    os_mem_fail(c->os, 0, 0, 0, 0);
    sync_file(c, file);
    close_file(c, file);
}

/* ---- Hook ------------------------------------------------------------------------------------ */

struct countdown {
    struct os *os;
    int left;
    enum os_mem_call last;
};

static int count_down(void *context, enum os_mem_call call)
{
    struct countdown *countdown = context;
    countdown->last = call;
    assert_true(os_mem_calls(countdown->os, 1u << call) > 0); /* the os may be asked */
    return --countdown->left == 0;
}

static void hook_stops_everything_until_the_crash(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    struct countdown countdown = {c->os, 2, OS_CALL_COUNT};
    os_mem_hook(c->os, 1u << OS_CALL_PWRITE | 1u << OS_CALL_SYNC, count_down, &countdown);
    write_at(c, file, 0, "new");
    assert_int_equal(countdown.last, OS_CALL_PWRITE);
    assert_int_equal(c->os->sync(c->os, file), -EIO);
    assert_int_equal(countdown.last, OS_CALL_SYNC);
    assert_int_equal(c->os->pwrite(c->os, file, "xxx", 3, 0, 0), -EIO);
    assert_int_equal(try_open(c, "f", OS_READ), -EIO);
    assert_int_equal(countdown.left, 0); /* not asked again */
    char bytes[3];
    assert_int_equal(os_mem_read_file(c->os, at(c, "f"), bytes, 3), 3);
    assert_memory_equal(bytes, "new", 3); /* the calls had no effect */
    void *memory = c->os->alloc(c->os, 8, 8);
    assert_non_null(memory); /* the process goes on */
    c->os->free(c->os, memory, 8);
    assert_int_equal(c->os->close(c->os, file), -EIO);
    os_mem_hook(c->os, 0, NULL, NULL);
    crash(c);
    expect_text(c, "f", "old");
}

static int crash_in_hook(void *context, enum os_mem_call call)
{
    (void)call;
    os_mem_hook(context, 0, NULL, NULL);
    os_mem_crash(context);
    return 0;
}

static void hook_may_crash_the_disk_itself(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "old");
    os_mem_hook(c->os, 1u << OS_CALL_PWRITE, crash_in_hook, c->os);
    assert_int_equal(c->os->pwrite(c->os, file, "new", 3, 0, 0), -EIO);
    close_file(c, file);
    expect_text(c, "f", "old");
}

/* ---- Room ------------------------------------------------------------------------------------ */

static void full_disk_takes_what_fits(void **state)
{
    struct contract *c = *state;
    uint64_t room;
    os_mem_set_capacity(c->os, 10);
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, "12345678");
    assert_int_equal(c->os->pwrite(c->os, file, "abcd", 4, 8, 0), -ENOSPC);
    expect_bytes(c, file, 0, "12345678ab", 10);
    assert_int_equal(c->os->pwrite(c->os, file, "abcd", 4, 20, 0), -ENOSPC);
    assert_int_equal(c->os->allocate(c->os, file, 0, 11), -ENOSPC);
    assert_int_equal(size_of(c, file), 10);
    write_at(c, file, 0, "overwrite!");
    assert_int_equal(c->os->free_space(c->os, c->directory, &room), 0);
    assert_int_equal(room, 0);
    os_mem_set_capacity(c->os, 12);
    assert_int_equal(c->os->allocate(c->os, file, 10, 2), 0);
    close_file(c, file);
}

static void room_comes_back_when_nothing_holds_the_file(void **state)
{
    struct contract *c = *state;
    os_mem_set_capacity(c->os, 10);
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->allocate(c->os, file, 0, 10), 0);
    char *memory = map_file(c, file, 10, true);
    struct os_file *other = create_file(c, "g");
    sync_names(c);
    unlink_file(c, "f");
    assert_int_equal(c->os->allocate(c->os, other, 0, 1), -ENOSPC);
    close_file(c, file);
    assert_int_equal(c->os->allocate(c->os, other, 0, 1), -ENOSPC);
    c->os->unmap(c->os, memory, 10);
    assert_int_equal(c->os->allocate(c->os, other, 0, 10), 0);
    close_file(c, other);
}

static void room_is_counted_anew_after_a_crash(void **state)
{
    struct contract *c = *state;
    uint64_t room;
    os_mem_set_capacity(c->os, 10);
    struct os_file *file = durable_file(c, "f", "1234");
    write_at(c, file, 4, "unsync");
    close_and_crash(c, file);
    assert_int_equal(c->os->free_space(c->os, c->directory, &room), 0);
    assert_int_equal(room, 6);
}

static void root_cannot_be_removed_or_renamed(void **state)
{
    (void)state;
    struct os *os = os_mem_new(&(struct os_mem_options){.seed = 1});
    assert_int_equal(os->remove_dir(os, "."), -EBUSY);
    assert_int_equal(os->rename(os, "/", "x"), -EBUSY);
    assert_int_equal(os->make_dir(os, "/"), -EEXIST);
    os_mem_free(os);
}

static void mapped_bytes_never_move(void **state)
{
    struct contract *c = *state;
    const uint64_t mapped = 8 << 20, limit = 4 * mapped;
    struct os_file *file = create_file(c, "f");
    char *memory = map_file(c, file, mapped, true);
    assert_int_equal(c->os->allocate(c->os, file, 0, limit), 0);
    assert_int_equal(c->os->allocate(c->os, file, 0, limit + 1), -ENOMEM);
    memory[0] = 'a';
    char byte;
    assert_int_equal(c->os->pread(c->os, file, &byte, 1, 0), 1);
    assert_int_equal(byte, 'a');
    c->os->unmap(c->os, memory, mapped);
    assert_int_equal(c->os->allocate(c->os, file, 0, limit + 1), 0);
    close_file(c, file);
}

/* ---- Direct access, counters, clocks --------------------------------------------------------- */

static void write_file_is_durable_at_once(void **state)
{
    struct contract *c = *state;
    assert_int_equal(os_mem_write_file(c->os, at(c, "f"), "first text", 10), 0);
    assert_int_equal(os_mem_write_file(c->os, at(c, "f"), "second", 6), 0);
    assert_int_equal(os_mem_write_file(c->os, at(c, "no/f"), "x", 1), -ENOENT);
    assert_int_equal(os_mem_write_file(c->os, c->directory, "x", 1), -EISDIR);
    crash(c);
    expect_text(c, "f", "second");
    assert_int_equal(os_mem_read_file(c->os, at(c, "f"), NULL, 0), 6);
    assert_int_equal(os_mem_read_file(c->os, at(c, "missing"), NULL, 0), -ENOENT);
}

static void write_file_shows_in_a_mapping(void **state)
{
    struct contract *c = *state;
    struct os_file *file = durable_file(c, "f", "sound");
    char *memory = map_file(c, file, 5, false);
    assert_int_equal(os_mem_write_file(c->os, at(c, "f"), "s?und", 5), 0);
    assert_memory_equal(memory, "s?und", 5);
    c->os->unmap(c->os, memory, 5);
    close_file(c, file);
}

static void counters_find_leaks(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    char *memory = map_file(c, file, 10, true);
    void *block = c->os->alloc(c->os, 100, 64);
    assert_int_equal(os_mem_open_files(c->os), 1);
    assert_int_equal(os_mem_live_maps(c->os), 1);
    assert_int_equal(os_mem_live_bytes(c->os), 100);
    c->os->free(c->os, block, 100);
    c->os->unmap(c->os, memory, 10);
    close_file(c, file);
    assert_int_equal(os_mem_open_files(c->os), 0);
    assert_int_equal(os_mem_live_maps(c->os), 0);
    assert_int_equal(os_mem_live_bytes(c->os), 0);
}

static void free_of_the_os_frees_what_was_left_open(void **state)
{
    (void)state;
    struct contract c = {.directory = "."};
    c.os = os_mem_new(&(struct os_mem_options){.durable_images = true});
    struct os_file *file = create_file(&c, "f");
    write_at(&c, file, 0, "text");
    map_file(&c, file, 100, true);
    take_lock(&c, false);
    create_file(&c, "g");
    unlink_file(&c, "g");
    os_mem_free(c.os); /* LeakSanitizer looks on */
    os_mem_free(NULL);
}

static void runs_with_one_seed_are_the_same(void **state)
{
    struct contract *c = *state;
    uint64_t mine, same, other;
    struct os *twin = os_mem_new(&(struct os_mem_options){.seed = 7});
    struct os *stranger = os_mem_new(&(struct os_mem_options){.seed = 8});
    assert_int_equal(c->os->random(c->os, &mine, sizeof(mine)), 0);
    assert_int_equal(twin->random(twin, &same, sizeof(same)), 0);
    assert_int_equal(stranger->random(stranger, &other, sizeof(other)), 0);
    assert_true(mine == same);
    assert_true(mine != other);
    assert_true(twin->clock_real(twin) == stranger->clock_real(stranger));
    os_mem_free(twin);
    os_mem_free(stranger);
}

static void clocks_stand_still_but_for_their_readings(void **state)
{
    struct contract *c = *state;
    uint64_t real = c->os->clock_real(c->os);
    uint64_t boot = c->os->clock_boot(c->os);
    assert_true(c->os->clock_coarse(c->os) == real + 1);
    assert_true(c->os->clock_boot(c->os) == boot + 1); /* they agree */
    os_mem_advance_clock(c->os, 1000);
    assert_true(c->os->clock_real(c->os) == real + 1002);
    assert_true(c->os->clock_boot(c->os) == boot + 1002);
    os_mem_step_real_clock(c->os, -5000);
    assert_true(c->os->clock_real(c->os) == real + 1003 - 5000);
    assert_true(c->os->clock_boot(c->os) == boot + 1003);
}

static void real_clock_can_be_moved_as_well(void **state)
{
    struct contract *c = *state;
    const int64_t year_us = (int64_t)365 * 24 * 3600 * 1000000;
    uint64_t real = os_posix()->clock_real(os_posix());
    uint64_t boot = os_posix()->clock_boot(os_posix());
    os_mem_advance_clock(c->os, 2 * year_us);
    os_mem_step_real_clock(c->os, -year_us);
    assert_true(c->os->clock_real(c->os) >= real + (uint64_t)year_us);
    assert_true(c->os->clock_real(c->os) < real + 2 * (uint64_t)year_us);
    assert_true(c->os->clock_boot(c->os) >= boot + 2 * (uint64_t)year_us);
}

static void traits_say_what_was_asked_for(void **state)
{
    struct contract *c = *state;
    struct os_traits traits;
    struct os *plain = os_mem_new(&(struct os_mem_options){.no_mapped_writes = true});
    assert_int_equal(c->os->traits(c->os, c->directory, &traits), 0);
    assert_true(traits.mapped_writes);
    assert_int_equal(plain->traits(plain, ".", &traits), 0);
    assert_false(traits.mapped_writes);
    os_mem_free(plain);
}

/* ---- Threads --------------------------------------------------------------------------------- */

struct worker {
    struct contract *c;
    pthread_t thread;
    char path[300];
    bool good;
};

static bool work_once(struct os *os, const char *path)
{
    struct os_file *file;
    char have[5] = "";
    void *memory;
    if (os->open(os, path, OS_WRITE | OS_CREATE, &file) != 0)
        return false;
    bool good = os->allocate(os, file, 0, 8192) == 0;
    good &= os->map(os, file, 8192, true, &memory) == 0;
    memcpy((char *)memory + 4000, "bytes", 5);
    good &= os->sync(os, file) == 0;
    good &= os->pread(os, file, have, 5, 4000) == 5 && memcmp(have, "bytes", 5) == 0;
    os->unmap(os, memory, 8192);
    good &= os->close(os, file) == 0;
    return good & (os->unlink(os, path) == 0);
}

static void *work(void *context)
{
    struct worker *worker = context;
    worker->good = true;
    for (int i = 0; i < 200; i++)
        worker->good &= work_once(worker->c->os, worker->path);
    return NULL;
}

static void threads_work_on_files_of_their_own(void **state)
{
    struct contract *c = *state;
    struct worker workers[4];
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.c = c};
        snprintf(workers[i].path, sizeof(workers[i].path), "%s/f%d", c->directory, i);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_true(workers[i].good);
    }
}

struct storer {
    char *memory;
    size_t size;
    _Atomic size_t stored;
};

static void *store_all(void *context)
{
    struct storer *storer = context;
    for (size_t i = 0; i < storer->size; i++) {
        storer->memory[i] = 's';
        atomic_store(&storer->stored, i + 1);
    }
    return NULL;
}

/* What was stored before a sync began is durable; what is stored meanwhile may be. */
static void sync_runs_beside_stores_into_the_map(void **state)
{
    struct contract *c = *state;
    struct storer storer = {.size = 50000};
    struct os_file *file = durable_file(c, "f", "");
    assert_int_equal(c->os->allocate(c->os, file, 0, storer.size), 0);
    storer.memory = map_file(c, file, storer.size, true);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, store_all, &storer), 0);
    size_t stored;
    do {
        stored = atomic_load(&storer.stored);
        sync_file(c, file);
    } while (stored < storer.size / 2);
    pthread_join(thread, NULL);
    c->os->unmap(c->os, storer.memory, storer.size);
    close_and_crash(c, file);
    char *have = malloc(storer.size);
    assert_int_equal(os_mem_read_file(c->os, at(c, "f"), have, storer.size), storer.size);
    for (size_t i = 0; i < stored; i++)
        assert_int_equal(have[i], 's');
    free(have);
}

#define LEAN_TEST(name) cmocka_unit_test_setup_teardown(name, lean_setup, contract_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TESTS,
        CONTRACT_TEST(unsynced_data_is_gone),
        CONTRACT_TEST(synced_data_is_kept),
        CONTRACT_TEST(never_synced_file_with_a_synced_name_is_empty),
        CONTRACT_TEST(size_can_be_durable_without_data),
        CONTRACT_TEST(unsynced_truncation_is_undone),
        CONTRACT_TEST(synced_truncation_is_kept_and_leaves_no_old_bytes),
        CONTRACT_TEST(cut_and_regrown_bytes_are_durable_zeros),
        CONTRACT_TEST(dsync_makes_its_own_bytes_durable_and_no_others),
        CONTRACT_TEST(sync_behind_a_dsync_makes_the_rest_durable),
        CONTRACT_TEST(stores_into_a_map_are_ordinary_writes),
        CONTRACT_TEST(stores_before_unmap_are_caught_by_a_later_sync),
        CONTRACT_TEST(file_with_an_unsynced_name_is_gone),
        CONTRACT_TEST(unsynced_rename_is_undone),
        CONTRACT_TEST(synced_rename_is_kept),
        CONTRACT_TEST(renamed_but_unsynced_data_is_empty),
        CONTRACT_TEST(unsynced_unlink_is_undone),
        CONTRACT_TEST(name_taken_again_brings_back_the_first_file),
        CONTRACT_TEST(move_needs_both_directories_synced),
        CONTRACT_TEST(unsynced_directory_is_gone_with_its_files),
        CONTRACT_TEST(unsynced_removal_of_a_directory_is_undone),
        CONTRACT_TEST(durable_link_is_kept),
        CONTRACT_TEST(handles_of_before_a_crash_are_dead),
        CONTRACT_TEST(kill_ends_handles_and_keeps_what_was_written),
        CONTRACT_TEST(kill_frees_a_file_that_only_a_handle_kept),
        CONTRACT_TEST(failed_sync_lies_the_second_time),
        CONTRACT_TEST(bytes_written_again_after_a_failed_sync_become_durable),
        CONTRACT_TEST(failed_sync_loses_the_size_too),
        CONTRACT_TEST(failed_sync_loses_stores_into_a_map),
        CONTRACT_TEST(eviction_after_a_failed_sync_shows_the_device),
        CONTRACT_TEST(store_behind_a_lost_size_brings_the_size_back),
        CONTRACT_TEST(dsync_after_a_failed_sync_is_remembered),
        CONTRACT_TEST(mapped_pages_are_not_evicted),
        CONTRACT_TEST(failed_pwrite_has_written_half),
        CONTRACT_TEST(failed_dsync_loses_what_it_wrote),
        CONTRACT_TEST(failed_close_closes),
        CONTRACT_TEST(every_kind_of_call_fails_when_told),
        CONTRACT_TEST(failures_are_counted_down_and_repeated),
        CONTRACT_TEST(failures_can_last),
        CONTRACT_TEST(hook_stops_everything_until_the_crash),
        CONTRACT_TEST(hook_may_crash_the_disk_itself),
        CONTRACT_TEST(full_disk_takes_what_fits),
        CONTRACT_TEST(room_comes_back_when_nothing_holds_the_file),
        CONTRACT_TEST(room_is_counted_anew_after_a_crash),
        cmocka_unit_test(root_cannot_be_removed_or_renamed),
        CONTRACT_TEST(mapped_bytes_never_move),
        CONTRACT_TEST(write_file_is_durable_at_once),
        CONTRACT_TEST(write_file_shows_in_a_mapping),
        CONTRACT_TEST(counters_find_leaks),
        cmocka_unit_test(free_of_the_os_frees_what_was_left_open),
        CONTRACT_TEST(runs_with_one_seed_are_the_same),
        CONTRACT_TEST(clocks_stand_still_but_for_their_readings),
        LEAN_TEST(real_clock_can_be_moved_as_well),
        CONTRACT_TEST(traits_say_what_was_asked_for),
        CONTRACT_TEST(threads_work_on_files_of_their_own),
        LEAN_TEST(threads_work_on_files_of_their_own),
        CONTRACT_TEST(sync_runs_beside_stores_into_the_map),
        LEAN_TEST(map_survives_close_and_unlink),
        LEAN_TEST(truncation_shows_in_the_map),
        LEAN_TEST(random_bytes_differ),
        LEAN_TEST(clocks_tell_a_time_after_2020),
        LEAN_TEST(facts_for_messages),
        LEAN_TEST(rename_replaces_and_old_handles_keep_the_old_file),
        LEAN_TEST(unlinked_file_lives_while_it_is_open),
    };
    return cmocka_run_group_tests_name("os_mem", tests, NULL, NULL);
}
