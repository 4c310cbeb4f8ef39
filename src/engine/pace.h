/* SPDX-License-Identifier: MIT
 * pace.h: keep long work at a chosen rate (engine/rate.h), and stop it while it waits. */
#ifndef ENGINE_PACE_H
#define ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/rate.h"

struct pace {
    struct rate rate; /* all zero: as fast as it goes */
};

enum {
    PACE_CHUNK_MIN = 16 << 10,
    PACE_CHUNK_MAX = 1 << 20,
    PACE_SLICE_US = 100 * 1000, /* who waits longer looks up in between */
};

/* Account for `bytes` that were done by `now_us`. Returns how long to wait before the next ones.
 * Pure. */
uint64_t pace_spend(struct pace *pace, uint64_t bytes, uint64_t now_us);

/* How much to do at once, so that no single wait is long: a tenth of a second's worth. */
uint64_t pace_chunk(const struct pace *pace);

/* Wait `us`, looking every PACE_SLICE_US whether to go on: false as soon as `stop` says to stop
 * (nullable; nonzero: stop). */
bool pace_wait(uint64_t us, int (*stop)(void *context), void *context);

#endif
