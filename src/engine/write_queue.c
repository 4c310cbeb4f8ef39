/* SPDX-License-Identifier: MIT
 * write_queue.c: see write_queue.h. */
#include "engine/write_queue.h"

#include <sched.h>

#include "base/planted.h"
#include "os/wait.h"

enum {
    GATHER_MAX_US = 1000, /* nobody waits longer for company */
    GATHER_ROUNDS_MAX = 4096,
    GATHER_PASS_MAX = 64, /* groups that go without, when there was none */
};

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
    atomic_fetch_add_explicit(&store->gather.length, 1, memory_order_relaxed);
    return top == NULL;
}

void write_queue_note(struct store *store, uint32_t requests, uint64_t us)
{
    struct write_gather *gather = &store->gather;
    gather->writers = requests + atomic_load_explicit(&gather->length, memory_order_relaxed);
    gather->sync_us = us;
}

void write_queue_gather(struct store *store)
{
    struct write_gather *gather = &store->gather;
    struct os *os = store->os;
    uint32_t here = atomic_load_explicit(&gather->length, memory_order_relaxed), now = here;
    uint64_t most_us = gather->sync_us / 2 < GATHER_MAX_US ? gather->sync_us / 2 : GATHER_MAX_US;
    if (here >= gather->writers || most_us == 0)
        return;
    if (gather->skip > 0) {
        gather->skip--;
        return;
    }
    uint64_t began = os->clock_boot(os);
    for (unsigned i = 0; i < GATHER_ROUNDS_MAX; i++) { /* should the clock stand still */
        if (now >= gather->writers || os->clock_boot(os) - began >= most_us)
            break;
        sched_yield();
        now = atomic_load_explicit(&gather->length, memory_order_relaxed);
    }
    if (now - here >= (gather->writers - here + 1) / 2)
        gather->passed = 0;
    else
        gather->passed =
            gather->passed < GATHER_PASS_MAX / 2 ? 2 * gather->passed + 1 : GATHER_PASS_MAX;
    gather->skip = gather->passed;
}

struct write_request *write_queue_take(struct store *store)
{
    struct write_request *list =
        atomic_exchange_explicit(&store->queue, NULL, memory_order_acquire);
    atomic_store_explicit(&store->gather.length, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->gather.takes, 1, memory_order_relaxed);
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

/* Which word is a matter of luck: who looks at `takes` too late sleeps on the one of those that
 * come later. The state says which, so it is woken all the same, and they for nothing. */
static void sleep_until_served(struct store *store, struct write_request *request)
{
    struct write_gather *gather = &store->gather;
    unsigned which = atomic_load_explicit(&gather->takes, memory_order_relaxed) % 2;
    uint32_t state = WRITE_WAITING, before = atomic_load(&gather->served[which]);
    if (!atomic_compare_exchange_strong(&request->state, &state, WRITE_ASLEEP + which))
        return;
    while (atomic_load(&request->state) != WRITE_DONE) {
        wait_while(&gather->served[which], before);
        before = atomic_load(&gather->served[which]);
    }
}

void write_queue_wait(struct store *store, struct write_request *request)
{
    unsigned most = request->durable ? 0 : SPINS_MAX;
    for (unsigned spins = 0; spins < most; spins++) {
        if (atomic_load_explicit(&request->state, memory_order_acquire) == WRITE_DONE)
            return;
        relax();
    }
    sleep_until_served(store, request);
}

unsigned write_queue_finish(struct write_request *request)
{
    uint32_t state = atomic_exchange(&request->state, WRITE_DONE);
    return state == WRITE_WAITING ? 0 : 1u << (state - WRITE_ASLEEP);
}

void write_queue_wake(struct store *store, unsigned words)
{
    for (unsigned i = 0; i < 2; i++) {
        if ((words & 1u << i) == 0)
            continue;
        atomic_fetch_add(&store->gather.served[i], 1); /* behind all that is DONE */
        wait_wake(&store->gather.served[i]);
    }
}
