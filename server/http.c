/* SPDX-License-Identifier: MIT
 * http.c: listening, connections and requests of the HTTP side.
 *
 * One thread of ours accepts and ticks; it hands the connections to HTTP_THREADS libmicrohttpd
 * daemons with a thread each, in turn. libmicrohttpd's own time limit knows only silence, so each
 * connection has a deadline too: the headers must be there in time, and bodies must come and go at
 * a minimum rate. Lock: http->mutex guards the lists of connections and streams; it is held for
 * list work only. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/rand.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gate.h"
#include "http_request.h"
#include "journal.h"
#include "metrics.h"
#include "settings.h"

enum { TICK_MS = 1000, STREAM_TICK_MS = 40 };

/* ---- Connections ----------------------------------------------------------------------------- */

static void set_deadline(struct http_request *request, uint64_t deadline_us)
{
    if (request->owner == NULL)
        return;
    pthread_mutex_lock(&request->http->mutex);
    request->owner->deadline_us = deadline_us;
    pthread_mutex_unlock(&request->http->mutex);
}

/* The time by which `bytes` more must have come or gone. */
static uint64_t deadline_for(const struct http *http, uint64_t start_us, uint64_t bytes)
{
    if (bytes == UINT64_MAX)
        return UINT64_MAX;
    return start_us + setting_number(http->server->settings, SETTING_HTTP_TIMEOUT) * 1000000 +
           bytes * 1000000 / HTTP_SLOW_BYTES_PER_S;
}

static void connection_changed(void *context, struct MHD_Connection *connection, void **own,
                               enum MHD_ConnectionNotificationCode what)
{
    struct http_worker *worker = context;
    struct http *http = worker->http;
    struct http_connection *known = *own;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        known = calloc(1, sizeof *known);
        *own = known;
        if (known == NULL)
            return; /* its first request is refused */
        known->fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        known->deadline_us = deadline_for(http, server_monotonic_us(), 0);
        pthread_mutex_lock(&http->mutex);
        known->next = http->connections;
        known->link = &http->connections;
        if (known->next != NULL)
            known->next->link = &known->next;
        http->connections = known;
        pthread_mutex_unlock(&http->mutex);
    } else if (known != NULL) {
        pthread_mutex_lock(&http->mutex);
        *known->link = known->next;
        if (known->next != NULL)
            known->next->link = known->link;
        pthread_mutex_unlock(&http->mutex);
        free(known);
        *own = NULL;
    }
    if (what == MHD_CONNECTION_NOTIFY_CLOSED)
        atomic_fetch_sub(&worker->connections, 1);
}

/* Cut off whose time is up: the worker then sees the end of the connection, and closes it. */
static void end_slow_connections(struct http *http, uint64_t now_us)
{
    pthread_mutex_lock(&http->mutex);
    for (struct http_connection *c = http->connections; c != NULL; c = c->next)
        if (c->deadline_us < now_us)
            shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->mutex);
}

/* ---- A request's way ------------------------------------------------------------------------- */

static enum http_method method_of(const char *name)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET",   [HTTP_HEAD] = "HEAD",     [HTTP_PUT] = "PUT",
        [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE", [HTTP_PATCH] = "PATCH"};
    for (int i = 0; i < HTTP_OTHER; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum http_method)i;
    return HTTP_OTHER;
}

/* Take `more` bytes of the body into account; false if there is no room for them. */
static bool reserve_body(struct http_request *request, size_t more)
{
    struct http *http = request->http;
    if (request->body.size + more <= request->body_reserved)
        return true;
    size_t step = request->body.size + more - request->body_reserved;
    step = step < 64 << 10 ? 64 << 10 : step;
    if (atomic_fetch_add(&http->body_bytes, step) + step > HTTP_BODIES_MAX) {
        atomic_fetch_sub(&http->body_bytes, step);
        return false;
    }
    request->body_reserved += step;
    return true;
}

static bool takes_body(const struct http_request *request)
{
    return request->method == HTTP_PUT || request->method == HTTP_POST ||
           request->method == HTTP_PATCH;
}

/* Is the body that is announced one that we take? */
static bool check_body_headers(struct http_request *request)
{
    const char *length = http_header(request, "Content-Length");
    const char *encoding = http_header(request, "Transfer-Encoding");
    if (length != NULL && encoding != NULL) {
        http_reply_error(request, 400, "both Content-Length and Transfer-Encoding are given");
        return false;
    }
    uint64_t size = length == NULL ? 0 : strtoull(length, NULL, 10);
    if ((size > 0 || encoding != NULL) && !takes_body(request)) {
        http_reply_error(request, 413, "this method takes no body");
        return false;
    }
    if (size > HTTP_BODY_MAX) {
        http_reply_error(request, 413, "a body has at most %d bytes; larger values go by RESP",
                         HTTP_BODY_MAX);
        return false;
    }
    if (size > 0 && (!reserve_body(request, size) || !text_reserve(&request->body, size))) {
        http_reply_error(request, 503, "too many large bodies at once, try again");
        return false;
    }
    return true;
}

static bool find_route(struct http_request *request)
{
    char allowed[64];
    request->route = http_route_find(request->method, request->path, allowed);
    if (request->route == NULL && allowed[0] != '\0') {
        http_reply_error(request, 405, "not with this method");
        http_add_header(request, "Allow", allowed);
        return false;
    }
    if (request->route == NULL) {
        http_reply_error(request, 404, "nothing here; see /v1/openapi.json");
        return false;
    }
    if ((request->route->flags & HTTP_REST) == 0)
        return true;
    bitcask_slice rest = bitcask_str(request->path + strlen(request->route->path));
    if (!text_from_percent(&request->rest, rest, false)) {
        http_reply_error(request, 400, "a %% in the path is not followed by two hex digits");
        return false;
    }
    return true;
}

static void take_request_id(struct http_request *request)
{
    const char *id = http_header(request, "x-request-id");
    size_t size = id == NULL ? 0 : strlen(id);
    bool plain = size > 0 && size < sizeof request->id;
    for (size_t i = 0; plain && i < size; i++)
        plain = id[i] > ' ' && id[i] < 0x7F;
    if (plain) {
        memcpy(request->id, id, size + 1);
        return;
    }
    unsigned char random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        memset(random, 0, sizeof random);
    for (int i = 0; i < 16; i++)
        sprintf(request->id + 2 * i, "%02x", random[i]);
}

static struct http_request *new_request(struct http_worker *worker,
                                        struct MHD_Connection *connection, const char *path,
                                        const char *method)
{
    struct http_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    request->http = worker->http;
    request->worker = worker;
    request->server = worker->http->server;
    request->connection = connection;
    request->owner =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    request->path = path;
    request->method = method_of(method);
    request->started_us = server_monotonic_us();
    take_request_id(request);
    metrics_add(request->server->metrics, worker->slot, METRIC_HTTP_REQUESTS, 1);
    set_deadline(request, deadline_for(request->http, request->started_us, 0));
    return request;
}

static void free_request(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)context, (void)connection, (void)why;
    struct http_request *request = *state;
    *state = NULL;
    if (request == NULL)
        return;
    if (request->body_reserved > 0)
        atomic_fetch_sub(&request->http->body_bytes, request->body_reserved);
    if (request->user != NULL)
        acl_user_release(request->user);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    set_deadline(request, deadline_for(request->http, server_monotonic_us(), 0));
    text_release(&request->rest);
    text_release(&request->body);
    for (unsigned i = 0; i < request->argument_count; i++)
        text_release(&request->arguments[i]);
    free(request);
}

static enum MHD_Result send_reply(struct http_request *request)
{
    if (request->response == NULL)
        http_reply_error(request, 500, "no memory for a reply");
    if (request->response == NULL)
        return MHD_NO;
    set_deadline(request, deadline_for(request->http, server_monotonic_us(), request->reply_size));
    return MHD_queue_response(request->connection, request->status, request->response);
}

/* A piece of the body. After a refusal the rest is read and forgotten, for a while: a reply to a
 * client that is still sending would be lost. */
static bool take_body(struct http_request *request, const char *data, size_t size)
{
    struct text *body = &request->body;
    if (request->refused == 0 && body->size + size > HTTP_BODY_MAX)
        request->refused = 413;
    else if (request->refused == 0 && !reserve_body(request, size))
        request->refused = 503;
    if (request->refused == 0)
        text_add(body, bitcask_bytes(data, size));
    if (body->failed)
        request->refused = 503;
    if (request->refused != 0)
        request->discarded += size;
    set_deadline(request,
                 deadline_for(request->http, request->started_us, body->size + request->discarded));
    return request->discarded <= HTTP_BODY_MAX;
}

static void run_handler(struct http_request *request)
{
    set_deadline(request, UINT64_MAX); /* it is our own time that passes */
    unsigned slot = request->worker->slot;
    bool gated = (request->route->flags & HTTP_GATE) != 0;
    if (gated)
        gate_enter(request->server->gate, slot);
    request->route->run(request);
    if (gated)
        gate_leave(request->server->gate, slot);
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    (void)version;
    struct http_request *request = *state;
    if (request == NULL) {
        *state = request = new_request(context, connection, path, method);
        if (request == NULL || request->owner == NULL)
            return MHD_NO;
        if (find_route(request) && check_body_headers(request) && http_access(request))
            return MHD_YES; /* the body, or the call again without one */
        return send_reply(request);
    }
    if (*size > 0) {
        bool go_on = take_body(request, data, *size);
        *size = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    if (request->refused != 0)
        http_reply_error(request, request->refused,
                         request->refused == 413 ? "the body is too large"
                                                 : "too many large bodies at once, try again");
    else
        run_handler(request);
    return send_reply(request);
}

/* Paths and arguments are decoded where they are used, by length. */
static size_t leave_as_it_is(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

/* libmicrohttpd's own remarks: broken requests, clients that went away. */
static void no_log(void *context, const char *format, va_list arguments)
{
    (void)context, (void)format, (void)arguments;
}

/* ---- Accepting, and ticking ------------------------------------------------------------------ */

/* Limits are ours to keep: libmicrohttpd 0.9.75, given a connection beyond its own limit in this
 * way, never unlocks a mutex again. */
static void hand_over(struct http_worker *worker, int fd, const struct sockaddr_storage *address,
                      socklen_t size)
{
    if (atomic_fetch_add(&worker->connections, 1) >= HTTP_CONNECTIONS / HTTP_THREADS)
        close(fd);
    else if (MHD_add_connection(worker->daemon, fd, (const struct sockaddr *)address, size) ==
             MHD_YES)
        return;
    atomic_fetch_sub(&worker->connections, 1);
}

/* A connection is refused only where all are full. */
static struct http_worker *least_busy(struct http *http)
{
    struct http_worker *least = &http->workers[0];
    for (unsigned i = 1; i < HTTP_THREADS; i++)
        if (atomic_load(&http->workers[i].connections) < atomic_load(&least->connections))
            least = &http->workers[i];
    return least;
}

static void accept_some(struct http *http, int listener)
{
    for (int i = 0; i < 16; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int fd =
            accept4(listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
            poll(NULL, 0, 100); /* nothing to do but wait until somebody closes something */
        if (fd < 0)
            return;
        hand_over(least_busy(http), fd, &address, size);
    }
}

void http_wake(struct http *http)
{
    /* a full pipe wakes as well */
    if (http->wake[1] >= 0 && write(http->wake[1], "", 1) < 0)
        return;
}

static void tick(struct http *http, uint64_t now_us)
{
    end_slow_connections(http, now_us);
    http_history_tick(http->history, now_us);
}

static void *serve(void *context)
{
    struct http *http = context;
    struct pollfd polled[1 + sizeof http->sockets / sizeof http->sockets[0]];
    uint64_t next_us = server_monotonic_us();
    polled[0] = (struct pollfd){.fd = http->wake[0], .events = POLLIN};
    for (unsigned i = 0; i < http->socket_count; i++)
        polled[1 + i] = (struct pollfd){.fd = http->sockets[i], .events = POLLIN};
    while (!atomic_load(&http->stopping)) {
        uint64_t now_us = server_monotonic_us();
        if (now_us >= next_us) {
            tick(http, now_us);
            next_us += TICK_MS * 1000ull;
            next_us = next_us < now_us ? now_us : next_us;
        }
        http_streams_tick(http);
        int wait_ms = (int)((next_us - now_us) / 1000) + 1;
        if (atomic_load(&http->stream_count) > 0 && wait_ms > STREAM_TICK_MS)
            wait_ms = STREAM_TICK_MS;
        if (poll(polled, 1 + http->socket_count, wait_ms) <= 0)
            continue;
        char wakes[64];
        if (polled[0].revents != 0 && read(http->wake[0], wakes, sizeof wakes) < 0)
            continue;
        for (unsigned i = 0; i < http->socket_count; i++)
            if (polled[1 + i].revents != 0)
                accept_some(http, http->sockets[i]);
    }
    return NULL;
}

/* ---- Start and stop -------------------------------------------------------------------------- */

static bool fail(bitcask_error *error, const char *what, const char *where, const char *why)
{
    if (error != NULL) {
        *error = (bitcask_error){.status = BITCASK_IO, .sys_errno = errno};
        snprintf(error->message, sizeof error->message, "http: %s %s: %s", what, where, why);
    }
    return false;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

/* Listen on one address. A family that the machine has not is no error where more are asked for. */
static bool listen_on(struct http *http, const char *host, unsigned port, bitcask_error *error)
{
    char service[16];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof service, "%u", http->port != 0 ? http->port : port);
    const char *name = strcmp(host, "*") == 0 ? "0.0.0.0" : strcmp(host, "::*") == 0 ? "::" : host;
    int bad = getaddrinfo(name, service, &hints, &found);
    if (bad != 0)
        return fail(error, "address", host, gai_strerror(bad));
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (works && found->ai_family == AF_INET6)
        works = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0;
    works = works && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 128) == 0;
    freeaddrinfo(found);
    if (!works) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        errno = why;
        return fail(error, "listen on", host, strerror(why));
    }
    http->sockets[http->socket_count++] = fd;
    http->port = port_of(fd);
    return true;
}

/* All addresses of http-bind; a leading '-' says that it may be missing, as in redis.conf. */
static bool listen_all(struct http *http, bitcask_error *error)
{
    unsigned port = (unsigned)setting_number(http->server->settings, SETTING_HTTP_PORT);
    const char *own = setting_text(http->server->settings, SETTING_HTTP_BIND);
    char *list = strdup(own[0] != '\0' ? own : setting_text(http->server->settings, SETTING_BIND));
    char *rest = list;
    bool works = list != NULL;
    for (char *host; works && (host = strtok_r(rest, " ,", &rest)) != NULL;) {
        bool optional = *host == '-';
        if (http->socket_count == sizeof http->sockets / sizeof http->sockets[0])
            works = fail(error, "too many addresses in", "http-bind", "at most 16");
        else
            works = listen_on(http, host + optional, port, error) || optional;
    }
    free(list);
    if (works && http->socket_count == 0)
        works = fail(error, "no address in", "http-bind", "nothing to listen on");
    return works;
}

static bool start_worker(struct http *http, unsigned index, bitcask_error *error)
{
    struct http_worker *worker = &http->workers[index];
    worker->http = http;
    worker->slot = http->server->loop_count + index;
    worker->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
            MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
        0, NULL, NULL, answer, worker, MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS + 1,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADERS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)setting_number(http->server->settings, SETTING_HTTP_TIMEOUT) + 5,
        MHD_OPTION_NOTIFY_COMPLETED, free_request, worker, MHD_OPTION_NOTIFY_CONNECTION,
        connection_changed, worker, MHD_OPTION_UNESCAPE_CALLBACK, leave_as_it_is, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    return worker->daemon != NULL || fail(error, "start", "libmicrohttpd", strerror(errno));
}

/* Signals are for the main thread; but what a thread does itself comes to it: a page that cannot be
 * read (sigbus.h) would else be the end. */
static bool start_threads(struct http *http, bitcask_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool works = true;
    for (unsigned i = 0; works && i < HTTP_THREADS; i++)
        works = start_worker(http, i, error);
    if (works) {
        int bad = pthread_create(&http->thread, NULL, serve, http);
        http->thread_runs = bad == 0;
        works = bad == 0 || fail(error, "start", "a thread", strerror(bad));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return works;
}

bool http_start(struct server *server, struct http **started, bitcask_error *error)
{
    *started = NULL;
    if (setting_number(server->settings, SETTING_HTTP_PORT) == 0)
        return true;
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return fail(error, "start", "the server", "out of memory");
    http->server = server;
    http->wake[0] = http->wake[1] = -1;
    pthread_mutex_init(&http->mutex, NULL);
    http->history = http_history_new(server);
    bool works = http->history != NULL && RAND_bytes(http->secret, sizeof http->secret) == 1 &&
                 pipe2(http->wake, O_CLOEXEC | O_NONBLOCK) == 0;
    if (!works)
        fail(error, "start", "the server", "out of memory or descriptors");
    if (!works || !listen_all(http, error) || !start_threads(http, error)) {
        http_stop(http);
        return false;
    }
    *started = http;
    return true;
}

unsigned http_port(const struct http *http)
{
    return http->port;
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    atomic_store(&http->stopping, true);
    http_wake(http);
    if (http->thread_runs)
        pthread_join(http->thread, NULL);
    http_streams_end(http);
    for (unsigned i = 0; i < HTTP_THREADS; i++)
        if (http->workers[i].daemon != NULL)
            MHD_stop_daemon(http->workers[i].daemon);
    for (unsigned i = 0; i < http->socket_count; i++)
        close(http->sockets[i]);
    for (int i = 0; i < 2; i++)
        if (http->wake[i] >= 0)
            close(http->wake[i]);
    http_history_free(http->history);
    pthread_mutex_destroy(&http->mutex);
    free(http);
}
