/* SPDX-License-Identifier: MIT
 * serve.c: a server from start to end. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "acl.h"
#include "command.h"
#include "commit.h"
#include "gate.h"
#include "http.h"
#include "jobs.h"
#include "journal.h"
#include "keyspace.h"
#include "listen.h"
#include "loop.h"
#include "metrics.h"
#include "notify.h"
#include "pubsub.h"
#include "registry.h"
#include "resident.h"
#include "server.h"
#include "sigbus.h"
#include "slowlog.h"

enum { OTHER_DESCRIPTORS = 256 }; /* besides those of clients: segments, HTTP, ... */

/* A server with what only its start and its end need. */
struct running {
    struct server server;
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
};

__attribute__((format(printf, 2, 3))) static bool fail(bitcask_error *error, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (error->status >= BITCASK_OK)
        error->status = BITCASK_INVALID;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- Start ----------------------------------------------------------------------------------- */

/* Without a password only this machine may come, unless that is said to be meant. */
static bool check_exposure(const struct server *server, bitcask_error *error)
{
    const struct settings *settings = server->settings;
    if (setting_number(settings, SETTING_PROTECTED_MODE) == 0 || !acl_default_is_open(server->acl))
        return true;
    char *words = strdup(setting_text(settings, SETTING_BIND)), *rest = words;
    bool allowed = true;
    for (char *word; allowed && (word = strsep(&rest, " ")) != NULL;) {
        const char *host = word[0] == '-' ? word + 1 : word;
        if (host[0] != '\0' && !address_is_local(host))
            allowed = fail(error,
                           "bind: others than this machine can reach %s, and there is no password: "
                           "set requirepass (or an aclfile), or protected-mode no",
                           host);
    }
    free(words);
    return allowed;
}

static bool make_acl(struct server *server, bitcask_error *error)
{
    const char *password = setting_text(server->settings, SETTING_REQUIREPASS);
    const char *file = setting_text(server->settings, SETTING_ACLFILE);
    server->acl = acl_new();
    if (server->acl == NULL || !acl_require(server->acl, password))
        return fail(error, "out of memory");
    return file[0] == '\0' || acl_load_file(server->acl, file, error);
}

/* Room for maxclients descriptors; where the system does not give it, fewer clients. */
static void raise_descriptor_limit(struct server *server)
{
    uint64_t wanted = setting_number(server->settings, SETTING_MAXCLIENTS) + OTHER_DESCRIPTORS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return;
    char text[24];
    bitcask_error error;
    uint64_t changed, clients = limit.rlim_cur > OTHER_DESCRIPTORS * 2
                                    ? limit.rlim_cur - OTHER_DESCRIPTORS
                                    : limit.rlim_cur / 2;
    snprintf(text, sizeof text, "%" PRIu64, clients);
    const bitcask_slice pair[2] = {bitcask_str("maxclients"), bitcask_str(text)};
    if (settings_change(server->settings, pair, 1, &changed, &error))
        journal_note(server->journal, BITCASK_LOG_WARN, "maxclients_lowered", "to", text, "why",
                     "the limit of open files (ulimit -n)", NULL);
}

static bool open_store(struct server *server, bitcask_error *error)
{
    bitcask_options options = *settings_store_options(server->settings);
    options.log = journal_store_event;
    options.log_context = server->journal;
    options.log_level = (bitcask_log_level)setting_number(server->settings, SETTING_LOGLEVEL);
    server->directory = setting_text(server->settings, SETTING_DIR);
    return bitcask_open(server->directory, &options, &server->store, error) == BITCASK_OK;
}

static bool make_parts(struct server *server, bitcask_error *error)
{
    const struct settings *settings = server->settings;
    uint64_t threads = setting_number(settings, SETTING_IO_THREADS);
    if (threads == 0) {
        /* One less than there are: with all of them, on two processors with the clients beside it,
         * each thread finds half as many requests each time it wakes (docs/SERVER.md). */
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        threads = processors < 2 ? 1 : (uint64_t)processors - 1;
    }
    server->loop_count = threads > SERVER_MAX_THREADS ? SERVER_MAX_THREADS : (unsigned)threads;
    unsigned slots = server->loop_count + HTTP_THREADS;
    server->gate = gate_new(slots);
    server->registry = registry_new();
    server->pubsub = pubsub_new();
    server->slowlog = slowlog_new();
    server->jobs = jobs_new();
    server->metrics = metrics_new(slots, command_count());
    server->keyspace = keyspace_new(slots);
    server->commit = commit_new();
    server->loops = calloc(server->loop_count, sizeof(struct loop *));
    return (server->gate && server->registry && server->pubsub && server->slowlog && server->jobs &&
            server->metrics && server->keyspace && server->commit && server->loops) ||
           fail(error, "out of memory");
}

static void make_run_id(struct server *server)
{
    unsigned char bytes[20];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(server->run_id + 2 * i, 3, "%02x", bytes[i]);
    server->started_us = server_wall_us();
}

static bool start_loops(struct running *running, bitcask_error *error)
{
    struct server *server = &running->server;
    for (unsigned i = 0; i < server->loop_count; i++) {
        server->loops[i] = loop_new(server, i, error);
        if (server->loops[i] == NULL)
            return false;
    }
    if (!loop_listen(server->loops[0], running->listeners, running->listener_count, error))
        return false;
    for (unsigned i = server->loop_count; i-- > 0;) /* the one that accepts is the last */
        if (!loop_start(server->loops[i], error))
            return false;
    return true;
}

static bool open_journal(struct server *server, bitcask_error *error)
{
    const struct settings *settings = server->settings;
    server->journal =
        journal_open(setting_text(settings, SETTING_LOGFILE),
                     (enum journal_format)setting_number(settings, SETTING_LOG_FORMAT),
                     (bitcask_log_level)setting_number(settings, SETTING_LOGLEVEL), error);
    return server->journal != NULL;
}

bitcask_status server_start(struct settings *settings, struct server **result, bitcask_error *error)
{
    struct running *running = calloc(1, sizeof *running);
    *result = NULL;
    *error = (bitcask_error){0};
    if (running == NULL) {
        fail(error, "out of memory");
        return error->status = BITCASK_NO_MEMORY;
    }
    struct server *server = &running->server;
    server->settings = settings;
    make_run_id(server);
    bool started = open_journal(server, error) && make_acl(server, error) &&
                   check_exposure(server, error) && make_parts(server, error) &&
                   open_store(server, error);
    if (started) {
        raise_descriptor_limit(server);
        running->listener_count =
            listeners_open(settings, server->directory, running->listeners, error);
        started = running->listener_count > 0 && start_loops(running, error) &&
                  http_start(server, &server->http, error);
    }
    if (started) {
        *result = server;
        return BITCASK_OK;
    }
    bitcask_status status = error->status < BITCASK_OK ? error->status : BITCASK_INVALID;
    bitcask_error ignored;
    server_stop(server, &ignored);
    return error->status = status;
}

/* ---- Stop ------------------------------------------------------------------------------------ */

static void stop_loops(struct server *server)
{
    atomic_store(&server->stopping, true);
    for (unsigned i = 0; server->loops != NULL && i < server->loop_count; i++)
        if (server->loops[i] != NULL)
            loop_wake(server->loops[i]);
    for (unsigned i = 0; server->loops != NULL && i < server->loop_count; i++)
        if (server->loops[i] != NULL)
            loop_join(server->loops[i]);
    for (unsigned i = 0; server->loops != NULL && i < server->loop_count; i++)
        loop_free(server->loops[i]);
}

bitcask_status server_stop(struct server *server, bitcask_error *error)
{
    struct running *running = (struct running *)server;
    bitcask_status status = BITCASK_OK;
    *error = (bitcask_error){0};
    stop_loops(server);
    if (server->http != NULL)
        http_stop(server->http);
    if (server->jobs != NULL)
        jobs_stop(server->jobs);
    listeners_close(running->listeners, running->listener_count);
    jobs_free(server->jobs);
    keyspace_free(server->keyspace);
    commit_free(server->commit);
    metrics_free(server->metrics);
    slowlog_free(server->slowlog);
    pubsub_free(server->pubsub);
    registry_free(server->registry);
    gate_free(server->gate);
    acl_free(server->acl);
    if (server->store != NULL)
        status = bitcask_close(server->store, error);
    if (server->journal != NULL)
        journal_close(server->journal);
    free(server->loops);
    free(running);
    return status;
}

const struct listener *server_listener(const struct server *server, int kind)
{
    const struct running *running = (const struct running *)server;
    for (size_t i = 0; i < running->listener_count; i++)
        if ((int)running->listeners[i].kind == kind)
            return &running->listeners[i];
    return NULL;
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* "127.0.0.1" of "127.0.0.1:6380" needs no -h; others do. */
static void print_redis_cli(FILE *ready, const struct listener *tcp)
{
    if (strncmp(tcp->address, "127.0.0.1:", 10) == 0 || strncmp(tcp->address, "0.0.0.0:", 8) == 0)
        fprintf(ready, "redis-cli -p %u", tcp->port);
    else
        fprintf(ready, "redis-cli -h %.*s -p %u", (int)strcspn(tcp->address, "]:"), tcp->address,
                tcp->port);
}

static void say_ready(const struct server *server, FILE *ready, bool json)
{
    const struct running *running = (const struct running *)server;
    const struct listener *tcp = server_listener(server, LISTENER_TCP);
    const struct listener *own = server_listener(server, LISTENER_OWNER);
    unsigned http = server->http == NULL ? 0 : http_port(server->http);
    if (json) {
        fprintf(ready,
                "{\"type\":\"ready\",\"pid\":%ld,\"port\":%u,\"http_port\":%u,\"keys\":%" PRIu64
                "}\n",
                (long)getpid(), tcp == NULL ? 0 : tcp->port, http, bitcask_count(server->store));
        fflush(ready);
        return;
    }
    fprintf(ready, "bitcask %s serves %s: %" PRIu64 " keys, %u threads\n", bitcask_version(),
            server->directory, bitcask_count(server->store), server->loop_count);
    for (size_t i = 0; i < running->listener_count; i++)
        fprintf(ready, " %s: %s\n",
                running->listeners[i].kind == LISTENER_TCP   ? "TCP"
                : running->listeners[i].kind == LISTENER_TLS ? "TLS"
                                                             : "Unix socket",
                running->listeners[i].address);
    fprintf(ready, " PID: %ld\nready: ", (long)getpid());
    if (tcp != NULL)
        print_redis_cli(ready, tcp);
    else if (own != NULL)
        fprintf(ready, "redis-cli -s %s", own->address);
    if (http != 0)
        fprintf(ready, "   http://127.0.0.1:%u/", http);
    fputc('\n', ready);
    fflush(ready);
}

static bool write_pidfile(const struct server *server, bitcask_error *error)
{
    const char *path = setting_text(server->settings, SETTING_PIDFILE);
    if (path[0] == '\0')
        return true;
    FILE *file = fopen(path, "we");
    if (file == NULL || fprintf(file, "%ld\n", (long)getpid()) < 0) {
        fail(error, "pidfile '%s': %s", path, strerror(errno));
        if (file != NULL)
            fclose(file);
        return false;
    }
    return fclose(file) == 0 || fail(error, "pidfile '%s': %s", path, strerror(errno));
}

static void wait_for_end(struct server *server, const sigset_t *signals)
{
    const struct timespec tick = {.tv_sec = RESIDENT_TICK_MS / 1000};
    struct resident resident = {0};
    for (;;) {
        bitcask_error error;
        int got = sigtimedwait(signals, NULL, &tick);
        resident_tick(&resident, server->store,
                      setting_number(server->settings, SETTING_MAPPED_PAGES_MAX),
                      server_monotonic_us());
        if (got == SIGHUP && !journal_reopen(server->journal, &error))
            journal_note(server->journal, BITCASK_LOG_ERROR, "log_not_reopened", "error",
                         error.message, NULL);
        if (got != SIGTERM && got != SIGINT)
            continue;
        journal_note(server->journal, BITCASK_LOG_INFO, "stopping", "signal",
                     got == SIGTERM ? "TERM" : "INT", NULL);
        return;
    }
}

static bool is_supervised(const struct settings *settings)
{
    return setting_number(settings, SETTING_SUPERVISED) != SETTINGS_SUPERVISED_NO;
}

bitcask_status serve(struct settings *settings, FILE *ready, bool json, bitcask_error *error)
{
    /* Blocked in all threads from before the first is made; the main thread waits for them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigbus_survive();
    struct server *server;
    bitcask_status status = server_start(settings, &server, error);
    if (status != BITCASK_OK)
        return status;
    if (!write_pidfile(server, error)) {
        bitcask_error ignored;
        server_stop(server, &ignored);
        return error->status = BITCASK_IO;
    }
    if (ready != NULL)
        say_ready(server, ready, json);
    if (is_supervised(settings))
        notify_supervisor("READY=1");
    wait_for_end(server, &signals);
    if (is_supervised(settings))
        notify_supervisor("STOPPING=1");
    status = server_stop(server, error);
    const char *pidfile = setting_text(settings, SETTING_PIDFILE);
    if (pidfile[0] != '\0')
        unlink(pidfile);
    return status;
}
