/* SPDX-License-Identifier: MIT
 * reap_clock.h: the time, for what cannot be taken back.
 *
 * Clocks are set. Reading goes by the wall clock: a record that seems to have expired comes back
 * when the clock is put right. Reaping it, or a tombstone that is old enough, cannot be undone, so
 * it is done only where the wall clock has kept pace with the boot clock since the store was
 * opened. */
#ifndef ENGINE_REAP_CLOCK_H
#define ENGINE_REAP_CLOCK_H

#include "engine/store.h"

/* Wall time, microseconds; 0 if the clocks disagree: then nothing is old enough for anything. */
uint64_t reap_clock_now(struct store *store);

/* What expired at or before this wall time may be reaped: a minute ago, and never what a snapshot
 * sees as alive (X7). 0: nothing may. Only between begin and end, a merge's job, does the answer of
 * begin stay true; before, it is good for planning. */
uint64_t reap_clock_expired(struct store *store);
uint64_t reap_clock_begin(struct store *store);
void reap_clock_end(struct store *store);

/* Tombstones of a version up to this one are old enough to go, as far as tombstone_min_age_ms has a
 * say: UINT64_MAX without that option. */
uint64_t reap_clock_tombstones(struct store *store);

#endif
