/* SPDX-License-Identifier: MIT
 * http_events.c: GET /v1/events: the change feed as server-sent events.
 *
 *     GET /v1/events?prefix=user:&from=now&values=1
 *     id: POSITION          resume with Last-Event-ID (browsers do) or ?from=POSITION
 *     event: put            or delete, gap, error
 *     data: {"key": "user:1", "value": "...", "version": 17, "more": false}
 *
 * A stream reads the feed when its client takes what was read before, so a slow reader costs one
 * buffer and no more; when there is nothing new its connection is suspended, and the http thread
 * looks again at every tick. A position whose log has been merged away gives the event "gap" and
 * the end: read the keys anew, and go on from "now". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http_request.h"

enum {
    STREAM_CHUNK = 32 << 10,        /* bytes to gather before they are sent */
    STREAM_CHANGES = 4096,          /* to look at before others have their turn */
    EVENT_VALUE_MAX = 64 << 10,     /* a longer value is left out: its size is told */
    HEARTBEAT_US = 15 * 1000 * 1000 /* a comment, so that both ends know that the other one lives */
};

struct http_stream {
    struct http_stream *next, **link; /* under http->mutex */
    bool suspended;                   /* under http->mutex */
    struct http *http;
    struct MHD_Connection *connection;
    struct acl_user *user;
    bitcask_feed *feed;
    bool values, done;
    uint64_t last_us; /* when something was sent */
    struct text text;
    size_t sent;
};

static void add_change(struct http_stream *stream, const bitcask_change *change)
{
    char position[BITCASK_POSITION_SIZE];
    struct text *text = &stream->text;
    bool put = change->kind == BITCASK_CHANGE_PUT;
    bitcask_feed_position(stream->feed, position);
    text_format(text, "id: %s\nevent: %s\ndata: ", position, put ? "put" : "delete");
    struct text json = {0};
    text_open(&json, '{');
    text_bytes(&json, "key", change->key);
    if (put && stream->values && change->value.size <= EVENT_VALUE_MAX)
        text_bytes(&json, "value", change->value);
    if (put) {
        text_member(&json, "size");
        text_unsigned(&json, change->value.size);
    }
    text_member(&json, "version");
    text_unsigned(&json, change->meta.version);
    if (change->meta.expires_us != 0) {
        text_member(&json, "expires_us");
        text_unsigned(&json, change->meta.expires_us);
    }
    text_member(&json, "more");
    text_bool(&json, change->more != 0);
    text_close(&json, '}');
    text_add(text, bitcask_bytes(json.data, json.size));
    text_add_c(text, "\n\n");
    text->failed |= json.failed;
    text_release(&json);
}

static void add_end(struct http_stream *stream, const char *event, const char *message)
{
    struct text json = {0};
    text_open(&json, '{');
    text_member(&json, "error");
    text_string_c(&json, message);
    text_close(&json, '}');
    text_format(&stream->text, "event: %s\ndata: ", event);
    text_add(&stream->text, bitcask_bytes(json.data, json.size));
    text_add_c(&stream->text, "\n\n");
    text_release(&json);
    stream->done = true;
}

/* Gather what is new. */
static void fill(struct http_stream *stream)
{
    bitcask_change change;
    bitcask_error error = {0};
    bitcask_status status = BITCASK_OK;
    stream->text.size = stream->sent = 0;
    for (int i = 0; i < STREAM_CHANGES && stream->text.size < STREAM_CHUNK; i++) {
        status = bitcask_feed_next(stream->feed, &change, &error);
        if (status != BITCASK_OK)
            break;
        if (acl_check_key(stream->user, change.key, false))
            add_change(stream, &change);
    }
    if (status < 0)
        add_end(stream, status == BITCASK_GAP || status == BITCASK_DIVERGED ? "gap" : "error",
                error.message);
    uint64_t now_us = server_monotonic_us();
    if (stream->text.size == 0 && now_us - stream->last_us > HEARTBEAT_US) {
        stream->user = acl_user_renew(stream->http->server->acl, stream->user);
        if (stream->user == NULL || !http_user_may(stream->user, "get", (bitcask_slice){0}))
            stream->done = true;
        text_add_c(&stream->text, ": here\n\n");
    }
    if (stream->text.size > 0)
        stream->last_us = now_us;
}

/* libmicrohttpd sees that only when it writes. */
static bool peer_has_gone(const struct http_stream *stream)
{
    char byte;
    int fd =
        MHD_get_connection_info(stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

static ssize_t read_stream(void *context, uint64_t position, char *to, size_t max)
{
    struct http_stream *stream = context;
    struct http *http = stream->http;
    (void)position;
    if (stream->sent == stream->text.size && !stream->done)
        fill(stream);
    if (stream->text.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t size = stream->text.size - stream->sent;
    size = size < max ? size : max;
    if (size > 0) {
        memcpy(to, stream->text.data + stream->sent, size);
        stream->sent += size;
        return (ssize_t)size;
    }
    if (peer_has_gone(stream))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    pthread_mutex_lock(&http->mutex);
    bool ends = stream->done || atomic_load(&http->stopping);
    if (!ends && !stream->suspended) {
        stream->suspended = true;
        MHD_suspend_connection(stream->connection);
    }
    pthread_mutex_unlock(&http->mutex);
    return ends ? MHD_CONTENT_READER_END_OF_STREAM : 0;
}

static void free_stream(void *context)
{
    struct http_stream *stream = context;
    struct http *http = stream->http;
    pthread_mutex_lock(&http->mutex);
    if (stream->link != NULL) {
        *stream->link = stream->next;
        if (stream->next != NULL)
            stream->next->link = stream->link;
    }
    pthread_mutex_unlock(&http->mutex);
    atomic_fetch_sub(&http->stream_count, 1);
    bitcask_feed_free(stream->feed);
    if (stream->user != NULL)
        acl_user_release(stream->user);
    text_release(&stream->text);
    free(stream);
}

static void wake_streams(struct http *http)
{
    pthread_mutex_lock(&http->mutex);
    for (struct http_stream *stream = http->streams; stream != NULL; stream = stream->next)
        if (stream->suspended) {
            stream->suspended = false;
            MHD_resume_connection(stream->connection);
        }
    pthread_mutex_unlock(&http->mutex);
}

void http_streams_tick(struct http *http)
{
    if (atomic_load(&http->stream_count) > 0)
        wake_streams(http);
}

/* No connection may be suspended when libmicrohttpd is stopped. http->stopping is set. */
void http_streams_end(struct http *http)
{
    wake_streams(http);
}

static bitcask_status open_feed(struct http_request *request, bitcask_feed **feed,
                                bitcask_error *error)
{
    const char *last = http_header(request, "Last-Event-ID");
    bitcask_slice from = http_argument(request, "from");
    const char *start = last != NULL ? last : from.data != NULL ? from.data : "now";
    bitcask_slice prefix = http_argument(request, "prefix");
    if (prefix.data == NULL)
        prefix = bitcask_str("");
    return bitcask_feed_new(request->server->store, start, prefix, feed, error);
}

void http_events(struct http_request *request)
{
    struct http *http = request->http;
    bitcask_error error = {0};
    if (atomic_fetch_add(&http->stream_count, 1) >= HTTP_STREAMS) {
        atomic_fetch_sub(&http->stream_count, 1);
        http_reply_error(request, 503, "more than %d streams at once", HTTP_STREAMS);
        return;
    }
    struct http_stream *stream = calloc(1, sizeof *stream);
    bitcask_status status = BITCASK_NO_MEMORY;
    if (stream != NULL)
        status = open_feed(request, &stream->feed, &error);
    if (status != BITCASK_OK) {
        free(stream);
        atomic_fetch_sub(&http->stream_count, 1);
        http_reply_status(request, status, &error);
        return;
    }
    stream->http = http;
    stream->connection = request->connection;
    stream->user = request->user;
    request->user = NULL; /* the stream has the reference now */
    stream->values = http_argument_number(request, "values", 1, 1) == 1;
    stream->last_us = server_monotonic_us();
    text_add_c(&stream->text, "retry: 1000\n: bitcask\n\n");
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, STREAM_CHUNK, read_stream, stream, free_stream);
    if (response == NULL) {
        free_stream(stream);
        http_reply_status(request, BITCASK_NO_MEMORY, NULL);
        return;
    }
    pthread_mutex_lock(&http->mutex);
    stream->next = http->streams;
    stream->link = &http->streams;
    if (stream->next != NULL)
        stream->next->link = &stream->next;
    http->streams = stream;
    pthread_mutex_unlock(&http->mutex);
    http_wake(http);
    http_reply_response(request, 200, response);
    request->reply_size = UINT64_MAX;
    http_add_header(request, "Content-Type", "text/event-stream");
}
