/* SPDX-License-Identifier: MIT
 * cmd_connection.c: the connection itself: PING ECHO QUIT SELECT AUTH HELLO RESET. */
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "pubsub.h"
#include "registry.h"
#include "reply.h"
#include "session.h"
#include "transaction.h"
#include "words.h"

void cmd_ping(struct client *client, const struct command_call *call)
{
    if (call->count > 2) {
        reply_error(client, "ERR wrong number of arguments for 'ping' command");
    } else if (client->protocol == 2 && client_is_subscribed(client)) {
        reply_array(client, 2);
        reply_bulk_text(client, "pong");
        reply_bulk(client, call->count == 2 ? call->words[1] : bitcask_str(""));
    } else if (call->count == 2) {
        reply_bulk(client, call->words[1]);
    } else {
        reply_simple(client, "PONG");
    }
}

void cmd_echo(struct client *client, const struct command_call *call)
{
    reply_bulk(client, call->words[1]);
}

void cmd_quit(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_ok(client);
    client->flags |= CLIENT_CLOSE_AFTER_REPLY;
}

void cmd_select(struct client *client, const struct command_call *call)
{
    int64_t number;
    if (!word_integer_32(client, call->words[1], &number))
        return;
    if (number != 0)
        reply_error(client, "ERR DB index is out of range");
    else
        reply_ok(client);
}

/* ---- AUTH ----------------------------------------------------------------------------------- */

static bool authenticate(struct client *client, bitcask_slice name, bitcask_slice password)
{
    if (!acl_client_login(client, name, password)) {
        reply_error(client, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    registry_update(client->server->registry, client);
    return true;
}

void cmd_auth(struct client *client, const struct command_call *call)
{
    if (call->count > 3) {
        reply_syntax_error(client);
        return;
    }
    bitcask_slice name = call->count == 3 ? call->words[1] : bitcask_str("default");
    if (call->count == 2 && acl_default_is_open(client->server->acl))
        reply_error(client, "ERR AUTH <password> called without any password configured for the "
                            "default user. Are you sure your configuration is correct?");
    else if (authenticate(client, name, call->words[call->count - 1]))
        reply_ok(client);
}

/* ---- HELLO ---------------------------------------------------------------------------------- */

struct hello {
    int64_t protocol;
    const bitcask_slice *user, *name; /* NULL: not given; the password is behind the user */
};

static bool read_hello(struct client *client, const struct command_call *call, struct hello *hello)
{
    hello->protocol = client->protocol;
    if (call->count < 2)
        return true;
    if (!word_to_integer(call->words[1], &hello->protocol)) {
        reply_error(client, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (hello->protocol < 2 || hello->protocol > 3) {
        reply_error(client, "NOPROTO unsupported protocol version");
        return false;
    }
    for (size_t i = 2; i < call->count; i++) {
        bitcask_slice word = call->words[i];
        size_t left = call->count - 1 - i;
        if (word_is(word, "AUTH") && left >= 2) {
            hello->user = &call->words[i + 1];
            i += 2;
        } else if (word_is(word, "SETNAME") && left >= 1) {
            hello->name = &call->words[++i];
        } else {
            reply_error(client, "ERR Syntax error in HELLO option '%.*s'",
                        (int)strnlen(word.data, word.size < 512 ? word.size : 512),
                        (const char *)word.data);
            return false;
        }
    }
    return true;
}

static void reply_hello(struct client *client)
{
    reply_map(client, 7);
    reply_bulk_text(client, "server");
    reply_bulk_text(client, "redis"); /* client libraries choose what they send by this */
    reply_bulk_text(client, "version");
    reply_bulk_text(client, SESSION_REDIS_VERSION);
    reply_bulk_text(client, "proto");
    reply_integer(client, client->protocol);
    reply_bulk_text(client, "id");
    reply_integer(client, (int64_t)client->id);
    reply_bulk_text(client, "mode");
    reply_bulk_text(client, "standalone");
    reply_bulk_text(client, "role");
    reply_bulk_text(client, "master");
    reply_bulk_text(client, "modules");
    reply_array(client, 0);
}

void cmd_hello(struct client *client, const struct command_call *call)
{
    struct hello hello = {0};
    if (!read_hello(client, call, &hello))
        return;
    if (hello.user != NULL && !authenticate(client, hello.user[0], hello.user[1]))
        return;
    if (client->user == NULL) {
        reply_error(client, "NOAUTH HELLO must be called with the client already authenticated, "
                            "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                            "authenticate the client and select the RESP protocol version at the "
                            "same time");
        return;
    }
    if (hello.name != NULL && !session_set_name(client, *hello.name))
        return;
    client->protocol = (int)hello.protocol;
    registry_update(client->server->registry, client);
    reply_hello(client);
}

/* ---- RESET ---------------------------------------------------------------------------------- */

void cmd_reset(struct client *client, const struct command_call *call)
{
    (void)call;
    struct acl *acl = client->server->acl;
    transaction_drop_queue(client);
    transaction_unwatch(client);
    pubsub_forget(client);
    if (client->user != NULL)
        acl_user_release(client->user);
    client->user = acl_default_is_open(acl) ? acl_user_find(acl, bitcask_str("default")) : NULL;
    client->flags &= ~(unsigned)(CLIENT_MONITOR | CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP |
                                 CLIENT_REPLY_SKIP_NEXT | CLIENT_NO_EVICT);
    client->protocol = 2;
    client->name[0] = '\0';
    registry_update(client->server->registry, client);
    reply_simple(client, "RESET");
}
