/* SPDX-License-Identifier: MIT
 * rebuild.c: a manifest from headers, SEAL records and hints. */
#include "engine/rebuild.h"

#include <stdlib.h>

#include "base/planted.h"
#include "engine/hint_file.h"

/* One data file of the directory. */
struct found {
    uint64_t id, size;
    enum segment_file_kind kind;
    struct segment_header header; /* of OURS */
    bool has_salt;                /* from the header, else from the hint */
    struct manifest_segment entry;
    bool has_seal;
    struct meta_seal seal;
    uint8_t *seal_bytes;   /* what seal.inputs borrows from */
    uint64_t version_seen; /* the highest that its hint knows of */
};

struct rebuild {
    struct store *store;
    struct found *found;
    size_t count;
};

static struct found *find(const struct rebuild *rebuild, uint64_t id)
{
    for (size_t low = 0, high = rebuild->count; low < high;) {
        size_t middle = (low + high) / 2;
        if (rebuild->found[middle].id == id)
            return &rebuild->found[middle];
        if (rebuild->found[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void tell_foreign(struct store *store, uint64_t id)
{
    EVENT(&store->events, BITCASK_LOG_WARN, "foreign_file", F_UINT("segment", id));
}

/* ---- Which store is it? ---------------------------------------------------------------------- */

/* The header of the store that most files belong to (by majority vote), NULL if there is none. */
static const struct segment_header *choose_store(const struct rebuild *rebuild)
{
    const struct segment_header *choice = NULL;
    size_t votes = 0;
    for (size_t i = 0; i < rebuild->count; i++) {
        const struct found *found = &rebuild->found[i];
        if (found->kind != FILE_OURS)
            continue;
        if (votes == 0)
            choice = &found->header;
        bool same = memcmp(choice->store_id, found->header.store_id, STORE_ID_SIZE) == 0;
        votes = same ? votes + 1 : votes - 1;
    }
    return choice;
}

static bitcask_status probe_all(struct rebuild *rebuild, const struct inventory *inventory,
                                bitcask_error *error)
{
    struct store *store = rebuild->store;
    rebuild->found = calloc(inventory->data.count + 1, sizeof *rebuild->found);
    if (rebuild->found == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for rebuilding the manifest");
    for (size_t i = 0; i < inventory->data.count; i++) {
        struct found *found = &rebuild->found[rebuild->count++];
        found->id = inventory->data.items[i];
        found->kind = segment_file_probe(&store->segments, found->id, &found->header, &found->size);
        if (found->kind == FILE_UNREADABLE)
            return error_set(error, BITCASK_IO,
                             "the manifest is lost, and segment %llu cannot be read",
                             (unsigned long long)found->id);
        if (found->kind == FILE_NEWER)
            return error_set(error, BITCASK_FORMAT,
                             "segment %llu has format %u, this library reads up to %d",
                             (unsigned long long)found->id, found->header.format, FORMAT_VERSION);
    }
    return BITCASK_OK;
}

static void mark_foreign(struct rebuild *rebuild)
{
    const uint8_t *store_id = rebuild->store->segments.store_id;
    for (size_t i = 0; i < rebuild->count; i++) {
        struct found *found = &rebuild->found[i];
        if (found->kind == FILE_OURS &&
            memcmp(found->header.store_id, store_id, STORE_ID_SIZE) != 0)
            found->kind = FILE_FOREIGN;
        if (found->kind == FILE_FOREIGN)
            tell_foreign(rebuild->store, found->id);
    }
}

/* ---- What is each segment? ------------------------------------------------------------------- */

static void take_seal(struct found *found)
{
    const struct meta_seal *seal = &found->seal;
    struct manifest_segment *entry = &found->entry;
    entry->state = MANIFEST_SEALED;
    entry->length = seal->length;
    entry->records = seal->records;
    entry->tombstones = seal->tombstones;
    entry->version_min = seal->version_min;
    entry->version_max = seal->version_max;
    entry->expires_min = seal->expires_min;
    entry->expires_max = seal->expires_max;
    entry->rolling = seal->rolling;
}

static void take_hint(struct found *found, const struct hint_header *hint)
{
    struct manifest_segment *entry = &found->entry;
    found->has_salt = true;
    entry->salt = hint->salt;
    found->version_seen = hint->version_max;
    if (hint->length != found->size)
        return; /* the SEAL that follows cannot be read: it is scanned, and may have lost records */
    entry->state = MANIFEST_SEALED;
    entry->length = hint->length;
    entry->records = hint->records;
    entry->tombstones = hint->tombstones;
    entry->version_min = hint->version_min;
    entry->version_max = hint->version_max;
    entry->expires_min = hint->expires_min;
    entry->expires_max = hint->expires_max;
    entry->rolling = hint->rolling;
}

/* What the hint on disk says, where the data file does not say it itself. */
static void ask_hint(struct rebuild *rebuild, struct found *found)
{
    struct segments *table = &rebuild->store->segments;
    struct segment probe = {.os = table->os, .table = table, .id = found->id};
    struct hint_file hint;
    uint64_t salt;
    if (!hint_file_salt(&probe, &salt))
        return;
    if (found->has_salt && salt != found->entry.salt)
        return;
    probe.salt = salt;
    if (hint_file_open(&probe, found->size, false, true, &hint, NULL) != BITCASK_OK)
        return;
    take_hint(found, &hint.hint.header);
    hint_file_close(table->os, &hint);
}

static bitcask_status describe(struct rebuild *rebuild, struct found *found, bitcask_error *error)
{
    found->entry = (struct manifest_segment){.id = found->id, .state = MANIFEST_ACTIVE};
    if (found->kind == FILE_OURS) {
        found->has_salt = true;
        found->entry.salt = found->header.salt;
        found->entry.merge = found->header.kind == SEGMENT_MERGE;
        found->entry.created_us = found->header.created_us;
    } else if (found->kind == FILE_DAMAGED) {
        ask_hint(rebuild, found); /* for its salt */
    }
    if (!found->has_salt)
        return BITCASK_OK;
    bitcask_status status =
        segment_file_seal(&rebuild->store->segments, found->id, found->entry.salt, found->size,
                          &found->seal, &found->seal_bytes);
    found->has_seal = status == BITCASK_OK;
    if (found->has_seal)
        take_seal(found);
    else if (found->kind == FILE_OURS)
        ask_hint(rebuild, found);
    if (found->kind == FILE_DAMAGED && found->has_seal && found->seal.job != 0)
        found->entry.merge = true;
    if (status == BITCASK_OK || status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    return error_set(error, status, "the manifest is lost, and segment %llu cannot be read",
                     (unsigned long long)found->id);
}

/* ---- Which merges were finished? ------------------------------------------------------------- */

/* `last` is the last output of a job. */
static bool is_finished(const struct rebuild *rebuild, const struct found *last,
                        const struct id_list *superseded)
{
    uint32_t there = 0;
    for (size_t i = 0; i < rebuild->count; i++) {
        const struct found *found = &rebuild->found[i];
        if (!found->has_seal || found->seal.job != last->seal.job)
            continue;
        there++;
        for (size_t s = 0; s < superseded->count; s++) {
            if (superseded->items[s] == found->id)
                return true; /* merged again */
        }
    }
    if (there >= last->seal.outputs)
        return true;
    for (uint32_t i = 0; i < last->seal.input_count; i++) {
        if (find(rebuild, get_u64(last->seal.inputs + 8 * (size_t)i)) == NULL)
            return true; /* removed */
    }
    return false;
}

/* From the newest job to the oldest. */
static bitcask_status find_superseded(const struct rebuild *rebuild, struct id_list *superseded,
                                      bitcask_error *error)
{
    for (size_t i = rebuild->count; i-- > 0;) {
        const struct found *last = &rebuild->found[i];
        if (!last->has_seal || last->seal.outputs == 0 || PLANTED(inputs_rebuilt) ||
            !is_finished(rebuild, last, superseded))
            continue;
        for (uint32_t k = 0; k < last->seal.input_count; k++) {
            uint64_t id = get_u64(last->seal.inputs + 8 * (size_t)k);
            if (id < last->id && find(rebuild, id) != NULL && !id_list_add(superseded, id))
                return error_set(error, BITCASK_NO_MEMORY,
                                 "out of memory for rebuilding the manifest");
        }
    }
    id_list_sort(superseded);
    return BITCASK_OK;
}

/* ---- The manifest ---------------------------------------------------------------------------- */

static bitcask_status list_segments(const struct rebuild *rebuild, const struct id_list *superseded,
                                    struct manifest *manifest, bitcask_error *error)
{
    manifest->segments = calloc(rebuild->count + 1, sizeof *manifest->segments);
    if (manifest->segments == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for rebuilding the manifest");
    for (size_t i = 0; i < rebuild->count; i++) {
        const struct found *found = &rebuild->found[i];
        if (!found->has_salt || id_list_has(superseded, found->id))
            continue;
        manifest->segments[manifest->segment_count++] = found->entry;
        if (found->entry.version_max > manifest->version_ceiling)
            manifest->version_ceiling = found->entry.version_max;
        if (found->version_seen > manifest->version_ceiling)
            manifest->version_ceiling = found->version_seen;
    }
    return BITCASK_OK;
}

static bitcask_status identify(struct rebuild *rebuild, struct manifest *manifest,
                               bitcask_error *error)
{
    struct segments *table = &rebuild->store->segments;
    const struct segment_header *header = choose_store(rebuild);
    if (header == NULL)
        return error_set(error, BITCASK_CORRUPT,
                         "the manifest is lost and no data file has a good header");
    memcpy(table->store_id, header->store_id, STORE_ID_SIZE);
    memcpy(table->seed, header->seed, SEED_SIZE);
    *manifest = (struct manifest){.format = FORMAT_VERSION};
    memcpy(manifest->store_id, header->store_id, STORE_ID_SIZE);
    memcpy(manifest->seed, header->seed, SEED_SIZE);
    int result = table->os->random(table->os, manifest->fork_id, STORE_ID_SIZE);
    return result == 0 ? BITCASK_OK : error_set_os(error, result, "get random bytes");
}

static void release(struct rebuild *rebuild)
{
    for (size_t i = 0; rebuild->found != NULL && i < rebuild->count; i++)
        free(rebuild->found[i].seal_bytes);
    free(rebuild->found);
}

bitcask_status rebuild_manifest(struct store *store, const struct inventory *inventory,
                                struct manifest *manifest, struct id_list *superseded,
                                bitcask_error *error)
{
    *superseded = (struct id_list){0};
    if (inventory->data.count == 0)
        return error_set(error, BITCASK_NO_STORE, "no store here");
    struct rebuild rebuild = {.store = store};
    bitcask_status status = probe_all(&rebuild, inventory, error);
    if (status == BITCASK_OK)
        status = identify(&rebuild, manifest, error);
    if (status == BITCASK_OK) {
        mark_foreign(&rebuild);
        for (size_t i = 0; status == BITCASK_OK && i < rebuild.count; i++)
            status = describe(&rebuild, &rebuild.found[i], error);
    }
    if (status == BITCASK_OK)
        status = find_superseded(&rebuild, superseded, error);
    if (status == BITCASK_OK)
        status = list_segments(&rebuild, superseded, manifest, error);
    if (status == BITCASK_OK)
        manifest->next_id = inventory->max_id + 1;
    else
        id_list_release(superseded);
    release(&rebuild);
    return status;
}
