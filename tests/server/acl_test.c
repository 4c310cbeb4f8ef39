/* SPDX-License-Identifier: MIT
 * acl_test.c: users, passwords, what they may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "acl.h"
#include "acl_log.h"
#include "command.h"
#include "settings_table.h"

struct fixture {
    struct acl *acl;
    char directory[64], file[96];
    bitcask_error error;
    bitcask_buffer line;
};

static int setup(void **state)
{
    struct fixture *fix = calloc(1, sizeof *fix);
    snprintf(fix->directory, sizeof fix->directory, "/tmp/acl_test.XXXXXX");
    if (mkdtemp(fix->directory) == NULL)
        return -1;
    snprintf(fix->file, sizeof fix->file, "%s/users.acl", fix->directory);
    fix->acl = acl_new();
    *state = fix;
    return fix->acl == NULL;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;
    acl_free(fix->acl);
    bitcask_buffer_free(&fix->line);
    unlink(fix->file);
    int result = rmdir(fix->directory);
    free(fix);
    return result;
}

enum { MAX_WORDS = 32 };

static size_t split(const char *text, char *copy, bitcask_slice *slices)
{
    const char *words[MAX_WORDS];
    int count = settings_split(text, copy, words, MAX_WORDS);
    assert_true(count >= 0);
    for (int i = 0; i < count; i++)
        slices[i] = bitcask_str(words[i]);
    return (size_t)count;
}

/* ACL SETUSER NAME RULES... */
static bool set_user(struct fixture *fix, const char *name, const char *rules)
{
    char copy[1024];
    bitcask_slice slices[MAX_WORDS];
    size_t count = split(rules, copy, slices);
    return acl_set_user(fix->acl, bitcask_str(name), slices, count, &fix->error);
}

static void expect_line(struct fixture *fix, const char *name, const char *expected)
{
    struct acl_user *user = acl_user_find(fix->acl, bitcask_str(name));
    assert_non_null(user);
    fix->line.size = 0;
    assert_true(acl_describe(user, &fix->line));
    assert_string_equal(fix->line.data, expected);
    acl_user_release(user);
}

static void expect_refused(struct fixture *fix, const char *rules, const char *why)
{
    assert_false(set_user(fix, "u", rules));
    if (strstr(fix->error.message, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, fix->error.message);
}

static bool logs_in(struct fixture *fix, const char *name, const char *password)
{
    struct acl_user *user = acl_authenticate(fix->acl, bitcask_str(name), bitcask_str(password));
    if (user != NULL)
        acl_user_release(user);
    return user != NULL;
}

/* What the user's rules say to a command line. */
static enum acl_answer check(struct fixture *fix, const char *name, const char *line, size_t *which)
{
    char copy[1024];
    bitcask_slice words[MAX_WORDS];
    size_t count = split(line, copy, words);
    struct command_call call = {command_resolve(words, count), words, count};
    assert_non_null(call.command);
    struct acl_user *user = acl_user_find(fix->acl, bitcask_str(name));
    assert_non_null(user);
    enum acl_answer answer = acl_check(user, &call, which);
    acl_user_release(user);
    return answer;
}

static void expect(struct fixture *fix, const char *line, enum acl_answer answer, size_t word)
{
    size_t which;
    if (check(fix, "u", line, &which) != answer || which != word)
        fail_msg("%s: not the answer %d about word %zu", line, answer, word);
}

/* ---- Users ---------------------------------------------------------------------------------- */

static void at_first_there_is_default_who_may_do_everything(void **state)
{
    struct fixture *fix = *state;
    expect_line(fix, "default", "user default on nopass ~* &* +@all");
    assert_true(acl_default_is_open(fix->acl));
    assert_true(logs_in(fix, "default", "anything"));
    assert_false(logs_in(fix, "nobody", "anything"));
    assert_false(acl_delete_user(fix->acl, bitcask_str("default")));
}

static void new_user_may_do_nothing(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", ""));
    expect_line(fix, "u", "user u off resetchannels -@all");
    expect(fix, "get a", ACL_NO_COMMAND, 0);
    assert_false(logs_in(fix, "u", ""));
}

static void user_is_described_by_the_words_that_made_it(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u",
                         "on >foo ~a* %R~r* %W~w* %RW~both &ch* +@read +GET -set +config|get "
                         "-@dangerous"));
    expect_line(fix, "u",
                "user u on "
                "#2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae ~a* %R~r* %W~w* "
                "~both resetchannels &ch* -@all +@read +get -set +config|get -@dangerous");
    assert_true(set_user(fix, "u", "-get +config nopass allkeys allchannels off"));
    expect_line(fix, "u", "user u off nopass ~* &* -@all +@read -set -@dangerous -get +config");
    assert_true(set_user(fix, "u", "allcommands -config|set"));
    expect_line(fix, "u", "user u off nopass ~* &* +@all -config|set");
    assert_true(set_user(fix, "u", "reset"));
    expect_line(fix, "u", "user u off sanitize-payload resetchannels -@all");
}

static void bad_rules_are_named_and_change_nothing(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", "on >foo ~a"));
    expect_refused(fix, "off foo", "Error in ACL SETUSER modifier 'foo': Syntax error");
    expect_refused(fix, "+nothing", "'+nothing': Unknown command or category name in ACL");
    expect_refused(fix, "+@nothing", "Unknown command or category name in ACL");
    expect_refused(fix, "+config|nothing", "Unknown command or category name in ACL");
    expect_refused(fix, "+", "Unknown command or category name in ACL");
    expect_refused(fix, "<bar", "The password you are trying to remove from the user does not");
    expect_refused(fix, "#12", "must be exactly 64 characters");
    expect_refused(fix, "#2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE",
                   "only lowercase hexadecimal");
    expect_refused(fix, "%X~a", "Syntax error");
    expect_refused(fix, "%~a", "Syntax error");
    expect_refused(fix, "%R", "Syntax error");
    expect_refused(fix, "\"~a b\"", "Syntax error");
    expect_refused(fix, "~* ~b", "Adding a pattern after the * pattern");
    expect_refused(fix, "&* &b", "Adding a pattern after the * pattern");
    expect_refused(fix, "(+get", "Selectors are not supported");
    expect_refused(fix, "\"\"", "Syntax error");
    expect_line(fix, "u",
                "user u on #2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae ~a "
                "resetchannels -@all");
}

static void bad_names_are_refused(void **state)
{
    struct fixture *fix = *state;
    char longest[66];
    memset(longest, 'n', sizeof longest);
    longest[65] = '\0';
    assert_false(set_user(fix, "", "on"));
    assert_false(set_user(fix, "a b", "on"));
    assert_false(set_user(fix, "a\nb", "on"));
    assert_false(set_user(fix, longest, "on"));
    longest[64] = '\0';
    assert_true(set_user(fix, longest, "on"));
}

/* ---- Passwords ------------------------------------------------------------------------------ */

static void several_passwords(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", "on >one >two >one"));
    assert_true(logs_in(fix, "u", "one"));
    assert_true(logs_in(fix, "u", "two"));
    assert_false(logs_in(fix, "u", "three"));
    assert_false(logs_in(fix, "u", ""));
    assert_true(set_user(fix, "u", "<one"));
    assert_false(logs_in(fix, "u", "one"));
    assert_true(set_user(fix, "u", "off"));
    assert_false(logs_in(fix, "u", "two"));
    assert_true(set_user(fix, "u", "on resetpass"));
    assert_false(logs_in(fix, "u", "two"));
    assert_true(set_user(fix, "u", "nopass"));
    assert_true(logs_in(fix, "u", "whatever"));
}

static void requirepass_closes_default_and_opens_it_again(void **state)
{
    struct fixture *fix = *state;
    assert_true(acl_require(fix->acl, "secret"));
    assert_false(acl_default_is_open(fix->acl));
    assert_true(logs_in(fix, "default", "secret"));
    assert_false(logs_in(fix, "default", "other"));
    assert_true(acl_require(fix->acl, ""));
    assert_true(acl_default_is_open(fix->acl));
}

static bool tries(struct fixture *fix, const char *address, const char *password, uint64_t now_us)
{
    struct acl_user *user =
        acl_login(fix->acl, address, 3, now_us, bitcask_str("default"), bitcask_str(password));
    if (user != NULL)
        acl_user_release(user);
    return user != NULL;
}

static void too_many_failures_from_an_address_are_not_looked_at(void **state)
{
    struct fixture *fix = *state;
    const uint64_t minute_us = 60000000;
    assert_true(acl_require(fix->acl, "secret"));
    assert_true(tries(fix, "10.0.0.1:1", "secret", minute_us));
    for (int i = 0; i < 3; i++)
        assert_false(tries(fix, i % 2 ? "10.0.0.1:1" : "10.0.0.1:2", "wrong", minute_us));
    assert_false(tries(fix, "10.0.0.1:3", "secret", 2 * minute_us - 1));
    assert_true(tries(fix, "10.0.0.2:3", "secret", minute_us));
    assert_true(tries(fix, "10.0.0.1:3", "secret", 2 * minute_us));
    for (int i = 0; i < 10; i++) /* without a limit */
        assert_null(acl_login(fix->acl, "10.0.0.1:1", 0, minute_us, bitcask_str("default"),
                              bitcask_str("wrong")));
    assert_true(tries(fix, "10.0.0.1:3", "secret", 3 * minute_us));
}

/* ---- Checks --------------------------------------------------------------------------------- */

static void keys_by_pattern_and_kind_of_access(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", "on nopass +@all ~both:* %R~read:* %W~write:*"));
    expect(fix, "get both:1", ACL_ALLOWED, 0);
    expect(fix, "get read:1", ACL_ALLOWED, 0);
    expect(fix, "get write:1", ACL_NO_KEY, 1);
    expect(fix, "get other", ACL_NO_KEY, 1);
    expect(fix, "set write:1 x", ACL_ALLOWED, 0);
    expect(fix, "set write:1 x get", ACL_NO_KEY, 1);
    expect(fix, "set both:1 x get", ACL_ALLOWED, 0);
    expect(fix, "set read:1 x", ACL_NO_KEY, 1);
    expect(fix, "mset both:1 x write:1 y read:1 z", ACL_NO_KEY, 5);
    expect(fix, "rename both:1 write:1", ACL_ALLOWED, 0);
    expect(fix, "rename both:1 read:1", ACL_NO_KEY, 2);
    expect(fix, "rename write:1 both:1", ACL_NO_KEY, 1);
    expect(fix, "strlen read:1", ACL_ALLOWED, 0);
    expect(fix, "config get x", ACL_ALLOWED, 0);
}

static void commands_by_name_category_and_subcommand(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", "on nopass ~* +@read -strlen +config|get"));
    expect(fix, "get a", ACL_ALLOWED, 0);
    expect(fix, "strlen a", ACL_NO_COMMAND, 0);
    expect(fix, "set a b", ACL_NO_COMMAND, 0);
    expect(fix, "config get a", ACL_ALLOWED, 0);
    expect(fix, "config set a b", ACL_NO_COMMAND, 0);
    expect(fix, "auth x", ACL_ALLOWED, 0); /* always */
    assert_true(set_user(fix, "u", "+@all -@write +set -config +@hash"));
    expect(fix, "set a b", ACL_ALLOWED, 0);
    expect(fix, "mset a b", ACL_NO_COMMAND, 0);
    expect(fix, "config get a", ACL_NO_COMMAND, 0);
}

static void channels_by_pattern(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", "on nopass +@all &news.*"));
    expect(fix, "publish news.a x", ACL_ALLOWED, 0);
    expect(fix, "publish other news.a", ACL_NO_CHANNEL, 1);
    expect(fix, "psubscribe news.*", ACL_ALLOWED, 0);
    expect(fix, "psubscribe news.* news.a*", ACL_NO_CHANNEL, 2); /* literally */
}

static void owner_may_do_everything_and_is_in_no_list(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "default", "reset"));
    struct acl_user *owner = acl_owner(fix->acl);
    bitcask_slice words[] = {bitcask_str("get"), bitcask_str("a")};
    struct command_call call = {command_resolve(words, 2), words, 2};
    size_t which;
    assert_int_equal(acl_check(owner, &call, &which), ACL_ALLOWED);
    assert_ptr_equal(acl_user_renew(fix->acl, owner), owner);
    acl_user_release(owner);
}

/* ---- Connected clients ---------------------------------------------------------------------- */

static void renewed_user_has_the_new_rules(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", "on nopass"));
    struct acl_user *user = acl_authenticate(fix->acl, bitcask_str("u"), bitcask_str(""));
    assert_non_null(user);
    struct acl_user *same = acl_user_renew(fix->acl, user);
    assert_ptr_equal(same, user);
    assert_true(set_user(fix, "other", "on"));
    assert_ptr_equal(acl_user_renew(fix->acl, user), user);
    assert_true(set_user(fix, "u", "off ~a"));
    user = acl_user_renew(fix->acl, user);
    assert_non_null(user);
    assert_true(acl_check_key(user, bitcask_str("a"), true));
    assert_true(acl_delete_user(fix->acl, bitcask_str("u")));
    assert_false(acl_delete_user(fix->acl, bitcask_str("u")));
    assert_null(acl_user_renew(fix->acl, user));
}

/* ---- The file ------------------------------------------------------------------------------- */

static void write_file(struct fixture *fix, const char *text)
{
    FILE *out = fopen(fix->file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void saved_users_are_loaded_again(void **state)
{
    struct fixture *fix = *state;
    assert_true(set_user(fix, "u", "on >foo ~a* +@read"));
    assert_true(set_user(fix, "default", "off"));
    assert_true(acl_save_file(fix->acl, fix->file, &fix->error));
    struct stat stat_of;
    assert_int_equal(stat(fix->file, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
    assert_true(set_user(fix, "v", "on"));
    assert_true(set_user(fix, "u", "reset"));
    assert_true(acl_load_file(fix->acl, fix->file, &fix->error));
    assert_true(logs_in(fix, "u", "foo"));
    assert_false(logs_in(fix, "default", ""));
    assert_null(acl_user_find(fix->acl, bitcask_str("v")));
}

static void file_without_default_leaves_it_its_required_password(void **state)
{
    struct fixture *fix = *state;
    assert_true(acl_require(fix->acl, "secret"));
    write_file(fix, "# users\n\nuser u on nopass\n");
    assert_true(acl_load_file(fix->acl, fix->file, &fix->error));
    assert_true(logs_in(fix, "default", "secret"));
    assert_false(logs_in(fix, "default", ""));
}

static void bad_file_changes_nothing(void **state)
{
    struct fixture *fix = *state;
    static const char *const bad[][2] = {
        {"user u on\nuser v nonsense\n", ":2: Error in modifier 'nonsense': Syntax error"},
        {"user u on\nusr v\n", ":2: should start with user keyword"},
        {"user\n", ":1: should start with user keyword"},
        {"user u on\nuser u off\n", ":2: the user is there twice"},
        {"user u \"on\n", ":1: quotes that do not end"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(fix, bad[i][0]);
        assert_false(acl_load_file(fix->acl, fix->file, &fix->error));
        if (strstr(fix->error.message, bad[i][1]) == NULL)
            fail_msg("'%s' is not in '%s'", bad[i][1], fix->error.message);
        assert_null(acl_user_find(fix->acl, bitcask_str("u")));
    }
    assert_false(acl_load_file(fix->acl, "/nowhere", &fix->error));
}

/* ---- ACL LOG -------------------------------------------------------------------------------- */

static void same_refusal_within_a_minute_is_counted(void **state)
{
    struct fixture *fix = *state;
    struct acl_log *log = acl_log_of(fix->acl);
    struct acl_log_entry entry = {.time_us = 1, .reason = "key", .context = "toplevel"};
    struct acl_log_entry copies[4];
    acl_log_add(log, &entry);
    entry.object[0] = 'a';
    entry.object_size = 1;
    acl_log_add(log, &entry);
    entry.object_size = 0;
    entry.time_us = 2;
    acl_log_add(log, &entry);
    assert_int_equal(acl_log_copy(log, copies, 4), 2);
    assert_int_equal(copies[0].count, 2);
    assert_int_equal(copies[0].object_size, 0);
    assert_int_equal(copies[1].count, 1);
    entry.time_us = 60000002;
    acl_log_add(log, &entry);
    assert_int_equal(acl_log_copy(log, copies, 4), 3);
    for (int i = 0; i < 2 * ACL_LOG_ENTRIES; i++) {
        entry.client_id = (uint64_t)i;
        snprintf(entry.user, sizeof entry.user, "%d", i);
        acl_log_add(log, &entry);
    }
    struct acl_log_entry *all = malloc(300 * sizeof *all);
    assert_int_equal(acl_log_copy(log, all, 300), ACL_LOG_ENTRIES);
    assert_string_equal(all[0].user, "255");
    assert_string_equal(all[ACL_LOG_ENTRIES - 1].user, "128");
    free(all);
    acl_log_reset(log);
    assert_int_equal(acl_log_copy(log, copies, 4), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(at_first_there_is_default_who_may_do_everything),
        TEST(new_user_may_do_nothing),
        TEST(user_is_described_by_the_words_that_made_it),
        TEST(bad_rules_are_named_and_change_nothing),
        TEST(bad_names_are_refused),
        TEST(several_passwords),
        TEST(requirepass_closes_default_and_opens_it_again),
        TEST(too_many_failures_from_an_address_are_not_looked_at),
        TEST(keys_by_pattern_and_kind_of_access),
        TEST(commands_by_name_category_and_subcommand),
        TEST(channels_by_pattern),
        TEST(owner_may_do_everything_and_is_in_no_list),
        TEST(renewed_user_has_the_new_rules),
        TEST(saved_users_are_loaded_again),
        TEST(file_without_default_leaves_it_its_required_password),
        TEST(bad_file_changes_nothing),
        TEST(same_refusal_within_a_minute_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
