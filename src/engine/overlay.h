/* SPDX-License-Identifier: MIT
 * overlay.h: what the requests of a group have done to keys, before any of it is published.
 *
 * A chained hash table over an array of pointers to operations, newest first in each chain, so that
 * the effects of a request that fails are taken back by popping. One thread. */
#ifndef ENGINE_OVERLAY_H
#define ENGINE_OVERLAY_H

#include "engine/group.h"

struct overlay {
    struct write_op **ops;
    uint32_t *next;  /* of each op in its chain, +1; 0 ends it */
    uint32_t *heads; /* +1 */
    size_t count, capacity;
    uint32_t mask;
    void *memory;
};

/* Room for `capacity` operations, which must be known beforehand. NO_MEMORY. */
bitcask_status overlay_init(struct overlay *overlay, size_t capacity, bitcask_error *error);
void overlay_release(struct overlay *overlay);

void overlay_push(struct overlay *overlay, struct write_op *op);
void overlay_pop_to(struct overlay *overlay, size_t count);

/* The last operation that wrote `key`, or NULL. */
struct write_op *overlay_find(const struct overlay *overlay, uint64_t hash, slice key);

#endif
