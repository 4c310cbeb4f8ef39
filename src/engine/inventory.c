/* SPDX-License-Identifier: MIT
 * inventory.c: listing a store's directory, and a first look into its data files. */
#include "engine/inventory.h"

#include <errno.h>
#include <stdlib.h>

#include "format/names.h"

/* ---- Lists of ids ---------------------------------------------------------------------------- */

bool id_list_add(struct id_list *list, uint64_t id)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 16;
        uint64_t *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = id;
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void id_list_sort(struct id_list *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, compare_ids);
}

bool id_list_has(const struct id_list *list, uint64_t id)
{
    return list->count > 0 &&
           bsearch(&id, list->items, list->count, sizeof id, compare_ids) != NULL;
}

void id_list_release(struct id_list *list)
{
    free(list->items);
    *list = (struct id_list){0};
}

/* ---- The directory --------------------------------------------------------------------------- */

static void see_id(struct inventory *inventory, uint64_t id)
{
    if (id > inventory->max_id)
        inventory->max_id = id;
}

static int note_name(void *context, const char *name)
{
    struct inventory *inventory = context;
    uint64_t id = 0;
    bool added = true;
    switch (name_parse(name, &id)) {
    case NAME_DATA:
        added = id_list_add(&inventory->data, id);
        break;
    case NAME_HINT:
        added = id_list_add(&inventory->hints, id);
        break;
    case NAME_HINT_TMP:
        added = id_list_add(&inventory->hint_tmps, id);
        break;
    case NAME_DATA_TMP:
        added = id_list_add(&inventory->data_tmps, id);
        break;
    case NAME_META:
        inventory->has_manifest |= strcmp(name, NAME_MANIFEST) == 0;
        inventory->unfinished |= strcmp(name, NAME_UNFINISHED) == 0;
        inventory->has_manifest_tmp |= strcmp(name, NAME_MANIFEST_TMP) == 0;
        inventory->has_image_tmp |= strcmp(name, NAME_IMAGE_TMP) == 0;
        return 0;
    case NAME_OTHER:
        return 0;
    }
    see_id(inventory, id);
    return added ? 0 : -ENOMEM;
}

/* "000000007-4096-1a2b3c4d" */
static int note_quarantined(void *context, const char *name)
{
    enum { DIGITS = 9 };
    uint64_t id = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return 0;
        id = id * 10 + (uint64_t)(name[i] - '0');
    }
    if (name[DIGITS] == '-')
        see_id(context, id);
    return 0;
}

bitcask_status inventory_list(const struct segments *table, struct inventory *inventory,
                              bitcask_error *error)
{
    *inventory = (struct inventory){0};
    struct os *os = table->os;
    int result = os->list(os, table->directory, note_name, inventory);
    if (result != 0)
        return error_set_os(error, result, "list the directory");
    char path[OS_PATH_MAX];
    segments_path(table, path, NAME_QUARANTINE);
    result = os->list(os, path, note_quarantined, inventory);
    if (result != 0 && result != -ENOENT && result != -ENOTDIR)
        return error_set_os(error, result, "list %s", NAME_QUARANTINE);
    id_list_sort(&inventory->data);
    id_list_sort(&inventory->hints);
    id_list_sort(&inventory->hint_tmps);
    id_list_sort(&inventory->data_tmps);
    return BITCASK_OK;
}

void inventory_release(struct inventory *inventory)
{
    id_list_release(&inventory->data);
    id_list_release(&inventory->hints);
    id_list_release(&inventory->hint_tmps);
    id_list_release(&inventory->data_tmps);
}

/* ---- A data file ----------------------------------------------------------------------------- */

static int open_data(const struct segments *table, uint64_t id, struct os_file **file)
{
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, id);
    segments_path(table, path, name);
    return table->os->open(table->os, path, OS_READ, file);
}

/* Of a file that is there: whether it is not one of ours, or only cannot be read now. */
static enum segment_file_kind kind_of_failure(const struct segments *table, uint64_t id)
{
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_data(name, id);
    segments_path(table, path, name);
    struct os_stat stat;
    int result = table->os->stat(table->os, path, &stat);
    if (result == -ENOENT)
        return FILE_ABSENT;
    return result == 0 && !stat.regular ? FILE_FOREIGN : FILE_UNREADABLE;
}

enum segment_file_kind segment_file_probe(const struct segments *table, uint64_t id,
                                          struct segment_header *header, uint64_t *size)
{
    struct os *os = table->os;
    struct os_file *file;
    *size = 0;
    if (open_data(table, id, &file) != 0)
        return kind_of_failure(table, id);
    struct os_stat stat;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    int64_t got = os->stat_file(os, file, &stat);
    if (got == 0)
        got = os->pread(os, file, bytes, sizeof bytes, 0);
    os->close(os, file);
    if (got < 0)
        return FILE_UNREADABLE;
    *size = stat.size;
    bitcask_status status = BITCASK_CORRUPT;
    if (got == SEGMENT_HEADER_SIZE)
        status = segment_header_decode(slice_of(bytes, sizeof bytes), header);
    if (status == BITCASK_FORMAT)
        return FILE_NEWER;
    if (status != BITCASK_OK)
        return FILE_DAMAGED;
    return header->segment_id == id ? FILE_OURS : FILE_FOREIGN;
}

/* Is the whole of `record`, which ends a file, a SEAL that stands at `offset`? */
static bool is_seal(slice record, uint64_t salt, uint64_t offset, struct meta_seal *seal)
{
    struct record decoded;
    struct record_shape shape;
    return get_u16((const uint8_t *)record.data + 14) == RECORD_META &&
           record_parse(record, &shape, NULL) == BITCASK_OK && shape.size == record.size &&
           record_decode(record, salt, offset, &decoded, &shape, NULL) == BITCASK_OK &&
           meta_seal_decode(decoded.value, seal) == BITCASK_OK && seal->length == offset;
}

bitcask_status segment_file_seal(const struct segments *table, uint64_t id, uint64_t salt,
                                 uint64_t size, struct meta_seal *seal, uint8_t **bytes)
{
    enum { FIXED = RECORD_HEADER_SIZE + META_SEAL_FIXED };
    struct os *os = table->os;
    struct os_file *file;
    if (size < SEGMENT_HEADER_SIZE + FIXED)
        return BITCASK_NOT_FOUND;
    size_t tail = FIXED + 8 * (size_t)META_SEAL_INPUTS_MAX;
    if (tail > size - SEGMENT_HEADER_SIZE)
        tail = (size_t)(size - SEGMENT_HEADER_SIZE);
    uint8_t *read = malloc(tail);
    if (read == NULL)
        return BITCASK_NO_MEMORY;
    int64_t got = open_data(table, id, &file);
    if (got == 0) {
        got = os->pread(os, file, read, tail, size - tail);
        os->close(os, file);
    }
    /* It ends the file; only the number of its inputs is open. */
    for (size_t length = FIXED; got == (int64_t)tail && length <= tail; length += 8) {
        if (is_seal(slice_of(read + tail - length, length), salt, size - length, seal)) {
            *bytes = read;
            return BITCASK_OK;
        }
    }
    free(read);
    return got < 0 ? BITCASK_IO : BITCASK_NOT_FOUND;
}
