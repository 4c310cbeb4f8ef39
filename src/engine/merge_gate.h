/* SPDX-License-Identifier: MIT
 * merge_gate.h: what a running merge passes through every few records: pause, cancel, and the
 * budget of bytes per second; and who may merge at all.
 *
 * One gate per store. A merge is the scheduler's or a caller's (bitcask_merge). merge_mutex belongs
 * to one of them, or for a moment to a verify. The scheduler's job gives way to anybody who wants
 * that mutex: it goes on without its budget, or is given up if it is paused.
 *
 * M9. Waiting here holds merge_mutex and the pins on the inputs, nothing that a reader, a writer or
 * the sealer wants.
 *
 * Lock order: merge_mutex, then any others of engine/store.h; `mutex` is the last of all. */
#ifndef ENGINE_MERGE_GATE_H
#define ENGINE_MERGE_GATE_H

#include <pthread.h>
#include <stdbool.h>

#include "bitcask.h"
#include "engine/rate.h"

struct store;

enum merge_owner {
    MERGE_OWNER_NONE,
    MERGE_OWNER_SCHEDULER,
    MERGE_OWNER_CALLER,
    MERGE_OWNER_QUIET, /* merges nothing, and does not take long */
};

struct merge_gate { /* guarded by `mutex` */
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* something has changed: who waits here looks again */
    enum merge_owner owner;
    bool stopping;         /* the store is being closed */
    bool paused;           /* what the scheduler does */
    uint64_t paused_at_us; /* boot clock */
    uint64_t cancels;      /* calls of merge_gate_cancel so far */
    unsigned waiting;      /* for merge_mutex while the scheduler has it */
    struct rate rate;
    uint64_t waited_us;                       /* in all, for the budget */
    uint64_t done_bytes, total_bytes;         /* of the inputs of the merge that runs */
    void (*wait)(void *context, uint64_t us); /* in place of sleeping: for tests; or NULL */
    void *wait_context;
};

/* One merge on its way. */
struct merge_pass {
    struct store *store;
    bool scheduled;
    bool unhindered; /* by the budget: space matters more */
    struct rate *rate;
    struct rate own_rate;
    uint64_t cancels, charged_bytes;
};

/* A paused job holds what it has for this long; then it is given up and begun anew later. */
enum { MERGE_PAUSE_HOLD_US = 60 * 1000000 };

void merge_gate_init(struct merge_gate *gate);
void merge_gate_release(struct merge_gate *gate);

/* ---- Who may merge -------------------------------------------------------------------------- */

/* For a caller's merge. Waits for a job of the scheduler's; BUSY if another caller merges. */
bitcask_status merge_gate_enter(struct store *store, bitcask_error *error);

/* For whoever only wants that no file goes away: waits for anybody. */
void merge_gate_enter_quietly(struct store *store);

/* For the scheduler: false if anybody is at it or wants to. */
bool merge_gate_try_enter(struct store *store);

void merge_gate_leave(struct store *store);

/* ---- The way through ------------------------------------------------------------------------ */

/* Begin a merge, of which merge_mutex is held. `bytes_per_s`: its own budget, UINT64_MAX for none;
 * 0: the store's, if there is a thread to keep to it. */
void merge_pass_begin(struct merge_pass *pass, struct store *store, bool scheduled,
                      uint64_t bytes_per_s);

/* Come by with `done_bytes` of the inputs read and `written_bytes` of outputs written since the
 * beginning; wait as long as need be. False: stop, the merge is cancelled. */
bool merge_pass_through(struct merge_pass *pass, uint64_t done_bytes, uint64_t written_bytes,
                        uint64_t total_bytes);

/* ---- From outside --------------------------------------------------------------------------- */

void merge_gate_set_paused(struct store *store, bool paused);
void merge_gate_cancel(struct store *store);
void merge_gate_set_rate(struct store *store, uint64_t bytes_per_s);

/* Wait, holding gate->mutex, for `us` or until something changes. */
void merge_gate_wait(struct merge_gate *gate, uint64_t us);

#endif
