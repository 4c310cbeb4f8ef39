/* SPDX-License-Identifier: MIT
 * published.c: see published.h. */
#include "engine/published.h"

#include <errno.h>

#include "base/planted.h"
#include "engine/store.h"
#include "format/names.h"

enum { TORN_READS_MAX = 64 }; /* a writer does not stand between two stores for as long */

/* ---- The writer ---------------------------------------------------------------------------- */

void published_init(struct store *store)
{
    struct segments *table = &store->segments;
    struct log_position position = {0, 0};
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count; i++) {
        const struct segment *segment = table->by_id[i];
        if (segment->kind == SEGMENT_LOG && segment->map != NULL)
            position = (struct log_position){segment->id, atomic_load(&segment->end)};
    }
    pthread_mutex_unlock(&table->mutex);
    atomic_store(&store->published.word, log_position_word(position));
}

/* The file, new, or of this store and then as it is: the position in it still holds. */
static int open_file(struct store *store, const char *path, struct os_file **file)
{
    struct os *os = store->os;
    uint8_t bytes[PUBLISHED_SIZE];
    uint64_t capacity;
    int result = os->open(os, path, OS_READ | OS_WRITE, file);
    if (result == 0) {
        int64_t got = os->pread(os, *file, bytes, sizeof bytes, 0);
        if (got == (int64_t)sizeof bytes &&
            published_check(slice_of(bytes, sizeof bytes), store->segments.store_id, &capacity))
            return 0;
        os->close(os, *file);
    }
    *file = NULL;
    result = os->unlink(os, path);
    if (result != 0 && result != -ENOENT)
        return result;
    result = os->open(os, path, OS_READ | OS_WRITE | OS_CREATE, file);
    if (result != 0)
        return result;
    published_encode(bytes, store->segments.store_id, 0, (struct log_position){0, 0});
    result = os->allocate(os, *file, 0, OS_PAGE);
    return result != 0 ? result : os->pwrite(os, *file, bytes, sizeof bytes, 0, 0);
}

/* A word as it stands in the file. */
static uint64_t little_endian(uint64_t number)
{
    uint64_t word;
    put_u64(&word, number);
    return word;
}

static int write_words(struct store *store, uint64_t offset, const uint64_t *numbers, size_t count)
{
    struct published *published = &store->published;
    uint8_t bytes[PUBLISHED_POSITION_SIZE];
    for (size_t i = 0; i < count; i++) {
        if (published->words != NULL)
            atomic_store_explicit(&published->words[offset / 8 + i], little_endian(numbers[i]),
                                  memory_order_release);
        else
            put_u64(bytes + 8 * i, numbers[i]);
    }
    if (published->words != NULL)
        return 0;
    return store->os->pwrite(store->os, published->file, bytes, 8 * count, offset, 0);
}

/* What it says may be out of date from now on: followers get by without it. */
static void give_up(struct store *store, int result)
{
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_PUBLISHED);
    published_release(store);
    store->writer.plain_end = 0;
    store->os->unlink(store->os, path);
    EVENT(&store->events, BITCASK_LOG_WARN, "unpublished", F_TEXT("file", NAME_PUBLISHED),
          F_UINT("errno", (uint64_t)-result));
}

void published_start(struct store *store)
{
    struct published *published = &store->published;
    struct os *os = store->os;
    if (published->started)
        return;
    char path[OS_PATH_MAX];
    segments_path(&store->segments, path, NAME_PUBLISHED);
    int result = open_file(store, path, &published->file);
    if (result == 0 && store->writer.mapped_writes) {
        void *memory = NULL;
        result = os->map(os, published->file, OS_PAGE, true, &memory);
        if (result == 0) {
            published->words = memory;
            os->close(os, published->file);
            published->file = NULL;
        }
    }
    published->started = true;
    const uint64_t unknown = PUBLISHED_SYNC_UNKNOWN;
    if (result == 0 && published->words == NULL) /* a copy from elsewhere may say something */
        result = write_words(store, PUBLISHED_AT_SYNC, &unknown, 1);
    if (result != 0)
        give_up(store, result);
    else if (published->words != NULL)
        sync_mark_start(&store->sync_mark, &published->words[PUBLISHED_AT_SYNC / 8]);
}

void published_set(struct store *store, const struct segment *segment, uint64_t end)
{
    struct published *published = &store->published;
    uint64_t word = log_position_word((struct log_position){segment->id, end});
    if (word == atomic_load_explicit(&published->word, memory_order_relaxed) &&
        published->capacity == segment->map_size)
        return;
    atomic_store_explicit(&published->word, word, memory_order_release);
    if (published->words == NULL && published->file == NULL)
        return;
    int result = 0;
    if (published->capacity != segment->map_size) {
        published->capacity = segment->map_size;
        result = write_words(store, PUBLISHED_AT_CAPACITY, &published->capacity, 1);
    }
    const uint64_t both[2] = {word, ~word};
    if (result == 0)
        result = write_words(store, PUBLISHED_AT_POSITION, both, 2);
    if (result != 0)
        give_up(store, result);
}

void published_release(struct store *store)
{
    struct published *published = &store->published;
    sync_mark_stop(&store->sync_mark);
    if (published->words != NULL)
        store->os->unmap(store->os, (void *)(uintptr_t)published->words, OS_PAGE);
    if (published->file != NULL)
        store->os->close(store->os, published->file);
    published->words = NULL;
    published->file = NULL;
}

/* ---- A follower ---------------------------------------------------------------------------- */

/* The position before the rest: the rest was stored before it. */
static bitcask_status read_file(struct segments *table, struct os_file *file,
                                struct log_position *position, uint64_t *capacity,
                                bitcask_error *error)
{
    struct os *os = table->os;
    uint8_t bytes[PUBLISHED_AT_POSITION];
    int64_t got = 0;
    bool whole = false;
    for (int i = 0; i < TORN_READS_MAX && !whole && got >= 0; i++) {
        got = os->pread(os, file, bytes, PUBLISHED_POSITION_SIZE, PUBLISHED_AT_POSITION);
        whole = got == PUBLISHED_POSITION_SIZE && published_decode_position(bytes, position);
    }
    if (got >= 0 && whole)
        got = os->pread(os, file, bytes, sizeof bytes, 0);
    if (got < 0)
        return error_set_os(error, (int)got, "read %s", NAME_PUBLISHED);
    bool good = whole && published_check(slice_of(bytes, (size_t)got), table->store_id, capacity);
    return good ? BITCASK_OK : BITCASK_NOT_FOUND;
}

bitcask_status published_read(struct segments *table, struct log_position *position,
                              uint64_t *capacity, bitcask_error *error)
{
    struct os *os = table->os;
    char path[OS_PATH_MAX];
    struct os_file *file;
    segments_path(table, path, NAME_PUBLISHED);
    int result = os->open(os, path, OS_READ, &file);
    if (result == -ENOENT || result == -EINVAL || result == -ELOOP)
        return BITCASK_NOT_FOUND;
    if (result != 0)
        return error_set_os(error, result, "open %s", NAME_PUBLISHED);
    bitcask_status status = read_file(table, file, position, capacity, error);
    os->close(os, file);
    return status;
}
