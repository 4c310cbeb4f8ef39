/* SPDX-License-Identifier: MIT
 * hint_file.c: building, writing, opening and searching hints. */
#include "engine/hint_file.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "format/names.h"

/* Entries, keys and page sums, even of one-byte keys, take less than twice the segment. */
#define HINT_FILE_MAX (2 * BITCASK_MAX_SEGMENT_SIZE)

enum { FIRST_CAPACITY = 1024, SORT_BITS_MAX = 20 };

/* ---- Collecting ------------------------------------------------------------------------------ */

void hint_builder_init(struct hint_builder *builder, struct os *os,
                       const struct hash_secret *secret)
{
    *builder = (struct hint_builder){.os = os, .secret = secret};
}

void hint_builder_release(struct hint_builder *builder)
{
    if (builder->entries != NULL)
        builder->os->free(builder->os, builder->entries,
                          builder->capacity * sizeof *builder->entries);
    builder->entries = NULL;
    builder->count = builder->capacity = 0;
}

static void *alloc_entries(struct os *os, size_t count)
{
    return os->alloc(os, count * sizeof(struct hint_build_entry), _Alignof(uint64_t));
}

static bool grow_to(struct hint_builder *builder, size_t capacity)
{
    struct hint_build_entry *entries = alloc_entries(builder->os, capacity);
    if (entries == NULL)
        return false;
    size_t count = builder->count;
    if (count > 0)
        memcpy(entries, builder->entries, count * sizeof *entries);
    hint_builder_release(builder);
    builder->entries = entries;
    builder->count = count;
    builder->capacity = capacity;
    return true;
}

static bool grow(struct hint_builder *builder)
{
    return grow_to(builder, builder->capacity == 0 ? FIRST_CAPACITY : builder->capacity * 2);
}

void hint_builder_reserve(struct hint_builder *builder, size_t records)
{
    if (records > FIRST_CAPACITY && records > builder->capacity)
        (void)grow_to(builder, records);
}

bitcask_status hint_builder_add_damaged(struct hint_builder *builder,
                                        const struct record_shape *shape, const uint8_t *bytes,
                                        uint64_t offset)
{
    CHECK(offset <= UINT32_MAX && !(shape->flags & RECORD_META));
    if (builder->count == builder->capacity && !grow(builder))
        return BITCASK_NO_MEMORY;
    segment_figures_add(&builder->figures, shape);
    slice key = slice_of(bytes + shape->header_size, shape->key_size);
    builder->entries[builder->count++] = (struct hint_build_entry){
        .hash = hash_key(builder->secret, key),
        .version = shape->version,
        .offset = (uint32_t)offset,
        .key_size = (uint16_t)shape->key_size,
        .flags = (uint16_t)(shape->flags & ~(uint32_t)RECORD_BATCH_MORE),
    };
    return BITCASK_OK;
}

bitcask_status hint_builder_add(struct hint_builder *builder, const struct record_shape *shape,
                                const uint8_t *bytes, uint64_t offset)
{
    bool meta = (shape->flags & RECORD_META) != 0;
    slice value = slice_of(bytes + shape->header_size + shape->key_size, shape->value_size);
    if (meta && meta_kind_of(value) == META_SEAL)
        return BITCASK_OK;
    bitcask_status status =
        meta ? BITCASK_OK : hint_builder_add_damaged(builder, shape, bytes, offset);
    if (status != BITCASK_OK)
        return status;
    builder->figures.rolling = rolling_checksum(builder->figures.rolling, bytes);
    builder->rolled++;
    return BITCASK_OK;
}

/* ---- Sorting --------------------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
    const struct hint_build_entry *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void sort_few(struct hint_build_entry *entries, size_t count)
{
    if (count > 64) { /* many records of one key: equal hashes */
        qsort(entries, count, sizeof *entries, compare_entries);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct hint_build_entry entry = entries[i];
        size_t j = i;
        for (; j > 0 && compare_entries(&entries[j - 1], &entry) > 0; j--)
            entries[j] = entries[j - 1];
        entries[j] = entry;
    }
}

/* Sort by (hash, offset): hashes are evenly spread, so one pass deals them into buckets of about
 * eight by their top bits, and each bucket is sorted by insertion. */
static bitcask_status sort_entries(struct hint_builder *builder)
{
    struct os *os = builder->os;
    const size_t count = builder->count;
    if (count <= 16) {
        sort_few(builder->entries, count);
        return BITCASK_OK;
    }
    unsigned bits = 1;
    while (bits < SORT_BITS_MAX && (count >> bits) > 8)
        bits++;
    const size_t buckets = (size_t)1 << bits;
    struct hint_build_entry *sorted = alloc_entries(os, count);
    size_t *starts = calloc(buckets + 1, sizeof *starts);
    if (sorted == NULL || starts == NULL) {
        if (sorted != NULL)
            os->free(os, sorted, count * sizeof *sorted);
        free(starts);
        return BITCASK_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++)
        starts[(builder->entries[i].hash >> (64 - bits)) + 1]++;
    for (size_t i = 1; i <= buckets; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < count; i++)
        sorted[starts[builder->entries[i].hash >> (64 - bits)]++] = builder->entries[i];
    size_t from = 0; /* starts[i] has become the end of bucket i */
    for (size_t i = 0; i < buckets; i++) {
        sort_few(sorted + from, starts[i] - from);
        from = starts[i];
    }
    free(starts);
    os->free(os, builder->entries, builder->capacity * sizeof *builder->entries);
    builder->entries = sorted;
    builder->capacity = count;
    return BITCASK_OK;
}

/* ---- Newest per key -------------------------------------------------------------------------- */

static const uint8_t *record_of(const struct segment *segment, const struct hint_build_entry *entry)
{
    return segment->map + entry->offset;
}

static const uint8_t *key_of(const struct segment *segment, const struct hint_build_entry *entry)
{
    return record_of(segment, entry) + RECORD_HEADER_SIZE +
           (entry->flags & RECORD_EXPIRES ? RECORD_EXPIRY_SIZE : 0);
}

static bool same_key(const struct segment *segment, const struct hint_build_entry *a,
                     const struct hint_build_entry *b)
{
    return a->key_size == b->key_size &&
           memcmp(key_of(segment, a), key_of(segment, b), a->key_size) == 0;
}

/* Keep the newest of each key among `count` entries of one hash, in the order of their offsets.
 * Returns how many there are. */
static size_t keep_newest(const struct segment *segment, struct hint_build_entry *entries,
                          size_t count)
{
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        size_t k = 0;
        while (k < kept && !same_key(segment, &entries[k], &entries[i]))
            k++;
        if (k == kept)
            entries[kept++] = entries[i];
        else if (entries[i].version >= entries[k].version)
            entries[k] = entries[i];
    }
    sort_few(entries, kept);
    return kept;
}

static void drop_superseded(struct hint_builder *builder, const struct segment *segment)
{
    struct hint_build_entry *entries = builder->entries;
    size_t kept = 0;
    for (size_t from = 0, to; from < builder->count; from = to) {
        for (to = from + 1; to < builder->count && entries[to].hash == entries[from].hash; to++)
            ;
        size_t group = to - from;
        if (group > 1)
            group = keep_newest(segment, entries + from, group);
        if (kept != from)
            memmove(entries + kept, entries + from, group * sizeof *entries);
        kept += group;
    }
    builder->count = kept;
}

/* ---- Laying out ------------------------------------------------------------------------------ */

static void fill_header(const struct hint_builder *builder, const struct segment *segment,
                        uint64_t length, struct hint_header *header)
{
    const struct segment_figures *figures = &builder->figures;
    *header = (struct hint_header){
        .format = FORMAT_VERSION,
        .segment_id = segment->id,
        .salt = segment->salt,
        .length = length,
        .entries = builder->count,
        .records = figures->records,
        .tombstones = figures->tombstones,
        .version_min = figures->version_min,
        .version_max = figures->version_max,
        .expires_min = figures->expires_min,
        .expires_max = figures->expires_max,
        .rolling = figures->rolling,
        .sections_size = hint_filter_section_size(builder->count),
    };
    memcpy(header->store_id, segment->table->store_id, STORE_ID_SIZE);
    for (size_t i = 0; i < builder->count; i++)
        header->keys_size += builder->entries[i].key_size;
}

/* Records come in the order of their hashes, which is none to the processor's caches. */
static void fetch_ahead(const struct segment *segment, const struct hint_build_entry *entry)
{
    const uint8_t *record = record_of(segment, entry);
    PREFETCH(record);
    PREFETCH(record + RECORD_HEADER_SIZE + entry->key_size - 1);
}

static void fill_entries(const struct hint_builder *builder, const struct segment *segment,
                         uint8_t *image)
{
    enum { AHEAD = 24 };
    uint8_t *to = image + HINT_HEADER_SIZE;
    uint8_t *key = to + builder->count * HINT_ENTRY_SIZE;
    for (size_t i = 0; i < builder->count; i++, to += HINT_ENTRY_SIZE) {
        const struct hint_build_entry *from = &builder->entries[i];
        if (i + AHEAD < builder->count)
            fetch_ahead(segment, from + AHEAD);
        struct hint_entry entry = {
            .hash = from->hash,
            .version = from->version,
            .offset = from->offset,
            .value_size = record_value_size(record_of(segment, from)),
            .key_size = from->key_size,
            .flags = from->flags,
        };
        hint_entry_encode(to, &entry);
        memcpy(key, key_of(segment, from), from->key_size);
        key += from->key_size;
    }
}

bitcask_status hint_builder_finish(struct hint_builder *builder, const struct segment *segment,
                                   uint64_t length, struct hint_file *file, bitcask_error *error)
{
    *file = (struct hint_file){0};
    struct os *os = builder->os;
    if (sort_entries(builder) != BITCASK_OK)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the hint of segment %llu",
                         (unsigned long long)segment->id);
    drop_superseded(builder, segment);
    struct hint_header header;
    fill_header(builder, segment, length, &header);
    file->size = (size_t)hint_file_size(&header);
    file->memory = os->alloc(os, file->size, OS_PAGE);
    if (file->memory == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for the hint of segment %llu",
                         (unsigned long long)segment->id);
    hint_header_encode(file->memory, &header);
    fill_entries(builder, segment, file->memory);
    hint_finish(file->memory, &header);
    const char *why = NULL;
    bitcask_status status = hint_open(slice_of(file->memory, file->size), &file->hint, &why);
    CHECK(status == BITCASK_OK);
    return BITCASK_OK;
}

static bitcask_status add_records(struct segment *segment, uint64_t from, uint64_t length,
                                  struct hint_builder *builder, bitcask_error *error)
{
    uint64_t offset = from;
    while (offset < length) {
        struct segment_record record;
        const char *why = NULL;
        bitcask_status status = segment_read(segment, offset, &record, &why);
        if (status == BITCASK_OK && record.shape.size > length - offset) {
            status = BITCASK_CORRUPT;
            why = "ends beyond the segment's length";
        }
        if (status == BITCASK_OK)
            status = hint_builder_add(builder, &record.shape, record.bytes, offset);
        else if (why == NULL)
            why = "no record there";
        if (status != BITCASK_OK) {
            error_set(error, status, "segment %llu: record at %llu: %s",
                      (unsigned long long)segment->id, (unsigned long long)offset,
                      status == BITCASK_NO_MEMORY ? "out of memory" : why);
            error_at(error, segment->id, offset);
            return status;
        }
        offset += record.shape.size;
    }
    return BITCASK_OK;
}

bitcask_status hint_file_build(struct segment *segment, const struct hash_secret *secret,
                               uint64_t length, struct hint_file *file,
                               struct segment_figures *figures, bitcask_error *error)
{
    *figures = (struct segment_figures){0};
    return hint_file_build_from(segment, secret, SEGMENT_HEADER_SIZE, length, file, figures, error);
}

bitcask_status hint_file_build_from(struct segment *segment, const struct hash_secret *secret,
                                    uint64_t from, uint64_t length, struct hint_file *file,
                                    struct segment_figures *figures, bitcask_error *error)
{
    *file = (struct hint_file){0};
    struct hint_builder builder;
    hint_builder_init(&builder, segment->os, secret);
    builder.figures = *figures;
    if (from == SEGMENT_HEADER_SIZE &&
        length > from) { /* the count is a guess: no more than there is room for */
        uint64_t records = atomic_load(&segment->records);
        uint64_t most = (length - from) / RECORD_HEADER_SIZE;
        hint_builder_reserve(&builder, records < most ? records : most);
    }
    bitcask_status status = add_records(segment, from, length, &builder, error);
    if (status == BITCASK_OK) {
        *figures = builder.figures;
        status = hint_builder_finish(&builder, segment, length, file, error);
    }
    hint_builder_release(&builder);
    return status;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Make the temporary file; one left behind by a killed process is replaced. */
static int open_new(struct os *os, const char *path, struct os_file **file)
{
    int result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, file);
    if (result != -EEXIST)
        return result;
    result = os->unlink(os, path);
    return result != 0 ? result : os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, file);
}

bitcask_status hint_file_write(struct segment *segment, const struct hint_file *file,
                               bitcask_error *error)
{
    struct os *os = segment->os;
    char name[NAME_SIZE], path[OS_PATH_MAX], temporary[OS_PATH_MAX];
    name_hint_tmp(name, segment->id);
    segments_path(segment->table, temporary, name);
    name_hint(name, segment->id);
    segments_path(segment->table, path, name);

    struct os_file *out;
    int result = open_new(os, temporary, &out);
    if (result != 0)
        return error_set_os(error, result, "make hint %s", name);
    result = os->pwrite(os, out, file->memory, file->size, 0, 0);
    if (result == 0)
        result = os->sync(os, out);
    int closed = os->close(os, out);
    if (result == 0)
        result = closed;
    if (result == 0)
        result = os->rename(os, temporary, path);
    if (result != 0) {
        (void)os->unlink(os, temporary);
        return error_set_os(error, result, "write hint %s", name);
    }
    result = os->sync_dir(os, segment->table->directory);
    if (result != 0)
        return error_set_os(error, result, "sync the directory of hint %s", name);
    atomic_store(&segment->has_hint, 1);
    atomic_store(&segment->hint_bytes, file->size);
    atomic_store(&segment->hint_length, file->hint.header.length);
    return BITCASK_OK;
}

/* Map the hint's file. */
static int map_file(struct segment *segment, struct hint_file *file, uint64_t size_max)
{
    struct os *os = segment->os;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    name_hint(name, segment->id);
    segments_path(segment->table, path, name);
    struct os_file *in;
    int result = os->open(os, path, OS_READ, &in);
    if (result != 0)
        return result;
    struct os_stat stat;
    result = os->stat_file(os, in, &stat);
    if (result == 0 && (stat.size < HINT_HEADER_SIZE + HINT_TRAILER_SIZE || stat.size > size_max))
        result = -EINVAL;
    if (result == 0)
        result = os->map(os, in, (size_t)stat.size, false, &file->memory);
    if (result == 0) {
        file->size = (size_t)stat.size;
        file->mapped = true;
        os->advise(os, file->memory, file->size, OS_ADVISE_SEQUENTIAL);
    } else {
        file->memory = NULL;
    }
    os->close(os, in);
    return result;
}

static const char *foreign(const struct segment *segment, const struct hint_header *header,
                           uint64_t length, bool check_rolling)
{
    if (memcmp(header->store_id, segment->table->store_id, STORE_ID_SIZE) != 0)
        return "of another store";
    if (header->segment_id != segment->id || header->salt != segment->salt)
        return "of another segment";
    if (header->length > length)
        return "covers more than the segment has";
    if (check_rolling && header->length == length && header->rolling != segment->figures.rolling)
        return "of other records";
    return NULL;
}

bitcask_status hint_file_open(struct segment *segment, uint64_t length, bool check_rolling,
                              bool whole, struct hint_file *file, const char **why)
{
    const char *unused;
    why = why != NULL ? why : &unused;
    *file = (struct hint_file){0};
    int result = map_file(segment, file, HINT_FILE_MAX);
    if (result != 0) {
        *why = result == -ENOENT ? "not there" : "cannot be read";
        return result == -ENOMEM ? BITCASK_NO_MEMORY : BITCASK_CORRUPT;
    }
    bitcask_status status = hint_open(slice_of(file->memory, file->size), &file->hint, why);
    if (status == BITCASK_FORMAT)
        *why = "of a newer format";
    const char *fault = NULL;
    if (status == BITCASK_OK)
        fault = foreign(segment, &file->hint.header, length, check_rolling);
    if (fault != NULL)
        *why = fault;
    if (status == BITCASK_OK && fault == NULL && whole)
        status = hint_check_all(&file->hint, why);
    if (status == BITCASK_OK && fault == NULL) {
        atomic_store(&segment->hint_bytes, file->size);
        return BITCASK_OK;
    }
    hint_file_close(segment->os, file);
    return BITCASK_CORRUPT;
}

bool hint_file_salt(struct segment *segment, uint64_t *salt)
{
    struct hint_file file = {0};
    if (map_file(segment, &file, HINT_FILE_MAX) != 0)
        return false;
    bool good = hint_open(slice_of(file.memory, file.size), &file.hint, NULL) == BITCASK_OK &&
                file.hint.header.segment_id == segment->id &&
                memcmp(file.hint.header.store_id, segment->table->store_id, STORE_ID_SIZE) == 0;
    *salt = good ? file.hint.header.salt : 0;
    hint_file_close(segment->os, &file);
    return good;
}

void hint_file_close(struct os *os, struct hint_file *file)
{
    if (file->memory != NULL && file->mapped)
        os->unmap(os, file->memory, file->size);
    else if (file->memory != NULL)
        os->free(os, file->memory, file->size);
    *file = (struct hint_file){0};
}

/* ---- Searching ------------------------------------------------------------------------------- */

/* Entry `index`, if its page is good. */
static bool read_entry(const struct hint *hint, uint64_t index, struct hint_entry *entry)
{
    if (!hint_check(hint, index * HINT_ENTRY_SIZE, HINT_ENTRY_SIZE))
        return false;
    hint_entry_decode(hint->entries + index * HINT_ENTRY_SIZE, entry);
    return true;
}

/* Where the key of entry `index` begins in the keys area: no table says, so this walks all entries
 * before it. Only two keys of one hash need it. */
static bool find_key(const struct hint *hint, uint64_t index, uint64_t *at)
{
    if (!hint_check(hint, 0, index * HINT_ENTRY_SIZE))
        return false;
    *at = 0;
    for (uint64_t i = 0; i < index; i++)
        *at += get_u16(hint->entries + i * HINT_ENTRY_SIZE + 24);
    return *at <= hint->header.keys_size;
}

/* Choose among the entries [from, to) of one hash by their keys. */
static bitcask_status choose(const struct hint *hint, uint64_t from, uint64_t to, slice key,
                             struct hint_entry *entry)
{
    uint64_t at;
    if (!find_key(hint, from, &at))
        return BITCASK_CORRUPT;
    for (uint64_t i = from; i < to; i++, at += entry->key_size) {
        if (!read_entry(hint, i, entry) || entry->key_size > hint->header.keys_size - at)
            return BITCASK_CORRUPT;
        uint64_t in_area = hint->header.entries * HINT_ENTRY_SIZE + at;
        if (!hint_check(hint, in_area, entry->key_size))
            return BITCASK_CORRUPT;
        if (slice_equal(slice_of(hint->keys + at, entry->key_size), key))
            return BITCASK_OK;
    }
    return BITCASK_NOT_FOUND;
}

bitcask_status hint_file_find(const struct hint_file *file, uint64_t hash, slice key,
                              struct hint_entry *entry)
{
    const struct hint *hint = &file->hint;
    const uint64_t count = hint->header.entries;
    uint64_t from = hint_lower_bound(hint, hash);
    /* The search looked at unchecked entries: its neighbours, checked, prove the place. */
    struct hint_entry neighbour = {0};
    if (from > 0 && (!read_entry(hint, from - 1, &neighbour) || neighbour.hash >= hash))
        return BITCASK_CORRUPT;
    uint64_t to = from;
    for (; to < count; to++) {
        if (!read_entry(hint, to, &neighbour) || neighbour.hash < hash)
            return BITCASK_CORRUPT;
        if (neighbour.hash != hash)
            break;
        *entry = neighbour;
    }
    if (to == from)
        return BITCASK_NOT_FOUND;
    if (to == from + 1)
        return BITCASK_OK;
    return choose(hint, from, to, key, entry);
}
