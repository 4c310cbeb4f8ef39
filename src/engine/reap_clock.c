/* SPDX-License-Identifier: MIT
 * reap_clock.c: the time, for what cannot be taken back. */
#include "engine/reap_clock.h"

#include "base/planted.h"
#include "engine/snapshot.h"

static const uint64_t EXPIRY_MARGIN_US = 60 * 1000000ull;
static const uint64_t CLOCK_DRIFT_MAX_US = 5 * 1000000ull;

uint64_t reap_clock_now(struct store *store)
{
    uint64_t real = store->os->clock_real(store->os);
    uint64_t boot = store->os->clock_boot(store->os);
    uint64_t expected = store->opened_real_us + (boot - store->opened_boot_us);
    uint64_t drift = real > expected ? real - expected : expected - real;
    return drift <= CLOCK_DRIFT_MAX_US || PLANTED(clock_trusted) ? real : 0;
}

static uint64_t long_expired(struct store *store)
{
    uint64_t now = reap_clock_now(store);
    return now > EXPIRY_MARGIN_US ? now - EXPIRY_MARGIN_US : 0;
}

uint64_t reap_clock_expired(struct store *store)
{
    uint64_t before = long_expired(store);
    return PLANTED(reaped_under_snapshot) ? before : snapshots_reap_before(&store->undo, before);
}

uint64_t reap_clock_begin(struct store *store)
{
    uint64_t before = long_expired(store);
    return PLANTED(reaped_under_snapshot) ? before : snapshots_reap_begin(&store->undo, before);
}

void reap_clock_end(struct store *store)
{
    snapshots_reap_end(&store->undo);
}

uint64_t reap_clock_tombstones(struct store *store)
{
    uint64_t age_ms = store->options.tombstone_min_age_ms;
    if (age_ms == 0)
        return UINT64_MAX;
    uint64_t now = reap_clock_now(store);
    uint64_t age_us = age_ms <= UINT64_MAX / 1000 ? age_ms * 1000 : UINT64_MAX;
    return now > age_us ? now - age_us : 0;
}
