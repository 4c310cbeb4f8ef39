/* SPDX-License-Identifier: MIT
 * work.h: cases, numbered in a fixed order, and which of them this process does.
 *
 * Each case has a name that says all about it ("scripts:4.1.0.57.12"), so that it can be done again
 * alone. A share of them (--stride=N) is every Nth; several processes deal theirs out among them.
 */
#ifndef EXHAUSTIVE_WORK_H
#define EXHAUSTIVE_WORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { NAME_MAX_SIZE = 64, NAME_BEGIN_SIZE = 40, FAILURES_MAX = 16, JOBS_MAX = 64 };

/* What became of a committed key of a damaged store. */
enum key_class {
    KEY_CORRECT,
    KEY_DETECTED,    /* reading it is an error, or opening has told of the damage */
    KEY_COLLATERAL,  /* the same, of a key that has no record in the sector: cut off with it */
    KEY_TOLD_LATER,  /* only verify tells */
    KEY_LOST,        /* it is not there, and nobody says why */
    KEY_WRONG,       /* it has another value, and nobody says so; or one that it never had */
    KEY_UNAVAILABLE, /* the damage was elsewhere, or is mended, and yet it cannot be read */
    KEY_CLASSES,
};
enum { FILE_KINDS = 8, FAULT_KINDS = 6 };

/* Shared by the processes. */
struct tally {
    _Atomic uint64_t cases, calls, crashes;
    _Atomic uint64_t keys[FILE_KINDS][FAULT_KINDS][KEY_CLASSES];
    _Atomic unsigned failure_count;
    struct {
        char name[NAME_MAX_SIZE];
        char what[256];
    } failures[FAILURES_MAX];
    char at[JOBS_MAX][NAME_MAX_SIZE]; /* the case that each process is at */
};

struct work {
    uint64_t stride, job, jobs;
    const char *only; /* the name of the one case wanted, or NULL */
    FILE *log;
    struct tally *tally;
    uint64_t next; /* number of the next case */
};

/* Number a case; is it this process's? Then it is counted and its name kept. */
bool work_takes(struct work *work, const char *name);
/* All cases whose names begin so are not wanted: whoever enumerates may skip them. */
bool work_skips(const struct work *work, const char *begin);
void work_failed(struct work *work, const char *name, const char *what);

/* The parts. */
void crash_scripts(struct work *work);    /* crashes.c */
void crash_sequences(struct work *work);  /* crashes.c */
void crash_recoveries(struct work *work); /* crashes.c */
void damage_sectors(struct work *work);   /* sectors.c */
void sectors_print(const struct tally *tally);

#endif
