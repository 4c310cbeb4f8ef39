/* SPDX-License-Identifier: MIT
 * salvage.c: loose data files into a new store. */
#include "engine/salvage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/merge_output.h"
#include "engine/salvage_salt.h"
#include "engine/scan.h"
#include "format/hint.h"
#include "format/segment_header.h"

struct salvage {
    struct store *store; /* the new one */
    const bitcask_salvage_options *options;
    struct merge_output output;
    bitcask_salvage_result result;
    bitcask_status status; /* of a callback that stopped a scan */
    bitcask_error *error;
};

/* A file at hand. */
struct loose {
    struct salvage *salvage;
    const char *path;
    slice bytes; /* mapped */
    bitcask_salvage_file report;
    uint64_t end; /* records at or behind it are not taken */
};

/* ---- Files ----------------------------------------------------------------------------------- */

/* Map a whole file; an empty one has no bytes. */
static int map_file(struct os *os, const char *path, slice *bytes)
{
    struct os_file *file;
    struct os_stat stat;
    void *map = NULL;
    *bytes = slice_of(NULL, 0);
    int result = os->open(os, path, OS_READ, &file);
    if (result != 0)
        return result;
    result = os->stat_file(os, file, &stat);
    if (result == 0 && stat.size > 0)
        result = os->map(os, file, (size_t)stat.size, false, &map);
    if (result == 0 && map != NULL) {
        *bytes = slice_of(map, (size_t)stat.size);
        os->advise(os, map, bytes->size, OS_ADVISE_SEQUENTIAL);
    }
    os->close(os, file);
    return result;
}

static void unmap_file(struct os *os, slice bytes)
{
    if (bytes.data != NULL)
        os->unmap(os, (void *)(uintptr_t)bytes.data, bytes.size);
}

/* What the hint beside "X.data", that is "X.hint", says of the salt. */
static bool ask_hint(struct os *os, const char *path, uint64_t *salt)
{
    static const char data[] = ".data", hint_suffix[] = ".hint";
    char beside[OS_PATH_MAX];
    size_t size = strlen(path), cut = size;
    if (size >= sizeof data && strcmp(path + size - (sizeof data - 1), data) == 0)
        cut = size - (sizeof data - 1);
    if (cut + sizeof hint_suffix > sizeof beside)
        return false;
    memcpy(beside, path, cut);
    memcpy(beside + cut, hint_suffix, sizeof hint_suffix);
    slice bytes;
    struct hint hint;
    if (map_file(os, beside, &bytes) != 0)
        return false;
    bool good = hint_open(bytes, &hint, NULL) == BITCASK_OK;
    if (good)
        *salt = hint.header.salt;
    unmap_file(os, bytes);
    return good;
}

/* ---- Salt ------------------------------------------------------------------------------------ */

static bool find_salt(struct loose *loose, uint64_t *salt)
{
    struct os *os = loose->salvage->store->os;
    struct segment_header header;
    bitcask_status status = BITCASK_CORRUPT;
    if (loose->bytes.size >= SEGMENT_HEADER_SIZE)
        status = segment_header_decode(slice_of(loose->bytes.data, SEGMENT_HEADER_SIZE), &header);
    if (status == BITCASK_FORMAT) {
        loose->report.what = "of a newer format: not read";
        return false;
    }
    if (status == BITCASK_OK) {
        *salt = header.salt;
        loose->report.segment = header.segment_id;
        return true;
    }
    if (ask_hint(os, loose->path, salt)) {
        loose->report.what = "the header is damaged; its hint told the salt";
        return true;
    }
    if (salt_find(loose->bytes, salt)) {
        loose->report.what = "the header is damaged; the salt was computed from two records";
        return true;
    }
    loose->report.what = "no data file, or nothing tells its salt";
    return false;
}

/* ---- Records --------------------------------------------------------------------------------- */

static int copy_record(void *context, uint64_t offset, const uint8_t *bytes,
                       const struct record_shape *shape)
{
    struct loose *loose = context;
    struct salvage *salvage = loose->salvage;
    if ((shape->flags & RECORD_META) != 0 || offset >= loose->end)
        return 0;
    struct record record = record_at(bytes, shape);
    record.flags &= ~(uint32_t)RECORD_BATCH_MORE; /* it stands alone there */
    struct keydir_place place;
    salvage->status = merge_output_add(&salvage->output, &record, &place, salvage->error);
    loose->report.records++;
    loose->report.deletions += (shape->flags & RECORD_TOMBSTONE) != 0;
    return salvage->status != BITCASK_OK;
}

/* What is between the records; and where to stop: a batch whose end was never written is none. */
static bitcask_status survey(struct loose *loose, const struct scan_options *options)
{
    struct scan_result scan;
    bitcask_status status = scan_segment(loose->bytes, options, NULL, NULL, &scan);
    loose->end = UINT64_MAX;
    for (size_t i = 0; i < scan.hole_count; i++) {
        const struct scan_hole *hole = &scan.holes[i];
        loose->report.bytes_lost += hole->end - hole->offset;
        if (hole->end == hole->offset && i + 1 == scan.hole_count)
            loose->end = hole->cut;
    }
    scan_release(&scan);
    return status;
}

static bitcask_status copy_records(struct loose *loose, uint64_t salt)
{
    struct salvage *salvage = loose->salvage;
    struct scan_options options = {
        .salt = salt,
        .segment_id = loose->report.segment,
        .version_limit = VERSION_MAX,
    };
    if (loose->bytes.size > UINT32_MAX)
        loose->bytes.size = UINT32_MAX; /* no record begins behind it */
    bitcask_status status = survey(loose, &options);
    struct scan_result scan = {0};
    if (status == BITCASK_OK) {
        status = scan_segment(loose->bytes, &options, copy_record, loose, &scan);
        scan_release(&scan);
    }
    if (status == BITCASK_CANCELLED)
        return salvage->status;
    if (status != BITCASK_OK)
        return error_set(salvage->error, status, "out of memory for a salvage");
    return BITCASK_OK;
}

static bitcask_status tell(struct loose *loose)
{
    struct salvage *salvage = loose->salvage;
    const bitcask_salvage_options *options = salvage->options;
    salvage->result.files++;
    salvage->result.files_used += loose->report.records > 0;
    salvage->result.records += loose->report.records;
    salvage->result.deletions += loose->report.deletions;
    salvage->result.bytes_lost += loose->report.bytes_lost;
    bool stop = options->file != NULL && options->file(options->context, &loose->report) != 0;
    return stop ? BITCASK_CANCELLED : BITCASK_OK;
}

static bitcask_status take_file(struct salvage *salvage, const char *path)
{
    struct os *os = salvage->store->os;
    struct loose loose = {.salvage = salvage, .path = path, .report = {.path = path}};
    int result = map_file(os, path, &loose.bytes);
    if (result == -ENOMEM || result == -ENOENT)
        return error_set_os(salvage->error, result, "open '%s'", path);
    size_t mapped = loose.bytes.size;
    uint64_t salt;
    bitcask_status status = BITCASK_OK;
    loose.report.size = mapped;
    loose.report.what = "";
    if (result != 0) {
        loose.report.what = "cannot be read";
    } else if (find_salt(&loose, &salt)) {
        status = copy_records(&loose, salt);
    } else {
        loose.report.bytes_lost = mapped;
    }
    if (status == BITCASK_OK)
        status = tell(&loose);
    unmap_file(os, slice_of(loose.bytes.data, mapped));
    return status;
}

/* ---- The new store --------------------------------------------------------------------------- */

/* A store that is there must be an empty one: what an interrupted salvage leaves. */
static bitcask_status open_new(struct salvage *salvage, struct os *os, const char *directory)
{
    bitcask_options options;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    bitcask_status status = store_open(os, directory, &options, &salvage->store, salvage->error);
    if (status == BITCASK_OK && salvage->store->segments.count > 0)
        return error_set(salvage->error, BITCASK_STORE_EXISTS,
                         "a store with data is there; choose a new directory");
    return status;
}

static bitcask_status publish(struct salvage *salvage, enum merge_output_fate *fate)
{
    struct store *store = salvage->store;
    struct merge_output *output = &salvage->output;
    bitcask_status status = merge_output_finish(output, false, salvage->error);
    if (status != BITCASK_OK)
        return status;
    uint64_t ceiling = 0;
    for (size_t i = 0; i < output->count; i++) {
        uint64_t version = atomic_load(&output->segments[i]->version_max);
        ceiling = version > ceiling ? version : ceiling;
        segments_publish(&store->segments, output->segments[i]);
    }
    *fate = MERGE_OUTPUT_KEEP;
    status = store_save_manifest_with(store, true, ceiling, salvage->error);
    for (size_t i = 0; i < output->count && status != BITCASK_OK; i++) {
        segments_withdraw(&store->segments, output->segments[i]);
        *fate = MERGE_OUTPUT_FORGET;
    }
    return status;
}

bitcask_status salvage_run(struct os *os, const char *const *files, size_t count,
                           const char *directory, const bitcask_salvage_options *options,
                           bitcask_salvage_result *result, bitcask_error *error)
{
    struct salvage salvage = {.options = options, .error = error};
    enum merge_output_fate fate = MERGE_OUTPUT_DELETE;
    bitcask_status status = open_new(&salvage, os, directory);
    if (status == BITCASK_OK) {
        status = merge_output_init(&salvage.output, salvage.store, NULL, 0, 0, error);
        for (size_t i = 0; i < count && status == BITCASK_OK; i++)
            status = take_file(&salvage, files[i]);
        if (status == BITCASK_OK)
            status = publish(&salvage, &fate);
        merge_output_release(&salvage.output, fate);
    }
    if (salvage.store != NULL) /* the next open makes the index */
        store_abandon(salvage.store);
    if (status < 0)
        error_prefix(error, "salvage into '%s'", directory);
    if (result != NULL) {
        salvage.result.struct_size = result->struct_size;
        *result = salvage.result;
    }
    return status;
}
