/* SPDX-License-Identifier: MIT
 * cmd_client.c: CLIENT: looking at connections and changing them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "command.h"
#include "pubsub.h"
#include "registry.h"
#include "reply.h"
#include "session.h"
#include "transaction.h"
#include "words.h"

/* ---- Names ---------------------------------------------------------------------------------- */

/* Printable and without spaces, so that CLIENT LIST can be read. */
static bool is_name(bitcask_slice word)
{
    const char *text = word.data;
    for (size_t i = 0; i < word.size; i++)
        if (text[i] < '!' || text[i] > '~')
            return false;
    return true;
}

static bool copy_name(struct client *client, bitcask_slice word, char *to, size_t capacity)
{
    if (word.size >= capacity) {
        reply_error(client, "ERR too long: at most %zu bytes", capacity - 1);
        return false;
    }
    if (word.size > 0)
        memcpy(to, word.data, word.size);
    to[word.size] = '\0';
    return true;
}

bool session_set_name(struct client *client, bitcask_slice name)
{
    if (!is_name(name)) {
        reply_error(client,
                    "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    return copy_name(client, name, client->name, sizeof client->name);
}

void cmd_client_setname(struct client *client, const struct command_call *call)
{
    if (!session_set_name(client, call->words[2]))
        return;
    registry_update(client->server->registry, client);
    reply_ok(client);
}

void cmd_client_getname(struct client *client, const struct command_call *call)
{
    (void)call;
    if (client->name[0] == '\0')
        reply_null(client);
    else
        reply_bulk_text(client, client->name);
}

void cmd_client_setinfo(struct client *client, const struct command_call *call)
{
    bool is_library = word_is(call->words[2], "LIB-NAME");
    const char *what = is_library ? "lib-name" : "lib-ver";
    bitcask_slice value = call->words[3];
    if (!is_library && !word_is(call->words[2], "LIB-VER")) {
        reply_error(client, "ERR Unrecognized option '%.*s'",
                    (int)(call->words[2].size < 128 ? call->words[2].size : 128),
                    (const char *)call->words[2].data);
    } else if (!is_name(value)) {
        reply_error(client, "ERR %s cannot contain spaces, newlines or special characters.", what);
    } else if (is_library ? copy_name(client, value, client->library, sizeof client->library)
                          : copy_name(client, value, client->library_version,
                                      sizeof client->library_version)) {
        registry_update(client->server->registry, client);
        reply_ok(client);
    }
}

void cmd_client_id(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_integer(client, (int64_t)client->id);
}

/* ---- LIST, INFO ----------------------------------------------------------------------------- */

enum { LINE_MAX_SIZE = 1024 };

static const char *flag_letters(const struct client_info *info, char letters[16])
{
    size_t i = 0;
    if (info->flags & CLIENT_MONITOR)
        letters[i++] = 'O';
    if (info->subscriptions + info->patterns > 0)
        letters[i++] = 'P';
    if (info->flags & CLIENT_MULTI)
        letters[i++] = 'x';
    if (info->flags & CLIENT_DIRTY_EXEC)
        letters[i++] = 'd';
    if (info->flags & CLIENT_CLOSE_AFTER_REPLY)
        letters[i++] = 'c';
    if (info->flags & CLIENT_NO_EVICT)
        letters[i++] = 'e';
    if (i == 0)
        letters[i++] = 'N';
    letters[i] = '\0';
    return letters;
}

static size_t print_line(char line[LINE_MAX_SIZE], const struct client_info *info)
{
    char letters[16];
    long long queued = info->flags & CLIENT_MULTI ? (long long)info->queued : -1;
    int size = snprintf(
        line, LINE_MAX_SIZE,
        "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s db=0 sub=%llu "
        "psub=%llu ssub=0 multi=%lld qbuf=%llu qbuf-free=%llu argv-mem=0 multi-mem=0 rbs=0 rbp=0 "
        "obl=%llu oll=%llu omem=%llu tot-mem=%llu events=r cmd=%s user=%s redir=-1 resp=%d "
        "lib-name=%s lib-ver=%s io-thread=%u\n",
        (unsigned long long)info->id, info->address, info->own_address, info->fd, info->name,
        (unsigned long long)info->age_s, (unsigned long long)info->idle_s,
        flag_letters(info, letters), (unsigned long long)info->subscriptions,
        (unsigned long long)info->patterns, queued, (unsigned long long)info->in_bytes,
        (unsigned long long)info->in_free, (unsigned long long)info->out_bytes,
        (unsigned long long)info->out_blocks, (unsigned long long)info->out_bytes,
        (unsigned long long)(info->in_bytes + info->in_free + info->out_bytes),
        info->last_command[0] == '\0' ? "NULL" : info->last_command, info->user, info->protocol,
        info->library, info->library_version, info->slot);
    return size < 0 ? 0 : (size_t)size;
}

struct client_lines {
    const struct client *self; /* INFO: only this one */
    const uint64_t *ids;       /* LIST ID: only these; NULL: all */
    size_t id_count;
    int type; /* -1: all */
    char *text;
    size_t size, capacity;
};

enum { TYPE_NORMAL, TYPE_REPLICA, TYPE_PUBSUB, TYPE_MASTER };

static int type_of(const struct client_info *info)
{
    return info->subscriptions + info->patterns > 0 ? TYPE_PUBSUB : TYPE_NORMAL;
}

static bool is_wanted(const struct client_lines *lines, const struct client_info *info)
{
    if (lines->self != NULL)
        return info->id == lines->self->id;
    if (lines->type >= 0 && type_of(info) != lines->type)
        return false;
    for (size_t i = 0; i < lines->id_count; i++)
        if (lines->ids[i] == info->id)
            return true;
    return lines->ids == NULL;
}

static void add_line(void *context, const struct client_info *info)
{
    struct client_lines *lines = context;
    if (!is_wanted(lines, info))
        return;
    if (lines->capacity - lines->size < LINE_MAX_SIZE) {
        size_t capacity = lines->capacity * 2 + 4 * LINE_MAX_SIZE;
        char *text = realloc(lines->text, capacity);
        if (text == NULL)
            return;
        lines->text = text;
        lines->capacity = capacity;
    }
    lines->size += print_line(lines->text + lines->size, info);
}

static void reply_lines(struct client *client, const struct command_call *call,
                        struct client_lines *lines)
{
    client->last_command = call->command;
    registry_note(client);
    registry_each(client->server->registry, add_line, lines);
    reply_verbatim(client, "txt", bitcask_bytes(lines->text, lines->size));
    free(lines->text);
}

void cmd_client_info(struct client *client, const struct command_call *call)
{
    struct client_lines lines = {.self = client, .type = -1};
    reply_lines(client, call, &lines);
}

static int read_type(struct client *client, bitcask_slice word)
{
    static const char *const names[] = {"NORMAL", "REPLICA", "PUBSUB", "MASTER"};
    for (int i = 0; i < 4; i++)
        if (word_is(word, names[i]))
            return i;
    if (word_is(word, "SLAVE"))
        return TYPE_REPLICA;
    reply_error(client, "ERR Unknown client type '%.*s'",
                (int)strnlen(word.data, word.size < 128 ? word.size : 128),
                (const char *)word.data);
    return -1;
}

void cmd_client_list(struct client *client, const struct command_call *call)
{
    struct client_lines lines = {.type = -1};
    uint64_t *ids = NULL;
    if (call->count == 4 && word_is(call->words[2], "TYPE")) {
        lines.type = read_type(client, call->words[3]);
        if (lines.type < 0)
            return;
    } else if (call->count > 3 && word_is(call->words[2], "ID")) {
        ids = malloc((call->count - 3) * sizeof *ids);
        for (size_t i = 3; ids != NULL && i < call->count; i++) {
            int64_t id;
            if (!word_to_integer(call->words[i], &id)) {
                reply_error(client, "ERR Invalid client ID");
                free(ids);
                return;
            }
            ids[i - 3] = (uint64_t)id;
        }
        lines.ids = ids;
        lines.id_count = ids == NULL ? 0 : call->count - 3;
    } else if (call->count != 2) {
        reply_syntax_error(client);
        return;
    }
    reply_lines(client, call, &lines);
    free(ids);
}

/* ---- KILL ----------------------------------------------------------------------------------- */

struct kill {
    const bitcask_slice *address, *own_address, *user; /* NULL: any */
    uint64_t id;                                       /* 0: any */
    int type;                                          /* -1: any */
    bool spare_self;
    uint64_t self;
    uint64_t *ids; /* of those that are to go */
    size_t count, capacity;
};

static bool is_text(const bitcask_slice *word, const char *text)
{
    return word == NULL ||
           (strlen(text) == word->size && memcmp(word->data, text, word->size) == 0);
}

static void choose(void *context, const struct client_info *info)
{
    struct kill *kill = context;
    if (!is_text(kill->address, info->address) || !is_text(kill->own_address, info->own_address) ||
        !is_text(kill->user, info->user) || (kill->id != 0 && kill->id != info->id) ||
        (kill->type >= 0 && kill->type != type_of(info)) ||
        (kill->spare_self && info->id == kill->self))
        return;
    if (kill->count == kill->capacity) {
        size_t capacity = kill->capacity * 2 + 16;
        uint64_t *ids = realloc(kill->ids, capacity * sizeof *ids);
        if (ids == NULL)
            return;
        kill->ids = ids;
        kill->capacity = capacity;
    }
    kill->ids[kill->count++] = info->id;
}

static size_t kill_chosen(struct client *client, struct kill *kill)
{
    const bitcask_slice none = {NULL, 0};
    size_t killed = 0;
    kill->self = client->id;
    registry_each(client->server->registry, choose, kill);
    for (size_t i = 0; i < kill->count; i++) {
        if (kill->ids[i] == client->id) {
            client->flags |= CLIENT_CLOSE_AFTER_REPLY;
            killed++;
        } else {
            killed += registry_post(client->server, kill->ids[i], MAIL_KILL, none, none);
        }
    }
    free(kill->ids);
    return killed;
}

static bool read_filter(struct client *client, bitcask_slice name, const bitcask_slice *value,
                        struct kill *kill)
{
    int64_t id;
    if (word_is(name, "ID")) {
        if (!word_to_integer(*value, &id) || id < 1) {
            reply_error(client, "ERR client-id should be greater than 0");
            return false;
        }
        kill->id = (uint64_t)id;
    } else if (word_is(name, "TYPE")) {
        kill->type = read_type(client, *value);
        return kill->type >= 0;
    } else if (word_is(name, "ADDR")) {
        kill->address = value;
    } else if (word_is(name, "LADDR")) {
        kill->own_address = value;
    } else if (word_is(name, "USER")) {
        struct acl_user *user = acl_user_find(client->server->acl, *value);
        if (user == NULL) {
            reply_error(client, "ERR No such user '%.*s'",
                        (int)(value->size < 128 ? value->size : 128), (const char *)value->data);
            return false;
        }
        acl_user_release(user);
        kill->user = value;
    } else if (word_is(name, "SKIPME") && (word_is(*value, "YES") || word_is(*value, "NO"))) {
        kill->spare_self = word_is(*value, "YES");
    } else {
        reply_syntax_error(client);
        return false;
    }
    return true;
}

void cmd_client_kill(struct client *client, const struct command_call *call)
{
    struct kill kill = {.type = -1};
    if (call->count == 3) { /* the old way: an address */
        kill.address = &call->words[2];
        if (kill_chosen(client, &kill) > 0)
            reply_ok(client);
        else
            reply_error(client, "ERR No such client");
        return;
    }
    kill.spare_self = true;
    if (call->count % 2 != 0) {
        reply_syntax_error(client);
        return;
    }
    for (size_t i = 2; i < call->count; i += 2)
        if (!read_filter(client, call->words[i], &call->words[i + 1], &kill))
            return;
    reply_integer(client, (int64_t)kill_chosen(client, &kill));
}

/* ---- REPLY, NO-EVICT, PAUSE ----------------------------------------------------------------- */

void cmd_client_reply(struct client *client, const struct command_call *call)
{
    if (word_is(call->words[2], "ON")) {
        client->flags &= ~(unsigned)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
        reply_ok(client);
    } else if (word_is(call->words[2], "OFF")) {
        client->flags |= CLIENT_REPLY_OFF;
    } else if (word_is(call->words[2], "SKIP")) {
        if ((client->flags & CLIENT_REPLY_OFF) == 0)
            client->flags |= CLIENT_REPLY_SKIP_NEXT;
    } else {
        reply_syntax_error(client);
    }
}

void cmd_client_no_evict(struct client *client, const struct command_call *call)
{
    bool on = word_is(call->words[2], "ON");
    if (!on && !word_is(call->words[2], "OFF")) {
        reply_syntax_error(client);
        return;
    }
    client->flags &= ~(unsigned)CLIENT_NO_EVICT;
    client->flags |= on ? CLIENT_NO_EVICT : 0;
    reply_ok(client);
}

void cmd_client_pause(struct client *client, const struct command_call *call)
{
    bool all = call->count == 3 || word_is(call->words[3], "ALL");
    int64_t ms;
    if (call->count > 4) {
        reply_syntax_error(client);
    } else if (!all && !word_is(call->words[3], "WRITE")) {
        reply_error(client, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    } else if (!word_to_integer(call->words[2], &ms) || ms > INT64_MAX / 2000) {
        reply_error(client, "ERR timeout is not an integer or out of range");
    } else if (ms < 0) {
        reply_error(client, "ERR timeout is negative");
    } else {
        client->server->pause_all = all;
        client->server->pause_until_us = server_monotonic_us() + (uint64_t)ms * 1000;
        reply_ok(client);
    }
}

void cmd_client_unpause(struct client *client, const struct command_call *call)
{
    (void)call;
    client->server->pause_until_us = 0;
    reply_ok(client);
}

void cmd_client_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {
        "GETNAME",
        "    The name of this connection.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    A line about this connection.",
        "KILL <ip:port>",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Close connections: ADDR, LADDR <ip:port>; TYPE <normal|pubsub>; USER <name>; ID <id>;",
        "    SKIPME <yes|no>.",
        "LIST [TYPE <normal|pubsub>] [ID <id> [<id> ...]]",
        "    A line about each connection.",
        "NO-EVICT <ON|OFF>",
        "    Accepted: connections are not evicted for memory.",
        "PAUSE <milliseconds> [WRITE|ALL]",
        "    Commands that write (or all) wait.",
        "REPLY <ON|OFF|SKIP>",
        "    Replies to this connection.",
        "SETINFO <LIB-NAME|LIB-VER> <value>",
        "    Name and version of the client's library.",
        "SETNAME <name>",
        "    Name this connection.",
        "UNPAUSE",
        "    End a pause.",
        NULL};
    reply_help(client, call->words[0], lines);
}
