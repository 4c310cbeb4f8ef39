/* SPDX-License-Identifier: MIT
 * http_request.h: one HTTP request, from its first header to its reply.
 *
 * A request's way (http.c): headers are there -> a route is found -> access (http_access.c) -> the
 * body is gathered, within limits -> the route's handler runs, once, on one of HTTP_THREADS threads
 * and with a gate slot if the route asks for one, and gives a reply -> the reply goes out. Handlers
 * never wait for a client; what lasts (merges, events) is begun by them and goes on elsewhere.
 *
 * Paths are matched as they come and decoded afterwards, by length: a key may hold any byte, zero
 * and slash included, and no path of a request ever names a file. */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acl.h"
#include "bitcask.h"
#include "http.h"
#include "server.h"
#include "text.h"

struct http_history;
struct http_request;

enum {
    HTTP_CONNECTIONS = 256,          /* at once; what comes above is closed */
    HTTP_STREAMS = 64,               /* of /v1/events */
    HTTP_HEADERS_MAX = 256 << 10,    /* bytes of a request's line and headers: a key of 65,535 bytes
                                        may be three times as long in its path */
    HTTP_BODY_MAX = 64 << 20,        /* bytes */
    HTTP_BODIES_MAX = 256 << 20,     /* bytes of all that are being received */
    HTTP_SLOW_BYTES_PER_S = 8 << 10, /* who is slower than that on average is cut off */
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_POST, HTTP_DELETE, HTTP_PATCH, HTTP_OTHER };

typedef void http_handler(struct http_request *request);

enum http_route_flags {
    HTTP_OPEN = 1 << 0,   /* to everybody who may connect, without a password */
    HTTP_WRITES = 1 << 1, /* changes something: the rules against forged requests apply */
    HTTP_TOKEN = 1 << 2,  /* needs the token in any case, not of browsers only */
    HTTP_GATE = 1 << 3,   /* runs inside a gate slot */
    HTTP_COMPAT = 1 << 4, /* errors as {"detail": ...} */
    HTTP_REST = 1 << 5,   /* the path goes on behind the pattern: request->rest */
};

struct http_route {
    enum http_method method;
    const char *path;
    unsigned flags;
    const char *command; /* whose ACL rules apply, rest being the key where the route has one */
    http_handler *run;
};

/* A connection, from accept to close. */
struct http_connection {
    struct http_connection *next, **link;
    int fd;
    uint64_t deadline_us; /* monotonic: cut off then; UINT64_MAX: never. Under http->mutex */
};

/* A thread of libmicrohttpd with the connections it was given, and its gate slot. */
struct http_worker {
    struct http *http;
    struct MHD_Daemon *daemon;
    unsigned slot;
    _Atomic unsigned connections; /* given to it and not yet closed */
};

struct http {
    struct server *server;
    struct http_worker workers[HTTP_THREADS];
    pthread_t thread; /* accepts, and ticks: deadlines, history, streams */
    bool thread_runs;
    int wake[2]; /* a pipe: written to when a stream begins, and at the end */
    int sockets[16];
    unsigned socket_count;
    unsigned port;
    atomic_bool stopping;
    _Atomic size_t body_bytes;
    _Atomic unsigned stream_count;
    unsigned char secret[32]; /* of tokens; made at the start */
    pthread_mutex_t mutex;    /* guards the lists */
    struct http_connection *connections;
    struct http_stream *streams;
    struct http_history *history;
};

struct http_request {
    struct http *http;
    struct server *server;
    struct MHD_Connection *connection;
    struct http_connection *owner;
    struct http_worker *worker;
    const struct http_route *route;
    enum http_method method;
    const char *path; /* as it came */
    struct text rest; /* what follows the route's pattern, decoded */
    struct text body;
    size_t body_reserved;  /* of http->body_bytes */
    struct acl_user *user; /* a reference */
    unsigned refused;      /* the body is not wanted any more, for this status; or 0 */
    uint64_t discarded;    /* bytes of it */
    uint64_t started_us;   /* monotonic */
    struct MHD_Response *response;
    unsigned status;
    uint64_t reply_size;      /* bytes; UINT64_MAX: not known, it takes as long as it takes */
    struct text arguments[8]; /* decoded ones */
    unsigned argument_count;
    char id[129]; /* x-request-id, if it is plain; else made up */
};

/* ---- What came ----------------------------------------------------------------------------- */

/* A header; NULL if it is not there. */
const char *http_header(const struct http_request *request, const char *name);
/* An argument of the query, decoded, with a NUL behind it that does not count; empty with NULL data
 * if it is not there or badly encoded. Valid as long as the request. */
bitcask_slice http_argument(struct http_request *request, const char *name);
uint64_t http_argument_number(struct http_request *request, const char *name, uint64_t otherwise,
                              uint64_t max);
/* "60", "0.5", "500ms", "2h" (seconds without a unit) in milliseconds; false if it is neither. */
bool http_parse_duration_ms(const char *text, uint64_t *ms);

static inline bitcask_slice http_rest(const struct http_request *request)
{
    return bitcask_bytes(request->rest.data, request->rest.size);
}
static inline bitcask_slice http_body(const struct http_request *request)
{
    return bitcask_bytes(request->body.data, request->body.size);
}

/* ---- The reply: one of these, once ---------------------------------------------------------- */

/* Takes the text's memory over, whatever happens. */
void http_reply(struct http_request *request, unsigned status, const char *type, struct text *text);
void http_reply_json(struct http_request *request, unsigned status, struct text *json);
void http_reply_static(struct http_request *request, const char *type, bitcask_slice bytes);
void http_reply_empty(struct http_request *request, unsigned status);
/* {"error": "...", "status": N}; of routes that are HTTP_COMPAT {"detail": "..."}. */
__attribute__((format(printf, 3, 4))) void
http_reply_error(struct http_request *request, unsigned status, const char *format, ...);
/* What a call of the store returned, as a reply. */
void http_reply_status(struct http_request *request, bitcask_status status,
                       const bitcask_error *error);
/* Takes the response over. */
void http_reply_response(struct http_request *request, unsigned status,
                         struct MHD_Response *response);
/* After one of the above. */
void http_add_header(struct http_request *request, const char *name, const char *value);

/* ---- Access (http_access.c) ------------------------------------------------------------------ */

/* May the request be executed? If not, the error has been replied. Sets request->user. Judges the
 * peer, Host, Origin, password and token; and the route's command for the key in its path. */
bool http_access(struct http_request *request);
/* May the user run the command, on this key (or none: NULL data)? If not, the error has been
 * replied. */
bool http_may(struct http_request *request, const char *command, bitcask_slice key);
bool http_user_may(struct acl_user *user, const char *command, bitcask_slice key);
/* The token of a user's: HMAC of the name by the start's secret, in hexadecimal. */
void http_token(const struct http *http, const struct acl_user *user, char token[65]);
/* Is `host`, a Host header, one that no foreign page can have sent (an address, localhost, a name
 * of the settings)? */
bool http_host_is_ours(const struct server *server, const char *host);

/* ---- The parts ------------------------------------------------------------------------------- */

/* The route of a method and path; *allowed_methods is set if only the method is wrong. */
const struct http_route *http_route_find(enum http_method method, const char *path,
                                         char allowed_methods[64]);

/* Note in the metrics a command that was carried out for HTTP, as the Redis side does; returns the
 * time, in ns. With started_ns 0 it only tells the time. */
uint64_t http_note_command(struct http_request *request, const char *command, uint64_t started_ns,
                           bitcask_status status);
/* The options of a write: as durable as `appendfsync` says. */
void http_write_options(struct http_request *request, bitcask_write_options *options);
/* Checks of writes; false, or true for a pause: the error has been replied. */
bool http_key_is_good(struct http_request *request, bitcask_slice key);
bool http_write_is_paused(struct http_request *request);

http_handler http_key_get, http_key_put, http_key_delete, http_key_patch, http_keys_list,
    http_batch; /* http_keys.c, http_batch.c */
http_handler http_pyb_root, http_pyb_put, http_pyb_batch, http_pyb_get, http_pyb_delete,
    http_pyb_keys, http_pyb_clear, http_kv_put, http_kv_get, http_kv_delete, http_kv_list,
    http_compat_health;    /* http_compat.c */
http_handler http_events;  /* http_events.c */
http_handler http_metrics; /* http_metrics.c */
http_handler http_status, http_history_get, http_segments, http_logs, http_slow, http_clients,
    http_session, http_healthz, http_readyz; /* http_status.c */
http_handler http_admin_merge, http_admin_verify, http_admin_backup,
    http_admin_cancel; /* http_admin.c */
http_handler http_page, http_page_script, http_page_style, http_page_icon,
    http_openapi; /* http_page.c */

/* Let the http thread look at its streams now. */
void http_wake(struct http *http);

/* Streams and history, once per tick of the http thread. */
void http_streams_tick(struct http *http);
void http_streams_end(struct http *http);

struct http_history *http_history_new(struct server *server);
void http_history_free(struct http_history *history);
void http_history_tick(struct http_history *history, uint64_t now_us);

#endif
