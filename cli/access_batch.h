/* SPDX-License-Identifier: MIT
 * access_batch.h: writes that go together, into a store whoever has it (access.h): a batch of
 * bitcask.h, or one request to the server (BC.WRITE). */
#ifndef CLI_ACCESS_BATCH_H
#define CLI_ACCESS_BATCH_H

#include "access.h"

struct access_batch { /* start with all zero */
    struct access *access;
    bitcask_batch *here;  /* NULL: by the server */
    bitcask_buffer bytes; /* of the request's words, one behind the other */
    bitcask_buffer words; /* their sizes, each a size_t */
    size_t count;         /* of writes */
};

bitcask_status access_batch_init(struct access_batch *batch, struct access *access,
                                 bitcask_error *error);
void access_batch_release(struct access_batch *batch);

bitcask_status access_batch_put(struct access_batch *batch, bitcask_slice key, bitcask_slice value,
                                uint64_t expires_us, bitcask_error *error);
bitcask_status access_batch_delete(struct access_batch *batch, bitcask_slice key,
                                   bitcask_error *error);
size_t access_batch_count(const struct access_batch *batch);
size_t access_batch_size(const struct access_batch *batch); /* bytes of keys and values, about */

/* All or none; and forget them. */
bitcask_status access_batch_write(struct access_batch *batch, bitcask_error *error);
void access_batch_clear(struct access_batch *batch);

#endif
