/* SPDX-License-Identifier: MIT
 * pace.c: see pace.h. */
#include "engine/pace.h"

#include <stddef.h>

#include "os/wait.h"

uint64_t pace_spend(struct pace *pace, uint64_t bytes, uint64_t now_us)
{
    rate_charge(&pace->rate, bytes, now_us);
    return rate_wait_us(&pace->rate, now_us);
}

uint64_t pace_chunk(const struct pace *pace)
{
    uint64_t tenth = pace->rate.bytes_per_s / 10;
    if (pace->rate.bytes_per_s == 0 || tenth > PACE_CHUNK_MAX)
        return PACE_CHUNK_MAX;
    return tenth < PACE_CHUNK_MIN ? PACE_CHUNK_MIN : tenth;
}

bool pace_wait(uint64_t us, int (*stop)(void *context), void *context)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never;
    wait_init(&never);
    bool go_on = true;
    while (go_on && us > 0) {
        uint64_t slice_us = us < PACE_SLICE_US ? us : PACE_SLICE_US;
        pthread_mutex_lock(&mutex);
        wait_for(&never, &mutex, slice_us);
        pthread_mutex_unlock(&mutex);
        us -= slice_us;
        go_on = stop == NULL || stop(context) == 0;
    }
    pthread_cond_destroy(&never);
    return go_on;
}
