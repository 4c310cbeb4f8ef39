/* SPDX-License-Identifier: MIT
 * http_compat.c: the HTTP interfaces of two other Bitcasks, so that their clients work unchanged.
 *
 * pybitcask keeps any JSON under a key: here its text is kept as it came, as `bitcask import
 * --format pybitcask` does. What somebody else stored and is no JSON is shown as a string. GET /
 * (without Accept: text/html), POST /put, POST /batch, GET /get/{key}, DELETE /delete/{key}, GET
 * /keys, POST /clear, GET /health bitcaskpy keeps strings: PUT, GET, DELETE /kv/{key}, GET /kv, GET
 * /health Both say {"detail": "..."} of an error, and a key that is not there is no error. The
 * reply's header request-id is that of every reply (x-request-id, or made up). */
#include <stdlib.h>
#include <string.h>

#include "gate.h"
#include "http_request.h"
#include "json_in.h"
#include "pubsub.h"
#include "sigbus.h"

enum { KEYS_CHUNK = 32 << 10, CLEAR_BATCH = 1000 };

/* ---- What both need ----------------------------------------------------------------------------
 */

static bool store_put(struct http_request *request, bitcask_slice key, bitcask_slice value)
{
    bitcask_error error = {0};
    if (!http_key_is_good(request, key) || http_write_is_paused(request))
        return false;
    uint64_t started_ns = http_note_command(request, "set", 0, BITCASK_OK);
    bitcask_write_options options;
    http_write_options(request, &options);
    bitcask_status status = bitcask_put(request->server->store, key, value, &options, NULL, &error);
    http_note_command(request, "set", started_ns, status);
    if (status != BITCASK_OK) {
        http_reply_status(request, status, &error);
        return false;
    }
    pubsub_notify(request->server, '$', "set", key);
    return true;
}

/* False: an error has been replied. *found tells whether there was such a key. */
static bool store_delete(struct http_request *request, bool *found)
{
    bitcask_error error = {0};
    bitcask_slice key = http_rest(request);
    if (!http_key_is_good(request, key) || http_write_is_paused(request))
        return false;
    uint64_t started_ns = http_note_command(request, "del", 0, BITCASK_OK);
    bitcask_write_options options;
    http_write_options(request, &options);
    bitcask_status status = bitcask_delete(request->server->store, key, &options, NULL, &error);
    http_note_command(request, "del", started_ns, status);
    *found = status == BITCASK_OK;
    if (status < 0) {
        http_reply_status(request, status, &error);
        return false;
    }
    if (*found)
        pubsub_notify(request->server, 'g', "del", key);
    return true;
}

/* {"key": ..., "value": ..., "found": ...}; the value as JSON, or as a string. */
static void reply_value(struct http_request *request, bool as_json)
{
    bitcask_slice key = http_rest(request), parsed;
    bitcask_view view = {0};
    bitcask_error error = {0};
    if (!http_key_is_good(request, key))
        return;
    uint64_t started_ns = http_note_command(request, "get", 0, BITCASK_OK);
    bitcask_status status = bitcask_get_view(request->server->store, NULL, key, &view, &error);
    http_note_command(request, "get", started_ns, status);
    if (status < 0) {
        http_reply_status(request, status, &error);
        return;
    }
    struct text json = {0};
    unsigned unreadable = sigbus_count();
    text_open(&json, '{');
    text_member(&json, "key");
    text_string(&json, key);
    text_member(&json, "value");
    if (status == BITCASK_NOT_FOUND)
        text_null(&json);
    else if (as_json && json_in_is_valid(view.value, &parsed))
        text_add(&json, parsed);
    else
        text_string(&json, view.value);
    text_member(&json, "found");
    text_bool(&json, status == BITCASK_OK);
    text_close(&json, '}');
    if (status == BITCASK_OK)
        bitcask_views_release(&view, 1);
    if (unreadable == sigbus_count()) {
        http_reply_json(request, 200, &json);
        return;
    }
    text_release(&json);
    http_reply_status(request, BITCASK_CORRUPT, NULL);
}

static void unprocessable(struct http_request *request, const char *what)
{
    http_reply_error(request, 422, "%s", what);
}

void http_compat_health(struct http_request *request)
{
    struct text json = {0};
    text_json(&json, "{\"status\":\"healthy\",\"service\":\"pybitcask-server\",\"version\":");
    text_string_c(&json, bitcask_version());
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

/* ---- pybitcask ---------------------------------------------------------------------------------
 */

void http_pyb_root(struct http_request *request)
{
    struct text json = {0};
    text_json(&json, "{\"status\":\"running\",\"mode\":\"normal\"");
    text_member(&json, "data_dir");
    text_string_c(&json, request->server->directory);
    text_member(&json, "keys_count");
    text_unsigned(&json, bitcask_count(request->server->store));
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

void http_pyb_put(struct http_request *request)
{
    bitcask_slice body, name, value;
    struct text key = {0}, json = {0};
    if (!json_in_is_valid(http_body(request), &body) || !json_in_find(body, "key", &name) ||
        !json_in_find(body, "value", &value) || !json_in_string(name, &key)) {
        unprocessable(request, "the body is {\"key\": \"...\", \"value\": any JSON}");
    } else if (http_may(request, "set", bitcask_bytes(key.data, key.size)) &&
               store_put(request, bitcask_bytes(key.data, key.size), value)) {
        text_json(&json, "{\"status\":\"success\"");
        text_member(&json, "key");
        text_string(&json, bitcask_bytes(key.data, key.size));
        text_close(&json, '}');
        http_reply_json(request, 200, &json);
    }
    text_release(&key);
}

static bool add_all(struct http_request *request, bitcask_slice data, bitcask_batch *batch)
{
    bitcask_slice name, value;
    struct text key = {0};
    bool works = true;
    for (struct json_in_walk walk = json_in_walk(data);
         works && json_in_next(&walk, &name, &value);) {
        bitcask_error error = {0};
        key.size = 0;
        bitcask_slice bytes = {"", 0};
        if (json_in_string(name, &key) && key.size > 0)
            bytes = bitcask_bytes(key.data, key.size);
        works = http_key_is_good(request, bytes) && http_may(request, "set", bytes);
        bitcask_status status =
            works ? bitcask_batch_put(batch, bytes, value, 0, &error) : BITCASK_OK;
        if (status != BITCASK_OK)
            http_reply_status(request, status, &error);
        works = works && status == BITCASK_OK;
    }
    text_release(&key);
    return works;
}

void http_pyb_batch(struct http_request *request)
{
    bitcask_slice body, data;
    bitcask_batch *batch = NULL;
    bitcask_error error = {0};
    if (!json_in_is_valid(http_body(request), &body) || !json_in_find(body, "data", &data) ||
        json_in_kind(data) != '{') {
        unprocessable(request, "the body is {\"data\": {\"key\": any JSON, ...}}");
        return;
    }
    if (http_write_is_paused(request))
        return;
    bitcask_write_options options;
    http_write_options(request, &options);
    bitcask_status status = bitcask_batch_new(&batch, &error);
    if (status == BITCASK_OK && !add_all(request, data, batch)) {
        bitcask_batch_free(batch);
        return;
    }
    if (status == BITCASK_OK)
        status = bitcask_write(request->server->store, batch, &options, NULL, &error);
    if (status == BITCASK_OK) {
        struct text json = {0};
        text_json(&json, "{\"status\":\"success\"");
        text_member(&json, "count");
        text_unsigned(&json, bitcask_batch_count(batch));
        text_close(&json, '}');
        http_reply_json(request, 200, &json);
    } else {
        http_reply_status(request, status, &error);
    }
    bitcask_batch_free(batch);
}

void http_pyb_get(struct http_request *request)
{
    reply_value(request, true);
}

void http_pyb_delete(struct http_request *request)
{
    bool found = false;
    struct text json = {0};
    if (!store_delete(request, &found))
        return;
    text_open(&json, '{');
    text_member(&json, "key");
    text_string(&json, http_rest(request));
    text_member(&json, "deleted");
    text_bool(&json, found);
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

/* All keys: written while they are sent, so that memory does not grow with the store. */
struct keys_stream {
    bitcask_iterator *iterator;
    bitcask_snapshot *snapshot;
    struct acl_user *user;
    struct text text;
    size_t sent;
    uint64_t count;
    bool done;
};

static void fill_keys(struct keys_stream *stream)
{
    bitcask_entry entry;
    bitcask_error error;
    stream->text.size = stream->sent = 0;
    while (!stream->done && stream->text.size < KEYS_CHUNK) {
        bitcask_status status = bitcask_iterator_next(stream->iterator, &entry, &error);
        if (status == BITCASK_OK && acl_check_key(stream->user, entry.key, false)) {
            if (stream->count++ > 0)
                text_add_c(&stream->text, ","); /* also where a chunk begins */
            text_string(&stream->text, entry.key);
        }
        stream->done = status != BITCASK_OK && status != BITCASK_CORRUPT;
    }
    if (stream->done)
        text_format(&stream->text, "],\"count\":%llu}\n", (unsigned long long)stream->count);
}

static ssize_t read_keys(void *context, uint64_t position, char *to, size_t max)
{
    struct keys_stream *stream = context;
    (void)position;
    if (stream->sent == stream->text.size && !stream->done)
        fill_keys(stream);
    if (stream->text.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t size = stream->text.size - stream->sent;
    size = size < max ? size : max;
    if (size == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(to, stream->text.data + stream->sent, size);
    stream->sent += size;
    return (ssize_t)size;
}

static void free_keys(void *context)
{
    struct keys_stream *stream = context;
    if (stream->iterator != NULL)
        bitcask_iterator_free(stream->iterator);
    bitcask_snapshot_free(stream->snapshot);
    if (stream->user != NULL)
        acl_user_release(stream->user);
    text_release(&stream->text);
    free(stream);
}

void http_pyb_keys(struct http_request *request)
{
    bitcask_error error = {0};
    struct keys_stream *stream = calloc(1, sizeof *stream);
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    bitcask_status status = stream == NULL ? BITCASK_NO_MEMORY : BITCASK_OK;
    if (status == BITCASK_OK)
        status = bitcask_snapshot_new(request->server->store, &stream->snapshot, &error);
    if (status == BITCASK_OK) {
        options.snapshot = stream->snapshot;
        status = bitcask_iterator_new(request->server->store, &options, bitcask_str(""),
                                      BITCASK_KEYS, &stream->iterator, &error);
    }
    if (status != BITCASK_OK) {
        if (stream != NULL)
            free_keys(stream);
        http_reply_status(request, status, &error);
        return;
    }
    stream->user = request->user;
    request->user = NULL; /* the stream has the reference now */
    text_add_c(&stream->text, "{\"keys\":[");
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, KEYS_CHUNK,
                                                                      read_keys, stream, free_keys);
    if (response == NULL)
        free_keys(stream);
    http_reply_response(request, 200, response);
    request->reply_size = UINT64_MAX;
    http_add_header(request, "Content-Type", "application/json");
}

/* Everything that was there at the call goes, in batches: readers and writers go on between them.
 */
static bitcask_status clear(struct http_request *request, bitcask_error *error)
{
    bitcask *store = request->server->store;
    bitcask_iterator *iterator = NULL;
    bitcask_batch *batch = NULL;
    bitcask_entry entry;
    bitcask_status status =
        bitcask_iterator_new(store, NULL, bitcask_str(""), BITCASK_KEYS, &iterator, error);
    if (status == BITCASK_OK)
        status = bitcask_batch_new(&batch, error);
    while (status == BITCASK_OK) {
        bitcask_status step = bitcask_iterator_next(iterator, &entry, error);
        if (step == BITCASK_OK)
            status = bitcask_batch_delete(batch, entry.key, error);
        else if (step != BITCASK_CORRUPT)
            status = step;
        if (status >= 0 &&
            bitcask_batch_count(batch) >= (status == BITCASK_END ? 1 : CLEAR_BATCH)) {
            gate_enter(request->server->gate, request->worker->slot);
            bitcask_status written = bitcask_write(store, batch, NULL, NULL, error);
            gate_leave(request->server->gate, request->worker->slot);
            bitcask_batch_clear(batch);
            status = written == BITCASK_OK ? status : written;
        }
    }
    bitcask_batch_free(batch);
    if (iterator != NULL)
        bitcask_iterator_free(iterator);
    return status == BITCASK_END ? BITCASK_OK : status;
}

void http_pyb_clear(struct http_request *request)
{
    bitcask_error error = {0};
    struct text json = {0};
    if (http_write_is_paused(request))
        return;
    bitcask_status status = clear(request, &error);
    if (status != BITCASK_OK) {
        http_reply_status(request, status, &error);
        return;
    }
    text_json(&json, "{\"status\":\"success\",\"message\":\"Database cleared\"}");
    http_reply_json(request, 200, &json);
}

/* ---- bitcaskpy ---------------------------------------------------------------------------------
 */

static void reply_done(struct http_request *request, const char *what)
{
    struct text json = {0}, message = {0};
    text_add_c(&message, "Key '");
    text_add(&message, http_rest(request));
    text_format(&message, "' %s successfully", what);
    text_json(&json, "{\"status\":\"success\"");
    text_member(&json, "message");
    text_string(&json, bitcask_bytes(message.data, message.size));
    text_close(&json, '}');
    text_release(&message);
    http_reply_json(request, 200, &json);
}

void http_kv_put(struct http_request *request)
{
    bitcask_slice body, value;
    struct text text = {0};
    if (!json_in_is_valid(http_body(request), &body) || !json_in_find(body, "value", &value) ||
        !json_in_string(value, &text))
        unprocessable(request, "the body is {\"value\": \"...\"}");
    else if (store_put(request, http_rest(request),
                       bitcask_bytes(text.size == 0 ? "" : text.data, text.size)))
        reply_done(request, "stored");
    text_release(&text);
}

void http_kv_get(struct http_request *request)
{
    reply_value(request, false);
}

void http_kv_delete(struct http_request *request)
{
    bool found;
    if (store_delete(request, &found))
        reply_done(request, "deleted");
}

void http_kv_list(struct http_request *request)
{
    struct text json = {0};
    text_json(&json, "{\"message\":\"Key listing not yet implemented\"}");
    http_reply_json(request, 200, &json);
}
