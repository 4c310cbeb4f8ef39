/* SPDX-License-Identifier: MIT
 * overlay.c: see overlay.h. */
#include "engine/overlay.h"

#include <stdlib.h>

#include "base/check.h"

bitcask_status overlay_init(struct overlay *overlay, size_t capacity, bitcask_error *error)
{
    size_t heads = 16;
    while (heads < capacity * 2)
        heads *= 2;
    size_t size = capacity * (sizeof(struct write_op *) + sizeof(uint32_t));
    uint8_t *memory = calloc(1, size + heads * sizeof(uint32_t));
    if (memory == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a group of writes");
    *overlay = (struct overlay){
        .ops = (struct write_op **)(void *)memory,
        .heads = (uint32_t *)(void *)(memory + capacity * sizeof(struct write_op *)),
        .next = (uint32_t *)(void *)(memory + capacity * sizeof(struct write_op *)) + heads,
        .capacity = capacity,
        .mask = (uint32_t)(heads - 1),
        .memory = memory,
    };
    return BITCASK_OK;
}

void overlay_release(struct overlay *overlay)
{
    free(overlay->memory);
    *overlay = (struct overlay){0};
}

void overlay_push(struct overlay *overlay, struct write_op *op)
{
    CHECK(overlay->count < overlay->capacity);
    uint32_t *head = &overlay->heads[op->hash & overlay->mask];
    overlay->ops[overlay->count] = op;
    overlay->next[overlay->count] = *head;
    *head = (uint32_t)++overlay->count;
}

void overlay_pop_to(struct overlay *overlay, size_t count)
{
    while (overlay->count > count) {
        overlay->count--;
        const struct write_op *op = overlay->ops[overlay->count];
        overlay->heads[op->hash & overlay->mask] = overlay->next[overlay->count];
    }
}

struct write_op *overlay_find(const struct overlay *overlay, uint64_t hash, slice key)
{
    if (overlay->count == 0)
        return NULL;
    for (uint32_t at = overlay->heads[hash & overlay->mask]; at != 0; at = overlay->next[at - 1]) {
        struct write_op *op = overlay->ops[at - 1];
        if (op->hash == hash && slice_equal(op->key, key))
            return op;
    }
    return NULL;
}
