/* SPDX-License-Identifier: MIT
 * loop.h: one thread of epoll and its connections.
 *
 * A pass: wait for events; inside the gate read what has come and execute it, deliver mail; leave
 * the gate; make the pass's writes durable if the mode asks for it; write the outputs. A connection
 * belongs to its loop from accept to close. The first loop accepts, and gives a new connection to
 * the loop that has the fewest.
 *
 * A client is read only while less than CLIENT_OUTPUT_PAUSE waits to be sent to it. So what a
 * client that does not read can make the server keep is bounded: that, and the replies to one read
 * of requests; and one that sends all its requests before it reads a reply is served up to there.
 *
 * Lock order: gate slot; the registry's mutex; a mailbox's mutex. */
#ifndef SERVER_LOOP_H
#define SERVER_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "bitcask.h"

struct client;
struct listener;
struct loop;
struct mail;
struct server;

/* A loop for slot `slot` of the gate; it runs from loop_start on. Returns NULL with an error. */
struct loop *loop_new(struct server *server, unsigned slot, bitcask_error *error);
/* Sockets to accept from; they stay the caller's. Before the start. */
bool loop_listen(struct loop *loop, struct listener *listeners, size_t count, bitcask_error *error);
bool loop_start(struct loop *loop, bitcask_error *error);

/* After server->stopping is set: wake it. Its requests are finished, replies sent (for at most five
 * seconds), connections closed; loop_join waits for that. */
void loop_wake(struct loop *loop);
void loop_join(struct loop *loop);
void loop_free(struct loop *loop); /* NULL is allowed */

/* Put a letter into the loop's mailbox; it is the loop's then. Any thread. */
void loop_post(struct loop *loop, struct mail *mail);

#endif
