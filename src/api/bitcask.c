/* SPDX-License-Identifier: MIT
 * bitcask.c: the public functions: check the arguments, call the engine, tell of it at debug level.
 */
#include "bitcask.h"

#include <stdlib.h>

#include "api/api.h"
#include "base/probe.h"
#include "engine/destroy.h"
#include "engine/group.h"
#include "engine/iterator.h"
#include "engine/merge.h"
#include "engine/snapshot.h"

/* ---- Checks --------------------------------------------------------------------------------- */

bitcask_status api_missing(const char *name, bitcask_error *error)
{
    return error_set(error, BITCASK_INVALID, "%s is NULL", name);
}

bitcask_status api_check_process(const struct store *store, bitcask_error *error)
{
    if (LIKELY(store->fork_guard == NULL || *store->fork_guard != 0))
        return BITCASK_OK;
    return error_set(error, BITCASK_FORKED,
                     "the handle was inherited through fork(); open the store in this process");
}

bitcask_status api_check_store(const bitcask *db, bitcask_error *error)
{
    if (UNLIKELY(db == NULL))
        return api_missing("the store", error);
    return api_check_process((const struct store *)db, error);
}

bitcask_status api_check_not_following(const bitcask *db, const char *what, bitcask_error *error)
{
    if (!((const struct store *)db)->options.follow)
        return BITCASK_OK;
    return error_set(error, BITCASK_INVALID,
                     "a follower cannot %s the store: let the process that writes it do so", what);
}

bitcask_status api_check_key(slice key, bitcask_error *error)
{
    if (UNLIKELY(key.size == 0))
        return error_set(error, BITCASK_INVALID, "the key is empty");
    if (UNLIKELY(key.size > BITCASK_MAX_KEY_SIZE))
        return error_set(error, BITCASK_INVALID, "the key has %zu bytes, the limit is %u", key.size,
                         BITCASK_MAX_KEY_SIZE);
    return LIKELY(key.data != NULL) ? BITCASK_OK : api_missing("the key", error);
}

bitcask_status api_check_value(slice value, bitcask_error *error)
{
    if (UNLIKELY(value.size > BITCASK_MAX_VALUE_SIZE))
        return error_set(error, BITCASK_INVALID, "the value has %zu bytes, the limit is %u",
                         value.size, BITCASK_MAX_VALUE_SIZE);
    return LIKELY(value.data != NULL || value.size == 0) ? BITCASK_OK
                                                         : api_missing("the value", error);
}

bitcask_status api_check_store_and_key(const bitcask *db, slice key, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    return LIKELY(status == BITCASK_OK) ? api_check_key(key, error) : status;
}

/* ---- Open and close ------------------------------------------------------------------------- */

const char *bitcask_version(void)
{
    return BITCASK_VERSION_STRING;
}

void bitcask_buffer_free(bitcask_buffer *buffer)
{
    if (buffer == NULL)
        return;
    free(buffer->data);
    *buffer = (bitcask_buffer){0};
}

bitcask_status bitcask_open(const char *directory, const bitcask_options *given, bitcask **db,
                            bitcask_error *error)
{
    if (db == NULL)
        return api_missing("db", error);
    *db = NULL;
    if (directory == NULL || directory[0] == 0)
        return error_set(error, BITCASK_INVALID, "no directory given");
    bitcask_options options;
    bitcask_status status = api_read_options(given, &options, error);
    if (status != BITCASK_OK)
        return status;
    struct os *os = api_os_new(&options);
    if (os == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a store");
    struct store *store = NULL;
    status = store_open(os, directory, &options, &store, error);
    if (status != BITCASK_OK) {
        api_os_free(os);
        return status;
    }
    store->release_os = api_os_free;
    *db = (bitcask *)store;
    return BITCASK_OK;
}

bitcask_status bitcask_close(bitcask *db, bitcask_error *error)
{
    if (db == NULL)
        return BITCASK_OK;
    struct store *store = api_store(db);
    bitcask_status status = api_check_process(store, error);
    if (status != BITCASK_OK)
        return status; /* the parent's; this process only has a picture of it */
    return store_close(store, error);
}

bitcask_status bitcask_destroy(const char *directory, bitcask_error *error)
{
    if (directory == NULL || directory[0] == 0)
        return error_set(error, BITCASK_INVALID, "no directory given");
    return destroy_store(os_posix(), directory, error);
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* `began` is of the call, whose keys share its duration. */
static void tell_of_read(struct store *store, slice key, uint64_t began, bitcask_status status)
{
    EVENT(&store->events, BITCASK_LOG_DEBUG, "get", F_KEY("key", key),
          F_TEXT("status", bitcask_status_name(status)),
          F_UINT("duration_us", events_since(&store->events, began)));
}

/* Checks and options of a look-up. */
static bitcask_status begin_read(bitcask *db, const bitcask_read_options *options, slice key,
                                 struct reader_options *full, bitcask_error *error)
{
    bitcask_status status = api_check_store_and_key(db, key, error);
    if (status != BITCASK_OK)
        return status;
    return api_read_read_options(api_store(db), options, full, error);
}

/* What nearly all look-ups are: with default options and nothing wrong with the arguments, while
 * nobody listens. All else goes the long way, which says what is wrong. */
static inline bool is_plain_read(bitcask *db, const bitcask_read_options *options, slice key)
{
    const struct store *store = api_store(db);
    if (UNLIKELY(store == NULL || options != NULL) ||
        UNLIKELY(store->fork_guard != NULL && *store->fork_guard == 0) ||
        UNLIKELY(key.size - 1 >= BITCASK_MAX_KEY_SIZE || key.data == NULL) ||
        UNLIKELY(events_on(&store->events, BITCASK_LOG_DEBUG)))
        return false;
    return true;
}

static __attribute__((noinline)) bitcask_status
get_checked(bitcask *db, const bitcask_read_options *options, slice key, bitcask_buffer *value,
            bitcask_meta *meta, bitcask_error *error)
{
    struct reader_options full;
    bitcask_status status = begin_read(db, options, key, &full, error);
    if (status == BITCASK_OK && value == NULL)
        status = api_missing("the buffer for the value", error);
    if (status != BITCASK_OK)
        return status;
    uint64_t began = events_begin(&api_store(db)->events, BITCASK_LOG_DEBUG);
    status = reader_get(api_store(db), key, &full, value, meta, error);
    PROBE2(get, key.size, status);
    tell_of_read(api_store(db), key, began, status);
    return status;
}

bitcask_status bitcask_get(bitcask *db, const bitcask_read_options *options, bitcask_slice key,
                           bitcask_buffer *value, bitcask_meta *meta, bitcask_error *error)
{
    if (UNLIKELY(value == NULL || !is_plain_read(db, options, key)))
        return get_checked(db, options, key, value, meta, error);
    return reader_get_plain(api_store(db), key, value, meta, error);
}

bitcask_status bitcask_stat_key(bitcask *db, const bitcask_read_options *options, bitcask_slice key,
                                bitcask_meta *meta, bitcask_error *error)
{
    struct reader_options full;
    bitcask_status status = begin_read(db, options, key, &full, error);
    if (status != BITCASK_OK)
        return status;
    return reader_stat(api_store(db), key, &full, meta, error);
}

static __attribute__((noinline)) bitcask_status view_checked(bitcask *db,
                                                             const bitcask_read_options *options,
                                                             slice key, bitcask_view *view,
                                                             bitcask_error *error)
{
    struct reader_options full;
    *view = (bitcask_view){0};
    bitcask_status status = begin_read(db, options, key, &full, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t began = events_begin(&api_store(db)->events, BITCASK_LOG_DEBUG);
    status = reader_view(api_store(db), key, &full, view, error);
    PROBE2(get, key.size, status);
    tell_of_read(api_store(db), key, began, status);
    return status;
}

bitcask_status bitcask_get_view(bitcask *db, const bitcask_read_options *options, bitcask_slice key,
                                bitcask_view *view, bitcask_error *error)
{
    if (UNLIKELY(view == NULL))
        return api_missing("view", error);
    if (UNLIKELY(!is_plain_read(db, options, key)))
        return view_checked(db, options, key, view, error);
    return reader_view_plain(api_store(db), key, view, error);
}

bitcask_status bitcask_get_many(bitcask *db, const bitcask_read_options *options,
                                const bitcask_slice *keys, size_t count, bitcask_view *views,
                                bitcask_status *each, bitcask_error *error)
{
    if (count > 0 && (keys == NULL || views == NULL || each == NULL))
        return api_missing(keys == NULL ? "keys" : views == NULL ? "views" : "each", error);
    for (size_t i = 0; i < count; i++) { /* to be released in any case */
        views[i] = (bitcask_view){0};
        each[i] = BITCASK_INVALID;
    }
    bitcask_status status = api_check_store(db, error);
    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = api_check_key(keys[i], error);
    struct reader_options full;
    if (status == BITCASK_OK)
        status = api_read_read_options(api_store(db), options, &full, error);
    if (status != BITCASK_OK || count == 0)
        return status;
    uint64_t began = events_begin(&api_store(db)->events, BITCASK_LOG_DEBUG);
    status = reader_views(api_store(db), keys, count, &full, views, each, error);
    PROBE2(get_many, count, status);
    if (events_on(&api_store(db)->events, BITCASK_LOG_DEBUG)) {
        for (size_t i = 0; i < count; i++)
            tell_of_read(api_store(db), keys[i], began, each[i]);
    }
    return status;
}

void bitcask_prefetch(bitcask *db, const bitcask_slice *keys, size_t count)
{
    if (keys != NULL && api_check_store(db, NULL) == BITCASK_OK)
        reader_prefetch_keys(api_store(db), keys, count);
}

static __attribute__((noinline)) void release_many(bitcask_view *views, size_t count)
{
    struct segment_pins pins = {0};
    for (size_t i = 0; i < count; i++) {
        struct segment *pinned = segments_pinned_by(views[i].pin);
        if (UNLIKELY(pinned != NULL))
            segment_unpin_gather(&pins, pinned);
        else if (views[i].pin != NULL)
            segments_drop_view(views[i].pin);
        views[i] = (bitcask_view){0};
    }
    segment_pins_drop(&pins);
}

void bitcask_views_release(bitcask_view *views, size_t count)
{
    if (UNLIKELY(count != 1)) {
        release_many(views, count);
        return;
    }
    void *pin = views->pin; /* nothing to gather */
    *views = (bitcask_view){0};
    if (LIKELY(pin != NULL))
        segments_drop_view(pin);
}

/* ---- Snapshots ------------------------------------------------------------------------------ */

bitcask_status bitcask_snapshot_new(bitcask *db, bitcask_snapshot **snapshot, bitcask_error *error)
{
    if (snapshot == NULL)
        return api_missing("snapshot", error);
    *snapshot = NULL;
    bitcask_status status = api_check_store(db, error);
    return status == BITCASK_OK ? snapshot_new(api_store(db), snapshot, error) : status;
}

uint64_t bitcask_snapshot_version(const bitcask_snapshot *snapshot)
{
    return snapshot == NULL ? 0 : snapshot->version;
}

void bitcask_snapshot_free(bitcask_snapshot *snapshot)
{
    snapshot_free(snapshot);
}

/* ---- Iteration ------------------------------------------------------------------------------ */

bitcask_status bitcask_iterator_new(bitcask *db, const bitcask_read_options *options,
                                    bitcask_slice prefix, int what, bitcask_iterator **iterator,
                                    bitcask_error *error)
{
    if (iterator == NULL)
        return api_missing("iterator", error);
    *iterator = NULL;
    struct reader_options full;
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK && prefix.size > 0)
        status = api_check_key(prefix, error);
    if (status == BITCASK_OK && what != BITCASK_KEYS && what != BITCASK_VALUES)
        status = error_set(error, BITCASK_INVALID,
                           "an iterator gives BITCASK_KEYS or BITCASK_VALUES, not %d", what);
    if (status == BITCASK_OK)
        status = api_read_read_options(api_store(db), options, &full, error);
    if (status != BITCASK_OK)
        return status;
    return iterator_new(api_store(db), prefix, what == BITCASK_VALUES, &full, iterator, error);
}

bitcask_status bitcask_iterator_next(bitcask_iterator *iterator, bitcask_entry *entry,
                                     bitcask_error *error)
{
    if (iterator == NULL || entry == NULL)
        return api_missing(iterator == NULL ? "iterator" : "entry", error);
    bitcask_status status = api_check_process(iterator_store(iterator), error);
    return status == BITCASK_OK ? iterator_next(iterator, entry, error) : status;
}

uint64_t bitcask_iterator_cursor(bitcask_iterator *iterator)
{
    return iterator == NULL ? 0 : iterator_cursor(iterator);
}

void bitcask_iterator_seek_cursor(bitcask_iterator *iterator, uint64_t cursor)
{
    if (iterator != NULL)
        iterator_seek(iterator, cursor);
}

uint64_t bitcask_iterator_batch_cursor(bitcask_iterator *iterator)
{
    return iterator == NULL ? 0 : iterator_batch_cursor(iterator);
}

void bitcask_iterator_free(bitcask_iterator *iterator)
{
    if (iterator != NULL)
        iterator_free(iterator);
}

/* ---- Merge ---------------------------------------------------------------------------------- */

bitcask_status bitcask_merge(bitcask *db, const bitcask_merge_options *given,
                             bitcask_merge_result *result, bitcask_error *error)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK)
        status = api_read_struct(&options, sizeof options, given, "bitcask_merge_options", error);
    if (status == BITCASK_OK && !(options.min_dead >= 0 && options.min_dead <= 1))
        status = error_set(error, BITCASK_INVALID, "min_dead is a share, from 0 to 1");
    if (status != BITCASK_OK)
        return status;
    bitcask_merge_result full = {.struct_size = sizeof full};
    status = merge_run(api_store(db), &options, &full, error);
    PROBE4(merge, full.inputs, full.input_bytes, full.output_bytes, status);
    if (result != NULL)
        api_write_struct(result, &full, sizeof full);
    return status;
}

bitcask_status bitcask_merge_pause(bitcask *db, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK)
        merge_gate_set_paused(api_store(db), true);
    return status;
}

bitcask_status bitcask_merge_resume(bitcask *db, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK)
        merge_gate_set_paused(api_store(db), false);
    return status;
}

bitcask_status bitcask_merge_cancel(bitcask *db, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK)
        merge_gate_cancel(api_store(db));
    return status;
}

bitcask_status bitcask_merge_set_rate(bitcask *db, uint64_t bytes_per_s, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK)
        merge_gate_set_rate(api_store(db), bytes_per_s);
    return status;
}
