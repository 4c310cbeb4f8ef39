/* SPDX-License-Identifier: MIT
 * sync_mark_test.c: what a recovery serves is what is durable (R1), whether it believes the page
 * cache or not; and it believes it wherever no sync can have failed.
 *
 * The memory os fails as ext4, xfs and btrfs do: what a failed sync should have written stays
 * visible, is lost, and the next sync answers "success". Dropping the cache shows what is there. */
#include "engine/sync_mark.h"

#include <errno.h>

#include "format/names.h"
#include "support/write_fixture.h"

/* ---- Verbs ---------------------------------------------------------------------------------- */

static struct calls {
    int (*sync)(struct os *os, struct os_file *file);
    int (*drop_cache)(struct os *os, struct os_file *file, uint64_t offset, uint64_t size);
    int (*traits)(struct os *os, const char *path, struct os_traits *traits);
    int drops;
    bool kills;   /* a sync that fails is the last that the process does */
    bool forgets; /* syncs do not tell all */
} calls;

static int count_drop(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    calls.drops++;
    return calls.drop_cache(os, file, offset, size);
}

static int is_dead(void *context, enum os_mem_call call)
{
    (void)context, (void)call;
    return 1;
}

/* What the process stores from then on goes nowhere, and what it calls fails. */
static int sync_and_die(struct os *os, struct os_file *file)
{
    int result = calls.sync(os, file);
    if (result != 0 && calls.kills) {
        os_mem_kill(os);
        os_mem_hook(os, UINT32_MAX, is_dead, NULL);
    }
    return result;
}

static int traits(struct os *os, const char *path, struct os_traits *traits)
{
    int result = calls.traits(os, path, traits);
    traits->sync_tells_all &= !calls.forgets;
    return result;
}

static void watch(struct fixture *f)
{
    calls = (struct calls){
        .sync = f->os->sync, .drop_cache = f->os->drop_cache, .traits = f->os->traits};
    f->os->sync = sync_and_die;
    f->os->drop_cache = count_drop;
    f->os->traits = traits;
}

static void init(struct fixture *f)
{
    fixture_init(f);
    watch(f);
    open_store(f);
    put_durably(f, "durable", "1");
    put(f, "visible", "2");
}

static void fail_next_sync(struct fixture *f)
{
    os_mem_fail(f->os, SYNC_CALLS, 1, 1, -EIO);
}

static void heal(struct fixture *f)
{
    os_mem_fail(f->os, 0, 0, 1, -EIO);
}

/* What is served stays: a power cut takes nothing of it. */
static void check_that_all_is_durable(struct fixture *f)
{
    char *served = dump_store(f);
    crash(f);
    open_store(f);
    char *kept = dump_store(f);
    assert_string_equal(served, kept);
    free(served);
    free(kept);
}

/* ---- What is believed ----------------------------------------------------------------------- */

static void the_cache_of_a_killed_process_is_believed_and_synced(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    kill_9(&f);
    open_store(&f);
    assert_int_equal(calls.drops, 0);
    check_value(&f, "visible", "2");
    check_that_all_is_durable(&f);
    fixture_release(&f);
}

static void it_is_believed_also_where_the_log_is_written_by_each_put(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    put_durably(&f, "by dsync", "3");
    put_durably(&f, "by dsync too", "4");
    kill_9(&f);
    open_store(&f);
    assert_int_equal(calls.drops, 0);
    check_that_all_is_durable(&f);
    fixture_release(&f);
}

/* ---- What is not ---------------------------------------------------------------------------- */

static void killed_in_a_sync_that_fails_the_segment_is_read_from_the_disk(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    calls.kills = true;
    fail_next_sync(&f);
    assert_status(&f, UNKNOWN, bitcask_sync_now(f.db, &f.error));
    calls.kills = false;
    heal(&f);
    os_mem_hook(f.os, 0, NULL, NULL);
    kill_9(&f);
    open_store(&f);
    assert_int_equal(calls.drops, 1);
    check_value(&f, "durable", "1");
    check_missing(&f, "visible");
    check_that_all_is_durable(&f);
    fixture_release(&f);
}

static void after_a_recovery_whose_sync_failed_the_next_reads_from_the_disk(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    kill_9(&f);
    fail_next_sync(&f);
    assert_int_equal(try_open(&f), BITCASK_IO);
    heal(&f);
    open_store(&f);
    assert_int_equal(calls.drops, 1);
    check_value(&f, "durable", "1");
    check_that_all_is_durable(&f);
    fixture_release(&f);
}

/* One that only reads cannot note that it syncs. */
static void after_a_reader_whose_sync_failed_nothing_of_it_is_left_in_the_cache(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    kill_9(&f);
    f.options.read_only = 1;
    fail_next_sync(&f);
    assert_int_equal(try_open(&f), BITCASK_IO);
    heal(&f);
    f.options.read_only = 0;
    open_store(&f);
    check_value(&f, "durable", "1");
    check_that_all_is_durable(&f);
    fixture_release(&f);
}

static void check_that_nothing_is_believed(struct fixture *f)
{
    open_store(f);
    assert_int_equal(calls.drops, 1);
    check_value(f, "visible", "2");
    check_that_all_is_durable(f);
    fixture_release(f);
}

static void without_the_file_nothing_is_believed(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    kill_9(&f);
    delete_file(&f, NAME_PUBLISHED);
    check_that_nothing_is_believed(&f);
}

static void without_its_manifest_nothing_is_believed(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    kill_9(&f);
    delete_file(&f, NAME_MANIFEST);
    check_that_nothing_is_believed(&f);
}

static void where_syncs_forget_nothing_is_believed(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    kill_9(&f);
    calls.forgets = true;
    check_that_nothing_is_believed(&f);
}

/* As after a copy to a file system where nothing can be noted. */
static void where_files_are_not_mapped_nothing_is_noted(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    close_store(&f);
    open_store(&f);
    f.store->writer.mapped_writes = false;
    put(&f, "visible", "2");
    kill_9(&f);
    check_that_nothing_is_believed(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_of_a_killed_process_is_believed_and_synced),
        cmocka_unit_test(it_is_believed_also_where_the_log_is_written_by_each_put),
        cmocka_unit_test(killed_in_a_sync_that_fails_the_segment_is_read_from_the_disk),
        cmocka_unit_test(after_a_recovery_whose_sync_failed_the_next_reads_from_the_disk),
        cmocka_unit_test(after_a_reader_whose_sync_failed_nothing_of_it_is_left_in_the_cache),
        cmocka_unit_test(without_the_file_nothing_is_believed),
        cmocka_unit_test(without_its_manifest_nothing_is_believed),
        cmocka_unit_test(where_syncs_forget_nothing_is_believed),
        cmocka_unit_test(where_files_are_not_mapped_nothing_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
