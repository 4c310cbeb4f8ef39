/* SPDX-License-Identifier: MIT
 * index_image.c: opening the image of the index and fetching shards from it. */
#include "engine/index_image.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/load.h"
#include "format/names.h"

enum {
    FETCH_SHARD_MAX = 64 << 20, /* bytes of one shard: more is no image of ours */
    AHEAD_MIN = 2 << 20,        /* so much of the file is on its way, while it is read in turn, */
    AHEAD_STEP = 2 << 20,       /* and so much more is asked for at once */
};

_Static_assert((int)IMAGE_BUCKET_SIZE == (int)KEYDIR_BUCKET_SLOTS * 8,
               "a bucket in the file as in memory");
_Static_assert((int)IMAGE_TAG_BITS == (int)KEYDIR_TAG_BITS, "tags in the file as in memory");

/* ---- Header and tables ----------------------------------------------------------------------- */

static bitcask_status read_exactly(struct index_image *image, void *to, size_t size, uint64_t at)
{
    int64_t got = image->os->pread(image->os, image->file, to, size, at);
    return got < 0 ? BITCASK_IO : got == (int64_t)size ? BITCASK_OK : BITCASK_CORRUPT;
}

static bitcask_status read_header(struct index_image *image, const char **why)
{
    const struct store *store = image->store;
    struct os_stat stat;
    uint8_t bytes[IMAGE_HEADER_SIZE];
    *why = "cannot be read";
    if (image->os->stat_file(image->os, image->file, &stat) != 0 ||
        read_exactly(image, bytes, sizeof bytes, 0) != BITCASK_OK)
        return BITCASK_CORRUPT;
    image->file_size = stat.size;
    bitcask_status status =
        image_header_decode(slice_of(bytes, sizeof bytes), stat.size, &image->header);
    *why = status == BITCASK_FORMAT ? "of a newer format" : "bad header";
    if (status != BITCASK_OK)
        return BITCASK_CORRUPT;
    const struct image_header *header = &image->header;
    *why = NULL;
    if (memcmp(header->store_id, store->segments.store_id, STORE_ID_SIZE) != 0 ||
        header->hash_check != hash_key(&store->secret, slice_of("", 0)))
        *why = "of another store";
    else if (memcmp(header->fork_id, store->fork_id, STORE_ID_SIZE) != 0)
        *why = "of another history of this store";
    return *why == NULL ? BITCASK_OK : BITCASK_CONFLICT;
}

static bitcask_status read_tables(struct index_image *image, const char **why)
{
    const struct image_header *header = &image->header;
    size_t size = (size_t)image_tables_size(header);
    image->tables = malloc(size);
    image->offsets = malloc(header->shard_count * sizeof *image->offsets);
    if (image->tables == NULL || image->offsets == NULL)
        return BITCASK_NO_MEMORY;
    *why = "its tables cannot be read";
    bitcask_status status = read_exactly(image, image->tables, size, header->shards_end);
    if (status != BITCASK_OK)
        return BITCASK_CORRUPT;
    return image_tables_check(header, slice_of(image->tables, size), why);
}

/* Where each shard is, and a buffer for the largest. */
static bitcask_status find_shards(struct index_image *image, const char **why)
{
    const struct image_header *header = &image->header;
    uint64_t at = IMAGE_HEADER_SIZE, most = 0;
    for (uint32_t i = 0; i < header->shard_count; i++) {
        struct image_shard shard;
        image_shard_decode(header, image->tables, i, &shard);
        uint64_t size = image_shard_bytes(header->bucket_count, shard.stash);
        image->offsets[i] = at;
        at += size;
        most = size > most ? size : most;
    }
    *why = "a shard is too large";
    if (most > FETCH_SHARD_MAX)
        return BITCASK_CORRUPT;
    image->bytes = malloc((size_t)most);
    return image->bytes != NULL ? BITCASK_OK : BITCASK_NO_MEMORY;
}

bitcask_status index_image_open(struct store *store, struct index_image **out, const char **why)
{
    *out = NULL;
    struct index_image *image = calloc(1, sizeof *image);
    if (image == NULL)
        return BITCASK_NO_MEMORY;
    image->os = store->os;
    image->store = store;
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_IMAGE);
    int result = store->os->open(store->os, path, OS_READ, &image->file);
    bitcask_status status = BITCASK_OK;
    if (result != 0) {
        *why = "cannot be opened";
        status = result == -ENOENT   ? BITCASK_NOT_FOUND
                 : result == -ENOMEM ? BITCASK_NO_MEMORY
                                     : BITCASK_CORRUPT;
    }
    if (status == BITCASK_OK)
        status = read_header(image, why);
    if (status == BITCASK_OK)
        status = read_tables(image, why);
    if (status == BITCASK_OK)
        status = find_shards(image, why);
    if (status == BITCASK_OK)
        *out = image;
    else
        index_image_close(image);
    return status;
}

void index_image_close(struct index_image *image)
{
    if (image == NULL)
        return;
    if (image->file != NULL)
        image->os->close(image->os, image->file);
    free(image->tables);
    free(image->offsets);
    free(image->bytes);
    free(image->limits);
    free(image);
}

/* ---- Shards ---------------------------------------------------------------------------------- */

bitcask_status index_image_read(struct index_image *image, uint32_t index)
{
    const struct image_header *header = &image->header;
    struct image_shard shard;
    image_shard_decode(header, image->tables, index, &shard);
    size_t size = (size_t)image_shard_bytes(header->bucket_count, shard.stash);
    bitcask_status status = read_exactly(image, image->bytes, size, image->offsets[index]);
    if (status != BITCASK_OK)
        return status;
    uint32_t crc = image_shard_checksum(header->salt, index, image->bytes, size);
    return crc == shard.crc ? BITCASK_OK : BITCASK_CORRUPT;
}

/* The same entry with our number of its segment; 0 if it points at nothing there can be. */
static uint64_t translate(const struct index_image *image, uint64_t word)
{
    struct keydir_place place;
    if (!keydir_word_place(word, &place))
        return 0;
    const struct image_place_limit *limit = &image->limits[place.segment_slot];
    if (limit->slot == 0 || place.offset >= limit->length || place.offset < SEGMENT_HEADER_SIZE)
        return 0;
    return (word & ~(UINT64_C(0x3fff) << 32)) | (uint64_t)limit->slot << 32;
}

static bitcask_status fetch(void *context, uint32_t index, uint64_t *words)
{
    struct index_image *image = context;
    bitcask_status status = index_image_read(image, index);
    if (status != BITCASK_OK)
        return status;
    struct image_shard shard;
    image_shard_decode(&image->header, image->tables, index, &shard);
    uint32_t slots = image->header.bucket_count * KEYDIR_BUCKET_SLOTS, entries = 0;
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t word = get_u64(image->bytes + 8 * (size_t)i);
        words[i] = word != 0 ? translate(image, word) : 0;
        if (word != 0 && words[i] == 0)
            return BITCASK_CORRUPT;
        entries += word != 0;
    }
    for (uint32_t i = slots; i < slots + 2 * shard.stash; i += 2) {
        words[i] = translate(image, get_u64(image->bytes + 8 * (size_t)i));
        words[i + 1] = get_u64(image->bytes + 8 * (size_t)i + 8);
        if (words[i] == 0)
            return BITCASK_CORRUPT;
    }
    return entries + shard.stash == shard.entries ? BITCASK_OK : BITCASK_CORRUPT;
}

/* Look-ups fetch shards in between, each where it happens to lie, so the system would not notice
 * that the file is read in turn. */
static void ahead(void *context, uint32_t index)
{
    struct index_image *image = context;
    uint64_t at = image->offsets[index];
    if (image->ahead_to < at)
        image->ahead_to = at;
    if (image->ahead_to - at >= AHEAD_MIN || image->ahead_to >= image->header.shards_end)
        return;
    (void)image->os->will_need(image->os, image->file, image->ahead_to, AHEAD_STEP);
    image->ahead_to += AHEAD_STEP;
}

/* Neither the image nor what it was made from can be read: let the next open go by the data, with
 * all the patience that recovery has for damage. */
static void forget_image(struct store *store)
{
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_IMAGE);
    if (!store->options.read_only)
        (void)store->os->unlink(store->os, path);
}

/* The image is damaged here: find the entries in the hints, or in the records where there is none.
 * Nothing has been written with these hashes since the store was opened, since a writer would have
 * fetched the shard first, and no segment is gone, since a merge fetches all. */
static bitcask_status rebuild(void *context, uint64_t first, uint64_t last,
                              struct keydir_load_entry **entries, size_t *count)
{
    struct index_image *image = context;
    struct store *store = image->store;
    if (atomic_load(&store->index.opening))
        return BITCASK_CORRUPT;
    atomic_store(&store->index.image_bytes, 0); /* so the next close writes another */
    bitcask_status status = load_range(store, first, last, entries, count);
    if (status != BITCASK_OK && status != BITCASK_NO_MEMORY)
        forget_image(store);
    EVENT(&store->events, BITCASK_LOG_WARN, "index_rebuilt", F_UINT("keys", *count),
          F_UINT("failed", status != BITCASK_OK));
    return status;
}

static void release(void *context)
{
    index_image_close(context);
}

static struct keydir_source_shard *list_shards(const struct index_image *image)
{
    const struct image_header *header = &image->header;
    struct keydir_source_shard *shards = calloc(header->shard_count, sizeof *shards);
    uint64_t first = 0;
    for (uint32_t i = 0; shards != NULL && i < header->shard_count; i++) {
        struct image_shard shard;
        image_shard_decode(header, image->tables, i, &shard);
        shards[i] = (struct keydir_source_shard){
            .first = first,
            .entries = shard.entries,
            .stash = shard.stash,
            .depth = shard.depth,
            .tag_depth = shard.tag_depth,
        };
        first += shard.depth == 0 ? 0 : UINT64_C(1) << (64 - shard.depth);
    }
    return shards;
}

bitcask_status index_image_attach(struct index_image *image, bitcask_error *error)
{
    CHECK(image->limits != NULL);
    struct keydir_source source = {
        .context = image,
        .fetch = fetch,
        .rebuild = rebuild,
        .ahead = ahead,
        .release = release,
        .shards = list_shards(image),
        .shard_count = image->header.shard_count,
        .bucket_count = image->header.bucket_count,
    };
    bitcask_status status = BITCASK_NO_MEMORY;
    if (source.shards != NULL)
        status = keydir_attach(image->store->keydir, &source, error);
    if (status != BITCASK_OK) {
        free(source.shards);
        index_image_close(image);
    }
    return status;
}
