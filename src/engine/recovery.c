/* SPDX-License-Identifier: MIT
 * recovery.c: from whatever files are there to a store that can be used. */
#include "engine/recovery.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/manifest_file.h"
#include "engine/rebuild.h"
#include "engine/recovery_internal.h"
#include "format/names.h"

/* Versions of a rebuilt manifest start so far above the highest one found: what was given and is
 * lost shall not be given again. */
#define REBUILT_CEILING_US (UINT64_C(24) * 60 * 60 * 1000000)

/* ---- What the parts share -------------------------------------------------------------------- */

bitcask_status recovery_cannot_write(struct recovery *recovery, bitcask_status status,
                                     const bitcask_error *error)
{
    if (status != BITCASK_NO_SPACE)
        return status;
    recovery->may_write = false;
    store_poison(recovery->store, BITCASK_NO_SPACE,
                 "no space left to recover the store; free some and reopen it");
    EVENT(&recovery->store->events, BITCASK_LOG_ERROR, "recovery_without_space",
          F_TEXT("error", error->message));
    return BITCASK_OK;
}

void recovery_damage(struct recovery *recovery, struct segment *segment, uint64_t offset,
                     uint64_t bytes, const char *why)
{
    struct store *store = recovery->store;
    if (atomic_exchange(&segment->damaged, 1) == 0)
        recovery->changed = true;
    atomic_fetch_add(&store->counters.corrupt_records, 1);
    EVENT(&store->events, BITCASK_LOG_ERROR, "damaged", F_UINT("segment", segment->id),
          F_UINT("offset", offset), F_UINT("bytes", bytes), F_TEXT("why", why));
}

/* ---- The manifest ---------------------------------------------------------------------------- */

static bitcask_status rebuild(struct recovery *recovery, const char *why, bitcask_error *error)
{
    struct store *store = recovery->store;
    bitcask_status status = rebuild_manifest(store, &recovery->inventory, &recovery->manifest,
                                             &recovery->superseded, error);
    if (status == BITCASK_NO_STORE && recovery->inventory.has_manifest)
        return error_set(error, BITCASK_CORRUPT,
                         "%s is damaged (%s), and there is no data file to rebuild it from",
                         NAME_MANIFEST, why);
    if (status != BITCASK_OK)
        return status;
    recovery->rebuilt = true;
    recovery->changed = true;
    EVENT(&store->events, BITCASK_LOG_WARN, "manifest_rebuilt", F_TEXT("why", why),
          F_UINT("segments", recovery->manifest.segment_count));
    return BITCASK_OK;
}

/* A backup that is opened for writing has a history of its own from now on: no increment must be
 * made on top of it, nor it be taken for a copy of what it was made from. Invariant B4. */
static bitcask_status fork_history(struct recovery *recovery, bitcask_error *error)
{
    struct store *store = recovery->store;
    int result = store->os->random(store->os, store->fork_id, STORE_ID_SIZE);
    if (result != 0)
        return error_set_os(error, result, "get random bytes");
    recovery->changed = true;
    EVENT(&store->events, BITCASK_LOG_INFO, "forked",
          F_UINT("segments", recovery->manifest.segment_count));
    return BITCASK_OK;
}

/* D9 says that a clean manifest names no segment that waits for its seal. Should one do so all the
 * same, it tells nothing of where that ends: to be found out, as after a crash. */
static bool vouches_for_all(const struct manifest *manifest)
{
    bool vouches = true;
    for (size_t i = 0; i < manifest->segment_count; i++)
        vouches = vouches && manifest->segments[i].state != MANIFEST_SEALING;
    return vouches || PLANTED(sealing_clean);
}

static bitcask_status get_manifest(struct recovery *recovery, bitcask_error *error)
{
    struct store *store = recovery->store;
    struct segments *table = &store->segments;
    const char *why = "missing";
    bitcask_status status = manifest_file_read(table, &recovery->manifest, &why, error);
    if (status != BITCASK_OK)
        recovery->manifest = (struct manifest){0};
    if ((status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT) &&
        recovery->inventory.unfinished) /* what is there is not all of it */
        return error_set(error, BITCASK_CORRUPT,
                         "a backup into it was not finished; run it again, or destroy it");
    if (status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT)
        status = rebuild(recovery, why, error);
    /* No id is used twice: files that nobody names count. Also for a store to be created here. */
    uint64_t above = PLANTED(ids_reused) ? 1 : recovery->inventory.max_id + 1;
    table->next_id = above;
    if (status != BITCASK_OK)
        return status;
    const struct manifest *manifest = &recovery->manifest;
    if (manifest->next_id > above)
        table->next_id = manifest->next_id;
    else if (manifest->next_id < above)
        recovery->changed = true;
    table->log_floor = manifest_log_floor(manifest);
    memcpy(table->store_id, manifest->store_id, STORE_ID_SIZE);
    memcpy(table->seed, manifest->seed, SEED_SIZE);
    memcpy(store->fork_id, manifest->fork_id, STORE_ID_SIZE);
    if (manifest->backup && recovery->may_write)
        status = fork_history(recovery, error);
    hash_secret_init(&store->secret, manifest->seed);
    atomic_store(&store->version_ceiling, manifest->version_ceiling);
    recovery->last_version = PLANTED(versions_restart) ? 0 : manifest->version_ceiling;
    recovery->clean = manifest->clean && !recovery->rebuilt && vouches_for_all(manifest);
    store->manifest_clean = manifest->clean;
    store->opened_clean = recovery->clean;
    return status;
}

/* ---- Segments -------------------------------------------------------------------------------- */

static void tell_missing(struct recovery *recovery, const struct segment *segment)
{
    struct store *store = recovery->store;
    atomic_fetch_add(&store->counters.missing_segments, 1);
    EVENT(&store->events, BITCASK_LOG_ERROR, "segment_missing", F_UINT("segment", segment->id),
          F_UINT("records", segment->figures.records));
}

/* Is it really not there, or something else in its place? A file that is there and could not be
 * opened this time must not be passed over: older values would come up. */
static bitcask_status check_missing(const struct segment *segment, bitcask_error *error)
{
    struct os *os = segment->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, segment->id);
    segments_path(segment->table, path, name);
    struct os_stat stat;
    int result = os->stat(os, path, &stat);
    if (result == -ENOENT || (result == 0 && !stat.regular))
        return BITCASK_OK;
    if (result != 0)
        return error_set_os(error, result, "look at segment %s", name);
    return error_set(error, BITCASK_IO,
                     "segment %s is there but cannot be opened; move it away to do without it",
                     name);
}

/* Is the file the one that the manifest names? A bad header proves nothing: the manifest has all
 * that it says. */
static bitcask_status check_header(struct segment *segment, bitcask_error *error)
{
    struct os *os = segment->os;
    struct segment_header header;
    if (atomic_load(&segment->readable) < SEGMENT_HEADER_SIZE)
        return BITCASK_OK;
    bitcask_status status =
        segment_header_decode(slice_of(segment->map, SEGMENT_HEADER_SIZE), &header);
    if (status == BITCASK_FORMAT)
        return error_set(error, status, "segment %llu has format %u, this library reads up to %d",
                         (unsigned long long)segment->id, header.format, FORMAT_VERSION);
    if ((status != BITCASK_OK && !PLANTED(header_needed)) ||
        (header.segment_id == segment->id && header.salt == segment->salt &&
         memcmp(header.store_id, segment->table->store_id, STORE_ID_SIZE) == 0))
        return BITCASK_OK;
    os->unmap(os, (void *)(uintptr_t)segment->map, segment->map_size);
    segment->map = NULL;
    atomic_store(&segment->readable, 0);
    atomic_store(&segment->state, BITCASK_SEGMENT_MISSING);
    return BITCASK_OK;
}

/* Does a sealed segment's file end with its records, or their SEAL? A sync that failed may have
 * left something else there (rescue.h). */
static bool ends_there(const struct segment *segment, uint64_t length)
{
    struct segment_record record;
    uint64_t readable = atomic_load(&segment->readable);
    if (readable <= length)
        return true;
    return segment_read(segment, length, &record, NULL) == BITCASK_OK &&
           (record.shape.flags & RECORD_META) && length + record.shape.size == readable &&
           meta_kind_of(segment_record_value(&record)) == META_SEAL;
}

static bitcask_status open_segment(struct recovery *recovery, struct recovered *recovered,
                                   const struct manifest_segment *named, bitcask_error *error)
{
    struct segments *table = &recovery->store->segments;
    struct manifest_segment entry = *named;
    bool unsealed = !recovery->clean && entry.state != MANIFEST_SEALED;
    if (entry.length < SEGMENT_HEADER_SIZE && entry.state == MANIFEST_SEALED)
        unsealed = true; /* its file was missing when the log was last closed */
    bitcask_status status = BITCASK_OK;
    if (unsealed) {
        entry.length = 0;
        entry.state = MANIFEST_SEALED; /* it will be: never to be appended to */
        status = recover_sync_file(recovery, entry.id, &recovered->zeros_from, error);
    }
    if (status == BITCASK_OK)
        status = segments_open(table, &entry, 0, &recovered->segment, error);
    if (status != BITCASK_OK)
        return status;
    struct segment *segment = recovered->segment;
    segments_publish(table, segment);
    if (segment->map == NULL)
        status = check_missing(segment, error);
    else if (!recovery->clean)
        status = check_header(segment, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t readable = atomic_load(&segment->readable);
    if (segment->map == NULL)
        tell_missing(recovery, segment);
    else if (!unsealed && readable < entry.length && !PLANTED(short_file_taken))
        recovery_damage(recovery, segment, readable, entry.length - readable,
                        "the file is shorter than it was");
    else if (!unsealed && !recovery->clean && !ends_there(segment, entry.length))
        recovered->file_end = entry.length;
    recovered->unsealed = unsealed && segment->map != NULL;
    return BITCASK_OK;
}

/* After a clean close one segment at most is appended to again: the last one, if it is whole. */
static void settle_clean(struct recovery *recovery)
{
    bool last = true;
    for (size_t i = recovery->count; i-- > 0;) {
        struct recovered *recovered = &recovery->segments[i];
        struct segment *segment = recovered->segment;
        uint32_t state = atomic_load(&segment->state);
        if (state == BITCASK_SEGMENT_SEALED)
            continue;
        bool whole = state == BITCASK_SEGMENT_ACTIVE && segment->kind == SEGMENT_LOG &&
                     atomic_load(&segment->damaged) == 0;
        bool empty =
            state != BITCASK_SEGMENT_MISSING && atomic_load(&segment->end) <= SEGMENT_HEADER_SIZE;
        if (empty)
            recovered->dropped = true;
        else if (!(last && whole) && state != BITCASK_SEGMENT_MISSING)
            atomic_store(&segment->state, BITCASK_SEGMENT_SEALED);
        if (empty || atomic_load(&segment->state) == BITCASK_SEGMENT_SEALED)
            recovery->changed = true;
        if (!empty)
            last = false;
    }
}

static bitcask_status open_segments(struct recovery *recovery, bitcask_error *error)
{
    const struct manifest *manifest = &recovery->manifest;
    recovery->segments = calloc(manifest->segment_count + 1, sizeof *recovery->segments);
    if (recovery->segments == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for recovery");
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; status == BITCASK_OK && i < manifest->segment_count; i++) {
        recovery->count++;
        status = open_segment(recovery, &recovery->segments[i], &manifest->segments[i], error);
    }
    if (status != BITCASK_OK)
        return status;
    recover_sync_begin(recovery);
    if (recovery->clean)
        settle_clean(recovery);
    status = recover_log(recovery, error);
    for (size_t i = 0; status == BITCASK_OK && i < recovery->count; i++) {
        if (recovery->segments[i].dropped)
            segments_withdraw(&recovery->store->segments, recovery->segments[i].segment);
    }
    return status;
}

/* ---- The end --------------------------------------------------------------------------------- */

bitcask_status recovery_make_keydir(struct store *store, bitcask_error *error)
{
    if (store->keydir != NULL)
        return BITCASK_OK;
    struct keydir_options options = store_keydir_options(store);
    struct keydir *keydir = NULL;
    bitcask_status status = keydir_new(store->os, &store->epoch, &options, &keydir, error);
    store->keydir = store->shown = keydir;
    return status;
}

/* Do files go on behind what the manifest will say of them? */
static bool has_cuts(const struct recovery *recovery)
{
    bool found = false;
    for (size_t i = 0; i < recovery->count && !found; i++)
        found = recovery->segments[i].file_end != 0 && !recovery->segments[i].dropped;
    return found;
}

/* The manifest says what is the case now, and then what it does not name goes. It does not say
 * "clean" before files have been cut, so that recovery comes again if that is interrupted (D8). */
static bitcask_status settle(struct recovery *recovery, bitcask_error *error)
{
    struct store *store = recovery->store;
    uint64_t ceiling = recovery->last_version;
    if (recovery->rebuilt)
        ceiling += REBUILT_CEILING_US;
    if (ceiling > VERSION_MAX)
        ceiling = VERSION_MAX;
    if (recovery->rebuilt) /* nobody knows what there was */
        store->segments.log_floor = ceiling;
    atomic_store(&store->writer.last_version, ceiling);
    bool saved = false, cuts = has_cuts(recovery) && !PLANTED(cut_when_clean);
    if (recovery->may_write && (recovery->changed || !recovery->clean)) {
        bitcask_error failure = {0};
        bitcask_status status = store_save_manifest_with(store, !cuts, ceiling, &failure);
        saved = status == BITCASK_OK;
        if (!saved)
            status = recovery_cannot_write(recovery, status, &failure);
        if (status != BITCASK_OK) {
            if (error != NULL)
                *error = failure;
            return status;
        }
    }
    atomic_store(&store->version_ceiling, ceiling);
    recovery_tidy(recovery, saved);
    if (saved && cuts) /* a failure costs the next opening some time */
        (void)!store_save_manifest_with(store, true, ceiling, NULL);
    recover_write_hints(recovery); /* last: of a nearly full disk the manifest gets what is left */
    return BITCASK_OK;
}

static void tell_recovered(const struct recovery *recovery, uint64_t start_us)
{
    struct store *store = recovery->store;
    EVENT(&store->events, BITCASK_LOG_INFO, "recovered",
          F_UINT("keys", keydir_count(store->keydir)), F_UINT("segments", store->segments.count),
          F_UINT("duration_us", store->os->clock_boot(store->os) - start_us),
          F_UINT("clean", recovery->clean),
          F_TEXT("index", recovery->used_image ? "snapshot" : "hints"),
          F_UINT("replayed", recovery->replayed));
}

static void release(struct recovery *recovery)
{
    struct os *os = recovery->store->os;
    recover_sync_release(recovery);
    for (size_t i = 0; i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        hint_file_close(os, &recovered->hint);
        hint_file_close(os, &recovered->tail);
        if (recovered->builder.os != NULL)
            hint_builder_release(&recovered->builder);
        scan_release(&recovered->scan);
        recovered_release_parts(recovered);
        if (recovered->dropped) {
            segments_withdraw(&recovery->store->segments, recovered->segment);
            segments_discard(&recovery->store->segments, recovered->segment, false);
        }
    }
    index_image_close(recovery->image);
    free(recovery->segments);
    manifest_release(&recovery->manifest);
    id_list_release(&recovery->superseded);
    inventory_release(&recovery->inventory);
}

/* From its image and the log behind it; else from the hints of all segments. */
static bitcask_status make_index(struct recovery *recovery, bitcask_error *error)
{
    bitcask_status status = recover_image_open(recovery); /* else an event has told why not */
    if (status == BITCASK_NO_MEMORY)
        return error_set(error, status, "out of memory for the index");
    status = recover_hints(recovery, error); /* of segments that the image does not tell of */
    if (status == BITCASK_OK)
        status = recover_image_use(recovery, &recovery->used_image, error);
    if (status != BITCASK_OK || recovery->used_image)
        return status;
    status = recover_hints(recovery, error);
    return status == BITCASK_OK ? recover_index(recovery, error) : status;
}

bitcask_status recovery_run(struct store *store, bitcask_error *error)
{
    struct recovery recovery = {.store = store, .may_write = !store->options.read_only};
    uint64_t start_us = store->os->clock_boot(store->os);
    bitcask_status status = inventory_list(&store->segments, &recovery.inventory, error);
    if (status == BITCASK_OK)
        status = get_manifest(&recovery, error);
    if (status == BITCASK_OK)
        status = recovery_make_keydir(store, error);
    if (status == BITCASK_OK)
        status = open_segments(&recovery, error);
    if (status == BITCASK_OK)
        status = make_index(&recovery, error);
    if (status == BITCASK_OK) /* from here on the manifest vouches for it */
        status = recover_sync_end(&recovery, error);
    if (status == BITCASK_OK)
        status = settle(&recovery, error);
    if (status == BITCASK_OK)
        atomic_store(&store->index.origin,
                     recovery.used_image ? BITCASK_INDEX_SNAPSHOT : BITCASK_INDEX_HINTS);
    if (status == BITCASK_OK)
        tell_recovered(&recovery, start_us);
    release(&recovery);
    return status;
}
