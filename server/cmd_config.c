/* SPDX-License-Identifier: MIT
 * cmd_config.c: CONFIG GET, SET, REWRITE, RESETSTAT, HELP. */
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "client.h"
#include "cmd.h"
#include "command.h"
#include "journal.h"
#include "metrics.h"
#include "reply.h"
#include "settings.h"

/* ---- GET ------------------------------------------------------------------------------------ */

struct get {
    struct client *client;
    size_t count;
};

static void reply_setting(void *context, const char *name, const char *value)
{
    struct get *get = context;
    reply_bulk_text(get->client, name);
    reply_bulk_text(get->client, value);
    get->count++;
}

void cmd_config_get(struct client *client, const struct command_call *call)
{
    struct get get = {client, 0};
    size_t mark = reply_later(client);
    settings_each(client->server->settings, call->words + 2, call->count - 2, reply_setting, &get);
    reply_end(client, mark, REPLY_MAP, get.count);
}

/* ---- SET ------------------------------------------------------------------------------------ */

static bool changed_is(uint64_t changed, enum setting_id id)
{
    return (changed >> id & 1) != 0;
}

/* What does not read its setting each time is told of the change. */
static void apply_changes(struct server *server, uint64_t changed)
{
    const struct settings *settings = server->settings;
    if (changed_is(changed, SETTING_LOGLEVEL))
        journal_set_level(server->journal,
                          (bitcask_log_level)setting_number(settings, SETTING_LOGLEVEL));
    if (changed_is(changed, SETTING_REQUIREPASS) &&
        !acl_require(server->acl, setting_text(settings, SETTING_REQUIREPASS)))
        journal_note(server->journal, BITCASK_LOG_ERROR, "out-of-memory", "for", "requirepass",
                     NULL);
}

void cmd_config_set(struct client *client, const struct command_call *call)
{
    struct server *server = client->server;
    if (call->count % 2 != 0) {
        reply_error(client, "ERR syntax error");
        return;
    }
    bitcask_error error;
    uint64_t changed;
    if (!settings_change(server->settings, call->words + 2, call->count / 2 - 1, &changed,
                         &error)) {
        reply_error(client, "ERR %s", error.message);
        return;
    }
    apply_changes(server, changed);
    for (unsigned id = 0; id < SETTING_COUNT; id++)
        if (changed_is(changed, id)) /* the names: a value may be a password */
            journal_note(server->journal, BITCASK_LOG_INFO, "setting-changed", "name",
                         settings_at(id)->name, "by", acl_user_name(client->user), "address",
                         client->address, NULL);
    reply_ok(client);
}

/* ---- The others ----------------------------------------------------------------------------- */

void cmd_config_rewrite(struct client *client, const struct command_call *call)
{
    (void)call;
    struct server *server = client->server;
    bitcask_error error;
    if (settings_path(server->settings)[0] == '\0') {
        reply_error(client, "ERR The server is running without a config file");
    } else if (!settings_rewrite(server->settings, &error)) {
        journal_note(server->journal, BITCASK_LOG_WARN, "rewrite-failed", "error", error.message,
                     NULL);
        reply_error(client, "ERR Rewriting config file: %s", error.message);
    } else {
        journal_note(server->journal, BITCASK_LOG_INFO, "settings-rewritten", "file",
                     settings_path(server->settings), NULL);
        reply_ok(client);
    }
}

void cmd_config_resetstat(struct client *client, const struct command_call *call)
{
    (void)call;
    metrics_reset(client->server->metrics);
    reply_ok(client);
}

void cmd_config_help(struct client *client, const struct command_call *call)
{
    (void)call;
    static const char *const lines[] = {
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        "HELP",
        "    Prints this help.",
    };
    reply_array(client, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        reply_simple(client, lines[i]);
}
