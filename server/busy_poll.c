/* SPDX-License-Identifier: MIT
 * busy_poll.c: look for events a moment longer before sleeping. */
#include "busy_poll.h"

#include <sys/epoll.h>

#include "server.h"

enum { MISSES_MAX = 8 };

static bool takes_chance(struct busy_poll *poll)
{
    if (!poll->had_events)
        return false;
    if (poll->skip == 0)
        return true;
    poll->skip--;
    return false;
}

static void note(struct busy_poll *poll, bool hit)
{
    poll->tries++;
    poll->hits += hit;
    poll->misses = hit ? 0 : poll->misses < MISSES_MAX ? poll->misses + 1 : MISSES_MAX;
    poll->skip = (1u << poll->misses) - 1;
}

int busy_poll_wait(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int max,
                   int timeout_ms, uint64_t limit_us)
{
    int count = 0;
    if (timeout_ms != 0 && limit_us != 0 && takes_chance(poll)) {
        uint64_t until_us = server_monotonic_us() + limit_us;
        do
            count = epoll_wait(epoll_fd, events, max, 0);
        while (count == 0 && server_monotonic_us() < until_us);
        note(poll, count > 0);
    }
    if (count == 0)
        count = epoll_wait(epoll_fd, events, max, timeout_ms);
    poll->had_events = count > 0;
    return count;
}
