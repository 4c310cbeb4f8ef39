/* SPDX-License-Identifier: MIT
 * background.h: the one thread of a store that seals, syncs, prepares segments, tags anew.
 * With BITCASK_BACKGROUND_NONE the same steps are taken inline, at the end of a write. Invariant
 * D7. */
#ifndef ENGINE_BACKGROUND_H
#define ENGINE_BACKGROUND_H

#include "engine/store.h"

bitcask_status background_start(struct store *store, bitcask_error *error);
void background_stop(struct store *store); /* finishes what is waiting */

/* Ask for work (enum store_work bits). Cheap if it has been asked for already. */
void background_want(struct store *store, uint32_t work);

/* Without a thread: do what is wanted now. The caller holds no lock of the store. */
void background_inline(struct store *store);

/* Hold a writer back while more than a few segments wait for sealing. */
void background_throttle(struct store *store);

#endif
