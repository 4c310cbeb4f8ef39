/* SPDX-License-Identifier: MIT
 * background.c: the store's own thread, or the same work inline. */
#include "engine/background.h"

#include "engine/index_image.h"
#include "engine/log_ahead.h"
#include "engine/log_writer.h"
#include "engine/reclaim.h"
#include "engine/rehint.h"
#include "engine/seal.h"
#include "os/barrier.h"
#include "os/processor.h"
#include "os/wait.h"

enum {
    RETAG_BUDGET = 8192, /* keys tagged anew with the writers held back: half a millisecond */
    RETAG_PAUSE_US = 1000,
    FETCH_SHARDS = 32, /* of the index's image, then something else may be done */
};

static void report(struct store *store, const char *task, bitcask_status status,
                   const bitcask_error *error)
{
    if (status != BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_ERROR, "background_failed", F_TEXT("task", task),
              F_TEXT("error", error->message));
}

/* Returns whether there is more to do. */
static bool retag_some(struct store *store)
{
    write_mutex_lock(&store->write_mutex);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bool more = keydir_retag(store->keydir, RETAG_BUDGET);
    epoch_exit(guard);
    write_mutex_unlock(&store->write_mutex);
    return more;
}

/* By the thread, some shards at a time, with pauses in between: who lets go of a mutex and takes it
 * again is faster than a writer that sleeps for it, so that without them the writers would be held
 * up until all is done, half a second for ten million keys. What else is wanted gets its turn. */
static void retag(struct store *store)
{
    bool more = retag_some(store);
    if (store->options.background != BITCASK_BACKGROUND_THREAD) {
        while (more)
            more = retag_some(store);
    } else if (more) {
        atomic_fetch_or(&store->work, WORK_RETAG);
        pthread_mutex_lock(&store->work_mutex);
        if (!store->stopping)
            wait_for(&store->work_cond, &store->work_mutex, RETAG_PAUSE_US);
        pthread_mutex_unlock(&store->work_mutex);
    }
}

/* One at a time, so that something else may be done between two. */
static void make_hints(struct store *store)
{
    if (store->thread_running && !atomic_load(&store->reserve_spent) && rehint_next(store))
        atomic_fetch_or(&store->work, WORK_HINTS);
}

static void write_image(struct store *store);

/* One round of what is wanted, the sync excepted. */
static void do_work(struct store *store, uint32_t work)
{
    bitcask_error error;
    if (store_writable(store, NULL) != BITCASK_OK)
        return;
    if (UNLIKELY(atomic_load(&store->reserve_spent))) /* reserve_hold asks for them again */
        work &= ~(uint32_t)(WORK_PREPARE | WORK_SEAL);
    if (work & WORK_PREPARE)
        report(store, "prepare", log_prepare_next(store, 0, &error), &error);
    if (work & WORK_SEAL)
        report(store, "seal", seal_waiting(store, &error), &error);
    if (work & WORK_SEAL)
        report(store, "reclaim", reclaim_expired_soon(store, &error), &error);
    if (work & (WORK_SEAL | WORK_HINTS | WORK_IMAGE))
        make_hints(store);
    if (work & WORK_QUOTA)
        quota_reclaim_ahead(store);
    if (work & WORK_CEILING)
        report(store, "ceiling",
               log_raise_ceiling(store, atomic_load(&store->writer.last_version), &error), &error);
    if (work & WORK_RETAG)
        retag(store);
    if (work & (WORK_SEAL | WORK_IMAGE))
        write_image(store);
}

/* A writer stores the log's new end and then looks whether a sync is asked for, with no barrier in
 * between: who has seen the flag before it is cleared here may have its store still on the way, and
 * the sync would miss it. If it was the last write for long, nobody would ask again. */
static void do_sync(struct store *store)
{
    bitcask_error error;
    atomic_fetch_and(&store->work, ~(uint32_t)WORK_SYNC);
    if (UNLIKELY(!barrier_threads()))
        wait_sleep(BARRIER_INSTEAD_US);
    if (store_writable(store, NULL) == BITCASK_OK)
        report(store, "sync", log_sync_background(store, &error), &error);
}

/* What the log wants done meanwhile. */
static bool between_parts(struct store *store)
{
    uint32_t urgent = WORK_PREPARE | WORK_SEAL | WORK_CEILING | WORK_SYNC;
    uint32_t work = atomic_fetch_and(&store->work, ~urgent) & urgent;
    if (work != 0)
        do_work(store, work);
    if (work & WORK_SYNC)
        do_sync(store);
    return !atomic_load(&store->stopping);
}

static void write_image(struct store *store)
{
    bitcask_error error = {0};
    if (!store->thread_running || atomic_load(&store->index.writing) ||
        !index_image_is_due(store, false))
        return;
    bitcask_status status = index_image_write(store, between_parts, &error);
    if (status != BITCASK_CANCELLED && status != BITCASK_LIMIT)
        report(store, "index_snapshot", status, &error);
}

/* The rest of the image, bit by bit, so that later look-ups need not. */
static void fetch_some(struct store *store)
{
    if (keydir_fetch_some(store->keydir, FETCH_SHARDS) == BITCASK_OK &&
        keydir_has_absent(store->keydir))
        atomic_fetch_or(&store->work, WORK_FETCH);
}

static void ask_to_bury(void *store)
{
    background_want(store, WORK_BURY);
}

static void *run(void *context)
{
    struct store *store = context;
    struct os *os = store->os;
    uint64_t interval_us = store->options.sync_interval_ms * 1000;
    uint64_t sync_due = 0; /* boot clock; 0: nothing to sync */
    (void)processor_let_others_first();
    pthread_mutex_lock(&store->work_mutex);
    while (!store->stopping) {
        /* WORK_SYNC stays set until the sync begins, so that writers ask for it once. */
        uint32_t work = atomic_fetch_and(&store->work, WORK_SYNC);
        uint64_t now = os->clock_boot(os);
        if ((work & WORK_SYNC) && sync_due == 0)
            sync_due = now + interval_us;
        bool sync = sync_due != 0 && now >= sync_due;
        if (!sync && (work & ~(uint32_t)WORK_SYNC) == 0) {
            wait_for(&store->work_cond, &store->work_mutex,
                     sync_due != 0 ? sync_due - now : UINT64_MAX);
            continue;
        }
        pthread_mutex_unlock(&store->work_mutex);
        do_work(store, work);
        if (work & WORK_FETCH)
            fetch_some(store);
        if (sync) {
            sync_due = 0;
            do_sync(store);
        }
        epoch_poll(&store->epoch);
        segments_bury(&store->segments);
        pthread_mutex_lock(&store->work_mutex);
    }
    pthread_mutex_unlock(&store->work_mutex);
    return NULL;
}

bitcask_status background_start(struct store *store, bitcask_error *error)
{
    if (store->options.background == BITCASK_BACKGROUND_NONE || store->options.read_only)
        return BITCASK_OK;
    segments_set_digger(&store->segments, ask_to_bury, store);
    int result = wait_start_thread(&store->thread, run, store);
    if (result != 0) {
        segments_set_digger(&store->segments, NULL, NULL);
        return error_set_os(error, result, "start the background thread");
    }
    store->thread_running = true;
    return BITCASK_OK;
}

void background_stop(struct store *store)
{
    if (!store->thread_running)
        return;
    pthread_mutex_lock(&store->work_mutex);
    store->stopping = true;
    pthread_cond_broadcast(&store->work_cond);
    pthread_mutex_unlock(&store->work_mutex);
    pthread_join(store->thread, NULL);
    log_ahead_stop(store);
    store->thread_running = false;
    segments_set_digger(&store->segments, NULL, NULL);
    segments_bury(&store->segments);
}

void background_want(struct store *store, uint32_t work)
{
    if (LIKELY((atomic_load_explicit(&store->work, memory_order_relaxed) & work) == work))
        return;
    atomic_fetch_or(&store->work, work);
    if (store->options.background == BITCASK_BACKGROUND_NONE)
        return;
    pthread_mutex_lock(&store->work_mutex);
    pthread_cond_signal(&store->work_cond);
    pthread_mutex_unlock(&store->work_mutex);
}

void background_inline(struct store *store)
{
    if (atomic_load_explicit(&store->work, memory_order_relaxed) == 0)
        return;
    uint32_t work = atomic_fetch_and(&store->work, WORK_SYNC);
    do_work(store, work & ~(uint32_t)WORK_SYNC);
    if (work & WORK_SYNC) {
        uint64_t now = store->os->clock_boot(store->os);
        write_mutex_lock(&store->write_mutex);
        bool due = now - store->writer.last_sync_us >= store->options.sync_interval_ms * 1000;
        if (due)
            store->writer.last_sync_us = now;
        write_mutex_unlock(&store->write_mutex);
        if (due)
            do_sync(store);
    }
    epoch_poll(&store->epoch);
}

void background_throttle(struct store *store)
{
    pthread_mutex_lock(&store->work_mutex);
    while (atomic_load(&store->sealing_count) > BACKGROUND_WAITING_MAX && store->thread_running &&
           !store->stopping && atomic_load(&store->write_status) == 0 &&
           !atomic_load(&store->reserve_spent)) {
        atomic_fetch_or(&store->work, WORK_SEAL);
        pthread_cond_signal(&store->work_cond);
        wait_for(&store->done_cond, &store->work_mutex, 100 * 1000);
    }
    pthread_mutex_unlock(&store->work_mutex);
}
