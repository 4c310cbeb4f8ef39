/* SPDX-License-Identifier: MIT
 * repair_examine.c: what is wrong with a store, what is gone, and what shows instead. */
#include <stdlib.h>

#include "engine/inventory.h"
#include "engine/repair_internal.h"
#include "engine/verify_report.h"
#include "format/names.h"

/* ---- Which files? -------------------------------------------------------------------------- */

/* While the files of one segment are checked; or, without an item, the index snapshot. */
struct check {
    struct repair_segment *item;
    bool image_is_bad;
    const bitcask_repair_options *options;
};

static int note_finding(void *context, const bitcask_finding *finding)
{
    struct check *check = context;
    uint64_t id;
    if (finding->note)
        return 0;
    if (check->item == NULL)
        check->image_is_bad = true;
    else if (name_parse(finding->file, &id) == NAME_DATA)
        check->item->rewrite = true;
    else
        check->item->rehint = true;
    return 0;
}

static int note_progress(void *context, const bitcask_verify_progress *progress)
{
    struct check *check = context;
    const bitcask_repair_options *options = check->options;
    return options->progress != NULL &&
           options->progress(options->context, progress->done_bytes, progress->total_bytes) != 0;
}

static bitcask_status check_files(struct repair *repair, bitcask_error *error)
{
    struct check check = {.options = repair->options};
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.finding = note_finding;
    options.progress = note_progress;
    options.context = &check;
    struct verify verify = {.store = repair->store, .options = &options};
    for (size_t i = 0; i < repair->count; i++)
        verify.total_bytes += repair->segments[i].end;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < repair->count && status == BITCASK_OK; i++) {
        struct repair_segment *item = check.item = &repair->segments[i];
        struct verify_segment entry = {
            .segment = item->segment,
            .state = atomic_load(&item->segment->state),
            .end = item->end,
            .named = true,
        };
        item->damaged = atomic_load(&item->segment->damaged) != 0;
        status = verify_files_of(&verify, &entry, error);
        item->rewrite |= item->damaged; /* the manifest is to say no longer that it is */
    }
    check.item = NULL;
    if (status == BITCASK_OK)
        status = verify_image(&verify, error);
    repair->image_is_bad = check.image_is_bad;
    return status;
}

/* ---- What is left of each ------------------------------------------------------------------ */

bitcask_status repair_scan(const struct repair_segment *item, scan_record_fn each, void *context,
                           struct scan_result *scan)
{
    const struct segment *segment = item->segment;
    uint64_t readable = segment->map != NULL ? atomic_load(&segment->readable) : 0;
    uint64_t size = readable < item->end ? readable : item->end;
    struct scan_options options = {
        .salt = segment->salt,
        .segment_id = segment->id,
        .version_limit = VERSION_MAX,
        .vouched = size,
    };
    return scan_segment(slice_of(segment->map, (size_t)size), &options, each, context, scan);
}

static int collect(void *context, uint64_t offset, const uint8_t *bytes,
                   const struct record_shape *shape)
{
    return hint_builder_add(context, shape, bytes, offset) != BITCASK_OK;
}

/* A hint written before the damage came; not one that recovery has made of what it found, in which
 * keys of damaged records are what the damaged bytes say. */
static bool is_trusted(const struct repair_segment *item)
{
    const struct segment *segment = item->segment;
    struct meta_seal seal;
    uint8_t *bytes;
    if (!item->damaged)
        return true;
    if (segment->map == NULL ||
        segment_file_seal(segment->table, segment->id, segment->salt,
                          atomic_load(&segment->readable), &seal, &bytes) != BITCASK_OK)
        return false;
    free(bytes);
    return seal.rolling == item->hint.hint.header.rolling &&
           seal.length == item->hint.hint.header.length;
}

static bitcask_status scan_damaged(struct repair *repair, struct repair_segment *item,
                                   bitcask_error *error)
{
    struct hint_builder builder;
    hint_builder_init(&builder, repair->store->os, &repair->store->secret);
    bitcask_status status = repair_scan(item, collect, &builder, &item->scan);
    if (status == BITCASK_OK)
        status = hint_builder_finish(&builder, item->segment, item->end, &item->left, error);
    else
        status = error_set(error, BITCASK_NO_MEMORY, "out of memory for a repair");
    hint_builder_release(&builder);
    return status;
}

static bitcask_status examine_segment(struct repair *repair, struct repair_segment *item,
                                      bitcask_error *error)
{
    struct segment *segment = item->segment;
    uint64_t length = item->end > 0 ? item->end : BITCASK_MAX_SEGMENT_SIZE;
    bitcask_status status = item->rehint && !item->rewrite
                                ? BITCASK_CORRUPT
                                : hint_file_open(segment, length, false, true, &item->hint, NULL);
    if (status == BITCASK_NO_MEMORY)
        return error_set(error, status, "out of memory for a repair");
    if (status == BITCASK_OK)
        item->trusted = is_trusted(item);
    if (item->rewrite)
        return scan_damaged(repair, item, error);
    if (status == BITCASK_OK && item->hint.hint.header.length == item->end)
        return BITCASK_OK;
    struct segment_figures figures;
    hint_file_close(segment->os, &item->hint);
    return hint_file_build(segment, &repair->store->secret, item->end, &item->hint, &figures,
                           error);
}

/* ---- What is gone -------------------------------------------------------------------------- */

/* The newest that the rest of the store has of a key: true if there is anything. */
static bool find_newest(const struct repair *repair, uint64_t hash, slice key,
                        struct hint_entry *newest)
{
    bool found = false;
    for (size_t i = 0; i < repair->count; i++) {
        const struct repair_segment *item = &repair->segments[i];
        const struct hint_file *file = item->rewrite ? &item->left : &item->hint;
        struct hint_entry entry;
        if (hint_file_find(file, hash, key, &entry) != BITCASK_OK ||
            (found && entry.version <= newest->version))
            continue;
        *newest = entry;
        found = true;
    }
    return found;
}

static bitcask_status tell(struct repair *repair, const struct repair_segment *item,
                           bitcask_loss loss)
{
    const bitcask_repair_options *options = repair->options;
    char name[NAME_SIZE];
    name_data(name, item->segment->id);
    loss.file = name;
    loss.segment = item->segment->id;
    repair->result.losses++;
    bool stop = options->loss != NULL && options->loss(options->context, &loss) != 0;
    return stop ? BITCASK_CANCELLED : BITCASK_OK;
}

static bool remember(struct repair_segment *item, uint64_t version, slice key)
{
    if (item->deletion_count == item->deletion_capacity) {
        size_t capacity = item->deletion_capacity * 2 + 16;
        void *grown = realloc(item->deletions, capacity * sizeof *item->deletions);
        if (grown == NULL)
            return false;
        item->deletions = grown;
        item->deletion_capacity = capacity;
    }
    item->deletions[item->deletion_count++] = (struct repair_deletion){version, key};
    return true;
}

/* A record that the hint knows and the data no longer has. */
static bitcask_status lose(struct repair *repair, struct repair_segment *item,
                           const struct hint_entry *entry, slice key, bitcask_error *error)
{
    struct hint_entry newest = {0};
    bool found = find_newest(repair, entry->hash, key, &newest);
    if (found && newest.version >= entry->version)
        return BITCASK_OK; /* it was dead, or there is another copy */
    bool deletion = (entry->flags & RECORD_TOMBSTONE) != 0;
    if (deletion && item->trusted) {
        repair->result.deletions_kept++;
        return remember(item, entry->version, key)
                   ? BITCASK_OK
                   : error_set(error, BITCASK_NO_MEMORY, "out of memory for a repair");
    }
    bool shows = found && (newest.flags & RECORD_TOMBSTONE) == 0;
    if (deletion && !shows)
        return BITCASK_OK;
    return tell(repair, item,
                (bitcask_loss){
                    .offset = entry->offset,
                    .bytes = record_size(entry->flags, entry->key_size, entry->value_size),
                    .key = key,
                    .key_certain = item->trusted,
                    .version = entry->version,
                    .older_version = shows ? newest.version : 0,
                    .what = deletion ? "the deletion is gone, and an older value shows again"
                            : shows  ? "the value is gone, and an older one shows"
                                     : "the value is gone",
                });
}

static bool in_hole(const struct scan_result *scan, uint64_t offset)
{
    for (size_t i = 0; i < scan->hole_count; i++) {
        if (offset >= scan->holes[i].offset && offset < scan->holes[i].end)
            return true;
    }
    return false;
}

static bitcask_status lose_range(struct repair *repair, const struct repair_segment *item,
                                 uint64_t from, uint64_t to)
{
    return tell(repair, item,
                (bitcask_loss){
                    .offset = from,
                    .bytes = to - from,
                    .what = "damaged or cut off, and nothing tells for sure what was there",
                });
}

/* Bytes of which no hint tells whose they are. */
static bitcask_status lose_unknown(struct repair *repair, const struct repair_segment *item)
{
    bitcask_status status = BITCASK_OK;
    if (item->segment->map == NULL)
        return tell(repair, item,
                    (bitcask_loss){
                        .bytes = item->end,
                        .what = "the file is not there, and nothing tells what was in it",
                    });
    for (size_t i = 0; i < item->scan.hole_count && status == BITCASK_OK; i++) {
        const struct scan_hole *hole = &item->scan.holes[i];
        if (hole->end > hole->offset)
            status = lose_range(repair, item, hole->offset, hole->end);
    }
    uint64_t readable = atomic_load(&item->segment->readable);
    if (status == BITCASK_OK && readable < item->end)
        status = lose_range(repair, item, readable, item->end);
    return status;
}

static bitcask_status find_losses(struct repair *repair, struct repair_segment *item,
                                  bitcask_error *error)
{
    const struct hint *hint = &item->hint.hint;
    const struct scan_result *scan = &item->scan;
    uint64_t readable = item->segment->map != NULL ? atomic_load(&item->segment->readable) : 0;
    uint64_t key_at = 0;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < scan->hole_count; i++)
        repair->result.bytes_lost += scan->holes[i].end - scan->holes[i].offset;
    repair->result.bytes_lost += readable < item->end ? item->end - readable : 0;
    if (!item->trusted || hint->header.length < item->end)
        status = lose_unknown(repair, item);
    if (item->hint.memory == NULL)
        return status;
    for (uint64_t i = 0; i < hint->header.entries && status == BITCASK_OK; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        slice key = slice_of(hint->keys + key_at, entry.key_size);
        key_at += entry.key_size;
        if (entry.offset >= readable || in_hole(scan, entry.offset))
            status = lose(repair, item, &entry, key, error);
    }
    return status;
}

bitcask_status repair_examine(struct repair *repair, bitcask_error *error)
{
    bitcask_status status = check_files(repair, error);
    for (size_t i = 0; i < repair->count && status == BITCASK_OK; i++)
        status = examine_segment(repair, &repair->segments[i], error);
    for (size_t i = 0; i < repair->count && status == BITCASK_OK; i++) {
        struct repair_segment *item = &repair->segments[i];
        if (!item->rewrite)
            continue;
        repair->result.segments += item->segment->map != NULL;
        repair->result.missing_segments += item->segment->map == NULL;
        repair->result.records_kept += item->scan.records;
        status = find_losses(repair, item, error);
    }
    for (size_t i = 0; i < repair->count; i++)
        repair->result.hints += repair->segments[i].rehint && !repair->segments[i].rewrite;
    return status;
}
