/* SPDX-License-Identifier: MIT
 * loop_internal.h: a loop from the inside; for loop.c and accept.c. */
#ifndef SERVER_LOOP_INTERNAL_H
#define SERVER_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "busy_poll.h"
#include "loop.h"
#include "output.h"
#include "settings.h"

enum {
    LOOP_READINGS = 256,
    LOOP_SCRATCH = 4 * (64 << 10), /* of which each read is offered CLIENT_READ_SIZE */
};

/* What has been read of a client that had nothing before, in the loop's scratch memory. */
struct reading {
    struct client *client;
    char *data;
    size_t size;
};

struct loop {
    struct server *server;
    unsigned slot;
    pthread_t thread;
    bool started;
    int epoll_fd;
    int event_fd; /* woken by it */

    /* the thread's own */
    struct client *clients;
    struct client *active; /* of this pass */
    struct busy_poll busy_poll;
    struct output_pool pool;
    char *scratch; /* LOOP_SCRATCH bytes */
    size_t scratch_used;
    struct reading readings[LOOP_READINGS]; /* read in this pass and not yet executed */
    size_t reading_count;
    uint64_t monotonic_us, wall_us; /* of this pass */
    uint64_t next_tick_us;
    uint64_t stop_us;        /* when what is not sent is given up; 0: the server is not stopping */
    bool has_more;           /* a transport has bytes at hand, and nothing holds them up */
    bool again;              /* there is more to do, whatever epoll says */
    size_t writers_before;   /* clients that shared the last commit */
    bool has_held;           /* some client's requests wait for nothing but a pause to end */
    const char *limits_text; /* the setting that the limits are from */
    struct output_limit normal_limit, pubsub_limit; /* none: SIZE_MAX */

    /* the first one's: it accepts */
    struct listener *listeners;
    size_t listener_count;
    bool is_accepting;

    _Atomic size_t client_count; /* also those on the way here */

    pthread_mutex_t mail_mutex; /* guards the list */
    struct mail *mail_first, *mail_last;
    atomic_bool has_mail;
};

/* By the loop's thread. */
void loop_add_client(struct loop *loop, struct client *client);

/* The client has something to do in this pass: it is looked at in its end. */
void loop_activate(struct loop *loop, struct client *client);

/* loop_tick.c: what is looked at from time to time. The limits of outputs, if they have been
 * changed: in each pass. Clients that are silent, have not said who they are, or do not read for
 * too long: once a second. */
enum { LOOP_TICK_MS = 1000 };
void loop_take_settings(struct loop *loop);
void loop_tick(struct loop *loop);

#endif
