/* SPDX-License-Identifier: MIT
 * listen.h: the sockets that connections come from. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "bitcask.h"
#include "settings.h"

struct server;
struct tls;

enum listener_kind {
    LISTENER_TCP,
    LISTENER_TLS,
    LISTENER_UNIX,  /* of the setting unixsocket: logs in as over TCP */
    LISTENER_OWNER, /* bitcask.sock in the store's directory: whoever may open it owns the store */
};

struct listener {
    int fd;
    enum listener_kind kind;
    char address[128]; /* "127.0.0.1:6380", or the path */
    unsigned port;     /* the real one; 0 for paths */
    struct tls *tls;
};

enum { LISTENERS_MAX = 32 };

/* Open all sockets that the settings ask for. Returns how many, or 0 with an error; then none is
 * open. A Unix socket that nobody listens to any more is replaced; one that somebody listens to, or
 * a file that is none, is an error. */
size_t listeners_open(const struct settings *settings, const char *directory,
                      struct listener listeners[LISTENERS_MAX], bitcask_error *error);
/* And remove the Unix sockets' files. */
void listeners_close(struct listener *listeners, size_t count);

/* Does this machine alone reach the address? "127.x.y.z", "::1", "localhost". */
bool address_is_local(const char *address);

/* Accept one connection: its socket, that does not block, and both ends' addresses as CLIENT LIST
 * shows them. Returns -errno if there is none. */
int listener_accept(const struct listener *listener, char peer[64], char own[64], bool *is_local);

#endif
