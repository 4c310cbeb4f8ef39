/* SPDX-License-Identifier: MIT
 * recover_image.c: the index from its image, if that is good for what is there. */
#include <stdlib.h>

#include "base/check.h"
#include "engine/index_image.h"
#include "engine/parallel.h"
#include "engine/recovery_internal.h"

/* A record that is replayed costs 0.8 us: the shard it belongs to is fetched, the old record looked
 * at, the table grows. One of a hint costs 50 ns with one thread, 25 with two, and the table comes
 * out as full as it can be: beyond this part of what the image covers hints are the faster way.
 * Below so many bytes it is milliseconds, and most of the index need not be looked at. */
enum { REPLAY_PART = 24, REPLAY_PART_ALONE = 12 };
#define REPLAY_ALWAYS_BYTES (UINT64_C(8) << 20)

/* `replayed`: bytes behind the image, and of what was written while it was made. */
static bool hints_are_faster(const struct store *store, uint64_t covered, uint64_t replayed)
{
    bool threads =
        store->options.background == BITCASK_BACKGROUND_THREAD && parallel_threads(0) > 1;
    return replayed > REPLAY_ALWAYS_BYTES &&
           replayed > covered / (threads ? REPLAY_PART : REPLAY_PART_ALONE);
}

static bitcask_status refuse(struct recovery *recovery, bitcask_status status, const char *why)
{
    if (status == BITCASK_NO_MEMORY || why == NULL)
        why = "out of memory";
    EVENT(&recovery->store->events, BITCASK_LOG_INFO, "index_snapshot_refused", F_TEXT("why", why));
    index_image_close(recovery->image);
    recovery->image = NULL;
    return status == BITCASK_NO_MEMORY ? status : BITCASK_CORRUPT;
}

static struct recovered *find_recovered(const struct recovery *recovery, uint64_t id)
{
    for (size_t low = 0, high = recovery->count; low < high;) {
        size_t middle = (low + high) / 2;
        uint64_t found = recovery->segments[middle].segment->id;
        if (found == id)
            return &recovery->segments[middle];
        if (found < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Why the segment is not the one that the image tells of; NULL if it is. */
static const char *segment_fault(const struct recovered *recovered,
                                 const struct image_segment *image)
{
    if (recovered == NULL || recovered->dropped)
        return "a merge has replaced a segment of it";
    const struct segment *segment = recovered->segment;
    if (segment->salt != image->salt)
        return "of another segment";
    if (atomic_load(&segment->end) < image->length)
        return "a segment of it has been cut";
    return NULL;
}

/* Damage that is known makes entries that nobody can check, and figures that may be wrong. */
static const char *store_fault(const struct recovery *recovery)
{
    if (recovery->rebuilt)
        return "the manifest was lost";
    for (size_t i = 0; i < recovery->count; i++) {
        const struct recovered *recovered = &recovery->segments[i];
        const struct segment *segment = recovered->segment;
        if (!recovered->dropped && (segment->map == NULL || atomic_load(&segment->damaged) != 0))
            return "a segment is damaged or missing";
    }
    return NULL;
}

/* *covered: bytes that the image tells of; *twice: those of them that are replayed all the same. */
static const char *match_segments(struct recovery *recovery, uint64_t *covered, uint64_t *twice)
{
    struct index_image *image = recovery->image;
    for (uint32_t i = 0; i < image->header.segment_count; i++) {
        struct image_segment named;
        image_segment_decode(&image->header, image->tables, i, &named);
        struct recovered *recovered = find_recovered(recovery, named.id);
        const char *fault = segment_fault(recovered, &named);
        if (fault != NULL)
            return fault;
        image->limits[named.slot] =
            (struct image_place_limit){recovered->segment->slot, named.length};
        recovered->covered = true;
        recovered->image = named;
        *covered += named.length;
        *twice += named.length - named.replay_from;
    }
    return NULL;
}

static uint64_t log_bytes(const struct recovery *recovery)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < recovery->count; i++)
        bytes += atomic_load(&recovery->segments[i].segment->end);
    return bytes;
}

bitcask_status recover_image_open(struct recovery *recovery)
{
    struct store *store = recovery->store;
    const char *why = store_fault(recovery);
    if (!store->options.index_snapshot)
        return BITCASK_NOT_FOUND;
    const char *fault = NULL;
    bitcask_status status = index_image_open(store, &recovery->image, &fault);
    if (status == BITCASK_NOT_FOUND)
        return status;
    if (status != BITCASK_OK)
        return refuse(recovery, status, fault);
    recovery->image->limits = calloc(BITCASK_MAX_SEGMENTS + 1, sizeof *recovery->image->limits);
    if (recovery->image->limits == NULL)
        return refuse(recovery, BITCASK_NO_MEMORY, "out of memory");
    uint64_t covered = 0, twice = 0;
    if (why == NULL)
        why = match_segments(recovery, &covered, &twice);
    uint64_t behind = log_bytes(recovery) - covered;
    if (why == NULL && hints_are_faster(store, covered, behind + twice))
        why = "too much has been written since";
    if (why != NULL) {
        for (size_t i = 0; i < recovery->count; i++)
            recovery->segments[i].covered = false;
        return refuse(recovery, BITCASK_CORRUPT, why);
    }
    atomic_store(&store->index.covered_bytes, covered);
    atomic_store(&store->index.image_bytes, recovery->image->file_size);
    atomic_store(&store->index.image_time_us, recovery->image->header.created_us);
    return BITCASK_OK;
}

/* ---- Using it -------------------------------------------------------------------------------- */

static struct replay_segment *list_segments(const struct recovery *recovery, size_t *count)
{
    struct replay_segment *list = calloc(recovery->count + 1, sizeof *list);
    *count = 0;
    for (size_t i = 0; list != NULL && i < recovery->count; i++) {
        const struct recovered *recovered = &recovery->segments[i];
        if (recovered->dropped)
            continue;
        list[(*count)++] = (struct replay_segment){
            .segment = recovered->segment,
            .hint = recovered->hint.memory != NULL ? &recovered->hint : NULL,
            .covered = recovered->covered,
            .image = recovered->image,
        };
    }
    return list;
}

/* Forget what the attempt has left: recovery goes on with the hints. */
static bitcask_status take_back(struct recovery *recovery, bitcask_error *error)
{
    struct store *store = recovery->store;
    atomic_store(&store->index.image_bytes, 0);
    for (size_t i = 0; i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        recovered->covered = false;
        atomic_store(&recovered->segment->live_records, 0);
        atomic_store(&recovered->segment->live_bytes, 0);
    }
    epoch_drain(&store->epoch);
    keydir_free(store->keydir);
    store->keydir = store->shown = NULL;
    return recovery_make_keydir(store, error);
}

static void set_live(const struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->count; i++) {
        const struct recovered *recovered = &recovery->segments[i];
        if (recovered->covered)
            segment_add_live(recovered->segment, recovered->image.live_records,
                             recovered->image.live_bytes);
    }
}

static void note_versions(struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->count; i++) {
        uint64_t version = atomic_load(&recovery->segments[i].segment->version_max);
        if (!recovery->segments[i].dropped && version > recovery->last_version)
            recovery->last_version = version;
    }
}

bitcask_status recover_image_use(struct recovery *recovery, bool *used, bitcask_error *error)
{
    struct store *store = recovery->store;
    *used = false;
    if (recovery->image == NULL)
        return BITCASK_OK;
    const char *why = "out of memory";
    size_t count;
    uint64_t records = 0;
    struct replay_segment *segments = list_segments(recovery, &count);
    struct index_image *image = recovery->image;
    bitcask_status status = segments == NULL ? BITCASK_NO_MEMORY : BITCASK_OK;
    if (status == BITCASK_OK) {
        recovery->image = NULL; /* the keydir's, or closed */
        atomic_store(&store->index.opening, true);
        why = "its shards are of an impossible shape";
        status = index_image_attach(image, error);
    }
    if (status == BITCASK_OK) {
        set_live(recovery);
        status = index_replay(store, segments, count, &records, &why);
        atomic_store(&store->index.opening, false);
    }
    free(segments);
    if (status != BITCASK_OK) {
        status = refuse(recovery, status, why);
        if (status == BITCASK_NO_MEMORY)
            return error_set(error, status, "out of memory for the index");
        return take_back(recovery, error);
    }
    note_versions(recovery);
    *used = true;
    recovery->replayed = records;
    return BITCASK_OK;
}
