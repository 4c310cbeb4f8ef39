/* SPDX-License-Identifier: MIT
 * report.h: the figures of a campaign: a line that lives, and a page. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include <stdatomic.h>

#include "run.h"

/* Sums over all runs; shared by the workers. */
struct totals {
    _Atomic uint64_t runs, operations, of_kind[STEP_KINDS], recoveries, calls, simulated_us;
    _Atomic uint64_t crashes[SIM_CRASH_COUNT];
    _Atomic uint64_t errors, full, sync_errors, sync_dir_errors, alloc_errors;
    _Atomic uint64_t sectors_old, sectors_damaged, writebacks, evictions, names_lost;
    _Atomic uint64_t lost_writes, misdirected_writes, rot[SIM_ROT_COUNT];
    _Atomic uint64_t keys_corrupt, keys_told, keys_untold;
};

/* Where and how the campaign ran. */
struct circumstances {
    const char *commit, *command;
    double seconds;
    unsigned jobs, failures;
};

void totals_add(struct totals *totals, const struct outcome *outcome);
void report_line(const struct totals *totals, double seconds, unsigned failures, const char *end);

/* Put the figures into the page at `path` (docs/RESULTS.md), in the place of those of the last
 * time, between two lines that say where it is. False if that cannot be done. */
bool report_page(const struct totals *totals, const struct circumstances *how, const char *path);

#endif
