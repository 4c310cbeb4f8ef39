/* SPDX-License-Identifier: MIT
 * segments_internal.h: what segment.c needs of the table. */
#ifndef ENGINE_SEGMENTS_INTERNAL_H
#define ENGINE_SEGMENTS_INTERNAL_H

#include "engine/segments.h"

/* The last pin of a segment is gone: unmap it, free its slot and its memory. */
void segments_forget(struct segment *segment);

#endif
