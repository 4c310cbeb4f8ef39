/* SPDX-License-Identifier: MIT
 * tidy.c: files that no manifest names: what a crash has left half made or half removed, and what
 * is not ours. Nothing is removed before the manifest that does not name it is durable, and log
 * records never are: they go to quarantine/. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/planted.h"
#include "engine/quarantine.h"
#include "engine/recovery_internal.h"
#include "format/names.h"

static struct recovered *find_named(const struct recovery *recovery, uint64_t id)
{
    for (size_t low = 0, high = recovery->count; low < high;) {
        size_t middle = (low + high) / 2;
        uint64_t found = recovery->manifest.segments[middle].id;
        if (found == id)
            return &recovery->segments[middle];
        if (found < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void remove_file(struct recovery *recovery, const char *name)
{
    struct store *store = recovery->store;
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, name);
    int result = store->os->unlink(store->os, path);
    if (result == 0)
        EVENT(&store->events, BITCASK_LOG_INFO, "removed", F_TEXT("file", name));
    else if (result != -ENOENT)
        EVENT(&store->events, BITCASK_LOG_WARN, "remove_failed", F_TEXT("file", name),
              F_UINT("errno", (uint64_t)-result));
}

static void remove_data(struct recovery *recovery, uint64_t id)
{
    char name[NAME_SIZE];
    name_data(name, id);
    remove_file(recovery, name);
}

/* ---- An unnamed data file -------------------------------------------------------------------- */

/* Nothing but zeros from `offset` on. */
static bool is_zero_from(struct recovery *recovery, uint64_t id, uint64_t offset)
{
    struct os *os = recovery->store->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, id);
    segments_path(&recovery->store->segments, path, name);
    struct os_file *file;
    if (os->open(os, path, OS_READ, &file) != 0)
        return false;
    static const uint8_t zeros[16 << 10];
    uint8_t bytes[sizeof zeros];
    int64_t got = 0;
    bool zero = true;
    uint64_t known; /* to be so from here on: all of a segment that was made ready */
    if (os->zeros_from(os, file, &known) != 0)
        known = UINT64_MAX;
    while (zero && offset < known && (got = os->pread(os, file, bytes, sizeof bytes, offset)) > 0) {
        zero = memcmp(bytes, zeros, (size_t)got) == 0;
        offset += (uint64_t)got;
    }
    os->close(os, file);
    return zero && got >= 0;
}

/* Does a merge output that the manifest names replace segment `id`? Then its live records are
 * there: the crash came between the manifest and the removal. */
static bool is_merged_away(const struct recovery *recovery, uint64_t id)
{
    if (id_list_has(&recovery->superseded, id))
        return true;
    const struct segments *table = &recovery->store->segments;
    bool found = false;
    for (size_t i = 0; i < recovery->count && !found; i++) {
        const struct segment *segment = recovery->segments[i].segment;
        struct meta_seal seal;
        uint8_t *bytes;
        if (segment->kind != SEGMENT_MERGE || segment->id <= id || segment->map == NULL ||
            segment_file_seal(table, segment->id, segment->salt, atomic_load(&segment->readable),
                              &seal, &bytes) != BITCASK_OK)
            continue;
        for (uint32_t k = 0; k < seal.input_count && !found; k++)
            found = get_u64(seal.inputs + 8 * (size_t)k) == id;
        free(bytes);
    }
    return found;
}

static void put_aside(struct recovery *recovery, uint64_t id, uint64_t size)
{
    struct store *store = recovery->store;
    bitcask_error failure = {0};
    bitcask_status status = quarantine_move(store, id, size, &failure);
    if (status != BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_WARN, "quarantine_failed", F_UINT("segment", id),
              F_TEXT("error", failure.message));
}

static void tidy_data(struct recovery *recovery, uint64_t id)
{
    struct store *store = recovery->store;
    struct segment_header header;
    uint64_t size;
    enum segment_file_kind kind = segment_file_probe(&store->segments, id, &header, &size);
    if (kind == FILE_OURS && memcmp(header.store_id, store->segments.store_id, STORE_ID_SIZE) != 0)
        kind = FILE_FOREIGN;
    switch (kind) {
    case FILE_ABSENT:
    case FILE_UNREADABLE: /* another time */
        return;
    case FILE_FOREIGN:
    case FILE_NEWER:
        EVENT(&store->events, BITCASK_LOG_WARN, "foreign_file", F_UINT("segment", id));
        return;
    case FILE_DAMAGED:
        if (is_zero_from(recovery, id, 0))
            remove_data(recovery, id);
        else
            put_aside(recovery, id, size);
        return;
    case FILE_OURS:
        if (header.kind == SEGMENT_MERGE || is_merged_away(recovery, id) ||
            is_zero_from(recovery, id, SEGMENT_HEADER_SIZE))
            remove_data(recovery, id);
        else
            put_aside(recovery, id, size);
        return;
    }
}

/* ---- The directory --------------------------------------------------------------------------- */

static bool is_unnamed(const struct recovery *recovery, uint64_t id)
{
    const struct recovered *named = find_named(recovery, id);
    return named == NULL || named->dropped;
}

static bool has_unnamed(const struct recovery *recovery, const struct id_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (is_unnamed(recovery, list->items[i]))
            return true;
    }
    return false;
}

/* What was read may not be durable yet: a process killed between the rename and the sync of the
 * directory leaves it so. */
static int sync_manifest(struct recovery *recovery)
{
    struct segments *table = &recovery->store->segments;
    struct os *os = table->os;
    char path[OS_PATH_MAX];
    segments_path(table, path, NAME_MANIFEST);
    struct os_file *file;
    int result = os->open(os, path, OS_READ, &file);
    if (result != 0)
        return result;
    result = os->sync(os, file);
    os->close(os, file);
    return result != 0 ? result : os->sync_dir(os, table->directory);
}

/* A named segment whose file is something else. */
static void tell_foreign(const struct recovery *recovery)
{
    struct store *store = recovery->store;
    for (size_t i = 0; i < recovery->count; i++) {
        const struct segment *segment = recovery->segments[i].segment;
        if (segment->map == NULL && id_list_has(&recovery->inventory.data, segment->id))
            EVENT(&store->events, BITCASK_LOG_WARN, "foreign_file", F_UINT("segment", segment->id));
    }
}

/* Or what was cut off would come back with the loss of the manifest. */
static void cut_files(const struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->count; i++) {
        const struct recovered *recovered = &recovery->segments[i];
        if (recovered->file_end != 0 && !recovered->dropped)
            segments_cut_file(recovered->segment, recovered->file_end);
    }
}

void recovery_tidy(struct recovery *recovery, bool saved)
{
    const struct inventory *inventory = &recovery->inventory;
    tell_foreign(recovery);
    bool work = inventory->has_manifest_tmp || inventory->has_image_tmp ||
                inventory->hint_tmps.count > 0 || inventory->data_tmps.count > 0 ||
                inventory->unfinished || has_unnamed(recovery, &inventory->data) ||
                has_unnamed(recovery, &inventory->hints);
    if (!recovery->may_write || (!work && !saved))
        return;
    if (!saved && !PLANTED(tidied_unsynced) && sync_manifest(recovery) != 0)
        return; /* another time */
    cut_files(recovery);
    char name[NAME_SIZE];
    if (inventory->has_manifest_tmp && !saved)
        remove_file(recovery, NAME_MANIFEST_TMP);
    if (inventory->has_image_tmp)
        remove_file(recovery, NAME_IMAGE_TMP);
    for (size_t i = 0; i < inventory->hint_tmps.count; i++) {
        name_hint_tmp(name, inventory->hint_tmps.items[i]);
        remove_file(recovery, name);
    }
    for (size_t i = 0; i < inventory->data_tmps.count; i++) {
        name_data_tmp(name, inventory->data_tmps.items[i]);
        remove_file(recovery, name);
    }
    if (inventory->unfinished) /* its manifest is there: it was finished after all */
        remove_file(recovery, NAME_UNFINISHED);
    for (size_t i = 0; i < inventory->hints.count; i++) {
        if (!is_unnamed(recovery, inventory->hints.items[i]))
            continue;
        name_hint(name, inventory->hints.items[i]);
        remove_file(recovery, name);
    }
    for (size_t i = 0; i < inventory->data.count; i++) {
        uint64_t id = inventory->data.items[i];
        const struct recovered *named = find_named(recovery, id);
        if (named == NULL)
            tidy_data(recovery, id);
        else if (named->dropped)
            remove_data(recovery, id);
    }
    if (work)
        (void)recovery->store->os->sync_dir(recovery->store->os,
                                            recovery->store->segments.directory);
}
