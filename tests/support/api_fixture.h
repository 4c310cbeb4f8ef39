/* SPDX-License-Identifier: MIT
 * api_fixture.h: a store behind the public functions, with verbs for tests. */
#ifndef SUPPORT_API_FIXTURE_H
#define SUPPORT_API_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask.h"

struct fixture {
    char directory[64];
    bitcask_options options;
    bitcask *db;
};

static bitcask_error error; /* of the last call that failed */

#define assert_status(expected, call)                                                            \
    do {                                                                                         \
        error.message[0] = 0;                                                                    \
        bitcask_status got_ = (call);                                                            \
        if (got_ != BITCASK_##expected)                                                          \
            fail_msg("%s gave %s (%s), not %s", #call, bitcask_status_name(got_), error.message, \
                     #expected);                                                                 \
    } while (0)
#define assert_done(call) assert_status(OK, call)
#define assert_message(part)                                                  \
    do {                                                                      \
        if (strstr(error.message, part) == NULL)                              \
            fail_msg("'%s' is not in the message '%s'", part, error.message); \
    } while (0)

static inline bitcask_slice str(const char *text)
{
    return bitcask_str(text);
}

/* A store in memory, not open yet: change `options`, then fixture_open. */
static inline struct fixture fixture_new(void)
{
    struct fixture fixture = {.directory = "memory"};
    bitcask_options_init(&fixture.options);
    fixture.options.in_memory = 1;
    fixture.options.background = BITCASK_BACKGROUND_NONE;
    fixture.options.sync = BITCASK_SYNC_NONE;
    return fixture;
}

/* The same on disk, in a new directory of its own below /tmp. */
static inline struct fixture fixture_new_on_disk(void)
{
    struct fixture fixture = fixture_new();
    fixture.options.in_memory = 0;
    strcpy(fixture.directory, "/tmp/bitcask-test-XXXXXX");
    assert_non_null(mkdtemp(fixture.directory));
    return fixture;
}

static inline void fixture_open(struct fixture *fixture)
{
    assert_done(bitcask_open(fixture->directory, &fixture->options, &fixture->db, &error));
}

static inline void fixture_close(struct fixture *fixture)
{
    assert_done(bitcask_close(fixture->db, &error));
    fixture->db = NULL;
}

/* Close, and remove what is on disk. */
static inline void fixture_end(struct fixture *fixture)
{
    if (fixture->db != NULL)
        fixture_close(fixture);
    if (!fixture->options.in_memory)
        assert_done(bitcask_destroy(fixture->directory, &error));
}

static inline struct fixture fixture_in_memory(void)
{
    struct fixture fixture = fixture_new();
    fixture_open(&fixture);
    return fixture;
}

/* ---- Verbs ---------------------------------------------------------------------------------- */

static inline uint64_t put(struct fixture *fixture, const char *key, const char *value)
{
    uint64_t version = 0;
    assert_done(bitcask_put(fixture->db, str(key), str(value), NULL, &version, &error));
    return version;
}

static inline bitcask_status put_with(struct fixture *fixture, const char *key, const char *value,
                                      unsigned flags, uint64_t if_version, uint64_t expires_us)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = flags;
    options.if_version = if_version;
    options.expires_us = expires_us;
    return bitcask_put(fixture->db, str(key), str(value), &options, NULL, &error);
}

static inline bitcask_status delete_key(struct fixture *fixture, const char *key)
{
    return bitcask_delete(fixture->db, str(key), NULL, NULL, &error);
}

static inline void assert_value(struct fixture *fixture, const char *key, const char *value)
{
    bitcask_buffer buffer = {0};
    assert_done(bitcask_get(fixture->db, NULL, str(key), &buffer, NULL, &error));
    assert_int_equal(buffer.size, strlen(value));
    assert_memory_equal(buffer.data, value, buffer.size);
    bitcask_buffer_free(&buffer);
}

static inline void assert_absent(struct fixture *fixture, const char *key)
{
    bitcask_buffer buffer = {0};
    assert_status(NOT_FOUND, bitcask_get(fixture->db, NULL, str(key), &buffer, NULL, &error));
    assert_null(buffer.data);
}

static inline bitcask_meta meta_of(struct fixture *fixture, const char *key)
{
    bitcask_meta meta;
    assert_done(bitcask_stat_key(fixture->db, NULL, str(key), &meta, &error));
    return meta;
}

static inline bitcask_stats stats_of(struct fixture *fixture)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(fixture->db, &stats);
    return stats;
}

/* Keys KEY0, KEY1, ... with values of `value_size` bytes that begin with their key. */
static inline void put_many(struct fixture *fixture, const char *prefix, int count,
                            size_t value_size)
{
    char *value = calloc(1, value_size + 64), key[64];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%s%d", prefix, i);
        memcpy(value, key, strlen(key));
        assert_done(bitcask_put(fixture->db, str(key), bitcask_bytes(value, value_size), NULL, NULL,
                                &error));
    }
    free(value);
}

static inline bitcask_merge_result merge_all(struct fixture *fixture)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    bitcask_merge_result result = {.struct_size = sizeof result};
    assert_done(bitcask_merge(fixture->db, &options, &result, &error));
    return result;
}

#endif
