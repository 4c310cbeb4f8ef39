/* SPDX-License-Identifier: MIT
 * rehint.h: hints for sealed segments that have none.
 *
 * After an unclean stop the index is loaded from hints that recovery makes in memory. Writing them
 * is not for the opening to wait for: the store's thread makes them when the store is open, and
 * closing makes what is left. Until then a merge or a backup does without, as it does where a hint
 * is damaged. */
#ifndef ENGINE_REHINT_H
#define ENGINE_REHINT_H

#include "engine/store.h"

/* Make the hint of a sealed segment from its records, and write it. CORRUPT if one is damaged. */
bitcask_status rehint_segment(struct store *store, struct segment *segment, bitcask_error *error);

/* The next one of store->hints_missing, which is cleared when there is none left. Nothing is done
 * while a merge is at work: its inputs are about to go. False: there is nothing more to do now. */
bool rehint_next(struct store *store);

/* All that are left; for a store of which nothing else is going on. */
void rehint_all(struct store *store);

#endif
