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
    CLIENT_CLOSE_NOW = 1 << 11, /* nothing is sent any more */
};

enum {
    CLIENT_READ_SIZE = 64 << 10,    /* bytes read at once, at most, of small requests */
    CLIENT_OUTPUT_PAUSE = 1 << 20,  /* bytes waiting to be sent from which on its requests wait */
    CLIENT_PIPELINE_REQUESTS = 128, /* given to dispatch_pipeline at once, at most */
    CLIENT_PIPELINE_WORDS = 512,
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
    uint64_t
        error_replies; /* so far: who compares it before and after knows whether one was sent */

    /* input: what has been read and not been executed, the beginning of a request mostly */
    char *in;
    size_t in_size, in_capacity;
    struct resp_parser parser;

    struct output *out;          /* written by reply.h only */
    size_t out_mark;             /* out->size at the beginning of this pass */
    struct transport *transport; /* NULL: none */

    struct transaction *transaction;     /* MULTI: queued commands; and watched keys */
    struct subscriptions *subscriptions; /* pubsub.h; NULL: none */
    uint64_t now_us;                     /* wall clock of this pass: expiry is judged by it */

    struct registry_entry *entry; /* registry.c's */
    struct {                      /* the loop's own */
        struct client *next, *previous;
        struct client *next_active; /* of those that have something to do in this pass */
        bool active;
        bool held; /* has requests that wait: for its output to be read, or a pause to end */
        unsigned interest;     /* what epoll waits for */
        uint64_t over_soft_us; /* since when its output is beyond the soft limit; 0: it is not */
    } of_loop;
};

/* A client without socket: what tests, the HTTP server and queued work use. Returns NULL for want
 * of memory. Where the default user needs no password it is that user, else nobody. */
struct client *client_new(struct server *server, unsigned slot);
/* One for a loop, which is to get it by mail. */
struct client *client_new_in(struct server *server, struct loop *loop, unsigned slot);
void client_free(struct client *client); /* NULL is allowed */

/* Feed bytes as if they had been read, and execute all complete requests: a pass of its own, with
 * gate and commit. The replies are in `out`. */
void client_feed(struct client *client, const void *data, size_t size);

/* Commands that are executed for this client from now on are a subscriber's (RESP2 restricts them).
 */
bool client_is_subscribed(const struct client *client);

/* ---- For loops ----------------------------------------------------------------------------- */

/* Execute the requests in `data`, inside the thread's gate, until they end, the client is to be
 * closed, or it is held (of_loop.held). Returns the bytes that are dealt with; what is left is
 * given again, with more behind it, next time. */
size_t client_execute(struct client *client, char *data, size_t size);

/* The same with what the client keeps in `in`. */
void client_execute_input(struct client *client);

/* Keep bytes for the next time; room for more of them. Returns false for want of memory. */
bool client_keep(struct client *client, const char *data, size_t size);
char *client_input_room(struct client *client, size_t *size);

/* A sync failed: the client's replies of this pass become one error, and it is to be closed. */
void client_take_back(struct client *client, const bitcask_error *error);

#endif
