/* SPDX-License-Identifier: MIT
 * store_fixture.c: see store_fixture.h. */
#include "support/store_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log_writer.h"
#include "engine/seal.h"
#include "format/names.h"
#include "format/segment_header.h"

#define DONE(f, call)                                                                        \
    do {                                                                                     \
        bitcask_status status_ = (call);                                                     \
        if (status_ != BITCASK_OK)                                                           \
            fail_msg("%s: %s: %s", #call, bitcask_status_name(status_), (f)->error.message); \
    } while (0)

/* ---- Life ----------------------------------------------------------------------------------- */

/* Events come from any thread. */
static pthread_mutex_t events_mutex = PTHREAD_MUTEX_INITIALIZER;

static void keep_event(struct fixture *f, const bitcask_log_event *event)
{
    if (f->event_count == FIXTURE_EVENTS_MAX)
        return;
    struct fixture_event *own = &f->events[f->event_count++];
    *own = (struct fixture_event){.level = event->level};
    snprintf(own->name, sizeof own->name, "%s", event->name);
    for (size_t i = 0; i < event->field_count && i < FIXTURE_FIELDS_MAX; i++) {
        snprintf(own->fields[i].name, sizeof own->fields[i].name, "%s", event->fields[i].name);
        own->fields[i].number = event->fields[i].number;
        own->field_count++;
    }
}

static void take_event(void *context, const bitcask_log_event *event)
{
    pthread_mutex_lock(&events_mutex);
    keep_event(context, event);
    pthread_mutex_unlock(&events_mutex);
}

static void new_disk(struct fixture *f)
{
    f->os = os_mem_new(&(struct os_mem_options){.durable_images = true, .seed = 1});
    assert_non_null(f->os);
    assert_int_equal(f->os->make_dir(f->os, STORE_DIRECTORY), 0);
    assert_int_equal(f->os->sync_dir(f->os, "."), 0);
}

void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    bitcask_options_init(&f->options);
    f->options.background = BITCASK_BACKGROUND_NONE;
    f->options.sync = BITCASK_SYNC_NONE;
    f->options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    f->options.merge_bytes_per_s = 0; /* the clock stands still: no wait would end */
    f->options.log_level = BITCASK_LOG_DEBUG;
    f->options.log = take_event;
    f->options.log_context = f;
    new_disk(f);
}

void fixture_release(struct fixture *f)
{
    if (f->store != NULL)
        abandon(f);
    if (f->os != NULL)
        os_mem_free(f->os);
    f->os = NULL;
}

bitcask_status try_open(struct fixture *f)
{
    assert_null(f->store);
    f->event_count = 0;
    memset(&f->error, 0, sizeof f->error);
    bitcask_status status = store_open(f->os, STORE_DIRECTORY, &f->options, &f->store, &f->error);
    f->db = (bitcask *)f->store;
    return status;
}

void open_store(struct fixture *f)
{
    DONE(f, try_open(f));
}

void close_store(struct fixture *f)
{
    struct store *store = f->store;
    f->store = NULL;
    f->db = NULL;
    DONE(f, store_close(store, &f->error));
}

void abandon(struct fixture *f)
{
    store_abandon(f->store);
    f->store = NULL;
    f->db = NULL;
}

void crash(struct fixture *f)
{
    os_mem_crash(f->os);
    abandon(f);
}

void kill_9(struct fixture *f)
{
    os_mem_kill(f->os);
    abandon(f);
}

/* ---- Writing and reading -------------------------------------------------------------------- */

void put(struct fixture *f, const char *key, const char *value)
{
    DONE(f, bitcask_put(f->db, bitcask_str(key), bitcask_str(value), NULL, NULL, &f->error));
}

void put_durably(struct fixture *f, const char *key, const char *value)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = BITCASK_SYNC_ALWAYS;
    DONE(f, bitcask_put(f->db, bitcask_str(key), bitcask_str(value), &options, NULL, &f->error));
}

void put_sized(struct fixture *f, const char *key, char fill, size_t size)
{
    char *value = malloc(size + 1);
    assert_non_null(value);
    memset(value, fill, size);
    DONE(f,
         bitcask_put(f->db, bitcask_str(key), bitcask_bytes(value, size), NULL, NULL, &f->error));
    free(value);
}

void put_numbered(struct fixture *f, const char *prefix, int from, int to, const char *value)
{
    for (int i = from; i < to; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s%d", prefix, i);
        put(f, key, value);
    }
}

void put_batch(struct fixture *f, const char *prefix, int count)
{
    bitcask_batch *batch;
    DONE(f, bitcask_batch_new(&batch, &f->error));
    for (int i = 0; i < count; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s%d", prefix, i);
        DONE(f, bitcask_batch_put(batch, bitcask_str(key), bitcask_str(key), 0, &f->error));
    }
    DONE(f, bitcask_write(f->db, batch, NULL, NULL, &f->error));
    bitcask_batch_free(batch);
}

void delete_key(struct fixture *f, const char *key)
{
    DONE(f, bitcask_delete(f->db, bitcask_str(key), NULL, NULL, &f->error));
}

void sync_store(struct fixture *f)
{
    DONE(f, bitcask_sync_now(f->db, &f->error));
}

void rotate(struct fixture *f)
{
    write_mutex_lock(&f->store->write_mutex);
    bitcask_status status = log_rotate(f->store, &f->error);
    write_mutex_unlock(&f->store->write_mutex);
    DONE(f, status);
    DONE(f, seal_waiting(f->store, &f->error));
}

bitcask_status read_key(struct fixture *f, const char *key, bitcask_buffer *value)
{
    return bitcask_get(f->db, NULL, bitcask_str(key), value, NULL, &f->error);
}

static void check_status(struct fixture *f, const char *key, bitcask_status expected)
{
    bitcask_buffer value = {0};
    bitcask_status status = read_key(f, key, &value);
    bitcask_buffer_free(&value);
    if (status != expected)
        fail_msg("'%s' is %s, not %s", key, bitcask_status_name(status),
                 bitcask_status_name(expected));
}

void check_missing(struct fixture *f, const char *key)
{
    check_status(f, key, BITCASK_NOT_FOUND);
}

void check_corrupt(struct fixture *f, const char *key)
{
    check_status(f, key, BITCASK_CORRUPT);
}

void check_value(struct fixture *f, const char *key, const char *value)
{
    bitcask_buffer found = {0};
    bitcask_status status = read_key(f, key, &found);
    if (status != BITCASK_OK)
        fail_msg("'%s' is %s", key, bitcask_status_name(status));
    if (found.size != strlen(value) || memcmp(found.data, value, found.size) != 0)
        fail_msg("'%s' is '%.*s', not '%s'", key, (int)found.size, (char *)found.data, value);
    bitcask_buffer_free(&found);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *dump_store(struct fixture *f)
{
    char **lines = NULL;
    size_t count = 0, size = 1;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    DONE(f,
         bitcask_iterator_new(f->db, NULL, bitcask_str(""), BITCASK_VALUES, &iterator, &f->error));
    bitcask_status status;
    while ((status = bitcask_iterator_next(iterator, &entry, &f->error)) != BITCASK_END) {
        if (status == BITCASK_CORRUPT)
            continue;
        DONE(f, status);
        lines = realloc(lines, (count + 1) * sizeof *lines);
        assert_non_null(lines);
        size_t length = entry.key.size + entry.value.size + 3;
        lines[count] = malloc(length);
        assert_non_null(lines[count]);
        snprintf(lines[count], length, "%.*s=%.*s\n", (int)entry.key.size,
                 (const char *)entry.key.data, (int)entry.value.size,
                 (const char *)entry.value.data);
        size += strlen(lines[count++]);
    }
    bitcask_iterator_free(iterator);
    if (count > 0)
        qsort(lines, count, sizeof *lines, compare_lines);
    char *text = malloc(size), *at = text;
    assert_non_null(text);
    *text = '\0';
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, lines[i]);
        free(lines[i]);
    }
    free(lines);
    return text;
}

uint64_t live_bytes(struct fixture *f)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f->db, &stats);
    return stats.live_bytes;
}

/* ---- Events --------------------------------------------------------------------------------- */

size_t count_events(const struct fixture *f, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < f->event_count; i++)
        count += strcmp(f->events[i].name, name) == 0;
    return count;
}

uint64_t event_number(const struct fixture *f, const char *name, const char *field)
{
    for (size_t i = 0; i < f->event_count; i++) {
        const struct fixture_event *event = &f->events[i];
        for (size_t k = 0; strcmp(event->name, name) == 0 && k < event->field_count; k++) {
            if (strcmp(event->fields[k].name, field) == 0)
                return event->fields[k].number;
        }
    }
    fail_msg("no event '%s' with a field '%s'", name, field);
    return 0;
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void path_of(char path[OS_PATH_MAX], const char *name)
{
    snprintf(path, OS_PATH_MAX, "%s/%s", STORE_DIRECTORY, name);
}

bool has_file(struct fixture *f, const char *name)
{
    char path[OS_PATH_MAX];
    struct os_stat stat;
    path_of(path, name);
    return f->os->stat(f->os, path, &stat) == 0;
}

size_t file_size(struct fixture *f, const char *name)
{
    char path[OS_PATH_MAX];
    path_of(path, name);
    int64_t size = os_mem_read_file(f->os, path, NULL, 0);
    if (size < 0)
        fail_msg("no file '%s'", name);
    return (size_t)size;
}

unsigned char *read_whole(struct fixture *f, const char *name, size_t *size)
{
    char path[OS_PATH_MAX];
    path_of(path, name);
    *size = file_size(f, name);
    unsigned char *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(os_mem_read_file(f->os, path, data, *size), *size);
    return data;
}

void write_whole(struct fixture *f, const char *name, const void *data, size_t size)
{
    char path[OS_PATH_MAX];
    path_of(path, name);
    assert_int_equal(os_mem_write_file(f->os, path, data, size), 0);
}

void flip_byte(struct fixture *f, const char *name, size_t offset)
{
    size_t size;
    unsigned char *data = read_whole(f, name, &size);
    assert_true(offset < size);
    data[offset] ^= 0x5a;
    write_whole(f, name, data, size);
    free(data);
}

void change_header(struct fixture *f, const char *name,
                   void (*change)(struct segment_header *header))
{
    size_t size;
    unsigned char *data = read_whole(f, name, &size);
    struct segment_header header;
    assert_int_equal(segment_header_decode(slice_of(data, size), &header), BITCASK_OK);
    change(&header);
    segment_header_encode(data, &header);
    write_whole(f, name, data, size);
    free(data);
}

void truncate_file(struct fixture *f, const char *name, size_t size)
{
    size_t old;
    unsigned char *data = read_whole(f, name, &old);
    assert_true(size <= old);
    write_whole(f, name, data, size);
    free(data);
}

void delete_file(struct fixture *f, const char *name)
{
    char path[OS_PATH_MAX];
    path_of(path, name);
    assert_int_equal(f->os->unlink(f->os, path), 0);
    assert_int_equal(f->os->sync_dir(f->os, STORE_DIRECTORY), 0);
}

struct listing {
    char **names;
    size_t count;
};

static int add_name(void *context, const char *name)
{
    struct listing *listing = context;
    listing->names = realloc(listing->names, (listing->count + 1) * sizeof *listing->names);
    listing->names[listing->count++] = strdup(name);
    return 0;
}

char **list_files(struct fixture *f, const char *below, size_t *count)
{
    char path[OS_PATH_MAX];
    struct listing listing = {0};
    if (below != NULL)
        path_of(path, below);
    else
        snprintf(path, sizeof path, "%s", STORE_DIRECTORY);
    f->os->list(f->os, path, add_name, &listing);
    if (listing.count > 0)
        qsort(listing.names, listing.count, sizeof *listing.names, compare_lines);
    *count = listing.count;
    return listing.names;
}

void free_list(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* ---- Whole disks ---------------------------------------------------------------------------- */

struct disk_image {
    char **names;
    unsigned char **data;
    size_t *sizes;
    size_t count;
};

struct disk_image *save_disk(struct fixture *f)
{
    struct disk_image *image = calloc(1, sizeof *image);
    assert_non_null(image);
    size_t total;
    char **names = list_files(f, NULL, &total);
    image->names = calloc(total + 1, sizeof *image->names);
    image->data = calloc(total + 1, sizeof *image->data);
    image->sizes = calloc(total + 1, sizeof *image->sizes);
    for (size_t i = 0; i < total; i++) {
        if (strcmp(names[i], NAME_QUARANTINE) == 0)
            continue; /* a directory */
        image->names[image->count] = strdup(names[i]);
        image->data[image->count] = read_whole(f, names[i], &image->sizes[image->count]);
        image->count++;
    }
    free_list(names, total);
    return image;
}

void restore_disk(struct fixture *f, const struct disk_image *image)
{
    assert_null(f->store);
    os_mem_free(f->os);
    new_disk(f);
    for (size_t i = 0; i < image->count; i++)
        write_whole(f, image->names[i], image->data[i], image->sizes[i]);
    assert_int_equal(f->os->sync_dir(f->os, STORE_DIRECTORY), 0);
}

void free_disk(struct disk_image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->data[i]);
    free_list(image->names, image->count);
    free(image->data);
    free(image->sizes);
    free(image);
}
