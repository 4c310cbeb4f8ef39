/* SPDX-License-Identifier: MIT
 * merge_sim.h: what merges cost and what they leave, in figures alone: a store without bytes.
 *
 * A store is simulated as segments with counts of live records; writes, deletes and expiries move
 * the counts; whenever a segment is full the real merge_plan is asked, as the scheduler does, and
 * its jobs are carried out until it has none left. No file, no clock: seconds for millions of
 * writes, and the same figures every time. */
#ifndef BENCH_MERGE_SIM_H
#define BENCH_MERGE_SIM_H

#include <stdbool.h>
#include <stdint.h>

enum merge_sim_workload {
    MERGE_SIM_UNIFORM,     /* overwrite any key */
    MERGE_SIM_ZIPFIAN,     /* overwrite keys by rank, exponent 0.99 */
    MERGE_SIM_APPEND,      /* new keys only */
    MERGE_SIM_DELETES,     /* put or delete any key, evenly */
    MERGE_SIM_TTL,         /* new keys only, each of which expires after a fixed number of writes */
    MERGE_SIM_ALTERNATING, /* overwrite any key for a while, then a tenth of them for a while */
    MERGE_SIM_WORKLOADS,
};

extern const char *const merge_sim_names[MERGE_SIM_WORKLOADS];

struct merge_sim_setup {
    enum merge_sim_workload workload;
    double trigger; /* option merge-trigger */
    uint32_t keys;  /* in the store at the start; TTL: alive at any time */
    uint32_t segment_records;
    uint32_t turnover; /* writes, as a multiple of keys, half of which are not measured */
    uint64_t seed;
};

struct merge_sim_result {
    double write_amplification; /* (log bytes + merge bytes) / log bytes */
    double space_mean;          /* data bytes / live bytes, averaged over the writes */
    double space_max;           /* of those between merges */
    double space_peak;          /* with the outputs of a job beside its inputs */
    uint64_t jobs;
    bool restless; /* after some write the plan never became empty */
};

/* False if there is no memory. Cost: about 100 ns a write, 16 bytes of memory a record. */
bool merge_sim_run(const struct merge_sim_setup *setup, struct merge_sim_result *result);

#endif
