/* SPDX-License-Identifier: MIT
 * create_test.c: a store that has just been made, and its directory's own name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/group.h"
#include "engine/reader.h"
#include "os/os_mem.h"

static struct store *open_store(struct os *os, const char *path)
{
    bitcask_options options;
    bitcask_error error;
    struct store *store;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.sync = BITCASK_SYNC_ALWAYS;
    if (store_open(os, path, &options, &store, &error) != BITCASK_OK)
        fail_msg("%s", error.message);
    return store;
}

static void put_durably(struct store *store)
{
    struct write_op op = {
        .kind = WRITE_PUT, .key = bitcask_str("city"), .value = bitcask_str("Utrecht")};
    struct write_request request = {.ops = &op, .op_count = 1, .durable = true};
    assert_int_equal(group_write(store, &request), BITCASK_OK);
}

/* Make a store at `path`, write, cut the power, and look. */
static void check_survives(const char *path)
{
    struct os *os = os_mem_new(&(struct os_mem_options){.durable_images = true, .seed = 1});
    assert_non_null(os);
    assert_int_equal(os->make_dir(os, "deep"), 0);
    assert_int_equal(os->sync_dir(os, "."), 0);
    struct store *store = open_store(os, path);
    put_durably(store);
    os_mem_crash(os);
    store_abandon(store);

    struct os_stat stat;
    assert_int_equal(os->stat(os, path, &stat), 0);
    store = open_store(os, path);
    bitcask_buffer value = {0};
    assert_int_equal(reader_get(store, bitcask_str("city"),
                                &(struct reader_options){.verify = true}, &value, NULL, NULL),
                     BITCASK_OK);
    assert_int_equal(value.size, 7);
    bitcask_buffer_free(&value);
    assert_int_equal(store_close(store, NULL), BITCASK_OK);
    os_mem_free(os);
}

static void a_new_store_here_survives_a_power_cut(void **state)
{
    (void)state;
    check_survives("store");
    check_survives("./store");
}

static void a_new_store_below_a_directory_survives_a_power_cut(void **state)
{
    (void)state;
    check_survives("deep/store");
    check_survives("deep//store/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_store_here_survives_a_power_cut),
        cmocka_unit_test(a_new_store_below_a_directory_survives_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
