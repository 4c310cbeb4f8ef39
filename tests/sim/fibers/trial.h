/* SPDX-License-Identifier: MIT
 * trial.h: one seed: its setting, its store, and the fibers that work on it.
 *
 *   fibers.c   settings, opening, crashes, the end
 *   act.c      what the fibers do */
#ifndef FIBERS_TRIAL_H
#define FIBERS_TRIAL_H

#include "../sim_disk.h"
#include "bitcask.h"
#include "history.h"

enum {
    KEYS = 6,
    STABLE_KEYS = 3, /* written before the others begin, and never again */
    WORKERS_MAX = 8,
    MAX_POINTS = 20 * 1000 * 1000,
};

struct setting {
    struct sim_config disk;
    struct fiber_schedule schedule;
    bitcask_sync sync;
    uint64_t segment_max_records, interval_ms;
    unsigned writers, readers, mergers, walkers, syncers, growers, snapshots;
    unsigned operations; /* of each writer and reader */
    bool crashes;
    enum sim_crash crash;
    uint64_t crash_calls;
};

struct trial {
    struct setting setting;
    struct sim_disk *disk;
    bitcask *db;
    struct history history;
    uint64_t stable_versions[STABLE_KEYS];
    uint32_t groups;   /* of events that belong together */
    uint64_t statuses; /* a sum, for the trace */
    char what[300];    /* empty: good */
};

struct worker {
    struct trial *trial;
    uint64_t random;
    unsigned operations;
    uint32_t number;
};

/* The trial has failed; the first reason is kept. */
__attribute__((format(printf, 2, 3))) void fail(struct trial *trial, const char *form, ...);
bool is_over(const struct trial *trial); /* failed, or crashed */
/* Without a fault there are no errors. */
void check_status(struct trial *trial, const char *what, bitcask_status status);

bitcask_slice key_of(uint32_t key, char text[32]);
/* The number in a value; 0 if it is none of this key's. */
uint32_t number_of(uint32_t key, bitcask_slice value);
void read_stable(struct worker *worker); /* some key that nobody touches */

/* The lives of fibers; `context` is a struct worker. */
void *act_write(void *context);
void *act_grow(void *context);
void *act_read(void *context);
void *act_walk(void *context);
void *act_merge(void *context);
void *act_sync(void *context);
void *act_snapshot(void *context);

#endif
