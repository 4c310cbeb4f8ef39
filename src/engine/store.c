/* SPDX-License-Identifier: MIT
 * store.c: opening, closing, and the manifest of an open store. */
#include "engine/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/background.h"
#include "engine/follow.h"
#include "engine/index_image.h"
#include "engine/log_writer.h"
#include "engine/manifest_file.h"
#include "engine/merge_schedule.h"
#include "engine/read_ahead.h"
#include "engine/recovery.h"
#include "engine/rehint.h"
#include "engine/reserve.h"
#include "engine/scrub.h"
#include "format/names.h"

/* ---- Refusing writes ----------------------------------------------------------------------- */

void store_poison(struct store *store, bitcask_status status, const char *reason)
{
    pthread_mutex_lock(&store->work_mutex);
    if (atomic_load(&store->write_status) == 0) {
        snprintf(store->write_reason, sizeof store->write_reason, "%s", reason);
        atomic_store(&store->write_status, status);
    }
    pthread_mutex_unlock(&store->work_mutex);
    EVENT(&store->events, BITCASK_LOG_ERROR, "writes_refused", F_TEXT("why", reason));
}

bitcask_status store_writable(struct store *store, bitcask_error *error)
{
    if (UNLIKELY(store->options.read_only))
        return error_set(error, BITCASK_READ_ONLY, "the store is open for reading only");
    int status = atomic_load_explicit(&store->write_status, memory_order_acquire);
    if (LIKELY(status == 0))
        return BITCASK_OK;
    return error_set(error, status == BITCASK_NO_SPACE ? BITCASK_NO_SPACE : BITCASK_READ_ONLY,
                     "writes are refused: %s", store->write_reason);
}

/* ---- The manifest -------------------------------------------------------------------------- */

/* The table as a manifest; segments is malloc'd. */
static bitcask_status describe(struct store *store, bool clean, uint64_t ceiling,
                               struct manifest *manifest)
{
    struct segments *table = &store->segments;
    *manifest = (struct manifest){
        .format = FORMAT_VERSION,
        .version_ceiling = ceiling,
        .clean = clean,
    };
    memcpy(manifest->store_id, table->store_id, STORE_ID_SIZE);
    memcpy(manifest->fork_id, store->fork_id, STORE_ID_SIZE);
    memcpy(manifest->seed, table->seed, SEED_SIZE);
    pthread_mutex_lock(&table->mutex);
    manifest->next_id = table->next_id;
    manifest->log_floor = table->log_floor;
    manifest->segments = calloc(table->count + 1, sizeof *manifest->segments);
    manifest->segment_count = manifest->segments == NULL ? 0 : table->count;
    for (size_t i = 0; i < manifest->segment_count; i++) {
        struct manifest_segment *entry = &manifest->segments[i];
        segment_describe(table->by_id[i], entry);
        if (!clean && entry->state != MANIFEST_SEALED) { /* nothing is promised of its end */
            uint64_t synced = atomic_load(&table->by_id[i]->synced);
            bool vouched = !entry->merge && synced > SEGMENT_HEADER_SIZE;
            *entry = (struct manifest_segment){
                .id = entry->id,
                .state = entry->state,
                .merge = entry->merge,
                .damaged = entry->damaged,
                .salt = entry->salt,
                .durable = vouched && !PLANTED(durable_untold) ? synced : 0,
                .created_us = entry->created_us,
            };
        }
    }
    pthread_mutex_unlock(&table->mutex);
    return manifest->segments == NULL ? BITCASK_NO_MEMORY : BITCASK_OK;
}

bitcask_status store_save_manifest_with(struct store *store, bool clean, uint64_t ceiling,
                                        bitcask_error *error)
{
    struct manifest manifest;
    pthread_mutex_lock(&store->manifest_mutex);
    uint64_t old = atomic_load(&store->version_ceiling);
    if (!clean && ceiling < old)
        ceiling = old;
    if (ceiling > VERSION_MAX)
        ceiling = VERSION_MAX;
    bitcask_status status = describe(store, clean, ceiling, &manifest);
    if (status != BITCASK_OK)
        error_set(error, status, "out of memory for %s", NAME_MANIFEST);
    else
        status = manifest_file_write(&store->segments, &manifest, error);
    if (status == BITCASK_NO_SPACE && reserve_release(store)) {
        status = manifest_file_write(&store->segments, &manifest, error);
        reserve_keep_last(store); /* before the log takes what the manifest of before had */
    }
    free(manifest.segments);
    if (status == BITCASK_OK) {
        atomic_store(&store->version_ceiling, ceiling);
        store->manifest_clean = clean;
        reserve_follow_manifest(store);
    }
    pthread_mutex_unlock(&store->manifest_mutex);
    if (status == BITCASK_OK)
        read_ahead_look(store, false);
    return status;
}

bitcask_status store_save_manifest(struct store *store, bool clean, bitcask_error *error)
{
    return store_save_manifest_with(store, clean, atomic_load(&store->version_ceiling), error);
}

/* ---- Look-ups for the keydir --------------------------------------------------------------- */

/* The hash of the record at a place, for keydir_retag. */
static bool hash_at(void *context, struct keydir_place place, uint64_t *hash)
{
    struct store *store = context;
    const struct segment *segment = segments_at(&store->segments, place.segment_slot);
    struct segment_record record;
    if (segment_read(segment, place.offset, &record, NULL) != BITCASK_OK)
        return false;
    *hash = hash_key(&store->secret, segment_record_key(&record));
    return true;
}

static void prefetch_at(void *context, struct keydir_place place)
{
    struct store *store = context;
    segment_prefetch(segments_at(&store->segments, place.segment_slot), place.offset);
}

struct keydir_options store_keydir_options(struct store *store)
{
    return (struct keydir_options){
        .hash_of = hash_at,
        .prefetch = prefetch_at,
        .hash_context = store,
        .max_bytes = store->options.max_index_bytes,
    };
}

/* ---- Lock ---------------------------------------------------------------------------------- */

static bitcask_status say_locked(struct store *store, bitcask_error *error)
{
    struct os *os = store->os;
    char path[OS_PATH_MAX], text[128] = "";
    struct os_file *file;
    struct os_lock *shared;
    if (os->lock(os, store->segments.directory, false, &shared) ==
        0) { /* the file names a writer */
        os->unlock(os, shared);
        return error_set(error, BITCASK_LOCKED, "the store is being read by another process");
    }
    segments_path(&store->segments, path, NAME_LOCK);
    if (os->open(os, path, OS_READ, &file) == 0) {
        int64_t got = os->pread(os, file, text, sizeof text - 1, 0);
        text[got > 0 ? got : 0] = '\0';
        os->close(os, file);
    }
    unsigned long long pid = 0;
    char host[65] = "";
    if (sscanf(text, "pid %20llu host %64s", &pid, host) == 2)
        return error_set(error, BITCASK_LOCKED, "the store is in use by process %llu on %s", pid,
                         host);
    return error_set(error, BITCASK_LOCKED, "the store is in use by another process");
}

static bitcask_status take_lock(struct store *store, bitcask_error *error)
{
    struct os *os = store->os;
    bool exclusive = !store->options.read_only && !PLANTED(lock_shared);
    int result = os->lock(os, store->segments.directory, exclusive, &store->lock);
    if (result == -EWOULDBLOCK)
        return say_locked(store, error);
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "lock the directory");
}

/* Who holds the lock: advice for messages, so failures do not matter. */
static void sign_lock(struct store *store)
{
    struct os *os = store->os;
    char path[OS_PATH_MAX], host[65] = "", text[160];
    struct os_file *file;
    os->host_name(os, host, sizeof host);
    int size = snprintf(text, sizeof text, "pid %llu host %s since %llu us\n",
                        (unsigned long long)os->process_id(os), host[0] != '\0' ? host : "?",
                        (unsigned long long)os->clock_real(os));
    segments_path(&store->segments, path, NAME_LOCK);
    os->unlink(os, path);
    if (os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, &file) == 0) {
        if (os->pwrite(os, file, text, (size_t)size, 0, 0) != 0)
            EVENT(&store->events, BITCASK_LOG_DEBUG, "lock_unsigned", F_TEXT("path", path));
        os->close(os, file);
    }
}

/* ---- Open ---------------------------------------------------------------------------------- */

static bitcask_status take_options(struct store *store, const bitcask_options *options,
                                   bitcask_error *error)
{
    struct store_options *own = &store->options;
    *own = (struct store_options){
        .create = options->create && !options->read_only && !options->follow,
        .error_if_exists = options->error_if_exists,
        .read_only = options->read_only || options->follow,
        .follow = options->follow,
        .verify_reads = options->verify_reads,
        .sync = options->sync == BITCASK_SYNC_DEFAULT ? BITCASK_SYNC_INTERVAL : options->sync,
        .sync_interval_ms = options->sync_interval_ms,
        .background = options->background,
        .segment_size = options->segment_size,
        .segment_max_records = options->segment_max_records,
        .expected_keys = options->expected_keys,
        .tombstone_min_age_ms = options->tombstone_min_age_ms,
        .max_disk_bytes = options->max_disk_bytes,
        .max_index_bytes = options->max_index_bytes,
        .eviction = options->eviction,
        .index_snapshot = options->index_snapshot,
        .index_snapshot_bytes = options->index_snapshot_bytes,
        .merge = options->merge,
        .merge_trigger = options->merge_trigger,
        .merge_bytes_per_s = options->merge_bytes_per_s,
        .merge_delay_ms = options->merge_delay_ms,
        .read_ahead = options->read_ahead,
        .scrub_bytes_per_s = options->follow ? 0 : options->scrub_bytes_per_s,
    };
    store->events = (struct events){
        .os = store->os,
        .level = options->log_level == BITCASK_LOG_DEFAULT ? BITCASK_LOG_INFO : options->log_level,
        .log = options->log,
        .context = options->log_context,
    };
    if (own->segment_size < BITCASK_MIN_SEGMENT_SIZE ||
        own->segment_size > BITCASK_MAX_SEGMENT_SIZE)
        return error_set(error, BITCASK_INVALID, "segment-size must be 64K to 4G, not %llu bytes",
                         (unsigned long long)own->segment_size);
    if (own->max_disk_bytes != 0 && own->max_disk_bytes < QUOTA_DISK_MIN)
        return error_set(error, BITCASK_INVALID, "max-disk-bytes must be 1M at least, not %llu",
                         (unsigned long long)own->max_disk_bytes);
    if (!merge_window_parse(options->merge_window, &own->merge_window))
        return error_set(error, BITCASK_INVALID, "merge-window must be hours such as 22-06");
    quota_init(store);
    return BITCASK_OK;
}

static void init_locks(struct store *store)
{
    pthread_mutex_t *all[] = {&store->merge_mutex,   &store->seal_mutex,     &store->sync_mutex,
                              &store->prepare_mutex, &store->manifest_mutex, &store->work_mutex};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        pthread_mutex_init(all[i], NULL);
    write_mutex_init(&store->write_mutex, &store->epoch);
    wait_init(&store->work_cond);
    wait_init(&store->done_cond);
    wait_init(&store->ahead.cond);
    merge_gate_init(&store->gate);
    pthread_mutex_init(&store->quota.mutex, NULL);
    pthread_mutex_init(&store->read_ahead.mutex, NULL);
}

static void destroy_locks(struct store *store)
{
    pthread_mutex_t *all[] = {&store->merge_mutex,   &store->seal_mutex,     &store->sync_mutex,
                              &store->prepare_mutex, &store->manifest_mutex, &store->work_mutex};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        pthread_mutex_destroy(all[i]);
    write_mutex_destroy(&store->write_mutex);
    pthread_cond_destroy(&store->work_cond);
    pthread_cond_destroy(&store->done_cond);
    pthread_cond_destroy(&store->ahead.cond);
    pthread_mutex_destroy(&store->quota.mutex);
    pthread_mutex_destroy(&store->read_ahead.mutex);
    merge_gate_release(&store->gate);
}

int store_make_directory(struct os *os, const char *path, bool *made)
{
    char parent[OS_PATH_MAX];
    int result = os->make_dir(os, path);
    *made = result == 0;
    if (result != 0 && result != -EEXIST)
        return result;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    while (end > 1 && path[end - 1] == '/')
        end--;
    memcpy(parent, end == 0 ? "." : path, end == 0 ? 1 : end);
    parent[end == 0 ? 1 : end] = '\0';
    /* Also if it was there: who made it may have failed to sync its name, or died before. */
    int synced = os->sync_dir(os, parent);
    return synced != 0 && !(result == -EEXIST && synced == -EACCES) ? synced : result;
}

static bitcask_status open_directory(struct store *store, bool *made, bitcask_error *error)
{
    struct os *os = store->os;
    const char *path = store->segments.directory;
    struct os_stat stat;
    int result = os->stat(os, path, &stat);
    *made = false;
    if (result == -ENOENT && store->options.create) {
        result = store_make_directory(os, path, made);
        if (result != -EEXIST)
            return result == 0 ? BITCASK_OK : error_set_os(error, result, "make the directory");
        result = os->stat(os, path, &stat); /* somebody else has just made it */
    }
    if (result == -ENOENT)
        return error_set(error, BITCASK_NO_STORE, "no store here");
    if (result != 0)
        return error_set_os(error, result, "look at the directory");
    return BITCASK_OK; /* a link to a directory is fine; anything else fails to lock */
}

/* The first manifest of a new store. */
static bitcask_status create_store(struct store *store, bitcask_error *error)
{
    struct os *os = store->os;
    struct segments *table = &store->segments;
    int result = os->random(os, table->store_id, STORE_ID_SIZE);
    if (result == 0)
        result = os->random(os, store->fork_id, STORE_ID_SIZE);
    if (result == 0)
        result = os->random(os, table->seed, SEED_SIZE);
    if (result != 0)
        return error_set_os(error, result, "get random bytes");
    hash_secret_init(&store->secret, table->seed);
    struct keydir_options options = store_keydir_options(store);
    options.expected_keys = store->options.expected_keys;
    struct keydir *keydir = NULL;
    bitcask_status status = keydir_new(os, &store->epoch, &options, &keydir, error);
    store->keydir = store->shown = keydir;
    if (status == BITCASK_OK)
        status = store_save_manifest(store, true, error);
    store->opened_clean = true;
    if (status == BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_INFO, "created", F_TEXT("directory", table->directory));
    return status;
}

static bitcask_status recover_or_create(struct store *store, bitcask_error *error)
{
    uint64_t start = store->os->clock_boot(store->os);
    store->opened_boot_us = start;
    store->opened_real_us = store->os->clock_real(store->os);
    bitcask_status status =
        store->options.follow ? follow_open(store, error) : recovery_run(store, error);
    if (status == BITCASK_OK && store->options.error_if_exists)
        return error_set(error, BITCASK_STORE_EXISTS, "a store is already here");
    if (status == BITCASK_NO_STORE && store->options.create)
        status = create_store(store, error);
    store->recovery_us = store->os->clock_boot(store->os) - start;
    return status;
}

/* Free all of it. The thread has stopped and no reader is left. */
static void store_free(struct store *store)
{
    struct os *os = store->os;
    log_writer_release(store);
    undo_release(&store->undo);
    published_release(store);
    follow_release(store);
    epoch_drain(&store->epoch);
    segments_release(&store->segments);
    if (store->keydir != NULL)
        keydir_free(store->keydir);
    epoch_release(&store->epoch);
    if (store->lock != NULL)
        os->unlock(os, store->lock);
    destroy_locks(store);
    if (store->release_os != NULL)
        store->release_os(os);
    free(store);
}

bitcask_status store_open(struct os *os, const char *directory, const bitcask_options *options,
                          struct store **out, bitcask_error *error)
{
    *out = NULL;
    struct store *store = aligned_alloc(64, (sizeof *store + 63) / 64 * 64);
    if (store == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a store");
    memset(store, 0, sizeof *store);
    store->os = os;
    init_locks(store);
    epoch_init(&store->epoch);
    undo_init(&store->undo, os, &store->epoch, &store->segments);
    bitcask_status status = segments_init(&store->segments, os, &store->epoch, directory, error);
    bool made = false;
    if (status == BITCASK_OK)
        status = take_options(store, options, error);
    store->segments.segment_size = store->options.segment_size;
    if (status == BITCASK_OK)
        status = open_directory(store, &made, error);
    if (status == BITCASK_OK && !store->options.follow)
        status = take_lock(store, error);
    if (status == BITCASK_OK)
        status = recover_or_create(store, error);
    if (status == BITCASK_OK)
        status = log_writer_init(store, error);
    if (status == BITCASK_OK) {
        if (!store->options.follow)
            published_init(store);
        status = background_start(store, error);
    }
    if (status == BITCASK_OK)
        status = scrub_start(store, error);
    if (status == BITCASK_OK)
        status = merge_schedule_start(store, error);
    if (status != BITCASK_OK) {
        scrub_stop(store);
        background_stop(store);
        error_prefix(error, "open '%s'", directory);
        store_free(store);
        if (made)
            os->remove_dir(os, directory); /* fails, as it should, if anything is in it */
        return status;
    }
    if (!store->options.read_only)
        sign_lock(store);
    if (store->thread_running && segments_count(&store->segments) == 0)
        background_want(store, WORK_PREPARE); /* so that the first put need not wait for the disk */
    read_ahead_look(store, true);
    if (keydir_has_absent(store->keydir))
        background_want(store, WORK_FETCH);
    if (atomic_load(&store->hints_missing))
        background_want(store, WORK_HINTS);
    store->fork_guard = PLANTED(fork_unnoticed) ? NULL : os->fork_guard(os);
    *out = store;
    return BITCASK_OK;
}

/* For the next opening; without it that takes longer. */
static void keep_index(struct store *store)
{
    bitcask_error failure = {0};
    if (index_image_is_due(store, true) && index_image_write(store, NULL, &failure) != BITCASK_OK)
        EVENT(&store->events, BITCASK_LOG_WARN, "index_snapshot_failed",
              F_TEXT("error", failure.message));
}

bitcask_status store_close(struct store *store, bitcask_error *error)
{
    bitcask_status status = BITCASK_OK;
    merge_schedule_stop(store);
    scrub_stop(store);
    background_stop(store);
    if (!store->options.read_only) {
        rehint_all(store);
        status = log_close(store, error);
        if (status != BITCASK_OK)
            error_prefix(error, "close '%s'", store->segments.directory);
    }
    if (status == BITCASK_OK)
        keep_index(store);
    EVENT(&store->events, BITCASK_LOG_INFO, "closed",
          F_TEXT("directory", store->segments.directory));
    store_free(store);
    return status;
}

void store_abandon(struct store *store)
{
    merge_schedule_stop(store);
    scrub_stop(store);
    background_stop(store);
    store_free(store);
}
