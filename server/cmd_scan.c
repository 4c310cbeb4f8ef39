/* SPDX-License-Identifier: MIT
 * cmd_scan.c: commands over all keys: KEYS SCAN FLUSHALL.
 *
 * A SCAN's cursor is a place in the store's hash space, so that a key that is there from its first
 * call to its last is given at least once, whatever else is written, and nothing is kept between
 * the calls. The store walks in batches of up to some two thousand keys; a small COUNT takes a
 * batch apart by a hash of our own:
 *
 *     bits 63..24  where the batch begins        23..16  of this start of the server; 0 with 0
 * below bits 11..0   the hash's class from which on keys of the batch are still to be given
 *
 * A cursor inside a batch that another start has given begins its batch anew. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "flush.h"
#include "gate.h"
#include "jobs.h"
#include "keyspace.h"
#include "output.h"
#include "pubsub.h"
#include "reply.h"
#include "settings.h"
#include "words.h"

/* ---- KEYS ----------------------------------------------------------------------------------- */

struct matches {
    struct client *client;
    bitcask_slice pattern;
    bool all;
    size_t count;
};

static bool reply_match(void *context, bitcask_slice key, const bitcask_meta *meta)
{
    struct matches *matches = context;
    (void)meta;
    if (matches->all || glob_match(matches->pattern, key, false)) {
        reply_bulk(matches->client, key);
        matches->count++;
    }
    return !matches->client->out->broken; /* at its limit: the rest goes nowhere */
}

void cmd_keys(struct client *client, const struct command_call *call)
{
    struct matches matches = {client, call->words[1], false, 0};
    matches.all = call->words[1].size == 1 && *(const char *)call->words[1].data == '*';
    size_t mark = reply_later(client);
    if (keyspace_each(client, reply_match, &matches) == BITCASK_OK)
        reply_end(client, mark, REPLY_ARRAY, matches.count);
}

/* ---- SCAN ----------------------------------------------------------------------------------- */

enum {
    CLASSES = 1 << 12,
    COUNT_DEFAULT = 128, /* where none is given; redis-server: 10 */
    BATCH_MAX = 4096,    /* keys of a batch of the store, and more */
};

struct scan {
    struct client *client;
    bitcask_iterator *iterator;
    uint64_t count; /* still wanted */
    bitcask_slice pattern;
    bool has_pattern, no_type;
    uint64_t batch; /* where it begins */
    uint32_t from;  /* class */
    size_t given;
    uint32_t of_class[CLASSES]; /* how many keys of the batch are of each */
};

static uint32_t class_of(bitcask_slice key)
{
    const uint8_t *bytes = key.data;
    uint32_t hash = 0x811C9DC5u;
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ bytes[i]) * 0x01000193u;
    return (hash ^ hash >> 16) % CLASSES;
}

/* Of this start of the server, 1 to 255. */
static uint64_t start_tag(const struct server *server)
{
    uint32_t tag = class_of(bitcask_str(server->run_id)) & 0xFF;
    return tag == 0 ? 1 : tag;
}

static uint64_t to_cursor(const struct scan *scan)
{
    if (scan->from == 0 || (scan->batch & 0xFFFFFF) != 0)
        return scan->batch;
    return scan->batch | start_tag(scan->client->server) << 16 | scan->from;
}

static void from_cursor(struct scan *scan, uint64_t cursor)
{
    uint64_t low = cursor & 0xFFFFFF;
    scan->batch = cursor - low;
    scan->from = (uint32_t)(low % CLASSES);
    if (low >> 16 != start_tag(scan->client->server))
        scan->from = 0;
}

/* As strtoul takes it: also "" and "-1", but no space before it. */
static bool read_cursor(struct client *client, bitcask_slice word, uint64_t *cursor)
{
    char text[24], *end;
    bool good = word.size < sizeof text;
    if (good) {
        memcpy(text, word.data, word.size);
        text[word.size] = '\0';
        errno = 0;
        *cursor = strtoull(text, &end, 10);
        good = (size_t)(end - text) == word.size && !isspace((unsigned char)text[0]) && errno == 0;
    }
    if (!good)
        reply_error(client, "ERR invalid cursor");
    return good;
}

static bool read_scan_options(struct scan *scan, const struct command_call *call)
{
    struct client *client = scan->client;
    for (size_t i = 2; i < call->count; i += 2) {
        bool has_value = i + 1 < call->count;
        int64_t count = 0;
        if (word_is(call->words[i], "COUNT") && has_value) {
            if (!word_integer(client, call->words[i + 1], &count))
                return false;
            if (count < 1) {
                reply_syntax_error(client);
                return false;
            }
            scan->count = (uint64_t)count;
        } else if (word_is(call->words[i], "MATCH") && has_value) {
            scan->pattern = call->words[i + 1];
            scan->has_pattern = scan->pattern.size != 1 || *(const char *)scan->pattern.data != '*';
        } else if (word_is(call->words[i], "TYPE") && has_value) {
            scan->no_type = !word_is(call->words[i + 1], "STRING");
        } else {
            reply_syntax_error(client);
            return false;
        }
    }
    return true;
}

/* Step through the batch that begins at scan->batch, or the next one that has keys: `each` is
 * called for its keys. *next: where the batch behind it begins; UINT64_MAX: there is none. */
typedef void scan_each_fn(struct scan *scan, const bitcask_entry *entry, uint32_t until);
static bitcask_status walk_batch(struct scan *scan, scan_each_fn *each, uint32_t until,
                                 uint64_t *next, bitcask_error *error)
{
    bitcask_entry entry;
    bool begun = false;
    bitcask_iterator_seek_cursor(scan->iterator, scan->batch);
    for (;;) {
        bitcask_status status = bitcask_iterator_next(scan->iterator, &entry, error);
        uint64_t batch = bitcask_iterator_batch_cursor(scan->iterator);
        if (status == BITCASK_END) {
            *next = UINT64_MAX;
            return BITCASK_OK;
        }
        if (status != BITCASK_OK && status != BITCASK_CORRUPT)
            return status;
        if (!begun && batch != scan->batch) {
            scan->batch = batch;
            scan->from = 0;
        }
        begun = true;
        *next = batch;
        if (batch != scan->batch)
            return BITCASK_OK;
        if (status == BITCASK_OK && class_of(entry.key) >= scan->from)
            each(scan, &entry, until);
    }
}

static void give_key(struct scan *scan, const bitcask_entry *entry, uint32_t until)
{
    if (class_of(entry->key) >= until)
        return;
    scan->count -= scan->count > 0;
    if (scan->no_type || !keyspace_shows(scan->client, entry->key, &entry->meta) ||
        (scan->has_pattern && !glob_match(scan->pattern, entry->key, false)))
        return;
    reply_bulk(scan->client, entry->key);
    scan->given++;
}

static void count_class(struct scan *scan, const bitcask_entry *entry, uint32_t until)
{
    (void)until;
    scan->of_class[class_of(entry->key)]++;
}

/* The class up to which keys of the batch make up the wanted number; CLASSES: all of them. */
static bitcask_status choose_end(struct scan *scan, uint32_t *until, bitcask_error *error)
{
    uint64_t next, wanted = scan->count, seen = 0;
    *until = CLASSES;
    if (wanted >= BATCH_MAX)
        return BITCASK_OK;
    memset(scan->of_class, 0, sizeof scan->of_class);
    bitcask_status status = walk_batch(scan, count_class, 0, &next, error);
    if ((scan->batch & 0xFFFFFF) != 0)
        return status; /* a cursor has no room for classes then */
    for (uint32_t i = scan->from; i < CLASSES; i++) {
        seen += scan->of_class[i];
        if (seen < wanted)
            continue;
        *until = i + 1;
        return status;
    }
    return status;
}

/* Give keys until enough were looked at. Leaves the cursor to go on from in *cursor. */
static bitcask_status give_keys(struct scan *scan, uint64_t *cursor, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    while (status == BITCASK_OK && scan->count > 0) {
        uint32_t until;
        uint64_t next = UINT64_MAX;
        status = choose_end(scan, &until, error);
        if (status == BITCASK_OK)
            status = walk_batch(scan, give_key, until, &next, error);
        if (status != BITCASK_OK)
            break;
        if (until < CLASSES) {
            scan->from = until;
        } else {
            scan->batch = next;
            scan->from = 0;
        }
        *cursor = to_cursor(scan);
        if (*cursor == UINT64_MAX) {
            *cursor = 0;
            break;
        }
    }
    return status;
}

static bitcask_status give_pieces(struct scan *scan, uint64_t *cursor, bitcask_error *error)
{
    bitcask_status status =
        bitcask_iterator_new(scan->client->server->store, NULL, bitcask_bytes(NULL, 0),
                             BITCASK_KEYS, &scan->iterator, error);
    if (status == BITCASK_OK)
        status = give_keys(scan, cursor, error);
    bitcask_iterator_free(scan->iterator);
    return status;
}

static bool give_seen_key(void *context, bitcask_slice key, const bitcask_meta *meta)
{
    struct scan *scan = context;
    (void)meta;
    if (!scan->no_type && (!scan->has_pattern || glob_match(scan->pattern, key, false))) {
        reply_bulk(scan->client, key);
        scan->given++;
    }
    return true;
}

/* Inside EXEC keys come and go that the store does not know of: all of them at once. */
static bitcask_status give_all(struct scan *scan, uint64_t *cursor)
{
    *cursor = 0;
    return keyspace_each(scan->client, give_seen_key, scan);
}

void cmd_scan(struct client *client, const struct command_call *call)
{
    struct scan scan;
    memset(&scan, 0, offsetof(struct scan, of_class));
    scan.client = client;
    scan.count = COUNT_DEFAULT;
    uint64_t cursor;
    bitcask_error error = {0};
    if (!read_cursor(client, call->words[1], &cursor) || !read_scan_options(&scan, call))
        return;
    from_cursor(&scan, cursor);
    /* The cursor stands before the keys, and is known behind them. */
    size_t mark = reply_later(client);
    bitcask_status status;
    if (keyspace_in_batch(client)) {
        status = give_all(&scan, &cursor);
        if (status < 0)
            return;
    } else {
        status = give_pieces(&scan, &cursor, &error);
    }
    if (status < 0) {
        output_cut(client->out, mark);
        keyspace_reply_error(client, status, &error);
        return;
    }
    reply_end(client, mark, REPLY_ARRAY, scan.given);
    char digits[24], before[64];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)cursor);
    int all = snprintf(before, sizeof before, "*2\r\n$%d\r\n%s\r\n", size, digits);
    reply_insert(client, mark, bitcask_bytes(before, (size_t)all));
}

/* ---- FLUSHALL ------------------------------------------------------------------------------- */

static bool delete_key(void *context, bitcask_slice key, const bitcask_meta *meta)
{
    (void)meta;
    return keyspace_delete(context, key, NULL) >= 0;
}

/* Let others in between: those who want to be alone, and those of this thread's mutex. */
static bool step(void *context, uint64_t done)
{
    struct client *client = context;
    (void)done;
    gate_leave(client->server->gate, client->slot);
    gate_enter(client->server->gate, client->slot);
    return !client->server->stopping;
}

static void flush_now(struct client *client)
{
    bitcask_error error = {0};
    uint64_t version = 0, done = 0;
    uint64_t mode = setting_number(client->server->settings, SETTING_APPENDFSYNC);
    bitcask_sync sync = mode == BITCASK_SYNC_NONE ? BITCASK_SYNC_NONE : BITCASK_SYNC_INTERVAL;
    bitcask *store = client->server->store;
    bitcask_status status = flush_begin(store, &version, &error);
    if (status == BITCASK_OK)
        status = flush_all(store, version, sync, step, client, &done, &error);
    keyspace_note_changes(client, done);
    if (status == BITCASK_OK)
        reply_ok(client);
    else if (status > 0)
        reply_error(client, "ERR stopped: the server is shutting down");
    else
        keyspace_reply_error(client, status, &error);
}

void cmd_flushall(struct client *client, const struct command_call *call)
{
    bool later = call->count == 2 && word_is(call->words[1], "ASYNC");
    if (call->count > 2 || (call->count == 2 && !later && !word_is(call->words[1], "SYNC"))) {
        reply_syntax_error(client);
    } else if (keyspace_in_batch(client)) {
        if (keyspace_each(client, delete_key, client) == BITCASK_OK)
            reply_ok(client);
    } else if (later && jobs_start(client->server, JOB_FLUSH, NULL, false, NULL) == BITCASK_OK) {
        reply_ok(client);
    } else {
        flush_now(client);
    }
}

void cmd_flushdb(struct client *client, const struct command_call *call)
{
    cmd_flushall(client, call);
}
