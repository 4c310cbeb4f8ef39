/* SPDX-License-Identifier: MIT
 * repair.h: make a damaged store whole again, out of whatever of it can be read.
 *
 * Opening does a part of it: a manifest that is lost, hints that are lost or bad, the torn end of
 * the log. What it leaves alone are segments with records that fail their checksum and segments
 * whose file is gone: keys in them answer CORRUPT for as long as nobody decides. Repair decides:
 *
 *   1. Check every file (engine/verify.h). A segment whose data file has a finding is to be
 *      rewritten, one whose hint has a finding gets a new hint.
 *   2. For each record that is gone, find its key in the hint, and what the rest of the store has
 * of that key. A newer record: nothing is lost. A deletion that a trusted hint remembers is made
 *      anew. Anything else is a loss, and told, with the older value that now shows.
 *   3. One segment after the other: copy its good records, with their versions, to new segments;
 *      put the original and its hint into quarantine/; replace the manifest; remove the original.
 *
 * Invariants (docs/DURABILITY.md):
 *   G1  No readable record is lost, and none that was hidden comes back untold.
 *   G2  The original files are in quarantine/, durably, before the manifest forgets them. Files
 *       called sealed are never changed (L5): a backup may share them.
 *   G3  Interrupted anywhere and run again, it ends with the same contents. */
#ifndef ENGINE_REPAIR_H
#define ENGINE_REPAIR_H

#include "engine/store.h"

/* As bitcask_repair. */
bitcask_status repair_run(struct os *os, const char *directory,
                          const bitcask_repair_options *options, bitcask_repair_result *result,
                          bitcask_error *error);

#endif
