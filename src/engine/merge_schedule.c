/* SPDX-License-Identifier: MIT
 * merge_schedule.c: merges in the background. */
#include "engine/merge_schedule.h"

#include <stdlib.h>

#include "engine/background.h"
#include "engine/merge_next.h"
#include "engine/read_ahead.h"
#include "os/wait.h"

/* How long to wait for somebody who verifies or merges, and is to wake us when that is done. */
enum { BUSY_RETRY_US = 1000000 };

struct merge_schedule { /* guarded by store->gate.mutex, but for the ledger */
    pthread_t thread;
    bool running;
    bool woken;
    uint64_t not_before_us; /* boot clock: the delay at start, a rest */
    uint64_t tick_us;       /* boot clock: of the next look if nothing happens */
    uint64_t next_us;       /* boot clock: of the next look */
    bitcask_merge_state state;
    bitcask_status last_error;
    struct merge_ledger ledger; /* of the one who steps */
};

/* ---- When ----------------------------------------------------------------------------------- */

static uint64_t window_wait_us(struct store *store)
{
    struct os *os = store->os;
    uint64_t real = os->clock_real(os);
    uint64_t local = real + (uint64_t)((int64_t)os->utc_offset_s(os, real) * 1000000);
    return merge_window_wait_us(&store->options.merge_window, local);
}

/* How long until a job may begin; 0: now. Holding the gate's mutex. */
static uint64_t hold_back_us(struct store *store, uint64_t now)
{
    struct merge_schedule *schedule = store->schedule;
    if (store->gate.paused) {
        schedule->state = BITCASK_MERGE_PAUSED;
        return UINT64_MAX;
    }
    uint64_t wait_us = 0;
    if (now < schedule->not_before_us)
        wait_us = schedule->not_before_us - now;
    else
        wait_us = window_wait_us(store);
    if (wait_us > 0)
        schedule->state = BITCASK_MERGE_WAITING;
    return wait_us;
}

/* ---- What ----------------------------------------------------------------------------------- */

/* Run a job if there is one. END: nothing to do. BUSY: somebody else is at it. */
static bitcask_status run_one(struct store *store, bool thorough, bitcask_error *error)
{
    struct merge_schedule *schedule = store->schedule;
    bitcask_merge_result result;
    if (store_writable(store, NULL) != BITCASK_OK)
        return BITCASK_END;
    if (!merge_next_is_likely(store, &schedule->ledger, thorough))
        return BITCASK_END;
    if (!merge_gate_try_enter(store))
        return BITCASK_BUSY;
    bitcask_status status = keydir_fetch_all(store->keydir, error);
    if (status == BITCASK_OK)
        status = merge_next_run(store, &schedule->ledger, thorough, &result, error);
    merge_gate_leave(store);
    if (status == BITCASK_OK)
        background_want(store, WORK_IMAGE); /* the one on disk knows segments that are gone */
    return status;
}

/* What follows from the outcome: how long to wait. Holding the gate's mutex. */
static uint64_t conclude(struct store *store, bitcask_status status, const bitcask_error *error)
{
    struct merge_schedule *schedule = store->schedule;
    uint64_t now = store->os->clock_boot(store->os);
    if (status == BITCASK_OK || status == BITCASK_CORRUPT) { /* that input is left alone now */
        schedule->woken = true;
        schedule->last_error = status;
        return 0;
    }
    if (status == BITCASK_BUSY) {
        schedule->woken = true;
        schedule->not_before_us = now + BUSY_RETRY_US;
        schedule->state = BITCASK_MERGE_WAITING;
        return BUSY_RETRY_US;
    }
    if (status == BITCASK_END) {
        schedule->state = BITCASK_MERGE_IDLE;
        return schedule->woken || schedule->tick_us <= now ? 0 : schedule->tick_us - now;
    }
    schedule->state = BITCASK_MERGE_WAITING;
    schedule->woken = true;
    if (store->gate.paused || store->gate.stopping) /* so it was given up */
        return 0;
    schedule->not_before_us = now + MERGE_TICK_US;
    if (status < 0 && status != schedule->last_error) { /* said once */
        schedule->last_error = status;
        EVENT(&store->events, BITCASK_LOG_WARN, "merge_failed", F_TEXT("error", error->message));
    }
    return MERGE_TICK_US;
}

/* Look, and run at most one job; how long to wait then. Holding the gate's mutex, which is given up
 * for the job only: nothing that happens between the decision to wait and the waiting is missed. */
static uint64_t step(struct store *store)
{
    struct merge_schedule *schedule = store->schedule;
    struct merge_gate *gate = &store->gate;
    uint64_t now = store->os->clock_boot(store->os);
    uint64_t wait_us = hold_back_us(store, now);
    bool tick = now >= schedule->tick_us;
    if (wait_us == 0 && (schedule->woken || tick)) {
        schedule->woken = false;
        schedule->state = BITCASK_MERGE_RUNNING;
        if (tick)
            schedule->tick_us = now + MERGE_TICK_US;
        pthread_mutex_unlock(&gate->mutex);
        if (tick)
            read_ahead_look(store, true);
        bitcask_error error = {0};
        bitcask_status status = run_one(store, tick, &error);
        pthread_mutex_lock(&gate->mutex);
        wait_us = conclude(store, status, &error);
    } else if (wait_us == 0) {
        schedule->state = BITCASK_MERGE_IDLE;
        wait_us = schedule->tick_us - now;
    }
    schedule->next_us = wait_us == UINT64_MAX ? 0 : store->os->clock_boot(store->os) + wait_us;
    return wait_us;
}

uint64_t merge_schedule_step(struct store *store)
{
    pthread_mutex_lock(&store->gate.mutex);
    uint64_t wait_us = step(store);
    pthread_mutex_unlock(&store->gate.mutex);
    return wait_us;
}

/* ---- Life ----------------------------------------------------------------------------------- */

bitcask_status merge_schedule_new(struct store *store, bitcask_error *error)
{
    struct merge_schedule *schedule = calloc(1, sizeof *schedule);
    if (schedule == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the merge scheduler");
    uint64_t now = store->os->clock_boot(store->os);
    schedule->not_before_us = now + store->options.merge_delay_ms * 1000;
    schedule->woken = true;
    schedule->state = BITCASK_MERGE_WAITING;
    schedule->next_us = schedule->not_before_us;
    pthread_mutex_lock(&store->gate.mutex);
    store->schedule = schedule;
    pthread_mutex_unlock(&store->gate.mutex);
    return BITCASK_OK;
}

static void *run(void *context)
{
    struct store *store = context;
    struct merge_gate *gate = &store->gate;
    pthread_mutex_lock(&gate->mutex);
    while (!gate->stopping) {
        uint64_t wait_us = step(store);
        if (wait_us > 0 && !gate->stopping)
            merge_gate_wait(gate, wait_us);
    }
    pthread_mutex_unlock(&gate->mutex);
    return NULL;
}

bitcask_status merge_schedule_start(struct store *store, bitcask_error *error)
{
    const struct store_options *options = &store->options;
    rate_set(&store->gate.rate, options->merge_bytes_per_s, 0);
    if (!options->merge || options->read_only || options->background == BITCASK_BACKGROUND_NONE)
        return BITCASK_OK;
    bitcask_status status = merge_schedule_new(store, error);
    if (status != BITCASK_OK)
        return status;
    int result = wait_start_thread(&store->schedule->thread, run, store);
    if (result != 0) {
        merge_schedule_stop(store);
        return error_set_os(error, result, "start the merge thread");
    }
    store->schedule->running = true;
    return BITCASK_OK;
}

void merge_schedule_stop(struct store *store)
{
    struct merge_schedule *schedule = store->schedule;
    if (schedule == NULL)
        return;
    pthread_mutex_lock(&store->gate.mutex);
    store->gate.stopping = true;
    pthread_cond_broadcast(&store->gate.cond);
    pthread_mutex_unlock(&store->gate.mutex);
    if (schedule->running)
        pthread_join(schedule->thread, NULL);
    pthread_mutex_lock(&store->gate.mutex);
    store->schedule = NULL; /* the background may still seal, and wake it */
    pthread_mutex_unlock(&store->gate.mutex);
    merge_ledger_release(&schedule->ledger);
    free(schedule);
}

void merge_schedule_wake(struct store *store)
{
    pthread_mutex_lock(&store->gate.mutex);
    if (store->schedule != NULL) {
        store->schedule->woken = true;
        pthread_cond_broadcast(&store->gate.cond);
    }
    pthread_mutex_unlock(&store->gate.mutex);
}

/* ---- Telling -------------------------------------------------------------------------------- */

void merge_schedule_describe(struct store *store, struct merge_schedule_report *report)
{
    struct os *os = store->os;
    struct merge_gate *gate = &store->gate;
    *report = (struct merge_schedule_report){.state = BITCASK_MERGE_OFF};
    pthread_mutex_lock(&gate->mutex);
    const struct merge_schedule *schedule = store->schedule;
    bool caller = gate->owner == MERGE_OWNER_CALLER && gate->total_bytes > 0;
    report->done_bytes = gate->done_bytes;
    report->total_bytes = gate->total_bytes;
    report->waited_us = gate->waited_us;
    report->bytes_per_s = gate->rate.bytes_per_s;
    if (schedule != NULL) {
        report->state = gate->paused ? BITCASK_MERGE_PAUSED : schedule->state;
        report->last_error = schedule->last_error;
        uint64_t now = os->clock_boot(os), next = schedule->next_us;
        if (report->state != BITCASK_MERGE_PAUSED && report->state != BITCASK_MERGE_RUNNING)
            report->next_us = os->clock_real(os) + (next > now ? next - now : 0);
    }
    if (caller)
        report->state = BITCASK_MERGE_RUNNING;
    pthread_mutex_unlock(&gate->mutex);
}
