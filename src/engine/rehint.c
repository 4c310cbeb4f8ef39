/* SPDX-License-Identifier: MIT
 * rehint.c: the hints that recovery has not written. */
#include "engine/rehint.h"

#include "engine/hint_file.h"

bitcask_status rehint_segment(struct store *store, struct segment *segment, bitcask_error *error)
{
    struct hint_file hint;
    struct segment_figures unused;
    bitcask_status status =
        hint_file_build(segment, &store->secret, atomic_load(&segment->end), &hint, &unused, error);
    if (status == BITCASK_OK)
        status = hint_file_write(segment, &hint, error);
    hint_file_close(store->os, &hint);
    return status;
}

static bool lacks_hint(const struct segment *segment, uint64_t after)
{
    return segment->id > after && segment->map != NULL && atomic_load(&segment->has_hint) == 0 &&
           atomic_load(&segment->damaged) == 0 &&
           atomic_load(&segment->state) == BITCASK_SEGMENT_SEALED;
}

/* Pinned; NULL: none behind `after`. */
static struct segment *find(struct store *store, uint64_t after)
{
    struct segments *table = &store->segments;
    struct segment *found = NULL;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count && found == NULL; i++) {
        if (lacks_hint(table->by_id[i], after))
            found = table->by_id[i];
    }
    if (found != NULL)
        segment_pin(found);
    pthread_mutex_unlock(&table->mutex);
    return found;
}

/* The first behind *after, which becomes its id. One that cannot be made is left to the next
 * opening. */
static bool make_next(struct store *store, uint64_t *after)
{
    bitcask_error failure = {0};
    struct segment *segment = find(store, *after);
    if (segment == NULL)
        return false;
    *after = segment->id;
    if (rehint_segment(store, segment, &failure) == BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_INFO, "hint_rebuilt", F_UINT("segment", segment->id),
              F_TEXT("why", "recovery left it for later"));
    else
        EVENT(&store->events, BITCASK_LOG_WARN, "hint_failed", F_UINT("segment", segment->id),
              F_TEXT("error", failure.message));
    segment_unpin(segment);
    return true;
}

bool rehint_next(struct store *store)
{
    if (!atomic_load(&store->hints_missing) || !merge_gate_try_enter(store))
        return false;
    bool more = make_next(store, &store->hints_made);
    if (!more)
        atomic_store(&store->hints_missing, false);
    merge_gate_leave(store);
    return more;
}

void rehint_all(struct store *store)
{
    if (!atomic_exchange(&store->hints_missing, false) || store_writable(store, NULL) != BITCASK_OK)
        return;
    while (make_next(store, &store->hints_made))
        ;
}
