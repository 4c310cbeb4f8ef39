/* SPDX-License-Identifier: MIT
 * loop.c: one thread of epoll and its connections. */
#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept.h"
#include "client.h"
#include "command.h"
#include "commit.h"
#include "gate.h"
#include "journal.h"
#include "keyspace.h"
#include "listen.h"
#include "loop_internal.h"
#include "metrics.h"
#include "output.h"
#include "pubsub.h"
#include "registry.h"
#include "settings.h"
#include "transport.h"

enum {
    EVENTS_MAX = 256,        /* of one epoll_wait */
    PAUSED_TICK_MS = 20,     /* how often a CLIENT PAUSE is looked at */
    WRITES_PER_PASS = 8,     /* of one client, so that others have their turn */
    STOP_LIMIT_US = 5000000, /* how long replies are waited for at the end */
};

/* ---- Clients of the loop --------------------------------------------------------------------- */

void loop_activate(struct loop *loop, struct client *client)
{
    if (client->of_loop.active)
        return;
    client->of_loop.active = true;
    client->of_loop.next_active = loop->active;
    loop->active = client;
}

static bool is_going(const struct client *client)
{
    return (client->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY)) != 0 ||
           client->out->broken;
}

void loop_add_client(struct loop *loop, struct client *client)
{
    client->out->pool = &loop->pool;
    client->of_loop.next = loop->clients;
    client->of_loop.previous = NULL;
    if (loop->clients != NULL)
        loop->clients->of_loop.previous = client;
    loop->clients = client;
    client->of_loop.interest = EPOLLIN;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, client->transport->fd, &event) != 0)
        client->flags |= CLIENT_CLOSE_NOW;
    registry_update(loop->server->registry, client);
    metrics_add(loop->server->metrics, loop->slot, METRIC_CONNECTIONS, 1);
    loop_activate(loop, client);
}

/* What is unread in a socket's buffer when it is closed makes the peer forget what it was sent. */
static void drain(struct client *client, char *scratch)
{
    shutdown(client->transport->fd, SHUT_WR);
    for (int i = 0; i < 4; i++)
        if (recv(client->transport->fd, scratch, CLIENT_READ_SIZE, MSG_DONTWAIT) <= 0)
            break;
}

static void close_client(struct loop *loop, struct client *client)
{
    struct server *server = loop->server;
    if (client->out->broken) {
        metrics_add(server->metrics, loop->slot, METRIC_OUTPUT_LIMIT_CLOSES, 1);
        journal_note(server->journal, BITCASK_LOG_WARN, "client_output_limit", "address",
                     client->address, NULL);
    } else if (client->flags & CLIENT_CLOSE_AFTER_REPLY && !(client->flags & CLIENT_TLS)) {
        drain(client, loop->scratch);
    }
    if (client->of_loop.next != NULL)
        client->of_loop.next->of_loop.previous = client->of_loop.previous;
    if (client->of_loop.previous != NULL)
        client->of_loop.previous->of_loop.next = client->of_loop.next;
    else
        loop->clients = client->of_loop.next;
    struct transport *transport = client->transport;
    /* Its subscriptions end, and nobody finds it any more, before its descriptor can be another's.
     */
    client_free(client);
    transport->ops->close(transport);
    atomic_fetch_sub(&loop->client_count, 1);
}

/* ---- Reading and executing ------------------------------------------------------------------- */

static void begin_client(struct loop *loop, struct client *client)
{
    if (client->of_loop.active)
        return;
    client->out_mark = client->out->size;
    client->now_us = loop->wall_us;
    client->out->limit = loop->normal_limit.hard;
    loop_activate(loop, client);
}

/* The first keys of all that has been read are asked for together, so that their cache misses
 * overlap. */
static void prefetch(struct loop *loop)
{
    enum { KEY_MAX = 256 };
    bitcask_slice keys[LOOP_READINGS];
    size_t count = 0;
    for (size_t i = 0; i < loop->reading_count; i++) {
        const struct reading *reading = &loop->readings[i];
        if (resp_peek_key(reading->data, reading->size, &keys[count]) &&
            keys[count].size <= KEY_MAX)
            count++;
    }
    if (count > 1)
        bitcask_prefetch(loop->server->store, keys, count);
}

static void execute_readings(struct loop *loop)
{
    prefetch(loop);
    for (size_t i = 0; i < loop->reading_count; i++) {
        const struct reading *reading = &loop->readings[i];
        struct client *client = reading->client;
        size_t done = client_execute(client, reading->data, reading->size);
        if (done < reading->size &&
            !client_keep(client, reading->data + done, reading->size - done))
            client->flags |= CLIENT_CLOSE_NOW;
    }
    loop->reading_count = loop->scratch_used = 0;
}

/* Into the loop's own memory, to be executed from there, if nothing is kept from before. */
static ssize_t read_afresh(struct loop *loop, struct client *client)
{
    if (loop->reading_count == LOOP_READINGS ||
        LOOP_SCRATCH - loop->scratch_used < CLIENT_READ_SIZE)
        execute_readings(loop);
    char *data = loop->scratch + loop->scratch_used;
    ssize_t count = client->transport->ops->read(client->transport, data, CLIENT_READ_SIZE);
    if (count > 0) {
        loop->readings[loop->reading_count++] = (struct reading){client, data, (size_t)count};
        loop->scratch_used += (size_t)count;
    }
    return count;
}

static ssize_t read_more(struct client *client)
{
    size_t room;
    char *to = client_input_room(client, &room);
    if (to == NULL)
        return -ENOMEM;
    ssize_t count = client->transport->ops->read(client->transport, to, room);
    if (count <= 0)
        return count;
    client->in_size += (size_t)count;
    client_execute_input(client);
    return count;
}

static void read_client(struct loop *loop, struct client *client)
{
    struct server *server = loop->server;
    begin_client(loop, client);
    if (is_going(client) || client->of_loop.held ||
        output_pending(client->out) >= CLIENT_OUTPUT_PAUSE)
        return;
    ssize_t count = client->in_size == 0 ? read_afresh(loop, client) : read_more(client);
    if (count == -EAGAIN)
        return;
    if (count <= 0) {
        client->flags |= CLIENT_CLOSE_NOW;
        return;
    }
    client->last_us = loop->monotonic_us;
    metrics_add(server->metrics, loop->slot, METRIC_BYTES_IN, (uint64_t)count);
    if (client->in_size > setting_number(server->settings, SETTING_CLIENT_QUERY_BUFFER_LIMIT)) {
        journal_note(server->journal, BITCASK_LOG_WARN, "client_query_limit", "address",
                     client->address, NULL);
        client->flags |= CLIENT_CLOSE_NOW;
    }
}

/* Bytes that transports have at hand: no event will tell of them. */
static void read_at_hand(struct loop *loop)
{
    loop->has_more = false;
    for (struct client *client = loop->clients; client; client = client->of_loop.next)
        if (client->transport->has_more)
            read_client(loop, client);
    execute_readings(loop);
}

/* Requests that had to wait for the output to be read, or for the end of a pause. */
static void run_held(struct loop *loop, struct client *client)
{
    begin_client(loop, client);
    if (!is_going(client) && output_pending(client->out) == 0)
        client_execute_input(client);
}

static void handle_event(struct loop *loop, const struct epoll_event *event)
{
    if (event->data.ptr == NULL) {
        uint64_t count;
        ssize_t got = read(loop->event_fd, &count, sizeof count);
        (void)got;
    } else if (loop_is_listener(event->data.ptr)) {
        loop_accept(loop, loop_listener_of(event->data.ptr));
    } else {
        struct client *client = event->data.ptr;
        begin_client(loop, client);
        if (event->events & (EPOLLERR | EPOLLHUP) && !(event->events & EPOLLIN))
            client->flags |= CLIENT_CLOSE_NOW;
        else if (event->events & EPOLLIN || client->transport->wants_write)
            read_client(loop, client);
    }
}

/* Read what has come, and execute it; inside the gate from now on. */
static void handle_events(struct loop *loop, const struct epoll_event *events, int count)
{
    gate_enter(loop->server->gate, loop->slot);
    for (int i = 0; i < count; i++)
        handle_event(loop, &events[i]);
    execute_readings(loop);
}

/* ---- Mail ------------------------------------------------------------------------------------ */

void loop_post(struct loop *loop, struct mail *mail)
{
    mail->next = NULL;
    pthread_mutex_lock(&loop->mail_mutex);
    bool first = loop->mail_first == NULL;
    if (first)
        loop->mail_first = mail;
    else
        loop->mail_last->next = mail;
    loop->mail_last = mail;
    atomic_store_explicit(&loop->has_mail, true, memory_order_release);
    pthread_mutex_unlock(&loop->mail_mutex);
    if (first)
        loop_wake(loop);
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t put = write(loop->event_fd, &one, sizeof one);
    (void)put; /* it fails only where it has been woken already */
}

static void deliver(struct loop *loop, struct mail *mail)
{
    if (mail->kind == MAIL_CLIENT) {
        loop_add_client(loop, mail->client);
        return;
    }
    struct client *client = registry_find(loop->server->registry, mail->client_id);
    if (client == NULL)
        return;
    begin_client(loop, client);
    if (mail->kind == MAIL_BYTES)
        client->out->limit = loop->pubsub_limit.hard;
    mail_deliver(mail, client);
}

static void deliver_mail(struct loop *loop)
{
    if (!atomic_load_explicit(&loop->has_mail, memory_order_acquire))
        return;
    pthread_mutex_lock(&loop->mail_mutex);
    struct mail *mail = loop->mail_first;
    loop->mail_first = loop->mail_last = NULL;
    atomic_store_explicit(&loop->has_mail, false, memory_order_relaxed);
    pthread_mutex_unlock(&loop->mail_mutex);
    while (mail != NULL) {
        struct mail *next = mail->next;
        deliver(loop, mail);
        mail_free(mail);
        mail = next;
    }
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void write_client(struct loop *loop, struct client *client)
{
    size_t sent = 0;
    for (int i = 0; i < WRITES_PER_PASS && output_pending(client->out) > 0; i++) {
        struct iovec parts[OUTPUT_PARTS];
        int part_count = output_gather(client->out, parts);
        size_t wanted = 0;
        for (int j = 0; j < part_count; j++)
            wanted += parts[j].iov_len;
        ssize_t count = client->transport->ops->write(client->transport, parts, part_count);
        if (count < 0 && count != -EAGAIN)
            client->flags |= CLIENT_CLOSE_NOW;
        if (count < 0)
            break;
        sent += (size_t)count;
        output_sent(client->out, (size_t)count);
        if ((size_t)count < wanted)
            break;
    }
    if (sent > 0)
        metrics_add(loop->server->metrics, loop->slot, METRIC_BYTES_OUT, sent);
}

/* What the loop waits for on behalf of the client from now on. */
static void set_interest(struct loop *loop, struct client *client)
{
    uint32_t interest = 0;
    size_t pending = output_pending(client->out);
    /* Whoever sends all its requests before it reads a reply is read on, up to a limit: a socket
     * takes few small replies, and both would wait for ever. */
    if (!client->of_loop.held && pending < CLIENT_OUTPUT_PAUSE)
        interest = EPOLLIN;
    if (pending > 0 || (interest != 0 && client->transport->wants_write))
        interest |= EPOLLOUT;
    if (interest == client->of_loop.interest)
        return;
    struct epoll_event event = {.events = interest, .data.ptr = client};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, client->transport->fd, &event) == 0)
        client->of_loop.interest = interest;
    else
        client->flags |= CLIENT_CLOSE_NOW;
}

/* What is shown of it changes with commands about connections only. */
static void show_client(struct loop *loop, struct client *client)
{
    const struct command *last = client->last_command;
    if (last != NULL && last->categories & (CATEGORY_CONNECTION | CATEGORY_ADMIN | CATEGORY_PUBSUB))
        registry_update(loop->server->registry, client);
    else
        registry_note(client);
}

/* The end of a pass for one client. */
static void finish_client(struct loop *loop, struct client *client)
{
    client->of_loop.active = false;
    if (output_pending(client->out) > 0 && !(client->flags & CLIENT_CLOSE_NOW) &&
        !client->out->broken)
        write_client(loop, client);
    bool drained = output_pending(client->out) == 0;
    if (client->flags & CLIENT_CLOSE_NOW || client->out->broken ||
        (drained && client->flags & CLIENT_CLOSE_AFTER_REPLY)) {
        close_client(loop, client);
        return;
    }
    if (drained)
        client->of_loop.over_soft_us = 0;
    show_client(loop, client);
    set_interest(loop, client);
    if (client->of_loop.held && drained)
        loop->has_held = true;
    else if (client->transport->has_more && drained)
        loop->has_more = true;
}

/* ---- A pass ---------------------------------------------------------------------------------- */

static bool is_paused(const struct loop *loop)
{
    uint64_t until_us = atomic_load_explicit(&loop->server->pause_until_us, memory_order_relaxed);
    return until_us != 0 && loop->monotonic_us < until_us;
}

static void run_all_held(struct loop *loop)
{
    loop->has_held = false;
    for (struct client *client = loop->clients; client; client = client->of_loop.next)
        if (client->of_loop.held && output_pending(client->out) == 0)
            run_held(loop, client);
}

static size_t count_writers(const struct loop *loop)
{
    size_t count = 0;
    for (struct client *client = loop->active; client; client = client->of_loop.next_active)
        count += (client->flags & CLIENT_WROTE) != 0;
    return count;
}

/* In `always` mode, when clients have written: before their sync look a little for those who shared
 * the last one, and have been answered by it, and so have written again or soon will. */
static void gather_writers(struct loop *loop, struct epoll_event *events)
{
    struct server *server = loop->server;
    if (setting_number(server->settings, SETTING_APPENDFSYNC) != BITCASK_SYNC_ALWAYS)
        return;
    uint64_t now_us = server_monotonic_us(), until_us = now_us + commit_patience_us(server->commit);
    while (now_us < until_us && count_writers(loop) < loop->writers_before) {
        const struct timespec patience = {.tv_nsec = (long)(until_us - now_us) * 1000};
        int count = epoll_pwait2(loop->epoll_fd, events, EVENTS_MAX, &patience, NULL);
        if (count <= 0)
            return;
        handle_events(loop, events, count);
        gate_leave(server->gate, loop->slot);
        now_us = server_monotonic_us();
    }
}

/* In `always` mode a sync that failed turns the replies of those who wrote into errors. */
static void commit(struct loop *loop, struct epoll_event *events)
{
    bitcask_error error = {0};
    if (count_writers(loop) == 0)
        return;
    gather_writers(loop, events);
    loop->writers_before = count_writers(loop);
    bool failed = keyspace_commit(loop->server, loop->slot, &error) != BITCASK_OK;
    for (struct client *client = loop->active; client; client = client->of_loop.next_active) {
        if (failed && client->flags & CLIENT_WROTE)
            client_take_back(client, &error);
        client->flags &= ~(unsigned)CLIENT_WROTE;
    }
}

/* The end of the server: no more connections and requests; who has been sent its replies goes. */
static bool end(struct loop *loop)
{
    if (loop->stop_us == 0) {
        loop->stop_us = loop->monotonic_us + STOP_LIMIT_US;
        loop_stop_accepting(loop);
        loop->again = true;
    }
    for (struct client *client = loop->clients; client; client = client->of_loop.next) {
        client->flags |=
            loop->monotonic_us >= loop->stop_us ? CLIENT_CLOSE_NOW : CLIENT_CLOSE_AFTER_REPLY;
        loop_activate(loop, client);
    }
    return loop->clients == NULL && !atomic_load(&loop->has_mail);
}

static int wait_ms(const struct loop *loop)
{
    if (loop->again || loop->has_more)
        return 0;
    if (loop->has_held)
        return is_paused(loop) ? PAUSED_TICK_MS : 0;
    return loop->stop_us != 0 ? PAUSED_TICK_MS : LOOP_TICK_MS;
}

static void run_pass(struct loop *loop, struct epoll_event *events, int count)
{
    struct server *server = loop->server;
    loop->monotonic_us = server_monotonic_us();
    loop->wall_us = server_wall_us();
    loop->again = false;
    loop_take_settings(loop);
    handle_events(loop, events, count);
    if (loop->has_more)
        read_at_hand(loop);
    if (loop->has_held && !is_paused(loop))
        run_all_held(loop);
    deliver_mail(loop);
    gate_leave(server->gate, loop->slot);
    loop_tick(loop);
    commit(loop, events);
    struct client *client = loop->active;
    loop->active = NULL;
    for (struct client *next; client != NULL; client = next) {
        next = client->of_loop.next_active;
        finish_client(loop, client);
    }
}

static void *run_loop(void *context)
{
    struct loop *loop = context;
    struct epoll_event events[EVENTS_MAX];
    busy_poll_begin();
    for (;;) {
        int count =
            busy_poll_wait(&loop->busy_poll, loop->epoll_fd, events, EVENTS_MAX, wait_ms(loop),
                           setting_number(loop->server->settings, SETTING_BUSY_POLL));
        run_pass(loop, events, count < 0 ? 0 : count);
        if (atomic_load(&loop->server->stopping) && end(loop))
            return NULL;
    }
}

/* ---- Lifetime -------------------------------------------------------------------------------- */

static bool fail_errno(bitcask_error *error, const char *what)
{
    error->status = BITCASK_IO;
    error->sys_errno = errno;
    snprintf(error->message, sizeof error->message, "%s: %s", what, strerror(errno));
    return false;
}

struct loop *loop_new(struct server *server, unsigned slot, bitcask_error *error)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        fail_errno(error, "a thread's loop");
        return NULL;
    }
    loop->server = server;
    loop->slot = slot;
    pthread_mutex_init(&loop->mail_mutex, NULL);
    loop->scratch = malloc(LOOP_SCRATCH);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->scratch == NULL || loop->epoll_fd < 0 || loop->event_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event) != 0) {
        fail_errno(error, "a thread's loop");
        loop_free(loop);
        return NULL;
    }
    return loop;
}

bool loop_start(struct loop *loop, bitcask_error *error)
{
    /* Signals are for the main thread. */
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&loop->thread, NULL, run_loop, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    loop->started = errno == 0;
    return loop->started || fail_errno(error, "a thread for connections");
}

void loop_join(struct loop *loop)
{
    if (loop->started)
        pthread_join(loop->thread, NULL);
    loop->started = false;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    while (loop->clients != NULL)
        close_client(loop, loop->clients);
    for (struct mail *mail = loop->mail_first, *next; mail != NULL; mail = next) {
        next = mail->next;
        if (mail->kind == MAIL_CLIENT) {
            struct transport *transport = mail->client->transport;
            client_free(mail->client);
            transport->ops->close(transport);
        }
        mail_free(mail);
    }
    output_pool_release(&loop->pool);
    pthread_mutex_destroy(&loop->mail_mutex);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->event_fd >= 0)
        close(loop->event_fd);
    free(loop->scratch);
    free(loop);
}
