/* SPDX-License-Identifier: MIT
 * follow_copy.c: what a follower has of segments that are not sealed is a copy (F5).
 *
 * A mapping of them would be shorter to write, and deadly: behind the end of a file that has been
 * cut there are no pages but SIGBUS, and the follower does not know of the cut before it has looked
 * at the manifest. Once a segment is sealed the copy makes room for a mapping, as the inputs of a
 * merge make room for its outputs. */
#include <errno.h>
#include <stdlib.h>

#include "base/planted.h"
#include "engine/follow_internal.h"
#include "format/names.h"

/* The bytes of the file of a sealed segment. */
static bitcask_status mapped_limit(const struct segment *segment, uint64_t *limit,
                                   bitcask_error *error)
{
    char name[NAME_SIZE], path[OS_PATH_MAX];
    struct os_stat stat;
    name_data(name, segment->id);
    segments_path(segment->table, path, name);
    int result = segment->os->stat(segment->os, path, &stat);
    if (result == -ENOENT)
        stat.size = 0;
    else if (result != 0)
        return error_set_os(error, result, "look at segment %s", name);
    *limit = stat.size < segment->map_size ? stat.size : segment->map_size;
    return BITCASK_OK;
}

bitcask_status follow_fetch(const struct segment *segment, uint64_t to, uint64_t *limit,
                            bitcask_error *error)
{
    uint64_t from = atomic_load(&segment->end);
    *limit = 0;
    if (segment->map == NULL)
        return BITCASK_OK;
    to = to < segment->map_size ? to : segment->map_size;
    if (!segment->copied) {
        bitcask_status status = mapped_limit(segment, limit, error);
        *limit = *limit < to ? *limit : to;
        return status;
    }
    *limit = from;
    if (to <= from)
        return BITCASK_OK;
    uint8_t *memory = (uint8_t *)(uintptr_t)segment->map;
    int64_t got = segment->os->pread(segment->os, segment->file, memory + from, to - from, from);
    if (got < 0) {
        char name[NAME_SIZE];
        name_data(name, segment->id);
        return error_set_os(error, (int)got, "read segment %s", name);
    }
    *limit = from + (uint64_t)got;
    return BITCASK_OK;
}

/* ---- Sealed meanwhile ------------------------------------------------------------------------ */

static bool is_to_be_mapped(const struct store *store, const struct segment *segment)
{
    const struct manifest_segment *entry = follow_entry(store->follow, segment->id);
    return segment->copied && atomic_load(&segment->state) == BITCASK_SEGMENT_SEALED &&
           entry != NULL && entry->state == MANIFEST_SEALED;
}

/* Map the file and let the copy depart. *mapped: NULL if there is no file any more; then the next
 * manifest does not name the segment, and the copy does until then. */
static bitcask_status map_one(struct store *store, struct segment *copy, struct segment **mapped,
                              bitcask_error *error)
{
    struct segments *table = &store->segments;
    struct follow *follow = store->follow;
    bitcask_status status = segments_open(table, follow_entry(follow, copy->id), 0, mapped, error);
    if (status != BITCASK_OK)
        return status;
    if ((*mapped)->map == NULL) {
        segments_discard(table, *mapped, false);
        *mapped = NULL;
        return BITCASK_OK;
    }
    segments_exchange(table, copy, *mapped);
    follow->departed[follow->departed_count++] = copy;
    return BITCASK_OK;
}

bitcask_status follow_exchange(struct store *store, bitcask_error *error)
{
    struct segments *table = &store->segments;
    struct follow *follow = store->follow;
    size_t wanted = 0, count = 0, first = follow->departed_count;
    for (size_t i = 0; i < table->count; i++)
        wanted += is_to_be_mapped(store, table->by_id[i]);
    if (wanted == 0)
        return BITCASK_OK;
    struct segment **mapped = calloc(wanted, sizeof(struct segment *));
    bitcask_status status = BITCASK_OK;
    if (mapped == NULL || !follow_make_room(store))
        status = error_set(error, BITCASK_NO_MEMORY, "out of memory for the segments");
    for (size_t i = 0; i < table->count && status == BITCASK_OK; i++) {
        if (!is_to_be_mapped(store, table->by_id[i]))
            continue;
        status = map_one(store, table->by_id[i], &mapped[count], error);
        count += status == BITCASK_OK && mapped[count] != NULL;
    }
    if (count > 0) {
        bitcask_status moved = follow_move_entries(store, mapped, count, error);
        if (moved != BITCASK_OK)
            follow->gap = "an earlier refresh has failed";
        status = moved != BITCASK_OK ? moved : status;
    }
    for (size_t i = first; i < follow->departed_count && follow->gap == NULL; i++) {
        if (atomic_load(&follow->departed[i]->live_records) != 0 && !PLANTED(follow_cut_unseen))
            follow->gap = "a sealed segment does not have all that was read of it";
    }
    free(mapped);
    return status;
}
