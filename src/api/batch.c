/* SPDX-License-Identifier: MIT
 * batch.c: write batches: operations gathered, and applied all or none.
 *
 * Keys and values are copied into one growing block; operations refer to it by offset, since it
 * moves as it grows. */
#include <stdlib.h>

#include "api/api.h"
#include "base/probe.h"

/* What one batch may take in the log, and so in memory: DESIGN of the format, 1 GiB. */
#define BATCH_BYTES_MAX (UINT64_C(1) << 30)

struct batch_op {
    bool is_delete;
    size_t offset; /* of the key in the block; the value stands behind it */
    size_t key_size, value_size;
    uint64_t expires_us;
};

struct bitcask_batch {
    struct batch_op *ops;
    size_t count, capacity;
    uint8_t *block;
    size_t block_size, block_capacity;
};

bitcask_status bitcask_batch_new(bitcask_batch **batch, bitcask_error *error)
{
    if (batch == NULL)
        return api_missing("batch", error);
    *batch = calloc(1, sizeof **batch);
    if (*batch == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a batch");
    return BITCASK_OK;
}

void bitcask_batch_free(bitcask_batch *batch)
{
    if (batch == NULL)
        return;
    free(batch->ops);
    free(batch->block);
    free(batch);
}

void bitcask_batch_clear(bitcask_batch *batch)
{
    if (batch == NULL)
        return;
    batch->count = 0;
    batch->block_size = 0;
}

size_t bitcask_batch_count(const bitcask_batch *batch)
{
    return batch == NULL ? 0 : batch->count;
}

size_t bitcask_batch_size(const bitcask_batch *batch)
{
    return batch == NULL ? 0 : batch->block_size;
}

/* ---- Filling -------------------------------------------------------------------------------- */

static bool reserve_op(bitcask_batch *batch)
{
    if (batch->count < batch->capacity)
        return true;
    size_t capacity = batch->capacity * 2 + 16;
    struct batch_op *ops = realloc(batch->ops, capacity * sizeof *ops);
    if (ops == NULL)
        return false;
    batch->ops = ops;
    batch->capacity = capacity;
    return true;
}

/* No overflow: a block never exceeds BATCH_BYTES_MAX, and `size` is bounded by key and value. */
static bool reserve_bytes(bitcask_batch *batch, size_t size)
{
    size_t wanted = batch->block_size + size;
    if (wanted <= batch->block_capacity)
        return true;
    size_t capacity = wanted + wanted / 2 + 256;
    uint8_t *block = realloc(batch->block, capacity);
    if (block == NULL)
        return false;
    batch->block = block;
    batch->block_capacity = capacity;
    return true;
}

static void append_bytes(bitcask_batch *batch, slice bytes)
{
    if (bytes.size > 0)
        memcpy(batch->block + batch->block_size, bytes.data, bytes.size);
    batch->block_size += bytes.size;
}

static bitcask_status add_op(bitcask_batch *batch, struct batch_op op, slice key, slice value,
                             bitcask_error *error)
{
    if (batch == NULL)
        return api_missing("batch", error);
    bitcask_status status = api_check_key(key, error);
    if (status == BITCASK_OK)
        status = api_check_value(value, error);
    if (status != BITCASK_OK)
        return status;
    size_t size = key.size + value.size;
    if (size > BATCH_BYTES_MAX - batch->block_size)
        return error_set(error, BITCASK_LIMIT, "a batch holds at most %llu bytes",
                         (unsigned long long)BATCH_BYTES_MAX);
    if (!reserve_op(batch) || !reserve_bytes(batch, size))
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a batch");
    op.offset = batch->block_size;
    op.key_size = key.size;
    op.value_size = value.size;
    append_bytes(batch, key);
    append_bytes(batch, value);
    batch->ops[batch->count++] = op;
    return BITCASK_OK;
}

bitcask_status bitcask_batch_put(bitcask_batch *batch, bitcask_slice key, bitcask_slice value,
                                 uint64_t expires_us, bitcask_error *error)
{
    return add_op(batch, (struct batch_op){.expires_us = expires_us}, key, value, error);
}

bitcask_status bitcask_batch_delete(bitcask_batch *batch, bitcask_slice key, bitcask_error *error)
{
    return add_op(batch, (struct batch_op){.is_delete = true}, key, slice_of(NULL, 0), error);
}

/* ---- Applying ------------------------------------------------------------------------------- */

static bitcask_status check_batch_options(const bitcask_write_options *options,
                                          bitcask_error *error)
{
    if (options->flags != 0 || options->if_version != 0 || options->expires_us != 0)
        return error_set(error, BITCASK_INVALID,
                         "a batch takes no flags, no version and no expiry of its own");
    return BITCASK_OK;
}

static struct write_op *make_ops(const bitcask_batch *batch)
{
    struct write_op *ops = calloc(batch->count, sizeof *ops);
    if (ops == NULL)
        return NULL;
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_op *op = &batch->ops[i];
        const uint8_t *key = batch->block + op->offset;
        ops[i].kind = op->is_delete ? WRITE_DELETE : WRITE_PUT;
        ops[i].key = slice_of(key, op->key_size);
        ops[i].value = slice_of(key + op->key_size, op->value_size);
        ops[i].expires_us = op->expires_us;
    }
    return ops;
}

static uint64_t last_version(const struct write_op *ops, size_t count)
{
    uint64_t version = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].version != 0)
            version = ops[i].version;
    }
    return version;
}

bitcask_status bitcask_write(bitcask *db, const bitcask_batch *batch,
                             const bitcask_write_options *given, uint64_t *version,
                             bitcask_error *error)
{
    bitcask_write_options options;
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK && batch == NULL)
        status = api_missing("batch", error);
    if (status == BITCASK_OK)
        status = api_read_write_options(given, &options, error);
    if (status == BITCASK_OK)
        status = check_batch_options(&options, error);
    if (status != BITCASK_OK)
        return status;

    struct store *store = api_store(db);
    struct write_op *ops = batch->count > 0 ? make_ops(batch) : NULL;
    if (ops == NULL && batch->count > 0)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a batch");
    bitcask_sync mode = api_sync_mode(store, options.sync);
    struct write_request request = {
        .ops = ops,
        .op_count = batch->count,
        .batch = true,
        .durable = mode == BITCASK_SYNC_ALWAYS,
        .interval = mode == BITCASK_SYNC_INTERVAL,
        .error = error,
    };
    uint64_t began = events_begin(&store->events, BITCASK_LOG_DEBUG);
    status = group_write(store, &request);
    uint64_t written = status == BITCASK_OK ? last_version(ops, batch->count) : 0;
    if (status == BITCASK_OK && version != NULL)
        *version = written;
    PROBE4(write, batch->count, batch->block_size, written, status);
    EVENT(&store->events, BITCASK_LOG_DEBUG, "write", F_UINT("operations", batch->count),
          F_UINT("bytes", batch->block_size), F_UINT("version", written),
          F_TEXT("status", bitcask_status_name(status)),
          F_UINT("duration_us", events_since(&store->events, began)));
    free(ops);
    return status;
}
