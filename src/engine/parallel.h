/* SPDX-License-Identifier: MIT
 * parallel.h: do a number of like things on several threads and wait for all of them.
 *
 * Used at open only, where hints are checked and the index is filled. The threads block all
 * signals, so that the embedder's handlers never run on them. */
#ifndef ENGINE_PARALLEL_H
#define ENGINE_PARALLEL_H

#include <stddef.h>

enum { PARALLEL_THREADS_MAX = 8 };

/* How many threads to use where `wanted` were asked for; 0: as many as there are processors. At
 * least 1, at most PARALLEL_THREADS_MAX. */
unsigned parallel_threads(unsigned wanted);

/* Call run(context, index) once for each index below `count`, on `threads` threads, the calling one
 * included, in no particular order. Where a thread cannot be had, the others do its work. */
void parallel_each(unsigned threads, size_t count, void (*run)(void *context, size_t index),
                   void *context);

#endif
