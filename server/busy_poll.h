/* SPDX-License-Identifier: MIT
 * busy_poll.h: look for events a moment longer before sleeping.
 *
 * Who wakes a sleeping thread pays for it, and here that is the client: its send then contains an
 * interrupt for another processor, on a virtual machine an exit to the host. With many connections
 * the next request is mostly some microseconds away, so a loop that has just had events looks again
 * for a moment before it sleeps. Where that finds nothing (clients that take their time, or that
 * share the processor with the server and cannot send while it looks) it is done ever more
 * rarely: after the n-th miss in a row the next 2^n - 1 chances are let go, up to 255. */
#ifndef SERVER_BUSY_POLL_H
#define SERVER_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

struct epoll_event;

struct busy_poll {   /* zeroed to begin with; of one thread */
    bool had_events; /* the last time */
    unsigned misses; /* in a row */
    unsigned skip;   /* chances that are let go before the next one is taken */
    uint64_t hits;   /* so far: sleeps that were saved */
    uint64_t tries;  /* chances taken */
};

/* As epoll_wait; looks for at most `limit_us` before it sleeps. 0: never. */
int busy_poll_wait(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int max,
                   int timeout_ms, uint64_t limit_us);

#endif
