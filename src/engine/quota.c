/* SPDX-License-Identifier: MIT
 * quota.c: limits to disk space and index, and making room below them. */
#include "engine/quota.h"

#include "base/planted.h"
#include "engine/background.h"
#include "engine/log_writer.h"
#include "engine/merge.h"
#include "engine/merge_policy.h"
#include "engine/merge_schedule.h"
#include "engine/reclaim.h"
#include "engine/reserve.h"
#include "engine/seal.h"

/* Shares of dead bytes from which on a merge pays anyway, and is worth it to a put that would be
 * refused else. */
static const double PAYS = 0.4, WORTH_IT = 0.05;

enum {
    /* What a store takes even when it is empty: the reserve, an active segment, the next one. */
    FIXED_BYTES = RESERVE_MIN + 2 * (64 << 10),
    ROOMY = 10, /* from (ROOMY - 1) / ROOMY of put_limit on, room is made ahead */
};

void quota_init(struct store *store)
{
    struct store_options *options = &store->options;
    uint64_t eighth = options->max_disk_bytes / 8 / OS_PAGE * OS_PAGE;
    store->quota.stale = true;
    if (options->max_disk_bytes == 0)
        return;
    if (options->segment_size > eighth)
        options->segment_size = eighth;
    store->quota.put_limit = options->max_disk_bytes - options->segment_size;
}

/* ---- Counting ------------------------------------------------------------------------------ */

static uint64_t pages(uint64_t bytes)
{
    return (bytes + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
}

/* Whose file is missing has nothing to be read, nor has one that is just being made. */
static uint64_t charge_of(const struct segment *segment)
{
    uint64_t data = atomic_load_explicit(&segment->readable, memory_order_relaxed);
    if (data > 0 && segment->kind == SEGMENT_LOG)
        data += RECORD_HEADER_SIZE + META_SEAL_FIXED; /* behind what may be read, some day */
    return pages(data) + pages(atomic_load_explicit(&segment->hint_bytes, memory_order_relaxed));
}

uint64_t quota_used(struct store *store)
{
    struct segments *table = &store->segments;
    uint64_t used = atomic_load(&store->reserve_bytes);
    size_t seen = 0;
    pthread_mutex_lock(&table->mutex);
    /* By slot, not by id: outputs of a merge that goes on are there too. */
    for (uint32_t slot = 1; slot <= BITCASK_MAX_SEGMENTS && seen < table->slots_taken; slot++) {
        const struct segment *segment = segments_at(table, slot);
        if (segment == NULL)
            continue;
        seen++;
        if (atomic_load(&segment->retired) == 0)
            used += charge_of(segment);
    }
    pthread_mutex_unlock(&table->mutex);
    return used;
}

uint64_t quota_room(struct store *store)
{
    uint64_t max = store->options.max_disk_bytes;
    if (max == 0)
        return UINT64_MAX;
    uint64_t used = quota_used(store);
    return used < max ? max - used : 0;
}

bool quota_is_scarce(struct store *store)
{
    uint64_t limit = store->quota.put_limit;
    return limit != 0 && (double)quota_used(store) > (1 - MERGE_SCARCE_FREE_SHARE) * (double)limit;
}

/* ---- Admission ----------------------------------------------------------------------------- */

static bitcask_status refuse(struct store *store, uint64_t size, uint64_t used,
                             bitcask_error *error)
{
    const struct quota *quota = &store->quota;
    unsigned long long max = store->options.max_disk_bytes, limit = quota->put_limit;
    if (size > quota->put_limit || FIXED_BYTES > quota->put_limit - size)
        return error_set(error, BITCASK_LIMIT,
                         "%llu bytes do not fit into a store of max-disk-bytes %llu",
                         (unsigned long long)size, max);
    store->quota.exceeded = QUOTA_DISK;
    return error_set(error, BITCASK_LIMIT,
                     "the store takes %llu bytes, and puts stop at %llu (max-disk-bytes %llu, less "
                     "a segment for merges): delete something, or raise the limit",
                     (unsigned long long)used, limit, max);
}

bitcask_status quota_admit(struct store *store, uint64_t size, uint64_t growth,
                           bitcask_error *error)
{
    struct quota *quota = &store->quota;
    if (LIKELY(quota->put_limit == 0) || PLANTED(limit_unheeded))
        return BITCASK_OK;
    const struct segment *active =
        atomic_load_explicit(&store->writer.active, memory_order_relaxed);
    uint64_t hint =
        active == NULL ? 0 : atomic_load_explicit(&active->hint_bytes, memory_order_relaxed);
    if (growth == 0 && !quota->stale && hint - quota->hint_counted <= quota->left)
        return BITCASK_OK;
    uint64_t used = quota_used(store), limit = quota->put_limit;
    if (used > limit / ROOMY * (ROOMY - 1) &&
        store->options.background == BITCASK_BACKGROUND_THREAD)
        background_want(store, WORK_QUOTA);
    quota->stale = growth > 0; /* it is about to be taken */
    quota->hint_counted = hint;
    quota->left = used < limit ? limit - used : 0;
    if (used <= limit && growth <= limit - used && size <= limit)
        return BITCASK_OK;
    quota->stale = true;
    return refuse(store, size, used, error);
}

uint64_t quota_clamp(struct store *store, uint64_t allocated, uint64_t want, uint64_t goal)
{
    struct quota *quota = &store->quota;
    if (LIKELY(quota->put_limit == 0))
        return goal;
    uint64_t used = quota_used(store);
    uint64_t room = used < quota->put_limit ? quota->put_limit - used : 0;
    quota->stale = true;
    if (goal > allocated + room)
        goal = (allocated + room) / OS_PAGE * OS_PAGE;
    want = pages(want);
    return goal < want ? want : goal;
}

/* ---- Making room --------------------------------------------------------------------------- */

/* What a merge could gain from, as one number: while it is the same a merge that was in vain would
 * be so again. */
static uint64_t wasted(struct store *store)
{
    struct segments *table = &store->segments;
    uint64_t sum = 1;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count; i++) {
        if (atomic_load(&table->by_id[i]->state) == BITCASK_SEGMENT_SEALED)
            sum += segment_dead_bytes(table->by_id[i]) + table->by_id[i]->id;
    }
    pthread_mutex_unlock(&table->mutex);
    return sum;
}

static bool drop_expired(struct store *store)
{
    size_t inputs = 0;
    merge_gate_enter_quietly(store);
    bitcask_status status = reclaim_expired(store, NULL, &inputs, NULL);
    merge_gate_leave(store);
    return status == BITCASK_OK && inputs > 0;
}

/* One job. True if the store has become smaller, or may have: somebody else was at it. */
static bool merge(struct store *store, double min_dead)
{
    bitcask_error error;
    uint64_t before = quota_used(store);
    if (wasted(store) == store->quota.futile)
        return false;
    if (merge_relieve(store, min_dead, &error) == BITCASK_BUSY) { /* somebody is at it: wait */
        merge_gate_enter_quietly(store);
        merge_gate_leave(store);
    }
    return quota_used(store) < before;
}

static bool evict(struct store *store)
{
    bitcask_error error;
    if (store->options.eviction == BITCASK_EVICT_NONE)
        return false;
    merge_gate_enter_quietly(store);
    bitcask_status status = reclaim_evict(store, &error);
    merge_gate_leave(store);
    return status == BITCASK_OK;
}

/* Could a merge or an eviction do something with the active segment, were it sealed? Else a store
 * that is full for good would get a segment with each put that it refuses. Holding write_mutex. */
static bool is_worth_closing(const struct store *store, const struct segment *active)
{
    double dead = (double)segment_dead_bytes(active), all = (double)atomic_load(&active->end);
    if (atomic_load(&active->records) == 0)
        return false;
    switch (store->options.eviction) {
    case BITCASK_EVICT_OLDEST:
        return atomic_load(&active->live_records) > 0 || dead > PAYS * all;
    case BITCASK_EVICT_EXPIRING:
        return store->writer.figures.expiring > 0 || dead > PAYS * all;
    case BITCASK_EVICT_NONE:
        break;
    }
    return dead > PAYS * all;
}

static bool close_active(struct store *store)
{
    bitcask_error error;
    write_mutex_lock(&store->write_mutex);
    const struct segment *active = atomic_load(&store->writer.active);
    bitcask_status status =
        active != NULL && is_worth_closing(store, active) ? log_rotate(store, &error) : BITCASK_END;
    write_mutex_unlock(&store->write_mutex);
    return status == BITCASK_OK && seal_waiting(store, &error) == BITCASK_OK;
}

/* What a look at the sealed segments can do; true if it is worth trying again. */
static bool reclaim_sealed(struct store *store, enum quota_kind kind)
{
    bool disk = kind == QUOTA_DISK;
    if ((disk && merge(store, PAYS)) || evict(store) || (disk && merge(store, WORTH_IT)))
        return true;
    if (disk)
        store->quota.futile = wasted(store);
    return false;
}

static bool reclaim(struct store *store, enum quota_kind kind)
{
    return drop_expired(store) || reclaim_sealed(store, kind) ||
           (close_active(store) && reclaim_sealed(store, kind));
}

bool quota_make_room(struct store *store, enum quota_kind kind, uint64_t rounds)
{
    struct quota *quota = &store->quota;
    pthread_mutex_lock(&quota->mutex);
    bool made = atomic_load(&quota->rounds) != rounds; /* by somebody else, meanwhile */
    if (!made && store_writable(store, NULL) == BITCASK_OK && reclaim(store, kind)) {
        atomic_fetch_add(&quota->rounds, 1);
        atomic_store(&quota->told, false);
        made = true;
    }
    pthread_mutex_unlock(&quota->mutex);
    return made;
}

/* ---- Ahead --------------------------------------------------------------------------------- */

static bool is_roomy(struct store *store)
{
    return quota_used(store) <= store->quota.put_limit / ROOMY * (ROOMY - 1);
}

/* A quarter of it is waste: a merge helps, and evicting what lives would be a pity. */
static bool is_wasteful(struct store *store)
{
    uint64_t dead = 0, all = 0;
    pthread_mutex_lock(&store->segments.mutex);
    for (size_t i = 0; i < store->segments.count; i++) {
        dead += segment_dead_bytes(store->segments.by_id[i]);
        all += atomic_load(&store->segments.by_id[i]->end);
    }
    pthread_mutex_unlock(&store->segments.mutex);
    return dead >= all / 4;
}

/* Holding merge_mutex. */
static bool make_roomy(struct store *store)
{
    bitcask_error error;
    size_t inputs = 0;
    bool made = reclaim_expired(store, NULL, &inputs, &error) == BITCASK_OK && inputs > 0;
    while (store->options.eviction != BITCASK_EVICT_NONE && !is_roomy(store) &&
           !is_wasteful(store) && reclaim_evict(store, &error) == BITCASK_OK)
        made = true;
    return made;
}

void quota_reclaim_ahead(struct store *store)
{
    struct quota *quota = &store->quota;
    if (quota->put_limit == 0 || is_roomy(store) || pthread_mutex_trylock(&quota->mutex) != 0)
        return;
    merge_schedule_wake(store);
    /* Never wait here for a merge: the log is synced and sealed by the same thread. */
    if (merge_gate_try_enter(store)) {
        if (make_roomy(store)) {
            atomic_fetch_add(&quota->rounds, 1);
            atomic_store(&quota->told, false);
        }
        merge_gate_leave(store);
    }
    pthread_mutex_unlock(&quota->mutex);
}

void quota_tell(struct store *store, enum quota_kind kind)
{
    if (atomic_exchange(&store->quota.told, true))
        return;
    bool disk = kind == QUOTA_DISK;
    EVENT(&store->events, BITCASK_LOG_WARN, "quota_reached",
          F_TEXT("limit", disk ? "max-disk-bytes" : "max-index-bytes"),
          F_UINT("used", disk ? quota_used(store) : keydir_bytes(store->keydir)),
          F_UINT("bytes", disk ? store->quota.put_limit : store->options.max_index_bytes));
}
