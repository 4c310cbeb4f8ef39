/* SPDX-License-Identifier: MIT
 * acl_check.c: may a user run a command, with these keys and channels? */
#include <string.h>
#include <strings.h>

#include "acl_user.h"
#include "command.h"
#include "pubsub.h"

static bool equals(bitcask_slice a, const char *b, size_t size)
{
    return a.size == size && memcmp(a.data, b, size) == 0;
}

/* SET reads only with GET. */
static bool has_get_option(const struct command_call *call)
{
    for (size_t i = 3; i < call->count; i++)
        if (call->words[i].size == 3 && strncasecmp(call->words[i].data, "get", 3) == 0)
            return true;
    return false;
}

/* What a command does with a key, by its key specification ("RW access update"): reading counts
 * where the value can be told from the answer. A specification stands for all keys behind it that
 * have none of their own. */
static unsigned access_of(const struct command_call *call, size_t key)
{
    const char *flags = call->command->key_flags;
    for (const char *next; key > 0 && (next = strchr(flags, ';')) != NULL; key--)
        flags = next + 1;
    size_t size = strcspn(flags, ";");
    unsigned access = 0;
    if (memmem(flags, size, "access", 6) != NULL &&
        (memmem(flags, size, "variable_flags", 14) == NULL || has_get_option(call)))
        access |= ACL_READ;
    if (memmem(flags, size, "insert", 6) != NULL || memmem(flags, size, "update", 6) != NULL ||
        memmem(flags, size, "delete", 6) != NULL)
        access |= ACL_WRITE;
    return access;
}

static bool key_allowed(const struct acl_user *user, bitcask_slice key, unsigned access)
{
    if (user->keys.all)
        return true;
    for (size_t i = 0; i < user->keys.count; i++) {
        const struct acl_pattern *pattern = &user->keys.list[i];
        if ((pattern->access & access) == access &&
            glob_match(bitcask_bytes(pattern->text, pattern->size), key, false))
            return true;
    }
    return false;
}

bool acl_check_key(const struct acl_user *user, bitcask_slice key, bool write)
{
    return key_allowed(user, key, write ? ACL_WRITE : ACL_READ);
}

bool acl_check_channel(const struct acl_user *user, bitcask_slice channel, bool is_pattern)
{
    if (user->channels.all)
        return true;
    for (size_t i = 0; i < user->channels.count; i++) {
        const struct acl_pattern *pattern = &user->channels.list[i];
        /* Who subscribes to a pattern must have that very pattern. */
        if (is_pattern ? equals(channel, pattern->text, pattern->size)
                       : glob_match(bitcask_bytes(pattern->text, pattern->size), channel, false))
            return true;
    }
    return false;
}

static enum acl_answer check_keys(const struct acl_user *user, const struct command_call *call,
                                  size_t *which)
{
    const struct command *command = call->command;
    if (command->first_key <= 0 || user->keys.all)
        return ACL_ALLOWED;
    size_t step = command->key_step > 0 ? (size_t)command->key_step : 1;
    size_t last = command->last_key >= 0 ? (size_t)command->last_key
                                         : call->count - (size_t)-command->last_key;
    size_t key = 0;
    for (size_t i = (size_t)command->first_key; i <= last && i < call->count; i += step, key++) {
        if (key_allowed(user, call->words[i], access_of(call, key)))
            continue;
        *which = i;
        return ACL_NO_KEY;
    }
    return ACL_ALLOWED;
}

static enum acl_answer check_channels(const struct acl_user *user, const struct command_call *call,
                                      size_t *which)
{
    static const struct {
        const char *name;
        bool all, patterns;
    } commands[] = {
        {"publish", false, false},   {"spublish", false, false}, {"subscribe", true, false},
        {"ssubscribe", true, false}, {"psubscribe", true, true},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, call->command->name) != 0)
            continue;
        size_t end = commands[i].all ? call->count : 2;
        for (size_t word = 1; word < end && word < call->count; word++) {
            if (acl_check_channel(user, call->words[word], commands[i].patterns))
                continue;
            *which = word;
            return ACL_NO_CHANNEL;
        }
    }
    return ACL_ALLOWED;
}

enum acl_answer acl_check(const struct acl_user *user, const struct command_call *call,
                          size_t *which)
{
    const struct command *command = call->command;
    *which = 0;
    if (user->owner)
        return ACL_ALLOWED;
    if ((user->allowed[command->index / 8] >> command->index % 8 & 1) == 0 &&
        (command->flags & COMMAND_NO_AUTH) == 0)
        return ACL_NO_COMMAND;
    enum acl_answer answer = check_keys(user, call, which);
    if (answer == ACL_ALLOWED && !user->channels.all &&
        (command->categories & CATEGORY_PUBSUB) != 0)
        answer = check_channels(user, call, which);
    return answer;
}
