/* SPDX-License-Identifier: MIT
 * repair.c: the course of a repair. */
#include <errno.h>
#include <stdlib.h>

#include "engine/repair_internal.h"
#include "format/names.h"

static bitcask_status open_store(struct repair *repair, struct os *os, const char *directory,
                                 bitcask_error *error)
{
    const bitcask_repair_options *given = repair->options;
    bitcask_options options;
    bitcask_options_init(&options);
    options.create = 0;
    options.read_only = given->dry_run != 0;
    options.background = BITCASK_BACKGROUND_NONE;
    options.index_snapshot = 0; /* what is on disk counts */
    options.log = given->log;
    options.log_level = given->log_level;
    options.log_context = given->context;
    bitcask_status status = store_open(os, directory, &options, &repair->store, error);
    if (status == BITCASK_OK && !given->dry_run)
        status = store_writable(repair->store, error);
    return status;
}

static bitcask_status list_segments(struct repair *repair, bitcask_error *error)
{
    size_t count;
    struct segment **all = segments_pin_all(&repair->store->segments, &count);
    repair->segments = calloc(count + 1, sizeof *repair->segments);
    if (all == NULL || repair->segments == NULL) {
        segments_unpin_all(all, count);
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a repair");
    }
    for (size_t i = 0; i < count; i++)
        repair->segments[i] = (struct repair_segment){
            .segment = all[i],
            .end = atomic_load(&all[i]->end),
        };
    repair->count = count;
    free(all);
    return BITCASK_OK;
}

static bitcask_status write_hint(struct repair_segment *item, bitcask_error *error)
{
    if (item->hint.memory == NULL || item->hint.mapped)
        return BITCASK_OK;
    return hint_file_write(item->segment, &item->hint, error);
}

static bitcask_status remove_image(const struct repair *repair, bitcask_error *error)
{
    const struct segments *table = &repair->store->segments;
    struct os *os = table->os;
    char path[OS_PATH_MAX];
    segments_path(table, path, NAME_IMAGE);
    int result = os->unlink(os, path);
    if (result == 0 || result == -ENOENT)
        result = os->sync_dir(os, table->directory);
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "remove %s", NAME_IMAGE);
}

static bitcask_status mend(struct repair *repair, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < repair->count && status == BITCASK_OK; i++) {
        if (repair->segments[i].rewrite)
            status = repair_rewrite(repair, &repair->segments[i], error);
    }
    for (size_t i = 0; i < repair->count && status == BITCASK_OK; i++) {
        if (repair->segments[i].rehint && !repair->segments[i].rewrite)
            status = write_hint(&repair->segments[i], error);
    }
    if (status == BITCASK_OK && repair->image_is_bad)
        status = remove_image(repair, error);
    return status;
}

static void release(struct repair *repair)
{
    struct os *os = repair->store->os;
    for (size_t i = 0; i < repair->count; i++) {
        struct repair_segment *item = &repair->segments[i];
        hint_file_close(os, &item->hint);
        hint_file_close(os, &item->left);
        scan_release(&item->scan);
        free(item->deletions);
        segment_unpin(item->segment);
    }
    free(repair->segments);
}

bitcask_status repair_run(struct os *os, const char *directory,
                          const bitcask_repair_options *options, bitcask_repair_result *result,
                          bitcask_error *error)
{
    struct repair repair = {.options = options};
    bitcask_status status = open_store(&repair, os, directory, error);
    if (status == BITCASK_OK)
        status = list_segments(&repair, error);
    if (status == BITCASK_OK)
        status = repair_examine(&repair, error);
    if (status == BITCASK_OK && !options->dry_run)
        status = mend(&repair, error);
    if (status < 0)
        error_prefix(error, "repair '%s'", directory);
    if (repair.store != NULL) {
        /* The index is of what was: the next open makes it anew. Nothing was written to the log. */
        release(&repair);
        store_abandon(repair.store);
    }
    if (result != NULL) {
        repair.result.struct_size = result->struct_size;
        *result = repair.result;
    }
    return status;
}
