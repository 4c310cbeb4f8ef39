/* SPDX-License-Identifier: MIT
 * log_tail.h: where does the log end, after the process or the machine has died? A pure decision
 * from the scans of the segments that were not sealed.
 *
 * What is durable: a segment to its watermark; and all of a segment when a later one says that
 * something of itself was synced, since n+1 is never synced before n. Holes there are damage.
 * Elsewhere pages have reached the disk in any order, or not at all: the first hole is where the
 * log ends, and everything behind it goes, in this segment and in all later ones, so that what is
 * left is a prefix of what was written. A hole may also be a tail that reads as zeros: the first
 * record of the next segment says how far the log had come, and shows that something is missing. */
#ifndef ENGINE_LOG_TAIL_H
#define ENGINE_LOG_TAIL_H

#include "engine/scan.h"

struct log_tail_segment {
    uint64_t id;
    const struct scan_result *scan; /* NULL: sealed, durable to its length */
    /* Decided: */
    uint64_t watermark;    /* durable below; UINT64_MAX: all of it */
    uint64_t end;          /* its logical length */
    uint64_t last_version; /* of its records below `end`; 0: none */
    uint64_t cut_records;  /* good ones that go */
    const char *cut;       /* why it was cut at `end`; NULL if it was not */
};

/* Decide for all log segments, by ascending id. */
void log_tail_decide(struct log_tail_segment *segments, size_t count);

#endif
