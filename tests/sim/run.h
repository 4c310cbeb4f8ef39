/* SPDX-License-Identifier: MIT
 * run.h: a plan that is being carried out, and how it went.
 *
 *   run.c         opening, crashes, recoveries, steps
 *   look.c        what the stores show, held against the model
 *   op_write.c    operations that write
 *   op_read.c     operations that read
 *   op_copy.c     snapshots and backups
 *   op_store.c    operations on the store, the disk and the clock; the table of all
 *   damage.c      the end of some runs: rot, and devices that lie */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include <setjmp.h>

#include "engine/store.h"
#include "model.h"
#include "operations.h"

enum { VALUES_PER_STEP = 8, KEY_SIZE_MAX = 400, BACKUPS_BEGUN_MAX = 6 };

/* What a run came to. */
struct outcome {
    bool failed;
    char what[512];
    uint64_t trace;
    uint64_t operations, recoveries, simulated_us;
    uint64_t of_kind[STEP_KINDS];
    struct sim_counts counts;
    /* Keys of damaged stores: they read as CORRUPT, or their loss was told, or it was not and could
     * not be (docs/DURABILITY.md). */
    uint64_t keys_corrupt, keys_told, keys_untold;
};

/* log: where to tell what happens, or NULL. After a failure some memory is lost. */
void plan_run(const struct plan *plan, FILE *log, struct outcome *outcome);

/* ---- For the parts of a run ------------------------------------------------------------------ */

/* What the model said at one moment. */
struct moment {
    bool valid;
    uint64_t from_us, to_us; /* the wall clock before and after */
    bool has[MODEL_KEYS];
    struct model_write writes[MODEL_KEYS];
};

/* One of the stores on the disk. */
struct side {
    char directory[24];
    struct store *store; /* NULL while it is closed; `db` is the same */
    bitcask *db;
    struct store *follower; /* beside it; or NULL */
    struct model model;
    uint32_t sync; /* bitcask_sync; options of the next opening */
    uint64_t segment_max_records;
    uint32_t index;         /* enum index */
    uint64_t opened_errors; /* errors of the disk before the opening */
    uint64_t warnings;      /* since the opening */
    int64_t clock_steps_us; /* since the opening; merges trust the clock if they come to 0 */
    uint64_t excused_us;    /* boot clock: no promise about the interval before it */
    uint64_t lies;          /* of the disk when model.durable was set */
    bool stale;             /* the last manifest may be lost, or an older one in its place */
    bool suspect;           /* the log's end is lost, and the store knows it */
    bool may_lose;          /* what is not durable may be gone at the next opening */
    bitcask_view view;
    uint8_t *view_copy;
    bitcask_snapshot *snapshot; /* or NULL */
    struct moment snapshot_of;
    char backup_directory[24];
    struct moment backup_of;                        /* the last that was done */
    struct moment backups_begun[BACKUPS_BEGUN_MAX]; /* since, without an answer: may be there */
    unsigned backups_begun_count;                   /* more than the array holds: not known */
};

struct run {
    const struct plan *plan;
    FILE *log;
    struct outcome *outcome;
    struct sim_disk *disk;
    struct side sides[STORES_MAX];
    struct side *at; /* the one that the step is about */
    bitcask_error error;
    struct sim_counts before; /* at the start of the step */
    unsigned findings;        /* of a verify */
    bool wrote;               /* the step has written something */
    bool lying;               /* the device is, just now */
    bitcask_buffer buffer;
    uint8_t *value;
    jmp_buf out;
};

/* The run has failed. Messages cite the invariant (docs/DURABILITY.md) that does not hold. */
__attribute__((noreturn, format(printf, 2, 3))) void fail(struct run *run, const char *form, ...);
__attribute__((format(printf, 2, 3))) void tell(struct run *run, const char *form, ...);

/* ---- run.c */

void begin_step(struct run *run);
bool is_read_only(struct run *run);
/* Has the disk done anything in this step that explains an error? */
bool is_explained(struct run *run);
uint64_t errors_of(struct run *run);
bool log_sync_failed(struct run *run); /* in this step */
/* Errors, and writes refused: the tail of the log may be what could not be saved elsewhere. */
void note_suspect(struct run *run);
/* An error that nothing explains is a failure. */
void expect_reason(struct run *run, const char *what, bitcask_status status);
/* So many atoms survive a power cut. */
void advance_durable(struct run *run, size_t atoms);

bitcask_status try_open(struct run *run);
void open_for_certain(struct run *run);
void close_store(struct run *run);
/* The process or the machine has ended: let go of the handles of all stores. */
void abandon_all(struct run *run);
/* Open what is closed, as often as it takes, and make the models fit. */
void recover(struct run *run, const struct step *step);
void run_step(struct run *run, const struct step *step);

/* ---- look.c */

bitcask_slice make_key(uint32_t key, char text[KEY_SIZE_MAX]);
/* A value tells whose it is, and every byte of it is known. */
bitcask_slice make_value(struct run *run, uint32_t key, uint32_t value, uint32_t size);
/* The number of a value, or 0 if it is none of this key's. */
uint32_t value_number(struct run *run, uint32_t key, const void *data, size_t size);
/* The number of a key by its text, or MODEL_KEYS. */
uint32_t key_number(bitcask_slice key);

/* An error of this time only. */
static inline bool is_passing(bitcask_status status)
{
    return status == BITCASK_NO_MEMORY || status == BITCASK_IO;
}

bitcask_status look(struct run *run, uint32_t key, struct model_seen *seen);
__attribute__((noreturn)) void misfit(struct run *run, const char *when, uint32_t key,
                                      const struct model_seen *seen);
void note_version(struct run *run, uint64_t version);
void check_key(struct run *run, const char *when, uint32_t key);
void check_all(struct run *run, const char *when);
void check_leaks(struct run *run, const char *when);
void resolve(struct run *run); /* after opening */
void release_view(struct run *run);
void release_holds(struct run *run); /* and the snapshot, and the follower */

/* ---- op_*.c */

void op_get(struct run *run, const struct step *step);
void op_many(struct run *run, const struct step *step);
void op_iterate(struct run *run, const struct step *step);
void op_verify(struct run *run, const struct step *step);
void op_view(struct run *run, const struct step *step);
void op_write(struct run *run, const struct step *step); /* one key */
void op_batch(struct run *run, const struct step *step);

void op_snapshot(struct run *run, const struct step *step);
void op_backup(struct run *run, const struct step *step);

void release_snapshot(struct side *side);
void op_follow(struct run *run, const struct step *step);
void release_follower(struct run *run);
void check_backup(struct run *run);

/* ---- damage.c */

void damage_by_rot(struct run *run); /* with all stores closed */
/* With all stores open: the steps from the `first` on with a device that lies, and what then. */
void damage_by_lies(struct run *run, size_t first);

#endif
