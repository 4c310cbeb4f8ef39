/* SPDX-License-Identifier: MIT
 * seal.h: turn full segments into sealed ones: sync, SEAL record, truncate, hint, manifest. */
#ifndef ENGINE_SEAL_H
#define ENGINE_SEAL_H

#include "engine/store.h"

/* Seal the SEALING segments, oldest first. Runs in the background, or inline without one; the
 * caller does not hold sync_mutex. A failed sync is dealt with (engine/rescue.h) and returned. */
bitcask_status seal_waiting(struct store *store, bitcask_error *error);

#endif
