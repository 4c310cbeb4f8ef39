/* SPDX-License-Identifier: MIT
 * undo.c: the table of old places, and batches that show at once. Invariants X4 and X5.
 *
 * Why a single look-up sees no part of a batch. The writer stores the floor, then changes slots,
 * then raises `batches` and clears the floor, each with release. Who loads a slot that the batch
 * has changed thus loads the floor as it was set for this batch or later. So a record below the
 * floor is of no batch that is being published: that batch is over, or came to its end since the
 * look-up began. In the latter case the look-up may have met any step of it: a value that the batch
 * itself has replaced, or no place of a key that it deleted here and put there. Then `batches` has
 * changed since before the look-up, and it starts again. */
#include "engine/undo.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/snapshot.h"

enum {
    TABLE_BITS_MIN = 6,
    TABLE_BITS_KEEP = 12, /* a larger table goes with its last entry */
};

/* Stands where an entry was: probing goes on behind it. Only its address matters. */
static struct undo_entry removed;

/* ---- The table ------------------------------------------------------------------------------ */

static size_t table_size(unsigned bits)
{
    return sizeof(struct undo_table) + (sizeof(void *) << bits);
}

static size_t table_mask(const struct undo_table *table)
{
    return ((size_t)1 << table->bits) - 1;
}

static size_t table_home(const struct undo_table *table, uint64_t hash)
{
    return (size_t)(hash >> (64 - table->bits));
}

static struct undo_entry *load_slot(const struct undo_table *table, size_t at)
{
    return atomic_load_explicit(&table->slots[at], memory_order_acquire);
}

static void store_slot(struct undo_table *table, size_t at, struct undo_entry *entry)
{
    atomic_store_explicit(&table->slots[at], entry, memory_order_release);
}

static struct undo_table *table_of(const struct undo *undo)
{
    return atomic_load_explicit(&undo->table, memory_order_acquire);
}

static struct undo_table *table_new(struct undo *undo, unsigned bits)
{
    struct undo_table *table = undo->os->alloc(undo->os, table_size(bits), 16);
    if (table == NULL)
        return NULL;
    memset(table, 0, table_size(bits));
    table->undo = undo;
    table->bits = bits;
    atomic_fetch_add_explicit(&undo->bytes, table_size(bits), memory_order_relaxed);
    return table;
}

static void release_table(struct epoch_item *item, void *context)
{
    struct undo *undo = context;
    struct undo_table *table = (struct undo_table *)item; /* its first member */
    undo->os->free(undo->os, table, table_size(table->bits));
}

/* Let readers see another table, or none. */
static void exchange_table(struct undo *undo, struct undo_table *table)
{
    struct undo_table *old = table_of(undo);
    atomic_store_explicit(&undo->table, table, memory_order_release);
    if (old == NULL)
        return;
    atomic_fetch_sub_explicit(&undo->bytes, table_size(old->bits), memory_order_relaxed);
    old->retirement.release = release_table;
    old->retirement.context = undo;
    epoch_retire(undo->epoch, &old->retirement);
}

static void table_put(struct undo_table *table, struct undo_entry *entry)
{
    size_t at = table_home(table, entry->hash);
    const struct undo_entry *there;
    while ((there = load_slot(table, at)) != NULL && there != &removed)
        at = (at + 1) & table_mask(table);
    table->used += there == NULL;
    store_slot(table, at, entry);
}

/* An entry behind which nothing stands leaves an empty slot, and so do removed ones before it: no
 * probe has a reason to go on past them. */
static void table_remove(struct undo_table *table, const struct undo_entry *entry)
{
    size_t mask = table_mask(table), at = table_home(table, entry->hash);
    const struct undo_entry *there;
    while ((there = load_slot(table, at)) != entry) {
        CHECK(there != NULL);
        at = (at + 1) & mask;
    }
    store_slot(table, at, &removed);
    if (load_slot(table, (at + 1) & mask) != NULL)
        return;
    for (; load_slot(table, at) == &removed; at = (at - 1) & mask) {
        store_slot(table, at, NULL);
        table->used--;
    }
}

/* Room for `count` entries that are not reserved yet: a quarter of the slots stays empty. Mutex
 * held. */
static bool table_make_room(struct undo *undo, size_t count)
{
    const struct undo_table *old = table_of(undo);
    size_t coming = undo->reserved + count;
    if (old != NULL && old->used + coming <= (table_mask(old) + 1) / 4 * 3)
        return true;
    size_t entries = atomic_load_explicit(&undo->entries, memory_order_relaxed);
    unsigned bits = TABLE_BITS_MIN;
    while ((size_t)1 << bits < 2 * (entries + coming))
        bits++;
    struct undo_table *table = table_new(undo, bits);
    if (table == NULL)
        return false;
    for (size_t i = 0; old != NULL && i <= table_mask(old); i++) {
        struct undo_entry *entry = load_slot(old, i);
        if (entry != NULL && entry != &removed)
            table_put(table, entry);
    }
    exchange_table(undo, table);
    return true;
}

/* ---- Entries -------------------------------------------------------------------------------- */

static void free_entry(struct undo *undo, struct undo_entry *entry)
{
    undo->os->free(undo->os, entry, sizeof *entry);
}

static void count_bytes(struct undo *undo, size_t entries, bool more)
{
    uint64_t bytes = entries * sizeof(struct undo_entry);
    if (more)
        atomic_fetch_add_explicit(&undo->bytes, bytes, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&undo->bytes, bytes, memory_order_relaxed);
}

bitcask_status undo_reserve(struct undo *undo, size_t count, struct undo_entry **list,
                            bitcask_error *error)
{
    struct undo_entry *taken = NULL;
    size_t have = 0;
    while (have < count) {
        struct undo_entry *entry = undo->os->alloc(undo->os, sizeof *entry, 16);
        if (entry == NULL)
            break;
        *entry = (struct undo_entry){.sibling = taken};
        taken = entry;
        have++;
    }
    bool enough = have == count;
    if (enough && count > 0) {
        pthread_mutex_lock(&undo->mutex);
        enough = table_make_room(undo, count);
        undo->reserved += enough ? count : 0;
        pthread_mutex_unlock(&undo->mutex);
    }
    if (enough) {
        count_bytes(undo, count, true);
        *list = taken;
        return BITCASK_OK;
    }
    while (taken != NULL) {
        struct undo_entry *next = taken->sibling;
        free_entry(undo, taken);
        taken = next;
    }
    return error_set(error, BITCASK_NO_MEMORY, "no memory to keep %zu old places for readers",
                     count);
}

void undo_unreserve(struct undo *undo, struct undo_entry *list)
{
    size_t count = 0;
    while (list != NULL) {
        struct undo_entry *next = list->sibling;
        free_entry(undo, list);
        list = next;
        count++;
    }
    if (count == 0)
        return;
    count_bytes(undo, count, false);
    pthread_mutex_lock(&undo->mutex);
    undo->reserved -= count;
    pthread_mutex_unlock(&undo->mutex);
}

void undo_insert(struct undo *undo, struct undo_entry *list)
{
    size_t count = 0;
    pthread_mutex_lock(&undo->mutex);
    for (struct undo_entry *entry = list; entry != NULL; entry = entry->sibling) {
        CHECK(entry->version < entry->until);
        if (!PLANTED(old_place_unpinned))
            segment_pin(segments_at(undo->segments, entry->place.segment_slot));
        table_put(table_of(undo), entry);
        count++;
    }
    CHECK(undo->reserved >= count);
    undo->reserved -= count;
    atomic_fetch_add_explicit(&undo->entries, count, memory_order_relaxed);
    pthread_mutex_unlock(&undo->mutex);
}

void undo_unlink(struct undo *undo, struct undo_entry *entry, struct undo_entry **gone)
{
    struct undo_table *table = table_of(undo);
    table_remove(table, entry);
    entry->sibling = *gone;
    *gone = entry;
    count_bytes(undo, 1, false);
    uint64_t before = atomic_fetch_sub_explicit(&undo->entries, 1, memory_order_relaxed);
    if (before == 1 && undo->reserved == 0 && table->bits > TABLE_BITS_KEEP)
        exchange_table(undo, NULL);
}

/* No reader can see these entries any more. */
static void release_entries(struct epoch_item *item, void *context)
{
    struct undo *undo = context;
    struct undo_entry *entry =
        (struct undo_entry *)(void *)((char *)item - offsetof(struct undo_entry, retirement));
    while (entry != NULL) {
        struct undo_entry *next = entry->sibling;
        if (!PLANTED(old_place_unpinned))
            segment_unpin(segments_at(undo->segments, entry->place.segment_slot));
        free_entry(undo, entry);
        entry = next;
    }
}

void undo_let_go(struct undo *undo, struct undo_entry *gone)
{
    if (gone == NULL)
        return;
    gone->retirement.release = release_entries;
    gone->retirement.context = undo;
    epoch_retire(undo->epoch, &gone->retirement);
}

void undo_settle(struct undo *undo, struct undo_entry *list)
{
    struct undo_entry *gone = NULL;
    pthread_mutex_lock(&undo->mutex);
    struct bitcask_snapshot *newest = snapshot_live(undo->newest_snapshot);
    while (list != NULL) {
        struct undo_entry *entry = list;
        list = entry->sibling;
        if (newest != NULL && entry->version <= newest->version)
            snapshot_own(newest, entry);
        else
            undo_unlink(undo, entry, &gone);
    }
    pthread_mutex_unlock(&undo->mutex);
    undo_let_go(undo, gone);
}

/* ---- Batches -------------------------------------------------------------------------------- */

void undo_begin_batch(struct undo *undo, uint64_t first_version)
{
    CHECK(undo_floor(undo) == UINT64_MAX);
    atomic_store_explicit(&undo->floor, first_version, memory_order_release);
}

void undo_end_batch(struct undo *undo)
{
    atomic_fetch_add_explicit(&undo->batches, 1, memory_order_release);
    atomic_store_explicit(&undo->floor, UINT64_MAX, memory_order_release);
}

/* ---- Readers -------------------------------------------------------------------------------- */

static bool is_valid_at(const struct undo_entry *entry, uint64_t version)
{
    return entry->version <= version && version < entry->until;
}

void undo_probe_start(const struct undo *undo, uint64_t hash, uint64_t version,
                      struct undo_probe *probe)
{
    const struct undo_table *table = table_of(undo);
    *probe = (struct undo_probe){.table = table, .hash = hash, .version = version};
    if (table != NULL)
        probe->at = table_home(table, hash);
}

bool undo_probe_next(struct undo_probe *probe, struct keydir_place *place)
{
    const struct undo_table *table = probe->table;
    if (table == NULL)
        return false;
    const struct undo_entry *entry;
    while ((entry = load_slot(table, probe->at)) != NULL) {
        probe->at = (probe->at + 1) & table_mask(table);
        if (entry != &removed && entry->hash == probe->hash && is_valid_at(entry, probe->version)) {
            *place = entry->place;
            return true;
        }
    }
    return false;
}

static bool collect(const struct undo_entry *entry, struct keydir_places *places,
                    struct undo_versions *versions)
{
    if (places->count == places->capacity) {
        size_t capacity = places->capacity * 2 + 16;
        struct keydir_place *items = realloc(places->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        places->items = items;
        places->capacity = capacity;
    }
    if (versions->count == versions->capacity) {
        size_t capacity = versions->capacity * 2 + 16;
        uint64_t *items = realloc(versions->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        versions->items = items;
        versions->capacity = capacity;
    }
    places->items[places->count++] = entry->place;
    versions->items[versions->count++] = entry->version;
    return true;
}

bitcask_status undo_collect(const struct undo *undo, uint64_t version, uint64_t from, uint64_t to,
                            struct keydir_places *places, struct undo_versions *versions)
{
    const struct undo_table *table = table_of(undo);
    if (table == NULL)
        return BITCASK_OK;
    /* Entries stand in their home slot or behind it, with no empty slot in between. */
    size_t at = table_home(table, from);
    size_t homes = table_home(table, to == UINT64_MAX ? to : to - 1) - at + 1;
    for (size_t i = 0;; i++, at = (at + 1) & table_mask(table)) {
        const struct undo_entry *entry = load_slot(table, at);
        if (entry == NULL && i >= homes)
            return BITCASK_OK;
        if (i > table_mask(table))
            return BITCASK_OK; /* all the way round */
        bool wanted = entry != NULL && entry != &removed && entry->hash >= from &&
                      (entry->hash < to || to == UINT64_MAX) && is_valid_at(entry, version);
        if (wanted && !collect(entry, places, versions))
            return BITCASK_NO_MEMORY;
    }
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

void undo_init(struct undo *undo, struct os *os, struct epoch *epoch, struct segments *segments)
{
    atomic_init(&undo->floor, UINT64_MAX);
    undo->os = os;
    undo->epoch = epoch;
    undo->segments = segments;
    CHECK(pthread_mutex_init(&undo->mutex, NULL) == 0);
}

void undo_release(struct undo *undo)
{
    struct undo_entry *gone = NULL;
    pthread_mutex_lock(&undo->mutex);
    snapshots_abandon(undo);
    const struct undo_table *table = table_of(undo);
    for (size_t i = 0; table != NULL && i <= table_mask(table); i++) {
        struct undo_entry *entry = load_slot(table, i);
        if (entry != NULL && entry != &removed) {
            entry->sibling = gone;
            gone = entry;
        }
    }
    exchange_table(undo, NULL);
    pthread_mutex_unlock(&undo->mutex);
    undo_let_go(undo, gone);
    pthread_mutex_destroy(&undo->mutex);
}
