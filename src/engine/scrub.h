/* SPDX-License-Identifier: MIT
 * scrub.h: read what is sealed again and again, slowly, so that a disk that rots is found out while
 * there is still a backup.
 *
 * A thread of its own, where the option scrub_bytes_per_s asks for one. A pass checks the files of
 * every sealed segment, by ascending id, those included that are sealed meanwhile; the next begins
 * an hour after it began, at the earliest. Findings are counted and told as events, and the segment
 * is marked as damaged, so that no merge takes it. Merges wait for it no longer than for the end of
 * one segment (engine/verify.h). */
#ifndef ENGINE_SCRUB_H
#define ENGINE_SCRUB_H

#include "engine/store.h"

/* Begin, if the options ask for it; stop, within a tenth of a second. */
bitcask_status scrub_start(struct store *store, bitcask_error *error);
void scrub_stop(struct store *store);

/* One pass, at the store's rate; ends early when `stop` (nullable) becomes true. */
void scrub_pass(struct store *store, const _Atomic bool *stop);

#endif
