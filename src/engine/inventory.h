/* SPDX-License-Identifier: MIT
 * inventory.h: which files are in a store's directory, as recovery finds them. */
#ifndef ENGINE_INVENTORY_H
#define ENGINE_INVENTORY_H

#include "engine/segments.h"

/* Ids, ascending once listed; malloc'd. */
struct id_list {
    uint64_t *items;
    size_t count, capacity;
};

bool id_list_add(struct id_list *list, uint64_t id); /* false: no memory */
void id_list_sort(struct id_list *list);
bool id_list_has(const struct id_list *list, uint64_t id); /* of a sorted one */
void id_list_release(struct id_list *list);

struct inventory {
    struct id_list data, hints, hint_tmps, data_tmps;
    bool has_manifest, has_manifest_tmp, has_image_tmp;
    bool unfinished; /* a first backup into it has not come to its end */
    uint64_t max_id; /* in any name, those in quarantine/ included; 0: none. Invariant: no id is
                        ever used again */
};

/* List the directory. Returns OK, IO or NO_MEMORY; release in any case. */
bitcask_status inventory_list(const struct segments *table, struct inventory *inventory,
                              bitcask_error *error);
void inventory_release(struct inventory *inventory);

/* What a data file says of itself. */
enum segment_file_kind {
    FILE_ABSENT,     /* not there */
    FILE_OURS,       /* a good header of this id */
    FILE_DAMAGED,    /* a regular file without a good header */
    FILE_FOREIGN,    /* something else: not a regular file, a header with another id */
    FILE_NEWER,      /* a good header of a newer format */
    FILE_UNREADABLE, /* there, but it cannot be opened or read: nothing may be concluded */
};

/* Read the header of data file `id`. *header is set for OURS; *size for all but ABSENT. */
enum segment_file_kind segment_file_probe(const struct segments *table, uint64_t id,
                                          struct segment_header *header, uint64_t *size);

/* Find the SEAL record that ends data file `id` of `size` bytes, whose salt is `salt`. On OK *bytes
 * is malloc'd, and seal->inputs borrows from it. Returns OK, NOT_FOUND, IO or NO_MEMORY. */
bitcask_status segment_file_seal(const struct segments *table, uint64_t id, uint64_t salt,
                                 uint64_t size, struct meta_seal *seal, uint8_t **bytes);

#endif
