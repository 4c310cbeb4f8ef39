/* SPDX-License-Identifier: MIT
 * quarantine.h: keep what recovery cuts off or cannot place, under quarantine/ in the store.
 *
 * Names say where the bytes came from: segment, offset, checksum. So doing it twice, as after a
 * crash during recovery, gives the same file. The store never deletes any of them. */
#ifndef ENGINE_QUARANTINE_H
#define ENGINE_QUARANTINE_H

#include "engine/store.h"

/* Copy bytes [offset, offset + bytes.size) of segment `id`, durably. Tells the event "quarantined"
 * and counts the bytes. Returns OK, NO_SPACE, IO. */
bitcask_status quarantine_copy(struct store *store, uint64_t id, uint64_t offset, slice bytes,
                               bitcask_error *error);

/* Move the whole data file of `id`, `size` bytes long, there. */
bitcask_status quarantine_move(struct store *store, uint64_t id, uint64_t size,
                               bitcask_error *error);

/* Have a second name there, durably, for the data file of `id` and for its hint (named as the data
 * file, with ".hint" behind it), as far as they are there; *files grows by their number. The
 * originals stay as they are. Doing it again changes nothing. */
bitcask_status quarantine_segment(struct store *store, uint64_t id, uint64_t *files,
                                  bitcask_error *error);

#endif
