/* SPDX-License-Identifier: MIT
 * settings_test.c: settings from the file, the command line and CONFIG SET. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "settings.h"
#include "settings_table.h"

struct fixture {
    struct settings *settings;
    char directory[64];
    char file[96];
    bitcask_error error;
};

static int setup(void **state)
{
    struct fixture *fix = calloc(1, sizeof *fix);
    snprintf(fix->directory, sizeof fix->directory, "/tmp/settings_test.XXXXXX");
    if (mkdtemp(fix->directory) == NULL)
        return -1;
    snprintf(fix->file, sizeof fix->file, "%s/bitcask.conf", fix->directory);
    fix->settings = settings_new();
    *state = fix;
    return fix->settings == NULL;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;
    char command[128];
    settings_free(fix->settings);
    snprintf(command, sizeof command, "rm -r %s", fix->directory);
    int result = system(command); /* NOLINT(cert-env33-c) */
    free(fix);
    return result;
}

static void write_file(struct fixture *fix, const char *text)
{
    FILE *out = fopen(fix->file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static char *file_text(struct fixture *fix)
{
    static char text[8192];
    FILE *in = fopen(fix->file, "r");
    assert_non_null(in);
    text[fread(text, 1, sizeof text - 1, in)] = '\0';
    fclose(in);
    return text;
}

static bool read_text(struct fixture *fix, const char *text)
{
    write_file(fix, text);
    return settings_read_file(fix->settings, fix->file, &fix->error);
}

static bool set(struct fixture *fix, const char *name, const char *value)
{
    return settings_set(fix->settings, name, value, &fix->error);
}

/* CONFIG SET NAME VALUE ...; the names of what has changed are not looked at. */
static bool change(struct fixture *fix, const char *const *words, size_t pairs)
{
    bitcask_slice slices[16];
    uint64_t changed;
    for (size_t i = 0; i < 2 * pairs; i++)
        slices[i] = bitcask_str(words[i]);
    return settings_change(fix->settings, slices, pairs, &changed, &fix->error);
}
#define CHANGE(fix, ...)                            \
    change(fix, (const char *const[]){__VA_ARGS__}, \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *) / 2)

/* ---- Defaults ------------------------------------------------------------------------------- */

static void every_setting_has_a_default_that_it_takes_and_a_sentence(void **state)
{
    (void)state;
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const struct setting_info *info = settings_at(id);
        uint64_t number;
        char *text, why[SETTING_WHY_SIZE];
        assert_true(setting_parse(&settings_table[id], info->fallback, NULL, &number, &text, why));
        assert_string_equal(text, info->fallback);
        assert_true(strlen(info->help) > 10);
        assert_int_equal(setting_find(info->name), id);
        free(text);
    }
    assert_null(settings_at(SETTING_COUNT));
}

static void defaults_are_those_of_the_page(void **state)
{
    const struct fixture *fix = *state;
    assert_int_equal(setting_number(fix->settings, SETTING_PORT), 6380);
    assert_int_equal(setting_number(fix->settings, SETTING_HTTP_PORT), 6381);
    assert_int_equal(setting_number(fix->settings, SETTING_PROTECTED_MODE), 1);
    assert_int_equal(setting_number(fix->settings, SETTING_UNIXSOCKETPERM), 0600);
    assert_int_equal(setting_number(fix->settings, SETTING_APPENDFSYNC), BITCASK_SYNC_INTERVAL);
    assert_int_equal(setting_number(fix->settings, SETTING_CLIENT_OUTPUT_BUFFER_LIMIT), 256 << 20);
    assert_int_equal(settings_output_limit(fix->settings, OUTPUT_PUBSUB).hard, 32 << 20);
    assert_string_equal(setting_text(fix->settings, SETTING_REQUIREPASS), "");
}

/* ---- The file ------------------------------------------------------------------------------- */

static void file_with_quotes_comments_and_includes(void **state)
{
    struct fixture *fix = *state;
    char more[128];
    snprintf(more, sizeof more, "%s/more.conf", fix->directory);
    FILE *out = fopen(more, "w");
    assert_non_null(out);
    fputs("maxclients 77\n", out);
    fclose(out);
    assert_true(read_text(fix, "# a comment\n\n  port 7000\r\nBIND  127.0.0.1   ::1\n"
                               "requirepass \"a b\\x41\\n\\\"\"\ninclude more.conf\n"
                               "logfile 'it\\'s'\nsync always\nsegment-size 8M"));
    assert_int_equal(setting_number(fix->settings, SETTING_PORT), 7000);
    assert_string_equal(setting_text(fix->settings, SETTING_BIND), "127.0.0.1 ::1");
    assert_string_equal(setting_text(fix->settings, SETTING_REQUIREPASS), "a bA\n\"");
    assert_string_equal(setting_text(fix->settings, SETTING_LOGFILE), "it's");
    assert_int_equal(setting_number(fix->settings, SETTING_MAXCLIENTS), 77);
    assert_string_equal(setting_text(fix->settings, SETTING_APPENDFSYNC), "always");
    assert_int_equal(settings_store_options(fix->settings)->segment_size, 8 << 20);
    assert_int_equal(settings_store_options(fix->settings)->sync, BITCASK_SYNC_ALWAYS);
}

static void expect_refused(struct fixture *fix, const char *text, const char *why)
{
    assert_false(read_text(fix, text));
    if (strstr(fix->error.message, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, fix->error.message);
}

static void bad_lines_are_named(void **state)
{
    struct fixture *fix = *state;
    expect_refused(fix, "port 6380\n\nport 70000\n",
                   "bitcask.conf: line 3: port: argument must be between 0 and 65535 inclusive");
    expect_refused(fix, "prot 1", "line 1: prot: no such setting");
    expect_refused(fix, "port", "line 1: port: a value must follow");
    expect_refused(fix, "port \"1", "line 1: quotes that do not end");
    expect_refused(fix, "port \"1\"2", "line 1: quotes that do not end");
    expect_refused(fix, "segment-size huge", "segment-size");
    expect_refused(fix, "follow yes", "follow: no such setting");
    expect_refused(fix, "user a on", "aclfile");
    expect_refused(fix, "daemonize yes", "daemonize: argument(s) must be one of");
    expect_refused(fix, "include bitcask.conf", "16 files deep");
    expect_refused(fix, "include /nowhere/x", "/nowhere/x: No such file");
    assert_false(settings_read_file(fix->settings, "/dev/null/x", &fix->error));
    assert_false(settings_read_file(fix->settings, "/dev/zero", &fix->error));
    assert_non_null(strstr(fix->error.message, "not a file"));
}

static void file_too_large_or_with_a_zero_byte_is_refused(void **state)
{
    struct fixture *fix = *state;
    FILE *out = fopen(fix->file, "w");
    assert_non_null(out);
    fputs("port 1", out);
    fputc(0, out);
    fclose(out);
    assert_false(settings_read_file(fix->settings, fix->file, &fix->error));
    assert_non_null(strstr(fix->error.message, "zero byte"));
    assert_int_equal(truncate(fix->file, (2 << 20)), 0);
    assert_false(settings_read_file(fix->settings, fix->file, &fix->error));
    assert_non_null(strstr(fix->error.message, "1 MiB"));
}

/* ---- CONFIG SET ----------------------------------------------------------------------------- */

static void change_is_all_or_none(void **state)
{
    struct fixture *fix = *state;
    assert_true(CHANGE(fix, "maxclients", "5", "TIMEOUT", "9"));
    assert_int_equal(setting_number(fix->settings, SETTING_TIMEOUT), 9);
    assert_false(CHANGE(fix, "maxclients", "6", "timeout", "x"));
    assert_string_equal(fix->error.message, "CONFIG SET failed (possibly related to argument "
                                            "'timeout') - argument couldn't be parsed into an "
                                            "integer");
    assert_int_equal(setting_number(fix->settings, SETTING_MAXCLIENTS), 5);
    assert_false(CHANGE(fix, "port", "1", "nonsense", "2"));
    assert_string_equal(fix->error.message,
                        "Unknown option or number of arguments for CONFIG SET - 'nonsense'");
    assert_false(CHANGE(fix, "port", "1"));
    assert_string_equal(fix->error.message, "CONFIG SET failed (possibly related to argument "
                                            "'port') - can't set immutable config");
    assert_false(CHANGE(fix, "segment-size", "1M"));
    assert_non_null(strstr(fix->error.message, "can't set immutable config"));
    assert_false(CHANGE(fix, "sync", "no", "appendfsync", "no"));
    assert_non_null(strstr(fix->error.message, "duplicate parameter"));
    assert_string_equal(setting_text(fix->settings, SETTING_APPENDFSYNC), "everysec");
}

static void change_tells_what_is_new(void **state)
{
    struct fixture *fix = *state;
    const bitcask_slice pairs[] = {bitcask_str("maxclients"), bitcask_str("10000"),
                                   bitcask_str("requirepass"), bitcask_str("x")};
    uint64_t changed;
    assert_true(settings_change(fix->settings, pairs, 2, &changed, &fix->error));
    assert_int_equal(changed, UINT64_C(1) << SETTING_REQUIREPASS);
}

static void value_with_a_zero_byte_is_refused(void **state)
{
    struct fixture *fix = *state;
    const bitcask_slice pairs[] = {bitcask_str("requirepass"), bitcask_bytes("a\0b", 3)};
    uint64_t changed;
    assert_false(settings_change(fix->settings, pairs, 1, &changed, &fix->error));
    assert_string_equal(setting_text(fix->settings, SETTING_REQUIREPASS), "");
}

static void units_letters_and_limits_are_shown_as_redis_shows_them(void **state)
{
    struct fixture *fix = *state;
    assert_true(CHANGE(fix, "proto-max-bulk-len", "2mb", "notify-keyspace-events", "KEA"));
    assert_string_equal(setting_text(fix->settings, SETTING_PROTO_MAX_BULK_LEN), "2097152");
    assert_string_equal(setting_text(fix->settings, SETTING_NOTIFY_KEYSPACE_EVENTS), "AKE");
    assert_true(CHANGE(fix, "notify-keyspace-events", "Eg$x", "proto-max-bulk-len", "2m"));
    assert_string_equal(setting_text(fix->settings, SETTING_NOTIFY_KEYSPACE_EVENTS), "g$xE");
    assert_int_equal(setting_number(fix->settings, SETTING_PROTO_MAX_BULK_LEN), 2000000);
    assert_true(CHANGE(fix, "client-output-buffer-limit", "pubsub 1mb 0 0"));
    assert_string_equal(setting_text(fix->settings, SETTING_CLIENT_OUTPUT_BUFFER_LIMIT),
                        "normal 268435456 0 0 slave 0 0 0 pubsub 1048576 0 0");
    assert_int_equal(settings_output_limit(fix->settings, OUTPUT_PUBSUB).hard, 1 << 20);
    assert_true(CHANGE(fix, "client-output-buffer-limit", "normal 3mb 2mb 60"));
    struct output_limit limit = settings_output_limit(fix->settings, OUTPUT_NORMAL);
    assert_int_equal(limit.hard, 3 << 20);
    assert_int_equal(limit.soft, 2 << 20);
    assert_int_equal(limit.soft_s, 60);
    assert_true(CHANGE(fix, "slowlog-log-slower-than", "-1"));
    assert_true(setting_number(fix->settings, SETTING_SLOWLOG_LOG_SLOWER_THAN) == UINT64_MAX);
    assert_string_equal(setting_text(fix->settings, SETTING_SLOWLOG_LOG_SLOWER_THAN), "-1");
}

static void bad_values(void **state)
{
    struct fixture *fix = *state;
    static const char *const bad[][2] = {
        {"maxclients", ""},
        {"maxclients", "-"},
        {"maxclients", "1 "},
        {"maxclients", "99999999999999999999"},
        {"maxclients", "0"},
        {"slowlog-log-slower-than", "-2"},
        {"protected-mode", "1"},
        {"proto-max-bulk-len", "1"},
        {"proto-max-bulk-len", "mb"},
        {"proto-max-bulk-len", "9223372036854775807gb"},
        {"proto-max-bulk-len", "2tb"},
        {"notify-keyspace-events", "q"},
        {"client-output-buffer-limit", "normal 1 2"},
        {"client-output-buffer-limit", "nobody 1 2 3"},
        {"client-output-buffer-limit", "normal 1 2 -3"},
        {"unixsocketperm", "888"},
        {"unixsocketperm", "7777"},
        {"appendonly", "no"},
        {"maxmemory", "1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (set(fix, bad[i][0], bad[i][1]))
            fail_msg("%s '%s' was taken", bad[i][0], bad[i][1]);
}

static void old_texts_stay_readable(void **state)
{
    struct fixture *fix = *state;
    assert_true(CHANGE(fix, "requirepass", "first"));
    const char *old = setting_text(fix->settings, SETTING_REQUIREPASS);
    assert_true(CHANGE(fix, "requirepass", "second"));
    assert_string_equal(old, "first");
    assert_true(CHANGE(fix, "requirepass", "first"));
    assert_ptr_equal(setting_text(fix->settings, SETTING_REQUIREPASS), old); /* kept once */
}

/* ---- CONFIG GET ----------------------------------------------------------------------------- */

static void collect(void *context, const char *name, const char *value)
{
    char *text = context;
    snprintf(text + strlen(text), 1000 - strlen(text), "%s=%s;", name, value);
}

static void each_by_globs_gives_each_once(void **state)
{
    struct fixture *fix = *state;
    char text[1000] = "";
    assert_true(set(fix, "merge-trigger", "0.3"));
    const bitcask_slice globs[] = {bitcask_str("MAXc*"), bitcask_str("maxclients"),
                                   bitcask_str("merge-*"), bitcask_str("tcp-backlog")};
    settings_each(fix->settings, globs, 4, collect, text);
    assert_string_equal(text, "maxclients=10000;tcp-backlog=511;merge-trigger=0.3;");
}

/* ---- CONFIG REWRITE ------------------------------------------------------------------------- */

static void rewrite_keeps_comments_and_order(void **state)
{
    struct fixture *fix = *state;
    assert_true(read_text(fix, "# mine\nport 7000\n\ntimeout 5\n# of it\ntimeout 6\n"
                               "segment-size 8M\nmaxclients 3\n"));
    assert_int_equal(chmod(fix->file, 0640), 0);
    assert_true(CHANGE(fix, "timeout", "8", "requirepass", "a \"b\n", "slowlog-max-len", "1"));
    assert_true(settings_rewrite(fix->settings, &fix->error));
    const char *expected = "# mine\nport 7000\n\ntimeout 8\n# of it\nsegment-size 8M\n"
                           "maxclients 3\n# Generated by CONFIG REWRITE\n"
                           "requirepass \"a \\\"b\\x0a\"\nslowlog-max-len 1\n";
    assert_string_equal(file_text(fix), expected);
    struct stat stat_of;
    assert_int_equal(stat(fix->file, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0640);
    assert_true(settings_rewrite(fix->settings, &fix->error)); /* again: the same */
    assert_string_equal(file_text(fix), expected);
    struct settings *again = settings_new();
    assert_true(settings_read_file(again, fix->file, &fix->error));
    assert_string_equal(setting_text(again, SETTING_REQUIREPASS), "a \"b\n");
    settings_free(again);
}

static void rewrite_without_a_file(void **state)
{
    struct fixture *fix = *state;
    assert_false(settings_rewrite(fix->settings, &fix->error));
    assert_string_equal(fix->error.message, "The server is running without a config file");
}

static void printed_file_can_be_read_with_every_line_switched_on(void **state)
{
    struct fixture *fix = *state;
    FILE *out = fopen(fix->file, "w");
    assert_non_null(out);
    settings_print_file(out);
    fclose(out);
    assert_true(settings_read_file(fix->settings, fix->file, &fix->error));
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        char line[512];
        const struct setting_info *info = settings_at(id);
        snprintf(line, sizeof line, "\n# %s %s\n", info->name,
                 info->fallback[0] == '\0' ? "\"\"" : info->fallback);
        assert_non_null(strstr(file_text(fix), line));
        assert_true(read_text(fix, line + 3));
        settings_print_file(out = fopen(fix->file, "w"));
        fclose(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_setting_has_a_default_that_it_takes_and_a_sentence,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_are_those_of_the_page, setup, teardown),
        cmocka_unit_test_setup_teardown(file_with_quotes_comments_and_includes, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_lines_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(file_too_large_or_with_a_zero_byte_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(change_is_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(change_tells_what_is_new, setup, teardown),
        cmocka_unit_test_setup_teardown(value_with_a_zero_byte_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(units_letters_and_limits_are_shown_as_redis_shows_them,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(bad_values, setup, teardown),
        cmocka_unit_test_setup_teardown(old_texts_stay_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(each_by_globs_gives_each_once, setup, teardown),
        cmocka_unit_test_setup_teardown(rewrite_keeps_comments_and_order, setup, teardown),
        cmocka_unit_test_setup_teardown(rewrite_without_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(printed_file_can_be_read_with_every_line_switched_on, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
