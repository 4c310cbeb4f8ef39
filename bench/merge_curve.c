/* SPDX-License-Identifier: MIT
 * merge_curve.c: prints write amplification against space amplification for triggers from 20% to
 * 80%, as the table of docs/OPERATIONS.md. `make merge-curve`. */
#include <stdio.h>
#include <stdlib.h>

#include "merge_sim.h"

static int run(enum merge_sim_workload workload, unsigned percent, struct merge_sim_result *result)
{
    struct merge_sim_setup setup = {
        .workload = workload,
        .trigger = percent / 100.0,
        .keys = 400000,
        .segment_records = 4000, /* a hundred segments of live data */
        .turnover = 8,
        .seed = 1,
    };
    return merge_sim_run(&setup, result) ? 0 : -1;
}

int main(void)
{
    struct merge_sim_result result;
    printf("| trigger |");
    for (unsigned workload = 0; workload < MERGE_SIM_WORKLOADS; workload++)
        printf(" %s |", merge_sim_names[workload]);
    printf("\n|---|");
    for (unsigned workload = 0; workload < MERGE_SIM_WORKLOADS; workload++)
        printf("---|");
    printf("\n");
    for (unsigned percent = 20; percent <= 80; percent += 10) {
        printf("| %u%% |", percent);
        for (unsigned workload = 0; workload < MERGE_SIM_WORKLOADS; workload++) {
            if (run((enum merge_sim_workload)workload, percent, &result) != 0) {
                fprintf(stderr, "merge-curve: out of memory\n");
                return 1;
            }
            printf(" %.2f / %.2f (%.2f) |", result.write_amplification, result.space_mean,
                   result.space_max);
            fflush(stdout);
        }
        printf("\n");
    }
    return 0;
}
