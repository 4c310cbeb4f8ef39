/* SPDX-License-Identifier: MIT
 * stats.c: what a store says of itself, in numbers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "engine/follow.h"
#include "engine/merge_schedule.h"
#include "format/names.h"

/* ---- Gathering ------------------------------------------------------------------------------ */

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t allocated_bytes(const struct segments *table, const char *name)
{
    char path[OS_PATH_MAX];
    struct os_stat stat;
    segments_path(table, path, name);
    return table->os->stat(table->os, path, &stat) == 0 ? stat.allocated : 0;
}

static uint64_t segment_disk_bytes(const struct segment *segment)
{
    char name[NAME_SIZE];
    name_data(name, segment->id);
    uint64_t bytes = allocated_bytes(segment->table, name);
    name_hint(name, segment->id);
    return bytes + allocated_bytes(segment->table, name);
}

static void add_segments(struct store *store, bitcask_stats *stats)
{
    size_t count;
    struct segment **all = segments_pin_all(&store->segments, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t version = load(&all[i]->version_max);
        stats->live_bytes += load(&all[i]->live_bytes);
        stats->dead_bytes += segment_dead_bytes(all[i]);
        stats->disk_bytes += segment_disk_bytes(all[i]);
        if (version > stats->last_version)
            stats->last_version = version;
    }
    stats->segments = count;
    segments_unpin_all(all, count);

    pthread_mutex_lock(&store->segments.mutex);
    stats->max_segment_id = store->segments.next_id - 1;
    pthread_mutex_unlock(&store->segments.mutex);
    stats->pinned_segments = load(&store->segments.retired_count);
    stats->pinned_bytes = load(&store->segments.retired_bytes);
}

static void add_counters(struct store *store, bitcask_stats *stats)
{
    const struct store_counters *counters = &store->counters;
    stats->puts = load(&counters->puts);
    stats->deletes = load(&counters->deletes);
    stats->bytes_written = load(&counters->bytes_written);
    stats->syncs = load(&counters->syncs);
    stats->sync_failures = load(&counters->sync_failures);
    stats->merges = load(&counters->merges);
    stats->merge_us = load(&counters->merge_us);
    stats->merge_bytes_written = load(&counters->merge_bytes_written);
    stats->rotations = load(&counters->rotations);
    stats->seals = load(&counters->seals);
    stats->quarantined_bytes = load(&counters->quarantined_bytes);
    stats->corrupt_records = load(&counters->corrupt_records);
    stats->missing_segments = load(&counters->missing_segments);
    stats->expired_segments_dropped = load(&counters->expired_segments_dropped);
    stats->filter_lookups = load(&counters->filter_lookups);
    stats->filter_spared = load(&counters->filter_spared);
    stats->evicted_keys = load(&counters->evicted_keys);
    stats->evicted_bytes = load(&counters->evicted_bytes);
    stats->scrubbed_bytes = load(&counters->scrubbed_bytes);
    stats->scrub_passes = load(&counters->scrub_passes);
    stats->scrub_findings = load(&counters->scrub_findings);
    stats->last_scrub_us = load(&counters->last_scrub_us);
    for (size_t i = 0; i < EPOCH_STRIPES; i++) {
        stats->gets += load(&store->epoch.stripes[i].gets);
        stats->misses += load(&store->epoch.stripes[i].misses);
    }
}

static void add_snapshots(struct store *store, bitcask_stats *stats)
{
    struct snapshots_figures figures = snapshots_look(store);
    stats->snapshots = figures.count;
    stats->oldest_snapshot_us = figures.oldest_us;
    stats->undo_entries = load(&store->undo.entries);
    stats->undo_bytes = load(&store->undo.bytes);
}

static void add_index(struct store *store, bitcask_stats *stats)
{
    struct index_state *index = &store->index;
    bool good = load(&index->removals) == load(&store->segments.removals);
    stats->index_origin = atomic_load(&index->origin);
    stats->index_snapshot_bytes = good ? load(&index->image_bytes) : 0;
    stats->index_snapshot_time_us =
        stats->index_snapshot_bytes != 0 ? load(&index->image_time_us) : 0;
    stats->index_snapshots = load(&index->images_written);
}

static void add_merge(struct store *store, bitcask_stats *stats)
{
    struct merge_schedule_report report;
    merge_schedule_describe(store, &report);
    stats->merge_state = report.state;
    stats->merge_last_error = report.last_error;
    stats->merge_done_bytes = report.done_bytes;
    stats->merge_total_bytes = report.total_bytes;
    stats->merge_bytes_reclaimed = load(&store->counters.merge_bytes_reclaimed);
    stats->merge_bytes_per_s = report.bytes_per_s;
    stats->merge_waited_us = report.waited_us;
    stats->merge_next_us = report.next_us;
}

static void add_follow(struct store *store, bitcask_stats *stats)
{
    struct follow_figures figures = follow_look(store);
    stats->refreshes = figures.refreshes;
    stats->reloads = figures.reloads;
    stats->refreshed_records = figures.records;
    stats->follow_lag_bytes = figures.lag_bytes;
}

static void gather(struct store *store, bitcask_stats *stats)
{
    *stats = (bitcask_stats){
        .struct_size = sizeof *stats,
        .keys = keydir_count(store->shown),
        .index_bytes = keydir_bytes(store->shown),
        .recovery_us = store->recovery_us,
        .max_disk_bytes = store->options.max_disk_bytes,
        .max_index_bytes = store->options.max_index_bytes,
        .quota_bytes = store->options.max_disk_bytes != 0 ? quota_used(store) : 0,
        .clean_open = store->opened_clean,
        .read_only = store->options.read_only || atomic_load(&store->write_status) != 0,
    };
    add_segments(store, stats);
    add_counters(store, stats);
    add_follow(store, stats);
    add_snapshots(store, stats);
    add_index(store, stats);
    add_merge(store, stats);
}

void bitcask_get_stats(bitcask *db, bitcask_stats *stats)
{
    if (stats == NULL)
        return;
    bitcask_stats full = {.struct_size = sizeof full};
    if (api_check_store(db, NULL) == BITCASK_OK)
        gather(api_store(db), &full);
    api_write_struct(stats, &full, sizeof full);
}

uint64_t bitcask_count(bitcask *db)
{
    return api_check_store(db, NULL) == BITCASK_OK ? keydir_count(api_store(db)->shown) : 0;
}

/* ---- Segments ------------------------------------------------------------------------------- */

static void describe(const struct segment *segment, bitcask_segment_info *info)
{
    *info = (bitcask_segment_info){
        .id = segment->id,
        .state = (bitcask_segment_state)atomic_load(&segment->state),
        .from_merge = segment->kind == SEGMENT_MERGE,
        .has_hint = atomic_load(&segment->has_hint) != 0,
        .damaged = atomic_load(&segment->damaged) != 0,
        .created_us = segment->created_us,
        .sealed_us = load(&segment->sealed_us),
        .synced_us = load(&segment->synced_us),
        .size_bytes = load(&segment->end),
        .records = load(&segment->records),
        .tombstones = load(&segment->tombstones),
        .live_records = load(&segment->live_records),
        .live_bytes = load(&segment->live_bytes),
        .dead_bytes = segment_dead_bytes(segment),
        .version_min = load(&segment->version_min),
        .version_max = load(&segment->version_max),
        .merging = atomic_load(&segment->merging) != 0,
    };
}

size_t bitcask_get_segments(bitcask *db, bitcask_segment_info *infos, size_t capacity,
                            size_t info_size)
{
    if (api_check_store(db, NULL) != BITCASK_OK)
        return 0;
    size_t count;
    struct segment **all = segments_pin_all(&api_store(db)->segments, &count);
    for (size_t i = 0; infos != NULL && i < count && i < capacity; i++) {
        bitcask_segment_info info;
        describe(all[i], &info);
        char *to = (char *)infos + i * info_size; /* the caller's struct may be shorter or longer */
        memset(to, 0, info_size);
        memcpy(to, &info, info_size < sizeof info ? info_size : sizeof info);
    }
    segments_unpin_all(all, count);
    return count;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* The members that are plain numbers, under their own names, in the order of the struct. */
#define NUMBER(member) #member, offsetof(bitcask_stats, member)

static const struct number {
    const char *name;
    size_t offset;
} numbers[] = {
    {NUMBER(keys)},
    {NUMBER(segments)},
    {NUMBER(live_bytes)},
    {NUMBER(dead_bytes)},
    {NUMBER(disk_bytes)},
    {NUMBER(index_bytes)},
    {NUMBER(puts)},
    {NUMBER(gets)},
    {NUMBER(misses)},
    {NUMBER(deletes)},
    {NUMBER(bytes_written)},
    {NUMBER(syncs)},
    {NUMBER(sync_failures)},
    {NUMBER(merges)},
    {NUMBER(merge_us)},
    {NUMBER(merge_bytes_written)},
    {NUMBER(rotations)},
    {NUMBER(seals)},
    {NUMBER(expired_segments_dropped)},
    {NUMBER(filter_lookups)},
    {NUMBER(filter_spared)},
    {NUMBER(evicted_keys)},
    {NUMBER(evicted_bytes)},
    {NUMBER(max_disk_bytes)},
    {NUMBER(max_index_bytes)},
    {NUMBER(quota_bytes)},
    {NUMBER(pinned_segments)},
    {NUMBER(quarantined_bytes)},
    {NUMBER(corrupt_records)},
    {NUMBER(missing_segments)},
    {NUMBER(recovery_us)},
    {NUMBER(last_version)},
    {NUMBER(max_segment_id)},
    {NUMBER(scrubbed_bytes)},
    {NUMBER(scrub_passes)},
    {NUMBER(scrub_findings)},
    {NUMBER(last_scrub_us)},
    {NUMBER(snapshots)},
    {NUMBER(oldest_snapshot_us)},
    {NUMBER(undo_entries)},
    {NUMBER(undo_bytes)},
    {NUMBER(index_origin)},
    {NUMBER(index_snapshot_bytes)},
    {NUMBER(index_snapshot_time_us)},
    {NUMBER(index_snapshots)},
    {NUMBER(merge_done_bytes)},
    {NUMBER(merge_total_bytes)},
    {NUMBER(merge_bytes_reclaimed)},
    {NUMBER(merge_bytes_per_s)},
    {NUMBER(merge_waited_us)},
    {NUMBER(merge_next_us)},
    {NUMBER(pinned_bytes)},
    {NUMBER(refreshes)},
    {NUMBER(reloads)},
    {NUMBER(refreshed_records)},
    {NUMBER(follow_lag_bytes)},
};

enum { JSON_MEMBER_MAX = 64 }; /* bytes of one member: a name, a number, punctuation */
enum { JSON_DERIVED = 9 };     /* members that are not in `numbers` */

struct json {
    char *text;
    size_t size, capacity;
};

static void add_uint(struct json *json, const char *name, uint64_t number)
{
    json->size += (size_t)snprintf(json->text + json->size, json->capacity - json->size,
                                   "%s\"%s\":%" PRIu64, json->size > 1 ? "," : "", name, number);
}

/* numerator / denominator with three decimals, 0 if there is nothing to divide by. By integers:
 * printf would write the decimal point of the program's locale. */
static void add_ratio(struct json *json, const char *name, uint64_t numerator, uint64_t denominator)
{
    unsigned __int128 scaled = (unsigned __int128)numerator * 1000;
    uint64_t thousandths = denominator == 0 ? 0 : (uint64_t)(scaled / denominator);
    json->size += (size_t)snprintf(json->text + json->size, json->capacity - json->size,
                                   ",\"%s\":%" PRIu64 ".%03u", name, thousandths / 1000,
                                   (unsigned)(thousandths % 1000));
}

static void add_bool(struct json *json, const char *name, bool value)
{
    json->size += (size_t)snprintf(json->text + json->size, json->capacity - json->size,
                                   ",\"%s\":%s", name, value ? "true" : "false");
}

/* `text` needs no escaping. */
static void add_text(struct json *json, const char *name, const char *text)
{
    json->size += (size_t)snprintf(json->text + json->size, json->capacity - json->size,
                                   ",\"%s\":\"%s\"", name, text);
}

static const char *const merge_states[] = {
    [BITCASK_MERGE_OFF] = "off",         [BITCASK_MERGE_IDLE] = "idle",
    [BITCASK_MERGE_WAITING] = "waiting", [BITCASK_MERGE_RUNNING] = "running",
    [BITCASK_MERGE_PAUSED] = "paused",
};

static void print_stats(struct json *json, const bitcask_stats *stats)
{
    json->text[json->size++] = '{';
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uint64_t number;
        memcpy(&number, (const char *)stats + numbers[i].offset, sizeof number);
        add_uint(json, numbers[i].name, number);
    }
    add_uint(json, "live_keys", stats->keys);
    add_ratio(json, "compaction_seconds", stats->merge_us, 1000000);
    add_ratio(json, "space_amplification", stats->live_bytes + stats->dead_bytes,
              stats->live_bytes);
    add_ratio(json, "write_amplification", stats->bytes_written + stats->merge_bytes_written,
              stats->bytes_written);
    add_ratio(json, "index_bytes_per_key", stats->index_bytes, stats->keys);
    add_text(json, "merge_state", merge_states[stats->merge_state]);
    add_text(json, "merge_last_error", bitcask_status_name(stats->merge_last_error));
    add_bool(json, "clean_open", stats->clean_open != 0);
    add_bool(json, "read_only", stats->read_only != 0);
    json->text[json->size++] = '}';
    json->text[json->size] = 0;
}

bitcask_status bitcask_stats_json(bitcask *db, bitcask_buffer *buffer, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK && buffer == NULL)
        status = api_missing("the buffer", error);
    if (status != BITCASK_OK)
        return status;
    enum { CAPACITY = JSON_MEMBER_MAX * ((int)ARRAY_SIZE(numbers) + JSON_DERIVED) };
    if (buffer->capacity < CAPACITY) {
        void *data = realloc(buffer->data, CAPACITY);
        if (data == NULL)
            return error_set(error, BITCASK_NO_MEMORY, "out of memory for the statistics");
        buffer->data = data;
        buffer->capacity = CAPACITY;
    }
    bitcask_stats stats;
    gather(api_store(db), &stats);
    struct json json = {.text = buffer->data, .capacity = buffer->capacity};
    print_stats(&json, &stats);
    buffer->size = json.size;
    return BITCASK_OK;
}
