/* SPDX-License-Identifier: MIT
 * scan_parts.h: a log segment scanned in parts, which several threads can do at once.
 *
 * A part begins where a record of a key does that belongs to no batch begun before it. There is no
 * telling from one place that the walk over the records comes by: the scan of the part before shows
 * it, by ending just there. So a cut is a guess, and the parts are put together only where each of
 * them is free of holes and leads to the next; else the segment is to be scanned as a whole.
 * Pure functions over bytes; threads: safe. */
#ifndef ENGINE_SCAN_PARTS_H
#define ENGINE_SCAN_PARTS_H

#include "engine/scan.h"

/* Where a part may begin: */
struct scan_cut {
    uint64_t offset;
    uint64_t version; /* of the record there */
};

/* Find a place to cut at or soon behind `from`, in `bytes` from the start of the file. False: none
 * found within a mebibyte (one value, a batch, damage, or the end of the log), and none need be
 * looked for before cut->offset. */
bool scan_find_cut(slice bytes, const struct scan_options *options, uint64_t from,
                   struct scan_cut *cut);

/* Add to *all, which was scanned up to `cut` and from then on counts for both, the result of the
 * next part, from `cut` on; `next` is released. False: the two do not fit, and *all is what it was.
 */
bool scan_join(struct scan_result *all, const struct scan_cut *cut, struct scan_result *next);

#endif
