/* SPDX-License-Identifier: MIT
 * write.c: the public functions that write one key: the short way of most, and the long one. */
#include "api/api.h"
#include "base/probe.h"
#include "engine/group.h"
#include "engine/write_alone_steps.h"

#define SELDOM static __attribute__((noinline))

/* ---- The long way --------------------------------------------------------------------------- */

/* What makes no sense together. */
static bitcask_status check_flags(const bitcask_write_options *options, unsigned allowed,
                                  bitcask_error *error)
{
    unsigned flags = options->flags;
    if ((flags & ~allowed) != 0)
        return error_set(error, BITCASK_INVALID, "flags 0x%x are not for this call",
                         flags & ~allowed);
    if ((flags & BITCASK_IF_ABSENT) && (flags & (BITCASK_IF_PRESENT | BITCASK_IF_VERSION)))
        return error_set(error, BITCASK_INVALID, "IF_ABSENT excludes IF_PRESENT and IF_VERSION");
    return BITCASK_OK;
}

/* Carry one operation through; `allowed` are the flags it may have. */
static bitcask_status write_one(bitcask *db, struct write_op *op, unsigned allowed,
                                const bitcask_write_options *given, uint64_t *version,
                                bitcask_error *error)
{
    struct store *store = api_store(db);
    bitcask_sync sync = BITCASK_SYNC_DEFAULT;
    if (given != NULL) {
        bitcask_write_options options;
        bitcask_status status = api_read_write_options(given, &options, error);
        if (status == BITCASK_OK)
            status = check_flags(&options, allowed, error);
        if (status != BITCASK_OK)
            return status;
        sync = options.sync;
        op->flags = options.flags;
        op->expires_us = options.expires_us;
        op->if_version = options.if_version;
    }
    bitcask_sync mode = api_sync_mode(store, sync);
    struct write_request request = {
        .ops = op,
        .op_count = 1,
        .durable = mode == BITCASK_SYNC_ALWAYS,
        .interval = mode == BITCASK_SYNC_INTERVAL,
        .error = error,
    };
    bitcask_status status = group_write(store, &request);
    if (status == BITCASK_OK && version != NULL)
        *version = op->version;
    return status;
}

static void tell_of_write(struct store *store, const char *name, const struct write_op *op,
                          uint64_t began, bitcask_status status)
{
    EVENT(&store->events, BITCASK_LOG_DEBUG, name, F_KEY("key", op->key),
          F_UINT("bytes", op->value.size), F_UINT("version", op->version),
          F_TEXT("status", bitcask_status_name(status)),
          F_UINT("duration_us", events_since(&store->events, began)));
}

SELDOM bitcask_status put_any(bitcask *db, slice key, slice value,
                              const bitcask_write_options *options, uint64_t *version,
                              bitcask_error *error)
{
    bitcask_status status = api_check_store_and_key(db, key, error);
    if (status == BITCASK_OK)
        status = api_check_value(value, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t began = events_begin(&api_store(db)->events, BITCASK_LOG_DEBUG);
    struct write_op op = {.kind = WRITE_PUT, .key = key, .value = value};
    status = write_one(
        db, &op, BITCASK_IF_ABSENT | BITCASK_IF_VERSION | BITCASK_IF_PRESENT | BITCASK_KEEP_TTL,
        options, version, error);
    PROBE4(put, key.size, op.value.size, op.version, status);
    tell_of_write(api_store(db), "put", &op, began, status);
    return status;
}

SELDOM bitcask_status delete_any(bitcask *db, slice key, const bitcask_write_options *options,
                                 uint64_t *version, bitcask_error *error)
{
    bitcask_status status = api_check_store_and_key(db, key, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t began = events_begin(&api_store(db)->events, BITCASK_LOG_DEBUG);
    struct write_op op = {.kind = WRITE_DELETE, .key = key};
    status = write_one(db, &op, BITCASK_IF_VERSION | BITCASK_IF_PRESENT, options, version, error);
    PROBE4(delete, key.size, op.value.size, op.version, status);
    tell_of_write(api_store(db), "delete", &op, began, status);
    return status;
}

/* ---- The short way, for each way of computing checksums -------------------------------------- */

/* The key of most puts and deletes: as it should be, and given to the process that opened the
 * store, while nobody wants to hear of each. All else goes the long way, which says what is wrong.
 */
static inline bool is_plain(const bitcask *db, slice key)
{
    const struct store *store = (const struct store *)db;
    return !PLANTED_ELSEWHERE && LIKELY(store != NULL) &&
           LIKELY(store->fork_guard == NULL || *store->fork_guard != 0) &&
           LIKELY(key.size - 1 < BITCASK_MAX_KEY_SIZE) && LIKELY(key.data != NULL) &&
           LIKELY(!events_on(&store->events, BITCASK_LOG_DEBUG));
}

#define WAY(name) name##_any_way
#define WAY_TARGET
#define WAY_ENCODE alone_encode_any
#define WAY_MATCHES keydir_matches
#define WAY_EMPTY keydir_empty
#define WAY_LEAVE() ((void)0)
#include "api/write_ways.h"

#if CHECKSUM_INLINE

#define WAY(name) name##_narrow
#define WAY_TARGET CHECKSUM_TARGET
#define WAY_ENCODE record_encode_short
#define WAY_MATCHES keydir_matches
#define WAY_EMPTY keydir_empty
#define WAY_LEAVE() ((void)0)
#include "api/write_ways.h"

#define WAY(name) name##_wide
#define WAY_TARGET CHECKSUM_WIDE_TARGET
#define WAY_ENCODE record_encode_short_wide
#define WAY_MATCHES keydir_matches_wide
#define WAY_EMPTY keydir_empty_wide
#define WAY_LEAVE() _mm256_zeroupper()
#include "api/write_ways.h"

#endif

bitcask_status bitcask_put(bitcask *db, bitcask_slice key, bitcask_slice value,
                           const bitcask_write_options *options, uint64_t *version,
                           bitcask_error *error)
{
#if CHECKSUM_INLINE
    int way = atomic_load_explicit(&checksum_way_in_use, memory_order_relaxed);
    if (LIKELY(way == CHECKSUM_WIDE))
        return put_wide(db, key, value, options, version, error);
    if (LIKELY(way == CHECKSUM_CLMUL))
        return put_narrow(db, key, value, options, version, error);
#endif
    return put_any_way(db, key, value, options, version, error);
}

bitcask_status bitcask_delete(bitcask *db, bitcask_slice key, const bitcask_write_options *options,
                              uint64_t *version, bitcask_error *error)
{
#if CHECKSUM_INLINE
    int way = atomic_load_explicit(&checksum_way_in_use, memory_order_relaxed);
    if (LIKELY(way == CHECKSUM_WIDE))
        return delete_wide(db, key, options, version, error);
    if (LIKELY(way == CHECKSUM_CLMUL))
        return delete_narrow(db, key, options, version, error);
#endif
    return delete_any_way(db, key, options, version, error);
}

/* ---- Others --------------------------------------------------------------------------------- */

bitcask_status bitcask_expire(bitcask *db, bitcask_slice key, const bitcask_write_options *options,
                              uint64_t *version, bitcask_error *error)
{
    bitcask_status status = api_check_store_and_key(db, key, error);
    if (status != BITCASK_OK)
        return status;
    uint64_t began = events_begin(&api_store(db)->events, BITCASK_LOG_DEBUG);
    struct write_op op = {.kind = WRITE_EXPIRE, .key = key};
    status = write_one(db, &op, BITCASK_IF_VERSION | BITCASK_IF_PRESENT, options, version, error);
    op.value = slice_of(NULL, 0); /* was the old record's, which a merge may free */
    PROBE4(expire, key.size, op.value.size, op.version, status);
    tell_of_write(api_store(db), "expire", &op, began, status);
    return status;
}

bitcask_status bitcask_sync_now(bitcask *db, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    if (status != BITCASK_OK)
        return status;
    struct write_request request = {.durable = true, .error = error};
    status = group_write(api_store(db), &request);
    PROBE2(sync, 0, status);
    return status;
}
