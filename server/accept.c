/* SPDX-License-Identifier: MIT
 * accept.c: new connections: refused, or given to the loop that has the fewest. */
#include "accept.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "journal.h"
#include "listen.h"
#include "loop_internal.h"
#include "metrics.h"
#include "registry.h"
#include "settings.h"
#include "transport.h"

enum { ACCEPTS_PER_EVENT = 64 };

bool loop_is_listener(const void *pointer)
{
    return ((uintptr_t)pointer & 1) != 0;
}

struct listener *loop_listener_of(void *pointer)
{
    return (struct listener *)((uintptr_t)pointer - 1);
}

static bool watch(struct loop *loop, struct listener *listener)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)((uintptr_t)listener + 1)};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, listener->fd, &event) == 0;
}

bool loop_listen(struct loop *loop, struct listener *listeners, size_t count, bitcask_error *error)
{
    loop->listeners = listeners;
    loop->listener_count = count;
    loop->is_accepting = true;
    for (size_t i = 0; i < count; i++)
        if (!watch(loop, &listeners[i])) {
            error->status = BITCASK_IO;
            snprintf(error->message, sizeof error->message, "listen on %s: %s",
                     listeners[i].address, strerror(errno));
            return false;
        }
    return true;
}

void loop_stop_accepting(struct loop *loop)
{
    for (size_t i = 0; loop->is_accepting && i < loop->listener_count; i++)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->listeners[i].fd, NULL);
    loop->is_accepting = false;
}

void loop_resume_accepting(struct loop *loop)
{
    if (loop->is_accepting || loop->stop_us != 0)
        return;
    for (size_t i = 0; i < loop->listener_count; i++)
        watch(loop, &loop->listeners[i]);
    loop->is_accepting = true;
}

/* ---- One connection -------------------------------------------------------------------------- */

static struct loop *least_busy(struct server *server)
{
    struct loop *best = server->loops[0];
    for (unsigned i = 1; i < server->loop_count; i++)
        if (atomic_load(&server->loops[i]->client_count) < atomic_load(&best->client_count))
            best = server->loops[i];
    return best;
}

/* Why this connection is not wanted, as a reply; NULL: it is. */
static const char *objection(struct server *server, bool is_local)
{
    const struct settings *settings = server->settings;
    if (registry_count(server->registry) >= setting_number(settings, SETTING_MAXCLIENTS))
        return "-ERR max number of clients reached\r\n";
    if (!is_local && setting_number(settings, SETTING_PROTECTED_MODE) != 0 &&
        acl_default_is_open(server->acl))
        return "-DENIED the server is in protected mode: it has no password, so it talks to its "
               "own machine only. Set one (CONFIG SET requirepass ..., or in the configuration "
               "file), or start it with --protected-mode no if that is really meant.\r\n";
    return NULL;
}

static void refuse(struct loop *loop, int fd, const char *why, const char *peer)
{
    struct server *server = loop->server;
    ssize_t sent = send(fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
    close(fd);
    metrics_add(server->metrics, loop->slot, METRIC_REJECTED_CONNECTIONS, 1);
    journal_note(server->journal, BITCASK_LOG_WARN, "connection_refused", "address", peer, NULL);
}

static void keep_alive(int fd, uint64_t interval_s)
{
    const int on = 1, interval = (int)interval_s, between = interval >= 3 ? interval / 3 : 1,
              probes = 3;
    if (interval_s == 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static void become_owner(struct client *client)
{
    if (client->user != NULL)
        acl_user_release(client->user);
    client->user = acl_owner(client->server->acl);
}

/* Give the connection to a loop; the descriptor is taken over. */
static bool hand_over(struct server *server, const struct listener *listener, int fd,
                      const char *peer, const char *own, bool is_local)
{
    struct loop *loop = least_busy(server);
    struct mail *mail = calloc(1, sizeof *mail);
    struct transport *transport = listener->kind == LISTENER_TLS
                                      ? transport_tls_new(listener->tls, fd)
                                      : transport_plain_new(fd);
    struct client *client = transport == NULL ? NULL : client_new_in(server, loop, loop->slot);
    if (mail == NULL || client == NULL || client->id == 0) {
        if (transport != NULL)
            transport->ops->close(transport);
        client_free(client);
        free(mail);
        return false;
    }
    client->transport = transport;
    client->flags =
        (is_local ? CLIENT_LOCAL : 0) | (listener->kind == LISTENER_TLS ? CLIENT_TLS : 0);
    snprintf(client->address, sizeof client->address, "%s", peer);
    snprintf(client->own_address, sizeof client->own_address, "%s", own);
    if (listener->kind == LISTENER_OWNER)
        become_owner(client);
    atomic_fetch_add(&loop->client_count, 1);
    *mail = (struct mail){.kind = MAIL_CLIENT, .client = client};
    loop_post(loop, mail);
    return true;
}

void loop_accept(struct loop *loop, struct listener *listener)
{
    struct server *server = loop->server;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        char peer[64] = "?", own[64] = "?";
        bool is_local = false;
        int fd = listener_accept(listener, peer, own, &is_local);
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
            journal_note(server->journal, BITCASK_LOG_ERROR, "accept_failed", "error",
                         strerror(-fd), NULL);
            loop_stop_accepting(loop);
            return;
        }
        if (fd == -EAGAIN)
            return;
        if (fd < 0)
            continue; /* it went away while it waited */
        const char *why = objection(server, is_local);
        if (why != NULL) {
            refuse(loop, fd, why, peer);
            continue;
        }
        if (listener->kind == LISTENER_TCP || listener->kind == LISTENER_TLS)
            keep_alive(fd, setting_number(server->settings, SETTING_TCP_KEEPALIVE));
        if (!hand_over(server, listener, fd, peer, own, is_local))
            journal_note(server->journal, BITCASK_LOG_ERROR, "accept_failed", "error",
                         "out of memory", NULL);
    }
}
