/* SPDX-License-Identifier: MIT
 * segments.c: the table of segments: slots, ids, files. */
#include "engine/segments.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/read_ahead.h"
#include "engine/segments_internal.h"
#include "format/names.h"

enum { SETTLE_TRIES = 100 };

bitcask_status segments_init(struct segments *table, struct os *os, struct epoch *epoch,
                             const char *directory, bitcask_error *error)
{
    if (strlen(directory) >= sizeof table->directory)
        return error_set(error, BITCASK_INVALID, "the directory's name is longer than %zu bytes",
                         sizeof table->directory - 1);
    table->os = os;
    table->epoch = epoch;
    memcpy(table->directory, directory, strlen(directory) + 1);
    table->next_slot = 1;
    table->reads = SEGMENT_READS_SINGLE;
    table->next_id = 1;
    pthread_mutex_init(&table->mutex, NULL);
    pthread_mutex_init(&table->bury_mutex, NULL);
    view_pins_init(&table->views);
    return BITCASK_OK;
}

void segments_release(struct segments *table)
{
    while (table->count > 0)
        segment_unpin(table->by_id[--table->count]);
    segments_bury(table);
    free(table->by_id);
    table->by_id = NULL;
    view_pins_release(&table->views);
    pthread_mutex_destroy(&table->mutex);
    pthread_mutex_destroy(&table->bury_mutex);
}

void segments_path(const struct segments *table, char path[OS_PATH_MAX], const char *name)
{
    int size = snprintf(path, OS_PATH_MAX, "%s/%s", table->directory, name);
    CHECK(size > 0 && size < OS_PATH_MAX);
}

size_t segments_count(struct segments *table)
{
    pthread_mutex_lock(&table->mutex);
    size_t count = table->count;
    pthread_mutex_unlock(&table->mutex);
    return count;
}

uint64_t segments_take_id(struct segments *table)
{
    pthread_mutex_lock(&table->mutex);
    uint64_t id = table->next_id++;
    pthread_mutex_unlock(&table->mutex);
    return id;
}

/* Room in by_id for every slot taken and one more, so that segments_publish cannot fail. */
static bool grow_by_id(struct segments *table)
{
    size_t wanted = table->slots_taken + 1;
    if (table->capacity >= wanted)
        return true;
    size_t capacity = wanted * 2 + 16;
    struct segment **by_id = realloc(table->by_id, capacity * sizeof(struct segment *));
    if (by_id == NULL)
        return false;
    table->by_id = by_id;
    table->capacity = capacity;
    return true;
}

/* A free slot, taken for `segment`; 0 if there is none. Holding the mutex. */
static uint32_t take_slot(struct segments *table, struct segment *segment)
{
    for (uint32_t i = 0; i < BITCASK_MAX_SEGMENTS; i++) {
        uint32_t slot = (table->next_slot + i - 1) % BITCASK_MAX_SEGMENTS + 1;
        if (atomic_load_explicit(&table->slots[slot], memory_order_relaxed) == NULL) {
            table->next_slot = slot % BITCASK_MAX_SEGMENTS + 1;
            segment->slot = slot;
            table->slots_taken++;
            atomic_store_explicit(&table->slots[slot], segment, memory_order_release);
            return slot;
        }
    }
    return 0;
}

/* A segment with a slot and one pin, the table's. */
static bitcask_status segment_new(struct segments *table, uint64_t id, enum segment_kind kind,
                                  struct segment **out, bitcask_error *error)
{
    struct segment *segment = aligned_alloc(_Alignof(struct segment), sizeof *segment);
    if (segment == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a segment");
    memset(segment, 0, sizeof *segment);
    segment->os = table->os;
    segment->table = table;
    segment->id = id;
    segment->kind = kind;
    atomic_store(&segment->suspect, UINT64_MAX);
    atomic_store(&segment->small_to, UINT64_MAX);
    atomic_store(&segment->pins, 1);
    pthread_mutex_lock(&table->mutex);
    bool grown = grow_by_id(table);
    uint32_t slot = grown ? take_slot(table, segment) : 0;
    pthread_mutex_unlock(&table->mutex);
    if (slot != 0) {
        *out = segment;
        return BITCASK_OK;
    }
    free(segment);
    if (!grown)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the table of segments");
    return error_set(error, BITCASK_LIMIT,
                     "all %u segments are in use; merge, or choose a larger segment size",
                     BITCASK_MAX_SEGMENTS);
}

static void bury(struct segment *segment)
{
    struct segments *table = segment->table;
    struct os *os = segment->os;
    if (segment->file != NULL)
        os->close(os, segment->file);
    if (segment->copied)
        os->free(os, (void *)(uintptr_t)segment->map, segment->map_size);
    else if (segment->map != NULL)
        os->unmap(os, (void *)(uintptr_t)segment->map, segment->map_size);
    if (segment->writable != NULL && segment->remapped)
        os->unmap(os, segment->writable, segment->map_size);
    pthread_mutex_lock(&table->mutex);
    atomic_store_explicit(&table->slots[segment->slot], NULL, memory_order_release);
    table->slots_taken--;
    if (atomic_load(&segment->retired)) {
        atomic_fetch_sub(&table->retired_count, 1);
        atomic_fetch_sub(&table->retired_bytes, atomic_load(&segment->end));
    }
    pthread_mutex_unlock(&table->mutex);
    free(segment);
}

void segments_forget(struct segment *segment)
{
    struct segments *table = segment->table;
    if (table->digger == NULL) {
        bury(segment);
        return;
    }
    segment->next_dead = atomic_load_explicit(&table->dead, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&table->dead, &segment->next_dead, segment)) {
    } /* only ever taken as a whole, so the classic trouble of lock-free stacks cannot arise */
    table->digger(table->digger_context);
}

void segments_set_digger(struct segments *table, void (*tell)(void *context), void *context)
{
    table->digger = tell;
    table->digger_context = context;
}

void segments_bury(struct segments *table)
{
    pthread_mutex_lock(&table->bury_mutex);
    struct segment *segment = atomic_exchange(&table->dead, NULL);
    while (segment != NULL) {
        struct segment *next = segment->next_dead;
        bury(segment);
        segment = next;
    }
    pthread_mutex_unlock(&table->bury_mutex);
}

void segments_settle(struct segments *table)
{
    for (int i = 0; i < SETTLE_TRIES && atomic_load(&table->retired_count) != 0; i++) {
        if (i > 0)
            sched_yield();
        epoch_poll(table->epoch);
        segments_bury(table);
    }
}

/* Write and sync the header, allocate, map. The file is open. */
static int fill_new_file(struct segments *table, struct segment *segment, uint64_t allocate)
{
    struct os *os = table->os;
    struct segment_header header = {
        .format = FORMAT_VERSION,
        .kind = segment->kind,
        .segment_id = segment->id,
        .salt = segment->salt,
        .created_us = segment->created_us,
    };
    memcpy(header.store_id, table->store_id, STORE_ID_SIZE);
    memcpy(header.seed, table->seed, SEED_SIZE);
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    segment_header_encode(bytes, &header);

    int result = os->allocate(os, segment->file, 0, allocate);
    if (result == 0)
        result = os->pwrite(os, segment->file, bytes, sizeof bytes, 0, 0);
    if (result == 0)
        result = os->sync(os, segment->file);
    if (result == 0 && !PLANTED(segment_dir_unsynced))
        result = os->sync_dir(os, table->directory);
    void *memory = NULL;
    if (result == 0)
        result = os->map(os, segment->file, segment->map_size, true, &memory);
    if (result == 0) {
        segment->map = memory;
        segment->writable = memory;
    }
    return result;
}

static uint64_t round_to_page(uint64_t size)
{
    return (size + OS_PAGE - 1) / OS_PAGE * OS_PAGE;
}

bitcask_status segments_create(struct segments *table, enum segment_kind kind, uint64_t capacity,
                               uint64_t allocate, struct segment **out, bitcask_error *error)
{
    struct os *os = table->os;
    *out = NULL;
    struct segment *segment = NULL;
    bitcask_status status = segment_new(table, segments_take_id(table), kind, &segment, error);
    if (status != BITCASK_OK)
        return status;
    if (segment->id > SEGMENT_ID_MAX) {
        segments_discard(table, segment, false);
        return error_set(error, BITCASK_LIMIT, "segment ids are used up");
    }
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, segment->id);
    segments_path(table, path, name);
    segment->map_size = (size_t)round_to_page(capacity);
    segment->created_us = os->clock_real(os);

    int result = os->random(os, &segment->salt, sizeof segment->salt);
    bool made = false;
    if (result == 0) {
        result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, &segment->file);
        made = result == 0;
    }
    if (result == 0)
        result = fill_new_file(table, segment, allocate);
    if (result != 0) {
        status = error_set_os(error, result, "make segment %s", name);
        segments_discard(table, segment, made);
        return status;
    }
    atomic_store(&segment->readable, allocate);
    atomic_store(&segment->end, SEGMENT_HEADER_SIZE);
    atomic_store(&segment->synced, SEGMENT_HEADER_SIZE);
    atomic_store(&segment->state, BITCASK_SEGMENT_ACTIVE);
    *out = segment;
    return BITCASK_OK;
}

static int open_existing(struct segment *segment, struct os_file **file, struct os_stat *stat)
{
    struct os *os = segment->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, segment->id);
    segments_path(segment->table, path, name);
    int result = os->open(os, path, OS_READ, file);
    if (result != 0)
        return result;
    result = os->stat_file(os, *file, stat);
    if (result != 0)
        os->close(os, *file);
    return result;
}

/* Open and map an existing file for reading; -errno if it is not to be had. */
static int map_existing(struct segment *segment, const struct manifest_segment *entry,
                        uint64_t map_size)
{
    struct segments *table = segment->table;
    struct os *os = table->os;
    bool active = entry->state == MANIFEST_ACTIVE;
    struct os_file *file;
    struct os_stat stat;
    int result = open_existing(segment, &file, &stat);
    if (result != 0)
        return result;
    uint64_t size = 0;
    if (result == 0) {
        size = map_size != 0 && map_size < stat.size ? map_size : stat.size;
        uint64_t mapped = size > 0 ? size : 1;
        if (active && mapped < table->segment_size)
            mapped = table->segment_size;
        segment->map_size = (size_t)round_to_page(mapped);
        void *memory = NULL;
        result = os->map(os, file, segment->map_size, false, &memory);
        segment->map = memory;
    }
    if (result == 0)
        atomic_store(&segment->readable, size);
    os->close(os, file);
    return result;
}

/* Open an existing file and read it into memory, up to entry->length. It stays open. */
static int copy_existing(struct segment *segment, const struct manifest_segment *entry,
                         uint64_t capacity)
{
    struct os *os = segment->os;
    struct os_file *file;
    struct os_stat stat;
    int result = open_existing(segment, &file, &stat);
    if (result != 0)
        return result;
    capacity = round_to_page(stat.size > capacity ? stat.size : capacity);
    uint8_t *memory = os->alloc(os, (size_t)capacity, OS_PAGE);
    int64_t got = -ENOMEM;
    if (memory != NULL)
        got = os->pread(os, file, memory, entry->length < capacity ? entry->length : capacity, 0);
    if (got < 0) {
        if (memory != NULL)
            os->free(os, memory, (size_t)capacity);
        os->close(os, file);
        return (int)got;
    }
    segment->file = file;
    segment->map = memory;
    segment->map_size = (size_t)capacity;
    segment->copied = true;
    atomic_store(&segment->readable, (uint64_t)got);
    return 0;
}

void segments_take_entry(struct segment *segment, const struct manifest_segment *entry)
{
    struct segment_figures figures = {
        .records = entry->records,
        .tombstones = entry->tombstones,
        .version_min = entry->version_min,
        .version_max = entry->version_max,
        .expires_min = entry->expires_min,
        .expires_max = entry->expires_max,
        .expiring = entry->expiring,
        .rolling = entry->rolling,
    };
    segment_set_figures(segment, &figures);
    atomic_store(&segment->damaged, entry->damaged);
    atomic_store(&segment->sealed_us, entry->sealed_us);
    atomic_store(&segment->synced_us, entry->synced_us);
    atomic_store(&segment->synced, entry->length);
}

/* `get`: map_existing or copy_existing, with their `size`. */
static bitcask_status open_by(struct segments *table, const struct manifest_segment *entry,
                              int (*get)(struct segment *segment,
                                         const struct manifest_segment *entry, uint64_t size),
                              uint64_t size, struct segment **out, bitcask_error *error)
{
    *out = NULL;
    struct segment *segment = NULL;
    bitcask_status status =
        segment_new(table, entry->id, entry->merge ? SEGMENT_MERGE : SEGMENT_LOG, &segment, error);
    if (status != BITCASK_OK)
        return status;
    segment->salt = entry->salt;
    segment->created_us = entry->created_us;
    segments_take_entry(segment, entry);
    atomic_store(&segment->end, entry->length);

    int result = get(segment, entry, size);
    if (result == -ENOMEM) {
        status = error_set_os(error, result, "map segment %llu", (unsigned long long)entry->id);
        segments_discard(table, segment, false);
        return status;
    }
    uint32_t state = entry->state == MANIFEST_ACTIVE    ? BITCASK_SEGMENT_ACTIVE
                     : entry->state == MANIFEST_SEALING ? BITCASK_SEGMENT_SEALING
                                                        : BITCASK_SEGMENT_SEALED;
    if (result != 0) {
        segment->map = NULL;
        state = BITCASK_SEGMENT_MISSING;
    }
    atomic_store(&segment->state, state);
    read_ahead_begin(segment);
    *out = segment;
    return BITCASK_OK;
}

bitcask_status segments_open(struct segments *table, const struct manifest_segment *entry,
                             uint64_t map_size, struct segment **segment, bitcask_error *error)
{
    return open_by(table, entry, map_existing, map_size, segment, error);
}

bitcask_status segments_open_copy(struct segments *table, const struct manifest_segment *entry,
                                  uint64_t capacity, struct segment **segment, bitcask_error *error)
{
    return open_by(table, entry, copy_existing, capacity, segment, error);
}

/* Where `id` is or belongs in by_id. Holding the mutex. */
static size_t position_of(const struct segments *table, uint64_t id)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->by_id[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void segments_publish(struct segments *table, struct segment *segment)
{
    pthread_mutex_lock(&table->mutex);
    CHECK(table->count < table->capacity);
    size_t at = position_of(table, segment->id);
    CHECK(at == table->count || table->by_id[at] != segment);
    memmove(&table->by_id[at + 1], &table->by_id[at],
            (table->count - at) * sizeof(struct segment *));
    table->by_id[at] = segment;
    table->count++;
    pthread_mutex_unlock(&table->mutex);
}

void segments_withdraw(struct segments *table, struct segment *segment)
{
    pthread_mutex_lock(&table->mutex);
    size_t at = position_of(table, segment->id);
    if (at < table->count && table->by_id[at] == segment) {
        uint64_t last = atomic_load(&segment->version_max);
        if (segment->kind == SEGMENT_LOG && last > table->log_floor)
            table->log_floor = last;
        table->count--;
        memmove(&table->by_id[at], &table->by_id[at + 1],
                (table->count - at) * sizeof(struct segment *));
    }
    pthread_mutex_unlock(&table->mutex);
}

void segments_exchange(struct segments *table, const struct segment *from, struct segment *to)
{
    CHECK(from->id == to->id);
    pthread_mutex_lock(&table->mutex);
    size_t at = position_of(table, from->id);
    CHECK(at < table->count && table->by_id[at] == from);
    table->by_id[at] = to;
    pthread_mutex_unlock(&table->mutex);
}

/* Hint first: a data file without a hint is in order, a hint without its data is litter. */
static int unlink_files(struct segments *table, uint64_t id)
{
    struct os *os = table->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_hint(name, id);
    segments_path(table, path, name);
    int result = os->unlink(os, path);
    int first = result == -ENOENT ? 0 : result;
    name_data(name, id);
    segments_path(table, path, name);
    result = os->unlink(os, path);
    return first != 0 ? first : result == -ENOENT ? 0 : result;
}

static void release_retired(struct epoch_item *item, void *context)
{
    struct segment *segment = context;
    (void)item;
    if (view_pins_drain(&segment->table->views, segment->slot))
        segment_unpin(segment);
}

/* If the last view has gone, so does the table's hold. */
void segments_end_views(struct segments *table, uint32_t slot)
{
    if (view_pins_is_over(&table->views, slot))
        segment_unpin(segments_at(table, slot));
}

void segments_drop_view_shared(struct segments *table, uint32_t slot)
{
    view_pins_drop_shared(&table->views, slot);
    segments_end_views(table, slot);
}

void segments_drop_pinned_view(struct segment *segment)
{
    segment_unpin(segment);
}

void segments_let_go(struct segments *table, struct segment *segment)
{
    atomic_store(&segment->retired, 1);
    atomic_fetch_add(&table->retired_count, 1);
    atomic_fetch_add(&table->retired_bytes, atomic_load(&segment->end));
    segment->retirement = (struct epoch_item){.release = release_retired, .context = segment};
    view_pins_leave(&table->views, segment->slot);
    if (PLANTED(no_grace))
        release_retired(&segment->retirement, segment);
    else
        epoch_retire(table->epoch, &segment->retirement);
}

int segments_retire(struct segments *table, struct segment *segment)
{
    segments_withdraw(table, segment);
    if (atomic_load(&segment->end) > SEGMENT_HEADER_SIZE)
        atomic_fetch_add(&table->removals, 1);
    int result = unlink_files(table, segment->id);
    int synced = table->os->sync_dir(table->os, table->directory);
    segments_let_go(table, segment);
    return result != 0 ? result : synced;
}

void segments_discard(struct segments *table, struct segment *segment, bool unlink)
{
    if (unlink)
        unlink_files(table, segment->id);
    segment_unpin(segment);
}

void segments_cut_file(struct segment *segment, uint64_t end)
{
    struct os *os = segment->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    struct os_file *file;
    name_data(name, segment->id);
    segments_path(segment->table, path, name);
    if (os->open(os, path, OS_READ | OS_WRITE, &file) != 0)
        return;
    atomic_store(&segment->readable, end);
    if (os->truncate(os, file, end) == 0)
        (void)os->sync(os, file);
    os->close(os, file);
}

struct segment **segments_pin_all(struct segments *table, size_t *count)
{
    pthread_mutex_lock(&table->mutex);
    *count = table->count;
    struct segment **all = malloc((table->count + 1) * sizeof *all); /* not NULL when empty */
    if (all == NULL)
        *count = 0;
    for (size_t i = 0; i < *count; i++) {
        all[i] = table->by_id[i];
        segment_pin(all[i]);
    }
    pthread_mutex_unlock(&table->mutex);
    return all;
}

void segments_unpin_all(struct segment **all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        segment_unpin(all[i]);
    free(all);
}
