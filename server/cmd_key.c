/* SPDX-License-Identifier: MIT
 * cmd_key.c: keys as such: DEL EXISTS TYPE TOUCH RENAME COPY DBSIZE RANDOMKEY OBJECT MEMORY USAGE.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client.h"
#include "cmd.h"
#include "gate.h"
#include "keyspace.h"
#include "output.h"
#include "reply.h"
#include "words.h"

/* ---- DEL, EXISTS, TYPE ---------------------------------------------------------------------- */

static bitcask_status delete_each(struct client *client, const struct command_call *call,
                                  int64_t *deleted)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 1; i < call->count && status >= 0; i++) {
        status = keyspace_delete(client, call->words[i], "del");
        *deleted += status == BITCASK_OK;
    }
    return status;
}

/* Several keys go together, also after a crash, and nobody sees some of them gone. */
static bitcask_status delete_together(struct client *client, const struct command_call *call,
                                      int64_t *deleted)
{
    bitcask_error error = {0};
    gate_become_alone(client->server->gate, client->slot);
    bitcask_status status = keyspace_begin(client);
    if (status == BITCASK_OK) {
        status = delete_each(client, call, deleted);
        if (status < 0) {
            keyspace_abandon(client);
        } else {
            status = keyspace_end(client, &error);
            if (status < 0)
                keyspace_reply_error(client, status, &error);
        }
    }
    gate_end_alone(client->server->gate, client->slot);
    return status;
}

void cmd_del(struct client *client, const struct command_call *call)
{
    int64_t deleted = 0;
    bool together = call->count > 2 && !keyspace_in_batch(client);
    bitcask_status status =
        together ? delete_together(client, call, &deleted) : delete_each(client, call, &deleted);
    if (status >= 0)
        reply_integer(client, deleted);
}

void cmd_unlink(struct client *client, const struct command_call *call)
{
    cmd_del(client, call);
}

void cmd_exists(struct client *client, const struct command_call *call)
{
    int64_t found = 0;
    for (size_t i = 1; i < call->count; i++) {
        bitcask_meta meta;
        bitcask_status status = keyspace_stat(client, call->words[i], &meta);
        if (status < 0)
            return;
        found += status == BITCASK_OK;
    }
    reply_integer(client, found);
}

void cmd_touch(struct client *client, const struct command_call *call)
{
    cmd_exists(client, call);
}

void cmd_type(struct client *client, const struct command_call *call)
{
    bitcask_meta meta;
    bitcask_status status = keyspace_stat(client, call->words[1], &meta);
    if (status >= 0)
        reply_simple(client, status == BITCASK_OK ? "string" : "none");
}

/* ---- RENAME, COPY: alone (gate.h) ----------------------------------------------------------- */

static bool is_same(bitcask_slice a, bitcask_slice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Both writes as one batch. */
static bitcask_status move_value(struct client *client, bitcask_slice from, bitcask_slice to,
                                 const bitcask_view *view)
{
    struct keyspace_write write = {.expires_us = view->meta.expires_us, .event = "rename_to"};
    bitcask_error error = {0};
    bitcask_status status = keyspace_begin(client);
    if (status != BITCASK_OK)
        return status;
    /* The new key first: inside EXEC the old one's bytes go with it. */
    status = keyspace_set(client, to, view->value, &write);
    if (status == BITCASK_OK)
        status = keyspace_delete(client, from, "rename_from");
    if (status != BITCASK_OK) {
        keyspace_abandon(client);
        return status;
    }
    status = keyspace_end(client, &error);
    if (status < 0)
        keyspace_reply_error(client, status, &error);
    return status;
}

static void rename_key(struct client *client, const struct command_call *call, bool only_new)
{
    bitcask_slice from = call->words[1], to = call->words[2];
    bitcask_view view;
    bitcask_meta meta;
    bitcask_status status = keyspace_get(client, from, &view);
    if (status == BITCASK_NOT_FOUND)
        reply_error(client, "ERR no such key");
    if (status != BITCASK_OK)
        return;
    if (is_same(from, to)) {
        status = only_new ? BITCASK_EXISTS : BITCASK_OK;
    } else if (only_new && keyspace_look(client, to, &meta) == BITCASK_OK) {
        status = BITCASK_EXISTS;
    } else {
        status = move_value(client, from, to, &view);
    }
    keyspace_release(&view);
    if (status < 0)
        return;
    if (only_new)
        reply_integer(client, status == BITCASK_OK);
    else
        reply_ok(client);
}

void cmd_rename(struct client *client, const struct command_call *call)
{
    rename_key(client, call, false);
}

void cmd_renamenx(struct client *client, const struct command_call *call)
{
    rename_key(client, call, true);
}

static bool read_copy_options(struct client *client, const struct command_call *call, bool *replace)
{
    for (size_t i = 3; i < call->count; i++) {
        int64_t database;
        if (word_is(call->words[i], "REPLACE")) {
            *replace = true;
        } else if (word_is(call->words[i], "DB") && i + 1 < call->count) {
            if (!word_integer_32(client, call->words[++i], &database))
                return false;
            if (database != 0) {
                reply_error(client, "ERR DB index is out of range");
                return false;
            }
        } else {
            reply_syntax_error(client);
            return false;
        }
    }
    return true;
}

void cmd_copy(struct client *client, const struct command_call *call)
{
    bool replace = false;
    bitcask_view view;
    if (!read_copy_options(client, call, &replace))
        return;
    if (is_same(call->words[1], call->words[2])) {
        reply_error(client, "ERR source and destination objects are the same");
        return;
    }
    bitcask_status status = keyspace_get(client, call->words[1], &view);
    if (status == BITCASK_OK) {
        struct keyspace_write write = {.flags = replace ? 0 : BITCASK_IF_ABSENT,
                                       .expires_us = view.meta.expires_us,
                                       .event = "copy_to"};
        status = keyspace_set(client, call->words[2], view.value, &write);
    }
    keyspace_release(&view);
    if (status >= 0)
        reply_integer(client, status == BITCASK_OK);
}

/* ---- DBSIZE, RANDOMKEY ---------------------------------------------------------------------- */

void cmd_dbsize(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_integer(client, (int64_t)keyspace_count(client));
}

struct pick {
    struct client *client;
    size_t skip;
    bool picked;
};

static bool pick_key(void *context, bitcask_slice key, const bitcask_meta *meta)
{
    struct pick *pick = context;
    (void)meta;
    if (pick->skip > 0) {
        pick->skip--;
        return true;
    }
    reply_bulk(pick->client, key);
    pick->picked = true;
    return false;
}

/* From a place by chance in the hash space some steps on: keys with much room before them come a
 * little more often, as in redis-server. */
void cmd_randomkey(struct client *client, const struct command_call *call)
{
    (void)call;
    uint64_t chance[2] = {0};
    (void)!getrandom(chance, sizeof chance, 0);
    struct pick pick = {.client = client, .skip = chance[1] % 16};
    if (keyspace_each_from(client, chance[0], pick_key, &pick) != BITCASK_OK || pick.picked)
        return;
    pick.skip = 0;
    if (keyspace_each_from(client, 0, pick_key, &pick) == BITCASK_OK && !pick.picked)
        reply_null(client);
}

/* ---- OBJECT, MEMORY USAGE ------------------------------------------------------------------- */

/* How redis-server would keep a value that SET has written. */
static const char *encoding_of(bitcask_slice value, bool *is_shared)
{
    enum { EMBEDDED_MAX = 44, SHARED_MAX = 10000 };
    int64_t number;
    bool is_number = word_to_integer(value, &number);
    *is_shared = is_number && number >= 0 && number < SHARED_MAX;
    if (is_number)
        return "int";
    return value.size <= EMBEDDED_MAX ? "embstr" : "raw";
}

void cmd_object_encoding(struct client *client, const struct command_call *call)
{
    bitcask_view view;
    bool is_shared;
    bitcask_status status = keyspace_get(client, call->words[2], &view);
    if (status == BITCASK_OK)
        reply_bulk_text(client, encoding_of(view.value, &is_shared));
    else if (status == BITCASK_NOT_FOUND)
        reply_null(client);
    keyspace_release(&view);
}

void cmd_object_refcount(struct client *client, const struct command_call *call)
{
    bitcask_view view;
    bool is_shared = false;
    bitcask_status status = keyspace_get(client, call->words[2], &view);
    if (status == BITCASK_OK) {
        encoding_of(view.value, &is_shared);
        reply_integer(client, is_shared ? INT32_MAX : 1);
    } else if (status == BITCASK_NOT_FOUND) {
        reply_null(client);
    }
    keyspace_release(&view);
}

/* When a key was read is noted nowhere: a read writes nothing. */
void cmd_object_idletime(struct client *client, const struct command_call *call)
{
    bitcask_meta meta;
    bitcask_status status = keyspace_look(client, call->words[2], &meta);
    if (status == BITCASK_OK)
        reply_integer(client, 0);
    else if (status == BITCASK_NOT_FOUND)
        reply_null(client);
}

void cmd_object_freq(struct client *client, const struct command_call *call)
{
    bitcask_meta meta;
    bitcask_status status = keyspace_look(client, call->words[2], &meta);
    if (status == BITCASK_OK)
        reply_error(client, "ERR An LFU maxmemory policy is not selected, access frequency not "
                            "tracked. Please note that when switching between policies at runtime "
                            "LRU and LFU data will take some time to adjust.");
    else if (status == BITCASK_NOT_FOUND)
        reply_null(client);
}

void cmd_object_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    How redis-server would keep the value: int, embstr or raw.",
        "FREQ <key>",
        "    An error: how often a key is used is not counted.",
        "IDLETIME <key>",
        "    0: when a key was last used is not noted.",
        "REFCOUNT <key>",
        "    1; of small numbers what redis-server says of shared objects.",
        NULL};
    reply_help(client, call->words[0], lines);
}

/* On disk: the record with its header; and the index's share in memory. */
void cmd_memory_usage(struct client *client, const struct command_call *call)
{
    enum { RECORD_HEADER = 20, EXPIRY = 8, INDEX_SHARE = 10 };
    int64_t samples;
    if (call->count > 3) {
        bool is_samples = call->count == 5 && word_is(call->words[3], "SAMPLES");
        if (!is_samples)
            reply_syntax_error(client);
        if (!is_samples || !word_integer(client, call->words[4], &samples))
            return;
        if (samples < 0) {
            reply_syntax_error(client);
            return;
        }
    }
    bitcask_meta meta;
    bitcask_status status = keyspace_look(client, call->words[2], &meta);
    if (status == BITCASK_OK)
        reply_integer(client, (int64_t)(RECORD_HEADER + (meta.expires_us != 0 ? EXPIRY : 0) +
                                        call->words[2].size + meta.value_size + INDEX_SHARE));
    else if (status == BITCASK_NOT_FOUND)
        reply_null(client);
}
