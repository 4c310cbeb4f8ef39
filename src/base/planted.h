/* SPDX-License-Identifier: MIT
 * planted.h: mistakes that a test build can make, one at a time, to see whether a test notices.
 *
 *     if (!PLANTED(manifest_unsynced))
 *         result = os->sync(os, file);
 *
 * In a normal build PLANTED(name) is false and leaves no code. Configured with -Dplanted=true it is
 * true for the one that the environment variable BITCASK_PLANTED names. scripts/planted (`make
 * planted`) runs the tests against each; docs/RESULTS.md has the outcome.
 *
 * PLANTED_ELSEWHERE is true when one is planted that is not one of a write alone: the short way of
 * engine/write_alone.c is closed then, so that all writes meet it. */
#ifndef BASE_PLANTED_H
#define BASE_PLANTED_H

#include <stdbool.h>

#include "base/planted_list.h"

enum planted_bug {
    PLANTED_NOTHING,
#define PLANTED_MEMBER(name, source, sentence) PLANTED_##name,
    PLANTED_BUGS(PLANTED_MEMBER)
#undef PLANTED_MEMBER
};

#ifdef PLANTED_BUILD
extern enum planted_bug planted_bug; /* set before main, and not again */
#define PLANTED(name) (planted_bug == PLANTED_##name)
#define PLANTED_ELSEWHERE (planted_bug != PLANTED_NOTHING && planted_bug < PLANTED_alone_unproved)
#else
#define PLANTED(name) ((void)PLANTED_##name, false)
#define PLANTED_ELSEWHERE false
#endif

#endif
