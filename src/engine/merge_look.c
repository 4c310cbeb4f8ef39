/* SPDX-License-Identifier: MIT
 * merge_look.c: the store as one merge job sees it. */
#include "engine/merge_look.h"

#include "base/planted.h"

/* M9. Take write_mutex and prepare_mutex. Who prepares the next segment holds prepare_mutex while
 * it syncs files, so to wait for that with write_mutex in hand would hold every writer back as
 * long: wait for it alone, and try again. */
static void lock_writers(struct store *store)
{
    for (;;) {
        write_mutex_lock(&store->write_mutex);
        if (pthread_mutex_trylock(&store->prepare_mutex) == 0)
            return;
        write_mutex_unlock(&store->write_mutex);
        pthread_mutex_lock(&store->prepare_mutex);
        pthread_mutex_unlock(&store->prepare_mutex);
    }
}

/* Holding write_mutex, so that every record of a sealed segment is published (M1), and none is
 * between its append and the figures that the judge relies on; seal_mutex, so that the sealer has
 * done with every segment that is SEALED; and prepare_mutex, so that every file made is named. */
bitcask_status merge_look_begin(struct merge_look *look, struct store *store, bitcask_error *error)
{
    *look = (struct merge_look){.store = store};
    pthread_mutex_lock(&store->seal_mutex);
    lock_writers(store);
    pthread_mutex_lock(&store->segments.mutex);
    look->next_id = store->segments.next_id;
    pthread_mutex_unlock(&store->segments.mutex);
    look->all = segments_pin_all(&store->segments, &look->count);
    bitcask_status status =
        look->all == NULL ? error_set(error, BITCASK_NO_MEMORY, "out of memory for a merge")
                          : merge_judge_init(&look->judge, store, look->all, look->count, error);
    pthread_mutex_unlock(&store->prepare_mutex);
    write_mutex_unlock(&store->write_mutex);
    pthread_mutex_unlock(&store->seal_mutex);
    if (status == BITCASK_OK)
        status = merge_judge_find_strays(&look->judge, look->next_id, error);
    return status;
}

void merge_look_end(struct merge_look *look)
{
    merge_judge_release(&look->judge);
    segments_unpin_all(look->all, look->count);
    segments_settle(&look->store->segments); /* the next job, and the next put, need the space */
    *look = (struct merge_look){0};
}

bool merge_look_can_be_input(const struct segment *segment)
{
    return (atomic_load(&segment->state) == BITCASK_SEGMENT_SEALED || PLANTED(merges_unsealed)) &&
           atomic_load(&segment->damaged) == 0 && segment->map != NULL;
}

uint64_t merge_look_size(const struct segment *segment)
{
    uint64_t end = atomic_load(&segment->end);
    return end > SEGMENT_HEADER_SIZE ? end - SEGMENT_HEADER_SIZE : 0;
}
