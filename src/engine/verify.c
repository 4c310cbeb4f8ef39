/* SPDX-License-Identifier: MIT
 * verify.c: the course of a verification; manifest and directory. */
#include "engine/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/manifest_file.h"
#include "engine/verify_report.h"
#include "format/names.h"

static bitcask_status tell(struct verify *verify, const struct verify_place *place,
                           const char *what, bool note)
{
    const bitcask_verify_options *options = verify->options;
    bitcask_finding finding = {
        .file = place->file,
        .segment = place->segment,
        .offset = place->offset,
        .bytes = place->bytes,
        .what = what,
        .key = place->key,
        .note = note,
    };
    bool stop = options->finding != NULL && options->finding(options->context, &finding) != 0;
    return stop ? BITCASK_CANCELLED : BITCASK_OK;
}

bitcask_status verify_report(struct verify *verify, const struct verify_place *place,
                             const char *format, ...)
{
    char what[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    verify->result.findings++;
    verify->result.damaged_bytes += place->bytes;
    return tell(verify, place, what, false);
}

bitcask_status verify_note(struct verify *verify, const struct verify_place *place,
                           const char *what)
{
    verify->result.notes++;
    return tell(verify, place, what, true);
}

static int wants_to_stop(void *context)
{
    const struct verify *verify = context;
    const bitcask_verify_options *options = verify->options;
    bitcask_verify_progress progress = {verify->done_bytes, verify->total_bytes};
    if (verify->stop != NULL && atomic_load(verify->stop))
        return 1;
    return options->progress != NULL && options->progress(options->context, &progress) != 0;
}

bitcask_status verify_pace(struct verify *verify, uint64_t bytes, bool counts)
{
    struct os *os = verify->store->os;
    verify->unpaced_bytes += bytes;
    verify->done_bytes += counts ? bytes : 0;
    if (verify->unpaced_bytes < pace_chunk(&verify->pace))
        return BITCASK_OK;
    uint64_t wait_us = pace_spend(&verify->pace, verify->unpaced_bytes, os->clock_boot(os));
    verify->unpaced_bytes = 0;
    bool go_on = wants_to_stop(verify) == 0 && pace_wait(wait_us, wants_to_stop, verify);
    return go_on ? BITCASK_OK : BITCASK_CANCELLED;
}

/* ---- The view of the store ----------------------------------------------------------------- */

/* Holding seal_mutex, write_mutex and prepare_mutex: nothing is half appended, half sealed or half
 * made at that moment. */
static bitcask_status pin_segments(struct verify *verify, bitcask_error *error)
{
    size_t count;
    struct segments *table = &verify->store->segments;
    struct segment **all = segments_pin_all(table, &count);
    pthread_mutex_lock(&table->mutex);
    verify->next_id = table->next_id;
    pthread_mutex_unlock(&table->mutex);
    verify->segments = calloc(count + 1, sizeof *verify->segments);
    if (all == NULL || verify->segments == NULL) {
        segments_unpin_all(all, count);
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for verifying");
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t state = atomic_load(&all[i]->state);
        verify->segments[i] = (struct verify_segment){
            .segment = all[i],
            .state = state,
            .end = atomic_load(&all[i]->end),
            .named = state == BITCASK_SEGMENT_SEALED || atomic_load(&all[i]->records) > 0,
        };
    }
    verify->count = count;
    free(all);
    return BITCASK_OK;
}

static bitcask_status look(struct verify *verify, bitcask_error *error)
{
    struct store *store = verify->store;
    pthread_mutex_lock(&store->seal_mutex);
    write_mutex_lock(&store->write_mutex);
    pthread_mutex_lock(&store->prepare_mutex);
    bitcask_status status = pin_segments(verify, error);
    pthread_mutex_unlock(&store->prepare_mutex);
    write_mutex_unlock(&store->write_mutex);
    pthread_mutex_unlock(&store->seal_mutex);
    return status;
}

static const struct verify_segment *find(const struct verify *verify, uint64_t id)
{
    size_t low = 0, high = verify->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (verify->segments[middle].segment->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < verify->count && verify->segments[low].segment->id == id;
    return found ? &verify->segments[low] : NULL;
}

/* ---- Manifest ------------------------------------------------------------------------------ */

/* What is wrong with an entry of the manifest, or NULL. */
static const char *fault_of(const struct manifest_segment *entry,
                            const struct verify_segment *known)
{
    if (known == NULL) /* one that never held a record may be gone before the manifest drops it */
        return entry->state == MANIFEST_SEALED ? "names a segment that is not open" : NULL;
    if (entry->salt != known->segment->salt)
        return "has another salt for the segment";
    if (entry->merge != (known->segment->kind == SEGMENT_MERGE))
        return "has another kind for the segment";
    if (entry->state == MANIFEST_SEALED && known->state == BITCASK_SEGMENT_SEALED &&
        entry->length != known->end)
        return "has another length for the segment";
    return NULL;
}

static bool names(const struct manifest *manifest, uint64_t id)
{
    size_t low = 0, high = manifest->segment_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (manifest->segments[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < manifest->segment_count && manifest->segments[low].id == id;
}

static bitcask_status compare_manifest(struct verify *verify, const struct manifest *manifest)
{
    const struct segments *table = &verify->store->segments;
    struct verify_place place = {.file = NAME_MANIFEST};
    bitcask_status status = BITCASK_OK;
    if (memcmp(manifest->store_id, table->store_id, STORE_ID_SIZE) != 0 ||
        memcmp(manifest->seed, table->seed, SEED_SIZE) != 0)
        status = verify_report(verify, &place, "belongs to another store");
    for (size_t i = 0; i < manifest->segment_count && status == BITCASK_OK; i++) {
        const struct manifest_segment *entry = &manifest->segments[i];
        const char *fault =
            entry->id < verify->next_id ? fault_of(entry, find(verify, entry->id)) : NULL;
        place.segment = entry->id;
        if (fault != NULL)
            status = verify_report(verify, &place, "%s", fault);
    }
    for (size_t i = 0; i < verify->count && status == BITCASK_OK; i++) {
        place.segment = verify->segments[i].segment->id;
        if (verify->segments[i].named && !names(manifest, place.segment))
            status = verify_report(verify, &place, "does not name a segment that is open");
    }
    return status;
}

static bitcask_status verify_manifest(struct verify *verify, bitcask_error *error)
{
    struct store *store = verify->store;
    struct manifest manifest;
    struct os_stat stat = {0};
    char path[OS_PATH_MAX];
    const char *why = NULL;
    segments_path(&store->segments, path, NAME_MANIFEST);
    pthread_mutex_lock(&store->manifest_mutex);
    bitcask_status status = manifest_file_read(&store->segments, &manifest, &why, error);
    if (status != BITCASK_NOT_FOUND && store->os->stat(store->os, path, &stat) != 0)
        stat.size = 0;
    pthread_mutex_unlock(&store->manifest_mutex);
    verify->result.files++;
    verify->result.bytes += stat.size;
    struct verify_place place = {.file = NAME_MANIFEST, .bytes = stat.size};
    if (status == BITCASK_OK) {
        status = compare_manifest(verify, &manifest);
        manifest_release(&manifest);
    } else if (status == BITCASK_NOT_FOUND) {
        status = verify_report(verify, &place, "is not there");
    } else if (status == BITCASK_CORRUPT) {
        status = verify_report(verify, &place, "is damaged: %s", why);
    } else if (status == BITCASK_FORMAT) {
        status = verify_report(verify, &place, "is of a newer format");
    }
    return status;
}

/* ---- Directory ----------------------------------------------------------------------------- */

struct directory_walk {
    struct verify *verify;
    bitcask_status status;
};

/* Is it the name of a segment that was made after the look? */
static bool is_newer(struct verify *verify, uint64_t id)
{
    struct segments *table = &verify->store->segments;
    pthread_mutex_lock(&table->mutex);
    uint64_t next_id = table->next_id;
    pthread_mutex_unlock(&table->mutex);
    return id >= verify->next_id && id < next_id;
}

static int look_at_name(void *context, const char *name)
{
    struct directory_walk *walk = context;
    struct verify *verify = walk->verify;
    struct os *os = verify->store->os;
    uint64_t id;
    enum name_kind kind = name_parse(name, &id);
    if ((kind != NAME_DATA && kind != NAME_HINT && kind != NAME_HINT_TMP &&
         kind != NAME_DATA_TMP) ||
        find(verify, id) != NULL || is_newer(verify, id))
        return 0;
    char path[OS_PATH_MAX];
    struct os_stat stat = {0};
    segments_path(&verify->store->segments, path, name);
    if (os->stat(os, path, &stat) != 0)
        stat.size = 0;
    struct verify_place place = {.file = name, .segment = id, .bytes = stat.size};
    walk->status = verify_note(verify, &place, "belongs to no segment of the store");
    return walk->status != BITCASK_OK;
}

static bitcask_status verify_directory(struct verify *verify, bitcask_error *error)
{
    struct os *os = verify->store->os;
    struct directory_walk walk = {verify, BITCASK_OK};
    int result = os->list(os, verify->store->segments.directory, look_at_name, &walk);
    if (result < 0)
        return error_set_os(error, result, "list the directory");
    return walk.status;
}

/* ---- The course ---------------------------------------------------------------------------- */

/* What must be seen at one moment: no merge changes it meanwhile. */
static bitcask_status verify_names(struct verify *verify, bitcask_error *error)
{
    struct store *store = verify->store;
    merge_gate_enter_quietly(store);
    bitcask_status status = look(verify, error);
    if (status == BITCASK_OK)
        status = verify_manifest(verify, error);
    if (status == BITCASK_OK)
        status = verify_directory(verify, error);
    merge_gate_leave(store);
    for (size_t i = 0; i < verify->count; i++)
        verify->total_bytes += verify->segments[i].end;
    return status;
}

static bitcask_status verify_all(struct verify *verify, bitcask_error *error)
{
    bitcask_status status = verify_names(verify, error);
    for (size_t i = 0; i < verify->count && status == BITCASK_OK; i++)
        status = verify_files_of(verify, &verify->segments[i], error);
    if (status == BITCASK_OK)
        status = verify_index(verify, error);
    if (status == BITCASK_OK)
        status = verify_image(verify, error);
    return status;
}

bitcask_status verify_run_with(struct store *store, const bitcask_verify_options *options,
                               bitcask_verify_result *result, bitcask_error *error)
{
    struct verify verify = {
        .store = store,
        .options = options,
        .pace = {.rate = {.bytes_per_s = options->bytes_per_s}},
    };
    bitcask_status status = verify_all(&verify, error);
    for (size_t i = 0; i < verify.count; i++)
        segment_unpin(verify.segments[i].segment);
    free(verify.segments);
    if (status == BITCASK_OK && verify.result.findings > 0)
        status = error_set(error, BITCASK_CORRUPT, "%llu findings, %llu bytes affected",
                           (unsigned long long)verify.result.findings,
                           (unsigned long long)verify.result.damaged_bytes);
    if (result != NULL) {
        verify.result.struct_size = result->struct_size;
        *result = verify.result;
    }
    return status;
}

bitcask_status verify_run(struct store *store,
                          int (*finding)(void *context, const bitcask_finding *finding),
                          void *context, bitcask_verify_result *result, bitcask_error *error)
{
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.finding = finding;
    options.context = context;
    return verify_run_with(store, &options, result, error);
}
