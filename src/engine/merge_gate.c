/* SPDX-License-Identifier: MIT
 * merge_gate.c: pause, cancel and the budget of a merge. */
#include "engine/merge_gate.h"

#include "engine/store.h"
#include "os/wait.h"

void merge_gate_init(struct merge_gate *gate)
{
    *gate = (struct merge_gate){0};
    pthread_mutex_init(&gate->mutex, NULL);
    wait_init(&gate->cond);
}

void merge_gate_release(struct merge_gate *gate)
{
    pthread_mutex_destroy(&gate->mutex);
    pthread_cond_destroy(&gate->cond);
}

void merge_gate_wait(struct merge_gate *gate, uint64_t us)
{
    if (gate->wait == NULL) {
        wait_for(&gate->cond, &gate->mutex, us);
        return;
    }
    pthread_mutex_unlock(&gate->mutex);
    gate->wait(gate->wait_context, us);
    pthread_mutex_lock(&gate->mutex);
}

/* ---- Who may merge -------------------------------------------------------------------------- */

/* Take merge_mutex if it is free. The gate's mutex is held, here and where it is given back, so
 * that `owner` always tells who has it. */
static bool try_own(struct store *store, enum merge_owner owner)
{
    if (pthread_mutex_trylock(&store->merge_mutex) != 0)
        return false;
    store->gate.owner = owner;
    store->gate.done_bytes = store->gate.total_bytes = 0;
    return true;
}

/* Wait for merge_mutex, and let the scheduler know. The gate's mutex is held before and after. */
static void own_later(struct store *store, enum merge_owner owner)
{
    struct merge_gate *gate = &store->gate;
    gate->waiting++;
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->mutex);
    pthread_mutex_lock(&store->merge_mutex);
    pthread_mutex_lock(&gate->mutex);
    gate->waiting--;
    gate->owner = owner;
    gate->done_bytes = gate->total_bytes = 0;
}

bitcask_status merge_gate_enter(struct store *store, bitcask_error *error)
{
    struct merge_gate *gate = &store->gate;
    bitcask_status status = BITCASK_OK;
    pthread_mutex_lock(&gate->mutex);
    if (!try_own(store, MERGE_OWNER_CALLER)) {
        if (gate->owner != MERGE_OWNER_CALLER)
            own_later(store, MERGE_OWNER_CALLER);
        else
            status = error_set(error, BITCASK_BUSY, "a merge is running");
    }
    pthread_mutex_unlock(&gate->mutex);
    return status;
}

void merge_gate_enter_quietly(struct store *store)
{
    pthread_mutex_lock(&store->gate.mutex);
    if (!try_own(store, MERGE_OWNER_QUIET))
        own_later(store, MERGE_OWNER_QUIET);
    pthread_mutex_unlock(&store->gate.mutex);
}

bool merge_gate_try_enter(struct store *store)
{
    pthread_mutex_lock(&store->gate.mutex);
    bool mine = store->gate.waiting == 0 && try_own(store, MERGE_OWNER_SCHEDULER);
    pthread_mutex_unlock(&store->gate.mutex);
    return mine;
}

void merge_gate_leave(struct store *store)
{
    pthread_mutex_lock(&store->gate.mutex);
    store->gate.owner = MERGE_OWNER_NONE;
    pthread_mutex_unlock(&store->merge_mutex);
    pthread_mutex_unlock(&store->gate.mutex);
}

/* ---- The way through ------------------------------------------------------------------------ */

static uint64_t now_us(struct store *store)
{
    return store->os->clock_boot(store->os);
}

void merge_pass_begin(struct merge_pass *pass, struct store *store, bool scheduled,
                      uint64_t bytes_per_s)
{
    *pass = (struct merge_pass){.store = store, .scheduled = scheduled};
    if (bytes_per_s != 0) {
        rate_set(&pass->own_rate, bytes_per_s == UINT64_MAX ? 0 : bytes_per_s, now_us(store));
        pass->rate = &pass->own_rate;
    } else if (scheduled || store->options.background == BITCASK_BACKGROUND_THREAD) {
        pass->rate = &store->gate.rate;
    } else {
        pass->rate = &pass->own_rate; /* unlimited */
    }
    pthread_mutex_lock(&store->gate.mutex);
    pass->cancels = store->gate.cancels;
    pthread_mutex_unlock(&store->gate.mutex);
}

static bool is_cancelled(const struct merge_pass *pass, uint64_t now)
{
    const struct merge_gate *gate = &pass->store->gate;
    if (gate->cancels != pass->cancels)
        return true;
    if (!pass->scheduled)
        return false;
    bool held_for_long = now - gate->paused_at_us >= MERGE_PAUSE_HOLD_US;
    return gate->stopping || (gate->paused && (gate->waiting > 0 || held_for_long));
}

/* How long to wait now; 0: go on. */
static uint64_t wait_of(const struct merge_pass *pass, uint64_t now)
{
    const struct merge_gate *gate = &pass->store->gate;
    if (pass->scheduled && gate->paused)
        return gate->paused_at_us + MERGE_PAUSE_HOLD_US - now;
    if (pass->scheduled && (pass->unhindered || gate->waiting > 0))
        return 0;
    return rate_wait_us(pass->rate, now);
}

bool merge_pass_through(struct merge_pass *pass, uint64_t done_bytes, uint64_t written_bytes,
                        uint64_t total_bytes)
{
    struct merge_gate *gate = &pass->store->gate;
    uint64_t bytes = done_bytes + written_bytes - pass->charged_bytes;
    pthread_mutex_lock(&gate->mutex);
    uint64_t now = now_us(pass->store), wait_us;
    gate->done_bytes = done_bytes;
    gate->total_bytes = total_bytes;
    pass->charged_bytes += bytes;
    rate_charge(pass->rate, bytes, now);
    bool cancelled;
    while (!(cancelled = is_cancelled(pass, now)) && (wait_us = wait_of(pass, now)) > 0) {
        uint64_t before = now;
        merge_gate_wait(gate, wait_us);
        now = now_us(pass->store);
        gate->waited_us += now - before;
    }
    pthread_mutex_unlock(&gate->mutex);
    return !cancelled;
}

/* ---- From outside --------------------------------------------------------------------------- */

void merge_gate_set_paused(struct store *store, bool paused)
{
    struct merge_gate *gate = &store->gate;
    pthread_mutex_lock(&gate->mutex);
    if (paused && !gate->paused)
        gate->paused_at_us = now_us(store);
    gate->paused = paused;
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->mutex);
}

void merge_gate_cancel(struct store *store)
{
    pthread_mutex_lock(&store->gate.mutex);
    store->gate.cancels++;
    pthread_cond_broadcast(&store->gate.cond);
    pthread_mutex_unlock(&store->gate.mutex);
}

void merge_gate_set_rate(struct store *store, uint64_t bytes_per_s)
{
    pthread_mutex_lock(&store->gate.mutex);
    rate_set(&store->gate.rate, bytes_per_s, now_us(store));
    pthread_cond_broadcast(&store->gate.cond);
    pthread_mutex_unlock(&store->gate.mutex);
}
