/* SPDX-License-Identifier: MIT
 * gate.c: nobody else executes while a transaction does.
 *
 * Who wants to be alone holds the turnstile from before it takes the first slot until it has given
 * back the last, and those who come meanwhile wait at the turnstile before they take their slot:
 * so a thread that enters and leaves without a pause cannot keep it waiting for ever. Lock order:
 * turnstile, then slots from the lowest; a slot's owner holds nothing while it waits at the
 * turnstile. */
#include "gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CACHE_LINE = 64 };

struct gate_slot {
    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
};

struct gate {
    unsigned slot_count;
    atomic_uint wanting; /* threads that are alone, or wait to be */
    pthread_mutex_t turnstile;
    struct gate_slot *slots;
};

struct gate *gate_new(unsigned slots)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return NULL;
    gate->slots = aligned_alloc(CACHE_LINE, slots * sizeof *gate->slots);
    if (gate->slots == NULL) {
        free(gate);
        return NULL;
    }
    gate->slot_count = slots;
    pthread_mutex_init(&gate->turnstile, NULL);
    for (unsigned i = 0; i < slots; i++)
        pthread_mutex_init(&gate->slots[i].mutex, NULL);
    return gate;
}

void gate_free(struct gate *gate)
{
    if (gate == NULL)
        return;
    for (unsigned i = 0; i < gate->slot_count; i++)
        pthread_mutex_destroy(&gate->slots[i].mutex);
    pthread_mutex_destroy(&gate->turnstile);
    free(gate->slots);
    free(gate);
}

void gate_enter(struct gate *gate, unsigned slot)
{
    if (atomic_load_explicit(&gate->wanting, memory_order_relaxed) != 0) {
        pthread_mutex_lock(&gate->turnstile);
        pthread_mutex_unlock(&gate->turnstile);
    }
    pthread_mutex_lock(&gate->slots[slot].mutex);
}

void gate_leave(struct gate *gate, unsigned slot)
{
    pthread_mutex_unlock(&gate->slots[slot].mutex);
}

void gate_become_alone(struct gate *gate, unsigned slot)
{
    gate_leave(gate, slot);
    atomic_fetch_add_explicit(&gate->wanting, 1, memory_order_relaxed);
    pthread_mutex_lock(&gate->turnstile);
    for (unsigned i = 0; i < gate->slot_count; i++)
        pthread_mutex_lock(&gate->slots[i].mutex);
}

void gate_end_alone(struct gate *gate, unsigned slot)
{
    /* Its own slot it keeps. */
    for (unsigned i = gate->slot_count; i-- > 0;)
        if (i != slot)
            pthread_mutex_unlock(&gate->slots[i].mutex);
    atomic_fetch_sub_explicit(&gate->wanting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&gate->turnstile);
}
