/* SPDX-License-Identifier: MIT
 * clock.c: the server's clocks. */
#include <time.h>

#include "server.h"

static uint64_t read_clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t server_wall_us(void)
{
    return read_clock_us(CLOCK_REALTIME);
}

uint64_t server_monotonic_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC);
}
