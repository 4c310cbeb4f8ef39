/* SPDX-License-Identifier: MIT
 * follow_load.c: the index of a follower from the hints, at open and after a gap. */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/follow_internal.h"
#include "engine/load.h"
#include "engine/manifest_file.h"
#include "engine/recovery_internal.h"
#include "format/names.h"

/* ---- Segments -------------------------------------------------------------------------------- */

/* What a segment that grows may become. */
static uint64_t capacity_of(const struct store *store, uint64_t id)
{
    const struct follow *follow = store->follow;
    uint64_t capacity = store->options.segment_size;
    if (!follow->has_position || follow->position.segment != id)
        return capacity;
    uint64_t told =
        follow->capacity < follow->position.end ? follow->position.end : follow->capacity;
    return told > capacity && told <= 2 * BITCASK_MAX_SEGMENT_SIZE ? told : capacity;
}

bitcask_status follow_open_segment(struct store *store, const struct manifest_segment *named,
                                   bool whole, struct segment **segment, bitcask_error *error)
{
    struct follow *follow = store->follow;
    struct segments *table = &store->segments;
    struct manifest_segment entry = *named;
    bool vouched = follow_is_vouched(follow, named);
    bool final = vouched && named->state == MANIFEST_SEALED;
    if (!whole || !vouched) { /* to be read from its first record on */
        entry.length = SEGMENT_HEADER_SIZE;
        entry.state = vouched ? MANIFEST_SEALING : MANIFEST_ACTIVE;
        entry.records = entry.tombstones = 0;
        entry.version_min = entry.version_max = entry.expires_min = entry.expires_max = 0;
    }
    bool grows = named->state == MANIFEST_ACTIVE;
    entry.state = grows ? MANIFEST_ACTIVE : entry.state;
    if (!final && !PLANTED(follow_maps_unsealed))
        return segments_open_copy(table, &entry, grows ? capacity_of(store, entry.id) : 0, segment,
                                  error);
    bitcask_status status = segments_open(table, &entry, 0, segment, error);
    if (status == BITCASK_OK && (*segment)->map != NULL && entry.length == SEGMENT_HEADER_SIZE)
        atomic_store(&(*segment)->readable, entry.length);
    return status;
}

/* Is the file really not there? Where a merge has taken it, there is another manifest. One that
 * only cannot be opened now must not be passed over: older values would come up. */
static bitcask_status check_missing(struct store *store, const struct segment *segment,
                                    bitcask_error *error)
{
    struct segments *table = &store->segments;
    struct follow *follow = store->follow;
    char *text = NULL;
    size_t size = 0;
    const char *why = "";
    bitcask_status status = manifest_file_text(table, &text, &size, &why, error);
    if (status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT)
        return BITCASK_END; /* the next look says what is the matter */
    if (status != BITCASK_OK)
        return status;
    bool same = size == follow->text_size && memcmp(text, follow->text, size) == 0;
    free(text);
    if (!same)
        return BITCASK_END;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    struct os_stat stat;
    name_data(name, segment->id);
    segments_path(table, path, name);
    int result = table->os->stat(table->os, path, &stat);
    if (result == 0 && stat.regular)
        return error_set(error, BITCASK_IO, "segment %s is there but cannot be opened", name);
    if (result != 0 && result != -ENOENT)
        return error_set_os(error, result, "look at segment %s", name);
    atomic_fetch_add(&store->counters.missing_segments, 1);
    EVENT(&store->events, BITCASK_LOG_ERROR, "segment_missing", F_UINT("segment", segment->id),
          F_UINT("records", segment->figures.records));
    return BITCASK_OK;
}

/* ---- Loading --------------------------------------------------------------------------------- */

/* What is loaded beside what is there. */
struct fresh {
    struct recovery recovery; /* the hints are found as recovery finds them */
    struct segment **unread;  /* to be read record by record */
    size_t unread_count;
    struct keydir *keydir;
};

static bitcask_status open_all(struct store *store, struct fresh *fresh, bitcask_error *error)
{
    struct follow *follow = store->follow;
    const struct manifest *manifest = &follow->manifest;
    struct recovery *recovery = &fresh->recovery;
    recovery->segments = calloc(manifest->segment_count + 1, sizeof *recovery->segments);
    fresh->unread = calloc(manifest->segment_count + 1, sizeof(struct segment *));
    if (recovery->segments == NULL || fresh->unread == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the segments");
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const struct manifest_segment *entry = &manifest->segments[i];
        bool vouched = follow_is_vouched(follow, entry);
        if (!vouched && (entry->merge || !follow_is_published(follow, entry->id)))
            continue;
        struct segment *segment = NULL;
        bitcask_status status = follow_open_segment(store, entry, true, &segment, error);
        if (status != BITCASK_OK)
            return status;
        if (vouched)
            recovery->segments[recovery->count++].segment = segment;
        else
            fresh->unread[fresh->unread_count++] = segment;
        if (segment->map == NULL)
            status = check_missing(store, segment, error);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

static bitcask_status load_index(struct store *store, struct fresh *fresh, bitcask_error *error)
{
    struct recovery *recovery = &fresh->recovery;
    struct load_input *inputs = calloc(2 * recovery->count + 1, sizeof *inputs);
    if (inputs == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the index");
    size_t count = 0;
    for (size_t i = 0; i < recovery->count; i++) {
        const struct recovered *recovered = &recovery->segments[i];
        if (recovered->hint.memory != NULL)
            inputs[count++] = (struct load_input){recovered->segment, recovered->hint};
        if (recovered->tail.memory != NULL)
            inputs[count++] = (struct load_input){recovered->segment, recovered->tail};
    }
    struct keydir_options options = store_keydir_options(store);
    options.max_bytes = 0; /* whatever the writer's has room for */
    uint64_t last_version;
    bool threads = store->options.background == BITCASK_BACKGROUND_THREAD;
    bitcask_status status = keydir_new(store->os, &store->epoch, &options, &fresh->keydir, error);
    if (status == BITCASK_OK)
        status = load_keydir_into(store, fresh->keydir, inputs, count, threads ? 0 : 1,
                                  &last_version, error);
    free(inputs);
    return status;
}

static void fresh_release(struct store *store, struct fresh *fresh, bool used)
{
    struct recovery *recovery = &fresh->recovery;
    for (size_t i = 0; i < recovery->count; i++) {
        struct recovered *recovered = &recovery->segments[i];
        hint_file_close(store->os, &recovered->hint);
        hint_file_close(store->os, &recovered->tail);
        if (recovered->builder.os != NULL)
            hint_builder_release(&recovered->builder);
        scan_release(&recovered->scan);
        if (!used)
            segments_discard(&store->segments, recovered->segment, false);
    }
    for (size_t i = 0; i < fresh->unread_count && !used; i++)
        segments_discard(&store->segments, fresh->unread[i], false);
    if (!used)
        keydir_free(fresh->keydir);
    free(recovery->segments);
    free(fresh->unread);
}

/* ---- Taking the place of what was there ------------------------------------------------------ */

struct retired_keydir {
    struct epoch_item item;
    struct keydir *keydir;
};

static void release_keydir(struct epoch_item *item, void *context)
{
    struct retired_keydir *retired = context;
    (void)item;
    keydir_free(retired->keydir);
    free(retired);
}

static bool make_room_to_hold(struct store *store)
{
    struct follow *follow = store->follow;
    size_t count = follow->held_count + store->segments.count + follow->departed_count;
    struct segment **held = realloc(follow->held, (count + 1) * sizeof *held);
    if (held == NULL)
        return false;
    follow->held = held;
    return true;
}

/* Those of the index that readers look into are held; of another, which has never been shown, they
 * go. */
static void withdraw_all(struct store *store, bool shown)
{
    struct segments *table = &store->segments;
    struct follow *follow = store->follow;
    size_t first = follow->held_count;
    while (table->count > 0) {
        struct segment *segment = table->by_id[table->count - 1];
        segments_withdraw(table, segment);
        follow->held[follow->held_count++] = segment;
    }
    for (size_t i = 0; i < follow->departed_count; i++)
        follow->held[follow->held_count++] = follow->departed[i];
    follow->departed_count = 0;
    while (!shown && follow->held_count > first)
        segments_let_go(table, follow->held[--follow->held_count]);
}

/* How far the log has been read by what is loaded. */
static uint64_t version_of(const struct follow *follow, const struct fresh *fresh)
{
    uint64_t version = follow->manifest.log_floor;
    for (size_t i = 0; i < fresh->recovery.count; i++) {
        uint64_t last = atomic_load(&fresh->recovery.segments[i].segment->version_max);
        version = last > version ? last : version;
    }
    return version;
}

static void take_place(struct store *store, struct fresh *fresh, struct retired_keydir *retired)
{
    struct segments *table = &store->segments;
    struct follow *follow = store->follow;
    struct keydir *old = store->keydir;
    uint64_t version = version_of(follow, fresh);
    bool shown = old == store->shown;
    store->keydir = fresh->keydir;
    if (PLANTED(follow_shown_early))
        store->shown = fresh->keydir;
    withdraw_all(store, shown);
    for (size_t i = 0; i < fresh->recovery.count; i++) {
        struct segment *segment = fresh->recovery.segments[i].segment;
        segments_publish(table, segment);
    }
    for (size_t i = 0; i < fresh->unread_count; i++)
        segments_publish(table, fresh->unread[i]);
    pthread_mutex_lock(&table->mutex);
    table->log_floor = manifest_log_floor(&follow->manifest);
    table->next_id = follow->manifest.next_id;
    pthread_mutex_unlock(&table->mutex);
    follow->version = version;
    follow->adopted = true;
    follow->adopted_at = follow->position.segment;
    atomic_fetch_add(&follow->generation, 1);
    if (old == NULL) {
        free(retired);
        return;
    }
    retired->item = (struct epoch_item){.release = release_keydir, .context = retired};
    retired->keydir = old;
    if (shown)
        follow->old = retired;
    else
        epoch_retire(&store->epoch, &retired->item);
}

void follow_show(struct store *store)
{
    struct follow *follow = store->follow;
    store->shown = store->keydir;
    while (follow->held_count > 0)
        segments_let_go(&store->segments, follow->held[--follow->held_count]);
    if (follow->old != NULL)
        epoch_retire(&store->epoch, &follow->old->item);
    follow->old = NULL;
}

/* Snapshots see the store by the index and by what has been changed in it since: another index has
 * another history. */
static bitcask_status check_snapshots(struct store *store, bitcask_error *error)
{
    pthread_mutex_lock(&store->undo.mutex);
    size_t held = store->undo.snapshots;
    pthread_mutex_unlock(&store->undo.mutex);
    if (held == 0)
        return BITCASK_OK;
    return error_set(error, BITCASK_BUSY,
                     "the index must be loaded anew (%s), which %zu snapshots prevent: free them "
                     "and refresh again",
                     store->follow->gap, held);
}

bitcask_status follow_load(struct store *store, bitcask_error *error)
{
    struct fresh fresh = {.recovery = {.store = store, .clean = true}};
    fresh.recovery.manifest = store->follow->manifest; /* borrowed */
    struct retired_keydir *retired = malloc(sizeof *retired);
    bitcask_status status = BITCASK_OK;
    if (retired == NULL || !make_room_to_hold(store))
        status = error_set(error, BITCASK_NO_MEMORY, "out of memory for the index");
    if (status == BITCASK_OK && store->keydir != NULL)
        status = check_snapshots(store, error);
    if (status == BITCASK_OK)
        status = open_all(store, &fresh, error);
    if (status == BITCASK_OK)
        status = recover_hints(&fresh.recovery, error);
    if (status == BITCASK_OK)
        status = load_index(store, &fresh, error);
    bool loaded = status == BITCASK_OK;
    if (loaded)
        take_place(store, &fresh, retired);
    else
        free(retired);
    fresh_release(store, &fresh, loaded);
    return status;
}
