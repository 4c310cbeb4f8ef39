/* SPDX-License-Identifier: MIT
 * cmd_direct.c: BC.GET, BC.STAT, BC.PUT, BC.EXPIRE, BC.SYNC, BC.STATUS: single keys with their
 * versions and microseconds, as bitcask.h has them. What the `bitcask` command uses through the
 * store's own socket, and whoever wants to compare and set.
 *
 * Conditions that are not met are errors whose code is the status's name: CONFLICT, EXISTS,
 * NOT_FOUND. */
#include <string.h>
#include <strings.h>

#include "acl.h"
#include "client.h"
#include "cmd.h"
#include "keyspace.h"
#include "reply.h"
#include "server.h"
#include "status.h"

static void reply_meta(struct client *client, const bitcask_meta *meta)
{
    reply_integer(client, (int64_t)meta->version);
    reply_integer(client, (int64_t)meta->expires_us);
}

void cmd_bc_get(struct client *client, const struct command_call *call)
{
    bitcask_view view;
    bitcask_status status = keyspace_get(client, call->words[1], &view);
    if (status == BITCASK_NOT_FOUND)
        reply_null_array(client);
    if (status != BITCASK_OK)
        return;
    bitcask_meta meta = view.meta;
    reply_array(client, 3);
    keyspace_reply(client, &view);
    reply_meta(client, &meta);
}

void cmd_bc_stat(struct client *client, const struct command_call *call)
{
    bitcask_meta meta;
    bitcask_status status = keyspace_stat(client, call->words[1], &meta);
    if (status == BITCASK_NOT_FOUND)
        reply_null_array(client);
    if (status != BITCASK_OK)
        return;
    reply_array(client, 3);
    reply_integer(client, (int64_t)meta.value_size);
    reply_meta(client, &meta);
}

/* ---- Writing -------------------------------------------------------------------------------- */

static bool is_word(bitcask_slice word, const char *text)
{
    return word.size == strlen(text) && strncasecmp(word.data, text, word.size) == 0;
}

/* A decimal number below 2^63. */
static bool read_number(bitcask_slice word, uint64_t *number)
{
    const char *p = word.data;
    uint64_t value = 0;
    if (word.size == 0 || word.size > 19)
        return false;
    for (size_t i = 0; i < word.size; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    *number = value;
    return value <= INT64_MAX;
}

/* [IFABSENT] [IFVERSION n] [KEEPTTL] [EXPIRESUS n] from word `from` on. Replies if it is wrong. */
static bool read_options(struct client *client, const struct command_call *call, size_t from,
                         struct keyspace_write *write)
{
    const bitcask_slice *words = call->words;
    for (size_t i = from; i < call->count; i++) {
        bool has_next = i + 1 < call->count;
        if (is_word(words[i], "IFABSENT")) {
            write->flags |= BITCASK_IF_ABSENT;
        } else if (is_word(words[i], "KEEPTTL")) {
            write->flags |= BITCASK_KEEP_TTL;
        } else if (has_next && is_word(words[i], "IFVERSION") &&
                   read_number(words[i + 1], &write->if_version)) {
            write->flags |= BITCASK_IF_VERSION;
            i++;
        } else if (has_next && is_word(words[i], "EXPIRESUS") &&
                   read_number(words[i + 1], &write->expires_us)) {
            i++;
        } else {
            reply_error(client, "ERR syntax error");
            return false;
        }
    }
    const unsigned conditions = BITCASK_IF_ABSENT | BITCASK_IF_VERSION;
    if ((write->flags & conditions) != conditions &&
        ((write->flags & BITCASK_KEEP_TTL) == 0 || write->expires_us == 0))
        return true;
    reply_error(client, "ERR syntax error");
    return false;
}

/* The version, or the error that a condition comes to. */
static void reply_written(struct client *client, bitcask_status status, uint64_t version)
{
    if (status == BITCASK_OK)
        reply_integer(client, (int64_t)version);
    else if (status > 0)
        reply_error(client, "%s %s", bitcask_status_name(status), bitcask_status_text(status));
}

void cmd_bc_put(struct client *client, const struct command_call *call)
{
    uint64_t version = 0;
    struct keyspace_write write = {.event = "set", .version = &version};
    if (!read_options(client, call, 3, &write))
        return;
    bitcask_status status = keyspace_set(client, call->words[1], call->words[2], &write);
    reply_written(client, status, version);
}

void cmd_bc_expire(struct client *client, const struct command_call *call)
{
    uint64_t version = 0;
    struct keyspace_write write = {.event = "expire", .version = &version};
    if (!read_options(client, call, 2, &write))
        return;
    if ((write.flags & (BITCASK_IF_ABSENT | BITCASK_KEEP_TTL)) != 0) {
        reply_error(client, "ERR syntax error");
        return;
    }
    if (write.expires_us == 0)
        write.event = "persist";
    reply_written(client, keyspace_expire(client, call->words[1], &write), version);
}

/* ---- Several at once ------------------------------------------------------------------------ */

/* One of BC.WRITE's changes, at word `at`; *size is how many words it has. The keys stand where the
 * table cannot tell, so the ACL is asked here. Replies if it is wrong. */
static bool check_change(struct client *client, const struct command_call *call, size_t at,
                         size_t *size, uint64_t *expires_us)
{
    const bitcask_slice *words = call->words + at;
    size_t left = call->count - at;
    *size = is_word(words[0], "PUT") ? 4 : is_word(words[0], "DEL") ? 2 : 0;
    if (*size == 0 || *size > left || (*size == 4 && !read_number(words[3], expires_us))) {
        reply_error(client, "ERR syntax error");
        return false;
    }
    if (client->user == NULL || acl_check_key(client->user, words[1], true))
        return true;
    reply_error(client, "NOPERM this user has no permissions to access one of the keys used as "
                        "arguments");
    return false;
}

static bitcask_status make_changes(struct client *client, const struct command_call *call)
{
    bitcask_status status = BITCASK_OK;
    for (size_t at = 1, size; at < call->count && status >= 0; at += size) {
        struct keyspace_write write = {.event = "set"};
        if (!check_change(client, call, at, &size, &write.expires_us))
            return BITCASK_INVALID;
        status = size == 4 ? keyspace_set(client, call->words[at + 1], call->words[at + 2], &write)
                           : keyspace_delete(client, call->words[at + 1], "del");
    }
    return status;
}

void cmd_bc_write(struct client *client, const struct command_call *call)
{
    bitcask_error error = {0};
    if (keyspace_begin(client) != BITCASK_OK)
        return;
    if (make_changes(client, call) < 0) { /* which has been replied */
        keyspace_abandon(client);
        return;
    }
    bitcask_status status = keyspace_end(client, &error);
    if (status == BITCASK_OK)
        reply_ok(client);
    else
        keyspace_reply_error(client, status, &error);
}

void cmd_bc_sync(struct client *client, const struct command_call *call)
{
    (void)call;
    bitcask_error error;
    bitcask_status status = bitcask_sync_now(client->server->store, &error);
    if (status == BITCASK_OK)
        reply_ok(client);
    else
        keyspace_reply_error(client, status, &error);
}

/* ---- What top shows ------------------------------------------------------------------------- */

void cmd_bc_status(struct client *client, const struct command_call *call)
{
    struct server *server = client->server;
    struct text json = {0};
    bitcask_slice part = call->count == 2 ? call->words[1] : bitcask_str("status");
    if (is_word(part, "status")) {
        text_open(&json, '{');
        status_add(&json, server);
        text_close(&json, '}');
    } else if (is_word(part, "segments")) {
        json.failed = !status_add_segments(&json, server);
    } else if (is_word(part, "slow")) {
        status_add_slow(&json, server);
    } else if (is_word(part, "logs")) {
        status_add_logs(&json, server, 0);
    } else {
        reply_error(client, "ERR syntax error");
        return;
    }
    if (json.failed || call->count > 2)
        reply_error(client, json.failed ? "OOM out of memory" : "ERR syntax error");
    else
        reply_bulk(client, bitcask_bytes(json.data, json.size));
    text_release(&json);
}
