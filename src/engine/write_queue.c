/* SPDX-License-Identifier: MIT
 * write_queue.c: see write_queue.h. */
#include "engine/write_queue.h"

#include "base/planted.h"

enum { SPINS_MAX = 200 }; /* about a microsecond: what serving a group that does not sync takes */

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

bool write_queue_push(struct store *store, struct write_request *request)
{
    atomic_store_explicit(&request->state, WRITE_WAITING, memory_order_relaxed);
    struct write_request *top = atomic_load_explicit(&store->queue, memory_order_relaxed);
    do {
        request->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&store->queue, &top, request,
                                                    memory_order_release, memory_order_relaxed));
    return top == NULL;
}

struct write_request *write_queue_take(struct store *store)
{
    struct write_request *list =
        atomic_exchange_explicit(&store->queue, NULL, memory_order_acquire);
    struct write_request *oldest_first = NULL;
    if (PLANTED(group_newest_first))
        return list;
    while (list != NULL) {
        struct write_request *next = list->next;
        list->next = oldest_first;
        oldest_first = list;
        list = next;
    }
    return oldest_first;
}

static void sleep_until_woken(struct write_request *request)
{
    request->woken = false;
    pthread_mutex_init(&request->mutex, NULL);
    pthread_cond_init(&request->cond, NULL);
    uint32_t state = WRITE_WAITING;
    if (atomic_compare_exchange_strong(&request->state, &state, WRITE_ASLEEP)) {
        pthread_mutex_lock(&request->mutex);
        while (!request->woken)
            pthread_cond_wait(&request->cond, &request->mutex);
        pthread_mutex_unlock(&request->mutex);
    }
    pthread_cond_destroy(&request->cond);
    pthread_mutex_destroy(&request->mutex);
}

void write_queue_wait(struct write_request *request)
{
    unsigned most = request->durable ? 0 : SPINS_MAX;
    for (unsigned spins = 0; spins < most; spins++) {
        if (atomic_load_explicit(&request->state, memory_order_acquire) == WRITE_DONE)
            return;
        relax();
    }
    sleep_until_woken(request);
}

bool write_queue_finish(struct write_request *request)
{
    return atomic_exchange(&request->state, WRITE_DONE) == WRITE_ASLEEP;
}

void write_queue_wake(struct write_request *request)
{
    /* Its thread goes no further than the wait before `woken`, and `mutex` is free again. */
    pthread_mutex_lock(&request->mutex);
    request->woken = true;
    pthread_cond_signal(&request->cond);
    pthread_mutex_unlock(&request->mutex);
}
