/* SPDX-License-Identifier: MIT
 * view_pins.c: the end of a segment's views; taking and releasing them is inline in view_pins.h. */
#include "engine/view_pins.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"

static struct view_counts no_counts;

void view_pins_init(struct view_pins *pins)
{
    CHECK(pthread_mutex_init(&pins->mutex, NULL) == 0);
    for (unsigned line = 0; line < VIEW_LINES; line++)
        atomic_init(&pins->lines[line], &no_counts);
}

static void free_counts(struct view_counts *counts)
{
    if (counts != &no_counts)
        free(counts);
}

void view_pins_release(struct view_pins *pins)
{
    for (unsigned line = 0; line < VIEW_LINES; line++)
        free_counts(atomic_exchange(&pins->lines[line], &no_counts));
    pthread_mutex_destroy(&pins->mutex);
}

/* Let a line have a count for `slot`. Who looks at its counts is this thread or holds the mutex, so
 * the smaller ones may be freed. Mutex held. */
static bool grow(struct view_pins *pins, unsigned line, uint32_t slot)
{
    struct view_counts *before = atomic_load(&pins->lines[line]);
    uint32_t slots = 60; /* four cache lines, with the head */
    while (slots <= slot)
        slots = slots * 2 + 4;
    if (slot < before->slots)
        return true;
    struct view_counts *counts = malloc(sizeof *counts + slots * sizeof counts->of[0]);
    if (counts == NULL)
        return false;
    counts->slots = slots;
    for (uint32_t i = 0; i < slots; i++)
        atomic_init(&counts->of[i], i < before->slots ? atomic_load(&before->of[i]) : 0);
    atomic_store(&pins->lines[line], counts);
    free_counts(before);
    return true;
}

_Atomic uint32_t *view_count_make(struct view_pins *pins, unsigned line, uint32_t slot)
{
    pthread_mutex_lock(&pins->mutex); /* the shared one too: releasing must not fail */
    bool made = grow(pins, VIEW_SHARED, slot) && grow(pins, line, slot);
    pthread_mutex_unlock(&pins->mutex);
    return made ? view_count(pins, line, slot) : NULL;
}

void view_pins_drop_shared(struct view_pins *pins, uint32_t slot)
{
    pthread_mutex_lock(&pins->mutex);
    _Atomic uint32_t *count = view_count(pins, VIEW_SHARED, slot);
    CHECK(count != NULL); /* made before the first was taken */
    atomic_store(count, atomic_load(count) - 1);
    pthread_mutex_unlock(&pins->mutex);
}

/* Views of a slot, modulo 2^32. Only behind the grace period is it more than a guess. Mutex held.
 */
static uint32_t sum_of(const struct view_pins *pins, uint32_t slot)
{
    uint32_t sum = 0;
    for (unsigned line = 0; line < VIEW_LINES; line++) {
        const _Atomic uint32_t *count = view_count(pins, line, slot);
        if (count != NULL)
            sum += atomic_load(count);
    }
    return sum;
}

/* Mutex held. */
static bool is_over(struct view_pins *pins, uint32_t slot)
{
    if (atomic_load(&pins->ends[slot]) != VIEW_DRAINING)
        return false;
    if (sum_of(pins, slot) != 0 && !PLANTED(views_unmeasured))
        return false;
    atomic_store(&pins->ends[slot], VIEW_STAYS); /* it is told once */
    return true;
}

bool view_pins_is_over(struct view_pins *pins, uint32_t slot)
{
    if (atomic_load(&pins->ends[slot]) == VIEW_STAYS)
        return false;
    pthread_mutex_lock(&pins->mutex);
    bool over = is_over(pins, slot) && !PLANTED(last_view_unnoticed);
    pthread_mutex_unlock(&pins->mutex);
    return over;
}

void view_pins_leave(struct view_pins *pins, uint32_t slot)
{
    CHECK(atomic_load(&pins->ends[slot]) == VIEW_STAYS);
    atomic_store(&pins->ends[slot], PLANTED(views_measured_early) ? VIEW_DRAINING : VIEW_LEAVING);
}

bool view_pins_drain(struct view_pins *pins, uint32_t slot)
{
    pthread_mutex_lock(&pins->mutex);
    CHECK(atomic_load(&pins->ends[slot]) == VIEW_LEAVING || PLANTED(views_measured_early));
    atomic_store(&pins->ends[slot], VIEW_DRAINING);
    bool over = is_over(pins, slot);
    pthread_mutex_unlock(&pins->mutex);
    return over;
}
