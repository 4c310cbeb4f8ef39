/* SPDX-License-Identifier: MIT
 * cmd_range.c: parts of values: APPEND STRLEN GETRANGE SUBSTR SETRANGE. A value is written anew as
 * a whole whatever part of it changes, so these cost a copy of it. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "keyspace.h"
#include "reply.h"
#include "words.h"

void cmd_strlen(struct client *client, const struct command_call *call)
{
    bitcask_meta meta;
    bitcask_status status = keyspace_stat(client, call->words[1], &meta);
    if (status >= 0)
        reply_integer(client, status == BITCASK_OK ? (int64_t)meta.value_size : 0);
}

/* ---- Reading a part ------------------------------------------------------------------------- */

void cmd_getrange(struct client *client, const struct command_call *call)
{
    int64_t start, end;
    if (!word_integer(client, call->words[2], &start) ||
        !word_integer(client, call->words[3], &end))
        return;
    bitcask_view view;
    bitcask_status status = keyspace_get(client, call->words[1], &view);
    if (status < 0)
        return;
    int64_t size = (int64_t)view.value.size;
    bool backwards = start < 0 && end < 0 && start > end;
    if (start < 0)
        start = start + size > 0 ? start + size : 0;
    if (end < 0)
        end = end + size > 0 ? end + size : 0;
    if (end >= size)
        end = size - 1;
    if (status == BITCASK_NOT_FOUND || backwards || start > end || size == 0)
        reply_bulk(client, bitcask_bytes("", 0));
    else
        reply_bulk(client,
                   bitcask_bytes((const char *)view.value.data + start, (size_t)(end - start + 1)));
    keyspace_release(&view);
}

void cmd_substr(struct client *client, const struct command_call *call)
{
    cmd_getrange(client, call);
}

/* ---- Writing a part ------------------------------------------------------------------------- */

struct splice {
    struct client *client;
    bitcask_slice part;
    int64_t offset; /* -1: at the end */
    const char *event;
    char *bytes; /* of the new value */
    size_t size;
    bool refused; /* an error has been replied */
};

/* The old value with the part over it; what lies between is zero. */
static enum keyspace_change splice_value(void *context, const bitcask_view *old,
                                         bitcask_slice *result, struct keyspace_write *write)
{
    struct splice *splice = context;
    size_t old_size = old->value.size;
    splice->size = old_size;
    if (splice->part.size == 0 && (splice->offset >= 0 || old->value.data != NULL))
        return KEYSPACE_LEAVE;
    size_t at = splice->offset < 0 ? old_size : (size_t)splice->offset;
    splice->refused = !value_size_fits(splice->client, (uint64_t)at + splice->part.size);
    if (splice->refused)
        return KEYSPACE_LEAVE;
    size_t size = at + splice->part.size > old_size ? at + splice->part.size : old_size;
    free(splice->bytes);
    splice->bytes = calloc(1, size + 1);
    if (splice->bytes == NULL) {
        reply_error(splice->client, "OOM out of memory");
        splice->refused = true;
        return KEYSPACE_LEAVE;
    }
    if (old_size > 0)
        memcpy(splice->bytes, old->value.data, old_size);
    memcpy(splice->bytes + at, splice->part.data, splice->part.size);
    splice->size = size;
    write->event = splice->event;
    *result = bitcask_bytes(splice->bytes, size);
    return KEYSPACE_WRITE;
}

/* Replies the size of the new value. */
static void run_splice(struct client *client, bitcask_slice key, struct splice *splice)
{
    bitcask_status status = keyspace_update(client, key, splice_value, splice);
    if (status == BITCASK_OK && !splice->refused)
        reply_integer(client, (int64_t)splice->size);
    free(splice->bytes);
}

void cmd_append(struct client *client, const struct command_call *call)
{
    struct splice splice = {
        .client = client, .part = call->words[2], .offset = -1, .event = "append"};
    run_splice(client, call->words[1], &splice);
}

void cmd_setrange(struct client *client, const struct command_call *call)
{
    struct splice splice = {.client = client, .part = call->words[3], .event = "setrange"};
    if (!word_integer(client, call->words[2], &splice.offset))
        return;
    if (splice.offset < 0)
        reply_error(client, "ERR offset is out of range");
    else
        run_splice(client, call->words[1], &splice);
}
