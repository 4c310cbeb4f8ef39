/* SPDX-License-Identifier: MIT
 * merge_judge.c: may another segment hold an older version of this key? */
#include "engine/merge_judge.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/reap_clock.h"
#include "format/names.h"

bitcask_status merge_judge_init(struct merge_judge *judge, struct store *store,
                                struct segment *const *all, size_t count, bitcask_error *error)
{
    *judge = (struct merge_judge){.store = store, .old_version = reap_clock_tombstones(store)};
    if (count == 0)
        return BITCASK_OK;
    judge->segments = calloc(count, sizeof *judge->segments);
    judge->by_version = calloc(count, sizeof(struct merge_judge_segment *));
    if (judge->segments == NULL || judge->by_version == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for judging %zu segments", count);
    judge->count = count;
    for (size_t i = 0; i < count; i++) {
        CHECK(i == 0 || all[i - 1]->id < all[i]->id);
        judge->segments[i].segment = all[i];
        judge->segments[i].state = atomic_load(&all[i]->state);
        judge->segments[i].version_min =
            atomic_load(&all[i]->records) > 0 ? atomic_load(&all[i]->version_min) : 0;
    }
    return BITCASK_OK;
}

void merge_judge_release(struct merge_judge *judge)
{
    for (size_t i = 0; i < judge->count; i++)
        if (judge->segments[i].good)
            hint_file_close(judge->store->os, &judge->segments[i].hint);
    free(judge->segments);
    free(judge->by_version);
    *judge = (struct merge_judge){0};
}

static struct merge_judge_segment *find(const struct merge_judge *judge, uint64_t id)
{
    size_t low = 0, high = judge->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (judge->segments[middle].segment->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < judge->count && judge->segments[low].segment->id == id;
    return found ? &judge->segments[low] : NULL;
}

/* ---- Data files that nobody names ---------------------------------------------------------- */

struct stray_search {
    struct merge_judge *judge;
    uint64_t next_id;
};

static int look_for_stray(void *context, const char *name)
{
    struct stray_search *search = context;
    uint64_t id;
    if (name_parse(name, &id) == NAME_DATA && id < search->next_id)
        search->judge->strays |= find(search->judge, id) == NULL;
    return 0;
}

bitcask_status merge_judge_find_strays(struct merge_judge *judge, uint64_t next_id,
                                       bitcask_error *error)
{
    struct stray_search search = {judge, next_id};
    struct os *os = judge->store->os;
    int result = os->list(os, judge->store->segments.directory, look_for_stray, &search);
    return result < 0 ? error_set_os(error, result, "list the directory") : BITCASK_OK;
}

/* ---- Judging ------------------------------------------------------------------------------- */

void merge_judge_add_input(struct merge_judge *judge, uint64_t id)
{
    struct merge_judge_segment *entry = find(judge, id);
    CHECK(entry != NULL);
    entry->input = true;
}

/* The segment's hint, opened when it is first needed; NULL if it does not answer for the whole
 * segment. */
static const struct hint_file *hint_of(struct merge_judge_segment *entry)
{
    struct segment *segment = entry->segment;
    if (entry->state != BITCASK_SEGMENT_SEALED || atomic_load(&segment->damaged) != 0)
        return NULL;
    if (!entry->opened) {
        uint64_t end = atomic_load(&segment->end);
        entry->opened = true;
        entry->good = atomic_load(&segment->has_hint) != 0 &&
                      hint_file_open(segment, end, true, false, &entry->hint, NULL) == BITCASK_OK;
        if (entry->good && entry->hint.hint.header.length != end) {
            hint_file_close(segment->os, &entry->hint);
            entry->good = false;
        }
    }
    return entry->good ? &entry->hint : NULL;
}

static int compare_lowest(const void *a, const void *b)
{
    const struct merge_judge_segment *const *x = a, *const *y = b;
    return (*x)->version_min < (*y)->version_min ? -1 : (*x)->version_min > (*y)->version_min;
}

static bool filter_excludes(struct store *store, slice filter, uint64_t hash)
{
    if (filter.size == 0)
        return false;
    bool excluded = !filter_may_have(filter, hash) || PLANTED(filter_lies);
    atomic_fetch_add_explicit(&store->counters.filter_lookups, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->counters.filter_spared, excluded, memory_order_relaxed);
    return excluded;
}

static bool segment_may_hold(struct merge_judge *judge, struct merge_judge_segment *entry,
                             uint64_t hash, slice key, uint64_t version)
{
    bool empty = entry->version_min == 0 && entry->state != BITCASK_SEGMENT_MISSING;
    if (entry->input || empty || entry->version_min > version)
        return false;
    const struct hint_file *hint = hint_of(entry);
    if (hint == NULL)
        return true;
    if (filter_excludes(judge->store, hint->hint.filter, hash))
        return false;
    struct hint_entry found;
    bitcask_status status = hint_file_find(hint, hash, key, &found);
    if (status == BITCASK_NOT_FOUND)
        return false;
    return status != BITCASK_OK ||
           (found.version <= version && (found.flags & RECORD_TOMBSTONE) == 0);
}

/* In the order of their lowest versions, so that a look-up ends at the first that is too young. */
static void order_by_version(struct merge_judge *judge)
{
    for (size_t i = 0; i < judge->count; i++)
        judge->by_version[i] = &judge->segments[i];
    qsort(judge->by_version, judge->count, sizeof(struct merge_judge_segment *), compare_lowest);
    judge->ordered = true;
}

bool merge_judge_may_hold(struct merge_judge *judge, uint64_t hash, slice key, uint64_t version)
{
    if (PLANTED(tombstone_dropped))
        return false;
    if (judge->strays || PLANTED(tombstone_kept))
        return true;
    if (!judge->ordered)
        order_by_version(judge);
    for (size_t i = 0; i < judge->count; i++) {
        struct merge_judge_segment *entry = judge->by_version[i];
        if (entry->version_min > version)
            break;
        if (segment_may_hold(judge, entry, hash, key, version))
            return true;
    }
    return false;
}

bool merge_judge_keeps(struct merge_judge *judge, uint64_t hash, slice key, uint64_t version)
{
    return (version > judge->old_version && !PLANTED(tombstone_young)) ||
           merge_judge_may_hold(judge, hash, key, version);
}

/* ---- Are a segment's tombstones needed? ---------------------------------------------------- */

/* Judge the tombstones in a hint whose pages are known to be good. */
static void count_in_hint(struct merge_judge *judge, const struct hint *hint,
                          struct merge_judge_tombstones *tombstones)
{
    uint64_t key_at = 0;
    for (uint64_t i = 0; i < hint->header.entries; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        slice key = slice_of(hint->keys + key_at, entry.key_size);
        key_at += entry.key_size;
        if ((entry.flags & RECORD_TOMBSTONE) == 0)
            continue;
        if (merge_judge_keeps(judge, entry.hash, key, entry.version)) {
            tombstones->needed++;
            tombstones->needed_bytes += record_size(entry.flags, entry.key_size, 0);
        } else {
            tombstones->free++;
        }
    }
}

void merge_judge_count(struct merge_judge *judge, uint64_t id,
                       struct merge_judge_tombstones *tombstones)
{
    struct merge_judge_segment *entry = find(judge, id);
    CHECK(entry != NULL);
    const struct hint_file *hint = hint_of(entry);
    *tombstones = (struct merge_judge_tombstones){0};
    if (hint == NULL || hint_check_all(&hint->hint, NULL) != BITCASK_OK) {
        tombstones->needed = atomic_load(&entry->segment->tombstones);
        tombstones->needed_bytes = segment_dead_bytes(entry->segment);
        return;
    }
    bool input = entry->input;
    entry->input = true;
    count_in_hint(judge, &hint->hint, tombstones);
    entry->input = input;
}
