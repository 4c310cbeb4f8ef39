/* SPDX-License-Identifier: MIT
 * listen.c: the sockets that connections come from. */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport.h"

__attribute__((format(printf, 2, 3))) static bool fail(bitcask_error *error, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->status = BITCASK_IO;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

/* Sockets being opened. */
struct opening {
    struct listener *listeners;
    size_t count;
    int backlog;
    bitcask_error *error;
};

static struct listener *add(struct opening *opening, int fd, enum listener_kind kind)
{
    struct listener *listener = &opening->listeners[opening->count++];
    *listener = (struct listener){.fd = fd, .kind = kind};
    return listener;
}

/* ---- Addresses ------------------------------------------------------------------------------- */

bool address_is_local(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strcmp(address, "localhost") == 0 || strncmp(address, "::ffff:127.", 11) == 0;
}

/* "127.0.0.1:6380", "[::1]:6380" */
static void print_address(const struct sockaddr_storage *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in = (const void *)address;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%u", host, ntohs(in->sin6_port));
    }
}

static unsigned port_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET
               ? ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port)
               : ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

static bool is_own(const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, host,
                  sizeof host);
    else
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, host,
                  sizeof host);
    return address_is_local(host);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

/* Returns a descriptor, or -errno. */
static int listen_on(const struct addrinfo *info, int backlog)
{
    const int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static bool open_address(struct opening *opening, const char *address, unsigned port,
                         enum listener_kind kind)
{
    bool optional = address[0] == '-';
    const char *host = address + (optional ? 1 : 0);
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *infos = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    const char *name = strcmp(host, "*") == 0 ? "0.0.0.0" : strcmp(host, "::*") == 0 ? "::" : host;
    int failed = getaddrinfo(name, service, &hints, &infos);
    if (failed != 0 && optional)
        return true;
    if (failed != 0)
        return fail(opening->error, "bind: '%s': %s", host, gai_strerror(failed));
    int fd = listen_on(infos, opening->backlog);
    freeaddrinfo(infos);
    if (fd < 0 && optional && (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT))
        return true;
    if (fd < 0)
        return fail(opening->error, "cannot listen on %s port %u: %s", host, port, strerror(-fd));
    struct listener *listener = add(opening, fd, kind);
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &size) == 0) {
        print_address(&own, listener->address, sizeof listener->address);
        listener->port = port_of(&own);
    }
    return true;
}

/* Each address of `bind`. Where the port is 0 in a test ("any"), all take the first one's. */
static bool open_port(struct opening *opening, const char *addresses, unsigned port,
                      enum listener_kind kind)
{
    char *words = strdup(addresses), *rest = words;
    bool opened = words != NULL;
    for (char *word; opened && (word = strsep(&rest, " ")) != NULL;) {
        if (word[0] == '\0')
            continue;
        if (opening->count + 3 > LISTENERS_MAX)
            opened = fail(opening->error, "bind: more than %d addresses", LISTENERS_MAX - 3);
        else
            opened = open_address(opening, word, port, kind);
    }
    free(words);
    return opened;
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

/* A socket left by a server that is gone is removed; anything else is not ours to remove. */
static bool make_way(const char *path, const struct sockaddr_un *address, bitcask_error *error)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT || fail(error, "unixsocket '%s': %s", path, strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return fail(error, "unixsocket '%s': there is a file of that name that is no socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool lives =
        fd >= 0 && (connect(fd, (const void *)address, sizeof *address) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    if (lives)
        return fail(error, "unixsocket '%s': another server listens there", path);
    return unlink(path) == 0 || fail(error, "unixsocket '%s': %s", path, strerror(errno));
}

static bool open_path(struct opening *opening, const char *path, mode_t mode,
                      enum listener_kind kind)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return fail(opening->error, "unixsocket '%s': the path is longer than %zu bytes", path,
                    sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (!make_way(path, &address, opening->error))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Nobody may connect before the mode is set: it is made with none, and listens after. */
    mode_t before = umask(0777);
    bool bound = fd >= 0 && bind(fd, (const void *)&address, sizeof address) == 0;
    umask(before);
    if (!bound || chmod(path, mode) != 0 || listen(fd, opening->backlog) != 0) {
        fail(opening->error, "unixsocket '%s': %s", path, strerror(errno));
        if (bound)
            unlink(path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    struct listener *listener = add(opening, fd, kind);
    snprintf(listener->address, sizeof listener->address, "%s", path);
    return true;
}

/* ---- All ------------------------------------------------------------------------------------- */

/* bitcask.sock in the store's directory; where the path would be too long there is none. */
static bool open_owners(struct opening *opening, const char *directory)
{
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    int length = snprintf(path, sizeof path, "%s/bitcask.sock", directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return true;
    return open_path(opening, path, 0600, LISTENER_OWNER);
}

size_t listeners_open(const struct settings *settings, const char *directory,
                      struct listener listeners[LISTENERS_MAX], bitcask_error *error)
{
    struct opening opening = {.listeners = listeners,
                              .backlog = (int)setting_number(settings, SETTING_TCP_BACKLOG),
                              .error = error};
    const char *bind_to = setting_text(settings, SETTING_BIND);
    unsigned port = (unsigned)setting_number(settings, SETTING_PORT);
    unsigned tls_port = (unsigned)setting_number(settings, SETTING_TLS_PORT);
    const char *path = setting_text(settings, SETTING_UNIXSOCKET);
    bool opened = port == 0 || open_port(&opening, bind_to, port, LISTENER_TCP);
    if (opened && tls_port != 0) {
        size_t first = opening.count;
        struct tls *tls = tls_new(settings, error);
        opened = tls != NULL && open_port(&opening, bind_to, tls_port, LISTENER_TLS);
        for (size_t i = first; i < opening.count; i++)
            listeners[i].tls = tls;
        if (tls != NULL && first == opening.count)
            tls_free(tls);
    }
    opened = opened &&
             (path[0] == '\0' ||
              open_path(&opening, path, (mode_t)setting_number(settings, SETTING_UNIXSOCKETPERM),
                        LISTENER_UNIX)) &&
             open_owners(&opening, directory);
    if (opened && opening.count == 0)
        opened = fail(error, "there is nothing to listen on: port 0, and no unixsocket");
    if (opened)
        return opening.count;
    listeners_close(listeners, opening.count);
    return 0;
}

void listeners_close(struct listener *listeners, size_t count)
{
    struct tls *tls = NULL;
    for (size_t i = 0; i < count; i++) {
        close(listeners[i].fd);
        if (listeners[i].kind == LISTENER_UNIX || listeners[i].kind == LISTENER_OWNER)
            unlink(listeners[i].address);
        if (listeners[i].tls != NULL)
            tls = listeners[i].tls;
    }
    if (tls != NULL)
        tls_free(tls);
}

int listener_accept(const struct listener *listener, char peer[64], char own[64], bool *is_local)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    const int on = 1;
    int fd =
        accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (listener->kind == LISTENER_UNIX || listener->kind == LISTENER_OWNER) {
        snprintf(peer, 64, "%.61s:0", listener->address);
        memcpy(own, peer, 64);
        *is_local = true;
        return fd;
    }
    print_address(&address, peer, 64);
    *is_local = is_own(&address);
    size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        print_address(&address, own, 64);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}
