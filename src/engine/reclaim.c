/* SPDX-License-Identifier: MIT
 * reclaim.c: letting go of whole segments without reading them. */
#include "engine/reclaim.h"

#include "base/check.h"
#include "base/planted.h"
#include "engine/merge_look.h"
#include "engine/reap_clock.h"

/* ---- One segment --------------------------------------------------------------------------- */

static void add_tally(struct merge_tally *sum, const struct merge_tally *tally)
{
    sum->outputs += tally->outputs;
    sum->input_bytes += tally->input_bytes;
    sum->output_bytes += tally->output_bytes;
    sum->records_copied += tally->records_copied;
    sum->records_dropped += tally->records_dropped;
    sum->tombstones_kept += tally->tombstones_kept;
    sum->tombstones_dropped += tally->tombstones_dropped;
    sum->records_buried += tally->records_buried;
    sum->buried_bytes += tally->buried_bytes;
}

/* Run a job with segment `id` as its only input. NOT_FOUND: it is no longer one that can be. One at
 * a time, so that no order among inputs matters if MANIFEST is lost while some are unlinked. */
static bitcask_status bury_one(struct store *store, uint64_t id, enum merge_bury bury,
                               struct merge_tally *tally, bitcask_error *error)
{
    struct merge_look look;
    bitcask_status status = keydir_fetch_all(store->keydir, error);
    if (status != BITCASK_OK)
        return status;
    status = merge_look_begin(&look, store, error);
    struct segment *input = NULL;
    for (size_t i = 0; status == BITCASK_OK && i < look.count; i++) {
        if (look.all[i]->id == id && merge_look_can_be_input(look.all[i]))
            input = look.all[i];
    }
    if (status == BITCASK_OK && input == NULL)
        status = BITCASK_NOT_FOUND;
    if (status == BITCASK_OK) {
        merge_judge_add_input(&look.judge, id);
        struct merge_job job = {
            .store = store,
            .judge = &look.judge,
            .inputs = &input,
            .input_count = 1,
            .bury = bury,
        };
        status = merge_job_run(&job, error);
        if (status == BITCASK_OK)
            *tally = job.tally;
        else if (status == BITCASK_CORRUPT && job.damaged != NULL)
            status = BITCASK_NOT_FOUND; /* it is marked now */
    }
    merge_look_end(&look);
    return status;
}

/* ---- Expired segments ---------------------------------------------------------------------- */

/* Holding the table's mutex, which guards figures. */
static bool has_expired(const struct segment *segment, uint64_t before_us)
{
    const struct segment_figures *figures = &segment->figures;
    return merge_look_can_be_input(segment) && figures->expiring > 0 &&
           figures->expiring + figures->tombstones == figures->records &&
           (figures->expires_max <= before_us || PLANTED(buried_early));
}

/* The expired segment with the oldest versions; 0 if there is none. Oldest first: then no other
 * reaches below it, and none of its keys needs a tombstone. */
static uint64_t oldest_expired(struct store *store, uint64_t before_us)
{
    struct segments *table = &store->segments;
    const struct segment *oldest = NULL;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count && before_us > 0; i++) {
        const struct segment *segment = table->by_id[i];
        if (has_expired(segment, before_us) &&
            (oldest == NULL || segment->figures.version_min < oldest->figures.version_min))
            oldest = segment;
    }
    uint64_t id = oldest == NULL ? 0 : oldest->id;
    pthread_mutex_unlock(&table->mutex);
    return id;
}

bitcask_status reclaim_expired(struct store *store, struct merge_tally *sum, size_t *inputs,
                               bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    uint64_t id, before = 0;
    while (status == BITCASK_OK && (id = oldest_expired(store, reap_clock_expired(store))) != 0 &&
           id != before) {
        struct merge_tally tally;
        before = id;
        status = bury_one(store, id, MERGE_BURY_EXPIRED, &tally, error);
        if (status == BITCASK_NOT_FOUND) {
            status = BITCASK_OK;
            continue;
        }
        if (status != BITCASK_OK)
            break;
        atomic_fetch_add(&store->counters.expired_segments_dropped, 1);
        EVENT(&store->events, BITCASK_LOG_INFO, "expired", F_UINT("segment", id),
              F_UINT("records", tally.records_buried), F_UINT("bytes", tally.input_bytes));
        *inputs += 1;
        if (sum != NULL)
            add_tally(sum, &tally);
    }
    return status;
}

bitcask_status reclaim_expired_soon(struct store *store, bitcask_error *error)
{
    size_t inputs = 0;
    if (oldest_expired(store, reap_clock_expired(store)) == 0 || !merge_gate_try_enter(store))
        return BITCASK_OK;
    bitcask_status status = reclaim_expired(store, NULL, &inputs, error);
    merge_gate_leave(store);
    return status;
}

/* ---- Eviction ------------------------------------------------------------------------------ */

/* The segment whose keys go next; 0 if there is none. */
static uint64_t choose_victim(struct store *store)
{
    struct segments *table = &store->segments;
    bool expiring = store->options.eviction == BITCASK_EVICT_EXPIRING;
    uint64_t id = 0, lowest = UINT64_MAX;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count; i++) {
        const struct segment *segment = table->by_id[i];
        uint64_t rank = expiring ? segment->figures.expires_max : segment->figures.version_min;
        rank = PLANTED(newest_evicted) ? UINT64_MAX - rank : rank;
        if (rank != 0 && rank < lowest && merge_look_can_be_input(segment) &&
            atomic_load(&segment->live_records) > 0) {
            lowest = rank;
            id = segment->id;
        }
    }
    pthread_mutex_unlock(&table->mutex);
    return id;
}

bitcask_status reclaim_evict(struct store *store, bitcask_error *error)
{
    bool expiring = store->options.eviction == BITCASK_EVICT_EXPIRING;
    CHECK(store->options.eviction != BITCASK_EVICT_NONE);
    uint64_t id;
    while ((id = choose_victim(store)) != 0) {
        struct merge_tally tally;
        bitcask_status status =
            bury_one(store, id, expiring ? MERGE_BURY_EXPIRING : MERGE_BURY_ALL, &tally, error);
        if (status == BITCASK_NOT_FOUND || (status == BITCASK_OK && tally.records_buried == 0))
            continue; /* damaged, or nothing of it was alive any more: it is no candidate now */
        if (status != BITCASK_OK)
            return status;
        atomic_fetch_add(&store->counters.evicted_keys, tally.records_buried);
        atomic_fetch_add(&store->counters.evicted_bytes, tally.buried_bytes);
        EVENT(&store->events, BITCASK_LOG_INFO, "evicted", F_UINT("segment", id),
              F_UINT("keys", tally.records_buried), F_UINT("bytes", tally.buried_bytes));
        return BITCASK_OK;
    }
    return BITCASK_NOT_FOUND;
}
