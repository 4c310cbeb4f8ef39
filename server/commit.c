/* SPDX-License-Identifier: MIT
 * commit.c: in `always` mode, one sync for the writes of all loops that wait for one.
 *
 * Rounds are numbered. Who comes while no leader gathers opens a round and leads it; who comes
 * while one gathers joins it; who comes while the sync of a round runs waits for its end and then
 * is in the next round, for a sync that has begun already says nothing of writes after its
 * beginning. One mutex guards everything. */
#include "commit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "server.h"

enum {
    PATIENCE_SHARE = 4,     /* of the duration of a sync, as a divisor */
    PATIENCE_MAX_US = 1000, /* however slow the disk is */
    DURATION_WEIGHT = 8,    /* of the past in the average */
};

struct commit {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* someone has joined, or a round has ended */
    bool gathering;         /* a leader waits for others */
    bool syncing;
    uint64_t round;           /* the one that is gathered or synced, or was last */
    unsigned joined;          /* in this round */
    unsigned joined_before;   /* in the last one */
    uint64_t failed_round;    /* the last whose sync failed, counted from 1; 0: none has */
    bitcask_error error;      /* its error */
    _Atomic uint64_t sync_us; /* average */
};

struct commit *commit_new(void)
{
    struct commit *commit = calloc(1, sizeof *commit);
    pthread_condattr_t attributes;
    if (commit == NULL)
        return NULL;
    pthread_mutex_init(&commit->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&commit->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return commit;
}

void commit_free(struct commit *commit)
{
    if (commit == NULL)
        return;
    pthread_cond_destroy(&commit->changed);
    pthread_mutex_destroy(&commit->mutex);
    free(commit);
}

uint64_t commit_patience_us(const struct commit *commit)
{
    uint64_t share = atomic_load_explicit(&commit->sync_us, memory_order_relaxed) / PATIENCE_SHARE;
    return share < PATIENCE_MAX_US ? share : PATIENCE_MAX_US;
}

/* As many as shared the last sync, or until patience ends. */
static void gather(struct commit *commit)
{
    uint64_t until_us = server_monotonic_us() + commit_patience_us(commit);
    const struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                                   .tv_nsec = (long)(until_us % 1000000) * 1000};
    commit->gathering = true;
    while (commit->joined < commit->joined_before &&
           pthread_cond_timedwait(&commit->changed, &commit->mutex, &until) == 0)
        continue;
    commit->gathering = false;
}

/* Lead this round; with the mutex, which is given up for the sync. */
static void lead(struct commit *commit, bitcask *store)
{
    bitcask_error error = {0};
    gather(commit);
    commit->syncing = true;
    pthread_mutex_unlock(&commit->mutex);
    uint64_t began_us = server_monotonic_us();
    bitcask_status status = bitcask_sync_now(store, &error);
    uint64_t took_us = server_monotonic_us() - began_us;
    pthread_mutex_lock(&commit->mutex);
    uint64_t average = atomic_load_explicit(&commit->sync_us, memory_order_relaxed);
    atomic_store_explicit(&commit->sync_us,
                          (average * (DURATION_WEIGHT - 1) + took_us) / DURATION_WEIGHT,
                          memory_order_relaxed);
    commit->round++;
    if (status != BITCASK_OK) {
        commit->failed_round = commit->round;
        commit->error = error;
    }
    commit->joined_before = commit->joined;
    commit->joined = 0;
    commit->syncing = false;
    pthread_cond_broadcast(&commit->changed);
}

bitcask_status commit_wait(struct server *server, bitcask_error *error)
{
    struct commit *commit = server->commit;
    pthread_mutex_lock(&commit->mutex);
    while (commit->syncing)
        pthread_cond_wait(&commit->changed, &commit->mutex);
    uint64_t round = commit->round;
    commit->joined++;
    if (!commit->gathering) {
        lead(commit, server->store);
    } else {
        pthread_cond_broadcast(&commit->changed);
        while (commit->round == round)
            pthread_cond_wait(&commit->changed, &commit->mutex);
    }
    /* More rounds may have ended since: one that failed counts for those before it too, which is
     * an error too many at worst. */
    bitcask_status status = BITCASK_OK;
    if (commit->failed_round > round) {
        *error = commit->error;
        status = error->status;
    }
    pthread_mutex_unlock(&commit->mutex);
    return status;
}
