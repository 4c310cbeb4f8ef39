/* SPDX-License-Identifier: MIT
 * busy_poll.h: how a loop waits for events, so that clients do not pay for waking it.
 *
 * Who wakes a sleeping thread pays for it, and here that is the client: its send then contains an
 * interrupt for another processor, on a virtual machine an exit to the host.
 *
 * Few events: the next request is mostly some microseconds away, so a loop that has just had events
 * looks again for a moment (`limit_us`) before it sleeps. Where that finds nothing (clients that
 * take their time, or that share the processor with the server and cannot send while it looks) it
 * is done ever more rarely: after the n-th miss in a row the next 2^n - 1 chances are let go, up
 * to 255.
 *
 * Many events, a crowd (BUSY_POLL_CROWD of them within as many times BUSY_POLL_CROWD_US): looking
 * at once finds one or two of them each time. So the loop sleeps first, by the clock, for as long
 * as BUSY_POLL_GATHER_US: nobody needs to wake it, and what has come meanwhile is dealt with in
 * one pass, for less of the processor. The first such sleep that gathers nothing is the last. */
#ifndef SERVER_BUSY_POLL_H
#define SERVER_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

struct epoll_event;

enum { BUSY_POLL_CROWD = 64, BUSY_POLL_CROWD_US = 10, BUSY_POLL_GATHER_US = 30 };

struct busy_poll {   /* zeroed to begin with; of one thread */
    bool had_events; /* the last time */
    unsigned misses; /* in a row */
    unsigned skip;   /* chances that are let go before the next one is taken */
    bool crowded;
    unsigned events;    /* since the window began */
    uint64_t window_us; /* when it did */
    uint64_t hits;      /* so far: sleeps that were saved */
    uint64_t tries;     /* chances taken */
    uint64_t gathers;   /* sleeps by the clock */
};

/* By a thread that is going to wait so: short sleeps are to be as short as they are asked for. */
void busy_poll_begin(void);

/* As epoll_wait; looks for at most `limit_us` before it sleeps. 0: just epoll_wait. */
int busy_poll_wait(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int max,
                   int timeout_ms, uint64_t limit_us);

/* `count` events have come, at `now_us`: is it a crowd? Part of busy_poll_wait. */
void busy_poll_count(struct busy_poll *poll, unsigned count, uint64_t now_us);

#endif
