/* SPDX-License-Identifier: MIT
 * busy_poll.c: how a loop waits for events, so that clients do not pay for waking it. */
#include "busy_poll.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#include "server.h"

enum { MISSES_MAX = 8, SLACK_NS = 1000 };

void busy_poll_begin(void)
{
    prctl(PR_SET_TIMERSLACK, SLACK_NS);
}

static bool takes_chance(struct busy_poll *poll)
{
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

void busy_poll_count(struct busy_poll *poll, unsigned count, uint64_t now_us)
{
    poll->events += count;
    if (poll->events < BUSY_POLL_CROWD)
        return;
    poll->crowded = now_us - poll->window_us <= (uint64_t)poll->events * BUSY_POLL_CROWD_US;
    poll->events = 0;
    poll->window_us = now_us;
}

static int gather(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int max)
{
    const struct timespec moment = {.tv_nsec = BUSY_POLL_GATHER_US * 1000};
    nanosleep(&moment, NULL);
    int count = epoll_wait(epoll_fd, events, max, 0);
    poll->gathers++;
    poll->crowded = count > 0;
    return count;
}

static int look(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int max,
                uint64_t limit_us)
{
    int count;
    uint64_t until_us = server_monotonic_us() + limit_us;
    do
        count = epoll_wait(epoll_fd, events, max, 0);
    while (count == 0 && server_monotonic_us() < until_us);
    note(poll, count > 0);
    return count;
}

int busy_poll_wait(struct busy_poll *poll, int epoll_fd, struct epoll_event *events, int max,
                   int timeout_ms, uint64_t limit_us)
{
    int count = 0;
    if (timeout_ms != 0 && limit_us != 0 && poll->had_events) {
        if (poll->crowded)
            count = gather(poll, epoll_fd, events, max);
        else if (takes_chance(poll))
            count = look(poll, epoll_fd, events, max, limit_us);
    }
    if (count == 0)
        count = epoll_wait(epoll_fd, events, max, timeout_ms);
    poll->had_events = count > 0;
    if (count > 0 && limit_us != 0)
        busy_poll_count(poll, (unsigned)count, server_monotonic_us());
    return count;
}
