/* SPDX-License-Identifier: MIT
 * background.h: the one thread of a store that seals, syncs, prepares segments, tags anew.
 * With BITCASK_BACKGROUND_NONE the same steps are taken inline, at the end of a write. Invariant
 * D7. */
#ifndef ENGINE_BACKGROUND_H
#define ENGINE_BACKGROUND_H

#include "engine/store.h"

enum { BACKGROUND_WAITING_MAX = 4 }; /* segments that may wait for sealing before writers do */

bitcask_status background_start(struct store *store, bitcask_error *error);
void background_stop(struct store *store); /* finishes what is waiting */

/* Ask for work (enum store_work bits). Cheap if it has been asked for already. */
void background_want(struct store *store, uint32_t work);

/* Without a thread: do what is wanted now. The caller holds no lock of the store. */
void background_inline(struct store *store);

/* Hold a writer back while more than a few segments wait for sealing. */
void background_throttle(struct store *store);

/* After a write: what the store's thread would do, or a wait if it is behind. The caller holds no
 * lock of the store. */
static inline void background_after_write(struct store *store)
{
    if (UNLIKELY(store->options.background == BITCASK_BACKGROUND_NONE))
        background_inline(store);
    else if (UNLIKELY(atomic_load_explicit(&store->sealing_count, memory_order_relaxed) >
                      BACKGROUND_WAITING_MAX))
        background_throttle(store);
}

#endif
