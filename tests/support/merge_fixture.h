/* SPDX-License-Identifier: MIT
 * merge_fixture.h: a store on the memory os with a plain model beside it, and verbs for merges.
 *
 * Keys are numbers; a value says which key and which write it belongs to, padded to a size. The
 * model knows for each key the write that must be read, or 0 for none. */
#ifndef SUPPORT_MERGE_FIXTURE_H
#define SUPPORT_MERGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log_writer.h"
#include "engine/merge.h"
#include "engine/seal.h"
#include "engine/verify.h"
#include "format/names.h"
#include "os/os_mem.h"

enum { KEYS = 4096 };

struct fixture {
    struct os *os;
    bitcask_options options;
    struct store *store;
    uint32_t writes;             /* so far: each has a number */
    uint32_t model[KEYS];        /* the write that must be read, or 0 */
    uint32_t size[KEYS];         /* of that value */
    bitcask_merge_result merged; /* by the last merge */
    bitcask_error error;         /* of the last call that failed */
};

static inline bitcask *db_of(const struct fixture *f)
{
    return (bitcask *)f->store;
}

#define assert_done(f, call)                                                                   \
    do {                                                                                       \
        bitcask_status got_ = (call);                                                          \
        if (got_ != BITCASK_OK)                                                                \
            fail_msg("%s gave %s (%s)", #call, bitcask_status_name(got_), (f)->error.message); \
    } while (0)

static inline bitcask_status try_open(struct fixture *f)
{
    return store_open(f->os, "store", &f->options, &f->store, &f->error);
}

/* Some events tell of a fault in the engine. */
static inline void watch(void *context, const bitcask_log_event *event)
{
    (void)context;
    if (strcmp(event->name, "live_count_wrong") == 0) {
        fprintf(stderr, "event %s\n", event->name);
        abort();
    }
}

/* A store without a thread on a disk that can be crashed; change options before `begin`. */
static inline struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->os = os_mem_new(&(struct os_mem_options){.durable_images = true, .seed = 1});
    assert_int_equal(f->os->make_dir(f->os, "store"), 0);
    assert_int_equal(f->os->sync_dir(f->os, "."), 0);
    bitcask_options_init(&f->options);
    f->options.background = BITCASK_BACKGROUND_NONE;
    f->options.log = watch;
    f->options.sync = BITCASK_SYNC_NONE;
    f->options.segment_size = 1 << 20;
    f->options.merge_bytes_per_s = 0; /* the clock stands still: no wait would end */
    return f;
}

static inline struct fixture *begin(void)
{
    struct fixture *f = fixture_new();
    assert_done(f, try_open(f));
    return f;
}

static inline void end(struct fixture *f)
{
    if (f->store != NULL)
        assert_done(f, store_close(f->store, &f->error));
    assert_int_equal(os_mem_open_files(f->os), 0);
    assert_int_equal(os_mem_live_maps(f->os), 0);
    os_mem_free(f->os);
    free(f);
}

/* ---- Writing ------------------------------------------------------------------------------- */

static inline size_t key_text(char text[32], unsigned key)
{
    return (size_t)snprintf(text, 32, "key-%05u", key);
}

static inline void value_fill(char *value, size_t size, unsigned key, uint32_t write)
{
    memset(value, 'a' + (int)(write % 26), size);
    snprintf(value, size, "%u:%u", key, write);
}

static inline bitcask_status try_put(struct fixture *f, unsigned key, uint32_t size,
                                     uint64_t expires_us)
{
    char text[32], *value = malloc(size);
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = expires_us;
    uint32_t write = ++f->writes;
    value_fill(value, size, key, write);
    bitcask_status status = bitcask_put(db_of(f), bitcask_bytes(text, key_text(text, key)),
                                        bitcask_bytes(value, size), &options, NULL, &f->error);
    free(value);
    if (status == BITCASK_OK) {
        f->model[key] = write;
        f->size[key] = size;
    }
    return status;
}

static inline void put_sized(struct fixture *f, unsigned key, uint32_t size)
{
    assert_done(f, try_put(f, key, size, 0));
}

static inline void put(struct fixture *f, unsigned key)
{
    put_sized(f, key, 100);
}

static inline void put_range(struct fixture *f, unsigned from, unsigned to)
{
    for (unsigned key = from; key < to; key++)
        put(f, key);
}

/* The model takes it for gone already: the caller sees to it that the time comes. */
static inline void put_expiring(struct fixture *f, unsigned key, uint64_t expires_us)
{
    assert_done(f, try_put(f, key, 100, expires_us));
    f->model[key] = 0;
}

static inline bitcask_status try_drop(struct fixture *f, unsigned key)
{
    char text[32];
    bitcask_status status =
        bitcask_delete(db_of(f), bitcask_bytes(text, key_text(text, key)), NULL, NULL, &f->error);
    if (status == BITCASK_OK)
        f->model[key] = 0;
    return status;
}

static inline void drop(struct fixture *f, unsigned key)
{
    assert_done(f, try_drop(f, key));
}

static inline void drop_range(struct fixture *f, unsigned from, unsigned to)
{
    for (unsigned key = from; key < to; key++)
        drop(f, key);
}

static inline void sync_log(struct fixture *f)
{
    assert_done(f, bitcask_sync_now(db_of(f), &f->error));
}

/* Close the active segment and seal it. */
static inline void seal(struct fixture *f)
{
    write_mutex_lock(&f->store->write_mutex);
    bitcask_status status = log_rotate(f->store, &f->error);
    write_mutex_unlock(&f->store->write_mutex);
    assert_done(f, status);
    assert_done(f, seal_waiting(f->store, &f->error));
}

static inline uint64_t now(struct fixture *f)
{
    return f->os->clock_real(f->os);
}

enum { SECOND = 1000000 };

/* ---- Merging ------------------------------------------------------------------------------- */

static inline bitcask_status try_merge(struct fixture *f, int all, double min_dead)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = all;
    options.min_dead = min_dead;
    f->merged = (bitcask_merge_result){.struct_size = sizeof f->merged};
    return merge_run(f->store, &options, &f->merged, &f->error);
}

static inline void merge_all(struct fixture *f)
{
    assert_done(f, try_merge(f, 1, 0));
}

static inline void merge_wasteful(struct fixture *f)
{
    assert_done(f, try_merge(f, 0, 0.4));
}

/* ---- Looking ------------------------------------------------------------------------------- */

/* The number of the write that a read of `key` gives; 0: not found. */
static inline uint32_t read_key(struct fixture *f, unsigned key)
{
    char text[32], expected[64];
    unsigned got_key = UINT32_MAX;
    uint32_t write = 0;
    bitcask_buffer value = {0};
    bitcask_status status = bitcask_get(db_of(f), NULL, bitcask_bytes(text, key_text(text, key)),
                                        &value, NULL, &f->error);
    if (status == BITCASK_NOT_FOUND)
        return 0;
    assert_done(f, status);
    snprintf(expected, sizeof expected, "%.*s", (int)(value.size < 60 ? value.size : 60),
             (const char *)value.data);
    assert_int_equal(sscanf(expected, "%u:%u", &got_key, &write), 2);
    assert_int_equal(got_key, key);
    bitcask_buffer_free(&value);
    return write;
}

/* Every key reads as the model says, and a walk over the store meets just these. */
static inline void assert_model(struct fixture *f)
{
    size_t live = 0, seen = 0;
    for (unsigned key = 0; key < KEYS; key++) {
        uint32_t write = read_key(f, key);
        if (write != f->model[key])
            fail_msg("key %u: write %u, not %u", key, write, f->model[key]);
        live += write != 0;
    }
    bitcask_iterator *iterator;
    bitcask_entry entry;
    assert_done(f, bitcask_iterator_new(db_of(f), NULL, bitcask_str(""), BITCASK_VALUES, &iterator,
                                        &f->error));
    while (bitcask_iterator_next(iterator, &entry, &f->error) == BITCASK_OK)
        seen++;
    bitcask_iterator_free(iterator);
    assert_int_equal(seen, live);
}

static inline int print_finding(void *context, const bitcask_finding *finding)
{
    (void)context;
    if (!finding->note)
        print_error("%s, segment %llu, offset %llu, %llu bytes: %s\n", finding->file,
                    (unsigned long long)finding->segment, (unsigned long long)finding->offset,
                    (unsigned long long)finding->bytes, finding->what);
    return 0;
}

static inline void assert_sound(struct fixture *f)
{
    assert_done(f, verify_run(f->store, print_finding, NULL, NULL, &f->error));
}

static inline bitcask_stats stats_of(struct fixture *f)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(db_of(f), &stats);
    return stats;
}

struct totals {
    size_t segments, sealed, hints;
    uint64_t bytes, records, tombstones, live_records, live_bytes;
};

static inline struct totals totals_of(struct fixture *f)
{
    static bitcask_segment_info infos[1024];
    struct totals totals = {0};
    totals.segments = bitcask_get_segments(db_of(f), infos, 1024, sizeof *infos);
    for (size_t i = 0; i < totals.segments; i++) {
        totals.sealed += infos[i].state == BITCASK_SEGMENT_SEALED;
        totals.hints += infos[i].has_hint != 0;
        totals.bytes += infos[i].size_bytes;
        totals.records += infos[i].records;
        totals.tombstones += infos[i].tombstones;
        totals.live_records += infos[i].live_records;
        totals.live_bytes += infos[i].live_bytes;
    }
    return totals;
}

/* The newest sealed segment's id. */
static inline uint64_t newest_sealed(struct fixture *f)
{
    static bitcask_segment_info infos[1024];
    size_t count = bitcask_get_segments(db_of(f), infos, 1024, sizeof *infos);
    uint64_t id = 0;
    for (size_t i = 0; i < count; i++)
        if (infos[i].state == BITCASK_SEGMENT_SEALED)
            id = infos[i].id;
    return id;
}

static inline bool has_file(struct fixture *f, uint64_t id)
{
    char name[NAME_SIZE], path[64];
    name_data(name, id);
    snprintf(path, sizeof path, "store/%s", name);
    return os_mem_read_file(f->os, path, NULL, 0) >= 0;
}

/* ---- Data files that cannot be unlinked ---------------------------------------------------- */

static int (*real_unlink)(struct os *os, const char *path);
static unsigned unlink_count, unlink_fails_from, unlink_fails_to;

static inline int unlink_or_not(struct os *os, const char *path)
{
    uint64_t id;
    bool data = name_parse(strrchr(path, '/') + 1, &id) == NAME_DATA;
    unsigned count = data ? unlink_count++ : UINT32_MAX;
    return count >= unlink_fails_from && count < unlink_fails_to ? -EIO : real_unlink(os, path);
}

/* Of the data files to be unlinked from now on, the from-th (from 0) to before the to-th fail. */
static inline void unlinks_fail(struct fixture *f, unsigned from, unsigned to)
{
    real_unlink = f->os->unlink;
    f->os->unlink = unlink_or_not;
    unlink_count = 0;
    unlink_fails_from = from;
    unlink_fails_to = to;
}

static inline void unlinks_work(struct fixture *f)
{
    f->os->unlink = real_unlink;
}

/* ---- Ending and beginning ------------------------------------------------------------------ */

static inline void open_again(struct fixture *f)
{
    assert_done(f, try_open(f));
}

static inline void reopen(struct fixture *f)
{
    assert_done(f, store_close(f->store, &f->error));
    f->store = NULL;
    open_again(f);
}

static inline void abandon(struct fixture *f)
{
    if (f->store != NULL)
        store_abandon(f->store);
    f->store = NULL;
}

static inline void power_cut(struct fixture *f)
{
    os_mem_hook(f->os, 0, NULL, NULL);
    os_mem_crash(f->os);
    abandon(f);
    open_again(f);
}

static inline void kill_process(struct fixture *f)
{
    os_mem_hook(f->os, 0, NULL, NULL);
    os_mem_kill(f->os);
    abandon(f);
    open_again(f);
}

static inline void remove_file(struct fixture *f, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "store/%s", name);
    assert_int_equal(f->os->unlink(f->os, path), 0);
    assert_int_equal(f->os->sync_dir(f->os, "store"), 0);
}

/* Close, delete every hint, open: the same contents from the data alone. */
static inline void reopen_without_hints(struct fixture *f)
{
    assert_done(f, store_close(f->store, &f->error));
    f->store = NULL;
    for (uint64_t id = 1; id < 2000; id++) {
        char name[NAME_SIZE], path[64];
        name_hint(name, id);
        snprintf(path, sizeof path, "store/%s", name);
        if (os_mem_read_file(f->os, path, NULL, 0) >= 0)
            remove_file(f, name);
    }
    open_again(f);
}

#endif
