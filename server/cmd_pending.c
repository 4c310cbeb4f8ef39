/* SPDX-License-Identifier: MIT
 * cmd_pending.c: commands whose files are on their way: ACL and CONFIG. They say so. */
#include "client.h"
#include "cmd.h"
#include "reply.h"

static void not_yet(struct client *client, const struct command_call *call)
{
    reply_error(client, "ERR command '%s' is not supported yet", call->command->name);
}

bool acl_client_login(struct client *client, bitcask_slice name, bitcask_slice password)
{
    struct acl_user *user = acl_authenticate(client->server->acl, name, password);
    if (user == NULL)
        return false;
    if (client->user != NULL)
        acl_user_release(client->user);
    client->user = user;
    return true;
}

void acl_note_refusal(struct client *client, const char *reason, bitcask_slice object,
                      bitcask_slice user)
{
    (void)client;
    (void)reason;
    (void)object;
    (void)user;
}

void cmd_acl_cat(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_deluser(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_dryrun(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_genpass(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_getuser(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_help(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_list(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_load(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_log(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_save(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_setuser(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_users(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_acl_whoami(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_config_get(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_config_help(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_config_resetstat(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_config_rewrite(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}

void cmd_config_set(struct client *client, const struct command_call *call)
{
    not_yet(client, call);
}
