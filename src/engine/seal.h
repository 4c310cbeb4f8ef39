/* SPDX-License-Identifier: MIT
 * seal.h: turn full segments into sealed ones: sync, SEAL record, truncate, hint, manifest. */
#ifndef ENGINE_SEAL_H
#define ENGINE_SEAL_H

#include "engine/store.h"

/* Seal the segments that are SEALING by now, oldest first. Any thread, holding no lock of the store
 * but merge_mutex. A failed sync is dealt with (engine/rescue.h) and returned. */
bitcask_status seal_waiting(struct store *store, bitcask_error *error);

/* The segment, ACTIVE or SEALING, is durable to its end: SEALED from now on, its file closed.
 * Holding sync_mutex. */
void seal_finish(struct store *store, struct segment *segment);

#endif
