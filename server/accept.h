/* SPDX-License-Identifier: MIT
 * accept.h: new connections: refused, or given to the loop that has the fewest. */
#ifndef SERVER_ACCEPT_H
#define SERVER_ACCEPT_H

#include <stdbool.h>

struct listener;
struct loop;

/* In an epoll_event, listeners are told from clients by their pointer's lowest bit. */
bool loop_is_listener(const void *pointer);
struct listener *loop_listener_of(void *pointer);

/* Accept what waits. */
void loop_accept(struct loop *loop, struct listener *listener);

/* Without descriptors there is nothing to accept with: it is tried again at the next tick. */
void loop_stop_accepting(struct loop *loop);
void loop_resume_accepting(struct loop *loop);

#endif
