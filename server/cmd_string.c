/* SPDX-License-Identifier: MIT
 * cmd_string.c: GET and SET and their family: whole values. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "keyspace.h"
#include "reply.h"
#include "words.h"

/* ---- Reading -------------------------------------------------------------------------------- */

/* The value, or null. Returns whether it was there; an error has been replied. */
static bitcask_status reply_value(struct client *client, bitcask_slice key)
{
    bitcask_view view;
    bitcask_status status = keyspace_get(client, key, &view);
    if (status == BITCASK_OK)
        keyspace_reply(client, &view);
    else if (status == BITCASK_NOT_FOUND)
        reply_null(client);
    return status;
}

void cmd_get(struct client *client, const struct command_call *call)
{
    (void)!reply_value(client, call->words[1]);
}

enum { MGET_SMALL = 256 }; /* keys for which there is room on the stack */

static bool reply_values(struct client *client, const bitcask_slice *keys, size_t count,
                         bitcask_view *views, bitcask_status *each)
{
    if (keyspace_get_many(client, keys, count, views, each) != BITCASK_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (each[i] == BITCASK_OK)
            keyspace_reply(client, &views[i]);
        else
            reply_null(client);
    }
    return true;
}

static bool reply_many_values(struct client *client, const bitcask_slice *keys, size_t count)
{
    bitcask_view *views = malloc(count * sizeof *views);
    bitcask_status *each = malloc(count * sizeof *each);
    bool good = views != NULL && each != NULL;
    if (!good)
        reply_error(client, "OOM out of memory");
    good = good && reply_values(client, keys, count, views, each);
    free(views);
    free(each);
    return good;
}

void cmd_mget(struct client *client, const struct command_call *call)
{
    bitcask_view views[MGET_SMALL];
    bitcask_status each[MGET_SMALL];
    const bitcask_slice *keys = call->words + 1;
    size_t count = call->count - 1, mark = reply_later(client);
    bool good = count <= MGET_SMALL ? reply_values(client, keys, count, views, each)
                                    : reply_many_values(client, keys, count);
    if (good)
        reply_end(client, mark, REPLY_ARRAY, count);
}

/* ---- The options of SET and GETEX ----------------------------------------------------------- */

enum { WITH_GET = 1, WITH_PERSIST = 2 };

struct set_options {
    struct keyspace_write write;
    unsigned with;
    const bitcask_slice *expiry; /* the word with the time; NULL: none */
    bool seconds, absolute;
};

/* EX, PX, EXAT, PXAT: the word that `word` is; false: none of them. */
static bool is_expiry(bitcask_slice word, struct set_options *options)
{
    static const struct {
        const char *name;
        bool seconds, absolute;
    } kinds[] = {
        {"EX", true, false}, {"PX", false, false}, {"EXAT", true, true}, {"PXAT", false, true}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!word_is(word, kinds[i].name))
            continue;
        options->seconds = kinds[i].seconds;
        options->absolute = kinds[i].absolute;
        return true;
    }
    return false;
}

/* One option; *i stands at it, and is left at its last word. */
static bool read_option(const struct command_call *call, size_t *i, bool of_set,
                        struct set_options *options)
{
    bitcask_slice word = call->words[*i];
    unsigned *flags = &options->write.flags;
    struct set_options kind = *options;
    if (of_set && word_is(word, "NX") && !(*flags & BITCASK_IF_PRESENT)) {
        *flags |= BITCASK_IF_ABSENT;
    } else if (of_set && word_is(word, "XX") && !(*flags & BITCASK_IF_ABSENT)) {
        *flags |= BITCASK_IF_PRESENT;
    } else if (of_set && word_is(word, "GET")) {
        options->with |= WITH_GET;
    } else if (of_set && word_is(word, "KEEPTTL") && options->expiry == NULL) {
        *flags |= BITCASK_KEEP_TTL;
    } else if (!of_set && word_is(word, "PERSIST") && options->expiry == NULL) {
        options->with |= WITH_PERSIST;
    } else if (is_expiry(word, &kind) && *i + 1 < call->count && !(*flags & BITCASK_KEEP_TTL) &&
               !(options->with & WITH_PERSIST) &&
               (options->expiry == NULL ||
                (kind.seconds == options->seconds && kind.absolute == options->absolute))) {
        kind.expiry = &call->words[++*i];
        *options = kind;
    } else {
        return false;
    }
    return true;
}

static bool read_options(struct client *client, const struct command_call *call, size_t first,
                         bool of_set, struct set_options *options)
{
    for (size_t i = first; i < call->count; i++) {
        if (!read_option(call, &i, of_set, options)) {
            reply_syntax_error(client);
            return false;
        }
    }
    return true;
}

static bool read_expiry(struct client *client, const struct command_call *call,
                        struct set_options *options)
{
    return options->expiry == NULL ||
           word_expiry(client, *options->expiry, options->seconds, options->absolute,
                       call->command->name, &options->write.expires_us);
}

/* ---- Writing -------------------------------------------------------------------------------- */

void cmd_setnx(struct client *client, const struct command_call *call)
{
    struct keyspace_write write = {.flags = BITCASK_IF_ABSENT, .event = "set"};
    bitcask_status status = keyspace_set(client, call->words[1], call->words[2], &write);
    if (status >= 0)
        reply_integer(client, status == BITCASK_OK);
}

static void set_with_expiry(struct client *client, const struct command_call *call, bool seconds)
{
    struct keyspace_write write = {.event = "set"};
    if (word_expiry(client, call->words[2], seconds, false, call->command->name,
                    &write.expires_us) &&
        keyspace_set(client, call->words[1], call->words[3], &write) == BITCASK_OK)
        reply_ok(client);
}

void cmd_setex(struct client *client, const struct command_call *call)
{
    set_with_expiry(client, call, true);
}

void cmd_psetex(struct client *client, const struct command_call *call)
{
    set_with_expiry(client, call, false);
}

/* A value set or deleted in exchange for the old one. */
struct exchange {
    bitcask_slice value;
    struct keyspace_write write; /* IF_ABSENT and IF_PRESENT are judged by the old value */
    bool remove;
    bitcask_buffer old;
    bool was_there, no_memory;
};

static bool keep_old(struct exchange *exchange, const bitcask_view *view)
{
    if (view->value.size > exchange->old.capacity) {
        free(exchange->old.data);
        exchange->old.data = malloc(view->value.size);
        exchange->old.capacity = exchange->old.data == NULL ? 0 : view->value.size;
        if (exchange->old.data == NULL)
            return false;
    }
    if (view->value.size > 0)
        memcpy(exchange->old.data, view->value.data, view->value.size);
    exchange->old.size = view->value.size;
    return true;
}

static enum keyspace_change exchange_value(void *context, const bitcask_view *old,
                                           bitcask_slice *result, struct keyspace_write *write)
{
    struct exchange *exchange = context;
    exchange->was_there = old->value.data != NULL;
    if (exchange->was_there && !keep_old(exchange, old)) {
        exchange->no_memory = true;
        return KEYSPACE_LEAVE;
    }
    unsigned refused = exchange->was_there ? BITCASK_IF_ABSENT : BITCASK_IF_PRESENT;
    if (exchange->write.flags & refused)
        return KEYSPACE_LEAVE;
    if ((exchange->write.flags & BITCASK_KEEP_TTL) == 0)
        write->expires_us = exchange->write.expires_us;
    write->event = exchange->write.event;
    *result = exchange->value;
    if (exchange->remove)
        return exchange->was_there ? KEYSPACE_DELETE : KEYSPACE_LEAVE;
    return KEYSPACE_WRITE;
}

/* Replies the old value. */
static void run_exchange(struct client *client, bitcask_slice key, struct exchange *exchange)
{
    bitcask_status status = keyspace_update(client, key, exchange_value, exchange);
    if (status == BITCASK_OK && exchange->no_memory)
        reply_error(client, "OOM out of memory");
    else if (status == BITCASK_OK && exchange->was_there)
        reply_bulk(client, bitcask_bytes(exchange->old.data, exchange->old.size));
    else if (status == BITCASK_OK)
        reply_null(client);
    free(exchange->old.data);
}

void cmd_set(struct client *client, const struct command_call *call)
{
    struct set_options options = {.write = {.event = "set"}};
    if (!read_options(client, call, 3, true, &options) || !read_expiry(client, call, &options))
        return;
    if (options.with & WITH_GET) {
        struct exchange exchange = {.value = call->words[2], .write = options.write};
        run_exchange(client, call->words[1], &exchange);
        return;
    }
    bitcask_status status = keyspace_set(client, call->words[1], call->words[2], &options.write);
    if (status == BITCASK_OK)
        reply_ok(client);
    else if (status > 0)
        reply_null(client);
}

void cmd_getset(struct client *client, const struct command_call *call)
{
    struct exchange exchange = {.value = call->words[2], .write = {.event = "set"}};
    run_exchange(client, call->words[1], &exchange);
}

void cmd_getdel(struct client *client, const struct command_call *call)
{
    if (call->words[1].size == 0) {
        reply_null(client);
        return;
    }
    struct exchange exchange = {.remove = true, .write = {.event = "del"}};
    run_exchange(client, call->words[1], &exchange);
}

/* GETEX: another expiry for the very value that is replied. */
static bitcask_status change_expiry(struct client *client, bitcask_slice key,
                                    const struct set_options *options, const bitcask_view *view)
{
    struct keyspace_write write = {.flags = BITCASK_IF_VERSION,
                                   .if_version = view->meta.version,
                                   .expires_us = options->write.expires_us,
                                   .event = "expire"};
    if (options->with & WITH_PERSIST) {
        if (view->meta.expires_us == 0)
            return BITCASK_OK;
        write.event = "persist";
    } else if (options->expiry == NULL) {
        return BITCASK_OK;
    } else if (write.expires_us <= client->now_us) {
        return keyspace_delete(client, key, "del");
    }
    return keyspace_expire(client, key, &write);
}

/* One try. Positive: the key has changed meanwhile. */
static bitcask_status try_getex(struct client *client, bitcask_slice key,
                                const struct set_options *options)
{
    bitcask_view view;
    bitcask_status status = keyspace_get(client, key, &view);
    if (status == BITCASK_NOT_FOUND) {
        reply_null(client);
        return BITCASK_OK;
    }
    if (status != BITCASK_OK)
        return status;
    /* Inside a batch a new expiry replaces the very bytes that are to be replied. */
    struct exchange copy = {0};
    bool copied = view.pin == NULL;
    if (copied && !keep_old(&copy, &view)) {
        reply_error(client, "OOM out of memory");
        return BITCASK_NO_MEMORY;
    }
    status = change_expiry(client, key, options, &view);
    if (status == BITCASK_OK && copied)
        reply_bulk(client, bitcask_bytes(copy.old.data, copy.old.size));
    else if (status == BITCASK_OK)
        keyspace_reply(client, &view);
    keyspace_release(&view);
    free(copy.old.data);
    return status;
}

void cmd_getex(struct client *client, const struct command_call *call)
{
    struct set_options options = {0};
    bitcask_meta meta;
    if (!read_options(client, call, 2, false, &options))
        return;
    /* A time that is none matters only if there is something to expire. */
    if (options.expiry != NULL) {
        bitcask_status status = keyspace_look(client, call->words[1], &meta);
        if (status == BITCASK_NOT_FOUND)
            reply_null(client);
        if (status != BITCASK_OK || !read_expiry(client, call, &options))
            return;
    }
    while (try_getex(client, call->words[1], &options) > 0)
        ;
}

/* ---- Several keys --------------------------------------------------------------------------- */

static bool pairs_are_whole(struct client *client, const struct command_call *call)
{
    if (call->count % 2 == 1)
        return true;
    reply_error(client, "ERR wrong number of arguments for '%s' command", call->command->name);
    return false;
}

void cmd_mset(struct client *client, const struct command_call *call)
{
    if (pairs_are_whole(client, call) &&
        keyspace_set_many(client, call->words + 1, call->count / 2) == BITCASK_OK)
        reply_ok(client);
}

/* Alone (gate.h): what is not there now is not there when it is written. */
void cmd_msetnx(struct client *client, const struct command_call *call)
{
    if (!pairs_are_whole(client, call))
        return;
    for (size_t i = 1; i < call->count; i += 2) {
        bitcask_meta meta;
        bitcask_status status = keyspace_look(client, call->words[i], &meta);
        if (status == BITCASK_OK)
            reply_integer(client, 0);
        if (status != BITCASK_NOT_FOUND)
            return;
    }
    if (keyspace_set_many(client, call->words + 1, call->count / 2) == BITCASK_OK)
        reply_integer(client, 1);
}
