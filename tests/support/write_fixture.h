/* SPDX-License-Identifier: MIT
 * write_fixture.h: verbs for tests of the write path, on top of store_fixture.h: conditions, groups
 * of requests put together by hand, both ways of appending. */
#ifndef SUPPORT_WRITE_FIXTURE_H
#define SUPPORT_WRITE_FIXTURE_H

#include "support/store_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/background.h"
#include "engine/group.h"
#include "engine/log_writer.h"
#include "engine/seal.h"
#include "engine/verify.h"
#include "engine/write_queue.h"

/* How records get into the file. */
enum way { WAY_MAPPED, WAY_PWRITE, WAY_COUNT };

static const uint32_t DISK_CALLS = 1u << OS_CALL_OPEN | 1u << OS_CALL_PREAD | 1u << OS_CALL_PWRITE |
                                   1u << OS_CALL_ALLOCATE | 1u << OS_CALL_TRUNCATE |
                                   1u << OS_CALL_SYNC | 1u << OS_CALL_MAP | 1u << OS_CALL_RENAME |
                                   1u << OS_CALL_LINK | 1u << OS_CALL_UNLINK |
                                   1u << OS_CALL_SYNC_DIR | 1u << OS_CALL_LIST | 1u << OS_CALL_STAT;
static const uint32_t SYNC_CALLS = 1u << OS_CALL_SYNC;

#define assert_status(f, expected, call)                                          \
    do {                                                                          \
        bitcask_status got_ = (call);                                             \
        if (got_ != BITCASK_##expected)                                           \
            fail_msg("%s gave %s (%s), not %s", #call, bitcask_status_name(got_), \
                     got_ < 0 ? (f)->error.message : "", #expected);              \
    } while (0)

static inline void open_way(struct fixture *f, enum way way)
{
    open_store(f);
    if (way == WAY_PWRITE)
        f->store->writer.mapped_writes = false;
}

static inline struct segment *active_segment(struct fixture *f)
{
    return atomic_load(&f->store->writer.active);
}

/* ---- Single writes -------------------------------------------------------------------------- */

static inline bitcask_status put_if(struct fixture *f, const char *key, const char *value,
                                    unsigned flags, uint64_t if_version)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = flags;
    options.if_version = if_version;
    return bitcask_put(f->db, bitcask_str(key), bitcask_str(value), &options, NULL, &f->error);
}

static inline bitcask_status delete_if(struct fixture *f, const char *key, uint64_t if_version)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = BITCASK_IF_VERSION;
    options.if_version = if_version;
    return bitcask_delete(f->db, bitcask_str(key), &options, NULL, &f->error);
}

static inline bitcask_status put_until(struct fixture *f, const char *key, const char *value,
                                       uint64_t expires_us)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = expires_us;
    return bitcask_put(f->db, bitcask_str(key), bitcask_str(value), &options, NULL, &f->error);
}

static inline bitcask_status put_sync(struct fixture *f, const char *key, const char *value,
                                      bitcask_sync sync)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = sync;
    return bitcask_put(f->db, bitcask_str(key), bitcask_str(value), &options, NULL, &f->error);
}

static inline bitcask_meta meta_of(struct fixture *f, const char *key)
{
    bitcask_meta meta = {0};
    assert_status(f, OK, bitcask_stat_key(f->db, NULL, bitcask_str(key), &meta, &f->error));
    return meta;
}

static inline bitcask_stats stats_of(struct fixture *f)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(f->db, &stats);
    return stats;
}

/* Does the key read as this value? CORRUPT and NOT_FOUND are no. */
static inline bool reads_as(struct fixture *f, const char *key, const char *value)
{
    bitcask_buffer found = {0};
    bool same = read_key(f, key, &found) == BITCASK_OK && found.size == strlen(value) &&
                memcmp(found.data, value, found.size) == 0;
    bitcask_buffer_free(&found);
    return same;
}

static inline bitcask_status status_of(struct fixture *f, const char *key)
{
    bitcask_buffer found = {0};
    bitcask_status status = read_key(f, key, &found);
    bitcask_buffer_free(&found);
    return status;
}

/* ---- Groups --------------------------------------------------------------------------------- */

static inline struct write_op op_put(const char *key, const char *value, unsigned flags)
{
    return (struct write_op){
        .kind = WRITE_PUT, .flags = flags, .key = bitcask_str(key), .value = bitcask_str(value)};
}

static inline struct write_op op_delete(const char *key)
{
    return (struct write_op){.kind = WRITE_DELETE, .key = bitcask_str(key)};
}

/* Let one head serve all requests as one group, in this order. */
static inline void write_together(struct fixture *f, struct write_request *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct write_request *request = &requests[i];
        for (size_t k = 0; k < request->op_count; k++)
            request->ops[k].hash = hash_key(&f->store->secret, request->ops[k].key);
        assert_int_equal(write_queue_push(f->store, request), i == 0);
    }
    group_lead(f->store, NULL);
    background_inline(f->store);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(atomic_load(&requests[i].state), WRITE_DONE);
}

static inline bitcask_status write_batch(struct fixture *f, struct write_op *ops, size_t count)
{
    struct write_request request = {
        .ops = ops, .op_count = count, .batch = true, .error = &f->error};
    return group_write(f->store, &request);
}

/* ---- The whole store ------------------------------------------------------------------------ */

static inline int fail_on_finding(void *context, const bitcask_finding *finding)
{
    (void)context;
    fail_msg("verify: %s at %llu: %s", finding->file, (unsigned long long)finding->offset,
             finding->what);
    return 1;
}

static inline void assert_sound(struct fixture *f)
{
    assert_status(f, OK, verify_run(f->store, fail_on_finding, NULL, NULL, &f->error));
}

static inline void delete_hints(struct fixture *f)
{
    size_t count;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], ".hint") != NULL)
            delete_file(f, names[i]);
    }
    free_list(names, count);
}

/* Close and open, with hints and without, or kill and open: always the same store. */
static inline void assert_same_after_reopening(struct fixture *f)
{
    char *before = dump_store(f);
    uint64_t live = live_bytes(f);
    for (int round = 0; round < 3; round++) {
        if (round == 0)
            kill_9(f);
        else
            close_store(f);
        if (round == 2)
            delete_hints(f);
        open_store(f);
        char *after = dump_store(f);
        assert_string_equal(after, before);
        assert_int_equal(live_bytes(f), live);
        free(after);
    }
    free(before);
}

static inline bitcask_status merge_all(struct fixture *f)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    return bitcask_merge(f->db, &options, NULL, &f->error);
}

#endif
