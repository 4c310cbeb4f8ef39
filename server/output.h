/* SPDX-License-Identifier: MIT
 * output.h: what a client is to be sent.
 *
 * Bytes in one buffer, and between them values that are sent from where they lie in the store
 * (views). Replies are appended during a pass of the loop and leave in one write at its end. An
 * output that nothing is in owns no memory: the buffer goes back to the loop's pool.
 *
 * What would pass the limit, or finds no memory, is dropped, and the output is `broken`: its
 * client is to be closed, for the rest of its replies would be wrong. Belongs to one thread. */
#ifndef SERVER_OUTPUT_H
#define SERVER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "bitcask.h"

enum {
    OUTPUT_BUFFER = 16 << 10,   /* bytes a buffer has at first; the pool keeps such */
    OUTPUT_VIEW_MIN = 16 << 10, /* bytes of a value that is sent from its place */
    OUTPUT_PARTS = 64,          /* of one write */
};

/* Buffers of OUTPUT_BUFFER bytes for the clients of one thread. */
struct output_pool {
    unsigned count;
    char *buffers[64];
};
void output_pool_release(struct output_pool *pool);

struct output_view {
    size_t at; /* it stands before data[at] */
    bitcask_view view;
};

struct output {
    char *data;
    size_t size, capacity;
    size_t sent; /* of data */
    struct output_view *views;
    size_t view_count, view_capacity;
    size_t view_first; /* those before it are sent */
    size_t view_sent;  /* bytes of the first one that are sent */
    size_t view_bytes; /* of those not sent, as a whole */
    size_t limit;      /* bytes of memory */
    bool broken;
    struct output_pool *pool; /* or NULL */
};

void output_init(struct output *out, struct output_pool *pool, size_t limit);
void output_release(struct output *out);

/* Room for `size` more bytes at the returned place, or NULL if the output is broken; what was
 * written there is made part of it by adding to out->size. */
char *output_grow(struct output *out, size_t size);
static inline char *output_room(struct output *out, size_t size)
{
    return out->capacity - out->size >= size ? out->data + out->size : output_grow(out, size);
}

static inline void output_append(struct output *out, const void *data, size_t size)
{
    char *to = output_room(out, size);
    if (to != NULL && size != 0) {
        memcpy(to, data, size);
        out->size += size;
    }
}

/* A value that is sent from its place. Takes the view over. */
void output_append_view(struct output *out, bitcask_view *view);

/* Put bytes in front of what has been appended since out->size was `at`. */
void output_insert(struct output *out, size_t at, const void *data, size_t size);

/* Drop what has been appended since out->size was `at`, with nothing sent of it. */
void output_cut(struct output *out, size_t at);

/* Bytes that wait to be sent; those of them that are in memory. */
static inline size_t output_pending(const struct output *out)
{
    return out->size - out->sent + out->view_bytes - out->view_sent;
}
static inline size_t output_memory(const struct output *out)
{
    return out->size - out->sent;
}

/* The next bytes to send, as parts. Returns how many parts there are. */
int output_gather(const struct output *out, struct iovec parts[OUTPUT_PARTS]);
/* So many have been sent. */
void output_sent(struct output *out, size_t size);

/* All that waits, copied; for tests and clients without a socket. The output is empty then. Returns
 * OK or NO_MEMORY. */
bitcask_status output_take(struct output *out, bitcask_buffer *bytes);

#endif
