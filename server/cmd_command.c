/* SPDX-License-Identifier: MIT
 * cmd_command.c: COMMAND: the table of commands, told. */
#include <stdio.h>
#include <string.h>

#include "acl.h"
#include "client.h"
#include "cmd.h"
#include "dispatch.h"
#include "pubsub.h"
#include "reply.h"
#include "words.h"

/* ---- COMMAND, COMMAND INFO ------------------------------------------------------------------ */

static void reply_flags(struct client *client, const struct command *command)
{
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {
        {COMMAND_WRITE, "write"},
        {COMMAND_READONLY, "readonly"},
        {COMMAND_DENYOOM, "denyoom"},
        {COMMAND_ADMIN, "admin"},
        {COMMAND_PUBSUB, "pubsub"},
        {COMMAND_NOSCRIPT, "noscript"},
        {COMMAND_MAY_BLOCK, "blocking"},
        {COMMAND_LOADING, "loading"},
        {COMMAND_STALE, "stale"},
        {COMMAND_NO_MONITOR, "skip_monitor"},
        {COMMAND_NO_SLOWLOG, "skip_slowlog"},
        {COMMAND_FAST, "fast"},
        {COMMAND_NO_AUTH, "no_auth"},
        {COMMAND_NO_ASYNC_LOADING, "no_async_loading"},
        {COMMAND_NO_MULTI, "no_multi"},
        {COMMAND_ALLOW_BUSY, "allow_busy"},
    };
    size_t mark = reply_later(client), count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((command->flags & names[i].flag) == 0)
            continue;
        reply_simple(client, names[i].name);
        count++;
    }
    reply_end(client, mark, REPLY_SET, count);
}

static void reply_categories(struct client *client, const struct command *command)
{
    size_t mark = reply_later(client), count = 0;
    for (unsigned bit = 0; acl_category_name(bit) != NULL; bit++) {
        char name[32];
        if ((command->categories >> bit & 1) == 0)
            continue;
        snprintf(name, sizeof name, "@%s", acl_category_name(bit));
        reply_simple(client, name);
        count++;
    }
    reply_end(client, mark, REPLY_SET, count);
}

/* The next word of `*text` up to `*end`; NULL: none. */
static const char *next_word(const char **text, const char *end, size_t *size)
{
    while (*text < end && **text == ' ')
        (*text)++;
    const char *word = *text;
    while (*text < end && **text != ' ')
        (*text)++;
    *size = (size_t)(*text - word);
    return *size > 0 ? word : NULL;
}

static size_t reply_words(struct client *client, const char *text, const char *end, bool simple)
{
    size_t size, count = 0;
    for (const char *word; (word = next_word(&text, end, &size)) != NULL; count++) {
        char copy[64];
        snprintf(copy, sizeof copy, "%.*s", (int)size, word);
        if (simple)
            reply_simple(client, copy);
        else
            reply_bulk_text(client, copy);
    }
    return count;
}

static void reply_key_flags(struct client *client, const char *from, const char *end)
{
    size_t mark = reply_later(client);
    reply_end(client, mark, REPLY_SET, reply_words(client, from, end, true));
}

/* A key specification: where keys begin, and how they go on. */
static void reply_key_spec(struct client *client, const char *flags, const char *flags_end,
                           int first, int last, int step)
{
    reply_map(client, 3);
    reply_bulk_text(client, "flags");
    reply_key_flags(client, flags, flags_end);
    reply_bulk_text(client, "begin_search");
    reply_map(client, 2);
    reply_bulk_text(client, "type");
    reply_bulk_text(client, "index");
    reply_bulk_text(client, "spec");
    reply_map(client, 1);
    reply_bulk_text(client, "index");
    reply_integer(client, first);
    reply_bulk_text(client, "find_keys");
    reply_map(client, 2);
    reply_bulk_text(client, "type");
    reply_bulk_text(client, "range");
    reply_bulk_text(client, "spec");
    reply_map(client, 3);
    reply_bulk_text(client, "lastkey");
    reply_integer(client, last);
    reply_bulk_text(client, "keystep");
    reply_integer(client, step);
    reply_bulk_text(client, "limit");
    reply_integer(client, 0);
}

static const char *end_of_spec(const char *flags)
{
    return flags + strcspn(flags, ";");
}

/* One specification for each part of key_flags; the single one may cover several keys. */
static void reply_key_specs(struct client *client, const struct command *command)
{
    const char *flags = command->key_flags;
    size_t mark = reply_later(client), count = 0;
    bool single = *end_of_spec(flags) == '\0';
    while (*flags != '\0') {
        const char *end = end_of_spec(flags);
        int last = command->last_key;
        last = !single ? 0 : last >= 0 ? last - command->first_key : last;
        reply_key_spec(client, flags, end, command->first_key + (int)count, last,
                       command->key_step);
        count++;
        flags = *end == ';' ? end + 1 : end;
    }
    reply_end(client, mark, REPLY_SET, count);
}

static void reply_info(struct client *client, const struct command *command)
{
    reply_array(client, 10);
    reply_bulk_text(client, command->name);
    reply_integer(client, command->arity);
    reply_flags(client, command);
    reply_integer(client, command->first_key);
    reply_integer(client, command->last_key);
    reply_integer(client, command->key_step);
    reply_categories(client, command);
    size_t mark = reply_later(client);
    size_t tips = reply_words(client, command->tips, command->tips + strlen(command->tips), false);
    reply_end(client, mark, REPLY_SET, tips);
    reply_key_specs(client, command);
    mark = reply_later(client);
    size_t count = 0;
    for (const struct command *sub = command->subcommands; sub != NULL && sub->name != NULL;
         sub++) {
        reply_info(client, sub);
        count++;
    }
    reply_end(client, mark, count > 0 ? REPLY_ARRAY : REPLY_SET, count);
}

static bool is_told(const struct command *command)
{
    return (command->flags & COMMAND_OTHER_TYPE) == 0;
}

void cmd_command(struct client *client, const struct command_call *call)
{
    (void)call;
    size_t mark = reply_later(client), count = 0;
    for (const struct command *command = command_table; command->name != NULL; command++) {
        if (!is_told(command))
            continue;
        reply_info(client, command);
        count++;
    }
    reply_end(client, mark, REPLY_ARRAY, count);
}

/* By "get" or "config|get". */
static const struct command *find_by_name(bitcask_slice name)
{
    const char *bar = name.size > 0 ? memchr(name.data, '|', name.size) : NULL;
    if (bar == NULL) {
        const struct command *command = command_find(name);
        return command != NULL && is_told(command) ? command : NULL;
    }
    size_t size = (size_t)(bar - (const char *)name.data);
    const struct command *command = command_find(bitcask_bytes(name.data, size));
    if (command == NULL || command->subcommands == NULL)
        return NULL;
    return command_find_sub(command, bitcask_bytes(bar + 1, name.size - size - 1));
}

void cmd_command_info(struct client *client, const struct command_call *call)
{
    if (call->count == 2) {
        cmd_command(client, call);
        return;
    }
    reply_array(client, call->count - 2);
    for (size_t i = 2; i < call->count; i++) {
        const struct command *command = find_by_name(call->words[i]);
        if (command != NULL)
            reply_info(client, command);
        else
            reply_null(client);
    }
}

void cmd_command_count(struct client *client, const struct command_call *call)
{
    (void)call;
    int64_t count = 0;
    for (const struct command *command = command_table; command->name != NULL; command++)
        count += is_told(command);
    reply_integer(client, count);
}

/* ---- COMMAND DOCS --------------------------------------------------------------------------- */

static const char *group_of(const struct command *command)
{
    static const struct {
        unsigned category;
        const char *name;
    } groups[] = {{CATEGORY_STRING, "string"},
                  {CATEGORY_BITMAP, "bitmap"},
                  {CATEGORY_KEYSPACE, "generic"},
                  {CATEGORY_PUBSUB, "pubsub"},
                  {CATEGORY_TRANSACTION, "transactions"},
                  {CATEGORY_CONNECTION, "connection"},
                  {CATEGORY_SCRIPTING, "scripting"}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (command->categories & groups[i].category)
            return groups[i].name;
    return "server";
}

static void reply_docs(struct client *client, const struct command *command)
{
    bool has_subs = command->subcommands != NULL;
    reply_bulk_text(client, command->name);
    reply_map(client, has_subs ? 4 : 3);
    reply_bulk_text(client, "summary");
    reply_bulk_text(client, command->summary);
    reply_bulk_text(client, "since");
    reply_bulk_text(client, command->since);
    reply_bulk_text(client, "group");
    reply_bulk_text(client, group_of(command));
    if (!has_subs)
        return;
    reply_bulk_text(client, "subcommands");
    size_t mark = reply_later(client), count = 0;
    for (const struct command *sub = command->subcommands; sub->name != NULL; sub++) {
        reply_docs(client, sub);
        count++;
    }
    reply_end(client, mark, REPLY_MAP, count);
}

void cmd_command_docs(struct client *client, const struct command_call *call)
{
    size_t mark = reply_later(client), count = 0;
    for (const struct command *command = command_table; command->name != NULL; command++) {
        if (call->count > 2 || !is_told(command))
            continue;
        reply_docs(client, command);
        count++;
    }
    for (size_t i = 2; i < call->count; i++) {
        const struct command *command = find_by_name(call->words[i]);
        if (command == NULL)
            continue;
        reply_docs(client, command);
        count++;
    }
    reply_end(client, mark, REPLY_MAP, count);
}

/* ---- COMMAND LIST --------------------------------------------------------------------------- */

struct list_filter {
    unsigned category; /* 0: any */
    const bitcask_slice *pattern;
    bool none;
};

static size_t list_names(struct client *client, const struct command *command,
                         const struct list_filter *filter)
{
    size_t count = 0;
    for (; command != NULL && command->name != NULL; command++) {
        if (!is_told(command))
            continue;
        bool wanted = !filter->none &&
                      (filter->category == 0 || (command->categories & filter->category) != 0) &&
                      (filter->pattern == NULL ||
                       glob_match(*filter->pattern, bitcask_str(command->name), true));
        if (wanted)
            reply_bulk_text(client, command->name);
        count += wanted;
        if (filter->category != 0 || filter->pattern != NULL)
            count += list_names(client, command->subcommands, filter);
    }
    return count;
}

void cmd_command_list(struct client *client, const struct command_call *call)
{
    struct list_filter filter = {0};
    if (call->count == 5 && word_is(call->words[2], "FILTERBY")) {
        if (word_is(call->words[3], "ACLCAT")) {
            filter.category = acl_category(call->words[4]);
            filter.none = filter.category == 0;
        } else if (word_is(call->words[3], "PATTERN")) {
            filter.pattern = &call->words[4];
        } else if (word_is(call->words[3], "MODULE")) {
            filter.none = true;
        } else {
            reply_syntax_error(client);
            return;
        }
    } else if (call->count != 2) {
        reply_syntax_error(client);
        return;
    }
    size_t mark = reply_later(client);
    reply_end(client, mark, REPLY_ARRAY, list_names(client, command_table, &filter));
}

/* ---- COMMAND GETKEYS ------------------------------------------------------------------------ */

/* SET reads the old value only if asked to. */
static const char *key_flags_of(const struct command *command, const bitcask_slice *words,
                                size_t count)
{
    if (command->run != cmd_set)
        return command->key_flags;
    for (size_t i = 3; i < count; i++)
        if (word_is(words[i], "GET"))
            return "RW access update";
    return "OW update";
}

static void reply_keys(struct client *client, const struct command_call *call, bool with_flags)
{
    const bitcask_slice *words = call->words + 2;
    size_t count = call->count - 2, found = 0;
    const struct command *command = command_resolve(words, count);
    if (command == NULL || !is_told(command)) {
        reply_error(client, "ERR Invalid command specified");
        return;
    }
    if (command->first_key == 0) {
        reply_error(client, "ERR The command has no key arguments");
        return;
    }
    if (!command_takes(command, count)) {
        reply_error(client, "ERR Invalid number of arguments specified for command");
        return;
    }
    size_t last =
        command->last_key < 0 ? count - (size_t)-command->last_key : (size_t)command->last_key;
    const char *flags = key_flags_of(command, words, count);
    size_t mark = reply_later(client);
    for (size_t i = (size_t)command->first_key; i <= last; i += (size_t)command->key_step) {
        const char *end = end_of_spec(flags);
        if (with_flags)
            reply_array(client, 2);
        reply_bulk(client, words[i]);
        if (with_flags)
            reply_key_flags(client, flags, end);
        flags = *end == ';' ? end + 1 : flags;
        found++;
    }
    reply_end(client, mark, REPLY_ARRAY, found);
}

void cmd_command_getkeys(struct client *client, const struct command_call *call)
{
    reply_keys(client, call, false);
}

void cmd_command_getkeysandflags(struct client *client, const struct command_call *call)
{
    reply_keys(client, call, true);
}

void cmd_command_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    All commands, for programs.",
        "COUNT",
        "    How many commands there are.",
        "DOCS [<command-name> ...]",
        "    Commands, for people.",
        "GETKEYS <full-command>",
        "    The keys of a command.",
        "GETKEYSANDFLAGS <full-command>",
        "    The keys of a command, and what it does to them.",
        "INFO [<command-name> ...]",
        "    Commands, for programs.",
        "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
        "    The names of the commands.",
        NULL};
    reply_help(client, call->words[0], lines);
}
