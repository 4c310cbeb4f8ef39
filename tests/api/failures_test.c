/* SPDX-License-Identifier: MIT
 * failures_test.c: the public functions without memory, and the calls that look after a store with
 * arguments that make no sense. */
#include "support/failures.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- Statuses -------------------------------------------------------------------------------- */

static void every_status_has_a_name_and_a_sentence(void **state)
{
    (void)state;
#define CHECK_STATUS(name, value, sentence)                          \
    assert_int_equal(BITCASK_##name, value);                         \
    assert_string_equal(bitcask_status_name(BITCASK_##name), #name); \
    assert_string_equal(bitcask_status_text(BITCASK_##name), sentence);
    BITCASK_STATUSES(CHECK_STATUS)
#undef CHECK_STATUS
    assert_string_equal(bitcask_status_name((bitcask_status)77), "UNKNOWN_STATUS");
    assert_string_equal(bitcask_status_text((bitcask_status)-77), "unknown status");
}

/* ---- Arguments ------------------------------------------------------------------------------- */

/* What a caller gives is refused, with a message that has `word` in it. */
#define assert_invalid(word, call)                                                 \
    do {                                                                           \
        bitcask_error error = {0};                                                 \
        assert_int_equal((call), BITCASK_INVALID);                                 \
        if (strstr(error.message, word) == NULL)                                   \
            fail_msg("%s: '%s' says nothing of '%s'", #call, error.message, word); \
    } while (0)

static void care_refuses_what_makes_no_sense(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    bitcask_backup_options backup = {0};
    bitcask_verify_options verify = {0};
    bitcask_repair_options repair = {0};
    bitcask_salvage_options salvage = {0};
    bitcask_merge_options merge = {0};
    assert_invalid("store", bitcask_backup(NULL, "x", NULL, NULL, &error));
    assert_invalid("directory", bitcask_backup(f.db, NULL, NULL, NULL, &error));
    assert_invalid("directory", bitcask_backup(f.db, "", NULL, NULL, &error));
    assert_invalid("bitcask_backup_options", bitcask_backup(f.db, "x", &backup, NULL, &error));
    assert_invalid("store", bitcask_verify(NULL, NULL, NULL, &error));
    assert_invalid("bitcask_verify_options", bitcask_verify(f.db, &verify, NULL, &error));
    assert_invalid("directory", bitcask_repair(NULL, NULL, NULL, &error));
    assert_invalid("directory", bitcask_repair("", NULL, NULL, &error));
    assert_invalid("bitcask_repair_options", bitcask_repair("x", &repair, NULL, &error));
    assert_invalid("directory", bitcask_salvage(NULL, 0, NULL, NULL, NULL, &error));
    assert_invalid("directory", bitcask_salvage(NULL, 0, "", NULL, NULL, &error));
    assert_invalid("files", bitcask_salvage(NULL, 1, "x", NULL, NULL, &error));
    assert_invalid("bitcask_salvage_options",
                   bitcask_salvage(NULL, 0, "x", &salvage, NULL, &error));
    assert_invalid("store", bitcask_merge(NULL, NULL, NULL, &error));
    assert_invalid("bitcask_merge_options", bitcask_merge(f.db, &merge, NULL, &error));
    size_t count;
    char **names = list_files(&f, "../x", &count);
    free_list(names, count);
    assert_int_equal(count, 0);
    fixture_release(&f);
}

static void batches_refuse_what_makes_no_sense(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    bitcask_batch *batch;
    assert_invalid("batch", bitcask_batch_new(NULL, &error));
    assert_status(&f, OK, bitcask_batch_new(&batch, &f.error));
    bitcask_slice key = bitcask_str("key");
    assert_invalid("batch", bitcask_batch_put(NULL, key, key, 0, &error));
    assert_invalid("batch", bitcask_batch_delete(NULL, key, &error));
    assert_invalid("key", bitcask_batch_put(batch, bitcask_str(""), key, 0, &error));
    assert_invalid("value", bitcask_batch_put(batch, key, bitcask_bytes(NULL, 1), 0, &error));
    assert_invalid("key", bitcask_batch_delete(batch, bitcask_bytes(NULL, 1), &error));
    assert_invalid("batch", bitcask_write(f.db, NULL, NULL, NULL, &error));
    assert_invalid("store", bitcask_write(NULL, batch, NULL, NULL, &error));
    assert_int_equal(bitcask_batch_count(batch), 0);
    assert_int_equal(bitcask_batch_count(NULL), 0);
    assert_int_equal(bitcask_batch_size(NULL), 0);
    bitcask_batch_clear(NULL);
    bitcask_batch_free(NULL);
    bitcask_batch_free(batch);
    fixture_release(&f);
}

/* The public functions give results to a caller who wants them, and to one who does not. */
static void a_store_on_disk_is_looked_after_from_outside(void **state)
{
    (void)state;
    char directory[200], store[256], copy[256], salvaged[256], file[300];
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%.150s/failures.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(directory));
    snprintf(store, sizeof store, "%s/store", directory);
    snprintf(copy, sizeof copy, "%s/copy", directory);
    snprintf(salvaged, sizeof salvaged, "%s/salvaged", directory);
    bitcask_error error = {0};
    bitcask *db;
    assert_int_equal(bitcask_open(store, NULL, &db, &error), BITCASK_OK);
    assert_int_equal(bitcask_put(db, bitcask_str("k"), bitcask_str("v"), NULL, NULL, &error),
                     BITCASK_OK);
    bitcask_backup_result backed_up = {.struct_size = sizeof backed_up};
    assert_int_equal(bitcask_backup(db, copy, NULL, &backed_up, &error), BITCASK_OK);
    assert_int_equal(backed_up.segments, 1);
    assert_int_equal(bitcask_backup(db, copy, NULL, NULL, &error), BITCASK_OK);
    bitcask_verify_result verified = {.struct_size = sizeof verified};
    assert_int_equal(bitcask_verify(db, NULL, &verified, &error), BITCASK_OK);
    assert_int_equal(verified.records, 1);
    assert_int_equal(bitcask_verify(db, NULL, NULL, &error), BITCASK_OK);
    assert_int_equal(bitcask_repair(store, NULL, NULL, &error), BITCASK_LOCKED);
    assert_int_equal(bitcask_close(db, &error), BITCASK_OK);

    bitcask_repair_result repaired = {.struct_size = sizeof repaired};
    assert_int_equal(bitcask_repair(store, NULL, &repaired, &error), BITCASK_OK);
    assert_int_equal(repaired.losses, 0);
    snprintf(file, sizeof file, "%s/000000001.data", store);
    const char *files[] = {file};
    bitcask_salvage_result taken = {.struct_size = sizeof taken};
    assert_int_equal(bitcask_salvage(files, 1, salvaged, NULL, &taken, &error), BITCASK_OK);
    assert_int_equal(taken.records, 1);
    assert_int_equal(bitcask_salvage(files, 1, salvaged, NULL, NULL, &error), BITCASK_STORE_EXISTS);
    const char *const made[] = {store, copy, salvaged};
    for (size_t i = 0; i < ARRAY_SIZE(made); i++)
        assert_int_equal(bitcask_destroy(made[i], &error), BITCASK_OK);
    assert_int_equal(rmdir(directory), 0);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void *plain_alloc(void *context, size_t size, size_t alignment)
{
    (void)context;
    return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

static void plain_free(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    free(memory);
}

/* OK, or out of memory and then nothing is done. */
static bool done(bitcask_status status, const bitcask_error *error)
{
    if (status != BITCASK_OK && status != BITCASK_NO_MEMORY)
        fail_msg("%s: %s", bitcask_status_name(status), error->message);
    return status == BITCASK_OK;
}

static void use_batch(bitcask *db)
{
    bitcask_error error = {0};
    bitcask_batch *batch;
    if (!done(bitcask_batch_new(&batch, &error), &error))
        return;
    size_t count = 0, size = 0;
    for (int i = 0; i < 40; i++) {
        char key[16], value[100] = "";
        snprintf(key, sizeof key, "key%02d", i);
        bitcask_status status =
            bitcask_batch_put(batch, bitcask_str(key), bitcask_bytes(value, 100), 0, &error);
        if (done(status, &error)) {
            count++;
            size += 5 + 100;
        }
        assert_int_equal(bitcask_batch_count(batch), count);
        assert_int_equal(bitcask_batch_size(batch), size);
    }
    uint64_t version = 0;
    bool written = done(bitcask_write(db, batch, NULL, &version, &error), &error);
    assert_int_equal(version != 0, written && count > 0);
    bitcask_batch_free(batch);
}

/* A store in memory, with and without an allocator of the caller's. */
static void use_store(bool own_allocator)
{
    bitcask_options options;
    bitcask_options_init(&options);
    options.in_memory = 1;
    options.background = BITCASK_BACKGROUND_NONE;
    if (own_allocator)
        options.allocator = (bitcask_allocator){plain_alloc, plain_free, NULL};
    bitcask_error error = {0};
    bitcask *db = NULL;
    if (!done(bitcask_open("memory", &options, &db, &error), &error)) {
        assert_null(db);
        return;
    }
    use_batch(db);
    bitcask_buffer json = {0}, value = {0};
    if (done(bitcask_stats_json(db, &json, &error), &error))
        assert_non_null(strstr(json.data, "\"keys\""));
    bitcask_status status = bitcask_get(db, NULL, bitcask_str("key00"), &value, NULL, &error);
    if (status != BITCASK_NOT_FOUND && done(status, &error))
        assert_int_equal(value.size, 100);
    bitcask_buffer_free(&json);
    bitcask_buffer_free(&value);
    (void)bitcask_close(db, &error); /* of a store in memory there is nothing to lose */
}

static void without_memory_calls_fail_and_leave_nothing(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        bool came = true;
        for (uint64_t nth = 1; came; nth++) {
            heap.nth = nth;
            heap.for_good = variant / 2 != 0;
            atomic_store(&heap.calls, 0);
            atomic_store(&heap.counting, true);
            use_store(variant % 2 != 0);
            atomic_store(&heap.counting, false);
            came = atomic_load(&heap.calls) >= nth;
        }
    }
}

static void without_a_thread_a_store_that_wants_one_does_not_open(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.background = BITCASK_BACKGROUND_THREAD;
    atomic_store(&heap.no_threads, true);
    assert_int_equal(try_open(&f), BITCASK_IO);
    atomic_store(&heap.no_threads, false);
    assert_non_null(strstr(f.error.message, "background thread"));
    assert_int_equal(os_mem_open_files(f.os), 0);
    assert_int_equal(os_mem_live_maps(f.os), 0);
    open_store(&f);
    put(&f, "k", "v");
    close_store(&f);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_a_sentence),
        cmocka_unit_test(care_refuses_what_makes_no_sense),
        cmocka_unit_test(batches_refuse_what_makes_no_sense),
        cmocka_unit_test(a_store_on_disk_is_looked_after_from_outside),
        cmocka_unit_test(without_memory_calls_fail_and_leave_nothing),
        cmocka_unit_test(without_a_thread_a_store_that_wants_one_does_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
