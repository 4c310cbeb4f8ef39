/* SPDX-License-Identifier: MIT
 * options_test.c: options by name, structs of older and newer headers, allocators. */
#include "support/api_fixture.h"

/* ---- By name --------------------------------------------------------------------------------- */

struct good_value {
    const char *name, *value;
    uint64_t expected;
};

static uint64_t field(const bitcask_options *options, const char *name)
{
    if (strcmp(name, "create") == 0)
        return (uint64_t)options->create;
    if (strcmp(name, "error-if-exists") == 0)
        return (uint64_t)options->error_if_exists;
    if (strcmp(name, "read-only") == 0)
        return (uint64_t)options->read_only;
    if (strcmp(name, "follow") == 0)
        return (uint64_t)options->follow;
    if (strcmp(name, "in-memory") == 0)
        return (uint64_t)options->in_memory;
    if (strcmp(name, "verify-reads") == 0)
        return (uint64_t)options->verify_reads;
    if (strcmp(name, "sync") == 0)
        return options->sync;
    if (strcmp(name, "sync-interval") == 0)
        return options->sync_interval_ms;
    if (strcmp(name, "background") == 0)
        return options->background;
    if (strcmp(name, "segment-size") == 0)
        return options->segment_size;
    if (strcmp(name, "segment-max-records") == 0)
        return options->segment_max_records;
    if (strcmp(name, "expected-keys") == 0)
        return options->expected_keys;
    if (strcmp(name, "index-snapshot") == 0)
        return (uint64_t)options->index_snapshot;
    if (strcmp(name, "index-snapshot-bytes") == 0)
        return options->index_snapshot_bytes;
    if (strcmp(name, "scrub-rate") == 0)
        return options->scrub_bytes_per_s;
    if (strcmp(name, "log-level") == 0)
        return options->log_level;
    if (strcmp(name, "tombstone-min-age") == 0)
        return options->tombstone_min_age_ms;
    if (strcmp(name, "max-disk-bytes") == 0)
        return options->max_disk_bytes;
    if (strcmp(name, "max-index-bytes") == 0)
        return options->max_index_bytes;
    if (strcmp(name, "eviction") == 0)
        return options->eviction;
    if (strcmp(name, "read-ahead") == 0)
        return options->read_ahead;
    if (strcmp(name, "merge") == 0)
        return (uint64_t)options->merge;
    if (strcmp(name, "merge-trigger") == 0) /* in tenths of a percent */
        return (uint64_t)(options->merge_trigger * 1000 + 0.5);
    if (strcmp(name, "merge-rate") == 0)
        return options->merge_bytes_per_s;
    if (strcmp(name, "merge-delay") == 0)
        return options->merge_delay_ms;
    if (strcmp(name, "merge-window") == 0)
        return strlen(options->merge_window);
    fail_msg("the test does not know the option %s", name);
    return 0;
}

static void each_option_takes_its_values(void **state)
{
    (void)state;
    static const struct good_value values[] = {
        {"create", "no", 0},
        {"create", "yes", 1},
        {"error-if-exists", "on", 1},
        {"error-if-exists", "off", 0},
        {"read-only", "true", 1},
        {"read-only", "false", 0},
        {"in-memory", "1", 1},
        {"in-memory", "0", 0},
        {"verify-reads", "no", 0},
        {"verify-reads", "yes", 1},
        {"index-snapshot", "no", 0},
        {"index-snapshot", "yes", 1},
        {"index-snapshot-bytes", "64M", 64 << 20},
        {"scrub-rate", "0", 0},
        {"scrub-rate", "10M", 10 << 20},
        {"sync", "none", BITCASK_SYNC_NONE},
        {"sync", "interval", BITCASK_SYNC_INTERVAL},
        {"sync", "always", BITCASK_SYNC_ALWAYS},
        {"sync", "no-fsync", BITCASK_SYNC_NONE},
        {"sync", "periodic-fsync", BITCASK_SYNC_INTERVAL},
        {"sync", "fsync-on-append", BITCASK_SYNC_ALWAYS},
        {"sync-interval", "1ms", 1},
        {"sync-interval", "250ms", 250},
        {"sync-interval", "2s", 2000},
        {"sync-interval", "3m", 180000},
        {"sync-interval", "24h", 86400000},
        {"background", "none", BITCASK_BACKGROUND_NONE},
        {"background", "thread", BITCASK_BACKGROUND_THREAD},
        {"segment-size", "65536", 65536},
        {"segment-size", "64K", 65536},
        {"segment-size", "3m", 3 << 20},
        {"segment-size", "4G", UINT64_C(4) << 30},
        {"segment-max-records", "0", 0},
        {"segment-max-records", "18446744073709551615", UINT64_MAX},
        {"expected-keys", "10000000", 10000000},
        {"log-level", "debug", BITCASK_LOG_DEBUG},
        {"log-level", "info", BITCASK_LOG_INFO},
        {"log-level", "warn", BITCASK_LOG_WARN},
        {"log-level", "error", BITCASK_LOG_ERROR},
        {"log-level", "off", BITCASK_LOG_OFF},
        {"merge", "no", 0},
        {"merge", "on", 1},
        {"merge-trigger", "5%", 50},
        {"merge-trigger", "95%", 950},
        {"merge-trigger", "0.5", 500},
        {"merge-trigger", "33.3%", 333},
        {"merge-rate", "0", 0},
        {"merge-rate", "10M", 10 << 20},
        {"merge-delay", "0s", 0},
        {"merge-delay", "5m", 300000},
        {"merge-window", "22-06", 5},
        {"merge-window", "", 0},
        {"tombstone-min-age", "0s", 0},
        {"tombstone-min-age", "168h", 604800000},
        {"max-disk-bytes", "0", 0},
        {"max-disk-bytes", "10G", UINT64_C(10) << 30},
        {"max-index-bytes", "64K", 64 << 10},
        {"eviction", "none", BITCASK_EVICT_NONE},
        {"eviction", "oldest", BITCASK_EVICT_OLDEST},
        {"eviction", "expiring", BITCASK_EVICT_EXPIRING},
        {"read-ahead", "off", BITCASK_READ_AHEAD_OFF},
        {"read-ahead", "on", BITCASK_READ_AHEAD_ON},
        {"read-ahead", "auto", BITCASK_READ_AHEAD_AUTO},
    };
    bitcask_options options;
    bitcask_options_init(&options);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_done(bitcask_options_set(&options, values[i].name, values[i].value, &error));
        if (field(&options, values[i].name) != values[i].expected)
            fail_msg("%s=%s", values[i].name, values[i].value);
    }
}

static void bad_values_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const char *const values[][2] = {
        {"merge", "sometimes"},
        {"merge-trigger", "4%"},
        {"merge-trigger", "96%"},
        {"merge-trigger", "50"},
        {"merge-trigger", "101%"},
        {"merge-trigger", "0.0000000000001"},
        {"merge-trigger", "0.5x"},
        {"merge-trigger", ""},
        {"merge-rate", "fast"},
        {"merge-delay", "25h"},
        {"merge-delay", "3"},
        {"merge-window", "22"},
        {"merge-window", "22-25"},
        {"merge-window", "5-5"},
        {"merge-window", "22-06-07"},
        {"create", "maybe"},
        {"create", ""},
        {"read-only", "YES"},
        {"sync", "sometimes"},
        {"sync", "default"},
        {"sync-interval", "0ms"},
        {"sync-interval", "10"},
        {"sync-interval", "-1s"},
        {"sync-interval", "25h"},
        {"sync-interval", "1.5s"},
        {"sync-interval", "99999999999999999999h"},
        {"background", "yes"},
        {"segment-size", "63K"},
        {"segment-size", "5G"},
        {"segment-size", "1T"},
        {"segment-size", "64 K"},
        {"segment-size", "+65536"},
        {"segment-size", "18446744073709551615G"},
        {"segment-size", "K"},
        {"segment-max-records", "18446744073709551616"},
        {"segment-max-records", "10k"},
        {"expected-keys", "-1"},
        {"expected-keys", "0x10"},
        {"log-level", "loud"},
        {"tombstone-min-age", "7d"},
        {"max-disk-bytes", "much"},
        {"max-index-bytes", "-1"},
        {"eviction", "lru"},
        {"eviction", "yes"},
    };
    bitcask_options options, before;
    bitcask_options_init(&options);
    before = options;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (bitcask_options_set(&options, values[i][0], values[i][1], &error) != BITCASK_INVALID)
            fail_msg("%s=%s was taken", values[i][0], values[i][1]);
        assert_message(values[i][0]);
        assert_message(values[i][1]);
        assert_memory_equal(&options, &before, sizeof options);
    }
}

static void messages_name_the_values_an_option_takes(void **state)
{
    (void)state;
    bitcask_options options;
    bitcask_options_init(&options);
    assert_status(INVALID, bitcask_options_set(&options, "sync", "x", &error));
    assert_message("none, interval, always");
    assert_status(INVALID, bitcask_options_set(&options, "segment-size", "x", &error));
    assert_message("64K to 4G");
    assert_status(INVALID, bitcask_options_set(&options, "sync-interval", "x", &error));
    assert_message("1ms to 24h");
    assert_status(INVALID, bitcask_options_set(&options, "syncs", "x", &error));
    assert_message("no option 'syncs'; there are create");
    char longer_than_any_message[1000] = {0};
    memset(longer_than_any_message, 'x', sizeof longer_than_any_message - 1);
    assert_status(INVALID, bitcask_options_set(&options, longer_than_any_message, "x", &error));
    assert_status(INVALID, bitcask_options_set(&options, "sync", longer_than_any_message, &error));
    assert_status(INVALID, bitcask_options_set(NULL, "sync", "none", &error));
    assert_status(INVALID, bitcask_options_set(&options, NULL, "none", &error));
    assert_status(INVALID, bitcask_options_set(&options, "sync", NULL, &error));
}

static void names_may_be_written_as_the_fields_are(void **state)
{
    (void)state;
    bitcask_options options;
    bitcask_options_init(&options);
    assert_done(bitcask_options_set(&options, "segment_size", "1M", &error));
    assert_int_equal(options.segment_size, 1 << 20);
    assert_status(INVALID, bitcask_options_set(&options, "segment", "1M", &error));
    assert_status(INVALID, bitcask_options_set(&options, "segment-size-", "1M", &error));
    assert_status(INVALID, bitcask_options_set(&options, "", "1M", &error));
}

static void every_listed_option_can_be_set(void **state)
{
    (void)state;
    bitcask_options options;
    size_t count = 0;
    for (const bitcask_option_info *info; (info = bitcask_option_at(count)) != NULL; count++) {
        bitcask_options_init(&options);
        field(&options, info->name);
        assert_true(strlen(info->value) > 0 && strlen(info->help) > 0);
        assert_status(INVALID, bitcask_options_set(&options, info->name, "nonsense", &error));
        assert_message("option");
    }
    assert_int_equal(count, 26);
    assert_null(bitcask_option_at(SIZE_MAX));
}

/* ---- Structs of other sizes ------------------------------------------------------------------ */

static void a_shorter_struct_of_an_older_header_gets_defaults(void **state)
{
    (void)state;
    struct fixture f = fixture_new();
    f.options.struct_size = offsetof(bitcask_options, segment_size);
    f.options.segment_size = 1; /* behind the older struct's end: not looked at */
    fixture_open(&f);
    put(&f, "k", "v");
    f.options.struct_size = sizeof f.options;
    fixture_end(&f);

    bitcask_options shorter;
    memset(&shorter, 0x5a, sizeof shorter);
    bitcask_options_init_sized(&shorter, offsetof(bitcask_options, sync));
    assert_int_equal(shorter.struct_size, offsetof(bitcask_options, sync));
    assert_int_equal(shorter.create, 1);
    assert_int_equal(shorter.sync, 0x5a5a5a5a);
    assert_status(INVALID, bitcask_options_set(&shorter, "sync", "none", &error));
    assert_int_equal(shorter.sync, 0x5a5a5a5a);
}

static void a_longer_struct_of_a_newer_header_must_be_zero_behind(void **state)
{
    (void)state;
    struct {
        bitcask_options known;
        uint64_t later;
    } options;
    bitcask *db;
    bitcask_options_init_sized(&options.known, sizeof options);
    assert_int_equal(options.known.struct_size, sizeof options);
    assert_int_equal(options.later, 0);
    options.known.in_memory = 1;
    assert_done(bitcask_open("x", &options.known, &db, &error));
    assert_done(bitcask_close(db, &error));
    options.later = 1;
    assert_status(INVALID, bitcask_open("x", &options.known, &db, &error));
    assert_message("does not know");
    assert_null(db);
}

static void a_struct_without_its_size_is_refused(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask *db;
    bitcask_options options = {0};
    bitcask_write_options write_options = {0};
    bitcask_read_options read_options = {0};
    bitcask_merge_options merge_options = {0};
    bitcask_buffer buffer = {0};
    assert_status(INVALID, bitcask_open("x", &options, &db, &error));
    assert_message("bitcask_options_init");
    assert_status(INVALID, bitcask_put(f.db, str("k"), str("v"), &write_options, NULL, &error));
    assert_status(INVALID, bitcask_get(f.db, &read_options, str("k"), &buffer, NULL, &error));
    assert_status(INVALID, bitcask_merge(f.db, &merge_options, NULL, &error));
    fixture_end(&f);
}

static void zeroed_options_with_a_size_mean_the_defaults(void **state)
{
    (void)state;
    bitcask_options options = {.struct_size = sizeof options, .create = 1, .in_memory = 1};
    bitcask *db;
    assert_done(bitcask_open("x", &options, &db, &error));
    assert_done(bitcask_close(db, &error));
}

static void options_out_of_bounds_do_not_open(void **state)
{
    (void)state;
    struct fixture good = fixture_new(), f;
    bitcask *db;
#define REFUSED(change)                                                     \
    do {                                                                    \
        f = good;                                                           \
        f.options.change;                                                   \
        assert_status(INVALID, bitcask_open("x", &f.options, &db, &error)); \
        assert_null(db);                                                    \
    } while (0)
    REFUSED(segment_size = BITCASK_MIN_SEGMENT_SIZE - 1);
    REFUSED(segment_size = BITCASK_MAX_SEGMENT_SIZE + 1);
    REFUSED(sync = (bitcask_sync)4);
    REFUSED(background = (bitcask_background)2);
    REFUSED(log_level = (bitcask_log_level)6);
    REFUSED(sync_interval_ms = UINT64_MAX);
    REFUSED(sync = (bitcask_sync)-1);
    REFUSED(background = (bitcask_background)-1);
    REFUSED(log_level = (bitcask_log_level)-1);
    REFUSED(merge_trigger = 0.04);
    REFUSED(merge_trigger = 0.96);
    REFUSED(merge_trigger = __builtin_nan(""));
    REFUSED(merge_delay_ms = UINT64_C(25) * 60 * 60 * 1000);
    REFUSED(max_disk_bytes = 1);
    REFUSED(max_index_bytes = 1);
    REFUSED(eviction = (bitcask_eviction)-1);
    REFUSED(eviction = (bitcask_eviction)3);
    REFUSED(read_ahead = (bitcask_read_ahead)-1);
    REFUSED(read_ahead = (bitcask_read_ahead)3);
    REFUSED(merge_window[0] = 'x');
    /* No end of the text */
    f = good;
    memset(f.options.merge_window, '1', sizeof f.options.merge_window);
    assert_status(INVALID, bitcask_open("x", &f.options, &db, &error));
    assert_message("merge-window");
    REFUSED(allocator.alloc = (void *(*)(void *, size_t, size_t))(uintptr_t)1);
}

static void results_are_given_to_structs_of_any_size(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    put(&f, "k", "v");
    struct {
        bitcask_stats known;
        uint64_t later;
    } stats;
    memset(&stats, 0x5a, sizeof stats);
    stats.known.struct_size = offsetof(bitcask_stats, live_bytes);
    bitcask_get_stats(f.db, &stats.known);
    assert_int_equal(stats.known.keys, 1);
    assert_int_equal(stats.known.live_bytes, 0x5a5a5a5a5a5a5a5a);
    stats.known.struct_size = sizeof stats;
    bitcask_get_stats(f.db, &stats.known);
    assert_int_equal(stats.known.struct_size, sizeof stats);
    assert_true(stats.known.live_bytes > 0);
    assert_int_equal(stats.later, 0);
    stats.known.struct_size = 0;
    stats.known.keys = 77;
    bitcask_get_stats(f.db, &stats.known);
    assert_int_equal(stats.known.keys, 77);
    fixture_end(&f);
}

/* ---- Reading options ------------------------------------------------------------------------- */

static void read_options_are_checked(void **state)
{
    (void)state;
    struct fixture f = fixture_in_memory();
    bitcask_buffer buffer = {0};
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    put(&f, "k", "v");
    for (int verify = BITCASK_VERIFY_DEFAULT; verify <= BITCASK_VERIFY_NO; verify++) {
        options.verify = (bitcask_verify_reads)verify;
        assert_done(bitcask_get(f.db, &options, str("k"), &buffer, NULL, &error));
    }
    options.verify = (bitcask_verify_reads)3;
    assert_status(INVALID, bitcask_get(f.db, &options, str("k"), &buffer, NULL, &error));
    bitcask_buffer_free(&buffer);
    fixture_end(&f);
}

/* ---- Allocators ------------------------------------------------------------------------------ */

struct counting {
    size_t calls, live_bytes;
    size_t fail_from; /* this call and all later ones; 0: none */
};

static void *count_alloc(void *context, size_t size, size_t alignment)
{
    struct counting *counting = context;
    if (++counting->calls >= counting->fail_from && counting->fail_from != 0)
        return NULL;
    counting->live_bytes += size;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void count_free(void *context, void *memory, size_t size)
{
    struct counting *counting = context;
    counting->live_bytes -= size;
    free(memory);
}

static struct fixture fixture_counting(struct counting *counting, bool on_disk)
{
    struct fixture f = on_disk ? fixture_new_on_disk() : fixture_new();
    f.options.allocator = (bitcask_allocator){count_alloc, count_free, counting};
    return f;
}

static void the_callers_allocator_holds_the_index(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        struct counting counting = {0};
        struct fixture f = fixture_counting(&counting, on_disk);
        fixture_open(&f);
        put_many(&f, "k", 5000, 8);
        assert_true(counting.live_bytes >= stats_of(&f).index_bytes);
        fixture_end(&f);
        assert_int_equal(counting.live_bytes, 0);
    }
}

static void an_allocator_that_fails_is_out_of_memory(void **state)
{
    (void)state;
    struct counting counting = {.fail_from = 1};
    struct fixture f = fixture_counting(&counting, false);
    assert_status(NO_MEMORY, bitcask_open("x", &f.options, &f.db, &error));
    assert_null(f.db);

    counting = (struct counting){0};
    fixture_open(&f);
    put(&f, "first", "v");
    counting.fail_from = counting.calls + 1;
    bitcask_status status = BITCASK_OK;
    char key[16];
    int count = 0;
    while (status == BITCASK_OK && count < 100000) {
        snprintf(key, sizeof key, "k%d", count++);
        status = bitcask_put(f.db, str(key), str("v"), NULL, NULL, &error);
    }
    assert_int_equal(status, BITCASK_NO_MEMORY);
    assert_absent(&f, key);
    assert_value(&f, "k0", "v"); /* nothing else has changed */
    put(&f, "first", "overwritten");
    counting.fail_from = 0;
    put(&f, key, "now there is room");
    fixture_end(&f);
    assert_int_equal(counting.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_option_takes_its_values),
        cmocka_unit_test(bad_values_are_refused_and_change_nothing),
        cmocka_unit_test(messages_name_the_values_an_option_takes),
        cmocka_unit_test(names_may_be_written_as_the_fields_are),
        cmocka_unit_test(every_listed_option_can_be_set),
        cmocka_unit_test(a_shorter_struct_of_an_older_header_gets_defaults),
        cmocka_unit_test(a_longer_struct_of_a_newer_header_must_be_zero_behind),
        cmocka_unit_test(a_struct_without_its_size_is_refused),
        cmocka_unit_test(zeroed_options_with_a_size_mean_the_defaults),
        cmocka_unit_test(options_out_of_bounds_do_not_open),
        cmocka_unit_test(results_are_given_to_structs_of_any_size),
        cmocka_unit_test(read_options_are_checked),
        cmocka_unit_test(the_callers_allocator_holds_the_index),
        cmocka_unit_test(an_allocator_that_fails_is_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
