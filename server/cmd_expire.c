/* SPDX-License-Identifier: MIT
 * cmd_expire.c: when keys expire: EXPIRE TTL PERSIST and their family. A new expiry writes the
 * record anew, with its value. */
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "keyspace.h"
#include "reply.h"
#include "words.h"

/* ---- EXPIRE --------------------------------------------------------------------------------- */

enum { IF_NONE = 1, IF_ANY = 2, IF_LATER = 4, IF_EARLIER = 8 };

static bool read_conditions(struct client *client, const struct command_call *call,
                            unsigned *conditions)
{
    static const struct {
        const char *name;
        unsigned condition;
    } known[] = {{"NX", IF_NONE}, {"XX", IF_ANY}, {"GT", IF_LATER}, {"LT", IF_EARLIER}};
    for (size_t i = 3; i < call->count; i++) {
        bitcask_slice word = call->words[i];
        unsigned condition = 0;
        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            if (word_is(word, known[j].name))
                condition = known[j].condition;
        if (condition == 0) {
            reply_error(client, "ERR Unsupported option %.*s",
                        (int)strnlen(word.data, word.size < 512 ? word.size : 512),
                        (const char *)word.data);
            return false;
        }
        *conditions |= condition;
    }
    if ((*conditions & IF_NONE) && *conditions != IF_NONE)
        reply_error(client, "ERR NX and XX, GT or LT options at the same time are not compatible");
    else if ((*conditions & IF_LATER) && (*conditions & IF_EARLIER))
        reply_error(client, "ERR GT and LT options at the same time are not compatible");
    else
        return true;
    return false;
}

/* Milliseconds since 1970, negative ones too, out of a word. */
static bool read_when(struct client *client, const struct command_call *call, bool seconds,
                      bool absolute, int64_t *when_ms)
{
    int64_t base_ms = absolute ? 0 : (int64_t)(client->now_us / 1000);
    if (!word_integer(client, call->words[2], when_ms))
        return false;
    bool good = !seconds || !__builtin_mul_overflow(*when_ms, INT64_C(1000), when_ms);
    if (good && *when_ms <= INT64_MAX - base_ms) {
        *when_ms += base_ms;
        return true;
    }
    reply_error(client, "ERR invalid expire time in '%s' command", call->command->name);
    return false;
}

static bool conditions_hold(unsigned conditions, int64_t when_ms, const bitcask_meta *meta)
{
    bool expires = meta->expires_us != 0;
    int64_t now_ms = (int64_t)(meta->expires_us / 1000);
    return !((conditions & IF_NONE) && expires) && !((conditions & IF_ANY) && !expires) &&
           !((conditions & IF_LATER) && (!expires || when_ms <= now_ms)) &&
           !((conditions & IF_EARLIER) && expires && when_ms >= now_ms);
}

/* One try. CONFLICT: the key has changed since it was looked at. */
static bitcask_status try_expire(struct client *client, bitcask_slice key, unsigned conditions,
                                 int64_t when_ms)
{
    bitcask_meta meta;
    bitcask_status status = keyspace_look(client, key, &meta);
    if (status != BITCASK_OK)
        return status;
    if (!conditions_hold(conditions, when_ms, &meta))
        return BITCASK_NOT_FOUND;
    if (when_ms <= (int64_t)(client->now_us / 1000))
        return keyspace_delete(client, key, "del");
    struct keyspace_write write = {
        .flags = BITCASK_IF_VERSION,
        .if_version = meta.version,
        .expires_us = when_ms > INT64_MAX / 1000 ? (uint64_t)INT64_MAX : (uint64_t)when_ms * 1000,
        .event = "expire"};
    status = keyspace_expire(client, key, &write);
    return status > 0 ? BITCASK_CONFLICT : status;
}

static void expire(struct client *client, const struct command_call *call, bool seconds,
                   bool absolute)
{
    unsigned conditions = 0;
    int64_t when_ms;
    if (!read_conditions(client, call, &conditions) ||
        !read_when(client, call, seconds, absolute, &when_ms))
        return;
    bitcask_status status = BITCASK_CONFLICT;
    while (status == BITCASK_CONFLICT)
        status = try_expire(client, call->words[1], conditions, when_ms);
    if (status >= 0)
        reply_integer(client, status == BITCASK_OK);
}

void cmd_expire(struct client *client, const struct command_call *call)
{
    expire(client, call, true, false);
}

void cmd_pexpire(struct client *client, const struct command_call *call)
{
    expire(client, call, false, false);
}

void cmd_expireat(struct client *client, const struct command_call *call)
{
    expire(client, call, true, true);
}

void cmd_pexpireat(struct client *client, const struct command_call *call)
{
    expire(client, call, false, true);
}

void cmd_persist(struct client *client, const struct command_call *call)
{
    bitcask_status status;
    do {
        bitcask_meta meta;
        status = keyspace_look(client, call->words[1], &meta);
        if (status == BITCASK_OK && meta.expires_us == 0)
            status = BITCASK_NOT_FOUND;
        if (status != BITCASK_OK)
            break;
        struct keyspace_write write = {
            .flags = BITCASK_IF_VERSION, .if_version = meta.version, .event = "persist"};
        status = keyspace_expire(client, call->words[1], &write);
    } while (status > 0);
    if (status >= 0)
        reply_integer(client, status == BITCASK_OK);
}

/* ---- TTL ------------------------------------------------------------------------------------ */

static void reply_expiry(struct client *client, bitcask_slice key, bool seconds, bool absolute)
{
    bitcask_meta meta;
    bitcask_status status = keyspace_stat(client, key, &meta);
    if (status < 0)
        return;
    int64_t ms = (int64_t)(meta.expires_us / 1000);
    if (status == BITCASK_OK && meta.expires_us != 0 && !absolute) {
        ms -= (int64_t)(client->now_us / 1000);
        ms = ms > 0 ? ms : 0;
    }
    if (status == BITCASK_NOT_FOUND)
        reply_integer(client, -2);
    else if (meta.expires_us == 0)
        reply_integer(client, -1);
    else
        reply_integer(client, seconds ? (ms + 500) / 1000 : ms);
}

void cmd_ttl(struct client *client, const struct command_call *call)
{
    reply_expiry(client, call->words[1], true, false);
}

void cmd_pttl(struct client *client, const struct command_call *call)
{
    reply_expiry(client, call->words[1], false, false);
}

void cmd_expiretime(struct client *client, const struct command_call *call)
{
    reply_expiry(client, call->words[1], true, true);
}

void cmd_pexpiretime(struct client *client, const struct command_call *call)
{
    reply_expiry(client, call->words[1], false, true);
}
