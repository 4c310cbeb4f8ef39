/* SPDX-License-Identifier: MIT
 * access_batch.c: writes that go together. */
#include "access_batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "remote.h"

bitcask_status access_batch_init(struct access_batch *batch, struct access *access,
                                 bitcask_error *error)
{
    *batch = (struct access_batch){.access = access};
    return access->remote != NULL ? BITCASK_OK : bitcask_batch_new(&batch->here, error);
}

void access_batch_release(struct access_batch *batch)
{
    bitcask_batch_free(batch->here);
    bitcask_buffer_free(&batch->bytes);
    bitcask_buffer_free(&batch->words);
}

/* ---- For the server ------------------------------------------------------------------------- */

static bool append(bitcask_buffer *buffer, const void *data, size_t size)
{
    if (buffer->capacity - buffer->size < size) {
        size_t capacity = buffer->size + size + buffer->capacity / 2 + 1024;
        void *grown = realloc(buffer->data, capacity);
        if (grown == NULL)
            return false;
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    if (size > 0)
        memcpy((char *)buffer->data + buffer->size, data, size);
    buffer->size += size;
    return true;
}

static bitcask_status add_words(struct access_batch *batch, const bitcask_slice *words,
                                size_t count, bitcask_error *error)
{
    const size_t bytes = batch->bytes.size, sizes = batch->words.size;
    for (size_t i = 0; i < count; i++) {
        if (append(&batch->bytes, words[i].data, words[i].size) &&
            append(&batch->words, &words[i].size, sizeof words[i].size))
            continue;
        batch->bytes.size = bytes;
        batch->words.size = sizes;
        memset(error, 0, sizeof *error);
        snprintf(error->message, sizeof error->message, "out of memory");
        return error->status = BITCASK_NO_MEMORY;
    }
    batch->count++;
    return BITCASK_OK;
}

static bitcask_status send(struct access_batch *batch, bitcask_error *error)
{
    const size_t count = batch->words.size / sizeof(size_t), *sizes = batch->words.data;
    bitcask_slice *words = malloc((count + 1) * sizeof *words);
    if (words == NULL) {
        memset(error, 0, sizeof *error);
        return error->status = BITCASK_NO_MEMORY;
    }
    words[0] = bitcask_str("BC.WRITE");
    const char *at = batch->bytes.data;
    for (size_t i = 0; i < count; i++) {
        words[i + 1] = bitcask_bytes(at, sizes[i]);
        at += sizes[i];
    }
    const struct remote_reply *reply;
    bitcask_status status = remote_call(batch->access->remote, words, count + 1, &reply, error);
    free(words);
    return status;
}

/* ---- Either way ----------------------------------------------------------------------------- */

bitcask_status access_batch_put(struct access_batch *batch, bitcask_slice key, bitcask_slice value,
                                uint64_t expires_us, bitcask_error *error)
{
    if (batch->here != NULL)
        return bitcask_batch_put(batch->here, key, value, expires_us, error);
    bitcask_status status = access_check_key(key, error);
    if (status != BITCASK_OK)
        return status;
    char expires[24];
    snprintf(expires, sizeof expires, "%" PRIu64, expires_us);
    const bitcask_slice words[] = {bitcask_str("PUT"), key, value, bitcask_str(expires)};
    return add_words(batch, words, 4, error);
}

bitcask_status access_batch_delete(struct access_batch *batch, bitcask_slice key,
                                   bitcask_error *error)
{
    if (batch->here != NULL)
        return bitcask_batch_delete(batch->here, key, error);
    bitcask_status status = access_check_key(key, error);
    const bitcask_slice words[] = {bitcask_str("DEL"), key};
    return status != BITCASK_OK ? status : add_words(batch, words, 2, error);
}

size_t access_batch_count(const struct access_batch *batch)
{
    return batch->here != NULL ? bitcask_batch_count(batch->here) : batch->count;
}

size_t access_batch_size(const struct access_batch *batch)
{
    return batch->here != NULL ? bitcask_batch_size(batch->here) : batch->bytes.size;
}

bitcask_status access_batch_write(struct access_batch *batch, bitcask_error *error)
{
    struct access *access = batch->access;
    bitcask_status status = BITCASK_OK;
    if (batch->here != NULL)
        status = bitcask_write(access->db, batch->here, NULL, NULL, error);
    else if (batch->count > 0)
        status = send(batch, error);
    bool synced = access->remote != NULL && access->cli->sync_given &&
                  access->cli->options.sync == BITCASK_SYNC_ALWAYS;
    if (status == BITCASK_OK && synced)
        status = access_sync(access, error);
    if (status == BITCASK_OK)
        access_batch_clear(batch);
    return status;
}

void access_batch_clear(struct access_batch *batch)
{
    if (batch->here != NULL)
        bitcask_batch_clear(batch->here);
    batch->bytes.size = batch->words.size = batch->count = 0;
}
