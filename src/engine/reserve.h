/* SPDX-License-Identifier: MIT
 * reserve.h: a little disk space kept aside, so that a full disk can be got out of.
 *
 * `bitcask.reserve` is a file of allocated zeros. Puts are accepted only while it is held. When the
 * disk is full it is given up for what frees space or loses none: the manifest, deletes, a merge,
 * the rescue of a failed sync. It is made again when there is room, at the latest by the next put.
 * Until then nothing is sealed or made ahead in the background: hints and fresh segments would take
 * the very blocks that were given up. Its content means nothing; its loss does no harm. */
#ifndef ENGINE_RESERVE_H
#define ENGINE_RESERVE_H

#include "engine/store.h"

enum { RESERVE_SIZE = 64 << 10 };

/* Hold the reserve: OK, or NO_SPACE (then as much of it is kept aside as there is room for), IO.
 * Holding write_mutex, or alone. Cost: nothing if it is held. */
bitcask_status reserve_hold(struct store *store, bitcask_error *error);

/* Give it up. True if there was something to give. Any thread. */
bool reserve_release(struct store *store);

#endif
