/* SPDX-License-Identifier: MIT
 * backup_files.c: the files of one segment, on their way to DEST. Each gets its name only when it
 * is whole and durable; what has the name already is, at worst, replaced by more of the same. */
#include <errno.h>

#include "engine/backup_internal.h"
#include "format/names.h"

enum { SEAL_SIZE_MAX = RECORD_HEADER_SIZE + META_SEAL_FIXED + 8 * META_SEAL_INPUTS_MAX };

/* ---- Files ----------------------------------------------------------------------------------- */

/* A new file in place of whatever has this temporary name. */
static int make_file(struct backup *backup, const char *temporary, struct os_file **file)
{
    struct os *os = backup->dest.os;
    char path[OS_PATH_MAX];
    segments_path(&backup->dest, path, temporary);
    int result = os->unlink(os, path);
    if (result != 0 && result != -ENOENT)
        return result;
    return os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, file);
}

/* Close it; if all went well give it its name, durable bytes first. */
static int finish_file(struct backup *backup, struct os_file *file, int result, const char *name,
                       const char *temporary)
{
    struct os *os = backup->dest.os;
    char from[OS_PATH_MAX], to[OS_PATH_MAX];
    segments_path(&backup->dest, from, temporary);
    segments_path(&backup->dest, to, name);
    if (result == 0)
        result = os->sync(os, file);
    int closed = os->close(os, file);
    if (result == 0)
        result = closed;
    if (result == 0)
        result = os->rename(os, from, to);
    if (result != 0)
        (void)os->unlink(os, from);
    return result;
}

bitcask_status backup_put_file(struct backup *backup, const char *name, const char *temporary,
                               slice bytes, bitcask_error *error)
{
    struct os *os = backup->dest.os;
    struct os_file *file;
    int result = make_file(backup, temporary, &file);
    if (result == 0) {
        result = os->pwrite(os, file, bytes.data, bytes.size, 0, 0);
        result = finish_file(backup, file, result, name, temporary);
    }
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "write %s", name);
}

/* ---- Linking --------------------------------------------------------------------------------- */

/* 0; -EXDEV where it cannot be linked and has to be copied; else -errno. A link replaces what has
 * the name in one step. */
static int link_file(struct backup *backup, const char *name, const char *temporary)
{
    struct os *os = backup->dest.os;
    char from[OS_PATH_MAX], between[OS_PATH_MAX], to[OS_PATH_MAX];
    segments_path(&backup->store->segments, from, name);
    segments_path(&backup->dest, between, temporary);
    segments_path(&backup->dest, to, name);
    int result = os->unlink(os, between);
    if (result != 0 && result != -ENOENT)
        return result;
    result = os->link(os, from, between);
    switch (-result) {
    case 0:
        break;
    case ENOENT: /* merged away */
    case EPERM:
    case EACCES:
    case EMLINK:
    case EOPNOTSUPP:
    case ENOSYS:
        return -EXDEV;
    default:
        return result;
    }
    result = os->rename(os, between, to);
    int unlinked = os->unlink(os, between); /* the two names of one file: rename did nothing */
    if (result == 0 && unlinked != 0 && unlinked != -ENOENT)
        result = unlinked;
    return result;
}

static bool may_link(const struct backup *backup, const struct backup_item *item)
{
    return item->fixed && !backup->options->copy && backup->dest.os == backup->store->os;
}

/* ---- Copying --------------------------------------------------------------------------------- */

/* Where the bytes come from: the file, or, if a merge has unlinked it, its mapping. */
struct origin {
    struct os *os;
    struct os_file *file; /* or NULL */
    const uint8_t *map;
    uint64_t size; /* to be copied */
};

static int stop_waiting(void *context)
{
    return backup_progress(context, 0) != BITCASK_OK;
}

/* Copy all of it at the chosen rate. 0, -errno, or -ECANCELED. */
static int copy_bytes(struct backup *backup, const struct origin *origin, struct os_file *to)
{
    struct os *os = backup->dest.os;
    uint64_t chunk = pace_chunk(&backup->pace);
    for (uint64_t at = 0; at < origin->size;) {
        uint64_t size = origin->size - at < chunk ? origin->size - at : chunk;
        const void *bytes = backup->buffer;
        if (origin->file == NULL) {
            bytes = origin->map + at;
        } else {
            int64_t got =
                origin->os->pread(origin->os, origin->file, backup->buffer, (size_t)size, at);
            if (got <= 0)
                return got < 0 ? (int)got : -EIO; /* it was longer a moment ago */
            size = (uint64_t)got;
        }
        int result = os->pwrite(os, to, bytes, (size_t)size, at, 0);
        if (result != 0)
            return result;
        at += size;
        backup->result.copied_bytes += size;
        uint64_t wait_us = pace_spend(&backup->pace, size, os->clock_boot(os));
        if (backup_progress(backup, size) != BITCASK_OK ||
            !pace_wait(wait_us, stop_waiting, backup))
            return -ECANCELED;
    }
    return 0;
}

static bitcask_status copy_file(struct backup *backup, const struct origin *origin,
                                const char *name, const char *temporary, bitcask_error *error)
{
    struct os_file *to;
    int result = make_file(backup, temporary, &to);
    if (result == 0) {
        result = copy_bytes(backup, origin, to);
        result = finish_file(backup, to, result, name, temporary);
    }
    if (result == -ECANCELED)
        return BITCASK_CANCELLED;
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "copy %s", name);
}

/* Open a file of SOURCE. -ENOENT: it is gone. */
static int open_origin(struct backup *backup, const char *name, struct origin *origin)
{
    struct os *os = backup->store->os;
    char path[OS_PATH_MAX];
    struct os_stat stat;
    *origin = (struct origin){.os = os};
    segments_path(&backup->store->segments, path, name);
    int result = os->open(os, path, OS_READ, &origin->file);
    if (result != 0) {
        origin->file = NULL;
        return result;
    }
    result = os->stat_file(os, origin->file, &stat);
    origin->size = stat.size;
    if (result != 0) {
        os->close(os, origin->file);
        origin->file = NULL;
    }
    return result;
}

static void close_origin(struct origin *origin)
{
    if (origin->file != NULL)
        origin->os->close(origin->os, origin->file);
}

static bitcask_status copy_data(struct backup *backup, const struct backup_item *item,
                                const struct manifest_segment *entry, bitcask_error *error)
{
    const struct segment *segment = item->segment;
    char name[NAME_SIZE], temporary[NAME_SIZE];
    struct origin origin;
    name_data(name, segment->id);
    name_data_tmp(temporary, segment->id);
    int result = open_origin(backup, name, &origin);
    if (result == -ENOENT) {
        origin.map = segment->map;
        origin.size = atomic_load(&segment->readable);
    } else if (result != 0) {
        return error_set_os(error, result, "open %s", name);
    }
    /* With the SEAL record of a sealed one; what else may be behind the end is of no use. */
    uint64_t most = entry->length + (item->sealed ? SEAL_SIZE_MAX : 0);
    if (origin.size > most)
        origin.size = entry->length;
    backup->total_bytes += origin.size;
    backup->total_bytes -= entry->length;
    bitcask_status status = copy_file(backup, &origin, name, temporary, error);
    close_origin(&origin);
    return status;
}

/* ---- Hints ----------------------------------------------------------------------------------- */

/* Only what the store has found good. A hint is a cache: one that is not to be had is made when
 * DEST is opened. */
static bitcask_status copy_hint(struct backup *backup, const struct backup_item *item,
                                bitcask_error *error)
{
    char name[NAME_SIZE], temporary[NAME_SIZE];
    struct origin origin;
    name_hint(name, item->segment->id);
    name_hint_tmp(temporary, item->segment->id);
    if (atomic_load(&item->segment->has_hint) == 0 ||
        (may_link(backup, item) && link_file(backup, name, temporary) == 0) ||
        open_origin(backup, name, &origin) != 0)
        return BITCASK_OK;
    backup->total_bytes += origin.size;
    bitcask_status status = copy_file(backup, &origin, name, temporary, error);
    close_origin(&origin);
    return status;
}

static bitcask_status put_hint(struct backup *backup, const struct backup_item *item,
                               bitcask_error *error)
{
    char name[NAME_SIZE], temporary[NAME_SIZE];
    slice bytes = slice_of(item->hint.memory, item->hint.size);
    name_hint(name, item->segment->id);
    name_hint_tmp(temporary, item->segment->id);
    return backup_put_file(backup, name, temporary, bytes, error);
}

static bitcask_status bring_hint_now(struct backup *backup, const struct backup_item *item,
                                     bitcask_error *error)
{
    if (item->hint.memory != NULL)
        return put_hint(backup, item, error);
    return item->sealed ? copy_hint(backup, item, error) : BITCASK_OK;
}

/* Of a data file that is there: is the hint, too? A hint is a function of the data, so that its
 * size tells one that an interrupted backup has left behind. */
static bool hint_is_there(const struct backup *backup, const struct backup_item *item)
{
    char name[NAME_SIZE], path[OS_PATH_MAX];
    struct os_stat have, want = {.size = item->hint.size};
    name_hint(name, item->segment->id);
    segments_path(&backup->dest, path, name);
    if (backup->dest.os->stat(backup->dest.os, path, &have) != 0)
        return false;
    segments_path(&backup->store->segments, path, name);
    return (item->hint.memory != NULL ||
            backup->store->os->stat(backup->store->os, path, &want) == 0) &&
           have.size == want.size;
}

/* Where the manifest of before names a beginning of this segment, its hint must stay until that
 * manifest goes: one that covers more would not be believed. */
static bitcask_status bring_hint(struct backup *backup, struct backup_item *item,
                                 bitcask_error *error)
{
    item->late_hint = backup_dest_names(backup, item->segment->id);
    return item->late_hint ? BITCASK_OK : bring_hint_now(backup, item, error);
}

void backup_late_hints(struct backup *backup)
{
    struct os *os = backup->dest.os;
    bool any = false;
    for (size_t i = 0; i < backup->after.segment_count; i++) {
        const struct backup_item *item = &backup->items[i];
        bitcask_error failure = {0};
        any |= item->late_hint;
        if (item->late_hint && bring_hint_now(backup, item, &failure) < 0)
            EVENT(&backup->store->events, BITCASK_LOG_WARN, "hint_failed",
                  F_UINT("segment", item->segment->id), F_TEXT("error", failure.message));
    }
    if (any)
        (void)os->sync_dir(os, backup->dest.directory);
}

/* The hint of what the look has of a segment that is still being written, and with it the figures
 * that a sealed segment has. */
static bitcask_status build_hint(struct backup *backup, struct backup_item *item,
                                 struct manifest_segment *entry, bitcask_error *error)
{
    struct segment_figures figures;
    bitcask_status status = hint_file_build(item->segment, &backup->store->secret, entry->length,
                                            &item->hint, &figures, error);
    if (status == BITCASK_CORRUPT) { /* DEST scans it when it is opened, and says so */
        entry->damaged = true;
        return BITCASK_OK;
    }
    if (status != BITCASK_OK)
        return status;
    entry->records = figures.records;
    entry->tombstones = figures.tombstones;
    entry->version_min = figures.version_min;
    entry->version_max = figures.version_max;
    entry->expires_min = figures.expires_min;
    entry->expires_max = figures.expires_max;
    entry->rolling = figures.rolling;
    return BITCASK_OK;
}

/* ---- A segment ------------------------------------------------------------------------------- */

/* Has DEST these bytes, as far as its manifest and the size of its file tell? */
static bool is_there(const struct backup *backup, const struct manifest_segment *entry)
{
    struct os *os = backup->dest.os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    struct os_stat stat;
    if (!backup_dest_has(backup, entry))
        return false;
    name_data(name, entry->id);
    segments_path(&backup->dest, path, name);
    return os->stat(os, path, &stat) == 0 && stat.regular && stat.size >= entry->length;
}

/* Without a manifest: a file gets its name when it is whole, so size and header tell. */
static bool was_copied(const struct backup *backup, const struct backup_item *item,
                       const struct manifest_segment *entry)
{
    struct segment_header header;
    uint64_t size;
    return !backup->has_before && item->sealed && id_list_has(&backup->there.data, entry->id) &&
           segment_file_probe(&backup->dest, entry->id, &header, &size) == FILE_OURS &&
           memcmp(header.store_id, backup->after.store_id, STORE_ID_SIZE) == 0 &&
           header.salt == entry->salt && size >= entry->length;
}

static bitcask_status bring_sealed(struct backup *backup, struct backup_item *item,
                                   const struct manifest_segment *entry, bool links_only,
                                   bitcask_error *error)
{
    char name[NAME_SIZE], temporary[NAME_SIZE];
    name_data(name, entry->id);
    name_data_tmp(temporary, entry->id);
    bool reused = is_there(backup, entry);
    int linked = -EXDEV;
    if (!reused && may_link(backup, item))
        linked = link_file(backup, name, temporary);
    if (linked != 0 && linked != -EXDEV)
        return error_set_os(error, linked, "link %s", name);
    if (!reused && linked != 0)
        reused = was_copied(backup, item, entry);
    if (!reused && linked != 0 && links_only)
        return BITCASK_OK;
    bitcask_status status = BITCASK_OK;
    if (reused)
        backup->result.reused++;
    else if (linked == 0)
        backup->result.linked++;
    else {
        status = copy_data(backup, item, entry, error);
        backup->result.copied++;
    }
    if (reused || linked == 0)
        backup->done_bytes += entry->length;
    item->done = true;
    if (status != BITCASK_OK || (reused && hint_is_there(backup, item)))
        return status;
    return bring_hint(backup, item, error);
}

/* A segment that is written to: its beginning, which is whole and final. */
static bitcask_status bring_beginning(struct backup *backup, struct backup_item *item,
                                      struct manifest_segment *entry, bitcask_error *error)
{
    item->done = true;
    bitcask_status status = build_hint(backup, item, entry, error);
    bool reused = status == BITCASK_OK && is_there(backup, entry);
    if (reused) {
        backup->result.reused++;
        backup->done_bytes += entry->length;
    } else if (status == BITCASK_OK) {
        backup->result.copied++;
        status = copy_data(backup, item, entry, error);
    }
    if (status != BITCASK_OK || (reused && hint_is_there(backup, item)))
        return status;
    return bring_hint(backup, item, error);
}

bitcask_status backup_segment(struct backup *backup, size_t i, bool links_only,
                              bitcask_error *error)
{
    struct backup_item *item = &backup->items[i];
    struct manifest_segment *entry = &backup->after.segments[i];
    if (item->segment->map == NULL) { /* missing here as there: its hint says what was in it */
        item->done = true;
        backup->done_bytes += entry->length;
        return bring_hint(backup, item, error);
    }
    if (item->sealed)
        return bring_sealed(backup, item, entry, links_only, error);
    return links_only ? BITCASK_OK : bring_beginning(backup, item, entry, error);
}
