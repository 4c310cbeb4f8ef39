/* SPDX-License-Identifier: MIT
 * snapshot.c: taking snapshots, and what becomes of their undo entries. Invariants X6 and X7. */
#include "engine/snapshot.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/store.h"

enum { DROP_BATCH = 256 }; /* entries that are dealt with under one hold of the mutex */

/* Tell the writer which entries are wanted, now that a snapshot has come or begun to go. */
static void note_newest(struct undo *undo)
{
    const struct bitcask_snapshot *newest = snapshot_live(undo->newest_snapshot);
    atomic_store_explicit(&undo->newest, newest != NULL ? newest->version : 0,
                          memory_order_relaxed);
}

void snapshot_take(struct store *store, struct bitcask_snapshot *snapshot)
{
    struct undo *undo = &store->undo;
    struct os *os = store->os;
    write_mutex_lock(&store->write_mutex);
    *snapshot = (struct bitcask_snapshot){
        .store = store,
        .version = atomic_load_explicit(&store->writer.last_version, memory_order_relaxed),
        .clock_us = os->clock_coarse(os),
        .taken_us = os->clock_boot(os),
        .holders = 1,
    };
    pthread_mutex_lock(&undo->mutex);
    if (snapshot->clock_us < undo->reaping)
        snapshot->clock_us = undo->reaping;
    snapshot->older = undo->newest_snapshot;
    if (snapshot->older != NULL)
        snapshot->older->newer = snapshot;
    undo->newest_snapshot = snapshot;
    undo->snapshots++;
    note_newest(undo);
    pthread_mutex_unlock(&undo->mutex);
    write_mutex_unlock(&store->write_mutex);
}

/* Hand some entries down to older snapshots that need them; the others go. Mutex held. */
static void hand_down(struct undo *undo, struct bitcask_snapshot *snapshot,
                      struct undo_entry **gone)
{
    struct bitcask_snapshot *heir = snapshot_live(snapshot->older);
    for (unsigned i = 0; i < DROP_BATCH && snapshot->entries != NULL; i++) {
        struct undo_entry *entry = snapshot->entries;
        snapshot->entries = entry->sibling;
        if (heir != NULL && !PLANTED(not_handed_down) && entry->version <= heir->version)
            snapshot_own(heir, entry);
        else
            undo_unlink(undo, entry, gone);
    }
}

static void unchain(struct undo *undo, struct bitcask_snapshot *snapshot)
{
    if (snapshot->newer != NULL)
        snapshot->newer->older = snapshot->older;
    else
        undo->newest_snapshot = snapshot->older;
    if (snapshot->older != NULL)
        snapshot->older->newer = snapshot->newer;
}

void snapshot_drop(struct bitcask_snapshot *snapshot)
{
    struct undo *undo = &snapshot->store->undo;
    pthread_mutex_lock(&undo->mutex);
    snapshot->dying = true;
    undo->snapshots--;
    note_newest(undo);
    while (snapshot->entries != NULL) {
        struct undo_entry *gone = NULL;
        hand_down(undo, snapshot, &gone);
        pthread_mutex_unlock(&undo->mutex); /* a writer may be waiting */
        undo_let_go(undo, gone);
        pthread_mutex_lock(&undo->mutex);
    }
    unchain(undo, snapshot);
    pthread_mutex_unlock(&undo->mutex);
    epoch_poll(undo->epoch);
}

bitcask_status snapshot_new(struct store *store, struct bitcask_snapshot **out,
                            bitcask_error *error)
{
    struct bitcask_snapshot *snapshot = malloc(sizeof *snapshot);
    if (snapshot == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a snapshot");
    snapshot_take(store, snapshot);
    *out = snapshot;
    return BITCASK_OK;
}

struct bitcask_snapshot *snapshot_hold(struct bitcask_snapshot *snapshot)
{
    if (snapshot != NULL)
        atomic_fetch_add_explicit(&snapshot->holders, 1, memory_order_relaxed);
    return snapshot;
}

/* In a forked child the store's locks may be held for ever by threads that it does not have. */
static bool is_inherited(const struct store *store)
{
    return store->fork_guard != NULL && *store->fork_guard == 0;
}

void snapshot_free(struct bitcask_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&snapshot->holders, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1)
        return;
    bool abandoned = atomic_load(&snapshot->abandoned);
    if (!abandoned && is_inherited(snapshot->store))
        return;
    if (!abandoned)
        snapshot_drop(snapshot);
    free(snapshot);
}

void snapshots_abandon(struct undo *undo)
{
    for (struct bitcask_snapshot *at = undo->newest_snapshot; at != NULL; at = at->older)
        atomic_store(&at->abandoned, true);
}

/* Holding the mutex. */
static uint64_t seen_as_expired(const struct undo *undo, uint64_t before)
{
    for (struct bitcask_snapshot *at = snapshot_live(undo->newest_snapshot); at != NULL;
         at = snapshot_live(at->older)) {
        if (at->clock_us < before)
            before = at->clock_us;
    }
    return before;
}

uint64_t snapshots_reap_before(struct undo *undo, uint64_t before)
{
    pthread_mutex_lock(&undo->mutex);
    before = seen_as_expired(undo, before);
    pthread_mutex_unlock(&undo->mutex);
    return before;
}

uint64_t snapshots_reap_begin(struct undo *undo, uint64_t before)
{
    pthread_mutex_lock(&undo->mutex);
    undo->reaping = before = seen_as_expired(undo, before);
    pthread_mutex_unlock(&undo->mutex);
    return before;
}

void snapshots_reap_end(struct undo *undo)
{
    pthread_mutex_lock(&undo->mutex);
    undo->reaping = 0;
    pthread_mutex_unlock(&undo->mutex);
}

struct snapshots_figures snapshots_look(struct store *store)
{
    struct undo *undo = &store->undo;
    struct snapshots_figures figures = {0};
    uint64_t oldest = UINT64_MAX, now = store->os->clock_boot(store->os);
    pthread_mutex_lock(&undo->mutex);
    for (struct bitcask_snapshot *at = snapshot_live(undo->newest_snapshot); at != NULL;
         at = snapshot_live(at->older))
        oldest = at->taken_us;
    figures.count = undo->snapshots;
    pthread_mutex_unlock(&undo->mutex);
    figures.oldest_us = oldest < now ? now - oldest : 0;
    return figures;
}
