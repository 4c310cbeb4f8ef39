/* SPDX-License-Identifier: MIT
 * acl_threads_test.c: users are changed, saved and deleted while others log in, check and renew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acl.h"
#include "command.h"
#include "settings.h"

enum { CLIENTS = 3, ROUNDS = 2000 };

struct shared {
    struct acl *acl;
    struct settings *settings;
};

/* The user's rules are always one of two sets, whole: +get with ~a, or +set with ~b. */
static void check_rules(const struct acl_user *user)
{
    const bitcask_slice get[] = {bitcask_str("get"), bitcask_str("a")};
    const bitcask_slice set[] = {bitcask_str("set"), bitcask_str("b"), bitcask_str("v")};
    const struct command_call get_a = {command_resolve(get, 2), get, 2};
    const struct command_call set_b = {command_resolve(set, 3), set, 3};
    size_t which;
    bool may_get = acl_check(user, &get_a, &which) == ACL_ALLOWED;
    bool may_set = acl_check(user, &set_b, &which) == ACL_ALLOWED;
    if (may_get == may_set)
        abort();
}

static void *run_client(void *context)
{
    struct shared *shared = context;
    struct acl_user *user = NULL;
    for (int i = 0; i < ROUNDS; i++) {
        if (user == NULL)
            user = acl_login(shared->acl, "127.0.0.1:1", 1000000, 1, bitcask_str("u"),
                             bitcask_str("secret"));
        if (user != NULL) {
            check_rules(user);
            user = acl_user_renew(shared->acl, user);
        }
        acl_default_is_open(shared->acl);
        if (strlen(setting_text(shared->settings, SETTING_REQUIREPASS)) > 2)
            abort();
    }
    if (user != NULL)
        acl_user_release(user);
    return NULL;
}

static void set_user(struct acl *acl, bool get)
{
    const bitcask_slice rules[] = {
        bitcask_str("reset"),           bitcask_str("on"),
        bitcask_str(">secret"),         bitcask_str(get ? "+get" : "+set"),
        bitcask_str(get ? "~a" : "~b"),
    };
    assert_true(acl_set_user(acl, bitcask_str("u"), rules, 5, NULL));
}

static void rules_are_whole_whatever_others_do(void **state)
{
    (void)state;
    struct shared shared = {acl_new(), settings_new()};
    pthread_t threads[CLIENTS];
    char file[] = "/tmp/acl_threads_test.XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    close(fd);
    set_user(shared.acl, true);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, &shared), 0);
    for (int i = 0; i < ROUNDS / 4; i++) {
        bitcask_error error;
        uint64_t changed;
        const bitcask_slice pair[] = {bitcask_str("requirepass"), bitcask_str(i % 2 ? "" : "pw")};
        set_user(shared.acl, i % 2 == 0);
        assert_true(settings_change(shared.settings, pair, 1, &changed, &error));
        assert_true(acl_require(shared.acl, setting_text(shared.settings, SETTING_REQUIREPASS)));
        if (i % 50 == 0)
            assert_true(acl_save_file(shared.acl, file, &error));
        if (i % 50 == 25)
            assert_true(acl_load_file(shared.acl, file, &error));
        if (i % 9 == 0)
            acl_delete_user(shared.acl, bitcask_str("u"));
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    unlink(file);
    acl_free(shared.acl);
    settings_free(shared.settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rules_are_whole_whatever_others_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
