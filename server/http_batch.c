/* SPDX-License-Identifier: MIT
 * http_batch.c: POST /v1/batch: several writes, all or none, or several reads at one moment.
 *
 *     {"ops": [{"op": "put", "key": "a", "value": "1", "ttl_ms": 60000},
 *              {"op": "delete", "key_b64": "/w=="}]}
 *     {"get": ["a", {"key_b64": "/w=="}]}
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_request.h"
#include "json_in.h"
#include "pubsub.h"
#include "sigbus.h"

enum { BATCH_MAX = 100000, GET_MAX = 10000, GET_BYTES_MAX = 64 << 20 };

/* Member NAME as text or NAME_b64 as base64, into `to`. False if there is neither, or both, or it
 * is no string. */
static bool read_bytes(bitcask_slice object, const char *name, struct text *to)
{
    char name_b64[32];
    bitcask_slice plain, encoded;
    snprintf(name_b64, sizeof name_b64, "%s_b64", name);
    bool has_plain = json_in_find(object, name, &plain);
    bool has_encoded = json_in_find(object, name_b64, &encoded);
    to->size = 0;
    if (has_plain == has_encoded)
        return false;
    if (has_plain)
        return json_in_string(plain, to) && !to->failed;
    struct text base64 = {0};
    bool works = json_in_string(encoded, &base64) &&
                 text_from_base64(to, bitcask_bytes(base64.data, base64.size));
    text_release(&base64);
    return works && !to->failed;
}

static bitcask_slice slice_of(const struct text *text)
{
    return bitcask_bytes(text->size == 0 ? "" : text->data, text->size);
}

/* ---- Writes ------------------------------------------------------------------------------------
 */

struct writing {
    struct http_request *request;
    bitcask_batch *batch;
    struct text key, value, op;
    size_t at; /* which operation */
};

/* Add one operation to the batch; false if it was replied what is wrong with it. */
static bool add_operation(struct writing *w, bitcask_slice object)
{
    bitcask_slice member;
    bitcask_error error = {0};
    uint64_t ttl_ms = 0;
    w->op.size = 0;
    bool named = json_in_find(object, "op", &member) && json_in_string(member, &w->op);
    text_add(&w->op, bitcask_bytes("", 1));
    bool put = named && !w->op.failed && strcmp(w->op.data, "put") == 0;
    if (!put && (!named || w->op.failed || strcmp(w->op.data, "delete") != 0)) {
        http_reply_error(w->request, 400, "ops[%zu]: \"op\" is \"put\" or \"delete\"", w->at);
        return false;
    }
    if (!read_bytes(object, "key", &w->key) || w->key.size == 0 ||
        w->key.size > BITCASK_MAX_KEY_SIZE) {
        http_reply_error(w->request, 400, "ops[%zu]: a \"key\" or \"key_b64\" of 1 to %u bytes",
                         w->at, BITCASK_MAX_KEY_SIZE);
        return false;
    }
    if (put && !read_bytes(object, "value", &w->value)) {
        http_reply_error(w->request, 400, "ops[%zu]: a \"value\" or \"value_b64\"", w->at);
        return false;
    }
    if (put && json_in_find(object, "ttl_ms", &member) &&
        (!json_in_unsigned(member, &ttl_ms) || ttl_ms == 0 || ttl_ms > 1000000000000000)) {
        http_reply_error(w->request, 400, "ops[%zu]: \"ttl_ms\" is a number above 0", w->at);
        return false;
    }
    if (!http_may(w->request, put ? "set" : "del", slice_of(&w->key)))
        return false;
    uint64_t expires_us = ttl_ms == 0 ? 0 : server_wall_us() + ttl_ms * 1000;
    bitcask_status status = put ? bitcask_batch_put(w->batch, slice_of(&w->key),
                                                    slice_of(&w->value), expires_us, &error)
                                : bitcask_batch_delete(w->batch, slice_of(&w->key), &error);
    if (status != BITCASK_OK)
        http_reply_status(w->request, status, &error);
    return status == BITCASK_OK;
}

/* After the write: who listens is told of each key. */
static void notify(struct writing *w, bitcask_slice ops)
{
    bitcask_slice name, object, member;
    for (struct json_in_walk walk = json_in_walk(ops); json_in_next(&walk, &name, &object);) {
        w->op.size = 0;
        if (!read_bytes(object, "key", &w->key) || !json_in_find(object, "op", &member) ||
            !json_in_string(member, &w->op) || w->op.size == 0)
            continue;
        bool put = w->op.data[0] == 'p';
        pubsub_notify(w->request->server, put ? '$' : 'g', put ? "set" : "del", slice_of(&w->key));
    }
}

static void write_all(struct writing *w, bitcask_slice ops)
{
    bitcask_slice name, object;
    bitcask_error error = {0};
    for (struct json_in_walk walk = json_in_walk(ops); json_in_next(&walk, &name, &object);) {
        if (w->at == BATCH_MAX) {
            http_reply_error(w->request, 413, "at most %d operations a batch", BATCH_MAX);
            return;
        }
        if (!add_operation(w, object))
            return;
        w->at++;
    }
    bitcask_write_options options;
    http_write_options(w->request, &options);
    uint64_t version = 0, started_ns = http_note_command(w->request, "mset", 0, BITCASK_OK);
    bitcask_status status =
        bitcask_write(w->request->server->store, w->batch, &options, &version, &error);
    http_note_command(w->request, "mset", started_ns, status);
    if (status != BITCASK_OK) {
        http_reply_status(w->request, status, &error);
        return;
    }
    notify(w, ops);
    struct text json = {0};
    text_open(&json, '{');
    text_member(&json, "count");
    text_unsigned(&json, w->at);
    text_member(&json, "version");
    text_unsigned(&json, version);
    text_close(&json, '}');
    http_reply_json(w->request, 200, &json);
}

static void batch_write(struct http_request *request, bitcask_slice ops)
{
    struct writing w = {.request = request};
    bitcask_error error = {0};
    if (http_write_is_paused(request))
        return;
    bitcask_status status = bitcask_batch_new(&w.batch, &error);
    if (status == BITCASK_OK)
        write_all(&w, ops);
    else
        http_reply_status(request, status, &error);
    bitcask_batch_free(w.batch);
    text_release(&w.key);
    text_release(&w.value);
    text_release(&w.op);
}

/* ---- Reads -------------------------------------------------------------------------------------
 */

struct reading {
    struct text bytes; /* of all keys */
    bitcask_slice *keys;
    bitcask_view *views;
    bitcask_status *statuses;
    size_t count;
};

/* The wanted keys, one behind the other in `bytes`; offsets first, since that text moves. */
static bool read_keys(struct http_request *request, bitcask_slice list, struct reading *r)
{
    bitcask_slice name, value;
    struct text key = {0};
    bool works = true;
    for (struct json_in_walk walk = json_in_walk(list);
         works && json_in_next(&walk, &name, &value);) {
        key.size = 0;
        works = json_in_kind(value) == '"' ? json_in_string(value, &key)
                                           : read_bytes(value, "key", &key);
        works = works && key.size > 0 && key.size <= BITCASK_MAX_KEY_SIZE && r->count < GET_MAX;
        if (!works) {
            http_reply_error(request, 400, "get[%zu]: a key of 1 to %u bytes, at most %d of them",
                             r->count, BITCASK_MAX_KEY_SIZE, GET_MAX);
            break;
        }
        works = http_may(request, "get", slice_of(&key));
        r->keys[r->count++] = bitcask_bytes(NULL, key.size);
        text_add(&r->bytes, slice_of(&key));
    }
    text_release(&key);
    size_t offset = 0;
    for (size_t i = 0; works && i < r->count; offset += r->keys[i++].size)
        r->keys[i].data = r->bytes.data + offset;
    return works;
}

static void add_found(struct text *json, const struct reading *r, size_t i)
{
    text_open(json, '{');
    text_bytes(json, "key", r->keys[i]);
    text_member(json, "found");
    text_bool(json, r->statuses[i] == BITCASK_OK);
    if (r->statuses[i] == BITCASK_OK) {
        text_bytes(json, "value", r->views[i].value);
        text_member(json, "version");
        text_unsigned(json, r->views[i].meta.version);
        if (r->views[i].meta.expires_us != 0) {
            text_member(json, "expires_us");
            text_unsigned(json, r->views[i].meta.expires_us);
        }
    } else if (r->statuses[i] < 0) {
        text_member(json, "error");
        text_string_c(json, bitcask_status_text(r->statuses[i]));
    }
    text_close(json, '}');
}

static void reply_found(struct http_request *request, const struct reading *r)
{
    struct text json = {0};
    unsigned unreadable = sigbus_count();
    text_open(&json, '{');
    text_member(&json, "results");
    text_open(&json, '[');
    for (size_t i = 0; i < r->count && json.size <= GET_BYTES_MAX; i++)
        add_found(&json, r, i);
    text_close(&json, ']');
    text_close(&json, '}');
    if (json.size <= GET_BYTES_MAX && unreadable == sigbus_count()) {
        http_reply_json(request, 200, &json);
        return;
    }
    text_release(&json);
    if (unreadable != sigbus_count()) {
        http_reply_status(request, BITCASK_CORRUPT, NULL);
        return;
    }
    http_reply_error(request, 413, "more than %d bytes of values: ask for fewer at once",
                     GET_BYTES_MAX);
}

static void batch_read(struct http_request *request, bitcask_slice list)
{
    struct reading r = {.keys = calloc(GET_MAX, sizeof *r.keys)};
    bitcask_error error = {0};
    if (r.keys != NULL && read_keys(request, list, &r)) {
        r.views = calloc(r.count + 1, sizeof *r.views);
        r.statuses = calloc(r.count + 1, sizeof *r.statuses);
        bitcask_status status = BITCASK_NO_MEMORY;
        uint64_t started_ns = http_note_command(request, "mget", 0, BITCASK_OK);
        if (r.views != NULL && r.statuses != NULL && !r.bytes.failed)
            status = bitcask_get_many(request->server->store, NULL, r.keys, r.count, r.views,
                                      r.statuses, &error);
        http_note_command(request, "mget", started_ns, status);
        if (status == BITCASK_OK || status == BITCASK_CORRUPT)
            reply_found(request, &r);
        else
            http_reply_status(request, status, &error);
        if (r.views != NULL)
            bitcask_views_release(r.views, r.count);
    }
    text_release(&r.bytes);
    free(r.keys);
    free(r.views);
    free(r.statuses);
}

void http_batch(struct http_request *request)
{
    bitcask_slice value, list;
    if (!json_in_is_valid(http_body(request), &value))
        http_reply_error(request, 400, "the body is no JSON");
    else if (json_in_find(value, "ops", &list) && json_in_kind(list) == '[')
        batch_write(request, list);
    else if (json_in_find(value, "get", &list) && json_in_kind(list) == '[')
        batch_read(request, list);
    else
        http_reply_error(request, 400, "give {\"ops\": [...]} or {\"get\": [...]}");
}
