/* SPDX-License-Identifier: MIT
 * changes.h: what a transaction has written so far, seen by its own reads, and at its end a batch.
 *
 * A table by key: of each key what it is to be, whatever was written to it before. Belongs to one
 * thread. */
#ifndef SERVER_CHANGES_H
#define SERVER_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

struct change {
    char *bytes;              /* owned: the key, then the value */
    bitcask_slice key, value; /* of `bytes` */
    uint64_t expires_us;      /* 0: never */
    bool deleted;
    bool was_there; /* in the store, when it was first written here: for the number of keys */
};

struct change_event {
    const char *name; /* static */
    size_t change;
};

struct changes {
    struct change *items;
    size_t count, capacity;
    uint32_t *slots; /* place + 1 in items, by hash of the key; a power of two of them */
    size_t slot_count;
    struct change_event *events; /* to be told once it is written */
    size_t event_count, event_capacity;
    size_t writes; /* how often something was changed */
};

/* Start with all zero. Frees what is held, and zeroes it. */
void changes_release(struct changes *changes);

/* NULL: not written here. Valid until the next change. */
const struct change *changes_find(const struct changes *changes, bitcask_slice key);

/* Note what `key` is to be; both are copied. Returns OK or NO_MEMORY. */
bitcask_status changes_put(struct changes *changes, bitcask_slice key, bitcask_slice value,
                           uint64_t expires_us, bool was_there);
bitcask_status changes_delete(struct changes *changes, bitcask_slice key, bool was_there);
/* An event of the change that was made last to this key. */
bitcask_status changes_event(struct changes *changes, const char *name, bitcask_slice key);

bitcask_status changes_to_batch(const struct changes *changes, bitcask_batch *batch,
                                bitcask_error *error);

/* By how many the number of keys will change. */
int64_t changes_of_count(const struct changes *changes);

#endif
