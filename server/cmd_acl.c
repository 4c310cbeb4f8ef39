/* SPDX-License-Identifier: MIT
 * cmd_acl.c: the ACL commands, and logging in for AUTH and HELLO. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "acl.h"
#include "acl_log.h"
#include "client.h"
#include "cmd.h"
#include "command.h"
#include "journal.h"
#include "metrics.h"
#include "reply.h"
#include "settings.h"
#include "words.h"

/* ---- Refusals ------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

void acl_note_refusal(struct client *client, const char *reason, bitcask_slice object,
                      bitcask_slice user)
{
    struct acl_log_entry entry = {
        .time_us = server_wall_us(),
        .reason = reason,
        .context = (client->flags & CLIENT_MULTI) != 0 ? "multi" : "toplevel",
        .client_id = client->id,
    };
    entry.object_size = object.size < ACL_LOG_OBJECT_SIZE ? object.size : ACL_LOG_OBJECT_SIZE;
    memcpy(entry.object, object.data, entry.object_size);
    snprintf(entry.user, sizeof entry.user, "%.*s", user.size > 64 ? 64 : (int)user.size,
             (const char *)user.data);
    copy_text(entry.address, sizeof entry.address, client->address);
    acl_log_add(acl_log_of(client->server->acl), &entry);
}

bool acl_client_login(struct client *client, bitcask_slice name, bitcask_slice password)
{
    struct server *server = client->server;
    uint64_t limit = setting_number(server->settings, SETTING_AUTH_FAILURES_PER_MINUTE);
    uint64_t now_us = server_monotonic_us();
    bool locked_out = acl_is_locked_out(server->acl, client->address, limit, now_us);
    struct acl_user *user = acl_login(server->acl, client->address, limit, now_us, name, password);
    if (user == NULL)
        metrics_add(server->metrics, client->slot, METRIC_AUTH_FAILURES, 1);
    if (user == NULL && locked_out)
        return false;
    if (user == NULL) {
        acl_note_refusal(client, "auth", bitcask_str("AUTH"), name);
        journal_note(server->journal, BITCASK_LOG_WARN, "auth-failed", "address", client->address,
                     NULL); /* not the name: people type passwords there */
        if (acl_is_locked_out(server->acl, client->address, limit, now_us))
            journal_note(server->journal, BITCASK_LOG_WARN, "auth-locked-out", "address",
                         client->address, "why",
                         "auth-failures-per-minute: until the minute is over", NULL);
        return false;
    }
    if (client->user != NULL)
        acl_user_release(client->user);
    client->user = user;
    return true;
}

/* ---- Who there is --------------------------------------------------------------------------- */

struct list {
    struct client *client;
    size_t count;
    bool names;
};

static void reply_user(void *context, const struct acl_user *user)
{
    struct list *list = context;
    bitcask_buffer line = {0};
    if (list->names)
        reply_bulk_text(list->client, acl_user_name(user));
    else if (acl_describe(user, &line))
        reply_bulk(list->client, bitcask_bytes(line.data, line.size));
    else
        reply_null(list->client);
    bitcask_buffer_free(&line);
    list->count++;
}

static void reply_users(struct client *client, bool names)
{
    struct list list = {client, 0, names};
    size_t mark = reply_later(client);
    acl_each(client->server->acl, reply_user, &list);
    reply_end(client, mark, REPLY_ARRAY, list.count);
}

void cmd_acl_list(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_users(client, false);
}

void cmd_acl_users(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_users(client, true);
}

void cmd_acl_whoami(struct client *client, const struct command_call *call)
{
    (void)call;
    if (client->user != NULL)
        reply_bulk_text(client, acl_user_name(client->user));
    else
        reply_null(client);
}

/* The words of a part, as elements. */
static void reply_words(struct client *client, const bitcask_buffer *text,
                        enum reply_aggregate kind)
{
    size_t mark = reply_later(client), count = 0;
    const char *p = text->data, *end = p + text->size;
    while (text->size > 0 && p < end) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        size_t size = (size_t)((space != NULL ? space : end) - p);
        reply_bulk(client, bitcask_bytes(p, size));
        count++;
        p += size + 1;
    }
    reply_end(client, mark, kind, count);
}

static void reply_part(struct client *client, const struct acl_user *user, const char *name,
                       enum acl_part part)
{
    bitcask_buffer text = {0};
    (void)!acl_describe_part(user, part, &text); /* without memory: what there is of it */
    reply_bulk_text(client, name);
    if (part == ACL_FLAGS)
        reply_words(client, &text, REPLY_SET);
    else if (part == ACL_PASSWORDS)
        reply_words(client, &text, REPLY_ARRAY);
    else
        reply_bulk(client, text.size > 0 ? bitcask_bytes(text.data, text.size) : bitcask_str(""));
    bitcask_buffer_free(&text);
}

void cmd_acl_getuser(struct client *client, const struct command_call *call)
{
    struct acl_user *user = acl_user_find(client->server->acl, call->words[2]);
    if (user == NULL) {
        reply_null(client);
        return;
    }
    reply_map(client, 6);
    reply_part(client, user, "flags", ACL_FLAGS);
    reply_part(client, user, "passwords", ACL_PASSWORDS);
    reply_part(client, user, "commands", ACL_COMMANDS);
    reply_part(client, user, "keys", ACL_KEYS);
    reply_part(client, user, "channels", ACL_CHANNELS);
    reply_bulk_text(client, "selectors");
    reply_array(client, 0);
    acl_user_release(user);
}

/* ---- Changing ------------------------------------------------------------------------------- */

void cmd_acl_setuser(struct client *client, const struct command_call *call)
{
    bitcask_error error;
    if (acl_set_user(client->server->acl, call->words[2], call->words + 3, call->count - 3, &error))
        reply_ok(client);
    else
        reply_error(client, "ERR %s", error.message);
}

static bool is_default(bitcask_slice name)
{
    return name.size == 7 && memcmp(name.data, "default", 7) == 0;
}

void cmd_acl_deluser(struct client *client, const struct command_call *call)
{
    int64_t deleted = 0;
    for (size_t i = 2; i < call->count; i++)
        if (is_default(call->words[i])) {
            reply_error(client, "ERR The 'default' user cannot be removed");
            return;
        }
    for (size_t i = 2; i < call->count; i++)
        deleted += acl_delete_user(client->server->acl, call->words[i]);
    reply_integer(client, deleted);
}

static const char *acl_file_or_error(struct client *client)
{
    const char *file = setting_text(client->server->settings, SETTING_ACLFILE);
    if (file[0] != '\0')
        return file;
    reply_error(client, "ERR This server is not configured to use an ACL file. Set aclfile and "
                        "start it again.");
    return NULL;
}

void cmd_acl_load(struct client *client, const struct command_call *call)
{
    (void)call;
    bitcask_error error;
    const char *file = acl_file_or_error(client);
    if (file == NULL)
        return;
    if (acl_load_file(client->server->acl, file, &error))
        reply_ok(client);
    else
        reply_error(client, "ERR %s", error.message);
}

void cmd_acl_save(struct client *client, const struct command_call *call)
{
    (void)call;
    bitcask_error error;
    const char *file = acl_file_or_error(client);
    if (file == NULL)
        return;
    if (acl_save_file(client->server->acl, file, &error)) {
        reply_ok(client);
        return;
    }
    journal_note(client->server->journal, BITCASK_LOG_WARN, "acl-save-failed", "error",
                 error.message, NULL);
    reply_error(client, "ERR There was an error trying to save the ACLs. Please check the server "
                        "logs for more information");
}

/* ---- DRYRUN --------------------------------------------------------------------------------- */

static bool arity_fits(const struct command *command, size_t count)
{
    return command->arity >= 0 ? count == (size_t)command->arity : count >= (size_t)-command->arity;
}

static void reply_dry_run(struct client *client, const struct acl_user *user,
                          const struct command_call *call)
{
    size_t which;
    const bitcask_slice *words = call->words;
    switch (acl_check(user, call, &which)) {
    case ACL_ALLOWED:
        reply_ok(client);
        break;
    case ACL_NO_COMMAND:
        reply_bulk_format(client, "This user has no permissions to run the '%s' command",
                          call->command->name);
        break;
    case ACL_NO_KEY:
    case ACL_NO_CHANNEL:
        reply_bulk_format(client, "This user has no permissions to access the '%.*s' %s",
                          (int)words[which].size, (const char *)words[which].data,
                          call->command->first_key > 0 ? "key" : "channel");
        break;
    }
}

void cmd_acl_dryrun(struct client *client, const struct command_call *call)
{
    const bitcask_slice name = call->words[2], *words = call->words + 3;
    struct acl_user *user = acl_user_find(client->server->acl, name);
    if (user == NULL) {
        reply_error(client, "ERR User '%.*s' not found", (int)name.size, (const char *)name.data);
        return;
    }
    struct command_call dry = {command_resolve(words, call->count - 3), words, call->count - 3};
    if (dry.command == NULL)
        reply_error(client, "ERR Command '%.*s' not found", (int)words->size,
                    (const char *)words->data);
    else if (!arity_fits(dry.command, dry.count))
        reply_error(client, "ERR wrong number of arguments for '%s' command", dry.command->name);
    else
        reply_dry_run(client, user, &dry);
    acl_user_release(user);
}

/* ---- CAT, GENPASS --------------------------------------------------------------------------- */

static const char *const category_order[] = {
    "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
    "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting",
};

static size_t reply_commands_of(struct client *client, const struct command *commands,
                                unsigned category)
{
    size_t count = 0;
    for (const struct command *c = commands; c != NULL && c->name != NULL; c++) {
        if ((c->categories & category) != 0) {
            reply_bulk_text(client, c->name);
            count++;
        }
        count += reply_commands_of(client, c->subcommands, category);
    }
    return count;
}

void cmd_acl_cat(struct client *client, const struct command_call *call)
{
    const size_t categories = sizeof category_order / sizeof category_order[0];
    if (call->count == 2) {
        reply_array(client, categories);
        for (size_t i = 0; i < categories; i++)
            reply_bulk_text(client, category_order[i]);
        return;
    }
    unsigned category = acl_category(call->words[2]);
    if (call->count > 3) {
        reply_error(client, "ERR unknown subcommand or wrong number of arguments for 'cat'. Try "
                            "ACL HELP.");
    } else if (category == 0) {
        reply_error(client, "ERR Unknown category '%.*s'", (int)call->words[2].size,
                    (const char *)call->words[2].data);
    } else {
        size_t mark = reply_later(client);
        reply_end(client, mark, REPLY_ARRAY, reply_commands_of(client, command_table, category));
    }
}

void cmd_acl_genpass(struct client *client, const struct command_call *call)
{
    enum { MAX_BITS = 4096 };
    if (call->count > 3) {
        reply_error(client, "ERR unknown subcommand or wrong number of arguments for 'genpass'. "
                            "Try ACL HELP.");
        return;
    }
    int64_t bits = 256;
    if (call->count > 2 && !word_to_integer(call->words[2], &bits)) {
        reply_error(client, "ERR value is not an integer or out of range");
        return;
    }
    if (bits <= 0 || bits > MAX_BITS) {
        reply_error(client, "ERR ACL GENPASS argument must be the number of bits for the output "
                            "password, a positive number up to 4096");
        return;
    }
    unsigned char bytes[MAX_BITS / 8];
    char digits[MAX_BITS / 4 + 2];
    size_t count = ((size_t)bits + 3) / 4;
    for (size_t done = 0; done < sizeof bytes;) {
        ssize_t got = getrandom(bytes + done, sizeof bytes - done, 0);
        done += got > 0 ? (size_t)got : 0;
    }
    for (size_t i = 0; i < (count + 1) / 2; i++)
        snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
    reply_bulk(client, bitcask_bytes(digits, count));
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(digits, sizeof digits);
}

/* ---- LOG ------------------------------------------------------------------------------------ */

static void reply_log_entry(struct client *client, const struct acl_log_entry *entry,
                            uint64_t now_us)
{
    uint64_t age_us = now_us > entry->time_us ? now_us - entry->time_us : 0;
    reply_map(client, 7);
    reply_bulk_text(client, "count");
    reply_integer(client, (int64_t)entry->count);
    reply_bulk_text(client, "reason");
    reply_bulk_text(client, entry->reason);
    reply_bulk_text(client, "context");
    reply_bulk_text(client, entry->context);
    reply_bulk_text(client, "object");
    reply_bulk(client, bitcask_bytes(entry->object, entry->object_size));
    reply_bulk_text(client, "username");
    reply_bulk_text(client, entry->user);
    reply_bulk_text(client, "age-seconds");
    const uint64_t age_ms = age_us / 1000; /* three digits, as Redis has them */
    reply_double(client, (double)age_ms / 1000);
    reply_bulk_text(client, "client-info");
    reply_bulk_format(client, "id=%" PRIu64 " addr=%s", entry->client_id, entry->address);
}

void cmd_acl_log(struct client *client, const struct command_call *call)
{
    enum { DEFAULT_COUNT = 10 };
    struct acl_log *log = acl_log_of(client->server->acl);
    size_t count = DEFAULT_COUNT;
    if (call->count == 3) {
        const bitcask_slice word = call->words[2];
        if (word.size == 5 && strncasecmp(word.data, "reset", 5) == 0) {
            acl_log_reset(log);
            reply_ok(client);
            return;
        }
        int64_t wanted;
        if (!word_to_integer(word, &wanted)) {
            reply_error(client, "ERR value is not an integer or out of range");
            return;
        }
        count = wanted > 0 ? (size_t)wanted : 0;
    } else if (call->count > 3) {
        reply_error(client, "ERR wrong number of arguments for 'acl|log' command");
        return;
    }
    struct acl_log_entry *entries = malloc(ACL_LOG_ENTRIES * sizeof *entries);
    if (entries == NULL) {
        reply_error(client, "ERR out of memory");
        return;
    }
    count = acl_log_copy(log, entries, count < ACL_LOG_ENTRIES ? count : ACL_LOG_ENTRIES);
    reply_array(client, count);
    uint64_t now_us = server_wall_us();
    for (size_t i = 0; i < count; i++)
        reply_log_entry(client, &entries[i], now_us);
    free(entries);
}

void cmd_acl_help(struct client *client, const struct command_call *call)
{
    (void)call;
    static const char *const lines[] = {
        "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DELUSER <username> [<username> ...]",
        "    Delete a list of users.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "LIST",
        "    Show users details in config file format.",
        "LOAD",
        "    Reload users from the ACL file.",
        "LOG [<count> | RESET]",
        "    Show the ACL log entries.",
        "SAVE",
        "    Save the current config to the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Create or modify a user with the specified attributes.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
        "HELP",
        "    Prints this help.",
    };
    reply_array(client, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        reply_simple(client, lines[i]);
}
