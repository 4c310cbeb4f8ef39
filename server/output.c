/* SPDX-License-Identifier: MIT
 * output.c: what a client is to be sent. */
#include "output.h"

#include <stdlib.h>

void output_pool_release(struct output_pool *pool)
{
    while (pool->count > 0)
        free(pool->buffers[--pool->count]);
}

void output_init(struct output *out, struct output_pool *pool, size_t limit)
{
    *out = (struct output){.pool = pool, .limit = limit};
}

static void give_buffer_back(struct output *out)
{
    struct output_pool *pool = out->pool;
    if (pool != NULL && out->capacity == OUTPUT_BUFFER &&
        pool->count < sizeof pool->buffers / sizeof pool->buffers[0])
        pool->buffers[pool->count++] = out->data;
    else
        free(out->data);
    out->data = NULL;
    out->capacity = 0;
}

/* Nothing waits any more. */
static void make_empty(struct output *out)
{
    if (out->data != NULL)
        give_buffer_back(out);
    if (out->view_capacity > 8) {
        free(out->views);
        out->views = NULL;
        out->view_capacity = 0;
    }
    out->size = out->sent = 0;
    out->view_count = out->view_first = out->view_sent = out->view_bytes = 0;
}

void output_release(struct output *out)
{
    for (size_t i = out->view_first; i < out->view_count; i++)
        bitcask_views_release(&out->views[i].view, 1);
    make_empty(out);
    free(out->views);
    out->views = NULL;
    out->view_capacity = 0;
}

/* ---- Appending ------------------------------------------------------------------------------- */

static char *take_buffer(struct output *out)
{
    struct output_pool *pool = out->pool;
    if (pool != NULL && pool->count > 0)
        return pool->buffers[--pool->count];
    return malloc(OUTPUT_BUFFER);
}

char *output_grow(struct output *out, size_t size)
{
    if (out->broken)
        return NULL;
    if (output_memory(out) + size > out->limit) {
        out->broken = true;
        return NULL;
    }
    if (out->data == NULL && size <= OUTPUT_BUFFER) {
        out->data = take_buffer(out);
        out->capacity = out->data == NULL ? 0 : OUTPUT_BUFFER;
        out->broken = out->data == NULL;
        return out->data;
    }
    size_t capacity = out->capacity < OUTPUT_BUFFER ? OUTPUT_BUFFER : out->capacity;
    while (capacity - out->size < size)
        capacity += capacity;
    char *data = realloc(out->data, capacity);
    if (data == NULL) {
        out->broken = true;
        return NULL;
    }
    out->data = data;
    out->capacity = capacity;
    return data + out->size;
}

void output_append_view(struct output *out, bitcask_view *view)
{
    if (out->broken) {
        bitcask_views_release(view, 1);
        return;
    }
    if (out->view_count == out->view_capacity) {
        size_t capacity = out->view_capacity == 0 ? 4 : out->view_capacity * 2;
        struct output_view *views = realloc(out->views, capacity * sizeof *views);
        if (views == NULL) {
            out->broken = true;
            bitcask_views_release(view, 1);
            return;
        }
        out->views = views;
        out->view_capacity = capacity;
    }
    out->views[out->view_count++] = (struct output_view){.at = out->size, .view = *view};
    out->view_bytes += view->value.size;
}

void output_insert(struct output *out, size_t at, const void *data, size_t size)
{
    if (output_room(out, size) == NULL)
        return;
    memmove(out->data + at + size, out->data + at, out->size - at);
    memcpy(out->data + at, data, size);
    out->size += size;
    /* A view that stands at the mark may have been appended before it or after: before it, it is
     * followed by the bytes that every view ends with. */
    for (size_t i = out->view_count; i > out->view_first && out->views[i - 1].at >= at; i--)
        out->views[i - 1].at += size;
}

void output_cut(struct output *out, size_t at)
{
    while (out->view_count > out->view_first && out->views[out->view_count - 1].at >= at) {
        struct output_view *last = &out->views[--out->view_count];
        out->view_bytes -= last->view.value.size;
        bitcask_views_release(&last->view, 1);
    }
    out->size = at;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static int add_part(struct iovec *part, const void *data, size_t size)
{
    if (size == 0)
        return 0;
    *part = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return 1;
}

int output_gather(const struct output *out, struct iovec parts[OUTPUT_PARTS])
{
    int count = 0;
    size_t from = out->sent, skip = out->view_sent;
    for (size_t i = out->view_first; i < out->view_count && count + 2 < OUTPUT_PARTS; i++) {
        const struct output_view *view = &out->views[i];
        count += add_part(&parts[count], out->data + from, view->at - from);
        count += add_part(&parts[count], (const char *)view->view.value.data + skip,
                          view->view.value.size - skip);
        from = view->at;
        skip = 0;
        if (i + 1 < out->view_count && count + 2 >= OUTPUT_PARTS)
            return count;
    }
    return count + add_part(&parts[count], out->data + from, out->size - from);
}

/* A client that reads, but never all of it, must not make the buffer grow for ever. */
static void drop_sent(struct output *out)
{
    memmove(out->data, out->data + out->sent, out->size - out->sent);
    if (out->view_first > 0)
        memmove(out->views, out->views + out->view_first,
                (out->view_count - out->view_first) * sizeof *out->views);
    out->view_count -= out->view_first;
    out->view_first = 0;
    for (size_t i = 0; i < out->view_count; i++)
        out->views[i].at -= out->sent;
    out->size -= out->sent;
    out->sent = 0;
}

void output_sent(struct output *out, size_t size)
{
    while (out->view_first < out->view_count) {
        struct output_view *view = &out->views[out->view_first];
        size_t before = view->at - out->sent;
        if (size < before)
            break;
        size -= before;
        out->sent = view->at;
        if (size < view->view.value.size - out->view_sent) {
            out->view_sent += size;
            return;
        }
        size -= view->view.value.size - out->view_sent;
        out->view_bytes -= view->view.value.size;
        out->view_sent = 0;
        out->view_first++;
        bitcask_views_release(&view->view, 1);
    }
    out->sent += size;
    if (output_pending(out) == 0)
        make_empty(out);
    else if (out->sent > OUTPUT_BUFFER && out->sent > out->size / 2)
        drop_sent(out);
}

bitcask_status output_take(struct output *out, bitcask_buffer *bytes)
{
    size_t pending = output_pending(out);
    if (bytes->capacity < pending) {
        void *data = realloc(bytes->data, pending);
        if (data == NULL)
            return BITCASK_NO_MEMORY;
        bytes->data = data;
        bytes->capacity = pending;
    }
    bytes->size = 0;
    while (output_pending(out) > 0) {
        struct iovec parts[OUTPUT_PARTS];
        int count = output_gather(out, parts);
        size_t taken = 0;
        for (int i = 0; i < count; i++) {
            memcpy((char *)bytes->data + bytes->size + taken, parts[i].iov_base, parts[i].iov_len);
            taken += parts[i].iov_len;
        }
        bytes->size += taken;
        output_sent(out, taken);
    }
    return BITCASK_OK;
}
