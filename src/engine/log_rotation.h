/* SPDX-License-Identifier: MIT
 * log_rotation.h: which segment the log goes on in.
 *
 * The one that a clean close left, as long as it has room; else the one that has been made ahead,
 * by the store's thread when the one before was half full, or now. So all that a rotation does
 * under write_mutex is to take it; what it leaves is sealed in the background.
 *
 * Between log_space.c and log_rotation.c; the rest is in log_writer.h. The holder of
 * write_mutex, unless said otherwise. */
#ifndef ENGINE_LOG_ROTATION_H
#define ENGINE_LOG_ROTATION_H

#include "engine/log_writer.h"

enum { LOG_STEP_MIN = 64 << 10 }; /* bytes allocated at once, of a new segment at least; doubles */

/* Records of this segment end at or below this. */
static inline uint64_t log_limit_of(const struct segment *segment)
{
    return segment->map_size - LOG_SEAL_ROOM;
}

/* The first write: have an active segment, with room for `needed` bytes. */
bitcask_status log_start(struct store *store, uint64_t needed, bitcask_error *error);

/* Go on in the next segment, with room for `capacity` bytes; the active one is to be sealed. */
bitcask_status log_rotate_to(struct store *store, uint64_t capacity, bitcask_error *error);

/* Has one with as much room been made ahead? Any thread. */
bool log_has_next(struct store *store, uint64_t capacity);

#endif
