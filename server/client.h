/* SPDX-License-Identifier: MIT
 * client.h: one connection.
 *
 * A client belongs to one loop, and only that loop's thread touches it. Others find it through the
 * registry, which knows what may be shown of it (CLIENT LIST), and send it mail (published
 * messages, MONITOR lines, the order to go away) that its loop delivers. A client without a socket
 * works as well: tests and the HTTP server's own commands use such. */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acl.h"
#include "resp.h"
#include "server.h"

struct command;
struct output;      /* output.h */
struct transaction; /* keyspace.h */
struct transport;   /* transport.h */

enum client_flags {
    CLIENT_CLOSE_AFTER_REPLY = 1 << 0, /* QUIT, a protocol error */
    CLIENT_MONITOR = 1 << 1,
    CLIENT_REPLY_OFF = 1 << 2,  /* CLIENT REPLY OFF */
    CLIENT_REPLY_SKIP = 1 << 3, /* CLIENT REPLY SKIP: of this command */
    CLIENT_REPLY_SKIP_NEXT = 1 << 4,
    CLIENT_NO_EVICT = 1 << 5,
    CLIENT_LOCAL = 1 << 6, /* by the Unix socket or a loopback address */
    CLIENT_TLS = 1 << 7,
    CLIENT_MULTI = 1 << 8,      /* commands are queued */
    CLIENT_DIRTY_EXEC = 1 << 9, /* EXEC will refuse: an error while queueing */
    CLIENT_WROTE = 1 << 10,     /* in this pass: its replies wait for keyspace_commit */
};

struct client {
    struct server *server;
    struct loop *loop; /* NULL in tests */
    unsigned slot;     /* of the gate and of the metrics: the thread's number */
    uint64_t id;       /* never used twice */
    unsigned flags;
    int protocol; /* 2 or 3 */

    struct acl_user *user; /* NULL: must authenticate first; else holds a reference */
    char name[65];         /* CLIENT SETNAME; "" */
    char library[65], library_version[33];
    char address[64], own_address[64]; /* "127.0.0.1:4711", "/run/bitcask.sock:0" */
    uint64_t created_us, last_us;      /* monotonic */
    const struct command *last_command;

    /* input */
    char *in;
    size_t in_size, in_capacity, in_consumed;
    struct resp_parser parser;

    struct output *out;          /* written by reply.h only */
    struct transport *transport; /* NULL: none */

    struct transaction *transaction;     /* MULTI: queued commands; and watched keys */
    struct subscriptions *subscriptions; /* pubsub.h; NULL: none */
    uint64_t now_us;                     /* wall clock of this pass: expiry is judged by it */
};

/* A client without socket: what tests, the HTTP server and queued work use. Returns NULL for want
 * of memory. */
struct client *client_new(struct server *server, unsigned slot);
void client_free(struct client *client);

/* Feed bytes as if they had been read, execute all complete requests. The replies are in `out`. */
void client_feed(struct client *client, const void *data, size_t size);

/* Commands that are executed for this client from now on are a subscriber's (RESP2 restricts them).
 */
bool client_is_subscribed(const struct client *client);

#endif
